/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Statistics of a mapped device: regions as dm-stats has them, and a histogram of latencies for
 * each line of the table.
 *
 * What is counted is a set, which never changes: regions, and whether there are histograms. To
 * begin or end one is to have another set, and the device is compiled anew for it, as for another
 * table: the plan has the set, every map made of it a shard for each of its counters. So nobody
 * who counts ever looks for what changes, and a device that counts nothing has no set, and none of
 * this on its way. A device with a set is opaque: all of its I/O comes by.
 *
 *	regions	  the whole I/O, as it enters the device and as it has ended: blk/watch.h
 *	lines	  each piece, as it enters its target and as the target (or what is below) ends it
 */
#ifndef DM_STATS_H
#define DM_STATS_H

#include "blk/watch.h"
#include "dm/dm.h"
#include "dm/sums.h"

struct dm_region {
	uint32_t refs; /* atomic; the sets */
	unsigned id;
	uint64_t start, len, step; /* sectors */
	size_t areas;
	bool precise;
	unsigned nbounds;
	uint64_t *bounds; /* nanoseconds */
	char *program, *aux;
	struct dm_sums sums;
};

struct dm_stats {
	uint32_t refs; /* atomic; the device and the plans */
	bool lines;
	unsigned n;
	struct dm_region *regions[]; /* by id */
};

/* A map's shards. */
struct dm_counts {
	const struct dm_stats *stats; /* the plan's */
	struct dm_shard *lines;       /* or NULL */
	struct dm_shard *regions[];
};

/* stats.c */
/* @old without @gone (or NULL) and with @come (or NULL). Return: NULL: no memory. */
struct dm_stats *dm_stats_with(const struct dm_stats *old, const struct dm_region *gone,
			       struct dm_region *come, bool lines);
struct dm_stats *dm_stats_get(struct dm_stats *s);
void dm_stats_put(struct dm_stats *s);
/* @beside: what else is counted, or NULL. Return: 0, or -ENOMEM also where that is too much. */
int dm_region_new(const struct dm_region *like, const struct dm_stats *beside,
		  struct dm_region **out, struct riser_err *err);
void dm_region_put(struct dm_region *g);
/* A line for each of @n areas from @first on. */
void dm_region_print(struct dm_region *g, struct riser *r, size_t first, size_t n, bool clear,
		     struct riser_text *out);
/* Have a map count; its plan has statistics. */
int dm_counts_new(struct dm_map *m, struct riser_err *err);
void dm_counts_free(struct dm_counts *c);

/* stats_message.c */
/* Under control: a message that begins with '@'. */
int dm_stats_message(struct riser_dm *d, struct riser_exec *x, struct riser_args *a,
		     struct riser_text *out, struct riser_err *err);

/* lines.c */
int dm_lines_new(struct dm_table *t);
void dm_lines_free(struct dm_table *t);
/* A piece that entered the line which has @sector at @came has ended. */
void dm_lines_add(struct dm_map *m, uint64_t sector, enum riser_blk_op op, uint64_t came);
void dm_lines_print(struct dm_table *t, struct riser_text *out);
void dm_lines_clear(struct dm_table *t);

/* recompile.c */
/*
 * Under control: count by @s from now on, NULL: nothing. The reference is given away.
 * Return: 0; on failure everything is as before.
 */
int dm_set_stats(struct riser_dm *d, struct riser_exec *x, struct dm_stats *s,
		 struct riser_err *err);

#endif
