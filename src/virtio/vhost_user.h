/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * vhost-user, the driver's end: a transport whose device is another process behind a socket.
 *
 *	vhost_user.c		the transport: features, configuration, queues
 *	vhost_user_link.c	the connection: questions, answers, the handshake, coming back
 *	vhost_user_memory.c	the memory that the backend is given
 *
 * Addresses on this bus are our own: what the backend calls a guest's address and a user's address
 * is the VA, both. Only memory with a descriptor can be shared, and only such that cannot be
 * shortened, by a backend or anybody, under our feet; the rest stays unmapped, and who transfers it
 * bounces it. A backend has few slots for regions, so that queues and the like are cut out of one.
 *
 * A backend that goes leaves the device "away": rings stay as they are, kicks go nowhere, memory
 * comes and goes in our table alone. pump() connects again, repeats the handshake with the features
 * that were agreed, hands the memory over and begins a new epoch (struct virtio_dev.epoch), in
 *which each owner starts its queues anew. INFLIGHT_SHMFD, by which a backend leaves word for its
 * successor of what it had begun, is for frontends that are not the driver: we know what is in
 * flight, and make it available again.
 */
#ifndef VIRTIO_VHOST_USER_H
#define VIRTIO_VHOST_USER_H

#include "base/list.h"
#include "spec/vhost_user.h"
#include "virtio/virtio.h"
#include <pthread.h>

#define VHOST_USER_SCHEME    "vhost-user"
#define VHOST_USER_SLOTS_MAX 32u
#define VHOST_USER_PATIENCE  (10 * NS_PER_S)

struct vhost_user_slot {
	struct vhost_user_region region;
	int fd; /* the region's owner's */
};

struct vhost_user_ring {
	int kick; /* -1 until it is first started; stays, since a virtqueue keeps it */
	bool started;
};

/**
 * struct vhost_user - a device behind a socket
 * @dev: the device
 * @space: its memory
 * @path: of the socket
 * @id: RISER_VIRTIO_ID_…
 * @net: configuration of a network device whose backend has none
 * @unheard: signalled for rings that are polled
 * @lock: protects the following; taken under the context's lock, and takes none
 * @sock: the connection, -1 while the backend is away
 * @requests: the backend's own way to ask, -1 without
 * @rx: the answer that is coming in, and the last that came
 * @asked: what is coming in on @requests
 * @patience: ns until an answer must be there
 * @why: what was wrong when the connection was last dropped
 * @features: that the backend offers, all of them
 * @accepted: of those, what was agreed upon; the handshake repeats it
 * @negotiated: @accepted is valid, and memory was handed over
 * @protocol: the protocol's features that are in use
 * @queues: how many the backend has
 * @status: the device status, which is ours to keep
 * @irq: signalled when the configuration changes, or -1
 * @look_at: when pump() looks at the sockets again
 * @retry_at: when it tries to connect again
 * @backoff: ns between two attempts
 * @told: the log knows that the backend is away
 * @slots: memory that the backend is to have
 */
struct vhost_user {
	struct virtio_dev dev;
	struct riser_dma_space space;
	char *path;
	unsigned id;
	struct riser_virtio_net_config net;
	int unheard;
	pthread_mutex_t lock;
	int sock, requests;
	struct vhost_user_rx rx, asked;
	uint64_t patience;
	struct riser_err why;
	uint64_t features, accepted, protocol;
	bool negotiated;
	unsigned queues;
	uint8_t status;
	int irq;
	uint64_t look_at, retry_at, backoff;
	bool told;
	struct vhost_user_slot slots[VHOST_USER_SLOTS_MAX];
	unsigned nslots, max_slots;
	struct list arenas;
	struct vhost_user_ring rings[VHOST_USER_QUEUES_MAX];
};

/**
 * vhost_user_open - connect to a backend; virtio_open() does, for vhost-user:PATH
 * @r: the context
 * @u: the URI; mac= is the address of a network device whose backend has none
 * @id: RISER_VIRTIO_ID_…; the protocol does not tell what the backend is
 * @out: the device, before its reset
 * @err: filled on failure
 *
 * Return: 0 or a negative errno.
 */
int vhost_user_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		    struct riser_err *err);

static inline struct vhost_user *vhost_user_of(struct virtio_dev *d)
{
	return container_of(d, struct vhost_user, dev);
}

static inline bool vhost_user_has(const struct vhost_user *v, enum vhost_user_protocol_feature f)
{
	return v->protocol >> f & 1;
}

/*
 * The connection. Under the lock; each of these drops it when something is wrong, and says -ENODEV
 * then and when it was dropped before.
 */

/* Connect and shake hands, up to what precedes features. Fills @why on failure. */
int vhost_user_connect(struct vhost_user *v);
void vhost_user_drop(struct vhost_user *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Send what has an answer of its own, of @reply bytes: it is in v->rx.msg. */
int vhost_user_ask(struct vhost_user *v, struct vhost_user_msg *msg, size_t reply);

/*
 * Send what has none; returns when the backend has dealt with it. Return: -EINVAL: the backend
 * refuses, as it can tell with REPLY_ACK.
 */
int vhost_user_tell(struct vhost_user *v, struct vhost_user_msg *msg, const int *fds, unsigned n);
int vhost_user_tell_u64(struct vhost_user *v, uint32_t request, uint64_t value);

/* Agree on v->accepted, and hand the memory over. */
int vhost_user_agree(struct vhost_user *v);
int vhost_user_pump(struct virtio_dev *d, uint64_t *next);

/* The memory. */
int vhost_user_memory_init(struct vhost_user *v, struct riser_err *err);
void vhost_user_memory_destroy(struct vhost_user *v);
/* Tell a backend that knows nothing yet. Under the lock. */
int vhost_user_memory_send(struct vhost_user *v);

#endif
