/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Owners in threads of their own, for tests that change devices under load. */
#ifndef TESTS_BLK_THREADS_H
#define TESTS_BLK_THREADS_H

#include "blk_fixture.h"
#include <sched.h>

static struct riser_err err;

/* A device of a context of its own, and what it told. */
struct watched {
	struct riser *r;
	struct riser_exec *x;
	struct riser_blk *b;
	struct riser_blk_channel *c;
	unsigned events[3];
	uint8_t buf[4096];
};

static void watched_event(struct riser_blk *b, enum riser_blk_event event, void *user)
{
	struct watched *w = user;

	if (b == w->b)
		w->events[event]++;
}

/* @uri: NULL: the test makes the device. */
static void watched_begin(struct watched *w, const char *uri, uint32_t context)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = context };

	memset(w, 0, sizeof(*w));
	CHECK_EQ(riser_new(&opts, &w->r, &err), 0);
	CHECK_EQ(riser_exec_new(w->r, &w->x, &err), 0);
	if (uri && riser_blk_open(w->r, uri, RISER_BLK_RDWR, &w->b, &err))
		FAIL("%s", err.text);
}

static void watched_look(struct watched *w)
{
	riser_blk_on_event(w->b, watched_event, w);
	CHECK_EQ(riser_blk_channel_open(w->b, w->x, 0, &w->c, &err), 0);
}

static void watched_finish(struct watched *w)
{
	riser_blk_channel_close(w->c);
	riser_blk_close(w->b);
	riser_exec_free(w->x);
	riser_free(w->r);
}

static uint64_t watched_sectors(const struct watched *w)
{
	struct riser_blk_info info;

	riser_blk_get_info(w->b, &info);
	return info.sectors;
}

static int watched_rw(struct watched *w, enum riser_blk_op op, uint64_t sector)
{
	return riser_blk_rw(w->c, op, sector, 8, w->buf, 0);
}

/*
 * Threads. An owner keeps four I/Os in flight and sleeps whenever it can; what must hold through
 * every swap is that each I/O ends once, and OK, and that nothing that was dropped is touched.
 */
struct owner {
	pthread_t thread;
	struct riser_exec *x;
	struct riser_blk_channel *c;
	uint32_t stop, failed; /* atomic, as @ios */
	uint64_t ios;
	unsigned inflight;
	uint64_t seed;
	uint8_t buf[8 * 512];
};

static void owner_done(struct riser_blk_io *io)
{
	struct owner *o = io->user;

	o->inflight--;
	store_relaxed(&o->ios, o->ios + 1);
	if (io->status != RISER_BLK_OK)
		store_relaxed(&o->failed, o->failed + 1);
	riser_blk_io_put(io);
}

static void owner_submit(struct owner *o)
{
	struct riser_blk_io *io = riser_blk_io_get(o->c);
	unsigned what = (unsigned)fix_rand(&o->seed) % 8;

	io->op = what == 7 ? RISER_BLK_FLUSH : what % 2 ? RISER_BLK_WRITE : RISER_BLK_READ;
	io->sector = fix_rand(&o->seed) % 24;
	io->count = 1 + (uint32_t)fix_rand(&o->seed) % 8;
	io->one = (struct iovec){ o->buf, sizeof(o->buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = owner_done;
	io->user = o;
	o->inflight++;
	riser_blk_submit(io);
}

static void *owner_main(void *arg)
{
	struct owner *o = arg;

	fix_this = o->x;
	while (!load_acquire(&o->stop) || o->inflight) {
		while (!load_acquire(&o->stop) && o->inflight < 4)
			owner_submit(o);
		riser_exec_wait(o->x, TIME_NEVER);
	}
	riser_blk_channel_close(o->c);
	/* What was posted to us meanwhile. */
	while (riser_exec_poll(o->x) > 0)
		;
	return NULL;
}

static void owner_start_on(struct owner *o, struct riser *r, struct riser_blk *b)
{
	memset(o, 0, sizeof(*o));
	o->seed = (uint64_t)(uintptr_t)o;
	CHECK_EQ(riser_exec_new(r, &o->x, &err), 0);
	CHECK_EQ(riser_blk_channel_open(b, o->x, 8, &o->c, &err), 0);
	CHECK_EQ(pthread_create(&o->thread, NULL, owner_main, o), 0);
}

static void wake_up(struct riser_work *w)
{
}

static void owner_stop(struct owner *o)
{
	struct riser_work w = { NULL, wake_up };

	store_release(&o->stop, 1);
	riser_exec_post(o->x, &w);
	pthread_join(o->thread, NULL);
	riser_exec_free(o->x);
	CHECK_EQ(o->failed, 0);
	CHECK(o->ios > 0);
}

/* The device's side of FIX_POSTED: a thread that ends what the leaves hold. */
struct kicker {
	pthread_t thread;
	pthread_mutex_t lock;
	struct riser_blk *leaves[2];
	uint32_t stop;
};

static void *kicker_main(void *arg)
{
	struct kicker *k = arg;

	while (!load_acquire(&k->stop)) {
		pthread_mutex_lock(&k->lock);
		for (unsigned i = 0; i < 2; i++)
			if (k->leaves[i])
				fix_leaf_kick(k->leaves[i]);
		pthread_mutex_unlock(&k->lock);
		sched_yield();
	}
	return NULL;
}

static void kicker_start(struct kicker *k)
{
	memset(k, 0, sizeof(*k));
	pthread_mutex_init(&k->lock, NULL);
	CHECK_EQ(pthread_create(&k->thread, NULL, kicker_main, k), 0);
}

static void kicker_set(struct kicker *k, unsigned i, struct riser_blk *leaf)
{
	pthread_mutex_lock(&k->lock);
	k->leaves[i] = leaf;
	pthread_mutex_unlock(&k->lock);
}

static void kicker_stop(struct kicker *k)
{
	store_release(&k->stop, 1);
	pthread_join(k->thread, NULL);
	pthread_mutex_destroy(&k->lock);
}

#endif
