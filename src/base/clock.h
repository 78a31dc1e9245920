/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The context's clock, real or virtual.
 *
 * Virtual time stands still while anybody has something to do. Every runner (an owner's loop, a
 * synchronous wait, a model's thread) is a participant. One that found nothing to do says so with
 * clock_idle(), naming the activity count that it saw *before* it looked, and when its next event
 * is due. When all participants are idle at one and the same activity count, the clock jumps to
 * the earliest of those events. Whoever gives another runner something to do (a doorbell, a
 * completion, a step of recovery) calls clock_bump(), so that nobody sleeps on an old look.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/list.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct riser;

struct clock {
	bool is_virtual;
	uint64_t now;         /* virtual only */
	uint64_t activity;    /* virtual only */
	pthread_mutex_t lock; /* innermost: nothing is taken under it */
	pthread_cond_t moved;
	struct list parts;
	unsigned nparts, nidle;
	uint64_t epoch; /* counts jumps and wake-ups */
};

/* A participant; zero-initialised is "not joined". */
struct clock_part {
	struct list link;
	uint64_t next;
	uintptr_t thread; /* atomic; who runs it, of an executor's: see clock_run() */
	bool joined, idle;
};

int clock_init(struct clock *c, bool is_virtual);
void clock_destroy(struct clock *c);

uint64_t clock_real(void);

static inline uint64_t clock_now_of(const struct clock *c)
{
	if (c->is_virtual)
		return __atomic_load_n(&c->now, __ATOMIC_ACQUIRE);
	return clock_real();
}

uint64_t clock_now(struct riser *r);

/* The count to hand to clock_idle(), read before looking for work. */
uint64_t clock_activity(struct riser *r);

/* Somebody may have something to do now. Costs a load and a branch on real time. */
void clock_bump_slow(struct clock *c);
static inline void clock_bump_of(struct clock *c)
{
	if (__builtin_expect(c->is_virtual, 0))
		clock_bump_slow(c);
}
void clock_bump(struct riser *r);

void clock_join(struct riser *r, struct clock_part *part);
void clock_leave(struct riser *r, struct clock_part *part);

/* Join as an executor's, which this thread runs. */
void clock_run(struct riser *r, struct clock_part *part);

/*
 * The part that this thread runs, or NULL. Whatever the thread waits for, it has to wait as that
 * part: with another of its own, this one would never be idle, and time would stand still.
 */
struct clock_part *clock_running(struct riser *r);

/*
 * Virtual time only: wait until the clock moved or something happened since @seen. @next is when
 * this participant has something to do by itself, TIME_NEVER for never. Joins where needed. If no
 * participant names a time, real time passes (a millisecond), so that a bug hangs but does not
 * spin.
 */
void clock_idle(struct riser *r, struct clock_part *part, uint64_t seen, uint64_t next);

#endif
