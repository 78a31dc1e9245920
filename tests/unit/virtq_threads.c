/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Virtqueues against a device in another thread, both of which sleep whenever they may: nothing is
 * lost, nothing doubled, and nobody sleeps through what he waits for.
 */
#include "../tap.h"
#include "virtq_fake.h"
#include <poll.h>
#include <pthread.h>

#define CHAINS   20000u
#define FLIGHTS  128
#define HANDS    32
#define SLEEP_MS 60000 /* longer than any thread is kept from running */

/* A chain; its pieces' addresses are this one's. */
struct flight {
	bool there;
	uint32_t len; /* that the device says */
	struct flight *next;
};

static struct fake f;
static struct virtq *q;
static struct riser_err err;
static struct flight flights[FLIGHTS], *idle;
static int kick_fd, call_fd;
static uint32_t done, overslept;

static unsigned roll(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((*seed >> 33) % n);
}

static void nap(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, SLEEP_MS) != 1)
		store_release(&overslept, 1);
	event_ack(fd);
}

static void use(struct fake_chain *hands, unsigned *n, unsigned at, unsigned count, uint64_t *seed)
{
	unsigned descs = 0;

	for (unsigned i = at; i < at + count; i++) {
		struct flight *l = (struct flight *)(uintptr_t)hands[i].sg[0].iova;

		descs += hands[i].descs;
		l->len = i + 1 == at + count ? roll(seed, hands[i].room + 1) : hands[i].room;
		if (i + 1 == at + count)
			fake_push(&f, hands[i].id, l->len, descs, count);
	}
	*n -= count;
	memmove(&hands[at], &hands[at + count], (*n - at) * sizeof(hands[0]));
}

static void *device(void *arg)
{
	static struct fake_chain hands[HANDS];
	bool in_order = virtio_has(&f.dev, RISER_VIRTIO_F_IN_ORDER);
	uint64_t seed = 5;
	unsigned n = 0;

	(void)arg;
	while (!load_acquire(&done)) {
		unsigned limit = roll(&seed, HANDS), before = n;

		while (n < limit && fake_pop(&f, &hands[n]))
			n++;
		for (unsigned some = roll(&seed, n + 1); some && n; some--)
			use(hands, &n, in_order ? 0 : roll(&seed, n),
			    in_order ? 1 + roll(&seed, n) : 1, &seed);
		if (n == before)
			while (n)
				use(hands, &n, 0, 1, &seed);
		if (fake_interrupts(&f))
			event_signal(call_fd);
		if (!n && !fake_arm(&f)) {
			nap(kick_fd);
			fake_disarm(&f);
		}
	}
	return NULL;
}

static void depart(uint64_t *seed)
{
	unsigned n = 1 + roll(seed, 4), nout = roll(seed, n + 1);
	struct flight *l = idle;
	struct virtq_sg sg[4] = { 0 };

	for (unsigned i = 0; i < n; i++)
		sg[i] = (struct virtq_sg){ (uintptr_t)l, 10 };
	if (!virtq_add(q, sg, nout, n - nout, l)) {
		idle = l->next;
		l->there = true;
	}
}

static void depart_many(uint64_t *seed)
{
	struct virtq_sg sg[16] = { 0 };
	void *these[16] = { 0 };
	unsigned n, want = 1 + roll(seed, 16);

	for (n = 0; n < want && idle; n++) {
		sg[n] = (struct virtq_sg){ (uintptr_t)idle, 100 };
		these[n] = idle;
		idle = idle->next;
	}
	want = n;
	n = virtq_add_burst(q, sg, these, n, roll(seed, 2));
	for (unsigned i = 0; i < want; i++) {
		struct flight *l = these[i];

		if (i < n) {
			l->there = true;
		} else {
			l->next = idle;
			idle = l;
		}
	}
}

/* Return: how many came back. */
static unsigned arrive(unsigned n)
{
	void *these[16];
	uint32_t lens[16];
	unsigned got = virtq_take_burst(q, these, lens, n);

	for (unsigned i = 0; i < got; i++) {
		struct flight *l = these[i];

		if (!l->there || lens[i] != l->len)
			abort();
		l->there = false;
		l->next = idle;
		idle = l;
	}
	return got;
}

static void traffic(uint64_t features, unsigned size)
{
	unsigned took = 0, room;
	uint64_t seed = 9;
	pthread_t thread;

	CHECK_EQ(fake_new(&f, features, size), 0);
	kick_fd = event_new();
	call_fd = event_new();
	f.notify.fd = kick_fd;
	done = overslept = 0;
	idle = NULL;
	for (unsigned i = 0; i < FLIGHTS; i++) {
		flights[i] = (struct flight){ .next = idle };
		idle = &flights[i];
	}
	CHECK_EQ(virtq_new(&f.dev, 0, size, call_fd, &q, &err), 0);
	CHECK_EQ(virtq_tables(q, 3, &err), 0);
	room = virtq_room(q);
	CHECK_EQ(pthread_create(&thread, NULL, device, NULL), 0);
	while (took < CHAINS && !load_acquire(&overslept) && !load_relaxed(&f.dev.broken)) {
		unsigned got;

		for (unsigned some = roll(&seed, 3); some && idle; some--)
			roll(&seed, 2) ? depart(&seed) : depart_many(&seed);
		virtq_kick(q);
		got = arrive(1 + roll(&seed, 16));
		took += got;
		if (!got && virtq_room(q) != room && !virtq_arm(q)) {
			nap(call_fd);
			virtq_disarm(q);
		}
	}
	while (virtq_room(q) != room && !load_acquire(&overslept) && !load_relaxed(&f.dev.broken)) {
		if (!virtq_arm(q))
			nap(call_fd);
		arrive(16);
	}
	store_release(&done, 1);
	event_signal(kick_fd);
	pthread_join(thread, NULL);
	CHECK(!overslept);
	CHECK(!f.dev.broken);
	for (unsigned i = 0; i < FLIGHTS; i++)
		CHECK(!flights[i].there);
	virtq_free(q);
	fake_free(&f);
	close(kick_fd);
	close(call_fd);
}

TEST(split)
{
	SUB(traffic(V1, 16));
	SUB(traffic(V1 | INDIRECT, 64));
}

TEST(split_by_events)
{
	SUB(traffic(V1 | EVENT, 4));
	SUB(traffic(V1 | EVENT | INDIRECT, 64));
}

TEST(split_in_order)
{
	SUB(traffic(V1 | EVENT | IN_ORDER, 32));
}

TEST(packed)
{
	SUB(traffic(V1 | PACKED, 16));
	SUB(traffic(V1 | PACKED | INDIRECT, 64));
}

TEST(packed_by_events)
{
	SUB(traffic(V1 | PACKED | EVENT, 5));
	SUB(traffic(V1 | PACKED | EVENT | INDIRECT, 64));
}

TEST(packed_in_order)
{
	SUB(traffic(V1 | PACKED | EVENT | IN_ORDER, 32));
}

TEST_MAIN(CASE(split), CASE(split_by_events), CASE(split_in_order), CASE(packed),
	  CASE(packed_by_events), CASE(packed_in_order))
