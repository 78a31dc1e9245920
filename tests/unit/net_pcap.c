/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Capture files, written and read. What others make of them: cli/net.sh. */
#include "../tap.h"
#include "base/util.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <fcntl.h>
#include <riser/net.h>

static struct riser_err err;

struct rig {
	char path[64];
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
};

static void rig_open(struct rig *g, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	int fd;

	strcpy(g->path, "/tmp/riser-pcap-XXXXXX");
	fd = mkstemp(g->path);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(riser_new(&opts, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, NULL, 64, 2048, &g->pool, &err), 0);
}

static void rig_close(struct rig *g)
{
	CHECK_EQ(g->pool->nfree, g->pool->count);
	riser_pool_free(g->pool);
	riser_exec_free(g->x);
	riser_free(g->r);
	unlink(g->path);
}

static void open_port(struct rig *g, const char *keys, uint32_t offloads, struct riser_port **p,
		      struct riser_port_queue **q)
{
	struct riser_port_opts o = { .size = sizeof(o), .offloads = offloads };
	char uri[160];

	snprintf(uri, sizeof(uri), *keys ? "pcap:?in=%s%s" : "pcap:%s%s", g->path, keys);
	if (!strcmp(keys, "&"))
		uri[strlen(uri) - 1] = 0;
	CHECK_EQ(riser_port_open(g->r, uri, &o, p, &err), 0);
	CHECK_EQ(riser_port_queue_open(*p, 0, g->x, g->pool, q, &err), 0);
}

static void close_port(struct riser_port *p, struct riser_port_queue *q)
{
	riser_port_queue_close(q);
	riser_port_close(p);
}

static struct riser_pkt *make(struct rig *g, uint8_t byte, uint32_t len)
{
	struct riser_pkt *pkt = riser_pkt_get(g->pool);

	pkt->len = pkt->total = len;
	memset(pkt->data, byte, len);
	return pkt;
}

/* Three packets, a second apart; the second one large, and with a virtio header. */
static void write_three(struct rig *g)
{
	struct riser_port_queue *q;
	struct riser_pkt *pkt;
	struct riser_port *p;

	SUB(open_port(g, "", 0, &p, &q));
	for (uint8_t i = 0; i < 3; i++) {
		pkt = make(g, i, i == 1 ? 2048 : 61);
		if (i == 1) {
			pkt->next = make(g, 9, 1001);
			pkt->total += 1001;
			pkt->flags = RISER_PKT_HDR;
			pkt->hdr = (struct riser_virtio_net_hdr){
				.flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
				.gso_type = RISER_VIRTIO_NET_GSO_TCPV4,
				.hdr_len = to_le16(54),
				.gso_size = to_le16(1448),
				.csum_start = to_le16(34),
				.csum_offset = to_le16(16),
			};
		}
		CHECK_EQ(riser_port_tx(q, &pkt, 1), 1);
		while (riser_exec_wait(g->x, NS_PER_S) > 0)
			;
	}
	close_port(p, q);
}

TEST(comes_back_as_it_was_written)
{
	struct riser_port_queue *q;
	struct riser_pkt *pkts[8];
	struct riser_port *p;
	struct rig g;

	SUB(rig_open(&g, RISER_VIRTUAL_TIME));
	SUB(write_three(&g));
	SUB(open_port(&g, "&", RISER_PORT_RX_LARGE | RISER_PORT_RX_CSUM, &p, &q));
	CHECK_EQ(riser_port_rx(q, pkts, 8), 3);
	CHECK(pkts[0]->total == 61 && pkts[0]->data[60] == 0 && !pkts[0]->flags);
	CHECK_EQ(pkts[1]->total, 3049);
	CHECK_EQ(pkts[1]->flags, RISER_PKT_HDR);
	CHECK_EQ(pkts[1]->hdr.flags, RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK_EQ(pkts[1]->hdr.gso_type, RISER_VIRTIO_NET_GSO_TCPV4);
	CHECK_EQ(le16(pkts[1]->hdr.gso_size), 1448);
	CHECK_EQ(le16(pkts[1]->hdr.csum_offset), 16);
	CHECK(pkts[1]->next && pkts[1]->data[2047] == 1 && pkts[1]->next->data[1000] == 9);
	CHECK(pkts[2]->total == 61 && pkts[2]->data[0] == 2);
	for (int i = 0; i < 3; i++)
		riser_pkt_put(pkts[i]);
	CHECK_EQ(riser_port_rx(q, pkts, 8), -ENODEV);
	close_port(p, q);
	SUB(rig_close(&g));
}

struct seen {
	struct riser *r;
	struct riser_port_queue *q;
	uint64_t at[4];
	unsigned n;
	int rc;
};

static void on_ready(void *ctx)
{
	struct seen *s = ctx;
	struct riser_pkt *pkt;

	while ((s->rc = riser_port_rx(s->q, &pkt, 1)) == 1) {
		s->at[s->n++ % 4] = riser_now(s->r);
		riser_pkt_put(pkt);
	}
}

TEST(replays_by_its_times)
{
	struct seen s = { 0 };
	struct riser_port *p;
	struct rig g;

	SUB(rig_open(&g, RISER_VIRTUAL_TIME));
	SUB(write_three(&g));
	SUB(open_port(&g, "&timed=1", RISER_PORT_RX_LARGE, &p, &s.q));
	s.r = g.r;
	riser_port_watch(s.q, on_ready, &s);
	while (s.rc >= 0)
		riser_exec_wait(g.x, UINT64_MAX);
	CHECK_EQ(s.n, 3);
	CHECK_EQ(s.at[1] - s.at[0], NS_PER_S);
	CHECK_EQ(s.at[2] - s.at[1], NS_PER_S);
	riser_port_watch(s.q, NULL, NULL);
	close_port(p, s.q);
	SUB(rig_close(&g));
}

TEST(who_takes_no_large_ones_gets_none)
{
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_port_queue *q;
	struct riser_pkt *pkts[8];
	struct riser_port *p;
	struct rig g;

	SUB(rig_open(&g, RISER_VIRTUAL_TIME));
	SUB(write_three(&g));
	SUB(open_port(&g, "&", 0, &p, &q));
	CHECK_EQ(riser_port_rx(q, pkts, 8), 2);
	riser_pkt_put(pkts[0]);
	riser_pkt_put(pkts[1]);
	riser_port_get_stats(p, &st);
	CHECK_EQ(st.rx_errors, 1);
	close_port(p, q);
	SUB(rig_close(&g));
}

TEST(a_file_cut_off_ends_with_an_error)
{
	struct riser_port_stats st = { .size = sizeof(st) };
	struct riser_port_queue *q;
	struct riser_pkt *pkts[8];
	struct riser_port *p;
	char uri[128];
	struct rig g;
	off_t len;
	int fd;

	SUB(rig_open(&g, RISER_VIRTUAL_TIME));
	SUB(write_three(&g));
	fd = open(g.path, O_RDWR);
	len = lseek(fd, 0, SEEK_END);
	CHECK_EQ(ftruncate(fd, len - 5), 0);
	SUB(open_port(&g, "&", RISER_PORT_RX_LARGE, &p, &q));
	CHECK_EQ(riser_port_rx(q, pkts, 8), 2);
	riser_pkt_put(pkts[0]);
	riser_pkt_put(pkts[1]);
	CHECK_EQ(riser_port_rx(q, pkts, 8), -ENODEV);
	riser_port_get_stats(p, &st);
	CHECK_EQ(st.rx_errors, 1);
	close_port(p, q);
	CHECK_EQ(ftruncate(fd, 20), 0);
	snprintf(uri, sizeof(uri), "pcap:?in=%s", g.path);
	CHECK_EQ(riser_port_open(g.r, uri, NULL, &p, &err), -EBADMSG);
	CHECK_HAS(err.text, "is no pcapng file");
	CHECK_EQ(riser_port_open(g.r, "pcap:", NULL, &p, &err), -EINVAL);
	CHECK_EQ(riser_port_open(g.r, "pcap:?in=/no/such", NULL, &p, &err), -ENOENT);
	close(fd);
	SUB(rig_close(&g));
}

TEST_MAIN(CASE(comes_back_as_it_was_written), CASE(replays_by_its_times),
	  CASE(who_takes_no_large_ones_gets_none), CASE(a_file_cut_off_ends_with_an_error))
