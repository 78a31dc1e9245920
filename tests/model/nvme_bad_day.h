/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A controller that misbehaves by script: one thread, the model inline, virtual time.
 *
 * All cases end in finish(): every tracker is back, and the device never reached for memory that
 * it had no right to.
 */
#ifndef TESTS_MODEL_NVME_BAD_DAY_H
#define TESTS_MODEL_NVME_BAD_DAY_H

#include "nvme_rig.h"

#define READ    RISER_NVME_IO_READ
#define WRITE   RISER_NVME_IO_WRITE
#define TIMEOUT (30 * SECOND) /* the driver's default */

#define MAX_IOS 64u

static struct io ios[MAX_IOS];
static uint8_t *mem;

/* A second owner, in the same thread: polled when the case says so. */
static struct riser_exec *x2;
static struct riser_nvme_qpair *q2;

static inline void begin_at(const char *uri)
{
	struct riser_nvme_opts nopts = { .size = sizeof(nopts), .flags = RISER_NVME_RDWR };
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .entries = ENTRIES };

	SUB(open_context(RISER_VIRTUAL_TIME));
	SUB(open_controller(uri, &nopts, &qopts));
	CHECK_EQ(riser_nvme_buf_alloc(c, MAX_IOS * IO_BYTES, (void **)&mem, &err), 0);
	for (unsigned i = 0; i < MAX_IOS; i++)
		ios[i] = (struct io){ .buf = mem + i * IO_BYTES };
}

static inline void begin(const char *faults)
{
	SUB(begin_at("model:nvme?size=64M"));
	if (*faults)
		SUB(add_faults(faults));
}

static inline void open_second(void)
{
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .entries = ENTRIES };

	CHECK_EQ(riser_exec_new(r, &x2, &err), 0);
	CHECK_EQ(riser_nvme_qpair_open(c, x2, &qopts, &q2, &err), 0);
	riser_exec_leave(x2);
	riser_exec_leave(x); /* time passes for whoever runs */
}

static inline void close_second(void)
{
	struct riser_nvme_qpair_info info = queue_info(q2);

	riser_nvme_qpair_close(q2);
	riser_exec_free(x2);
	q2 = NULL;
	x2 = NULL;
	CHECK_EQ(info.inflight, 0);
	CHECK_EQ(info.free, ENTRIES - 1);
}

static inline void finish(void)
{
	struct riser_nvme_qpair_info info;
	struct model_nvme_counters seen;

	run_for(x, 10 * SECOND); /* trackers that wait for an Abort's answer come back */
	info = queue_info(q);
	seen = counters();
	riser_nvme_buf_free(c, mem, MAX_IOS * IO_BYTES);
	close_all();
	CHECK_EQ(info.inflight, 0);
	CHECK_EQ(info.free, ENTRIES - 1);
	CHECK_EQ(seen.dma_refused, 0);
}

static inline int64_t do_io(unsigned i, uint8_t opcode, uint64_t n)
{
	return run_io(&ios[i], q, x, opcode, n);
}

/* Time passes while nobody polls the driver; the model goes on. */
static inline void nobody_polls_for(uint64_t time)
{
	struct clock_part part = { 0 };
	uint64_t until = riser_now(r) + time;

	riser_exec_leave(x);
	while (riser_now(r) < until) {
		uint64_t next, seen = clock_activity(r);

		if (pci_pump(model(), &next) <= 0)
			clock_idle(r, &part, seen,
				   next > riser_now(r) && next < until ? next : until);
	}
	clock_leave(r, &part);
}

#endif
