/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Mistakes that a table may have although it can be loaded. */
#include "base/err.h"
#include "dm/dm.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
	struct dm_table *t;
	struct dm_notes notes;
	void (*found)(void *ctx, const struct riser_dm_where *where, const char *what);
	void *ctx;
	int n;
};

static void finding(struct check *c, const struct riser_dm_where *where, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void finding(struct check *c, const struct riser_dm_where *where, const char *fmt, ...)
{
	char text[RISER_ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	err_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->found(c->ctx, where, text);
	c->n++;
}

static int by_place(const void *a, const void *b)
{
	const struct dm_range *x = a, *y = b;
	int rc = strcmp(x->identity, y->identity);

	if (rc)
		return rc;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->where.line < y->where.line ? -1 : x->where.line > y->where.line;
}

/* A target that decides by itself may name a device for each of its ways, as delay does. */
static bool own_ways(const struct check *c, const struct dm_range *x, const struct dm_range *y)
{
	const struct riser_target *t = c->t->targets[x->target];
	struct riser_target_shape s = { 0 };

	if (t->ops->shape)
		t->ops->shape(t, &s);
	return x->target == y->target && s.kind == RISER_TARGET_OPAQUE;
}

/* What two lines map, two may write. */
static void overlaps(struct check *c)
{
	struct dm_range *r = c->notes.ranges;

	if (r)
		qsort(r, c->notes.nranges, sizeof(*r), by_place);
	for (unsigned i = 1, last = 0; i < c->notes.nranges; i++) {
		uint64_t end = r[last].start + r[last].len;
		bool same = !strcmp(r[i].identity, r[last].identity);

		if (same && !own_ways(c, &r[i], &r[last]) && r[i].start < end)
			finding(c, &r[i].where,
				"two writers: sectors %llu to %llu of %s are mapped by line %u too",
				(unsigned long long)r[i].start,
				(unsigned long long)min_of(end, r[i].start + r[i].len) - 1,
				dm_dev_uri(c->t->devs[r[i].dev]), r[last].where.line);
		if (!same || r[i].start + r[i].len > end)
			last = i;
	}
}

static void features(struct check *c)
{
	bool some = false;

	for (unsigned i = 0; i < c->t->ndevs; i++)
		some |= c->t->devs[i]->b->discard;
	for (unsigned i = 0; i < c->notes.nranges; i++) {
		const struct dm_range *r = &c->notes.ranges[i];
		const struct riser_target *t = c->t->targets[r->target];
		const struct riser_blk *b = c->t->devs[r->dev]->b;
		uint32_t physical = b->limits.physical_block / RISER_SECTOR_SIZE;

		if (b->write_cache && !t->num_flush)
			finding(c, &r->where,
				"lost flush: %s has a volatile cache, and %s passes no flush on",
				dm_dev_uri(c->t->devs[r->dev]), t->ops->name);
		if (some && t->num_discard && !b->discard)
			finding(c, &r->where,
				"lost discard: %s cannot, so that the whole device cannot",
				dm_dev_uri(c->t->devs[r->dev]));
		if (physical && r->start % physical)
			finding(c, &r->where,
				"not aligned: %s has physical blocks of %u sectors, and sector %llu "
				"is inside of one",
				dm_dev_uri(c->t->devs[r->dev]), physical,
				(unsigned long long)r->start);
	}
	for (unsigned i = 0; i < c->t->ntargets; i++)
		if (some && !c->t->targets[i]->num_discard)
			finding(c, &c->notes.targets[i],
				"lost discard: %s passes none on, so that the whole device cannot",
				c->t->targets[i]->ops->name);
}

int riser_dm_check(struct riser *r, const char *table,
		   void (*found)(void *ctx, const struct riser_dm_where *where, const char *what),
		   void *ctx, struct riser_err *err)
{
	struct check c = { .found = found, .ctx = ctx };
	struct riser_dm_where where;
	struct riser_dm *d;
	struct riser_err why;
	int rc = dm_new(r, NULL, NULL, RISER_DM_READONLY, &d, err);

	if (rc)
		return rc;
	rc = dm_control_begin(r, NULL, TIME_NEVER, err);
	if (rc)
		goto out;
	rc = dm_table_new(d, table, &c.notes, &c.t, &where, &why);
	if (rc == -ENOMEM) {
		err_set(err, rc, "%s", why.text);
	} else if (rc) {
		finding(&c, &where, "%s", why.text);
	} else {
		overlaps(&c);
		features(&c);
		dm_table_leave(c.t);
		dm_table_put(c.t);
	}
	dm_control_end(r);
	free(c.notes.ranges);
	free(c.notes.targets);
out:
	blk_put(d->b);
	return rc == -ENOMEM || rc == -EDEADLK ? rc : c.n;
}
