/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Sentences. They quote what people and peers sent, and end up on somebody's terminal, so that
 * nothing in them may mean anything to it: see riser_printable().
 */
#include "base/err.h"
#include <riser/util.h>
#include <stdio.h>
#include <string.h>

#define CUT "…" /* what does not fit */

size_t riser_utf8(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = 0;

	if (!len)
		return 0;
	if (s[0] < 0x80)
		n = 1;
	else if (s[0] >= 0xc2 && s[0] < 0xe0)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		n = 4;
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* C0, DEL and C1, which is two bytes of UTF-8. */
static bool is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

size_t riser_printable(const char *text, size_t len, char *out, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t i, n, at = 0;

	for (i = 0; i < len; i += n) {
		char one[16];
		size_t chars;

		n = riser_utf8(text + i, len - i);
		if (n && !is_control(s + i))
			snprintf(one, sizeof(one), "%.*s", (int)n, text + i);
		else if (n == 2)
			snprintf(one, sizeof(one), "\\x%02x\\x%02x", s[i], s[i + 1]);
		else
			snprintf(one, sizeof(one), "\\x%02x", s[i]);
		n = n ? n : 1;
		chars = strlen(one);
		if (at + chars >= size)
			break;
		memcpy(out + at, one, chars);
		at += chars;
	}
	out[at] = 0;
	return i;
}

void err_vformat(char *out, size_t size, const char *fmt, va_list ap)
{
	char raw[2 * RISER_ERR_TEXT]; /* its end is never seen: no byte becomes less than one */
	size_t len;

	vsnprintf(raw, sizeof(raw), fmt, ap);
	len = strlen(raw);
	if (riser_printable(raw, len, out, size) == len)
		return;
	riser_printable(raw, len, out, size - strlen(CUT));
	strcat(out, CUT);
}

int riser_err_set(struct riser_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	err_vformat(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/*
 * Where there is no room for all, what is lost is in the middle: the first words say where it is,
 * the last ones why. It is cut where two of these meet.
 */
int err_prefix(struct riser_err *err, int code, const char *fmt, ...)
{
	static const char gap[] = ": " CUT;
	char old[RISER_ERR_TEXT], *at, *tail = old;
	va_list ap;
	size_t n, room;

	if (!err)
		return code;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	err_vformat(err->text, sizeof(err->text) / 2, fmt, ap);
	va_end(ap);
	room = sizeof(err->text) - strlen(err->text) - sizeof(gap);
	for (at = old; at && strlen(tail) > room; at = strstr(tail + 1, ": "))
		tail = strncmp(at, gap, strlen(gap)) ? at : at + strlen(gap);
	strcat(err->text, tail == old ? ": " : gap);
	n = strlen(err->text);
	riser_printable(tail, strlen(tail), err->text + n, sizeof(err->text) - n);
	err->code = code;
	return code;
}
