/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "dm/sums.h"
#include <errno.h>
#include <stdlib.h>

int dm_sums_init(struct dm_sums *s, size_t n)
{
	s->gone = calloc(n, sizeof(*s->gone));
	s->cleared = calloc(n, sizeof(*s->cleared));
	if (!s->gone || !s->cleared) {
		free(s->gone);
		free(s->cleared);
		return -ENOMEM;
	}
	s->n = n;
	list_init(&s->shards);
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

void dm_sums_end(struct dm_sums *s)
{
	pthread_mutex_destroy(&s->lock);
	free(s->gone);
	free(s->cleared);
}

struct dm_shard *dm_shard_new(struct dm_sums *s)
{
	struct dm_shard *shard = calloc(1, sizeof(*shard) + s->n * sizeof(uint64_t));

	if (!shard)
		return NULL;
	shard->sums = s;
	pthread_mutex_lock(&s->lock);
	list_add_tail(&s->shards, &shard->link);
	pthread_mutex_unlock(&s->lock);
	return shard;
}

void dm_shard_free(struct dm_shard *shard)
{
	struct dm_sums *s;

	if (!shard)
		return;
	s = shard->sums;
	pthread_mutex_lock(&s->lock);
	list_del(&shard->link);
	for (size_t i = 0; i < s->n; i++)
		if (shard->counters[i])
			s->gone[i] += shard->counters[i];
	pthread_mutex_unlock(&s->lock);
	free(shard);
}
