/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Playing NVMe driver by hand on the model: registers, queues and PRPs and all, so that an error of
 * the model is not mistaken for one of the real driver.
 */
#ifndef TESTS_MODEL_BYHAND_H
#define TESTS_MODEL_BYHAND_H

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

/* How often to pump for a command; more than once only where a block device is behind. */
static unsigned patience = 1;

static void open_model(const char *text, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	struct uri u;
	int rc;

	memset(&admin, 0, sizeof(admin));
	memset(&io, 0, sizeof(io));
	patience = strstr(text, "backing") ? 1000000 : 1;
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(uri_parse(text, &u, &err), 0);
	rc = pci_open(r, &u, &dev, &err);
	uri_free(&u);
	if (rc)
		FAIL("%s: %s", text, err.text);
	doorbells = pci_map(dev, 0, 0x1000, 0x100);
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
	CHECK(doorbells != NULL);
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

/* Pump until there is an entry. Return: whether one came. */
static bool await(struct queue *q, struct riser_nvme_cqe *out)
{
	for (unsigned i = 0; i < patience; i++) {
		if (reap(q, out))
			return true;
		pump();
	}
	return reap(q, out);
}

static struct riser_nvme_cqe last_cqe;

/* One command, to its end. Return: its status, or UINT32_MAX where there was no entry. */
static uint32_t run(struct queue *q, struct riser_nvme_sqe sqe)
{
	uint16_t cid = push(q, sqe);

	ring(q);
	if (!await(q, &last_cqe))
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

#endif
