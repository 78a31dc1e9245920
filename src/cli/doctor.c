/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Is this machine ready? Each check looks, changes nothing, and adds a line; a red line carries
 * its remedy. What needs no hardware (models, files, NBD) works wherever riser was built, so a
 * red line concerns real devices and is no failure of the command.
 */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/sysfs.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <linux/membarrier.h>
#include <riser/util.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CHECKS_MAX    64
#define DEVICES_MAX   32
#define MEMLOCK_WANTS (64 * MiB)

enum level { LEVEL_OK, LEVEL_NOTE, LEVEL_RED };

struct check {
	enum level level;
	const char *name;
	char text[160];
	char remedy[240]; /* of a red line */
};

struct report {
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

static bool is_intel(void)
{
	char line[128];
	bool intel = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "vendor_id", 9)) {
			intel = strstr(line, "GenuineIntel");
			break;
		}
	if (f)
		fclose(f);
	return intel;
}

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	if (!dir)
		return 0;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void check_iommu(struct report *r)
{
	unsigned groups = count_entries("/sys/kernel/iommu_groups");
	bool intel = is_intel();

	if (groups) {
		add(r, LEVEL_OK, "iommu", "%u groups", groups);
		return;
	}
	remedy(add(r, LEVEL_RED, "iommu", "no IOMMU groups: devices cannot be handed out safely"),
	       "switch %s on in the firmware and add '%siommu=pt' to the kernel's command line "
	       "(in a virtual machine: give it a virtual IOMMU)",
	       intel ? "VT-d" : "AMD-Vi (IOMMU)", intel ? "intel_iommu=on " : "");
}

static void check_vfio(struct report *r)
{
	static const char *const modules[] = { "vfio", "vfio_pci", "vfio_iommu_type1" };
	uint64_t limit;

	for (size_t i = 0; i < array_len(modules); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
		if (!access(path, F_OK))
			add(r, LEVEL_OK, "vfio", "module %s is loaded", modules[i]);
		else
			remedy(add(r, LEVEL_RED, "vfio", "module %s is not loaded", modules[i]),
			       "modprobe %s, or a kernel that has it", modules[i]);
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
	if (lim.rlim_cur == RLIM_INFINITY) {
		add(r, LEVEL_OK, "memlock", "unlimited");
		return;
	}
	riser_format_size(lim.rlim_cur, size, sizeof(size));
	if (geteuid() == 0 || lim.rlim_cur >= MEMLOCK_WANTS)
		add(r, LEVEL_OK, "memlock", "%s%s", size,
		    geteuid() == 0 ? ", which does not bind root" : "");
	else
		remedy(add(r, LEVEL_RED, "memlock", "only %s may be locked for devices", size),
		       "a line 'USER - memlock unlimited' in /etc/security/limits.conf, or "
		       "'LimitMEMLOCK=infinity' in the systemd unit");
}

static void check_hugepages(struct report *r)
{
	uint64_t n = 0;

	sysfs_number(&n, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	if (n)
		add(r, LEVEL_OK, "hugepages", "%" PRIu64 " of 2 MiB", n);
	else
		add(r, LEVEL_NOTE, "hugepages", "none reserved; riser does not need them");
}

static void check_devices(struct report *r)
{
	struct sysfs_pci dev[DEVICES_MAX];
	unsigned n = sysfs_pci_scan(dev, DEVICES_MAX);

	if (!n)
		add(r, LEVEL_NOTE, "devices",
		    "no NVMe or virtio function on the PCI bus; model:nvme needs none");
	for (unsigned i = 0; i < n && i < DEVICES_MAX; i++) {
		const struct sysfs_pci *p = &dev[i];
		char where[64] = "";
		bool used = sysfs_pci_mounted(p->bdf, where, sizeof(where));

		add(r, LEVEL_NOTE, "devices", "%s %s %04x:%04x, driver %s, IOMMU group %s%s%s",
		    p->bdf, p->kind, p->vendor, p->device, *p->driver ? p->driver : "none",
		    *p->iommu_group ? p->iommu_group : "none", used ? ", mounted on " : "", where);
	}
}

static const char *const level_names[] = { "ok", "note", "red" };

static void print_json(const struct report *r)
{
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
	}
	json_end(&j);
	json_end(&j);
}

static void print_text(const struct report *r)
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
	printf("\n%s\n", red ? "Real devices through VFIO want the red lines mended; models, files "
			       "and NBD work as it is."
			     : "Ready, for real devices too.");
}

static int run(struct cli *c)
{
	struct report r = { .n = 0 };
	int rc = cli_parse(c, NULL);

	if (rc)
		return rc;
	check_kernel(&r);
	check_io_uring(&r);
	check_membarrier(&r);
	check_memlock(&r);
	check_iommu(&r);
	check_vfio(&r);
	check_hugepages(&r);
	check_devices(&r);
	if (c->format == FORMAT_JSON)
		print_json(&r);
	else
		print_text(&r);
	return CLI_OK;
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "is this machine ready: what is missing, and its remedy; changes nothing",
	.example = "riser doctor",
	.run = run,
};
