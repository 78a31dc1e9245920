/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Who is compiled anew.
 *
 * Before a device's gate closes, nobody may pass it by: it is marked opaque, and every live plan
 * that skips it is compiled anew and swapped in, one device after the other, the lowest first (what
 * is above is compiled from what is below). When it is open again, whoever is above is compiled
 * once more, and may skip it again. An upper device for which that fails keeps the longer way,
 * which is right too.
 */
#include "base/err.h"
#include "dm/stats.h"

static void leave_skipped(struct dm_plan *p)
{
	for (unsigned i = 0; p && i < p->nskips; i++)
		list_del(&p->skips[i].link);
}

void dm_set_plan(struct riser_dm *d, struct dm_plan *p)
{
	struct dm_plan *old = d->plan;

	pthread_mutex_lock(&d->r->lock);
	leave_skipped(old);
	for (unsigned i = 0; p && i < p->nskips; i++)
		list_add_tail(&p->skips[i].dm->skippers, &p->skips[i].link);
	d->plan = p;
	pthread_mutex_unlock(&d->r->lock);
	dm_plan_put(old);
}

/* The same table by another plan. */
static int recompile(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
		     struct riser_err *err)
{
	struct dm_plan *p;
	int rc = dm_plan_new(d->live, &p, err);

	if (rc)
		return rc;
	rc = blk_swap(d->b, x, p, dm_left_of(d->r, deadline), err);
	if (rc)
		dm_plan_put(p);
	else
		dm_set_plan(d, p);
	return rc;
}

/*
 * Add those above @d whose live tables lead there, each behind what it rests on, with a reference.
 * Who is being freed has no channel any more. The caller holds the context's lock.
 */
static void gather(struct riser_dm *d, struct list *order)
{
	list_for_each (u, &d->users, struct dm_use, link) {
		struct riser_dm *up = u->table->d;

		if (up->live != u->table || !list_empty(&up->order) || !blk_try_get(up->b))
			continue;
		list_add(order, &up->order); /* entered, so that no other way leads here again */
		gather(up, order);
		list_del(&up->order);
		list_add(order, &up->order);
	}
}

static void forget_order(struct list *order)
{
	list_for_each_safe (up, order, struct riser_dm, order) {
		list_del(&up->order);
		blk_put(up->b);
	}
}

static bool skips(const struct dm_plan *p, const struct riser_dm *d)
{
	for (unsigned i = 0; i < p->nskips; i++)
		if (p->skips[i].dm == d)
			return true;
	return false;
}

/* Whoever skips @d is compiled anew, now that it is opaque; from the lowest to the highest. */
static int recompile_skippers(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
			      struct riser_err *err)
{
	struct list order = LIST_INIT(order);
	int rc = 0;

	pthread_mutex_lock(&d->r->lock);
	if (!list_empty(&d->skippers))
		gather(d, &order);
	pthread_mutex_unlock(&d->r->lock);
	list_for_each (up, &order, struct riser_dm, order)
		if (!rc && skips(up->plan, d))
			rc = recompile(up, x, deadline, err);
	forget_order(&order);
	return rc;
}

/*
 * Whoever is above @d is compiled anew; but for those that are above another one that is suspended,
 * whose I/O may be parked there: their turn comes when that is resumed.
 */
static int recompile_above(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
			   struct riser_err *err)
{
	struct list waiting = LIST_INIT(waiting), order = LIST_INIT(order);
	int rc = 0;

	pthread_mutex_lock(&d->r->lock);
	list_for_each (s, &d->r->dm.suspended, struct riser_dm, link)
		gather(s, &waiting);
	gather(d, &order);
	pthread_mutex_unlock(&d->r->lock);
	list_for_each (up, &order, struct riser_dm, order)
		if (!rc)
			rc = recompile(up, x, deadline, err);
	forget_order(&order);
	forget_order(&waiting);
	return rc;
}

int dm_make_opaque(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
		   struct riser_err *err)
{
	d->opaque = true;
	return recompile_skippers(d, x, deadline, err);
}

void dm_make_clear(struct riser_dm *d, struct riser_exec *x, uint64_t deadline)
{
	struct riser_err why;

	d->opaque = d->flags & RISER_DM_OPAQUE || d->stats;
	if (recompile_above(d, x, deadline, &why))
		base_log(d->r, RISER_LOG_WARN, "the way through '%s' stays as it is: %s", d->name,
			 why.text);
}

/* What a channel has in flight has to end before it counts, or does not. */
#define STATS_TIMEOUT (10 * NS_PER_S)

int dm_set_stats(struct riser_dm *d, struct riser_exec *x, struct dm_stats *s,
		 struct riser_err *err)
{
	uint64_t deadline = dm_deadline_in(d->r, STATS_TIMEOUT);
	struct dm_stats *old = d->stats;
	int rc = 0;

	d->stats = s;
	if (s)
		rc = dm_make_opaque(d, x, deadline, err);
	if (!rc && d->live)
		rc = recompile(d, x, deadline, err);
	if (rc)
		d->stats = old;
	dm_stats_put(rc ? s : old);
	if (!d->stats && !d->suspended)
		dm_make_clear(d, x, dm_deadline_in(d->r, STATS_TIMEOUT));
	return rc;
}
