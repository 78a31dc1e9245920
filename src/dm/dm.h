/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The device mapper.
 *
 *	text ──► table ──► plan ──► map (one a channel)
 *
 * A table is what the text says: target instances and the devices that they name. A plan is what a
 * table was compiled to: extents, sorted by sector, in which lines that are pure functions of the
 * sector (linear, striped, zero, error) were followed down through other mapped devices, so that
 * I/O does not pass through these. One table may have several plans, one after the other: devices
 * that are suspended, or that count statistics, are never skipped (plan.c, recompile.c). A map is
 *one owner's way through a plan, with a channel for every device of it.
 *
 *	table.c	 text to table	      plan.c	table to plan	  map.c	  the way of an I/O
 *	device.c slots, suspend, resume, messages	  target.c  what targets call
 *	source.c the URIs dm: and table:		  dev.c	    devices by URI, one each
 *	names.c	 what mapped devices are called		  plugin.c  targets from shared objects
 *	recompile.c  who is compiled anew when a device may be skipped, or may not
 *	stats.h  statistics, for devices that have them
 *
 * Control operations are serialised in a context: struct riser.dm.holder. Who waits for another
 * drives his executor meanwhile. No lock is held.
 */
#ifndef DM_DM_H
#define DM_DM_H

#include "base/listen.h"
#include "base/riser.h"
#include "blk/source.h"
#include <riser/dm.h>

struct dm_counts;
struct dm_stats;
struct dm_sums;

/* A device that tables name; one for each URI, or mapped device, and mode in a context. */
struct dm_dev {
	char *uri; /* NULL: a mapped device by its name, which may change; see dm_dev_uri() */
	bool rdwr;
	unsigned refs; /* under the context's lock */
	struct riser_blk *b;
	struct riser_dm *dm; /* where it is a mapped device */
};

/* A table and a device that it names. */
struct dm_use {
	struct list link; /* where that is a mapped one: in its list of users */
	struct dm_table *table;
	struct riser_blk *b;
	struct listener listener; /* while the table is live */
	bool listens;
};

/* A range of a device that a line names; noted for dm_check() alone. */
struct dm_range {
	unsigned target, dev;
	const char *identity; /* the device's, or its URI */
	uint64_t start, len;
	struct riser_dm_where where;
};

struct dm_notes {
	struct dm_range *ranges;
	unsigned nranges;
	struct riser_dm_where *targets; /* where each line has its target's name */
	unsigned ntargets;
};

#define NO_DEV (~0u)

struct dm_table {
	struct riser_dm *d;
	const struct dm_parser *parser; /* while it is made */
	struct dm_notes *notes;         /* or NULL */
	uint32_t refs;                  /* atomic; the device and the plans */
	struct riser_target **targets;
	unsigned *firsts; /* of each target: the first device that it named, or NO_DEV */
	unsigned ntargets;
	struct dm_dev **devs;
	uint64_t *dev_ends; /* how much of it the table needs, in sectors */
	struct dm_use *uses;
	unsigned ndevs, nuses; /* uses: as many as devices, 0 before it is made and after it left */
	uint64_t sectors;
	bool home;
	struct dm_sums *lines; /* each line's histograms, or NULL: see lines.c */
};

enum dm_kind { DM_LINEAR, DM_STRIPED, DM_ZERO, DM_ERROR, DM_TARGET };

struct dm_stripes {
	uint32_t chunk, n;
	uint8_t chunk_shift, n_shift;   /* of powers of two, else NO_SHIFT */
	struct riser_target_leg legs[]; /* dev: of the plan */
};
#define NO_SHIFT 0xff

struct dm_extent {
	uint64_t begin, len;
	uint64_t base; /* LINEAR: sector there; STRIPED: of the stripes, where it begins */
	union {
		unsigned dev; /* of the plan */
		const struct dm_stripes *stripes;
		struct riser_target *target;
	};
	enum dm_kind kind;
};

struct dm_flush {
	struct riser_target *target; /* NULL: the device */
	uint64_t begin; /* of the extent that it is for, the first where it is for several */
	unsigned dev, copy;
};

/* A device that a plan skips, in that device's list of skippers while the plan is live. */
struct dm_skip {
	struct list link;
	struct riser_dm *dm;
	struct dm_plan *plan;
};

struct dm_plan {
	uint32_t refs; /* atomic; the device and the maps */
	struct dm_table *table;
	struct riser_blk sum; /* limits and features, see dm_table_sum(); nothing else */
	struct dm_extent *extents;
	unsigned n, size;
	struct riser_blk **devs; /* the table's first, by the same index; references are held */
	unsigned ndevs, devs_size;
	bool *used; /* of each device: whether I/O goes there; what is skipped needs no channel */
	struct dm_stripes **stripes;
	unsigned nstripes;
	struct dm_flush *flushes;
	unsigned nflushes;
	bool mixed;             /* some extents get no flush */
	struct dm_stats *stats; /* what is counted, or NULL */
	struct dm_skip *skips;
	unsigned nskips;
};

/*
 * A mapped device. Changed under control alone, but for the event number and for what is done when
 * it is freed; tables, plan and the lists (but @order) under the context's lock too, so that others
 * may look.
 */
struct riser_dm {
	struct riser *r;
	struct riser_blk *b;
	struct list link;  /* in struct riser.dm.suspended */
	struct list order; /* of those that are to be compiled */
	char name[RISER_DM_NAME_MAX + 1];
	char uri[sizeof("dm:") + RISER_DM_NAME_MAX]; /* the name, as tables call it */
	char uuid[RISER_DM_UUID_MAX + 1];
	uint32_t flags;
	uint32_t event_nr; /* atomic */
	struct dm_table *live, *inactive;
	struct dm_plan *plan;   /* of the live table */
	struct dm_stats *stats; /* what is counted, or NULL: see stats.h */
	bool suspended;
	bool opaque;          /* must not be skipped: it counts, is suspended, or is about to be */
	uint64_t walk;        /* the last walk that was here, see table.c */
	struct list users;    /* struct dm_use: live and inactive tables that name it */
	struct list skippers; /* struct dm_skip */
};

/* A leg of the stripes that are all of a plan, with this owner's channel. */
struct dm_leg {
	struct riser_blk_channel *lower;
	uint64_t start;
};

/* One owner's way. What plain reads and writes need is here, so that they follow few pointers. */
struct dm_map {
	struct blk_map map;
	uint32_t limit; /* sectors; what is larger is not plain */
	/* The linear piece that was hit last; @len 0: none. */
	uint64_t begin, len, shift;
	struct riser_blk_channel *lower;
	/* Stripes by powers of two, where they are all of it. */
	uint64_t sectors, row_mask;
	uint32_t chunk_mask, leg_mask;
	uint8_t chunk_shift, leg_shift;
	struct dm_leg *legs;
	struct dm_plan *plan;
	struct dm_counts *counts; /* or NULL */
};

/* map.c */
extern const struct blk_ops dm_ops;
/* Where a sector of the stripes is: which leg, and where there. Return: sectors to the chunk's end.
 */
uint64_t dm_stripe_of(const struct dm_stripes *s, uint64_t sector, uint32_t *leg, uint64_t *at);
/* How many sectors of a leg lie below @sector of the stripes. */
uint64_t dm_leg_sectors(const struct dm_stripes *s, uint64_t sector, uint32_t leg);
/* A piece that riser_target_end() ends, before it does. */
void dm_kept_end(struct riser_blk_io *io);
/* The extent that has a sector of the device. */
const struct dm_extent *dm_lookup(const struct dm_plan *p, uint64_t sector);

/* Return: the mapped device, or NULL where it is none. */
static inline struct riser_dm *dm_of(const struct riser_blk *b)
{
	return b->ops == &dm_ops ? b->priv : NULL;
}

/* table.c */
/* @notes: filled, or NULL; the caller frees what it points to. */
int dm_table_new(struct riser_dm *d, const char *text, struct dm_notes *notes,
		 struct dm_table **out, struct riser_dm_where *where, struct riser_err *err);
void dm_table_put(struct dm_table *t);
/* What the devices below are at this moment, in @b, which is empty. */
void dm_table_sum(const struct dm_table *t, struct riser_blk *b);
/* Under control, when it goes live: what happens to the devices below is an event. */
void dm_table_listen(struct dm_table *t);
/* When it leaves its slot: the devices below are no longer used by it. */
void dm_table_leave(struct dm_table *t);
/* The line that has a sector. */
struct riser_target *dm_table_find(const struct dm_table *t, uint64_t sector);
unsigned dm_table_line(const struct dm_table *t, uint64_t sector);
const struct riser_target_ops *dm_find_target(struct riser *r, const char *name);
/* Words in place, brackets kept together. Return: how many, at most @max. */
unsigned dm_words(char *text, char **words, unsigned max);

/* plugin.c */
/* Nothing is open in the context any more. */
void dm_free_plugins(struct riser *r);

/* dev.c */
int dm_dev_get(struct riser *r, const char *uri, bool rdwr, struct dm_dev **out,
	       struct riser_err *err);
void dm_dev_put(struct riser *r, struct dm_dev *v);

/* Under control, as names change: what tables call it. */
static inline const char *dm_dev_uri(const struct dm_dev *v)
{
	return v->uri ? v->uri : v->dm->uri;
}

/* plan.c */
int dm_plan_new(struct dm_table *t, struct dm_plan **out, struct riser_err *err);
void dm_plan_put(struct dm_plan *p);

/* device.c */
/* Any thread: raise the event number. */
void dm_event(struct riser_dm *d);
int dm_control_begin(struct riser *r, struct riser_exec *x, uint64_t deadline,
		     struct riser_err *err);
void dm_control_end(struct riser *r);
/* What a timeout from now on ends at, and how much of it is left. */
uint64_t dm_deadline_in(struct riser *r, uint64_t timeout_ns);
uint64_t dm_left_of(struct riser *r, uint64_t deadline);
int dm_new(struct riser *r, const char *name, const char *uuid, uint32_t flags,
	   struct riser_dm **out, struct riser_err *err);
void dm_free(struct riser_dm *d);

/* names.c */
/* A reference to one's block device, by name. Return: NULL where there is none. */
struct riser_dm *dm_open(struct riser *r, const char *name);
int dm_check_name(const char *what, const char *s, size_t max, struct riser_err *err);
/* Call it @name and give it @uuid, both or neither; NULL or "": that stays as it is. */
int dm_set_names(struct riser_dm *d, const char *name, const char *uuid, struct riser_err *err);
/* The caller holds the context's lock. */
void dm_leave_names(struct riser_dm *d);

/* recompile.c: under control */
/* Make a plan, or none, the one that the device's maps are made of; it is installed. */
void dm_set_plan(struct riser_dm *d, struct dm_plan *p);
/* Nobody passes it by any more. */
int dm_make_opaque(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
		   struct riser_err *err);
/* It may be passed by; where that cannot be, it is not. */
void dm_make_clear(struct riser_dm *d, struct riser_exec *x, uint64_t deadline);

#endif
