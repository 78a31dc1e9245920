/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The way of an I/O by the tables, without sending one. */
#include "base/err.h"
#include "dm/dm.h"
#include <errno.h>
#include <stdlib.h>

struct walk {
	enum riser_blk_op op;
	void (*step)(void *ctx, const struct riser_dm_step *step);
	void *ctx;
};

static int level(const struct walk *w, const struct dm_table *t, unsigned depth, uint64_t sector,
		 uint64_t count);

/* One part, and what is below. */
static int part(const struct walk *w, const struct riser_target *t, unsigned depth, uint64_t sector,
		uint64_t count, const struct dm_dev *dev, uint64_t at, bool known)
{
	const struct dm_table *below = dev && dev->dm ? dev->dm->live : NULL;
	struct riser_dm_step s = { .depth = depth,
				   .sector = sector,
				   .count = count,
				   .target = t->ops->name,
				   .uri = dev ? dm_dev_uri(dev) : NULL,
				   .at = at,
				   .leaf = dev && !dev->dm,
				   .known = known };

	w->step(w->ctx, &s);
	return below && known ? level(w, below, depth + 1, at, count) : 0;
}

static bool is_range(enum riser_blk_op op)
{
	return op == RISER_BLK_DISCARD || op == RISER_BLK_WRITE_ZEROES;
}

/* @sector is counted from the start of the line. */
static int striped(const struct walk *w, const struct dm_table *table, const struct riser_target *t,
		   const struct riser_target_shape *shape, unsigned depth, uint64_t sector,
		   uint64_t count)
{
	struct dm_stripes *s = calloc(1, sizeof(*s));
	uint64_t from, to, n;
	uint32_t leg;
	int rc = 0;

	if (!s)
		return -ENOMEM;
	s->chunk = shape->chunk;
	s->n = shape->nlegs;
	s->chunk_shift = s->n_shift = NO_SHIFT;
	if (is_range(w->op)) {
		for (leg = 0; !rc && leg < s->n; leg++) {
			from = dm_leg_sectors(s, sector, leg);
			to = dm_leg_sectors(s, sector + count, leg);
			if (from < to)
				rc = part(w, t, depth, t->begin + sector, to - from,
					  table->devs[shape->legs[leg].dev],
					  shape->legs[leg].start + from, true);
		}
	} else {
		for (; !rc && count; sector += n, count -= n) {
			n = min_of(dm_stripe_of(s, sector, &leg, &from), count);
			rc = part(w, t, depth, t->begin + sector, n,
				  table->devs[shape->legs[leg].dev], shape->legs[leg].start + from,
				  true);
		}
	}
	free(s);
	return rc;
}

/* Which of its devices a target goes to, nobody knows: the first stands for them. */
static const struct dm_dev *some_dev(const struct dm_table *table, const struct riser_target *t)
{
	unsigned dev = table->firsts[dm_table_line(table, t->begin)];

	return dev == NO_DEV ? NULL : table->devs[dev];
}

static int opaque(const struct walk *w, const struct dm_table *table, const struct riser_target *t,
		  const struct riser_target_shape *s, unsigned depth, uint64_t sector,
		  uint64_t count)
{
	const struct dm_dev *dev = s->nlegs ? table->devs[s->legs->dev] : some_dev(table, t);
	uint64_t n, at;
	int rc = 0;

	for (; !rc && count; sector += n, count -= n) {
		n = t->max_io && !is_range(w->op) ? t->max_io - (sector - t->begin) % t->max_io
						  : count;
		n = min_of(n, count);
		at = s->nlegs ? s->legs->start + (sector - t->begin) : 0;
		rc = part(w, t, depth, sector, n, dev, at, s->nlegs);
	}
	return rc;
}

static int line(const struct walk *w, const struct dm_table *table, const struct riser_target *t,
		unsigned depth, uint64_t sector, uint64_t count)
{
	struct riser_target_shape s = { 0 };
	uint64_t within = sector - t->begin;

	if (t->ops->shape)
		t->ops->shape(t, &s);
	switch (s.kind) {
	case RISER_TARGET_LINEAR:
		return part(w, t, depth, sector, count, table->devs[s.legs->dev],
			    s.legs->start + within, true);
	case RISER_TARGET_STRIPED:
		return striped(w, table, t, &s, depth, within, count);
	case RISER_TARGET_ZERO:
	case RISER_TARGET_ERROR:
		return part(w, t, depth, sector, count, NULL, 0, true);
	default:
		return opaque(w, table, t, &s, depth, sector, count);
	}
}

/* A flush goes to every device of the line. */
static int flush_line(const struct walk *w, const struct dm_table *table,
		      const struct riser_target *t, unsigned depth)
{
	struct riser_target_shape s = { 0 };
	int rc = 0;

	if (t->ops->shape)
		t->ops->shape(t, &s);
	for (unsigned i = 0; !rc && i < s.nlegs; i++)
		rc = part(w, t, depth, t->begin, 0, table->devs[s.legs[i].dev], 0, true);
	for (unsigned i = s.nlegs; !rc && s.kind == RISER_TARGET_OPAQUE && i < t->num_flush; i++)
		rc = part(w, t, depth, t->begin, 0, some_dev(table, t), 0, false);
	return rc;
}

static int level(const struct walk *w, const struct dm_table *table, unsigned depth,
		 uint64_t sector, uint64_t count)
{
	int rc = 0;

	if (w->op == RISER_BLK_FLUSH) {
		for (unsigned i = 0; !rc && i < table->ntargets; i++)
			rc = flush_line(w, table, table->targets[i], depth);
		return rc;
	}
	while (!rc && count) {
		const struct riser_target *t = dm_table_find(table, sector);
		uint64_t n = min_of(count, t->begin + t->len - sector);

		rc = line(w, table, t, depth, sector, n);
		sector += n;
		count -= n;
	}
	return rc;
}

int riser_dm_explain(struct riser_dm *d, enum riser_blk_op op, uint64_t sector, uint64_t count,
		     void (*step)(void *ctx, const struct riser_dm_step *step), void *ctx,
		     struct riser_err *err)
{
	struct walk w = { op, step, ctx };
	int rc = dm_control_begin(d->r, NULL, TIME_NEVER, err);

	if (rc)
		return rc;
	if (!d->live)
		rc = err_set(err, -ENOENT, "mapped device %s has no live table", d->name);
	else if (op != RISER_BLK_FLUSH &&
		 (sector >= d->live->sectors || count > d->live->sectors - sector))
		rc = err_set(err, -EINVAL, "sector %llu, %llu long, is beyond the end, sector %llu",
			     (unsigned long long)sector, (unsigned long long)count,
			     (unsigned long long)d->live->sectors);
	else if (level(&w, d->live, 0, sector, count))
		rc = err_set(err, -ENOMEM, "no memory to explain");
	dm_control_end(d->r);
	return rc;
}
