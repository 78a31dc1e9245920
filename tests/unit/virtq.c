/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Virtqueues against a device that keeps to the rules, in one thread. */
#include "../tap.h"
#include "virtq_fake.h"

#define V1       VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1)
#define PACKED   VIRTIO_BIT(RISER_VIRTIO_F_RING_PACKED)
#define INDIRECT VIRTIO_BIT(RISER_VIRTIO_F_INDIRECT_DESC)
#define EVENT    VIRTIO_BIT(RISER_VIRTIO_F_EVENT_IDX)
#define IN_ORDER VIRTIO_BIT(RISER_VIRTIO_F_IN_ORDER)
#define DATA     VIRTIO_BIT(RISER_VIRTIO_F_NOTIFICATION_DATA)
#define RESET    VIRTIO_BIT(RISER_VIRTIO_F_RING_RESET)

static struct fake f;
static struct virtq *q;
static struct riser_err err;

#define FLIGHTS 1024
#define HANDS   64

static char cookies[FLIGHTS]; /* their addresses are cookies */

static void begin(uint64_t features, unsigned max, unsigned size)
{
	CHECK_EQ(fake_new(&f, features, max), 0);
	CHECK_EQ(virtq_new(&f.dev, 0, size, -1, &q, &err), 0);
}

static void end(void)
{
	virtq_free(q);
	fake_free(&f);
}

/* A piece that tells which one it is. */
static struct virtq_sg piece(unsigned n)
{
	return (struct virtq_sg){ 0x10000 + n * 0x100ull, 16 + n % 64 };
}

TEST(sizes_are_what_both_sides_can)
{
	CHECK_EQ(fake_new(&f, V1, 256), 0);
	CHECK_EQ(virtq_new(&f.dev, 0, 1000, 7, &q, &err), 0);
	CHECK_EQ(virtq_room(q), 256);
	CHECK_EQ(f.l.size, 256);
	CHECK_EQ(f.l.event_fd, 7);
	CHECK_EQ(f.l.start, 0);
	virtq_free(q);
	CHECK_EQ(virtq_new(&f.dev, 1, 100, -1, &q, &err), 0);
	CHECK_EQ(f.l.size, 64);
	virtq_free(q);
	CHECK_EQ(virtq_new(&f.dev, 2, 100, -1, &q, &err), -ENOENT);
	CHECK_STR(err.text, "fake has no queue 2");
	CHECK_EQ(virtq_new(&f.dev, 0, 0, -1, &q, &err), -EPROTO);
	f.dev.features |= PACKED;
	CHECK_EQ(virtq_new(&f.dev, 1, 100, -1, &q, &err), 0);
	CHECK_EQ(f.l.size, 100); /* need not be a power of two */
	CHECK_EQ(f.l.start, 0x8000);
	virtq_free(q);
	f.fail = -EIO;
	CHECK_EQ(virtq_new(&f.dev, 0, 100, -1, &q, &err), -EIO);
	CHECK_HAS(err.text, "queue 0");
	fake_free(&f);
}

TEST(a_legacy_queue_is_one_piece)
{
	CHECK_EQ(fake_new(&f, 0, 256), 0);
	f.t.legacy_rings = true;
	CHECK_EQ(virtq_new(&f.dev, 0, 64, -1, &q, &err), 0);
	CHECK_EQ(f.l.size, 256); /* which the device says, and nobody else */
	CHECK_EQ(f.l.desc % 4096, 0);
	CHECK_EQ(f.l.driver - f.l.desc, 16 * 256);
	CHECK_EQ(f.l.device - f.l.desc, 8192);
	virtq_free(q);
	f.max = 100;
	CHECK_EQ(virtq_new(&f.dev, 0, 64, -1, &q, &err), -EPROTO);
	CHECK_STR(err.text, "fake: queue 0 cannot have 100 entries");
	fake_free(&f);
}

static void one_chain(uint64_t features)
{
	struct virtq_sg sg[3] = { piece(0), piece(1), piece(2) };
	struct fake_chain c;
	uint32_t len = 99;

	SUB(begin(features, 8, 8));
	CHECK_EQ(virtq_tables(q, 4, &err), 0);
	CHECK(!virtq_take(q, &len));
	CHECK_EQ(virtq_add(q, sg, 2, 1, &cookies[5]), 0);
	CHECK(!fake_pop(&f, &c)); /* not yet */
	virtq_kick(q);
	CHECK_EQ(f.notified, 1);
	CHECK_EQ(f.notified_with, 0);
	CHECK(fake_pop(&f, &c));
	CHECK_EQ(c.nout, 2);
	CHECK_EQ(c.nin, 1);
	CHECK_EQ(c.indirect, !!(features & INDIRECT));
	CHECK_EQ(c.descs, features & INDIRECT ? 1 : 3);
	CHECK_EQ(virtq_room(q), 8 - c.descs);
	CHECK(!memcmp(c.sg, sg, sizeof(sg)));
	CHECK(!virtq_take(q, &len));
	fake_push(&f, c.id, 7, c.descs, 1);
	CHECK(virtq_take(q, &len) == &cookies[5]);
	CHECK_EQ(len, 7);
	CHECK_EQ(virtq_room(q), 8);
	CHECK(!virtq_take(q, &len));
	CHECK(!f.dev.broken);
	SUB(end());
}

static const uint64_t kinds[] = {
	V1,
	V1 | INDIRECT,
	V1 | EVENT,
	V1 | INDIRECT | EVENT,
	V1 | IN_ORDER,
	V1 | IN_ORDER | INDIRECT | EVENT,
	0,
	V1 | PACKED,
	V1 | PACKED | INDIRECT,
	V1 | PACKED | EVENT,
	V1 | PACKED | INDIRECT | EVENT,
	V1 | PACKED | IN_ORDER,
	V1 | PACKED | IN_ORDER | INDIRECT | EVENT,
};

TEST(a_chain_goes_there_and_back)
{
	for (unsigned i = 0; i < array_len(kinds); i++)
		SUB(one_chain(kinds[i]));
}

/* What the driver has in flight, by the number of its cookie. */
static struct flight {
	bool there, used;
	unsigned nout, nin;
	uint32_t used_len;
} flights[FLIGHTS];

static struct fake_chain hands[HANDS]; /* what the device holds */
static unsigned nhands, added, popped, taken;
static uint64_t seed;

static unsigned roll(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((seed >> 33) % n);
}

static void *cookie_of(unsigned n)
{
	return &cookies[n % FLIGHTS];
}

static void take_off(unsigned nout, unsigned nin)
{
	flights[added++ % FLIGHTS] = (struct flight){ .there = true, .nout = nout, .nin = nin };
}

static void random_chain(void)
{
	unsigned n = 1 + roll(5), nout = roll(n + 1), room = virtq_room(q);
	struct virtq_sg sg[5];
	int rc;

	for (unsigned i = 0; i < n; i++)
		sg[i] = piece(added * 5 + i);
	rc = virtq_add(q, sg, nout, n - nout, cookie_of(added));
	if (!rc)
		take_off(nout, n - nout);
	else
		CHECK(rc == -ENOSPC && room < n);
}

static void random_burst(void)
{
	unsigned n = 1 + roll(8), room = virtq_room(q), got, want;
	bool in = roll(2);
	struct virtq_sg sg[8];
	void *these[8];

	for (unsigned i = 0; i < n; i++) {
		sg[i] = piece((added + i) * 5);
		these[i] = cookie_of(added + i);
	}
	want = min_of(n, room);
	got = virtq_add_burst(q, sg, these, n, in);
	CHECK_EQ(got, want);
	for (unsigned i = 0; i < got; i++)
		take_off(!in, in);
}

/* The device takes a chain, and looks whether it is one that was added. */
static bool random_pop(void)
{
	struct fake_chain *c = &hands[nhands];
	struct flight *l;

	if (nhands == HANDS || !fake_pop(&f, c))
		return false;
	l = &flights[popped % FLIGHTS];
	if (!l->there || c->nout != l->nout || c->nin != l->nin)
		abort();
	for (unsigned i = 0; i < c->nout + c->nin; i++)
		if (memcmp(&c->sg[i],
			   &(struct virtq_sg){ piece(popped * 5 + i).iova,
					       piece(popped * 5 + i).len },
			   12))
			abort();
	c->serial = popped++;
	nhands++;
	return true;
}

/* Use one or, IN_ORDER, sometimes several at once. */
static void random_push(void)
{
	bool in_order = virtio_has(&f.dev, RISER_VIRTIO_F_IN_ORDER);
	unsigned n = in_order && !roll(3) ? 1 + roll(nhands) : 1, at = in_order ? 0 : roll(nhands);
	unsigned descs = 0, len;

	for (unsigned i = at; i < at + n; i++) {
		struct flight *l = &flights[hands[i].serial % FLIGHTS];

		descs += hands[i].descs;
		l->used = true;
		l->used_len = hands[i].room;
	}
	len = roll(hands[at + n - 1].room + 1);
	flights[hands[at + n - 1].serial % FLIGHTS].used_len = len;
	fake_push(&f, hands[at + n - 1].id, len, descs, n);
	nhands -= n;
	memmove(&hands[at], &hands[at + n], (nhands - at) * sizeof(hands[0]));
}

static void random_take(void)
{
	unsigned n = 1 + roll(10), got;
	void *these[10];
	uint32_t lens[10];

	got = virtq_take_burst(q, these, lens, n);
	for (unsigned i = 0; i < got; i++) {
		struct flight *l = &flights[(char *)these[i] - cookies];

		CHECK(l->there && l->used);
		CHECK_EQ(lens[i], l->used_len);
		l->there = false;
		taken++;
	}
}

static void random_rounds(uint64_t features, unsigned size, bool tables)
{
	SUB(begin(features, size, size));
	if (tables)
		CHECK_EQ(virtq_tables(q, 4, &err), 0);
	memset(flights, 0, sizeof(flights));
	added = popped = taken = nhands = 0;
	for (unsigned round = 0; round < 20000; round++) {
		switch (roll(6)) {
		case 0:
			SUB(random_chain());
			break;
		case 1:
			SUB(random_burst());
			break;
		case 2:
			virtq_kick(q);
			break;
		case 3:
			random_pop();
			break;
		case 4:
			if (nhands)
				random_push();
			break;
		default:
			SUB(random_take());
		}
	}
	for (virtq_kick(q); nhands || random_pop();)
		random_push();
	while (taken != added) {
		unsigned before = taken;

		SUB(random_take());
		CHECK(taken > before);
	}
	CHECK_EQ(virtq_room(q), size);
	CHECK(!f.dev.broken);
	CHECK(added > 500);
	SUB(end());
}

TEST(nothing_is_lost_or_doubled)
{
	static const unsigned sizes[] = { 1, 2, 8, 64 };

	for (unsigned i = 0; i < array_len(kinds); i++) {
		for (unsigned s = 0; s < array_len(sizes); s++) {
			SUB(random_rounds(kinds[i], sizes[s], false));
			SUB(random_rounds(kinds[i], sizes[s], true));
		}
		if (kinds[i] & PACKED)
			SUB(random_rounds(kinds[i], 13, i & 1));
	}
}

TEST_MAIN(CASE(sizes_are_what_both_sides_can), CASE(a_legacy_queue_is_one_piece),
	  CASE(a_chain_goes_there_and_back), CASE(nothing_is_lost_or_doubled))
