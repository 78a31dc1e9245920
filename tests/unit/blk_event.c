/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What happens to a device from outside: files that grow and shrink, devices that turn read-only.
 */
#include "blk_threads.h"

static struct watched it;

static void a_file(uint32_t context)
{
	char path[] = "/tmp/riser-event-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, MiB), 0);
	SUB(watched_begin(&it, path, context));
	SUB(watched_look(&it));
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 2040), RISER_BLK_OK);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 0);

	CHECK_EQ(ftruncate(fd, 2 * MiB + 100), 0);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 2048), RISER_BLK_INVALID);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 1);
	CHECK_EQ(watched_sectors(&it), 4097);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 4088), RISER_BLK_OK);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 4089), RISER_BLK_OK); /* its rounded end too */
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 4090), RISER_BLK_INVALID);

	/* Shorter, and in use: not so, but what is missing fails as a medium does. */
	CHECK_EQ(ftruncate(fd, MiB), 0);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), -EBUSY);
	CHECK_HAS(err.text, "became smaller, and is in use");
	CHECK_EQ(watched_sectors(&it), 4097);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 2048), RISER_BLK_MEDIUM);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 2040), RISER_BLK_OK);
	riser_blk_channel_close(it.c);
	it.c = NULL;
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 2);
	CHECK_EQ(watched_sectors(&it), 2048);

	riser_blk_on_event(it.b, NULL, NULL);
	CHECK_EQ(ftruncate(fd, 4 * MiB), 0);
	CHECK_EQ(riser_blk_refresh(it.b, NULL, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 2);
	CHECK_EQ(watched_sectors(&it), 8192);
	SUB(watched_finish(&it));
	close(fd);
	unlink(path);
}

TEST(a_file_grows_and_shrinks)
{
	SUB(a_file(0));
	SUB(a_file(RISER_NO_IO_URING));
	SUB(a_file(RISER_VIRTUAL_TIME));
}

TEST(what_never_changes_is_looked_at_in_vain)
{
	SUB(watched_begin(&it, "null:1G", 0));
	SUB(watched_look(&it));
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 0);
	SUB(watched_finish(&it));
}

/* A leaf that becomes what the test says. */
static struct blk_current becomes;
static int refresh_rc;

static int leaf_refresh(struct riser_blk *dev, struct riser_exec *exec, struct blk_current *now,
			struct riser_err *e)
{
	*now = becomes;
	return refresh_rc ? riser_err_set(e, refresh_rc, "the test says no") : 0;
}

static struct blk_ops ops;

/* 64 sectors, of which 32 are shown. */
static void leaf_up(uint32_t context, enum fix_mode mode)
{
	SUB(watched_begin(&it, NULL, context));
	it.b = fix_leaf_new(it.r, "leaf", 64, mode, 0);
	ops = fix_leaf_ops;
	ops.refresh = leaf_refresh;
	it.b->ops = &ops;
	it.b->sectors = 32;
	becomes = (struct blk_current){ 32, false };
	refresh_rc = 0;
	SUB(watched_look(&it));
}

static void turning_read_only(uint32_t context)
{
	SUB(leaf_up(context, FIX_AT_ONCE));
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 0), RISER_BLK_OK);
	becomes.read_only = true;
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_READ_ONLY], 1);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 0);
	CHECK_EQ(watched_rw(&it, RISER_BLK_WRITE, 0), RISER_BLK_INVALID);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(it.events[RISER_BLK_EVENT_READ_ONLY], 1);
	SUB(watched_finish(&it));
}

TEST(a_device_turns_read_only)
{
	SUB(turning_read_only(0));
	SUB(turning_read_only(RISER_NO_MEMBARRIER));
}

TEST(a_device_is_gone_when_looked_at)
{
	SUB(leaf_up(0, FIX_AT_ONCE));
	refresh_rc = -ENODEV;
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), -ENODEV);
	CHECK_EQ(it.events[RISER_BLK_EVENT_GONE], 1);
	refresh_rc = -EIO;
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), -EIO);
	CHECK_EQ(it.events[RISER_BLK_EVENT_GONE], 1);
	SUB(watched_finish(&it));
}

static void on_done(struct riser_blk_io *io)
{
	*(int *)io->user = io->status;
	riser_blk_io_put(io);
}

/* With I/O in flight that does not end: it goes on, and so does the next. */
TEST(a_refresh_does_not_wait_for_ever)
{
	struct riser_blk_io *io;
	int status = -1;

	SUB(leaf_up(RISER_VIRTUAL_TIME, FIX_HELD));
	io = riser_blk_io_get(it.c);
	io->op = RISER_BLK_READ;
	io->sector = 0;
	io->count = 8;
	io->one = (struct iovec){ it.buf, sizeof(it.buf) };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->done = on_done;
	io->user = &status;
	riser_blk_submit(io);
	becomes.sectors = 64;
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), -ETIMEDOUT);
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 0);
	((struct fix_leaf *)it.b->priv)->mode = FIX_AT_ONCE;
	while (status < 0)
		riser_exec_wait(it.x, TIME_NEVER);
	CHECK_EQ(status, RISER_BLK_OK);
	CHECK_EQ(riser_blk_refresh(it.b, it.x, &err), 0);
	CHECK_EQ(watched_rw(&it, RISER_BLK_READ, 56), RISER_BLK_OK);
	SUB(watched_finish(&it));
}

/* While four owners do I/O behind a hop and not, the leaf grows sector by sector. */
TEST(a_device_grows_under_load)
{
	static struct owner owners[4];
	struct riser_blk *tops[2];
	static struct kicker k;

	SUB(leaf_up(0, FIX_POSTED));
	SUB(kicker_start(&k));
	kicker_set(&k, 0, it.b);
	riser_blk_channel_close(it.c);
	it.c = NULL;
	it.b->sectors = becomes.sectors = 40;
	for (unsigned i = 0; i < 2; i++) {
		tops[i] = fix_linear_new(it.r, "top", it.b, 8, 32, true);
		fix_linear_set_home(tops[i], i);
	}
	for (unsigned i = 0; i < 4; i++)
		SUB(owner_start_on(&owners[i], it.r, tops[i % 2]));
	while (becomes.sectors < 64) {
		uint64_t ios = load_relaxed(&owners[becomes.sectors % 4].ios);

		becomes.sectors++;
		CHECK_EQ(riser_blk_refresh(it.b, NULL, &err), 0);
		while (load_relaxed(&owners[(becomes.sectors - 1) % 4].ios) < ios + 10)
			sched_yield();
	}
	CHECK_EQ(it.events[RISER_BLK_EVENT_RESIZED], 24);
	for (unsigned i = 0; i < 4; i++)
		SUB(owner_stop(&owners[i]));
	kicker_stop(&k);
	for (unsigned i = 0; i < 2; i++)
		riser_blk_close(tops[i]);
	SUB(watched_finish(&it));
}

TEST_MAIN(CASE(a_file_grows_and_shrinks), CASE(what_never_changes_is_looked_at_in_vain),
	  CASE(a_device_turns_read_only), CASE(a_device_is_gone_when_looked_at),
	  CASE(a_refresh_does_not_wait_for_ever), CASE(a_device_grows_under_load))
