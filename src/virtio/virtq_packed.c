/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Packed virtqueues (VIRTIO 1.3, §2.8): one ring that both sides write.
 *
 * A burst is filled in with flags that say available, but for its first descriptor, which says so
 * last, at publish: the device goes from one descriptor to the next and sees none before the first.
 * Free identifiers stand in slots[] at the positions that are free; see virtq_ring.h.
 */
#include "virtio/virtq_ring.h"

/* Length, id and flags in one store, so that a device which polls here sees all of them or none. */
typedef uint64_t __attribute__((may_alias)) packed_rest;

static inline void set_desc(struct riser_virtq_packed_desc *d, uint64_t addr, uint32_t len,
			    uint16_t id, uint16_t flags)
{
	d->addr = to_le64(addr);
	store_relaxed((packed_rest *)(void *)&d->len,
		      to_le64(len | (uint64_t)id << 32 | (uint64_t)flags << 48).raw);
}

/* Fill in the next descriptor; the first one of a burst is not yet the device's. */
static inline void put(struct virtq *q, const struct virtq_sg *sg, uint16_t id, uint16_t flags)
{
	flags |= vring_packed_avail(q->out_wrap);
	if (!q->held) {
		q->held = true;
		q->first = q->out;
		q->flags = flags;
		flags ^= RISER_VIRTQ_PACKED_F_AVAIL;
	}
	set_desc(&q->ring[q->out], sg->iova, sg->len, id, flags);
	if (++q->out == q->size) {
		q->out = 0;
		q->out_wrap = !q->out_wrap;
	}
}

void virtq_packed_add(struct virtq *q, const struct virtq_work *w)
{
	unsigned n = w->nout + w->nin;
	uint16_t head = virtq_packed_id(q), id = head;

	virtq_put_chain(q, head, w->cookie, w->limit, q->added);
	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = w->flags | (i < w->nout ? 0 : RISER_VIRTQ_DESC_F_WRITE);

		if (i + 1 < n)
			flags |= RISER_VIRTQ_DESC_F_NEXT;
		if (i) {
			q->next[id] = virtq_packed_id(q);
			id = q->next[id];
		}
		put(q, &w->sg[i], head, flags);
	}
	if (n > 1) {
		q->more[head] = (uint16_t)(n - 1);
		q->chains[q->next[head]].limit = w->limit;
		q->chains[head].limit = 0;
	}
	q->added++;
	q->fresh += n;
	q->room -= n;
}

void virtq_packed_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies,
			unsigned n, uint16_t flags)
{
	uint32_t limits = flags ? UINT32_MAX : 0;

	for (unsigned i = 0; i < n; i++) {
		uint16_t id = virtq_packed_id(q);

		virtq_put_chain(q, id, cookies[i], (sg[i].len & limits) + 1, q->added++);
		put(q, &sg[i], id, flags);
	}
	q->fresh += n;
	q->room -= n;
}

void virtq_packed_publish(struct virtq *q)
{
	/* The device's load of the flags: it sees all that was filled in behind them, too. */
	dma_wmb();
	store_seq_cst(&q->ring[q->first].flags.raw, to_le16(q->flags).raw);
	q->held = false;
}

/* An event suppression structure is read and written in one piece. */
typedef uint32_t __attribute__((may_alias)) packed_event;

bool virtq_packed_wanted(const struct virtq *q)
{
	/*
	 * Pairs with the device, which writes what it wants and then looks at the next descriptor
	 * once more; the flags were a seq_cst store. One of us sees the other.
	 */
	riser_le32 e = { load_seq_cst((const packed_event *)(const void *)q->device) };

	return vring_packed_need_event((uint16_t)le32(e), (uint16_t)(le32(e) >> 16), q->size,
				       q->out, q->out_wrap, q->fresh);
}

static bool is_used(const struct virtq *q, uint16_t at, bool wrap)
{
	riser_le16 flags = { load_acquire(&q->ring[at].flags.raw) };

	return vring_packed_is_used(le16(flags), wrap);
}

/* One load of each: what is checked is what is used. */
static inline void read_used(const struct virtq *q, uint16_t at, uint16_t *id, uint32_t *len)
{
	const struct riser_virtq_packed_desc *d = &q->ring[at];
	riser_le16 i = { load_relaxed(&d->id.raw) };
	riser_le32 l = { load_relaxed(&d->len.raw) };

	dma_rmb(); /* for devices that are not CPUs: data is read after this */
	*id = le16(i);
	*len = le32(l);
}

/* A chain was used: go on behind it. With IN_ORDER its identifiers stand there already. */
static inline void advance(struct virtq *q, uint16_t id, unsigned n)
{
	for (unsigned i = 0; i < n; i++, id = q->next[id]) {
		if (!q->in_order && q->slots[q->in] != id)
			q->slots[q->in] = id;
		if (++q->in == q->size) {
			q->in = 0;
			q->in_wrap = !q->in_wrap;
		}
	}
	q->room += n;
}

/*
 * IN_ORDER: a descriptor may stand for several chains, the last of which it names. The others were
 * used to the full (§2.8.9).
 */
static bool open_batch(struct virtq *q)
{
	if (!is_used(q, q->in, q->in_wrap))
		return false;
	read_used(q, q->in, &q->batch, &q->batch_len);
	q->batching = virtq_check_id(q, q->batch) && (q->batch_len < q->chains[q->batch].limit ||
						      virtq_check_len(q, q->batch, &q->batch_len));
	return q->batching;
}

static unsigned take_in_order(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	unsigned got = 0;

	while (got < n && (q->batching || open_batch(q))) {
		uint16_t head = q->slots[q->in], more = q->more[head];

		cookies[got] = q->chains[head].cookie;
		q->chains[head].cookie = NULL;
		lens[got++] = head == q->batch ? q->batch_len : virtq_limit(q, head) - 1;
		q->batching = head != q->batch;
		q->more[head] = 0;
		advance(q, head, 1u + more);
	}
	return got;
}

unsigned virtq_packed_take(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	unsigned got;

	if (q->in_order)
		return take_in_order(q, cookies, lens, n);
	for (got = 0; got < n && is_used(q, q->in, q->in_wrap); got++) {
		struct virtq_chain *c;
		uint16_t id, more = 0;
		uint32_t len;

		read_used(q, q->in, &id, &len);
		if (!virtq_check_id(q, id))
			break;
		c = &q->chains[id];
		if (unlikely(len >= c->limit)) {
			if (!virtq_check_len(q, id, &len))
				break;
			more = q->more[id];
			q->more[id] = 0;
		}
		cookies[got] = c->cookie;
		lens[got] = len;
		c->cookie = NULL;
		advance(q, id, 1u + more);
	}
	return got;
}

bool virtq_packed_arm(struct virtq *q)
{
	uint32_t e = RISER_VIRTQ_PACKED_EVENT_ENABLE << 16;

	if (q->event_idx)
		e = RISER_VIRTQ_PACKED_EVENT_DESC << 16 | vring_off_wrap(q->in, q->in_wrap);
	store_seq_cst((packed_event *)(void *)q->driver, to_le32(e).raw);
	/* Pairs with the device, which writes a used descriptor and then reads what we want. */
	return q->batching ||
	       vring_packed_is_used(le16((riser_le16){ load_seq_cst(&q->ring[q->in].flags.raw) }),
				    q->in_wrap);
}

void virtq_packed_disarm(struct virtq *q)
{
	store_relaxed((packed_event *)(void *)q->driver,
		      to_le32(RISER_VIRTQ_PACKED_EVENT_DISABLE << 16).raw);
}
