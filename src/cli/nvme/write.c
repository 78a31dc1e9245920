/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/rw.h"

static int run(struct cli *c)
{
	return rw_run(c, RISER_NVME_IO_WRITE, "write");
}

const struct cmd cmd_nvme_write = {
	.name = "write",
	.args = "URI",
	.summary = "write blocks from a file or standard input",
	.example =
		"head -c 4096 /dev/urandom | riser nvme write model:nvme --block-count 7 --data-size 4096",
	.opts = rw_opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
