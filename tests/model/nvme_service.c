/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The NVMe driver's admin side on a bad day: lost commands, events across resets, shutdown, and
 * who may wait where.
 */
#include "nvme_bad_day.h"
#include <poll.h>

static int get_log(void)
{
	struct riser_nvme_smart smart;

	return riser_nvme_get_log(c, x, RISER_NVME_LOG_SMART, RISER_NVME_NSID_ALL, 0, &smart,
				  sizeof(smart));
}

TEST(a_lost_admin_command_is_sent_again_after_a_reset)
{
	uint8_t page[4096];

	SUB(begin("lost,opcode=get-log"));
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	CHECK_EQ(get_log(), 0);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(ctrl_info().retries, 1);
	CHECK_EQ(ctrl_info().aborts, 0);
	SUB(wait_ended(&ios[0], x));
	CHECK_EQ(ios[0].status, 0);
	CHECK_EQ(riser_nvme_identify(c, x, RISER_NVME_CNS_CTRL, 0, 0, 0, page), 0);
	CHECK_EQ(memcmp(page, riser_nvme_id(c), sizeof(page)), 0);
	SUB(finish());
}

TEST(a_lost_change_is_not_repeated)
{
	SUB(begin("lost,opcode=set-features"));
	CHECK_EQ(riser_nvme_set_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, false, 0, 350),
		 RISER_NVME_HOST_INTERRUPTED);
	CHECK_EQ(ctrl_info().generation, 1);
	CHECK_EQ(ctrl_info().retries, 0);
	SUB(finish());
}

TEST(an_admin_command_that_is_always_lost_ends_by_the_bound)
{
	SUB(begin("lost,opcode=get-log,every=1"));
	CHECK_EQ(get_log(), RISER_NVME_HOST_TIMEOUT);
	CHECK_EQ(ctrl_info().generation, 5);
	CHECK_EQ(ctrl_info().retries, 4);
	CHECK_EQ(counters().function_resets, 0);
	CHECK(!ctrl_info().gone);
	CHECK_EQ(do_io(0, WRITE, 0), 0);
	SUB(finish());
}

/* The commands of bringing up are answered never: it is given up, not tried for ever. */
TEST(a_bring_up_that_never_ends)
{
	SUB(begin("lost,opcode=identify,every=1"));
	CHECK_EQ(riser_nvme_reset(c, x, &err), -ENODEV);
	CHECK_HAS(err.text, "admin command");
	CHECK_EQ(counters().function_resets, 2);
	CHECK_EQ(get_log(), RISER_NVME_HOST_OFFLINE);
	run_for(x, SECOND);
	CHECK_EQ(submit(&ios[0], q, READ, 0), -ENODEV);
	SUB(finish());
}

TEST(an_interrupted_bring_up_is_repeated)
{
	SUB(begin("lost,opcode=set-features"));
	CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
	CHECK_EQ(counters().function_resets, 1);
	CHECK_EQ(do_io(0, WRITE, 0), 0);
	SUB(finish());
}

/* Both slots of Aborts are answered, but their owner does not look. */
TEST(aborts_of_an_absent_owner_hold_nobody_up)
{
	SUB(begin(""));
	SUB(open_second());
	c->ctrl->id->acl = 0; /* one Abort at a time */
	SUB(add_faults("lost,queue=2;lost,queue=1"));
	CHECK_EQ(submit(&ios[0], q2, READ, 0), 0);
	while (!ctrl_info().aborts)
		riser_exec_wait(x2, SECOND);
	riser_exec_leave(x2);
	CHECK_EQ(do_io(1, READ, 1), 0);
	CHECK_EQ(ctrl_info().aborts, 2);
	CHECK_EQ(ctrl_info().generation, 0);
	riser_exec_leave(x);
	SUB(wait_ended(&ios[0], x2));
	CHECK_EQ(ios[0].status, 0);
	riser_exec_leave(x2);
	SUB(close_second());
	SUB(finish());
}

/* ---- Events ---- */

static unsigned events, deadlocks;
static uint32_t last_event;

static void on_event(void *ctx, uint32_t event)
{
	events++;
	last_event = event;
	deadlocks += riser_exec_poll(x) == -EDEADLK && get_log() == -EDEADLK;
}

static void expect_event(unsigned n)
{
	/* Below the temperature of the model, always 300 K. */
	CHECK_EQ(riser_nvme_set_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, false, 0, 290), 0);
	for (unsigned i = 0; i < 100 && events < n; i++)
		run_for(x, SECOND / 10);
	CHECK_EQ(events, n);
	CHECK_EQ(last_event & 7, RISER_NVME_AER_SMART);
	CHECK_EQ(last_event >> 16 & 0xff, RISER_NVME_LOG_SMART);
}

TEST(events_are_delivered_and_armed_again_across_resets)
{
	events = deadlocks = 0;
	SUB(begin(""));
	riser_nvme_set_aer_handler(c, on_event, NULL);
	SUB(expect_event(1));
	CHECK_EQ(get_log(), 0); /* reading the page lets the next one come */
	CHECK_EQ(riser_nvme_set_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, false, 0, 350), 0);
	SUB(expect_event(2));
	for (unsigned i = 3; i < 6; i++) {
		CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
		run_for(x, SECOND);
		SUB(expect_event(i));
	}
	CHECK_EQ(ctrl_info().aers, 5);
	CHECK_EQ(deadlocks, 5);
	CHECK_EQ(ctrl_info().stray, 0);
	SUB(finish());
}

/* ---- Shutdown ---- */

static struct pci_access spied;
static const struct pci_access *real;
static uint32_t written[8];
static unsigned nwritten;

static void spy_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width, uint64_t val)
{
	if (off == RISER_NVME_REG_CC && nwritten < array_len(written))
		written[nwritten++] = (uint32_t)val;
	real->bar_write(d, bar, off, width, val);
}

/* See every write to CC from now on. */
static void spy(void)
{
	real = model()->access;
	spied = *real;
	spied.bar_write = spy_bar_write;
	nwritten = 0;
	model()->access = &spied;
}

TEST(closing_shuts_down_then_disables)
{
	SUB(begin(""));
	SUB(spy());
	SUB(finish());
	CHECK_EQ(nwritten, 2);
	CHECK_EQ(written[0] & (RISER_NVME_CC_SHN_MASK | RISER_NVME_CC_EN),
		 RISER_NVME_CC_SHN_NORMAL | RISER_NVME_CC_EN);
	CHECK_EQ(written[1] & RISER_NVME_CC_EN, 0);
}

TEST(closing_in_the_middle_of_a_recovery_disables)
{
	SUB(begin_at("model:nvme?size=64M&rdy-delay=1000"));
	SUB(add_faults("lost,opcode=read;abort-lies"));
	CHECK_EQ(submit(&ios[0], q, READ, 0), 0);
	while (!ctrl_info().generation)
		riser_exec_wait(x, SECOND);
	while (c->ctrl->recover.state != RECOVER_ENABLE)
		riser_exec_wait(x, SECOND);
	SUB(spy());
	riser_nvme_buf_free(c, mem, MAX_IOS * IO_BYTES);
	close_all();
	CHECK_EQ(ios[0].dones, 1);
	CHECK(nwritten > 0);
	CHECK_EQ(written[nwritten - 1] & RISER_NVME_CC_EN, 0);
}

/* ---- Waiting where nobody may wait ---- */

static int results[15];

static void wait_inside(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct riser_nvme_admin cmd = { .sqe.opcode = RISER_NVME_ADM_GET_FEATURES };
	struct riser_nvme_qpair *no_q;
	struct riser_nvme_ns *no_ns;
	struct riser_nvme *no_c;
	uint8_t page[4096];
	uint32_t value;
	int n = 0;

	io_done(req, status, result);
	results[n++] = riser_nvme_admin(c, x, &cmd);
	results[n++] = riser_nvme_identify(c, x, RISER_NVME_CNS_CTRL, 0, 0, 0, page);
	results[n++] = get_log();
	results[n++] = riser_nvme_get_feature(c, x, RISER_NVME_FEAT_ARBITRATION, 0, 0, &value);
	results[n++] = riser_nvme_set_feature(c, x, RISER_NVME_FEAT_ARBITRATION, false, 0, 0);
	results[n++] = riser_nvme_reset(c, x, &err);
	results[n++] = riser_nvme_ns_open(c, x, 1, &no_ns, &err);
	results[n++] = riser_nvme_ns_open(c, x, 0, &no_ns, &err);
	results[n++] = riser_nvme_ns_open(c, NULL, 1, &no_ns, &err);
	results[n++] = riser_nvme_reset(c, NULL, &err);
	results[n++] = riser_nvme_open(r, "model:nvme?size=2M", NULL, &no_c, &err);
	results[n++] = riser_nvme_qpair_open(c, x, NULL, &no_q, &err);
	results[n++] = riser_nvme_qpair_poll(q, 0);
	results[n++] = riser_exec_poll(x);
	results[n++] = riser_exec_wait(x, SECOND);
}

static void all_deadlocks(void)
{
	for (unsigned i = 0; i < array_len(results); i++)
		CHECK_EQ(results[i], -EDEADLK);
	memset(results, 0, sizeof(results));
}

static void read_that_waits(unsigned i)
{
	CHECK_EQ(submit(&ios[i], q, READ, 0), 0);
	ios[i].req.done = wait_inside;
	SUB(wait_ended(&ios[i], x));
	CHECK_EQ(ios[i].dones, 1);
	SUB(all_deadlocks());
}

TEST(every_wait_inside_a_completion_is_a_deadlock)
{
	SUB(begin("status=0x281,opcode=read,nth=2;lost,opcode=read,nth=2"));
	SUB(read_that_waits(0)); /* by the hot path */
	SUB(read_that_waits(1)); /* failed */
	SUB(read_that_waits(2)); /* aborted and sent again */
	/* In a drain, and when the queue dies. */
	SUB(add_faults("gone,opcode=read"));
	SUB(read_that_waits(3));
	SUB(finish());
}

/* Two queues of one executor, asleep; one goes, and the admin queue still wakes the other. */
TEST(the_admin_event_outlives_a_queue)
{
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts),
					       .flags = RISER_NVME_QPAIR_IRQ };
	struct riser_nvme_id_ctrl id;
	struct pollfd pfd = { .events = POLLIN };

	SUB(open_context(0));
	SUB(open_controller("model:nvme?size=64M", NULL, &qopts));
	CHECK_EQ(riser_nvme_qpair_open(c, x, &qopts, &q2, &err), 0);
	riser_nvme_qpair_close(q2);
	q2 = NULL;
	CHECK_EQ(riser_nvme_qpair_open(c, x, &qopts, &q2, &err), 0);
	riser_nvme_qpair_close(q);
	q = q2;
	q2 = NULL;
	do
		riser_exec_poll(x);
	while (riser_exec_arm(x) > 0);
	pfd.fd = riser_exec_fd(x);
	CHECK_EQ(poll(&pfd, 1, 0), 0);
	CHECK_EQ(riser_nvme_identify(c, NULL, RISER_NVME_CNS_CTRL, 0, 0, 0, &id), 0);
	CHECK_EQ(poll(&pfd, 1, 1000), 1);
	close_all();
}

/* AERL says more than is true: what was taken goes on. */
TEST(fewer_event_requests_than_it_said)
{
	SUB(begin_at("model:nvme?size=64M&fault=status=0x105,opcode=aer,nth=3"));
	events = 0;
	riser_nvme_set_aer_handler(c, on_event, NULL);
	for (unsigned i = 1; i <= 8; i++) {
		SUB(expect_event(i));
		CHECK_EQ(get_log(), 0);
		CHECK_EQ(
			riser_nvme_set_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, false, 0, 350),
			0);
	}
	SUB(finish());
}

static int64_t deallocate(struct io *io, const struct riser_nvme_dsm_range *ranges, unsigned n)
{
	int rc = riser_nvme_deallocate(q, ns, &io->req, ranges, n);

	io->dones = 0;
	if (!rc)
		wait_ended(io, x);
	return rc ? rc : (int64_t)io->status;
}

TEST(limits_of_commands_without_data)
{
	struct riser_nvme_opts rw = { .size = sizeof(rw), .flags = RISER_NVME_RDWR };
	struct riser_nvme_dsm_range ranges[] = { { .nlb = to_le32(8) },
						 { .nlb = to_le32(4), .slba = to_le64(100) },
						 { .nlb = to_le32(1), .slba = to_le64(200) } };
	struct io io = { .req.done = io_done };

	SUB(open_context(RISER_VIRTUAL_TIME));
	SUB(open_controller("model:nvme?size=64M&wzsl=1&dmrl=2&dmrsl=8&dmsl=12", &rw, NULL));
	CHECK_EQ(nsi.max_zeroes, 16);
	CHECK_EQ(nsi.max_ranges, 2);
	CHECK_EQ(nsi.max_range, 8);
	CHECK_EQ(nsi.max_deallocate, 12);
	CHECK_EQ(riser_nvme_write_zeroes(q, ns, &io.req, 0, 17, true), -EINVAL);
	CHECK_EQ(riser_nvme_write_zeroes(q, ns, &io.req, 0, 16, true), 0);
	wait_ended(&io, x);
	CHECK_EQ(io.status, 0);
	CHECK_EQ(deallocate(&io, ranges, 2), 0);
	CHECK_EQ(deallocate(&io, ranges, 3), -EINVAL);
	ranges[1].nlb = to_le32(5);
	CHECK_EQ(deallocate(&io, ranges, 2), -EINVAL);
	ranges[1].nlb = to_le32(9);
	CHECK_EQ(deallocate(&io, ranges + 1, 1), -EINVAL);
	close_all();
	/* All together are fewer than one might be. */
	SUB(open_context(RISER_VIRTUAL_TIME));
	SUB(open_controller("model:nvme?size=64M&block=4096&wzsl=40&dmrsl=100&dmsl=12", NULL,
			    NULL));
	CHECK_EQ(nsi.max_zeroes, 65536);
	CHECK_EQ(nsi.max_ranges, 256);
	CHECK_EQ(nsi.max_range, 12);
	close_all();
}

/* As controllers of NVMe 1.4 do. */
TEST(a_controller_that_does_not_know_of_limits)
{
	SUB(open_context(RISER_VIRTUAL_TIME));
	SUB(open_controller("model:nvme?size=64M&wzsl=1&dmrl=2&dmrsl=8&"
			    "fault=status=0x002,dnr,opcode=identify,nth=3",
			    NULL, NULL));
	CHECK_EQ(counters().admin[RISER_NVME_ADM_IDENTIFY], 3);
	CHECK_EQ(nsi.max_zeroes, 65536);
	CHECK_EQ(nsi.max_ranges, 256);
	CHECK_EQ(nsi.max_range, UINT32_MAX);
	CHECK_EQ(nsi.max_deallocate, UINT64_MAX);
	close_all();
}

/* The model, with ops of the test's own. */
extern const struct pci_access access_model;
static struct pci_access altered;

static int altered_open(struct riser *ctx, const struct uri *u, struct pci_dev **out,
			struct riser_err *e)
{
	int rc = access_model.open(ctx, u, out, e);

	if (!rc)
		(*out)->access = &altered;
	return rc;
}

static void begin_altered(struct registry *registry, const char *uri)
{
	static const struct pci_access *const accesses[] = { &altered, NULL };
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts),
					       .flags = RISER_NVME_QPAIR_IRQ };

	altered.open = altered_open;
	SUB(open_context(RISER_VIRTUAL_TIME));
	*registry = *r->registry;
	registry->accesses = accesses;
	r->registry = registry;
	SUB(open_controller(uri, NULL, &qopts));
}

/* In a system that has three vectors left, and says so when it is asked for more. */
#define FEW 3

static unsigned few_tries;

static unsigned few_vectors(struct pci_dev *d)
{
	return few_tries ? FEW : access_model.irq_vectors(d);
}

static int few_irq_set(struct pci_dev *d, const int *fds, unsigned n)
{
	few_tries++;
	return n > FEW ? -ENOSPC : access_model.irq_set(d, fds, n);
}

TEST(a_system_with_few_vectors_gives_what_it_has)
{
	struct registry registry;

	altered = access_model;
	altered.irq_vectors = few_vectors;
	altered.irq_set = few_irq_set;
	SUB(begin_altered(&registry, "model:nvme?size=1M&vectors=9"));
	CHECK_EQ(ctrl_info().vectors, FEW);
	CHECK_EQ(few_tries, 4); /* refused, taken; again at enabling; the queue pair's */
	CHECK_EQ(queue_info(q).vector, 1);
	close_all();
}

#define LEAVES_AT (5 * SECOND)

static int leaving_pump(struct pci_dev *d, uint64_t *next)
{
	int n = access_model.pump(d, next);

	if (clock_now(d->r) >= LEAVES_AT)
		return -ENODEV;
	*next = min_of(*next, clock_now(d->r) + SECOND);
	return n;
}

/* Nothing is in flight, and the owner sleeps; the access names when to look again. */
TEST(an_idle_owner_notices_that_its_function_leaves)
{
	struct registry registry;
	uint64_t since;

	altered = access_model;
	altered.pump = leaving_pump;
	SUB(begin_altered(&registry, "model:nvme?size=1M"));
	since = riser_now(r);
	CHECK(since < LEAVES_AT);
	while (!ctrl_info().gone)
		riser_exec_wait(x, UINT64_MAX);
	CHECK(riser_now(r) <= LEAVES_AT + SECOND);
	close_all();
}

TEST_MAIN(CASE(a_lost_admin_command_is_sent_again_after_a_reset),
	  CASE(a_system_with_few_vectors_gives_what_it_has),
	  CASE(an_idle_owner_notices_that_its_function_leaves), CASE(a_lost_change_is_not_repeated),
	  CASE(an_admin_command_that_is_always_lost_ends_by_the_bound),
	  CASE(a_bring_up_that_never_ends), CASE(an_interrupted_bring_up_is_repeated),
	  CASE(aborts_of_an_absent_owner_hold_nobody_up),
	  CASE(events_are_delivered_and_armed_again_across_resets),
	  CASE(the_admin_event_outlives_a_queue), CASE(fewer_event_requests_than_it_said),
	  CASE(closing_shuts_down_then_disables),
	  CASE(closing_in_the_middle_of_a_recovery_disables),
	  CASE(every_wait_inside_a_completion_is_a_deadlock), CASE(limits_of_commands_without_data),
	  CASE(a_controller_that_does_not_know_of_limits))
