/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/listen.h"
#include "base/exec.h"

void listener_add(struct list *listeners, struct listener *l)
{
	l->calls = 0;
	l->leaves = false;
	list_add_tail(listeners, &l->link);
}

struct removal {
	struct listener *l;
	pthread_mutex_t *lock;
};

static bool try_remove(void *arg)
{
	struct removal *m = arg;
	bool idle;

	pthread_mutex_lock(m->lock);
	m->l->leaves = true;
	idle = !m->l->calls;
	if (idle)
		list_del(&m->l->link);
	pthread_mutex_unlock(m->lock);
	return idle;
}

void listener_remove(struct listener *l, struct riser *r, pthread_mutex_t *lock)
{
	struct removal m = { l, lock };
	struct sync_wait w;

	if (try_remove(&m))
		return;
	sync_wait_begin_here(&w, r);
	for (sync_wait_look(&w); !try_remove(&m); sync_wait_look(&w))
		sync_wait_idle(&w, TIME_NEVER);
	sync_wait_end(&w);
}

void listeners_tell(struct list *listeners, pthread_mutex_t *lock, unsigned event)
{
	pthread_mutex_lock(lock);
	/* The one that is called stays, and so does the way on from it. */
	list_for_each (l, listeners, struct listener, link) {
		if (l->leaves)
			continue;
		l->calls++;
		pthread_mutex_unlock(lock);
		l->fn(l, event);
		pthread_mutex_lock(lock);
		l->calls--;
	}
	pthread_mutex_unlock(lock);
}
