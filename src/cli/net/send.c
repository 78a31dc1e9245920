/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Packets from a capture file, or one that is spelt out. */
#include "cli/json.h"
#include "cli/net/lane.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

struct args {
	uint64_t count, timeout;
	bool timed;
};

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Return: 0 or an exit code. Blanks and colons between bytes are skipped. */
static int parse_hex(struct cli *c, const char *text, struct riser_pkt *pkt, uint32_t max)
{
	for (const char *p = text; *p;) {
		int high, low;

		if (*p == ' ' || *p == ':' || *p == '\n') {
			p++;
			continue;
		}
		high = digit(p[0]);
		low = high < 0 ? -1 : digit(p[1]);
		if (low < 0)
			return cli_fail(c, CLI_USAGE, "'%s' is no file and no frame in hex", text);
		if (pkt->len == max)
			return cli_fail(c, CLI_USAGE, "more than the %u bytes that fit", max);
		pkt->data[pkt->len++] = (uint8_t)(high << 4 | low);
		p += 2;
	}
	pkt->total = pkt->len;
	return pkt->len >= 14
		       ? 0
		       : cli_fail(c, CLI_USAGE, "%u bytes: an Ethernet header has 14", pkt->len);
}

/* Send one frame again and again. */
static int send_frame(struct cli *c, struct net_port *to, const char *hex, struct args *a,
		      uint64_t *sent)
{
	uint64_t until = riser_now(c->r) + a->timeout * NS_PER_S;
	struct riser_pkt *first = riser_pkt_get(to->pool);
	uint32_t max = to->info.mtu + 18;
	int rc = parse_hex(c, hex, first, max), n = 0;

	while (!rc && *sent < a->count) {
		struct riser_pkt *pkt = riser_pkt_get(to->pool);

		if (pkt) {
			memcpy(pkt->data, first->data, first->len);
			pkt->len = pkt->total = first->len;
			n = riser_port_tx(to->q, &pkt, 1);
		}
		if (pkt && n == 1) {
			++*sent;
			continue;
		}
		if (pkt)
			riser_pkt_put(pkt);
		if (n < 0)
			rc = cli_fail(c, CLI_MISSING, "%s: the device is gone", to->uri);
		else if (riser_now(c->r) >= until)
			rc = cli_fail(c, CLI_FAILED, "%s takes no packets", to->uri);
		else
			riser_exec_wait(c->x, NS_PER_MS);
		riser_port_rx(to->q, NULL, 0); /* what went comes back */
	}
	riser_pkt_put(first);
	return rc;
}

static int send_file(struct cli *c, struct net_port *to, const char *path, struct args *a,
		     uint64_t *sent)
{
	struct net_port file = { 0 };
	struct lane lane = { .from = &file, .to = to, .limit = a->count };
	char uri[4096];
	int rc = net_pcap_uri(c, a->timed ? "pcap:?timed=1&in=" : "pcap:?in=", path, uri,
			      sizeof(uri));

	if (!rc)
		rc = net_open(c, &file, uri, NET_OFFLOADS, to->pool);
	if (!rc)
		rc = lanes_run(c, &lane, 1, a->timeout);
	net_close_queue(&file);
	lane_drop(&lane);
	net_close(&file);
	*sent = lane.moved;
	return rc;
}

static int run(struct cli *c)
{
	struct args a = { .count = UINT64_MAX, .timeout = 10 };
	struct net_port to = { 0 };
	uint64_t sent = 0;
	struct json j;
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = net_open_sender(c, &to, c->arg[0]);
	if (!rc)
		rc = net_wait_link(c, &to, a.timeout * NS_PER_S);
	if (!rc && !access(c->arg[1], F_OK)) {
		rc = send_file(c, &to, c->arg[1], &a, &sent);
	} else if (!rc) {
		a.count = a.count == UINT64_MAX ? 1 : a.count;
		rc = send_frame(c, &to, c->arg[1], &a, &sent);
	}
	if (!rc && !net_drain(c, &to, a.timeout * NS_PER_S))
		rc = cli_fail(c, CLI_FAILED, "%s: packets did not go out in time", to.uri);
	if (!rc && c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "uri", to.uri);
		json_u64(&j, "packets", sent);
		net_stats_json(&j, "stats", to.p);
		json_end(&j);
	} else if (!rc) {
		printf("%" PRIu64 " packets\n", sent);
	}
	net_close(&to);
	return cli_finish(c, rc);
}

static const struct opt opts[] = {
	{ "count", 'c', OPT_IS_NUM(struct args, count), "N",
	  "packets of a file, at the most; of a frame: how often, default 1" },
	{ "timeout", 'W', OPT_IS_NUM(struct args, timeout), "SECONDS",
	  "how long it may take; default 10" },
	{ "timed", 't', OPT_IS_BOOL(struct args, timed), NULL,
	  "keep the distances in time between a file's packets" },
	{ 0 },
};

const struct cmd cmd_net_send = {
	.name = "send",
	.args = "URI FILE|HEX",
	.summary = "send the packets of a pcapng file, or a frame spelt out in hex",
	.example = "riser net send pcap:out.pcapng ffffffffffff0200000000010806",
	.opts = opts,
	.run = run,
};
