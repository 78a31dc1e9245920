/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* unstriped: what is on one of the stripes of a striped device. */
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>

struct unstriped {
	uint32_t stripes, chunk, stripe;
	struct riser_target_leg leg;
	struct riser_target_leg linear; /* of the whole, where it is one piece */
};

/* From the first chunk to the end of the last, on the striped device. */
static int extent(const struct riser_target *t, const struct unstriped *u, uint64_t *out)
{
	uint64_t rows = t->len / u->chunk - 1, row = (uint64_t)u->stripes * u->chunk, skipped;

	if (__builtin_mul_overflow(rows, row, &skipped) ||
	    __builtin_add_overflow(skipped, (u->stripe + 1ull) * u->chunk, out))
		return -ERANGE;
	return 0;
}

static int numbers(struct riser_target *t, struct unstriped *u, struct riser_args *a,
		   struct riser_err *err)
{
	uint64_t stripes, chunk, stripe;
	int rc = riser_args_u64(a, "the number of stripes", 1, UINT32_MAX, &stripes, err);

	if (!rc)
		rc = riser_args_u64(a, "the chunk size in sectors", 1, UINT32_MAX, &chunk, err);
	if (rc)
		return rc;
	if (t->len % chunk)
		return riser_err_set(err, -EINVAL,
				     "the length, %llu sectors, is no multiple of chunks of %llu",
				     (unsigned long long)t->len, (unsigned long long)chunk);
	rc = riser_args_u64(a, "the stripe, counted from 0,", 0, stripes - 1, &stripe, err);
	if (rc)
		return rc;
	u->stripes = (uint32_t)stripes;
	u->chunk = (uint32_t)chunk;
	u->stripe = (uint32_t)stripe;
	return 0;
}

static int unstriped_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct unstriped *u = calloc(1, sizeof(*u));
	struct riser_blk_info info;
	uint64_t len;
	int rc;

	if (!u)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = u;
	rc = numbers(t, u, a, err);
	if (rc)
		return rc;
	if (extent(t, u, &len))
		return riser_err_set(err, -EINVAL, "%u stripes of this length fit no device",
				     u->stripes);
	rc = riser_args_range(a, t, len, &u->leg.dev, &u->leg.start, err);
	if (rc)
		return rc;
	riser_target_dev_info(t, u->leg.dev, &info);
	if ((uint64_t)u->chunk * RISER_SECTOR_SIZE % info.logical_block)
		return riser_err_set(err, -EINVAL,
				     "chunks of %u sectors are not aligned to blocks of %u bytes",
				     u->chunk, info.logical_block);
	u->linear = (struct riser_target_leg){ u->leg.dev,
					       u->leg.start + (uint64_t)u->stripe * u->chunk };
	t->max_io = u->chunk;
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	return 0;
}

/* With one stripe, or one chunk, nothing is left out. */
static void unstriped_shape(const struct riser_target *t, struct riser_target_shape *s)
{
	const struct unstriped *u = t->priv;

	if (u->stripes != 1 && t->len != u->chunk)
		return;
	s->kind = RISER_TARGET_LINEAR;
	s->nlegs = 1;
	s->legs = &u->linear;
}

static enum riser_target_verdict unstriped_map(struct riser_target *t, struct riser_blk_io *io)
{
	const struct unstriped *u = t->priv;
	uint64_t row = io->sector / u->chunk, within = io->sector % u->chunk;

	if (io->op == RISER_BLK_FLUSH)
		return riser_target_remap(t, io, u->leg.dev, 0);
	return riser_target_remap(t, io, u->leg.dev,
				  u->leg.start + (row * u->stripes + u->stripe) * u->chunk +
					  within);
}

static void unstriped_status(struct riser_target *t, enum riser_status_type type,
			     struct riser_text *out)
{
	const struct unstriped *u = t->priv;

	if (type == RISER_STATUS_TABLE)
		riser_text_add(out, "%u %u %u %s %llu", u->stripes, u->chunk, u->stripe,
			       riser_target_dev_uri(t, u->leg.dev),
			       (unsigned long long)u->leg.start);
}

const struct riser_target_ops target_unstriped = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_unstriped),
	.name = "unstriped",
	.version = { 1, 1, 0 },
	.flags = RISER_TARGET_PARALLEL | RISER_TARGET_CUT_ALL,
	.syntax = "<n> <chunk> <stripe> <dev> <offset>",
	.summary = "one of the stripes of a striped device",
	.ctr = unstriped_ctr,
	.map = unstriped_map,
	.shape = unstriped_shape,
	.status = unstriped_status,
};
