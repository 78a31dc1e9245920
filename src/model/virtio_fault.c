/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a virtio device does wrong by script (model/rule.h). Most rules are asked when a chain is
 * used; all that fire have their say, in order.
 */
#include "base/parse.h"
#include "model/rule.h"
#include "model/virtio.h"
#include <errno.h>
#include <string.h>

#define COND_QUEUE (1u << 0)
#define QUEUE      (COND_QUEUE | RULE_COUNT)

static const struct rule_name names[] = {
	{ "lost", VFAULT_LOST, QUEUE, true, RULE_BARE },
	{ "delay", VFAULT_DELAY, QUEUE, false, RULE_VALUE },
	{ "used-id", VFAULT_ID, QUEUE, true, RULE_EITHER },
	{ "used-len", VFAULT_LEN, QUEUE, true, RULE_EITHER },
	{ "used-twice", VFAULT_TWICE, QUEUE, true, RULE_BARE },
	{ "used-ahead", VFAULT_AHEAD, QUEUE, true, RULE_EITHER },
	{ "needs-reset", VFAULT_NEEDS_RESET, QUEUE, true, RULE_BARE },
	{ "gone", VFAULT_GONE, QUEUE, true, RULE_BARE },
	{ "no-interrupt", VFAULT_NO_INTERRUPT, QUEUE, false, RULE_BARE },
	{ "num-buffers", VFAULT_NUM_BUFFERS, QUEUE, true, RULE_VALUE },
	{ "header", VFAULT_HEADER, QUEUE, true, RULE_BARE },
	{ "ack", VFAULT_ACK, RULE_COUNT, true, RULE_VALUE },
	{ "status-stuck", VFAULT_STUCK, RULE_COUNT, false, RULE_BARE },
	{ "features-refused", VFAULT_FEATURES, RULE_COUNT, false, RULE_BARE },
	{ "generation", VFAULT_GENERATION, RULE_COUNT, false, RULE_BARE },
	{ 0 },
};

static const struct rule_cond conds[] = { { "queue", COND_QUEUE, false }, { 0 } };

/**
 * struct fault - a rule
 * @value: of its name; @given: there was one
 * @kind: of queues, 0 for any
 * @queue: number of the queue, or -1
 */
struct fault {
	struct rule rule;
	uint64_t value;
	bool given;
	enum vdev_queue_kind kind;
	int64_t queue;
};

static int parse_name(struct rule_script *s, struct rule *rule, struct riser_err *err)
{
	struct fault *f = container_of(rule, struct fault, rule);

	f->queue = -1;
	f->given = s->value;
	if (!s->value)
		return 0;
	if (rule->what->kind == VFAULT_DELAY)
		return rule_delay(s->value, &f->value)
			       ? rule_err(s, err, "'delay' wants a time such as 500us or 10ms",
					  NULL)
			       : 0;
	return parse_u64(s->value, &f->value) || f->value > UINT32_MAX
		       ? rule_err(s, err, "a rule that wants a number", NULL)
		       : 0;
}

static int parse_cond(struct rule_script *s, struct rule *rule, unsigned bit, struct riser_err *err)
{
	struct fault *f = container_of(rule, struct fault, rule);
	uint64_t n;

	(void)bit;
	if (!strcmp(s->value, "rx"))
		f->kind = VDEV_RX;
	else if (!strcmp(s->value, "tx"))
		f->kind = VDEV_TX;
	else if (!strcmp(s->value, "ctrl"))
		f->kind = VDEV_CTRL;
	else if (!parse_u64(s->value, &n) && n <= UINT16_MAX)
		f->queue = (int64_t)n;
	else
		return rule_err(s, err, "'queue' wants rx, tx, ctrl or a number", NULL);
	return 0;
}

static const struct rule_grammar grammar = {
	.names = names,
	.conds = conds,
	.size = sizeof(struct fault),
	.name = parse_name,
	.cond = parse_cond,
};

int vdev_fault_parse(struct vdev *v, const char *rules, struct riser_err *err)
{
	return rules_parse(&grammar, rules, &v->faults, err);
}

void vdev_fault_clear(struct vdev *v)
{
	rules_clear(&v->faults);
}

static bool meets(struct vdev *v, const struct fault *f, unsigned queue)
{
	if (f->queue >= 0 && f->queue != (int64_t)queue)
		return false;
	return !f->kind || f->kind == v->type->queue_kind(v, queue);
}

bool vdev_fault(struct vdev *v, enum vdev_fault_kind kind, unsigned queue, uint64_t *value)
{
	list_for_each (f, &v->faults, struct fault, rule.link)
		if (f->rule.what->kind == kind && meets(v, f, queue) && rule_fires(&f->rule)) {
			if (f->given)
				*value = f->value;
			return true;
		}
	return false;
}

bool vdev_fault_used(struct vdev *v, unsigned queue, struct vdev_used *u)
{
	struct vdev_queue *q = &v->queues[queue];

	list_for_each (f, &v->faults, struct fault, rule.link) {
		if (f->rule.what->kind > VFAULT_GONE || !meets(v, f, queue) ||
		    !rule_fires(&f->rule))
			continue;
		switch (f->rule.what->kind) {
		case VFAULT_LOST:
			return false;
		case VFAULT_DELAY:
			q->paused = max_of(q->paused, v->now) + f->value;
			break;
		case VFAULT_ID:
			u->id = f->given ? (uint16_t)f->value : (uint16_t)q->size;
			break;
		case VFAULT_LEN:
			u->len = f->given ? (uint32_t)f->value : UINT32_MAX;
			break;
		case VFAULT_TWICE:
			u->more = 1;
			break;
		case VFAULT_AHEAD:
			u->more = f->given ? (unsigned)f->value & UINT16_MAX : q->size;
			break;
		case VFAULT_NEEDS_RESET:
			vdev_needs_reset(v);
			break;
		default:
			v->running = false;
			if (v->host->gone)
				v->host->gone(v->host);
			return false;
		}
	}
	return true;
}
