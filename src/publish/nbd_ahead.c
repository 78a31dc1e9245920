/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Reading ahead into place.
 *
 * Behind a WRITE comes a header, and behind that header perhaps another payload. To read header
 * by header costs a system call for each WRITE; to read on into @rx costs a copy of each payload.
 * But who writes blocks of one small size in a row probably goes on with it. So that is bet on:
 * one recvmsg scatters header, payload, header, payload … into the device's buffers. A lost bet
 * is copied into @rx, which is empty then and has room for all of it, and parsed from there.
 *
 * ahead.have bytes, from item ahead.at on, were received and are not parsed yet.
 */
#include "base/util.h"
#include "publish/nbd.h"
#include <string.h>

#define RUN_MIN 3 /* WRITEs of one size that make a bet */

void nbd_ahead_saw(struct nbd_conn *c, uint16_t type, uint32_t len)
{
	struct nbd_ahead *a = &c->ahead;

	if (type != NBD_CMD_WRITE || len > NBD_SMALL || len != a->len)
		a->run = 0;
	a->run++;
	a->len = len;
}

unsigned nbd_ahead_prepare(struct nbd_conn *c, struct iovec *iov)
{
	struct nbd_ahead *a = &c->ahead;
	size_t fit = NBD_RX_SIZE / (sizeof(a->items[0].h) + a->len);
	/* A little more than was used last time, not all that there is. */
	size_t max = min_of(min_of(fit, (size_t)NBD_AHEAD), 2 * a->used + 2);

	a->at = a->n = 0;
	if (a->run < RUN_MIN || !c->after_write)
		return 0;
	for (; a->n < max && c->small.nfree; a->n++) {
		struct nbd_ahead_item *item = &a->items[a->n];

		item->piece = nbd_pool_take(&c->small);
		*iov++ = (struct iovec){ &item->h, sizeof(item->h) };
		*iov++ = (struct iovec){ item->piece->buf, a->len };
	}
	return 2 * a->n;
}

void nbd_ahead_received(struct nbd_conn *c, size_t n)
{
	struct nbd_ahead *a = &c->ahead;
	size_t each = sizeof(a->items[0].h) + a->len;

	a->have = n;
	a->used = (n + each - 1) / each;
	while (a->n > a->used)
		nbd_pool_give(a->items[--a->n].piece);
}

/* Copy what was received from item @at on into @rx. */
static void spill(struct nbd_conn *c)
{
	struct nbd_ahead *a = &c->ahead;

	if (a->have >= sizeof(a->items[0].h))
		a->run = 0; /* a lost bet, not just the end of what came */
	c->rx_at = c->rx_end = 0;
	for (; a->at < a->n; a->at++) {
		struct nbd_ahead_item *item = &a->items[a->at];
		size_t head = min_of(a->have, sizeof(item->h));
		size_t payload = min_of(a->have - head, (size_t)a->len);

		memcpy(c->rx + c->rx_end, &item->h, head);
		memcpy(c->rx + c->rx_end + head, item->piece->buf, payload);
		c->rx_end += (uint32_t)(head + payload);
		a->have -= head + payload;
		nbd_pool_give(item->piece);
	}
}

bool nbd_ahead_next(struct nbd_conn *c, struct nbd_command_header *h)
{
	struct nbd_ahead *a = &c->ahead;

	if (!a->have)
		return false;
	*h = a->items[a->at].h;
	if (a->have >= sizeof(*h) && be32(h->magic) == NBD_REQUEST_MAGIC &&
	    be16(h->type) == NBD_CMD_WRITE && be32(h->len) == a->len)
		return true;
	spill(c);
	return false;
}

void nbd_ahead_take(struct nbd_conn *c)
{
	struct nbd_ahead *a = &c->ahead;
	struct nbd_piece *piece = a->items[a->at++].piece;
	uint32_t got;

	a->have -= sizeof(struct nbd_command_header);
	got = (uint32_t)min_of(a->have, (size_t)a->len);
	a->have -= got;
	if (c->cur) {
		nbd_piece_set(piece, c->cur, 0);
		c->piece = piece;
		c->filled = got;
	} else { /* it was refused */
		c->skip -= got;
		nbd_pool_give(piece);
	}
}
