/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * mem:SIZE: sparse memory that vanishes with the device. What was never written is zero.
 *
 * Which granules (pages, or blocks where those are larger) were written stands in a bitmap of the
 * device's own: the system's tables tell what is resident, which is something else.
 */
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

#define BITS        64
#define STATUS_BITS (1u << 22) /* that one BLOCK_STATUS looks at: some tens of microseconds */

struct mem {
	char *data;
	size_t len;
	size_t granule;    /* bytes */
	uint64_t *written; /* a bit a granule; atomic, for owners that write neighbours */
};

static size_t bitmap_len(const struct mem *d)
{
	return (d->len / d->granule / BITS + 1) * sizeof(*d->written);
}

/* Return: MAP_FAILED where there is no room. */
static void *map_sparse(void *at, size_t len)
{
	return mmap(at, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0), -1, 0);
}

static void *map_or_null(size_t len)
{
	void *p = map_sparse(NULL, len);

	return p == MAP_FAILED ? NULL : p;
}

static void set_written(struct mem *d, size_t at, size_t len)
{
	for (size_t i = at / d->granule; i <= (at + len - 1) / d->granule; i++) {
		uint64_t bit = 1ull << i % BITS;

		if (!(load_relaxed(&d->written[i / BITS]) & bit))
			__atomic_fetch_or(&d->written[i / BITS], bit, __ATOMIC_RELAXED);
	}
}

/* Of whole granules. */
static void clear_written(struct mem *d, size_t at, size_t len)
{
	size_t i = at / d->granule, end = (at + len) / d->granule;

	for (; i < end; i++) {
		uint64_t bit = 1ull << i % BITS;

		if (i % BITS == 0 && end - i >= BITS) {
			store_relaxed(&d->written[i / BITS], 0);
			i += BITS - 1;
		} else if (load_relaxed(&d->written[i / BITS]) & bit) {
			__atomic_fetch_and(&d->written[i / BITS], ~bit, __ATOMIC_RELAXED);
		}
	}
}

static void block_status(const struct mem *d, struct riser_blk_io *io)
{
	size_t at = (size_t)io->sector << RISER_SECTOR_SHIFT, end = at + blk_bytes(io);
	size_t first = at / d->granule, last = (end - 1) / d->granule, i = first;
	uint64_t flip = load_relaxed(&d->written[i / BITS]) >> i % BITS & 1 ? UINT64_MAX : 0;

	last = min_of(last, first + STATUS_BITS);
	while (i <= last) {
		uint64_t other = (load_relaxed(&d->written[i / BITS]) ^ flip) >> i % BITS;

		if (other) {
			i += (size_t)__builtin_ctzll(other);
			break;
		}
		i += BITS - i % BITS;
	}
	i = min_of(i, last + 1);
	io->count = (uint32_t)((min_of(i * d->granule, end) - at) >> RISER_SECTOR_SHIFT);
	io->raw_status = flip ? 0 : RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO;
}

/* Whole granules are given back and made anew; they read as zeroes again. */
static void zero(struct mem *d, size_t at, size_t len, bool unmap)
{
	size_t from = align_up(at, d->granule), to = align_down(at + len, d->granule);

	if (!unmap || from >= to || map_sparse(d->data + from, to - from) == MAP_FAILED) {
		memset(d->data + at, 0, len);
		if (!unmap)
			set_written(d, at, len); /* no hole, as was asked */
		return;
	}
	clear_written(d, from, to - from);
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
		set_written(d, at, blk_bytes(io));
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
	case RISER_BLK_BLOCK_STATUS:
		block_status(d, io);
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
	if (d->written)
		munmap(d->written, bitmap_len(d));
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
	d->granule = max_of((size_t)sysconf(_SC_PAGESIZE), (size_t)b->limits.logical_block);
	d->len = (size_t)size;
	d->data = map_or_null(d->len);
	d->written = map_or_null(bitmap_len(d));
	if (!d->data || !d->written) {
		rc = err_set(err, -ENOMEM, "mem:%s: no address space for it", u->rest);
		goto fail;
	}
	b->discard = b->write_zeroes = b->compare = b->fua = b->block_status = true;
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
