/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Compiling: from a table to sorted extents.
 *
 * A line that is linear over a mapped device becomes what that device's own plan has there, moved:
 * its plan was compiled before, so one step down is all the way down. Where it has a target that
 * keeps its own counsel, the line leads to the mapped device as it is written. A striped line keeps
 * its shape; each of its legs is followed down where the whole leg is one linear piece. Neighbours
 * that continue each other are one.
 *
 * A device that is marked opaque is not followed. Nothing but the new plan is written: the table's
 * targets, the plans below and whatever is live are only read. (But the table gets its histograms
 * here, where it is to have them.)
 */
#include "base/err.h"
#include "dm/stats.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int more(void **array, unsigned n, unsigned *size, size_t item)
{
	unsigned want = *size ? 2 * *size : 4;
	void *p;

	if (n < *size)
		return 0;
	p = realloc(*array, want * item);
	if (!p)
		return -ENOMEM;
	*array = p;
	*size = want;
	return 0;
}

static int add_dev(struct dm_plan *p, struct riser_blk *b)
{
	if (more((void **)&p->devs, p->ndevs, &p->devs_size, sizeof(struct riser_blk *)))
		return -ENOMEM;
	p->devs[p->ndevs] = blk_get(b);
	return (int)p->ndevs++;
}

/* The index of a device; -ENOMEM. */
static int dev_index(struct dm_plan *p, struct riser_blk *b)
{
	for (unsigned i = p->ndevs; i-- > 0;)
		if (p->devs[i] == b)
			return (int)i;
	return add_dev(p, b);
}

static int skip(struct dm_plan *p, struct riser_dm *d)
{
	struct dm_skip *s;

	for (unsigned i = 0; i < p->nskips; i++)
		if (p->skips[i].dm == d)
			return 0;
	s = realloc(p->skips, (p->nskips + 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	p->skips = s;
	p->skips[p->nskips++] = (struct dm_skip){ .dm = d, .plan = p };
	return 0;
}

/* Skip a device and what it skips itself. */
static int skip_all(struct dm_plan *p, struct riser_dm *d)
{
	int rc = skip(p, d);

	for (unsigned i = 0; !rc && i < d->plan->nskips; i++)
		rc = skip(p, d->plan->skips[i].dm);
	return rc;
}

static bool may_skip(const struct riser_dm *d)
{
	return d && !d->opaque && d->plan;
}

static bool continues(const struct dm_extent *a, const struct dm_extent *b)
{
	if (a->kind != b->kind || a->begin + a->len != b->begin)
		return false;
	if (a->kind == DM_LINEAR)
		return a->dev == b->dev && a->base + a->len == b->base;
	return a->kind == DM_ZERO || a->kind == DM_ERROR;
}

/* Where lines are told apart, what begins one continues nothing. */
static bool begins_line(const struct dm_plan *p, uint64_t sector)
{
	return p->stats && p->stats->lines && dm_table_find(p->table, sector)->begin == sector;
}

static int emit(struct dm_plan *p, const struct dm_extent *e)
{
	if (p->n && continues(&p->extents[p->n - 1], e) && !begins_line(p, e->begin)) {
		p->extents[p->n - 1].len += e->len;
		return 0;
	}
	if (more((void **)&p->extents, p->n, &p->size, sizeof(*e)))
		return -ENOMEM;
	p->extents[p->n++] = *e;
	return 0;
}

static struct dm_stripes *stripes_new(struct dm_plan *p, unsigned n, uint32_t chunk)
{
	struct dm_stripes **array = realloc(p->stripes, (p->nstripes + 1) * sizeof(*array));
	struct dm_stripes *s;

	if (!array)
		return NULL;
	p->stripes = array;
	s = calloc(1, sizeof(*s) + n * sizeof(s->legs[0]));
	if (!s)
		return NULL;
	p->stripes[p->nstripes++] = s;
	s->n = n;
	s->chunk = chunk;
	s->chunk_shift = is_power_of_two(chunk) ? (uint8_t)__builtin_ctz(chunk) : NO_SHIFT;
	s->n_shift = is_power_of_two(n) ? (uint8_t)__builtin_ctz(n) : NO_SHIFT;
	return s;
}

/* The stripes of a plan below, in the words of this one. */
static int adopt_stripes(struct dm_plan *p, const struct dm_plan *below,
			 const struct dm_stripes *from, const struct dm_stripes **out)
{
	struct dm_stripes *s = stripes_new(p, from->n, from->chunk);

	if (!s)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n; i++) {
		int dev = dev_index(p, below->devs[from->legs[i].dev]);

		if (dev < 0)
			return dev;
		s->legs[i] = (struct riser_target_leg){ (unsigned)dev, from->legs[i].start };
	}
	*out = s;
	return 0;
}

/* @len sectors from @start on of a device become those from @begin on of the plan. */
static int follow(struct dm_plan *p, struct riser_blk *b, uint64_t start, uint64_t len,
		  uint64_t begin)
{
	struct riser_dm *d = dm_of(b);
	struct dm_extent e = { .begin = begin, .len = len, .base = start, .kind = DM_LINEAR };
	const struct dm_extent *x;
	int dev, rc = 0;

	if (!may_skip(d)) {
		dev = dev_index(p, b);
		e.dev = (unsigned)dev;
		return dev < 0 ? dev : emit(p, &e);
	}
	rc = skip_all(p, d);
	for (x = dm_lookup(d->plan, start); !rc && len; x++) {
		uint64_t within = start - x->begin;

		e = *x;
		e.begin = begin;
		e.len = min_of(len, x->len - within);
		e.base = x->base + within;
		if (x->kind == DM_LINEAR || x->kind == DM_TARGET) {
			bool through = x->kind == DM_TARGET;

			dev = dev_index(p, through ? b : d->plan->devs[x->dev]);
			e.kind = DM_LINEAR;
			e.base = through ? start : e.base;
			e.dev = (unsigned)dev;
			rc = dev < 0 ? dev : 0;
		} else if (x->kind == DM_STRIPED) {
			rc = adopt_stripes(p, d->plan, x->stripes, &e.stripes);
		}
		if (!rc)
			rc = emit(p, &e);
		start += e.len;
		begin += e.len;
		len -= e.len;
	}
	return rc;
}

/* Where a whole leg is one linear piece further down, it is that. */
static int follow_leg(struct dm_plan *p, struct riser_blk *b, uint64_t start, uint64_t len,
		      struct riser_target_leg *leg)
{
	struct riser_dm *d = dm_of(b);
	int dev, rc;

	if (may_skip(d)) {
		const struct dm_extent *x = dm_lookup(d->plan, start);

		if (x->kind == DM_LINEAR && start + len <= x->begin + x->len) {
			rc = skip_all(p, d);
			if (rc)
				return rc;
			b = d->plan->devs[x->dev];
			start = x->base + (start - x->begin);
		}
	}
	dev = dev_index(p, b);
	*leg = (struct riser_target_leg){ (unsigned)dev, start };
	return dev < 0 ? dev : 0;
}

static int add_target(struct dm_plan *p, struct riser_target *t)
{
	struct dm_table *table = p->table;
	struct riser_target_shape s = { 0 };
	struct dm_extent e = { .begin = t->begin, .len = t->len, .kind = DM_TARGET, .target = t };
	struct dm_stripes *stripes;
	int rc = 0;

	if (t->ops->shape)
		t->ops->shape(t, &s);
	switch (s.kind) {
	case RISER_TARGET_LINEAR:
		return follow(p, table->devs[s.legs[0].dev]->b, s.legs[0].start, t->len, t->begin);
	case RISER_TARGET_STRIPED:
		stripes = stripes_new(p, s.nlegs, s.chunk);
		if (!stripes)
			return -ENOMEM;
		for (unsigned i = 0; !rc && i < s.nlegs; i++)
			rc = follow_leg(p, table->devs[s.legs[i].dev]->b, s.legs[i].start,
					t->len / s.nlegs, &stripes->legs[i]);
		e.kind = DM_STRIPED;
		e.stripes = stripes;
		break;
	case RISER_TARGET_ZERO:
		e.kind = DM_ZERO;
		break;
	case RISER_TARGET_ERROR:
		e.kind = DM_ERROR;
		break;
	default:
		break;
	}
	return rc ? rc : emit(p, &e);
}

/*
 * Every device that data may go to gets one flush, every other target as many as it wants. What a
 * target does with the devices that its line names, or with another's, it alone knows.
 */
static int add_flushes(struct dm_plan *p)
{
	bool *seen = calloc(p->ndevs + 1, sizeof(*seen)), targets = false;
	unsigned size = 0;
	int rc = seen ? 0 : -ENOMEM;

	for (unsigned i = 0; !rc && i < p->n; i++) {
		const struct dm_extent *e = &p->extents[i];
		unsigned n = e->kind == DM_LINEAR    ? 1
			     : e->kind == DM_STRIPED ? e->stripes->n
			     : e->kind == DM_TARGET  ? e->target->num_flush
						     : 0;

		p->mixed |= n == 0;
		targets |= e->kind == DM_TARGET;
		for (unsigned k = 0; !rc && k < n; k++) {
			struct dm_flush f = { .begin = e->begin, .copy = k };

			if (e->kind == DM_TARGET)
				f.target = e->target;
			else
				f.dev = e->kind == DM_LINEAR ? e->dev : e->stripes->legs[k].dev;
			if (!f.target && seen[f.dev])
				continue;
			if (!f.target)
				seen[f.dev] = true;
			rc = more((void **)&p->flushes, p->nflushes, &size, sizeof(f));
			if (!rc)
				p->flushes[p->nflushes++] = f;
		}
	}
	if (targets && seen)
		memset(seen, true, p->table->ndevs * sizeof(*seen));
	p->used = seen;
	return rc;
}

int dm_plan_new(struct dm_table *t, struct dm_plan **out, struct riser_err *err)
{
	struct dm_plan *p = calloc(1, sizeof(*p));
	int rc = 0;

	if (!p)
		return err_set(err, -ENOMEM, "no memory for a table");
	p->refs = 1;
	p->table = t;
	__atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
	dm_table_sum(t, &p->sum);
	p->stats = dm_stats_get(t->d->stats);
	if (p->stats && p->stats->lines)
		rc = dm_lines_new(t);
	/* Those that the table names come first, and are kept even where they are skipped. */
	for (unsigned i = 0; rc >= 0 && i < t->ndevs; i++)
		rc = add_dev(p, t->devs[i]->b);
	for (unsigned i = 0; rc >= 0 && i < t->ntargets; i++)
		rc = add_target(p, t->targets[i]);
	if (rc >= 0)
		rc = add_flushes(p);
	if (rc < 0) {
		dm_plan_put(p);
		return err_set(err, rc, "no memory for a table");
	}
	*out = p;
	return 0;
}

void dm_plan_put(struct dm_plan *p)
{
	if (!p || __atomic_fetch_sub(&p->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	for (unsigned i = 0; i < p->ndevs; i++)
		blk_put(p->devs[i]);
	for (unsigned i = 0; i < p->nstripes; i++)
		free(p->stripes[i]);
	dm_table_put(p->table);
	dm_stats_put(p->stats);
	free(p->stripes);
	free(p->devs);
	free(p->extents);
	free(p->used);
	free(p->flushes);
	free(p->skips);
	free(p);
}
