/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtqueue, the driver's side of it: split or packed, with or without indirect descriptors,
 * EVENT_IDX, IN_ORDER and NOTIFICATION_DATA, as was negotiated.
 *
 * It has one owner. Chains are added, published and announced in bursts: virtq_add() … then one
 * virtq_kick(). Nothing is translated in here: the caller gives IOVAs. Each id and length that the
 * device writes is checked before use: a device that breaks the rules breaks its queue, never us.
 */
#ifndef VIRTIO_VIRTQ_H
#define VIRTIO_VIRTQ_H

#include "virtio/virtio.h"

/* A piece of memory, as the device sees it. */
struct virtq_sg {
	uint64_t iova;
	uint32_t len;
};

struct virtq;

/**
 * virtq_new - make a queue and start it on the device
 * @d: the device, between virtio_negotiate() and virtio_start(); or after a RING_RESET of it
 * @index: its number
 * @size: entries at the most; the device's own maximum bounds it
 * @event_fd: as struct virtio_layout
 * @out: the queue; free it with virtq_free() after virtio_reset() or virtq_stop()
 * @err: filled on failure
 *
 * Return: 0 or a negative errno.
 */
int virtq_new(struct virtio_dev *d, unsigned index, unsigned size, int event_fd, struct virtq **out,
	      struct riser_err *err);
/* NULL is left alone. */
void virtq_free(struct virtq *q);

/**
 * virtq_tables - give chains of 2…@len pieces tables of their own
 * @q: a new queue
 * @len: the most pieces; more than the queue has entries are never allowed
 * @err: filled on failure
 *
 * Such a chain then takes one descriptor, where INDIRECT_DESC was negotiated, and as many as it has
 * pieces else. 16 * @len bytes of DMA memory for each entry: only for queues that have long chains.
 *
 * Return: 0 (also without INDIRECT_DESC), or -ENOMEM.
 */
int virtq_tables(struct virtq *q, unsigned len, struct riser_err *err);

/**
 * virtq_stop - RING_RESET: the device forgets this queue, the others go on
 * @q: the queue; take what was used, stop, virtq_detach(), virtq_free(), and virtq_new() again
 * @err: filled on failure
 *
 * Return: 0, or -EOPNOTSUPP where the feature was not negotiated.
 */
int virtq_stop(struct virtq *q, struct riser_err *err);

/**
 * virtq_add - make a chain available, unannounced
 * @q: the queue
 * @sg: @nout pieces that the device reads, then @nin that it writes
 * @cookie: given back by virtq_take(); not NULL
 *
 * Return: 0, or -ENOSPC: take something first.
 */
int virtq_add(struct virtq *q, const struct virtq_sg *sg, unsigned nout, unsigned nin,
	      void *cookie);

/**
 * virtq_add_burst - the path of packets: chains of one piece each
 * @q: the queue
 * @sg: @n pieces
 * @cookies: @n of them, none NULL
 * @n: how many
 * @in: the device writes, else it reads
 *
 * Return: how many were added, the first ones; fewer than @n: there is no room.
 */
unsigned virtq_add_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies,
			 unsigned n, bool in);

/* Publish what was added, and tell the device if it wants to be told. */
void virtq_kick(struct virtq *q);

/**
 * virtq_take - what the device has used
 * @q: the queue
 * @len: bytes that it wrote; never more than the chain had room for
 *
 * Return: the cookie of a chain, or NULL: nothing, or the queue is broken (virtio_dev.broken).
 */
void *virtq_take(struct virtq *q, uint32_t *len);

/* The same for up to @n chains; @cookies and @lens have room for them. Return: how many. */
unsigned virtq_take_burst(struct virtq *q, void **cookies, uint32_t *lens, unsigned n);

/* Chains that virtq_add() would still take, of one descriptor each. */
unsigned virtq_room(const struct virtq *q);

/* Want an interrupt at the next use. Return: true: something was used already. */
bool virtq_arm(struct virtq *q);
void virtq_disarm(struct virtq *q);

/*
 * After a reset of the device, or in a new epoch of it: the cookie of a chain that it will not use
 * any more, in the order in which they were added, or NULL.
 */
void *virtq_detach(struct virtq *q);

/* Was the queue started in another epoch (virtio_dev.epoch) than the device is in now? */
bool virtq_stale(const struct virtq *q);

/*
 * Start a stale queue on the backend that came back, empty: everything was taken or detached.
 * Return: 0, or a negative errno: it stays stale, the backend went again.
 */
int virtq_restart(struct virtq *q);

#endif
