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

#define VNET_PAIRS_MAX  128u
#define VNET_WAITING    256u /* packets for one pair */
#define VNET_MODES      6u   /* RISER_VIRTIO_NET_CTRL_RX_… */
#define VNET_MACS       64u
#define VNET_KEY_MAX    40u
#define VNET_TABLE_MAX  128u
#define VNET_HASH_TYPES 0x3fu /* addresses, TCP, UDP, of IPv4 and of IPv6 */

/* Features that CTRL_GUEST_OFFLOADS switches. */
#define VNET_GUEST                                                                                 \
	(1ull << RISER_VIRTIO_NET_F_GUEST_CSUM | 1ull << RISER_VIRTIO_NET_F_GUEST_TSO4 |           \
	 1ull << RISER_VIRTIO_NET_F_GUEST_TSO6 | 1ull << RISER_VIRTIO_NET_F_GUEST_ECN |            \
	 1ull << RISER_VIRTIO_NET_F_GUEST_UFO | 1ull << RISER_VIRTIO_NET_F_GUEST_USO4 |            \
	 1ull << RISER_VIRTIO_NET_F_GUEST_USO6)

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

/**
 * struct vnet_hash - how packets are hashed
 * @types: which of VNET_HASH_TYPES
 * @rss: @table says where they go, and else @unclassified does
 */
struct vnet_hash {
	uint32_t types;
	bool rss;
	uint16_t mask, unclassified;
	uint16_t table[VNET_TABLE_MAX];
	unsigned key_len;
	uint8_t key[VNET_KEY_MAX];
};

/**
 * struct vnet_filter - what is received
 * @mode: by RISER_VIRTIO_NET_CTRL_RX_…
 * @many: there were more addresses than fit: all are received
 */
struct vnet_filter {
	bool mode[VNET_MODES];
	bool many;
	unsigned nmacs;
	uint8_t macs[VNET_MACS][6];
	uint8_t vlans[4096 / 8];
};

/**
 * struct vnet - a card
 * @active: pairs that packets are spread over
 * @header: bytes in front of a packet
 * @guest: GUEST_… features that are in force
 * @announce: S_ANNOUNCE
 * @answer: of the command under way, that is more than a byte
 * @gone: the port is
 */
struct vnet {
	struct vdev dev;
	struct vnet_config cfg;
	struct riser_exec *x;
	struct riser_port *port;
	struct riser_pool *pool;
	struct riser_port_queue *q;
	struct vnet_pair *pairs;
	unsigned active, header;
	uint64_t guest;
	struct vnet_hash hash;
	struct vnet_filter filter;
	bool announce, gone;
	riser_le32 answer[2];
};

/* virtio_config.c */
int vnet_configure(const struct uri *u, struct vnet_config *cfg, struct riser_err *err);

/* virtio_net.c */
int vnet_new(struct riser *r, const struct vnet_config *cfg, struct vdev_host *host,
	     struct vnet **out, struct riser_err *err);
void vnet_free(struct vnet *n);

/* The link's state, and that it changed, to the driver. */
void vnet_show_status(struct vnet *n);

/* virtio_ctrl.c */
unsigned vnet_ctrl_run(struct vnet *n, uint64_t *next);
/* Its number, which is behind all pairs that the driver knows of. */
static inline unsigned vnet_ctrl_queue(const struct vnet *n)
{
	return vdev_has(&n->dev, RISER_VIRTIO_NET_F_MQ) || vdev_has(&n->dev, RISER_VIRTIO_NET_F_RSS)
		       ? 2 * n->cfg.pairs
		       : 2;
}

/* virtio_hash.c */
void vnet_hash_reset(struct vnet *n);
/* Return: hash_report's type (§5.1.6.4.4), 0: there is none. */
unsigned vnet_hash(const struct vnet *n, const struct riser_pkt *pkt, uint32_t *hash);
unsigned vnet_pair_of(const struct vnet *n, const struct riser_pkt *pkt);
bool vnet_wants(const struct vnet *n, const struct riser_pkt *pkt);

static inline struct vnet *vnet_of(struct vdev *v)
{
	return container_of(v, struct vnet, dev);
}

extern const struct model_ops model_virtio_net_ops;

#endif
