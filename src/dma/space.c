/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "dma/space.h"
#include "base/err.h"
#include "base/riser.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

struct leaf {
	struct list link;
	uint64_t pages[];
};

static size_t pages_per_slot(const struct riser_dma_space *s)
{
	return (size_t)1 << (DMA_SLOT_SHIFT - s->page_shift);
}

int dma_space_init(struct riser_dma_space *s, struct riser *r, const struct dma_space_ops *ops,
		   unsigned page_shift, bool own, struct riser_err *err)
{
	int rc = 0;

	memset(s, 0, sizeof(*s));
	s->r = r;
	s->ops = ops;
	s->page_shift = page_shift;
	s->own = own;
	list_init(&s->leaves);
	list_init(&s->allocs);
	list_init(&s->link);
	s->table = mmap(NULL, DMA_SLOTS * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->table == MAP_FAILED) {
		s->table = NULL;
		return err_set(err, -ENOMEM,
			       "no address space for a translation table of %llu MiB: raise the "
			       "limit on address space (ulimit -v)",
			       (unsigned long long)(DMA_SLOTS * sizeof(uint64_t) / MiB));
	}
	pthread_mutex_lock(&r->lock);
	if (!own) {
		list_for_each (region, &r->regions, struct dma_region, link) {
			rc = dma_space_map(s, region, err);
			if (rc)
				break;
		}
	}
	if (!rc)
		list_add_tail(&r->spaces, &s->link);
	pthread_mutex_unlock(&r->lock);
	if (rc)
		dma_space_destroy(s);
	return rc;
}

void dma_space_destroy(struct riser_dma_space *s)
{
	if (!s->table)
		return;
	pthread_mutex_lock(&s->r->lock);
	list_del(&s->link);
	if (!s->own)
		list_for_each (region, &s->r->regions, struct dma_region, link)
			if (dma_translate(s, region->va) != DMA_NONE)
				dma_space_unmap(s, region);
	pthread_mutex_unlock(&s->r->lock);
	list_for_each_safe (leaf, &s->leaves, struct leaf, link)
		free(leaf);
	munmap(s->table, DMA_SLOTS * sizeof(uint64_t));
	s->table = NULL;
}

static uint64_t *leaf_of(struct riser_dma_space *s, uint64_t *entry)
{
	uint64_t e = *entry;
	struct leaf *leaf;

	if (e && !(e & 1))
		return (uint64_t *)(uintptr_t)e;
	leaf = calloc(1, sizeof(*leaf) + (pages_per_slot(s) + 1) * sizeof(uint64_t));
	if (!leaf)
		return NULL;
	list_add(&s->leaves, &leaf->link);
	/* Pairs with dma_slot(): the leaf's zeroes are there before it can be found. */
	store_release(entry, (uint64_t)(uintptr_t)leaf->pages);
	return leaf->pages;
}

int dma_space_enter(struct riser_dma_space *s, const void *va, size_t len, uint64_t iova)
{
	uint64_t v = (uint64_t)(uintptr_t)va, end = v + len, page = 1ull << s->page_shift;

	if (end < v || end > 1ull << DMA_VA_BITS)
		return -ERANGE;
	while (v < end) {
		uint64_t *entry = &s->table[v >> DMA_SLOT_SHIFT];
		uint64_t stop = min_of(align_down(v, DMA_SLOT_SIZE) + DMA_SLOT_SIZE, end);
		uint64_t *leaf;

		/* A delta's bit 0 is free: both addresses are multiples of a page. */
		if (stop - v == DMA_SLOT_SIZE && !*entry) {
			store_release(entry, (iova - v) | 1);
			iova += stop - v;
			v = stop;
			continue;
		}
		leaf = leaf_of(s, entry);
		if (!leaf)
			return -ENOMEM;
		for (; v < stop; v += page, iova += page)
			store_relaxed(&leaf[(v & (DMA_SLOT_SIZE - 1)) >> s->page_shift], iova);
	}
	return 0;
}

void dma_space_clear(struct riser_dma_space *s, const void *va, size_t len)
{
	uint64_t v = (uint64_t)(uintptr_t)va, end = v + len, page = 1ull << s->page_shift;

	end = min_of(end, 1ull << DMA_VA_BITS);
	while (v < end) {
		uint64_t *entry = &s->table[v >> DMA_SLOT_SHIFT];
		uint64_t stop = min_of(align_down(v, DMA_SLOT_SIZE) + DMA_SLOT_SIZE, end);

		if (!*entry || *entry & 1) {
			store_release(entry, 0);
			v = stop;
			continue;
		}
		for (; v < stop; v += page)
			store_relaxed(&((uint64_t *)(uintptr_t)*entry)[(v & (DMA_SLOT_SIZE - 1)) >>
								       s->page_shift],
				      0);
	}
}

int dma_space_map(struct riser_dma_space *s, const struct dma_region *region, struct riser_err *err)
{
	int rc;

	if ((uint64_t)(uintptr_t)region->va + region->len > 1ull << DMA_VA_BITS)
		return err_set(err, -ERANGE, "memory at %p lies beyond %d bits of address",
			       region->va, DMA_VA_BITS);
	rc = s->ops->map(s, region, err);
	if (rc)
		dma_space_clear(s, region->va, region->len);
	return rc;
}

void dma_space_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	dma_space_clear(s, region->va, region->len);
	s->ops->unmap(s, region);
}

/* Ordinary memory for one space, behind a descriptor where the system has memfd. */
static int alloc_mapped(struct riser_dma_space *s, size_t len, size_t align, void **out,
			struct riser_err *err)
{
	struct dma_region *region = calloc(1, sizeof(*region));
	int rc;

	if (!region)
		return err_set(err, -ENOMEM, "no memory for DMA");
	rc = dma_memory(len, align, region);
	if (rc) {
		free(region);
		return err_set(err, rc, "no memory for DMA (%zu bytes)", len);
	}
	region->contiguous = true;
	rc = dma_space_map(s, region, err);
	if (rc) {
		dma_memory_free(region);
		free(region);
		return rc;
	}
	list_add(&s->allocs, &region->link);
	*out = region->va;
	return 0;
}

int dma_alloc(struct riser_dma_space *s, size_t len, size_t align, struct dma_mem *out,
	      struct riser_err *err)
{
	void *va;
	int rc;

	memset(out, 0, sizeof(*out));
	len = align_up(len, max_of((size_t)1 << s->page_shift, (size_t)sysconf(_SC_PAGESIZE)));
	pthread_mutex_lock(&s->r->lock);
	if (s->ops->alloc)
		rc = s->ops->alloc(s, len, align, &va, err);
	else
		rc = alloc_mapped(s, len, align, &va, err);
	pthread_mutex_unlock(&s->r->lock);
	if (rc)
		return rc;
	*out = (struct dma_mem){ .va = va, .iova = dma_translate(s, va), .len = len };
	return 0;
}

void dma_free(struct riser_dma_space *s, struct dma_mem *m)
{
	if (!m->va)
		return;
	pthread_mutex_lock(&s->r->lock);
	if (s->ops->alloc) {
		s->ops->free(s, m->va, m->len);
	} else {
		list_for_each_safe (region, &s->allocs, struct dma_region, link) {
			if (region->va != m->va)
				continue;
			list_del(&region->link);
			dma_space_unmap(s, region);
			dma_memory_free(region);
			free(region);
		}
	}
	pthread_mutex_unlock(&s->r->lock);
	memset(m, 0, sizeof(*m));
}
