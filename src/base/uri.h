/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * scheme:rest?key=value&…
 *
 * A nested value stands in brackets where it contains & ? [ or ]; %XX escapes any byte outside
 * of brackets. A bare path is file:, a bare PCI address (0000:01:00.0) is pci:. Keys come once;
 * "key" alone is "key=". What stands behind "table:" is taken as it is.
 */
#ifndef BASE_URI_H
#define BASE_URI_H

#include <riser/riser.h>

#define URI_KEYS_MAX 16

struct uri_key {
	const char *name, *value;
};

struct uri {
	const char *scheme; /* "model" */
	const char *rest;   /* "nvme", unescaped */
	struct uri_key keys[URI_KEYS_MAX];
	unsigned nkeys;
	char *text; /* what the pointers point into */
};

/* Return: 0, -EINVAL with a sentence that quotes what is wrong, or -ENOMEM. */
int uri_parse(const char *text, struct uri *u, struct riser_err *err);
void uri_free(struct uri *u);

/* Return: the value, or NULL when the key is not there. */
const char *uri_get(const struct uri *u, const char *key);

/* Size (with suffix), number or switch by key. A missing key leaves *@out alone. */
int uri_get_size(const struct uri *u, const char *key, uint64_t *out, struct riser_err *err);
int uri_get_bool(const struct uri *u, const char *key, bool *out, struct riser_err *err);

/* Refuse keys outside of @allowed (ends in NULL), suggesting the nearest. */
int uri_check_keys(const struct uri *u, const char *const *allowed, struct riser_err *err);

/*
 * The canonical form: keys sorted, escaped only where needed, without the keys in @without (ends
 * in NULL; may be NULL). Return: a string to free(), or NULL.
 */
char *uri_canonical(const struct uri *u, const char *const *without);

#endif
