/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * fio writes and verifies over NBD while the mapped device that it writes to gets one equivalent
 * table after the other, with its data moved every now and then. Public functions alone.
 */
#include "../tap.h"
#include <pthread.h>
#include <riser/dm.h>
#include <riser/publish.h>
#include <sys/wait.h>

#define SECTORS 16384u
#define MINUTE  60000000000ull

static struct riser_err err;
static struct riser *r;
static struct riser_exec *x; /* this thread's; the server has its own */
static struct riser_dm *top;
static char socket_path[] = "/tmp/riser-swap-XXXXXX/s";

/* In chunks on mem:9M and mem:10M, or in one piece on mem:20M. */
static const char *const views[2][3] = {
	{ "0 16384 linear dm:line 0", "0 16384 linear mem:20M 64",
	  "0 5000 linear mem:20M 64\n5000 11384 linear dm:line 5000" },
	{ "0 16384 linear dm:stripes 0", "0 16384 striped 2 8 mem:9M 0 mem:10M 16",
	  "0 8192 striped 2 8 mem:9M 0 mem:10M 16\n8192 8192 linear dm:stripes 8192" },
};

struct server {
	pthread_t thread;
	int stop, ready; /* atomic */
	uint64_t requests, errors;
};

static void *serve(void *arg)
{
	struct riser_publish_opts opts = { .size = sizeof(opts), .socket = socket_path };
	struct riser_publish_stats stats = { 0 };
	struct riser_publish *p = NULL;
	struct server *s = arg;
	struct riser_blk *b = NULL;
	struct riser_exec *own;
	struct riser_err e;

	if (riser_exec_new(r, &own, &e) || riser_blk_open(r, "dm:top", RISER_BLK_RDWR, &b, &e) ||
	    riser_publish(b, own, "nbd", &opts, &p, &e))
		printf("# %s\n", e.text);
	__atomic_store_n(&s->ready, p ? 1 : -1, __ATOMIC_RELEASE);
	while (p && !__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE))
		riser_exec_wait(own, 10000000);
	if (p)
		riser_publish_get_stats(p, &stats);
	s->requests = stats.requests;
	s->errors = stats.errors;
	riser_publish_stop(p);
	riser_blk_close(b);
	riser_exec_free(own);
	return NULL;
}

static bool fio_can_nbd(void)
{
	return system("fio --enghelp 2>/dev/null | grep -qw nbd") == 0;
}

static pid_t fio(void)
{
	static char uri[128];
	pid_t pid;

	snprintf(uri, sizeof(uri), "--uri=nbd+unix:///?socket=%s", socket_path);
	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	execlp("fio", "fio", "--name=swap", "--ioengine=nbd", uri, "--rw=randwrite",
	       "--bsrange=512-64k", "--iodepth=16", "--size=8M", "--loops=12", "--verify=crc32c",
	       "--verify_fatal=1", "--verify_state_save=0", "--verify_backlog=64", "--randrepeat=0",
	       "--minimal", "--output=/dev/null", (char *)NULL);
	_exit(127);
}

/* From one of the two places to the other; the device above is suspended. */
static int copy(const char *from, const char *to)
{
	static uint8_t buf[1 << 20];
	struct riser_blk_channel *c[2];
	struct riser_blk *b[2];
	int rc = 0;

	if (riser_blk_open(r, from, RISER_BLK_RDWR, &b[0], &err) ||
	    riser_blk_open(r, to, RISER_BLK_RDWR, &b[1], &err))
		return -1;
	for (unsigned i = 0; i < 2; i++)
		if (riser_blk_channel_open(b[i], x, 4, &c[i], &err))
			return -1;
	for (uint32_t at = 0; !rc && at < SECTORS; at += 2048) {
		rc = riser_blk_rw(c[0], RISER_BLK_READ, at, 2048, buf, 0);
		if (!rc)
			rc = riser_blk_rw(c[1], RISER_BLK_WRITE, at, 2048, buf, 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		riser_blk_channel_close(c[i]);
		riser_blk_close(b[i]);
	}
	return rc;
}

static int swap(unsigned i)
{
	static bool stripes;
	int rc = 0;

	if (i % 5 == 4) {
		rc = riser_dm_suspend(top, x, MINUTE, &err);
		if (!rc)
			rc = stripes ? copy("dm:stripes", "dm:line")
				     : copy("dm:line", "dm:stripes");
		stripes = !stripes;
	}
	if (!rc)
		rc = riser_dm_load(top, x, views[stripes][i % 3], NULL, &err);
	return rc ? rc : riser_dm_resume(top, x, MINUTE, &err);
}

static struct riser_dm *make(const char *name, const char *table)
{
	struct riser_dm *d = NULL;

	if (riser_dm_create(r, name, NULL, 0, &d, &err) || riser_dm_load(d, x, table, NULL, &err) ||
	    riser_dm_resume(d, x, MINUTE, &err)) {
		printf("# %s: %s\n", name, err.text);
		tap_failed = true;
	}
	return d;
}

TEST(fio_verifies_what_is_swapped)
{
	struct riser_dm *line, *stripes;
	struct server s = { 0 };
	int status = 0, rc = 0;
	unsigned swaps = 0;
	pid_t pid;

	if (!fio_can_nbd())
		MISSING("fio with its nbd engine");
	*strrchr(socket_path, '/') = 0;
	CHECK(mkdtemp(socket_path));
	socket_path[strlen(socket_path)] = '/';
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	SUB(line = make("line", "0 16384 linear mem:20M 64"));
	SUB(stripes = make("stripes", "0 16384 striped 2 8 mem:9M 0 mem:10M 16"));
	SUB(top = make("top", views[0][0]));
	CHECK_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
	while (!__atomic_load_n(&s.ready, __ATOMIC_ACQUIRE))
		usleep(1000);
	CHECK_EQ(s.ready, 1);
	pid = fio();
	while (waitpid(pid, &status, WNOHANG) == 0 && !rc) {
		rc = swap(swaps++);
		riser_exec_poll(x);
		usleep(2000);
	}
	if (rc)
		FAIL("swap %u: %s", swaps, err.text);
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELEASE);
	pthread_join(s.thread, NULL);
	printf("# %u swaps, %" PRIu64 " requests\n", swaps, s.requests);
	CHECK_EQ(status, 0);
	CHECK_EQ(s.errors, 0);
	CHECK(swaps > 10 && s.requests > 1000);
	CHECK_EQ(riser_dm_remove(top, x, &err), 0);
	CHECK_EQ(riser_dm_remove(stripes, x, &err), 0);
	CHECK_EQ(riser_dm_remove(line, x, &err), 0);
	riser_exec_free(x);
	riser_free(r);
	*strrchr(socket_path, '/') = 0;
	rmdir(socket_path);
}

TEST_MAIN(CASE(fio_verifies_what_is_swapped))
