/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/access/qtest_doorbell.h"
#include "base/err.h"
#include "base/event.h"
#include "base/util.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL_VERSION  0
#define QEMU_PEER         0
#define FIRST_PEER        1
#define SHARED_MEMORY     ((uint64_t)-1)
#define SHARED_MEMORY_LEN 4096
#define SYNC_TRIES        5000 /* of a millisecond */

/* One message: a little-endian number, and perhaps a descriptor. Return: 0 or a negative errno. */
static int tell(struct qtest_doorbell *d, uint64_t number, int fd)
{
	riser_le64 wire = to_le64(number);
	struct iovec iov = { &wire, sizeof(wire) };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do {
		n = sendmsg(d->sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(wire) ? 0 : -ENODEV;
}

int qtest_doorbell_init(struct qtest_doorbell *d, int *qemu_end, struct riser_err *err)
{
	int pair[2], shared, rc = -ENOMEM;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, -errno, "qtest: no socket for interrupts: %s", strerror(errno));
	*d = (struct qtest_doorbell){ .present = true, .sock = pair[0], .next_peer = FIRST_PEER };
	/* The device insists on memory to share; nobody uses it. */
	shared = memfd_create("riser-ivshmem", MFD_CLOEXEC);
	if (shared >= 0 && !ftruncate(shared, SHARED_MEMORY_LEN))
		rc = tell(d, PROTOCOL_VERSION, -1) ?: tell(d, QEMU_PEER, -1) ?:
			tell(d, SHARED_MEMORY, shared);
	if (shared >= 0)
		close(shared);
	if (rc) {
		close(pair[1]);
		qtest_doorbell_destroy(d);
		return err_set(err, rc, "qtest: cannot set interrupts up: %s", strerror(-rc));
	}
	*qemu_end = pair[1];
	return 0;
}

void qtest_doorbell_destroy(struct qtest_doorbell *d)
{
	if (d->present)
		close(d->sock);
	memset(d, 0, sizeof(*d));
}

int qtest_doorbell_connect(struct qtest_doorbell *d, int fd)
{
	int peer = d->next_peer, rc;

	if (peer == UINT16_MAX)
		return -ENOSPC;
	rc = tell(d, (uint64_t)peer, fd);
	if (rc)
		return rc;
	d->next_peer++;
	return peer;
}

void qtest_doorbell_disconnect(struct qtest_doorbell *d, unsigned peer)
{
	tell(d, peer, -1);
}

/*
 * Messages are taken in order, but some time: a peer of our own comes last, and is rung until it
 * hears.
 */
int qtest_doorbell_sync(struct qtest_doorbell *d, struct qtest_link *l)
{
	struct pollfd pfd = { .fd = event_new(), .events = POLLIN };
	int peer, rc = -ETIMEDOUT;

	if (pfd.fd < 0)
		return pfd.fd;
	peer = qtest_doorbell_connect(d, pfd.fd);
	if (peer < 0)
		rc = peer;
	for (unsigned i = 0; rc == -ETIMEDOUT && i < SYNC_TRIES; i++) {
		qtest_link_write(l, d->address, 4, qtest_doorbell_data((unsigned)peer));
		if (poll(&pfd, 1, 1) == 1)
			rc = 0;
		else if (qtest_link_drain(l) < 0)
			rc = -ENODEV;
	}
	if (peer >= 0)
		qtest_doorbell_disconnect(d, (unsigned)peer);
	close(pfd.fd);
	return rc;
}
