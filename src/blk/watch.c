/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Seeing every I/O of a level once, whole: when it enters, before anybody cuts it, and when all of
 * it has ended, wherever that is (below, in a target, in the map itself).
 *
 * A watched map's fast way is blk_watched(), where every I/O comes. It pushes a frame of the
 * watch's own under whatever the level will push, so that the I/O pops it last, and is counted in
 * once more for it: the map may go when the count is 0, and the watcher is looked at until then.
 * The level's own frames will not do: were all of them at the bottom of a stack, nobody would have
 * one to go on with.
 *
 * Where no frame of the watch is free the I/O waits, with the time that it came at.
 */
#include "blk/watch.h"
#include "base/err.h"
#include <errno.h>
#include <stdlib.h>

struct blk_watch {
	const struct blk_watcher *ops;
	struct blk_frame *free;
	struct io_queue waiters;
	struct blk_frame frames[];
};

int blk_watch_new(struct blk_map *m, const struct blk_watcher *ops, struct riser_err *err)
{
	unsigned n = m->c->opts.frames;
	struct blk_watch *w = calloc(1, sizeof(*w) + n * sizeof(w->frames[0]));

	if (!w)
		return err_set(err, -ENOMEM, "no memory for a channel");
	w->ops = ops;
	for (unsigned i = 0; i < n; i++) {
		w->frames[i].channel = m->c;
		w->frames[i].up = w->free;
		w->free = &w->frames[i];
	}
	m->watch = w;
	m->fast = blk_watched;
	m->fast_max = 0;
	return 0;
}

static bool watched_end(struct blk_frame *f, struct riser_blk_io *io);

static void enter(struct blk_map *m, struct riser_blk_io *io, uint64_t came)
{
	struct blk_watch *w = m->watch;
	struct io_priv *p = io_priv(io);
	struct blk_frame *f = w->free;

	w->free = f->up;
	f->up = p->frame;
	f->sector = io->sector;
	f->data = io->count;
	f->start = came;
	f->end_io = watched_end;
	p->frame = f;
	owner_inc(&m->c->inflight);
	blk_slow(m, io);
}

static bool watched_end(struct blk_frame *f, struct riser_blk_io *io)
{
	struct blk_map *m = f->channel->map;
	struct blk_watch *w = m->watch;
	struct io_priv *p = io_priv(io);
	struct riser_blk_io *next;
	struct blk_seen seen = {
		.sector = f->sector, .count = (uint32_t)f->data, .op = io->op, .came = f->start
	};

	w->ops->end(m, &seen, exec_now(m->owner->x));
	p->frame = f->up;
	p->cur = m->c;
	if (!p->frame)
		io->sector = p->sector;
	f->up = w->free;
	w->free = f;
	next = io_pop(&w->waiters);
	if (next)
		enter(m, next, io_priv(next)->since);
	blk_end(io, (enum riser_blk_status)io->status);
	return true;
}

void blk_watched(struct blk_map *m, struct riser_blk_io *io)
{
	uint64_t now = exec_now(m->owner->x);
	struct blk_watch *w = m->watch;

	if (blk_check(m->c, io) != RISER_BLK_OK) {
		blk_slow(m, io); /* which refuses it */
		return;
	}
	w->ops->begin(
		m, &(struct blk_seen){
			   .sector = io->sector, .count = io->count, .op = io->op, .came = now });
	if (w->free) {
		enter(m, io, now);
		return;
	}
	io_push(&w->waiters, io);
	io_priv(io)->since = now;
}
