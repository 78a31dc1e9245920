/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/rule.h"
#include "base/err.h"
#include "base/parse.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 32 /* that a sentence suggests from */

static const struct rule_cond counts[] = {
	{ .name = "nth", .bit = RULE_NTH },
	{ .name = "every", .bit = RULE_EVERY },
	{ .name = "times", .bit = RULE_TIMES },
	{ .name = "after", .bit = RULE_AFTER },
	{ 0 },
};

bool rule_fires(struct rule *f)
{
	uint64_t n;

	if (++f->seen <= f->after || f->fired >= f->times)
		return false;
	n = f->seen - f->after;
	if ((f->nth && n != f->nth) || (f->every && n % f->every))
		return false;
	f->fired++;
	return true;
}

int rule_err(const struct rule_script *s, struct riser_err *err, const char *what, const char *near)
{
	return err_set(err, -EINVAL, "model: fault rule %u, column %u: %s%s%s%s", s->rule,
		       s->column, what, near ? "; did you mean '" : "", near ? near : "",
		       near ? "'?" : "");
}

bool rule_take(const char **at, const char *stop, char *out, size_t size)
{
	size_t n = strcspn(*at, stop);

	if (n >= size)
		return false;
	memcpy(out, *at, n);
	out[n] = 0;
	*at += n;
	return true;
}

/* Take NAME or NAME=VALUE. */
static int rule_word(struct rule_script *s, struct riser_err *err)
{
	s->column = (unsigned)(s->at - s->text) + 1;
	s->value = NULL;
	if (!rule_take(&s->at, "=,;", s->word, sizeof(s->word)))
		return rule_err(s, err, "a word that is too long", NULL);
	if (*s->at == '=') {
		s->at++;
		if (!rule_take(&s->at, ",;", s->text_value, sizeof(s->text_value)))
			return rule_err(s, err, "a value that is too long", NULL);
		s->value = s->text_value;
	}
	return 0;
}

int rule_delay(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S } };
	uint64_t unit = NS_PER_US;
	char number[24];
	const char *at = text;

	if (!rule_take(&at, "ums", number, sizeof(number)))
		return -EINVAL;
	if (*at) {
		unit = 0;
		for (size_t i = 0; i < array_len(units); i++)
			if (!strcmp(at, units[i].unit))
				unit = units[i].ns;
		if (!unit)
			return -EINVAL;
	}
	if (parse_u64(number, ns) || *ns > 3600 * (NS_PER_S / unit))
		return -EINVAL;
	*ns *= unit;
	return 0;
}

/* A count; 0 means something to "times" and "after" only. */
static int rule_count(struct rule_script *s, struct rule *f, unsigned bit, struct riser_err *err)
{
	uint64_t n;

	if (parse_u64(s->value, &n) || (!n && bit & (RULE_NTH | RULE_EVERY)))
		return rule_err(s, err, "a condition that wants a number", NULL);
	if (bit == RULE_NTH)
		f->nth = n;
	else if (bit == RULE_EVERY)
		f->every = n;
	else if (bit == RULE_AFTER)
		f->after = n;
	else
		f->times = n ? n : UINT64_MAX;
	return 0;
}

/* The condition of that name, of those that the rule may have; their names go to @names. */
static const struct rule_cond *find_cond(const struct rule_grammar *g, const struct rule *f,
					 const char *name, const char **names)
{
	const struct rule_cond *lists[] = { g->conds, counts }, *found = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < array_len(lists); i++)
		for (const struct rule_cond *c = lists[i]; c->name; c++) {
			if (!(c->bit & f->what->conds) || n == WORDS_MAX)
				continue;
			names[n++] = c->name;
			if (!strcmp(c->name, name))
				found = c;
		}
	return found;
}

static int rule_condition(const struct rule_grammar *g, struct rule_script *s, struct rule *f,
			  unsigned *given, struct riser_err *err)
{
	const char *names[WORDS_MAX + 1] = { NULL };
	const struct rule_cond *c = find_cond(g, f, s->word, names);
	char bare[48];

	if (!c)
		return rule_err(s, err, "a condition that this rule does not have",
				parse_nearest(s->word, names));
	if (*given & c->bit)
		return rule_err(s, err, "a condition that comes twice", NULL);
	*given |= c->bit;
	if (c->bare && s->value) {
		snprintf(bare, sizeof(bare), "'%s' has no value", c->name);
		return rule_err(s, err, bare, NULL);
	}
	if (!c->bare && !s->value)
		return rule_err(s, err, "a condition without value", NULL);
	return c->bit & RULE_COUNT ? rule_count(s, f, c->bit, err) : g->cond(s, f, c->bit, err);
}

static int rule_begin(const struct rule_grammar *g, struct rule_script *s, struct rule *f,
		      struct riser_err *err)
{
	const char *names[WORDS_MAX + 1] = { NULL };

	for (unsigned i = 0; i < WORDS_MAX && g->names[i].name; i++) {
		names[i] = g->names[i].name;
		if (!strcmp(names[i], s->word))
			f->what = &g->names[i];
	}
	if (!f->what)
		return rule_err(s, err, *s->word ? "an unknown rule" : "an empty rule",
				parse_nearest(s->word, names));
	if (f->what->value == RULE_VALUE && !s->value)
		return rule_err(s, err, "a rule that wants a value: NAME=VALUE", NULL);
	if (f->what->value == RULE_BARE && s->value)
		return rule_err(s, err, "a rule that has no value", NULL);
	return g->name(s, f, err);
}

static int rule_parse(const struct rule_grammar *g, struct rule_script *s, struct rule *f,
		      struct riser_err *err)
{
	unsigned given = 0;
	int rc;

	s->rule++;
	rc = rule_word(s, err);
	if (!rc)
		rc = rule_begin(g, s, f, err);
	while (!rc && *s->at == ',') {
		s->at++;
		rc = rule_word(s, err);
		if (!rc)
			rc = rule_condition(g, s, f, &given, err);
	}
	if (!f->times)
		f->times = !rc && f->what->once && !f->every ? 1 : UINT64_MAX;
	return rc;
}

int rules_parse(const struct rule_grammar *g, const char *text, struct list *rules,
		struct riser_err *err)
{
	struct rule_script s = { .text = text, .at = text };
	struct list added = LIST_INIT(added);
	int rc = 0;

	do {
		struct rule *f = calloc(1, g->size);

		if (!f) {
			rc = err_set(err, -ENOMEM, "no memory for a fault rule");
			break;
		}
		list_add_tail(&added, &f->link);
		rc = rule_parse(g, &s, f, err);
	} while (!rc && *s.at++ == ';' && *s.at);
	list_for_each_safe (f, &added, struct rule, link) {
		list_del(&f->link);
		if (rc)
			free(f);
		else
			list_add_tail(rules, &f->link);
	}
	return rc;
}

void rules_clear(struct list *rules)
{
	list_for_each_safe (f, rules, struct rule, link) {
		list_del(&f->link);
		free(f);
	}
}
