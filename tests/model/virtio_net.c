/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The virtio network driver on cards whose other end is a datagram socket of the test's: what goes
 * in comes out, byte for byte. On riser's model, and with RISER_TEST_CARDS=qemu on QEMU's.
 */
#include "../interop/qemu.h"
#include "base/riser.h"
#include "base/util.h"
#include "model/model.h"
#include "net/pool.h"
#include "net/port.h"
#include "virtio/net.h"
#include "virtio/pci.h"
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
	else if (strstr(more, "loop=on"))
		snprintf(uri, 512, "model:virtio-net?%s%s", c->device, more);
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
	if (!strstr(more, "loop=on"))
		CHECK_EQ(connect(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(riser_pool_new(r, port, BUFFERS, SIZE, &pool, &err), 0);
	if (riser_port_queue_open(port, 0, x, pool, &q, &err))
		FAIL("%s", err.text);
}

static void begin(const struct card *c, const char *more)
{
	begin_opts(c, more, NULL);
}

static struct virtio_net *card_of(void)
{
	/* struct vport begins with the port, and has the card behind it. */
	return *(struct virtio_net **)(void *)(port + 1);
}

static struct pci_dev *function(void)
{
	return virtio_pci_of(card_of()->d)->pci;
}

/* The driver did nothing that a driver may not do. */
static void check_manners(void)
{
	struct model_virtio_counters c;

	model_virtio_get_counters(function(), &c);
	if (c.violations)
		FAIL("%s", c.violation);
	CHECK_EQ(c.dma_refused, 0);
}

static void end(void)
{
	if (!on_qemu())
		SUB(check_manners());
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

static const uint8_t some_mac[6] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 };
static const uint8_t other_mac[6] = { 0x02, 0x66, 0x77, 0x88, 0x99, 0xaa };
static const uint8_t group_mac[6] = { 0x33, 0x33, 0, 0, 0, 0x42 };

/* Does a frame to @mac arrive? One to everybody follows it, and that one does. */
static bool arrives(const uint8_t mac[6], int vlan)
{
	uint8_t frame[64];
	struct riser_pkt *pkt;
	bool came = false;

	fill(frame, sizeof(frame), 3);
	memcpy(frame, mac, 6);
	if (vlan >= 0) {
		frame[12] = 0x81;
		frame[13] = 0;
		frame[14] = (uint8_t)(vlan >> 8);
		frame[15] = (uint8_t)vlan;
	}
	if (send(sock, frame, sizeof(frame), 0) != sizeof(frame))
		return false;
	send_frame(5);
	while ((pkt = receive_one())) {
		bool last = same(pkt, 5);

		came |= !last && pkt->total == sizeof(frame) && !memcmp(pkt->data, frame, 6);
		riser_pkt_put(pkt);
		if (last)
			return came;
	}
	return false;
}

static void check_mac(const uint8_t mac[6])
{
	struct riser_port_info info = { .size = sizeof(info) };

	riser_port_get_info(port, &info);
	CHECK(!memcmp(info.mac, mac, 6));
}

/* What was set holds, also behind a reset. */
static void check_filters(void)
{
	SUB(check_mac(some_mac));
	CHECK(arrives(some_mac, -1));
	CHECK(!arrives(other_mac, -1));
	CHECK(arrives(group_mac, -1));
	CHECK(!arrives((const uint8_t[6]){ 0x33, 0x33, 0, 0, 0, 0x43 }, -1));
	CHECK(arrives(some_mac, 7));
	CHECK(!arrives(some_mac, 8));
}

#define SET(call)                                                                                  \
	do {                                                                                       \
		if (call)                                                                          \
			FAIL("%s", err.text);                                                      \
	} while (0)

static const struct card *control_card(void)
{
	static const struct card model = { "with a control queue",
					   "features=%2BCTRL_VQ,%2BCTRL_RX,%2BCTRL_RX_EXTRA,"
					   "%2BCTRL_VLAN,%2BCTRL_MAC_ADDR,%2BGUEST_ANNOUNCE",
					   0, 0, 12 };

	return on_qemu() ? qemu_cards : &model;
}

TEST(filters)
{
	const uint8_t multicast[1][6] = { { 0x33, 0x33, 0, 0, 0, 0x42 } };

	SUB(begin(control_card(), ""));
	SET(riser_port_set_rx_mode(port, 0, &err));
	SET(riser_port_set_mac(port, some_mac, &err));
	SET(riser_port_set_filter(port, multicast, 1, &err));
	SET(riser_port_set_vlan(port, 7, true, &err));
	SET(riser_port_set_vlan(port, 8, true, &err));
	SET(riser_port_set_vlan(port, 8, false, &err));
	SUB(check_filters());
	SET(riser_port_reset(port, &err));
	SUB(check_filters());
	SET(riser_port_set_rx_mode(port, RISER_PORT_PROMISC, &err));
	CHECK(arrives(other_mac, -1));
	SET(riser_port_set_rx_mode(port, RISER_PORT_NOUNI | RISER_PORT_ALLMULTI, &err));
	CHECK(!arrives(some_mac, -1));
	CHECK(arrives((const uint8_t[6]){ 0x33, 0x33, 0, 0, 0, 0x43 }, -1));
	/* What makes no sense, and what the card has not. */
	CHECK_EQ(riser_port_set_mac(port, group_mac, &err), -EINVAL);
	CHECK_EQ(riser_port_set_rx_mode(port, 64, &err), -EINVAL);
	CHECK_EQ(riser_port_set_vlan(port, 4095, true, &err), -EINVAL);
	CHECK_EQ(riser_port_set_coalesce(
			 port,
			 &(struct riser_port_coalesce){ sizeof(struct riser_port_coalesce), -1 },
			 &err),
		 -EOPNOTSUPP);
	CHECK_HAS(err.text, "NOTF_COAL");
	SUB(end());
}

TEST(no_control_queue)
{
	SUB(begin(cards(), on_qemu() ? ",ctrl_vq=off" : "&features=-CTRL_VQ"));
	CHECK_EQ(riser_port_set_rx_mode(port, 0, &err), -EOPNOTSUPP);
	CHECK_HAS(err.text, "CTRL_RX");
	SUB(transmit(0, 3));
	SUB(end());
}

#define QUEUES 4

static struct riser_port_queue *all[QUEUES];
static struct riser_pool *pools[QUEUES];

static void open_others(void)
{
	all[0] = q;
	pools[0] = pool;
	for (unsigned i = 1; i < QUEUES; i++) {
		CHECK_EQ(riser_pool_new(r, port, BUFFERS, SIZE, &pools[i], &err), 0);
		SET(riser_port_queue_open(port, i, x, pools[i], &all[i], &err));
		CHECK_EQ(card_of()->spread, i + 1);
	}
}

static void close_others(void)
{
	for (unsigned i = QUEUES; --i;) {
		riser_port_queue_close(all[i]);
		CHECK_EQ(card_of()->spread, i);
		CHECK_EQ(pools[i]->nfree, BUFFERS);
		riser_pool_free(pools[i]);
	}
}

/* A TCP segment of a flow; one flow is that of a published example of the hash. */
static void send_flow(uint16_t port_number)
{
	uint8_t f[64] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x08, 0x00, 0x45, 0
	};

	f[17] = 40;
	f[22] = 64;
	f[23] = 6;
	memcpy(f + 26, (const uint8_t[]){ 66, 9, 149, 187, 161, 142, 100, 80 }, 8);
	f[34] = (uint8_t)(port_number >> 8);
	f[35] = (uint8_t)port_number;
	f[36] = 1766 >> 8;
	f[37] = (uint8_t)1766;
	f[46] = 0x50;
	CHECK_EQ(send(sock, f, sizeof(f), 0), sizeof(f));
}

/* Return: the queue that it came by, its hash in *@hash; -1: none. */
static int receive_any(uint32_t *hash, uint16_t *type)
{
	struct riser_pkt *pkt;

	for (unsigned t = 0; t < PATIENCE; t++) {
		for (unsigned i = 0; i < QUEUES; i++) {
			if (riser_port_rx(all[i], &pkt, 1) != 1)
				continue;
			*hash = pkt->flags & RISER_PKT_HASH ? pkt->hash : 0;
			*type = pkt->hash_type;
			riser_pkt_put(pkt);
			return (int)i;
		}
		usleep(t < 100 ? 10 : 1000);
	}
	return -1;
}

static const uint8_t key[40] = { 0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
				 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
				 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
				 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa };

/* The hash's low bits choose a queue out of the table, and the hash comes with the packet. */
static void check_spread(const uint16_t table[8])
{
	unsigned came[QUEUES] = { 0 };
	uint32_t hash;
	uint16_t type;

	for (uint16_t i = 0; i < 64; i++) {
		int by;

		SUB(send_flow((uint16_t)(2794 + i)));
		by = receive_any(&hash, &type);
		CHECK(by >= 0);
		came[by]++;
		if (!i)
			CHECK_EQ(hash, 0x51ccc178);
		CHECK_EQ(type, 2);
		CHECK_EQ(by, table[hash & 7]);
	}
	CHECK(came[0] && came[1] && came[2] && came[3]);
}

/* Several queues: hashes spread what comes, and say so; each queue sends. */
TEST(queues)
{
	static const struct card c = { "with four queues",
				       "features=%2BCTRL_VQ,%2BMQ,%2BRSS,%2BHASH_REPORT,"
				       "%2BNOTF_COAL,%2BVQ_NOTF_COAL&pairs=4",
				       0, 0, 20 };
	const struct riser_port_opts opts = { .size = sizeof(opts),
					      .queues = QUEUES,
					      .offloads = RISER_PORT_RX_HASH };
	const uint16_t table[8] = { 0, 1, 2, 3, 3, 2, 1, 0 };
	struct riser_port_hash hash = { .size = sizeof(hash),
					.types = RISER_PORT_HASH_IPV4 | RISER_PORT_HASH_TCP4,
					.key = key,
					.key_len = sizeof(key),
					.queues = table,
					.entries = 8 };
	struct riser_port_coalesce coal = {
		.size = sizeof(coal), .queue = 2, .packets = 8, .usecs = 50
	};

	if (on_qemu())
		SKIP("QEMU's datagram netdev has one queue");
	SUB(begin_opts(&c, "", &opts));
	CHECK_EQ(port->info.queues, QUEUES);
	SUB(open_others());
	SET(riser_port_set_hash(port, &hash, &err));
	SUB(check_spread(table));
	SET(riser_port_reset(port, &err));
	SUB(check_spread(table));
	for (unsigned i = 0; i < QUEUES; i++) {
		q = all[i];
		pool = pools[i];
		SUB(transmit(i * 10, 40));
	}
	q = all[0];
	pool = pools[0];
	SET(riser_port_set_coalesce(port, &coal, &err));
	coal.queue = -1;
	coal.transmit = true;
	SET(riser_port_set_coalesce(port, &coal, &err));
	hash.entries = 3;
	CHECK_EQ(riser_port_set_hash(port, &hash, &err), -EINVAL);
	hash.entries = 8;
	hash.types = 1u << 31;
	CHECK_EQ(riser_port_set_hash(port, &hash, &err), -EOPNOTSUPP);
	SUB(close_others());
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

static bool link_is(bool up)
{
	struct riser_port_info info = { .size = sizeof(info) };

	riser_port_get_info(port, &info);
	return info.link == up;
}

static void asleep_until(bool (*so)(bool arg), bool arg)
{
	for (unsigned i = 0; i < 200 && !so(arg); i++)
		riser_exec_wait(x, 100 * NS_PER_MS);
	CHECK(so(arg));
}

static uint64_t resets(void)
{
	struct model_virtio_counters c;

	model_virtio_get_counters(function(), &c);
	return c.resets;
}

static uint64_t resets_before;

static bool was_reset(bool arg)
{
	return (resets() > resets_before) == arg;
}

/* The link, the wish to be announced, the wish to be reset: of who sleeps and of who polls. */
TEST(events)
{
	static const struct card c = { "with events",
				       "features=%2BCTRL_VQ,%2BGUEST_ANNOUNCE&speed=2500", 0, 0,
				       12 };
	struct riser_port_info info = { .size = sizeof(info) };

	if (on_qemu())
		SKIP("what the model can be told");
	for (unsigned watched = 0; watched < 2; watched++) {
		SUB(begin(&c, ""));
		called = 0;
		riser_port_watch(q, watched ? ready : NULL, NULL);
		riser_port_get_info(port, &info);
		CHECK(info.link && !info.announce && info.full_duplex);
		CHECK_EQ(info.speed, 2500);
		CHECK_EQ(info.mtu, 1500);
		model_virtio_net_link(function(), false);
		SUB(asleep_until(link_is, false));
		model_virtio_net_link(function(), true);
		SUB(asleep_until(link_is, true));
		model_virtio_net_announce(function());
		riser_port_get_info(port, &info);
		CHECK(info.announce);
		SET(riser_port_announced(port, &err));
		riser_port_get_info(port, &info);
		CHECK(!info.announce);
		riser_port_watch(q, NULL, NULL);
		resets_before = resets();
		model_virtio_needs_reset(function());
		for (unsigned i = 0; i < PATIENCE && !was_reset(true); i++) {
			CHECK(riser_port_rx(q, &(struct riser_pkt *){ NULL }, 1) <= 0);
			usleep(1000);
		}
		CHECK(was_reset(true));
		SUB(transmit(0, 40));
		SUB(receive(0, 40));
		SUB(end());
	}
}

/* A card that always wants to be reset is given up, with a sentence. */
TEST(gives_up)
{
	struct riser_pkt *pkt;

	if (on_qemu())
		SKIP("what the model can be told");
	SUB(begin(model_cards, ""));
	for (unsigned i = 0; i < 60 && riser_port_rx(q, &pkt, 1) == 0; i++) {
		model_virtio_needs_reset(function());
		usleep(120000);
	}
	CHECK_EQ(riser_port_rx(q, &pkt, 1), -ENODEV);
	CHECK_HAS(card_of()->why.text, "still wants to be");
	CHECK(link_is(false));
	SET(riser_port_reset(port, &err));
	SUB(transmit(0, 10));
	SUB(receive(0, 10));
	SUB(end());
}

/* Answers that are none, and no answer: an error each, and a reset makes it good. */
TEST(control_faults)
{
	static const struct card c = { "with a control queue", "features=%2BCTRL_VQ,%2BCTRL_RX", 0,
				       0, 12 };

	if (on_qemu())
		SKIP("what the model can be told");
	SUB(begin(&c, ""));
	SET(model_virtio_fault_add(function(), "ack=1", &err));
	CHECK_EQ(riser_port_set_rx_mode(port, 0, &err), -EIO);
	CHECK_HAS(err.text, "refused");
	model_virtio_fault_clear(function());
	SET(model_virtio_fault_add(function(), "ack=7", &err));
	CHECK_EQ(riser_port_set_rx_mode(port, 0, &err), -EPROTO);
	model_virtio_fault_clear(function());
	SET(riser_port_set_rx_mode(port, 0, &err));
	SET(model_virtio_fault_add(function(), "lost,queue=ctrl", &err));
	CHECK_EQ(riser_port_set_rx_mode(port, 1, &err), -ETIMEDOUT);
	CHECK_EQ(riser_port_set_rx_mode(port, 1, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "silent");
	SUB(transmit(0, 10)); /* packets do not mind */
	model_virtio_fault_clear(function());
	SET(riser_port_reset(port, &err));
	SET(riser_port_set_rx_mode(port, 1, &err));
	SUB(end());
}

/* A ring that lies is told, nobody uses it on, and a reset makes it good. */
TEST(broken)
{
	struct riser_pkt *pkt;

	if (on_qemu())
		SKIP("what the model can be told");
	SUB(begin(model_cards, ""));
	SET(model_virtio_fault_add(function(), "used-id,queue=rx", &err));
	SUB(send_frame(1));
	for (unsigned i = 0; i < PATIENCE && riser_port_rx(q, &pkt, 1) == 0; i++)
		usleep(100);
	CHECK_EQ(riser_port_rx(q, &pkt, 1), -ENODEV);
	CHECK_HAS(card_of()->d->broken, "used id");
	model_virtio_fault_clear(function());
	SET(riser_port_reset(port, &err));
	SUB(transmit(0, 40));
	SUB(receive(0, 40));
	SUB(end());
}

/* A TCP segment that is too large by far, in as many pieces as it takes. */
static struct riser_pkt *large(uint32_t payload)
{
	static const uint8_t head[54] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0,  0,    0,
					  9,    0x08, 0x00, 0x45, 0,    0,    0, 0, 0,  0x40, 0,
					  64,   6,    0,    0,    10,   0,    0, 1, 10, 0,    0,
					  2,    0x1f, 0x90, 0,    80,   0,    0, 0, 1,  0,    0,
					  0,    0,    0x50, 0x10, 0xff, 0xff, 0, 0, 0,  0 };
	struct riser_pkt *pkt = riser_pkt_get(pool), *last = pkt;

	memcpy(pkt->data, head, sizeof(head));
	pkt->data[16] = (uint8_t)((payload + 40) >> 8);
	pkt->data[17] = (uint8_t)(payload + 40);
	pkt->len = sizeof(head);
	pkt->total = sizeof(head) + payload;
	for (uint32_t i = 0; i < payload; i++) {
		if (last->len == 2000) {
			last->next = riser_pkt_get(pool);
			last = last->next;
		}
		last->data[last->len++] = (uint8_t)(i * 3);
	}
	pkt->flags = RISER_PKT_HDR;
	pkt->hdr = (struct riser_virtio_net_hdr){ .flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
						  .gso_type = RISER_VIRTIO_NET_GSO_TCPV4,
						  .gso_size = to_le16(1448),
						  .csum_start = to_le16(34),
						  .csum_offset = to_le16(16),
						  .hdr_len = to_le16(9999) };
	return pkt;
}

static bool is_large(const struct riser_pkt *pkt, uint32_t payload)
{
	uint32_t i = 0, skip = 54;

	if (pkt->total != payload + 54)
		return false;
	for (; pkt; pkt = pkt->next, skip = 0)
		for (uint32_t at = skip; at < pkt->len; at++)
			if (pkt->data[at] != (uint8_t)(i++ * 3))
				return false;
	return i == payload;
}

/* Large packets out and in again: offloads stand in the header, and the length is the packet's. */
TEST(offloads)
{
	static const char *const kinds[] = { "function=modern",
					     "function=modern&features=%2BPACKED",
					     "function=legacy" };
	const struct riser_port_opts opts = { .size = sizeof(opts),
					      .offloads =
						      RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE };

	if (on_qemu())
		SKIP("QEMU's datagram netdev has no offloads");
	for (size_t k = 0; k < array_len(kinds); k++) {
		const struct card c = { kinds[k], kinds[k], 0, 0, 12 };
		struct riser_pkt *pkt;

		SUB(begin_opts(&c, "&loop=on", &opts));
		CHECK(port->info.offloads & RISER_PORT_TSO4);
		CHECK(port->info.offloads & RISER_PORT_RX_LARGE);
		for (uint32_t payload = 1; payload < 60000; payload += 5711) {
			pkt = large(payload);
			CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
			pkt = receive_one();
			CHECK(pkt);
			CHECK(is_large(pkt, payload));
			CHECK(pkt->flags & RISER_PKT_HDR);
			CHECK_EQ(pkt->hdr.gso_type, RISER_VIRTIO_NET_GSO_TCPV4);
			CHECK_EQ(le16(pkt->hdr.gso_size), 1448);
			CHECK_EQ(le16(pkt->hdr.csum_start), 34);
			CHECK_EQ(le16(pkt->hdr.hdr_len), 54);
			riser_pkt_put(pkt);
		}
		/* A header that is not true is not sent. */
		pkt = large(3000);
		pkt->hdr.csum_start = to_le16(4000);
		CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
		CHECK_EQ(riser_port_rx(q, &pkt, 1), 0);
		SUB(end());
	}
}

/* The same where the other end has no idea of offloads: it gets frames that fit. */
TEST(segmented)
{
	uint8_t frame[2048];
	uint32_t payload = 10000, got = 0;
	struct riser_pkt *pkt;

	SUB(begin(cards(), ""));
	pkt = large(payload);
	CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
	while (got < payload) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		ssize_t len;

		for (unsigned i = 0; i < PATIENCE && poll(&p, 1, 1) == 0; i++)
			riser_port_rx(q, &pkt, 0);
		len = recv(sock, frame, sizeof(frame), MSG_DONTWAIT);
		CHECK(len > 54 && len <= 54 + 1448);
		for (ssize_t i = 54; i < len; i++, got++)
			CHECK_EQ(frame[i], (uint8_t)(got * 3));
	}
	CHECK_EQ(got, payload);
	SUB(end());
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
	}
}

/* In somebody else's loop: armed first, and what comes then makes the descriptor readable. */
TEST(wakes)
{
	for (const struct card *c = cards(); c->name; c++) {
		struct riser_port_stats s = { .size = sizeof(s) };

		SUB(begin(c, on_qemu() ? "" : "&mode=thread"));
		called = 0;
		riser_port_watch(q, ready, NULL);
		for (unsigned i = 0; i < 30; i++) {
			struct pollfd p = { .fd = riser_exec_fd(x), .events = POLLIN };

			/* What is left of the last one ends. */
			while (riser_exec_arm(x) != 0 || poll(&p, 1, 0) > 0)
				riser_exec_poll(x);
			SUB(send_frame(i));
			CHECK_EQ(poll(&p, 1, PATIENCE), 1);
			while (called == i)
				riser_exec_poll(x);
			CHECK_EQ(called, i + 1);
		}
		riser_port_watch(q, NULL, NULL);
		riser_port_get_stats(port, &s);
		CHECK(s.interrupts > 0);
		SUB(end());
	}
}

TEST_MAIN(CASE(byte_exact), CASE(segments), CASE(foreign_memory), CASE(reset), CASE(resize),
	  CASE(sleeps), CASE(filters), CASE(no_control_queue), CASE(queues), CASE(offloads),
	  CASE(segmented), CASE(events), CASE(gives_up), CASE(control_faults), CASE(broken),
	  CASE(wakes))
