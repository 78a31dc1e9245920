/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A virtio network device as a port: what moves packets (virtio.c) and what sets it up share. */
#ifndef NET_PORT_VIRTIO_H
#define NET_PORT_VIRTIO_H

#include "net/pool.h"
#include "net/port.h"
#include "virtio/net.h"

struct vport {
	struct riser_port port;
	struct virtio_net *n;
	struct vqueue *lead; /* atomic; whose executor is woken for the device itself, or NULL */
	char description[96];
};

/**
 * struct reach - where the device sees memory
 * @space: all of it
 * @plain: the receive pool, if all of its memory is equally far from its IOVAs; else NULL
 * @delta: so far
 */
struct reach {
	const struct riser_dma_space *space;
	const struct riser_pool *plain;
	uint64_t delta;
};

/**
 * struct vqueue - a pair of virtqueues
 * @own: what the device knows, while @gen is theirs
 * @gen: of the pair; see virtio/net.h
 * @reach: what the device reaches, and where
 * @refill_at: free descriptors that are worth a refill
 * @post_max: buffers that the device may have, so that the pool is not empty
 * @posted: that it has
 * @tx_max: descriptors of one packet
 * @head: a packet of which @missing buffers are still to come
 * @bad: what is there of it is worth nothing
 * @look_at: when to look at the device's configuration
 * @armed: interrupts were asked for
 * @config: of the device's, for its lead
 * @wake: of the transport's
 */
struct vqueue {
	struct riser_port_queue q;
	struct virtio_net *n;
	const uint32_t *gen;
	struct virtio_net_queues own;
	struct reach reach;
	bool mrg, bad;
	unsigned hdr_len, refill_at, post_max, posted, tx_max;
	unsigned missing;
	struct riser_pkt *head, *tail;
	uint64_t look_at;
	bool armed;
	struct riser_watch config, wake;
};

static inline struct vqueue *vqueue_of(struct riser_port_queue *q)
{
	return container_of(q, struct vqueue, q);
}

static inline struct vport *vport_of(struct riser_port *p)
{
	return container_of(p, struct vport, port);
}

/* For the queues that @v->own has from now on: how they are used, and buffers to receive. */
void vqueue_adopt(struct vqueue *v);
/* What is in flight in queues that the device does not know any more comes back to its pools. */
void vqueue_empty(struct vqueue *v, const struct virtio_net_queues *old);

int vport_open(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
	       struct riser_port **out, struct riser_err *err);
void vport_close(struct riser_port *p);
void vport_refresh(struct riser_port *p);
int vport_queue_open(struct riser_port *p, unsigned index, struct riser_exec *x,
		     struct riser_pool *pool, struct riser_port_queue **out, struct riser_err *err);
void vport_queue_close(struct riser_port_queue *q);
void vport_watched(struct riser_port_queue *q, bool on);
int vport_mem_alloc(struct riser_port *p, size_t len, void **out, struct riser_err *err);
void vport_mem_free(struct riser_port *p, void *va, size_t len);
int vport_set(struct riser_port *p, enum port_setting what, const void *arg, struct riser_err *err);
unsigned vport_explain(struct riser_port *p, struct riser_virtio_feature *rows);
int vport_resize(struct riser_port_queue *q, unsigned descriptors, struct riser_err *err);

#endif
