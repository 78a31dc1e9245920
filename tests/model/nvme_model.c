/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The model against the specification: this plays driver by hand, registers, queues and PRPs and
 * all, so that an error of the model is not mistaken for one of the real driver.
 */
#include "../tap.h"
#include "base/barrier.h"
#include "base/riser.h"
#include "base/uri.h"
#include "model/model.h"
#include <errno.h>
#include <riser/nvme_spec.h>

#define ENTRIES 16u
#define PAGE    4096u

struct queue {
	struct dma_mem sq, cq;
	unsigned id, tail, head, entries;
	uint16_t cid;
	bool phase;
	uint32_t *sqdb, *cqdb;
};

static struct riser *r;
static struct riser_err err;
static struct pci_dev *dev;
static struct queue admin, io;
static volatile uint32_t *doorbells;
static struct dma_mem mem; /* 1 MiB for data, consecutive IOVAs */

static void open_model(const char *text, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct uri u;
	int rc;

	memset(&admin, 0, sizeof(admin));
	memset(&io, 0, sizeof(io));
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(uri_parse(text, &u, &err), 0);
	rc = pci_open(r, &u, &dev, &err);
	uri_free(&u);
	if (rc)
		FAIL("%s: %s", text, err.text);
	doorbells = pci_map(dev, 0, 0x1000, 0x100);
	CHECK(doorbells != NULL);
	CHECK_EQ(dma_alloc(&dev->dma, MiB, PAGE, &mem, &err), 0);
}

static void free_queue(struct queue *q)
{
	dma_free(&dev->dma, &q->sq);
	dma_free(&dev->dma, &q->cq);
}

static void close_model(void)
{
	free_queue(&admin);
	free_queue(&io);
	dma_free(&dev->dma, &mem);
	pci_close(dev);
	riser_free(r);
}

static void alloc_queue(struct queue *q, unsigned id, unsigned entries)
{
	free_queue(q);
	memset(q, 0, sizeof(*q));
	q->id = id;
	q->entries = entries;
	q->phase = true;
	CHECK_EQ(dma_alloc(&dev->dma, entries * 64, PAGE, &q->sq, &err), 0);
	CHECK_EQ(dma_alloc(&dev->dma, entries * 16, PAGE, &q->cq, &err), 0);
}

static void pump(void)
{
	uint64_t next;

	pci_pump(dev, &next);
}

/* Pump, and let virtual time pass to what comes next. */
static void pass(uint64_t ns)
{
	struct clock_part part = { 0 };
	uint64_t next, until = clock_now(r) + ns;

	while (clock_now(r) < until) {
		uint64_t seen = clock_activity(r);

		if (pci_pump(dev, &next) <= 0)
			clock_idle(r, &part, seen, next < until ? next : until);
	}
	clock_leave(r, &part);
	pump();
}

static uint32_t csts(void)
{
	return pci_read32(dev, 0, RISER_NVME_REG_CSTS);
}

#define CC_ENABLE (RISER_NVME_CC_EN | 6u << 16 | 4u << 20)

static void enable(void)
{
	SUB(alloc_queue(&admin, 0, ENTRIES));
	pci_write32(dev, 0, RISER_NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	pci_write64(dev, 0, RISER_NVME_REG_ASQ, admin.sq.iova);
	pci_write64(dev, 0, RISER_NVME_REG_ACQ, admin.cq.iova);
	pci_write32(dev, 0, RISER_NVME_REG_CC, CC_ENABLE);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
}

static uint16_t push(struct queue *q, struct riser_nvme_sqe sqe)
{
	struct riser_nvme_sqe *slot = (struct riser_nvme_sqe *)q->sq.va + q->tail;

	sqe.cid = to_le16(q->cid);
	*slot = sqe;
	q->tail = (q->tail + 1) % q->entries;
	return q->cid++;
}

static void ring(struct queue *q)
{
	mmio_write32(&doorbells[q->id * 2], q->tail);
}

/* Return: whether there was an entry. */
static bool reap(struct queue *q, struct riser_nvme_cqe *out)
{
	struct riser_nvme_cqe *cqe = (struct riser_nvme_cqe *)q->cq.va + q->head;
	uint32_t last = load_acquire((uint32_t *)(void *)&cqe->cid);

	if ((last >> 16 & 1) != q->phase)
		return false;
	*out = *cqe;
	q->head = (q->head + 1) % q->entries;
	q->phase ^= q->head == 0;
	mmio_write32(&doorbells[q->id * 2 + 1], q->head);
	return true;
}

static uint32_t status_of(const struct riser_nvme_cqe *cqe)
{
	return le16(cqe->status) >> 1;
}

static struct riser_nvme_cqe last_cqe;

/* One command, to its end. Return: its status, or UINT32_MAX where there was no entry. */
static uint32_t run(struct queue *q, struct riser_nvme_sqe sqe)
{
	uint16_t cid = push(q, sqe);

	ring(q);
	pump();
	if (!reap(q, &last_cqe))
		return UINT32_MAX;
	return le16(last_cqe.cid) == cid ? status_of(&last_cqe) : 0xbadc1d;
}

static struct riser_nvme_sqe command(uint8_t opcode, uint32_t nsid)
{
	return (struct riser_nvme_sqe){ .opcode = opcode,
					.nsid = to_le32(nsid),
					.prp1 = to_le64(mem.iova) };
}

static uint32_t admin_cmd(uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	struct riser_nvme_sqe sqe = command(opcode, nsid);

	sqe.cdw10 = to_le32(cdw10);
	sqe.cdw11 = to_le32(cdw11);
	return run(&admin, sqe);
}

static uint32_t create_queue(struct queue *q, uint8_t opcode, uint64_t at, uint32_t cdw11)
{
	struct riser_nvme_sqe sqe = command(opcode, 0);

	sqe.prp1 = to_le64(at);
	sqe.cdw10 = to_le32((q->entries - 1) << 16 | q->id);
	sqe.cdw11 = to_le32(cdw11);
	return run(&admin, sqe);
}

static void create_io(unsigned entries)
{
	SUB(alloc_queue(&io, 1, entries));
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 0x3), 0);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_SQ, io.sq.iova, 1 << 16 | 1), 0);
}

static void begin(const char *text)
{
	SUB(open_model(text, RISER_VIRTUAL_TIME));
	SUB(enable());
	SUB(create_io(ENTRIES));
}

static struct riser_nvme_sqe rw(uint8_t opcode, uint64_t lba, uint32_t blocks, uint64_t prp1,
				uint64_t prp2)
{
	struct riser_nvme_sqe sqe = command(opcode, 1);

	sqe.prp1 = to_le64(prp1);
	sqe.prp2 = to_le64(prp2);
	sqe.cdw10 = to_le32((uint32_t)lba);
	sqe.cdw11 = to_le32((uint32_t)(lba >> 32));
	sqe.cdw12 = to_le32(blocks - 1);
	return sqe;
}

static void fill(void *at, size_t len, unsigned seed)
{
	uint8_t *p = at;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

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
