/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Faults by script (model/rule.h). Rules are asked in order about each command that is fetched. One
 * that fires takes the command (only "delay" and "resize" let the rules behind them have their say
 * too).
 */
#include "base/err.h"
#include "base/parse.h"
#include "model/nvme.h"
#include "model/rule.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANY UINT32_MAX

enum model_fault_kind {
	FAULT_LOST,
	FAULT_STATUS,
	FAULT_ABORT_REFUSED,
	FAULT_ABORT_LIES,
	FAULT_STUCK,
	FAULT_CFS,
	FAULT_GONE,
	FAULT_DELAY,
	FAULT_RESIZE,
};

/* Conditions, as bits of what a rule may have. */
#define COND_OPCODE  (1u << 0)
#define COND_QUEUE   (1u << 1)
#define COND_NSID    (1u << 2)
#define COND_LBA     (1u << 3)
#define COND_PHASE   (1u << 4)
#define COND_DNR     (1u << 5)

#define COND_COMMAND (COND_OPCODE | COND_QUEUE | COND_NSID | COND_LBA | RULE_COUNT)

static const struct rule_name fault_names[] = {
	{ "lost", FAULT_LOST, COND_COMMAND, true, RULE_BARE },
	{ "status", FAULT_STATUS, COND_COMMAND | COND_DNR, false, RULE_VALUE },
	{ "abort-refused", FAULT_ABORT_REFUSED, RULE_COUNT, false, RULE_BARE },
	{ "abort-lies", FAULT_ABORT_LIES, RULE_COUNT, false, RULE_BARE },
	{ "stuck-rdy", FAULT_STUCK, RULE_COUNT | COND_PHASE, true, RULE_BARE },
	{ "cfs", FAULT_CFS, COND_COMMAND, true, RULE_BARE },
	{ "gone", FAULT_GONE, COND_COMMAND, true, RULE_BARE },
	{ "delay", FAULT_DELAY, COND_COMMAND, false, RULE_VALUE },
	{ "resize", FAULT_RESIZE, COND_COMMAND, true, RULE_VALUE },
	{ 0 },
};

static const struct rule_cond fault_conds[] = {
	{ "opcode", COND_OPCODE, false },
	{ "queue", COND_QUEUE, false },
	{ "nsid", COND_NSID, false },
	{ "lba", COND_LBA, false },
	{ "phase", COND_PHASE, false },
	{ "dnr", COND_DNR, true },
	{ 0 },
};

static const struct model_opcode {
	const char *name;
	bool admin;
	uint8_t opcode;
} model_opcodes[] = {
	{ "read", false, RISER_NVME_IO_READ },
	{ "write", false, RISER_NVME_IO_WRITE },
	{ "flush", false, RISER_NVME_IO_FLUSH },
	{ "compare", false, RISER_NVME_IO_COMPARE },
	{ "write-zeroes", false, RISER_NVME_IO_WRITE_ZEROES },
	{ "dsm", false, RISER_NVME_IO_DSM },
	{ "verify", false, RISER_NVME_IO_VERIFY },
	{ "delete-sq", true, RISER_NVME_ADM_DELETE_SQ },
	{ "create-sq", true, RISER_NVME_ADM_CREATE_SQ },
	{ "get-log", true, RISER_NVME_ADM_GET_LOG },
	{ "delete-cq", true, RISER_NVME_ADM_DELETE_CQ },
	{ "create-cq", true, RISER_NVME_ADM_CREATE_CQ },
	{ "identify", true, RISER_NVME_ADM_IDENTIFY },
	{ "abort", true, RISER_NVME_ADM_ABORT },
	{ "set-features", true, RISER_NVME_ADM_SET_FEATURES },
	{ "get-features", true, RISER_NVME_ADM_GET_FEATURES },
	{ "aer", true, RISER_NVME_ADM_AER },
	{ "format", true, RISER_NVME_ADM_FORMAT },
};

enum model_fault_queue { QUEUE_ANY, QUEUE_ADMIN, QUEUE_IO, QUEUE_ONE };

/**
 * struct model_fault - a rule
 * @value: of status (with DNR), nanoseconds of delay, bytes of resize
 * @opcode: or ANY
 * @lba: first and last
 * @enable: for stuck-rdy, with @has_phase: which transition
 */
struct model_fault {
	struct rule rule;
	uint64_t value;
	uint32_t opcode;
	enum model_fault_queue queue;
	uint32_t qid, nsid;
	bool has_lba, has_phase, enable;
	uint64_t lba[2];
};

static bool model_fault_has_lba(const struct model_cmd *cmd, bool admin)
{
	switch (cmd->sqe.opcode) {
	case RISER_NVME_IO_READ:
	case RISER_NVME_IO_WRITE:
	case RISER_NVME_IO_COMPARE:
	case RISER_NVME_IO_WRITE_ZEROES:
	case RISER_NVME_IO_VERIFY:
		return !admin;
	default:
		return false;
	}
}

static bool model_fault_meets(const struct model_nvme *m, const struct model_fault *f,
			      const struct model_cmd *cmd)
{
	unsigned qid = model_sq_id(m, cmd->sq);
	uint64_t first = le32(cmd->sqe.cdw10) | (uint64_t)le32(cmd->sqe.cdw11) << 32;
	uint64_t last = first + (le32(cmd->sqe.cdw12) & 0xffff);

	if (f->opcode != ANY && f->opcode != cmd->sqe.opcode)
		return false;
	/* An event request is no command that anybody waits for: it must be meant. */
	if (f->opcode == ANY && !qid && cmd->sqe.opcode == RISER_NVME_ADM_AER)
		return false;
	if ((f->queue == QUEUE_ADMIN && qid) || (f->queue == QUEUE_IO && !qid) ||
	    (f->queue == QUEUE_ONE && qid != f->qid))
		return false;
	if (f->nsid != ANY && f->nsid != le32(cmd->sqe.nsid))
		return false;
	return !f->has_lba ||
	       (model_fault_has_lba(cmd, !qid) && first <= f->lba[1] && last >= f->lba[0]);
}

/* Rules of one kind that is not about fetched commands. */
static struct model_fault *model_fault_ask(struct model_nvme *m, enum model_fault_kind kind)
{
	list_for_each (f, &m->faults, struct model_fault, rule.link)
		if (f->rule.what->kind == kind && rule_fires(&f->rule))
			return f;
	return NULL;
}

static bool model_fault_is_commands(const struct model_fault *f)
{
	return f->rule.what->conds & COND_OPCODE;
}

/* What lies behind the end is not lost: a larger size brings it back. */
static void model_fault_resize(struct model_nvme *m, const struct model_cmd *cmd, uint64_t bytes)
{
	struct model_ns *ns = model_ns_find(m, le32(cmd->sqe.nsid));

	if (!ns)
		return;
	ns->blocks = max_of(min_of(bytes, ns->bytes) >> ns->shift, 1ull);
	model_ns_changed(ns);
}

void model_fault_start(struct model_nvme *m, struct model_cmd *cmd)
{
	bool aer = cmd->sq == m->sqs && cmd->sqe.opcode == RISER_NVME_ADM_AER;
	uint64_t delay = aer ? 0 : m->cfg.delay_ns;

	list_for_each (f, &m->faults, struct model_fault, rule.link) {
		if (!model_fault_is_commands(f) || !model_fault_meets(m, f, cmd) ||
		    !rule_fires(&f->rule))
			continue;
		switch (f->rule.what->kind) {
		case FAULT_DELAY:
			delay += f->value;
			continue;
		case FAULT_RESIZE:
			model_fault_resize(m, cmd, f->value);
			continue;
		case FAULT_STATUS:
			if (delay)
				model_cmd_delay(m, cmd, clock_now(m->r) + delay,
						(uint32_t)f->value);
			else
				model_cmd_finish(m, cmd, (uint32_t)f->value);
			return;
		case FAULT_CFS:
			model_nvme_fatal(m);
			break;
		case FAULT_GONE:
			model_nvme_vanish(m);
			break;
		default:
			break;
		}
		model_cmd_hold(cmd, MODEL_CMD_LOST);
		return;
	}
	if (delay)
		model_cmd_delay(m, cmd, clock_now(m->r) + delay, 0);
	else
		model_cmd_start(m, cmd);
}

bool model_fault_stuck(struct model_nvme *m, bool enable)
{
	list_for_each (f, &m->faults, struct model_fault, rule.link)
		if (f->rule.what->kind == FAULT_STUCK && (!f->has_phase || f->enable == enable) &&
		    rule_fires(&f->rule))
			return true;
	return false;
}

bool model_fault_abort_refused(struct model_nvme *m)
{
	return model_fault_ask(m, FAULT_ABORT_REFUSED);
}

bool model_fault_abort_lies(struct model_nvme *m)
{
	return model_fault_ask(m, FAULT_ABORT_LIES);
}

static int model_parse_opcode(struct rule_script *s, struct model_fault *f, struct riser_err *err)
{
	const char *names[array_len(model_opcodes) + 1] = { NULL };
	uint64_t n;

	for (size_t i = 0; i < array_len(model_opcodes); i++) {
		const struct model_opcode *o = &model_opcodes[i];

		names[i] = o->name;
		if (strcmp(o->name, s->value))
			continue;
		f->opcode = o->opcode;
		if (f->queue == QUEUE_ANY)
			f->queue = o->admin ? QUEUE_ADMIN : QUEUE_IO;
		return 0;
	}
	if (parse_u64(s->value, &n) || n > 0xff)
		return rule_err(s, err, "an unknown opcode", parse_nearest(s->value, names));
	f->opcode = (uint32_t)n;
	return 0;
}

static int model_parse_queue(struct rule_script *s, struct model_fault *f, struct riser_err *err)
{
	uint64_t n;

	if (!strcmp(s->value, "admin")) {
		f->queue = QUEUE_ADMIN;
	} else if (!strcmp(s->value, "io")) {
		f->queue = QUEUE_IO;
	} else if (!parse_u64(s->value, &n) && n <= 0xffff) {
		f->queue = QUEUE_ONE;
		f->qid = (uint32_t)n;
	} else {
		return rule_err(s, err, "'queue' wants admin, io or a number", NULL);
	}
	return 0;
}

/* FIRST-LAST, or one block. */
static int model_parse_lba(struct rule_script *s, struct model_fault *f, struct riser_err *err)
{
	const char *at = s->value;
	char number[24];

	f->has_lba = true;
	if (!rule_take(&at, "-", number, sizeof(number)) || parse_u64(number, &f->lba[0]))
		goto bad;
	f->lba[1] = f->lba[0];
	if (*at && parse_u64(at + 1, &f->lba[1]))
		goto bad;
	if (f->lba[0] <= f->lba[1])
		return 0;
bad:
	return rule_err(s, err, "'lba' wants FIRST-LAST", NULL);
}

static int model_parse_phase(struct rule_script *s, struct model_fault *f, struct riser_err *err)
{
	f->has_phase = true;
	f->enable = !strcmp(s->value, "enable");
	if (f->enable || !strcmp(s->value, "disable"))
		return 0;
	return rule_err(s, err, "'phase' wants enable or disable", NULL);
}

static int model_parse_nsid(struct rule_script *s, struct model_fault *f, struct riser_err *err)
{
	uint64_t n;

	if (parse_u64(s->value, &n) || n >= ANY)
		return rule_err(s, err, "'nsid' wants a namespace's number", NULL);
	f->nsid = (uint32_t)n;
	return 0;
}

static int model_parse_cond(struct rule_script *s, struct rule *rule, unsigned bit,
			    struct riser_err *err)
{
	struct model_fault *f = container_of(rule, struct model_fault, rule);

	switch (bit) {
	case COND_DNR:
		f->value |= RISER_NVME_ST_DNR;
		return 0;
	case COND_OPCODE:
		return model_parse_opcode(s, f, err);
	case COND_QUEUE:
		return model_parse_queue(s, f, err);
	case COND_NSID:
		return model_parse_nsid(s, f, err);
	case COND_LBA:
		return model_parse_lba(s, f, err);
	default:
		return model_parse_phase(s, f, err);
	}
}

static int model_parse_name(struct rule_script *s, struct rule *rule, struct riser_err *err)
{
	struct model_fault *f = container_of(rule, struct model_fault, rule);

	f->opcode = f->nsid = ANY;
	if (rule->what->kind == FAULT_STATUS &&
	    (parse_u64(s->value, &f->value) || !f->value || f->value > RISER_NVME_ST_MASK))
		return rule_err(s, err, "'status' wants 0xSCTSC such as 0x281", NULL);
	if (rule->what->kind == FAULT_DELAY && rule_delay(s->value, &f->value))
		return rule_err(s, err, "'delay' wants a time such as 500us or 10ms", NULL);
	if (rule->what->kind == FAULT_RESIZE && parse_size(s->value, &f->value))
		return rule_err(s, err, "'resize' wants a size such as 32M", NULL);
	return 0;
}

static const struct rule_grammar model_grammar = {
	.names = fault_names,
	.conds = fault_conds,
	.size = sizeof(struct model_fault),
	.name = model_parse_name,
	.cond = model_parse_cond,
};

int model_fault_parse(struct model_nvme *m, const char *rules, struct riser_err *err)
{
	int rc = rules_parse(&model_grammar, rules, &m->faults, err);

	m->slow = m->cfg.delay_ns || !list_empty(&m->faults);
	return rc;
}

void model_fault_clear(struct model_nvme *m)
{
	rules_clear(&m->faults);
	m->slow = m->cfg.delay_ns;
}
