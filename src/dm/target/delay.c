/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * delay: reads, writes and flushes go on a while later, each class to a device of its own.
 *
 * Each class has a lane. All I/O in a lane is delayed alike, so that what came first is due first.
 */
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>

enum { READS, WRITES, FLUSHES, CLASSES };

struct lane {
	struct riser_target_leg leg;
	uint64_t ms;
	uint64_t held; /* I/Os in the list */
	struct riser_blk_io *head, *tail;
};

struct delay {
	struct lane lanes[CLASSES];
	unsigned given; /* lanes that the table names */
	bool pass;      /* about to be suspended: hold nothing back */
};

static int delay_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct delay *d = calloc(1, sizeof(*d));
	int rc = 0;

	if (!d)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = d;
	do {
		struct lane *c = &d->lanes[d->given++];

		rc = riser_args_range(a, t, t->len, &c->leg.dev, &c->leg.start, err);
		if (!rc)
			rc = riser_args_u64(a, "a delay in milliseconds", 0, UINT32_MAX, &c->ms,
					    err);
	} while (!rc && a->at < a->argc && d->given < CLASSES);
	/* Who is not named is as the one before. */
	for (unsigned i = d->given; i < CLASSES; i++)
		d->lanes[i] = d->lanes[i - 1];
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	return rc;
}

static struct lane *lane_of(struct delay *d, const struct riser_blk_io *io)
{
	if (io->op == RISER_BLK_FLUSH || io->flags & RISER_BLK_PREFLUSH)
		return &d->lanes[FLUSHES];
	if (io->op == RISER_BLK_WRITE || io->op == RISER_BLK_DISCARD ||
	    io->op == RISER_BLK_WRITE_ZEROES)
		return &d->lanes[WRITES];
	return &d->lanes[READS];
}

static uint64_t sector_of(const struct lane *c, const struct riser_blk_io *io)
{
	return c->leg.start + io->sector;
}

static enum riser_target_verdict delay_map(struct riser_target *t, struct riser_blk_io *io)
{
	struct delay *d = t->priv;
	struct lane *c = lane_of(d, io);

	if (!c->ms || d->pass)
		return riser_target_remap(t, io, c->leg.dev, sector_of(c, io));
	*riser_target_data(io) = riser_now(t->r) + c->ms * NS_PER_MS;
	*riser_target_next(io) = NULL;
	if (c->head)
		*riser_target_next(c->tail) = io;
	else
		c->head = io;
	c->tail = io;
	c->held++;
	return riser_target_keep(t, io);
}

/* Return: how many were due at @now. */
static int release(struct riser_target *t, struct lane *c, uint64_t now)
{
	struct riser_blk_io *io;
	int n = 0;

	while ((io = c->head) && *riser_target_data(io) <= now) {
		c->head = *riser_target_next(io);
		c->held--;
		n++;
		riser_target_go(t, io, c->leg.dev, sector_of(c, io));
	}
	return n;
}

static int release_all(struct riser_target *t, uint64_t now)
{
	struct delay *d = t->priv;
	int n = 0;

	for (unsigned i = 0; i < CLASSES; i++)
		n += release(t, &d->lanes[i], now);
	return n;
}

static uint64_t delay_next_deadline(struct riser_target *t)
{
	const struct delay *d = t->priv;
	uint64_t next = TIME_NEVER;

	for (unsigned i = 0; i < CLASSES; i++)
		if (d->lanes[i].head)
			next = min_of(next, *riser_target_data(d->lanes[i].head));
	return next;
}

static int delay_poll(struct riser_target *t)
{
	const struct delay *d = t->priv;

	for (unsigned i = 0; i < CLASSES; i++)
		if (d->lanes[i].head)
			return release_all(t, riser_now(t->r));
	return 0; /* and nobody reads the clock */
}

static void delay_presuspend(struct riser_target *t)
{
	struct delay *d = t->priv;

	d->pass = true;
	release_all(t, TIME_NEVER);
}

static void delay_resume(struct riser_target *t)
{
	struct delay *d = t->priv;

	d->pass = false;
}

static void delay_status(struct riser_target *t, enum riser_status_type type,
			 struct riser_text *out)
{
	const struct delay *d = t->priv;
	unsigned n = type == RISER_STATUS_INFO ? CLASSES : d->given;

	for (unsigned i = 0; i < n; i++) {
		const struct lane *c = &d->lanes[i];

		if (i)
			riser_text_add(out, " ");
		if (type == RISER_STATUS_INFO)
			riser_text_add(out, "%llu", (unsigned long long)c->held);
		else
			riser_text_add(out, "%s %llu %llu", riser_target_dev_uri(t, c->leg.dev),
				       (unsigned long long)c->leg.start, (unsigned long long)c->ms);
	}
}

const struct riser_target_ops target_delay = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_delay),
	.name = "delay",
	.version = { 1, 3, 0 },
	.syntax = "<dev> <offset> <ms> [<dev> <offset> <ms> [<dev> <offset> <ms>]]",
	.summary = "delays reads, writes and flushes",
	.ctr = delay_ctr,
	.map = delay_map,
	.status = delay_status,
	.presuspend = delay_presuspend,
	.resume = delay_resume,
	.poll = delay_poll,
	.next_deadline = delay_next_deadline,
};
