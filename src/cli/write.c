/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/flow.h"
#include <unistd.h>

struct args {
	uint64_t offset;
};

static int run(struct cli *c)
{
	struct args a = { 0 };
	struct dev d = { 0 };
	struct flow f = { .to = &d, .in = STDIN_FILENO, .out = -1, .length = UINT64_MAX };
	uint64_t none = 0, began;
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = dev_open(c, &d, c->arg[0], DEV_WRITE, 0);
	if (!rc)
		rc = dev_check_range(c, &d, a.offset, &none);
	if (rc)
		goto out;
	began = riser_now(c->r);
	dev_note_vanishing(c, d.uri);
	f.to_at = a.offset;
	rc = flow_run(c, &f);
	if (!rc)
		rc = dev_flush(c, &d);
	if (!rc)
		dev_report(c, &d, f.done, began);
out:
	dev_close(&d);
	return rc;
}

static const struct opt opts[] = {
	{ "offset", 0, OPT_IS_BYTES(struct args, offset), "SIZE", "where to begin; default 0" },
	{ 0 },
};

const struct cmd cmd_write = {
	.name = "write",
	.args = "URI",
	.summary = "write standard input to a device, and flush it",
	.example = "head -c 1M /dev/urandom | riser write 'model:nvme?backing=disk.img'",
	.opts = opts,
	.flags = CMD_DESTROYS | CMD_PROGRESS,
	.run = run,
};
