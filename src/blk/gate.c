/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The gate.
 *
 * Closing: the gate (the channel's map pointer) becomes NULL, then every CPU of the process passes
 * a barrier, then the counts are read. A submitter counts itself in, then reads the gate. Without
 * the barrier both could read the old value: the submitter's count may sit in its store buffer.
 * Where there is no membarrier, both sides are sequentially consistent instead.
 *
 * Zero is judged channel by channel: a channel that once showed zero behind a closed gate stays
 * there, but for the passing count of one that is about to wait. The one who drains looks again and
 * again, driving his own executor between looks; nobody has to tell him (on virtual time the
 * owners' polls do). No lock is held across that.
 *
 * Opening: see gate_defer().
 *
 * HOME: only the channels that are submitted to have gates; the home channel's is always open, for
 * what arrives there is counted on its submitter's.
 */
#include "base/membarrier.h"
#include "base/riser.h"
#include "blk/source.h"
#include <stdio.h>

cold
void gate_defer(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	io_push(&c->deferred, io);
	/*
	 * Pairs with gate_open(): it stores the gate, then reads this. One of the two sees the
	 * other, so that nobody sleeps on what could go on.
	 */
	store_seq_cst(&c->ndeferred, c->ndeferred + 1);
	owner_dec_release(&c->inflight);
	clock_bump(c->b->r);
	if (load_seq_cst(&c->gate))
		gate_run_deferred(c);
}

/* In the owner's thread. Each is checked anew: the device may have shrunk. */
void gate_run_deferred(struct riser_blk_channel *c)
{
	struct io_queue q = c->deferred;
	struct riser_blk_io *io;

	c->deferred.head = NULL;
	store_seq_cst(&c->ndeferred, 0);
	while ((io = io_pop(&q)))
		c->submit(c, io);
}

static void wake(struct riser_work *w)
{
	struct riser_blk_channel *c = container_of(w, struct riser_blk_channel, wake);

	store_release(&c->waking, 0);
	gate_run_deferred(c);
}

void gate_close(struct riser_blk *b)
{
	pthread_mutex_lock(&b->lock);
	b->state = BLK_CLOSING;
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		store_seq_cst(&c->gate, NULL);
	pthread_mutex_unlock(&b->lock);
	/* Pairs with the order of enter(). */
	if (b->r->membarrier)
		membarrier_all();
}

bool gate_drained(struct riser_blk *b)
{
	bool zero = true;

	pthread_mutex_lock(&b->lock);
	/* The acquire in it pairs with owner_dec_release(). */
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		zero = zero && !load_seq_cst(&c->inflight);
	if (b->home) /* the table's own I/O */
		zero = zero && !load_seq_cst(&b->home->c.inflight);
	pthread_mutex_unlock(&b->lock);
	return zero;
}

void gate_open(struct riser_blk *b)
{
	pthread_mutex_lock(&b->lock);
	b->state = BLK_LIVE;
	list_for_each (c, &b->channels, struct riser_blk_channel, link) {
		store_seq_cst(&c->gate, c->map);
		if (!load_seq_cst(&c->ndeferred))
			continue;
		if (__atomic_exchange_n(&c->waking, 1, __ATOMIC_ACQ_REL))
			continue;
		c->wake.fn = wake;
		riser_exec_post(c->owner->x, &c->wake);
	}
	pthread_mutex_unlock(&b->lock);
}

static const struct riser_blk_channel *busy_lower(struct riser_blk *b)
{
	list_for_each (c, &b->channels, struct riser_blk_channel, link) {
		const struct blk_map *m = home_map(c->map);

		/* What waits at a closed gate is not in flight there. */
		for (unsigned i = 0; i < m->nlowers; i++)
			if (m->lowers[i] && (load_acquire(&m->lowers[i]->inflight) ||
					     load_seq_cst(&m->lowers[i]->ndeferred)))
				return m->lowers[i];
	}
	return NULL;
}

void gate_parked(struct riser_blk *b, char *name, size_t len, uint64_t *count)
{
	const struct riser_blk_channel *lower;

	*count = 0;
	snprintf(name, len, "%s", b->description);
	pthread_mutex_lock(&b->lock);
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		*count += load_acquire(&c->inflight) + load_seq_cst(&c->ndeferred);
	lower = busy_lower(b);
	if (lower)
		gate_parked(lower->b, name, len, count);
	pthread_mutex_unlock(&b->lock);
}
