/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/json.h"
#include "cli/net/lane.h"
#include <inttypes.h>
#include <string.h>

struct args {
	uint64_t count, timeout;
};

static int run(struct cli *c)
{
	struct args a = { .count = UINT64_MAX };
	struct net_port from = { 0 }, file = { 0 };
	struct lane lane = { .from = &from, .to = &file };
	struct json j;
	char uri[4096];
	int rc = cli_parse(c, &a);

	lane.limit = a.count;
	if (!rc)
		rc = net_pcap_uri(c, "pcap:", c->arg[1], uri, sizeof(uri));
	if (!rc)
		rc = net_open(c, &from, c->arg[0], NET_OFFLOADS, NULL);
	if (!rc)
		riser_port_set_rx_mode(from.p, RISER_PORT_PROMISC, NULL);
	if (!rc)
		rc = net_open(c, &file, uri, NET_OFFLOADS, NULL);
	if (!rc)
		rc = lanes_run(c, &lane, 1, a.timeout);
	net_close_queue(&from);
	net_close_queue(&file);
	lane_drop(&lane);
	if (file.p && c->format != FORMAT_JSON && strcmp(c->arg[1], "/dev/stdout")) {
		printf("%" PRIu64 " packets\n", lane.moved);
	} else if (file.p && c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "uri", from.uri);
		json_str(&j, "file", c->arg[1]);
		json_u64(&j, "packets", lane.moved);
		net_stats_json(&j, "stats", from.p);
		json_end(&j);
	}
	net_close(&from);
	net_close(&file);
	return cli_finish(c, rc);
}

static const struct opt opts[] = {
	{ "count", 'c', OPT_IS_NUM(struct args, count), "N", "end after so many packets" },
	{ "timeout", 'W', OPT_IS_NUM(struct args, timeout), "SECONDS", "end after so long" },
	{ 0 },
};

const struct cmd cmd_net_capture = {
	.name = "capture",
	.args = "URI FILE",
	.summary = "write what a port receives to a pcapng file, until ^C",
	.example = "riser net capture wire:a out.pcapng --timeout 1",
	.opts = opts,
	.run = run,
};
