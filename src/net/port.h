/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a port is made of: one file in net/port/, one word in the meson list, one struct port_ops.
 * The core (net/port.c) has the pools, the software offloads and the watching; a port moves bursts.
 */
#ifndef NET_PORT_H
#define NET_PORT_H

#include "base/exec.h"
#include "base/list.h"
#include <riser/net.h>

struct uri;

/**
 * struct port_ops - a kind of port
 * @size: sizeof(struct port_ops)
 * @scheme: of its URIs; NULL for one that is reached through a PCI access (virtio)
 * @example: one URI, for help
 * @open: make the port: embeds struct riser_port, fills @info but for what the core knows
 * @close: the reverse, queues are closed
 * @refresh: fill p->info.link, .mtu and .mac with what they are now; NULL: they never change
 * @queue_open: embeds struct riser_port_queue
 * @queue_close: gives every packet that it has back to its pool
 * @rx: as riser_port_rx()
 * @tx: as riser_port_tx(); every packet has only what p->info.offloads can do
 * @arm: prepare to sleep, as struct poller.arm; NULL: a watched descriptor does all of it
 * @pump: called when a poll found nothing; NULL: nothing to do
 * @mem_alloc: memory of the device's own, where it reaches no other; NULL: riser_mem_alloc()
 * @mem_free: gives it back
 */
struct port_ops {
	size_t size;
	const char *scheme;
	const char *example;
	int (*open)(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
		    struct riser_port **out, struct riser_err *err);
	void (*close)(struct riser_port *p);
	void (*refresh)(struct riser_port *p);
	int (*queue_open)(struct riser_port *p, unsigned index, struct riser_exec *x,
			  struct riser_pool *pool, struct riser_port_queue **out,
			  struct riser_err *err);
	void (*queue_close)(struct riser_port_queue *q);
	int (*rx)(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n);
	int (*tx)(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n);
	int (*arm)(struct riser_port_queue *q);
	int (*pump)(struct riser_port_queue *q, uint64_t *next);
	int (*mem_alloc)(struct riser_port *p, size_t len, void **out, struct riser_err *err);
	void (*mem_free)(struct riser_port *p, void *va, size_t len);
};

struct riser_port {
	const struct port_ops *ops;
	struct riser *r;
	char *name;
	struct riser_port_info info;
	struct riser_port_stats stats; /* of queues that were closed */
};

struct riser_port_queue {
	struct riser_port *port;
	struct riser_exec *x;
	struct riser_pool *pool;
	unsigned index;
	struct riser_port_stats stats;
	struct poller poller; /* while it is watched */
	void (*ready)(void *ctx);
	void *ctx;
};

#endif
