/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The pass is a ring of slots, each a chunk with a buffer that both devices reach. Slots are
 * started in order, filled and drained at once by the devices, and retired in order, so that
 * output, comparison and the first failure don't depend on which I/O was quickest:
 *
 *	FREE -> FILLING -> (device) BUSY -> READY -> FREE
 *
 * FILLING is the one slot that reads from a descriptor; while I/O is in flight that descriptor is
 * read only when it has data, because whoever has I/O in flight must keep polling.
 */
#include "cli/flow.h"
#include "cli/progress.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS       16
#define CHUNK_BYTES (256 * KiB)

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_BUSY, SLOT_READY };

struct run;

struct slot {
	struct run *run;
	enum slot_state state;
	unsigned pending; /* I/Os in flight */
	uint64_t pos;     /* bytes from the start of the pass */
	size_t len;
	char *buf, *other; /* @other: of the device to compare with */

	/* The first I/O that failed. */
	struct dev *failed;
	enum riser_blk_op op;
	int status;
	uint32_t raw;
};

struct run {
	struct cli *c;
	struct flow *f;
	struct slot slots[SLOTS];
	uint64_t head, tail; /* slots retired and started, ever */
	uint64_t next;       /* bytes started */
	unsigned inflight;
	size_t chunk;
	bool eof;
	int rc; /* exit code; no slot is started any more once it is set */
};

static struct slot *slot_of(struct run *r, uint64_t index)
{
	return &r->slots[index % SLOTS];
}

/* ---- device I/O ---- */

static void io_done(struct riser_blk_io *io);

static void submit(struct slot *s, struct dev *d, enum riser_blk_op op, char *buf, uint64_t at)
{
	/* A channel's pool is larger than the ring: there is always one. */
	struct riser_blk_io *io = riser_blk_io_get(d->ch);

	io->op = (uint8_t)op;
	io->flags = 0;
	io->sector = at >> RISER_SECTOR_SHIFT;
	io->count = (uint32_t)(s->len >> RISER_SECTOR_SHIFT);
	io->one = (struct iovec){ .iov_base = buf, .iov_len = s->len };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->meta = NULL;
	io->done = io_done;
	io->user = s;
	s->state = SLOT_BUSY;
	s->pending++;
	s->run->inflight++;
	riser_blk_submit(io);
}

static bool is_zero(const char *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

static void drain(struct slot *s)
{
	struct flow *f = s->run->f;
	bool zero = f->sparse && is_zero(s->buf, s->len);

	submit(s, f->to, zero ? RISER_BLK_WRITE_ZEROES : RISER_BLK_WRITE, s->buf,
	       f->to_at + s->pos);
}

static void io_done(struct riser_blk_io *io)
{
	struct slot *s = io->user;
	struct run *r = s->run;
	bool was_read = io->op == RISER_BLK_READ;

	if (io->status != RISER_BLK_OK && !s->failed) {
		struct flow *f = r->f;

		s->failed = !was_read ? f->to : io->one.iov_base == s->buf ? f->from : f->with;
		s->op = (enum riser_blk_op)io->op;
		s->status = io->status;
		s->raw = io->raw_status;
	}
	riser_blk_io_put(io);
	r->inflight--;
	if (--s->pending)
		return;
	if (was_read && r->f->to && !s->failed)
		drain(s);
	else
		s->state = SLOT_READY;
}

/* ---- starting ---- */

static bool has_input(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* What came in so far ends the pass in the middle of a block: that is no write. */
static void check_tail(struct run *r, struct slot *s)
{
	struct dev *to = r->f->to;
	uint64_t total = s->pos + s->len;

	if (s->len % to->info.logical_block && !r->rc)
		r->rc = cli_fail(r->c, CLI_FAILED,
				 "the input is %" PRIu64
				 " bytes long, not a multiple of the %u-byte blocks of %s",
				 total, to->info.logical_block, to->uri);
	else if (r->f->to_at + total > to->bytes && !r->rc)
		r->rc = cli_fail(r->c, CLI_FAILED,
				 "the input reaches beyond the end of %s (%" PRIu64 " bytes)",
				 to->uri, to->bytes);
}

static void filled(struct run *r, struct slot *s)
{
	check_tail(r, s);
	if (!s->len || r->rc) {
		s->state = SLOT_READY;
		s->len = 0;
		return;
	}
	r->next += s->len;
	drain(s);
}

/* Read more for the slot that fills. Return: whether anything moved. */
static bool fill(struct run *r, struct slot *s)
{
	uint64_t left = r->f->length - s->pos;
	size_t want = left < r->chunk ? (size_t)left : r->chunk;
	bool moved = false;

	while (s->len < want && !r->rc) {
		ssize_t n;

		if (r->inflight && !has_input(r->f->in))
			return moved;
		n = read(r->f->in, s->buf + s->len, want - s->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r->rc = cli_fail(r->c, CLI_FAILED, "standard input cannot be read: %s",
					 strerror(errno));
		if (n <= 0) {
			r->eof = true;
			break;
		}
		s->len += (size_t)n;
		moved = true;
	}
	filled(r, s);
	return true;
}

static bool may_start(const struct run *r)
{
	return !r->rc && !r->eof && r->next < r->f->length && r->tail - r->head < SLOTS &&
	       r->f->differs == UINT64_MAX;
}

static void start(struct run *r)
{
	struct slot *s = slot_of(r, r->tail++);
	struct flow *f = r->f;

	s->pos = r->next;
	s->len = 0;
	s->failed = NULL;
	if (!f->from) {
		s->state = SLOT_FILLING;
		return;
	}
	s->len = f->length - s->pos < r->chunk ? (size_t)(f->length - s->pos) : r->chunk;
	r->next += s->len;
	submit(s, f->from, RISER_BLK_READ, s->buf, f->from_at + s->pos);
	if (f->with)
		submit(s, f->with, RISER_BLK_READ, s->other, f->from_at + s->pos);
}

static bool step_input(struct run *r)
{
	bool moved = false;

	for (;;) {
		struct slot *last = r->tail > r->head ? slot_of(r, r->tail - 1) : NULL;

		if (last && last->state == SLOT_FILLING) {
			if (!fill(r, last))
				return moved;
			moved = true;
			if (last->state == SLOT_FILLING)
				return moved;
		}
		if (!may_start(r))
			return moved;
		start(r);
		moved = true;
	}
}

/* ---- retiring ---- */

static int write_all(struct run *r, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(r->f->out, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			return CLI_FAILED;
		if (n < 0)
			return cli_fail(r->c, CLI_FAILED, "standard output cannot be written: %s",
					strerror(errno));
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static uint64_t first_difference(const char *a, const char *b, size_t len)
{
	size_t i = 0;

	if (!memcmp(a, b, len))
		return UINT64_MAX;
	while (a[i] == b[i])
		i++;
	return i;
}

static void retire(struct run *r, struct slot *s)
{
	struct flow *f = r->f;

	s->state = SLOT_FREE;
	if (r->rc || f->differs != UINT64_MAX)
		return;
	if (s->failed) {
		uint64_t base = s->failed == f->to ? f->to_at : f->from_at;

		r->rc = dev_fail_io(r->c, s->failed, s->op, base + s->pos, s->status, s->raw);
		return;
	}
	if (f->with) {
		uint64_t at = first_difference(s->buf, s->other, s->len);

		if (at != UINT64_MAX) {
			f->differs = f->from_at + s->pos + at;
			return;
		}
	}
	if (f->out >= 0)
		r->rc = write_all(r, s->buf, s->len);
	f->done = s->pos + s->len;
}

static bool step_output(struct run *r)
{
	bool moved = false;

	for (; r->head < r->tail && slot_of(r, r->head)->state == SLOT_READY; r->head++) {
		retire(r, slot_of(r, r->head));
		moved = true;
	}
	return moved;
}

/* ---- the pass ---- */

/* The device whose memory the buffers are; the other end copies where it can't reach them. */
static struct dev *buffer_dev(const struct flow *f)
{
	return f->from ? f->from : f->to;
}

static size_t chunk_for(const struct flow *f)
{
	const struct dev *all[] = { f->from, f->to, f->with };
	uint64_t chunk = CHUNK_BYTES;

	for (size_t i = 0; i < array_len(all); i++) {
		uint64_t max, block;

		if (!all[i])
			continue;
		block = all[i]->info.logical_block;
		max = (uint64_t)all[i]->info.max_sectors << RISER_SECTOR_SHIFT;
		if (max && max < chunk)
			chunk = max;
		chunk -= chunk % block;
		if (chunk < block)
			chunk = block;
	}
	return (size_t)chunk;
}

static int alloc_buffers(struct run *r)
{
	struct flow *f = r->f;
	int rc = 0;

	for (unsigned i = 0; i < SLOTS && !rc; i++) {
		struct slot *s = &r->slots[i];
		void *buf = NULL, *other = NULL;

		s->run = r;
		rc = riser_blk_buf_alloc(buffer_dev(f)->ch, r->chunk, &buf, &r->c->err);
		if (!rc && f->with)
			rc = riser_blk_buf_alloc(f->with->ch, r->chunk, &other, &r->c->err);
		s->buf = buf;
		s->other = other;
	}
	return rc ? cli_fail_err(r->c, rc) : 0;
}

static void free_buffers(struct run *r)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		riser_blk_buf_free(buffer_dev(r->f)->ch, r->slots[i].buf, r->chunk);
		if (r->f->with)
			riser_blk_buf_free(r->f->with->ch, r->slots[i].other, r->chunk);
	}
}

static bool unfinished(const struct run *r)
{
	return r->inflight || r->head < r->tail || may_start(r);
}

int flow_run(struct cli *c, struct flow *f)
{
	struct run *r = calloc(1, sizeof(*r));
	struct progress p;
	int rc;

	if (!r)
		return cli_fail(c, CLI_FAILED, "no memory");
	r->c = c;
	r->f = f;
	r->chunk = chunk_for(f);
	f->done = 0;
	f->differs = UINT64_MAX;
	rc = alloc_buffers(r);
	if (rc)
		goto out;
	progress_begin(c, &p, f->length == UINT64_MAX ? 0 : f->length);
	while (unfinished(r)) {
		bool moved = step_input(r);

		moved |= step_output(r);
		moved |= riser_exec_poll(c->x) > 0;
		progress_show(c, &p, f->done);
		if (!moved && unfinished(r))
			riser_exec_wait(c->x, UINT64_MAX);
	}
	progress_end(&p);
	rc = r->rc;
out:
	free_buffers(r);
	free(r);
	return rc;
}
