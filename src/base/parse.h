/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Numbers and words from people. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal or 0x…, nothing behind it. Return: 0, -EINVAL or -ERANGE. */
int parse_u64(const char *s, uint64_t *out);
/* The same with a binary suffix K, M, G, T, P (and optional "iB" or "B"). */
int parse_size(const char *s, uint64_t *out);
/* 1/0, yes/no, on/off, true/false, "" (a bare key) is true. */
int parse_bool(const char *s, bool *out);

/* Edit distance, for "did you mean". */
unsigned parse_distance(const char *a, const char *b);
/* The nearest of @words (ends in NULL), or NULL when none is near. */
const char *parse_nearest(const char *word, const char *const *words);

/* 4096 → "4 KiB". Return: @buf. */
char *format_size(uint64_t bytes, char *buf, size_t len);

#endif
