/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/iommu.h"
#include "base/err.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#define HUGE_PAGES (DMA_SLOT_SIZE >> MODEL_PAGE_SHIFT)

/* Consecutive entries of the table that belong to one region. */
struct model_iommu_run {
	struct list link;
	const void *va; /* of the region */
	uint64_t first, count;
};

int model_iommu_init(struct model_iommu *u, bool huge, struct riser_err *err)
{
	memset(u, 0, sizeof(*u));
	u->table = mmap(NULL, MODEL_IOVA_PAGES * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (u->table == MAP_FAILED) {
		u->table = NULL;
		return err_set(err, -ENOMEM,
			       "no address space for the model's page table of %llu MiB: raise the "
			       "limit on address space (ulimit -v)",
			       (unsigned long long)(MODEL_IOVA_PAGES * sizeof(uint64_t) / MiB));
	}
	if (pthread_mutex_init(&u->lock, NULL)) {
		munmap(u->table, MODEL_IOVA_PAGES * sizeof(uint64_t));
		u->table = NULL;
		return err_set(err, -ENOMEM, "no memory for the model's IOMMU");
	}
	list_init(&u->runs);
	u->huge = huge;
	u->reach = MODEL_IOVA_PAGES;
	return 0;
}

void model_iommu_destroy(struct model_iommu *u)
{
	if (!u->table)
		return;
	list_for_each_safe (run, &u->runs, struct model_iommu_run, link)
		free(run);
	munmap(u->table, MODEL_IOVA_PAGES * sizeof(uint64_t));
	pthread_mutex_destroy(&u->lock);
	u->table = NULL;
}

/* The run that covers or follows entry @at first, or NULL. */
static const struct model_iommu_run *model_iommu_run_behind(const struct model_iommu *u,
							    uint64_t at)
{
	const struct model_iommu_run *best = NULL;

	list_for_each (run, &u->runs, struct model_iommu_run, link)
		if (run->first + run->count > at && (!best || run->first < best->first))
			best = run;
	return best;
}

/* Find @count free entries at a multiple of @align, from where the last search ended. */
static int model_iommu_find(struct model_iommu *u, uint64_t count, uint64_t align, uint64_t *first)
{
	uint64_t at = align_up(u->next, align);

	for (unsigned round = 0; round < 2;) {
		const struct model_iommu_run *run;

		if (count > MODEL_IOVA_PAGES || at > MODEL_IOVA_PAGES - count) {
			at = 0;
			round++;
			continue;
		}
		run = model_iommu_run_behind(u, at);
		if (!run || run->first >= at + count) {
			u->next = at + count;
			*first = at;
			return 0;
		}
		at = align_up(run->first + run->count, align);
	}
	return -ENOSPC;
}

static int model_iommu_take(struct model_iommu *u, const void *va, uint64_t count, uint64_t align,
			    uint64_t *first)
{
	struct model_iommu_run *run = malloc(sizeof(*run));
	int rc;

	if (!run)
		return -ENOMEM;
	rc = model_iommu_find(u, count, align, first);
	if (rc) {
		free(run);
		return rc;
	}
	*run = (struct model_iommu_run){ .va = va, .first = *first, .count = count };
	list_add(&u->runs, &run->link);
	return 0;
}

static int model_iommu_enter(struct model_iommu *u, struct riser_dma_space *s, const char *va,
			     uint64_t pages, uint64_t first)
{
	for (uint64_t i = 0; i < pages; i++)
		u->table[first + i] = (uint64_t)(uintptr_t)va + (i << MODEL_PAGE_SHIFT);
	return dma_space_enter(s, va, pages << MODEL_PAGE_SHIFT,
			       MODEL_IOVA_BASE + (first << MODEL_PAGE_SHIFT));
}

/*
 * Pieces of @size pages each, backwards through the run, as much room unmapped behind each as it
 * takes itself.
 */
static int model_iommu_scatter(struct model_iommu *u, struct riser_dma_space *s,
			       const struct dma_region *region, const char *va, uint64_t pages,
			       uint64_t size)
{
	uint64_t pieces = pages / size, first;
	int rc = 0;

	if (!pieces)
		return 0;
	rc = model_iommu_take(u, region->va, pieces * size * 2, size, &first);
	for (uint64_t i = 0; !rc && i < pieces; i++)
		rc = model_iommu_enter(u, s, va + ((i * size) << MODEL_PAGE_SHIFT), size,
				       first + (pieces - 1 - i) * size * 2);
	return rc;
}

static int model_iommu_map_huge(struct model_iommu *u, struct riser_dma_space *s,
				const struct dma_region *region)
{
	uint64_t start = (uint64_t)(uintptr_t)region->va, end = start + region->len;
	uint64_t low = align_up(start, DMA_SLOT_SIZE), high = align_down(end, DMA_SLOT_SIZE);
	const char *va = region->va;
	int rc;

	if (low >= high)
		return model_iommu_scatter(u, s, region, va, region->len >> MODEL_PAGE_SHIFT, 1);
	rc = model_iommu_scatter(u, s, region, va, (low - start) >> MODEL_PAGE_SHIFT, 1);
	if (!rc)
		rc = model_iommu_scatter(u, s, region, va + (low - start),
					 (high - low) >> MODEL_PAGE_SHIFT, HUGE_PAGES);
	if (!rc)
		rc = model_iommu_scatter(u, s, region, va + (high - start),
					 (end - high) >> MODEL_PAGE_SHIFT, 1);
	return rc;
}

/* Consecutive throughout, and aligned as the memory is, as far as queues and lists may ask. */
static int model_iommu_map_whole(struct model_iommu *u, struct riser_dma_space *s,
				 const struct dma_region *region)
{
	uint64_t pages = region->len >> MODEL_PAGE_SHIFT, first, align = HUGE_PAGES;
	int rc;

	while (align > 1 && (uint64_t)(uintptr_t)region->va & ((align << MODEL_PAGE_SHIFT) - 1))
		align >>= 1;
	rc = model_iommu_take(u, region->va, pages + 1, align, &first);
	return rc ? rc : model_iommu_enter(u, s, region->va, pages, first);
}

static void model_iommu_drop(struct model_iommu *u, const struct dma_region *region)
{
	list_for_each_safe (run, &u->runs, struct model_iommu_run, link) {
		if (run->va != region->va)
			continue;
		memset(&u->table[run->first], 0, run->count * sizeof(uint64_t));
		list_del(&run->link);
		free(run);
	}
}

int model_iommu_map(struct model_iommu *u, struct riser_dma_space *s,
		    const struct dma_region *region, struct riser_err *err)
{
	int rc;

	pthread_mutex_lock(&u->lock);
	if (region->contiguous)
		rc = model_iommu_map_whole(u, s, region);
	else if (u->huge)
		rc = model_iommu_map_huge(u, s, region);
	else
		rc = model_iommu_scatter(u, s, region, region->va, region->len >> MODEL_PAGE_SHIFT,
					 1);
	if (rc)
		model_iommu_drop(u, region);
	pthread_mutex_unlock(&u->lock);
	if (rc)
		return err_set(err, rc, "the model's IOMMU cannot map %zu bytes: %s", region->len,
			       strerror(-rc));
	return 0;
}

void model_iommu_unmap(struct model_iommu *u, const struct dma_region *region)
{
	pthread_mutex_lock(&u->lock);
	model_iommu_drop(u, region);
	pthread_mutex_unlock(&u->lock);
}

void model_iommu_master(struct model_iommu *u, bool on)
{
	pthread_mutex_lock(&u->lock);
	u->reach = on ? MODEL_IOVA_PAGES : 0;
	pthread_mutex_unlock(&u->lock);
}

void model_iommu_refuse(struct model_iommu *u, uint64_t iova)
{
	u->refused++;
	u->refused_iova = iova;
}
