/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The newer way: an address space of /dev/iommu, and the function's own node. No kernel at hand
 * has it: it was written from the layouts of the ioctls and has met a test's kernel only.
 */
#include "pci/access/vfio_iommufd.h"
#include "base/err.h"
#include "pci/access/vfio.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IOMMU      "/dev/iommu"
#define RANGES_MAX 64 /* a kernel that has more tells so; those behind are not used */

static int iommufd_open(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err)
{
	struct ioas_alloc alloc = { .size = sizeof(alloc) };
	int rc;

	s->fd = s->sys->open(IOMMU);
	if (s->fd < 0)
		return vfio_why_node(v, IOMMU, s->fd, err);
	rc = s->sys->ioctl(s->fd, IOAS_ALLOC, &alloc);
	s->ioas = alloc.id;
	return rc ? err_set(err, rc, "%s: no address space is to be had: %s", v->bdf, strerror(-rc))
		  : 0;
}

static int bind_and_attach(struct vfio_space *s, struct vfio_dev *v)
{
	struct vfio_bind bind = { .argsz = sizeof(bind), .iommufd = s->fd };
	struct vfio_attach attach = { .argsz = sizeof(attach), .ioas = s->ioas };
	int rc = s->sys->ioctl(v->fd, VFIO_BIND, &bind);

	return rc ? rc : s->sys->ioctl(v->fd, VFIO_ATTACH, &attach);
}

static int iommufd_device(struct vfio_space *s, struct vfio_dev *v, struct riser_err *err)
{
	char name[PCI_NAME_LEN] = "", node[VFIO_NODE_LEN];
	int rc;

	pci_sysfs_vfio_node(s->sys->root, v->bdf, name);
	snprintf(node, sizeof(node), "/dev/vfio/devices/%s", name);
	v->fd = s->sys->open(node);
	rc = v->fd < 0 ? v->fd : bind_and_attach(s, v);
	if (!rc)
		return 0;
	if (v->fd >= 0)
		s->sys->close(v->fd);
	v->fd = -1;
	return vfio_why_node(v, node, rc, err);
}

static int iommufd_look(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err)
{
	struct ioas_range ranges[RANGES_MAX] = { 0 };
	struct ioas_iova_ranges ask = { .size = sizeof(ask),
					.id = s->ioas,
					.n = RANGES_MAX,
					.ranges = (uint64_t)(uintptr_t)ranges };
	int rc = s->sys->ioctl(s->fd, IOAS_IOVA_RANGES, &ask);

	if (rc == -EMSGSIZE) /* what fits is there */
		rc = 0;
	if (!rc && is_power_of_two(ask.alignment))
		s->page_shift = max_of(12u, (unsigned)__builtin_ctzll(ask.alignment));
	for (unsigned i = 0; !rc && i < min_of(ask.n, (uint32_t)RANGES_MAX); i++)
		rc = vfio_space_add_range(s, ranges[i].first, ranges[i].last);
	return rc ? err_set(err, rc, "%s: the IOMMU tells no addresses: %s", v->bdf, strerror(-rc))
		  : 0;
}

static int iommufd_map(struct vfio_space *s, const void *va, uint64_t len, uint64_t iova)
{
	struct ioas_map map = {
		.size = sizeof(map),
		.flags = IOAS_MAP_FIXED | IOAS_MAP_WRITE | IOAS_MAP_READ,
		.id = s->ioas,
		.va = (uint64_t)(uintptr_t)va,
		.len = len,
		.iova = iova,
	};

	return s->sys->ioctl(s->fd, IOAS_MAP, &map);
}

static int iommufd_unmap(struct vfio_space *s, uint64_t iova, uint64_t len)
{
	struct ioas_unmap unmap = {
		.size = sizeof(unmap), .id = s->ioas, .iova = iova, .len = len
	};
	int rc = s->sys->ioctl(s->fd, IOAS_UNMAP, &unmap);

	return rc ? rc : unmap.len == len ? 0 : -EIO;
}

static void iommufd_close(struct vfio_space *s)
{
	if (s->fd >= 0)
		s->sys->close(s->fd);
}

const struct vfio_way vfio_way_iommufd = {
	.open = iommufd_open,
	.device = iommufd_device,
	.look = iommufd_look,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.close = iommufd_close,
};
