/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Mapped devices in a context of their own, on virtual time, driven by one executor. */
#ifndef TESTS_DM_FIXTURE_H
#define TESTS_DM_FIXTURE_H

#include "../tap.h"
#include "base/riser.h"
#include "base/util.h"
#include <errno.h>
#include <riser/dm.h>

#define DM_S 1000000000ull

static struct riser *r;
static struct riser_exec *x;
static struct riser_err err;
static struct riser_dm_where where;

static inline void dm_up(void)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
}

static inline void dm_down(void)
{
	riser_exec_free(x);
	riser_free(r);
}

/* A device with a live table. */
static inline struct riser_dm *dm_make(const char *name, const char *table)
{
	struct riser_dm *d = NULL;

	if (riser_dm_create(r, name, NULL, 0, &d, &err) ||
	    riser_dm_load(d, x, table, &where, &err) || riser_dm_resume(d, x, DM_S, &err)) {
		printf("# %s: %s\n", name, err.text);
		tap_failed = true;
	}
	return d;
}

/* Another table for it. Return: what resume said. */
static inline int dm_retable(struct riser_dm *d, const char *table)
{
	int rc = riser_dm_load(d, x, table, &where, &err);

	return rc ? rc : riser_dm_resume(d, x, DM_S, &err);
}

struct dm_way {
	struct riser_blk *b;
	struct riser_blk_channel *c;
};

static inline void dm_open_way(const char *uri, struct dm_way *w)
{
	CHECK_EQ(riser_blk_open(r, uri, RISER_BLK_RDWR, &w->b, &err), 0);
	CHECK_EQ(riser_blk_channel_open(w->b, x, 0, &w->c, &err), 0);
}

static inline void dm_close_way(struct dm_way *w)
{
	riser_blk_channel_close(w->c);
	riser_blk_close(w->b);
}

static inline int dm_rw(struct dm_way *w, enum riser_blk_op op, uint64_t sector, uint32_t count,
			void *buf)
{
	return riser_blk_rw(w->c, op, sector, count, buf, 0);
}

/* Each sector says where it was written, and by whom. */
static inline void dm_fill(uint64_t *buf, uint64_t sector, unsigned count, uint64_t who)
{
	for (unsigned i = 0; i < count * 64; i++)
		buf[i] = (sector + i / 64) << 32 | who << 8 | i % 64;
}

static inline bool dm_filled(const uint64_t *buf, uint64_t sector, unsigned count, uint64_t who)
{
	for (unsigned i = 0; i < count * 64; i++)
		if (buf[i] != ((sector + i / 64) << 32 | who << 8 | i % 64))
			return false;
	return true;
}

static inline bool dm_zeroes(const uint64_t *buf, unsigned count)
{
	for (unsigned i = 0; i < count * 64; i++)
		if (buf[i])
			return false;
	return true;
}

/* The status, INFO or TABLE, in a static buffer, without the last newline. */
static inline const char *dm_status(struct riser_dm *d, enum riser_status_type type)
{
	static char text[4096];
	char *got;

	if (riser_dm_status(d, x, type, false, &got, &err))
		return err.text;
	snprintf(text, sizeof(text), "%s", got);
	free(got);
	if (*text)
		text[strlen(text) - 1] = 0;
	return text;
}

/* A message; the answer, or the error, in a static buffer. */
static inline const char *dm_say(struct riser_dm *d, const char *message, int *rc)
{
	static char text[4096];
	char *answer;

	*rc = riser_dm_message(d, x, 0, message, &answer, &err);
	snprintf(text, sizeof(text), "%s", *rc ? err.text : answer ? answer : "");
	if (!*rc)
		free(answer);
	return text;
}

/* What loading a table says on a device of its own; where is set. */
static inline int dm_try(const char *table)
{
	struct riser_dm *d;
	int rc;

	if (riser_dm_create(r, "try", NULL, 0, &d, &err))
		return 1;
	rc = riser_dm_load(d, x, table, &where, &err);
	riser_dm_remove(d, x, NULL);
	return rc;
}

/* An I/O that nobody waits for. */
struct dm_op {
	bool done;
	int status;
	uint8_t flags; /* as it came back */
	uint64_t at;   /* when it was done */
};

static void dm_op_done(struct riser_blk_io *io)
{
	struct dm_op *op = io->user;

	op->done = true;
	op->status = io->status;
	op->flags = io->flags;
	op->at = riser_now(r);
	riser_blk_io_put(io);
}

static inline void dm_start(struct dm_op *o, struct dm_way *w, enum riser_blk_op op,
			    uint64_t sector, uint32_t count, void *buf, unsigned flags)
{
	struct riser_blk_io *io = riser_blk_io_get(w->c);

	*o = (struct dm_op){ .status = -1 };
	io->op = (uint8_t)op;
	io->flags = (uint8_t)flags;
	io->sector = sector;
	io->count = count;
	io->one = (struct iovec){ buf, (size_t)count * 512 };
	io->iov = &io->one;
	io->iovcnt = buf ? 1 : 0;
	io->iov_off = 0;
	io->done = dm_op_done;
	io->user = o;
	riser_blk_submit(io);
}

static inline void dm_finish(struct dm_op *o)
{
	while (!o->done && riser_exec_wait(x, 100 * DM_S))
		;
}

/* Everything that is ready, and no time passes. */
static inline void dm_settle(void)
{
	while (riser_exec_poll(x) > 0)
		;
}

/* All that happens until then. */
static inline void dm_until(uint64_t t)
{
	while (riser_now(r) < t)
		riser_exec_wait(x, t - riser_now(r));
	dm_settle();
}

/* What a table says that is wrong: the line is the first. */
#define DM_WRONG(table, errno_, column_, says)                                                     \
	do {                                                                                       \
		CHECK_EQ(dm_try(table), errno_);                                                   \
		CHECK_HAS(err.text, says);                                                         \
		CHECK_EQ(where.line, 1);                                                           \
		CHECK_EQ(where.column, column_);                                                   \
	} while (0)

#endif
