/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Is somebody there? By a small host of our own on the port. */
#include "cli/json.h"
#include "cli/net/net.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ANSWERS_MAX 65536u

struct args {
	const char *address, *gateway;
	uint64_t count, timeout, interval, size;
};

struct run {
	struct cli *c;
	struct args a;
	struct net_port n;
	struct net_stop stop;
	struct riser_ip *ip;
	uint32_t to;
	uint64_t next; /* when the host has something to do */
	uint64_t sent, received;
	uint64_t min, max, sum;
	bool gone, silent;
};

static void on_echo(void *ctx, uint32_t from, uint16_t seq, uint64_t rtt)
{
	struct run *r = ctx;
	char text[16];

	r->received++;
	r->sum += rtt;
	r->min = r->received == 1 || rtt < r->min ? rtt : r->min;
	r->max = rtt > r->max ? rtt : r->max;
	if (!r->silent)
		printf("answer from %s: seq %u, %.3f ms\n", net_address(from, text), seq,
		       (double)rtt / 1e6);
}

static void on_ready(void *ctx)
{
	struct run *r = ctx;

	r->gone |= riser_ip_poll(r->ip, &r->next) < 0;
}

/* Wait until something comes, the host has something to do, or @until. */
static int pass(struct run *r, uint64_t until)
{
	uint64_t now = riser_now(r->c->r), end = r->next < until ? r->next : until;

	riser_exec_wait(r->c->x, end > now ? end - now : 0);
	if (r->next <= riser_now(r->c->r))
		on_ready(r);
	return r->gone ? cli_fail(r->c, CLI_MISSING, "%s: the device is gone", r->n.uri) : 0;
}

/* "10.0.2.15/24"; without /LEN it is 24. */
static int parse_own(struct run *r, struct riser_ip_opts *o)
{
	char text[32];
	char *slash, *end = NULL;
	long len = 24;

	if (r->a.gateway && !net_parse_address(r->a.gateway, &o->gateway))
		return cli_fail(r->c, CLI_USAGE, "'%s' is no IPv4 address", r->a.gateway);
	if (!r->a.address)
		return 0;
	snprintf(text, sizeof(text), "%s", r->a.address);
	slash = strchr(text, '/');
	if (slash) {
		*slash = 0;
		len = strtol(slash + 1, &end, 10);
	}
	if (!net_parse_address(text, &o->address) || !o->address || (slash && *end) || len < 1 ||
	    len > 32)
		return cli_fail(r->c, CLI_USAGE, "'%s' is no IPv4 address: 10.0.2.15/24, say",
				r->a.address);
	o->netmask = (uint32_t)(0xffffffffull << (32 - len));
	return 0;
}

static int get_address(struct run *r)
{
	struct riser_ip_info info = { .size = sizeof(info) };
	uint64_t until = riser_now(r->c->r) + r->a.timeout * NS_PER_S;
	char own[16], server[16], gateway[16];
	int rc = 0;

	for (;;) {
		riser_ip_get_info(r->ip, &info);
		if (info.address || rc || r->stop.stopped)
			break;
		if (riser_now(r->c->r) >= until)
			return cli_fail(r->c, CLI_FAILED,
					"%s: nobody leased an address within %" PRIu64
					" s; --address gives one",
					r->n.uri, r->a.timeout);
		rc = pass(r, until);
	}
	if (!rc && info.server && !r->silent)
		printf("leased %s from %s, gateway %s\n", net_address(info.address, own),
		       net_address(info.server, server), net_address(info.gateway, gateway));
	return rc;
}

/* Try until the next one's turn: the way there may have to be asked for first. */
static int send_one(struct run *r, uint64_t until)
{
	uint16_t seq = (uint16_t)(r->sent + 1);
	int rc = 0;

	while (!rc && !r->stop.stopped) {
		int sent = riser_ip_ping(r->ip, r->to, seq, (unsigned)r->a.size);

		if (sent == -EINVAL)
			return cli_fail(r->c, CLI_USAGE, "--size=%" PRIu64 ": more than fits",
					r->a.size);
		if (!sent || riser_now(r->c->r) >= until)
			break;
		/* A lost question is asked again. */
		rc = pass(r, until < riser_now(r->c->r) + 100 * NS_PER_MS
				     ? until
				     : riser_now(r->c->r) + 100 * NS_PER_MS);
	}
	r->sent++;
	return rc;
}

static int ping(struct run *r)
{
	uint64_t next = riser_now(r->c->r), until;
	int rc = 0;

	while (!rc && r->sent < r->a.count && !r->stop.stopped) {
		next += r->a.interval * NS_PER_MS;
		rc = send_one(r, next);
		while (!rc && r->sent < r->a.count && riser_now(r->c->r) < next && !r->stop.stopped)
			rc = pass(r, next);
	}
	until = riser_now(r->c->r) + r->a.timeout * NS_PER_S;
	while (!rc && r->received < r->sent && riser_now(r->c->r) < until && !r->stop.stopped)
		rc = pass(r, until);
	return rc;
}

static void report(struct run *r)
{
	struct riser_ip_info info = { .size = sizeof(info) };
	char text[16];
	struct json j;

	riser_ip_get_info(r->ip, &info);
	if (!r->silent) {
		printf("%" PRIu64 " sent, %" PRIu64 " received", r->sent, r->received);
		if (r->received)
			printf(", round trip min %.3f mean %.3f max %.3f ms", (double)r->min / 1e6,
			       (double)r->sum / (double)r->received / 1e6, (double)r->max / 1e6);
		printf("\n");
		return;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "uri", r->n.uri);
	json_str(&j, "to", net_address(r->to, text));
	json_str(&j, "address", net_address(info.address, text));
	json_str(&j, "netmask", net_address(info.netmask, text));
	json_str(&j, "gateway", info.gateway ? net_address(info.gateway, text) : NULL);
	json_str(&j, "dhcp_server", info.server ? net_address(info.server, text) : NULL);
	json_u64(&j, "sent", r->sent);
	json_u64(&j, "received", r->received);
	json_object(&j, "rtt_ns");
	json_u64(&j, "min", r->min);
	json_u64(&j, "mean", r->received ? r->sum / r->received : 0);
	json_u64(&j, "max", r->max);
	json_end(&j);
	json_end(&j);
}

static int run_host(struct run *r, struct riser_ip_opts *o)
{
	int rc = net_wait_link(r->c, &r->n, r->a.timeout * NS_PER_S);

	if (rc)
		return rc;
	rc = riser_ip_new(r->n.q, r->n.pool, o, &r->ip, &r->c->err);
	if (rc)
		return cli_fail_err(r->c, rc);
	riser_port_watch(r->n.q, on_ready, r);
	on_ready(r); /* it may have to begin */
	rc = get_address(r);
	if (!rc)
		rc = ping(r);
	riser_port_watch(r->n.q, NULL, NULL);
	if (!rc)
		report(r);
	riser_ip_free(r->ip);
	return rc || r->received ? rc : CLI_FAILED;
}

static int run(struct cli *c)
{
	struct run r = { .c = c, .a = { .count = 4, .timeout = 10, .interval = 1000, .size = 56 } };
	struct riser_ip_opts o = { .size = sizeof(o), .echo = on_echo, .ctx = &r };
	int rc = cli_parse(c, &r.a);

	r.silent = c->format == FORMAT_JSON;
	r.next = UINT64_MAX;
	if (!rc && !net_parse_address(c->arg[1], &r.to))
		rc = cli_fail(c, CLI_USAGE, "'%s' is no IPv4 address", c->arg[1]);
	if (!rc && (!r.a.count || r.a.count > ANSWERS_MAX || r.a.timeout > 86400 ||
		    r.a.interval > 86400000))
		rc = cli_fail(c, CLI_USAGE,
			      "--count is 1 to %u, --timeout and --interval are at most a day",
			      ANSWERS_MAX);
	if (!rc)
		rc = parse_own(&r, &o);
	if (!rc)
		rc = net_open(c, &r.n, c->arg[0], 0, NULL);
	if (!rc)
		rc = net_stop_begin(c, &r.stop);
	if (!rc)
		rc = run_host(&r, &o);
	net_stop_end(c, &r.stop);
	net_close(&r.n);
	return cli_finish(c, rc);
}

static const struct opt opts[] = {
	{ "count", 'c', OPT_IS_NUM(struct args, count), "N", "requests to send; default 4" },
	{ "timeout", 'W', OPT_IS_NUM(struct args, timeout), "SECONDS",
	  "how long to wait for a link, a lease and the last answers; default 10" },
	{ "interval", 'i', OPT_IS_NUM(struct args, interval), "MS",
	  "from one to the next; default 1000" },
	{ "size", 's', OPT_IS_NUM(struct args, size), "BYTES", "of data in each; default 56" },
	{ "address", 'a', OPT_IS_TEXT(struct args, address), "A[/LEN]",
	  "our own, instead of a lease by DHCP" },
	{ "gateway", 'g', OPT_IS_TEXT(struct args, gateway), "A", "the way to other networks" },
	{ 0 },
};

const struct cmd cmd_net_ping = {
	.name = "ping",
	.args = "URI ADDRESS",
	.summary = "lease an address by DHCP and see whether another one answers",
	.example = "riser net ping 'qtest:spawn?device=virtio-net-pci&netdev=user' 10.0.2.2 -c 1",
	.opts = opts,
	.run = run,
};
