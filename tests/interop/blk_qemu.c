/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Namespaces of QEMU's NVMe as block devices: its errors, its death, its own memory. */
#include "qemu.h"
#include <errno.h>
#include <poll.h>
#include <riser/blk.h>
#include <riser/nvme_spec.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define DISK_SIZE (8u << 20)
#define BUF_SIZE  (256u << 10)
#define URI_SIZE  1024

static struct riser *r;
static struct riser_exec *x;
static struct riser_blk *b;
static struct riser_blk_channel *c;
static struct riser_err err;
static uint8_t *buf;
static int disk;

static void print_log(void *ctx, enum riser_log_level level, const char *line)
{
	printf("# %s\n", line);
}

/* A disk of this process, and the URI of a controller with it: @before, its path, @after. */
static void begin(const char *before, const char *after)
{
	struct riser_opts opts = { .size = sizeof(opts), .log = print_log };
	char uri[URI_SIZE];

	disk = memfd_create("test-disk", MFD_CLOEXEC);
	CHECK(disk >= 0);
	CHECK_EQ(ftruncate(disk, DISK_SIZE), 0);
	snprintf(uri, sizeof(uri), "%s/proc/%d/fd/%d%s", before, (int)getpid(), disk, after);
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	if (riser_blk_open(r, uri, RISER_BLK_RDWR, &b, &err) ||
	    riser_blk_channel_open(b, x, 0, &c, &err))
		FAIL("%s: %s", uri, err.text);
	CHECK_EQ(riser_blk_buf_alloc(c, BUF_SIZE, (void **)&buf, &err), 0);
}

static void end(void)
{
	riser_blk_buf_free(c, buf, BUF_SIZE);
	riser_blk_channel_close(c);
	riser_blk_close(b);
	riser_exec_free(x);
	riser_free(r);
	close(disk);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

static void statistics(uint64_t bounces, uint64_t errors)
{
	struct riser_blk_stats stats;

	riser_blk_channel_stats(c, &stats);
	printf("# retries %llu\n", (unsigned long long)stats.retries);
	CHECK_EQ(stats.bounces, bounces);
	CHECK_EQ(stats.errors, errors);
	CHECK_EQ(stats.retries, 0);
}

struct result {
	unsigned left;
	unsigned by_status[RISER_BLK_INVALID + 1];
	uint32_t raw;
};

static void count(struct riser_blk_io *io)
{
	struct result *res = io->user;

	res->left--;
	res->by_status[io->status]++;
	res->raw = io->raw_status;
	riser_blk_io_put(io);
}

static void submit(struct result *res, uint8_t op, uint64_t sector, uint32_t n)
{
	struct riser_blk_io *io = riser_blk_io_get(c);

	CHECK(io != NULL);
	io->op = op;
	io->flags = 0;
	io->sector = sector;
	io->count = n;
	io->one = (struct iovec){ buf + sector * 512 % BUF_SIZE, n * 512 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = count;
	io->user = res;
	res->left++;
	riser_blk_submit(io);
}

static void wait_for(struct result *res)
{
	while (res->left)
		riser_exec_wait(x, UINT64_MAX);
}

TEST(memory_of_the_device_and_other_memory)
{
	static uint8_t mine[65536], back[65536];

	NEED_QEMU();
	SUB(begin("qtest:spawn?device=nvme&drive=", ""));
	CHECK(riser_blk_is_safe_to_destroy(b));
	/* What riser_blk_buf_alloc() gives, QEMU reaches: no copies. */
	fill(buf, sizeof(mine), 1);
	memcpy(mine, buf, sizeof(mine));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 8, 128, buf, 0), RISER_BLK_OK);
	SUB(statistics(0, 0));
	CHECK_EQ(pread(disk, back, sizeof(back), 8 * 512), sizeof(back));
	CHECK_EQ(memcmp(back, mine, sizeof(mine)), 0);
	/* Ordinary memory it does not: copied, and right. */
	memset(back, 0, sizeof(back));
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 8, 128, back, 0), RISER_BLK_OK);
	CHECK_EQ(memcmp(back, mine, sizeof(mine)), 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 1024, 128, mine, RISER_BLK_FUA), RISER_BLK_OK);
	CHECK_EQ(pread(disk, back, sizeof(back), 1024 * 512), sizeof(back));
	CHECK_EQ(memcmp(back, mine, sizeof(mine)), 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	SUB(end());
}

TEST(a_read_error_is_a_medium_error)
{
	struct result res = { .left = 0 };

	NEED_QEMU();
	SUB(begin("qtest:spawn?device=nvme&drive=driver=raw,file.driver=blkdebug,"
		  "file.image.driver=file,file.image.filename=",
		  ",file.inject-error.0.event=read_aio,file.inject-error.0.errno=5,"
		  "file.inject-error.0.sector=64"));
	SUB(submit(&res, RISER_BLK_READ, 64, 8));
	wait_for(&res);
	CHECK_EQ(res.by_status[RISER_BLK_MEDIUM], 1);
	CHECK_EQ(res.raw, RISER_NVME_ST_READ_ERROR);
	CHECK_EQ(res.raw, 0x281);
	SUB(submit(&res, RISER_BLK_READ, 72, 8));
	wait_for(&res);
	CHECK_EQ(res.by_status[RISER_BLK_OK], 1);
	CHECK_EQ(res.raw, 0);
	SUB(statistics(0, 1));
	SUB(end());
}

TEST(a_namespace_of_two)
{
	static uint8_t back[65536];
	struct riser_blk_info info;

	NEED_QEMU();
	/* The other one is in memory, and as large as 512 MiB. */
	SUB(begin("qtest:spawn?device=nvme&size=512M&device2=nvme-ns,nsid=1&"
		  "device3=nvme-ns,nsid=2,logical_block_size=4096,physical_block_size=4096&"
		  "drive3=",
		  "&nsid=2"));
	riser_blk_get_info(b, &info);
	CHECK_EQ(info.sectors, DISK_SIZE / 512);
	CHECK_EQ(info.logical_block, 4096);
	fill(buf, sizeof(back), 2);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 16, 128, buf, 0), RISER_BLK_OK);
	CHECK_EQ(pread(disk, back, sizeof(back), 16 * 512), sizeof(back));
	CHECK_EQ(memcmp(back, buf, sizeof(back)), 0);
	/* Half a block. */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 4, 8, buf, 0), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, DISK_SIZE / 512, 8, buf, 0), RISER_BLK_INVALID);
	SUB(end());
}

/* No deadline is looked at: only its interrupt ends a wait. */
TEST(the_owner_sleeps_until_it_is_interrupted)
{
	struct pollfd pfd = { .events = POLLIN };
	struct result res = { .left = 0 };
	unsigned slept = 0, i;

	NEED_QEMU();
	SUB(begin("qtest:spawn?device=nvme&irq=1&drive=file=", ",throttling.iops-total=50"));
	pfd.fd = riser_exec_fd(x);
	for (i = 0; i < 20 || !slept; i++) {
		SUB(submit(&res, i % 2 ? RISER_BLK_READ : RISER_BLK_WRITE, 8 * (i % 16), 8));
		while (res.left) {
			int armed = riser_exec_poll(x) > 0 ? 1 : riser_exec_arm(x);

			if (armed > 0)
				continue;
			CHECK_EQ(armed, 0);
			CHECK_EQ(poll(&pfd, 1, 60000), 1);
			slept++;
		}
	}
	CHECK_EQ(res.by_status[RISER_BLK_OK], i);
	SUB(statistics(0, 0));
	SUB(end());
}

TEST(death_ends_every_io)
{
	struct result reads = { .left = 0 }, writes = { .left = 0 };

	NEED_QEMU();
	SUB(begin("qtest:spawn?device=nvme&drive=file=", ",throttling.iops-total=1"));
	for (unsigned i = 0; i < 16; i++) {
		SUB(submit(&reads, RISER_BLK_READ, i * 16, 8));
		SUB(submit(&writes, RISER_BLK_WRITE, i * 16 + 8, 8));
	}
	riser_exec_poll(x);
	CHECK(qemu_child() > 0);
	CHECK_EQ(kill(qemu_child(), SIGKILL), 0);
	wait_for(&reads);
	wait_for(&writes);
	CHECK_EQ(reads.by_status[RISER_BLK_OK] + reads.by_status[RISER_BLK_OFFLINE], 16);
	/* A write whose doorbell was never rung did not happen. */
	CHECK_EQ(writes.by_status[RISER_BLK_OK] + writes.by_status[RISER_BLK_OFFLINE] +
			 writes.by_status[RISER_BLK_UNKNOWN_OUTCOME],
		 16);
	CHECK(reads.by_status[RISER_BLK_OFFLINE] > 0);
	CHECK(writes.by_status[RISER_BLK_UNKNOWN_OUTCOME] > 0);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_READ, 0, 8, buf, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_WRITE, 0, 8, buf, 0), RISER_BLK_OFFLINE);
	SUB(end());
}

TEST_MAIN(CASE(memory_of_the_device_and_other_memory), CASE(a_read_error_is_a_medium_error),
	  CASE(a_namespace_of_two), CASE(the_owner_sleeps_until_it_is_interrupted),
	  CASE(death_ends_every_io))
