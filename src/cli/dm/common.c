/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dm/dm.h"
#include <errno.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>

static int read_all(struct cli *c, FILE *f, const char *name, char **out)
{
	size_t len = 0, size = 0, n = 1;
	char *text = NULL;
	bool binary = false;

	while (n && !binary) {
		if (size < len + 65536) {
			char *more = realloc(text, size = 2 * size + 65536);

			if (!more) {
				free(text);
				return cli_fail(c, CLI_FAILED, "no memory for %s", name);
			}
			text = more;
		}
		n = fread(text + len, 1, size - len - 1, f);
		binary = memchr(text + len, 0, n);
		len += n;
	}
	text[len] = 0;
	if (ferror(f) || binary) {
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

	if (!*arg)
		return cli_fail(c, CLI_USAGE,
				"an empty table: give a file, - for standard input, or the text");
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

/* Print it, if @f, as a terminal may have it. Return: how many columns that takes. */
static size_t show(FILE *f, const char *s, size_t len)
{
	size_t columns = 0;

	for (size_t n; len; s += n, len -= n) {
		char one[16];

		n = riser_utf8(s, len);
		n = n ? n : 1;
		riser_printable(*s == '\t' ? " " : s, n, one, sizeof(one));
		columns += riser_utf8(one, sizeof(one)) > 1 ? 1 : strlen(one);
		if (f)
			fputs(one, f);
	}
	return columns;
}

/* The next place of @s that is not inside a character. */
static size_t whole(const char *s, size_t len, size_t at)
{
	while (at < len && (s[at] & 0xc0) == 0x80)
		at++;
	return at;
}

#define AROUND 60 /* bytes of a line that are shown on either side of the word to blame */

/* The line and a caret; of a long one what is around that. */
static void print_line(FILE *f, const char *line, size_t len, const struct riser_dm_where *where)
{
	size_t at = where->column - 1, beyond = at < len ? 0 : at - len;
	size_t from, end, to, word;

	at -= beyond;
	from = at > AROUND ? whole(line, len, at - AROUND) : 0;
	end = at + (where->len < AROUND ? where->len : AROUND);
	end = end < len ? whole(line, len, end) : len;
	to = end + AROUND < len ? whole(line, len, end + AROUND) : len;
	fprintf(f, "  %s", from ? "…" : "");
	show(f, line + from, to - from);
	fprintf(f, "%s\n  ", to < len ? "…" : "");
	for (size_t i = show(NULL, line + from, at - from) + beyond + (from > 0); i; i--)
		fputc(' ', f);
	fputc('^', f);
	for (word = show(NULL, line + at, end - at); word > 1; word--)
		fputc('~', f);
	fputc('\n', f);
}

void dm_print_where(FILE *f, const char *table, const struct riser_dm_where *where,
		    const char *what)
{
	const char *line = table;

	if (!where->line) {
		fprintf(f, "%s\n", what);
		return;
	}
	for (unsigned i = 1; i < where->line && line; i++) {
		line = strchr(line, '\n');
		line += line != NULL;
	}
	fprintf(f, "line %u, column %u: %s\n", where->line, where->column, what);
	if (line)
		print_line(f, line, strcspn(line, "\n"), where);
}
