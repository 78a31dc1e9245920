/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* flakey, to the tick of virtual time. */
#include "dm_fixture.h"

static uint64_t buf[64 * 2048], got[64 * 2048];

TEST(constructor)
{
	dm_up();
	DM_WRONG("0 8 flakey", -EINVAL, 12, "a device is missing");
	DM_WRONG("0 8 flakey mem:1M 0", -EINVAL, 21, "the up interval in seconds is missing");
	DM_WRONG("0 8 flakey mem:1M 0 1", -EINVAL, 23, "the down interval in seconds is missing");
	DM_WRONG("0 8 flakey mem:1M 0 x 1", -EINVAL, 21, "has to be a number");
	DM_WRONG("0 8 flakey mem:1M 0 0 0", -EINVAL, 23, "together");
	DM_WRONG("0 8 flakey mem:1M 0 4294967295 1", -EINVAL, 32, "together");
	DM_WRONG("0 8 flakey mem:1M 0 4294967296 1", -EINVAL, 21, "from 0 to 4294967295");
	DM_WRONG("0 8 flakey mem:1M 2041 1 1", -EINVAL, 19, "too small");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 1", -EINVAL, 25,
		 "1 feature arguments are announced, 0 follow");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 0 drop_writes", -EINVAL, 27, "one argument too many");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 1 drop_reads", -EINVAL, 27, "unknown feature");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 2 drop_writes drop_writes", -EINVAL, 39, "twice");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 2 error_reads error_reads", -EINVAL, 39, "twice");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 2 error_writes error_writes", -EINVAL, 40, "twice");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 2 drop_writes error_writes", -EINVAL, 39,
		 "leaves nothing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 2 error_writes drop_writes", -EINVAL, 40,
		 "leaves nothing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 6 drop_writes corrupt_bio_byte 1 w 0 0", -EINVAL, 62,
		 "leaves nothing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 6 corrupt_bio_byte 1 w 0 0 error_writes", -EINVAL, 52,
		 "leaves nothing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 1 corrupt_bio_byte", -EINVAL, 44, "is missing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 5 corrupt_bio_byte 0 r 0 0", -EINVAL, 44, "from 1 to");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 5 corrupt_bio_byte 1 x 0 0", -EINVAL, 46,
		 "neither r nor w");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 5 corrupt_bio_byte 1 r 256 0", -EINVAL, 48, "0 to 255");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 5 corrupt_bio_byte 1 r 0 4294967296", -EINVAL, 50,
		 "mask of flags");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 4 corrupt_bio_byte 1 r 0 0", -EINVAL, 50, "is missing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 10 corrupt_bio_byte 1 r 0 0 corrupt_bio_byte 1 r 0 0",
		 -EINVAL, 53, "twice");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 2 random_read_corrupt 1000000001", -EINVAL, 47,
		 "from 0 to 1000000000");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 1 random_write_corrupt", -EINVAL, 48, "is missing");
	DM_WRONG("0 8 flakey mem:1M 0 1 1 12 a b c d e f g h i j k l", -EINVAL, 25, "0 to 11");
	dm_down();
}

TEST(status)
{
	static const struct {
		const char *table, *shown;
		bool home;
	} t[] = {
		{ "0 8 flakey mem:1M 8 1 2", "0 8 flakey mem:1M 8 1 2 2 error_reads error_writes" },
		{ "0 8 flakey mem:1M 8 1 2 0",
		  "0 8 flakey mem:1M 8 1 2 2 error_reads error_writes" },
		{ "0 8 flakey mem:1M 0 1 2 1 DROP_writes",
		  "0 8 flakey mem:1M 0 1 2 1 drop_writes" },
		{ "0 8 flakey mem:1M 0 0 2 2 error_writes error_reads",
		  "0 8 flakey mem:1M 0 0 2 2 error_reads error_writes" },
		{ "0 8 flakey mem:1M 0 1 0 5 corrupt_bio_byte 32 r 1 0",
		  "0 8 flakey mem:1M 0 1 0 5 corrupt_bio_byte 32 r 1 0" },
		{ "0 8 flakey mem:1M 0 1 2 6 error_reads corrupt_bio_byte 224 w 0 32",
		  "0 8 flakey mem:1M 0 1 2 6 error_reads corrupt_bio_byte 224 w 0 32", true },
		{ "0 8 flakey mem:1M 0 1 2 4 random_write_corrupt 7 random_read_corrupt 8",
		  "0 8 flakey mem:1M 0 1 2 4 random_read_corrupt 8 random_write_corrupt 7", true },
	};
	struct riser_dm_info i;
	struct riser_dm *d;

	dm_up();
	SUB(d = dm_make("a", "0 8 zero"));
	for (size_t n = 0; n < array_len(t); n++) {
		CHECK_EQ(dm_retable(d, t[n].table), 0);
		CHECK_STR(dm_status(d, RISER_STATUS_TABLE), t[n].shown);
		CHECK_EQ(dm_retable(d, t[n].shown), 0); /* what it shows makes it again */
		CHECK_STR(dm_status(d, RISER_STATUS_TABLE), t[n].shown);
		CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 8 flakey ");
		riser_dm_get_info(d, &i);
		CHECK_EQ(i.home, t[n].home);
	}
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* Up and down from when it was loaded, not from when it became live. */
TEST(whole_seconds_from_load)
{
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t;

	dm_up();
	dm_until(DM_S / 3);
	CHECK_EQ(riser_dm_create(r, "a", NULL, 0, &d, &err), 0);
	t = riser_now(r);
	CHECK_EQ(riser_dm_load(d, x, "0 64 flakey mem:1M 0 3 2", &where, &err), 0);
	dm_until(t + DM_S);
	CHECK_EQ(riser_dm_resume(d, x, DM_S, &err), 0);
	SUB(dm_open_way("dm:a", &w));
	for (unsigned cycle = 0; cycle < 3; cycle++, t += 5 * DM_S) {
		dm_until(t + 3 * DM_S - 1);
		CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 1, got), RISER_BLK_OK);
		CHECK_EQ(riser_now(r), t + 3 * DM_S - 1);
		dm_until(t + 3 * DM_S);
		CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 1, got), RISER_BLK_IOERR);
		CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 1, got), RISER_BLK_IOERR);
		CHECK_EQ(dm_rw(&w, RISER_BLK_DISCARD, 0, 1, NULL), RISER_BLK_IOERR);
		CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE_ZEROES, 0, 1, NULL), RISER_BLK_IOERR);
		dm_until(t + 5 * DM_S - 1);
		CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 1, got), RISER_BLK_IOERR);
		dm_until(t + 5 * DM_S);
		CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 1, got), RISER_BLK_OK);
	}
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* One device, by a table that is always down, or one that is honest. */
static struct riser_dm *d;
static struct dm_way w;

static void down_with(const char *feature_words)
{
	char table[256];

	dm_up();
	snprintf(table, sizeof(table), "0 2048 flakey mem:1M 0 0 1 %s", feature_words);
	SUB(d = dm_make("a", table));
	SUB(dm_open_way("dm:a", &w));
}

static void honest(void)
{
	CHECK_EQ(dm_retable(d, "0 2048 linear mem:1M 0"), 0);
}

static void down_end(void)
{
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

TEST(features_of_writes_and_reads)
{
	SUB(down_with("1 drop_writes"));
	honest();
	dm_fill(buf, 0, 8, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 1 drop_writes"), 0);
	dm_fill(buf, 0, 8, 2);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE_ZEROES, 0, 8, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_DISCARD, 0, 8, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_FLUSH, 0, 0, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 8, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 8, 1));
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 1 error_writes"), 0);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 8, buf), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 8, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 8, 1));
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 1 error_reads"), 0);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 8, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&w, RISER_BLK_COMPARE, 0, 8, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 8, buf), RISER_BLK_OK);
	honest();
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 8, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 8, 2));
	down_end();
}

/* How many bytes of @n sectors differ, and the first one's place. */
static unsigned differ(const void *a, const void *b, unsigned n, size_t *first)
{
	const unsigned char *p = a, *q = b;
	unsigned count = 0;

	*first = SIZE_MAX;
	for (size_t i = 0; i < n * 512u; i++)
		if (p[i] != q[i] && !count++)
			*first = i;
	return count;
}

TEST(a_byte_of_reads)
{
	size_t at;

	SUB(down_with("5 corrupt_bio_byte 600 r 77 0"));
	dm_fill(buf, 0, 8, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 8, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 8, got), RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 8, &at), 1);
	CHECK_EQ(at, 599);
	CHECK_EQ(((unsigned char *)got)[599], 77);
	/* Too short for that byte. */
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 1, got), RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 1, &at), 0);
	/* A read has none of these flags. */
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 5 corrupt_bio_byte 1 r 77 1"), 0);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 8, got), RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 8, &at), 0);
	down_end();
}

/* The writer's memory stays as it is, in however many pieces. */
TEST(a_byte_of_writes)
{
	struct riser_blk_io *io;
	struct iovec iov[3] = { { buf, 512 }, { buf + 64, 1 }, { (char *)buf + 513, 511 } };
	struct dm_op op = { 0 };
	size_t at;

	SUB(down_with("5 corrupt_bio_byte 513 w 77 0"));
	dm_fill(buf, 0, 2, 1);
	memcpy(got, buf, 1024);
	io = riser_blk_io_get(w.c);
	io->op = RISER_BLK_WRITE;
	io->flags = 0;
	io->sector = 0;
	io->count = 2;
	io->iov = iov;
	io->iovcnt = 3;
	io->iov_off = 0;
	io->done = dm_op_done;
	io->user = &op;
	riser_blk_submit(io);
	dm_settle();
	CHECK(op.done && op.status == RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 2, &at), 0);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 2, got), RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 2, &at), 1);
	CHECK_EQ(at, 512);
	CHECK_EQ(((unsigned char *)got)[512], 77);
	/* By flags: a write that is FUA (and has no cache to flush). */
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 5 corrupt_bio_byte 1 w 77 131073"), 0);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 2, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 2, got), RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 2, &at), 0);
	CHECK_EQ(riser_blk_rw(w.c, RISER_BLK_WRITE, 0, 2, buf, RISER_BLK_FUA), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 2, got), RISER_BLK_OK);
	CHECK_EQ(differ(buf, got, 2, &at), 1);
	down_end();
}

/* More writes at once than there are copies: all of them are done, in the order in which they came.
 */
TEST(writes_wait_for_a_copy)
{
	enum { N = 100 };
	static struct dm_op ops[N];
	struct riser_dm *slow;
	uint64_t t;
	size_t at;

	dm_up();
	SUB(slow = dm_make("slow", "0 2048 delay mem:1M 0 0 mem:1M 0 10"));
	SUB(d = dm_make("a", "0 2048 flakey dm:slow 0 0 1 5 corrupt_bio_byte 2 w 77 0"));
	SUB(dm_open_way("dm:a", &w));
	dm_fill(buf, 0, N, 1);
	t = riser_now(r);
	for (unsigned i = 0; i < N; i++)
		dm_start(&ops[i], &w, RISER_BLK_WRITE, i, 1, buf + 64 * i, 0);
	dm_settle();
	dm_until(t + DM_S);
	CHECK(dm_filled(buf, 0, N, 1));
	for (unsigned i = 0; i < N; i++) {
		CHECK(ops[i].done && ops[i].status == RISER_BLK_OK);
		CHECK(!i || ops[i].at >= ops[i - 1].at);
	}
	CHECK(ops[N - 1].at > ops[0].at); /* they waited */
	for (unsigned i = 0; i < N; i++) {
		CHECK_EQ(dm_rw(&w, RISER_BLK_READ, i, 1, got), RISER_BLK_OK);
		CHECK_EQ(differ(got, buf + 64 * i, 1, &at), 1);
		CHECK_EQ(at, 1);
	}
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	CHECK_EQ(riser_dm_remove(slow, x, &err), 0);
	dm_down();
}

/* What is larger than a copy is cut, and each piece is a write of its own. */
TEST(large_writes_are_cut)
{
	struct riser_blk_info info;
	unsigned char *bytes = (unsigned char *)got;

	SUB(down_with("5 corrupt_bio_byte 1 w 77 0"));
	riser_blk_get_info(w.b, &info);
	CHECK_EQ(info.max_sectors, 256);
	dm_fill(buf, 0, 600, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 600, buf), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 600, 1));
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 600, got), RISER_BLK_OK);
	for (size_t i = 0; i < 600; i += 256) {
		CHECK_EQ(bytes[i * 512], 77);
		bytes[i * 512] = ((unsigned char *)buf)[i * 512];
	}
	CHECK(dm_filled(got, 0, 600, 1));
	down_end();
}

/* Which bytes of @n writes of a sector each were changed, and to what. */
static unsigned corrupted(uint16_t *where_to, unsigned n)
{
	unsigned count = 0;
	size_t at;

	for (unsigned i = 0; i < n; i++) {
		where_to[i] = 0;
		dm_fill(buf, 0, 1, i);
		dm_rw(&w, RISER_BLK_WRITE, 0, 1, buf);
		dm_rw(&w, RISER_BLK_READ, 0, 1, got);
		if (differ(buf, got, 1, &at) != 1)
			continue;
		where_to[i] = (uint16_t)at;
		count++;
	}
	return count;
}

TEST(random_bytes)
{
	static uint16_t once[2000], again[2000];
	unsigned n;

	SUB(down_with("2 random_write_corrupt 1000000000"));
	n = corrupted(once, 2000); /* but where the value happens to be the same */
	CHECK(n > 1900 && n <= 2000);
	for (unsigned i = 1, same = 0; i < 2000; i++) {
		same += once[i] == once[i - 1];
		CHECK(same < 100);
	}
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 2 random_write_corrupt 1000000000"), 0);
	corrupted(again, 2000);
	CHECK(!memcmp(once, again, sizeof(once)));
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 2 random_write_corrupt 100000000"), 0);
	n = corrupted(once, 2000);
	CHECK(n > 120 && n < 300);
	CHECK_EQ(dm_retable(d, "0 2048 flakey mem:1M 0 0 1 2 random_read_corrupt 1000000000"), 0);
	n = corrupted(once, 2000);
	CHECK(n > 1900);
	honest();
	CHECK_EQ(corrupted(once, 20), 0);
	down_end();
}

/* What an I/O meets is decided when it is submitted, by the state at that moment. */
TEST(down_stays_down)
{
	struct riser_dm *slow;
	struct dm_op in_up, in_down;
	uint64_t t;

	dm_up();
	SUB(slow = dm_make("slow", "0 2048 delay mem:1M 0 1000"));
	t = riser_now(r);
	SUB(d = dm_make("a", "0 2048 flakey dm:slow 0 1 1 5 corrupt_bio_byte 1 r 77 0"));
	SUB(dm_open_way("dm:a", &w));
	dm_until(t + DM_S - 1);
	dm_start(&in_up, &w, RISER_BLK_READ, 0, 1, got, 0);
	dm_until(t + DM_S);
	dm_start(&in_down, &w, RISER_BLK_READ, 0, 1, got + 64, 0);
	dm_until(t + 5 * DM_S);
	CHECK_EQ(in_up.at, t + 2 * DM_S - 1); /* down at that moment */
	CHECK_EQ(in_down.at, t + 2 * DM_S);   /* up at that moment */
	CHECK(dm_zeroes(got, 1));
	CHECK_EQ(got[64], 77);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	CHECK_EQ(riser_dm_remove(slow, x, &err), 0);
	dm_down();
}

TEST_MAIN(CASE(constructor), CASE(status), CASE(whole_seconds_from_load),
	  CASE(features_of_writes_and_reads), CASE(a_byte_of_reads), CASE(a_byte_of_writes),
	  CASE(writes_wait_for_a_copy), CASE(large_writes_are_cut), CASE(random_bytes),
	  CASE(down_stays_down))
