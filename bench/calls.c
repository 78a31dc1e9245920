/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Preloaded into a server by bench/nbd: counts the system calls that serving makes, in a page of
 * the file $RISER_BENCH_CALLS. What a server with a backing that needs none of its own calls on its
 * way is all here; `strace -c` says so.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t nowhere, *count = &nowhere;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("RISER_BENCH_CALLS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		count = page;
}

/* NAME(TYPED) counts and calls the real NAME(PLAIN). */
#define COUNTED(type, name, typed, plain)                                                          \
	type name typed;                                                                           \
	__attribute__((visibility("default"))) type name typed                                     \
	{                                                                                          \
		static type(*real) typed;                                                          \
		if (!real)                                                                         \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
		__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);                                    \
		return real plain;                                                                 \
	}

COUNTED(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
COUNTED(ssize_t, recv, (int fd, void *at, size_t n, int flags), (fd, at, n, flags))
COUNTED(ssize_t, send, (int fd, const void *at, size_t n, int flags), (fd, at, n, flags))
COUNTED(ssize_t, read, (int fd, void *at, size_t n), (fd, at, n))
COUNTED(ssize_t, write, (int fd, const void *at, size_t n), (fd, at, n))
COUNTED(int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms))
COUNTED(int, epoll_ctl, (int set, int op, int fd, struct epoll_event *e), (set, op, fd, e))
COUNTED(int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *mask),
	(p, n, t, mask))
