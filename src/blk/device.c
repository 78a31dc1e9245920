/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Devices: opening by URI, what they are, how limits stack. */
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "blk/source.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int blk_new(struct riser *r, const struct blk_ops *ops, void *priv, struct riser_blk **out,
	    struct riser_err *err)
{
	struct riser_blk *b = calloc(1, sizeof(*b));

	if (!b || pthread_mutex_init(&b->lock, NULL)) {
		free(b);
		return err_set(err, -ENOMEM, "no memory for a block device");
	}
	b->r = r;
	b->ops = ops;
	b->priv = priv;
	b->refs = 1;
	b->lock_fd = -1;
	b->limits.logical_block = b->limits.physical_block = RISER_SECTOR_SIZE;
	b->limits.buf_align = 1;
	list_init(&b->channels);
	list_init(&b->listeners);
	*out = b;
	return 0;
}

int blk_set_geometry(struct riser_blk *b, const struct uri *u, uint64_t size, struct riser_err *err)
{
	uint64_t block = RISER_SECTOR_SIZE;
	int rc = uri_get_size(u, "block", &block, err);

	if (rc)
		return rc;
	if (!is_power_of_two(block) || block < RISER_SECTOR_SIZE || block > 64 * KiB)
		return err_set(err, -EINVAL,
			       "%s: block=%llu: a power of two from 512 to 65536 is wanted",
			       u->scheme, (unsigned long long)block);
	if (!size || size % block)
		return err_set(err, -EINVAL,
			       "%s: the size, %llu bytes, is not a multiple of the block size, "
			       "%llu, or is 0",
			       u->scheme, (unsigned long long)size, (unsigned long long)block);
	b->sectors = size >> RISER_SECTOR_SHIFT;
	b->limits.logical_block = b->limits.physical_block = (uint32_t)block;
	return 0;
}

struct riser_blk *blk_get(struct riser_blk *b)
{
	__atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

bool blk_try_get(struct riser_blk *b)
{
	uint32_t refs = load_relaxed(&b->refs);

	while (refs && !__atomic_compare_exchange_n(&b->refs, &refs, refs + 1, true,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return refs;
}

void blk_put(struct riser_blk *b)
{
	if (!b || __atomic_fetch_sub(&b->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	blk_claim_end(b);
	if (b->ops->close)
		b->ops->close(b);
	pthread_mutex_destroy(&b->lock);
	free(b->identity);
	free(b);
}

int blk_open_held(struct riser *r, const char *text, uint32_t flags, const void *holder,
		  struct riser_blk **out, struct riser_err *err)
{
	const struct blk_source *const *s = r->registry->sources;
	struct riser_blk *b = NULL;
	bool read_only;
	struct uri u;
	int rc;

	if (flags & ~RISER_BLK_RDWR)
		return err_set(err, -EINVAL, "unknown flags %#x for opening a block device",
			       flags & ~RISER_BLK_RDWR);
	rc = uri_parse(text, &u, err);
	if (rc)
		return rc;
	while (*s && (!(*s)->scheme || strcmp((*s)->scheme, u.scheme)))
		s++;
	if (*s)
		rc = (*s)->open(r, &u, flags, &b, err);
	else
		rc = r->registry->open_by_class(r, &u, flags, &b, err);
	uri_free(&u);
	if (rc)
		return rc;
	/* A table is in its registry already: who suspends what it skips has it compiled anew. */
	pthread_mutex_lock(&b->lock);
	b->harmless |= *s && (*s)->harmless;
	b->read_only |= !(flags & RISER_BLK_RDWR);
	read_only = b->read_only;
	pthread_mutex_unlock(&b->lock);
	rc = read_only ? 0 : blk_claim(b, text, holder, err);
	if (rc) {
		blk_put(b);
		return rc;
	}
	pthread_mutex_lock(&r->lock);
	b->opens++;
	pthread_mutex_unlock(&r->lock);
	*out = b;
	return 0;
}

int riser_blk_open(struct riser *r, const char *uri, uint32_t flags, struct riser_blk **out,
		   struct riser_err *err)
{
	if (exec_completing(r))
		return err_set(
			err, -EDEADLK,
			"%s cannot be opened inside a completion: it may wait for the device", uri);
	return blk_open_held(r, uri, flags, NULL, out, err);
}

void riser_blk_close(struct riser_blk *b)
{
	bool last;

	if (!b)
		return;
	pthread_mutex_lock(&b->r->lock);
	b->opens -= b->opens > 0; /* what blk_new() made was not opened */
	last = !b->opens;
	pthread_mutex_unlock(&b->r->lock);
	if (last)
		riser_blk_on_event(b, NULL, NULL);
	blk_put(b);
}

void riser_blk_get_info(struct riser_blk *b, struct riser_blk_info *info)
{
	const struct blk_limits *l = &b->limits;

	pthread_mutex_lock(&b->lock); /* it may be changing */
	*info = (struct riser_blk_info){
		.sectors = b->sectors,
		.logical_block = l->logical_block,
		.physical_block = l->physical_block,
		.max_sectors = l->max_sectors ? l->max_sectors : UINT32_MAX,
		.buf_align = l->buf_align,
		.read_only = b->read_only,
		.write_cache = b->write_cache,
		.fua = b->fua,
		.discard = b->discard,
		.write_zeroes = b->write_zeroes,
		.compare = b->compare,
		.block_status = b->block_status,
	};
	if (b->discard)
		info->max_discard_sectors =
			l->max_discard_sectors ? l->max_discard_sectors : UINT32_MAX;
	if (b->write_zeroes)
		info->max_zeroes_sectors =
			l->max_zeroes_sectors ? l->max_zeroes_sectors : UINT32_MAX;
	snprintf(info->description, sizeof(info->description), "%s", b->description);
	pthread_mutex_unlock(&b->lock);
}

bool riser_blk_is_safe_to_destroy(struct riser_blk *b)
{
	return b->harmless;
}

/* 0 stands for "no limit". */
static uint32_t stricter(uint32_t a, uint32_t b)
{
	if (!a || !b)
		return a | b;
	return min_of(a, b);
}

void blk_stack_limits(struct riser_blk *b, const struct riser_blk *lower)
{
	struct blk_limits *l = &b->limits;
	const struct blk_limits *o = &lower->limits;

	l->max_sectors = stricter(l->max_sectors, o->max_sectors);
	l->max_discard_sectors = stricter(l->max_discard_sectors, o->max_discard_sectors);
	l->max_zeroes_sectors = stricter(l->max_zeroes_sectors, o->max_zeroes_sectors);
	l->logical_block = max_of(l->logical_block, o->logical_block);
	l->physical_block = max_of(l->physical_block, o->physical_block);
	l->buf_align = max_of(l->buf_align, o->buf_align);
	if (o->seg_boundary && (!l->seg_boundary || o->seg_boundary < l->seg_boundary))
		l->seg_boundary = o->seg_boundary;
	l->reach = max_of(l->reach, o->reach);
	b->read_only |= lower->read_only;
	b->write_cache |= lower->write_cache;
	b->fua = lower->fua && (b->fua || !b->stacked);
	b->discard = lower->discard && (b->discard || !b->stacked);
	b->write_zeroes = lower->write_zeroes && (b->write_zeroes || !b->stacked);
	b->compare = lower->compare && (b->compare || !b->stacked);
	b->harmless = lower->harmless && (b->harmless || !b->stacked);
	b->stacked = true;
}
