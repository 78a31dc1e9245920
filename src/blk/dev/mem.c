/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* mem:SIZE: sparse memory that vanishes with the device. What was never written is zero. */
#include "base/err.h"
#include "base/parse.h"
#include "base/uri.h"
#include "blk/iov.h"
#include "blk/source.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

struct mem {
	char *data;
	size_t len;
	size_t page;
};

static void *map_sparse(void *at, size_t len)
{
	return mmap(at, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0), -1, 0);
}

/* Whole pages are given back and made anew; they read as zeroes again. */
static void zero(struct mem *d, size_t at, size_t len, bool unmap)
{
	size_t from = align_up(at, d->page), to = align_down(at + len, d->page);

	if (!unmap || from >= to || map_sparse(d->data + from, to - from) == MAP_FAILED) {
		memset(d->data + at, 0, len);
		return;
	}
	memset(d->data + at, 0, from - at);
	memset(d->data + to, 0, at + len - to);
}

static bool equal(const char *data, const struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, 0);
	struct iovec v;

	for (; iov_next(&w, &v); data += v.iov_len)
		if (memcmp(data, v.iov_base, v.iov_len))
			return false;
	return true;
}

static void mem_submit(struct blk_map *m, struct riser_blk_io *io)
{
	struct mem *d = m->b->priv;
	size_t at = (size_t)io->sector << RISER_SECTOR_SHIFT;
	enum riser_blk_status status = RISER_BLK_OK;

	switch (io->op) {
	case RISER_BLK_READ:
		blk_copy_out(io, d->data + at);
		break;
	case RISER_BLK_WRITE:
		blk_copy_in(d->data + at, io);
		break;
	case RISER_BLK_DISCARD:
		zero(d, at, blk_bytes(io), true);
		break;
	case RISER_BLK_WRITE_ZEROES:
		zero(d, at, blk_bytes(io), !(io->flags & RISER_BLK_NOUNMAP));
		break;
	case RISER_BLK_COMPARE:
		if (!equal(d->data + at, io))
			status = RISER_BLK_PROTECTION;
		break;
	default:
		status = RISER_BLK_NOTSUPP;
		break;
	}
	blk_leaf_done(m, io, status);
}

static void mem_close(struct riser_blk *b)
{
	struct mem *d = b->priv;

	if (d->data)
		munmap(d->data, d->len);
	free(d);
}

static const struct blk_ops mem_ops = {
	.size = sizeof(mem_ops),
	.close = mem_close,
	.submit = mem_submit,
};

static int mem_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		    struct riser_err *err)
{
	static const char *const keys[] = { "block", NULL };
	struct riser_blk *b = NULL;
	struct mem *d;
	uint64_t size;
	char text[32];
	int rc = uri_check_keys(u, keys, err);

	if (rc)
		return rc;
	if (parse_size(u->rest, &size) || size > SIZE_MAX / 2)
		return err_set(err, -EINVAL, "mem: wants a size such as mem:1G, not '%s'", u->rest);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, -ENOMEM, "no memory for a memory device");
	rc = blk_new(r, &mem_ops, d, &b, err);
	if (rc) {
		free(d);
		return rc;
	}
	rc = blk_set_geometry(b, u, size, err);
	if (rc)
		goto fail;
	d->page = (size_t)sysconf(_SC_PAGESIZE);
	d->len = (size_t)size;
	d->data = map_sparse(NULL, d->len);
	if (d->data == MAP_FAILED) {
		d->data = NULL;
		rc = err_set(err, -ENOMEM, "mem:%s: no address space for it", u->rest);
		goto fail;
	}
	b->discard = b->write_zeroes = b->compare = b->fua = true;
	snprintf(b->description, sizeof(b->description), "memory, %s, lost when closed",
		 format_size(size, text, sizeof(text)));
	*out = b;
	return 0;
fail:
	blk_put(b);
	return rc;
}

const struct blk_source source_mem = {
	.size = sizeof(source_mem),
	.scheme = "mem",
	.example = "mem:1G",
	.harmless = true,
	.open = mem_open,
};
