/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The way of an I/O: get, submit, down, up, put. See blk.h for the picture.
 *
 * A read or write without flags, that keeps to the limits, takes the fast path: in a layer whose
 * map is one extent it pushes a frame, shifts the sector and is at the level below, without a call
 * into the layer; at a leaf it is with the driver. Everything else is slow(), which checks each
 * rule and may cut, emulate or refuse.
 */
#include "base/riser.h"
#include "blk/source.h"

#ifdef RISER_DEBUG
/*
 * Where an I/O is, kept in the high bits of priv_state (the low ones are cut.c's); children are not
 * told apart. A rule that is broken stops the program there and then.
 */
#define AT_CALLER  0x40
#define IN_FLIGHT  0x80
#define RULE(cond) ((cond) ? (void)0 : __builtin_trap())

static void moves(struct riser_blk_io *io, unsigned from, unsigned to)
{
	RULE((io->priv_state & (AT_CALLER | IN_FLIGHT)) == from);
	io->priv_state = (uint8_t)(io->priv_state ^ from ^ to);
}

static void check_memory(const struct riser_blk_io *io)
{
	size_t have = 0, want = io->iov_off + blk_bytes(io);

	if (io->op != RISER_BLK_READ && io->op != RISER_BLK_WRITE && io->op != RISER_BLK_COMPARE)
		return;
	for (uint32_t i = 0; i < io->iovcnt; i++)
		have += io->iov[i].iov_len;
	RULE(have >= want);
}
#else
#define moves(io, from, to) ((void)0)
#define check_memory(io)    ((void)0)
#endif

struct riser_blk_io *riser_blk_io_get(struct riser_blk_channel *c)
{
	struct riser_blk_io *io = c->pool;

	if (unlikely(!io))
		return NULL;
	c->pool = io_priv(io)->next;
	io->meta = NULL;
	moves(io, 0, AT_CALLER);
	return io;
}

void riser_blk_io_put(struct riser_blk_io *io)
{
	struct riser_blk_channel *c = io_priv(io)->channel;

	moves(io, AT_CALLER, 0);
	io_priv(io)->next = c->pool;
	c->pool = io;
}

void riser_blk_submit(struct riser_blk_io *io)
{
	struct io_priv *p = io_priv(io);
	struct riser_blk_channel *c = p->channel;

	moves(io, AT_CALLER, IN_FLIGHT);
	check_memory(io);
	p->cur = c;
	p->sector = io->sector;
	io->raw_status = 0;
	c->submit(c, io);
}

static inline __attribute__((always_inline)) enum riser_blk_status
check(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	const struct riser_blk *b = c->b;

	if (b->gone)
		return RISER_BLK_OFFLINE;
	if (io->op > RISER_BLK_BLOCK_STATUS)
		return RISER_BLK_NOTSUPP;
	if (io->op == RISER_BLK_FLUSH)
		return RISER_BLK_OK;
	if (!io->count || (io->sector | io->count) & c->align_mask || io->count > c->sectors ||
	    io->sector > c->sectors - io->count)
		return RISER_BLK_INVALID;
	if (b->read_only && io->op != RISER_BLK_READ && io->op < RISER_BLK_COMPARE)
		return RISER_BLK_INVALID;
	if ((io->op == RISER_BLK_DISCARD && !b->discard) ||
	    (io->op == RISER_BLK_COMPARE && !b->compare) ||
	    (io->op == RISER_BLK_WRITE_ZEROES && io->flags & RISER_BLK_FAST && !b->write_zeroes))
		return RISER_BLK_NOTSUPP;
	return RISER_BLK_OK;
}

enum riser_blk_status blk_check(const struct riser_blk_channel *c, const struct riser_blk_io *io)
{
	return check(c, io);
}

static cold
void slow(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	enum riser_blk_status status = check(c, io);

	if (status != RISER_BLK_OK)
		blk_done(io, status);
	else if (io->op == RISER_BLK_FLUSH && c->leaf && !c->b->write_cache)
		blk_done(io, RISER_BLK_OK); /* a layer leaves it to those below, which may change */
	else if (io->op == RISER_BLK_BLOCK_STATUS && !cut_status(c, io))
		blk_done(io, RISER_BLK_OK); /* all of it is data */
	else if (cut_wanted(c, io))
		cut_start(c, io);
	else {
		io_priv(io)->cursor = 0; /* the only copy of the only piece */
		blk_go_on(c, io);
	}
}

/* Without flags, an op up to @kinds, not empty, within limits and device. */
static inline bool is_fast(const struct riser_blk_channel *c, const struct riser_blk_io *io,
			   unsigned kinds)
{
	return io->count - 1 < c->fast_max && (unsigned)(io->op | io->flags << 8) <= kinds &&
	       io->sector <= c->sectors - io->count;
}

/*
 * Count in, then look at the gate. The order pairs with gate_close(), by membarrier there or by
 * the fence here.
 */
static inline bool enter(struct riser_blk_channel *c, struct riser_blk_io *io, bool fence,
			 struct blk_map **m)
{
	if (fence) {
		owner_inc_fence(&c->inflight);
		*m = load_seq_cst(&c->gate);
	} else {
		owner_inc(&c->inflight);
		*m = load_acquire(&c->gate);
	}
	if (likely(*m))
		return true;
	gate_defer(c, io);
	return false;
}

/* @aligned: the device's blocks are sectors. */
static inline __attribute__((always_inline)) void submit_leaf(struct riser_blk_channel *c,
							      struct riser_blk_io *io, bool fence,
							      unsigned kinds, bool aligned)
{
	struct blk_map *m;

	if (!enter(c, io, fence, &m))
		return;
	if (likely(is_fast(c, io, kinds) &&
		   (aligned || !((io->sector | io->count) & c->align_mask))))
		m->submit(m, io);
	else
		slow(c, io);
}

/* What a layer's map did, but for REMAPPED. Return: true when the frame is free again. */
static bool not_remapped(struct riser_blk_channel *c, struct riser_blk_io *io,
			 enum blk_verdict verdict)
{
	if (verdict == BLK_SUBMITTED)
		return false;
	blk_pop(io);
	if (verdict == BLK_CUT)
		cut_start(c, io);
	else
		blk_done(io, io->status);
	return true;
}

void blk_fast_map(struct blk_map *m, struct riser_blk_io *io)
{
	struct blk_frame *f = m->c->frames;
	struct io_priv *p = io_priv(io);
	enum blk_verdict verdict;

	m->c->frames = f->up;
	f->up = p->frame;
	p->frame = f;
	verdict = m->ops->map(m, io);
	if (likely(verdict == BLK_REMAPPED))
		p->cur->submit(p->cur, io);
	else
		not_remapped(m->c, io, verdict);
}

void blk_slow(struct blk_map *m, struct riser_blk_io *io)
{
	slow(m->c, io);
}

/* Alignment is left to the leaf, and read-only to channel_set_map(). */
static inline __attribute__((always_inline)) void submit_layer(struct riser_blk_channel *c,
							       struct riser_blk_io *io, bool fence)
{
	struct blk_frame *f = c->frames;
	struct io_priv *p = io_priv(io);
	struct riser_blk_channel *lower;
	struct blk_map *m;

	if (!enter(c, io, fence, &m))
		return;
	if (unlikely(!is_fast(c, io, RISER_BLK_WRITE) || !f)) {
		m->fast(m, io); /* called last, so that the fast way keeps no registers */
		return;
	}
	c->frames = f->up;
	f->up = p->frame;
	p->frame = f;
	io->sector += c->fast_base;
	lower = c->fast_lower;
	p->cur = lower;
	lower->submit(lower, io);
}

static void leaf_plain(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	submit_leaf(c, io, false, RISER_BLK_WRITE, true);
}

static void leaf_plain_reads(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	submit_leaf(c, io, false, RISER_BLK_READ, true);
}

static void leaf(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	submit_leaf(c, io, false, c->fast_kinds, false);
}

static void leaf_fenced(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	submit_leaf(c, io, true, c->fast_kinds, false);
}

static void layer(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	submit_layer(c, io, false);
}

static void layer_fenced(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	submit_layer(c, io, true);
}

/* The owner's first I/O on this channel. */
static cold
void first(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	bool fence = !c->b->r->membarrier;

	owner_start(c);
	if (!c->leaf)
		c->submit = fence ? layer_fenced : layer;
	else if (fence || c->align_mask)
		c->submit = fence ? leaf_fenced : leaf;
	else
		c->submit = c->b->read_only ? leaf_plain_reads : leaf_plain;
	c->submit(c, io);
}

void channel_set_submit(struct riser_blk_channel *c)
{
	c->submit = first;
}

void blk_pop(struct riser_blk_io *io)
{
	struct io_priv *p = io_priv(io);
	struct blk_frame *f = p->frame;
	struct riser_blk_channel *c = f->channel;

	p->frame = f->up;
	p->cur = c;
	if (!p->frame)
		io->sector = p->sector; /* as end() does where it pops the last */
	f->end_io = NULL;
	f->up = c->frames;
	c->frames = f;
}

void blk_go_on(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	struct blk_map *m = c->map;
	enum blk_verdict verdict;

	if (m->submit) {
		m->submit(m, io);
		return;
	}
	/* Where the frame is free again it is for the next that waits for one. */
	for (; io; io = io_pop(&c->waiters)) {
		struct io_priv *p = io_priv(io);
		struct blk_frame *f = c->frames;

		if (!f) {
			io_push(&c->waiters, io);
			return;
		}
		c->frames = f->up;
		f->up = p->frame;
		p->frame = f;
		verdict = m->ops->map(m, io);
		if (verdict == BLK_REMAPPED) {
			p->cur->submit(p->cur, io);
			return;
		}
		if (!not_remapped(c, io, verdict))
			return;
	}
}

cold
void blk_next_waiter(struct riser_blk_channel *c)
{
	struct riser_blk_io *io = io_pop(&c->waiters);

	if (io)
		blk_go_on(c, io);
}

void blk_layer_go(struct riser_blk_io *io, struct riser_blk_channel *lower, uint64_t sector)
{
	blk_remap(io, lower, sector);
	lower->submit(lower, io);
}

void blk_layer_end(struct riser_blk_io *io, enum riser_blk_status status)
{
	blk_pop(io);
	blk_done(io, status);
	blk_next_waiter(io_priv(io)->cur);
}

/* Up from @c, where it is counted out; io->status is set. */
static inline __attribute__((always_inline)) void up(struct riser_blk_io *io,
						     struct riser_blk_channel *c)
{
	struct io_priv *p = io_priv(io);
	struct blk_frame *f = p->frame, *next;

	if (f) {
		do {
			if (unlikely(f->end_io)) {
				p->frame = f;
				if (f->end_io(f, io))
					return;
				f->end_io = NULL;
			}
			next = f->up;
			c = f->channel;
			f->up = c->frames;
			c->frames = f;
			if (unlikely(c->waiters.head))
				blk_next_waiter(c);
			owner_dec_release(&c->inflight);
			f = next;
		} while (f);
		p->frame = NULL;
		io->sector = p->sector;
	}
	c->stats.ios++;
	if (unlikely(io->status))
		c->stats.errors++;
	moves(io, IN_FLIGHT, AT_CALLER);
	io->done(io);
}

/* Up from the level that it is at. */
static inline __attribute__((always_inline)) void end(struct riser_blk_io *io)
{
	struct riser_blk_channel *c = io_priv(io)->cur;

	/* Counting out is the last touch of anything that a table owns: see gate_drained(). */
	owner_dec_release(&c->inflight);
	up(io, c);
}

void blk_end_batch(struct riser_blk_io *io)
{
	struct riser_blk_io *next;

	for (; io; io = next) {
		struct blk_frame *f = io_priv(io)->frame;

		next = io_priv(io)->batch;
		f->end_io = NULL;
		up(io, f->channel);
	}
}

void blk_end(struct riser_blk_io *io, enum riser_blk_status status)
{
	io->status = (uint8_t)status;
	end(io);
}

int blk_run_done(struct blk_owner *o)
{
	struct riser_blk_io *io, *next = o->done, **tail = o->done_tail;
	int n = 0;

	o->done_tail = &o->done;
	do {
		io = next;
		next = io_priv(io)->next;
		end(io);
		n++;
	} while (&io_priv(io)->next != tail);
	return n;
}

void blk_again(struct blk_map *m, struct riser_blk_io *io)
{
	struct riser_blk_channel *c = m->c;

	if (!c->again.head)
		list_add_tail(&c->owner->retry, &c->retry);
	io_push(&c->again, io);
}

/* Return: how many found room. */
int blk_run_again(struct riser_blk_channel *c)
{
	struct io_queue q = c->again;
	struct riser_blk_io *io;
	int n = 0;

	c->again.head = NULL;
	list_del(&c->retry);
	while ((io = io_pop(&q))) {
		c->map->submit(c->map, io);
		if (c->again.tail == io && c->again.head)
			break;
		n++;
	}
	while ((io = io_pop(&q)))
		io_push(&c->again, io);
	return n;
}
