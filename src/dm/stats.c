/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Regions: counters for each of their areas, and the counting.
 *
 * Times are kept in nanoseconds. How long something was in flight is counted when what is in flight
 * changes, and up to the moment when it is read. In flight is what one owner has: where several do
 * I/O at a time, their times (busy, reading, writing) add up.
 */
#include "dm/stats.h"
#include "base/err.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An area's counters; of a pair, the first for reads and the second for writes. */
enum {
	IOS,
	SECTORS = IOS + 2,
	TICKS = SECTORS + 2, /* of all I/Os together */
	BUSY = TICKS + 2,    /* while there was one at least */
	BUSY_ANY = BUSY + 2,
	QUEUED,                /* BUSY_ANY, times how many there were */
	IN_FLIGHT,             /* never cleared */
	STAMP = IN_FLIGHT + 2, /* when in flight changed last: an owner's own, no sum */
	BUCKETS,
};

#define COUNTERS_MAX ((size_t)4 << 20) /* of a device, for each owner: 32 MiB */

static size_t stride(const struct dm_region *g)
{
	return BUCKETS + (g->nbounds ? g->nbounds + 1 : 0);
}

/* Sets. */

struct dm_stats *dm_stats_get(struct dm_stats *s)
{
	if (s)
		__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void dm_stats_put(struct dm_stats *s)
{
	if (!s || __atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	for (unsigned i = 0; i < s->n; i++)
		dm_region_put(s->regions[i]);
	free(s);
}

static void add_region(struct dm_stats *s, struct dm_region *g)
{
	__atomic_fetch_add(&g->refs, 1, __ATOMIC_RELAXED);
	s->regions[s->n++] = g;
}

struct dm_stats *dm_stats_with(const struct dm_stats *old, const struct dm_region *gone,
			       struct dm_region *come, bool lines)
{
	unsigned n = old ? old->n : 0;
	struct dm_stats *s = calloc(1, sizeof(*s) + (n + 1) * sizeof(s->regions[0]));

	if (!s)
		return NULL;
	s->refs = 1;
	s->lines = lines;
	for (unsigned i = 0; i < n; i++) {
		struct dm_region *g = old->regions[i];

		if (come && come->id < g->id) {
			add_region(s, come);
			come = NULL;
		}
		if (g != gone)
			add_region(s, g);
	}
	if (come)
		add_region(s, come);
	return s;
}

/* Regions. */

void dm_region_put(struct dm_region *g)
{
	if (!g || __atomic_fetch_sub(&g->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	dm_sums_end(&g->sums);
	free(g->bounds);
	free(g->program);
	free(g->aux);
	free(g);
}

static size_t counters_of(const struct dm_stats *s)
{
	size_t n = 0;

	for (unsigned i = 0; s && i < s->n; i++)
		n += s->regions[i]->sums.n;
	return n;
}

int dm_region_new(const struct dm_region *like, const struct dm_stats *beside,
		  struct dm_region **out, struct riser_err *err)
{
	uint64_t areas = (like->len - 1) / like->step + 1;
	struct dm_region *g;

	if (areas > (COUNTERS_MAX - counters_of(beside)) / stride(like))
		return err_set(err, -ENOMEM, "%llu areas more are too many to count",
			       (unsigned long long)areas);
	g = calloc(1, sizeof(*g));
	if (!g || dm_sums_init(&g->sums, areas * stride(like))) {
		free(g);
		return err_set(err, -ENOMEM, "no memory for a region");
	}
	g->refs = 1;
	g->id = like->id;
	g->start = like->start;
	g->len = like->len;
	g->step = like->step;
	g->areas = areas;
	g->precise = like->precise;
	g->nbounds = like->nbounds;
	g->program = strdup(like->program);
	g->aux = strdup(like->aux);
	g->bounds = calloc(like->nbounds + 1, sizeof(*g->bounds));
	if (!g->program || !g->aux || !g->bounds) {
		dm_region_put(g);
		return err_set(err, -ENOMEM, "no memory for a region");
	}
	if (like->nbounds)
		memcpy(g->bounds, like->bounds, like->nbounds * sizeof(*g->bounds));
	*out = g;
	return 0;
}

/* Counting. */

/* What was in flight until now was so for as long as nothing changed. */
static void pass_time(uint64_t *area, uint64_t now)
{
	uint64_t reads = area[IN_FLIGHT], writes = area[IN_FLIGHT + 1];
	uint64_t passed = now > area[STAMP] ? now - area[STAMP] : 0;

	if (reads)
		dm_count(&area[BUSY], passed);
	if (writes)
		dm_count(&area[BUSY + 1], passed);
	if (reads || writes) {
		dm_count(&area[BUSY_ANY], passed);
		dm_count(&area[QUEUED], (reads + writes) * passed);
	}
	dm_count(&area[STAMP], passed);
}

/* How many bounds a time has reached: a bound belongs to the bucket above it. */
static unsigned bucket_of(const struct dm_region *g, uint64_t time)
{
	unsigned low = 0, n = g->nbounds;

	while (n) {
		unsigned half = n / 2;

		if (g->bounds[low + half] <= time) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low;
}

static void begin_area(uint64_t *area, unsigned write, uint64_t now)
{
	pass_time(area, now);
	dm_count(&area[IN_FLIGHT + write], 1);
}

static void end_area(const struct dm_region *g, uint64_t *area, unsigned write, uint64_t sectors,
		     uint64_t now, uint64_t took)
{
	pass_time(area, now);
	dm_count(&area[IN_FLIGHT + write], -1ull);
	dm_count(&area[IOS + write], 1);
	dm_count(&area[SECTORS + write], sectors);
	dm_count(&area[TICKS + write], took);
	if (g->nbounds)
		dm_count(&area[BUCKETS + bucket_of(g, took)], 1);
}

/* Every area that an I/O touches counts it, with the sectors that are there. */
static void count(const struct dm_region *g, uint64_t *areas, const struct blk_seen *io, bool end,
		  uint64_t now)
{
	uint64_t at = max_of(io->sector, g->start);
	uint64_t until = min_of(io->sector + io->count, g->start + g->len);
	uint64_t took = now > io->came ? now - io->came : 0;
	unsigned write = io->op != RISER_BLK_READ && io->op != RISER_BLK_COMPARE;

	while (at < until) {
		uint64_t within = at - g->start;
		uint64_t sectors = min_of(g->step - within % g->step, until - at);
		uint64_t *area = areas + within / g->step * stride(g);

		if (end)
			end_area(g, area, write, sectors, now, took);
		else
			begin_area(area, write, now);
		at += sectors;
	}
}

static void count_all(struct blk_map *map, const struct blk_seen *io, bool end, uint64_t now)
{
	const struct dm_counts *c = container_of(map, struct dm_map, map)->counts;

	if (io->op == RISER_BLK_FLUSH || io->op == RISER_BLK_BLOCK_STATUS)
		return;
	for (unsigned i = 0; i < c->stats->n; i++)
		count(c->stats->regions[i], c->regions[i]->counters, io, end, now);
}

static void begin(struct blk_map *map, const struct blk_seen *io)
{
	count_all(map, io, false, io->came);
}

static void end(struct blk_map *map, const struct blk_seen *io, uint64_t now)
{
	count_all(map, io, true, now);
}

static const struct blk_watcher watcher = { begin, end };

int dm_counts_new(struct dm_map *m, struct riser_err *err)
{
	const struct dm_stats *s = m->plan->stats;
	struct dm_counts *c = calloc(1, sizeof(*c) + s->n * sizeof(c->regions[0]));
	bool ok = c;

	if (ok) {
		m->counts = c;
		c->stats = s;
	}
	for (unsigned i = 0; ok && i < s->n; i++) {
		c->regions[i] = dm_shard_new(&s->regions[i]->sums);
		ok = c->regions[i];
	}
	if (ok && s->lines) {
		c->lines = dm_shard_new(m->plan->table->lines);
		ok = c->lines;
	}
	if (!ok)
		return err_set(err, -ENOMEM, "no memory for a channel's statistics");
	return s->n ? blk_watch_new(&m->map, &watcher, err) : 0;
}

void dm_counts_free(struct dm_counts *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->stats->n; i++)
		dm_shard_free(c->regions[i]);
	dm_shard_free(c->lines);
	free(c);
}

/* Printing. */

/* What passed since an owner counted last. */
static void pending_time(const struct dm_region *g, size_t at, uint64_t now, uint64_t *area)
{
	list_for_each (shard, &g->sums.shards, struct dm_shard, link) {
		const uint64_t *c = shard->counters + at;
		uint64_t reads = load_relaxed(&c[IN_FLIGHT]);
		uint64_t writes = load_relaxed(&c[IN_FLIGHT + 1]);
		uint64_t stamp = load_relaxed(&c[STAMP]);
		uint64_t passed = now > stamp ? now - stamp : 0;

		area[BUSY] += reads ? passed : 0;
		area[BUSY + 1] += writes ? passed : 0;
		area[BUSY_ANY] += reads || writes ? passed : 0;
		area[QUEUED] += (reads + writes) * passed;
	}
}

static void print_area(struct dm_region *g, size_t index, uint64_t now, bool clear,
		       struct riser_text *out)
{
	static const struct {
		uint8_t counter;
		bool time;
	} columns[] = { { IOS },        { SECTORS },        { TICKS, true },
			{ IOS + 1 },    { SECTORS + 1 },    { TICKS + 1, true },
			{ IN_FLIGHT },  { BUSY_ANY, true }, { QUEUED, true },
			{ BUSY, true }, { BUSY + 1, true } };
	size_t at = index * stride(g);
	uint64_t area[BUCKETS], begin = index * g->step;

	for (unsigned i = 0; i < BUCKETS; i++)
		area[i] = dm_sums_raw(&g->sums, at + i);
	pending_time(g, at, now, area);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		area[i] = dm_sums_show(&g->sums, at + i, area[i], clear);
	area[IN_FLIGHT] += area[IN_FLIGHT + 1];
	riser_text_add(out, "%llu+%llu", (unsigned long long)(g->start + begin),
		       (unsigned long long)min_of(g->step, g->len - begin));
	for (size_t i = 0; i < array_len(columns); i++) {
		uint64_t n = area[columns[i].counter];

		if (columns[i].time && !g->precise)
			n /= NS_PER_MS;
		/* Nobody merges I/Os. */
		riser_text_add(out, " %llu%s", (unsigned long long)n,
			       columns[i].counter - IOS < 2u ? " 0" : "");
	}
	for (unsigned i = 0; g->nbounds && i <= g->nbounds; i++) {
		size_t bucket = at + BUCKETS + i;
		uint64_t n = dm_sums_show(&g->sums, bucket, dm_sums_raw(&g->sums, bucket), clear);

		riser_text_add(out, "%c%llu", i ? ':' : ' ', (unsigned long long)n);
	}
	riser_text_add(out, "\n");
}

void dm_region_print(struct dm_region *g, struct riser *r, size_t first, size_t n, bool clear,
		     struct riser_text *out)
{
	uint64_t now = clock_now(r);

	pthread_mutex_lock(&g->sums.lock);
	for (size_t i = first; i < g->areas && i - first < n; i++)
		print_area(g, i, now, clear, out);
	pthread_mutex_unlock(&g->sums.lock);
}
