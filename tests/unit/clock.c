/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Virtual time among several participants: it jumps when all of them are idle, not before. */
#include "base/clock.h"
#include "../tap.h"
#include "base/riser.h"
#include "base/util.h"
#include <pthread.h>
#include <sched.h>

static struct riser_err err;

static struct riser *virtual_context(void)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser *r = NULL;

	riser_new(&opts, &r, &err);
	return r;
}

TEST(it_stands_while_one_is_busy)
{
	struct clock_part idle = { 0 }, busy = { .next = TIME_NEVER };
	struct riser *r = virtual_context();
	uint64_t start = clock_now(r);

	clock_join(r, &busy);
	clock_idle(r, &idle, clock_activity(r), start + NS_PER_S);
	CHECK_EQ(clock_now(r), start);
	clock_leave(r, &idle);
	clock_leave(r, &busy);
	riser_free(r);
}

TEST(an_old_look_does_not_count)
{
	struct clock_part part = { 0 };
	struct riser *r = virtual_context();
	uint64_t start = clock_now(r), seen = clock_activity(r);

	clock_bump(r);
	clock_idle(r, &part, seen, start + NS_PER_S);
	CHECK_EQ(clock_now(r), start);
	clock_idle(r, &part, clock_activity(r), start + NS_PER_S);
	CHECK_EQ(clock_now(r), start + NS_PER_S);
	clock_leave(r, &part);
	riser_free(r);
}

TEST(it_never_goes_back)
{
	struct clock_part part = { 0 };
	struct riser *r = virtual_context();
	uint64_t start = clock_now(r);

	clock_idle(r, &part, clock_activity(r), 0);
	CHECK_EQ(clock_now(r), start);
	clock_leave(r, &part);
	riser_free(r);
}

struct sleeper {
	struct riser *r;
	uint64_t step, woken[100];
};

/* Be there at each multiple of @step. */
static void *sleep_in_steps(void *arg)
{
	struct sleeper *s = arg;
	struct clock_part part = { 0 };
	uint64_t due = clock_now(s->r);

	clock_join(s->r, &part);
	for (size_t i = 0; i < array_len(s->woken); i++) {
		due += s->step;
		while (clock_now(s->r) < due)
			clock_idle(s->r, &part, clock_activity(s->r), due);
		s->woken[i] = clock_now(s->r);
	}
	clock_leave(s->r, &part);
	return NULL;
}

static unsigned participants(struct riser *r)
{
	unsigned n;

	pthread_mutex_lock(&r->clock.lock);
	n = r->clock.nparts;
	pthread_mutex_unlock(&r->clock.lock);
	return n;
}

/* Nobody oversleeps: whoever wakes at a time keeps the clock there until idle again. */
TEST(threads_wake_at_their_times)
{
	static struct sleeper sleepers[3];
	struct clock_part gate = { 0 };
	struct riser *r = virtual_context();
	uint64_t start = clock_now(r);
	pthread_t threads[3];

	clock_join(r, &gate); /* nothing moves before all have started */
	for (unsigned t = 0; t < 3; t++) {
		sleepers[t] = (struct sleeper){ .r = r, .step = (t + 2) * NS_PER_MS };
		pthread_create(&threads[t], NULL, sleep_in_steps, &sleepers[t]);
	}
	while (participants(r) < 4)
		sched_yield();
	clock_leave(r, &gate);
	for (unsigned t = 0; t < 3; t++)
		pthread_join(threads[t], NULL);
	for (unsigned t = 0; t < 3; t++)
		for (size_t i = 0; i < array_len(sleepers[t].woken); i++)
			CHECK_EQ(sleepers[t].woken[i], start + (i + 1) * sleepers[t].step);
	CHECK_EQ(clock_now(r), start + 400 * NS_PER_MS);
	riser_free(r);
}

TEST_MAIN(CASE(it_stands_while_one_is_busy), CASE(an_old_look_does_not_count),
	  CASE(it_never_goes_back), CASE(threads_wake_at_their_times))
