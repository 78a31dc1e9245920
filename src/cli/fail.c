/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* How the command fails: one sentence on stderr, or JSON, and an exit code for scripts to trust. */
#include "cli/cli.h"
#include "cli/json.h"
#include <errno.h>
#include <riser/util.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cli_exit_of(int err)
{
	switch (err) {
	case 0:
		return CLI_OK;
	case -EINVAL:
		return CLI_USAGE;
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return CLI_PERMISSION;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
	case -ENOTDIR:
	case -EBUSY:
	case -EADDRINUSE:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ENOTCONN:
	case -EPIPE:
	case -ETXTBSY:
		return CLI_MISSING;
	default:
		return CLI_FAILED;
	}
}

/* As an object of one line. Standard output may hold what was done before the failure. */
static __attribute__((format(printf, 3, 0))) void print_json(const struct cli *c, int code,
							     const char *fmt, va_list ap)
{
	char text[4096];
	struct json j;

	vsnprintf(text, sizeof(text), fmt, ap);
	json_init(&j, stderr);
	j.one_line = true;
	json_object(&j, NULL);
	json_str(&j, "verb", c->verb);
	json_str(&j, "error", text);
	json_i64(&j, "exit_code", code);
	json_end(&j);
}

static __attribute__((format(printf, 2, 0))) void print_text(const struct cli *c, const char *fmt,
							     va_list ap)
{
	char text[4096], shown[4 * sizeof(text)];

	vsnprintf(text, sizeof(text), fmt, ap);
	riser_printable(text, strlen(text), shown, sizeof(shown));
	fprintf(stderr, "riser%s%s: %s\n", *c->verb ? " " : "", c->verb, shown);
}

int cli_fail(struct cli *c, int code, const char *fmt, ...)
{
	va_list ap;

	/* What was printed before the failure comes before its sentence. */
	fflush(stdout);
	va_start(ap, fmt);
	/* The options may not have been read yet. */
	if (c->format == FORMAT_JSON || cli_has_word(c, "--json"))
		print_json(c, code, fmt, ap);
	else
		print_text(c, fmt, ap);
	va_end(ap);
	return code;
}

int cli_fail_err(struct cli *c, int rc)
{
	return cli_fail(c, cli_exit_of(rc), "%s", *c->err.text ? c->err.text : strerror(-rc));
}

int cli_check_stdout(struct cli *c, const char *instead)
{
	if (!isatty(STDOUT_FILENO))
		return 0;
	return cli_fail(c, CLI_USAGE,
			"standard output is a terminal: add '> FILE' or '| xxd', or give %s",
			instead);
}

int cli_finish(struct cli *c, int code)
{
	bool bad = fflush(stdout) != 0 || ferror(stdout);
	int err = errno;

	if (!bad)
		return code;
	if (err == EPIPE || code)
		return code ? code : CLI_FAILED;
	return cli_fail(c, CLI_FAILED, "standard output cannot be written: %s", strerror(err));
}
