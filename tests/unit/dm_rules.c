/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The rules of suspending and swapping in a stack of mapped devices, each by name. A hang is caught
 * by the alarm.
 */
#include "dm_leaves.h"
#include <pthread.h>

#define S NS_PER_S

static struct riser_err err;
static struct riser *r;
static struct riser_exec *x;
static unsigned ended;
static int last_status;

static void up(uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };

	CHECK_EQ(registry_up(), 0);
	CHECK_EQ(base_new(&opts, &registry, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		leaves[i] = fix_leaf_new(r, "leaf", 64, FIX_AT_ONCE, 0);
		snprintf(leaves[i]->description, sizeof(leaves[i]->description), "leaf %u", i);
		leaves[i]->write_cache = true;
	}
}

static void down(void)
{
	for (unsigned i = 0; i < 3; i++)
		riser_blk_close(leaves[i]);
	riser_exec_free(x);
	riser_free(r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

static struct riser_dm *make(const char *name, const char *table)
{
	struct riser_dm *d = NULL;

	if (riser_dm_create(r, name, NULL, 0, &d, &err) || leaves_table(d, x, table, &err)) {
		printf("# %s: %s\n", name, err.text);
		tap_failed = true;
	}
	return d;
}

static struct riser_blk_channel *way(struct riser_dm *d)
{
	struct riser_blk_channel *c = NULL;

	if (riser_blk_channel_open(d->b, x, 0, &c, &err)) {
		printf("# %s\n", err.text);
		tap_failed = true;
	}
	return c;
}

static void on_done(struct riser_blk_io *io)
{
	last_status = io->status;
	ended++;
	riser_blk_io_put(io);
}

static uint8_t buf[64 * 512];

static void start(struct riser_blk_channel *c, enum riser_blk_op op, uint64_t sector,
		  uint32_t count)
{
	struct riser_blk_io *io = riser_blk_io_get(c);

	io->op = (uint8_t)op;
	io->flags = 0;
	io->sector = sector;
	io->count = count;
	io->one = (struct iovec){ buf, sizeof(buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = on_done;
	riser_blk_submit(io);
}

static void poll_all(void)
{
	for (unsigned i = 0; i < 100; i++)
		riser_exec_poll(x);
}

static unsigned skips(struct riser_dm *d)
{
	struct riser_dm_info i;

	riser_dm_get_info(d, &i);
	return i.skips;
}

TEST(rule_1_nobody_skips_who_is_suspended)
{
	struct riser_dm *low, *mid, *top, *wide;
	struct riser_blk_channel *c, *w;

	SUB(up(RISER_VIRTUAL_TIME));
	SUB(low = make("low", "0 32 linear leaf:0 0"));
	SUB(mid = make("mid", "0 32 linear dm:low 0"));
	SUB(top = make("top", "0 32 linear dm:mid 0"));
	SUB(wide = make("wide", "0 32 striped 2 4 dm:low 0 dm:mid 16"));
	SUB(c = way(top));
	SUB(w = way(wide));
	CHECK_EQ(skips(top), 2);
	CHECK_EQ(skips(wide), 2);
	CHECK_EQ(riser_dm_suspend(low, x, S, &err), 0);
	CHECK_EQ(skips(top), 1);
	CHECK_EQ(skips(wide), 1);
	ended = 0;
	start(c, RISER_BLK_WRITE, 0, 4);
	start(w, RISER_BLK_WRITE, 0, 8);
	start(c, RISER_BLK_FLUSH, 0, 0);
	poll_all();
	CHECK_EQ(ended, 0);
	CHECK_EQ(riser_dm_resume(low, x, S, &err), 0);
	poll_all();
	CHECK_EQ(ended, 3);
	CHECK_EQ(skips(top), 2);
	CHECK_EQ(skips(wide), 2);
	riser_blk_channel_close(w);
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(wide, x, &err), 0);
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(mid, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

TEST(rule_2_parked_io_is_named_and_the_gate_reopens)
{
	struct riser_dm *low, *top;
	struct riser_blk_channel *c;
	struct fix_leaf *leaf;

	SUB(up(RISER_VIRTUAL_TIME));
	SUB(low = make("low", "0 32 linear leaf:1 0"));
	SUB(top = make("top", "0 16 linear dm:low 0\n16 16 zero"));
	SUB(c = way(top));
	leaf = leaves[1]->priv;
	leaf->mode = FIX_HELD;
	ended = 0;
	start(c, RISER_BLK_WRITE, 0, 4);
	CHECK_EQ(riser_dm_suspend(top, x, S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "leaf 1");
	CHECK_EQ(riser_dm_load(top, x, "0 32 linear dm:low 0", NULL, &err), 0);
	CHECK_EQ(riser_dm_resume(top, x, S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "leaf 1");
	/* From below too: whoever skips it cannot be told. */
	CHECK_EQ(riser_dm_suspend(low, x, S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "leaf 1");
	CHECK_EQ(ended, 0);
	leaf->mode = FIX_AT_ONCE;
	poll_all();
	CHECK_EQ(ended, 1);
	start(c, RISER_BLK_READ, 0, 4); /* the gates are open */
	poll_all();
	CHECK_EQ(ended, 2);
	CHECK_EQ(riser_dm_resume(top, x, S, &err), 0); /* and the table is there still */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 16, 8, buf, 0), RISER_BLK_OK);
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

/* With I/O parked at each of them in the end; and resumed in either order. */
TEST(rule_2_a_stack_is_suspended_from_the_top_down)
{
	struct riser_dm *d[4];
	struct riser_blk_channel *c;
	uint64_t before;

	SUB(up(RISER_VIRTUAL_TIME));
	SUB(d[0] = make("d0", "0 32 linear leaf:0 0"));
	SUB(d[1] = make("d1", "0 32 linear dm:d0 0"));
	SUB(d[2] = make("d2", "0 32 linear dm:d1 0"));
	SUB(d[3] = make("d3", "0 16 linear dm:d2 0\n16 16 linear dm:d0 16"));
	SUB(c = way(d[3]));
	for (unsigned round = 0; round < 2; round++) {
		ended = 0;
		CHECK_EQ(riser_dm_suspend(d[2], x, S, &err), 0);
		start(c, RISER_BLK_READ, 0, 4); /* parked at d2 */
		poll_all();
		CHECK_EQ(riser_dm_suspend(d[1], x, S, &err), 0);
		/* d3 skips d0, and cannot be told while its I/O is parked. */
		CHECK_EQ(riser_dm_suspend(d[0], x, S, &err), -ETIMEDOUT);
		CHECK_HAS(err.text, "mapped device d2");
		before = riser_now(r);
		CHECK_EQ(riser_dm_resume(d[round ? 1 : 2], x, S, &err), 0);
		CHECK(riser_now(r) - before < S / 2); /* nothing is waited for */
		CHECK_EQ(riser_dm_resume(d[round ? 2 : 1], x, S, &err), 0);
		poll_all();
		CHECK_EQ(ended, 1);
		CHECK_EQ(skips(d[3]), 3);
	}
	riser_blk_channel_close(c);
	for (unsigned i = 4; i-- > 0;)
		CHECK_EQ(riser_dm_remove(d[i], x, &err), 0);
	SUB(down());
}

static struct riser_dm *waited_for;
static int waited_rc;

static void *suspend_main(void *arg)
{
	struct riser_err e;

	waited_rc = riser_dm_suspend(waited_for, NULL, 60 * S, &e);
	return NULL;
}

/* Who suspends waits for I/O that is parked at a device which another thread is to resume. */
TEST(rule_2_who_resumes_has_its_turn)
{
	struct riser_blk_channel *c;
	struct riser_dm *low;
	pthread_t thread;

	SUB(up(0));
	SUB(low = make("low", "0 32 linear leaf:0 0"));
	SUB(waited_for = make("top", "0 32 linear dm:low 0"));
	SUB(c = way(waited_for));
	for (unsigned i = 0; i < 10; i++) {
		alarm(30);
		ended = 0;
		CHECK_EQ(riser_dm_suspend(low, x, S, &err), 0);
		start(c, RISER_BLK_READ, 0, 4);
		CHECK_EQ(pthread_create(&thread, NULL, suspend_main, NULL), 0);
		usleep(i * 3000);
		CHECK_EQ(riser_dm_resume(low, x, 20 * S, &err), 0);
		while (!ended)
			riser_exec_wait(x, TIME_NEVER);
		pthread_join(thread, NULL);
		CHECK_EQ(waited_rc, 0);
		CHECK_EQ(riser_dm_resume(waited_for, x, S, &err), 0);
	}
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(waited_for, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

static void *open_main(void *arg)
{
	struct riser_err e;
	struct riser_blk *b;

	for (unsigned i = 0; i < 300; i++) {
		if (riser_blk_open(r, "table:0 32 linear dm:low 0", RISER_BLK_RDWR, &b, &e))
			fix_broken("%s", e.text);
		else
			riser_blk_close(b);
	}
	return NULL;
}

/* Devices that are freed by one thread while another walks what is above. */
TEST(devices_without_a_name_come_and_go)
{
	pthread_t thread;
	struct riser_dm *low;

	SUB(up(0));
	SUB(low = make("low", "0 32 linear leaf:0 0"));
	CHECK_EQ(pthread_create(&thread, NULL, open_main, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		CHECK_EQ(riser_dm_suspend(low, x, 60 * S, &err), 0);
		CHECK_EQ(skips(low), 0);
		CHECK_EQ(riser_dm_resume(low, x, 60 * S, &err), 0);
	}
	pthread_join(thread, NULL);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

/* Two owners, each swapping one level of the stack while it does I/O on the top. */
struct changer {
	pthread_t thread;
	struct riser_exec *x;
	struct riser_blk_channel *c;
	struct riser_dm *d;
	const char *tables[2];
	unsigned inflight, failed;
	uint8_t buf[512];
};

static void changer_done(struct riser_blk_io *io)
{
	struct changer *g = io->user;

	g->inflight--;
	g->failed += io->status != RISER_BLK_OK;
	riser_blk_io_put(io);
}

static void changer_start(struct changer *g, unsigned i)
{
	struct riser_blk_io *io = riser_blk_io_get(g->c);

	io->op = i % 5 ? RISER_BLK_READ : RISER_BLK_FLUSH;
	io->flags = 0;
	io->sector = i % 32;
	io->count = 1;
	io->one = (struct iovec){ g->buf, sizeof(g->buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = changer_done;
	io->user = g;
	g->inflight++;
	riser_blk_submit(io);
}

static void *changer_main(void *arg)
{
	struct changer *g = arg;
	struct riser_err e;

	fix_this = g->x;
	for (unsigned i = 0; i < 300; i++) {
		while (g->inflight < 4)
			changer_start(g, i);
		g->failed += leaves_table(g->d, g->x, g->tables[i % 2], &e) != 0;
	}
	while (g->inflight)
		riser_exec_wait(g->x, TIME_NEVER);
	riser_blk_channel_close(g->c);
	while (riser_exec_poll(g->x) > 0)
		;
	return NULL;
}

TEST(rule_3_two_owners_swap_in_one_stack)
{
	static struct changer g[2];
	struct riser_dm *low, *top;

	SUB(up(0));
	SUB(low = make("low", "0 48 linear leaf:0 0"));
	SUB(top = make("top", "0 32 linear dm:low 0"));
	((struct fix_leaf *)leaves[0]->priv)->mode = FIX_LATE;
	memset(g, 0, sizeof(g));
	g[0] = (struct changer){ .d = top,
				 .tables = { "0 32 linear dm:low 1", "0 32 linear leaf:0 0" } };
	g[1] = (struct changer){
		.d = low, .tables = { "0 40 linear leaf:0 9\n40 8 zero", "0 48 linear leaf:0 0" }
	};
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(riser_exec_new(r, &g[i].x, &err), 0);
		CHECK_EQ(riser_blk_channel_open(top->b, g[i].x, 8, &g[i].c, &err), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&g[i].thread, NULL, changer_main, &g[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(g[i].thread, NULL);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(g[i].failed, 0);
		riser_exec_free(g[i].x);
	}
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

static struct riser_dm *inside;
static int answers[10];

static void control_inside(struct riser_blk_io *io)
{
	struct riser_err e;
	char *text;

	answers[0] = riser_dm_load(inside, x, "0 32 zero", NULL, &e);
	answers[1] = riser_dm_clear(inside, x, &e);
	answers[2] = riser_dm_suspend(inside, x, S, &e);
	answers[3] = riser_dm_resume(inside, x, S, &e);
	answers[4] = riser_dm_status(inside, x, RISER_STATUS_INFO, false, &text, &e);
	answers[5] = riser_dm_message(inside, x, 0, "hello", &text, &e);
	answers[6] = riser_dm_wait(inside, x, 0, S);
	answers[7] = riser_dm_remove(inside, x, &e);
	answers[8] = riser_dm_suspend(inside, NULL, S, &e); /* who does not say where he is */
	answers[9] = riser_dm_check(r, "0 32 zero", NULL, NULL, &e);
	on_done(io);
}

TEST(rule_3_inside_a_completion_the_answer_is_edeadlk)
{
	struct riser_blk_channel *c;
	struct riser_blk_io *io;

	SUB(up(RISER_VIRTUAL_TIME));
	SUB(inside = make("d", "0 32 linear leaf:0 0"));
	SUB(c = way(inside));
	ended = 0;
	io = riser_blk_io_get(c);
	io->op = RISER_BLK_FLUSH;
	io->flags = 0;
	io->done = control_inside;
	riser_blk_submit(io);
	poll_all();
	CHECK_EQ(ended, 1);
	for (unsigned i = 0; i < array_len(answers); i++)
		CHECK_EQ(answers[i], -EDEADLK);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 0, 8, buf, 0), RISER_BLK_OK);
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(inside, x, &err), 0);
	SUB(down());
}

/* An owner that neither polls nor sleeps armed: with nothing in flight he is not needed. */
TEST(rule_4_only_an_owner_with_io_in_flight_is_needed)
{
	struct riser_exec *other;
	struct riser_blk_channel *c;
	struct riser_dm *low, *top;

	SUB(up(RISER_VIRTUAL_TIME));
	SUB(low = make("low", "0 32 linear leaf:0 0"));
	SUB(top = make("top", "0 32 linear dm:low 0"));
	CHECK_EQ(riser_exec_new(r, &other, &err), 0);
	CHECK_EQ(riser_blk_channel_open(top->b, other, 0, &c, &err), 0);
	CHECK_EQ(riser_dm_suspend(low, x, S, &err), 0);
	CHECK_EQ(riser_dm_resume(low, x, S, &err), 0);
	ended = 0;
	start(c, RISER_BLK_READ, 0, 4);
	CHECK_EQ(riser_dm_suspend(low, x, S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "leaf 0");
	while (riser_exec_poll(other) > 0)
		;
	CHECK_EQ(ended, 1);
	CHECK_EQ(riser_dm_suspend(low, x, S, &err), 0);
	CHECK_EQ(riser_dm_resume(low, x, S, &err), 0);
	while (riser_exec_poll(other) > 0)
		;
	riser_blk_channel_close(c);
	while (riser_exec_poll(other) > 0)
		;
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	riser_exec_free(other);
	SUB(down());
}

static unsigned flushes(unsigned leaf)
{
	unsigned *n = &((struct fix_leaf *)leaves[leaf]->priv)->flushes, had = *n;

	*n = 0;
	return had;
}

/* A leaf is flushed once where nothing stands between, and once for each way where it does. */
TEST(a_flush_reaches_each_leaf)
{
	struct riser_dm *low, *top;
	struct riser_blk_channel *c;

	SUB(up(RISER_VIRTUAL_TIME));
	SUB(low = make("low", "0 16 linear leaf:0 0\n16 16 linear leaf:1 0"));
	SUB(top = make("top", "0 16 linear dm:low 0\n"
			      "16 24 striped 3 4 leaf:1 0 leaf:2 0 dm:low 16\n"
			      "40 8 zero\n"
			      "48 8 linear leaf:0 40"));
	SUB(c = way(top));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(flushes(i), 1);
	/* Before the data, wherever that goes. */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 42, 1, buf, RISER_BLK_PREFLUSH), RISER_BLK_OK);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(flushes(i), 1);
	/* The three that top has, and what low makes of its own. */
	CHECK_EQ(leaves_table(top, x, "0 8 zero\n8 8 linear leaf:2 0", &err), 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 0, 1, buf, RISER_BLK_PREFLUSH), RISER_BLK_OK);
	CHECK_EQ(flushes(0) + flushes(1), 0);
	CHECK_EQ(flushes(2), 1);
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

/* What a stack is changes with what lies below. */
TEST(limits_follow_what_lies_below)
{
	struct riser_blk_info i;
	struct riser_dm *low, *top;
	struct riser_blk_channel *c;

	SUB(up(RISER_VIRTUAL_TIME));
	leaves[0]->write_cache = leaves[0]->discard = false;
	leaves[2]->limits.logical_block = 4096;
	SUB(low = make("low", "0 32 linear leaf:0 0"));
	SUB(top = make("top", "0 32 linear dm:low 0"));
	SUB(c = way(top));
	riser_blk_get_info(top->b, &i);
	CHECK(!i.write_cache && !i.discard);
	CHECK_EQ(leaves_table(low, x, "0 32 linear leaf:1 0", &err), 0);
	riser_blk_get_info(top->b, &i);
	CHECK(i.write_cache && i.discard);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(flushes(1), 1);
	/* Those above would be out of step. */
	CHECK_EQ(leaves_table(low, x, "0 32 linear leaf:2 0", &err), -EINVAL);
	CHECK_HAS(err.text, "logical blocks of 4096");
	CHECK_EQ(leaves_table(low, x, "0 24 linear leaf:1 0", &err), -EINVAL);
	CHECK_HAS(err.text, "would have 24 sectors");
	CHECK_EQ(riser_dm_clear(low, x, &err), 0);
	/* A chunk is never less than a block. */
	CHECK_EQ(leaves_table(top, x, "0 32 striped 2 4 leaf:2 0 leaf:2 16", &err), -EINVAL);
	CHECK_HAS(err.text, "chunks of 4");
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	SUB(down());
}

/* Two devices a level, each over both below: as many ways as there are subsets of levels. */
TEST(a_ladder_has_many_ways_and_is_walked_once)
{
	struct riser_blk_channel *c;
	char name[8], table[64];
	struct riser_dm *d[2 * 40];

	SUB(up(RISER_VIRTUAL_TIME));
	for (unsigned i = 0; i < array_len(d); i++) {
		unsigned below = i / 2 * 2 - 2;

		snprintf(name, sizeof(name), "d%u", i);
		snprintf(table, sizeof(table),
			 i < 2 ? "0 32 linear leaf:0 0"
			       : "0 16 linear dm:d%u 0\n16 16 linear dm:d%u 16",
			 below, below + 1);
		SUB(d[i] = make(name, table));
	}
	CHECK_EQ(skips(d[array_len(d) - 1]), array_len(d) - 2);
	SUB(c = way(d[array_len(d) - 1]));
	CHECK_EQ(riser_dm_suspend(d[0], x, S, &err), 0);
	CHECK(!list_empty(&d[0]->b->channels));
	CHECK_EQ(riser_dm_resume(d[0], x, S, &err), 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 8, 16, buf, 0), RISER_BLK_OK);
	for (unsigned i = 0; i < array_len(d) - 1; i++) /* what is skipped gets no channel */
		CHECK(list_empty(&d[i]->b->channels));
	riser_blk_channel_close(c);
	CHECK_EQ(leaves_table(d[1], x, "0 32 linear leaf:0 8", &err), 0);
	CHECK_EQ(skips(d[array_len(d) - 1]), array_len(d) - 2);
	CHECK_EQ(riser_dm_load(d[0], x, "0 32 linear dm:d79 0", NULL, &err), -ELOOP);
	for (unsigned i = array_len(d); i-- > 0;)
		CHECK_EQ(riser_dm_remove(d[i], x, &err), 0);
	SUB(down());
}

TEST_MAIN(CASE(rule_1_nobody_skips_who_is_suspended),
	  CASE(rule_2_parked_io_is_named_and_the_gate_reopens),
	  CASE(rule_2_a_stack_is_suspended_from_the_top_down),
	  CASE(rule_2_who_resumes_has_its_turn), CASE(devices_without_a_name_come_and_go),
	  CASE(rule_3_two_owners_swap_in_one_stack),
	  CASE(rule_3_inside_a_completion_the_answer_is_edeadlk),
	  CASE(rule_4_only_an_owner_with_io_in_flight_is_needed), CASE(a_flush_reaches_each_leaf),
	  CASE(limits_follow_what_lies_below), CASE(a_ladder_has_many_ways_and_is_walked_once))
