/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Rules in words, and which of them fire.
 *
 *	RULE = ACTION["=" VALUE] ["," CONDITION "=" VALUE]...
 *
 * The man page riser-target-fault(7) holds the grammar, which is only ever extended.
 */
#include "dm/target/fault_rule.h"
#include <ctype.h>
#include <errno.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>

#define CERTAIN 1000000000u /* prob=1 */

/* What an I/O is: its operation, and for a write that carries them the parts of it. */
#define OP_READ         (1u << RISER_BLK_READ)
#define OP_WRITE        (1u << RISER_BLK_WRITE)
#define OP_FLUSH        (1u << RISER_BLK_FLUSH)
#define OP_DISCARD      (1u << RISER_BLK_DISCARD)
#define OP_WRITE_ZEROES (1u << RISER_BLK_WRITE_ZEROES)
#define OP_COMPARE      (1u << RISER_BLK_COMPARE)
#define OP_FUA          (1u << 31)
#define OP_ANY          UINT32_MAX

static const struct {
	const char *name;
	uint32_t ops;
} op_names[] = {
	{ "any", OP_ANY },
	{ "read", OP_READ },
	{ "write", OP_WRITE },
	{ "flush", OP_FLUSH },
	{ "fua", OP_FUA },
	{ "discard", OP_DISCARD },
	{ "write_zeroes", OP_WRITE_ZEROES },
	{ "compare", OP_COMPARE },
};

static const char *const action_names[] = {
	[FAULT_ERROR] = "error",
	[FAULT_DROP] = "drop",
	[FAULT_DELAY] = "delay",
	[FAULT_BREAK] = "break",
	NULL,
};

/* Parsing. */

struct script {
	char *at;
	const char *word, *value; /* the value is NULL where there is none */
	struct riser_err *err;
};

static bool next_word(struct script *s)
{
	char *word = s->at, *value;

	if (!word)
		return false;
	s->at = strchr(word, ',');
	if (s->at)
		*s->at++ = 0;
	value = strchr(word, '=');
	if (value)
		*value++ = 0;
	s->word = word;
	s->value = value;
	return true;
}

int fault_unknown(const char *what, const char *word, const char *const *words,
		  struct riser_err *err)
{
	const char *near = riser_nearest(word, words);

	if (near)
		return riser_err_set(err, -EINVAL, "unknown %s '%s': did you mean '%s'?", what,
				     word, near);
	return riser_err_set(err, -EINVAL, "unknown %s '%s'", what, word);
}

static int bad(const struct script *s, const char *wants)
{
	return riser_err_set(s->err, -EINVAL, "'%s' wants %s, not '%s'", s->word, wants,
			     s->value ? s->value : "");
}

static int parse_status(const struct script *s, enum riser_blk_status *out)
{
	const char *names[RISER_BLK_INVALID + 1] = { NULL };

	*out = RISER_BLK_IOERR;
	if (!s->value)
		return 0;
	for (unsigned i = 1; i <= RISER_BLK_INVALID; i++) {
		names[i - 1] = riser_blk_status_name((enum riser_blk_status)i);
		if (strcasecmp(s->value, names[i - 1]))
			continue;
		*out = (enum riser_blk_status)i;
		return 0;
	}
	return fault_unknown("status", s->value, names, s->err);
}

/* Microseconds, or with a unit: 10us, 10ms, 2s. */
static int parse_delay(const struct script *s, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "", NS_PER_US }, { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S }
	};
	const char *text = s->value ? s->value : "";
	size_t digits = strspn(text, "0123456789");
	char number[16] = "";

	if (digits && digits < sizeof(number))
		memcpy(number, text, digits);
	for (size_t i = 0; i < array_len(units); i++) {
		if (strcmp(text + digits, units[i].unit) || riser_parse_u64(number, ns) ||
		    *ns > 3600 * (NS_PER_S / units[i].ns))
			continue;
		*ns *= units[i].ns;
		return 0;
	}
	return bad(s, "a time such as 500us or 10ms, at most an hour");
}

static int parse_point(const struct script *s, char *out)
{
	size_t len = s->value ? strlen(s->value) : 0;

	if (!len || len >= FAULT_POINT_LEN || strchr(s->value, ':'))
		return bad(s, "a name of 1 to 31 bytes without ':'");
	memcpy(out, s->value, len + 1);
	return 0;
}

/* Names with '+' between them. */
static int parse_ops(struct script *s, struct fault_rule *rule)
{
	const char *names[array_len(op_names) + 1] = { NULL };
	char words[64], *word, *more = words;

	if (strlen(s->value) >= sizeof(words))
		return bad(s, "operations such as read+write");
	strcpy(words, s->value);
	rule->ops = 0;
	while ((word = strsep(&more, "+"))) {
		uint32_t ops = 0;

		for (size_t i = 0; i < array_len(op_names); i++) {
			names[i] = op_names[i].name;
			if (!strcmp(word, names[i]))
				ops = op_names[i].ops;
		}
		if (!ops)
			return fault_unknown("operation", word, names, s->err);
		rule->ops |= ops;
	}
	return 0;
}

/* FIRST-LAST, or one sector. */
static int parse_sectors(struct script *s, struct fault_rule *rule)
{
	char words[48], *last = words, *first;

	if (strlen(s->value) >= sizeof(words))
		return bad(s, "FIRST-LAST");
	strcpy(words, s->value);
	first = strsep(&last, "-");
	if (riser_parse_u64(first, &rule->first) ||
	    riser_parse_u64(last ? last : first, &rule->last) || rule->last < rule->first)
		return bad(s, "FIRST-LAST");
	return 0;
}

/* 0.25, 1 */
static int parse_prob(struct script *s, struct fault_rule *rule)
{
	const char *p = s->value;
	uint32_t unit = CERTAIN, prob;

	prob = *p == '1' ? CERTAIN : 0;
	if ((*p == '0' || *p == '1') && p[1] == '.' && isdigit((unsigned char)p[2]))
		for (p += 2; isdigit((unsigned char)*p) && unit > 1; p++)
			prob += (uint32_t)(*p - '0') * (unit /= 10);
	else if (*p == '0' || *p == '1')
		p++;
	rule->prob = prob;
	return *p || !prob || prob > CERTAIN ? bad(s, "a number above 0, up to 1, such as 0.01")
					     : 0;
}

static int parse_count(struct script *s, uint64_t *out)
{
	return riser_parse_u64(s->value, out) || !*out ? bad(s, "a number above 0") : 0;
}

static int parse_condition(struct script *s, struct fault_rule *rule)
{
	static const char *const names[] = { "op",    "sectors", "nth",  "every", "after",
					     "times", "prob",    "seed", NULL };

	if (!s->value)
		s->value = "";
	if (!strcmp(s->word, "op"))
		return parse_ops(s, rule);
	if (!strcmp(s->word, "sectors"))
		return parse_sectors(s, rule);
	if (!strcmp(s->word, "nth"))
		return parse_count(s, &rule->nth);
	if (!strcmp(s->word, "every"))
		return parse_count(s, &rule->every);
	if (!strcmp(s->word, "after"))
		return parse_count(s, &rule->after);
	if (!strcmp(s->word, "times"))
		return parse_count(s, &rule->times);
	if (!strcmp(s->word, "prob"))
		return parse_prob(s, rule);
	if (!strcmp(s->word, "seed"))
		return parse_count(s, &rule->random);
	return fault_unknown("condition", s->word, names, s->err);
}

static int parse_rule(char *text, struct fault_rule *rule, struct riser_err *err)
{
	struct script s = { .at = text, .err = err };
	int rc = 0;

	next_word(&s);
	while (action_names[rule->action] && strcmp(s.word, action_names[rule->action]))
		rule->action++;
	if (!action_names[rule->action])
		return fault_unknown("action", s.word, action_names, s.err);
	if (rule->action == FAULT_ERROR)
		rc = parse_status(&s, &rule->status);
	else if (rule->action == FAULT_DELAY)
		rc = parse_delay(&s, &rule->delay);
	else if (rule->action == FAULT_BREAK)
		rc = parse_point(&s, rule->point);
	else if (s.value)
		rc = bad(&s, "no value");
	while (!rc && next_word(&s))
		rc = parse_condition(&s, rule);
	return rc;
}

void fault_rule_free(struct fault_rule *rule)
{
	list_del(&rule->link);
	free(rule->text);
	free(rule);
}

int fault_rule_new(const char *text, struct fault_rule **out, struct riser_err *err)
{
	struct fault_rule *rule = calloc(1, sizeof(*rule));
	char *words = strdup(text);
	int rc;

	if (!rule || !words) {
		free(rule);
		free(words);
		return riser_err_set(err, -ENOMEM, "no memory for a rule");
	}
	list_init(&rule->link);
	rule->ops = OP_ANY;
	rule->last = rule->times = UINT64_MAX;
	rule->prob = CERTAIN;
	rule->random = 1;
	rule->text = strdup(text);
	rc = rule->text ? parse_rule(words, rule, err)
			: riser_err_set(err, -ENOMEM, "no memory for a rule");
	free(words);
	if (rc)
		fault_rule_free(rule);
	else
		*out = rule;
	return rc;
}

/* Asking. */

static uint32_t ops_of(const struct riser_blk_io *io)
{
	uint32_t ops = 1u << io->op;

	if (io->op != RISER_BLK_WRITE && io->op != RISER_BLK_WRITE_ZEROES)
		return ops;
	if (io->flags & RISER_BLK_PREFLUSH)
		ops |= OP_FLUSH;
	if (io->flags & RISER_BLK_FUA)
		ops |= OP_FUA;
	return ops;
}

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static bool meets(const struct fault_rule *rule, const struct riser_blk_io *io)
{
	if (!(rule->ops & ops_of(io)))
		return false;
	if (!rule->first && rule->last == UINT64_MAX)
		return true;
	return io->op != RISER_BLK_FLUSH && io->sector <= rule->last &&
	       io->sector + io->count > rule->first;
}

/* The conditions on the I/O are met: does its count say "now"? */
static bool fires(struct fault_rule *rule)
{
	uint64_t n;

	if (++rule->seen <= rule->after || rule->fired >= rule->times)
		return false;
	n = rule->seen - rule->after;
	if ((rule->nth && n != rule->nth) || (rule->every && n % rule->every))
		return false;
	if (rule->prob < CERTAIN && draw(&rule->random) % CERTAIN >= rule->prob)
		return false;
	rule->fired++;
	return true;
}

/* A write that only has a part which is meant loses that part, and goes on. */
static void drop(const struct fault_rule *rule, const struct riser_blk_io *io,
		 struct fault_fate *fate)
{
	if (rule->ops & 1u << io->op) {
		fate->ends = true;
		return;
	}
	if (rule->ops & OP_FLUSH)
		fate->lost |= RISER_BLK_PREFLUSH;
	if (rule->ops & OP_FUA)
		fate->lost |= RISER_BLK_FUA;
}

struct fault_fate fault_rules_ask(struct list *rules, const struct riser_blk_io *io)
{
	struct fault_fate fate = { .status = RISER_BLK_OK };

	list_for_each (rule, rules, struct fault_rule, link) {
		if (fate.ends)
			break;
		if (!meets(rule, io) || (rule->action == FAULT_BREAK && *fate.point) ||
		    !fires(rule))
			continue;
		switch (rule->action) {
		case FAULT_ERROR:
			fate.ends = true;
			fate.status = rule->status;
			break;
		case FAULT_DROP:
			drop(rule, io, &fate);
			break;
		case FAULT_DELAY:
			fate.delay += rule->delay;
			break;
		case FAULT_BREAK:
			strcpy(fate.point, rule->point);
			break;
		}
	}
	return fate;
}
