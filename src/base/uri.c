/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/uri.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/util.h"
#include <errno.h>
#include <riser/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 0000:01:00.0 or 01:00.0 */
static bool is_bdf(const char *s)
{
	static const char *const shapes[] = { "xxxx:xx:xx.x", "xx:xx.x" };

	for (size_t i = 0; i < array_len(shapes); i++) {
		const char *p = s, *q = shapes[i];

		while (*q && *p && (*q == 'x' ? hex(*p) >= 0 : *p == *q))
			p++, q++;
		if (!*q && (!*p || *p == '?'))
			return true;
	}
	return false;
}

/* One function has one name: with its domain, in lower case. Return: what is behind it. */
static const char *put_bdf(const char *p, char **out)
{
	if (p[2] == ':')
		*out = stpcpy(*out, "0000:");
	for (; *p && *p != '?'; p++)
		*(*out)++ = (char)(*p >= 'A' && *p <= 'F' ? *p | 32 : *p);
	return p;
}

static bool is_scheme_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.';
}

/*
 * Copy one token up to a byte of @stop, resolving %XX and one pair of outer brackets. Inside
 * brackets everything is literal, inner brackets balance.
 */
static int token(const char **in, const char *stop, char **out, const char *text,
		 struct riser_err *err)
{
	const char *p = *in;
	char *o = *out;

	if (*p == '[') {
		unsigned depth = 1;

		for (p++; *p; p++) {
			depth += *p == '[';
			depth -= *p == ']';
			if (!depth)
				break;
			*o++ = *p;
		}
		if (!*p)
			return err_set(err, -EINVAL, "'%s': a bracket '[' is not closed", text);
		p++;
		if (*p && !strchr(stop, *p))
			return err_set(err, -EINVAL, "'%s': '%c' behind a closing bracket", text,
				       *p);
	} else {
		for (; *p && !strchr(stop, *p); p++) {
			if (*p == '%') {
				if (hex(p[1]) < 0 || hex(p[2]) < 0 || (p[1] == '0' && p[2] == '0'))
					return err_set(err, -EINVAL,
						       "'%s': '%%' wants two hexadecimal digits, "
						       "not 00",
						       text);
				*o++ = (char)(hex(p[1]) << 4 | hex(p[2]));
				p += 2;
			} else if (*p == '[' || *p == ']') {
				return err_set(err, -EINVAL,
					       "'%s': brackets go around a whole value", text);
			} else {
				*o++ = *p;
			}
		}
	}
	*o++ = 0;
	*in = p;
	*out = o;
	return 0;
}

static int parse_keys(const char *p, char *o, struct uri *u, const char *text,
		      struct riser_err *err)
{
	while (*p) {
		struct uri_key *k = &u->keys[u->nkeys];
		int rc;

		if (u->nkeys == URI_KEYS_MAX)
			return err_set(err, -EINVAL, "'%s': more than %d keys", text, URI_KEYS_MAX);
		k->name = o;
		rc = token(&p, "=&", &o, text, err);
		if (rc)
			return rc;
		k->value = o;
		if (*p == '=') {
			p++;
			rc = token(&p, "&", &o, text, err);
			if (rc)
				return rc;
		} else {
			*o++ = 0;
		}
		if (!*k->name)
			return err_set(err, -EINVAL, "'%s': a key without a name", text);
		if (uri_get(u, k->name))
			return err_set(err, -EINVAL, "'%s': key '%s' comes twice", text, k->name);
		u->nkeys++;
		if (*p == '&')
			p++;
	}
	return 0;
}

int uri_parse(const char *text, struct uri *u, struct riser_err *err)
{
	size_t n = 0;
	const char *p = text;
	char *o;
	int rc;

	memset(u, 0, sizeof(*u));
	if (!*text)
		return err_set(err, -EINVAL, "an empty URI: name a device such as model:nvme");
	/* Every token ends in a NUL of its own: twice the text is room enough. */
	u->text = malloc(2 * strlen(text) + 16);
	if (!u->text)
		return err_set(err, -ENOMEM, "no memory for a URI");
	o = u->text;
	while (is_scheme_char(text[n]))
		n++;
	if (is_bdf(text)) {
		u->scheme = "pci";
	} else if (text[n] == ':' && n > 0) {
		u->scheme = o;
		memcpy(o, text, n);
		o[n] = 0;
		o += n + 1;
		p = text + n + 1;
	} else {
		u->scheme = "file";
	}
	u->rest = o;
	if ((!strcmp(u->scheme, "pci") || !strcmp(u->scheme, "sysfs")) && is_bdf(p))
		p = put_bdf(p, &o);
	if (!strcmp(u->scheme, "table")) { /* of many devices, with keys of their own */
		strcpy(o, p);
		return 0;
	}
	rc = token(&p, "?", &o, text, err);
	if (!rc && *p == '?')
		rc = parse_keys(p + 1, o, u, text, err);
	if (rc)
		uri_free(u);
	return rc;
}

void uri_free(struct uri *u)
{
	free(u->text);
	memset(u, 0, sizeof(*u));
}

const char *uri_get(const struct uri *u, const char *key)
{
	for (unsigned i = 0; i < u->nkeys; i++)
		if (!strcmp(u->keys[i].name, key))
			return u->keys[i].value;
	return NULL;
}

int riser_uri_get(const char *uri, const char *key, char *buf, size_t len)
{
	const char *value;
	struct uri u;
	int rc = uri_parse(uri, &u, NULL);

	if (rc)
		return rc;
	value = uri_get(&u, key);
	if (!value)
		rc = -ENOENT;
	else if (strlen(value) >= len)
		rc = -ERANGE;
	else
		strcpy(buf, value);
	uri_free(&u);
	return rc;
}

int uri_get_size(const struct uri *u, const char *key, uint64_t *out, struct riser_err *err)
{
	const char *v = uri_get(u, key);
	int rc = v ? parse_size(v, out) : 0;

	if (rc)
		return err_set(err, -EINVAL,
			       "%s: key '%s' wants a size such as 4096, 64K or 1G, not '%s'",
			       u->scheme, key, v);
	return 0;
}

int uri_get_bool(const struct uri *u, const char *key, bool *out, struct riser_err *err)
{
	const char *v = uri_get(u, key);

	if (v && parse_bool(v, out))
		return err_set(err, -EINVAL, "%s: key '%s' wants 1 or 0, not '%s'", u->scheme, key,
			       v);
	return 0;
}

int uri_check_keys(const struct uri *u, const char *const *allowed, struct riser_err *err)
{
	for (unsigned i = 0; i < u->nkeys; i++) {
		const char *const *a = allowed;
		const char *near;

		while (*a && strcmp(*a, u->keys[i].name))
			a++;
		if (*a)
			continue;
		near = parse_nearest(u->keys[i].name, allowed);
		return err_set(err, -EINVAL, "%s: unknown key '%s'%s%s%s", u->scheme,
			       u->keys[i].name, near ? "; did you mean '" : "", near ? near : "",
			       near ? "'?" : "");
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct uri_key *)a)->name, ((const struct uri_key *)b)->name);
}

static void put(FILE *f, const char *value)
{
	if (strpbrk(value, "&?[]") && strchr(value, '[') == NULL && strchr(value, ']') == NULL) {
		fprintf(f, "[%s]", value);
		return;
	}
	for (; *value; value++)
		if (strchr("&?[]%", *value))
			fprintf(f, "%%%02X", (unsigned char)*value);
		else
			fputc(*value, f);
}

char *uri_canonical(const struct uri *u, const char *const *without)
{
	struct uri_key keys[URI_KEYS_MAX];
	char *out = NULL, sep = '?';
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	memcpy(keys, u->keys, sizeof(keys));
	qsort(keys, u->nkeys, sizeof(keys[0]), by_name);
	fprintf(f, "%s:", u->scheme);
	put(f, u->rest);
	for (unsigned i = 0; i < u->nkeys; i++) {
		const char *const *w = without;

		while (w && *w && strcmp(*w, keys[i].name))
			w++;
		if (w && *w)
			continue;
		fputc(sep, f);
		sep = '&';
		fputs(keys[i].name, f);
		fputc('=', f);
		put(f, keys[i].value);
	}
	if (fclose(f)) {
		free(out);
		return NULL;
	}
	return out;
}
