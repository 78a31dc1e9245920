/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/json.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <riser/util.h>
#include <string.h>

void json_init(struct json *j, FILE *f)
{
	*j = (struct json){ .f = f, .first = true };
}

static void quoted(FILE *f, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', f);
	for (size_t i = 0; i < len;) {
		size_t n = riser_utf8(text + i, len - i);

		if (n == 1 && (s[i] == '"' || s[i] == '\\'))
			fprintf(f, "\\%c", s[i]);
		else if (n == 0 || s[i] < 0x20 || s[i] == 0x7f)
			fprintf(f, "\\u%04x", s[i]);
		else
			fwrite(s + i, 1, n, f);
		i += n ? n : 1;
	}
	fputc('"', f);
}

static void new_line(struct json *j)
{
	if (!j->one_line)
		fprintf(j->f, "\n%*s", 2 * (int)j->depth, "");
}

/* What comes before a value: comma, new line, indentation, key. */
static void lead(struct json *j, const char *key)
{
	if (j->depth && !j->first)
		fputs(j->one_line ? ", " : ",", j->f);
	if (j->depth)
		new_line(j);
	j->first = false;
	if (key) {
		quoted(j->f, key, strlen(key));
		fputs(": ", j->f);
	}
}

static void open_with(struct json *j, const char *key, char opener, char closer)
{
	assert(j->depth < JSON_DEPTH_MAX);
	lead(j, key);
	fputc(opener, j->f);
	j->closer[j->depth++] = closer;
	j->first = true;
}

void json_object(struct json *j, const char *key)
{
	open_with(j, key, '{', '}');
}

void json_array(struct json *j, const char *key)
{
	open_with(j, key, '[', ']');
}

void json_end(struct json *j)
{
	assert(j->depth);
	j->depth--;
	if (!j->first)
		new_line(j);
	fputc(j->closer[j->depth], j->f);
	j->first = false;
	if (!j->depth)
		fputc('\n', j->f);
}

void json_strn(struct json *j, const char *key, const char *s, size_t len)
{
	lead(j, key);
	quoted(j->f, s, len);
}

void json_str(struct json *j, const char *key, const char *s)
{
	if (s) {
		json_strn(j, key, s, strlen(s));
		return;
	}
	lead(j, key);
	fputs("null", j->f);
}

void json_u64(struct json *j, const char *key, uint64_t v)
{
	lead(j, key);
	fprintf(j->f, "%" PRIu64, v);
}

void json_digits(struct json *j, const char *key, const char *digits)
{
	lead(j, key);
	fputs(digits, j->f);
}

void json_i64(struct json *j, const char *key, int64_t v)
{
	lead(j, key);
	fprintf(j->f, "%" PRId64, v);
}

void json_f64(struct json *j, const char *key, double v)
{
	lead(j, key);
	if (isfinite(v))
		fprintf(j->f, "%.6g", v);
	else
		fputs("null", j->f);
}

void json_bool(struct json *j, const char *key, bool v)
{
	lead(j, key);
	fputs(v ? "true" : "false", j->f);
}
