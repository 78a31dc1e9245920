/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * powercut: a volatile write cache over one device, and a switch that cuts the power.
 *
 * The cache is a log of what was written, the oldest first. A write without flags ends when it is
 * in the log. One own I/O at a time takes the oldest entry down to the device ("retires" it): when
 * there is no room, when a flush or FUA has to wait for it, before a suspend. Each entry and each
 * flush has a number; all up to @retired are on the device, all up to @flushed on stable storage
 * there.
 *
 *	write	 ends in the log, where there is room
 *	FLUSH	 waits until what was in the log is flushed; PREFLUSH is that before the write
 *	FUA	 waits until the entries that it overlaps are retired, and goes down itself
 *	read	 goes down; on its way up the entries that it overlaps are laid over its data. If
 *		 one was retired meanwhile, it may be neither here nor in the data: once more
 *
 * What waits is a queue of kept I/O, served in order.
 *
 * "cut" draws lots for the volatile entries: some are lost, some survive whole, some are torn into
 * what is left of them. The survivors are the new log, in random order, and are retired at once:
 * they are what the drive had written in its last moment.
 */
#include "dm/target/powercut_log.h"
#include <errno.h>
#include <riser/target.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_MIN (64 * KiB)
#define CACHE_MAX (4 * GiB)

struct powercut {
	struct riser_target_leg leg;
	struct powercut_log log;
	uint64_t seed;
	bool off;
	bool suspending; /* the log is to be empty */

	uint64_t flushed;                 /* up to which number */
	struct riser_blk_io *head, *tail; /* what waits */

	struct riser_blk_io *own;
	struct powercut_entry *writing; /* @own takes it down; NULL: @own flushes, or is idle */
	uint64_t flushing;              /* up to which entry @own flushes */
	bool busy;                      /* @own is in flight */
	enum riser_blk_status error;    /* of an entry: the next flush has it */

	uint64_t cuts, lost;
};

static void step(struct riser_target *t);

/* I/O. */

/* FUA alone needs no flush of what was written before. */
static bool waits_for_flush(const struct riser_blk_io *io)
{
	return io->op == RISER_BLK_FLUSH || io->flags & RISER_BLK_PREFLUSH;
}

/*
 * A flush has a number too, so that it goes down even where nothing was written since the last one:
 * a table before this, or somebody beside it, may have written to the device.
 */
static uint64_t new_flush(struct powercut *p)
{
	p->log.number++;
	powercut_count_retired(&p->log);
	return p->log.number;
}

static void go_down(struct riser_target *t, struct riser_blk_io *io)
{
	const struct powercut *p = t->priv;

	riser_target_go(t, io, p->leg.dev, p->leg.start + io->sector);
}

/* Into the log. Return: false when it has to wait for room. */
static bool write_to_log(struct powercut *p, struct riser_blk_io *io)
{
	struct powercut_entry *e;

	if (!powercut_has_room(&p->log, io))
		return false;
	e = powercut_entry_new(io->op, io->sector, io->count);
	io->status = e ? RISER_BLK_OK : RISER_BLK_RESOURCE;
	if (!e)
		return true;
	e->flags = io->flags & RISER_BLK_NOUNMAP;
	if (io->op == RISER_BLK_WRITE)
		riser_target_copy_in(io, e->data);
	powercut_add(&p->log, e);
	return true;
}

enum outcome { ENDED, GONE, WAITS };

/* What can be done with an I/O now; the entry that it waits for is its data. */
static enum outcome proceed(struct riser_target *t, struct riser_blk_io *io)
{
	struct powercut *p = t->priv;
	uint64_t goal = *riser_target_data(io);

	if (waits_for_flush(io) && p->flushed < goal)
		return WAITS;
	if (io->op == RISER_BLK_FLUSH) {
		io->status = RISER_BLK_OK;
		return ENDED;
	}
	if (io->flags & RISER_BLK_FUA) {
		if (p->log.retired < goal)
			return WAITS;
		go_down(t, io);
		return GONE;
	}
	return write_to_log(p, io) ? ENDED : WAITS;
}

static enum riser_target_verdict powercut_map(struct riser_target *t, struct riser_blk_io *io)
{
	struct powercut *p = t->priv;
	uint64_t *goal = riser_target_data(io);
	enum outcome outcome;

	if (p->off)
		return riser_target_done(io, RISER_BLK_OFFLINE);
	if (io->op == RISER_BLK_READ) {
		*goal = powercut_newest(&p->log, io) == NOT_IN_LOG ? 0 : p->log.changes + 1;
		return riser_target_remap(t, io, p->leg.dev, p->leg.start + io->sector);
	}
	*goal = waits_for_flush(io) ? new_flush(p) : powercut_newest(&p->log, io);
	outcome = proceed(t, io);
	if (outcome == ENDED && p->suspending)
		step(t);
	if (outcome == ENDED)
		return riser_target_done(io, (enum riser_blk_status)io->status);
	if (outcome == GONE)
		return riser_target_keep(t, io);
	*riser_target_next(io) = NULL;
	if (p->head)
		*riser_target_next(p->tail) = io;
	else
		p->head = io;
	p->tail = io;
	step(t);
	return riser_target_keep(t, io);
}

/* Reads and FUA writes have been below. */
static bool powercut_end_io(struct riser_target *t, struct riser_blk_io *io, uint64_t data)
{
	struct powercut *p = t->priv;

	if (p->off) {
		io->status = RISER_BLK_OFFLINE;
		return false;
	}
	if (io->op != RISER_BLK_READ || io->status || !data)
		return false;
	if (data == p->log.changes + 1) {
		io->status = (uint8_t)powercut_lay_over(&p->log, io);
		return false;
	}
	*riser_target_data(io) = p->log.changes + 1;
	go_down(t, io);
	return true;
}

static struct riser_blk_io *pop(struct powercut *p)
{
	struct riser_blk_io *io = p->head;

	if (io)
		p->head = *riser_target_next(io);
	return io;
}

static void serve(struct riser_target *t)
{
	struct powercut *p = t->priv;
	struct riser_blk_io *io;
	enum outcome outcome;

	while ((io = pop(p))) {
		outcome = proceed(t, io);
		if (outcome == WAITS) {
			p->head = io; /* where it was */
			return;
		}
		/* Whoever gets its place may come here, and finds the queue in order. */
		if (outcome == ENDED)
			riser_target_end(io, (enum riser_blk_status)io->status);
	}
}

/* The way down. */

static void retire(struct riser_target *t, struct powercut_entry *e)
{
	struct powercut *p = t->priv;
	struct riser_blk_io *io = p->own;

	p->writing = e;
	io->op = e->op;
	io->flags = e->flags;
	io->sector = p->leg.start + e->sector;
	io->count = e->count;
	io->one = (struct iovec){ e->data, powercut_len(e->op, e->count) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	p->busy = !riser_target_io_submit(io, p->leg.dev);
	if (!p->busy) /* nobody has the device open: later */
		p->writing = NULL;
}

static void flush(struct riser_target *t)
{
	struct powercut *p = t->priv;
	struct riser_blk_io *io = p->own;

	p->writing = NULL;
	p->flushing = p->log.retired;
	io->op = RISER_BLK_FLUSH;
	io->flags = 0;
	io->sector = io->count = 0;
	p->busy = !riser_target_io_submit(io, p->leg.dev);
}

/* Serve who waits, and begin what he still waits for. */
static void step(struct riser_target *t)
{
	struct powercut *p = t->priv;
	struct powercut_entry *oldest;
	uint64_t goal;
	bool down;

	if (p->busy)
		return;
	serve(t);
	if (p->busy) /* who came in meanwhile saw to it */
		return;
	oldest = list_first(&p->log.entries, struct powercut_entry, link);
	goal = p->head ? *riser_target_data(p->head) : 0;
	down = oldest && (oldest->survived || p->suspending || oldest->number <= goal ||
			  (p->head && !waits_for_flush(p->head)));
	if (down)
		retire(t, oldest);
	else if (p->head && waits_for_flush(p->head))
		flush(t);
}

/* A flush failed, or what it was about had failed before: who waits for it hears of it. */
static void fail_flushes(struct riser_target *t, enum riser_blk_status status)
{
	struct powercut *p = t->priv;

	while (p->head && waits_for_flush(p->head) && *riser_target_data(p->head) <= p->flushing)
		riser_target_end(pop(p), status);
}

static void own_done(struct riser_blk_io *io)
{
	struct riser_target *t = io->user;
	struct powercut *p = t->priv;
	enum riser_blk_status status = (enum riser_blk_status)io->status;

	p->busy = false;
	if (p->writing) {
		powercut_drop(&p->log, p->writing);
		powercut_count_retired(&p->log);
		p->writing = NULL;
		if (status && !p->error)
			p->error = status;
	} else {
		status = p->error ? p->error : status;
		p->error = RISER_BLK_OK;
		if (status)
			fail_flushes(t, status);
		else
			p->flushed = p->flushing;
	}
	step(t);
}

/* The cut. */

static void cut(struct riser_target *t, struct riser_text *out)
{
	struct powercut *p = t->priv;
	uint64_t before, after;
	struct riser_blk_io *io;

	p->off = true;
	p->cuts++;
	after = powercut_log_cut(&p->log, p->writing, p->leg.start, &before);
	p->lost += before - after;
	while ((io = pop(p)))
		riser_target_end(io, RISER_BLK_OFFLINE);
	step(t);
	riser_text_add(out, "%llu of %llu", (unsigned long long)after, (unsigned long long)before);
}

static int powercut_message(struct riser_target *t, unsigned argc, char **argv,
			    struct riser_text *out, struct riser_err *err)
{
	struct riser_args a = { .argc = argc, .argv = argv, .at = 1 };
	struct powercut *p = t->priv;
	bool is_cut = !strcmp(argv[0], "cut");
	int rc = 0;

	if (!is_cut && strcmp(argv[0], "restore"))
		return riser_err_set(err, -EINVAL, "unknown message '%s': there are cut, restore",
				     argv[0]);
	if (is_cut && argc > 1)
		rc = riser_args_u64(&a, "the seed", 0, UINT64_MAX, &p->log.random, err);
	if (!rc)
		rc = riser_args_end(&a, err);
	if (rc)
		return rc;
	if (is_cut == p->off)
		return riser_err_set(err, -EINVAL, "the power is %s already",
				     p->off ? "off" : "on");
	if (is_cut)
		cut(t, out);
	else
		p->off = false;
	return 0;
}

static void powercut_presuspend(struct riser_target *t)
{
	((struct powercut *)t->priv)->suspending = true;
	step(t);
}

static void powercut_resume(struct riser_target *t)
{
	((struct powercut *)t->priv)->suspending = false;
}

static void powercut_status(struct riser_target *t, enum riser_status_type type,
			    struct riser_text *out)
{
	const struct powercut *p = t->priv;
	unsigned n = 0;

	list_for_each (e, &p->log.entries, struct powercut_entry, link)
		n++;
	if (type == RISER_STATUS_INFO)
		riser_text_add(out, "%s %u %llu/%llu %llu %llu", p->off ? "off" : "on", n,
			       (unsigned long long)p->log.used, (unsigned long long)p->log.size,
			       (unsigned long long)p->cuts, (unsigned long long)p->lost);
	else
		riser_text_add(out, "%s %llu %llu 2 torn=%u seed=%llu",
			       riser_target_dev_uri(t, p->leg.dev),
			       (unsigned long long)p->leg.start, (unsigned long long)p->log.size,
			       p->log.torn << RISER_SECTOR_SHIFT, (unsigned long long)p->seed);
}

static void powercut_shape(const struct riser_target *t, struct riser_target_shape *s)
{
	s->nlegs = 1;
	s->legs = &((const struct powercut *)t->priv)->leg;
}

/* Making one. */

static int option(struct powercut *p, const char *word, struct riser_err *err)
{
	uint64_t n;

	if (!strncmp(word, "seed=", 5)) {
		if (!riser_parse_u64(word + 5, &p->seed))
			return 0;
		return riser_err_set(err, -EINVAL, "'seed' wants a number, not '%s'", word + 5);
	}
	if (strncmp(word, "torn=", 5))
		return riser_err_set(err, -EINVAL,
				     "unknown option '%s': there are seed= and torn=", word);
	if (riser_parse_size(word + 5, &n) || (n && n != 512 && n != 4096))
		return riser_err_set(err, -EINVAL, "'torn' wants 0, 512 or 4096, not '%s'",
				     word + 5);
	p->log.torn = (uint32_t)(n >> RISER_SECTOR_SHIFT);
	return 0;
}

static int powercut_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct powercut *p = calloc(1, sizeof(*p));
	struct riser_blk_info below;
	const char *word;
	uint64_t n = 0;
	int rc;

	if (!p)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = p;
	t->num_flush = t->num_discard = t->num_zeroes = 1;
	list_init(&p->log.entries);
	p->log.torn = 1;
	p->own = riser_target_io_new(t);
	if (!p->own)
		return riser_err_set(err, -ENOMEM, "no memory");
	p->own->user = t;
	p->own->done = own_done;
	rc = riser_args_range(a, t, t->len, &p->leg.dev, &p->leg.start, err);
	if (rc)
		return rc;
	word = riser_args_word(a, "the size of the cache", err);
	if (!word)
		return -EINVAL;
	if (riser_parse_size(word, &p->log.size) || p->log.size < CACHE_MIN ||
	    p->log.size > CACHE_MAX)
		return riser_err_set(err, -EINVAL, "a cache has 64K to 4G bytes, not '%s'", word);
	if (a->at < a->argc)
		rc = riser_args_u64(a, "the number of options", 0, 2, &n, err);
	while (!rc && n--) {
		word = riser_args_word(a, "an option", err);
		rc = word ? option(p, word, err) : -EINVAL;
	}
	p->log.random = p->seed;
	riser_target_dev_info(t, p->leg.dev, &below);
	if (p->log.torn) /* blocks are never torn */
		p->log.torn = max_of(p->log.torn, below.logical_block >> RISER_SECTOR_SHIFT);
	return rc;
}

static void powercut_dtr(struct riser_target *t)
{
	struct powercut *p = t->priv;

	if (!p)
		return;
	list_for_each_safe (e, &p->log.entries, struct powercut_entry, link)
		powercut_drop(&p->log, e);
	riser_target_io_free(p->own);
	free(p);
}

/* A write fits into the cache; comparing is left to who reads. */
static void powercut_limits(struct riser_target *t, struct riser_blk_info *info)
{
	const struct powercut *p = t->priv;

	info->max_sectors =
		min_of(info->max_sectors, (uint32_t)(p->log.size >> RISER_SECTOR_SHIFT));
	info->write_cache = info->fua = true;
	info->compare = false;
}

const struct riser_target_ops target_powercut = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_powercut),
	.name = "powercut",
	.version = { 1, 0, 0 },
	.syntax = "<dev> <offset> <cache size> [<#opts> seed=<n> torn=0|512|4096]",
	.summary = "a volatile write cache that loses its power on demand",
	.ctr = powercut_ctr,
	.dtr = powercut_dtr,
	.map = powercut_map,
	.end_io = powercut_end_io,
	.shape = powercut_shape,
	.status = powercut_status,
	.message = powercut_message,
	.presuspend = powercut_presuspend,
	.resume = powercut_resume,
	.limits = powercut_limits,
};
