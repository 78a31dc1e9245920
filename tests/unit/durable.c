/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a power cut leaves: a leaf with a volatile cache keeps beside its data what is stable.
 * FUA, PREFLUSH and flush, through layers, cuts and NBD, on leaves that know FUA and that do not.
 */
#include "blk_fixture.h"
#include "nbd_client.h"

#define SECTORS 64

static struct bench t;
static struct fix_leaf *leaf;
static struct riser_blk *under; /* the leaf, where a layer is on it */
static struct riser_blk_channel *ch;
static uint8_t data[SECTORS * 512];
static unsigned ended;

static void on_done(struct riser_blk_io *io)
{
	if (io->status)
		fix_broken("an I/O ended in status %u", io->status);
	ended++;
	riser_blk_io_put(io);
}

static void run_io(enum riser_blk_op op, uint8_t flags, uint64_t sector, uint32_t count)
{
	struct riser_blk_io *io = riser_blk_io_get(ch);

	ended = 0;
	io->op = (uint8_t)op;
	io->flags = flags;
	io->sector = sector;
	io->count = count;
	io->one = (struct iovec){ data + sector * 512, count * 512 };
	io->iov = &io->one;
	io->iovcnt = op == RISER_BLK_FLUSH ? 0 : 1;
	io->done = on_done;
	riser_blk_submit(io);
	while (!ended)
		riser_exec_poll(t.x);
}

static bool is_stable(uint64_t sector, uint32_t count)
{
	return !memcmp(leaf->stable + sector * 512, leaf->data + sector * 512, count * 512);
}

/* A leaf with a volatile cache that takes 8 sectors at a time, with or without a layer on it. */
static void set_up(bool fua, bool layer)
{
	memset(&t, 0, sizeof(t));
	CHECK_EQ(riser_new(NULL, &t.r, &t.err), 0);
	CHECK_EQ(riser_exec_new(t.r, &t.x, &t.err), 0);
	under = fix_leaf_new(t.r, "leaf", SECTORS, FIX_LATE, 0);
	leaf = under->priv;
	under->write_cache = true;
	under->fua = fua;
	under->limits.max_sectors = 8;
	t.b = layer ? fix_linear_new(t.r, "top", under, 0, SECTORS, true) : under;
	snprintf(t.path, sizeof(t.path), "/tmp/riser-durable-%d", getpid());
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 512 + 1);
}

static void tear_down(void)
{
	if (under != t.b)
		riser_blk_close(t.b);
	riser_blk_close(under);
	riser_exec_free(t.x);
	riser_free(t.r);
	CHECK_EQ(fix_bad, 0);
}

static void writing(bool fua, bool layer)
{
	SUB(set_up(fua, layer));
	CHECK_EQ(riser_blk_channel_open(t.b, t.x, 0, &ch, &t.err), 0);
	run_io(RISER_BLK_WRITE, 0, 0, 8);
	CHECK(!is_stable(0, 8));
	run_io(RISER_BLK_WRITE, RISER_BLK_FUA, 8, 8);
	CHECK(is_stable(8, 8));
	/* More than the leaf takes at a time: each piece is as good as the whole. */
	run_io(RISER_BLK_WRITE, RISER_BLK_FUA, 16, 24);
	CHECK(is_stable(16, 24));
	/* The write before a barrier is stable when the barrier has ended. */
	run_io(RISER_BLK_WRITE, 0, 0, 8);
	run_io(RISER_BLK_WRITE, RISER_BLK_PREFLUSH, 40, 8);
	CHECK(is_stable(0, 8));
	CHECK(!is_stable(40, 8));
	run_io(RISER_BLK_WRITE, 0, 48, 16);
	run_io(RISER_BLK_FLUSH, 0, 0, 0);
	CHECK(is_stable(0, SECTORS));
	run_io(RISER_BLK_WRITE_ZEROES, RISER_BLK_FUA, 50, 2);
	CHECK(is_stable(50, 2));
	CHECK_EQ(leaf->data[50 * 512], 0);
	memset(data + 50 * 512, 0, 1024);
	CHECK(!memcmp(leaf->data, data, sizeof(data)));
	riser_blk_channel_close(ch);
	SUB(tear_down());
}

TEST(on_a_leaf_with_fua)
{
	SUB(writing(true, false));
}

TEST(on_a_leaf_without_fua)
{
	SUB(writing(false, false));
}

TEST(through_a_layer)
{
	SUB(writing(true, true));
	SUB(writing(false, true));
}

static void publishing(bool fua)
{
	int fd;

	SUB(set_up(fua, true));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	fd = attach(&t);
	CHECK(fd >= 0);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE, 0, .len = 4096 }, data), 0);
	CHECK(!is_stable(0, 8));
	CHECK_EQ(run(&t, fd, (struct command){ .type = NBD_CMD_FLUSH }, NULL), 0);
	CHECK(is_stable(0, 8));
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 0, 4096, 16384 },
		     data + 4096),
		 0);
	CHECK(is_stable(8, 32));
	CHECK(!memcmp(leaf->data, data, 20480));
	CHECK_EQ(run(&t, fd,
		     (struct command){ NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FUA, 0, 4096, 4096 },
		     NULL),
		 0);
	CHECK(is_stable(8, 8));
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 0, 8192, 4096 },
		     NULL),
		 0);
	CHECK(is_stable(16, 8));
	close(fd);
	riser_publish_stop(t.p);
	SUB(tear_down());
}

TEST(over_nbd)
{
	SUB(publishing(true));
	SUB(publishing(false));
}

/* A publisher that stops leaves nothing in a volatile cache. */
TEST(stopping_flushes)
{
	int fd;

	SUB(set_up(true, false));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	fd = attach(&t);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE, 0, .len = 4096 }, data), 0);
	CHECK(!is_stable(0, 8));
	close(fd);
	riser_publish_stop(t.p);
	CHECK(is_stable(0, 8));
	SUB(tear_down());
}

TEST_MAIN(CASE(on_a_leaf_with_fua), CASE(on_a_leaf_without_fua), CASE(through_a_layer),
	  CASE(over_nbd), CASE(stopping_flushes))
