/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The real driver sets the card: what its commands do to packets, and what is refused. */
#include "net/offload.h"
#include "virtio_card.h"

static const uint8_t own[6] = { 0x02, 'r', 'i', 's', 'e', 'r' };
static const uint8_t other[6] = { 0x02, 0, 0, 0, 0, 9 };
static const uint8_t group[6] = { 0x01, 0, 0x5e, 0, 0, 9 };
static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* Does a packet to @mac, on VLAN @vlan or none, come back? */
static bool reaches(const uint8_t *mac, int vlan)
{
	struct riser_pkt *pkt = make(1, 100), *got;
	int rc;

	memcpy(pkt->data, mac, 6);
	if (vlan >= 0)
		memcpy(pkt->data + 12, (uint8_t[]){ 0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan },
		       4);
	got = bounce(pkt, &rc);
	if (got)
		riser_pkt_put(got);
	return got;
}

TEST(filters_let_through_what_was_asked_for)
{
	uint8_t many[70][6];

	SUB(card_open("model:virtio-net?loop=1", NULL));
	CHECK(reaches(other, -1)); /* until anything was said, everything */
	CHECK_EQ(riser_port_set_rx_mode(card.port, 0, &err), 0);
	CHECK(reaches(own, -1) && reaches(all, -1));
	CHECK(!reaches(other, -1) && !reaches(group, -1));
	CHECK_EQ(riser_port_set_filter(card.port, &group, 1, &err), 0);
	CHECK(reaches(group, -1) && !reaches(other, -1));
	CHECK_EQ(riser_port_set_mac(card.port, other, &err), 0);
	CHECK(reaches(other, -1) && !reaches(own, -1));
	/* More than it has room for: then everybody's. */
	for (unsigned i = 0; i < 70; i++)
		memcpy(many[i], (uint8_t[]){ 2, 0, 0, 0, 1, (uint8_t)i }, 6);
	CHECK_EQ(riser_port_set_filter(card.port, many, 70, &err), 0);
	CHECK(reaches(own, -1));
	CHECK_EQ(riser_port_set_rx_mode(card.port, 1 << RISER_VIRTIO_NET_CTRL_RX_NOBCAST, &err), 0);
	CHECK(!reaches(all, -1));
	CHECK_EQ(counted().commands_refused, 0);
	CHECK_EQ(counted().violations, 0);
	SUB(card_close());
}

TEST(vlans_come_one_by_one)
{
	SUB(card_open("model:virtio-net?loop=1", NULL));
	CHECK_EQ(riser_port_set_rx_mode(card.port, 0, &err), 0);
	CHECK(!reaches(own, 7) && reaches(own, -1));
	CHECK_EQ(riser_port_set_vlan(card.port, 7, true, &err), 0);
	CHECK(reaches(own, 7) && !reaches(own, 8) && !reaches(own, 0x107));
	/* It is said again after a reset. */
	CHECK_EQ(riser_port_reset(card.port, &err), 0);
	CHECK(!reaches(own, 8) && reaches(own, 7));
	CHECK_EQ(riser_port_set_vlan(card.port, 7, false, &err), 0);
	CHECK(!reaches(own, 7));
	SUB(card_close());
}

/* A TCP packet of IPv4, with @payload bytes, to be cut into pieces of 1000. */
static struct riser_pkt *tcp(uint32_t payload, uint16_t port)
{
	static const uint8_t ip[20] = { 0x45, 0, 0,  0, 0, 1, 0,  0, 64, 6,
					0,    0, 10, 0, 0, 1, 10, 0, 0,  2 };
	struct riser_pkt *pkt = make(3, 54 + payload);
	uint8_t *p = pkt->data;
	uint32_t sum;

	memcpy(p, own, 6);
	p[12] = 0x08;
	p[13] = 0x00;
	memcpy(p + 14, ip, 20);
	p[16] = (uint8_t)((40 + payload) >> 8);
	p[17] = (uint8_t)(40 + payload);
	p[34] = (uint8_t)(port >> 8);
	p[35] = (uint8_t)port;
	p[46] = 0x50; /* a header of 20 bytes */
	p[47] = 0x10;
	/* The sum of the addresses, the protocol and the length is there already. */
	sum = 0x0a00 + 1 + 0x0a00 + 2 + 6 + 20 + payload;
	sum = (sum & 0xffff) + (sum >> 16);
	p[50] = (uint8_t)(sum >> 8);
	p[51] = (uint8_t)sum;
	pkt->flags = RISER_PKT_HDR;
	pkt->hdr = (struct riser_virtio_net_hdr){
		.flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = to_le16(34),
		.csum_offset = to_le16(16),
	};
	if (payload > 1000) {
		pkt->hdr.gso_type = RISER_VIRTIO_NET_GSO_TCPV4;
		pkt->hdr.gso_size = to_le16(1000);
		pkt->hdr.hdr_len = to_le16(54);
	}
	return pkt;
}

/* Send 5000 bytes of TCP. Return: packets that they come back in, each right; or 0. */
static unsigned pieces(void)
{
	struct riser_pkt *pkt = bounce(tcp(5000, 80), &(int){ 0 });
	unsigned n = 0;
	bool right = pkt;

	for (; pkt; n++) {
		if (!(pkt->flags & RISER_PKT_HDR))
			right &= offload_check(pkt);
		riser_pkt_put(pkt);
		pkt = bounce(NULL, &(int){ 0 });
	}
	return right ? n : 0;
}

TEST(offloads_follow_what_the_driver_can_do)
{
	struct riser_port_opts large = { .size = sizeof(large),
					 .offloads = RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE };

	SUB(card_open("model:virtio-net?loop=1", &large));
	CHECK_EQ(pieces(), 1);
	CHECK_EQ(riser_port_set_offloads(card.port, RISER_PORT_RX_CSUM, &err), 0);
	CHECK_EQ(pieces(), 5);
	CHECK_EQ(riser_port_set_offloads(card.port, 0, &err), 0);
	CHECK_EQ(pieces(), 5);
	CHECK_EQ(riser_port_set_offloads(card.port, large.offloads, &err), 0);
	CHECK_EQ(pieces(), 1);
	CHECK_EQ(counted().violations, 0);
	SUB(card_close());
	/* One that never said it can. */
	SUB(card_open("model:virtio-net?loop=1&features=-GUEST_CSUM", NULL));
	CHECK_EQ(pieces(), 5);
	SUB(card_close());
}

/* Packets of 64 flows on four pairs: how many come on each. */
static void spread(struct riser_port_queue **q, unsigned *count)
{
	struct riser_pkt *pkt, *got[8];

	memset(count, 0, 4 * sizeof(*count));
	for (uint16_t i = 0; i < 64; i++) {
		pkt = tcp(100, i);
		if (riser_port_tx(q[0], &pkt, 1) != 1)
			riser_pkt_put(pkt);
		pass(10 * NS_PER_US);
		for (unsigned k = 0; k < 4; k++) {
			int n = riser_port_rx(q[k], got, 8);

			for (int j = 0; j < n; j++, count[k]++)
				riser_pkt_put(got[j]);
		}
	}
}

TEST(pairs_share_flows)
{
	struct riser_port_opts four = { .size = sizeof(four), .queues = 4 };
	struct riser_port_hash rss = { .size = sizeof(rss),
				       .types = RISER_PORT_HASH_TCP4,
				       .entries = 4 };
	static const uint16_t second[4] = { 1, 1, 1, 1 }, third[4] = { 2, 2, 2, 2 };
	struct riser_port_queue *q[4];
	uint8_t key[40] = { 1, 2, 3 };
	unsigned count[4];

	SUB(card_open("model:virtio-net?loop=1&pairs=4&features=+RSS,+HASH_REPORT", &four));
	q[0] = card.q;
	for (unsigned i = 1; i < 4; i++)
		CHECK_EQ(riser_port_queue_open(card.port, i, card.x, card.pool, &q[i], &err), 0);
	spread(q, count);
	CHECK_EQ(count[0] + count[1] + count[2] + count[3], 64);
	for (unsigned i = 0; i < 4; i++)
		CHECK(count[i] > 4);
	rss.key = key;
	rss.key_len = sizeof(key);
	rss.queues = second;
	CHECK_EQ(riser_port_set_hash(card.port, &rss, &err), 0);
	spread(q, count);
	CHECK_EQ(count[1], 64);
	rss.queues = third;
	rss.types = RISER_PORT_HASH_TCP6; /* none of these */
	rss.unclassified = 3;
	CHECK_EQ(riser_port_set_hash(card.port, &rss, &err), 0);
	spread(q, count);
	CHECK_EQ(count[3], 64);
	CHECK_EQ(counted().commands_refused, 0);
	CHECK_EQ(counted().violations, 0);
	for (unsigned i = 1; i < 4; i++)
		riser_port_queue_close(q[i]);
	SUB(card_close());
}

TEST(link_and_announcement_are_told)
{
	struct riser_port_info info = { .size = sizeof(info) };

	SUB(card_open("model:virtio-net?loop=1", NULL));
	riser_port_get_info(card.port, &info);
	CHECK(info.link && !info.announce);
	model_virtio_net_link(card_pci(), false);
	riser_port_get_info(card.port, &info);
	CHECK(!info.link && !reaches(own, -1));
	model_virtio_net_link(card_pci(), true);
	model_virtio_net_announce(card_pci());
	riser_port_get_info(card.port, &info);
	CHECK(info.link && info.announce && reaches(own, -1));
	CHECK_EQ(riser_port_announced(card.port, &err), 0);
	riser_port_get_info(card.port, &info);
	CHECK(!info.announce);
	SUB(card_close());
}

TEST(what_is_not_negotiated_or_refused_is_told)
{
	SUB(card_open("model:virtio-net?features=-CTRL_VLAN&fault=ack=1,nth=2;ack=7,nth=2", NULL));
	CHECK_EQ(riser_port_set_vlan(card.port, 1, true, &err), -EOPNOTSUPP);
	CHECK_EQ(riser_port_set_mac(card.port, other, &err), 0);
	CHECK_EQ(riser_port_set_mac(card.port, own, &err), -EIO);
	CHECK_HAS(err.text, "refused control command");
	CHECK_EQ(riser_port_set_mac(card.port, own, &err), -EPROTO);
	CHECK_HAS(err.text, "is 0x7");
	SUB(card_close());
}

TEST(a_queue_is_resized_on_its_own)
{
	uint64_t resets;

	SUB(card_open("model:virtio-net?loop=1", NULL));
	resets = counted().resets;
	CHECK_EQ(riser_port_queue_resize(card.q, 32, &err), 0);
	CHECK_EQ(counted().resets, resets);
	CHECK(reaches(own, -1));
	CHECK_EQ(counted().violations, 0);
	SUB(card_close());
}

TEST_MAIN(CASE(filters_let_through_what_was_asked_for), CASE(vlans_come_one_by_one),
	  CASE(offloads_follow_what_the_driver_can_do), CASE(pairs_share_flows),
	  CASE(link_and_announcement_are_told), CASE(what_is_not_negotiated_or_refused_is_told),
	  CASE(a_queue_is_resized_on_its_own))
