/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Seeing every I/O of a layer once, whole. See watch.c. */
#ifndef BLK_WATCH_H
#define BLK_WATCH_H

#include "blk/source.h"

/* An I/O as it came to the level. */
struct blk_seen {
	uint64_t sector;
	uint32_t count;
	uint8_t op;
	uint64_t came; /* when */
};

/**
 * struct blk_watcher - who sees them; called in the owner's thread
 * @begin: an I/O that breaks no rule enters the level
 * @end: all of it has ended; for each one that began
 */
struct blk_watcher {
	void (*begin)(struct blk_map *m, const struct blk_seen *io);
	void (*end)(struct blk_map *m, const struct blk_seen *io, uint64_t now);
};

/**
 * blk_watch_new - in ops->map_new of a layer: have a map watched
 * @m: the map; it takes no fast way any more. Free m->watch in ops->map_free
 * @ops: the watcher
 * @err: filled on failure
 *
 * Return: 0 or -ENOMEM.
 */
int blk_watch_new(struct blk_map *m, const struct blk_watcher *ops, struct riser_err *err);

/* The fast way of a watched map. */
void blk_watched(struct blk_map *m, struct riser_blk_io *io);

#endif
