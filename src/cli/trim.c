/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/walk.h"

static int run(struct cli *c)
{
	return walk_run(c, RISER_BLK_DISCARD);
}

const struct cmd cmd_trim = {
	.name = "trim",
	.args = "URI",
	.summary = "tell a device that its data, or a part, is not needed any more",
	.example = "riser trim model:nvme",
	.opts = walk_opts,
	.flags = CMD_DESTROYS | CMD_PROGRESS,
	.run = run,
};
