/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Each is one command of --block-count plus one blocks, as nvme-cli's are; but a read of --blocks
 * is as many commands as it takes.
 */
#include "cli/nvme/rw.h"
#include "cli/out.h"
#include <inttypes.h>
#include <riser/nvme.h>

struct args {
	uint32_t nsid, count; /* @count is zero-based, as nvme-cli's */
	uint64_t start, size;
	const char *file;
	bool lr, fua, latency;
	struct nvme_pci pci;
	uint64_t blocks; /* as --blocks says; then, whoever said it */
	uint8_t opcode;
	const char *name;
	uint32_t piece; /* blocks of one command */
	uint64_t bytes; /* of the blocks */
	struct out out;
};

#define COUNT_UNSAID UINT32_MAX
#define RW_ROWS                                                                                    \
	OPT_NSID_ONE, OPT_START_BLOCK, OPT_BLOCK_COUNT,                                            \
		OPT_ROW("data-size", 'z', BYTES, size, "SIZE",                                     \
			"bytes of the file; default all of the blocks"),                           \
		OPT_ROW("data", 'd', TEXT, file, "FILE", "default standard input or output"),      \
		OPT_FUA, OPT_LIMITED_RETRY,                                                        \
		OPT_ROW("latency", 't', BOOL, latency, NULL, "print how long it took")

const struct opt rw_opts[] = { RW_ROWS, { 0 } };

const struct opt rw_read_opts[] = {
	RW_ROWS,
	OPT_PCI_ROWS,
	OPT_ROW("nsid", 0, NUM32, nsid, "NUM", "as --namespace-id"),
	OPT_ROW("lba", 0, NUM, start, "NUM", "as --start-block"),
	OPT_ROW("blocks", 0, NUM, blocks, "NUM",
		"how many blocks, in as many commands as it takes"),
	OPT_ROW("out", 0, TEXT, file, "FILE", "as --data"),
	{ 0 },
};

static int check_range(struct nvme_dev *n, const struct args *a)
{
	if (a->start < n->nsi.blocks && a->blocks <= n->nsi.blocks - a->start)
		return 0;
	return cli_fail(n->c, CLI_FAILED,
			"%" PRIu64 " blocks from block %" PRIu64
			" reach beyond the end of namespace %u (%" PRIu64 " blocks)",
			a->blocks, a->start, n->nsi.nsid, n->nsi.blocks);
}

static int check_sizes(struct nvme_dev *n, struct args *a)
{
	struct cli *c = n->c;

	a->piece = n->nsi.max_blocks;
	if (!a->blocks) {
		a->blocks = a->piece = a->count + 1;
	} else if (check_range(n, a)) {
		return CLI_FAILED;
	}
	if (a->piece > a->blocks)
		a->piece = (uint32_t)a->blocks;
	a->bytes = a->blocks * n->nsi.block_size;
	if ((uint64_t)a->piece * n->nsi.block_size > n->info.max_transfer)
		return cli_fail(c, CLI_FAILED,
				"%u blocks are %" PRIu64
				" bytes, more than the %u bytes that one command of %s transfers "
				"(MDTS)",
				a->piece, a->bytes, n->info.max_transfer, n->uri);
	if (a->size == UINT64_MAX)
		a->size = a->bytes;
	if (a->size > a->bytes)
		return cli_fail(c, CLI_USAGE,
				"--data-size %" PRIu64 " is more than the %" PRIu64
				" blocks hold (%" PRIu64 " bytes)",
				a->size, a->blocks, a->bytes);
	return 0;
}

static bool to_stdout(const struct args *a)
{
	return a->opcode == RISER_NVME_IO_READ && out_is_stdout(a->file);
}

static void report(struct nvme_dev *n, const struct args *a, uint64_t ns)
{
	struct cli *c = n->c;
	/* A read's data may have gone to stdout. */
	FILE *f = to_stdout(a) ? stderr : stdout;
	struct json j;

	if (c->format == FORMAT_JSON && f == stdout) {
		json_init(&j, f);
		json_object(&j, NULL);
		json_str(&j, "command", a->name);
		json_u64(&j, "nsid", n->nsi.nsid);
		json_u64(&j, "start_block", a->start);
		json_u64(&j, "blocks", a->blocks);
		json_u64(&j, "bytes", a->bytes);
		json_u64(&j, "latency_ns", ns);
		json_end(&j);
		return;
	}
	if (a->opcode == RISER_NVME_IO_READ && f == stdout)
		printf("%s: %" PRIu64 " bytes of namespace %u, from block %" PRIu64 "\n", a->file,
		       a->size, n->nsi.nsid, a->start);
	if (a->latency)
		fprintf(f, " latency: %s: %" PRIu64 " us\n", a->name, ns / 1000);
}

/* Say how a command failed, and what became of the file. */
static int fail(struct nvme_dev *n, const struct args *a, uint64_t lba, uint32_t blocks,
		int64_t status)
{
	char what[128];

	if (a->blocks == a->piece)
		return nvme_fail(n, a->name, status);
	snprintf(what, sizeof(what),
		 "read of blocks %" PRIu64 " to %" PRIu64 " (%" PRIu64 " bytes %s)", lba,
		 lba + blocks - 1, (lba - a->start) * n->nsi.block_size,
		 a->out.target ? "before them are dropped" : "before them are out");
	return nvme_fail(n, what, status);
}

/* Send one command. Return: 0 or an exit code. */
static int transfer(struct nvme_dev *n, const struct args *a, uint64_t lba, uint32_t blocks)
{
	struct riser_nvme_sqe sqe = {
		.opcode = a->opcode,
		.nsid = riser_le32_of(n->nsi.nsid),
		.cdw10 = riser_le32_of((uint32_t)lba),
		.cdw11 = riser_le32_of((uint32_t)(lba >> 32)),
		.cdw12 = riser_le32_of((blocks - 1) | (a->fua ? RISER_NVME_RW_FUA : 0) |
				       (a->lr ? RISER_NVME_RW_LR : 0)),
	};
	int64_t status = nvme_io(n, &sqe, n->buf, (size_t)blocks * n->nsi.block_size, NULL);

	return status ? fail(n, a, lba, blocks, status) : 0;
}

/* Read all of the blocks, and let the file appear. */
static int read_blocks(struct nvme_dev *n, struct args *a)
{
	uint64_t left = a->size;
	int rc = out_open(n->c, &a->out, a->file);

	for (uint64_t done = 0; !rc && done < a->blocks; done += a->piece) {
		uint64_t rest = a->blocks - done;
		uint32_t blocks = rest < a->piece ? (uint32_t)rest : a->piece;
		uint64_t bytes = (uint64_t)blocks * n->nsi.block_size;

		rc = transfer(n, a, a->start + done, blocks);
		if (!rc)
			rc = out_write(&a->out, n->buf, bytes < left ? bytes : left);
		left -= bytes < left ? bytes : left;
	}
	return rc ? rc : out_finish(&a->out);
}

static int act(struct nvme_dev *n, void *args)
{
	struct args *a = args;
	uint64_t began;
	int rc = nvme_open_ns(n, a->nsid);

	if (!rc)
		rc = check_sizes(n, a);
	if (!rc)
		rc = nvme_open_queue(n);
	if (!rc)
		rc = nvme_alloc(n, (size_t)a->piece * n->nsi.block_size);
	if (!rc && a->opcode != RISER_NVME_IO_READ)
		rc = read_input(n->c, a->file, n->buf, a->size);
	if (rc)
		return rc;
	began = riser_now(n->c->r);
	rc = a->opcode == RISER_NVME_IO_READ ? read_blocks(n, a)
					     : transfer(n, a, a->start, a->piece);
	if (!rc)
		report(n, a, riser_now(n->c->r) - began);
	return rc;
}

static int check_args(struct cli *c, void *args)
{
	struct args *a = args;

	if (a->blocks != UINT64_MAX && a->count != COUNT_UNSAID)
		return cli_fail(c, CLI_USAGE, "--blocks and --block-count exclude each other");
	if (!a->blocks)
		return cli_fail(c, CLI_USAGE, "--blocks wants 1 at the least");
	if (a->blocks == UINT64_MAX)
		a->blocks = 0;
	if (a->count == COUNT_UNSAID)
		a->count = 0;
	if (a->count > UINT16_MAX)
		return cli_fail(c, CLI_USAGE, "--block-count wants 0 to 65535: it is zero-based");
	if (a->opcode != RISER_NVME_IO_READ)
		return 0;
	return nvme_take_pci(c, &a->pci) ?: to_stdout(a) ? cli_check_stdout(c, "--data FILE") : 0;
}

int rw_run(struct cli *c, uint8_t opcode, const char *name)
{
	struct args a = { .size = UINT64_MAX,
			  .count = COUNT_UNSAID,
			  .blocks = UINT64_MAX,
			  .pci.iova_base = UINT64_MAX,
			  .opcode = opcode,
			  .name = name,
			  .out.fd = -1 };
	unsigned flags = opcode == RISER_NVME_IO_WRITE  ? NVME_WRITE
			 : opcode == RISER_NVME_IO_READ ? NVME_READER
							: 0;
	int rc = nvme_run(c, &a, flags, check_args, act);

	out_close(&a.out);
	return rc;
}
