/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Bytes of a vhost-user backend, to the driver's end.
 *
 * covers: src/spec/vhost_user.c src/virtio/vhost_user_link.c src/virtio/vhost_user.c
 *
 * The first byte says what kind of device is wanted, and how long the driver waits for a backend
 * that went. Then, again and again: a byte whose low two bits are how many descriptors come along,
 * and whose highest says that the connection ends behind it; a byte of length; so many bytes.
 * Nothing of that waits for what the driver asks. Behind the last the connection ends.
 */
#include "base/event.h"
#include "base/riser.h"
#include "base/uri.h"
#include "fuzz.h"
#include "spec/vhost_user.h"
#include "virtio/vhost_user.h"
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KIND_NET 1u
#define FDS      3u
#define HANGS_UP 0x80u

/* The backend: a thread that serves each connection from where the last one ended. */
static struct {
	int listener;
	char uri[128];
	pthread_mutex_t lock;
	const uint8_t *data;
	size_t size;
} backend = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void send_some(int fd, const uint8_t *bytes, size_t len, unsigned nfds)
{
	int fds[FDS] = { backend.listener, backend.listener, backend.listener };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(fds))];
	} c = { .align = { CMSG_LEN(nfds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		memcpy(CMSG_DATA(&c.align), fds, nfds * sizeof(int));
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	(void)sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void talk(int fd)
{
	bool more = true;

	while (more && backend.size >= 2) {
		unsigned how = backend.data[0];
		size_t len = min_of((size_t)backend.data[1], backend.size - 2);

		send_some(fd, backend.data + 2, len, how & FDS);
		backend.data += 2 + len;
		backend.size -= 2 + len;
		more = !(how & HANGS_UP);
	}
	shutdown(fd, SHUT_WR);
}

static void *serve(void *arg)
{
	char sink[4096];

	for (;;) {
		int fd = accept4(backend.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return arg;
		pthread_mutex_lock(&backend.lock);
		talk(fd);
		pthread_mutex_unlock(&backend.lock);
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
		close(fd);
	}
}

static void remove_socket(void)
{
	unlink(strchr(backend.uri, ':') + 1);
}

static void set_up(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	pthread_t thread;

	if (backend.listener)
		return;
	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/riser-fuzz-%d.sock", (int)getpid());
	snprintf(backend.uri, sizeof(backend.uri), "vhost-user:%s", at.sun_path);
	unlink(at.sun_path);
	backend.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(!bind(backend.listener, (struct sockaddr *)&at, sizeof(at)));
	FUZZ_CHECK(!listen(backend.listener, 64));
	atexit(remove_socket);
	FUZZ_CHECK(!pthread_create(&thread, NULL, serve, NULL));
}

static void drive(struct virtio_dev *d, unsigned back)
{
	struct virtio_layout l = { .size = 16, .event_fd = -1 };
	struct virtio_notify notify;
	struct dma_mem mem;
	uint64_t features, next;
	uint8_t config[24];
	void *va;

	d->t->status_set(d, 0);
	d->t->status_set(d, 3);
	d->t->features_get(d, &features);
	d->t->features_set(d, features & ~d->withheld);
	d->t->status_set(d, 11);
	d->t->config_read(d, 0, config, sizeof(config));
	d->t->config_write(d, 0, config, 1);
	if (dma_alloc(d->dma, 4096, 64, &mem, NULL))
		return;
	l.desc = mem.iova;
	l.driver = mem.iova + 1024;
	l.device = mem.iova + 2048;
	if (d->t->queue_max(d, 0))
		d->t->queue_start(d, 0, &l, &notify);
	d->t->status_set(d, 15);
	if (!riser_mem_alloc(d->r, 4096, &va, NULL))
		riser_mem_free(d->r, va);
	for (unsigned i = 0; i < 2 * back; i++) {
		d->t->pump(d, &next);
		d->r->clock.now += 10 * NS_PER_S;
	}
	if (d->t->queue_max(d, 0)) {
		d->t->queue_start(d, 0, &l, &notify);
		d->t->queue_stop(d, 0);
	}
	d->t->status_set(d, 0);
	dma_free(d->dma, &mem);
}

/* Connections are served in turn: one more, and all of this input's are over. */
static void wait_for_backend(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char sink[4096];

	strcpy(at.sun_path, strchr(backend.uri, ':') + 1);
	FUZZ_CHECK(!connect(fd, (struct sockaddr *)&at, sizeof(at)));
	while (recv(fd, sink, sizeof(sink), 0) > 0)
		;
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct virtio_dev *d;
	struct riser *r;
	struct uri u;
	unsigned how = size ? data[0] : 0;

	set_up();
	pthread_mutex_lock(&backend.lock);
	backend.data = data + !!size;
	backend.size = size - !!size;
	pthread_mutex_unlock(&backend.lock);
	FUZZ_CHECK(!riser_new(&opts, &r, NULL));
	FUZZ_CHECK(!uri_parse(backend.uri, &u, NULL));
	if (!vhost_user_open(r, &u, how & KIND_NET ? RISER_VIRTIO_ID_NET : RISER_VIRTIO_ID_BLK, &d,
			     NULL)) {
		drive(d, how >> 1 & 3);
		d->t->close(d);
	}
	uri_free(&u);
	riser_free(r);
	wait_for_backend();
	return 0;
}
