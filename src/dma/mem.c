/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The context's memory registry: every region is mapped into every space, when it is registered
 * or when the space is opened. All of it under the context's lock; nothing here is on a data path.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "base/err.h"
#include "base/riser.h"
#include "dma/space.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int dma_memory(size_t len, size_t align, struct dma_region *region)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room;
	char *base, *va;

	align = max_of(align, page);
	region->fd = -1;
#ifdef __linux__
	region->fd = memfd_create("riser", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (region->fd >= 0 && ftruncate(region->fd, (off_t)len)) {
		close(region->fd);
		return -ENOMEM;
	}
#endif
	/* Reserve enough to cut an aligned piece out of, then put the memory there. */
	room = len + align - page;
	base = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		goto fail;
	va = (char *)(uintptr_t)align_up((uint64_t)(uintptr_t)base, align);
	if (va != base)
		munmap(base, (size_t)(va - base));
	if (va + len != base + room)
		munmap(va + len, (size_t)(base + room - (va + len)));
	if (mmap(va, len, PROT_READ | PROT_WRITE,
		 MAP_FIXED | (region->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
		 region->fd, 0) == MAP_FAILED) {
		munmap(va, len);
		goto fail;
	}
	region->va = va;
	region->len = len;
	region->allocated = true;
	return 0;
fail:
	if (region->fd >= 0)
		close(region->fd);
	return -ENOMEM;
}

void dma_memory_free(struct dma_region *region)
{
	munmap(region->va, region->len);
	if (region->fd >= 0)
		close(region->fd);
}

/* The caller holds the context's lock. */
static int add_region(struct riser *r, struct dma_region *region, struct riser_err *err)
{
	char *start = region->va, *end = start + region->len;

	list_for_each (other, &r->regions, struct dma_region, link)
		if (start < (char *)other->va + other->len && (char *)other->va < end)
			return err_set(err, -EEXIST,
				       "memory at %p (%zu bytes) overlaps the region "
				       "at %p that is registered",
				       region->va, region->len, other->va);
	list_for_each (s, &r->spaces, struct riser_dma_space, link) {
		int rc = s->own ? 0 : dma_space_map(s, region, err);

		if (!rc)
			continue;
		list_for_each (t, &r->spaces, struct riser_dma_space, link) {
			if (t == s)
				break;
			if (!t->own)
				dma_space_unmap(t, region);
		}
		return rc;
	}
	list_add_tail(&r->regions, &region->link);
	return 0;
}

static void remove_region(struct riser *r, struct dma_region *region)
{
	list_del(&region->link);
	list_for_each (s, &r->spaces, struct riser_dma_space, link)
		if (!s->own)
			dma_space_unmap(s, region);
}

static struct dma_region *find_region(struct riser *r, const void *va, bool allocated)
{
	list_for_each (region, &r->regions, struct dma_region, link)
		if (region->va == va && region->allocated == allocated)
			return region;
	return NULL;
}

int riser_mem_alloc(struct riser *r, size_t len, void **out, struct riser_err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct dma_region *region = calloc(1, sizeof(*region));
	int rc;

	if (!region)
		return err_set(err, -ENOMEM, "no memory for a region");
	len = align_up(max_of(len, (size_t)1), page);
	/* From 2 MiB on, aligned so: translation then needs no leaf where the IOMMU allows it. */
	rc = dma_memory(len, len >= DMA_SLOT_SIZE ? DMA_SLOT_SIZE : page, region);
	if (rc) {
		free(region);
		return err_set(err, rc, "no memory (%zu bytes)", len);
	}
	pthread_mutex_lock(&r->lock);
	rc = add_region(r, region, err);
	pthread_mutex_unlock(&r->lock);
	if (rc) {
		dma_memory_free(region);
		free(region);
		return rc;
	}
	*out = region->va;
	return 0;
}

void riser_mem_free(struct riser *r, void *va)
{
	struct dma_region *region;

	if (!va)
		return;
	pthread_mutex_lock(&r->lock);
	region = find_region(r, va, true);
	if (region)
		remove_region(r, region);
	pthread_mutex_unlock(&r->lock);
	if (!region)
		return;
	dma_memory_free(region);
	free(region);
}

int riser_mem_register(struct riser *r, void *va, size_t len, int fd, uint64_t offset,
		       struct riser_err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct dma_region *region;
	int rc;

	if (!len || ((uintptr_t)va | len | offset) & (page - 1) ||
	    (uintptr_t)va + len < (uintptr_t)va)
		return err_set(err, -EINVAL,
			       "memory at %p (%zu bytes) cannot be registered: start, length and "
			       "offset must be multiples of %zu",
			       va, len, page);
	region = calloc(1, sizeof(*region));
	if (!region)
		return err_set(err, -ENOMEM, "no memory for a region");
	*region = (struct dma_region){ .va = va, .len = len, .fd = fd, .offset = offset };
	pthread_mutex_lock(&r->lock);
	rc = add_region(r, region, err);
	pthread_mutex_unlock(&r->lock);
	if (rc)
		free(region);
	return rc;
}

int riser_mem_unregister(struct riser *r, void *va)
{
	struct dma_region *region;

	pthread_mutex_lock(&r->lock);
	region = find_region(r, va, false);
	if (region)
		remove_region(r, region);
	pthread_mutex_unlock(&r->lock);
	free(region);
	return region ? 0 : -ENOENT;
}
