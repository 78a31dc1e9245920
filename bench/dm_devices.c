/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Ten thousand mapped devices in one process, without channels: what one of them weighs, whether
 * making them is linear (a straight line through the times of 1,000 to 10,000 of them), and how
 *long it takes to put another table into one that is idle.
 *
 *	dm_devices [--json]
 */
#include "bench.h"
#include <riser/dm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEPS   10
#define STEP    1000
#define DEVICES (STEPS * STEP)
#define SWAPS   1001

static struct riser_dm *devices[DEVICES];
static struct riser_err err;
static struct riser *r;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "bench: %s\n", err.text);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double resident(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Two lines over a device that all share, and every second one over the one before it. */
static void make(unsigned i)
{
	char name[16], table[160];

	snprintf(name, sizeof(name), "d%u", i);
	if (i % 2)
		snprintf(table, sizeof(table), "0 2048 linear dm:d%u 0", i - 1);
	else
		snprintf(table, sizeof(table),
			 "0 1024 linear null:1T %u\n1024 1024 linear null:1T %u", 4096 * i,
			 4096 * i + 2048);
	must(riser_dm_create(r, name, NULL, 0, &devices[i], &err));
	must(riser_dm_load(devices[i], NULL, table, NULL, &err));
	must(riser_dm_resume(devices[i], NULL, UINT64_MAX, &err));
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median_swap(void)
{
	static double took[SWAPS];

	for (unsigned i = 0; i < SWAPS; i++) {
		struct riser_dm *d = devices[i * 9];
		double start;

		must(riser_dm_load(d, NULL, "0 2048 linear null:1T 77", NULL, &err));
		start = now();
		must(riser_dm_resume(d, NULL, UINT64_MAX, &err));
		took[i] = now() - start;
	}
	qsort(took, SWAPS, sizeof(took[0]), by_value);
	return took[SWAPS / 2];
}

int main(int argc, char **argv)
{
	struct bench bench = { 0 };
	double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0, start, before, slope, cov, r2;

	if (!bench_parse(&bench, argc, argv))
		return 2;
	must(riser_new(NULL, &r, &err));
	make(0);
	make(1);
	before = resident();
	start = now();
	for (unsigned i = 2; i < DEVICES; i++) {
		make(i);
		if ((i + 1) % STEP)
			continue;
		n++;
		sx += i;
		sy += now() - start;
		sxx += (double)i * i;
		sxy += i * (now() - start);
		syy += (now() - start) * (now() - start);
	}
	cov = n * sxy - sx * sy;
	slope = cov / (n * sxx - sx * sx);
	r2 = cov * cov / ((n * sxx - sx * sx) * (n * syy - sy * sy));
	bench_print(&bench, "dm.devices", "bytes_each", (resident() - before) / (DEVICES - 2),
		    "bytes of memory for each of 10,000 mapped devices without channels");
	bench_print(&bench, "dm.devices.setup", "ns_each", slope,
		    "ns for each: the slope of the line through ten times");
	bench_print(&bench, "dm.devices.setup", "r2", r2, "how well the line fits: 1 is linear");
	bench_print(&bench, "dm.devices.swap", "ns", median_swap(),
		    "ns to put another table into an idle one, the median of 1,001");
	for (unsigned i = DEVICES; i-- > 0;)
		must(riser_dm_remove(devices[i], NULL, &err));
	riser_free(r);
	return 0;
}
