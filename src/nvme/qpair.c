/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The hot path: filling an entry in place, ringing once a poll, reaping by one compare. */
#include "nvme/qpair.h"
#include "base/riser.h"
#include <errno.h>
#include <string.h>

#define DMA_OFFSET(v) ((v) & (DMA_SLOT_SIZE - 1))
/* The blocks of a count; a bit that is none of the flags makes it too many. */
#define BLOCKS(count) ((count) & ~(RISER_NVME_FUA | RISER_NVME_LR))

/*
 * The next use of a tracker: its identifier with the generation one up. Then the entry at the tail
 * is filled. The dwords that no ordinary command uses (2…5, 13…15) are zero there already; raw
 * commands restore that, see put_whole().
 */
static inline void put(struct riser_nvme_qpair *q, struct nvme_tracker *t, uint64_t dw01,
		       uint64_t prp1, uint64_t prp2, uint64_t cdw10, uint32_t cdw12)
{
	struct riser_nvme_sqe *sqe = q->tail, *next = sqe + 1;
	uint32_t cid = (uint16_t)(t->live + q->entries);
	uint64_t dw = to_le64(dw01 | (uint64_t)cid << 16).raw;

	t->live = cid;
	memcpy(sqe, &dw, sizeof(dw));
	sqe->prp1 = to_le64(prp1);
	sqe->prp2 = to_le64(prp2);
	dw = to_le64(cdw10).raw;
	memcpy(&sqe->cdw10, &dw, sizeof(dw));
	sqe->cdw12 = to_le32(cdw12);
	if (unlikely(next == q->sq_end))
		next = q->sq;
	q->tail = next;
}

/* Every dword of the entry at the tail; the way of raw commands and of those behind them. */
cold
static void put_whole(struct riser_nvme_qpair *q, struct nvme_tracker *t)
{
	if (t->history.raw)
		*q->tail = q->raw[t - q->trackers];
	else
		memset(q->tail, 0, sizeof(*q->tail));
	put(q, t, t->dw01, t->prp1, t->prp2, t->cdw10, t->cdw12);
	if (t->history.raw) {
		/*
		 * The slot now holds odd dwords, and may be filled again while this command is
		 * still in flight: until the queue has gone round, every command takes this way.
		 */
		q->dirty = q->entries;
		q->two_pages = 0;
	} else if (q->dirty && !--q->dirty) {
		q->two_pages = q->fast_limit;
	}
}

void nvme_qpair_send(struct riser_nvme_qpair *q, struct nvme_tracker *t)
{
	t->history = (struct nvme_history){ .tries = t->history.tries, .raw = t->history.raw };
	put_whole(q, t);
}

/* Why nothing can be submitted. */
cold
static int full(const struct riser_nvme_qpair *q)
{
	return q->state == QPAIR_DEAD || q->state == QPAIR_CLOSED ? -ENODEV : -EAGAIN;
}

/* Why a read or write is refused; the caller found that it is. */
cold
static int refuse(const struct riser_nvme_ns *ns, uint8_t opcode)
{
	return ns->max_blocks[opcode] ? -EINVAL : -EPERM;
}

/* Is a range of blocks allowed? @count as the caller gave it. */
static inline bool in_range(const struct riser_nvme_ns *ns, uint8_t opcode, uint64_t lba,
			    uint32_t count)
{
	uint32_t last = BLOCKS(count) - 1; /* no blocks at all wraps, and is too much */

	/* max_blocks <= blocks, so that the subtraction cannot wrap. */
	return last < ns->max_blocks[opcode] && lba - ns->first < ns->blocks - last;
}

/* A command whose data is not one or two pages that the table knows, or behind a raw command. */
cold
static int rw_long(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns, struct riser_nvme_req *req,
		   uint8_t opcode, const struct iovec *iov, unsigned iovcnt, size_t off,
		   uint64_t lba, uint32_t count)
{
	struct nvme_tracker *t = q->free;
	int rc;

	if (!in_range(ns, opcode, lba, count))
		return refuse(ns, opcode);
	if (!t)
		return full(q);
	rc = nvme_prp_fill(q, t, iov, iovcnt, off, (size_t)BLOCKS(count) << ns->shift);
	if (rc)
		return rc;
	q->free = t->next;
	t->req = req;
	t->dw01 = ns->dw01[opcode];
	t->cdw10 = lba;
	t->cdw12 = count - 1;
	t->history = (struct nvme_history){ 0 };
	nvme_qpair_send(q, t);
	q->submitted++;
	return 0;
}

cold
static int read_long(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
		     struct riser_nvme_req *req, void *buf, uint64_t lba, uint32_t count)
{
	struct iovec iov = { buf, SIZE_MAX };

	return rw_long(q, ns, req, RISER_NVME_IO_READ, &iov, 1, 0, lba, count);
}

cold
static int write_long(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
		      struct riser_nvme_req *req, void *buf, uint64_t lba, uint32_t count)
{
	struct iovec iov = { buf, SIZE_MAX };

	return rw_long(q, ns, req, RISER_NVME_IO_WRITE, &iov, 1, 0, lba, count);
}

/*
 * One or two pages. What is refused, or is not one or two pages, is a tail call to @long_way,
 * which says what is wrong or does it. Nothing in here has its address taken, and the record and
 * the entry are written as soon as a value is known, so that little is kept in registers: a
 * tracker stays free until the free list moves on, and the entry at the tail is ours until the
 * doorbell.
 */
static inline __attribute__((always_inline)) int
rw(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns, struct riser_nvme_req *req, void *buf,
   uint64_t lba, uint32_t count, uint8_t opcode,
   int (*long_way)(struct riser_nvme_qpair *, struct riser_nvme_ns *, struct riser_nvme_req *,
		   void *, uint64_t, uint32_t))
{
	struct nvme_tracker *t = q->free, *next;
	uint64_t v = (uint64_t)(uintptr_t)buf, e, prp1, prp2 = 0;
	/* Odd low bits rotate to the top: one compare finds them and a VA beyond the table. */
	uint64_t slot = (v >> 2 | v << 62) >> (DMA_SLOT_SHIFT - 2);
	uint32_t off = (uint32_t)v & q->page_mask;
	uint32_t end = off + BLOCKS(count) * ns->block_size;

	if (unlikely(!t || !in_range(ns, opcode, lba, count) || end > q->two_pages ||
		     slot >= DMA_SLOTS))
		return long_way(q, ns, req, buf, lba, count);
	next = t->next;
	t->req = req;
	t->cdw10 = lba;
	t->cdw12 = count - 1;
	/* Pairs with dma_space_enter(): the entry may be a pointer to a leaf. */
	e = load_acquire(&q->table[slot]);
	if (e & 1) {
		prp1 = v + (e - 1);
		if (end > q->mps) {
			if (unlikely(DMA_OFFSET(v) - off + end > DMA_SLOT_SIZE))
				goto odd;
			prp2 = prp1 - off + q->mps;
		}
	} else {
		const uint64_t *leaf = (const uint64_t *)(uintptr_t)e;

		if (unlikely(!leaf))
			goto odd;
		leaf += DMA_OFFSET(v) >> q->page_shift;
		prp1 = load_relaxed(leaf);
		if (unlikely(!prp1))
			goto odd;
		prp1 += off;
		if (end > q->mps) {
			prp2 = load_relaxed(leaf + 1);
			if (unlikely(!prp2))
				goto odd;
		}
	}
	q->free = next;
	t->history = (struct nvme_history){ 0 };
	t->dw01 = ns->dw01[opcode];
	t->prp1 = prp1;
	t->prp2 = prp2;
	put(q, t, t->dw01, prp1, prp2, t->cdw10, t->cdw12);
	q->submitted++;
	return 0;
odd:
	lba = t->cdw10;
	count = t->cdw12 + 1;
	req = t->req;
	t->next = next; /* it shares its place with req */
	return long_way(q, ns, req, buf, lba, count);
}

int riser_nvme_read(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
		    struct riser_nvme_req *req, void *buf, uint64_t lba, uint32_t count)
{
	return rw(q, ns, req, buf, lba, count, RISER_NVME_IO_READ, read_long);
}

int riser_nvme_write(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
		     struct riser_nvme_req *req, void *buf, uint64_t lba, uint32_t count)
{
	return rw(q, ns, req, buf, lba, count, RISER_NVME_IO_WRITE, write_long);
}

int riser_nvme_rwv(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns, struct riser_nvme_req *req,
		   uint8_t opcode, const struct iovec *iov, unsigned iovcnt, size_t iov_off,
		   uint64_t lba, uint32_t count)
{
	if (opcode != RISER_NVME_IO_READ && opcode != RISER_NVME_IO_WRITE &&
	    opcode != RISER_NVME_IO_COMPARE)
		return -EINVAL;
	return rw_long(q, ns, req, opcode, iov, iovcnt, iov_off, lba, count);
}

/* A command without data, or whose data lies in the tracker's own list page already. */
static int simple(struct riser_nvme_qpair *q, struct nvme_tracker *t, struct riser_nvme_req *req,
		  uint64_t dw01, uint64_t prp1, uint64_t cdw10, uint32_t cdw12)
{
	q->free = t->next;
	t->req = req;
	t->dw01 = dw01;
	t->prp1 = prp1;
	t->prp2 = 0;
	t->cdw10 = cdw10;
	t->cdw12 = cdw12;
	t->history = (struct nvme_history){ 0 };
	nvme_qpair_send(q, t);
	q->submitted++;
	return 0;
}

int riser_nvme_flush(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
		     struct riser_nvme_req *req)
{
	if (!ns->max_blocks[RISER_NVME_IO_FLUSH])
		return -EPERM;
	return q->free ? simple(q, q->free, req, ns->dw01[RISER_NVME_IO_FLUSH], 0, 0, 0) : full(q);
}

int riser_nvme_write_zeroes(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
			    struct riser_nvme_req *req, uint64_t lba, uint32_t count,
			    bool deallocate)
{
	if (!in_range(ns, RISER_NVME_IO_WRITE_ZEROES, lba, count))
		return refuse(ns, RISER_NVME_IO_WRITE_ZEROES);
	return q->free ? simple(q, q->free, req, ns->dw01[RISER_NVME_IO_WRITE_ZEROES], 0, lba,
				(count - 1) | (deallocate ? RISER_NVME_RW_DEAC : 0))
		       : full(q);
}

int riser_nvme_deallocate(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
			  struct riser_nvme_req *req, const struct riser_nvme_dsm_range *ranges,
			  unsigned n)
{
	struct nvme_tracker *t = q->free;
	uint64_t iova, all = 0;

	if (!ns->max_blocks[RISER_NVME_IO_DSM])
		return -EPERM;
	if (!n || n > ns->max_ranges)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = le64(ranges[i].slba) - ns->first, len = le32(ranges[i].nlb);

		if (at > ns->blocks || len > ns->blocks - at || len > ns->max_range)
			return -EINVAL;
		all += len;
	}
	if (all > ns->max_deallocate)
		return -EINVAL;
	if (!t)
		return full(q);
	memcpy(nvme_tracker_list(q, t, &iova), ranges, n * sizeof(*ranges));
	return simple(q, t, req, ns->dw01[RISER_NVME_IO_DSM], iova,
		      (n - 1) | (uint64_t)RISER_NVME_DSM_AD << 32, 0);
}

int riser_nvme_io(struct riser_nvme_qpair *q, struct riser_nvme_req *req,
		  const struct riser_nvme_sqe *sqe, void *buf, size_t len)
{
	struct nvme_tracker *t = q->free;
	struct iovec iov = { buf, len };
	struct riser_nvme_sqe *raw;
	uint64_t dw;
	int rc;

	if (!nvme_io_allowed(q->h, sqe->opcode))
		return -EPERM;
	if (len > q->c->max_transfer || (len && !buf))
		return -EINVAL;
	/* Data with no place to go would go to address 0. */
	if (!len && RISER_NVME_XFER(sqe->opcode) != RISER_NVME_XFER_NONE)
		return -EINVAL;
	if (!t)
		return full(q);
	t->prp1 = t->prp2 = 0;
	rc = len ? nvme_prp_fill(q, t, &iov, 1, 0, len) : 0;
	if (rc)
		return rc;
	raw = &q->raw[t - q->trackers];
	*raw = *sqe;
	raw->flags &= 3; /* FUSE is the caller's, PSDT is not */
	raw->cid = to_le16(0);
	memcpy(&dw, raw, sizeof(dw));
	t->dw01 = le64((riser_le64){ dw });
	memcpy(&dw, &raw->cdw10, sizeof(dw));
	t->cdw10 = le64((riser_le64){ dw });
	t->cdw12 = le32(raw->cdw12);
	q->free = t->next;
	t->req = req;
	t->history = (struct nvme_history){ .raw = true };
	nvme_qpair_send(q, t);
	q->submitted++;
	return 0;
}

static inline void doorbell(struct riser_nvme_qpair *q, volatile uint32_t *db, bool cq,
			    uint32_t value)
{
	q->doorbells++;
	if (likely(db))
		mmio_write32(db, value);
	else
		pci_write32(q->c->pci, 0,
			    RISER_NVME_REG_DBS + ((2u * q->qid + cq) << q->c->db_shift), value);
}

static inline void kick(struct riser_nvme_qpair *q)
{
	struct riser_nvme_sqe *tail = q->tail;

	if (tail == q->rung)
		return;
	mmio_wmb(); /* the entries before the doorbell; pairs with the device's fetch */
	q->rung = tail;
	doorbell(q, q->sq_db, false, (uint32_t)(tail - q->sq));
}

void nvme_qpair_cq_doorbell(struct riser_nvme_qpair *q)
{
	doorbell(q, q->cq_db, true, (uint32_t)(q->head.entry - q->cq));
}

void riser_nvme_qpair_kick(struct riser_nvme_qpair *q)
{
	if (q->state == QPAIR_LIVE)
		kick(q);
}

/* A new entry at the head, whose last dword is @x. The head advances before the callback. */
static inline void complete(struct riser_nvme_qpair *q, uint32_t x)
{
	struct nvme_tracker *t = &q->trackers[x & q->mask];
	struct riser_nvme_req *req = t->req;
	uint64_t result;

	memcpy(&result, q->head.entry, sizeof(result));
	result = le64((riser_le64){ result });
	nvme_advance(q, &q->head);
	if (unlikely(x != t->live)) {
		nvme_qpair_odd(q, x, result);
		return;
	}
	t->live = x | LIVE_FREE;
	t->next = q->free;
	q->free = t;
	q->completed++;
	req->done(req, 0, result);
}

/* Reap what is there until @n, the entries consumed so far, reaches @max. Return: the new @n. */
static inline unsigned reap(struct riser_nvme_qpair *q, unsigned n, unsigned max)
{
	uint32_t x;

	while (!((x = nvme_peek(&q->head)) & LIVE_ODD)) {
		complete(q, x);
		if (++n == max)
			break;
	}
	return n;
}

static inline bool tick_is_due(const struct riser_nvme_qpair *q)
{
	return unlikely(q->x->now >= q->next_tick);
}

/* nvme_pump() with what it needs at hand. Return: whether the device did something. */
static inline bool pump(struct riser_nvme_qpair *q)
{
	int did = 0;

	if (q->pump)
		did = q->pump(q->pci, &q->pump_next);
	return likely(did >= 0) ? did : nvme_vanished(q->c);
}

/*
 * The time has come to look at deadlines, but only once the device has nothing more to say: an
 * inline model may need many pumps for what it did long ago, while its owner was away. Others may
 * keep it busy for ever, hence the bound. An owner who takes fewer completions than come (@n is
 * @max) is left alone for as long as a command may take; then what waits in the queue is spared by
 * name, see nvme_qpair_tick(). @n and @max as for reap(). Return: things done.
 */
cold
static unsigned look(struct riser_nvme_qpair *q, unsigned n, unsigned max)
{
	if (n == max && q->x->now - q->next_tick < q->c->io_timeout)
		return n;
	for (uint32_t i = 0; i < q->entries && pump(q); i++) {
		unsigned before = n;

		if (n == max)
			continue;
		q->x->in_cb++;
		n = reap(q, n, max);
		q->x->in_cb--;
		if (n != before)
			nvme_qpair_cq_doorbell(q);
		if (n == max)
			return n;
	}
	return n + (unsigned)nvme_qpair_tick(q, q->x->now);
}

/*
 * Ring for what was submitted and reap what is there. If that is nothing (or it is time to look at
 * deadlines), let the device go on and reap again. @x->now was read already; @max is not 0.
 */
static inline __attribute__((always_inline)) int poll_at(struct riser_nvme_qpair *q, unsigned max)
{
	unsigned n;

	/* Pairs with the release that starts a recovery. A queue that is not live never matches. */
	if (unlikely(load_acquire(&q->c->gen) != q->gen))
		return nvme_qpair_rebuild(q);
	kick(q);
	q->x->in_cb++;
	n = reap(q, 0, max);
	if (unlikely(!n || (tick_is_due(q) && n < max)) && pump(q))
		n = reap(q, n, max);
	q->x->in_cb--;
	if (n)
		doorbell(q, q->cq_db, true, (uint32_t)(q->head.entry - q->cq));
	if (tick_is_due(q))
		n = look(q, n, max);
	return (int)n;
}

int nvme_qpair_poller(struct poller *p)
{
	struct riser_nvme_qpair *q = container_of(p, struct riser_nvme_qpair, poller);

	return poll_at(q, q->entries);
}

int riser_nvme_qpair_poll(struct riser_nvme_qpair *q, unsigned max)
{
	if (unlikely(q->x->in_cb))
		return -EDEADLK;
	q->x->now = clock_now_of(q->clock);
	return poll_at(q, max ? max : q->entries);
}
