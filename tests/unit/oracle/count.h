/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Statistics: regions that come and go while I/O does, and what they must have counted: each I/O
 * once in each area that it touches, whatever was cut, emulated, parked or swapped below. Where a
 * device has I/O of devices above too, which cut theirs as they like, it counted that at least.
 */
#ifndef TESTS_ORACLE_COUNT_H
#define TESTS_ORACLE_COUNT_H

#include "../blk_fixture.h"
#include "dm/dm.h"

enum { AREAS = 4 };

struct counted {
	uint64_t ios[2], sectors[2]; /* reads, writes */
};

struct region {
	bool on, shared; /* @shared: I/O of others came by */
	int id;
	uint64_t start, len, step;
	unsigned inflight; /* I/Os that may have been counted, or not yet */
	struct counted areas[AREAS];
};

static void region_add(struct region *g, enum riser_blk_op op, uint64_t sector, uint32_t count)
{
	unsigned write = op != RISER_BLK_READ && op != RISER_BLK_COMPARE;
	uint64_t at = max_of(sector, g->start), until = min_of(sector + count, g->start + g->len);

	for (uint64_t next; g->on && at < until; at = next) {
		uint64_t area = (at - g->start) / g->step;

		next = min_of(until, g->start + (area + 1) * g->step);
		g->areas[area].ios[write]++;
		g->areas[area].sectors[write] += next - at;
	}
}

static bool region_agrees(const struct region *g, uint64_t got, uint64_t want, uint64_t more)
{
	return got == want || (got > want && (g->shared || got <= want + more * g->inflight));
}

/* Compare what the device prints with what was counted here. */
static void region_check(const struct region *g, const char *text)
{
	for (unsigned i = 0; i * g->step < g->len; i++, text = strchr(text, '\n') + 1) {
		const struct counted *c = &g->areas[i];
		uint64_t start, len, n[2], s[2];

		if (sscanf(text,
			   "%" SCNu64 "+%" SCNu64 " %" SCNu64 " 0 %" SCNu64 " %*u %" SCNu64
			   " 0 %" SCNu64,
			   &start, &len, &n[0], &s[0], &n[1], &s[1]) != 6 ||
		    start != g->start + i * g->step || len != min_of(g->step, g->len - i * g->step))
			fix_broken("stats: area %u is '%s'", i, text);
		for (unsigned k = 0; k < 2; k++)
			if (!region_agrees(g, n[k], c->ios[k], 1) ||
			    !region_agrees(g, s[k], c->sectors[k], g->step))
				fix_broken("stats: area %u: %" PRIu64 " I/Os, %" PRIu64
					   " sectors, not %" PRIu64 ", %" PRIu64,
					   i, n[k], s[k], c->ios[k], c->sectors[k]);
	}
}

#endif
