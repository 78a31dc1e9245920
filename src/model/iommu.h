/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The models' own IOMMU. It is unkind on purpose, so that nobody gets used to luck:
 *
 * - an IOVA never equals the VA: IOVAs lie where no system puts memory, and below 2^44, which is
 * all that the legacy interface of virtio can name;
 * - a region of the user's is split at each of the IOMMU's pages, neighbours in memory are never
 *   neighbours in IOVA, and the page behind each is unmapped;
 * - IOVAs are handed out round the whole arena before one is used again, so that late DMA through
 *   a stale address is refused and not absorbed by somebody else's memory.
 *
 * Its page table is flat: one entry (a VA) for each IOVA page of the arena, in NORESERVE memory.
 */
#ifndef MODEL_IOMMU_H
#define MODEL_IOMMU_H

#include "base/list.h"
#include "dma/space.h"
#include <pthread.h>
#include <stdbool.h>

#define MODEL_PAGE_SHIFT 12
#define MODEL_PAGE       (1ull << MODEL_PAGE_SHIFT)
#define MODEL_IOVA_BASE  (1ull << 43)
#define MODEL_IOVA_PAGES (1ull << 26) /* 256 GiB */

/**
 * struct model_iommu - what one model may reach
 * @lock: taken by map and unmap, under the context's lock, and by the model around a step; so
 *	unmap returns when no step uses the region
 * @table: VA of each IOVA page, 0 where there is none
 * @reach: pages that can be looked up: all of them, or 0 while bus mastering is off
 * @next: where the next search for free pages begins
 * @huge: aligned 2 MiB of a region stay together
 * @runs: struct model_iommu_run, what is mapped
 * @refused: DMA to addresses that are not mapped
 * @refused_iova: the last of them
 */
struct model_iommu {
	pthread_mutex_t lock;
	uint64_t *table;
	uint64_t reach;
	uint64_t next;
	bool huge;
	struct list runs;
	uint64_t refused;
	uint64_t refused_iova;
};

int model_iommu_init(struct model_iommu *u, bool huge, struct riser_err *err);
/* Harmless on zeroed memory. */
void model_iommu_destroy(struct model_iommu *u);

/* struct dma_space_ops.map and unmap. */
int model_iommu_map(struct model_iommu *u, struct riser_dma_space *s,
		    const struct dma_region *region, struct riser_err *err);
void model_iommu_unmap(struct model_iommu *u, const struct dma_region *region);

/* Bus mastering on or off. */
void model_iommu_master(struct model_iommu *u, bool on);

/* Count a refusal. The caller holds the lock. */
void model_iommu_refuse(struct model_iommu *u, uint64_t iova);

/* Up to the page's end. The caller holds the lock. Return: the memory, or NULL. */
static inline void *model_iommu_at(const struct model_iommu *u, uint64_t iova)
{
	uint64_t page = (iova - MODEL_IOVA_BASE) >> MODEL_PAGE_SHIFT, va;

	if (unlikely(page >= u->reach))
		return NULL;
	va = u->table[page];
	return likely(va) ? (void *)(uintptr_t)(va + (iova & (MODEL_PAGE - 1))) : NULL;
}

#endif
