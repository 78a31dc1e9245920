/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Bouncing: a leaf that cannot use an I/O's memory gets a copy, once, and it is counted. The
 * buffers are made with the channel; an I/O that finds none free waits, a larger one is cut.
 *
 * A bounced I/O has one frame more, at the leaf's own level, and is counted there twice: its first
 * count ends when the driver is through with the buffer, its second when the data is home.
 */
#include "base/err.h"
#include "blk/iov.h"
#include "blk/source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS    4
#define BUFFER_MAX (256 * KiB)

struct bounce {
	struct blk_frame frame;
	struct iovec one;  /* the buffer, as the driver sees it */
	struct iovec *iov; /* the caller's memory */
	uint32_t iovcnt;
	size_t iov_off;
	struct bounce *next;
};

struct bounce_pool {
	struct bounce *free;
	struct io_queue waiters;
	uint32_t sectors; /* of a buffer */
	void *memory;
	size_t len;
	struct bounce items[BUFFERS];
};

uint32_t bounce_sectors(const struct riser_blk_channel *c)
{
	return c->bounce ? c->bounce->sectors : UINT32_MAX;
}

static void start(struct riser_blk_channel *c, struct riser_blk_io *io);

static bool bounce_end(struct blk_frame *f, struct riser_blk_io *io)
{
	struct bounce *s = container_of(f, struct bounce, frame);
	struct bounce_pool *pool = f->channel->bounce;

	io->iov = s->iov;
	io->iovcnt = s->iovcnt;
	io->iov_off = s->iov_off;
	if (io->op == RISER_BLK_READ && io->status == RISER_BLK_OK)
		blk_copy_out(io, s->one.iov_base);
	io_priv(io)->frame = f->up;
	s->next = pool->free;
	pool->free = s;
	if (pool->waiters.head)
		start(f->channel, io_pop(&pool->waiters));
	blk_end(io, (enum riser_blk_status)io->status);
	return true;
}

static void start(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct bounce *s = c->bounce->free;

	c->bounce->free = s->next;
	s->iov = io->iov;
	s->iovcnt = io->iovcnt;
	s->iov_off = io->iov_off;
	if (io->op != RISER_BLK_READ)
		blk_copy_in(s->one.iov_base, io);
	io->iov = &s->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	s->frame.up = io_priv(io)->frame;
	io_priv(io)->frame = &s->frame;
	owner_inc(&c->inflight);
	stat_add(&c->stats.bounces);
	c->map->submit(c->map, io);
}

void blk_bounce(struct blk_map *m, struct riser_blk_io *io)
{
	struct riser_blk_channel *c = m->c;
	struct bounce_pool *pool = c->bounce;
	struct blk_frame *f = io_priv(io)->frame;

	if (!pool || (f && f->end_io == bounce_end)) {
		blk_done(io, RISER_BLK_IOERR); /* the driver refuses its own memory */
	} else if (io->count > pool->sectors) {
		cut_start(c, io);
	} else if (!pool->free) {
		io_push(&pool->waiters, io);
	} else {
		start(c, io);
	}
}

int bounce_new(struct riser_blk_channel *c, struct riser_err *err)
{
	const struct blk_limits *l = &c->b->limits;
	size_t len = BUFFER_MAX, stride = RISER_SECTOR_SIZE;
	struct bounce_pool *pool;
	char *first;
	int rc;

	if (!c->leaf || (l->reach == BLK_REACH_ANY && l->buf_align <= 1 && !l->seg_boundary))
		return 0;
	if (l->max_sectors)
		len = min_of(len, (size_t)l->max_sectors << RISER_SECTOR_SHIFT);
	if (l->seg_boundary)
		len = min_of(len, (size_t)l->seg_boundary);
	/* At multiples of a power of two that is no less than @len, none crosses a boundary. */
	while (stride < len)
		stride *= 2;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return err_set(err, -ENOMEM, "no memory for bounce buffers");
	pool->len = (BUFFERS + 1) * stride;
	rc = riser_blk_buf_alloc(c, pool->len, &pool->memory, err);
	if (rc) {
		free(pool);
		return rc;
	}
	first = (char *)pool->memory + (-(uintptr_t)pool->memory & (stride - 1));
	pool->sectors = (uint32_t)(len >> RISER_SECTOR_SHIFT);
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct bounce *s = &pool->items[i];

		s->frame = (struct blk_frame){ .channel = c, .end_io = bounce_end };
		s->one = (struct iovec){ first + i * stride, len };
		s->next = pool->free;
		pool->free = s;
	}
	c->bounce = pool;
	return 0;
}

void bounce_free(struct riser_blk_channel *c)
{
	struct bounce_pool *pool = c->bounce;

	if (pool)
		riser_blk_buf_free(c, pool->memory, pool->len);
	free(pool);
	c->bounce = NULL;
}

bool blk_memory_ok(const struct blk_limits *l, const struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, 0);
	struct iovec v;

	while (iov_next(&w, &v)) {
		uintptr_t at = (uintptr_t)v.iov_base;

		if ((at | v.iov_len) & (l->buf_align - 1))
			return false;
		if (l->seg_boundary &&
		    at / l->seg_boundary != (at + v.iov_len - 1) / l->seg_boundary)
			return false;
	}
	return true;
}

void blk_copy_in(void *to, const struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, 0);
	char *o = to;
	struct iovec v;

	for (; iov_next(&w, &v); o += v.iov_len)
		memcpy(o, v.iov_base, v.iov_len);
}

void blk_copy_out(const struct riser_blk_io *io, const void *from)
{
	struct iov_walk w = iov_walk_from(io, 0);
	const char *i = from;
	struct iovec v;

	for (; iov_next(&w, &v); i += v.iov_len)
		memcpy(v.iov_base, i, v.iov_len);
}

void blk_copy_zero(const struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, 0);
	struct iovec v;

	while (iov_next(&w, &v))
		memset(v.iov_base, 0, v.iov_len);
}
