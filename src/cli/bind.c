/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/machine.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <riser/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MAX 1024

struct args {
	const char *user, *group;
	bool persist, dry_run;
};

/* A name or a number. */
static int find_user(struct cli *c, const char *user, uint32_t *uid)
{
	const struct passwd *pw = getpwnam(user);
	uint64_t n;

	if (!pw && (riser_parse_u64(user, &n) || n >= UINT32_MAX))
		return cli_fail(c, CLI_USAGE, "there is no user '%s'", user);
	*uid = pw ? pw->pw_uid : (uint32_t)n;
	return 0;
}

static int find_group(struct cli *c, const char *group, uint32_t *gid)
{
	const struct group *gr = getgrnam(group);
	uint64_t n;

	if (!gr && (riser_parse_u64(group, &n) || n >= UINT32_MAX))
		return cli_fail(c, CLI_USAGE, "there is no group '%s'", group);
	*gid = gr ? gr->gr_gid : (uint32_t)n;
	return 0;
}

/* This command again, for the start of the system. */
static int compose(struct cli *c, const struct args *a, char *command)
{
	ssize_t n = readlink("/proc/self/exe", command, COMMAND_MAX / 2);
	size_t len = n < 0 ? 0 : (size_t)n;

	if (!len || memchr(command, ' ', len) || memchr(command, '%', len))
		return cli_fail(c, CLI_FAILED,
				"--persist wants riser at a path without blanks: meson install "
				"puts it in place");
	len += (size_t)snprintf(command + len, COMMAND_MAX - len, " bind");
	for (unsigned i = 0; i < c->nargs && len < COMMAND_MAX; i++)
		len += (size_t)snprintf(command + len, COMMAND_MAX - len, " %s", c->arg[i]);
	if (a->user && len < COMMAND_MAX)
		len += (size_t)snprintf(command + len, COMMAND_MAX - len, " --user=%s", a->user);
	if (a->group && len < COMMAND_MAX)
		len += (size_t)snprintf(command + len, COMMAND_MAX - len, " --group=%s", a->group);
	return len < COMMAND_MAX ? 0 : cli_fail(c, CLI_USAGE, "the line is too long for --persist");
}

static int run(struct cli *c)
{
	struct riser_host_bind o = { .size = sizeof(o), .uid = UINT32_MAX, .gid = UINT32_MAX };
	char command[COMMAND_MAX];
	struct args a = { 0 };
	struct riser_host_plan *p;
	struct riser_host *h;
	int rc = cli_parse(c, &a);

	if (!rc && a.user)
		rc = find_user(c, a.user, &o.uid);
	if (!rc && a.group)
		rc = find_group(c, a.group, &o.gid);
	if (!rc && a.persist)
		rc = compose(c, &a, command);
	o.set_owner = a.user || a.group;
	o.persist = a.persist ? command : NULL;
	if (!rc)
		rc = machine_open(c, &h);
	if (rc)
		return rc;
	rc = riser_host_plan_bind(h, c->arg, c->nargs, &o, &p, &c->err);
	rc = rc ? cli_fail_err(c, rc) : machine_run(c, h, p, a.dry_run);
	riser_host_free(h);
	return rc;
}

static const struct opt opts[] = {
	{ "user", 'u', OPT_IS_TEXT(struct args, user), "USER",
	  "who may use it then, by name or number; default root" },
	{ "group", 'g', OPT_IS_TEXT(struct args, group), "GROUP", "and which group" },
	{ "persist", 0, OPT_IS_BOOL(struct args, persist), NULL,
	  "do it again at each start of the system, by a service of systemd" },
	{ "dry-run", 'n', OPT_IS_BOOL(struct args, dry_run), NULL, "show the plan only" },
	{ 0 },
};

const struct cmd cmd_bind = {
	.name = "bind",
	.args = "BDF…",
	.summary = "hand PCI functions to vfio-pci, so that riser may drive them",
	.example = "sudo riser bind 0000:01:00.0 --user $USER",
	.opts = opts,
	.run = run,
};
