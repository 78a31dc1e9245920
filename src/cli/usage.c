/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What --help prints, and what the bash completion asks for: both from the option tables. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static void print_subs(const char *verb, const struct cmd *const *subs)
{
	printf("usage: riser %s%sVERB …\n\n", verb, *verb ? " " : "");
	for (; *subs; subs++)
		printf("  %-16s %s\n", (*subs)->name, (*subs)->summary);
	printf("\nriser %s%sVERB --help tells more.\n", verb, *verb ? " " : "");
}

void cli_print_help(const struct cmd *cmd, const char *verb)
{
	const struct opt *o;

	if (cmd->subs) {
		print_subs(verb, cmd->subs);
		return;
	}
	printf("usage: riser %s%s%s [OPTION…]%s\n\n%s\n\n", verb, *cmd->args ? " " : "", cmd->args,
	       cmd->flags & CMD_COMMAND ? " -- CMD [ARGUMENT…]" : "", cmd->summary);
	for (unsigned i = 0; (o = cli_opts(cmd, i)); i++) {
		char left[48];

		snprintf(left, sizeof(left), "%c%c%c --%s%s%s", o->letter ? '-' : ' ',
			 o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
			 o->arg ? "=" : "", o->arg ? o->arg : "");
		printf("  %-28s %s\n", left, o->help);
	}
	if (cmd->example)
		printf("\nexample: %s\n", cmd->example);
}

void cli_print_overview(void)
{
	print_subs("", cli_commands);
}

static void completion_of(const struct cmd *const *cmds, const char *above)
{
	for (; *cmds; cmds++) {
		const struct opt *o;

		printf("%s%s", above, (*cmds)->name);
		if ((*cmds)->subs) {
			char verb[48];

			for (const struct cmd *const *s = (*cmds)->subs; *s; s++)
				printf(" %s", (*s)->name);
			printf("\n");
			snprintf(verb, sizeof(verb), "%s%s.", above, (*cmds)->name);
			completion_of((*cmds)->subs, verb);
			continue;
		}
		for (unsigned i = 0; (o = cli_opts(*cmds, i)); i++)
			printf(" --%s%s", o->name, o->arg ? "=" : "");
		printf(" --help\n");
	}
}

/* A line per verb: "read --offset= …"; verbs below another are "nvme.read …". */
void cli_print_completion(void)
{
	completion_of(cli_commands, "");
}
