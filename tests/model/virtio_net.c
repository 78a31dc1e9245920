/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The virtio network driver on cards whose other end is a datagram socket of the test's: what goes
 * in comes out, byte for byte. On riser's model, and with RISER_TEST_CARDS=qemu on QEMU's.
 */
#include "../interop/qemu.h"
#include "base/riser.h"
#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include "virtio/net.h"
#include <errno.h>
#include <poll.h>
#include <riser/net.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BUFFERS  512
#define SIZE     2048
#define BURST    32u
#define PATIENCE 20000 /* ms */

struct card {
	const char *name;
	const char *device; /* as the model's keys, or as QEMU's text */
	uint64_t has, lacks;
	unsigned hdr_len;
};

#define ANY(f) VIRTIO_BIT(RISER_VIRTIO_F_##f)
#define NET(f) VIRTIO_BIT(RISER_VIRTIO_NET_F_##f)

static const struct card model_cards[] = {
	{ "modern split", "function=modern", ANY(VERSION_1), ANY(RING_PACKED), 12 },
	{ "modern packed", "function=modern&features=%2BPACKED", ANY(RING_PACKED), 0, 12 },
	{ "in order", "function=modern&features=%2BIN_ORDER", ANY(IN_ORDER), 0, 12 },
	{ "packed in order", "function=modern&features=%2BIN_ORDER,%2BPACKED", ANY(IN_ORDER), 0,
	  12 },
	{ "notification data", "function=modern&features=%2BNOTIFICATION_DATA",
	  ANY(NOTIFICATION_DATA), 0, 12 },
	{ "transitional", "function=transitional", ANY(VERSION_1), 0, 12 },
	{ "transitional, driven as legacy", "function=transitional&transport=legacy",
	  NET(MRG_RXBUF), ANY(VERSION_1), 12 },
	{ "legacy", "function=legacy", NET(MRG_RXBUF), ANY(VERSION_1), 12 },
	{ "legacy without mergeable buffers", "function=legacy&features=-MRG_RXBUF",
	  ANY(ANY_LAYOUT), NET(MRG_RXBUF), 10 },
	{ "legacy with a header apart", "function=legacy&features=-MRG_RXBUF,-ANY_LAYOUT", 0,
	  NET(MRG_RXBUF) | ANY(ANY_LAYOUT), 10 },
	{ "legacy, mergeable, header apart", "function=legacy&features=-ANY_LAYOUT", NET(MRG_RXBUF),
	  ANY(ANY_LAYOUT), 12 },
	{ "no events", "function=modern&features=-EVENT_IDX,-INDIRECT_DESC", ANY(VERSION_1),
	  ANY(EVENT_IDX), 12 },
	{ NULL, NULL, 0, 0, 0 },
};

static const struct card qemu_cards[] = {
	{ "modern split", "virtio-net-pci-non-transitional", ANY(VERSION_1), ANY(RING_PACKED), 12 },
	{ "modern packed", "virtio-net-pci-non-transitional,packed=on", ANY(RING_PACKED), 0, 12 },
	{ "transitional split", "virtio-net-pci", ANY(VERSION_1), ANY(RING_PACKED), 12 },
	{ "transitional packed", "virtio-net-pci,packed=on", ANY(RING_PACKED), 0, 12 },
	{ "legacy", "virtio-net-pci,disable-modern=on", NET(MRG_RXBUF), ANY(VERSION_1), 12 },
	{ "legacy without mergeable buffers", "virtio-net-pci,disable-modern=on,mrg_rxbuf=off",
	  ANY(ANY_LAYOUT), NET(MRG_RXBUF), 10 },
	{ "legacy with a header apart",
	  "virtio-net-pci,disable-modern=on,mrg_rxbuf=off,any_layout=off", 0,
	  NET(MRG_RXBUF) | ANY(ANY_LAYOUT), 10 },
	{ NULL, NULL, 0, 0, 0 },
};

static struct riser *r;
static struct riser_exec *x;
static struct riser_err err;
static struct riser_port *port;
static struct riser_port_queue *q;
static struct riser_pool *pool;
static int sock = -1; /* the card's other end */
static char dir[64], here[80], there[80];

static bool on_qemu(void)
{
	const char *cards = getenv("RISER_TEST_CARDS");

	return cards && !strcmp(cards, "qemu");
}

static const struct card *cards(void)
{
	return on_qemu() ? qemu_cards : model_cards;
}

static void make_socket(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int size = 4 << 20;

	strcpy(dir, "/tmp/riser-vnet-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(here, sizeof(here), "%s/here", dir);
	snprintf(there, sizeof(there), "%s/there", dir);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(sock >= 0);
	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	strcpy(at.sun_path, here);
	CHECK_EQ(bind(sock, (struct sockaddr *)&at, sizeof(at)), 0);
}

static void card_uri(const struct card *c, const char *more, char uri[512])
{
	if (on_qemu())
		snprintf(uri, 512,
			 "qtest:spawn?device=%s%s&netdev=dgram,local.type=unix,local.path=%s,"
			 "remote.type=unix,remote.path=%s",
			 c->device, more, there, here);
	else
		snprintf(uri, 512, "model:virtio-net?%s%s&port=[dgram:%s?remote=%s]", c->device,
			 more, there, here);
}

static void begin_opts(const struct card *c, const char *more, const struct riser_port_opts *opts)
{
	char uri[512];
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	printf("# %s\n", c->name);
	make_socket();
	card_uri(c, more, uri);
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	if (riser_port_open(r, uri, opts, &port, &err))
		FAIL("%s: %s", uri, err.text);
	strcpy(at.sun_path, there);
	CHECK_EQ(connect(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(riser_pool_new(r, port, BUFFERS, SIZE, &pool, &err), 0);
	if (riser_port_queue_open(port, 0, x, pool, &q, &err))
		FAIL("%s", err.text);
}

static void begin(const struct card *c, const char *more)
{
	begin_opts(c, more, NULL);
}

static void end(void)
{
	riser_port_queue_close(q);
	CHECK_EQ(pool->nfree, BUFFERS);
	riser_pool_free(pool);
	riser_port_close(port);
	riser_exec_free(x);
	riser_free(r);
	close(sock);
	unlink(here);
	unlink(there);
	rmdir(dir);
}

static struct virtio_net *card_of(void)
{
	/* struct vport begins with the port, and has the card behind it. */
	return *(struct virtio_net **)(void *)(port + 1);
}

/* What frame number @seed of @len bytes looks like. It is sent to everybody. */
static void fill(uint8_t *to, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		to[i] = (uint8_t)(seed * 131 + i * 7 + (i >> 8));
	memset(to, 0xff, 6);
	to[12] = 0x88;
	to[13] = 0xb5;
}

static uint32_t length_of(uint32_t seed)
{
	return seed % 5 == 0 ? 1514 : 60 + seed * 37 % 1400;
}

static struct riser_pkt *packet(uint32_t seed)
{
	struct riser_pkt *pkt = riser_pkt_get(pool);

	if (pkt) {
		pkt->len = pkt->total = length_of(seed);
		fill(pkt->data, pkt->len, seed);
	}
	return pkt;
}

/* The other end has frame @seed next. */
static void expect(uint32_t seed)
{
	uint8_t want[2048], got[2048];
	struct pollfd p = { .fd = sock, .events = POLLIN };
	ssize_t len;

	for (unsigned i = 0; i < PATIENCE && poll(&p, 1, 1) == 0; i++)
		riser_port_rx(q, &(struct riser_pkt *){ NULL }, 0);
	len = recv(sock, got, sizeof(got), MSG_DONTWAIT);
	CHECK_EQ(len, length_of(seed));
	fill(want, (uint32_t)len, seed);
	CHECK(!memcmp(got, want, (size_t)len));
}

static void transmit(uint32_t from, uint32_t count)
{
	struct riser_pkt *pkts[BURST];

	for (uint32_t done = 0; done < count;) {
		unsigned n = min_of(count - done, BURST), sent;

		for (unsigned i = 0; i < n; i++) {
			pkts[i] = packet(from + done + i);
			CHECK(pkts[i]);
		}
		sent = (unsigned)riser_port_tx(q, pkts, n);
		CHECK_EQ(sent, n);
		for (unsigned i = 0; i < n; i++)
			SUB(expect(from + done + i));
		done += n;
	}
}

static bool same(const struct riser_pkt *pkt, uint32_t seed)
{
	uint8_t want[2048], *at = want;

	fill(want, length_of(seed), seed);
	if (pkt->total != length_of(seed))
		return false;
	for (; pkt; at += pkt->len, pkt = pkt->next)
		if (memcmp(pkt->data, at, pkt->len))
			return false;
	return true;
}

/* One packet, waited for. */
static struct riser_pkt *receive_one(void)
{
	struct riser_pkt *pkt = NULL;

	for (unsigned i = 0; i < PATIENCE; i++) {
		if (riser_port_rx(q, &pkt, 1) == 1)
			return pkt;
		usleep(i < 100 ? 10 : 1000);
	}
	return NULL;
}

static void send_frame(uint32_t seed)
{
	uint8_t frame[2048];

	fill(frame, length_of(seed), seed);
	CHECK_EQ(send(sock, frame, length_of(seed), 0), length_of(seed));
}

static void receive(uint32_t from, uint32_t count)
{
	for (uint32_t done = 0; done < count;) {
		unsigned n = min_of(count - done, 8u); /* what fits into a datagram socket */

		for (unsigned i = 0; i < n; i++)
			SUB(send_frame(from + done + i));
		for (unsigned i = 0; i < n; i++, done++) {
			struct riser_pkt *pkt = receive_one();

			if (!pkt)
				FAIL("frame %u of %u did not come", done, count);
			CHECK(same(pkt, from + done));
			riser_pkt_put(pkt);
		}
	}
}

static void check_stats(uint64_t rx, uint64_t tx)
{
	struct riser_port_stats s = { .size = sizeof(s) };

	riser_port_get_stats(port, &s);
	CHECK_EQ(s.rx_packets, rx);
	CHECK_EQ(s.tx_packets, tx);
	CHECK_EQ(s.rx_errors + s.tx_errors + s.rx_dropped + s.tx_dropped, 0);
	CHECK_EQ(s.tx_copied, 0);
}

TEST(byte_exact)
{
	if (on_qemu())
		NEED_QEMU();
	for (const struct card *c = cards(); c->name; c++) {
		const struct virtio_dev *d;

		SUB(begin(c, ""));
		d = card_of()->d;
		CHECK_EQ(d->features & c->has, c->has);
		CHECK_EQ(d->features & c->lacks, 0);
		CHECK_EQ(card_of()->hdr_len, c->hdr_len);
		/* Round the rings more than once. */
		SUB(transmit(0, 600));
		SUB(receive(1000, 600));
		SUB(check_stats(600, 600));
		SUB(end());
	}
}

/* A packet of several pieces, one of them empty, and without room for a header. */
TEST(segments)
{
	for (const struct card *c = cards(); c->name; c++) {
		struct riser_pkt *pkt, *more, *empty;
		struct riser_port_stats s = { .size = sizeof(s) };

		SUB(begin(c, ""));
		pkt = packet(5);
		more = riser_pkt_get(pool);
		empty = riser_pkt_get(pool);
		memcpy(more->data, pkt->data + 700, pkt->len - 700);
		more->len = pkt->len - 700;
		pkt->len = 700;
		pkt->next = empty;
		empty->next = more;
		CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
		SUB(expect(5));
		SUB(check_stats(0, 1));
		/* Data at the very front: no room for a header, so it is copied. */
		pkt = packet(6);
		memmove(pool_start(pkt), pkt->data, pkt->len);
		pkt->data = pool_start(pkt);
		CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
		SUB(expect(6));
		riser_port_get_stats(port, &s);
		CHECK_EQ(s.tx_copied, 1);
		/* Less than an Ethernet header is none. */
		pkt = packet(7);
		pkt->len = pkt->total = 13;
		CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
		riser_port_get_stats(port, &s);
		CHECK_EQ(s.tx_errors, 1);
		SUB(end());
		if (on_qemu())
			break;
	}
}

/* Memory of another pool: reached where the device does, copied where it does not. */
TEST(foreign_memory)
{
	const struct card *c = cards();
	struct riser_pool *other;
	struct riser_port_stats s = { .size = sizeof(s) };

	SUB(begin(c, ""));
	CHECK_EQ(riser_pool_new(r, NULL, 64, SIZE, &other, &err), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct riser_pkt *pkt = NULL;

		for (unsigned t = 0; t < PATIENCE && !(pkt = riser_pkt_get(other)); t++) {
			riser_port_tx(q, NULL, 0); /* gives back what was sent */
			usleep(100);
		}
		CHECK(pkt);
		pkt->len = pkt->total = length_of(i);
		fill(pkt->data, pkt->len, i);
		CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
		SUB(expect(i));
	}
	riser_port_get_stats(port, &s);
	CHECK_EQ(s.tx_packets, 300);
	CHECK_EQ(s.tx_copied, card_of()->d->dma->own ? 300 : 0);
	for (unsigned t = 0; t < PATIENCE && other->nfree < 64; t++) {
		riser_port_tx(q, NULL, 0);
		usleep(100);
	}
	CHECK_EQ(other->nfree, 64);
	riser_pool_free(other);
	SUB(end());
}

/* A reset in the middle: what was in flight is lost and counted, buffers come back, life goes on.
 */
TEST(reset)
{
	for (const struct card *c = cards(); c->name; c++) {
		struct riser_port_stats s = { .size = sizeof(s) };
		struct riser_pkt *pkts[BURST];

		SUB(begin(c, ""));
		for (unsigned round = 0; round < 4; round++) {
			SUB(transmit(round * 50, 40));
			SUB(receive(round * 50, 40));
			for (unsigned i = 0; i < BURST; i++)
				pkts[i] = packet(i);
			CHECK_EQ(riser_port_tx(q, pkts, BURST), BURST);
			if (riser_port_reset(port, &err))
				FAIL("%s", err.text);
			/* Those that got out before. */
			while (recv(sock, &(char[2048]){ 0 }, 2048, MSG_DONTWAIT) > 0 ||
			       (usleep(20000), recv(sock, &(char[2048]){ 0 }, 2048, MSG_DONTWAIT)) >
				       0)
				;
			SUB(transmit(round * 50 + 7, 40));
			SUB(receive(round * 50 + 7, 40));
		}
		riser_port_get_stats(port, &s);
		CHECK_EQ(s.rx_packets, 320);
		CHECK_EQ(s.tx_packets, 320 + 4 * BURST);
		CHECK_EQ(s.rx_errors, 0);
		CHECK(s.tx_dropped <= 4 * BURST);
		SUB(end());
	}
}

TEST(resize)
{
	const struct card *c = cards();

	SUB(begin(c, ""));
	CHECK(virtio_has(card_of()->d, RISER_VIRTIO_F_RING_RESET) || on_qemu());
	SUB(transmit(0, 50));
	if (riser_port_queue_resize(q, 64, &err))
		FAIL("%s", err.text);
	SUB(transmit(1, 100));
	SUB(receive(1, 100));
	if (riser_port_queue_resize(q, 256, &err))
		FAIL("%s", err.text);
	SUB(transmit(2, 300));
	SUB(receive(2, 300));
	SUB(end());
}

static unsigned called;

static void ready(void *ctx)
{
	struct riser_pkt *pkt;

	while (riser_port_rx(q, &pkt, 1) == 1) {
		called += same(pkt, called) ? 1 : 1000;
		riser_pkt_put(pkt);
	}
}

/* Asleep until something comes; nothing is lost between the last look and the sleep. */
TEST(sleeps)
{
	for (const struct card *c = cards(); c->name; c++) {
		SUB(begin(c, ""));
		called = 0;
		riser_port_watch(q, ready, NULL);
		for (unsigned i = 0; i < 100; i++) {
			SUB(send_frame(i));
			for (unsigned t = 0; t < 200 && called == i; t++)
				riser_exec_wait(x, 100 * NS_PER_MS);
			CHECK_EQ(called, i + 1);
		}
		riser_port_watch(q, NULL, NULL);
		SUB(end());
		if (on_qemu())
			break;
	}
}

TEST_MAIN(CASE(byte_exact), CASE(segments), CASE(foreign_memory), CASE(reset), CASE(resize),
	  CASE(sleeps))
