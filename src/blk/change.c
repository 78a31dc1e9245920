/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Suspend, swap, resume, the moving of a home, and calls there: each a change that is taken step by
 *step.
 *
 *	CONTROL	one change of a device at a time
 *	CALL	a function where the device's home is
 *	REAP	owners free what earlier changes dropped; at REAP_MAX maps a channel they are
 *awaited BUILD	a home where the new table wants one, and every channel's map, beside the live ones
 *	CLOSE	the gate; then DRAIN, until nothing is in flight
 *	INSTALL	the new maps; what they replace is freed by its owners, who are woken; the gate
 *opens DROP	instead, after a failure: what was built LEAVE	control
 *
 * No step waits: where it cannot be finished it is to be taken again, up to the deadline. A caller
 * loops, driving his own executor between two looks; the owner of a home that moves takes a step in
 * each of his polls. No lock is held between steps.
 *
 * A change makes its maps without a lock, as does a channel that is being opened. The tables that
 * they are made of stay as long as somebody builds: INSTALL and DROP wait for that. A channel whose
 * map is being made stays too (pinned). Building waits for devices at the most, never for a gate or
 * an owner, so that waiting for it is short and holds up nobody for ever.
 */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>

#define REAP_MAX 8

enum step {
	CONTROL,
	CALL,
	REAP,
	BUILD,
	CLOSE,
	DRAIN,
	INSTALL,
	DROP,
	OPEN,
	LOOK,
	APPLY,
	LEAVE,
	OVER = BLK_CHANGE_OVER
};

static bool overdue(const struct blk_change *ch)
{
	return clock_now(ch->b->r) >= ch->deadline;
}

static enum step control(struct blk_change *ch)
{
	static const enum step then[] = {
		[CHANGE_SUSPEND] = CLOSE, [CHANGE_RESUME] = OPEN, [CHANGE_SWAP] = REAP,
		[CHANGE_MOVE] = REAP,     [CHANGE_CALL] = CALL,   [CHANGE_REFRESH] = LOOK,
	};
	struct riser_blk *b = ch->b;
	bool taken, moot;

	pthread_mutex_lock(&b->lock);
	taken = !b->controlled;
	moot = taken && ch->kind == CHANGE_MOVE && !home_must_move(ch->from);
	if (taken && !moot) {
		b->controlled = true;
		ch->was_suspended = b->state == BLK_SUSPENDED;
		if (ch->kind == CHANGE_MOVE)
			ch->table = b->table;
	}
	pthread_mutex_unlock(&b->lock);
	if (moot)
		return OVER;
	if (taken)
		return then[ch->kind];
	if (!overdue(ch))
		return CONTROL;
	ch->rc = err_set(ch->err, -ETIMEDOUT, "%s is being suspended or changed by another",
			 b->description);
	return OVER;
}

static void run_call(struct riser_work *w)
{
	struct blk_change *ch = container_of(w, struct blk_change, work);
	struct riser *r = ch->b->r;

	ch->fn(ch->arg);
	store_release(&ch->called, 1); /* the last touch of @ch, which its maker may free */
	clock_bump(r);
}

/* The home stays where it is, as control is ours. */
static enum step call(struct blk_change *ch)
{
	struct blk_home *h = ch->b->home;

	if (!ch->work.fn) {
		ch->work.fn = run_call;
		if (h && h->c.owner->x != ch->x)
			riser_exec_post(h->c.owner->x, &ch->work);
		else
			run_call(&ch->work);
	}
	return load_acquire(&ch->called) ? LEAVE : CALL;
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

static enum step reaped(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;
	bool few = true;

	pthread_mutex_lock(&b->lock);
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		few = few && load_acquire(&c->reaping) < REAP_MAX;
	pthread_mutex_unlock(&b->lock);
	if (few)
		return BUILD;
	if (!overdue(ch))
		return REAP;
	ch->rc = err_set(ch->err, -ETIMEDOUT,
			 "%s cannot be changed: an owner of a channel does not poll, and holds "
			 "what earlier changes dropped",
			 b->description);
	return LEAVE;
}

/* Whose executor the home of the next table is to have: the present one's, while it may stay. */
static struct riser_blk_channel *host(struct riser_blk *b)
{
	if (b->home)
		list_for_each (c, &b->channels, struct riser_blk_channel, link)
			if (c->owner == b->home->c.owner)
				return c;
	return list_empty(&b->channels)
		       ? NULL
		       : list_entry(b->channels.next, struct riser_blk_channel, link);
}

static struct riser_blk_channel *unprepared(struct riser_blk *b)
{
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		if (!c->next_map)
			return c;
	return NULL;
}

static enum step build(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;
	struct riser_blk_channel *c;

	pthread_mutex_lock(&b->lock);
	b->changing = true;
	b->next_table = ch->table;
	c = host(b);
	if (c) {
		c->pinned = true;
		ch->rc = home_get(b, ch->table, &b->next_home, c, ch->err);
		c->pinned = false;
	}
	while (!ch->rc && (c = unprepared(b))) {
		c->pinned = true;
		ch->rc = blk_map_build(c, ch->table, b->next_home, &c->next_map, ch->err);
		c->pinned = false;
	}
	pthread_mutex_unlock(&b->lock);
	return ch->rc ? DROP : CLOSE;
}

static enum step close_gate(struct blk_change *ch)
{
	if (!ch->was_suspended)
		gate_close(ch->b);
	return DRAIN;
}

static enum step drained(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;
	uint64_t count;
	char name[160];

	if (ch->was_suspended || gate_drained(b)) {
		if (ch->kind != CHANGE_SUSPEND)
			return ch->kind == CHANGE_REFRESH ? APPLY : INSTALL;
		pthread_mutex_lock(&b->lock);
		b->state = BLK_SUSPENDED;
		pthread_mutex_unlock(&b->lock);
		return LEAVE;
	}
	if (!overdue(ch))
		return DRAIN;
	gate_parked(b, name, sizeof(name), &count);
	ch->rc = err_set(ch->err, -ETIMEDOUT,
			 "%s cannot be suspended: %llu I/O is still in flight in %s; it goes on",
			 b->description, (unsigned long long)count, name);
	gate_open(b);
	return b->changing ? DROP : LEAVE;
}

/* The caller holds the device's lock. */
static void install(struct riser_blk *b)
{
	struct blk_home *old = b->home;

	b->table = b->next_table;
	b->home = b->next_home;
	b->next_table = b->next_home = NULL;
	b->changing = false;
	if (b->ops->install)
		b->ops->install(b, b->table);
	if (b->home)
		home_live(b->home);
	list_for_each (c, &b->channels, struct riser_blk_channel, link) {
		drop(c->map);
		channel_set_map(c, c->next_map);
		c->next_map = NULL;
	}
	if (old)
		home_retire(old); /* behind the maps that know it */
}

static enum step installed(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;
	bool ready;

	pthread_mutex_lock(&b->lock);
	ready = !b->building;
	if (ready)
		install(b);
	pthread_mutex_unlock(&b->lock);
	if (!ready && !overdue(ch))
		return INSTALL;
	if (!ready)
		ch->rc = err_set(ch->err, -ETIMEDOUT,
				 "%s cannot be changed: a channel is still being opened",
				 b->description);
	if (!ch->was_suspended)
		gate_open(b);
	return ready ? LEAVE : DROP;
}

static enum step dropped(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;
	bool ready;

	pthread_mutex_lock(&b->lock);
	ready = !b->building;
	if (ready) {
		list_for_each (c, &b->channels, struct riser_blk_channel, link) {
			if (c->next_map)
				drop(c->next_map);
			c->next_map = NULL;
		}
		if (b->next_home)
			home_retire(b->next_home);
		b->next_table = b->next_home = NULL;
		b->changing = false;
	}
	pthread_mutex_unlock(&b->lock);
	return ready ? LEAVE : DROP;
}

static enum step open_gate(struct blk_change *ch)
{
	if (ch->was_suspended)
		gate_open(ch->b);
	return LEAVE;
}

/* What the device is now. Only what differs costs the I/O a closed gate. */
static enum step look(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;

	ch->now = (struct blk_current){ b->sectors, b->read_only, false };
	if (b->ops->refresh)
		ch->rc = b->ops->refresh(b, ch->x, &ch->now, ch->err);
	ch->now.gone = ch->rc == -ENODEV;
	if (ch->now.gone)
		return b->gone ? LEAVE : CLOSE;
	if (ch->rc || (ch->now.sectors == b->sectors && ch->now.read_only <= b->read_only))
		return LEAVE;
	return CLOSE;
}

/* The caller holds the device's lock. */
static void apply(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;

	if (ch->now.gone) {
		ch->events = 1u << RISER_BLK_EVENT_GONE;
	} else {
		if (ch->now.sectors != b->sectors)
			ch->events |= 1u << RISER_BLK_EVENT_RESIZED;
		if (ch->now.read_only && !b->read_only)
			ch->events |= 1u << RISER_BLK_EVENT_READ_ONLY;
		b->sectors = ch->now.sectors;
		b->read_only |= ch->now.read_only;
		if (b->ops->refreshed)
			b->ops->refreshed(b);
	}
	b->gone |= ch->now.gone;
	b->turned |= ch->now.gone || ch->now.read_only;
	if (b->home)
		home_live(b->home);
	list_for_each (c, &b->channels, struct riser_blk_channel, link) {
		struct blk_map *m = home_map(c->map);

		channel_set_map(c, c->map);
		if (m->c != c) /* behind a hop of its own, perhaps */
			channel_set_map(m->c, m);
	}
}

static enum step applied(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;

	pthread_mutex_lock(&b->lock);
	if (!ch->now.gone && ch->now.sectors < b->sectors &&
	    (!list_empty(&b->channels) || b->building))
		ch->rc = err_set(ch->err, -EBUSY,
				 "%s became smaller, and is in use: its size stays, and what lies "
				 "behind its end now fails",
				 b->description);
	else
		apply(ch);
	pthread_mutex_unlock(&b->lock);
	if (!ch->was_suspended)
		gate_open(b);
	return LEAVE;
}

static enum step leave_control(struct blk_change *ch)
{
	struct riser_blk *b = ch->b;

	pthread_mutex_lock(&b->lock);
	b->controlled = false;
	pthread_mutex_unlock(&b->lock);
	clock_bump(b->r);
	return OVER;
}

bool change_step(struct blk_change *ch)
{
	static enum step (*const steps[])(struct blk_change * ch) = {
		[CONTROL] = control,   [CALL] = call,        [REAP] = reaped,
		[BUILD] = build,       [CLOSE] = close_gate, [DRAIN] = drained,
		[INSTALL] = installed, [DROP] = dropped,     [OPEN] = open_gate,
		[LOOK] = look,         [APPLY] = applied,    [LEAVE] = leave_control,
	};
	enum step at;

	do {
		at = ch->at;
		ch->at = steps[at](ch);
	} while (ch->at != at && ch->at != OVER);
	return ch->at == OVER;
}

static bool is_over(void *arg)
{
	return change_step(arg);
}

/* Take all steps, driving the caller's executor between them. */
int blk_change(struct blk_change *ch, uint64_t timeout_ns)
{
	struct riser *r = ch->b->r;
	uint64_t now = clock_now(r);

	if (exec_in_callback(ch->x) || exec_completing(r))
		return err_set(ch->err, -EDEADLK,
			       "%s cannot be suspended or changed from inside a completion",
			       ch->b->description);
	ch->deadline = timeout_ns > TIME_NEVER - now ? TIME_NEVER : now + timeout_ns;
	if (!sync_wait_until(r, ch->x, is_over, ch, ch->deadline))
		sync_wait_until(r, ch->x, is_over, ch, TIME_NEVER); /* what undoes it */
	return ch->rc;
}

int blk_suspend(struct riser_blk *b, struct riser_exec *x, uint64_t timeout_ns,
		struct riser_err *err)
{
	struct blk_change ch = { .b = b, .kind = CHANGE_SUSPEND, .x = x, .err = err };

	return blk_change(&ch, timeout_ns);
}

int blk_resume(struct riser_blk *b, struct riser_exec *x, struct riser_err *err)
{
	struct blk_change ch = { .b = b, .kind = CHANGE_RESUME, .x = x, .err = err };

	return blk_change(&ch, TIME_NEVER);
}

int blk_swap(struct riser_blk *b, struct riser_exec *x, void *table, uint64_t timeout_ns,
	     struct riser_err *err)
{
	struct blk_change ch = { .b = b, .kind = CHANGE_SWAP, .table = table, .x = x, .err = err };

	return blk_change(&ch, timeout_ns);
}

int blk_at_home(struct riser_blk *b, struct riser_exec *x, void (*fn)(void *arg), void *arg)
{
	struct blk_change ch = { .b = b, .kind = CHANGE_CALL, .x = x, .fn = fn, .arg = arg };

	return blk_change(&ch, TIME_NEVER);
}
