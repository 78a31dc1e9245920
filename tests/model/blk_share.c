/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* More owners than a controller has queue pairs: the rest pass their I/O to those that have one. */
#include "blk_jobs.h"
#include <sched.h>

#define MANY 5

static unsigned hops_of(struct riser_blk_channel *c)
{
	struct riser_blk_stats stats;

	riser_blk_channel_stats(c, &stats);
	return (unsigned)stats.hops;
}

/* Every job gets on. */
static void all_go_on(const struct job *j, const bool *over)
{
	unsigned from[MANY];

	for (unsigned i = 0; i < MANY; i++)
		from[i] = load_relaxed(&j[i].step);
	for (unsigned i = 0; i < MANY; i++)
		while (!over[i] && load_relaxed(&j[i].step) < from[i] + 4)
			cpu_relax();
}

/* Two of five have a queue pair. They all do I/O, and close in the order @order. */
static void share(const char *uri, const unsigned *order)
{
	bool over[MANY] = { false };
	struct owner o[MANY];
	struct job j[MANY];

	SUB(up(uri, 0));
	SUB(owners_up(o, MANY));
	for (unsigned i = 0; i < MANY; i++) {
		SUB(job_open(&j[i], &o[i], dev, i * AREA, UINT32_MAX, false));
		CHECK_EQ(hops_of(j[i].c), i >= 2);
	}
	CHECK_EQ(queues(), 2);
	for (unsigned i = 0; i < MANY; i++)
		job_start(&j[i]);
	for (unsigned n = 0; n < MANY; n++) {
		struct job *leaves = &j[order[n]];

		all_go_on(j, over);
		store_relaxed(&leaves->steps, 0);
		while (!load_acquire(&leaves->done))
			cpu_relax();
		CHECK_EQ(leaves->bad, 0);
		over[order[n]] = true;
	}
	owners_down(o, MANY);
	CHECK_EQ(queues(), 0);
	down();
}

TEST(five_owners_share_two_queue_pairs)
{
	static const unsigned orders[][MANY] = {
		{ 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 }, { 1, 0, 4, 2, 3 }, { 2, 0, 3, 1, 4 }
	};

	for (unsigned i = 0; i < array_len(orders); i++) {
		SUB(share("model:nvme?size=64M&queues=2", orders[i]));
		SUB(share("model:nvme?size=64M&queues=2&mode=thread", orders[i]));
	}
}

TEST(the_least_shared_is_chosen_and_a_free_one_is_preferred)
{
	struct riser_blk_channel *c[MANY + 1];
	struct riser_exec *x[MANY + 1];

	SUB(up("model:nvme?size=64M&queues=2", 0));
	for (unsigned i = 0; i < MANY; i++) {
		CHECK_EQ(riser_exec_new(r, &x[i], &err), 0);
		CHECK_EQ(riser_blk_channel_open(dev, x[i], 1, &c[i], &err), 0);
		CHECK_EQ(hops_of(c[i]), i >= 2);
	}
	/* One of its own and two of others each at the most. */
	for (unsigned i = 0; i < 2; i++) {
		unsigned channels = x[i]->blk->refs;

		CHECK(channels == 2 || channels == 3);
	}
	/* The last of a queue pair's channels goes: so does the queue pair. */
	for (unsigned i = 1; i < MANY; i++)
		riser_blk_channel_close(c[i]);
	for (unsigned i = 1; i < MANY; i++)
		riser_exec_poll(x[i]); /* what others had there */
	riser_exec_poll(x[0]);
	CHECK_EQ(queues(), 1);
	CHECK_EQ(riser_exec_new(r, &x[MANY], &err), 0);
	CHECK_EQ(riser_blk_channel_open(dev, x[MANY], 1, &c[MANY], &err), 0);
	CHECK_EQ(hops_of(c[MANY]), 0);
	CHECK_EQ(queues(), 2);
	riser_blk_channel_close(c[MANY]);
	riser_blk_channel_close(c[0]);
	CHECK_EQ(queues(), 0);
	for (unsigned i = 0; i <= MANY; i++)
		riser_exec_free(x[i]);
	down();
}

/* Polled here, interrupted there: one is as good as none. */
TEST(a_queue_pair_of_the_other_kind_is_shared_too)
{
	struct riser_blk_channel *c[3];
	struct riser_exec *x[2];
	struct riser_blk *irq;

	SUB(up("model:nvme?size=64M&queues=1", 0));
	CHECK_EQ(riser_blk_open(r, "model:nvme?size=64M&queues=1&irq=1", 0, &irq, &err), 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(riser_exec_new(r, &x[i], &err), 0);
	CHECK_EQ(riser_blk_channel_open(dev, x[0], 1, &c[0], &err), 0);
	CHECK_EQ(riser_blk_channel_open(irq, x[0], 1, &c[1], &err), 0);
	CHECK_EQ(riser_blk_channel_open(irq, x[1], 1, &c[2], &err), 0);
	CHECK_EQ(hops_of(c[0]), 0);
	CHECK_EQ(hops_of(c[1]), 1); /* without leaving the thread */
	CHECK_EQ(hops_of(c[2]), 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(riser_blk_rw(c[i], RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	for (unsigned i = 3; i-- > 0;)
		riser_blk_channel_close(c[i]);
	riser_exec_free(x[0]);
	CHECK_EQ(queues(), 0);
	riser_exec_free(x[1]);
	riser_blk_close(irq);
	down();
}

/* In this thread, through the queue pair of another. */
static void every_operation(struct riser_blk_channel *c, uint8_t *buf, uint8_t *back)
{
	for (size_t i = 0; i < MiB; i++)
		buf[i] = (uint8_t)(i * 13 + (i >> 9));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 64, 2048, buf, 0), RISER_BLK_OK); /* cut */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 64, 2048, back, 0), RISER_BLK_OK);
	CHECK(!memcmp(buf, back, MiB));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_COMPARE, 64, 64, buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_COMPARE, 64, 64, buf + 4096, 0), RISER_BLK_PROTECTION);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 64, 64, buf + 4096,
			      RISER_BLK_FUA | RISER_BLK_PREFLUSH),
		 RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE_ZEROES, 64, 8, NULL, RISER_BLK_FUA), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_DISCARD, 128, 64, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 64, 64, back, 0), RISER_BLK_OK);
	for (unsigned i = 0; i < 8 * 512; i++)
		CHECK_EQ(back[i], 0);
	CHECK(!memcmp(buf + 4096 + 8 * 512, back + 8 * 512, 56 * 512));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 64 * MiB / 512, 1, back, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 100000, 1, back, 0), RISER_BLK_MEDIUM);
}

static void every_operation_shared(const char *uri, uint32_t flags)
{
	struct riser_blk_channel *first, *c;
	struct riser_blk_stats stats;
	struct riser_exec *x;
	struct owner o;
	void *p[2];

	SUB(up(uri, flags));
	SUB(owners_up(&o, 1));
	CHECK_EQ(riser_blk_channel_open(dev, o.x, 1, &first, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	CHECK_EQ(riser_blk_channel_open(dev, x, 0, &c, &err), 0);
	CHECK_EQ(hops_of(c), 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(riser_blk_buf_alloc(c, MiB, &p[i], &err), 0);
	SUB(every_operation(c, p[0], p[1]));
	riser_blk_channel_stats(c, &stats);
	CHECK_EQ(stats.bounces, 0);
	/* Memory that the controller does not reach is copied where the queue pair is. */
	p[0] = malloc(MiB);
	p[1] = malloc(MiB);
	SUB(every_operation(c, p[0], p[1]));
	riser_blk_channel_stats(c, &stats);
	CHECK(stats.bounces > 0);
	free(p[0]);
	free(p[1]);
	riser_blk_channel_close(c);
	riser_blk_channel_close(first);
	riser_exec_free(x);
	owners_down(&o, 1);
	CHECK_EQ(queues(), 0);
	down();
}

#define BAD_SECTOR "&fault=status=0x281,dnr,opcode=read,lba=100000"

TEST(every_operation_through_the_queue_pair_of_another)
{
	SUB(every_operation_shared("model:nvme?size=64M&queues=1" BAD_SECTOR, 0));
	SUB(every_operation_shared("model:nvme?size=64M&queues=1&delay=1000" BAD_SECTOR,
				   RISER_VIRTUAL_TIME));
}

/* Whoever frees its executor does what others need of it until they are through. */
TEST(an_executor_is_freed_only_when_nobody_shares_its_queue_pair)
{
	struct riser_blk_channel *c;
	struct riser_exec *x;
	struct owner o;
	struct job j;

	SUB(up("model:nvme?size=64M&queues=1", 0));
	SUB(owners_up(&o, 1));
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	CHECK_EQ(riser_blk_channel_open(dev, x, 1, &c, &err), 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	SUB(job_give(&j, &o, dev, 0, 2000, false));
	while (!load_relaxed(&j.step))
		riser_exec_poll(x);
	riser_blk_channel_close(c);
	riser_exec_free(x);
	CHECK_EQ(load_acquire(&j.done), 1);
	SUB(job_wait(&j));
	CHECK_EQ(queues(), 0);
	owners_down(&o, 1);
	down();
}

/* More I/O than the one queue has room for, from owners with all their frames in use. */
TEST(a_small_queue_is_shared_by_many)
{
	struct owner o[MANY];
	struct job j[MANY][4];

	SUB(up("model:nvme?size=64M&queues=1&mqes=3", 0));
	SUB(owners_up(o, MANY));
	for (unsigned i = 0; i < MANY; i++)
		for (unsigned n = 0; n < 4; n++)
			SUB(job_open(&j[i][n], &o[i], dev, (i * 4 + n) * AREA, 100, false));
	for (unsigned i = 0; i < MANY; i++)
		for (unsigned n = 0; n < 4; n++)
			job_start(&j[i][n]);
	for (unsigned i = 0; i < MANY; i++)
		for (unsigned n = 0; n < 4; n++)
			SUB(job_wait(&j[i][n]));
	owners_down(o, MANY);
	CHECK_EQ(queues(), 0);
	down();
}

/* What is passed on is in flight where it came from, and gates there do not stop it. */
TEST(a_namespace_is_suspended_while_its_queue_pair_is_shared)
{
	struct owner o[MANY];
	struct job j[MANY];

	SUB(up("model:nvme?size=64M&queues=1", 0));
	SUB(owners_up(o, MANY));
	for (unsigned i = 0; i < MANY; i++)
		SUB(job_give(&j[i], &o[i], dev, i * AREA, UINT32_MAX, false));
	for (unsigned n = 0; n < 100; n++) {
		unsigned before[MANY];

		if (blk_suspend(dev, NULL, 60 * SECONDS, &err))
			FAIL("%s", err.text);
		for (unsigned i = 0; i < MANY; i++)
			before[i] = load_relaxed(&j[i].step);
		sched_yield();
		for (unsigned i = 0; i < MANY; i++)
			CHECK(load_relaxed(&j[i].step) <= before[i] + 1); /* it was being told */
		CHECK_EQ(blk_resume(dev, NULL, &err), 0);
		for (unsigned i = 0; i < MANY; i++)
			while (load_relaxed(&j[i].step) <= before[i] + 1)
				cpu_relax();
	}
	for (unsigned i = 0; i < MANY; i++)
		store_relaxed(&j[i].steps, 0);
	for (unsigned i = 0; i < MANY; i++) {
		while (!load_acquire(&j[i].done))
			cpu_relax();
		CHECK_EQ(j[i].bad, 0);
	}
	owners_down(o, MANY);
	CHECK_EQ(queues(), 0);
	down();
}

/* With more owners than queue pairs on both sides. */
TEST(swaps_over_controllers_that_are_shared)
{
	SUB(swap_for_others("model:nvme?size=64M&queues=2", "model:nvme?size=65M&queues=1", 0, 40));
}

TEST_MAIN(CASE(five_owners_share_two_queue_pairs),
	  CASE(the_least_shared_is_chosen_and_a_free_one_is_preferred),
	  CASE(a_queue_pair_of_the_other_kind_is_shared_too),
	  CASE(every_operation_through_the_queue_pair_of_another),
	  CASE(an_executor_is_freed_only_when_nobody_shares_its_queue_pair),
	  CASE(a_small_queue_is_shared_by_many),
	  CASE(a_namespace_is_suspended_while_its_queue_pair_is_shared),
	  CASE(swaps_over_controllers_that_are_shared))
