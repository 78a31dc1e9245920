/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The device's side of a virtqueue, split or packed.
 *
 * The driver is not trusted: it may write anything into the rings at any moment. A word of theirs
 * is loaded once and checked before use; every address goes through struct vring_mem; a chain never
 * has more descriptors than the queue. A driver that breaks the rules stops its queue:
 * vring.wrong says how, and nothing more is taken from it.
 *
 * Chains are taken with vring_get() and used with vring_put() in any order; vring_publish() makes
 * all that were put visible at once. Where several chains have to be there at a time (mergeable
 * buffers), vring_mark() and vring_rewind() take back what vring_get() took.
 */
#ifndef MODEL_VRING_H
#define MODEL_VRING_H

#include "base/util.h"
#include <riser/virtio_spec.h>
#include <stdbool.h>

/**
 * struct vring_mem - the driver's memory
 * @at: where an address of the device's lies; *@len is how much is wanted, and then how much of
 *	that is in one piece there. NULL: the device may not reach it
 */
struct vring_mem {
	void *(*at)(void *ctx, uint64_t addr, size_t *len);
	void *ctx;
};

struct vring_piece {
	uint64_t addr;
	uint32_t len;
};

/**
 * struct vring_setup - what a driver said of a queue
 * @mem: its memory, for as long as the queue runs
 * @size: entries, 1…32768, a power of two for split ones
 * @desc: split: descriptor table; packed: descriptor ring
 * @driver: split: available ring; packed: driver event suppression
 * @device: split: used ring; packed: device event suppression
 * @features: accepted
 * @start: split: first index of the available ring; packed: available position and wrap counter
 *	(bit 15) below, those of what is used above; as vring_stop() tells them
 */
struct vring_setup {
	const struct vring_mem *mem;
	unsigned size;
	uint64_t desc, driver, device;
	uint64_t features;
	uint32_t start;
};

#define VRING_START_SPLIT  0u
#define VRING_START_PACKED 0x80008000u

/**
 * struct vring - a running queue; zeroed: none
 * @avail: split: running index of the next chain; packed: its position
 * @used: likewise, of the next one to be used
 * @avail_wrap: packed: the wrap counters
 * @batch: with IN_ORDER: chains used and not written, of which the driver is told by the last
 * @nput: entries put and not published
 * @first: packed: position and flags of the first of them, which are written last
 * @told: @used when the driver was interrupted last
 * @piece: of the chain that was taken last
 * @wrong: what the driver did wrong
 */
struct vring {
	struct vring_setup set;
	bool packed, event_idx, in_order, indirect;
	bool avail_wrap, used_wrap, first_wrap;
	uint16_t avail, used, told;
	struct {
		uint16_t id, slots;
		unsigned n;
	} batch;
	uint32_t nput;
	uint16_t first, first_flags;
	struct vring_piece *piece;
	const char *wrong;
};

/**
 * struct vring_chain - a chain of descriptors
 * @id: split: its head; packed: the buffer's id
 * @slots: entries of the ring that it takes
 * @piece: @nout that the device reads, then @nin that it writes; until the next vring_get()
 * @out: bytes of the former, @in of the latter
 */
struct vring_chain {
	uint16_t id, slots;
	unsigned nout, nin;
	const struct vring_piece *piece;
	uint64_t out, in;
};

/* Return: 0, -EINVAL for what the driver may not say (vring.wrong tells), or -ENOMEM. */
int vring_start(struct vring *q, const struct vring_setup *set);
/* Return: where a later vring_start() goes on. */
uint32_t vring_stop(struct vring *q);

/* Return: whether there was a chain. */
bool vring_get(struct vring *q, struct vring_chain *c);

struct vring_mark {
	uint16_t avail;
	bool wrap;
};
static inline struct vring_mark vring_mark(const struct vring *q)
{
	return (struct vring_mark){ .avail = q->avail, .wrap = q->avail_wrap };
}
static inline void vring_rewind(struct vring *q, struct vring_mark m)
{
	q->avail = m.avail;
	q->avail_wrap = m.wrap;
}

/**
 * vring_put - a chain was used
 * @q: the queue
 * @id: of the chain
 * @slots: likewise
 * @len: bytes written into it
 */
void vring_put(struct vring *q, uint16_t id, uint16_t slots, uint32_t len);
/* Return: whether the driver wants to be interrupted. */
bool vring_publish(struct vring *q);

/* Be told of new chains. Return: there is one already. */
bool vring_arm(struct vring *q);
void vring_disarm(struct vring *q);

/* A place in a chain's bytes. */
struct vring_cursor {
	const struct vring_piece *piece, *end;
	uint32_t off;
};
static inline struct vring_cursor vring_out(const struct vring_chain *c)
{
	return (struct vring_cursor){ c->piece, c->piece + c->nout, 0 };
}
static inline struct vring_cursor vring_in(const struct vring_chain *c)
{
	return (struct vring_cursor){ c->piece + c->nout, c->piece + c->nout + c->nin, 0 };
}

/* Copy on from there. Return: how much; less than @len: the chain ended, or vring.wrong. */
size_t vring_read(struct vring *q, struct vring_cursor *at, void *buf, size_t len);
size_t vring_write(struct vring *q, struct vring_cursor *at, const void *buf, size_t len);

/* For vring.c and vring_packed.c, and faults: a word of the ring's, or NULL and vring.wrong. */
void *vring_word(struct vring *q, uint64_t addr, size_t size);
bool vring_wrong(struct vring *q, const char *what);
/* Follow an indirect table or one descriptor: into vring.piece. */
bool vring_add(struct vring *q, struct vring_chain *c, uint64_t addr, uint32_t len, unsigned flags);

bool vring_packed_get(struct vring *q, struct vring_chain *c);
void vring_packed_put(struct vring *q, uint16_t id, uint16_t slots, uint32_t len);
bool vring_packed_publish(struct vring *q);
bool vring_packed_arm(struct vring *q);
void vring_packed_disarm(struct vring *q);

#endif
