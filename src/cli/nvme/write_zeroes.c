/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/simple.h"

struct args {
	uint32_t nsid, count;
	uint64_t start;
	bool deac, fua, lr;
};

static int run(struct cli *c)
{
	struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_IO_WRITE_ZEROES };
	struct args a = { 0 };
	int rc = cli_parse(c, &a);

	if (!rc && a.count > UINT16_MAX)
		rc = cli_fail(c, CLI_USAGE, "--block-count wants 0 to 65535: it is zero-based");
	if (rc)
		return rc;
	sqe.cdw10 = riser_le32_of((uint32_t)a.start);
	sqe.cdw11 = riser_le32_of((uint32_t)(a.start >> 32));
	sqe.cdw12 = riser_le32_of(a.count | (a.deac ? RISER_NVME_RW_DEAC : 0) |
				  (a.fua ? RISER_NVME_RW_FUA : 0) | (a.lr ? RISER_NVME_RW_LR : 0));
	return simple_run(c, NVME_WRITE, a.nsid, "write-zeroes", &sqe, NULL, 0);
}

static const struct opt opts[] = {
	OPT_NSID_ONE,
	OPT_START_BLOCK,
	OPT_BLOCK_COUNT,
	{ "deac", 'd', OPT_IS_BOOL(struct args, deac), NULL, "the blocks may be deallocated" },
	OPT_FUA,
	OPT_LIMITED_RETRY,
	{ 0 },
};

const struct cmd cmd_nvme_write_zeroes = {
	.name = "write-zeroes",
	.args = "URI",
	.summary = "make blocks read as zeroes",
	.example = "riser nvme write-zeroes model:nvme --start-block 8 --block-count 7",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
