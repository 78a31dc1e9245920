/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/json.h"
#include "cli/net/lane.h"

struct args {
	uint64_t count, timeout;
};

static void report(struct cli *c, const struct net_port *a, const struct net_port *b)
{
	struct json j;

	if (c->format != FORMAT_JSON) {
		net_stats_text(a->p, a->uri);
		net_stats_text(b->p, b->uri);
		return;
	}
	json_init(&j, stdout);
	json_array(&j, NULL);
	for (int i = 0; i < 2; i++) {
		json_object(&j, NULL);
		json_str(&j, "uri", i ? b->uri : a->uri);
		net_stats_json(&j, "stats", i ? b->p : a->p);
		json_end(&j);
	}
	json_end(&j);
}

static int run(struct cli *c)
{
	struct args a = { .count = UINT64_MAX };
	struct net_port n[2] = { 0 };
	struct lane lanes[2];
	int rc = cli_parse(c, &a);

	for (int i = 0; i < 2 && !rc; i++) {
		rc = net_open(c, &n[i], c->arg[i], NET_OFFLOADS, NULL);
		/* What is not for the port itself is for somebody behind the other one. */
		if (!rc)
			riser_port_set_rx_mode(n[i].p, RISER_PORT_PROMISC, NULL);
	}
	for (int i = 0; i < 2; i++)
		lanes[i] = (struct lane){ .from = &n[i], .to = &n[!i], .limit = a.count };
	if (!rc)
		rc = lanes_run(c, lanes, 2, a.timeout);
	net_close_queue(&n[0]);
	net_close_queue(&n[1]);
	if (n[1].p)
		report(c, &n[0], &n[1]);
	lane_drop(&lanes[0]);
	lane_drop(&lanes[1]);
	net_close(&n[0]);
	net_close(&n[1]);
	return cli_finish(c, rc);
}

static const struct opt opts[] = {
	{ "count", 'c', OPT_IS_NUM(struct args, count), "N",
	  "end when so many packets went in each direction" },
	{ "timeout", 'W', OPT_IS_NUM(struct args, timeout), "SECONDS", "end after so long" },
	{ 0 },
};

const struct cmd cmd_net_bridge = {
	.name = "bridge",
	.args = "URI URI",
	.summary = "pass everything from each of two ports to the other, until ^C",
	.example = "riser net bridge wire:a wire:b --timeout 1",
	.opts = opts,
	.run = run,
};
