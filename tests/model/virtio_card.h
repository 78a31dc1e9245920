/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The real driver on the model of a card, in one executor. */
#ifndef TESTS_MODEL_VIRTIO_CARD_H
#define TESTS_MODEL_VIRTIO_CARD_H

#include "../tap.h"
#include "base/exec.h"
#include "base/riser.h"
#include "model/model.h"
#include "net/pool.h"
#include "net/port/virtio.h"
#include "virtio/pci.h"
#include <errno.h>

#define POOL 1200u

struct card {
	struct riser *r;
	struct riser_exec *x;
	struct riser_pool *pool;
	struct riser_port *port;
	struct riser_port_queue *q;
	char told[600]; /* warnings */
};

static struct riser_err err;
static struct card card;

static void keep(void *ctx, enum riser_log_level level, const char *line)
{
	struct card *c = ctx;
	size_t len = strlen(c->told);

	if (level <= RISER_LOG_WARN)
		snprintf(c->told + len, sizeof(c->told) - len, "%s\n", line);
}

static int card_try(const char *uri, const struct riser_port_opts *port_opts)
{
	struct riser_opts opts = {
		.size = sizeof(opts), .flags = RISER_VIRTUAL_TIME, .log = keep, .log_ctx = &card
	};
	int rc;

	card = (struct card){ 0 };
	rc = riser_new(&opts, &card.r, &err);
	return rc ? rc : riser_port_open(card.r, uri, port_opts, &card.port, &err);
}

static void card_open(const char *uri, const struct riser_port_opts *port_opts)
{
	if (card_try(uri, port_opts))
		FAIL("%s: %s", uri, err.text);
	CHECK_EQ(riser_exec_new(card.r, &card.x, &err), 0);
	CHECK_EQ(riser_pool_new(card.r, card.port, POOL, 2048, &card.pool, &err), 0);
	if (riser_port_queue_open(card.port, 0, card.x, card.pool, &card.q, &err))
		FAIL("%s: %s", uri, err.text);
}

/* Everything came back, and the memory is unmapped. */
static void card_close(void)
{
	riser_port_queue_close(card.q);
	if (card.pool)
		CHECK_EQ(card.pool->nfree, card.pool->count);
	riser_pool_free(card.pool);
	riser_port_close(card.port);
	riser_exec_free(card.x);
	riser_free(card.r);
}

static struct virtio_dev *card_dev(void)
{
	return vport_of(card.port)->n->d;
}

static struct pci_dev *card_pci(void)
{
	return virtio_pci_of(card_dev())->pci;
}

static struct model_virtio_counters counted(void)
{
	struct model_virtio_counters c;

	model_virtio_get_counters(card_pci(), &c);
	return c;
}

/* @len bytes in as many segments as it takes, that say which packet they are of. */
static struct riser_pkt *make(unsigned number, uint32_t len)
{
	struct riser_pkt *first = riser_pkt_get(card.pool), *at = first;

	for (uint32_t done = 0; at; at = at->next) {
		at->len = min_of(len - done, 2048u);
		for (uint32_t i = 0; i < at->len; i++)
			at->data[i] = (uint8_t)(number * 31 + done + i);
		done += at->len;
		at->next = done < len ? riser_pkt_get(card.pool) : NULL;
	}
	first->total = len;
	/* To a card that exists, of a protocol that does not. */
	memset(first->data, 0xff, 6);
	first->data[12] = first->data[13] = 0x88;
	return first;
}

static bool is_whole(const struct riser_pkt *pkt, unsigned number, uint32_t len)
{
	uint32_t done = 0;

	if (pkt->total != len)
		return false;
	for (; pkt; pkt = pkt->next)
		for (uint32_t i = 0; i < pkt->len; i++, done++)
			if ((done > 13 || (done > 5 && done < 12)) &&
			    pkt->data[i] != (uint8_t)(number * 31 + done))
				return false;
	return done == len;
}

/* Let the model go on, and virtual time pass to what comes next, for @ns at the most. */
static void pass(uint64_t ns)
{
	struct clock_part part = { 0 };
	uint64_t next, until = clock_now(card.r) + ns;

	while (clock_now(card.r) < until) {
		uint64_t seen = clock_activity(card.r);

		if (pci_pump(card_pci(), &next) <= 0)
			clock_idle(card.r, &part, seen, min_of(next, until));
	}
	clock_leave(card.r, &part);
}

/* Send @pkt and wait for it, or anything else, to come back. Return: it, NULL, or *@rc is set. */
static struct riser_pkt *bounce(struct riser_pkt *pkt, int *rc)
{
	struct riser_pkt *got = NULL;

	*rc = 0;
	if (pkt)
		*rc = riser_port_tx(card.q, &pkt, 1);
	if (pkt && *rc != 1) {
		riser_pkt_put(pkt);
		return NULL;
	}
	for (unsigned i = 0; i < 50; i++) {
		*rc = riser_port_rx(card.q, &got, 1);
		if (*rc)
			return *rc > 0 ? got : NULL;
		pass(100 * NS_PER_US);
	}
	return NULL;
}

#endif
