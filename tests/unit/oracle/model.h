/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What has to come out, worked out sector by sector from the tables' text. It knows nothing of
 * plans, channels or pieces.
 */
#ifndef TESTS_ORACLE_MODEL_H
#define TESTS_ORACLE_MODEL_H

#include "cell.h"
#include "script.h"

enum { SECTORS = 64 * 8, NO_TABLE = -1 };

struct model {
	const struct script *s;
	int live[DEVS], pending[DEVS]; /* tables */
	bool suspended[DEVS];
	uint16_t off[DEVS]; /* lines whose power is cut */
	uint64_t tick;
	struct cell cells[LEAVES][SECTORS];
};

enum where { W_LEAF, W_ZERO, W_ERROR };

struct place {
	enum where where;
	unsigned leaf;
	uint32_t sector;
	uint64_t path; /* the powercuts on the way: their devices' bits, and a sum of where */
	bool off;      /* the power of one of them is cut */
};

/* The table that I/O which is sent now will meet: what waits at a gate meets the next one. */
static const struct s_table *met(const struct model *m, unsigned dev)
{
	int t = m->suspended[dev] && m->pending[dev] != NO_TABLE ? m->pending[dev] : m->live[dev];

	return &m->s->tables[t];
}

static struct place locate(const struct model *m, const struct s_leg *leg, uint32_t sector);

/* Recutting a powercut changes nothing: it writes all of it back. So its lines do not count. */
static struct place behind_cache(const struct model *m, const struct s_table *t, unsigned line,
				 uint32_t sector, struct place p)
{
	uint64_t sum = (p.path >> DEVS) * 0x9e3779b97f4a7c15ull;

	sum += (uint64_t)t->dev << 32 | (sector + 1);
	p.path = sum << DEVS | (p.path & ((1u << DEVS) - 1)) | 1u << t->dev;
	p.off |= t == &m->s->tables[m->live[t->dev]] && m->off[t->dev] >> line & 1;
	return p;
}

static struct place locate_in(const struct model *m, const struct s_table *t, uint32_t sector)
{
	const struct s_line *l = t->lines;
	uint32_t chunk, stripe, at = sector;

	while (sector >= l->len)
		sector -= l++->len;
	switch (l->kind) {
	case S_STRIPED:
		chunk = sector / l->chunk;
		stripe = chunk % l->n;
		return locate(m, &l->legs[stripe], chunk / l->n * l->chunk + sector % l->chunk);
	case S_UNSTRIPED:
		chunk = sector / l->chunk * l->n + l->index;
		return locate(m, &l->legs[0], chunk * l->chunk + sector % l->chunk);
	case S_SWITCH:
		return locate(m, &l->legs[sector / l->chunk % l->n], sector);
	case S_ZERO:
		return (struct place){ .where = W_ZERO };
	case S_ERROR:
		return (struct place){ .where = W_ERROR };
	case S_POWERCUT:
		return behind_cache(m, t, (unsigned)(l - t->lines), at,
				    locate(m, &l->legs[0], sector));
	default:
		return locate(m, &l->legs[0], sector);
	}
}

static struct place locate(const struct model *m, const struct s_leg *leg, uint32_t sector)
{
	sector += leg->start;
	if (leg->dev >= LEAVES)
		return locate_in(m, met(m, leg->dev - LEAVES), sector);
	return (struct place){ .where = W_LEAF, .leaf = leg->dev, .sector = sector };
}

static struct cell *cell_at(struct model *m, unsigned dev, uint32_t sector, struct place *p)
{
	*p = locate_in(m, met(m, dev), sector);
	return p->where == W_LEAF ? &m->cells[p->leaf][p->sector] : NULL;
}

static bool has_powercut(const struct s_table *t)
{
	for (unsigned i = 0; i < t->nlines; i++)
		if (t->lines[i].kind == S_POWERCUT)
			return true;
	return false;
}

/* Return: a table's device and those below it, one bit each; with @caches those with powercuts. */
static uint8_t reach(const struct model *m, const struct s_table *t, bool caches)
{
	uint8_t all = (uint8_t)((!caches || has_powercut(t)) << t->dev);

	for (unsigned i = 0; i < t->nlines; i++)
		for (unsigned k = 0; k < line_legs(&t->lines[i]); k++)
			if (t->lines[i].legs[k].dev >= LEAVES)
				all |= reach(m, met(m, t->lines[i].legs[k].dev - LEAVES), caches);
	return all;
}

static bool any_suspended(const struct model *m)
{
	for (unsigned i = 0; i < m->s->ndevs; i++)
		if (m->suspended[i])
			return true;
	return false;
}

static bool any_off(const struct model *m)
{
	for (unsigned i = 0; i < m->s->ndevs; i++)
		if (m->off[i])
			return true;
	return false;
}

/* A device's powercuts wrote back what they had before @since. */
static void written_back(struct model *m, unsigned dev, uint64_t since)
{
	const uint64_t devs = (1u << DEVS) - 1;

	m->tick++;
	for (unsigned i = 0; i < LEAVES * SECTORS; i++) {
		struct cell *c = &m->cells[i / SECTORS][i % SECTORS];

		if ((c->path & devs) == 1u << dev && newest(c)->when < since)
			cell_written_back(c, m->tick);
	}
}

static bool any_cached(const struct model *m)
{
	for (unsigned i = 0; i < LEAVES * SECTORS; i++)
		if (m->cells[i / SECTORS][i % SECTORS].path)
			return true;
	return false;
}

/* What a table, or what is live on a device, can do: all that its devices can. */
struct ability {
	bool discard, compare;
	uint32_t block;
};

static struct ability ability_of(const struct model *m, const struct s_table *t)
{
	struct ability a = { true, true, 512 };

	for (unsigned i = 0; i < t->nlines; i++)
		for (unsigned k = 0; k < line_legs(&t->lines[i]); k++) {
			unsigned dev = t->lines[i].legs[k].dev;
			const struct s_leaf *l = &m->s->leaves[dev % LEAVES];
			struct ability of = { l->discard, l->compare, l->block };

			if (dev >= LEAVES)
				of = ability_of(m, &m->s->tables[m->live[dev - LEAVES]]);
			a.discard &= of.discard;
			a.compare &= of.compare;
			a.block = max_of(a.block, of.block);
			a.compare &= t->lines[i].kind != S_POWERCUT;
		}
	return a;
}

static bool same_ability(struct ability a, struct ability b)
{
	return a.discard == b.discard && a.compare == b.compare && a.block == b.block;
}

/* Would nobody who uses the device see a difference? */
static bool equivalent(const struct model *m, const struct s_table *a, const struct s_table *b)
{
	if (table_sectors(a) != table_sectors(b) ||
	    !same_ability(ability_of(m, a), ability_of(m, b)))
		return false;
	for (uint32_t i = 0; i < table_sectors(a); i++) {
		struct place x = locate_in(m, a, i), y = locate_in(m, b, i);

		if (x.where != y.where || x.leaf != y.leaf || x.sector != y.sector ||
		    x.path != y.path)
			return false;
	}
	return true;
}

static uint32_t sectors_of(const struct model *m, unsigned dev)
{
	return dev < LEAVES ? m->s->leaves[dev].sectors
			    : table_sectors(&m->s->tables[m->live[dev - LEAVES]]);
}

/* The sectors of @dev that a table needs. */
static uint32_t table_needs(const struct s_table *t, unsigned dev)
{
	uint32_t most = 0;

	for (unsigned i = 0; i < t->nlines; i++)
		for (unsigned k = 0; k < line_legs(&t->lines[i]); k++)
			if (t->lines[i].legs[k].dev == dev)
				most = max_of(most,
					      t->lines[i].legs[k].start + leg_need(&t->lines[i]));
	return most;
}

/* Are the devices as large as a table wants, and can its stripes be cut into chunks? */
static bool loadable(const struct model *m, const struct s_table *t)
{
	for (unsigned i = 0; i < t->nlines; i++)
		if (t->lines[i].kind == S_STRIPED &&
		    t->lines[i].len % (t->lines[i].n * t->lines[i].chunk))
			return false;
	for (unsigned dev = 0; dev < LEAVES + (unsigned)m->s->ndevs; dev++)
		if (table_needs(t, dev) >
		    (dev < LEAVES || dev - LEAVES < t->dev ? sectors_of(m, dev) : 0))
			return false;
	return true;
}

/* May @dev become @sectors long? Live and inactive tables above say. */
static bool may_become(const struct model *m, unsigned dev, uint32_t sectors)
{
	for (unsigned i = dev + 1; i < m->s->ndevs; i++) {
		int slots[] = { m->live[i], m->pending[i] };

		for (unsigned k = 0; k < 2; k++)
			if (slots[k] != NO_TABLE &&
			    table_needs(&m->s->tables[slots[k]], LEAVES + dev) > sectors)
				return false;
	}
	return true;
}

/* Are suspended devices with another table pending as large then as @t wants? */
static bool fits_what_comes(const struct model *m, const struct s_table *t)
{
	for (unsigned dev = 0; dev < t->dev; dev++)
		if (table_needs(t, LEAVES + dev) > table_sectors(met(m, dev)))
			return false;
	return true;
}

#endif
