/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * powercut among threads: each writes numbers into blocks of its own and flushes; the power goes
 * and comes, and the device is suspended and gets new tables meanwhile. What was flushed is there.
 */
#include "../tap.h"
#include "base/barrier.h"
#include <pthread.h>
#include <riser/dm.h>

#define THREADS 3
#define BLOCKS  16
#define CUTS    30
#define S       1000000000ull

static struct riser *r;
static struct riser_dm *cut;
static struct riser_blk *b;
static uint32_t stop, cuts; /* atomic */

struct block {
	uint64_t written, sure;
};

struct writer {
	pthread_t thread;
	unsigned index;
	unsigned writes, flushes, offline, wrong;
	uint64_t random, number;
	uint32_t cuts; /* that it knows of */
	struct block blocks[BLOCKS];
};

static unsigned draw(struct writer *w, unsigned below)
{
	w->random = w->random * 6364136223846793005 + 1442695040888963407;
	return (unsigned)(w->random >> 33) % below;
}

/* A block has a number in each of its words, which only grows. Return: it; 0 where it is torn. */
static uint64_t number_of(const uint64_t *block)
{
	for (unsigned i = 1; i < 64; i++)
		if (block[i] != block[0])
			return 0;
	return block[0];
}

static int write_block(struct writer *w, struct riser_blk_channel *c, unsigned at, bool fua)
{
	struct block *block = &w->blocks[at];
	uint64_t data[64];
	int status;

	w->number++;
	for (unsigned i = 0; i < 64; i++)
		data[i] = w->number;
	status = riser_blk_rw(c, RISER_BLK_WRITE, w->index * BLOCKS + at, 1, data,
			      fua ? RISER_BLK_FUA : 0);
	if (status)
		return status;
	w->writes++;
	block->written = w->number;
	if (fua)
		block->sure = w->number;
	return status;
}

static int read_block(struct writer *w, struct riser_blk_channel *c, unsigned at)
{
	uint64_t data[64], number;
	int status = riser_blk_rw(c, RISER_BLK_READ, w->index * BLOCKS + at, 1, data, 0);

	number = number_of(data);
	if (!status && (number < w->blocks[at].sure || number > w->number))
		w->wrong++;
	return status;
}

/* What was written before a cut, and not flushed, is not promised by a later flush. */
static int flush(struct writer *w, struct riser_blk_channel *c)
{
	int status = riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0);

	if (status || load_acquire(&cuts) != w->cuts)
		return status;
	for (unsigned i = 0; i < BLOCKS; i++)
		w->blocks[i].sure = w->blocks[i].written;
	w->flushes++;
	return status;
}

static void *write_on(void *arg)
{
	struct riser_blk_channel *c;
	struct riser_exec *x = NULL;
	struct writer *w = arg;
	struct riser_err err;

	if (riser_exec_new(r, &x, &err) || riser_blk_channel_open(b, x, 0, &c, &err)) {
		w->wrong++;
		return NULL;
	}
	while (!load_acquire(&stop)) {
		unsigned at = draw(w, BLOCKS), what = draw(w, 8);
		uint32_t now = load_acquire(&cuts);
		int status;

		for (unsigned i = 0; now != w->cuts && i < BLOCKS; i++)
			w->blocks[i].written = w->blocks[i].sure;
		w->cuts = now;
		if (what == 0)
			status = flush(w, c);
		else
			status = what < 5 ? write_block(w, c, at, what == 1) : read_block(w, c, at);
		if (load_acquire(&cuts) != now && what && what < 5)
			w->blocks[at].written = w->blocks[at].sure;
		w->offline += status == RISER_BLK_OFFLINE;
		if (status && status != RISER_BLK_OFFLINE)
			w->wrong++;
	}
	riser_blk_channel_close(c);
	riser_exec_free(x);
	return NULL;
}

static void say(const char *message)
{
	struct riser_err err;
	char *answer;

	CHECK_EQ(riser_dm_message(cut, NULL, 0, message, &answer, &err), 0);
	free(answer);
}

static void retable(const char *table)
{
	struct riser_err err;

	CHECK_EQ(riser_dm_load(cut, NULL, table, NULL, &err), 0);
	CHECK_EQ(riser_dm_resume(cut, NULL, 60 * S, &err), 0);
}

TEST(flushed_is_flushed)
{
	const char *table = "0 64 powercut mem:1M 0 64K";
	struct riser_err err;
	struct writer w[THREADS] = { 0 };

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_dm_create(r, "cut", NULL, 0, &cut, &err), 0);
	SUB(retable(table));
	CHECK_EQ(riser_blk_open(r, "dm:cut", RISER_BLK_RDWR, &b, &err), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i].index = i;
		w[i].random = i;
		CHECK_EQ(pthread_create(&w[i].thread, NULL, write_on, &w[i]), 0);
	}
	for (unsigned i = 0; i < CUTS; i++) {
		usleep(3000);
		__atomic_fetch_add(&cuts, 1, __ATOMIC_SEQ_CST);
		SUB(say("cut"));
		__atomic_fetch_add(&cuts, 1, __ATOMIC_SEQ_CST); /* some wrote in between */
		usleep(300);
		SUB(say("restore"));
		usleep(1000);
		if (i % 3 == 0) /* another table, and back */
			SUB(retable("0 64 linear mem:1M 0"));
		SUB(retable(table));
	}
	store_release(&stop, 1);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		printf("# %u writes, %u flushes, %u times without power\n", w[i].writes,
		       w[i].flushes, w[i].offline);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK_EQ(w[i].wrong, 0);
		CHECK(w[i].writes && w[i].flushes && w[i].offline);
	}
	riser_blk_close(b);
	CHECK_EQ(riser_dm_remove(cut, NULL, &err), 0);
	riser_free(r);
}

TEST_MAIN(CASE(flushed_is_flushed))
