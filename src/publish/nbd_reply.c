/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What answers look like on the wire.
 *
 * An answer is not kept as bytes: it is written anew each time it is gathered for sendmsg, from
 * what its request knows, and always the same. So a socket that takes half of one costs nothing but
 * that the first half is left out the next time.
 *
 * A client that negotiated structured replies gets nothing else: a READ's data is one chunk, or one
 * for each run of data and each hole where holes were found. All I/O has ended before an answer
 * begins, so that no chunk has to be taken back, and the last one says that it is the last.
 */
#include "base/util.h"
#include "publish/nbd.h"
#include <string.h>

static uint32_t wire_error(const struct nbd_request *req)
{
	switch (req->status) {
	case RISER_BLK_OK:
		return 0;
	case RISER_BLK_NOTSUPP:
		/* TRIM is a hint. What else is not done was refused by nbd_refusal(). */
		if (req->type == NBD_CMD_TRIM)
			return 0;
		return req->flags & NBD_CMD_FLAG_FAST_ZERO ? NBD_ENOTSUP : NBD_EINVAL;
	case RISER_BLK_INVALID:
		return NBD_EINVAL;
	case RISER_BLK_NOSPC:
		return NBD_ENOSPC;
	case RISER_BLK_RESOURCE:
		return NBD_ENOMEM;
	case RISER_BLK_OFFLINE:
		return NBD_ESHUTDOWN;
	default:
		return NBD_EIO;
	}
}

static bool has_data(const struct nbd_request *req)
{
	return req->type == NBD_CMD_READ && !req->error;
}

static bool has_offset(const struct nbd_request *req)
{
	return req->failed_at != NBD_NOWHERE;
}

static uint64_t answer_len(const struct nbd_request *req)
{
	uint64_t len;

	if (!req->conn->structured)
		return sizeof(struct nbd_simple_reply) + (has_data(req) ? req->len : 0);
	if (req->error) {
		len = sizeof(struct nbd_chunk_error) + strlen(req->why);
		return len + (has_offset(req) ? sizeof(riser_be64) : 0);
	}
	if (req->type == NBD_CMD_BLOCK_STATUS)
		return sizeof(struct nbd_chunk_status) +
		       req->nextents * sizeof(struct nbd_descriptor);
	if (!has_data(req))
		return sizeof(struct nbd_chunk);
	if (!req->nextents)
		return sizeof(struct nbd_chunk_data) + (uint64_t)req->len;
	len = 0;
	for (unsigned i = 0; i < req->nextents; i++)
		len += req->extents[i].state ? sizeof(struct nbd_chunk_hole)
					     : sizeof(struct nbd_chunk_data) + req->extents[i].len;
	return len;
}

void nbd_reply_refuse(struct nbd_request *req, uint32_t error, const char *why)
{
	req->error = error;
	req->why = why;
	req->answer_len = answer_len(req);
}

void nbd_reply_set(struct nbd_request *req)
{
	nbd_reply_refuse(req, wire_error(req),
			 riser_blk_status_name((enum riser_blk_status)req->status));
}

void nbd_gather(struct nbd_gathering *g, void *data, size_t len)
{
	size_t skip = min_of(g->skip, len);

	g->skip -= skip;
	len -= skip;
	if (!len)
		return;
	g->full |= g->n == NBD_GATHER_IOVS;
	if (g->full)
		return;
	g->iov[g->n++] = (struct iovec){ (uint8_t *)data + skip, len };
	g->len += len;
}

/* What lives no longer than this call. */
static void gather_head(struct nbd_gathering *g, const void *head, size_t len)
{
	g->full |= g->used + len > sizeof(g->heads);
	if (g->full)
		return;
	memcpy(g->heads + g->used, head, len);
	nbd_gather(g, g->heads + g->used, len);
	g->used += len;
}

static struct nbd_chunk chunk(const struct nbd_request *req, unsigned type, uint64_t len, bool last)
{
	return (struct nbd_chunk){
		.magic = to_be32(NBD_CHUNK_MAGIC),
		.flags = to_be16(last ? NBD_CHUNK_FLAG_DONE : 0),
		.type = to_be16((uint16_t)type),
		.cookie = req->cookie,
		.len = to_be32((uint32_t)(len - sizeof(struct nbd_chunk))),
	};
}

/* Bytes [@from, @from + @len) of the command's data. */
static void gather_data(struct nbd_gathering *g, const struct nbd_request *req, uint32_t from,
			uint32_t len)
{
	for (const struct nbd_piece *p = req->first; p && len; p = p->next) {
		uint32_t skip = min_of(from, p->len), n = min_of(p->len - skip, len);

		nbd_gather(g, p->buf + skip, n);
		from -= skip;
		len -= n;
	}
}

static void gather_data_chunk(struct nbd_gathering *g, const struct nbd_request *req, uint32_t from,
			      uint32_t len, bool last)
{
	struct nbd_chunk_data c = {
		.h = chunk(req, NBD_CHUNK_OFFSET_DATA, sizeof(c) + (uint64_t)len, last),
		.offset = to_be64(req->offset + from),
	};

	gather_head(g, &c, sizeof(c));
	gather_data(g, req, from, len);
}

static void gather_hole(struct nbd_gathering *g, const struct nbd_request *req, uint32_t from,
			uint32_t len, bool last)
{
	struct nbd_chunk_hole c = {
		.h = chunk(req, NBD_CHUNK_OFFSET_HOLE, sizeof(c), last),
		.offset = to_be64(req->offset + from),
		.size = to_be32(len),
	};

	gather_head(g, &c, sizeof(c));
}

static void gather_read(struct nbd_gathering *g, const struct nbd_request *req)
{
	uint32_t at = 0;

	if (!req->nextents) {
		gather_data_chunk(g, req, 0, req->len, true);
		return;
	}
	for (unsigned i = 0; i < req->nextents; i++) {
		const struct nbd_extent *e = &req->extents[i];

		if (e->state)
			gather_hole(g, req, at, e->len, i + 1 == req->nextents);
		else
			gather_data_chunk(g, req, at, e->len, i + 1 == req->nextents);
		at += e->len;
	}
}

static void gather_status(struct nbd_gathering *g, const struct nbd_request *req)
{
	struct nbd_chunk_status c = {
		.h = chunk(req, NBD_CHUNK_BLOCK_STATUS, req->answer_len, true),
		.context = to_be32(NBD_ALLOCATION_ID),
	};

	gather_head(g, &c, sizeof(c));
	for (unsigned i = 0; i < req->nextents; i++) {
		struct nbd_descriptor d = { to_be32(req->extents[i].len),
					    to_be32(req->extents[i].state) };

		gather_head(g, &d, sizeof(d));
	}
}

static void gather_error(struct nbd_gathering *g, const struct nbd_request *req)
{
	struct nbd_chunk_error c = {
		.h = chunk(req, has_offset(req) ? NBD_CHUNK_ERROR_OFFSET : NBD_CHUNK_ERROR,
			   req->answer_len, true),
		.error = to_be32(req->error),
		.text_len = to_be16((uint16_t)strlen(req->why)),
	};
	riser_be64 offset = to_be64(req->failed_at);

	gather_head(g, &c, sizeof(c));
	gather_head(g, req->why, strlen(req->why));
	if (has_offset(req))
		gather_head(g, &offset, sizeof(offset));
}

static void gather_simple(struct nbd_gathering *g, const struct nbd_request *req)
{
	struct nbd_simple_reply r = {
		.magic = to_be32(NBD_SIMPLE_REPLY_MAGIC),
		.error = to_be32(req->error),
		.cookie = req->cookie,
	};

	gather_head(g, &r, sizeof(r));
	if (has_data(req))
		gather_data(g, req, 0, req->len);
}

void nbd_reply_gather(struct nbd_gathering *g, const struct nbd_request *req)
{
	struct nbd_chunk none = chunk(req, NBD_CHUNK_NONE, sizeof(none), true);

	if (!req->conn->structured)
		gather_simple(g, req);
	else if (req->error)
		gather_error(g, req);
	else if (req->type == NBD_CMD_BLOCK_STATUS)
		gather_status(g, req);
	else if (req->type == NBD_CMD_READ)
		gather_read(g, req);
	else
		gather_head(g, &none, sizeof(none));
}
