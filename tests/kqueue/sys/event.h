/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* As much of kqueue(2) as base/event_kqueue.c asks for, for systems without it: see ../kqueue.c. */
#ifndef TESTS_KQUEUE_SYS_EVENT_H
#define TESTS_KQUEUE_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

struct kevent {
	uintptr_t ident;
	int16_t filter;
	uint16_t flags;
	uint32_t fflags;
	intptr_t data;
	void *udata;
};

#define EVFILT_READ  (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER  (-10)

#define EV_ADD       0x0001
#define EV_DELETE    0x0002
#define EV_CLEAR     0x0020
#define EV_ERROR     0x4000
#define EV_EOF       0x8000

#define NOTE_TRIGGER 0x01000000

#define EV_SET(e, a, b, c, d, f, g)                                                                \
	(*(e) = (struct kevent){ (uintptr_t)(a), (b), (c), (d), (intptr_t)(f), (g) })

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
	   const struct timespec *timeout);

#endif
