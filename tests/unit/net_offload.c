/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Checksums and segments in software, through a port that has no offloads, byte by byte against
 * what this test computes by itself.
 */
#include "../tap.h"
#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <riser/net.h>

#define BYTES_MAX 66000
#define ALL_RX    (RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE)

static struct riser_err err;

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p[2];
	struct riser_port_queue *q[2];
};

static void rig_open(struct rig *g, const char *uri, uint32_t offloads)
{
	struct riser_port_opts o = { .size = sizeof(o), .offloads = offloads };

	CHECK_EQ(riser_new(NULL, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, NULL, 400, 2048, &g->pool, &err), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(riser_port_open(g->r, uri, &o, &g->p[i], &err), 0);
		CHECK_EQ(riser_port_queue_open(g->p[i], 0, g->x, g->pool, &g->q[i], &err), 0);
	}
}

static void rig_close(struct rig *g)
{
	for (int i = 0; i < 2; i++) {
		riser_port_queue_close(g->q[i]);
		riser_port_close(g->p[i]);
	}
	CHECK_EQ(g->pool->nfree, g->pool->count);
	riser_pool_free(g->pool);
	riser_exec_free(g->x);
	riser_free(g->r);
}

/* A kind of packet, and the packet. */
struct shape {
	bool v6, udp, ext;
	unsigned tags, ip_options, tcp_options;
};

struct built {
	unsigned l3, l4, data, len;
	uint8_t bytes[BYTES_MAX];
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t add16(uint32_t sum, const uint8_t *p, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* Finish lengths and checksums of a whole packet; @partial: of the pseudo header alone. */
static void finish(struct built *b, const struct shape *s, bool partial)
{
	uint8_t *ip = b->bytes + b->l3, *l4 = b->bytes + b->l4, *csum = l4 + (s->udp ? 6 : 16);
	unsigned len = b->len - b->l4;
	uint32_t sum;

	if (s->v6) {
		put16(ip + 4, b->len - b->l3 - 40);
	} else {
		put16(ip + 2, b->len - b->l3);
		put16(ip + 10, 0);
		put16(ip + 10, ~add16(0, ip, b->l4 - b->l3) & 0xffff);
	}
	if (s->udp)
		put16(l4 + 4, len);
	put16(csum, 0);
	sum = add16(0, s->v6 ? ip + 8 : ip + 12, s->v6 ? 32 : 8) + (s->udp ? 17u : 6u) + len;
	sum = (sum & 0xffff) + (sum >> 16);
	if (!partial)
		sum = ~add16(sum, l4, len) & 0xffff;
	put16(csum, sum || partial ? sum : 0xffff);
}

static void build(struct built *b, const struct shape *s, unsigned payload)
{
	uint8_t *p = b->bytes;

	memset(p, 0, 256);
	memcpy(p, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
	for (unsigned i = 0; i < s->tags; i++)
		put32(p + 12 + 4 * i, 0x81000007);
	b->l3 = 14 + 4 * s->tags;
	put16(p + b->l3 - 2, s->v6 ? 0x86dd : 0x0800);
	p += b->l3;
	if (s->v6) {
		b->l4 = b->l3 + 40 + (s->ext ? 16 : 0);
		put32(p, 0x60012345);
		p[6] = s->udp ? 17 : 6;
		p[7] = 64;
		for (unsigned i = 8; i < 40; i++)
			p[i] = (uint8_t)(0xf0 + i * 3);
		if (s->ext) {
			p[40] = p[6];
			p[6] = 60;
			p[41] = 1;
		}
	} else {
		b->l4 = b->l3 + 20 + s->ip_options;
		p[0] = (uint8_t)(0x45 + s->ip_options / 4);
		put16(p + 4, 0xfffe); /* the identification will wrap */
		p[8] = 64;
		p[9] = s->udp ? 17 : 6;
		put32(p + 12, 0x0a000001);
		put32(p + 16, 0xc0a8fffe);
	}
	p = b->bytes + b->l4;
	put16(p, 5001);
	put16(p + 2, 80);
	if (!s->udp) {
		put32(p + 4, 0xffffff00); /* and so will the sequence */
		put32(p + 8, 0x12345678);
		p[12] = (uint8_t)((5 + s->tcp_options / 4) << 4);
		p[13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR, ACK, PSH, FIN */
		put16(p + 14, 512);
	}
	b->data = b->l4 + (s->udp ? 8 : 20 + s->tcp_options);
	b->len = b->data + payload;
	for (unsigned i = 0; i < payload; i++)
		b->bytes[b->data + i] = (uint8_t)(i * 7 + i / 251);
	finish(b, s, true);
}

/* Put it into a packet in segments of @piece bytes, with what is to be done. */
static struct riser_pkt *packet(struct rig *g, const struct built *b, const struct shape *s,
				unsigned piece, unsigned gso)
{
	struct riser_pkt *first = NULL, **link = &first;

	for (unsigned at = 0; at < b->len; at += piece) {
		struct riser_pkt *pkt = riser_pkt_get(g->pool);

		if (!pkt)
			return NULL;
		pkt->len = b->len - at < piece ? b->len - at : piece;
		memcpy(pkt->data, b->bytes + at, pkt->len);
		*link = pkt;
		link = &pkt->next;
	}
	first->total = b->len;
	first->flags = RISER_PKT_HDR;
	first->hdr = (struct riser_virtio_net_hdr){
		.flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = to_le16((uint16_t)b->l4),
		.csum_offset = to_le16(s->udp ? 6 : 16),
		.hdr_len = to_le16(7), /* a guess, and a wrong one */
		.gso_size = to_le16((uint16_t)gso),
	};
	if (gso)
		first->hdr.gso_type = s->udp  ? RISER_VIRTIO_NET_GSO_UDP_L4
				      : s->v6 ? RISER_VIRTIO_NET_GSO_TCPV6
					      : RISER_VIRTIO_NET_GSO_TCPV4;
	return first;
}

/* The segment @i of @b that is expected. */
static void expect(struct built *e, const struct built *b, const struct shape *s, unsigned gso,
		   unsigned i)
{
	unsigned done = gso * i, left = b->len - b->data - done;
	bool last = left <= gso;

	e->l3 = b->l3;
	e->l4 = b->l4;
	e->data = b->data;
	e->len = b->data + (last ? left : gso);
	memcpy(e->bytes, b->bytes, b->data);
	memcpy(e->bytes + e->data, b->bytes + b->data + done, e->len - e->data);
	if (!s->v6)
		put16(e->bytes + e->l3 + 4, (0xfffe + i) & 0xffff);
	if (!s->udp) {
		put32(e->bytes + e->l4 + 4, 0xffffff00 + done);
		e->bytes[e->l4 + 13] = (uint8_t)(0x10 | (i ? 0 : 0x80) | (last ? 0x09 : 0));
	}
	finish(e, s, false);
}

static bool same(const struct riser_pkt *pkt, const struct built *e)
{
	return !pkt->next && pkt->len == e->len && !(pkt->flags & RISER_PKT_HDR) &&
	       !memcmp(pkt->data, e->bytes, e->len);
}

static const struct shape shapes[] = {
	{ 0 },
	{ .ip_options = 12, .tcp_options = 12 },
	{ .tags = 1, .tcp_options = 20 },
	{ .v6 = true },
	{ .v6 = true, .ext = true, .tags = 2, .tcp_options = 4 },
	{ .udp = true },
	{ .udp = true, .v6 = true, .ext = true },
};

TEST(cuts_into_segments)
{
	static struct built b, e;
	struct rig g;

	SUB(rig_open(&g, "wire:o", 0));
	for (size_t s = 0; s < array_len(shapes); s++) {
		for (unsigned size = 1000; size < 60000; size = size * 3 + 1) {
			unsigned gso = s & 1 ? 1000 : 1399;
			struct riser_pkt *pkt, *got;

			build(&b, &shapes[s], size);
			pkt = packet(&g, &b, &shapes[s], s & 2 ? 777 : 2048, gso);
			CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
			for (unsigned i = 0; i * gso < size; i++) {
				expect(&e, &b, &shapes[s], gso, i);
				CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 1);
				CHECK(same(got, &e));
				riser_pkt_put(got);
			}
			CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 0);
		}
	}
	SUB(rig_close(&g));
}

TEST(completes_checksums)
{
	static struct built b, e;
	struct rig g;

	SUB(rig_open(&g, "wire:o", 0));
	for (size_t s = 0; s < array_len(shapes); s++) {
		for (unsigned size = 0; size < 1300; size += 97) {
			struct riser_pkt *pkt, *got;

			build(&b, &shapes[s], size);
			e = b;
			finish(&e, &shapes[s], false);
			/* Pieces of odd lengths, so that a word and the field itself are cut. */
			pkt = packet(&g, &b, &shapes[s], s & 1 ? 51 : 2048, 0);
			CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
			CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 1);
			got->flags &= ~RISER_PKT_HDR;
			CHECK(same(got, &e));
			riser_pkt_put(got);
		}
	}
	SUB(rig_close(&g));
}

TEST(a_packet_of_many_segments_waits_for_room)
{
	static struct built b, e;
	struct riser_pkt *pkts[2], *got;
	unsigned i = 0;
	struct rig g;

	SUB(rig_open(&g, "wire:o", 0));
	build(&b, &shapes[0], 60000);
	pkts[0] = packet(&g, &b, &shapes[0], 2048, 28);
	pkts[1] = riser_pkt_get(g.pool);
	pkts[1]->len = pkts[1]->total = 60;
	/* 2143 of them: more than are cut at a time, or than there are buffers for. */
	CHECK_EQ(riser_port_tx(g.q[0], pkts, 2), 2);
	while (riser_port_rx(g.q[1], &got, 1) == 1 && i * 28 < 60000) {
		expect(&e, &b, &shapes[0], 28, i++);
		CHECK(same(got, &e));
		riser_pkt_put(got);
	}
	CHECK_EQ(i, 2143);
	CHECK_EQ(got->len, 60); /* not before */
	riser_pkt_put(got);
	/* Closed in the midst of it. */
	for (int n = 0; n < 12; n++) {
		pkts[0] = packet(&g, &b, &shapes[0], 2048, 28);
		if (riser_port_tx(g.q[0], pkts, 1) == 1)
			continue;
		riser_pkt_put(pkts[0]);
		break;
	}
	CHECK(g.q[0]->full && g.q[0]->soft->cut.pkt);
	SUB(rig_close(&g));
}

/* What is wrong with a packet, by number. Return: false: nothing any more. */
static bool spoil(unsigned way, struct built *b, struct riser_pkt *pkt)
{
	uint8_t *p = pkt->data;

	switch (way) {
	case 0:
		p[b->l3] = 0x44; /* a header shorter than any */
		return true;
	case 1:
		p[b->l3 + 9] = 17; /* UDP */
		return true;
	case 2:
		p[b->l4 + 12] = 0x40;
		return true;
	case 3:
		p[b->l3 + 6] = 0x20; /* a fragment */
		return true;
	case 4:
		put16(p + 12, 0x8100); /* a tag, and nothing known behind it */
		return true;
	case 5:
		pkt->hdr.gso_type = RISER_VIRTIO_NET_GSO_TCPV6;
		return true;
	case 6:
		pkt->hdr.gso_type = 77;
		return true;
	case 7:
		pkt->hdr.gso_size = to_le16(27);
		return true;
	case 8:
		pkt->hdr.gso_size = to_le16(1800); /* more than the MTU */
		return true;
	case 9:
		pkt->hdr.csum_start = to_le16(3100);
		return true;
	case 10:
		pkt->hdr.flags = 0; /* large, and its checksum is not asked for */
		return true;
	case 11:
		pkt->hdr.gso_type = RISER_VIRTIO_NET_GSO_UDP; /* fragments: nobody does them */
		return true;
	}
	return false;
}

TEST(refuses_what_the_headers_do_not_bear_out)
{
	static struct built b;
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_pkt *pkt;
	unsigned way = 0;
	struct rig g;

	SUB(rig_open(&g, "wire:o", 0));
	build(&b, &shapes[0], 3000);
	for (;; way++) {
		bool spoilt;

		pkt = packet(&g, &b, &shapes[0], 2048, 1000);
		spoilt = spoil(way, &b, pkt);
		CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
		if (!spoilt)
			break;
		riser_port_get_stats(g.p[0], &st);
		CHECK_EQ(st.tx_packets, 0);
		CHECK_EQ(st.tx_errors, way + 1);
	}
	riser_port_get_stats(g.p[0], &st);
	CHECK_EQ(way, 12);
	CHECK_EQ(st.tx_packets, 3);
	SUB(rig_close(&g));
}

TEST(receivers_get_what_they_asked_for)
{
	static struct built b, e;
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_pkt *pkt, *got;
	struct rig g;

	/* The wire passes it on, and who receives cannot deal with it. */
	SUB(rig_open(&g, "wire:o?offloads=1", 0));
	build(&b, &shapes[3], 901);
	e = b;
	finish(&e, &shapes[3], false);
	pkt = packet(&g, &b, &shapes[3], 2048, 0);
	CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
	CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 1);
	CHECK(same(got, &e));
	riser_pkt_put(got);
	pkt = packet(&g, &b, &shapes[3], 2048, 300);
	CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
	CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 0);
	riser_port_get_stats(g.p[1], &st);
	CHECK_EQ(st.rx_errors, 1);
	SUB(rig_close(&g));
	/* Who can gets it as it is, if it lies in the packet. */
	SUB(rig_open(&g, "wire:o?offloads=1", ALL_RX));
	build(&b, &shapes[3], 20000);
	pkt = packet(&g, &b, &shapes[3], 2048, 300);
	CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
	CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 1);
	CHECK_EQ(got->total, b.len);
	CHECK(got->next && got->flags & RISER_PKT_HDR);
	CHECK_EQ(le16(got->hdr.gso_size), 300);
	riser_pkt_put(got);
	SUB(rig_close(&g));
	/* What the wire does not say about a whole packet, software finds out. */
	SUB(rig_open(&g, "wire:o", ALL_RX));
	for (int bad = 0; bad < 2; bad++) {
		build(&b, &shapes[2], 333);
		finish(&b, &shapes[2], false);
		b.bytes[b.len - 1] ^= (uint8_t)bad;
		pkt = packet(&g, &b, &shapes[2], 2048, 0);
		pkt->flags = 0;
		CHECK_EQ(riser_port_tx(g.q[0], &pkt, 1), 1);
		CHECK_EQ(riser_port_rx(g.q[1], &got, 1), 1);
		CHECK_EQ(!!(got->flags & RISER_PKT_HDR), !bad);
		CHECK(bad || got->hdr.flags == RISER_VIRTIO_NET_HDR_F_DATA_VALID);
		riser_pkt_put(got);
	}
	SUB(rig_close(&g));
}

TEST_MAIN(CASE(cuts_into_segments), CASE(completes_checksums),
	  CASE(a_packet_of_many_segments_waits_for_room),
	  CASE(refuses_what_the_headers_do_not_bear_out), CASE(receivers_get_what_they_asked_for))
