/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Owners of a virtio card's queues in threads of their own, while a third resets and sets it:
 * nobody waits for anybody, every buffer comes back.
 */
#include "../tap.h"
#include "net/pool.h"
#include <errno.h>
#include <pthread.h>
#include <riser/net.h>

#define OWNERS  2
#define BUFFERS 256
#define RESETS  12

static struct riser *r;
static struct riser_port *port;

struct owner {
	pthread_t thread;
	unsigned index;
	bool stop, bad;     /* atomic */
	uint64_t sent, got; /* atomic */
};

static struct owner owners[OWNERS];

static void turn(struct owner *o, struct riser_port_queue *q, struct riser_pool *pool)
{
	struct riser_pkt *pkts[8];
	unsigned n = 0;
	int rc;

	while (n < 8 && (pkts[n] = riser_pkt_get(pool))) {
		pkts[n]->len = pkts[n]->total = 60;
		memset(pkts[n]->data, 0xff, 60);
		n++;
	}
	rc = riser_port_tx(q, pkts, n);
	__atomic_fetch_add(&o->sent, rc > 0 ? (uint64_t)rc : 0, __ATOMIC_RELAXED);
	for (unsigned i = rc > 0 ? (unsigned)rc : 0; i < n; i++)
		riser_pkt_put(pkts[i]);
	rc = riser_port_rx(q, pkts, 8);
	for (int i = 0; i < rc; i++) {
		if (pkts[i]->total != 60 || pkts[i]->data[59] != 0xff)
			__atomic_store_n(&o->bad, true, __ATOMIC_RELAXED);
		riser_pkt_put(pkts[i]);
	}
	__atomic_fetch_add(&o->got, rc > 0 ? (uint64_t)rc : 0, __ATOMIC_RELAXED);
}

static void *run(void *arg)
{
	struct owner *o = arg;
	struct riser_port_queue *q = NULL;
	struct riser_pool *pool = NULL;
	struct riser_exec *x = NULL;

	if (riser_exec_new(r, &x, NULL) || riser_pool_new(r, port, BUFFERS, 2048, &pool, NULL) ||
	    riser_port_queue_open(port, o->index, x, pool, &q, NULL)) {
		__atomic_store_n(&o->bad, true, __ATOMIC_RELAXED);
	} else {
		while (!__atomic_load_n(&o->stop, __ATOMIC_RELAXED)) {
			turn(o, q, pool);
			if (__atomic_load_n(&o->sent, __ATOMIC_RELAXED) % 64 < 8)
				usleep(100);
		}
	}
	riser_port_queue_close(q);
	if (pool && pool->nfree != BUFFERS)
		__atomic_store_n(&o->bad, true, __ATOMIC_RELAXED);
	riser_pool_free(pool);
	riser_exec_free(x);
	return NULL;
}

/* Both have sent more, and somebody has received. */
static bool goes_on(const uint64_t sent[OWNERS], uint64_t got)
{
	for (unsigned t = 0; t < 20000; t++) {
		uint64_t now = 0;
		bool all = true;

		for (unsigned i = 0; i < OWNERS; i++) {
			all &= __atomic_load_n(&owners[i].sent, __ATOMIC_RELAXED) > sent[i];
			now += __atomic_load_n(&owners[i].got, __ATOMIC_RELAXED);
		}
		if (all && now > got)
			return true;
		usleep(1000);
	}
	return false;
}

TEST(resets_among_owners)
{
	const struct riser_port_opts opts = { .size = sizeof(opts), .queues = OWNERS };
	const char *kinds[] = { "", "&features=%2BPACKED", "&features=-RING_RESET" };

	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct riser_port_info info = { .size = sizeof(info) };
		struct riser_err err;
		char uri[128];

		snprintf(uri, sizeof(uri), "model:virtio-net?loop=on&pairs=2&mode=thread%s",
			 kinds[k]);
		CHECK_EQ(riser_new(NULL, &r, &err), 0);
		if (riser_port_open(r, uri, &opts, &port, &err))
			FAIL("%s", err.text);
		for (unsigned i = 0; i < OWNERS; i++) {
			owners[i] = (struct owner){ .index = i };
			CHECK_EQ(pthread_create(&owners[i].thread, NULL, run, &owners[i]), 0);
		}
		for (unsigned n = 0; n < RESETS; n++) {
			uint64_t sent[OWNERS], got = 0;

			for (unsigned i = 0; i < OWNERS; i++) {
				sent[i] = __atomic_load_n(&owners[i].sent, __ATOMIC_RELAXED);
				got += __atomic_load_n(&owners[i].got, __ATOMIC_RELAXED);
			}
			CHECK(goes_on(sent, got));
			if (riser_port_reset(port, &err) ||
			    riser_port_set_rx_mode(port, RISER_PORT_PROMISC, &err))
				FAIL("%s", err.text);
			riser_port_get_info(port, &info);
			CHECK(info.link);
		}
		for (unsigned i = 0; i < OWNERS; i++)
			__atomic_store_n(&owners[i].stop, true, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < OWNERS; i++) {
			pthread_join(owners[i].thread, NULL);
			CHECK(!owners[i].bad);
		}
		riser_port_close(port);
		riser_free(r);
	}
}

TEST_MAIN(CASE(resets_among_owners))
