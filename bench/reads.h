/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The loop that the figures of the block core and of what is stacked on it have in common. */
#ifndef BENCH_READS_H
#define BENCH_READS_H

#include <riser/blk.h>

#define READS_DEPTH 32

/**
 * reads - 4 KiB reads, as many at a time as the channel has I/Os
 * @c: the channel
 * @x: its executor
 * @home: the home executor of a HOME device below, driven by this thread too; or NULL
 * @ios: how many
 */
void reads(struct riser_blk_channel *c, struct riser_exec *x, struct riser_exec *home,
	   uint64_t ios);

#endif
