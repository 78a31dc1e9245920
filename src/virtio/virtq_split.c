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

	virtq_put_chain(&q->chains[head], w->cookie, w->limit, q->added);
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
	virtq_put_long(q, head, n);
	q->next_desc = (uint16_t)(q->next_desc + n) & q->mask;
	q->added++;
	q->fresh++;
	q->room -= n;
	q->held = true;
}

/* Chains of one descriptor, up to the ring's end. */
static inline __attribute__((always_inline)) void run(struct virtq *q, const struct virtq_sg *sg,
						      void *const *cookies, unsigned n, bool in)
{
	const uint16_t *slots = &q->slots[q->added & q->mask];
	struct virtq_chain *chains = q->chains;
	struct riser_virtq_desc *desc = q->desc;
	uint32_t added = q->added;

	for (size_t i = 0; i < n; i++) {
		size_t id = slots[i];
		uint32_t len = sg[i].len;

		virtq_put_chain(&chains[id], cookies[i], in ? len + 1 : 1, added++);
		set_desc(&desc[id], sg[i].iova, len, in ? RISER_VIRTQ_DESC_F_WRITE : 0, 0);
	}
	q->added = added;
}

void virtq_split_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies, unsigned n,
		       bool in)
{
	q->fresh += n;
	q->room -= n;
	q->held = true;
	while (n) {
		unsigned some = min_of(n, q->size - (q->added & q->mask));

		if (in)
			run(q, sg, cookies, some, true);
		else
			run(q, sg, cookies, some, false);
		sg += some;
		cookies += some;
		n -= some;
	}
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

/* Fewer than are wanted are known of: look again. Return: false when the device is broken. */
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
static inline uint32_t used_id(const struct riser_virtq_used_elem *e)
{
	return le32((riser_le32){ load_relaxed(&e->id.raw) });
}

static inline uint32_t used_len(const struct riser_virtq_used_elem *e)
{
	return le32((riser_le32){ load_relaxed(&e->len.raw) });
}

/*
 * What is plain, up to the ring's end: chains of one descriptor that are used in the order in which
 * they came, while none of several is in flight. The identifier must be that of the chain that
 * stands at the same place in the available ring, and so it is in range and stays where it is.
 */
static unsigned take_plain(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	const struct riser_virtq_used_elem *ring = &q->used->ring[q->in & q->mask];
	const uint16_t *slots = &q->slots[q->in & q->mask];
	struct virtq_chain *chains = q->chains;
	size_t i;

	n = min_of(n, q->size - (q->in & q->mask));
	for (i = 0; i < n; i++) {
		size_t id = slots[i];
		uint32_t len = used_len(&ring[i]);
		struct virtq_chain *c = &chains[id];

		if (unlikely(used_id(&ring[i]) != id || len >= c->limit))
			break;
		c->limit = 0;
		cookies[i] = c->cookie;
		lens[i] = len;
	}
	q->in = (uint16_t)(q->in + i);
	q->room += (unsigned)i;
	return (unsigned)i;
}

/* A chain's descriptors are free again, and stand behind the last that are free. */
static void give_back(struct virtq *q, uint16_t head)
{
	unsigned n = 1u + q->more[head];
	uint16_t id = head;

	q->more[head] = 0;
	for (unsigned i = 0; i < n && !q->in_order; i++, id = q->next[id])
		set_slot(q, (uint16_t)(q->added + q->room + i), id);
	q->room += n;
	q->in++;
}

cold
static bool take_any(struct virtq *q, void **cookie, uint32_t *len)
{
	const struct riser_virtq_used_elem *e = &q->used->ring[q->in & q->mask];
	uint32_t id = used_id(e);

	*len = used_len(e);
	if (!virtq_check(q, id, len))
		return false;
	*cookie = virtq_finish(q, (uint16_t)id);
	give_back(q, (uint16_t)id);
	return true;
}

/*
 * IN_ORDER: an element may stand for several chains, the last of which it names. The others were
 * used to the full (§2.7.9).
 */
static bool open_batch(struct virtq *q)
{
	const struct riser_virtq_used_elem *e = &q->used->ring[q->in & q->mask];
	uint32_t id = used_id(e);

	q->batch_len = used_len(e);
	if (!virtq_check(q, id, &q->batch_len))
		return false;
	q->batch = (uint16_t)id;
	for (uint16_t at = q->in; at != q->seen && !q->batching; at++)
		q->batching = q->slots[at & q->mask] == id;
	return q->batching || virtq_bad(q, "a used id is out of order");
}

cold
static bool take_in_order(struct virtq *q, void **cookie, uint32_t *len)
{
	uint16_t head = q->slots[q->in & q->mask];

	if (!q->batching && !open_batch(q))
		return false;
	q->batching = head != q->batch;
	*len = q->batching ? virtq_limit(q, head) - 1 : q->batch_len;
	*cookie = virtq_finish(q, head);
	give_back(q, head);
	return true;
}

unsigned virtq_split_take(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	unsigned got = 0;

	if ((uint16_t)(q->seen - q->in) < n && !look(q))
		return 0;
	n = min_of(n, (unsigned)(uint16_t)(q->seen - q->in));
	for (;;) {
		if (!q->batching && q->room + (uint16_t)(q->added - q->in) == q->size)
			got += take_plain(q, cookies + got, lens + got, n - got);
		if (got == n || !(q->in_order ? take_in_order(q, &cookies[got], &lens[got])
					      : take_any(q, &cookies[got], &lens[got])))
			return got;
		got++;
	}
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
