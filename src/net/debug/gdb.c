/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * gdb's remote protocol over datagrams that may be lost or come twice.
 *
 * A request is "$BODY#SUM". While acknowledgements are on, "+" says that it came, and goes in one
 * datagram with the answer, so that both arrive or neither does. gdb sends a request again when no
 * "+" comes, and "-" when an answer came damaged. So a request that is the same as the last, whose
 * answer nobody acknowledged, is one whose answer was lost: it is sent again, and nothing is done
 * twice. Copies that the network makes never get here (debug.c): to those an answer would be one
 * too many, and gdb would take it for that of its next request. QStartNoAckMode gives all this up.
 * It works, but is not offered.
 *
 * Nothing that is asked changes the process but M and X, where that was allowed. It cannot go on:
 * to continue, to step, to detach and to kill all mean that it is left to die of its signal.
 */
#include "net/debug/gdb.h"
#include "base/util.h"
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAME   4  /* $, # and two digits */
#define GDB_BUS 10 /* where gdb numbers signals in a way of its own */

static const char digits[] = "0123456789abcdef";

size_t gdb_memory_self(uint64_t at, void *buf, size_t len, bool write)
{
	struct iovec here = { .iov_base = buf, .iov_len = len };
	struct iovec there = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
	ssize_t n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
			  : process_vm_readv(getpid(), &here, 1, &there, 1, 0);

	return n > 0 ? (size_t)n : 0;
}

/* --- Answers --- */

static size_t room(const struct gdb *g)
{
	return g->packet - FRAME + 1 - g->answer_len;
}

static void put_char(struct gdb *g, char c)
{
	if (!room(g)) {
		g->full = true;
		return;
	}
	g->answer[g->answer_len++] = c;
}

static void put_text(struct gdb *g, const char *text)
{
	while (*text)
		put_char(g, *text++);
}

static void put_byte(struct gdb *g, uint8_t byte)
{
	put_char(g, digits[byte >> 4]);
	put_char(g, digits[byte & 15]);
}

static void put_number(struct gdb *g, uint64_t v)
{
	unsigned shift = 60;

	while (shift && !(v >> shift))
		shift -= 4;
	for (;; shift -= 4) {
		put_char(g, digits[v >> shift & 15]);
		if (!shift)
			return;
	}
}

/* Return: false: there is no room for it. */
static bool put_binary(struct gdb *g, uint8_t byte)
{
	bool escaped = byte == '#' || byte == '$' || byte == '}' || byte == '*';

	if (room(g) < 1u + escaped)
		return false;
	if (escaped)
		put_char(g, '}');
	put_char(g, (char)(escaped ? byte ^ 0x20 : byte));
	return true;
}

/* --- Requests --- */

struct request {
	const char *at, *end;
};

static bool take(struct request *q, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(q->end - q->at) < len || memcmp(q->at, word, len))
		return false;
	q->at += len;
	return true;
}

static int digit(char c)
{
	const char *at = memchr(digits, c >= 'A' && c <= 'F' ? c + 'a' - 'A' : c, 16);

	return at ? (int)(at - digits) : -1;
}

static bool take_number(struct request *q, uint64_t *out)
{
	const char *start = q->at;

	*out = 0;
	for (; q->at < q->end && digit(*q->at) >= 0; q->at++) {
		if (*out >> 60)
			return false;
		*out = *out << 4 | (unsigned)digit(*q->at);
	}
	return q->at > start;
}

static bool take_range(struct request *q, uint64_t *at, uint64_t *len)
{
	return take_number(q, at) && take(q, ",") && take_number(q, len);
}

static unsigned find_thread(const struct gdb *g, uint64_t tid)
{
	for (unsigned i = 0; i < g->nthreads; i++)
		if ((uint64_t)g->threads[i].tid == tid)
			return i;
	return GDB_NO_THREAD;
}

static void read_memory(struct gdb *g, struct request *q)
{
	uint8_t buf[RISER_DEBUG_PAYLOAD / 2];
	uint64_t at, len;
	size_t n;

	if (!take_range(q, &at, &len) || q->at != q->end) {
		put_text(g, "E01");
		return;
	}
	len = min_of(len, room(g) / 2);
	n = g->memory(at, buf, min_of(len, sizeof(buf)), false);
	if (!n && len)
		put_text(g, "E0e");
	for (size_t i = 0; i < n; i++)
		put_byte(g, buf[i]);
}

/* @binary: as X has it, with '}' before what is escaped; else two digits for each. */
static size_t take_bytes(struct request *q, bool binary, uint8_t *buf)
{
	size_t n = 0;

	while (q->at < q->end) {
		int high, low;

		if (binary) {
			bool escaped = *q->at == '}' && q->at + 1 < q->end;

			q->at += escaped;
			buf[n++] = (uint8_t)(*q->at++ ^ (escaped ? 0x20 : 0));
			continue;
		}
		high = digit(*q->at++);
		low = q->at < q->end ? digit(*q->at++) : -1;
		if (high < 0 || low < 0)
			return SIZE_MAX;
		buf[n++] = (uint8_t)(high << 4 | low);
	}
	return n;
}

static void write_memory(struct gdb *g, struct request *q, bool binary)
{
	uint8_t buf[RISER_DEBUG_PAYLOAD];
	uint64_t at, len;

	if (!g->writable || !take_range(q, &at, &len) || !take(q, ":") ||
	    take_bytes(q, binary, buf) != len)
		put_text(g, "E01");
	else
		put_text(g, g->memory(at, buf, len, true) == len ? "OK" : "E0e");
}

/* From the @at-th of @size bytes on, as many as fit, 'x' for what is not known. */
static void put_regs(struct gdb *g, size_t at, size_t size)
{
	const void *context = g->threads[g->current].context;
	uint8_t regs[GDB_REGS];
	size_t known = context ? regs_fill(context, regs) : 0;

	for (size_t i = at; i < at + size && room(g) >= 2; i++) {
		if (i < known)
			put_byte(g, regs[i]);
		else
			put_text(g, "xx");
	}
}

static void read_reg(struct gdb *g, struct request *q)
{
	uint64_t n;
	size_t at, size;

	size = take_number(q, &n) && n < 4096 ? regs_place((unsigned)n, &at) : 0;
	if (size)
		put_regs(g, at, size);
	else
		put_text(g, "E01");
}

static void select_thread(struct gdb *g, struct request *q)
{
	bool for_regs = take(q, "g");
	unsigned i = 0;
	uint64_t tid;

	if ((for_regs || take(q, "c")) && !take(q, "-1")) {
		/* 0 is any. */
		i = !take_number(q, &tid) ? GDB_NO_THREAD : tid ? find_thread(g, tid) : 0;
	}
	if (i == GDB_NO_THREAD) {
		put_text(g, "E01");
		return;
	}
	if (for_regs)
		g->current = i;
	put_text(g, "OK");
}

static void list_threads(struct gdb *g)
{
	put_char(g, 'm');
	for (unsigned i = 0; i < g->nthreads && room(g) >= 9; i++) {
		if (i)
			put_char(g, ',');
		put_number(g, (uint64_t)g->threads[i].tid);
	}
}

static int gdb_signal(const struct gdb *g)
{
	return g->signal == SIGBUS ? GDB_BUS : g->signal;
}

static void why_it_stopped(struct gdb *g)
{
	put_char(g, 'T');
	put_byte(g, (uint8_t)gdb_signal(g));
	put_text(g, "thread:");
	put_number(g, (uint64_t)g->threads[0].tid);
	put_char(g, ';');
}

static void dies(struct gdb *g)
{
	put_char(g, 'X');
	put_byte(g, (uint8_t)gdb_signal(g));
	g->state = GDB_LEAVES;
}

/* A part of a document. */
static void transfer(struct gdb *g, struct request *q, const void *document, size_t size)
{
	uint64_t at, len;

	/* The annex of what has several, such as "target.xml" or a process's number. */
	while (q->at < q->end && *q->at != ':')
		q->at++;
	if (!take(q, ":") || !take_range(q, &at, &len) || at > size) {
		put_text(g, "E01");
		return;
	}
	put_char(g, 'm');
	len = min_of(len, size - at);
	while (len && put_binary(g, ((const uint8_t *)document)[at])) {
		at++;
		len--;
	}
	if (at == size)
		g->answer[1] = 'l';
}

static void describe(struct gdb *g, struct request *q)
{
	char text[160] = "<target><architecture>";

	if (!regs_machine)
		return;
	strcat(text, regs_machine);
	strcat(text, "</architecture><osabi>GNU/Linux</osabi></target>");
	transfer(g, q, text, strlen(text));
}

static void query(struct gdb *g, struct request *q)
{
	uint64_t tid;

	if (take(q, "Supported")) {
		put_text(g, "PacketSize=");
		put_number(g, g->packet);
		put_text(g, ";qXfer:features:read+;qXfer:auxv:read+;qXfer:exec-file:read+");
	} else if (take(q, "Xfer:features:read:target.xml")) {
		describe(g, q);
	} else if (take(q, "Xfer:auxv:read")) {
		take(q, ":");
		transfer(g, q, g->auxv, g->auxv_len);
	} else if (take(q, "Xfer:exec-file:read")) {
		take(q, ":");
		transfer(g, q, g->exec, strlen(g->exec));
	} else if (take(q, "fThreadInfo")) {
		list_threads(g);
	} else if (take(q, "sThreadInfo")) {
		put_char(g, 'l');
	} else if (take(q, "ThreadExtraInfo,")) {
		tid = take_number(q, &tid) ? find_thread(g, tid) : GDB_NO_THREAD;
		for (const char *t = tid == 0                                          ? "crashed"
				     : tid != GDB_NO_THREAD && g->threads[tid].context ? "halted"
										       : "running";
		     *t; t++)
			put_byte(g, (uint8_t)*t);
	} else if (take(q, "Attached")) {
		put_char(g, '1');
	} else if (q->at < q->end && *q->at == 'C' && q->at + 1 == q->end) {
		put_text(g, "QC");
		put_number(g, (uint64_t)g->threads[0].tid);
	}
}

static void answer(struct gdb *g, struct request *q)
{
	uint64_t tid;
	char verb = q->at < q->end ? *q->at++ : 0;

	switch (verb) {
	case '?':
		why_it_stopped(g);
		break;
	case 'g':
		put_regs(g, 0, regs_size);
		break;
	case 'p':
		read_reg(g, q);
		break;
	case 'm':
		read_memory(g, q);
		break;
	case 'M':
	case 'X':
		write_memory(g, q, verb == 'X');
		break;
	case 'G':
	case 'P':
		put_text(g, "E01");
		break;
	case 'H':
		select_thread(g, q);
		break;
	case 'T':
		tid = take_number(q, &tid) ? find_thread(g, tid) : GDB_NO_THREAD;
		put_text(g, tid == GDB_NO_THREAD ? "E01" : "OK");
		break;
	case 'q':
		query(g, q);
		break;
	case 'Q':
		g->no_ack |= take(q, "StartNoAckMode");
		if (q->at == q->end)
			put_text(g, "OK");
		break;
	case 'D':
		put_text(g, "OK");
		g->state = GDB_LEAVES;
		break;
	case 'c':
	case 'C':
	case 's':
	case 'S':
	case 'k':
		dies(g);
		break;
	default: /* an empty answer: not known */
		break;
	}
}

/* --- Frames --- */

/* Find the next "$BODY#SUM" from *@at on. Return: false: there is none; *@good: whether its
 * checksum is right. */
static bool find_packet(struct request *in, struct request *body, bool *good)
{
	const char *hash;
	uint8_t sum = 0;

	if (!take(in, "$"))
		return false;
	hash = memchr(in->at, '#', (size_t)(in->end - in->at));
	if (!hash || in->end - hash < 3) {
		in->at = in->end;
		return false;
	}
	*body = (struct request){ in->at, hash };
	for (const char *p = in->at; p < hash; p++)
		sum = (uint8_t)(sum + (uint8_t)*p);
	*good = digit(hash[1]) == sum >> 4 && digit(hash[2]) == (sum & 15);
	in->at = hash + 3;
	return true;
}

bool gdb_is_packet(const char *bytes, size_t len)
{
	struct request in = { bytes, bytes + len }, body;
	bool good;

	while (in.at < in.end) {
		if (find_packet(&in, &body, &good)) {
			if (good)
				return true;
		} else if (in.at < in.end) {
			in.at++;
		}
	}
	return false;
}

/* Make the answer to @q, or find that it was made already. */
static void take_request(struct gdb *g, struct request *q)
{
	size_t len = (size_t)(q->end - q->at);
	uint8_t sum = 0;

	if (g->unacked && g->asked_len == len && !memcmp(g->asked, q->at, len))
		return;
	memcpy(g->asked, q->at, len);
	g->asked_len = len;
	g->answer[0] = '$';
	g->answer_len = 1;
	g->full = false;
	answer(g, q);
	if (g->full) {
		g->answer_len = 1;
		put_text(g, "E01");
	}
	for (size_t i = 1; i < g->answer_len; i++)
		sum = (uint8_t)(sum + (uint8_t)g->answer[i]);
	g->answer[g->answer_len] = '#';
	g->answer[g->answer_len + 1] = digits[sum >> 4];
	g->answer[g->answer_len + 2] = digits[sum & 15];
	g->answer_len += 3;
	g->unacked = !g->no_ack;
}

/* Put @len bytes behind the *@n that are there, if there is room. */
static void send(char *out, size_t *n, const char *bytes, size_t len)
{
	if (len > RISER_DEBUG_PAYLOAD - *n)
		return; /* as if it was lost */
	memcpy(out + *n, bytes, len);
	*n += len;
}

void gdb_reset(struct gdb *g)
{
	g->state = GDB_TALKS;
	g->current = 0;
	g->no_ack = g->unacked = false;
	g->asked_len = g->answer_len = 0;
}

size_t gdb_input(struct gdb *g, const char *bytes, size_t len, char *out)
{
	struct request in = { bytes, bytes + len }, body;
	size_t n = 0;
	bool good, ack;

	if (len > RISER_DEBUG_PAYLOAD)
		return 0;
	while (in.at < in.end) {
		if (find_packet(&in, &body, &good)) {
			ack = !g->no_ack;
			if (good)
				take_request(g, &body);
			if (ack)
				send(out, &n, good ? "+" : "-", 1);
			if (good)
				send(out, &n, g->answer, g->answer_len);
		} else if (take(&in, "+")) {
			g->unacked = false;
		} else if (take(&in, "-")) {
			send(out, &n, g->answer, g->answer_len);
		} else if (in.at < in.end) {
			in.at++; /* an interrupt, or nothing that is known */
		}
	}
	return n;
}
