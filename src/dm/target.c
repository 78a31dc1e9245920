/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What targets call: riser/target.h. Their devices are in table.c. */
#include "base/err.h"
#include "base/parse.h"
#include "dm/dm.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *riser_args_word(struct riser_args *a, const char *what, struct riser_err *err)
{
	if (a->at < a->argc)
		return a->argv[a->at++];
	a->at = a->argc + 1; /* what is behind the last word is to blame */
	err_set(err, -EINVAL, "%s is missing", what);
	return NULL;
}

int riser_args_u64(struct riser_args *a, const char *what, uint64_t min, uint64_t max,
		   uint64_t *out, struct riser_err *err)
{
	const char *word = riser_args_word(a, what, err);

	if (!word)
		return -EINVAL;
	if (parse_u64(word, out))
		return err_set(err, -EINVAL, "%s has to be a number, not '%s'", what, word);
	if (*out >= min && *out <= max)
		return 0;
	if (min == max)
		return err_set(err, -EINVAL, "%s has to be %llu, not %s", what,
			       (unsigned long long)min, word);
	return err_set(err, -EINVAL, "%s has to be from %llu to %llu, not %s", what,
		       (unsigned long long)min, (unsigned long long)max, word);
}

int riser_args_end(struct riser_args *a, struct riser_err *err)
{
	if (a->at >= a->argc)
		return 0;
	a->at++;
	return err_set(err, -EINVAL, "'%s' is one argument too many", a->argv[a->at - 1]);
}

void riser_text_add(struct riser_text *t, const char *fmt, ...)
{
	va_list ap;
	char *more;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || t->failed)
		return;
	if (t->len + (size_t)n + 1 > t->size) {
		size_t size = max_of(t->size * 2, t->len + (size_t)n + 1);

		more = realloc(t->text, size);
		t->failed = !more;
		if (!more)
			return;
		t->text = more;
		t->size = size;
	}
	va_start(ap, fmt);
	vsnprintf(t->text + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

/* The level of the table that an I/O is at: the frame on top was pushed there. */
static struct riser_blk_channel *lower_of(struct riser_blk_io *io, unsigned dev)
{
	return io_priv(io)->frame->channel->map->lowers[dev];
}

enum riser_target_verdict riser_target_remap(struct riser_target *t, struct riser_blk_io *io,
					     unsigned dev, uint64_t sector)
{
	(void)t;
	blk_remap(io, lower_of(io, dev), sector);
	return RISER_TARGET_REMAPPED;
}

enum riser_target_verdict riser_target_done(struct riser_blk_io *io, enum riser_blk_status status)
{
	io->status = (uint8_t)status;
	return RISER_TARGET_DONE;
}

enum riser_target_verdict riser_target_keep(struct riser_target *t, struct riser_blk_io *io)
{
	if (t->ops->poll)
		blk_map_activate(io_priv(io)->frame->channel->map);
	return RISER_TARGET_SUBMITTED;
}

struct riser_blk_io **riser_target_next(struct riser_blk_io *io)
{
	return &io_priv(io)->next;
}

uint64_t *riser_target_data(struct riser_blk_io *io)
{
	return &io_priv(io)->frame->data;
}

unsigned riser_target_copy(struct riser_blk_io *io)
{
	return blk_copy(io);
}

void riser_target_go(struct riser_target *t, struct riser_blk_io *io, unsigned dev, uint64_t sector)
{
	(void)t;
	blk_layer_go(io, lower_of(io, dev), sector);
}

void riser_target_end(struct riser_blk_io *io, enum riser_blk_status status)
{
	dm_kept_end(io);
	blk_layer_end(io, status);
}

static const struct dm_table *table_of(const struct riser_target *t)
{
	return t->core;
}

/* A target's own I/O: a frame of its own, below which it is like any other. */
struct own_io {
	struct riser_blk_io io;
	struct blk_frame frame;
	struct riser_target *t;
};

struct riser_blk_io *riser_target_io_new(struct riser_target *t)
{
	struct own_io *own = calloc(1, sizeof(*own));

	if (!own)
		return NULL;
	own->t = t;
	return &own->io;
}

void riser_target_io_free(struct riser_blk_io *io)
{
	free(io ? container_of(io, struct own_io, io) : NULL);
}

/* Counting out comes last: nobody changes the table while the target goes on from here. */
static bool own_end(struct blk_frame *f, struct riser_blk_io *io)
{
	struct riser_blk_channel *c = f->channel;

	io->done(io);
	owner_dec_release(&c->inflight);
	return true;
}

int riser_target_io_submit(struct riser_blk_io *io, unsigned dev)
{
	struct own_io *own = container_of(io, struct own_io, io);
	struct blk_home *home = table_of(own->t)->d->b->home;
	struct riser_blk_channel *c, *lower;

	if (!home)
		return -ENODEV;
	c = &home->c;
	lower = c->map->lowers[dev];
	if (!c->started)
		owner_start(c);
	memset(io->priv, 0, sizeof(io->priv));
	own->frame = (struct blk_frame){ .channel = c, .end_io = own_end };
	io_priv(io)->frame = &own->frame;
	io_priv(io)->cur = io_priv(io)->channel = lower;
	io->raw_status = 0;
	io->priv_state = 0;
	io->meta = NULL;
	owner_inc(&c->inflight);
	lower->submit(lower, io);
	return 0;
}

void riser_target_event(struct riser_target *t)
{
	dm_event(table_of(t)->d);
}

const char *riser_target_dev_uri(const struct riser_target *t, unsigned dev)
{
	return dm_dev_uri(table_of(t)->devs[dev]);
}

void riser_target_dev_info(const struct riser_target *t, unsigned dev, struct riser_blk_info *info)
{
	riser_blk_get_info(table_of(t)->devs[dev]->b, info);
}

void riser_target_copy_out(const struct riser_blk_io *io, const void *from)
{
	if (from)
		blk_copy_out(io, from);
	else
		blk_copy_zero(io);
}

void riser_target_copy_in(const struct riser_blk_io *io, void *to)
{
	blk_copy_in(to, io);
}
