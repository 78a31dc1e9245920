/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * dust: blocks of the device below that cannot be read until they are written.
 *
 * Bad blocks are counted on the device below, from its sector 0 on. They are kept in a treap: a
 * binary search tree that is a heap too, by a number that a hash makes of the block. It is as deep
 * as if they had come in random order, whatever order they came in.
 *
 * HOME: an I/O may change the tree.
 */
#include "base/riser.h"
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLOCK_MAX (1u << 30)

struct bad {
	struct bad *kids[2]; /* lower blocks, higher ones */
	uint64_t block;
	uint8_t write_fails; /* so many writes fail before one heals it */
};

struct dust {
	struct riser_target_leg leg;
	uint64_t nblocks; /* of the device below */
	uint32_t sectors; /* of a block */
	bool enabled, quiet;
	struct bad *root;
	uint64_t nbad;
};

static uint64_t rank(const struct bad *b)
{
	uint64_t x = b->block * 0x9e3779b97f4a7c15;

	x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
	return x ^ x >> 32;
}

/* The lowest from @block on, or NULL. */
static struct bad *find(const struct dust *d, uint64_t block)
{
	struct bad *b = d->root, *best = NULL;

	while (b) {
		if (b->block >= block)
			best = b;
		b = b->kids[b->block < block];
	}
	return best;
}

static struct bad *find_exactly(const struct dust *d, uint64_t block)
{
	struct bad *b = find(d, block);

	return b && b->block == block ? b : NULL;
}

/* It goes where it outranks who is there, whose kids it parts into lower and higher ones. */
static void insert(struct dust *d, struct bad *n)
{
	struct bad **at = &d->root, **ends[2] = { &n->kids[0], &n->kids[1] }, *b;

	while (*at && rank(*at) >= rank(n))
		at = &(*at)->kids[(*at)->block < n->block];
	b = *at;
	*at = n;
	while (b) {
		bool lower = b->block < n->block;

		*ends[!lower] = b;
		ends[!lower] = &b->kids[lower];
		b = b->kids[lower];
	}
	*ends[0] = *ends[1] = NULL;
	d->nbad++;
}

/* In its place its kids, joined. */
static void erase(struct dust *d, struct bad *gone)
{
	struct bad **at = &d->root, *low = gone->kids[0], *high = gone->kids[1];

	while (*at != gone)
		at = &(*at)->kids[(*at)->block < gone->block];
	while (low && high) {
		bool take_low = rank(low) >= rank(high);
		struct bad **taken = take_low ? &low : &high;

		*at = *taken;
		at = &(*at)->kids[take_low];
		*taken = *at;
	}
	*at = low ? low : high;
	free(gone);
	d->nbad--;
}

/* Kids first, without a stack: the tree is turned into a list on the way. */
static void clear(struct dust *d)
{
	struct bad *b;

	while ((b = d->root)) {
		struct bad *low = b->kids[0];

		if (low) {
			b->kids[0] = low->kids[1];
			low->kids[1] = b;
			d->root = low;
		} else {
			d->root = b->kids[1];
			free(b);
		}
	}
	d->nbad = 0;
}

static int dust_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct dust *d = calloc(1, sizeof(*d));
	struct riser_blk_info info;
	uint64_t size;
	int rc;

	if (!d)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = d;
	rc = riser_args_range(a, t, t->len, &d->leg.dev, &d->leg.start, err);
	if (!rc)
		rc = riser_args_u64(a, "the block size in bytes", RISER_SECTOR_SIZE, BLOCK_MAX,
				    &size, err);
	if (rc)
		return rc;
	if (!is_power_of_two(size))
		return riser_err_set(err, -EINVAL,
				     "the block size has to be a power of two, not %llu",
				     (unsigned long long)size);
	d->sectors = (uint32_t)(size >> RISER_SECTOR_SHIFT);
	if (d->sectors > t->len)
		return riser_err_set(err, -EINVAL, "a block of %llu bytes is more than there is",
				     (unsigned long long)size);
	riser_target_dev_info(t, d->leg.dev, &info);
	d->nblocks = info.sectors / d->sectors;
	t->max_io = max_of(d->sectors, info.logical_block >> RISER_SECTOR_SHIFT);
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	return 0;
}

static void dust_dtr(struct riser_target *t)
{
	struct dust *d = t->priv;

	if (d)
		clear(d);
	free(d);
}

/* A write over @first to @last: all of them heal, or none. Return: whether it may be done. */
static bool heal(struct riser_target *t, struct dust *d, uint64_t first, uint64_t last)
{
	struct bad *b;
	bool fails = false;

	for (b = find(d, first); b && b->block <= last; b = find(d, b->block + 1)) {
		if (!b->write_fails)
			continue;
		b->write_fails--;
		fails = true;
	}
	while (!fails && (b = find(d, first)) && b->block <= last) {
		if (!d->quiet)
			base_log(t->r, RISER_LOG_INFO, "dust: a write healed block %llu of %s",
				 (unsigned long long)b->block, riser_target_dev_uri(t, d->leg.dev));
		erase(d, b);
	}
	return !fails;
}

static enum riser_target_verdict dust_map(struct riser_target *t, struct riser_blk_io *io)
{
	struct dust *d = t->priv;
	uint64_t at = d->leg.start + io->sector, first = at / d->sectors;
	uint64_t last = (at + io->count - 1) / d->sectors;
	bool ok = true;

	if (d->enabled && d->nbad) {
		if (io->op == RISER_BLK_READ || io->op == RISER_BLK_COMPARE) {
			const struct bad *b = find(d, first);

			ok = !b || b->block > last;
		} else if (io->op == RISER_BLK_WRITE || io->op == RISER_BLK_WRITE_ZEROES) {
			ok = heal(t, d, first, last);
		}
	}
	return ok ? riser_target_remap(t, io, d->leg.dev, at)
		  : riser_target_done(io, RISER_BLK_IOERR);
}

static void dust_status(struct riser_target *t, enum riser_status_type type, struct riser_text *out)
{
	const struct dust *d = t->priv;
	const char *uri = riser_target_dev_uri(t, d->leg.dev);

	if (type == RISER_STATUS_TABLE)
		riser_text_add(out, "%s %llu %llu", uri, (unsigned long long)d->leg.start,
			       (unsigned long long)d->sectors << RISER_SECTOR_SHIFT);
	else
		riser_text_add(out, "%s %s %s", uri,
			       d->enabled ? "fail_read_on_bad_block" : "bypass",
			       d->quiet ? "quiet" : "verbose");
}

/* Messages. What they answer is worded as the kernel's answers are. */

struct request {
	struct riser_target *t;
	struct dust *d;
	uint64_t block, write_fails;
	struct riser_text *out;
	struct riser_err *err;
};

static int add(struct request *q)
{
	struct bad *b;

	if (find_exactly(q->d, q->block))
		return riser_err_set(q->err, -EINVAL, "block %llu is bad already",
				     (unsigned long long)q->block);
	b = malloc(sizeof(*b));
	if (!b)
		return riser_err_set(q->err, -ENOMEM, "no memory for a bad block");
	b->block = q->block;
	b->write_fails = (uint8_t)q->write_fails;
	insert(q->d, b);
	return 0;
}

static int remove_block(struct request *q)
{
	struct bad *b = find_exactly(q->d, q->block);

	if (!b)
		return riser_err_set(q->err, -EINVAL, "block %llu is not bad",
				     (unsigned long long)q->block);
	erase(q->d, b);
	return 0;
}

static int query(struct request *q)
{
	riser_text_add(q->out, "dust_query_block: block %llu %s in badblocklist",
		       (unsigned long long)q->block,
		       find_exactly(q->d, q->block) ? "found" : "not found");
	return 0;
}

static int enable(struct request *q)
{
	q->d->enabled = true;
	return 0;
}

static int disable(struct request *q)
{
	q->d->enabled = false;
	return 0;
}

static int quiet(struct request *q)
{
	q->d->quiet = !q->d->quiet;
	return 0;
}

static int count(struct request *q)
{
	riser_text_add(q->out, "countbadblocks: %llu badblock(s) found",
		       (unsigned long long)q->d->nbad);
	return 0;
}

static int list(struct request *q)
{
	for (const struct bad *b = find(q->d, 0); b; b = find(q->d, b->block + 1))
		riser_text_add(q->out, "%llu\n", (unsigned long long)b->block);
	return 0;
}

static int clear_all(struct request *q)
{
	riser_text_add(q->out, "dust_clear_badblocks: %s",
		       q->d->nbad ? "badblocks cleared" : "no badblocks found");
	clear(q->d);
	return 0;
}

static const struct {
	const char *verb;
	unsigned least, most; /* arguments */
	int (*fn)(struct request *q);
} messages[] = {
	{ "addbadblock", 1, 2, add },    { "removebadblock", 1, 1, remove_block },
	{ "queryblock", 1, 1, query },   { "enable", 0, 0, enable },
	{ "disable", 0, 0, disable },    { "countbadblocks", 0, 0, count },
	{ "listbadblocks", 0, 0, list }, { "clearbadblocks", 0, 0, clear_all },
	{ "quiet", 0, 0, quiet },
};

static int dust_message(struct riser_target *t, unsigned argc, char **argv, struct riser_text *out,
			struct riser_err *err)
{
	struct dust *d = t->priv;
	struct request q = { .t = t, .d = d, .out = out, .err = err };
	struct riser_args a = { .argc = argc, .argv = argv, .at = 1 };
	size_t i = 0;
	int rc = 0;

	while (i < array_len(messages) && strcasecmp(argv[0], messages[i].verb))
		i++;
	if (i == array_len(messages))
		return riser_err_set(err, -EINVAL, "unknown message '%s'", argv[0]);
	if (messages[i].least)
		rc = riser_args_u64(&a, "a block", 0, d->nblocks - 1, &q.block, err);
	if (!rc && messages[i].most > 1 && argc > 2)
		rc = riser_args_u64(&a, "the number of writes that fail", 0, UINT8_MAX,
				    &q.write_fails, err);
	if (!rc)
		rc = riser_args_end(&a, err);
	return rc ? rc : messages[i].fn(&q);
}

const struct riser_target_ops target_dust = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_dust),
	.name = "dust",
	.version = { 1, 0, 0 },
	.syntax = "<dev> <offset> <block size in bytes>",
	.summary = "blocks that cannot be read until they are written",
	.ctr = dust_ctr,
	.dtr = dust_dtr,
	.map = dust_map,
	.status = dust_status,
	.message = dust_message,
};
