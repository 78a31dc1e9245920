/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A model of a virtio network card (§5.1), whoever serves it; see model/virtio.h.
 *
 * What the driver transmits goes to a port (any of src/net), comes back to it (loop), or vanishes.
 * What the port receives waits in a queue of its pair until the driver has room for it.
 */
#ifndef MODEL_VIRTIO_NET_H
#define MODEL_VIRTIO_NET_H

#include "model/virtio.h"
#include "model/virtio_pci.h"
#include <riser/net.h>

struct uri;

#define VNET_PAIRS_MAX 128u
#define VNET_WAITING   256u /* packets for one pair */

/**
 * struct vnet_config - a URI's keys
 * @port: URI of what stands behind the card; NULL: nothing
 * @loop: what is transmitted is received
 * @offered: features
 * @required: without these the device refuses FEATURES_OK
 * @fault: rules, or NULL
 * @transport: of the function, with what follows
 * (pointers point into the URI)
 */
struct vnet_config {
	const char *port, *fault;
	bool loop, link;
	unsigned pairs, size;
	uint64_t offered, required;
	uint8_t mac[6];
	unsigned mtu, speed;
	bool half_duplex;
	enum vpci_transport transport;
	unsigned vectors;
	bool thread, huge;
};

/**
 * struct vnet_pair - a receive and a transmit queue
 * @waiting: received, a ring of VNET_WAITING; @head is the oldest
 * @unsent: what the port had no room for
 */
struct vnet_pair {
	struct riser_pkt *waiting[VNET_WAITING];
	unsigned head, nwaiting;
	struct riser_pkt *unsent;
};

struct vnet {
	struct vdev dev;
	struct vnet_config cfg;
	struct riser_exec *x;
	struct riser_port *port;
	struct riser_pool *pool;
	struct riser_port_queue *q;
	struct vnet_pair *pairs;
	unsigned active; /* pairs in use */
	unsigned header; /* bytes of one */
	bool gone;       /* the port is */
};

/* virtio_config.c */
int vnet_configure(const struct uri *u, struct vnet_config *cfg, struct riser_err *err);

/* virtio_net.c */
int vnet_new(struct riser *r, const struct vnet_config *cfg, struct vdev_host *host,
	     struct vnet **out, struct riser_err *err);
void vnet_free(struct vnet *n);

static inline struct vnet *vnet_of(struct vdev *v)
{
	return container_of(v, struct vnet, dev);
}

extern const struct model_ops model_virtio_net_ops;

#endif
