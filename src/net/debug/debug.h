/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The debug port's inside. See debug.c. */
#ifndef NET_DEBUG_DEBUG_H
#define NET_DEBUG_DEBUG_H

#include "base/util.h"
#include "net/port.h"
#include "net/proto.h"
#include <riser/debug.h>

#define DEBUG_FRAME   1536 /* the longest frame that is looked at */
#define DEBUG_SEEN    4    /* datagrams that a copy is looked for among */
#define DEBUG_RX_PKTS 64
#define DEBUG_TX_PKTS 16

/* What tells a datagram from the one before, and not from its copy. */
struct debug_seen {
	uint32_t src;
	uint16_t id, sport, len, csum;
};

/**
 * struct riser_debug - see debug.c
 * @busy: atomic; somebody is inside
 * @x: an executor that nobody runs: what owns @q
 * @rx: where received packets are put, apart from @tx, so that there is always one to send
 * @payload: the longest datagram that goes out
 * @frame: the packet at hand, copied out of memory that the device reaches
 */
struct riser_debug {
	uint32_t busy;
	struct riser_port *p;
	struct riser_exec *x;
	struct riser_pool *rx, *tx;
	struct riser_port_queue *q;
	struct riser_debug_opts o;
	uint8_t mac[ETH_ALEN];
	unsigned payload;
	struct debug_seen seen[DEBUG_SEEN];
	unsigned next_seen;
	uint8_t frame[DEBUG_FRAME];
};

/* As riser_debug_send() and riser_debug_recv(), by who has the port already. */
int debug_send(struct riser_debug *d, const struct riser_debug_peer *to, const void *data,
	       size_t len);
int debug_recv(struct riser_debug *d, struct riser_debug_peer *from, void *data, size_t len);

/* Have the port for good, and everybody else get -EBUSY. Return: false: somebody is inside. */
bool debug_enter(struct riser_debug *d);
void debug_leave(struct riser_debug *d);

#endif
