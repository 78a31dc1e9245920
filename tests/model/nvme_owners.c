/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Four owners on four threads, one of whom goes away in the middle, and a fifth thread in
 * synchronous calls, on a controller that misbehaves in every way that the model knows: each I/O
 * ends once, the data is what it must be, every tracker comes back, and nothing hangs.
 *
 * On virtual time with the model inline (whoever polls steps it), and in real time with the model
 * on its own thread. Seeds differ from run to run of the mixes; RISER_TEST_SEED chooses the first.
 */
#include "nvme_load.h"
#include <pthread.h>
#include <time.h>

#define OWNERS 4u
#define ABSENT (OWNERS - 1)

struct owner {
	pthread_t thread;
	struct riser_exec *x;
	struct riser_nvme_qpair *q;
	struct load load;
	unsigned ios;
	bool is_absent;
};

static struct owner owners[OWNERS];

/* Owners that are through; the absent one sleeps until the others are. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned through;

static void wait_until_through(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (through < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* With commands in flight that nobody will look at for long. */
static void go_away(struct owner *o)
{
	o->load.left = LOAD_SLOTS;
	load_fill(&o->load);
	riser_nvme_qpair_poll(o->q, 1);
	riser_exec_leave(o->x);
	wait_until_through(OWNERS - 1);
}

static void *own(void *arg)
{
	struct owner *o = arg;

	if (o->is_absent) {
		load_run(&o->load, o->ios / 2);
		go_away(o);
	}
	load_run(&o->load, o->ios);
	riser_exec_leave(o->x);
	pthread_mutex_lock(&lock);
	through++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return NULL;
}

struct caller {
	pthread_t thread;
	unsigned calls, refused;
	int odd; /* a result that no call may have */
};

static void called(struct caller *s, int rc)
{
	s->calls++;
	if (rc == RISER_NVME_HOST_TIMEOUT || rc == RISER_NVME_HOST_OFFLINE ||
	    rc == RISER_NVME_HOST_INTERRUPTED)
		s->refused++;
	else if (rc)
		s->odd = rc;
}

/* Let time pass, virtual or real: who always finds something to do keeps virtual time from going
 * on. */
static void pause_a_little(void)
{
	uint64_t until = riser_now(r) + SECOND / 100;
	struct sync_wait w;

	sync_wait_begin(&w, r, NULL);
	while (riser_now(r) < until) {
		sync_wait_look(&w);
		sync_wait_idle(&w, until);
	}
	sync_wait_end(&w);
}

static void *call(void *arg)
{
	struct caller *s = arg;
	struct riser_nvme_smart smart;
	uint8_t page[4096];
	uint32_t value;

	for (bool done = false; !done;) {
		called(s, riser_nvme_identify(c, NULL, RISER_NVME_CNS_CTRL, 0, 0, 0, page));
		called(s, riser_nvme_get_log(c, NULL, RISER_NVME_LOG_SMART, RISER_NVME_NSID_ALL, 0,
					     &smart, sizeof(smart)));
		called(s, riser_nvme_get_feature(c, NULL, RISER_NVME_FEAT_TEMP_THRESHOLD, 0, 0,
						 &value));
		pause_a_little();
		pthread_mutex_lock(&lock);
		done = through == OWNERS;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void open_owners(uint32_t qpair_flags, unsigned ios, uint32_t seed)
{
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts),
					       .flags = qpair_flags,
					       .entries = ENTRIES };

	for (unsigned i = 0; i < OWNERS; i++) {
		struct owner *o = &owners[i];

		memset(o, 0, sizeof(*o));
		o->ios = ios;
		o->is_absent = i == ABSENT;
		CHECK_EQ(riser_exec_new(r, &o->x, &err), 0);
		CHECK_EQ(riser_nvme_qpair_open(c, o->x, &qopts, &o->q, &err), 0);
		SUB(load_begin(&o->load, o->q, o->x, i * LOAD_SLOTS, seed + i));
		riser_exec_leave(o->x);
	}
	riser_exec_leave(x);
}

static void run_owners(struct caller *s)
{
	through = 0;
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < OWNERS; i++)
		CHECK_EQ(pthread_create(&owners[i].thread, NULL, own, &owners[i]), 0);
	CHECK_EQ(pthread_create(&s->thread, NULL, call, s), 0);
	for (unsigned i = 0; i < OWNERS; i++)
		pthread_join(owners[i].thread, NULL);
	pthread_join(s->thread, NULL);
}

/* In this thread, one owner after the other, with all well again. */
static void judge(struct owner *o, bool is_gone)
{
	struct riser_nvme_qpair_info info;

	if (!is_gone && !o->load.bad)
		load_verify(&o->load);
	run_for(o->x, SECOND / 10); /* what waits for the answer of an Abort */
	riser_exec_leave(o->x);
	info = queue_info(o->q);
	printf("# queue %u: %u ok, %u unknown, %u failed, %u stray, %u sent again\n", info.qid,
	       o->load.ok, o->load.unknown, o->load.failed, (unsigned)info.stray,
	       (unsigned)info.retries);
	if (o->load.bad)
		FAIL("%s", o->load.bad);
	CHECK_EQ(o->load.inflight, 0);
	CHECK_EQ(info.inflight, 0);
	CHECK_EQ(info.free, ENTRIES - 1);
}

static void close_owners(void)
{
	for (unsigned i = 0; i < OWNERS; i++) {
		struct owner *o = &owners[i];

		riser_nvme_qpair_close(o->q);
		load_end(&o->load);
		riser_exec_free(o->x);
	}
}

/**
 * struct mix - what goes wrong
 * @gone: it ends with the controller gone
 */
struct mix {
	const char *faults;
	bool gone;
};

static const struct mix mixes[] = {
	{ "delay=1ms,every=3" },
	{ "lost,queue=io,every=53,times=12" },
	{ "lost,queue=io,every=97,times=6;abort-refused" },
	{ "lost,queue=io,every=97,times=4;abort-lies" },
	{ "lost,queue=io,every=61,times=10;abort-refused,every=3;abort-lies,every=4;"
	  "delay=2ms,opcode=abort" },
	{ "cfs,queue=io,every=150,times=4" },
	{ "cfs,queue=io,every=150,times=2;stuck-rdy,phase=disable" },
	{ "cfs,queue=io,every=150,times=2;stuck-rdy,phase=enable" },
	{ "lost,opcode=get-log,every=7,times=2;lost,opcode=identify,every=9,times=2;"
	  "lost,queue=io,every=101,times=4" },
	{ "cfs,queue=io,every=200,times=3;lost,opcode=create-cq,times=1;"
	  "delay=5ms,opcode=create-sq;lost,opcode=set-features,nth=2" },
	{ "status=0x281,queue=io,every=31;lost,queue=io,every=67,times=6;"
	  "lost,opcode=delete-sq,times=1;abort-refused,every=2;cfs,queue=io,nth=400" },
	{ "lost,queue=io,every=40;gone,queue=io,nth=300", true },
};

static void play(const struct mix *mix, const char *uri, uint32_t flags, uint32_t qpair_flags,
		 const struct riser_nvme_opts *nopts, unsigned ios, uint32_t seed)
{
	struct caller s;

	printf("# seed %u: %s\n", seed, mix->faults);
	SUB(open_context(flags));
	SUB(open_controller(uri, nopts, NULL));
	SUB(open_owners(qpair_flags, ios, seed));
	SUB(add_faults(mix->faults));
	SUB(run_owners(&s));
	model_nvme_fault_clear(model());
	for (unsigned i = 0; i < OWNERS; i++)
		SUB(judge(&owners[i], mix->gone));
	printf("# %u synchronous calls, %u refused; %u resets\n", s.calls, s.refused,
	       ctrl_info().generation);
	CHECK_EQ(s.odd, 0);
	CHECK(s.calls > 0);
	CHECK_EQ(ctrl_info().gone, mix->gone);
	CHECK_EQ(counters().dma_refused, 0);
	close_owners();
	close_all();
}

static uint32_t first_seed(void)
{
	const char *text = getenv("RISER_TEST_SEED");

	return text ? (uint32_t)strtoul(text, NULL, 0) : 1;
}

TEST(on_virtual_time)
{
	struct riser_nvme_opts nopts = { .size = sizeof(nopts), .flags = RISER_NVME_RDWR };

	for (unsigned i = 0; i < array_len(mixes); i++)
		for (unsigned k = 0; k < 2; k++)
			SUB(play(&mixes[i],
				 k ? "model:nvme?size=16M&batch=8" : "model:nvme?size=16M",
				 RISER_VIRTUAL_TIME, 0, &nopts, 200, first_seed() + 10 * i + k));
}

static void real_time(uint32_t qpair_flags, unsigned step)
{
	struct riser_nvme_opts nopts = { .size = sizeof(nopts),
					 .flags = RISER_NVME_RDWR,
					 .io_timeout_ms = 200,
					 .admin_timeout_ms = 500 };

	for (unsigned i = 0; i < array_len(mixes); i += step)
		SUB(play(&mixes[i], "model:nvme?size=16M&mode=thread&to=1", 0, qpair_flags, &nopts,
			 200, first_seed() + 1000 + i));
}

TEST(in_real_time_on_a_model_with_a_thread)
{
	real_time(0, 1);
}

TEST(in_real_time_by_interrupt)
{
	real_time(RISER_NVME_QPAIR_IRQ, 3);
}

TEST_MAIN(CASE(on_virtual_time), CASE(in_real_time_on_a_model_with_a_thread),
	  CASE(in_real_time_by_interrupt))
