/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A host just large enough to be found and to answer. Every packet is somebody else's: lengths are
 * checked before what they measure is looked at, and nothing that comes makes anything grow.
 */
#include "net/debug/responder.h"
#include "base/err.h"
#include "base/riser.h"
#include "net/csum.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BURST        32
#define ECHO_REPLY   0
#define ECHO_REQUEST 8
#define PING_MAX     1400u
#define DHCP_CLIENT  68

static const uint8_t everybody[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

int riser_ip_new(struct riser_port_queue *q, struct riser_pool *pool,
		 const struct riser_ip_opts *opts, struct riser_ip **out, struct riser_err *err)
{
	struct riser_port_info port = { .size = sizeof(port) };
	struct riser_ip *ip = calloc(1, sizeof(*ip));

	if (!ip)
		return err_set(err, -ENOMEM, "no memory for a host");
	memcpy(&ip->o, opts, min_of(opts->size, sizeof(ip->o)));
	ip->q = q;
	ip->pool = pool;
	riser_port_get_info(q->port, &port);
	memcpy(ip->mac, port.mac, sizeof(ip->mac));
	ip->id = (uint16_t)(clock_now(q->port->r) / NS_PER_US + port.mac[5]);
	ip->info.address = ip->o.address;
	ip->info.gateway = ip->o.gateway;
	ip->info.netmask = ip->o.netmask ? ip->o.netmask : 0xffffff00;
	if (!ip->o.address)
		dhcp_start(ip);
	*out = ip;
	return 0;
}

void riser_ip_free(struct riser_ip *ip)
{
	free(ip);
}

void riser_ip_get_info(const struct riser_ip *ip, struct riser_ip_info *info)
{
	size_t size = info->size;

	memcpy(info, &ip->info, min_of(size, sizeof(ip->info)));
	info->size = size;
}

struct riser_pkt *ip_packet(struct riser_ip *ip, const uint8_t dst[ETH_ALEN], uint16_t type)
{
	struct riser_pkt *pkt = pool_get(ip->pool);
	struct eth_hdr *e;

	if (!pkt)
		return NULL;
	e = (struct eth_hdr *)pkt->data;
	memcpy(e->dst, dst, ETH_ALEN);
	memcpy(e->src, ip->mac, ETH_ALEN);
	e->type = to_be16(type);
	pkt->len = pkt->total = sizeof(*e);
	return pkt;
}

void ip_send(struct riser_ip *ip, struct riser_pkt *pkt)
{
	if (riser_port_tx(ip->q, &pkt, 1) != 1)
		pool_put_all(pkt);
}

static void learn(struct riser_ip *ip, uint32_t address, const uint8_t mac[ETH_ALEN])
{
	struct neighbour *n = ip->neighbours, *end = n + IP_NEIGHBOURS;

	while (n < end && n->address != address)
		n++;
	if (n == end)
		n = &ip->neighbours[ip->next_neighbour++ % IP_NEIGHBOURS];
	n->address = address;
	memcpy(n->mac, mac, ETH_ALEN);
}

static void fill_arp(struct riser_ip *ip, struct riser_pkt *pkt, uint16_t op,
		     const uint8_t tha[ETH_ALEN], uint32_t tpa)
{
	struct arp_pkt *a = (struct arp_pkt *)(pkt->data + sizeof(struct eth_hdr));

	arp_fill(a, op, ip->mac, ip->info.address, tha, tpa);
	pkt->len = pkt->total = sizeof(struct eth_hdr) + sizeof(*a);
}

static void input_arp(struct riser_ip *ip, const uint8_t *bytes, unsigned len)
{
	static const uint8_t unknown[ETH_ALEN];
	struct riser_pkt *pkt;
	struct arp_pkt a;

	if (!arp_parse(bytes, len, &a)) {
		ip->info.malformed++;
		return;
	}
	/* Only what is for us is learnt, so that others cannot push out who we talk with. */
	if (!ip->info.address || be32(a.tpa) != ip->info.address)
		return;
	if (be32(a.spa) && memcmp(a.sha, unknown, ETH_ALEN))
		learn(ip, be32(a.spa), a.sha);
	if (be16(a.op) != ARP_REQUEST)
		return;
	pkt = ip_packet(ip, a.sha, ETH_ARP);
	if (!pkt)
		return;
	fill_arp(ip, pkt, ARP_REPLY, a.sha, be32(a.spa));
	ip->info.answered++;
	ip_send(ip, pkt);
}

/* The answer to a request of ours. */
static void input_reply(struct riser_ip *ip, uint32_t from, const struct icmp_echo *e)
{
	uint16_t seq = be16(e->seq);
	struct ping *p = &ip->pings[seq % IP_PINGS];
	uint64_t rtt = clock_now(ip->q->port->r) - p->sent;

	if (!p->sent || p->seq != seq || p->to != from || be16(e->id) != ip->id)
		return;
	p->sent = 0;
	if (ip->o.echo)
		ip->o.echo(ip->o.ctx, from, seq, rtt);
}

static void answer_echo(struct riser_ip *ip, const struct eth_hdr *eth, const struct ip_hdr *h,
			const uint8_t *bytes, unsigned len)
{
	struct riser_pkt *pkt = ip_packet(ip, eth->src, ETH_IP);
	struct ip_hdr *to;
	struct icmp_echo *e;

	if (!pkt)
		return;
	if (sizeof(*h) + len > pool_room(pkt) - pkt->len) {
		pool_put(pkt);
		return;
	}
	to = (struct ip_hdr *)(pkt->data + pkt->len);
	e = (struct icmp_echo *)(to + 1);
	ip_header(to, IP_ICMP, ip->info.address, be32(h->src), len);
	memcpy(e, bytes, len);
	e->type = ECHO_REPLY;
	e->csum = 0;
	e->csum = (uint16_t)~csum_fold(csum_add(0, e, len));
	pkt->len += (uint32_t)sizeof(*to) + len;
	pkt->total = pkt->len;
	ip->info.answered++;
	ip_send(ip, pkt);
}

static void input_icmp(struct riser_ip *ip, const struct eth_hdr *eth, const struct ip_hdr *h,
		       const uint8_t *bytes, unsigned len)
{
	struct icmp_echo e;

	if (len < sizeof(e) || csum_fold(csum_add(0, bytes, len)) != 0xffff) {
		ip->info.malformed++;
		return;
	}
	memcpy(&e, bytes, sizeof(e));
	if (e.code || be32(h->dst) != ip->info.address)
		return;
	if (e.type == ECHO_REQUEST)
		answer_echo(ip, eth, h, bytes, len);
	else if (e.type == ECHO_REPLY)
		input_reply(ip, be32(h->src), &e);
}

static void input_udp(struct riser_ip *ip, const struct ip_hdr *h, const uint8_t *bytes,
		      unsigned len)
{
	struct udp_hdr u;

	if (!udp_parse(h, bytes, len, false, &u)) {
		ip->info.malformed++;
		return;
	}
	if (be16(u.dst) != DHCP_CLIENT)
		return;
	dhcp_input(ip, bytes + sizeof(u), be16(u.len) - (unsigned)sizeof(u),
		   clock_now(ip->q->port->r));
}

static void input_ip(struct riser_ip *ip, const struct eth_hdr *eth, const uint8_t *bytes,
		     unsigned len)
{
	struct ip_hdr h;
	unsigned head, all;

	if (!ip_parse(bytes, len, &h, &head, &all)) {
		ip->info.malformed++;
		return;
	}
	if (be16(h.frag) & IP_FRAGMENT)
		return;
	if (h.proto == IP_ICMP && ip->info.address)
		input_icmp(ip, eth, &h, bytes + head, all - head);
	else if (h.proto == IP_UDP)
		input_udp(ip, &h, bytes + head, all - head);
}

static void input(struct riser_ip *ip, const struct riser_pkt *pkt)
{
	const uint8_t *bytes = pkt->data + sizeof(struct eth_hdr);
	unsigned len = pkt->len - (unsigned)sizeof(struct eth_hdr);
	struct eth_hdr e;

	if (pkt->len < sizeof(e)) {
		ip->info.malformed++;
		return;
	}
	memcpy(&e, pkt->data, sizeof(e));
	/* Not to those who are everybody: an answer would go to everybody, too. */
	if ((memcmp(e.dst, ip->mac, ETH_ALEN) && memcmp(e.dst, everybody, ETH_ALEN)) ||
	    e.src[0] & 1)
		return;
	if (be16(e.type) == ETH_ARP)
		input_arp(ip, bytes, len);
	else if (be16(e.type) == ETH_IP)
		input_ip(ip, &e, bytes, len);
}

int riser_ip_poll(struct riser_ip *ip, uint64_t *next)
{
	struct riser_pkt *pkts[BURST];
	int n = riser_port_rx(ip->q, pkts, BURST);
	uint64_t due;

	for (int i = 0; i < n; i++) {
		input(ip, pkts[i]);
		pool_put_all(pkts[i]);
	}
	due = dhcp_poll(ip, clock_now(ip->q->port->r));
	if (next)
		*next = due;
	return n;
}

/* The MAC on the way to @to; NULL: it was asked for, at most once a second. */
static const uint8_t *way_to(struct riser_ip *ip, uint32_t to)
{
	bool local = !((to ^ ip->info.address) & ip->info.netmask) || !ip->info.gateway;
	uint32_t hop = local ? to : ip->info.gateway;
	uint64_t now = clock_now(ip->q->port->r);
	struct riser_pkt *pkt;

	for (unsigned i = 0; i < IP_NEIGHBOURS; i++)
		if (ip->neighbours[i].address == hop)
			return ip->neighbours[i].mac;
	if (now < ip->arp_due)
		return NULL;
	pkt = ip_packet(ip, everybody, ETH_ARP);
	if (!pkt)
		return NULL;
	ip->arp_due = now + NS_PER_S;
	fill_arp(ip, pkt, ARP_REQUEST, (const uint8_t[ETH_ALEN]){ 0 }, hop);
	ip_send(ip, pkt);
	return NULL;
}

int riser_ip_ping(struct riser_ip *ip, uint32_t to, uint16_t seq, unsigned len)
{
	const uint8_t *mac;
	struct riser_pkt *pkt;
	struct icmp_echo *e;
	struct ip_hdr *h;

	if (len > PING_MAX)
		return -EINVAL;
	mac = ip->info.address && to ? way_to(ip, to) : NULL;
	pkt = mac ? ip_packet(ip, mac, ETH_IP) : NULL;
	if (!pkt)
		return -EAGAIN;
	if (pool_room(pkt) < pkt->len + sizeof(*h) + sizeof(*e) + len) {
		pool_put(pkt);
		return -EINVAL;
	}
	h = (struct ip_hdr *)(pkt->data + pkt->len);
	e = (struct icmp_echo *)(h + 1);
	ip_header(h, IP_ICMP, ip->info.address, to, (unsigned)sizeof(*e) + len);
	*e = (struct icmp_echo){ .type = ECHO_REQUEST, .id = to_be16(ip->id), .seq = to_be16(seq) };
	for (unsigned i = 0; i < len; i++)
		((uint8_t *)(e + 1))[i] = (uint8_t)i;
	e->csum = (uint16_t)~csum_fold(csum_add(0, e, sizeof(*e) + len));
	pkt->len += (uint32_t)(sizeof(*h) + sizeof(*e)) + len;
	pkt->total = pkt->len;
	ip->pings[seq % IP_PINGS] =
		(struct ping){ .sent = clock_now(ip->q->port->r), .to = to, .seq = seq };
	ip_send(ip, pkt);
	return 0;
}
