/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Devices for the tests of the block core: a leaf with every limit that a leaf may have, whose
 * I/O ends late and in any order, and a linear layer.
 */
#ifndef TESTS_BLK_FIXTURE_H
#define TESTS_BLK_FIXTURE_H

#include "../tap.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

static uint32_t fix_live_maps; /* atomic; of every kind */
static uint32_t fix_bad;       /* atomic: rules that were broken, with a line each */

/* Set before a swap: the nth allocation behind the linear's own fails. */
static unsigned *fix_countdown, fix_countdown_to;
/* Called while a linear's map is made, before its lower channel. */
static void (*fix_building)(struct riser_blk *b);
static _Thread_local struct riser_exec *fix_this; /* which executor this thread runs, if it says */

static void fix_broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void fix_broken(const char *fmt, ...)
{
	va_list ap;

	if (__atomic_fetch_add(&fix_bad, 1, __ATOMIC_RELAXED) > 5)
		return;
	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
}

/* Nobody but the owner's thread drives what belongs to an owner. */
static inline void fix_check_owner(const struct blk_map *m)
{
	if (fix_this && m->c->owner->x != fix_this)
		fix_broken("%s: in another thread than its owner's", m->b->description);
}

/* Several owners may draw from a leaf's seed at a time; what they draw does not matter. */
static inline uint64_t fix_rand(uint64_t *seed)
{
	uint64_t v = load_relaxed(seed) * 6364136223846793005ull + 1442695040888963407ull;

	store_relaxed(seed, v);
	return v >> 33;
}

/* When the leaf ends an I/O. */
enum fix_mode {
	FIX_AT_ONCE, /* at the next poll */
	FIX_LATE,    /* some poll, in any order */
	FIX_POSTED,  /* when another thread says fix_leaf_kick(): the owner can sleep */
	FIX_HELD,    /* when the test sets mode to something else */
};

struct fix_leaf {
	uint8_t *data, *stable; /* what reads see; what a power cut leaves */
	size_t len;
	enum fix_mode mode;
	unsigned room;      /* I/Os at a time; more get blk_again() */
	bool no_zeroes;     /* WRITE_ZEROES proves not to be supported */
	bool short_discard; /* a bug to be found: longer discards stop a sector short */
	uint64_t seed;
	unsigned flushes; /* that arrived; for one owner */
	uint8_t *own;     /* with BLK_REACH_OWN: memory that it reaches */
	size_t own_len;
	uint8_t *own_pages;        /* which pages of it are given out */
	pthread_mutex_t lock;      /* for @data, where several owners use it */
	struct fix_leaf_map *maps; /* for fix_leaf_kick() */
};

struct fix_leaf_map {
	struct blk_map map;
	struct io_queue held;
	unsigned nheld;
	struct riser_work kick;
	uint32_t kicked; /* atomic */
	struct fix_leaf_map *next;
};

static bool fix_reaches(const struct fix_leaf *d, const void *p)
{
	return !d->own ||
	       ((const uint8_t *)p >= d->own && (const uint8_t *)p < d->own + d->own_len);
}

static bool fix_equal(const struct riser_blk_io *io, const void *to)
{
	uint8_t *copy = malloc(blk_bytes(io));
	bool equal;

	blk_copy_in(copy, io);
	equal = !memcmp(copy, to, blk_bytes(io));
	free(copy);
	return equal;
}

static enum riser_blk_status fix_execute(struct riser_blk *b, struct riser_blk_io *io)
{
	struct fix_leaf *d = b->priv;
	uint8_t *at = d->data + (io->sector << 9);
	enum riser_blk_status status = RISER_BLK_OK;
	size_t len = blk_bytes(io);

	pthread_mutex_lock(&d->lock);
	switch (io->op) {
	case RISER_BLK_READ:
		blk_copy_out(io, at);
		break;
	case RISER_BLK_WRITE:
		blk_copy_in(at, io);
		break;
	case RISER_BLK_FLUSH:
		memcpy(d->stable, d->data, d->len);
		d->flushes++;
		break;
	case RISER_BLK_COMPARE:
		if (!fix_equal(io, at))
			status = RISER_BLK_PROTECTION;
		break;
	default:
		if (io->op == RISER_BLK_DISCARD && d->short_discard && io->count > 2)
			len -= 512;
		memset(at, 0, len);
		break;
	}
	if (io->op != RISER_BLK_FLUSH && (io->flags & RISER_BLK_FUA || !b->write_cache))
		memcpy(d->stable + (io->sector << 9), at, blk_bytes(io));
	pthread_mutex_unlock(&d->lock);
	return status;
}

/* Whatever arrives at a leaf keeps to what the leaf said. */
static void fix_check(struct riser_blk *b, const struct riser_blk_io *io)
{
	const struct blk_limits *l = &b->limits;
	uint32_t block = l->logical_block / 512;

	if (io->op == RISER_BLK_FLUSH)
		return;
	if ((io->sector | io->count) % block || io->sector + io->count > b->sectors)
		fix_broken("leaf: %u sectors at %" PRIu64, io->count, io->sector);
	if (io->op <= RISER_BLK_WRITE && l->max_sectors && io->count > l->max_sectors)
		fix_broken("leaf: %u sectors, more than its limit", io->count);
	if (io->op == RISER_BLK_DISCARD && l->max_discard_sectors &&
	    io->count > l->max_discard_sectors)
		fix_broken("leaf: discard of %u sectors", io->count);
	if (io->op == RISER_BLK_WRITE_ZEROES &&
	    (!b->write_zeroes || (l->max_zeroes_sectors && io->count > l->max_zeroes_sectors)))
		fix_broken("leaf: write zeroes of %u sectors", io->count);
	/* Without a cache they say nothing. */
	if (b->write_cache &&
	    (io->flags & RISER_BLK_PREFLUSH || (io->flags & RISER_BLK_FUA && !b->fua)))
		fix_broken("leaf: flags %#x", io->flags);
}

static bool fix_usable(struct fix_leaf *d, const struct blk_limits *l, struct riser_blk_io *io)
{
	size_t skip = io->iov_off;

	if (io->op > RISER_BLK_WRITE && io->op != RISER_BLK_COMPARE)
		return true;
	if (!blk_memory_ok(l, io))
		return false;
	for (uint32_t i = 0; i < io->iovcnt; i++) {
		if (skip < io->iov[i].iov_len && !fix_reaches(d, io->iov[i].iov_base))
			return false;
		skip -= min_of(skip, io->iov[i].iov_len);
	}
	return true;
}

static void fix_kick_one(struct fix_leaf_map *m)
{
	if (!__atomic_exchange_n(&m->kicked, 1, __ATOMIC_ACQ_REL))
		riser_exec_post(m->map.c->owner->x, &m->kick);
}

static void fix_leaf_submit(struct blk_map *map, struct riser_blk_io *io)
{
	struct fix_leaf_map *m = container_of(map, struct fix_leaf_map, map);
	struct fix_leaf *d = map->b->priv;

	fix_check_owner(map);
	fix_check(map->b, io);
	if (d->room && m->nheld >= d->room) {
		blk_again(map, io);
		return;
	}
	if (io->op == RISER_BLK_WRITE_ZEROES && d->no_zeroes) {
		blk_zeroes(map, io);
		return;
	}
	if (!fix_usable(d, &map->b->limits, io)) {
		blk_bounce(map, io);
		return;
	}
	if (load_relaxed(&d->mode) == FIX_AT_ONCE) {
		blk_done(io, fix_execute(map->b, io));
		return;
	}
	io_push(&m->held, io);
	m->nheld++;
}

/* End some of what is held, not in order. */
static int fix_finish(struct fix_leaf_map *m, bool all)
{
	struct fix_leaf *d = m->map.b->priv;
	struct io_queue q = m->held, again = { NULL, NULL };
	struct riser_blk_io *io;
	int n = 0;

	m->held.head = NULL;
	while ((io = io_pop(&q))) {
		if (!all && fix_rand(&d->seed) % 3) {
			io_push(&again, io);
			continue;
		}
		m->nheld--;
		n++;
		blk_end(io, fix_execute(m->map.b, io));
	}
	while ((io = io_pop(&again)))
		io_push(&m->held, io);
	return n;
}

static int fix_leaf_poll(struct blk_map *map)
{
	struct fix_leaf_map *m = container_of(map, struct fix_leaf_map, map);
	struct fix_leaf *d = map->b->priv;
	enum fix_mode mode = load_relaxed(&d->mode);

	if (mode >= FIX_POSTED || !m->held.head)
		return 0;
	fix_finish(m, mode == FIX_AT_ONCE);
	return 1; /* busy, whether any ended or not */
}

static int fix_leaf_arm(struct blk_map *map)
{
	struct fix_leaf_map *m = container_of(map, struct fix_leaf_map, map);
	struct fix_leaf *d = map->b->priv;

	return load_relaxed(&d->mode) < FIX_POSTED && m->held.head;
}

static void fix_kicked(struct riser_work *w)
{
	struct fix_leaf_map *m = container_of(w, struct fix_leaf_map, kick);
	struct riser_exec *x = m->map.c->owner->x;

	store_release(&m->kicked, 0);
	x->in_cb++;
	fix_finish(m, true);
	x->in_cb--;
	clock_bump(x->r);
}

/* Any thread, for FIX_POSTED: every owner ends what it has. */
static void fix_leaf_kick(struct riser_blk *b)
{
	struct fix_leaf *d = b->priv;

	pthread_mutex_lock(&d->lock);
	for (struct fix_leaf_map *m = d->maps; m; m = m->next)
		fix_kick_one(m);
	pthread_mutex_unlock(&d->lock);
}

static int fix_leaf_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			    struct blk_map **out, struct riser_err *err)
{
	struct fix_leaf *d = b->priv;
	struct fix_leaf_map *m = calloc(1, sizeof(*m));

	blk_map_init(&m->map, b, c);
	m->kick.fn = fix_kicked;
	pthread_mutex_lock(&d->lock);
	m->next = d->maps;
	d->maps = m;
	pthread_mutex_unlock(&d->lock);
	__atomic_fetch_add(&fix_live_maps, 1, __ATOMIC_RELAXED);
	*out = &m->map;
	return 0;
}

static void fix_leaf_free_now(struct riser_work *w)
{
	struct fix_leaf_map *m = container_of(w, struct fix_leaf_map, kick);

	memset(m, 0x5a, sizeof(*m));
	free(m);
}

static void fix_leaf_map_free(struct blk_map *map)
{
	struct fix_leaf_map *m = container_of(map, struct fix_leaf_map, map);
	struct fix_leaf *d = map->b->priv;

	fix_check_owner(map);
	if (m->held.head)
		fix_broken("leaf: freed with I/O");
	pthread_mutex_lock(&d->lock);
	for (struct fix_leaf_map **p = &d->maps; *p; p = &(*p)->next)
		if (*p == m) {
			*p = m->next;
			break;
		}
	pthread_mutex_unlock(&d->lock);
	__atomic_fetch_sub(&fix_live_maps, 1, __ATOMIC_RELAXED);
	m->kick.fn = fix_leaf_free_now;
	if (!__atomic_exchange_n(&m->kicked, 1, __ATOMIC_ACQ_REL))
		fix_leaf_free_now(&m->kick);
}

static void fix_leaf_close(struct riser_blk *b)
{
	struct fix_leaf *d = b->priv;

	memset(d->data, 0x5a, d->len);
	free(d->data);
	free(d->stable);
	if (d->own)
		munmap(d->own, d->own_len);
	free(d->own_pages);
	pthread_mutex_destroy(&d->lock);
	memset(d, 0x5a, sizeof(*d));
	free(d);
}

static int fix_buf_alloc(struct riser_blk *b, size_t len, void **out, struct riser_err *err)
{
	struct fix_leaf *d = b->priv;
	size_t want = (len + 4095) / 4096, run = 0, end = d->own_len / 4096, at;

	pthread_mutex_lock(&d->lock);
	for (at = 0; at < end && run < want; at++)
		run = d->own_pages[at] ? 0 : run + 1;
	if (run == want) {
		*out = d->own + (at - want) * 4096;
		memset(d->own_pages + at - want, 1, want);
	}
	pthread_mutex_unlock(&d->lock);
	return run == want ? 0 : riser_err_set(err, -ENOMEM, "own memory is used up");
}

static void fix_buf_free(struct riser_blk *b, void *buf, size_t len)
{
	struct fix_leaf *d = b->priv;

	pthread_mutex_lock(&d->lock);
	memset(d->own_pages + ((uint8_t *)buf - d->own) / 4096, 0, (len + 4095) / 4096);
	pthread_mutex_unlock(&d->lock);
}

static const struct blk_ops fix_leaf_ops = {
	.size = sizeof(fix_leaf_ops),
	.close = fix_leaf_close,
	.map_new = fix_leaf_map_new,
	.map_free = fix_leaf_map_free,
	.submit = fix_leaf_submit,
	.poll = fix_leaf_poll,
	.arm = fix_leaf_arm,
};

static const struct blk_ops fix_own_leaf_ops = {
	.size = sizeof(fix_own_leaf_ops),
	.close = fix_leaf_close,
	.map_new = fix_leaf_map_new,
	.map_free = fix_leaf_map_free,
	.submit = fix_leaf_submit,
	.poll = fix_leaf_poll,
	.arm = fix_leaf_arm,
	.buf_alloc = fix_buf_alloc,
	.buf_free = fix_buf_free,
};

/* @own: bytes of memory of its own that it reaches alone, 0: it reaches all. */
static struct riser_blk *fix_leaf_new(struct riser *r, const char *name, uint64_t sectors,
				      enum fix_mode mode, size_t own)
{
	struct fix_leaf *d = calloc(1, sizeof(*d));
	struct riser_blk *b;

	d->len = sectors << 9;
	d->data = calloc(1, d->len);
	d->stable = calloc(1, d->len);
	d->mode = mode;
	d->seed = 12345;
	d->own_len = own;
	if (own)
		d->own =
			mmap(NULL, own, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	d->own_pages = calloc(1, own / 4096 + 1);
	pthread_mutex_init(&d->lock, NULL);
	blk_new(r, own ? &fix_own_leaf_ops : &fix_leaf_ops, d, &b, NULL);
	b->sectors = sectors;
	b->discard = b->write_zeroes = b->fua = true;
	b->limits.reach = own ? BLK_REACH_OWN : BLK_REACH_ANY;
	snprintf(b->description, sizeof(b->description), "%s", name);
	return b;
}

/* A table of the linear layer: lives while a map or the test refers to it. */
struct fix_table {
	struct riser_blk *lower;
	uint64_t base, sectors;
	uint32_t refs;
	unsigned fail; /* make the nth map_new fail, 0: none */
	bool home;
};

static struct fix_table *fix_table_new(struct riser_blk *lower, uint64_t base, uint64_t sectors)
{
	struct fix_table *t = calloc(1, sizeof(*t));

	*t = (struct fix_table){
		.lower = blk_get(lower), .base = base, .sectors = sectors, .refs = 1
	};
	return t;
}

static void fix_table_put(struct fix_table *t)
{
	if (__atomic_fetch_sub(&t->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	blk_put(t->lower);
	memset(t, 0x5a, sizeof(*t));
	free(t);
}

struct fix_linear_map {
	struct blk_map map;
	struct fix_table *table;
};

/* Everything but reads and writes comes here (those too, where a device is made without fast). */
static enum blk_verdict fix_linear_map(struct blk_map *map, struct riser_blk_io *io)
{
	struct fix_linear_map *m = container_of(map, struct fix_linear_map, map);

	fix_check_owner(map);
	return blk_remap(io, map->lowers[0], io->sector + m->table->base);
}

static void fix_linear_map_free(struct blk_map *map)
{
	struct fix_linear_map *m = container_of(map, struct fix_linear_map, map);

	fix_check_owner(map);
	fix_table_put(m->table);
	__atomic_fetch_sub(&fix_live_maps, 1, __ATOMIC_RELAXED);
	memset(m, 0x5a, sizeof(*m));
	free(m);
}

static int fix_linear_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			      struct blk_map **out, struct riser_err *err)
{
	struct fix_table *t = table;
	struct fix_linear_map *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return riser_err_set(err, -ENOMEM, "no memory for a map");
	blk_map_init(&m->map, b, c);
	m->table = t;
	__atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&fix_live_maps, 1, __ATOMIC_RELAXED);
	if (fix_countdown)
		*fix_countdown = fix_countdown_to;
	if (fix_building)
		fix_building(b);
	rc = blk_map_add_lower(&m->map, t->lower, err);
	if (!rc && t->fail && --t->fail == 0)
		rc = riser_err_set(err, -ENOMEM, "the test says no");
	if (rc) {
		blk_map_free(&m->map);
		return rc;
	}
	if (b->priv)
		blk_map_set_linear(&m->map, m->map.lowers[0], t->base);
	*out = &m->map;
	return 0;
}

static bool fix_linear_wants_home(const struct riser_blk *b, void *table)
{
	return ((const struct fix_table *)table)->home;
}

static void fix_linear_install(struct riser_blk *b, void *table)
{
	b->sectors = ((struct fix_table *)table)->sectors;
}

static void fix_linear_close(struct riser_blk *b)
{
	if (b->table)
		fix_table_put(b->table);
}

static const struct blk_ops fix_linear_ops = {
	.size = sizeof(fix_linear_ops),
	.close = fix_linear_close,
	.map_new = fix_linear_map_new,
	.map_free = fix_linear_map_free,
	.wants_home = fix_linear_wants_home,
	.install = fix_linear_install,
	.map = fix_linear_map,
};

/* @fast: reads and writes by the extent, without a call of map. */
static struct riser_blk *fix_linear_new(struct riser *r, const char *name, struct riser_blk *lower,
					uint64_t base, uint64_t sectors, bool fast)
{
	static char yes;
	struct riser_blk *b;

	blk_new(r, &fix_linear_ops, fast ? &yes : NULL, &b, NULL);
	b->table = fix_table_new(lower, base, sectors);
	b->sectors = sectors;
	blk_stack_limits(b, lower);
	b->block_status = true;
	snprintf(b->description, sizeof(b->description), "%s", name);
	return b;
}

/* Before any channel is opened. */
static void fix_linear_set_home(struct riser_blk *b, bool home)
{
	((struct fix_table *)b->table)->home = home;
}

/* Swap a linear's table; the old one lives as long as its maps. */
static int fix_linear_swap_to(struct riser_blk *b, struct riser_exec *x, struct riser_blk *lower,
			      uint64_t base, uint64_t sectors, bool home, uint64_t timeout,
			      struct riser_err *e)
{
	struct fix_table *old = b->table, *t = fix_table_new(lower, base, sectors);
	int rc;

	t->home = home;
	rc = blk_swap(b, x, t, timeout, e);
	fix_table_put(rc ? t : old);
	return rc;
}

/* The same, HOME or not as it was. */
static int fix_linear_swap(struct riser_blk *b, struct riser_exec *x, struct riser_blk *lower,
			   uint64_t base, uint64_t sectors, uint64_t timeout, struct riser_err *e)
{
	bool home = ((struct fix_table *)b->table)->home;

	return fix_linear_swap_to(b, x, lower, base, sectors, home, timeout, e);
}

/* I/O of one sector, one at a time or several. */
static unsigned fix_ended, fix_failed;
static int fix_last_status;

static void fix_done(struct riser_blk_io *io)
{
	fix_ended++;
	fix_failed += io->status != RISER_BLK_OK;
	fix_last_status = io->status;
	riser_blk_io_put(io);
}

static void fix_start(struct riser_blk_channel *c, enum riser_blk_op op, uint64_t sector, void *buf)
{
	struct riser_blk_io *io = riser_blk_io_get(c);

	io->op = (uint8_t)op;
	io->sector = sector;
	io->count = 1;
	io->one = (struct iovec){ buf, 512 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = fix_done;
	riser_blk_submit(io);
}

/* A linear over a leaf; an executor or two in this thread, each with a channel, @x[0]'s first. */
struct fix_rig {
	struct riser *r;
	struct riser_exec *x[2];
	struct riser_blk *leaf, *b;
	struct riser_blk_channel *c[2];
	uint8_t buf[512];
};

static void fix_rig_up(struct fix_rig *g, uint32_t flags, enum fix_mode mode, unsigned owners,
		       bool home)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };

	memset(g, 0, sizeof(*g));
	fix_ended = fix_failed = 0;
	CHECK_EQ(riser_new(&opts, &g->r, NULL), 0);
	g->leaf = fix_leaf_new(g->r, "the leaf", 64, mode, 0);
	g->b = fix_linear_new(g->r, "the top", g->leaf, 8, 32, true);
	fix_linear_set_home(g->b, home);
	for (unsigned i = 0; i < owners; i++) {
		CHECK_EQ(riser_exec_new(g->r, &g->x[i], NULL), 0);
		CHECK_EQ(riser_blk_channel_open(g->b, g->x[i], 0, &g->c[i], NULL), 0);
	}
}

static void fix_rig_down(struct fix_rig *g)
{
	for (unsigned i = 0; i < 2; i++) {
		riser_blk_channel_close(g->c[i]);
		riser_exec_free(g->x[i]);
	}
	riser_blk_close(g->b);
	riser_blk_close(g->leaf);
	CHECK_EQ(fix_live_maps, 0);
	riser_free(g->r);
	CHECK_EQ(fix_bad, 0);
}

#endif
