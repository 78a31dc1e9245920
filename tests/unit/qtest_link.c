/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The qtest access against a QEMU that lies: answers in pieces, too long, too many, none; and
 * configuration space that makes no sense.
 */
#include "pci/access/qtest_link.h"
#include "../tap.h"
#include "base/uri.h"
#include "base/util.h"
#include "pci/pci.h"
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct riser_err err;

/* --- The link, with answers prepared in the socket --- */

static struct qtest_link l;
static int far; /* the other end */

static void link_up(const char *answers)
{
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	qtest_link_init(&l, pair[0]);
	far = pair[1];
	CHECK_EQ(write(far, answers, strlen(answers)), strlen(answers));
}

static void link_down(void)
{
	qtest_link_destroy(&l);
	qtest_link_destroy(&l);
	close(far);
}

/* What was asked so far. */
static const char *asked(void)
{
	static char text[4096];
	ssize_t n = recv(far, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n < 0 ? 0 : n] = 0;
	return text;
}

TEST(commands_and_answers)
{
	SUB(link_up("OK 0x1234\nOK\nOK 0xfedcba9876543210\nOK\nOK 0xab\nOK\nOK\n"));
	CHECK_EQ(qtest_link_read(&l, 0xe0000000, 4), 0x1234);
	CHECK_STR(asked(), "readl 0xe0000000\n");
	qtest_link_write(&l, 0xe0000014, 4, 0x460001);
	CHECK_EQ(qtest_link_read(&l, 0xe0000028, 8), 0xfedcba9876543210);
	CHECK_STR(asked(), "writel 0xe0000014 0x460001\nreadq 0xe0000028\n");
	CHECK_EQ(qtest_link_cfg_read(&l, 0x20, 0x3d, 1), 0xab);
	CHECK_STR(asked(), "outl 0xcf8 0x8000203c\ninb 0xcfd\n");
	qtest_link_cfg_write(&l, 0x20, 0x06, 2, 0xffff);
	CHECK_STR(asked(), "outl 0xcf8 0x80002004\noutw 0xcfe 0xffff\n");
	CHECK_EQ(qtest_link_drain(&l), 2);
	CHECK_EQ(qtest_link_drain(&l), 0);
	SUB(link_down());
}

TEST(each_width_of_register_and_port)
{
	SUB(link_up(
		"OK 0xff\nOK 0x1ffff\nOK\nOK\nOK 0xab\nOK 0x1234\nOK 0x89abcdef\nOK\nOK\nOK\n"));
	CHECK_EQ(qtest_link_read(&l, 0xe0000014, 1), 0xff);
	CHECK_EQ(qtest_link_read(&l, 0xe0000012, 2), 0xffff);
	qtest_link_write(&l, 0xe0000014, 1, 0x10f);
	qtest_link_write(&l, 0xe0000016, 2, 3);
	CHECK_STR(asked(), "readb 0xe0000014\nreadw 0xe0000012\nwriteb 0xe0000014 0xf\n"
			   "writew 0xe0000016 0x3\n");
	CHECK_EQ(qtest_link_in(&l, 0xc012, 1), 0xab);
	CHECK_EQ(qtest_link_in(&l, 0xc00c, 2), 0x1234);
	CHECK_EQ(qtest_link_in(&l, 0xc000, 4), 0x89abcdef);
	CHECK_STR(asked(), "inb 0xc012\ninw 0xc00c\ninl 0xc000\n");
	qtest_link_out(&l, 0xc012, 1, 0xffffff0f);
	qtest_link_out(&l, 0xc010, 2, 1);
	qtest_link_out(&l, 0xc008, 4, 0xfffff);
	CHECK_STR(asked(), "outb 0xc012 0xf\noutw 0xc010 0x1\noutl 0xc008 0xfffff\n");
	CHECK_EQ(qtest_link_drain(&l), 3);
	SUB(link_down());
}

TEST(interrupt_lines_are_no_answers)
{
	SUB(link_up("IRQ raise 4\nOK\nIRQ lower 4\nIRQ raise 5\nOK 0x7\nIRQ lower 5\n"));
	qtest_link_write(&l, 0, 8, 1);
	CHECK_EQ(qtest_link_read(&l, 0, 4), 7);
	CHECK_EQ(qtest_link_drain(&l), 0);
	SUB(link_down());
}

TEST(a_refusal_reads_as_all_ones)
{
	SUB(link_up("FAIL Unknown command\nOK nonsense\nOK\n\n"));
	CHECK_EQ(qtest_link_read(&l, 0, 4), UINT32_MAX);
	CHECK_EQ(qtest_link_read(&l, 0, 4), 0);
	CHECK_EQ(qtest_link_read(&l, 0, 8), UINT64_MAX);
	CHECK_EQ(qtest_link_read(&l, 0, 8), UINT64_MAX);
	CHECK(!qtest_link_gone(&l));
	SUB(link_down());
}

static void *in_pieces(void *arg)
{
	for (const char *p = arg; *p; p++) {
		if (write(far, p, 1) != 1)
			break;
		sched_yield();
	}
	return NULL;
}

TEST(an_answer_comes_in_pieces)
{
	char text[] = "OK\nIRQ raise 1\nOK 0x11223344\n";
	pthread_t thread;

	SUB(link_up(""));
	qtest_link_write(&l, 0, 4, 0);
	CHECK_EQ(pthread_create(&thread, NULL, in_pieces, text), 0);
	CHECK_EQ(qtest_link_read(&l, 0, 4), 0x11223344);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	SUB(link_down());
}

TEST(an_endless_line_is_the_end)
{
	static char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	SUB(link_up(text));
	CHECK_EQ(qtest_link_read(&l, 0, 4), UINT32_MAX);
	CHECK(qtest_link_gone(&l));
	CHECK_EQ(qtest_link_drain(&l), -ENODEV);
	SUB(link_down());
}

TEST(hanging_up_is_the_end)
{
	SUB(link_up("OK 0x1\nOK 0x2"));
	CHECK_EQ(qtest_link_read(&l, 0, 4), 1);
	CHECK(!qtest_link_wait_end(&l, 0));
	shutdown(far, SHUT_RDWR);
	/* Half a line is none. */
	CHECK_EQ(qtest_link_read(&l, 0, 4), UINT32_MAX);
	CHECK(qtest_link_gone(&l));
	CHECK(qtest_link_wait_end(&l, 0));
	qtest_link_write(&l, 0, 4, 0);
	CHECK_EQ(qtest_link_drain(&l), -ENODEV);
	SUB(link_down());
}

/* More answers than questions do not upset the count. */
TEST(answers_that_nobody_asked_for)
{
	SUB(link_up("OK\nOK\nOK\n"));
	CHECK_EQ(qtest_link_drain(&l), 3);
	CHECK_EQ(write(far, "OK 0x9\n", 7), 7);
	CHECK_EQ(qtest_link_read(&l, 0, 4), 9);
	SUB(link_down());
}

/* --- The access, joined to a machine of this process --- */

#define FAKE_BDF (4u << 3)

struct fake {
	uint8_t cfg[256];
	uint32_t bar_mask[6]; /* what reads back after all-ones were written */
	uint32_t address;
	int listener;
	char path[64];
	pthread_t thread;
};

static void put32(struct fake *f, unsigned off, uint32_t v)
{
	riser_le32 wire = to_le32(v);

	memcpy(f->cfg + off, &wire, 4);
}

static uint32_t get32(const struct fake *f, unsigned off)
{
	riser_le32 wire;

	memcpy(&wire, f->cfg + off, 4);
	return le32(wire);
}

static void answer_line(struct fake *f, const char *line, FILE *out)
{
	char verb[16] = "";
	unsigned long long a = 0, v = 0;
	unsigned off, width;
	char last;

	sscanf(line, "%15s %llx %llx", verb, &a, &v);
	last = strlen(verb) ? verb[strlen(verb) - 1] : 0;
	width = last == 'b' ? 1 : last == 'w' ? 2 : 4;
	off = (f->address & 0xfc) + (unsigned)(a & 3);
	if (!strncmp(verb, "out", 3) && a == 0xcf8) {
		f->address = (uint32_t)v;
	} else if (!strncmp(verb, "out", 3) && (f->address >> 8 & 0xffff) == FAKE_BDF) {
		unsigned bar = (off - PCI_CFG_BAR0) / 4;

		if (off >= PCI_CFG_BAR0 && bar < 6)
			put32(f, off, (uint32_t)v & f->bar_mask[bar]);
	} else if (!strncmp(verb, "in", 2)) {
		uint32_t all =
			(f->address >> 8 & 0xffff) == FAKE_BDF ? get32(f, off & 0xfc) : UINT32_MAX;

		all >>= 8 * (off & 3);
		fprintf(out, "OK 0x%x\n", width == 4 ? all : all & ((1u << 8 * width) - 1));
		return;
	} else if (!strncmp(verb, "read", 4)) {
		fprintf(out, "OK 0x0\n");
		return;
	}
	fprintf(out, "OK\n");
}

static void *fake_qemu(void *arg)
{
	struct fake *f = arg;
	int fd = accept(f->listener, NULL, NULL);
	FILE *in, *out;
	char line[256];

	if (fd < 0)
		return NULL;
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	while (in && out && fgets(line, sizeof(line), in)) {
		answer_line(f, line, out);
		fflush(out);
	}
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	return NULL;
}

/* A function with a 16 KiB BAR, as NVMe has it. */
static void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	put32(f, PCI_CFG_VENDOR, 0x00101b36);
	put32(f, PCI_CFG_CLASS, PCI_CLASS_NVME << 8);
	f->bar_mask[0] = 0xffffc000;
	f->bar_mask[1] = 0xffffffff;
}

static int fake_open(struct fake *f, struct riser *r, struct pci_dev **d)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa);
	char text[256];
	struct uri u;
	int ram = memfd_create("ram", MFD_CLOEXEC), rc;

	snprintf(f->path, sizeof(f->path), "/tmp/riser-fake-%d", (int)getpid());
	strcpy(sa.sun_path, f->path);
	unlink(f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ftruncate(ram, 4 << 20) || bind(f->listener, (struct sockaddr *)&sa, len) ||
	    listen(f->listener, 1) || pthread_create(&f->thread, NULL, fake_qemu, f))
		return -EIO;
	snprintf(text, sizeof(text), "qtest:%s?addr=04.0&ram=/proc/self/fd/%d", f->path, ram);
	rc = uri_parse(text, &u, &err);
	if (!rc)
		rc = pci_open(r, &u, d, &err);
	uri_free(&u);
	close(ram);
	return rc;
}

static void fake_close(struct fake *f)
{
	pthread_join(f->thread, NULL);
	close(f->listener);
	unlink(f->path);
}

TEST(ports)
{
	struct pci_dev *d = NULL;
	struct riser *r;
	struct fake f;
	int rc;

	fake_init(&f);
	f.bar_mask[0] = 0xffffffe1; /* 32 of them */
	f.bar_mask[1] = 0xfffff000;
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	rc = fake_open(&f, r, &d);
	if (!rc) {
		rc = pci_read8(d, 0, 31) == 0 && pci_read8(d, 0, 32) == 0xff &&
		     pci_read16(d, 0, 31) == 0xffff && pci_read64(d, 0, 0) == UINT64_MAX &&
		     pci_read16(d, 1, 0xffe) == 0;
		pci_close(d);
	}
	riser_free(r);
	fake_close(&f);
	CHECK_EQ(rc, 1);
	CHECK_EQ(get32(&f, PCI_CFG_BAR0), 0xc000);
	CHECK_EQ(get32(&f, PCI_CFG_BAR0 + 4), 0xe0000000);
}

/* Open it, expect @code and a word of the sentence. */
static void expect(struct fake *f, int code, const char *word)
{
	struct pci_dev *d = NULL;
	struct riser *r;
	int rc;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	err.text[0] = 0;
	rc = fake_open(f, r, &d);
	if (!rc) {
		/* Whatever it is, it can be used without harm. */
		pci_read32(d, 0, 0);
		pci_read64(d, 5, 0);
		CHECK(pci_irq_vectors(d) == 0);
		pci_close(d);
	}
	riser_free(r);
	fake_close(f);
	CHECK_EQ(rc, code);
	CHECK_HAS(err.text, word);
}

TEST(a_plain_function)
{
	struct fake f;

	fake_init(&f);
	SUB(expect(&f, 0, ""));
	CHECK_EQ(get32(&f, PCI_CFG_BAR0), 0xe0000000);
}

TEST(no_function)
{
	struct fake f;

	fake_init(&f);
	put32(&f, PCI_CFG_VENDOR, UINT32_MAX);
	SUB(expect(&f, -ENODEV, "04.0"));
}

TEST(bars_of_nonsense)
{
	static const uint32_t masks[][2] = {
		{ 0xffff3000, 0 },          /* holes */
		{ 0x80000000, 0 },          /* 2 GiB: more than there is room for */
		{ 0xffffc004, 0 },          /* 64 bits, and nothing above */
		{ 0x00000004, 0xffffffff }, /* 4 GiB */
		{ 0x00000004, 0x80000000 }, /* half of everything */
	};
	struct fake f;

	for (size_t i = 0; i < array_len(masks); i++) {
		fake_init(&f);
		f.bar_mask[0] = masks[i][0];
		f.bar_mask[1] = masks[i][1];
		SUB(expect(&f, -ENOSPC, "BAR 0"));
	}
	/* Six that fill the room between them. */
	fake_init(&f);
	for (unsigned i = 0; i < 6; i++)
		f.bar_mask[i] = 0xf8000000;
	SUB(expect(&f, -ENOSPC, "BAR 3"));
}

TEST(capabilities_in_a_circle)
{
	struct fake f;

	fake_init(&f);
	put32(&f, PCI_CFG_COMMAND, 0x10u << 16);
	put32(&f, PCI_CFG_CAP, 0x40);
	put32(&f, 0x40, 0x5001);
	put32(&f, 0x50, 0x4010);
	SUB(expect(&f, 0, ""));
	/* Into the header, and beyond the end. */
	put32(&f, 0x50, 0x0410);
	SUB(expect(&f, 0, ""));
	put32(&f, 0x40, 0xfc01);
	put32(&f, 0xfc, 0xfc11);
	SUB(expect(&f, 0, ""));
}

TEST_MAIN(CASE(commands_and_answers), CASE(each_width_of_register_and_port),
	  CASE(interrupt_lines_are_no_answers), CASE(a_refusal_reads_as_all_ones),
	  CASE(an_answer_comes_in_pieces), CASE(an_endless_line_is_the_end),
	  CASE(hanging_up_is_the_end), CASE(answers_that_nobody_asked_for), CASE(a_plain_function),
	  CASE(ports), CASE(no_function), CASE(bars_of_nonsense), CASE(capabilities_in_a_circle))
