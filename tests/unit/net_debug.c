/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The debug port on a wire: frames byte by byte, who may talk, a bad cable, and signal handlers. */
#include "../tap.h"
#include "base/riser.h"
#include "base/util.h"
#include "net/debug/debug.h"
#include "net/pool.h"
#include <errno.h>
#include <signal.h>

#define HERE  0x0a000001u /* the debug port */
#define THERE 0x0a000002u
#define PORT  6443

/* The debug port has queue 1 of its port; the other end is a queue like any other. */
struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p[2];
	struct riser_port_queue *normal, *peer;
	struct riser_debug *d;
};

static struct riser_err err;

static int open_debug(struct rig *g, struct riser_debug_opts o)
{
	o.size = sizeof(o);
	o.queue = 1;
	o.udp_port = PORT;
	return riser_debug_open(g->p[0], &o, &g->d, &err);
}

static void rig_open(struct rig *g, const char *keys, struct riser_debug_opts o)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_port_opts two = { .size = sizeof(two), .queues = 2 };
	char uri[64];

	memset(g, 0, sizeof(*g));
	snprintf(uri, sizeof(uri), "wire:debug%s", keys);
	CHECK_EQ(riser_new(&opts, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, NULL, 64, 2000, &g->pool, &err), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(riser_port_open(g->r, uri, &two, &g->p[i], &err), 0);
	CHECK_EQ(riser_port_queue_open(g->p[0], 0, g->x, g->pool, &g->normal, &err), 0);
	CHECK_EQ(riser_port_queue_open(g->p[1], 1, g->x, g->pool, &g->peer, &err), 0);
	CHECK_EQ(open_debug(g, o), 0);
}

static void rig_close(struct rig *g)
{
	CHECK_EQ(g->d->rx->nfree, g->d->rx->count);
	CHECK_EQ(g->d->tx->nfree, g->d->tx->count);
	riser_debug_close(g->d);
	riser_port_queue_close(g->peer);
	riser_port_queue_close(g->normal);
	CHECK_EQ(g->pool->nfree, g->pool->count);
	for (int i = 0; i < 2; i++)
		riser_port_close(g->p[i]);
	riser_pool_free(g->pool);
	riser_exec_free(g->x);
	riser_free(g->r);
}

/* A frame from the other end, of hexadecimal digits; "M" stands for the debug port's MAC. */
static void send_hex(struct rig *g, const char *hex)
{
	struct riser_pkt *pkt = riser_pkt_get(g->pool);

	for (; *hex; hex += *hex == ' ') {
		unsigned byte;

		if (*hex == 'M') {
			memcpy(pkt->data + pkt->len, g->d->mac, 6);
			pkt->len += 6;
			hex++;
			continue;
		}
		CHECK_EQ(sscanf(hex, "%2x", &byte), 1);
		pkt->data[pkt->len++] = (uint8_t)byte;
		hex += 2;
	}
	pkt->total = pkt->len;
	CHECK_EQ(riser_port_tx(g->peer, &pkt, 1), 1);
}

/* What came to the other end, in hexadecimal with the debug port's MAC as "M"; "" is nothing. */
static const char *answer(struct rig *g)
{
	static char hex[4096];
	struct riser_pkt *pkt;
	char *at = hex;

	*at = 0;
	if (riser_port_rx(g->peer, &pkt, 1) != 1)
		return hex;
	for (uint32_t i = 0; i < pkt->len; i++) {
		if (i + 6 <= pkt->len && !memcmp(pkt->data + i, g->d->mac, 6)) {
			*at++ = 'M';
			*at = 0;
			i += 5;
		} else {
			at += sprintf(at, "%02x", pkt->data[i]);
		}
	}
	riser_pkt_put(pkt);
	return hex;
}

static int receive(struct rig *g, struct riser_debug_peer *from, char *text)
{
	int n = riser_debug_recv(g->d, from, text, 63);

	text[n < 0 ? 0 : n] = 0;
	return n;
}

static const struct riser_debug_opts plain = { .address = HERE };

TEST(answers_arp_to_who_may_know)
{
	struct riser_debug_peer from;
	struct rig g;
	char text[64];

	SUB(rig_open(&g, "", plain));
	SUB(send_hex(&g, "ffffffffffff 020000000009 0806 0001 0800 06 04 0001 020000000009 "
			 "0a000002 000000000000 0a000001"));
	CHECK_EQ(receive(&g, &from, text), -EAGAIN);
	CHECK_STR(answer(&g), "020000000009M08060001080006040002M0a000001"
			      "0200000000090a000002");
	/* For somebody else; from a public address; cut short; a reply; a host without a name. */
	SUB(send_hex(&g, "ffffffffffff 020000000009 0806 0001 0800 06 04 0001 020000000009 "
			 "0a000002 000000000000 0a000003"));
	SUB(send_hex(&g, "ffffffffffff 020000000009 0806 0001 0800 06 04 0001 020000000009 "
			 "08080808 000000000000 0a000001"));
	SUB(send_hex(&g, "ffffffffffff 020000000009 0806 0001 0800 06 04 0001 020000000009 "
			 "0a000002 000000000000 0a0000"));
	SUB(send_hex(&g, "M 020000000009 0806 0001 0800 06 04 0002 020000000009 "
			 "0a000002 000000000000 0a000001"));
	SUB(send_hex(&g, "ffffffffffff 030000000009 0806 0001 0800 06 04 0001 030000000009 "
			 "0a000002 000000000000 0a000001"));
	CHECK_EQ(receive(&g, &from, text), -EAGAIN);
	CHECK_STR(answer(&g), "");
	SUB(rig_close(&g));
}

/* "abc" from THERE:4660 to HERE:6443, with number 1; header sum 66cb, datagram fc13. */
#define ETH "M 020000000009 0800 "
#define IP  "4500001f 0001 0000 40 11 66cb 0a000002 0a000001 "
#define UDP "1234 192b 000b "

TEST(receives_what_is_whole_and_for_it)
{
	static const char *const bad[] = {
		ETH IP UDP "fc13 616264",            /* another byte */
		ETH IP UDP "fc13 6162",              /* cut */
		ETH IP UDP,                          /* cut */
		ETH "4500001f 0001",                 /* cut */
		"M 0200",                            /* cut */
		ETH IP "1234 192c 000b 0000 616263", /* another port */
		ETH IP "1234 192b 0007 0000 616263", /* shorter than itself */
		ETH IP "1234 192b 000c 0000 616263", /* longer than the packet */
		ETH "4500001f 0001 0000 40 11 66cc 0a000002 0a000001 " UDP "0000 616263",
		ETH "4500001f 0001 0001 40 11 66ca 0a000002 0a000001 " UDP "0000 616263",
		ETH "4500001f 0001 2000 40 11 46cb 0a000002 0a000001 " UDP "0000 616263",
		ETH "4400001f 0001 0000 40 11 67cb 0a000002 0a000001 " UDP "0000 616263",
		ETH "6500001f 0001 0000 40 11 46cb 0a000002 0a000001 " UDP "0000 616263",
		ETH "45000020 0001 0000 40 11 66ca 0a000002 0a000001 " UDP "0000 616263",
		ETH "4500001f 0001 0000 40 11 66c8 0a000002 0a000004 " UDP "0000 616263",
		ETH "4500001f 0001 0000 40 06 66d6 0a000002 0a000001 " UDP "0000 616263",
		"020000000001 020000000009 0800 " IP UDP "0000 616263", /* another host's */
		"M 030000000009 0800 " IP UDP "0000 616263",            /* from everybody */
		"M 020000000009 86dd " IP UDP "0000 616263",            /* what is no IPv4 */
	};
	struct riser_debug_peer from;
	struct rig g;
	char text[64];

	SUB(rig_open(&g, "", plain));
	for (size_t i = 0; i < array_len(bad); i++) {
		SUB(send_hex(&g, bad[i]));
		if (receive(&g, &from, text) != -EAGAIN)
			FAIL("frame %zu was taken: %s", i, bad[i]);
	}
	SUB(send_hex(&g, ETH IP UDP "fffe 616263"));
	CHECK_EQ(receive(&g, &from, text), -EAGAIN);
	SUB(send_hex(&g, ETH IP UDP "fc13 616263"));
	CHECK_EQ(receive(&g, &from, text), 3);
	CHECK_STR(text, "abc");
	CHECK_EQ(from.address, THERE);
	CHECK_EQ(from.udp_port, 0x1234);
	CHECK(!memcmp(from.mac, "\2\0\0\0\0\11", 6));
	/* Without a checksum, and with options and something behind it. */
	SUB(send_hex(&g, ETH "4500001f 0002 0000 40 11 66ca 0a000002 0a000001 " UDP "0000 616263"));
	CHECK_EQ(receive(&g, &from, text), 3);
	SUB(send_hex(&g, ETH "46000023 0003 0000 40 11 63c4 0a000002 0a000001 01010100 " UDP
			     "0000 616263 ffffffff"));
	CHECK_EQ(receive(&g, &from, text), 3);
	CHECK_STR(text, "abc");
	SUB(rig_close(&g));
}

TEST(drops_copies_and_takes_repetitions)
{
	struct riser_debug_peer from;
	struct rig g;
	char text[64];

	SUB(rig_open(&g, "", plain));
	for (int i = 0; i < 3; i++)
		SUB(send_hex(&g, ETH IP UDP "0000 616263"));
	CHECK_EQ(receive(&g, &from, text), 3);
	CHECK_EQ(receive(&g, &from, text), -EAGAIN);
	/* The same bytes with the next number, and without one. */
	SUB(send_hex(&g, ETH "4500001f 0002 0000 40 11 66ca 0a000002 0a000001 " UDP "0000 616263"));
	CHECK_EQ(receive(&g, &from, text), 3);
	for (int i = 0; i < 2; i++) {
		SUB(send_hex(&g, ETH "4500001f 0000 4000 40 11 26cc 0a000002 0a000001 " UDP
				     "0000 616263"));
		CHECK_EQ(receive(&g, &from, text), 3);
	}
	SUB(rig_close(&g));
}

TEST(believes_checksums_left_to_a_device)
{
	struct riser_debug_peer from;
	struct riser_pkt *pkt;
	struct rig g;
	char text[64];

	SUB(rig_open(&g, "?offloads=1", plain));
	SUB(send_hex(&g, ETH IP UDP "1111 616263"));
	CHECK_EQ(receive(&g, &from, text), -EAGAIN);
	pkt = riser_pkt_get(g.pool);
	memcpy(pkt->data, g.d->frame, 45);
	pkt->len = pkt->total = 45;
	pkt->flags = RISER_PKT_HDR;
	pkt->hdr.flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM;
	pkt->hdr.csum_start = riser_le16_of(34);
	pkt->hdr.csum_offset = riser_le16_of(6);
	CHECK_EQ(riser_port_tx(g.peer, &pkt, 1), 1);
	CHECK_EQ(receive(&g, &from, text), 3);
	SUB(rig_close(&g));
}

TEST(sends_to_peers_alone)
{
	struct riser_debug_peer to = { THERE, 0x1234, { 2, 0, 0, 0, 0, 9 } };
	static const char zeroes[2000];
	struct rig g;
	int before;

	SUB(rig_open(&g, "", plain));
	errno = before = 4711;
	CHECK_EQ(riser_debug_send(g.d, &to, "abc", 3), 0);
	CHECK_EQ(errno, before);
	CHECK_STR(answer(&g), "020000000009M08004500001f00000000401166cc0a0000010a000002"
			      "192b1234000bfc13616263");
	/* A sum of 0 is written as all ones. */
	CHECK_EQ(riser_debug_send(g.d, &to, "\xc0\x78", 2), 0);
	CHECK_HAS(answer(&g), "192b1234000affffc078");
	CHECK_EQ(riser_debug_send(g.d, &to, zeroes, 1472), 0);
	CHECK_EQ(strlen(answer(&g)), 1514 * 2 - 11);
	CHECK_EQ(riser_debug_send(g.d, &to, zeroes, 1473), -EMSGSIZE);
	to.address = 0x08080808;
	CHECK_EQ(riser_debug_send(g.d, &to, "abc", 3), -EACCES);
	CHECK_STR(answer(&g), "");
	SUB(rig_close(&g));
}

/* Whether the debug port, so opened, takes something from @src. */
static bool takes(struct riser_debug_opts o, uint32_t src)
{
	struct riser_debug_peer from, to = { .address = o.address, .udp_port = PORT };
	struct riser_debug_opts other = { .size = sizeof(other),
					  .flags = RISER_DEBUG_ANYWHERE,
					  .queue = 1,
					  .address = src,
					  .udp_port = 1 };
	struct riser_debug *d;
	bool taken = false;
	struct rig g;
	char text[64];

	rig_open(&g, "", o);
	riser_port_queue_close(g.peer);
	if (tap_failed || riser_debug_open(g.p[1], &other, &d, &err))
		abort();
	memcpy(to.mac, g.d->mac, 6);
	if (riser_debug_send(d, &to, "abc", 3))
		abort();
	taken = receive(&g, &from, text) == 3 && from.address == src;
	riser_debug_close(d);
	g.peer = NULL;
	rig_close(&g);
	return taken;
}

TEST(is_a_door_for_neighbours)
{
	struct riser_debug_opts far = { .address = HERE, .flags = RISER_DEBUG_ANYWHERE };
	struct riser_debug_opts net = { .address = HERE,
					.peers = 0x0a000000,
					.peers_mask = 0xffffff00 };
	struct riser_debug_opts one = { .address = HERE, .peers = THERE };
	struct rig g;

	CHECK(takes(plain, 0x0a010203));
	CHECK(takes(plain, 0x7f000001));
	CHECK(takes(plain, 0xac1f0001));
	CHECK(!takes(plain, 0xac200001));
	CHECK(takes(plain, 0xc0a8ff01));
	CHECK(!takes(plain, 0xc0a90001));
	CHECK(takes(plain, 0xa9fe0001));
	CHECK(!takes(plain, 0x08080808));
	CHECK(takes(far, 0x08080808));
	CHECK(takes(net, 0x0a0000fe));
	CHECK(!takes(net, 0x0a0001fe));
	CHECK(takes(one, THERE));
	CHECK(!takes(one, THERE + 1));

	SUB(rig_open(&g, "", plain));
	riser_debug_close(g.d);
	CHECK_EQ(open_debug(&g, (struct riser_debug_opts){ .address = 0x08080808 }), -EINVAL);
	CHECK_HAS(err.text, "a debugger's door");
	CHECK_EQ(open_debug(&g, (struct riser_debug_opts){ .address = HERE, .peers = 0x08080808 }),
		 -EINVAL);
	CHECK_EQ(open_debug(&g, (struct riser_debug_opts){ .address = 0 }), -EINVAL);
	CHECK_EQ(open_debug(&g, (struct riser_debug_opts){ .address = HERE, .flags = 4 }), -EINVAL);
	CHECK_EQ(open_debug(&g, plain), 0);
	SUB(rig_close(&g));
}

/* Half of what is sent is lost and a tenth damaged: what arrives is what was sent. */
TEST(survives_a_bad_cable)
{
	struct riser_debug_opts other = {
		.size = sizeof(other), .queue = 1, .address = THERE, .udp_port = 1
	};
	struct riser_debug_peer from, to = { .address = HERE, .udp_port = PORT };
	unsigned came = 0;
	struct riser_debug *d;
	struct rig g;

	SUB(rig_open(&g, "?loss=500000&corrupt=100000&seed=7", plain));
	riser_port_queue_close(g.peer);
	CHECK_EQ(riser_debug_open(g.p[1], &other, &d, &err), 0);
	memcpy(to.mac, g.d->mac, 6);
	for (unsigned i = 0; i < 1000; i++) {
		char sent[32], text[64];

		snprintf(sent, sizeof(sent), "number %u", i);
		CHECK_EQ(riser_debug_send(d, &to, sent, strlen(sent)), 0);
		if (receive(&g, &from, text) < 0)
			continue;
		CHECK_STR(text, sent);
		came++;
	}
	CHECK(came > 350 && came < 550);
	riser_debug_close(d);
	g.peer = NULL;
	SUB(rig_close(&g));
}

TEST(one_call_at_a_time)
{
	struct riser_debug_peer peer = { .address = THERE };
	struct rig g;
	char text[64];

	SUB(rig_open(&g, "", plain));
	CHECK(debug_enter(g.d));
	CHECK_EQ(riser_debug_send(g.d, &peer, "abc", 3), -EBUSY);
	CHECK_EQ(receive(&g, &peer, text), -EBUSY);
	debug_leave(g.d);
	CHECK_EQ(receive(&g, &peer, text), -EAGAIN);
	SUB(rig_close(&g));
}

/* What came to the other end as a datagram's bytes. */
static const char *came(struct rig *g)
{
	static char text[1600];
	struct riser_pkt *pkt;

	if (riser_port_rx(g->peer, &pkt, 1) != 1)
		return "nothing";
	memcpy(text, pkt->data + 42, pkt->len - 42);
	text[pkt->len - 42] = 0;
	riser_pkt_put(pkt);
	return text;
}

TEST(logs_as_netconsole_does)
{
	struct riser_debug_peer to = { THERE, 6666, { 2, 0, 0, 0, 0, 9 } };
	struct riser_netconsole *plain_log, *log;
	char line[1100];
	struct rig g;

	SUB(rig_open(&g, "", plain));
	g.r->clock.now = 12345678912345;
	CHECK_EQ(riser_netconsole_new(2, &log, &err), -EINVAL);
	CHECK_EQ(riser_netconsole_new(0, &plain_log, &err), 0);
	CHECK_EQ(riser_netconsole_new(RISER_NETCONSOLE_EXTENDED, &log, &err), 0);
	riser_netconsole_log(log, RISER_LOG_ERROR, "too early");
	riser_netconsole_attach(log, g.d, &to);
	riser_netconsole_attach(plain_log, g.d, &to);
	riser_netconsole_log(plain_log, RISER_LOG_ERROR, "all is well");
	CHECK_STR(came(&g), "[12345.678912] all is well\n");
	riser_netconsole_log(log, RISER_LOG_ERROR, "a\\b \xc3\xa9");
	CHECK_STR(came(&g), "11,0,12345678912,-;a\\x5cb \\xc3\\xa9\n");
	riser_netconsole_log(log, RISER_LOG_DEBUG, "");
	CHECK_STR(came(&g), "15,1,12345678912,-;\n");
	CHECK_STR(came(&g), "nothing");

	/* The longest line of one packet, and one byte more. */
	memset(line, 'x', sizeof(line));
	line[980] = 0;
	riser_netconsole_log(log, RISER_LOG_INFO, line);
	CHECK_EQ(strlen(came(&g)), 1000);
	CHECK_STR(came(&g), "nothing");
	line[980] = 'y';
	line[981] = 0;
	riser_netconsole_log(log, RISER_LOG_INFO, line);
	strcpy(line, came(&g));
	CHECK_EQ(strlen(line), 1000);
	CHECK(!strncmp(line, "14,3,12345678912,-,ncfrag=0/982;xxx", 35));
	CHECK_STR(came(&g), "14,3,12345678912,-,ncfrag=968/982;xxxxxxxxxxxxy\n");
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	riser_netconsole_log(plain_log, RISER_LOG_INFO, line);
	CHECK_EQ(strlen(came(&g)), 1000);
	CHECK_EQ(strlen(came(&g)), 15 + 1024 + 1 - 1000);

	CHECK_EQ(riser_netconsole_lost(log), 0);
	CHECK(debug_enter(g.d));
	riser_netconsole_log(log, RISER_LOG_INFO, "while somebody is inside");
	CHECK_EQ(riser_netconsole_lost(log), 1);
	debug_leave(g.d);
	riser_netconsole_attach(log, NULL, NULL);
	riser_netconsole_log(log, RISER_LOG_INFO, "too late");
	CHECK_STR(came(&g), "nothing");
	riser_netconsole_free(log);
	riser_netconsole_free(plain_log);
	SUB(rig_close(&g));
}

TEST_MAIN(CASE(answers_arp_to_who_may_know), CASE(receives_what_is_whole_and_for_it),
	  CASE(drops_copies_and_takes_repetitions), CASE(believes_checksums_left_to_a_device),
	  CASE(sends_to_peers_alone), CASE(is_a_door_for_neighbours), CASE(survives_a_bad_cable),
	  CASE(one_call_at_a_time), CASE(logs_as_netconsole_does))
