/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/json.h"
#include "cli/net/net.h"
#include <string.h>

static void print_json(const char *uri, const struct riser_port_info *i)
{
	struct json j;
	char mac[18];

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "uri", uri);
	json_str(&j, "description", i->description);
	json_str(&j, "mac", net_mac(i->mac, mac));
	json_u64(&j, "mtu", i->mtu);
	json_bool(&j, "link", i->link);
	json_u64(&j, "speed_mbit", i->speed);
	json_bool(&j, "full_duplex", i->full_duplex);
	json_u64(&j, "queues", i->max_queues);
	net_offloads_json(&j, "offloads", i->offloads);
	json_bool(&j, "harmless", i->harmless);
	json_end(&j);
}

static void print_text(const char *uri, const struct riser_port_info *i)
{
	char text[80], mac[18];

	printf("%s: %s\n", uri, i->description ? i->description : "a network port");
	printf("  address          %s\n", net_mac(i->mac, mac));
	printf("  MTU              %u bytes\n", i->mtu);
	printf("  link             %s", i->link ? "up" : "down");
	if (i->speed)
		printf(", %u Mbit/s, %s duplex", i->speed, i->full_duplex ? "full" : "half");
	printf("\n  queue pairs      %u\n", i->max_queues);
	printf("  offloads         %s\n", net_offloads(i->offloads, text, sizeof(text)));
}

static int run(struct cli *c)
{
	struct riser_port_opts opts = { .size = sizeof(opts), .offloads = NET_OFFLOADS };
	struct riser_port_info info = { .size = sizeof(info) };
	struct riser_port *p;
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = cli_context(c);
	if (rc)
		return rc;
	rc = riser_port_open(c->r, c->arg[0], &opts, &p, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	riser_port_get_info(p, &info);
	if (c->format == FORMAT_JSON)
		print_json(c->arg[0], &info);
	else
		print_text(c->arg[0], &info);
	riser_port_close(p);
	return CLI_OK;
}

const struct cmd cmd_net_info = {
	.name = "info",
	.args = "URI",
	.summary = "what a port is: address, MTU, link, queues, offloads",
	.example = "riser net info wire:a",
	.run = run,
};
