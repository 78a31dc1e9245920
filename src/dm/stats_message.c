/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The messages of statistics, in dm-stats' words; @histogram is riser's own. */
#include "base/err.h"
#include "base/parse.h"
#include "dm/stats.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a message is about. */
struct request {
	struct riser_dm *d;
	struct riser_exec *x;
	struct riser_args *a;
	struct riser_text *out;
	struct riser_err *err;
};

static struct dm_region *find(const struct dm_stats *s, uint64_t id)
{
	for (unsigned i = 0; s && i < s->n; i++)
		if (s->regions[i]->id == id)
			return s->regions[i];
	return NULL;
}

static int args_region(const struct request *q, struct dm_region **out)
{
	uint64_t id;
	int rc = riser_args_u64(q->a, "a region", 0, INT32_MAX, &id, q->err);

	if (rc)
		return rc;
	*out = find(q->d->stats, id);
	return *out ? 0 : err_set(q->err, -EINVAL, "there is no region %u", (unsigned)id);
}

/* "-" or "start+len". */
static int args_range(const struct request *q, struct dm_region *g)
{
	const char *word = riser_args_word(q->a, "a range", q->err), *plus;
	char start[32];

	if (!word)
		return -EINVAL;
	if (!strcmp(word, "-")) {
		if (!q->d->live)
			return err_set(q->err, -ENOENT, "mapped device %s has no live table",
				       q->d->name);
		g->start = 0;
		g->len = q->d->live->sectors;
		return 0;
	}
	plus = strchr(word, '+');
	if (!plus || (size_t)(plus - word) >= sizeof(start))
		return err_set(q->err, -EINVAL, "a range is - or <start>+<len>, not '%s'", word);
	memcpy(start, word, (size_t)(plus - word));
	start[plus - word] = 0;
	if (parse_u64(start, &g->start) || parse_u64(plus + 1, &g->len) || !g->len ||
	    g->len > UINT64_MAX - g->start)
		return err_set(q->err, -EINVAL, "a range is - or <start>+<len>, not '%s'", word);
	return 0;
}

/* Sectors of an area, or "/n" for how many areas. */
static int args_step(const struct request *q, struct dm_region *g)
{
	const char *word = riser_args_word(q->a, "an area", q->err);
	uint64_t n;

	if (!word)
		return -EINVAL;
	if (parse_u64(word + (*word == '/'), &n) || !n)
		return err_set(q->err, -EINVAL, "areas are <sectors> or /<number>, not '%s'", word);
	g->step = *word == '/' ? (g->len - 1) / n + 1 : n;
	return 0;
}

static int parse_bounds(const struct request *q, char *text, struct dm_region *g)
{
	uint64_t last = 0, *more;

	for (char *word = text, *next; word; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = 0;
		more = realloc(g->bounds, (g->nbounds + 1) * sizeof(*more));
		if (!more)
			return err_set(q->err, -ENOMEM, "no memory for a histogram");
		g->bounds = more;
		if (parse_u64(word, &more[g->nbounds]) || more[g->nbounds] <= last)
			return err_set(q->err, -EINVAL,
				       "the times of a histogram rise from above 0: not '%s'",
				       word);
		last = more[g->nbounds++];
	}
	return 0;
}

/* "<how many> <option>…", where the next word is a number; else it is the program's. */
static int args_options(const struct request *q, struct dm_region *g)
{
	struct riser_args *a = q->a;
	uint64_t n = 0, unit;
	int rc = 0;

	if (a->at < a->argc && !parse_u64(a->argv[a->at], &n))
		a->at++;
	for (; n && !rc; n--) {
		const char *word = riser_args_word(a, "an option", q->err);

		if (!word)
			return -EINVAL;
		if (!strcmp(word, "precise_timestamps"))
			g->precise = true;
		else if (!strncmp(word, "histogram:", 10) && !g->nbounds)
			rc = parse_bounds(q, a->argv[a->at - 1] + 10, g);
		else
			rc = err_set(q->err, -EINVAL, "'%s' is no option of a region", word);
	}
	unit = g->precise ? 1 : NS_PER_MS;
	for (unsigned i = 0; !rc && i < g->nbounds; i++) {
		if (g->bounds[i] > UINT64_MAX / unit)
			return err_set(q->err, -EINVAL, "a time of the histogram is too long");
		g->bounds[i] *= unit;
	}
	return rc;
}

static int set(const struct request *q, const struct dm_region *gone, struct dm_region *come,
	       bool lines)
{
	struct dm_stats *s = NULL;
	const struct dm_stats *old = q->d->stats;

	if (lines || come || (old ? old->n : 0) > (gone ? 1 : 0)) {
		s = dm_stats_with(old, gone, come, lines);
		if (!s)
			return err_set(q->err, -ENOMEM, "no memory for statistics");
	}
	return dm_set_stats(q->d, q->x, s, q->err);
}

static bool has_lines(const struct riser_dm *d)
{
	return d->stats && d->stats->lines;
}

static int create(const struct request *q)
{
	char none[] = "-";
	struct dm_region like = { .program = none, .aux = none }, *g;
	struct riser_args *a = q->a;
	int rc = args_range(q, &like);

	if (!rc)
		rc = args_step(q, &like);
	if (!rc)
		rc = args_options(q, &like);
	if (!rc && a->at < a->argc)
		like.program = a->argv[a->at++];
	if (!rc && a->at < a->argc)
		like.aux = a->argv[a->at++];
	if (!rc)
		rc = riser_args_end(a, q->err);
	while (find(q->d->stats, like.id))
		like.id++;
	if (!rc)
		rc = dm_region_new(&like, q->d->stats, &g, q->err);
	free(like.bounds);
	if (rc)
		return rc;
	rc = set(q, NULL, g, has_lines(q->d));
	if (!rc)
		riser_text_add(q->out, "%u", g->id);
	dm_region_put(g);
	return rc;
}

static int delete (const struct request *q)
{
	struct dm_region *g;
	int rc = args_region(q, &g);

	if (!rc)
		rc = riser_args_end(q->a, q->err);
	return rc ? rc : set(q, g, NULL, has_lines(q->d));
}

static int clear(const struct request *q)
{
	struct riser_text unseen = { 0 };
	struct dm_region *g;
	int rc = args_region(q, &g);

	if (!rc)
		rc = riser_args_end(q->a, q->err);
	if (!rc)
		dm_region_print(g, q->d->r, 0, g->areas, true, &unseen);
	free(unseen.text);
	return rc;
}

static int print(const struct request *q, bool clears)
{
	uint64_t first = 0, n = UINT64_MAX;
	struct dm_region *g;
	int rc = args_region(q, &g);

	if (!rc && q->a->at < q->a->argc) {
		rc = riser_args_u64(q->a, "a first line", 0, UINT64_MAX, &first, q->err);
		if (!rc)
			rc = riser_args_u64(q->a, "a number of lines", 0, UINT64_MAX, &n, q->err);
	}
	if (!rc)
		rc = riser_args_end(q->a, q->err);
	if (!rc)
		dm_region_print(g, q->d->r, first, n, clears, q->out);
	return rc;
}

static int print_counters(const struct request *q)
{
	return print(q, false);
}

static int print_clear(const struct request *q)
{
	return print(q, true);
}

static void list_region(const struct request *q, const struct dm_region *g)
{
	riser_text_add(q->out, "%u: %llu+%llu %llu %s %s", g->id, (unsigned long long)g->start,
		       (unsigned long long)g->len, (unsigned long long)g->step, g->program, g->aux);
	if (g->precise)
		riser_text_add(q->out, " precise_timestamps");
	for (unsigned i = 0; i < g->nbounds; i++)
		riser_text_add(q->out, "%s%llu", i ? "," : " histogram:",
			       (unsigned long long)(g->bounds[i] / (g->precise ? 1 : NS_PER_MS)));
	riser_text_add(q->out, "\n");
}

static int list(const struct request *q)
{
	const char *program = q->a->at < q->a->argc ? q->a->argv[q->a->at++] : NULL;
	const struct dm_stats *s = q->d->stats;
	int rc = riser_args_end(q->a, q->err);

	for (unsigned i = 0; !rc && s && i < s->n; i++)
		if (!program || !strcmp(program, s->regions[i]->program))
			list_region(q, s->regions[i]);
	return rc;
}

static int set_aux(const struct request *q)
{
	struct dm_region *g;
	const char *word;
	char *aux;
	int rc = args_region(q, &g);

	if (rc)
		return rc;
	word = riser_args_word(q->a, "a word to keep", q->err);
	if (!word || riser_args_end(q->a, q->err))
		return -EINVAL;
	aux = strdup(word);
	if (!aux)
		return err_set(q->err, -ENOMEM, "no memory for a word");
	free(g->aux);
	g->aux = aux;
	return 0;
}

/* They begin at 0 each time that they are switched on. */
static int switch_lines(const struct request *q, bool on)
{
	int rc;

	if (has_lines(q->d) == on)
		return 0;
	rc = set(q, NULL, NULL, on);
	if (!rc && on && q->d->live)
		dm_lines_clear(q->d->live);
	return rc;
}

static int histogram(const struct request *q)
{
	const char *word = riser_args_word(q->a, "on, off, print or clear", q->err);
	struct dm_table *t = q->d->live;

	if (!word || riser_args_end(q->a, q->err))
		return -EINVAL;
	if (!strcmp(word, "on") || !strcmp(word, "off"))
		return switch_lines(q, !strcmp(word, "on"));
	if (strcmp(word, "print") && strcmp(word, "clear"))
		return err_set(q->err, -EINVAL,
			       "@histogram takes on, off, print or clear, not '%s'", word);
	if (!has_lines(q->d))
		return err_set(q->err, -EINVAL, "there are no histograms: @histogram on");
	if (t && !strcmp(word, "print"))
		dm_lines_print(t, q->out);
	else if (t)
		dm_lines_clear(t);
	return 0;
}

int dm_stats_message(struct riser_dm *d, struct riser_exec *x, struct riser_args *a,
		     struct riser_text *out, struct riser_err *err)
{
	static const struct {
		const char *verb;
		int (*run)(const struct request *q);
	} messages[] = {
		{ "@stats_create", create },        { "@stats_delete", delete },
		{ "@stats_clear", clear },          { "@stats_list", list },
		{ "@stats_print", print_counters }, { "@stats_print_clear", print_clear },
		{ "@stats_set_aux", set_aux },      { "@histogram", histogram },
	};
	struct request q = { d, x, a, out, err };
	const char *verb = a->argv[a->at++];

	for (size_t i = 0; i < array_len(messages); i++)
		if (!strcmp(verb, messages[i].verb)) {
			int rc = messages[i].run(&q);

			return rc ? err_prefix(err, rc, "%s", verb) : 0;
		}
	return err_set(err, -EINVAL, "a mapped device takes no message '%s'", verb);
}
