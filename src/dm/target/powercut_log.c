/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "dm/target/powercut_log.h"
#include <riser/target.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>

#define UNITS_MAX 65536 /* of one entry that are torn apart */

size_t powercut_len(uint8_t op, uint32_t count)
{
	return op == RISER_BLK_WRITE ? (size_t)count << RISER_SECTOR_SHIFT : 0;
}

/* What has no data takes room too. */
static uint64_t room_of(uint8_t op, uint32_t count)
{
	return max_of(powercut_len(op, count), (size_t)RISER_SECTOR_SIZE);
}

struct powercut_entry *powercut_entry_new(uint8_t op, uint64_t sector, uint32_t count)
{
	struct powercut_entry *e = calloc(1, sizeof(*e) + powercut_len(op, count));

	if (!e)
		return NULL;
	e->op = op;
	e->sector = sector;
	e->count = count;
	return e;
}

void powercut_add(struct powercut_log *l, struct powercut_entry *e)
{
	e->number = ++l->number;
	l->used += room_of(e->op, e->count);
	list_add_tail(&l->entries, &e->link);
}

void powercut_drop(struct powercut_log *l, struct powercut_entry *e)
{
	l->used -= room_of(e->op, e->count);
	l->changes++;
	list_del(&e->link);
	free(e);
}

void powercut_count_retired(struct powercut_log *l)
{
	const struct powercut_entry *oldest = list_first(&l->entries, struct powercut_entry, link);

	l->retired = oldest ? oldest->number - 1 : l->number;
}

bool powercut_has_room(const struct powercut_log *l, const struct riser_blk_io *io)
{
	return l->used + room_of(io->op, io->count) <= l->size;
}

static bool overlaps(const struct powercut_entry *e, const struct riser_blk_io *io)
{
	return e->sector < io->sector + io->count && io->sector < e->sector + e->count;
}

uint64_t powercut_newest(const struct powercut_log *l, const struct riser_blk_io *io)
{
	uint64_t newest = NOT_IN_LOG;

	list_for_each (e, &l->entries, struct powercut_entry, link)
		if (overlaps(e, io))
			newest = e->number;
	return newest;
}

enum riser_blk_status powercut_lay_over(const struct powercut_log *l, const struct riser_blk_io *io)
{
	uint8_t *data = malloc((size_t)io->count << RISER_SECTOR_SHIFT);

	if (!data)
		return RISER_BLK_RESOURCE;
	riser_target_copy_in(io, data);
	list_for_each (e, &l->entries, struct powercut_entry, link) {
		uint64_t from = max_of(e->sector, io->sector);
		uint64_t to = min_of(e->sector + e->count, io->sector + io->count);
		size_t at = (from - io->sector) << RISER_SECTOR_SHIFT;
		size_t len = (to - from) << RISER_SECTOR_SHIFT;

		if (from >= to || e->op == RISER_BLK_DISCARD)
			continue;
		if (e->op == RISER_BLK_WRITE_ZEROES)
			memset(data + at, 0, len);
		else
			memcpy(data + at, e->data + ((from - e->sector) << RISER_SECTOR_SHIFT),
			       len);
	}
	riser_target_copy_out(io, data);
	free(data);
	return RISER_BLK_OK;
}

/* The cut. */

/* splitmix64 */
static uint64_t draw(struct powercut_log *l)
{
	uint64_t z = l->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Sectors @from to @to of an entry are left of it. */
static void keep(struct powercut_log *l, const struct powercut_entry *e, uint64_t from, uint64_t to,
		 struct list *kept)
{
	struct powercut_entry *part = powercut_entry_new(e->op, from, (uint32_t)(to - from));

	if (!part)
		return; /* it is lost, as it may be */
	part->flags = e->flags;
	part->survived = true;
	memcpy(part->data,
	       e->data + (e->op == RISER_BLK_WRITE ? (from - e->sector) << RISER_SECTOR_SHIFT : 0),
	       powercut_len(e->op, part->count));
	list_add_tail(kept, &part->link);
}

/* Units end at multiples of their size on the device. */
static uint64_t next_unit(uint64_t start, uint64_t sector, uint64_t end, uint64_t unit)
{
	return min_of(end, sector + unit - (start + sector) % unit);
}

/* Return: whether anything of it survived. */
static bool draw_lots(struct powercut_log *l, const struct powercut_entry *e, uint64_t start,
		      struct list *kept)
{
	uint64_t end = e->sector + e->count, from = e->sector, to, unit = l->torn;
	bool some = false;

	if (draw(l) & 1)
		return false;
	if (!unit || draw(l) & 1) {
		keep(l, e, e->sector, end, kept);
		return true;
	}
	unit *= e->count / (unit * UNITS_MAX) + 1;
	for (; from < end; from = next_unit(start, to, end, unit)) { /* that one is lost */
		for (to = from; to < end && draw(l) & 1;)
			to = next_unit(start, to, end, unit);
		if (to > from)
			keep(l, e, from, to, kept);
		some |= to > from;
	}
	return some;
}

/* Put the survivors into the log, in random order. */
static void shuffle(struct powercut_log *l, struct list *kept)
{
	size_t n = 0, i = 0;
	struct powercut_entry **all;

	list_for_each (e, kept, struct powercut_entry, link)
		n++;
	all = malloc((n + 1) * sizeof(struct powercut_entry *));
	list_for_each_safe (e, kept, struct powercut_entry, link) {
		list_del(&e->link);
		if (all)
			all[i++] = e;
		else
			powercut_add(l, e); /* no memory: in order, which is random enough */
	}
	for (; i; i--) {
		size_t k = draw(l) % i;
		struct powercut_entry *e = all[k];

		all[k] = all[i - 1];
		powercut_add(l, e);
	}
	free(all);
}

uint64_t powercut_log_cut(struct powercut_log *l, const struct powercut_entry *writing,
			  uint64_t start, uint64_t *before)
{
	uint64_t after = 0;
	struct list kept;

	*before = 0;
	list_init(&kept);
	list_for_each_safe (e, &l->entries, struct powercut_entry, link) {
		if (e == writing || e->survived)
			continue;
		++*before;
		after += draw_lots(l, e, start, &kept);
		powercut_drop(l, e);
	}
	shuffle(l, &kept);
	powercut_count_retired(l);
	return after;
}
