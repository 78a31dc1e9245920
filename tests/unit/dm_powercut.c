/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The powercut target: what is cached, what is flushed, and what a cut leaves of it. */
#include "dm_fixture.h"

#define SECTORS 256

static uint64_t buf[64 * SECTORS];
static struct riser_dm *cut, *below;
static struct dm_way top, low;

/* "cut" over "below" over memory; @low looks at the memory itself, past both. */
static void up(const char *options)
{
	char table[128];

	dm_up();
	SUB(below = dm_make("below", "0 256 fault mem:1M 0"));
	snprintf(table, sizeof(table), "0 256 powercut dm:below 0 %s", options);
	SUB(cut = dm_make("cut", table));
	SUB(dm_open_way("dm:cut", &top));
	SUB(dm_open_way("table:0 2048 linear mem:1M 0", &low));
}

static void down(void)
{
	dm_close_way(&low);
	dm_close_way(&top);
	CHECK_EQ(riser_dm_remove(cut, x, &err), 0);
	CHECK_EQ(riser_dm_remove(below, x, &err), 0);
	dm_down();
}

static int put(uint64_t sector, unsigned count, uint64_t who, uint32_t flags)
{
	dm_fill(buf, sector, count, who);
	return riser_blk_rw(top.c, RISER_BLK_WRITE, sector, count, buf, flags);
}

static int flush(void)
{
	return riser_blk_rw(top.c, RISER_BLK_FLUSH, 0, 0, NULL, 0);
}

/* Who wrote a sector; 0: nobody; -1: something else is there. */
static int64_t who_in(const uint64_t *data, uint64_t sector)
{
	uint64_t who = (data[0] & 0xffffffff) >> 8;

	if (dm_zeroes(data, 1))
		return 0;
	return dm_filled(data, sector, 1, who) ? (int64_t)who : -1;
}

static int64_t who_at(struct dm_way *w, uint64_t sector)
{
	if (dm_rw(w, RISER_BLK_READ, sector, 1, buf) != RISER_BLK_OK)
		return -2;
	return who_in(buf, sector);
}

/* An I/O on its way. */
struct going {
	struct dm_op op;
	uint64_t data[64 * 8];
};

static void start(enum riser_blk_op op, uint64_t sector, unsigned count, uint8_t flags,
		  struct going *g)
{
	dm_start(&g->op, &top, op, sector, count, g->data, flags);
}

static const char *say(struct riser_dm *d, const char *message)
{
	int rc;

	return dm_say(d, message, &rc);
}

TEST(mistakes)
{
	static const struct {
		const char *args, *says;
		unsigned column;
	} t[] = {
		{ "", "a device is missing", 14 },
		{ "mem:1M 0", "the size of the cache is missing", 23 },
		{ "mem:1M 0 63K", "a cache has 64K to 4G bytes, not '63K'", 23 },
		{ "mem:1M 0 64K seed=1", "the number of options has to be a number", 27 },
		{ "mem:1M 0 64K 1 sead=1", "unknown option 'sead=1'", 29 },
		{ "mem:1M 0 64K 1 seed=x", "'seed' wants a number", 29 },
		{ "mem:1M 0 64K 1 torn=1024", "'torn' wants 0, 512 or 4096", 29 },
		{ "mem:1M 0 64K 1 torn=0 torn=0", "one argument too many", 36 },
	};
	char table[128];

	dm_up();
	for (size_t i = 0; i < array_len(t); i++) {
		snprintf(table, sizeof(table), "0 8 powercut %s", t[i].args);
		CHECK_EQ(dm_try(table), -EINVAL);
		CHECK_HAS(err.text, t[i].says);
		CHECK_EQ(where.column, t[i].column);
	}
	dm_down();
}

TEST(status_and_messages)
{
	struct riser_blk_info info;

	SUB(up("128K 2 torn=4K seed=7"));
	CHECK_STR(dm_status(cut, RISER_STATUS_TABLE),
		  "0 256 powercut dm:below 0 131072 2 torn=4096 seed=7");
	CHECK_STR(dm_status(cut, RISER_STATUS_INFO), "0 256 powercut on 0 0/131072 0 0");
	riser_blk_get_info(top.b, &info);
	CHECK(info.write_cache && info.fua && !info.compare);
	CHECK_EQ(info.max_sectors, 256);
	CHECK_EQ(put(3, 2, 1, 0), RISER_BLK_OK);
	CHECK_STR(dm_status(cut, RISER_STATUS_INFO), "0 256 powercut on 1 1024/131072 0 0");
	CHECK_HAS(say(cut, "restore"), "the power is on already");
	CHECK_HAS(say(cut, "cut 1 2"), "one argument too many");
	CHECK_HAS(say(cut, "cut x"), "the seed has to be a number");
	CHECK_HAS(say(cut, "cutt"), "unknown message 'cutt'");
	CHECK_HAS(say(cut, "cut 5"), " of 1");
	CHECK_HAS(say(cut, "cut 5"), "the power is off already");
	dm_settle();
	CHECK_HAS(dm_status(cut, RISER_STATUS_INFO), "powercut off 0 0/131072 1 ");
	CHECK_STR(say(cut, "restore"), "");
	CHECK_HAS(dm_status(cut, RISER_STATUS_INFO), "powercut on 0 0/131072 1 ");
	SUB(down());
}

/* What is written is read, and is not below before a flush. */
TEST(the_cache)
{
	SUB(up("128K"));
	CHECK_EQ(put(0, 16, 1, 0), RISER_BLK_OK);
	CHECK_EQ(flush(), RISER_BLK_OK);
	CHECK_EQ(put(4, 4, 2, 0), RISER_BLK_OK);
	CHECK_EQ(put(6, 4, 3, 0), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&top, RISER_BLK_WRITE_ZEROES, 9, 2, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&top, RISER_BLK_DISCARD, 14, 2, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&low, RISER_BLK_READ, 0, 16, buf), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 16, 1));
	for (unsigned round = 0; round < 2; round++) {
		struct dm_way *w = round ? &low : &top;

		CHECK_EQ(dm_rw(w, RISER_BLK_READ, 0, 14, buf), RISER_BLK_OK);
		CHECK(dm_filled(buf, 0, 4, 1));
		CHECK(dm_filled(buf + 64 * 4, 4, 2, 2));
		CHECK(dm_filled(buf + 64 * 6, 6, 3, 3));
		CHECK(dm_zeroes(buf + 64 * 9, 2));
		CHECK(dm_filled(buf + 64 * 11, 11, 3, 1));
		CHECK_EQ(who_at(w, 7), 3);
		CHECK_EQ(flush(), RISER_BLK_OK);
	}
	CHECK_EQ(who_at(&low, 14), 0);
	CHECK_STR(dm_status(cut, RISER_STATUS_INFO), "0 256 powercut on 0 0/131072 0 0");
	SUB(down());
}

/* What goes down, how often, and in which order. */
TEST(flush_and_fua)
{
	SUB(up("128K"));
	CHECK_STR(say(below, "add delay=0,op=write"), "1");
	CHECK_STR(say(below, "add delay=0,op=flush"), "2");
	CHECK_EQ(flush(), RISER_BLK_OK); /* what others wrote */
	CHECK_EQ(put(0, 4, 1, 0), RISER_BLK_OK);
	CHECK_EQ(put(8, 4, 2, 0), RISER_BLK_OK);
	CHECK_EQ(put(2, 4, 3, 0), RISER_BLK_OK);
	CHECK_EQ(put(16, 4, 4, 0), RISER_BLK_OK);
	/* What FUA overlaps goes first, and what is older than that. */
	CHECK_EQ(put(5, 1, 5, RISER_BLK_FUA), RISER_BLK_OK);
	CHECK_STR(say(below, "list"), "1 4 4 delay=0,op=write\n2 1 1 delay=0,op=flush");
	CHECK_EQ(who_at(&low, 1), 1);
	CHECK_EQ(who_at(&low, 2), 3);
	CHECK_EQ(who_at(&low, 5), 5);
	CHECK_EQ(who_at(&low, 8), 2);
	CHECK_EQ(who_at(&low, 16), 0);
	CHECK_EQ(who_at(&top, 5), 5);
	/* PREFLUSH is about what came before. */
	CHECK_EQ(put(24, 1, 6, RISER_BLK_PREFLUSH), RISER_BLK_OK);
	CHECK_STR(say(below, "list"), "1 5 5 delay=0,op=write\n2 2 2 delay=0,op=flush");
	CHECK_EQ(who_at(&low, 16), 4);
	CHECK_EQ(who_at(&low, 24), 0);
	CHECK_EQ(put(25, 1, 7, RISER_BLK_PREFLUSH | RISER_BLK_FUA), RISER_BLK_OK);
	CHECK_EQ(who_at(&low, 24), 6);
	CHECK_EQ(who_at(&low, 25), 7);
	SUB(down());
}

/* A full cache gives up its oldest. */
TEST(bounded)
{
	SUB(up("64K"));
	for (unsigned i = 0; i < 20; i++)
		CHECK_EQ(put(i * 8, 8, i + 1, 0), RISER_BLK_OK);
	CHECK_STR(dm_status(cut, RISER_STATUS_INFO), "0 256 powercut on 16 65536/65536 0 0");
	CHECK_EQ(who_at(&low, 31), 4);
	CHECK_EQ(who_at(&low, 32), 0);
	CHECK_EQ(put(0, 128, 30, 0), RISER_BLK_OK); /* as large as the cache */
	CHECK_STR(dm_status(cut, RISER_STATUS_INFO), "0 256 powercut on 1 65536/65536 0 0");
	CHECK_EQ(put(0, 256, 31, 0), RISER_BLK_OK); /* larger: in pieces */
	CHECK_EQ(dm_rw(&top, RISER_BLK_READ, 0, 256, buf), RISER_BLK_OK);
	CHECK(dm_filled(buf, 0, 256, 31));
	SUB(down());
}

/* What cuts did, over many of them. */
struct outcomes {
	unsigned all, none, torn, old_over_new;
};

/*
 * Sectors 0 to 31 are flushed by 1; then 2 writes 0 to 15 and 3 writes 8 to 23. Return: what is
 * left of it, as "1", "2", "3" a sector.
 */
static void one_cut(unsigned seed, const char *torn, char *left)
{
	char text[64];

	snprintf(text, sizeof(text), "128K 1 torn=%s", torn);
	SUB(up(text));
	CHECK_EQ(put(0, 32, 1, 0), RISER_BLK_OK);
	CHECK_EQ(flush(), RISER_BLK_OK);
	CHECK_EQ(put(0, 16, 2, 0), RISER_BLK_OK);
	CHECK_EQ(put(8, 16, 3, 0), RISER_BLK_OK);
	CHECK_EQ(put(40, 1, 4, RISER_BLK_FUA), RISER_BLK_OK);
	snprintf(text, sizeof(text), "cut %u", seed);
	CHECK_HAS(say(cut, text), " of 2");
	CHECK_EQ(dm_rw(&top, RISER_BLK_READ, 0, 1, buf), RISER_BLK_OFFLINE);
	CHECK_EQ(put(0, 1, 9, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(flush(), RISER_BLK_OFFLINE);
	CHECK_STR(say(cut, "restore"), "");
	CHECK_EQ(dm_rw(&top, RISER_BLK_READ, 0, 32, buf), RISER_BLK_OK);
	for (unsigned i = 0; i < 32; i++)
		left[i] = (char)('0' + who_in(buf + 64 * i, i));
	left[32] = 0;
	/* It is below as it is above, without a flush. */
	dm_settle();
	CHECK_EQ(dm_rw(&low, RISER_BLK_READ, 0, 32, buf), RISER_BLK_OK);
	for (unsigned i = 0; i < 32; i++)
		CHECK_EQ('0' + who_in(buf + 64 * i, i), left[i]);
	CHECK_EQ(who_at(&top, 40), 4);
	SUB(down());
}

static void judge(const char *left, unsigned unit, struct outcomes *o)
{
	unsigned changes = 0;

	for (unsigned i = 0; i < 32; i++) {
		/* Only those who wrote there, and 1 where nobody did. */
		CHECK(left[i] == '1' || (left[i] == '2' && i < 16) ||
		      (left[i] == '3' && i >= 8 && i < 24));
		CHECK(i % unit == 0 || left[i] == left[i - 1]);
		changes += i && left[i] != left[i - 1];
	}
	o->none += !strpbrk(left, "23");
	o->all += !strcmp(left, "22222222333333333333333311111111");
	o->old_over_new += memchr(left + 8, '2', 8) && strchr(left, '3');
	o->torn += changes > 3 || left[0] != left[7] || left[16] != left[23];
}

TEST(cuts)
{
	static const struct {
		const char *torn;
		unsigned unit;
	} t[] = { { "0", 8 }, { "512", 1 }, { "4096", 8 } };

	for (size_t i = 0; i < array_len(t); i++) {
		struct outcomes o = { 0 };
		char left[33], again[33];

		for (unsigned seed = 0; seed < 100; seed++) {
			SUB(one_cut(seed, t[i].torn, left));
			SUB(judge(left, t[i].unit, &o));
		}
		SUB(one_cut(99, t[i].torn, again));
		CHECK_STR(again, left);
		printf("# torn=%s: none %u, all %u, old over new %u, torn %u\n", t[i].torn, o.none,
		       o.all, o.old_over_new, o.torn);
		CHECK(o.none > 10 && o.none < 60);
		CHECK(o.all > 1 && o.old_over_new > 5);
		CHECK_EQ(o.torn > 5, t[i].unit == 1);
	}
}

/* Everything that waits when the power goes ends OFFLINE, and nothing of it comes later. */
TEST(cut_in_the_middle)
{
	static struct going g[4];

	SUB(up("64K"));
	CHECK_STR(say(below, "add break=down,op=write,times=1"), "1");
	CHECK_EQ(put(0, 64, 1, 0), RISER_BLK_OK);
	CHECK_EQ(put(64, 64, 2, 0), RISER_BLK_OK);
	start(RISER_BLK_FLUSH, 0, 0, 0, &g[0]);
	dm_fill(g[1].data, 128, 8, 3);
	start(RISER_BLK_WRITE, 128, 8, 0, &g[1]); /* no room */
	dm_fill(g[2].data, 0, 8, 4);
	start(RISER_BLK_WRITE, 0, 8, RISER_BLK_FUA, &g[2]);
	CHECK_STR(say(below, "add break=read,op=read,times=1"), "2");
	start(RISER_BLK_READ, 0, 8, 0, &g[3]);
	dm_settle();
	CHECK(!g[0].op.done && !g[1].op.done && !g[2].op.done && !g[3].op.done);
	CHECK_HAS(say(cut, "cut 1"), " of 1"); /* one is on its way down already */
	dm_settle();
	for (unsigned i = 0; i < 3; i++)
		CHECK(g[i].op.done && g[i].op.status == RISER_BLK_OFFLINE);
	CHECK(!g[3].op.done);
	CHECK_STR(say(below, "release read"), "1");
	dm_settle();
	CHECK(g[3].op.done && g[3].op.status == RISER_BLK_OFFLINE);
	CHECK_STR(say(cut, "restore"), "");
	CHECK_STR(say(below, "release down"), "1");
	CHECK_EQ(flush(), RISER_BLK_OK);
	CHECK_EQ(who_at(&top, 0), 1);
	CHECK_EQ(who_at(&top, 128), 0);
	SUB(down());
}

/* A read that was below before an entry came there, and ends when that has left the cache. */
TEST(a_read_beside_its_write)
{
	static struct going g, f;

	SUB(up("64K"));
	CHECK_EQ(put(0, 4, 1, 0), RISER_BLK_OK);
	CHECK_STR(say(below, "add break=late,op=read,nth=1"), "1");
	start(RISER_BLK_READ, 0, 8, 0, &g);
	start(RISER_BLK_FLUSH, 0, 0, 0, &f);
	dm_settle();
	CHECK(f.op.done && !g.op.done);
	CHECK_STR(say(below, "release late"), "1");
	dm_settle();
	CHECK(g.op.done && g.op.status == RISER_BLK_OK);
	CHECK(dm_filled(g.data, 0, 4, 1));
	/* And the data that it read is that below, not what is there by now: once more. */
	CHECK_STR(say(below, "list"), "1 2 1 break=late,op=read,nth=1");
	SUB(down());
}

TEST(errors_below)
{
	SUB(up("64K"));
	CHECK_STR(say(below, "add error=MEDIUM,op=write,times=1"), "1");
	CHECK_EQ(put(0, 1, 1, 0), RISER_BLK_OK);
	CHECK_EQ(put(1, 1, 1, 0), RISER_BLK_OK);
	CHECK_EQ(flush(), RISER_BLK_MEDIUM);
	CHECK_EQ(flush(), RISER_BLK_OK);
	CHECK_EQ(who_at(&top, 0), 0);
	CHECK_EQ(who_at(&top, 1), 1);
	CHECK_STR(say(below, "add error=TRANSPORT,op=flush,times=1"), "2");
	CHECK_EQ(put(2, 1, 1, 0), RISER_BLK_OK);
	CHECK_EQ(flush(), RISER_BLK_TRANSPORT);
	CHECK_EQ(flush(), RISER_BLK_OK);
	CHECK_STR(say(below, "add error=NOSPC,op=fua,times=1"), "3");
	CHECK_EQ(put(2, 1, 1, RISER_BLK_FUA), RISER_BLK_NOSPC);
	CHECK_STR(say(below, "add error=MEDIUM,op=read,times=1"), "4");
	CHECK_EQ(put(8, 1, 1, 0), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&top, RISER_BLK_READ, 8, 1, buf), RISER_BLK_MEDIUM);
	SUB(down());
}

/* A suspend writes the cache back, so that another table finds everything. */
TEST(suspend)
{
	SUB(up("64K"));
	CHECK_STR(say(below, "add delay=20ms,op=write"), "1");
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(put(i * 8, 8, i + 1, 0), RISER_BLK_OK);
	CHECK_EQ(riser_dm_suspend(cut, x, 70000000, &err), -ETIMEDOUT);
	CHECK_EQ(put(0, 1, 9, 0), RISER_BLK_OK);
	CHECK_EQ(dm_retable(cut, "0 256 linear dm:below 0"), 0);
	CHECK_EQ(who_at(&low, 0), 9);
	CHECK_EQ(who_at(&low, 1), 1);
	CHECK_EQ(who_at(&low, 31), 4);
	SUB(down());
}

/* What a cut left is on its way down when the last user closes. */
TEST(close_behind_a_cut)
{
	uint64_t t0;

	SUB(up("64K 1 torn=0"));
	CHECK_STR(say(below, "add delay=20ms,op=write"), "1");
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(put(i, 1, i + 1, 0), RISER_BLK_OK);
	CHECK_STR(say(cut, "cut 3"), "3 of 8");
	t0 = riser_now(r);
	dm_close_way(&top);
	CHECK_EQ(riser_now(r) - t0, 3 * 20000000);
	CHECK_EQ(dm_rw(&low, RISER_BLK_READ, 0, 8, buf), RISER_BLK_OK);
	for (unsigned i = 0, n = 0; i < 8; i++) {
		n += who_in(buf + 64 * i, i) == i + 1;
		CHECK(i < 7 || n == 3);
	}
	SUB(dm_open_way("dm:cut", &top));
	CHECK_EQ(put(0, 1, 9, 0), RISER_BLK_OFFLINE);
	CHECK_STR(say(cut, "restore"), "");
	CHECK_EQ(put(0, 1, 9, 0), RISER_BLK_OK);
	SUB(down());
}

/* The cache does not go away with who wrote to it. */
TEST(close_without_a_flush)
{
	SUB(up("64K"));
	CHECK_EQ(put(0, 1, 1, 0), RISER_BLK_OK);
	dm_close_way(&top);
	CHECK_EQ(who_at(&low, 0), 0);
	CHECK_HAS(say(cut, "cut 2"), "1 of 1"); /* nobody has it open: it waits */
	CHECK_STR(say(cut, "restore"), "");
	SUB(dm_open_way("dm:cut", &top));
	CHECK_EQ(who_at(&top, 0), 1);
	CHECK_EQ(flush(), RISER_BLK_OK);
	CHECK_EQ(who_at(&low, 0), 1);
	SUB(down());
}

/* What a sector may hold after a cut: what it held when it was last flushed, or what came since. */
struct maybe {
	unsigned n;
	int64_t who[32]; /* the last is what is read */
};

static struct maybe model[SECTORS];

static void wrote(unsigned sector, unsigned count, int64_t who)
{
	for (unsigned i = sector; i < sector + count; i++)
		model[i].who[model[i].n++] = who;
}

static void flushed(unsigned sector, unsigned count)
{
	for (unsigned i = sector; i < sector + count; i++)
		model[i] = (struct maybe){ 1, { model[i].who[model[i].n - 1] } };
}

static bool full(void)
{
	for (unsigned i = 0; i < SECTORS; i++)
		if (model[i].n == array_len(model[i].who))
			return true;
	return false;
}

/* Return: whether all that is read is what was written. */
static bool reads_well(unsigned sector, unsigned count)
{
	if (dm_rw(&top, RISER_BLK_READ, sector, count, buf) != RISER_BLK_OK)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (who_in(buf + 64 * i, sector + i) !=
		    model[sector + i].who[model[sector + i].n - 1])
			return false;
	return true;
}

static void cut_and_look(void)
{
	CHECK_HAS(say(cut, "cut"), " of ");
	CHECK_STR(say(cut, "restore"), "");
	CHECK_EQ(dm_rw(&top, RISER_BLK_READ, 0, SECTORS, buf), RISER_BLK_OK);
	for (unsigned i = 0; i < SECTORS; i++) {
		int64_t who = who_in(buf + 64 * i, i);
		bool may = false;

		for (unsigned k = 0; k < model[i].n; k++)
			may |= model[i].who[k] == who;
		CHECK(may);
		/* What survived is on its way down already: a second cut does not touch it. */
		model[i] = (struct maybe){ 1, { who } };
	}
}

TEST(anything_at_random)
{
	uint64_t random = 1;

	SUB(up("64K 1 seed=9"));
	for (unsigned i = 0; i < SECTORS; i++)
		model[i] = (struct maybe){ 1, { 0 } };
	for (unsigned who = 1; who < 20000; who++) {
		unsigned sector, count, what;

		random = random * 6364136223846793005 + 1442695040888963407;
		sector = (unsigned)(random >> 40) % SECTORS;
		count = 1 + (unsigned)(random >> 33) % min_of(SECTORS - sector, 24u);
		what = (unsigned)(random >> 56) % 32;
		if (what < 14) {
			CHECK_EQ(put(sector, count, who, 0), RISER_BLK_OK);
			wrote(sector, count, who);
		} else if (what < 17) {
			CHECK_EQ(put(sector, count, who, RISER_BLK_FUA), RISER_BLK_OK);
			wrote(sector, count, who);
			flushed(sector, count);
		} else if (what < 20) {
			CHECK_EQ(dm_rw(&top, RISER_BLK_WRITE_ZEROES, sector, count, NULL),
				 RISER_BLK_OK);
			wrote(sector, count, 0);
		} else if (what < 30) {
			CHECK(reads_well(sector, count));
		} else if (what == 30) {
			SUB(cut_and_look());
		}
		if (what == 31 || full()) {
			CHECK_EQ(flush(), RISER_BLK_OK);
			flushed(0, SECTORS);
		}
	}
	CHECK(reads_well(0, SECTORS));
	SUB(down());
}

TEST_MAIN(CASE(mistakes), CASE(status_and_messages), CASE(the_cache), CASE(flush_and_fua),
	  CASE(bounded), CASE(cuts), CASE(cut_in_the_middle), CASE(a_read_beside_its_write),
	  CASE(errors_below), CASE(suspend), CASE(close_behind_a_cut), CASE(close_without_a_flush),
	  CASE(anything_at_random))
