/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Faults by script: RULE;RULE;… with RULE = NAME[=VALUE][,CONDITION[=VALUE]]…
 *
 * Rules are asked in order about each command that is fetched. One that fires takes the command
 * (only "delay" and "resize" let the rules behind them have their say too). The man page
 * riser-access-model(7) holds the grammar, which is only ever extended.
 */
#include "base/err.h"
#include "base/parse.h"
#include "model/nvme.h"
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
#define COND_NTH     (1u << 4)
#define COND_EVERY   (1u << 5)
#define COND_TIMES   (1u << 6)
#define COND_AFTER   (1u << 7)
#define COND_PHASE   (1u << 8)
#define COND_DNR     (1u << 9)

#define COND_COUNT   (COND_NTH | COND_EVERY | COND_TIMES | COND_AFTER)
#define COND_COMMAND (COND_OPCODE | COND_QUEUE | COND_NSID | COND_LBA | COND_COUNT)

/**
 * struct model_fault_name - a rule's first word
 * @conds: conditions that mean something to it
 * @once: fires once unless "times" or "every" says otherwise
 * @value: wants a value
 */
static const struct model_fault_name {
	const char *name;
	enum model_fault_kind kind;
	unsigned conds;
	bool once, value;
} model_fault_names[] = {
	{ "lost", FAULT_LOST, COND_COMMAND, true, false },
	{ "status", FAULT_STATUS, COND_COMMAND | COND_DNR, false, true },
	{ "abort-refused", FAULT_ABORT_REFUSED, COND_COUNT, false, false },
	{ "abort-lies", FAULT_ABORT_LIES, COND_COUNT, false, false },
	{ "stuck-rdy", FAULT_STUCK, COND_COUNT | COND_PHASE, true, false },
	{ "cfs", FAULT_CFS, COND_COMMAND, true, false },
	{ "gone", FAULT_GONE, COND_COMMAND, true, false },
	{ "delay", FAULT_DELAY, COND_COMMAND, false, true },
	{ "resize", FAULT_RESIZE, COND_COMMAND, true, true },
};

static const struct model_fault_cond {
	const char *name;
	unsigned bit;
} model_fault_conds[] = {
	{ "opcode", COND_OPCODE }, { "queue", COND_QUEUE }, { "nsid", COND_NSID },
	{ "lba", COND_LBA },       { "nth", COND_NTH },     { "every", COND_EVERY },
	{ "times", COND_TIMES },   { "after", COND_AFTER }, { "phase", COND_PHASE },
	{ "dnr", COND_DNR },
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
 * @what: its name
 * @value: of status (with DNR), nanoseconds of delay, bytes of resize
 * @opcode: or ANY
 * @lba: first and last
 * @enable: for stuck-rdy, with @has_phase: which transition
 * @seen: commands that met the conditions
 * @fired: how often
 */
struct model_fault {
	struct list link;
	const struct model_fault_name *what;
	uint64_t value;
	uint32_t opcode;
	enum model_fault_queue queue;
	uint32_t qid, nsid;
	bool has_lba, has_phase, enable;
	uint64_t lba[2];
	uint64_t nth, every, times, after;
	uint64_t seen, fired;
};

/* Conditions are met: does its count say "now"? */
static bool model_fault_fires(struct model_fault *f)
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
	list_for_each (f, &m->faults, struct model_fault, link)
		if (f->what->kind == kind && model_fault_fires(f))
			return f;
	return NULL;
}

static bool model_fault_is_commands(const struct model_fault *f)
{
	return f->what->conds & COND_OPCODE;
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

	list_for_each (f, &m->faults, struct model_fault, link) {
		if (!model_fault_is_commands(f) || !model_fault_meets(m, f, cmd) ||
		    !model_fault_fires(f))
			continue;
		switch (f->what->kind) {
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
	list_for_each (f, &m->faults, struct model_fault, link)
		if (f->what->kind == FAULT_STUCK && (!f->has_phase || f->enable == enable) &&
		    model_fault_fires(f))
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

/**
 * struct model_script - where parsing stands
 * @text: all of it
 * @at: the next character
 * @word: the word just taken, @value what stood behind its '=', or NULL
 * @column: of the word, from 1
 */
struct model_script {
	const char *text, *at;
	char word[32], text_value[48];
	const char *value;
	unsigned rule, column;
};

static int model_script_err(const struct model_script *s, struct riser_err *err, const char *what,
			    const char *near)
{
	return err_set(err, -EINVAL, "model: fault rule %u, column %u: %s%s%s%s", s->rule,
		       s->column, what, near ? "; did you mean '" : "", near ? near : "",
		       near ? "'?" : "");
}

static bool model_take(const char **at, const char *stop, char *out, size_t size)
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
static int model_script_word(struct model_script *s, struct riser_err *err)
{
	s->column = (unsigned)(s->at - s->text) + 1;
	s->value = NULL;
	if (!model_take(&s->at, "=,;", s->word, sizeof(s->word)))
		return model_script_err(s, err, "a word that is too long", NULL);
	if (*s->at == '=') {
		s->at++;
		if (!model_take(&s->at, ",;", s->text_value, sizeof(s->text_value)))
			return model_script_err(s, err, "a value that is too long", NULL);
		s->value = s->text_value;
	}
	return 0;
}

/* Microseconds, or with a unit: 10us, 10ms, 2s. */
static int model_parse_delay(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S } };
	uint64_t unit = NS_PER_US;
	char number[24];
	const char *at = text;

	if (!model_take(&at, "ums", number, sizeof(number)))
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

static int model_parse_opcode(struct model_script *s, struct model_fault *f, struct riser_err *err)
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
		return model_script_err(s, err, "an unknown opcode",
					parse_nearest(s->value, names));
	f->opcode = (uint32_t)n;
	return 0;
}

static int model_parse_queue(struct model_script *s, struct model_fault *f, struct riser_err *err)
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
		return model_script_err(s, err, "'queue' wants admin, io or a number", NULL);
	}
	return 0;
}

/* FIRST-LAST, or one block. */
static int model_parse_lba(struct model_script *s, struct model_fault *f, struct riser_err *err)
{
	const char *at = s->value;
	char number[24];

	f->has_lba = true;
	if (!model_take(&at, "-", number, sizeof(number)) || parse_u64(number, &f->lba[0]))
		goto bad;
	f->lba[1] = f->lba[0];
	if (*at && parse_u64(at + 1, &f->lba[1]))
		goto bad;
	if (f->lba[0] <= f->lba[1])
		return 0;
bad:
	return model_script_err(s, err, "'lba' wants FIRST-LAST", NULL);
}

static int model_parse_phase(struct model_script *s, struct model_fault *f, struct riser_err *err)
{
	f->has_phase = true;
	f->enable = !strcmp(s->value, "enable");
	if (f->enable || !strcmp(s->value, "disable"))
		return 0;
	return model_script_err(s, err, "'phase' wants enable or disable", NULL);
}

/* A count; 0 means something to "times" and "after" only. */
static int model_parse_count(struct model_script *s, struct model_fault *f, unsigned bit,
			     struct riser_err *err)
{
	uint64_t n;

	if (parse_u64(s->value, &n) || (!n && bit & (COND_NTH | COND_EVERY)))
		return model_script_err(s, err, "a condition that wants a number", NULL);
	if (bit == COND_NTH)
		f->nth = n;
	else if (bit == COND_EVERY)
		f->every = n;
	else if (bit == COND_AFTER)
		f->after = n;
	else
		f->times = n ? n : UINT64_MAX;
	return 0;
}

static int model_parse_nsid(struct model_script *s, struct model_fault *f, struct riser_err *err)
{
	uint64_t n;

	if (parse_u64(s->value, &n) || n >= ANY)
		return model_script_err(s, err, "'nsid' wants a namespace's number", NULL);
	f->nsid = (uint32_t)n;
	return 0;
}

static int model_parse_cond(struct model_script *s, struct model_fault *f, unsigned *given,
			    struct riser_err *err)
{
	const char *names[array_len(model_fault_conds) + 1] = { NULL };
	unsigned bit = 0, n = 0;

	for (size_t i = 0; i < array_len(model_fault_conds); i++) {
		if (!(model_fault_conds[i].bit & f->what->conds))
			continue;
		names[n++] = model_fault_conds[i].name;
		if (!strcmp(model_fault_conds[i].name, s->word))
			bit = model_fault_conds[i].bit;
	}
	if (!bit)
		return model_script_err(s, err, "a condition that this rule does not have",
					parse_nearest(s->word, names));
	if (*given & bit)
		return model_script_err(s, err, "a condition that comes twice", NULL);
	*given |= bit;
	if ((bit == COND_DNR) != !s->value)
		return model_script_err(
			s, err, s->value ? "'dnr' has no value" : "a condition without value",
			NULL);
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
	case COND_PHASE:
		return model_parse_phase(s, f, err);
	default:
		return model_parse_count(s, f, bit, err);
	}
}

static int model_parse_name(struct model_script *s, struct model_fault *f, struct riser_err *err)
{
	const char *names[array_len(model_fault_names) + 1] = { NULL };

	for (size_t i = 0; i < array_len(model_fault_names); i++) {
		names[i] = model_fault_names[i].name;
		if (!strcmp(names[i], s->word))
			f->what = &model_fault_names[i];
	}
	if (!f->what)
		return model_script_err(s, err, *s->word ? "an unknown rule" : "an empty rule",
					parse_nearest(s->word, names));
	if (f->what->value != !!s->value)
		return model_script_err(s, err,
					f->what->value ? "a rule that wants a value: NAME=VALUE"
						       : "a rule that has no value",
					NULL);
	if (f->what->kind == FAULT_STATUS &&
	    (parse_u64(s->value, &f->value) || !f->value || f->value > RISER_NVME_ST_MASK))
		return model_script_err(s, err, "'status' wants 0xSCTSC such as 0x281", NULL);
	if (f->what->kind == FAULT_DELAY && model_parse_delay(s->value, &f->value))
		return model_script_err(s, err, "'delay' wants a time such as 500us or 10ms", NULL);
	if (f->what->kind == FAULT_RESIZE && parse_size(s->value, &f->value))
		return model_script_err(s, err, "'resize' wants a size such as 32M", NULL);
	return 0;
}

static int model_parse_rule(struct model_script *s, struct model_fault *f, struct riser_err *err)
{
	unsigned given = 0;
	int rc;

	f->opcode = f->nsid = ANY;
	s->rule++;
	rc = model_script_word(s, err);
	if (!rc)
		rc = model_parse_name(s, f, err);
	while (!rc && *s->at == ',') {
		s->at++;
		rc = model_script_word(s, err);
		if (!rc)
			rc = model_parse_cond(s, f, &given, err);
	}
	if (!f->times)
		f->times = !rc && f->what->once && !f->every ? 1 : UINT64_MAX;
	return rc;
}

int model_fault_parse(struct model_nvme *m, const char *rules, struct riser_err *err)
{
	struct model_script s = { .text = rules, .at = rules };
	struct list added = LIST_INIT(added);
	int rc = 0;

	do {
		struct model_fault *f = calloc(1, sizeof(*f));

		if (!f) {
			rc = err_set(err, -ENOMEM, "no memory for a fault rule");
			break;
		}
		list_add_tail(&added, &f->link);
		rc = model_parse_rule(&s, f, err);
	} while (!rc && *s.at++ == ';' && *s.at);
	list_for_each_safe (f, &added, struct model_fault, link) {
		list_del(&f->link);
		if (rc)
			free(f);
		else
			list_add_tail(&m->faults, &f->link);
	}
	m->slow = m->cfg.delay_ns || !list_empty(&m->faults);
	return rc;
}

void model_fault_clear(struct model_nvme *m)
{
	list_for_each_safe (f, &m->faults, struct model_fault, link) {
		list_del(&f->link);
		free(f);
	}
	m->slow = m->cfg.delay_ns;
}
