/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The client of RFC 2131, as far as one address on one link goes. */
#include "base/riser.h"
#include "net/csum.h"
#include "net/debug/responder.h"
#include <string.h>

#define COOKIE       0x63825363u
#define OPT_PAD      0
#define OPT_MASK     1
#define OPT_ROUTER   3
#define OPT_DNS      6
#define OPT_ADDRESS  50
#define OPT_LEASE    51
#define OPT_TYPE     53
#define OPT_SERVER   54
#define OPT_WANT     55
#define OPT_END      255

#define DISCOVER     1
#define OFFER        2
#define REQUEST      3
#define ACK          5
#define NAK          6

#define TRIES        4 /* requests before it asks all again */
#define RETRY_MAX_S  8u
#define LEASE_MAX_S  (10u * 365 * 86400)
#define OPTIONS_SENT 64

struct dhcp_msg {
	uint8_t op, hw, hw_len, hops;
	riser_be32 xid;
	riser_be16 secs, flags;
	riser_be32 ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16], sname[64], file[128];
	riser_be32 cookie;
} __attribute__((packed));
_Static_assert(sizeof(struct dhcp_msg) == 240, "BOOTP and the cookie");

/* What is of interest in a message's options; 0: not there. */
struct lease {
	uint8_t type;
	uint32_t mask, router, dns, seconds, server;
};

static bool read_options(const uint8_t *p, unsigned len, struct lease *out)
{
	*out = (struct lease){ 0 };
	while (len && *p != OPT_END) {
		unsigned n = len > 1 ? p[1] : 0;
		riser_be32 v;

		if (*p == OPT_PAD) {
			p++;
			len--;
			continue;
		}
		if (len < 2 || n > len - 2)
			return false;
		memset(&v, 0, sizeof(v));
		memcpy(&v, p + 2, n < 4 ? 0 : 4);
		if (*p == OPT_TYPE && n == 1)
			out->type = p[2];
		else if (*p == OPT_MASK)
			out->mask = be32(v);
		else if (*p == OPT_ROUTER)
			out->router = be32(v);
		else if (*p == OPT_DNS)
			out->dns = be32(v);
		else if (*p == OPT_LEASE)
			out->seconds = be32(v);
		else if (*p == OPT_SERVER)
			out->server = be32(v);
		p += 2 + n;
		len -= 2 + n;
	}
	return true;
}

static uint8_t *put_option(uint8_t *p, uint8_t code, uint32_t value)
{
	riser_be32 v = to_be32(value);

	p[0] = code;
	p[1] = 4;
	memcpy(p + 2, &v, 4);
	return p + 6;
}

static unsigned put_options(const struct riser_ip *ip, uint8_t type, uint8_t *start)
{
	static const uint8_t want[] = { OPT_WANT, 4, OPT_MASK, OPT_ROUTER, OPT_DNS, OPT_LEASE };
	uint8_t *p = start;

	*p++ = OPT_TYPE;
	*p++ = 1;
	*p++ = type;
	/* One that renews names its address in ciaddr, and no server. */
	if (type == REQUEST && !ip->info.address) {
		p = put_option(p, OPT_ADDRESS, ip->dhcp.offered);
		p = put_option(p, OPT_SERVER, ip->dhcp.server);
	}
	memcpy(p, want, sizeof(want));
	p += sizeof(want);
	*p++ = OPT_END;
	memset(p, 0, (size_t)(start + OPTIONS_SENT - p)); /* some want 300 bytes in all */
	return OPTIONS_SENT;
}

static void send_message(struct riser_ip *ip, uint8_t type, uint64_t now)
{
	static const uint8_t everybody[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct riser_pkt *pkt = ip_packet(ip, everybody, ETH_IP);
	struct dhcp_msg *m;
	struct udp_hdr *u;
	struct ip_hdr *h;
	unsigned len;

	if (!pkt)
		return;
	len = (unsigned)(sizeof(*h) + sizeof(*u) + sizeof(*m) + OPTIONS_SENT);
	if (pool_room(pkt) < pkt->len + len) {
		pool_put(pkt);
		return;
	}
	h = (struct ip_hdr *)(pkt->data + pkt->len);
	u = (struct udp_hdr *)(h + 1);
	m = (struct dhcp_msg *)(u + 1);
	ip_header(h, IP_UDP, ip->info.address, 0xffffffff, len - (unsigned)sizeof(*h));
	*u = (struct udp_hdr){ .src = to_be16(68),
			       .dst = to_be16(67),
			       .len = to_be16((uint16_t)(len - sizeof(*h))) };
	*m = (struct dhcp_msg){ .op = 1,
				.hw = 1,
				.hw_len = ETH_ALEN,
				.xid = to_be32(ip->dhcp.xid),
				.flags = to_be16(0x8000), /* we cannot receive by an address */
				.ciaddr = to_be32(ip->info.address),
				.cookie = to_be32(COOKIE) };
	m->secs = to_be16((uint16_t)min_of((now - ip->dhcp.started) / NS_PER_S, 65535ull));
	memcpy(m->chaddr, ip->mac, ETH_ALEN);
	put_options(ip, type, (uint8_t *)(m + 1));
	pkt->len += len;
	pkt->total = pkt->len;
	ip_send(ip, pkt);
}

void dhcp_start(struct riser_ip *ip)
{
	uint64_t now = clock_now(ip->q->port->r);
	uint32_t mac;

	memcpy(&mac, ip->mac + 2, sizeof(mac));
	ip->dhcp.state = DHCP_SELECTING;
	ip->dhcp.xid = mac * 2654435761u + (uint32_t)(now / NS_PER_US);
	ip->dhcp.tries = 0;
	ip->dhcp.due = ip->dhcp.started = now;
}

uint64_t dhcp_poll(struct riser_ip *ip, uint64_t now)
{
	uint64_t wait = 1ull << min_of(ip->dhcp.tries, 3u);

	if (ip->dhcp.state == DHCP_OFF)
		return TIME_NEVER;
	if (now < ip->dhcp.due)
		return ip->dhcp.due;
	if (ip->dhcp.state == DHCP_BOUND) {
		ip->dhcp.state = DHCP_REQUESTING;
		ip->dhcp.tries = 0;
		ip->dhcp.started = now;
		wait = 1;
	} else if (ip->dhcp.state == DHCP_REQUESTING && ip->dhcp.tries >= TRIES) {
		/* Nobody renews it. It is ours until it ends, which asking all again does. */
		ip->info.address = 0;
		dhcp_start(ip);
	}
	send_message(ip, ip->dhcp.state == DHCP_SELECTING ? DISCOVER : REQUEST, now);
	ip->dhcp.tries++;
	ip->dhcp.due = now + min_of(wait, (uint64_t)RETRY_MAX_S) * NS_PER_S;
	return ip->dhcp.due;
}

static void take(struct riser_ip *ip, const struct dhcp_msg *m, const struct lease *l, uint64_t now)
{
	uint32_t lease = l->seconds ? min_of(l->seconds, LEASE_MAX_S) : LEASE_MAX_S;

	ip->info.address = be32(m->yiaddr);
	ip->info.netmask = l->mask ? l->mask : 0xffffff00;
	ip->info.gateway = l->router;
	ip->info.dns = l->dns;
	ip->info.server = l->server;
	ip->info.lease = lease;
	ip->dhcp.state = DHCP_BOUND;
	ip->dhcp.due = now + max_of(lease / 2, 1u) * NS_PER_S;
}

void dhcp_input(struct riser_ip *ip, const uint8_t *bytes, unsigned len, uint64_t now)
{
	struct dhcp_msg m;
	struct lease l;

	if (ip->dhcp.state != DHCP_SELECTING && ip->dhcp.state != DHCP_REQUESTING)
		return;
	if (len < sizeof(m)) {
		ip->info.malformed++;
		return;
	}
	memcpy(&m, bytes, sizeof(m));
	if (m.op != 2 || be32(m.xid) != ip->dhcp.xid || be32(m.cookie) != COOKIE ||
	    memcmp(m.chaddr, ip->mac, ETH_ALEN))
		return;
	if (!read_options(bytes + sizeof(m), len - (unsigned)sizeof(m), &l)) {
		ip->info.malformed++;
		return;
	}
	if (ip->dhcp.state == DHCP_SELECTING && l.type == OFFER && be32(m.yiaddr) && l.server) {
		ip->dhcp.offered = be32(m.yiaddr);
		ip->dhcp.server = l.server;
		ip->dhcp.state = DHCP_REQUESTING;
		ip->dhcp.tries = 0;
		ip->dhcp.due = now;
	} else if (ip->dhcp.state == DHCP_REQUESTING && l.server == ip->dhcp.server) {
		if (l.type == ACK && be32(m.yiaddr)) {
			take(ip, &m, &l, now);
		} else if (l.type == NAK) {
			ip->info.address = 0;
			dhcp_start(ip);
		}
	}
}
