/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "net/proto.h"
#include "net/csum.h"
#include <string.h>

#define ARP_ETHERNET 1

void ip_header(struct ip_hdr *h, uint8_t proto, uint32_t src, uint32_t dst, unsigned len)
{
	*h = (struct ip_hdr){ .version_ihl = 0x45,
			      .len = to_be16((uint16_t)(sizeof(*h) + len)),
			      .ttl = 64,
			      .proto = proto,
			      .src = to_be32(src),
			      .dst = to_be32(dst) };
	h->csum = (uint16_t)~csum_fold(csum_add(0, h, sizeof(*h)));
}

bool ip_parse(const uint8_t *bytes, unsigned len, struct ip_hdr *h, unsigned *head, unsigned *all)
{
	if (len < sizeof(*h))
		return false;
	memcpy(h, bytes, sizeof(*h));
	*head = (h->version_ihl & 0xfu) * 4;
	*all = be16(h->len);
	return h->version_ihl >> 4 == 4 && *head >= sizeof(*h) && *head <= *all && *all <= len &&
	       csum_fold(csum_add(0, bytes, *head)) == 0xffff;
}

uint16_t udp_sum(const struct ip_hdr *h, const void *bytes, unsigned len)
{
	struct {
		riser_be32 src, dst;
		riser_be16 proto, len;
	} pseudo = { h->src, h->dst, to_be16(IP_UDP), to_be16((uint16_t)len) };

	return csum_fold(csum_add(csum_add(0, &pseudo, sizeof(pseudo)), bytes, len));
}

bool udp_parse(const struct ip_hdr *h, const uint8_t *bytes, unsigned len, bool checked,
	       struct udp_hdr *u)
{
	if (len < sizeof(*u))
		return false;
	memcpy(u, bytes, sizeof(*u));
	len = be16(u->len) <= len ? be16(u->len) : 0;
	return len >= sizeof(*u) && (!u->csum || checked || udp_sum(h, bytes, len) == 0xffff);
}

bool arp_parse(const uint8_t *bytes, unsigned len, struct arp_pkt *a)
{
	if (len < sizeof(*a))
		return false;
	memcpy(a, bytes, sizeof(*a));
	return be16(a->hw) == ARP_ETHERNET && be16(a->proto) == ETH_IP && a->hw_len == ETH_ALEN &&
	       a->proto_len == 4;
}

void arp_fill(struct arp_pkt *a, uint16_t op, const uint8_t sha[ETH_ALEN], uint32_t spa,
	      const uint8_t tha[ETH_ALEN], uint32_t tpa)
{
	*a = (struct arp_pkt){ .hw = to_be16(ARP_ETHERNET),
			       .proto = to_be16(ETH_IP),
			       .hw_len = ETH_ALEN,
			       .proto_len = 4,
			       .op = to_be16(op),
			       .spa = to_be32(spa),
			       .tpa = to_be32(tpa) };
	memcpy(a->sha, sha, ETH_ALEN);
	memcpy(a->tha, tha, ETH_ALEN);
}
