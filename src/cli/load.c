/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Each slot has a buffer and at most one I/O in flight; a completion starts the next one. With
 * verify every block that is written carries its own number in each sector, and is read back
 * afterwards.
 */
#include "cli/load.h"
#include "cli/json.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IODEPTH_MAX 4096
#define RUNTIME_MAX 1000000000
#define BS_MAX      (64 * MiB)

struct load_slot {
	struct load *load;
	void *buf;
	uint64_t block;
	uint64_t began;
};

/* xorshift64*: good enough to spread I/O, and the same on each run. */
static uint64_t draw(struct load *l)
{
	l->seed ^= l->seed >> 12;
	l->seed ^= l->seed << 25;
	l->seed ^= l->seed >> 27;
	return l->seed * 2685821657736338717u;
}

static uint64_t sector_of(const struct load *l, uint64_t block)
{
	return block * (l->a.bs >> RISER_SECTOR_SHIFT);
}

static void stamp(const struct load *l, void *buf, uint64_t block)
{
	uint64_t sector = sector_of(l, block);

	for (uint64_t at = 0; at < l->a.bs; at += RISER_SECTOR_SIZE, sector++)
		for (size_t i = 0; i < RISER_SECTOR_SIZE; i += sizeof(sector))
			memcpy((char *)buf + at + i, &sector, sizeof(sector));
}

static void submit(struct load_slot *s, uint64_t now);

static void done(struct riser_blk_io *io)
{
	struct load_slot *s = io->user;
	struct load *l = s->load;
	uint64_t now = riser_now(l->c->r);
	int status = io->status;
	uint32_t raw = io->raw_status;

	hist_add(&l->hist, now - s->began);
	riser_blk_io_put(io);
	l->ended++;
	if (status && !l->rc)
		l->rc = dev_fail_io(l->c, &l->d, l->write ? RISER_BLK_WRITE : RISER_BLK_READ,
				    s->block * l->a.bs, status, raw);
	if (!l->rc && now < l->until && l->started < l->a.ios)
		submit(s, now);
}

static void submit(struct load_slot *s, uint64_t now)
{
	struct load *l = s->load;
	struct riser_blk_io *io = riser_blk_io_get(l->d.ch);

	s->block = l->random ? draw(l) % l->blocks : l->sequence++ % l->blocks;
	if (l->written) {
		stamp(l, s->buf, s->block);
		l->written[s->block / 8] |= (uint8_t)(1u << s->block % 8);
	}
	s->began = now;
	io->op = l->write ? RISER_BLK_WRITE : RISER_BLK_READ;
	io->flags = 0;
	io->sector = sector_of(l, s->block);
	io->count = (uint32_t)(l->a.bs >> RISER_SECTOR_SHIFT);
	io->one = (struct iovec){ .iov_base = s->buf, .iov_len = l->a.bs };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->meta = NULL;
	io->done = done;
	io->user = s;
	l->started++;
	riser_blk_submit(io);
}

int load_verify(struct load *l)
{
	char *got = l->slots[0].buf, *want = malloc(l->a.bs);
	int rc = want ? 0 : cli_fail(l->c, CLI_FAILED, "no memory");

	for (uint64_t block = 0; block < l->blocks && !rc; block++) {
		if (!(l->written[block / 8] & 1u << block % 8))
			continue;
		rc = riser_blk_rw(l->d.ch, RISER_BLK_READ, sector_of(l, block),
				  (uint32_t)(l->a.bs >> RISER_SECTOR_SHIFT), got, 0);
		if (rc) {
			rc = dev_fail_io(l->c, &l->d, RISER_BLK_READ, block * l->a.bs, rc, 0);
			break;
		}
		stamp(l, want, block);
		for (uint64_t i = 0; i < l->a.bs && memcmp(got, want, l->a.bs); i++)
			if (got[i] != want[i]) {
				rc = cli_fail(l->c, CLI_MISMATCH,
					      "%s does not hold what was written, first at byte "
					      "%" PRIu64,
					      l->d.uri, block * l->a.bs + i);
				break;
			}
	}
	free(want);
	return rc;
}

bool load_writes(const struct cli *c)
{
	return strstr(c->common.load.rw, "write");
}

int load_check(struct cli *c)
{
	const struct cli_load *a = &c->common.load;

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
	return 0;
}

static int check_device(struct load *l)
{
	const struct riser_blk_info *i = &l->d.info;

	if (l->a.bs % i->logical_block)
		return cli_fail(l->c, CLI_FAILED,
				"--bs %" PRIu64 " is not a multiple of the %u-byte blocks of %s",
				l->a.bs, i->logical_block, l->d.uri);
	l->blocks = l->d.bytes / l->a.bs;
	if (!l->blocks)
		return cli_fail(l->c, CLI_FAILED, "%s is smaller than --bs", l->d.uri);
	return 0;
}

static int prepare(struct load *l)
{
	int rc = 0;

	l->slots = calloc(l->a.iodepth, sizeof(*l->slots));
	if (l->verify)
		l->written = calloc(1, l->blocks / 8 + 1);
	if (!l->slots || (l->verify && !l->written))
		return cli_fail(l->c, CLI_FAILED, "no memory");
	for (uint32_t i = 0; i < l->a.iodepth && !rc; i++) {
		l->slots[i].load = l;
		rc = riser_blk_buf_alloc(l->d.ch, l->a.bs, &l->slots[i].buf, &l->c->err);
	}
	return rc ? cli_fail_err(l->c, rc) : 0;
}

int load_open(struct load *l, struct cli *c, const char *uri, const char *name)
{
	int rc;

	l->c = c;
	l->a = c->common.load;
	l->seed = 0x9e3779b97f4a7c15u;
	l->write = load_writes(c);
	l->random = !strncmp(l->a.rw, "rand", 4);
	rc = dev_open(c, &l->d, uri, l->write ? DEV_WRITE : 0, l->a.iodepth);
	l->d.uri = name;
	if (!rc)
		rc = check_device(l);
	return rc ? rc : prepare(l);
}

void load_close(struct load *l)
{
	for (uint32_t i = 0; l->slots && i < l->a.iodepth; i++)
		riser_blk_buf_free(l->d.ch, l->slots[i].buf, l->a.bs);
	free(l->slots);
	free(l->written);
	dev_close(&l->d);
}

int load_run(struct load *l)
{
	uint64_t began = riser_now(l->c->r);

	l->until = l->a.runtime ? began + l->a.runtime * 1000000000ull : UINT64_MAX;
	for (uint32_t i = 0; i < l->a.iodepth && l->started < l->a.ios; i++)
		submit(&l->slots[i], riser_now(l->c->r));
	while (l->ended < l->started)
		if (riser_exec_poll(l->c->x) == 0)
			riser_exec_wait(l->c->x, UINT64_MAX);
	l->seconds = (double)(riser_now(l->c->r) - began) / 1e9;
	return l->rc;
}

void load_print(const struct load *l)
{
	printf("%s %s, %" PRIu64 " bytes, depth %u: %" PRIu64 " I/Os in %.2f s%s\n", l->d.uri,
	       l->a.rw, l->a.bs, l->a.iodepth, l->ended, l->seconds, l->verify ? ", verified" : "");
}

void load_json(const struct load *l, struct json *j)
{
	json_str(j, "uri", l->d.uri);
	json_str(j, "rw", l->a.rw);
	json_u64(j, "bs", l->a.bs);
	json_u64(j, "iodepth", l->a.iodepth);
	json_u64(j, "ios", l->ended);
	json_f64(j, "seconds", l->seconds);
}
