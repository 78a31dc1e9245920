/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dm/dm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int read_all(struct cli *c, FILE *f, const char *name, char **out)
{
	size_t len = 0, size = 0, n = 1;
	char *text = NULL;

	while (n) {
		if (size < len + 65536) {
			char *more = realloc(text, size = 2 * size + 65536);

			if (!more) {
				free(text);
				return cli_fail(c, CLI_FAILED, "no memory for %s", name);
			}
			text = more;
		}
		n = fread(text + len, 1, size - len - 1, f);
		len += n;
	}
	text[len] = 0;
	if (ferror(f) || strlen(text) != len) {
		free(text);
		return cli_fail(c, CLI_FAILED, "%s is not readable text", name);
	}
	*out = text;
	return CLI_OK;
}

int dm_read_table(struct cli *c, const char *arg, char **out)
{
	bool uri = !strncmp(arg, "table:", 6), file;
	FILE *f;
	int rc;

	if (!strcmp(arg, "-"))
		return read_all(c, stdin, "standard input", out);
	arg += uri ? 6 : 0;
	file = uri && arg[0] == '@';
	arg += file;
	f = uri && !file ? NULL : fopen(arg, "r");
	if (!f && !file && (uri || strchr(arg, ' '))) {
		*out = strdup(arg);
		return *out ? CLI_OK : cli_fail(c, CLI_FAILED, "no memory for a table");
	}
	if (!f)
		return cli_fail(c, cli_exit_of(-errno), "%s: %s", arg, strerror(errno));
	rc = read_all(c, f, arg, out);
	fclose(f);
	return rc;
}

void dm_print_where(FILE *f, const char *table, const struct riser_dm_where *where,
		    const char *what)
{
	const char *line = table;
	size_t len;

	if (!where->line) {
		fprintf(f, "%s\n", what);
		return;
	}
	for (unsigned i = 1; i < where->line && line; i++) {
		line = strchr(line, '\n');
		line += line != NULL;
	}
	fprintf(f, "line %u, column %u: %s\n", where->line, where->column, what);
	if (!line)
		return;
	len = strcspn(line, "\n");
	fprintf(f, "  %.*s\n  ", (int)len, line);
	for (unsigned i = 1; i < where->column; i++)
		fputc(i <= len && line[i - 1] == '\t' ? '\t' : ' ', f);
	fputc('^', f);
	for (unsigned i = 1; i < where->len; i++)
		fputc('~', f);
	fputc('\n', f);
}
