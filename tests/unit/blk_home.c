/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* HOME tables: hops, and homes that come, go and move, with one thread and with several. */
#include "blk_threads.h"

#define S NS_PER_S

static void start(struct riser_blk_channel *c)
{
	static uint8_t buf[512];

	fix_start(c, RISER_BLK_WRITE, 1, buf);
}

static struct fix_leaf *leaf_of(struct fix_rig *g)
{
	return g->leaf->priv;
}

static void rig_up(struct fix_rig *g, uint32_t flags, enum fix_mode mode, bool home)
{
	fix_rig_up(g, flags, mode, 2, home);
}

static void rig_down(struct fix_rig *g)
{
	CHECK_EQ(fix_failed, 0);
	fix_rig_down(g);
}

/* The executor that runs the device, or NULL. */
static struct riser_exec *home_of(struct fix_rig *g)
{
	return g->b->home ? g->b->home->c.owner->x : NULL;
}

static void poll_both(struct fix_rig *g, unsigned n)
{
	while (n--)
		for (unsigned i = 0; i < 2; i++)
			if (g->x[i])
				riser_exec_poll(g->x[i]);
}

TEST(the_first_channel_has_the_home)
{
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	CHECK(home_of(&g) == g.x[0]);
	start(g.c[0]); /* here */
	riser_exec_poll(g.x[0]);
	CHECK_EQ(fix_ended, 1);
	start(g.c[1]); /* there and back, in three polls */
	riser_exec_poll(g.x[1]);
	CHECK_EQ(load_relaxed(&g.b->home->c.inflight), 0);
	riser_exec_poll(g.x[0]);
	CHECK_EQ(fix_ended, 1); /* never in another thread than its owner's */
	riser_exec_poll(g.x[1]);
	CHECK_EQ(fix_ended, 2);
	rig_down(&g);
}

TEST(a_batch_is_sent_before_a_sleep)
{
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	start(g.c[1]);
	riser_exec_poll(g.x[1]);
	start(g.c[1]);
	start(g.c[1]);
	CHECK(riser_exec_next_deadline(g.x[1]) <= riser_now(g.r));
	CHECK(riser_exec_arm(g.x[1]) <= 0);
	riser_exec_poll(g.x[0]); /* its home needs no poll of ours */
	CHECK_EQ(riser_exec_arm(g.x[1]), 1);
	riser_exec_poll(g.x[1]);
	CHECK_EQ(fix_ended, 3);
	/* And back: what ends behind the home's poll is sent when that arms itself. */
	leaf_of(&g)->mode = FIX_POSTED;
	start(g.c[1]);
	riser_exec_poll(g.x[1]);
	riser_exec_poll(g.x[0]);
	CHECK_EQ(load_relaxed(&g.b->home->c.inflight), 1);
	fix_leaf_kick(g.leaf);
	riser_exec_poll(g.x[0]);
	riser_exec_poll(g.x[1]);
	CHECK_EQ(fix_ended, 4);
	rig_down(&g);
}

TEST(the_home_moves_when_its_owner_closes_first)
{
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	for (unsigned i = 0; i < 2; i++)
		start(g.c[i]);
	poll_both(&g, 3);
	CHECK_EQ(fix_ended, 2);
	riser_blk_channel_close(g.c[0]);
	g.c[0] = NULL;
	CHECK(home_of(&g) == g.x[1]);
	riser_exec_free(g.x[0]);
	g.x[0] = NULL;
	start(g.c[1]);
	riser_exec_poll(g.x[1]);
	CHECK_EQ(fix_ended, 3);
	rig_down(&g);
}

TEST(the_home_stays_when_its_owner_closes_last)
{
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	start(g.c[1]);
	poll_both(&g, 3);
	riser_blk_channel_close(g.c[1]);
	g.c[1] = NULL;
	CHECK(home_of(&g) == g.x[0]);
	start(g.c[0]);
	riser_exec_poll(g.x[0]);
	CHECK_EQ(fix_ended, 2);
	riser_blk_channel_close(g.c[0]);
	g.c[0] = NULL;
	CHECK(home_of(&g) == NULL);
	CHECK_EQ(fix_live_maps, 0);
	/* And the next to come has it. */
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[1], 0, &g.c[1], &err), 0);
	CHECK(home_of(&g) == g.x[1]);
	rig_down(&g);
}

static void close_inside(struct riser_blk_io *io)
{
	struct fix_rig *g = io->user;

	riser_blk_io_put(io);
	riser_blk_channel_close(g->c[0]);
	g->c[0] = NULL;
	fix_ended++;
}

/* Inside a completion nobody waits: the home goes in later polls, once what is in flight ended. */
static void closing_inside(uint32_t flags)
{
	struct riser_blk_io *io;
	struct fix_rig g;

	SUB(rig_up(&g, flags, FIX_POSTED, true));
	start(g.c[1]);
	poll_both(&g, 2);
	io = riser_blk_io_get(g.c[0]);
	io->op = RISER_BLK_FLUSH; /* which there is no cache for: it does not reach the leaf */
	io->done = close_inside;
	io->user = &g;
	riser_blk_submit(io);
	poll_both(&g, 10);
	CHECK_EQ(fix_ended, 1);
	CHECK(home_of(&g) == g.x[0]);
	start(g.c[1]); /* behind the gate */
	poll_both(&g, 2);
	fix_leaf_kick(g.leaf);
	poll_both(&g, 6);
	CHECK(home_of(&g) == g.x[1]);
	CHECK_EQ(g.x[0]->leaving, 0);
	CHECK(g.x[0]->blk == NULL);
	fix_leaf_kick(g.leaf);
	poll_both(&g, 2);
	CHECK_EQ(fix_ended, 3);
	rig_down(&g);
}

TEST(closing_inside_a_completion_moves_the_home_later)
{
	SUB(closing_inside(0));
	SUB(closing_inside(RISER_NO_MEMBARRIER));
}

TEST(an_executor_is_freed_without_the_homes_that_were_left)
{
	struct riser_blk_io *io;
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	io = riser_blk_io_get(g.c[0]);
	io->op = RISER_BLK_FLUSH;
	io->done = close_inside;
	io->user = &g;
	riser_blk_submit(io);
	riser_exec_poll(g.x[0]);
	CHECK_EQ(fix_ended, 1);
	CHECK(home_of(&g) == g.x[0]);
	riser_exec_free(g.x[0]);
	g.x[0] = NULL;
	CHECK(home_of(&g) == g.x[1]);
	start(g.c[1]);
	poll_both(&g, 2);
	CHECK_EQ(fix_ended, 2);
	rig_down(&g);
}

static unsigned warnings;

static void on_log(void *ctx, enum riser_log_level level, const char *line)
{
	warnings += level == RISER_LOG_WARN && strstr(line, "the top: it stays");
}

TEST(what_is_parked_keeps_the_home_where_it_is)
{
	struct fix_rig g;

	SUB(rig_up(&g, RISER_VIRTUAL_TIME, FIX_HELD, true));
	g.r->log = on_log;
	warnings = 0;
	start(g.c[1]);
	poll_both(&g, 2);
	blk_channel_close(g.c[0]);
	g.c[0] = NULL;
	while (warnings < 3) /* the gate opens between two tries */
		riser_exec_wait(g.x[0], S);
	CHECK(home_of(&g) == g.x[0]);
	leaf_of(&g)->mode = FIX_AT_ONCE;
	start(g.c[1]);
	while (home_of(&g) == g.x[0]) {
		riser_exec_wait(g.x[0], S);
		riser_exec_poll(g.x[1]);
	}
	poll_both(&g, 3);
	CHECK_EQ(fix_ended, 2);
	rig_down(&g);
}

TEST(a_suspended_device_changes_its_home_too)
{
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	start(g.c[1]);
	poll_both(&g, 3);
	CHECK_EQ(blk_suspend(g.b, g.x[1], S, &err), 0);
	start(g.c[1]);
	riser_blk_channel_close(g.c[0]);
	g.c[0] = NULL;
	poll_both(&g, 5);
	CHECK(home_of(&g) == g.x[1]);
	CHECK_EQ(fix_ended, 1);
	CHECK_EQ(g.b->state, BLK_SUSPENDED);
	CHECK_EQ(blk_resume(g.b, NULL, &err), 0);
	poll_both(&g, 2);
	CHECK_EQ(fix_ended, 2);
	rig_down(&g);
}

/* One thread drives both executors, so it takes the steps of a swap itself. */
static void swap_now(struct fix_rig *g, bool home)
{
	struct fix_table *old = g->b->table, *t = fix_table_new(g->leaf, 8, 32);
	struct blk_change ch = { .b = g->b, .kind = CHANGE_SWAP, .table = t, .err = &err };

	t->home = home;
	ch.deadline = TIME_NEVER;
	while (!change_step(&ch))
		poll_both(g, 1);
	CHECK_EQ(ch.rc, 0);
	fix_table_put(old);
}

static void there_and_back(uint32_t flags)
{
	struct fix_rig g;

	SUB(rig_up(&g, flags, FIX_LATE, false));
	for (unsigned n = 0; n < 20; n++) {
		CHECK((home_of(&g) != NULL) == n % 2);
		for (unsigned i = 0; i < 10; i++)
			start(g.c[i % 2]);
		SUB(swap_now(&g, n % 2 == 0));
	}
	while (fix_ended < 200)
		poll_both(&g, 1);
	poll_both(&g, 2);
	CHECK_EQ(fix_live_maps, 4); /* of two owners: a linear and a leaf each */
	rig_down(&g);
}

TEST(a_home_table_comes_and_goes)
{
	SUB(there_and_back(0));
	SUB(there_and_back(RISER_NO_MEMBARRIER));
}

TEST(a_swap_without_channels_chooses_no_home)
{
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, false));
	for (unsigned i = 0; i < 2; i++)
		riser_blk_channel_close(g.c[i]);
	SUB(swap_now(&g, true));
	CHECK(home_of(&g) == NULL);
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[1], 0, &g.c[1], &err), 0);
	CHECK(home_of(&g) == g.x[1]);
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[0], 0, &g.c[0], &err), 0);
	start(g.c[0]);
	poll_both(&g, 2);
	CHECK_EQ(fix_ended, 1);
	rig_down(&g);
}

TEST(a_home_that_cannot_be_made_leaves_the_old_table)
{
	struct fix_table *t;
	struct fix_rig g;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, false));
	t = fix_table_new(g.leaf, 8, 32);
	t->home = true;
	t->fail = 1;
	CHECK_EQ(blk_swap(g.b, NULL, t, S, &err), -ENOMEM);
	CHECK(home_of(&g) == NULL);
	CHECK(g.b->next_home == NULL);
	fix_table_put(t);
	/* Nor is a first channel opened without. */
	for (unsigned i = 0; i < 2; i++) {
		riser_blk_channel_close(g.c[i]);
		g.c[i] = NULL;
	}
	fix_linear_set_home(g.b, true);
	((struct fix_table *)g.b->table)->fail = 1;
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[0], 0, &g.c[0], &err), -ENOMEM);
	g.c[0] = NULL;
	CHECK_EQ(riser_blk_channel_open(g.b, g.x[1], 0, &g.c[1], &err), 0);
	CHECK(home_of(&g) == g.x[1]);
	rig_down(&g);
}

TEST(memory_of_the_leaf_is_found_behind_a_hop)
{
	struct fix_rig g;
	void *buf;

	SUB(rig_up(&g, 0, FIX_AT_ONCE, true));
	for (unsigned i = 0; i < 2; i++)
		riser_blk_channel_close(g.c[i]);
	riser_blk_close(g.leaf);
	riser_blk_close(g.b);
	g.leaf = fix_leaf_new(g.r, "own", 64, FIX_AT_ONCE, 64 * MiB);
	g.b = fix_linear_new(g.r, "the top", g.leaf, 8, 32, true);
	fix_linear_set_home(g.b, true);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(riser_blk_channel_open(g.b, g.x[i], 0, &g.c[i], &err), 0);
	CHECK_EQ(riser_blk_buf_alloc(g.c[1], 4096, &buf, &err), 0);
	CHECK(fix_reaches(leaf_of(&g), buf));
	riser_blk_buf_free(g.c[1], buf, 4096);
	rig_down(&g);
}

static void used_then_stop(struct owner *o)
{
	while (!load_relaxed(&o->ios))
		sched_yield();
	owner_stop(o);
}

static struct riser_exec *called_in;

static void remember(void *arg)
{
	called_in = fix_this;
}

/* With the home in a thread of its own: this one only asks. */
TEST(a_call_runs_where_the_home_is)
{
	static struct owner o;
	struct riser_blk *b, *leaf;
	struct riser *r;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	leaf = fix_leaf_new(r, "leaf", 64, FIX_AT_ONCE, 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	CHECK_EQ(blk_at_home(b, NULL, remember, NULL), 0);
	CHECK(called_in == NULL);
	fix_linear_set_home(b, true);
	SUB(owner_start_on(&o, r, b));
	for (unsigned i = 0; i < 100; i++) {
		called_in = NULL;
		CHECK_EQ(blk_at_home(b, NULL, remember, NULL), 0);
		CHECK(called_in == o.x);
	}
	SUB(used_then_stop(&o));
	riser_blk_close(b);
	riser_blk_close(leaf);
	riser_free(r);
}

/* What the swaps of the threads below turn the table into. */
enum kind { ALWAYS_HOME, HOME_AND_BACK };

/* Four owners with I/O in flight; every swap brings a new leaf and closes the old one. */
static void swapping(uint32_t flags, enum fix_mode mode, enum kind kind, unsigned swaps)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct riser_blk *b, *leaf, *next;
	static struct owner owners[4];
	static struct kicker k;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	leaf = fix_leaf_new(r, "leaf", 64, mode, 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	fix_linear_set_home(b, true);
	SUB(kicker_start(&k));
	kicker_set(&k, 0, leaf);
	for (unsigned i = 0; i < 4; i++)
		SUB(owner_start_on(&owners[i], r, b));
	for (unsigned i = 0; i < swaps; i++) {
		bool home = kind == ALWAYS_HOME || i % 2;

		next = fix_leaf_new(r, "leaf", 64, mode, 0);
		kicker_set(&k, (i + 1) & 1, next);
		CHECK_EQ(fix_linear_swap_to(b, NULL, next, i % 8, 32, home, 60 * S, &err), 0);
		kicker_set(&k, i & 1, NULL);
		riser_blk_close(leaf);
		leaf = next;
	}
	for (unsigned i = 0; i < 4; i++) /* the first has the home, then the second, … */
		SUB(owner_stop(&owners[i]));
	kicker_stop(&k);
	riser_blk_close(b);
	riser_blk_close(leaf);
	riser_free(r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

TEST(swap_of_a_home_device_with_hops_in_the_ring)
{
	SUB(swapping(0, FIX_AT_ONCE, ALWAYS_HOME, 500));
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_POSTED, ALWAYS_HOME, 300));
}

TEST(swap_between_home_and_not_with_hops_in_the_ring)
{
	SUB(swapping(0, FIX_AT_ONCE, HOME_AND_BACK, 500));
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_AT_ONCE, HOME_AND_BACK, 300));
}

TEST(the_same_over_a_leaf_whose_owners_sleep)
{
	SUB(swapping(0, FIX_POSTED, HOME_AND_BACK, 300));
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_POSTED, HOME_AND_BACK, 300));
}

/* Owners that come and go, the one of the home among them, while others do I/O and one swaps. */
static void coming_and_going(uint32_t flags, enum fix_mode mode)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	static struct owner owners[4];
	struct riser_blk *b, *leaf;
	static struct kicker k;
	struct riser *r;

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	leaf = fix_leaf_new(r, "leaf", 64, mode, 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	fix_linear_set_home(b, true);
	SUB(kicker_start(&k));
	kicker_set(&k, 0, leaf);
	for (unsigned i = 0; i < 4; i++)
		SUB(owner_start_on(&owners[i], r, b));
	for (unsigned i = 0; i < 200; i++) {
		bool home = i % 8 != 7;

		SUB(used_then_stop(&owners[i % 4]));
		CHECK_EQ(fix_linear_swap_to(b, NULL, leaf, i % 8, 32, home, 60 * S, &err), 0);
		SUB(owner_start_on(&owners[i % 4], r, b));
	}
	for (unsigned i = 4; i-- > 0;)
		SUB(used_then_stop(&owners[i]));
	kicker_stop(&k);
	riser_blk_close(b);
	riser_blk_close(leaf);
	riser_free(r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

TEST(owners_come_and_go_while_a_home_moves_and_is_swapped)
{
	SUB(coming_and_going(0, FIX_AT_ONCE));
	SUB(coming_and_going(0, FIX_POSTED));
	SUB(coming_and_going(RISER_NO_MEMBARRIER, FIX_POSTED));
}

TEST_MAIN(CASE(the_first_channel_has_the_home), CASE(a_batch_is_sent_before_a_sleep),
	  CASE(the_home_moves_when_its_owner_closes_first),
	  CASE(the_home_stays_when_its_owner_closes_last),
	  CASE(closing_inside_a_completion_moves_the_home_later),
	  CASE(an_executor_is_freed_without_the_homes_that_were_left),
	  CASE(what_is_parked_keeps_the_home_where_it_is),
	  CASE(a_suspended_device_changes_its_home_too), CASE(a_home_table_comes_and_goes),
	  CASE(a_swap_without_channels_chooses_no_home),
	  CASE(a_home_that_cannot_be_made_leaves_the_old_table),
	  CASE(memory_of_the_leaf_is_found_behind_a_hop), CASE(a_call_runs_where_the_home_is),
	  CASE(swap_of_a_home_device_with_hops_in_the_ring),
	  CASE(swap_between_home_and_not_with_hops_in_the_ring),
	  CASE(the_same_over_a_leaf_whose_owners_sleep),
	  CASE(owners_come_and_go_while_a_home_moves_and_is_swapped))
