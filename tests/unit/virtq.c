/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Virtqueues against a device that keeps to the rules, in one thread. */
#include "../tap.h"
#include "virtq_fake.h"

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
	for (unsigned i = 0; i < 3; i++)
		CHECK(c.sg[i].iova == sg[i].iova && c.sg[i].len == sg[i].len);
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
	for (unsigned i = 0; i < c->nout + c->nin; i++) {
		struct virtq_sg want = piece(popped * 5 + i);

		if (c->sg[i].iova != want.iova || c->sg[i].len != want.len)
			abort();
	}
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

/* One chain more, of a piece that the device writes; published. */
static void add_one(unsigned n)
{
	CHECK_EQ(virtq_add(q, &(struct virtq_sg){ 0x10000, 64 }, 0, 1, &cookies[n]), 0);
	virtq_kick(q);
}

static void use_one(uint32_t len)
{
	struct fake_chain c;

	CHECK(fake_pop(&f, &c));
	fake_push(&f, c.id, len, c.descs, 1);
}

static void take_one(unsigned n)
{
	uint32_t len;

	CHECK(virtq_take(q, &len) == &cookies[n]);
}

/* Some go round; the device wants to be told at times, of the chain that it has not seen yet. */
static void kicks(uint64_t features, unsigned size)
{
	unsigned told = 0;

	SUB(begin(features, size, size));
	for (unsigned round = 0; round < 500; round++) {
		bool armed = roll(2);
		unsigned n = 1 + roll(size);

		if (armed)
			CHECK(!fake_arm(&f));
		else
			fake_disarm(&f);
		virtq_kick(q);
		CHECK_EQ(f.notified, told);
		for (unsigned i = 0; i < n; i++)
			CHECK_EQ(virtq_add(q, &(struct virtq_sg){ 0x10000, 64 }, 0, 1, &cookies[i]),
				 0);
		CHECK_EQ(f.notified, told);
		virtq_kick(q);
		told += armed;
		CHECK_EQ(f.notified, told);
		if (n < size && armed && features & EVENT) {
			SUB(add_one(n++)); /* told already */
			CHECK_EQ(f.notified, told);
		}
		if (armed)
			CHECK(fake_arm(&f));
		for (unsigned i = 0; i < n; i++)
			SUB(use_one(3));
		for (unsigned i = 0; i < n; i++)
			SUB(take_one(i));
	}
	SUB(end());
}

TEST(the_device_is_told_when_it_wants)
{
	for (unsigned i = 0; i < array_len(kinds); i++) {
		SUB(kicks(kinds[i], 8));
		if (kinds[i] & PACKED)
			SUB(kicks(kinds[i], 5));
	}
}

static void interrupts(uint64_t features, unsigned size)
{
	SUB(begin(features, size, size));
	for (unsigned round = 0; round < 500; round++) {
		bool armed = roll(2);
		unsigned n = 1 + roll(size);

		for (unsigned i = 0; i < n; i++)
			SUB(add_one(i));
		if (armed)
			CHECK(!virtq_arm(q));
		else
			virtq_disarm(q);
		SUB(use_one(1));
		CHECK_EQ(fake_interrupts(&f), armed);
		if (armed && features & EVENT && n > 1) {
			n--;
			SUB(take_one(0));
			SUB(use_one(1)); /* of which it was not asked to tell */
			CHECK(!fake_interrupts(&f));
			CHECK(virtq_arm(q));
			for (unsigned i = 1; i < n; i++)
				SUB(use_one(1));
			for (unsigned i = 1; i <= n; i++)
				SUB(take_one(i));
		} else {
			CHECK(virtq_arm(q));
			for (unsigned i = 1; i < n; i++)
				SUB(use_one(1));
			for (unsigned i = 0; i < n; i++)
				SUB(take_one(i));
		}
		CHECK(!virtq_arm(q));
		virtq_disarm(q);
		fake_interrupts(&f);
	}
	SUB(end());
}

TEST(an_interrupt_comes_when_it_is_wanted)
{
	for (unsigned i = 0; i < array_len(kinds); i++) {
		SUB(interrupts(kinds[i], 8));
		if (kinds[i] & PACKED)
			SUB(interrupts(kinds[i], 5));
	}
}

TEST(a_batch_in_order_is_one_entry)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		void *these[4];
		uint32_t lens[4];

		SUB(begin(V1 | IN_ORDER | (packed ? PACKED : 0), 8, 8));
		for (unsigned i = 0; i < 4; i++)
			SUB(add_one(i));
		fake_push(&f, 2, 5, 3, 3); /* the third, and all before it */
		CHECK_EQ(virtq_take_burst(q, these, lens, 2), 2);
		CHECK(virtq_arm(q)); /* the rest of the batch is there */
		CHECK_EQ(virtq_take_burst(q, these + 2, lens + 2, 2), 1);
		for (unsigned i = 0; i < 3; i++) {
			CHECK(these[i] == &cookies[i]);
			CHECK_EQ(lens[i], i < 2 ? 64 : 5);
		}
		CHECK(!virtq_arm(q));
		SUB(end());
	}
}

/* In the order of the table, whatever was added before (§2.7.9). */
TEST(descriptors_are_taken_in_order)
{
	struct virtq_sg sg[3] = { piece(0), piece(1), piece(2) };
	struct fake_chain c;
	unsigned at = 0;

	SUB(begin(V1 | IN_ORDER, 8, 8));
	for (unsigned round = 0; round < 20; round++) {
		CHECK_EQ(virtq_add(q, sg, 1, round % 3, &cookies[0]), 0);
		virtq_kick(q);
		CHECK(fake_pop(&f, &c));
		CHECK_EQ(c.id, at % 8);
		for (unsigned i = 1; i < c.descs; i++, at++)
			CHECK_EQ(le16(f.desc[at % 8].next), (at + 1) % 8);
		at++;
		fake_push(&f, c.id, 0, c.descs, 1);
		SUB(take_one(0));
	}
	SUB(end());
}

TEST(a_notification_says_how_far_the_ring_goes)
{
	uint32_t at[1] = { 0 };

	SUB(begin(V1 | DATA, 4, 4));
	for (unsigned i = 0; i < 5; i++) {
		SUB(add_one(0));
		CHECK_EQ(f.notified_with, (i + 1) << 16);
		SUB(use_one(0));
		SUB(take_one(0));
	}
	SUB(end());
	SUB(begin(V1 | DATA | PACKED, 3, 3));
	for (unsigned i = 0; i < 4; i++) {
		SUB(add_one(0));
		CHECK_EQ(f.notified_with, i < 2 ? (i + 1) << 16 | 1u << 31 : (i - 2) << 16);
		SUB(use_one(0));
		SUB(take_one(0));
	}
	virtq_free(q);
	f.notify = (struct virtio_notify){ .at = at, .wide = true, .fd = -1, .value = 0x1234 };
	CHECK_EQ(virtq_new(&f.dev, 1, 3, -1, &q, &err), 0);
	SUB(add_one(0));
	CHECK_EQ(at[0], 0x80011234);
	SUB(end());
}

TEST(a_notification_is_a_store_or_an_event)
{
	uint16_t at[2] = { 0, 0 };

	SUB(begin(V1, 4, 4));
	virtq_free(q);
	f.notify = (struct virtio_notify){ .at = at, .fd = -1, .value = 0x1234 };
	CHECK_EQ(virtq_new(&f.dev, 1, 4, -1, &q, &err), 0);
	SUB(add_one(0));
	CHECK_EQ(at[0], 0x1234);
	CHECK_EQ(at[1], 0);
	virtq_free(q);
	f.notify = (struct virtio_notify){ .fd = event_new() };
	CHECK_EQ(virtq_new(&f.dev, 1, 4, -1, &q, &err), 0);
	CHECK(!event_ack(f.notify.fd));
	SUB(add_one(0));
	CHECK(event_ack(f.notify.fd));
	close(f.notify.fd);
	CHECK_EQ(f.notified, 0);
	SUB(end());
}

/* The device's cache keeps what does not change. */
TEST(what_keeps_the_order_is_not_written_again)
{
	struct fake_chain c[4];

	SUB(begin(V1, 4, 4));
	for (unsigned i = 0; i < 4; i++)
		f.avail->ring[i] = to_le16(0x5555);
	for (unsigned i = 0; i < 10; i++) {
		SUB(add_one(i));
		fake_push(&f, (uint16_t)(i % 4), 0, 1, 1);
		SUB(take_one(i));
		CHECK_EQ(le16(f.avail->ring[i % 4]), 0x5555);
	}
	for (unsigned i = 0; i < 4; i++)
		f.avail->ring[i] = to_le16((uint16_t)i);
	f.next = f.used;
	for (unsigned i = 0; i < 4; i++) {
		SUB(add_one(i));
		CHECK(fake_pop(&f, &c[i]));
	}
	for (unsigned i = 4; i--;) {
		fake_push(&f, c[i].id, 0, 1, 1);
		SUB(take_one(i));
	}
	for (unsigned i = 0; i < 4; i++) /* from index 10 on, and the other way round */
		CHECK_EQ(le16(f.avail->ring[(10 + i) % 4]), (10 + 3 - i) % 4);
	SUB(end());
}

TEST(what_does_not_fit_is_refused_whole)
{
	struct virtq_sg sg[9] = { piece(0), piece(1), piece(2), piece(3), piece(4),
				  piece(5), piece(6), piece(7), piece(8) };

	for (unsigned packed = 0; packed < 2; packed++) {
		SUB(begin(V1 | INDIRECT | (packed ? PACKED : 0), 8, 8));
		CHECK_EQ(virtq_tables(q, 100, &err), 0);
		CHECK_EQ(virtq_add(q, sg, 9, 0, &cookies[0]), -ENOSPC);
		CHECK_EQ(virtq_room(q), 8);
		CHECK_EQ(virtq_add(q, sg, 4, 4, &cookies[0]), 0);
		CHECK_EQ(virtq_room(q), 7); /* all in a table */
		SUB(end());
		SUB(begin(V1 | (packed ? PACKED : 0), 8, 8));
		CHECK_EQ(virtq_tables(q, 100, &err), 0); /* not negotiated */
		CHECK_EQ(virtq_add(q, sg, 4, 1, &cookies[0]), 0);
		CHECK_EQ(virtq_add(q, sg, 4, 0, &cookies[0]), -ENOSPC);
		CHECK_EQ(virtq_add(q, sg, 3, 0, &cookies[0]), 0);
		CHECK_EQ(virtq_room(q), 0);
		CHECK_EQ(virtq_add(q, sg, 1, 0, &cookies[0]), -ENOSPC);
		SUB(end());
	}
}

TEST(one_queue_is_reset_alone)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct virtq *other, *mine;

		SUB(begin(V1 | RESET | (packed ? PACKED : 0), 8, 8));
		other = q;
		CHECK_EQ(virtq_new(&f.dev, 1, 8, -1, &q, &err), 0);
		for (unsigned i = 0; i < 5; i++)
			SUB(add_one(i));
		CHECK_EQ(virtq_stop(q, &err), 0);
		CHECK_EQ(f.stops, 1);
		CHECK_EQ(virtq_room(q), 0);
		SUB(use_one(1)); /* too late */
		CHECK(!virtq_take(q, &(uint32_t){ 0 }));
		for (unsigned i = 0; i < 5; i++)
			CHECK(virtq_detach(q) == &cookies[i]);
		CHECK(!virtq_detach(q));
		virtq_free(q);
		CHECK_EQ(virtq_room(other), 8);
		CHECK_EQ(virtq_new(&f.dev, 1, 4, -1, &mine, &err), 0);
		q = mine;
		SUB(add_one(0));
		SUB(use_one(1));
		SUB(take_one(0));
		virtq_free(other);
		SUB(end());
	}
	SUB(begin(V1, 8, 8));
	CHECK_EQ(virtq_stop(q, &err), -EOPNOTSUPP);
	CHECK_HAS(err.text, "queue 0");
	CHECK_EQ(virtq_room(q), 8);
	SUB(end());
}

/* The backend of vhost-user went and came back; packets were used out of order before. */
TEST(a_queue_starts_again_in_another_epoch)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct virtq_sg sg[3] = { piece(0), piece(1), piece(2) };
		struct fake_chain c[8];

		SUB(begin(V1 | (packed ? PACKED : 0), 8, 8));
		for (unsigned i = 0; i < 5; i++) { /* so that identifiers are not in order */
			SUB(add_one(i));
			SUB(use_one(1));
			SUB(take_one(i));
		}
		for (unsigned i = 0; i < 6; i++) {
			SUB(add_one(i));
			CHECK(fake_pop(&f, &c[i]));
		}
		for (unsigned i = 2; i < 4; i++) {
			fake_push(&f, c[i].id, 0, 1, 1);
			SUB(take_one(i));
		}
		CHECK_EQ(virtq_add(q, sg, 1, 2, &cookies[6]), 0);
		CHECK(!virtq_stale(q));
		store_release(&f.dev.epoch, 1);
		CHECK(virtq_stale(q));
		for (unsigned i = 0; i < 7; i++)
			if (i != 2 && i != 3)
				CHECK(virtq_detach(q) == &cookies[i]);
		CHECK(!virtq_detach(q));
		CHECK(!virtq_detach(q));
		f.fail = -ENOTCONN;
		CHECK_EQ(virtq_restart(q), -ENOTCONN);
		CHECK_EQ(virtq_add(q, sg, 1, 0, &cookies[0]), -ENOSPC);
		CHECK_EQ(virtq_restart(q), 0);
		CHECK(!virtq_stale(q));
		CHECK_EQ(f.starts, 2);
		CHECK_EQ(virtq_room(q), 8);
		for (unsigned i = 0; i < 20; i++) {
			SUB(add_one(i));
			SUB(use_one(1));
			SUB(take_one(i));
		}
		SUB(end());
	}
}

TEST(lengths_of_legacy_devices_mean_nothing)
{
	uint32_t len;

	SUB(begin(0, 8, 8));
	SUB(add_one(0));
	SUB(use_one(1000));
	CHECK(virtq_take(q, &len) == &cookies[0]);
	CHECK_EQ(len, 64);
	CHECK(!f.dev.broken);
	SUB(end());
}

TEST_MAIN(CASE(sizes_are_what_both_sides_can), CASE(a_legacy_queue_is_one_piece),
	  CASE(a_chain_goes_there_and_back), CASE(nothing_is_lost_or_doubled),
	  CASE(the_device_is_told_when_it_wants), CASE(an_interrupt_comes_when_it_is_wanted),
	  CASE(a_batch_in_order_is_one_entry), CASE(descriptors_are_taken_in_order),
	  CASE(a_notification_says_how_far_the_ring_goes),
	  CASE(a_notification_is_a_store_or_an_event),
	  CASE(what_keeps_the_order_is_not_written_again), CASE(what_does_not_fit_is_refused_whole),
	  CASE(one_queue_is_reset_alone), CASE(a_queue_starts_again_in_another_epoch),
	  CASE(lengths_of_legacy_devices_mean_nothing))
