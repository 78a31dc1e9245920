/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The kernel's interface, in a network namespace of the test's own. */
#include "../tap.h"
#include "base/util.h"
#include "net/csum.h"
#include "net/pool.h"
#include "net/port.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <riser/net.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define KERNEL 0x0a090001
#define OURS   0x0a090002

static struct riser_err err;

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p;
	struct riser_port_queue *q;
	struct riser_ip *ip;
	unsigned echoes;
};

static void on_echo(void *ctx, uint32_t from, uint16_t seq, uint64_t rtt)
{
	struct rig *g = ctx;

	g->echoes += from == KERNEL;
}

/* Its address, and up. */
static bool configure(const char *name)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in *a = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool ok;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(KERNEL);
	ok = !ioctl(fd, SIOCSIFADDR, &ifr);
	a->sin_addr.s_addr = htonl(0xffffff00);
	ok = ok && !ioctl(fd, SIOCSIFNETMASK, &ifr);
	ok = ok && !ioctl(fd, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags |= IFF_UP;
	ok = ok && !ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return ok;
}

static void rig_open(struct rig *g, uint32_t offloads, unsigned queues)
{
	struct riser_port_opts o = { .size = sizeof(o), .offloads = offloads, .queues = queues };
	struct riser_port_info info = { .size = sizeof(info) };
	static bool inside;
	int rc;

	memset(g, 0, sizeof(*g));
	if (!inside && unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		SKIP("no network namespace may be made here");
	inside = true;
	CHECK_EQ(riser_new(NULL, &g->r, &err), 0);
	rc = riser_port_open(g->r, "tap:rtest0", &o, &g->p, &err);
	if (rc) {
		riser_free(g->r);
		if (rc == -ENOENT || rc == -ENODEV || rc == -EPERM || rc == -EACCES)
			SKIP("/dev/net/tun cannot be used here");
		FAIL("%s", err.text);
	}
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_pool_new(g->r, g->p, 256, 2048, &g->pool, &err), 0);
	CHECK_EQ(riser_port_queue_open(g->p, 0, g->x, g->pool, &g->q, &err), 0);
	riser_port_get_info(g->p, &info);
	CHECK(!info.link);
	CHECK(configure("rtest0"));
	riser_port_get_info(g->p, &info);
	CHECK(info.link);
	CHECK_EQ(info.mtu, 1500);
	CHECK_EQ(info.queues, queues);
}

static void rig_close(struct rig *g)
{
	riser_ip_free(g->ip);
	riser_port_queue_close(g->q);
	CHECK_EQ(g->pool->nfree, g->pool->count);
	riser_pool_free(g->pool);
	riser_port_close(g->p);
	riser_exec_free(g->x);
	riser_free(g->r);
}

static void on_ready(void *ctx)
{
	struct rig *g = ctx;

	riser_ip_poll(g->ip, NULL);
}

static void make_host(struct rig *g)
{
	struct riser_ip_opts o = { .size = sizeof(o), .address = OURS, .echo = on_echo, .ctx = g };

	CHECK_EQ(riser_ip_new(g->q, g->pool, &o, &g->ip, &err), 0);
	riser_port_watch(g->q, on_ready, g);
}

TEST(the_kernel_answers_pings)
{
	struct rig g;

	SUB(rig_open(&g, 0, 1));
	SUB(make_host(&g));
	while (riser_ip_ping(g.ip, KERNEL, 1, 56) == -EAGAIN)
		riser_exec_wait(g.x, 10 * NS_PER_MS);
	while (!g.echoes)
		riser_exec_wait(g.x, UINT64_MAX);
	riser_port_watch(g.q, NULL, NULL);
	SUB(rig_close(&g));
}

static int udp_socket(struct sockaddr_in *a, uint32_t address, uint16_t port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	*a = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(address),
				   .sin_port = htons(port) };
	return fd;
}

/* A datagram for the kernel's port 7777 of @len bytes whose checksum is still to be completed. */
static struct riser_pkt *make_udp(struct rig *g, unsigned len, unsigned gso)
{
	struct riser_port_info info = { .size = sizeof(info) };
	struct riser_pkt *pkt = riser_pkt_get(g->pool), *more = NULL;
	struct {
		uint8_t dst[6], src[6], type[2], ip[20], udp[8];
	} h = { .type = { 8, 0 }, .ip = { 0x45, [8] = 64, [9] = 17 } };
	unsigned first = sizeof(h) + len < 2048 ? len : 2048 - (unsigned)sizeof(h);
	uint32_t sum;

	riser_port_get_info(g->p, &info);
	memcpy(h.dst, info.mac, 6);
	h.dst[5] ^= 1;
	memcpy(h.src, info.mac, 6);
	h.ip[2] = (uint8_t)((28 + len) >> 8);
	h.ip[3] = (uint8_t)(28 + len);
	memcpy(h.ip + 12, (uint8_t[]){ 10, 9, 0, 2, 10, 9, 0, 1 }, 8);
	sum = (uint16_t)~csum_fold(csum_add(0, h.ip, 20));
	memcpy(h.ip + 10, &sum, 2);
	memcpy(h.udp,
	       (uint8_t[]){ 0x1e, 0x61, 0x1e, 0x61, (uint8_t)((8 + len) >> 8), (uint8_t)(8 + len) },
	       6);
	sum = csum_fold(
		csum_add(csum_add(0, h.ip + 12, 8), (uint8_t[]){ 0, 17, h.udp[4], h.udp[5] }, 4));
	memcpy(h.udp + 6, &sum, 2);
	memcpy(pkt->data, &h, sizeof(h));
	memset(pkt->data + sizeof(h), 'x', first);
	pkt->len = (uint32_t)sizeof(h) + first;
	pkt->total = (uint32_t)sizeof(h) + len;
	if (len > first) {
		more = riser_pkt_get(g->pool);
		more->len = len - first;
		memset(more->data, 'x', more->len);
	}
	pkt->next = more;
	pkt->flags = RISER_PKT_HDR;
	pkt->hdr = (struct riser_virtio_net_hdr){ .flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
						  .hdr_len = to_le16(sizeof(h)),
						  .csum_start = to_le16(34),
						  .csum_offset = to_le16(6),
						  .gso_size = to_le16((uint16_t)gso) };
	pkt->hdr.gso_type = gso ? RISER_VIRTIO_NET_GSO_UDP_L4 : 0;
	return pkt;
}

TEST(checksums_and_segments_are_finished_on_the_way_in)
{
	struct sockaddr_in a;
	struct riser_pkt *pkt;
	char buf[4096];
	struct rig g;
	int fd;

	SUB(rig_open(&g, 0, 1));
	fd = udp_socket(&a, KERNEL, 7777);
	CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	pkt = make_udp(&g, 300, 0);
	CHECK_EQ(riser_port_tx(g.q, &pkt, 1), 1);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 300);
	pkt = make_udp(&g, 3500, 1000);
	CHECK_EQ(riser_port_tx(g.q, &pkt, 1), 1);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(recv(fd, buf, sizeof(buf), 0), i < 3 ? 1000 : 500);
	CHECK(recv(fd, buf, sizeof(buf), 0) < 0);
	close(fd);
	SUB(rig_close(&g));
}

/* The kernel's datagram, among whatever else it says. */
static struct riser_pkt *receive_udp(struct rig *g)
{
	struct riser_pkt *pkt;

	for (int tries = 0; tries < 1000; tries++) {
		if (riser_port_rx(g->q, &pkt, 1) != 1) {
			riser_exec_wait(g->x, NS_PER_MS);
			continue;
		}
		if (pkt->total >= 42 && pkt->data[12] == 8 && pkt->data[23] == 17 &&
		    !memcmp(pkt->data + 30, (uint8_t[]){ 10, 9, 0, 2 }, 4))
			return pkt;
		riser_pkt_put(pkt);
	}
	return NULL;
}

static void kernel_sends(uint32_t offloads, struct rig *g, struct riser_pkt **out)
{
	struct sockaddr_in a;
	int fd;

	SUB(rig_open(g, offloads, 1));
	/* The kernel has to know us first. */
	SUB(make_host(g));
	while (riser_ip_ping(g->ip, KERNEL, 1, 56) == -EAGAIN)
		riser_exec_wait(g->x, 10 * NS_PER_MS);
	while (!g->echoes)
		riser_exec_wait(g->x, UINT64_MAX);
	riser_port_watch(g->q, NULL, NULL);
	fd = udp_socket(&a, OURS, 7777);
	CHECK_EQ(sendto(fd, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
	close(fd);
	*out = receive_udp(g);
	CHECK(*out);
}

TEST(who_can_gets_checksums_to_complete)
{
	static const uint8_t pseudo[] = { 10, 9, 0, 1, 10, 9, 0, 2, 0, 17, 0, 13 };
	struct riser_pkt *pkt;
	struct rig g;

	SUB(kernel_sends(RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE, &g, &pkt));
	CHECK_EQ(pkt->flags, RISER_PKT_HDR);
	CHECK_EQ(pkt->hdr.flags, RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK_EQ(le16(pkt->hdr.csum_start), 34);
	riser_pkt_put(pkt);
	SUB(rig_close(&g));
	SUB(kernel_sends(0, &g, &pkt));
	CHECK_EQ(pkt->flags, 0);
	CHECK_EQ(csum_fold(csum_add(csum_add(0, pseudo, sizeof(pseudo)), pkt->data + 34, 13)),
		 0xffff);
	riser_pkt_put(pkt);
	SUB(rig_close(&g));
}

TEST(an_interface_has_several_queues)
{
	struct riser_port_queue *q[4];
	struct riser_pkt *pkt;
	struct rig g;

	SUB(rig_open(&g, 0, 4));
	for (unsigned i = 1; i < 4; i++) {
		CHECK_EQ(riser_port_queue_open(g.p, i, g.x, g.pool, &q[i], &err), 0);
		pkt = make_udp(&g, 300, 0);
		CHECK_EQ(riser_port_tx(q[i], &pkt, 1), 1);
	}
	CHECK_EQ(riser_port_queue_open(g.p, 4, g.x, g.pool, &q[0], &err), -EINVAL);
	for (unsigned i = 1; i < 4; i++)
		riser_port_queue_close(q[i]);
	SUB(rig_close(&g));
}

TEST(an_interface_is_opened_once)
{
	struct riser_port *p;
	struct rig g;

	SUB(rig_open(&g, 0, 1));
	CHECK_EQ(riser_port_open(g.r, "tap:rtest0", NULL, &p, &err), -EBUSY);
	CHECK_HAS(err.text, "somebody else has the interface");
	CHECK_EQ(riser_port_open(g.r, "tap:a-name-that-is-too-long", NULL, &p, &err), -EINVAL);
	CHECK_EQ(riser_port_open(g.r, "tap:lo", NULL, &p, &err), -EEXIST);
	SUB(rig_close(&g));
}

TEST_MAIN(CASE(the_kernel_answers_pings), CASE(checksums_and_segments_are_finished_on_the_way_in),
	  CASE(who_can_gets_checksums_to_complete), CASE(an_interface_has_several_queues),
	  CASE(an_interface_is_opened_once))
