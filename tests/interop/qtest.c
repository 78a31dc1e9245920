/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The qtest access against QEMU's NVMe device, driven by hand: an admin queue of eight entries, no
 * driver. What fails here is the access, not the driver above it.
 */
#include "base/event.h"
#include "base/uri.h"
#include "dma/space.h"
#include "pci/pci.h"
#include "qemu.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <riser/nvme_spec.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define ENTRIES   8
#define ANSWER_MS 20000 /* loaded machines; nothing measures time here */
#define SERIAL    "HAND-1"
#define SPAWN     "qtest:spawn?device=nvme,serial=" SERIAL "&size=16M"

static struct riser *r;
static struct riser_err err;
static struct pci_dev *d;
static struct dma_mem queues, page;
static unsigned tail, head, phase;

static struct riser_nvme_sqe *sq(void)
{
	return queues.va;
}

static struct riser_nvme_cqe *cq(void)
{
	return (struct riser_nvme_cqe *)((char *)queues.va + 4096);
}

static int open_uri(const char *text)
{
	struct uri u;
	int rc = uri_parse(text, &u, &err);

	if (rc)
		return rc;
	rc = pci_open(r, &u, &d, &err);
	uri_free(&u);
	return rc;
}

static void begin(const char *uri)
{
	int rc;

	d = NULL;
	queues = page = (struct dma_mem){ 0 };
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	rc = open_uri(uri);
	if (rc)
		FAIL("%s: %s", uri, err.text);
}

static void end(void)
{
	if (d) {
		dma_free(&d->dma, &queues);
		dma_free(&d->dma, &page);
	}
	pci_close(d);
	riser_free(r);
	/* QEMU is not only dead but reaped. */
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void wait_ready(bool ready)
{
	for (unsigned i = 0; i < ANSWER_MS; i++) {
		uint32_t csts = pci_read32(d, 0, RISER_NVME_REG_CSTS);

		CHECK(csts != UINT32_MAX);
		if (!!(csts & RISER_NVME_CSTS_RDY) == ready)
			return;
		nap();
	}
	FAIL("CSTS.RDY did not become %d", ready);
}

static void enable(void)
{
	tail = head = 0;
	phase = 1;
	if (!queues.va)
		CHECK_EQ(dma_alloc(&d->dma, 8192, 4096, &queues, &err), 0);
	if (!page.va)
		CHECK_EQ(dma_alloc(&d->dma, 4096, 4096, &page, &err), 0);
	pci_write32(d, 0, RISER_NVME_REG_CC, 0);
	SUB(wait_ready(false));
	memset(queues.va, 0, queues.len);
	pci_write32(d, 0, RISER_NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	pci_write64(d, 0, RISER_NVME_REG_ASQ, queues.iova);
	pci_write64(d, 0, RISER_NVME_REG_ACQ, queues.iova + 4096);
	pci_write32(d, 0, RISER_NVME_REG_CC,
		    RISER_NVME_CC_EN | 6 << RISER_NVME_CC_IOSQES_SHIFT |
			    4 << RISER_NVME_CC_IOCQES_SHIFT);
	wait_ready(true);
}

/* Submit Identify Controller into @page. */
static void submit(void)
{
	memset(page.va, 0, page.len);
	sq()[tail] = (struct riser_nvme_sqe){ .opcode = RISER_NVME_ADM_IDENTIFY,
					      .cid = to_le16(7),
					      .prp1 = to_le64(page.iova),
					      .cdw10 = to_le32(RISER_NVME_CNS_CTRL) };
	tail = (tail + 1) % ENTRIES;
	pci_write32(d, 0, RISER_NVME_REG_DBS, tail);
}

static void complete(void)
{
	uint64_t next;

	for (unsigned i = 0; i < ANSWER_MS; i++) {
		riser_le16 raw = { load_acquire(&cq()[head].status.raw) };
		uint16_t status = le16(raw);

		if ((status & 1) == phase) {
			CHECK_EQ(status >> 1, 0);
			CHECK_EQ(le16(cq()[head].cid), 7);
			head = (head + 1) % ENTRIES;
			phase ^= !head;
			pci_write32(d, 0, RISER_NVME_REG_DBS + 4, head);
			return;
		}
		CHECK(pci_pump(d, &next) >= 0);
		CHECK_EQ(next, TIME_NEVER);
		nap();
	}
	FAIL("no completion");
}

static void check_serial(const char *serial)
{
	const struct riser_nvme_id_ctrl *id = page.va;
	char want[21];

	snprintf(want, sizeof(want), "%-20s", serial);
	CHECK(!memcmp(id->sn, want, 20));
	CHECK(!memcmp(id->mn, "QEMU NVMe Ctrl", 14));
}

static void identify(const char *serial)
{
	SUB(submit());
	SUB(complete());
	SUB(check_serial(serial));
}

TEST(registers)
{
	uint64_t cap;
	uint32_t v;

	NEED_QEMU();
	SUB(begin(SPAWN));
	CHECK_EQ(pci_class(d), PCI_CLASS_NVME);
	CHECK_EQ(d->access->cfg_read(d, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v & 6, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* As QEMU has it: 2048 entries, contiguous queues, doorbells without gaps, 4 KiB pages. */
	cap = pci_read64(d, 0, RISER_NVME_REG_CAP);
	CHECK_EQ(cap & 0xffff, 2047);
	CHECK_EQ(cap >> 32 & 0xf, 0);
	CHECK_EQ(pci_read32(d, 0, RISER_NVME_REG_CAP), (uint32_t)cap);
	CHECK_EQ(pci_read32(d, 0, RISER_NVME_REG_VS), 0x10400);
	/* Beyond the BAR, and in one that is not there. */
	CHECK_EQ(pci_read32(d, 0, 16384), UINT32_MAX);
	CHECK_EQ(pci_read64(d, 0, SIZE_MAX - 3), UINT64_MAX);
	CHECK_EQ(pci_read32(d, 2, 0), UINT32_MAX);
	CHECK_EQ(pci_read32(d, 6, 0), UINT32_MAX);
	CHECK(pci_map(d, 0, 0, 4096) == NULL);
	SUB(end());
}

TEST(identify_polled)
{
	NEED_QEMU();
	SUB(begin(SPAWN));
	SUB(enable());
	SUB(identify(SERIAL));
	SUB(end());
}

TEST(memory_is_the_devices_own)
{
	struct dma_mem m[64];
	char *heap;

	NEED_QEMU();
	SUB(begin("qtest:spawn?device=nvme&ram=8M"));
	CHECK(d->dma.own);
	heap = malloc(4096);
	CHECK_EQ(dma_translate(&d->dma, heap), DMA_NONE);
	free(heap);
	for (unsigned i = 0; i < array_len(m); i++) {
		CHECK_EQ(dma_alloc(&d->dma, 12288, 4096u << (i & 3), &m[i], &err), 0);
		CHECK(m[i].iova >= MiB);
		CHECK_EQ(m[i].iova & ((4096u << (i & 3)) - 1), 0);
		CHECK_EQ(dma_translate(&d->dma, (char *)m[i].va + 8193), m[i].iova + 8193);
		for (unsigned k = 0; k < i; k++)
			CHECK(m[i].iova >= m[k].iova + m[k].len ||
			      m[k].iova >= m[i].iova + m[i].len);
		memset(m[i].va, 0xa5, m[i].len);
	}
	for (unsigned i = 0; i < array_len(m); i++)
		dma_free(&d->dma, &m[i]);
	/* All of it again, aligned to 2 MiB, zeroed. */
	CHECK_EQ(dma_alloc(&d->dma, 6 * MiB, 2 * MiB, &m[0], &err), 0);
	CHECK_EQ(m[0].iova, 2 * MiB);
	CHECK_EQ((uintptr_t)m[0].va & (2 * MiB - 1), 0);
	for (size_t i = 0; i < 6 * MiB; i++)
		if (((char *)m[0].va)[i])
			FAIL("byte %zu is not zero", i);
	CHECK_EQ(dma_alloc(&d->dma, 2 * MiB, 4096, &m[1], &err), -ENOMEM);
	CHECK_HAS(err.text, "ram=");
	CHECK_EQ(dma_alloc(&d->dma, 64 * MiB, 4096, &m[1], &err), -ENOMEM);
	dma_free(&d->dma, &m[0]);
	SUB(end());
}

static bool fires(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ANSWER_MS) == 1 && event_ack(fd);
}

TEST(an_interrupt_is_an_eventfd)
{
	int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 }, fd = event_new(), other = event_new();

	NEED_QEMU();
	SUB(begin(SPAWN));
	CHECK_EQ(pci_irq_vectors(d), 65);
	CHECK_EQ(pci_irq_set(d, fds, 66), -EINVAL);
	CHECK_EQ(pci_irq_set(d, fds, 8), 0);
	SUB(enable());
	SUB(identify(SERIAL)); /* nobody listens */
	fds[0] = fd;
	CHECK_EQ(pci_irq_set(d, fds, 8), 0);
	CHECK(!event_ack(fd));
	SUB(submit());
	CHECK(fires(fd));
	SUB(complete());
	/* Another event, and vectors that others take. */
	fds[0] = other;
	fds[3] = fd;
	CHECK_EQ(pci_irq_set(d, fds, 8), 0);
	SUB(submit());
	CHECK(fires(other));
	SUB(complete());
	CHECK(!event_ack(fd));
	/* Off: the completion is there, the event is not. */
	CHECK_EQ(pci_irq_set(d, NULL, 0), 0);
	SUB(identify(SERIAL));
	CHECK(!event_ack(other));
	close(fd);
	close(other);
	SUB(end());
}

struct shuffler {
	int fds[8]; /* the first is in use, the others come and go */
	bool stop;
	unsigned rounds, failed;
};

static void *shuffle(void *arg)
{
	struct shuffler *s = arg;
	int fds[8];

	while (!load_acquire(&s->stop)) {
		memcpy(fds, s->fds, sizeof(fds));
		for (unsigned i = 1; i < 8; i++)
			if (s->rounds >> (i % 3) & 1)
				fds[i] = -1;
		s->failed += pci_irq_set(d, fds, 8) != 0;
		s->rounds++;
	}
	return NULL;
}

TEST(no_interrupt_is_lost_while_vectors_change)
{
	struct shuffler s = { .rounds = 0 };
	pthread_t thread;

	NEED_QEMU();
	for (unsigned i = 0; i < 8; i++)
		s.fds[i] = event_new();
	SUB(begin(SPAWN));
	CHECK_EQ(pci_irq_set(d, s.fds, 8), 0);
	SUB(enable());
	CHECK_EQ(pthread_create(&thread, NULL, shuffle, &s), 0);
	for (unsigned i = 0; i < 2000 && !tap_failed; i++) {
		submit();
		if (!fires(s.fds[0])) {
			printf("# command %u, %u rounds of vectors\n", i, s.rounds);
			tap_failed = true;
		}
		complete();
	}
	store_release(&s.stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(!tap_failed);
	CHECK_EQ(s.failed, 0);
	CHECK(s.rounds > 0);
	for (unsigned i = 0; i < 8; i++)
		close(s.fds[i]);
	SUB(end());
}

TEST(reset_restores_the_function)
{
	int fd = event_new(), rc;
	uint32_t v;

	NEED_QEMU();
	SUB(begin(SPAWN));
	CHECK_EQ(pci_irq_set(d, &fd, 1), 0);
	SUB(enable());
	SUB(submit());
	CHECK(fires(fd));
	SUB(complete());
	CHECK_EQ(pci_reset(d), 0);
	CHECK_EQ(pci_reset_poll(d), 0);
	while ((rc = pci_reset_poll(d)) == 0)
		nap();
	CHECK_EQ(rc, 1);
	CHECK_EQ(pci_read32(d, 0, RISER_NVME_REG_CC), 0);
	CHECK_EQ(pci_read32(d, 0, RISER_NVME_REG_CSTS), 0);
	CHECK_EQ(d->access->cfg_read(d, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v & 6, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* Interrupts too are as before. */
	SUB(enable());
	event_ack(fd);
	SUB(submit());
	CHECK(fires(fd));
	SUB(complete());
	SUB(check_serial(SERIAL));
	close(fd);
	SUB(end());
}

TEST(death_is_removal)
{
	uint64_t next;
	uint32_t v;
	int fd = event_new(), rc;

	NEED_QEMU();
	SUB(begin(SPAWN));
	SUB(enable());
	CHECK(qemu_child() > 0);
	CHECK_EQ(kill(qemu_child(), SIGKILL), 0);
	while ((rc = pci_pump(d, &next)) >= 0)
		nap();
	CHECK_EQ(rc, -ENODEV);
	CHECK_EQ(pci_read32(d, 0, RISER_NVME_REG_CSTS), UINT32_MAX);
	CHECK_EQ(pci_read64(d, 0, RISER_NVME_REG_CAP), UINT64_MAX);
	for (unsigned i = 0; i < 1000; i++)
		pci_write32(d, 0, RISER_NVME_REG_DBS, 1);
	CHECK_EQ(d->access->cfg_read(d, PCI_CFG_VENDOR, 2, &v), -ENODEV);
	CHECK_EQ(d->access->cfg_write(d, PCI_CFG_COMMAND, 2, 0), -ENODEV);
	CHECK_EQ(pci_irq_set(d, &fd, 1), -ENODEV);
	CHECK_EQ(pci_reset(d), -ENODEV);
	CHECK_EQ(pci_reset_poll(d), -ENODEV);
	close(fd);
	SUB(end());
}

/* A daemon has no standard descriptors: what QEMU inherits must not land there. */
TEST(standard_descriptors_may_be_closed)
{
	int saved[3];

	NEED_QEMU();
	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
	begin(SPAWN);
	if (!tap_failed)
		enable();
	if (!tap_failed)
		identify(SERIAL);
	if (!tap_failed)
		end();
	for (int fd = 0; fd < 3; fd++) {
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
}

/* Two threads write and read registers while a third drains: answers stay with their questions. */
static void *hammer(void *arg)
{
	uint64_t next;
	unsigned wrong = 0;

	for (unsigned i = 0; i < 300; i++) {
		if (arg == &hammer) {
			wrong += pci_pump(d, &next) < 0;
			continue;
		}
		pci_write32(d, 0, RISER_NVME_REG_INTMS, 0);
		wrong += pci_read32(d, 0, RISER_NVME_REG_VS) != 0x10400;
		wrong += pci_class(d) != PCI_CLASS_NVME;
	}
	return (void *)(uintptr_t)wrong;
}

TEST(any_thread_may_call)
{
	pthread_t threads[3];

	NEED_QEMU();
	SUB(begin(SPAWN));
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, hammer, i == 2 ? (void *)&hammer : NULL),
			 0);
	for (unsigned i = 0; i < 3; i++) {
		void *wrong;

		CHECK_EQ(pthread_join(threads[i], &wrong), 0);
		CHECK_EQ((uintptr_t)wrong, 0);
	}
	SUB(end());
}

static void refuse(const char *uri, int code, const char *sentence)
{
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	d = NULL;
	CHECK_EQ(open_uri(uri), code);
	CHECK_HAS(err.text, sentence);
	SUB(end());
}

TEST(bad_uris_have_sentences)
{
	NEED_QEMU();
	SUB(refuse("qtest:spawn?device=nvmee", -EINVAL,
		   "'nvmee' is not a valid device model name"));
	SUB(refuse("qtest:spawn?device=nvme,colour=red", -EINVAL, "colour"));
	SUB(refuse("qtest:spawn", -EINVAL, "qtest:spawn?device=nvme"));
	SUB(refuse("qtest:spawn?divice=nvme", -EINVAL, "did you mean 'device'"));
	SUB(refuse("qtest:spawn?device=nvme&ram=7", -EINVAL, "ram=7"));
	SUB(refuse("qtest:spawn?device=nvme&ram=big", -EINVAL, "wants a size"));
	SUB(refuse("qtest:spawn?device=nvme&drive=/nonexistent", -ENOENT, "/nonexistent"));
	SUB(refuse("qtest:spawn?device=nvme&drive=/dev/null", -EINVAL, "no regular file"));
	SUB(refuse("qtest:spawn?device=nvme,addr=zz", -EINVAL, "zz"));
	SUB(refuse("qtest:spawn?device=nvme&qemu=no-such-qemu", -ENOENT, "qemu-system-x86"));
	SUB(refuse("qtest:/nonexistent?addr=4&ram=/nonexistent", -ENOENT, "memory file"));
	SUB(refuse("qtest:/nonexistent?addr=4", -EINVAL, "&ram=FILE"));
	SUB(refuse("qtest:/nonexistent?addr=32.0&ram=x", -EINVAL, "no address"));
}

/* Virtual time would jump over every deadline while QEMU works. */
TEST(virtual_time_is_refused)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	d = NULL;
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(open_uri(SPAWN), -EINVAL);
	CHECK_HAS(err.text, "virtual");
	riser_free(r);
}

/* A processor that halts: stopped with -S, QEMU's clock would stand still, and its NVMe with it. */
static bool write_rom(const char *path)
{
	static char rom[65536];
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	bool ok;

	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom + 0xfff0, "\xfa\xf4\xeb\xfd", 4);
	ok = fd >= 0 && write(fd, rom, sizeof(rom)) == (ssize_t)sizeof(rom);
	if (fd >= 0)
		close(fd);
	return ok;
}

static pid_t start_qemu(const char *dir)
{
	char rom[64], sock[128], ram[128];
	pid_t pid;

	snprintf(rom, sizeof(rom), "%s/rom", dir);
	snprintf(sock, sizeof(sock), "unix:%s/sock,server=on,wait=off", dir);
	snprintf(ram, sizeof(ram), "memory-backend-file,id=ram,size=32M,share=on,mem-path=%s/ram",
		 dir);
	if (!write_rom(rom))
		return -1;
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execlp(QEMU, QEMU, "-machine", "q35,accel=tcg,memory-backend=ram", "-m", "32M", "-object",
	       ram, "-bios", rom, "-nodefaults", "-display", "none", "-qtest", sock, "-qtest-log",
	       "/dev/null", "-device", "nvme,serial=JOINED,addr=6,id=n", "-device",
	       "nvme-ns,drive=d", "-drive", "if=none,id=d,driver=null-co,size=1M", NULL);
	_exit(127);
}

TEST(a_running_qemu_is_joined)
{
	static const char *const files[] = { "rom", "sock", "ram" };
	char dir[] = "/tmp/riser-qtest-XXXXXX", uri[128];
	pid_t pid;

	NEED_QEMU();
	CHECK(mkdtemp(dir) != NULL);
	pid = start_qemu(dir);
	CHECK(pid > 0);
	snprintf(uri, sizeof(uri), "qtest:%s/sock?addr=06.0&ram=%s/ram", dir, dir);
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	d = NULL;
	for (unsigned i = 0; i < ANSWER_MS && open_uri(uri); i++)
		nap();
	for (unsigned round = 0; round < 2; round++) {
		CHECK(d != NULL);
		CHECK_EQ(pci_irq_vectors(d), 0);
		SUB(enable());
		SUB(identify("JOINED"));
		dma_free(&d->dma, &queues);
		dma_free(&d->dma, &page);
		pci_close(d);
		d = NULL;
		/* It stays, and can be joined again. */
		CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
		CHECK_EQ(open_uri(uri), 0);
	}
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	for (unsigned i = 0; i < 3; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	SUB(end());
}

/* Whatever way the process goes, its QEMU goes too. */
TEST(qemu_does_not_outlive_its_starter)
{
	int pipe_fds[2], status;
	pid_t pid, qemu = 0;

	NEED_QEMU();
	CHECK_EQ(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		if (riser_new(NULL, &r, &err) || open_uri(SPAWN))
			_exit(1);
		qemu = qemu_child();
		if (write(pipe_fds[1], &qemu, sizeof(qemu)) != sizeof(qemu))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(pipe_fds[1]);
	CHECK_EQ(read(pipe_fds[0], &qemu, sizeof(qemu)), sizeof(qemu));
	close(pipe_fds[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	for (unsigned i = 0; i < ANSWER_MS; i++) {
		char path[64], stat[256] = "";
		int fd;
		ssize_t n;

		/* Gone, or a zombie that whoever adopted it has not buried. */
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)qemu);
		fd = open(path, O_RDONLY);
		n = fd < 0 ? 0 : read(fd, stat, sizeof(stat) - 1);
		if (fd >= 0)
			close(fd);
		if (n <= 0 || strstr(stat, ") Z "))
			return;
		nap();
	}
	kill(qemu, SIGKILL);
	FAIL("QEMU (%d) still runs", (int)qemu);
}

TEST_MAIN(CASE(registers), CASE(identify_polled), CASE(memory_is_the_devices_own),
	  CASE(an_interrupt_is_an_eventfd), CASE(no_interrupt_is_lost_while_vectors_change),
	  CASE(reset_restores_the_function), CASE(death_is_removal),
	  CASE(standard_descriptors_may_be_closed), CASE(any_thread_may_call),
	  CASE(bad_uris_have_sentences), CASE(virtual_time_is_refused),
	  CASE(a_running_qemu_is_joined), CASE(qemu_does_not_outlive_its_starter))
