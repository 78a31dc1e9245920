/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/keys.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/uri.h"
#include <errno.h>
#include <string.h>

int model_number(const struct uri *u, const char *key, uint64_t min, uint64_t max, unsigned *out,
		 struct riser_err *err)
{
	const char *v = uri_get(u, key);
	uint64_t n;

	if (!v)
		return 0;
	if (parse_u64(v, &n) || n < min || n > max)
		return err_set(err, -EINVAL,
			       "model: key '%s' wants a number of %llu to %llu, not '%s'", key,
			       (unsigned long long)min, (unsigned long long)max, v);
	*out = (unsigned)n;
	return 0;
}

int model_choice(const struct uri *u, const char *key, const char *no, const char *yes, bool *out,
		 struct riser_err *err)
{
	const char *v = uri_get(u, key);

	if (!v)
		return 0;
	*out = !strcmp(v, yes);
	if (!*out && strcmp(v, no))
		return err_set(err, -EINVAL, "model: key '%s' wants %s or %s, not '%s'", key, no,
			       yes, v);
	return 0;
}
