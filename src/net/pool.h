/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Pools of packets: one owner, a stack of what is free, so that the last one given back, still in
 * the cache, is the next one taken.
 *
 * Packets and their buffers lie apart: a device may write anywhere in the memory that it was given,
 * and there it finds bytes, no pointers of ours. No buffer crosses a page where it fits into one,
 * because a device may see the next page elsewhere; and buffers begin at different places of their
 * pages, or all first lines would compete for the same few places in the cache.
 */
#ifndef NET_POOL_H
#define NET_POOL_H

#include "base/util.h"
#include <riser/net.h>
#include <stdbool.h>

/**
 * struct riser_pool - see above
 * @free: the stack
 * @nfree: its height
 * @count: packets
 * @size: bytes behind the headroom
 * @pkts: all of them
 * @bufs: of each packet, where its headroom begins
 * @near: whose memory it is, or NULL
 * @mem: the buffers' memory
 */
struct riser_pool {
	struct riser_pkt *free;
	unsigned nfree, count;
	uint32_t size;
	struct riser_pkt *pkts;
	uint8_t **bufs;
	struct riser *r;
	struct riser_port *near;
	void *mem;
	size_t mem_len;
};

/* Where a packet's memory begins, its headroom first. */
static inline uint8_t *pool_start(const struct riser_pkt *pkt)
{
	return pkt->pool->bufs[pkt - pkt->pool->pkts];
}

/* Bytes that fit behind data. */
static inline uint32_t pool_room(const struct riser_pkt *pkt)
{
	return (uint32_t)(pool_start(pkt) + RISER_PKT_HEADROOM + pkt->pool->size - pkt->data);
}

static inline struct riser_pkt *pool_get(struct riser_pool *pool)
{
	struct riser_pkt *pkt = pool->free;

	if (unlikely(!pkt))
		return NULL;
	pool->free = pkt->next;
	pool->nfree--;
	pkt->next = NULL;
	pkt->data = pool_start(pkt) + RISER_PKT_HEADROOM;
	pkt->len = pkt->total = 0;
	pkt->flags = 0;
	return pkt;
}

/* One segment. */
static inline void pool_put(struct riser_pkt *pkt)
{
	struct riser_pool *pool = pkt->pool;

	pkt->next = pool->free;
	pool->free = pkt;
	pool->nfree++;
}

/* A packet with all of its segments. */
static inline void pool_put_all(struct riser_pkt *pkt)
{
	for (struct riser_pkt *next; pkt; pkt = next) {
		next = pkt->next;
		pool_put(pkt);
	}
}

#endif
