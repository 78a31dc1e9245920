/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * NBD with more to do than there is of everything: block I/Os for all connections, slots and
 * buffers of each. Who floods slows down nobody but itself, and a lack is waited out.
 */
#include "blk_fixture.h"
#include "nbd_client.h"

enum { CONNS = 8, DEEP = 128, IOS = 512 };

static struct bench t;
static struct fix_leaf *leaf;

/* A leaf that ends I/O when the test says so. */
static void set_up(enum fix_mode mode)
{
	struct riser_opts opts = { .size = sizeof(opts) };

	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "/tmp/riser-nbd-load-%d", getpid());
	CHECK_EQ(riser_new(&opts, &t.r, &t.err), 0);
	CHECK_EQ(riser_exec_new(t.r, &t.x, &t.err), 0);
	t.b = fix_leaf_new(t.r, "leaf", 2 * MiB / 512, mode, 0);
	leaf = t.b->priv;
}

static void start(enum fix_mode mode)
{
	SUB(set_up(mode));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
}

static void polls(unsigned n)
{
	while (n--)
		riser_exec_poll(t.x);
}

/* As many commands as the socket takes, up to @n. Return: how many. */
static unsigned flood(int fd, struct command m, unsigned n)
{
	struct nbd_command_header h = header_of(m);
	unsigned i = 0;

	while (i < n && send(fd, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(h))
		i++;
	return i;
}

/* Whole answers to READs of 512 bytes that are there. */
static unsigned count_answers(int fd, size_t *rest)
{
	static uint8_t data[1 * MiB];
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
	size_t each = sizeof(struct nbd_simple_reply) + 512, have;

	if (n <= 0)
		return 0;
	have = *rest + (size_t)n;
	*rest = have % each;
	return (unsigned)(have / each);
}

static struct command read_at(uint64_t offset)
{
	return (struct command){ NBD_CMD_READ, 0, 1, offset, 512 };
}

/* Twice as many commands as there are I/Os, none of which ends until all have come. */
TEST(a_lack_of_ios_is_waited_out)
{
	unsigned answers = 0;
	size_t rest[CONNS] = { 0 };
	int fd[CONNS];

	SUB(start(FIX_AT_ONCE));
	for (unsigned i = 0; i < CONNS; i++)
		CHECK((fd[i] = attach(&t)) >= 0);
	leaf->mode = FIX_HELD;
	for (unsigned i = 0; i < CONNS; i++)
		CHECK_EQ(flood(fd[i], read_at(i * 512), DEEP), DEEP);
	polls(100);
	CHECK_EQ(leaf->maps->nheld, IOS);
	for (unsigned i = 0; i < CONNS; i++)
		CHECK_EQ(count_answers(fd[i], &rest[i]), 0);
	leaf->mode = FIX_LATE;
	for (unsigned round = 0; round < 10000 && answers < CONNS * DEEP; round++) {
		riser_exec_poll(t.x);
		for (unsigned i = 0; i < CONNS; i++)
			answers += count_answers(fd[i], &rest[i]);
	}
	CHECK_EQ(answers, CONNS * DEEP);
	CHECK_EQ(stats_of(&t).errors, 0);
	for (unsigned i = 0; i < CONNS; i++)
		close(fd[i]);
	bench_end(&t);
}

/* Those who flood get about as much as each other, though I/Os are short all the time. */
TEST(a_lack_of_ios_is_shared)
{
	unsigned answers[CONNS] = { 0 }, least = UINT32_MAX, most = 0;
	size_t rest[CONNS] = { 0 };
	int fd[CONNS];

	SUB(start(FIX_LATE));
	for (unsigned i = 0; i < CONNS; i++)
		CHECK((fd[i] = attach(&t)) >= 0);
	leaf->room = 4; /* of the leaf's own, so that few end in a round */
	for (unsigned round = 0; round < 20000; round++) {
		for (unsigned i = 0; i < CONNS; i++) {
			flood(fd[i], read_at(i * 512), 2 * DEEP);
			answers[i] += count_answers(fd[i], &rest[i]);
		}
		riser_exec_poll(t.x);
	}
	for (unsigned i = 0; i < CONNS; i++) {
		least = min_of(least, answers[i]);
		most = max_of(most, answers[i]);
	}
	CHECK(least > 500);
	if (most > least + least / 2)
		FAIL("the least got %u, the most %u", least, most);
	for (unsigned i = 0; i < CONNS; i++)
		close(fd[i]);
	leaf->room = 0;
	leaf->mode = FIX_AT_ONCE;
	bench_end(&t);
}

/* One command at a time beside floods: each is answered within a few rounds. */
TEST(the_quiet_one_is_served_among_floods)
{
	size_t rest[CONNS] = { 0 };
	unsigned worst = 0;
	int fd[CONNS], quiet;

	SUB(start(FIX_AT_ONCE));
	for (unsigned i = 0; i < CONNS; i++)
		CHECK((fd[i] = attach(&t)) >= 0);
	quiet = attach(&t);
	CHECK(quiet >= 0);
	for (unsigned n = 0; n < 200; n++) {
		size_t half = 0;
		unsigned rounds = 0;

		CHECK_EQ(flood(quiet, read_at(0), 1), 1);
		while (!count_answers(quiet, &half)) {
			for (unsigned i = 0; i < CONNS; i++) {
				flood(fd[i], read_at(512), 4 * DEEP);
				count_answers(fd[i], &rest[i]);
			}
			riser_exec_poll(t.x);
			CHECK(++rounds < 1000);
		}
		worst = max_of(worst, rounds);
	}
	/* The descriptors are looked at every 16th busy poll. */
	CHECK(worst <= 40);
	for (unsigned i = 0; i < CONNS; i++)
		close(fd[i]);
	close(quiet);
	bench_end(&t);
}

/* 32 MiB asked for by each, and not read: what the server holds is what it always may hold. */
TEST(deaf_clients_hold_what_they_may_and_no_more)
{
	struct riser_opts opts = { .size = sizeof(opts) };
	struct command big = { NBD_CMD_READ, 0, 1, 0, 1 * MiB };
	int deaf[4], good;
	uint8_t block[512];
	uint64_t before;

	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "/tmp/riser-nbd-load-%d", getpid());
	CHECK_EQ(riser_new(&opts, &t.r, &t.err), 0);
	CHECK_EQ(riser_exec_new(t.r, &t.x, &t.err), 0);
	CHECK_EQ(riser_blk_open(t.r, "null:64M", RISER_BLK_RDWR, &t.b, &t.err), 0);
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	good = attach(&t);
	for (unsigned i = 0; i < array_len(deaf); i++) {
		deaf[i] = attach(&t);
		CHECK(flood(deaf[i], big, 1000) >= 100);
	}
	polls(1000);
	before = stats_of(&t).requests;
	for (unsigned i = 0; i < array_len(deaf); i++)
		flood(deaf[i], big, 1000);
	polls(1000);
	/* Each answered what its buffers hold, and then stopped being read from. */
	CHECK_EQ(stats_of(&t).requests, before);
	CHECK(before <= array_len(deaf) * 33);
	CHECK_EQ(run_read(&t, good, 0, 512, block), 0);
	for (unsigned i = 0; i < array_len(deaf); i++)
		close(deaf[i]);
	close(good);
	settle(&t);
	CHECK_EQ(stats_of(&t).active, 0);
	bench_end(&t);
}

/* The device says that it writes zeroes, and finds out late that it does not. */
TEST(fast_zeroes_that_prove_slow)
{
	struct command zero = { NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 0, 0, 4096 };
	static const uint8_t zeroes[4096];
	uint8_t out[4096], in[4096];
	int fd;

	SUB(set_up(FIX_AT_ONCE));
	t.b->zeroes_maybe = true;
	leaf->no_zeroes = true;
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	fd = attach(&t);
	fill(out, sizeof(out), 1);
	CHECK_EQ(run_write(&t, fd, 0, 4096, out), 0);
	CHECK_EQ(run(&t, fd, zero, NULL), NBD_ENOTSUP);
	CHECK_EQ(run_read(&t, fd, 0, 4096, in), 0);
	CHECK(!memcmp(in, out, sizeof(in)));
	zero.flags = 0;
	CHECK_EQ(run(&t, fd, zero, NULL), 0);
	CHECK_EQ(run_read(&t, fd, 0, 4096, in), 0);
	CHECK(!memcmp(in, zeroes, sizeof(in)));
	close(fd);
	bench_end(&t);
}

TEST_MAIN(CASE(a_lack_of_ios_is_waited_out), CASE(a_lack_of_ios_is_shared),
	  CASE(the_quiet_one_is_served_among_floods),
	  CASE(deaf_clients_hold_what_they_may_and_no_more), CASE(fast_zeroes_that_prove_slow))
