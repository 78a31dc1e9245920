/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Targets under I/O from several threads, on real time: HOME ones in one of them, the rest in all.
 */
#include "base/barrier.h"
#include "dm_fixture.h"
#include <pthread.h>

#define THREADS 3
#define EACH    64 /* sectors that are a thread's own */

static bool stop;       /* atomic */
static uint32_t rounds; /* atomic */
static uint32_t errors; /* atomic; that were expected, or not, as the case says */

struct worker {
	pthread_t thread;
	unsigned number;
	struct riser_blk *b;
	void (*round)(struct worker *w);
	struct riser_exec *x;
	struct riser_blk_channel *c;
	uint64_t buf[64 * EACH], got[64 * EACH];
	unsigned n; /* rounds */
};

static struct worker workers[THREADS];

static void *work(void *arg)
{
	struct worker *w = arg;

	if (riser_exec_new(r, &w->x, NULL) || riser_blk_channel_open(w->b, w->x, 0, &w->c, NULL)) {
		__atomic_fetch_add(&errors, 1000, __ATOMIC_RELAXED);
		return NULL;
	}
	for (; !load_relaxed(&stop); w->n++) {
		w->round(w);
		__atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
	}
	riser_blk_channel_close(w->c);
	riser_exec_free(w->x);
	return NULL;
}

static int io(struct worker *w, enum riser_blk_op op, uint64_t sector, uint32_t count, void *buf)
{
	return riser_blk_rw(w->c, op, sector, count, buf, 0);
}

static void expect(bool ok)
{
	if (!ok)
		__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED);
}

static struct riser_dm *d;
static struct riser_blk *b;

/* A device on real time. */
static void begin(const char *table)
{
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	SUB(d = dm_make("a", table));
	CHECK_EQ(riser_blk_open(r, "dm:a", RISER_BLK_RDWR, &b, &err), 0);
}

/* Threads that go round and round. */
static void start(void (*round)(struct worker *w))
{
	store_relaxed(&stop, false);
	store_relaxed(&rounds, 0);
	store_relaxed(&errors, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].number = i;
		workers[i].b = b;
		workers[i].round = round;
		workers[i].n = 0;
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
}

static void wait_rounds(uint32_t more)
{
	uint32_t until = load_relaxed(&rounds) + more;

	while (load_relaxed(&rounds) < until)
		usleep(1000);
}

static void end(void)
{
	store_relaxed(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	riser_blk_close(b);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	riser_exec_free(x);
	riser_free(r);
}

/* Regions move while they are read: each read is from one path or another. */
static void read_regions(struct worker *w)
{
	uint64_t at = w->n % 19 * 8;

	expect(!io(w, RISER_BLK_READ, at, 8, w->got) &&
	       dm_filled(w->got, at, 8, w->got[0] >> 8 & 0xff));
}

TEST(regions_move)
{
	static uint64_t data[64 * 512];
	struct riser_blk_channel *c;
	int rc;

	SUB(begin("0 1536 linear mem:1M 0"));
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		dm_fill(data, 0, 512, i);
		CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, i * 512, 512, data, 0), RISER_BLK_OK);
	}
	CHECK_EQ(dm_retable(d, "0 152 switch 3 8 0 mem:1M 0 mem:1M 512 mem:1M 1024"), 0);
	SUB(start(read_regions));
	for (unsigned i = 0; i < 500 || load_relaxed(&rounds) < 3000; i++) {
		dm_say(d,
		       i % 2 ? "set_region_mappings 0:0 :1 :2 R3,10"
			     : "set_region_mappings 0:2 R1,12",
		       &rc);
		CHECK_EQ(rc, 0);
	}
	riser_blk_channel_close(c);
	SUB(end());
	CHECK_EQ(load_relaxed(&errors), 0);
}

/* Of all the writes to a bad block exactly one fails, whoever it is. */
static void write_all(struct worker *w)
{
	if (!w->n)
		dm_fill(w->buf, 0, EACH, 1);
	for (unsigned i = 0; i < EACH; i++)
		expect(io(w, RISER_BLK_WRITE, i, 1, w->buf + 64 * i) == RISER_BLK_OK);
}

TEST(bad_blocks_heal_once)
{
	unsigned added = 0;
	char word[64];
	int rc;

	SUB(begin("0 1024 dust mem:1M 0 512"));
	SUB(start(write_all));
	dm_say(d, "quiet", &rc);
	dm_say(d, "enable", &rc);
	for (unsigned n = 0; n < 20; n++) {
		for (unsigned i = 0; i < EACH; i++) {
			snprintf(word, sizeof(word), "addbadblock %u 1", i);
			dm_say(d, word, &rc);
			added += !rc;
		}
		wait_rounds(2 * THREADS);
	}
	wait_rounds(3 * THREADS);
	CHECK_STR(dm_say(d, "countbadblocks", &rc), "countbadblocks: 0 badblock(s) found");
	SUB(end());
	CHECK(added >= EACH);
	CHECK_EQ(load_relaxed(&errors), added);
}

/* Each thread writes what is its own; copies are changed, its memory is not. */
static void write_corrupted(struct worker *w)
{
	uint64_t at = w->number * EACH;
	unsigned char *bytes = (unsigned char *)w->got;
	bool ok;

	dm_fill(w->buf, at, EACH, w->n % 256);
	ok = !io(w, RISER_BLK_WRITE, at, EACH, w->buf) && !io(w, RISER_BLK_READ, at, EACH, w->got);
	ok = ok && dm_filled(w->buf, at, EACH, w->n % 256) && bytes[1000] == 77;
	bytes[1000] = ((unsigned char *)w->buf)[1000];
	expect(ok && dm_filled(w->got, at, EACH, w->n % 256));
}

TEST(writes_are_corrupted_in_a_copy)
{
	SUB(begin("0 1024 flakey mem:1M 0 0 1 5 corrupt_bio_byte 1001 w 77 0"));
	SUB(start(write_corrupted));
	wait_rounds(3000);
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(dm_retable(d, "0 1024 flakey mem:1M 0 0 1 5 corrupt_bio_byte 1001 w 77 0"),
			 0);
		wait_rounds(100);
	}
	SUB(end());
	CHECK_EQ(load_relaxed(&errors), 0);
}

/* All threads find it down; nobody keeps anything. */
static void read_corrupted(struct worker *w)
{
	memset(w->got, 0, 512);
	expect(!io(w, RISER_BLK_READ, w->number, 1, w->got) && w->got[0] == 77);
}

TEST(reads_are_corrupted_everywhere)
{
	SUB(begin("0 1024 flakey mem:1M 0 0 1 5 corrupt_bio_byte 1 r 77 0"));
	SUB(start(read_corrupted));
	wait_rounds(3000);
	SUB(end());
	CHECK_EQ(load_relaxed(&errors), 0);
}

/* A device that is suspended has let go of all. */
static void read_late(struct worker *w)
{
	expect(!io(w, RISER_BLK_READ, 0, 1, w->got));
	if (w->n % 16 == 0)
		usleep(100);
}

TEST(delayed_and_let_go)
{
	SUB(begin("0 1024 delay mem:1M 0 1"));
	SUB(start(read_late));
	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(riser_dm_suspend(d, x, 60 * DM_S, &err), 0);
		CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 1024 delay 0 0 0");
		CHECK_EQ(riser_dm_resume(d, x, 60 * DM_S, &err), 0);
		wait_rounds(THREADS);
	}
	SUB(end());
	CHECK_EQ(load_relaxed(&errors), 0);
}

TEST_MAIN(CASE(regions_move), CASE(bad_blocks_heal_once), CASE(writes_are_corrupted_in_a_copy),
	  CASE(reads_are_corrupted_everywhere), CASE(delayed_and_let_go))
