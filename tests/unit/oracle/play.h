/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Playing a script. A table that shows other data is left out while I/O is in flight, or something
 * is in a cache and cannot be flushed.
 */
#ifndef TESTS_ORACLE_PLAY_H
#define TESTS_ORACLE_PLAY_H

#include "messages.h"

/* Return: whether nothing is in flight or in a cache, or can be made so. */
static bool quiet(void)
{
	static struct s_op flush[DEVS];

	while (w.inflight && !any_suspended(&w.m))
		riser_exec_wait(w.x, S);
	if (w.inflight || !any_cached(&w.m))
		return !w.inflight;
	for (unsigned i = 0; i < w.m.s->ndevs; i++) {
		flush[i] = (struct s_op){ .op = RISER_BLK_FLUSH, .dev = (uint8_t)i };
		submit(&flush[i]);
	}
	while (w.inflight && !any_suspended(&w.m))
		riser_exec_wait(w.x, S);
	return !w.inflight && !any_cached(&w.m);
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
	uint64_t since;

	if (w.m.suspended[dev])
		return;
	if (next != NO_TABLE &&
	    (w.m.off[dev] || !may_become(&w.m, dev, table_sectors(&w.m.s->tables[next])) ||
	     !same_block(w.m.live[dev], next) || !may_turn(w.m.live[dev], next)))
		return;
	since = ++w.m.tick;
	rc = riser_dm_suspend(w.dm[dev], w.x, S, &err);
	if (rc == -ETIMEDOUT && any_suspended(&w.m))
		return; /* what is in flight is parked there */
	expect("suspend", dev, rc, 0);
	w.m.suspended[dev] = !rc;
	if (!rc)
		written_back(&w.m, dev, since);
}

static void play_resume(unsigned dev)
{
	int next = w.m.pending[dev], rc;
	bool allowed = true;
	uint64_t since;

	if (next != NO_TABLE && w.m.off[dev])
		return;
	if (next != NO_TABLE) {
		allowed = may_become(&w.m, dev, table_sectors(&w.m.s->tables[next]));
		if (!w.m.suspended[dev] && allowed && !may_turn(w.m.live[dev], next))
			return;
	}
	since = ++w.m.tick; /* what ends meanwhile may be in the next table's caches */
	rc = riser_dm_resume(w.dm[dev], w.x, S, &err);
	if (rc == -ETIMEDOUT && !w.m.suspended[dev] && any_suspended(&w.m))
		return;
	if (rc == -EINVAL && next != NO_TABLE && !same_block(w.m.live[dev], next) &&
	    strstr(err.text, "logical blocks"))
		return;
	expect("resume", dev, rc, allowed ? 0 : -EINVAL);
	if (rc)
		return;
	if (next != NO_TABLE) {
		w.untold |= !same_ability(ability_of(&w.m, &w.m.s->tables[w.m.live[dev]]),
					  ability_of(&w.m, &w.m.s->tables[next]));
		if (!w.m.suspended[dev])
			written_back(&w.m, dev, since);
		w.m.live[dev] = next;
		share_regions(reach(&w.m, &w.m.s->tables[next], false), dev);
	}
	w.m.suspended[dev] = false;
	w.untold &= any_suspended(&w.m); /* whose turn comes when they are resumed */
	w.m.pending[dev] = NO_TABLE;
}

static void play_load(unsigned dev, unsigned table)
{
	const struct s_table *t = &w.m.s->tables[table];
	bool ok = loadable(&w.m, t);
	int now = w.m.pending[dev] == NO_TABLE ? w.m.live[dev] : w.m.pending[dev];

	if (w.m.suspended[dev] && ok &&
	    (w.m.off[dev] || !may_become(&w.m, dev, table_sectors(t)) ||
	     !same_block(w.m.live[dev], (int)table) || !may_turn(now, (int)table)))
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
	case A_CUT:
	case A_RESTORE:
		play_power(op);
		break;
	case A_STATS:
		play_stats(op);
		break;
	default:
		play_clear(op->dev);
		break;
	}
}

static void power_back(unsigned dev)
{
	const struct s_table *t = &w.m.s->tables[w.m.live[dev]];
	struct s_op op = { .act = A_RESTORE, .dev = (uint8_t)dev };

	for (unsigned i = 0; i < t->nlines; op.sector += t->lines[i++].len)
		play_power(&op);
}

static void check_leaf(unsigned l)
{
	const struct fix_leaf *d = leaves[l]->priv;
	uint64_t tag;

	for (uint32_t i = 0; i < w.m.s->leaves[l].sectors; i++) {
		const struct cell *c = &w.m.cells[l][i];

		memcpy(&tag, d->data + i * 512ull, 8);
		if (c->path || !filled(d->data + i * 512ull, tag) || !cell_matches(c, tag)) {
			fix_broken("leaf:%u: %s in sector %u", l,
				   c->path ? "a cache still" : "other data", i);
			return;
		}
	}
}

/* Everything ends, and the leaves hold what they should. */
static void finish(void)
{
	for (unsigned i = 0; i < w.m.s->ndevs; i++)
		power_back(i);
	for (unsigned i = 0; i < w.m.s->ndevs; i++)
		if (w.m.suspended[i])
			play_resume(i);
	while (w.inflight) /* a hang is caught by the alarm */
		riser_exec_wait(w.x, S);
	for (unsigned i = 0; i < DEVS * REGIONS; i++)
		play_stats(&(struct s_op){
			.op = C_PRINT, .dev = (uint8_t)(i / REGIONS), .table = i % REGIONS });
	quiet();
	for (unsigned l = 0; l < w.m.s->nleaves; l++)
		check_leaf(l);
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
