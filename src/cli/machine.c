/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/machine.h"
#include "cli/json.h"
#include <errno.h>
#include <riser/util.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *machine_root(void)
{
	const char *root = getenv("RISER_HOST_ROOT");

	return root ? root : "";
}

int machine_open(struct cli *c, struct riser_host **out)
{
	struct riser_host_opts opts = { .size = sizeof(opts), .root = machine_root() };
	const char *hurry = getenv("RISER_HOST_TIMEOUT_MS");
	uint64_t ms;
	int rc;

	if (hurry && !riser_parse_u64(hurry, &ms))
		opts.timeout_ms = (uint32_t)ms;
	rc = riser_host_new(&opts, out, &c->err);
	return rc ? cli_fail_err(c, rc) : 0;
}

void machine_remedy(const struct riser_host_use *u, char *buf, size_t len)
{
	/* The innermost of what lies on what: "nvme0n1p2, dm-0 (vg-root)". */
	const char *comma = strrchr(u->device, ','), *device = comma ? comma + 2 : u->device;

	*buf = 0;
	switch (u->kind) {
	case RISER_HOST_MOUNTED:
		snprintf(buf, len, "umount '%s'", u->by);
		break;
	case RISER_HOST_ROOT:
		break;
	case RISER_HOST_SWAP:
		snprintf(buf, len, "swapoff /dev/%.*s", (int)strcspn(device, " "), device);
		break;
	case RISER_HOST_HELD:
		if (!strncmp(u->by, "dm-", 3))
			snprintf(buf, len, "dmsetup remove /dev/%.*s", (int)strcspn(u->by, " "),
				 u->by);
		else if (!strncmp(u->by, "md", 2))
			snprintf(buf, len, "mdadm --stop /dev/%s", u->by);
		else if (!strncmp(u->by, "loop", 4))
			snprintf(buf, len, "losetup -d /dev/%s", u->by);
		else
			snprintf(buf, len, "stop %s", u->by);
		break;
	case RISER_HOST_EXCLUSIVE:
		snprintf(buf, len, "find who has it: lsof /dev/%s", device);
		break;
	case RISER_HOST_OPEN:
		snprintf(buf, len, "kill %d", u->pid);
		break;
	case RISER_HOST_NET:
		snprintf(buf, len, "ip link set %s down", device);
		break;
	case RISER_HOST_UNSEEN:
		snprintf(buf, len, "look at it as root, and with more descriptors (ulimit -n)");
		break;
	}
}

static void print_step(const struct riser_host_step *s)
{
	const char *what = s->what, *value = *s->value ? s->value : "an empty line";

	if (!strcmp(what, "load"))
		printf("  load the module %s, if it is not there\n", s->path);
	else if (!strcmp(what, "unused"))
		printf("  see that nobody uses %s\n", s->path);
	else if (!strcmp(what, "write"))
		printf("  write %s to %s\n", value, s->path);
	else if (!strcmp(what, "expect"))
		printf("  expect %s to have %s\n", s->path, *s->value ? value : "no driver");
	else if (!strcmp(what, "record"))
		printf("  record %.*s in %s\n", (int)strcspn(value, "\n"), value, s->path);
	else if (!strcmp(what, "reset"))
		printf("  reset it by %s\n", s->path);
	else if (!strcmp(what, "own"))
		printf("  give %s to %s (user:group)\n", s->path, value);
	else if (!strcmp(what, "link"))
		printf("  link %s to %s\n", s->path, value);
	else if (!strcmp(what, "wait"))
		printf("  wait for the block devices of %s\n", s->path);
	else
		printf("  %s %s\n", what, s->path);
}

static void json_steps(struct json *j, struct riser_host_plan *p)
{
	const struct riser_host_step *s;

	json_array(j, "plan");
	for (unsigned i = 0; (s = riser_host_plan_step(p, i)); i++) {
		json_object(j, NULL);
		json_str(j, "do", s->what);
		json_str(j, "path", s->path);
		json_str(j, "value", s->value);
		json_end(j);
	}
	json_end(j);
}

/* Where the functions stand. */
static void report(struct cli *c, struct riser_host *h, struct json *j)
{
	for (unsigned i = 0; i < c->nargs; i++) {
		struct riser_host_pci f;
		char disks[256];

		if (riser_host_pci_get(h, c->arg[i], &f, NULL))
			continue;
		riser_host_disks(h, f.bdf, disks, sizeof(disks));
		if (j) {
			json_object(j, NULL);
			json_str(j, "address", f.bdf);
			json_str(j, "driver", *f.driver ? f.driver : NULL);
			json_array(j, "disks");
			for (char *word = strtok(disks, " "); word; word = strtok(NULL, " "))
				json_str(j, NULL, word);
			json_end(j);
			json_end(j);
			continue;
		}
		printf("%s: %s%s%s", f.bdf, *f.driver ? f.driver : "no driver", *disks ? ", " : "",
		       disks);
		if (!strcmp(f.driver, "vfio-pci"))
			printf(", /dev/vfio/%d: riser nvme id-ctrl pci:%s", f.iommu_group, f.bdf);
		printf("\n");
	}
}

/* Half a plan is worse than none or all of it: who is told to end meanwhile ends afterwards. */
static int run_whole(struct riser_host_plan *p, struct riser_err *err)
{
	sigset_t later, before;
	int rc;

	sigemptyset(&later);
	sigaddset(&later, SIGINT);
	sigaddset(&later, SIGTERM);
	sigaddset(&later, SIGHUP);
	sigaddset(&later, SIGQUIT);
	sigprocmask(SIG_BLOCK, &later, &before);
	rc = riser_host_plan_run(p, err);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int machine_run(struct cli *c, struct riser_host *h, struct riser_host_plan *p, bool dry_run)
{
	bool in_json = c->format == FORMAT_JSON;
	const struct riser_host_step *s;
	struct json j;
	int rc = 0;

	for (unsigned i = 0; !in_json && (s = riser_host_plan_step(p, i)); i++)
		print_step(s);
	if (!in_json && !riser_host_plan_step(p, 0))
		printf("  nothing is to be done\n");
	if (!dry_run)
		rc = run_whole(p, &c->err);
	if (rc) {
		rc = cli_fail_err(c, rc);
	} else if (in_json) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_steps(&j, p);
		json_bool(&j, "run", !dry_run);
		json_array(&j, "functions");
		report(c, h, &j);
		json_end(&j);
		json_end(&j);
	} else if (dry_run && riser_host_plan_step(p, 0)) {
		printf("not done (--dry-run)\n");
	} else {
		report(c, h, NULL);
	}
	riser_host_plan_free(p);
	return rc;
}
