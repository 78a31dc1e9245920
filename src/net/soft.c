/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A packet that the port takes as it is goes straight through. One whose checksum is asked for gets
 * it where it lies. A large one is the queue's from the moment that it is taken, and goes out in
 * segments, a batch at a time, before anything else: when the port or the pool of segments has no
 * room, the rest waits for the next call, and order is kept.
 */
#include "net/soft.h"
#include "base/err.h"
#include "net/pool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS 128
#define HEADERS  64 /* what may stand before the MTU: Ethernet, tags */
#define CUTS     (RISER_PORT_TSO4 | RISER_PORT_TSO6 | RISER_PORT_USO)
#define ALL      (CUTS | RISER_PORT_CSUM)

int soft_open(struct riser_port_queue *q, struct riser_err *err)
{
	const struct riser_port_info *i = &q->port->info;
	int rc;

	if ((i->offloads & ALL) == ALL)
		return 0;
	q->soft = calloc(1, sizeof(*q->soft));
	if (!q->soft)
		return err_set(err, -ENOMEM, "no memory for a queue of %s", q->port->name);
	rc = riser_pool_new(q->port->r, q->port, SEGMENTS, i->mtu + HEADERS, &q->soft->pool, err);
	if (rc) {
		free(q->soft);
		q->soft = NULL;
	}
	return rc;
}

void soft_drop(struct riser_port_queue *q)
{
	struct port_soft *s = q->soft;

	if (!s)
		return;
	pool_put_all(s->cut.pkt);
	s->cut.pkt = NULL;
	while (s->nready)
		pool_put(s->ready[--s->nready]);
}

void soft_free(struct port_soft *s)
{
	if (!s)
		return;
	riser_pool_free(s->pool);
	free(s);
}

static void cut_more(struct riser_port_queue *q)
{
	struct port_soft *s = q->soft;
	struct riser_pkt *seg;

	while (s->nready < OFFLOAD_BATCH && (seg = offload_cut_next(&s->cut, s->pool))) {
		if (!(q->port->info.offloads & RISER_PORT_CSUM)) {
			offload_csum(seg);
			seg->flags = 0;
		}
		s->ready[s->nready++] = seg;
	}
}

bool soft_flush_slow(struct riser_port_queue *q)
{
	struct port_soft *s = q->soft;
	bool moved = false;

	while (soft_is_busy(q)) {
		int sent;

		cut_more(q);
		sent = s->nready ? q->port->ops->tx(q, s->ready, s->nready) : 0;
		if (sent <= 0)
			break;
		s->nready -= (unsigned)sent;
		memmove(s->ready, s->ready + sent, s->nready * sizeof(*s->ready));
		moved = true;
	}
	return moved;
}

static bool goes_as_it_is(const struct riser_port_queue *q, const struct riser_pkt *pkt)
{
	return !(pkt->flags & RISER_PKT_HDR) ||
	       (!(offload_needs(pkt) & ~q->port->info.offloads) && offload_is_sane(pkt));
}

/* Take a packet that the port cannot. Return: false: it goes as it is now. */
static bool take(struct riser_port_queue *q, struct riser_pkt *pkt)
{
	uint32_t needs = offload_needs(pkt);

	if (needs != UINT32_MAX && !(needs & (CUTS | RISER_PORT_ECN)) && offload_is_sane(pkt)) {
		offload_csum(pkt);
		return false;
	}
	if (needs == UINT32_MAX || !q->soft ||
	    offload_cut_begin(&q->soft->cut, pkt, q->port->info.mtu + HEADERS)) {
		q->stats.tx_errors++;
		pool_put_all(pkt);
	}
	return true;
}

int soft_tx_slow(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	unsigned i = 0, end;

	soft_flush(q);
	while (i < n && !soft_is_busy(q)) {
		int sent = 0;

		for (end = i; end < n && goes_as_it_is(q, pkts[end]);)
			end++;
		if (end > i)
			sent = q->port->ops->tx(q, pkts + i, end - i);
		else if (take(q, pkts[i]))
			i++;
		if (sent < 0)
			return i ? (int)i : sent;
		i += (unsigned)sent;
		if (end > i)
			break;
		soft_flush(q);
	}
	return (int)i;
}

static void mark_checked(struct riser_pkt *pkt)
{
	if (!offload_check(pkt))
		return;
	pkt->flags |= RISER_PKT_HDR;
	pkt->hdr = (struct riser_virtio_net_hdr){ .flags = RISER_VIRTIO_NET_HDR_F_DATA_VALID };
}

/* Is it a packet that who opened the port can deal with? Made so, where that is possible. */
static bool accept_rx(struct riser_port_queue *q, struct riser_pkt *pkt)
{
	uint32_t asked = q->port->asked, lacks = asked & ~q->port->info.offloads;

	if (!(pkt->flags & RISER_PKT_HDR)) {
		if (lacks & RISER_PORT_RX_CSUM)
			mark_checked(pkt);
		return true;
	}
	if (!offload_is_sane(pkt))
		return false;
	if (pkt->hdr.gso_type != RISER_VIRTIO_NET_GSO_NONE)
		return asked & RISER_PORT_RX_LARGE;
	if (!(asked & RISER_PORT_RX_CSUM)) {
		if (pkt->hdr.flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM)
			offload_csum(pkt);
		pkt->flags &= ~RISER_PKT_HDR;
	}
	return true;
}

unsigned soft_rx_slow(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++) {
		if (accept_rx(q, pkts[i])) {
			pkts[left++] = pkts[i];
		} else {
			q->stats.rx_errors++;
			pool_put_all(pkts[i]);
		}
	}
	return left;
}
