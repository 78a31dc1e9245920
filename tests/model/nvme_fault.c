/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The faults that a model plays by script, seen by hand. */
#include "byhand.h"

#define DNR RISER_NVME_ST_DNR

static struct riser_nvme_sqe read_at(uint64_t lba)
{
	return rw(RISER_NVME_IO_READ, lba, 1, mem.iova, 0);
}

static uint32_t abort_cmd(uint16_t cid)
{
	return admin_cmd(RISER_NVME_ADM_ABORT, 0, (uint32_t)cid << 16 | io.id, 0);
}

static uint64_t inflight(void)
{
	struct model_nvme_counters counters;

	model_nvme_get_counters(dev, &counters);
	return counters.inflight;
}

TEST(a_lost_command_is_aborted)
{
	struct riser_nvme_cqe cqe;
	uint16_t cid;

	SUB(begin("model:nvme?fault=lost,opcode=read,nth=2"));
	CHECK_EQ(run(&io, read_at(0)), 0);
	cid = push(&io, read_at(1));
	push(&io, read_at(2));
	ring(&io);
	pass(60 * NS_PER_S);
	CHECK(reap(&io, &cqe));
	CHECK_EQ(le16(cqe.cid), cid + 1);
	CHECK(!reap(&io, &cqe));
	CHECK_EQ(inflight(), 1);
	CHECK_EQ(abort_cmd(cid), 0);
	CHECK_EQ(le32(last_cqe.dw0), 0);
	CHECK(reap(&io, &cqe));
	CHECK_EQ(le16(cqe.cid), cid);
	CHECK_EQ(status_of(&cqe), RISER_NVME_ST_ABORT_REQUESTED);
	CHECK_EQ(inflight(), 0);
	CHECK_EQ(abort_cmd(cid), 0);
	CHECK_EQ(le32(last_cqe.dw0), 1);
	close_model();
}

TEST(an_abort_is_refused_and_another_lies)
{
	struct riser_nvme_cqe cqe;
	uint16_t cid;

	SUB(begin("model:nvme?fault=lost,opcode=read;abort-refused,nth=1;abort-lies,nth=1"));
	cid = push(&io, read_at(0));
	ring(&io);
	pump();
	CHECK_EQ(abort_cmd(cid), 0);
	CHECK_EQ(le32(last_cqe.dw0), 1);
	CHECK_EQ(abort_cmd(cid), 0);
	CHECK_EQ(le32(last_cqe.dw0), 0);
	CHECK(!reap(&io, &cqe));
	CHECK_EQ(inflight(), 1);
	CHECK_EQ(abort_cmd(cid), 0);
	CHECK_EQ(le32(last_cqe.dw0), 0);
	CHECK(reap(&io, &cqe));
	close_model();
}

TEST(a_status_by_lba_and_count)
{
	SUB(begin("model:nvme?fault=status=0x281,opcode=read,lba=8-15,dnr;"
		  "status=0x006,opcode=write,every=3,times=2"));
	CHECK_EQ(run(&io, read_at(7)), 0);
	CHECK_EQ(run(&io, read_at(8)), RISER_NVME_ST_READ_ERROR | DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 1, 8, mem.iova, 0)),
		 RISER_NVME_ST_READ_ERROR | DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 8, mem.iova, 0)), 0);
	CHECK_EQ(run(&io, read_at(16)), 0);
	for (unsigned i = 1; i <= 12; i++)
		CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 8, 1, mem.iova, 0)),
			 i == 3 || i == 6 ? RISER_NVME_ST_INTERNAL : 0);
	close_model();
}

TEST(a_delay_passes_on_the_clock)
{
	struct riser_nvme_cqe cqe;
	uint64_t start;

	SUB(begin("model:nvme?fault=delay=10ms,opcode=read,lba=5;status=0x281,lba=5,nth=2"));
	start = clock_now(r);
	push(&io, read_at(5));
	push(&io, read_at(6));
	push(&io, read_at(5));
	ring(&io);
	pump();
	CHECK(reap(&io, &cqe));
	CHECK_EQ(le16(cqe.cid), 1);
	CHECK(!reap(&io, &cqe));
	pass(9 * NS_PER_MS);
	CHECK(!reap(&io, &cqe));
	pass(NS_PER_MS);
	CHECK_EQ(clock_now(r) - start, 10 * NS_PER_MS);
	CHECK(reap(&io, &cqe));
	CHECK_EQ(status_of(&cqe), 0);
	CHECK(reap(&io, &cqe));
	CHECK_EQ(status_of(&cqe), RISER_NVME_ST_READ_ERROR);
	close_model();
}

TEST(ready_sticks_at_enabling)
{
	SUB(open_model("model:nvme?fault=stuck-rdy,phase=enable", RISER_VIRTUAL_TIME));
	SUB(alloc_queue(&admin, 0, ENTRIES));
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE);
	pass(60 * NS_PER_S);
	CHECK_EQ(csts(), 0);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	SUB(enable());
	close_model();
}

TEST(ready_sticks_at_disabling_and_the_controller_goes_on)
{
	SUB(begin("model:nvme?fault=stuck-rdy,phase=disable"));
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE & ~RISER_NVME_CC_EN);
	pass(60 * NS_PER_S);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
	CHECK_EQ(run(&io, read_at(0)), 0);
	CHECK_EQ(pci_reset(dev), 0);
	CHECK_EQ(pci_reset_poll(dev), 0);
	pass(100 * NS_PER_MS);
	CHECK_EQ(pci_reset_poll(dev), 1);
	CHECK_EQ(csts(), 0);
	SUB(enable());
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	CHECK_EQ(csts(), 0);
	close_model();
}

TEST(a_fatal_status_stops_everything_until_a_reset)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme?fault=cfs,queue=io,nth=3"));
	for (unsigned i = 0; i < 5; i++)
		push(&io, read_at(i));
	ring(&io);
	pump();
	CHECK(reap(&io, &cqe));
	CHECK(reap(&io, &cqe));
	CHECK(!reap(&io, &cqe));
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY | RISER_NVME_CSTS_CFS);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, 1, 0), UINT32_MAX);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	CHECK_EQ(csts(), 0);
	CHECK_EQ(inflight(), 0);
	SUB(enable());
	SUB(create_io(ENTRIES));
	CHECK_EQ(run(&io, read_at(0)), 0);
	close_model();
}

TEST(a_function_that_is_gone_reads_as_ones)
{
	uint64_t next;
	uint32_t v;

	SUB(begin("model:nvme?fault=gone,opcode=flush"));
	CHECK_EQ(run(&io, read_at(0)), 0);
	CHECK_EQ(run(&io, command(RISER_NVME_IO_FLUSH, 1)), UINT32_MAX);
	CHECK_EQ(csts(), UINT32_MAX);
	CHECK_EQ(pci_read64(dev, 0, RISER_NVME_REG_CAP), UINT64_MAX);
	CHECK_EQ(dev->access->cfg_read(dev, PCI_CFG_VENDOR, 2, &v), 0);
	CHECK_EQ(v, 0xffff);
	CHECK_EQ(pci_pump(dev, &next), -ENODEV);
	CHECK_EQ(pci_reset(dev), -ENODEV);
	close_model();
}

TEST(rules_come_and_go_at_run_time)
{
	SUB(begin("model:nvme"));
	CHECK_EQ(model_nvme_fault_add(dev, "status=0x280,opcode=0x01", &err), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 0, 1, mem.iova, 0)), RISER_NVME_ST_WRITE_FAULT);
	CHECK_EQ(run(&io, read_at(0)), 0);
	model_nvme_fault_clear(dev);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 0, 1, mem.iova, 0)), 0);
	close_model();
}

TEST(errors_of_grammar_name_their_place)
{
	static const struct {
		const char *rules, *said;
	} bad[] = {
		{ "lots", "rule 1, column 1: an unknown rule; did you mean 'lost'?" },
		{ "lost;status=0x281,opcod=read", "rule 2, column 19: a condition that this rule "
						  "does not have; did you mean 'opcode'?" },
		{ "lost,opcode=reed", "rule 1, column 6: an unknown opcode; did you mean 'read'?" },
		{ "status", "rule 1, column 1: a rule that wants a value" },
		{ "status=0x4281", "'status' wants 0xSCTSC" },
		{ "status=0", "'status' wants 0xSCTSC" },
		{ "lost=3", "a rule that has no value" },
		{ "lost,lba=9-3", "'lba' wants FIRST-LAST" },
		{ "lost,lba=x", "'lba' wants FIRST-LAST" },
		{ "lost,nth=0", "a condition that wants a number" },
		{ "lost,nth=1,nth=2", "rule 1, column 12: a condition that comes twice" },
		{ "stuck-rdy,phase=of", "'phase' wants enable or disable" },
		{ "stuck-rdy,lba=1", "a condition that this rule does not have" },
		{ "delay=10m", "'delay' wants a time" },
		{ "delay=99999s", "'delay' wants a time" },
		{ "lost,queue=all", "'queue' wants admin, io or a number" },
		{ "lost,nsid=-1", "'nsid' wants a namespace's number" },
		{ "lost,dnr", "a condition that this rule does not have" },
		{ "status=6,dnr=1", "'dnr' has no value" },
		{ "lost,opcode", "a condition without value" },
		{ "", "an empty rule" },
		{ ";lost", "rule 1, column 1: an empty rule" },
		{ "lost,queue=0123456789012345678901234567890123456789012345678", "too long" },
	};

	SUB(begin("model:nvme"));
	for (size_t i = 0; i < array_len(bad); i++) {
		CHECK_EQ(model_nvme_fault_add(dev, bad[i].rules, &err), -EINVAL);
		CHECK_HAS(err.text, bad[i].said);
	}
	/* Nothing of a script with an error stays. */
	CHECK_EQ(run(&io, read_at(0)), 0);
	CHECK_EQ(model_nvme_fault_add(dev, "lost,times=0,after=1;delay=2s;", &err), 0);
	close_model();
}

TEST_MAIN(CASE(a_lost_command_is_aborted), CASE(an_abort_is_refused_and_another_lies),
	  CASE(a_status_by_lba_and_count), CASE(a_delay_passes_on_the_clock),
	  CASE(ready_sticks_at_enabling),
	  CASE(ready_sticks_at_disabling_and_the_controller_goes_on),
	  CASE(a_fatal_status_stops_everything_until_a_reset),
	  CASE(a_function_that_is_gone_reads_as_ones), CASE(rules_come_and_go_at_run_time),
	  CASE(errors_of_grammar_name_their_place))
