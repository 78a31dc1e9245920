/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The inside of a virtqueue, what its two kinds of ring have in common.
 *
 * Nothing that the device could have written is ever believed: what is in flight stands in
 * @chains, by the identifier that the device was given (split: of the first descriptor; packed: the
 * buffer id), and in @slots, @next and @more, which are all private memory.
 *
 * @slots is where free identifiers wait, and it goes round with the ring: the identifier of the
 * next chain stands at the ring's own next position, and one that comes back is put where the
 * next free position will be. On a device that uses buffers in the order in which they came (nearly
 * all do) it never changes, and what the device sees of it (the split available ring, which is kept
 * equal to it) does not either: a burst neither compares nor stores there.
 *
 * A chain of several descriptors takes several identifiers, linked by @next; the first one's @more
 * is not 0 then. Their count is the ring's room.
 */
#ifndef VIRTIO_VIRTQ_RING_H
#define VIRTIO_VIRTQ_RING_H

#include "spec/vring.h"
#include "virtio/virtq.h"
#include <string.h>

/**
 * struct virtq_chain - what is in flight under an identifier
 * @cookie: the caller's
 * @limit: a length that the device may not say, so that one comparison tells what is plain: 0 where
 *	nothing is in flight, and for a chain of several descriptors
 * @serial: how many chains were added before. At the second identifier of a chain of several: its
 *	limit
 */
struct virtq_chain {
	void *cookie;
	uint32_t limit;
	uint32_t serial;
};

struct virtq {
	/* The hot part, of both kinds. */
	struct virtq_chain *chains;
	uint16_t *slots;
	unsigned size;
	unsigned room;  /* descriptors */
	uint32_t added; /* chains; split: the low half is the next available index */
	uint16_t mask;  /* split: size - 1 */
	uint16_t in;    /* split: the next used index; packed: position of the next used one */
	uint16_t seen;  /* split: the used index as last read */
	uint16_t out;   /* packed: the next position to make available */
	bool out_wrap;  /* packed */
	bool in_wrap;   /* packed */
	bool held;      /* something was added and not published */
	uint16_t first; /* packed: position of the first of them, whose flags are still to be */
	uint16_t flags; /* ... and what they will be */
	uint32_t fresh; /* split: chains, packed: descriptors, since the last kick */
	union {
		struct riser_virtq_desc *desc;
		struct riser_virtq_packed_desc *ring;
	};
	union {
		struct riser_virtq_avail *avail;
		struct riser_virtq_packed_event *driver;
	};
	union {
		struct riser_virtq_used *used;
		struct riser_virtq_packed_event *device;
	};
	struct virtio_dev *d;

	bool packed, in_order, event_idx, data; /* as was negotiated */
	bool sloppy;                            /* legacy devices' lengths mean nothing */
	bool stopped;                           /* detached, or never started */

	/* IN_ORDER: the device said that everything up to @batch was used. */
	bool batching;
	uint16_t batch;
	uint32_t batch_len;
	uint16_t next_desc; /* split: descriptors are taken in the order of the table */

	uint16_t *next, *more;

	/* A table for each identifier, of @table_len descriptors. */
	struct dma_mem tables;
	unsigned table_len;

	struct virtio_notify notify;
	unsigned index;
	int event_fd;
	uint32_t epoch;
	struct dma_mem mem;
	struct vring_layout layout;
	unsigned detached, left; /* of @chains, once they are sorted by age */
};

/**
 * struct virtq_work - a chain to add
 * @sg: @nout pieces to be read, then @nin to be written; @room has as many descriptors
 * @flags: of each: 0 or INDIRECT
 * @limit: see struct virtq_chain
 */
struct virtq_work {
	const struct virtq_sg *sg;
	unsigned nout, nin;
	uint16_t flags;
	uint32_t limit;
	void *cookie;
};

static inline void virtq_put_chain(struct virtq_chain *c, void *cookie, uint32_t limit,
				   uint32_t serial)
{
	c->cookie = cookie;
	c->limit = limit;
	c->serial = serial;
}

/* It has @n descriptors in fact, and is linked by @next. */
static inline void virtq_put_long(struct virtq *q, uint16_t head, unsigned n)
{
	if (n == 1)
		return;
	q->more[head] = (uint16_t)(n - 1);
	q->chains[q->next[head]].serial = q->chains[head].limit;
	q->chains[head].limit = 0;
}

/* The identifier that the next chain will have. */
uint16_t virtq_split_id(struct virtq *q);
static inline uint16_t virtq_packed_id(const struct virtq *q)
{
	return q->slots[q->out];
}

/* There is room for it. */
void virtq_split_add(struct virtq *q, const struct virtq_work *w);
void virtq_packed_add(struct virtq *q, const struct virtq_work *w);

/* One at least, there is room for all of them, and (split) not IN_ORDER. */
void virtq_split_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies, unsigned n,
		       bool in);
void virtq_packed_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies,
			unsigned n, bool in);

/* Let the device see what was added; behind this a load of what it wants is in order. */
void virtq_split_publish(struct virtq *q);
void virtq_packed_publish(struct virtq *q);
/* Does it want to be told of the @fresh ones? */
bool virtq_split_wanted(const struct virtq *q);
bool virtq_packed_wanted(const struct virtq *q);

unsigned virtq_split_take(struct virtq *q, void **cookies, uint32_t *lens, unsigned n);
unsigned virtq_packed_take(struct virtq *q, void **cookies, uint32_t *lens, unsigned n);

bool virtq_split_arm(struct virtq *q);
bool virtq_packed_arm(struct virtq *q);
void virtq_split_disarm(struct virtq *q);
void virtq_packed_disarm(struct virtq *q);

static inline uint32_t virtq_limit(const struct virtq *q, uint16_t id)
{
	return q->more[id] ? q->chains[q->next[id]].serial : q->chains[id].limit;
}

/* A chain is over. Return: its cookie. Its descriptors are still to be given back. */
static inline void *virtq_finish(struct virtq *q, uint16_t id)
{
	q->chains[id].limit = 0;
	return q->chains[id].cookie;
}

/*
 * Whatever the device said was used, where it was not plain: is @id in flight, and @len one that it
 * may have? Return: true, and @len may have been mended; else the device is broken now.
 */
bool virtq_check(struct virtq *q, uint32_t id, uint32_t *len);
/* Break the device, by what it did. Return: false. */
bool virtq_bad(struct virtq *q, const char *what);

#endif
