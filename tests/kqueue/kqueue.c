/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A stand-in for kqueue(2) over epoll, so that base/event_kqueue.c runs where there is no BSD: what
 * its manual page says of reading, writing and EVFILT_USER, and no more.
 *
 * A kqueue is an epoll descriptor, so that it can be closed, polled and nested. Each descriptor
 * that it watches has a row here, with what each filter is to hand back. Rows outlive their
 * descriptors: close() is not seen, but a kqueue that is made anew has none.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROWS 1024

struct row {
	int kq, fd;
	uint32_t mask; /* of EPOLLIN and EPOLLOUT; 0: free */
	bool user;     /* @fd is an eventfd, and stands for EVFILT_USER */
	void *udata[2];
};

static struct row rows[ROWS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int kqueue(void)
{
	int kq = epoll_create1(0);

	pthread_mutex_lock(&lock);
	for (int i = 0; i < ROWS; i++) {
		if (kq < 0 || !rows[i].mask || rows[i].kq != kq)
			continue;
		if (rows[i].user)
			close(rows[i].fd);
		rows[i].mask = 0;
	}
	pthread_mutex_unlock(&lock);
	return kq;
}

static struct row *find(int kq, int fd, bool user)
{
	for (int i = 0; i < ROWS; i++)
		if (rows[i].mask && rows[i].kq == kq && rows[i].user == user &&
		    (user || rows[i].fd == fd))
			return &rows[i];
	return NULL;
}

static struct row *find_free(void)
{
	for (int i = 0; i < ROWS; i++)
		if (!rows[i].mask)
			return &rows[i];
	abort();
}

/* Have epoll watch what the row says. Return: 0 or -errno. */
static int update(struct row *r, uint32_t mask)
{
	struct epoll_event ev = { .events = mask, .data.fd = r->fd };
	int op = !mask ? EPOLL_CTL_DEL : r->mask ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int rc = epoll_ctl(r->kq, op, r->fd, &ev);

	r->mask = rc ? r->mask : mask;
	return rc ? -errno : 0;
}

static int change_user(int kq, const struct kevent *c)
{
	struct row *r = find(kq, 0, true);

	if (c->flags & EV_ADD) {
		r = find_free();
		*r = (struct row){ .kq = kq, .fd = eventfd(0, EFD_NONBLOCK), .user = true };
		r->udata[0] = c->udata;
		return update(r, EPOLLIN);
	}
	if (!r)
		return -ENOENT;
	return c->fflags & NOTE_TRIGGER && eventfd_write(r->fd, 1) ? -errno : 0;
}

static int change(int kq, const struct kevent *c)
{
	uint32_t bit = c->filter == EVFILT_WRITE ? EPOLLOUT : EPOLLIN;
	struct row *r;
	int rc;

	if (c->filter == EVFILT_USER)
		return change_user(kq, c);
	r = find(kq, (int)c->ident, false);
	if (c->flags & EV_DELETE)
		return !r || !(r->mask & bit) ? -ENOENT : update(r, r->mask & ~bit);
	if (!r) {
		r = find_free();
		*r = (struct row){ .kq = kq, .fd = (int)c->ident };
	}
	r->udata[c->filter == EVFILT_WRITE] = c->udata;
	rc = update(r, r->mask | bit);
	if (rc == -ENOENT) { /* the descriptor was closed, and is another one now */
		r->mask = 0;
		rc = update(r, bit);
	}
	return rc;
}

/* What epoll says of one row, as one or two events. Return: how many. */
static int tell(struct row *r, uint32_t said, struct kevent *out, int room)
{
	uint16_t eof = said & (EPOLLRDHUP | EPOLLHUP) ? EV_EOF : 0;
	uint32_t error = said & EPOLLERR ? EPIPE : 0;
	eventfd_t count;
	int n = 0;

	if (r->user) {
		if (eventfd_read(r->fd, &count))
			return 0;
		EV_SET(out, 0, EVFILT_USER, 0, 0, 0, r->udata[0]);
		return 1;
	}
	if (r->mask & EPOLLIN && said & ~(uint32_t)EPOLLOUT)
		EV_SET(&out[n++], r->fd, EVFILT_READ, eof, error, 0, r->udata[0]);
	if (n < room && r->mask & EPOLLOUT && said & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		EV_SET(&out[n++], r->fd, EVFILT_WRITE, eof, error, 0, r->udata[1]);
	return n;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
	   const struct timespec *timeout)
{
	struct pollfd pfd = { .fd = kq, .events = POLLIN };
	struct epoll_event evs[16];
	int rc = 0, n = 0, told = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < nchanges && !rc; i++)
		rc = change(kq, &changes[i]);
	pthread_mutex_unlock(&lock);
	if (rc) {
		errno = -rc;
		return -1;
	}
	if (!nevents || ppoll(&pfd, 1, timeout, NULL) <= 0)
		return 0;
	pthread_mutex_lock(&lock);
	n = epoll_wait(kq, evs, nevents < 2 ? 1 : nevents / 2 < 16 ? nevents / 2 : 16, 0);
	for (int i = 0; i < n; i++) {
		struct row *r = find(kq, evs[i].data.fd, false);

		if (!r)
			r = find(kq, evs[i].data.fd, true);
		if (r)
			told += tell(r, evs[i].events, events + told, nevents - told);
	}
	pthread_mutex_unlock(&lock);
	return told;
}
