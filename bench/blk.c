/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the block core itself costs: a 4 KiB read on null:, with its get and put, at queue depth 32;
 * and what a linear layer adds to that. Built with the library's objects, because nothing public
 * makes a layer yet.
 *
 *	blk				both figures, by callgrind, the caller's loop included
 *	blk --json			the same, one JSON object a line
 *	blk --run NAME --ios N		one loop alone
 */
#include "bench.h"
#include "blk/source.h"
#include "callgrind.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 32

static const char *const names[] = { "blk.null.read4k.qd32", "blk.linear.read4k.qd32" };

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

static struct riser_blk *linear_over(struct riser *r, struct riser_blk *lower)
{
	struct riser_err err;
	struct riser_blk *b;

	if (blk_new(r, &linear_ops, NULL, &b, &err))
		die(&err);
	b->table = lower;
	b->sectors = lower->sectors - 2048;
	blk_stack_limits(b, lower);
	return b;
}

static void on_done(struct riser_blk_io *io)
{
	riser_blk_io_put(io);
}

static void loop(struct riser_exec *x, struct riser_blk_channel *c, char *buf, uint64_t ios)
{
	struct riser_blk_io *io;

	while (ios) {
		while (ios && (io = riser_blk_io_get(c))) {
			io->op = RISER_BLK_READ;
			io->sector = ios * 8 & 0xfffff;
			io->count = 8;
			io->one.iov_base = buf;
			io->one.iov_len = 4096;
			io->iov = &io->one;
			io->iovcnt = 1;
			io->done = on_done;
			riser_blk_submit(io);
			ios--;
		}
		riser_exec_poll(x);
	}
}

static int run(const char *name, uint64_t ios)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	bool layered = !strcmp(name, names[1]);
	struct riser_blk_channel *c;
	static char buf[4096];
	struct riser_blk *b, *top;
	struct riser_err err;
	struct riser_exec *x;
	struct riser *r;

	if (!layered && strcmp(name, names[0])) {
		fprintf(stderr, "bench: no loop '%s'; there are %s and %s\n", name, names[0],
			names[1]);
		return 2;
	}
	if (riser_new(&opts, &r, &err) || riser_exec_new(r, &x, &err) ||
	    riser_blk_open(r, "null:1T", 0, &b, &err))
		die(&err);
	top = layered ? linear_over(r, b) : b;
	if (riser_blk_channel_open(top, x, DEPTH, &c, &err))
		die(&err);
	loop(x, c, buf, ios);
	riser_blk_channel_close(c);
	if (layered)
		riser_blk_close(top);
	riser_blk_close(b);
	riser_exec_free(x);
	riser_free(r);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench bench = { .ios = 100000 };

	if (!bench_parse(&bench, argc, argv))
		return 2;
	if (bench.run)
		return run(bench.run, bench.ios);
	if (bench.only && strcmp(bench.only, "instructions"))
		return 2;
	for (unsigned i = 0; i < 2; i++) {
		double n = callgrind_per_io(bench.self, names[i], 32000, 64000, CALLGRIND_ALL);

		if (n < 0)
			return 1;
		bench_print(&bench, names[i], "instructions", n,
			    "instructions per I/O, the caller's loop included");
	}
	return 0;
}
