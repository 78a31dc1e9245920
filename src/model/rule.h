/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Faults by script, of whatever model: RULE;RULE;… with
 * RULE = NAME[=VALUE][,CONDITION[=VALUE]]…
 *
 * A model has a grammar, of names and conditions; those that count (nth, every, times, after) are
 * everybody's. The man page riser-access-model(7) holds them, and they are only ever extended.
 */
#ifndef MODEL_RULE_H
#define MODEL_RULE_H

#include "base/list.h"
#include <riser/riser.h>

/* Conditions that every rule may have; a grammar's own are bits below. */
#define RULE_NTH   (1u << 28)
#define RULE_EVERY (1u << 29)
#define RULE_TIMES (1u << 30)
#define RULE_AFTER (1u << 31)
#define RULE_COUNT (RULE_NTH | RULE_EVERY | RULE_TIMES | RULE_AFTER)

enum rule_value { RULE_BARE, RULE_VALUE, RULE_EITHER };

/**
 * struct rule_name - a rule's first word
 * @kind: the model's
 * @conds: conditions that mean something to it
 * @once: fires once unless "times" or "every" says otherwise
 * @value: whether one stands behind it
 */
struct rule_name {
	const char *name;
	unsigned kind, conds;
	bool once;
	enum rule_value value;
};

struct rule_cond {
	const char *name;
	unsigned bit;
	bool bare; /* has no value */
};

/**
 * struct rule - what every rule has; a model's begin with it
 * @seen: how often its other conditions were met
 * @fired: how often it was asked and said yes
 */
struct rule {
	struct list link;
	const struct rule_name *what;
	uint64_t nth, every, times, after;
	uint64_t seen, fired;
};

/**
 * struct rule_script - where parsing stands
 * @text: all of it
 * @at: the next character
 * @word: the word just taken, @value what stood behind its '=', or NULL
 * @column: of the word, from 1
 */
struct rule_script {
	const char *text, *at;
	char word[32], text_value[48];
	const char *value;
	unsigned rule, column;
};

/**
 * struct rule_grammar - what a model understands
 * @names: ended by one without a name, as @conds
 * @size: of its rules, which are zeroed
 * @name: a rule begins; s->value is what stands behind its name, or NULL
 * @cond: a condition of the grammar's own
 */
struct rule_grammar {
	const struct rule_name *names;
	const struct rule_cond *conds;
	size_t size;
	int (*name)(struct rule_script *s, struct rule *f, struct riser_err *err);
	int (*cond)(struct rule_script *s, struct rule *f, unsigned bit, struct riser_err *err);
};

/* Add @text's rules to @rules. Return: 0, or a negative errno with nothing added. */
int rules_parse(const struct rule_grammar *g, const char *text, struct list *rules,
		struct riser_err *err);
void rules_clear(struct list *rules);

/* The other conditions are met: does the count say "now"? */
bool rule_fires(struct rule *f);

/* -EINVAL, with a sentence that names the rule and the column. @near may be NULL. */
int rule_err(const struct rule_script *s, struct riser_err *err, const char *what,
	     const char *near);
/* Microseconds, or with a unit: 10us, 10ms, 2s. Return: 0 or -EINVAL. */
int rule_delay(const char *text, uint64_t *ns);
/* Take what stands before one of @stop. Return: whether it fits. */
bool rule_take(const char **at, const char *stop, char *out, size_t size);

#endif
