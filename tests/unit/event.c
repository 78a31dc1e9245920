/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What base/event.h promises, whichever file keeps it. */
#include "base/event.h"
#include "../tap.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* The events of @user among those that are there now; -1: none. */
static int events_of(int set, const void *user)
{
	struct waitset_event ev[8];
	int n = waitset_wait(set, ev, array_len(ev), 0), found = -1;

	for (int i = 0; i < n; i++)
		if (ev[i].user == user)
			found = (found < 0 ? 0 : found) | (int)ev[i].events;
	return found;
}

static void sleep_on(int set, uint64_t timeout_ns)
{
	struct waitset_event ev;

	waitset_wait(set, &ev, 1, timeout_ns);
}

TEST(an_event_is_readable_until_acknowledged)
{
	int fd = event_new();

	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(!readable(fd));
	CHECK(!event_ack(fd));
	event_signal(fd);
	event_signal(fd);
	CHECK(readable(fd));
	CHECK(readable(fd));
	CHECK(event_ack(fd));
	CHECK(!readable(fd));
	CHECK(!event_ack(fd));
	close(fd);
}

TEST(a_set_tells_of_an_event_until_acknowledged)
{
	int set = waitset_new(), fd = event_new(), user;

	CHECK(set >= 0 && fd >= 0);
	CHECK(fcntl(set, F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(waitset_add(set, fd, RISER_WATCH_IN, &user), 0);
	CHECK(!readable(set));
	CHECK_EQ(events_of(set, &user), -1);
	event_signal(fd);
	CHECK(readable(set)); /* by whoever polls it */
	CHECK_EQ(events_of(set, &user), RISER_WATCH_IN);
	CHECK_EQ(events_of(set, &user), RISER_WATCH_IN);
	sleep_on(set, TIME_NEVER); /* does not */
	CHECK(event_ack(fd));
	CHECK_EQ(events_of(set, &user), -1);
	CHECK(!readable(set));
	waitset_del(set, fd);
	event_signal(fd);
	CHECK_EQ(events_of(set, &user), -1);
	close(fd);
	close(set);
}

TEST(a_set_tells_what_is_asked)
{
	int set = waitset_new(), s[2], a, b;
	char c = 0;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	CHECK_EQ(waitset_add(set, s[0], RISER_WATCH_IN, &a), 0);
	CHECK_EQ(events_of(set, &a), -1);
	CHECK_EQ(waitset_mod(set, s[0], RISER_WATCH_IN | RISER_WATCH_OUT, &b), 0);
	CHECK_EQ(events_of(set, &a), -1);
	CHECK_EQ(events_of(set, &b), RISER_WATCH_OUT);
	CHECK_EQ(write(s[1], &c, 1), 1);
	CHECK_EQ(events_of(set, &b), RISER_WATCH_IN | RISER_WATCH_OUT);
	CHECK_EQ(waitset_mod(set, s[0], RISER_WATCH_OUT, &a), 0);
	CHECK_EQ(events_of(set, &a), RISER_WATCH_OUT);
	CHECK_EQ(waitset_mod(set, s[0], RISER_WATCH_IN, &a), 0);
	CHECK_EQ(events_of(set, &a), RISER_WATCH_IN);
	CHECK_EQ(read(s[0], &c, 1), 1);
	CHECK_EQ(events_of(set, &a), -1);
	CHECK_EQ(waitset_mod(set, s[0], 0, &a), 0);
	CHECK_EQ(write(s[1], &c, 1), 1);
	CHECK_EQ(events_of(set, &a), -1);
	waitset_del(set, s[0]);
	waitset_del(set, s[0]); /* a second time does nothing */
	close(s[0]);
	close(s[1]);
	close(set);
}

TEST(a_peer_that_hangs_up_is_told)
{
	int set = waitset_new(), s[2], user;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	CHECK_EQ(waitset_add(set, s[0], RISER_WATCH_IN, &user), 0);
	close(s[1]);
	CHECK(events_of(set, &user) & RISER_WATCH_IN);
	sleep_on(set, TIME_NEVER);
	close(s[0]); /* which takes it out of the set */
	CHECK_EQ(events_of(set, &user), -1);
	close(set);
}

TEST(what_cannot_be_watched_is_an_error)
{
	int set = waitset_new();

	CHECK_EQ(waitset_add(set, -1, RISER_WATCH_IN | RISER_WATCH_OUT, NULL), -EBADF);
	close(set);
}

static void *signal_it(void *fd)
{
	event_signal(*(int *)fd);
	return NULL;
}

TEST(another_thread_ends_a_sleep)
{
	int set = waitset_new(), fd = event_new();
	pthread_t t;

	CHECK_EQ(waitset_add(set, fd, RISER_WATCH_IN, NULL), 0);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(pthread_create(&t, NULL, signal_it, &fd), 0);
		sleep_on(set, TIME_NEVER);
		CHECK(event_ack(fd));
		pthread_join(t, NULL);
	}
	sleep_on(set, 1000); /* ends without one */
	CHECK(!event_ack(fd));
	close(fd);
	close(set);
}

#ifdef __linux__
/* As the seccomp filters of older containers do with system calls that they do not know. */
static bool forbid(uint32_t call)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = array_len(rules), .filter = rules };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

TEST(a_call_that_is_forbidden_is_done_without)
{
	int set = waitset_new(), fd = event_new(), status = 0;
	struct waitset_event ev;
	pid_t child;

	CHECK_EQ(waitset_add(set, fd, RISER_WATCH_IN, &ev), 0);
	event_signal(fd);
	child = fork();
	if (!child)
		_exit(!forbid(SYS_epoll_pwait2) ? 77 : waitset_wait(set, &ev, 1, NS_PER_S));
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) != 77) /* no filters here */
		CHECK_EQ(WEXITSTATUS(status), 1);
	close(fd);
	close(set);
}
#define LINUX_CASES CASE(a_call_that_is_forbidden_is_done_without),
#else
#define LINUX_CASES
#endif

TEST_MAIN(CASE(an_event_is_readable_until_acknowledged),
	  CASE(a_set_tells_of_an_event_until_acknowledged), CASE(a_set_tells_what_is_asked),
	  CASE(a_peer_that_hangs_up_is_told), CASE(what_cannot_be_watched_is_an_error),
	  LINUX_CASES CASE(another_thread_ends_a_sleep))
