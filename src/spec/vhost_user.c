/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "spec/vhost_user.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))];
};

static int wrong(struct vhost_user_rx *rx, const char *what)
{
	rx->wrong = what;
	return -EPROTO;
}

/* Keep what fits, so that all of it is closed in the end. */
static int take_fds(struct vhost_user_rx *rx, struct msghdr *m)
{
	int rc = m->msg_flags & MSG_CTRUNC ? wrong(rx, "sent too many descriptors") : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (rx->nfds < VHOST_USER_FDS_MAX) {
				rx->fds[rx->nfds++] = fd;
				continue;
			}
			close(fd);
			rc = wrong(rx, "sent too many descriptors");
		}
	}
	return rc;
}

/* Return: 1 when there are @until bytes, 0 not yet, or a negative errno. */
static int fill(int sock, struct vhost_user_rx *rx, size_t until)
{
	while (rx->got < until) {
		struct iovec iov = { (char *)&rx->msg + rx->got, until - rx->got };
		union control control;
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -ECONNRESET;
		rx->got += (size_t)n;
		rc = take_fds(rx, &m);
		if (rc)
			return rc;
	}
	return 1;
}

int vhost_user_recv(int sock, struct vhost_user_rx *rx)
{
	int rc = fill(sock, rx, VHOST_USER_HEADER);

	if (rc <= 0)
		return rc;
	if ((rx->msg.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return wrong(rx, "speaks another version of the protocol");
	if (rx->msg.size > sizeof(rx->msg) - VHOST_USER_HEADER)
		return wrong(rx, "sent a message that is too long");
	return fill(sock, rx, VHOST_USER_HEADER + rx->msg.size);
}

void vhost_user_rx_done(struct vhost_user_rx *rx)
{
	for (unsigned i = 0; i < rx->nfds; i++)
		if (rx->fds[i] >= 0)
			close(rx->fds[i]);
	memset(rx, 0, sizeof(*rx));
}

int vhost_user_send(int sock, struct vhost_user_msg *msg, const int *fds, unsigned nfds)
{
	struct iovec iov = { msg, VHOST_USER_HEADER + msg->size };
	union control control;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	msg->flags |= VHOST_USER_VERSION;
	if (nfds) {
		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	/* A stream socket of the unix domain takes as little as this whole, or not at all. */
	return n == (ssize_t)iov.iov_len ? 0 : -ECONNRESET;
}
