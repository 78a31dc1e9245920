/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Virtqueues against a device that does not keep to the rules: it is named, and broken, and what
 * was in flight is the caller's again, untouched and in order.
 */
#include "../tap.h"
#include "virtq_fake.h"

static struct fake f;
static struct virtq *q;
static struct riser_err err;
static char cookies[8];
static char logged[200];

static void log_line(void *ctx, enum riser_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	snprintf(logged, sizeof(logged), "%s", line);
}

static const uint64_t both[] = { V1, V1 | PACKED };

/* Four chains of one piece: 64 bytes to be written, the last one to be read. Then a long one. */
static void begin(uint64_t features)
{
	struct virtq_sg sg[3] = { { 0x1000, 64 }, { 0x2000, 32 }, { 0x3000, 16 } };

	logged[0] = 0;
	CHECK_EQ(fake_new(&f, features, 8), 0);
	f.dev.r->log = log_line;
	CHECK_EQ(virtq_new(&f.dev, 0, 8, -1, &q, &err), 0);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(virtq_add(q, sg, i == 3, i != 3, &cookies[i]), 0);
	CHECK_EQ(virtq_add(q, sg, 1, 2, &cookies[4]), 0);
	virtq_kick(q);
}

/* It did @what; the chains from @first on are still there. */
static void end(const char *what, unsigned first)
{
	struct virtq_sg sg = { 0x1000, 64 };
	void *these[8];
	uint32_t lens[8];
	unsigned told = f.notified;

	CHECK_EQ(virtq_take_burst(q, these, lens, 8), 0);
	CHECK(f.dev.broken);
	CHECK_STR(f.dev.broken, what);
	CHECK_HAS(logged, what);
	CHECK_EQ(virtq_room(q), 0);
	CHECK_EQ(virtq_add(q, &sg, 1, 0, &cookies[0]), -ENOSPC);
	CHECK_EQ(virtq_add_burst(q, &sg, these, 1, true), 0);
	virtq_kick(q);
	CHECK_EQ(f.notified, told);
	for (unsigned i = first; i < 5; i++)
		CHECK(virtq_detach(q) == &cookies[i]);
	CHECK(!virtq_detach(q));
	virtq_free(q);
	fake_free(&f);
}

TEST(an_id_out_of_range)
{
	static const uint32_t ids[] = { 8, 0x7fff, 0xffff };

	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < array_len(ids); i++) {
			SUB(begin(both[k]));
			fake_push(&f, (uint16_t)ids[i], 0, 1, 1);
			SUB(end("a used id is out of range", 0));
		}
	}
	SUB(begin(V1));
	f.uring->ring[0].id = to_le32(0x10000); /* more than 16 bits */
	store_release(&f.uring->idx.raw, to_le16(1).raw);
	SUB(end("a used id is out of range", 0));
}

TEST(an_id_that_is_not_in_flight)
{
	for (unsigned k = 0; k < 2; k++) {
		SUB(begin(both[k]));
		/* The second descriptor of the long chain stands for nothing by itself. */
		fake_push(&f, k ? 5 : 7, 0, 1, 1);
		SUB(end("a used id is not in flight", 0));
	}
}

TEST(an_id_that_is_used_twice)
{
	for (unsigned k = 0; k < 2; k++) {
		void *these[8];
		uint32_t lens[8];

		SUB(begin(both[k]));
		fake_push(&f, 0, 1, 1, 1);
		fake_push(&f, 1, 2, 1, 1);
		fake_push(&f, 0, 3, 1, 1);
		/* What came before is good. */
		CHECK_EQ(virtq_take_burst(q, these, lens, 8), 2);
		CHECK(these[0] == &cookies[0] && these[1] == &cookies[1]);
		CHECK(lens[0] == 1 && lens[1] == 2);
		SUB(end("a used id is not in flight", 2));
	}
}

/* The same where no chain has several descriptors. */
TEST(a_plain_id_that_is_used_twice)
{
	for (unsigned k = 0; k < 2; k++) {
		struct virtq_sg sg = { 0x1000, 64 };
		uint32_t len;

		CHECK_EQ(fake_new(&f, both[k], 8), 0);
		CHECK_EQ(virtq_new(&f.dev, 0, 8, -1, &q, &err), 0);
		for (unsigned i = 0; i < 5; i++)
			CHECK_EQ(virtq_add(q, &sg, 0, 1, &cookies[i]), 0);
		virtq_kick(q);
		fake_push(&f, 0, 1, 1, 1);
		CHECK(virtq_take(q, &len) == &cookies[0]);
		fake_push(&f, 0, 1, 1, 1);
		f.dev.r->log = log_line;
		SUB(end("a used id is not in flight", 1));
	}
}

TEST(a_length_beyond_what_may_be_written)
{
	static const struct {
		uint16_t id;
		uint32_t len;
	} lies[] = { { 0, 65 }, { 0, UINT32_MAX }, { 3, 1 }, { 4, 49 }, { 4, UINT32_MAX } };

	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < array_len(lies); i++) {
			/* In packed rings it is reserved where nothing may be written. */
			if (lies[i].id == 3 && both[k] & PACKED)
				continue;
			SUB(begin(both[k]));
			fake_push(&f, lies[i].id, lies[i].len, 1, 1);
			SUB(end("a used length is more than the chain has room for", 0));
			SUB(begin(both[k] | IN_ORDER));
			fake_push(&f, lies[i].id, lies[i].len, 1, lies[i].id + 1u);
			SUB(end("a used length is more than the chain has room for", 0));
		}
	}
}

TEST(lengths_that_are_just_right)
{
	for (unsigned k = 0; k < 2; k++) {
		void *these[8];
		uint32_t lens[8];

		SUB(begin(both[k]));
		fake_push(&f, 0, 64, 1, 1);
		fake_push(&f, 3, both[k] & PACKED ? 76 : 0, 1, 1); /* reserved, or 0 */
		fake_push(&f, 4, 48, 3, 1);
		CHECK_EQ(virtq_take_burst(q, these, lens, 8), 3);
		CHECK(lens[0] == 64 && lens[1] == 0 && lens[2] == 48);
		CHECK(these[2] == &cookies[4]);
		CHECK(!f.dev.broken);
		virtq_free(q);
		fake_free(&f);
	}
}

TEST(a_used_index_that_runs_away)
{
	static const uint16_t indices[] = { 6, 8, 0x8000, 0xffff };

	for (unsigned i = 0; i < array_len(indices); i++) {
		SUB(begin(V1));
		store_release(&f.uring->idx.raw, to_le16(indices[i]).raw);
		SUB(end("the used index is ahead of what was made available", 0));
	}
	SUB(begin(V1));
	fake_push(&f, 0, 0, 1, 1);
	CHECK(virtq_take(q, &(uint32_t){ 0 }));
	store_release(&f.uring->idx.raw, to_le16(0).raw); /* backwards */
	SUB(end("the used index is ahead of what was made available", 1));
}

TEST(an_id_out_of_order)
{
	SUB(begin(V1 | IN_ORDER));
	fake_push(&f, 2, 0, 1, 1); /* one was used, but not the first */
	SUB(end("a used id is out of order", 0));
	SUB(begin(V1 | IN_ORDER));
	fake_push(&f, 4, 0, 4, 4);
	SUB(end("a used id is out of order", 0));
	for (unsigned k = 0; k < 2; k++) {
		void *these[8];
		uint32_t lens[8];

		SUB(begin(both[k] | IN_ORDER));
		fake_push(&f, 1, 0, 2, 2);
		fake_push(&f, 0, 0, 1, 1); /* was used with the other */
		CHECK_EQ(virtq_take_burst(q, these, lens, 8), 2);
		SUB(end("a used id is not in flight", 2));
	}
}

TEST(another_queue_of_a_broken_device)
{
	for (unsigned k = 0; k < 2; k++) {
		SUB(begin(both[k]));
		fake_push(&f, 0, 0, 1, 1);
		virtio_break(&f.dev, "something else");
		SUB(end("something else", 0));
	}
}

TEST_MAIN(CASE(an_id_out_of_range), CASE(an_id_that_is_not_in_flight),
	  CASE(an_id_that_is_used_twice), CASE(a_plain_id_that_is_used_twice),
	  CASE(a_length_beyond_what_may_be_written), CASE(lengths_that_are_just_right),
	  CASE(a_used_index_that_runs_away), CASE(an_id_out_of_order),
	  CASE(another_queue_of_a_broken_device))
