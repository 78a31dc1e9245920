/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* striped: chunks of several devices in turn (RAID 0). */
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>

struct striped {
	uint32_t chunk;
	unsigned n;
	struct riser_target_leg legs[];
};

static int striped_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	uint64_t n, chunk;
	struct striped *s;
	int rc = riser_args_u64(a, "the number of stripes", 1, UINT16_MAX, &n, err);

	if (!rc)
		rc = riser_args_u64(a, "the chunk size in sectors", 1, UINT32_MAX, &chunk, err);
	if (rc)
		return rc;
	if (t->len % n)
		return riser_err_set(err, -EINVAL,
				     "the length, %llu sectors, cannot be divided by %llu stripes",
				     (unsigned long long)t->len, (unsigned long long)n);
	if (t->len / n % chunk)
		return riser_err_set(err, -EINVAL,
				     "a stripe of %llu sectors cannot be divided by chunks of %llu",
				     (unsigned long long)(t->len / n), (unsigned long long)chunk);
	s = calloc(1, sizeof(*s) + n * sizeof(s->legs[0]));
	if (!s)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = s;
	s->chunk = (uint32_t)chunk;
	s->n = (unsigned)n;
	t->num_flush = t->num_discard = t->num_zeroes = (uint16_t)n;
	for (unsigned i = 0; !rc && i < n; i++)
		rc = riser_args_range(a, t, t->len / n, &s->legs[i].dev, &s->legs[i].start, err);
	return rc;
}

static void striped_shape(const struct riser_target *t, struct riser_target_shape *shape)
{
	const struct striped *s = t->priv;

	*shape = (struct riser_target_shape){
		.kind = RISER_TARGET_STRIPED, .nlegs = s->n, .chunk = s->chunk, .legs = s->legs
	};
}

static void striped_status(struct riser_target *t, enum riser_status_type type,
			   struct riser_text *out)
{
	const struct striped *s = t->priv;

	riser_text_add(out, "%u", s->n);
	if (type == RISER_STATUS_TABLE)
		riser_text_add(out, " %u", s->chunk);
	for (unsigned i = 0; i < s->n; i++) {
		riser_text_add(out, " %s", riser_target_dev_uri(t, s->legs[i].dev));
		if (type == RISER_STATUS_TABLE)
			riser_text_add(out, " %llu", (unsigned long long)s->legs[i].start);
	}
	if (type == RISER_STATUS_TABLE)
		return;
	riser_text_add(out, " 1 ");
	for (unsigned i = 0; i < s->n; i++)
		riser_text_add(out, "A");
}

const struct riser_target_ops target_striped = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_striped),
	.name = "striped",
	.version = { 1, 6, 0 },
	.flags = RISER_TARGET_PARALLEL,
	.syntax = "<n> <chunk> [<dev> <offset>]+",
	.summary = "chunks of several devices in turn",
	.ctr = striped_ctr,
	.shape = striped_shape,
	.status = striped_status,
};
