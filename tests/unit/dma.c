/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The translation table against a fake IOMMU that hands out IOVAs by page or by range. */
#include "../tap.h"
#include "dma/space.h"
#include <errno.h>

static struct riser *r;
static struct riser_err err;
static uint64_t next_iova;
static bool scatter;
static unsigned unmaps;

static int fake_map(struct riser_dma_space *s, const struct dma_region *region, struct riser_err *e)
{
	size_t step = scatter && !region->contiguous ? 4096 : region->len;

	for (size_t off = 0; off < region->len; off += step) {
		int rc = dma_space_enter(s, (char *)region->va + off, step, next_iova);

		if (rc)
			return rc;
		next_iova += step + (scatter ? 4096 : 0);
	}
	return 0;
}

static void fake_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	unmaps++;
}

static const struct dma_space_ops ops = { .size = sizeof(ops),
					  .map = fake_map,
					  .unmap = fake_unmap };

static void begin(struct riser_dma_space *s, bool scattered)
{
	next_iova = 0x100000000;
	scatter = scattered;
	unmaps = 0;
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(dma_space_init(s, r, &ops, 12, false, &err), 0);
}

static void end(struct riser_dma_space *s)
{
	dma_space_destroy(s);
	riser_free(r);
}

TEST(whole_slots_are_deltas)
{
	struct riser_dma_space s;
	void *va;

	SUB(begin(&s, false));
	CHECK_EQ(riser_mem_alloc(r, 4 * MiB, &va, &err), 0);
	CHECK(dma_slot(&s, va) & 1);
	CHECK_EQ(dma_translate(&s, va), 0x100000000);
	CHECK_EQ(dma_translate(&s, (char *)va + 4 * MiB - 1), 0x100000000 + 4 * MiB - 1);
	CHECK_EQ(dma_translate(&s, (char *)va + 4 * MiB), DMA_NONE);
	riser_mem_free(r, va);
	CHECK_EQ(dma_translate(&s, va), DMA_NONE);
	CHECK_EQ(unmaps, 1);
	SUB(end(&s));
}

TEST(scattered_pages_are_leaves)
{
	struct riser_dma_space s;
	char *va;

	SUB(begin(&s, true));
	CHECK_EQ(riser_mem_alloc(r, 2 * MiB, (void **)&va, &err), 0);
	CHECK(dma_slot(&s, va) != 0);
	CHECK_EQ(dma_slot(&s, va) & 1, 0);
	for (unsigned i = 0; i < 512; i++)
		CHECK_EQ(dma_translate(&s, va + i * 4096 + 5), 0x100000000 + i * 8192 + 5);
	/* The entry behind the last stays 0: "the next page" needs no bounds check. */
	CHECK_EQ(((uint64_t *)(uintptr_t)dma_slot(&s, va))[512], 0);
	riser_mem_free(r, va);
	CHECK_EQ(dma_translate(&s, va), DMA_NONE);
	SUB(end(&s));
}

TEST(a_space_maps_what_was_registered_before)
{
	struct riser_dma_space s, late;
	void *va;

	SUB(begin(&s, false));
	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
	CHECK_EQ(dma_space_init(&late, r, &ops, 12, false, &err), 0);
	CHECK(dma_translate(&late, va) != DMA_NONE);
	dma_space_destroy(&late);
	riser_mem_free(r, va);
	SUB(end(&s));
}

TEST(registering_wants_pages_and_no_overlap)
{
	struct riser_dma_space s;
	char *va;

	SUB(begin(&s, false));
	CHECK_EQ(riser_mem_alloc(r, 3 * 4096, (void **)&va, &err), 0);
	CHECK_EQ(riser_mem_register(r, va + 4096, 4096, -1, 0, &err), -EEXIST);
	CHECK_EQ(riser_mem_register(r, va + 1, 4096, -1, 0, &err), -EINVAL);
	CHECK_EQ(riser_mem_register(r, (void *)-4096, 8192, -1, 0, &err), -EINVAL);
	CHECK_EQ(riser_mem_unregister(r, va), -ENOENT);
	riser_mem_free(r, va);
	SUB(end(&s));
}

TEST(device_memory_is_contiguous_and_aligned)
{
	struct riser_dma_space s;
	struct dma_mem m;

	SUB(begin(&s, true));
	CHECK_EQ(dma_alloc(&s, 3 * 4096, 65536, &m, &err), 0);
	CHECK_EQ((uintptr_t)m.va & 65535, 0);
	CHECK_EQ(dma_translate(&s, (char *)m.va + 8192), m.iova + 8192);
	dma_free(&s, &m);
	CHECK(m.va == NULL);
	dma_free(&s, &m);
	SUB(end(&s));
}

TEST_MAIN(CASE(whole_slots_are_deltas), CASE(scattered_pages_are_leaves),
	  CASE(a_space_maps_what_was_registered_before),
	  CASE(registering_wants_pages_and_no_overlap),
	  CASE(device_memory_is_contiguous_and_aligned))
