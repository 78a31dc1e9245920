/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* error: every I/O fails. */
#include "base/util.h"
#include <riser/target.h>

static int error_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	(void)a;
	(void)err;
	t->num_discard = t->num_zeroes = 1;
	return 0;
}

static void error_shape(const struct riser_target *t, struct riser_target_shape *s)
{
	(void)t;
	s->kind = RISER_TARGET_ERROR;
}

const struct riser_target_ops target_error = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_error),
	.name = "error",
	.version = { 1, 6, 0 },
	.flags = RISER_TARGET_PARALLEL | RISER_TARGET_WILDCARD,
	.syntax = "",
	.summary = "fails every I/O",
	.ctr = error_ctr,
	.shape = error_shape,
};
