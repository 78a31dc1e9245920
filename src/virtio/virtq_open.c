/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A virtqueue's memory, its start on the device, and its end. */
#include "base/err.h"
#include "virtio/virtq_ring.h"
#include <errno.h>
#include <stdlib.h>

/* Apart, so that a cache line has one writer. */
#define PART_ALIGN 64u

/* How many entries it will have. */
static int choose_size(struct virtq *q, unsigned wanted, struct riser_err *err)
{
	unsigned max = q->d->t->queue_max(q->d, q->index);

	if (!max)
		return err_set(err, -ENOENT, "%s has no queue %u", q->d->name, q->index);
	q->size = q->d->t->legacy_rings ? max : min_of(wanted, max);
	q->size = min_of(q->size, RISER_VIRTQ_SIZE_MAX);
	while (!q->packed && !q->d->t->legacy_rings && q->size & (q->size - 1))
		q->size &= q->size - 1;
	if (!q->size || (!q->packed && !is_power_of_two(q->size)))
		return err_set(err, -EPROTO, "%s: queue %u cannot have %u entries", q->d->name,
			       q->index, q->size);
	q->mask = (uint16_t)(q->size - 1);
	return 0;
}

static int make_memory(struct virtq *q, struct riser_err *err)
{
	size_t align = q->d->t->legacy_rings ? RISER_VIRTIO_LEGACY_ALIGN : PART_ALIGN;
	char *va;

	q->chains = calloc(q->size, sizeof(*q->chains) + 3 * sizeof(uint16_t));
	if (!q->chains)
		return err_set(err, -ENOMEM, "no memory for a queue of %u entries", q->size);
	q->slots = (uint16_t *)(void *)&q->chains[q->size];
	q->next = q->slots + q->size;
	q->more = q->next + q->size;
	q->layout = q->packed ? vring_packed_layout(q->size, align)
			      : vring_split_layout(q->size, align);
	if (dma_alloc(q->d->dma, q->layout.len, align, &q->mem, err))
		return -ENOMEM;
	va = q->mem.va;
	q->ring = (void *)va;
	q->driver = (void *)(va + q->layout.driver);
	q->device = (void *)(va + q->layout.device);
	return 0;
}

/* Nothing in flight, nothing in the rings, no interrupts wanted. */
static void clear(struct virtq *q)
{
	memset(q->mem.va, 0, q->mem.len);
	memset(q->chains, 0, q->size * sizeof(*q->chains));
	memset(q->more, 0, q->size * sizeof(*q->more));
	for (unsigned i = 0; i < q->size; i++)
		q->slots[i] = (uint16_t)i;
	for (unsigned i = 0; i < q->size && !q->packed; i++)
		q->avail->ring[i] = to_le16((uint16_t)i);
	q->room = q->size;
	q->added = q->fresh = 0;
	q->in = q->seen = q->out = q->next_desc = 0;
	q->in_wrap = q->out_wrap = true;
	q->held = q->batching = false;
	q->detached = q->left = 0;
	virtq_disarm(q);
}

static int start(struct virtq *q)
{
	struct virtio_layout l = {
		.size = q->size,
		.desc = q->mem.iova,
		.driver = q->mem.iova + q->layout.driver,
		.device = q->mem.iova + q->layout.device,
		.start = q->packed ? vring_off_wrap(0, true) : 0,
		.event_fd = q->event_fd,
	};
	int rc;

	clear(q);
	q->epoch = load_acquire(&q->d->epoch);
	q->notify = (struct virtio_notify){ .fd = -1, .value = (uint16_t)q->index };
	rc = q->d->t->queue_start(q->d, q->index, &l, &q->notify);
	q->stopped = rc < 0;
	return rc;
}

int virtq_new(struct virtio_dev *d, unsigned index, unsigned size, int event_fd, struct virtq **out,
	      struct riser_err *err)
{
	struct virtq *q = aligned_alloc(64, align_up(sizeof(*q), 64));
	int rc;

	if (!q)
		return err_set(err, -ENOMEM, "no memory for a queue");
	*q = (struct virtq){ .d = d, .index = index, .event_fd = event_fd };
	q->packed = virtio_has(d, RISER_VIRTIO_F_RING_PACKED);
	q->in_order = virtio_has(d, RISER_VIRTIO_F_IN_ORDER);
	q->event_idx = virtio_has(d, RISER_VIRTIO_F_EVENT_IDX);
	q->data = virtio_has(d, RISER_VIRTIO_F_NOTIFICATION_DATA);
	q->sloppy = !virtio_has(d, RISER_VIRTIO_F_VERSION_1);
	rc = choose_size(q, size, err);
	if (!rc)
		rc = make_memory(q, err);
	if (rc)
		goto fail;
	rc = start(q);
	if (rc) {
		err_set(err, rc, "%s: queue %u cannot be started", d->name, index);
		goto fail;
	}
	*out = q;
	return 0;
fail:
	virtq_free(q);
	return rc;
}

int virtq_tables(struct virtq *q, unsigned len, struct riser_err *err)
{
	int rc;

	len = min_of(len, q->size);
	if (len < 2 || !virtio_has(q->d, RISER_VIRTIO_F_INDIRECT_DESC))
		return 0;
	rc = dma_alloc(q->d->dma, (size_t)q->size * len * sizeof(struct riser_virtq_desc),
		       PART_ALIGN, &q->tables, err);
	q->table_len = rc ? 0 : len;
	return rc;
}

int virtq_stop(struct virtq *q, struct riser_err *err)
{
	int rc = -EOPNOTSUPP;

	if (virtio_has(q->d, RISER_VIRTIO_F_RING_RESET))
		rc = q->d->t->queue_stop(q->d, q->index);
	if (rc)
		return err_set(err, rc, "%s: queue %u cannot be reset alone", q->d->name, q->index);
	q->stopped = true;
	return 0;
}

int virtq_restart(struct virtq *q)
{
	return start(q);
}

static int by_age(const void *a, const void *b)
{
	uint32_t x = ((const struct virtq_chain *)a)->serial;
	uint32_t y = ((const struct virtq_chain *)b)->serial;

	return x == y ? 0 : (int32_t)(x - y) < 0 ? -1 : 1;
}

void *virtq_detach(struct virtq *q)
{
	/* Identifiers mean nothing any more: the chains are moved together, the oldest first. */
	if (!q->detached && !q->left) {
		for (unsigned i = 0; i < q->size; i++)
			if (q->chains[i].limit || q->more[i])
				q->chains[q->left++] = q->chains[i];
		if (q->left > 1)
			qsort(q->chains, q->left, sizeof(*q->chains), by_age);
		q->stopped = true;
	}
	if (!q->left)
		return NULL;
	q->left--;
	return q->chains[q->detached++].cookie;
}

void virtq_free(struct virtq *q)
{
	if (!q)
		return;
	dma_free(q->d->dma, &q->tables);
	dma_free(q->d->dma, &q->mem);
	free(q->chains);
	free(q);
}
