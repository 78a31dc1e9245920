/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Headers of packets, as they are on the wire. They may lie at any address. */
#ifndef NET_PROTO_H
#define NET_PROTO_H

#include "base/util.h"
#include <stdbool.h>

#define ETH_ALEN    6
#define ETH_IP      0x0800
#define ETH_ARP     0x0806
#define ETH_IPV6    0x86dd
#define ETH_VLAN    0x8100 /* 802.1Q */
#define ETH_QINQ    0x88a8 /* 802.1ad */

#define IP_ICMP     1
#define IP_TCP      6
#define IP_UDP      17

#define IP_FRAGMENT 0x3fff /* ip_hdr.frag: more fragments, or an offset */

#define TCP_FIN     0x01
#define TCP_PSH     0x08
#define TCP_CWR     0x80

#define ARP_REQUEST 1
#define ARP_REPLY   2

struct eth_hdr {
	uint8_t dst[ETH_ALEN], src[ETH_ALEN];
	riser_be16 type;
} __attribute__((packed));
_Static_assert(sizeof(struct eth_hdr) == 14, "Ethernet");

struct arp_pkt {
	riser_be16 hw, proto;
	uint8_t hw_len, proto_len;
	riser_be16 op;
	uint8_t sha[ETH_ALEN];
	riser_be32 spa;
	uint8_t tha[ETH_ALEN];
	riser_be32 tpa;
} __attribute__((packed));
_Static_assert(sizeof(struct arp_pkt) == 28, "ARP for IPv4 on Ethernet");

struct ip_hdr {
	uint8_t version_ihl, tos;
	riser_be16 len, id, frag;
	uint8_t ttl, proto;
	uint16_t csum;
	riser_be32 src, dst;
} __attribute__((packed));
_Static_assert(sizeof(struct ip_hdr) == 20, "IPv4");

struct ip6_hdr {
	riser_be32 flow;
	riser_be16 len;
	uint8_t next, hops;
	uint8_t src[16], dst[16];
} __attribute__((packed));
_Static_assert(sizeof(struct ip6_hdr) == 40, "IPv6");

struct icmp_echo {
	uint8_t type, code;
	uint16_t csum;
	riser_be16 id, seq;
} __attribute__((packed));
_Static_assert(sizeof(struct icmp_echo) == 8, "ICMP echo");

struct udp_hdr {
	riser_be16 src, dst, len;
	uint16_t csum;
} __attribute__((packed));
_Static_assert(sizeof(struct udp_hdr) == 8, "UDP");

struct tcp_hdr {
	riser_be16 src, dst;
	riser_be32 seq, ack;
	uint8_t off, flags; /* @off: 32-bit words of the header in the upper half */
	riser_be16 window;
	uint16_t csum;
	riser_be16 urgent;
} __attribute__((packed));
_Static_assert(sizeof(struct tcp_hdr) == 20, "TCP");

/* An IPv4 header for @len bytes behind it. */
void ip_header(struct ip_hdr *h, uint8_t proto, uint32_t src, uint32_t dst, unsigned len);

/*
 * What came, @len bytes of which nothing was looked at: copy its header, and say whether it is one.
 * Of IPv4, *@head bytes of header and options stand in *@all bytes of packet. Of UDP, what was
 * @checked or says that it has no checksum is believed; u->len is within @len. Other ARP than
 * Ethernet's for IPv4 is none.
 */
bool ip_parse(const uint8_t *bytes, unsigned len, struct ip_hdr *h, unsigned *head, unsigned *all);
bool udp_parse(const struct ip_hdr *h, const uint8_t *bytes, unsigned len, bool checked,
	       struct udp_hdr *u);
bool arp_parse(const uint8_t *bytes, unsigned len, struct arp_pkt *a);

/* Of a datagram with its header, and of what the checksum counts besides; not complemented. */
uint16_t udp_sum(const struct ip_hdr *h, const void *bytes, unsigned len);

void arp_fill(struct arp_pkt *a, uint16_t op, const uint8_t sha[ETH_ALEN], uint32_t spa,
	      const uint8_t tha[ETH_ALEN], uint32_t tpa);

#endif
