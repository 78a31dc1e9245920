/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * fault: one device from a sector on, where things go wrong by rules: I/O fails, is late, is
 * swallowed, or stops at a breakpoint until a message lets it go.
 *
 * fault_rule.c knows what the rules say. An I/O that need not wait goes on or ends in map; the
 * others are in a list, in the order in which they came.
 */
#include "dm/target/fault_rule.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>
#include <string.h>

#define RULES 1024 /* in a table line */

struct held {
	struct list link;
	struct riser_blk_io *io;
	uint64_t due; /* where it is at no breakpoint */
	struct fault_fate fate;
};

struct fault {
	struct riser_target_leg leg;
	struct list rules, held;
	unsigned ids;
	bool hurry; /* about to be suspended: nobody is delayed */
	uint64_t ios, errors, drops, delays;
};

static int add_rule(struct fault *f, const char *text, struct riser_err *err)
{
	struct fault_rule *rule;
	int rc = fault_rule_new(text, &rule, err);

	if (rc)
		return rc;
	rule->id = ++f->ids;
	list_add_tail(&f->rules, &rule->link);
	return 0;
}

/* The caller gets its flags back when the I/O ends. */
static void lose(struct riser_blk_io *io, uint8_t lost)
{
	*riser_target_data(io) = lost;
	io->flags &= (uint8_t)~lost;
}

static bool fault_end_io(struct riser_target *t, struct riser_blk_io *io, uint64_t data)
{
	(void)t;
	io->flags |= (uint8_t)data;
	return false;
}

static enum riser_target_verdict hold(struct riser_target *t, struct riser_blk_io *io,
				      const struct fault_fate *fate)
{
	struct held *h = calloc(1, sizeof(*h));
	struct fault *f = t->priv;

	if (!h)
		return riser_target_done(io, RISER_BLK_RESOURCE);
	h->io = io;
	h->fate = *fate;
	h->due = riser_now(t->r) + fate->delay;
	list_add_tail(&f->held, &h->link);
	if (*fate->point)
		riser_target_event(t);
	return riser_target_keep(t, io);
}

static enum riser_target_verdict fault_map(struct riser_target *t, struct riser_blk_io *io)
{
	struct fault *f = t->priv;
	struct fault_fate fate = fault_rules_ask(&f->rules, io);

	f->ios++;
	f->errors += fate.status != RISER_BLK_OK;
	f->drops += (fate.ends && !fate.status) || fate.lost;
	f->delays += fate.delay > 0;
	if (*fate.point || (fate.delay && !f->hurry))
		return hold(t, io, &fate);
	if (fate.ends)
		return riser_target_done(io, fate.status);
	lose(io, fate.lost);
	return riser_target_remap(t, io, f->leg.dev, f->leg.start + io->sector);
}

static void let_go(struct riser_target *t, struct held *h)
{
	struct fault *f = t->priv;
	struct riser_blk_io *io = h->io;
	struct fault_fate fate = h->fate;

	list_del(&h->link);
	free(h);
	if (fate.ends) {
		riser_target_end(io, fate.status);
		return;
	}
	lose(io, fate.lost);
	riser_target_go(t, io, f->leg.dev, f->leg.start + io->sector);
}

static int fault_poll(struct riser_target *t)
{
	struct fault *f = t->priv;
	uint64_t now = riser_now(t->r);
	int n = 0;

	list_for_each_safe (h, &f->held, struct held, link) {
		if (*h->fate.point || (h->due > now && !f->hurry))
			continue;
		let_go(t, h);
		n++;
	}
	return n;
}

static uint64_t fault_next_deadline(struct riser_target *t)
{
	struct fault *f = t->priv;
	uint64_t next = TIME_NEVER;

	list_for_each (h, &f->held, struct held, link)
		if (!*h->fate.point)
			next = f->hurry ? 0 : min_of(next, h->due);
	return next;
}

/* Who is at a breakpoint stays there: the suspend fails in time, and says where I/O is. */
static void fault_presuspend(struct riser_target *t)
{
	((struct fault *)t->priv)->hurry = true;
}

static void fault_resume(struct riser_target *t)
{
	((struct fault *)t->priv)->hurry = false;
}

/* Messages and status. */

static unsigned release(struct riser_target *t, const char *point, uint64_t most)
{
	struct fault *f = t->priv;
	unsigned n = 0;

	list_for_each_safe (h, &f->held, struct held, link) {
		if (n == most)
			break;
		if (!*h->fate.point || (point && strcmp(h->fate.point, point)))
			continue;
		*h->fate.point = 0;
		h->due = riser_now(t->r) + h->fate.delay;
		if (!h->fate.delay)
			let_go(t, h);
		n++;
	}
	return n;
}

static int say_release(struct riser_target *t, struct riser_args *a, struct riser_text *out,
		       struct riser_err *err)
{
	const char *point = riser_args_word(a, "a breakpoint's name", err);
	uint64_t most = UINT64_MAX;
	int rc = point ? 0 : -EINVAL;

	if (!rc && a->at < a->argc)
		rc = riser_args_u64(a, "how many", 1, UINT64_MAX, &most, err);
	if (!rc)
		rc = riser_args_end(a, err);
	if (!rc)
		riser_text_add(out, "%u", release(t, point, most));
	return rc;
}

static int say_add(struct fault *f, struct riser_args *a, struct riser_text *out,
		   struct riser_err *err)
{
	const char *text = riser_args_word(a, "a rule", err);
	int rc = text ? riser_args_end(a, err) : -EINVAL;

	if (!rc)
		rc = add_rule(f, text, err);
	if (!rc)
		riser_text_add(out, "%u", f->ids);
	return rc;
}

static int say_remove(struct fault *f, struct riser_args *a, struct riser_err *err)
{
	uint64_t id;
	int rc = riser_args_u64(a, "a rule's number", 1, UINT32_MAX, &id, err);

	if (!rc)
		rc = riser_args_end(a, err);
	if (rc)
		return rc;
	list_for_each (rule, &f->rules, struct fault_rule, link) {
		if (rule->id != id)
			continue;
		fault_rule_free(rule);
		return 0;
	}
	return riser_err_set(err, -ENOENT, "there is no rule %u: 'list' shows them", (unsigned)id);
}

static void list_rules(const struct fault *f, struct riser_text *out)
{
	list_for_each (rule, &f->rules, struct fault_rule, link)
		riser_text_add(out, "%s%u %llu %llu %s", out->len ? "\n" : "", rule->id,
			       (unsigned long long)rule->seen, (unsigned long long)rule->fired,
			       rule->text);
}

static int fault_message(struct riser_target *t, unsigned argc, char **argv, struct riser_text *out,
			 struct riser_err *err)
{
	static const char *const verbs[] = { "add", "remove", "list", "clear", "release", NULL };
	struct riser_args a = { .argc = argc, .argv = argv, .at = 1 };
	struct fault *f = t->priv;
	int rc;

	if (!strcmp(argv[0], "add"))
		return say_add(f, &a, out, err);
	if (!strcmp(argv[0], "remove"))
		return say_remove(f, &a, err);
	if (!strcmp(argv[0], "release"))
		return say_release(t, &a, out, err);
	rc = riser_args_end(&a, err);
	if (!strcmp(argv[0], "list")) {
		if (!rc)
			list_rules(f, out);
		return rc;
	}
	if (strcmp(argv[0], "clear"))
		return fault_unknown("message", argv[0], verbs, err);
	if (rc)
		return rc;
	list_for_each_safe (rule, &f->rules, struct fault_rule, link)
		fault_rule_free(rule);
	release(t, NULL, UINT64_MAX);
	return 0;
}

/* Each breakpoint once, with how many are there. */
static void list_held(const struct fault *f, struct riser_text *out)
{
	list_for_each (h, &f->held, struct held, link) {
		unsigned before = 0, n = 0;
		bool passed = false;

		list_for_each (o, &f->held, struct held, link) {
			passed |= o == h;
			if (strcmp(o->fate.point, h->fate.point))
				continue;
			n++;
			before += !passed;
		}
		if (*h->fate.point && !before)
			riser_text_add(out, " %s:%u", h->fate.point, n);
	}
}

static void fault_status(struct riser_target *t, enum riser_status_type type,
			 struct riser_text *out)
{
	const struct fault *f = t->priv;
	unsigned n = 0, held = 0;

	list_for_each (rule, &f->rules, struct fault_rule, link)
		n++;
	list_for_each (h, &f->held, struct held, link)
		held++;
	if (type == RISER_STATUS_INFO) {
		riser_text_add(out, "%llu %llu %llu %llu %u", (unsigned long long)f->ios,
			       (unsigned long long)f->errors, (unsigned long long)f->drops,
			       (unsigned long long)f->delays, held);
		list_held(f, out);
		return;
	}
	riser_text_add(out, "%s %llu", riser_target_dev_uri(t, f->leg.dev),
		       (unsigned long long)f->leg.start);
	if (n)
		riser_text_add(out, " %u", n);
	list_for_each (rule, &f->rules, struct fault_rule, link)
		riser_text_add(out, " %s", rule->text);
}

static void fault_shape(const struct riser_target *t, struct riser_target_shape *s)
{
	s->nlegs = 1;
	s->legs = &((const struct fault *)t->priv)->leg;
}

static int fault_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct fault *f = calloc(1, sizeof(*f));
	uint64_t n = 0;
	int rc;

	if (!f)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = f;
	list_init(&f->rules);
	list_init(&f->held);
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	rc = riser_args_range(a, t, t->len, &f->leg.dev, &f->leg.start, err);
	if (!rc && a->at < a->argc)
		rc = riser_args_u64(a, "the number of rules", 0, RULES, &n, err);
	while (!rc && n--) {
		const char *text = riser_args_word(a, "a rule", err);

		rc = text ? add_rule(f, text, err) : -EINVAL;
	}
	return rc;
}

static void fault_dtr(struct riser_target *t)
{
	struct fault *f = t->priv;

	if (!f)
		return;
	list_for_each_safe (rule, &f->rules, struct fault_rule, link)
		fault_rule_free(rule);
	free(f);
}

/* Flushes are to come here, whatever is below. */
static void fault_limits(struct riser_target *t, struct riser_blk_info *info)
{
	(void)t;
	info->write_cache = true;
}

const struct riser_target_ops target_fault = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_fault),
	.name = "fault",
	.version = { 1, 0, 0 },
	.syntax = "<dev> <offset> [<#rules> <rule>...]",
	.summary = "one device where things go wrong by rules, with breakpoints",
	.ctr = fault_ctr,
	.dtr = fault_dtr,
	.map = fault_map,
	.end_io = fault_end_io,
	.shape = fault_shape,
	.status = fault_status,
	.message = fault_message,
	.presuspend = fault_presuspend,
	.resume = fault_resume,
	.poll = fault_poll,
	.next_deadline = fault_next_deadline,
	.limits = fault_limits,
};
