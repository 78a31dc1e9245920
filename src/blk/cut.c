/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What becomes several I/Os: more than the limits allow, PREFLUSH, FUA and WRITE_ZEROES where a
 * leaf lacks them.
 *
 * The I/O becomes a parent that stays at its level with its count and a cursor, and children are
 * taken one at a time from the level's channel: in order a flush (PREFLUSH), the pieces, a flush
 * (FUA). A parent that finds no child free queues; each child that comes back serves the queue.
 * Children pass no gate: their parent is counted, and the drain waits for it.
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

static bool wants_preflush(const struct riser_blk *b, const struct riser_blk_io *io)
{
	return io->flags & RISER_BLK_PREFLUSH && is_write(io) && b->write_cache;
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

bool cut_wanted(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	if (io->op == RISER_BLK_FLUSH)
		return false;
	/* A layer that need not cut lets the leaves flush. */
	return io->count > limit_of(c, io) || (c->leaf && wants_preflush(c->b, io)) ||
	       wants_postflush(c, io) || zeroes_by_writing(c, io);
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

/* @count sectors from the cursor on; 0: a flush. */
static void child_start(struct riser_blk_channel *c, struct riser_blk_io *parent, uint32_t count)
{
	struct blk_child *child = c->children;
	struct riser_blk_io *io = &child->io;
	uint32_t cursor = io_priv(parent)->cursor;

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
	io_priv(parent)->pending++;
	io_priv(parent)->cursor += count;
	blk_go_on(c, io);
}

static void set_phase(struct riser_blk_io *io, enum phase phase)
{
	io->priv_state = (uint8_t)((io->priv_state & ~PHASE) | phase);
}

/* Start what can be started now. Return: true when a child is missing. */
static bool start_more(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct io_priv *p = io_priv(io);
	uint32_t max;

	if (io->priv_state & RESTART) {
		if (p->pending)
			return false;
		io->priv_state &= (uint8_t)~RESTART;
		p->cursor = 0;
	}
	max = piece_max(c, io);
	if ((io->priv_state & PHASE) == PREFLUSH) {
		if (!c->children)
			return true;
		set_phase(io, PIECES);
		child_start(c, io, 0);
		return false;
	}
	while (p->cursor < io->count && !(io->priv_state & RESTART)) {
		if (!c->children)
			return true;
		if (io->count > max)
			stat_add(&c->stats.splits);
		child_start(c, io, min_of(max, io->count - p->cursor));
	}
	if (p->pending || (io->priv_state & PHASE) == LAST)
		return false;
	if (!wants_postflush(c, io)) {
		set_phase(io, LAST);
		return false;
	}
	if (!c->children)
		return true;
	set_phase(io, LAST);
	child_start(c, io, 0);
	return false;
}

static void step(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	if (!io->status && start_more(c, io)) {
		io->priv_state |= QUEUED;
		io_push(&c->cuts, io);
		return;
	}
	if (io_priv(io)->pending)
		return;
	io->priv_state &= NOT_OURS;
	blk_end(io, (enum riser_blk_status)io->status);
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
	if (!(parent->priv_state & QUEUED))
		step(c, parent);
	while (c->children && c->cuts.head) {
		parent = io_pop(&c->cuts);
		parent->priv_state &= (uint8_t)~QUEUED;
		step(c, parent);
	}
	return true;
}

void cut_start(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	io->status = 0;
	io_priv(io)->cursor = 0;
	io_priv(io)->pending = 0;
	io->priv_state &= NOT_OURS | ZEROES;
	set_phase(io, wants_preflush(c->b, io) ? PREFLUSH : PIECES);
	step(c, io);
}

void blk_zeroes(struct blk_map *m, struct riser_blk_io *io)
{
	struct blk_frame *f = io_priv(io)->frame;
	struct riser_blk_io *parent;

	if (!f || f->end_io != child_end || f->channel != m->c) {
		io->priv_state |= ZEROES;
		cut_start(m->c, io);
		return;
	}
	parent = container_of(f, struct blk_child, frame)->parent;
	parent->priv_state |= ZEROES | RESTART;
	blk_done(io, RISER_BLK_OK);
}
