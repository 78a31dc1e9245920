/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The block core's part of an executor. Any thread may open a channel for an owner; what touches
 * the owner's lists (its poller, the leaves that it polls) waits for the channel's first I/O, which
 * the owner itself submits.
 */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdlib.h>

/* Each channel once: those that find no room again are at the end of the list anew. */
static int run_again(struct blk_owner *o)
{
	struct list *last = o->retry.prev, *l;
	int n = 0;

	if (list_empty(&o->retry))
		return 0;
	do {
		l = o->retry.next;
		n += blk_run_again(list_entry(l, struct riser_blk_channel, retry));
	} while (l != last);
	return n;
}

/* What gathered for other executors goes to their inboxes. */
static void owner_send(struct blk_owner *o)
{
	struct blk_batch *batch;

	while ((batch = o->unsent)) {
		struct riser_work *w = &io_priv(batch->first)->hop;

		o->unsent = batch->next;
		io_priv(batch->last)->batch = NULL;
		batch->first = NULL;
		w->fn = batch->arrived;
		riser_exec_post(batch->to, w); /* nothing of the batch is ours any more */
	}
}

static int owner_poll(struct poller *p)
{
	struct blk_owner *o = container_of(p, struct blk_owner, poller);
	int n = 0;

	/* Nobody closes a channel in here: inside a completion, closing is left to the inbox. */
	o->x->in_cb++;
	if (owner_has_done(o))
		n += blk_run_done(o);
	list_for_each (m, &o->leaves, struct blk_map, active)
		n += m->ops->poll(m);
	n += run_again(o);
	o->x->in_cb--;
	if (o->unsent)
		owner_send(o);
	if (unlikely(!list_empty(&o->leaving)))
		home_leave(o);
	if (n)
		clock_bump(o->x->r); /* a drain on virtual time looks again */
	return n;
}

static int owner_arm(struct poller *p)
{
	struct blk_owner *o = container_of(p, struct blk_owner, poller);
	int rc = owner_has_done(o);

	if (!rc && !list_empty(&o->leaving))
		rc = -EOPNOTSUPP; /* nobody wakes us when others are through */
	/* What came behind the last poll. */
	if (o->unsent)
		owner_send(o);
	list_for_each (m, &o->leaves, struct blk_map, active) {
		int a = m->ops->arm ? m->ops->arm(m) : 0;

		if (a > 0)
			return a;
		if (a < 0 && !rc)
			rc = a;
	}
	return rc;
}

static uint64_t owner_next_deadline(struct poller *p)
{
	struct blk_owner *o = container_of(p, struct blk_owner, poller);
	uint64_t next = home_next_deadline(o);

	if (owner_has_done(o) || o->unsent)
		return o->x->now;
	list_for_each (m, &o->leaves, struct blk_map, active)
		if (m->ops->next_deadline)
			next = min_of(next, m->ops->next_deadline(m));
	return next;
}

int owner_get(struct riser_exec *x, struct blk_owner **out, struct riser_err *err)
{
	struct blk_owner *o;

	pthread_mutex_lock(&x->r->lock);
	o = x->blk;
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (o) {
			o->x = x;
			o->done_tail = &o->done;
			o->poller = (struct poller){ .poll = owner_poll,
						     .arm = owner_arm,
						     .next_deadline = owner_next_deadline };
			list_init(&o->leaves);
			list_init(&o->retry);
			list_init(&o->leaving);
			x->blk = o;
		}
	}
	if (o)
		o->refs++;
	pthread_mutex_unlock(&x->r->lock);
	*out = o;
	return o ? 0 : err_set(err, -ENOMEM, "no memory for an executor's channels");
}

static void reap_owner(struct riser_work *w)
{
	struct blk_owner *o = container_of(w, struct blk_owner, reap);

	if (o->registered)
		exec_remove(o->x, &o->poller);
	free(o);
}

/*
 * The last channel may be one that another thread opened and never used, or failed to open: only
 * the owner takes himself off his executor.
 */
void owner_put(struct blk_owner *o, bool here)
{
	struct riser *r = o->x->r;
	bool last;

	pthread_mutex_lock(&r->lock);
	last = --o->refs == 0;
	if (last)
		o->x->blk = NULL;
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	o->reap.fn = reap_owner;
	if (here || !o->registered)
		reap_owner(&o->reap);
	else
		riser_exec_post(o->x, &o->reap);
}

void blk_map_activate(struct blk_map *m)
{
	if (list_empty(&m->active))
		list_add_tail(&m->owner->leaves, &m->active);
}

void owner_register(struct blk_owner *o)
{
	if (o->registered)
		return;
	exec_add(o->x, &o->poller);
	o->registered = true;
}

void owner_start(struct riser_blk_channel *c)
{
	struct blk_owner *o = c->owner;
	struct blk_map *m;

	c->started = true;
	owner_register(o);
	if (!c->leaf)
		return; /* and its map may be swapped at this moment: it is behind the gate */
	m = c->map;
	if (m->ops->start)
		m->ops->start(m);
	if (m->ops->poll)
		list_add_tail(&o->leaves, &m->active);
}
