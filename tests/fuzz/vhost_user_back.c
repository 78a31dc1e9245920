/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Bytes of a vhost-user client, to the device's end, and rings in its memory.
 *
 * covers: src/spec/vhost_user.c src/publish/vhost_user.c
 *
 * The first byte says how much of the input's end lies at the beginning of the memory that can be
 * shared. Then, again and again: a byte whose low two bits are how many descriptors come along and
 * whose next two of what kind; a byte of length; so many bytes. Whatever they are, when the client
 * has gone nothing is left of it.
 */
#include "base/event.h"
#include "base/exec.h"
#include "base/riser.h"
#include "fuzz.h"
#include "publish/vhost_user.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS         3u
#define KIND_SHIFT  2
#define MEMORY_SIZE (64 * KiB)
#define POLLS_MAX   100000 /* that an input may take to come to its end */

enum kind { MEMORY, EVENT, OPEN_MEMORY, NO_FILE };

static int kinds[4];
static char *memory;

static void set_up_kinds(void)
{
	if (memory)
		return;
	kinds[MEMORY] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FUZZ_CHECK(!ftruncate(kinds[MEMORY], MEMORY_SIZE));
	FUZZ_CHECK(!fcntl(kinds[MEMORY], F_ADD_SEALS, F_SEAL_SHRINK));
	kinds[EVENT] = event_new();
	kinds[OPEN_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
	kinds[NO_FILE] = open("/dev/null", O_RDWR | O_CLOEXEC);
	memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, kinds[MEMORY], 0);
	FUZZ_CHECK(memory != MAP_FAILED);
}

static void send_some(int fd, const uint8_t *bytes, size_t len, unsigned nfds, enum kind kind)
{
	int fds[FDS] = { kinds[kind], kinds[kind], kinds[kind] };
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

static int dial(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, path);
	FUZZ_CHECK(!connect(fd, (struct sockaddr *)&at, sizeof(at)));
	return fd;
}

static void settle(struct riser_exec *x)
{
	unsigned polls = 0;

	for (unsigned idle = 0; idle < 3; polls++) {
		idle = riser_exec_poll(x) > 0 ? 0 : idle + 1;
		FUZZ_CHECK(polls < POLLS_MAX);
	}
}

static void feed(struct riser_exec *x, int fd, const uint8_t *data, size_t size)
{
	char sink[4096];

	while (size >= 2) {
		size_t len = min_of((size_t)data[1], size - 2);

		send_some(fd, data + 2, len, data[0] & FDS, data[0] >> KIND_SHIFT & 3);
		settle(x);
		while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
		data += 2 + len;
		size -= 2 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_publish *p;
	struct vhost_back *b;
	struct riser_exec *x;
	struct riser *r;
	char path[64];
	size_t rings;
	int fd;

	if (!size)
		return 0;
	set_up_kinds();
	memset(memory, 0, MEMORY_SIZE);
	rings = min_of((size_t)data[0] * 4, size - 1);
	memcpy(memory, data + size - rings, rings);
	snprintf(path, sizeof(path), "/tmp/riser-fuzz-%d.sock", (int)getpid());
	FUZZ_CHECK(!riser_new(&opts, &r, NULL));
	FUZZ_CHECK(!riser_exec_new(r, &x, NULL));
	FUZZ_CHECK(!riser_publish_model(x, "virtio-net?loop=1&features=+PACKED", path, &p, NULL));
	b = container_of(p, struct vhost_back, publish);
	fd = dial(path);
	feed(x, fd, data + 1, size - 1 - rings);
	close(fd);
	settle(x);
	FUZZ_CHECK(b->client.fd == -1 && b->nregions == 0 && b->requests == -1);
	FUZZ_CHECK(b->v->status == 0);
	for (unsigned i = 0; i < b->v->nqueues; i++)
		FUZZ_CHECK(b->rings[i].call == -1 && b->rings[i].kick.fd == -1);
	riser_publish_stop(p);
	riser_exec_free(x);
	riser_free(r);
	return 0;
}
