/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The NVMe driver through resets of its controller, and through its end: one thread, the model
 * inline, virtual time.
 */
#include "nvme_bad_day.h"
#include "nvme_load.h"
#include <sys/mman.h>

/* Reads and writes in flight; @nth says which of the controller's commands goes wrong. */
static void submit_mixed(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(submit(&ios[i], q, i % 2 ? WRITE : READ, i), 0);
}

/* Ring, and let the controller fetch. */
static void send_all(struct riser_nvme_qpair *of)
{
	uint64_t next;

	riser_nvme_qpair_kick(of);
	pci_pump(model(), &next);
}

/* The queue is dead, as its next poll finds. */
static void takes_nothing(struct riser_nvme_qpair *of, struct riser_exec *owner)
{
	run_for(owner, SECOND);
	CHECK_EQ(submit(&ios[0], of, READ, 0), -ENODEV);
}

/* All ended once: reads in @read, writes in @write or, where that is allowed, in success. */
static void ended_mixed(unsigned n, uint32_t read, uint32_t write, bool or_success)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t want = i % 2 ? write : read;

		SUB(wait_ended(&ios[i], x));
		CHECK_EQ(ios[i].dones, 1);
		if (!or_success || ios[i].status)
			CHECK_EQ(ios[i].status, want);
	}
}

/* ---- The controller ---- */

TEST(a_fatal_status_resets_without_an_abort)
{
	SUB(begin("cfs,queue=io,nth=10"));
	SUB(submit_mixed(32));
	SUB(ended_mixed(32, 0, RISER_NVME_HOST_UNKNOWN, true));
	CHECK_EQ(ios[31].status, RISER_NVME_HOST_UNKNOWN);
	CHECK_EQ(ios[30].status, 0);
	CHECK_EQ(ctrl_info().aborts, 0);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(counters().function_resets, 0);
	CHECK_EQ(do_io(0, WRITE, 0), 0);
	SUB(finish());
}

TEST(ready_never_falls_and_a_function_reset_heals)
{
	SUB(begin("cfs,queue=io,nth=10;stuck-rdy,phase=disable"));
	SUB(submit_mixed(32));
	SUB(ended_mixed(32, 0, RISER_NVME_HOST_UNKNOWN, true));
	CHECK_EQ(counters().function_resets, 1);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(do_io(0, WRITE, 0), 0);
	SUB(finish());
}

TEST(ready_never_rises_and_a_function_reset_heals)
{
	SUB(begin("cfs,queue=io,nth=10;stuck-rdy,phase=enable"));
	SUB(submit_mixed(32));
	SUB(ended_mixed(32, 0, RISER_NVME_HOST_UNKNOWN, true));
	CHECK_EQ(counters().function_resets, 1);
	SUB(finish());
}

/* Until RDY has fallen the device goes on: nothing may end before, or be sent again. */
TEST(nothing_ends_while_the_device_may_still_do_it)
{
	uint64_t start;

	SUB(begin("delay=35s,opcode=write;lost,opcode=read;abort-lies;stuck-rdy,phase=disable"));
	fill(ios[1].buf, IO_BYTES, 1);
	CHECK_EQ(do_io(1, WRITE, 1), 0); /* 35 s: its Abort lied, and it came before the reset */
	start = riser_now(r);
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	run_for(x, 28 * SECOND);
	fill(ios[1].buf, IO_BYTES, 2);
	CHECK_EQ(submit(&ios[1], q, WRITE, 1), 0);
	/* At 60 s the reset begins; until 70 s it is stuck; the write is done at 63 s. */
	SUB(wait_ended(&ios[1], x));
	CHECK(riser_now(r) - start > 62 * SECOND);
	CHECK_EQ(ios[1].status, 0);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, 0);
	CHECK(riser_now(r) - start > 69 * SECOND);
	CHECK_EQ(counters().function_resets, 1);
	model_nvme_fault_clear(model());
	CHECK_EQ(do_io(2, READ, 1), 0);
	CHECK(is_filled(ios[2].buf, IO_BYTES, 2));
	SUB(finish());
}

TEST(never_ready_again_is_the_end)
{
	SUB(begin("stuck-rdy,phase=enable,every=1"));
	SUB(add_faults("lost,queue=io,times=0"));
	SUB(submit_mixed(8));
	send_all(q);
	CHECK_EQ(riser_nvme_reset(c, x, &err), -ENODEV);
	CHECK_HAS(err.text, "not ready (CSTS.RDY)");
	SUB(ended_mixed(8, RISER_NVME_HOST_OFFLINE, RISER_NVME_HOST_UNKNOWN, false));
	CHECK_EQ(counters().function_resets, 2);
	CHECK(ctrl_info().gone);
	SUB(takes_nothing(q, x));
	SUB(finish());
}

TEST(opening_one_that_is_never_ready)
{
	struct riser_nvme *none;
	uint64_t start;

	SUB(open_context(RISER_VIRTUAL_TIME));
	start = riser_now(r);
	CHECK_EQ(riser_nvme_open(r, "model:nvme?to=4&fault=stuck-rdy,phase=enable,every=1", NULL,
				 &none, &err),
		 -ENODEV);
	CHECK_HAS(err.text, "not ready (CSTS.RDY) within CAP.TO");
	CHECK(riser_now(r) - start < 10 * SECOND);
	CHECK_EQ(riser_nvme_open(r, "model:nvme?fault=gone,opcode=identify", NULL, &none, &err),
		 -ENODEV);
	CHECK_HAS(err.text, "gone");
	close_all();
}

TEST(a_silent_function_reset_from_outside)
{
	SUB(begin("lost,queue=io,times=8"));
	SUB(submit_mixed(8));
	send_all(q);
	CHECK_EQ(pci_reset(model()), 0);
	nobody_polls_for(SECOND);
	CHECK_EQ(pci_reset_poll(model()), 1);
	SUB(ended_mixed(8, 0, RISER_NVME_HOST_UNKNOWN, false));
	CHECK_EQ(ctrl_info().aborts, 0);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(do_io(0, WRITE, 0), 0);
	SUB(finish());
}

TEST(a_read_that_always_resets_ends_by_the_bound)
{
	SUB(begin("cfs,opcode=read,lba=40-47,every=1"));
	CHECK_EQ(do_io(0, READ, 5), RISER_NVME_HOST_TIMEOUT);
	CHECK_EQ(ctrl_info().retries, 4);
	CHECK_EQ(ctrl_info().generation, 5);
	CHECK(!ctrl_info().gone);
	CHECK_EQ(do_io(0, READ, 4), 0);
	SUB(finish());
}

TEST(writes_of_unknown_outcome_are_old_or_new_and_stay_so)
{
	unsigned unknown = 0;

	for (unsigned nth = 1; nth <= 8; nth++) {
		SUB(begin(""));
		for (unsigned i = 0; i < 8; i++) {
			fill(ios[i].buf, IO_BYTES, 100 + i);
			CHECK_EQ(do_io(i, WRITE, i), 0);
			fill(ios[i].buf, IO_BYTES, 200 + i);
		}
		/* Before the cut all are done; that at the cut is lost; behind it none is begun. */
		SUB(add_faults(nth % 2 ? "cfs,opcode=write,nth=4"
				       : "delay=20s,opcode=write,nth=3;cfs,opcode=write,nth=5"));
		for (unsigned i = 0; i < 8; i++)
			CHECK_EQ(submit(&ios[i], q, WRITE, i), 0);
		for (unsigned i = 0; i < 8; i++)
			SUB(wait_ended(&ios[i], x));
		for (unsigned i = 0; i < 8; i++) {
			bool is_new, known = !ios[i].status;

			unknown += !known;
			CHECK(known || ios[i].status == RISER_NVME_HOST_UNKNOWN);
			CHECK_EQ(do_io(8, READ, i), 0);
			is_new = is_filled(ios[8].buf, IO_BYTES, 200 + i);
			CHECK(is_new || (!known && is_filled(ios[8].buf, IO_BYTES, 100 + i)));
			run_for(x, 60 * SECOND);
			CHECK_EQ(do_io(8, READ, i), 0);
			CHECK_EQ(is_filled(ios[8].buf, IO_BYTES, 200 + i), is_new);
		}
		SUB(finish());
	}
	CHECK(unknown > 8);
}

/* The device is slow, not deaf: what it does too late finds no buffer that was given back. */
TEST(buffers_given_back_are_left_alone)
{
	static const char *const faults[] = {
		"delay=31s,queue=io,every=5;abort-refused",
		"delay=65s,queue=io,every=9;abort-lies",
		"delay=62s,queue=io,every=7;abort-lies;stuck-rdy,phase=disable,every=2",
		"delay=45s,queue=io,every=4;abort-refused;lost,opcode=delete-sq,every=2",
		"delay=31s,queue=io,every=3;delay=5s,opcode=abort",
	};

	for (unsigned i = 0; i < array_len(faults); i++) {
		struct load l;

		printf("# %s\n", faults[i]);
		SUB(begin(faults[i]));
		SUB(load_begin(&l, q, x, 0, i));
		CHECK_EQ(load_run(&l, 400), 0);
		model_nvme_fault_clear(model());
		if (!l.bad)
			load_verify(&l);
		if (l.bad)
			FAIL("%s", l.bad);
		load_end(&l);
		SUB(finish());
	}
}

/* ---- Who was away ---- */

TEST(an_absent_owner_across_two_resets)
{
	SUB(begin("lost,queue=2,times=0"));
	SUB(open_second());
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(submit(&ios[i], q2, i % 2 ? WRITE : READ, i), 0);
	riser_nvme_qpair_poll(q2, 0);
	riser_exec_leave(x2);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
		CHECK_EQ(do_io(20, WRITE, 20), 0);
		for (unsigned k = 0; k < 8; k++)
			CHECK_EQ(ios[k].dones, 0); /* only its owner ends it */
	}
	model_nvme_fault_clear(model());
	riser_exec_leave(x);
	for (unsigned i = 0; i < 8; i++) {
		SUB(wait_ended(&ios[i], x2));
		CHECK_EQ(ios[i].status, i % 2 ? RISER_NVME_HOST_UNKNOWN : 0);
	}
	CHECK_EQ(run_io(&ios[0], q2, x2, WRITE, 0), 0);
	riser_exec_leave(x2);
	SUB(close_second());
	SUB(finish());
}

TEST(an_absent_owner_across_removal)
{
	SUB(begin("lost,queue=2,times=0;gone,opcode=flush"));
	SUB(open_second());
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(submit(&ios[i], q2, i % 2 ? WRITE : READ, i), 0);
	riser_nvme_qpair_poll(q2, 0);
	riser_exec_leave(x2);
	ios[9].req.done = io_done;
	CHECK_EQ(riser_nvme_flush(q, ns, &ios[9].req), 0);
	SUB(wait_ended(&ios[9], x));
	CHECK_EQ(ios[9].status, RISER_NVME_HOST_OFFLINE);
	riser_exec_leave(x);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(ios[i].dones, 0); /* only its owner ends it */
	for (unsigned i = 0; i < 8; i++) {
		SUB(wait_ended(&ios[i], x2));
		CHECK_EQ(ios[i].status, i % 2 ? RISER_NVME_HOST_UNKNOWN : RISER_NVME_HOST_OFFLINE);
	}
	SUB(takes_nothing(q2, x2));
	riser_exec_leave(x2);
	SUB(close_second());
	SUB(finish());
}

/* A write that no doorbell told of is not lost either. */
TEST(the_starter_stops_polling_in_the_middle)
{
	SUB(begin_at("model:nvme?size=64M&rdy-delay=2000"));
	SUB(open_second());
	SUB(add_faults("lost,opcode=read;abort-lies"));
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	while (!ctrl_info().generation)
		riser_exec_wait(x, SECOND);
	riser_exec_leave(x);
	/* Its owner has not seen the reset yet, and takes it. */
	CHECK_EQ(submit(&ios[1], q2, WRITE, 1), 0);
	SUB(wait_ended(&ios[1], x2));
	CHECK_EQ(ios[1].status, 0);
	CHECK_EQ(counters().io[WRITE], 1);
	CHECK_EQ(ios[0].dones, 0);
	riser_exec_leave(x2);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(ctrl_info().generation, 1);
	SUB(close_second());
	SUB(finish());
}

/* ---- Queues that are being made again ---- */

/* Poll until the controller was asked @n times to do @opcode. */
static void poll_until_asked(uint8_t opcode, uint64_t n)
{
	for (unsigned i = 0; i < 1000 && counters().admin[opcode] < n; i++)
		riser_exec_poll(x);
	CHECK_EQ(counters().admin[opcode], n);
}

static void second_reset_during(uint8_t opcode, const char *faults)
{
	uint64_t asked;

	SUB(begin("lost,opcode=read"));
	asked = counters().admin[opcode];
	SUB(add_faults(faults));
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	send_all(q);
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	SUB(poll_until_asked(opcode, asked + 1));
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(ctrl_info().retries, 1); /* it was sent twice, however often it was reset */
	CHECK_EQ(do_io(1, WRITE, 1), 0);
	SUB(finish());
}

TEST(a_second_reset_while_queues_are_created)
{
	SUB(second_reset_during(RISER_NVME_ADM_CREATE_CQ, "delay=5s,opcode=create-cq"));
	SUB(second_reset_during(RISER_NVME_ADM_CREATE_SQ, "delay=5s,opcode=create-sq"));
	SUB(second_reset_during(RISER_NVME_ADM_CREATE_CQ, "lost,opcode=create-cq"));
	SUB(second_reset_during(RISER_NVME_ADM_CREATE_SQ, "lost,opcode=create-sq"));
}

TEST(a_queue_whose_making_is_lost)
{
	SUB(begin("lost,opcode=create-sq;lost,opcode=create-cq"));
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	run_for(x, SECOND);
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().generation, 3);
	SUB(finish());
}

/* The completion queue that was made already goes again: its number is free for the next. */
TEST(a_queue_that_is_half_made)
{
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .entries = ENTRIES };

	SUB(begin("status=0x006,opcode=create-sq,times=2"));
	CHECK_EQ(riser_exec_new(r, &x2, &err), 0);
	CHECK_EQ(riser_nvme_qpair_open(c, x2, &qopts, &q2, &err), -EIO);
	riser_exec_free(x2);
	/* The same to a queue that comes back from a reset. */
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, RISER_NVME_HOST_OFFLINE);
	SUB(takes_nothing(q, x));
	SUB(open_second());
	CHECK_EQ(queue_info(q2).qid, 2);
	CHECK_EQ(run_io(&ios[1], q2, x2, READ, 0), 0);
	CHECK_EQ(counters().admin[RISER_NVME_ADM_DELETE_CQ], 2);
	CHECK_EQ(ctrl_info().generation, 1);
	riser_exec_leave(x2);
	SUB(close_second());
	SUB(finish());
}

TEST(fewer_queues_after_a_reset)
{
	SUB(begin(""));
	SUB(open_second());
	SUB(add_faults("lost,queue=2,times=2"));
	CHECK_EQ(submit(&ios[0], q2, READ, 0), 0);
	CHECK_EQ(submit(&ios[1], q2, WRITE, 1), 0);
	send_all(q2);
	model_nvme_limit_queues(model(), 1);
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	CHECK_EQ(do_io(2, WRITE, 2), 0);
	riser_exec_leave(x);
	SUB(wait_ended(&ios[0], x2));
	SUB(wait_ended(&ios[1], x2));
	CHECK_EQ(ios[0].status, RISER_NVME_HOST_OFFLINE);
	CHECK_EQ(ios[1].status, RISER_NVME_HOST_UNKNOWN);
	SUB(takes_nothing(q2, x2));
	CHECK_EQ(ctrl_info().max_qpairs, 1);
	riser_exec_leave(x2);
	SUB(close_second());
	SUB(finish());
}

/* Each completion wants to submit another read; in a drain the queue takes none. */
static unsigned refused, accepted;

static void submit_again(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct io *io = (struct io *)req, *next = io + 16;
	int rc = submit(next, q, READ, 1);

	io_done(req, status, result);
	accepted += rc == 0;
	refused += rc == -EAGAIN;
}

TEST(a_completion_that_submits_during_a_drain)
{
	refused = accepted = 0;
	SUB(begin("lost,opcode=read,after=8,times=8"));
	for (unsigned i = 0; i < 16; i++) {
		CHECK_EQ(submit(&ios[i], q, READ, i), 0);
		ios[i].req.done = submit_again;
	}
	send_all(q); /* eight are posted, eight are lost */
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	for (unsigned i = 0; i < 16; i++)
		SUB(wait_ended(&ios[i], x));
	CHECK_EQ(refused, 8);
	CHECK_EQ(accepted, 8);
	for (unsigned i = 24; i < 32; i++)
		SUB(wait_ended(&ios[i], x));
	SUB(finish());
}

/* However far the queue has come in its rebuilding: what is in flight ends, once. */
TEST(closing_a_queue_that_is_being_made_again)
{
	for (unsigned polls = 0; polls < 16; polls++) {
		SUB(begin(""));
		SUB(open_second());
		SUB(add_faults("lost,queue=2,times=2"));
		CHECK_EQ(submit(&ios[0], q2, READ, 0), 0);
		CHECK_EQ(submit(&ios[1], q2, WRITE, 1), 0);
		send_all(q2);
		CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
		for (unsigned i = 0; i < polls; i++)
			riser_exec_poll(x2);
		riser_exec_leave(x);
		riser_nvme_qpair_close(q2);
		riser_exec_free(x2);
		CHECK_EQ(ios[0].dones, 1);
		CHECK_EQ(ios[1].dones, 1);
		CHECK_EQ(ios[1].status, RISER_NVME_HOST_UNKNOWN);
		CHECK_EQ(do_io(2, WRITE, 2), 0);
		CHECK_EQ(ctrl_info().qpairs, 1);
		SUB(finish());
	}
}

/* ---- Removal ---- */

TEST(gone_in_the_middle_of_io)
{
	uint8_t page[4096];
	struct riser_nvme_qpair *none;
	uint64_t start;

	SUB(begin("gone,queue=io,nth=10"));
	SUB(submit_mixed(32));
	start = riser_now(r);
	SUB(ended_mixed(32, RISER_NVME_HOST_OFFLINE, RISER_NVME_HOST_UNKNOWN, true));
	CHECK(riser_now(r) - start < TIMEOUT);
	CHECK_EQ(ios[30].status, RISER_NVME_HOST_OFFLINE);
	CHECK_EQ(ios[31].status, RISER_NVME_HOST_UNKNOWN);
	CHECK(ctrl_info().gone);
	SUB(takes_nothing(q, x));
	CHECK_EQ(riser_nvme_identify(c, x, RISER_NVME_CNS_CTRL, 0, 0, 0, page),
		 RISER_NVME_HOST_OFFLINE);
	CHECK_EQ(riser_nvme_reset(c, x, &err), -ENODEV);
	CHECK(riser_nvme_qpair_open(c, x, NULL, &none, &err) < 0);
	SUB(finish());
}

/* ---- Memory ---- */

TEST(a_region_mapped_again_at_the_same_address)
{
	size_t len = 64 * 1024;
	uint8_t *va = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct io io = { 0 };

	SUB(begin(""));
	CHECK(va != MAP_FAILED);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t was;

		CHECK_EQ(riser_mem_register(r, va, len, -1, 0, &err), 0);
		was = dma_translate(&model()->dma, va);
		io.buf = va + 2048; /* two pages */
		fill(io.buf, IO_BYTES, i);
		CHECK_EQ(run_io(&io, q, x, WRITE, i), 0);
		CHECK_EQ(riser_mem_unregister(r, va), 0);
		CHECK_EQ(submit(&io, q, READ, i), -EFAULT);
		CHECK_EQ(riser_mem_register(r, va, len, -1, 0, &err), 0);
		CHECK(dma_translate(&model()->dma, va) != was);
		memset(va, 0, len);
		CHECK_EQ(run_io(&io, q, x, READ, i), 0);
		CHECK(is_filled(io.buf, IO_BYTES, i));
		CHECK_EQ(riser_mem_unregister(r, va), 0);
	}
	munmap(va, len);
	SUB(finish());
}

TEST_MAIN(CASE(a_fatal_status_resets_without_an_abort),
	  CASE(ready_never_falls_and_a_function_reset_heals),
	  CASE(ready_never_rises_and_a_function_reset_heals),
	  CASE(nothing_ends_while_the_device_may_still_do_it), CASE(never_ready_again_is_the_end),
	  CASE(opening_one_that_is_never_ready), CASE(a_silent_function_reset_from_outside),
	  CASE(a_read_that_always_resets_ends_by_the_bound),
	  CASE(writes_of_unknown_outcome_are_old_or_new_and_stay_so),
	  CASE(buffers_given_back_are_left_alone), CASE(an_absent_owner_across_two_resets),
	  CASE(an_absent_owner_across_removal), CASE(the_starter_stops_polling_in_the_middle),
	  CASE(a_second_reset_while_queues_are_created), CASE(a_queue_whose_making_is_lost),
	  CASE(a_queue_that_is_half_made), CASE(fewer_queues_after_a_reset),
	  CASE(a_completion_that_submits_during_a_drain),
	  CASE(closing_a_queue_that_is_being_made_again), CASE(gone_in_the_middle_of_io),
	  CASE(a_region_mapped_again_at_the_same_address))
