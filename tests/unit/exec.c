/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/exec.h"
#include "../tap.h"
#include "base/barrier.h"
#include "base/event.h"
#include "base/riser.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static struct riser_err err;

struct timer {
	struct poller poller;
	struct riser *r;
	uint64_t due;
	unsigned fired;
};

static int timer_poll(struct poller *p)
{
	struct timer *t = container_of(p, struct timer, poller);

	if (clock_now(t->r) < t->due)
		return 0;
	t->fired++;
	t->due = TIME_NEVER;
	return 1;
}

static uint64_t timer_next(struct poller *p)
{
	return container_of(p, struct timer, poller)->due;
}

TEST(virtual_time_jumps_when_all_idle)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct timer t = { .poller = { .poll = timer_poll, .next_deadline = timer_next } };
	struct riser_exec *x;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	t.r = r;
	t.due = clock_now(r) + 3600 * NS_PER_S;
	exec_add(x, &t.poller);
	while (!t.fired)
		riser_exec_wait(x, TIME_NEVER);
	CHECK_EQ(clock_now(r), NS_PER_S + 3600 * NS_PER_S);
	exec_remove(x, &t.poller);
	riser_exec_free(x);
	riser_free(r);
}

struct posted {
	struct riser_work work;
	unsigned *count;
};

static void count_it(struct riser_work *w)
{
	(*container_of(w, struct posted, work)->count)++;
}

struct poster {
	struct riser_exec *x;
	struct posted items[1000];
};

static void *post_all(void *arg)
{
	struct poster *p = arg;
	size_t last = array_len(p->items) - 1;

	for (size_t i = 0; i < last; i++)
		riser_exec_post(p->x, &p->items[i].work);
	/* The last one to somebody who sleeps, or is about to. */
	while (!p->x->r->clock.is_virtual && !load_acquire(&p->x->sleeping))
		sched_yield();
	riser_exec_post(p->x, &p->items[last].work);
	return NULL;
}

static void posting(uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	static struct poster posters[4];
	unsigned count = 0;
	pthread_t threads[4];
	struct riser_exec *x;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	for (unsigned t = 0; t < 4; t++) {
		posters[t].x = x;
		for (size_t i = 0; i < array_len(posters[t].items); i++)
			posters[t].items[i] = (struct posted){ { NULL, count_it }, &count };
		pthread_create(&threads[t], NULL, post_all, &posters[t]);
	}
	while (count < 4000)
		riser_exec_wait(x, TIME_NEVER); /* a lost wake-up hangs, and the alarm names us */
	for (unsigned t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	riser_exec_free(x);
	riser_free(r);
}

TEST(posts_from_threads_arrive_and_wake)
{
	posting(0);
}

TEST(posts_from_threads_arrive_on_virtual_time)
{
	posting(RISER_VIRTUAL_TIME);
}

struct waiter {
	struct riser_work work;
	struct riser_exec *x;
	unsigned *count, wanted;
};

/* Behind it in the inbox is what it waits for. */
static void wait_for_it(struct riser_work *w)
{
	struct waiter *v = container_of(w, struct waiter, work);

	while (*v->count < v->wanted)
		riser_exec_wait(v->x, TIME_NEVER);
}

static void waiting_in_work(uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct posted items[3];
	struct waiter v[2];
	unsigned count = 0;
	struct riser_exec *x;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		items[i] = (struct posted){ { NULL, count_it }, &count };
		if (i < 2) {
			v[i] = (struct waiter){ { NULL, wait_for_it }, x, &count, 3 };
			riser_exec_post(x, &v[i].work);
		}
		riser_exec_post(x, &items[i].work);
	}
	CHECK_EQ(count, 0);
	riser_exec_poll(x);
	CHECK_EQ(count, 3);
	riser_exec_free(x);
	riser_free(r);
}

TEST(work_may_wait_for_work_behind_it)
{
	waiting_in_work(0);
	waiting_in_work(RISER_VIRTUAL_TIME);
}

static int deadlock_rc;

static void wait_inside(struct riser_work *w)
{
	struct riser_exec *x = *(struct riser_exec **)(void *)(w + 1);

	x->in_cb++;
	deadlock_rc = riser_exec_wait(x, 0);
	x->in_cb--;
}

TEST(waiting_inside_a_completion_is_refused)
{
	struct {
		struct riser_work w;
		struct riser_exec *x;
	} item = { { NULL, wait_inside }, NULL };
	struct riser *r;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &item.x, &err), 0);
	riser_exec_post(item.x, &item.w);
	CHECK_EQ(riser_exec_poll(item.x), 1);
	CHECK_EQ(deadlock_rc, -EDEADLK);
	riser_exec_free(item.x);
	riser_free(r);
}

/* Whoever an event was given to shares its flags, and may change them at any moment. */
TEST(an_event_that_somebody_made_blocking)
{
	int fd = event_new();

	CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
	CHECK(!event_ack(fd));
	event_signal(fd);
	event_signal(fd);
	CHECK(event_ack(fd));
	CHECK(!event_ack(fd));
	close(fd);
}

struct pipe_end {
	struct riser_watch watch;
	struct riser_exec *x;
	unsigned calls;
	uint32_t events;
};

static void read_one(struct riser_watch *w, uint32_t events)
{
	struct pipe_end *p = container_of(w, struct pipe_end, watch);
	char c;

	p->calls++;
	p->events |= events;
	if (read(w->fd, &c, 1) != 1)
		riser_exec_unwatch(p->x, w);
}

static void *write_later(void *fd)
{
	usleep(20000); /* long enough for the other to sleep; a sooner one is no less right */
	return write(*(int *)fd, "x", 1) == 1 ? NULL : fd;
}

TEST(a_descriptor_of_the_callers_is_looked_at)
{
	struct pipe_end p = { .watch = { .ready = read_one } };
	struct riser *r;
	pthread_t t;
	int fd[2];

	CHECK_EQ(pipe(fd), 0);
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &p.x, &err), 0);
	p.watch.fd = fd[0];
	CHECK_EQ(riser_exec_watch(p.x, &p.watch, RISER_WATCH_IN), 0);
	CHECK_EQ(riser_exec_poll(p.x), 0);
	CHECK_EQ(riser_exec_wait(p.x, NS_PER_MS), 0); /* nothing came */
	CHECK_EQ(p.calls, 0);
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_EQ(pthread_create(&t, NULL, write_later, &fd[1]), 0);
		while (p.calls < i)
			riser_exec_wait(p.x, TIME_NEVER);
		pthread_join(t, NULL);
		CHECK_EQ(p.events, RISER_WATCH_IN);
	}
	CHECK_EQ(riser_exec_watch_mod(p.x, &p.watch, 0), 0);
	CHECK_EQ(write(fd[1], "x", 1), 1);
	CHECK_EQ(riser_exec_poll(p.x), 0);
	CHECK_EQ(riser_exec_watch_mod(p.x, &p.watch, RISER_WATCH_IN), 0);
	CHECK_EQ(riser_exec_poll(p.x), 1);
	close(fd[1]); /* the end of file, at which it unwatches itself */
	CHECK_EQ(riser_exec_poll(p.x), 1);
	CHECK_EQ(riser_exec_poll(p.x), 0);
	CHECK_EQ(p.calls, 5);
	close(fd[0]);
	riser_exec_free(p.x);
	riser_free(r);
}

/* Descriptors are looked at among work that never ends, too. */
TEST(a_busy_executor_looks_at_descriptors)
{
	struct pipe_end p = { .watch = { .ready = read_one } };
	struct timer t = { .poller = { .poll = timer_poll, .next_deadline = timer_next } };
	struct riser *r;
	int fd[2];

	CHECK_EQ(pipe(fd), 0);
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &p.x, &err), 0);
	p.watch.fd = fd[0];
	t.r = r;
	exec_add(p.x, &t.poller);
	CHECK_EQ(riser_exec_watch(p.x, &p.watch, RISER_WATCH_IN), 0);
	CHECK_EQ(write(fd[1], "x", 1), 1);
	for (int i = 0; i < 16; i++) {
		t.due = 0;
		CHECK_EQ(riser_exec_wait(p.x, TIME_NEVER), 1);
	}
	CHECK_EQ(p.calls, 1);
	exec_remove(p.x, &t.poller);
	riser_exec_unwatch(p.x, &p.watch);
	close(fd[0]);
	close(fd[1]);
	riser_exec_free(p.x);
	riser_free(r);
}

TEST_MAIN(CASE(virtual_time_jumps_when_all_idle), CASE(posts_from_threads_arrive_and_wake),
	  CASE(posts_from_threads_arrive_on_virtual_time), CASE(work_may_wait_for_work_behind_it),
	  CASE(waiting_inside_a_completion_is_refused), CASE(an_event_that_somebody_made_blocking),
	  CASE(a_descriptor_of_the_callers_is_looked_at),
	  CASE(a_busy_executor_looks_at_descriptors))
