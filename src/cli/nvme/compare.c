/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/rw.h"

static int run(struct cli *c)
{
	return rw_run(c, RISER_NVME_IO_COMPARE, "compare");
}

const struct cmd cmd_nvme_compare = {
	.name = "compare",
	.args = "URI",
	.summary = "compare blocks with a file or standard input; exit code 5 where they differ",
	.example =
		"head -c 4096 /dev/zero | riser nvme compare model:nvme --block-count 7 --data-size 4096",
	.opts = rw_opts,
	.flags = CMD_FORMAT,
	.run = run,
};
