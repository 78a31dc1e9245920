/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Options by table. A subcommand's own letters win over those of the shared tables. */
#include "cli/cli.h"
#include <errno.h>
#include <riser/util.h>
#include <stdio.h>
#include <string.h>

static const char *const formats[] = { "normal", "json", "binary", NULL };

static const char *const loads[] = { "read", "write", "randread", "randwrite", NULL };

static const struct opt load_opts[] = {
	{ "rw", 0, OPT_IS_WORD(struct cli_common, load.rw), "LOAD",
	  "read, write, randread or randwrite; default read", loads },
	{ "bs", 0, OPT_IS_BYTES(struct cli_common, load.bs), "SIZE", "of one I/O; default 4K" },
	{ "iodepth", 0, OPT_IS_NUM32(struct cli_common, load.iodepth), "N",
	  "I/Os in flight; default 1" },
	{ "runtime", 0, OPT_IS_NUM(struct cli_common, load.runtime), "SECONDS",
	  "stop after so long; default 3, 0 for no limit" },
	{ "ios", 0, OPT_IS_NUM(struct cli_common, load.ios), "N", "stop after so many I/Os" },
	{ 0 },
};
static const struct opt raw_opts[] = {
	{ "raw-binary", 'b', OPT_IS_BOOL(struct cli_common, raw), NULL, "as -o binary" },
	{ 0 },
};
static const struct opt destroy_opts[] = {
	{ "yes-destroy-data", 0, OPT_IS_BOOL(struct cli_common, yes), NULL,
	  "overwrite data on a device that is not a model, mem:, null:, qtest: or a file" },
	{ 0 },
};
static const struct opt progress_opts[] = {
	{ "progress", 0, OPT_IS_NUM32(struct cli_common, progress_fd), "FD",
	  "write N/100 lines to a descriptor" },
	{ 0 },
};
static const struct opt format_opts[] = {
	{ "output-format", 'o', OPT_IS_WORD(struct cli_common, format), "FMT",
	  "normal, json or binary", formats },
	{ 0 },
};
static const struct opt common_opts[] = {
	{ "json", 0, OPT_IS_BOOL(struct cli_common, json), NULL, "print JSON; sizes in bytes" },
	{ "verbose", 0, OPT_IS_BOOL(struct cli_common, verbose), NULL,
	  "print the library's log lines on stderr" },
	{ "target-plugin", 0, OPT_IS_TEXTS(struct cli_common, plugins), "FILE",
	  "take device-mapper targets from a shared object; may be repeated" },
	{ 0 },
};

/* The tables of a subcommand in order; the first is its own. */
static unsigned tables_of(const struct cmd *cmd, const struct opt **t)
{
	unsigned n = 0;

	if (cmd->opts)
		t[n++] = cmd->opts;
	if (cmd->flags & CMD_LOAD)
		t[n++] = load_opts;
	if (cmd->flags & CMD_RAW)
		t[n++] = raw_opts;
	if (cmd->flags & CMD_DESTROYS)
		t[n++] = destroy_opts;
	if (cmd->flags & CMD_PROGRESS)
		t[n++] = progress_opts;
	if (cmd->flags & CMD_FORMAT)
		t[n++] = format_opts;
	t[n++] = common_opts;
	return n;
}

const struct opt *cli_opts(const struct cmd *cmd, unsigned index)
{
	const struct opt *t[7];
	unsigned n = tables_of(cmd, t);

	for (unsigned i = 0; i < n; i++)
		for (const struct opt *o = t[i]; o->name; o++)
			if (!index--)
				return o;
	return NULL;
}

static const struct opt *find(const struct cmd *cmd, const char *name, size_t len, char letter)
{
	const struct opt *o;

	for (unsigned i = 0; (o = cli_opts(cmd, i)); i++)
		if (name ? strlen(o->name) == len && !memcmp(o->name, name, len)
			 : o->letter == letter)
			return o;
	return NULL;
}

static int unknown(struct cli *c, const char *given)
{
	const char *words[64], *near;
	char plain[48];
	const struct opt *o;
	unsigned n = 0;

	for (unsigned i = 0; (o = cli_opts(c->cmd, i)) && n + 1 < array_len(words); i++)
		words[n++] = o->name;
	words[n] = NULL;
	snprintf(plain, sizeof(plain), "%s", given + strspn(given, "-"));
	plain[strcspn(plain, "=")] = 0;
	near = strlen(plain) > 1 ? riser_nearest(plain, words) : NULL;
	if (near)
		return cli_fail(c, CLI_USAGE, "unknown option '%s'; did you mean '--%s'?", given,
				near);
	return cli_fail(c, CLI_USAGE, "unknown option '%s' (riser %s --help lists them)", given,
			c->verb);
}

static int bad_number(struct cli *c, const struct opt *o, const char *value, int rc)
{
	if (rc == -ERANGE)
		return cli_fail(c, CLI_USAGE, "--%s: %s is too large", o->name, value);
	return cli_fail(c, CLI_USAGE, "--%s wants %s, not '%s'", o->name,
			o->type == OPT_BYTES ? "a size such as 4096, 64K or 1G" : "a number",
			value);
}

static int bad_word(struct cli *c, const struct opt *o, const char *value)
{
	char list[128] = "";

	for (const char *const *w = o->words; *w; w++) {
		size_t n = strlen(list);

		strncat(list, *w, sizeof(list) - n - 3);
		if (w[1])
			strcat(list, ", ");
	}
	return cli_fail(c, CLI_USAGE, "--%s wants one of %s, not '%s'", o->name, list, value);
}

static int add_text(struct cli *c, const struct opt *o, struct opt_texts *texts, const char *value)
{
	if (texts->n == OPT_TEXTS_MAX)
		return cli_fail(c, CLI_USAGE, "--%s may be given %d times at the most", o->name,
				OPT_TEXTS_MAX);
	texts->text[texts->n++] = value;
	return 0;
}

static int assign(struct cli *c, const struct opt *o, void *base, const char *value)
{
	void *at = (char *)base + o->at;
	uint64_t v = 0;
	int rc = 0;

	switch (o->type) {
	case OPT_BOOL:
		*(bool *)at = true;
		return 0;
	case OPT_TEXT:
		*(const char **)at = value;
		return 0;
	case OPT_TEXTS:
		return add_text(c, o, at, value);
	case OPT_WORD:
		for (const char *const *w = o->words; *w; w++)
			if (!strcmp(*w, value))
				return *(const char **)at = *w, 0;
		return bad_word(c, o, value);
	case OPT_BYTES:
		rc = riser_parse_size(value, &v);
		break;
	case OPT_NUMBER:
	case OPT_NUM32:
		rc = riser_parse_u64(value, &v);
		break;
	}
	if (!rc && o->type == OPT_NUM32 && v > UINT32_MAX)
		rc = -ERANGE;
	if (rc)
		return bad_number(c, o, value, rc);
	if (o->type == OPT_NUM32)
		*(uint32_t *)at = (uint32_t)v;
	else
		*(uint64_t *)at = v;
	return 0;
}

static bool is_common(const struct cmd *cmd, const struct opt *o)
{
	for (const struct opt *own = cmd->opts; own && own->name; own++)
		if (own == o)
			return false;
	return true;
}

/* One option at argv[*i], its value there or in the next word. */
static int take(struct cli *c, void *values, int *i)
{
	const char *word = c->argv[*i], *value = NULL;
	const struct opt *o;

	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");

		o = find(c->cmd, word + 2, len, 0);
		if (word[2 + len])
			value = word + 2 + len + 1;
	} else {
		o = find(c->cmd, NULL, 0, word[1]);
		if (word[2])
			value = word + 2 + (word[2] == '=');
	}
	if (!o)
		return unknown(c, word);
	if (o->type == OPT_BOOL && value)
		return cli_fail(c, CLI_USAGE, "--%s takes no value", o->name);
	if (o->type != OPT_BOOL && !value) {
		if (*i + 1 >= c->argc)
			return cli_fail(c, CLI_USAGE, "--%s wants a value: %s", o->name, o->arg);
		value = c->argv[++*i];
	}
	return assign(c, o, is_common(c->cmd, o) ? &c->common : values, value);
}

/* The arguments that the subcommand names against those that were given. */
static int check_args(struct cli *c, unsigned given, const char *surplus)
{
	const char *p = c->cmd->args;

	for (unsigned n = 0; *p; n++) {
		size_t len = strcspn(p, " ");

		if (n >= given && *p != '[')
			return cli_fail(c, CLI_USAGE, "missing argument %.*s (riser %s %s)",
					(int)len, p, c->verb, c->cmd->args);
		p += len + strspn(p + len, " ");
	}
	if (surplus)
		return cli_fail(c, CLI_USAGE, "unexpected argument '%s'", surplus);
	c->nargs = given;
	return 0;
}

/* How many arguments there may be: "…" stands for any number. */
static unsigned named_args(const struct cmd *cmd)
{
	unsigned n = 0;

	if (strstr(cmd->args, "…"))
		return CLI_ARGS_MAX;
	for (const char *p = cmd->args; *p; n++)
		p += strcspn(p, " "), p += strspn(p, " ");
	return n;
}

int cli_parse(struct cli *c, void *values)
{
	unsigned given = 0, room = named_args(c->cmd);
	const char *surplus = NULL;
	bool options = true;
	int rc;

	c->common.progress_fd = UINT32_MAX;
	c->common.format = formats[FORMAT_NORMAL];
	for (int i = 0; i < c->argc; i++) {
		const char *word = c->argv[i];

		if (options && !strcmp(word, "--") && c->cmd->flags & CMD_COMMAND) {
			c->command = &c->argv[i + 1];
			break;
		} else if (options && !strcmp(word, "--")) {
			options = false;
		} else if (options && word[0] == '-' && word[1]) {
			rc = take(c, values, &i);
			if (rc)
				return rc;
		} else {
			if (given < room && given < CLI_ARGS_MAX)
				c->arg[given] = word;
			else if (!surplus)
				surplus = word;
			given++;
		}
	}
	for (unsigned i = 0; formats[i]; i++)
		if (!strcmp(formats[i], c->common.format))
			c->format = (enum cli_format)i;
	if (c->common.json)
		c->format = FORMAT_JSON;
	if (c->common.raw)
		c->format = FORMAT_BINARY;
	if (c->cmd->flags & CMD_COMMAND && (!c->command || !*c->command))
		return cli_fail(c, CLI_USAGE,
				"missing program: riser %s [OPTION…] -- CMD [ARGUMENT…]", c->verb);
	return check_args(c, given, surplus);
}
