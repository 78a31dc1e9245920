/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The verbs of tables. */
#include "cli/cli.h"
#include "cli/commands.h"

#define DECLARE(name) extern const struct cmd cmd_dm_##name;
#define ADDRESS(name) &cmd_dm_##name,
RISER_DM_COMMANDS(DECLARE)
static const struct cmd *const subs[] = { RISER_DM_COMMANDS(ADDRESS) NULL };

const struct cmd cmd_dm = {
	.name = "dm",
	.args = "VERB",
	.summary = "device-mapper tables: check them, see where I/O goes",
	.subs = subs,
};
