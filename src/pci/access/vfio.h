/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * VFIO: a PCI function that Linux hands over.
 *
 *	vfio.c		the access: registers, configuration space, reset, removal
 *	vfio_irq.c	MSI-X, MSI, and the kernel's request to have the function back
 *	vfio_space.c	an address space of the IOMMU, shared by the functions of a group: who has
 *it, where memory lies in it vfio_group.c	the way to one through container and group (type1)
 *	vfio_iommufd.c	the way to one through /dev/iommu and the function's own node
 *	vfio_why.c	sentences about what is in the way
 *
 * Opening and closing are under the context's open_lock, memory under its lock.
 */
#ifndef PCI_ACCESS_VFIO_H
#define PCI_ACCESS_VFIO_H

#include "pci/pci.h"
#include "pci/sysfs_info.h"
#include <pthread.h>
#include <sys/types.h>

#define VFIO_NODE_LEN 64 /* of a path in /dev */
#define VFIO_WINDOWS  4
#define VFIO_BARS     6

struct vfio_dev;
struct vfio_space;

/**
 * struct vfio_sys - the kernel, or a test's
 * @root: stands before what is looked at in /sys, /proc and /dev, but for @open
 * @open: for reading and writing. Return: a descriptor or a negative errno
 * @ioctl: Return: as ioctl(2), with a negative errno
 * @mmap: shared, for reading and writing. Return: NULL when it fails
 */
struct vfio_sys {
	const char *root;
	int (*open)(const char *path);
	void (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*mmap)(size_t len, int fd, uint64_t off);
	void (*munmap)(void *addr, size_t len);
	ssize_t (*pread)(int fd, void *buf, size_t len, uint64_t off);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, uint64_t off);
};

struct vfio_range {
	uint64_t first, last;
};

/**
 * struct vfio_way - to an address space
 * @open: have one
 * @device: the function's descriptor into @v->fd, with its DMA in this space
 * @look: fill page_shift and ranges, which depend on the function
 * @map: Return: 0 or a negative errno
 * @unmap: Return: 0 when all of it is unmapped
 * @close: partial-safe; no function of the space is open any more
 */
struct vfio_way {
	int (*open)(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err);
	int (*device)(struct vfio_space *s, struct vfio_dev *v, struct riser_err *err);
	int (*look)(struct vfio_space *s, const struct vfio_dev *v, struct riser_err *err);
	int (*map)(struct vfio_space *s, const void *va, uint64_t len, uint64_t iova);
	int (*unmap)(struct vfio_space *s, uint64_t iova, uint64_t len);
	void (*close)(struct vfio_space *s);
};

extern const struct vfio_way vfio_way_group, vfio_way_iommufd;

/**
 * struct vfio_space - an address space of the IOMMU
 * @devs: struct vfio_dev, those who have it
 * @group: the IOMMU group's number
 * @fd: the container, or /dev/iommu
 * @group_fd: of the way through groups
 * @ioas: of the other way
 * @ranges: usable addresses, in order
 * @base: none below
 * @maps: struct vfio_map in order; under the context's lock
 * @next: where the next one goes if it can, behind @last of @maps
 */
struct vfio_space {
	struct list link; /* in struct riser.vfio */
	const struct vfio_sys *sys;
	const struct vfio_way *way;
	struct list devs;
	int group;
	int fd, group_fd;
	uint32_t ioas;
	unsigned page_shift;
	struct vfio_range *ranges;
	unsigned nranges;
	uint64_t base, next;
	struct list maps;
	struct list *last;
};

struct vfio_region {
	uint64_t size, offset;
	uint32_t flags;
};

/**
 * struct vfio_dev - an opened function
 * @bars: as the kernel tells them; @cfg: configuration space
 * @windows: what is mapped of the BARs
 * @lock: around what follows
 * @reset: what the last try of a reset said
 * @req_fd: the kernel wants it back
 * @looked: when that was asked last; atomic
 * @gone: atomic; it does no DMA any more, and nobody has to look
 * @irq_index: of MSI-X or MSI
 * @nvectors: there are
 * @dynamic: vectors can be added while others are in use
 * @enabled: vectors set up in the kernel; 0: none
 * @fds: the event of each vector
 */
struct vfio_dev {
	struct pci_dev pci;
	const struct vfio_sys *sys;
	struct vfio_space *space;
	struct list link; /* in @space */
	char bdf[PCI_BDF_LEN];
	int fd;
	bool resets;
	struct vfio_region bars[VFIO_BARS], cfg;
	struct {
		void *addr;
		size_t len;
	} windows[VFIO_WINDOWS];

	pthread_mutex_t lock;
	int reset;
	int req_fd;
	uint64_t looked;
	bool gone;
	uint32_t irq_index;
	unsigned nvectors;
	bool dynamic;
	unsigned enabled;
	int *fds;
};

/* What access_pci opens with, on another kernel. */
int vfio_open_on(const struct vfio_sys *sys, struct riser *r, const struct uri *u,
		 struct pci_dev **out, struct riser_err *err);

/*
 * Ask for an information that begins with argsz and flags, as long as the kernel says; @ask is
 * what it is asked with, @len bytes. Return: 0 and a buffer to free() of *@got bytes, or a
 * negative errno.
 */
int vfio_ask(const struct vfio_sys *sys, int fd, unsigned long request, const void *ask, size_t len,
	     void **out, size_t *got);
/* A capability in it, from @off on, of which @least bytes are there; or NULL. */
const void *vfio_cap(const void *info, size_t len, uint32_t off, unsigned id, size_t least);

/* vfio_space.c: join the space of the function's group, or make it. @base: 0, or where to begin. */
int vfio_space_join(struct vfio_dev *v, uint64_t base, struct riser_err *err);
void vfio_space_leave(struct vfio_dev *v);
int vfio_space_add_range(struct vfio_space *s, uint64_t first, uint64_t last);
extern const struct dma_space_ops vfio_space_ops;

/* vfio_irq.c */
int vfio_irq_init(struct vfio_dev *v, struct riser_err *err);
void vfio_irq_end(struct vfio_dev *v);
unsigned vfio_irq_vectors(struct pci_dev *d);
int vfio_irq_set(struct pci_dev *d, const int *fds, unsigned n);

/* vfio_why.c: each says what is in the way and returns a negative errno. */
/* Is the function there, in a group, and bound to VFIO? */
int vfio_why_not(const struct vfio_sys *sys, const char *bdf, int *group, struct riser_err *err);
int vfio_why_node(const struct vfio_dev *v, const char *node, int rc, struct riser_err *err);
int vfio_why_viable(const struct vfio_dev *v, int group, struct riser_err *err);
/* @all bytes would be locked with @len more. */
int vfio_why_map(const struct vfio_dev *v, size_t len, uint64_t all, int rc, struct riser_err *err);

#endif
