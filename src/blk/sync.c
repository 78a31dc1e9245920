/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Waiting for one I/O, and what statuses are called. */
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>

static void set_flag(struct riser_blk_io *io)
{
	*(bool *)io->user = true;
}

int riser_blk_rw(struct riser_blk_channel *c, enum riser_blk_op op, uint64_t sector, uint32_t count,
		 void *buf, uint32_t flags)
{
	struct riser_exec *x = c->owner->x;
	struct riser_blk_io *io;
	bool done = false;
	int status;

	if (exec_in_callback(x))
		return -EDEADLK;
	while (!(io = riser_blk_io_get(c)))
		riser_exec_wait(x, TIME_NEVER);
	io->op = (uint8_t)op;
	io->flags = (uint8_t)flags;
	io->sector = sector;
	io->count = count;
	io->one = (struct iovec){ buf, (size_t)count << RISER_SECTOR_SHIFT };
	io->iov = &io->one;
	io->iovcnt = buf ? 1 : 0;
	io->iov_off = 0; /* the I/O may have been somebody's before */
	io->done = set_flag;
	io->user = &done;
	riser_blk_submit(io);
	while (!done)
		riser_exec_wait(x, TIME_NEVER);
	status = io->status;
	riser_blk_io_put(io);
	return status;
}

/* Linux has these, as its block layer uses them. */
#ifndef EREMOTEIO
#define EREMOTEIO EIO
#endif
#ifndef EBADE
#define EBADE EIO
#endif

static const struct {
	const char *name;
	int error;
} statuses[] = {
	[RISER_BLK_OK] = { "OK", 0 },
	[RISER_BLK_NOTSUPP] = { "NOTSUPP", -EOPNOTSUPP },
	[RISER_BLK_MEDIUM] = { "MEDIUM", -ENODATA },
	[RISER_BLK_TARGET] = { "TARGET", -EREMOTEIO },
	[RISER_BLK_TRANSPORT] = { "TRANSPORT", -ENOLINK },
	[RISER_BLK_TIMEOUT] = { "TIMEOUT", -ETIMEDOUT },
	[RISER_BLK_PROTECTION] = { "PROTECTION", -EILSEQ },
	[RISER_BLK_NOSPC] = { "NOSPC", -ENOSPC },
	[RISER_BLK_RESERVED] = { "RESERVED", -EBADE },
	[RISER_BLK_OFFLINE] = { "OFFLINE", -ENODEV },
	[RISER_BLK_RESOURCE] = { "RESOURCE", -ENOMEM },
	[RISER_BLK_UNKNOWN_OUTCOME] = { "UNKNOWN_OUTCOME", -EIO },
	[RISER_BLK_IOERR] = { "IOERR", -EIO },
	[RISER_BLK_INVALID] = { "INVALID", -EINVAL },
};

int riser_blk_status_errno(enum riser_blk_status status)
{
	return (unsigned)status < array_len(statuses) ? statuses[status].error : -EIO;
}

const char *riser_blk_status_name(enum riser_blk_status status)
{
	return (unsigned)status < array_len(statuses) ? statuses[status].name : "UNKNOWN";
}

enum riser_blk_status blk_status_of(int error)
{
	switch (error < 0 ? -error : error) {
	case 0:
		return RISER_BLK_OK;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return RISER_BLK_NOSPC;
	case EOPNOTSUPP:
		return RISER_BLK_NOTSUPP;
	case ENOMEM:
	case EAGAIN:
		return RISER_BLK_RESOURCE;
	case ENODEV:
	case ENXIO:
		return RISER_BLK_OFFLINE;
	case ETIMEDOUT:
		return RISER_BLK_TIMEOUT;
	case EROFS:
	case EPERM:
	case EBADF:
		return RISER_BLK_INVALID;
	case ENODATA:
	case EILSEQ:
		return RISER_BLK_MEDIUM;
	default:
		return RISER_BLK_IOERR;
	}
}
