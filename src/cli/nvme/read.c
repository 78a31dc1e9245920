/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/rw.h"

static int run(struct cli *c)
{
	return rw_run(c, RISER_NVME_IO_READ, "read");
}

const struct cmd cmd_nvme_read = {
	.name = "read",
	.args = "[URI]",
	.summary = "read blocks to a file or standard output",
	.example =
		"riser nvme read model:nvme --start-block 0 --block-count 7 --data-size 4096 | od -tx1z | head",
	.opts = rw_read_opts,
	.flags = CMD_FORMAT,
	.run = run,
};
