/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Pools, and what every port has from the core, on wires. */
#include "../tap.h"
#include "base/exec.h"
#include "base/riser.h"
#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <pthread.h>
#include <riser/net.h>

static struct riser_err err;

/* One context with both ends of a wire. */
struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p[2];
	struct riser_port_queue *q[2];
};

static void rig_open(struct rig *g, const char *keys, const struct riser_port_opts *port_opts)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	char uri[128];

	snprintf(uri, sizeof(uri), "wire:a%s", keys);
	CHECK_EQ(riser_new(&opts, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, NULL, 600, 2048, &g->pool, &err), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(riser_port_open(g->r, uri, port_opts, &g->p[i], &err), 0);
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

/* @len bytes that say which packet they are of. */
static struct riser_pkt *make(struct riser_pool *pool, uint32_t number, uint32_t len)
{
	struct riser_pkt *pkt = riser_pkt_get(pool);

	if (!pkt)
		return NULL;
	pkt->len = pkt->total = len;
	for (uint32_t i = 0; i < len; i++)
		pkt->data[i] = (uint8_t)(number * 31 + i);
	return pkt;
}

static bool is_whole(const struct riser_pkt *pkt, uint32_t number, uint32_t len)
{
	bool same = pkt->total == len && pkt->len == len && !pkt->next;

	for (uint32_t i = 0; same && i < len; i++)
		same = pkt->data[i] == (uint8_t)(number * 31 + i);
	return same;
}

TEST(pool_lends_each_buffer_once)
{
	struct riser_pool *pool;
	struct riser_pkt *pkts[300];
	struct riser *r;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_pool_new(r, NULL, 300, 1518, &pool, &err), 0);
	for (int i = 0; i < 300; i++) {
		uintptr_t from, to;

		pkts[i] = riser_pkt_get(pool);
		CHECK(pkts[i]);
		CHECK_EQ(pkts[i]->len | pkts[i]->flags, 0);
		CHECK(pool_room(pkts[i]) >= 1518);
		from = (uintptr_t)pkts[i]->data - RISER_PKT_HEADROOM;
		to = (uintptr_t)pkts[i]->data + 1518 - 1;
		CHECK_EQ(from % 64, 0);
		CHECK_EQ(from / page, to / page);
		memset(pkts[i]->data - RISER_PKT_HEADROOM, i, RISER_PKT_HEADROOM + 1518);
	}
	CHECK(!riser_pkt_get(pool));
	for (int i = 0; i < 300; i++) {
		for (int at = -(int)RISER_PKT_HEADROOM; at < 1518; at++)
			CHECK_EQ(pkts[i]->data[at], (uint8_t)i);
	}
	pkts[0]->next = pkts[1];
	riser_pkt_put(pkts[0]);
	CHECK_EQ(pool->nfree, 2);
	CHECK(riser_pkt_get(pool) == pkts[1]);
	riser_pool_free(pool);
	CHECK_EQ(riser_pool_new(r, NULL, 3, 9018, &pool, &err), 0);
	pkts[0] = riser_pkt_get(pool);
	pkts[1] = riser_pkt_get(pool);
	memset(pkts[0]->data, 1, 9018);
	memset(pkts[1]->data, 2, 9018);
	CHECK_EQ(pkts[0]->data[9017], 1);
	CHECK_EQ(pkts[1]->data[0], 2);
	riser_pool_free(pool);
	CHECK_EQ(riser_pool_new(r, NULL, 0, 64, &pool, &err), -EINVAL);
	riser_free(r);
}

TEST(wire_carries_frames_in_order)
{
	struct riser_port_info info = { .size = sizeof(info) };
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_pkt *pkts[64];
	struct rig g;

	SUB(rig_open(&g, "", NULL));
	riser_port_get_info(g.p[0], &info);
	CHECK(info.link && info.harmless);
	CHECK_EQ(info.mtu, 1500);
	/* Often enough that the ring wraps, with lengths that do not divide it. */
	for (uint32_t round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < 32; i++)
			pkts[i] = make(g.pool, round + i, 60 + (round * 32 + i) % 1400);
		CHECK_EQ(riser_port_tx(g.q[0], pkts, 32), 32);
		CHECK_EQ(riser_port_rx(g.q[0], pkts, 64), 0);
		CHECK_EQ(riser_port_rx(g.q[1], pkts, 64), 32);
		for (uint32_t i = 0; i < 32; i++) {
			CHECK(is_whole(pkts[i], round + i, 60 + (round * 32 + i) % 1400));
			riser_pkt_put(pkts[i]);
		}
	}
	riser_port_get_stats(g.p[0], &st);
	CHECK_EQ(st.tx_packets, 6400);
	riser_port_get_stats(g.p[1], &st);
	CHECK_EQ(st.rx_packets, 6400);
	SUB(rig_close(&g));
}

TEST(wire_takes_no_more_than_it_has_room_for)
{
	struct riser_pkt *pkts[600];
	unsigned sent = 0, got = 0;
	struct rig g;

	SUB(rig_open(&g, "", NULL));
	riser_pool_free(g.pool);
	g.pool = NULL;
	CHECK_EQ(riser_pool_new(g.r, NULL, 1100, 2048, &g.pool, &err), 0);
	g.q[1]->pool = g.pool;
	for (int rc = 1; rc > 0 && sent < 1000; sent += (unsigned)rc) {
		pkts[0] = make(g.pool, sent, 2000);
		rc = riser_port_tx(g.q[0], pkts, 1);
		CHECK(rc >= 0);
		if (!rc)
			riser_pkt_put(pkts[0]);
	}
	CHECK(sent > 500 && sent < 530); /* of 1 MiB */
	CHECK(g.q[0]->full);
	for (int n; (n = riser_port_rx(g.q[1], pkts, 7)) > 0;)
		for (int i = 0; i < n; i++) {
			CHECK(is_whole(pkts[i], got++, 2000));
			riser_pkt_put(pkts[i]);
		}
	CHECK_EQ(got, sent);
	pkts[0] = make(g.pool, 1, 2000);
	CHECK_EQ(riser_port_tx(g.q[0], pkts, 1), 1);
	CHECK(!g.q[0]->full);
	SUB(rig_close(&g));
}

static unsigned send_and_count(struct rig *g, unsigned n, unsigned *damaged)
{
	struct riser_pkt *pkts[1];
	unsigned got = 0;

	*damaged = 0;
	for (unsigned i = 0; i < n; i++) {
		pkts[0] = make(g->pool, 7, 100);
		if (riser_port_tx(g->q[0], pkts, 1) != 1)
			return 0;
		if (riser_port_rx(g->q[1], pkts, 1) != 1)
			continue;
		got++;
		*damaged += !is_whole(pkts[0], 7, 100);
		riser_pkt_put(pkts[0]);
	}
	return got;
}

TEST(wire_loses_and_damages_by_its_seed)
{
	unsigned got[3], bad[3];
	static const char *const keys[] = { "?loss=100000&corrupt=50000&seed=1",
					    "?loss=100000&corrupt=50000&seed=1",
					    "?loss=100000&corrupt=50000&seed=2" };

	for (int i = 0; i < 3; i++) {
		struct rig g;

		SUB(rig_open(&g, keys[i], NULL));
		got[i] = send_and_count(&g, 10000, &bad[i]);
		SUB(rig_close(&g));
		CHECK(got[i] > 8700 && got[i] < 9300);
		CHECK(bad[i] > 350 && bad[i] < 550);
	}
	CHECK_EQ(got[0], got[1]);
	CHECK_EQ(bad[0], bad[1]);
	CHECK(got[0] != got[2] || bad[0] != bad[2]);
}

struct seen {
	struct rig *g;
	unsigned calls, packets;
	uint64_t last;
};

static void on_ready(void *ctx)
{
	struct seen *s = ctx;
	struct riser_pkt *pkts[8];
	int n;

	s->calls++;
	while ((n = riser_port_rx(s->g->q[1], pkts, 8)) > 0)
		for (int i = 0; i < n; i++) {
			riser_pkt_put(pkts[i]);
			s->packets++;
			s->last = riser_now(s->g->r);
		}
}

TEST(delay_is_of_the_contexts_clock)
{
	struct riser_pkt *pkts[1];
	struct seen s = { 0 };
	struct rig g;
	uint64_t from;

	SUB(rig_open(&g, "?delay=30000000", NULL)); /* half a minute */
	s.g = &g;
	riser_port_watch(g.q[1], on_ready, &s);
	from = riser_now(g.r);
	pkts[0] = make(g.pool, 1, 100);
	CHECK_EQ(riser_port_tx(g.q[0], pkts, 1), 1);
	while (!s.packets)
		riser_exec_wait(g.x, UINT64_MAX);
	CHECK_EQ(s.last - from, 30 * NS_PER_S);
	riser_port_watch(g.q[1], NULL, NULL);
	SUB(rig_close(&g));
}

TEST(queues_and_ends_are_taken_once)
{
	struct riser_port_queue *q;
	struct riser_port *p;
	struct rig g;

	SUB(rig_open(&g, "", NULL));
	CHECK_EQ(riser_port_open(g.r, "wire:a", NULL, &p, &err), -EBUSY);
	CHECK_HAS(err.text, "both of its ends are open");
	CHECK_EQ(riser_port_queue_open(g.p[0], 0, g.x, NULL, &q, &err), -EBUSY);
	CHECK_EQ(riser_port_queue_open(g.p[0], 1, g.x, NULL, &q, &err), -EINVAL);
	CHECK_EQ(riser_port_open(g.r, "wyre:a", NULL, &p, &err), -EINVAL);
	CHECK_HAS(err.text, "did you mean 'wire:'");
	CHECK_EQ(riser_port_open(g.r, "wire:b?los=1", NULL, &p, &err), -EINVAL);
	CHECK_EQ(riser_port_open(g.r, "wire:", NULL, &p, &err), -EINVAL);
	SUB(rig_close(&g));
}

/* The far end's thread answers each packet; both sides sleep in between. */
struct echo {
	struct riser *r;
	struct riser_port *p;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port_queue *q;
	unsigned got;
};

static void answer(void *ctx)
{
	struct echo *e = ctx;
	struct riser_pkt *pkts[4];
	int n;

	while ((n = riser_port_rx(e->q, pkts, 4)) > 0) {
		e->got += (unsigned)n;
		if (riser_port_tx(e->q, pkts, (unsigned)n) != n)
			return;
	}
}

static void *run_echo(void *arg)
{
	struct echo *e = arg;

	riser_port_watch(e->q, answer, e);
	while (e->got < 2000)
		riser_exec_wait(e->x, UINT64_MAX);
	riser_port_watch(e->q, NULL, NULL);
	return NULL;
}

static void count(void *ctx)
{
	struct echo *e = ctx;
	struct riser_pkt *pkts[4];
	int n;

	while ((n = riser_port_rx(e->q, pkts, 4)) > 0)
		for (int i = 0; i < n; i++) {
			e->got += is_whole(pkts[i], e->got, 200);
			riser_pkt_put(pkts[i]);
		}
}

static void echo_open(struct echo *e, struct riser *r)
{
	e->r = r;
	e->got = 0;
	CHECK_EQ(riser_exec_new(r, &e->x, &err), 0);
	CHECK_EQ(riser_pool_new(r, NULL, 64, 2048, &e->pool, &err), 0);
	CHECK_EQ(riser_port_open(r, "wire:t", NULL, &e->p, &err), 0);
	CHECK_EQ(riser_port_queue_open(e->p, 0, e->x, e->pool, &e->q, &err), 0);
}

static void echo_close(struct echo *e)
{
	riser_port_queue_close(e->q);
	riser_port_close(e->p);
	riser_pool_free(e->pool);
	riser_exec_free(e->x);
}

TEST(two_threads_sleep_and_wake)
{
	struct echo here, there;
	struct riser_pkt *pkt;
	pthread_t thread;
	struct riser *r;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	SUB(echo_open(&here, r));
	SUB(echo_open(&there, r));
	CHECK_EQ(pthread_create(&thread, NULL, run_echo, &there), 0);
	riser_port_watch(here.q, count, &here);
	for (unsigned sent = 0; here.got < 2000;) {
		for (; sent < 2000 && sent < here.got + 1 + sent % 8; sent++) {
			pkt = make(here.pool, sent, 200);
			CHECK_EQ(riser_port_tx(here.q, &pkt, 1), 1);
		}
		riser_exec_wait(here.x, UINT64_MAX);
	}
	riser_port_watch(here.q, NULL, NULL);
	pthread_join(thread, NULL);
	CHECK_EQ(there.got, 2000);
	echo_close(&here);
	echo_close(&there);
	riser_free(r);
}

TEST_MAIN(CASE(pool_lends_each_buffer_once), CASE(wire_carries_frames_in_order),
	  CASE(wire_takes_no_more_than_it_has_room_for), CASE(wire_loses_and_damages_by_its_seed),
	  CASE(delay_is_of_the_contexts_clock), CASE(queues_and_ends_are_taken_once),
	  CASE(two_threads_sleep_and_wake))
