/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* How many packets a second? */
#include "cli/json.h"
#include "cli/net/net.h"
#include <inttypes.h>
#include <string.h>

#define FRAME_MIN 60

static const char *const modes[] = { "tx", "rx", "loopback", NULL };

struct args {
	const char *mode, *peer;
	uint64_t size, runtime, burst;
};

struct bench {
	struct cli *c;
	struct args a;
	struct net_port n, peer;
	uint64_t sent, received;
	double seconds;
	bool gone;
};

static void fill(const struct bench *b, struct riser_pkt *pkt)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };

	/* Bytes that were there before are as good as any. */
	memcpy(pkt->data, head, sizeof(head));
	pkt->len = pkt->total = (uint32_t)b->a.size;
}

/* Each packet's buffer is taken from the pool and given back. */
static void send_burst(struct bench *b, struct net_port *n)
{
	struct riser_pkt *pkts[NET_BURST];
	unsigned got = 0;
	int sent;

	while (got < b->a.burst && (pkts[got] = riser_pkt_get(n->pool)))
		fill(b, pkts[got++]);
	sent = got ? riser_port_tx(n->q, pkts, got) : 0;
	b->gone |= sent < 0;
	sent = sent > 0 ? sent : 0;
	b->sent += (unsigned)sent;
	for (unsigned i = (unsigned)sent; i < got; i++)
		riser_pkt_put(pkts[i]);
}

static void receive_burst(struct bench *b, struct net_port *n)
{
	struct riser_pkt *pkts[NET_BURST];
	int got = riser_port_rx(n->q, pkts, (unsigned)b->a.burst);

	b->gone |= got < 0;
	for (int i = 0; i < got; i++)
		riser_pkt_put(pkts[i]);
	b->received += got > 0 ? (unsigned)got : 0;
}

static void echo_burst(struct bench *b, struct net_port *n)
{
	struct riser_pkt *pkts[NET_BURST];
	int got = riser_port_rx(n->q, pkts, (unsigned)b->a.burst);
	int sent = got > 0 ? riser_port_tx(n->q, pkts, (unsigned)got) : 0;

	b->gone |= got < 0 || sent < 0;
	for (int i = sent > 0 ? sent : 0; i < got; i++)
		riser_pkt_put(pkts[i]);
}

static void turn(struct bench *b)
{
	bool tx = *b->a.mode != 'r', rx = *b->a.mode != 't';

	if (tx)
		send_burst(b, &b->n);
	if (b->peer.q && tx && rx)
		echo_burst(b, &b->peer);
	else if (b->peer.q && tx)
		receive_burst(b, &b->peer);
	else if (b->peer.q)
		send_burst(b, &b->peer);
	if (rx)
		receive_burst(b, &b->n);
	else
		riser_port_rx(b->n.q, NULL, 0); /* its poll */
}

static int measure(struct bench *b)
{
	uint64_t began = riser_now(b->c->r), until = began + b->a.runtime * NS_PER_S, now = began;

	while (now < until && !b->gone) {
		for (int i = 0; i < 64; i++)
			turn(b);
		riser_exec_poll(b->c->x);
		now = riser_now(b->c->r);
	}
	b->seconds = (double)(now - began) / 1e9;
	return b->gone ? cli_fail(b->c, CLI_MISSING, "%s: the device is gone", b->n.uri) : 0;
}

static void report(const struct bench *b)
{
	uint64_t packets = *b->a.mode == 't' ? b->sent : b->received;
	double rate = (double)packets / b->seconds;
	struct json j;

	if (b->c->format != FORMAT_JSON) {
		printf("%s %s, %" PRIu64 " bytes: %.3f Mpps, %.3f Gbit/s\n", b->n.uri, b->a.mode,
		       b->a.size, rate / 1e6, rate * (double)b->a.size * 8 / 1e9);
		net_stats_text(b->n.p, b->n.uri);
		return;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "uri", b->n.uri);
	json_str(&j, "name", b->a.mode);
	json_f64(&j, "value", rate / 1e6);
	json_str(&j, "unit", "Mpps");
	json_u64(&j, "size", b->a.size);
	json_u64(&j, "sent", b->sent);
	json_u64(&j, "received", b->received);
	json_f64(&j, "seconds", b->seconds);
	net_stats_json(&j, "stats", b->n.p);
	json_end(&j);
}

static int check(struct bench *b)
{
	struct args *a = &b->a;

	if (!a->burst || a->burst > NET_BURST)
		return cli_fail(b->c, CLI_USAGE, "--burst is 1 to %u", NET_BURST);
	if (a->size < FRAME_MIN || a->size > 65535 || !a->runtime || a->runtime > 86400)
		return cli_fail(b->c, CLI_USAGE, "--size is %u to 65535, --runtime 1 to 86400",
				FRAME_MIN);
	return 0;
}

static int run(struct cli *c)
{
	struct bench b = { .c = c, .a = { .mode = "tx", .size = 64, .runtime = 3, .burst = 32 } };
	int rc = cli_parse(c, &b.a);

	if (!rc)
		rc = check(&b);
	if (!rc)
		rc = net_open(c, &b.n, c->arg[0], 0, NULL);
	if (!rc && b.a.peer)
		rc = net_open(c, &b.peer, b.a.peer, 0, NULL);
	if (!rc && b.a.size > b.n.info.mtu + 14)
		rc = cli_fail(c, CLI_USAGE, "--size=%" PRIu64 ": the MTU is %u", b.a.size,
			      b.n.info.mtu);
	if (!rc)
		rc = net_wait_link(c, &b.n, 10 * NS_PER_S);
	if (!rc)
		rc = measure(&b);
	if (!rc)
		report(&b);
	net_close_queue(&b.n);
	net_close_queue(&b.peer);
	net_close(&b.n);
	net_close(&b.peer);
	return cli_finish(c, rc);
}

static const struct opt opts[] = {
	{ "mode", 'm', OPT_IS_WORD(struct args, mode), "MODE",
	  "tx, rx or loopback (somebody sends back what we send); default tx", modes },
	{ "peer", 'p', OPT_IS_TEXT(struct args, peer), "URI",
	  "the other side, in this process: it receives, sends, or sends back" },
	{ "size", 's', OPT_IS_NUM(struct args, size), "BYTES", "of a frame; default 64" },
	{ "burst", 'b', OPT_IS_NUM(struct args, burst), "N",
	  "packets at a time, up to 64; default 32" },
	{ "runtime", 't', OPT_IS_NUM(struct args, runtime), "SECONDS", "default 3" },
	{ 0 },
};

const struct cmd cmd_net_bench = {
	.name = "bench",
	.args = "URI",
	.summary = "measure a port: packets a second",
	.example = "riser net bench wire:a --peer wire:a --runtime 1",
	.opts = opts,
	.run = run,
};
