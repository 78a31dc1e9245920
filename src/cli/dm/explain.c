/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dm/dm.h"
#include "cli/json.h"
#include <errno.h>
#include <inttypes.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>

struct args {
	uint64_t sectors;
};

static const char *const ops[] = { "read",         "write",   "flush", "discard",
				   "write-zeroes", "compare", NULL };
static const enum riser_blk_op op_of[] = { RISER_BLK_READ,         RISER_BLK_WRITE,
					   RISER_BLK_FLUSH,        RISER_BLK_DISCARD,
					   RISER_BLK_WRITE_ZEROES, RISER_BLK_COMPARE };

static void step_text(void *ctx, const struct riser_dm_step *s)
{
	(void)ctx;
	printf("%*s", (int)s->depth * 4, "");
	if (s->count)
		printf("%" PRIu64 " +%" PRIu64 " ", s->sector, s->count);
	printf("%s", s->target);
	if (s->uri && s->known && s->count)
		printf(" -> %s sector %" PRIu64, s->uri, s->at);
	else if (s->uri && s->known)
		printf(" -> %s", s->uri);
	else if (s->uri)
		printf(" -> decides by itself (%s, …)", s->uri);
	printf("%s\n", s->leaf && s->known ? " *" : "");
}

static void step_json(void *ctx, const struct riser_dm_step *s)
{
	struct json *j = ctx;

	json_object(j, NULL);
	json_u64(j, "depth", s->depth);
	json_u64(j, "sector", s->sector);
	json_u64(j, "count", s->count);
	json_str(j, "target", s->target);
	json_str(j, "device", s->uri);
	json_bool(j, "known", s->known);
	if (s->known)
		json_u64(j, "at", s->at);
	json_bool(j, "leaf", s->leaf);
	json_end(j);
}

/* A device of the table, for as long as the command runs. */
static int load(struct cli *c, struct riser_dm **d, const char *table)
{
	struct riser_dm_where where;
	int rc = riser_dm_create(c->r, NULL, NULL, RISER_DM_READONLY, d, &c->err);

	if (rc)
		return cli_fail_err(c, rc);
	rc = riser_dm_load(*d, c->x, table, &where, &c->err);
	if (rc && where.line) {
		int code = rc == -EINVAL ? CLI_FAILED : cli_exit_of(rc);

		if (c->format == FORMAT_JSON)
			return cli_fail(c, code, "line %u, column %u: %s", where.line, where.column,
					c->err.text);
		dm_print_where(stderr, table, &where, c->err.text);
		return code;
	}
	if (!rc)
		rc = riser_dm_resume(*d, c->x, UINT64_MAX, &c->err);
	return rc ? cli_fail_err(c, rc) : CLI_OK;
}

static int explain(struct cli *c, struct riser_dm *d, uint64_t sector, uint64_t count,
		   enum riser_blk_op op)
{
	struct json j;
	int rc;

	if (c->format != FORMAT_JSON) {
		rc = riser_dm_explain(d, op, sector, count, step_text, NULL, &c->err);
		return rc ? cli_fail_err(c, rc) : CLI_OK;
	}
	json_init(&j, stdout);
	json_array(&j, NULL);
	rc = riser_dm_explain(d, op, sector, count, step_json, &j, &c->err);
	json_end(&j);
	return rc ? cli_fail_err(c, rc) : CLI_OK;
}

static int run(struct cli *c)
{
	struct args a = { .sectors = 8 };
	struct riser_dm *d = NULL;
	uint64_t sector = 0;
	char *table = NULL;
	unsigned op = 0;
	int rc = cli_parse(c, &a);

	if (rc)
		return rc;
	if (!a.sectors)
		return cli_fail(c, CLI_USAGE, "--sectors=0: an I/O has at least one sector");
	if (riser_parse_u64(c->arg[1], &sector))
		return cli_fail(c, CLI_USAGE, "'%s' is no sector", c->arg[1]);
	while (c->arg[2] && ops[op] && strcmp(ops[op], c->arg[2]))
		op++;
	if (!ops[op])
		return cli_fail(c, CLI_USAGE,
				"unknown operation '%s': read, write, flush, discard, "
				"write-zeroes or compare",
				c->arg[2]);
	rc = cli_context(c);
	if (!rc)
		rc = dm_read_table(c, c->arg[0], &table);
	if (!rc)
		rc = load(c, &d, table);
	if (!rc)
		rc = explain(c, d, sector, a.sectors, op_of[op]);
	riser_dm_remove(d, c->x, NULL);
	free(table);
	return cli_finish(c, rc);
}

static const struct opt opts[] = {
	{ "sectors", 'n', OPT_IS_NUM(struct args, sectors), "NUM",
	  "length of the I/O; default 8 (4 KiB)" },
	{ 0 },
};

const struct cmd cmd_dm_explain = {
	.name = "explain",
	.args = "TABLE SECTOR [OP]",
	.summary = "where an I/O goes: the parts it is cut into, down to the last device",
	.example = "riser dm explain '0 64 striped 2 4 mem:1M 0 mem:2M 8' 6",
	.opts = opts,
	.run = run,
};
