/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What happens to a device: who hears of it, and looking whether something did. */
#include "base/riser.h"
#include "blk/source.h"

#define REFRESH_TIMEOUT (10 * NS_PER_S)

/* The caller holds the device's lock. */
static void say_whether_heard(struct riser_blk *b, bool on)
{
	if (b->ops->listen)
		b->ops->listen(b, on);
}

void blk_listen(struct riser_blk *b, struct listener *l)
{
	pthread_mutex_lock(&b->lock);
	if (list_empty(&b->listeners))
		say_whether_heard(b, true);
	listener_add(&b->listeners, l);
	pthread_mutex_unlock(&b->lock);
}

void blk_unlisten(struct riser_blk *b, struct listener *l)
{
	listener_remove(l, b->r, &b->lock);
	pthread_mutex_lock(&b->lock);
	if (list_empty(&b->listeners))
		say_whether_heard(b, false);
	pthread_mutex_unlock(&b->lock);
}

void blk_notify(struct riser_blk *b, enum riser_blk_event event)
{
	listeners_tell(&b->listeners, &b->lock, event);
}

static void tell_opener(struct listener *l, unsigned event)
{
	struct riser_blk *b = container_of(l, struct riser_blk, handler);

	b->on_event(b, (enum riser_blk_event)event, b->on_event_user);
}

void riser_blk_on_event(struct riser_blk *b,
			void (*fn)(struct riser_blk *b, enum riser_blk_event event, void *user),
			void *user)
{
	if (b->on_event)
		blk_unlisten(b, &b->handler);
	b->on_event = fn;
	b->on_event_user = user;
	b->handler.fn = tell_opener;
	if (fn)
		blk_listen(b, &b->handler);
}

int riser_blk_refresh(struct riser_blk *b, struct riser_exec *x, struct riser_err *err)
{
	struct blk_change ch = { .b = b, .kind = CHANGE_REFRESH, .x = x, .err = err };
	int rc = blk_change(&ch, REFRESH_TIMEOUT);

	for (unsigned i = 0; ch.events >> i; i++)
		if (ch.events >> i & 1)
			blk_notify(b, (enum riser_blk_event)i);
	return rc;
}
