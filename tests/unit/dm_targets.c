/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* unstriped, switch and dust. */
#include "dm_fixture.h"

static uint64_t buf[64 * 2048], got[64 * 2048];

static struct riser_dm_info info_of(struct riser_dm *d)
{
	struct riser_dm_info i;

	riser_dm_get_info(d, &i);
	return i;
}

/* A message that is understood; what it answers. */
#define SAYS(d, message, answer)                                                                   \
	do {                                                                                       \
		int rc_;                                                                           \
		CHECK_STR(dm_say(d, message, &rc_), answer);                                       \
		CHECK_EQ(rc_, 0);                                                                  \
	} while (0)

#define REFUSES(d, message, why)                                                                   \
	do {                                                                                       \
		int rc_;                                                                           \
		CHECK_HAS(dm_say(d, message, &rc_), why);                                          \
		CHECK_EQ(rc_, -EINVAL);                                                            \
	} while (0)

/* unstriped */

TEST(unstriped_constructor)
{
	dm_up();
	DM_WRONG("0 8 unstriped", -EINVAL, 15, "the number of stripes is missing");
	DM_WRONG("0 8 unstriped 0 4 0 mem:1M 0", -EINVAL, 15, "from 1 to");
	DM_WRONG("0 8 unstriped 2", -EINVAL, 17, "the chunk size in sectors is missing");
	DM_WRONG("0 8 unstriped 2 0 0 mem:1M 0", -EINVAL, 17, "from 1 to");
	DM_WRONG("0 8 unstriped 2 3 0 mem:1M 0", -EINVAL, 17, "no multiple of chunks of 3");
	DM_WRONG("0 8 unstriped 2 4", -EINVAL, 19, "the stripe, counted from 0, is missing");
	DM_WRONG("0 8 unstriped 2 4 2 mem:1M 0", -EINVAL, 19, "from 0 to 1");
	DM_WRONG("0 8 unstriped 2 4 1 mem:1M", -EINVAL, 28, "a first sector is missing");
	DM_WRONG("0 8 unstriped 2 4 1 mem:1M 0 1", -EINVAL, 30, "one argument too many");
	DM_WRONG("0 1024 unstriped 2 4 1 mem:1M 1", -EINVAL, 31, "too small");
	DM_WRONG("0 1028 unstriped 2 4 0 mem:1M 0", -EINVAL, 31, "too small");
	DM_WRONG("0 4294967296 unstriped 4294967295 4294967296 0 mem:1M 0", -EINVAL, 35,
		 "from 1 to");
	DM_WRONG("0 1125899906842624 unstriped 4294967295 1 0 mem:1M 0", -EINVAL, 43,
		 "fit no device");
	DM_WRONG("0 16 unstriped 2 4 0 [mem:1M?block=4096] 0", -EINVAL, 42, "blocks of 4096");
	dm_down();
}

/* Over a striped device, each stripe is what lies there. */
TEST(unstriped_undoes_striped)
{
	struct riser_dm *s, *u;
	struct dm_way w, up;
	char table[64];

	dm_up();
	SUB(s = dm_make("s", "0 120 striped 3 8 mem:1M 0 mem:1M 512 mem:1M 1024"));
	SUB(dm_open_way("dm:s", &w));
	dm_fill(buf, 0, 120, 1);
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE, 0, 120, buf), RISER_BLK_OK);
	SUB(u = dm_make("u", "0 40 zero"));
	SUB(dm_open_way("dm:u", &up));
	for (unsigned i = 0; i < 3; i++) {
		snprintf(table, sizeof(table), "0 40 unstriped 3 8 %u dm:s 0", i);
		CHECK_EQ(dm_retable(u, table), 0);
		CHECK_STR(dm_status(u, RISER_STATUS_TABLE), table);
		CHECK_STR(dm_status(u, RISER_STATUS_INFO), "0 40 unstriped ");
		CHECK_EQ(dm_rw(&up, RISER_BLK_READ, 0, 40, got), RISER_BLK_OK);
		for (unsigned c = 0; c < 5; c++)
			CHECK(dm_filled(got + 64 * 8 * c, (c * 3 + i) * 8, 8, 1));
	}
	/* The last stripe: a discard from the middle of one chunk into the third. */
	CHECK_EQ(dm_rw(&up, RISER_BLK_DISCARD, 4, 15, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&up, RISER_BLK_WRITE_ZEROES, 30, 10, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 120, got), RISER_BLK_OK);
	for (unsigned i = 0; i < 120; i++) {
		unsigned at = i / 24 * 8 + i % 8;
		bool gone = i / 8 % 3 == 2 && ((at >= 4 && at < 19) || at >= 30);

		CHECK(gone ? dm_zeroes(got + 64 * i, 1) : dm_filled(got + 64 * i, i, 1, 1));
	}
	dm_close_way(&up);
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(u, x, &err), 0);
	CHECK_EQ(riser_dm_remove(s, x, &err), 0);
	dm_down();
}

/* One stripe, or one chunk, is linear, and compiled as that. */
TEST(unstriped_may_be_linear)
{
	struct riser_dm *d;

	dm_up();
	SUB(d = dm_make("a", "0 8 linear mem:1M 0\n"
			     "8 8 unstriped 1 4 0 mem:1M 8\n"
			     "16 4 unstriped 2 4 1 mem:1M 12\n"
			     "20 8 unstriped 2 4 1 mem:1M 12\n"));
	CHECK_EQ(info_of(d).extents, 2);
	CHECK(!info_of(d).home);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* switch */

#define THREE "mem:1M 0 mem:1M 512 mem:1M 1024"

TEST(switch_constructor)
{
	dm_up();
	DM_WRONG("0 8 switch", -EINVAL, 12, "the number of paths is missing");
	DM_WRONG("0 8 switch 0 8 0", -EINVAL, 12, "from 1 to 65535");
	DM_WRONG("0 8 switch 1 0 0 mem:1M 0", -EINVAL, 14, "from 1 to");
	DM_WRONG("0 8 switch 1 8", -EINVAL, 16, "the number of optional arguments is missing");
	DM_WRONG("0 8 switch 1 8 1 x mem:1M 0", -EINVAL, 16, "has to be 0, not 1");
	DM_WRONG("0 8 switch 2 8 0 mem:1M 0", -EINVAL, 27, "a device is missing");
	DM_WRONG("0 8 switch 2 8 0 mem:1M 0 mem:1M", -EINVAL, 34, "a first sector is missing");
	DM_WRONG("0 8 switch 1 8 0 mem:1M 0 mem:1M 0", -EINVAL, 27, "one argument too many");
	DM_WRONG("0 8 switch 1 8 0 mem:1M 2041", -EINVAL, 25, "too small");
	DM_WRONG("0 8 switch 1 4 0 [mem:1M?block=4096] 0", -EINVAL, 38, "blocks of 4096");
	DM_WRONG("0 2251799813685248 switch 2 1 0 null:1048576T 0 null:1048576T 0", -ENOMEM, 63,
		 "regions");
	dm_down();
}

/* On which path each region of 8 sectors is, as digits. */
static const char *paths_of(struct dm_way *w, unsigned n)
{
	static char text[256];

	for (unsigned i = 0; i < n; i++) {
		if (dm_rw(w, RISER_BLK_READ, i * 8, 8, got))
			return "?";
		text[i] = (char)('0' + (got[0] >> 8 & 0xff));
		text[i + 1] = 0;
		if (!dm_filled(got, i * 8, 8, got[0] >> 8 & 0xff))
			return "other data";
	}
	return text;
}

/* Three paths that say who they are. */
static void three_paths(struct dm_way *w, struct riser_dm **d)
{
	struct dm_way all;

	SUB(dm_open_way("table:0 2048 linear mem:1M 0", &all));
	for (unsigned i = 0; i < 3; i++) {
		dm_fill(buf, 0, 512, i);
		CHECK_EQ(dm_rw(&all, RISER_BLK_WRITE, i * 512, 512, buf), RISER_BLK_OK);
	}
	SUB(*d = dm_make("a", "0 156 switch 3 8 0 " THREE)); /* the 20th region is half a one */
	dm_close_way(&all);
	SUB(dm_open_way("dm:a", w));
}

TEST(switch_mappings)
{
	struct riser_dm *d;
	struct dm_way w;

	dm_up();
	SUB(three_paths(&w, &d));
	CHECK_STR(dm_status(d, RISER_STATUS_TABLE), "0 156 switch 3 8 0 " THREE);
	CHECK_STR(dm_status(d, RISER_STATUS_INFO), "0 156 switch ");
	CHECK(!info_of(d).home);
	CHECK_STR(paths_of(&w, 19), "0120120120120120120");
	SAYS(d, "set_region_mappings 0:2 :2 :2 3:0 a:1 :1", "");
	CHECK_STR(paths_of(&w, 19), "2220120120110120120");
	SAYS(d, "SET_region_mappings 4:1 :2 R2,6", "");
	CHECK_STR(paths_of(&w, 19), "2220121212120120120");
	SAYS(d, "set_region_mappings", "");
	/* Without an index the first one is region 1. */
	SAYS(d, "set_region_mappings :0", "");
	CHECK_STR(paths_of(&w, 19), "2020121212120120120");
	SAYS(d, "set_region_mappings 0:1 :0 R2,12", "");
	CHECK_STR(paths_of(&w, 19), "1010101010101010101");
	/* Reads over regions are cut, and so is what has no data. */
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 4, 150, got), RISER_BLK_OK);
	for (unsigned i = 4; i < 154; i++)
		CHECK(dm_filled(got + 64 * (i - 4), i, 1, !(i / 8 % 2)));
	CHECK_EQ(dm_rw(&w, RISER_BLK_WRITE_ZEROES, 4, 20, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_DISCARD, 24, 4, NULL), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&w, RISER_BLK_READ, 0, 32, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 4, 1) && dm_zeroes(got + 64 * 4, 24));
	CHECK(dm_filled(got + 64 * 28, 28, 4, 0));
	SAYS(d, "set_region_mappings 0:0 :1 :0", "");
	CHECK_STR(paths_of(&w, 3), "010");
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

TEST(switch_refuses)
{
	struct riser_dm *d;
	struct dm_way w;

	dm_up();
	SUB(three_paths(&w, &d));
	REFUSES(d, "set_region 0:1", "unknown message 'set_region'");
	REFUSES(d, "set_region_mappings 0", "no [<index>]:<path>");
	REFUSES(d, "set_region_mappings 0:", "no [<index>]:<path>");
	REFUSES(d, "set_region_mappings 0x1:0", "no [<index>]:<path>");
	REFUSES(d, "set_region_mappings 0:1,", "no [<index>]:<path>");
	REFUSES(d, "set_region_mappings 14:0", "there are 14 regions");
	REFUSES(d, "set_region_mappings 13:0 :0", "there are 14 regions");
	REFUSES(d, "set_region_mappings 11111111111111111:0", "no [<index>]:<path>");
	REFUSES(d, "set_region_mappings 0:3", "there are 3 paths");
	REFUSES(d, "set_region_mappings R1", "no R<n>,<m>");
	REFUSES(d, "set_region_mappings R,1", "no R<n>,<m>");
	REFUSES(d, "set_region_mappings R0,1", "no R<n>,<m>");
	REFUSES(d, "set_region_mappings R1,0", "no R<n>,<m>");
	REFUSES(d, "set_region_mappings R1,1,", "no R<n>,<m>");
	REFUSES(d, "set_region_mappings r1,1", "no [<index>]:<path>");
	REFUSES(d, "set_region_mappings R2,1", "not so many regions before");
	REFUSES(d, "set_region_mappings R1,14", "more than the 14 regions");
	REFUSES(d, "set_region_mappings R1,ffffffffffffffff", "more than the 14 regions");
	CHECK_STR(paths_of(&w, 19), "0120120120120120120");
	/* What stands before the wrong word is done. */
	REFUSES(d, "set_region_mappings 0:2 :3", "there are 3 paths");
	CHECK_STR(paths_of(&w, 19), "2120120120120120120");
	SAYS(d, "set_region_mappings R1,13", "");
	CHECK_STR(paths_of(&w, 19), "2222222222222222222");
	dm_close_way(&w);
	CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	dm_down();
}

/* Numbers of every width, kept through a new plan. */
TEST(switch_of_many_paths)
{
	static const unsigned counts[] = { 1, 2, 4, 5, 16, 17, 256, 300 };
	struct riser_dm *low, *d;
	char *table = malloc(300 * 16), word[64];
	struct dm_way w;

	dm_up();
	SUB(low = dm_make("low", "0 8 linear mem:2M 0"));
	for (size_t c = 0; c < array_len(counts); c++) {
		unsigned n = counts[c];
		size_t len = (size_t)sprintf(table, "0 1200 switch %u 1 0", n);

		for (unsigned i = 0; i < n; i++)
			len += (size_t)sprintf(table + len, " mem:2M %u", i);
		sprintf(table + len, "\n1200 8 linear dm:low 0");
		SUB(d = dm_make("a", table));
		SUB(dm_open_way("dm:a", &w));
		dm_fill(buf, 0, 1600, 1);
		CHECK_EQ(info_of(d).skips, 1);
		for (unsigned i = 0; i < 1200; i += 7) {
			snprintf(word, sizeof(word), "set_region_mappings %x:%x", i, (i * 5) % n);
			SAYS(d, word, "");
		}
		CHECK_EQ(riser_dm_suspend(low, x, DM_S, &err), 0);
		CHECK_EQ(info_of(d).skips, 0);
		{
			struct dm_way under;

			SUB(dm_open_way("table:0 1600 linear mem:2M 0", &under));
			CHECK_EQ(dm_rw(&under, RISER_BLK_WRITE, 0, 1024, buf), RISER_BLK_OK);
			dm_fill(buf, 1024, 576, 1);
			CHECK_EQ(dm_rw(&under, RISER_BLK_WRITE, 1024, 576, buf), RISER_BLK_OK);
			dm_close_way(&under);
		}
		for (unsigned i = 0; i < 1200; i++) {
			CHECK_EQ(dm_rw(&w, RISER_BLK_READ, i, 1, got), RISER_BLK_OK);
			CHECK(dm_filled(got, i + (i % 7 ? i : i * 5) % n, 1, 1));
		}
		CHECK_EQ(riser_dm_resume(low, x, DM_S, &err), 0);
		dm_close_way(&w);
		CHECK_EQ(riser_dm_remove(d, x, &err), 0);
	}
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	dm_down();
	free(table);
}
/* dust */

TEST(dust_constructor)
{
	dm_up();
	DM_WRONG("0 8 dust", -EINVAL, 10, "a device is missing");
	DM_WRONG("0 8 dust mem:1M 0", -EINVAL, 19, "the block size in bytes is missing");
	DM_WRONG("0 8 dust mem:1M 0 511", -EINVAL, 19, "from 512 to 1073741824");
	DM_WRONG("0 8 dust mem:1M 0 2147483648", -EINVAL, 19, "from 512 to 1073741824");
	DM_WRONG("0 8 dust mem:1M 0 1536", -EINVAL, 19, "power of two");
	DM_WRONG("0 8 dust mem:1M 0 8192", -EINVAL, 19, "more than there is");
	DM_WRONG("0 8 dust mem:1M 2041 512", -EINVAL, 17, "too small");
	DM_WRONG("0 8 dust mem:1M 0 512 1", -EINVAL, 23, "one argument too many");
	dm_down();
}

static struct riser_dm *dust;
static struct dm_way way;

static void dust_up(const char *table)
{
	dm_up();
	SUB(dust = dm_make("a", table));
	SUB(dm_open_way("dm:a", &way));
}

static void dust_down(void)
{
	dm_close_way(&way);
	CHECK_EQ(riser_dm_remove(dust, x, &err), 0);
	dm_down();
}

TEST(dust_messages)
{
	SUB(dust_up("0 1024 dust mem:1M 64 4096"));
	CHECK_STR(dm_status(dust, RISER_STATUS_TABLE), "0 1024 dust mem:1M 64 4096");
	CHECK_STR(dm_status(dust, RISER_STATUS_INFO), "0 1024 dust mem:1M bypass verbose");
	CHECK(info_of(dust).home);
	SAYS(dust, "enable", "");
	CHECK_STR(dm_status(dust, RISER_STATUS_INFO),
		  "0 1024 dust mem:1M fail_read_on_bad_block verbose");
	SAYS(dust, "QUIET", "");
	CHECK_STR(dm_status(dust, RISER_STATUS_INFO),
		  "0 1024 dust mem:1M fail_read_on_bad_block quiet");
	SAYS(dust, "quiet", "");
	SAYS(dust, "disable", "");
	CHECK_STR(dm_status(dust, RISER_STATUS_INFO), "0 1024 dust mem:1M bypass verbose");

	SAYS(dust, "countbadblocks", "countbadblocks: 0 badblock(s) found");
	SAYS(dust, "listbadblocks", "");
	SAYS(dust, "clearbadblocks", "dust_clear_badblocks: no badblocks found");
	SAYS(dust, "addbadblock 60", "");
	SAYS(dust, "addbadblock 255 255", "");
	SAYS(dust, "addbadblock 0x8", "");
	REFUSES(dust, "addbadblock 60", "block 60 is bad already");
	REFUSES(dust, "addbadblock 256", "from 0 to 255");
	REFUSES(dust, "addbadblock 1 256", "from 0 to 255");
	REFUSES(dust, "addbadblock 1 -1", "has to be a number");
	REFUSES(dust, "addbadblock", "a block is missing");
	REFUSES(dust, "addbadblock 1 1 1", "one argument too many");
	SAYS(dust, "countbadblocks", "countbadblocks: 3 badblock(s) found");
	SAYS(dust, "listbadblocks", "8\n60\n255\n");
	SAYS(dust, "queryblock 60", "dust_query_block: block 60 found in badblocklist");
	SAYS(dust, "queryblock 61", "dust_query_block: block 61 not found in badblocklist");
	REFUSES(dust, "queryblock 1 1", "one argument too many");
	SAYS(dust, "removebadblock 60", "");
	REFUSES(dust, "removebadblock 60", "block 60 is not bad");
	REFUSES(dust, "removebadblock 8 8", "one argument too many");
	REFUSES(dust, "enable it", "one argument too many");
	REFUSES(dust, "repair 8", "unknown message 'repair'");
	SAYS(dust, "listbadblocks", "8\n255\n");
	SAYS(dust, "clearbadblocks", "dust_clear_badblocks: badblocks cleared");
	SAYS(dust, "countbadblocks", "countbadblocks: 0 badblock(s) found");
	dust_down();
}

/* Block 60 of the device below is sectors 480 to 487, and 416 to 423 behind an offset of 64. */
TEST(dust_reads_and_writes)
{
	SUB(dust_up("0 1024 dust mem:1M 64 4096"));
	dm_fill(buf, 0, 1024, 1);
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 0, 1024, buf), RISER_BLK_OK);
	SAYS(dust, "addbadblock 60", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 416, 8, got), RISER_BLK_OK); /* not enabled */
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 416, 8, buf + 64 * 416), RISER_BLK_OK);
	SAYS(dust, "enable", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 416, 8, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 423, 1, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_COMPARE, 420, 1, buf), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 408, 8, got), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 424, 8, got), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 400, 32, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_DISCARD, 416, 8, NULL), RISER_BLK_OK); /* heals nothing */
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 416, 8, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 400, 32, buf + 64 * 400), RISER_BLK_OK);
	SAYS(dust, "countbadblocks", "countbadblocks: 0 badblock(s) found");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 1024, got), RISER_BLK_OK);
	CHECK(dm_filled(got, 0, 1024, 1));
	dust_down();
}

TEST(dust_writes_that_fail_first)
{
	SUB(dust_up("0 1024 dust mem:1M 0 512"));
	SAYS(dust, "addbadblock 10 2", "");
	SAYS(dust, "addbadblock 12", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 10, 1, buf),
		 RISER_BLK_OK); /* not enabled: no count */
	SAYS(dust, "enable", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 10, 1, buf), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 10, 1, got), RISER_BLK_IOERR);
	/* Zeroes are not cut: all of their blocks, or none. */
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE_ZEROES, 0, 20, NULL), RISER_BLK_IOERR);
	SAYS(dust, "listbadblocks", "10\n12\n");
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE_ZEROES, 0, 20, NULL), RISER_BLK_OK);
	SAYS(dust, "listbadblocks", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 20, got), RISER_BLK_OK);
	dust_down();
}

/* Where blocks are smaller than what the device below reads, or not in line with the offset. */
TEST(dust_blocks_askew)
{
	SUB(dust_up("0 64 dust [mem:1M?block=4096] 0 512"));
	SAYS(dust, "addbadblock 13", "");
	SAYS(dust, "enable", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 8, got), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 8, 8, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE, 0, 64, buf), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 64, got), RISER_BLK_OK);
	CHECK_EQ(dm_retable(dust, "0 64 dust mem:1M 4 4096"), 0);
	SAYS(dust, "addbadblock 1", "");
	SAYS(dust, "enable", "");
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 0, 4, got), RISER_BLK_OK);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 3, 2, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 11, 1, got), RISER_BLK_IOERR);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 12, 4, got), RISER_BLK_OK);
	dust_down();
}

TEST(dust_kept_through_a_new_plan)
{
	struct riser_dm *low;

	dm_up();
	SUB(low = dm_make("low", "0 64 linear mem:1M 0"));
	SUB(dust = dm_make("a", "0 64 dust mem:2M 0 512\n64 64 linear dm:low 0"));
	SUB(dm_open_way("dm:a", &way));
	SAYS(dust, "addbadblock 7", "");
	SAYS(dust, "enable", "");
	CHECK_EQ(info_of(dust).skips, 1);
	CHECK_EQ(riser_dm_suspend(low, x, DM_S, &err), 0);
	CHECK_EQ(info_of(dust).skips, 0);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 7, 1, got), RISER_BLK_IOERR);
	CHECK_EQ(riser_dm_resume(low, x, DM_S, &err), 0);
	CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 7, 1, got), RISER_BLK_IOERR);
	SAYS(dust, "listbadblocks", "7\n");
	dm_close_way(&way);
	CHECK_EQ(riser_dm_remove(dust, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	dm_down();
}

/* Against a bitmap, in any order; then a million of them. */
TEST(dust_of_many_blocks)
{
	enum { SMALL = 500, MANY = 1000000 };
	static bool bad[SMALL];
	uint32_t seed = 1;
	char word[64], *list;

	SUB(dust_up("0 4194304 dust mem:2G 0 512"));
	for (unsigned i = 0; i < 20000; i++) {
		unsigned block = (seed = seed * 1664525 + 1013904223) >> 8, n = 0;
		int rc;

		block %= SMALL;
		snprintf(word, sizeof(word), "%s %u", i % 2 ? "addbadblock" : "removebadblock",
			 block);
		dm_say(dust, word, &rc);
		CHECK_EQ(rc, bad[block] == i % 2 ? -EINVAL : 0);
		bad[block] = i % 2;
		for (unsigned k = 0; k < SMALL; k++)
			n += bad[k];
		snprintf(word, sizeof(word), "countbadblocks: %u badblock(s) found", n);
		SAYS(dust, "countbadblocks", word);
	}
	for (unsigned k = 0; k < SMALL; k++) {
		char answer[64];

		snprintf(word, sizeof(word), "queryblock %u", k);
		snprintf(answer, sizeof(answer), "dust_query_block: block %u %s in badblocklist", k,
			 bad[k] ? "found" : "not found");
		SAYS(dust, word, answer);
	}
	SAYS(dust, "clearbadblocks", "dust_clear_badblocks: badblocks cleared");
	SAYS(dust, "enable", "");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(word, sizeof(word), "addbadblock %u", i < MANY / 2 ? i : 4000000 - i);
		SAYS(dust, word, "");
	}
	SAYS(dust, "countbadblocks", "countbadblocks: 1000000 badblock(s) found");
	CHECK_EQ(riser_dm_message(dust, x, 0, "listbadblocks", &list, &err), 0);
	{
		const char *at = list;

		for (unsigned i = 0; i < MANY; i++) {
			unsigned want = i < MANY / 2 ? i : 3000001 + i - MANY / 2;

			CHECK_EQ(strtoul(at, (char **)(uintptr_t)&at, 10), want);
			CHECK_EQ(*at++, '\n');
		}
		CHECK(!*at);
	}
	free(list);
	for (unsigned i = 0; i < 3000; i++) {
		CHECK_EQ(dm_rw(&way, RISER_BLK_READ, i, 1, got), RISER_BLK_IOERR);
		CHECK_EQ(dm_rw(&way, RISER_BLK_READ, 1000000 + i, 1, got), RISER_BLK_OK);
	}
	CHECK_EQ(dm_rw(&way, RISER_BLK_WRITE_ZEROES, 0, 4194304, NULL), RISER_BLK_OK);
	SAYS(dust, "countbadblocks", "countbadblocks: 0 badblock(s) found");
	dust_down();
}

TEST_MAIN(CASE(unstriped_constructor), CASE(unstriped_undoes_striped),
	  CASE(unstriped_may_be_linear), CASE(switch_constructor), CASE(switch_mappings),
	  CASE(switch_refuses), CASE(switch_of_many_paths), CASE(dust_constructor),
	  CASE(dust_messages), CASE(dust_reads_and_writes), CASE(dust_writes_that_fail_first),
	  CASE(dust_blocks_askew), CASE(dust_kept_through_a_new_plan), CASE(dust_of_many_blocks))
