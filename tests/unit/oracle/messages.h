/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What is said to devices while they do I/O: the power of powercuts, and statistics. */
#ifndef TESTS_ORACLE_MESSAGES_H
#define TESTS_ORACLE_MESSAGES_H

#include "submit.h"

static void expect(const char *what, unsigned dev, int rc, int want)
{
	if (rc != want)
		fix_broken("%s d%u: %d, not %d (%s)", what, dev, rc, want, rc ? err.text : "");
}

/* Power. */

/* Return: the powercut of a device's live table that begins at @begin, or NO_LINE. */
static unsigned powercut_at(unsigned dev, uint32_t begin)
{
	const struct s_table *t = &w.m.s->tables[w.m.live[dev]];

	for (unsigned i = 0; i < t->nlines; begin -= t->lines[i++].len) {
		if (!begin && t->lines[i].kind == S_POWERCUT)
			return i;
		if (begin < t->lines[i].len)
			break;
	}
	return NO_LINE;
}

/* Is a cache above or below those of @dev? What it cannot write back it would lose later. */
static bool is_nested(unsigned dev)
{
	uint8_t below = reach(&w.m, met(&w.m, dev), true);

	for (unsigned i = 0; i < w.m.s->ndevs; i++) {
		const struct s_table *t = met(&w.m, i);

		if (i != dev && has_powercut(t) &&
		    (below >> i & 1 || reach(&w.m, t, false) >> dev & 1))
			return true;
	}
	return false;
}

static void switched(unsigned dev)
{
	for (unsigned i = 0; i < FLIGHT; i++) {
		struct slot *o = &w.slots[i];

		if (!o->busy || !(reach(&w.m, met(&w.m, o->op->dev), true) >> dev & 1))
			continue;
		o->may |= o->normal | 1 << RISER_BLK_OFFLINE;
		o->cut = true;
	}
}

/* Lots are drawn for what is in a line's cache. */
static void draw_lots(unsigned dev, const struct s_line *l, uint32_t begin)
{
	struct s_table alone = { .nlines = 1, .lines = { *l } };
	bool torn = torn_choices[l->index % array_len(torn_choices)] == 512 &&
		    ability_of(&w.m, &alone).block == 512;
	struct place p;

	w.m.tick++;
	for (uint32_t i = 0; i < l->len; i++) {
		struct cell *c = cell_at(&w.m, dev, begin + i, &p);

		if (!c)
			continue;
		c->torn = torn; /* what is under way too */
		if (!c->path || c->path != p.path)
			continue;
		cell_draw_lots(c);
		newest(c)->when = w.m.tick;
	}
}

static void play_power(const struct s_op *op)
{
	unsigned dev = op->dev, line = powercut_at(dev, op->sector);
	bool off = line != NO_LINE && w.m.off[dev] >> line & 1;
	char text[32], *answer = NULL;

	if (line == NO_LINE || off != (op->act == A_RESTORE) ||
	    (!off && (w.m.suspended[dev] || is_nested(dev))))
		return;
	text_of_cut(op, text, sizeof(text));
	expect(text, dev, riser_dm_message(w.dm[dev], w.x, op->sector, text, &answer, &err), 0);
	free(answer);
	w.m.off[dev] ^= (uint16_t)(1 << line);
	switched(dev);
	if (!off)
		draw_lots(dev, &w.m.s->tables[w.m.live[dev]].lines[line], op->sector);
}

/* Statistics. */

static unsigned inflight_on(unsigned dev)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FLIGHT; i++)
		n += w.slots[i].busy && w.slots[i].op->dev == dev;
	return n;
}

/* Return: whether a message was taken. What parks I/O elsewhere may stop it. */
static bool message(unsigned dev, const char *text, char **answer)
{
	int rc = riser_dm_message(w.dm[dev], w.x, 0, text, answer, &err);

	if (rc != -ETIMEDOUT || !any_suspended(&w.m))
		expect(text, dev, rc, 0);
	return !rc;
}

static void play_create(struct region *g, const struct s_op *op)
{
	char text[64], *answer;

	if (g->on || w.m.suspended[op->dev])
		return;
	memset(g, 0, sizeof(*g));
	g->start = op->sector;
	g->len = op->count;
	g->step = (op->count + AREAS - 1) / AREAS;
	snprintf(text, sizeof(text), "@stats_create %" PRIu64 "+%" PRIu64 " /%u", g->start, g->len,
		 (unsigned)((g->len - 1) / g->step + 1));
	if (!message(op->dev, text, &answer))
		return;
	g->id = atoi(answer);
	g->on = true;
	g->shared = w.inflight > inflight_on(op->dev);
	free(answer);
}

static void play_print(struct region *g, const struct s_op *op)
{
	char text[64], *answer = NULL;

	bool clears = op->op == C_PRINT_CLEAR && !inflight_on(op->dev);

	snprintf(text, sizeof(text), "@stats_print%s %d", clears ? "_clear" : "", g->id);
	g->inflight = inflight_on(op->dev);
	if (!message(op->dev, text, &answer) || !answer)
		return;
	region_check(g, answer);
	free(answer);
	if (!clears)
		return;
	memset(g->areas, 0, sizeof(g->areas));
	g->shared = w.inflight;
}

static void play_stats(const struct s_op *op)
{
	struct region *g = &w.regions[op->dev][op->table];
	char text[64], *answer = NULL;

	if (op->op == C_CREATE)
		play_create(g, op);
	else if (op->op == C_LINES_ON || op->op == C_LINES_OFF)
		message(op->dev, op->op == C_LINES_ON ? "@histogram on" : "@histogram off",
			&answer);
	else if (g->on && op->op != C_DELETE)
		play_print(g, op);
	else if (g->on) {
		snprintf(text, sizeof(text), "@stats_delete %d", g->id);
		g->on = !message(op->dev, text, &answer);
	}
	free(answer);
}

#endif
