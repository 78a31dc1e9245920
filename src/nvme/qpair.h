/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An I/O queue pair. Its owner alone touches it: no locks, no allocation, no register reads.
 *
 * Any thread may make one for an owner, who adopts it before its first use. Until then it has no
 * executor: whoever made it steps it while it is created, and it may be closed by any thread.
 *
 * A tracker stands for a command in flight. Its command identifier is the tracker's index in the
 * low bits and a generation above, so that a late completion of an earlier use is recognised. The
 * last tracker is never handed out: identifier 0xffff never occurs, and at most entries - 1
 * commands are in flight, so that the submission queue cannot overrun.
 *
 * The live word of a tracker has the shape of a completion's last dword once the expected phase
 * has been XORed away: cid in the low half, phase and status (0) above. So one test of bit 16 says
 * "new", and one compare says: this tracker, this generation, in flight, success, and no Abort
 * names it. Everything else goes to one cold function.
 *
 *	qpair.c		submit, poll
 *	qpair_prp.c	the data pointer when it is not one or two pages
 *	qpair_slow.c	deadlines, Abort, rebuilding, opening and closing: the owner's state machine
 */
#ifndef NVME_QPAIR_H
#define NVME_QPAIR_H

#include "nvme/ctrl.h"
#include <assert.h>

#define LIVE_ODD  (1u << 16)  /* in flight, but an Abort names it: hot compare fails */
#define LIVE_FREE 0xffff0000u /* not in flight */

enum nvme_qpair_state {
	QPAIR_LIVE,
	QPAIR_DRAIN, /* a reset began: waiting for stopped */
	QPAIR_WAIT,  /* nothing in flight; waiting for live */
	QPAIR_CREATE_CQ,
	QPAIR_CREATE_SQ,
	QPAIR_DELETE_SQ, /* the queue-level step, or closing */
	QPAIR_DELETE_CQ,
	QPAIR_CLOSED,
	QPAIR_DEAD,
};

/* What befell a command; zeroed with the stamp by one store at submit. */
struct nvme_history {
	uint32_t stamp;      /* when a scan first saw it, see nvme_stamp(); 0: none did yet */
	uint8_t tries;       /* how often it was sent again */
	uint8_t raw : 1;     /* the record is in struct riser_nvme_qpair.raw */
	uint8_t requeue : 1; /* to be sent again when the queue lives */
	uint8_t unsent : 1;  /* never visible to the device: no doorbell was rung after it */
	uint8_t aborted : 1; /* its Abort succeeded: its own completion must follow */
	uint8_t refused : 1; /* its Abort was refused: it just completed, else drop the queue */
	uint8_t pad[2];
};

/**
 * struct nvme_tracker - a command in flight; one cache line
 * @live: see above; of a free tracker, the identifier of its last use and LIVE_FREE
 * @cdw12: with @dw01 (opcode and namespace), @prp1, @prp2 and @cdw10 the record for sending it
 * again
 * @history: what befell it
 * @req: the caller's end
 * @next: of the free list or the stash
 * @abort: the Abort command that names it, while that is outstanding
 */
struct nvme_tracker {
	uint32_t live;
	uint32_t cdw12;
	struct nvme_history history;
	union {
		struct riser_nvme_req *req;
		struct nvme_tracker *next;
	};
	uint64_t dw01, prp1, prp2, cdw10;
	struct nvme_areq *abort;
};
static_assert(sizeof(struct nvme_tracker) == 64, "a tracker is one cache line");
static_assert(sizeof(struct nvme_history) == 8, "zeroed by one store");

/* A place in a completion queue. */
struct nvme_cursor {
	struct riser_nvme_cqe *entry; /* the next one to look at */
	uint32_t phase;               /* bit 16: what a new entry's phase bit is */
};

struct riser_nvme_qpair {
	/* Submit. */
	struct nvme_tracker *free;
	struct riser_nvme_sqe *tail; /* where the next entry goes */
	struct riser_nvme_sqe *sq, *sq_end;
	const uint64_t *table;   /* the DMA space's */
	uint32_t mps, page_mask; /* bytes, and one less */
	uint32_t two_pages;      /* what fits one or two PRPs; 0 sends every command the long way */
	unsigned page_shift;     /* of the IOMMU */
	uint32_t entries;        /* also the step of a cid's generation */
	uint64_t submitted;

	/* Poll. */
	struct nvme_cursor head __attribute__((aligned(64)));
	struct riser_nvme_cqe *cq, *cq_end;
	struct nvme_tracker *trackers;
	struct riser_nvme_sqe *rung; /* tail at the last doorbell */
	uint32_t mask;
	uint32_t gen; /* of the controller when these queues were created; 0 while not live */
	volatile uint32_t *sq_db, *cq_db; /* NULL: through the access */
	struct riser_exec *x;             /* NULL: not adopted yet */
	struct nvme_ctrl *c;
	const struct clock *clock;
	struct pci_dev *pci;
	int (*pump)(struct pci_dev *d, uint64_t *next); /* the access's, may be NULL */
	uint64_t completed;
	uint64_t next_tick; /* when to look at deadlines and the controller */
	enum nvme_qpair_state state;

	/* Rarely. */
	struct poller poller;
	struct riser_watch irq, admin_irq;
	struct riser_nvme *h;
	struct dma_mem sq_mem, cq_mem, lists;
	uint32_t fast_limit;        /* two_pages of a clean queue */
	struct riser_nvme_sqe *raw; /* records of raw commands, by tracker */
	uint32_t dirty; /* submission slots that may hold odd dwords: so many long ways to go */
	struct nvme_tracker *stash; /* free trackers while the queue does not live */
	uint32_t aborts;            /* trackers that wait for the answer of an Abort */
	struct nvme_areq *req;      /* the create or delete under way */
	uint32_t target;            /* the generation being drained or created for */
	bool closing;
	bool told;   /* that the oldest command takes long */
	bool doomed; /* the controller refused to make it: only to be taken down */
	uint16_t qid;
	int vector;   /* -1: polled */
	bool watched; /* its events wake the owner */
	uint64_t pump_next;
	uint64_t doorbells, stray, retries;
};

static inline bool nvme_in_flight(const struct nvme_tracker *t)
{
	return (t->live & LIVE_FREE) != LIVE_FREE;
}

/*
 * The last dword of the entry at the cursor, phase taken away: bit 16 is 0 where it is new. The
 * acquire pairs with the device's posting; nothing of the entry is read before it.
 */
static inline uint32_t nvme_peek(const struct nvme_cursor *at)
{
	return load_acquire((const uint32_t *)(const void *)&at->entry->cid) ^ at->phase;
}

/* On to the entry behind it. */
static inline void nvme_advance(const struct riser_nvme_qpair *q, struct nvme_cursor *at)
{
	if (unlikely(++at->entry == q->cq_end)) {
		at->entry = q->cq;
		at->phase ^= LIVE_ODD;
	}
}

/* The PRP list of a tracker. */
static inline riser_le64 *nvme_tracker_list(const struct riser_nvme_qpair *q,
					    const struct nvme_tracker *t, uint64_t *iova)
{
	size_t off = (size_t)(t - q->trackers) * q->mps;

	*iova = q->lists.iova + off;
	return (riser_le64 *)((char *)q->lists.va + off);
}

static inline void nvme_tracker_free(struct riser_nvme_qpair *q, struct nvme_tracker *t)
{
	struct nvme_tracker **list = q->state == QPAIR_LIVE ? &q->free : &q->stash;

	t->next = *list;
	*list = t;
}

/* qpair.c */
/* Write @t's record, with a new cid, into the submission queue. */
void nvme_qpair_send(struct riser_nvme_qpair *q, struct nvme_tracker *t);

int nvme_qpair_poller(struct poller *p);
void nvme_qpair_cq_doorbell(struct riser_nvme_qpair *q);

/*
 * qpair_open.c: riser_nvme_qpair_open() from any thread, for an owner who is yet to adopt it, and
 * to be interrupted.
 */
int nvme_qpair_create(struct riser_nvme *h, const struct riser_nvme_qpair_opts *opts,
		      struct riser_nvme_qpair **out, struct riser_err *err);
/* In the owner's thread, before the first use. */
void nvme_qpair_adopt(struct riser_nvme_qpair *q, struct riser_exec *x);

/* qpair_prp.c: fill @t's PRPs. Return: 0, -EFAULT or -EINVAL. */
int nvme_prp_fill(struct riser_nvme_qpair *q, struct nvme_tracker *t, const struct iovec *iov,
		  unsigned iovcnt, size_t off, size_t len);

/* qpair_slow.c */
/* A completion that is not a plain success, or names nothing. */
void nvme_qpair_odd(struct riser_nvme_qpair *q, uint32_t x, uint64_t result);
/* Deadlines and the controller, from a poll that emptied the queue. Return: things done. */
int nvme_qpair_tick(struct riser_nvme_qpair *q, uint64_t now);
/* The poll of a queue that is not live. */
int nvme_qpair_rebuild(struct riser_nvme_qpair *q);
/* Leave LIVE and delete the queues; they are created again unless it is being closed. */
void nvme_qpair_begin_delete(struct riser_nvme_qpair *q);
uint64_t nvme_qpair_next(struct poller *p);
int nvme_qpair_arm(struct poller *p);

#endif
