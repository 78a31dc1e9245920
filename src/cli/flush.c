/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dev.h"

static int run(struct cli *c)
{
	struct dev d = { 0 };
	uint64_t began;
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = dev_open(c, &d, c->arg[0], 0, 0);
	if (rc)
		goto out;
	began = riser_now(c->r);
	rc = dev_flush(c, &d);
	if (!rc)
		dev_report(c, &d, 0, began);
out:
	dev_close(&d);
	return rc;
}

const struct cmd cmd_flush = {
	.name = "flush",
	.args = "URI",
	.summary = "make what was written to a device durable",
	.example = "riser flush model:nvme",
	.run = run,
};
