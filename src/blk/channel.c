/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Channels: opening, pools, maps, statistics, buffers. */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_DEFAULT 128
#define DEPTH_MAX     65536
#define CHILDREN      16
#define LEAVE_WAIT    (5 * NS_PER_S)

struct buf {
	struct list link;
	void *va;
	size_t len;
	struct riser_blk *own; /* whose ops gave it; NULL: riser_mem_alloc() */
};

void blk_map_init(struct blk_map *m, struct riser_blk *b, struct riser_blk_channel *c)
{
	memset(m, 0, sizeof(*m));
	m->submit = b->ops->submit;
	m->owner = c->owner;
	m->ops = b->ops;
	m->b = blk_get(b);
	m->c = c;
	m->nflush = 1;
	m->fast = blk_slow;
	list_init(&m->active);
	if (b->ops->submit)
		m->fast_max = b->limits.max_sectors ? b->limits.max_sectors : UINT32_MAX;
}

int blk_map_add_lower(struct blk_map *m, struct riser_blk *lower, struct riser_err *err)
{
	struct riser_blk_channel **more;
	int rc;

	more = realloc(m->lowers, (m->nlowers + 1) * sizeof(struct riser_blk_channel *));
	if (!more)
		return err_set(err, -ENOMEM, "no memory for a channel");
	m->lowers = more;
	if (!lower) {
		m->lowers[m->nlowers++] = NULL;
		return 0;
	}
	rc = blk_channel_open(lower, m->c->owner->x,
			      &(struct blk_channel_opts){ .frames = m->c->opts.frames,
							  .children = m->c->opts.children },
			      &m->lowers[m->nlowers], err);
	if (!rc)
		m->nlowers++;
	return rc;
}

void blk_map_set_linear(struct blk_map *m, struct riser_blk_channel *lower, uint64_t base)
{
	m->fast_max = m->b->limits.max_sectors ? m->b->limits.max_sectors : UINT32_MAX;
	m->fast_base = base;
	m->fast_lower = lower;
}

void blk_map_free(struct blk_map *m)
{
	struct riser_blk *b = m->b;

	for (unsigned i = 0; i < m->nlowers; i++)
		blk_channel_close(m->lowers[i]);
	free(m->lowers);
	list_del(&m->active);
	if (m->ops->map_free)
		m->ops->map_free(m);
	else
		free(m);
	blk_put(b);
}

int channel_map_new(struct riser_blk_channel *c, void *table, struct blk_home *home,
		    struct blk_map **out, struct riser_err *err)
{
	struct riser_blk *b = c->b;

	if (home)
		return hop_map_new(c, home, out, err);
	if (b->ops->map_new)
		return b->ops->map_new(b, table, c, out, err);
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return err_set(err, -ENOMEM, "no memory for a channel");
	blk_map_init(*out, b, c);
	return 0;
}

void channel_set_map(struct riser_blk_channel *c, struct blk_map *m)
{
	struct riser_blk *b = c->b;
	uint64_t max = min_of((uint64_t)m->fast_max, b->sectors);

	/* The fast path of a layer leaves it to the leaves to refuse writes. */
	if (b->read_only && m->fast_lower && !m->fast_lower->b->read_only)
		max = 0;
	/* A leaf's fast path was chosen when it was there, and could be written. */
	if (b->turned && c->leaf)
		max = 0;
	c->map = m;
	c->sectors = b->sectors;
	c->align_mask = (b->limits.logical_block >> RISER_SECTOR_SHIFT) - 1;
	c->fast_kinds = b->read_only ? RISER_BLK_READ : RISER_BLK_WRITE;
	c->fast_max = (uint32_t)max;
	c->fast_base = m->fast_base;
	c->fast_lower = m->fast_lower;
}

/* I/Os, children and frames in one piece. */
static int pools_new(struct riser_blk_channel *c)
{
	const struct blk_channel_opts *o = &c->opts;
	size_t len = o->ios * sizeof(struct riser_blk_io) + o->children * sizeof(struct blk_child) +
		     o->frames * sizeof(struct blk_frame);
	struct riser_blk_io *ios;
	struct blk_child *children;
	struct blk_frame *frames;

	c->memory = aligned_alloc(64, align_up(len, 64));
	if (!c->memory)
		return -ENOMEM;
	memset(c->memory, 0, len);
	ios = c->memory;
	for (unsigned i = o->ios; i-- > 0;) {
		io_priv(&ios[i])->channel = c;
		io_priv(&ios[i])->next = c->pool;
		c->pool = &ios[i];
	}
	children = (struct blk_child *)(void *)(ios + o->ios);
	for (unsigned i = o->children; i-- > 0;) {
		children[i].next = c->children;
		c->children = &children[i];
	}
	frames = (struct blk_frame *)(void *)(children + o->children);
	for (unsigned i = o->frames; i-- > 0;) {
		frames[i].channel = c;
		frames[i].up = c->frames;
		c->frames = &frames[i];
	}
	return 0;
}

/* A leaf that cannot write zeroes writes these. */
static int zeroes_new(struct riser_blk_channel *c, struct riser_err *err)
{
	const struct riser_blk *b = c->b;
	int rc;

	if (!c->leaf || (b->write_zeroes && !b->zeroes_maybe) || b->read_only)
		return 0;
	rc = riser_blk_buf_alloc(c, CHANNEL_ZEROES, &c->zeroes, err);
	if (!rc)
		memset(c->zeroes, 0, CHANNEL_ZEROES);
	return rc;
}

void channel_unleaf(struct riser_blk_channel *c)
{
	c->leaf = false;
	riser_blk_buf_free(c, c->zeroes, CHANNEL_ZEROES);
	c->zeroes = NULL;
	bounce_free(c);
}

int blk_map_build(struct riser_blk_channel *c, void *table, struct blk_home *home,
		  struct blk_map **out, struct riser_err *err)
{
	struct riser_blk *b = c->b;
	int rc;

	b->building++;
	pthread_mutex_unlock(&b->lock);
	rc = channel_map_new(c, table, home, out, err);
	pthread_mutex_lock(&b->lock);
	b->building--;
	clock_bump(b->r);
	return rc;
}

/*
 * Give the channel a map of each table, and list it. A swap that begins meanwhile does not know the
 * channel yet: what became its next table is looked at again whenever the lock was dropped.
 */
static int join(struct riser_blk_channel *c, struct riser_err *err)
{
	struct riser_blk *b = c->b;
	struct blk_map *m = NULL;
	int rc;

	pthread_mutex_lock(&b->lock);
	rc = home_get(b, b->table, &b->home, c, err);
	if (!rc && b->home && !b->home->c.gate)
		home_live(b->home);
	if (!rc)
		rc = blk_map_build(c, b->table, b->home, &m, err);
	while (!rc && b->changing && !c->next_map) {
		rc = home_get(b, b->next_table, &b->next_home, c, err);
		if (!rc)
			rc = blk_map_build(c, b->next_table, b->next_home, &c->next_map, err);
	}
	if (!rc) {
		list_add_tail(&b->channels, &c->link);
		channel_set_map(c, m);
		if (b->state == BLK_LIVE)
			store_release(&c->gate, m);
		event_look(b);
	} else {
		home_check(b, c->owner);
	}
	pthread_mutex_unlock(&b->lock);
	if (rc && m)
		blk_map_free(m);
	return rc;
}

int channel_new(struct riser_blk *b, struct riser_exec *x, const struct blk_channel_opts *opts,
		size_t size, struct riser_blk_channel **out, struct riser_err *err)
{
	struct riser_blk_channel *c = aligned_alloc(64, align_up(size, 64));
	int rc;

	if (!c)
		return err_set(err, -ENOMEM, "no memory for a channel");
	memset(c, 0, size);
	list_init(&c->link);
	list_init(&c->retry);
	list_init(&c->bufs);
	c->b = blk_get(b);
	c->opts = *opts;
	c->leaf = b->ops->submit && (opts->is_home || !home_wanted(b, b->table));
	c->opts.frames = opts->frames ? opts->frames : max_of(opts->ios, (unsigned)DEPTH_DEFAULT);
	c->opts.children = opts->children ? opts->children : CHILDREN; /* ≤ io_priv.pending */
	channel_set_submit(c);
	rc = owner_get(x, &c->owner, err);
	if (rc)
		goto fail;
	rc = pools_new(c);
	if (rc) {
		err_set(err, rc, "no memory for a channel's %u I/Os", opts->ios);
		goto fail;
	}
	rc = zeroes_new(c, err);
	if (!rc)
		rc = bounce_new(c, err);
	if (rc)
		goto fail;
	*out = c;
	return 0;
fail:
	channel_free(c);
	return rc;
}

int blk_channel_open(struct riser_blk *b, struct riser_exec *x, const struct blk_channel_opts *opts,
		     struct riser_blk_channel **out, struct riser_err *err)
{
	struct riser_blk_channel *c;
	int rc = channel_new(b, x, opts, sizeof(*c), &c, err);

	if (rc)
		return rc;
	rc = join(c, err);
	if (rc)
		channel_free(c);
	else
		*out = c;
	return rc;
}

void channel_free(struct riser_blk_channel *c)
{
	if (c->map)
		blk_map_free(c->map);
	if (c->next_map)
		blk_map_free(c->next_map);
	bounce_free(c);
	list_for_each_safe (buf, &c->bufs, struct buf, link)
		riser_blk_buf_free(c, buf->va, buf->len);
	free(c->memory);
	if (c->owner)
		owner_put(c->owner, c->started);
	blk_put(c->b);
	free(c);
}

static void reap_channel(struct riser_work *w)
{
	blk_channel_close(container_of(w, struct riser_blk_channel, reap));
}

/*
 * Take the device's lock when no swap makes a map for the channel. Making one needs nothing of the
 * channel's owner, who waits here without polling.
 */
static void lock_unpinned(struct riser_blk_channel *c)
{
	struct sync_wait w;

	pthread_mutex_lock(&c->b->lock);
	if (likely(!c->pinned))
		return;
	pthread_mutex_unlock(&c->b->lock);
	sync_wait_begin_here(&w, c->b->r);
	for (;;) {
		sync_wait_look(&w);
		pthread_mutex_lock(&c->b->lock);
		if (!c->pinned)
			break;
		pthread_mutex_unlock(&c->b->lock);
		sync_wait_idle(&w, TIME_NEVER);
	}
	sync_wait_end(&w);
}

bool blk_channel_close(struct riser_blk_channel *c)
{
	struct blk_home *home = NULL;
	bool later;

	if (!c)
		return true;
	/*
	 * Inside a completion its leaf is being polled, and work for it may wait in the owner's
	 * inbox: then at the owner's next poll, behind that work. What was never used may be closed
	 * by any thread, and no leaf polls it.
	 */
	lock_unpinned(c);
	later = c->started && exec_in_callback(c->owner->x);
	later |= load_acquire(&c->waking) || load_acquire(&c->reaping);
	/* No more swaps for it: each would drop a map, for which it would have to wait again. */
	list_del(&c->link);
	if (!later) {
		home = home_take(c->b, c);
		if (!home)
			home_check(c->b, c->owner);
	}
	pthread_mutex_unlock(&c->b->lock);
	if (!later) {
		channel_free(c);
		if (home)
			channel_free(&home->c);
		return true;
	}
	c->reap.fn = reap_channel;
	riser_exec_post(c->owner->x, &c->reap);
	return false;
}

int riser_blk_channel_open(struct riser_blk *b, struct riser_exec *x, unsigned depth,
			   struct riser_blk_channel **out, struct riser_err *err)
{
	if (depth > DEPTH_MAX)
		return err_set(err, -EINVAL, "a channel's depth is at most %d, not %u", DEPTH_MAX,
			       depth);
	if (exec_completing(b->r))
		return err_set(err, -EDEADLK,
			       "a channel of %s cannot be opened inside a completion: it may wait "
			       "for the device",
			       b->description);
	return blk_channel_open(
		b, x, &(struct blk_channel_opts){ .ios = depth ? depth : DEPTH_DEFAULT }, out, err);
}

void riser_blk_channel_close(struct riser_blk_channel *c)
{
	struct riser_exec *x = c && c->started ? c->owner->x : NULL;
	uint64_t until;

	if (!blk_channel_close(c) && x && !x->in_cb)
		riser_exec_poll(x);
	if (!x || x->in_cb)
		return;
	/* What is left then goes with further polls, or with the executor. */
	until = clock_now(x->r) + LEAVE_WAIT;
	while (load_acquire(&x->leaving) && clock_now(x->r) < until)
		riser_exec_wait(x, NS_PER_MS);
}

static void add_stats(struct riser_blk_channel *c, const struct blk_owner *o,
		      struct riser_blk_stats *stats)
{
	struct blk_map *m;

	pthread_mutex_lock(&c->b->lock); /* the map stays */
	m = home_map(c->map);
	stats->bounces += load_relaxed(&c->stats.bounces);
	stats->splits += load_relaxed(&c->stats.splits);
	if (m->c != c) {
		stats->hops++;
		stats->bounces += load_relaxed(&m->c->stats.bounces);
		stats->splits += load_relaxed(&m->c->stats.splits);
	}
	if (m->ops->stats && m->owner == o)
		m->ops->stats(m, stats);
	for (unsigned i = 0; i < m->nlowers; i++)
		if (m->lowers[i])
			add_stats(m->lowers[i], o, stats);
	pthread_mutex_unlock(&c->b->lock);
}

void riser_blk_channel_stats(struct riser_blk_channel *c, struct riser_blk_stats *stats)
{
	*stats = (struct riser_blk_stats){ .ios = c->stats.ios, .errors = c->stats.errors };
	add_stats(c, c->owner, stats);
}

/* The only leaf below, or NULL where there are several. */
static struct riser_blk *only_leaf(struct riser_blk_channel *c)
{
	struct riser_blk_channel *lower = NULL;
	struct riser_blk *leaf = NULL;
	struct blk_map *m;
	unsigned n = 0;

	if (c->b->ops->submit)
		return c->b;
	pthread_mutex_lock(&c->b->lock); /* the map stays */
	m = home_map(c->map);
	for (unsigned i = 0; i < m->nlowers; i++) {
		n += m->lowers[i] != NULL;
		lower = m->lowers[i] ? m->lowers[i] : lower;
	}
	if (n == 1)
		leaf = only_leaf(lower);
	pthread_mutex_unlock(&c->b->lock);
	return leaf;
}

int riser_blk_buf_alloc(struct riser_blk_channel *c, size_t len, void **out, struct riser_err *err)
{
	struct buf *buf = calloc(1, sizeof(*buf));
	struct riser_blk *leaf = only_leaf(c);
	int rc;

	if (!buf)
		return err_set(err, -ENOMEM, "no memory for a buffer");
	if (leaf && leaf->ops->buf_alloc) {
		buf->own = blk_get(leaf);
		rc = leaf->ops->buf_alloc(leaf, len, &buf->va, err);
	} else {
		rc = riser_mem_alloc(c->b->r, len, &buf->va, err);
	}
	if (rc) {
		blk_put(buf->own);
		free(buf);
		return rc;
	}
	buf->len = len;
	list_add(&c->bufs, &buf->link);
	*out = buf->va;
	return 0;
}

void riser_blk_buf_free(struct riser_blk_channel *c, void *va, size_t len)
{
	if (!va)
		return;
	list_for_each_safe (buf, &c->bufs, struct buf, link) {
		if (buf->va != va)
			continue;
		list_del(&buf->link);
		if (buf->own)
			buf->own->ops->buf_free(buf->own, va, len);
		else
			riser_mem_free(c->b->r, va);
		blk_put(buf->own);
		free(buf);
		return;
	}
}
