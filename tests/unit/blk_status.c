/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* BLOCK_STATUS: what sources answer, what the core answers for them, what layers make of it. */
#include "blk_fixture.h"
#include <fcntl.h>

enum { DATA = 0, HOLE = RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO };

static struct riser *r;
static struct riser_exec *x;
static struct riser_err err;

static void set_up(void)
{
	struct riser_opts opts = { .size = sizeof(opts) };

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
}

static void tear_down(void)
{
	riser_exec_free(x);
	riser_free(r);
}

static void set_flag(struct riser_blk_io *io)
{
	*(bool *)io->user = true;
}

struct answer {
	int status;
	uint32_t state, count;
};

static struct answer ask(struct riser_blk_channel *c, uint64_t sector, uint32_t count)
{
	struct riser_blk_io *io = riser_blk_io_get(c);
	struct answer a;
	bool done = false;

	io->op = RISER_BLK_BLOCK_STATUS;
	io->flags = 0;
	io->sector = sector;
	io->count = count;
	io->iov = NULL;
	io->iovcnt = 0;
	io->iov_off = 0;
	io->done = set_flag;
	io->user = &done;
	riser_blk_submit(io);
	while (!done)
		riser_exec_wait(x, TIME_NEVER);
	a = (struct answer){ io->status, io->raw_status, io->count };
	if (io->sector != sector)
		a.status = -1; /* the caller's is given back */
	riser_blk_io_put(io);
	return a;
}

/* [@sector, +@count) has the state @state. */
static void expect(struct riser_blk_channel *c, uint64_t sector, uint32_t count, uint32_t state,
		   uint32_t run)
{
	struct answer a = ask(c, sector, count);

	CHECK_EQ(a.status, RISER_BLK_OK);
	CHECK_EQ(a.state, state);
	CHECK_EQ(a.count, run);
}

static void expect_refused(struct riser_blk_channel *c, uint64_t sector, uint32_t count)
{
	CHECK_EQ(ask(c, sector, count).status, RISER_BLK_INVALID);
}

static void open_uri(const char *uri, uint32_t flags, struct riser_blk **b,
		     struct riser_blk_channel **c)
{
	CHECK_EQ(riser_blk_open(r, uri, flags, b, &err), 0);
	CHECK_EQ(riser_blk_channel_open(*b, x, 0, c, &err), 0);
}

static void close_both(struct riser_blk *b, struct riser_blk_channel *c)
{
	riser_blk_channel_close(c);
	riser_blk_close(b);
}

TEST(mem_knows_what_was_written)
{
	static uint8_t data[MiB];
	struct riser_blk_channel *c;
	struct riser_blk_info info;
	struct riser_blk *b;

	SUB(set_up());
	SUB(open_uri("mem:1T", RISER_BLK_RDWR, &b, &c));
	riser_blk_get_info(b, &info);
	CHECK(info.block_status);
	SUB(expect(c, 0, 2048, HOLE, 2048));
	memset(data, 1, sizeof(data));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 1024, 2048, data, 0), RISER_BLK_OK);
	SUB(expect(c, 0, 1 << 20, HOLE, 1024));
	SUB(expect(c, 1000, 1 << 20, HOLE, 24));
	SUB(expect(c, 1024, 1 << 20, DATA, 2048));
	SUB(expect(c, 1025, 100, DATA, 100));
	SUB(expect(c, 3071, 2, DATA, 1));
	SUB(expect(c, 3072, 1 << 20, HOLE, 1 << 20));
	/* One sector makes its page data. */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 8192 + 3, 1, data, 0), RISER_BLK_OK);
	SUB(expect(c, 3072, 8192, HOLE, 8192 - 3072));
	SUB(expect(c, 8192, 64, DATA, 8));
	/* Zeroes and discards make holes of whole pages, unless they must not. */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE_ZEROES, 1028, 1024, NULL, 0), RISER_BLK_OK);
	SUB(expect(c, 1024, 2048, DATA, 8));
	SUB(expect(c, 1032, 2040, HOLE, 1016));
	SUB(expect(c, 2048, 1024, DATA, 1024));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_DISCARD, 2048, 512, NULL, 0), RISER_BLK_OK);
	SUB(expect(c, 1032, 2040, HOLE, 1528));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE_ZEROES, 1032, 8, NULL, RISER_BLK_NOUNMAP),
		 RISER_BLK_OK);
	SUB(expect(c, 1024, 2048, DATA, 16));
	/* The rules of every I/O. */
	SUB(expect_refused(c, 0, 0));
	SUB(expect_refused(c, info.sectors, 1));
	SUB(expect_refused(c, info.sectors - 1, 2));
	SUB(expect(c, info.sectors - 1, 1, HOLE, 1));
	close_both(b, c);
	tear_down();
}

/* However far it looks, the answer is a prefix of the truth. */
TEST(a_long_look_is_cut_not_wrong)
{
	static uint8_t data[4096];
	struct riser_blk_channel *c;
	uint64_t sector = 0, want = (100ull << 30) / 512;
	struct riser_blk *b;
	unsigned asked = 0;

	SUB(set_up());
	SUB(open_uri("mem:1T", RISER_BLK_RDWR, &b, &c));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, want, 8, data, 0), RISER_BLK_OK);
	for (; sector < want; asked++) {
		struct answer a = ask(c, sector, 1u << 30);

		CHECK_EQ(a.status, RISER_BLK_OK);
		CHECK_EQ(a.state, HOLE);
		CHECK(a.count > 0);
		sector += a.count;
	}
	CHECK_EQ(sector, want);
	CHECK(asked > 1);
	SUB(expect(c, want, 1000, DATA, 8));
	close_both(b, c);
	tear_down();
}

TEST(blocks_larger_than_a_page)
{
	static uint8_t data[65536];
	struct riser_blk_channel *c;
	struct riser_blk *b;

	SUB(set_up());
	SUB(open_uri("mem:16M?block=65536", RISER_BLK_RDWR, &b, &c));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 128, 128, data, 0), RISER_BLK_OK);
	SUB(expect(c, 0, 512, HOLE, 128));
	SUB(expect(c, 128, 512, DATA, 128));
	SUB(expect_refused(c, 1, 128));
	close_both(b, c);
	tear_down();
}

TEST(who_does_not_know_says_data)
{
	struct riser_blk_channel *c;
	struct riser_blk_info info;
	struct riser_blk *b;

	SUB(set_up());
	SUB(open_uri("null:4T", 0, &b, &c)); /* read-only too */
	riser_blk_get_info(b, &info);
	CHECK(!info.block_status);
	SUB(expect(c, 7, UINT32_MAX - 7, DATA, UINT32_MAX - 7));
	SUB(expect_refused(c, info.sectors, 1));
	close_both(b, c);
	tear_down();
}

/* A file of 1 MiB and a half sector, with 64 KiB of data at @at. */
static void make_file(const char *path, off_t at, bool *holes)
{
	static uint8_t data[65536];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	memset(data, 7, sizeof(data));
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, MiB + 256), 0);
	CHECK_EQ(pwrite(fd, data, sizeof(data), at), (ssize_t)sizeof(data));
	*holes = lseek(fd, 0, SEEK_DATA) > 0;
	close(fd);
}

TEST(a_file_tells_its_holes)
{
	char path[] = "/tmp/riser-status-XXXXXX", uri[64];
	struct riser_blk_channel *c;
	struct riser_blk *b;
	bool holes = false;

	SUB(set_up());
	close(mkstemp(path));
	SUB(make_file(path, 128 * KiB, &holes));
	if (!holes) {
		unlink(path);
		tear_down();
		SKIP("no holes on the file system of /tmp");
	}
	snprintf(uri, sizeof(uri), "file:%s", path);
	SUB(open_uri(uri, 0, &b, &c));
	SUB(expect(c, 0, 2049, HOLE, 256));
	SUB(expect(c, 256, 1793, DATA, 128));
	SUB(expect(c, 300, 10, DATA, 10));
	/* To its end, and what it was rounded up by. */
	SUB(expect(c, 384, 2049 - 384, HOLE, 2049 - 384));
	SUB(expect(c, 2048, 1, HOLE, 1));
	/* What somebody cuts off does not become a hole: a read of it fails. */
	CHECK_EQ(truncate(path, 512 * KiB), 0);
	SUB(expect(c, 384, 2049 - 384, HOLE, 1024 - 384));
	SUB(expect(c, 1024, 100, DATA, 100));
	close_both(b, c);
	unlink(path);
	tear_down();
}

/* Blocks are larger than what the file system keeps: a block that is partly a hole is data. */
TEST(a_block_of_a_file_has_one_state)
{
	char path[] = "/tmp/riser-status-XXXXXX", uri[64];
	struct riser_blk_channel *c;
	struct riser_blk *b;
	bool holes = false;

	SUB(set_up());
	close(mkstemp(path));
	SUB(make_file(path, 144 * KiB, &holes));
	if (!holes) {
		unlink(path);
		tear_down();
		SKIP("no holes on the file system of /tmp");
	}
	snprintf(uri, sizeof(uri), "file:%s?block=65536", path);
	SUB(open_uri(uri, 0, &b, &c));
	SUB(expect(c, 0, 2176, HOLE, 256));
	SUB(expect(c, 256, 1920, DATA, 128));
	SUB(expect(c, 384, 1792, DATA, 128));
	SUB(expect(c, 512, 1664, HOLE, 1664));
	close_both(b, c);
	unlink(path);
	tear_down();
}

/* Shifted by a layer, cut by nobody's limits, and not counted as data. */
static void through_a_layer(bool fast)
{
	static uint8_t data[4096];
	struct riser_blk_channel *below, *c;
	struct riser_blk *mem, *b;
	struct riser_blk_stats stats;

	SUB(set_up());
	SUB(open_uri("mem:64M", RISER_BLK_RDWR, &mem, &below));
	CHECK_EQ(riser_blk_rw(below, RISER_BLK_WRITE, 4096, 8, data, 0), RISER_BLK_OK);
	mem->limits.max_sectors = 8;
	b = fix_linear_new(r, "linear", mem, 1024, 8192, fast);
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c, &err), 0);
	SUB(expect(c, 0, 8192, HOLE, 3072));
	SUB(expect(c, 3072, 1000, DATA, 8));
	SUB(expect(c, 3080, 8192 - 3080, HOLE, 8192 - 3080));
	SUB(expect_refused(c, 8192, 1));
	b->block_status = false; /* as one that changes data would have it */
	SUB(expect(c, 0, 8192, DATA, 8192));
	riser_blk_channel_stats(c, &stats);
	CHECK_EQ(stats.splits, 0);
	close_both(b, c);
	close_both(mem, below);
	tear_down();
}

TEST(a_layer_shifts_it)
{
	SUB(through_a_layer(false));
	SUB(through_a_layer(true));
}

TEST(a_home_device_passes_it)
{
	static uint8_t data[4096];
	struct riser_blk *mem, *b;
	struct riser_blk_channel *c;

	SUB(set_up());
	CHECK_EQ(riser_blk_open(r, "mem:64M", RISER_BLK_RDWR, &mem, &err), 0);
	b = fix_linear_new(r, "home", mem, 8, 1000, true);
	fix_linear_set_home(b, true);
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c, &err), 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 8, 8, data, 0), RISER_BLK_OK);
	SUB(expect(c, 0, 100, HOLE, 8));
	SUB(expect(c, 8, 100, DATA, 8));
	close_both(b, c);
	riser_blk_close(mem);
	tear_down();
}

TEST_MAIN(CASE(mem_knows_what_was_written), CASE(a_long_look_is_cut_not_wrong),
	  CASE(blocks_larger_than_a_page), CASE(who_does_not_know_says_data),
	  CASE(a_file_tells_its_holes), CASE(a_block_of_a_file_has_one_state),
	  CASE(a_layer_shifts_it), CASE(a_home_device_passes_it))
