/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Packets: their virtio headers and what those ask of software, and what the small host is told.
 *
 * covers: src/net/offload.c src/net/soft.c src/net/proto.c src/net/debug/responder.c
 * covers: src/net/debug/dhcp.c
 *
 * An input is a number of { length, two bytes; how, a byte; virtio header, 12; frame }. A frame
 * goes over a wire without offloads to a host, which may answer. Whatever it was, all buffers are
 * back in the end.
 */
#include "base/util.h"
#include "fuzz.h"
#include "net/csum.h"
#include "net/pool.h"
#include "net/port.h"
#include <riser/net.h>
#include <string.h>

#define RECORD  15
#define MAX     16
#define HDR     1 /* it has its virtio header */
#define FOR_US  2 /* it is made the host's: its address, and checksums that hold */
#define LATER   4 /* some seconds pass before it */
#define IN_TWO  8 /* it lies in two segments */
#define BUFFERS 200

struct fuzz {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *p[2];
	struct riser_port_queue *q[2];
	struct riser_ip *ip;
};

static void set_up(struct fuzz *f)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_port_opts o = { .size = sizeof(o), .offloads = RISER_PORT_RX_CSUM };
	struct riser_ip_opts host = { .size = sizeof(host) };

	FUZZ_CHECK(!riser_new(&opts, &f->r, NULL));
	FUZZ_CHECK(!riser_exec_new(f->r, &f->x, NULL));
	FUZZ_CHECK(!riser_pool_new(f->r, NULL, BUFFERS, 2048, &f->pool, NULL));
	for (int i = 0; i < 2; i++) {
		FUZZ_CHECK(!riser_port_open(f->r, "wire:f", &o, &f->p[i], NULL));
		FUZZ_CHECK(!riser_port_queue_open(f->p[i], 0, f->x, f->pool, &f->q[i], NULL));
	}
	FUZZ_CHECK(!riser_ip_new(f->q[0], f->pool, &host, &f->ip, NULL));
}

static void tear_down(struct fuzz *f)
{
	riser_ip_free(f->ip);
	for (int i = 0; i < 2; i++) {
		riser_port_queue_close(f->q[i]);
		riser_port_close(f->p[i]);
	}
	FUZZ_CHECK(f->pool->nfree == f->pool->count);
	riser_pool_free(f->pool);
	riser_exec_free(f->x);
	riser_free(f->r);
}

/* What a mutation would never hit upon. */
static void make_ours(struct fuzz *f, uint8_t *frame, uint32_t len)
{
	struct riser_port_info info = { .size = sizeof(info) };
	uint16_t sum;

	riser_port_get_info(f->p[0], &info);
	memcpy(frame, info.mac, 6);
	if (len < 42 || frame[12] != 8 || frame[13] || frame[14] != 0x45)
		return;
	memset(frame + 24, 0, 2);
	sum = (uint16_t)~csum_fold(csum_add(0, frame + 14, 20));
	memcpy(frame + 24, &sum, 2);
	if (frame[23] == 17)
		memset(frame + 40, 0, 2);
	if (frame[23] != 1)
		return;
	memset(frame + 36, 0, 2);
	sum = (uint16_t)~csum_fold(csum_add(0, frame + 34, len - 34));
	memcpy(frame + 36, &sum, 2);
}

static struct riser_pkt *make(struct fuzz *f, const uint8_t *record, uint32_t len)
{
	uint32_t first = record[2] & IN_TWO ? len / 3 : len;
	static uint8_t frame[65536];
	struct riser_pkt *head = NULL, **link = &head;

	memcpy(frame, record + RECORD, len);
	if (record[2] & FOR_US && len >= 14)
		make_ours(f, frame, len);
	for (uint32_t at = 0; at < len || !head;) {
		struct riser_pkt *s = riser_pkt_get(f->pool);

		FUZZ_CHECK(s);
		s->len = min_of(at ? len - at : first, 2048u);
		memcpy(s->data, frame + at, s->len);
		at += s->len;
		first = first ? first : len;
		*link = s;
		link = &s->next;
	}
	head->total = len;
	if (record[2] & HDR) {
		head->flags = RISER_PKT_HDR;
		memcpy(&head->hdr, record + 3, sizeof(head->hdr));
	}
	return head;
}

static void drain(struct fuzz *f)
{
	struct riser_pkt *pkts[32];

	for (int n; (n = riser_port_rx(f->q[1], pkts, 32)) > 0;)
		while (n)
			riser_pkt_put(pkts[--n]);
}

static void one(struct fuzz *f, const uint8_t *record, uint32_t len)
{
	struct riser_pkt *pkt;
	uint64_t until = riser_now(f->r) + (record[2] & LATER ? 3 : 0) * NS_PER_S;

	while (riser_now(f->r) < until)
		riser_exec_wait(f->x, until - riser_now(f->r));
	riser_ip_poll(f->ip, NULL);
	drain(f);
	pkt = make(f, record, len);
	if (riser_port_tx(f->q[1], &pkt, 1) != 1)
		riser_pkt_put(pkt);
	/* All segments of it: a poll sends on what is left. */
	for (int idle = 0; idle < 2;) {
		idle = riser_ip_poll(f->ip, NULL) > 0 ? 0 : idle + 1;
		riser_port_tx(f->q[1], NULL, 0);
		drain(f);
	}
	riser_ip_ping(f->ip, 0x0a000202, 1, 8);
	drain(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f;

	set_up(&f);
	for (int i = 0; i < MAX && size >= RECORD; i++) {
		uint32_t len =
			min_of((uint32_t)(data[0] << 8 | data[1]), (uint32_t)(size - RECORD));

		one(&f, data, len);
		data += RECORD + len;
		size -= RECORD + len;
	}
	tear_down(&f);
	return 0;
}
