/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Sources and the public calls of include/riser/blk.h. */
#include "../tap.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <riser/blk.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct riser_err err;

/* A context with one owner, one device and one channel. */
struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_blk *b;
	struct riser_blk_channel *c;
};

static void rig_up(struct rig *g, uint32_t ctx_flags, const char *uri, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = ctx_flags };

	memset(g, 0, sizeof(*g));
	CHECK_EQ(riser_new(&opts, &g->r, &err), 0);
	CHECK_EQ(riser_exec_new(g->r, &g->x, &err), 0);
	CHECK_EQ(riser_blk_open(g->r, uri, flags, &g->b, &err), 0);
	CHECK_EQ(riser_blk_channel_open(g->b, g->x, 0, &g->c, &err), 0);
}

static void rig_down(struct rig *g)
{
	riser_blk_channel_close(g->c);
	riser_blk_close(g->b);
	riser_exec_free(g->x);
	riser_free(g->r);
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((i >> 9) * 31 + i * 7 + seed);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* What every writable device does, with all the operations that it has. */
static void verify_device(struct rig *g)
{
	static uint8_t a[256 * 512], b[256 * 512];
	struct riser_blk_info info;

	riser_blk_get_info(g->b, &info);
	fill(a, sizeof(a), 1);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE, 8, 256, a, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, 8, 256, b, 0), RISER_BLK_OK);
	CHECK(!memcmp(a, b, sizeof(a)));
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE_ZEROES, 16, 96, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, 8, 256, b, 0), RISER_BLK_OK);
	CHECK(!memcmp(a, b, 8 * 512));
	CHECK(all_zero(b + 8 * 512, 96 * 512));
	CHECK(!memcmp(a + 104 * 512, b + 104 * 512, 152 * 512));
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE, 16, 96, a, RISER_BLK_FUA | RISER_BLK_PREFLUSH),
		 RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE_ZEROES, 24, 8, NULL, RISER_BLK_NOUNMAP),
		 RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, 16, 96, b, 0), RISER_BLK_OK);
	CHECK(!memcmp(a, b, 8 * 512));
	CHECK(all_zero(b + 8 * 512, 8 * 512));
	CHECK(!memcmp(a + 16 * 512, b + 16 * 512, 80 * 512));
	if (info.discard)
		CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_DISCARD, 0, 64, NULL, 0), RISER_BLK_OK);
	if (info.compare) {
		CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_WRITE, 64, 8, a, 0), RISER_BLK_OK);
		CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_COMPARE, 64, 8, a, 0), RISER_BLK_OK);
		CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_COMPARE, 64, 8, a + 1, 0),
			 RISER_BLK_PROTECTION);
	}
}

/* Each refusal comes through the status, and nothing is done. */
static void refuse(struct rig *g, uint64_t sectors)
{
	static uint8_t a[16 * 512];

	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, sectors, 8, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, sectors - 8, 16, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, UINT64_MAX - 7, 16, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, 0, 0, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g->c, (enum riser_blk_op)77, 0, 8, a, 0), RISER_BLK_NOTSUPP);
	CHECK_EQ(riser_blk_rw(g->c, RISER_BLK_READ, sectors - 8, 8, a, 0), RISER_BLK_OK);
}

TEST(mem_reads_what_was_written)
{
	struct rig g;

	SUB(rig_up(&g, 0, "mem:16M", RISER_BLK_RDWR));
	SUB(verify_device(&g));
	SUB(refuse(&g, 16 * MiB / 512));
	CHECK(riser_blk_is_safe_to_destroy(g.b));
	rig_down(&g);
}

TEST(mem_with_4096_byte_blocks_refuses_less)
{
	static uint8_t a[4096];
	struct rig g;

	SUB(rig_up(&g, 0, "mem:16M?block=4096", RISER_BLK_RDWR));
	SUB(verify_device(&g));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 8, 1, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 4, 8, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 8, 8, a, 0), RISER_BLK_OK);
	rig_down(&g);
}

TEST(null_leaves_the_buffer_alone)
{
	uint8_t a[512] = { 42 };
	struct rig g;

	SUB(rig_up(&g, 0, "null:1T", RISER_BLK_RDWR));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 77, 1, a, 0), RISER_BLK_OK);
	CHECK_EQ(a[0], 42);
	SUB(refuse(&g, (uint64_t)1 << 31));
	rig_down(&g);
}

static void file_device(uint32_t ctx_flags, const char *query)
{
	char path[] = "/tmp/riser-blk-XXXXXX", uri[128];
	int fd = mkstemp(path);
	struct rig g;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 16 * MiB), 0);
	snprintf(uri, sizeof(uri), "file:%s%s", path, query);
	SUB(rig_up(&g, ctx_flags, uri, RISER_BLK_RDWR));
	SUB(verify_device(&g));
	SUB(refuse(&g, 16 * MiB / 512));
	CHECK(riser_blk_is_safe_to_destroy(g.b));
	rig_down(&g);
	close(fd);
	unlink(path);
}

TEST(file_reads_what_was_written)
{
	file_device(0, "");
}

TEST(file_without_io_uring)
{
	file_device(RISER_NO_IO_URING, "");
}

/* Direct I/O: memory of any alignment is bounced, and counted. */
TEST(file_with_direct_io_bounces_what_is_not_aligned)
{
	static uint8_t mem[5 * 4096 + 512];
	uint8_t *a = (uint8_t *)align_up((uintptr_t)mem, 4096);
	char path[] = "./riser-blk-XXXXXX", uri[128];
	int fd = mkstemp(path), direct = open(path, O_RDWR | O_DIRECT);
	struct riser_blk_stats stats;
	uint64_t before;
	struct rig g;

	CHECK(fd >= 0);
	if (direct < 0) {
		unlink(path);
		SKIP("no direct I/O on this file system");
	}
	close(direct);
	CHECK_EQ(ftruncate(fd, 16 * MiB), 0);
	snprintf(uri, sizeof(uri), "file:%s?direct=1", path);
	SUB(rig_up(&g, 0, uri, RISER_BLK_RDWR));
	SUB(verify_device(&g));
	fill(a, 8192, 9);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 8, a, 0), RISER_BLK_OK);
	riser_blk_channel_stats(g.c, &stats);
	before = stats.bounces;
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 8, a + 8192 + 4, 0), RISER_BLK_OK);
	riser_blk_channel_stats(g.c, &stats);
	CHECK_EQ(stats.bounces, before + 1);
	CHECK(!memcmp(a, a + 8192 + 4, 4096));
	rig_down(&g);
	close(fd);
	unlink(path);
}

static void full_disk(uint32_t ctx_flags)
{
	char path[] = "/tmp/riser-blk-XXXXXX";
	struct rlimit old, small = { 65536, RLIM_INFINITY };
	int fd = mkstemp(path), status;
	static uint8_t a[65536];
	struct rig g;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 100 * 512), 0); /* below the limit, which a write may pass */
	CHECK_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	SUB(rig_up(&g, ctx_flags, path, RISER_BLK_RDWR));
	small.rlim_cur = 50 * 512;
	setrlimit(RLIMIT_FSIZE, &small);
	status = riser_blk_rw(g.c, RISER_BLK_WRITE, 60, 8, a, 0);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_EQ(status, RISER_BLK_NOSPC);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 60, 8, a, 0), RISER_BLK_OK);
	rig_down(&g);
	close(fd);
	unlink(path);
}

TEST(file_on_a_full_disk_says_nospc)
{
	SUB(full_disk(RISER_NO_IO_URING));
	SUB(full_disk(0));
}

TEST(file_is_made_when_asked)
{
	char path[64], uri[128];
	struct stat st;
	struct rig g;

	snprintf(path, sizeof(path), "/tmp/riser-blk-%d", (int)getpid());
	snprintf(uri, sizeof(uri), "file:%s?create=1M", path);
	SUB(rig_up(&g, 0, uri, RISER_BLK_RDWR));
	rig_down(&g);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, MiB);
	snprintf(uri, sizeof(uri), "file:%s?create=2M", path);
	SUB(rig_up(&g, 0, uri, RISER_BLK_RDWR)); /* it is there: left alone */
	rig_down(&g);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, MiB);
	unlink(path);
}

static unsigned many_done, many_bad;

static void many(struct riser_blk_io *io)
{
	many_done++;
	many_bad += io->status != RISER_BLK_OK;
	riser_blk_io_put(io);
}

/* More than a ring, of many elements each, at a time. */
static void deep(uint32_t ctx_flags)
{
	static uint8_t data[512 * 4096], back[512 * 4096];
	static struct iovec iov[512][64];
	struct riser_blk_channel *c;
	char path[] = "/tmp/riser-blk-XXXXXX";
	int fd = mkstemp(path);
	struct rig g;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, sizeof(data)), 0);
	fill(data, sizeof(data), 5);
	SUB(rig_up(&g, ctx_flags, path, RISER_BLK_RDWR));
	CHECK_EQ(riser_blk_channel_open(g.b, g.x, 512, &c, &err), 0);
	for (unsigned round = 0; round < 2; round++) {
		many_done = many_bad = 0;
		for (unsigned i = 0; i < 512; i++) {
			struct riser_blk_io *io = riser_blk_io_get(c);
			unsigned n = i % 64 + 1;
			uint8_t *at = (round ? back : data) + i * 4096;

			for (unsigned k = 0; k < n; k++)
				iov[i][k] = (struct iovec){ at + k * 40, 40 };
			iov[i][n - 1].iov_len = 4096 - (n - 1) * 40;
			io->op = round ? RISER_BLK_READ : RISER_BLK_WRITE;
			io->flags = (uint8_t)(i % 5 || round ? 0 : RISER_BLK_FUA);
			io->sector = i * 8;
			io->count = 8;
			io->iov = iov[i];
			io->iovcnt = n;
			io->iov_off = 0;
			io->done = many;
			riser_blk_submit(io);
		}
		while (many_done < 512)
			riser_exec_wait(g.x, UINT64_MAX);
		CHECK_EQ(many_bad, 0);
	}
	CHECK(!memcmp(data, back, sizeof(data)));
	riser_blk_channel_close(c);
	rig_down(&g);
	close(fd);
	unlink(path);
}

TEST(file_takes_more_than_a_ring_at_a_time)
{
	SUB(deep(0));
	SUB(deep(RISER_NO_IO_URING));
}

TEST(file_of_any_length_is_rounded_up)
{
	char path[] = "/tmp/riser-blk-XXXXXX";
	int fd = mkstemp(path);
	static uint8_t a[1024];
	struct stat st;
	struct rig g;

	CHECK(fd >= 0);
	fill(a, 700, 3);
	CHECK_EQ(write(fd, a, 700), 700);
	SUB(rig_up(&g, 0, path, RISER_BLK_RDWR));
	memset(a, 0xff, sizeof(a));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 2, a, 0), RISER_BLK_OK);
	CHECK_EQ(a[699], (uint8_t)(31 + 699 * 7 + 3));
	CHECK(all_zero(a + 700, 324));
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 2, 1, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 1, 1, a + 512, 0), RISER_BLK_OK);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 1024);
	/* Cut short by somebody else: an error, not zeroes. */
	CHECK_EQ(ftruncate(fd, 100), 0);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 2, a, 0), RISER_BLK_MEDIUM);
	rig_down(&g);
	close(fd);
	unlink(path);
}

TEST(read_only_is_refused_on_write)
{
	static uint8_t a[512];
	struct riser_blk_info info;
	struct rig g;

	SUB(rig_up(&g, 0, "mem:1M", 0));
	riser_blk_get_info(g.b, &info);
	CHECK(info.read_only);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_WRITE, 0, 1, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_DISCARD, 0, 1, a, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 1, a, 0), RISER_BLK_OK);
	rig_down(&g);
}

static void bad(const char *uri, int code, const char *says)
{
	struct riser_blk *b = NULL;
	struct riser *r;

	memset(&err, 0, sizeof(err));
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	CHECK_EQ(riser_blk_open(r, uri, 0, &b, &err), code);
	CHECK_HAS(err.text, says);
	CHECK_EQ(err.code, code);
	riser_free(r);
}

TEST(bad_uris_have_sentences)
{
	char dir[] = "/tmp/riser-blk-XXXXXX", pipe[64];

	CHECK(mkdtemp(dir) != NULL);
	snprintf(pipe, sizeof(pipe), "%s/pipe", dir);
	CHECK_EQ(mkfifo(pipe, 0600), 0);
	SUB(bad(pipe, -EINVAL, "neither")); /* and does not wait for a writer */
	unlink(pipe);
	rmdir(dir);
	SUB(bad("mems:1G", -EINVAL, "did you mean 'mem:'"));
	SUB(bad("mem:lots", -EINVAL, "not 'lots'"));
	SUB(bad("mem:1000", -EINVAL, "not a multiple"));
	SUB(bad("mem:0", -EINVAL, "0"));
	SUB(bad("mem:1M?blok=512", -EINVAL, "did you mean 'block'"));
	SUB(bad("mem:1M?block=1000", -EINVAL, "power of two"));
	SUB(bad("null:", -EINVAL, "null:1T"));
	SUB(bad("file:/nonexistent/file", -ENOENT, "/nonexistent/file"));
	SUB(bad("/tmp", -EINVAL, "neither"));
	SUB(bad("/dev/null", -EINVAL, "neither"));
	SUB(bad("file:/tmp/x?create=1M", -EINVAL, "writing"));
	SUB(bad("", -EINVAL, "empty"));
}

static unsigned completed;

static void count_done(struct riser_blk_io *io)
{
	completed++;
	riser_blk_io_put(io);
}

static void note_done(struct riser_blk_io *io)
{
	*(bool *)io->user = true;
}

/* An I/O comes back to the pool as it was left. */
TEST(a_synchronous_call_inherits_nothing)
{
	struct riser_blk_io *io;
	static uint8_t a[1024], b[1024];
	bool done = false;
	struct rig g;

	SUB(rig_up(&g, 0, "mem:1M", RISER_BLK_RDWR));
	fill(a, sizeof(a), 5);
	io = riser_blk_io_get(g.c);
	io->op = RISER_BLK_WRITE;
	io->flags = 0;
	io->sector = 0;
	io->count = 1;
	io->one = (struct iovec){ a, sizeof(a) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 512;
	io->done = note_done;
	io->user = &done;
	riser_blk_submit(io);
	while (!done)
		riser_exec_wait(g.x, UINT64_MAX);
	CHECK_EQ(io->status, RISER_BLK_OK);
	riser_blk_io_put(io);
	CHECK_EQ(riser_blk_rw(g.c, RISER_BLK_READ, 0, 1, b, 0), RISER_BLK_OK);
	CHECK(!memcmp(b, a + 512, 512));
	CHECK(all_zero(b + 512, 512));
	rig_down(&g);
}

TEST(completions_come_from_poll_alone)
{
	static uint8_t sector[512];
	struct riser_blk_stats stats;
	struct riser_blk_io *io;
	struct rig g;
	unsigned n = 0;

	SUB(rig_up(&g, 0, "null:1M", RISER_BLK_RDWR));
	completed = 0;
	while ((io = riser_blk_io_get(g.c))) {
		io->op = RISER_BLK_READ;
		io->sector = n % 3 ? 0 : UINT64_MAX; /* refusals too */
		io->count = 1;
		io->one = (struct iovec){ sector, sizeof(sector) };
		io->iov = &io->one;
		io->iovcnt = 1;
		io->done = count_done;
		riser_blk_submit(io);
		n++;
	}
	CHECK_EQ(n, 128);
	CHECK_EQ(completed, 0);
	CHECK_EQ(riser_exec_arm(g.x), 1);
	CHECK_EQ(riser_exec_poll(g.x), 128);
	CHECK_EQ(completed, 128);
	riser_blk_channel_stats(g.c, &stats);
	CHECK_EQ(stats.ios, 128);
	CHECK_EQ(stats.errors, 43);
	rig_down(&g);
}

static int inner, opened[3];

/* Another thread, which is in nobody's completion, may have a channel of the one that is. */
static void *open_elsewhere(void *arg)
{
	struct riser_blk_channel *c = NULL;
	struct rig *g = arg;
	int rc = riser_blk_channel_open(g->b, g->x, 1, &c, NULL);

	riser_blk_channel_close(c);
	return rc ? NULL : arg;
}

static void wait_inside(struct riser_blk_io *io)
{
	struct rig *g = io->user;
	struct riser_blk_channel *c;
	struct riser_blk *b;
	pthread_t thread;
	void *was = NULL;

	inner = riser_blk_rw(g->c, RISER_BLK_FLUSH, 0, 0, NULL, 0);
	opened[0] = riser_blk_channel_open(g->b, g->x, 1, &c, &err);
	if (!strstr(err.text, "inside a completion"))
		opened[0] = 0;
	opened[1] = riser_blk_open(g->r, "mem:1M", 0, &b, &err);
	if (!strstr(err.text, "inside a completion"))
		opened[1] = 0;
	if (!pthread_create(&thread, NULL, open_elsewhere, g))
		pthread_join(thread, &was);
	opened[2] = was == g ? 0 : -1;
	riser_blk_io_put(io);
	riser_blk_channel_close(g->c);
	g->c = NULL;
	completed++;
}

TEST(a_completion_may_close_the_channel_but_not_wait)
{
	struct riser_blk_io *io;
	struct rig g;

	SUB(rig_up(&g, 0, "mem:1M", 0));
	completed = 0;
	io = riser_blk_io_get(g.c);
	io->op = RISER_BLK_FLUSH;
	io->done = wait_inside;
	io->user = &g;
	riser_blk_submit(io);
	while (!completed)
		riser_exec_wait(g.x, UINT64_MAX);
	CHECK_EQ(inner, -EDEADLK);
	CHECK_EQ(opened[0], -EDEADLK);
	CHECK_EQ(opened[1], -EDEADLK);
	CHECK_EQ(opened[2], 0);
	riser_exec_poll(g.x); /* frees the channel */
	rig_down(&g);
}

TEST(schemes_are_listed)
{
	bool mem = false, file = false;
	const char *s;
	struct riser *r;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	for (unsigned i = 0; (s = riser_schemes(r, RISER_URI_BLOCK, i)); i++) {
		mem |= !strcmp(s, "mem");
		file |= !strcmp(s, "file");
	}
	CHECK(mem && file);
	riser_free(r);
}

TEST(statuses_have_words)
{
	char text[128];

	CHECK_STR(riser_blk_status_text(RISER_BLK_MEDIUM, 0x281, text, sizeof(text)),
		  "MEDIUM (0x281, Unrecovered Read Error)");
	CHECK_STR(riser_blk_status_text(RISER_BLK_OFFLINE, 0, text, sizeof(text)),
		  "OFFLINE (the device is gone)");
	CHECK_STR(riser_blk_status_text(RISER_BLK_INVALID, 0, text, sizeof(text)), "INVALID");
	CHECK_STR(riser_blk_status_text(-EDEADLK, 0, text, sizeof(text)), strerror(EDEADLK));
	CHECK_STR(riser_blk_status_text(99, 0, text, sizeof(text)), "UNKNOWN");
	CHECK_STR(riser_blk_status_text(RISER_BLK_MEDIUM, 0, text, 4), "MED");
}

TEST_MAIN(CASE(mem_reads_what_was_written), CASE(mem_with_4096_byte_blocks_refuses_less),
	  CASE(null_leaves_the_buffer_alone), CASE(file_reads_what_was_written),
	  CASE(file_without_io_uring), CASE(file_with_direct_io_bounces_what_is_not_aligned),
	  CASE(file_on_a_full_disk_says_nospc), CASE(file_is_made_when_asked),
	  CASE(file_takes_more_than_a_ring_at_a_time), CASE(file_of_any_length_is_rounded_up),
	  CASE(read_only_is_refused_on_write), CASE(bad_uris_have_sentences),
	  CASE(a_synchronous_call_inherits_nothing), CASE(completions_come_from_poll_alone),
	  CASE(a_completion_may_close_the_channel_but_not_wait), CASE(schemes_are_listed),
	  CASE(statuses_have_words))
