/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A sector of a leaf, and what may be read there.
 *
 * Behind a powercut the newest data is in a cache, and what a power cut leaves is any of the values
 * since the last that was flushed. So a cell remembers these, the oldest first, and the way by
 *which they came: until the caches on it were emptied no other way shows the same. A cell is
 *
 *	sure	what is read is the newest
 *	lots	a cut (or a write that failed) has drawn lots: any of them, and a read tells which
 *	fickle	the newest may be a discard in a cache: an older one may be read until it is flushed
 */
#ifndef TESTS_ORACLE_CELL_H
#define TESTS_ORACLE_CELL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { PAST = 12 };

struct value {
	uint64_t tag;  /* what fills it; 0: zeroes */
	uint64_t when; /* model.tick at which it was there */
	bool discard;
};

struct cell {
	struct value was[PAST];
	uint8_t last;             /* the newest */
	uint8_t either;           /* so many of the oldest are one value, by lots not yet told */
	uint8_t writing, reading; /* I/O in flight */
	bool lots, fickle;
	bool torn;     /* by a cut, inside a block of 4096 */
	uint64_t path; /* see place.path; 0: it is in no cache */
};

static struct value *newest(struct cell *c)
{
	return &c->was[c->last];
}

static bool cell_is_sure(const struct cell *c)
{
	return !c->lots && !c->fickle;
}

/* Only the newest of its values is left, and where everybody sees it. */
static void cell_settle(struct cell *c, uint64_t now)
{
	if (!c->lots) {
		c->was[0] = *newest(c);
		c->last = c->either = 0;
	}
	c->path = 0;
	c->fickle = false;
	newest(c)->when = now;
}

/* What a cache had of it was written back. A read under way may show what was before a discard. */
static void cell_written_back(struct cell *c, uint64_t now)
{
	if (!c->fickle || !c->reading)
		cell_settle(c, now);
}

static void cell_set(struct cell *c, uint64_t tag, uint64_t now)
{
	c->lots = false;
	newest(c)->tag = tag;
	cell_settle(c, now);
}

/* Written to the caches of @path; or nobody knows. */
static void cell_add(struct cell *c, struct value v, uint64_t path)
{
	if (c->lots)
		c->either = (uint8_t)(c->last + 1);
	c->was[++c->last] = v;
	c->path = path;
	c->lots &= v.discard; /* which is read only some time */
	c->fickle = path && v.discard;
}

static void cell_draw_lots(struct cell *c)
{
	c->lots = true;
	for (unsigned i = 1; i <= c->last && c->path; i++)
		c->fickle |= c->was[i].discard;
}

/* What was there when a flush of its way began at @since survives whatever comes. */
static void cell_flushed(struct cell *c, uint64_t since)
{
	unsigned first = c->last;

	if (c->fickle && c->reading)
		return;
	while (first && c->was[first].when > since)
		first--;
	if (!c->lots && first >= c->either) {
		c->either = 0;
		c->last = (uint8_t)(c->last - first);
		memmove(c->was, c->was + first, (c->last + 1u) * sizeof(c->was[0]));
	}
	if (newest(c)->when > since)
		return;
	c->path = 0;
	c->fickle = false;
}

/* Return: which of its values a sector that was read may be, one bit each. */
static uint32_t cell_matches(const struct cell *c, uint64_t tag)
{
	uint32_t bits = 0;

	for (unsigned i = cell_is_sure(c) ? c->last : 0; i <= c->last; i++)
		bits |= (uint32_t)(c->was[i].tag == tag) << i;
	return bits;
}

/* A read tells what lots have decided; in a cache it may be lost still. */
static void cell_learn(struct cell *c, uint64_t tag, uint64_t now)
{
	unsigned i = c->last;

	if (!c->path) {
		cell_set(c, tag, now);
		return;
	}
	while (i && c->was[i].tag != tag)
		i--;
	c->was[i] = *newest(c);
	*newest(c) = (struct value){ tag, now, false };
	c->either = c->last;
	c->lots = false;
}

#endif
