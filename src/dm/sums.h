/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Counters that several owners write without a lock: each has a shard that he alone writes, with
 * relaxed stores; who reads adds the shards up, under the lock, which is taken to read, to begin
 * and to end a shard, and never to count. What a shard counted stays when it goes. Counters are
 * cleared by remembering what they were.
 */
#ifndef DM_SUMS_H
#define DM_SUMS_H

#include "base/barrier.h"
#include "base/list.h"
#include <pthread.h>
#include <stdint.h>

struct dm_sums {
	pthread_mutex_t lock;
	struct list shards;
	size_t n;
	uint64_t *gone;    /* what shards counted that are no more */
	uint64_t *cleared; /* what is not shown */
};

struct dm_shard {
	struct list link;
	struct dm_sums *sums;
	uint64_t counters[];
};

/* Return: 0 or -ENOMEM. */
int dm_sums_init(struct dm_sums *s, size_t n);
void dm_sums_end(struct dm_sums *s); /* no shard is left */
struct dm_shard *dm_shard_new(struct dm_sums *s);
void dm_shard_free(struct dm_shard *shard); /* or NULL */

/* The next two with the lock held. */
static inline uint64_t dm_sums_raw(const struct dm_sums *s, size_t i)
{
	uint64_t sum = s->gone[i];

	list_for_each (shard, &s->shards, struct dm_shard, link)
		sum += load_relaxed(&shard->counters[i]);
	return sum;
}

/* @raw without what was cleared; with @clear there is nothing left to show. */
static inline uint64_t dm_sums_show(struct dm_sums *s, size_t i, uint64_t raw, bool clear)
{
	uint64_t shown = raw > s->cleared[i] ? raw - s->cleared[i] : 0;

	if (clear)
		s->cleared[i] = raw;
	return shown;
}

/* By the shard's owner. */
static inline void dm_count(uint64_t *counter, uint64_t by)
{
	store_relaxed(counter, load_relaxed(counter) + by);
}

#endif
