/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The datagram port, against a plain socket. */
#include "../tap.h"
#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <riser/net.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct riser_err err;

struct rig {
	char dir[32], uri[128];
	struct sockaddr_un here, there;
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p;
	struct riser_port_queue *q;
	int fd;
};

static int plain_socket(struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)a, sizeof(*a))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void rig_open(struct rig *g)
{
	strcpy(g->dir, "/tmp/riser-dgram-XXXXXX");
	CHECK(mkdtemp(g->dir));
	g->here.sun_family = g->there.sun_family = AF_UNIX;
	snprintf(g->here.sun_path, sizeof(g->here.sun_path), "%s/a", g->dir);
	snprintf(g->there.sun_path, sizeof(g->there.sun_path), "%s/b", g->dir);
	snprintf(g->uri, sizeof(g->uri), "dgram:%s/a?remote=%s/b&mac=02:00:00:00:00:07", g->dir,
		 g->dir);
	g->fd = plain_socket(&g->there);
	CHECK(g->fd >= 0);
	CHECK_EQ(riser_new(NULL, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, NULL, 256, 1518, &g->pool, &err), 0);
	CHECK_EQ(riser_port_open(g->r, g->uri, NULL, &g->p, &err), 0);
	CHECK_EQ(riser_port_queue_open(g->p, 0, g->x, g->pool, &g->q, &err), 0);
}

static void rig_close(struct rig *g)
{
	riser_port_queue_close(g->q);
	CHECK_EQ(g->pool->nfree, g->pool->count);
	riser_port_close(g->p);
	CHECK(access(g->here.sun_path, F_OK) && errno == ENOENT);
	riser_pool_free(g->pool);
	riser_exec_free(g->x);
	riser_free(g->r);
	close(g->fd);
	unlink(g->there.sun_path);
	rmdir(g->dir);
}

static struct riser_pkt *make(struct rig *g, uint8_t byte, uint32_t len)
{
	struct riser_pkt *pkt = riser_pkt_get(g->pool);

	pkt->len = pkt->total = len;
	memset(pkt->data, byte, len);
	return pkt;
}

TEST(frames_are_datagrams)
{
	struct riser_pkt *pkts[64], *tail;
	uint8_t buf[4096];
	struct rig g;

	SUB(rig_open(&g));
	for (uint8_t i = 0; i < 5; i++)
		pkts[i] = make(&g, i, 60 + i);
	tail = make(&g, 9, 100); /* one of two segments */
	pkts[4]->next = tail;
	pkts[4]->total += tail->len;
	CHECK_EQ(riser_port_tx(g.q, pkts, 5), 5);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(recv(g.fd, buf, sizeof(buf), 0), 60 + i);
		CHECK_EQ(buf[59 + i], i);
	}
	CHECK_EQ(recv(g.fd, buf, sizeof(buf), 0), 164);
	CHECK(buf[63] == 4 && buf[64] == 9 && buf[163] == 9);
	for (int i = 0; i < 40; i++) {
		memset(buf, i, 200);
		/* Nobody reads more than a few ahead of us: the socket's own queue is short. */
		CHECK_EQ(sendto(g.fd, buf, 200, 0, (struct sockaddr *)&g.here, sizeof(g.here)),
			 200);
		CHECK_EQ(riser_port_rx(g.q, pkts, 64), 1);
		CHECK_EQ(pkts[0]->total, 200);
		CHECK_EQ(pkts[0]->data[199], i);
		riser_pkt_put(pkts[0]);
	}
	CHECK_EQ(riser_port_rx(g.q, pkts, 64), 0);
	SUB(rig_close(&g));
}

TEST(a_frame_too_long_is_an_error)
{
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_pkt *pkts[4];
	uint8_t buf[4096] = { 0 };
	struct rig g;

	SUB(rig_open(&g));
	CHECK_EQ(sendto(g.fd, buf, 4096, 0, (struct sockaddr *)&g.here, sizeof(g.here)), 4096);
	CHECK_EQ(sendto(g.fd, buf, 99, 0, (struct sockaddr *)&g.here, sizeof(g.here)), 99);
	CHECK_EQ(riser_port_rx(g.q, pkts, 4), 1);
	CHECK_EQ(pkts[0]->len, 99);
	riser_pkt_put(pkts[0]);
	riser_port_get_stats(g.p, &st);
	CHECK_EQ(st.rx_errors, 1);
	CHECK_EQ(st.rx_packets, 1);
	SUB(rig_close(&g));
}

TEST(a_full_or_absent_remote_holds_nobody_up)
{
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_pkt *pkt;
	uint8_t buf[4096];
	unsigned sent = 0, got = 0;
	struct rig g;

	SUB(rig_open(&g));
	for (int rc = 1; rc == 1 && sent < 200; sent += (unsigned)rc) {
		pkt = make(&g, 1, 60);
		rc = riser_port_tx(g.q, &pkt, 1);
		CHECK(rc >= 0);
		if (!rc)
			riser_pkt_put(pkt);
	}
	CHECK(sent > 0 && sent < 200);
	while (recv(g.fd, buf, sizeof(buf), 0) == 60)
		got++;
	CHECK_EQ(got, sent);
	close(g.fd);
	pkt = make(&g, 1, 60);
	CHECK_EQ(riser_port_tx(g.q, &pkt, 1), 1);
	riser_port_get_stats(g.p, &st);
	CHECK_EQ(st.tx_packets, sent);
	CHECK_EQ(st.tx_dropped, 1);
	/* It comes again. */
	unlink(g.there.sun_path);
	g.fd = plain_socket(&g.there);
	pkt = make(&g, 1, 61);
	CHECK_EQ(riser_port_tx(g.q, &pkt, 1), 1);
	CHECK_EQ(recv(g.fd, buf, sizeof(buf), 0), 61);
	SUB(rig_close(&g));
}

static void on_ready(void *ctx)
{
	struct rig *g = ctx;
	struct riser_pkt *pkt;

	if (riser_port_rx(g->q, &pkt, 1) == 1) {
		riser_pkt_put(pkt);
		riser_port_watch(g->q, NULL, NULL);
		g->dir[0] = 0;
	}
}

TEST(a_frame_ends_a_sleep)
{
	uint8_t buf[64] = { 0 };
	char dir[32];
	struct rig g;

	SUB(rig_open(&g));
	strcpy(dir, g.dir);
	riser_port_watch(g.q, on_ready, &g);
	CHECK_EQ(riser_exec_wait(g.x, NS_PER_MS), 0);
	CHECK_EQ(sendto(g.fd, buf, 64, 0, (struct sockaddr *)&g.here, sizeof(g.here)), 64);
	while (g.dir[0])
		riser_exec_wait(g.x, UINT64_MAX);
	strcpy(g.dir, dir);
	SUB(rig_close(&g));
}

TEST(sockets_in_use_are_left_alone)
{
	struct riser_port *p;
	char uri[128];
	struct rig g;
	int fd;

	SUB(rig_open(&g));
	CHECK_EQ(riser_port_open(g.r, g.uri, NULL, &p, &err), -EADDRINUSE);
	snprintf(uri, sizeof(uri), "dgram:%s/c", g.dir);
	strcpy(strrchr(g.there.sun_path, '/'), "/c");
	fd = plain_socket(&g.there);
	close(fd); /* and its name stays behind */
	CHECK_EQ(riser_port_open(g.r, uri, NULL, &p, &err), 0);
	riser_port_close(p);
	CHECK_EQ(riser_port_open(g.r, "dgram:", NULL, &p, &err), -EINVAL);
	CHECK_EQ(riser_port_open(g.r, "dgram:/no/such/place", NULL, &p, &err), -ENOENT);
	CHECK_EQ(riser_port_open(g.r, "dgram:/tmp/x?mac=1:2:3", NULL, &p, &err), -EINVAL);
	strcpy(strrchr(g.there.sun_path, '/'), "/b");
	SUB(rig_close(&g));
}

TEST_MAIN(CASE(frames_are_datagrams), CASE(a_frame_too_long_is_an_error),
	  CASE(a_full_or_absent_remote_holds_nobody_up), CASE(a_frame_ends_a_sleep),
	  CASE(sockets_in_use_are_left_alone))
