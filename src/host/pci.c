/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* PCI functions as sysfs shows them. */
#include "pci/pci.h"
#include "base/err.h"
#include "base/parse.h"
#include "host/host.h"
#include "pci/sysfs_info.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VENDOR_VIRTIO     0x1af4
#define VIRTIO_NET_LEGACY 0x1000
#define VIRTIO_BLK_LEGACY 0x1001
#define VIRTIO_NET        0x1041
#define VIRTIO_BLK        0x1042

static const char *kind_of(const struct riser_host_pci *p)
{
	if (p->class_code == PCI_CLASS_NVME)
		return "nvme";
	if (p->vendor != VENDOR_VIRTIO)
		return "";
	if (p->device == VIRTIO_NET || p->device == VIRTIO_NET_LEGACY)
		return "virtio-net";
	if (p->device == VIRTIO_BLK || p->device == VIRTIO_BLK_LEGACY)
		return "virtio-blk";
	return "";
}

static uint32_t number_of(const struct riser_host *h, const char *bdf, const char *file)
{
	char line[HOST_LINE];
	uint64_t v;

	if (!host_line(h, line, sizeof(line), HOST_PCI "/%s/%s", bdf, file) || parse_u64(line, &v))
		return 0;
	return (uint32_t)v;
}

void host_look(const struct riser_host *h, const char *bdf, struct riser_host_pci *p)
{
	char line[HOST_LINE];
	int group;

	memset(p, 0, sizeof(*p));
	snprintf(p->bdf, sizeof(p->bdf), "%s", bdf);
	p->vendor = number_of(h, bdf, "vendor");
	p->device = number_of(h, bdf, "device");
	p->class_code = number_of(h, bdf, "class");
	snprintf(p->kind, sizeof(p->kind), "%s", kind_of(p));
	pci_sysfs_driver(h->root, bdf, p->driver);
	if (host_line(h, line, sizeof(line), HOST_PCI "/%s/driver_override", bdf) &&
	    strcmp(line, "(null)"))
		snprintf(p->driver_override, sizeof(p->driver_override), "%.31s", line);
	group = pci_sysfs_group(h->root, bdf);
	p->iommu_group = group < 0 ? -1 : group;
	p->numa_node =
		host_line(h, line, sizeof(line), HOST_PCI "/%s/numa_node", bdf) ? atoi(line) : -1;
}

int host_bdf(const char *text, char *bdf, struct riser_err *err)
{
	const char *s = text;

	if (!strncmp(s, "pci:", 4))
		s += 4;
	else if (!strncmp(s, "sysfs:", 6))
		s += 6;
	if (!pci_bdf(s, bdf))
		return 0;
	return err_set(err, -EINVAL,
		       "'%s' is no address of a PCI function, such as 0000:01:00.0 (riser list "
		       "shows them)",
		       text);
}

int riser_host_pci_get(struct riser_host *h, const char *text, struct riser_host_pci *out,
		       struct riser_err *err)
{
	char bdf[PCI_BDF_LEN];
	int rc = host_bdf(text, bdf, err);

	if (rc)
		return rc;
	if (!pci_sysfs_there(h->root, bdf))
		return err_set(err, -ENODEV,
			       "there is no PCI function %s (riser list shows what there is)", bdf);
	host_look(h, bdf, out);
	return 0;
}

static int by_bdf(const void *a, const void *b)
{
	return strcmp(((const struct riser_host_pci *)a)->bdf,
		      ((const struct riser_host_pci *)b)->bdf);
}

/* Functions that a folder names by their addresses. */
static unsigned list_in(const struct riser_host *h, const char *folder, bool all,
			struct riser_host_pci *out, unsigned max)
{
	char path[PATH_MAX], bdf[PCI_BDF_LEN];
	DIR *dir = opendir(host_path(h, path, "%s", folder));
	struct dirent *e;
	unsigned n = 0;

	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		struct riser_host_pci p;

		if (host_bdf(e->d_name, bdf, NULL))
			continue;
		host_look(h, bdf, &p);
		if (!all && !*p.kind)
			continue;
		if (n < max)
			out[n] = p;
		n++;
	}
	closedir(dir);
	if (n > 1)
		qsort(out, n < max ? n : max, sizeof(*out), by_bdf);
	return n;
}

unsigned riser_host_pci_list(struct riser_host *h, uint32_t flags, struct riser_host_pci *out,
			     unsigned max)
{
	return list_in(h, HOST_PCI, flags & RISER_HOST_ALL, out, max);
}

unsigned riser_host_group_list(struct riser_host *h, int group, struct riser_host_pci *out,
			       unsigned max)
{
	char folder[64];

	snprintf(folder, sizeof(folder), "/sys/kernel/iommu_groups/%d/devices", group);
	return list_in(h, folder, true, out, max);
}

bool riser_host_is_in_the_way(const struct riser_host_pci *p)
{
	if (!*p->driver || p->class_code >> 8 == HOST_PCI_BRIDGE)
		return false;
	return strncmp(p->driver, "vfio", 4) && strcmp(p->driver, "pci-stub");
}
