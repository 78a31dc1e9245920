/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A virtio disk with two owners in threads of their own, which is reset again and again. */
#include "vblk_device.h"
#include <pthread.h>
#include <riser/util.h>

#define RESETS 4

static struct riser *r;
static struct riser_blk *b;
static struct fake *f;
static pthread_mutex_t device = PTHREAD_MUTEX_INITIALIZER;
static unsigned lost;        /* atomic: writes whose outcome is not known */
static unsigned bad, resets; /* atomic */

/* The device is one thread's at a time. */
static int pump(struct virtio_dev *d, uint64_t *next)
{
	int n;

	*next = TIME_NEVER;
	if (pthread_mutex_trylock(&device))
		return 0;
	n = fake_pump(d, next);
	pthread_mutex_unlock(&device);
	return n;
}

static int status_set(struct virtio_dev *d, uint8_t status)
{
	int rc;

	pthread_mutex_lock(&device);
	rc = fake_status_set(d, status);
	pthread_mutex_unlock(&device);
	return rc;
}

static int status_get(struct virtio_dev *d)
{
	int status;

	pthread_mutex_lock(&device);
	status = fake_status_get(d);
	pthread_mutex_unlock(&device);
	return status;
}

static int queue_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
		       struct virtio_notify *notify)
{
	int rc;

	pthread_mutex_lock(&device);
	rc = fake_queue_start(d, index, l, notify);
	pthread_mutex_unlock(&device);
	return rc;
}

static void notify(struct virtio_dev *d, unsigned index, uint32_t value)
{
}

/* Each owner has sectors of his own, and finds what he wrote. */
static void *owner(void *arg)
{
	uint64_t first = arg ? FAKE_SECTORS / 2 : 0;
	struct riser_blk_channel *c;
	struct riser_exec *x;
	struct riser_err err;
	void *buf, *back;

	if (riser_exec_new(r, &x, &err) || riser_blk_channel_open(b, x, 0, &c, &err) ||
	    riser_blk_buf_alloc(c, 4096, &buf, &err) || riser_blk_buf_alloc(c, 4096, &back, &err))
		abort();
	for (unsigned i = 0; load_relaxed(&resets) < RESETS; i++) {
		uint64_t at = first + i % 100 * 8;
		int rc;

		memset(buf, (int)i, 4096);
		rc = riser_blk_rw(c, RISER_BLK_WRITE, at, 8, buf, 0);
		if (rc == RISER_BLK_UNKNOWN_OUTCOME)
			__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
		else if (rc || riser_blk_rw(c, RISER_BLK_READ, at, 8, back, 0) ||
			 memcmp(buf, back, 4096))
			__atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
		if (!arg && i % 500 == 250) {
			pthread_mutex_lock(&device);
			f->status |= RISER_VIRTIO_STATUS_NEEDS_RESET;
			store_relaxed(&resets, f->resets);
			pthread_mutex_unlock(&device);
		}
	}
	riser_blk_buf_free(c, buf, 4096);
	riser_blk_buf_free(c, back, 4096);
	riser_blk_channel_close(c);
	riser_exec_free(x);
	return NULL;
}

TEST(owners_in_threads_outlive_resets)
{
	static struct virtio_transport t;
	struct riser_err err;
	pthread_t threads[2];
	struct vblk *d;

	t = fake_transport;
	t.pump = pump;
	t.status_set = status_set;
	t.status_get = status_get;
	t.queue_start = queue_start;
	t.notify = notify;
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	f = fake_new(r);
	f->dev.t = &t;
	CHECK_EQ(vblk_new(&f->dev, false, 5 * NS_PER_S, &d, &err), 0);
	CHECK_EQ(blk_virtio_new(d, &b, &err), 0);
	for (uintptr_t i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, owner, (void *)i), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("# %u resets, %u writes lost\n", f->resets, lost);
	CHECK_EQ(bad, 0);
	riser_blk_close(b);
	riser_free(r);
}

TEST_MAIN(CASE(owners_in_threads_outlive_resets))
