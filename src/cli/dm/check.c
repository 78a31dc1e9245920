/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dm/dm.h"
#include "cli/json.h"
#include <stdlib.h>

struct findings {
	const char *table;
	struct json *j; /* or NULL */
};

static void found(void *ctx, const struct riser_dm_where *where, const char *what)
{
	struct findings *f = ctx;

	if (!f->j) {
		dm_print_where(stderr, f->table, where, what);
		return;
	}
	json_object(f->j, NULL);
	json_u64(f->j, "line", where->line);
	json_u64(f->j, "column", where->column);
	json_u64(f->j, "length", where->len);
	json_str(f->j, "finding", what);
	json_end(f->j);
}

static int run(struct cli *c)
{
	struct findings f = { 0 };
	struct json j;
	char *table = NULL;
	int n, rc = cli_parse(c, NULL);

	if (!rc)
		rc = cli_context(c);
	if (!rc)
		rc = dm_read_table(c, c->arg[0], &table);
	if (rc)
		return rc;
	f.table = table;
	if (c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_array(&j, NULL);
		f.j = &j;
	}
	n = riser_dm_check(c->r, table, found, &f, &c->err);
	if (f.j)
		json_end(&j);
	else if (!n)
		printf("nothing to complain of\n");
	free(table);
	if (n < 0)
		return cli_fail_err(c, n);
	return cli_finish(c, n ? CLI_FAILED : CLI_OK);
}

const struct cmd cmd_dm_check = {
	.name = "check",
	.args = "TABLE",
	.summary = "look for mistakes in a table (a file, - or the text); 1 where there are any",
	.example = "riser dm check '0 8 linear mem:1M 4'",
	.run = run,
};
