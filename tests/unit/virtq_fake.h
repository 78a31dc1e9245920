/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio device for tests of virtqueues: a transport that does nothing but remember, memory whose
 * IOVAs are not its addresses, and a walker of one ring, which shares nothing with the driver but
 * spec/vring.h.
 */
#ifndef TESTS_UNIT_VIRTQ_FAKE_H
#define TESTS_UNIT_VIRTQ_FAKE_H

#include "base/event.h"
#include "base/riser.h"
#include "spec/vring.h"
#include "virtio/virtq.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define V1          VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1)
#define PACKED      VIRTIO_BIT(RISER_VIRTIO_F_RING_PACKED)
#define INDIRECT    VIRTIO_BIT(RISER_VIRTIO_F_INDIRECT_DESC)
#define EVENT       VIRTIO_BIT(RISER_VIRTIO_F_EVENT_IDX)
#define IN_ORDER    VIRTIO_BIT(RISER_VIRTIO_F_IN_ORDER)
#define DATA        VIRTIO_BIT(RISER_VIRTIO_F_NOTIFICATION_DATA)
#define RESET       VIRTIO_BIT(RISER_VIRTIO_F_RING_RESET)

#define FAKE_IOVA   0x7000000000ull /* minus the address: what the device adds */
#define FAKE_PIECES 64

typedef uint32_t __attribute__((may_alias)) fake_event;

struct fake {
	struct virtio_dev dev;
	struct virtio_transport t;
	struct riser_dma_space space;
	unsigned max; /* entries */
	int fail;     /* of the next queue_start */
	unsigned starts, stops;
	struct virtio_layout l; /* of the queue that was started last */
	struct virtio_notify notify;
	unsigned notified;
	uint32_t notified_with;

	/* The walker. */
	bool packed, event_idx;
	uint16_t next, used,
		told; /* split: indices; packed: positions; @used at the last interrupt */
	bool next_wrap, used_wrap;
	unsigned fresh; /* packed: descriptors used since the last interrupt was thought of */
	struct riser_virtq_desc *desc;
	struct riser_virtq_packed_desc *ring;
	struct riser_virtq_avail *avail;
	struct riser_virtq_used *uring;
	fake_event *driver, *device;
};

/* What the device sees of a chain. */
struct fake_chain {
	uint16_t id;
	unsigned descs; /* in the ring */
	unsigned nout, nin;
	bool indirect;
	struct virtq_sg sg[FAKE_PIECES];
	uint32_t room;
	unsigned serial; /* a test's */
};

static inline void *fake_va(uint64_t iova)
{
	return (void *)(uintptr_t)(iova - FAKE_IOVA);
}

static inline int fake_map(struct riser_dma_space *s, const struct dma_region *region,
			   struct riser_err *err)
{
	(void)err;
	return dma_space_enter(s, region->va, region->len,
			       (uint64_t)(uintptr_t)region->va + FAKE_IOVA);
}

static inline void fake_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	(void)s;
	(void)region;
}

static const struct dma_space_ops fake_dma = { .size = sizeof(fake_dma),
					       .map = fake_map,
					       .unmap = fake_unmap };

static inline unsigned fake_queue_max(struct virtio_dev *d, unsigned index)
{
	return index < 2 ? ((struct fake *)d)->max : 0;
}

/* A ring at its beginning. */
static inline void fake_begin(struct fake *f)
{
	f->packed = virtio_has(&f->dev, RISER_VIRTIO_F_RING_PACKED);
	f->event_idx = virtio_has(&f->dev, RISER_VIRTIO_F_EVENT_IDX);
	f->next = f->used = f->told = f->packed ? 0 : f->l.start;
	f->next_wrap = f->used_wrap = true;
	f->fresh = 0;
	f->desc = fake_va(f->l.desc);
	f->ring = fake_va(f->l.desc);
	f->avail = fake_va(f->l.driver);
	f->driver = fake_va(f->l.driver);
	f->uring = fake_va(f->l.device);
	f->device = fake_va(f->l.device);
}

static inline int fake_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
			     struct virtio_notify *notify)
{
	struct fake *f = (struct fake *)d;
	int rc = f->fail;

	(void)index;
	f->fail = 0;
	if (rc)
		return rc;
	f->starts++;
	f->l = *l;
	if (f->notify.at || f->notify.fd >= 0)
		*notify = f->notify;
	fake_begin(f);
	return 0;
}

static inline int fake_stop(struct virtio_dev *d, unsigned index)
{
	(void)index;
	((struct fake *)d)->stops++;
	return 0;
}

static inline void fake_notify(struct virtio_dev *d, unsigned index, uint32_t value)
{
	struct fake *f = (struct fake *)d;

	(void)index;
	f->notified++;
	f->notified_with = value;
}

/* Return: 0, or what riser_new() said. */
static inline int fake_new(struct fake *f, uint64_t features, unsigned max)
{
	int rc;

	*f = (struct fake){ .max = max, .notify.fd = -1 };
	f->t = (struct virtio_transport){ .size = sizeof(f->t),
					  .name = "fake",
					  .queue_max = fake_queue_max,
					  .queue_start = fake_start,
					  .queue_stop = fake_stop,
					  .notify = fake_notify };
	f->dev.t = &f->t;
	f->dev.name = (char *)(uintptr_t) "fake";
	f->dev.dma = &f->space;
	f->dev.features = features;
	rc = riser_new(NULL, &f->dev.r, NULL);
	return rc ? rc : dma_space_init(&f->space, f->dev.r, &fake_dma, 12, false, NULL);
}

static inline void fake_free(struct fake *f)
{
	dma_space_destroy(&f->space);
	riser_free(f->dev.r);
}

static inline void fake_piece(struct fake_chain *c, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (c->nout + c->nin == FAKE_PIECES)
		abort();
	c->sg[c->nout + c->nin] = (struct virtq_sg){ addr, len };
	if (flags & RISER_VIRTQ_DESC_F_WRITE) {
		c->nin++;
		c->room += len;
	} else {
		c->nout++;
		if (c->nin)
			abort(); /* what is read comes first */
	}
}

static inline void fake_table(const struct fake *f, struct fake_chain *c, uint64_t addr,
			      uint32_t len)
{
	c->indirect = true;
	for (unsigned i = 0; i < len / 16; i++) {
		const struct riser_virtq_packed_desc *p =
			(struct riser_virtq_packed_desc *)fake_va(addr) + i;
		const struct riser_virtq_desc *d = (struct riser_virtq_desc *)fake_va(addr) + i;

		if (f->packed) {
			fake_piece(c, le64(p->addr), le32(p->len), le16(p->flags));
		} else {
			fake_piece(c, le64(d->addr), le32(d->len), le16(d->flags));
			if (!(le16(d->flags) & RISER_VIRTQ_DESC_F_NEXT) != (i + 1 == len / 16) ||
			    (le16(d->flags) & RISER_VIRTQ_DESC_F_NEXT && le16(d->next) != i + 1))
				abort();
		}
	}
}

static inline bool fake_pop_split(struct fake *f, struct fake_chain *c)
{
	riser_le16 idx = { load_acquire(&f->avail->idx.raw) };
	const struct riser_virtq_desc *d;
	uint16_t at;

	if (le16(idx) == f->next)
		return false;
	at = c->id = le16(f->avail->ring[f->next++ % f->l.size]);
	for (;; at = le16(d->next)) {
		if (at >= f->l.size || c->descs++ == f->l.size)
			abort();
		d = &f->desc[at];
		if (le16(d->flags) & RISER_VIRTQ_DESC_F_INDIRECT)
			fake_table(f, c, le64(d->addr), le32(d->len));
		else
			fake_piece(c, le64(d->addr), le32(d->len), le16(d->flags));
		if (!(le16(d->flags) & RISER_VIRTQ_DESC_F_NEXT))
			return true;
	}
}

static inline bool fake_pop_packed(struct fake *f, struct fake_chain *c)
{
	uint16_t flags;

	do {
		const struct riser_virtq_packed_desc *d = &f->ring[f->next];

		flags = le16((riser_le16){ load_acquire(&d->flags.raw) });
		if (!vring_packed_is_avail(flags, f->next_wrap)) {
			if (c->descs)
				abort(); /* half a chain */
			return false;
		}
		c->id = le16(d->id);
		if (flags & RISER_VIRTQ_DESC_F_INDIRECT)
			fake_table(f, c, le64(d->addr), le32(d->len));
		else
			fake_piece(c, le64(d->addr), le32(d->len), flags);
		c->descs++;
		if (++f->next == f->l.size) {
			f->next = 0;
			f->next_wrap = !f->next_wrap;
		}
	} while (flags & RISER_VIRTQ_DESC_F_NEXT);
	return true;
}

/* Return: whether there was a chain. */
static inline bool fake_pop(struct fake *f, struct fake_chain *c)
{
	c->id = 0;
	c->descs = c->nout = c->nin = 0;
	c->room = 0;
	c->indirect = false;
	return f->packed ? fake_pop_packed(f, c) : fake_pop_split(f, c);
}

/* Use @id; @descs of the ring and @chains of them are over by that. */
static inline void fake_push(struct fake *f, uint16_t id, uint32_t len, unsigned descs,
			     unsigned chains)
{
	if (f->packed) {
		struct riser_virtq_packed_desc *d = &f->ring[f->used];

		store_relaxed(&d->id.raw, to_le16(id).raw);
		store_relaxed(&d->len.raw, to_le32(len).raw);
		store_seq_cst(&d->flags.raw, to_le16(vring_packed_used(f->used_wrap)).raw);
		f->used = (uint16_t)(f->used + descs);
		f->fresh += descs;
		if (f->used >= f->l.size) {
			f->used = (uint16_t)(f->used - f->l.size);
			f->used_wrap = !f->used_wrap;
		}
	} else {
		struct riser_virtq_used_elem *e = &f->uring->ring[f->used % f->l.size];

		store_relaxed(&e->id.raw, to_le32(id).raw);
		store_relaxed(&e->len.raw, to_le32(len).raw);
		f->used = (uint16_t)(f->used + chains);
		store_seq_cst(&f->uring->idx.raw, to_le16(f->used).raw);
	}
}

/* Does the driver want an interrupt for what was pushed since this was asked last? */
static inline bool fake_interrupts(struct fake *f)
{
	uint16_t old = f->told;
	unsigned fresh = f->fresh;
	riser_le32 e;

	f->told = f->used;
	f->fresh = 0;
	if (f->packed) {
		e.raw = load_seq_cst(f->driver);
		return fresh &&
		       vring_packed_need_event((uint16_t)le32(e), (uint16_t)(le32(e) >> 16),
					       f->l.size, f->used, f->used_wrap, fresh);
	}
	if (f->event_idx)
		return vring_need_event(le16((riser_le16){ load_seq_cst(
						&vring_used_event(f->avail, f->l.size)->raw) }),
					f->used, old);
	return f->used != old && !le16((riser_le16){ load_seq_cst(&f->avail->flags.raw) });
}

/* Be told of the next chain. Return: whether one is there already. */
static inline bool fake_arm(struct fake *f)
{
	if (f->packed) {
		uint32_t e = f->event_idx ? RISER_VIRTQ_PACKED_EVENT_DESC << 16 |
						    vring_off_wrap(f->next, f->next_wrap)
					  : RISER_VIRTQ_PACKED_EVENT_ENABLE << 16;

		store_seq_cst(f->device, to_le32(e).raw);
		return vring_packed_is_avail(
			le16((riser_le16){ load_seq_cst(&f->ring[f->next].flags.raw) }),
			f->next_wrap);
	}
	if (f->event_idx)
		store_seq_cst(&vring_avail_event(f->uring, f->l.size)->raw, to_le16(f->next).raw);
	else
		store_seq_cst(&f->uring->flags.raw, 0);
	return le16((riser_le16){ load_seq_cst(&f->avail->idx.raw) }) != f->next;
}

/* Do not be told. */
static inline void fake_disarm(struct fake *f)
{
	if (f->packed)
		store_relaxed(f->device, to_le32(RISER_VIRTQ_PACKED_EVENT_DISABLE << 16).raw);
	else if (f->event_idx)
		store_relaxed(&vring_avail_event(f->uring, f->l.size)->raw,
			      to_le16((uint16_t)(f->next - 1)).raw);
	else
		store_relaxed(&f->uring->flags.raw, to_le16(RISER_VIRTQ_USED_F_NO_NOTIFY).raw);
}

#endif
