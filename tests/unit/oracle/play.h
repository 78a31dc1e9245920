/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Playing a script: the devices and the model side by side.
 *
 * What would have no single right answer is left out while playing, by what is in flight at that
 * moment, so that a script from which something was dropped is still a script: two writers of a
 * sector, or a reader and a writer; a table that shows other data, while I/O is in flight.
 */
#ifndef TESTS_ORACLE_PLAY_H
#define TESTS_ORACLE_PLAY_H

#include "../dm_leaves.h"
#include "model.h"

enum { FLIGHT = 10, MAX_IO = 24, PIECES = 3 };

struct slot {
	struct riser_blk_io *ios[DEVS], *io; /* one of each way's */
	const struct s_op *op;
	bool busy;
	uint16_t may;    /* statuses, one bit each */
	uint64_t serial; /* tick at submit */
	uint64_t tags[MAX_IO];
	struct cell *cells[MAX_IO]; /* NULL: none */
	enum where where[MAX_IO];
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
	unsigned inflight;
	uint64_t submitted, seed;
	bool planted;    /* leaves have a bug */
	bool unplayable; /* a device was made too small for those above */
};

static struct world w;
static struct riser_err err;

#define S NS_PER_S

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
		struct place p = locate_in(&w.m, met(&w.m, dev), i);
		const struct cell *c = &w.m.cells[p.leaf][p.sector];
		const struct fix_leaf *d;

		if (p.where != W_LEAF || c->unknown || c->writing || c->changed > o->serial)
			continue;
		d = leaves[p.leaf]->priv;
		if (!filled(d->stable + p.sector * 512ull, c->tag)) {
			fix_broken("flush: sector %u (leaf:%u %u) is not stable", i, p.leaf,
				   p.sector);
			return;
		}
	}
}

static void check_read(const struct slot *o)
{
	uint8_t got[MAX_IO * 512];

	blk_copy_in(got, o->io);
	for (uint32_t i = 0; i < o->io->count; i++) {
		struct cell *c = o->cells[i];

		if (c && c->unknown) {
			memcpy(&c->tag, got + i * 512ull, 8);
			c->unknown = false;
		}
		if (!filled(got + i * 512ull, c ? c->tag : 0)) {
			fix_broken("read d%u: other data in sector %u", o->op->dev,
				   o->op->sector + i);
			return;
		}
	}
}

/* What an I/O that changes data did to the sectors of the leaves. */
static void changed(struct slot *o)
{
	bool ok = o->io->status == RISER_BLK_OK, fua = o->op->flags & RISER_BLK_FUA;

	if (o->io->status == RISER_BLK_NOTSUPP)
		return;
	for (uint32_t i = 0; i < o->ncells; i++) {
		struct cell *c = o->cells[i];
		unsigned leaf;
		const struct fix_leaf *d;

		if (!c)
			continue;
		c->changed = w.m.tick;
		c->unknown = !ok;
		c->tag = o->tags[i];
		if (!ok || !fua || o->op->op != RISER_BLK_WRITE)
			continue;
		leaf = (unsigned)(c - w.m.cells[0]) / SECTORS;
		d = leaves[leaf]->priv;
		if (!filled(d->stable + (size_t)(c - w.m.cells[leaf]) * 512, c->tag))
			fix_broken("fua: leaf:%u %td is not stable", leaf, c - w.m.cells[leaf]);
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
	o->busy = false;
}

/* Submitting. */

static void poll_some(unsigned n)
{
	while (n-- && riser_exec_poll(w.x) > 0)
		;
}

static struct slot *free_slot(void)
{
	for (unsigned i = 0; i < FLIGHT; i++)
		if (!w.slots[i].busy)
			return &w.slots[i];
	return NULL;
}

/* Find the sectors. Return: whether nothing in flight is in the way. */
static bool aim(struct slot *o, const struct s_op *op)
{
	bool change = is_change(op->op);

	o->op = op;
	o->ncells = 0;
	if (op->op == RISER_BLK_FLUSH)
		return true;
	if (op->sector + op->count > table_sectors(met(&w.m, op->dev)))
		return false;
	for (uint32_t i = 0; i < op->count; i++) {
		struct cell *c = cell_at(&w.m, op->dev, op->sector + i, &o->where[i]);

		o->cells[i] = c;
		if (c && (c->writing || (change && c->reading)))
			return false;
		for (uint32_t k = 0; k < i && change && c; k++)
			if (o->cells[k] == c)
				return false;
	}
	o->ncells = op->count;
	return true;
}

static bool is_met_by_all(unsigned dev)
{
	return same_ability(ability_of(&w.m, met(&w.m, dev)),
			    ability_of(&w.m, &w.m.s->tables[w.m.live[dev]]));
}

/* Which statuses are right. Return: 0 where that depends on when a device is resumed. */
static uint16_t statuses(const struct slot *o)
{
	const struct s_op *op = o->op;
	struct ability a = ability_of(&w.m, &w.m.s->tables[w.m.live[op->dev]]);
	bool error = false, unknown = false;
	uint16_t other = 0;

	if (op->op == RISER_BLK_DISCARD || op->op == RISER_BLK_COMPARE)
		for (unsigned i = 0; i < w.m.s->ndevs; i++)
			if (!is_met_by_all(i))
				return 0;
	if ((op->op == RISER_BLK_DISCARD && !a.discard) ||
	    (op->op == RISER_BLK_COMPARE && !a.compare))
		return 1 << RISER_BLK_NOTSUPP;
	for (uint32_t i = 0; i < o->ncells; i++) {
		error |= o->where[i] == W_ERROR;
		unknown |= o->cells[i] && o->cells[i]->unknown;
	}
	if (op->op == RISER_BLK_COMPARE && (op->wrong || unknown))
		other = 1 << RISER_BLK_PROTECTION;
	if (error)
		return (uint16_t)(1 << RISER_BLK_IOERR | other);
	return (uint16_t)((op->op == RISER_BLK_COMPARE && op->wrong && !unknown
				   ? 0
				   : 1 << RISER_BLK_OK) |
			  other);
}

/* Memory in one piece, or in several at odd places. */
static void scatter(struct slot *o, uint32_t seed)
{
	struct riser_blk_io *io = o->io;
	size_t left = blk_bytes(io);
	uint64_t rnd = seed;
	uint8_t *at = o->mem;

	io->iov = o->iov;
	io->iovcnt = seed ? PIECES : 1;
	io->iov_off = seed ? fix_rand(&rnd) % 16 * 4 : 0;
	for (unsigned i = 0; i < io->iovcnt; i++) {
		size_t skip = i ? 0 : io->iov_off;
		size_t n = i + 1 == io->iovcnt ? left : fix_rand(&rnd) % (left / 4 + 1) * 4;

		o->iov[i] = (struct iovec){ at, n + skip };
		at += n + skip + (i + 1 < io->iovcnt ? fix_rand(&rnd) % 4 * 4 : 0);
		left -= n;
	}
}

static void put_data(struct slot *o)
{
	uint8_t data[MAX_IO * 512];

	for (uint32_t i = 0; i < o->ncells; i++) {
		bool write = o->op->op == RISER_BLK_WRITE;

		o->tags[i] = write ? w.m.tick << 8 | i : 0;
		if (o->op->op == RISER_BLK_COMPARE && o->cells[i])
			o->tags[i] = o->cells[i]->tag;
		fill(data + i * 512ull, o->tags[i]);
	}
	if (o->op->op == RISER_BLK_COMPARE && o->op->wrong)
		data[o->ncells * 512 - 1 - o->op->seed % 512] ^= 1;
	blk_copy_out(o->io, data);
}

/* A slot that may do it now, or soon. */
static struct slot *slot_for(const struct s_op *op)
{
	for (unsigned tries = 0; tries < 4 && w.ways[op->dev]; tries++) {
		struct slot *o = free_slot();

		if (o && aim(o, op))
			return o;
		poll_some(1u << tries);
	}
	return NULL;
}

static void submit(const struct s_op *op)
{
	struct slot *o = slot_for(op);
	struct riser_blk_io *io;

	if (!o || !(o->may = statuses(o)))
		return;
	io = o->io = o->ios[op->dev];
	io->op = op->op;
	io->flags = op->flags;
	io->sector = op->op == RISER_BLK_FLUSH ? 0 : op->sector;
	io->count = op->op == RISER_BLK_FLUSH ? 0 : op->count;
	io->iov = NULL;
	io->iovcnt = 0;
	io->done = on_done;
	io->user = o;
	o->serial = ++w.m.tick;
	if (op->op == RISER_BLK_READ || op->op == RISER_BLK_WRITE || op->op == RISER_BLK_COMPARE)
		scatter(o, op->seed);
	memset(o->tags, 0, sizeof(o->tags));
	if (op->op == RISER_BLK_WRITE || op->op == RISER_BLK_COMPARE)
		put_data(o);
	o->busy = true;
	w.inflight++;
	w.submitted++;
	mark(o, 1);
	riser_blk_submit(io);
}

/* Control. */

static bool any_suspended(const struct model *m)
{
	for (unsigned i = 0; i < m->s->ndevs; i++)
		if (m->suspended[i])
			return true;
	return false;
}

/* Return: whether nothing is in flight, or can be made so. */
static bool quiet(void)
{
	while (w.inflight && !any_suspended(&w.m))
		riser_exec_wait(w.x, S);
	return !w.inflight;
}

static void expect(const char *what, unsigned dev, int rc, int want)
{
	if (rc != want)
		fix_broken("%s d%u: %d, not %d (%s)", what, dev, rc, want, rc ? err.text : "");
}

/* May what is met on @dev change now from one table to the other? */
static bool may_turn(int from, int to)
{
	return from == to || equivalent(&w.m, &w.m.s->tables[from], &w.m.s->tables[to]) || quiet();
}

/* Blocks of another size are for a device that nobody waits for: it may be refused. */
static bool same_block(int from, int to)
{
	return ability_of(&w.m, &w.m.s->tables[from]).block ==
	       ability_of(&w.m, &w.m.s->tables[to]).block;
}

static void play_suspend(unsigned dev)
{
	int next = w.m.pending[dev], rc;

	if (w.m.suspended[dev])
		return;
	if (next != NO_TABLE &&
	    (!may_become(&w.m, dev, table_sectors(&w.m.s->tables[next])) ||
	     !same_block(w.m.live[dev], next) || !may_turn(w.m.live[dev], next)))
		return;
	rc = riser_dm_suspend(w.dm[dev], w.x, S, &err);
	if (rc == -ETIMEDOUT && any_suspended(&w.m))
		return; /* what is in flight is parked there */
	expect("suspend", dev, rc, 0);
	w.m.suspended[dev] = !rc;
}

static void play_resume(unsigned dev)
{
	int next = w.m.pending[dev], rc;
	bool allowed = true;

	if (next != NO_TABLE) {
		allowed = may_become(&w.m, dev, table_sectors(&w.m.s->tables[next]));
		if (!w.m.suspended[dev] && allowed && !may_turn(w.m.live[dev], next))
			return;
	}
	rc = riser_dm_resume(w.dm[dev], w.x, S, &err);
	if (rc == -ETIMEDOUT && !w.m.suspended[dev] && any_suspended(&w.m))
		return;
	if (rc == -EINVAL && next != NO_TABLE && !same_block(w.m.live[dev], next) &&
	    strstr(err.text, "logical blocks"))
		return;
	expect("resume", dev, rc, allowed ? 0 : -EINVAL);
	if (rc)
		return;
	w.m.suspended[dev] = false;
	if (next != NO_TABLE)
		w.m.live[dev] = next;
	w.m.pending[dev] = NO_TABLE;
}

static void play_load(unsigned dev, unsigned table)
{
	const struct s_table *t = &w.m.s->tables[table];
	bool ok = loadable(&w.m, t);
	int now = w.m.pending[dev] == NO_TABLE ? w.m.live[dev] : w.m.pending[dev];

	if (w.m.suspended[dev] && ok &&
	    (!may_become(&w.m, dev, table_sectors(t)) || !same_block(w.m.live[dev], (int)table) ||
	     !may_turn(now, (int)table)))
		return;
	if (!fits_what_comes(&w.m, t))
		return;
	expect("load", dev, load(dev, table), ok ? 0 : -EINVAL);
	if (ok)
		w.m.pending[dev] = (int)table;
}

static void play_clear(unsigned dev)
{
	if (w.m.pending[dev] == NO_TABLE ||
	    (w.m.suspended[dev] && !may_turn(w.m.pending[dev], w.m.live[dev])))
		return;
	expect("clear", dev, riser_dm_clear(w.dm[dev], w.x, &err), 0);
	w.m.pending[dev] = NO_TABLE;
}

static void play_op(const struct s_op *op)
{
	switch (op->act) {
	case A_IO:
		submit(op);
		break;
	case A_POLL:
		riser_exec_wait(w.x, NS_PER_MS); /* time goes on where nothing else does */
		break;
	case A_SUSPEND:
		play_suspend(op->dev);
		break;
	case A_RESUME:
		play_resume(op->dev);
		break;
	case A_LOAD:
		play_load(op->dev, op->table);
		break;
	default:
		play_clear(op->dev);
		break;
	}
}

/* Everything ends, and the leaves hold what they should. */
static void finish(void)
{
	for (unsigned i = 0; i < w.m.s->ndevs; i++)
		if (w.m.suspended[i])
			play_resume(i);
	while (w.inflight) /* a hang is caught by the alarm */
		riser_exec_wait(w.x, S);
	for (unsigned l = 0; l < w.m.s->nleaves; l++) {
		const struct fix_leaf *d = leaves[l]->priv;

		for (uint32_t i = 0; i < w.m.s->leaves[l].sectors; i++)
			if (!w.m.cells[l][i].unknown &&
			    !filled(d->data + i * 512ull, w.m.cells[l][i].tag)) {
				fix_broken("leaf:%u: other data in sector %u", l, i);
				break;
			}
	}
}

/* Return: whether all of it went as it should, or is nothing to play. */
static bool play(const struct script *s, bool planted, uint64_t *ios)
{
	fix_bad = 0;
	tap_failed = false;
	world_up(s, planted);
	if (tap_failed)
		return w.unplayable; /* what is half made is left */
	for (unsigned i = 0; i < s->nops && !fix_bad; i++)
		play_op(&s->ops[i]);
	finish();
	*ios += w.submitted;
	world_down();
	return !fix_bad && !tap_failed;
}

#endif
