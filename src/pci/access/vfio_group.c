/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Container and group, with the IOMMU's interface "type1" in its second version. */
#include "base/err.h"
#include "pci/access/vfio.h"
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTAINER "/dev/vfio/vfio"

/* Of a kernel that does not say: 39 bits, above what x86 reserves. */
#define OLD_FIRST  (4 * (uint64_t)GiB)
#define OLD_LAST   ((1ull << 39) - 1)
#define RANGES_MAX 256

static int need_module(const struct vfio_dev *v, struct riser_err *err)
{
	return err_set(err, -ENODEV,
		       "%s: the kernel's module for IOMMUs is missing: as root, modprobe "
		       "vfio_iommu_type1",
		       v->bdf);
}

static int open_container(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err)
{
	int rc;

	s->fd = s->sys->open(CONTAINER);
	if (s->fd < 0)
		return vfio_why_node(v, CONTAINER, s->fd, err);
	rc = s->sys->ioctl(s->fd, VFIO_GET_API_VERSION, NULL);
	if (rc != VFIO_API_VERSION)
		return err_set(err, -ENOTSUP, "%s: this kernel's VFIO has version %d, not %d",
			       v->bdf, rc, VFIO_API_VERSION);
	rc = s->sys->ioctl(s->fd, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU);
	return rc > 0 ? 0 : need_module(v, err);
}

static int group_open(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char node[VFIO_NODE_LEN];
	int rc = open_container(s, v, err);

	if (rc)
		return rc;
	snprintf(node, sizeof(node), "/dev/vfio/%d", s->group);
	s->group_fd = s->sys->open(node);
	if (s->group_fd < 0)
		return vfio_why_node(v, node, s->group_fd, err);
	rc = s->sys->ioctl(s->group_fd, VFIO_GROUP_GET_STATUS, &status);
	if (!rc && !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return vfio_why_viable(v, s->group, err);
	if (!rc)
		rc = s->sys->ioctl(s->group_fd, VFIO_GROUP_SET_CONTAINER, &s->fd);
	if (rc)
		return err_set(err, rc, "%s: %s: %s", v->bdf, node, strerror(-rc));
	rc = s->sys->ioctl(s->fd, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	if (rc == -ENODEV)
		return need_module(v, err);
	if (rc == -EPERM)
		return err_set(
			err, rc,
			"%s: this IOMMU does not keep a device's interrupts apart: where that "
			"is no worry, modprobe vfio_iommu_type1 allow_unsafe_interrupts=1",
			v->bdf);
	return rc ? err_set(err, rc, "%s: the IOMMU refuses: %s", v->bdf, strerror(-rc)) : 0;
}

static int group_device(struct vfio_space *s, struct vfio_dev *v, struct riser_err *err)
{
	v->fd = s->sys->ioctl(s->group_fd, VFIO_GROUP_GET_DEVICE_FD, v->bdf);
	return v->fd < 0 ? err_set(err, v->fd, "%s: IOMMU group %d does not give it out: %s",
				   v->bdf, s->group, strerror(-v->fd))
			 : 0;
}

static int add_ranges(struct vfio_space *s, const void *info, size_t len, uint32_t off)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;
	struct vfio_iova_range range;
	const char *p = vfio_cap(info, len, off, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(cap));
	size_t room = p ? len - (size_t)(p - (const char *)info) - sizeof(cap) : 0;
	int rc = 0;

	if (!p)
		return vfio_space_add_range(s, OLD_FIRST, OLD_LAST);
	memcpy(&cap, p, sizeof(cap));
	for (unsigned i = 0; !rc && i < cap.nr_iovas && i < RANGES_MAX; i++) {
		if (room / sizeof(range) <= i)
			break;
		memcpy(&range, p + sizeof(cap) + i * sizeof(range), sizeof(range));
		rc = vfio_space_add_range(s, range.start, range.end);
	}
	return rc;
}

static int group_look(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err)
{
	struct vfio_iommu_type1_info head = { .argsz = sizeof(head) };
	size_t len;
	void *info;
	int rc = vfio_ask(s->sys, s->fd, VFIO_IOMMU_GET_INFO, &head, sizeof(head), &info, &len);

	if (rc)
		return err_set(err, rc, "%s: the IOMMU tells nothing of itself: %s", v->bdf,
			       strerror(-rc));
	memcpy(&head, info, sizeof(head));
	if (head.flags & VFIO_IOMMU_INFO_PGSIZES && head.iova_pgsizes)
		s->page_shift = (unsigned)__builtin_ctzll(head.iova_pgsizes);
	rc = add_ranges(s, info, len, head.flags & VFIO_IOMMU_INFO_CAPS ? head.cap_offset : 0);
	free(info);
	return rc ? err_set(err, rc, "%s: no memory", v->bdf) : 0;
}

static int group_map(struct vfio_space *s, const void *va, uint64_t len, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uint64_t)(uintptr_t)va,
		.iova = iova,
		.size = len,
	};

	return s->sys->ioctl(s->fd, VFIO_IOMMU_MAP_DMA, &map);
}

static int group_unmap(struct vfio_space *s, uint64_t iova, uint64_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = len,
	};
	int rc = s->sys->ioctl(s->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	return rc ? rc : unmap.size == len ? 0 : -EIO;
}

static void group_close(struct vfio_space *s)
{
	if (s->group_fd >= 0)
		s->sys->close(s->group_fd);
	if (s->fd >= 0)
		s->sys->close(s->fd);
}

const struct vfio_way vfio_way_group = {
	.open = group_open,
	.device = group_device,
	.look = group_look,
	.map = group_map,
	.unmap = group_unmap,
	.close = group_close,
};
