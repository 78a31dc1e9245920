/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Ports and their queues: opening, bursts, watching, what they counted. */
#include "net/port.h"
#include "base/barrier.h"
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "net/pool.h"
#include "net/soft.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define QUEUES_MAX 1024

static int check_opts(const struct riser_port_opts *opts, struct riser_port_opts *out,
		      struct riser_err *err)
{
	*out = (struct riser_port_opts){ .size = sizeof(*out) };
	if (opts)
		memcpy(out, opts, min_of(opts->size, sizeof(*out)));
	out->size = sizeof(*out);
	out->queues = out->queues ? out->queues : 1;
	if (out->queues > QUEUES_MAX)
		return err_set(err, -EINVAL, "%u queues are wanted: at the most %u", out->queues,
			       QUEUES_MAX);
	if (out->offloads & ~(RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE | RISER_PORT_RX_HASH))
		return err_set(err, -EINVAL, "unknown offloads %#x of a receiver", out->offloads);
	return 0;
}

static int open_uri(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
		    struct riser_port **out, struct riser_err *err)
{
	const struct port_ops *ops = r->registry->port_of(r, u, err);
	char *name = uri_canonical(u, NULL);
	struct riser_port *p;
	int rc;

	if (!ops || !name) {
		free(name);
		return ops ? err_set(err, -ENOMEM, "no memory for a URI") : -EINVAL;
	}
	rc = ops->open(r, u, opts, &p, err);
	if (rc) {
		free(name);
		return rc;
	}
	p->ops = ops;
	p->r = r;
	p->name = name;
	p->asked = opts->offloads;
	list_init(&p->queues);
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

int riser_port_open(struct riser *r, const char *uri, const struct riser_port_opts *opts,
		    struct riser_port **out, struct riser_err *err)
{
	struct riser_port_opts o;
	struct uri u;
	int rc;

	if (exec_completing(r))
		return err_set(
			err, -EDEADLK,
			"%s cannot be opened inside a completion: it may wait for the device", uri);
	rc = check_opts(opts, &o, err);
	if (!rc)
		rc = uri_parse(uri, &u, err);
	if (rc)
		return rc;
	rc = open_uri(r, &u, &o, out, err);
	uri_free(&u);
	return rc;
}

void riser_port_close(struct riser_port *p)
{
	if (!p)
		return;
	free(p->name);
	pthread_mutex_destroy(&p->lock);
	p->ops->close(p);
}

void riser_port_get_info(struct riser_port *p, struct riser_port_info *info)
{
	size_t size = info->size;

	pthread_mutex_lock(&p->lock);
	if (p->ops->refresh)
		p->ops->refresh(p);
	p->info.size = size;
	memcpy(info, &p->info, min_of(size, sizeof(p->info)));
	pthread_mutex_unlock(&p->lock);
}

/* They are all counters; other threads count on meanwhile. */
static void add_stats(struct riser_port_stats *sum, const struct riser_port_stats *s)
{
	uint64_t *to = &sum->rx_packets;
	const uint64_t *from = &s->rx_packets;

	for (size_t i = 0; i < (sizeof(*s) - offsetof(struct riser_port_stats, rx_packets)) / 8;
	     i++)
		to[i] += load_relaxed(&from[i]);
}

void riser_port_get_stats(struct riser_port *p, struct riser_port_stats *stats)
{
	struct riser_port_stats sum;
	size_t size = stats->size;

	pthread_mutex_lock(&p->lock);
	sum = p->closed;
	list_for_each (q, &p->queues, struct riser_port_queue, link)
		add_stats(&sum, &q->stats);
	pthread_mutex_unlock(&p->lock);
	sum.size = size;
	memcpy(stats, &sum, min_of(size, sizeof(sum)));
}

static bool is_open(struct riser_port *p, unsigned index)
{
	list_for_each (q, &p->queues, struct riser_port_queue, link)
		if (q->index == index)
			return true;
	return false;
}

int riser_port_queue_open(struct riser_port *p, unsigned index, struct riser_exec *x,
			  struct riser_pool *pool, struct riser_port_queue **out,
			  struct riser_err *err)
{
	struct riser_port_queue *q;
	int rc = 0;

	if (index >= p->info.queues)
		return err_set(err, -EINVAL, "%s: queue %u: it was opened with %u", p->name, index,
			       p->info.queues);
	pthread_mutex_lock(&p->lock);
	if (is_open(p, index))
		rc = err_set(err, -EBUSY, "%s: queue %u is open already", p->name, index);
	else
		rc = p->ops->queue_open(p, index, x, pool, &q, err);
	if (!rc) {
		q->port = p;
		q->index = index;
		q->x = x;
		q->pool = pool;
		q->next = TIME_NEVER;
		rc = soft_open(q, err);
		if (rc)
			p->ops->queue_close(q);
	}
	if (!rc) {
		list_add(&p->queues, &q->link);
		*out = q;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void riser_port_queue_close(struct riser_port_queue *q)
{
	struct riser_port *p;
	struct port_soft *soft;

	if (!q)
		return;
	p = q->port;
	soft = q->soft;
	riser_port_watch(q, NULL, NULL);
	soft_drop(q);
	pthread_mutex_lock(&p->lock);
	list_del(&q->link);
	add_stats(&p->closed, &q->stats);
	p->ops->queue_close(q);
	pthread_mutex_unlock(&p->lock);
	soft_free(soft);
}

static int pump(struct riser_port_queue *q)
{
	q->next = TIME_NEVER;
	return q->port->ops->pump ? q->port->ops->pump(q, &q->next) : 0;
}

int riser_port_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	const struct port_ops *ops = q->port->ops;
	int got = ops->rx(q, pkts, n);

	if (got == 0) {
		soft_flush(q);
		got = pump(q);
		if (got > 0)
			got = ops->rx(q, pkts, n);
	}
	if (unlikely(got <= 0))
		return got;
	q->progress += (unsigned)got;
	return (int)soft_rx(q, pkts, (unsigned)got);
}

int riser_port_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	int sent = soft_tx(q, pkts, n);

	q->is_short = sent >= 0 && (unsigned)sent < n;
	q->full = q->is_short;
	if (q->full && pump(q) < 0 && !sent)
		return -ENODEV;
	if (sent > 0)
		q->progress += (unsigned)sent;
	return sent;
}

static int poll_queue(struct poller *poller)
{
	struct riser_port_queue *q = container_of(poller, struct riser_port_queue, poller);
	uint64_t before = q->progress;

	q->x->in_cb++;
	q->ready(q->ctx);
	q->x->in_cb--;
	if (soft_flush(q) || q->progress != before)
		return (int)min_of(q->progress - before + 1, (uint64_t)INT_MAX);
	return pump(q) > 0;
}

static int arm_queue(struct poller *poller)
{
	struct riser_port_queue *q = container_of(poller, struct riser_port_queue, poller);
	uint32_t events;
	int rc;

	q->full = q->is_short || soft_is_busy(q);
	events = q->tells & (RISER_WATCH_IN | (q->full ? RISER_WATCH_OUT : 0));
	if (events != q->watched) {
		rc = riser_exec_watch_mod(q->x, &q->watch, events);
		if (rc)
			return -EOPNOTSUPP; /* then it is polled */
		q->watched = events;
	}
	return q->port->ops->arm ? q->port->ops->arm(q) : 0;
}

static uint64_t next_of_queue(struct poller *poller)
{
	return container_of(poller, struct riser_port_queue, poller)->next;
}

void riser_port_watch(struct riser_port_queue *q, void (*ready)(void *ctx), void *ctx)
{
	bool was = q->ready;

	q->ready = ready;
	q->ctx = ctx;
	if (was == !!ready)
		return;
	if (q->port->ops->watched)
		q->port->ops->watched(q, ready != NULL);
	if (!ready) {
		exec_remove(q->x, &q->poller);
		if (q->watched)
			riser_exec_unwatch(q->x, &q->watch);
		q->watched = 0;
		return;
	}
	q->poller = (struct poller){ .poll = poll_queue,
				     .arm = arm_queue,
				     .next_deadline = next_of_queue };
	exec_add(q->x, &q->poller);
	if (q->tells && !riser_exec_watch(q->x, &q->watch, RISER_WATCH_IN))
		q->watched = RISER_WATCH_IN;
}
