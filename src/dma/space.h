/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A DMA space: the memory that one device may reach, and at which address (IOVA) the device sees
 * it. Supplied by each PCI access (and by vhost-user): the other side may choose the IOVA and may
 * split a range.
 *
 * Regions live in the context's registry (dma/mem.c); every space maps every region, once, never
 * per I/O. A space whose device reaches only its own memory (caps.own) maps none and supplies
 * alloc instead.
 *
 * Translation is one load from a table indexed by VA >> 21, plus one more where the IOMMU's pages
 * are small:
 *
 *	entry & 1	IOVA - VA of the whole 2 MiB, with bit 0 set
 *	entry		else a leaf: one IOVA per IOMMU page, 0 where unmapped, and one entry more
 *that stays 0, so that "the next page" needs no bounds check 0		nothing is mapped there
 *
 * IOVA 0 is never used. The table spans 47 bits of address in NORESERVE memory; where the process
 * may not have so much address space (RLIMIT_AS) or a VA lies beyond, opening or mapping fails
 * with a sentence. There is no one-entry cache: it would be stale after an unmap and a remap.
 */
#ifndef DMA_SPACE_H
#define DMA_SPACE_H

#include "base/barrier.h"
#include "base/list.h"
#include "base/util.h"
#include <riser/riser.h>

#define DMA_SLOT_SHIFT 21
#define DMA_SLOT_SIZE  (1ull << DMA_SLOT_SHIFT)
#define DMA_VA_BITS    47
#define DMA_SLOTS      (1ull << (DMA_VA_BITS - DMA_SLOT_SHIFT))

#define DMA_NONE       UINT64_MAX /* "no such address" */

struct riser_dma_space;

/**
 * struct dma_region - memory that devices may reach
 * @va: start, page aligned
 * @len: bytes, a multiple of the page size
 * @fd: descriptor behind it, or -1
 * @offset: of @va in @fd
 * @contiguous: wants consecutive IOVAs throughout (queues); a space that cannot says -EOPNOTSUPP
 */
struct dma_region {
	struct list link;
	void *va;
	size_t len;
	int fd;
	uint64_t offset;
	bool contiguous;
	bool allocated; /* riser_mem_alloc(): ours to unmap and close */
};

/**
 * struct dma_space_ops - what a device's IOMMU does
 * @size: sizeof(struct dma_space_ops)
 * @map: make a region reachable; calls dma_space_enter() for each piece. On failure it has undone
 *	its pieces with dma_space_clear() (the core clears the region's slots as well)
 * @unmap: the region's table entries are gone already; returns when the device can no longer
 *	reach it
 * @alloc: memory of the device's own, zeroed, aligned to @align, consecutive IOVAs; NULL: ordinary
 *	memory, mapped with @contiguous
 * @free: gives it back; required with @alloc
 */
struct dma_space_ops {
	size_t size;
	int (*map)(struct riser_dma_space *s, const struct dma_region *region,
		   struct riser_err *err);
	void (*unmap)(struct riser_dma_space *s, const struct dma_region *region);
	int (*alloc)(struct riser_dma_space *s, size_t len, size_t align, void **out,
		     struct riser_err *err);
	void (*free)(struct riser_dma_space *s, void *va, size_t len);
};

struct riser_dma_space {
	const struct dma_space_ops *ops;
	struct riser *r;
	uint64_t *table;
	unsigned page_shift; /* of the IOMMU */
	bool own;            /* the device reaches only memory of ops->alloc */
	struct list link;    /* in struct riser.spaces */
	struct list leaves;  /* freed with the space only */
	struct list allocs;  /* struct dma_region of dma_alloc() */
};

/**
 * dma_space_init - make a space and map every registered region into it
 * @s: embedded in the PCI access's structure
 * @r: the context
 * @ops: the device's IOMMU
 * @page_shift: log2 of the IOMMU's page size, 12…21
 * @own: the device reaches only memory of ops->alloc
 * @err: filled on failure
 *
 * Return: 0 or a negative errno; on failure nothing is left.
 */
int dma_space_init(struct riser_dma_space *s, struct riser *r, const struct dma_space_ops *ops,
		   unsigned page_shift, bool own, struct riser_err *err);

/* Unmap everything and free. Partial-safe: a zeroed structure is left alone. */
void dma_space_destroy(struct riser_dma_space *s);

/**
 * dma_space_enter - ops->map says where a piece of a region lies
 * @s: the space
 * @va: start, a multiple of the IOMMU's page size
 * @len: bytes, likewise
 * @iova: of @va, likewise; not 0
 *
 * Return: 0, -ENOMEM, or -ERANGE for a VA beyond the table.
 */
int dma_space_enter(struct riser_dma_space *s, const void *va, size_t len, uint64_t iova);
void dma_space_clear(struct riser_dma_space *s, const void *va, size_t len);

/* Fill @region's va, len and fd with fresh zeroed memory. Return: 0 or -ENOMEM. */
int dma_memory(size_t len, size_t align, struct dma_region *region);
void dma_memory_free(struct dma_region *region);

/* Registry's calls (dma/mem.c). */
int dma_space_map(struct riser_dma_space *s, const struct dma_region *region,
		  struct riser_err *err);
void dma_space_unmap(struct riser_dma_space *s, const struct dma_region *region);

/**
 * struct dma_mem - memory for a device's structures (queues, lists, data of admin commands)
 */
struct dma_mem {
	void *va;
	uint64_t iova; /* consecutive over @len */
	size_t len;
};

/**
 * dma_alloc - memory that one device reaches at consecutive IOVAs
 * @s: the space
 * @len: bytes; rounded up to the page size
 * @align: of VA and IOVA; a power of two, at most 2 MiB
 * @out: zeroed memory; give it back with dma_free()
 * @err: filled on failure
 *
 * Return: 0 or -ENOMEM.
 */
int dma_alloc(struct riser_dma_space *s, size_t len, size_t align, struct dma_mem *out,
	      struct riser_err *err);
/* A zeroed @m is left alone; @m is zeroed. */
void dma_free(struct riser_dma_space *s, struct dma_mem *m);

/* The table's entry for a VA: 0 where there is none. */
static inline uint64_t dma_slot(const struct riser_dma_space *s, const void *va)
{
	uint64_t i = (uint64_t)(uintptr_t)va >> DMA_SLOT_SHIFT;

	/* The acquire pairs with dma_space_enter(): the entry may be a pointer to a leaf. */
	return likely(i < DMA_SLOTS) ? load_acquire(&s->table[i]) : 0;
}

/* Look @v up in the leaf that @entry points at. Return: its IOVA, or DMA_NONE. */
static inline uint64_t dma_leaf(const struct riser_dma_space *s, uint64_t entry, uint64_t v)
{
	const uint64_t *leaf = (const uint64_t *)(uintptr_t)entry;
	uint64_t page = load_relaxed(&leaf[(v & (DMA_SLOT_SIZE - 1)) >> s->page_shift]);

	return likely(page) ? page + (v & ((1ull << s->page_shift) - 1)) : DMA_NONE;
}

/* Return: the IOVA of one byte, or DMA_NONE. */
static inline uint64_t dma_translate(const struct riser_dma_space *s, const void *va)
{
	uint64_t v = (uint64_t)(uintptr_t)va, e = dma_slot(s, va);

	if (e & 1)
		return v + (e - 1);
	return likely(e) ? dma_leaf(s, e, v) : DMA_NONE;
}

#endif
