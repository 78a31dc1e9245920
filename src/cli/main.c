/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The command: finds the subcommand, runs it, turns what happened into an exit code. */
#include "cli/cli.h"
#include "cli/commands.h"
#include <riser/dm.h>
#include <riser/util.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DECLARE(name) extern const struct cmd cmd_##name;
#define ADDRESS(name) &cmd_##name,
RISER_COMMANDS(DECLARE)
const struct cmd *const cli_commands[] = { RISER_COMMANDS(ADDRESS) NULL };

static const char examples[] =
	"riser brings devices out to user space. Five lines to begin with, no hardware needed:\n"
	"\n"
	"  riser doctor\n"
	"  riser nvme id-ctrl model:nvme\n"
	"  riser bench model:nvme --rw=randread --iodepth=32\n"
	"  riser copy model:nvme mem:1G\n"
	"  riser publish model:nvme nbd: --run 'nbdinfo \"$uri\"'\n"
	"\n"
	"riser help lists the verbs.\n";

const struct cmd *cli_find(const struct cmd *const *cmds, const char *name)
{
	for (; *cmds; cmds++)
		if (!strcmp((*cmds)->name, name))
			return *cmds;
	return NULL;
}

static int unknown_verb(struct cli *c, const struct cmd *const *cmds, const char *word)
{
	const char *words[64], *near;
	unsigned n = 0;

	for (; *cmds && n + 1 < array_len(words); cmds++)
		words[n++] = (*cmds)->name;
	words[n] = NULL;
	if (word[0] == '-')
		return cli_fail(c, CLI_USAGE, "unknown option '%s' (riser --help lists the verbs)",
				word);
	near = riser_nearest(word, words);
	if (near)
		return cli_fail(c, CLI_USAGE, "unknown verb '%s'; did you mean '%s'?", word, near);
	return cli_fail(c, CLI_USAGE, "unknown verb '%s' (riser%s%s --help lists them)", word,
			*c->verb ? " " : "", c->verb);
}

int cli_resolve(struct cli *c, const struct cmd *const *cmds, int argc, char **argv)
{
	while (cmds && argc > 0) {
		const struct cmd *cmd = cli_find(cmds, argv[0]);
		size_t len = strlen(c->verb);

		if (!cmd && c->cmd && argv[0][0] == '-')
			break;
		if (!cmd)
			return unknown_verb(c, cmds, argv[0]);
		snprintf(c->verb + len, sizeof(c->verb) - len, "%s%s", len ? " " : "", cmd->name);
		c->cmd = cmd;
		cmds = cmd->subs;
		argc--;
		argv++;
	}
	c->argc = argc;
	c->argv = argv;
	return 0;
}

static void log_line(void *ctx, enum riser_log_level level, const char *line)
{
	static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
	const struct cli *c = ctx;

	if (c->common.verbose)
		fprintf(stderr, "%s: %s\n", names[level], line);
	else if (level == RISER_LOG_NOTICE && c->format != FORMAT_JSON)
		fprintf(stderr, "%sriser %s: %s\n",
			isatty(STDERR_FILENO) ? "\r\033[K" : "" /* over the progress bar */,
			c->verb, line);
}

int cli_context(struct cli *c)
{
	struct riser_opts opts = { .size = sizeof(opts), .log = log_line, .log_ctx = c };
	int rc;

	if (c->r)
		return 0;
	rc = riser_new(&opts, &c->r, &c->err);
	if (!rc)
		rc = riser_exec_new(c->r, &c->x, &c->err);
	for (unsigned i = 0; !rc && i < c->common.plugins.n; i++)
		rc = riser_dm_plugin_load(c->r, c->common.plugins.text[i], &c->err);
	return rc ? cli_fail_err(c, rc) : 0;
}

bool cli_has_word(const struct cli *c, const char *word)
{
	for (int i = 0; i < c->argc && strcmp(c->argv[i], "--"); i++)
		if (!strcmp(c->argv[i], word))
			return true;
	return false;
}

static int run(struct cli *c, int argc, char **argv)
{
	int rc;

	if (argc < 2) {
		fputs(examples, stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		cli_print_overview();
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version"))
		argv[1] += 2;
	c->argc = argc - 1;
	c->argv = argv + 1;
	rc = cli_resolve(c, cli_commands, argc - 1, argv + 1);
	if (rc)
		return rc;
	if (cli_has_word(c, "--help") || cli_has_word(c, "-h")) {
		cli_print_help(c->cmd, c->verb);
		return CLI_OK;
	}
	if (c->cmd->subs)
		return cli_fail(c, CLI_USAGE, "missing verb (riser %s --help lists them)", c->verb);
	rc = c->cmd->run(c);
	riser_exec_free(c->x);
	riser_free(c->r);
	return rc;
}

int main(int argc, char **argv)
{
	struct cli c = { 0 };

	/* A reader that goes away is an error of write(), not a death without a word. */
	signal(SIGPIPE, SIG_IGN);
	return cli_finish(&c, run(&c, argc, argv));
}
