/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "base/riser.h"
#include "nvme/ctrl.h"
#include <errno.h>
#include <string.h>

#define PAGE           4096u /* of a request; one PRP whatever the controller's page size */
#define AER_SLOT(i)    (NVME_ADMIN_REQS + (i))
#define CID(slot, gen) ((uint16_t)((slot) | (unsigned)(gen) << 8))
#define CID_SLOT(cid)  ((cid)&0xffu)

int nvme_admin_init(struct nvme_ctrl *c, struct riser_err *err)
{
	struct nvme_admin *a = &c->admin;
	size_t mps = (size_t)1 << c->mps_shift;
	int rc;

	rc = dma_alloc(&c->pci->dma, NVME_ADMIN_DEPTH * sizeof(struct riser_nvme_sqe), mps, &a->sq,
		       err);
	if (!rc)
		rc = dma_alloc(&c->pci->dma, NVME_ADMIN_DEPTH * sizeof(struct riser_nvme_cqe), mps,
			       &a->cq, err);
	if (!rc)
		rc = dma_alloc(&c->pci->dma, NVME_ADMIN_REQS * PAGE, PAGE, &a->pages, err);
	a->phase = true; /* the queue is all zeroes: nothing is new in it */
	if (rc)
		return rc; /* the caller's unwinding calls nvme_admin_destroy() */
	for (unsigned i = 0; i < NVME_ADMIN_REQS; i++) {
		a->reqs[i].page = (char *)a->pages.va + i * PAGE;
		a->reqs[i].page_iova = a->pages.iova + i * PAGE;
	}
	return 0;
}

void nvme_admin_destroy(struct nvme_ctrl *c)
{
	dma_free(&c->pci->dma, &c->admin.big);
	dma_free(&c->pci->dma, &c->admin.pages);
	dma_free(&c->pci->dma, &c->admin.cq);
	dma_free(&c->pci->dma, &c->admin.sq);
}

static void ring(struct nvme_ctrl *c)
{
	mmio_wmb(); /* the entry before the doorbell; pairs with the device's fetch */
	if (c->db)
		mmio_write32(c->db, c->admin.tail);
	else
		pci_write32(c->pci, 0, RISER_NVME_REG_DBS, c->admin.tail);
}

static void post(struct nvme_ctrl *c, const struct riser_nvme_sqe *sqe)
{
	struct nvme_admin *a = &c->admin;

	((struct riser_nvme_sqe *)a->sq.va)[a->tail] = *sqe;
	a->tail = (uint16_t)((a->tail + 1) % NVME_ADMIN_DEPTH);
	ring(c);
}

void nvme_areq_send(struct nvme_ctrl *c, struct nvme_areq *q)
{
	struct nvme_admin *a = &c->admin;
	unsigned slot = (unsigned)(q - a->reqs);

	q->cid = CID(slot, ++a->gens[slot]);
	q->sqe.cid = to_le16(q->cid);
	q->stamp = 0;
	q->state = AREQ_SENT;
	post(c, &q->sqe);
}

static struct nvme_areq *take(struct nvme_ctrl *c, unsigned slot)
{
	struct nvme_areq *q = &c->admin.reqs[slot];

	*q = (struct nvme_areq){ .page = q->page,
				 .page_iova = q->page_iova,
				 .timeout = c->admin_timeout,
				 .state = AREQ_QUEUED };
	return q;
}

struct nvme_areq *nvme_areq_get(struct nvme_ctrl *c)
{
	for (unsigned i = NVME_ADMIN_OWN + 1; i < NVME_ADMIN_REQS; i++)
		if (c->admin.reqs[i].state == AREQ_FREE)
			return take(c, i);
	return NULL;
}

/* What an earlier attempt left in it ended when the device was proved stopped. */
struct nvme_areq *nvme_areq_get_own(struct nvme_ctrl *c)
{
	return take(c, NVME_ADMIN_OWN);
}

/*
 * The controller takes so many at a time. Those that it answered hold slots until their owners
 * look; half of the slots stay for everybody else.
 */
bool nvme_admin_may_abort(const struct nvme_ctrl *c)
{
	unsigned sent = 0, held = 0;

	for (unsigned i = 0; i < NVME_ADMIN_REQS; i++) {
		const struct nvme_areq *q = &c->admin.reqs[i];

		if (q->state == AREQ_FREE || q->sqe.opcode != RISER_NVME_ADM_ABORT)
			continue;
		held++;
		sent += q->state == AREQ_SENT;
	}
	return sent <= c->id->acl && held < NVME_ADMIN_REQS / 2;
}

static void release(struct nvme_ctrl *c, struct nvme_areq *q)
{
	if (q->big)
		c->admin.big_taken = false;
	q->state = AREQ_FREE;
}

void nvme_areq_put(struct nvme_ctrl *c, struct nvme_areq *q)
{
	if (!q)
		return;
	if (q->state == AREQ_SENT)
		q->abandoned = true; /* its page is the device's until it completes */
	else
		release(c, q);
}

static void finish(struct nvme_ctrl *c, struct nvme_areq *q, uint32_t status)
{
	q->status = status;
	q->state = AREQ_DONE;
	if (q->abandoned)
		release(c, q);
	clock_bump(c->r);
}

void nvme_areq_submit(struct nvme_ctrl *c, struct nvme_areq *q)
{
	if (c->dead)
		finish(c, q, RISER_NVME_HOST_OFFLINE);
	else if (c->recover.state == RECOVER_LIVE)
		nvme_areq_send(c, q);
	/* else it stays queued until nvme_admin_live(), so that it cannot spoil the bring-up */
}

void nvme_admin_live(struct nvme_ctrl *c)
{
	for (unsigned i = 0; i < NVME_ADMIN_REQS; i++)
		if (c->admin.reqs[i].state == AREQ_QUEUED)
			nvme_areq_send(c, &c->admin.reqs[i]);
}

void nvme_admin_restart(struct nvme_ctrl *c)
{
	struct nvme_admin *a = &c->admin;

	nvme_admin_reap(c); /* what was posted before the device stopped counts */
	a->open = false;
	a->tail = a->head = 0;
	a->phase = true;
	memset(a->sq.va, 0, a->sq.len);
	memset(a->cq.va, 0, a->cq.len);
	memset(a->aer_armed, 0, sizeof(a->aer_armed));
	for (unsigned i = 0; i < NVME_ADMIN_REQS; i++) {
		struct nvme_areq *q = &a->reqs[i];

		if (q->state != AREQ_SENT)
			continue;
		if (!q->retry || q->abandoned) {
			finish(c, q, RISER_NVME_HOST_INTERRUPTED);
		} else if (q->tries >= c->max_retries) {
			finish(c, q, RISER_NVME_HOST_TIMEOUT);
		} else {
			q->state = AREQ_QUEUED;
			q->tries++;
			__atomic_fetch_add(&c->retries, 1, __ATOMIC_RELAXED);
		}
	}
}

void nvme_admin_end_all(struct nvme_ctrl *c, uint32_t status)
{
	c->admin.open = false;
	for (unsigned i = 0; i < NVME_ADMIN_REQS; i++) {
		struct nvme_areq *q = &c->admin.reqs[i];

		if (q->state == AREQ_SENT || q->state == AREQ_QUEUED)
			finish(c, q, status);
	}
}

void nvme_admin_arm_aers(struct nvme_ctrl *c)
{
	for (unsigned i = 0; c->admin.open && i < c->admin.aers; i++) {
		struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_ADM_AER };

		if (c->admin.aer_armed[i])
			continue;
		sqe.cid = to_le16(CID(AER_SLOT(i), ++c->admin.gens[AER_SLOT(i)]));
		c->admin.aer_armed[i] = true;
		post(c, &sqe);
	}
}

static void event(struct nvme_ctrl *c, unsigned i, uint32_t dw0, uint16_t status)
{
	struct nvme_admin *a = &c->admin;

	a->aer_armed[i] = false;
	if (status) { /* not supported, or too many: be content with those before it */
		a->aers = min_of(a->aers, i);
		return;
	}
	c->aers++;
	if (a->nevents < NVME_EVENTS)
		a->events[a->nevents++] = dw0;
	nvme_admin_arm_aers(c);
}

static void completed(struct nvme_ctrl *c, const struct riser_nvme_cqe *cqe)
{
	struct nvme_admin *a = &c->admin;
	uint16_t cid = le16(cqe->cid), status = (uint16_t)(le16(cqe->status) >> 1);
	unsigned slot = CID_SLOT(cid);

	if (slot < NVME_ADMIN_REQS && a->reqs[slot].state == AREQ_SENT &&
	    a->reqs[slot].cid == cid) {
		a->reqs[slot].result = le32(cqe->dw0);
		finish(c, &a->reqs[slot], status);
	} else if (slot >= AER_SLOT(0) && slot < AER_SLOT(NVME_AERS) &&
		   a->aer_armed[slot - AER_SLOT(0)] && CID(slot, a->gens[slot]) == cid) {
		event(c, slot - AER_SLOT(0), le32(cqe->dw0), status);
	} else {
		__atomic_fetch_add(&c->stray, 1, __ATOMIC_RELAXED);
	}
}

int nvme_admin_reap(struct nvme_ctrl *c)
{
	struct nvme_admin *a = &c->admin;
	struct riser_nvme_cqe *cq = a->cq.va, cqe;
	int n = 0;

	/* At most one round: a device that posts for ever must not hold us. */
	while (n < NVME_ADMIN_DEPTH) {
		/* cid and status are one word; the acquire pairs with the device's posting. */
		uint32_t last = load_acquire((const uint32_t *)(const void *)&cq[a->head].cid);

		if ((last >> 16 & 1) != a->phase)
			break;
		memcpy(&cqe, &cq[a->head], sizeof(cqe)); /* once, then judged */
		a->head = (uint16_t)((a->head + 1) % NVME_ADMIN_DEPTH);
		if (!a->head)
			a->phase = !a->phase;
		completed(c, &cqe);
		n++;
	}
	if (n && a->open) {
		if (c->db)
			mmio_write32((volatile char *)c->db + (1u << c->db_shift), a->head);
		else
			pci_write32(c->pci, 0, RISER_NVME_REG_DBS + (1u << c->db_shift), a->head);
	}
	return n;
}

int nvme_admin_scan(struct nvme_ctrl *c, uint64_t now)
{
	for (unsigned i = 0; i < NVME_ADMIN_REQS && c->admin.open; i++) {
		struct nvme_areq *q = &c->admin.reqs[i];

		if (q->state != AREQ_SENT)
			continue;
		if (!q->stamp) {
			q->stamp = now;
		} else if (now >= q->stamp + q->timeout) { /* @now may be older than the stamp */
			uint64_t next;

			/* It may be done already, and only not yet delivered or reaped. */
			if (pci_pump(c->pci, &next) > 0 && nvme_admin_reap(c))
				return 1;
			c->timeouts++;
			/* Abort would travel the same queue: go to the reset at once. */
			nvme_recover_start(c, "an admin command was not completed in time");
			return 1;
		} else {
			nvme_tell_wait(c, &q->told, q->stamp, q->stamp + q->timeout, now,
				       "answer an admin command");
		}
	}
	return 0;
}

uint64_t nvme_admin_next(struct nvme_ctrl *c)
{
	uint64_t next = TIME_NEVER;

	for (unsigned i = 0; i < NVME_ADMIN_REQS && c->admin.open; i++) {
		const struct nvme_areq *q = &c->admin.reqs[i];

		if (q->state == AREQ_SENT && q->stamp)
			next = min_of(next, q->stamp + q->timeout);
	}
	return next;
}

int nvme_serve_locked(struct nvme_ctrl *c, uint64_t now)
{
	int n = nvme_admin_reap(c);

	n += nvme_admin_scan(c, now);
	n += nvme_recover_step(c, now);
	return n;
}

uint64_t nvme_next(struct nvme_ctrl *c)
{
	uint64_t next = nvme_admin_next(c);

	if (c->recover.state != RECOVER_LIVE && c->recover.state != RECOVER_DEAD)
		next = min_of(next, c->recover.deadline);
	return next;
}

/* Events are handed out with the lock dropped; a handler is a completion, and may not wait. */
void nvme_unlock(struct nvme_ctrl *c, struct riser_exec *x)
{
	uint32_t events[NVME_EVENTS];
	unsigned n = c->admin.nevents;
	void (*fn)(void *ctx, uint32_t event) = c->aer_fn;
	void *ctx = c->aer_ctx;
	bool died = c->dead && !c->death_told;

	memcpy(events, c->admin.events, n * sizeof(events[0]));
	c->admin.nevents = 0;
	c->death_told |= died;
	pthread_mutex_unlock(&c->lock);
	if (x)
		x->in_cb++;
	for (unsigned i = 0; i < n; i++) {
		if (fn)
			fn(ctx, events[i]);
		listeners_tell(&c->watchers, &c->lock, events[i]);
	}
	if (died)
		listeners_tell(&c->watchers, &c->lock, NVME_EVENT_GONE);
	if (x)
		x->in_cb--;
}

int nvme_serve(struct nvme_ctrl *c, struct riser_exec *x)
{
	int n;

	if (pthread_mutex_trylock(&c->lock))
		return 0;
	n = nvme_serve_locked(c, clock_now(c->r));
	nvme_unlock(c, x);
	return n;
}

int nvme_vanished(struct nvme_ctrl *c)
{
	if (load_relaxed(&c->dead) || pthread_mutex_trylock(&c->lock))
		return 0;
	nvme_recover_die(c, true, "the function is gone");
	pthread_mutex_unlock(&c->lock);
	return 1;
}

/* Point the command at its data: its own page, or the big buffer listed in its page. */
static void attach_data(struct nvme_ctrl *c, struct nvme_areq *q,
			const struct riser_nvme_admin *cmd)
{
	struct nvme_admin *a = &c->admin;
	size_t mps = (size_t)1 << c->mps_shift;
	char *data = q->big ? a->big.va : q->page;

	q->len = cmd->len;
	memset(data, 0, align_up(cmd->len, 4));
	if (RISER_NVME_XFER(cmd->sqe.opcode) & RISER_NVME_XFER_TO_DEVICE)
		memcpy(data, cmd->data, cmd->len);
	if (!q->big) {
		q->sqe.prp1 = to_le64(q->page_iova);
		return;
	}
	q->sqe.prp1 = to_le64(a->big.iova);
	if (cmd->len > 2 * mps) {
		for (size_t off = mps, i = 0; off < cmd->len; off += mps, i++)
			((riser_le64 *)q->page)[i] = to_le64(a->big.iova + off);
		q->sqe.prp2 = to_le64(q->page_iova);
	} else if (cmd->len > mps) {
		q->sqe.prp2 = to_le64(a->big.iova + mps);
	}
}

/* Return: 1 when it was handed to the queue, 0 when slots are taken, or a negative errno. */
static int try_start(struct nvme_ctrl *c, const struct riser_nvme_admin *cmd,
		     struct nvme_areq **out)
{
	struct nvme_admin *a = &c->admin;
	size_t mps = (size_t)1 << c->mps_shift;
	struct nvme_areq *q;
	bool big = cmd->len > PAGE;

	if (big && a->big_taken)
		return 0;
	if (big && !a->big.va) {
		int rc = dma_alloc(&c->pci->dma, NVME_ADMIN_BIG, mps, &a->big, NULL);

		if (rc)
			return rc;
	}
	q = nvme_areq_get(c);
	if (!q)
		return 0;
	q->sqe = cmd->sqe;
	q->sqe.flags = 0;
	q->sqe.prp1 = q->sqe.prp2 = to_le64(0);
	q->big = big;
	a->big_taken |= big;
	q->retry = nvme_admin_harmless(cmd->sqe.opcode);
	if (cmd->timeout_ms)
		q->timeout = cmd->timeout_ms * NS_PER_MS;
	else if (cmd->sqe.opcode == RISER_NVME_ADM_FORMAT)
		q->timeout *= 10;
	if (cmd->len)
		attach_data(c, q, cmd);
	else if (RISER_NVME_XFER(cmd->sqe.opcode) == RISER_NVME_XFER_FROM_DEVICE)
		q->sqe.prp1 = to_le64(q->page_iova); /* what nobody asked for goes nowhere else */
	nvme_areq_submit(c, q);
	*out = q;
	return 1;
}

/* Take the answer over and give the slot back. */
static int collect(struct nvme_ctrl *c, struct nvme_areq *q, struct riser_nvme_admin *cmd)
{
	int status = (int)q->status;

	cmd->result = q->result;
	if (!status && cmd->len && RISER_NVME_XFER(cmd->sqe.opcode) & RISER_NVME_XFER_FROM_DEVICE)
		memcpy(cmd->data, q->big ? c->admin.big.va : q->page, cmd->len);
	nvme_areq_put(c, q);
	return status;
}

int nvme_admin_sync(struct nvme_ctrl *c, struct riser_exec *x, struct riser_nvme_admin *cmd)
{
	struct nvme_areq *q = NULL;
	struct sync_wait w;
	int rc = 0;

	if (exec_in_callback(x) || exec_completing(c->r))
		return -EDEADLK;
	if (cmd->len > NVME_ADMIN_BIG)
		return -E2BIG;
	if (cmd->len && (!cmd->data || RISER_NVME_XFER(cmd->sqe.opcode) == RISER_NVME_XFER_NONE))
		return -EINVAL;
	sync_wait_begin(&w, c->r, x);
	for (bool done = false; !done;) {
		uint64_t next, pump_next;
		int did;

		sync_wait_look(&w);
		pthread_mutex_lock(&c->lock);
		if (!q)
			rc = try_start(c, cmd, &q);
		did = nvme_serve_locked(c, clock_now(c->r));
		if (q && q->state == AREQ_DONE) {
			rc = collect(c, q, cmd);
			done = true;
		}
		done |= rc < 0;
		next = nvme_next(c);
		nvme_unlock(c, x);
		if (!done && !did && nvme_pump(c, &pump_next) == 0)
			sync_wait_idle(&w, min_of(next, pump_next));
		else
			w.idle = 0;
	}
	sync_wait_end(&w);
	return rc;
}
