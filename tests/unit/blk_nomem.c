/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * No memory at each step of opening, of making channels and of swapping: it is said, nothing is
 * left behind (the sanitizer looks), and what was there goes on. The linker sends the library's
 * allocations here.
 */
#include "blk_fixture.h"

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

static unsigned countdown; /* the allocation that fails; 0: none */

static bool fails(void)
{
	return countdown && --countdown == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

static struct riser_err err;
static struct riser *r;
static struct riser_exec *x;

static void begin(void)
{
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
}

static void finish(void)
{
	CHECK(x->blk == NULL);
	riser_exec_free(x);
	riser_free(r);
}

/* A device and a channel, with its I/O. Return: what failed, or 0. */
static int use(const char *uri)
{
	struct riser_blk_channel *c = NULL;
	struct riser_blk *b = NULL;
	void *buf = NULL;
	int rc = riser_blk_open(r, uri, RISER_BLK_RDWR, &b, &err);

	if (!rc)
		rc = riser_blk_channel_open(b, x, 0, &c, &err);
	if (!rc)
		rc = riser_blk_buf_alloc(c, 4096, &buf, &err);
	countdown = 0;
	if (!rc && riser_blk_rw(c, RISER_BLK_READ, 0, 8, buf, 0) != RISER_BLK_OK)
		rc = -EIO;
	if (c)
		riser_blk_buf_free(c, buf, 4096);
	riser_blk_channel_close(c);
	riser_blk_close(b);
	return rc;
}

static void each(const char *uri)
{
	unsigned n = 0;
	int rc;

	SUB(begin());
	do {
		countdown = ++n;
		rc = use(uri);
		if (rc && rc != -ENOMEM)
			FAIL("%s: allocation %u: %d (%s)", uri, n, rc, err.text);
	} while (rc);
	CHECK(n > 5);
	SUB(finish());
}

TEST(opening_says_when_there_is_no_memory)
{
	char path[] = "/tmp/riser-blk-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, MiB), 0);
	SUB(each("null:1G"));
	SUB(each("mem:1M"));
	SUB(each(path));
	close(fd);
	unlink(path);
}

/* Only the core's own steps: the fixture's table and maps are made with memory to spare. */
static void swaps(bool home)
{
	struct riser_blk *leaf, *b;
	struct riser_blk_channel *c;
	static uint8_t buf[512];
	unsigned n = 0;
	int rc;

	SUB(begin());
	CHECK_EQ(riser_blk_open(r, "mem:1M", RISER_BLK_RDWR, &leaf, &err), 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	CHECK_EQ(riser_blk_channel_open(b, x, 4, &c, &err), 0);
	buf[0] = 77;
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 8, 1, buf, 0), RISER_BLK_OK);
	do {
		struct fix_table *old = b->table, *t = fix_table_new(leaf, 16, 32);

		t->home = home;
		fix_countdown = &countdown;
		fix_countdown_to = ++n;
		rc = blk_swap(b, x, t, NS_PER_S, &err);
		countdown = 0;
		fix_countdown = NULL;
		CHECK(!rc || rc == -ENOMEM);
		fix_table_put(rc ? t : old);
		buf[0] = 0;
		CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, rc ? 8 : 0, 1, buf, 0), RISER_BLK_OK);
		CHECK_EQ(buf[0], 77);
	} while (rc);
	CHECK(n > 3);
	riser_blk_channel_close(c);
	riser_blk_close(b);
	riser_blk_close(leaf);
	CHECK_EQ(fix_live_maps, 0);
	SUB(finish());
}

TEST(a_swap_without_memory_leaves_the_old_table)
{
	SUB(swaps(false));
	SUB(swaps(true));
}

/* Both for the first channel of a HOME table, whose home has to be made, and for one more. */
TEST(a_home_without_memory_lets_no_channel_in)
{
	struct riser_blk_channel *c[2] = { NULL, NULL };
	struct riser_blk *leaf, *b;
	unsigned n = 0;

	SUB(begin());
	CHECK_EQ(riser_blk_open(r, "mem:1M", 0, &leaf, &err), 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	fix_linear_set_home(b, true);
	for (unsigned i = 0; i < 2; i++) {
		int rc = -ENOMEM;

		for (n = 0; rc; riser_exec_poll(x)) { /* a home that was made for nothing goes */
			countdown = ++n;
			rc = riser_blk_channel_open(b, x, 4, &c[i], &err);
			countdown = 0;
			CHECK(!rc || rc == -ENOMEM);
		}
		CHECK(n > 3);
	}
	CHECK_EQ(riser_blk_rw(c[1], RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	riser_blk_channel_close(c[0]);
	riser_blk_channel_close(c[1]);
	riser_blk_close(b);
	riser_blk_close(leaf);
	CHECK_EQ(fix_live_maps, 0);
	SUB(finish());
}

/* Nowhere to go for want of memory, a home stays; the next try finds some. */
TEST(a_move_without_memory_is_tried_again)
{
	struct riser_blk_channel *c, *other;
	struct riser_blk *leaf, *b;
	struct riser_exec *y;
	unsigned tries = 0;

	SUB(begin());
	CHECK_EQ(riser_exec_new(r, &y, &err), 0);
	CHECK_EQ(riser_blk_open(r, "mem:1M", 0, &leaf, &err), 0);
	b = fix_linear_new(r, "top", leaf, 8, 32, true);
	fix_linear_set_home(b, true);
	CHECK_EQ(riser_blk_channel_open(b, y, 4, &other, &err), 0);
	CHECK_EQ(riser_blk_channel_open(b, x, 4, &c, &err), 0);
	blk_channel_close(other);
	while (b->home->c.owner->x == y) {
		struct blk_home *h = b->home;

		countdown = ++tries;
		riser_exec_poll(y);
		countdown = 0;
		h->not_before = 0; /* it would pause for a second */
	}
	CHECK(tries > 3);
	CHECK(b->home->c.owner->x == x);
	riser_exec_free(y);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	riser_blk_channel_close(c);
	riser_blk_close(b);
	riser_blk_close(leaf);
	CHECK_EQ(fix_live_maps, 0);
	SUB(finish());
}

TEST_MAIN(CASE(opening_says_when_there_is_no_memory),
	  CASE(a_swap_without_memory_leaves_the_old_table),
	  CASE(a_home_without_memory_lets_no_channel_in),
	  CASE(a_move_without_memory_is_tried_again))
