/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Bytes of a client, to an NBD server on virtual time.
 *
 * covers: src/publish/nbd_options.c src/publish/nbd_command.c src/publish/nbd_check.c
 * covers: src/publish/nbd_ahead.c src/publish/nbd_status.c src/publish/nbd_reply.c
 * covers: src/publish/nbd_conn.c
 *
 * The first byte chooses the device, how many bytes arrive at a time, and how it ends: with the
 * client's end of file, or with the publisher's stop. The rest is what the client sends. Whatever
 * that is, what the server sends must be NBD, a client that ended must be forgotten, and every
 * block I/O must have come back.
 */
#include "publish/nbd.h"
#include "base/exec.h"
#include "base/riser.h"
#include "base/util.h"
#include "fuzz.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE_BITS 3
#define STEP_SHIFT  2
#define STOPS       0x40

#define POLLS_MAX   100000 /* that an input may take to come to its end */

static const char *const devices[] = { "mem:1M", "mem:1M?block=4096", "null:1M", "mem:1M" };
static const size_t steps[] = { SIZE_MAX, 1, 7, 28, 29, 540, 4124, 100 };

struct fuzz {
	struct riser *r;
	struct riser_exec *x;
	struct riser_blk *b;
	struct riser_publish *p;
	struct nbd_server *s;
	int fd;
	bool over; /* the server hung up */
	uint8_t head[8];
	size_t got;
};

/* A server needs a socket that listens; nobody connects to this one. */
static int listening(void)
{
	static int fd;

	if (!fd) {
		struct sockaddr_un at = { .sun_family = AF_UNIX };

		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		FUZZ_CHECK(!bind(fd, (struct sockaddr *)&at, sizeof(at.sun_family)));
		FUZZ_CHECK(!listen(fd, 1));
	}
	return fd;
}

static void set_up(struct fuzz *f, unsigned device)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_publish_opts publish = { .size = sizeof(publish),
					      .port = -1,
					      .name = "disk",
					      .read_only = device == 3,
					      .listen_fd = listening() };
	int pair[2];

	memset(f, 0, sizeof(*f));
	FUZZ_CHECK(!riser_new(&opts, &f->r, NULL));
	FUZZ_CHECK(!riser_exec_new(f->r, &f->x, NULL));
	FUZZ_CHECK(!riser_blk_open(f->r, devices[device], RISER_BLK_RDWR, &f->b, NULL));
	FUZZ_CHECK(!riser_publish(f->b, f->x, "nbd", &publish, &f->p, NULL));
	f->s = container_of(f->p, struct nbd_server, publish);
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	FUZZ_CHECK(!nbd_conn_new(f->s, pair[0]));
	f->fd = pair[1];
}

/* Take what the server sent, which begins as NBD does. */
static void drain(struct fuzz *f)
{
	static uint8_t data[256 * KiB];
	riser_be64 nbd = to_be64(NBD_MAGIC);
	ssize_t n;

	while ((n = recv(f->fd, data, sizeof(data), 0)) > 0) {
		size_t head = min_of(sizeof(f->head) - f->got, (size_t)n);

		memcpy(f->head + f->got, data, head);
		f->got += head;
		FUZZ_CHECK(!memcmp(f->head, &nbd, f->got));
	}
	f->over |= n == 0 || (errno != EAGAIN && errno != EINTR);
}

static void settle(struct fuzz *f)
{
	unsigned polls = 0;

	for (unsigned idle = 0; idle < 3; polls++) {
		idle = riser_exec_poll(f->x) > 0 ? 0 : idle + 1;
		drain(f);
		FUZZ_CHECK(polls < POLLS_MAX);
	}
}

static void feed(struct fuzz *f, const uint8_t *data, size_t len, size_t step)
{
	unsigned polls = 0;

	while (len && !f->over) {
		ssize_t n = send(f->fd, data, min_of(len, step), MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
		riser_exec_poll(f->x);
		drain(f);
		FUZZ_CHECK(n > 0 || ++polls < POLLS_MAX);
	}
	settle(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f;
	unsigned how;

	if (!size)
		return 0;
	how = data[0];
	set_up(&f, how & DEVICE_BITS);
	feed(&f, data + 1, size - 1, steps[how >> STEP_SHIFT & 7]);
	if (!(how & STOPS)) {
		shutdown(f.fd, SHUT_WR);
		settle(&f);
		FUZZ_CHECK(f.s->nconns == 0);
		FUZZ_CHECK(f.s->ios == 0);
	}
	riser_publish_stop(f.p);
	close(f.fd);
	riser_blk_close(f.b);
	riser_exec_free(f.x);
	riser_free(f.r);
	return 0;
}
