/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * How long a cache line takes from processor 0 to processor 1 and back, in nanoseconds: the middle
 * one of several runs. What devices and drivers that poll do to each other rests on it, and on
 * shared machines it changes within minutes.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 100000u
#define RUNS   9

static uint32_t line __attribute__((aligned(128)));

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Wait for @odd or even numbers, and answer each with the next one. */
static void play(uint32_t odd)
{
	for (uint32_t i = odd; i < 2 * ROUNDS; i += 2) {
		while (__atomic_load_n(&line, __ATOMIC_ACQUIRE) != i)
			;
		__atomic_store_n(&line, i + 1, __ATOMIC_RELEASE);
	}
}

static void *partner(void *arg)
{
	pin(1);
	play(1);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	double ns[RUNS];

	pin(0);
	for (unsigned i = 0; i < RUNS; i++) {
		struct timespec from, to;
		pthread_t thread;

		line = 0;
		if (pthread_create(&thread, NULL, partner, NULL))
			return 1;
		clock_gettime(CLOCK_MONOTONIC, &from);
		play(0);
		pthread_join(thread, NULL);
		clock_gettime(CLOCK_MONOTONIC, &to);
		ns[i] = ((double)(to.tv_sec - from.tv_sec) * 1e9 +
			 (double)(to.tv_nsec - from.tv_nsec)) /
			ROUNDS;
	}
	qsort(ns, RUNS, sizeof(*ns), by_value);
	printf("%.0f\n", ns[RUNS / 2]);
	return 0;
}
