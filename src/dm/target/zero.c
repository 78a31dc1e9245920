/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* zero: reads as zeroes, and whatever is written is dropped. */
#include "base/util.h"
#include <riser/target.h>

static int zero_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	(void)a;
	(void)err;
	t->num_discard = t->num_zeroes = 1;
	return 0;
}

static void zero_shape(const struct riser_target *t, struct riser_target_shape *s)
{
	(void)t;
	s->kind = RISER_TARGET_ZERO;
}

const struct riser_target_ops target_zero = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_zero),
	.name = "zero",
	.version = { 1, 1, 0 },
	.flags = RISER_TARGET_PARALLEL,
	.syntax = "",
	.summary = "reads as zeroes, drops what is written",
	.ctr = zero_ctr,
	.shape = zero_shape,
};
