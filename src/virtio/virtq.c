/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What a virtqueue does on the data path, before it is split or packed. */
#include "base/event.h"
#include "base/mmio.h"
#include "virtio/virtq_ring.h"
#include <errno.h>

static inline bool dead(const struct virtq *q)
{
	return unlikely(q->stopped || load_relaxed(&q->d->broken));
}

bool virtq_bad(struct virtq *q, const char *what)
{
	virtio_break(q->d, what);
	return false;
}

bool virtq_check(struct virtq *q, uint32_t id, uint32_t *len)
{
	uint32_t limit;

	if (id >= q->size)
		return virtq_bad(q, "a used id is out of range");
	limit = virtq_limit(q, (uint16_t)id);
	if (!limit)
		return virtq_bad(q, "a used id is not in flight");
	if (q->packed && limit == 1)
		*len = 0; /* reserved where nothing could be written (§2.8.8) */
	if (*len >= limit && !q->sloppy)
		return virtq_bad(q, "a used length is more than the chain has room for");
	*len = min_of(*len, limit - 1);
	return true;
}

unsigned virtq_room(const struct virtq *q)
{
	return dead(q) ? 0 : q->room;
}

/* A chain that goes into one descriptor: its pieces stand in the table of the identifier. */
static void fill_table(struct virtq *q, uint16_t id, const struct virtq_work *w,
		       struct virtq_sg *sg)
{
	size_t off = (size_t)id * q->table_len * sizeof(struct riser_virtq_desc);
	void *table = (char *)q->tables.va + off;

	for (unsigned i = 0; i < w->nout + w->nin; i++) {
		uint16_t flags = i < w->nout ? 0 : RISER_VIRTQ_DESC_F_WRITE;
		bool last = i + 1 == w->nout + w->nin;
		riser_le64 addr = to_le64(w->sg[i].iova);
		riser_le32 len = to_le32(w->sg[i].len);

		if (q->packed)
			((struct riser_virtq_packed_desc *)table)[i] =
				(struct riser_virtq_packed_desc){
					addr, len, { 0 }, to_le16(flags)
				};
		else
			((struct riser_virtq_desc *)table)[i] = (struct riser_virtq_desc){
				addr, len, to_le16(last ? flags : flags | RISER_VIRTQ_DESC_F_NEXT),
				to_le16((uint16_t)(last ? 0 : i + 1))
			};
	}
	sg->iova = q->tables.iova + off;
	sg->len = (w->nout + w->nin) * (uint32_t)sizeof(struct riser_virtq_desc);
}

int virtq_add(struct virtq *q, const struct virtq_sg *sg, unsigned nout, unsigned nin, void *cookie)
{
	struct virtq_work w = { .sg = sg, .nout = nout, .nin = nin, .cookie = cookie };
	struct virtq_sg table;
	uint64_t writable = 0;

	for (unsigned i = nout; i < nout + nin; i++)
		writable += sg[i].len;
	w.limit = (uint32_t)min_of(writable + 1, (uint64_t)UINT32_MAX);
	if (dead(q) || !q->room)
		return -ENOSPC;
	if (nout + nin > 1 && nout + nin <= q->table_len) {
		fill_table(q, q->packed ? virtq_packed_id(q) : virtq_split_id(q), &w, &table);
		w.sg = &table;
		w.nout = 1;
		w.nin = 0;
		w.flags = RISER_VIRTQ_DESC_F_INDIRECT;
	}
	if (w.nout + w.nin > q->room)
		return -ENOSPC;
	if (q->packed)
		virtq_packed_add(q, &w);
	else
		virtq_split_add(q, &w);
	return 0;
}

unsigned virtq_add_burst(struct virtq *q, const struct virtq_sg *sg, void *const *cookies,
			 unsigned n, bool in)
{
	n = min_of(n, virtq_room(q));
	if (!n)
		return 0;
	if (q->packed)
		virtq_packed_burst(q, sg, cookies, n, in);
	else if (!q->in_order)
		virtq_split_burst(q, sg, cookies, n, in);
	else
		for (unsigned i = 0; i < n; i++)
			virtq_add(q, &sg[i], !in, in, cookies[i]);
	return n;
}

static inline void publish(struct virtq *q)
{
	if (q->packed)
		virtq_packed_publish(q);
	else
		virtq_split_publish(q);
}

static void notify(struct virtq *q)
{
	uint32_t value = q->notify.value;

	if (q->data)
		value |= (uint32_t)(q->packed ? vring_off_wrap(q->out, q->out_wrap)
					      : (uint16_t)q->added)
			 << 16;
	if (q->notify.at) {
		mmio_wmb(); /* what was published is in memory before the device hears of it */
		if (q->notify.wide)
			mmio_write32(q->notify.at, value);
		else
			mmio_write16(q->notify.at, (uint16_t)value);
	} else if (q->notify.fd >= 0) {
		event_signal(q->notify.fd);
	} else {
		q->d->t->notify(q->d, q->index, value);
	}
}

void virtq_kick(struct virtq *q)
{
	bool wanted;

	if (!q->fresh || dead(q))
		return;
	if (q->held)
		publish(q);
	wanted = q->packed ? virtq_packed_wanted(q) : virtq_split_wanted(q);
	q->fresh = 0;
	if (wanted)
		notify(q);
}

unsigned virtq_take_burst(struct virtq *q, void **cookies, uint32_t *lens, unsigned n)
{
	if (dead(q))
		return 0;
	/* So that whatever is in flight may be used, and the checks need not tell. */
	if (q->held)
		publish(q);
	return q->packed ? virtq_packed_take(q, cookies, lens, n)
			 : virtq_split_take(q, cookies, lens, n);
}

void *virtq_take(struct virtq *q, uint32_t *len)
{
	void *cookie;

	return virtq_take_burst(q, &cookie, len, 1) ? cookie : NULL;
}

bool virtq_arm(struct virtq *q)
{
	return q->packed ? virtq_packed_arm(q) : virtq_split_arm(q);
}

void virtq_disarm(struct virtq *q)
{
	if (q->packed)
		virtq_packed_disarm(q);
	else
		virtq_split_disarm(q);
}

bool virtq_stale(const struct virtq *q)
{
	return load_acquire(&q->d->epoch) != q->epoch;
}
