/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * How fast is it? Each slot has a buffer and at most one I/O in flight; a completion starts the
 * next one. With --verify every block that is written carries its own number in each sector, and
 * is read back afterwards.
 */
#include "cli/dev.h"
#include "cli/hist.h"
#include "cli/json.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IODEPTH_MAX 4096
#define RUNTIME_MAX 1000000000
#define BS_MAX      (64 * MiB)

static const char *const loads[] = { "read", "write", "randread", "randwrite", NULL };

struct args {
	const char *rw;
	uint64_t bs;
	uint32_t iodepth;
	uint64_t runtime, ios;
	bool verify, histogram;
};

struct slot {
	struct bench *bench;
	void *buf;
	uint64_t block;
	uint64_t began;
};

struct bench {
	struct cli *c;
	struct args a;
	struct dev d;
	bool write, random;
	uint64_t blocks;
	uint64_t sequence, seed; /* the next block; the generator */
	uint64_t began, until;   /* nanoseconds */
	uint64_t started, ended; /* I/Os */
	struct slot *slots;
	uint8_t *written; /* a bit for each block, with --verify */
	struct hist hist;
	int rc;
};

/* xorshift64*: good enough to spread I/O, and the same on each run. */
static uint64_t draw(struct bench *b)
{
	b->seed ^= b->seed >> 12;
	b->seed ^= b->seed << 25;
	b->seed ^= b->seed >> 27;
	return b->seed * 2685821657736338717u;
}

static uint64_t sector_of(const struct bench *b, uint64_t block)
{
	return block * (b->a.bs >> RISER_SECTOR_SHIFT);
}

static void stamp(const struct bench *b, void *buf, uint64_t block)
{
	uint64_t sector = sector_of(b, block);

	for (uint64_t at = 0; at < b->a.bs; at += RISER_SECTOR_SIZE, sector++)
		for (size_t i = 0; i < RISER_SECTOR_SIZE; i += sizeof(sector))
			memcpy((char *)buf + at + i, &sector, sizeof(sector));
}

static void submit(struct slot *s, uint64_t now);

static void done(struct riser_blk_io *io)
{
	struct slot *s = io->user;
	struct bench *b = s->bench;
	uint64_t now = riser_now(b->c->r);
	int status = io->status;
	uint32_t raw = io->raw_status;

	hist_add(&b->hist, now - s->began);
	riser_blk_io_put(io);
	b->ended++;
	if (status && !b->rc)
		b->rc = dev_fail_io(b->c, &b->d, b->write ? RISER_BLK_WRITE : RISER_BLK_READ,
				    s->block * b->a.bs, status, raw);
	if (!b->rc && now < b->until && b->started < b->a.ios)
		submit(s, now);
}

static void submit(struct slot *s, uint64_t now)
{
	struct bench *b = s->bench;
	struct riser_blk_io *io = riser_blk_io_get(b->d.ch);

	s->block = b->random ? draw(b) % b->blocks : b->sequence++ % b->blocks;
	if (b->written) {
		stamp(b, s->buf, s->block);
		b->written[s->block / 8] |= (uint8_t)(1u << s->block % 8);
	}
	s->began = now;
	io->op = b->write ? RISER_BLK_WRITE : RISER_BLK_READ;
	io->flags = 0;
	io->sector = sector_of(b, s->block);
	io->count = (uint32_t)(b->a.bs >> RISER_SECTOR_SHIFT);
	io->one = (struct iovec){ .iov_base = s->buf, .iov_len = b->a.bs };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->meta = NULL;
	io->done = done;
	io->user = s;
	b->started++;
	riser_blk_submit(io);
}

static void load(struct bench *b)
{
	struct riser_exec *x = b->c->x;

	b->began = riser_now(b->c->r);
	b->until = b->a.runtime ? b->began + b->a.runtime * 1000000000ull : UINT64_MAX;
	for (uint32_t i = 0; i < b->a.iodepth && b->started < b->a.ios; i++)
		submit(&b->slots[i], riser_now(b->c->r));
	while (b->ended < b->started)
		if (riser_exec_poll(x) == 0)
			riser_exec_wait(x, UINT64_MAX);
}

static int check_written(struct bench *b)
{
	char *got = b->slots[0].buf, *want = malloc(b->a.bs);
	int rc = want ? 0 : cli_fail(b->c, CLI_FAILED, "no memory");

	for (uint64_t block = 0; block < b->blocks && !rc; block++) {
		if (!(b->written[block / 8] & 1u << block % 8))
			continue;
		rc = riser_blk_rw(b->d.ch, RISER_BLK_READ, sector_of(b, block),
				  (uint32_t)(b->a.bs >> RISER_SECTOR_SHIFT), got, 0);
		if (rc) {
			rc = dev_fail_io(b->c, &b->d, RISER_BLK_READ, block * b->a.bs, rc, 0);
			break;
		}
		stamp(b, want, block);
		for (uint64_t i = 0; i < b->a.bs && memcmp(got, want, b->a.bs); i++)
			if (got[i] != want[i]) {
				rc = cli_fail(b->c, CLI_MISMATCH,
					      "%s does not hold what was written, first at byte "
					      "%" PRIu64,
					      b->d.uri, block * b->a.bs + i);
				break;
			}
	}
	free(want);
	return rc;
}

static int check_args(struct cli *c, const struct args *a)
{
	bool write = strstr(a->rw, "write");

	if (!a->bs || a->bs > BS_MAX || a->bs % RISER_SECTOR_SIZE)
		return cli_fail(c, CLI_USAGE, "--bs wants a multiple of 512 bytes, at most 64M");
	if (!a->iodepth || a->iodepth > IODEPTH_MAX)
		return cli_fail(c, CLI_USAGE, "--iodepth wants 1 to %d", IODEPTH_MAX);
	if (a->runtime > RUNTIME_MAX)
		return cli_fail(c, CLI_USAGE, "--runtime wants at most %d seconds", RUNTIME_MAX);
	if (!a->runtime && a->ios == UINT64_MAX)
		return cli_fail(c, CLI_USAGE, "--runtime=0 never ends: it wants --ios");
	if (!a->ios)
		return cli_fail(c, CLI_USAGE, "--ios wants 1 or more");
	if (a->verify && !write)
		return cli_fail(c, CLI_USAGE,
				"--verify reads back what was written: it wants --rw=write or "
				"--rw=randwrite");
	return 0;
}

static int check_device(struct bench *b)
{
	const struct riser_blk_info *i = &b->d.info;

	if (b->a.bs % i->logical_block)
		return cli_fail(b->c, CLI_FAILED,
				"--bs %" PRIu64 " is not a multiple of the %u-byte blocks of %s",
				b->a.bs, i->logical_block, b->d.uri);
	b->blocks = b->d.bytes / b->a.bs;
	if (!b->blocks)
		return cli_fail(b->c, CLI_FAILED, "%s is smaller than --bs", b->d.uri);
	return 0;
}

static int prepare(struct bench *b)
{
	int rc = 0;

	b->slots = calloc(b->a.iodepth, sizeof(*b->slots));
	if (b->a.verify)
		b->written = calloc(1, b->blocks / 8 + 1);
	if (!b->slots || (b->a.verify && !b->written))
		return cli_fail(b->c, CLI_FAILED, "no memory");
	for (uint32_t i = 0; i < b->a.iodepth && !rc; i++) {
		b->slots[i].bench = b;
		rc = riser_blk_buf_alloc(b->d.ch, b->a.bs, &b->slots[i].buf, &b->c->err);
	}
	return rc ? cli_fail_err(b->c, rc) : 0;
}

struct percentile {
	const char *name;
	double fraction;
};

static const struct percentile percentiles[] = {
	{ "p50", 0.5 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "max", 1 }
};

static void print_json(struct bench *b, double seconds, const struct riser_blk_stats *st)
{
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "uri", b->d.uri);
	json_str(&j, "rw", b->a.rw);
	json_u64(&j, "bs", b->a.bs);
	json_u64(&j, "iodepth", b->a.iodepth);
	json_u64(&j, "ios", b->ended);
	json_f64(&j, "seconds", seconds);
	json_u64(&j, "iops", (uint64_t)((double)b->ended / seconds));
	json_u64(&j, "bytes_per_second", (uint64_t)((double)(b->ended * b->a.bs) / seconds));
	json_object(&j, "latency_ns");
	json_u64(&j, "min", b->hist.min);
	json_u64(&j, "mean", b->hist.sum / b->hist.total);
	for (size_t i = 0; i < array_len(percentiles); i++)
		json_u64(&j, percentiles[i].name,
			 hist_percentile(&b->hist, percentiles[i].fraction));
	json_end(&j);
	json_u64(&j, "bounces", st->bounces);
	json_u64(&j, "retries", st->retries);
	json_bool(&j, "verified", b->a.verify);
	json_end(&j);
}

static void print_text(struct bench *b, double seconds)
{
	printf("%s %s, %" PRIu64 " bytes, depth %u: %" PRIu64 " I/Os in %.2f s%s\n", b->d.uri,
	       b->a.rw, b->a.bs, b->a.iodepth, b->ended, seconds, b->a.verify ? ", verified" : "");
	printf("  %.0f IOPS, %.1f MB/s\n  latency", (double)b->ended / seconds,
	       (double)(b->ended * b->a.bs) / seconds / 1e6);
	for (size_t i = 0; i < array_len(percentiles); i++)
		printf("%s %s %.1f us", i ? "," : "", percentiles[i].name,
		       (double)hist_percentile(&b->hist, percentiles[i].fraction) / 1e3);
	printf("\n");
	if (b->a.histogram)
		hist_print(&b->hist);
}

static int measure(struct bench *b)
{
	struct riser_blk_stats stats;
	double seconds;
	int rc;

	load(b);
	if (b->rc)
		return b->rc;
	seconds = (double)(riser_now(b->c->r) - b->began) / 1e9;
	riser_blk_channel_stats(b->d.ch, &stats);
	rc = b->a.verify ? check_written(b) : 0;
	if (rc)
		return rc;
	if (b->c->format == FORMAT_JSON)
		print_json(b, seconds, &stats);
	else
		print_text(b, seconds);
	return 0;
}

static void release(struct bench *b)
{
	for (uint32_t i = 0; b->slots && i < b->a.iodepth; i++)
		riser_blk_buf_free(b->d.ch, b->slots[i].buf, b->a.bs);
	free(b->slots);
	free(b->written);
	dev_close(&b->d);
	free(b);
}

static int run(struct cli *c)
{
	struct bench *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return cli_fail(c, CLI_FAILED, "no memory");
	b->c = c;
	b->seed = 0x9e3779b97f4a7c15u;
	b->a = (struct args){
		.rw = loads[0], .bs = 4 * KiB, .iodepth = 1, .runtime = 3, .ios = UINT64_MAX
	};
	rc = cli_parse(c, &b->a);
	if (!rc)
		rc = check_args(c, &b->a);
	if (rc)
		goto out;
	b->write = strstr(b->a.rw, "write");
	b->random = !strncmp(b->a.rw, "rand", 4);
	rc = dev_open(c, &b->d, c->arg[0], b->write ? DEV_WRITE : 0, b->a.iodepth);
	if (!rc)
		rc = check_device(b);
	if (!rc)
		rc = prepare(b);
	if (!rc)
		rc = measure(b);
out:
	release(b);
	return rc;
}

static const struct opt opts[] = {
	{ "rw", 0, OPT_IS_WORD(struct args, rw), "LOAD",
	  "read, write, randread or randwrite; default read", loads },
	{ "bs", 0, OPT_IS_BYTES(struct args, bs), "SIZE", "of one I/O; default 4K" },
	{ "iodepth", 0, OPT_IS_NUM32(struct args, iodepth), "N", "I/Os in flight; default 1" },
	{ "runtime", 0, OPT_IS_NUM(struct args, runtime), "SECONDS",
	  "stop after so long; default 3, 0 for no limit" },
	{ "ios", 0, OPT_IS_NUM(struct args, ios), "N", "stop after so many I/Os" },
	{ "verify", 0, OPT_IS_BOOL(struct args, verify), NULL,
	  "read back and compare what was written" },
	{ "histogram", 0, OPT_IS_BOOL(struct args, histogram), NULL, "print one of the latencies" },
	{ 0 },
};

const struct cmd cmd_bench = {
	.name = "bench",
	.args = "URI",
	.summary = "measure a device: I/Os a second, throughput, latencies",
	.example = "riser bench model:nvme --rw=randread --iodepth=32",
	.opts = opts,
	.flags = CMD_DESTROYS,
	.run = run,
};
