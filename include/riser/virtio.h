/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What was agreed with a virtio device, for people to read.
 */
#ifndef RISER_VIRTIO_H
#define RISER_VIRTIO_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RISER_VIRTIO_FEATURES_MAX 64
#define RISER_VIRTIO_WHY_MAX      64

/**
 * struct riser_virtio_feature - a feature bit, and what became of it
 * @bit: its number
 * @name: as the specification has it, such as "MRG_RXBUF"; NULL where it has none
 * @offered: the device has it
 * @wanted: the driver can use it
 * @accepted: it is in use
 * @why: of one that is not accepted: "not offered", "not wanted", "needs CSUM, which is not
 *	offered" and the like; empty for one that is
 */
struct riser_virtio_feature {
	unsigned bit;
	const char *name;
	bool offered, wanted, accepted;
	char why[RISER_VIRTIO_WHY_MAX];
};

#ifdef __cplusplus
}
#endif

#endif
