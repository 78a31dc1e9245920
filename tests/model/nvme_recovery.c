/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the NVMe driver does when its controller does not do what it should: one thread, the model
 * inline, virtual time, so that each case is the same every time.
 */
#include "nvme/qpair.h"
#include "nvme_bad_day.h"

/* ---- Deadlines ---- */

TEST(idle_a_minute_then_submit_once_no_abort)
{
	SUB(begin("delay=29s,opcode=read,after=1"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	run_for(x, 60 * SECOND);
	/* Nearly the whole deadline: an age that counts from before the submission is too old. */
	CHECK_EQ(do_io(0, READ, 0), 0);
	nobody_polls_for(60 * SECOND);
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().aborts, 0);
	CHECK_EQ(ctrl_info().timeouts, 0);
	SUB(finish());
}

static void capped_polls(unsigned max)
{
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		CHECK_EQ(submit(&ios[i], q, READ, i), 0);
	CHECK_EQ(riser_nvme_qpair_poll(q, 0), 0); /* rings, and sees them all for the first time */
}

static void all_ended_once(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		CHECK_EQ(ios[i].dones, 1);
		CHECK_EQ(ios[i].status, 0);
	}
}

TEST(owner_away_with_a_full_queue_and_capped_polls_no_abort)
{
	SUB(begin("delay=1s,opcode=read"));
	SUB(capped_polls(4));
	nobody_polls_for(120 * SECOND); /* every completion is posted meanwhile */
	for (unsigned n = 0; n < ENTRIES - 1;) {
		int done = riser_nvme_qpair_poll(q, 4);

		CHECK(done > 0 && done <= 4);
		n += (unsigned)done;
	}
	SUB(all_ended_once(ENTRIES - 1));
	CHECK_EQ(ctrl_info().aborts, 0);
	CHECK_EQ(ctrl_info().timeouts, 0);
	SUB(finish());
}

/* As before, but the completions come out of the model only a few at a time, as it is pumped. */
TEST(owner_away_from_a_slow_device_no_abort)
{
	SUB(begin_at("model:nvme?size=64M&batch=4"));
	SUB(add_faults("delay=1s,opcode=read"));
	SUB(capped_polls(0));
	riser_exec_leave(x);
	while (riser_now(r) < 60 * SECOND) {
		struct clock_part part = { 0 };

		clock_idle(r, &part, clock_activity(r), 60 * SECOND);
		clock_leave(r, &part);
	}
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		SUB(wait_ended(&ios[i], x));
	SUB(all_ended_once(ENTRIES - 1));
	CHECK_EQ(ctrl_info().aborts, 0);
	CHECK_EQ(ctrl_info().timeouts, 0);
	SUB(finish());
}

/* The stream never lets a capped poll see the end of the queue, and yet somebody must look. */
TEST(a_lost_read_beside_a_busy_stream_is_noticed)
{
	SUB(begin("lost,opcode=read,nth=1"));
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	for (unsigned i = 1; i <= 8; i++)
		CHECK_EQ(submit(&ios[i], q, READ, i), 0);
	for (unsigned second = 0; !ios[0].dones && second < 300; second++) {
		nobody_polls_for(SECOND); /* what was submitted is completed meanwhile */
		CHECK(riser_nvme_qpair_poll(q, 1) >= 1);
		for (unsigned i = 1; i <= 8; i++)
			if (ios[i].dones)
				CHECK_EQ(submit(&ios[i], q, READ, i), 0);
	}
	CHECK_EQ(ios[0].dones, 1);
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(ctrl_info().aborts, 1);
	CHECK_EQ(ctrl_info().retries, 1);
	for (unsigned i = 1; i <= 8; i++)
		SUB(wait_ended(&ios[i], x));
	SUB(finish());
}

/* ---- One command ---- */

TEST(a_lost_read_is_aborted_and_sent_again)
{
	SUB(begin("lost,opcode=read"));
	fill(ios[0].buf, IO_BYTES, 9);
	CHECK_EQ(do_io(0, WRITE, 5), 0);
	ios[1].buf[0] = 0;
	CHECK_EQ(do_io(1, READ, 5), 0);
	CHECK(is_filled(ios[1].buf, IO_BYTES, 9));
	CHECK_EQ(ctrl_info().aborts, 1);
	CHECK_EQ(ctrl_info().retries, 1);
	CHECK_EQ(ctrl_info().generation, 0);
	/* Its tracker must serve again, once. */
	for (unsigned i = 0; i < 3 * ENTRIES; i++)
		CHECK_EQ(do_io(i % 2, READ, 5), 0);
	SUB(finish());
}

TEST(a_lost_write_has_an_unknown_outcome)
{
	SUB(begin("lost,opcode=write"));
	CHECK_EQ(do_io(0, WRITE, 5), RISER_NVME_HOST_UNKNOWN);
	CHECK_EQ(ctrl_info().aborts, 1);
	CHECK_EQ(ctrl_info().retries, 0);
	CHECK_EQ(counters().io[WRITE], 1);
	CHECK_EQ(ctrl_info().generation, 0);
	SUB(finish());
}

TEST(a_lost_flush_is_sent_again)
{
	SUB(begin("lost,opcode=flush"));
	ios[0].req.done = io_done;
	CHECK_EQ(riser_nvme_flush(q, ns, &ios[0].req), 0);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(counters().io[RISER_NVME_IO_FLUSH], 2);
	SUB(finish());
}

/* More at once than the controller takes Aborts (8). */
TEST(many_lost_reads_are_all_sent_again)
{
	SUB(begin("lost,opcode=read,times=40"));
	for (unsigned i = 0; i < 40; i++)
		CHECK_EQ(submit(&ios[i], q, READ, i), 0);
	for (unsigned i = 0; i < 40; i++)
		SUB(wait_ended(&ios[i], x));
	SUB(all_ended_once(40));
	CHECK_EQ(ctrl_info().retries, 40);
	CHECK_EQ(ctrl_info().generation, 0);
	SUB(finish());
}

TEST(a_status_of_the_device_is_told_as_it_is)
{
	SUB(begin("status=0x281,opcode=read,lba=8-15,dnr"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(do_io(0, READ, 1), RISER_NVME_ST_READ_ERROR | RISER_NVME_ST_DNR);
	CHECK_EQ(ctrl_info().retries, 0);
	SUB(finish());
}

/* The Abort succeeds, it says; nothing follows. */
TEST(an_abort_lies)
{
	SUB(begin("lost,opcode=read,nth=1;lost,opcode=write,nth=1;abort-lies"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(ctrl_info().retries, 1);
	CHECK_EQ(do_io(0, WRITE, 0), RISER_NVME_HOST_UNKNOWN);
	CHECK_EQ(ctrl_info().generation, 2);
	CHECK_EQ(counters().function_resets, 0);
	SUB(finish());
}

/* The read ends while its Abort is under way: at once, and its tracker comes back later. */
TEST(the_command_completes_before_its_abort)
{
	uint64_t start;

	SUB(begin("delay=32s,opcode=read,times=1;delay=10s,opcode=abort"));
	start = riser_now(r);
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK(riser_now(r) - start < 33 * SECOND);
	CHECK_EQ(queue_info(q).free, ENTRIES - 2);
	for (unsigned i = 0; i < 3 * ENTRIES; i++)
		CHECK_EQ(do_io(1, READ, 0), 0);
	run_for(x, 20 * SECOND);
	CHECK_EQ(queue_info(q).free, ENTRIES - 1);
	CHECK_EQ(ctrl_info().aborts, 1);
	CHECK_EQ(ctrl_info().retries, 0);
	CHECK_EQ(ctrl_info().generation, 0);
	SUB(finish());
}

/* The same where it was the only tracker: who sleeps until there is one again must be woken. */
TEST(the_last_tracker_waits_for_an_answer)
{
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .entries = 2 };
	struct riser_nvme_qpair *tiny;
	int rc;

	SUB(begin("delay=32s,opcode=read,times=1;delay=10s,opcode=abort"));
	CHECK_EQ(riser_nvme_qpair_open(c, x, &qopts, &tiny, &err), 0);
	CHECK_EQ(submit(&ios[0], tiny, READ, 0), 0);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(submit(&ios[1], tiny, READ, 1), -EAGAIN);
	while ((rc = submit(&ios[1], tiny, READ, 1)) == -EAGAIN)
		riser_exec_wait(x, UINT64_MAX);
	CHECK_EQ(rc, 0);
	SUB(wait_ended(&ios[1], x));
	riser_nvme_qpair_close(tiny);
	CHECK_EQ(ctrl_info().generation, 0);
	SUB(finish());
}

/* An Abort is an admin command: when it is lost, the controller is reset. */
TEST(the_abort_is_lost)
{
	SUB(begin("lost,opcode=read;lost,opcode=abort"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(ctrl_info().retries, 1);
	SUB(finish());
}

/* Its Abort was carried out, but the answer is late; the command is sent again meanwhile or not. */
TEST(the_abort_is_answered_late)
{
	SUB(begin_at("model:nvme?size=64M&batch=1"));
	SUB(add_faults("lost,opcode=read,times=8"));
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(submit(&ios[i], q, READ, i), 0);
	for (unsigned i = 0; i < 8; i++)
		SUB(wait_ended(&ios[i], x));
	SUB(all_ended_once(8));
	CHECK_EQ(ctrl_info().retries, 8);
	CHECK_EQ(ctrl_info().generation, 0);
	SUB(finish());
}

/* The Abort's own entry comes 10 s before that of the command, which then says "aborted". */
TEST(the_aborts_entry_comes_first)
{
	SUB(begin("delay=40s,opcode=read,times=1;status=0x007,opcode=read,nth=1;abort-lies"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().aborts, 1);
	CHECK_EQ(ctrl_info().retries, 1);
	CHECK_EQ(ctrl_info().generation, 0);
	SUB(finish());
}

/* Nobody aborted it on our behalf: that status is the device's own word. */
TEST(an_abort_that_we_did_not_ask_for)
{
	SUB(begin("status=0x007,opcode=write"));
	CHECK_EQ(do_io(0, WRITE, 0), RISER_NVME_ST_ABORT_REQUESTED);
	SUB(finish());
}

/* Post @cid by hand, as a device would that had forgotten that it did so already. */
static void post_again(uint16_t cid)
{
	struct riser_nvme_cqe *cqe = q->head.entry;
	uint32_t phase = q->head.phase >> 16 & 1;

	store_release((uint32_t *)(void *)&cqe->cid, to_le32(cid | phase << 16).raw);
}

TEST(a_late_completion_touches_nothing)
{
	uint16_t first, second;

	SUB(begin("lost,opcode=read,after=1,times=0"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	first = le16(q->tail[-1].cid);
	/* The same tracker, hence the same slot, another use. */
	CHECK_EQ(submit(&ios[1], q, READ, 1), 0);
	second = le16(q->tail[-1].cid);
	CHECK_EQ(first & q->mask, second & q->mask);
	post_again(first);
	riser_exec_poll(x);
	CHECK_EQ(ios[0].dones, 1);
	CHECK_EQ(ios[1].dones, 0);
	CHECK_EQ(ctrl_info().stray, 1);
	/* And one that names no command in flight at all, not even by its slot. */
	post_again((uint16_t)(second + 1));
	riser_exec_poll(x);
	CHECK_EQ(ios[1].dones, 0);
	CHECK_EQ(ctrl_info().stray, 2);
	model_nvme_fault_clear(model());
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	SUB(wait_ended(&ios[1], x));
	CHECK_EQ(ios[1].status, 0);
	SUB(finish());
}

/* ---- One queue ---- */

TEST(a_refused_abort_drops_the_queue_and_no_other)
{
	struct io *away = &ios[10];

	SUB(begin(""));
	SUB(open_second());
	/* Eight writes of an innocent queue, slow, in flight all the while. */
	SUB(add_faults("delay=25s,queue=2;lost,opcode=read,queue=1;"
		       "delay=29s,opcode=write,queue=1;abort-refused"));
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	CHECK_EQ(submit(&ios[1], q, READ, 1), 0);
	run_for(x, 20 * SECOND);
	CHECK_EQ(submit(&ios[2], q, WRITE, 2), 0);
	for (unsigned i = 0; i < 8; i++) {
		fill(away[i].buf, IO_BYTES, i);
		CHECK_EQ(submit(&away[i], q2, WRITE, 100 + i), 0);
	}
	riser_nvme_qpair_kick(q2);
	wait_ended(&ios[0], x);
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(ios[1].dones, 1);
	CHECK_EQ(ios[1].status, 0);
	CHECK_EQ(ios[2].dones, 1);
	CHECK_EQ(ios[2].status, RISER_NVME_HOST_UNKNOWN);
	CHECK_EQ(ctrl_info().retries, 1);
	riser_exec_leave(x);
	for (unsigned i = 0; i < 8; i++) {
		SUB(wait_ended(&away[i], x2));
		CHECK_EQ(away[i].status, 0);
	}
	riser_exec_leave(x2);
	CHECK_EQ(ctrl_info().generation, 0);
	CHECK_EQ(counters().resets, 0);
	CHECK_EQ(counters().admin[RISER_NVME_ADM_DELETE_SQ], 1);
	CHECK_EQ(do_io(0, WRITE, 0), 0);
	SUB(close_second());
	SUB(finish());
}

TEST(a_queue_that_cannot_be_deleted_resets_the_controller)
{
	SUB(begin("lost,opcode=read;abort-refused;status=0x006,opcode=delete-sq,times=1"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(counters().function_resets, 0);
	SUB(finish());
}

TEST(a_lost_delete_resets_the_controller)
{
	SUB(begin("lost,opcode=read;abort-refused;lost,opcode=delete-sq"));
	CHECK_EQ(do_io(0, READ, 0), 0);
	CHECK_EQ(ctrl_info().generation, 1);
	SUB(finish());
}

TEST_MAIN(CASE(idle_a_minute_then_submit_once_no_abort),
	  CASE(owner_away_with_a_full_queue_and_capped_polls_no_abort),
	  CASE(owner_away_from_a_slow_device_no_abort),
	  CASE(a_lost_read_beside_a_busy_stream_is_noticed),
	  CASE(a_lost_read_is_aborted_and_sent_again), CASE(a_lost_write_has_an_unknown_outcome),
	  CASE(a_lost_flush_is_sent_again), CASE(many_lost_reads_are_all_sent_again),
	  CASE(a_status_of_the_device_is_told_as_it_is), CASE(an_abort_lies),
	  CASE(the_command_completes_before_its_abort), CASE(the_last_tracker_waits_for_an_answer),
	  CASE(the_abort_is_lost), CASE(the_abort_is_answered_late),
	  CASE(the_aborts_entry_comes_first), CASE(an_abort_that_we_did_not_ask_for),
	  CASE(a_late_completion_touches_nothing),
	  CASE(a_refused_abort_drops_the_queue_and_no_other),
	  CASE(a_queue_that_cannot_be_deleted_resets_the_controller),
	  CASE(a_lost_delete_resets_the_controller))
