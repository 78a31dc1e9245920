/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Split virtqueues (VIRTIO 1.3, §2.7).
 *
 * Free identifiers stand in slots[] from the next available index on, @room of them. A chain takes
 * its first from there, because it will stand at that place in the available ring, and the others
 * from the far end; see virtq_ring.h. With IN_ORDER descriptors must be taken in the order of the
 * table instead, and come back in that order: then slots[] is only what stands in the available
 * ring.
 */
#include "virtio/virtq_ring.h"

static inline void set_slot(struct virtq *q, uint16_t at, uint16_t id)
{
	at &= q->mask;
	if (q->slots[at] == id)
		return;
	q->slots[at] = id;
	q->avail->ring[at] = to_le16(id);
}

static inline void set_desc(struct riser_virtq_desc *d, uint64_t addr, uint32_t len, uint16_t flags,
			    uint16_t next)
{
	riser_le64 rest = to_le64(len | (uint64_t)flags << 32 | (uint64_t)next << 48);

	d->addr = to_le64(addr);
	memcpy(&d->len, &rest, sizeof(rest));
}

uint16_t virtq_split_id(struct virtq *q)
{
	if (q->in_order)
		set_slot(q, (uint16_t)q->added, q->next_desc);
	return q->slots[q->added & q->mask];
}

void virtq_split_add(struct virtq *q, const struct virtq_work *w)
{
	unsigned n = w->nout + w->nin;
	uint16_t head = virtq_split_id(q), id = head, last = (uint16_t)(q->added + q->room);

	virtq_put_chain(q, head, w->cookie, w->limit, q->added);
	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = w->flags | (i < w->nout ? 0 : RISER_VIRTQ_DESC_F_WRITE), next = 0;

		if (i + 1 < n) {
			flags |= RISER_VIRTQ_DESC_F_NEXT;
			next = q->in_order ? (uint16_t)(id + 1) : q->slots[--last & q->mask];
			next &= q->mask;
		}
		set_desc(&q->desc[id], w->sg[i].iova, w->sg[i].len, flags, next);
		q->next[id] = next;
		id = next;
	}
	if (n > 1) {
		q->more[head] = (uint16_t)(n - 1);
		q->chains[q->next[head]].limit = w->limit;
		q->chains[head].limit = 0;
	}
	q->next_desc = (uint16_t)(q->next_desc + n) & q->mask;
	q->added++;
	q->fresh++;
	q->room -= n;
	q->held = true;
}

void virtq_split_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies, unsigned n,
		       uint16_t flags)
{
	struct riser_virtq_desc *desc = q->desc;
	const uint16_t *slots = q->slots;
	uint32_t added = q->added, mask = q->mask, limits = flags ? UINT32_MAX : 0;

	for (unsigned i = 0; i < n; i++, added++) {
		uint16_t id = slots[added & mask];
		uint32_t len = sg[i].len;

		virtq_put_chain(q, id, cookies[i], (len & limits) + 1, added);
		set_desc(&desc[id], sg[i].iova, len, flags, 0);
	}
	q->added = added;
	q->fresh += n;
	q->room -= n;
	q->held = true;
}

void virtq_split_publish(struct virtq *q)
{
	/* The device's load of the index: it sees the descriptors and the ring's elements then. */
	dma_wmb();
	store_seq_cst(&q->avail->idx.raw, to_le16((uint16_t)q->added).raw);
	q->held = false;
}

bool virtq_split_wanted(const struct virtq *q)
{
	riser_le16 v;

	/*
	 * Pairs with the device, which writes what it wants and then reads the available index once
	 * more; ours was a seq_cst store. One of us sees the other.
	 */
	if (q->event_idx) {
		v.raw = load_seq_cst(&vring_avail_event(q->used, q->size)->raw);
		return vring_need_event(le16(v), (uint16_t)q->added,
					(uint16_t)(q->added - q->fresh));
	}
	v.raw = load_seq_cst(&q->used->flags.raw);
	return !(le16(v) & RISER_VIRTQ_USED_F_NO_NOTIFY);
}

/* A chain's descriptors are free again, their first at the position behind the last free one. */
static inline unsigned give_back(struct virtq *q, uint16_t head, uint16_t last)
{
	unsigned n = 1u + q->more[head];
	uint16_t id = head;

	q->more[head] = 0;
	for (unsigned i = 0; i < n && !q->in_order; i++, id = q->next[id])
		set_slot(q, (uint16_t)(last + i), id);
	return n;
}

/* Fewer than @n used ones are known of: look again. Return: false when the device is broken. */
static bool look(struct virtq *q)
{
	riser_le16 idx = { load_acquire(&q->used->idx.raw) };

	dma_rmb(); /* the same for devices that are not CPUs: the elements are read after this */
	if ((uint16_t)(le16(idx) - q->in) > (uint16_t)(q->added - q->in))
		return virtq_bad(q, "the used index is ahead of what was made available");
	q->seen = le16(idx);
	return true;
}

/* One load of each: what is checked is what is used. */
static inline void read_used(const struct virtq *q, uint16_t at, uint32_t *id, uint32_t *len)
{
	const struct riser_virtq_used_elem *e = &q->used->ring[at & q->mask];
	riser_le32 i = { load_relaxed(&e->id.raw) }, l = { load_relaxed(&e->len.raw) };

	*id = le32(i);
	*len = le32(l);
}

/*
 * IN_ORDER: an element may stand for several chains, the last of which it names. The others were
 * used to the full (§2.7.9).
 */
static bool open_batch(struct virtq *q)
{
	uint32_t id, len;

	read_used(q, q->in, &id, &len);
	if (!virtq_check_id(q, id) ||
	    (len >= q->chains[id].limit && !virtq_check_len(q, (uint16_t)id, &len)))
		return false;
	for (uint16_t at = q->in; at != q->seen; at++) {
		if (q->slots[at & q->mask] == id) {
			q->batching = true;
			q->batch = (uint16_t)id;
			q->batch_len = len;
			return true;
		}
	}
	return virtq_bad(q, "a used id is out of order");
}

static unsigned take_in_order(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	unsigned got = 0;

	while (got < n && q->in != q->seen && (q->batching || open_batch(q))) {
		uint16_t head = q->slots[q->in & q->mask];

		cookies[got] = q->chains[head].cookie;
		q->chains[head].cookie = NULL;
		lens[got++] = head == q->batch ? q->batch_len : virtq_limit(q, head) - 1;
		q->batching = head != q->batch;
		q->room += give_back(q, head, 0);
		q->in++;
	}
	return got;
}

unsigned virtq_split_take(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	struct virtq_chain *chains = q->chains;
	uint16_t in = q->in, last = (uint16_t)(q->added + q->room);
	unsigned got;

	if ((uint16_t)(q->seen - in) < n && !look(q))
		return 0;
	if (q->in_order)
		return take_in_order(q, cookies, lens, n);
	n = min_of(n, (unsigned)(uint16_t)(q->seen - in));
	for (got = 0; got < n; got++, in++) {
		uint32_t id, len;
		struct virtq_chain *c;

		read_used(q, in, &id, &len);
		if (!virtq_check_id(q, id))
			break;
		c = &chains[id];
		cookies[got] = c->cookie;
		if (unlikely(len >= c->limit)) {
			if (!virtq_check_len(q, (uint16_t)id, &len))
				break;
			lens[got] = len;
			c->cookie = NULL;
			last = (uint16_t)(last + give_back(q, (uint16_t)id, last));
			continue;
		}
		lens[got] = len;
		c->cookie = NULL;
		set_slot(q, last++, (uint16_t)id);
	}
	q->in = in;
	q->room = (uint16_t)(last - q->added);
	return got;
}

bool virtq_split_arm(struct virtq *q)
{
	riser_le16 idx;

	if (q->event_idx)
		store_seq_cst(&vring_used_event(q->avail, q->size)->raw, to_le16(q->in).raw);
	else
		store_seq_cst(&q->avail->flags.raw, 0);
	/* Pairs with the device, which writes the used index and then reads what we want. */
	idx.raw = load_seq_cst(&q->used->idx.raw);
	return le16(idx) != q->in;
}

void virtq_split_disarm(struct virtq *q)
{
	/* With EVENT_IDX there is no off, but an index that was passed just now is far away. */
	if (q->event_idx)
		store_relaxed(&vring_used_event(q->avail, q->size)->raw,
			      to_le16((uint16_t)(q->in - 1)).raw);
	else
		store_relaxed(&q->avail->flags.raw, to_le16(RISER_VIRTQ_AVAIL_F_NO_INTERRUPT).raw);
}
