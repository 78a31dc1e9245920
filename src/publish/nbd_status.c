/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Where the holes are: for BLOCK_STATUS, which tells the client, and for a long READ, which sends
 * holes as such and does not read them.
 *
 * The device tells one run at a time, perhaps in portions; one block I/O asks again and again. A
 * client gets what is known after NBD_EXTENTS runs or ASKS_MAX questions, and comes again for the
 * rest; the rest of a READ is data.
 */
#include "base/util.h"
#include "publish/nbd.h"

#define ASKS_MAX 256

static_assert(RISER_BLK_ST_HOLE == NBD_STATE_HOLE && RISER_BLK_ST_ZERO == NBD_STATE_ZERO,
	      "the states of the wire");

/* Return: false when there is no room for it. */
static bool append(struct nbd_request *req, uint32_t len, uint32_t state, unsigned room)
{
	struct nbd_extent *last = &req->extents[req->nextents];

	if (!req->nextents || last[-1].state != state) {
		if (req->nextents >= room)
			return false;
		*last = (struct nbd_extent){ .state = state };
		req->nextents++;
		last++;
	}
	last[-1].len += len;
	req->asked += len;
	return true;
}

static bool took(struct nbd_request *req, const struct riser_blk_io *io)
{
	uint32_t len = io->count << RISER_SECTOR_SHIFT;

	if (req->type == NBD_CMD_BLOCK_STATUS)
		return append(req, len, io->raw_status & (NBD_STATE_HOLE | NBD_STATE_ZERO),
			      NBD_EXTENTS);
	/* One is left for the rest. */
	return append(req, len, io->raw_status & NBD_STATE_ZERO, NBD_EXTENTS - 1);
}

static void ask(struct nbd_request *req, struct riser_blk_io *io)
{
	req->asks++;
	nbd_start_plain(req, io, RISER_BLK_BLOCK_STATUS, 0, req->asked, req->len - req->asked);
}

void nbd_asked(struct nbd_request *req, struct riser_blk_io *io)
{
	bool more = !io->status && took(req, io) && req->asked < req->len && req->asks < ASKS_MAX &&
		    !(req->flags & NBD_CMD_FLAG_REQ_ONE) && !req->dropped;

	if (more) {
		req->pending--;
		req->conn->server->ios--;
		ask(req, io);
		return;
	}
	req->asking = false;
	if (req->type == NBD_CMD_READ) {
		io->status = RISER_BLK_OK; /* then it is just read */
		if (req->asked < req->len)
			append(req, req->len - req->asked, 0, NBD_EXTENTS);
	}
	nbd_one_done(req, io);
}

void nbd_ask(struct nbd_request *req, struct riser_blk_io *io)
{
	req->asking = true;
	req->asks = 0;
	req->asked = 0;
	ask(req, io);
}

bool nbd_is_hole(const struct nbd_request *req, const struct nbd_piece *piece)
{
	uint64_t from = piece->offset - req->offset, to = from + piece->len, at = 0;

	for (unsigned i = 0; i < req->nextents; at += req->extents[i++].len)
		if (req->extents[i].state && from >= at && to <= at + req->extents[i].len)
			return true;
	return false;
}
