/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What moves packets of virtio network cards, against a device that shows what it was given, and
 * that gives back whatever a test likes.
 */
#include "../tap.h"
#include "base/exec.h"
#include "net/port/virtio.h"
#include "virtq_fake.h"

#define BUFFERS 64
#define SIZE    1984 /* a buffer with its headroom is half a page */
#define ENTRIES 16
#define HDR     12

extern const struct port_ops port_virtio;

static struct fake f;
static struct virtio_net n;
static struct virtio_net_pair pair;
static struct vport vp;
static struct riser_exec *x;
static struct riser_pool *pool;
static struct riser_port_queue *q;
static struct riser_err err;
static struct riser_pkt *pkts[64];

/* @walk: the queue that the device walks: 0 receives, 1 transmits. */
static void begin(uint64_t features, unsigned walk)
{
	struct virtio_net_queues queues = { NULL };

	CHECK_EQ(fake_new(&f, V1 | RESET | features, ENTRIES), 0);
	CHECK_EQ(riser_exec_new(f.dev.r, &x, &err), 0);
	CHECK_EQ(riser_pool_new(f.dev.r, NULL, BUFFERS, SIZE, &pool, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		/* The one that is walked is made last. */
		struct virtq **to = i == !walk ? &queues.rx : &queues.tx;
		CHECK_EQ(virtq_new(&f.dev, to == &queues.tx, ENTRIES, -1, to, &err), 0);
	}
	pair = (struct virtio_net_pair){ .now = queues, .size = ENTRIES, .event_fd = -1 };
	n = (struct virtio_net){ .d = &f.dev,
				 .hdr_len = HDR,
				 .mrg = virtio_has(&f.dev, RISER_VIRTIO_NET_F_MRG_RXBUF),
				 .npairs = 1,
				 .max_pairs = 1,
				 .spread = 1,
				 .config_fd = -1,
				 .pairs = &pair };
	list_init(&n.saved);
	pthread_mutex_init(&n.lock, NULL);
	vp = (struct vport){ .port = { .ops = &port_virtio, .r = f.dev.r }, .n = &n };
	CHECK_EQ(vport_queue_open(&vp.port, 0, x, pool, &q, &err), 0);
	q->port = &vp.port;
	q->x = x;
}

static void end(void)
{
	vport_queue_close(q);
	CHECK_EQ(pool->nfree, BUFFERS);
	virtq_free(pair.now.rx);
	virtq_free(pair.now.tx);
	riser_pool_free(pool);
	riser_exec_free(x);
	fake_free(&f);
}

static int rx(unsigned most)
{
	return port_virtio.rx(q, pkts, most);
}

/* The device puts @len bytes with this header into its next buffer, and uses it. */
static void give(struct riser_virtio_net_hdr h, uint32_t len)
{
	struct fake_chain c;

	CHECK(fake_pop(&f, &c));
	CHECK_EQ(c.nin, 1);
	CHECK_EQ(c.nout, 0);
	CHECK_EQ(c.room, SIZE + HDR);
	memset(fake_va(c.sg[0].iova), 0x5a, len);
	memcpy(fake_va(c.sg[0].iova), &h, min_of((size_t)len, sizeof(h)));
	fake_push(&f, c.id, len, c.descs, 1);
}

static struct riser_virtio_net_hdr buffers(uint16_t count)
{
	return (struct riser_virtio_net_hdr){ .num_buffers = to_le16(count) };
}

static void give_back(int count)
{
	for (int i = 0; i < count; i++)
		riser_pkt_put(pkts[i]);
}

#define MRG VIRTIO_BIT(RISER_VIRTIO_NET_F_MRG_RXBUF)

/* However many come and in whatever bursts, the device never runs out of buffers. */
TEST(refills)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		SUB(begin(kind ? MRG | PACKED : MRG, 0));
		for (unsigned i = 0; i < 500; i++) {
			unsigned burst = 1 + i % 7;
			int got;

			for (unsigned b = 0; b < burst; b++)
				SUB(give(buffers(1), HDR + 60 + b));
			got = rx(32);
			CHECK_EQ(got, burst);
			for (unsigned b = 0; b < burst; b++) {
				CHECK_EQ(pkts[b]->len, 60 + b);
				CHECK_EQ(pkts[b]->total, 60 + b);
				CHECK_EQ(pkts[b]->flags, 0);
				CHECK_EQ(pkts[b]->data[0], 0x5a);
			}
			give_back(got);
		}
		CHECK_EQ(q->stats.rx_packets, 71 * 28 + 1 + 2 + 3);
		SUB(end());
	}
}

/* When all buffers are lent, the device gets more as soon as some come back. */
TEST(dry_pool)
{
	struct riser_pkt *held[BUFFERS];
	unsigned count = 0;

	SUB(begin(MRG, 0));
	while ((held[count] = riser_pkt_get(pool)))
		count++;
	for (unsigned i = 0; i < ENTRIES; i++)
		SUB(give(buffers(1), HDR + 60));
	CHECK_EQ(rx(32), ENTRIES);
	CHECK_EQ(container_of(q, struct vqueue, q)->posted, 0);
	CHECK(!fake_pop(&f, &(struct fake_chain){ 0 }));
	give_back(ENTRIES);
	CHECK_EQ(rx(32), 0);
	CHECK_EQ(container_of(q, struct vqueue, q)->posted, ENTRIES);
	SUB(give(buffers(1), HDR + 60));
	CHECK_EQ(rx(32), 1);
	give_back(1);
	while (count)
		riser_pkt_put(held[--count]);
	SUB(end());
}

TEST(several_buffers)
{
	struct riser_pkt *pkt;

	SUB(begin(MRG, 0));
	SUB(give(buffers(3), HDR + SIZE));
	SUB(give(buffers(77), HDR + SIZE)); /* no header here: the device's bytes */
	CHECK_EQ(rx(32), 0);                /* the rest is still to come */
	SUB(give(buffers(0), 100));
	SUB(give(buffers(1), HDR + 64));
	CHECK_EQ(rx(32), 2);
	pkt = pkts[0];
	CHECK_EQ(pkt->total, SIZE + SIZE + HDR + 100);
	CHECK_EQ(pkt->len, SIZE);
	CHECK_EQ(pkt->next->len, SIZE + HDR);
	CHECK_EQ(pkt->next->data[10], 77); /* what would be a header is data */
	CHECK_EQ(pkt->next->next->len, 100);
	CHECK(!pkt->next->next->next);
	CHECK_EQ(pkts[1]->total, 64);
	give_back(2);
	SUB(end());
}

/* What is no packet is dropped and counted, and its buffers come back. */
TEST(nonsense_is_dropped)
{
	struct riser_virtio_net_hdr h = buffers(1);

	SUB(begin(MRG, 0));
	SUB(give(buffers(1), 5));
	SUB(give(buffers(1), HDR));
	SUB(give(buffers(1), HDR + 13));
	SUB(give(buffers(2), HDR + 100)); /* the second is empty */
	SUB(give(buffers(1), 0));
	/* Not agreed on: a checksum to be made matters, one that was checked does not. */
	h.flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM;
	SUB(give(h, HDR + 60));
	h.flags = 0;
	h.gso_type = RISER_VIRTIO_NET_GSO_TCPV4;
	SUB(give(h, HDR + 60));
	h.gso_type = 0;
	h.flags = RISER_VIRTIO_NET_HDR_F_DATA_VALID;
	SUB(give(h, HDR + 60));
	CHECK_EQ(rx(32), 1);
	CHECK_EQ(pkts[0]->flags, 0);
	give_back(1);
	CHECK_EQ(q->stats.rx_errors, 6);
	CHECK_EQ(q->stats.rx_packets, 1);
	CHECK(!f.dev.broken);
	SUB(end());
}

/* Numbers of buffers that cannot be break the device, which says so. */
TEST(wrong_numbers_break_it)
{
	static const struct {
		uint16_t buffers;
		const char *says;
	} wrong[] = { { 0, "no buffer" },
		      { ENTRIES + 1, "more buffers" },
		      { 0xffff, "more buffers" } };

	for (size_t i = 0; i < array_len(wrong); i++) {
		SUB(begin(MRG, 0));
		SUB(give(buffers(wrong[i].buffers), HDR + 100));
		CHECK_EQ(rx(32), -ENODEV);
		CHECK_HAS(f.dev.broken, wrong[i].says);
		CHECK_EQ(rx(32), -ENODEV);
		CHECK_EQ(port_virtio.tx(q, pkts, 0), -ENODEV);
		SUB(end());
	}
}

/* A packet that is larger than any can be takes its buffers, and is dropped. */
TEST(too_large)
{
	unsigned parts = 65535 / SIZE + 2;

	SUB(begin(MRG, 0));
	/* Of as many buffers as there are, none is too large: a bigger pool would be. */
	CHECK(parts > ENTRIES);
	SUB(give(buffers(ENTRIES), HDR + SIZE));
	for (unsigned i = 1; i < ENTRIES; i++)
		SUB(give(buffers(1), HDR + SIZE));
	CHECK_EQ(rx(32), 1);
	CHECK_EQ(pkts[0]->total, SIZE + (ENTRIES - 1) * (SIZE + HDR));
	give_back(1);
	SUB(end());
}

static struct riser_pkt *packet(uint32_t len)
{
	struct riser_pkt *pkt = riser_pkt_get(pool);

	pkt->len = pkt->total = len;
	memset(pkt->data, 0x33, len);
	memset(pkt->data - 20, 0xee, 20); /* what was there before */
	return pkt;
}

/* One descriptor a packet, the header in front of it, all zeroes. */
TEST(header_in_the_headroom)
{
	static const unsigned lens[] = { 10, 12, 20 };
	static const uint8_t zeroes[20];

	for (size_t i = 0; i < array_len(lens); i++) {
		struct fake_chain c;

		SUB(begin(0, 1));
		container_of(q, struct vqueue, q)->hdr_len = lens[i];
		pkts[0] = packet(60);
		f.notified = 0;
		CHECK_EQ(port_virtio.tx(q, pkts, 1), 1);
		CHECK(fake_pop(&f, &c));
		CHECK_EQ(c.nout, 1);
		CHECK_EQ(c.nin, 0);
		CHECK_EQ(c.sg[0].len, lens[i] + 60);
		CHECK(!memcmp(fake_va(c.sg[0].iova), zeroes, lens[i]));
		CHECK_EQ(((uint8_t *)fake_va(c.sg[0].iova))[lens[i]], 0x33);
		CHECK_EQ(f.notified, 1);
		SUB(end());
	}
}

/* Without ANY_LAYOUT the header has a descriptor of its own. */
TEST(header_apart)
{
	struct fake_chain c;

	SUB(begin(0, 1));
	n.header_apart = true;
	pkts[0] = packet(60);
	CHECK_EQ(port_virtio.tx(q, pkts, 1), 1);
	CHECK(fake_pop(&f, &c));
	/* They lie one behind the other, and are two all the same. */
	CHECK_EQ(c.nout, 2);
	CHECK_EQ(c.sg[0].len, HDR);
	CHECK_EQ(c.sg[1].len, 60);
	CHECK_EQ(c.sg[0].iova + HDR, c.sg[1].iova);
	SUB(end());
}

static uint16_t hdr_len_of(struct riser_pkt *pkt)
{
	struct riser_virtio_net_hdr h;
	struct fake_chain c;

	if (port_virtio.tx(q, &pkt, 1) != 1 || !fake_pop(&f, &c))
		return 0xffff;
	memcpy(&h, fake_va(c.sg[0].iova), sizeof(h));
	fake_push(&f, c.id, 0, c.descs, 1);
	return le16(h.hdr_len);
}

static struct riser_pkt *offload(uint8_t gso, uint16_t start, unsigned words)
{
	struct riser_pkt *pkt = packet(1900);

	pkt->flags = RISER_PKT_HDR;
	pkt->hdr = (struct riser_virtio_net_hdr){ .flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
						  .gso_type = gso,
						  .hdr_len = to_le16(1),
						  .gso_size = to_le16(1000),
						  .csum_start = to_le16(start),
						  .csum_offset = to_le16(16) };
	pkt->data[start + 12] = (uint8_t)(words << 4);
	return pkt;
}

/* It is what the packet's own headers say, whatever the caller thought. */
TEST(header_length)
{
	SUB(begin(0, 1));
	for (unsigned words = 5; words <= 15; words++)
		for (uint16_t start = 34; start < 100; start = (uint16_t)(start + 20)) {
			CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_TCPV4, start, words)),
				 start + 4 * words);
			CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_TCPV6 |
							    RISER_VIRTIO_NET_GSO_ECN,
						    start, words)),
				 start + 4 * words);
			CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_UDP_L4, start, words)),
				 start + 8);
			CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_NONE, start, words)), 0);
		}
	CHECK_EQ(q->stats.tx_errors, 0);
	/* None of these goes out. */
	CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_TCPV4, 34, 4)), 0xffff);
	CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_TCPV4, 1888, 5)), 0xffff);
	CHECK_EQ(hdr_len_of(offload(RISER_VIRTIO_NET_GSO_NONE, 1883, 5)), 0xffff);
	CHECK_EQ(q->stats.tx_errors, 3);
	SUB(end());
}

/* What was sent comes back, also when nobody sends any more. */
TEST(reclaims)
{
	uint64_t next = 0;
	struct fake_chain c;

	SUB(begin(0, 1));
	for (unsigned i = 0; i < ENTRIES; i++)
		pkts[i] = packet(60);
	pkts[ENTRIES] = packet(60);
	CHECK_EQ(port_virtio.tx(q, pkts, ENTRIES + 1), ENTRIES);
	CHECK_EQ(port_virtio.tx(q, pkts + ENTRIES, 1), 0);
	CHECK(fake_pop(&f, &c));
	fake_push(&f, c.id, 0, c.descs, 1);
	CHECK_EQ(port_virtio.tx(q, pkts + ENTRIES, 1), 1);
	while (fake_pop(&f, &c))
		fake_push(&f, c.id, 0, c.descs, 1);
	f.t.status_get = NULL;
	container_of(q, struct vqueue, q)->look_at = TIME_NEVER;
	CHECK_EQ(port_virtio.pump(q, &next), 0);
	CHECK_EQ(pool->nfree, BUFFERS - ENTRIES); /* those to receive */
	SUB(end());
}

TEST_MAIN(CASE(refills), CASE(dry_pool), CASE(several_buffers), CASE(nonsense_is_dropped),
	  CASE(wrong_numbers_break_it), CASE(too_large), CASE(header_in_the_headroom),
	  CASE(header_apart), CASE(header_length), CASE(reclaims))
