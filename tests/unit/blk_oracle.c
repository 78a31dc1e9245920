/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Random I/O on random stacks, against an array: up to five linears over a leaf with random limits,
 * pools of one frame and one child at every level as often as larger ones, HOME tables on the
 * owner's own executor or on another, which may lose its channel. Devices are suspended and swapped
 * (HOME tables for others and back) step by step while I/O goes on. RISER_TEST_SEED chooses one
 * seed.
 */
#include "blk_fixture.h"

#define SECTORS 256 /* of the leaf */
#define LEVELS  5
#define FLIGHT  12
#define PIECES  4
#define MAX_IO  48
#define OPS     220
#define S       NS_PER_S

static struct riser_err err;

struct op {
	struct riser_blk_io *io;
	struct iovec iov[PIECES];
	uint8_t mem[MAX_IO * 512 + PIECES * 512];
	uint8_t data[MAX_IO * 512]; /* what was written */
	bool busy, in_order;        /* nothing else was in flight at submit */
	unsigned serial;
};

struct stack {
	uint64_t seed;
	struct riser *r;
	struct riser_exec *x, *home;
	struct riser_blk *leaf, *level[LEVELS], *top;
	uint64_t base[LEVELS];
	unsigned depth, block;               /* sectors a block */
	struct riser_blk_channel *c, *first; /* @first: on @home, where that is another executor */
	uint64_t sectors, at;                /* of the top; where it lies on the leaf */
	uint8_t shadow[SECTORS * 512];
	uint8_t writing[SECTORS], reading[SECTORS];
	struct op ops[FLIGHT];
	unsigned inflight, submitted, ended;
	struct blk_change change; /* of @changed, if there is one; @old goes when it is through */
	struct riser_blk *changed;
	struct fix_table *old;
	void *own; /* memory of the channel, where the leaf reaches its own alone */
};

static struct stack s;
static uint64_t total;

static uint64_t rnd(uint64_t n)
{
	return fix_rand(&s.seed) % n;
}

static uint32_t some_limit(void)
{
	static const uint32_t choices[] = { 0, 1, 2, 3, 5, 16 };

	return choices[rnd(array_len(choices))] * s.block;
}

static void leaf_up(void)
{
	enum fix_mode mode = rnd(3) ? FIX_LATE : FIX_AT_ONCE;
	size_t own = rnd(3) ? 0 : 256 * MiB;
	struct blk_limits *l;
	struct fix_leaf *d;

	s.leaf = fix_leaf_new(s.r, "leaf", SECTORS, mode, own);
	d = s.leaf->priv;
	d->seed = s.seed;
	d->room = (unsigned)rnd(4);
	d->no_zeroes = rnd(4) == 0;
	l = &s.leaf->limits;
	l->logical_block = l->physical_block = s.block * 512;
	l->max_sectors = some_limit();
	l->max_discard_sectors = some_limit();
	l->max_zeroes_sectors = some_limit();
	l->buf_align = rnd(2) ? 1 : rnd(2) ? 4 : 512;
	l->seg_boundary = rnd(3) ? 0 : 4096;
	s.leaf->fua = rnd(2);
	s.leaf->write_cache = true;
	s.leaf->write_zeroes = d->no_zeroes || rnd(2);
	s.leaf->zeroes_maybe = d->no_zeroes;
}

static void stack_up(uint64_t seed)
{
	static const unsigned pools[] = { 1, 1, 2, 5, 21 };
	struct riser_opts opts = { .size = sizeof(opts),
				   .flags = seed % 3 ? 0 : RISER_NO_MEMBARRIER };
	struct blk_channel_opts copts = { .ios = FLIGHT };
	bool homes = seed % 2;

	memset(&s, 0, sizeof(s));
	s.seed = seed * 0x9e3779b97f4a7c15ull;
	s.block = rnd(2) ? 1 : 8;
	CHECK_EQ(riser_new(&opts, &s.r, &err), 0);
	CHECK_EQ(riser_exec_new(s.r, &s.x, &err), 0);
	leaf_up();
	s.depth = (unsigned)rnd(LEVELS + 1);
	s.top = s.leaf;
	s.sectors = SECTORS;
	for (unsigned i = 0; i < s.depth; i++) {
		s.base[i] = rnd(3) * s.block;
		s.at += s.base[i];
		s.sectors -= s.base[i] + rnd(2) * s.block;
		s.level[i] = fix_linear_new(s.r, "linear", s.top, s.base[i], s.sectors, rnd(3));
		s.top = s.level[i];
		fix_linear_set_home(s.top, homes && rnd(3) == 0);
	}
	copts.frames = pools[rnd(array_len(pools))];
	copts.children = pools[rnd(array_len(pools))];
	if (homes && rnd(3)) {
		CHECK_EQ(riser_exec_new(s.r, &s.home, &err), 0);
		CHECK_EQ(blk_channel_open(s.top, s.home, &copts, &s.first, &err), 0);
	}
	CHECK_EQ(blk_channel_open(s.top, s.x, &copts, &s.c, &err), 0);
	for (unsigned i = 0; i < FLIGHT; i++)
		s.ops[i].io = riser_blk_io_get(s.c);
}

static void stack_down(void)
{
	for (unsigned i = 0; i < FLIGHT; i++)
		riser_blk_io_put(s.ops[i].io);
	riser_blk_channel_close(s.c);
	riser_blk_channel_close(s.first);
	for (unsigned i = s.depth; i-- > 0;)
		riser_blk_close(s.level[i]);
	riser_blk_close(s.leaf);
	riser_exec_free(s.home);
	riser_exec_free(s.x);
	riser_free(s.r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

/* Two writers of a sector, or a reader and a writer, are not for this test. */
static bool may(enum riser_blk_op op, uint64_t at, uint32_t count)
{
	for (uint64_t i = at; i < at + count; i++)
		if (s.writing[i] || (op != RISER_BLK_READ && s.reading[i]))
			return false;
	return true;
}

static void mark(const struct riser_blk_io *io, int by)
{
	uint8_t *map = io->op == RISER_BLK_READ ? s.reading : s.writing;

	if (io->op == RISER_BLK_FLUSH)
		return;
	for (uint64_t i = io->sector; i < io->sector + io->count; i++)
		map[i] = (uint8_t)(map[i] + by);
}

static void check_stable(struct op *o)
{
	struct fix_leaf *d = s.leaf->priv;
	struct riser_blk_io *io = o->io;
	size_t len = blk_bytes(io), off = (s.at + io->sector) << 9;

	if (io->op != RISER_BLK_FLUSH && io->flags & RISER_BLK_FUA &&
	    memcmp(d->stable + off, s.shadow + (io->sector << 9), len))
		fix_broken("FUA: not stable at %" PRIu64, io->sector);
	if (io->op == RISER_BLK_FLUSH && o->in_order && s.submitted == o->serial &&
	    memcmp(d->stable + (s.at << 9), s.shadow, s.sectors << 9))
		fix_broken("flush: not stable");
}

static void on_done(struct riser_blk_io *io)
{
	struct op *o = io->user;
	size_t len = blk_bytes(io);
	uint8_t *shadow = s.shadow + (io->sector << 9);

	if (io->status != RISER_BLK_OK)
		fix_broken("op %d: status %s", io->op, riser_blk_status_name(io->status));
	if (!o->busy)
		fix_broken("ended twice");
	mark(io, -1);
	if (io->op == RISER_BLK_READ) {
		uint8_t got[MAX_IO * 512];

		blk_copy_in(got, io);
		if (memcmp(got, shadow, len))
			fix_broken("read %u at %" PRIu64 ": other data", io->count, io->sector);
	} else if (io->op == RISER_BLK_WRITE) {
		memcpy(shadow, o->data, len);
	} else if (io->op != RISER_BLK_FLUSH) {
		memset(shadow, 0, len);
	}
	check_stable(o);
	o->busy = false;
	s.inflight--;
	s.ended++;
}

/* Random pieces of the op's memory, empty ones and a skipped start among them. */
static void scatter(struct op *o, size_t len)
{
	struct riser_blk_io *io = o->io;
	uint8_t *at = o->mem + rnd(3) * 4;
	size_t left = len, skip = rnd(3) ? 0 : rnd(64);

	io->iov = o->iov;
	io->iovcnt = 1 + (uint32_t)rnd(PIECES);
	io->iov_off = skip;
	for (unsigned i = 0; i < io->iovcnt; i++) {
		size_t n = i + 1 == io->iovcnt ? left : rnd(left + 1);

		if (rnd(2) && n < left)
			n = align_down(n, 512);
		o->iov[i] = (struct iovec){ at, n + (i ? 0 : skip) };
		at += n + (i ? 0 : skip) + rnd(3) * 4;
		left -= n;
	}
}

static void submit_one(struct op *o)
{
	static const enum riser_blk_op kinds[] = { RISER_BLK_READ,    RISER_BLK_READ,
						   RISER_BLK_WRITE,   RISER_BLK_WRITE,
						   RISER_BLK_WRITE,   RISER_BLK_FLUSH,
						   RISER_BLK_DISCARD, RISER_BLK_WRITE_ZEROES };
	enum riser_blk_op op = kinds[rnd(array_len(kinds))];
	uint64_t blocks = s.sectors / s.block, at = rnd(blocks);
	uint32_t count = 1 + (uint32_t)rnd(min_of(blocks - at, (uint64_t)MAX_IO / s.block));
	struct riser_blk_io *io = o->io;

	at *= s.block;
	count *= s.block;
	if (op != RISER_BLK_FLUSH && !may(op, at, count))
		return;
	io->op = (uint8_t)op;
	io->flags = 0;
	if (op == RISER_BLK_WRITE || op == RISER_BLK_WRITE_ZEROES)
		io->flags = (uint8_t)rnd(8);
	io->sector = op == RISER_BLK_FLUSH ? 0 : at;
	io->count = op == RISER_BLK_FLUSH ? 0 : count;
	io->iov = NULL;
	io->iovcnt = 0;
	io->iov_off = 0;
	if (op <= RISER_BLK_WRITE)
		scatter(o, blk_bytes(io));
	if (op == RISER_BLK_WRITE) {
		for (size_t i = 0; i < blk_bytes(io); i++)
			o->data[i] = (uint8_t)rnd(256);
		blk_copy_out(io, o->data);
	}
	io->done = on_done;
	io->user = o;
	o->busy = true;
	o->in_order = s.inflight == 0;
	o->serial = ++s.submitted;
	s.inflight++;
	mark(io, 1);
	riser_blk_submit(io);
}

static void poll_all(void)
{
	riser_exec_poll(s.x);
	if (s.home)
		riser_exec_poll(s.home);
}

/* Begin to suspend a random layer, or to swap its table for an equal one. */
static void begin_change(void)
{
	unsigned i = (unsigned)rnd(s.depth);
	struct fix_table *t = NULL;

	s.changed = s.level[i];
	s.change = (struct blk_change){ .b = s.changed, .deadline = TIME_NEVER, .err = &err };
	if (rnd(3)) {
		t = fix_table_new(i ? s.level[i - 1] : s.leaf, s.base[i], s.changed->sectors);
		t->home = s.home ? rnd(2) : ((struct fix_table *)s.changed->table)->home;
		s.change.kind = CHANGE_SWAP;
		s.change.table = t;
		s.old = s.changed->table;
	} else {
		s.change.kind = CHANGE_SUSPEND;
	}
}

/* What is suspended is swapped as often as not, and resumed by and by. */
static void go_on_changing(void)
{
	if (s.change.at != BLK_CHANGE_OVER && !change_step(&s.change))
		return;
	CHECK_EQ(s.change.rc, 0);
	if (s.old)
		fix_table_put(s.old);
	s.old = NULL;
	if (s.changed->state == BLK_LIVE) {
		s.changed = NULL;
	} else if (rnd(20) == 0) {
		s.change = (struct blk_change){
			.b = s.changed, .kind = CHANGE_RESUME, .deadline = TIME_NEVER, .err = &err
		};
		change_step(&s.change);
	}
}

static void disturb(void)
{
	if (s.changed)
		SUB(go_on_changing());
	else if (s.depth && rnd(30) == 0)
		begin_change();
	if (s.first && rnd(1000) == 0) { /* homes that are there go elsewhere, in the polls */
		blk_channel_close(s.first);
		s.first = NULL;
	}
}

static void one_seed(uint64_t seed)
{
	SUB(stack_up(seed));
	while (s.submitted < OPS) {
		struct op *o = &s.ops[rnd(FLIGHT)];

		if (!o->busy && rnd(3))
			submit_one(o);
		if (rnd(2))
			poll_all();
		SUB(disturb());
	}
	while (s.inflight || s.changed) { /* a hang is caught by the alarm */
		if (s.changed)
			SUB(go_on_changing());
		poll_all();
	}
	CHECK_EQ(s.ended, s.submitted);
	total += s.ended;
	SUB(stack_down());
}

TEST(random_stacks_agree_with_an_array)
{
	const char *one = getenv("RISER_TEST_SEED");
	uint64_t first = one ? strtoull(one, NULL, 0) : 1, last = one ? first : 500;

	for (uint64_t seed = first; seed <= last; seed++) {
		alarm(20);
		one_seed(seed);
		if (tap_failed)
			FAIL("RISER_TEST_SEED=%" PRIu64, seed);
	}
	printf("# %" PRIu64 " I/Os\n", total);
}

TEST_MAIN(CASE(random_stacks_agree_with_an_array))
