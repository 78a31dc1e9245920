/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/cli.h"

struct args {
	bool completion;
};

static int run(struct cli *c)
{
	struct args a = { 0 };
	struct cli about = { 0 };
	char *words[CLI_ARGS_MAX];
	int n = 0, rc = cli_parse(c, &a);

	if (rc)
		return rc;
	if (a.completion) {
		cli_print_completion();
		return CLI_OK;
	}
	if (!c->arg[0]) {
		cli_print_overview();
		return CLI_OK;
	}
	for (int i = 0; i < c->argc && n < CLI_ARGS_MAX; i++)
		if (c->argv[i][0] != '-')
			words[n++] = c->argv[i];
	rc = cli_resolve(&about, cli_commands, n, words);
	if (rc)
		return rc;
	cli_print_help(about.cmd, about.verb);
	return CLI_OK;
}

static const struct opt opts[] = {
	{ "completion", 0, OPT_IS_BOOL(struct args, completion), NULL,
	  "print verbs and options as the bash completion reads them" },
	{ 0 },
};

const struct cmd cmd_help = {
	.name = "help",
	.args = "[VERB] [NVME-VERB]",
	.summary = "list the verbs, or tell about one",
	.example = "riser help nvme read",
	.opts = opts,
	.run = run,
};
