/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the oracle plays: leaves, tables and operations, written down before anything is done, so
 * that any part of it can be left out and the rest be played again. Made from a seed.
 *
 * A device is made of a table; other tables of the pool are loaded into it later on. Those above
 * name only devices before them, so that there are no cycles.
 */
#ifndef TESTS_ORACLE_SCRIPT_H
#define TESTS_ORACLE_SCRIPT_H

#include "../blk_fixture.h"
#include "dm/dm.h"

enum {
	LEAVES = 4,
	DEVS = 8,
	TABLES = 48,
	LINES = 12,
	LEGS = 5,
	OPS = 4000,
	DEPTH = 5,
	REGIONS = 2
};

struct s_leaf {
	uint32_t sectors, block, room;
	uint32_t max, max_discard, max_zeroes, buf_align, seg_boundary;
	enum fix_mode mode;
	bool own, fua, cache, zeroes, no_zeroes, discard, compare;
};

/* A device from a sector on: a leaf, or behind LEAVES a mapped device. */
struct s_leg {
	uint8_t dev;
	uint32_t start;
};

/* Those from DELAY on show what they lead to, as they are made here. */
enum s_kind {
	S_LINEAR,
	S_STRIPED,
	S_UNSTRIPED,
	S_ZERO,
	S_ERROR,
	S_SWITCH,
	S_DELAY,
	S_FLAKEY,
	S_DUST,
	S_FAULT,
	S_POWERCUT, /* writes stay in it for a while; see model.h */
	S_KINDS
};

static const char *const kind_names[] = { "linear", "striped", "unstriped", "zero",
					  "error",  "switch",  "delay",     "flakey",
					  "dust",   "fault",   "powercut" };

static const uint16_t torn_choices[] = { 512, 4096, 0 };

struct s_line {
	enum s_kind kind;
	uint32_t len, chunk;
	unsigned n, index; /* UNSTRIPED: of @n stripes; POWERCUT: how writes are torn */
	struct s_leg legs[LEGS];
};

struct s_table {
	uint8_t dev, nlines;
	struct s_line lines[LINES];
};

enum s_act { A_IO, A_POLL, A_SUSPEND, A_RESUME, A_LOAD, A_CLEAR, A_CUT, A_RESTORE, A_STATS };
enum s_count { C_CREATE, C_PRINT, C_PRINT_CLEAR, C_DELETE, C_LINES_ON, C_LINES_OFF, C_KINDS };

struct s_op {
	uint8_t act, dev, table;
	uint8_t op, flags, wrong; /* A_IO; @wrong: compare with something else. A_STATS: what */
	uint32_t sector, count;   /* A_CUT: in the line; A_STATS: a region */
	uint32_t seed;            /* of the pieces of memory; of a cut's lots */
};

struct script {
	uint64_t seed;
	uint32_t unit; /* every length and start is a multiple of it, in sectors */
	unsigned frames, children;
	bool no_membarrier, kinds[S_KINDS];
	uint8_t ways; /* which devices get I/O from outside, one bit each */
	uint8_t nleaves, ndevs, ntables, first[DEVS];
	unsigned nops;
	struct s_leaf leaves[LEAVES];
	struct s_table tables[TABLES];
	struct s_op ops[OPS];
};

static uint32_t table_sectors(const struct s_table *t)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < t->nlines; i++)
		n += t->lines[i].len;
	return n;
}

static unsigned line_legs(const struct s_line *l)
{
	if (l->kind == S_STRIPED || l->kind == S_SWITCH)
		return l->n;
	return l->kind != S_ZERO && l->kind != S_ERROR;
}

/* How much of a leg's device a line needs from its start on. */
static uint32_t leg_need(const struct s_line *l)
{
	if (l->kind == S_STRIPED)
		return l->len / l->n;
	if (l->kind == S_UNSTRIPED)
		return ((l->len / l->chunk - 1) * l->n + l->index + 1) * l->chunk;
	return l->len;
}

/* Making one. */

struct maker {
	struct script *s;
	uint64_t seed;
	uint32_t sectors[DEVS]; /* the fewest that a device ever has, but for tables that shrink it
				 */
	unsigned depth[DEVS];
	struct s_op off; /* how to bring the power back; A_POLL: it is there */
};

static uint32_t pick(struct maker *m, uint32_t n)
{
	return (uint32_t)(fix_rand(&m->seed) % n);
}

static uint32_t some_limit(struct maker *m)
{
	static const uint32_t choices[] = { 0, 1, 2, 3, 5, 16 };

	return choices[pick(m, array_len(choices))] * m->s->unit;
}

static void make_leaf(struct maker *m, struct s_leaf *l)
{
	*l = (struct s_leaf){
		.sectors = (16 + pick(m, 48)) * m->s->unit,
		.block = m->s->unit == 8 && pick(m, 3) ? 4096 : 512,
		.room = pick(m, 4),
		.max = some_limit(m),
		.max_discard = some_limit(m),
		.max_zeroes = some_limit(m),
		.buf_align = 1,
		.mode = pick(m, 3) ? FIX_LATE : FIX_AT_ONCE,
		.fua = pick(m, 2),
		.cache = pick(m, 4),
		.zeroes = pick(m, 3),
		.discard = pick(m, 8),
		.compare = pick(m, 3),
	};
	l->no_zeroes = l->zeroes && pick(m, 5) == 0;
	/* Bounce buffers are large where the pieces are. */
	if (pick(m, 3))
		return;
	l->max = l->max ? l->max : 16 * m->s->unit;
	l->buf_align = pick(m, 2) ? 4 : 512;
	l->seg_boundary = pick(m, 2) ? 4096 : 0;
	if (l->seg_boundary && l->block == 4096)
		l->seg_boundary = 8192;
	l->own = pick(m, 2);
}

/* A device before @dev with @need sectors. Return: whether one was found. */
static bool make_leg(struct maker *m, unsigned dev, uint32_t need, struct s_leg *leg)
{
	const struct script *s = m->s;

	for (unsigned tries = 0; tries < 8; tries++) {
		bool mapped = dev && pick(m, 5) < 3;
		unsigned at = mapped ? pick(m, dev) : pick(m, s->nleaves);
		uint32_t have = mapped ? m->sectors[at] : s->leaves[at].sectors;

		if (have < need || (mapped && m->depth[at] >= DEPTH - 1))
			continue;
		leg->dev = (uint8_t)(mapped ? LEAVES + at : at);
		leg->start = pick(m, (have - need) / s->unit + 1) * s->unit;
		if (mapped)
			m->depth[dev] = max_of(m->depth[dev], m->depth[at] + 1);
		return true;
	}
	return false;
}

/* A line of at most @left sectors. */
static void make_line(struct maker *m, unsigned dev, uint32_t left, struct s_line *l)
{
	static const enum s_kind kinds[] = {
		S_LINEAR, S_LINEAR, S_LINEAR, S_LINEAR, S_STRIPED, S_STRIPED, S_UNSTRIPED, S_ZERO,
		S_ERROR,  S_SWITCH, S_DELAY,  S_FLAKEY, S_DUST,    S_FAULT,   S_POWERCUT
	};
	uint32_t unit = m->s->unit, units = left / unit, row;

	*l = (struct s_line){ .kind = kinds[pick(m, array_len(kinds))] };
	l->len = (1 + pick(m, units)) * unit;
	l->n = 1 + pick(m, LEGS);
	l->chunk = (1 + pick(m, 4)) * unit;
	l->index = pick(m, l->n);
	row = l->kind == S_STRIPED ? l->n * l->chunk : l->kind == S_UNSTRIPED ? l->chunk : unit;
	if (row > left || !m->s->kinds[l->kind])
		l->kind = S_LINEAR;
	else
		l->len = max_of(l->len / row, 1u) * row;
	for (unsigned i = 0; i < line_legs(l); i++)
		if (!make_leg(m, dev, leg_need(l), &l->legs[i]))
			l->kind = S_ZERO;
}

static void make_table(struct maker *m, unsigned dev, uint32_t sectors, struct s_table *t)
{
	t->dev = (uint8_t)dev;
	t->nlines = 0;
	for (uint32_t left = sectors; left;) {
		struct s_line *l = &t->lines[t->nlines];

		if (++t->nlines == 5)
			*l = (struct s_line){ .kind = S_ZERO, .len = left };
		else
			make_line(m, dev, left, l);
		left -= l->len;
	}
}

/* The same by other lines: each is cut in two where it can be, or stays. */
static void make_recut(struct maker *m, const struct s_table *from, struct s_table *t)
{
	*t = *from;
	for (unsigned i = 0; i < t->nlines && t->nlines < LINES; i++) {
		struct s_line *l = &t->lines[i], *next = l + 1;
		uint32_t row = l->kind == S_STRIPED || l->kind == S_SWITCH ? l->n * l->chunk
			       : l->kind == S_UNSTRIPED                    ? l->chunk
									   : m->s->unit;
		uint32_t rows = l->len / row, cut;

		if (rows < 2 || pick(m, 3) == 0)
			continue;
		cut = (1 + pick(m, rows - 1)) * row;
		memmove(next, l, (t->nlines - i) * sizeof(*l));
		t->nlines++;
		l->len = cut;
		next->len -= cut;
		for (unsigned k = 0; k < line_legs(l); k++)
			next->legs[k].start += l->kind == S_STRIPED     ? cut / l->n
					       : l->kind == S_UNSTRIPED ? cut * l->n
									: cut;
		i++;
	}
}

/* Tables that a device may get later: recut ones, others, larger ones, smaller ones. */
static void make_others(struct maker *m)
{
	struct script *s = m->s;

	for (unsigned i = 0; i < 4u * s->ndevs && s->ntables < TABLES; i++) {
		struct s_table *t = &s->tables[s->ntables++];
		unsigned dev = pick(m, s->ndevs), how = pick(m, 8);
		uint32_t sectors = m->sectors[dev];

		if (how < 3) {
			make_recut(m, &s->tables[pick(m, 2) ? s->first[dev] : pick(m, i + 1)], t);
			continue;
		}
		if (how == 6)
			sectors += pick(m, 8) * s->unit;
		if (how == 7)
			sectors = (1 + pick(m, sectors / s->unit)) * s->unit;
		make_table(m, dev, sectors, t);
	}
}

static void make_io(struct maker *m, struct s_op *o)
{
	static const enum riser_blk_op kinds[] = { RISER_BLK_READ,         RISER_BLK_READ,
						   RISER_BLK_READ,         RISER_BLK_WRITE,
						   RISER_BLK_WRITE,        RISER_BLK_WRITE,
						   RISER_BLK_FLUSH,        RISER_BLK_DISCARD,
						   RISER_BLK_WRITE_ZEROES, RISER_BLK_COMPARE };
	struct script *s = m->s;
	uint32_t units;

	do
		o->dev = (uint8_t)pick(m, s->ndevs);
	while (!(s->ways & 1 << o->dev));
	units = m->sectors[o->dev] / s->unit;
	o->op = (uint8_t)kinds[pick(m, array_len(kinds))];
	if (o->op == RISER_BLK_WRITE || o->op == RISER_BLK_WRITE_ZEROES)
		o->flags = (uint8_t)(pick(m, 3) ? 0 : pick(m, 8));
	o->sector = pick(m, units) * s->unit;
	o->count = (1 + pick(m, min_of(24 / s->unit, units - o->sector / s->unit))) * s->unit;
	o->wrong = pick(m, 4) == 0;
	o->seed = pick(m, 3) ? 0 : 1 + pick(m, 1u << 30);
}

static void make_control(struct maker *m, struct s_op *o, uint8_t *suspended)
{
	struct script *s = m->s;
	unsigned what = pick(m, 16);

	o->dev = (uint8_t)pick(m, s->ndevs);
	o->act = A_RESUME;
	if (*suspended && what < 9) {
		while (!(*suspended & 1 << o->dev))
			o->dev = (uint8_t)((o->dev + 1) % s->ndevs);
	} else if (what < 5) {
		o->act = A_SUSPEND;
	} else if (what < 12) {
		o->act = A_LOAD;
		o->table = (uint8_t)pick(m, s->ntables);
		o->dev = s->tables[o->table].dev;
	} else if (what == 12) {
		o->act = A_CLEAR;
	}
	if (o->act == A_SUSPEND)
		*suspended |= (uint8_t)(1 << o->dev);
	if (o->act == A_RESUME)
		*suspended &= (uint8_t) ~(1 << o->dev);
}

/* So that there is something to lose. */
static void make_writes(struct maker *m, uint8_t dev, uint32_t begin, uint32_t len)
{
	struct script *s = m->s;
	uint32_t unit = s->unit, at;

	for (unsigned n = pick(m, 6); n && s->nops + 1 < OPS && s->ways & 1 << dev; n--) {
		at = pick(m, len / unit);
		s->ops[s->nops++] = (struct s_op){
			.act = A_IO,
			.op = RISER_BLK_WRITE,
			.dev = dev,
			.sector = begin + at * unit,
			.count = (1 + pick(m, min_of(24 / unit, len / unit - at))) * unit,
		};
	}
}

/* Cut the power of a powercut in some table, which may be live then; or bring it back. */
static void make_cut(struct maker *m)
{
	struct script *s = m->s;
	const struct s_table *t = &s->tables[pick(m, s->ntables)];
	uint32_t begin = 0;

	if (m->off.act == A_RESTORE) {
		s->ops[s->nops] = m->off;
		m->off.act = A_POLL;
		return;
	}
	for (unsigned i = 0; i < t->nlines; begin += t->lines[i++].len) {
		if (t->lines[i].kind != S_POWERCUT)
			continue;
		make_writes(m, t->dev, begin, t->lines[i].len);
		m->off = (struct s_op){
			.act = A_CUT, .dev = t->dev, .sector = begin, .seed = pick(m, 1u << 30)
		};
		s->ops[s->nops] = m->off;
		m->off.act = A_RESTORE;
		return;
	}
}

static void make_stats(struct maker *m, struct s_op *o)
{
	o->act = A_STATS;
	o->dev = (uint8_t)pick(m, m->s->ndevs);
	o->op = (uint8_t)pick(m, C_KINDS);
	o->table = (uint8_t)pick(m, REGIONS);
	o->sector = pick(m, m->sectors[o->dev]);
	o->count = 1 + pick(m, m->sectors[o->dev]);
}

static void make_ops(struct maker *m)
{
	struct script *s = m->s;
	uint8_t suspended = 0, loaded = 0;

	for (s->nops = 0; s->nops < OPS; s->nops++) {
		struct s_op *o = &s->ops[s->nops];

		*o = (struct s_op){ .act = A_POLL };
		if (loaded) { /* most often what is loaded becomes live at once */
			o->act = A_RESUME;
			o->dev = (uint8_t)(loaded - 1);
			suspended &= (uint8_t) ~(1 << o->dev);
			loaded = 0;
		} else if (pick(m, suspended ? 20 : 60) == 0) {
			make_control(m, o, &suspended);
			if (o->act == A_LOAD && pick(m, 4))
				loaded = (uint8_t)(o->dev + 1);
		} else if (pick(m, m->off.act == A_RESTORE ? 8 : 40) == 0) {
			make_cut(m);
		} else if (pick(m, 100) == 0) {
			make_stats(m, o);
		} else if (pick(m, 4)) {
			o->act = A_IO;
			make_io(m, o);
		}
	}
}

/* @kinds: those that this build has. */
static void script_make(struct script *s, uint64_t seed, const bool *kinds)
{
	static const unsigned pools[] = { 1, 1, 2, 5, 21 };
	struct maker m = { .s = s, .seed = seed * 0x9e3779b97f4a7c15ull, .off = { .act = A_POLL } };

	memset(s, 0, sizeof(*s));
	memcpy(s->kinds, kinds, sizeof(s->kinds));
	s->seed = seed;
	s->unit = pick(&m, 3) ? 1 : 8;
	s->no_membarrier = pick(&m, 3) == 0;
	s->frames = pools[pick(&m, array_len(pools))];
	s->children = pools[pick(&m, array_len(pools))];
	s->nleaves = (uint8_t)(1 + pick(&m, LEAVES));
	for (unsigned i = 0; i < s->nleaves; i++)
		make_leaf(&m, &s->leaves[i]);
	s->ndevs = (uint8_t)(1 + pick(&m, DEVS));
	for (unsigned i = 0; i < s->ndevs; i++) {
		m.sectors[i] = (6 + pick(&m, 40)) * s->unit;
		s->first[i] = s->ntables;
		make_table(&m, i, m.sectors[i], &s->tables[s->ntables++]);
	}
	s->ways = (uint8_t)(1 << (s->ndevs - 1));
	for (unsigned i = 0; i + 1 < s->ndevs; i++)
		if (pick(&m, 4) == 0)
			s->ways |= (uint8_t)(1 << i);
	make_others(&m);
	make_ops(&m);
}

/* Writing one down. */

static int text_of_line(const struct s_line *l, uint32_t begin, char *to, size_t size)
{
	int n = snprintf(to, size, "%u %u %s", begin, l->len, kind_names[l->kind]);

	if (l->kind == S_STRIPED)
		n += snprintf(to + n, size - n, " %u %u", l->n, l->chunk);
	if (l->kind == S_UNSTRIPED)
		n += snprintf(to + n, size - n, " %u %u %u", l->n, l->chunk, l->index);
	if (l->kind == S_SWITCH)
		n += snprintf(to + n, size - n, " %u %u 0", l->n, l->chunk);
	for (unsigned i = 0; i < line_legs(l); i++) {
		bool mapped = l->legs[i].dev >= LEAVES;

		n += snprintf(to + n, size - n, " %s%u %u",
			      mapped ? "dm:d" : "leaf:", l->legs[i].dev - (mapped ? LEAVES : 0),
			      l->legs[i].start);
	}
	if (l->kind == S_DELAY)
		n += snprintf(to + n, size - n, " %u", l->index);
	if (l->kind == S_FLAKEY)
		n += snprintf(to + n, size - n, " 1000000 0");
	if (l->kind == S_POWERCUT)
		n += snprintf(to + n, size - n, " 64K 1 torn=%u",
			      torn_choices[l->index % array_len(torn_choices)]);
	if (l->kind == S_DUST)
		n += snprintf(to + n, size - n, " %u", l->chunk % 8 ? 512 : 4096);
	return n;
}

/* As dmsetup takes it. @between: two lines. */
static void text_of_table(const struct s_table *t, const char *between, char *to, size_t size)
{
	uint32_t begin = 0;
	int n = 0;

	for (unsigned i = 0; i < t->nlines; i++) {
		if (i)
			n += snprintf(to + n, size - n, "%s", between);
		n += text_of_line(&t->lines[i], begin, to + n, size - n);
		begin += t->lines[i].len;
	}
}

static void text_of_cut(const struct s_op *o, char *to, size_t size)
{
	if (o->act == A_CUT)
		snprintf(to, size, "cut %u", o->seed);
	else
		snprintf(to, size, "restore");
}

static void print_op(const struct script *s, const struct s_op *o)
{
	static const char *const acts[] = { "", "poll", "suspend", "resume", "load", "clear" };
	static const char *const counts[] = { "@stats_create",      "@stats_print",
					      "@stats_print_clear", "@stats_delete",
					      "@histogram on",      "@histogram off" };
	static const char *const ops[] = { "read",    "write",        "flush",
					   "discard", "write-zeroes", "compare" };
	char text[1024];

	if (o->act == A_POLL) {
		printf("#   poll\n");
	} else if (o->act == A_LOAD) {
		text_of_table(&s->tables[o->table], "\\n", text, sizeof(text));
		printf("#   dmsetup load d%u --table '%s'\n", o->dev, text);
	} else if (o->act == A_CUT || o->act == A_RESTORE) {
		text_of_cut(o, text, sizeof(text));
		printf("#   dmsetup message d%u %u %s\n", o->dev, o->sector, text);
	} else if (o->act == A_STATS) {
		printf("#   dmsetup message d%u 0 %s (%u+%u, region %u)\n", o->dev, counts[o->op],
		       o->sector, o->count, o->table);
	} else if (o->act != A_IO) {
		printf("#   dmsetup %s d%u\n", acts[o->act], o->dev);
	} else {
		printf("#   %s d%u", ops[o->op], o->dev);
		if (o->op != RISER_BLK_FLUSH)
			printf(" %u+%u", o->sector, o->count);
		printf("%s%s%s%s\n", o->flags & RISER_BLK_FUA ? " fua" : "",
		       o->flags & RISER_BLK_PREFLUSH ? " preflush" : "",
		       o->wrong && o->op == RISER_BLK_COMPARE ? " with other data" : "",
		       o->seed ? " scattered" : "");
	}
}

static void script_print(const struct script *s)
{
	char text[1024];

	printf("# pools of %u frames and %u children%s\n", s->frames, s->children,
	       s->no_membarrier ? ", no membarrier" : "");
	for (unsigned i = 0; i < s->nleaves; i++) {
		const struct s_leaf *l = &s->leaves[i];

		printf("# leaf:%u: %u sectors, block %u, max %u, discard %u, zeroes %u, align %u, "
		       "boundary %u, room %u%s%s%s%s%s%s%s%s\n",
		       i, l->sectors, l->block, l->max, l->max_discard, l->max_zeroes, l->buf_align,
		       l->seg_boundary, l->room, l->mode == FIX_LATE ? ", late" : "",
		       l->own ? ", own memory" : "", l->fua ? ", fua" : "",
		       l->cache ? ", cache" : "", l->zeroes ? ", write-zeroes" : "",
		       l->no_zeroes ? " that fails" : "", l->discard ? ", discard" : "",
		       l->compare ? ", compare" : "");
	}
	for (unsigned i = 0; i < s->ndevs; i++) {
		text_of_table(&s->tables[s->first[i]], "\\n", text, sizeof(text));
		printf("# dmsetup create d%u --table '%s'\n", i, text);
	}
	for (unsigned i = 0; i < s->nops; i++)
		print_op(s, &s->ops[i]);
}

#endif
