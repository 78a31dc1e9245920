/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A transport driven by hand: a context, a device opened through it, and one split ring without
 * any of the cleverness of a virtqueue, so that a failure is the transport's.
 */
#ifndef TESTS_INTEROP_VHOST_USER_H
#define TESTS_INTEROP_VHOST_USER_H

#include "../tap.h"
#include "base/event.h"
#include "base/riser.h"
#include "base/uri.h"
#include "virtio/vhost_user.h"
#include <errno.h>
#include <poll.h>
#include <riser/riser.h>

#define HAND_SIZE 64u

struct hand {
	struct riser *r;
	struct virtio_dev *d;
	struct riser_err err;
	struct dma_mem mem; /* table, available ring, used ring, 1 KiB each and more */
	struct virtio_notify notify;
	uint32_t epoch;
	uint16_t avail, used;
};

#define HAND_DRIVER_OFF 1024u
#define HAND_DEVICE_OFF 2048u
#define HAND_BYTES      4096u

static inline struct riser_virtq_desc *hand_desc(const struct hand *h)
{
	return h->mem.va;
}

static inline struct riser_virtq_avail *hand_avail(const struct hand *h)
{
	return (void *)((char *)h->mem.va + HAND_DRIVER_OFF);
}

static inline struct riser_virtq_used *hand_used(const struct hand *h)
{
	return (void *)((char *)h->mem.va + HAND_DEVICE_OFF);
}

static inline int hand_open(struct hand *h, const char *uri, unsigned id, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct uri u;
	int rc;

	memset(h, 0, sizeof(*h));
	rc = riser_new(&opts, &h->r, &h->err);
	if (rc)
		return rc;
	rc = uri_parse(uri, &u, &h->err);
	if (rc)
		return rc;
	rc = vhost_user_open(h->r, &u, id, &h->d, &h->err);
	uri_free(&u);
	return rc;
}

/* Agree on @wanted, as far as it is offered. */
static inline int hand_agree(struct hand *h, uint64_t wanted)
{
	const struct virtio_transport *t = h->d->t;
	int rc = t->status_set(h->d, 0);

	if (!rc)
		rc = t->status_set(h->d, RISER_VIRTIO_STATUS_ACKNOWLEDGE);
	if (!rc)
		rc = t->features_get(h->d, &h->d->offered);
	h->d->features = wanted & h->d->offered & ~h->d->withheld;
	if (!rc)
		rc = t->features_set(h->d, h->d->features);
	return rc ? rc : t->status_set(h->d, RISER_VIRTIO_STATUS_FEATURES_OK | 3);
}

/* Queue @index, from the beginning. */
static inline int hand_queue(struct hand *h, unsigned index, int event_fd)
{
	struct virtio_layout l = { .size = HAND_SIZE, .event_fd = event_fd };

	h->epoch = __atomic_load_n(&h->d->epoch, __ATOMIC_ACQUIRE);
	h->avail = h->used = 0;
	if (!h->mem.va && dma_alloc(h->d->dma, HAND_BYTES, 64, &h->mem, &h->err))
		return -ENOMEM;
	memset(h->mem.va, 0, HAND_BYTES);
	l.desc = h->mem.iova;
	l.driver = h->mem.iova + HAND_DRIVER_OFF;
	l.device = h->mem.iova + HAND_DEVICE_OFF;
	return h->d->t->queue_start(h->d, index, &l, &h->notify);
}

static inline int hand_start(struct hand *h)
{
	return h->d->t->status_set(h->d, RISER_VIRTIO_STATUS_FEATURES_OK |
						 RISER_VIRTIO_STATUS_DRIVER_OK | 3);
}

static inline void hand_put(struct hand *h, unsigned i, uint64_t iova, size_t len, uint16_t flags)
{
	hand_desc(h)[i] = (struct riser_virtq_desc){ to_le64(iova), to_le32((uint32_t)len),
						     to_le16(flags), to_le16((uint16_t)(i + 1)) };
}

/* Make the chain at @head available, and say so. */
static inline void hand_offer(struct hand *h, unsigned head)
{
	hand_avail(h)->ring[h->avail++ % HAND_SIZE] = to_le16((uint16_t)head);
	store_release((uint16_t *)(void *)&hand_avail(h)->idx, h->avail);
	event_signal(h->notify.fd);
}

/* Return: the head of a used chain, or -1. */
static inline int hand_take(struct hand *h)
{
	const struct riser_virtq_used *u = hand_used(h);

	if (load_acquire((const uint16_t *)(const void *)&u->idx) == h->used)
		return -1;
	return (int)le32(u->ring[h->used++ % HAND_SIZE].id);
}

static inline bool hand_stale(const struct hand *h)
{
	return __atomic_load_n(&h->d->epoch, __ATOMIC_ACQUIRE) != h->epoch;
}

/* Pump for a moment; sleeps while there is nothing. */
static inline void hand_pump(struct hand *h)
{
	uint64_t next;
	struct pollfd p = { .fd = h->d->wake_fd, .events = POLLIN };

	if (!h->d->t->pump(h->d, &next))
		poll(&p, 1, 2);
}

static inline void hand_close(struct hand *h)
{
	if (h->d) {
		h->d->t->status_set(h->d, 0);
		dma_free(h->d->dma, &h->mem);
		h->d->t->close(h->d);
	}
	riser_free(h->r);
	memset(h, 0, sizeof(*h));
}

#endif
