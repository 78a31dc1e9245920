/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What the verbs of network ports share. */
#ifndef CLI_NET_NET_H
#define CLI_NET_NET_H

#include "cli/cli.h"
#include <riser/net.h>

#define NS_PER_S     1000000000ull
#define NS_PER_MS    1000000ull
#define NET_BURST    64
#define NET_OFFLOADS (RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE)

struct json;

/* A port with one queue pair on the command's executor. */
struct net_port {
	const char *uri;
	struct riser_port *p;
	struct riser_port_queue *q;
	struct riser_pool *pool; /* of @q, in memory that the port reaches */
	struct riser_port_info info;
};

/*
 * Open @uri, with a context first where there is none. @offloads: RISER_PORT_RX_…; @pool: whose
 * buffers to receive into, NULL for its own. Return: 0 or an exit code; then net_close() is still
 * allowed and needed.
 */
int net_open(struct cli *c, struct net_port *n, const char *uri, uint32_t offloads,
	     struct riser_pool *pool);
/* Likewise, for sending alone: nothing is received, and all of n->pool is for packets to send. */
int net_open_sender(struct cli *c, struct net_port *n, const char *uri);
/* Wait until all that was sent from n->pool is back. Return: false: not within @timeout_ns. */
bool net_drain(struct cli *c, struct net_port *n, uint64_t timeout_ns);

/* @prefix and a file's name, escaped. Return: 0 or an exit code. */
int net_pcap_uri(struct cli *c, const char *prefix, const char *path, char *uri, size_t len);

/* @n is zeroed or was opened. Close all queues before all that others received into. */
void net_close_queue(struct net_port *n);
void net_close(struct net_port *n);

/* Wait for a link, at most @timeout_ns. Return: 0, or an exit code after saying so. */
int net_wait_link(struct cli *c, struct net_port *n, uint64_t timeout_ns);

/* ^C and its like end what runs, in good order. */
struct net_stop {
	struct riser_watch watch;
	bool watching, stopped;
};
int net_stop_begin(struct cli *c, struct net_stop *s);
void net_stop_end(struct cli *c, struct net_stop *s);

/* Each returns whether @text was one; @out in host order. */
bool net_parse_address(const char *text, uint32_t *out);
const char *net_address(uint32_t address, char buf[16]);
const char *net_mac(const uint8_t mac[6], char buf[18]);

/* "csum tso4 …"; as an array of JSON with @j. */
char *net_offloads(uint32_t offloads, char *buf, size_t len);
void net_offloads_json(struct json *j, const char *key, uint32_t offloads);
void net_stats_json(struct json *j, const char *key, struct riser_port *p);
void net_stats_text(struct riser_port *p, const char *name);

#endif
