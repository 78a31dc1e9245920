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

struct rw {
	struct nvme_dev n;
	struct args a;
	uint8_t opcode;
	const char *name;
	uint64_t bytes; /* of the blocks */
	void *buf;
};

static int check_sizes(struct rw *r)
{
	struct cli *c = r->n.c;

	if (r->a.count > UINT16_MAX)
		return cli_fail(c, CLI_USAGE, "--block-count wants 0 to 65535: it is zero-based");
	r->bytes = (r->a.count + 1ull) * r->n.nsi.block_size;
	if (r->bytes > r->n.info.max_transfer)
		return cli_fail(c, CLI_FAILED,
				"%u blocks are %" PRIu64
				" bytes, more than the %u bytes that one command of %s transfers "
				"(MDTS)",
				r->a.count + 1, r->bytes, r->n.info.max_transfer, r->n.uri);
	if (r->a.size == UINT64_MAX)
		r->a.size = r->bytes;
	if (r->a.size > r->bytes)
		return cli_fail(c, CLI_USAGE,
				"--data-size %" PRIu64 " is more than the %u blocks hold (%" PRIu64
				" bytes)",
				r->a.size, r->a.count + 1, r->bytes);
	return 0;
}

static void report(struct rw *r, uint64_t ns)
{
	struct cli *c = r->n.c;
	/* A read's data may have gone to stdout. */
	FILE *f = r->opcode == RISER_NVME_IO_READ && !r->a.file ? stderr : stdout;
	struct json j;

	if (c->format == FORMAT_JSON && f == stdout) {
		json_init(&j, f);
		json_object(&j, NULL);
		json_str(&j, "command", r->name);
		json_u64(&j, "nsid", r->n.nsi.nsid);
		json_u64(&j, "start_block", r->a.start);
		json_u64(&j, "blocks", r->a.count + 1);
		json_u64(&j, "bytes", r->bytes);
		json_u64(&j, "latency_ns", ns);
		json_end(&j);
	} else if (r->a.latency) {
		fprintf(f, " latency: %s: %" PRIu64 " us\n", r->name, ns / 1000);
	}
}

static int transfer(struct rw *r)
{
	struct riser_nvme_sqe sqe = {
		.opcode = r->opcode,
		.nsid = riser_le32_of(r->n.nsi.nsid),
		.cdw10 = riser_le32_of((uint32_t)r->a.start),
		.cdw11 = riser_le32_of((uint32_t)(r->a.start >> 32)),
		.cdw12 = riser_le32_of(r->a.count | (r->a.fua ? RISER_NVME_RW_FUA : 0) |
				       (r->a.lr ? RISER_NVME_RW_LR : 0)),
	};
	uint64_t began = riser_now(r->n.c->r), took;
	int64_t status = nvme_io(&r->n, &sqe, r->buf, r->bytes, NULL);
	int rc = 0;

	took = riser_now(r->n.c->r) - began;
	if (status)
		return nvme_fail(&r->n, r->name, status);
	if (r->opcode == RISER_NVME_IO_READ)
		rc = write_output(r->n.c, r->a.file, r->buf, r->a.size);
	if (!rc)
		report(r, took);
	return rc;
}

int rw_run(struct cli *c, uint8_t opcode, const char *name)
{
	struct rw r = { .a.size = UINT64_MAX, .opcode = opcode, .name = name };
	int rc = cli_parse(c, &r.a);

	if (!rc)
		rc = nvme_open(c, &r.n, opcode == RISER_NVME_IO_WRITE ? NVME_WRITE : 0);
	if (!rc)
		rc = nvme_open_ns(&r.n, r.a.nsid);
	if (!rc)
		rc = check_sizes(&r);
	if (!rc)
		rc = nvme_open_queue(&r.n);
	if (rc)
		goto out;
	rc = riser_nvme_buf_alloc(r.n.ctrl, r.bytes, &r.buf, &c->err);
	if (rc) {
		rc = cli_fail_err(c, rc);
		goto out;
	}
	if (opcode != RISER_NVME_IO_READ)
		rc = read_input(c, r.a.file, r.buf, r.a.size);
	if (!rc)
		rc = transfer(&r);
	riser_nvme_buf_free(r.n.ctrl, r.buf, r.bytes);
out:
	nvme_close(&r.n);
	return rc;
}
