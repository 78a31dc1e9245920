/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Is this machine ready? Each check looks, changes nothing, and adds a line; a red line carries its
 * remedy, a line that works as it stands. What needs no hardware (models, files, NBD) works
 * wherever riser was built: what keeps real devices away is red only where there is an NVMe
 * controller, or a function that was asked about, and a note elsewhere. That a disk is mounted is
 * what disks are for, unless it is the one that was asked about.
 */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/machine.h"
#include "cli/sysfs.h"
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <linux/membarrier.h>
#include <pwd.h>
#include <riser/util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CHECKS_MAX    256
#define GROUPS_MAX    64
#define MEMLOCK_WANTS (64 * MiB)

enum level { LEVEL_OK, LEVEL_NOTE, LEVEL_RED };

struct check {
	enum level level;
	const char *name;
	char text[320];
	char remedy[400]; /* of a red line */
};

struct args {
	const char *user;
};

/**
 * struct report - what was found
 * @host: the machine
 * @functions: those that riser knows, or that were asked about
 * @nfunctions: how many
 * @asked: they were named on the command line
 * @wanted: what a red line is where VFIO is lacking: red, or a note where no device wants it
 * @groups: there are IOMMU groups
 * @user: for whom
 * @uid: likewise
 * @list: the lines
 * @n: how many
 */
struct report {
	struct riser_host *host;
	struct riser_host_pci functions[MACHINE_FUNCTIONS];
	unsigned nfunctions;
	bool asked;
	enum level wanted;
	unsigned groups;
	char user[64];
	uid_t uid;
	struct check list[CHECKS_MAX];
	unsigned n;
};

static struct check *add(struct report *r, enum level level, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static struct check *add(struct report *r, enum level level, const char *name, const char *fmt, ...)
{
	struct check *k = &r->list[r->n < CHECKS_MAX ? r->n++ : CHECKS_MAX - 1];
	va_list ap;

	*k = (struct check){ .level = level, .name = name };
	va_start(ap, fmt);
	vsnprintf(k->text, sizeof(k->text), fmt, ap);
	va_end(ap);
	return k;
}

static void remedy(struct check *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void remedy(struct check *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k->remedy, sizeof(k->remedy), fmt, ap);
	va_end(ap);
}

static void check_kernel(struct report *r)
{
	struct utsname u;

	if (uname(&u))
		return;
	add(r, LEVEL_OK, "kernel", "%s %s on %s", u.sysname, u.release, u.machine);
}

static void check_io_uring(struct report *r)
{
	struct io_uring_params p = { 0 };
	long fd = syscall(__NR_io_uring_setup, 1, &p);

	if (fd >= 0) {
		close((int)fd);
		add(r, LEVEL_OK, "io_uring", "works");
		return;
	}
	add(r, LEVEL_NOTE, "io_uring", "not to be had (%s): files are read and written by preadv",
	    strerror(errno));
}

static void check_membarrier(struct report *r)
{
	long cmds = syscall(__NR_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (cmds > 0 && (cmds & MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		add(r, LEVEL_OK, "membarrier", "works");
	else
		add(r, LEVEL_NOTE, "membarrier", "absent: each I/O pays for a fence");
}

static unsigned count_entries(const char *file)
{
	char path[PATH_MAX];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s%s", machine_root(), file);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static void check_surroundings(struct report *r)
{
	char line[128];

	if (sysfs_exists("/.dockerenv") || sysfs_exists("/run/systemd/container"))
		add(r, LEVEL_NOTE, "container",
		    "a container: VFIO wants --device /dev/vfio/vfio --device /dev/vfio/GROUP "
		    "--ulimit memlock=-1, and drivers are bound outside");
	if (sysfs_line(line, sizeof(line), "/sys/kernel/security/lockdown") &&
	    !strstr(line, "[none]"))
		add(r, LEVEL_NOTE, "lockdown",
		    "the kernel is locked down: pci: works, sysfs: does not");
}

/* A kernel's own option that keeps the IOMMU off, or NULL. */
static const char *switched_off(void)
{
	static const char *const words[] = { "intel_iommu=off", "amd_iommu=off", "iommu=off" };

	for (size_t i = 0; i < array_len(words); i++)
		if (sysfs_has("/proc/cmdline", words[i]))
			return words[i];
	return NULL;
}

static void check_iommu(struct report *r)
{
	bool intel = sysfs_has("/proc/cpuinfo", "GenuineIntel");
	bool virtual = sysfs_has("/proc/cpuinfo", " hypervisor");
	bool table = sysfs_exists("/sys/firmware/acpi/tables/%s", intel ? "DMAR" : "IVRS");
	const char *off = switched_off();
	const char *grub =
		"in GRUB_CMDLINE_LINUX of /etc/default/grub, then update-grub and reboot";
	struct check *k;

	if (r->groups) {
		add(r, LEVEL_OK, "iommu", "%u groups", r->groups);
		return;
	}
	k = add(r, r->wanted, "iommu", "no IOMMU groups: devices cannot be handed out safely");
	if (off)
		remedy(k, "take %s away %s", off, grub);
	else if (table && intel)
		remedy(k, "add intel_iommu=on %s", grub);
	else if (virtual)
		remedy(k,
		       "give the virtual machine an IOMMU (QEMU: -machine q35,kernel-irqchip=split "
		       "-device intel-iommu,intremap=on,caching-mode=on), and add intel_iommu=on %s; "
		       "without: riser hugepages 64, riser unbind BDF, and sysfs:BDF as root",
		       grub);
	else if (intel)
		remedy(k, "switch VT-d on in the firmware's set-up, and add intel_iommu=on %s",
		       grub);
	else
		remedy(k, "switch AMD-Vi, also called IOMMU or SVM, on in the firmware's set-up");
}

/* Does the kernel that runs come with a module? Where its list cannot be read it may. */
static bool has_file(const char *module)
{
	static const char *const lists[] = { "modules.dep", "modules.builtin" };
	char path[256], name[64];
	struct utsname u;

	if (uname(&u) || !sysfs_exists("/lib/modules/%s/modules.dep", u.release))
		return true;
	for (size_t i = 0; i < array_len(lists); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%s/%s", u.release, lists[i]);
		snprintf(name, sizeof(name), "/%s.ko", module);
		if (sysfs_has(path, name))
			return true;
	}
	return false;
}

static void check_vfio(struct report *r)
{
	static const char *const modules[] = { "vfio", "vfio-pci", "vfio_iommu_type1" };
	uint64_t limit;

	for (size_t i = 0; i < array_len(modules); i++) {
		const char *m = modules[i];
		struct check *k;

		if (sysfs_exists("/sys/module/%s", strcmp(m, "vfio-pci") ? m : "vfio_pci") ||
		    sysfs_exists("/sys/bus/pci/drivers/%s", m)) {
			add(r, LEVEL_OK, "vfio", "module %s is loaded", m);
			continue;
		}
		k = add(r, r->wanted, "vfio", "module %s is not loaded", m);
		if (has_file(m))
			remedy(k, "modprobe %s (riser bind does it too)", m);
		else
			remedy(k, "boot a kernel that comes with it: linux-image-amd64 has it, "
				  "linux-image-cloud-amd64 has not");
	}
	if (sysfs_number(&limit, "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"))
		add(r, LEVEL_NOTE, "vfio", "at most %" PRIu64 " mappings per container", limit);
}

static void check_memlock(struct report *r)
{
	struct rlimit lim;
	char size[24];

	if (getrlimit(RLIMIT_MEMLOCK, &lim))
		return;
	riser_format_size(lim.rlim_cur, size, sizeof(size));
	if (lim.rlim_cur == RLIM_INFINITY)
		snprintf(size, sizeof(size), "unlimited");
	if (!r->uid) {
		add(r, LEVEL_OK, "memlock", "%s, which does not bind root", size);
	} else if (r->uid != geteuid()) {
		add(r, LEVEL_NOTE, "memlock", "%s for who asks; for %s it shows when %s asks", size,
		    r->user, r->user);
	} else if (lim.rlim_cur >= MEMLOCK_WANTS) {
		add(r, LEVEL_OK, "memlock", "%s", size);
	} else {
		remedy(add(r, r->wanted, "memlock", "only %s may be locked for devices", size),
		       "as root: echo '%s - memlock unlimited' >/etc/security/limits.d/riser.conf, "
		       "and log in again; in a service of systemd LimitMEMLOCK=infinity; for this "
		       "shell alone: sudo prlimit --pid $$ --memlock=unlimited",
		       r->user);
	}
}

static void check_hugepages(struct report *r)
{
	uint64_t n = 0, free = 0;
	char size[24];

	sysfs_number(&n, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	sysfs_number(&free, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	riser_format_size(n * 2 * MiB, size, sizeof(size));
	if (!n && !r->groups && r->nfunctions)
		remedy(add(r, LEVEL_NOTE, "hugepages", "none reserved; sysfs: wants them"),
		       "riser hugepages 64");
	else if (!n)
		add(r, LEVEL_NOTE, "hugepages", "none reserved; VFIO does not need them");
	else if (free == n)
		remedy(add(r, LEVEL_NOTE, "hugepages",
			   "%" PRIu64 " of 2 MiB, all free: %s that nobody uses", n, size),
		       "riser hugepages 0");
	else if (!free)
		remedy(add(r, LEVEL_NOTE, "hugepages", "%" PRIu64 " of 2 MiB, none free", n),
		       "riser hugepages %" PRIu64, 2 * n);
	else
		add(r, LEVEL_OK, "hugepages", "%" PRIu64 " of 2 MiB, %" PRIu64 " free", n, free);
}

static void check_nodes(struct report *r)
{
	static const char *const nodes[] = { "fuse", "loop-control", "ublk-control", "nbd0" };
	char there[64] = "", missing[64] = "";

	for (size_t i = 0; i < array_len(nodes); i++) {
		char *list = sysfs_exists("/dev/%s", nodes[i]) ? there : missing;

		strcat(strcat(list, " "), nodes[i]);
	}
	add(r, LEVEL_NOTE, "nodes", "in /dev:%s%s%s", *there ? there : " none",
	    *missing ? "; not there:" : "", missing);
}

static void check_uses(struct report *r, const struct riser_host_pci *p)
{
	bool ours = !strncmp(p->driver, "vfio", 4);
	struct riser_host_use use[MACHINE_USES];
	unsigned n = riser_host_uses(r->host, p->bdf, use, MACHINE_USES);

	for (unsigned i = 0; i < n && i < MACHINE_USES; i++) {
		char text[256], how[256];
		struct check *k;

		k = add(r, r->asked && !ours ? LEVEL_RED : LEVEL_NOTE, "use", "%s: %s", p->bdf,
			riser_host_use_text(&use[i], text, sizeof(text)));
		/* Nobody asked to take what is used all day. */
		if (!r->asked)
			continue;
		machine_remedy(&use[i], how, sizeof(how));
		remedy(k, "%s", *how ? how : "leave it to the kernel, and take another disk");
	}
}

static void check_group(struct report *r, const struct riser_host_pci *p)
{
	struct riser_host_pci member[MACHINE_MEMBERS];
	char others[160] = "", along[160] = "";
	bool ours = !strncmp(p->driver, "vfio", 4);
	size_t at = 0, alen = 0;
	unsigned n;

	if (p->iommu_group < 0) {
		if (r->groups)
			add(r, LEVEL_NOTE, "group", "%s is in no IOMMU group", p->bdf);
		return;
	}
	n = riser_host_group_list(r->host, p->iommu_group, member, MACHINE_MEMBERS);
	for (unsigned i = 0; i < n && i < MACHINE_MEMBERS; i++) {
		const struct riser_host_pci *m = &member[i];

		if (!strcmp(m->bdf, p->bdf) || !riser_host_is_in_the_way(m) ||
		    at >= sizeof(others) || alen >= sizeof(along))
			continue;
		at += (size_t)snprintf(others + at, sizeof(others) - at, "%s%s (%s)",
				       at ? ", " : "", m->bdf, m->driver);
		alen += (size_t)snprintf(along + alen, sizeof(along) - alen, " %s", m->bdf);
	}
	if (at)
		remedy(add(r, r->asked || ours ? LEVEL_RED : LEVEL_NOTE, "group",
			   "%s shares IOMMU group %d with %s, which must come along", p->bdf,
			   p->iommu_group, others),
		       "riser bind %s%s; or take them away: riser unbind%s", p->bdf, along, along);
}

/* May the user open a file of VFIO's? */
static bool may_open(const struct report *r, const struct stat *st)
{
	gid_t groups[GROUPS_MAX];
	int n = GROUPS_MAX;
	const struct passwd *pw = getpwuid(r->uid);

	if (!r->uid)
		return true;
	if (st->st_uid == r->uid)
		return (st->st_mode & 0600) == 0600;
	if (pw && getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) >= 0)
		for (int i = 0; i < n; i++)
			if (groups[i] == st->st_gid)
				return (st->st_mode & 0060) == 0060;
	return (st->st_mode & 0006) == 0006;
}

static void check_file(struct report *r, const struct riser_host_pci *p)
{
	char path[PATH_MAX];
	struct stat st;

	if (strcmp(p->driver, "vfio-pci"))
		return;
	snprintf(path, sizeof(path), "%s/dev/vfio/%d", machine_root(), p->iommu_group);
	if (stat(path, &st))
		remedy(add(r, LEVEL_RED, "file", "there is no /dev/vfio/%d for %s", p->iommu_group,
			   p->bdf),
		       "riser restore %s && riser bind %s", p->bdf, p->bdf);
	else if (may_open(r, &st))
		add(r, LEVEL_OK, "file", "%s may open /dev/vfio/%d", r->user, p->iommu_group);
	else
		remedy(add(r, LEVEL_RED, "file", "%s may not open /dev/vfio/%d", r->user,
			   p->iommu_group),
		       "sudo riser bind %s --user %s; for good: --persist with it, or a line "
		       "SUBSYSTEM==\"vfio\", KERNEL==\"%d\", OWNER=\"%s\" in "
		       "/etc/udev/rules.d/60-riser.rules",
		       p->bdf, r->user, p->iommu_group, r->user);
}

static void check_leftovers(struct report *r, const struct riser_host_pci *p)
{
	if (*p->driver_override && strcmp(p->driver_override, p->driver))
		remedy(add(r, LEVEL_RED, "override", "%s: driver_override says %s, and %s has it",
			   p->bdf, p->driver_override, *p->driver ? p->driver : "no driver"),
		       "riser restore %s", p->bdf);
	else if (!*p->driver)
		remedy(add(r, LEVEL_NOTE, "override", "%s has no driver", p->bdf),
		       "riser restore %s", p->bdf);
}

static void check_functions(struct report *r)
{
	if (!r->nfunctions)
		add(r, LEVEL_NOTE, "devices",
		    "no NVMe or virtio function on the PCI bus; model:nvme needs none");
	for (unsigned i = 0; i < r->nfunctions; i++) {
		const struct riser_host_pci *p = &r->functions[i];
		char disks[128], group[16] = "none", node[32] = "";

		if (p->iommu_group >= 0)
			snprintf(group, sizeof(group), "%d", p->iommu_group);
		if (p->numa_node >= 0)
			snprintf(node, sizeof(node), ", NUMA node %d", p->numa_node);
		riser_host_disks(r->host, p->bdf, disks, sizeof(disks));
		add(r, LEVEL_OK, "devices", "%s %s %04x:%04x, driver %s, IOMMU group %s%s%s%s",
		    p->bdf, p->kind, p->vendor, p->device, *p->driver ? p->driver : "none", group,
		    node, *disks ? ", " : "", disks);
		check_uses(r, p);
		check_group(r, p);
		check_file(r, p);
		check_leftovers(r, p);
	}
}

static const char *const level_names[] = { "ok", "note", "red" };

/* Return: the exit code that the lines make. */
static int print_json(const struct report *r)
{
	unsigned red = 0;
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "checks");
	for (unsigned i = 0; i < r->n; i++) {
		const struct check *k = &r->list[i];

		json_object(&j, NULL);
		json_str(&j, "name", k->name);
		json_str(&j, "level", level_names[k->level]);
		json_str(&j, "text", k->text);
		if (*k->remedy)
			json_str(&j, "remedy", k->remedy);
		json_end(&j);
		red += k->level == LEVEL_RED;
	}
	json_end(&j);
	json_u64(&j, "red", red);
	json_end(&j);
	return red ? CLI_FAILED : CLI_OK;
}

static int print_text(const struct report *r)
{
	static const char *const colours[] = { "\033[32m", "", "\033[31m" };
	bool colour = isatty(STDOUT_FILENO);
	unsigned red = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const struct check *k = &r->list[i];

		printf("%s%-4s%s  %-10s  %s\n", colour ? colours[k->level] : "",
		       level_names[k->level], colour && *colours[k->level] ? "\033[0m" : "",
		       k->name, k->text);
		if (*k->remedy)
			printf("                  remedy: %s\n", k->remedy);
		red += k->level == LEVEL_RED;
	}
	printf("\n%s\n",
	       red ? "Real devices through VFIO want the red lines mended; models, files "
		     "and NBD work as it is."
	       : r->wanted == LEVEL_RED || r->groups
		       ? "Ready, for real devices too."
		       : "Ready for models, files and NBD; there is no NVMe controller here.");
	return red ? CLI_FAILED : CLI_OK;
}

/* The functions that the lines are about. */
static int find_functions(struct cli *c, struct report *r)
{
	int rc = 0;

	r->asked = c->nargs;
	r->groups = count_entries("/sys/kernel/iommu_groups");
	r->wanted = r->asked ? LEVEL_RED : LEVEL_NOTE;
	for (; !rc && r->nfunctions < c->nargs; r->nfunctions++)
		rc = riser_host_pci_get(r->host, c->arg[r->nfunctions],
					&r->functions[r->nfunctions], &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	if (!r->asked)
		r->nfunctions =
			riser_host_pci_list(r->host, 0, r->functions, array_len(r->functions));
	if (r->nfunctions > array_len(r->functions))
		r->nfunctions = array_len(r->functions);
	for (unsigned i = 0; i < r->nfunctions; i++)
		if (!strcmp(r->functions[i].kind, "nvme"))
			r->wanted = LEVEL_RED;
	return 0;
}

static int find_user(struct cli *c, struct report *r, const char *user)
{
	const struct passwd *pw = user ? getpwnam(user) : getpwuid(geteuid());

	if (user && !pw)
		return cli_fail(c, CLI_USAGE, "there is no user '%s'", user);
	r->uid = pw ? pw->pw_uid : geteuid();
	if (pw)
		snprintf(r->user, sizeof(r->user), "%s", pw->pw_name);
	else
		snprintf(r->user, sizeof(r->user), "%u", (unsigned)r->uid);
	return 0;
}

static void look(struct report *r)
{
	check_kernel(r);
	check_surroundings(r);
	check_io_uring(r);
	check_membarrier(r);
	check_memlock(r);
	check_iommu(r);
	check_vfio(r);
	check_hugepages(r);
	check_nodes(r);
	check_functions(r);
}

static int run(struct cli *c)
{
	struct report *r = calloc(1, sizeof(*r));
	struct args a = { 0 };
	int rc = r ? cli_parse(c, &a) : cli_fail(c, CLI_FAILED, "no memory");

	if (!rc)
		rc = machine_open(c, &r->host);
	if (!rc)
		rc = find_user(c, r, a.user);
	if (!rc)
		rc = find_functions(c, r);
	if (!rc) {
		look(r);
		rc = c->format == FORMAT_JSON ? print_json(r) : print_text(r);
	}
	if (r)
		riser_host_free(r->host);
	free(r);
	return rc;
}

static const struct opt opts[] = {
	{ "user", 'u', OPT_IS_TEXT(struct args, user), "USER",
	  "who is to open the devices; default who asks" },
	{ 0 },
};

const struct cmd cmd_doctor = {
	.name = "doctor",
	.args = "[BDF…]",
	.summary = "is this machine ready: what is missing, and its remedy; changes nothing",
	.example = "riser doctor",
	.opts = opts,
	.run = run,
};
