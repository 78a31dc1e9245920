/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Does the barrier of gate_close() matter? One thread submits, one closes the gate, reads the
 * counts, and where they are zero kills a canary; a leaf that sees it dead was let in although the
 * closer thought that nobody was inside. That needs the submitter's count to stay in its store
 * buffer while it reads the gate: the buffer is filled first, with stores to lines that the closer
 * just wrote. How many is swept. With the barrier there is never one; without it there are.
 */
#include "blk_fixture.h"
#include <time.h>

#define LINES  32
#define ROUNDS 60000 /* for each number of stores */

static const unsigned fillers[] = { 0, 1, 2, 4, 6, 8, 12, 16, 24, 32 };

static struct {
	struct {
		uint64_t word;
		char pad[120]; /* no neighbour comes along */
	} lines[LINES];
	uint32_t round, done;
	uint32_t dead; /* the canary */
	uint32_t stop;
	unsigned fill;
	char pad[128];
	uint64_t seen; /* by the submitter alone */
} shared __attribute__((aligned(128)));

static struct riser_blk_channel *c;
static struct riser_exec *x;
static bool ended;

static void canary_submit(struct blk_map *m, struct riser_blk_io *io)
{
	for (unsigned i = 0; i < 60; i++)
		if (load_relaxed(&shared.dead)) {
			shared.seen++;
			break;
		}
	blk_leaf_done(m, io, RISER_BLK_OK);
}

static const struct blk_ops canary_ops = { .size = sizeof(canary_ops), .submit = canary_submit };

static void on_done(struct riser_blk_io *io)
{
	ended = true;
}

static void one_io(struct riser_blk_io *io, uint32_t round)
{
	io->op = RISER_BLK_READ;
	io->flags = 0;
	io->sector = 0;
	io->count = 1;
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = on_done;
	ended = false;
	for (unsigned i = 0; i < shared.fill; i++)
		store_relaxed(&shared.lines[i].word, round);
	riser_blk_submit(io);
	while (!ended) {
		/* Deferred: the closer here does not wake us. */
		if (load_acquire(&c->gate) && c->deferred.head)
			gate_run_deferred(c);
		riser_exec_poll(x);
	}
}

static void *submitter(void *arg)
{
	struct riser_blk_io *io = riser_blk_io_get(c);
	uint32_t round = 0;

	while (!load_acquire(&shared.stop)) {
		if (load_acquire(&shared.round) == round)
			continue;
		round++;
		for (unsigned i = round % 64; i > 0; i--)
			cpu_relax();
		one_io(io, round);
		store_release(&shared.done, round);
	}
	riser_blk_io_put(io);
	return NULL;
}

static void close_once(struct riser_blk *b, uint32_t round)
{
	for (unsigned i = 0; i < LINES; i++)
		store_relaxed(&shared.lines[i].word, round);
	store_release(&shared.round, round);
	for (unsigned i = round * 7 % 96; i > 0; i--)
		cpu_relax();
	gate_close(b);
	if (gate_drained(b)) {
		store_seq_cst(&shared.dead, 1);
		for (unsigned i = 0; i < 200; i++)
			__asm__ volatile("");
		store_seq_cst(&shared.dead, 0);
	}
	store_seq_cst(&c->gate, c->map);
	while (load_acquire(&shared.done) != round)
		;
}

/* Return: how often the canary was seen dead. */
static uint64_t litmus(bool barrier, unsigned seconds)
{
	time_t end = time(NULL) + seconds;
	pthread_t thread;
	struct riser_err err;
	struct riser_blk *b;
	uint32_t round = 0;
	struct riser *r;

	memset(&shared, 0, sizeof(shared));
	if (riser_new(NULL, &r, &err) || riser_exec_new(r, &x, &err))
		return 0;
	blk_new(r, &canary_ops, NULL, &b, &err);
	b->sectors = 8;
	riser_blk_channel_open(b, x, 1, &c, &err);
	if (!r->membarrier)
		printf("# no membarrier here: the fence is tried instead\n");
	pthread_create(&thread, NULL, submitter, NULL);
	close_once(b, ++round); /* and the channel has the submit function that it keeps */
	r->membarrier = r->membarrier && barrier;
	while (time(NULL) < end && !(shared.seen && !barrier)) {
		for (unsigned f = 0; f < array_len(fillers); f++) {
			shared.fill = fillers[f];
			for (unsigned i = 0; i < ROUNDS / array_len(fillers); i++)
				close_once(b, ++round);
		}
	}
	store_release(&shared.stop, 1);
	pthread_join(thread, NULL);
	printf("# %u rounds, seen dead %" PRIu64 " times\n", round, shared.seen);
	riser_blk_channel_close(c);
	riser_blk_close(b);
	riser_exec_free(x);
	riser_free(r);
	return shared.seen;
}

TEST(with_the_barrier_nobody_is_inside)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one processor: the threads never meet");
	CHECK_EQ(litmus(true, 10), 0);
}

TEST(without_the_barrier_somebody_is)
{
	struct riser *r;
	bool has;

	CHECK_EQ(riser_new(NULL, &r, NULL), 0);
	has = r->membarrier;
	riser_free(r);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || !has)
		SKIP("one processor, or no membarrier to leave out");
	CHECK(litmus(false, 60) > 0);
}

TEST_MAIN(CASE(with_the_barrier_nobody_is_inside), CASE(without_the_barrier_somebody_is))
