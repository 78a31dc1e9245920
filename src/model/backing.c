/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Where a namespace's data lies: sparse memory, which is done at once, or a block device of
 * riser's, which is done later.
 *
 * Block devices belong to an executor of the model's own, which whoever steps the model polls.
 * What they end waits in a list for the step to go on with it: the poll runs outside of the
 * IOMMU's lock, since a device below may want the context's.
 */
#include "base/err.h"
#include "model/nvme.h"
#include <errno.h>
#include <riser/blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

static void model_mem_read(const struct model_cmd *cmd, const char *from)
{
	for (unsigned i = 0; i < cmd->niov; i++) {
		memcpy(cmd->iov[i].iov_base, from, cmd->iov[i].iov_len);
		from += cmd->iov[i].iov_len;
	}
}

static void model_mem_write(const struct model_cmd *cmd, char *to)
{
	for (unsigned i = 0; i < cmd->niov; i++) {
		memcpy(to, cmd->iov[i].iov_base, cmd->iov[i].iov_len);
		to += cmd->iov[i].iov_len;
	}
}

static uint32_t model_mem_compare(const struct model_cmd *cmd, const char *with)
{
	for (unsigned i = 0; i < cmd->niov; i++) {
		if (memcmp(cmd->iov[i].iov_base, with, cmd->iov[i].iov_len))
			return MODEL_DNR(RISER_NVME_ST_COMPARE_FAILED);
		with += cmd->iov[i].iov_len;
	}
	return 0;
}

/* Whole pages are given back to the system where it promises zeroes for them. */
static void model_mem_zero(char *at, uint64_t len)
{
#ifdef __linux__
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = (uint64_t)(uintptr_t)at;
	uint64_t low = align_up(start, page), high = align_down(start + len, page);

	if (low < high && !madvise(at + (low - start), high - low, MADV_DONTNEED)) {
		memset(at, 0, low - start);
		memset(at + (high - start), 0, start + len - high);
		return;
	}
#endif
	memset(at, 0, len);
}

static uint32_t model_mem_do(struct model_ns *ns, const struct model_cmd *cmd,
			     enum model_backing_op op, uint64_t off, uint64_t len)
{
	switch (op) {
	case MODEL_BACKING_READ:
		model_mem_read(cmd, ns->mem + off);
		break;
	case MODEL_BACKING_WRITE:
		model_mem_write(cmd, ns->mem + off);
		break;
	case MODEL_BACKING_COMPARE:
		return model_mem_compare(cmd, ns->mem + off);
	case MODEL_BACKING_ZERO:
		model_mem_zero(ns->mem + off, len);
		break;
	case MODEL_BACKING_FLUSH:
	case MODEL_BACKING_VERIFY:
		break;
	}
	return 0;
}

static int model_mem_open(struct model_ns *ns, uint64_t size, struct riser_err *err)
{
	ns->bytes = size ? size : GiB;
	ns->mem = mmap(NULL, ns->bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ns->mem != MAP_FAILED)
		return 0;
	ns->mem = NULL;
	return err_set(err, -ENOMEM, "no address space for a namespace of %llu bytes in memory",
		       (unsigned long long)ns->bytes);
}

static uint32_t model_blk_status(const struct riser_blk_io *io)
{
	switch (io->status) {
	case RISER_BLK_OK:
		return 0;
	case RISER_BLK_MEDIUM:
		return io->op == RISER_BLK_WRITE || io->op == RISER_BLK_WRITE_ZEROES
			       ? RISER_NVME_ST_WRITE_FAULT
			       : RISER_NVME_ST_READ_ERROR;
	case RISER_BLK_PROTECTION:
		return MODEL_DNR(RISER_NVME_ST_COMPARE_FAILED);
	case RISER_BLK_NOSPC:
		return RISER_NVME_ST_CAPACITY;
	case RISER_BLK_RESERVED:
		return MODEL_DNR(RISER_NVME_ST_RESERVATION);
	case RISER_BLK_OFFLINE:
		return RISER_NVME_ST_NS_NOT_READY;
	default:
		return RISER_NVME_ST_INTERNAL;
	}
}

static void model_blk_submit(struct model_cmd *cmd);

static void model_blk_done(struct riser_blk_io *io)
{
	struct model_cmd *cmd = io->user;
	uint32_t status = model_blk_status(io);

	riser_blk_io_put(io);
	if (!status && cmd->left) {
		model_blk_submit(cmd);
		return;
	}
	if (!status && cmd->op == MODEL_BACKING_COMPARE && cmd->buf)
		status = model_mem_compare(cmd, cmd->buf);
	model_cmd_backed(cmd->ns->m, cmd, status);
}

/* The next piece of the command, or its place in the queue for an I/O. */
static void model_blk_submit(struct model_cmd *cmd)
{
	static const uint8_t ops[] = {
		[MODEL_BACKING_READ] = RISER_BLK_READ,
		[MODEL_BACKING_WRITE] = RISER_BLK_WRITE,
		[MODEL_BACKING_COMPARE] = RISER_BLK_COMPARE,
		[MODEL_BACKING_FLUSH] = RISER_BLK_FLUSH,
		[MODEL_BACKING_ZERO] = RISER_BLK_WRITE_ZEROES,
		[MODEL_BACKING_VERIFY] = RISER_BLK_READ,
	};
	struct model_ns *ns = cmd->ns;
	struct riser_blk_io *io = riser_blk_io_get(ns->channel);
	uint64_t n = min_of(cmd->left, cmd->piece);

	if (!io) {
		list_add_tail(&ns->m->starved, &cmd->timer);
		return;
	}
	io->op = ops[cmd->op];
	io->flags = (cmd->flags & MODEL_BACKING_FUA ? RISER_BLK_FUA : 0) |
		    (cmd->flags & MODEL_BACKING_NOUNMAP ? RISER_BLK_NOUNMAP : 0);
	io->sector = cmd->off >> RISER_SECTOR_SHIFT;
	io->count = (uint32_t)(n >> RISER_SECTOR_SHIFT);
	io->iov = cmd->iov;
	io->iovcnt = cmd->op <= MODEL_BACKING_COMPARE ? cmd->niov : 0;
	io->iov_off = 0;
	if (cmd->buf && (cmd->op == MODEL_BACKING_COMPARE || cmd->op == MODEL_BACKING_VERIFY)) {
		io->op = RISER_BLK_READ;
		io->one = (struct iovec){ .iov_base = cmd->buf, .iov_len = n };
		io->iov = &io->one;
		io->iovcnt = 1;
	}
	io->done = model_blk_done;
	io->user = cmd;
	cmd->off += n;
	cmd->left -= n;
	riser_blk_submit(io);
}

#define VERIFY_PIECE (128 * KiB)
#define ZERO_PIECE   (1 * GiB)

static uint32_t model_blk_do(struct model_ns *ns, struct model_cmd *cmd, enum model_backing_op op,
			     uint64_t off, uint64_t len, uint32_t flags)
{
	cmd->ns = ns;
	cmd->op = (uint8_t)op;
	cmd->flags = flags;
	cmd->off = off;
	cmd->left = len;
	cmd->piece = op == MODEL_BACKING_ZERO ? ZERO_PIECE : len;
	if (op == MODEL_BACKING_VERIFY)
		cmd->piece = min_of(len, (uint64_t)VERIFY_PIECE);
	if (op == MODEL_BACKING_VERIFY || (op == MODEL_BACKING_COMPARE && !ns->compares)) {
		cmd->buf = malloc(cmd->piece);
		if (!cmd->buf)
			return RISER_NVME_ST_INTERNAL;
	}
	model_cmd_back(ns->m, cmd);
	model_blk_submit(cmd);
	return MODEL_PENDING;
}

static int model_blk_size(struct model_ns *ns, const struct riser_blk_info *info, uint64_t size,
			  struct riser_err *err)
{
	ns->bytes = info->sectors << RISER_SECTOR_SHIFT;
	if (size > ns->bytes)
		return err_set(err, -EINVAL, "it has %llu bytes, fewer than the size asked for",
			       (unsigned long long)ns->bytes);
	if (size)
		ns->bytes = size;
	if (info->logical_block > 4096)
		return err_set(err, -ENOTSUP, "its blocks of %u bytes are larger than 4096",
			       info->logical_block);
	ns->min_lbaf = info->logical_block > 512;
	if (ns->bytes < 4096)
		return err_set(err, -EINVAL, "%llu bytes are too few for a namespace",
			       (unsigned long long)ns->bytes);
	return 0;
}

/* For reading only where it cannot be had otherwise: the namespace is write protected then. */
static int model_blk_open(struct model_ns *ns, const char *uri, uint64_t size,
			  struct riser_err *err)
{
	struct model_nvme *m = ns->m;
	struct riser_blk_info info;
	int rc = 0;

	if (!m->exec)
		rc = riser_exec_new(m->r, &m->exec, err);
	if (!rc)
		rc = riser_blk_open(m->r, uri, RISER_BLK_RDWR, &ns->blk, err);
	if (rc == -EACCES || rc == -EROFS || rc == -EPERM)
		rc = riser_blk_open(m->r, uri, 0, &ns->blk, err);
	if (rc)
		return rc;
	riser_blk_get_info(ns->blk, &info);
	rc = model_blk_size(ns, &info, size, err);
	if (rc)
		return rc;
	ns->read_only = info.read_only;
	ns->write_cache = info.write_cache;
	ns->compares = info.compare;
	return riser_blk_channel_open(ns->blk, m->exec, 0, &ns->channel, err);
}

int model_backing_open(struct model_ns *ns, const char *uri, uint64_t size, struct riser_err *err)
{
	int rc = uri ? model_blk_open(ns, uri, size, err) : model_mem_open(ns, size, err);

	return rc && uri ? err_prefix(err, rc, "backing of namespace %u", ns->nsid) : rc;
}

void model_backing_close(struct model_ns *ns)
{
	if (ns->mem)
		munmap(ns->mem, ns->bytes);
	ns->mem = NULL;
	riser_blk_channel_close(ns->channel);
	ns->channel = NULL;
	riser_blk_close(ns->blk);
	ns->blk = NULL;
}

void model_backing_poll(struct model_nvme *m)
{
	struct list again = LIST_INIT(again);

	if (!m->nbacked)
		return;
	riser_exec_poll(m->exec);
	list_for_each_safe (cmd, &m->starved, struct model_cmd, timer) {
		list_del(&cmd->timer);
		list_add_tail(&again, &cmd->timer);
	}
	list_for_each_safe (cmd, &again, struct model_cmd, timer) {
		list_del(&cmd->timer);
		model_blk_submit(cmd);
	}
}

void model_backing_wait(struct model_nvme *m)
{
	riser_exec_wait(m->exec, NS_PER_MS);
	riser_exec_leave(m->exec);
	model_backing_poll(m);
}

uint32_t model_backing_do(struct model_ns *ns, struct model_cmd *cmd, enum model_backing_op op,
			  uint64_t off, uint64_t len, uint32_t flags)
{
	if (likely(ns->mem))
		return model_mem_do(ns, cmd, op, off, len);
	return model_blk_do(ns, cmd, op, off, len, flags);
}
