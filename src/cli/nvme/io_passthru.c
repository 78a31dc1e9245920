/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/passthru.h"

static int run(struct cli *c)
{
	return passthru_run(c, false);
}

const struct cmd cmd_nvme_io_passthru = {
	.name = "io-passthru",
	.args = "URI",
	.summary = "send any I/O command",
	.example =
		"riser nvme io-passthru model:nvme --opcode=2 --namespace-id=1 --data-len=4096 --read --cdw12=7",
	.opts = passthru_opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
