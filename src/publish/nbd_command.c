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
 * the only way to report a bad sector would be to hang up.
 *
 * The parser works on one command at a time, conn->cur. When there is no slot, no buffer or no
 * I/O, it stalls there, nothing more is read from the socket, and the peer is slowed down by it.
 */
#include "base/util.h"
#include "publish/nbd.h"
#include <errno.h>
#include <string.h>

static uint32_t wire_error(enum riser_blk_status status)
{
	switch (-riser_blk_status_errno(status)) {
	case 0:
		return 0;
	case EPERM:
	case EACCES:
	case EROFS:
		return NBD_EPERM;
	case ENOMEM:
	case EAGAIN:
		return NBD_ENOMEM;
	case EINVAL:
		return NBD_EINVAL;
	case ENOSPC:
		return NBD_ENOSPC;
	case EOPNOTSUPP:
		return NBD_ENOTSUP;
	case ENODEV:
	case ENXIO:
	case ESHUTDOWN:
		return NBD_ESHUTDOWN;
	default:
		return NBD_EIO;
	}
}

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

static void reply(struct nbd_request *req, uint32_t error)
{
	struct nbd_conn *c = req->conn;
	struct riser_publish_stats *stats = &c->server->stats;

	if (req->dropped || c->phase == NBD_DEAD) {
		nbd_request_free(req);
		return;
	}
	stats->requests++;
	if (error) {
		stats->errors++;
		give_pieces(req);
	} else if (req->type == NBD_CMD_READ) {
		stats->bytes_read += req->len;
	} else if (req->type == NBD_CMD_WRITE) {
		stats->bytes_written += req->len;
	}
	req->reply.error = to_be32(error);
	list_add_tail(&c->replies, &req->link);
}

static void start(struct nbd_request *req, struct riser_blk_io *io)
{
	io->iov_off = 0;
	io->meta = NULL;
	req->pending++;
	req->conn->server->ios++;
	riser_blk_submit(io);
}

static void plain_done(struct riser_blk_io *io);

/* An I/O without data. @len is 0 for FLUSH. */
static void start_plain(struct nbd_request *req, struct riser_blk_io *io, enum riser_blk_op op,
			uint8_t flags, uint32_t len)
{
	io->op = (uint8_t)op;
	io->flags = flags;
	io->sector = len ? req->offset >> RISER_SECTOR_SHIFT : 0;
	io->count = len >> RISER_SECTOR_SHIFT;
	io->iov = NULL;
	io->iovcnt = 0;
	io->done = plain_done;
	io->user = req;
	start(req, io);
}

/* An I/O of @req is over, and with the last one the command is. */
static void one_done(struct nbd_request *req, struct riser_blk_io *io)
{
	struct nbd_server *s = req->conn->server;

	s->busy = true;
	s->ios--;
	req->pending--;
	if (!req->status)
		req->status = io->status;
	if (req->flush_last && !req->pending && !req->open && !req->status && !req->dropped) {
		req->flush_last = false;
		start_plain(req, io, RISER_BLK_FLUSH, 0, 0);
		return;
	}
	riser_blk_io_put(io);
	if (!req->pending && !req->open)
		reply(req, wire_error(req->status));
}

static void plain_done(struct riser_blk_io *io)
{
	one_done(io->user, io);
}

static void piece_done(struct riser_blk_io *io)
{
	struct nbd_piece *piece = io->user;
	struct nbd_request *req = piece->req;

	if (req->type == NBD_CMD_WRITE)
		nbd_pool_give(piece);
	one_done(req, io);
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
	enum riser_blk_op op = RISER_BLK_FLUSH;
	unsigned flags = 0;

	if (!io)
		return false;
	if (req->type == NBD_CMD_TRIM)
		op = RISER_BLK_DISCARD;
	if (req->type == NBD_CMD_WRITE_ZEROES) {
		op = RISER_BLK_WRITE_ZEROES;
		flags |= req->flags & NBD_CMD_FLAG_NO_HOLE ? RISER_BLK_NOUNMAP : 0;
		flags |= req->flags & NBD_CMD_FLAG_FUA ? RISER_BLK_FUA : 0;
	}
	start_plain(req, io, op, (uint8_t)flags, req->len);
	return true;
}

static enum nbd_step parsed(struct nbd_conn *c)
{
	struct nbd_request *req = c->cur;

	c->cur = NULL;
	req->open = false;
	if (!req->pending)
		reply(req, wire_error(req->status));
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

static void gather(struct nbd_request *req, struct nbd_pool *pool)
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
		gather(req, pool);
	}
	for (; req->todo; req->todo = req->todo->next)
		if (!submit_piece(req, req->todo))
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

/* What is wrong with a command: an error of the wire, or 0. */
static uint32_t check(const struct nbd_server *s, const struct nbd_request *req)
{
	uint32_t block = s->info.logical_block, flags = NBD_CMD_FLAG_FUA;
	bool writes = req->type != NBD_CMD_READ && req->type != NBD_CMD_FLUSH;
	uint16_t needs = NBD_FLAG_HAS_FLAGS;

	if (req->type == NBD_CMD_TRIM)
		needs = NBD_FLAG_SEND_TRIM;
	else if (req->type == NBD_CMD_WRITE_ZEROES)
		needs = NBD_FLAG_SEND_WRITE_ZEROES;
	else if (req->type != NBD_CMD_WRITE && writes)
		return NBD_EINVAL;
	if (writes && s->flags & NBD_FLAG_READ_ONLY)
		return NBD_EPERM;
	if (req->type == NBD_CMD_WRITE_ZEROES)
		flags |= NBD_CMD_FLAG_NO_HOLE;
	if (req->flags & ~flags || !(s->flags & needs))
		return NBD_EINVAL;
	if (req->type == NBD_CMD_FLUSH)
		return req->offset || req->len ? NBD_EINVAL : 0;
	if (!req->len || (req->offset | req->len) & (block - 1))
		return NBD_EINVAL;
	if (req->len > NBD_REQUEST_MAX && (req->type == NBD_CMD_READ || req->type == NBD_CMD_WRITE))
		return NBD_EINVAL;
	if (req->offset > s->bytes || req->len > s->bytes - req->offset)
		return req->type == NBD_CMD_WRITE || req->type == NBD_CMD_WRITE_ZEROES ? NBD_ENOSPC
										       : NBD_EINVAL;
	return 0;
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
	req->reply.cookie = h->cookie;
	return req;
}

static enum nbd_step begin(struct nbd_conn *c, const struct nbd_command_header *h)
{
	struct nbd_request *req;
	uint32_t error;

	if (be32(h->magic) != NBD_REQUEST_MAGIC)
		return NBD_BROKEN;
	if (be16(h->type) == NBD_CMD_DISC)
		return NBD_END;
	req = request_new(c, h);
	nbd_ahead_saw(c, req->type, req->len);
	c->after_write = req->type == NBD_CMD_WRITE;
	error = check(c->server, req);
	if (error) {
		c->skip = c->after_write ? req->len : 0;
		reply(req, error);
		return NBD_MORE;
	}
	/* The block core knows FUA for writes. */
	req->flush_last = req->type == NBD_CMD_TRIM && req->flags & NBD_CMD_FLAG_FUA;
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
