/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The card in a thread of its own, beside a driver that polls, or sleeps until it is interrupted:
 * no announcement and no interrupt may be lost on the way.
 */
#include "virtio_card.h"

#define PACKETS 1000u
#define LEN     200u

static unsigned sent, came;
static bool wrong;

/* As many as there is room for; and what came is looked at. */
static void move(void *ctx)
{
	struct riser_pkt *pkts[16];
	unsigned n = 0;
	int rc;

	(void)ctx;
	rc = riser_port_rx(card.q, pkts, 16);
	wrong |= rc < 0;
	for (int i = 0; i < rc; i++, came++) {
		wrong |= !is_whole(pkts[i], came, LEN);
		riser_pkt_put(pkts[i]);
	}
	/* Few at a time, so that both sides run dry again and again. */
	while (n < 4 && sent + n < PACKETS && sent + n - came < 4)
		n++;
	for (unsigned i = 0; i < n; i++)
		pkts[i] = make(sent + i, LEN);
	rc = n ? riser_port_tx(card.q, pkts, n) : 0;
	wrong |= rc < 0;
	for (unsigned i = (unsigned)max_of(rc, 0); i < n; i++)
		riser_pkt_put(pkts[i]);
	sent += (unsigned)max_of(rc, 0);
}

static void carry(const char *features, bool sleeps)
{
	struct riser_opts opts = { .size = sizeof(opts) };
	char uri[160];

	snprintf(uri, sizeof(uri), "model:virtio-net?loop=1&mode=thread&size=16&features=%s",
		 features);
	card = (struct card){ 0 };
	sent = came = 0;
	wrong = false;
	CHECK_EQ(riser_new(&opts, &card.r, &err), 0);
	CHECK_EQ(riser_port_open(card.r, uri, NULL, &card.port, &err), 0);
	CHECK_EQ(riser_exec_new(card.r, &card.x, &err), 0);
	CHECK_EQ(riser_pool_new(card.r, card.port, 256, 2048, &card.pool, &err), 0);
	CHECK_EQ(riser_port_queue_open(card.port, 0, card.x, card.pool, &card.q, &err), 0);
	if (sleeps)
		riser_port_watch(card.q, move, NULL);
	while (came < PACKETS && !wrong) {
		if (sleeps)
			wrong |= !riser_exec_wait(card.x, 20 * NS_PER_S); /* nobody told us */
		else
			move(NULL);
	}
	if (sleeps)
		riser_port_watch(card.q, NULL, NULL);
	CHECK(!wrong);
	CHECK_EQ(counted().rx_packets, PACKETS);
	if (counted().violations)
		FAIL("%s: %s", features, counted().violation);
	SUB(card_close());
}

static const char *const sets[] = { "-EVENT_IDX", "+EVENT_IDX",        "+PACKED,-EVENT_IDX",
				    "+PACKED",    "+PACKED,+IN_ORDER", "+NOTIFICATION_DATA" };

TEST(a_driver_that_polls)
{
	for (size_t i = 0; i < array_len(sets); i++)
		SUB(carry(sets[i], false));
}

TEST(a_driver_that_sleeps)
{
	for (size_t i = 0; i < array_len(sets); i++)
		SUB(carry(sets[i], true));
}

TEST_MAIN(CASE(a_driver_that_polls), CASE(a_driver_that_sleeps))
