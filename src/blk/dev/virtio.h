/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef BLK_DEV_VIRTIO_H
#define BLK_DEV_VIRTIO_H

#include <riser/blk.h>

struct vblk;

/* A block device of a virtio-blk device, which goes with it, or on failure. */
int blk_virtio_new(struct vblk *d, struct riser_blk **out, struct riser_err *err);

#endif
