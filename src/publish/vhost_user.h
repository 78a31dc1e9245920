/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * vhost-user, the device's end: the queues of a virtio device model, whichever (model/virtio.h),
 * over a socket.
 *
 *	vhost_user.c		what the client says: features, memory, rings
 *	vhost_user_serve.c	clients: one at a time; and the publisher
 *
 * The client is not trusted: every message has its length and number of descriptors; memory is
 * taken only where the client cannot shorten it any more, since a load from what is gone would kill
 * us; events must be eventfds, since anything else could block. Who breaks a rule is shown out, and
 * the device is as new for the next one.
 *
 * The device status has no message here. Features are agreed once they are set; the device runs
 * from the first ring's start.
 */
#ifndef PUBLISH_VHOST_USER_H
#define PUBLISH_VHOST_USER_H

#include "base/exec.h"
#include "model/virtio.h"
#include "publish/publish.h"
#include "publish/unix.h"
#include "spec/vhost_user.h"

#define VHOST_BACK_REGIONS 32u

struct vhost_back;

struct vhost_back_region {
	struct vhost_user_region at;
	char *map; /* of the file's beginning, @len bytes */
	size_t len;
};

/**
 * struct vhost_back_ring - a ring, as the client says
 * @kick: of the client's: there is something
 * @call: to tell the client, or -1
 * @addr: in user addresses
 * @num: entries, 0: not said
 * @base: where it starts, struct vring_setup.start
 * @ready: there was SET_VRING_KICK
 * @enabled: SET_VRING_ENABLE
 * @runs: the device has it
 */
struct vhost_back_ring {
	struct vhost_back *b;
	struct riser_watch kick;
	int call;
	struct vhost_user_vring_addr addr;
	uint32_t num, base;
	bool ready, enabled, runs;
};

/**
 * struct vhost_back - a device model behind a socket
 * @publish: the publisher
 * @poller: steps the device
 * @host: what the device has to do with us
 * @v: the device
 * @next: when it has something to do by itself
 * @listener: new clients
 * @client: the one that there is, or fd -1
 * @requests: where it hears of changes, or -1
 * @rx: its message that is coming in
 * @protocol: features of the protocol that it accepted
 * @agreed: it has set features, of these F_PROTOCOL or not
 * @violations: of the device's, when the client came
 */
struct vhost_back {
	struct riser_publish publish;
	struct riser *r;
	struct riser_exec *x;
	struct poller poller;
	struct vdev_host host;
	struct vdev *v;
	uint64_t next;
	struct unix_socket at;
	char uri[sizeof(((struct unix_socket *)0)->path) + 16];
	struct riser_watch listener, client;
	int requests;
	struct vhost_user_rx rx;
	uint64_t protocol;
	bool agreed, f_protocol;
	struct vhost_back_region regions[VHOST_BACK_REGIONS];
	unsigned nregions;
	struct vhost_back_ring *rings;
	struct riser_publish_stats stats;
};

/*
 * Deal with the message in b->rx, and answer it. Return: 0, or -EPROTO: show it out, as b->rx.wrong
 * says; or -ECONNRESET.
 */
int vhost_back_message(struct vhost_back *b);

/* A ring of which nothing was said. */
void vhost_back_ring_init(struct vhost_back *b, struct vhost_back_ring *ring);

/* Forget the client: the device is reset, memory and descriptors are given up. */
void vhost_back_forget(struct vhost_back *b);

/* The device model's way to the client's memory, and to its events. */
void *vhost_back_at(void *ctx, uint64_t addr, size_t *len);
void vhost_back_call(struct vdev_host *h, unsigned queue);
void vhost_back_config(struct vdev_host *h);

#endif
