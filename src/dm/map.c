/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The way of an I/O through a plan: find the extent, move the sector, go on below.
 *
 * Where the plan is one linear piece, the block core does that by itself and nobody comes here for
 * a plain read or write.
 */
#include "base/err.h"
#include "blk/iov.h"
#include "dm/stats.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct dm_extent *dm_lookup(const struct dm_plan *p, uint64_t sector)
{
	const struct dm_extent *e = p->extents;
	unsigned n = p->n;

	/* The last that begins at or before it: no branch that could be mispredicted. */
	while (n > 1) {
		unsigned half = n / 2;

		e += e[half].begin <= sector ? half : 0;
		n -= half;
	}
	return e;
}

static inline uint64_t stripe_of(const struct dm_stripes *s, uint64_t sector, uint32_t *leg,
				 uint64_t *at)
{
	uint64_t chunk, offset;

	if (likely(s->chunk_shift != NO_SHIFT)) {
		chunk = sector >> s->chunk_shift;
		offset = sector & (s->chunk - 1);
	} else {
		chunk = sector / s->chunk;
		offset = sector % s->chunk;
	}
	if (likely(s->n_shift != NO_SHIFT)) {
		*leg = (uint32_t)(chunk & (s->n - 1));
		chunk >>= s->n_shift;
	} else {
		*leg = (uint32_t)(chunk % s->n);
		chunk /= s->n;
	}
	*at = chunk * s->chunk + offset;
	return s->chunk - offset;
}

uint64_t dm_stripe_of(const struct dm_stripes *s, uint64_t sector, uint32_t *leg, uint64_t *at)
{
	return stripe_of(s, sector, leg, at);
}

uint64_t dm_leg_sectors(const struct dm_stripes *s, uint64_t sector, uint32_t leg)
{
	uint64_t at;
	uint32_t here;

	stripe_of(s, sector, &here, &at);
	if (here == leg)
		return at;
	at -= at % s->chunk; /* its row begins there on every leg */
	return here > leg ? at + s->chunk : at;
}

/* A discard or write-zeroes over many chunks: the part of one leg, which is one range. */
static enum blk_verdict stripe_clip(struct dm_map *m, const struct dm_extent *e,
				    struct riser_blk_io *io)
{
	const struct dm_stripes *s = e->stripes;
	uint32_t leg = blk_copy(io);
	uint64_t first = io->sector - e->begin + e->base;
	uint64_t from = dm_leg_sectors(s, first, leg);
	uint64_t to = dm_leg_sectors(s, first + io->count, leg);

	if (from == to) {
		io->status = RISER_BLK_OK;
		return BLK_DONE;
	}
	io->count = (uint32_t)(to - from);
	return blk_remap(io, m->map.lowers[s->legs[leg].dev], s->legs[leg].start + from);
}

static bool is_zero(const struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, 0);
	struct iovec v;
	char any = 0;

	while (iov_next(&w, &v))
		for (size_t i = 0; i < v.iov_len; i++)
			any |= ((const char *)v.iov_base)[i];
	return !any;
}

static enum blk_verdict zero(struct riser_blk_io *io)
{
	io->status = RISER_BLK_OK;
	if (io->op == RISER_BLK_READ)
		blk_copy_zero(io);
	else if (io->op == RISER_BLK_COMPARE && !is_zero(io))
		io->status = RISER_BLK_PROTECTION;
	else if (io->op == RISER_BLK_BLOCK_STATUS)
		io->raw_status = RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO;
	return BLK_DONE;
}

/* The target that has an I/O on its way up: its plan stays while the I/O is counted. */
static bool target_end(struct blk_frame *f, struct riser_blk_io *io)
{
	struct dm_map *m = container_of(f->channel->map, struct dm_map, map);
	struct riser_target *t = dm_lookup(m->plan, f->sector)->target;

	io->sector = f->sector - t->begin;
	return t->ops->end_io(t, io, f->data);
}

static bool timed_end(struct blk_frame *f, struct riser_blk_io *io);

/* @timed, here and in what calls it: histograms of the lines are kept. A constant. */
static inline __attribute__((always_inline)) enum blk_verdict
to_target(struct riser_target *t, struct riser_blk_io *io, bool timed)
{
	struct blk_frame *f = io_priv(io)->frame;

	f->sector = io->sector;
	f->data = 0;
	if (timed)
		f->end_io = timed_end;
	else if (t->ops->end_io)
		f->end_io = target_end;
	io->sector -= t->begin;
	return (enum blk_verdict)t->ops->map(t, io);
}
_Static_assert((int)RISER_TARGET_REMAPPED == (int)BLK_REMAPPED &&
		       (int)RISER_TARGET_SUBMITTED == (int)BLK_SUBMITTED &&
		       (int)RISER_TARGET_DONE == (int)BLK_DONE,
	       "verdicts");

static inline __attribute__((always_inline)) enum blk_verdict
flush(struct dm_map *m, struct riser_blk_io *io, bool timed)
{
	const struct dm_flush *f = &m->plan->flushes[blk_copy(io)];

	if (!f->target)
		return blk_remap(io, m->map.lowers[f->dev], 0);
	io_priv(io)->cursor = f->copy;
	io->sector = f->target->begin;
	return to_target(f->target, io, timed);
}

/* Is it about single blocks, so that each chunk counts? Else about ranges, one for each leg. */
static inline bool by_block(const struct riser_blk_io *io)
{
	return io->op != RISER_BLK_DISCARD && io->op != RISER_BLK_WRITE_ZEROES;
}

static inline bool max_io_cuts(const struct riser_target *t, const struct riser_blk_io *io)
{
	return t->max_io && (by_block(io) || t->ops->flags & RISER_TARGET_CUT_ALL);
}

static inline __attribute__((always_inline)) enum blk_verdict
map_io(struct blk_map *map, struct riser_blk_io *io, bool timed)
{
	struct dm_map *m = container_of(map, struct dm_map, map);
	const struct dm_extent *e;
	const struct dm_stripes *s;
	uint64_t within, at;
	uint32_t leg;

	if (unlikely(io->op == RISER_BLK_FLUSH))
		return flush(m, io, timed);
	e = dm_lookup(m->plan, io->sector);
	within = io->sector - e->begin;
	if (unlikely(io->count > e->len - within))
		return BLK_CUT;
	switch (e->kind) {
	case DM_LINEAR:
		return blk_remap(io, map->lowers[e->dev], e->base + within);
	case DM_STRIPED:
		s = e->stripes;
		if (unlikely(!by_block(io)))
			return stripe_clip(m, e, io);
		if (unlikely(io->count > stripe_of(s, e->base + within, &leg, &at)))
			return BLK_CUT;
		return blk_remap(io, map->lowers[s->legs[leg].dev], s->legs[leg].start + at);
	case DM_ZERO:
		return zero(io);
	case DM_ERROR:
		io->status = RISER_BLK_IOERR;
		return BLK_DONE;
	default:
		if (max_io_cuts(e->target, io) &&
		    io->count > e->target->max_io - (uint32_t)(within % e->target->max_io))
			return BLK_CUT;
		return to_target(e->target, io, timed);
	}
}

static enum blk_verdict dm_map_io(struct blk_map *map, struct riser_blk_io *io)
{
	return map_io(map, io, false);
}

/* The same, where histograms of each line are kept: frames say where and when, and end here. */
static enum blk_verdict dm_map_timed(struct blk_map *map, struct riser_blk_io *io)
{
	struct dm_map *m = container_of(map, struct dm_map, map);
	struct blk_frame *f = io_priv(io)->frame;
	uint64_t sector = io->sector, now = exec_now(map->owner->x);
	enum blk_verdict verdict;

	if (io->op == RISER_BLK_FLUSH)
		sector = m->plan->flushes[blk_copy(io)].begin;
	f->sector = sector;
	f->start = now;
	f->end_io = timed_end;
	verdict = map_io(map, io, true);
	if (verdict == BLK_DONE)
		dm_lines_add(m, sector, io->op, now);
	return verdict;
}

static bool timed_end(struct blk_frame *f, struct riser_blk_io *io)
{
	struct dm_map *m = container_of(f->channel->map, struct dm_map, map);
	const struct dm_extent *e = dm_lookup(m->plan, f->sector);

	if (e->kind == DM_TARGET && e->target->ops->end_io && target_end(f, io))
		return true;
	dm_lines_add(m, f->sector, io->op, f->start);
	return false;
}

void dm_kept_end(struct riser_blk_io *io)
{
	struct blk_frame *f = io_priv(io)->frame;

	if (f->end_io == timed_end)
		dm_lines_add(container_of(f->channel->map, struct dm_map, map), f->sector, io->op,
			     f->start);
}

static uint32_t dm_span(struct blk_map *map, const struct riser_blk_io *io, uint64_t sector,
			uint32_t count, uint32_t *copies)
{
	struct dm_map *m = container_of(map, struct dm_map, map);
	const struct dm_extent *e = dm_lookup(m->plan, sector);
	uint64_t within = sector - e->begin, left = e->len - within, at;
	uint32_t leg;

	if (e->kind == DM_STRIPED && by_block(io))
		left = min_of(left, stripe_of(e->stripes, e->base + within, &leg, &at));
	else if (e->kind == DM_STRIPED)
		*copies = e->stripes->n;
	if (e->kind == DM_TARGET && max_io_cuts(e->target, io))
		left = min_of(left, e->target->max_io - within % e->target->max_io);
	if (e->kind == DM_TARGET && !by_block(io))
		*copies = io->op == RISER_BLK_DISCARD ? e->target->num_discard
						      : e->target->num_zeroes;
	/* What a target does to the data is its own affair: all is data there. */
	if (io->op == RISER_BLK_BLOCK_STATUS && (e->kind == DM_TARGET || e->kind == DM_ERROR))
		*copies = 0;
	return (uint32_t)min_of((uint64_t)count, left);
}

static int dm_poll(struct blk_map *map)
{
	struct dm_table *t = container_of(map, struct dm_map, map)->plan->table;
	int n = 0;

	for (unsigned i = 0; i < t->ntargets; i++)
		if (t->targets[i]->ops->poll)
			n += t->targets[i]->ops->poll(t->targets[i]);
	return n;
}

static uint64_t dm_next_deadline(struct blk_map *map)
{
	struct dm_table *t = container_of(map, struct dm_map, map)->plan->table;
	uint64_t next = TIME_NEVER;

	for (unsigned i = 0; i < t->ntargets; i++)
		if (t->targets[i]->ops->next_deadline)
			next = min_of(next, t->targets[i]->ops->next_deadline(t->targets[i]));
	return next;
}

/* A read or write without flags, of a size that need not be cut, and a frame is free. */
static inline bool is_plain(const struct dm_map *m, const struct riser_blk_io *io)
{
	return io->count - 1 < m->limit && (io->op | io->flags << 8) <= RISER_BLK_WRITE &&
	       m->map.c->frames;
}

/* Another piece than the last time. */
static __attribute__((noinline)) void fast_miss(struct blk_map *map, struct riser_blk_io *io)
{
	struct dm_map *m = container_of(map, struct dm_map, map);
	const struct dm_extent *e = dm_lookup(m->plan, io->sector);
	uint64_t within = io->sector - e->begin;

	if (!is_plain(m, io) || within >= e->len || io->count > e->len - within) {
		blk_slow(map, io);
		return;
	}
	if (e->kind != DM_LINEAR) {
		/* No leaf may look at it below a target. */
		if ((io->sector | io->count) & map->c->align_mask)
			blk_slow(map, io);
		else
			blk_fast_map(map, io);
		return;
	}
	m->begin = e->begin;
	m->len = e->len;
	m->shift = e->base - e->begin;
	m->lower = map->lowers[e->dev];
	blk_fast_remap(map, io, m->lower, io->sector + m->shift);
}

/* The linear piece that was hit last: I/O comes in runs, and a table may have a million of them. */
static void fast_extents(struct blk_map *map, struct riser_blk_io *io)
{
	struct dm_map *m = container_of(map, struct dm_map, map);
	uint64_t within = io->sector - m->begin;

	/* Two comparisons with the piece: a sum could wrap. */
	if (unlikely(within >= m->len || io->count > m->len - within || !is_plain(m, io)))
		fast_miss(map, io);
	else
		blk_fast_remap(map, io, m->lower, io->sector + m->shift);
}

/* Stripes from end to end, by powers of two. */
static void fast_stripes(struct blk_map *map, struct riser_blk_io *io)
{
	struct dm_map *m = container_of(map, struct dm_map, map);
	const struct dm_leg *leg;
	uint64_t sector;
	uint32_t offset;

	if (unlikely(!is_plain(m, io))) {
		blk_slow(map, io);
		return;
	}
	sector = io->sector;
	offset = (uint32_t)sector & m->chunk_mask;
	if (unlikely(offset + io->count - 1 > m->chunk_mask || sector >= m->sectors)) {
		blk_slow(map, io);
		return;
	}
	leg = &m->legs[sector >> m->chunk_shift & m->leg_mask];
	sector = (sector & ~m->row_mask) >> m->leg_shift;
	blk_fast_remap(map, io, leg->lower, leg->start + sector + offset);
}

static int set_stripes(struct dm_map *m, const struct dm_extent *e)
{
	const struct dm_stripes *s = e->stripes;

	if (s->chunk_shift == NO_SHIFT || s->n_shift == NO_SHIFT || e->base)
		return 0;
	m->legs = calloc(s->n, sizeof(*m->legs));
	if (!m->legs)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++)
		m->legs[i] = (struct dm_leg){ m->map.lowers[s->legs[i].dev], s->legs[i].start };
	m->row_mask = (uint64_t)s->chunk * s->n - 1;
	m->chunk_mask = s->chunk - 1;
	m->chunk_shift = s->chunk_shift;
	m->leg_mask = s->n - 1;
	m->leg_shift = s->n_shift;
	m->map.fast = fast_stripes;
	return 0;
}

/*
 * The short ways of plain reads and writes. Alignment is left to the leaves. One linear piece is
 * the block core's own.
 */
static int set_fast(struct dm_map *m)
{
	const struct dm_plan *p = m->plan;
	const struct riser_blk *sum = &p->sum;
	const struct dm_extent *e = p->extents;

	m->map.nflush = p->nflushes;
	m->map.mixed = p->mixed;
	if (p->stats)
		return 0;
	m->sectors = p->table->sectors;
	m->limit = sum->limits.max_sectors ? sum->limits.max_sectors : UINT32_MAX;
	if (sum->read_only)
		m->limit = 0;
	if (p->n == 1 && e->kind == DM_STRIPED)
		return set_stripes(m, e);
	m->map.fast = fast_extents;
	if (p->n == 1 && e->kind == DM_LINEAR) {
		m->map.fast_max = m->limit;
		m->map.fast_base = e->base;
		m->map.fast_lower = m->map.lowers[e->dev];
	}
	return 0;
}

static const struct blk_ops timed_ops;

static int dm_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
		      struct blk_map **out, struct riser_err *err)
{
	struct dm_map *m = calloc(1, sizeof(*m));
	struct dm_plan *p = table;
	int rc = 0;

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	blk_map_init(&m->map, b, c);
	if (p) {
		m->plan = p;
		__atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
		for (unsigned i = 0; !rc && i < p->ndevs; i++)
			rc = blk_map_add_lower(&m->map, p->used[i] ? p->devs[i] : NULL, err);
		if (!rc && set_fast(m))
			rc = err_set(err, -ENOMEM, "no memory for a channel");
		if (!rc && p->stats)
			rc = dm_counts_new(m, err);
		if (!rc && p->stats && p->stats->lines)
			m->map.ops = &timed_ops;
		if (rc) {
			blk_map_free(&m->map);
			return rc;
		}
	}
	*out = &m->map;
	return 0;
}

static void dm_map_free(struct blk_map *map)
{
	struct dm_map *m = container_of(map, struct dm_map, map);

	dm_counts_free(m->counts);
	dm_plan_put(m->plan);
	free(m->map.watch);
	free(m->legs);
	free(m);
}

static void dm_install(struct riser_blk *b, void *table)
{
	const struct dm_plan *p = table;
	const struct riser_blk *sum = &p->sum;

	b->sectors = p->table->sectors;
	b->limits = sum->limits;
	b->read_only = sum->read_only;
	b->write_cache = sum->write_cache;
	b->fua = sum->fua;
	b->discard = sum->discard;
	b->write_zeroes = sum->write_zeroes;
	b->compare = sum->compare;
	b->harmless = sum->harmless;
	b->block_status = true;
}

static void dm_close(struct riser_blk *b)
{
	dm_free(b->priv);
}

static bool dm_wants_home(const struct riser_blk *b, void *table)
{
	const struct dm_plan *p = table;

	return p && p->table->home;
}

const struct blk_ops dm_ops = {
	.size = sizeof(dm_ops),
	.close = dm_close,
	.map_new = dm_map_new,
	.wants_home = dm_wants_home,
	.install = dm_install,
	.map_free = dm_map_free,
	.map = dm_map_io,
	.span = dm_span,
	.poll = dm_poll,
	.next_deadline = dm_next_deadline,
};

static const struct blk_ops timed_ops = {
	.size = sizeof(timed_ops),
	.map_free = dm_map_free,
	.map = dm_map_timed,
	.span = dm_span,
	.poll = dm_poll,
	.next_deadline = dm_next_deadline,
};
