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

/* The device may look at the flags at any time, and at the rest only when they say so. */
static inline void set_desc(struct riser_virtq_packed_desc *d, uint64_t addr, uint32_t len,
			    uint16_t id, uint16_t flags)
{
	d->addr = to_le64(addr);
	d->len = to_le32(len);
	d->id = to_le16(id);
	store_relaxed(&d->flags.raw, to_le16(flags).raw);
}

/* Go on by @n, which do not pass the ring's end. */
static inline void go_on(struct virtq *q, unsigned n)
{
	q->out = (uint16_t)(q->out + n);
	if (q->out == q->size) {
		q->out = 0;
		q->out_wrap = !q->out_wrap;
	}
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
	go_on(q, 1);
}

void virtq_packed_add(struct virtq *q, const struct virtq_work *w)
{
	unsigned n = w->nout + w->nin;
	uint16_t head = virtq_packed_id(q), id = head;

	virtq_put_chain(&q->chains[head], w->cookie, w->limit, q->added);
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
	virtq_put_long(q, head, n);
	q->added++;
	q->fresh += n;
	q->room -= n;
}

/* Chains of one descriptor, up to the ring's end, the first of which need not wait. */
static inline __attribute__((always_inline)) void run(struct virtq *q, const struct virtq_sg *sg,
						      void *const *cookies, unsigned n, bool in)
{
	struct riser_virtq_packed_desc *ring = &q->ring[q->out];
	const uint16_t *slots = &q->slots[q->out];
	struct virtq_chain *chains = q->chains;
	uint32_t added = q->added;
	uint16_t flags = vring_packed_avail(q->out_wrap) | (in ? RISER_VIRTQ_DESC_F_WRITE : 0);

	for (size_t i = 0; i < n; i++) {
		size_t id = slots[i];
		uint32_t len = sg[i].len;

		virtq_put_chain(&chains[id], cookies[i], in ? len + 1 : 1, added++);
		set_desc(&ring[i], sg[i].iova, len, (uint16_t)id, flags);
	}
	q->added = added;
	go_on(q, n);
}

void virtq_packed_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies,
			unsigned n, bool in)
{
	q->fresh += n;
	q->room -= n;
	if (!q->held) {
		uint16_t id = virtq_packed_id(q);

		virtq_put_chain(&q->chains[id], *cookies++, in ? sg->len + 1 : 1, q->added++);
		put(q, sg++, id, in ? RISER_VIRTQ_DESC_F_WRITE : 0);
		n--;
	}
	while (n) {
		unsigned some = min_of(n, q->size - q->out);

		if (in)
			run(q, sg, cookies, some, true);
		else
			run(q, sg, cookies, some, false);
		sg += some;
		cookies += some;
		n -= some;
	}
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

static inline bool is_used(const struct riser_virtq_packed_desc *d, bool wrap)
{
	riser_le16 flags = { load_acquire(&d->flags.raw) };

	dma_rmb(); /* the same for devices that are not CPUs: the rest is read after this */
	return vring_packed_is_used(le16(flags), wrap);
}

/* One load of each: what is checked is what is used. */
static inline uint16_t used_id(const struct riser_virtq_packed_desc *d)
{
	return le16((riser_le16){ load_relaxed(&d->id.raw) });
}

static inline uint32_t used_len(const struct riser_virtq_packed_desc *d)
{
	return le32((riser_le32){ load_relaxed(&d->len.raw) });
}

static inline void come_back(struct virtq *q, unsigned n)
{
	q->in = (uint16_t)(q->in + n);
	if (q->in == q->size) {
		q->in = 0;
		q->in_wrap = !q->in_wrap;
	}
	q->room += n;
}

/*
 * What is plain, up to the ring's end: chains of one descriptor that are used in the order in which
 * they came. The identifier must be the one that was used at the same place, and so it is in range
 * and stays where it is.
 */
static unsigned take_plain(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	const struct riser_virtq_packed_desc *ring = &q->ring[q->in];
	const uint16_t *slots = &q->slots[q->in];
	struct virtq_chain *chains = q->chains;
	bool wrap = q->in_wrap;
	size_t i;

	n = min_of(n, q->size - q->in);
	for (i = 0; i < n && is_used(&ring[i], wrap); i++) {
		size_t id = slots[i];
		struct virtq_chain *c = &chains[id];
		/* Where the device could write nothing the length is reserved (§2.8.8). */
		uint32_t len = c->limit == 1 ? 0 : used_len(&ring[i]);

		if (unlikely(used_id(&ring[i]) != id || len >= c->limit))
			break;
		c->limit = 0;
		cookies[i] = c->cookie;
		lens[i] = len;
	}
	come_back(q, (unsigned)i);
	return (unsigned)i;
}

/* A chain's identifiers are free again, in its place. With IN_ORDER they stand there already. */
static void give_back(struct virtq *q, uint16_t head)
{
	unsigned n = 1u + q->more[head];
	uint16_t id = head;

	q->more[head] = 0;
	for (unsigned i = 0; i < n; i++, id = q->next[id]) {
		if (!q->in_order)
			q->slots[q->in] = id;
		come_back(q, 1);
	}
}

cold
static bool take_any(struct virtq *q, void **cookie, uint32_t *len)
{
	const struct riser_virtq_packed_desc *d = &q->ring[q->in];
	uint16_t id;

	if (!is_used(d, q->in_wrap))
		return false;
	id = used_id(d);
	*len = used_len(d);
	if (!virtq_check(q, id, len))
		return false;
	*cookie = virtq_finish(q, id);
	give_back(q, id);
	return true;
}

/*
 * IN_ORDER: a descriptor may stand for several chains, the last of which it names. The others were
 * used to the full (§2.8.9).
 */
static bool open_batch(struct virtq *q)
{
	const struct riser_virtq_packed_desc *d = &q->ring[q->in];

	if (!is_used(d, q->in_wrap))
		return false;
	q->batch = used_id(d);
	q->batch_len = used_len(d);
	q->batching = virtq_check(q, q->batch, &q->batch_len);
	return q->batching;
}

cold
static bool take_in_order(struct virtq *q, void **cookie, uint32_t *len)
{
	uint16_t head = q->slots[q->in];

	if (!q->batching && !open_batch(q))
		return false;
	q->batching = head != q->batch;
	*len = q->batching ? virtq_limit(q, head) - 1 : q->batch_len;
	*cookie = virtq_finish(q, head);
	give_back(q, head);
	return true;
}

unsigned virtq_packed_take(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	unsigned got = 0;

	for (;;) {
		if (!q->batching)
			got += take_plain(q, cookies + got, lens + got, n - got);
		if (got == n || !(q->in_order ? take_in_order(q, &cookies[got], &lens[got])
					      : take_any(q, &cookies[got], &lens[got])))
			return got;
		got++;
	}
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
