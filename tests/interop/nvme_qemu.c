/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The driver on QEMU's NVMe device, where the other side of the device can be seen: what it was
 * told to be, the file behind it, its faults, its death. (tests/model/nvme.c runs on it too.)
 *
 * A disk is a memfd of this process, which QEMU opens by /proc/PID/fd/N.
 */
#include "../tap.h"
#include "qemu.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <riser/nvme.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define DISK_SIZE   (8u << 20)
#define BUF_SIZE    (1u << 20)
#define URI_SIZE    1024

#define SUCCESS     0
#define READ_FAILED RISER_NVME_ST_READ_ERROR

static struct riser *r;
static struct riser_exec *x;
static struct riser_nvme *c;
static struct riser_nvme_ns *ns;
static struct riser_nvme_qpair *q;
static struct riser_nvme_ns_info nsi;
static struct riser_err err;
static uint8_t *buf;

static void print_log(void *ctx, enum riser_log_level level, const char *line)
{
	printf("# %s\n", line);
}

static int new_disk(char *path, size_t len)
{
	int fd = memfd_create("test-disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		return -1;
	snprintf(path, len, "/proc/%d/fd/%d", (int)getpid(), fd);
	return fd;
}

/* Open a controller, its namespace @nsid, a queue pair and a buffer. */
static void begin(const char *uri, uint32_t nsid, const struct riser_nvme_opts *more,
		  uint32_t qpair_flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .log = print_log };
	struct riser_nvme_opts nopts = { .size = sizeof(nopts) };
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .flags = qpair_flags };

	if (more)
		nopts = *more;
	nopts.flags |= RISER_NVME_RDWR;
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	if (riser_nvme_open(r, uri, &nopts, &c, &err) ||
	    riser_nvme_ns_open(c, x, nsid, &ns, &err) ||
	    riser_nvme_qpair_open(c, x, &qopts, &q, &err))
		FAIL("%s: %s", uri, err.text);
	riser_nvme_ns_get_info(ns, &nsi);
	CHECK_EQ(riser_nvme_buf_alloc(c, BUF_SIZE, (void **)&buf, &err), 0);
}

static void release(void)
{
	riser_nvme_buf_free(c, buf, BUF_SIZE);
	riser_nvme_qpair_close(q);
	riser_nvme_ns_close(ns);
	riser_nvme_close(c);
	riser_exec_free(x);
	riser_free(r);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

/* A healthy device: nothing was sent twice, aborted or late. */
static void finish(void)
{
	struct riser_nvme_info info;

	riser_nvme_get_info(c, &info);
	printf("# retries %llu, aborts %llu, timeouts %llu, stray %llu\n",
	       (unsigned long long)info.retries, (unsigned long long)info.aborts,
	       (unsigned long long)info.timeouts, (unsigned long long)info.stray);
	CHECK_EQ(info.retries, 0);
	CHECK_EQ(info.aborts, 0);
	CHECK_EQ(info.timeouts, 0);
	CHECK_EQ(info.stray, 0);
	CHECK(!info.gone);
	SUB(release());
}

struct io {
	struct riser_nvme_req req;
	bool done;
	uint32_t status;
};

static void io_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct io *io = (struct io *)req;

	io->done = true;
	io->status = status;
}

static int64_t wait_io(struct io *io, int rc)
{
	if (rc)
		return rc;
	while (!io->done)
		riser_exec_wait(x, UINT64_MAX);
	io->done = false;
	return io->status & (RISER_NVME_HOST | RISER_NVME_ST_MASK | 0xff);
}

static int64_t do_read(struct riser_nvme_ns *from, void *to, uint64_t lba, uint32_t count)
{
	struct io io = { .req.done = io_done };

	return wait_io(&io, riser_nvme_read(q, from, &io.req, to, lba, count));
}

static int64_t do_write(struct riser_nvme_ns *to, void *from, uint64_t lba, uint32_t count)
{
	struct io io = { .req.done = io_done };

	return wait_io(&io, riser_nvme_write(q, to, &io.req, from, lba, count));
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* Through the device, then in its file; and in the file, then through the device. */
static void both_ways(struct riser_nvme_ns *n, int disk, uint32_t seed)
{
	static uint8_t want[64 << 10], got[64 << 10];
	struct riser_nvme_ns_info info;
	struct io io = { .req.done = io_done };
	off_t at;
	uint32_t count;

	riser_nvme_ns_get_info(n, &info);
	CHECK_EQ(info.blocks * info.block_size, DISK_SIZE);
	count = (uint32_t)(sizeof(want) / info.block_size);
	at = 100 * (off_t)info.block_size;

	fill(buf, sizeof(want), seed);
	CHECK_EQ(do_write(n, buf, 100, count), SUCCESS);
	CHECK_EQ(wait_io(&io, riser_nvme_flush(q, n, &io.req)), SUCCESS);
	CHECK_EQ(pread(disk, got, sizeof(got), at), sizeof(got));
	CHECK_EQ(memcmp(got, buf, sizeof(got)), 0);
	/* Not a byte more. */
	CHECK_EQ(pread(disk, got, 1, at - 1), 1);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(pread(disk, got, 1, at + (off_t)sizeof(want)), 1);
	CHECK_EQ(got[0], 0);

	at = (off_t)(info.blocks - count) * info.block_size;
	fill(want, sizeof(want), seed + 1);
	CHECK_EQ(pwrite(disk, want, sizeof(want), at), sizeof(want));
	memset(buf, 0, sizeof(want));
	CHECK_EQ(do_read(n, buf, info.blocks - count, count), SUCCESS);
	CHECK_EQ(memcmp(buf, want, sizeof(want)), 0);
}

TEST(identify_is_what_qemu_was_told)
{
	char path[64], uri[URI_SIZE], sn[21];
	const struct riser_nvme_id_ctrl *id;
	struct riser_nvme_info info;
	int disk;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	snprintf(uri, sizeof(uri),
		 "qtest:spawn?device=nvme,serial=QEMU-42,mdts=5,max_ioqpairs=7,aerl=5,"
		 "cmb_size_mb=0,vsl=6&drive=%s",
		 path);
	SUB(begin(uri, 0, NULL, 0));
	id = riser_nvme_id(c);
	riser_nvme_get_info(c, &info);
	snprintf(sn, sizeof(sn), "%-20s", "QEMU-42");
	CHECK_EQ(memcmp(id->sn, sn, 20), 0);
	CHECK_EQ(memcmp(id->mn, "QEMU NVMe Ctrl                          ", 40), 0);
	CHECK_EQ(riser_le16_get(id->vid), 0x1b36);
	CHECK_EQ(id->mdts, 5);
	CHECK_EQ(info.max_transfer, 4096 << 5);
	CHECK_EQ(info.max_qpairs, 7);
	CHECK_EQ(info.vectors > 0, true);
	CHECK_EQ(id->aerl, 5);
	CHECK_EQ(info.vs, 0x10400);
	CHECK_EQ(nsi.nsid, 1);
	CHECK_EQ(nsi.block_size, 512);
	CHECK_EQ(nsi.blocks, DISK_SIZE / 512);
	CHECK_EQ(nsi.max_blocks, (4096 << 5) / 512);
	CHECK_EQ(nsi.max_range, INT32_MAX / 512); /* its block layer's own limit */
	SUB(finish());
	close(disk);
}

TEST(data_is_in_the_file)
{
	char path[64], uri[URI_SIZE];
	int disk;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	snprintf(uri, sizeof(uri), "qtest:spawn?device=nvme&drive=%s", path);
	SUB(begin(uri, 0, NULL, 0));
	SUB(both_ways(ns, disk, 1));
	SUB(finish());
	close(disk);
}

TEST(blocks_of_4096_bytes)
{
	char path[64], uri[URI_SIZE];
	int disk;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	snprintf(
		uri, sizeof(uri),
		"qtest:spawn?device=nvme,logical_block_size=4096,physical_block_size=4096&drive=%s",
		path);
	SUB(begin(uri, 0, NULL, 0));
	CHECK_EQ(nsi.block_size, 4096);
	CHECK_EQ(nsi.blocks, DISK_SIZE / 4096);
	SUB(both_ways(ns, disk, 2));
	SUB(finish());
	close(disk);
}

TEST(two_namespaces)
{
	char small[64], large[64], uri[URI_SIZE];
	struct riser_nvme_ns *second, *none;
	struct riser_nvme_ns_info info;
	int disk[2];

	NEED_QEMU();
	disk[0] = new_disk(small, sizeof(small));
	disk[1] = new_disk(large, sizeof(large));
	snprintf(
		uri, sizeof(uri),
		"qtest:spawn?device=nvme&device2=nvme-ns,nsid=1&drive2=%s&"
		"device3=nvme-ns,nsid=5,logical_block_size=4096,physical_block_size=4096&drive3=%s",
		small, large);
	SUB(begin(uri, 1, NULL, 0));
	CHECK_EQ(nsi.block_size, 512);
	CHECK_EQ(riser_nvme_ns_open(c, x, 5, &second, &err), 0);
	riser_nvme_ns_get_info(second, &info);
	CHECK_EQ(info.nsid, 5);
	CHECK_EQ(info.block_size, 4096);
	SUB(both_ways(ns, disk[0], 3));
	SUB(both_ways(second, disk[1], 4));
	/* Which one? And one that is not there. */
	CHECK_EQ(riser_nvme_ns_open(c, x, 0, &none, &err), -ENODEV);
	CHECK_HAS(err.text, "1");
	CHECK_HAS(err.text, "5");
	CHECK_EQ(riser_nvme_ns_open(c, x, 2, &none, &err), -ENODEV);
	riser_nvme_ns_close(second);
	SUB(finish());
	close(disk[0]);
	close(disk[1]);
}

/* An owner that sleeps on its executor's descriptor between any two commands. */
struct sleeper {
	pthread_t thread;
	pthread_barrier_t *all_open;
	uint64_t lba;
	unsigned woken, bad;
	int vector;
};

static void sleep_for(struct riser_exec *mine, struct io *io, struct sleeper *s)
{
	while (!io->done) {
		struct pollfd pfd = { .fd = riser_exec_fd(mine), .events = POLLIN };
		uint64_t until, now;

		if (riser_exec_poll(mine) || io->done)
			continue;
		if (riser_exec_arm(mine) > 0 || riser_exec_poll(mine))
			continue;
		until = riser_exec_next_deadline(mine);
		now = riser_now(r);
		if (poll(&pfd, 1, until > now ? (int)((until - now) / 1000000) + 1 : 0) == 1)
			s->woken++;
	}
	s->bad += io->status != SUCCESS;
	io->done = false;
}

/* Write ten blocks and read each back. */
static void sleep_through(struct sleeper *s, struct riser_exec *own, struct riser_nvme_qpair *mine,
			  uint8_t *mem, uint64_t lba)
{
	struct io io = { .req.done = io_done };
	uint8_t want[4096];

	for (uint64_t end = lba + 80; lba < end && !s->bad; lba += 8) {
		fill(want, sizeof(want), (uint32_t)lba);
		memcpy(mem, want, sizeof(want));
		s->bad += riser_nvme_write(mine, ns, &io.req, mem, lba, 8) != 0;
		sleep_for(own, &io, s);
		memset(mem, 0, sizeof(want));
		s->bad += riser_nvme_read(mine, ns, &io.req, mem, lba, 8) != 0;
		sleep_for(own, &io, s);
		s->bad += memcmp(mem, want, sizeof(want)) != 0;
	}
}

static void *sleeping_owner(void *arg)
{
	struct sleeper *s = arg;
	struct riser_nvme_qpair_opts opts = { .size = sizeof(opts), .flags = RISER_NVME_QPAIR_IRQ };
	struct riser_nvme_qpair_info info = { .vector = -1 };
	struct riser_nvme_qpair *mine = NULL;
	struct riser_exec *own = NULL;
	uint8_t *mem = NULL;

	s->bad = riser_exec_new(r, &own, NULL) ||
		 riser_nvme_qpair_open(c, own, &opts, &mine, NULL) ||
		 riser_nvme_buf_alloc(c, 4096, (void **)&mem, NULL);
	if (mine)
		riser_nvme_qpair_get_info(mine, &info);
	s->vector = info.vector;
	sleep_through(s, own, mine, mem, s->lba);
	pthread_barrier_wait(s->all_open);
	sleep_through(s, own, mine, mem, s->lba + 80);
	riser_nvme_buf_free(c, mem, 4096);
	riser_nvme_qpair_close(mine);
	riser_exec_free(own);
	return NULL;
}

TEST(owners_sleep_until_interrupted)
{
	struct sleeper s[3];
	pthread_barrier_t all_open;
	char path[64], uri[URI_SIZE];
	int disk;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	/* So slow that nobody finds his command done before he sleeps. */
	snprintf(uri, sizeof(uri),
		 "qtest:spawn?device=nvme&drive=file=%s,throttling.iops-total=200", path);
	SUB(begin(uri, 0, NULL, RISER_NVME_QPAIR_IRQ));
	/* The queues come and go while the others' vectors are in use. */
	pthread_barrier_init(&all_open, NULL, 3);
	for (unsigned i = 0; i < 3; i++) {
		s[i] = (struct sleeper){ .all_open = &all_open, .lba = 2048 * i };
		CHECK_EQ(pthread_create(&s[i].thread, NULL, sleeping_owner, &s[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(s[i].thread, NULL), 0);
	pthread_barrier_destroy(&all_open);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(s[i].bad, 0);
		CHECK(s[i].vector > 0);
		CHECK(s[i].woken > 0);
		for (unsigned k = 0; k < i; k++)
			CHECK(s[k].vector != s[i].vector);
	}
	SUB(finish());
	close(disk);
}

TEST(a_sector_that_cannot_be_read)
{
	char path[64], uri[URI_SIZE];
	int disk;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	/* Sector 64 of the file, at every read. */
	snprintf(uri, sizeof(uri),
		 "qtest:spawn?device=nvme&drive=driver=raw,file.driver=blkdebug,"
		 "file.image.driver=file,file.image.filename=%s,"
		 "file.inject-error.0.event=read_aio,file.inject-error.0.errno=5,"
		 "file.inject-error.0.sector=64",
		 path);
	SUB(begin(uri, 0, NULL, 0));
	fill(buf, 65536, 5);
	CHECK_EQ(do_write(ns, buf, 0, 128), SUCCESS);
	CHECK_EQ(do_read(ns, buf, 64, 1), READ_FAILED);
	CHECK_EQ(do_read(ns, buf, 56, 16), READ_FAILED);
	CHECK_EQ(do_read(ns, buf, 0, 64), SUCCESS);
	CHECK_EQ(do_read(ns, buf, 65, 63), SUCCESS);
	CHECK_STR(riser_nvme_status_text(READ_FAILED), "Unrecovered Read Error");
	SUB(finish());
	close(disk);
}

#define IN_FLIGHT 16

/*
 * A slow disk, so that commands are in flight when QEMU is killed: all of them end, reads as
 * OFFLINE, writes as UNKNOWN, and so does what comes later.
 */
static void killed(uint32_t qpair_flags)
{
	struct riser_nvme_opts opts = { .size = sizeof(opts), .io_timeout_ms = 2000 };
	char path[64], uri[URI_SIZE];
	struct io io[IN_FLIGHT];
	struct riser_nvme_info info;
	unsigned offline = 0, unknown = 0, success = 0;
	int disk, rc;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	snprintf(uri, sizeof(uri), "qtest:spawn?device=nvme&drive=file=%s,throttling.iops-total=1",
		 path);
	SUB(begin(uri, 0, &opts, qpair_flags));
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		io[i] = (struct io){ .req.done = io_done };
		rc = i & 1 ? riser_nvme_write(q, ns, &io[i].req, buf + 4096 * i, 8 * i, 8)
			   : riser_nvme_read(q, ns, &io[i].req, buf + 4096 * i, 8 * i, 8);
		CHECK_EQ(rc, 0);
	}
	riser_nvme_qpair_kick(q);
	riser_exec_poll(x);
	CHECK(qemu_child() > 0);
	CHECK_EQ(kill(qemu_child(), SIGKILL), 0);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		while (!io[i].done)
			riser_exec_wait(x, UINT64_MAX);
		success += io[i].status == SUCCESS;
		offline += io[i].status == RISER_NVME_HOST_OFFLINE;
		unknown += io[i].status == RISER_NVME_HOST_UNKNOWN;
		if (io[i].status == RISER_NVME_HOST_OFFLINE)
			CHECK_EQ(i & 1, 0);
		if (io[i].status == RISER_NVME_HOST_UNKNOWN)
			CHECK_EQ(i & 1, 1);
	}
	printf("# %u done, %u offline, %u unknown\n", success, offline, unknown);
	CHECK_EQ(success + offline + unknown, IN_FLIGHT);
	CHECK(offline > 0 && unknown > 0);
	riser_nvme_get_info(c, &info);
	CHECK(info.gone);
	/* The queue ends at a poll; from then on nothing is taken. */
	while ((rc = riser_nvme_read(q, ns, &io[0].req, buf, 0, 1)) == -EAGAIN)
		riser_exec_poll(x);
	CHECK_EQ(rc, -ENODEV);
	SUB(release());
	close(disk);
}

/*
 * A disk that serves ten requests a second: most of them are overdue. QEMU refuses to abort; what
 * the driver does instead must neither lose a command nor data.
 */
TEST(a_slow_disk)
{
	struct riser_nvme_opts opts = { .size = sizeof(opts), .io_timeout_ms = 500 };
	static uint8_t got[4096], want[4096];
	struct io io[IN_FLIGHT];
	struct riser_nvme_info info;
	char path[64], uri[URI_SIZE];
	int disk, rc;

	NEED_QEMU();
	disk = new_disk(path, sizeof(path));
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		fill(want, sizeof(want), i);
		CHECK_EQ(pwrite(disk, want, sizeof(want), 4096 * i), sizeof(want));
	}
	snprintf(uri, sizeof(uri), "qtest:spawn?device=nvme&drive=file=%s,throttling.iops-total=10",
		 path);
	SUB(begin(uri, 0, &opts, 0));
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		uint8_t *p = buf + 4096 * i;

		io[i] = (struct io){ .req.done = io_done };
		fill(p, 4096, i & 1 ? 100 + i : 0);
		rc = i & 1 ? riser_nvme_write(q, ns, &io[i].req, p, 8 * i, 8)
			   : riser_nvme_read(q, ns, &io[i].req, p, 8 * i, 8);
		CHECK_EQ(rc, 0);
	}
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		while (!io[i].done)
			riser_exec_wait(x, UINT64_MAX);
	io[0].done = false;
	riser_nvme_get_info(c, &info);
	printf("# retries %llu, aborts %llu, timeouts %llu\n", (unsigned long long)info.retries,
	       (unsigned long long)info.aborts, (unsigned long long)info.timeouts);
	CHECK(info.aborts > 0);
	CHECK(!info.gone);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		CHECK(io[i].status == SUCCESS ||
		      (i & 1 && io[i].status == RISER_NVME_HOST_UNKNOWN));
		CHECK_EQ(pread(disk, got, sizeof(got), 4096 * i), sizeof(got));
		fill(want, sizeof(want), i & 1 ? 100 + i : i);
		/* An unknown outcome is the old data or the new. */
		if (io[i].status == RISER_NVME_HOST_UNKNOWN && memcmp(got, want, sizeof(want)))
			fill(want, sizeof(want), i);
		CHECK_EQ(memcmp(got, want, sizeof(want)), 0);
		if (!(i & 1))
			CHECK_EQ(memcmp(buf + 4096 * i, want, sizeof(want)), 0);
	}
	/* And it goes on, once the queue was made again. */
	while ((rc = riser_nvme_read(q, ns, &io[0].req, buf, 0, 8)) == -EAGAIN)
		riser_exec_wait(x, UINT64_MAX);
	CHECK_EQ(wait_io(&io[0], rc), SUCCESS);
	SUB(release());
	close(disk);
}

TEST(killed_while_polled)
{
	killed(0);
}

TEST(killed_while_the_owner_sleeps)
{
	killed(RISER_NVME_QPAIR_IRQ);
}

TEST_MAIN(CASE(identify_is_what_qemu_was_told), CASE(data_is_in_the_file),
	  CASE(blocks_of_4096_bytes), CASE(two_namespaces), CASE(owners_sleep_until_interrupted),
	  CASE(a_sector_that_cannot_be_read), CASE(a_slow_disk), CASE(killed_while_polled),
	  CASE(killed_while_the_owner_sleeps))
