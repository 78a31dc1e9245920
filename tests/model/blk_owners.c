/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Channels on namespaces that another thread than their owner's opens, changes and closes: the
 * queue pair is made there and adopted by the owner.
 */
#include "blk_jobs.h"

/*
 * One long job an owner, and short ones beside it, whose channels share the owner's queue pair;
 * channels that nobody uses come and go as well.
 */
static void open_for_others(const char *uri, uint32_t flags)
{
	struct job longs[OWNERS], shorts[OWNERS];
	struct riser_blk_channel *unused, *held[OWNERS];
	struct owner o[OWNERS];

	SUB(up(uri, flags));
	SUB(owners_up(o, OWNERS));
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < OWNERS; i++)
			CHECK_EQ(riser_blk_channel_open(dev, o[i].x, 1, &held[i], &err), 0);
		for (unsigned i = 0; i < OWNERS; i++)
			SUB(job_give(&longs[i], &o[i], dev, i * 2 * AREA, 200, false));
		CHECK(round || queues() == OWNERS); /* later, the last round's may still go */
		for (unsigned n = 0; n < 10; n++) {
			unsigned at = n % OWNERS;

			SUB(job_give(&shorts[at], &o[at], dev, (at * 2 + 1) * AREA, 4, false));
			CHECK_EQ(riser_blk_channel_open(dev, o[at].x, 1, &unused, &err), 0);
			SUB(job_wait(&shorts[at]));
			riser_blk_channel_close(unused);
		}
		for (unsigned i = 0; i < OWNERS; i++) {
			SUB(job_wait(&longs[i]));
			riser_blk_channel_close(held[i]);
		}
	}
	owners_down(o, OWNERS);
	CHECK_EQ(queues(), 0);
	down();
}

TEST(a_thread_opens_channels_for_others)
{
	SUB(open_for_others("model:nvme?size=64M", 0));
}

TEST(a_thread_opens_channels_for_others_of_a_model_with_a_thread)
{
	SUB(open_for_others("model:nvme?size=64M&mode=thread", 0));
}

/* The owner is who watches the events of a queue pair that another thread made. */
TEST(a_thread_opens_channels_for_others_that_sleep_until_interrupted)
{
	SUB(open_for_others("model:nvme?size=64M&mode=thread&delay=200&irq=1", 0));
}

/* The creating thread's waiting and the owners' are parts of one clock. */
TEST(a_thread_opens_channels_for_others_on_virtual_time)
{
	SUB(open_for_others("model:nvme?size=64M&delay=1000", RISER_VIRTUAL_TIME));
	SUB(open_for_others("model:nvme?size=64M&delay=1000&mode=thread", RISER_VIRTUAL_TIME));
}

/* A command that creates a queue is lost: the thread that wants it steps the recovery. */
TEST(a_reset_while_a_queue_is_made_for_another)
{
	SUB(open_for_others("model:nvme?size=64M&fault=lost,opcode=create-sq,nth=2",
			    RISER_VIRTUAL_TIME));
}

/* The thread that opens runs the owner itself, whose part of the clock it then is. */
TEST(a_reset_while_an_owner_makes_its_own_second_queue)
{
	struct riser_blk_channel *c[2];
	struct riser_exec *x[2];
	uint8_t *buf;
	void *p;

	SUB(up("model:nvme?size=64M&delay=1000&fault=lost,opcode=create-cq,nth=2",
	       RISER_VIRTUAL_TIME));
	CHECK_EQ(riser_exec_new(r, &x[0], &err), 0);
	CHECK_EQ(riser_exec_new(r, &x[1], &err), 0);
	CHECK_EQ(riser_blk_channel_open(dev, x[0], 0, &c[0], &err), 0);
	CHECK_EQ(riser_blk_buf_alloc(c[0], PIECE * 512, &p, &err), 0);
	buf = p;
	CHECK_EQ(riser_blk_rw(c[0], RISER_BLK_WRITE, 0, PIECE, buf, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_channel_open(dev, x[1], 0, &c[1], &err), 0);
	CHECK_EQ(riser_blk_rw(c[0], RISER_BLK_READ, 0, PIECE, buf, 0), RISER_BLK_OK);
	riser_blk_channel_close(c[1]); /* never adopted */
	riser_blk_channel_close(c[0]);
	CHECK_EQ(queues(), 0);
	riser_exec_free(x[1]);
	riser_exec_free(x[0]);
	down();
}

/* The owner gives up what it adopted while another thread's unused channel shares it. */
TEST(the_last_channel_is_one_that_was_never_used)
{
	struct riser_blk_channel *unused;
	struct owner o;
	struct job j;

	SUB(up("model:nvme?size=64M&queues=1", 0));
	SUB(owners_up(&o, 1));
	for (unsigned i = 0; i < 50; i++) {
		SUB(job_give(&j, &o, dev, 0, 2, false));
		CHECK_EQ(riser_blk_channel_open(dev, o.x, 1, &unused, &err), 0);
		SUB(job_wait(&j));
		riser_blk_channel_close(unused);
		while (queues()) /* the owner is woken for it */
			cpu_relax();
	}
	owners_down(&o, 1);
	/* Nobody runs the executor any more: freeing it does what is left. */
	CHECK_EQ(riser_exec_new(r, &o.x, &err), 0);
	SUB(job_give(&j, &o, dev, 0, 2, false));
	CHECK_EQ(riser_blk_channel_open(dev, o.x, 1, &unused, &err), 0);
	while (!j.done)
		riser_exec_poll(o.x);
	riser_exec_poll(o.x); /* j's channel */
	riser_blk_channel_close(unused);
	riser_exec_free(o.x);
	CHECK_EQ(queues(), 0);
	down();
}

/* What befalls the controller before its owner looks at a queue pair the first time. */
TEST(a_reset_and_a_removal_before_the_queue_is_adopted)
{
	struct riser_blk_channel *c[4];
	struct riser_exec *x[4];
	void *p;

	SUB(up("model:nvme?size=64M&fault=gone,opcode=read,nth=2", RISER_VIRTUAL_TIME));
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(riser_exec_new(r, &x[i], &err), 0);
		CHECK_EQ(riser_blk_channel_open(dev, x[i], 0, &c[i], &err), 0);
	}
	CHECK_EQ(riser_blk_buf_alloc(c[0], PIECE * 512, &p, &err), 0);
	CHECK_EQ(riser_nvme_reset(ctrl, NULL, &err), 0);
	CHECK_EQ(riser_blk_rw(c[0], RISER_BLK_WRITE, 0, PIECE, p, 0), RISER_BLK_OK);
	CHECK_EQ(riser_blk_rw(c[0], RISER_BLK_READ, 0, PIECE, p, 0), RISER_BLK_OK);
	riser_blk_channel_close(c[3]); /* its queues went with the reset */
	CHECK_EQ(queues(), 3);
	CHECK_EQ(riser_blk_rw(c[0], RISER_BLK_READ, 0, PIECE, p, 0), RISER_BLK_OFFLINE);
	CHECK_EQ(riser_blk_rw(c[1], RISER_BLK_READ, 0, PIECE, p, 0), RISER_BLK_OFFLINE);
	for (unsigned i = 0; i < 3; i++)
		riser_blk_channel_close(c[i]);
	CHECK_EQ(queues(), 0);
	for (unsigned i = 0; i < 4; i++)
		riser_exec_free(x[i]);
	down();
}

TEST(a_thousand_channels_opened_and_closed)
{
	struct riser_blk_channel *c;
	struct riser_exec *x;

	SUB(up("model:nvme?size=64M&queues=1", 0));
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	for (unsigned i = 0; i < 1000; i++) {
		if (riser_blk_channel_open(dev, x, 1, &c, &err))
			FAIL("%u: %s", i, err.text);
		CHECK_EQ(queues(), 1);
		riser_blk_channel_close(c);
		CHECK_EQ(queues(), 0);
	}
	riser_exec_free(x);
	down();
}

/* Threads that open for one owner at a time: all get the same queue pair. */
struct opener {
	pthread_t thread;
	struct riser_exec *x;
	int rc;
	unsigned most;
};

static void *open_many(void *arg)
{
	struct opener *o = arg;
	struct riser_blk_channel *c;

	for (unsigned i = 0; i < 100 && !o->rc; i++) {
		o->rc = riser_blk_channel_open(dev, o->x, 1, &c, NULL);
		if (o->rc)
			break;
		o->most = max_of(o->most, queues());
		riser_blk_channel_close(c);
	}
	return NULL;
}

TEST(several_threads_open_for_one_owner)
{
	struct riser_blk_channel *c;
	struct opener o[3];
	struct riser_exec *x;

	SUB(up("model:nvme?size=64M&queues=4", 0));
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	for (unsigned hold = 0; hold < 2; hold++) {
		if (hold) /* so that it is not made anew each time */
			CHECK_EQ(riser_blk_channel_open(dev, x, 1, &c, &err), 0);
		for (unsigned i = 0; i < 3; i++) {
			o[i] = (struct opener){ .x = x };
			CHECK_EQ(pthread_create(&o[i].thread, NULL, open_many, &o[i]), 0);
		}
		for (unsigned i = 0; i < 3; i++) {
			pthread_join(o[i].thread, NULL);
			CHECK_EQ(o[i].rc, 0);
			/* While one is being taken down another may be made. */
			CHECK(o[i].most >= 1 && o[i].most <= (hold ? 1 : 4));
		}
	}
	riser_blk_channel_close(c);
	CHECK_EQ(queues(), 0);
	riser_exec_free(x);
	down();
}

TEST(a_thread_that_owns_nothing_swaps)
{
	SUB(swap_for_others("model:nvme?size=64M", "model:nvme?size=65M", 0, 60));
	SUB(swap_for_others("model:nvme?size=64M", "model:nvme?size=65M", RISER_NO_MEMBARRIER, 20));
}

TEST(a_thread_that_owns_nothing_swaps_over_models_with_threads)
{
	SUB(swap_for_others("model:nvme?size=64M&mode=thread", "model:nvme?size=65M&mode=thread", 0,
			    30));
}

/* An owner that sleeps, his queue used before, is woken to close what each swap takes from him. */
TEST(rule_5_a_sleeping_owner_hoards_no_queues_in_10000_swaps)
{
	struct riser_blk *other, *top;
	struct riser_blk_channel *c;
	unsigned most = 0;
	struct owner o;
	struct job j;

	SUB(up("model:nvme?size=64M&queues=1", 0)); /* a second one at a time would not be given */
	CHECK_EQ(riser_blk_open(r, "model:nvme?size=65M&queues=1", RISER_BLK_RDWR, &other, &err),
		 0);
	top = fix_linear_new(r, "the top", dev, 0, AREA * PIECE, true);
	SUB(owners_up(&o, 1));
	CHECK_EQ(riser_blk_channel_open(top, o.x, 1, &c, &err), 0);
	SUB(job_give(&j, &o, top, 0, 2, false));
	SUB(job_wait(&j));
	for (unsigned i = 0; i < 10000; i++) {
		struct riser_blk *to = i % 2 ? dev : other;

		if (fix_linear_swap(top, NULL, to, 0, AREA * PIECE, 60 * SECONDS, &err))
			FAIL("swap %u: %s", i, err.text);
		most = max_of(most, queues());
	}
	CHECK_EQ(most, 1);
	riser_blk_channel_close(c); /* never used: any thread may */
	owners_down(&o, 1);
	CHECK_EQ(queues(), 0);
	riser_blk_close(top);
	riser_blk_close(other);
	CHECK_EQ(fix_bad, 0);
	CHECK_EQ(fix_live_maps, 0);
	down();
}

/* Channels are opened and closed, used and not, while another thread swaps. */
struct swapper {
	pthread_t thread;
	struct riser_blk *top, *lower[2];
	uint32_t stop; /* atomic */
	unsigned swaps;
	bool early; /* it took the table away from whom it was being built on */
	int rc;
};

static void *swap_on(void *arg)
{
	struct swapper *s = arg;

	while (!load_acquire(&s->stop) && !s->rc) {
		struct riser_blk *to = s->lower[++s->swaps % 2];

		s->rc = fix_linear_swap(s->top, NULL, to, 0, AREA * PIECE, 60 * SECONDS, NULL);
	}
	return NULL;
}

TEST(channels_come_and_go_while_another_thread_swaps)
{
	struct riser_blk_channel *unused;
	struct swapper s = { 0 };
	struct owner o[2];
	struct job j;

	SUB(up("model:nvme?size=64M", 0));
	CHECK_EQ(riser_blk_open(r, "model:nvme?size=65M", RISER_BLK_RDWR, &s.lower[1], &err), 0);
	s.lower[0] = dev;
	SUB(prefill(s.lower[0]));
	SUB(prefill(s.lower[1]));
	s.top = fix_linear_new(r, "the top", dev, 0, AREA * PIECE, true);
	SUB(owners_up(o, 2));
	CHECK_EQ(pthread_create(&s.thread, NULL, swap_on, &s), 0);
	for (unsigned i = 0; i < 150; i++) {
		SUB(job_give(&j, &o[i % 2], s.top, i % (AREA / 2), 1 + i % 5, true));
		CHECK_EQ(riser_blk_channel_open(s.top, o[1 - i % 2].x, 1, &unused, &err), 0);
		SUB(job_wait(&j));
		riser_blk_channel_close(unused);
	}
	store_release(&s.stop, 1);
	pthread_join(s.thread, NULL);
	CHECK_EQ(s.rc, 0);
	CHECK(s.swaps > 1);
	owners_down(o, 2);
	CHECK_EQ(queues(), 0);
	riser_blk_close(s.top);
	riser_blk_close(s.lower[1]);
	CHECK_EQ(fix_bad, 0);
	CHECK_EQ(fix_live_maps, 0);
	down();
}

static struct swapper building_swap;

static void *swap_once(void *arg)
{
	struct swapper *s = arg;

	s->rc = fix_linear_swap(s->top, NULL, s->lower[1], 0, AREA * PIECE, 60 * SECONDS, NULL);
	return NULL;
}

/* A swap begins while the map of a new channel is made, and gets as far as it can. */
static void while_building(struct riser_blk *b)
{
	struct timespec ts = { .tv_nsec = 20 * 1000 * 1000 };
	enum blk_state state = BLK_LIVE;
	void *table = b->table;

	fix_building = NULL;
	CHECK_EQ(pthread_create(&building_swap.thread, NULL, swap_once, &building_swap), 0);
	while (state == BLK_LIVE) {
		pthread_mutex_lock(&b->lock);
		state = b->state;
		pthread_mutex_unlock(&b->lock);
	}
	nanosleep(&ts, NULL);
	pthread_mutex_lock(&b->lock);
	building_swap.early = b->table != table;
	pthread_mutex_unlock(&b->lock);
}

TEST(a_swap_waits_for_a_channel_that_is_being_opened)
{
	struct swapper *s = &building_swap;
	struct riser_blk_channel *c;
	struct riser_exec *x;

	SUB(up("model:nvme?size=64M", 0));
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
	*s = (struct swapper){ .lower[0] = dev };
	CHECK_EQ(riser_blk_open(r, "model:nvme?size=65M", RISER_BLK_RDWR, &s->lower[1], &err), 0);
	s->top = fix_linear_new(r, "the top", dev, 0, AREA * PIECE, true);
	fix_building = while_building;
	CHECK_EQ(riser_blk_channel_open(s->top, x, 1, &c, &err), 0);
	pthread_join(s->thread, NULL);
	CHECK_EQ(s->rc, 0);
	CHECK(!s->early);
	/* The map that was made for the table that went is dropped. */
	CHECK_EQ(riser_blk_rw(c, RISER_BLK_FLUSH, 0, 0, NULL, 0), RISER_BLK_OK);
	CHECK_EQ(queues(), 0);
	CHECK_EQ(fix_live_maps, 1);
	riser_blk_channel_close(c);
	riser_blk_close(s->top);
	riser_blk_close(s->lower[1]);
	riser_exec_free(x);
	down();
}

TEST_MAIN(CASE(a_thread_opens_channels_for_others),
	  CASE(a_thread_opens_channels_for_others_of_a_model_with_a_thread),
	  CASE(a_thread_opens_channels_for_others_that_sleep_until_interrupted),
	  CASE(a_thread_opens_channels_for_others_on_virtual_time),
	  CASE(a_reset_while_a_queue_is_made_for_another),
	  CASE(a_reset_while_an_owner_makes_its_own_second_queue),
	  CASE(the_last_channel_is_one_that_was_never_used),
	  CASE(a_reset_and_a_removal_before_the_queue_is_adopted),
	  CASE(a_thousand_channels_opened_and_closed), CASE(several_threads_open_for_one_owner),
	  CASE(a_thread_that_owns_nothing_swaps),
	  CASE(a_thread_that_owns_nothing_swaps_over_models_with_threads),
	  CASE(rule_5_a_sleeping_owner_hoards_no_queues_in_10000_swaps),
	  CASE(channels_come_and_go_while_another_thread_swaps),
	  CASE(a_swap_waits_for_a_channel_that_is_being_opened))
