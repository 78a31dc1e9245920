/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * How long each line of a table takes: a histogram by powers of two for its reads, writes, flushes
 * and discards. They are the table's: another table begins with none.
 */
#include "base/err.h"
#include "dm/stats.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const classes[] = { "read", "write", "flush", "discard" };

#define BUCKETS   32
#define FIRST_LOG 10 /* the first bucket is what took less than 1024 ns */
#define LINE      (array_len(classes) * BUCKETS)

static unsigned class_of(enum riser_blk_op op)
{
	switch (op) {
	case RISER_BLK_READ:
	case RISER_BLK_COMPARE:
		return 0;
	case RISER_BLK_FLUSH:
		return 2;
	case RISER_BLK_DISCARD:
		return 3;
	default:
		return 1;
	}
}

static unsigned bucket_of(uint64_t took)
{
	unsigned log = took ? 64 - (unsigned)__builtin_clzll(took) : 0;

	return log < FIRST_LOG ? 0 : min_of(log - FIRST_LOG, BUCKETS - 1u);
}

int dm_lines_new(struct dm_table *t)
{
	struct dm_sums *s;

	if (t->lines)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s || dm_sums_init(s, t->ntargets * LINE)) {
		free(s);
		return -ENOMEM;
	}
	t->lines = s;
	return 0;
}

void dm_lines_free(struct dm_table *t)
{
	if (t->lines)
		dm_sums_end(t->lines);
	free(t->lines);
}

void dm_lines_add(struct dm_map *m, uint64_t sector, enum riser_blk_op op, uint64_t came)
{
	uint64_t now = exec_now(m->map.owner->x), took = now > came ? now - came : 0;
	size_t line = dm_table_line(m->plan->table, sector);

	if (op == RISER_BLK_BLOCK_STATUS)
		return;
	dm_count(
		&m->counts->lines->counters[line * LINE + class_of(op) * BUCKETS + bucket_of(took)],
		1);
}

static void print_class(struct dm_sums *s, const struct riser_target *t, unsigned class, size_t at,
			struct riser_text *out)
{
	uint64_t n[BUCKETS], total = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		n[i] = dm_sums_show(s, at + i, dm_sums_raw(s, at + i), false);
		total += n[i];
	}
	if (!total)
		return;
	riser_text_add(out, "%llu %llu %s %s %llu", (unsigned long long)t->begin,
		       (unsigned long long)t->len, t->ops->name, classes[class],
		       (unsigned long long)total);
	for (unsigned i = 0; i < BUCKETS; i++) {
		if (n[i] && i < BUCKETS - 1)
			riser_text_add(out, " %llu:%llu", 1ull << (FIRST_LOG + i),
				       (unsigned long long)n[i]);
		else if (n[i])
			riser_text_add(out, " -:%llu", (unsigned long long)n[i]);
	}
	riser_text_add(out, "\n");
}

void dm_lines_print(struct dm_table *t, struct riser_text *out)
{
	struct dm_sums *s = t->lines;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < t->ntargets; i++)
		for (unsigned class = 0; class < array_len(classes); class ++)
			print_class(s, t->targets[i], class, i * LINE + class * BUCKETS, out);
	pthread_mutex_unlock(&s->lock);
}

void dm_lines_clear(struct dm_table *t)
{
	struct dm_sums *s = t->lines;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n; i++)
		dm_sums_show(s, i, dm_sums_raw(s, i), true);
	pthread_mutex_unlock(&s->lock);
}
