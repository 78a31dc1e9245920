/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What happens to a queue pair when something goes wrong, and how it is made and taken down: one
 * state machine, stepped by its owner's polls.
 *
 *	overdue command ─► CSTS ─► Abort ─┬─ its completion follows ─► sent again, or UNKNOWN
 *	                    │             ├─ refused ─► DELETE_SQ ─► DELETE_CQ ─► CREATE_CQ …
 *	                    │             └─ "aborted", but silent ─┐
 *	                    └─ fatal, not ready ────────────────────┴─► controller reset
 *
 *	controller reset (gen moved):
 *		DRAIN ─ stopped ─► WAIT ─ live ─► CREATE_CQ ─► CREATE_SQ ─► LIVE
 *
 * No command ends without its own completion entry until the device is proved to do no DMA for
 * it: RDY=0, a function reset, bus mastering off, all-ones, or Delete I/O Submission Queue
 * completed (§5.7: the commands of that queue are then complete or aborted).
 *
 * While it is not live the free list is empty, so that submitting says EAGAIN, and free trackers
 * collect in the stash: a callback of the drain that submits again cannot enter a dying queue.
 */
#include "base/err.h"
#include "base/riser.h"
#include "nvme/qpair.h"
#include <errno.h>
#include <string.h>

#define TICK      (100 * NS_PER_MS) /* between looks at deadlines and the controller */
#define TICK_BUSY (10 * NS_PER_MS)  /* while an Abort is outstanding */

static uint8_t opcode_of(const struct nvme_tracker *t)
{
	return (uint8_t)t->dw01;
}

/* Milliseconds, never 0; differences survive the wrap after 49 days. */
static uint32_t stamp(uint64_t now)
{
	return (uint32_t)(now / NS_PER_MS) | 1;
}

/* What is not adopted yet has nothing in flight, and runs no callbacks. */
static void callbacks_begin(struct riser_nvme_qpair *q)
{
	if (q->x)
		q->x->in_cb++;
}

static void callbacks_end(struct riser_nvme_qpair *q)
{
	if (q->x)
		q->x->in_cb--;
}

/* The caller is told. The tracker is held back while an Abort may still name it. */
static void end(struct riser_nvme_qpair *q, struct nvme_tracker *t, uint32_t status,
		uint64_t result)
{
	struct riser_nvme_req *req = t->req;

	t->live |= LIVE_FREE;
	t->history.requeue = false;
	if (!t->abort)
		nvme_tracker_free(q, t);
	q->completed++;
	req->done(req, status, result);
}

/*
 * The device gave a command back undone, or is proved to have forgotten it: send it again where
 * that is safe.
 */
static void interrupted(struct riser_nvme_qpair *q, struct nvme_tracker *t)
{
	struct nvme_history *h = &t->history;

	if (q->closing || load_relaxed(&q->c->dead)) {
		uint32_t why =
			q->closing ? RISER_NVME_ST_ABORT_SQ_DELETED : RISER_NVME_HOST_OFFLINE;
		bool known = h->unsent || nvme_io_harmless(opcode_of(t));

		end(q, t, known ? why : RISER_NVME_HOST_UNKNOWN, 0);
		return;
	}
	if (!h->unsent) {
		if (!nvme_io_harmless(opcode_of(t))) {
			end(q, t, RISER_NVME_HOST_UNKNOWN, 0);
			return;
		}
		if (h->tries >= q->c->max_retries) {
			end(q, t, RISER_NVME_HOST_TIMEOUT, 0);
			return;
		}
		base_log(q->c->r, RISER_LOG_WARN, "%s: queue %u, opcode %#x: sending it again",
			 q->c->pci->name, q->qid, opcode_of(t));
		h->tries++;
		q->retries++;
		__atomic_fetch_add(&q->c->retries, 1, __ATOMIC_RELAXED);
	}
	/* An Abort that is still under way names this tracker: not before it is answered. */
	if (q->state == QPAIR_LIVE && !t->abort) {
		nvme_qpair_send(q, t);
	} else {
		t->live |= LIVE_FREE;
		h->requeue = true;
	}
}

void nvme_qpair_odd(struct riser_nvme_qpair *q, uint32_t x, uint64_t result)
{
	uint32_t cid = x & 0xffff, status = x >> 17;
	struct nvme_tracker *t = &q->trackers[cid & q->mask];
	bool by_us;

	if (!nvme_in_flight(t) || (t->live & 0xffff) != cid) {
		q->stray++;
		__atomic_fetch_add(&q->c->stray, 1, __ATOMIC_RELAXED);
		return;
	}
	by_us = (t->live & LIVE_ODD &&
		 (status & RISER_NVME_ST_MASK) == RISER_NVME_ST_ABORT_REQUESTED) ||
		(q->state == QPAIR_DELETE_SQ &&
		 (status & RISER_NVME_ST_MASK) == RISER_NVME_ST_ABORT_SQ_DELETED);
	if (by_us)
		interrupted(q, t);
	else
		end(q, t, status, result);
}

/* Reap a queue that is not live: whatever comes back goes to the stash. Return: entries. */
static int reap_draining(struct riser_nvme_qpair *q)
{
	unsigned n;

	callbacks_begin(q);
	for (n = 0; n < q->entries; n++) {
		const struct riser_nvme_cqe *cqe = q->head.entry;
		uint32_t x = nvme_peek(&q->head);

		if (x & LIVE_ODD)
			break;
		nvme_advance(q, &q->head);
		nvme_qpair_odd(q, x, le32(cqe->dw0) | (uint64_t)le32(cqe->dw1) << 32);
	}
	callbacks_end(q);
	return (int)n;
}

/* The free list is empty from here on. */
static void leave_live(struct riser_nvme_qpair *q, enum nvme_qpair_state state)
{
	if (q->state == QPAIR_LIVE) {
		q->stash = q->free;
		q->free = NULL;
		q->target = q->gen;
		q->gen = 0; /* no generation of a controller: every poll comes here now */
	}
	q->state = state;
}

void nvme_qpair_begin_delete(struct riser_nvme_qpair *q)
{
	leave_live(q, QPAIR_DELETE_SQ);
}

/* Under the controller's lock: whatever Aborts were sent, they concern nobody any more. */
static void forget_aborts(struct riser_nvme_qpair *q)
{
	for (uint32_t i = 0; i < q->entries; i++) {
		struct nvme_tracker *t = &q->trackers[i];

		if (!t->abort)
			continue;
		nvme_areq_put(q->c, t->abort);
		t->abort = NULL;
		q->aborts--;
		if (!nvme_in_flight(t) && !t->history.requeue)
			nvme_tracker_free(q, t);
	}
}

/* The device does no DMA for this queue: end what is in flight or mark it to be sent again. */
static void end_in_flight(struct riser_nvme_qpair *q)
{
	while (q->rung != q->tail) {
		q->trackers[le16(q->rung->cid) & q->mask].history.unsent = true;
		if (++q->rung == q->sq_end)
			q->rung = q->sq;
	}
	callbacks_begin(q);
	for (uint32_t i = 0; i < q->entries; i++) {
		struct nvme_tracker *t = &q->trackers[i];

		if (nvme_in_flight(t) || (t->history.requeue && q->closing))
			interrupted(q, t);
	}
	callbacks_end(q);
}

static void reset_rings(struct riser_nvme_qpair *q)
{
	memset(q->sq, 0, q->sq_mem.len);
	memset(q->cq, 0, q->cq_mem.len);
	q->tail = q->rung = q->sq;
	q->head = (struct nvme_cursor){ q->cq, LIVE_ODD };
	q->dirty = 0;
	q->two_pages = q->fast_limit;
}

/*
 * Send the queue's own admin command, or look whether it is done; @fill makes the command.
 * Return: 1 when done (its status in *@status), 0 not yet. Also 0 when the generation moved,
 * which the next poll sees.
 */
static int own_command(struct riser_nvme_qpair *q,
		       void (*fill)(struct riser_nvme_qpair *, struct riser_nvme_sqe *),
		       uint32_t *status)
{
	struct nvme_ctrl *c = q->c;
	int rc = 0;

	if (pthread_mutex_trylock(&c->lock))
		return 0;
	/* The check and the sending are under one hold: no reset comes between. */
	if (c->gen != q->target || c->live != q->target) {
		rc = 0;
	} else if (!q->req) {
		q->req = nvme_areq_get(c);
		if (q->req) {
			fill(q, &q->req->sqe);
			nvme_areq_submit(c, q->req);
		}
	} else if (q->req->state == AREQ_DONE) {
		*status = q->req->status;
		nvme_areq_put(c, q->req);
		q->req = NULL;
		rc = 1;
		if (q->state == QPAIR_DELETE_SQ && !*status)
			forget_aborts(q);
		else if (q->state >= QPAIR_DELETE_SQ && *status && !(*status & RISER_NVME_HOST))
			nvme_recover_start(c, "a queue cannot be deleted");
	}
	nvme_unlock(c, q->x);
	return rc;
}

static void fill_create_cq(struct riser_nvme_qpair *q, struct riser_nvme_sqe *sqe)
{
	uint32_t irq = q->vector < 0 ? 0 : (uint32_t)q->vector << 16 | 2;

	sqe->opcode = RISER_NVME_ADM_CREATE_CQ;
	sqe->prp1 = to_le64(q->cq_mem.iova);
	sqe->cdw10 = to_le32(q->mask << 16 | q->qid);
	sqe->cdw11 = to_le32(irq | 1); /* physically contiguous */
}

static void fill_create_sq(struct riser_nvme_qpair *q, struct riser_nvme_sqe *sqe)
{
	sqe->opcode = RISER_NVME_ADM_CREATE_SQ;
	sqe->prp1 = to_le64(q->sq_mem.iova);
	sqe->cdw10 = to_le32(q->mask << 16 | q->qid);
	sqe->cdw11 = to_le32((uint32_t)q->qid << 16 | 1);
}

static void fill_delete_sq(struct riser_nvme_qpair *q, struct riser_nvme_sqe *sqe)
{
	sqe->opcode = RISER_NVME_ADM_DELETE_SQ;
	sqe->cdw10 = to_le32(q->qid);
}

static void fill_delete_cq(struct riser_nvme_qpair *q, struct riser_nvme_sqe *sqe)
{
	sqe->opcode = RISER_NVME_ADM_DELETE_CQ;
	sqe->cdw10 = to_le32(q->qid);
}

/* The queue will not live again: whatever waits to be sent ends here. */
static void die(struct riser_nvme_qpair *q)
{
	q->state = QPAIR_DEAD;
	callbacks_begin(q);
	for (uint32_t i = 0; i < q->entries; i++)
		if (q->trackers[i].history.requeue)
			end(q, &q->trackers[i], RISER_NVME_HOST_OFFLINE, 0);
	callbacks_end(q);
}

static void go_live(struct riser_nvme_qpair *q)
{
	q->gen = q->target;
	q->state = QPAIR_LIVE;
	q->free = q->stash;
	q->stash = NULL;
	q->next_tick = clock_now_of(q->clock);
	for (uint32_t i = 0; i < q->entries; i++)
		if (q->trackers[i].history.requeue)
			nvme_qpair_send(q, &q->trackers[i]);
}

static int step_create(struct riser_nvme_qpair *q)
{
	bool cq = q->state == QPAIR_CREATE_CQ;
	uint32_t status;

	if (!own_command(q, cq ? fill_create_cq : fill_create_sq, &status))
		return 0;
	if (status & RISER_NVME_HOST)
		return 0; /* a reset cut it off: gen has moved */
	if (status) {
		base_log(q->c->r, RISER_LOG_ERROR, "%s: queue %u cannot be created: %s",
			 q->c->pci->name, q->qid, riser_nvme_status_text(status));
		if (cq) {
			die(q);
		} else { /* the completion queue is there: it goes first, with its memory */
			q->doomed = true;
			q->state = QPAIR_DELETE_CQ;
		}
		return 1;
	}
	if (cq)
		q->state = QPAIR_CREATE_SQ;
	else if (q->closing)
		q->state = QPAIR_DELETE_SQ;
	else
		go_live(q);
	return 1;
}

static int step_delete(struct riser_nvme_qpair *q)
{
	bool sq = q->state == QPAIR_DELETE_SQ;
	uint32_t status;

	if (!own_command(q, sq ? fill_delete_sq : fill_delete_cq, &status))
		return 0;
	if (status)
		return 1; /* a reset has begun: gen has moved */
	if (sq) {
		reap_draining(q);
		end_in_flight(q);
		q->state = QPAIR_DELETE_CQ;
	} else {
		reset_rings(q);
		if (q->doomed)
			die(q);
		else
			q->state = q->closing ? QPAIR_CLOSED : QPAIR_CREATE_CQ;
	}
	return 1;
}

static int step_drain(struct riser_nvme_qpair *q)
{
	struct nvme_ctrl *c = q->c;

	/* Pairs with proved_stopped(): what the device had posted is visible now. */
	if (load_acquire(&c->stopped) != q->target)
		return 0;
	if (pthread_mutex_trylock(&c->lock))
		return 0;
	nvme_areq_put(c, q->req);
	q->req = NULL;
	forget_aborts(q);
	nvme_unlock(c, q->x);
	reap_draining(q);
	end_in_flight(q);
	reset_rings(q);
	if (q->closing)
		q->state = QPAIR_CLOSED;
	else
		q->state = QPAIR_WAIT;
	return 1;
}

/*
 * A reset began: whatever this queue was doing, it drains. This needs no lock, so that from the
 * first look on nothing enters the queue.
 */
static int enter_drain(struct riser_nvme_qpair *q, uint32_t gen)
{
	leave_live(q, QPAIR_DRAIN);
	q->target = gen;
	return 1;
}

static int step(struct riser_nvme_qpair *q)
{
	struct nvme_ctrl *c = q->c;
	uint32_t gen = load_acquire(&c->gen);

	if (q->state == QPAIR_CLOSED || q->state == QPAIR_DEAD)
		return 0;
	if (gen != (q->state == QPAIR_LIVE ? q->gen : q->target))
		return enter_drain(q, gen);
	switch (q->state) {
	case QPAIR_DRAIN:
		return step_drain(q);
	case QPAIR_WAIT:
		if (q->closing) {
			end_in_flight(q); /* what waits to be sent again */
			q->state = QPAIR_CLOSED;
			return 1;
		}
		if (q->doomed || load_acquire(&c->dead)) {
			die(q);
			return 1;
		}
		/* Pairs with the end of RECOVER_SETUP. */
		if (load_acquire(&c->live) != q->target)
			return 0;
		q->state = QPAIR_CREATE_CQ;
		return 1;
	case QPAIR_CREATE_CQ:
	case QPAIR_CREATE_SQ:
		return step_create(q);
	case QPAIR_DELETE_SQ:
	case QPAIR_DELETE_CQ:
		return step_delete(q);
	default:
		return 0;
	}
}

int nvme_qpair_rebuild(struct riser_nvme_qpair *q)
{
	int n = 0;

	if (q->state == QPAIR_LIVE) /* the generation moved: leave it before anything ends */
		n += step(q);
	if (q->state == QPAIR_DRAIN || q->state == QPAIR_DELETE_SQ) {
		n += reap_draining(q);
		if (n && q->state == QPAIR_DELETE_SQ) /* make room: deleting may post more */
			nvme_qpair_cq_doorbell(q);
	}
	n += nvme_serve(q->c, q->x);
	n += step(q);
	if (!n)
		n = nvme_pump(q->c, &q->pump_next);
	return n;
}

static uint64_t age(const struct nvme_tracker *t, uint64_t now)
{
	return (uint64_t)(stamp(now) - t->history.stamp) * NS_PER_MS;
}

/* Deadline passed: name the command in an Abort, or go further. Under the lock. */
static void overdue(struct riser_nvme_qpair *q, struct nvme_tracker *t, uint64_t now)
{
	struct nvme_ctrl *c = q->c;
	uint32_t csts = nvme_reg32(c, RISER_NVME_REG_CSTS);
	struct nvme_areq *a;

	if (csts == UINT32_MAX) {
		nvme_recover_die(c, true, "the function is gone (registers read all-ones)");
		return;
	}
	if (csts & RISER_NVME_CSTS_CFS || !(csts & RISER_NVME_CSTS_RDY)) {
		c->timeouts++;
		nvme_recover_start(c, csts & RISER_NVME_CSTS_CFS
					      ? "fatal controller status (CSTS.CFS)"
					      : "not ready any more (CSTS.RDY)");
		return;
	}
	if (t->history.aborted) {
		nvme_recover_start(c, "an aborted command was never completed");
		return;
	}
	a = nvme_admin_may_abort(c) ? nvme_areq_get(c) : NULL;
	if (!a) {
		/* Others come first; but it may be that they are away. */
		if (age(t, now) >= 2 * c->io_timeout)
			nvme_recover_start(c, "no Abort could be sent in time");
		return;
	}
	c->timeouts++;
	c->aborts++;
	a->sqe.opcode = RISER_NVME_ADM_ABORT;
	a->sqe.cdw10 = to_le32(t->live << 16 | q->qid);
	base_log(c->r, RISER_LOG_WARN, "%s: queue %u, opcode %#x: not answered in time; aborting",
		 c->pci->name, q->qid, opcode_of(t));
	t->abort = a;
	q->aborts++;
	t->live |= LIVE_ODD;
	t->history.stamp = stamp(now);
	nvme_areq_submit(c, a);
}

static void abort_answered(struct riser_nvme_qpair *q, struct nvme_tracker *t, uint64_t now)
{
	struct nvme_areq *a = t->abort;
	bool done = !a->status && !(a->result & 1);

	t->abort = NULL;
	q->aborts--;
	nvme_areq_put(q->c, a);
	if (t->history.requeue) {
		nvme_qpair_send(q, t);
	} else if (!nvme_in_flight(t)) {
		nvme_tracker_free(q, t);
	} else {
		t->history.aborted = done;
		t->history.refused = !done;
		t->history.stamp = stamp(now);
	}
}

/* Has the device completed it, and only its owner not looked? */
static bool posted(const struct riser_nvme_qpair *q, const struct nvme_tracker *t)
{
	struct nvme_cursor ahead = q->head;
	uint32_t x;

	for (uint32_t i = 0; i < q->entries && !((x = nvme_peek(&ahead)) & LIVE_ODD); i++) {
		if ((x & 0xffff) == (t->live & 0xffff))
			return true;
		nvme_advance(q, &ahead);
	}
	return false;
}

/* Under the lock. Return: true while something should be looked at soon. */
static bool scan(struct riser_nvme_qpair *q, uint64_t now)
{
	uint64_t oldest = 0;
	bool soon = false;

	for (uint32_t i = 0; i < q->entries; i++) {
		struct nvme_tracker *t = &q->trackers[i];

		if (nvme_in_flight(t) && t->history.refused && !posted(q, t)) {
			/* It was not that the command had just completed: drop the queue. */
			base_log(q->c->r, RISER_LOG_WARN,
				 "%s: queue %u: the Abort was refused; deleting the queue",
				 q->c->pci->name, q->qid);
			nvme_qpair_begin_delete(q);
			return true;
		}
		if (t->abort && t->abort->state == AREQ_DONE)
			abort_answered(q, t, now);
		else if (nvme_in_flight(t) && !t->history.stamp)
			t->history.stamp = stamp(now);
		else if (nvme_in_flight(t) && !t->abort && age(t, now) >= q->c->io_timeout &&
			 !posted(q, t))
			overdue(q, t, now);
		soon |= t->abort || t->history.refused;
		if (q->c->gen != q->gen)
			return soon;
		if (nvme_in_flight(t) && !t->abort) /* an Abort waits by itself */
			oldest = max_of(oldest, age(t, now));
	}
	nvme_tell_wait(q->c, &q->told, now - oldest, now - oldest + q->c->io_timeout, now,
		       "answer an I/O command");
	return soon;
}

int nvme_qpair_tick(struct riser_nvme_qpair *q, uint64_t now)
{
	uint64_t period = min_of(TICK, q->c->io_timeout / 8 + 1);
	struct nvme_ctrl *c = q->c;
	int n;

	if (pthread_mutex_trylock(&c->lock))
		return 0; /* the next poll looks again */
	n = nvme_serve_locked(c, now);
	if (c->gen == q->gen && scan(q, now))
		period = min_of(period, TICK_BUSY);
	nvme_unlock(c, q->x);
	riser_nvme_qpair_kick(q); /* what was sent again */
	q->next_tick = now + period;
	return n;
}

/* Nothing is awaited from the device, not even the answer of an Abort that holds a tracker. */
static bool is_idle(const struct riser_nvme_qpair *q)
{
	return q->submitted == q->completed && !q->aborts;
}

uint64_t nvme_qpair_next(struct poller *p)
{
	struct riser_nvme_qpair *q = container_of(p, struct riser_nvme_qpair, poller);
	uint64_t next = q->pump_next;

	if (q->state == QPAIR_CLOSED || q->state == QPAIR_DEAD)
		return TIME_NEVER;
	if (q->state == QPAIR_LIVE) {
		if (!is_idle(q))
			return min_of(next, q->next_tick);
		return nvme_is_watched(q->c) && !q->watched ? min_of(next, q->next_tick) : next;
	}
	/* Whoever holds the lock acts, and bumps the clock. */
	if (!pthread_mutex_trylock(&q->c->lock)) {
		next = min_of(next, nvme_next(q->c));
		pthread_mutex_unlock(&q->c->lock);
	}
	return next;
}

int nvme_qpair_arm(struct poller *p)
{
	struct riser_nvme_qpair *q = container_of(p, struct riser_nvme_qpair, poller);

	if (q->state == QPAIR_CLOSED || q->state == QPAIR_DEAD)
		return 0;
	if (!q->watched || q->state != QPAIR_LIVE)
		return !is_idle(q) || q->state != QPAIR_LIVE ? -EOPNOTSUPP : 0;
	/* The event is gone once it was seen: no sleep before a tick had the lock and served it. */
	if (event_ack(q->admin_irq.fd))
		q->next_tick = 0;
	if (!q->next_tick)
		return 1;
	/* The device posts, then signals: what comes after the look signals again. */
	event_ack(q->irq.fd);
	return !(nvme_peek(&q->head) & LIVE_ODD);
}
