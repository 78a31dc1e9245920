/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * HOME devices: one executor's thread runs the device, so that it needs no lock. Its channel is the
 * home channel; the map of every other channel passes I/O to it and gets the completion back, by
 * the executors' inboxes.
 *
 *	submitter: count in on c, gate, frame of c, post → home: count in on h, the device's map, …
 *	home: … count out on h, end_io = go_back, post → submitter: pop, count out on c, up
 *
 * Each side touches its own channel alone, and what the submitter counts spans the whole way, so
 * that draining c is draining all of it. Below a home channel only its executor has channels.
 */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdlib.h>

/* In the submitter's thread again. */
static void arrived_back(struct riser_work *w)
{
	struct riser_blk_io *io = io_of_hop(w);
	struct riser_exec *x;

	blk_pop(io);
	x = io_priv(io)->cur->owner->x;
	blk_next_waiter(io_priv(io)->cur);
	x->in_cb++;
	blk_end(io, (enum riser_blk_status)io->status);
	x->in_cb--;
	clock_bump(x->r);
}

static bool go_back(struct blk_frame *f, struct riser_blk_io *io)
{
	io_priv(io)->hop.fn = arrived_back;
	riser_exec_post(f->channel->owner->x, &io_priv(io)->hop);
	return true;
}

/* In the home thread. */
static void arrived(struct riser_work *w)
{
	struct riser_blk_io *io = io_of_hop(w);
	struct riser_blk_channel *h = io_priv(io)->frame->channel->b->home_channel;

	io_priv(io)->cur = h;
	h->submit(h, io);
}

void home_send(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct riser_blk_channel *h = c->b->home_channel;
	struct io_priv *p = io_priv(io);

	if (h->owner == c->owner) {
		p->cur = h;
		h->submit(h, io);
		return;
	}
	p->frame->end_io = go_back;
	p->hop.fn = arrived;
	riser_exec_post(h->owner->x, &p->hop);
}

/* What is not a plain read or write comes here. */
static enum blk_verdict hop_map(struct blk_map *m, struct riser_blk_io *io)
{
	home_send(m->c, io);
	return BLK_SUBMITTED;
}

static const struct blk_ops hop_ops = {
	.size = sizeof(hop_ops),
	.map = hop_map,
};

int home_map_new(struct riser_blk_channel *c, struct blk_map **out, struct riser_err *err)
{
	struct blk_map *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	blk_map_init(m, c->b, c);
	m->ops = &hop_ops;
	m->submit = NULL;
	m->fast_max = c->b->limits.max_sectors ? c->b->limits.max_sectors : UINT32_MAX;
	*out = m;
	return 0;
}

int blk_set_home(struct riser_blk *b, struct riser_exec *x, struct riser_err *err)
{
	struct blk_channel_opts opts = { .is_home = true };

	return blk_channel_open(b, x, &opts, &b->home_channel, err);
}
