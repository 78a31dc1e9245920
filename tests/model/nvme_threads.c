/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model with several threads at it: its own, or those that pump. */
#include "base/exec.h"
#include "byhand.h"
#include <sched.h>

#define THREADS 4
#define ROUNDS  (200 * DEPTH)
#define DEPTH   8u
#define FAR     (3600 * NS_PER_S)

/* One thread's queue and blocks. */
struct worker {
	pthread_t thread;
	struct queue q;
	struct sync_wait wait; /* joined all its life, so that no time passes behind its back */
	unsigned index;
	uint64_t errors, ended;
};

static void look(struct sync_wait *w)
{
	uint64_t next = TIME_NEVER;

	if (pci_pump(dev, &next) <= 0)
		sync_wait_idle(w, next);
	else
		w->idle = 0;
}

/* Like ring() and reap(), but for a driver that may have no doorbells mapped. */
static void set_doorbell(unsigned word, uint32_t val)
{
	if (doorbells)
		mmio_write32(&doorbells[word], val);
	else
		pci_write32(dev, 0, 0x1000 + word * 4, val);
}

static bool take(struct queue *q, struct riser_nvme_cqe *out)
{
	struct riser_nvme_cqe *cqe = (struct riser_nvme_cqe *)q->cq.va + q->head;
	uint32_t last = load_acquire((uint32_t *)(void *)&cqe->cid);

	if ((last >> 16 & 1) != q->phase)
		return false;
	*out = *cqe;
	q->head = (q->head + 1) % q->entries;
	q->phase ^= q->head == 0;
	set_doorbell(q->id * 2 + 1, q->head);
	return true;
}

/* Send what was pushed and wait for all of it. */
static void settle(struct worker *w, unsigned n)
{
	struct riser_nvme_cqe cqe;

	set_doorbell(w->q.id * 2, w->q.tail);
	while (n) {
		sync_wait_look(&w->wait);
		if (!take(&w->q, &cqe)) {
			look(&w->wait);
			continue;
		}
		w->errors += status_of(&cqe) != 0;
		n--;
	}
}

/* Write a pattern, read it back elsewhere, compare. */
static void *work(void *arg)
{
	struct worker *w = arg;
	char *base = (char *)mem.va + w->index * 64 * KiB;
	uint64_t iova = mem.iova + w->index * 64 * KiB, lba = w->index * 1000;

	for (unsigned round = 0; round < ROUNDS; round += DEPTH) {
		fill(base, DEPTH * 512, round + w->index);
		memset(base + 32 * KiB, 0, DEPTH * 512);
		for (unsigned i = 0; i < DEPTH; i++)
			push(&w->q, rw(RISER_NVME_IO_WRITE, lba + i, 1, iova + i * 512, 0));
		settle(w, DEPTH);
		for (unsigned i = 0; i < DEPTH; i++)
			push(&w->q,
			     rw(RISER_NVME_IO_READ, lba + i, 1, iova + 32 * KiB + i * 512, 0));
		settle(w, DEPTH);
		w->errors += memcmp(base, base + 32 * KiB, DEPTH * 512) != 0;
	}
	w->ended = clock_now(r);
	sync_wait_end(&w->wait);
	return NULL;
}

/* Somebody who registers memory, reads registers and counters while others do I/O. */
static void *meddle(void *arg)
{
	const bool *stop = arg;
	struct model_nvme_counters counters;
	void *buf;

	while (!load_acquire(stop)) {
		if (riser_mem_alloc(r, 64 * KiB, &buf, NULL) == 0)
			riser_mem_free(r, buf);
		pci_read32(dev, 0, RISER_NVME_REG_CSTS);
		for (unsigned i = 0; i < 100; i++)
			model_nvme_get_counters(dev, &counters);
		sched_yield();
	}
	return NULL;
}

/* Somebody whose next event is far away: virtual time may not reach it while there is I/O. */
static void *far_away(void *arg)
{
	const bool *stop = arg;
	struct clock_part part = { 0 };

	while (!load_acquire(stop))
		clock_idle(r, &part, clock_activity(r), clock_now(r) + FAR);
	clock_leave(r, &part);
	return NULL;
}

static uint32_t admin_run(struct riser_nvme_sqe sqe)
{
	struct worker w = { .q = admin };

	push(&w.q, sqe);
	sync_wait_begin(&w.wait, r, NULL);
	settle(&w, 1);
	sync_wait_end(&w.wait);
	admin = w.q;
	return w.errors ? 1 : 0;
}

static void start(const char *text, uint32_t flags, struct worker *workers)
{
	SUB(open_model(text, flags));
	SUB(alloc_queue(&admin, 0, ENTRIES));
	pci_write32(dev, 0, RISER_NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	pci_write64(dev, 0, RISER_NVME_REG_ASQ, admin.sq.iova);
	pci_write64(dev, 0, RISER_NVME_REG_ACQ, admin.cq.iova);
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE);
	for (unsigned i = 0; i < THREADS; i++) {
		struct worker *w = &workers[i];
		struct riser_nvme_sqe sqe = command(RISER_NVME_ADM_CREATE_CQ, 0);

		memset(w, 0, sizeof(*w));
		w->index = i;
		SUB(alloc_queue(&w->q, i + 1, ENTRIES));
		sqe.prp1 = to_le64(w->q.cq.iova);
		sqe.cdw10 = to_le32((ENTRIES - 1) << 16 | (i + 1));
		sqe.cdw11 = to_le32(1);
		CHECK_EQ(admin_run(sqe), 0);
		sqe.opcode = RISER_NVME_ADM_CREATE_SQ;
		sqe.prp1 = to_le64(w->q.sq.iova);
		sqe.cdw11 = to_le32((i + 1) << 16 | 1);
		CHECK_EQ(admin_run(sqe), 0);
	}
}

static void run_some(const char *text, uint32_t flags, unsigned nworkers)
{
	struct worker workers[THREADS];
	pthread_t meddler, sleeper;
	bool stop = false;
	uint64_t began;

	SUB(start(text, flags, workers));
	began = clock_now(r);
	CHECK_EQ(pthread_create(&meddler, NULL, meddle, &stop), 0);
	for (unsigned i = 0; i < nworkers; i++)
		sync_wait_begin(&workers[i].wait, r, NULL);
	if (flags & RISER_VIRTUAL_TIME)
		CHECK_EQ(pthread_create(&sleeper, NULL, far_away, &stop), 0);
	for (unsigned i = 0; i < nworkers; i++)
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < nworkers; i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK_EQ(workers[i].errors, 0);
		CHECK(workers[i].ended - began < FAR);
	}
	store_release(&stop, true);
	clock_bump(r);
	pthread_join(meddler, NULL);
	if (flags & RISER_VIRTUAL_TIME)
		pthread_join(sleeper, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		free_queue(&workers[i].q);
	close_model();
}

static void run_all(const char *text, uint32_t flags)
{
	run_some(text, flags, THREADS);
}

TEST(a_thread_of_its_own)
{
	run_all("model:nvme?mode=thread", 0);
}

TEST(a_thread_of_its_own_on_a_block_device)
{
	run_all("model:nvme?mode=thread&backing=mem:64M", 0);
}

TEST(whoever_pumps)
{
	run_all("model:nvme", 0);
}

TEST(whoever_pumps_on_a_block_device)
{
	run_all("model:nvme?backing=mem:64M", 0);
}

TEST(whoever_pumps_on_virtual_time)
{
	run_all("model:nvme?delay=1000", RISER_VIRTUAL_TIME);
}

/* Whose pump often finds the model taken, and who has nobody else to wake him. */
TEST(a_lone_one_who_pumps_on_virtual_time)
{
	run_some("model:nvme?delay=1000", RISER_VIRTUAL_TIME, 1);
}

/* Doorbells are not mapped then, so that the clock hears of them. */
TEST(a_thread_of_its_own_on_virtual_time)
{
	run_all("model:nvme?mode=thread&delay=1000", RISER_VIRTUAL_TIME);
}

TEST_MAIN(CASE(a_thread_of_its_own), CASE(a_thread_of_its_own_on_a_block_device),
	  CASE(whoever_pumps), CASE(whoever_pumps_on_a_block_device),
	  CASE(whoever_pumps_on_virtual_time), CASE(a_lone_one_who_pumps_on_virtual_time),
	  CASE(a_thread_of_its_own_on_virtual_time))
