/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * From what the kernel hands to a signal handler to what gdb takes: its own layout of the machine,
 * which it assumes where the description names no registers. What the kernel does not hand over
 * (segment bases, AVX) is at the end, and unknown.
 *
 * x86-64: general, x87 (tags as full or empty) and SSE registers. aarch64: x0-x30, sp, pc, cpsr.
 * Elsewhere: none, and gdb sees memory alone.
 */
#include "base/util.h"
#include "net/debug/gdb.h"
#include <string.h>
#include <ucontext.h>

struct run {
	unsigned first;
	size_t at, size; /* of the first one; of each */
};

static size_t place(const struct run *runs, size_t nruns, unsigned n, size_t *at)
{
	for (size_t i = 0; i + 1 < nruns; i++) {
		if (n >= runs[i + 1].first)
			continue;
		*at = runs[i].at + (n - runs[i].first) * runs[i].size;
		return runs[i].size;
	}
	return 0;
}

#if defined(__x86_64__)

#define X87_AT   164
#define X87_CTRL 244
#define SSE_AT   276
#define MXCSR_AT 532
#define KNOWN    536

const char *const regs_machine = "i386:x86-64";
const size_t regs_size = KNOWN;

static void put32(uint8_t *out, uint32_t v)
{
	memcpy(out, &v, sizeof(v));
}

static void fill_fpu(const struct _libc_fpstate *f, uint8_t *out)
{
	uint32_t tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		memcpy(out + X87_AT + 10 * i, &f->_st[i], 10);
		if (!(f->ftw >> i & 1))
			tags |= 3u << 2 * i;
	}
	put32(out + X87_CTRL, f->cwd);
	put32(out + X87_CTRL + 4, f->swd);
	put32(out + X87_CTRL + 8, tags);
	put32(out + X87_CTRL + 12, f->rip >> 32 & 0xffff);
	put32(out + X87_CTRL + 16, (uint32_t)f->rip);
	put32(out + X87_CTRL + 20, f->rdp >> 32 & 0xffff);
	put32(out + X87_CTRL + 24, (uint32_t)f->rdp);
	put32(out + X87_CTRL + 28, f->fop);
	memcpy(out + SSE_AT, f->_xmm, sizeof(f->_xmm));
	put32(out + MXCSR_AT, f->mxcsr);
}

size_t regs_fill(const void *context, uint8_t out[GDB_REGS])
{
	static const uint8_t order[] = { REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI,
					 REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
					 REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };
	const mcontext_t *m = &((const ucontext_t *)context)->uc_mcontext;
	uint64_t seg = (uint64_t)m->gregs[REG_CSGSFS]; /* cs, gs, fs, ss */
	const uint16_t segs[] = { (uint16_t)seg,         (uint16_t)(seg >> 48), 0, 0,
				  (uint16_t)(seg >> 32), (uint16_t)(seg >> 16) };
	uint8_t *at = out;

	for (size_t i = 0; i < sizeof(order); i++, at += 8)
		memcpy(at, &m->gregs[order[i]], 8);
	put32(at, (uint32_t)m->gregs[REG_EFL]);
	for (size_t i = 0; i < array_len(segs); i++)
		put32(at += 4, segs[i]);
	if (!m->fpregs)
		return X87_AT;
	fill_fpu(m->fpregs, out);
	return KNOWN;
}

size_t regs_place(unsigned n, size_t *at)
{
	static const struct run runs[] = {
		{ 0, 0, 8 },        { 17, 136, 4 },      { 24, X87_AT, 10 }, { 32, X87_CTRL, 4 },
		{ 40, SSE_AT, 16 }, { 56, MXCSR_AT, 4 }, { 57, KNOWN, 0 },
	};

	return place(runs, array_len(runs), n, at);
}

#elif defined(__aarch64__)

#define KNOWN (33 * 8 + 4)

const char *const regs_machine = "aarch64";
const size_t regs_size = KNOWN;

size_t regs_fill(const void *context, uint8_t out[GDB_REGS])
{
	const mcontext_t *m = &((const ucontext_t *)context)->uc_mcontext;
	uint32_t pstate = (uint32_t)m->pstate;

	memcpy(out, m->regs, 31 * 8);
	memcpy(out + 31 * 8, &m->sp, 8);
	memcpy(out + 32 * 8, &m->pc, 8);
	memcpy(out + 33 * 8, &pstate, 4);
	return KNOWN;
}

size_t regs_place(unsigned n, size_t *at)
{
	static const struct run runs[] = { { 0, 0, 8 }, { 33, 33 * 8, 4 }, { 34, KNOWN, 0 } };

	return place(runs, array_len(runs), n, at);
}

#else

const char *const regs_machine = NULL;
const size_t regs_size = 0;

size_t regs_fill(const void *context, uint8_t out[GDB_REGS])
{
	return 0;
}

size_t regs_place(unsigned n, size_t *at)
{
	return place(NULL, 0, n, at);
}

#endif
