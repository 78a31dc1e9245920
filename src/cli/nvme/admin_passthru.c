/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/passthru.h"

static int run(struct cli *c)
{
	return passthru_run(c, true);
}

const struct cmd cmd_nvme_admin_passthru = {
	.name = "admin-passthru",
	.args = "URI",
	.summary = "send any admin command",
	.example =
		"riser nvme admin-passthru model:nvme --opcode=6 --data-len=4096 --read --cdw10=1 -b | od -tx1z | head",
	.opts = passthru_opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
