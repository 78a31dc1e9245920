/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Who wants to hear of something: a list of listeners, under a lock of whom they listen to. They
 * are called without it, by whatever thread has something to tell.
 */
#ifndef BASE_LISTEN_H
#define BASE_LISTEN_H

#include "base/list.h"
#include <pthread.h>
#include <stdbool.h>

struct riser;

/**
 * struct listener - one of them
 * @fn: called without locks held; may not wait, nor end the listening
 */
struct listener {
	struct list link;
	void (*fn)(struct listener *l, unsigned event);
	unsigned calls; /* under way: it stays in the list meanwhile */
	bool leaves;
};

/* Under the lock. */
void listener_add(struct list *listeners, struct listener *l);

/*
 * Without the lock: @l hears no more. Waits for calls that are under way in other threads, which
 * may not wait for this one.
 */
void listener_remove(struct listener *l, struct riser *r, pthread_mutex_t *lock);

/* Without the lock: call them all. */
void listeners_tell(struct list *listeners, pthread_mutex_t *lock, unsigned event);

#endif
