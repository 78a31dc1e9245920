/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The verbs of an NVMe controller, under nvme-cli's names. */
#include "cli/cli.h"
#include "cli/commands.h"

#define DECLARE(name) extern const struct cmd cmd_nvme_##name;
#define ADDRESS(name) &cmd_nvme_##name,
RISER_NVME_COMMANDS(DECLARE)
static const struct cmd *const subs[] = { RISER_NVME_COMMANDS(ADDRESS) NULL };

const struct cmd cmd_nvme = {
	.name = "nvme",
	.args = "VERB",
	.summary = "NVMe controllers, with nvme-cli's verbs and options",
	.subs = subs,
};
