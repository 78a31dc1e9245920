/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What mapped devices cost: 4 KiB reads at queue depth 32 on null: through tables, by callgrind, on
 * the shipped library; the caller's loop, with get and put, is part of every figure.
 *
 *	dm				all figures
 *	dm --json			the same, one JSON object a line
 *	dm --run NAME --ios N		one loop alone
 */
#include "bench.h"
#include "callgrind.h"
#include "reads.h"
#include <riser/dm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS 1048576ull
#define LEVELS  10

/*
 * @levels of @table, each over the one before it: @ is the device below, SECTORS long. @opaque:
 * nobody passes them by. @home: the executor is another than the caller's.
 */
static const struct loop {
	const char *name, *table;
	unsigned levels;
	bool opaque, home;
} loops[] = {
	{ "dm.null.read4k.qd32", NULL, 0, false, false },
	{ "dm.linear.read4k.qd32", "0 1048576 linear @ 0", 1, false, false },
	{ "dm.striped.read4k.qd32", "0 1048576 striped 2 128 @ 0 @ 524288", 1, false, false },
	{ "dm.ten_compiled.read4k.qd32", "0 1048576 linear @ 0", LEVELS, false, false },
	{ "dm.ten_uncompiled.read4k.qd32", "0 1048576 linear @ 0", LEVELS, true, false },
	{ "dm.ten_map.read4k.qd32", "0 524288 linear @ 524288\n524288 524288 linear @ 0", LEVELS,
	  true, false },
	/* Its second line makes it HOME; the reads are on the first. */
	{ "dm.home.read4k.qd32", "0 1048576 linear @ 0\n1048576 8 delay @ 0 0", 1, false, true },
	{ "dm.target.read4k.qd32", "0 1048576 flakey @ 0 1 0", 1, false, false },
};
#define LOOPS (sizeof(loops) / sizeof(loops[0]))

static _Noreturn void die(const struct riser_err *err)
{
	fprintf(stderr, "bench: %s\n", err->text);
	exit(1);
}

static void put_table(char *out, size_t len, const char *table, const char *below)
{
	size_t n = 0;

	for (; *table; table++)
		n += (size_t)snprintf(out + n, len - n, "%.*s", *table == '@' ? 16 : 1,
				      *table == '@' ? below : table);
}

static struct riser_dm *level_up(struct riser *r, const struct loop *l, unsigned level)
{
	char name[16], below[16], table[256];
	struct riser_dm *d;
	struct riser_err err;

	snprintf(name, sizeof(name), "d%u", level);
	snprintf(below, sizeof(below), "dm:d%u", level - 1);
	put_table(table, sizeof(table), l->table, level ? below : "null:512M");
	if (riser_dm_create(r, name, NULL, l->opaque ? RISER_DM_OPAQUE : 0, &d, &err) ||
	    riser_dm_load(d, NULL, table, NULL, &err) || riser_dm_resume(d, NULL, UINT64_MAX, &err))
		die(&err);
	return d;
}

static int run(const char *name, uint64_t ios)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct riser_exec *x, *home = NULL;
	struct riser_blk_channel *c, *first = NULL;
	struct riser_dm *d[LEVELS] = { 0 };
	const struct loop *l = loops;
	struct riser_blk *b;
	struct riser_err err;
	struct riser *r;
	char uri[16];

	while (l < loops + LOOPS && strcmp(name, l->name))
		l++;
	if (l == loops + LOOPS) {
		fprintf(stderr, "bench: no loop '%s'\n", name);
		return 2;
	}
	if (riser_new(&opts, &r, &err) || riser_exec_new(r, &x, &err))
		die(&err);
	for (unsigned i = 0; i < l->levels; i++)
		d[i] = level_up(r, l, i);
	snprintf(uri, sizeof(uri), l->levels ? "dm:d%u" : "null:512M", l->levels - 1);
	if (riser_blk_open(r, uri, RISER_BLK_RDWR, &b, &err))
		die(&err);
	/* Home is where the first channel is. */
	if (l->home &&
	    (riser_exec_new(r, &home, &err) || riser_blk_channel_open(b, home, 1, &first, &err)))
		die(&err);
	if (riser_blk_channel_open(b, x, READS_DEPTH, &c, &err))
		die(&err);
	reads(c, x, home, ios);
	riser_blk_channel_close(c);
	riser_blk_channel_close(first);
	riser_blk_close(b);
	for (unsigned i = l->levels; i-- > 0;)
		if (riser_dm_remove(d[i], x, &err))
			die(&err);
	riser_exec_free(home);
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
	for (size_t i = 0; i < LOOPS; i++) {
		double n = callgrind_per_io(bench.self, loops[i].name, 32000, 64000, CALLGRIND_ALL);

		if (n < 0)
			return 1;
		bench_print(&bench, loops[i].name, "instructions", n,
			    "instructions per I/O, the caller's loop included");
	}
	return 0;
}
