/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Structures of a controller as tables of fields, so that text and JSON can't drift apart. */
#include "cli/nvme/nvme.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef unsigned __int128 u128;

static u128 number(const struct field *f, const void *data)
{
	const uint8_t *p = (const uint8_t *)data + f->at;
	u128 v = 0;

	for (unsigned i = f->len; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

/* Decimal digits of @v at the end of @buf. */
static const char *decimal(u128 v, char buf[40])
{
	char *p = buf + 39;

	*p = 0;
	do
		*--p = (char)('0' + (unsigned)(v % 10));
	while (v /= 10);
	return p;
}

/* Fixed-width text of the specification is padded with spaces. */
static size_t text_len(const char *s, size_t len)
{
	len = strnlen(s, len);
	while (len && s[len - 1] == ' ')
		len--;
	return len;
}

static void bytes_text(const struct field *f, const void *data, char *out)
{
	const uint8_t *p = (const uint8_t *)data + f->at;

	for (unsigned i = 0; i < f->len; i++) {
		if (f->kind == FIELD_UUID && (i == 4 || i == 6 || i == 8 || i == 10))
			*out++ = '-';
		out += sprintf(out, "%02x", p[i]);
	}
}

void fields_print(const struct field *f, const void *data, int width)
{
	for (; f->name; f++) {
		const char *text = (const char *)data + f->at;
		char buf[80];

		printf("%-*s: ", width, f->name);
		switch (f->kind) {
		case FIELD_DEC:
			printf("%s\n", decimal(number(f, data), buf));
			break;
		case FIELD_HEX:
			printf("%#" PRIx64 "\n", (uint64_t)number(f, data));
			break;
		case FIELD_TEXT:
			for (size_t i = 0, n = text_len(text, f->len); i < n; i++)
				putchar(isprint((unsigned char)text[i]) ? text[i] : '?');
			putchar('\n');
			break;
		case FIELD_BYTES:
		case FIELD_UUID:
			bytes_text(f, data, buf);
			printf("%s\n", buf);
			break;
		case FIELD_OUI:
			printf("%06x\n", (unsigned)number(f, data));
			break;
		case FIELD_KELVIN:
			printf("%d °C (%u K)\n", (int)number(f, data) - 273,
			       (unsigned)number(f, data));
			break;
		}
	}
}

void fields_json(struct json *j, const struct field *f, const void *data)
{
	for (; f->name; f++) {
		const char *text = (const char *)data + f->at;
		char buf[80];

		switch (f->kind) {
		case FIELD_DEC:
		case FIELD_HEX:
		case FIELD_OUI:
		case FIELD_KELVIN:
			json_digits(j, f->name, decimal(number(f, data), buf));
			break;
		case FIELD_TEXT:
			json_strn(j, f->name, text, text_len(text, f->len));
			break;
		case FIELD_BYTES:
		case FIELD_UUID:
			bytes_text(f, data, buf);
			json_str(j, f->name, buf);
			break;
		}
	}
}

void print_binary(const void *data, size_t len)
{
	fwrite(data, 1, len, stdout);
}

void print_hex(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t at = 0; at < len; at += 16) {
		size_t n = len - at < 16 ? len - at : 16;

		printf("%08zx:", at);
		for (size_t i = 0; i < 16; i++)
			if (i < n)
				printf(" %02x", p[at + i]);
			else
				printf("   ");
		printf("  \"");
		for (size_t i = 0; i < n; i++)
			putchar(isprint(p[at + i]) ? p[at + i] : '.');
		printf("\"\n");
	}
}

void json_bytes(struct json *j, const char *key, const void *data, size_t len)
{
	const uint8_t *p = data;

	json_array(j, key);
	for (size_t i = 0; i < len; i++)
		json_u64(j, NULL, p[i]);
	json_end(j);
}
