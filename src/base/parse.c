/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/parse.h"
#include "base/util.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Digits up to the first that is none. Return: 0, -EINVAL or -ERANGE. */
static int digits(const char **s, uint64_t *out)
{
	unsigned base = 10;
	const char *p = *s;
	uint64_t v = 0;
	bool any = false;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	for (;; p++, any = true) {
		unsigned d;

		if (*p >= '0' && *p <= '9')
			d = (unsigned)(*p - '0');
		else if (base == 16 && (*p | 32) >= 'a' && (*p | 32) <= 'f')
			d = (unsigned)((*p | 32) - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return -ERANGE;
	}
	if (!any)
		return -EINVAL;
	*s = p;
	*out = v;
	return 0;
}

int parse_u64(const char *s, uint64_t *out)
{
	uint64_t v;
	int rc = digits(&s, &v);

	if (rc)
		return rc;
	if (*s)
		return -EINVAL;
	*out = v;
	return 0;
}

/* 0.part / unit; unit is a power of ten. */
struct fraction {
	uint64_t part, unit;
};

/* ".5". Fifteen digits, so that 1024 times as much still has room. */
static int fraction(const char **s, struct fraction *f)
{
	const char *p = *s + 1;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (f->unit == 1000000000000000)
			return -EINVAL;
		f->unit *= 10;
		f->part = 10 * f->part + (uint64_t)(*p - '0');
	}
	if (p == *s + 1)
		return -EINVAL;
	*s = p;
	return 0;
}

/* @v and @f 1024 times as large. */
static int times_1024(uint64_t *v, struct fraction *f)
{
	uint64_t part = f->part << 10;

	f->part = part % f->unit;
	if (__builtin_mul_overflow(*v, (uint64_t)1024, v) ||
	    __builtin_add_overflow(*v, part / f->unit, v))
		return -ERANGE;
	return 0;
}

int parse_size(const char *s, uint64_t *out)
{
	static const char suffixes[] = "kmgtp";
	struct fraction f = { .unit = 1 };
	bool hex = s[0] == '0' && (s[1] | 32) == 'x';
	uint64_t v;
	const char *at;
	int rc = digits(&s, &v);

	if (!rc && *s == '.' && !hex)
		rc = fraction(&s, &f);
	if (rc)
		return rc;
	at = *s ? strchr(suffixes, *s | 32) : NULL;
	if (at) {
		for (const char *p = suffixes; p <= at && !rc; p++)
			rc = times_1024(&v, &f);
		s++;
		if (!strcasecmp(s, "iB") || !strcasecmp(s, "B"))
			s += strlen(s);
	} else if (!strcasecmp(s, "B")) {
		s++;
	}
	if (*s || (!rc && f.part))
		return -EINVAL;
	if (!rc)
		*out = v;
	return rc;
}

int parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = { "", "1", "yes", "on", "true" };
	static const char *const no[] = { "0", "no", "off", "false" };

	for (size_t i = 0; i < array_len(yes); i++)
		if (!strcasecmp(s, yes[i]))
			return *out = true, 0;
	for (size_t i = 0; i < array_len(no); i++)
		if (!strcasecmp(s, no[i]))
			return *out = false, 0;
	return -EINVAL;
}

unsigned parse_distance(const char *a, const char *b)
{
	unsigned row[65];
	size_t na = strnlen(a, 64), nb = strnlen(b, 64);

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diag = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned up = row[j], best = diag + (a[i - 1] != b[j - 1]);

			best = min_of(best, up + 1);
			best = min_of(best, row[j - 1] + 1);
			row[j] = best;
			diag = up;
		}
	}
	return row[nb];
}

const char *parse_nearest(const char *word, const char *const *words)
{
	const char *best = NULL;
	unsigned limit = (unsigned)(strlen(word) + 1) / 2, least = min_of(limit, 3u) + 1;

	for (; *words; words++) {
		unsigned d = parse_distance(word, *words);

		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best;
}

char *format_size(uint64_t bytes, char *buf, size_t len)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned u = 0;
	uint64_t whole = bytes;

	while (whole >= 1024 && u + 1 < array_len(units)) {
		whole >>= 10;
		u++;
	}
	if (u == 0 || bytes == whole << (10 * u))
		snprintf(buf, len, "%llu %s", (unsigned long long)whole, units[u]);
	else
		snprintf(buf, len, "%.1f %s", (double)bytes / (double)(1ull << (10 * u)), units[u]);
	return buf;
}
