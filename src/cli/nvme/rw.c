/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/rw.h"
#include <inttypes.h>
#include <riser/nvme.h>

struct args {
	uint32_t nsid, count; /* @count is zero-based, as nvme-cli's */
	uint64_t start, size;
	const char *file;
	bool lr, fua, latency;
	uint8_t opcode;
	const char *name;
	uint64_t bytes; /* of the blocks */
};

const struct opt rw_opts[] = {
	OPT_NSID_ONE,
	OPT_START_BLOCK,
	OPT_BLOCK_COUNT,
	{ "data-size", 'z', OPT_IS_BYTES(struct args, size), "SIZE",
	  "bytes of the file; default all of the blocks" },
	{ "data", 'd', OPT_IS_TEXT(struct args, file), "FILE", "default standard input or output" },
	OPT_FUA,
	OPT_LIMITED_RETRY,
	{ "latency", 't', OPT_IS_BOOL(struct args, latency), NULL, "print how long it took" },
	{ 0 },
};

static int check_sizes(struct nvme_dev *n, struct args *a)
{
	struct cli *c = n->c;

	if (a->count > UINT16_MAX)
		return cli_fail(c, CLI_USAGE, "--block-count wants 0 to 65535: it is zero-based");
	a->bytes = (a->count + 1ull) * n->nsi.block_size;
	if (a->bytes > n->info.max_transfer)
		return cli_fail(c, CLI_FAILED,
				"%u blocks are %" PRIu64
				" bytes, more than the %u bytes that one command of %s transfers "
				"(MDTS)",
				a->count + 1, a->bytes, n->info.max_transfer, n->uri);
	if (a->size == UINT64_MAX)
		a->size = a->bytes;
	if (a->size > a->bytes)
		return cli_fail(c, CLI_USAGE,
				"--data-size %" PRIu64 " is more than the %u blocks hold (%" PRIu64
				" bytes)",
				a->size, a->count + 1, a->bytes);
	return 0;
}

static void report(struct nvme_dev *n, const struct args *a, uint64_t ns)
{
	struct cli *c = n->c;
	/* A read's data may have gone to stdout. */
	FILE *f = a->opcode == RISER_NVME_IO_READ && !a->file ? stderr : stdout;
	struct json j;

	if (c->format == FORMAT_JSON && f == stdout) {
		json_init(&j, f);
		json_object(&j, NULL);
		json_str(&j, "command", a->name);
		json_u64(&j, "nsid", n->nsi.nsid);
		json_u64(&j, "start_block", a->start);
		json_u64(&j, "blocks", a->count + 1);
		json_u64(&j, "bytes", a->bytes);
		json_u64(&j, "latency_ns", ns);
		json_end(&j);
	} else if (a->latency) {
		fprintf(f, " latency: %s: %" PRIu64 " us\n", a->name, ns / 1000);
	}
}

static int transfer(struct nvme_dev *n, const struct args *a)
{
	struct riser_nvme_sqe sqe = {
		.opcode = a->opcode,
		.nsid = riser_le32_of(n->nsi.nsid),
		.cdw10 = riser_le32_of((uint32_t)a->start),
		.cdw11 = riser_le32_of((uint32_t)(a->start >> 32)),
		.cdw12 = riser_le32_of(a->count | (a->fua ? RISER_NVME_RW_FUA : 0) |
				       (a->lr ? RISER_NVME_RW_LR : 0)),
	};
	uint64_t began = riser_now(n->c->r), took;
	int64_t status = nvme_io(n, &sqe, n->buf, a->bytes, NULL);
	int rc = 0;

	took = riser_now(n->c->r) - began;
	if (status)
		return nvme_fail(n, a->name, status);
	if (a->opcode == RISER_NVME_IO_READ)
		rc = write_output(n->c, a->file, n->buf, a->size);
	if (!rc)
		report(n, a, took);
	return rc;
}

static int act(struct nvme_dev *n, void *args)
{
	struct args *a = args;
	int rc = nvme_open_ns(n, a->nsid);

	if (!rc)
		rc = check_sizes(n, a);
	if (!rc)
		rc = nvme_open_queue(n);
	if (!rc)
		rc = nvme_alloc(n, a->bytes);
	if (!rc && a->opcode != RISER_NVME_IO_READ)
		rc = read_input(n->c, a->file, n->buf, a->size);
	return rc ? rc : transfer(n, a);
}

static int check_args(struct cli *c, void *args)
{
	const struct args *a = args;

	if (a->opcode != RISER_NVME_IO_READ || a->file)
		return 0;
	return cli_check_stdout(c, "--data FILE");
}

int rw_run(struct cli *c, uint8_t opcode, const char *name)
{
	struct args a = { .size = UINT64_MAX, .opcode = opcode, .name = name };

	return nvme_run(c, &a, opcode == RISER_NVME_IO_WRITE ? NVME_WRITE : 0, check_args, act);
}
