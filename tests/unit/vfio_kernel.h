/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A kernel with VFIO, for the access to be opened on: it answers the ioctls of both ways to an
 * address space, remembers what it was told, and refuses where a test says so. What is read in
 * /sys, /proc and /dev is in a directory of its own.
 */
#ifndef TESTS_UNIT_VFIO_KERNEL_H
#define TESTS_UNIT_VFIO_KERNEL_H

#include "../tap.h"
#include "base/event.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/access/vfio.h"
#include "pci/access/vfio_iommufd.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define A          "0000:01:00.0"
#define B          "0000:01:00.1" /* of the same group */
#define C          "0000:02:00.0" /* of another one */

#define CONTAINER  1000 /* descriptors; each kind has some */
#define IOMMU      1100
#define GROUP      1200
#define DEVICE     1300
#define MAPS_MAX   64
#define RANGES_MAX 8
#define VECTORS    16
#define PLACE(n)   ((uint64_t)(n) << 40) /* of a region in a function's descriptor */
#define BAR_LEN    (16 * KiB)

struct kernel_map {
	uint64_t va, iova, len;
};

/* What it is like, and what it was told. Zero is a good kernel. */
static struct {
	char root[64];
	/* Refusals: negative errnos, or as named. */
	int open_container, open_group, open_iommu, open_node;
	int extension, status, set_container, set_iommu, device, map, bind, reset;
	bool not_viable, no_caps, bad_caps, short_unmap, no_type1, no_reset, no_mmap;
	unsigned resets_busy; /* how often a reset says EAGAIN */
	bool sparse, no_msix, dynamic, stuck_master;
	unsigned few_vectors; /* not more than these */
	struct vfio_range ranges[RANGES_MAX];
	unsigned nranges;
	uint64_t pages;
	/* Told. */
	struct kernel_map maps[MAPS_MAX];
	unsigned nmaps, mapped, resets, containers, order;
	unsigned open_fds, device_closed, group_closed, container_closed, unmapped_last;
	unsigned enabled;
	int32_t fds[VECTORS];
	int req_fd;
	unsigned irq_calls, irq_index;
	uint8_t cfg[256];
	_Alignas(4096) uint8_t bar[BAR_LEN];
} k;

static inline __attribute__((format(printf, 2, 3))) void kernel_path(char *out, const char *fmt,
								     ...)
{
	size_t n = strlen(k.root);
	va_list ap;

	memcpy(out, k.root, n);
	va_start(ap, fmt);
	vsnprintf(out + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
	for (char *p = out + n + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(out, 0755);
		*p = '/';
	}
}

static inline void kernel_file(const char *path, const char *text, mode_t mode)
{
	char p[PATH_MAX];
	int fd;

	kernel_path(p, "%s", path);
	fd = open(p, O_CREAT | O_WRONLY | O_TRUNC, mode);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode))
		exit(99);
	close(fd);
}

static inline void kernel_link(const char *to, const char *dir, const char *name)
{
	char p[PATH_MAX];

	kernel_path(p, "%s/%s", dir, name);
	unlink(p);
	if (symlink(to, p))
		exit(99);
}

/* Without a driver, unbound; group -1: none. */
static inline void kernel_function(const char *bdf, const char *driver, int group)
{
	char dir[64], to[64];

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", bdf);
	kernel_link("x", dir, "subsystem");
	if (driver) {
		snprintf(to, sizeof(to), "../../drivers/%s", driver);
		kernel_link(to, dir, "driver");
	}
	if (group < 0)
		return;
	snprintf(to, sizeof(to), "../../../kernel/iommu_groups/%d", group);
	kernel_link(to, dir, "iommu_group");
	snprintf(dir, sizeof(dir), "/sys/kernel/iommu_groups/%d/devices", group);
	kernel_link("x", dir, bdf);
	snprintf(dir, sizeof(dir), "/dev/vfio/%d", group);
	kernel_file(dir, "", 0600);
}

static inline int kernel_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline int kernel_open(const char *path)
{
	int fd;

	if (!strcmp(path, "/dev/vfio/vfio"))
		fd = k.open_container ?: CONTAINER + (int)k.containers++;
	else if (!strcmp(path, "/dev/iommu"))
		fd = k.open_iommu ?: IOMMU;
	else if (!strncmp(path, "/dev/vfio/devices/", 18))
		fd = k.open_node ?: DEVICE + atoi(path + 22);
	else
		fd = k.open_group ?: GROUP + atoi(path + strlen("/dev/vfio/"));
	k.open_fds += fd >= 0;
	return fd;
}

static inline void kernel_close(int fd)
{
	k.open_fds--;
	k.order++;
	if (fd >= DEVICE)
		k.device_closed = k.order;
	else if (fd >= GROUP)
		k.group_closed = k.order;
	else
		k.container_closed = k.order;
}

static inline int kernel_map(uint64_t va, uint64_t len, uint64_t iova)
{
	if (k.map)
		return k.map;
	for (unsigned i = 0; i < k.nmaps; i++)
		if (iova < k.maps[i].iova + k.maps[i].len && k.maps[i].iova < iova + len)
			return -EEXIST;
	for (unsigned i = 0; i < k.nranges; i++) {
		if (iova < k.ranges[i].first || iova + len - 1 > k.ranges[i].last)
			continue;
		k.maps[k.nmaps++] = (struct kernel_map){ va, iova, len };
		k.mapped++;
		return 0;
	}
	return -EPERM;
}

static inline uint64_t kernel_unmap(uint64_t iova, uint64_t len)
{
	k.unmapped_last = ++k.order;
	for (unsigned i = 0; i < k.nmaps && !k.short_unmap; i++)
		if (k.maps[i].iova == iova && k.maps[i].len == len) {
			k.maps[i] = k.maps[--k.nmaps];
			return len;
		}
	return 0;
}

/* The ranges, behind another capability; or a chain that leads out of the buffer. */
static inline int kernel_iommu_info(struct vfio_iommu_type1_info *info)
{
	struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1 },
		.nr_iovas = k.bad_caps ? 100000 : k.nranges
	};
	struct vfio_info_cap_header other = { .id = 99, .version = 1, .next = 40 };
	size_t need = 40 + sizeof(cap) + k.nranges * sizeof(struct vfio_range);

	info->flags = VFIO_IOMMU_INFO_PGSIZES | (k.no_caps ? 0 : VFIO_IOMMU_INFO_CAPS);
	info->iova_pgsizes = k.pages;
	info->cap_offset = 0;
	if (k.no_caps)
		return 0;
	if (info->argsz >= need) {
		info->cap_offset = 32;
		memcpy((char *)info + 32, &other, sizeof(other));
		memcpy((char *)info + 40, &cap, sizeof(cap));
		memcpy((char *)info + 40 + sizeof(cap), k.ranges,
		       k.nranges * sizeof(struct vfio_range));
	}
	info->argsz = (uint32_t)need;
	return 0;
}

static inline int kernel_region_info(struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap cap = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 }, .nr_areas = 1
	};
	struct vfio_region_sparse_mmap_area area = { .offset = 4096, .size = 4096 };

	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->offset = PLACE(info->index);
	info->size = info->index == VFIO_PCI_CONFIG_REGION_INDEX ? sizeof(k.cfg)
		     : info->index == 0                          ? BAR_LEN
								 : 0;
	info->cap_offset = 0;
	if (info->index || k.no_mmap)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP | (k.sparse ? VFIO_REGION_INFO_FLAG_CAPS : 0);
	if (!k.sparse)
		return 0;
	if (info->argsz >= 32 + sizeof(cap) + sizeof(area)) {
		info->cap_offset = 32;
		memcpy((char *)info + 32, &cap, sizeof(cap));
		memcpy((char *)info + 32 + sizeof(cap), &area, sizeof(area));
	}
	info->argsz = 32 + sizeof(cap) + sizeof(area);
	return 0;
}

static inline int kernel_irq_info(struct vfio_irq_info *info)
{
	bool msix = info->index == VFIO_PCI_MSIX_IRQ_INDEX;

	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (!(msix && k.dynamic))
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	info->count = msix                                    ? (k.no_msix ? 0 : VECTORS)
		      : info->index == VFIO_PCI_MSI_IRQ_INDEX ? 4
							      : 1;
	return 0;
}

static inline int kernel_set_irqs(const struct vfio_irq_set *set)
{
	int32_t fds[VECTORS];
	size_t len = set->count * sizeof(fds[0]);

	if (set->argsz != sizeof(*set) + len || set->start + set->count > VECTORS)
		return -EINVAL;
	memcpy(fds, set->data, len);
	if (set->index == VFIO_PCI_REQ_IRQ_INDEX) {
		k.req_fd = fds[0];
		return 0;
	}
	k.irq_calls++;
	k.irq_index = set->index;
	if (!set->count) {
		k.enabled = 0;
		return 0;
	}
	if (!k.enabled) {
		if (k.few_vectors && set->count > k.few_vectors)
			return (int)k.few_vectors;
		k.enabled = set->start + set->count;
	}
	if (set->start + set->count > k.enabled && !k.dynamic)
		return -EINVAL;
	memcpy(&k.fds[set->start], fds, len);
	return 0;
}

static inline int kernel_reset(void)
{
	if (k.resets_busy) {
		k.resets_busy--;
		return -EAGAIN;
	}
	k.resets++;
	if (!k.reset)
		memset(&k.cfg[PCI_CFG_COMMAND], 0, 2);
	return k.reset;
}

static inline int kernel_device_fd(const char *bdf)
{
	if (k.device)
		return k.device;
	k.open_fds++;
	return DEVICE + (bdf[11] - '0') + 10 * (bdf[6] - '0');
}

static inline int kernel_ioas_ranges(struct ioas_iova_ranges *ask)
{
	struct ioas_range *out = (struct ioas_range *)(uintptr_t)ask->ranges;
	uint32_t room = ask->n;

	for (unsigned i = 0; i < k.nranges && i < room; i++)
		out[i] = (struct ioas_range){ k.ranges[i].first, k.ranges[i].last };
	ask->n = k.nranges;
	ask->alignment = 4096;
	return k.nranges > room ? -EMSGSIZE : 0;
}

static inline int kernel_iommufd(int fd, unsigned long request, void *arg)
{
	struct vfio_attach *attach = arg;
	struct ioas_unmap *unmap = arg;
	struct ioas_alloc *alloc = arg;
	struct vfio_bind *bind = arg;
	struct ioas_map *map = arg;

	switch (request) {
	case IOAS_ALLOC:
		alloc->id = 77;
		return alloc->size == 12 && !alloc->flags ? 0 : -EINVAL;
	case IOAS_IOVA_RANGES:
		return kernel_ioas_ranges(arg);
	case IOAS_MAP:
		if (map->size != 40 || map->id != 77 || map->flags != 7 || map->reserved)
			return -EINVAL;
		return kernel_map(map->va, map->len, map->iova);
	case IOAS_UNMAP:
		if (unmap->size != 24 || unmap->id != 77)
			return -EINVAL;
		unmap->len = kernel_unmap(unmap->iova, unmap->len);
		return 0;
	case VFIO_BIND:
		bind->id = 5;
		return k.bind ?: bind->argsz == 16 && bind->iommufd == IOMMU ? 0 : -EINVAL;
	case VFIO_ATTACH:
		return attach->argsz == 12 && attach->ioas == 77 ? 0 : -EINVAL;
	default:
		return -ENOTTY;
	}
}

static inline int kernel_type1(unsigned long request, void *arg)
{
	struct vfio_iommu_type1_dma_unmap *unmap = arg;
	struct vfio_iommu_type1_dma_map *map = arg;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU && !k.no_type1;
	case VFIO_SET_IOMMU:
		return k.set_iommu;
	case VFIO_IOMMU_GET_INFO:
		return kernel_iommu_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		if (map->argsz != sizeof(*map) || map->flags != 3)
			return -EINVAL;
		return kernel_map(map->vaddr, map->size, map->iova);
	case VFIO_IOMMU_UNMAP_DMA:
		if (unmap->argsz != sizeof(*unmap) || unmap->flags)
			return -EINVAL;
		unmap->size = kernel_unmap(unmap->iova, unmap->size);
		return 0;
	default:
		return -ENOTTY;
	}
}

static inline int kernel_group(unsigned long request, void *arg)
{
	struct vfio_group_status *status = arg;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		status->flags = k.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return k.status;
	case VFIO_GROUP_SET_CONTAINER:
		return k.set_container ?: *(int *)arg / 100 == CONTAINER / 100 ? 0 : -EBADF;
	case VFIO_GROUP_GET_DEVICE_FD:
		return kernel_device_fd(arg);
	default:
		return -ENOTTY;
	}
}

static inline int kernel_device(int fd, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = VFIO_DEVICE_FLAGS_PCI | (k.no_reset ? 0 : VFIO_DEVICE_FLAGS_RESET);
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return kernel_region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return kernel_irq_info(arg);
	case VFIO_DEVICE_SET_IRQS:
		return kernel_set_irqs(arg);
	case VFIO_DEVICE_RESET:
		return kernel_reset();
	default:
		return kernel_iommufd(fd, request, arg);
	}
}

static inline int kernel_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd >= DEVICE)
		return kernel_device(fd, request, arg);
	if (fd >= GROUP)
		return kernel_group(request, arg);
	return fd >= IOMMU ? kernel_iommufd(fd, request, arg) : kernel_type1(request, arg);
}

/* Where a region's bytes are; NULL: nowhere. */
static inline uint8_t *kernel_bytes(size_t len, uint64_t off)
{
	if (off >= PLACE(VFIO_PCI_CONFIG_REGION_INDEX))
		return off + len <= PLACE(VFIO_PCI_CONFIG_REGION_INDEX) + sizeof(k.cfg)
			       ? k.cfg + (off - PLACE(VFIO_PCI_CONFIG_REGION_INDEX))
			       : NULL;
	return off + len <= BAR_LEN ? k.bar + off : NULL;
}

static inline ssize_t kernel_pread(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = kernel_bytes(len, off);

	if (!p)
		return -1;
	memcpy(buf, p, len);
	return (ssize_t)len;
}

static inline ssize_t kernel_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
	uint8_t *p = kernel_bytes(len, off);

	if (!p)
		return -1;
	memcpy(p, buf, len);
	if (k.stuck_master)
		k.cfg[PCI_CFG_COMMAND] |= PCI_COMMAND_MASTER;
	return (ssize_t)len;
}

static inline void *kernel_mmap(size_t len, int fd, uint64_t off)
{
	return kernel_bytes(len, off);
}

static inline void kernel_munmap(void *addr, size_t len)
{
}

static struct vfio_sys kernel = {
	.root = k.root,
	.open = kernel_open,
	.close = kernel_close,
	.ioctl = kernel_ioctl,
	.mmap = kernel_mmap,
	.munmap = kernel_munmap,
	.pread = kernel_pread,
	.pwrite = kernel_pwrite,
};

/* A good one, with three functions in two groups. */
static inline void kernel_boot(void)
{
	memset(&k, 0, sizeof(k));
	strcpy(k.root, "/tmp/riser-vfio-XXXXXX");
	if (!mkdtemp(k.root))
		exit(99);
	k.req_fd = -1;
	k.pages = 0xfffffffffffff000;
	k.ranges[0] = (struct vfio_range){ 0, 0xfedfffff };
	k.ranges[1] = (struct vfio_range){ 0xfef00000, (1ull << 39) - 1 };
	k.nranges = 2;
	memcpy(k.cfg, "\x36\x1b\x10\x00", 4);
	kernel_function(A, "vfio-pci", 7);
	kernel_function(B, "vfio-pci", 7);
	kernel_function(C, "vfio-pci", 8);
}

static inline void kernel_halt(void)
{
	nftw(k.root, kernel_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
