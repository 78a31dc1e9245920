/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "net/offload.h"
#include "net/csum.h"
#include "net/pool.h"
#include "net/proto.h"
#include <errno.h>
#include <string.h>

#define GSO_MIN  28 /* what the least MTU of IPv4 leaves to TCP */
#define EXT_HOP  0  /* IPv6's extension headers that may stand before layer 4 */
#define EXT_DEST 60
#define LEN_MAX  65535u
#define TCP_CSUM 16 /* where a header has its checksum */
#define UDP_CSUM 6

uint32_t offload_needs(const struct riser_pkt *pkt)
{
	uint8_t type = pkt->hdr.gso_type;
	uint32_t needs = 0;

	if (!(pkt->flags & RISER_PKT_HDR))
		return 0;
	if (pkt->hdr.flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM)
		needs |= RISER_PORT_CSUM;
	if (type & RISER_VIRTIO_NET_GSO_ECN)
		needs |= RISER_PORT_ECN;
	switch (type & ~RISER_VIRTIO_NET_GSO_ECN) {
	case RISER_VIRTIO_NET_GSO_NONE:
		return type ? UINT32_MAX : needs;
	case RISER_VIRTIO_NET_GSO_TCPV4:
		return needs | RISER_PORT_TSO4;
	case RISER_VIRTIO_NET_GSO_TCPV6:
		return needs | RISER_PORT_TSO6;
	case RISER_VIRTIO_NET_GSO_UDP_L4:
		return needs | RISER_PORT_USO;
	}
	return UINT32_MAX;
}

bool offload_is_sane(const struct riser_pkt *pkt)
{
	uint32_t start = le16(pkt->hdr.csum_start), offset = le16(pkt->hdr.csum_offset);
	bool large = pkt->hdr.gso_type != RISER_VIRTIO_NET_GSO_NONE;

	if (large &&
	    (!(pkt->hdr.flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM) || !le16(pkt->hdr.gso_size)))
		return false;
	return !(pkt->hdr.flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	       start + offset + 2 <= pkt->total;
}

/* The sum of bytes of a packet, whatever pieces they lie in. */
static uint64_t sum_range(const struct riser_pkt *pkt, uint32_t off, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	for (; pkt && done < len; pkt = pkt->next) {
		uint32_t n;
		uint64_t part;

		if (off >= pkt->len) {
			off -= pkt->len;
			continue;
		}
		n = min_of(pkt->len - off, len - done);
		part = csum_add(0, pkt->data + off, n);
		sum += done & 1 ? csum_odd(part) : part;
		done += n;
		off = 0;
	}
	return sum;
}

static void copy_range(const struct riser_pkt *pkt, uint32_t off, uint8_t *to, uint32_t len)
{
	for (; pkt && len; pkt = pkt->next) {
		uint32_t n;

		if (off >= pkt->len) {
			off -= pkt->len;
			continue;
		}
		n = min_of(pkt->len - off, len);
		memcpy(to, pkt->data + off, n);
		to += n;
		len -= n;
		off = 0;
	}
}

static void put_byte(struct riser_pkt *pkt, uint32_t off, uint8_t byte)
{
	for (; pkt; pkt = pkt->next) {
		if (off < pkt->len) {
			pkt->data[off] = byte;
			return;
		}
		off -= pkt->len;
	}
}

void offload_csum(struct riser_pkt *pkt)
{
	uint32_t start = le16(pkt->hdr.csum_start), at = start + le16(pkt->hdr.csum_offset);
	uint16_t sum = (uint16_t)~csum_fold(sum_range(pkt, start, pkt->total - start));
	uint8_t bytes[2];

	sum = sum ? sum : 0xffff; /* 0 would be "none" to UDP, and to TCP it is the same */
	memcpy(bytes, &sum, sizeof(sum));
	put_byte(pkt, at, bytes[0]);
	put_byte(pkt, at + 1, bytes[1]);
	pkt->hdr.flags &= (uint8_t)~RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

/* Step over tags and find what protocol follows. Return: its offset, 0: there is none. */
static unsigned parse_eth(const struct offload_head *h, uint16_t *type)
{
	unsigned at = sizeof(struct eth_hdr);
	riser_be16 v;

	for (int tags = 0; tags < 3; tags++, at += 4) {
		if (at > h->len)
			return 0;
		memcpy(&v, h->bytes + at - 2, sizeof(v));
		*type = be16(v);
		if (*type != ETH_VLAN && *type != ETH_QINQ)
			return at;
	}
	return 0;
}

static int parse_ip4(struct offload_head *h)
{
	struct ip_hdr ip;
	unsigned len;

	if (h->len - h->l3 < sizeof(ip))
		return -EINVAL;
	memcpy(&ip, h->bytes + h->l3, sizeof(ip));
	len = (ip.version_ihl & 0xfu) * 4;
	if (ip.version_ihl >> 4 != 4 || len < sizeof(ip) || len > h->len - h->l3 ||
	    be16(ip.frag) & IP_FRAGMENT)
		return -EINVAL;
	h->l4 = h->l3 + len;
	h->proto = ip.proto;
	h->v6 = false;
	return 0;
}

static int parse_ip6(struct offload_head *h)
{
	struct ip6_hdr ip;
	unsigned at = h->l3 + sizeof(ip);

	if (h->len - h->l3 < sizeof(ip))
		return -EINVAL;
	memcpy(&ip, h->bytes + h->l3, sizeof(ip));
	if (be32(ip.flow) >> 28 != 6)
		return -EINVAL;
	h->proto = ip.next;
	while (h->proto == EXT_HOP || h->proto == EXT_DEST) {
		if (h->len - at < 8)
			return -EINVAL;
		h->proto = h->bytes[at];
		at += 8 + h->bytes[at + 1] * 8u;
		if (at > h->len)
			return -EINVAL;
	}
	h->l4 = at;
	h->v6 = true;
	return 0;
}

/* Return: 0; -EINVAL: it is neither TCP nor UDP, a fragment, or not whole. */
static int parse(const struct riser_pkt *pkt, struct offload_head *h)
{
	uint16_t type = 0;
	int rc = -EINVAL;

	h->len = min_of(pkt->total, (uint32_t)OFFLOAD_HEAD);
	copy_range(pkt, 0, h->bytes, h->len);
	h->l3 = parse_eth(h, &type);
	if (h->l3 && type == ETH_IP)
		rc = parse_ip4(h);
	else if (h->l3 && type == ETH_IPV6)
		rc = parse_ip6(h);
	if (rc)
		return rc;
	if (h->proto == IP_TCP)
		return h->len - h->l4 < sizeof(struct tcp_hdr) ? -EINVAL : 0;
	if (h->proto == IP_UDP)
		return h->len - h->l4 < sizeof(struct udp_hdr) ? -EINVAL : 0;
	return -EINVAL;
}

/* The sum of the pseudo header for @len bytes of layer 4. */
static uint64_t pseudo_sum(const struct offload_head *h, uint32_t len)
{
	const uint8_t *addresses =
		h->bytes + h->l3 +
		(h->v6 ? offsetof(struct ip6_hdr, src) : offsetof(struct ip_hdr, src));

	return csum_add(0, addresses, h->v6 ? 32 : 8) + to_be16(h->proto).raw +
	       to_be16((uint16_t)len).raw;
}

/* How long layer 4 is by the IP header; 0: longer than the packet. */
static uint32_t l4_len(const struct offload_head *h, uint32_t total)
{
	uint32_t head = h->l4 - h->l3, len;
	riser_be16 v;

	memcpy(&v,
	       h->bytes + h->l3 +
		       (h->v6 ? offsetof(struct ip6_hdr, len) : offsetof(struct ip_hdr, len)),
	       sizeof(v));
	len = be16(v) + (h->v6 ? (uint32_t)sizeof(struct ip6_hdr) : 0);
	return len < head || len > total - h->l3 ? 0 : len - head;
}

bool offload_check(const struct riser_pkt *pkt)
{
	struct offload_head h;
	uint32_t len;

	if (parse(pkt, &h))
		return false;
	len = l4_len(&h, pkt->total);
	if (h.proto == IP_UDP && !h.bytes[h.l4 + UDP_CSUM] && !h.bytes[h.l4 + UDP_CSUM + 1])
		return false; /* it has none */
	return len && csum_fold(pseudo_sum(&h, len) + sum_range(pkt, h.l4, len)) == 0xffff;
}

static unsigned l4_head_len(const struct offload_head *h)
{
	struct tcp_hdr tcp;
	unsigned len;

	if (h->proto == IP_UDP)
		return sizeof(struct udp_hdr);
	memcpy(&tcp, h->bytes + h->l4, sizeof(tcp));
	len = (tcp.off >> 4) * 4u;
	return len < sizeof(tcp) || len > h->len - h->l4 ? 0 : len;
}

/* Is it what the virtio header says? */
static bool is_of_type(const struct offload_head *h, uint8_t type)
{
	switch (type & ~RISER_VIRTIO_NET_GSO_ECN) {
	case RISER_VIRTIO_NET_GSO_TCPV4:
		return h->proto == IP_TCP && !h->v6;
	case RISER_VIRTIO_NET_GSO_TCPV6:
		return h->proto == IP_TCP && h->v6;
	case RISER_VIRTIO_NET_GSO_UDP_L4:
		return h->proto == IP_UDP;
	}
	return false;
}

int offload_cut_begin(struct offload_cut *cut, struct riser_pkt *pkt, uint32_t room)
{
	struct offload_head *h = &cut->head;
	uint32_t gso = le16(pkt->hdr.gso_size);
	unsigned l4;

	if (!offload_is_sane(pkt) || gso < GSO_MIN || parse(pkt, h) ||
	    !is_of_type(h, pkt->hdr.gso_type))
		return -EINVAL;
	l4 = l4_head_len(h);
	cut->head_len = h->l4 + l4;
	if (!l4 || pkt->total <= cut->head_len || cut->head_len + gso > room ||
	    cut->head_len - h->l3 + gso > LEN_MAX)
		return -EINVAL;
	if (!h->v6) {
		struct ip_hdr ip;

		memcpy(&ip, h->bytes + h->l3, sizeof(ip));
		cut->ip_id = be16(ip.id);
	}
	if (h->proto == IP_TCP) {
		struct tcp_hdr tcp;

		memcpy(&tcp, h->bytes + h->l4, sizeof(tcp));
		cut->seq = be32(tcp.seq);
	}
	cut->gso_size = gso;
	cut->done = 0;
	cut->pkt = pkt;
	return 0;
}

/* @len: of layer 4 */
static void fix_ip(const struct offload_cut *cut, uint8_t *l3, uint32_t len)
{
	uint32_t head = cut->head.l4 - cut->head.l3;

	if (cut->head.v6) {
		struct ip6_hdr *ip = (struct ip6_hdr *)l3;

		ip->len = to_be16((uint16_t)(head - sizeof(*ip) + len));
	} else {
		struct ip_hdr *ip = (struct ip_hdr *)l3;

		ip->len = to_be16((uint16_t)(head + len));
		ip->id = to_be16((uint16_t)(cut->ip_id + cut->done / cut->gso_size));
		ip->csum = 0;
		ip->csum = (uint16_t)~csum_fold(csum_add(0, ip, head));
	}
}

/* The partial checksum is the pseudo header's. */
static unsigned fix_l4(const struct offload_cut *cut, uint8_t *l4, uint32_t len, bool last)
{
	uint16_t pseudo = csum_fold(pseudo_sum(&cut->head, len));

	if (cut->head.proto == IP_UDP) {
		struct udp_hdr *udp = (struct udp_hdr *)l4;

		udp->len = to_be16((uint16_t)len);
		udp->csum = pseudo;
		return UDP_CSUM;
	}
	((struct tcp_hdr *)l4)->seq = to_be32(cut->seq + cut->done);
	if (!last)
		((struct tcp_hdr *)l4)->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (cut->done)
		((struct tcp_hdr *)l4)->flags &= (uint8_t)~TCP_CWR;
	((struct tcp_hdr *)l4)->csum = pseudo;
	return TCP_CSUM;
}

struct riser_pkt *offload_cut_next(struct offload_cut *cut, struct riser_pool *pool)
{
	uint32_t left = cut->pkt ? cut->pkt->total - cut->head_len - cut->done : 0, n;
	uint32_t l4 = cut->head_len - cut->head.l4;
	struct riser_pkt *seg;
	unsigned offset;

	if (cut->pkt && !left) {
		pool_put_all(cut->pkt);
		cut->pkt = NULL;
	}
	seg = left ? pool_get(pool) : NULL;
	if (!seg)
		return NULL;
	n = min_of(left, cut->gso_size);
	memcpy(seg->data, cut->head.bytes, cut->head_len);
	copy_range(cut->pkt, cut->head_len + cut->done, seg->data + cut->head_len, n);
	fix_ip(cut, seg->data + cut->head.l3, l4 + n);
	offset = fix_l4(cut, seg->data + cut->head.l4, l4 + n, n == left);
	seg->len = seg->total = cut->head_len + n;
	seg->flags = RISER_PKT_HDR;
	seg->hdr = (struct riser_virtio_net_hdr){
		.flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = to_le16((uint16_t)cut->head.l4),
		.csum_offset = to_le16((uint16_t)offset),
	};
	cut->done += n;
	return seg;
}
