/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/clock.h"
#include "base/riser.h"
#include <time.h>

int clock_init(struct clock *c, bool is_virtual)
{
	c->is_virtual = is_virtual;
	c->now = NS_PER_S; /* never 0, which means "not stamped" in places */
	list_init(&c->parts);
	if (pthread_mutex_init(&c->lock, NULL))
		return -1;
	if (pthread_cond_init(&c->moved, NULL)) {
		pthread_mutex_destroy(&c->lock);
		return -1;
	}
	return 0;
}

void clock_destroy(struct clock *c)
{
	pthread_cond_destroy(&c->moved);
	pthread_mutex_destroy(&c->lock);
}

uint64_t clock_real(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_now(struct riser *r)
{
	return clock_now_of(&r->clock);
}

uint64_t riser_now(struct riser *r)
{
	return clock_now(r);
}

uint64_t clock_activity(struct riser *r)
{
	return __atomic_load_n(&r->clock.activity, __ATOMIC_ACQUIRE);
}

/* All sleepers look again. The caller holds the lock. */
static void wake_all(struct clock *c)
{
	list_for_each (p, &c->parts, struct clock_part, link)
		p->idle = false;
	__atomic_store_n(&c->nidle, 0, __ATOMIC_SEQ_CST);
	c->epoch++;
	pthread_cond_broadcast(&c->moved);
}

void clock_bump_slow(struct clock *c)
{
	/* Pairs with clock_idle(): it counts itself idle, then reads the activity. */
	__atomic_fetch_add(&c->activity, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&c->nidle, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&c->lock);
	wake_all(c);
	pthread_mutex_unlock(&c->lock);
}

void clock_bump(struct riser *r)
{
	clock_bump_of(&r->clock);
}

/*
 * If everybody is idle, jump to the earliest event that lies ahead. Idle participants saw the
 * current activity count: clock_idle() refuses older looks, clock_bump() wakes all.
 */
static bool try_jump(struct clock *c)
{
	uint64_t next = TIME_NEVER;

	if (c->nidle < c->nparts || !c->nparts)
		return false;
	list_for_each (p, &c->parts, struct clock_part, link)
		next = min_of(next, p->next);
	if (next == TIME_NEVER)
		return false;
	if (next > c->now)
		__atomic_store_n(&c->now, next, __ATOMIC_RELEASE);
	wake_all(c);
	return true;
}

void clock_join(struct riser *r, struct clock_part *part)
{
	struct clock *c = &r->clock;

	if (!c->is_virtual || part->joined)
		return;
	pthread_mutex_lock(&c->lock);
	list_add_tail(&c->parts, &part->link);
	part->joined = true;
	part->idle = false;
	c->nparts++;
	pthread_mutex_unlock(&c->lock);
}

void clock_run(struct riser *r, struct clock_part *part)
{
	clock_join(r, part);
	__atomic_store_n(&part->thread, (uintptr_t)pthread_self(), __ATOMIC_RELAXED);
}

struct clock_part *clock_running(struct riser *r)
{
	uintptr_t self = (uintptr_t)pthread_self();
	struct clock_part *found = NULL;
	struct clock *c = &r->clock;

	if (!c->is_virtual)
		return NULL;
	pthread_mutex_lock(&c->lock);
	list_for_each (p, &c->parts, struct clock_part, link)
		if (__atomic_load_n(&p->thread, __ATOMIC_RELAXED) == self)
			found = p;
	pthread_mutex_unlock(&c->lock);
	return found;
}

void clock_leave(struct riser *r, struct clock_part *part)
{
	struct clock *c = &r->clock;

	if (!part->joined)
		return;
	pthread_mutex_lock(&c->lock);
	list_del(&part->link);
	part->joined = false;
	c->nparts--;
	if (part->idle)
		__atomic_fetch_sub(&c->nidle, 1, __ATOMIC_SEQ_CST);
	part->idle = false;
	try_jump(c); /* the others may have waited for this one only */
	pthread_mutex_unlock(&c->lock);
}

void clock_idle(struct riser *r, struct clock_part *part, uint64_t seen, uint64_t next)
{
	struct clock *c = &r->clock;
	struct timespec ts;
	uint64_t epoch;

	clock_join(r, part);
	pthread_mutex_lock(&c->lock);
	part->next = next;
	part->idle = true;
	/* Pairs with clock_bump_slow(): it counts the activity, then looks for idlers. */
	__atomic_fetch_add(&c->nidle, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&c->activity, __ATOMIC_SEQ_CST) != seen)
		goto undo;
	if (try_jump(c))
		goto out;
	epoch = c->epoch;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += NS_PER_MS;
	if (ts.tv_nsec >= (long)NS_PER_S) {
		ts.tv_nsec -= (long)NS_PER_S;
		ts.tv_sec++;
	}
	while (c->epoch == epoch && part->idle)
		if (pthread_cond_timedwait(&c->moved, &c->lock, &ts))
			break;
undo:
	if (part->idle) {
		part->idle = false;
		__atomic_fetch_sub(&c->nidle, 1, __ATOMIC_SEQ_CST);
	}
out:
	pthread_mutex_unlock(&c->lock);
}
