/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio-blk device for tests: a transport whose device side runs in this thread, when the driver
 * pumps. It reads split rings as the specification says, and does what the test tells it to.
 * Addresses are not the driver's: memory that is not contiguous is given to it in swapped pages.
 */
#ifndef TESTS_VBLK_DEVICE_H
#define TESTS_VBLK_DEVICE_H

#include "../tap.h"
#include "base/err.h"
#include "base/riser.h"
#include "blk/dev/virtio.h"
#include "virtio/blk.h"
#include <errno.h>

#define FAKE_SECTORS 8192u
#define FAKE_QUEUES  4
#define FAKE_SIZE    64 /* entries of a queue */
#define FAKE_OFFSET  0x10000000000ull
#define FAKE_PIECES  4096

struct fake_piece {
	uint64_t iova;
	uint8_t *va;
	size_t len;
};

struct fake {
	struct virtio_dev dev;
	struct riser_dma_space dma;
	pthread_mutex_t lock; /* of the pieces */
	struct fake_piece pieces[FAKE_PIECES];
	unsigned npieces;
	struct riser_virtio_blk_config config;
	uint8_t disk[FAKE_SECTORS * 512];
	uint8_t status;
	struct {
		struct virtio_layout l;
		uint16_t seen;
		uint32_t epoch;
	} queues[FAKE_QUEUES];

	/* What it is to do. */
	bool held;          /* leave requests alone */
	int hold_type;      /* leave requests of this type alone once, and forget them; -1: none */
	unsigned answer;    /* its status byte, for reads and writes */
	uint32_t shorter;   /* what a used length lacks */
	bool gone, mute;    /* mute: nothing is ever answered, GET_ID not either */
	const char *serial; /* NULL: UNSUPP */

	/* What it saw. */
	unsigned resets, reads, writes, flushes, discards, zeroes, unmaps, kicks, segs_most;
	uint32_t len_most;
};

static inline struct fake *fake_of(struct virtio_dev *d)
{
	return container_of(d, struct fake, dev);
}

/* --- Memory --- */

static int fake_map(struct riser_dma_space *s, const struct dma_region *region, struct riser_err *e)
{
	struct fake *f = container_of(s, struct fake, dma);
	size_t unit = region->contiguous ? region->len : 4096;
	uint8_t *va = region->va;

	for (size_t at = 0; at < region->len; at += unit) {
		/* Every two pages change places, the last of an odd number stays. */
		size_t to = unit == 4096 && (at ^ 4096) < region->len ? at ^ 4096 : at;
		uint64_t iova = FAKE_OFFSET + (uint64_t)(uintptr_t)va + to;

		if (f->npieces == FAKE_PIECES || dma_space_enter(s, va + at, unit, iova))
			return -ENOMEM;
		pthread_mutex_lock(&f->lock);
		f->pieces[f->npieces++] = (struct fake_piece){ iova, va + at, unit };
		pthread_mutex_unlock(&f->lock);
	}
	return 0;
}

static void fake_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	struct fake *f = container_of(s, struct fake, dma);
	uint8_t *va = region->va;
	unsigned n = 0;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < f->npieces; i++)
		if (f->pieces[i].va < va || f->pieces[i].va >= va + region->len)
			f->pieces[n++] = f->pieces[i];
	f->npieces = n;
	pthread_mutex_unlock(&f->lock);
}

static const struct dma_space_ops fake_space = {
	.size = sizeof(fake_space),
	.map = fake_map,
	.unmap = fake_unmap,
};

/* Memory that the device was never given stops the program. */
static void *fake_at(struct fake *f, uint64_t iova, size_t len)
{
	uint8_t *at = NULL;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < f->npieces && !at; i++) {
		struct fake_piece *p = &f->pieces[i];

		if (iova >= p->iova && iova + len <= p->iova + p->len)
			at = p->va + (iova - p->iova);
	}
	pthread_mutex_unlock(&f->lock);
	if (!at)
		abort();
	return at;
}

/* Byte for byte: a piece may lie in pages that follow one another only for the device. */
static void fake_copy(struct fake *f, uint64_t iova, uint8_t *data, size_t len, bool in)
{
	while (len) {
		size_t here = min_of(len, (size_t)(4096 - iova % 4096));
		uint8_t *va = fake_at(f, iova, here);

		memcpy(in ? va : data, in ? data : va, here);
		iova += here;
		data += here;
		len -= here;
	}
}

/* --- Requests --- */

struct fake_chain {
	struct riser_virtq_desc d[FAKE_SIZE + 300];
	unsigned n;
};

static void fake_walk(struct fake *f, const struct virtio_layout *l, uint16_t head,
		      struct fake_chain *c)
{
	struct riser_virtq_desc *table = fake_at(f, l->desc, l->size * 16);
	uint16_t i = head;

	c->n = 0;
	if (le16(table[i].flags) & RISER_VIRTQ_DESC_F_INDIRECT) {
		uint32_t len = le32(table[i].len);

		table = fake_at(f, le64(table[i].addr), len);
		i = 0;
	}
	for (;; i = le16(table[i].next)) {
		c->d[c->n++] = table[i];
		if (!(le16(table[i].flags) & RISER_VIRTQ_DESC_F_NEXT))
			break;
	}
}

static void fake_range(struct fake *f, const struct fake_chain *c, bool zeroes)
{
	struct riser_virtio_blk_range r;

	fake_copy(f, le64(c->d[1].addr), (uint8_t *)&r, sizeof(r), false);
	if (zeroes) {
		f->zeroes++;
		f->unmaps += le32(r.flags);
		memset(f->disk + le64(r.sector) * 512, 0, le32(r.num_sectors) * 512);
	} else {
		f->discards++;
		memset(f->disk + le64(r.sector) * 512, 0xdd, le32(r.num_sectors) * 512);
	}
}

/* Return: the status byte, and how much was written before it. */
static uint8_t fake_run(struct fake *f, const struct fake_chain *c, uint32_t *len)
{
	struct riser_virtio_blk_req head;
	uint8_t *at;
	uint32_t type;
	char id[RISER_VIRTIO_BLK_ID_LEN] = "";

	*len = 0;
	fake_copy(f, le64(c->d[0].addr), (uint8_t *)&head, sizeof(head), false);
	type = le32(head.type);
	f->segs_most = max_of(f->segs_most, c->n - 2);
	switch (type) {
	case RISER_VIRTIO_BLK_T_GET_ID:
		if (!f->serial)
			return RISER_VIRTIO_BLK_S_UNSUPP;
		memcpy(id, f->serial, strlen(f->serial));
		fake_copy(f, le64(c->d[1].addr), (uint8_t *)id, sizeof(id), true);
		*len = sizeof(id);
		return RISER_VIRTIO_BLK_S_OK;
	case RISER_VIRTIO_BLK_T_FLUSH:
		f->flushes++;
		return RISER_VIRTIO_BLK_S_OK;
	case RISER_VIRTIO_BLK_T_DISCARD:
	case RISER_VIRTIO_BLK_T_WRITE_ZEROES:
		if (f->answer == RISER_VIRTIO_BLK_S_UNSUPP)
			return RISER_VIRTIO_BLK_S_UNSUPP;
		fake_range(f, c, type == RISER_VIRTIO_BLK_T_WRITE_ZEROES);
		return RISER_VIRTIO_BLK_S_OK;
	}
	if (f->answer && f->answer != RISER_VIRTIO_BLK_S_UNSUPP)
		return (uint8_t)f->answer;
	at = f->disk + le64(head.sector) * 512;
	for (unsigned i = 1; i + 1 < c->n; i++) {
		uint32_t n = le32(c->d[i].len);

		f->len_most = max_of(f->len_most, n);
		fake_copy(f, le64(c->d[i].addr), at, n, type == RISER_VIRTIO_BLK_T_IN);
		at += n;
		if (type == RISER_VIRTIO_BLK_T_IN)
			*len += n;
	}
	f->reads += type == RISER_VIRTIO_BLK_T_IN;
	f->writes += type == RISER_VIRTIO_BLK_T_OUT;
	return RISER_VIRTIO_BLK_S_OK;
}

static bool fake_forgets(struct fake *f, const struct fake_chain *c)
{
	struct riser_virtio_blk_req head;

	fake_copy(f, le64(c->d[0].addr), (uint8_t *)&head, sizeof(head), false);
	if (f->hold_type != (int)le32(head.type))
		return false;
	f->hold_type = -1;
	return true;
}

static int fake_serve(struct fake *f, unsigned index)
{
	struct virtio_layout *l = &f->queues[index].l;
	struct riser_virtq_avail *avail;
	struct riser_virtq_used *used;
	struct fake_chain c;
	int n = 0;

	if (!l->size || f->queues[index].epoch != f->dev.epoch)
		return 0;
	avail = fake_at(f, l->driver, 4 + 2 * l->size);
	used = fake_at(f, l->device, 4 + 8 * l->size);
	/* Pairs with the driver's publishing. */
	for (; f->queues[index].seen !=
	       le16((riser_le16){ load_acquire((uint16_t *)(void *)&avail->idx) });
	     n++) {
		uint16_t head = le16(avail->ring[f->queues[index].seen++ % l->size]);
		struct riser_virtq_used_elem *e = &used->ring[le16(used->idx) % l->size];
		uint8_t status;
		uint32_t len;

		fake_walk(f, l, head, &c);
		if (f->mute || fake_forgets(f, &c))
			continue;
		status = fake_run(f, &c, &len);
		fake_copy(f, le64(c.d[c.n - 1].addr), &status, 1, true);
		e->id = to_le32(head);
		e->len = to_le32(len + 1 > f->shorter ? len + 1 - f->shorter : 0);
		store_release((uint16_t *)(void *)&used->idx,
			      to_le16((uint16_t)(le16(used->idx) + 1)).raw);
	}
	return n;
}

/* --- The transport --- */

static int fake_pump(struct virtio_dev *d, uint64_t *next)
{
	struct fake *f = fake_of(d);
	int n = 0;

	*next = TIME_NEVER;
	if (f->gone)
		return -ENODEV;
	for (unsigned i = 0; i < FAKE_QUEUES && !f->held && f->status & 4; i++)
		n += fake_serve(f, i);
	return n;
}

static int fake_status_get(struct virtio_dev *d)
{
	return fake_of(d)->gone ? 0xff : fake_of(d)->status;
}

static int fake_status_set(struct virtio_dev *d, uint8_t status)
{
	struct fake *f = fake_of(d);

	if (f->gone)
		return -ENODEV;
	if (!status) {
		f->resets++;
		memset(f->queues, 0, sizeof(f->queues));
	}
	f->status = status;
	return 0;
}

static int fake_features_get(struct virtio_dev *d, uint64_t *features)
{
	*features = d->offered;
	return 0;
}

static int fake_features_set(struct virtio_dev *d, uint64_t features)
{
	return 0;
}

static int fake_config_read(struct virtio_dev *d, size_t off, void *buf, size_t len)
{
	if (fake_of(d)->gone)
		return -ENODEV;
	if (off + len > sizeof(struct riser_virtio_blk_config))
		return -ERANGE;
	memcpy(buf, (char *)&fake_of(d)->config + off, len);
	return 0;
}

static unsigned fake_queue_max(struct virtio_dev *d, unsigned index)
{
	return index < FAKE_QUEUES ? FAKE_SIZE : 0;
}

static int fake_queue_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
			    struct virtio_notify *notify)
{
	struct fake *f = fake_of(d);

	f->queues[index].l = *l;
	f->queues[index].seen = l->start;
	f->queues[index].epoch = d->epoch;
	return 0;
}

static void fake_notify(struct virtio_dev *d, unsigned index, uint32_t value)
{
	fake_of(d)->kicks++;
}

static void fake_close(struct virtio_dev *d)
{
	struct fake *f = fake_of(d);

	dma_space_destroy(&f->dma);
	pthread_mutex_destroy(&f->lock);
	free(d->name);
	free(f);
}

static const struct virtio_transport fake_transport = {
	.size = sizeof(fake_transport),
	.name = "test",
	.close = fake_close,
	.status_get = fake_status_get,
	.status_set = fake_status_set,
	.features_get = fake_features_get,
	.features_set = fake_features_set,
	.config_read = fake_config_read,
	.queue_max = fake_queue_max,
	.queue_start = fake_queue_start,
	.notify = fake_notify,
	.pump = fake_pump,
};

/* With what most tests want; they change it before fake_open(). */
static inline struct fake *fake_new(struct riser *r)
{
	struct fake *f = calloc(1, sizeof(*f));

	f->dev = (struct virtio_dev){ .t = &fake_transport,
				      .r = r,
				      .dma = &f->dma,
				      .name = strdup("test"),
				      .id = RISER_VIRTIO_ID_BLK,
				      .wake_fd = -1 };
	f->dev.offered =
		VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_SEG_MAX) |
		VIRTIO_BIT(RISER_VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_DISCARD) |
		VIRTIO_BIT(RISER_VIRTIO_BLK_F_WRITE_ZEROES) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_MQ);
	f->config.capacity = to_le64(FAKE_SECTORS);
	f->config.seg_max = to_le32(FAKE_SIZE - 2);
	f->config.num_queues = to_le16(2);
	f->config.write_zeroes_may_unmap = 1;
	f->serial = "SERIAL-1";
	f->hold_type = -1;
	f->status = 3;
	pthread_mutex_init(&f->lock, NULL);
	for (size_t i = 0; i < sizeof(f->disk); i++)
		f->disk[i] = (uint8_t)(i * 7 + (i >> 9));
	if (dma_space_init(&f->dma, r, &fake_space, 12, false, NULL))
		abort();
	return f;
}

/* What is open goes with the last reference on it. */
static inline int fake_open(struct fake *f, struct vblk **out, struct riser_err *err)
{
	int rc = vblk_new(&f->dev, false, 5 * NS_PER_S, out, err);

	if (rc)
		fake_close(&f->dev);
	return rc;
}

#endif
