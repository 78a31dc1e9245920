/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/walk.h"

static int run(struct cli *c)
{
	return walk_run(c, RISER_BLK_WRITE_ZEROES);
}

const struct cmd cmd_zero = {
	.name = "zero",
	.args = "URI",
	.summary = "write zeroes over a device or a part of it",
	.example = "riser zero mem:1G --offset 1M --length 64M",
	.opts = walk_opts,
	.flags = CMD_DESTROYS | CMD_PROGRESS,
	.run = run,
};
