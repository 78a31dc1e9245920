/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/walk.h"
#include "cli/progress.h"

#define PIECE (256 * MiB)

struct args {
	uint64_t offset, length;
};

const struct opt walk_opts[] = {
	{ "offset", 0, OPT_IS_BYTES(struct args, offset), "SIZE", "where to begin; default 0" },
	{ "length", 0, OPT_IS_BYTES(struct args, length), "SIZE", "how much; default to the end" },
	{ 0 },
};

static int walk(struct cli *c, struct dev *d, enum riser_blk_op op, const struct args *a)
{
	struct progress p;
	int rc = 0;

	progress_begin(c, &p, a->length);
	for (uint64_t done = 0; done < a->length && !rc;) {
		uint64_t n = a->length - done < PIECE ? a->length - done : PIECE;

		rc = riser_blk_rw(d->ch, op, (a->offset + done) >> RISER_SECTOR_SHIFT,
				  (uint32_t)(n >> RISER_SECTOR_SHIFT), NULL, 0);
		if (rc) {
			progress_end(&p);
			return dev_fail_io(c, d, op, a->offset + done, rc, 0);
		}
		done += n;
		progress_show(c, &p, done);
	}
	progress_end(&p);
	return 0;
}

int walk_run(struct cli *c, enum riser_blk_op op)
{
	struct args a = { .length = UINT64_MAX };
	struct dev d = { 0 };
	uint64_t began;
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = dev_open(c, &d, c->arg[0], DEV_WRITE, 0);
	if (!rc)
		rc = dev_check_range(c, &d, a.offset, &a.length);
	if (rc)
		goto out;
	began = riser_now(c->r);
	rc = walk(c, &d, op, &a);
	if (!rc)
		rc = dev_flush(c, &d);
	if (!rc)
		dev_report(c, &d, a.length, began);
out:
	dev_close(&d);
	return rc;
}
