/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What becomes several I/Os: more than the limits allow, PREFLUSH, FUA and WRITE_ZEROES where a
 * leaf lacks them.
 *
 * The I/O becomes a parent that stays at its level with its count and a cursor, and children are
 * taken one at a time from the level's channel: in order the flushes (PREFLUSH, or the whole of a
 * FLUSH that fans out), the pieces, a flush (FUA). At a layer a piece ends where blk_ops.span says,
 * and a piece without data may be sent on in several copies. A parent that finds no child free
 * queues; each child that comes back serves the queue. Children pass no gate: their parent is
 * counted, and the drain waits for it.
 *
 * A leaf that finds out late that it cannot write zeroes sends the I/O back here: blk_zeroes().
 *
 * The first error ends it: no piece is begun after it, and those in flight are awaited.
 */
#include "blk/source.h"

/* In riser_blk_io.priv_state. */
#define PHASE    0x03
#define QUEUED   0x04
#define RESTART  0x08 /* a piece proved that zeroes have to be written: all over again */
#define ZEROES   0x10 /* so write them, whatever the device says */

#define NOT_OURS 0xc0 /* submit.c's, where rules are checked */

enum phase { PREFLUSH, PIECES, LAST };

static bool is_write(const struct riser_blk_io *io)
{
	return io->op == RISER_BLK_WRITE || io->op == RISER_BLK_WRITE_ZEROES;
}

/* A layer leaves it to those below, which may change, whether they have a cache. */
static bool wants_preflush(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	return io->flags & RISER_BLK_PREFLUSH && is_write(io) && (!c->leaf || c->b->write_cache);
}

static bool flushes_first(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	return io->op == RISER_BLK_FLUSH || wants_preflush(c, io);
}

static bool wants_postflush(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	return io->flags & RISER_BLK_FUA && is_write(io) && c->leaf && c->b->write_cache &&
	       !c->b->fua;
}

static bool zeroes_by_writing(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	return io->op == RISER_BLK_WRITE_ZEROES && c->leaf &&
	       (!c->b->write_zeroes || io->priv_state & ZEROES);
}

/* What need not be cut, in sectors: a multiple of the logical block. */
static uint32_t limit_of(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	const struct blk_limits *l = &c->b->limits;
	uint32_t max = l->max_sectors;

	if (io->op == RISER_BLK_WRITE_ZEROES)
		max = l->max_zeroes_sectors;
	else if (io->op == RISER_BLK_DISCARD)
		max = l->max_discard_sectors;
	return (max ? max : UINT32_MAX) & ~c->align_mask;
}

/*
 * The largest piece. A piece that were too large for a bounce buffer would have to be cut again,
 * and would wait for a child while it is one.
 */
static uint32_t piece_max(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	uint32_t max = limit_of(c, io);

	if (zeroes_by_writing(c, io)) {
		max = c->b->limits.max_sectors ? c->b->limits.max_sectors : UINT32_MAX;
		max = min_of(max, (uint32_t)(CHANNEL_ZEROES >> RISER_SECTOR_SHIFT));
	} else if (io->op == RISER_BLK_WRITE_ZEROES || io->op == RISER_BLK_DISCARD) {
		return max;
	}
	return min_of(max, bounce_sectors(c)) & ~c->align_mask;
}

/* How much of the rest is one piece, by limits and span. */
static uint32_t piece(const struct riser_blk_channel *c, const struct riser_blk_io *io,
		      uint32_t cursor, uint32_t *copies)
{
	uint32_t count = min_of(io->count - cursor, piece_max(c, io));

	*copies = 1;
	return c->map->ops->span ? c->map->ops->span(c->map, io, io->sector + cursor, count, copies)
				 : count;
}

bool cut_wanted(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	uint32_t copies;

	/* A layer over one device, that need not cut, lets the leaf flush. */
	bool flush = !c->leaf && (c->map->nflush != 1 || c->map->mixed);

	if (io->op == RISER_BLK_FLUSH)
		return !c->leaf && c->map->nflush != 1;
	if (io->op == RISER_BLK_BLOCK_STATUS)
		return false; /* a prefix is an answer too: see cut_status() */
	if (io->count > limit_of(c, io) || ((flush || c->leaf) && wants_preflush(c, io)) ||
	    wants_postflush(c, io) || zeroes_by_writing(c, io))
		return true;
	return c->map->ops->span && (piece(c, io, 0, &copies) < io->count || copies != 1);
}

bool cut_status(const struct riser_blk_channel *c, struct riser_blk_io *io)
{
	uint32_t copies = 1;

	if (c->b->block_status && c->map->ops->span)
		io->count = c->map->ops->span(c->map, io, io->sector, io->count, &copies);
	return c->b->block_status && copies;
}

/* Skip whole elements, so that nobody walks them again for each piece. */
static void advance(struct riser_blk_io *io, size_t skip)
{
	io->iov_off += skip;
	while (io->iovcnt > 1 && io->iov_off >= io->iov->iov_len) {
		io->iov_off -= io->iov->iov_len;
		io->iov++;
		io->iovcnt--;
	}
}

static bool child_end(struct blk_frame *f, struct riser_blk_io *io);

/* @count sectors from the cursor on; 0: a flush. @copy: see blk_copy(). */
static void child_start(struct riser_blk_channel *c, struct riser_blk_io *parent, uint32_t count,
			uint32_t copy)
{
	struct blk_child *child = c->children;
	struct riser_blk_io *io = &child->io;
	uint32_t cursor = count ? io_priv(parent)->cursor : 0;

	c->children = child->next;
	child->parent = parent;
	child->frame = (struct blk_frame){ .channel = c, .end_io = child_end };
	*io = (struct riser_blk_io){
		.op = count ? parent->op : RISER_BLK_FLUSH,
		.sector = parent->sector + cursor,
		.count = count,
	};
	if (count) {
		io->flags = parent->flags & (uint8_t)~RISER_BLK_PREFLUSH;
		if (wants_postflush(c, parent))
			io->flags &= (uint8_t)~RISER_BLK_FUA;
	}
	if (count && zeroes_by_writing(c, parent)) {
		io->op = RISER_BLK_WRITE;
		io->one = (struct iovec){ c->zeroes, CHANNEL_ZEROES };
		io->iov = &io->one;
		io->iovcnt = 1;
	} else if (count) {
		io->iov = parent->iov;
		io->iovcnt = parent->iovcnt;
		io->iov_off = parent->iov_off;
		advance(io, (size_t)cursor << RISER_SECTOR_SHIFT);
	}
	io_priv(io)->channel = c;
	io_priv(io)->cur = c;
	io_priv(io)->frame = &child->frame;
	owner_inc(&c->inflight);
	io_priv(io)->cursor = copy;
	io_priv(parent)->pending++;
	blk_go_on(c, io);
}

static void set_phase(struct riser_blk_io *io, enum phase phase)
{
	io->priv_state = (uint8_t)((io->priv_state & ~PHASE) | phase);
}

/* Return: true when a child is missing. */
static bool start_pieces(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct io_priv *p = io_priv(io);

	while (p->cursor < io->count && !io->status && !(io->priv_state & RESTART)) {
		uint32_t copies, count = piece(c, io, p->cursor, &copies), copy = p->copy;

		if (!copies) {
			io->status = RISER_BLK_NOTSUPP;
			break;
		}
		if (!c->children)
			return true;
		if (io->count > count)
			stat_add(&c->stats.splits);
		child_start(c, io, count, copy);
		if (++p->copy < copies)
			continue;
		p->copy = 0;
		p->cursor += count;
	}
	return false;
}

/* Start what can be started now. Return: true when a child is missing. */
static bool start_more(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct io_priv *p = io_priv(io);
	uint32_t nflush = c->leaf ? 1 : c->map->nflush;

	if (io->priv_state & RESTART) {
		if (p->pending)
			return false;
		io->priv_state &= (uint8_t)~RESTART;
		p->cursor = p->copy = 0;
	}
	if ((io->priv_state & PHASE) == PREFLUSH) {
		while (p->cursor < nflush) {
			if (!c->children)
				return true;
			child_start(c, io, 0, p->cursor++);
		}
		if (p->pending)
			return false;
		p->cursor = 0;
		set_phase(io, PIECES);
	}
	if (io->op != RISER_BLK_FLUSH && start_pieces(c, io))
		return true;
	if (p->pending || (io->priv_state & PHASE) == LAST)
		return false;
	if (!wants_postflush(c, io)) {
		set_phase(io, LAST);
		return false;
	}
	if (!c->children)
		return true;
	set_phase(io, LAST);
	child_start(c, io, 0, 0);
	return false;
}

/* Return: true when all of it has ended. */
static bool step(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	if (!io->status && start_more(c, io)) {
		io->priv_state |= QUEUED;
		io_push(&c->cuts, io);
		return false;
	}
	if (io_priv(io)->pending)
		return false;
	io->priv_state &= NOT_OURS;
	return true;
}

static bool child_end(struct blk_frame *f, struct riser_blk_io *io)
{
	struct blk_child *child = container_of(f, struct blk_child, frame);
	struct riser_blk_channel *c = f->channel;
	struct riser_blk_io *parent = child->parent;

	if (io->status && !parent->status) {
		parent->status = io->status;
		parent->raw_status = io->raw_status;
	}
	io_priv(parent)->pending--;
	child->next = c->children;
	c->children = child;
	if (!(parent->priv_state & QUEUED) && step(c, parent))
		blk_end(parent, (enum riser_blk_status)parent->status);
	while (c->children && c->cuts.head) {
		parent = io_pop(&c->cuts);
		parent->priv_state &= (uint8_t)~QUEUED;
		if (step(c, parent))
			blk_end(parent, (enum riser_blk_status)parent->status);
	}
	return true;
}

void cut_start(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	io->status = 0;
	io_priv(io)->cursor = 0;
	io_priv(io)->pending = io_priv(io)->copy = 0;
	io->priv_state &= NOT_OURS | ZEROES;
	set_phase(io, flushes_first(c, io) ? PREFLUSH : PIECES);
	if (step(c, io))
		blk_done(io, (enum riser_blk_status)io->status);
}

void blk_zeroes(struct blk_map *m, struct riser_blk_io *io)
{
	struct blk_frame *f = io_priv(io)->frame;
	struct riser_blk_io *parent;

	if (io->flags & RISER_BLK_FAST) {
		blk_done(io, RISER_BLK_NOTSUPP);
		return;
	}
	if (!f || f->end_io != child_end || f->channel != m->c) {
		io->priv_state |= ZEROES;
		cut_start(m->c, io);
		return;
	}
	parent = container_of(f, struct blk_child, frame)->parent;
	parent->priv_state |= ZEROES | RESTART;
	blk_done(io, RISER_BLK_OK);
}
