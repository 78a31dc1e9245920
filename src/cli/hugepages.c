/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Huge pages for sysfs: and for other programs: reserve so many, and have a hugetlbfs mounted. The
 * kernel gives what it finds in one piece, which may be less; so it is asked again after it moved
 * things together.
 */
#include "cli/json.h"
#include "cli/machine.h"
#include "cli/sysfs.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <riser/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNT_POINT "/dev/hugepages"

struct args {
	uint64_t size;
	const char *user;
};

struct pages {
	uint64_t wanted, got, free;
	char mounted[256]; /* where, or "" */
};

/* A mount of hugetlbfs, whatever its size of pages: the kernel's default is what MOUNT_POINT has.
 */
static bool find_mount(char *at, size_t len)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", machine_root());
	f = fopen(path, "re");
	*at = 0;
	while (f && !*at && getline(&line, &room, f) > 0) {
		char where[256];

		if (strstr(line, " - hugetlbfs ") &&
		    sscanf(line, "%*s %*s %*s %*s %255s", where) == 1)
			snprintf(at, len, "%s", where);
	}
	free(line);
	if (f)
		fclose(f);
	return *at;
}

/* How many pages more the memory that programs could still get would make. */
static uint64_t room_for(uint64_t size)
{
	char path[PATH_MAX], *line = NULL;
	uint64_t kib, pages = UINT64_MAX;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/meminfo", machine_root());
	f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0)
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
			pages = kib / (size / KiB);
	free(line);
	if (f)
		fclose(f);
	return pages;
}

static int reserve(struct cli *c, const struct args *a, struct pages *g)
{
	uint64_t more;
	char folder[96], file[128], value[24];
	int rc;

	snprintf(folder, sizeof(folder), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
		 a->size / KiB);
	if (!sysfs_exists("%s", folder))
		return cli_fail(c, CLI_FAILED,
				"this machine has no huge pages of %" PRIu64 " KiB: ls "
				"/sys/kernel/mm/hugepages shows what it has",
				a->size / KiB);
	snprintf(file, sizeof(file), "%s/nr_hugepages", folder);
	snprintf(value, sizeof(value), "%" PRIu64, g->wanted);
	/* The kernel would take it from whatever runs, down to the last page, for a long time. */
	more = room_for(a->size);
	sysfs_number(&g->got, "%s", file);
	if (g->wanted > g->got && g->wanted - g->got > more)
		return cli_fail(c, CLI_FAILED,
				"there is memory for %" PRIu64 " huge pages of %" PRIu64
				" KiB more, and %" PRIu64 " are wanted",
				more, a->size / KiB, g->wanted - g->got);
	rc = sysfs_write(file, value);
	if (rc == -EACCES || rc == -EPERM)
		return cli_fail(c, CLI_PERMISSION,
				"only root may reserve huge pages: run this with sudo");
	sysfs_number(&g->got, "%s", file);
	if (!rc && g->got < g->wanted && !sysfs_write("/proc/sys/vm/compact_memory", "1")) {
		rc = sysfs_write(file, value);
		sysfs_number(&g->got, "%s", file);
	}
	sysfs_number(&g->free, "%s/free_hugepages", folder);
	return rc ? cli_fail(c, cli_exit_of(rc), "%s cannot be written: %s", file, strerror(-rc))
		  : 0;
}

static int mount_them(struct cli *c, const struct args *a, struct pages *g)
{
	const struct passwd *pw = a->user ? getpwnam(a->user) : NULL;
	char path[PATH_MAX], options[64];

	snprintf(path, sizeof(path), "%s" MOUNT_POINT, machine_root());
	if (!find_mount(g->mounted, sizeof(g->mounted))) {
		mkdir(path, 0755);
		snprintf(options, sizeof(options), "pagesize=%" PRIu64 "K", a->size / KiB);
		if (mount("hugetlbfs", path, "hugetlbfs", 0, options))
			return cli_fail(c, cli_exit_of(-errno),
					"hugetlbfs cannot be mounted on " MOUNT_POINT ": %s",
					strerror(errno));
		snprintf(g->mounted, sizeof(g->mounted), MOUNT_POINT);
	}
	snprintf(path, sizeof(path), "%s%s", machine_root(), g->mounted);
	if (pw && chown(path, pw->pw_uid, pw->pw_gid))
		return cli_fail(c, cli_exit_of(-errno), "%s cannot be given to %s: %s", g->mounted,
				a->user, strerror(errno));
	return 0;
}

static void print(struct cli *c, const struct args *a, const struct pages *g)
{
	struct json j;

	if (c->format != FORMAT_JSON) {
		printf("%" PRIu64 " huge pages of %" PRIu64 " KiB, %" PRIu64 " free", g->got,
		       a->size / KiB, g->free);
		printf("%s%s\n", *g->mounted ? "; hugetlbfs on " : "", g->mounted);
		return;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "wanted", g->wanted);
	json_u64(&j, "reserved", g->got);
	json_u64(&j, "free", g->free);
	json_u64(&j, "page_size", a->size);
	json_str(&j, "mounted", *g->mounted ? g->mounted : NULL);
	json_end(&j);
}

static int run(struct cli *c)
{
	struct args a = { .size = 2 * MiB };
	struct pages g = { 0 };
	int rc = cli_parse(c, &a);

	if (!rc && riser_parse_u64(c->arg[0], &g.wanted))
		rc = cli_fail(c, CLI_USAGE, "'%s' is no number of pages", c->arg[0]);
	if (!rc && a.user && !getpwnam(a.user))
		rc = cli_fail(c, CLI_USAGE, "there is no user '%s'", a.user);
	if (!rc)
		rc = reserve(c, &a, &g);
	if (!rc && g.wanted)
		rc = mount_them(c, &a, &g);
	if (rc)
		return rc;
	print(c, &a, &g);
	if (g.got < g.wanted)
		return cli_fail(c, CLI_FAILED,
				"%" PRIu64 " of %" PRIu64 " pages could be had: memory is short or "
				"in pieces; end programs and try again, or reserve them at the "
				"start with hugepagesz=%" PRIu64 "K hugepages=%" PRIu64
				" on the kernel's command line",
				g.got, g.wanted, a.size / KiB, g.wanted);
	if (g.got > g.wanted)
		return cli_fail(c, CLI_MISSING,
				"%" PRIu64 " pages are still in use: by open files below a mount "
				"of hugetlbfs, or by programs that run",
				g.got - g.wanted);
	return CLI_OK;
}

static const struct opt opts[] = {
	{ "size", 's', OPT_IS_BYTES(struct args, size), "SIZE", "of a page: 2M (default) or 1G" },
	{ "user", 'u', OPT_IS_TEXT(struct args, user), "USER",
	  "who owns the folder where they are mounted" },
	{ 0 },
};

const struct cmd cmd_hugepages = {
	.name = "hugepages",
	.args = "N",
	.summary = "reserve huge pages, which sysfs: wants, and have them mounted",
	.example = "sudo riser hugepages 64",
	.opts = opts,
	.run = run,
};
