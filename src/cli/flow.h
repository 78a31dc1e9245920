/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A pipelined pass over a range: read, write, copy and verify are four uses of it.
 *
 *	read	from = device, out = descriptor
 *	write	in = descriptor, to = device
 *	copy	from = device, to = device
 *	verify	from = device, with = device
 */
#ifndef CLI_FLOW_H
#define CLI_FLOW_H

#include "cli/dev.h"

/**
 * struct flow - what to do, and how far it came
 * @from: device to read, or NULL: @in is read
 * @to: device to write, or NULL
 * @with: device to compare with, or NULL
 * @in: descriptor, where @from is NULL
 * @out: descriptor that receives the data in order, or -1
 * @from_at: byte offset in @from and @with
 * @to_at: byte offset in @to
 * @length: bytes; with @in UINT64_MAX: until its end
 * @sparse: where the data is zeroes, have @to write zeroes without a transfer
 * @done: bytes that are through, out
 * @differs: offset of the first difference, or UINT64_MAX, out
 */
struct flow {
	struct dev *from, *to, *with;
	int in, out;
	uint64_t from_at, to_at;
	uint64_t length;
	bool sparse;
	uint64_t done;
	uint64_t differs;
};

/* Return: 0 (a difference too), or an exit code after saying what failed. */
int flow_run(struct cli *c, struct flow *f);

#endif
