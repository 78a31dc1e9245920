/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The hot path of virtio-blk: a chain of header, data and status a request. */
#include "virtio/blk.h"
#include "base/riser.h"
#include <errno.h>

/*
 * What the device sees of a piece of memory from its start on: one run of consecutive addresses, at
 * most @len bytes. Return: its length, 0 where the device does not reach it.
 */
static inline size_t run_at(const struct riser_dma_space *dma, const void *va, size_t len,
			    uint64_t *iova)
{
	uint64_t v = (uint64_t)(uintptr_t)va, e = dma_slot(dma, va), unit;

	if (likely(e & 1)) {
		*iova = v + (e - 1);
		unit = DMA_SLOT_SIZE;
	} else {
		*iova = e ? dma_leaf(dma, e, v) : DMA_NONE;
		unit = 1ull << dma->page_shift;
	}
	if (unlikely(*iova == DMA_NONE))
		return 0;
	return min_of(len, (size_t)(unit - (v & (unit - 1))));
}

/* Append a run; one that continues the last makes that longer. Return: the new count, or -EINVAL */
static int append(const struct vblk_queue *q, struct virtq_sg *sg, int n, uint64_t iova, size_t len)
{
	while (len) {
		struct virtq_sg *last = &sg[n - 1];
		size_t here;

		if (n && last->iova + last->len == iova && last->len < q->size_max) {
			here = min_of(len, (size_t)(q->size_max - last->len));
			last->len += (uint32_t)here;
		} else if ((unsigned)n == q->seg_max) {
			return -EINVAL;
		} else {
			here = min_of(len, (size_t)q->size_max);
			sg[n++] = (struct virtq_sg){ iova, (uint32_t)here };
		}
		iova += here;
		len -= here;
	}
	return n;
}

/* Return: how many pieces, or -EFAULT, -EINVAL. */
static cold
int gather(const struct vblk_queue *q, struct virtq_sg *sg, const struct vblk_slot *s)
{
	const struct iovec *v = s->iov;
	size_t off = s->iov_off, left = s->bytes;
	int n = 0;

	for (; left; v++) {
		size_t have;

		if (off >= v->iov_len) {
			off -= v->iov_len;
			continue;
		}
		for (have = min_of(v->iov_len - off, left); have;) {
			uint64_t iova;
			size_t run = run_at(q->dma, (char *)v->iov_base + off, have, &iova);

			n = run ? append(q, sg, n, iova, run) : -EFAULT;
			if (n < 0)
				return n;
			off += run;
			have -= run;
			left -= run;
		}
		off = 0;
	}
	return n;
}

int vblk_send(struct vblk_queue *q, struct vblk_slot *s)
{
	size_t at = (size_t)(s - q->slots);
	uint64_t iova = q->wires_iova + at * sizeof(struct vblk_wire);
	struct vblk_wire *w = &q->wires[at];
	struct virtq_sg sg[VBLK_SEGS + 2];
	int n = 0, in = s->type == RISER_VIRTIO_BLK_T_IN;

	sg[0] = (struct virtq_sg){ iova, sizeof(w->head) };
	if (s->type <= RISER_VIRTIO_BLK_T_OUT) {
		size_t run = 0;

		if (likely(s->iovcnt == 1 && s->bytes <= q->size_max))
			run = run_at(q->dma, (char *)s->iov->iov_base + s->iov_off, s->bytes,
				     &sg[1].iova);
		sg[1].len = (uint32_t)run;
		n = likely(run == s->bytes) ? 1 : gather(q, sg + 1, s);
		if (unlikely(n < 0))
			return n;
	} else if (s->type != RISER_VIRTIO_BLK_T_FLUSH) {
		sg[1] = (struct virtq_sg){ iova + offsetof(struct vblk_wire, range),
					   sizeof(w->range) };
		n = 1;
	}
	sg[n + 1] = (struct virtq_sg){ iova + offsetof(struct vblk_wire, status), 1 };
	w->head.type = to_le32(s->type);
	w->head.sector = to_le64(s->sector);
	w->status = UINT8_MAX;
	s->stamp = 0;
	n = virtq_add(q->vq, sg, in ? 1 : (unsigned)n + 1, in ? (unsigned)n + 1 : 1, s);
	if (unlikely(n))
		return n == -ENOSPC ? -EAGAIN : n;
	q->added = true;
	return 0;
}

/* Why nothing can be submitted. */
static cold
int full(const struct vblk_queue *q)
{
	return q->state == VBLK_DEAD ? -ENODEV : -EAGAIN;
}

static inline int submit(struct vblk_queue *q, struct vblk_slot *s, struct vblk_req *req)
{
	struct vblk_slot *next = s->next;
	int rc;

	s->tries = 0;
	rc = vblk_send(q, s);
	if (unlikely(rc))
		return rc;
	s->req = req;
	q->free = next;
	q->inflight++;
	return 0;
}

int vblk_rw(struct vblk_queue *q, struct vblk_req *req, uint8_t type, uint64_t sector,
	    const struct iovec *iov, unsigned iovcnt, size_t off, uint32_t bytes)
{
	struct vblk_slot *s = q->free;

	if (unlikely(!s))
		return full(q);
	s->iov = iov;
	s->iov_off = off;
	s->sector = sector;
	s->iovcnt = iovcnt;
	s->bytes = bytes;
	s->type = type;
	return submit(q, s, req);
}

int vblk_flush(struct vblk_queue *q, struct vblk_req *req)
{
	struct vblk_slot *s = q->free;

	if (!s)
		return full(q);
	s->sector = 0;
	s->type = RISER_VIRTIO_BLK_T_FLUSH;
	return submit(q, s, req);
}

int vblk_range(struct vblk_queue *q, struct vblk_req *req, uint8_t type, uint64_t sector,
	       uint32_t count, bool unmap)
{
	struct vblk_slot *s = q->free;

	if (!s)
		return full(q);
	s->sector = 0;
	s->type = type;
	q->wires[s - q->slots].range = (struct riser_virtio_blk_range){
		.sector = to_le64(sector),
		.num_sectors = to_le32(count),
		.flags = to_le32(unmap),
	};
	return submit(q, s, req);
}

void vblk_end(struct vblk_queue *q, struct vblk_slot *s, unsigned status)
{
	struct vblk_slot **list = q->state == VBLK_LIVE ? &q->free : &q->stash;
	struct vblk_req *req = s->req;

	s->req = NULL;
	s->next = *list;
	*list = s;
	q->inflight--;
	req->done(req, status);
}

unsigned vblk_reap(struct vblk_queue *q)
{
	struct vblk_slot *s;
	unsigned n = 0;
	uint32_t len;

	for (; n < q->nslots && (s = virtq_take(q->vq, &len)); n++) {
		unsigned status = load_relaxed(&q->wires[s - q->slots].status);

		if (unlikely(!status && s->type == RISER_VIRTIO_BLK_T_IN && len < s->bytes))
			status = VBLK_SHORT;
		vblk_end(q, s, status);
	}
	return n;
}

/* What was found is to be followed by no interrupt until the owner sleeps again. */
static cold
void disarm(struct vblk_queue *q)
{
	q->armed = false;
	virtq_disarm(q->vq);
}

int vblk_poller(struct poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);
	unsigned n;

	/* Pairs with the release that begins a recovery. A queue that is not live never matches. */
	if (unlikely(load_acquire(&q->d->gen) != q->gen))
		return vblk_rebuild(q);
	if (q->added) {
		q->added = false;
		virtq_kick(q->vq);
	}
	q->x->in_cb++;
	n = vblk_reap(q);
	if (unlikely(!n) && vblk_pump(q))
		n = vblk_reap(q);
	q->x->in_cb--;
	if (unlikely(!n && load_acquire(&q->d->dev->epoch) != q->epoch))
		return vblk_rebuild(q);
	if (unlikely(q->armed && n))
		disarm(q);
	if (unlikely(q->x->now >= q->next_tick))
		n += (unsigned)vblk_tick(q);
	return (int)n;
}
