/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Network ports: bursts of packets received and transmitted.
 *
 * A port has queues (pairs of a receive and a transmit queue), and each queue belongs to one
 * executor. Packets live in buffers of a pool; receiving lends them to the caller, who transmits
 * them on any queue of the same executor or gives them back. Nothing here copies, allocates or
 * locks, but where a packet meets a device that cannot reach its memory.
 *
 * Every port offers the same offloads: what a device lacks is done in software.
 */
#ifndef RISER_NET_H
#define RISER_NET_H

#include <riser/riser.h>
#include <riser/virtio.h>
#include <riser/virtio_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

struct riser_port;
struct riser_port_queue;
struct riser_pool;

#define RISER_PKT_HEADROOM 64u       /* bytes in front of a new packet's data, at least */
#define RISER_PKT_HDR      (1u << 0) /* riser_pkt.hdr is valid: checksum or segmentation to do */
#define RISER_PKT_HASH     (1u << 1) /* riser_pkt.hash is valid */

/**
 * struct riser_pkt - a packet, or one of its segments
 * @next: the packet's next segment, NULL at the last
 * @pool: where it goes back to
 * @data: its first byte: an Ethernet header, without FCS
 * @len: bytes of this segment
 * @total: bytes of all segments; of a packet's first segment
 * @flags: RISER_PKT_…
 * @hash: as the device reported it
 * @hdr: offloads, as virtio has them (§5.1.6); num_buffers means nothing here
 * @user: the caller's
 */
struct riser_pkt {
	struct riser_pkt *next;
	struct riser_pool *pool;
	uint8_t *data;
	uint32_t len;
	uint32_t total;
	uint32_t flags;
	uint32_t hash;
	struct riser_virtio_net_hdr hdr;
	uint16_t hash_type;
	void *user;
};

/* What a port can do by itself; riser_port_info.offloads. */
#define RISER_PORT_CSUM     (1u << 0) /* fill in checksums of what is transmitted */
#define RISER_PORT_TSO4     (1u << 1)
#define RISER_PORT_TSO6     (1u << 2)
#define RISER_PORT_USO      (1u << 3)
#define RISER_PORT_ECN      (1u << 4)
#define RISER_PORT_RX_CSUM  (1u << 5) /* receives packets whose checksum is partial or checked */
#define RISER_PORT_RX_LARGE (1u << 6) /* receives packets that are still to be segmented */
#define RISER_PORT_RX_HASH  (1u << 7) /* receives packets with a hash of their addresses */

/**
 * struct riser_port_opts - how a port is opened
 * @size: sizeof(struct riser_port_opts)
 * @queues: queue pairs wanted, 0 for 1
 * @descriptors: entries of each queue, 0 for the port's own default
 * @offloads: RISER_PORT_RX_… that the caller can deal with in packets that it receives
 */
struct riser_port_opts {
	size_t size;
	unsigned queues;
	unsigned descriptors;
	uint32_t offloads;
};

/**
 * struct riser_port_info - what a port is
 * @size: sizeof(struct riser_port_info), set by the caller
 * @mac: its address
 * @mtu: bytes of payload behind the Ethernet header
 * @link: whether there is a link
 * @full_duplex: of it, where @speed is known
 * @speed: Mbit/s, 0 unknown
 * @queues: pairs that were opened
 * @max_queues: pairs that it has
 * @offloads: RISER_PORT_… that it does by itself; the others are done in software
 * @harmless: sending on it reaches nobody else (a model, a file)
 * @announce: the port was moved, and wants its address told to others; see riser_port_announced()
 * @standby: it stands in for another card with the same address
 * @description: one line for people; lives as long as the port
 */
struct riser_port_info {
	size_t size;
	uint8_t mac[6];
	uint32_t mtu;
	bool link, full_duplex;
	uint32_t speed;
	unsigned queues, max_queues;
	uint32_t offloads;
	bool harmless, announce, standby;
	const char *description;
};

/**
 * struct riser_port_stats - what a port counted
 * @size: sizeof(struct riser_port_stats), set by the caller
 */
struct riser_port_stats {
	size_t size;
	uint64_t rx_packets, rx_bytes, rx_dropped, rx_errors;
	uint64_t tx_packets, tx_bytes, tx_dropped, tx_errors;
	uint64_t tx_copied; /* packets whose memory the device does not reach */
	uint64_t notifies;  /* times that the device was told */
	uint64_t interrupts;
};

/**
 * riser_port_open - open a port
 * @r: the context
 * @uri: such as "qtest:spawn?device=virtio-net-pci&netdev=user", "tap:riser0", "pcap:FILE"
 * @opts: options, or NULL
 * @out: the port; close it with riser_port_close() after its queues
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or a negative errno.
 */
RISER_API int riser_port_open(struct riser *r, const char *uri, const struct riser_port_opts *opts,
			      struct riser_port **out, struct riser_err *err);
RISER_API void riser_port_close(struct riser_port *p);
RISER_API void riser_port_get_info(struct riser_port *p, struct riser_port_info *info);
RISER_API void riser_port_get_stats(struct riser_port *p, struct riser_port_stats *stats);

/**
 * riser_pool_new - buffers for packets
 * @r: the context
 * @near: memory that this port's device reaches without a copy; NULL: any registered memory
 * @count: buffers
 * @size: bytes of data in each, behind the headroom
 * @out: the pool, of one executor's thread; free it with riser_pool_free() when all are back
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or -ENOMEM.
 */
RISER_API int riser_pool_new(struct riser *r, struct riser_port *near, unsigned count,
			     unsigned size, struct riser_pool **out, struct riser_err *err);
RISER_API void riser_pool_free(struct riser_pool *pool);

/* Return: an empty packet whose data begins behind the headroom, or NULL: all are lent. */
RISER_API struct riser_pkt *riser_pkt_get(struct riser_pool *pool);
/* Give a packet with all of its segments back. */
RISER_API void riser_pkt_put(struct riser_pkt *pkt);

/**
 * riser_port_queue_open - take a queue pair
 * @p: the port
 * @index: 0…info.queues - 1
 * @x: the executor that owns it from now on; its thread calls
 * @pool: where received packets are put; its buffers hold at least the MTU, the Ethernet header and
 *	4 bytes; with RX_LARGE packets may have several segments. NULL: nothing is received
 * @out: the queue
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or a negative errno.
 */
RISER_API int riser_port_queue_open(struct riser_port *p, unsigned index, struct riser_exec *x,
				    struct riser_pool *pool, struct riser_port_queue **out,
				    struct riser_err *err);
/* Packets that are on their way out or in are given back to their pools. */
RISER_API void riser_port_queue_close(struct riser_port_queue *q);

/**
 * riser_port_rx - receive a burst
 * @q: the queue
 * @pkts: lent to the caller
 * @n: at the most
 *
 * Return: how many; 0: nothing there. -ENODEV: the device is gone or broken.
 */
RISER_API int riser_port_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n);

/**
 * riser_port_tx - transmit a burst
 * @q: the queue
 * @pkts: the first packets of them, as many as returned, belong to the port now, which gives them
 *	back to their pools
 * @n: how many
 *
 * Return: how many were taken; fewer than @n where there is no room now. -ENODEV as above.
 */
RISER_API int riser_port_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n);

/**
 * riser_port_watch - be called when there may be something
 * @q: the queue
 * @ready: from riser_exec_poll() and riser_exec_wait() of its executor, when packets came, or room
 *	did after riser_port_tx() took fewer; NULL: no more. While it is watched its executor sleeps
 *	when nothing comes; who only calls riser_port_rx() and riser_port_tx() is never interrupted.
 *	It may end the watch; it must not close @q
 * @ctx: first argument of @ready
 */
RISER_API void riser_port_watch(struct riser_port_queue *q, void (*ready)(void *ctx), void *ctx);

/*
 * A small host on a queue: answers ARP and ICMP echo, leases an address by DHCP, and sends echo
 * requests. IPv4; bounded; it allocates nothing once it was made. Addresses are numbers, the first
 * byte highest: 10.0.2.2 is 0x0a000202.
 */
struct riser_ip;

/**
 * struct riser_ip_opts - who it is
 * @size: sizeof(struct riser_ip_opts)
 * @address: its own; 0: DHCP
 * @netmask: 0 for that of /24
 * @gateway: 0: none
 * @echo: called from riser_ip_poll() for each first answer to a riser_ip_ping(); may be NULL
 * @ctx: first argument of @echo
 */
struct riser_ip_opts {
	size_t size;
	uint32_t address, netmask, gateway;
	void (*echo)(void *ctx, uint32_t from, uint16_t seq, uint64_t rtt_ns);
	void *ctx;
};

/**
 * struct riser_ip_info - what it has become
 * @size: sizeof(struct riser_ip_info), set by the caller
 * @address: 0 until there is a lease
 * @netmask: likewise
 * @gateway: 0: none
 * @dns: of the lease, 0: none
 * @server: who gave the lease; 0: nobody
 * @lease: seconds that it holds
 * @answered: ARP and echo requests of others
 * @malformed: packets that were none
 */
struct riser_ip_info {
	size_t size;
	uint32_t address, netmask, gateway, dns, server, lease;
	uint64_t answered, malformed;
};

/**
 * riser_ip_new - put a host on a queue
 * @q: the queue, opened with a pool; nobody else receives on it
 * @pool: where its packets come from; the same executor's
 * @opts: who it is
 * @out: the host; riser_ip_free() it before @q is closed
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or -ENOMEM.
 */
RISER_API int riser_ip_new(struct riser_port_queue *q, struct riser_pool *pool,
			   const struct riser_ip_opts *opts, struct riser_ip **out,
			   struct riser_err *err);
RISER_API void riser_ip_free(struct riser_ip *ip);
RISER_API void riser_ip_get_info(const struct riser_ip *ip, struct riser_ip_info *info);

/**
 * riser_ip_poll - receive, answer, and do what is due
 * @ip: the host
 * @next: when there is something to do even if nothing comes (of riser_now()); may be NULL
 *
 * Return: packets received, or -ENODEV: the device is gone.
 */
RISER_API int riser_ip_poll(struct riser_ip *ip, uint64_t *next);

/**
 * riser_ip_ping - send an echo request
 * @ip: the host
 * @to: whom
 * @seq: a number for it
 * @len: bytes of data, at most 1400
 *
 * Return: 0; -EAGAIN: not now, for it has no address, does not know the way yet (and asks), or has
 * no buffer; -EINVAL: too long.
 */
RISER_API int riser_ip_ping(struct riser_ip *ip, uint32_t to, uint16_t seq, unsigned len);

/*
 * Settings. They may wait for the device, at the most some seconds; any thread may change them, but
 * not inside a completion. A device that is reset gets them again.
 *
 * Return: 0; -EOPNOTSUPP where the port cannot, -EINVAL, -EIO where the device refused, -ETIMEDOUT,
 * -ENODEV; each with a sentence.
 */

/* Which packets are received beside those for its address (§5.1.6.5.1). */
#define RISER_PORT_PROMISC  (1u << 0) /* all */
#define RISER_PORT_ALLMULTI (1u << 1) /* all multicast */
#define RISER_PORT_ALLUNI   (1u << 2) /* all unicast */
#define RISER_PORT_NOMULTI  (1u << 3) /* no multicast */
#define RISER_PORT_NOUNI    (1u << 4) /* no unicast */
#define RISER_PORT_NOBCAST  (1u << 5) /* no broadcast */
RISER_API int riser_port_set_rx_mode(struct riser_port *p, uint32_t mode, struct riser_err *err);
RISER_API int riser_port_set_mac(struct riser_port *p, const uint8_t mac[6], struct riser_err *err);
/* Further addresses, unicast and multicast, in place of those before. */
RISER_API int riser_port_set_filter(struct riser_port *p, const uint8_t (*macs)[6], unsigned count,
				    struct riser_err *err);
/* Receive packets of a VLAN, or no more. */
RISER_API int riser_port_set_vlan(struct riser_port *p, uint16_t id, bool on,
				  struct riser_err *err);
/* RISER_PORT_RX_…, of those that it was opened with. */
RISER_API int riser_port_set_offloads(struct riser_port *p, uint32_t offloads,
				      struct riser_err *err);
/* Whoever moved the port wanted it announced (info.announce), which was done. */
RISER_API int riser_port_announced(struct riser_port *p, struct riser_err *err);

/* Kinds of packets that are hashed (§5.1.6.4.3), as far as they are common. */
#define RISER_PORT_HASH_IPV4 (1u << 0)
#define RISER_PORT_HASH_TCP4 (1u << 1)
#define RISER_PORT_HASH_UDP4 (1u << 2)
#define RISER_PORT_HASH_IPV6 (1u << 3)
#define RISER_PORT_HASH_TCP6 (1u << 4)
#define RISER_PORT_HASH_UDP6 (1u << 5)

/**
 * struct riser_port_hash - how packets are hashed and spread over queues
 * @size: sizeof(struct riser_port_hash)
 * @types: RISER_PORT_HASH_…
 * @key: of the Toeplitz hash
 * @key_len: bytes of it, 40 usually
 * @queues: a queue for each value of the hash's low bits; NULL: only report hashes
 * @entries: of @queues; a power of two
 * @unclassified: queue of packets without a hash
 */
struct riser_port_hash {
	size_t size;
	uint32_t types;
	const uint8_t *key;
	unsigned key_len;
	const uint16_t *queues;
	unsigned entries;
	uint16_t unclassified;
};
RISER_API int riser_port_set_hash(struct riser_port *p, const struct riser_port_hash *hash,
				  struct riser_err *err);

/**
 * struct riser_port_coalesce - how long an interrupt may wait for further packets
 * @size: sizeof(struct riser_port_coalesce)
 * @queue: of this queue, -1 for all
 * @transmit: of what was sent, else of what is received
 * @packets: at the most so many
 * @usecs: at the most so long
 */
struct riser_port_coalesce {
	size_t size;
	int queue;
	bool transmit;
	uint32_t packets, usecs;
};
RISER_API int riser_port_set_coalesce(struct riser_port *p, const struct riser_port_coalesce *c,
				      struct riser_err *err);

/**
 * riser_port_explain - what was agreed with a virtio device, feature by feature
 * @p: the port
 * @rows: filled, in the order of bits
 *
 * Return: how many; 0: it is no virtio device.
 */
RISER_API unsigned riser_port_explain(struct riser_port *p,
				      struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX]);

/* Reset the device and set it up as it was. Packets in flight are lost and counted. */
RISER_API int riser_port_reset(struct riser_port *p, struct riser_err *err);
/* Another number of descriptors, while it runs: by the owner. Packets in flight are lost. */
RISER_API int riser_port_queue_resize(struct riser_port_queue *q, unsigned descriptors,
				      struct riser_err *err);

#ifdef __cplusplus
}
#endif

#endif
