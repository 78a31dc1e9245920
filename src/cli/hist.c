/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/hist.h"
#include <inttypes.h>
#include <stdio.h>

#define SUB     (1u << HIST_SUB_BITS)
#define BAR_MAX 50

/* Values below SUB have a bucket each; above, the HIST_SUB_BITS bits below the highest choose. */
static unsigned bucket_of(uint64_t v)
{
	unsigned shift;

	if (v < SUB)
		return (unsigned)v;
	shift = 63 - HIST_SUB_BITS - (unsigned)__builtin_clzll(v);
	return (shift << HIST_SUB_BITS) + (unsigned)(v >> shift);
}

/* The largest value that falls into a bucket. */
static uint64_t top_of(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * SUB)
		return bucket;
	shift = (bucket >> HIST_SUB_BITS) - 1;
	return ((uint64_t)(bucket & (SUB - 1)) + SUB + 1) * ((uint64_t)1 << shift) - 1;
}

void hist_add(struct hist *h, uint64_t ns)
{
	if (!h->total || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->count[bucket_of(ns)]++;
	h->total++;
	h->sum += ns;
}

uint64_t hist_percentile(const struct hist *h, double fraction)
{
	uint64_t want = (uint64_t)((double)h->total * fraction), seen = 0;

	if (!h->total)
		return 0;
	if (want >= h->total)
		want = h->total - 1;
	for (unsigned b = 0; b < HIST_BUCKETS; b++) {
		seen += h->count[b];
		if (seen > want)
			return top_of(b) < h->max ? top_of(b) : h->max;
	}
	return h->max;
}

void hist_print_row(uint64_t low, uint64_t n, uint64_t most)
{
	char bar[BAR_MAX + 1];
	unsigned len = (unsigned)((double)n / (double)most * BAR_MAX + 0.5);

	for (unsigned i = 0; i < BAR_MAX; i++)
		bar[i] = i < len ? '#' : 0;
	bar[BAR_MAX] = 0;
	if (low < 10000)
		printf("  %6" PRIu64 " ns", low);
	else if (low < 10000000)
		printf("  %6" PRIu64 " us", low / 1000);
	else
		printf("  %6" PRIu64 " ms", low / 1000000);
	printf(" %12" PRIu64 "%s%s\n", n, len ? "  " : "", bar);
}

void hist_print(const struct hist *h)
{
	uint64_t row[64] = { 0 }, most = 0;
	unsigned first = 64, last = 0;

	for (unsigned b = 0; b < HIST_BUCKETS; b++) {
		unsigned power = top_of(b) ? 63 - (unsigned)__builtin_clzll(top_of(b)) : 0;

		if (!h->count[b])
			continue;
		row[power] += h->count[b];
		most = row[power] > most ? row[power] : most;
		first = power < first ? power : first;
		last = power > last ? power : last;
	}
	if (first > last)
		return;
	printf("  at least           I/Os\n");
	for (unsigned p = first; p <= last; p++)
		hist_print_row((uint64_t)1 << p, row[p], most);
}
