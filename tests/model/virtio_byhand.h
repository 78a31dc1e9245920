/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Playing virtio driver by hand on the model: capabilities, registers and rings and all, so that an
 * error of the model is not mistaken for one of the real driver.
 */
#ifndef TESTS_MODEL_VIRTIO_BYHAND_H
#define TESTS_MODEL_VIRTIO_BYHAND_H

#include "../tap.h"
#include "base/barrier.h"
#include "base/riser.h"
#include "base/uri.h"
#include "model/model.h"
#include <errno.h>
#include <riser/virtio_spec.h>

#define SIZE      16u /* entries of a queue, where the device would have more */
#define SLOT      2048u
#define BIT(f)    (1ull << RISER_VIRTIO_##f)
#define COMMON(f) (where.common + offsetof(struct riser_virtio_pci_common, f))

/* A piece of memory, of the data area at @slot. */
struct piece {
	unsigned slot, len;
	bool in;
};

/* A queue; split: @avail and @used run, packed: positions in the ring. */
struct queue {
	struct dma_mem mem;
	unsigned id, size, desc_next;
	bool packed, indirect, running;
	uint16_t avail, used;
	bool avail_wrap, used_wrap;
	uint16_t slots[SIZE]; /* packed: by id */
	void *desc, *driver, *device;
};

static struct riser *r;
static struct riser_err err;
static struct pci_dev *dev;
static struct queue rx, tx, ctl;
static struct dma_mem data; /* consecutive IOVAs */
static uint64_t features;
static struct {
	unsigned bar;
	uint32_t common, notify, multiply, isr, config;
} where;

static char *slot(unsigned i)
{
	return (char *)data.va + i * SLOT;
}

static uint32_t cfg(unsigned off, unsigned len)
{
	uint32_t v = 0;

	dev->access->cfg_read(dev, off, len, &v);
	return v;
}

static uint32_t get(size_t off, unsigned width)
{
	return (uint32_t)dev->access->bar_read(dev, where.bar, off, width);
}

static void put(size_t off, unsigned width, uint64_t v)
{
	dev->access->bar_write(dev, where.bar, off, width, v);
}

static void find_structures(void)
{
	for (unsigned at = cfg(PCI_CFG_CAP, 1); at; at = cfg(at + 1, 1)) {
		if (cfg(at, 1) != 9)
			continue;
		where.bar = cfg(at + 4, 1);
		switch (cfg(at + 3, 1)) {
		case RISER_VIRTIO_PCI_CAP_COMMON:
			where.common = cfg(at + 8, 4);
			break;
		case RISER_VIRTIO_PCI_CAP_NOTIFY:
			where.notify = cfg(at + 8, 4);
			where.multiply = cfg(at + 16, 4);
			break;
		case RISER_VIRTIO_PCI_CAP_ISR:
			where.isr = cfg(at + 8, 4);
			break;
		case RISER_VIRTIO_PCI_CAP_DEVICE:
			where.config = cfg(at + 8, 4);
			break;
		}
	}
}

static void open_card(const char *text)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct uri u;
	int rc;

	rx = tx = ctl = (struct queue){ 0 };
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(uri_parse(text, &u, &err), 0);
	rc = pci_open(r, &u, &dev, &err);
	uri_free(&u);
	if (rc)
		FAIL("%s: %s", text, err.text);
	find_structures();
	CHECK_EQ(dma_alloc(&dev->dma, 256 * SLOT, 4096, &data, &err), 0);
}

static void close_card(void)
{
	dma_free(&dev->dma, &rx.mem);
	dma_free(&dev->dma, &tx.mem);
	dma_free(&dev->dma, &ctl.mem);
	dma_free(&dev->dma, &data);
	pci_close(dev);
	riser_free(r);
}

static struct model_virtio_counters counted(void)
{
	struct model_virtio_counters c;

	model_virtio_get_counters(dev, &c);
	return c;
}

static void pump(void)
{
	uint64_t next;

	pci_pump(dev, &next);
}

/* Pump, and let virtual time pass to what comes next. */
static void pass(uint64_t ns)
{
	struct clock_part part = { 0 };
	uint64_t next, until = clock_now(r) + ns;

	while (clock_now(r) < until) {
		uint64_t seen = clock_activity(r);

		if (pci_pump(dev, &next) <= 0)
			clock_idle(r, &part, seen, next < until ? next : until);
	}
	clock_leave(r, &part);
	pump();
}

static uint8_t status(void)
{
	return (uint8_t)get(COMMON(device_status), 1);
}

static uint64_t offered(void)
{
	uint64_t v;

	put(COMMON(device_feature_select), 4, 0);
	v = get(COMMON(device_feature), 4);
	put(COMMON(device_feature_select), 4, 1);
	return v | (uint64_t)get(COMMON(device_feature), 4) << 32;
}

/* Reset, and as far as FEATURES_OK. */
static void accept_features(uint64_t wanted)
{
	features = wanted;
	put(COMMON(device_status), 1, 0);
	CHECK_EQ(status(), 0);
	put(COMMON(device_status), 1, 1);
	put(COMMON(device_status), 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		put(COMMON(driver_feature_select), 4, i);
		put(COMMON(driver_feature), 4, (uint32_t)(wanted >> 32 * i));
	}
	put(COMMON(device_status), 1, 11);
}

static void lay_out(struct queue *q, unsigned id, unsigned size)
{
	struct dma_mem mem = q->mem;

	if (!mem.va)
		CHECK_EQ(dma_alloc(&dev->dma, 16384, 4096, &mem, &err), 0);
	memset(mem.va, 0, mem.len);
	*q = (struct queue){ .mem = mem, .id = id, .size = size };
	q->packed = features & BIT(F_RING_PACKED);
	q->indirect = features & BIT(F_INDIRECT_DESC);
	q->avail_wrap = q->used_wrap = true;
	q->desc = mem.va;
	q->driver = (char *)mem.va + 4096;
	q->device = (char *)mem.va + 8192;
}

static void start_queue(struct queue *q, unsigned id, unsigned size)
{
	SUB(lay_out(q, id, size));
	put(COMMON(queue_select), 2, id);
	put(COMMON(queue_size), 2, size);
	for (unsigned i = 0; i < 3; i++) {
		put(COMMON(queue_desc) + 8 * i, 4, (uint32_t)(q->mem.iova + 4096 * i));
		put(COMMON(queue_desc) + 8 * i + 4, 4, (q->mem.iova + 4096 * i) >> 32);
	}
	put(COMMON(queue_msix_vector), 2, id);
	put(COMMON(queue_enable), 2, 1);
	q->running = true;
}

/* All of it, with one pair of queues. */
static void start_card(uint64_t wanted)
{
	SUB(accept_features(wanted | BIT(F_VERSION_1)));
	CHECK_EQ(status(), 11);
	SUB(start_queue(&rx, 0, SIZE));
	SUB(start_queue(&tx, 1, SIZE));
	put(COMMON(device_status), 1, 15);
	CHECK_EQ(status(), 15);
}

static unsigned split_desc(struct queue *q, uint64_t addr, uint32_t len, unsigned flags)
{
	struct riser_virtq_desc *d = (struct riser_virtq_desc *)q->desc + q->desc_next % q->size;
	unsigned at = q->desc_next++ % q->size;

	*d = (struct riser_virtq_desc){ to_le64(addr), to_le32(len), to_le16((uint16_t)flags),
					to_le16((uint16_t)(q->desc_next % q->size)) };
	return at;
}

static void split_add(struct queue *q, const struct piece *p, unsigned n)
{
	struct riser_virtq_avail *avail = q->driver;
	unsigned head = q->desc_next % q->size;

	for (unsigned i = 0; i < n; i++)
		split_desc(q, data.iova + p[i].slot * SLOT, p[i].len,
			   (i + 1 < n ? RISER_VIRTQ_DESC_F_NEXT : 0) |
				   (p[i].in ? RISER_VIRTQ_DESC_F_WRITE : 0));
	avail->ring[q->avail % q->size] = to_le16((uint16_t)head);
	store_release(&avail->idx.raw, to_le16(++q->avail).raw);
}

static void packed_add(struct queue *q, const struct piece *p, unsigned n)
{
	struct riser_virtq_packed_desc *ring = q->desc;
	unsigned first = q->avail, flags, first_flags = 0;
	uint16_t id = (uint16_t)first;

	q->slots[id] = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		struct riser_virtq_packed_desc *d = &ring[q->avail];

		d->addr = to_le64(data.iova + p[i].slot * SLOT);
		d->len = to_le32(p[i].len);
		d->id = to_le16(id);
		flags = (i + 1 < n ? RISER_VIRTQ_DESC_F_NEXT : 0) |
			(p[i].in ? RISER_VIRTQ_DESC_F_WRITE : 0) |
			(q->avail_wrap ? RISER_VIRTQ_PACKED_F_AVAIL : RISER_VIRTQ_PACKED_F_USED);
		if (i)
			d->flags = to_le16((uint16_t)flags);
		else
			first_flags = flags;
		q->avail++;
		if (q->avail == q->size) {
			q->avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	store_release(&ring[first].flags.raw, to_le16((uint16_t)first_flags).raw);
}

static void add(struct queue *q, const struct piece *p, unsigned n)
{
	if (q->packed)
		packed_add(q, p, n);
	else
		split_add(q, p, n);
}

static void kick(struct queue *q)
{
	put(where.notify + where.multiply * q->id, 2, q->id);
}

static bool split_take(struct queue *q, unsigned *id, unsigned *len)
{
	struct riser_virtq_used *used = q->device;
	struct riser_virtq_used_elem *e = &used->ring[q->used % q->size];

	if (le16((riser_le16){ load_acquire(&used->idx.raw) }) == q->used)
		return false;
	*id = le32(e->id);
	*len = le32(e->len);
	q->used++;
	return true;
}

static bool packed_take(struct queue *q, unsigned *id, unsigned *len)
{
	struct riser_virtq_packed_desc *d = (struct riser_virtq_packed_desc *)q->desc + q->used;
	unsigned flags = le16((riser_le16){ load_acquire(&d->flags.raw) });

	if (!!(flags & RISER_VIRTQ_PACKED_F_AVAIL) != q->used_wrap ||
	    !!(flags & RISER_VIRTQ_PACKED_F_USED) != q->used_wrap)
		return false;
	*id = le16(d->id);
	*len = le32(d->len);
	q->used = (uint16_t)(q->used + q->slots[*id % q->size]);
	if (q->used >= q->size) {
		q->used = (uint16_t)(q->used - q->size);
		q->used_wrap = !q->used_wrap;
	}
	return true;
}

static bool take(struct queue *q, unsigned *id, unsigned *len)
{
	return q->packed ? packed_take(q, id, len) : split_take(q, id, len);
}

/* A buffer to receive into, in @at, announced. */
static void offer(unsigned at, unsigned len)
{
	add(&rx, &(struct piece){ at, len, true }, 1);
	kick(&rx);
}

/* A frame of @len bytes behind a header of zeroes, at @at; not announced. */
static void frame(unsigned at, unsigned len, unsigned seed)
{
	memset(slot(at), 0, sizeof(struct riser_virtio_net_hdr));
	for (unsigned i = 0; i < len; i++)
		slot(at)[sizeof(struct riser_virtio_net_hdr) + i] = (char)(seed + i * 7);
}

static void send_frame(unsigned at, unsigned len, unsigned seed)
{
	frame(at, len, seed);
	add(&tx, &(struct piece){ at, (unsigned)sizeof(struct riser_virtio_net_hdr) + len, false },
	    1);
	kick(&tx);
}

#endif
