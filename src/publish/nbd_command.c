/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Commands ↔ block I/O.
 *
 * A command is carried by pieces: one small buffer, or as many large ones as it takes, each a
 * block I/O of its own.
 *
 * A WRITE takes a buffer when its payload arrives and gives it back when the device has it, so
 * even 32 MiB hold few of them, and a peer that stops in the middle holds one. A READ takes all of
 * its buffers first: a simple reply says how it went *before* the data, and once it said "well",
 * the only way to report a bad sector would be to hang up. Where a structured one is to leave holes
 * out, the device is asked first (nbd_status.c), and buffers that are all hole are not read into.
 *
 * The parser works on one command at a time, conn->cur. When there is no slot, no buffer or no
 * I/O, it stalls there, nothing more is read from the socket, and the peer is slowed down by it.
 */
#include "base/util.h"
#include "publish/nbd.h"
#include <string.h>

static void give_pieces(struct nbd_request *req)
{
	struct nbd_piece *next;

	for (struct nbd_piece *p = req->first; p; p = next) {
		next = p->next;
		nbd_pool_give(p);
	}
	req->first = NULL;
}

void nbd_request_free(struct nbd_request *req)
{
	struct nbd_conn *c = req->conn;

	give_pieces(req);
	list_del(&req->link);
	list_add(&c->free, &req->link);
	c->active--;
}

/* The answer is decided on: queue it. */
static void answer(struct nbd_request *req)
{
	struct nbd_conn *c = req->conn;
	struct riser_publish_stats *stats = &c->server->stats;

	if (req->dropped || c->phase == NBD_DEAD) {
		nbd_request_free(req);
		return;
	}
	stats->requests++;
	if (req->error) {
		stats->errors++;
		give_pieces(req);
	} else if (req->type == NBD_CMD_READ) {
		stats->bytes_read += req->len;
	} else if (req->type == NBD_CMD_WRITE) {
		stats->bytes_written += req->len;
	}
	list_add_tail(&c->replies, &req->link);
}

/* It is over when no I/O is in flight and the parser is done with it. */
static void finish(struct nbd_request *req)
{
	if (req->pending || req->open)
		return;
	nbd_reply_set(req);
	answer(req);
}

static void start(struct nbd_request *req, struct riser_blk_io *io)
{
	io->iov_off = 0;
	io->meta = NULL;
	req->pending++;
	req->conn->server->ios++;
	riser_blk_submit(io);
}

static void plain_done(struct riser_blk_io *io)
{
	if (io->op == RISER_BLK_BLOCK_STATUS)
		nbd_asked(io->user, io);
	else
		nbd_one_done(io->user, io);
}

void nbd_start_plain(struct nbd_request *req, struct riser_blk_io *io, enum riser_blk_op op,
		     uint32_t flags, uint32_t at, uint32_t len)
{
	io->op = (uint8_t)op;
	io->flags = (uint8_t)flags;
	io->sector = len ? (req->offset + at) >> RISER_SECTOR_SHIFT : 0;
	io->count = len >> RISER_SECTOR_SHIFT;
	io->iov = NULL;
	io->iovcnt = 0;
	io->done = plain_done;
	io->user = req;
	start(req, io);
}

/* Return: whether @io was sent on. */
static bool flush_behind(struct nbd_request *req, struct riser_blk_io *io)
{
	if (!req->flush_last || req->pending || req->open || req->status || req->dropped)
		return false;
	req->flush_last = false;
	nbd_start_plain(req, io, RISER_BLK_FLUSH, 0, 0, 0);
	return true;
}

void nbd_one_done(struct nbd_request *req, struct riser_blk_io *io)
{
	struct nbd_server *s = req->conn->server;

	s->busy = true;
	s->ios--;
	req->pending--;
	if (!req->status)
		req->status = io->status;
	if (flush_behind(req, io))
		return;
	riser_blk_io_put(io);
	finish(req);
}

static void piece_done(struct riser_blk_io *io)
{
	struct nbd_piece *piece = io->user;
	struct nbd_request *req = piece->req;

	/* Of several that fail, the first on the device is told. */
	if (io->status && piece->offset < req->failed_at) {
		req->status = io->status;
		req->failed_at = piece->offset;
	}
	if (req->type != NBD_CMD_READ)
		nbd_pool_give(piece);
	nbd_one_done(req, io);
}

/* Return: false when the channel has no I/O to spare. */
static bool submit_piece(struct nbd_request *req, struct nbd_piece *piece)
{
	struct riser_blk_io *io = riser_blk_io_get(req->conn->server->ch);
	bool fua = req->type == NBD_CMD_WRITE && req->flags & NBD_CMD_FLAG_FUA;

	if (!io)
		return false;
	io->op = req->type == NBD_CMD_WRITE ? RISER_BLK_WRITE : RISER_BLK_READ;
	io->flags = fua ? RISER_BLK_FUA : 0;
	io->sector = piece->offset >> RISER_SECTOR_SHIFT;
	io->count = piece->len >> RISER_SECTOR_SHIFT;
	io->one.iov_base = piece->buf;
	io->one.iov_len = piece->len;
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = piece_done;
	io->user = piece;
	start(req, io);
	return true;
}

static bool submit_plain(struct nbd_request *req)
{
	struct riser_blk_io *io = riser_blk_io_get(req->conn->server->ch);
	uint32_t flags = 0;

	if (!io)
		return false;
	switch (req->type) {
	case NBD_CMD_TRIM:
		nbd_start_plain(req, io, RISER_BLK_DISCARD, 0, 0, req->len);
		break;
	case NBD_CMD_WRITE_ZEROES:
		flags |= req->flags & NBD_CMD_FLAG_NO_HOLE ? RISER_BLK_NOUNMAP : 0;
		flags |= req->flags & NBD_CMD_FLAG_FUA ? RISER_BLK_FUA : 0;
		flags |= req->flags & NBD_CMD_FLAG_FAST_ZERO ? RISER_BLK_FAST : 0;
		nbd_start_plain(req, io, RISER_BLK_WRITE_ZEROES, flags, 0, req->len);
		break;
	case NBD_CMD_BLOCK_STATUS:
		nbd_ask(req, io);
		break;
	default:
		nbd_start_plain(req, io, RISER_BLK_FLUSH, 0, 0, 0);
		break;
	}
	return true;
}

static enum nbd_step parsed(struct nbd_conn *c)
{
	struct nbd_request *req = c->cur;

	c->cur = NULL;
	req->open = false;
	finish(req);
	return NBD_MORE;
}

static struct nbd_pool *pool_for(struct nbd_conn *c, uint32_t len)
{
	return len <= NBD_SMALL ? &c->small : &c->large;
}

/* No buffer: wait for one, or say so when none will ever come. */
static enum nbd_step starved(struct nbd_conn *c, struct nbd_pool *pool)
{
	if (!nbd_pool_is_idle(pool))
		return NBD_STALL;
	c->cur->status = RISER_BLK_RESOURCE;
	if (c->cur->type == NBD_CMD_WRITE)
		c->skip = c->cur->len - c->taken;
	return parsed(c);
}

static struct nbd_piece *take(struct nbd_request *req, struct nbd_pool *pool, uint32_t at)
{
	struct nbd_piece *piece = nbd_pool_take(pool);

	nbd_piece_set(piece, req, at);
	return piece;
}

static enum nbd_step go_on_writing(struct nbd_conn *c)
{
	struct nbd_request *req = c->cur;
	struct nbd_pool *pool = pool_for(c, req->len);
	uint32_t n;

	if (!c->piece) {
		if (!nbd_pool_reserve(pool, 1))
			return starved(c, pool);
		c->piece = take(req, pool, c->taken);
		c->filled = 0;
	}
	n = min_of(nbd_have(c), c->piece->len - c->filled);
	memcpy(c->piece->buf + c->filled, c->rx + c->rx_at, n);
	c->rx_at += n;
	c->filled += n;
	if (c->filled < c->piece->len)
		return NBD_INPUT;
	if (!submit_piece(req, c->piece))
		return NBD_STALL;
	c->taken += c->filled;
	c->piece = NULL;
	return c->taken == req->len ? parsed(c) : NBD_MORE;
}

/* A read that is thrown away: what there is of caches below has it then. */
static enum nbd_step go_on_caching(struct nbd_conn *c)
{
	struct nbd_request *req = c->cur;
	struct nbd_pool *pool = pool_for(c, req->len);

	for (; c->taken < req->len; c->piece = NULL) {
		if (!c->piece) {
			if (!nbd_pool_reserve(pool, 1))
				return starved(c, pool);
			c->piece = take(req, pool, c->taken);
		}
		if (!submit_piece(req, c->piece))
			return NBD_STALL;
		c->taken += c->piece->len;
	}
	return parsed(c);
}

static void take_all(struct nbd_request *req, struct nbd_pool *pool)
{
	struct nbd_piece **tail = &req->first;

	for (uint32_t at = 0; at < req->len; at += pool->size) {
		*tail = take(req, pool, at);
		tail = &(*tail)->next;
	}
	req->todo = req->first;
}

static enum nbd_step go_on_reading(struct nbd_conn *c)
{
	struct nbd_request *req = c->cur;
	struct nbd_pool *pool = pool_for(c, req->len);

	if (!req->first) {
		if (!nbd_pool_reserve(pool, (req->len + pool->size - 1) / pool->size))
			return starved(c, pool);
		take_all(req, pool);
	}
	if (req->sparse) {
		struct riser_blk_io *io = riser_blk_io_get(c->server->ch);

		if (!io)
			return NBD_STALL;
		req->sparse = false;
		nbd_ask(req, io);
	}
	if (req->asking)
		return NBD_STALL;
	for (; req->todo; req->todo = req->todo->next)
		if (!nbd_is_hole(req, req->todo) && !submit_piece(req, req->todo))
			return NBD_STALL;
	return parsed(c);
}

static enum nbd_step go_on(struct nbd_conn *c)
{
	switch (c->cur->type) {
	case NBD_CMD_READ:
		return go_on_reading(c);
	case NBD_CMD_WRITE:
		return go_on_writing(c);
	case NBD_CMD_CACHE:
		return go_on_caching(c);
	default:
		return submit_plain(c->cur) ? parsed(c) : NBD_STALL;
	}
}

void nbd_abandon(struct nbd_conn *c)
{
	struct nbd_request *req = c->cur;

	if (!req)
		return;
	c->cur = NULL;
	if (c->piece)
		nbd_pool_give(c->piece);
	c->piece = NULL;
	req->open = false;
	req->dropped = true;
	if (!req->pending)
		nbd_request_free(req);
}

static struct nbd_request *request_new(struct nbd_conn *c, const struct nbd_command_header *h)
{
	struct nbd_request *req = list_first(&c->free, struct nbd_request, link);

	list_del(&req->link);
	c->active++;
	req->offset = be64(h->offset);
	req->len = be32(h->len);
	req->type = be16(h->type);
	req->flags = be16(h->flags);
	req->status = RISER_BLK_OK;
	req->dropped = false;
	req->sparse = req->asking = false;
	req->nextents = 0;
	req->failed_at = NBD_NOWHERE;
	req->cookie = h->cookie;
	return req;
}

/* Small READs are not worth a look for holes, and a client that cares asked before. */
static bool wants_sparse(const struct nbd_request *req)
{
	return req->type == NBD_CMD_READ && req->len >= NBD_SPARSE_MIN && req->conn->structured &&
	       req->conn->server->info.block_status && !(req->flags & NBD_CMD_FLAG_DF);
}

static enum nbd_step begin(struct nbd_conn *c, const struct nbd_command_header *h)
{
	struct nbd_request *req;
	uint32_t error;
	const char *why;

	if (be32(h->magic) != NBD_REQUEST_MAGIC)
		return NBD_BROKEN;
	if (be16(h->type) == NBD_CMD_DISC)
		return NBD_END;
	req = request_new(c, h);
	nbd_ahead_saw(c, req->type, req->len);
	c->after_write = req->type == NBD_CMD_WRITE;
	why = nbd_refusal(req, &error);
	if (why) {
		c->skip = c->after_write ? req->len : 0;
		req->open = false;
		nbd_reply_refuse(req, error, why);
		answer(req);
		return NBD_MORE;
	}
	/* The block core knows FUA for writes. */
	req->flush_last = req->type == NBD_CMD_TRIM && req->flags & NBD_CMD_FLAG_FUA;
	req->sparse = wants_sparse(req);
	req->open = true;
	c->cur = req;
	c->taken = 0;
	return NBD_MORE;
}

enum nbd_step nbd_serve(struct nbd_conn *c)
{
	struct nbd_command_header h;
	enum nbd_step step;

	if (c->cur)
		return go_on(c);
	if (list_empty(&c->free))
		return NBD_STALL;
	if (nbd_ahead_next(c, &h)) {
		step = begin(c, &h);
		nbd_ahead_take(c);
		return step;
	}
	if (nbd_have(c) < sizeof(h))
		return NBD_INPUT;
	memcpy(&h, c->rx + c->rx_at, sizeof(h));
	c->rx_at += (uint32_t)sizeof(h);
	return begin(c, &h);
}
