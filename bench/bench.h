/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What the benchmarks share: their options, and how a figure is printed. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct bench - what the command line wants
 * @run: the loop to run alone, or NULL
 * @ios: how many I/Os of it
 * @json: one JSON object a line instead of a table
 * @only: the one kind of figure that is wanted, or NULL
 * @self: path of this program
 */
struct bench {
	const char *run;
	uint64_t ios;
	bool json;
	const char *only;
	char self[4096];
};

/* Fill @b, whose defaults are there. Return: false after getopt's sentence on stderr. */
bool bench_parse(struct bench *b, int argc, char **argv);

/* The figure @what of the loop @name; the table leaves @unit out. */
void bench_print(const struct bench *b, const char *name, const char *what, double value,
		 const char *unit);

/* The same again beside @peer, whose figure is @theirs. */
void bench_print_peer(const struct bench *b, const char *name, const char *what, double value,
		      const char *unit, const char *peer, double theirs);

#endif
