/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * HOME devices: one executor's thread runs the device, so that it needs no lock. Its channel is the
 * home channel; the map of every other channel passes I/O to it and gets the completion back.
 *
 *	submitter: count in on c, gate, frame of c, batch → home: count in on h, the device's map, …
 *	home: … count out on h, end_io = go_back, batch → submitter: pop, count out on c, up
 *
 * Both ways I/O travels in batches, by the executors' inboxes: at depth a hop costs neither side an
 * atomic instruction an I/O.
 *
 * Each side touches its own channel alone, and what the submitter counts spans the whole way, so
 * that draining c is draining all of it. Below a home channel only its executor has channels.
 */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hop_map {
	struct blk_map map;
	struct riser_blk_channel *home;
	struct blk_batch there; /* the submitter's */
	/* On a line of its own: the home thread's. */
	struct blk_batch back __attribute__((aligned(64)));
};

/* The map that @io went through; its frame is on top. It stays while I/O is on its way. */
static struct hop_map *hop_of(struct riser_blk_io *io)
{
	return container_of(io_priv(io)->frame->channel->map, struct hop_map, map);
}

/* In the submitter's thread again. */
static void arrived_back(struct riser_work *w)
{
	struct riser_blk_io *io = io_of_hop(w), *next;
	struct riser_exec *x = io_priv(io)->frame->channel->owner->x;

	x->in_cb++;
	for (; io; io = next) {
		next = io_priv(io)->batch;
		blk_end_back(io);
	}
	x->in_cb--;
	clock_bump(x->r);
}

static bool go_back(struct blk_frame *f, struct riser_blk_io *io)
{
	struct hop_map *m = hop_of(io);

	owner_gather(m->home->owner, &m->back, io);
	return true;
}

/* In the home thread. */
static void arrived(struct riser_work *w)
{
	struct riser_blk_io *io = io_of_hop(w), *next;
	struct riser_blk_channel *h = hop_of(io)->home;

	for (; io; io = next) {
		next = io_priv(io)->batch;
		io_priv(io)->cur = h;
		h->submit(h, io);
	}
}

void home_send(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct hop_map *m = container_of(c->map, struct hop_map, map);
	struct riser_blk_channel *h = m->home;

	if (h->owner == c->owner) {
		io_priv(io)->cur = h;
		h->submit(h, io);
		return;
	}
	io_priv(io)->frame->end_io = go_back;
	owner_gather(c->owner, &m->there, io);
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
	struct hop_map *m = aligned_alloc(64, sizeof(*m));
	struct riser_blk_channel *h = c->b->home_channel;

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	memset(m, 0, sizeof(*m));
	blk_map_init(&m->map, c->b, c);
	m->map.ops = &hop_ops;
	m->map.submit = NULL;
	m->map.fast_max = c->b->limits.max_sectors ? c->b->limits.max_sectors : UINT32_MAX;
	m->home = h;
	m->there.to = h->owner->x;
	m->there.arrived = arrived;
	m->back.to = c->owner->x;
	m->back.arrived = arrived_back;
	*out = &m->map;
	return 0;
}

int blk_set_home(struct riser_blk *b, struct riser_exec *x, struct riser_err *err)
{
	struct blk_channel_opts opts = { .is_home = true };

	return blk_channel_open(b, x, &opts, &b->home_channel, err);
}
