/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a block device is made of: a source opens it (one file in blk/dev/, one word in the meson
 * list), blk_ops drive it. A device is a leaf (submit) or a layer over other devices (map).
 */
#ifndef BLK_SOURCE_H
#define BLK_SOURCE_H

#include "blk/blk.h"

struct uri;

/**
 * struct blk_source - a URI scheme that opens block devices
 * @size: sizeof(struct blk_source)
 * @scheme: of its URIs; NULL for one that drives PCI functions only
 * @example: one URI, for help
 * @harmless: losing its data harms nobody (a device may say so for itself: riser_blk.harmless)
 * @drives: does it drive a PCI function with this device and vendor id (16 bits each, the device's
 *	above) and class code? NULL: none
 * @open: make the device with blk_new(), which the core frees with blk_put()
 */
struct blk_source {
	size_t size;
	const char *scheme;
	const char *example;
	bool harmless;
	bool (*drives)(uint32_t id, uint32_t class);
	int (*open)(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		    struct riser_err *err);
};

/**
 * enum blk_verdict - what a layer's map did with an I/O
 * @BLK_REMAPPED: blk_remap() was called; the I/O goes on below
 * @BLK_SUBMITTED: the layer has it and will call blk_layer_go() or blk_layer_end()
 * @BLK_DONE: it is finished, io->status says how; it completes at the owner's next poll
 * @BLK_CUT: it is more than one piece: cut it by blk_ops.span
 */
enum blk_verdict { BLK_REMAPPED, BLK_SUBMITTED, BLK_DONE, BLK_CUT };

/**
 * struct blk_ops - what drives a device
 * @size: sizeof(struct blk_ops)
 * @close: free what blk_new() did not make; NULL: nothing
 * @map_new: make one owner's way through the device. @table is what blk_swap() was given, or the
 *	device's own (riser_blk.table). Any thread calls it. It embeds a struct blk_map, calls
 *	blk_map_init(), and a layer opens its lower channels with blk_map_add_lower()
 * @wants_home: whether one executor alone may run what @table makes; other executors' I/O is passed
 *	there. Called under the device's lock: it only looks. NULL: every executor may
 * @install: a swap reached the point where nothing is in flight: take sectors, limits and features
 *	from @table; NULL: they stay
 * @map_free: the reverse, in the owner's thread; lower channels are closed by the core. Takes what
 *	a failed @map_new left
 * @submit: leaf: start an I/O that passed every check. Ends in blk_done() (from here: completes at
 *	the next poll) or blk_end() (from a poll). May call blk_again() when a queue is full and
 *	blk_bounce() when the memory cannot be reached
 * @map: layer: one frame was pushed, whose end_io may be set; see enum blk_verdict
 * @span: layer: how many of the @count sectors from @sector on are one piece for @io's operation.
 *	*@copies, 1 before, says how often that piece is sent on (0: it is not supported there);
 *	@map finds in blk_copy() which copy it has. NULL: all is one piece
 * @listen: somebody wants to hear of what happens to the device by itself, from now on: the driver
 *	calls blk_notify(), or blk_look() where a refresh will tell. Called under the device's lock,
 *	and again for others. NULL: nothing does
 * @refresh: look at the device and fill @now with what it is; may wait for the device. -ENODEV: it
 *	is gone, and its I/O ends in OFFLINE from then on. One at a time. NULL: it never changes
 * @refreshed: what @refresh found holds now; nothing is in flight
 * @start: leaf: called in the owner's thread before its first I/O; NULL: nothing
 * @poll: called at every poll of the owner; return how many things were done. A leaf's from its
 *	first I/O on, a layer's from blk_map_activate() on
 * @arm: leaf: as struct poller
 * @next_deadline: leaf: as struct poller
 * @buf_alloc: memory that the device reaches without a copy (limits.reach BLK_REACH_OWN)
 * @buf_free: its reverse
 * @stats: add what only the driver knows
 */
struct blk_ops {
	size_t size;
	void (*close)(struct riser_blk *b);
	int (*map_new)(struct riser_blk *b, void *table, struct riser_blk_channel *c,
		       struct blk_map **out, struct riser_err *err);
	bool (*wants_home)(const struct riser_blk *b, void *table);
	void (*install)(struct riser_blk *b, void *table);
	void (*map_free)(struct blk_map *m);
	void (*submit)(struct blk_map *m, struct riser_blk_io *io);
	enum blk_verdict (*map)(struct blk_map *m, struct riser_blk_io *io);
	uint32_t (*span)(struct blk_map *m, const struct riser_blk_io *io, uint64_t sector,
			 uint32_t count, uint32_t *copies);
	void (*listen)(struct riser_blk *b);
	int (*refresh)(struct riser_blk *b, struct riser_exec *x, struct blk_current *now,
		       struct riser_err *err);
	void (*refreshed)(struct riser_blk *b);
	void (*start)(struct blk_map *m);
	int (*poll)(struct blk_map *m);
	int (*arm)(struct blk_map *m);
	uint64_t (*next_deadline)(struct blk_map *m);
	int (*buf_alloc)(struct riser_blk *b, size_t len, void **out, struct riser_err *err);
	void (*buf_free)(struct riser_blk *b, void *buf, size_t len);
	void (*stats)(struct blk_map *m, struct riser_blk_stats *stats);
};

/**
 * blk_open_held - riser_blk_open() for a device below another
 * @r: the context
 * @uri: what to open
 * @flags: RISER_BLK_RDWR
 * @holder: who claims it for writing: those who say the same share it; NULL: with nobody
 * @out: the device; riser_blk_close() it
 * @err: filled on failure; may be NULL
 *
 * Return: as riser_blk_open().
 */
int blk_open_held(struct riser *r, const char *uri, uint32_t flags, const void *holder,
		  struct riser_blk **out, struct riser_err *err);

/**
 * blk_new - a device with defaults: 512-byte blocks, nothing supported but read and write
 * @r: the context
 * @ops: what drives it
 * @priv: for @ops; freed by ops->close
 * @out: the device, one reference held
 * @err: filled on failure
 *
 * The caller fills in sectors, limits, features and description before any channel is opened, and
 * an identity where the same device can be opened twice.
 *
 * Return: 0 or -ENOMEM. On failure @priv stays the caller's.
 */
int blk_new(struct riser *r, const struct blk_ops *ops, void *priv, struct riser_blk **out,
	    struct riser_err *err);

/**
 * blk_set_geometry - block size by the URI's key "block", and the size
 * @b: the device
 * @u: its URI
 * @size: bytes; has to be a multiple of the block size, and not 0
 * @err: filled on failure
 *
 * Return: 0 or -EINVAL.
 */
int blk_set_geometry(struct riser_blk *b, const struct uri *u, uint64_t size,
		     struct riser_err *err);

/* A device lives while it is open or a channel on it exists. */
struct riser_blk *blk_get(struct riser_blk *b);
/* Return: false when the last reference is gone already. */
bool blk_try_get(struct riser_blk *b);
void blk_put(struct riser_blk *b);

/* Take over the limits and features of a device below; call for each of them. */
void blk_stack_limits(struct riser_blk *b, const struct riser_blk *lower);

void blk_map_init(struct blk_map *m, struct riser_blk *b, struct riser_blk_channel *c);

/**
 * blk_map_add_lower - open a channel of a map on a device below
 * @m: after blk_map_init()
 * @lower: the device, or NULL to leave the place empty
 * @err: filled on failure
 *
 * Return: 0 or a negative errno; the channel, or NULL, is m->lowers[m->nlowers - 1].
 */
int blk_map_add_lower(struct blk_map *m, struct riser_blk *lower, struct riser_err *err);

/**
 * blk_map_hop - in ops->map_new of a leaf that is short of something: pass I/O to another executor
 * @c: the channel
 * @x: who does it instead; must be polled while the map exists
 * @out: the map
 * @err: filled on failure
 *
 * A channel there, with opts.is_home set, gets a map of its own by ops->map_new.
 *
 * Return: 0 or a negative errno.
 */
int blk_map_hop(struct riser_blk_channel *c, struct riser_exec *x, struct blk_map **out,
		struct riser_err *err);

/*
 * One look-up for reads and writes: the whole device lies at @base of a lower channel of @m.
 * Everything else goes through ops->map. Pure: it changes nothing but @m.
 */
void blk_map_set_linear(struct blk_map *m, struct riser_blk_channel *lower, uint64_t base);

/* In ops->map: send the I/O on to @lower, at @sector there. */
static inline enum blk_verdict blk_remap(struct riser_blk_io *io, struct riser_blk_channel *lower,
					 uint64_t sector)
{
	io_priv(io)->cur = lower;
	io->sector = sector;
	return BLK_REMAPPED;
}

/**
 * blk_suspend - let no I/O in, and wait until what was in flight has ended
 * @b: the device
 * @x: the calling thread's executor, driven meanwhile, or NULL if it runs none
 * @timeout_ns: then the gate is opened again
 * @err: filled on failure; names the device where I/O is parked
 *
 * I/O that comes meanwhile waits with its owner. Suspend a stack from the top down.
 *
 * Return: 0, also when it is suspended already; -ETIMEDOUT; -EDEADLK from inside a completion.
 */
int blk_suspend(struct riser_blk *b, struct riser_exec *x, uint64_t timeout_ns,
		struct riser_err *err);

/* Open the gate again. Return: 0 or -EDEADLK. */
int blk_resume(struct riser_blk *b, struct riser_exec *x, struct riser_err *err);

/**
 * blk_swap - put another table under a layer
 * @b: the device
 * @x: the calling thread's executor, or NULL
 * @table: for ops->map_new and ops->install
 * @timeout_ns: for draining
 * @err: filled on failure
 *
 * Every channel's new map is made first; then the gate closes, what is in flight ends, the maps
 * change places, and the gate opens (a suspended device stays suspended). The old maps are freed by
 * their owners, at their next poll, for which they are woken.
 *
 * Return: 0; on failure (what @map_new said, -ETIMEDOUT, -EDEADLK) the old table is live.
 */
int blk_swap(struct riser_blk *b, struct riser_exec *x, void *table, uint64_t timeout_ns,
	     struct riser_err *err);

/* For blk_map.fast: an I/O at @m's level that is counted in. Every check, then ops->map. */
void blk_slow(struct blk_map *m, struct riser_blk_io *io);

/* For blk_map.fast, where the level has a free frame and nothing needs to be checked: to ops->map.
 */
void blk_fast_map(struct blk_map *m, struct riser_blk_io *io);

/*
 * For blk_map.fast, where the level has a free frame: push it, and on to @lower at @sector there.
 * No function is called but the last.
 */
static inline void blk_fast_remap(struct blk_map *m, struct riser_blk_io *io,
				  struct riser_blk_channel *lower, uint64_t sector)
{
	struct blk_frame *f = m->c->frames;

	m->c->frames = f->up;
	f->up = io_priv(io)->frame;
	io_priv(io)->frame = f;
	io->sector = sector;
	io_priv(io)->cur = lower;
	lower->submit(lower, io);
}

/* In ops->map, for an operation without data: which copy, or which of blk_map.nflush flushes. */
static inline uint32_t blk_copy(struct riser_blk_io *io)
{
	return io_priv(io)->cursor;
}

/* In ops->map: have ops->poll called from now on. */
void blk_map_activate(struct blk_map *m);

/**
 * blk_at_home - call a function where a HOME device runs, and wait for it
 * @b: the device; of one that is not HOME, or whose home is @x, @fn is called here
 * @x: the calling thread's executor, or NULL
 * @fn: nobody else is inside the table's maps meanwhile; may not wait
 * @arg: for @fn
 *
 * Return: 0 or -EDEADLK.
 */
int blk_at_home(struct riser_blk *b, struct riser_exec *x, void (*fn)(void *arg), void *arg);

/* Hear of a device's events (enum riser_blk_event), as riser_blk_on_event() says. */
void blk_listen(struct riser_blk *b, struct listener *l);
void blk_unlisten(struct riser_blk *b, struct listener *l);
/* Any thread, without locks: tell who listens. */
void blk_notify(struct riser_blk *b, enum riser_blk_event event);
/* Any thread, without locks: have an owner of a channel, if there is one, refresh the device. */
void blk_look(struct riser_blk *b);

/* After BLK_SUBMITTED: send it on, or finish it (at the owner's next poll). */
void blk_layer_go(struct riser_blk_io *io, struct riser_blk_channel *lower, uint64_t sector);
void blk_layer_end(struct riser_blk_io *io, enum riser_blk_status status);

/* Leaf: no room now; the core submits it again, in order, at the owner's polls. */
void blk_again(struct blk_map *m, struct riser_blk_io *io);
/* Leaf: the memory cannot be used; the core submits it again with other memory, and counts it. */
void blk_bounce(struct blk_map *m, struct riser_blk_io *io);

/* Leaf, from a poll or from submit: WRITE_ZEROES proved not to be supported here: the core writes
 * zeroes instead. The device has to have set zeroes_maybe. */
void blk_zeroes(struct blk_map *m, struct riser_blk_io *io);

/* The bytes that an I/O moves. */
static inline size_t blk_bytes(const struct riser_blk_io *io)
{
	return (size_t)io->count << RISER_SECTOR_SHIFT;
}

/* Whether every piece of an I/O's memory starts and ends at a multiple of limits.buf_align and
 * crosses no multiple of limits.seg_boundary. */
bool blk_memory_ok(const struct blk_limits *limits, const struct riser_blk_io *io);

/* Copy an I/O's data to or from one piece of memory. */
void blk_copy_in(void *to, const struct riser_blk_io *io);
void blk_copy_out(const struct riser_blk_io *io, const void *from);
void blk_copy_zero(const struct riser_blk_io *io);

/* The leaf's status for an errno (positive or negative). */
enum riser_blk_status blk_status_of(int error);

#endif
