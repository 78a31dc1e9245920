/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Executors: the one owner of queue pairs, channels and publishers. See include/riser/riser.h.
 *
 * What an executor drives registers a poller; only the owner's thread touches that list. Other
 * threads reach an executor through the inbox alone (riser_exec_post()).
 */
#ifndef BASE_EXEC_H
#define BASE_EXEC_H

#include "base/clock.h"
#include "base/event.h"
#include "base/list.h"
#include <riser/riser.h>

struct blk_owner;

/**
 * struct poller - something that an executor drives
 * @poll: do what is ready, return how many things were done; runs completions
 * @arm: prepare to sleep: > 0 work is there, 0 armed (a watched descriptor will become
 *	readable), -EOPNOTSUPP cannot interrupt; NULL: 0
 * @next_deadline: when @poll has something to do by itself; NULL: never
 */
struct poller {
	struct list link;
	int (*poll)(struct poller *p);
	int (*arm)(struct poller *p);
	uint64_t (*next_deadline)(struct poller *p);
};

struct riser_exec {
	struct riser *r;
	uint64_t now;     /* of the clock, read once a poll */
	unsigned in_cb;   /* > 0 while completions run: waiting there is a deadlock */
	uintptr_t runner; /* atomic; the thread that polled last, whose @in_cb is */
	struct list link; /* in struct riser.execs */
	struct list pollers;
	struct list *cursor; /* next poller of the poll under way, so that removing is safe */
	unsigned nready;     /* watches with @ready */
	unsigned idle_polls;
	uint64_t spin_ns; /* how long riser_exec_wait() spins before it sleeps; adapts */
	int set, wake;
	struct riser_watch wake_watch; /* stands for @wake in @set */
	struct waitset_event *batch;   /* the events being handed out */
	int nbatch;
	/* Taken out of @inbox, and not yet run. Work that waits runs the rest first, so that it
	 * does not wait for what is behind itself. */
	struct riser_work *todo;
	struct clock_part part;
	struct blk_owner *blk; /* what the block core hangs here; under the context's lock */
	uint32_t leaving;      /* atomic: what is about to go elsewhere, given some more polls */
	uint32_t lent; /* atomic: what serves other executors until they are through with it */

	struct riser_work *inbox __attribute__((aligned(64))); /* pushed by any thread */
	uint32_t posting; /* threads inside riser_exec_post(): freeing waits for them */
	uint32_t sleeping;
};

void exec_add(struct riser_exec *x, struct poller *p);
void exec_remove(struct riser_exec *x, struct poller *p);

/* Are we inside one of this executor's completions? @x may be NULL. */
static inline bool exec_in_callback(const struct riser_exec *x)
{
	return x && x->in_cb;
}

/*
 * Is this thread inside a completion of any executor? For what waits, and is not told whose thread
 * it is in; it costs a lock.
 */
bool exec_completing(struct riser *r);

/* The time of the poll under way; between two polls, when that of the last may be long ago, it is
 * read anew. */
static inline uint64_t exec_now(struct riser_exec *x)
{
	if (!x->in_cb)
		x->now = clock_now(x->r);
	return x->now;
}

/**
 * struct sync_wait - the waiting of a synchronous call, with or without an executor
 *
 * sync_wait_begin(), then rounds of { look for work; if none: sync_wait_idle() }, then
 * sync_wait_end().
 */
struct sync_wait {
	struct riser *r;
	struct clock_part own, *part;
	uint64_t seen;
	unsigned idle;
};

void sync_wait_begin(struct sync_wait *w, struct riser *r, struct riser_exec *x);
/* For who does not know whether the calling thread runs an executor. */
void sync_wait_begin_here(struct sync_wait *w, struct riser *r);
/* Call before looking for work. */
void sync_wait_look(struct sync_wait *w);
/* Nothing found: wait a little, at most until @next. Real time spins, then sleeps ≤ 50 µs. */
void sync_wait_idle(struct sync_wait *w, uint64_t next);
void sync_wait_end(struct sync_wait *w);

/*
 * Look until @ready says so, driving @x meanwhile, which may be NULL. Return: whether it did before
 * @deadline.
 */
bool sync_wait_until(struct riser *r, struct riser_exec *x, bool (*ready)(void *arg), void *arg,
		     uint64_t deadline);

#endif
