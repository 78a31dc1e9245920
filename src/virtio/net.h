/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio network device (§5.1): what it offers, its configuration, its queues and their life. The
 * packets are moved by who knows packets: net/port/virtio.c.
 *
 * Each pair of queues has an owner, who uses it with no lock. A device can only be reset as a
 * whole: whoever does that makes new queues for all and counts each pair's gen up. An owner looks
 * at it before each burst; when it changed he takes his new queues over (virtio_net_take()), and
 * what was in flight in the old ones, which the device does not know any more, comes back through
 * virtq_detach(). So nobody waits for an owner who is away. A vhost-user backend that came back
 * counts d->epoch up instead, and the owner starts his queues anew.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "base/barrier.h"
#include "base/list.h"
#include "virtio/virtio.h"
#include "virtio/virtq.h"
#include <pthread.h>

/**
 * struct virtio_net_opts - how to open
 * @pairs: queue pairs wanted
 * @size: entries of each queue, 0: the default
 * @rx_csum: packets may come with a partial checksum
 * @rx_large: packets may come unsegmented
 * @rx_hash: packets may come with a hash
 */
struct virtio_net_opts {
	unsigned pairs, size;
	bool rx_csum, rx_large, rx_hash;
};

/* A pair's queues, and which of them in the course of time. */
struct virtio_net_queues {
	struct virtq *rx, *tx;
	uint32_t gen;
};

struct virtio_net_pair {
	struct virtio_net_queues now; /* the device's; the owner's too, once he took them */
	bool taken, open;             /* by an owner; he may still have to take what is there now */
	uint32_t gen;                 /* atomic; counts what came new */
	unsigned size;                /* entries wanted */
	bool interrupts;
	int event_fd; /* both queues signal it */
};

/**
 * struct virtio_net - an opened device
 * @d: the device
 * @lock: of everything below that is not constant; never taken on the data path
 * @dead: atomic; a restart failed, @why says how
 * @hdr_len: in front of each packet: 10, 12 or 20
 * @mrg: a packet may fill several buffers
 * @header_apart: the header wants a descriptor of its own (no ANY_LAYOUT, no VERSION_1)
 * @npairs: as opened
 * @max_pairs: as the device has them
 * @spread: pairs that the device spreads packets over
 * @agreed: features, once they were: others after a reset would surprise who uses the port
 * @mac: its address, where that is not what its configuration says
 * @own_mac: it is
 * @restarts: one soon after the other, which the device wanted
 * @restarted: when it did last
 * @config_fd: signalled when the configuration changed, where @interrupts
 */
struct virtio_net {
	struct virtio_dev *d;
	struct virtio_net_opts opts;
	pthread_mutex_t lock;
	bool dead;
	struct riser_err why;
	unsigned hdr_len;
	bool mrg, header_apart;
	unsigned npairs, max_pairs, spread;
	uint64_t agreed;
	uint8_t mac[6];
	bool own_mac;
	unsigned restarts;
	uint64_t restarted;
	bool interrupts;
	int config_fd;
	struct virtio_net_pair *pairs;

	struct virtq *ctrl;
	struct dma_mem ctrl_mem;
	bool ctrl_silent;  /* a command was not answered: there is no other until a reset */
	struct list saved; /* commands to be repeated after one */
};

/* What was agreed on, for good; d->features is not to be had while somebody resets it. */
static inline bool virtio_net_has(const struct virtio_net *n, unsigned feature)
{
	return n->agreed >> feature & 1;
}

/* What it is right now. */
struct virtio_net_status {
	uint8_t mac[6];
	bool link, announce, needs_reset;
	uint16_t mtu;
	bool full_duplex;
	uint32_t speed;
};

/* Return: 0 or a negative errno, with a sentence. */
int virtio_net_open(struct riser *r, const struct uri *u, const struct virtio_net_opts *opts,
		    struct virtio_net **out, struct riser_err *err);
/* Its queues were given back. */
void virtio_net_close(struct virtio_net *n);

int virtio_net_status(struct virtio_net *n, struct virtio_net_status *s);

/*
 * Is all well? If the device wants to be reset, it is. For an owner's thread, which does not wait
 * for others here. Return: whether anything was done.
 */
bool virtio_net_look(struct virtio_net *n);

/* Have the device spread packets over the pairs that are open, from the first one on. */
void virtio_net_spread(struct virtio_net *n);

/**
 * virtio_net_take - take a pair's queues over, which are new and empty
 * @n: the device
 * @pair: whose owner the caller is
 * @out: the queues; those that were there before are the caller's to empty and free
 *
 * Return: 0, or -ENODEV when there are none: n->why says why.
 */
int virtio_net_take(struct virtio_net *n, unsigned pair, struct virtio_net_queues *out);

/* @pair's queues get @size entries, which takes a restart or, with RING_RESET, theirs alone. */
int virtio_net_resize(struct virtio_net *n, unsigned pair, unsigned size, struct riser_err *err);

/* The owner gives a pair up. What it has taken is his to empty and free; the device is off it. */
void virtio_net_drop(struct virtio_net *n, unsigned pair);

/* Reset the device and set it up anew; @why is for the log. */
int virtio_net_restart(struct virtio_net *n, const char *why, struct riser_err *err);

/* The control queue, in between; see net_ctrl.c. */
int virtio_net_ctrl_open(struct virtio_net *n, struct riser_err *err);
void virtio_net_ctrl_close(struct virtio_net *n);
void virtio_net_ctrl_replay(struct virtio_net *n);
void virtio_net_ctrl_forget(struct virtio_net *n);

/**
 * struct virtio_net_command - of the control queue
 * @feature: that brings it
 * @name: of that
 * @class_code: RISER_VIRTIO_NET_CTRL_…
 * @command: likewise
 * @key: what tells it from others that are kept: a VLAN, a queue
 * @keep: repeat it after a reset; it takes the place of one with the same command and key
 * @undoes: NULL, or the command of the kept one that is not to be repeated
 * @data: what follows
 * @len: bytes of it
 */
struct virtio_net_command {
	unsigned feature;
	const char *name;
	uint8_t class_code, command;
	uint16_t key;
	bool keep;
	const uint8_t *undoes;
	const void *data;
	size_t len;
};

/* Return: 0; -EOPNOTSUPP without the feature; -EIO: refused; -ETIMEDOUT, -ENODEV, -ENOMEM. */
int virtio_net_command(struct virtio_net *n, const struct virtio_net_command *c,
		       struct riser_err *err);

/**
 * struct virtio_net_hash - how to hash, and by RSS to spread
 * @types: of packets, as the device's supported_hash_types
 * @key: bytes of the hash key
 * @key_len: how many
 * @queues: by the hash's low bits; NULL: the hash is only reported
 * @entries: of @queues, a power of two
 * @unclassified: queue of what has no hash
 */
struct virtio_net_hash {
	uint32_t types;
	const uint8_t *key;
	uint8_t key_len;
	const uint16_t *queues;
	unsigned entries;
	uint16_t unclassified;
};

struct virtio_net_hash_limits {
	uint32_t types;
	uint16_t table;
	uint8_t key;
};

/* Settings, any thread's: they wait for the device. Return: as virtio_net_command(), or -EINVAL. */
int virtio_net_set_mac(struct virtio_net *n, const uint8_t mac[6], struct riser_err *err);
/* @mode: 1 << RISER_VIRTIO_NET_CTRL_RX_… */
int virtio_net_set_rx_mode(struct virtio_net *n, uint32_t mode, struct riser_err *err);
int virtio_net_set_filter(struct virtio_net *n, const uint8_t (*macs)[6], unsigned count,
			  struct riser_err *err);
int virtio_net_set_vlan(struct virtio_net *n, uint16_t id, bool on, struct riser_err *err);
int virtio_net_announced(struct virtio_net *n, struct riser_err *err);
int virtio_net_set_pairs(struct virtio_net *n, unsigned pairs, struct riser_err *err);
/* @features: the bits of GUEST_… that are to be in force, of those that were negotiated */
int virtio_net_set_offloads(struct virtio_net *n, uint64_t features, struct riser_err *err);
int virtio_net_set_hash(struct virtio_net *n, const struct virtio_net_hash *h,
			struct riser_err *err);
/* @pair: -1 for all; at most so many packets, or microseconds, go by before a notification */
int virtio_net_set_coalesce(struct virtio_net *n, bool tx, int pair, uint32_t packets,
			    uint32_t usecs, struct riser_err *err);

#endif
