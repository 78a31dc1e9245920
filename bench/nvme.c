/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What an NVMe read costs. The shipped libriser.so through its public headers, on riser's model:
 * inline and on virtual time where instructions, doorbells and polls are counted (the same on any
 * machine), on its own thread where time is.
 *
 *	nvme				a table
 *	nvme --json [--only instructions]	one JSON object a line
 *	nvme --run NAME --ios N		one loop alone, for a profiler
 */
#include "bench.h"
#include "callgrind.h"
#include <riser/blk.h>
#include <riser/nvme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS     64
#define REGION_SIZE (4u << 20)
#define SLOTS_MAX   128

static const struct loop {
	const char *name;
	const char *uri; /* of the model, but for its mode */
	uint32_t bytes;
	uint32_t offset; /* of a buffer in its page */
	unsigned depth;
	bool blk;
} loops[] = {
	{ "nvme.qpair.read4k.qd1", "iommu-page=4K", 4096, 0, 1, false },
	{ "nvme.qpair.read4k.qd32", "iommu-page=4K", 4096, 0, 32, false },
	{ "nvme.qpair.read4k.unaligned.qd1", "iommu-page=4K", 4096, 512, 1, false },
	{ "nvme.qpair.read4k.unaligned.qd32", "iommu-page=4K", 4096, 512, 32, false },
	{ "nvme.qpair.read4k.delta.qd32", "iommu-page=2M", 4096, 0, 32, false },
	{ "nvme.qpair.read128k.qd32", "iommu-page=4K", 131072, 0, 32, false },
	{ "nvme.qpair.read128k.unaligned.qd32", "iommu-page=4K", 131072, 512, 32, false },
	{ "nvme.blk.read4k.qd32", "iommu-page=4K", 4096, 0, 32, true },
	{ "nvme.blk.read4k.unaligned.qd32", "iommu-page=4K", 4096, 512, 32, true },
};
#define LOOPS (sizeof(loops) / sizeof(loops[0]))

struct rig;

struct slot {
	struct riser_nvme_req req;
	struct rig *rig;
	char *buf;
	uint64_t lba;
};

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_nvme *c;
	struct riser_nvme_ns *ns;
	struct riser_nvme_qpair *q;
	struct riser_blk *b;
	struct riser_blk_channel *ch;
	void *regions[REGIONS];
	struct slot slots[SLOTS_MAX];
	const struct loop *loop;
	uint32_t blocks;
	uint64_t todo, inflight, done, errors, polls; /* done: since set_up() */
};

static void die(const char *what, const struct riser_err *err)
{
	fprintf(stderr, "bench: %s: %s\n", what, err->text);
	exit(1);
}

/* Small models complete at most 8 a poll, as a device that does not wait for us would. */
static void set_up(struct rig *g, const struct loop *l, const char *mode, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct riser_err err = { 0 };
	char uri[160];

	memset(g, 0, sizeof(*g));
	g->loop = l;
	g->blocks = l->bytes / 512;
	snprintf(uri, sizeof(uri), "model:nvme?mode=%s&batch=8&size=1G&%s", mode, l->uri);
	if (riser_new(&opts, &g->r, &err) || riser_exec_new(g->r, &g->x, &err))
		die("context", &err);
	if (l->blk) {
		if (riser_blk_open(g->r, uri, 0, &g->b, &err) ||
		    riser_blk_channel_open(g->b, g->x, l->depth, &g->ch, &err))
			die(uri, &err);
	} else if (riser_nvme_open(g->r, uri, NULL, &g->c, &err) ||
		   riser_nvme_ns_open(g->c, g->x, 1, &g->ns, &err) ||
		   riser_nvme_qpair_open(g->c, g->x, NULL, &g->q, &err)) {
		die(uri, &err);
	}
	for (unsigned i = 0; i < REGIONS; i++)
		if (riser_mem_alloc(g->r, REGION_SIZE, &g->regions[i], &err))
			die("memory", &err);
	for (unsigned i = 0; i < l->depth; i++)
		g->slots[i].rig = g;
}

static void tear_down(struct rig *g)
{
	riser_blk_channel_close(g->ch);
	riser_blk_close(g->b);
	riser_nvme_qpair_close(g->q);
	riser_nvme_ns_close(g->ns);
	riser_nvme_close(g->c);
	for (unsigned i = 0; i < REGIONS; i++)
		riser_mem_free(g->r, g->regions[i]);
	riser_exec_free(g->x);
	riser_free(g->r);
}

/* The next buffer: another region each time, another page in it. */
static inline char *next_buffer(struct rig *g)
{
	uint64_t n = g->todo;

	return (char *)g->regions[n % REGIONS] + (n / REGIONS * 8192) % (REGION_SIZE / 2) +
	       g->loop->offset;
}

static void qpair_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct slot *s = (struct slot *)req;
	struct rig *g = s->rig;

	(void)result;
	g->errors += status != 0;
	g->done++;
	if (g->todo) {
		g->todo--;
		g->errors += riser_nvme_read(g->q, g->ns, &s->req, next_buffer(g),
					     g->todo * 8 % 65536, g->blocks) != 0;
	} else {
		g->inflight--;
	}
}

static void blk_done(struct riser_blk_io *io)
{
	struct rig *g = io->user;

	g->errors += io->status != RISER_BLK_OK;
	g->done++;
	if (!g->todo) {
		g->inflight--;
		riser_blk_io_put(io);
		return;
	}
	g->todo--;
	io->one.iov_base = next_buffer(g);
	io->iov_off = 0;
	io->sector = g->todo * 8 % 65536;
	riser_blk_submit(io);
}

static void start_blk(struct rig *g)
{
	struct riser_blk_io *io = riser_blk_io_get(g->ch);

	io->op = RISER_BLK_READ;
	io->flags = 0;
	io->sector = 0;
	io->count = g->blocks;
	io->one = (struct iovec){ next_buffer(g), g->loop->bytes };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = blk_done;
	io->user = g;
	riser_blk_submit(io);
}

static void run(struct rig *g, uint64_t ios)
{
	g->todo = ios;
	for (unsigned i = 0; i < g->loop->depth && g->todo; i++) {
		g->todo--;
		g->inflight++;
		g->slots[i].req.done = qpair_done;
		if (g->loop->blk)
			start_blk(g);
		else
			g->errors += riser_nvme_read(g->q, g->ns, &g->slots[i].req, next_buffer(g),
						     0, g->blocks) != 0;
	}
	while (g->inflight && !g->errors) {
		if (g->loop->blk)
			riser_exec_poll(g->x);
		else
			riser_nvme_qpair_poll(g->q, SLOTS_MAX);
		g->polls++;
	}
	if (g->errors) {
		fprintf(stderr, "bench: %s: %llu errors\n", g->loop->name,
			(unsigned long long)g->errors);
		exit(1);
	}
}

static struct bench bench = { .ios = 10000 };

static void count_instructions(void)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		double n =
			callgrind_per_io(bench.self, loops[i].name, 2000, 12000, CALLGRIND_DRIVER);

		if (n < 0)
			exit(1);
		bench_print(&bench, loops[i].name, "instructions", n, "instructions per I/O");
	}
}

static void count_polls(const struct loop *l)
{
	struct riser_nvme_qpair_info a, b;
	static struct rig g;
	uint64_t ios = 20000, polls;

	set_up(&g, l, "inline", RISER_VIRTUAL_TIME);
	run(&g, 1000);
	polls = g.polls;
	riser_nvme_qpair_get_info(g.q, &a);
	run(&g, ios);
	riser_nvme_qpair_get_info(g.q, &b);
	bench_print(&bench, l->name, "doorbells", (double)(b.doorbells - a.doorbells) / (double)ios,
		    "doorbell writes per I/O");
	bench_print(&bench, l->name, "polls", (double)(g.polls - polls) / (double)ios,
		    "polls per I/O");
	tear_down(&g);
}

static void time_inline(const struct loop *l)
{
	uint64_t start, ios = 300000;
	static struct rig g;

	set_up(&g, l, "inline", 0);
	run(&g, 10000);
	start = riser_now(g.r);
	run(&g, ios);
	bench_print(&bench, l->name, "ns", (double)(riser_now(g.r) - start) / (double)ios,
		    "ns per I/O, the inline model's included");
	tear_down(&g);
}

static void time_threaded(uint32_t bytes, unsigned depth)
{
	char name[64];
	struct loop l = { name, "iommu-page=4K", bytes, 0, depth, false };
	uint64_t start, end, before;
	static struct rig g;
	double seconds;

	snprintf(name, sizeof(name), "nvme.threaded.read%s.qd%u", bytes == 512 ? "512" : "4k",
		 depth);
	set_up(&g, &l, "thread", 0);
	run(&g, 1000);
	before = g.done;
	start = riser_now(g.r);
	end = start + 300000000ull;
	while (riser_now(g.r) < end)
		run(&g, 2000);
	seconds = (double)(riser_now(g.r) - start) / 1e9;
	bench_print(&bench, name, "iops", (double)(g.done - before) / seconds, "I/Os per second");
	tear_down(&g);
}

static int run_alone(const char *name, uint64_t ios)
{
	static struct rig g;

	for (unsigned i = 0; i < LOOPS; i++) {
		if (strcmp(loops[i].name, name))
			continue;
		set_up(&g, &loops[i], "inline", RISER_VIRTUAL_TIME);
		run(&g, ios);
		tear_down(&g);
		return 0;
	}
	fprintf(stderr, "bench: no loop '%s'; there are:\n", name);
	for (unsigned i = 0; i < LOOPS; i++)
		fprintf(stderr, "  %s\n", loops[i].name);
	return 2;
}

int main(int argc, char **argv)
{
	if (!bench_parse(&bench, argc, argv))
		return 2;
	if (bench.run)
		return run_alone(bench.run, bench.ios);
	if (!bench.only || !strcmp(bench.only, "instructions"))
		count_instructions();
	if (bench.only)
		return strcmp(bench.only, "instructions") ? 2 : 0;
	for (unsigned i = 0; i < LOOPS; i++) {
		time_inline(&loops[i]);
		if (!loops[i].blk)
			count_polls(&loops[i]);
	}
	for (unsigned d = 0; d < 4; d++) {
		static const unsigned depths[] = { 1, 4, 32, 128 };

		time_threaded(512, depths[d]);
		time_threaded(4096, depths[d]);
	}
	return 0;
}
