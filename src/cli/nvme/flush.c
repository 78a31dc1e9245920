/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/simple.h"

struct args {
	uint32_t nsid;
};

static int run(struct cli *c)
{
	struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_IO_FLUSH };
	struct args a = { 0 };
	int rc = cli_parse(c, &a);

	return rc ? rc : simple_run(c, 0, a.nsid, "flush", &sqe, NULL, 0);
}

static const struct opt opts[] = {
	OPT_NSID_ONE,
	{ 0 },
};

const struct cmd cmd_nvme_flush = {
	.name = "flush",
	.args = "URI",
	.summary = "make written data durable",
	.example = "riser nvme flush model:nvme",
	.opts = opts,
	.flags = CMD_FORMAT,
	.run = run,
};
