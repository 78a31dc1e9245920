/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Where a namespace's data lies: sparse memory, which is done at once.
 */
#include "base/err.h"
#include "model/nvme.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

int model_backing_open(struct model_ns *ns, const char *uri, uint64_t size, struct riser_err *err)
{
	ns->bytes = size ? size : GiB;
	ns->mem = mmap(NULL, ns->bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ns->mem != MAP_FAILED)
		return 0;
	ns->mem = NULL;
	return err_set(err, -ENOMEM, "no address space for a namespace of %llu bytes in memory",
		       (unsigned long long)ns->bytes);
}

void model_backing_close(struct model_ns *ns)
{
	if (ns->mem)
		munmap(ns->mem, ns->bytes);
	ns->mem = NULL;
}

void model_backing_poll(struct model_nvme *m)
{
}

static void model_mem_read(const struct model_cmd *cmd, const char *from)
{
	for (unsigned i = 0; i < cmd->niov; i++) {
		memcpy(cmd->iov[i].iov_base, from, cmd->iov[i].iov_len);
		from += cmd->iov[i].iov_len;
	}
}

static void model_mem_write(const struct model_cmd *cmd, char *to)
{
	for (unsigned i = 0; i < cmd->niov; i++) {
		memcpy(to, cmd->iov[i].iov_base, cmd->iov[i].iov_len);
		to += cmd->iov[i].iov_len;
	}
}

static uint32_t model_mem_compare(const struct model_cmd *cmd, const char *with)
{
	for (unsigned i = 0; i < cmd->niov; i++) {
		if (memcmp(cmd->iov[i].iov_base, with, cmd->iov[i].iov_len))
			return MODEL_DNR(RISER_NVME_ST_COMPARE_FAILED);
		with += cmd->iov[i].iov_len;
	}
	return 0;
}

/* Whole pages are given back to the system where it promises zeroes for them. */
static void model_mem_zero(char *at, uint64_t len)
{
#ifdef __linux__
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = (uint64_t)(uintptr_t)at;
	uint64_t low = align_up(start, page), high = align_down(start + len, page);

	if (low < high && !madvise(at + (low - start), high - low, MADV_DONTNEED)) {
		memset(at, 0, low - start);
		memset(at + (high - start), 0, start + len - high);
		return;
	}
#endif
	memset(at, 0, len);
}

uint32_t model_backing_do(struct model_ns *ns, struct model_cmd *cmd, enum model_backing_op op,
			  uint64_t off, uint64_t len, uint32_t flags)
{
	switch (op) {
	case MODEL_BACKING_READ:
		model_mem_read(cmd, ns->mem + off);
		break;
	case MODEL_BACKING_WRITE:
		model_mem_write(cmd, ns->mem + off);
		break;
	case MODEL_BACKING_COMPARE:
		return model_mem_compare(cmd, ns->mem + off);
	case MODEL_BACKING_ZERO:
		model_mem_zero(ns->mem + off, len);
		break;
	case MODEL_BACKING_FLUSH:
	case MODEL_BACKING_VERIFY:
		break;
	}
	return 0;
}
