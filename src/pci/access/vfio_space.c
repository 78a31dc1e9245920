/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An address space of the IOMMU. The functions of one IOMMU group cannot be told apart by it, so
 * they share one: a region is mapped (and its memory locked) once, however many of them reach it.
 *
 * The kernel says which addresses can be used: a machine may have no more than 39 bits, and leaves
 * out what is reserved, such as where interrupts are written to. Each region is one mapping, since
 * the kernel allows 65,535 of them. Addresses are handed out upwards, and again only when the end
 * was reached: late DMA to what was unmapped faults instead of hitting its successor.
 */
#include "base/err.h"
#include "base/riser.h"
#include "pci/access/vfio.h"
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START    (4 * (uint64_t)GiB) /* where nobody asks for another place */
#define INFO_MAX (1 * MiB)
#define CAPS_MAX 64

/**
 * struct vfio_map - a region in the space
 * @refs: functions that reach it; 0: unmapping failed, and nothing may be put here
 */
struct vfio_map {
	struct list link;
	const void *va;
	uint64_t len, iova;
	unsigned refs;
};

int vfio_ask(const struct vfio_sys *sys, int fd, unsigned long request, const void *ask, size_t len,
	     void **out, size_t *got)
{
	uint32_t argsz = (uint32_t)len;
	uint8_t *info = NULL;
	int rc;

	do {
		uint8_t *room = realloc(info, argsz);

		if (!room) {
			free(info);
			return -ENOMEM;
		}
		info = room;
		*got = argsz;
		memset(info, 0, argsz);
		memcpy(info, ask, len);
		memcpy(info, &argsz, sizeof(argsz));
		rc = sys->ioctl(fd, request, info);
		memcpy(&argsz, info, sizeof(argsz));
	} while (rc >= 0 && argsz > *got && argsz <= INFO_MAX);
	if (rc < 0) {
		free(info);
		return rc;
	}
	*out = info;
	return 0;
}

const void *vfio_cap(const void *info, size_t len, uint32_t off, unsigned id, size_t least)
{
	struct vfio_info_cap_header head;

	for (unsigned i = 0; off && i < CAPS_MAX; i++) {
		if (off > len || len - off < sizeof(head))
			return NULL;
		memcpy(&head, (const char *)info + off, sizeof(head));
		if (head.id == id)
			return len - off >= least ? (const char *)info + off : NULL;
		off = head.next;
	}
	return NULL;
}

int vfio_space_add_range(struct vfio_space *s, uint64_t first, uint64_t last)
{
	struct vfio_range *more = realloc(s->ranges, (s->nranges + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	s->ranges = more;
	s->ranges[s->nranges++] = (struct vfio_range){ first, last };
	return 0;
}

/* --- Where memory lies --- */

/* From @at on, an address with the VA's place within @align. */
static uint64_t fit(uint64_t at, uint64_t va, uint64_t align)
{
	return at + ((va - at) & (align - 1));
}

/* The first such address from @at on whose @len bytes the IOMMU takes, or 0. */
static uint64_t usable(const struct vfio_space *s, uint64_t at, uint64_t len, uint64_t va,
		       uint64_t align)
{
	for (unsigned i = 0; i < s->nranges; i++) {
		uint64_t c = fit(max_of(at, s->ranges[i].first), va, align);

		if (c >= at && c <= s->ranges[i].last && len - 1 <= s->ranges[i].last - c)
			return c;
	}
	return 0;
}

/* Behind @node of the list, from @at on. *@before: what it comes behind. Return: 0 for none. */
static uint64_t search(struct vfio_space *s, struct list *node, uint64_t at, uint64_t len,
		       uint64_t va, uint64_t align, struct list **before)
{
	uint64_t c = usable(s, at, len, va, align);

	for (; c && node->next != &s->maps; node = node->next) {
		const struct vfio_map *m = list_entry(node->next, struct vfio_map, link);

		if (m->iova >= c + len)
			break;
		if (m->iova + m->len > c)
			c = usable(s, m->iova + m->len, len, va, align);
	}
	*before = node;
	return c;
}

/*
 * The IOVA keeps the VA's place within 2 MiB where the region is that large, so that the IOMMU can
 * use its large pages, and where it is for queues and lists, whose alignment the VA has.
 */
static uint64_t place(struct vfio_space *s, const struct dma_region *region, struct list **before)
{
	uint64_t v = (uint64_t)(uintptr_t)region->va, len = region->len;
	uint64_t align = DMA_SLOT_SIZE, iova;

	if (len < DMA_SLOT_SIZE)
		align = region->contiguous ? min_of(align, v & -v) : 1ull << s->page_shift;
	iova = search(s, s->last, s->next, len, v, align, before);
	return iova ? iova : search(s, &s->maps, s->base, len, v, align, before);
}

static uint64_t locked(struct riser *r)
{
	uint64_t all = 0;

	list_for_each (s, &r->vfio, struct vfio_space, link)
		list_for_each (m, &s->maps, struct vfio_map, link)
			all += m->len;
	return all;
}

static struct vfio_map *find(struct vfio_space *s, const struct dma_region *region)
{
	list_for_each (m, &s->maps, struct vfio_map, link)
		if (m->refs && m->va == region->va && m->len == region->len)
			return m;
	return NULL;
}

static int map(struct vfio_dev *v, const struct dma_region *region, struct vfio_map **out,
	       struct riser_err *err)
{
	struct vfio_space *s = v->space;
	uint64_t page = 1ull << s->page_shift;
	struct list *before;
	struct vfio_map *m;
	int rc;

	if (((uint64_t)(uintptr_t)region->va | region->len) & (page - 1))
		return err_set(
			err, -EINVAL,
			"%s: memory at %p (%zu bytes) is not made of the IOMMU's pages (%llu "
			"bytes)",
			v->bdf, region->va, region->len, (unsigned long long)page);
	m = malloc(sizeof(*m));
	if (!m)
		return err_set(err, -ENOMEM, "%s: no memory", v->bdf);
	*m = (struct vfio_map){ .va = region->va, .len = region->len };
	m->iova = place(s, region, &before);
	if (!m->iova) {
		free(m);
		return err_set(err, -ENOSPC, "%s: no %zu bytes of IOVA are left", v->bdf,
			       region->len);
	}
	rc = s->way->map(s, m->va, m->len, m->iova);
	if (rc) {
		free(m);
		return vfio_why_map(v, region->len, locked(v->pci.r) + region->len, rc, err);
	}
	list_add(before, &m->link);
	s->last = &m->link;
	s->next = m->iova + m->len;
	*out = m;
	return 0;
}

static void drop(struct vfio_dev *v, struct vfio_map *m)
{
	struct vfio_space *s = v->space;
	int rc;

	if (--m->refs)
		return;
	rc = s->way->unmap(s, m->iova, m->len);
	if (rc) {
		base_log(
			v->pci.r, RISER_LOG_ERROR,
			"%s: IOVA %#llx (%llu bytes) cannot be unmapped (%s): the device may still "
			"reach that memory",
			v->bdf, (unsigned long long)m->iova, (unsigned long long)m->len,
			strerror(-rc));
		return;
	}
	if (s->last == &m->link)
		s->last = m->link.prev;
	list_del(&m->link);
	free(m);
}

static int space_map(struct riser_dma_space *dma, const struct dma_region *region,
		     struct riser_err *err)
{
	struct vfio_dev *v = container_of(dma, struct vfio_dev, pci.dma);
	struct vfio_map *m = find(v->space, region);
	int rc = m ? 0 : map(v, region, &m, err);

	if (rc)
		return rc;
	m->refs++;
	rc = dma_space_enter(dma, m->va, m->len, m->iova);
	if (!rc)
		return 0;
	drop(v, m);
	return err_set(err, rc, "%s: cannot enter memory at %p: %s", v->bdf, region->va,
		       strerror(-rc));
}

static void space_unmap(struct riser_dma_space *dma, const struct dma_region *region)
{
	struct vfio_dev *v = container_of(dma, struct vfio_dev, pci.dma);
	struct vfio_map *m = find(v->space, region);

	if (m)
		drop(v, m);
}

const struct dma_space_ops vfio_space_ops = {
	.size = sizeof(vfio_space_ops),
	.map = space_map,
	.unmap = space_unmap,
};

/* --- Who has it --- */

static const struct vfio_way *choose_way(const struct vfio_dev *v, int group)
{
	char path[VFIO_NODE_LEN + PCI_NAME_LEN + 256], node[PCI_NAME_LEN];

	snprintf(path, sizeof(path), "%.250s/dev/vfio/%d", v->sys->root, group);
	if (access(path, F_OK) && pci_sysfs_vfio_node(v->sys->root, v->bdf, node))
		return &vfio_way_iommufd;
	return &vfio_way_group;
}

/* Every space begins somewhere: at the caller's @base, which has to be usable. */
static int set_base(struct vfio_space *s, const struct vfio_dev *v, uint64_t base,
		    struct riser_err *err)
{
	uint64_t page = 1ull << s->page_shift;

	s->base = s->next = base;
	if (!base) {
		s->base = page; /* 0 is no address */
		s->next = usable(s, START, page, 0, page) ? START : page;
	}
	if (!base || (base % page == 0 && usable(s, base, page, base, page) == base))
		return 0;
	return err_set(
		err, -EINVAL,
		"%s: iova-base=%#llx is no address of the IOMMU's pages (%llu bytes) between "
		"%#llx and %#llx, or is reserved",
		v->bdf, (unsigned long long)base, (unsigned long long)page,
		s->nranges ? (unsigned long long)s->ranges[0].first : 0,
		s->nranges ? (unsigned long long)s->ranges[s->nranges - 1].last : 0);
}

static void destroy(struct vfio_space *s)
{
	s->way->close(s);
	list_for_each_safe (m, &s->maps, struct vfio_map, link)
		free(m);
	free(s->ranges);
	free(s);
}

static int make(struct vfio_dev *v, int group, uint64_t base, struct riser_err *err)
{
	struct vfio_space *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(err, -ENOMEM, "%s: no memory", v->bdf);
	s->sys = v->sys;
	s->way = choose_way(v, group);
	s->group = group;
	s->fd = s->group_fd = -1;
	s->page_shift = 12;
	list_init(&s->devs);
	list_init(&s->maps);
	s->last = &s->maps;
	rc = s->way->open(s, v, err);
	if (!rc)
		rc = s->way->device(s, v, err);
	if (!rc)
		rc = s->way->look(s, v, err);
	if (!rc)
		rc = set_base(s, v, base, err);
	if (rc) {
		if (v->fd >= 0)
			v->sys->close(v->fd);
		v->fd = -1;
		destroy(s);
		return rc;
	}
	pthread_mutex_lock(&v->pci.r->lock);
	list_add_tail(&v->pci.r->vfio, &s->link);
	pthread_mutex_unlock(&v->pci.r->lock);
	v->space = s;
	return 0;
}

static int join(struct vfio_dev *v, struct vfio_space *s, uint64_t base, struct riser_err *err)
{
	list_for_each (other, &s->devs, struct vfio_dev, link)
		if (!strcmp(other->bdf, v->bdf))
			return err_set(err, -EBUSY, "%s is open already, as %s", v->bdf,
				       other->pci.name);
	if (base && base != s->base)
		return err_set(err, -EBUSY,
			       "%s shares its addresses with another function that is open, which "
			       "begin at %#llx: no other iova-base can be had",
			       v->bdf, (unsigned long long)s->base);
	v->space = s;
	return s->way->device(s, v, err);
}

int vfio_space_join(struct vfio_dev *v, uint64_t base, struct riser_err *err)
{
	struct vfio_space *mine = NULL;
	int group, rc = vfio_why_not(v->sys, v->bdf, &group, err);

	if (rc)
		return rc;
	list_for_each (s, &v->pci.r->vfio, struct vfio_space, link)
		if (s->group == group && s->sys == v->sys)
			mine = s;
	rc = mine ? join(v, mine, base, err) : make(v, group, base, err);
	if (rc)
		v->space = NULL;
	else
		list_add(&v->space->devs, &v->link);
	return rc;
}

void vfio_space_leave(struct vfio_dev *v)
{
	struct vfio_space *s = v->space;

	if (!s)
		return;
	list_del(&v->link);
	if (!list_empty(&s->devs))
		return;
	pthread_mutex_lock(&v->pci.r->lock);
	list_del(&s->link);
	pthread_mutex_unlock(&v->pci.r->lock);
	destroy(s);
}
