/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Between the core and a port: what the port does not do by itself. See net/offload.h. */
#ifndef NET_SOFT_H
#define NET_SOFT_H

#include "net/port.h"

/* For a queue whose port was filled in. Return: 0 or -ENOMEM. */
int soft_open(struct riser_port_queue *q, struct riser_err *err);
/* Segments that did not go are given back; then the port gives back what did. */
void soft_drop(struct riser_port_queue *q);
/* Behind the port's queue_close(). @s may be NULL. */
void soft_free(struct port_soft *s);

/* The port's tx, with packets that want what it cannot; takes and answers the same. */
int soft_tx_slow(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n);

/* Send on what is cut. Return: whether there was anything, and it moved. */
bool soft_flush_slow(struct riser_port_queue *q);

/* Look at the virtio headers of what came. Return: how many of them are left. */
unsigned soft_rx_slow(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n);

static inline bool soft_is_busy(const struct riser_port_queue *q)
{
	return q->soft && (q->soft->cut.pkt || q->soft->nready);
}

static inline bool soft_flush(struct riser_port_queue *q)
{
	return unlikely(soft_is_busy(q)) && soft_flush_slow(q);
}

static inline int soft_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	uint32_t any = 0;

	for (unsigned i = 0; i < n; i++)
		any |= pkts[i]->flags;
	if (likely(!(any & RISER_PKT_HDR)) && likely(!soft_is_busy(q)))
		return q->port->ops->tx(q, pkts, n);
	return soft_tx_slow(q, pkts, n);
}

static inline unsigned soft_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	uint32_t any = q->port->asked & ~q->port->info.offloads & RISER_PORT_RX_CSUM;

	for (unsigned i = 0; i < n; i++)
		any |= pkts[i]->flags & RISER_PKT_HDR;
	return likely(!any) ? n : soft_rx_slow(q, pkts, n);
}

#endif
