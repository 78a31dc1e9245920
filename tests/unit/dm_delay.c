/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* delay, to the tick of virtual time. */
#include "dm_fixture.h"

#define MS NS_PER_MS

static uint64_t buf[64 * 64], got[64 * 64];

TEST(constructor)
{
	dm_up();
	DM_WRONG("0 8 delay", -EINVAL, 11, "a device is missing");
	DM_WRONG("0 8 delay mem:1M", -EINVAL, 18, "a first sector is missing");
	DM_WRONG("0 8 delay mem:1M 0", -EINVAL, 20, "a delay in milliseconds is missing");
	DM_WRONG("0 8 delay mem:1M 0 x", -EINVAL, 20, "has to be a number, not 'x'");
	DM_WRONG("0 8 delay mem:1M 0 -1", -EINVAL, 20, "has to be a number");
	DM_WRONG("0 8 delay mem:1M 0 4294967296", -EINVAL, 20, "from 0 to 4294967295");
	DM_WRONG("0 8 delay mem:1M 2041 1", -EINVAL, 18, "too small");
	DM_WRONG("0 8 delay mem:1M 0 1 mem:1M", -EINVAL, 29, "a first sector is missing");
	DM_WRONG("0 8 delay mem:1M 0 1 mem:1M 0", -EINVAL, 31, "a delay in milliseconds");
	DM_WRONG("0 8 delay mem:1M 0 1 mem:1M 0 1 mem:1M 0", -EINVAL, 42, "a delay in");
	DM_WRONG("0 8 delay mem:1M 0 1 mem:1M 0 1 mem:1M 0 1 8", -EINVAL, 44, "one argument too");
	DM_WRONG("0 8 delay mem:1M 0 1 dm:no 0 1", -ENODEV, 22, "no mapped device");
	dm_down();
}

TEST(status)
{
	struct riser_dm *d;

	dm_up();
	SUB(d = dm_make("a", "0 8 delay mem:1M 8 5"));
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE), "0 8 delay mem:1M 8 5");
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 8 delay 0 0 0");
	CHECK_EQ(dm_retable(d, "0 8 delay mem:1M 8 5 mem:2M 0 6"), 0);
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE), "0 8 delay mem:1M 8 5 mem:2M 0 6");
	CHECK_EQ(dm_retable(d, "0 8 delay mem:1M 8 5 mem:2M 0 6 mem:3M 16 4294967295"), 0);
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE),
		  "0 8 delay mem:1M 8 5 mem:2M 0 6 mem:3M 16 4294967295");
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

TEST(complete_at_its_time_and_not_before)
{
	struct dm_op read, write, later;
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t;

	dm_up();
	SUB(d = dm_make("a", "0 64 delay mem:1M 0 5 mem:1M 0 7"));
	SUB(dm_open_way("dm:a", &w));
	t = riser_now(r);
	dm_fill(buf, 0, 8, 1);
	dm_start(&read, &w, RISER_BLK_READ, 0, 8, got, 0);
	dm_start(&write, &w, RISER_BLK_WRITE, 0, 8, buf, 0);
	dm_settle();
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 delay 1 1 0");
	dm_until(t + 2 * MS);
	dm_start(&later, &w, RISER_BLK_READ, 0, 8, got + 1024, 0);
	dm_until(t + 5 * MS - 1);
	CHECK(!read.done);
	dm_until(t + 5 * MS);
	CHECK(read.done && read.status == RISER_BLK_OK);
	CHECK_EQ(read.at, t + 5 * MS);
	CHECK(dm_zeroes(got, 8)); /* it was there before the write */
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 delay 1 1 0");
	dm_until(t + 7 * MS - 1);
	CHECK(!write.done && !later.done);
	dm_until(t + 7 * MS);
	CHECK(write.done && later.done);
	CHECK_EQ(write.at, t + 7 * MS);
	CHECK_EQ(later.at, t + 7 * MS);
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 delay 0 0 0");
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* Which device and which delay; what each of them counts as. */
TEST(three_classes)
{
	static const struct {
		enum riser_blk_op op;
		unsigned flags;
		const char *held;
		unsigned ms;
	} t[] = {
		{ RISER_BLK_READ, 0, "0 64 delay 1 0 0", 3 },
		{ RISER_BLK_COMPARE, 0, "0 64 delay 1 0 0", 3 },
		{ RISER_BLK_WRITE, 0, "0 64 delay 0 1 0", 5 },
		{ RISER_BLK_WRITE, RISER_BLK_FUA, "0 64 delay 0 1 0", 5 },
		{ RISER_BLK_DISCARD, 0, "0 64 delay 0 1 0", 5 },
		{ RISER_BLK_WRITE_ZEROES, 0, "0 64 delay 0 1 0", 5 },
		{ RISER_BLK_WRITE, RISER_BLK_PREFLUSH, "0 64 delay 0 0 1", 9 },
	};
	struct dm_way w, reads, writes, flushes;
	struct riser_dm *d;
	struct dm_op op;

	dm_up();
	SUB(d = dm_make("a", "0 64 delay mem:1M 0 3 mem:2M 100 5 mem:3M 200 9"));
	SUB(dm_open_way("dm:a", &w));
	for (size_t i = 0; i < array_len(t); i++) {
		uint64_t start = riser_now(r);

		dm_start(&op, &w, t[i].op, 8, 8, buf, t[i].flags);
		dm_settle();
		CHECK_STR(dm_status(d, RISER_STATUS_INFO), t[i].held);
		dm_until(start + t[i].ms * MS);
		CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 delay 0 0 0");
		CHECK(op.done && op.at == start + t[i].ms * MS);
	}
	dm_fill(buf, 0, 1, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 2, 1, buf), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(w.c, RISER_BLK_WRITE, 4, 1, buf, RISER_BLK_PREFLUSH), RISER_BLK_OK);
	SUB(dm_open_way("table:0 2048 linear mem:1M 0", &reads));
	SUB(dm_open_way("table:0 2048 linear mem:2M 0", &writes));
	SUB(dm_open_way("table:0 2048 linear mem:3M 0", &flushes));
	CHECK_EQ(dm_rw(&writes, RISER_BLK_READ, 102, 1, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 1, 1));
	CHECK_EQ(dm_rw(&flushes, RISER_BLK_READ, 204, 1, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 1, 1));
	CHECK_EQ(dm_rw(&reads, RISER_BLK_WRITE, 2, 1, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 2, 1, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 1, 1));
	dm_close_way(&flushes);
	dm_close_way(&writes);
	dm_close_way(&reads);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* With six arguments a flush is as a write. A device without a cache is not asked to flush. */
TEST(flushes)
{
	char path[] = "/tmp/riser-delay-XXXXXX", table[128];
	int fd = mkstemp(path);
	struct riser_dm *d;
	struct dm_way w;
	struct dm_op op;
	uint64_t t;

	CHECK(fd >= 0 && !ftruncate(fd, 1 << 20));
	dm_up();
	snprintf(table, sizeof(table), "0 64 delay file:%s 0 3 file:%s 0 4", path, path);
	SUB(d = dm_make("a", table));
	SUB(dm_open_way("dm:a", &w));
	t = riser_now(r);
	dm_start(&op, &w, RISER_BLK_FLUSH, 0, 0, NULL, 0);
	dm_until(t + 4 * MS - 1);
	CHECK_STR(strstr(dm_status(d, RISER_STATUS_INFO), " delay "), " delay 0 0 1");
	dm_until(t + 4 * MS);
	CHECK_STR(strstr(dm_status(d, RISER_STATUS_INFO), " delay "), " delay 0 0 0");
	while (!op.done)
		riser_exec_wait(x, TIME_NEVER);
	CHECK_EQ(op.status, RISER_BLK_OK);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
	close(fd);
	unlink(path);
}

TEST(no_delay_counts_nothing)
{
	struct riser_dm *d;
	struct dm_way w;
	struct dm_op op;
	uint64_t t;

	dm_up();
	SUB(d = dm_make("a", "0 64 delay mem:1M 0 0 mem:1M 0 5"));
	SUB(dm_open_way("dm:a", &w));
	t = riser_now(r);
	dm_start(&op, &w, RISER_BLK_READ, 0, 8, got, 0);
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 delay 0 0 0");
	dm_settle();
	CHECK(op.done && op.at == t);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* Suspending waits for nothing, and what comes after resume is delayed again. */
TEST(suspend_lets_go)
{
	struct dm_op ops[40];
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t;

	dm_up();
	SUB(d = dm_make("a", "0 64 delay mem:1M 0 1000 mem:1M 0 2000"));
	SUB(dm_open_way("dm:a", &w));
	t = riser_now(r);
	for (unsigned i = 0; i < array_len(ops); i++)
		dm_start(&ops[i], &w, i % 2 ? RISER_BLK_READ : RISER_BLK_WRITE, i, 1, buf, 0);
	dm_settle();
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 64 delay 20 20 0");
	CHECK_EQ(riser_dm_suspend(d, x, 1, &err), 0);
	dm_settle();
	for (unsigned i = 0; i < array_len(ops); i++)
		CHECK(ops[i].done && ops[i].at == t);
	dm_start(&ops[0], &w, RISER_BLK_READ, 0, 1, buf, 0);
	dm_settle();
	CHECK(!ops[0].done);
	CHECK_EQ(riser_dm_resume(d, x, DM_S, &err), 0);
	dm_until(t + 1000 * MS - 1);
	CHECK(!ops[0].done);
	dm_until(t + 1000 * MS);
	CHECK(ops[0].done);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* Each class goes on in the order in which it came. */
TEST(first_in_first_out)
{
	struct dm_op ops[64];
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t;

	dm_up();
	SUB(d = dm_make("a", "0 64 delay mem:1M 0 10 mem:1M 0 20"));
	SUB(dm_open_way("dm:a", &w));
	t = riser_now(r);
	for (unsigned i = 0; i < array_len(ops); i++) {
		dm_start(&ops[i], &w, i % 3 ? RISER_BLK_READ : RISER_BLK_WRITE, i, 1, buf, 0);
		dm_until(t + (i + 1) * MS);
	}
	dm_until(t + 1000 * MS);
	for (uint64_t i = 0; i < array_len(ops); i++) {
		CHECK(ops[i].done);
		CHECK_EQ(ops[i].at - t, (i + (i % 3 ? 10 : 20)) * MS);
	}
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* What is held back stays so when the table is compiled anew around it. */
TEST(kept_through_a_new_plan)
{
	struct riser_dm *low, *d;
	struct riser_dm_info i;
	struct dm_way w;
	struct dm_op op;
	uint64_t t;

	dm_up();
	SUB(low = dm_make("low", "0 64 linear mem:1M 0"));
	SUB(d = dm_make("a", "0 64 delay mem:2M 0 5\n64 64 linear dm:low 0"));
	SUB(dm_open_way("dm:a", &w));
	t = riser_now(r);
	dm_start(&op, &w, RISER_BLK_READ, 0, 8, got, 0);
	CHECK_EQ(riser_dm_suspend(low, x, DM_S, &err), 0);
	riser_dm_get_info(d, &i);
	CHECK_EQ(i.skips, 0);
	CHECK(op.done);
	CHECK_EQ(op.at, t + 5 * MS);
	t = riser_now(r);
	dm_start(&op, &w, RISER_BLK_READ, 0, 8, got, 0);
	dm_until(t + 5 * MS - 1);
	CHECK(!op.done);
	dm_until(t + 5 * MS);
	CHECK(op.done);
	CHECK_EQ(riser_dm_resume(low, x, DM_S, &err), 0);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	dm_down();
}

TEST_MAIN(CASE(constructor), CASE(status), CASE(complete_at_its_time_and_not_before),
	  CASE(three_classes), CASE(flushes), CASE(no_delay_counts_nothing), CASE(suspend_lets_go),
	  CASE(first_in_first_out), CASE(kept_through_a_new_plan))
