/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* epoll_pwait2, ppoll, preadv2 */
#endif
#include "base/event.h"
#include "base/util.h"
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int event_new(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void event_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is at its end: it is readable, which is all we want. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * O_NONBLOCK belongs to everybody who has the descriptor, and QEMU takes it away for a moment
 * whenever it is given one: a read that met that moment slept until the next signal.
 */
bool event_ack(int fd)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP) /* Linux before 5.8 */
		n = read(fd, &count, sizeof(count));
	return n == (ssize_t)sizeof(count);
}

int waitset_new(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int control(int set, int op, int fd, uint32_t events, void *user)
{
	struct epoll_event ev = { .data.ptr = user };

	if (events & RISER_WATCH_IN)
		ev.events |= EPOLLIN;
	if (events & RISER_WATCH_OUT)
		ev.events |= EPOLLOUT;
	return epoll_ctl(set, op, fd, &ev) ? -errno : 0;
}

int waitset_add(int set, int fd, uint32_t events, void *user)
{
	return control(set, EPOLL_CTL_ADD, fd, events, user);
}

int waitset_mod(int set, int fd, uint32_t events, void *user)
{
	return control(set, EPOLL_CTL_MOD, fd, events, user);
}

void waitset_del(int set, int fd)
{
	control(set, EPOLL_CTL_DEL, fd, 0, NULL);
}

static int wait_for(int set, struct epoll_event *evs, int max, uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NS_PER_S),
			       .tv_nsec = (long)(ns % NS_PER_S) };
	struct pollfd pfd = { .fd = set, .events = POLLIN };
	int n;

	if (ns == 0 || ns == TIME_NEVER)
		return epoll_wait(set, evs, max, ns ? -1 : 0);
	n = epoll_pwait2(set, evs, max, &ts, NULL);
	/* Linux before 5.11 has it not, and the filters of older containers forbid it. */
	if (n >= 0 || (errno != ENOSYS && errno != EPERM))
		return n;
	ppoll(&pfd, 1, &ts, NULL);
	return epoll_wait(set, evs, max, 0);
}

int waitset_wait(int set, struct waitset_event *ev, int max, uint64_t timeout_ns)
{
	struct epoll_event evs[32];
	int n = wait_for(set, evs, min_of(max, (int)array_len(evs)), timeout_ns);

	for (int i = 0; i < n; i++) {
		ev[i].user = evs[i].data.ptr;
		ev[i].events = 0;
		if (evs[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP))
			ev[i].events |= RISER_WATCH_IN;
		if (evs[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			ev[i].events |= RISER_WATCH_OUT;
	}
	return n < 0 ? 0 : n;
}
