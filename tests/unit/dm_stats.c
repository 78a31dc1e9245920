/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Statistics of mapped devices: regions and histograms, to the tick of virtual time. */
#include "base/barrier.h"
#include "dm_fixture.h"
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define MS NS_PER_MS

static uint64_t buf[64 * 256];
static struct riser_dm *dev;
static struct dm_way way;

static void up(const char *table)
{
	dm_up();
	SUB(dev = dm_make("a", table));
	SUB(dm_open_way("dm:a", &way));
}

static void down(void)
{
	dm_close_way(&way);
	CHECK_EQ(riser_dm_remove(dev, x, &err), 0);
	dm_down();
}

#define SAYS(d, message, answer)                                                                   \
	do {                                                                                       \
		int rc_;                                                                           \
		const char *got_ = dm_say(d, message, &rc_);                                       \
		CHECK_STR(got_, answer);                                                           \
		CHECK_EQ(rc_, 0);                                                                  \
	} while (0)

#define REFUSES(message, errno_, says)                                                             \
	do {                                                                                       \
		int rc_;                                                                           \
		const char *got_ = dm_say(dev, message, &rc_);                                     \
		CHECK_EQ(rc_, errno_);                                                             \
		CHECK_HAS(got_, says);                                                             \
	} while (0)

static unsigned skips_of(struct riser_dm *d)
{
	struct riser_dm_info i;

	riser_dm_get_info(d, &i);
	return i.skips;
}

/* Reads take 5 ms, writes 7: every counter, while they are in flight and after. */
TEST(counters_to_the_tick)
{
	struct dm_op read, write;
	uint64_t t;

	SUB(up("0 64 delay mem:1M 0 5 mem:1M 0 7"));
	SAYS(dev, "@stats_create - 32 1 histogram:5,6,8", "0");
	SAYS(dev, "@stats_print 0",
	     "0+32 0 0 0 0 0 0 0 0 0 0 0 0 0 0:0:0:0\n"
	     "32+32 0 0 0 0 0 0 0 0 0 0 0 0 0 0:0:0:0\n");
	t = riser_now(r);
	dm_start(&read, &way, RISER_BLK_READ, 28, 8, buf, 0);
	dm_start(&write, &way, RISER_BLK_WRITE, 0, 8, buf, 0);
	dm_until(t + 2 * MS);
	SAYS(dev, "@stats_print 0",
	     "0+32 0 0 0 0 0 0 0 0 2 2 4 2 2 0:0:0:0\n"
	     "32+32 0 0 0 0 0 0 0 0 1 2 2 2 0 0:0:0:0\n");
	dm_until(t + 5 * MS);
	CHECK(read.done && !write.done);
	SAYS(dev, "@stats_print 0",
	     "0+32 1 0 4 5 0 0 0 0 1 5 10 5 5 0:1:0:0\n"
	     "32+32 1 0 4 5 0 0 0 0 0 5 5 5 0 0:1:0:0\n");
	dm_until(t + 20 * MS);
	SAYS(dev, "@stats_print 0",
	     "0+32 1 0 4 5 1 0 8 7 0 7 12 5 7 0:1:1:0\n"
	     "32+32 1 0 4 5 0 0 0 0 0 5 5 5 0 0:1:0:0\n");
	down();
}

/* Nanoseconds, a range inside the device, a last area that is smaller, and a part of the lines. */
TEST(precise_and_askew)
{
	SUB(up("0 64 delay mem:1M 0 3"));
	SAYS(dev, "@stats_create 10+20 8 2 precise_timestamps histogram:3000000,3000001", "0");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 10, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 30, 10, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 64, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 29, 1, buf), RISER_BLK_OK);
	SAYS(dev, "@stats_print 0",
	     "10+8 1 0 8 3000000 0 0 0 0 0 3000000 3000000 3000000 0 0:1:0\n"
	     "18+8 1 0 8 3000000 0 0 0 0 0 3000000 3000000 3000000 0 0:1:0\n"
	     "26+4 1 0 4 3000000 1 0 1 3000000 0 6000000 6000000 3000000 3000000 0:2:0\n");
	SAYS(dev, "@stats_print 0 1 1",
	     "18+8 1 0 8 3000000 0 0 0 0 0 3000000 3000000 3000000 0 0:1:0\n");
	SAYS(dev, "@stats_print 0 3 1", "");
	/* Each is shown once. */
	SAYS(dev, "@stats_print_clear 0 2 9",
	     "26+4 1 0 4 3000000 1 0 1 3000000 0 6000000 6000000 3000000 3000000 0:2:0\n");
	SAYS(dev, "@stats_print 0 2 1", "26+4 0 0 0 0 0 0 0 0 0 0 0 0 0 0:0:0\n");
	SAYS(dev, "@stats_print 0 0 1",
	     "10+8 1 0 8 3000000 0 0 0 0 0 3000000 3000000 3000000 0 0:1:0\n");
	down();
}

TEST(what_counts_as_what)
{
	static const struct {
		enum riser_blk_op op;
		uint64_t sector;
		int status;
		const char *counts;
	} t[] = {
		{ RISER_BLK_READ, 0, RISER_BLK_OK, "0+64 1 0 8 0 0 0 0 0 0 0 0 0 0\n" },
		{ RISER_BLK_COMPARE, 0, RISER_BLK_OK, "0+64 1 0 8 0 0 0 0 0 0 0 0 0 0\n" },
		{ RISER_BLK_WRITE, 0, RISER_BLK_OK, "0+64 0 0 0 0 1 0 8 0 0 0 0 0 0\n" },
		{ RISER_BLK_WRITE_ZEROES, 0, RISER_BLK_OK, "0+64 0 0 0 0 1 0 8 0 0 0 0 0 0\n" },
		{ RISER_BLK_DISCARD, 0, RISER_BLK_OK, "0+64 0 0 0 0 1 0 8 0 0 0 0 0 0\n" },
		{ RISER_BLK_FLUSH, 0, RISER_BLK_OK, "0+64 0 0 0 0 0 0 0 0 0 0 0 0 0\n" },
		/* What fails counts, what is refused does not. */
		{ RISER_BLK_READ, 32, RISER_BLK_IOERR, "0+64 1 0 8 0 0 0 0 0 0 0 0 0 0\n" },
		{ RISER_BLK_READ, 60, RISER_BLK_INVALID, "0+64 0 0 0 0 0 0 0 0 0 0 0 0 0\n" },
	};

	SUB(up("0 32 linear mem:1M 0\n32 32 error"));
	SAYS(dev, "@stats_create - /1", "0");
	memset(buf, 0, sizeof(buf));
	for (size_t i = 0; i < array_len(t); i++) {
		CHECK_EQ(dm_rw(&way, t[i].op, t[i].sector, 8, buf), t[i].status);
		SAYS(dev, "@stats_print_clear 0", t[i].counts);
	}
	down();
}

/* Cut into 32 pieces, over four lines, with a flush before: one write, for as long as it all took.
 */
TEST(an_io_that_is_cut_counts_once)
{
	char path[] = "/tmp/riser-stats-XXXXXX", table[256];
	int fd = mkstemp(path);

	CHECK(fd >= 0 && !ftruncate(fd, 1 << 20));
	close(fd);
	snprintf(table, sizeof(table),
		 "0 64 striped 2 4 mem:1M 0 mem:2M 0\n"
		 "64 32 delay mem:3M 0 4\n"
		 "96 16 zero\n"
		 "112 16 linear file:%s 0",
		 path);
	SUB(up(table));
	SAYS(dev, "@stats_create - /1 1 histogram:4,5", "0");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 128, buf), RISER_BLK_OK);
	SAYS(dev, "@stats_print_clear 0", "0+128 1 0 128 4 0 0 0 0 0 4 4 4 0 0:1:0\n");
	CHECK_EQ(riser_blk_rw(way.c, RISER_BLK_WRITE, 1, 127, buf, RISER_BLK_PREFLUSH),
		 RISER_BLK_OK);
	SAYS(dev, "@stats_print_clear 0", "0+128 0 0 0 0 1 0 127 8 0 8 8 0 8 0:0:1\n");
	down();
	unlink(path);
}

/* More than one owner has frames for: they wait, and their time runs. */
TEST(more_than_there_are_frames)
{
	enum { N = 128, MORE = 8 };
	static struct dm_op op[N + MORE];
	struct riser_exec *other;
	struct dm_way w = { 0 };
	uint64_t t;

	SUB(up("0 2048 delay mem:1M 0 6"));
	CHECK_EQ(riser_exec_new(r, &other, &err), 0);
	CHECK_EQ(riser_blk_channel_open(way.b, other, 0, &w.c, &err), 0);
	SAYS(dev, "@stats_create - /1 1 histogram:7,12,13", "0");
	t = riser_now(r);
	for (unsigned i = 0; i < N + MORE; i++)
		dm_start(&op[i], i < N ? &w : &way, RISER_BLK_READ, 0, 2, buf, 0);
	while (riser_exec_poll(other) > 0)
		;
	riser_exec_leave(other);
	dm_until(t + 100 * MS);
	SAYS(dev, "@stats_print 0", "0+2048 136 0 272 864 0 0 0 0 0 12 864 12 0 128:0:8:0\n");
	while (riser_exec_poll(other) > 0)
		;
	for (unsigned i = 0; i < N + MORE; i++)
		CHECK(op[i].done && op[i].status == RISER_BLK_OK);
	riser_blk_channel_close(w.c);
	riser_exec_free(other);
	down();
}

TEST(regions_come_and_go)
{
	SUB(up("0 64 linear mem:1M 0"));
	SAYS(dev, "@stats_list", "");
	SAYS(dev, "@stats_create - /3", "0");
	SAYS(dev, "@stats_create 8+8 4 prog", "1");
	SAYS(dev, "@stats_create 8+8 4 2 histogram:1,20 precise_timestamps prog word", "2");
	SAYS(dev, "@stats_list",
	     "0: 0+64 22 - -\n"
	     "1: 8+8 4 prog -\n"
	     "2: 8+8 4 prog word precise_timestamps histogram:1,20\n");
	SAYS(dev, "@stats_set_aux 1 other", "");
	SAYS(dev, "@stats_delete 0", "");
	SAYS(dev, "@stats_list prog",
	     "1: 8+8 4 prog other\n"
	     "2: 8+8 4 prog word precise_timestamps histogram:1,20\n");
	SAYS(dev, "@stats_list nobody", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 10, buf), RISER_BLK_OK);
	/* The smallest that is free; what others counted stays. */
	SAYS(dev, "@stats_create 0+4 4 0 - 5", "0");
	SAYS(dev, "@stats_list -", "0: 0+4 4 - 5\n");
	SAYS(dev, "@stats_print 1",
	     "8+4 1 0 2 0 0 0 0 0 0 0 0 0 0\n"
	     "12+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	SAYS(dev, "@stats_print 0", "0+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	SAYS(dev, "@stats_clear 1", "");
	SAYS(dev, "@stats_print 1 0 1", "8+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	down();
}

TEST(messages_that_are_wrong)
{
	SUB(up("0 64 linear mem:1M 0"));
	REFUSES("@stats", -EINVAL, "no message '@stats'");
	REFUSES("@stats_create", -EINVAL, "a range is missing");
	REFUSES("@stats_create -", -EINVAL, "an area is missing");
	REFUSES("@stats_create 5 1", -EINVAL, "<start>+<len>, not '5'");
	REFUSES("@stats_create 5+0 1", -EINVAL, "<start>+<len>");
	REFUSES("@stats_create 5+18446744073709551615 1", -EINVAL, "<start>+<len>");
	REFUSES("@stats_create - 0", -EINVAL, "not '0'");
	REFUSES("@stats_create - /0", -EINVAL, "not '/0'");
	REFUSES("@stats_create 0+18446744073709551615 1", -ENOMEM, "too many");
	REFUSES("@stats_create - 8 1", -EINVAL, "an option is missing");
	REFUSES("@stats_create - 8 1 fast", -EINVAL, "'fast' is no option");
	REFUSES("@stats_create - 8 1 histogram:", -EINVAL, "times of a histogram");
	REFUSES("@stats_create - 8 1 histogram:5,5", -EINVAL, "not '5'");
	REFUSES("@stats_create - 8 1 histogram:5,,6", -EINVAL, "not ''");
	REFUSES("@stats_create - 8 1 histogram:18446744073709551615", -EINVAL, "too long");
	REFUSES("@stats_create - 8 0 prog aux more", -EINVAL, "'more' is one argument too many");
	REFUSES("@stats_delete 0", -EINVAL, "no region 0");
	REFUSES("@stats_clear x", -EINVAL, "has to be a number");
	REFUSES("@stats_print", -EINVAL, "a region is missing");
	REFUSES("@histogram print", -EINVAL, "@histogram on");
	REFUSES("@histogram often", -EINVAL, "not 'often'");
	SAYS(dev, "@stats_create - 8", "0");
	REFUSES("@stats_print 0 1", -EINVAL, "a number of lines is missing");
	REFUSES("@stats_set_aux 0", -EINVAL, "a word to keep is missing");
	SAYS(dev, "@stats_list", "0: 0+64 8 - -\n");
	/* There is an end to what is counted, all regions together. */
	SAYS(dev, "@stats_create 0+200000 1", "1");
	REFUSES("@stats_create 0+200000 1", -ENOMEM, "too many");
	SAYS(dev, "@stats_delete 1", "");
	SAYS(dev, "@stats_create 0+200000 1", "1");
	down();
}

/* A device that is passed by counts at once when it is asked to, what is in flight or not. */
TEST(a_skipped_device)
{
	struct riser_dm *low, *slow;
	struct dm_op before, after;

	dm_up();
	SUB(slow = dm_make("slow", "0 64 delay mem:1M 0 5"));
	SUB(low = dm_make("low", "0 64 linear dm:slow 0"));
	SUB(dev = dm_make("a", "0 64 linear dm:low 0"));
	SUB(dm_open_way("dm:a", &way));
	CHECK_EQ(skips_of(dev), 2);
	dm_start(&before, &way, RISER_BLK_READ, 0, 8, buf, 0);
	SAYS(low, "@stats_create - /1", "0");
	CHECK(before.done); /* it was waited for, and is not counted */
	CHECK_EQ(skips_of(dev), 0);
	dm_start(&after, &way, RISER_BLK_READ, 0, 8, buf, 0);
	dm_settle();
	SAYS(low, "@stats_print 0", "0+64 0 0 0 0 0 0 0 0 1 0 0 0 0\n");
	dm_until(riser_now(r) + 5 * MS);
	SAYS(low, "@stats_print 0", "0+64 1 0 8 5 0 0 0 0 0 5 5 5 0\n");
	/* Suspending it does not make it one that may be passed by, nor does a new table. */
	CHECK_EQ(riser_dm_suspend(low, x, DM_S, &err), 0);
	SAYS(low, "@stats_create - /2", "1");
	CHECK_EQ(riser_dm_resume(low, x, DM_S, &err), 0);
	CHECK_EQ(dm_retable(low, "0 32 linear dm:slow 0\n32 32 linear dm:slow 32"), 0);
	CHECK_EQ(skips_of(dev), 0);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 28, 8, buf), RISER_BLK_OK);
	SAYS(low, "@stats_print 0", "0+64 2 0 16 10 0 0 0 0 0 10 10 10 0\n");
	SAYS(low, "@stats_print 1",
	     "0+32 1 0 4 5 0 0 0 0 0 5 5 5 0\n"
	     "32+32 1 0 4 5 0 0 0 0 0 5 5 5 0\n");
	SAYS(low, "@stats_delete 0", "");
	CHECK_EQ(skips_of(dev), 0);
	/* While it is suspended the last of them goes, and it is not passed by until it resumes. */
	CHECK_EQ(riser_dm_suspend(low, x, DM_S, &err), 0);
	SAYS(low, "@stats_delete 1", "");
	CHECK_EQ(skips_of(dev), 0);
	dm_start(&after, &way, RISER_BLK_READ, 0, 8, buf, 0);
	dm_until(riser_now(r) + 20 * MS);
	CHECK(!after.done);
	CHECK_EQ(riser_dm_resume(low, x, DM_S, &err), 0);
	CHECK_EQ(skips_of(dev), 2);
	dm_until(riser_now(r) + 20 * MS);
	CHECK(after.done);
	dm_close_way(&way);
	CHECK_EQ(riser_dm_remove(dev, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	CHECK_EQ(riser_dm_remove(slow, x, &err), 0);
	dm_down();
}

/* I/O that does not end leaves everything as it was. */
TEST(what_cannot_be_waited_for)
{
	struct riser_dm *low;
	struct dm_op op;

	dm_up();
	SUB(low = dm_make("low", "0 64 linear mem:1M 0"));
	SUB(dev = dm_make("a", "0 64 linear dm:low 0"));
	SUB(dm_open_way("dm:a", &way));
	CHECK_EQ(riser_dm_suspend(low, x, DM_S, &err), 0);
	dm_start(&op, &way, RISER_BLK_READ, 0, 8, buf, 0);
	dm_settle();
	REFUSES("@stats_create - 8", -ETIMEDOUT, "mapped device low");
	SAYS(dev, "@stats_list", "");
	CHECK_EQ(riser_dm_resume(low, x, DM_S, &err), 0);
	dm_settle();
	CHECK(op.done && op.status == RISER_BLK_OK);
	SAYS(dev, "@stats_create - 8", "0");
	dm_close_way(&way);
	CHECK_EQ(riser_dm_remove(dev, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	dm_down();
}

/* What each line took, in powers of two; 4 ms are less than 2^22 ns. */
TEST(histograms_of_lines)
{
	SUB(up("0 32 delay mem:1M 0 4\n32 32 linear mem:2M 0\n64 32 linear mem:2M 32\n"
	       "96 32 error"));
	SAYS(dev, "@histogram on", "");
	SAYS(dev, "@histogram print", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 8, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_DISCARD, 40, 8, NULL), RISER_BLK_OK);
	/* From one line into the next: a piece for each, although they are neighbours below. */
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 60, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 96, 8, buf), RISER_BLK_IOERR);
	SAYS(dev, "@histogram print",
	     "0 32 delay read 1 4194304:1\n"
	     "0 32 delay write 1 4194304:1\n"
	     "32 32 linear read 1 1024:1\n"
	     "32 32 linear discard 1 1024:1\n"
	     "64 32 linear read 1 1024:1\n"
	     "96 32 error read 1 1024:1\n");
	SAYS(dev, "@histogram clear", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 8, buf), RISER_BLK_OK);
	/* Regions beside them do not disturb them; a new table begins anew. */
	SAYS(dev, "@stats_create - /1", "0");
	SAYS(dev, "@histogram print", "0 32 delay read 1 4194304:1\n");
	CHECK_EQ(dm_retable(dev, "0 64 delay mem:1M 0 5\n64 64 zero"), 0);
	SAYS(dev, "@histogram print", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 64, 8, buf), RISER_BLK_OK);
	SAYS(dev, "@histogram print",
	     "0 64 delay read 1 8388608:1\n"
	     "64 64 zero read 1 1024:1\n");
	SAYS(dev, "@stats_print 0", "0+128 2 0 16 5 0 0 0 0 0 5 5 5 0\n");
	SAYS(dev, "@histogram off", "");
	SAYS(dev, "@stats_delete 0", "");
	SAYS(dev, "@histogram on", "");
	SAYS(dev, "@histogram print", "");
	down();
}

/* A target that has end_io, and one that ends by itself what it kept: both are seen. */
TEST(lines_that_end_io_themselves)
{
	struct dm_op op;

	SUB(up("0 64 flakey mem:1M 0 0 1 1 error_writes\n64 64 delay mem:2M 0 5"));
	SAYS(dev, "@histogram on", "");
	dm_start(&op, &way, RISER_BLK_READ, 0, 8, buf, 0);
	dm_settle();
	CHECK(op.done);
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 0, 8, buf), RISER_BLK_IOERR);
	SAYS(dev, "@histogram print",
	     "0 64 flakey read 1 1024:1\n"
	     "0 64 flakey write 1 1024:1\n");
	down();
}

/* Four owners, and one who reads, clears, begins and ends regions meanwhile. */
enum { OWNERS = 4, ROUNDS = 200 };

struct owner {
	pthread_t thread;
	struct riser_blk *b;
	unsigned started, ended;
	uint64_t buf[64 * 8];
};

static bool stop; /* atomic */

static void owner_done(struct riser_blk_io *io)
{
	struct owner *o = io->user;

	o->ended += io->status == RISER_BLK_OK;
	riser_blk_io_put(io);
}

static uint64_t owner_sector(unsigned i)
{
	return i % 2000;
}

static void owner_start_one(struct owner *o, struct riser_blk_channel *c)
{
	struct riser_blk_io *io = riser_blk_io_get(c);

	io->op = o->started % 2 ? RISER_BLK_READ : RISER_BLK_WRITE;
	io->flags = 0;
	io->sector = owner_sector(o->started);
	io->count = 8;
	io->one = (struct iovec){ o->buf, sizeof(o->buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = owner_done;
	io->user = o;
	o->started++;
	riser_blk_submit(io);
}

static void *owner_run(void *arg)
{
	struct riser_blk_channel *c;
	struct owner *o = arg;
	struct riser_exec *mine;

	if (riser_exec_new(r, &mine, NULL) || riser_blk_channel_open(o->b, mine, 8, &c, NULL))
		return NULL;
	while (!load_relaxed(&stop) || o->ended < o->started) {
		while (!load_relaxed(&stop) && o->started - o->ended < 8)
			owner_start_one(o, c);
		if (riser_exec_poll(mine) == 0)
			riser_exec_wait(mine, NS_PER_MS);
	}
	riser_blk_channel_close(c);
	riser_exec_free(mine);
	return NULL;
}

static uint64_t counter(const char *line, unsigned column)
{
	while (column--)
		line = strchr(line, ' ') + 1;
	return strtoull(line, NULL, 10);
}

/* Of region 1, which is cleared each time. */
static uint64_t first_third(void)
{
	int rc;
	const char *row = dm_say(dev, "@stats_print_clear 1 0 1", &rc);

	return rc ? 0 : counter(row, 1) + counter(row, 5);
}

static uint64_t look_on(void)
{
	uint64_t last = 0, now, sum = 0;
	int rc;

	for (unsigned i = 0; i < ROUNDS || last < 10000; i++) {
		dm_say(dev, i % 2 ? "@stats_delete 2" : "@stats_create 0+2048 /5", &rc);
		if (rc)
			printf("# %s\n", err.text);
		now = counter(dm_say(dev, "@stats_print 0", &rc), 1);
		tap_failed |= rc || now < last;
		last = now;
		sum += first_third();
		dm_say(dev, "@histogram print", &rc);
		tap_failed |= rc;
		riser_exec_poll(x);
	}
	return sum;
}

static void many_owners(const char *table)
{
	struct owner *o = calloc(OWNERS, sizeof(*o));
	uint64_t cleared, ios[2] = { 0 }, third = 0;
	const char *row;
	int rc;

	CHECK_EQ(riser_new(NULL, &r, &err), 0); /* on real time: there are threads */
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	SUB(dev = dm_make("a", table));
	SUB(dm_open_way("dm:a", &way));
	SAYS(dev, "@stats_create - /1 1 histogram:1,2", "0");
	SAYS(dev, "@stats_create - /3", "1");
	SAYS(dev, "@histogram on", "");
	store_relaxed(&stop, false);
	for (unsigned i = 0; i < OWNERS; i++) {
		o[i].b = way.b;
		CHECK_EQ(pthread_create(&o[i].thread, NULL, owner_run, &o[i]), 0);
	}
	cleared = look_on();
	store_relaxed(&stop, true);
	for (unsigned i = 0; i < OWNERS; i++) {
		while (pthread_tryjoin_np(o[i].thread, NULL))
			riser_exec_wait(x, NS_PER_MS);
		CHECK_EQ(o[i].ended, o[i].started);
		for (unsigned k = 0; k < o[i].started; k++) {
			ios[k % 2]++;
			third += owner_sector(k) < 683;
		}
	}
	row = dm_say(dev, "@stats_print 0", &rc);
	CHECK_EQ(counter(row, 1), ios[1]);
	CHECK_EQ(counter(row, 3), ios[1] * 8);
	CHECK_EQ(counter(row, 5), ios[0]);
	CHECK_EQ(counter(row, 9), 0);
	/* What was cleared and what was not are all. */
	CHECK_EQ(cleared + first_third(), third);
	free(o);
	dm_close_way(&way);
	CHECK_EQ(riser_dm_remove(dev, x, &err), 0);
	dm_down();
}

TEST(four_owners)
{
	SUB(many_owners("0 1024 linear null:1M 0\n1024 1024 linear null:2M 0"));
}

TEST(four_owners_of_a_home)
{
	SUB(many_owners("0 1024 linear null:1M 0\n1024 1024 delay null:2M 0 0"));
}

TEST_MAIN(CASE(counters_to_the_tick), CASE(precise_and_askew), CASE(what_counts_as_what),
	  CASE(an_io_that_is_cut_counts_once), CASE(more_than_there_are_frames),
	  CASE(regions_come_and_go), CASE(messages_that_are_wrong), CASE(a_skipped_device),
	  CASE(what_cannot_be_waited_for), CASE(histograms_of_lines),
	  CASE(lines_that_end_io_themselves), CASE(four_owners), CASE(four_owners_of_a_home))
