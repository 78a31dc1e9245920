/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Suspend, swap, resume.
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
 * Opening: see gate_defer(). What a swap dropped is freed by its owner, from its inbox, which
 * wakes it; at REAP_MAX dropped maps a channel, the next swap waits for the owner.
 *
 * A swap makes its maps without a lock, as does a channel that is being opened. The tables that
 * they are made of stay as long as somebody builds: installing, and giving a swap up, wait for
 * that. A channel whose map is being made stays too (pinned). Building waits for devices at the
 * most, never for a gate or an owner, so that waiting for it is short and holds up nobody for ever.
 *
 * HOME: only the channels that are submitted to have gates; the home channel's is always open, for
 * what arrives there is counted on its submitter's.
 */
#include "base/err.h"
#include "base/membarrier.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdio.h>

#define REAP_MAX 8

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
		if (!c->is_home)
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
	pthread_mutex_unlock(&b->lock);
	return zero;
}

static void gate_open(struct riser_blk *b)
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

/* Where the I/O is that does not end: the lowest device with something in flight. */
static void parked_in(struct riser_blk *b, char *name, size_t len, uint64_t *count)
{
	*count = 0;
	snprintf(name, len, "%s", b->description);
	pthread_mutex_lock(&b->lock);
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		*count += c->is_home ? 0 : load_acquire(&c->inflight) + load_seq_cst(&c->ndeferred);
	list_for_each (c, &b->channels, struct riser_blk_channel, link) {
		for (unsigned i = 0; i < c->map->nlowers; i++) {
			struct riser_blk_channel *lower = c->map->lowers[i];

			/* What waits at a closed gate is not in flight there. */
			if (!load_acquire(&lower->inflight) && !load_seq_cst(&lower->ndeferred))
				continue;
			parked_in(lower->b, name, len, count);
			goto out;
		}
	}
out:
	pthread_mutex_unlock(&b->lock);
}

static int timed_out(struct riser_blk *b, struct riser_err *err)
{
	uint64_t count;
	char name[160];

	parked_in(b, name, sizeof(name), &count);
	return err_set(err, -ETIMEDOUT,
		       "%s cannot be suspended: %llu I/O is still in flight in %s; it goes on",
		       b->description, (unsigned long long)count, name);
}

/* Look until @ready, driving @x meanwhile. Return: whether it was before @deadline. */
static bool look_until(struct riser_blk *b, struct riser_exec *x, bool (*ready)(struct riser_blk *),
		       uint64_t deadline)
{
	struct sync_wait w;
	bool done;

	sync_wait_begin(&w, b->r, x);
	for (;;) {
		uint64_t next = deadline;

		sync_wait_look(&w);
		done = ready(b);
		if (done || clock_now(b->r) >= deadline)
			break;
		if (x && riser_exec_poll(x) > 0)
			continue;
		if (x)
			next = min_of(next, riser_exec_next_deadline(x));
		sync_wait_idle(&w, next);
	}
	sync_wait_end(&w);
	return done;
}

static bool take_control(struct riser_blk *b)
{
	bool taken;

	pthread_mutex_lock(&b->lock);
	taken = !b->controlled;
	b->controlled = true;
	pthread_mutex_unlock(&b->lock);
	return taken;
}

static void leave_control(struct riser_blk *b)
{
	pthread_mutex_lock(&b->lock);
	b->controlled = false;
	pthread_mutex_unlock(&b->lock);
	clock_bump(b->r);
}

static int begin(struct riser_blk *b, struct riser_exec *x, uint64_t deadline,
		 struct riser_err *err)
{
	if (exec_in_callback(x))
		return err_set(err, -EDEADLK,
			       "%s cannot be suspended or changed from inside a completion",
			       b->description);
	if (!look_until(b, x, take_control, deadline))
		return err_set(err, -ETIMEDOUT, "%s is being suspended or changed by another",
			       b->description);
	return 0;
}

static uint64_t deadline_in(struct riser_blk *b, uint64_t timeout_ns)
{
	uint64_t now = clock_now(b->r);

	return timeout_ns > TIME_NEVER - now ? TIME_NEVER : now + timeout_ns;
}

static int suspend(struct riser_blk *b, struct riser_exec *x, uint64_t deadline,
		   struct riser_err *err)
{
	if (b->state == BLK_SUSPENDED)
		return 0;
	gate_close(b);
	if (!look_until(b, x, gate_drained, deadline)) {
		int rc = timed_out(b, err);

		gate_open(b);
		return rc;
	}
	pthread_mutex_lock(&b->lock);
	b->state = BLK_SUSPENDED;
	pthread_mutex_unlock(&b->lock);
	return 0;
}

int blk_suspend(struct riser_blk *b, struct riser_exec *x, uint64_t timeout_ns,
		struct riser_err *err)
{
	uint64_t deadline = deadline_in(b, timeout_ns);
	int rc = begin(b, x, deadline, err);

	if (rc)
		return rc;
	rc = suspend(b, x, deadline, err);
	leave_control(b);
	return rc;
}

static void reap_map(struct riser_work *w)
{
	struct blk_map *m = container_of(w, struct blk_map, reap);
	struct riser_blk_channel *c = m->c;
	struct riser *r = m->b->r;

	blk_map_free(m);
	__atomic_fetch_sub(&c->reaping, 1, __ATOMIC_RELEASE);
	clock_bump(r);
}

/* The caller holds the device's lock. */
static void drop(struct blk_map *m)
{
	struct riser_blk_channel *c = m->c;

	__atomic_fetch_add(&c->reaping, 1, __ATOMIC_RELAXED);
	m->reap.fn = reap_map;
	riser_exec_post(c->owner->x, &m->reap);
}

static bool reaped(struct riser_blk *b)
{
	bool few = true;

	pthread_mutex_lock(&b->lock);
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		few = few && load_acquire(&c->reaping) < REAP_MAX;
	pthread_mutex_unlock(&b->lock);
	return few;
}

/* Return: whether nobody builds for it any more, and it is gone. */
static bool drop_next(struct riser_blk *b)
{
	bool idle;

	pthread_mutex_lock(&b->lock);
	idle = !b->building;
	if (idle) {
		b->next_table = NULL;
		list_for_each (c, &b->channels, struct riser_blk_channel, link) {
			if (c->next_map)
				drop(c->next_map);
			c->next_map = NULL;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return idle;
}

static struct riser_blk_channel *unprepared(struct riser_blk *b)
{
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		if (!c->next_map && !channel_is_hop(c))
			return c;
	return NULL;
}

/* Every channel gets its way through the new table, beside the live one. */
static int prepare(struct riser_blk *b, struct riser_exec *x, void *table, uint64_t deadline,
		   struct riser_err *err)
{
	struct riser_blk_channel *c;
	int rc = 0;

	if (!look_until(b, x, reaped, deadline))
		return err_set(
			err, -ETIMEDOUT,
			"%s cannot be changed: an owner of a channel does not poll, and holds "
			"what earlier changes dropped",
			b->description);
	pthread_mutex_lock(&b->lock);
	b->next_table = table;
	while (!rc && (c = unprepared(b))) {
		c->pinned = true;
		rc = blk_map_build(c, table, &c->next_map, err);
		c->pinned = false;
	}
	pthread_mutex_unlock(&b->lock);
	if (rc)
		look_until(b, x, drop_next, TIME_NEVER);
	return rc;
}

/* With everything drained. Return: whether nobody builds, so that it is done. */
static bool install(struct riser_blk *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->building) {
		pthread_mutex_unlock(&b->lock);
		return false;
	}
	b->table = b->next_table;
	b->next_table = NULL;
	if (b->ops->install)
		b->ops->install(b, b->table);
	list_for_each (c, &b->channels, struct riser_blk_channel, link) {
		struct blk_map *old = c->map;

		channel_set_map(c, c->next_map ? c->next_map : old);
		if (c->next_map)
			drop(old);
		c->next_map = NULL;
		if (c->is_home)
			store_release(&c->gate, c->map);
	}
	pthread_mutex_unlock(&b->lock);
	return true;
}

int blk_swap(struct riser_blk *b, struct riser_exec *x, void *table, uint64_t timeout_ns,
	     struct riser_err *err)
{
	uint64_t deadline = deadline_in(b, timeout_ns);
	int rc = begin(b, x, deadline, err);
	bool was_suspended;

	if (rc)
		return rc;
	rc = prepare(b, x, table, deadline, err);
	if (rc)
		goto out;
	was_suspended = b->state == BLK_SUSPENDED;
	rc = suspend(b, x, deadline, err);
	if (rc) {
		look_until(b, x, drop_next, TIME_NEVER);
		goto out;
	}
	if (!look_until(b, x, install, deadline)) {
		rc = err_set(err, -ETIMEDOUT,
			     "%s cannot be changed: a channel is still being opened",
			     b->description);
		look_until(b, x, drop_next, TIME_NEVER);
	}
	if (!was_suspended)
		gate_open(b);
out:
	leave_control(b);
	return rc;
}

int blk_resume(struct riser_blk *b, struct riser_exec *x, struct riser_err *err)
{
	int rc = begin(b, x, TIME_NEVER, err);

	if (rc)
		return rc;
	if (b->state == BLK_SUSPENDED)
		gate_open(b);
	leave_control(b);
	return 0;
}
