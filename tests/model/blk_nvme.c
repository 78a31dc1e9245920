/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Namespaces as block devices, over the driver and riser's model. */
#include "../tap.h"
#include "base/util.h"
#include <errno.h>
#include <poll.h>
#include <riser/blk.h>
#include <riser/nvme.h>

static struct riser_err err;

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_blk *b;
	struct riser_blk_channel *c;
	uint8_t *buf, *back; /* 1 MiB each, of the channel */
};

static void rig_up_in(struct rig *g, uint32_t context, const char *uri, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = context };
	void *p;

	memset(g, 0, sizeof(*g));
	CHECK_EQ(riser_new(&opts, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	if (riser_blk_open(g->r, uri, flags, &g->b, &err))
		FAIL("%s", err.text);
	CHECK_EQ(riser_blk_channel_open(g->b, g->x, 0, &g->c, &err), 0);
	CHECK_EQ(riser_blk_buf_alloc(g->c, MiB, &p, &err), 0);
	g->buf = p;
	CHECK_EQ(riser_blk_buf_alloc(g->c, MiB, &p, &err), 0);
	g->back = p;
	for (size_t i = 0; i < MiB; i++)
		g->buf[i] = (uint8_t)(i * 13 + (i >> 9));
}

static void rig_up(struct rig *g, const char *uri, uint32_t flags)
{
	rig_up_in(g, RISER_VIRTUAL_TIME, uri, flags);
}

static void rig_down(struct rig *g)
{
	riser_blk_buf_free(g->c, g->buf, MiB);
	riser_blk_buf_free(g->c, g->back, MiB);
	riser_blk_channel_close(g->c);
	riser_blk_close(g->b);
	riser_exec_free(g->x);
	riser_free(g->r);
}

static void stats_are(struct rig *g, uint64_t bounces, uint64_t splits)
{
	struct riser_blk_stats s;

	riser_blk_channel_stats(g->c, &s);
	CHECK_EQ(s.bounces, bounces);
	CHECK_EQ(s.splits, splits);
}

static void all_operations(struct rig *g)
{
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE, 64, 64, g->buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, 64, 64, g->back, 0), RISER_BLK_OK);
	CHECK(!memcmp(g->buf, g->back, 64 * 512));
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_COMPARE, 64, 64, g->buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_COMPARE, 64, 64, g->buf + 4096, 0),
		 RISER_BLK_PROTECTION);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE, 64, 64, g->buf + 4096,
			      RISER_BLK_FUA | RISER_BLK_PREFLUSH),
		 RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE_ZEROES, 64, 8, NULL, RISER_BLK_FUA),
		 RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_DISCARD, 128, 64, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, 64, 64, g->back, 0), RISER_BLK_OK);
	for (unsigned i = 0; i < 8 * 512; i++)
		CHECK_EQ(g->back[i], 0);
	CHECK(!memcmp(g->buf + 4096 + 8 * 512, g->back + 8 * 512, 56 * 512));
}

TEST(every_operation_with_512_byte_blocks)
{
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M", RISER_BLK_RDWR));
	SUB(all_operations(&g));
	SUB(stats_are(&g, 0, 0));
	CHECK(riser_blk_is_safe_to_destroy(g.b));
	rig_down(&g);
}

TEST(every_operation_with_4096_byte_blocks)
{
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M&block=4096", RISER_BLK_RDWR));
	SUB(all_operations(&g));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 1, 8, g.back, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 64 * MiB / 512, 8, g.back, 0),
		 RISER_BLK_INVALID);
	rig_down(&g);
}

TEST(what_exceeds_mdts_is_cut)
{
	struct riser_blk_info info;
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M&mdts=2", RISER_BLK_RDWR));
	riser_blk_get_info(g.b, &info);
	CHECK_EQ(info.max_sectors, 32);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 7, 1000, g.buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 7, 1000, g.back, 0), RISER_BLK_OK);
	CHECK(!memcmp(g.buf, g.back, 1000 * 512));
	SUB(stats_are(&g, 0, 64)); /* 32 pieces each way */
	rig_down(&g);
}

/* The device refuses what is larger than it said. */
TEST(commands_without_data_have_limits_of_their_own)
{
	struct riser_blk_info info;
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M&block=4096&wzsl=3&dmrsl=10&dmsl=100", RISER_BLK_RDWR));
	riser_blk_get_info(g.b, &info);
	CHECK_EQ(info.max_zeroes_sectors, 64);
	CHECK_EQ(info.max_discard_sectors, 80);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 2048, g.buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE_ZEROES, 8, 640, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_DISCARD, 1000, 808, NULL, 0), RISER_BLK_OK);
	SUB(stats_are(&g, 0, 4 + 10 + 11));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 2048, g.back, 0), RISER_BLK_OK);
	memset(g.buf + 8 * 512, 0, 640 * 512);
	memset(g.buf + 1000 * 512, 0, 808 * 512);
	CHECK(!memcmp(g.buf, g.back, MiB));
	rig_down(&g);
}

TEST(memory_that_is_not_reached_is_bounced_and_counted)
{
	uint8_t *own = malloc(MiB);
	struct rig g;

	CHECK(own);
	SUB(rig_up(&g, "model:nvme?size=64M", RISER_BLK_RDWR));
	memcpy(own, g.buf, MiB);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 64, own, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_COMPARE, 0, 64, own, 0), RISER_BLK_OK);
	SUB(stats_are(&g, 2, 0));
	/* More than a bounce buffer: cut to them. */
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 1024, own, 0), RISER_BLK_OK);
	SUB(stats_are(&g, 4, 2));
	memset(own, 0, MiB);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 1024, own, 0), RISER_BLK_OK);
	CHECK(!memcmp(own, g.buf, 1024 * 512));
	/* Reached, but not dword aligned: no PRP can say that. */
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, g.back + 1, 0), RISER_BLK_OK);
	CHECK(!memcmp(g.back + 1, g.buf, 4096));
	SUB(stats_are(&g, 7, 4));
	free(own);
	rig_down(&g);
}

static bool ended;

static void on_done(struct riser_blk_io *io)
{
	ended = true;
}

/* Elements that meet at pages go down as they are; others are copied. */
TEST(scattered_memory_keeps_to_the_rules_of_prps_or_is_bounced)
{
	struct riser_blk_io *io;
	struct iovec iov[3];
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M", RISER_BLK_RDWR));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 32, g.buf, 0), RISER_BLK_OK);
	for (unsigned round = 0; round < 2; round++) {
		memset(g.back, 0, MiB);
		iov[0] = (struct iovec){ g.back + 4096 - 512, round ? 256 : 512 };
		iov[1] = (struct iovec){ g.back + 65536, 4096 };
		iov[2] = (struct iovec){ g.back + 32768, 8192 };
		io = riser_blk_io_get(g.c);
		io->op = RISER_BLK_READ;
		io->sector = 0;
		io->count = 16;
		io->iov = iov;
		io->iovcnt = 3;
		io->done = on_done;
		ended = false;
		riser_blk_submit(io);
		while (!ended)
			riser_exec_wait(g.x, UINT64_MAX);
		CHECK_EQ(io->status, RISER_BLK_OK);
		riser_blk_io_put(io);
		CHECK(!memcmp(iov[0].iov_base, g.buf, iov[0].iov_len));
		CHECK(!memcmp(iov[1].iov_base, g.buf + iov[0].iov_len, 4096));
		CHECK(!memcmp(iov[2].iov_base, g.buf + iov[0].iov_len + 4096, 3584));
		SUB(stats_are(&g, round, 0));
	}
	rig_down(&g);
}

TEST(more_io_than_the_queue_takes_waits_its_turn)
{
	struct riser_blk_io *io;
	struct rig g;
	unsigned n = 0;

	SUB(rig_up(&g, "model:nvme?size=64M&mqes=7&mdts=1", RISER_BLK_RDWR));
	while ((io = riser_blk_io_get(g.c))) {
		io->op = RISER_BLK_WRITE;
		io->sector = n * 16;
		io->count = 16;
		io->one = (struct iovec){ g.buf + (size_t)n * 8192, 8192 };
		io->iov = &io->one;
		io->iovcnt = 1;
		io->done = riser_blk_io_put;
		riser_blk_submit(io);
		n++;
	}
	CHECK_EQ(n, 128);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 2048, g.back, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 2048, g.back, 0), RISER_BLK_OK);
	CHECK(!memcmp(g.buf, g.back, MiB));
	rig_down(&g);
}

TEST(namespaces_share_a_controller_and_a_queue_pair)
{
	struct riser_blk_channel *c2;
	struct riser_blk *b2;
	void *buf;
	struct rig g;

	SUB(rig_up(&g, "model:nvme?namespaces=2&queues=1&size=64M&nsid=1", RISER_BLK_RDWR));
	CHECK_EQ(riser_blk_open(g.r, "model:nvme?namespaces=2&queues=1&size=64M&nsid=2", 0, &b2,
				&err),
		 0);
	CHECK_EQ(riser_blk_channel_open(b2, g.x, 0, &c2, &err), 0);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 8, g.buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c2, RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OK);
	CHECK_EQ(g.back[1], 0);
	CHECK_EQ(riser_blk_rw(c2, RISER_BLK_WRITE, 0, 8, g.buf, 0), RISER_BLK_INVALID);
	/* The first goes; the second lives on the shared queue. */
	riser_blk_channel_close(g.c); /* its buffers with it */
	riser_blk_close(g.b);
	CHECK_EQ(riser_blk_buf_alloc(c2, 4096, &buf, &err), 0);
	CHECK_EQ(riser_blk_rw(c2, RISER_BLK_READ, 0, 8, buf, 0), RISER_BLK_OK);
	riser_blk_channel_close(c2);
	riser_blk_close(b2);
	riser_exec_free(g.x);
	riser_free(g.r);
}

/* Those that no channel has cannot be shared. */
TEST(no_queue_left_is_said)
{
	struct riser_blk_channel *c2;
	struct riser_nvme_qpair *q;
	struct riser_nvme *ctrl;
	struct riser_blk *b;
	struct riser_exec *x;
	struct riser *r;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	CHECK_EQ(riser_blk_open(r, "model:nvme?queues=1&size=64M", 0, &b, &err), 0);
	CHECK_EQ(riser_nvme_open(r, "model:nvme?queues=1&size=64M", NULL, &ctrl, &err), 0);
	CHECK_EQ(riser_nvme_qpair_open(ctrl, x, NULL, &q, &err), 0);
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c2, &err), -EBUSY);
	CHECK_HAS(err.text, "taken");
	riser_nvme_qpair_close(q);
	CHECK_EQ(riser_blk_channel_open(b, x, 0, &c2, &err), 0);
	riser_blk_channel_close(c2);
	riser_nvme_close(ctrl);
	riser_blk_close(b);
	riser_exec_free(x);
	riser_free(r);
}

/* Read once. Return: what the executor said when it was to sleep, and it was woken by its event. */
static int read_asleep(struct rig *g)
{
	struct riser_blk_io *io = riser_blk_io_get(g->c);
	struct pollfd pfd = { .fd = riser_exec_fd(g->x), .events = POLLIN };
	int slept = 1;

	io->op = RISER_BLK_READ;
	io->sector = 0;
	io->count = 8;
	io->one = (struct iovec){ g->back, 4096 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = on_done;
	ended = false;
	riser_blk_submit(io);
	while (!ended) {
		int armed;

		if (riser_exec_poll(g->x) > 0)
			continue;
		armed = riser_exec_arm(g->x);
		if (armed > 0)
			continue;
		slept = armed ? armed : poll(&pfd, 1, 60000) - 1;
	}
	slept = io->status == RISER_BLK_OK ? slept : -EIO;
	riser_blk_io_put(io);
	return slept;
}

TEST(an_owner_sleeps_until_it_is_interrupted)
{
	struct riser_blk_channel *c2;
	struct riser_nvme *ctrl;
	struct riser_nvme_info info;
	struct riser_blk *b2;
	struct rig g;
	int rc;

	SUB(rig_up_in(&g, 0, "model:nvme?size=64M&mode=thread&delay=20000&irq=1", 0));
	do
		rc = read_asleep(&g);
	while (rc == 1); /* done before it was to sleep */
	CHECK_EQ(rc, 0);
	/* The same device without interrupts, on a queue pair of its own. */
	CHECK_EQ(riser_blk_open(g.r, "model:nvme?size=64M&mode=thread&delay=20000", 0, &b2, &err),
		 0);
	CHECK_EQ(riser_blk_channel_open(b2, g.x, 0, &c2, &err), 0);
	CHECK_EQ(riser_nvme_open(g.r, "model:nvme?size=64M&mode=thread&delay=20000", NULL, &ctrl,
				 &err),
		 0);
	riser_nvme_get_info(ctrl, &info);
	CHECK_EQ(info.qpairs, 2);
	riser_nvme_close(ctrl);
	riser_blk_channel_close(g.c);
	riser_blk_close(g.b);
	g.b = b2;
	g.c = c2;
	CHECK_EQ(riser_blk_buf_alloc(g.c, MiB, (void **)&g.buf, &err), 0);
	CHECK_EQ(riser_blk_buf_alloc(g.c, MiB, (void **)&g.back, &err), 0);
	do
		rc = read_asleep(&g);
	while (rc == 1);
	CHECK_EQ(rc, -EOPNOTSUPP);
	rig_down(&g);
}

TEST(no_vector_left_is_said)
{
	struct riser_blk_channel *c2;
	struct riser_exec *x2;
	struct rig g;

	SUB(rig_up(&g, "model:nvme?vectors=2&size=64M&irq=1", 0));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OK);
	CHECK_EQ(riser_exec_new(g.r, &x2, &err), 0);
	CHECK_EQ(riser_blk_channel_open(g.b, x2, 0, &c2, &err), -ENOTSUP);
	CHECK_HAS(err.text, "vector");
	riser_exec_free(x2);
	rig_down(&g);
	CHECK_EQ(riser_new(NULL, &g.r, &err), 0);
	CHECK_EQ(riser_blk_open(g.r, "model:nvme?irq=yes", 0, &g.b, &err), -EINVAL);
	CHECK_HAS(err.text, "irq=");
	riser_free(g.r);
}

TEST(a_status_of_the_device_arrives_with_its_raw_form)
{
	struct riser_blk_io *io;
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M&fault=status=0x281,dnr,opcode=read,lba=100-107", 0));
	io = riser_blk_io_get(g.c);
	io->op = RISER_BLK_READ;
	io->sector = 96;
	io->count = 8;
	io->one = (struct iovec){ g.back, 4096 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = on_done;
	ended = false;
	riser_blk_submit(io);
	while (!ended)
		riser_exec_wait(g.x, UINT64_MAX);
	CHECK_EQ(io->status, RISER_BLK_MEDIUM);
	CHECK_EQ(io->raw_status, 0x281);
	riser_blk_io_put(io);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 100, g.back, 0), RISER_BLK_OK);
	rig_down(&g);
}

TEST(removal_ends_in_offline)
{
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M&fault=gone,opcode=read,nth=2", 0));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OFFLINE);
	rig_down(&g);
}

/* And no other controller takes its place. */
TEST(a_channel_on_a_device_that_is_gone)
{
	struct riser_blk_channel *c2;
	struct riser_exec *x2;
	struct rig g;

	SUB(rig_up(&g, "model:nvme?size=64M&fault=gone,opcode=read", RISER_BLK_RDWR));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, g.back, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(riser_exec_new(g.r, &x2, &err), 0);
	CHECK_EQ(riser_blk_channel_open(g.b, x2, 0, &c2, &err), -ENODEV);
	riser_exec_free(x2);
	rig_down(&g);
}

TEST_MAIN(CASE(every_operation_with_512_byte_blocks), CASE(every_operation_with_4096_byte_blocks),
	  CASE(what_exceeds_mdts_is_cut), CASE(commands_without_data_have_limits_of_their_own),
	  CASE(memory_that_is_not_reached_is_bounced_and_counted),
	  CASE(scattered_memory_keeps_to_the_rules_of_prps_or_is_bounced),
	  CASE(more_io_than_the_queue_takes_waits_its_turn),
	  CASE(namespaces_share_a_controller_and_a_queue_pair), CASE(no_queue_left_is_said),
	  CASE(an_owner_sleeps_until_it_is_interrupted), CASE(no_vector_left_is_said),
	  CASE(a_status_of_the_device_arrives_with_its_raw_form), CASE(removal_ends_in_offline),
	  CASE(a_channel_on_a_device_that_is_gone))
