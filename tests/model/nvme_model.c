/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model against the specification. */
#include "base/event.h"
#include "byhand.h"

TEST(registers_after_open)
{
	uint32_t v;

	SUB(open_model("model:nvme?to=30&mqes=255&nsid=7", 0));
	CHECK_EQ(pci_class(dev), PCI_CLASS_NVME);
	CHECK_EQ(RISER_NVME_CAP_MQES(pci_read64(dev, 0, RISER_NVME_REG_CAP)), 255);
	CHECK_EQ(RISER_NVME_CAP_TO(pci_read64(dev, 0, RISER_NVME_REG_CAP)), 30);
	CHECK_EQ(pci_read32(dev, 0, RISER_NVME_REG_CAP + 4),
		 pci_read64(dev, 0, RISER_NVME_REG_CAP) >> 32);
	CHECK_EQ(pci_read32(dev, 0, RISER_NVME_REG_VS), 0x20000);
	CHECK_EQ(csts(), 0);
	CHECK(pci_map(dev, 0, 0, 0x1000) == NULL);
	CHECK_EQ(dev->access->cfg_read(dev, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	close_model();
}

TEST(identify_tells_what_was_asked_for)
{
	struct riser_nvme_id_ctrl *ctrl;
	struct riser_nvme_id_ns *ns;

	SUB(begin("model:nvme?namespaces=2&size=64M&block2=4096&serial=ABC&mdts=5"));
	ctrl = mem.va;
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, RISER_NVME_CNS_CTRL, 0), 0);
	CHECK_EQ(memcmp(ctrl->sn, "ABC                 ", 20), 0);
	CHECK_EQ(ctrl->mdts, 5);
	CHECK_EQ(le32(ctrl->nn), 2);
	ns = mem.va;
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 2, RISER_NVME_CNS_NS, 0), 0);
	CHECK_EQ(le64(ns->nsze), 64 * MiB / 4096);
	CHECK_EQ(ns->lbaf[RISER_NVME_FLBAS_INDEX(ns->flbas)].lbads, 12);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, RISER_NVME_CNS_ACTIVE_NS, 0), 0);
	CHECK_EQ(((uint32_t *)mem.va)[0], 1);
	CHECK_EQ(((uint32_t *)mem.va)[1], 2);
	CHECK_EQ(((uint32_t *)mem.va)[2], 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 3, RISER_NVME_CNS_NS, 0),
		 RISER_NVME_ST_INVALID_NS | RISER_NVME_ST_DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, 0x77, 0),
		 RISER_NVME_ST_INVALID_FIELD | RISER_NVME_ST_DNR);
	CHECK_EQ(admin_cmd(0xc5, 0, 0, 0), RISER_NVME_ST_INVALID_OPCODE | RISER_NVME_ST_DNR);
	close_model();
}

TEST(data_comes_back_through_every_shape_of_prp)
{
	static const size_t lens[] = { 512, 4096, 8192, 12288, 128 * KiB, 512 * KiB };
	uint64_t *list;
	struct dma_mem lists;
	char *buf;

	SUB(begin("model:nvme"));
	CHECK_EQ(riser_mem_alloc(r, MiB, (void **)&buf, &err), 0);
	CHECK_EQ(dma_alloc(&dev->dma, 2 * PAGE, PAGE, &lists, &err), 0);
	list = lists.va;
	for (size_t n = 0; n < array_len(lens); n++) {
		/* Written from scattered memory at an odd offset, read into consecutive memory. */
		size_t len = lens[n], off = 516, pages = (off + len + PAGE - 1) / PAGE, at = 0;
		uint64_t prp2 = 0;

		fill(buf + off, len, (unsigned)n);
		if (pages == 2)
			prp2 = dma_translate(&dev->dma, buf + PAGE);
		if (pages > 2) {
			/* The list begins so late in its page that it goes on in the other. */
			prp2 = lists.iova + PAGE - 16;
			for (size_t p = 1; p < pages; p++) {
				uint64_t iova = dma_translate(&dev->dma, buf + p * PAGE);

				if (at == 1 && p + 1 < pages) {
					list[PAGE / 8 - 1] = lists.iova + PAGE;
					at = 2;
				}
				list[PAGE / 8 - 2 + at++] = iova;
			}
		}
		CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 1000, (uint32_t)(len / 512),
				     dma_translate(&dev->dma, buf + off), prp2)),
			 0);
		memset(mem.va, 0, MiB);
		for (size_t done = 0; done < len;) {
			size_t part = len - done < 2 * PAGE ? len - done : 2 * PAGE;

			CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 1000 + done / 512,
					     (uint32_t)(part / 512), mem.iova + done,
					     mem.iova + done + PAGE)),
				 0);
			done += part;
		}
		CHECK_EQ(memcmp(mem.va, buf + off, len), 0);
	}
	dma_free(&dev->dma, &lists);
	riser_mem_free(r, buf);
	close_model();
}

TEST(bad_addresses_are_refused)
{
	struct model_nvme_counters before, after;

	SUB(begin("model:nvme"));
	model_nvme_get_counters(dev, &before);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, (uintptr_t)mem.va, 0)),
		 RISER_NVME_ST_DATA_TRANSFER);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova + MiB, 0)),
		 RISER_NVME_ST_DATA_TRANSFER);
	model_nvme_get_counters(dev, &after);
	CHECK_EQ(after.dma_refused - before.dma_refused, 2);
	CHECK_EQ(after.dma_refused_iova, mem.iova + MiB);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova + 2, 0)),
		 RISER_NVME_ST_PRP_OFFSET | RISER_NVME_ST_DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 16, mem.iova, mem.iova + 512)),
		 RISER_NVME_ST_PRP_OFFSET | RISER_NVME_ST_DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 32, mem.iova, mem.iova + 4)),
		 RISER_NVME_ST_PRP_OFFSET | RISER_NVME_ST_DNR);
	close_model();
}

TEST(ranges_and_sizes_are_checked)
{
	SUB(begin("model:nvme?size=1M&mdts=1"));
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 2047, 1, mem.iova, 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 2047, 2, mem.iova, 0)),
		 RISER_NVME_ST_LBA_RANGE | RISER_NVME_ST_DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, UINT64_MAX, 2, mem.iova, 0)),
		 RISER_NVME_ST_LBA_RANGE | RISER_NVME_ST_DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 17, mem.iova, mem.iova + PAGE)),
		 RISER_NVME_ST_INVALID_FIELD | RISER_NVME_ST_DNR);
	close_model();
}

TEST(queues_are_created_by_the_rules)
{
	SUB(begin("model:nvme?queues=4&vectors=2"));
	io.id = 5;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1),
		 RISER_NVME_ST_QID_INVALID | RISER_NVME_ST_DNR);
	io.id = 1;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1),
		 RISER_NVME_ST_QID_INVALID | RISER_NVME_ST_DNR);
	io.id = 2;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 0),
		 RISER_NVME_ST_INVALID_FIELD | RISER_NVME_ST_DNR);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 2 << 16 | 1),
		 RISER_NVME_ST_INVALID_VECTOR | RISER_NVME_ST_DNR);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova + 64, 1),
		 RISER_NVME_ST_PRP_OFFSET | RISER_NVME_ST_DNR);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_SQ, io.sq.iova, 3 << 16 | 1),
		 RISER_NVME_ST_CQ_INVALID | RISER_NVME_ST_DNR);
	io.entries = 1;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1),
		 RISER_NVME_ST_QSIZE_INVALID | RISER_NVME_ST_DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_CQ, 0, 1, 0),
		 RISER_NVME_ST_QUEUE_DELETE | RISER_NVME_ST_DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_SQ, 0, 1, 0), 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_CQ, 0, 1, 0), 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_SQ, 0, 1, 0),
		 RISER_NVME_ST_QID_INVALID | RISER_NVME_ST_DNR);
	close_model();
}

/* A completion queue of 4 takes 3 entries; the other commands wait until some were reaped. */
TEST(a_full_completion_queue_holds_commands_back)
{
	struct model_nvme_counters before, after;
	struct riser_nvme_cqe cqe;
	uint16_t next = 0;

	SUB(begin("model:nvme"));
	SUB(alloc_queue(&io, 2, 4));
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1), 0);
	io.entries = ENTRIES;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_SQ, io.sq.iova, 2 << 16 | 1), 0);
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < ENTRIES - 1; i++)
			push(&io, rw(RISER_NVME_IO_READ, i, 1, mem.iova, 0));
		ring(&io);
		for (unsigned left = ENTRIES - 1; left;) {
			model_nvme_get_counters(dev, &before);
			pump();
			pump();
			model_nvme_get_counters(dev, &after);
			CHECK_EQ(after.completions - before.completions, left < 3 ? left : 3);
			io.entries = 4;
			for (; reap(&io, &cqe); left--) {
				CHECK_EQ(status_of(&cqe), 0);
				CHECK_EQ(le16(cqe.cid), next++);
			}
			io.entries = ENTRIES;
		}
	}
	close_model();
}

/* The same for commands that end by themselves, and Delete Queue does not wait for the reader. */
TEST(late_completions_wait_for_room)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme?fault=delay=1ms,opcode=read"));
	SUB(alloc_queue(&io, 2, 4));
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1), 0);
	io.entries = ENTRIES;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_SQ, io.sq.iova, 2 << 16 | 1), 0);
	for (unsigned i = 0; i < 10; i++)
		push(&io, rw(RISER_NVME_IO_READ, i, 1, mem.iova, 0));
	ring(&io);
	pass(NS_PER_MS);
	io.entries = 4;
	for (unsigned i = 0; i < 6; i++) {
		CHECK(reap(&io, &cqe));
		CHECK_EQ(le16(cqe.cid), i);
		if (i == 2) {
			CHECK(!reap(&io, &cqe));
			pump();
		}
	}
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_SQ, 0, 2, 0), 0);
	pump();
	CHECK(!reap(&io, &cqe));
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_CQ, 0, 2, 0), 0);
	close_model();
}

TEST(completions_are_batched)
{
	struct riser_nvme_cqe cqe;
	unsigned n = 0;

	SUB(begin("model:nvme?batch=4"));
	for (unsigned i = 0; i < 10; i++)
		push(&io, rw(RISER_NVME_IO_READ, i, 1, mem.iova, 0));
	ring(&io);
	for (unsigned step = 1; step <= 3; step++) {
		pump();
		while (reap(&io, &cqe))
			n++;
		CHECK_EQ(n, step < 3 ? step * 4 : 10);
	}
	close_model();
}

TEST(enabling_checks_the_configuration)
{
	static const uint32_t bad[] = { CC_ENABLE | 5 << 7, CC_ENABLE | 1 << 4, CC_ENABLE | 1 << 11,
					RISER_NVME_CC_EN | 5u << 16 | 4u << 20,
					RISER_NVME_CC_EN | 6u << 16 | 3u << 20 };

	SUB(open_model("model:nvme", RISER_VIRTUAL_TIME));
	for (size_t i = 0; i < array_len(bad); i++) {
		SUB(enable());
		pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
		CHECK_EQ(csts(), 0);
		pci_write32(dev, 0, RISER_NVME_REG_CC, bad[i]);
		CHECK_EQ(csts(), RISER_NVME_CSTS_CFS);
		pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
		CHECK_EQ(csts(), 0);
	}
	pci_write32(dev, 0, RISER_NVME_REG_AQA, 0);
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE);
	CHECK_EQ(csts(), RISER_NVME_CSTS_CFS);
	/* Locked while enabled. */
	pci_write32(dev, 0, RISER_NVME_REG_AQA, 0x00070007);
	CHECK_EQ(pci_read32(dev, 0, RISER_NVME_REG_AQA), 0);
	close_model();
}

TEST(becoming_ready_takes_the_time_it_was_given)
{
	SUB(open_model("model:nvme?rdy-delay=700", RISER_VIRTUAL_TIME));
	SUB(alloc_queue(&admin, 0, ENTRIES));
	pci_write32(dev, 0, RISER_NVME_REG_AQA, 15 << 16 | 15);
	pci_write64(dev, 0, RISER_NVME_REG_ASQ, admin.sq.iova);
	pci_write64(dev, 0, RISER_NVME_REG_ACQ, admin.cq.iova);
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE);
	pass(699 * NS_PER_MS);
	CHECK_EQ(csts(), 0);
	pass(NS_PER_MS);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	pass(699 * NS_PER_MS);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
	pass(NS_PER_MS);
	CHECK_EQ(csts(), 0);
	close_model();
}

TEST(a_reset_forgets_queues_and_doorbells)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme"));
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	push(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0));
	ring(&io);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	CHECK_EQ(csts(), 0);
	pump();
	CHECK(!reap(&io, &cqe));
	/* The admin queue's registers stay, its doorbells do not: the same tail is seen again. */
	CHECK_EQ(pci_read64(dev, 0, RISER_NVME_REG_ASQ), admin.sq.iova);
	SUB(enable());
	CHECK_EQ(doorbells[2], 0);
	SUB(create_io(ENTRIES));
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	close_model();
}

TEST(a_function_reset_takes_its_time_and_stops_dma)
{
	uint32_t v;

	SUB(begin("model:nvme?fault=delay=50ms,opcode=read"));
	memset(mem.va, 0xaa, 512);
	push(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0));
	ring(&io);
	pump();
	CHECK_EQ(pci_reset(dev), 0);
	CHECK_EQ(dev->access->cfg_read(dev, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v, 0);
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE);
	CHECK_EQ(pci_read32(dev, 0, RISER_NVME_REG_CC), 0);
	pass(99 * NS_PER_MS);
	CHECK_EQ(pci_reset_poll(dev), 0);
	pass(NS_PER_MS);
	CHECK_EQ(pci_reset_poll(dev), 1);
	CHECK_EQ(dev->access->cfg_read(dev, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQ(pci_read64(dev, 0, RISER_NVME_REG_ASQ), 0);
	CHECK_EQ(*(uint8_t *)mem.va, 0xaa);
	SUB(enable());
	close_model();
}

TEST(a_subsystem_reset_says_that_it_was)
{
	SUB(begin("model:nvme"));
	pci_write32(dev, 0, RISER_NVME_REG_NSSR, 1);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
	pci_write32(dev, 0, RISER_NVME_REG_NSSR, 0x4e564d65);
	CHECK_EQ(csts(), RISER_NVME_CSTS_NSSRO);
	pci_write32(dev, 0, RISER_NVME_REG_CSTS, RISER_NVME_CSTS_NSSRO);
	CHECK_EQ(csts(), 0);
	close_model();
}

TEST(shutdown_completes_and_wants_a_reset)
{
	SUB(begin("model:nvme"));
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE | RISER_NVME_CC_SHN_NORMAL);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY | RISER_NVME_CSTS_SHST_COMPLETE);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, 1, 0), UINT32_MAX);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	CHECK_EQ(csts(), 0);
	SUB(enable());
	close_model();
}

TEST(no_dma_without_bus_mastering)
{
	struct model_nvme_counters counters;

	SUB(begin("model:nvme"));
	dev->access->cfg_write(dev, PCI_CFG_COMMAND, 2, PCI_COMMAND_MEMORY);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), UINT32_MAX);
	model_nvme_get_counters(dev, &counters);
	CHECK_EQ(counters.dma_refused, 1);
	CHECK_EQ(csts() & RISER_NVME_CSTS_CFS, RISER_NVME_CSTS_CFS);
	close_model();
}

static uint32_t get_log(uint8_t lid, uint32_t len, uint64_t off, uint32_t rae)
{
	struct riser_nvme_sqe sqe = command(RISER_NVME_ADM_GET_LOG, RISER_NVME_NSID_ALL);

	sqe.prp2 = to_le64(mem.iova + PAGE);
	sqe.cdw10 = to_le32((len / 4 - 1) << 16 | rae << 15 | lid);
	sqe.cdw12 = to_le32((uint32_t)off);
	return run(&admin, sqe);
}

/* Return: dword 0 of the event, or UINT32_MAX where there was none. */
static uint32_t event(void)
{
	struct riser_nvme_cqe cqe;

	pump();
	return reap(&admin, &cqe) ? le32(cqe.dw0) : UINT32_MAX;
}

static void arm(void)
{
	push(&admin, command(RISER_NVME_ADM_AER, 0));
	ring(&admin);
	pump();
}

TEST(bad_doorbells_are_events)
{
	SUB(begin("model:nvme?queues=4"));
	SUB(arm());
	mmio_write32(&doorbells[2], ENTRIES);
	CHECK_EQ(event(), 0x010100); /* error, invalid doorbell value, log 1 */
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	/* Masked until the log was read, without RAE. */
	SUB(arm());
	mmio_write32(&doorbells[2 * 3], 7);
	CHECK_EQ(event(), UINT32_MAX);
	CHECK_EQ(get_log(RISER_NVME_LOG_ERROR, 64, 0, 1), 0);
	CHECK_EQ(event(), UINT32_MAX);
	push(&admin, command(RISER_NVME_ADM_GET_LOG, 0));
	((struct riser_nvme_sqe *)admin.sq.va)[(admin.tail + ENTRIES - 1) % ENTRIES].cdw10 =
		to_le32(RISER_NVME_LOG_ERROR);
	ring(&admin);
	CHECK_EQ(event(), 0x010000); /* write to a doorbell that is not there */
	CHECK_EQ(event(), 0);        /* the log */
	CHECK_EQ(doorbells[2 * 3], 0);
	/* A completion queue's head beyond its tail. */
	SUB(arm());
	CHECK_EQ(get_log(RISER_NVME_LOG_ERROR, 64, 0, 0), 0);
	mmio_write32(&doorbells[3], io.head + 1);
	CHECK_EQ(event(), 0x010100);
	CHECK_EQ(doorbells[3], io.head);
	close_model();
}

TEST(event_requests_have_a_limit_and_can_be_aborted)
{
	struct riser_nvme_cqe cqe;
	uint16_t first;

	SUB(begin("model:nvme"));
	first = admin.cid;
	for (unsigned i = 0; i < 4; i++)
		SUB(arm());
	CHECK(!reap(&admin, &cqe));
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_AER, 0, 0, 0),
		 RISER_NVME_ST_AER_LIMIT | RISER_NVME_ST_DNR);
	push(&admin, command(RISER_NVME_ADM_ABORT, 0));
	((struct riser_nvme_sqe *)admin.sq.va)[(admin.tail + ENTRIES - 1) % ENTRIES].cdw10 =
		to_le32((uint32_t)first << 16);
	ring(&admin);
	pump();
	CHECK(reap(&admin, &cqe));
	CHECK_EQ(le16(cqe.cid), first);
	CHECK_EQ(status_of(&cqe), RISER_NVME_ST_ABORT_REQUESTED);
	CHECK(reap(&admin, &cqe));
	CHECK_EQ(le32(cqe.dw0), 0);
	SUB(arm());
	CHECK(!reap(&admin, &cqe));
	close_model();
}

TEST(deleting_a_queue_ends_what_it_held)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme?fault=delay=1s,opcode=read;lost,opcode=write"));
	push(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0));
	push(&io, rw(RISER_NVME_IO_WRITE, 0, 1, mem.iova, 0));
	ring(&io);
	pump();
	CHECK(!reap(&io, &cqe));
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_SQ, 0, 1, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK(reap(&io, &cqe));
		CHECK_EQ(status_of(&cqe), RISER_NVME_ST_ABORT_SQ_DELETED);
	}
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_DELETE_CQ, 0, 1, 0), 0);
	close_model();
}

TEST(a_command_identifier_in_use_is_refused)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme?fault=lost,opcode=read"));
	push(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0));
	io.cid--;
	push(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0));
	ring(&io);
	pump();
	CHECK(reap(&io, &cqe));
	CHECK_EQ(status_of(&cqe), RISER_NVME_ST_CID_CONFLICT | RISER_NVME_ST_DNR);
	close_model();
}

TEST(interrupts_are_eventfds)
{
	int fds[2] = { -1, -1 }, fd = event_new();

	SUB(begin("model:nvme?vectors=2"));
	SUB(alloc_queue(&io, 2, ENTRIES));
	CHECK_EQ(pci_irq_vectors(dev), 2);
	CHECK_EQ(pci_irq_set(dev, fds, 3), -EINVAL);
	CHECK_EQ(pci_irq_set(dev, fds, 2), 0);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1 << 16 | 3), 0);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_SQ, io.sq.iova, 2 << 16 | 1), 0);
	/* What came while there was no descriptor comes when there is one. */
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	fds[1] = fd;
	CHECK_EQ(pci_irq_set(dev, fds, 2), 0);
	CHECK(event_ack(fd));
	CHECK(!event_ack(fd));
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, 1, 0), 0);
	CHECK(!event_ack(fd));
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	CHECK(event_ack(fd));
	pci_irq_set(dev, NULL, 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	CHECK(!event_ack(fd));
	close(fd);
	close_model();
}

/* Neighbours in memory are none in IOVA, IOVA is never VA, and an IOVA does not come back soon. */
TEST(the_iommu_is_unkind)
{
	uint64_t iova, again;
	char *buf, *other;

	SUB(begin("model:nvme"));
	CHECK_EQ(riser_mem_alloc(r, 4 * MiB, (void **)&buf, &err), 0);
	for (size_t off = 0; off < 4 * MiB; off += PAGE) {
		iova = dma_translate(&dev->dma, buf + off);
		CHECK(iova != DMA_NONE && iova != (uintptr_t)(buf + off));
		if (off)
			CHECK(iova != dma_translate(&dev->dma, buf + off - PAGE) + PAGE);
	}
	iova = dma_translate(&dev->dma, buf);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 16, iova, iova + PAGE)),
		 RISER_NVME_ST_DATA_TRANSFER);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 8, iova, 0)), 0);
	riser_mem_free(r, buf);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 8, iova, 0)), RISER_NVME_ST_DATA_TRANSFER);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(riser_mem_alloc(r, 4 * MiB, (void **)&other, &err), 0);
		again = dma_translate(&dev->dma, other);
		CHECK(again != iova);
		riser_mem_free(r, other);
	}
	close_model();
}

TEST(large_iommu_pages_are_deltas)
{
	char *buf;

	SUB(begin("model:nvme?iommu-page=2M"));
	CHECK_EQ(riser_mem_alloc(r, 4 * MiB, (void **)&buf, &err), 0);
	CHECK(dma_slot(&dev->dma, buf) & 1);
	CHECK(dma_slot(&dev->dma, buf + 2 * MiB) & 1);
	CHECK(dma_translate(&dev->dma, buf + 2 * MiB) != dma_translate(&dev->dma, buf) + 2 * MiB);
	CHECK_EQ(dma_translate(&dev->dma, buf) & (2 * MiB - 1), 0);
	fill(buf, PAGE, 1);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 0, 8, dma_translate(&dev->dma, buf), 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 8,
			     dma_translate(&dev->dma, buf + 2 * MiB + PAGE), 0)),
		 0);
	CHECK_EQ(memcmp(buf, buf + 2 * MiB + PAGE, PAGE), 0);
	riser_mem_free(r, buf);
	close_model();
}

/* A page of 16 KiB spans several of the IOMMU's. */
TEST(larger_memory_pages)
{
	struct riser_nvme_sqe sqe;
	uint64_t *list;

	SUB(open_model("model:nvme", RISER_VIRTUAL_TIME));
	SUB(alloc_queue(&admin, 0, 1024));
	dma_free(&dev->dma, &admin.sq);
	CHECK_EQ(dma_alloc(&dev->dma, 64 * KiB, 64 * KiB, &admin.sq, &err), 0);
	CHECK_EQ(admin.sq.iova & 0x3fff, 0);
	dma_free(&dev->dma, &mem);
	CHECK_EQ(dma_alloc(&dev->dma, MiB, 64 * KiB, &mem, &err), 0);
	dma_free(&dev->dma, &admin.cq);
	CHECK_EQ(dma_alloc(&dev->dma, 16 * KiB, 16 * KiB, &admin.cq, &err), 0);
	list = mem.va;
	pci_write32(dev, 0, RISER_NVME_REG_AQA, 15 << 16 | 1023);
	pci_write64(dev, 0, RISER_NVME_REG_ASQ, admin.sq.iova);
	pci_write64(dev, 0, RISER_NVME_REG_ACQ, admin.cq.iova);
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE | 2 << 7);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, 1, 0), 0);
	CHECK_EQ(((struct riser_nvme_id_ctrl *)mem.va)->sqes, 0x66);
	/* 64 KiB of log at an odd place: 5 pages, 4 of them in a list. */
	for (unsigned i = 0; i < 4; i++)
		list[i] = mem.iova + (i + 2) * 16 * KiB;
	memset((char *)mem.va + 16 * KiB, 0xff, 128 * KiB);
	sqe = command(RISER_NVME_ADM_GET_LOG, 0);
	sqe.prp1 = to_le64(mem.iova + 16 * KiB + 8 * KiB);
	sqe.prp2 = to_le64(mem.iova);
	sqe.cdw10 = to_le32((64 * KiB / 4 - 1) << 16 | RISER_NVME_LOG_SMART);
	CHECK_EQ(run(&admin, sqe), 0);
	CHECK_EQ(((uint8_t *)mem.va)[24 * KiB + 3], 100);
	CHECK_EQ(((uint8_t *)mem.va)[24 * KiB + 64 * KiB - 1], 0);
	CHECK_EQ(((uint8_t *)mem.va)[24 * KiB + 64 * KiB], 0xff);
	close_model();
}

TEST(bad_uris_say_what_is_wrong)
{
	static const struct {
		const char *uri, *said;
	} bad[] = {
		{ "model:nvem", "there is no model 'nvem'" },
		{ "model:nvme?sise=1G", "unknown key 'sise'; did you mean 'size'?" },
		{ "model:nvme?block2=512", "unknown key 'block2'" },
		{ "model:nvme?size=1000", "a multiple of 4096" },
		{ "model:nvme?block=520", "wants 512 or 4096" },
		{ "model:nvme?mode=fast", "wants inline or thread" },
		{ "model:nvme?queues=0", "wants a number of 1 to 4095" },
		{ "model:nvme?serial=123456789012345678901", "at most 20 characters" },
		{ "model:nvme?backing=mem:1M&backing1=mem:1M", "the same namespace's" },
		{ "model:nvme?backing=mem:1M&size=2M", "fewer than the size asked for" },
		{ "model:nvme?backing=/nonexistent/disk", "backing of namespace 1: " },
		{ "model:nvme?backing=[mem:1M?block=4096]&block=512", "cannot have blocks of 512" },
		{ "model:nvme?fault=lost;lots", "rule 2, column 6" },
	};

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	for (size_t i = 0; i < array_len(bad); i++) {
		struct uri u;

		CHECK_EQ(uri_parse(bad[i].uri, &u, &err), 0);
		CHECK(pci_open(r, &u, &dev, &err) < 0);
		CHECK_HAS(err.text, bad[i].said);
		uri_free(&u);
	}
	riser_free(r);
}

TEST_MAIN(CASE(registers_after_open), CASE(identify_tells_what_was_asked_for),
	  CASE(data_comes_back_through_every_shape_of_prp), CASE(bad_addresses_are_refused),
	  CASE(ranges_and_sizes_are_checked), CASE(queues_are_created_by_the_rules),
	  CASE(a_full_completion_queue_holds_commands_back), CASE(late_completions_wait_for_room),
	  CASE(completions_are_batched), CASE(enabling_checks_the_configuration),
	  CASE(becoming_ready_takes_the_time_it_was_given),
	  CASE(a_reset_forgets_queues_and_doorbells),
	  CASE(a_function_reset_takes_its_time_and_stops_dma),
	  CASE(a_subsystem_reset_says_that_it_was), CASE(shutdown_completes_and_wants_a_reset),
	  CASE(no_dma_without_bus_mastering), CASE(bad_doorbells_are_events),
	  CASE(event_requests_have_a_limit_and_can_be_aborted),
	  CASE(deleting_a_queue_ends_what_it_held), CASE(a_command_identifier_in_use_is_refused),
	  CASE(interrupts_are_eventfds), CASE(the_iommu_is_unkind),
	  CASE(large_iommu_pages_are_deltas), CASE(larger_memory_pages),
	  CASE(bad_uris_say_what_is_wrong))
