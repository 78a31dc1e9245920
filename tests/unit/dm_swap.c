/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Tables swapped under load: four threads write and verify, each its own part of a mapped device,
 * while that device and those below it get one equivalent table after the other. Some owners sleep
 * in riser_exec_wait(), one on the descriptor alone; the leaves end I/O from another thread. What
 * is swapped is the device at the top by a thread that owns nothing, and those below by one of the
 * owners.
 *
 *	RISER_SWAPS=N	so many of each mode instead of 500
 *
 * The data lies in one of two ways, which decides what is equivalent:
 *
 *	LINE	leaf:0 from sector 8 on, also by way of low and mid, and of veil, which is opaque
 *	STRIPES	chunks of 4 on leaf:1 and leaf:2
 */
#include "dm_leaves.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>

enum { OWNERS = 4, PART = 16, TOTAL = OWNERS * PART, FLIGHT = 4 };

static struct riser_err err;
static struct riser *r;
static struct riser_dm *low, *mid, *veil, *top;

static const char *const line_views[] = {
	"0 64 linear leaf:0 8",
	"0 10 linear leaf:0 8\n10 21 linear leaf:0 18\n31 33 linear leaf:0 39",
	"0 64 linear dm:mid 0",
	"0 30 linear dm:mid 0\n30 34 linear leaf:0 38",
	"0 64 linear dm:veil 0",
	"0 16 linear dm:veil 0\n16 16 linear dm:low 20\n32 32 linear dm:mid 32",
	"0 64 striped 1 16 dm:mid 0",
};
static const char *const stripe_views[] = {
	"0 64 striped 2 4 leaf:1 0 leaf:2 0",
	"0 32 striped 2 4 leaf:1 0 leaf:2 0\n32 32 striped 2 4 leaf:1 16 leaf:2 16",
	"0 4 linear leaf:1 0\n4 4 linear leaf:2 0\n8 56 striped 2 4 leaf:1 4 leaf:2 4",
};

/* An owner: FLIGHT I/Os, each on sectors of its own. */
struct job {
	struct owner *o;
	uint64_t sector, tag; /* what is there */
	uint8_t buf[512];
};

struct owner {
	pthread_t thread;
	struct riser_exec *x;
	struct riser_blk_channel *c;
	unsigned number, inflight;
	bool by_fd, swaps;
	uint64_t seed, ios, tags[PART];
	struct job jobs[FLIGHT];
	uint32_t stop, failed; /* atomic */
	uint32_t changes;      /* made by it */
};

static struct owner owners[OWNERS];
static uint32_t stop_kicking, most_maps;

static void fill(uint8_t *buf, uint64_t tag)
{
	for (unsigned i = 0; i < 512; i += 8)
		memcpy(buf + i, &tag, 8);
}

static bool filled(const uint8_t *buf, uint64_t tag)
{
	return !memcmp(buf, &tag, 8) && !memcmp(buf, buf + 8, 504);
}

static void failed(struct owner *o, const char *what, uint64_t sector)
{
	store_relaxed(&o->failed, o->failed + 1);
	fix_broken("owner %u: %s at %" PRIu64, o->number, what, sector);
}

static void on_done(struct riser_blk_io *io)
{
	struct job *j = io->user;
	struct owner *o = j->o;

	if (io->status != RISER_BLK_OK)
		failed(o, riser_blk_status_name((enum riser_blk_status)io->status), j->sector);
	else if (io->op == RISER_BLK_READ && !filled(j->buf, o->tags[j->sector % PART]))
		failed(o, "other data", j->sector);
	j->sector = UINT64_MAX;
	o->inflight--;
	store_relaxed(&o->ios, o->ios + 1);
	riser_blk_io_put(io);
}

static bool is_free(const struct owner *o, uint64_t sector)
{
	for (unsigned i = 0; i < FLIGHT; i++)
		if (o->jobs[i].sector == sector)
			return false;
	return true;
}

static void start(struct owner *o, struct job *j)
{
	struct riser_blk_io *io = riser_blk_io_get(o->c);
	unsigned what = (unsigned)(fix_rand(&o->seed) % 16);
	uint64_t sector;

	do
		sector = o->number * PART + fix_rand(&o->seed) % PART;
	while (!is_free(o, sector));
	j->sector = sector;
	io->op = what == 0 ? RISER_BLK_FLUSH : what % 2 ? RISER_BLK_WRITE : RISER_BLK_READ;
	io->flags = what == 1 ? RISER_BLK_FUA : what == 3 ? RISER_BLK_PREFLUSH : 0;
	io->sector = io->op == RISER_BLK_FLUSH ? 0 : sector;
	io->count = io->op == RISER_BLK_FLUSH ? 0 : 1;
	if (io->op == RISER_BLK_WRITE) {
		o->tags[sector % PART] = o->ios << 8 | (unsigned)(o->number << 4) | 1;
		fill(j->buf, o->tags[sector % PART]);
	}
	io->one = (struct iovec){ j->buf, 512 };
	io->iov = &io->one;
	io->iovcnt = 1;
	io->iov_off = 0;
	io->done = on_done;
	io->user = j;
	o->inflight++;
	riser_blk_submit(io);
}

/* Until something happened. Without a timeout: what does not wake it hangs the test. */
static void sleep_on(struct owner *o)
{
	struct pollfd p = { .fd = riser_exec_fd(o->x), .events = POLLIN };

	if (!o->by_fd) {
		riser_exec_wait(o->x, TIME_NEVER);
		return;
	}
	if (riser_exec_arm(o->x) == 0 && riser_exec_poll(o->x) == 0 && riser_exec_arm(o->x) == 0)
		poll(&p, 1, -1);
	riser_exec_poll(o->x);
}

/* Suspend what is skipped, or give it another table that shows the same. */
static void change_below(struct owner *o)
{
	static const char *const lows[] = { "0 72 linear leaf:0 4",
					    "0 7 linear leaf:0 4\n7 65 linear leaf:0 11" };
	static const char *const mids[] = { "0 64 linear dm:low 4",
					    "0 9 linear dm:low 4\n9 55 linear leaf:0 17" };
	struct riser_err e;
	int rc;

	switch (fix_rand(&o->seed) % 3) {
	case 0:
		rc = riser_dm_suspend(low, o->x, 60 * NS_PER_S, &e);
		if (!rc)
			rc = riser_dm_resume(low, o->x, 60 * NS_PER_S, &e);
		break;
	case 1:
		rc = leaves_table(low, o->x, lows[o->changes % 2], &e);
		break;
	default:
		rc = leaves_table(mid, o->x, mids[o->changes / 2 % 2], &e);
		break;
	}
	if (rc)
		failed(o, e.text, 0);
	store_relaxed(&o->changes, o->changes + 1);
}

static void read_back(struct owner *o)
{
	uint8_t buf[512];

	for (unsigned i = 0; i < PART; i++)
		if (riser_blk_rw(o->c, RISER_BLK_READ, o->number * PART + i, 1, buf, 0) ||
		    !filled(buf, o->tags[i]))
			failed(o, "other data at the end", o->number * PART + i);
}

static void *owner_main(void *arg)
{
	struct owner *o = arg;

	fix_this = o->x;
	for (unsigned i = 0; i < FLIGHT; i++)
		o->jobs[i] = (struct job){ .o = o, .sector = UINT64_MAX };
	while (!load_acquire(&o->stop) || o->inflight) {
		for (unsigned i = 0; i < FLIGHT && !load_acquire(&o->stop); i++)
			if (o->jobs[i].sector == UINT64_MAX)
				start(o, &o->jobs[i]);
		if (o->swaps && fix_rand(&o->seed) % 32 == 0)
			change_below(o);
		sleep_on(o);
	}
	read_back(o);
	riser_blk_channel_close(o->c);
	while (riser_exec_poll(o->x) > 0)
		;
	return NULL;
}

static void *kicker_main(void *arg)
{
	while (!load_acquire(&stop_kicking)) {
		for (unsigned i = 0; i < 3; i++)
			fix_leaf_kick(leaves[i]);
		sched_yield();
	}
	return NULL;
}

/* Where a sector of the device lies. */
static uint8_t *place(bool stripes, unsigned sector)
{
	unsigned chunk = sector / 4;
	struct fix_leaf *d;

	if (!stripes) {
		d = leaves[0]->priv;
		return d->data + (8 + sector) * 512;
	}
	d = leaves[1 + chunk % 2]->priv;
	return d->data + (chunk / 2 * 4 + sector % 4) * 512;
}

/* The device is suspended: nobody looks. The old place is made useless. */
static void move(bool to_stripes)
{
	for (unsigned i = 0; i < 3; i++)
		pthread_mutex_lock(&((struct fix_leaf *)leaves[i]->priv)->lock);
	for (unsigned i = 0; i < TOTAL; i++) {
		memcpy(place(to_stripes, i), place(!to_stripes, i), 512);
		memset(place(!to_stripes, i), 0x5a, 512);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_mutex_unlock(&((struct fix_leaf *)leaves[i]->priv)->lock);
}

/* Between two swaps there is I/O, and time for the others' changes. */
static void let_run(void)
{
	uint64_t ios = 0, enough;

	for (unsigned i = 0; i < OWNERS; i++)
		ios += load_relaxed(&owners[i].ios);
	for (enough = ios + 20; ios < enough; sched_yield()) {
		ios = 0;
		for (unsigned i = 0; i < OWNERS; i++)
			ios += load_relaxed(&owners[i].ios);
	}
}

/* One swap of the top, which moves the data every now and then. */
static int swap(unsigned i, bool *stripes)
{
	bool turn = i % 7 == 6;
	const char *view;
	int rc = 0;

	if (turn || i % 3 == 0)
		rc = riser_dm_suspend(top, NULL, 60 * NS_PER_S, &err);
	if (!rc && turn) {
		*stripes = !*stripes;
		move(*stripes);
	}
	view = *stripes ? stripe_views[i % array_len(stripe_views)]
			: line_views[i % array_len(line_views)];
	most_maps = max_of(most_maps, load_relaxed(&fix_live_maps));
	return rc ? rc : leaves_table(top, NULL, view, &err);
}

static struct riser_dm *make(const char *name, uint32_t flags, const char *table)
{
	struct riser_dm *d = NULL;

	if (riser_dm_create(r, name, NULL, flags, &d, &err) || leaves_table(d, NULL, table, &err)) {
		printf("# %s: %s\n", name, err.text);
		tap_failed = true;
	}
	return d;
}

static void up(uint32_t flags, enum fix_mode mode)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };

	CHECK_EQ(registry_up(), 0);
	CHECK_EQ(base_new(&opts, &registry, &r, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		leaves[i] = fix_leaf_new(r, "leaf", 96, mode, 0);
		leaves[i]->write_cache = true;
		leaves[i]->fua = i > 0;
	}
	SUB(low = make("low", 0, "0 72 linear leaf:0 4"));
	SUB(mid = make("mid", 0, "0 64 linear dm:low 4"));
	SUB(veil = make("veil", RISER_DM_OPAQUE, "0 64 linear dm:low 4"));
	SUB(top = make("top", 0, line_views[0]));
}

static void down(void)
{
	CHECK_EQ(riser_dm_remove(top, NULL, &err), 0);
	CHECK_EQ(riser_dm_remove(veil, NULL, &err), 0);
	CHECK_EQ(riser_dm_remove(mid, NULL, &err), 0);
	CHECK_EQ(riser_dm_remove(low, NULL, &err), 0);
	for (unsigned i = 0; i < 3; i++)
		riser_blk_close(leaves[i]);
	riser_free(r);
	CHECK_EQ(fix_live_maps, 0);
	CHECK_EQ(fix_bad, 0);
}

static void owners_start(void)
{
	memset(owners, 0, sizeof(owners));
	for (unsigned i = 0; i < OWNERS; i++) {
		struct owner *o = &owners[i];

		o->number = i;
		o->seed = i + 1;
		o->by_fd = i == 1;
		o->swaps = i == 2;
		for (unsigned k = 0; k < PART; k++)
			fill(place(false, i * PART + k), 0);
		CHECK_EQ(riser_exec_new(r, &o->x, &err), 0);
		CHECK_EQ(riser_blk_channel_open(top->b, o->x, 8, &o->c, &err), 0);
	}
	for (unsigned i = 0; i < OWNERS; i++)
		CHECK_EQ(pthread_create(&owners[i].thread, NULL, owner_main, &owners[i]), 0);
}

static void wake_up(struct riser_work *w)
{
}

static void owners_stop(void)
{
	struct riser_work w[OWNERS];

	for (unsigned i = 0; i < OWNERS; i++) {
		w[i] = (struct riser_work){ NULL, wake_up };
		store_release(&owners[i].stop, 1);
		riser_exec_post(owners[i].x, &w[i]);
	}
	for (unsigned i = 0; i < OWNERS; i++)
		pthread_join(owners[i].thread, NULL);
	for (unsigned i = 0; i < OWNERS; i++) {
		riser_exec_free(owners[i].x);
		CHECK_EQ(owners[i].failed, 0);
		CHECK(owners[i].ios > 0);
	}
}

static void swapping(uint32_t flags, enum fix_mode mode, unsigned share)
{
	const char *text = getenv("RISER_SWAPS");
	unsigned swaps = (text ? (unsigned)strtoul(text, NULL, 0) : 500) / share;
	bool stripes = false;
	pthread_t kicker;

	alarm(text ? 0 : 250);
	most_maps = 0;
	stop_kicking = 0;
	SUB(up(flags, mode));
	CHECK_EQ(pthread_create(&kicker, NULL, kicker_main, NULL), 0);
	SUB(owners_start());
	for (unsigned i = 0; i < swaps; i++) {
		if (swap(i, &stripes))
			FAIL("swap %u: %s", i, err.text);
		let_run();
	}
	SUB(owners_stop());
	store_release(&stop_kicking, 1);
	pthread_join(kicker, NULL);
	printf("# %u swaps, %u below, %" PRIu64 " I/Os, at most %u maps of leaves\n", swaps,
	       owners[2].changes, owners[0].ios + owners[1].ios + owners[2].ios + owners[3].ios,
	       most_maps);
	/* An owner keeps at most 8 dropped maps of a channel, a live one and the next, each with
	 * some channels of leaves below. */
	CHECK(most_maps <= OWNERS * 10 * 32);
	SUB(down());
}

TEST(swaps_with_membarrier)
{
	SUB(swapping(0, FIX_POSTED, 2));
	SUB(swapping(0, FIX_AT_ONCE, 2));
}

TEST(swaps_without_membarrier)
{
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_POSTED, 2));
	SUB(swapping(RISER_NO_MEMBARRIER, FIX_LATE, 2));
}

TEST_MAIN(CASE(swaps_with_membarrier), CASE(swaps_without_membarrier))
