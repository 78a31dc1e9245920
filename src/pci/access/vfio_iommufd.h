/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the kernel's <linux/iommufd.h> (6.2) and <linux/vfio.h> (6.6) say, by other names: the
 * headers that riser is built with may be older. Fields that the kernel added later stay off.
 */
#ifndef PCI_ACCESS_VFIO_IOMMUFD_H
#define PCI_ACCESS_VFIO_IOMMUFD_H

#include <assert.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define IOAS_ALLOC       _IO(';', 0x81)
#define IOAS_IOVA_RANGES _IO(';', 0x84)
#define IOAS_MAP         _IO(';', 0x85)
#define IOAS_UNMAP       _IO(';', 0x86)
#define VFIO_BIND        _IO(';', 100 + 18)
#define VFIO_ATTACH      _IO(';', 100 + 19)

#define IOAS_MAP_FIXED   1u
#define IOAS_MAP_WRITE   2u
#define IOAS_MAP_READ    4u

struct ioas_alloc {
	uint32_t size, flags;
	uint32_t id; /* out */
};
static_assert(sizeof(struct ioas_alloc) == 12, "of the kernel");

struct ioas_range {
	uint64_t first, last;
};

struct ioas_iova_ranges {
	uint32_t size, id;
	uint32_t n; /* in and out; too few: -EMSGSIZE, and how many there are */
	uint32_t reserved;
	uint64_t ranges;    /* their address */
	uint64_t alignment; /* out */
};
static_assert(sizeof(struct ioas_iova_ranges) == 32, "of the kernel");

struct ioas_map {
	uint32_t size, flags, id, reserved;
	uint64_t va, len, iova;
};
static_assert(sizeof(struct ioas_map) == 40, "of the kernel");

struct ioas_unmap {
	uint32_t size, id;
	uint64_t iova;
	uint64_t len; /* in and out */
};
static_assert(sizeof(struct ioas_unmap) == 24, "of the kernel");

struct vfio_bind {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t id; /* out */
};
static_assert(sizeof(struct vfio_bind) == 16, "of the kernel");

struct vfio_attach {
	uint32_t argsz, flags;
	uint32_t ioas; /* in; out: the page table's */
};
static_assert(sizeof(struct vfio_attach) == 12, "of the kernel");

#endif
