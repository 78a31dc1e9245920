/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/flow.h"
#include <inttypes.h>

static int check_sizes(struct cli *c, const struct dev *src, const struct dev *dst)
{
	if (src->bytes > dst->bytes)
		return cli_fail(c, CLI_FAILED,
				"%s (%" PRIu64 " bytes) does not fit on %s (%" PRIu64 " bytes)",
				src->uri, src->bytes, dst->uri, dst->bytes);
	if (src->bytes % dst->info.logical_block)
		return cli_fail(c, CLI_FAILED,
				"the size of %s (%" PRIu64
				" bytes) is not a multiple of the %u-byte blocks of %s",
				src->uri, src->bytes, dst->info.logical_block, dst->uri);
	return 0;
}

static int run(struct cli *c)
{
	struct dev src = { 0 }, dst = { 0 };
	struct flow f = { .from = &src, .to = &dst, .out = -1 };
	uint64_t began;
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = dev_open(c, &src, c->arg[0], 0, 0);
	if (!rc)
		rc = dev_open(c, &dst, c->arg[1], DEV_WRITE, 0);
	if (!rc)
		rc = check_sizes(c, &src, &dst);
	if (rc)
		goto out;
	began = riser_now(c->r);
	dev_note_vanishing(c, dst.uri);
	f.length = src.bytes;
	f.sparse = dst.info.write_zeroes;
	rc = flow_run(c, &f);
	if (!rc)
		rc = dev_flush(c, &dst);
	if (!rc)
		dev_report(c, &dst, f.done, began);
out:
	dev_close(&dst);
	dev_close(&src);
	return rc;
}

const struct cmd cmd_copy = {
	.name = "copy",
	.args = "SRC DST",
	.summary = "copy one device to another that is at least as large",
	.example = "riser copy model:nvme mem:1G",
	.flags = CMD_DESTROYS | CMD_PROGRESS,
	.run = run,
};
