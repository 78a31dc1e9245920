/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Numbers and words from people. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <riser/util.h>

/* The public ones, by the names that the floors use. */
#define parse_u64     riser_parse_u64
#define parse_size    riser_parse_size
#define parse_nearest riser_nearest
#define format_size   riser_format_size

/* 1/0, yes/no, on/off, true/false, "" (a bare key) is true. */
int parse_bool(const char *s, bool *out);

/* Edit distance, for "did you mean". */
unsigned parse_distance(const char *a, const char *b);

#endif
