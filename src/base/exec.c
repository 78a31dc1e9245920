/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/exec.h"
#include "base/barrier.h"
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SPIN_MAX   (50 * NS_PER_US)
#define SPIN_MIN   (1 * NS_PER_US)
#define TIME_SLICE (50 * NS_PER_US) /* between polls of a device that cannot interrupt */

int riser_exec_new(struct riser *r, struct riser_exec **out, struct riser_err *err)
{
	struct riser_exec *x = aligned_alloc(64, align_up(sizeof(*x), 64));
	int rc;

	if (!x)
		return err_set(err, -ENOMEM, "no memory for an executor");
	memset(x, 0, sizeof(*x));
	x->r = r;
	x->now = clock_now(r);
	x->spin_ns = SPIN_MAX;
	list_init(&x->pollers);
	list_init(&x->link);
	x->wake = -1;
	x->set = waitset_new();
	rc = x->set;
	if (rc < 0)
		goto fail;
	x->wake = event_new();
	rc = x->wake;
	if (rc < 0)
		goto fail;
	rc = waitset_add(x->set, x->wake, RISER_WATCH_IN, &x->wake_watch);
	if (rc)
		goto fail;
	pthread_mutex_lock(&r->lock);
	list_add(&r->execs, &x->link);
	pthread_mutex_unlock(&r->lock);
	*out = x;
	return 0;
fail:
	riser_exec_free(x);
	return err_set(err, rc, "cannot make an executor's descriptors: %s", strerror(-rc));
}

static int run_todo(struct riser_exec *x)
{
	struct riser_work *w;
	int n = 0;

	for (; (w = x->todo); n++) {
		x->todo = w->next; /* @fn may free it or post it again */
		w->fn(w);
	}
	return n;
}

static int run_inbox(struct riser_exec *x)
{
	struct riser_work *w, *next;

	for (w = __atomic_exchange_n(&x->inbox, NULL, __ATOMIC_ACQUIRE); w; w = next) {
		next = w->next;
		w->next = x->todo;
		x->todo = w;
	}
	return run_todo(x);
}

void riser_exec_free(struct riser_exec *x)
{
	if (!x)
		return;
	/* What others left to its owner, who polls no more; and who still needs it is served. */
	while (load_relaxed(&x->inbox) || load_acquire(&x->leaving) || load_acquire(&x->lent))
		if (!run_inbox(x))
			riser_exec_wait(x, NS_PER_MS);
	clock_leave(x->r, &x->part);
	pthread_mutex_lock(&x->r->lock);
	list_del(&x->link);
	pthread_mutex_unlock(&x->r->lock);
	/* What was posted last may have run, and led here, before its poster was through. */
	while (load_acquire(&x->posting))
		sched_yield();
	if (x->wake >= 0)
		close(x->wake);
	if (x->set >= 0)
		close(x->set);
	free(x);
}

bool exec_completing(struct riser *r)
{
	uintptr_t self = (uintptr_t)pthread_self();
	bool found = false;

	pthread_mutex_lock(&r->lock);
	/* By its links: as an executor, which is aligned, the list's own head would not be. */
	for (struct list *l = r->execs.next; l != &r->execs; l = l->next) {
		const struct riser_exec *x = list_entry(l, struct riser_exec, link);

		found = found || (load_relaxed(&x->runner) == self && x->in_cb);
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

void exec_add(struct riser_exec *x, struct poller *p)
{
	list_add_tail(&x->pollers, &p->link);
}

void exec_remove(struct riser_exec *x, struct poller *p)
{
	if (x->cursor == &p->link)
		x->cursor = p->link.next;
	list_del(&p->link);
}

int riser_exec_watch(struct riser_exec *x, struct riser_watch *w, uint32_t events)
{
	int rc = waitset_add(x->set, w->fd, events, w);

	if (!rc && w->ready)
		x->nready++;
	return rc;
}

int riser_exec_watch_mod(struct riser_exec *x, struct riser_watch *w, uint32_t events)
{
	return waitset_mod(x->set, w->fd, events, w);
}

void riser_exec_unwatch(struct riser_exec *x, struct riser_watch *w)
{
	waitset_del(x->set, w->fd);
	if (w->ready)
		x->nready--;
	/* A handler may remove another watch whose event is still to be handed out. */
	for (int i = 0; i < x->nbatch; i++)
		if (x->batch[i].user == w)
			x->batch[i].user = NULL;
}

/*
 * The inbox is a stack pushed by compare-and-swap and taken whole, then reversed: there is no
 * half-pushed state that could confuse arm().
 */
void riser_exec_post(struct riser_exec *x, struct riser_work *work)
{
	struct riser_work *head;

	__atomic_fetch_add(&x->posting, 1, __ATOMIC_RELAXED);
	head = load_relaxed(&x->inbox);
	do
		work->next = head;
	while (!__atomic_compare_exchange_n(&x->inbox, &head, work, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	clock_bump(x->r);
	/* Pairs with riser_exec_arm(): it sets sleeping, then reads the inbox. */
	if (load_seq_cst(&x->sleeping))
		event_signal(x->wake);
	/* Pairs with riser_exec_free(): nothing of @x is touched behind this. */
	__atomic_fetch_sub(&x->posting, 1, __ATOMIC_RELEASE);
}

/* Descriptors that are ready, or become so within @timeout_ns. */
static int run_watches(struct riser_exec *x, uint64_t timeout_ns)
{
	struct waitset_event ev[32];
	int done = 0;

	x->batch = ev;
	x->nbatch = waitset_wait(x->set, ev, (int)array_len(ev), timeout_ns);
	if (timeout_ns) {
		store_seq_cst(&x->sleeping, 0);
		x->now = clock_now_of(&x->r->clock);
	}
	for (int i = 0; i < x->nbatch; i++) {
		struct riser_watch *w = ev[i].user;

		if (w == &x->wake_watch) {
			event_ack(x->wake);
		} else if (w && w->ready) {
			w->ready(w, ev[i].events);
			done++;
		}
	}
	x->batch = NULL;
	x->nbatch = 0;
	return done;
}

/* Look at the watches, which is a system call, every 16th time, and if @look_idle when idle. */
static int turn(struct riser_exec *x, bool look_idle)
{
	int n = 0;

	store_relaxed(&x->runner, (uintptr_t)pthread_self());
	x->now = clock_now_of(&x->r->clock);
	if (load_relaxed(&x->inbox))
		n += run_inbox(x);
	for (struct list *l = x->pollers.next; l != &x->pollers; l = x->cursor) {
		struct poller *p = list_entry(l, struct poller, link);

		x->cursor = l->next;
		n += p->poll(p);
	}
	x->cursor = NULL;
	if (x->nready && ((look_idle && n == 0) || ++x->idle_polls >= 16)) {
		x->idle_polls = 0;
		n += run_watches(x, 0);
	}
	return n;
}

int riser_exec_poll(struct riser_exec *x)
{
	if (x->in_cb)
		return -EDEADLK;
	if (load_relaxed(&x->sleeping)) { /* somebody else's loop slept on riser_exec_fd() */
		store_seq_cst(&x->sleeping, 0);
		if (!x->nready)
			event_ack(x->wake);
		x->idle_polls = 16; /* look at the watches, @wake among them */
	}
	return turn(x, true);
}

uint64_t riser_exec_next_deadline(struct riser_exec *x)
{
	uint64_t next = TIME_NEVER;

	list_for_each (p, &x->pollers, struct poller, link)
		if (p->next_deadline)
			next = min_of(next, p->next_deadline(p));
	return next;
}

int riser_exec_fd(struct riser_exec *x)
{
	return x->set;
}

int riser_exec_arm(struct riser_exec *x)
{
	int rc = 0;

	/* Pairs with riser_exec_post(): it pushes, then reads sleeping. */
	store_seq_cst(&x->sleeping, 1);
	if (load_seq_cst(&x->inbox))
		return 1;
	list_for_each (p, &x->pollers, struct poller, link) {
		int a = p->arm ? p->arm(p) : 0;

		if (a > 0)
			return a;
		if (a < 0)
			rc = a;
	}
	return rc;
}

void riser_exec_leave(struct riser_exec *x)
{
	clock_leave(x->r, &x->part);
}

static int wait_virtual(struct riser_exec *x, uint64_t until)
{
	uint64_t seen;

	clock_run(x->r, &x->part);
	seen = clock_activity(x->r);
	if (riser_exec_poll(x) > 0)
		return 1;
	clock_idle(x->r, &x->part, seen, min_of(riser_exec_next_deadline(x), until));
	return riser_exec_poll(x) > 0 || clock_now(x->r) < until;
}

/*
 * Spin while it pays: what found work while spinning spins longer next time. Descriptors are left
 * to the sleep behind it, which ends at once when one is ready.
 */
static bool spin(struct riser_exec *x, uint64_t until)
{
	uint64_t start = clock_real(), stop = min_of(start + x->spin_ns, until);

	do {
		if (turn(x, false) > 0) {
			x->spin_ns = min_of(x->spin_ns * 2, SPIN_MAX);
			return true;
		}
		cpu_relax();
	} while (clock_real() < stop);
	x->spin_ns = max_of(x->spin_ns / 2, SPIN_MIN);
	return false;
}

/* How long a sleeper may sleep; @armed is what riser_exec_arm() said. */
static uint64_t sleep_of(struct riser_exec *x, int armed, uint64_t until)
{
	uint64_t next = min_of(riser_exec_next_deadline(x), until), now = clock_real();

	if (armed > 0)
		return 0;
	if (armed == -EOPNOTSUPP)
		next = min_of(next, now + TIME_SLICE);
	if (next == TIME_NEVER)
		return TIME_NEVER;
	return next > now ? next - now : 0;
}

int riser_exec_wait(struct riser_exec *x, uint64_t timeout_ns)
{
	uint64_t now = clock_now(x->r);
	uint64_t until = timeout_ns > TIME_NEVER - now ? TIME_NEVER : now + timeout_ns;
	int n;

	if (x->in_cb)
		return -EDEADLK;
	if (run_todo(x))
		return 1;
	if (x->r->clock.is_virtual)
		return wait_virtual(x, until);
	if (spin(x, until))
		return 1;
	n = run_watches(x, sleep_of(x, riser_exec_arm(x), until));
	store_seq_cst(&x->sleeping, 0);
	n += turn(x, false);
	return n > 0 || clock_real() < until;
}

void sync_wait_begin(struct sync_wait *w, struct riser *r, struct riser_exec *x)
{
	memset(w, 0, sizeof(*w));
	w->r = r;
	w->part = x ? &x->part : &w->own;
	if (x)
		run_todo(x);
	if (x)
		clock_run(r, w->part);
	else
		clock_join(r, w->part);
}

void sync_wait_begin_here(struct sync_wait *w, struct riser *r)
{
	struct clock_part *part = clock_running(r);

	sync_wait_begin(w, r, part ? container_of(part, struct riser_exec, part) : NULL);
}

void sync_wait_look(struct sync_wait *w)
{
	w->seen = clock_activity(w->r);
}

void sync_wait_idle(struct sync_wait *w, uint64_t next)
{
	struct timespec ts = { .tv_nsec = 50000 };

	if (w->r->clock.is_virtual) {
		clock_idle(w->r, w->part, w->seen, next);
	} else if (w->idle++ < 200) {
		cpu_relax();
	} else if (w->idle < 400) {
		sched_yield();
	} else {
		nanosleep(&ts, NULL);
	}
}

void sync_wait_end(struct sync_wait *w)
{
	if (w->part == &w->own)
		clock_leave(w->r, &w->own);
}

bool sync_wait_until(struct riser *r, struct riser_exec *x, bool (*ready)(void *arg), void *arg,
		     uint64_t deadline)
{
	struct sync_wait w;
	bool done;

	sync_wait_begin(&w, r, x);
	for (;;) {
		uint64_t next = deadline;

		sync_wait_look(&w);
		done = ready(arg);
		if (done || clock_now(r) >= deadline)
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
