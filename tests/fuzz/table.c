/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The text of a table, and messages to its targets.
 *
 * covers: src/dm/table.c src/dm/target/delay.c src/dm/target/dust.c src/dm/target/error.c
 * covers: src/dm/target/flakey.c src/dm/target/linear.c src/dm/target/striped.c
 * covers: src/dm/target/switch.c src/dm/target/unstriped.c src/dm/target/zero.c
 * covers: src/dm/target/fault_rule.c src/dm/stats_message.c
 *
 * What stands above the first line "--" is a table, each line below it a message to the target at
 * its first word's sector. The context knows mem:, null: and dm: alone, and no large devices, so
 * that whatever a table names harms nobody. A table that is refused must say where and why; one
 * that is not must be made again by what it shows of itself, and do I/O.
 */
#include "base/err.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include "base/util.h"
#include "blk/source.h"
#include "fuzz.h"
#include <errno.h>
#include <riser/dm.h>
#include <string.h>

#define SIZE_LIMIT (16 * MiB)
#define LINES_MAX  64 /* of a table: each target may take a megabyte */
#define IO_MAX     16 /* sectors */

extern const struct blk_source source_mem, source_null, source_dm;

static int open_small(const struct blk_source *s, struct riser *r, const struct uri *u,
		      uint32_t flags, struct riser_blk **out, struct riser_err *err)
{
	uint64_t size;

	if (parse_size(u->rest, &size) || size > SIZE_LIMIT)
		return err_set(err, -EINVAL, "'%s' is too large to be played with", u->rest);
	return s->open(r, u, flags, out, err);
}

static int open_mem(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		    struct riser_err *err)
{
	return open_small(&source_mem, r, u, flags, out, err);
}

static int open_null(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		     struct riser_err *err)
{
	return open_small(&source_null, r, u, flags, out, err);
}

static int open_nothing(struct riser *r, const struct uri *u, uint32_t flags,
			struct riser_blk **out, struct riser_err *err)
{
	return err_set(err, -EINVAL, "unknown scheme '%s'", u->scheme);
}

static const struct blk_source small_mem = { sizeof(small_mem), "mem", "", true, 0, open_mem };
static const struct blk_source small_null = { sizeof(small_null), "null", "", true, 0, open_null };
static const struct blk_source *const sources[] = { &small_mem, &small_null, &source_dm, NULL };
static const struct pci_access *const accesses[] = { NULL };
static const struct publish_ops *const publishers[] = { NULL };

struct fuzz {
	struct riser *r;
	struct riser_exec *x;
	struct riser_dm *low, *d;
	bool stops; /* I/O may come to a breakpoint, for ever */
};

static void set_up(struct fuzz *f)
{
	static struct registry registry = { .sources = sources,
					    .accesses = accesses,
					    .publishers = publishers,
					    .open_by_class = open_nothing };
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	if (!registry.targets) {
		FUZZ_CHECK(!riser_new(&opts, &f->r, NULL));
		registry.targets = f->r->registry->targets;
		riser_free(f->r);
	}
	FUZZ_CHECK(!base_new(&opts, &registry, &f->r, NULL));
	FUZZ_CHECK(!riser_exec_new(f->r, &f->x, NULL));
	FUZZ_CHECK(!riser_dm_create(f->r, "low", NULL, 0, &f->low, NULL));
	FUZZ_CHECK(!riser_dm_load(f->low, f->x, "0 64 zero\n64 1984 linear mem:1M 64", NULL, NULL));
	FUZZ_CHECK(!riser_dm_resume(f->low, f->x, NS_PER_S, NULL));
	FUZZ_CHECK(!riser_dm_create(f->r, "d", NULL, 0, &f->d, NULL));
}

/* What is said to be wrong is in the text, or just behind its line. */
static void check_blame(const char *text, const struct riser_dm_where *where,
			const struct riser_err *err)
{
	FUZZ_CHECK(err->text[0]);
	if (!where->line)
		return;
	for (unsigned i = 1; i < where->line; i++) {
		text = strchr(text, '\n');
		FUZZ_CHECK(text);
		text++;
	}
	FUZZ_CHECK(where->column);
	FUZZ_CHECK(where->column + where->len <= strcspn(text, "\n") + 3);
}

static char *shown(struct fuzz *f, enum riser_status_type type, bool inactive)
{
	char *text;

	FUZZ_CHECK(!riser_dm_status(f->d, f->x, type, inactive, &text, NULL));
	return text;
}

/* What it shows of itself makes it again. */
static void check_round_trip(struct fuzz *f)
{
	char *once = shown(f, RISER_STATUS_TABLE, true), *again;

	FUZZ_CHECK(!riser_dm_load(f->d, f->x, once, NULL, NULL));
	again = shown(f, RISER_STATUS_TABLE, true);
	FUZZ_CHECK(!strcmp(once, again));
	free(once);
	free(again);
}

static void some_io(struct riser_blk_channel *c, uint64_t sector, uint32_t count)
{
	static const enum riser_blk_op ops[] = { RISER_BLK_READ,    RISER_BLK_WRITE,
						 RISER_BLK_COMPARE, RISER_BLK_WRITE_ZEROES,
						 RISER_BLK_DISCARD, RISER_BLK_FLUSH };
	static uint8_t data[IO_MAX * RISER_SECTOR_SIZE];

	for (size_t i = 0; i < array_len(ops); i++)
		FUZZ_CHECK(riser_blk_rw(c, ops[i], sector, count, data, 0) >= 0);
	FUZZ_CHECK(riser_blk_rw(c, RISER_BLK_WRITE, sector, count, data, RISER_BLK_FUA) >= 0);
}

/* Around each line's first sector. */
static void all_io(struct fuzz *f, struct riser_blk_channel *c)
{
	char *table = shown(f, RISER_STATUS_TABLE, false);

	for (char *line = f->stops ? NULL : strtok(table, "\n"); line; line = strtok(NULL, "\n")) {
		uint64_t begin = strtoull(line, NULL, 10);

		some_io(c, begin > 5 ? begin - 5 : 0, IO_MAX);
		some_io(c, begin & ~7ull, 8);
	}
	free(table);
}

static void messages(struct fuzz *f, char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		struct riser_err err = { 0 };
		char *rest, *answer;
		uint64_t sector = strtoull(line, &rest, 10);
		int rc = riser_dm_message(f->d, f->x, sector, rest, &answer, &err);

		FUZZ_CHECK(!rc || err.text[0]);
		if (!rc)
			free(answer);
	}
}

static void live(struct fuzz *f, char *rest)
{
	struct riser_blk_channel *c;
	struct riser_blk *b;

	FUZZ_CHECK(!riser_dm_resume(f->d, f->x, NS_PER_S, NULL));
	FUZZ_CHECK(!riser_blk_open(f->r, "dm:d", RISER_BLK_RDWR, &b, NULL));
	FUZZ_CHECK(!riser_blk_channel_open(b, f->x, 0, &c, NULL));
	all_io(f, c);
	if (rest) {
		messages(f, rest);
		all_io(f, c);
	}
	free(shown(f, RISER_STATUS_INFO, false));
	riser_blk_channel_close(c);
	riser_blk_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), *rest;
	struct riser_dm_where where;
	struct riser_err err = { 0 };
	unsigned lines = 0;
	struct fuzz f = { 0 };

	memcpy(text, data, size);
	f.stops = strstr(text, "break");
	rest = strstr(text, "\n--\n");
	if (rest) {
		*rest = 0;
		rest += 4;
	}
	for (const char *s = text; *s; s++)
		lines += *s == '\n';
	if (lines >= LINES_MAX) {
		free(text);
		return 0;
	}
	set_up(&f);
	if (riser_dm_load(f.d, f.x, text, &where, &err)) {
		check_blame(text, &where, &err);
	} else {
		check_round_trip(&f);
		live(&f, rest);
	}
	FUZZ_CHECK(!riser_dm_remove(f.d, f.x, NULL));
	FUZZ_CHECK(!riser_dm_remove(f.low, f.x, NULL));
	riser_exec_free(f.x);
	riser_free(f.r);
	free(text);
	return 0;
}
