/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Suspend, swap and resume, one thread at a time and with owners that sleep. */
#include "blk_threads.h"

#define S NS_PER_S

static void rig_up(struct fix_rig *g, uint32_t flags, enum fix_mode mode)
{
	fix_rig_up(g, flags, mode, 1, false);
}

static void rig_down(struct fix_rig *g)
{
	riser_blk_channel_close(g->c[0]);
	g->c[0] = NULL;
	CHECK(!g->x[0]->blk);
	fix_rig_down(g);
}

static void deferring(uint32_t flags)
{
	struct fix_rig g;

	SUB(rig_up(&g, flags, FIX_AT_ONCE));
	CHECK_EQ(blk_suspend(g.b, g.x[0], S, &err), 0);
	CHECK_EQ(blk_suspend(g.b, g.x[0], S, &err), 0);
	for (unsigned i = 0; i < 5; i++)
		fix_start(g.c[0], RISER_BLK_WRITE, i, g.buf);
	for (unsigned i = 0; i < 5; i++)
		riser_exec_poll(g.x[0]);
	CHECK_EQ(fix_ended, 0);
	CHECK_EQ(blk_resume(g.b, g.x[0], &err), 0);
	while (fix_ended < 5)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(fix_last_status, RISER_BLK_OK);
	rig_down(&g);
}

TEST(suspended_io_waits_and_then_runs)
{
	SUB(deferring(RISER_VIRTUAL_TIME));
	SUB(deferring(RISER_VIRTUAL_TIME | RISER_NO_MEMBARRIER));
}

TEST(rule_2_parked_io_is_named_and_the_gate_reopens)
{
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_HELD));
	fix_start(g.c[0], RISER_BLK_WRITE, 0, g.buf);
	CHECK_EQ(blk_suspend(g.b, g.x[0], 10 * S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "the top cannot be suspended");
	CHECK_HAS(err.text, "in flight in the leaf");
	CHECK_EQ(riser_now(g.r) >= 11 * S, true);
	((struct fix_leaf *)g.leaf->priv)->mode = FIX_AT_ONCE;
	fix_start(g.c[0], RISER_BLK_READ, 0, g.buf); /* the gate is open */
	while (fix_ended < 2)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(blk_suspend(g.b, g.x[0], 10 * S, &err), 0);
	CHECK_EQ(blk_resume(g.b, g.x[0], &err), 0);
	rig_down(&g);
}

TEST(a_suspend_drives_the_executor_it_is_given)
{
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_LATE));
	for (unsigned i = 0; i < 30; i++)
		fix_start(g.c[0], RISER_BLK_WRITE, i, g.buf);
	CHECK_EQ(blk_suspend(g.b, g.x[0], S, &err), 0);
	CHECK_EQ(fix_ended, 30);
	CHECK_EQ(blk_resume(g.b, g.x[0], &err), 0);
	rig_down(&g);
}

/* Rules 6 and 7: as little as one frame and one child at every level, and much more I/O than that.
 */
TEST(rules_6_and_7_one_frame_and_one_child_a_level_are_enough)
{
	struct blk_channel_opts copts = { .ios = 64, .frames = 1, .children = 1 };
	static uint8_t buf[24 * 512];
	struct riser_blk *level[5];
	struct riser_blk_stats stats;
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_LATE));
	riser_blk_channel_close(g.c[0]);
	/* The lower, the stricter: every level cuts what the one above had cut. */
	level[0] = g.leaf;
	g.leaf->limits.max_sectors = 2;
	for (unsigned i = 1; i < 5; i++) {
		level[i] = fix_linear_new(g.r, "level", level[i - 1], 1, 60, i % 2);
		level[i]->limits.max_sectors = 2 + 3 * i;
	}
	CHECK_EQ(blk_channel_open(level[4], g.x[0], &copts, &g.c[0], &err), 0);
	for (unsigned i = 0; i < 64; i++) {
		struct riser_blk_io *io = riser_blk_io_get(g.c[0]);

		io->op = RISER_BLK_WRITE;
		io->flags = 0;
		io->sector = i % 30;
		io->count = 24;
		io->one = (struct iovec){ buf, sizeof(buf) };
		io->iov = &io->one;
		io->iovcnt = 1;
		io->iov_off = 0;
		io->done = fix_done;
		riser_blk_submit(io);
	}
	while (fix_ended < 64)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(riser_blk_rw(g.c[0], RISER_BLK_READ, 3, 24, buf, 0), RISER_BLK_OK);
	riser_blk_channel_stats(g.c[0], &stats);
	CHECK(stats.splits >= 65 * 12); /* the leaf's alone */
	riser_blk_channel_close(g.c[0]);
	g.c[0] = NULL;
	for (unsigned i = 4; i > 0; i--)
		riser_blk_close(level[i]);
	rig_down(&g);
}

TEST(rule_4_only_an_owner_with_io_in_flight_is_needed)
{
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_AT_ONCE));
	/* Nobody runs g.x[0]: with nothing in flight that is no matter. */
	CHECK_EQ(blk_suspend(g.b, NULL, S, &err), 0);
	CHECK_EQ(blk_resume(g.b, NULL, &err), 0);
	fix_start(g.c[0], RISER_BLK_WRITE, 0, g.buf);
	CHECK_EQ(blk_suspend(g.b, NULL, S, &err), -ETIMEDOUT);
	while (!fix_ended)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(blk_suspend(g.b, NULL, S, &err), 0);
	CHECK_EQ(blk_resume(g.b, NULL, &err), 0);
	rig_down(&g);
}

static int inner;

static void suspend_inside(struct riser_blk_io *io)
{
	struct fix_rig *g = io->user;

	inner = blk_suspend(g->b, g->x[0], S, &err);
	fix_done(io);
}

TEST(rule_3_inside_a_completion_the_answer_is_edeadlk)
{
	struct riser_blk_io *io;
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_AT_ONCE));
	io = riser_blk_io_get(g.c[0]);
	io->op = RISER_BLK_FLUSH;
	io->done = suspend_inside;
	io->user = &g;
	riser_blk_submit(io);
	while (!fix_ended)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(inner, -EDEADLK);
	rig_down(&g);
}

static unsigned built;

static void count_built(struct riser_blk *b)
{
	built++;
}

static void close_other(struct riser_blk_io *io)
{
	riser_blk_channel_close(io->user);
	fix_done(io);
}

/* Closed inside a completion, it goes with its owner's next poll; a swap before that passes it by.
 */
TEST(what_is_closing_gets_no_map_of_a_swap)
{
	struct riser_blk_channel *other;
	struct riser_blk_io *io;
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_AT_ONCE));
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[0], 0, &other, &err), 0);
	fix_start(other, RISER_BLK_READ, 0, g.buf); /* what was never used closes at once */
	while (!fix_ended)
		riser_exec_wait(g.x[0], TIME_NEVER);
	io = riser_blk_io_get(g.c[0]);
	io->op = RISER_BLK_FLUSH;
	io->done = close_other;
	io->user = other;
	riser_blk_submit(io);
	while (fix_ended < 2)
		riser_exec_poll(g.x[0]);
	built = 0;
	fix_building = count_built;
	CHECK_EQ(fix_linear_swap(g.b, NULL, g.leaf, 0, 32, S, &err), 0);
	fix_building = NULL;
	CHECK_EQ(built, 1);
	rig_down(&g);
}

static void moving_and_shrinking(uint32_t flags)
{
	struct riser_blk *other;
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME | flags, FIX_AT_ONCE));
	other = fix_leaf_new(g.r, "the other", 64, FIX_AT_ONCE, 0);
	memset(g.buf, 7, sizeof(g.buf));
	CHECK_EQ(riser_blk_rw(g.c[0], RISER_BLK_WRITE, 0, 1, g.buf, 0), RISER_BLK_OK);
	CHECK_EQ(blk_suspend(g.b, g.x[0], S, &err), 0);
	fix_start(g.c[0], RISER_BLK_READ, 20, g.buf); /* inside now, outside after the swap */
	CHECK_EQ(fix_linear_swap(g.b, g.x[0], other, 0, 16, S, &err), 0);
	CHECK_EQ(g.b->state, BLK_SUSPENDED);
	riser_blk_close(g.leaf); /* poisoned as soon as the old map is freed */
	g.leaf = NULL;
	CHECK_EQ(blk_resume(g.b, g.x[0], &err), 0);
	while (!fix_ended)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(fix_last_status, RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c[0], RISER_BLK_READ, 0, 1, g.buf, 0), RISER_BLK_OK);
	CHECK_EQ(g.buf[0], 0);
	CHECK_EQ(fix_live_maps, 2);
	riser_blk_close(other);
	rig_down(&g);
}

TEST(swap_moves_the_device_and_shrinking_is_checked_again)
{
	SUB(moving_and_shrinking(0));
	SUB(moving_and_shrinking(RISER_NO_MEMBARRIER));
}

static void failing_swaps(uint32_t flags)
{
	struct riser_blk_channel *second;
	struct fix_table *t;
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME | flags, FIX_AT_ONCE));
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[0], 0, &second, &err), 0);
	memset(g.buf, 7, sizeof(g.buf));
	CHECK_EQ(riser_blk_rw(g.c[0], RISER_BLK_WRITE, 3, 1, g.buf, 0), RISER_BLK_OK);
	for (unsigned nth = 1; nth <= 2; nth++) {
		t = fix_table_new(g.leaf, 0, 64);
		t->fail = nth;
		CHECK_EQ(blk_swap(g.b, g.x[0], t, S, &err), -ENOMEM);
		fix_table_put(t);
		memset(g.buf, 0, sizeof(g.buf));
		CHECK_EQ(riser_blk_rw(second, RISER_BLK_READ, 3, 1, g.buf, 0), RISER_BLK_OK);
		CHECK_EQ(g.buf[0], 7);
		CHECK_EQ(fix_live_maps, 4); /* what was made was dropped */
	}
	/* And where draining fails. */
	((struct fix_leaf *)g.leaf->priv)->mode = FIX_HELD;
	fix_start(g.c[0], RISER_BLK_WRITE, 0, g.buf);
	CHECK_EQ(fix_linear_swap(g.b, g.x[0], g.leaf, 0, 64, S, &err), -ETIMEDOUT);
	((struct fix_leaf *)g.leaf->priv)->mode = FIX_AT_ONCE;
	while (!fix_ended)
		riser_exec_wait(g.x[0], TIME_NEVER);
	CHECK_EQ(fix_live_maps, 4);
	riser_blk_channel_close(second);
	rig_down(&g);
}

TEST(a_failed_swap_leaves_the_old_table_live)
{
	SUB(failing_swaps(0));
	SUB(failing_swaps(RISER_NO_MEMBARRIER));
}

/* Two owners, each with I/O in flight; every swap brings a new leaf and closes the old one. */
static void swapping(uint32_t flags, enum fix_mode mode, unsigned swaps)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct riser_blk *b, *leaf, *next;
	static struct owner owners[2];
	static struct kicker k;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	leaf = fix_leaf_new(r, "leaf", 64, mode, 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	SUB(kicker_start(&k));
	kicker_set(&k, 0, leaf);
	for (unsigned i = 0; i < 2; i++)
		SUB(owner_start_on(&owners[i], r, b));
	for (unsigned i = 0; i < swaps; i++) {
		next = fix_leaf_new(r, "leaf", 64, mode, 0);
		kicker_set(&k, (i + 1) & 1, next);
		CHECK_EQ(fix_linear_swap(b, NULL, next, i % 8, 32, 60 * S, &err), 0);
		kicker_set(&k, i & 1, NULL);
		riser_blk_close(leaf);
		leaf = next;
	}
	for (unsigned i = 0; i < 2; i++)
		SUB(owner_stop(&owners[i]));
	kicker_stop(&k);
	riser_blk_close(b);
	riser_blk_close(leaf);
	riser_free(r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

TEST(swap_with_membarrier)
{
	SUB(swapping(0, FIX_AT_ONCE, 2000));
}

TEST(swap_without_membarrier)
{
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_AT_ONCE, 2000));
}

TEST(swap_over_a_leaf_whose_owners_sleep)
{
	SUB(swapping(0, FIX_POSTED, 1000));
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_POSTED, 500));
}

/* As a channel does that is being opened, without the lock: of the live table, or the next. */
static void pretend_to_build(struct riser_blk *b, int by)
{
	pthread_mutex_lock(&b->lock);
	b->building += (unsigned)by;
	pthread_mutex_unlock(&b->lock);
}

TEST(a_table_stays_while_somebody_makes_a_map_of_it)
{
	struct blk_change ch = { .kind = CHANGE_SWAP, .deadline = TIME_NEVER, .err = &err };
	struct fix_table *old, *t;
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE));
	old = g.b->table;
	t = fix_table_new(g.leaf, 16, 32);
	ch.b = g.b;
	ch.table = t;
	pretend_to_build(g.b, 1);
	for (unsigned i = 0; i < 10; i++)
		CHECK(!change_step(&ch));
	CHECK(g.b->table == old);
	fix_start(g.c[0], RISER_BLK_READ, 0, g.buf);
	riser_exec_poll(g.x[0]);
	CHECK_EQ(fix_ended, 0); /* the gate is closed */
	pretend_to_build(g.b, -1);
	CHECK(change_step(&ch));
	CHECK_EQ(ch.rc, 0);
	fix_table_put(old);
	/* And one that is given up. */
	t = fix_table_new(g.leaf, 0, 32);
	ch = (struct blk_change){ .b = g.b, .kind = CHANGE_SWAP, .table = t, .err = &err };
	ch.deadline = 0;
	pretend_to_build(g.b, 1);
	CHECK(!change_step(&ch));
	CHECK(g.b->next_table == t);
	pretend_to_build(g.b, -1);
	CHECK(change_step(&ch));
	CHECK_EQ(ch.rc, -ETIMEDOUT);
	CHECK_HAS(err.text, "a channel is still being opened");
	CHECK(g.b->next_table == NULL);
	fix_table_put(t);
	while (!fix_ended)
		riser_exec_poll(g.x[0]);
	rig_down(&g);
}

/* An owner that sleeps with nothing in flight is woken to free what was dropped. */
static void *sleeper_main(void *arg)
{
	struct owner *o = arg;

	fix_this = o->x;
	while (!load_acquire(&o->stop))
		riser_exec_wait(o->x, TIME_NEVER);
	riser_blk_channel_close(o->c);
	return NULL;
}

static void swapping_for_a_sleeper(uint32_t flags, bool home)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct riser_work w = { NULL, wake_up };
	struct riser_blk *b, *leaf;
	uint32_t most = 0;
	struct owner o = { 0 };
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	leaf = fix_leaf_new(r, "leaf", 64, FIX_AT_ONCE, 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	fix_linear_set_home(b, home);
	CHECK_EQ(riser_exec_new(r, &o.x, &err), 0);
	CHECK_EQ(riser_blk_channel_open(b, o.x, 8, &o.c, &err), 0);
	CHECK_EQ(pthread_create(&o.thread, NULL, sleeper_main, &o), 0);
	for (unsigned i = 0; i < 10000; i++) {
		CHECK_EQ(fix_linear_swap(b, NULL, leaf, i % 8, 32, 60 * S, &err), 0);
		most = max_of(most, load_relaxed(&fix_live_maps));
	}
	/* A live and a new map, and at most 8 dropped ones, each with one below. */
	CHECK(most <= 2 * 10);
	store_release(&o.stop, 1);
	riser_exec_post(o.x, &w);
	pthread_join(o.thread, NULL);
	riser_exec_free(o.x);
	riser_blk_close(b);
	riser_blk_close(leaf);
	CHECK_EQ(fix_live_maps, 0);
	riser_free(r);
}

TEST(rule_5_a_sleeping_owner_and_10000_swaps)
{
	SUB(swapping_for_a_sleeper(0, false));
	SUB(swapping_for_a_sleeper(RISER_NO_MEMBARRIER, false));
	SUB(swapping_for_a_sleeper(0, true));
}

/* Rule 3: two owners, each swapping one level of the same stack while it does I/O on the top. */
struct changer {
	struct owner o;
	struct riser_blk *target, *lower;
};

static void *changer_main(void *arg)
{
	struct changer *g = arg;
	struct riser_err e;

	fix_this = g->o.x;
	for (unsigned i = 0; i < 1000; i++) {
		while (g->o.inflight < 4)
			owner_submit(&g->o);
		if (fix_linear_swap(g->target, g->o.x, g->lower, i % 4, 40, 60 * S, &e))
			store_relaxed(&g->o.failed, g->o.failed + 1);
	}
	while (g->o.inflight || !load_acquire(&g->o.stop))
		riser_exec_wait(g->o.x, NS_PER_MS);
	riser_blk_channel_close(g->o.c);
	while (riser_exec_poll(g->o.x) > 0)
		;
	return NULL;
}

static void two_owners_swap(uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	static struct changer g[2];
	struct riser_blk *leaf, *middle, *top;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	leaf = fix_leaf_new(r, "leaf", 64, FIX_LATE, 0);
	middle = fix_linear_new(r, "middle", leaf, 8, 48, true);
	top = fix_linear_new(r, "top", middle, 4, 40, true);
	memset(g, 0, sizeof(g));
	g[0].target = top;
	g[0].lower = middle;
	g[1].target = middle;
	g[1].lower = leaf;
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(riser_exec_new(r, &g[i].o.x, &err), 0);
		CHECK_EQ(riser_blk_channel_open(top, g[i].o.x, 8, &g[i].o.c, &err), 0);
	}
	/* The middle shrinks to what the top still fits in. */
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&g[i].o.thread, NULL, changer_main, &g[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		store_release(&g[i].o.stop, 1);
		pthread_join(g[i].o.thread, NULL);
		CHECK_EQ(g[i].o.failed, 0);
	}
	for (unsigned i = 0; i < 2; i++)
		riser_exec_free(g[i].o.x);
	riser_blk_close(top);
	riser_blk_close(middle);
	riser_blk_close(leaf);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
	riser_free(r);
}

TEST(rule_3_two_owners_swap_in_one_stack)
{
	SUB(two_owners_swap(0));
	SUB(two_owners_swap(RISER_NO_MEMBARRIER));
}

TEST_MAIN(CASE(suspended_io_waits_and_then_runs),
	  CASE(rule_2_parked_io_is_named_and_the_gate_reopens),
	  CASE(a_suspend_drives_the_executor_it_is_given),
	  CASE(rules_6_and_7_one_frame_and_one_child_a_level_are_enough),
	  CASE(rule_4_only_an_owner_with_io_in_flight_is_needed),
	  CASE(rule_3_inside_a_completion_the_answer_is_edeadlk),
	  CASE(what_is_closing_gets_no_map_of_a_swap),
	  CASE(swap_moves_the_device_and_shrinking_is_checked_again),
	  CASE(a_failed_swap_leaves_the_old_table_live), CASE(swap_with_membarrier),
	  CASE(swap_without_membarrier), CASE(swap_over_a_leaf_whose_owners_sleep),
	  CASE(a_table_stays_while_somebody_makes_a_map_of_it),
	  CASE(rule_5_a_sleeping_owner_and_10000_swaps), CASE(rule_3_two_owners_swap_in_one_stack))
