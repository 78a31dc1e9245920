/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The small host's inside: responder.c has ARP and echo, dhcp.c the lease. */
#ifndef NET_DEBUG_RESPONDER_H
#define NET_DEBUG_RESPONDER_H

#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include "net/proto.h"

#define IP_NEIGHBOURS 8
#define IP_PINGS      64 /* that an answer is waited for at a time */

enum dhcp_state { DHCP_OFF, DHCP_SELECTING, DHCP_REQUESTING, DHCP_BOUND };

struct neighbour {
	uint32_t address; /* 0: empty */
	uint8_t mac[ETH_ALEN];
};

struct ping {
	uint64_t sent; /* 0: nothing is waited for */
	uint32_t to;
	uint16_t seq;
};

struct riser_ip {
	struct riser_port_queue *q;
	struct riser_pool *pool;
	struct riser_ip_opts o;
	struct riser_ip_info info;
	uint8_t mac[ETH_ALEN];
	uint16_t id; /* of our echo requests */
	struct neighbour neighbours[IP_NEIGHBOURS];
	unsigned next_neighbour;
	uint64_t arp_due; /* when the next request may be sent */
	struct ping pings[IP_PINGS];
	struct {
		enum dhcp_state state;
		uint32_t xid, offered, server;
		unsigned tries;
		uint64_t due, started;
	} dhcp;
};

/* A packet of ours whose Ethernet header is done; its data goes behind. NULL: no buffer. */
struct riser_pkt *ip_packet(struct riser_ip *ip, const uint8_t dst[ETH_ALEN], uint16_t type);
/* Send it, or give it back. */
void ip_send(struct riser_ip *ip, struct riser_pkt *pkt);

void dhcp_start(struct riser_ip *ip);
/* Do what is due. Return: when the next thing is. */
uint64_t dhcp_poll(struct riser_ip *ip, uint64_t now);
/* What came to UDP port 68; @len bytes, of which nothing was looked at. */
void dhcp_input(struct riser_ip *ip, const uint8_t *bytes, unsigned len, uint64_t now);

#endif
