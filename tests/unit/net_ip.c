/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The small host, on a wire, in virtual time. */
#include "../tap.h"
#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <riser/net.h>

static struct riser_err err;

struct seen {
	unsigned echoes;
	uint16_t seq;
	uint64_t rtt;
};

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p[2];
	struct riser_port_queue *q[2];
	struct riser_ip *ip[2]; /* [1] only where the test makes one */
	struct seen seen;
};

static void on_echo(void *ctx, uint32_t from, uint16_t seq, uint64_t rtt)
{
	struct seen *s = ctx;

	s->echoes += from == 0x0a000001;
	s->seq = seq;
	s->rtt = rtt;
}

static void rig_open(struct rig *g, const char *keys, uint32_t address)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_ip_opts o = {
		.size = sizeof(o), .address = address, .echo = on_echo, .ctx = &g->seen
	};
	char uri[64];

	memset(g, 0, sizeof(*g));
	snprintf(uri, sizeof(uri), "wire:ip%s", keys);
	CHECK_EQ(riser_new(&opts, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, NULL, 64, 1518, &g->pool, &err), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(riser_port_open(g->r, uri, NULL, &g->p[i], &err), 0);
		CHECK_EQ(riser_port_queue_open(g->p[i], 0, g->x, g->pool, &g->q[i], &err), 0);
	}
	CHECK_EQ(riser_ip_new(g->q[0], g->pool, &o, &g->ip[0], &err), 0);
}

static void rig_close(struct rig *g)
{
	for (int i = 0; i < 2; i++) {
		riser_ip_free(g->ip[i]);
		riser_port_queue_close(g->q[i]);
		riser_port_close(g->p[i]);
	}
	CHECK_EQ(g->pool->nfree, g->pool->count);
	riser_pool_free(g->pool);
	riser_exec_free(g->x);
	riser_free(g->r);
}

/* A frame from the other end, of hexadecimal digits; "M" stands for the host's address. */
static void send_hex(struct rig *g, const char *hex)
{
	struct riser_port_info info = { .size = sizeof(info) };
	struct riser_pkt *pkt = riser_pkt_get(g->pool);

	riser_port_get_info(g->p[0], &info);
	for (; *hex; hex += *hex == ' ') {
		unsigned byte;

		if (*hex == 'M') {
			memcpy(pkt->data + pkt->len, info.mac, 6);
			pkt->len += 6;
			hex++;
			continue;
		}
		CHECK_EQ(sscanf(hex, "%2x", &byte), 1);
		pkt->data[pkt->len++] = (uint8_t)byte;
		hex += 2;
	}
	pkt->total = pkt->len;
	CHECK_EQ(riser_port_tx(g->q[1], &pkt, 1), 1);
	riser_ip_poll(g->ip[0], NULL);
}

/* What the host sent; NULL: nothing. The caller gives it back. */
static struct riser_pkt *answer(struct rig *g)
{
	struct riser_pkt *pkt;

	return riser_port_rx(g->q[1], &pkt, 1) == 1 ? pkt : NULL;
}

TEST(answers_arp_for_itself_alone)
{
	static const uint8_t want[] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	struct riser_pkt *pkt;
	struct rig g;

	SUB(rig_open(&g, "", 0x0a00000f));
	SUB(send_hex(&g, "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 "
			 "0a000001 000000000000 0a00000f"));
	pkt = answer(&g);
	CHECK(pkt);
	CHECK_EQ(pkt->len, 42);
	CHECK(!memcmp(pkt->data, "\x02\0\0\0\0\1", 6));
	CHECK(!memcmp(pkt->data + 14, want, sizeof(want)));
	CHECK(!memcmp(pkt->data + 28, "\x0a\0\0\x0f\2\0\0\0\0\1\x0a\0\0\1", 14));
	riser_pkt_put(pkt);
	SUB(send_hex(&g, "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 "
			 "0a000001 000000000000 0a000010"));
	CHECK(!answer(&g));
	SUB(send_hex(&g, "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 "
			 "0a000001 000000000000 0a0000"));
	CHECK(!answer(&g));
	SUB(rig_close(&g));
}

TEST(answers_echo_as_it_came)
{
	struct riser_pkt *pkt;
	struct rig g;

	SUB(rig_open(&g, "", 0x0a00000f));
	/* Checksums by hand: header 66cf, ICMP 08 00 with id 0001, seq 0002, "abc". */
	SUB(send_hex(&g, "M 020000000001 0800 4500001f 0000 0000 40 01 66cf 0a000001 0a00000f "
			 "0800 339a 0001 0002 616263"));
	pkt = answer(&g);
	CHECK(pkt);
	CHECK_EQ(pkt->len, 14 + 31);
	CHECK(!memcmp(pkt->data, "\x02\0\0\0\0\1", 6));
	CHECK(!memcmp(pkt->data + 26, "\x0a\0\0\x0f\x0a\0\0\1", 8));
	CHECK(!memcmp(pkt->data + 34, "\0\0\x3b\x9a\0\1\0\2abc", 11));
	riser_pkt_put(pkt);
	/* The same with a byte changed, cut short, for somebody else, and a fragment of it. */
	SUB(send_hex(&g, "M 020000000001 0800 4500001f 0000 0000 40 01 66cf 0a000001 0a00000f "
			 "0800 339a 0001 0002 616264"));
	CHECK(!answer(&g));
	SUB(send_hex(&g, "M 020000000001 0800 4500001f 0000 0000 40 01 66cf 0a000001 0a00000f "
			 "0800 339a 0001"));
	CHECK(!answer(&g));
	SUB(send_hex(&g, "M 020000000001 0800 4500001f 0000 0000 40 01 66ce 0a000001 0a000010 "
			 "0800 339a 0001 0002 616263"));
	CHECK(!answer(&g));
	SUB(send_hex(&g, "M 020000000001 0800 4500001f 0000 2000 40 01 46cf 0a000001 0a00000f "
			 "0800 339a 0001 0002 616263"));
	CHECK(!answer(&g));
	SUB(rig_close(&g));
}

static void poll_both(struct rig *g)
{
	for (int i = 0; i < 4; i++) {
		riser_ip_poll(g->ip[0], NULL);
		if (g->ip[1])
			riser_ip_poll(g->ip[1], NULL);
	}
}

TEST(pings_the_other_end)
{
	struct riser_ip_opts o = { .size = sizeof(o), .address = 0x0a000001 };
	struct riser_ip_info info = { .size = sizeof(info) };
	struct rig g;

	SUB(rig_open(&g, "", 0x0a00000f));
	CHECK_EQ(riser_ip_new(g.q[1], g.pool, &o, &g.ip[1], &err), 0);
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000001, 1, 1401), -EINVAL);
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000001, 1, 56), -EAGAIN);
	poll_both(&g);
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000001, 1, 56), 0);
	CHECK_EQ(g.seen.echoes, 0);
	poll_both(&g);
	CHECK_EQ(g.seen.echoes, 1);
	CHECK_EQ(g.seen.seq, 1);
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000001, 2, 1400), 0);
	poll_both(&g);
	CHECK_EQ(g.seen.echoes, 2);
	/* Nobody of that address: asked for, and not answered. */
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000002, 3, 56), -EAGAIN);
	poll_both(&g);
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000002, 3, 56), -EAGAIN);
	riser_ip_get_info(g.ip[1], &info);
	CHECK_EQ(info.answered, 3);
	SUB(rig_close(&g));
}

/* A server of the test's own. */
static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint16_t sum16(const uint8_t *p, unsigned len)
{
	uint32_t s = 0;

	for (unsigned i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

static uint8_t type_of(const struct riser_pkt *pkt)
{
	const uint8_t *o = pkt->data + 14 + 20 + 8 + 240;

	return o[0] == 53 && o[1] == 1 ? o[2] : 0;
}

/* Turn a client's message into a server's of @type with these @options, and send it. */
static void serve(struct rig *g, struct riser_pkt *pkt, uint8_t type, const char *options,
		  unsigned noptions)
{
	uint8_t *ip = pkt->data + 14, *udp = ip + 20, *m = udp + 8;
	unsigned len = 240 + 3 + noptions;

	memcpy(pkt->data, pkt->data + 6, 6);
	memset(pkt->data + 6, 2, 6);
	put32(ip + 12, 0x0a000202);
	ip[2] = (uint8_t)((len + 28) >> 8);
	ip[3] = (uint8_t)(len + 28);
	ip[10] = ip[11] = 0;
	put32(ip + 10, (uint32_t)sum16(ip, 20) << 16 | 0x0a00);
	memcpy(udp, "\0\x43\0\x44", 4);
	udp[4] = (uint8_t)((len + 8) >> 8);
	udp[5] = (uint8_t)(len + 8);
	udp[6] = udp[7] = 0;
	m[0] = 2;
	put32(m + 16, 0x0a00020f);
	memcpy(m + 240, (uint8_t[]){ 53, 1, type }, 3);
	memcpy(m + 243, options, noptions);
	pkt->len = pkt->total = 14 + 28 + len;
	CHECK_EQ(riser_port_tx(g->q[1], &pkt, 1), 1);
	riser_ip_poll(g->ip[0], NULL);
}

#define OPTIONS(s) (s), sizeof(s) - 1
#define GOOD                                                                                       \
	OPTIONS("\0\1\4\xff\xff\xff\0\3\4\x0a\0\2\2\6\4\x0a\0\2\3\x33\4\0\0\x0e\x10\x36\4\x0a\0"   \
		"\2\2\xff")

static void step_to(struct rig *g, uint64_t ns)
{
	uint64_t until = riser_now(g->r) + ns;

	while (riser_now(g->r) < until)
		riser_exec_wait(g->x, until - riser_now(g->r));
	riser_ip_poll(g->ip[0], NULL);
}

TEST(leases_and_renews)
{
	struct riser_ip_info info = { .size = sizeof(info) };
	struct riser_pkt *pkt;
	struct rig g;

	SUB(rig_open(&g, "", 0));
	riser_ip_poll(g.ip[0], NULL);
	pkt = answer(&g);
	CHECK(pkt && type_of(pkt) == 1);
	CHECK_EQ(sum16(pkt->data + 14, 20), 0);
	riser_pkt_put(pkt); /* lost: asked again, a second later */
	CHECK(!answer(&g));
	SUB(step_to(&g, NS_PER_S));
	pkt = answer(&g);
	CHECK(pkt && type_of(pkt) == 1);
	SUB(serve(&g, pkt, 2, GOOD));
	pkt = answer(&g);
	CHECK(pkt && type_of(pkt) == 3);
	riser_ip_get_info(g.ip[0], &info);
	CHECK_EQ(info.address, 0);
	CHECK_EQ(riser_ip_ping(g.ip[0], 0x0a000202, 1, 8), -EAGAIN);
	SUB(serve(&g, pkt, 5, GOOD));
	riser_ip_get_info(g.ip[0], &info);
	CHECK_EQ(info.address, 0x0a00020f);
	CHECK_EQ(info.netmask, 0xffffff00);
	CHECK_EQ(info.gateway, 0x0a000202);
	CHECK_EQ(info.dns, 0x0a000203);
	CHECK_EQ(info.lease, 3600);
	CHECK(!answer(&g));
	SUB(step_to(&g, 1800 * NS_PER_S));
	pkt = answer(&g);
	CHECK(pkt && type_of(pkt) == 3);
	CHECK(!memcmp(pkt->data + 14 + 28 + 12, "\x0a\0\2\x0f", 4)); /* ciaddr */
	SUB(serve(&g, pkt, 6, GOOD));                                /* it may not keep it */
	riser_ip_get_info(g.ip[0], &info);
	CHECK_EQ(info.address, 0);
	pkt = answer(&g);
	CHECK(pkt && type_of(pkt) == 1);
	riser_pkt_put(pkt);
	SUB(rig_close(&g));
}

TEST(believes_no_broken_offer)
{
	struct riser_ip_info info = { .size = sizeof(info) };
	struct riser_pkt *pkt;
	struct rig g;

	SUB(rig_open(&g, "", 0));
	riser_ip_poll(g.ip[0], NULL);
	pkt = answer(&g);
	CHECK(pkt);
	/* An option longer than the message. */
	SUB(serve(&g, pkt, 2, OPTIONS("\x36\4\x0a\0\2\2\3\xf0\x0a")));
	CHECK(!answer(&g));
	riser_ip_get_info(g.ip[0], &info);
	CHECK_EQ(info.malformed, 1);
	/* Of another exchange. */
	SUB(step_to(&g, NS_PER_S));
	pkt = answer(&g);
	CHECK(pkt);
	pkt->data[14 + 28 + 4] ^= 1;
	SUB(serve(&g, pkt, 2, GOOD));
	CHECK(!answer(&g));
	SUB(rig_close(&g));
}

TEST_MAIN(CASE(answers_arp_for_itself_alone), CASE(answers_echo_as_it_came),
	  CASE(pings_the_other_end), CASE(leases_and_renews), CASE(believes_no_broken_offer))
