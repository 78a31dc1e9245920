/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The debug port: UDP over IPv4, ARP answered, on a queue pair of a port.
 *
 * It has to work when everything else was stopped, and nobody knows where: the threads that own the
 * other queues stand in the middle of riser_port_rx() or riser_port_tx(), hold locks, and have
 * pools half changed. So it shares nothing with them that a thread can be caught changing:
 *
 *  - a queue pair of its own, by riser_port_queue_open(): rings, indices and counters are its
 * alone, and what two pairs of a port share (struct riser_port, the device's registers) is written
 * when ports and queues are opened and closed, never by a burst. Doorbells are one store each,
 * sockets and taps one system call, which a thread either has made or has not;
 *  - pools of its own, one for each direction, so that what was received and is not looked at yet
 *    leaves room to send;
 *  - an executor of its own that nobody ever runs: it takes no interrupt, no timer and no thread;
 *  - it calls the port's own rx and tx, not riser_port_rx() and riser_port_tx(): it asks for
 * nothing that would be done in software, and does not step the device (pump), which may take
 * locks, unless RISER_DEBUG_PUMP says that it must.
 *
 * A queue that somebody else has cannot be taken over: where it was stopped, one of its ring
 * entries may be half made, and only a reset of the device would tell which. So a card with one
 * pair belongs to its debug port or to everybody else; riser_port_queue_open() says -EBUSY.
 *
 * What this does not give:
 *
 *  - a card with several pairs chooses itself where it puts what it receives, by flows; it follows
 * a flow once it was answered (VIRTIO 1.2, 5.1.6.5.6: automatic receive steering). The first packet
 * of a flow, ARP's included, may come out of a queue whose owner stands still, and is lost. A peer
 * that asks again is steered alike. Where that may not be, the debug port wants a card of its own,
 * or the pair that the card's default is;
 *  - who is stopped inside the debug port itself has it (@busy): a log line that is on its way as
 *    its thread crashes. The stub waits for that a while, then goes on regardless, with what is
 *    there: packets in the middle of being sent are lost, no memory is;
 *  - a device that the crash broke stays broken: it is not reset.
 *
 * Each frame is copied once, then looked at: the device may write to the original at any time.
 */
#include "net/debug/debug.h"
#include "base/barrier.h"
#include "base/err.h"
#include "net/pool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET   64 /* frames that a call looks at */
#define MTU_MAX  1500u
#define ETH_MORE 18u /* header and a VLAN tag */
#define HEADERS  (sizeof(struct ip_hdr) + sizeof(struct udp_hdr))

static const uint8_t everybody[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static bool is_private(uint32_t address)
{
	static const struct {
		uint32_t net, mask;
	} nets[] = {
		{ 0x7f000000, 0xff000000 }, /* loopback */
		{ 0x0a000000, 0xff000000 }, /* RFC 1918 */
		{ 0xac100000, 0xfff00000 }, { 0xc0a80000, 0xffff0000 },
		{ 0xa9fe0000, 0xffff0000 }, /* link-local, RFC 3927 */
	};

	for (size_t i = 0; i < array_len(nets); i++)
		if ((address & nets[i].mask) == nets[i].net)
			return true;
	return false;
}

static bool may_talk(const struct riser_debug *d, uint32_t address)
{
	return (d->o.flags & RISER_DEBUG_ANYWHERE || is_private(address)) &&
	       !((address ^ d->o.peers) & d->o.peers_mask);
}

/* --- Opening --- */

static int check_opts(struct riser_debug_opts *o, struct riser_err *err)
{
	bool anywhere = o->flags & RISER_DEBUG_ANYWHERE;

	if (o->flags & ~(RISER_DEBUG_ANYWHERE | RISER_DEBUG_PUMP))
		return err_set(err, -EINVAL, "unknown flags %#x of a debug port", o->flags);
	if (!o->address || !o->udp_port)
		return err_set(err, -EINVAL, "a debug port wants an address and a UDP port");
	if (o->peers && !o->peers_mask)
		o->peers_mask = UINT32_MAX;
	if (!anywhere && (!is_private(o->address) || (o->peers_mask && !is_private(o->peers))))
		return err_set(err, -EINVAL,
			       "a debug port is a debugger's door: its address and its peers are "
			       "loopback or private ones, unless RISER_DEBUG_ANYWHERE is set");
	return 0;
}

static int open_queue(struct riser_debug *d, unsigned mtu, struct riser_err *err)
{
	struct riser_port *p = d->p;
	int rc = riser_exec_new(p->r, &d->x, err);

	if (!rc)
		rc = riser_pool_new(p->r, p, DEBUG_RX_PKTS,
				    max_of((unsigned)DEBUG_FRAME, mtu + ETH_MORE), &d->rx, err);
	if (!rc)
		rc = riser_pool_new(p->r, p, DEBUG_TX_PKTS, DEBUG_FRAME, &d->tx, err);
	if (!rc)
		rc = riser_port_queue_open(p, d->o.queue, d->x, d->rx, &d->q, err);
	return rc;
}

int riser_debug_open(struct riser_port *p, const struct riser_debug_opts *opts,
		     struct riser_debug **out, struct riser_err *err)
{
	struct riser_port_info info = { .size = sizeof(info) };
	struct riser_debug *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return err_set(err, -ENOMEM, "no memory for a debug port");
	memcpy(&d->o, opts, min_of(opts->size, sizeof(d->o)));
	d->p = p;
	riser_port_get_info(p, &info);
	memcpy(d->mac, info.mac, ETH_ALEN);
	rc = check_opts(&d->o, err);
	if (!rc)
		rc = open_queue(d, info.mtu, err);
	if (rc) {
		riser_debug_close(d);
		return rc;
	}
	d->payload = max_of(min_of(info.mtu, MTU_MAX), 576u) - (unsigned)HEADERS;
	*out = d;
	return 0;
}

void riser_debug_close(struct riser_debug *d)
{
	if (!d)
		return;
	riser_port_queue_close(d->q);
	riser_pool_free(d->tx);
	riser_pool_free(d->rx);
	riser_exec_free(d->x);
	free(d);
}

/* --- Sending --- */

static struct riser_pkt *new_packet(struct riser_debug *d, const uint8_t dst[ETH_ALEN],
				    uint16_t type)
{
	struct riser_pkt *pkt = pool_get(d->tx);
	struct eth_hdr *e;

	if (!pkt) {
		/* The device may be through with what it was given before. */
		d->p->ops->tx(d->q, NULL, 0);
		pkt = pool_get(d->tx);
		if (!pkt)
			return NULL;
	}
	e = (struct eth_hdr *)pkt->data;
	memcpy(e->dst, dst, ETH_ALEN);
	memcpy(e->src, d->mac, ETH_ALEN);
	e->type = to_be16(type);
	return pkt;
}

static int send_packet(struct riser_debug *d, struct riser_pkt *pkt, size_t len)
{
	uint64_t next;
	int n;

	pkt->len = pkt->total = (uint32_t)len;
	n = d->p->ops->tx(d->q, &pkt, 1);
	if (n != 1)
		pool_put(pkt);
	else if (d->o.flags & RISER_DEBUG_PUMP && d->p->ops->pump)
		d->p->ops->pump(d->q, &next);
	return n == 1 ? 0 : n < 0 ? n : -EAGAIN;
}

int debug_send(struct riser_debug *d, const struct riser_debug_peer *to, const void *data,
	       size_t len)
{
	struct riser_pkt *pkt;
	struct udp_hdr *u;
	struct ip_hdr *h;

	if (len > d->payload)
		return -EMSGSIZE;
	if (!may_talk(d, to->address))
		return -EACCES;
	pkt = new_packet(d, to->mac, ETH_IP);
	if (!pkt)
		return -EAGAIN;
	h = (struct ip_hdr *)(pkt->data + sizeof(struct eth_hdr));
	u = (struct udp_hdr *)(h + 1);
	ip_header(h, IP_UDP, d->o.address, to->address, (unsigned)(sizeof(*u) + len));
	*u = (struct udp_hdr){ .src = to_be16(d->o.udp_port),
			       .dst = to_be16(to->udp_port),
			       .len = to_be16((uint16_t)(sizeof(*u) + len)) };
	memcpy(u + 1, data, len);
	u->csum = (uint16_t)~udp_sum(h, u, (unsigned)(sizeof(*u) + len));
	if (!u->csum)
		u->csum = 0xffff; /* 0 would mean that there is none */
	return send_packet(d, pkt, sizeof(struct eth_hdr) + HEADERS + len);
}

/* --- Receiving --- */

static void input_arp(struct riser_debug *d, const uint8_t *bytes, unsigned len)
{
	struct riser_pkt *pkt;
	struct arp_pkt a;

	if (!arp_parse(bytes, len, &a) || be16(a.op) != ARP_REQUEST ||
	    be32(a.tpa) != d->o.address || !may_talk(d, be32(a.spa)))
		return;
	pkt = new_packet(d, a.sha, ETH_ARP);
	if (!pkt)
		return;
	arp_fill((struct arp_pkt *)(pkt->data + sizeof(struct eth_hdr)), ARP_REPLY, d->mac,
		 d->o.address, a.sha, be32(a.spa));
	send_packet(d, pkt, sizeof(struct eth_hdr) + sizeof(a));
}

/* A network may deliver a datagram twice, which no sender does: he counts them. Without a number
 * (0) it cannot be told from one that is sent again. */
static bool is_copy(struct riser_debug *d, const struct ip_hdr *h, const struct udp_hdr *u)
{
	struct debug_seen s = { .src = be32(h->src),
				.id = be16(h->id),
				.sport = be16(u->src),
				.len = be16(u->len),
				.csum = u->csum };

	if (!s.id)
		return false;
	for (unsigned i = 0; i < DEBUG_SEEN; i++)
		if (!memcmp(&d->seen[i], &s, sizeof(s)))
			return true;
	d->seen[d->next_seen++ % DEBUG_SEEN] = s;
	return false;
}

/* Return: where the datagram's bytes begin, *@len of them; NULL: nothing that is for us. */
static const uint8_t *input_ip(struct riser_debug *d, const uint8_t *bytes, unsigned *len,
			       bool checked, struct riser_debug_peer *from)
{
	unsigned head, all;
	struct udp_hdr u;
	struct ip_hdr h;

	if (!ip_parse(bytes, *len, &h, &head, &all) || h.proto != IP_UDP ||
	    be16(h.frag) & IP_FRAGMENT || be32(h.dst) != d->o.address || !may_talk(d, be32(h.src)))
		return NULL;
	bytes += head;
	if (!udp_parse(&h, bytes, all - head, checked, &u) || be16(u.dst) != d->o.udp_port ||
	    is_copy(d, &h, &u))
		return NULL;
	from->address = be32(h.src);
	from->udp_port = be16(u.src);
	*len = be16(u.len) - (unsigned)sizeof(u);
	return bytes + sizeof(u);
}

/* Copy a packet out of the device's reach. Return: bytes, 0 for what is too long. */
static unsigned copy_frame(struct riser_debug *d, const struct riser_pkt *pkt)
{
	unsigned len = 0;

	for (; pkt; pkt = pkt->next) {
		if (pkt->len > sizeof(d->frame) - len)
			return 0;
		memcpy(d->frame + len, pkt->data, pkt->len);
		len += pkt->len;
	}
	return len;
}

static const uint8_t *input(struct riser_debug *d, const struct riser_pkt *pkt, unsigned *len,
			    struct riser_debug_peer *from)
{
	uint8_t how = pkt->flags & RISER_PKT_HDR ? pkt->hdr.flags : 0;
	struct eth_hdr e;

	*len = copy_frame(d, pkt);
	if (*len < sizeof(e))
		return NULL;
	memcpy(&e, d->frame, sizeof(e));
	if ((memcmp(e.dst, d->mac, ETH_ALEN) && memcmp(e.dst, everybody, ETH_ALEN)) || e.src[0] & 1)
		return NULL;
	memcpy(from->mac, e.src, ETH_ALEN);
	*len -= (unsigned)sizeof(e);
	if (be16(e.type) == ETH_ARP)
		input_arp(d, d->frame + sizeof(e), *len);
	/* A sender on this machine may have left the checksum to a device that is none. */
	return be16(e.type) != ETH_IP ? NULL
				      : input_ip(d, d->frame + sizeof(e), len,
						 how & (RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM |
							RISER_VIRTIO_NET_HDR_F_DATA_VALID),
						 from);
}

int debug_recv(struct riser_debug *d, struct riser_debug_peer *from, void *data, size_t len)
{
	for (unsigned i = 0; i < BUDGET; i++) {
		struct riser_pkt *pkt;
		const uint8_t *bytes;
		uint64_t next;
		unsigned have;
		int n = d->p->ops->rx(d->q, &pkt, 1);

		if (!n && d->o.flags & RISER_DEBUG_PUMP && d->p->ops->pump) {
			d->p->ops->pump(d->q, &next);
			n = d->p->ops->rx(d->q, &pkt, 1);
		}
		if (n != 1)
			return n < 0 ? n : -EAGAIN;
		bytes = input(d, pkt, &have, from);
		pool_put_all(pkt);
		if (!bytes)
			continue;
		have = (unsigned)min_of(have, len);
		memcpy(data, bytes, have);
		return (int)have;
	}
	return -EAGAIN;
}

/* --- One at a time, from anywhere --- */

bool debug_enter(struct riser_debug *d)
{
	/* Pairs with debug_leave(): what the one before did is seen. */
	return !__atomic_exchange_n(&d->busy, 1, __ATOMIC_ACQUIRE);
}

void debug_leave(struct riser_debug *d)
{
	store_release(&d->busy, 0);
}

int riser_debug_send(struct riser_debug *d, const struct riser_debug_peer *to, const void *data,
		     size_t len)
{
	int *error = &errno, before = *error, rc;

	if (!debug_enter(d))
		return -EBUSY;
	rc = debug_send(d, to, data, len);
	debug_leave(d);
	*error = before;
	return rc;
}

int riser_debug_recv(struct riser_debug *d, struct riser_debug_peer *from, void *data, size_t len)
{
	int *error = &errno, before = *error, rc;

	if (!debug_enter(d))
		return -EBUSY;
	rc = debug_recv(d, from, data, len);
	debug_leave(d);
	*error = before;
	return rc;
}
