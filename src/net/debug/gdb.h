/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * gdb's remote protocol, one datagram at a time: what a debugger wants to know of a process that
 * stands still. No signals and no network here: see crash.c.
 */
#ifndef NET_DEBUG_GDB_H
#define NET_DEBUG_GDB_H

#include <riser/debug.h>
#include <sys/types.h>

#define GDB_THREADS   64
#define GDB_AUXV      1024
#define GDB_PATH      512
#define GDB_REGS      1024
#define GDB_NO_THREAD UINT32_MAX

enum gdb_state {
	GDB_TALKS,
	GDB_LEAVES, /* detached, killed or continued: there is nothing more to say */
};

struct gdb_thread {
	pid_t tid;
	const void *context; /* ucontext_t, of a signal handler that runs in it; NULL: not known */
};

/* Read or write memory that may not be there. Return: bytes from @at on, 0: none. */
typedef size_t gdb_memory(uint64_t at, void *buf, size_t len, bool write);

/**
 * struct gdb - a conversation, and what it is about
 * @threads: [0] has crashed
 * @signal: of that
 * @memory: gdb_memory_self() but in tests
 * @packet: the longest packet, with its frame
 * @current: index of the thread whose registers are wanted
 * @no_ack: no '+' for what came, no '-' either
 * @unacked: the last answer was not acknowledged: the same request again means that it was lost
 * @asked: that request, as much as is told apart
 * @answer: that answer, in its frame
 */
struct gdb {
	struct gdb_thread threads[GDB_THREADS];
	unsigned nthreads;
	int signal;
	uint8_t auxv[GDB_AUXV];
	size_t auxv_len;
	char exec[GDB_PATH];
	bool writable;
	gdb_memory *memory;
	size_t packet;

	enum gdb_state state;
	unsigned current;
	bool no_ack, unacked;
	char asked[RISER_DEBUG_PAYLOAD];
	size_t asked_len;
	char answer[RISER_DEBUG_PAYLOAD];
	size_t answer_len;
	bool full; /* @answer lacks what did not fit */
};

/* A new debugger, who knows nothing of what was agreed with the last. */
void gdb_reset(struct gdb *g);

/**
 * gdb_input - take a datagram
 * @g: the conversation
 * @bytes: what came, anything
 * @len: how much
 * @out: receives what is to be sent back, RISER_DEBUG_PAYLOAD bytes
 *
 * Return: bytes to send, 0 for none.
 */
size_t gdb_input(struct gdb *g, const char *bytes, size_t len, char *out);

/* Whether it has a packet with a right checksum: somebody who means it. */
bool gdb_is_packet(const char *bytes, size_t len);

size_t gdb_memory_self(uint64_t at, void *buf, size_t len, bool write);

/*
 * The registers of a thread as gdb lays them out for this machine, see regs.c.
 */
extern const char *const regs_machine; /* by gdb's name; NULL: none is known here */
extern const size_t regs_size;         /* of all, the same for every thread: gdb wants that */
/* Return: how many bytes of @out, at most regs_size, are known. */
size_t regs_fill(const void *context, uint8_t out[GDB_REGS]);
/* Where register @n is in that. Return: its bytes, 0: there is none. */
size_t regs_place(unsigned n, size_t *at);

#endif
