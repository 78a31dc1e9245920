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
#include "net/offload.h"
#include <pthread.h>
#include <riser/net.h>

struct uri;

/* A setting, and what its argument points to. */
enum port_setting {
	PORT_SET_RX_MODE,   /* uint32_t */
	PORT_SET_MAC,       /* uint8_t[6] */
	PORT_SET_FILTER,    /* struct port_filter */
	PORT_SET_VLAN,      /* struct port_vlan */
	PORT_SET_OFFLOADS,  /* uint32_t */
	PORT_SET_ANNOUNCED, /* nothing */
	PORT_SET_HASH,      /* struct riser_port_hash */
	PORT_SET_COALESCE,  /* struct riser_port_coalesce */
	PORT_SET_RESET,     /* nothing */
};

struct port_filter {
	const uint8_t (*macs)[6];
	unsigned count;
};

struct port_vlan {
	uint16_t id;
	bool on;
};

/**
 * struct port_ops - a kind of port
 * @size: sizeof(struct port_ops)
 * @scheme: of its URIs; NULL for one that is reached through a PCI access (virtio)
 * @example: one URI, for help
 * @open: make the port: embeds struct riser_port, fills @info but for what the core knows
 * @close: the reverse, queues are closed; frees what embeds @p
 * @refresh: fill p->info.link, .mtu and .mac with what they are now; NULL: they never change
 * @queue_open: embeds struct riser_port_queue, all zeroes but for what the port has in it: the core
 *	fills in the rest behind this
 * @queue_close: gives every packet that it has back to its pool; frees what embeds @q
 * @rx: as riser_port_rx(); counts in q->stats. hdr of a packet with RISER_PKT_HDR may be anything
 *	that came: the core looks at it
 * @tx: as riser_port_tx(); counts in q->stats; every packet has only what p->info.offloads can do
 * @arm: prepare to sleep, as struct poller.arm; NULL: a watched descriptor does all of it
 * @pump: called when @rx found nothing or @tx had no room, and by a watch where nothing happened:
 *	> 0 look again; *@next is TIME_NEVER before, and becomes when there is something to do.
 *	-ENODEV: the device is gone. NULL: nothing to do
 * @mem_alloc: memory of the device's own, where it reaches no other; NULL: riser_mem_alloc()
 * @mem_free: gives it back
 * @watched: the queue is watched from now on, or no more; NULL: it does not matter
 * @set: change a setting; the argument was looked at. -EOPNOTSUPP with a sentence. NULL: it has
 *none
 * @explain: riser_port_explain(); NULL: nothing to explain
 * @resize: riser_port_queue_resize(); NULL: -EOPNOTSUPP
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
	void (*watched)(struct riser_port_queue *q, bool on);
	int (*set)(struct riser_port *p, enum port_setting what, const void *arg,
		   struct riser_err *err);
	unsigned (*explain)(struct riser_port *p, struct riser_virtio_feature *rows);
	int (*resize)(struct riser_port_queue *q, unsigned descriptors, struct riser_err *err);
};

/**
 * struct riser_port - a port; what opens one fills @info and embeds it, the core does the rest
 * @asked: RISER_PORT_RX_… that the opener can deal with
 * @lock: protects the two below
 * @closed: what closed queues counted
 */
struct riser_port {
	const struct port_ops *ops;
	struct riser *r;
	char *name;
	struct riser_port_info info;
	uint32_t asked;
	pthread_mutex_t lock;
	struct list queues;
	struct riser_port_stats closed;
};

/**
 * struct port_soft - what a queue does in software because its port does not
 * @pool: where segments come from
 * @cut: what they are cut from
 * @ready: cut, and not taken by the port yet
 */
struct port_soft {
	struct riser_pool *pool;
	struct offload_cut cut;
	struct riser_pkt *ready[OFFLOAD_BATCH];
	unsigned nready;
};

/**
 * struct riser_port_queue - a queue; what opens one embeds it
 * @watch: of a descriptor, if ops->queue_open sets @tells; only ends sleeps
 * @tells: RISER_WATCH_IN: it is readable when there is something to receive; RISER_WATCH_OUT: it is
 *	writable when there is room again
 * @stats: the port's to count in, by the owner's thread
 * @soft: NULL where the port does everything
 * @poller: while it is watched
 * @progress: packets that went either way
 * @next: when ops->pump has something to do
 * @is_short: riser_port_tx() took fewer than it was given
 * @full: for ops->arm: somebody waits for room
 * @watched: RISER_WATCH_… that the executor looks for now
 */
struct riser_port_queue {
	struct riser_port *port;
	struct riser_exec *x;
	struct riser_pool *pool;
	unsigned index;
	struct list link;
	struct riser_watch watch;
	bool is_short, full;
	uint32_t tells, watched;
	struct riser_port_stats stats;
	struct port_soft *soft;
	struct poller poller;
	void (*ready)(void *ctx);
	void *ctx;
	uint64_t progress, next;
};

#endif
