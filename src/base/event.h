/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a thread can sleep on: an event (eventfd on Linux) and a set of descriptors (epoll).
 * Everything that differs between operating systems about waiting is behind these functions.
 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include <riser/riser.h>
#include <stdbool.h>
#include <stdint.h>

/* Return: a non-blocking, close-on-exec descriptor, or a negative errno. */
int event_new(void);
/* Make it readable. */
void event_signal(int fd);
/* Make it unreadable, without waiting. Return: true when it was signalled. */
bool event_ack(int fd);

struct waitset_event {
	void *user;
	uint32_t events; /* RISER_WATCH_IN, RISER_WATCH_OUT; both on error and hang-up */
};

/* Return: a descriptor that is readable while any watched descriptor is ready, or -errno. */
int waitset_new(void);
int waitset_add(int set, int fd, uint32_t events, void *user);
int waitset_mod(int set, int fd, uint32_t events, void *user);
void waitset_del(int set, int fd);
/*
 * Wait until a watched descriptor is ready, at most @timeout_ns (0: not at all; TIME_NEVER: for
 * ever), and tell what is. A signal may end it early. Return: how many of @ev were filled.
 */
int waitset_wait(int set, struct waitset_event *ev, int max, uint64_t timeout_ns);

#endif
