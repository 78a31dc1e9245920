/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Sending one I/O, and which statuses it may end with.
 *
 * What would have no single right answer is left out while playing, by what is in flight at that
 * moment, so that a script from which something was dropped is still a script: two writers of a
 * sector, or a reader and a writer; a sector that is in a cache which is not on this way.
 */
#ifndef TESTS_ORACLE_SUBMIT_H
#define TESTS_ORACLE_SUBMIT_H

#include "world.h"

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

static bool many_caches(uint64_t path)
{
	uint64_t devs = path & ((1u << DEVS) - 1);

	return devs & (devs - 1);
}

/* May a sector be used now, by that way? */
static bool in_the_way(const struct slot *o, uint32_t i)
{
	const struct place *p = &o->places[i];
	const struct cell *c = o->cells[i];
	bool change = is_change(o->op->op);

	/* What a cache cannot write back, or nobody keeps below, is lost some time. */
	if (many_caches(p->path) && any_off(&w.m))
		return true;
	if (!c)
		return change && p->path;
	if (c->writing || (change && (c->reading || c->last + 1 == PAST)))
		return true;
	for (uint32_t k = 0; k < i && change; k++)
		if (o->cells[k] == c)
			return true;
	return c->path && c->path != p->path;
}

/* Find the sectors. Return: whether nothing in flight is in the way. */
static bool aim(struct slot *o, const struct s_op *op)
{
	uint32_t sectors = table_sectors(met(&w.m, op->dev));

	o->op = op;
	o->ncells = 0;
	o->off = o->cut = false;
	for (uint32_t i = 0; op->op == RISER_BLK_FLUSH && any_off(&w.m) && i < sectors; i++)
		o->off |= locate_in(&w.m, met(&w.m, op->dev), i).off;
	if (op->op == RISER_BLK_FLUSH)
		return true;
	if (op->sector + op->count > sectors)
		return false;
	for (uint32_t i = 0; i < op->count; i++) {
		o->cells[i] = cell_at(&w.m, op->dev, op->sector + i, &o->places[i]);
		o->off |= o->places[i].off;
		if (in_the_way(o, i))
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

/* Which statuses are right with power. Return: 0 where that depends on when a device is resumed. */
static uint16_t statuses(const struct slot *o)
{
	const struct s_op *op = o->op;
	struct ability a = ability_of(&w.m, &w.m.s->tables[w.m.live[op->dev]]);
	bool error = false, unsure = false;
	uint16_t other = 0;

	for (unsigned i = 0; i < w.m.s->ndevs; i++)
		if ((op->op == RISER_BLK_DISCARD || op->op == RISER_BLK_COMPARE) &&
		    (w.untold || !is_met_by_all(i)))
			return 0;
	if ((op->op == RISER_BLK_DISCARD && !a.discard) ||
	    (op->op == RISER_BLK_COMPARE && !a.compare))
		return 1 << RISER_BLK_NOTSUPP;
	for (uint32_t i = 0; i < o->ncells; i++) {
		error |= o->places[i].where == W_ERROR;
		unsure |= o->cells[i] && !cell_is_sure(o->cells[i]);
	}
	if (op->op == RISER_BLK_COMPARE && (op->wrong || unsure))
		other = 1 << RISER_BLK_PROTECTION;
	if (error)
		return (uint16_t)(1 << RISER_BLK_IOERR | other);
	return (uint16_t)((op->op == RISER_BLK_COMPARE && op->wrong && !unsure
				   ? 0
				   : 1 << RISER_BLK_OK) |
			  other);
}

static bool touches_off(unsigned dev)
{
	uint8_t caches = reach(&w.m, met(&w.m, dev), true);

	for (unsigned i = 0; i < w.m.s->ndevs; i++)
		if (caches >> i & 1 && w.m.off[i])
			return true;
	return false;
}

/* The same as the power is now. */
static uint16_t statuses_now(const struct slot *o)
{
	uint16_t offline = 1 << RISER_BLK_OFFLINE;

	if (o->normal == 1 << RISER_BLK_NOTSUPP)
		return o->normal;
	if (o->off)
		return (uint16_t)(offline | (o->normal & 1 << RISER_BLK_IOERR));
	/* A flush goes to all of the devices below, shown here or not. */
	if ((o->op->op == RISER_BLK_FLUSH || o->op->flags) && touches_off(o->op->dev))
		return o->normal | offline;
	return o->normal;
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
			o->tags[i] = newest(o->cells[i])->tag;
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

/* I/O comes by those devices from above. */
static void share_regions(uint8_t devs, unsigned but)
{
	for (unsigned i = 0; i < DEVS * REGIONS; i++)
		if (i / REGIONS != but && devs >> i / REGIONS & 1)
			w.regions[i / REGIONS][i % REGIONS].shared = true;
}

static void submit(const struct s_op *op)
{
	struct slot *o = slot_for(op);
	struct riser_blk_io *io;

	if (!o || !(o->normal = statuses(o)))
		return;
	o->may = statuses_now(o);
	share_regions(reach(&w.m, met(&w.m, op->dev), false), op->dev);
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

#endif
