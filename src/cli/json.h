/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A JSON writer: values as they come, to a stream. @key is NULL inside arrays. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 16

struct json {
	FILE *f;
	unsigned depth;
	bool first;
	bool one_line; /* the caller's: no new lines between members */
	char closer[JSON_DEPTH_MAX];
};

void json_init(struct json *j, FILE *f);
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
/* Close the innermost object or array; the outermost ends the line. */
void json_end(struct json *j);

/* @s may hold any bytes: what is no UTF-8 is taken as Latin-1. NULL gives null. */
void json_str(struct json *j, const char *key, const char *s);
void json_strn(struct json *j, const char *key, const char *s, size_t len);
void json_u64(struct json *j, const char *key, uint64_t v);
/* @digits is a number already written out, of any length. */
void json_digits(struct json *j, const char *key, const char *digits);
void json_i64(struct json *j, const char *key, int64_t v);
void json_f64(struct json *j, const char *key, double v);
void json_bool(struct json *j, const char *key, bool v);

#endif
