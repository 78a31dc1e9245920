/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What a controller tells by itself, as the block device's events. */
#include "../tap.h"
#include "base/util.h"
#include <errno.h>
#include <riser/blk.h>
#include <riser/nvme.h>

static struct riser_err err;
static struct riser *r;
static struct riser_exec *x;
static struct riser_blk *b;
static struct riser_blk_channel *c;
static unsigned events[3];
static uint8_t buf[4096];

static void on_event(struct riser_blk *dev, enum riser_blk_event event, void *user)
{
	if (dev == b && user == &events)
		events[event]++;
}

static void begin(const char *uri, uint32_t context)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = context };

	memset(events, 0, sizeof(events));
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	if (riser_blk_open(r, uri, RISER_BLK_RDWR, &b, &err))
		FAIL("%s", err.text);
	riser_blk_on_event(b, on_event, &events);
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c, &err), 0);
}

static void finish(void)
{
	riser_blk_channel_close(c);
	riser_blk_close(b);
	riser_exec_free(x);
	riser_free(r);
}

static uint64_t sectors(void)
{
	struct riser_blk_info info;

	riser_blk_get_info(b, &info);
	return info.sectors;
}

static int rw(enum riser_blk_op op, uint64_t sector)
{
	return riser_blk_rw(c, op, sector, 8, buf, 0);
}

/* The alarm names us where it does not come. */
static void expect(enum riser_blk_event event, unsigned n)
{
	while (events[event] < n)
		riser_exec_wait(x, NS_PER_MS);
	CHECK_EQ(events[event], n);
}

/* It is 32 MiB large when it is identified first; each write zeroes makes it larger. */
#define GROWS                                                                                      \
	"resize=32M,opcode=identify,nsid=1;resize=48M,opcode=write-zeroes;"                        \
	"resize=64M,opcode=write-zeroes,nth=2"

static void growing(const char *uri, uint32_t context)
{
	SUB(begin(uri, context));
	CHECK_EQ(sectors(), 32 * MiB / 512);
	CHECK_EQ(rw(RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_INVALID);
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	SUB(expect(RISER_BLK_EVENT_RESIZED, 1));
	CHECK_EQ(sectors(), 48 * MiB / 512);
	CHECK_EQ(rw(RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_OK);
	/* The controller tells once more only because what it told was read. */
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	SUB(expect(RISER_BLK_EVENT_RESIZED, 2));
	CHECK_EQ(sectors(), 64 * MiB / 512);
	CHECK_EQ(rw(RISER_BLK_READ, 64 * MiB / 512 - 8), RISER_BLK_OK);
	SUB(finish());
}

TEST(a_namespace_grows)
{
	SUB(growing("model:nvme?size=64M&fault=" GROWS, RISER_VIRTUAL_TIME));
	SUB(growing("model:nvme?size=64M&fault=" GROWS, RISER_NO_MEMBARRIER));
	SUB(growing("model:nvme?size=64M&mode=thread&fault=" GROWS, 0));
}

static int ended;

static void on_done(struct riser_blk_io *io)
{
	ended = io->status;
	riser_blk_io_put(io);
}

/* With one hardware queue the second executor's I/O goes through the first. */
TEST(a_namespace_grows_behind_a_shared_queue)
{
	struct riser_blk_channel *d;
	struct riser_blk_stats stats;
	struct riser_blk_io *io;
	struct riser_exec *y;

	SUB(begin("model:nvme?size=64M&queues=1&fault=" GROWS, 0));
	CHECK_EQ(riser_exec_new(r, &y, &err), 0);
	CHECK_EQ(riser_blk_channel_open(b, y, 0, &d, &err), 0);
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	SUB(expect(RISER_BLK_EVENT_RESIZED, 1));
	io = riser_blk_io_get(d);
	io->op = RISER_BLK_WRITE;
	io->sector = 40 * MiB / 512;
	io->count = 8;
	io->one = (struct iovec){ buf, sizeof(buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = on_done;
	ended = -1;
	riser_blk_submit(io);
	while (ended < 0) {
		riser_exec_poll(y);
		riser_exec_poll(x);
	}
	CHECK_EQ(ended, RISER_BLK_OK);
	riser_blk_channel_stats(d, &stats);
	CHECK_EQ(stats.hops, 1);
	riser_blk_channel_close(d);
	riser_exec_free(y);
	SUB(finish());
}

TEST(a_namespace_that_shrinks_in_use_keeps_its_size)
{
	SUB(begin("model:nvme?size=64M&fault=resize=32M,opcode=write-zeroes", RISER_VIRTUAL_TIME));
	CHECK_EQ(rw(RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_OK);
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	CHECK_EQ(rw(RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_TARGET);
	CHECK_EQ(riser_blk_refresh(b, x, &err), -EBUSY);
	CHECK_EQ(sectors(), 64 * MiB / 512);
	CHECK_EQ(rw(RISER_BLK_WRITE, 0), RISER_BLK_OK);
	riser_blk_channel_close(c);
	CHECK_EQ(riser_blk_refresh(b, NULL, &err), 0);
	CHECK_EQ(sectors(), 32 * MiB / 512);
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c, &err), 0);
	CHECK_EQ(rw(RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_INVALID);
	SUB(finish());
}

/* Its blocks are of another size: where a write went, nobody knows. None goes there. */
TEST(a_namespace_that_is_formatted_anew_is_gone)
{
	struct riser_nvme_opts opts = { .size = sizeof(opts), .flags = RISER_NVME_RDWR };
	struct riser_nvme_admin format = {
		.sqe = { .opcode = RISER_NVME_ADM_FORMAT, .nsid = to_le32(1), .cdw10 = to_le32(1) },
	};
	struct riser_nvme *h;

	SUB(begin("model:nvme?size=64M", RISER_VIRTUAL_TIME));
	CHECK_EQ(rw(RISER_BLK_WRITE, 8), RISER_BLK_OK);
	CHECK_EQ(riser_nvme_open(r, "model:nvme?size=64M", &opts, &h, &err), 0);
	CHECK_EQ(riser_nvme_admin(h, x, &format), 0);
	SUB(expect(RISER_BLK_EVENT_GONE, 1));
	CHECK_EQ(rw(RISER_BLK_WRITE, 8), RISER_BLK_OFFLINE);
	CHECK_EQ(rw(RISER_BLK_READ, 8), RISER_BLK_OFFLINE);
	CHECK_EQ(rw(RISER_BLK_FLUSH, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(riser_blk_refresh(b, x, &err), -ENODEV);
	CHECK_HAS(err.text, "formatted anew");
	CHECK_EQ(events[RISER_BLK_EVENT_GONE], 1);
	riser_nvme_close(h);
	SUB(finish());
}

static void vanishing(const char *uri, uint32_t context)
{
	SUB(begin(uri, context));
	CHECK_EQ(rw(RISER_BLK_WRITE, 8), RISER_BLK_OK);
	CHECK_EQ(rw(RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_UNKNOWN_OUTCOME);
	SUB(expect(RISER_BLK_EVENT_GONE, 1));
	CHECK_EQ(rw(RISER_BLK_READ, 8), RISER_BLK_OFFLINE);
	SUB(finish());
}

TEST(a_controller_is_pulled_out)
{
	SUB(vanishing("model:nvme?size=64M&fault=gone,opcode=write-zeroes", RISER_VIRTUAL_TIME));
	SUB(vanishing("model:nvme?size=64M&mode=thread&fault=gone,opcode=write-zeroes", 0));
}

TEST_MAIN(CASE(a_namespace_grows), CASE(a_namespace_grows_behind_a_shared_queue),
	  CASE(a_namespace_that_shrinks_in_use_keeps_its_size),
	  CASE(a_namespace_that_is_formatted_anew_is_gone), CASE(a_controller_is_pulled_out))
