/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the tests of the NVMe driver share: an opened controller with one namespace and one queue
 * pair, I/Os that remember how they ended, and the model behind the driver.
 */
#ifndef TESTS_MODEL_NVME_RIG_H
#define TESTS_MODEL_NVME_RIG_H

#include "../tap.h"
#include "base/riser.h"
#include "model/model.h"
#include "nvme/ctrl.h"
#include <errno.h>
#include <riser/nvme.h>
#include <riser/util.h>

#define SECOND   1000000000ull
#define ENTRIES  64u
#define IO_BYTES 4096u

static struct riser *r;
static struct riser_exec *x;
static struct riser_nvme *c;
static struct riser_nvme_ns *ns;
static struct riser_nvme_qpair *q;
static struct riser_nvme_ns_info nsi;
static struct riser_err err;

static inline void print_log(void *ctx, enum riser_log_level level, const char *line)
{
	printf("# %s\n", line);
}

static inline void open_context(uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags, .log = print_log };

	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	CHECK_EQ(riser_exec_new(r, &x, &err), 0);
}

/* The namespace that a URI names, or 1. */
static inline uint32_t nsid_of(const char *uri)
{
	char text[16];

	return riser_uri_get(uri, "nsid", text, sizeof(text)) ? 1 : (uint32_t)atoi(text);
}

/* The controller, a namespace and a queue pair of @x. */
static inline void open_controller(const char *uri, const struct riser_nvme_opts *nopts,
				   const struct riser_nvme_qpair_opts *qopts)
{
	int rc = riser_nvme_open(r, uri, nopts, &c, &err);

	if (rc == -ENOENT && !strncmp(uri, "qtest:", 6)) {
		riser_exec_free(x);
		riser_free(r);
		MISSING("QEMU (Debian package qemu-system-x86)");
	}
	if (!rc)
		rc = riser_nvme_ns_open(c, x, nsid_of(uri), &ns, &err);
	if (!rc)
		rc = riser_nvme_qpair_open(c, x, qopts, &q, &err);
	if (rc)
		FAIL("%s", err.text);
	riser_nvme_ns_get_info(ns, &nsi);
}

static inline void close_all(void)
{
	riser_nvme_qpair_close(q);
	riser_nvme_ns_close(ns);
	riser_exec_leave(x); /* closing takes time of its own */
	riser_nvme_close(c);
	riser_exec_free(x);
	riser_free(r);
	q = NULL;
	ns = NULL;
	c = NULL;
	x = NULL;
	r = NULL;
}

static inline struct riser_nvme_info ctrl_info(void)
{
	struct riser_nvme_info info;

	riser_nvme_get_info(c, &info);
	return info;
}

static inline struct riser_nvme_qpair_info queue_info(struct riser_nvme_qpair *of)
{
	struct riser_nvme_qpair_info info;

	riser_nvme_qpair_get_info(of, &info);
	return info;
}

/* The model behind the driver. */
static inline struct pci_dev *model(void)
{
	return c->ctrl->pci;
}

static inline struct model_nvme_counters counters(void)
{
	struct model_nvme_counters seen;

	model_nvme_get_counters(model(), &seen);
	return seen;
}

/* Rules from now on: what was fetched before is not counted. */
static inline void add_faults(const char *rules)
{
	if (model_nvme_fault_add(model(), rules, &err))
		FAIL("%s", err.text);
}

/**
 * struct io - a command that remembers its end
 * @dones: how often it ended; 1 is right
 */
struct io {
	struct riser_nvme_req req;
	unsigned dones;
	uint32_t status;
	uint64_t result;
	uint8_t *buf;
	uint64_t lba;
};

static inline void io_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct io *io = (struct io *)req;

	io->dones++;
	io->status = status;
	io->result = result;
}

static inline uint32_t io_blocks(void)
{
	return IO_BYTES / nsi.block_size;
}

/* Submit IO_BYTES at the @n-th such piece of the namespace. */
static inline int submit(struct io *io, struct riser_nvme_qpair *on, uint8_t opcode, uint64_t n)
{
	io->req.done = io_done;
	io->dones = 0;
	io->lba = n * io_blocks();
	if (opcode == RISER_NVME_IO_READ)
		return riser_nvme_read(on, ns, &io->req, io->buf, io->lba, io_blocks());
	return riser_nvme_write(on, ns, &io->req, io->buf, io->lba, io_blocks());
}

/* Poll until it ended, or virtual time says that it never will. */
static inline void wait_ended(struct io *io, struct riser_exec *on)
{
	uint64_t limit = riser_now(r) + 3600 * SECOND;

	while (!io->dones && riser_now(r) < limit)
		riser_exec_wait(on, limit - riser_now(r));
}

/* Poll for so long. */
static inline void run_for(struct riser_exec *on, uint64_t ns_of_time)
{
	uint64_t until = riser_now(r) + ns_of_time;

	while (riser_now(r) < until)
		riser_exec_wait(on, until - riser_now(r));
}

/* Submit as soon as the queue takes it, wait. Return: the status, or a negative errno. */
static inline int64_t run_io(struct io *io, struct riser_nvme_qpair *on, struct riser_exec *owner,
			     uint8_t opcode, uint64_t n)
{
	int rc = submit(io, on, opcode, n);

	for (unsigned i = 0; rc == -EAGAIN && i < 100000; i++) {
		riser_exec_wait(owner, SECOND);
		rc = submit(io, on, opcode, n);
	}
	if (rc)
		return rc;
	wait_ended(io, owner);
	return io->dones == 1 ? (int64_t)io->status : -ETIMEDOUT;
}

static inline void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

static inline bool is_filled(const uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		if (p[i] != (uint8_t)(seed >> 24))
			return false;
	}
	return true;
}

#endif
