/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Verified I/O at RISER_TEST_URI from one thread and from four, each with its own queue pair,
 * polled and by interrupt, at 1 to 64 I/Os in flight. What the last of them wrote stays: the case
 * "find" looks for it, through this driver or another; "leave" leaves it there.
 */
#include "../tap.h"
#include <pthread.h>
#include <riser/blk.h>
#include <time.h>

#define BLOCK   4096u
#define BLOCKS  1024u /* in all */
#define DEPTH   64u
#define THREADS 4u
#define HANG_S  60

struct worker {
	pthread_t thread;
	struct riser *r;
	struct riser_blk *b;
	enum riser_blk_op op;
	unsigned depth, seed;
	bool sleeps;
	uint32_t first, n; /* its blocks */
	/* Its own from here on. */
	unsigned next, ended, wrong;
	char said[600];
	struct riser_exec *x;
	struct riser_blk_channel *c;
	char *memory;
};

/* The whole block tells which it is, and who wrote it. */
static void pattern(uint64_t *words, uint32_t block, unsigned seed)
{
	for (unsigned i = 0; i < BLOCK / 8; i++)
		words[i] = ((uint64_t)seed << 48 ^ (uint64_t)block << 16 ^ i) * 0x9e3779b97f4a7c15u;
}

static void failed(struct worker *w, uint32_t block, const char *what)
{
	if (!w->wrong++)
		snprintf(w->said, sizeof(w->said), "block %u: %s", block, what);
}

static void done(struct riser_blk_io *io)
{
	struct worker *w = io->user;
	uint32_t block = (uint32_t)(io->sector / (BLOCK / 512));
	uint64_t want[BLOCK / 8];

	w->ended++;
	if (io->status) {
		failed(w, block, riser_blk_status_name(io->status));
	} else if (w->op == RISER_BLK_READ) {
		pattern(want, block, w->seed);
		if (memcmp(io->one.iov_base, want, BLOCK))
			failed(w, block, "not what was written");
	}
	riser_blk_io_put(io);
}

static bool submit(struct worker *w)
{
	struct riser_blk_io *io = riser_blk_io_get(w->c);
	/* Far from the last one; 37 and the number of blocks have no common factor. */
	uint32_t block = w->first + w->next * 37 % w->n;

	if (!io)
		return false;
	io->op = (uint8_t)w->op;
	io->sector = (uint64_t)block * (BLOCK / 512);
	io->count = BLOCK / 512;
	io->iov = &io->one;
	io->iovcnt = 1;
	io->one.iov_base = w->memory + (size_t)w->next * BLOCK;
	io->one.iov_len = BLOCK;
	io->done = done;
	io->user = w;
	if (w->op == RISER_BLK_WRITE)
		pattern(io->one.iov_base, block, w->seed);
	else
		memset(io->one.iov_base, 0, BLOCK);
	w->next++;
	riser_blk_submit(io);
	return true;
}

static bool late(time_t since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since > HANG_S;
}

/* All blocks once. */
static void go(struct worker *w)
{
	struct timespec begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (w->ended < w->n) {
		while (w->next < w->n && w->next - w->ended < w->depth && submit(w))
			;
		if (!riser_exec_poll(w->x) && w->sleeps)
			riser_exec_wait(w->x, 1000000000);
		if (late(begin.tv_sec)) {
			failed(w, w->ended, "hangs behind so many I/Os");
			return;
		}
	}
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct riser_blk_stats stats;
	struct riser_err err;
	void *memory = NULL;

	if (riser_exec_new(w->r, &w->x, &err) ||
	    riser_blk_channel_open(w->b, w->x, DEPTH, &w->c, &err) ||
	    riser_blk_buf_alloc(w->c, (size_t)w->n * BLOCK, &memory, &err)) {
		failed(w, 0, err.text);
		return NULL;
	}
	w->memory = memory;
	go(w);
	riser_blk_channel_stats(w->c, &stats);
	if (stats.hops)
		failed(w, 0, "it shares another thread's queue pair");
	riser_blk_buf_free(w->c, memory, (size_t)w->n * BLOCK);
	riser_blk_channel_close(w->c);
	riser_exec_free(w->x);
	return NULL;
}

/* All blocks, by @threads. */
static void pass(struct riser *r, struct riser_blk *b, struct worker like, unsigned threads)
{
	struct worker workers[THREADS];
	unsigned started = 0;

	for (; started < threads; started++) {
		struct worker *w = &workers[started];

		*w = like;
		w->r = r;
		w->b = b;
		w->n = BLOCKS / threads;
		w->first = started * w->n;
		if (pthread_create(&w->thread, NULL, work, w))
			break;
	}
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	CHECK_EQ(started, threads);
	for (unsigned i = 0; i < threads; i++)
		if (workers[i].wrong)
			FAIL("%s, %u I/Os in flight, thread %u of %u: %u are wrong; %s",
			     like.op == RISER_BLK_READ ? "reading" : "writing", like.depth, i,
			     threads, workers[i].wrong, workers[i].said);
}

static void passes(struct riser *r, struct riser_blk *b, unsigned threads, bool sleeps)
{
	for (unsigned depth = 1; depth <= DEPTH; depth *= 2) {
		struct worker w = { .depth = depth, .seed = depth, .sleeps = sleeps };

		w.op = RISER_BLK_WRITE;
		SUB(pass(r, b, w, threads));
		w.op = RISER_BLK_READ;
		SUB(pass(r, b, w, threads));
	}
}

static void with(unsigned threads, bool irq,
		 void (*run)(struct riser *r, struct riser_blk *b, unsigned threads, bool sleeps))
{
	const char *base = getenv("RISER_TEST_URI");
	struct riser_blk *b = NULL;
	struct riser_err err;
	struct riser *r;
	char uri[256];

	if (!base)
		SKIP("RISER_TEST_URI names no device");
	snprintf(uri, sizeof(uri), "%s%s", base,
		 !irq                ? ""
		 : strchr(base, '?') ? "&irq=1"
				     : "?irq=1");
	if (riser_new(NULL, &r, &err))
		FAIL("%s", err.text);
	if (riser_blk_open(r, uri, RISER_BLK_RDWR, &b, &err))
		printf("# %s\n", err.text);
	else
		run(r, b, threads, irq);
	tap_failed |= !b;
	riser_blk_close(b);
	riser_free(r);
}

TEST(one_queue_pair_polled)
{
	with(1, false, passes);
}

TEST(one_queue_pair_by_interrupt)
{
	with(1, true, passes);
}

TEST(four_queue_pairs_polled)
{
	with(4, false, passes);
}

TEST(four_queue_pairs_by_interrupt)
{
	with(4, true, passes);
}

static void write_all(struct riser *r, struct riser_blk *b, unsigned threads, bool sleeps)
{
	pass(r, b,
	     (struct worker){
		     .op = RISER_BLK_WRITE, .depth = DEPTH, .seed = DEPTH, .sleeps = true },
	     threads);
}

static void check_all(struct riser *r, struct riser_blk *b, unsigned threads, bool sleeps)
{
	pass(r, b,
	     (struct worker){ .op = RISER_BLK_READ, .depth = DEPTH, .seed = DEPTH, .sleeps = true },
	     threads);
}

TEST(leave)
{
	with(1, false, write_all);
}

TEST(find)
{
	with(1, false, check_all);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		CASE(one_queue_pair_polled),
		CASE(one_queue_pair_by_interrupt),
		CASE(four_queue_pairs_polled),
		CASE(four_queue_pairs_by_interrupt),
		CASE(leave),
		CASE(find),
	};

	return tap_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
