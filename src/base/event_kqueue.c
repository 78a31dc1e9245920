/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * macOS and FreeBSD. A set is a kqueue, and so is an event: it holds one EVFILT_USER, is readable
 * once that was triggered, and like any descriptor can be watched by a set or by somebody's poll().
 *
 * A set watches by level, as epoll does: no EV_CLEAR. So fetching an event does not lose it, and
 * sleeping may fetch one.
 */
#include "base/event.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/event.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_MAX (86400 * NS_PER_S) /* kevent() takes no more than 10^8 s */

static const struct timespec at_once;

static int change(int fd, const struct kevent *changes, int n)
{
	return kevent(fd, changes, n, NULL, 0, NULL) < 0 ? -errno : 0;
}

int event_new(void)
{
	struct kevent user;
	int fd = kqueue(), rc;

	if (fd < 0)
		return -errno;
	EV_SET(&user, 0, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL);
	rc = fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : change(fd, &user, 1);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

void event_signal(int fd)
{
	struct kevent user;

	EV_SET(&user, 0, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	while (change(fd, &user, 1) == -EINTR)
		;
}

bool event_ack(int fd)
{
	struct kevent user;

	return kevent(fd, NULL, 0, &user, 1, &at_once) == 1;
}

int waitset_new(void)
{
	int fd = kqueue();

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

/* Watch @fd for one filter, or no more. Return: 0 or a negative errno. */
static int watch(int set, int fd, int16_t filter, bool on, void *user)
{
	struct kevent ev;
	int rc;

	EV_SET(&ev, (uintptr_t)fd, filter, on ? EV_ADD : EV_DELETE, 0, 0, user);
	rc = change(set, &ev, 1);
	return !on && rc == -ENOENT ? 0 : rc;
}

int waitset_mod(int set, int fd, uint32_t events, void *user)
{
	int rc = watch(set, fd, EVFILT_READ, events & RISER_WATCH_IN, user);

	return rc ? rc : watch(set, fd, EVFILT_WRITE, events & RISER_WATCH_OUT, user);
}

int waitset_add(int set, int fd, uint32_t events, void *user)
{
	int rc = waitset_mod(set, fd, events, user);

	if (rc)
		waitset_del(set, fd);
	return rc;
}

void waitset_del(int set, int fd)
{
	waitset_mod(set, fd, 0, NULL);
}

/* A descriptor that is ready both ways comes twice. */
int waitset_wait(int set, struct waitset_event *ev, int max, uint64_t timeout_ns)
{
	uint64_t ns = min_of(timeout_ns, SLEEP_MAX);
	struct timespec ts = { .tv_sec = (time_t)(ns / NS_PER_S),
			       .tv_nsec = (long)(ns % NS_PER_S) };
	struct kevent evs[32];
	int n = kevent(set, NULL, 0, evs, min_of(max, (int)array_len(evs)),
		       timeout_ns == TIME_NEVER ? NULL : &ts);

	for (int i = 0; i < n; i++) {
		ev[i].user = evs[i].udata;
		ev[i].events = evs[i].filter == EVFILT_WRITE ? RISER_WATCH_OUT : RISER_WATCH_IN;
		/* Nobody reads any more, or it broke: whoever waits for anything finds out. */
		if (evs[i].flags & EV_ERROR || (evs[i].flags & EV_EOF && evs[i].fflags))
			ev[i].events = RISER_WATCH_IN | RISER_WATCH_OUT;
	}
	return n < 0 ? 0 : n;
}
