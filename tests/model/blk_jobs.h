/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the tests of namespaces among threads share: owners, each on a thread of its own, and jobs
 * that a control thread gives them, each on a channel that the control thread opened.
 */
#ifndef TESTS_MODEL_BLK_JOBS_H
#define TESTS_MODEL_BLK_JOBS_H

#include "../unit/blk_fixture.h"
#include "nvme/ctrl.h"

#define OWNERS  4
#define PIECE   8u  /* sectors of an I/O */
#define AREA    64u /* pieces that a job goes over */
#define SECONDS NS_PER_S

static struct riser *r;
static struct riser_err err;
static struct riser_blk *dev;
static struct riser_nvme *ctrl; /* of @dev, to look at */

static void up(const char *uri, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	if (riser_blk_open(r, uri, RISER_BLK_RDWR, &dev, &err))
		FAIL("%s", err.text);
	CHECK_EQ(riser_nvme_open(r, uri, NULL, &ctrl, &err), 0);
}

static void down(void)
{
	riser_blk_close(dev);
	riser_nvme_close(ctrl);
	riser_free(r);
}

/* I/O queue pairs that the controller has. */
static unsigned queues(void)
{
	struct riser_nvme_info info;

	riser_nvme_get_info(ctrl, &info);
	return info.qpairs;
}

struct owner {
	struct riser_exec *x;
	pthread_t thread;
	uint32_t stop; /* atomic */
};

/* A round of writes, read back and compared, on a channel that another thread opened. */
struct job {
	struct riser_work work;
	struct owner *o;
	struct riser_blk_channel *c;
	uint8_t *buf;
	uint64_t first;       /* piece */
	unsigned step, steps; /* atomic */
	bool reads_only;      /* what prefill() wrote */
	uint32_t bad, done;   /* atomic */
};

static uint8_t byte_of(uint64_t piece, unsigned i)
{
	return (uint8_t)(piece * 31 + i * 7 + (i >> 8));
}

static void fill_piece(uint8_t *buf, uint64_t piece)
{
	for (unsigned i = 0; i < PIECE * 512; i++)
		buf[i] = byte_of(piece, i);
}

static bool is_piece(const uint8_t *buf, uint64_t piece)
{
	for (unsigned i = 0; i < PIECE * 512; i++)
		if (buf[i] != byte_of(piece, i))
			return false;
	return true;
}

static void job_done(struct riser_blk_io *io);

/* Even steps write, odd ones read the same piece back. */
static void job_submit(struct job *j)
{
	struct riser_blk_io *io = riser_blk_io_get(j->c);
	uint64_t piece = j->first + j->step / 2 % AREA;
	bool write = j->step % 2 == 0 && !j->reads_only;

	if (write)
		fill_piece(j->buf, piece);
	else
		memset(j->buf, 0xee, PIECE * 512);
	io->op = write ? RISER_BLK_WRITE : RISER_BLK_READ;
	io->flags = 0;
	io->sector = piece * PIECE;
	io->count = PIECE;
	io->one = (struct iovec){ j->buf, PIECE * 512 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->user = j;
	io->done = job_done;
	riser_blk_submit(io);
}

static void job_done(struct riser_blk_io *io)
{
	struct job *j = io->user;
	uint64_t piece = j->first + j->step / 2 % AREA;

	if (io->status != RISER_BLK_OK || (io->op == RISER_BLK_READ && !is_piece(j->buf, piece)))
		store_relaxed(&j->bad, j->bad + 1);
	riser_blk_io_put(io);
	store_relaxed(&j->step, j->step + 1);
	if (j->step < load_relaxed(&j->steps)) {
		job_submit(j);
		return;
	}
	riser_blk_channel_close(j->c); /* and its buffer with it */
	store_release(&j->done, 1);
}

static void job_begin(struct riser_work *w)
{
	job_submit(container_of(w, struct job, work));
}

/* In the control thread: open a channel of @b, for @o to use and close. */
static void job_open(struct job *j, struct owner *o, struct riser_blk *b, uint64_t first,
		     unsigned steps, bool reads_only)
{
	void *p;

	*j = (struct job){ .o = o, .first = first, .steps = steps, .reads_only = reads_only };
	if (riser_blk_channel_open(b, o->x, 4, &j->c, &err))
		FAIL("%s", err.text);
	CHECK_EQ(riser_blk_buf_alloc(j->c, PIECE * 512, &p, &err), 0);
	j->buf = p;
}

static void job_start(struct job *j)
{
	j->work.fn = job_begin;
	riser_exec_post(j->o->x, &j->work);
}

static void job_give(struct job *j, struct owner *o, struct riser_blk *b, uint64_t first,
		     unsigned steps, bool reads_only)
{
	SUB(job_open(j, o, b, first, steps, reads_only));
	job_start(j);
}

/* Virtual time goes on while this thread waits. */
static void job_wait(struct job *j)
{
	struct sync_wait w;

	sync_wait_begin_here(&w, r);
	for (;;) {
		sync_wait_look(&w);
		if (load_acquire(&j->done))
			break;
		sync_wait_idle(&w, TIME_NEVER);
	}
	sync_wait_end(&w);
	CHECK_EQ(j->bad, 0);
	CHECK_EQ(j->step, j->steps);
}

static void *own(void *arg)
{
	struct owner *o = arg;

	while (!load_acquire(&o->stop))
		riser_exec_wait(o->x, TIME_NEVER);
	riser_exec_leave(o->x);
	return NULL;
}

static void owners_up(struct owner *o, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		o[i] = (struct owner){ 0 };
		CHECK_EQ(riser_exec_new(r, &o[i].x, &err), 0);
		CHECK_EQ(pthread_create(&o[i].thread, NULL, own, &o[i]), 0);
	}
}

static void nothing(struct riser_work *w)
{
}

static void owners_down(struct owner *o, unsigned n)
{
	struct riser_work wake = { .fn = nothing };

	for (unsigned i = 0; i < n; i++) {
		store_release(&o[i].stop, 1);
		riser_exec_post(o[i].x, &wake);
		pthread_join(o[i].thread, NULL);
		riser_exec_free(o[i].x);
	}
}

static void prefill(struct riser_blk *b)
{
	struct riser_blk_channel *c;
	struct riser_exec *x;
	void *p;

	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	CHECK_EQ(riser_blk_channel_open(b, x, 1, &c, &err), 0);
	CHECK_EQ(riser_blk_buf_alloc(c, PIECE * 512, &p, &err), 0);
	for (unsigned i = 0; i < AREA; i++) {
		fill_piece(p, i);
		CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, i * PIECE, PIECE, p, 0), RISER_BLK_OK);
	}
	riser_blk_channel_close(c);
	riser_exec_free(x);
}

/*
 * A linear layer goes to and fro between two controllers with the same data. Each swap makes a
 * queue pair for every owner, while they read, and drops the one on the other controller.
 */
static void swap_for_others(const char *uri, const char *other_uri, uint32_t flags, unsigned swaps)
{
	struct riser_blk *other, *top;
	struct owner o[OWNERS];
	struct job j[OWNERS];

	SUB(up(uri, flags));
	CHECK_EQ(riser_blk_open(r, other_uri, RISER_BLK_RDWR, &other, &err), 0);
	SUB(prefill(dev));
	SUB(prefill(other));
	top = fix_linear_new(r, "the top", dev, 0, AREA * PIECE, true);
	SUB(owners_up(o, OWNERS));
	for (unsigned i = 0; i < OWNERS; i++)
		SUB(job_give(&j[i], &o[i], top, 0, UINT32_MAX, true));
	for (unsigned i = 0; i < swaps; i++) {
		struct riser_blk *to = i % 2 ? dev : other;

		if (fix_linear_swap(top, NULL, to, 0, AREA * PIECE, 60 * SECONDS, &err))
			FAIL("%s", err.text);
		/* A channel that comes in between gets its way through the live table. */
		if (i % 4 == 0) {
			struct job more;

			SUB(job_give(&more, &o[i % OWNERS], top, 0, 2, true));
			SUB(job_wait(&more));
		}
	}
	for (unsigned i = 0; i < OWNERS; i++) {
		CHECK(load_relaxed(&j[i].step) > 0);
		store_relaxed(&j[i].steps, 0);
		while (!load_acquire(&j[i].done))
			cpu_relax();
		CHECK_EQ(j[i].bad, 0);
	}
	owners_down(o, OWNERS);
	CHECK_EQ(queues(), 0);
	riser_blk_close(top);
	riser_blk_close(other);
	CHECK_EQ(fix_bad, 0);
	CHECK_EQ(fix_live_maps, 0);
	down();
}

#endif
