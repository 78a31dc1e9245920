/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the block core itself costs: a 4 KiB read on null:, with its get and put, at queue depth 32;
 * and what a linear layer adds to that. Built with the library's objects, because nothing public
 * makes a layer yet.
 *
 *	blk				both figures, by callgrind, the caller's loop included
 *	blk --run NAME --ios N		one loop alone
 */
#include "blk/source.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* All instructions of a run. */
static double count(const char *self, const char *name, unsigned ios)
{
	char command[8192], line[256];
	double total = -1;
	FILE *p;

	snprintf(
		command, sizeof(command),
		"valgrind --tool=callgrind --callgrind-out-file=/dev/null '%s' --run %s --ios %u 2>&1",
		self, name, ios);
	p = popen(command, "r");
	while (p && fgets(line, sizeof(line), p)) {
		const char *at = strstr(line, "Collected : ");

		if (at)
			total = atof(at + strlen("Collected : "));
	}
	if (!p || pclose(p) || total < 0) {
		fprintf(stderr, "bench: valgrind did not count %s\n", name);
		exit(1);
	}
	return total;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "run", required_argument, NULL, 'r' },
						 { "ios", required_argument, NULL, 'n' },
						 { "json", no_argument, NULL, 'j' },
						 { 0 } };
	const char *name = NULL;
	uint64_t ios = 100000;
	bool json = false;
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int c;

	self[n > 0 ? n : 0] = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			name = optarg;
		else if (c == 'n')
			ios = strtoull(optarg, NULL, 0);
		else if (c == 'j')
			json = true;
		else
			return 2;
	}
	if (name)
		return run(name, ios);
	for (unsigned i = 0; i < 2; i++) {
		double per = (count(self, names[i], 64000) - count(self, names[i], 32000)) / 32000;

		printf(json ? "{\"name\":\"%s.instructions\",\"value\":%.2f,\"unit\":"
			      "\"instructions per I/O, the caller's loop included\"}\n"
			    : "%-32s %8.2f instructions\n",
		       names[i], per);
	}
	return 0;
}
