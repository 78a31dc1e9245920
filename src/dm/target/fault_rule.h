/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The fault target's rules: fault_rule.c has their grammar and says which fire. */
#ifndef DM_TARGET_FAULT_RULE_H
#define DM_TARGET_FAULT_RULE_H

#include "base/list.h"
#include <riser/blk.h>

#define FAULT_POINT_LEN 32

enum fault_action { FAULT_ERROR, FAULT_DROP, FAULT_DELAY, FAULT_BREAK };

struct fault_rule {
	struct list link;
	unsigned id; /* the target's */
	char *text;
	enum fault_action action;
	enum riser_blk_status status; /* ERROR */
	uint64_t delay;               /* DELAY: nanoseconds */
	char point[FAULT_POINT_LEN];  /* BREAK */

	uint32_t ops;         /* conditions */
	uint64_t first, last; /* sectors */
	uint64_t nth, every, after, times;
	uint32_t prob;
	uint64_t random;
	uint64_t seen, fired;
};

/* What the rules say about an I/O. */
struct fault_fate {
	char point[FAULT_POINT_LEN]; /* a breakpoint holds it, or "" */
	uint64_t delay;
	uint8_t lost; /* flags that it loses */
	bool ends;    /* here, with @status, and does not go on */
	enum riser_blk_status status;
};

int fault_rule_new(const char *text, struct fault_rule **out, struct riser_err *err);
/* It may be in a list. */
void fault_rule_free(struct fault_rule *rule);
/* Ask the rules of a list, which count it, about an I/O. */
struct fault_fate fault_rules_ask(struct list *rules, const struct riser_blk_io *io);
/* An error that says what was probably meant. */
int fault_unknown(const char *what, const char *word, const char *const *words,
		  struct riser_err *err);

#endif
