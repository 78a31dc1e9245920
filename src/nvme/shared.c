/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Who has which queue pair on a controller; see shared.h. */
#include "nvme/shared.h"
#include "base/err.h"
#include "base/riser.h"
#include "nvme/qpair.h"
#include <errno.h>
#include <stdlib.h>

static void close_now(struct nvme_shared *n)
{
	struct nvme_ctrl *c = n->h->ctrl;

	riser_nvme_qpair_close(n->q);
	pthread_mutex_lock(&c->lock);
	list_del(&n->link);
	pthread_mutex_unlock(&c->lock);
	clock_bump(c->r);
	riser_nvme_close(n->h);
	free(n);
}

/* In the owner's thread, later; it may have come to use again meanwhile. */
static void close_posted(struct riser_work *w)
{
	struct nvme_shared *n = container_of(w, struct nvme_shared, close);
	struct nvme_ctrl *c = n->h->ctrl;
	bool unused;

	pthread_mutex_lock(&c->lock);
	n->posted = false;
	unused = !n->refs;
	if (unused)
		n->state = SHARED_CLOSING;
	pthread_mutex_unlock(&c->lock);
	if (unused)
		close_now(n);
}

void nvme_shared_put(struct nvme_shared *n, bool here)
{
	struct nvme_ctrl *c = n->h->ctrl;
	bool now = false, post = false;

	pthread_mutex_lock(&c->lock);
	if (!--n->refs && !n->posted) {
		now = here || !n->adopted;
		post = !now;
		n->posted = post;
		if (now)
			n->state = SHARED_CLOSING;
	}
	pthread_mutex_unlock(&c->lock);
	if (now)
		close_now(n);
	else if (post)
		riser_exec_post(n->x, &n->close);
}

/* Wait for another thread. */
static void wait_until(struct nvme_ctrl *c, bool (*so)(struct nvme_ctrl *c, struct nvme_shared *n),
		       struct nvme_shared *n)
{
	struct sync_wait w;
	bool done = false;

	sync_wait_begin_here(&w, c->r);
	while (!done) {
		sync_wait_look(&w);
		pthread_mutex_lock(&c->lock);
		done = so(c, n);
		pthread_mutex_unlock(&c->lock);
		if (!done)
			sync_wait_idle(&w, TIME_NEVER);
	}
	sync_wait_end(&w);
}

static bool is_made(struct nvme_ctrl *c, struct nvme_shared *n)
{
	return n->state != SHARED_MAKING;
}

static bool none_closes(struct nvme_ctrl *c, struct nvme_shared *n)
{
	list_for_each (m, &c->shared, struct nvme_shared, link)
		if (m->state == SHARED_CLOSING)
			return false;
	return true;
}

static int make(struct nvme_shared *n, struct riser_err *err)
{
	struct nvme_ctrl *c = n->h->ctrl;
	struct riser_nvme_qpair_opts opts = { .size = sizeof(opts),
					      .flags = n->irq ? RISER_NVME_QPAIR_IRQ : 0 };
	struct riser_nvme_qpair *q = NULL;
	int rc = nvme_qpair_create(n->h, &opts, &q, err);

	if (rc == -EBUSY) {
		/* One that is just being closed gives its place away. */
		wait_until(c, none_closes, n);
		rc = nvme_qpair_create(n->h, &opts, &q, err);
	}
	pthread_mutex_lock(&c->lock);
	n->q = q;
	n->state = rc ? SHARED_FAILED : SHARED_READY;
	pthread_mutex_unlock(&c->lock);
	clock_bump(c->r);
	return rc;
}

/* The queue pair of @like's owner on the controller, with one reference more, or NULL. Locked. */
static struct nvme_shared *find(struct nvme_ctrl *c, const struct nvme_shared *like, bool any)
{
	list_for_each (n, &c->shared, struct nvme_shared, link) {
		if (n->x != like->x || n->state >= SHARED_FAILED || (n->irq != like->irq && !any))
			continue;
		n->refs++;
		return n;
	}
	return NULL;
}

/* A new one, not yet listed. */
static int shared_new(struct riser_nvme *h, struct riser_exec *x, bool irq,
		      struct nvme_shared **out, struct riser_err *err)
{
	struct nvme_shared *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return err_set(err, -ENOMEM, "no memory for a queue pair");
	list_init(&n->link);
	n->x = x;
	n->irq = irq;
	n->refs = 1;
	n->close.fn = close_posted;
	/* A handle of its own: the devices that share the queue may be closed in any order. */
	rc = nvme_share(h, &n->h, err);
	if (rc)
		free(n);
	else
		*out = n;
	return rc;
}

int nvme_shared_get(struct riser_nvme *h, struct riser_exec *x, bool irq, bool any,
		    struct nvme_shared **out, struct riser_err *err)
{
	struct nvme_shared *mine = NULL, *n;
	struct nvme_ctrl *c = h->ctrl;
	int rc = shared_new(h, x, irq, &mine, err);

	if (rc)
		return rc;
	for (;;) {
		pthread_mutex_lock(&c->lock);
		n = find(c, mine, any);
		if (!n)
			list_add(&c->shared, &mine->link);
		pthread_mutex_unlock(&c->lock);
		if (!n) {
			rc = make(mine, err);
			n = mine;
		}
		if (n == mine)
			break;
		wait_until(c, is_made, n);
		if (n->state == SHARED_READY)
			break;
		nvme_shared_put(n, false); /* its maker was told why; let us hear it too */
	}
	if (n != mine || rc)
		nvme_shared_put(mine, false);
	if (!rc)
		*out = n;
	return rc;
}

struct nvme_shared *nvme_shared_least(struct riser_nvme *h, const struct riser_exec *x)
{
	struct nvme_ctrl *c = h->ctrl;
	struct nvme_shared *least = NULL;

	pthread_mutex_lock(&c->lock);
	list_for_each (n, &c->shared, struct nvme_shared, link) {
		if (n->state != SHARED_READY || !n->refs)
			continue; /* not there yet, or about to be closed */
		if (!least || (n->refs < least->refs && least->x != x) || n->x == x)
			least = n;
	}
	if (least)
		least->refs++;
	pthread_mutex_unlock(&c->lock);
	return least;
}

void nvme_shared_adopt(struct nvme_shared *n)
{
	struct nvme_ctrl *c = n->h->ctrl;

	if (n->adopted) /* by this thread: nobody else writes it */
		return;
	nvme_qpair_adopt(n->q, n->x);
	pthread_mutex_lock(&c->lock);
	n->adopted = true;
	pthread_mutex_unlock(&c->lock);
}
