/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the block core itself costs: a 4 KiB read on null:, with its get and put, at queue depth 32;
 * the same through a linear layer; and what a HOME device over null: adds, a linear layer whose
 * home is another executor, driven by the same thread. Built with the library's objects, because
 * nothing public makes a layer yet.
 *
 *	blk				all figures, by callgrind, the caller's loop included
 *	blk --json			the same, one JSON object a line
 *	blk --run NAME --ios N		one loop alone
 */
#include "bench.h"
#include "blk/source.h"
#include "callgrind.h"
#include "reads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum loop { NULL_ALONE, LINEAR, HOME, LOOPS };

static const char *const names[LOOPS] = { "blk.null.read4k.qd32", "blk.linear.read4k.qd32",
					  "blk.home.read4k.qd32" };

static _Noreturn void die(const struct riser_err *err)
{
	fprintf(stderr, "bench: %s\n", err->text);
	exit(1);
}

static int linear_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			  struct blk_map **out, struct riser_err *err)
{
	struct blk_map *m = calloc(1, sizeof(*m));

	blk_map_init(m, b, c);
	if (blk_map_add_lower(m, table, err))
		die(err);
	blk_map_set_linear(m, m->lowers[0], 2048);
	*out = m;
	return 0;
}

static enum blk_verdict linear_map(struct blk_map *m, struct riser_blk_io *io)
{
	return blk_remap(io, m->lowers[0], io->sector + 2048);
}

static const struct blk_ops linear_ops = {
	.size = sizeof(linear_ops),
	.map_new = linear_map_new,
	.map = linear_map,
};

static bool always(const struct riser_blk *b, void *table)
{
	return true;
}

static const struct blk_ops home_ops = {
	.size = sizeof(home_ops),
	.map_new = linear_map_new,
	.map = linear_map,
	.wants_home = always,
};

static struct riser_blk *linear_over(struct riser *r, struct riser_blk *lower, bool home)
{
	struct riser_err err;
	struct riser_blk *b;

	if (blk_new(r, home ? &home_ops : &linear_ops, NULL, &b, &err))
		die(&err);
	b->table = lower;
	b->sectors = lower->sectors - 2048;
	blk_stack_limits(b, lower);
	return b;
}

static int run(const char *name, uint64_t ios)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_exec *x, *home = NULL;
	struct riser_blk *b, *top;
	struct riser_blk_channel *c, *first = NULL;
	struct riser_err err;
	enum loop loop = 0;
	struct riser *r;

	while (loop < LOOPS && strcmp(name, names[loop]))
		loop++;
	if (loop == LOOPS) {
		fprintf(stderr, "bench: no loop '%s'\n", name);
		return 2;
	}
	if (riser_new(&opts, &r, &err) || riser_exec_new(r, &x, &err) ||
	    riser_blk_open(r, "null:1T", 0, &b, &err))
		die(&err);
	top = loop == NULL_ALONE ? b : linear_over(r, b, loop == HOME);
	/* The home is where the first channel is. */
	if (loop == HOME &&
	    (riser_exec_new(r, &home, &err) || riser_blk_channel_open(top, home, 1, &first, &err)))
		die(&err);
	if (riser_blk_channel_open(top, x, READS_DEPTH, &c, &err))
		die(&err);
	reads(c, x, home, ios);
	riser_blk_channel_close(c);
	riser_blk_channel_close(first);
	if (top != b)
		riser_blk_close(top);
	riser_blk_close(b);
	riser_exec_free(home);
	riser_exec_free(x);
	riser_free(r);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench bench = { .ios = 100000 };
	double n[LOOPS];

	if (!bench_parse(&bench, argc, argv))
		return 2;
	if (bench.run)
		return run(bench.run, bench.ios);
	if (bench.only && strcmp(bench.only, "instructions"))
		return 2;
	for (enum loop i = 0; i < LOOPS; i++) {
		n[i] = callgrind_per_io(bench.self, names[i], 32000, 64000, CALLGRIND_ALL);
		if (n[i] < 0)
			return 1;
	}
	for (enum loop i = 0; i < HOME; i++)
		bench_print(&bench, names[i], "instructions", n[i],
			    "instructions per I/O, the caller's loop included");
	bench_print(&bench, names[HOME], "instructions", n[HOME] - n[NULL_ALONE],
		    "instructions per I/O, more than null:");
	return 0;
}
