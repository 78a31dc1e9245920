/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* linear: one device from a sector on. */
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>

static int linear_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct riser_target_leg *leg = calloc(1, sizeof(*leg));

	if (!leg)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = leg;
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	return riser_args_range(a, t, t->len, &leg->dev, &leg->start, err);
}

static void linear_shape(const struct riser_target *t, struct riser_target_shape *s)
{
	s->kind = RISER_TARGET_LINEAR;
	s->nlegs = 1;
	s->legs = t->priv;
}

static void linear_status(struct riser_target *t, enum riser_status_type type,
			  struct riser_text *out)
{
	const struct riser_target_leg *leg = t->priv;

	if (type == RISER_STATUS_TABLE)
		riser_text_add(out, "%s %llu", riser_target_dev_uri(t, leg->dev),
			       (unsigned long long)leg->start);
}

const struct riser_target_ops target_linear = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_linear),
	.name = "linear",
	.version = { 1, 4, 0 },
	.flags = RISER_TARGET_PARALLEL,
	.syntax = "<dev> <offset>",
	.summary = "one device from a sector on",
	.ctr = linear_ctr,
	.shape = linear_shape,
	.status = linear_status,
};
