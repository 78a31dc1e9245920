/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * flakey: a device that is itself for some seconds, then unreliable for some, and so on, counted
 * from when the table was loaded. What was submitted while it was down stays so.
 *
 * A write that is to be corrupted goes on from a copy, since its memory is the caller's. There are
 * BUFFERS of them; who finds none waits for his turn. That is the only state, so that an instance
 * that corrupts no writes runs in all threads.
 */
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUFFERS          8
#define BUFFER           (128 * KiB)
#define PROBABILITY_BASE 1000000000 /* always */
#define FEATURES_MAX     11         /* words */

/* What linux/blk_types.h of Linux 6.1 calls REQ_OP_WRITE, REQ_FUA, REQ_PREFLUSH. */
#define KERNEL_WRITE    (1u << 0)
#define KERNEL_FUA      (1u << 17)
#define KERNEL_PREFLUSH (1u << 18)

struct copy {
	struct iovec one;
	struct iovec *iov; /* the caller's */
	uint32_t iovcnt;
	size_t iov_off;
	struct copy *next;
};

struct flakey {
	struct riser_target_leg leg;
	uint64_t loaded;
	uint64_t up, down; /* seconds */
	bool error_reads, drop_writes, error_writes;
	uint64_t byte; /* from 1; 0: none */
	uint64_t value, mask;
	bool byte_of_writes;
	uint64_t random_reads, random_writes; /* of PROBABILITY_BASE */
	uint64_t rolls;                       /* atomic */

	void *memory;
	struct copy copies[BUFFERS], *free;
	struct riser_blk_io *waiting, *last_waiting;
};

/* What was decided about an I/O when it was submitted: its riser_target_data(). */
#define BYTE     (1u << 0) /* corrupt_bio_byte */
#define RANDOM   (1u << 1)
#define COPY_BIT 8 /* a write: from here on, which copy it has */

/* The numbers are the same after each load, so that a failure can be had again. */
static uint64_t roll(struct flakey *f)
{
	uint64_t x = __atomic_add_fetch(&f->rolls, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Features. */

static int corrupt_byte(struct flakey *f, struct riser_args *a, struct riser_err *err)
{
	const char *direction;
	int rc;

	if (f->byte)
		return riser_err_set(err, -EINVAL, "corrupt_bio_byte is there twice");
	rc = riser_args_u64(a, "the byte, counted from 1,", 1, UINT32_MAX, &f->byte, err);
	direction = rc ? NULL : riser_args_word(a, "'r' or 'w'", err);
	if (!direction)
		return -EINVAL;
	if (strcasecmp(direction, "r") && strcasecmp(direction, "w"))
		return riser_err_set(err, -EINVAL, "'%s' is neither r nor w", direction);
	f->byte_of_writes = !strcasecmp(direction, "w");
	rc = riser_args_u64(a, "the value", 0, UINT8_MAX, &f->value, err);
	return rc ? rc : riser_args_u64(a, "the mask of flags", 0, UINT32_MAX, &f->mask, err);
}

static int set_once(bool *flag, const char *name, struct riser_err *err)
{
	if (*flag)
		return riser_err_set(err, -EINVAL, "%s is there twice", name);
	*flag = true;
	return 0;
}

static int feature(struct flakey *f, struct riser_args *a, struct riser_err *err)
{
	static const char *const names[] = { "error_reads",
					     "drop_writes",
					     "error_writes",
					     "corrupt_bio_byte",
					     "random_read_corrupt",
					     "random_write_corrupt",
					     NULL };
	const char *name = riser_args_word(a, "a feature", err), *near;

	if (!strcasecmp(name, "error_reads"))
		return set_once(&f->error_reads, name, err);
	if (!strcasecmp(name, "drop_writes"))
		return set_once(&f->drop_writes, name, err);
	if (!strcasecmp(name, "error_writes"))
		return set_once(&f->error_writes, name, err);
	if (!strcasecmp(name, "corrupt_bio_byte"))
		return corrupt_byte(f, a, err);
	if (!strcasecmp(name, "random_read_corrupt"))
		return riser_args_u64(a, "the probability", 0, PROBABILITY_BASE, &f->random_reads,
				      err);
	if (!strcasecmp(name, "random_write_corrupt"))
		return riser_args_u64(a, "the probability", 0, PROBABILITY_BASE, &f->random_writes,
				      err);
	near = riser_nearest(name, names);
	return near ? riser_err_set(err, -EINVAL, "unknown feature '%s': did you mean '%s'?", name,
				    near)
		    : riser_err_set(err, -EINVAL, "unknown feature '%s'", name);
}

/* "<#words> word…" */
static int features(struct flakey *f, struct riser_args *a, struct riser_err *err)
{
	struct riser_args group = *a;
	uint64_t n = 0;
	int rc = 0;

	if (a->at < a->argc)
		rc = riser_args_u64(a, "the number of feature arguments", 0, FEATURES_MAX, &n, err);
	if (!rc && n > a->argc - a->at)
		rc = riser_err_set(err, -EINVAL, "%u feature arguments are announced, %u follow",
				   (unsigned)n, a->argc - a->at);
	group.at = a->at;
	group.argc = a->at + (unsigned)n;
	while (!rc && group.at < group.argc) {
		rc = feature(f, &group, err);
		if (!rc && f->drop_writes && (f->error_writes || (f->byte && f->byte_of_writes)))
			rc = riser_err_set(err, -EINVAL, "drop_writes leaves nothing to %s",
					   f->error_writes ? "error_writes"
							   : "corrupt_bio_byte of writes");
		if (!rc && f->error_writes && f->byte && f->byte_of_writes)
			rc = riser_err_set(
				err, -EINVAL,
				"error_writes leaves nothing to corrupt_bio_byte of writes");
	}
	a->at = group.at;
	if (!rc && !f->error_reads && !f->drop_writes && !f->error_writes && !f->byte &&
	    !f->random_reads && !f->random_writes)
		f->error_reads = f->error_writes = true;
	return rc;
}

static bool corrupts_writes(const struct flakey *f)
{
	return (f->byte && f->byte_of_writes) || f->random_writes;
}

static int copies_new(struct riser_target *t, struct flakey *f, struct riser_err *err)
{
	int rc = riser_mem_alloc(t->r, BUFFERS * BUFFER, &f->memory, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < BUFFERS; i++) {
		f->copies[i].one = (struct iovec){ (char *)f->memory + i * BUFFER, BUFFER };
		f->copies[i].next = f->free;
		f->free = &f->copies[i];
	}
	return 0;
}

static int flakey_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct flakey *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = f;
	f->loaded = riser_now(t->r);
	rc = riser_args_range(a, t, t->len, &f->leg.dev, &f->leg.start, err);
	if (!rc)
		rc = riser_args_u64(a, "the up interval in seconds", 0, UINT32_MAX, &f->up, err);
	if (!rc)
		rc = riser_args_u64(a, "the down interval in seconds", 0, UINT32_MAX, &f->down,
				    err);
	if (!rc && (!(f->up + f->down) || f->up + f->down > UINT32_MAX))
		rc = riser_err_set(err, -EINVAL,
				   "the intervals together have to be from 1 to %u seconds",
				   UINT32_MAX);
	if (!rc)
		rc = features(f, a, err);
	if (!rc && corrupts_writes(f)) {
		t->home = true;
		rc = copies_new(t, f, err);
	}
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	return rc;
}

static void flakey_dtr(struct riser_target *t)
{
	struct flakey *f = t->priv;

	if (f)
		riser_mem_free(t->r, f->memory);
	free(f);
}

/* A write fits in a copy. */
static void flakey_limits(struct riser_target *t, struct riser_blk_info *info)
{
	const uint32_t most = BUFFER >> RISER_SECTOR_SHIFT;

	if (corrupts_writes(t->priv))
		info->max_sectors = min_of(info->max_sectors, most);
}

/* I/O. */

static bool is_down(const struct riser_target *t, const struct flakey *f)
{
	uint64_t elapsed = (riser_now(t->r) - f->loaded) / NS_PER_S;

	return elapsed % (f->up + f->down) >= f->up;
}

static bool is_write(const struct riser_blk_io *io)
{
	return io->op == RISER_BLK_WRITE || io->op == RISER_BLK_FLUSH ||
	       io->op == RISER_BLK_DISCARD || io->op == RISER_BLK_WRITE_ZEROES;
}

static unsigned char *byte_at(const struct riser_blk_io *io, uint64_t at)
{
	const struct iovec *v = io->iov;

	for (at += io->iov_off; at >= v->iov_len; v++)
		at -= v->iov_len;
	return (unsigned char *)v->iov_base + at;
}

/* The table wants one byte of it changed. */
static bool wants_byte(const struct flakey *f, const struct riser_blk_io *io)
{
	uint64_t bits = (is_write(io) ? KERNEL_WRITE : 0) |
			(io->flags & RISER_BLK_FUA ? KERNEL_FUA : 0) |
			(io->flags & RISER_BLK_PREFLUSH ? KERNEL_PREFLUSH : 0);

	return f->byte && f->byte_of_writes == is_write(io) && !(f->mask & ~bits) &&
	       f->byte <= (uint64_t)io->count << RISER_SECTOR_SHIFT;
}

static bool wants_random(struct flakey *f, const struct riser_blk_io *io)
{
	uint64_t probability = is_write(io) ? f->random_writes : f->random_reads;

	return probability && roll(f) % PROBABILITY_BASE < probability;
}

static void corrupt(struct flakey *f, struct riser_blk_io *io)
{
	uint64_t what = *riser_target_data(io), dice;

	if (what & BYTE)
		*byte_at(io, f->byte - 1) = (unsigned char)f->value;
	if (what & RANDOM) {
		dice = roll(f);
		*byte_at(io, (dice >> 8) % ((uint64_t)io->count << RISER_SECTOR_SHIFT)) =
			(unsigned char)dice;
	}
}

/* Give the write a copy; there is one. */
static void take_copy(struct flakey *f, struct riser_blk_io *io)
{
	struct copy *c = f->free;

	f->free = c->next;
	c->iov = io->iov;
	c->iovcnt = io->iovcnt;
	c->iov_off = io->iov_off;
	riser_target_copy_in(io, c->one.iov_base);
	io->iov = &c->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	*riser_target_data(io) |= (uint64_t)(c - f->copies) << COPY_BIT;
	corrupt(f, io);
}

static void put_copy(struct flakey *f, struct riser_blk_io *io, struct copy *c)
{
	io->iov = c->iov;
	io->iovcnt = c->iovcnt;
	io->iov_off = c->iov_off;
	c->next = f->free;
	f->free = c;
}

static void queue_up(struct flakey *f, struct riser_blk_io *io)
{
	*riser_target_next(io) = NULL;
	if (f->waiting)
		*riser_target_next(f->last_waiting) = io;
	else
		f->waiting = io;
	f->last_waiting = io;
}

static enum riser_target_verdict flakey_map(struct riser_target *t, struct riser_blk_io *io)
{
	struct flakey *f = t->priv;
	bool write = is_write(io);

	if (!is_down(t, f))
		return riser_target_remap(t, io, f->leg.dev, f->leg.start + io->sector);
	if (write ? f->error_writes : f->error_reads)
		return riser_target_done(io, RISER_BLK_IOERR);
	if (write && f->drop_writes)
		return riser_target_done(io, RISER_BLK_OK);
	if (io->op == RISER_BLK_READ || io->op == RISER_BLK_WRITE)
		*riser_target_data(io) =
			(wants_byte(f, io) ? BYTE : 0) | (wants_random(f, io) ? RANDOM : 0);
	if (write && *riser_target_data(io)) {
		if (!f->free) {
			queue_up(f, io);
			return riser_target_keep(t, io);
		}
		take_copy(f, io);
	}
	return riser_target_remap(t, io, f->leg.dev, f->leg.start + io->sector);
}

static bool flakey_end_io(struct riser_target *t, struct riser_blk_io *io, uint64_t what)
{
	struct flakey *f = t->priv;
	struct riser_blk_io *next = f->waiting;

	if (!what)
		return false;
	if (io->op == RISER_BLK_READ) {
		if (io->status == RISER_BLK_OK)
			corrupt(f, io);
		return false;
	}
	put_copy(f, io, &f->copies[what >> COPY_BIT]);
	if (next) {
		f->waiting = *riser_target_next(next);
		take_copy(f, next);
		riser_target_go(t, next, f->leg.dev, f->leg.start + next->sector);
	}
	return false;
}

/* As kernels do that know error_reads: they name it where no feature was given. */
static void flakey_status(struct riser_target *t, enum riser_status_type type,
			  struct riser_text *out)
{
	const struct flakey *f = t->priv;

	if (type == RISER_STATUS_INFO)
		return;
	riser_text_add(out, "%s %llu %llu %llu %u", riser_target_dev_uri(t, f->leg.dev),
		       (unsigned long long)f->leg.start, (unsigned long long)f->up,
		       (unsigned long long)f->down,
		       f->error_reads + f->drop_writes + f->error_writes + (f->byte ? 5 : 0) +
			       (f->random_reads ? 2 : 0) + (f->random_writes ? 2 : 0));
	if (f->error_reads)
		riser_text_add(out, " error_reads");
	if (f->drop_writes)
		riser_text_add(out, " drop_writes");
	if (f->error_writes)
		riser_text_add(out, " error_writes");
	if (f->byte)
		riser_text_add(out, " corrupt_bio_byte %llu %c %llu %llu",
			       (unsigned long long)f->byte, f->byte_of_writes ? 'w' : 'r',
			       (unsigned long long)f->value, (unsigned long long)f->mask);
	if (f->random_reads)
		riser_text_add(out, " random_read_corrupt %llu",
			       (unsigned long long)f->random_reads);
	if (f->random_writes)
		riser_text_add(out, " random_write_corrupt %llu",
			       (unsigned long long)f->random_writes);
}

const struct riser_target_ops target_flakey = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_flakey),
	.name = "flakey",
	.version = { 1, 5, 0 },
	.flags = RISER_TARGET_PARALLEL,
	.syntax = "<dev> <offset> <up s> <down s> [<#words> <feature> ...]",
	.summary = "fails, drops or corrupts I/O for some seconds, again and again",
	.ctr = flakey_ctr,
	.dtr = flakey_dtr,
	.map = flakey_map,
	.end_io = flakey_end_io,
	.status = flakey_status,
	.limits = flakey_limits,
};
