/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* virtio-blk as a block device, over a device of the test's own. */
#include "vblk_device.h"
#include <riser/util.h>

static struct riser_err err;

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct fake *f;
	struct vblk *d;
	struct riser_blk *b;
	struct riser_blk_channel *c;
	uint8_t *buf, *back; /* 1 MiB each, of the channel */
};

static struct rig g;

static void begin(void)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	memset(&g, 0, sizeof(g));
	CHECK_EQ(riser_new(&opts, &g.r, &err), 0);
	CHECK_EQ(riser_exec_new(g.r, &g.x, &err), 0);
	g.f = fake_new(g.r);
}

static void up(void)
{
	void *p;

	if (fake_open(g.f, &g.d, &err))
		FAIL("%s", err.text);
	CHECK_EQ(blk_virtio_new(g.d, &g.b, &err), 0);
	CHECK_EQ(riser_blk_channel_open(g.b, g.x, 0, &g.c, &err), 0);
	CHECK_EQ(riser_blk_buf_alloc(g.c, MiB, &p, &err), 0);
	g.buf = p;
	CHECK_EQ(riser_blk_buf_alloc(g.c, MiB, &p, &err), 0);
	g.back = p;
	for (size_t i = 0; i < MiB; i++)
		g.buf[i] = (uint8_t)(i * 13 + (i >> 9));
}

static void down(void)
{
	riser_blk_buf_free(g.c, g.buf, MiB);
	riser_blk_buf_free(g.c, g.back, MiB);
	riser_blk_channel_close(g.c);
	riser_blk_close(g.b);
	riser_exec_free(g.x);
	riser_free(g.r);
}

static int rw(enum riser_blk_op op, uint64_t sector, uint32_t count, void *buf)
{
	return riser_blk_rw(g.c, op, sector, count, buf, 0);
}

static void there_and_back(uint64_t sector, uint32_t count, size_t off)
{
	CHECK_EQ(rw(RISER_BLK_WRITE, sector, count, g.buf + off), RISER_BLK_OK);
	CHECK(!memcmp(g.buf + off, g.f->disk + sector * 512, count * 512));
	memset(g.back + off, 0, count * 512);
	CHECK_EQ(rw(RISER_BLK_READ, sector, count, g.back + off), RISER_BLK_OK);
	CHECK(!memcmp(g.buf + off, g.back + off, count * 512));
}

static struct riser_blk_stats stats(void)
{
	struct riser_blk_stats s;

	riser_blk_channel_stats(g.c, &s);
	return s;
}

TEST(every_operation)
{
	struct riser_blk_info info;

	SUB(begin());
	SUB(up());
	riser_blk_get_info(g.b, &info);
	CHECK_STR(info.description, "virtio disk SERIAL-1 by test, 2 queues");
	CHECK_EQ(info.sectors, FAKE_SECTORS);
	CHECK(info.write_cache && info.discard && info.write_zeroes && !info.fua);
	SUB(there_and_back(0, 1, 0));
	SUB(there_and_back(FAKE_SECTORS - 1, 1, 0));
	SUB(there_and_back(100, 8, 4096 - 512));
	SUB(there_and_back(7, 400, 1111)); /* from the middle of a page, many pages */
	CHECK_EQ(stats().bounces, 0);
	CHECK_EQ(stats().splits, 0);
	CHECK(g.f->segs_most > 40); /* the pages are swapped for the device */
	CHECK_EQ(rw(RISER_BLK_FLUSH, 0, 0, NULL), RISER_BLK_OK);
	CHECK_EQ(g.f->flushes, 1);
	CHECK_EQ(rw(RISER_BLK_DISCARD, 16, 16, NULL), RISER_BLK_OK);
	CHECK_EQ(g.f->disk[16 * 512], 0xdd);
	CHECK_EQ(g.f->disk[32 * 512 - 1], 0xdd);
	CHECK(g.f->disk[16 * 512 - 1] != 0xdd);
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 16, 8, NULL), RISER_BLK_OK);
	CHECK_EQ(g.f->unmaps, 1);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE_ZEROES, 24, 8, NULL, RISER_BLK_NOUNMAP),
		 RISER_BLK_OK);
	CHECK_EQ(g.f->zeroes, 2);
	CHECK_EQ(g.f->unmaps, 1);
	CHECK_EQ(g.f->disk[16 * 512], 0);
	CHECK_EQ(g.f->disk[32 * 512 - 1], 0);
	down();
}

/* Pieces of 1 KiB, two in a request: what is longer is cut, what lies in more is copied. */
TEST(limits_are_kept)
{
	SUB(begin());
	g.f->dev.offered |= VIRTIO_BIT(RISER_VIRTIO_BLK_F_SIZE_MAX);
	g.f->config.size_max = to_le32(1024);
	g.f->config.seg_max = to_le32(2);
	SUB(up());
	SUB(there_and_back(3, 100, 0));
	CHECK(g.f->segs_most <= 2);
	CHECK(g.f->len_most <= 1024);
	CHECK(stats().splits >= 2 * 50);
	SUB(there_and_back(3, 2, 4096 - 100));
	CHECK(g.f->segs_most <= 2);
	down();
}

/* Without SEG_MAX there is one piece. */
TEST(one_piece_is_enough)
{
	SUB(begin());
	g.f->dev.offered &= ~VIRTIO_BIT(RISER_VIRTIO_BLK_F_SEG_MAX);
	SUB(up());
	SUB(there_and_back(3, 100, 0));
	SUB(there_and_back(3, 100, 700));
	CHECK_EQ(g.f->segs_most, 1);
	CHECK(stats().bounces > 0);
	down();
}

/* What the device says of itself is believed where it makes sense. */
TEST(features_say_what_it_is)
{
	struct riser_blk_info info;

	SUB(begin());
	g.f->dev.offered |=
		VIRTIO_BIT(RISER_VIRTIO_BLK_F_RO) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_BIT(RISER_VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_CONFIG_WCE);
	g.f->dev.offered &=
		~(VIRTIO_BIT(RISER_VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_FLUSH));
	g.f->config.blk_size = to_le32(4096);
	g.f->config.physical_block_exp = 2;
	g.f->serial = NULL;
	SUB(up());
	riser_blk_get_info(g.b, &info);
	CHECK(info.read_only && !info.write_cache && !info.discard);
	CHECK_EQ(info.logical_block, 4096);
	CHECK_EQ(info.physical_block, 16384);
	CHECK_STR(info.description, "virtio disk by test, 2 queues");
	CHECK_EQ(rw(RISER_BLK_FLUSH, 0, 0, NULL), RISER_BLK_OK);
	CHECK_EQ(g.f->flushes, 0); /* every write is through */
	CHECK_EQ(rw(RISER_BLK_READ, 1, 1, g.back), RISER_BLK_INVALID);
	CHECK_EQ(rw(RISER_BLK_WRITE, 0, 8, g.buf), RISER_BLK_INVALID);
	down();
}

/* A cache that a device has, and denies: whoever flushes loses nothing. */
TEST(a_cache_is_flushed_whatever_is_said_of_it)
{
	SUB(begin());
	g.f->dev.offered |= VIRTIO_BIT(RISER_VIRTIO_BLK_F_CONFIG_WCE);
	g.f->config.writeback = 0;
	SUB(up());
	CHECK_EQ(rw(RISER_BLK_FLUSH, 0, 0, NULL), RISER_BLK_OK);
	CHECK_EQ(g.f->flushes, 1);
	CHECK(!virtio_has(&g.f->dev, RISER_VIRTIO_BLK_F_CONFIG_WCE));
	down();
}

static void refuses(uint64_t capacity, uint32_t block, const char *why)
{
	SUB(begin());
	g.f->dev.offered |= VIRTIO_BIT(RISER_VIRTIO_BLK_F_BLK_SIZE);
	g.f->config.capacity = to_le64(capacity);
	g.f->config.blk_size = to_le32(block);
	CHECK_EQ(fake_open(g.f, &g.d, &err), -EIO);
	CHECK_HAS(err.text, why);
	riser_exec_free(g.x);
	riser_free(g.r);
}

TEST(nonsense_is_refused)
{
	SUB(refuses(8192, 0, "a block size of 0"));
	SUB(refuses(8192, 1000, "a block size of 1000"));
	SUB(refuses(8192, 256, "a block size of 256"));
	SUB(refuses(8192, 1 << 20, "a block size of 1048576"));
	SUB(refuses(0, 512, "a capacity of 0"));
	SUB(refuses(9, 4096, "a capacity of 9"));
	SUB(refuses(UINT64_MAX, 512, "a capacity of"));
	SUB(begin());
	g.f->mute = true;
	CHECK_EQ(fake_open(g.f, &g.d, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "does not answer");
	riser_exec_free(g.x);
	riser_free(g.r);
}

TEST(status_and_length_are_looked_at)
{
	SUB(begin());
	SUB(up());
	g.f->answer = RISER_VIRTIO_BLK_S_IOERR;
	CHECK_EQ(rw(RISER_BLK_WRITE, 0, 8, g.buf), RISER_BLK_IOERR);
	g.f->answer = 77;
	CHECK_EQ(rw(RISER_BLK_READ, 0, 8, g.back), RISER_BLK_TARGET);
	/* What it does not do after all is written. */
	g.f->answer = RISER_VIRTIO_BLK_S_UNSUPP;
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 8, 8, NULL), RISER_BLK_OK);
	CHECK_EQ(g.f->zeroes, 0);
	CHECK_EQ(g.f->disk[8 * 512], 0);
	CHECK_EQ(g.f->disk[16 * 512 - 1], 0);
	CHECK_EQ(rw(RISER_BLK_DISCARD, 8, 8, NULL), RISER_BLK_NOTSUPP);
	g.f->answer = 0;
	g.f->shorter = 2;
	CHECK_EQ(rw(RISER_BLK_READ, 0, 8, g.back), RISER_BLK_TARGET);
	g.f->shorter = 1; /* all of the data: who counts the status is a matter of taste */
	CHECK_EQ(rw(RISER_BLK_READ, 0, 8, g.back), RISER_BLK_OK);
	down();
}

/* --- A bad day --- */

static unsigned ended, statuses[16];
static uint64_t order[16];

static void on_done(struct riser_blk_io *io)
{
	order[ended] = io->sector;
	statuses[ended++] = io->status;
	riser_blk_io_put(io);
}

static void submit(enum riser_blk_op op, uint64_t sector, void *buf)
{
	struct riser_blk_io *io = riser_blk_io_get(g.c);

	CHECK(io);
	io->op = (uint8_t)op;
	io->flags = 0;
	io->sector = sector;
	io->count = op == RISER_BLK_FLUSH ? 0 : 8;
	io->one = (struct iovec){ buf, 4096 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = on_done;
	riser_blk_submit(io);
}

static void wait_ended(unsigned n)
{
	for (unsigned i = 0; i < 100000 && ended < n; i++)
		riser_exec_wait(g.x, NS_PER_S);
	CHECK_EQ(ended, n);
}

static void bad_day(void)
{
	SUB(begin());
	SUB(up());
	ended = 0;
	CHECK_EQ(rw(RISER_BLK_READ, 0, 8, g.back), RISER_BLK_OK);
	g.f->held = true;
	submit(RISER_BLK_WRITE, 8, g.buf);
	submit(RISER_BLK_READ, 16, g.back);
	submit(RISER_BLK_FLUSH, 0, NULL);
	riser_exec_poll(g.x);
	riser_exec_poll(g.x);
	CHECK_EQ(ended, 0);
}

/* One request is lost: the device is reset, what changes nothing is done again. */
TEST(a_deadline_resets_the_device)
{
	uint64_t from;

	SUB(bad_day());
	from = riser_now(g.r);
	g.f->hold_type = RISER_VIRTIO_BLK_T_OUT;
	g.f->held = false;
	SUB(wait_ended(3));
	CHECK_EQ(g.f->resets, 1);
	CHECK(riser_now(g.r) - from >= 5 * NS_PER_S && riser_now(g.r) - from < 6 * NS_PER_S);
	CHECK_EQ(statuses[2], RISER_BLK_UNKNOWN_OUTCOME);
	CHECK_EQ(order[2], 8);
	CHECK_EQ(statuses[0], RISER_BLK_OK);
	CHECK_EQ(statuses[1], RISER_BLK_OK);
	SUB(there_and_back(8, 8, 0)); /* and on it goes */
	down();
}

TEST(reads_are_sent_again)
{
	SUB(bad_day());
	g.f->hold_type = RISER_VIRTIO_BLK_T_IN;
	g.f->held = false;
	SUB(wait_ended(3));
	CHECK_EQ(g.f->resets, 1);
	CHECK_EQ(statuses[0] | statuses[1] | statuses[2], RISER_BLK_OK);
	CHECK_EQ(order[2], 16);
	CHECK(!memcmp(g.back, g.f->disk + 16 * 512, 4096));
	CHECK_EQ(stats().retries, 1);
	down();
}

TEST(what_is_never_answered_times_out)
{
	SUB(bad_day());
	g.f->mute = true;
	g.f->held = false;
	SUB(wait_ended(3));
	CHECK_EQ(g.f->resets, 5); /* once, and after each of four tries more */
	CHECK_EQ(statuses[0], RISER_BLK_UNKNOWN_OUTCOME);
	CHECK_EQ(statuses[1], RISER_BLK_TIMEOUT);
	CHECK_EQ(statuses[2], RISER_BLK_TIMEOUT);
	g.f->mute = false;
	SUB(there_and_back(8, 8, 0));
	down();
}

TEST(it_may_ask_for_a_reset)
{
	SUB(bad_day());
	g.f->status |= RISER_VIRTIO_STATUS_NEEDS_RESET;
	SUB(wait_ended(1));
	CHECK_EQ(statuses[0], RISER_BLK_UNKNOWN_OUTCOME);
	CHECK_EQ(g.f->resets, 1);
	g.f->held = false;
	SUB(wait_ended(3));
	CHECK_EQ(statuses[1] | statuses[2], RISER_BLK_OK);
	SUB(there_and_back(8, 8, 0));
	down();
}

/* A ring that lies breaks the device, which is reset. */
TEST(a_used_id_that_was_never_given_breaks_it)
{
	struct riser_virtq_used *used;

	SUB(bad_day());
	used = fake_at(g.f, g.f->queues[0].l.device, 12);
	used->ring[le16(used->idx) % FAKE_SIZE].id = to_le32(12345);
	store_release((uint16_t *)(void *)&used->idx, to_le16((uint16_t)(le16(used->idx) + 1)).raw);
	SUB(wait_ended(1));
	CHECK_EQ(statuses[0], RISER_BLK_UNKNOWN_OUTCOME);
	CHECK_EQ(g.f->resets, 1);
	g.f->held = false;
	SUB(wait_ended(3));
	CHECK_EQ(statuses[1] | statuses[2], RISER_BLK_OK);
	CHECK_EQ(g.f->resets, 1); /* for what it wrote before, it is not blamed again */
	down();
}

static unsigned gone_told, resized_told;

static void on_event(struct riser_blk *b, enum riser_blk_event event, void *user)
{
	gone_told += event == RISER_BLK_EVENT_GONE;
	resized_told += event == RISER_BLK_EVENT_RESIZED;
}

TEST(one_that_is_gone_is_offline)
{
	SUB(bad_day());
	gone_told = 0;
	riser_blk_on_event(g.b, on_event, NULL);
	riser_exec_poll(g.x); /* who begins to listen looks once */
	g.f->gone = true;
	SUB(wait_ended(3));
	CHECK_EQ(statuses[0], RISER_BLK_UNKNOWN_OUTCOME);
	CHECK_EQ(statuses[1], RISER_BLK_OFFLINE);
	CHECK_EQ(statuses[2], RISER_BLK_OFFLINE);
	CHECK_EQ(gone_told, 1);
	CHECK_EQ(rw(RISER_BLK_READ, 0, 8, g.back), RISER_BLK_OFFLINE);
	riser_blk_on_event(g.b, NULL, NULL);
	down();
}

/* A vhost-user backend went and came back: all is sent again, and nobody notices. */
TEST(another_backend_gets_what_was_in_flight)
{
	SUB(bad_day());
	g.f->dev.epoch++;
	g.f->held = false;
	SUB(wait_ended(3));
	CHECK_EQ(g.f->resets, 0);
	CHECK_EQ(statuses[0] | statuses[1] | statuses[2], RISER_BLK_OK);
	CHECK_EQ(order[0], 8);
	CHECK_EQ(order[1], 16);
	CHECK(!memcmp(g.buf, g.f->disk + 8 * 512, 4096));
	CHECK_EQ(stats().retries, 3);
	SUB(there_and_back(8, 8, 0));
	down();
}

TEST(it_may_grow)
{
	struct riser_blk_info info;

	SUB(begin());
	g.f->config.capacity = to_le64(FAKE_SECTORS / 2);
	SUB(up());
	resized_told = 0;
	riser_blk_on_event(g.b, on_event, NULL);
	CHECK_EQ(rw(RISER_BLK_READ, FAKE_SECTORS / 2, 8, g.back), RISER_BLK_INVALID);
	g.f->config.capacity = to_le64(FAKE_SECTORS);
	for (unsigned i = 0; i < 10000 && !resized_told; i++)
		riser_exec_wait(g.x, NS_PER_S);
	CHECK_EQ(resized_told, 1);
	riser_blk_get_info(g.b, &info);
	CHECK_EQ(info.sectors, FAKE_SECTORS);
	SUB(there_and_back(FAKE_SECTORS - 8, 8, 0));
	riser_blk_on_event(g.b, NULL, NULL);
	down();
}

/* --- Owners --- */

/* Two queues: the third executor's I/O goes through one of them. */
TEST(owners_share_when_queues_run_out)
{
	struct riser_blk_channel *c[3] = { NULL };
	struct riser_blk_stats s;
	struct riser_exec *x[3];

	SUB(begin());
	SUB(up());
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(riser_exec_new(g.r, &x[i], &err), 0);
		CHECK_EQ(riser_blk_channel_open(g.b, x[i], 0, &c[i], &err), 0);
		riser_blk_channel_stats(c[i], &s);
		CHECK_EQ(s.hops, i > 0); /* one is ours already */
	}
	CHECK_EQ(riser_blk_rw(c[0], RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OK);
	CHECK(g.f->queues[1].seen == 1);
	riser_blk_channel_close(c[0]);
	riser_blk_channel_close(c[1]);
	riser_blk_channel_close(c[2]);
	for (unsigned i = 0; i < 3; i++)
		riser_exec_free(x[i]);
	SUB(there_and_back(8, 8, 0));
	down();
}

static unsigned many;

static void one_of_many(struct riser_blk_io *io)
{
	many += io->status == RISER_BLK_OK;
	riser_blk_io_put(io);
}

/* More than a queue has room for. */
TEST(a_full_queue_is_waited_for)
{
	SUB(begin());
	SUB(up());
	many = 0;
	for (unsigned i = 0; i < 128; i++) {
		struct riser_blk_io *io = riser_blk_io_get(g.c);

		CHECK(io);
		io->op = RISER_BLK_READ;
		io->flags = 0;
		io->sector = i * 8;
		io->count = 8;
		io->one = (struct iovec){ g.back + i * 4096, 4096 };
		io->iov = &io->one;
		io->iovcnt = 1;
		io->iov_off = 0;
		io->done = one_of_many;
		riser_blk_submit(io);
	}
	for (unsigned i = 0; i < 1000 && many < 128; i++)
		riser_exec_poll(g.x);
	CHECK_EQ(many, 128);
	CHECK(!memcmp(g.back, g.f->disk, 128 * 4096));
	down();
}

TEST_MAIN(CASE(every_operation), CASE(limits_are_kept), CASE(one_piece_is_enough),
	  CASE(features_say_what_it_is), CASE(a_cache_is_flushed_whatever_is_said_of_it),
	  CASE(nonsense_is_refused), CASE(status_and_length_are_looked_at),
	  CASE(a_deadline_resets_the_device), CASE(reads_are_sent_again),
	  CASE(what_is_never_answered_times_out), CASE(it_may_ask_for_a_reset),
	  CASE(a_used_id_that_was_never_given_breaks_it), CASE(one_that_is_gone_is_offline),
	  CASE(another_backend_gets_what_was_in_flight), CASE(it_may_grow),
	  CASE(owners_share_when_queues_run_out), CASE(a_full_queue_is_waited_for))
