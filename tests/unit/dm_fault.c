/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The fault target: rules, breakpoints, time. */
#include "dm_fixture.h"

#define MS 1000000ull

static uint64_t buf[64 * 64];

static int rw(struct dm_way *w, enum riser_blk_op op, uint64_t sector, unsigned count)
{
	return riser_blk_rw(w->c, op, sector, count, buf, 0);
}

static void make(const char *rules, struct riser_dm **d, struct dm_way *w)
{
	char table[512];

	dm_up();
	snprintf(table, sizeof(table), "0 256 fault mem:1M 8 %s", rules);
	SUB(*d = dm_make("f", table));
	SUB(dm_open_way("dm:f", w));
}

static void unmake(struct riser_dm *d, struct dm_way *w)
{
	dm_close_way(w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

TEST(mistakes)
{
	static const struct {
		const char *args, *says;
		unsigned column;
	} t[] = {
		{ "", "a device is missing", 11 },
		{ "mem:1M 2047", "too small", 18 },
		{ "mem:1M 0 x", "the number of rules has to be a number", 20 },
		{ "mem:1M 0 2 error", "a rule is missing", 28 },
		{ "mem:1M 0 1 error error", "one argument too many", 28 },
		{ "mem:1M 0 1 eror", "unknown action 'eror': did you mean 'error'?", 22 },
		{ "mem:1M 0 1 error=MEDIU", "did you mean 'MEDIUM'", 22 },
		{ "mem:1M 0 1 drop=1", "'drop' wants no value, not '1'", 22 },
		{ "mem:1M 0 1 delay", "'delay' wants a time", 22 },
		{ "mem:1M 0 1 delay=5m", "'delay' wants a time", 22 },
		{ "mem:1M 0 1 delay=3601s", "at most an hour", 22 },
		{ "mem:1M 0 1 break=", "'break' wants a name", 22 },
		{ "mem:1M 0 1 error,opp=read", "unknown condition 'opp': did you mean 'op'?", 22 },
		{ "mem:1M 0 1 error,op=reed", "unknown operation 'reed'", 22 },
		{ "mem:1M 0 1 error,op=read+", "unknown operation ''", 22 },
		{ "mem:1M 0 1 error,sectors=8-7", "'sectors' wants FIRST-LAST, not '8-7'", 22 },
		{ "mem:1M 0 1 error,nth=0", "'nth' wants a number above 0", 22 },
		{ "mem:1M 0 1 error,prob=1.1", "'prob' wants", 22 },
		{ "mem:1M 0 1 error,prob=0", "'prob' wants", 22 },
		{ "mem:1M 0 1 error,prob=0.", "'prob' wants", 22 },
	};
	char table[128];

	dm_up();
	for (size_t i = 0; i < array_len(t); i++) {
		snprintf(table, sizeof(table), "0 8 fault %s", t[i].args);
		CHECK_EQ(dm_try(table), -EINVAL);
		CHECK_HAS(err.text, t[i].says);
		CHECK_EQ(where.column, t[i].column);
	}
	dm_down();
}

TEST(errors_by_what_the_io_is)
{
	static const struct {
		const char *rule;
		enum riser_blk_op op;
		uint64_t sector;
		unsigned count;
		enum riser_blk_status status;
	} t[] = {
		{ "error", RISER_BLK_READ, 0, 1, RISER_BLK_IOERR },
		{ "error", RISER_BLK_FLUSH, 0, 0, RISER_BLK_IOERR },
		{ "error=MEDIUM,op=read", RISER_BLK_READ, 0, 1, RISER_BLK_MEDIUM },
		{ "error=MEDIUM,op=read", RISER_BLK_WRITE, 0, 1, RISER_BLK_OK },
		{ "error=nospc,op=write+discard", RISER_BLK_WRITE, 0, 1, RISER_BLK_NOSPC },
		{ "error=nospc,op=write+discard", RISER_BLK_DISCARD, 0, 1, RISER_BLK_NOSPC },
		{ "error=nospc,op=write+discard", RISER_BLK_WRITE_ZEROES, 0, 1, RISER_BLK_OK },
		{ "error=TRANSPORT,op=flush", RISER_BLK_FLUSH, 0, 0, RISER_BLK_TRANSPORT },
		{ "error=TRANSPORT,op=flush", RISER_BLK_WRITE, 0, 1, RISER_BLK_OK },
		{ "error=UNKNOWN_OUTCOME,op=write_zeroes", RISER_BLK_WRITE_ZEROES, 0, 1,
		  RISER_BLK_UNKNOWN_OUTCOME },
		/* The sectors are the target's, not the device's below. */
		{ "error,sectors=8-15", RISER_BLK_READ, 7, 1, RISER_BLK_OK },
		{ "error,sectors=8-15", RISER_BLK_READ, 7, 2, RISER_BLK_IOERR },
		{ "error,sectors=8-15", RISER_BLK_READ, 15, 1, RISER_BLK_IOERR },
		{ "error,sectors=8-15", RISER_BLK_READ, 16, 1, RISER_BLK_OK },
		{ "error,sectors=8-15", RISER_BLK_READ, 0, 64, RISER_BLK_IOERR },
		{ "error,sectors=3", RISER_BLK_READ, 3, 1, RISER_BLK_IOERR },
		{ "error,sectors=3", RISER_BLK_READ, 4, 1, RISER_BLK_OK },
		{ "error,sectors=3", RISER_BLK_FLUSH, 0, 0, RISER_BLK_OK },
	};

	for (size_t i = 0; i < array_len(t); i++) {
		char rules[128];
		struct riser_dm *d;
		struct dm_way w;

		snprintf(rules, sizeof(rules), "1 %s", t[i].rule);
		SUB(make(rules, &d, &w));
		CHECK_EQ(rw(&w, t[i].op, t[i].sector, t[i].count), t[i].status);
		SUB(unmake(d, &w));
	}
}

/* Which of 24 reads fail. */
static uint32_t pattern(const char *rules)
{
	struct riser_dm *d = NULL;
	uint32_t bits = 0;
	struct dm_way w;

	make(rules, &d, &w);
	if (tap_failed)
		return ~0u;
	for (unsigned i = 0; i < 24; i++)
		bits |= (uint32_t)(rw(&w, RISER_BLK_READ, i, 1) != RISER_BLK_OK) << i;
	unmake(d, &w);
	return bits;
}

TEST(errors_by_count)
{
	uint32_t some;
	unsigned n = 0;

	CHECK_EQ(pattern("1 error,nth=3"), 0x4);
	CHECK_EQ(pattern("1 error,every=5"), 0x084210);
	CHECK_EQ(pattern("1 error,every=5,times=2"), 0x210);
	CHECK_EQ(pattern("1 error,after=20"), 0xf00000);
	CHECK_EQ(pattern("1 error,after=4,nth=2"), 0x20);
	CHECK_EQ(pattern("1 error,after=4,every=8,times=1"), 0x800);
	CHECK_EQ(pattern("1 error,times=3"), 0x7);
	CHECK_EQ(pattern("2 error,nth=1 error,nth=1"), 0x3); /* the second sees what is left */
	CHECK_EQ(pattern("1 error,op=write"), 0);
	CHECK_EQ(pattern("1 error,prob=1"), 0xffffff);
	some = pattern("1 error,prob=0.5");
	for (unsigned i = 0; i < 24; i++)
		n += some >> i & 1;
	CHECK(n > 4 && n < 20);
	CHECK_EQ(pattern("1 error,prob=0.5"), some);
	CHECK(pattern("1 error,prob=0.5,seed=2") != some);
	CHECK_EQ(pattern("1 error,prob=0.5,times=1"), some & -some);
}

/* To the nanosecond. */
TEST(delays)
{
	struct dm_op a, b, c;
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t0;

	SUB(make("4 delay=10ms,op=read delay=500,op=read,nth=2 delay=2s,op=flush "
		 "error=MEDIUM,op=flush",
		 &d, &w));
	t0 = riser_now(r);
	dm_start(&a, &w, RISER_BLK_READ, 0, 1, buf, 0);
	dm_start(&b, &w, RISER_BLK_READ, 0, 1, buf, 0);
	dm_start(&c, &w, RISER_BLK_FLUSH, 0, 0, NULL, 0);
	dm_finish(&a);
	dm_finish(&b);
	CHECK(!c.done);
	dm_finish(&c);
	CHECK_EQ(a.at - t0, 10 * MS);
	CHECK_EQ(b.at - t0, 10 * MS + 500000);
	CHECK_EQ(c.at - t0, 2000 * MS);
	CHECK_EQ(c.status, RISER_BLK_MEDIUM);
	CHECK_EQ(rw(&w, RISER_BLK_WRITE, 0, 1), RISER_BLK_OK);
	CHECK_EQ(riser_now(r) - t0, 2000 * MS);
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 4 1 0 3 0");
	SUB(unmake(d, &w));
}

TEST(messages)
{
	struct riser_dm *d;
	struct dm_way w;
	int rc;

	SUB(make("", &d, &w));
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE), "0 256 fault mem:1M 8");
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 0 0 0 0 0");
	CHECK_STR(dm_say(d, "list", &rc), "");
	CHECK_STR(dm_say(d, "add error=MEDIUM,op=read,nth=2", &rc), "1");
	CHECK_STR(dm_say(d, "add drop,op=write", &rc), "2");
	CHECK_EQ(rw(&w, RISER_BLK_READ, 0, 1), RISER_BLK_OK);
	CHECK_EQ(rw(&w, RISER_BLK_READ, 0, 1), RISER_BLK_MEDIUM);
	CHECK_EQ(rw(&w, RISER_BLK_READ, 0, 1), RISER_BLK_OK);
	CHECK_STR(dm_say(d, "list", &rc), "1 3 1 error=MEDIUM,op=read,nth=2\n"
					  "2 0 0 drop,op=write");
	dm_fill(buf, 0, 1, 1);
	CHECK_EQ(rw(&w, RISER_BLK_WRITE, 0, 1), RISER_BLK_OK);
	CHECK_EQ(rw(&w, RISER_BLK_READ, 0, 1), RISER_BLK_OK);
	CHECK(dm_zeroes(buf, 1));
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 5 1 1 0 0");
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE),
		  "0 256 fault mem:1M 8 2 error=MEDIUM,op=read,nth=2 drop,op=write");
	CHECK_STR(dm_say(d, "remove 1", &rc), "");
	CHECK_EQ(rc, 0);
	CHECK_HAS(dm_say(d, "remove 1", &rc), "there is no rule 1");
	CHECK_EQ(rc, -ENOENT);
	CHECK_STR(dm_say(d, "add error,op=flush", &rc), "3");
	CHECK_STR(dm_say(d, "list", &rc), "2 1 1 drop,op=write\n3 0 0 error,op=flush");
	CHECK_STR(dm_say(d, "clear", &rc), "");
	CHECK_STR(dm_say(d, "list", &rc), "");
	CHECK_HAS(dm_say(d, "add", &rc), "a rule is missing");
	CHECK_HAS(dm_say(d, "add eror", &rc), "did you mean 'error'");
	CHECK_EQ(rc, -EINVAL);
	CHECK_HAS(dm_say(d, "liste", &rc), "unknown message 'liste': did you mean 'list'?");
	CHECK_HAS(dm_say(d, "clear all", &rc), "one argument too many");
	CHECK_HAS(dm_say(d, "release", &rc), "a breakpoint's name is missing");
	CHECK_STR(dm_say(d, "release nobody", &rc), "0");
	SUB(unmake(d, &w));
}

/* Two writes of the same sectors, in the order that the test says. */
static void two_writes(bool first_first)
{
	static uint64_t data[2][64 * 8];
	struct dm_op g[2];
	struct riser_dm *d;
	struct dm_way w;
	int rc;

	SUB(make("2 break=one,op=write,nth=1 break=two,op=write,nth=1", &d, &w));
	for (unsigned i = 0; i < 2; i++) {
		dm_fill(data[i], 0, 8, i);
		dm_start(&g[i], &w, RISER_BLK_WRITE, 0, 8, data[i], 0);
	}
	dm_settle();
	CHECK(!g[0].done && !g[1].done);
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 2 0 0 0 2 one:1 two:1");
	CHECK_STR(dm_say(d, first_first ? "release one" : "release two", &rc), "1");
	dm_settle();
	CHECK_EQ(g[0].done, first_first);
	CHECK_EQ(g[1].done, !first_first);
	CHECK_STR(dm_say(d, first_first ? "release two" : "release one", &rc), "1");
	dm_settle();
	CHECK(g[0].done && g[1].done);
	CHECK_EQ(rw(&w, RISER_BLK_READ, 0, 8), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 8, first_first));
	SUB(unmake(d, &w));
}

TEST(breakpoints_order_writes)
{
	SUB(two_writes(true));
	SUB(two_writes(false));
}

TEST(breakpoints_one_by_one)
{
	struct riser_dm_info info;
	struct dm_op g[6];
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t0;
	int rc;

	SUB(make("4 break=here,op=read,sectors=0-7 break=there,op=read delay=5ms,op=read "
		 "error=MEDIUM,sectors=2",
		 &d, &w));
	t0 = riser_now(r);
	for (unsigned i = 0; i < 6; i++)
		dm_start(&g[i], &w, RISER_BLK_READ, i < 4 ? i : 8 + i, 1, buf, 0);
	dm_settle();
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 6 1 0 6 6 here:4 there:2");
	/* Each that arrives at one is an event. */
	riser_dm_get_info(d, &info);
	CHECK_EQ(info.event_nr, 6);
	riser_exec_wait(x, 3 * MS); /* what waits at a breakpoint has no deadline */
	CHECK_EQ(riser_now(r) - t0, 3 * MS);
	CHECK_STR(dm_say(d, "release here 3", &rc), "3");
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 6 1 0 6 6 here:1 there:2");
	dm_finish(&g[2]);
	CHECK(g[0].done && g[1].done && !g[3].done && !g[4].done);
	CHECK_EQ(g[2].at - t0, 8 * MS); /* the delay begins where the breakpoint ends */
	CHECK_EQ(g[0].status, RISER_BLK_OK);
	CHECK_EQ(g[2].status, RISER_BLK_MEDIUM);
	/* Without its rule a breakpoint holds nobody new, and whom it has it keeps. */
	CHECK_STR(dm_say(d, "remove 2", &rc), "");
	dm_settle();
	CHECK(!g[4].done);
	CHECK_STR(dm_say(d, "release there 1", &rc), "1");
	dm_finish(&g[4]);
	CHECK(!g[5].done);
	CHECK_STR(dm_say(d, "clear", &rc), "");
	dm_finish(&g[3]);
	dm_finish(&g[5]);
	CHECK(g[3].done && g[5].done);
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 6 1 0 6 0");
	SUB(unmake(d, &w));
}

/* Which flushes arrive below a target that swallows them. */
TEST(dropped_flushes)
{
	struct riser_dm *d, *below;
	struct dm_op g;
	struct dm_way w;
	int rc;

	dm_up();
	SUB(below = dm_make("below", "0 256 fault mem:1M 0 4 delay=0,op=write delay=0,op=flush "
				     "delay=0,op=fua break=stop,op=fua,nth=2"));
	SUB(d = dm_make("f", "0 256 fault dm:below 0"));
	SUB(dm_open_way("dm:f", &w));
	CHECK_EQ(riser_blk_rw(w.c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(w.c, RISER_BLK_WRITE, 0, 1, buf, RISER_BLK_FUA | RISER_BLK_PREFLUSH),
		 RISER_BLK_OK);
	CHECK_HAS(dm_say(below, "list", &rc), "1 1 1 delay=0,op=write\n2 2 2 delay=0,op=flush\n"
					      "3 1 1 delay=0,op=fua\n");
	CHECK_STR(dm_say(d, "add drop,op=flush", &rc), "1");
	dm_start(&g, &w, RISER_BLK_FLUSH, 0, 0, NULL, 0);
	dm_settle();
	CHECK(g.done && g.status == RISER_BLK_OK);
	dm_start(&g, &w, RISER_BLK_WRITE, 0, 1, buf, RISER_BLK_FUA | RISER_BLK_PREFLUSH);
	dm_settle();
	CHECK(!g.done);
	CHECK_STR(dm_say(below, "clear", &rc), "");
	dm_settle();
	CHECK_EQ(g.flags, RISER_BLK_FUA | RISER_BLK_PREFLUSH); /* the caller's are as they were */
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 256 fault 4 0 2 0 0");
	CHECK_STR(dm_say(below, "add drop,op=write+fua+flush", &rc), "5");
	CHECK_STR(dm_say(d, "add drop,op=fua", &rc), "2");
	dm_fill(buf, 3, 1, 9);
	dm_start(&g, &w, RISER_BLK_WRITE, 3, 1, buf, RISER_BLK_FUA | RISER_BLK_PREFLUSH);
	dm_settle();
	CHECK_EQ(g.flags, RISER_BLK_FUA | RISER_BLK_PREFLUSH);
	CHECK_HAS(dm_say(below, "list", &rc), "5 1 1 drop");
	CHECK_EQ(rw(&w, RISER_BLK_READ, 3, 1), RISER_BLK_OK);
	CHECK(dm_zeroes(buf, 1));
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	CHECK_EQ(riser_dm_remove(below, x, &err), 0);
	dm_down();
}

/* Delays are cut short, breakpoints are not. */
TEST(suspend)
{
	struct dm_op late, held, new;
	struct riser_dm *d;
	struct dm_way w;
	uint64_t t0;
	int rc;

	SUB(make("2 delay=10s,op=write break=b,op=read,times=1", &d, &w));
	t0 = riser_now(r);
	dm_start(&late, &w, RISER_BLK_WRITE, 0, 1, buf, 0);
	dm_settle();
	CHECK(!late.done);
	CHECK_EQ(riser_dm_suspend(d, x, DM_S, &err), 0);
	CHECK(late.done);
	CHECK_EQ(late.at - t0, 0);
	dm_start(&late, &w, RISER_BLK_WRITE, 0, 1, buf, 0);
	CHECK_EQ(riser_dm_resume(d, x, DM_S, &err), 0);
	dm_finish(&late);
	CHECK_EQ(late.at - t0, 10 * DM_S);

	dm_start(&held, &w, RISER_BLK_READ, 0, 1, buf, 0);
	dm_settle();
	CHECK_EQ(riser_dm_suspend(d, x, DM_S, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "mapped device f");
	dm_start(&new, &w, RISER_BLK_READ, 0, 1, buf, 0); /* it is open again */
	dm_settle();
	CHECK(new.done && !held.done);
	dm_start(&late, &w, RISER_BLK_WRITE, 0, 1, buf, 0); /* and delays as before */
	dm_settle();
	CHECK(!late.done);
	CHECK_STR(dm_say(d, "release b", &rc), "1");
	CHECK_EQ(riser_dm_suspend(d, x, DM_S, &err), 0);
	CHECK(held.done && late.done);
	CHECK_EQ(held.status, RISER_BLK_OK);
	CHECK_EQ(riser_dm_resume(d, x, DM_S, &err), 0);
	SUB(unmake(d, &w));
}

TEST_MAIN(CASE(mistakes), CASE(errors_by_what_the_io_is), CASE(errors_by_count), CASE(delays),
	  CASE(messages), CASE(breakpoints_order_writes), CASE(breakpoints_one_by_one),
	  CASE(dropped_flushes), CASE(suspend))
