/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "bench.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool bench_parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = { { "run", required_argument, NULL, 'r' },
						 { "ios", required_argument, NULL, 'n' },
						 { "json", no_argument, NULL, 'j' },
						 { "only", required_argument, NULL, 'o' },
						 { 0 } };
	ssize_t n = readlink("/proc/self/exe", b->self, sizeof(b->self) - 1);
	int c;

	b->self[n > 0 ? n : 0] = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			b->run = optarg;
		else if (c == 'n')
			b->ios = strtoull(optarg, NULL, 0);
		else if (c == 'j')
			b->json = true;
		else if (c == 'o')
			b->only = optarg;
		else
			return false;
	}
	return true;
}

void bench_print(const struct bench *b, const char *name, const char *what, double value,
		 const char *unit)
{
	if (b->json)
		printf("{\"name\":\"%s.%s\",\"value\":%.2f,\"unit\":\"%s\"}\n", name, what, value,
		       unit);
	else
		printf("%-40s %-14s %12.2f\n", name, what, value);
	fflush(stdout);
}

void bench_print_peer(const struct bench *b, const char *name, const char *what, double value,
		      const char *unit, const char *peer, double theirs)
{
	double ratio = theirs > 0 ? value / theirs : 0;

	if (b->json)
		printf("{\"name\":\"%s.%s\",\"value\":%.2f,\"unit\":\"%s\",\"peer\":\"%s\","
		       "\"peer_value\":%.2f,\"ratio\":%.3f}\n",
		       name, what, value, unit, peer, theirs, ratio);
	else
		printf("%-40s %-14s %12.3f of %s's %.2f\n", name, what, ratio, peer, theirs);
	fflush(stdout);
}
