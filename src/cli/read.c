/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/flow.h"
#include <unistd.h>

struct args {
	uint64_t offset, length;
	bool force;
};

static int run(struct cli *c)
{
	struct args a = { .length = UINT64_MAX };
	struct dev d = { 0 };
	struct flow f = { .from = &d, .out = STDOUT_FILENO };
	int rc = cli_parse(c, &a);

	if (!rc && !a.force)
		rc = cli_check_stdout(c, "--force");
	if (!rc)
		rc = dev_open(c, &d, c->arg[0], 0, 0);
	if (!rc)
		rc = dev_check_range(c, &d, a.offset, &a.length);
	if (!rc) {
		f.from_at = a.offset;
		f.length = a.length;
		rc = flow_run(c, &f);
	}
	dev_close(&d);
	return rc;
}

static const struct opt opts[] = {
	{ "offset", 0, OPT_IS_BYTES(struct args, offset), "SIZE", "where to begin; default 0" },
	{ "length", 0, OPT_IS_BYTES(struct args, length), "SIZE", "how much; default to the end" },
	{ "force", 'f', OPT_IS_BOOL(struct args, force), NULL, "even to a terminal" },
	{ 0 },
};

const struct cmd cmd_read = {
	.name = "read",
	.args = "URI",
	.summary = "read a device to standard output",
	.example = "riser read model:nvme --offset 1M --length 4K | od -tx1z | head",
	.opts = opts,
	.flags = CMD_PROGRESS,
	.run = run,
};
