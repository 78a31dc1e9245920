/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dm/dm.h"
#include "cli/json.h"

static void print_json(struct cli *c)
{
	const struct riser_target_ops *t;
	struct json j;
	char version[40];

	json_init(&j, stdout);
	json_array(&j, NULL);
	for (unsigned i = 0; (t = riser_dm_targets(c->r, i)); i++) {
		snprintf(version, sizeof(version), "%u.%u.%u", t->version[0], t->version[1],
			 t->version[2]);
		json_object(&j, NULL);
		json_str(&j, "name", t->name);
		json_str(&j, "version", version);
		json_str(&j, "arguments", t->syntax);
		json_str(&j, "summary", t->summary);
		json_end(&j);
	}
	json_end(&j);
}

static int run(struct cli *c)
{
	const struct riser_target_ops *t;
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = cli_context(c);
	if (rc)
		return rc;
	if (c->format == FORMAT_JSON)
		print_json(c);
	for (unsigned i = 0; c->format != FORMAT_JSON && (t = riser_dm_targets(c->r, i)); i++)
		printf("%-10s %s\n%-10s %s%s(version %u.%u.%u)\n", t->name, t->summary, "",
		       t->syntax, *t->syntax ? "  " : "", t->version[0], t->version[1],
		       t->version[2]);
	return cli_finish(c, CLI_OK);
}

const struct cmd cmd_dm_targets = {
	.name = "targets",
	.args = "",
	.summary = "the kinds of targets, with their arguments",
	.example = "riser dm targets",
	.run = run,
};
