/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What only a kernel can show, for guest/vfio.sh: the controller at RISER_TEST_URI, and for some
 * cases another one, RISER_TEST_URI2. Cases that somebody has to help say when on stdout.
 */
#include "pci/access/vfio.h"
#include "../model/nvme_rig.h"
#include <dirent.h>
#include <poll.h>

#define CYCLES 1000
#define DEPTH  32

static const char *uri_of(const char *name)
{
	const char *uri = getenv(name);

	return uri ? uri : "";
}

static void begin_irq(const char *uri, uint32_t timeout_ms)
{
	struct riser_nvme_opts nopts = { .size = sizeof(nopts),
					 .flags = RISER_NVME_RDWR,
					 .io_timeout_ms = timeout_ms };
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts),
					       .flags = RISER_NVME_QPAIR_IRQ };

	SUB(open_context(0));
	SUB(open_controller(uri, &nopts, &qopts));
}

static uint32_t wait_one(struct io *io, int rc)
{
	if (rc)
		return (uint32_t)rc;
	while (!io->dones)
		riser_exec_wait(x, UINT64_MAX);
	io->dones = 0;
	return io->status;
}

/* --- Nothing is left --- */

static unsigned count_lines(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned n = 0;
	int ch;

	while (f && (ch = fgetc(f)) != EOF)
		n += ch == '\n';
	if (f)
		fclose(f);
	return n;
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* In KiB, page by page: what statm says is counted roughly. */
static unsigned resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	unsigned kib = 0;
	char line[256];

	while (f && !kib && fgets(line, sizeof(line), f))
		if (sscanf(line, "Rss: %u", &kib) != 1)
			kib = 0;
	if (f)
		fclose(f);
	return kib;
}

/* With a namespace, a queue pair and a vector each time. */
static void cycle(void)
{
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts),
					       .flags = RISER_NVME_QPAIR_IRQ };

	if (riser_nvme_open(r, uri_of("RISER_TEST_URI"), NULL, &c, &err))
		FAIL("%s", err.text);
	CHECK_EQ(riser_nvme_qpair_open(c, x, &qopts, &q, &err), 0);
	riser_nvme_qpair_close(q);
	riser_nvme_close(c);
}

TEST(open_and_close_for_ever)
{
	unsigned maps, fds, kib, times = atoi(uri_of("RISER_VM_CYCLES")) ?: CYCLES;
	void *mem;

#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer keeps memory of its own");
#endif
	SUB(open_context(0));
	CHECK_EQ(riser_mem_alloc(r, 8 << 20, &mem, &err), 0);
	for (unsigned i = 0; i < 10; i++)
		SUB(cycle());
	maps = count_lines("/proc/self/maps");
	fds = count_fds();
	kib = resident();
	printf("# first: %u mappings, %u descriptors, %u KiB\n", maps, fds, kib);
	for (unsigned i = 0; i < times; i++) {
		alarm(TAP_ALARM_S);
		SUB(cycle());
		if (i % 50 == 49)
			printf("# %u cycles: %u mappings, %u descriptors, %u KiB\n", i + 1,
			       count_lines("/proc/self/maps"), count_fds(), resident());
	}
	CHECK_EQ(count_lines("/proc/self/maps"), maps);
	CHECK_EQ(count_fds(), fds);
	CHECK(resident() <= kib + 64);
	riser_mem_free(r, mem);
	riser_exec_free(x);
	riser_free(r);
}

/* --- The IOMMU --- */

/* Bypassing riser's checks: it believes the buffer mapped, and the IOMMU knows that it is not. */
TEST(an_unmapped_buffer_is_not_written)
{
	struct io io = { .req.done = io_done };
	struct vfio_space *space;
	struct vfio_dev *v;
	uint64_t iova;
	uint8_t *buf;

	SUB(begin_irq(uri_of("RISER_TEST_URI"), 2000));
	CHECK_EQ(riser_nvme_buf_alloc(c, 4096, (void **)&buf, &err), 0);
	v = container_of(c->ctrl->pci, struct vfio_dev, pci);
	space = v->space;
	iova = dma_translate(&v->pci.dma, buf);
	memset(buf, 0xee, 4096);
	CHECK_EQ(space->way->unmap(space, iova, 4096), 0);
	wait_one(&io, riser_nvme_read(q, ns, &io.req, buf, 0, 4096 / nsi.block_size));
	for (unsigned i = 0; i < 4096; i++)
		CHECK_EQ(buf[i], 0xee);
	CHECK_EQ(space->way->map(space, buf, 4096, iova), 0);
	CHECK_EQ(wait_one(&io, riser_nvme_read(q, ns, &io.req, buf, 0, 4096 / nsi.block_size)), 0);
	CHECK(buf[0] != 0xee || buf[4095] != 0xee);
	printf("# IOVA %#llx\n", (unsigned long long)iova);
	riser_nvme_buf_free(c, buf, 4096);
	close_all();
}

/* --- Reset --- */

/* Under the driver, which notices, and goes on by interrupts as before. */
TEST(a_function_reset_is_survived)
{
	struct io io = { .req.done = io_done };
	struct riser_nvme_info info;
	struct pci_dev *pci;
	uint32_t v;
	void *buf;
	int rc;

	SUB(begin_irq(uri_of("RISER_TEST_URI"), 1000));
	CHECK_EQ(riser_nvme_buf_alloc(c, 4096, &buf, &err), 0);
	CHECK_EQ(wait_one(&io, riser_nvme_read(q, ns, &io.req, buf, 0, 1)), 0);
	pci = c->ctrl->pci;
	CHECK_EQ(pci_reset(pci), 0);
	while ((rc = pci_reset_poll(pci)) == 0)
		usleep(1000);
	CHECK_EQ(rc, 1);
	CHECK_EQ(pci->access->cfg_read(pci, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v & 6, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQ(pci_read32(pci, 0, RISER_NVME_REG_CC) & 1, 0);
	CHECK_EQ(wait_one(&io, riser_nvme_read(q, ns, &io.req, buf, 0, 1)), 0);
	riser_nvme_get_info(c, &info);
	CHECK_EQ(info.generation, 1);
	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(wait_one(&io, riser_nvme_read(q, ns, &io.req, buf, i, 1)), 0);
	riser_nvme_buf_free(c, buf, 4096);
	close_all();
}

/* --- Two of them --- */

TEST(two_controllers_reach_the_same_memory)
{
	struct io io = { .req.done = io_done };
	struct riser_nvme_opts nopts = { .size = sizeof(nopts), .flags = RISER_NVME_RDWR };
	struct riser_nvme_qpair *q2;
	struct riser_nvme_ns *ns2;
	struct riser_nvme *c2;
	uint8_t *buf;

	SUB(begin_irq(uri_of("RISER_TEST_URI"), 0));
	CHECK_EQ(riser_nvme_open(r, uri_of("RISER_TEST_URI2"), &nopts, &c2, &err), 0);
	CHECK_EQ(riser_nvme_ns_open(c2, x, 1, &ns2, &err), 0);
	CHECK_EQ(riser_nvme_qpair_open(c2, x, NULL, &q2, &err), 0);
	CHECK_EQ(riser_nvme_buf_alloc(c, 2 << 20, (void **)&buf, &err), 0);
	fill(buf, 4096, 11);
	CHECK_EQ(wait_one(&io, riser_nvme_write(q, ns, &io.req, buf, 0, 8)), 0);
	fill(buf, 4096, 12);
	CHECK_EQ(wait_one(&io, riser_nvme_write(q2, ns2, &io.req, buf, 0, 8)), 0);
	CHECK_EQ(wait_one(&io, riser_nvme_read(q, ns, &io.req, buf + 8192, 0, 8)), 0);
	CHECK(memcmp(buf, buf + 8192, 4096) != 0);
	CHECK_EQ(wait_one(&io, riser_nvme_read(q2, ns2, &io.req, buf + 8192, 0, 8)), 0);
	CHECK_EQ(memcmp(buf, buf + 8192, 4096), 0);
	riser_nvme_buf_free(c, buf, 2 << 20);
	riser_nvme_qpair_close(q2);
	riser_nvme_ns_close(ns2);
	riser_nvme_close(c2);
	close_all();
}

/* --- Removal --- */

struct job {
	struct riser_nvme_req req;
	uint8_t *buf;
	bool writing, busy;
};

static unsigned ended[4]; /* well, offline, unknown outcome, otherwise */
static unsigned running;

static void job_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct job *job = (struct job *)req;

	ended[!status                             ? 0
	      : status == RISER_NVME_HOST_OFFLINE ? 1
	      : status == RISER_NVME_HOST_UNKNOWN ? 2
						  : 3]++;
	if (!job->busy)
		ended[3]++; /* twice */
	job->busy = false;
	running--;
}

static bool is_gone(void)
{
	return ctrl_info().gone;
}

/* Reads and writes in flight all the time, until the controller goes. */
static void load(struct job *jobs)
{
	uint64_t lba = 0;

	while (!is_gone()) {
		for (unsigned i = 0; i < DEPTH; i++) {
			struct job *job = &jobs[i];
			int rc;

			if (job->busy)
				continue;
			lba = (lba + 8) % 4096;
			job->busy = true;
			rc = job->writing ? riser_nvme_write(q, ns, &job->req, job->buf, lba, 8)
					  : riser_nvme_read(q, ns, &job->req, job->buf, lba, 8);
			running += !rc;
			job->busy = !rc;
		}
		riser_exec_wait(x, 1000000000);
	}
	while (running)
		riser_exec_wait(x, 1000000000);
}

static void removed_under_load(uint32_t qpair_flags)
{
	struct riser_nvme_opts nopts = { .size = sizeof(nopts), .flags = RISER_NVME_RDWR };
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .flags = qpair_flags };
	struct io io = { .req.done = io_done };
	struct job jobs[DEPTH] = { 0 };
	uint8_t *mem;
	int rc;

	SUB(open_context(0));
	SUB(open_controller(uri_of("RISER_TEST_URI"), &nopts, &qopts));
	CHECK_EQ(riser_nvme_buf_alloc(c, DEPTH * 4096, (void **)&mem, &err), 0);
	for (unsigned i = 0; i < DEPTH; i++)
		jobs[i] = (struct job){ .req.done = job_done,
					.buf = mem + i * 4096,
					.writing = i % 2 };
	printf("# remove it\n");
	load(jobs);
	printf("# ended well %u, offline %u, of unknown outcome %u, otherwise %u\n", ended[0],
	       ended[1], ended[2], ended[3]);
	CHECK(ended[0] > 0);
	CHECK_EQ(ended[3], 0);
	/* What comes later ends too, and at last is not taken any more. */
	while (!(rc = riser_nvme_read(q, ns, &io.req, mem, 0, 8)) || rc == -EAGAIN) {
		CHECK(rc || wait_one(&io, 0) == RISER_NVME_HOST_OFFLINE);
		riser_exec_wait(x, 1000000);
	}
	CHECK_EQ(rc, -ENODEV);
	riser_nvme_buf_free(c, mem, DEPTH * 4096);
	close_all();
}

TEST(removed_while_polled)
{
	removed_under_load(0);
}

TEST(removed_while_interrupts_are_awaited)
{
	removed_under_load(RISER_NVME_QPAIR_IRQ);
}

TEST(removed_while_idle)
{
	SUB(begin_irq(uri_of("RISER_TEST_URI"), 0));
	printf("# remove it\n");
	while (!is_gone())
		riser_exec_wait(x, UINT64_MAX);
	close_all();
}

TEST_MAIN(CASE(two_controllers_reach_the_same_memory), CASE(an_unmapped_buffer_is_not_written),
	  CASE(a_function_reset_is_survived), CASE(open_and_close_for_ever),
	  CASE(removed_while_polled), CASE(removed_while_interrupts_are_awaited),
	  CASE(removed_while_idle))
