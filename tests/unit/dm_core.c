/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Tables, slots, plans. */
#include "dm/dm.h"
#include "dm_fixture.h"

static uint64_t buf[64 * 1024];
static bool is_done;

static void done(struct riser_blk_io *io)
{
	(void)io;
	is_done = true;
}

TEST(a_table_of_four_kinds)
{
	struct riser_dm *d;
	struct dm_way w;

	dm_up();
	SUB(d = dm_make("a", "0 64 linear mem:1M 8\n"
			     "# a comment\n"
			     "\n"
			     "64 96 striped 3 8 mem:2M 0 mem:2M 64 mem:3M 16\n"
			     "160 16 zero\n"
			     "176 8 error\n"));
	SUB(dm_open_way("dm:a", &w));
	dm_fill(buf, 0, 176, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 176, buf), RISER_BLK_OK);
	memset(buf, 1, sizeof(buf));
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 176, buf), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 160, 1));
	CHECK(dm_zeroes(buf + 64 * 160, 16));
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 176, 8, buf), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 170, 8, buf), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 180, 5, buf), RISER_BLK_INVALID);
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE),
		  "0 64 linear mem:1M 8\n"
		  "64 96 striped 3 8 mem:2M 0 mem:2M 64 mem:3M 16\n"
		  "160 16 zero \n"
		  "176 8 error ");
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 linear \n"
						   "64 96 striped 3 mem:2M mem:2M mem:3M 1 AAA\n"
						   "160 16 zero \n"
						   "176 8 error ");
	CHECK_EQ(riser_dm_remove(d, x, &err), -EBUSY);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* What a line maps, seen from below. */
TEST(where_the_data_goes)
{
	struct dm_way w, below;
	struct riser_dm *d;

	dm_up();
	SUB(d = dm_make("s", "0 64 striped 2 4 mem:1M 0 mem:1M 1024"));
	SUB(dm_open_way("dm:s", &w));
	SUB(dm_open_way("table:0 2048 linear mem:1M 0", &below));
	dm_fill(buf, 0, 64, 7);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 64, buf), RISER_BLK_OK);
	for (unsigned chunk = 0; chunk < 16; chunk++) {
		CHECK_EQ(dm_rw(&below, RISER_BLK_READ, chunk % 2 * 1024 + chunk / 2 * 4, 4, buf),
			 RISER_BLK_OK);
		CHECK(dm_filled(buf, chunk * 4, 4, 7));
	}
	/* A discard takes the same sectors, no more and no fewer. */
	CHECK_EQ(dm_rw(&w, RISER_BLK_DISCARD, 6, 13, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 64, buf), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 6, 7));
	CHECK(dm_zeroes(buf + 64 * 6, 13));
	CHECK(dm_filled(buf + 64 * 19, 19, 45, 7));
	dm_close_way(&below);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

TEST(mistakes_and_their_places)
{
	static const struct {
		const char *table, *says;
		int rc;
		unsigned line, column;
	} t[] = {
		{ "", "empty", -EINVAL, 1, 1 },
		{ "0 8", "<start> <len> <target>", -EINVAL, 1, 5 },
		{ "x 8 zero", "'x' is no number", -EINVAL, 1, 1 },
		{ "0 0 zero", "length of 0", -EINVAL, 1, 3 },
		{ "0 8 zero\n9 8 zero", "gap in table: sector 8", -EINVAL, 2, 1 },
		{ "0 8 zero\n7 8 zero", "overlap", -EINVAL, 2, 1 },
		{ "8 8 zero", "gap", -EINVAL, 1, 1 },
		{ "0 8 zerro", "did you mean 'zero'", -EINVAL, 1, 5 },
		{ "0 8 zero more", "one argument too many", -EINVAL, 1, 10 },
		{ "0 8 linear", "a device is missing", -EINVAL, 1, 12 },
		{ "0 8 linear mem:1M", "a first sector is missing", -EINVAL, 1, 19 },
		{ "0 8 linear mem:1M x", "has to be a number", -EINVAL, 1, 19 },
		{ "0 8 linear mem:1M 2041", "too small", -EINVAL, 1, 19 },
		{ "0 8 linear [mem:1M?block=4096] 4", "logical blocks of 4096", -EINVAL, 1, 32 },
		{ "0 8 linear nothing:1 0", "unknown scheme", -EINVAL, 1, 12 },
		{ "0 8 linear dm:none 0", "no mapped device 'none'", -ENODEV, 1, 12 },
		{ "0 8 linear dm:try 0", "contain itself", -ELOOP, 1, 12 },
		{ "0 9 striped 2 1 mem:1M 0 mem:1M 0", "2 stripes", -EINVAL, 1, 15 },
		{ "0 8 striped 2 3 mem:1M 0 mem:1M 0", "chunks of 3", -EINVAL, 1, 15 },
		{ "0 8 striped 0 3", "from 1 to", -EINVAL, 1, 13 },
	};

	dm_up();
	for (size_t i = 0; i < array_len(t); i++) {
		CHECK_EQ(dm_try(t[i].table), t[i].rc);
		CHECK_HAS(err.text, t[i].says);
		CHECK_EQ(where.line, t[i].line);
		CHECK_EQ(where.column, t[i].column);
	}
	dm_down();
}

/* Runs of one state, as below, cut where a piece ends. */
TEST(what_is_a_hole)
{
	static const struct {
		uint64_t sector;
		uint32_t count, state;
	} runs[] = { { 0, 8, RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO },
		     { 8, 8, 0 },
		     { 16, 16, RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO },
		     { 32, 8, RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO },
		     { 40, 8, 0 } };
	struct riser_dm *d;
	struct dm_way w;

	dm_up();
	SUB(d = dm_make("h", "0 32 linear mem:1M 0\n32 8 zero\n40 8 error"));
	SUB(dm_open_way("dm:h", &w));
	dm_fill(buf, 8, 8, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 8, 8, buf), RISER_BLK_OK);
	for (size_t i = 0; i < array_len(runs); i++) {
		struct riser_blk_io *io = riser_blk_io_get(w.c);

		io->op = RISER_BLK_BLOCK_STATUS;
		io->flags = 0;
		io->sector = runs[i].sector;
		io->count = 48 - (uint32_t)runs[i].sector;
		io->done = done;
		is_done = false;
		riser_blk_submit(io);
		while (!is_done)
			riser_exec_poll(x);
		CHECK_EQ(io->status, RISER_BLK_OK);
		CHECK_EQ(io->count, runs[i].count);
		CHECK_EQ(io->raw_status, runs[i].state);
		riser_blk_io_put(io);
	}
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

static struct riser_dm_info info_of(struct riser_dm *d)
{
	struct riser_dm_info i;

	riser_dm_get_info(d, &i);
	return i;
}

/* Ten over each other are one piece, until one of them is suspended. */
TEST(plans_skip_what_they_may)
{
	char name[8], table[64];
	struct riser_dm *d[10];
	struct dm_way w;

	dm_up();
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		if (i)
			snprintf(table, sizeof(table), "0 %u linear dm:d%u 1", 100 - i, i - 1);
		else
			snprintf(table, sizeof(table), "0 100 linear mem:1M 3");
		SUB(d[i] = dm_make(name, table));
		CHECK_EQ(info_of(d[i]).skips, i);
		CHECK_EQ(info_of(d[i]).extents, 1);
	}
	SUB(dm_open_way("dm:d9", &w));
	dm_fill(buf, 0, 91, 3);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 91, buf), RISER_BLK_OK);
	/* Whom nobody skips while he is suspended. */
	CHECK_EQ(riser_dm_suspend(d[4], x, DM_S, &err), 0);
	CHECK_EQ(info_of(d[4]).skips, 4);
	CHECK_EQ(info_of(d[5]).skips, 0);
	CHECK_EQ(info_of(d[9]).skips, 4);
	CHECK_EQ(riser_dm_resume(d[4], x, DM_S, &err), 0);
	CHECK_EQ(info_of(d[9]).skips, 9);
	/* A new table in the middle is what those above see. */
	CHECK_EQ(dm_retable(d[4], "0 50 linear dm:d3 1\n50 45 zero"), -EINVAL);
	CHECK_EQ(dm_retable(d[4], "0 50 linear dm:d3 1\n50 50 zero"), 0);
	CHECK_EQ(info_of(d[9]).extents, 2);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 91, buf), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 45, 3));
	CHECK(dm_zeroes(buf + 64 * 45, 46));
	dm_close_way(&w);
	for (unsigned i = 10; i-- > 0;)
		CHECK_EQ(riser_dm_remove(d[i], x, &err), 0);
	dm_down();
}

static unsigned ended;

static void count_end(struct riser_blk_io *io)
{
	ended += io->status == RISER_BLK_OK;
	riser_blk_io_put(io);
}

TEST(what_comes_while_suspended_waits)
{
	struct riser_blk_io *io;
	struct riser_dm *d, *up;
	struct dm_way w;

	dm_up();
	SUB(d = dm_make("a", "0 64 linear mem:1M 0"));
	SUB(up = dm_make("up", "0 32 linear dm:a 0\n32 32 zero"));
	SUB(dm_open_way("dm:up", &w));
	CHECK_EQ(riser_dm_suspend(d, x, DM_S, &err), 0);
	ended = 0;
	io = riser_blk_io_get(w.c);
	io->op = RISER_BLK_READ;
	io->flags = 0;
	io->sector = 8;
	io->count = 8;
	io->one = (struct iovec){ buf, 4096 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = count_end;
	riser_blk_submit(io);
	for (unsigned i = 0; i < 100; i++)
		riser_exec_poll(x);
	CHECK_EQ(ended, 0);
	/* The one above cannot be suspended meanwhile: it says where I/O is. */
	CHECK_EQ(riser_dm_suspend(up, x, DM_S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "mapped device a");
	CHECK_EQ(riser_dm_resume(d, x, DM_S, &err), 0);
	for (unsigned i = 0; i < 100; i++)
		riser_exec_poll(x);
	CHECK_EQ(ended, 1);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(up, x, &err), 0);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

static unsigned heard[3];

static void hear(struct riser_blk *b, enum riser_blk_event event, void *user)
{
	(void)b;
	(void)user;
	heard[event]++;
}

/* A new size is told; what befalls a device below is an event of the one above. */
TEST(events_go_upwards)
{
	struct riser_dm *a, *b;
	struct riser_blk *blk;

	dm_up();
	memset(heard, 0, sizeof(heard));
	SUB(a = dm_make("a", "0 64 zero"));
	SUB(b = dm_make("b", "0 32 linear dm:a 0"));
	CHECK_EQ(riser_blk_open(r, "dm:b", RISER_BLK_RDWR, &blk, &err), 0);
	riser_blk_on_event(blk, hear, NULL);
	CHECK_EQ(dm_retable(a, "0 128 zero"), 0);
	CHECK_EQ(info_of(b).event_nr, 1);
	CHECK_EQ(heard[RISER_BLK_EVENT_RESIZED], 0);
	CHECK_EQ(dm_retable(b, "0 100 linear dm:a 0"), 0);
	CHECK_EQ(heard[RISER_BLK_EVENT_RESIZED], 1);
	blk_notify(dm_of(blk)->live->devs[0]->b, RISER_BLK_EVENT_GONE);
	CHECK_EQ(heard[RISER_BLK_EVENT_GONE], 1);
	CHECK_EQ(info_of(b).event_nr, 2);
	riser_blk_close(blk);
	CHECK_EQ(riser_dm_remove(b, x, &err), 0);
	CHECK_EQ(riser_dm_remove(a, x, &err), 0);
	dm_down();
}

TEST(names)
{
	struct riser_dm *a, *b;

	dm_up();
	SUB(a = dm_make("a", "0 8 zero"));
	CHECK_EQ(riser_dm_create(r, "a", NULL, 0, &b, &err), -EBUSY);
	CHECK_EQ(riser_dm_create(r, "a/b", NULL, 0, &b, &err), -EINVAL);
	SUB(b = dm_make("b", "0 8 linear dm:a 0"));
	CHECK_EQ(riser_dm_remove(a, x, &err), -EBUSY);
	CHECK_EQ(info_of(a).event_nr, 0);
	CHECK_EQ(riser_dm_rename(a, x, "b", NULL, &err), -EBUSY);
	CHECK_EQ(riser_dm_rename(a, x, "c", "U-1", &err), 0);
	CHECK_EQ(info_of(a).event_nr, 1);
	CHECK(riser_dm_find(r, "c") == a && !riser_dm_find(r, "a"));
	CHECK_EQ(riser_dm_rename(a, x, NULL, "U-2", &err), -EINVAL);
	CHECK_EQ(riser_dm_wait(a, x, 1, DM_S), -ETIMEDOUT);
	CHECK_EQ(riser_dm_wait(a, x, 0, DM_S), 0);
	CHECK_EQ(riser_dm_remove(b, x, &err), 0);
	CHECK_EQ(riser_dm_remove(a, x, &err), 0);
	dm_down();
}

/* Tables name a device, not what it was called when they were made. */
TEST(tables_follow_a_device_that_is_renamed)
{
	struct riser_dm *a, *b, *c, *d;

	dm_up();
	SUB(a = dm_make("a", "0 8 linear mem:1M 0"));
	SUB(b = dm_make("b", "0 8 linear dm:a 0"));
	CHECK_EQ(riser_dm_rename(a, x, "old", NULL, &err), 0);
	CHECK_STR(dm_status(b, RISER_STATUS_TABLE), "0 8 linear dm:old 0");
	SUB(c = dm_make("a", "0 8 zero")); /* the name is free, and somebody else's */
	SUB(d = dm_make("d", "0 4 linear dm:a 0\n4 4 linear dm:old 4"));
	CHECK_EQ(info_of(d).skips, 2);
	CHECK_EQ(riser_dm_remove(c, x, &err), -EBUSY);
	CHECK_EQ(riser_dm_rename(c, x, "zero", NULL, &err), 0);
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE), "0 4 linear dm:zero 0\n4 4 linear dm:old 4");
	CHECK_EQ(riser_dm_load(b, x, "0 8 linear dm:a 0", NULL, &err), -ENODEV);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	CHECK_EQ(riser_dm_remove(c, x, &err), 0);
	CHECK_EQ(riser_dm_remove(b, x, &err), 0);
	CHECK_EQ(riser_dm_remove(a, x, &err), 0);
	dm_down();
}

TEST(a_uuid_is_one_device_s)
{
	struct riser_dm *a, *b, *c;

	dm_up();
	CHECK_EQ(riser_dm_create(r, "a", "U-1", 0, &a, &err), 0);
	CHECK_EQ(riser_dm_create(r, "b", "U-1", 0, &b, &err), -EBUSY);
	CHECK_STR(err.text, "there is a mapped device with the uuid 'U-1' already");
	CHECK(!riser_dm_find(r, "b"));
	CHECK_EQ(riser_dm_create(r, "a", "U-2", 0, &b, &err), -EBUSY);
	CHECK_STR(err.text, "there is a mapped device with the name 'a' already");
	CHECK_EQ(riser_dm_create(r, "b", "U-2", 0, &b, &err), 0); /* it was not kept */
	CHECK_EQ(riser_dm_create(r, NULL, NULL, 0, &c, &err), 0);
	CHECK_EQ(riser_dm_rename(c, x, "c", "U-1", &err), -EBUSY);
	CHECK_EQ(riser_dm_rename(c, x, "b", "U-3", &err), -EBUSY);
	CHECK_STR(info_of(c).name, "");
	CHECK_STR(info_of(c).uuid, "");
	CHECK_EQ(riser_dm_remove(a, x, &err), 0);
	CHECK_EQ(riser_dm_rename(c, x, "c", "U-1", &err), 0); /* nobody's any more */
	CHECK_STR(info_of(c).uuid, "U-1");
	CHECK_EQ(riser_dm_remove(c, x, &err), 0);
	CHECK_EQ(riser_dm_remove(b, x, &err), 0);
	dm_down();
}

/* A million pieces, in an order that nothing merges. */
TEST(a_million_extents)
{
	enum { N = 1000000 };
	char *text = malloc(N * 40), *p = text;
	struct riser_dm *d;
	struct dm_way w;

	dm_up();
	for (unsigned i = 0; i < N; i++)
		p += sprintf(p, "%u 1 linear mem:1G %u\n", i, N - 1 - i);
	SUB(d = dm_make("m", text));
	free(text);
	CHECK_EQ(info_of(d).extents, N);
	SUB(dm_open_way("dm:m", &w));
	dm_fill(buf, 500000, 3, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 500000, 3, buf), RISER_BLK_OK);
	CHECK_EQ(dm_retable(d, "0 1000000 linear mem:1G 0"), 0);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(dm_rw(&w, RISER_BLK_READ, N - 1 - 500000 - i, 1, buf), RISER_BLK_OK);
		CHECK(dm_filled(buf, 500000 + i, 1, 1));
	}
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

TEST_MAIN(CASE(a_table_of_four_kinds), CASE(where_the_data_goes), CASE(mistakes_and_their_places),
	  CASE(what_is_a_hole), CASE(plans_skip_what_they_may),
	  CASE(what_comes_while_suspended_waits), CASE(events_go_upwards), CASE(names),
	  CASE(tables_follow_a_device_that_is_renamed), CASE(a_uuid_is_one_device_s),
	  CASE(a_million_extents))
