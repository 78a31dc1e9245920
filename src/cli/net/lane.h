/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* One direction between two ports: what is received on one is sent on the other. */
#ifndef CLI_NET_LANE_H
#define CLI_NET_LANE_H

#include "cli/net/net.h"

/* @from and @to are opened; @limit: packets at the most. */
struct lane {
	struct net_port *from, *to;
	struct riser_pkt *held[NET_BURST];
	unsigned nheld;
	uint64_t moved, limit;
	bool from_gone, to_gone;
};

/* Move what there is. Return: how many packets went. */
unsigned lane_run(struct lane *l);
/* Give back what did not go; the queues are closed. */
void lane_drop(struct lane *l);

/*
 * Watch the ports and run the lanes until all have moved their limit, one's end is gone and nothing
 * is held, somebody stops it, or @timeout seconds passed (0: never). Return: 0 or an exit code: the
 * end of a capture file is no failure.
 */
int lanes_run(struct cli *c, struct lane *lanes, unsigned n, uint64_t timeout);

#endif
