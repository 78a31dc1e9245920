/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* null:SIZE: everything succeeds at once; reads leave the buffer as it is. */
#include "base/err.h"
#include "base/parse.h"
#include "base/uri.h"
#include "blk/source.h"
#include <errno.h>
#include <stdio.h>

static void null_submit(struct blk_map *m, struct riser_blk_io *io)
{
	blk_leaf_done(m, io, RISER_BLK_OK);
}

static const struct blk_ops null_ops = {
	.size = sizeof(null_ops),
	.submit = null_submit,
};

static int null_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		     struct riser_err *err)
{
	static const char *const keys[] = { "block", NULL };
	struct riser_blk *b;
	uint64_t size;
	char text[32];
	int rc;

	if (parse_size(u->rest, &size) || size > INT64_MAX)
		return err_set(err, -EINVAL, "null: wants a size such as null:1T, not '%s'",
			       u->rest);
	rc = uri_check_keys(u, keys, err);
	if (!rc)
		rc = blk_new(r, &null_ops, NULL, &b, err);
	if (rc)
		return rc;
	rc = blk_set_geometry(b, u, size, err);
	if (rc) {
		blk_put(b);
		return rc;
	}
	b->discard = b->write_zeroes = b->compare = b->fua = true;
	snprintf(b->description, sizeof(b->description), "null device, %s",
		 format_size(size, text, sizeof(text)));
	*out = b;
	return 0;
}

const struct blk_source source_null = {
	.size = sizeof(source_null),
	.scheme = "null",
	.example = "null:1T",
	.harmless = true,
	.open = null_open,
};
