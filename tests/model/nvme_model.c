/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model against the specification. */
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

/* Two commands too many for the completion queue: they come when there is room. */
TEST(a_full_completion_queue_holds_commands_back)
{
	struct riser_nvme_cqe cqe;
	unsigned got = 0;

	SUB(begin("model:nvme"));
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < ENTRIES - 1; i++)
			push(&io, rw(RISER_NVME_IO_READ, i, 1, mem.iova, 0));
		ring(&io);
		pump();
		while (reap(&io, &cqe)) {
			CHECK_EQ(status_of(&cqe), 0);
			CHECK_EQ(le16(cqe.cid), got);
			got++;
		}
		CHECK_EQ(got, (round + 1) * (ENTRIES - 1));
	}
	close_model();
}

TEST_MAIN(CASE(registers_after_open), CASE(identify_tells_what_was_asked_for),
	  CASE(data_comes_back_through_every_shape_of_prp), CASE(bad_addresses_are_refused),
	  CASE(ranges_and_sizes_are_checked), CASE(queues_are_created_by_the_rules),
	  CASE(a_full_completion_queue_holds_commands_back))
