/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The devices and the model side by side, and what is compared where an I/O ends. */
#ifndef TESTS_ORACLE_WORLD_H
#define TESTS_ORACLE_WORLD_H

#include "../dm_leaves.h"
#include "count.h"
#include "model.h"

enum { FLIGHT = 10, MAX_IO = 24, PIECES = 3, NO_LINE = LINES };

struct slot {
	struct riser_blk_io *ios[DEVS], *io; /* one of each way's */
	const struct s_op *op;
	bool busy;
	bool off, cut;        /* power is off on its way; or was switched while it was under way */
	uint16_t normal, may; /* statuses, one bit each; @normal: with power */
	uint64_t serial;      /* tick at submit */
	uint64_t tags[MAX_IO];
	struct cell *cells[MAX_IO]; /* NULL: none */
	struct place places[MAX_IO];
	uint32_t ncells;
	struct iovec iov[PIECES];
	uint8_t mem[MAX_IO * 512 + PIECES * 64];
};

struct world {
	struct model m;
	struct riser *r;
	struct riser_exec *x;
	struct riser_dm *dm[DEVS];
	struct riser_blk_channel *ways[DEVS];
	struct slot slots[FLIGHT];
	struct region regions[DEVS][REGIONS];
	unsigned inflight;
	uint64_t submitted, seed;
	bool planted;    /* leaves have a bug */
	bool untold;     /* a device can do other things, but those above hear of it later */
	bool unplayable; /* a device was made too small for those above */
};

static struct world w;
static struct riser_err err;

/* Virtual: delays upon delays, one by one where there is one frame. */
#define S (30 * NS_PER_S)

/* Setting up. */

static void leaf_up(unsigned i)
{
	const struct s_leaf *l = &w.m.s->leaves[i];
	struct riser_blk *b = fix_leaf_new(w.r, "leaf", l->sectors, l->mode, l->own ? 64 * MiB : 0);
	struct fix_leaf *d = b->priv;

	d->seed = w.m.s->seed + i;
	d->room = l->room;
	d->no_zeroes = l->no_zeroes;
	d->short_discard = w.planted;
	b->limits.logical_block = b->limits.physical_block = l->block;
	b->limits.max_sectors = l->max;
	b->limits.max_discard_sectors = l->max_discard;
	b->limits.max_zeroes_sectors = l->max_zeroes;
	b->limits.buf_align = l->buf_align;
	b->limits.seg_boundary = l->seg_boundary;
	b->fua = l->fua;
	b->write_cache = l->cache;
	b->write_zeroes = l->zeroes;
	b->zeroes_maybe = l->no_zeroes;
	b->discard = l->discard;
	b->compare = l->compare;
	leaves[i] = b;
}

static int load(unsigned dev, unsigned table)
{
	char text[2048];

	text_of_table(&w.m.s->tables[table], "\n", text, sizeof(text));
	return riser_dm_load(w.dm[dev], w.x, text, NULL, &err);
}

static void dev_up(unsigned i)
{
	char name[8];

	snprintf(name, sizeof(name), "d%u", i);
	CHECK_EQ(riser_dm_create(w.r, name, NULL, 0, &w.dm[i], &err), 0);
	w.unplayable |= !loadable(&w.m, &w.m.s->tables[w.m.s->first[i]]);
	if (load(i, w.m.s->first[i]) || riser_dm_resume(w.dm[i], w.x, S, &err))
		FAIL("d%u: %s", i, err.text);
	w.m.live[i] = w.m.s->first[i];
	w.m.pending[i] = NO_TABLE;
}

static void way_up(unsigned i)
{
	struct blk_channel_opts opts = { .ios = FLIGHT,
					 .frames = w.m.s->frames,
					 .children = w.m.s->children };

	CHECK_EQ(blk_channel_open(w.dm[i]->b, w.x, &opts, &w.ways[i], &err), 0);
	for (unsigned k = 0; k < FLIGHT; k++)
		w.slots[k].ios[i] = riser_blk_io_get(w.ways[i]);
}

static void world_up(const struct script *s, bool planted)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	memset(&w, 0, sizeof(w));
	w.m.s = s;
	w.planted = planted;
	w.seed = s->seed;
	if (s->no_membarrier)
		opts.flags |= RISER_NO_MEMBARRIER;
	CHECK_EQ(base_new(&opts, &registry, &w.r, &err), 0);
	CHECK_EQ(riser_exec_new(w.r, &w.x, &err), 0);
	for (unsigned i = 0; i < s->nleaves; i++)
		leaf_up(i);
	for (unsigned i = 0; i < s->ndevs; i++)
		SUB(dev_up(i));
	for (unsigned i = 0; i < s->ndevs; i++)
		if (s->ways & 1 << i)
			SUB(way_up(i));
}

static void world_down(void)
{
	for (unsigned i = w.m.s->ndevs; i-- > 0;) {
		for (unsigned k = 0; k < FLIGHT && w.ways[i]; k++)
			riser_blk_io_put(w.slots[k].ios[i]);
		riser_blk_channel_close(w.ways[i]);
	}
	for (unsigned i = w.m.s->ndevs; i-- > 0;)
		CHECK_EQ(riser_dm_remove(w.dm[i], w.x, &err), 0);
	for (unsigned i = 0; i < w.m.s->nleaves; i++)
		riser_blk_close(leaves[i]);
	riser_exec_free(w.x);
	riser_free(w.r);
	CHECK_EQ(fix_live_maps, 0);
}

/* Sectors in memory. */

static void fill(uint8_t *at, uint64_t tag)
{
	memcpy(at, &tag, 8);
	for (size_t n = 8; n < 512; n *= 2)
		memcpy(at + n, at, n);
}

static bool filled(const uint8_t *at, uint64_t tag)
{
	return !memcmp(at, &tag, 8) && !memcmp(at, at + 8, 504);
}

/* Checks. */

/* What was there before a flush began is stable. */
static void check_flushed(const struct slot *o)
{
	unsigned dev = o->op->dev;

	for (uint32_t i = 0; i < table_sectors(met(&w.m, dev)); i++) {
		struct place p;
		struct cell *c = cell_at(&w.m, dev, i, &p);
		const struct fix_leaf *d;

		if (!c || (c->path && c->path != p.path))
			continue;
		if (c->path)
			cell_flushed(c, o->serial);
		if (!cell_is_sure(c) || c->writing || newest(c)->when > o->serial)
			continue;
		d = leaves[p.leaf]->priv;
		if (!filled(d->stable + p.sector * 512ull, newest(c)->tag)) {
			fix_broken("flush: sector %u (leaf:%u %u) is not stable", i, p.leaf,
				   p.sector);
			return;
		}
	}
}

/* Return: whether a sector may hold that; @group: values that its block of 4096 may have yet. */
static bool check_sector(const struct slot *o, uint32_t i, uint64_t tag, uint32_t *group)
{
	struct cell *c = o->cells[i];
	uint32_t fits;

	if (!c)
		return !tag;
	fits = cell_matches(c, tag);
	if (i % 8 == 0)
		*group = UINT32_MAX;
	if (w.m.s->unit == 8 && c->lots && !c->fickle && !c->torn)
		fits = *group &= fits;
	/* Another read may have been here before the cut, and show that later. */
	if (c->lots && !c->fickle && !c->reading && o->serial > newest(c)->when && fits)
		cell_learn(c, tag, w.m.tick);
	return fits;
}

static void check_read(const struct slot *o)
{
	uint8_t got[MAX_IO * 512];
	uint32_t group = 0;
	uint64_t tag;

	blk_copy_in(got, o->io);
	for (uint32_t i = 0; i < o->io->count; i++) {
		memcpy(&tag, got + i * 512ull, 8);
		if (!filled(got + i * 512ull, tag) || !check_sector(o, i, tag, &group)) {
			fix_broken("read d%u: other data in sector %u", o->op->dev,
				   o->op->sector + i);
			return;
		}
	}
}

static void check_fua(const struct cell *c)
{
	unsigned at = (unsigned)(c - w.m.cells[0]);
	const struct fix_leaf *d = leaves[at / SECTORS]->priv;

	if (!filled(d->stable + at % SECTORS * 512ull, c->was[c->last].tag))
		fix_broken("fua: leaf:%u %u is not stable", at / SECTORS, at % SECTORS);
}

/* What an I/O that changes data did to the sectors of the leaves. */
static void changed(struct slot *o)
{
	bool ok = o->io->status == RISER_BLK_OK, fua = o->op->flags & RISER_BLK_FUA;
	bool discard = o->op->op == RISER_BLK_DISCARD;

	if (o->io->status == RISER_BLK_NOTSUPP)
		return;
	for (uint32_t i = 0; i < o->ncells; i++) {
		struct cell *c = o->cells[i];
		uint64_t path = o->places[i].path;

		if (!c)
			continue;
		if (ok && (fua || !path)) {
			cell_set(c, o->tags[i], w.m.tick);
			if (fua && o->op->op == RISER_BLK_WRITE)
				check_fua(c);
			continue;
		}
		cell_add(c, (struct value){ o->tags[i], w.m.tick, discard }, path);
		if (!ok || o->cut)
			cell_draw_lots(c);
	}
}

static bool is_change(uint8_t op)
{
	return op == RISER_BLK_WRITE || op == RISER_BLK_DISCARD || op == RISER_BLK_WRITE_ZEROES;
}

static void mark(struct slot *o, int by)
{
	for (uint32_t i = 0; i < o->ncells; i++) {
		struct cell *c = o->cells[i];

		if (c && is_change(o->op->op))
			c->writing = (uint8_t)(c->writing + by);
		else if (c)
			c->reading = (uint8_t)(c->reading + by);
	}
}

static void count(const struct slot *o)
{
	if (o->op->op == RISER_BLK_FLUSH || o->io->status == RISER_BLK_NOTSUPP)
		return;
	for (unsigned i = 0; i < REGIONS; i++)
		region_add(&w.regions[o->op->dev][i], (enum riser_blk_op)o->op->op, o->op->sector,
			   o->op->count);
}

static void on_done(struct riser_blk_io *io)
{
	struct slot *o = io->user;

	w.m.tick++;
	w.inflight--;
	if (!o->busy)
		fix_broken("an I/O ended twice");
	if (!(o->may >> io->status & 1))
		fix_broken("operation %td: %s", o->op - w.m.s->ops,
			   riser_blk_status_name((enum riser_blk_status)io->status));
	if (io->op != RISER_BLK_FLUSH && (io->sector != o->op->sector || io->count != o->op->count))
		fix_broken("an I/O came back as another");
	mark(o, -1);
	if (is_change(io->op))
		changed(o);
	if (io->op == RISER_BLK_READ && io->status == RISER_BLK_OK)
		check_read(o);
	if (io->status == RISER_BLK_OK &&
	    (io->op == RISER_BLK_FLUSH || io->flags & RISER_BLK_PREFLUSH))
		check_flushed(o);
	count(o);
	o->busy = false;
}

#endif
