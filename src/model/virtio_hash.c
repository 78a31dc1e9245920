/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Which packets the card receives, and on which pair of queues (§5.1.6.4, §5.1.6.5). */
#include "model/virtio_net.h"
#include <string.h>

#define ETH_LEN  14u
#define ETH_IPV4 0x0800u
#define ETH_IPV6 0x86ddu
#define ETH_VLAN 0x8100u
#define IP_TCP   6u
#define IP_UDP   17u
#define IP_FRAG  0x3fffu /* offset, or more of them to come */

/* As Microsoft's and everybody's example has it, until a driver sets another. */
static const uint8_t default_key[VNET_KEY_MAX] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

void vnet_hash_reset(struct vnet *n)
{
	n->hash = (struct vnet_hash){ .key_len = VNET_KEY_MAX };
	memcpy(n->hash.key, default_key, sizeof(default_key));
	memset(&n->filter, 0, sizeof(n->filter));
	/* Until a driver says something else, everything is received. */
	n->filter.mode[RISER_VIRTIO_NET_CTRL_RX_PROMISC] = true;
}

/* Toeplitz: for each bit of the input that is set, the 32 bits of the key that begin there. */
static uint32_t toeplitz(const struct vnet_hash *h, const uint8_t *in, unsigned len)
{
	uint32_t hash = 0, window = 0;
	unsigned next = 4; /* of the key */

	for (unsigned i = 0; i < 4; i++)
		window = window << 8 | h->key[i];
	for (unsigned i = 0; i < len; i++, next++) {
		unsigned more = next < h->key_len ? h->key[next] : 0;

		for (unsigned bit = 0; bit < 8; bit++) {
			if (in[i] << bit & 0x80)
				hash ^= window;
			window = window << 1 | (more >> (7 - bit) & 1);
		}
	}
	return hash;
}

/* Where a packet's addresses and ports are. */
struct flow {
	const uint8_t *addrs, *ports; /* one behind the other; NULL: there are none */
	unsigned addr_len;
	bool tcp;
};

static bool find_flow(const struct riser_pkt *pkt, struct flow *f)
{
	const uint8_t *p = pkt->data;
	unsigned off = ETH_LEN, ip, type, proto;
	bool whole = true;

	if (pkt->len < off)
		return false;
	type = get16(p + 12);
	if (type == ETH_VLAN && pkt->len >= off + 4) {
		type = get16(p + 16);
		off += 4;
	}
	ip = off;
	if (type == ETH_IPV4 && pkt->len >= ip + 20) {
		off += (p[ip] & 15u) * 4;
		proto = p[ip + 9];
		whole = !(get16(p + ip + 6) & IP_FRAG);
		*f = (struct flow){ .addrs = p + ip + 12, .addr_len = 8 };
	} else if (type == ETH_IPV6 && pkt->len >= ip + 40) {
		off += 40;
		proto = p[ip + 6];
		*f = (struct flow){ .addrs = p + ip + 8, .addr_len = 32 };
	} else {
		return false;
	}
	f->tcp = proto == IP_TCP;
	if (whole && (f->tcp || proto == IP_UDP) && off >= ip + 20 && pkt->len >= off + 4)
		f->ports = p + off;
	return true;
}

/* @types: what to hash, as supported_hash_types. Return: which it was, 0 for none. */
static unsigned hash_flow(const struct vnet_hash *h, const struct flow *f, uint32_t types,
			  uint32_t *hash)
{
	unsigned base = f->addr_len == 8 ? 0 : 3, len = f->addr_len;
	unsigned kind = base + (f->ports ? (f->tcp ? 1 : 2) : 0);
	uint8_t in[36];

	memcpy(in, f->addrs, len);
	if (!(types >> kind & 1))
		kind = base;
	if (!(types >> kind & 1))
		return 0;
	if (kind != base) {
		memcpy(in + len, f->ports, 4);
		len += 4;
	}
	*hash = toeplitz(h, in, len);
	return kind + 1; /* as hash_report has it (§5.1.6.4.4) */
}

unsigned vnet_hash(const struct vnet *n, const struct riser_pkt *pkt, uint32_t *hash)
{
	struct flow f;

	*hash = 0;
	return n->hash.types && find_flow(pkt, &f) ? hash_flow(&n->hash, &f, n->hash.types, hash)
						   : 0;
}

unsigned vnet_pair_of(const struct vnet *n, const struct riser_pkt *pkt)
{
	uint32_t hash = 0;
	struct flow f;

	if (n->hash.rss)
		return vnet_hash(n, pkt, &hash) ? n->hash.table[hash & n->hash.mask]
						: n->hash.unclassified;
	/* Without RSS a flow stays where it is, and the device says where that is. */
	if (n->active > 1 && find_flow(pkt, &f))
		hash_flow(&n->hash, &f, VNET_HASH_TYPES, &hash);
	return hash % n->active;
}

static bool in_table(const struct vnet_filter *f, const uint8_t *mac)
{
	for (unsigned i = 0; i < f->nmacs; i++)
		if (!memcmp(f->macs[i], mac, 6))
			return true;
	return false;
}

bool vnet_wants(const struct vnet *n, const struct riser_pkt *pkt)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct vnet_filter *f = &n->filter;
	const uint8_t *p = pkt->data;

	if (pkt->len < ETH_LEN)
		return false;
	if (f->mode[RISER_VIRTIO_NET_CTRL_RX_PROMISC])
		return true;
	if (vdev_has(&n->dev, RISER_VIRTIO_NET_F_CTRL_VLAN) && get16(p + 12) == ETH_VLAN &&
	    pkt->len >= ETH_LEN + 4) {
		unsigned id = get16(p + 14) & 0xfff;

		if (!(f->vlans[id / 8] >> id % 8 & 1))
			return false;
	}
	if (!memcmp(p, broadcast, 6))
		return !f->mode[RISER_VIRTIO_NET_CTRL_RX_NOBCAST];
	if (p[0] & 1)
		return !f->mode[RISER_VIRTIO_NET_CTRL_RX_NOMULTI] &&
		       (f->mode[RISER_VIRTIO_NET_CTRL_RX_ALLMULTI] || f->many || in_table(f, p));
	return !f->mode[RISER_VIRTIO_NET_CTRL_RX_NOUNI] &&
	       (f->mode[RISER_VIRTIO_NET_CTRL_RX_ALLUNI] || f->many || in_table(f, p) ||
		!memcmp(p, n->dev.config, 6));
}
