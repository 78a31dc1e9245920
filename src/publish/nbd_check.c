/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What is wrong with a command, before anything is done about it. */
#include "base/util.h"
#include "publish/nbd.h"

/* FUA may come with every command; where nothing is written it means nothing. */
static const struct rule {
	bool known;
	bool writes;     /* the device */
	bool bounded;    /* by NBD_REQUEST_MAX: it takes buffers */
	uint16_t beyond; /* the error beyond the end of the device */
	uint16_t flags;
} rules[] = {
	[NBD_CMD_READ] = { true, false, true, NBD_EINVAL, NBD_CMD_FLAG_DF },
	[NBD_CMD_WRITE] = { true, true, true, NBD_ENOSPC, 0 },
	[NBD_CMD_FLUSH] = { true, false, false, NBD_EINVAL, 0 },
	[NBD_CMD_TRIM] = { true, true, false, NBD_EINVAL, 0 },
	[NBD_CMD_CACHE] = { true, false, true, NBD_EINVAL, 0 },
	[NBD_CMD_WRITE_ZEROES] = { true, true, false, NBD_ENOSPC,
				   NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO },
	[NBD_CMD_BLOCK_STATUS] = { true, false, false, NBD_EINVAL, NBD_CMD_FLAG_REQ_ONE },
};

static bool was_negotiated(const struct nbd_request *req)
{
	const struct nbd_conn *c = req->conn;

	if (req->type == NBD_CMD_TRIM)
		return c->server->flags & NBD_FLAG_SEND_TRIM;
	if (req->type == NBD_CMD_BLOCK_STATUS)
		return c->allocation;
	return c->structured || !(req->flags & NBD_CMD_FLAG_DF);
}

const char *nbd_refusal(const struct nbd_request *req, uint32_t *error)
{
	const struct nbd_server *s = req->conn->server;
	const struct rule *r = req->type < array_len(rules) ? &rules[req->type] : NULL;

	*error = NBD_EINVAL;
	if (!r || !r->known)
		return "unknown command";
	if (r->writes && s->flags & NBD_FLAG_READ_ONLY) {
		*error = NBD_EPERM;
		return "the export is read-only";
	}
	if (req->flags & ~(r->flags | NBD_CMD_FLAG_FUA))
		return "a flag that the command does not have";
	if (!was_negotiated(req))
		return "not negotiated";
	if (req->type == NBD_CMD_FLUSH)
		return req->offset || req->len ? "a flush has no range" : NULL;
	if (!req->len)
		return "the length is 0";
	if ((req->offset | req->len) & (s->info.logical_block - 1))
		return "not aligned to the minimum block size";
	if (r->bounded && req->len > NBD_REQUEST_MAX)
		return "longer than the maximum block size";
	if (req->offset > s->bytes || req->len > s->bytes - req->offset) {
		*error = r->beyond;
		return "beyond the end of the export";
	}
	return NULL;
}
