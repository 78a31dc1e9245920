/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A vhost-user backend that has no device behind it, in a thread of its own: it answers as the
 * protocol wants, remembers what it was asked, and at one message does something else.
 */
#ifndef TESTS_UNIT_VHOST_USER_FAKE_H
#define TESTS_UNIT_VHOST_USER_FAKE_H

#include "../tap.h"
#include "spec/vhost_user.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

enum fake_odd {
	FAKE_HONEST,
	FAKE_DIES,        /* closes the connection instead of answering */
	FAKE_OTHER,       /* answers another request */
	FAKE_NO_FLAG,     /* without the flag of an answer */
	FAKE_VERSION,     /* in another version of the protocol */
	FAKE_LONG,        /* says that a gigabyte follows */
	FAKE_SHORT,       /* with half of the payload, and says so */
	FAKE_CUT,         /* with half of the payload, and closes */
	FAKE_DESCRIPTOR,  /* with a descriptor beside it */
	FAKE_DESCRIPTORS, /* with more than a message may have */
	FAKE_TWICE,       /* two times */
	FAKE_REFUSES,     /* says that it did not work */
	FAKE_ODDS,
};

#define FAKE_LOG 512

struct fake {
	char dir[64], path[96];
	int listener;
	pthread_t thread;
	uint64_t features, protocol; /* what it has */
	uint64_t queues, slots;
	uint8_t config[VHOST_USER_CONFIG_MAX];
	enum fake_odd odd;
	unsigned at; /* which message of the first connection it is odd at; 0 is the first */

	pthread_mutex_t lock;
	bool ends;
	int conn, requests;
	unsigned connections, count;
	uint32_t log[FAKE_LOG];         /* requests of all connections */
	struct vhost_user_msg last[64]; /* by request, of the last connection */
	int fds[VHOST_USER_FDS_MAX];    /* of the memory that came last */
	unsigned nfds;
};

static inline void fake_answer(struct fake *f, struct vhost_user_msg *m, uint32_t size)
{
	m->flags = VHOST_USER_REPLY;
	m->size = size;
	(void)vhost_user_send(f->conn, m, NULL, 0);
}

/* Send @m in a way that it should not be sent in. Return: whether to go on. */
static inline bool fake_misbehave(struct fake *f, struct vhost_user_msg *m, uint32_t size)
{
	int fds[VHOST_USER_FDS_MAX + 1];
	uint32_t odd[64] = { m->request, VHOST_USER_VERSION | VHOST_USER_REPLY, size };

	for (unsigned i = 0; i < VHOST_USER_FDS_MAX + 1; i++)
		fds[i] = f->listener;
	switch (f->odd) {
	case FAKE_OTHER:
		odd[0] = m->request + 1;
		break;
	case FAKE_NO_FLAG:
		odd[1] = VHOST_USER_VERSION;
		break;
	case FAKE_VERSION:
		odd[1] = VHOST_USER_REPLY | 2;
		break;
	case FAKE_LONG:
		odd[2] = 1u << 30;
		break;
	case FAKE_SHORT:
		odd[2] = size = size / 2;
		break;
	case FAKE_CUT:
		size /= 2;
		break;
	case FAKE_DESCRIPTOR:
		m->flags = VHOST_USER_REPLY;
		m->size = size;
		return !vhost_user_send(f->conn, m, fds, 1);
	case FAKE_DESCRIPTORS: {
		/* The library cannot be made to: it takes what fits. */
		union {
			struct cmsghdr align;
			char room[CMSG_SPACE(sizeof(fds))];
		} c = { .align = { CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS } };
		struct iovec iov = { odd, VHOST_USER_HEADER };
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &c,
				    .msg_controllen = sizeof(c) };

		memcpy(CMSG_DATA(&c.align), fds, sizeof(fds));
		return sendmsg(f->conn, &h, MSG_NOSIGNAL) > 0;
	}
	case FAKE_TWICE:
		fake_answer(f, m, size);
		fake_answer(f, m, size);
		return true;
	case FAKE_REFUSES:
		m->u64 = 1;
		fake_answer(f, m, size);
		return true;
	default:
		return false;
	}
	size += VHOST_USER_HEADER;
	if (size > sizeof(odd))
		size = sizeof(odd);
	return send(f->conn, odd, size, MSG_NOSIGNAL) == (ssize_t)size && f->odd != FAKE_CUT;
}

/* Return: the payload's size of the answer, or 0: there is none but the acknowledgement. */
static inline uint32_t fake_reply(struct fake *f, struct vhost_user_msg *m)
{
	switch (m->request) {
	case VHOST_USER_GET_FEATURES:
		m->u64 = f->features;
		return 8;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		m->u64 = f->protocol;
		return 8;
	case VHOST_USER_GET_QUEUE_NUM:
		m->u64 = f->queues;
		return 8;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		m->u64 = f->slots;
		return 8;
	case VHOST_USER_GET_VRING_BASE:
		return sizeof(m->state);
	case VHOST_USER_GET_CONFIG:
		memcpy(m->config.data, f->config, sizeof(m->config.data));
		return m->size;
	default:
		return 0;
	}
}

static inline void fake_keep_fds(struct fake *f, struct vhost_user_rx *rx)
{
	uint32_t r = rx->msg.request;

	if (r == VHOST_USER_SET_BACKEND_REQ_FD && rx->nfds) {
		if (f->requests >= 0)
			close(f->requests);
		f->requests = rx->fds[0];
		rx->fds[0] = -1;
	}
	if (r != VHOST_USER_SET_MEM_TABLE && r != VHOST_USER_ADD_MEM_REG)
		return;
	for (unsigned i = 0; i < f->nfds; i++)
		close(f->fds[i]);
	f->nfds = rx->nfds;
	for (unsigned i = 0; i < rx->nfds; i++) {
		f->fds[i] = rx->fds[i];
		rx->fds[i] = -1;
	}
}

/* Return: whether to go on. */
static inline bool fake_serve(struct fake *f, struct vhost_user_rx *rx, unsigned n)
{
	struct vhost_user_msg *m = &rx->msg;
	bool ack, odd;
	uint32_t size;

	pthread_mutex_lock(&f->lock);
	if (f->count < FAKE_LOG)
		f->log[f->count++] = m->request;
	f->last[m->request % 64] = *m;
	fake_keep_fds(f, rx);
	odd = f->odd && f->connections == 1 && n == f->at;
	pthread_mutex_unlock(&f->lock);
	ack = m->flags & VHOST_USER_NEED_REPLY;
	size = fake_reply(f, m);
	if (!size && ack) {
		m->u64 = 0;
		size = 8;
	}
	if (odd)
		return f->odd != FAKE_DIES && fake_misbehave(f, m, size ? size : 8);
	if (size)
		fake_answer(f, m, size);
	return true;
}

static inline void fake_talk(struct fake *f)
{
	struct vhost_user_rx rx = { 0 };
	struct pollfd p = { .fd = f->conn, .events = POLLIN };

	for (unsigned n = 0; poll(&p, 1, -1) > 0;) {
		int rc = vhost_user_recv(f->conn, &rx);

		if (!rc)
			continue;
		if (rc < 0 || !fake_serve(f, &rx, n++))
			break;
		vhost_user_rx_done(&rx);
	}
	vhost_user_rx_done(&rx);
}

static inline void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

		pthread_mutex_lock(&f->lock);
		if (f->ends || fd < 0) {
			pthread_mutex_unlock(&f->lock);
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		f->conn = fd;
		f->connections++;
		pthread_mutex_unlock(&f->lock);
		fake_talk(f);
		pthread_mutex_lock(&f->lock);
		close(f->conn);
		f->conn = -1;
		pthread_mutex_unlock(&f->lock);
	}
}

/* Set features, protocol and the like before. */
static inline bool fake_start(struct fake *f)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strcpy(f->dir, "/tmp/riser-fake-XXXXXX");
	if (!mkdtemp(f->dir))
		return false;
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	strcpy(at.sun_path, f->path);
	f->conn = f->requests = -1;
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_mutex_init(&f->lock, NULL);
	return f->listener >= 0 && !bind(f->listener, (struct sockaddr *)&at, sizeof(at)) &&
	       !listen(f->listener, 4) && !pthread_create(&f->thread, NULL, fake_main, f);
}

/* Cut the connection that there is; the next is served as well. */
static inline void fake_hang_up(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	if (f->conn >= 0)
		shutdown(f->conn, SHUT_RDWR);
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_stop(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	f->ends = true;
	pthread_mutex_unlock(&f->lock);
	shutdown(f->listener, SHUT_RDWR);
	fake_hang_up(f);
	pthread_join(f->thread, NULL);
	close(f->listener);
	if (f->requests >= 0)
		close(f->requests);
	for (unsigned i = 0; i < f->nfds; i++)
		close(f->fds[i]);
	unlink(f->path);
	rmdir(f->dir);
}

/* What was asked last by @request. */
static inline struct vhost_user_msg fake_last(struct fake *f, uint32_t request)
{
	struct vhost_user_msg m;

	pthread_mutex_lock(&f->lock);
	m = f->last[request % 64];
	pthread_mutex_unlock(&f->lock);
	return m;
}

#endif
