/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a powercut target caches: the log of what was written, the oldest first, and the lots that a
 * cut draws for it.
 */
#ifndef DM_TARGET_POWERCUT_LOG_H
#define DM_TARGET_POWERCUT_LOG_H

#include "base/list.h"
#include <riser/blk.h>
#include <stddef.h>

#define NOT_IN_LOG 0

struct powercut_entry {
	struct list link;
	uint64_t number;
	bool survived; /* a cut: the next one will not touch it */
	uint8_t op;    /* WRITE, WRITE_ZEROES, DISCARD */
	uint8_t flags;
	uint64_t sector;
	uint32_t count;
	uint8_t data[]; /* of a WRITE */
};

struct powercut_log {
	struct list entries;
	uint64_t size, used;      /* bytes */
	uint64_t number, retired; /* of entries and flushes */
	uint64_t changes;         /* how often an entry left it */
	uint32_t torn;            /* sectors that are never torn; 0: writes never are */
	uint64_t random;
};

size_t powercut_len(uint8_t op, uint32_t count);
struct powercut_entry *powercut_entry_new(uint8_t op, uint64_t sector, uint32_t count);
void powercut_add(struct powercut_log *l, struct powercut_entry *e);
void powercut_drop(struct powercut_log *l, struct powercut_entry *e);
/* What lies before the oldest entry is on the device. */
void powercut_count_retired(struct powercut_log *l);
bool powercut_has_room(const struct powercut_log *l, const struct riser_blk_io *io);
/* Return: the newest entry that an I/O overlaps, or NOT_IN_LOG. */
uint64_t powercut_newest(const struct powercut_log *l, const struct riser_blk_io *io);
/* Lay the log over what a read brought up. A discard says nothing about the data. */
enum riser_blk_status powercut_lay_over(const struct powercut_log *l,
					const struct riser_blk_io *io);
/*
 * Have the survivors alone in the log, in random order, but for @writing (or NULL), and what has
 * survived before. @start: where sector 0 is on the device. Return: how many of @before survived.
 */
uint64_t powercut_log_cut(struct powercut_log *l, const struct powercut_entry *writing,
			  uint64_t start, uint64_t *before);

#endif
