/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* vhost-user, the driver's end: a transport whose device is another process behind a socket. */
#ifndef VIRTIO_VHOST_USER_H
#define VIRTIO_VHOST_USER_H

#include "virtio/virtio.h"

#define VHOST_USER_SCHEME "vhost-user"

/**
 * vhost_user_open - connect to a backend; virtio_open() does, for vhost-user:PATH
 * @r: the context
 * @u: the URI; mac= is the address of a network device whose backend has none
 * @id: RISER_VIRTIO_ID_…; the protocol does not tell what the backend is
 * @out: the device, before RESET; its name is the caller's to set
 * @err: filled on failure
 *
 * Return: 0 or a negative errno.
 */
int vhost_user_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		    struct riser_err *err);

#endif
