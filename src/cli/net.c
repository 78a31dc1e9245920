/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The verbs of network ports. */
#include "cli/cli.h"
#include "cli/commands.h"

#define DECLARE(name) extern const struct cmd cmd_net_##name;
#define ADDRESS(name) &cmd_net_##name,
RISER_NET_COMMANDS(DECLARE)
static const struct cmd *const subs[] = { RISER_NET_COMMANDS(ADDRESS) NULL };

const struct cmd cmd_net = {
	.name = "net",
	.args = "VERB",
	.summary = "network ports: look at them, bridge, capture, ping, measure",
	.subs = subs,
};
