/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What a controller tells by itself, as the block device's events. */
#include "../unit/blk_threads.h"
#include <riser/nvme.h>

static struct watched it;

static void begin(const char *uri, uint32_t context)
{
	SUB(watched_begin(&it, uri, context));
	SUB(watched_look(&it));
}

/* The alarm names us where it does not come. */
static void expect(enum riser_blk_event event, unsigned n)
{
	while (it.events[event] < n)
		riser_exec_wait(it.x, NS_PER_MS);
	CHECK_EQ(it.events[event], n);
}

/* It is 32 MiB large when it is identified first; each write zeroes makes it larger. */
#define GROWS                                                                                      \
	"resize=32M,opcode=identify,nsid=1;resize=48M,opcode=write-zeroes;"                        \
	"resize=64M,opcode=write-zeroes,nth=2"

static void growing(const char *uri, uint32_t context)
{
	SUB(begin(uri, context));
	CHECK_EQ(watched_sectors(&it), 32 * MiB / 512);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_INVALID);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	SUB(expect(RISER_BLK_EVENT_RESIZED, 1));
	CHECK_EQ(watched_sectors(&it), 48 * MiB / 512);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_OK);
	/* The controller tells once more only because what it told was read. */
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	SUB(expect(RISER_BLK_EVENT_RESIZED, 2));
	CHECK_EQ(watched_sectors(&it), 64 * MiB / 512);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 64 * MiB / 512 - 8), RISER_BLK_OK);
	SUB(watched_finish(&it));
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
	CHECK_EQ(riser_exec_new(it.r, &y, &err), 0);
	CHECK_EQ(riser_blk_channel_open(it.b, y, 0, &d, &err), 0);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	SUB(expect(RISER_BLK_EVENT_RESIZED, 1));
	io = riser_blk_io_get(d);
	io->op = RISER_BLK_WRITE;
	io->sector = 40 * MiB / 512;
	io->count = 8;
	io->one = (struct iovec){ it.buf, sizeof(it.buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = on_done;
	ended = -1;
	riser_blk_submit(io);
	while (ended < 0) {
		riser_exec_poll(y);
		riser_exec_poll(it.x);
	}
	CHECK_EQ(ended, RISER_BLK_OK);
	riser_blk_channel_stats(d, &stats);
	CHECK_EQ(stats.hops, 1);
	riser_blk_channel_close(d);
	riser_exec_free(y);
	SUB(watched_finish(&it));
}

TEST(a_namespace_that_shrinks_in_use_keeps_its_size)
{
	SUB(begin("model:nvme?size=64M&fault=resize=32M,opcode=write-zeroes", RISER_VIRTUAL_TIME));
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_OK);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_OK);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_TARGET);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), -EBUSY);
	CHECK_EQ(watched_sectors(&it), 64 * MiB / 512);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 0), RISER_BLK_OK);
	riser_blk_channel_close(it.c);
	CHECK_EQ(riser_blk_refresh(it.b, NULL, &err), 0);
	CHECK_EQ(watched_sectors(&it), 32 * MiB / 512);
	CHECK_EQ(riser_blk_channel_open(it.b, it.x, 0, &it.c, &err), 0);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 40 * MiB / 512), RISER_BLK_INVALID);
	SUB(watched_finish(&it));
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
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 8), RISER_BLK_OK);
	CHECK_EQ(riser_nvme_open(it.r, "model:nvme?size=64M", &opts, &h, &err), 0);
	CHECK_EQ(riser_nvme_admin(h, it.x, &format), 0);
	SUB(expect(RISER_BLK_EVENT_GONE, 1));
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 8), RISER_BLK_OFFLINE);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 8), RISER_BLK_OFFLINE);
	CHECK_EQ(watched_rw(&it, RISER_BLK_FLUSH, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), -ENODEV);
	CHECK_HAS(err.text, "formatted anew");
	CHECK_EQ(it.events[RISER_BLK_EVENT_GONE], 1);
	riser_nvme_close(h);
	SUB(watched_finish(&it));
}

static void vanishing(const char *uri, uint32_t context)
{
	SUB(begin(uri, context));
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 8), RISER_BLK_OK);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE_ZEROES, 0), RISER_BLK_UNKNOWN_OUTCOME);
	SUB(expect(RISER_BLK_EVENT_GONE, 1));
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 8), RISER_BLK_OFFLINE);
	SUB(watched_finish(&it));
}

TEST(a_controller_is_pulled_out)
{
	SUB(vanishing("model:nvme?size=64M&fault=gone,opcode=write-zeroes", RISER_VIRTUAL_TIME));
	SUB(vanishing("model:nvme?size=64M&mode=thread&fault=gone,opcode=write-zeroes", 0));
}

TEST_MAIN(CASE(a_namespace_grows), CASE(a_namespace_grows_behind_a_shared_queue),
	  CASE(a_namespace_that_shrinks_in_use_keeps_its_size),
	  CASE(a_namespace_that_is_formatted_anew_is_gone), CASE(a_controller_is_pulled_out))
