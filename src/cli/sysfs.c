/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/sysfs.h"
#include <dirent.h>
#include <limits.h>
#include <riser/util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PCI_DIR           "/sys/bus/pci/devices"
#define CLASS_NVME        0x010802
#define VENDOR_VIRTIO     0x1af4
#define VIRTIO_NET_LEGACY 0x1000
#define VIRTIO_BLK_LEGACY 0x1001
#define VIRTIO_NET        0x1041
#define VIRTIO_BLK        0x1042

static bool line_at(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	bool ok;

	*buf = 0;
	if (!f)
		return false;
	ok = fgets(buf, (int)len, f) != NULL;
	fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return ok;
}

bool sysfs_line(char *buf, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return line_at(path, buf, len);
}

bool sysfs_number(uint64_t *out, const char *fmt, ...)
{
	char path[PATH_MAX], text[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return line_at(path, text, sizeof(text)) && !riser_parse_u64(text, out);
}

void sysfs_link_name(char *buf, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *slash;
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	n = readlink(path, to, sizeof(to) - 1);
	to[n < 0 ? 0 : n] = 0;
	slash = strrchr(to, '/');
	snprintf(buf, len, "%s", slash ? slash + 1 : to);
}

static const char *kind_of(unsigned vendor, unsigned device, uint64_t class)
{
	if (class == CLASS_NVME)
		return "nvme";
	if (vendor != VENDOR_VIRTIO)
		return NULL;
	if (device == VIRTIO_NET || device == VIRTIO_NET_LEGACY)
		return "virtio-net";
	if (device == VIRTIO_BLK || device == VIRTIO_BLK_LEGACY)
		return "virtio-blk";
	return NULL;
}

static bool look(const char *bdf, struct sysfs_pci *p)
{
	uint64_t vendor = 0, device = 0, class = 0;
	char node[16];

	sysfs_number(&vendor, PCI_DIR "/%s/vendor", bdf);
	sysfs_number(&device, PCI_DIR "/%s/device", bdf);
	sysfs_number(&class, PCI_DIR "/%s/class", bdf);
	p->kind = kind_of((unsigned)vendor, (unsigned)device, class);
	if (!p->kind)
		return false;
	snprintf(p->bdf, sizeof(p->bdf), "%.15s", bdf);
	p->vendor = (unsigned)vendor;
	p->device = (unsigned)device;
	sysfs_link_name(p->driver, sizeof(p->driver), PCI_DIR "/%s/driver", bdf);
	sysfs_link_name(p->iommu_group, sizeof(p->iommu_group), PCI_DIR "/%s/iommu_group", bdf);
	p->numa_node =
		sysfs_line(node, sizeof(node), PCI_DIR "/%s/numa_node", bdf) ? atoi(node) : -1;
	return true;
}

/* Is the block device @number ("8:1") behind the function? */
static bool is_behind(const char *number, const char *bdf)
{
	char path[64], real[PATH_MAX], part[32];

	snprintf(path, sizeof(path), "/sys/dev/block/%.32s", number);
	snprintf(part, sizeof(part), "/%.15s/", bdf);
	return realpath(path, real) && strstr(real, part);
}

bool sysfs_pci_mounted(const char *bdf, char *where, size_t len)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (f && !found && getline(&line, &room, f) > 0) {
		char number[33], at[256];

		/* Mount id, parent id, major:minor, root, where; see proc(5). */
		if (sscanf(line, "%*s %*s %32s %*s %255s", number, at) != 2)
			continue;
		found = is_behind(number, bdf);
		if (found)
			snprintf(where, len, "%s", at);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static int by_bdf(const void *a, const void *b)
{
	return strcmp(((const struct sysfs_pci *)a)->bdf, ((const struct sysfs_pci *)b)->bdf);
}

unsigned sysfs_pci_scan(struct sysfs_pci *out, unsigned max)
{
	DIR *dir = opendir(PCI_DIR);
	struct dirent *e;
	unsigned n = 0;

	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		struct sysfs_pci p;

		if (e->d_name[0] == '.' || !look(e->d_name, &p))
			continue;
		if (n < max)
			out[n] = p;
		n++;
	}
	closedir(dir);
	qsort(out, n < max ? n : max, sizeof(*out), by_bdf);
	return n;
}
