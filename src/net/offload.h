/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a device may do for a packet (struct riser_virtio_net_hdr), done in software: completing a
 * checksum, cutting a large packet into segments, checking what came. Headers may be anybody's, and
 * so may be what the virtio header says of them: every length is looked at, hdr_len is not.
 */
#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

#include "base/util.h"
#include <riser/net.h>

#define OFFLOAD_HEAD  256 /* bytes that all headers of a packet have to lie in */
#define OFFLOAD_BATCH 32

/* A packet's first bytes in one piece, and what is where in them. */
struct offload_head {
	uint8_t bytes[OFFLOAD_HEAD];
	unsigned len;
	unsigned l3, l4; /* offsets */
	uint8_t proto;   /* of layer 4: TCP or UDP */
	bool v6;
};

/**
 * struct offload_cut - a packet that is being cut
 * @pkt: NULL: none is
 * @head: its headers, those of the next segment; the packet is there but for them
 * @data: where its data begins; @done: bytes of it that are cut off
 * @head_len: the length of its headers
 */
struct offload_cut {
	struct riser_pkt *pkt;
	struct offload_head head;
	unsigned head_len;
	uint32_t done, gso_size;
	uint16_t ip_id;
	uint32_t seq;
};

/* The RISER_PORT_… that transmitting @pkt wants; UINT32_MAX: what no port has. */
uint32_t offload_needs(const struct riser_pkt *pkt);

/* Return: whether the checksum that is asked for lies in the packet. */
bool offload_is_sane(const struct riser_pkt *pkt);

/* Fill in the checksum that is asked for; the packet is sane. */
void offload_csum(struct riser_pkt *pkt);

/* Return: whether it has a TCP or UDP checksum, and the right one. */
bool offload_check(const struct riser_pkt *pkt);

/*
 * Begin to cut @pkt, which is @cut's from now on, into segments of at most @room bytes. Return: 0,
 * or -EINVAL: its headers are not what its virtio header says, or too much; @pkt stays the
 * caller's.
 */
int offload_cut_begin(struct offload_cut *cut, struct riser_pkt *pkt, uint32_t room);

/*
 * The next segment, whose checksum is asked for, in a buffer of @pool's. Return: NULL: @pool has
 * none, or that was the last one, and then cut->pkt is NULL.
 */
struct riser_pkt *offload_cut_next(struct offload_cut *cut, struct riser_pool *pool);

#endif
