/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * No memory at each step of loading, suspending and resuming: it is said, the old table is live,
 * and nothing is left behind (the sanitizer looks). The linker sends the library's allocations
 * here.
 */
#include "dm_leaves.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *s);
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *s);
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));

static unsigned countdown; /* the allocation that fails; 0: none */
static bool fixture;       /* the leaf's own are made with memory to spare */

static bool fails(void)
{
	return countdown && !fixture && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
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

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

/* A node of a tree. */
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	return fails() ? NULL : __real_tsearch(key, root, compare);
}

static int spare_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			 struct blk_map **out, struct riser_err *err)
{
	int rc;

	fixture = true;
	rc = fix_leaf_map_new(b, table, c, out, err);
	fixture = false;
	return rc;
}

static struct blk_ops spare_ops;
static struct riser_err err;
static struct riser *r;
static struct riser_exec *x;
static struct riser_dm *low, *mid, *top;
static struct riser_blk_channel *c;
static uint8_t buf[64 * 512];

#define S NS_PER_S

static struct riser_dm *make(const char *name, const char *table)
{
	struct riser_dm *d = NULL;

	if (riser_dm_create(r, name, NULL, 0, &d, &err) || leaves_table(d, x, table, &err)) {
		printf("# %s: %s\n", name, err.text);
		tap_failed = true;
	}
	return d;
}

static void up(void)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	CHECK_EQ(registry_up(), 0);
	CHECK_EQ(base_new(&opts, &registry, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	spare_ops = fix_leaf_ops;
	spare_ops.map_new = spare_map_new;
	for (unsigned i = 0; i < 2; i++) {
		leaves[i] = fix_leaf_new(r, "leaf", 64, FIX_AT_ONCE, 0);
		leaves[i]->ops = &spare_ops;
	}
	SUB(low = make("low", "0 32 linear leaf:0 0"));
	SUB(mid = make("mid", "0 32 linear dm:low 0"));
	SUB(top = make("top", "0 32 linear dm:mid 0"));
	CHECK_EQ(riser_blk_channel_open(top->b, x, 4, &c, &err), 0);
}

static void down(void)
{
	riser_blk_channel_close(c);
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(mid, x, &err), 0);
	CHECK_EQ(riser_dm_remove(low, x, &err), 0);
	for (unsigned i = 0; i < 2; i++)
		riser_blk_close(leaves[i]);
	riser_exec_free(x);
	riser_free(r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

/* What was dropped does not add up, however seldom the owner polls. */
static void check_maps(void)
{
	if (fix_live_maps > 100)
		fix_broken("%u maps of leaves", fix_live_maps);
}

/* Which leaf a write to the first sector of the top arrives at. */
static int arrives_at(void)
{
	static uint8_t mark;

	check_maps();
	memset(buf, ++mark, 512);
	if (riser_blk_rw(c, RISER_BLK_WRITE, 0, 1, buf, 0) != RISER_BLK_OK)
		return -1;
	for (int i = 0; i < 2; i++)
		if (((struct fix_leaf *)leaves[i]->priv)->data[0] == mark)
			return i;
	return -1;
}

static int loading(struct riser_dm *d)
{
	return riser_dm_load(d, x, "0 16 linear leaf:1 0\n16 16 striped 2 2 leaf:1 16 leaf:0 16",
			     NULL, &err);
}

TEST(load)
{
	unsigned n = 0;
	int rc;

	SUB(up());
	do {
		countdown = ++n;
		rc = loading(mid);
		countdown = 0;
		if (rc && rc != -ENOMEM)
			FAIL("allocation %u: %d (%s)", n, rc, err.text);
		CHECK_EQ(mid->inactive != NULL, rc == 0);
		CHECK_EQ(arrives_at(), 0);
	} while (rc);
	CHECK(n > 10);
	SUB(down());
}

/* Of a device that the top skips: the top is compiled anew, twice. */
static void resuming(const char *name)
{
	struct riser_dm *d;
	struct riser_dm_info i;
	unsigned n = 0;
	int rc;

	SUB(up());
	d = riser_dm_find(r, name);
	CHECK_EQ(loading(d), 0);
	do {
		countdown = ++n;
		rc = riser_dm_resume(d, x, S, &err);
		countdown = 0;
		if (rc && rc != -ENOMEM)
			FAIL("allocation %u: %d (%s)", n, rc, err.text);
		riser_dm_get_info(d, &i);
		CHECK_EQ(i.inactive, rc != 0);
		CHECK(!i.suspended);
		CHECK_EQ(arrives_at(), rc == 0);
	} while (rc);
	CHECK(n > 10);
	SUB(down());
}

TEST(resume)
{
	SUB(resuming("top"));
}

TEST(resume_below)
{
	SUB(resuming("mid"));
}

/* Each step of either may fail: those above go a longer way, which is right. */
TEST(suspend_and_resume_below)
{
	unsigned n = 0;
	bool failed;
	int rc;

	SUB(up());
	do {
		countdown = ++n;
		rc = riser_dm_suspend(low, x, S, &err);
		if (rc && rc != -ENOMEM)
			FAIL("allocation %u: %d (%s)", n, rc, err.text);
		CHECK_EQ(low->suspended, rc == 0);
		if (!rc)
			CHECK_EQ(riser_dm_resume(low, x, S, &err), 0);
		failed = !countdown;
		countdown = 0;
		CHECK_EQ(arrives_at(), 0);
	} while (failed);
	CHECK(n > 20);
	CHECK_EQ(riser_dm_suspend(low, x, S, &err), 0);
	CHECK_EQ(riser_dm_resume(low, x, S, &err), 0);
	CHECK_EQ(top->plan->nskips, 2);
	SUB(down());
}

/* A device that cannot have another name keeps the one that it has. */
TEST(rename_it)
{
	unsigned n = 0;
	int rc;

	SUB(up());
	do {
		countdown = ++n;
		rc = riser_dm_rename(mid, x, "other", "U", &err);
		countdown = 0;
		if (rc && rc != -ENOMEM)
			FAIL("allocation %u: %d (%s)", n, rc, err.text);
		CHECK_STR(mid->name, rc ? "mid" : "other");
		CHECK_STR(mid->uuid, rc ? "" : "U");
		CHECK(riser_dm_find(r, rc ? "mid" : "other") == mid);
		CHECK(!riser_dm_find(r, rc ? "other" : "mid"));
	} while (rc);
	CHECK_EQ(n, 3);
	SUB(down());
}

TEST_MAIN(CASE(rename_it), CASE(load), CASE(resume), CASE(resume_below),
	  CASE(suspend_and_resume_below))
