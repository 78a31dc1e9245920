/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * HOME: one executor's thread runs the device, so that what its table makes needs no lock. Whether
 * that is wanted is a property of the table (blk_ops.wants_home). The home is a channel of its own,
 * with the only map of the table; the map of every other channel is a hop, which passes I/O to the
 * home and gets the completion back.
 *
 *	submitter: count in on c, gate, frame of c, batch → home: count in on h, the table's map, …
 *	home: … count out on h, end_io = go_back, batch → submitter: pop, count out on c, up
 *
 * Both ways I/O travels in batches, by the executors' inboxes: at depth a hop costs neither side an
 * atomic instruction an I/O. Each side touches its own channel alone, and what the submitter counts
 * spans the whole way, so that draining c is draining all of it. Below a home only its executor has
 * channels.
 *
 * A home comes with its table and goes with it: swaps make one beside the live one (on the same
 * executor, while that has a channel on the device; else on that of the first channel), and its
 * owner frees the old one. When the owner of the home closes his last channel on the device, the
 * home leaves: as by a swap to the same table, whose steps the owner takes in his polls. Until then
 * his executor has to be polled; riser_blk_channel_close() and riser_exec_free() do. So it is while
 * the table has I/O of its own in flight, which is counted on the home channel.
 *
 * A leaf that has nothing left for another owner hops too, channel by channel: blk_map_hop(). Such
 * a home belongs to one hop and goes with it.
 */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOVE_DEADLINE NS_PER_S /* of one try to leave; the gate is closed so long at most */
#define MOVE_PAUSE    NS_PER_S /* to the next one */

struct hop_map {
	struct blk_map map;
	struct riser_blk_channel *home;
	struct blk_home *own;   /* the same, where it is this map's alone */
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
	struct riser_blk_io *io = io_of_hop(w);
	struct riser_exec *x = io_priv(io)->frame->channel->owner->x;

	x->in_cb++;
	blk_end_batch(io);
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

/* Return: false when it waits for a frame. */
static inline bool push(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct blk_frame *f = c->frames;

	if (unlikely(!f)) {
		io_push(&c->waiters, io);
		return false;
	}
	c->frames = f->up;
	f->up = io_priv(io)->frame;
	io_priv(io)->frame = f;
	return true;
}

static void hop(struct blk_map *map, struct riser_blk_io *io)
{
	struct hop_map *m = container_of(map, struct hop_map, map);

	if (!push(map->c, io))
		return;
	io_priv(io)->frame->end_io = go_back;
	owner_gather(map->owner, &m->there, io);
}

/* The home is on this executor. */
static void step_over(struct blk_map *map, struct riser_blk_io *io)
{
	struct hop_map *m = container_of(map, struct hop_map, map);

	if (push(map->c, io))
		blk_layer_go(io, m->home, io->sector);
}

static void hop_free(struct blk_map *map)
{
	struct hop_map *m = container_of(map, struct hop_map, map);

	if (m->own)
		home_retire(m->own);
	free(m);
}

static const struct blk_ops hop_ops = {
	.size = sizeof(hop_ops),
	.map_free = hop_free,
};

int hop_map_new(struct riser_blk_channel *c, struct blk_home *home, struct blk_map **out,
		struct riser_err *err)
{
	struct hop_map *m = aligned_alloc(64, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	memset(m, 0, sizeof(*m));
	blk_map_init(&m->map, c->b, c);
	m->map.ops = &hop_ops;
	m->map.submit = home->c.owner == c->owner ? step_over : hop;
	m->map.fast = m->map.submit; /* the home checks, and cuts */
	m->map.fast_max = 0;
	m->home = &home->c;
	m->there.to = home->c.owner->x;
	m->there.arrived = arrived;
	m->back.to = c->owner->x;
	m->back.arrived = arrived_back;
	*out = &m->map;
	return 0;
}

struct blk_map *home_map(struct blk_map *m)
{
	return m->ops == &hop_ops ? container_of(m, struct hop_map, map)->home->map : m;
}

bool home_wanted(const struct riser_blk *b, void *table)
{
	return b->ops->wants_home && b->ops->wants_home(b, table);
}

/* On @x; as many frames and children as @by has. */
static int home_new(const struct riser_blk_channel *by, struct riser_exec *x, void *table,
		    struct blk_home **out, struct riser_err *err)
{
	struct blk_channel_opts opts = { .frames = by->opts.frames,
					 .children = by->opts.children,
					 .is_home = true };
	struct riser_blk_channel *c;
	int rc = channel_new(by->b, x, &opts, sizeof(struct blk_home), &c, err);

	if (rc)
		return rc;
	rc = channel_map_new(c, table, NULL, &c->map, err);
	if (rc) {
		channel_free(c);
		return rc;
	}
	*out = container_of(c, struct blk_home, c);
	list_init(&(*out)->leaving);
	return 0;
}

int home_get(struct riser_blk *b, void *table, struct blk_home **slot,
	     const struct riser_blk_channel *by, struct riser_err *err)
{
	struct blk_home *h;
	int rc;

	if (*slot || !home_wanted(b, table))
		return 0;
	b->building++;
	pthread_mutex_unlock(&b->lock);
	rc = home_new(by, by->owner->x, table, &h, err);
	pthread_mutex_lock(&b->lock);
	b->building--;
	clock_bump(b->r);
	if (!rc && *slot)
		home_retire(h); /* another was faster */
	else if (!rc)
		*slot = h;
	return rc;
}

void home_live(struct blk_home *h)
{
	channel_set_map(&h->c, h->c.map);
	store_release(&h->c.gate, h->c.map);
}

int blk_map_hop(struct riser_blk_channel *c, struct riser_exec *x, struct blk_map **out,
		struct riser_err *err)
{
	struct blk_home *h;
	int rc = home_new(c, x, NULL, &h, err);

	if (rc)
		return rc;
	rc = hop_map_new(c, h, out, err);
	if (rc) {
		home_retire(h);
		return rc;
	}
	h->lent = true;
	__atomic_fetch_add(&x->lent, 1, __ATOMIC_RELAXED);
	home_live(h);
	container_of(*out, struct hop_map, map)->own = h;
	channel_unleaf(c);
	return 0;
}

static void stay(struct blk_home *h)
{
	struct riser_exec *x = h->c.owner->x;

	list_del(&h->leaving);
	h->leaves = false;
	__atomic_fetch_sub(&x->leaving, 1, __ATOMIC_RELEASE);
}

static void reap(struct riser_work *w)
{
	struct blk_home *h = container_of(w, struct blk_home, c.reap);
	struct riser_exec *x = h->c.owner->x;
	bool left = h->leaves, lent = h->lent;

	list_del(&h->leaving);
	channel_free(&h->c);
	if (left)
		__atomic_fetch_sub(&x->leaving, 1, __ATOMIC_RELEASE);
	if (lent)
		__atomic_fetch_sub(&x->lent, 1, __ATOMIC_RELEASE);
	clock_bump(x->r);
}

void home_retire(struct blk_home *h)
{
	h->c.reap.fn = reap;
	riser_exec_post(h->c.owner->x, &h->c.reap);
}

static bool has_channel(const struct riser_blk *b, const struct blk_owner *o)
{
	list_for_each (c, &b->channels, struct riser_blk_channel, link)
		if (c->owner == o)
			return true;
	return false;
}

struct blk_home *home_take(struct riser_blk *b, const struct riser_blk_channel *last)
{
	struct blk_home *h = b->home;

	if (!h || h->leaves || !list_empty(&b->channels) || b->controlled || b->building)
		return NULL;
	if (load_acquire(&h->c.inflight)) /* the table's own I/O */
		return NULL;
	/* In use, it is freed in its thread; this is the owner's if he used @last. */
	if (h->c.started && !(last->started && last->owner == h->c.owner))
		return NULL;
	b->home = NULL;
	return h;
}

/* In the owner's thread. */
static void leave(struct riser_work *w)
{
	struct blk_home *h = container_of(w, struct blk_home, leave);

	list_add_tail(&h->c.owner->leaving, &h->leaving);
	owner_register(h->c.owner);
}

void home_check(struct riser_blk *b, struct blk_owner *o)
{
	struct blk_home *homes[] = { b->home, b->next_home };

	if (has_channel(b, o))
		return;
	for (unsigned i = 0; i < array_len(homes); i++) {
		struct blk_home *h = homes[i];

		if (!h || h->c.owner != o || h->leaves)
			continue;
		h->leaves = true;
		__atomic_fetch_add(&o->x->leaving, 1, __ATOMIC_RELAXED);
		h->leave.fn = leave;
		riser_exec_post(o->x, &h->leave);
	}
}

bool home_must_move(const struct blk_home *h)
{
	const struct riser_blk *b = h->c.b;

	return b->home == h && !list_empty(&b->channels) && !has_channel(b, h->c.owner);
}

/* Return: whether a move is to be begun. */
static bool move_wanted(struct blk_home *h)
{
	struct riser_blk *b = h->c.b;
	bool wanted;

	pthread_mutex_lock(&b->lock);
	wanted = home_must_move(h);
	h->busy = !wanted && load_relaxed(&h->c.inflight);
	if (has_channel(b, h->c.owner)) {
		stay(h);
	} else if (b->home == h && !wanted && !h->busy && !b->controlled && !b->building) {
		b->home = NULL; /* nobody is left */
		home_retire(h);
	}
	pthread_mutex_unlock(&b->lock);
	return wanted;
}

static void move(struct blk_home *h)
{
	struct riser_exec *x = h->c.owner->x;

	if (!h->moving && (x->now < h->not_before || !move_wanted(h)))
		return;
	if (!h->moving)
		h->change = (struct blk_change){ .b = h->c.b,
						 .kind = CHANGE_MOVE,
						 .from = h,
						 .deadline = x->now + MOVE_DEADLINE,
						 .err = &h->err };
	h->moving = !change_step(&h->change);
	if (h->moving || !h->change.rc)
		return;
	base_log(x->r, RISER_LOG_WARN, "%s: it stays with an executor that has no channel: %s",
		 h->c.b->description, h->err.text);
	h->not_before = x->now + MOVE_PAUSE;
}

void home_leave(struct blk_owner *o)
{
	list_for_each_safe (h, &o->leaving, struct blk_home, leaving)
		move(h);
}

uint64_t home_next_deadline(const struct blk_owner *o)
{
	uint64_t next = TIME_NEVER;

	list_for_each (h, &o->leaving, struct blk_home, leaving)
		if (h->moving || !h->busy)
			next = min_of(next, h->moving ? h->change.deadline : h->not_before);
	return next;
}
