/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An owner that keeps a queue pair busy and judges what becomes of its data, whatever goes wrong.
 *
 * Each slot has one piece of the namespace to itself, so that it knows what a read must find: the
 * last write that succeeded; after a write of unknown outcome, that or the one before, and the same
 * from the first look on. A buffer is poisoned whenever the driver has given it back, and must
 * still be poison when it is used again: a device that still writes to it is caught; one that
 * still reads from it writes poison, which is no data that any read may find.
 */
#ifndef TESTS_MODEL_NVME_LOAD_H
#define TESTS_MODEL_NVME_LOAD_H

#include "nvme_rig.h"

#define LOAD_SLOTS 24u
#define POISON     0xa5

struct load;

/**
 * struct slot - one command at a time on one piece
 * @io: its buffer and its end
 * @piece: of the namespace
 * @held: the seed of the data there; 0: all zeroes, as the model begins
 * @maybe: the seed of a write of unknown outcome, while @doubt
 * @opcode: of the command in flight
 * @busy: there is one
 */
struct slot {
	struct io io;
	struct load *l;
	uint64_t piece;
	uint32_t held, maybe;
	uint8_t opcode;
	bool busy, doubt;
};

/**
 * struct load - an owner and its slots
 * @left: commands to submit
 * @inflight: commands submitted and not ended
 * @ended: commands ended
 * @bad: why the test fails, NULL while all is well
 */
struct load {
	struct riser_nvme_qpair *q;
	struct riser_exec *x;
	uint32_t seed;
	unsigned left, inflight, ended;
	unsigned ok, unknown, failed;
	const char *bad;
	uint8_t *mem;
	struct slot slots[LOAD_SLOTS];
};

static inline uint32_t load_random(struct load *l)
{
	l->seed = l->seed * 1664525 + 1013904223;
	return l->seed >> 8;
}

static inline bool holds(const uint8_t *p, uint32_t seed)
{
	if (seed)
		return is_filled(p, IO_BYTES, seed);
	for (size_t i = 0; i < IO_BYTES; i++)
		if (p[i])
			return false;
	return true;
}

static inline bool is_poison(const uint8_t *p)
{
	for (size_t i = 0; i < IO_BYTES; i++)
		if (p[i] != POISON)
			return false;
	return true;
}

static inline void load_judge_read(struct slot *s)
{
	if (holds(s->io.buf, s->held)) {
		s->doubt = false;
	} else if (s->doubt && holds(s->io.buf, s->maybe)) {
		s->held = s->maybe;
		s->doubt = false;
	} else {
		s->l->bad = "a read found what nobody wrote, or what was overwritten";
	}
}

static inline void load_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct slot *s = (struct slot *)req;
	struct load *l = s->l;

	if (!s->busy) {
		l->bad = "a command ended twice";
		return;
	}
	s->busy = false;
	l->inflight--;
	l->ended++;
	if (!status) {
		l->ok++;
		if (s->opcode == RISER_NVME_IO_READ) {
			load_judge_read(s);
		} else {
			s->held = s->maybe;
			s->doubt = false;
		}
	} else if (status == RISER_NVME_HOST_UNKNOWN) {
		l->unknown++;
		if (s->opcode == RISER_NVME_IO_READ)
			l->bad = "a read of unknown outcome";
		s->doubt = true;
	} else {
		l->failed++;
	}
	memset(s->io.buf, POISON, IO_BYTES);
}

static inline void load_begin(struct load *l, struct riser_nvme_qpair *on, struct riser_exec *owner,
			      uint64_t first_piece, uint32_t seed)
{
	memset(l, 0, sizeof(*l));
	l->q = on;
	l->x = owner;
	l->seed = seed;
	CHECK_EQ(riser_nvme_buf_alloc(c, LOAD_SLOTS * IO_BYTES, (void **)&l->mem, &err), 0);
	memset(l->mem, POISON, LOAD_SLOTS * IO_BYTES);
	for (unsigned i = 0; i < LOAD_SLOTS; i++) {
		struct slot *s = &l->slots[i];

		s->l = l;
		s->piece = first_piece + i;
		s->io.buf = l->mem + i * IO_BYTES;
		s->io.req.done = load_done;
	}
}

static inline void load_end(struct load *l)
{
	riser_nvme_buf_free(c, l->mem, LOAD_SLOTS * IO_BYTES);
}

/* Return: 0, or -EAGAIN and -ENODEV as the driver says. */
static inline int load_submit(struct slot *s, uint8_t opcode)
{
	uint64_t lba = s->piece * io_blocks();
	struct load *l = s->l;
	uint32_t seed = 0;
	int rc;

	if (!is_poison(s->io.buf))
		l->bad = "a buffer changed after its command had ended";
	if (opcode == RISER_NVME_IO_WRITE) {
		seed = load_random(l) | 1;
		fill(s->io.buf, IO_BYTES, seed);
		rc = riser_nvme_write(l->q, ns, &s->io.req, s->io.buf, lba, io_blocks());
	} else {
		rc = riser_nvme_read(l->q, ns, &s->io.req, s->io.buf, lba, io_blocks());
	}
	if (rc) {
		memset(s->io.buf, POISON, IO_BYTES);
		return rc;
	}
	if (seed)
		s->maybe = seed;
	s->opcode = opcode;
	s->busy = true;
	l->inflight++;
	return 0;
}

/* Submit where a slot is idle. A piece in doubt is read before it is written again. */
static inline int load_fill(struct load *l)
{
	for (unsigned i = 0; i < LOAD_SLOTS && l->left; i++) {
		struct slot *s = &l->slots[i];
		bool writing = !s->doubt && load_random(l) % 2;
		int rc;

		if (s->busy)
			continue;
		rc = load_submit(s, writing ? RISER_NVME_IO_WRITE : RISER_NVME_IO_READ);
		if (rc)
			return rc;
		l->left--;
	}
	return 0;
}

/* Return: 0, -ENODEV when the queue is dead and nothing is in flight any more. */
static inline int load_run(struct load *l, unsigned n)
{
	l->left = n;
	while ((l->left || l->inflight) && !l->bad) {
		int rc = load_fill(l);

		if (rc == -ENODEV && !l->inflight)
			return rc;
		riser_exec_wait(l->x, SECOND);
	}
	return 0;
}

/* Without faults: every piece is read, and read again. */
static inline void load_verify(struct load *l)
{
	unsigned failed = l->failed;

	for (unsigned round = 0; round < 2 && !l->bad; round++) {
		for (unsigned i = 0; i < LOAD_SLOTS && !l->bad; i++) {
			int rc;

			while ((rc = load_submit(&l->slots[i], RISER_NVME_IO_READ)) == -EAGAIN)
				riser_exec_wait(l->x, SECOND);
			if (rc)
				l->bad = "a read was refused";
		}
		while (l->inflight && !l->bad)
			riser_exec_wait(l->x, SECOND);
	}
	if (l->failed != failed && !l->bad)
		l->bad = "a read without faults failed";
}

#endif
