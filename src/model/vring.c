/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What both layouts share, and the split one (§2.7). */
#include "model/vring.h"
#include "base/barrier.h"
#include "spec/vring.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool vring_wrong(struct vring *q, const char *what)
{
	if (!q->wrong)
		q->wrong = what;
	return false;
}

void *vring_word(struct vring *q, uint64_t addr, size_t size)
{
	size_t len = size;
	void *p = q->wrong ? NULL : q->set.mem->at(q->set.mem->ctx, addr, &len);

	if (p && len == size && !((uintptr_t)p & (size - 1)))
		return p;
	vring_wrong(q, "a ring lies where the device does not reach");
	return NULL;
}

static uint16_t load16(struct vring *q, uint64_t addr)
{
	uint16_t *p = vring_word(q, addr, 2);

	/* Pairs with the driver's release of an index: what it announces is read after it. */
	return p ? le16((riser_le16){ load_seq_cst(p) }) : 0;
}

static void store16(struct vring *q, uint64_t addr, uint16_t v)
{
	uint16_t *p = vring_word(q, addr, 2);

	/* Pairs with the driver's acquire; and with its own store before it looks at this one. */
	if (p)
		store_seq_cst(p, to_le16(v).raw);
}

static uint64_t avail_at(const struct vring *q, uint16_t index)
{
	return q->set.driver + 4 + 2ull * (index & (q->set.size - 1));
}

static uint64_t used_at(const struct vring *q, uint16_t index)
{
	return q->set.device + 4 + 8ull * (index & (q->set.size - 1));
}

/* Behind the rings' last entries (§2.7.7, §2.7.10). */
static uint64_t used_event(const struct vring *q)
{
	return q->set.driver + 4 + 2ull * q->set.size;
}

static uint64_t avail_event(const struct vring *q)
{
	return q->set.device + 4 + 8ull * q->set.size;
}

static bool has(const struct vring_setup *set, unsigned feature)
{
	return set->features >> feature & 1;
}

int vring_start(struct vring *q, const struct vring_setup *set)
{
	uint64_t align = has(set, RISER_VIRTIO_F_RING_PACKED) ? 4 : 2;

	*q = (struct vring){ .set = *set };
	q->packed = has(set, RISER_VIRTIO_F_RING_PACKED);
	q->event_idx = has(set, RISER_VIRTIO_F_EVENT_IDX);
	q->in_order = has(set, RISER_VIRTIO_F_IN_ORDER);
	q->indirect = has(set, RISER_VIRTIO_F_INDIRECT_DESC);
	q->avail = q->used = q->told = (uint16_t)set->start;
	if (q->packed) {
		q->avail = set->start & 0x7fff;
		q->avail_wrap = set->start >> 15 & 1;
		q->used = q->told = set->start >> 16 & 0x7fff;
		q->used_wrap = set->start >> 31;
	}
	if (!set->size || set->size > RISER_VIRTQ_SIZE_MAX ||
	    (!q->packed && !is_power_of_two(set->size)))
		vring_wrong(q, "a queue has an impossible size");
	else if (set->desc & 15 || set->driver & (align - 1) || set->device & 3)
		vring_wrong(q, "a ring is not aligned");
	else if (q->packed && (q->avail >= set->size || q->used >= set->size))
		vring_wrong(q, "a queue begins behind its end");
	if (q->wrong)
		return -EINVAL;
	q->piece = calloc(set->size, sizeof(*q->piece));
	return q->piece ? 0 : -ENOMEM;
}

uint32_t vring_stop(struct vring *q)
{
	uint32_t start = q->avail;

	if (q->packed)
		start |= (uint32_t)q->avail_wrap << 15 | (uint32_t)q->used << 16 |
			 (uint32_t)q->used_wrap << 31;
	free(q->piece);
	*q = (struct vring){ 0 };
	return start;
}

bool vring_add(struct vring *q, struct vring_chain *c, uint64_t addr, uint32_t len, unsigned flags)
{
	unsigned n = c->nout + c->nin;

	if (n == q->set.size)
		return vring_wrong(q, "a chain has more descriptors than its queue");
	if (!(flags & RISER_VIRTQ_DESC_F_WRITE) && c->nin)
		return vring_wrong(q, "a chain has something to read behind something to write");
	q->piece[n] = (struct vring_piece){ .addr = addr, .len = len };
	if (flags & RISER_VIRTQ_DESC_F_WRITE) {
		c->nin++;
		c->in += len;
	} else {
		c->nout++;
		c->out += len;
	}
	return true;
}

/* A descriptor, copied once. */
static bool split_desc(struct vring *q, uint64_t at, struct riser_virtq_desc *d)
{
	uint64_t *p = vring_word(q, at, 8), word[2];

	word[0] = p ? load_relaxed(p) : 0;
	p = vring_word(q, at + 8, 8);
	word[1] = p ? load_relaxed(p) : 0;
	memcpy(d, word, sizeof(*d));
	return p;
}

/* From descriptor @i of the queue's table, and from there perhaps into an indirect one. */
static bool split_walk(struct vring *q, struct vring_chain *c, unsigned i)
{
	uint64_t table = q->set.desc;
	unsigned n = q->set.size, left = n;
	struct riser_virtq_desc d;

	for (;;) {
		unsigned flags;

		if (i >= n)
			return vring_wrong(q, "a descriptor lies outside of its table");
		if (!left--)
			return vring_wrong(q, "a chain of descriptors goes round");
		if (!split_desc(q, table + 16ull * i, &d))
			return false;
		flags = le16(d.flags);
		if (flags & RISER_VIRTQ_DESC_F_INDIRECT) {
			n = le32(d.len) / 16;
			if (!q->indirect || table != q->set.desc ||
			    flags & RISER_VIRTQ_DESC_F_NEXT || !n || le32(d.len) % 16 ||
			    n > q->set.size)
				return vring_wrong(q, "an indirect table that is not allowed");
			table = le64(d.addr);
			left = n;
			i = 0;
			continue;
		}
		if (!vring_add(q, c, le64(d.addr), le32(d.len), flags))
			return false;
		if (!(flags & RISER_VIRTQ_DESC_F_NEXT))
			return true;
		i = le16(d.next);
	}
}

bool vring_get(struct vring *q, struct vring_chain *c)
{
	uint16_t ready, head;

	*c = (struct vring_chain){ .slots = 1, .piece = q->piece };
	if (q->wrong)
		return false;
	if (q->packed)
		return vring_packed_get(q, c);
	ready = (uint16_t)(load16(q, q->set.driver + 2) - q->avail);
	if (!ready || q->wrong)
		return false;
	if (ready > q->set.size)
		return vring_wrong(q, "the available index is ahead of its queue");
	head = load16(q, avail_at(q, q->avail));
	if (q->wrong || !split_walk(q, c, head))
		return false;
	c->id = head;
	q->avail++;
	return true;
}

static void put_one(struct vring *q, uint16_t id, uint16_t slots, uint32_t len)
{
	uint16_t at = (uint16_t)(q->used + q->nput);
	uint64_t *p;

	if (q->packed) {
		vring_packed_put(q, id, slots, len);
		return;
	}
	p = vring_word(q, used_at(q, at), 4);
	if (p)
		store_relaxed((uint32_t *)p, to_le32(id).raw);
	p = vring_word(q, used_at(q, at) + 4, 4);
	if (p)
		store_relaxed((uint32_t *)p, to_le32(len).raw);
	q->nput++;
}

/* One entry for all of a batch: the driver finds the others by their order (§2.7.9, §2.8.9). */
static void put_batch(struct vring *q)
{
	unsigned n = q->batch.n;

	if (!n)
		return;
	q->batch.n = 0;
	put_one(q, q->batch.id, q->batch.slots, 0);
	if (!q->packed)
		q->nput += n - 1;
}

void vring_put(struct vring *q, uint16_t id, uint16_t slots, uint32_t len)
{
	if (!q->in_order || len) {
		put_batch(q);
		put_one(q, id, slots, len);
		return;
	}
	q->batch.slots = (uint16_t)(q->batch.n++ ? q->batch.slots + slots : slots);
	q->batch.id = id;
}

bool vring_publish(struct vring *q)
{
	uint16_t was;

	put_batch(q);
	if (q->packed)
		return vring_packed_publish(q);
	if (!q->nput)
		return false;
	q->used = (uint16_t)(q->used + q->nput);
	q->nput = 0;
	store16(q, q->set.device + 2, q->used);
	if (q->wrong)
		return false;
	if (!q->event_idx)
		return !(load16(q, q->set.driver) & RISER_VIRTQ_AVAIL_F_NO_INTERRUPT);
	was = q->told;
	q->told = q->used;
	return vring_need_event(load16(q, used_event(q)), q->used, was);
}

bool vring_arm(struct vring *q)
{
	if (q->wrong)
		return false;
	if (q->packed)
		return vring_packed_arm(q);
	if (q->event_idx)
		store16(q, avail_event(q), q->avail);
	else
		store16(q, q->set.device, 0);
	return load16(q, q->set.driver + 2) != q->avail;
}

void vring_disarm(struct vring *q)
{
	if (q->wrong)
		return;
	if (q->packed)
		vring_packed_disarm(q);
	else if (!q->event_idx) /* with it the last event lies behind us already */
		store16(q, q->set.device, RISER_VIRTQ_USED_F_NO_NOTIFY);
}

static size_t copy(struct vring *q, struct vring_cursor *at, void *to, const void *from, size_t len)
{
	size_t done = 0;

	while (done < len && at->piece < at->end) {
		size_t part = min_of(len - done, (size_t)(at->piece->len - at->off));
		char *p;

		if (!part) {
			at->piece++;
			at->off = 0;
			continue;
		}
		p = q->set.mem->at(q->set.mem->ctx, at->piece->addr + at->off, &part);
		if (!p || !part) {
			vring_wrong(q, "a buffer lies where the device does not reach");
			break;
		}
		if (to)
			memcpy((char *)to + done, p, part);
		else
			memcpy(p, (const char *)from + done, part);
		done += part;
		at->off += (uint32_t)part;
	}
	return done;
}

size_t vring_read(struct vring *q, struct vring_cursor *at, void *buf, size_t len)
{
	return copy(q, at, buf, NULL, len);
}

size_t vring_write(struct vring *q, struct vring_cursor *at, const void *buf, size_t len)
{
	return copy(q, at, NULL, buf, len);
}
