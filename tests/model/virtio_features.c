/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The real driver on the model: each feature of queues and headers, in each layout. */
#include "virtio_card.h"

/* Packets of all lengths, several in flight, there and back, round the rings a few times. */
static void traffic(const char *uri)
{
	static const uint32_t lens[] = { 60, 14, 1514, 61, 512, 1000, 18, 1513 };
	unsigned sent = 0, came = 0;

	SUB(card_open(uri, NULL));
	CHECK_EQ(virtio_has(card_dev(), RISER_VIRTIO_F_RING_PACKED), !!strstr(uri, "+PACKED"));
	if (!strstr(uri, "legacy"))
		CHECK_EQ(virtio_has(card_dev(), RISER_VIRTIO_F_IN_ORDER),
			 strstr(uri, "+IN_ORDER") || strstr(uri, "+ALL"));
	while (came < 1200) {
		struct riser_pkt *pkts[32];
		unsigned n = 0;
		int rc;

		for (; n < 1 + sent % 7; n++)
			pkts[n] = make(sent + n, lens[(sent + n) % 8]);
		rc = riser_port_tx(card.q, pkts, n);
		CHECK(rc >= 0);
		sent += (unsigned)rc;
		while ((unsigned)rc < n)
			riser_pkt_put(pkts[rc++]);
		pass(NS_PER_US);
		rc = riser_port_rx(card.q, pkts, 32);
		CHECK(rc >= 0);
		for (int i = 0; i < rc; i++, came++) {
			if (!is_whole(pkts[i], came, lens[came % 8]))
				FAIL("%s: packet %u is another", uri, came);
			riser_pkt_put(pkts[i]);
		}
	}
	if (counted().violations)
		FAIL("%s: %s", uri, counted().violation);
	CHECK_EQ(counted().dma_refused, 0);
	CHECK_STR(card.told, "");
	CHECK(counted().tx_packets >= 1200);
	SUB(card_close());
}

TEST(all_layouts_carry_packets)
{
	static const char *const functions[] = { "modern", "transitional", "legacy" };
	static const char *const sets[] = {
		"",
		"-EVENT_IDX",
		"-INDIRECT_DESC",
		"-EVENT_IDX,-INDIRECT_DESC",
		"-MRG_RXBUF",
		"-ANY_LAYOUT,-MRG_RXBUF",
		"-ANY_LAYOUT",
		"+IN_ORDER",
		"+IN_ORDER,-EVENT_IDX,-MRG_RXBUF",
		"+NOTIFICATION_DATA",
		"+HASH_REPORT",
		"+ALL",
		"-ALL,+VERSION_1",
		"-CTRL_VQ,-MAC,-STATUS,-MTU",
	};
	char uri[200];

	for (size_t f = 0; f < array_len(functions); f++)
		for (size_t s = 0; s < array_len(sets); s++)
			for (unsigned packed = 0; packed < 2; packed++) {
				if (packed && f == 2)
					continue;
				snprintf(uri, sizeof(uri),
					 "model:virtio-net?loop=1&size=64&function=%s&features="
					 "%s%s%cPACKED",
					 functions[f], sets[s], *sets[s] ? "," : "",
					 packed ? '+' : '-');
				SUB(traffic(uri));
			}
}

TEST(a_wire_connects_two_cards)
{
	struct riser_port_queue *q;
	struct riser_port *far;
	struct riser_pkt *pkt, *got = NULL;

	SUB(card_open("model:virtio-net?port=wire:a", NULL));
	CHECK_EQ(riser_port_open(card.r, "model:virtio-net?port=wire:a&features=+PACKED", NULL,
				 &far, &err),
		 0);
	CHECK_EQ(riser_port_queue_open(far, 0, card.x, card.pool, &q, &err), 0);
	for (unsigned i = 0; i < 500; i++) {
		pkt = make(i, 60 + i);
		CHECK_EQ(riser_port_tx(i % 2 ? q : card.q, &pkt, 1), 1);
		for (unsigned tries = 0; tries < 100; tries++) {
			pass(NS_PER_US);
			if (riser_port_rx(i % 2 ? card.q : q, &got, 1))
				break;
			riser_port_rx(i % 2 ? q : card.q, &pkt, 1);
		}
		CHECK(got && is_whole(got, i, 60 + i));
		riser_pkt_put(got);
		got = NULL;
	}
	riser_port_queue_close(q);
	riser_port_close(far);
	SUB(card_close());
}

/* A port is a port: the driver of one card is what stands behind the other. */
TEST(a_card_behind_a_card)
{
	int rc;

	SUB(card_open("model:virtio-net?port=[model:virtio-net?loop=1&features=+PACKED]", NULL));
	for (unsigned i = 0; i < 600; i++) {
		struct riser_pkt *pkt = bounce(make(i, 60 + i), &rc);

		CHECK(pkt && is_whole(pkt, i, 60 + i));
		riser_pkt_put(pkt);
	}
	CHECK_EQ(counted().violations, 0);
	SUB(card_close());
}

TEST_MAIN(CASE(a_card_behind_a_card), CASE(all_layouts_carry_packets),
	  CASE(a_wire_connects_two_cards))
