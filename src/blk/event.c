/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What happens to a device: who hears of it, and looking whether something did. Looking waits, so
 * where a device tells by itself, from inside whatever poll, an owner does it from his inbox.
 */
#include "base/riser.h"
#include "blk/source.h"

#define REFRESH_TIMEOUT (10 * NS_PER_S)

void blk_listen(struct riser_blk *b, struct listener *l)
{
	pthread_mutex_lock(&b->lock);
	listener_add(&b->listeners, l);
	if (b->ops->listen)
		b->ops->listen(b);
	pthread_mutex_unlock(&b->lock);
	if (b->ops->listen)
		blk_look(b); /* what it told before, nobody heard */
}

void blk_unlisten(struct riser_blk *b, struct listener *l)
{
	listener_remove(l, b->r, &b->lock);
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

/* Return: whether to look again, for what happened meanwhile. */
static bool asked_again(struct riser_blk *b, unsigned seen)
{
	bool again;

	pthread_mutex_lock(&b->lock);
	b->looked = seen;
	b->looking = b->asked != seen;
	again = b->looking;
	pthread_mutex_unlock(&b->lock);
	return again;
}

static void look(struct riser_work *w)
{
	struct riser_blk *b = container_of(w, struct riser_blk, look);
	struct riser_err err;
	unsigned seen;

	do {
		seen = load_acquire(&b->asked);
		if (riser_blk_refresh(b, b->looker, &err))
			base_log(b->r, RISER_LOG_WARN, "%s", err.text);
	} while (asked_again(b, seen));
	blk_put(b);
}

void event_look(struct riser_blk *b)
{
	struct riser_blk_channel *c = list_first(&b->channels, struct riser_blk_channel, link);

	if (!c || b->looking || b->looked == b->asked)
		return;
	b->looking = true;
	b->looker = c->owner->x;
	b->look.fn = look;
	blk_get(b);
	riser_exec_post(b->looker, &b->look);
}

void blk_look(struct riser_blk *b)
{
	pthread_mutex_lock(&b->lock);
	store_release(&b->asked, b->asked + 1);
	event_look(b);
	pthread_mutex_unlock(&b->lock);
}
