/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Making a queue pair and taking it down: memory, number, vector; the rest is qpair_slow.c's. */
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include "nvme/qpair.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_ENTRIES 256

/* Step the queue's state machine until it reaches one of these. */
static void settle(struct riser_nvme_qpair *q, enum nvme_qpair_state a, enum nvme_qpair_state b)
{
	struct sync_wait w;

	if (q->x)
		sync_wait_begin(&w, q->c->r, q->x);
	else
		sync_wait_begin_here(&w, q->c->r);
	while (q->state != a && q->state != b) {
		sync_wait_look(&w);
		if (q->x)
			q->x->now = clock_now(q->c->r);
		if (nvme_qpair_rebuild(q))
			w.idle = 0;
		else
			sync_wait_idle(&w, nvme_qpair_next(&q->poller));
	}
	sync_wait_end(&w);
}

static int take_qid(struct riser_nvme_qpair *q, struct riser_err *err)
{
	struct nvme_ctrl *c = q->c;

	pthread_mutex_lock(&c->lock);
	for (unsigned n = 1; n <= c->granted && n < 256; n++) {
		if (c->qids[n / 64] >> (n % 64) & 1)
			continue;
		c->qids[n / 64] |= 1ull << (n % 64);
		q->qid = (uint16_t)n;
		break;
	}
	pthread_mutex_unlock(&c->lock);
	if (q->qid)
		return 0;
	return err_set(err, -EBUSY, "%s: all %u I/O queue pairs are taken: close one, or share one",
		       c->pci->name, c->granted);
}

/* A vector and its event for completions, and the admin queue's event beside it. */
static int take_vector(struct riser_nvme_qpair *q, struct riser_err *err)
{
	struct nvme_ctrl *c = q->c;
	int rc = -ENOTSUP;

	pthread_mutex_lock(&c->lock);
	if (c->nvectors && c->vectors[0] < 0)
		c->vectors[0] = event_new();
	for (unsigned v = 1; v < c->nvectors && c->vectors[0] >= 0; v++) {
		if (c->vectors[v] >= 0)
			continue;
		rc = event_new();
		if (rc < 0)
			break;
		c->vectors[v] = rc;
		rc = pci_irq_set(c->pci, c->vectors, c->nvectors);
		if (rc) {
			close(c->vectors[v]);
			c->vectors[v] = -1;
			break;
		}
		q->vector = (int)v;
		q->irq.fd = c->vectors[v];
		/* A descriptor of its own: an executor's set takes each one once. */
		q->admin_irq.fd = fcntl(c->vectors[0], F_DUPFD_CLOEXEC, 0);
		rc = q->admin_irq.fd < 0 ? -errno : 0;
		break;
	}
	pthread_mutex_unlock(&c->lock);
	return rc ? err_set(err, rc, "%s: no interrupt vector is to be had (%u in all): poll",
			    c->pci->name, c->nvectors)
		  : 0;
}

/* In the owner's thread: have its events wake it. Without a vector there is nothing to do. */
static int watch(struct riser_nvme_qpair *q, struct riser_err *err)
{
	int rc;

	if (q->vector < 0)
		return 0;
	rc = riser_exec_watch(q->x, &q->irq, RISER_WATCH_IN);
	if (!rc) {
		rc = riser_exec_watch(q->x, &q->admin_irq, RISER_WATCH_IN);
		if (rc)
			riser_exec_unwatch(q->x, &q->irq);
	}
	q->watched = !rc;
	return rc ? err_set(err, rc, "%s: an interrupt's event cannot be watched", q->pci->name)
		  : 0;
}

static void unwatch(struct riser_nvme_qpair *q)
{
	if (!q->watched)
		return;
	riser_exec_unwatch(q->x, &q->irq);
	riser_exec_unwatch(q->x, &q->admin_irq);
}

static void give_vector(struct riser_nvme_qpair *q)
{
	struct nvme_ctrl *c = q->c;

	if (q->vector < 0)
		return;
	unwatch(q);
	if (q->admin_irq.fd >= 0)
		close(q->admin_irq.fd);
	pthread_mutex_lock(&c->lock);
	c->vectors[q->vector] = -1;
	if (!c->dead)
		pci_irq_set(c->pci, c->vectors, c->nvectors);
	pthread_mutex_unlock(&c->lock);
	close(q->irq.fd);
}

/* Partial-safe: whatever was made is undone. No queue exists in the controller any more. */
static void destroy(struct riser_nvme_qpair *q)
{
	struct nvme_ctrl *c = q->c;

	if (q->x)
		exec_remove(q->x, &q->poller);
	give_vector(q);
	dma_free(&c->pci->dma, &q->lists);
	dma_free(&c->pci->dma, &q->cq_mem);
	dma_free(&c->pci->dma, &q->sq_mem);
	if (q->qid) {
		pthread_mutex_lock(&c->lock);
		nvme_areq_put(c, q->req);
		c->qids[q->qid / 64] &= ~(1ull << (q->qid % 64));
		pthread_mutex_unlock(&c->lock);
	}
	free(q->raw);
	free(q->trackers);
	free(q);
}

static int allocate(struct riser_nvme_qpair *q, struct riser_err *err)
{
	struct riser_dma_space *dma = &q->c->pci->dma;
	int rc;

	q->trackers = aligned_alloc(64, q->entries * sizeof(*q->trackers));
	q->raw = calloc(q->entries, sizeof(*q->raw));
	if (!q->trackers || !q->raw)
		return err_set(err, -ENOMEM, "no memory for %u trackers", q->entries);
	rc = dma_alloc(dma, q->entries * sizeof(*q->sq), q->mps, &q->sq_mem, err);
	if (!rc)
		rc = dma_alloc(dma, q->entries * sizeof(*q->cq), q->mps, &q->cq_mem, err);
	if (!rc)
		rc = dma_alloc(dma, (size_t)q->entries * q->mps, q->mps, &q->lists, err);
	if (rc)
		return rc;
	q->sq = q->tail = q->rung = q->sq_mem.va;
	q->sq_end = q->sq + q->entries;
	q->cq = q->cq_mem.va;
	q->cq_end = q->cq + q->entries;
	q->table = dma->table;
	q->page_shift = dma->page_shift;
	/* "The next leaf entry is the next page" holds where both pages are of one size. */
	q->fast_limit = dma->page_shift == q->c->mps_shift || dma->page_shift == DMA_SLOT_SHIFT
				? 2 * q->mps
				: 0;
	q->two_pages = q->fast_limit;
	q->head = (struct nvme_cursor){ q->cq, LIVE_ODD };
	for (uint32_t i = q->entries; i-- > 0;) {
		struct nvme_tracker *t = &q->trackers[i];

		memset(t, 0, sizeof(*t));
		t->live = LIVE_FREE | i;
		if (i == q->mask)
			continue; /* never handed out, see the top of qpair.h */
		t->next = q->stash;
		q->stash = t;
	}
	return 0;
}

static int entries_of(struct nvme_ctrl *c, const struct riser_nvme_qpair_opts *opts,
		      uint32_t *entries, struct riser_err *err)
{
	uint32_t most = RISER_NVME_CAP_MQES(c->cap) + 1, want = opts ? opts->entries : 0;

	if (!want)
		for (want = DEFAULT_ENTRIES; want > most; want /= 2)
			;
	if (!is_power_of_two(want) || want < 2 || want > most || want > 32768)
		return err_set(err, -EINVAL,
			       "%s: a queue of %u entries: want a power of two from 2 to %u",
			       c->pci->name, want, most);
	*entries = want;
	return 0;
}

static volatile uint32_t *doorbell(const struct nvme_ctrl *c, unsigned n)
{
	return (volatile uint32_t *)(volatile void *)((volatile char *)c->db + (n << c->db_shift));
}

/* @x: the caller's executor, who owns it at once; NULL: it is to be adopted. */
static int create(struct riser_nvme *h, struct riser_exec *x,
		  const struct riser_nvme_qpair_opts *opts, struct riser_nvme_qpair **out,
		  struct riser_err *err)
{
	struct nvme_ctrl *c = h->ctrl;
	struct riser_nvme_qpair *q;
	int rc;

	q = aligned_alloc(64, align_up(sizeof(*q), 64));
	if (!q)
		return err_set(err, -ENOMEM, "no memory for a queue pair");
	memset(q, 0, sizeof(*q));
	q->h = h;
	q->c = c;
	q->x = x;
	q->clock = &c->r->clock;
	q->pci = c->pci;
	q->pump = c->pci->access->pump;
	q->vector = -1;
	q->state = QPAIR_WAIT;
	q->mps = 1u << c->mps_shift;
	q->page_mask = q->mps - 1;
	q->pump_next = TIME_NEVER;
	q->poller = (struct poller){ .poll = nvme_qpair_poller,
				     .arm = nvme_qpair_arm,
				     .next_deadline = nvme_qpair_next };
	list_init(&q->poller.link);
	rc = entries_of(c, opts, &q->entries, err);
	q->mask = q->entries - 1;
	if (!rc)
		rc = take_qid(q, err);
	if (!rc)
		rc = allocate(q, err);
	if (!rc && opts && opts->flags & RISER_NVME_QPAIR_IRQ)
		rc = take_vector(q, err);
	if (!rc && x)
		rc = watch(q, err);
	if (rc)
		goto fail;
	if (c->db) {
		q->sq_db = doorbell(c, 2u * q->qid);
		q->cq_db = doorbell(c, 2u * q->qid + 1);
	}
	q->target = load_acquire(&c->gen);
	settle(q, QPAIR_LIVE, QPAIR_DEAD);
	if (q->state == QPAIR_DEAD) {
		rc = err_set(err, load_relaxed(&c->dead) ? -ENODEV : -EIO,
			     "%s: queue %u cannot be created", c->pci->name, q->qid);
		goto fail;
	}
	if (x)
		exec_add(x, &q->poller);
	*out = q;
	return 0;
fail:
	destroy(q);
	return rc;
}

int riser_nvme_qpair_open(struct riser_nvme *h, struct riser_exec *x,
			  const struct riser_nvme_qpair_opts *opts, struct riser_nvme_qpair **out,
			  struct riser_err *err)
{
	if (exec_in_callback(x))
		return err_set(err, -EDEADLK, "a queue pair cannot be opened inside a completion");
	return create(h, x, opts, out, err);
}

int nvme_qpair_create(struct riser_nvme *h, const struct riser_nvme_qpair_opts *opts,
		      struct riser_nvme_qpair **out, struct riser_err *err)
{
	return create(h, NULL, opts, out, err);
}

void nvme_qpair_adopt(struct riser_nvme_qpair *q, struct riser_exec *x)
{
	struct riser_err why;

	q->x = x;
	if (watch(q, &why))
		base_log(q->c->r, RISER_LOG_WARN, "%s: polling", why.text);
	exec_add(x, &q->poller);
}

void riser_nvme_qpair_close(struct riser_nvme_qpair *q)
{
	if (!q)
		return;
	q->closing = true;
	if (q->state == QPAIR_LIVE) {
		riser_nvme_qpair_kick(q);
		nvme_qpair_begin_delete(q);
	}
	settle(q, QPAIR_CLOSED, QPAIR_DEAD);
	destroy(q);
}

void riser_nvme_qpair_get_info(struct riser_nvme_qpair *q, struct riser_nvme_qpair_info *info)
{
	*info = (struct riser_nvme_qpair_info){
		.qid = q->qid,
		.entries = q->entries,
		.vector = q->vector,
		.inflight = (uint32_t)(q->submitted - q->completed),
		.live = q->state == QPAIR_LIVE,
		.submitted = q->submitted,
		.completed = q->completed,
		.doorbells = q->doorbells,
		.stray = q->stray,
		.retries = q->retries,
	};
	for (const struct nvme_tracker *t = q->free ? q->free : q->stash; t; t = t->next)
		info->free++;
}
