/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What the debugger's stub says, byte by byte. */
#include "../tap.h"
#include "base/util.h"
#include "net/debug/gdb.h"
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

/* 256 bytes at 0x1000. */
static uint8_t memory[256];
static unsigned reads;

static size_t fake_memory(uint64_t at, void *buf, size_t len, bool write)
{
	if (at < 0x1000 || at >= 0x1100)
		return 0;
	len = min_of(len, 0x1100 - at);
	if (write)
		memcpy(memory + at - 0x1000, buf, len);
	else
		memcpy(buf, memory + at - 0x1000, len);
	reads += !write;
	return len;
}

static void set_up(struct gdb *g)
{
	*g = (struct gdb){ .threads = { { 0x1a2b, NULL }, { 0x1a2c, NULL } },
			   .nthreads = 2,
			   .signal = SIGSEGV,
			   .auxv = "a#b$c}d*e",
			   .auxv_len = 9,
			   .exec = "/bin/prog",
			   .memory = fake_memory,
			   .packet = 1024 };
	for (unsigned i = 0; i < 256; i++)
		memory[i] = (uint8_t)i;
	reads = 0;
	gdb_reset(g);
}

/* What comes back for these bytes. */
static const char *raw_n(struct gdb *g, const char *bytes, size_t len)
{
	static char out[RISER_DEBUG_PAYLOAD + 1];
	char *exact = malloc(len ? len : 1);
	size_t n;

	memcpy(exact, bytes, len);
	n = gdb_input(g, exact, len, out);
	free(exact);
	out[n] = 0;
	return out;
}

static const char *raw(struct gdb *g, const char *bytes)
{
	return raw_n(g, bytes, strlen(bytes));
}

/* The body of the answer to a request, which is acknowledged like the answer. */
static const char *ask(struct gdb *g, const char *body)
{
	static char answer[RISER_DEBUG_PAYLOAD + 1];
	char frame[RISER_DEBUG_PAYLOAD];
	uint8_t sum = 0, has = 0;
	const char *out;
	unsigned said;
	size_t len;

	for (const char *p = body; *p; p++)
		sum = (uint8_t)(sum + (uint8_t)*p);
	snprintf(frame, sizeof(frame), "+$%s#%02x", body, sum);
	out = raw(g, frame);
	len = strlen(out);
	if (len < 5 || out[0] != '+' || out[1] != '$' || out[len - 3] != '#')
		return "no frame";
	memcpy(answer, out + 2, len - 5);
	answer[len - 5] = 0;
	for (const char *p = answer; *p; p++)
		has = (uint8_t)(has + (uint8_t)*p);
	sscanf(out + len - 2, "%2x", &said);
	raw(g, "+");
	return said == has ? answer : "wrong sum";
}

TEST(frames)
{
	static struct gdb g;

	set_up(&g);
	CHECK_STR(raw(&g, "$?#3f"), "+$T0bthread:1a2b;#f9");
	CHECK_STR(raw(&g, "+"), "");
	CHECK_STR(raw(&g, "-"), "$T0bthread:1a2b;#f9");
	CHECK_STR(raw(&g, "$?#3e"), "-");
	CHECK_STR(raw(&g, "$?#3F"), "+$T0bthread:1a2b;#f9");
	CHECK_STR(raw(&g, "+$nonsense#69"), "+$#00");
	/* Cut, and what is none. */
	CHECK_STR(raw(&g, "+$?#3"), "");
	CHECK_STR(raw(&g, "$?"), "");
	CHECK_STR(raw(&g, "$"), "");
	CHECK_STR(raw(&g, ""), "");
	CHECK_STR(raw(&g, "\3?#3f"), "");
	CHECK_STR(raw(&g, "+++$?#3f\3$qC#b4"), "+$T0bthread:1a2b;#f9+$QC1a2b#ba");
	CHECK(gdb_is_packet("+$?#3f", 6));
	CHECK(!gdb_is_packet("$?#3e", 5));
	CHECK(!gdb_is_packet("+", 1));
	CHECK(gdb_is_packet("$?#3e$?#3f", 10));
}

TEST(the_same_again_does_nothing_twice)
{
	static struct gdb g;
	char first[64];

	set_up(&g);
	strcpy(first, raw(&g, "$m1010,4#8f"));
	CHECK_STR(first, "+$10111213#8a");
	memory[0x10] = 0xff;
	CHECK_STR(raw(&g, "$m1010,4#8f"), first);
	CHECK_EQ(reads, 1);
	/* Acknowledged, it is a new one. */
	CHECK_STR(raw(&g, "+$m1010,4#8f"), "+$ff111213#f5");
	CHECK_EQ(reads, 2);
	/* So is any other. */
	CHECK_STR(raw(&g, "$qC#b4"), "+$QC1a2b#ba");
	CHECK_STR(raw(&g, "$m1010,4#8f"), "+$ff111213#f5");
	CHECK_EQ(reads, 3);
}

TEST(without_acknowledgements)
{
	static struct gdb g;

	set_up(&g);
	CHECK_STR(raw(&g, "$QStartNoAckMode#b0"), "+$OK#9a");
	CHECK_STR(raw(&g, "+"), "");
	CHECK_STR(raw(&g, "$qC#b4"), "$QC1a2b#ba");
	CHECK_STR(raw(&g, "$m1010,4#8f"), "$10111213#8a");
	CHECK_STR(raw(&g, "$m1010,4#8f"), "$10111213#8a");
	CHECK_EQ(reads, 2);
	CHECK_STR(raw(&g, "$qC#b5"), "");
	gdb_reset(&g);
	CHECK_STR(raw(&g, "$qC#b4"), "+$QC1a2b#ba");
}

TEST(reads_memory_that_is_there)
{
	static struct gdb g;

	set_up(&g);
	CHECK_STR(ask(&g, "m1000,3"), "000102");
	CHECK_STR(ask(&g, "m10fe,4"), "feff");
	CHECK_STR(ask(&g, "m1100,4"), "E0e");
	CHECK_STR(ask(&g, "m0,4"), "E0e");
	CHECK_STR(ask(&g, "mffffffffffffffff,ffffffffffffffff"), "E0e");
	CHECK_STR(ask(&g, "m1000,0"), "");
	CHECK_EQ(strlen(ask(&g, "m1000,ffff")), 512);
	g.packet = 100;
	CHECK_EQ(strlen(ask(&g, "m1000,ffff")), 96);
	CHECK_STR(ask(&g, "m10000000000000000,1"), "E01");
	CHECK_STR(ask(&g, "m1000"), "E01");
	CHECK_STR(ask(&g, "m,4"), "E01");
	CHECK_STR(ask(&g, "m1000,4,"), "E01");
	CHECK_STR(ask(&g, "mzz,4"), "E01");
}

TEST(writes_where_it_may)
{
	static struct gdb g;

	set_up(&g);
	CHECK_STR(ask(&g, "M1000,2:aabb"), "E01");
	CHECK_STR(ask(&g, "X1000,2:xy"), "E01");
	CHECK_EQ(memory[0], 0);
	g.writable = true;
	CHECK_STR(ask(&g, "M1000,2:aaBB"), "OK");
	CHECK_EQ(memory[0], 0xaa);
	CHECK_EQ(memory[1], 0xbb);
	CHECK_STR(ask(&g, "X1000,4:x}\x03y}\n"), "OK");
	CHECK(!memcmp(memory, "x#y*", 4));
	CHECK_STR(ask(&g, "X1000,0:"), "OK");
	CHECK_STR(ask(&g, "M10ff,2:0102"), "E0e");
	CHECK_STR(ask(&g, "M1000,3:0102"), "E01");
	CHECK_STR(ask(&g, "M1000,2:010"), "E01");
	CHECK_STR(ask(&g, "M1000,2:01zz"), "E01");
	CHECK_STR(ask(&g, "M1000,2"), "E01");
	CHECK_STR(ask(&g, "G00"), "E01");
	CHECK_STR(ask(&g, "P0=00"), "E01");
}

TEST(says_what_it_can_and_what_it_is)
{
	static struct gdb g;

	set_up(&g);
	CHECK_STR(ask(&g, "qSupported:multiprocess+;swbreak+;xmlRegisters=i386"),
		  "PacketSize=400;qXfer:features:read+;qXfer:auxv:read+;qXfer:exec-file:read+");
	CHECK_STR(ask(&g, "vMustReplyEmpty"), "");
	CHECK_STR(ask(&g, "vCont?"), "");
	CHECK_STR(ask(&g, "!"), "");
	CHECK_STR(ask(&g, "qOffsets"), "");
	CHECK_STR(ask(&g, "QNonStop:0"), "");
	CHECK_STR(ask(&g, "qAttached"), "1");
	CHECK_STR(ask(&g, "qAttached:1a2b"), "1");
	CHECK_STR(ask(&g, "qXfer:exec-file:read:1a2b:0,4"), "m/bin");
	CHECK_STR(ask(&g, "qXfer:exec-file:read::4,ffff"), "l/prog");
	CHECK_STR(ask(&g, "qXfer:exec-file:read::9,1"), "l");
	CHECK_STR(ask(&g, "qXfer:exec-file:read::a,1"), "E01");
	CHECK_STR(ask(&g, "qXfer:exec-file:read:"), "E01");
	CHECK_STR(ask(&g, "qXfer:auxv:read::0,1000"), "la}\x03"
						      "b}\x04"
						      "c}]d}\ne");
	CHECK_STR(ask(&g, "qXfer:threads:read::0,1000"), "");
	g.packet = 8; /* a frame and four: what is escaped stays together */
	CHECK_STR(ask(&g, "qXfer:auxv:read::0,1000"), "ma}\x03");
	CHECK_STR(ask(&g, "qXfer:auxv:read::1,1000"), "m}\x03"
						      "b");
	CHECK_STR(ask(&g, "qSupported"), "E01");
#if defined(__x86_64__)
	g.packet = 1024;
	CHECK_STR(ask(&g, "qXfer:features:read:target.xml:0,fff"),
		  "l<target><architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>"
		  "</target>");
#endif
	CHECK_STR(ask(&g, "qXfer:features:read:other.xml:0,fff"), "");
}

TEST(threads)
{
	static struct gdb g;

	set_up(&g);
	CHECK_STR(ask(&g, "qC"), "QC1a2b");
	CHECK_STR(ask(&g, "qfThreadInfo"), "m1a2b,1a2c");
	CHECK_STR(ask(&g, "qsThreadInfo"), "l");
	CHECK_STR(ask(&g, "T1a2c"), "OK");
	CHECK_STR(ask(&g, "T1a2d"), "E01");
	CHECK_STR(ask(&g, "Hg1a2c"), "OK");
	CHECK_EQ(g.current, 1);
	CHECK_STR(ask(&g, "Hg1a2d"), "E01");
	CHECK_STR(ask(&g, "Hg"), "E01");
	CHECK_EQ(g.current, 1);
	CHECK_STR(ask(&g, "Hc-1"), "OK");
	CHECK_EQ(g.current, 1);
	CHECK_STR(ask(&g, "Hg0"), "OK");
	CHECK_EQ(g.current, 0);
	CHECK_STR(ask(&g, "qThreadExtraInfo,1a2b"), "63726173686564");
	CHECK_STR(ask(&g, "qThreadExtraInfo,1a2c"), "72756e6e696e67");
}

TEST(the_end)
{
	static const char *const verbs[] = { "c", "s", "k", "C0b", "S0b" };
	static struct gdb g;

	set_up(&g);
	CHECK_STR(raw(&g, "$D#44"), "+$OK#9a");
	CHECK_EQ(g.state, GDB_LEAVES);
	CHECK(g.unacked);
	CHECK_STR(raw(&g, "$D#44"), "+$OK#9a");
	raw(&g, "+");
	CHECK(!g.unacked);
	for (size_t i = 0; i < array_len(verbs); i++) {
		set_up(&g);
		g.signal = SIGBUS;
		CHECK_STR(ask(&g, "?"), "T0athread:1a2b;");
		CHECK_STR(ask(&g, verbs[i]), "X0a");
		CHECK_EQ(g.state, GDB_LEAVES);
	}
}

/* As the kernel hands them over: this thread's own. */
TEST(registers)
{
#if defined(__x86_64__)
	static struct gdb g;
	static ucontext_t u;
	char want[32];
	greg_t *r = u.uc_mcontext.gregs;

	set_up(&g);
	CHECK_EQ(strlen(ask(&g, "g")), 1020); /* what fits, all unknown */
	CHECK_EQ(strspn(ask(&g, "g"), "x"), 1020);
	getcontext(&u);
	r[REG_RAX] = 0x1122334455667788;
	r[REG_RBX] = 2;
	r[REG_RSP] = 7;
	r[REG_RIP] = 0x1010;
	r[REG_EFL] = 0x246;
	r[REG_CSGSFS] = (greg_t)0x002b006300530033;
	u.uc_mcontext.fpregs->mxcsr = 0x1f80;
	u.uc_mcontext.fpregs->cwd = 0x37f;
	u.uc_mcontext.fpregs->ftw = 0x81;
	u.uc_mcontext.fpregs->_xmm[15].element[3] = 0x01020304;
	g.threads[1].context = &u;
	g.packet = 1400;
	CHECK_STR(ask(&g, "Hg1a2c"), "OK");
	CHECK_EQ(strlen(ask(&g, "g")), 536 * 2);
	CHECK(!strncmp(ask(&g, "g"), "88776655443322110200000000000000", 32));
	CHECK_STR(ask(&g, "p0"), "8877665544332211");
	CHECK_STR(ask(&g, "p7"), "0700000000000000");
	CHECK_STR(ask(&g, "p10"), "1010000000000000");
	CHECK_STR(ask(&g, "p11"), "46020000");
	CHECK_STR(ask(&g, "p12"), "33000000"); /* cs, ss, ds, es, fs, gs */
	CHECK_STR(ask(&g, "p13"), "2b000000");
	CHECK_STR(ask(&g, "p14"), "00000000");
	CHECK_STR(ask(&g, "p16"), "63000000");
	CHECK_STR(ask(&g, "p17"), "53000000");
	CHECK_EQ(strlen(ask(&g, "p18")), 20);
	CHECK_STR(ask(&g, "p20"), "7f030000");
	CHECK_STR(ask(&g, "p22"), "fc3f0000");
	snprintf(want, sizeof(want), "%s", ask(&g, "p37") + 24);
	CHECK_STR(want, "04030201");
	CHECK_STR(ask(&g, "p38"), "801f0000");
	CHECK_STR(ask(&g, "p39"), "E01");
	CHECK_STR(ask(&g, "pffffffff"), "E01");
	CHECK_STR(ask(&g, "p"), "E01");
	CHECK_STR(ask(&g, "qThreadExtraInfo,1a2c"), "68616c746564");
	CHECK_STR(ask(&g, "Hg1a2b"), "OK");
	CHECK_STR(ask(&g, "p38"), "xxxxxxxx");
#else
	SKIP("the layout is of another machine");
#endif
}

TEST(the_process_itself)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *two =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char buf[8], xyz[] = "xyz";

	CHECK(two != MAP_FAILED);
	CHECK_EQ(mprotect(two + page, page, PROT_NONE), 0);
	memcpy(two + page - 4, "abcd", 4);
	CHECK_EQ(gdb_memory_self((uintptr_t)two + page - 4, buf, 8, false), 4);
	CHECK(!memcmp(buf, "abcd", 4));
	CHECK_EQ(gdb_memory_self((uintptr_t)two + page, buf, 8, false), 0);
	CHECK_EQ(gdb_memory_self(0, buf, 8, false), 0);
	CHECK_EQ(gdb_memory_self(UINT64_MAX, buf, 8, false), 0);
	CHECK_EQ(gdb_memory_self((uintptr_t)two, xyz, 3, true), 3);
	CHECK(!memcmp(two, "xyz", 3));
	CHECK_EQ(gdb_memory_self((uintptr_t)two + page, xyz, 3, true), 0);
	munmap(two, 2 * page);
}

TEST_MAIN(CASE(frames), CASE(the_same_again_does_nothing_twice), CASE(without_acknowledgements),
	  CASE(reads_memory_that_is_there), CASE(writes_where_it_may),
	  CASE(says_what_it_can_and_what_it_is), CASE(threads), CASE(the_end), CASE(registers),
	  CASE(the_process_itself))
