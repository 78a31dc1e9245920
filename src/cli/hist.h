/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A log-linear histogram of nanoseconds: 32 buckets for each power of two, so that a percentile is
 * off by 3 % at most, whatever its size.
 */
#ifndef CLI_HIST_H
#define CLI_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t count[HIST_BUCKETS];
	uint64_t total, sum, min, max;
};

void hist_add(struct hist *h, uint64_t ns);
/* The value that @fraction (0…1) of what was added is not above; 0 when there is nothing. */
uint64_t hist_percentile(const struct hist *h, double fraction);
/* Lines with bars, one for each power of two that occurred, on stdout. */
void hist_print(const struct hist *h);
/* One such line: @n took at least @low ns; @most is what the longest bar stands for. */
void hist_print_row(uint64_t low, uint64_t n, uint64_t most);

#endif
