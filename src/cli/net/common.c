/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/json.h"
#include "cli/net/net.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define BUFFERS  2048
#define ETHERNET 18 /* header and a VLAN tag */

struct word {
	uint32_t bit;
	const char *name;
};

static const struct word offload_words[] = {
	{ RISER_PORT_CSUM, "csum" },        { RISER_PORT_TSO4, "tso4" },
	{ RISER_PORT_TSO6, "tso6" },        { RISER_PORT_USO, "uso" },
	{ RISER_PORT_ECN, "ecn" },          { RISER_PORT_RX_CSUM, "rx-csum" },
	{ RISER_PORT_RX_LARGE, "rx-large" }
};

static int open_port(struct cli *c, struct net_port *n, const char *uri, uint32_t offloads)
{
	struct riser_port_opts opts = { .size = sizeof(opts), .offloads = offloads };
	int rc = cli_context(c);

	if (rc)
		return rc;
	n->uri = uri;
	rc = riser_port_open(c->r, uri, &opts, &n->p, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	n->info.size = sizeof(n->info);
	riser_port_get_info(n->p, &n->info);
	return 0;
}

static int open_queue(struct cli *c, struct net_port *n, bool own, struct riser_pool *receive)
{
	int rc = 0;

	if (own)
		rc = riser_pool_new(c->r, n->p, BUFFERS, n->info.mtu + ETHERNET, &n->pool, &c->err);
	if (!rc)
		rc = riser_port_queue_open(n->p, 0, c->x, receive ? receive : n->pool, &n->q,
					   &c->err);
	return rc ? cli_fail_err(c, rc) : 0;
}

int net_open(struct cli *c, struct net_port *n, const char *uri, uint32_t offloads,
	     struct riser_pool *pool)
{
	int rc = open_port(c, n, uri, offloads);

	return rc ? rc : open_queue(c, n, !pool, pool);
}

int net_open_sender(struct cli *c, struct net_port *n, const char *uri)
{
	int rc = open_port(c, n, uri, 0);

	if (rc)
		return rc;
	rc = riser_port_queue_open(n->p, 0, c->x, NULL, &n->q, &c->err);
	if (!rc)
		rc = riser_pool_new(c->r, n->p, BUFFERS, n->info.mtu + ETHERNET, &n->pool, &c->err);
	return rc ? cli_fail_err(c, rc) : 0;
}

/* Are all of its buffers there? */
static bool is_whole(struct riser_pool *pool)
{
	struct riser_pkt *all = NULL, *pkt;
	unsigned n = 0;

	for (; (pkt = riser_pkt_get(pool)); n++) {
		pkt->next = all;
		all = pkt;
	}
	if (all)
		riser_pkt_put(all);
	return n == BUFFERS;
}

bool net_drain(struct cli *c, struct net_port *n, uint64_t timeout_ns)
{
	uint64_t until = riser_now(c->r) + timeout_ns;

	while (!is_whole(n->pool)) {
		if (riser_now(c->r) >= until)
			return false;
		riser_port_tx(n->q, NULL, 0);
		riser_exec_wait(c->x, NS_PER_MS);
	}
	return true;
}

int net_pcap_uri(struct cli *c, const char *prefix, const char *path, char *uri, size_t len)
{
	size_t at = (size_t)snprintf(uri, len, "%s", prefix);

	for (; *path && at + 4 < len; path++)
		at += (size_t)snprintf(uri + at, len - at, strchr("%?&[]", *path) ? "%%%02x" : "%c",
				       (unsigned char)*path);
	return *path ? cli_fail(c, CLI_USAGE, "a file's name of more than %zu bytes", len) : 0;
}

void net_close_queue(struct net_port *n)
{
	riser_port_queue_close(n->q);
	n->q = NULL;
}

void net_close(struct net_port *n)
{
	net_close_queue(n);
	riser_pool_free(n->pool);
	riser_port_close(n->p);
	memset(n, 0, sizeof(*n));
}

int net_wait_link(struct cli *c, struct net_port *n, uint64_t timeout_ns)
{
	uint64_t until = riser_now(c->r) + timeout_ns;

	for (;;) {
		riser_port_get_info(n->p, &n->info);
		if (n->info.link)
			return 0;
		if (riser_now(c->r) >= until)
			return cli_fail(c, CLI_MISSING, "%s: no link", n->uri);
		riser_exec_wait(c->x, 10 * NS_PER_MS);
	}
}

static void on_signal(struct riser_watch *w, uint32_t events)
{
	struct net_stop *s = (struct net_stop *)((char *)w - offsetof(struct net_stop, watch));
	struct signalfd_siginfo info;

	(void)events;
	s->stopped |= read(w->fd, &info, sizeof(info)) == sizeof(info);
}

int net_stop_begin(struct cli *c, struct net_stop *s)
{
	sigset_t set;
	int rc;

	*s = (struct net_stop){ .watch = { .fd = -1, .ready = on_signal } };
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->watch.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	rc = s->watch.fd < 0 ? -errno : riser_exec_watch(c->x, &s->watch, RISER_WATCH_IN);
	s->watching = !rc;
	return rc ? cli_fail(c, CLI_FAILED, "signals: %s", strerror(-rc)) : 0;
}

void net_stop_end(struct cli *c, struct net_stop *s)
{
	if (s->watching)
		riser_exec_unwatch(c->x, &s->watch);
	if (s->watching || s->watch.fd > 0)
		close(s->watch.fd);
	s->watching = false;
}

bool net_parse_address(const char *text, uint32_t *out)
{
	unsigned b[4];
	int end = 0;

	if (sscanf(text, "%3u.%3u.%3u.%3u%n", &b[0], &b[1], &b[2], &b[3], &end) != 4 || text[end])
		return false;
	*out = b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
	return (b[0] | b[1] | b[2] | b[3]) < 256;
}

const char *net_address(uint32_t address, char buf[16])
{
	snprintf(buf, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff,
		 address & 0xff);
	return buf;
}

const char *net_mac(const uint8_t mac[6], char buf[18])
{
	snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
	return buf;
}

char *net_offloads(uint32_t offloads, char *buf, size_t len)
{
	size_t at = 0;

	snprintf(buf, len, "none");
	for (size_t i = 0; i < array_len(offload_words) && at < len; i++)
		if (offloads & offload_words[i].bit)
			at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? " " : "",
					       offload_words[i].name);
	return buf;
}

void net_offloads_json(struct json *j, const char *key, uint32_t offloads)
{
	json_array(j, key);
	for (size_t i = 0; i < array_len(offload_words); i++)
		if (offloads & offload_words[i].bit)
			json_str(j, NULL, offload_words[i].name);
	json_end(j);
}

void net_stats_json(struct json *j, const char *key, struct riser_port *p)
{
	struct riser_port_stats s = { .size = sizeof(s) };

	riser_port_get_stats(p, &s);
	json_object(j, key);
	json_u64(j, "rx_packets", s.rx_packets);
	json_u64(j, "rx_bytes", s.rx_bytes);
	json_u64(j, "rx_dropped", s.rx_dropped);
	json_u64(j, "rx_errors", s.rx_errors);
	json_u64(j, "tx_packets", s.tx_packets);
	json_u64(j, "tx_bytes", s.tx_bytes);
	json_u64(j, "tx_dropped", s.tx_dropped);
	json_u64(j, "tx_errors", s.tx_errors);
	json_u64(j, "tx_copied", s.tx_copied);
	json_u64(j, "notifies", s.notifies);
	json_u64(j, "interrupts", s.interrupts);
	json_end(j);
}

void net_stats_text(struct riser_port *p, const char *name)
{
	struct riser_port_stats s = { .size = sizeof(s) };

	riser_port_get_stats(p, &s);
	printf("%s\n", name);
	printf("  received         %" PRIu64 " packets, %" PRIu64 " bytes, %" PRIu64
	       " dropped, %" PRIu64 " errors\n",
	       s.rx_packets, s.rx_bytes, s.rx_dropped, s.rx_errors);
	printf("  sent             %" PRIu64 " packets, %" PRIu64 " bytes, %" PRIu64
	       " dropped, %" PRIu64 " errors, %" PRIu64 " copied\n",
	       s.tx_packets, s.tx_bytes, s.tx_dropped, s.tx_errors, s.tx_copied);
}
