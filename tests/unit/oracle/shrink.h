/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Making a failing script small: leave something out, play it in a process of its own (it may crash
 * or hang), keep what still fails. Operations by delta debugging, then lines, limits and devices,
 * until nothing more can go.
 */
#ifndef TESTS_ORACLE_SHRINK_H
#define TESTS_ORACLE_SHRINK_H

#include "play.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ATTEMPTS 3000
#define HANG_S   2

struct shrinker {
	struct script *s;
	bool planted;
	unsigned attempts;
};

/* Return: whether it fails. @say: let it tell how. */
static bool fails(const struct script *s, bool planted, bool say)
{
	uint64_t ios = 0;
	int status, null;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid) {
		waitpid(pid, &status, 0);
		if (say && WIFSIGNALED(status))
			printf("# signal %d: %s\n", WTERMSIG(status),
			       WTERMSIG(status) == SIGALRM ? "it hangs" : "it crashes");
		return status != 0;
	}
	null = open("/dev/null", O_WRONLY);
	if (!say) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	alarm(HANG_S);
	null = !play(s, planted, &ios);
	fflush(stdout);
	_exit(null);
}

static bool still_fails(struct shrinker *h, const struct script *s)
{
	return h->attempts < ATTEMPTS && (h->attempts++, fails(s, h->planted, false));
}

/* Drop @n operations from @at on. Return: whether it fails without them, and then they are gone. */
static bool drop_ops(struct shrinker *h, unsigned at, unsigned n)
{
	static struct script try;

	try = *h->s;
	memmove(&try.ops[at], &try.ops[at + n], (try.nops - at - n) * sizeof(try.ops[0]));
	try.nops -= n;
	if (!still_fails(h, &try))
		return false;
	*h->s = try;
	return true;
}

/* What comes behind the failure goes first: half of the rest at a time. */
static bool shrink_ops(struct shrinker *h)
{
	unsigned before = h->s->nops;

	for (unsigned n = max_of(before / 2, 1u);; n = max_of(n / 2, 1u)) {
		for (unsigned end = h->s->nops; end;) {
			unsigned take = min_of(n, end);

			drop_ops(h, end - take, take);
			end -= take;
		}
		if (n == 1)
			return h->s->nops < before;
	}
}

/* Try a script in which something was changed. */
static bool keep(struct shrinker *h, const struct script *try)
{
	if (!memcmp(try, h->s, sizeof(*try)) || !still_fails(h, try))
		return false;
	*h->s = *try;
	return true;
}

/* A line that leads nowhere, then one that leads straight to where its first leg did. */
static bool shrink_line(struct shrinker *h, unsigned table, unsigned line)
{
	static struct script try;
	struct s_line *l = &try.tables[table].lines[line];

	try = *h->s;
	*l = (struct s_line){ .kind = S_ZERO, .len = l->len };
	if (keep(h, &try))
		return true;
	try = *h->s;
	if (l->kind == S_LINEAR && l->legs[0].start == 0)
		return false;
	if (l->kind == S_LINEAR)
		l->legs[0].start = 0;
	else if (l->kind == S_STRIPED && l->n > 1 && l->len % ((l->n - 1) * l->chunk) == 0)
		l->legs[--l->n] = (struct s_leg){ 0 };
	else if (l->kind != S_ZERO && l->kind != S_ERROR)
		*l = (struct s_line){ .kind = S_LINEAR, .len = l->len, .legs = { l->legs[0] } };
	return keep(h, &try);
}

static bool shrink_leaf(struct shrinker *h, unsigned leaf)
{
	static struct script try;
	struct s_leaf *l = &try.leaves[leaf];
	bool any = false;

	for (unsigned what = 0; what < 10; what++) {
		try = *h->s;
		if (what == 0)
			l->mode = FIX_AT_ONCE;
		else if (what == 1)
			l->room = 0;
		else if (what == 2)
			l->max = 0;
		else if (what == 3)
			l->max_discard = l->max_zeroes = 0;
		else if (what == 4)
			l->own = false;
		else if (what == 5)
			l->buf_align = 1;
		else if (what == 6)
			l->seg_boundary = 0;
		else if (what == 7)
			l->no_zeroes = false;
		else if (what == 8)
			l->cache = false;
		else
			l->fua = l->zeroes = l->discard = l->compare = true;
		any |= keep(h, &try);
	}
	return any;
}

static bool shrink_pools(struct shrinker *h)
{
	static struct script try;
	bool any = false;

	for (unsigned what = 0; what < 3; what++) {
		try = *h->s;
		if (what == 0)
			try.frames = 21;
		else if (what == 1)
			try.children = 21;
		else
			try.no_membarrier = false;
		any |= keep(h, &try);
	}
	return any;
}

/* The line of a device's first table that has a sector, which becomes one of the line. */
static const struct s_line *line_at(const struct script *s, unsigned dev, uint32_t *sector)
{
	const struct s_line *l = s->tables[s->first[dev]].lines;

	while (*sector >= l->len)
		*sector -= l++->len;
	return l;
}

/* An operation on what its device leads to. */
static bool shrink_op_down(struct shrinker *h, unsigned at)
{
	static struct script try;
	struct s_op *o = &try.ops[at];
	const struct s_line *l;
	uint32_t within;

	try = *h->s;
	within = o->sector;
	if (o->act != A_IO || within >= table_sectors(&try.tables[try.first[o->dev]]))
		return false;
	l = line_at(&try, o->dev, &within);
	if (l->kind != S_LINEAR || l->legs[0].dev < LEAVES)
		return false;
	o->dev = (uint8_t)(l->legs[0].dev - LEAVES);
	o->sector = l->legs[0].start + within;
	try.ways |= (uint8_t)(1 << o->dev);
	return keep(h, &try);
}

/* A line over a mapped device leads to what that leads to. */
static bool shrink_line_down(struct shrinker *h, unsigned table, unsigned line)
{
	static struct script try;
	struct s_leg *leg = &try.tables[table].lines[line].legs[0];
	const struct s_line *l;
	uint32_t within;

	try = *h->s;
	within = leg->start;
	if (try.tables[table].lines[line].kind != S_LINEAR || leg->dev < LEAVES)
		return false;
	l = line_at(&try, leg->dev - LEAVES, &within);
	if (l->kind != S_LINEAR || l->len - within < try.tables[table].lines[line].len)
		return false;
	leg->dev = l->legs[0].dev;
	leg->start = l->legs[0].start + within;
	return keep(h, &try);
}

/* The last line. */
static bool shrink_table(struct shrinker *h, unsigned table)
{
	static struct script try;
	bool any = false;

	for (unsigned line = h->s->tables[table].nlines; line-- > 0;)
		while (shrink_line(h, table, line) || shrink_line_down(h, table, line))
			any = true;
	while (h->s->tables[table].nlines > 1) {
		try = *h->s;
		try.tables[table].nlines--;
		if (!keep(h, &try))
			break;
		any = true;
	}
	return any;
}

/* Operations one sector long, in one piece, without flags. */
static bool shrink_op(struct shrinker *h, unsigned at)
{
	static struct script try;
	struct s_op *o = &try.ops[at];
	bool any = false;

	while (shrink_op_down(h, at))
		any = true;
	for (unsigned what = 0; what < 5 && h->s->ops[at].act == A_IO; what++) {
		try = *h->s;
		if (what == 0)
			o->seed = 0;
		else if (what == 1)
			o->flags = 0;
		else if (what == 2)
			o->count = try.unit;
		else if (o->count > try.unit)
			o->count -= try.unit;
		if (what == 4 && o->count < h->s->ops[at].count)
			o->sector += try.unit;
		any |= keep(h, &try);
	}
	return any;
}

static bool is_used(const struct script *s, unsigned dev)
{
	for (unsigned i = 0; i < s->nops; i++)
		if (s->ops[i].act != A_POLL && s->ops[i].dev == dev)
			return true;
	for (unsigned i = 0; i < s->ntables; i++)
		if (table_needs(&s->tables[i], LEAVES + dev))
			return true;
	return false;
}

static uint8_t ways_without(uint8_t ways, unsigned dev)
{
	uint8_t below = (uint8_t)((1 << dev) - 1);

	return (uint8_t)((ways & below) | (ways >> 1 & ~below));
}

/* Take a device out that nobody names, and its tables. */
static void without_dev(struct script *s, unsigned dev)
{
	unsigned to = 0, number[TABLES];

	for (unsigned i = 0; i < s->ntables; i++) {
		struct s_table *t = &s->tables[i];

		number[i] = to;
		if (t->dev == dev)
			continue;
		t->dev = (uint8_t)(t->dev - (t->dev > dev));
		for (unsigned k = 0; k < t->nlines; k++)
			for (unsigned n = 0; n < line_legs(&t->lines[k]); n++)
				if (t->lines[k].legs[n].dev > LEAVES + dev)
					t->lines[k].legs[n].dev--;
		s->tables[to++] = *t;
	}
	s->ntables = (uint8_t)to;
	for (unsigned i = 0; i < s->nops; i++) {
		s->ops[i].dev = (uint8_t)(s->ops[i].dev - (s->ops[i].dev > dev));
		s->ops[i].table = (uint8_t)number[s->ops[i].table];
	}
	memmove(&s->first[dev], &s->first[dev + 1], s->ndevs - dev - 1u);
	s->ndevs--;
	for (unsigned i = 0; i < s->ndevs; i++)
		s->first[i] = (uint8_t)number[s->first[i]];
	s->ways = ways_without(s->ways, dev);
}

static bool shrink_devs(struct shrinker *h)
{
	static struct script try;
	bool any = false;

	for (unsigned dev = h->s->ndevs; dev-- > 0 && h->s->ndevs > 1;) {
		if (is_used(h->s, dev))
			continue;
		try = *h->s;
		without_dev(&try, dev);
		any |= keep(h, &try);
	}
	return any;
}

/* The last leaves, where nobody names them. */
static bool shrink_leaves(struct shrinker *h)
{
	static struct script try;
	bool any = false;

	while (h->s->nleaves > 1) {
		for (unsigned i = 0; i < h->s->ntables; i++)
			if (table_needs(&h->s->tables[i], h->s->nleaves - 1u))
				return any;
		try = *h->s;
		try.nleaves--;
		if (!keep(h, &try))
			return any;
		any = true;
	}
	return any;
}

/* Tables that no operation loads any more lead nowhere. */
static bool shrink_unloaded(struct shrinker *h)
{
	static struct script try;

	try = *h->s;
	for (unsigned i = 0; i < try.ntables; i++) {
		struct s_table *t = &try.tables[i];
		bool used = try.first[t->dev] == i;

		for (unsigned k = 0; k < try.nops; k++)
			used |= try.ops[k].act == A_LOAD && try.ops[k].table == i;
		if (!used) {
			t->nlines = 1;
			memset(t->lines, 0, sizeof(t->lines));
			t->lines[0] = (struct s_line){ .kind = S_ZERO, .len = try.unit };
		}
	}
	return keep(h, &try);
}

static void shrink(struct script *s, bool planted)
{
	struct shrinker h = { .s = s, .planted = planted };
	bool any = true;

	while (any && h.attempts < ATTEMPTS) {
		any = shrink_ops(&h);
		any |= shrink_unloaded(&h);
		for (unsigned i = 0; i < s->ntables; i++)
			any |= shrink_table(&h, i);
		for (unsigned i = 0; i < s->nops; i++)
			any |= shrink_op(&h, i);
		any |= shrink_devs(&h);
		any |= shrink_leaves(&h);
		for (unsigned i = 0; i < s->nleaves; i++)
			any |= shrink_leaf(&h, i);
		any |= shrink_pools(&h);
	}
}

#endif
