/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include <stdlib.h>

#define LOG_MAX (64 * MiB)

struct args {
	uint32_t nsid, lid, len, lsp, lsi;
	uint64_t lpo;
	bool rae, binary;
	char *buf;
};

/* Get Log Page with the fields that riser_nvme_get_log() does not offer (§5.16). */
static int get_page(struct nvme_dev *n, const struct args *a, uint64_t at, void *buf, uint32_t len)
{
	uint32_t numd = len / 4 - 1;
	uint64_t lpo = a->lpo + at;
	struct riser_nvme_admin cmd = {
		.sqe = { .opcode = RISER_NVME_ADM_GET_LOG,
			 .nsid = riser_le32_of(a->nsid),
			 .cdw10 = riser_le32_of(numd << 16 | (uint32_t)a->rae << 15 |
						(a->lsp & 0x7f) << 8 | a->lid),
			 .cdw11 = riser_le32_of(a->lsi << 16 | numd >> 16),
			 .cdw12 = riser_le32_of((uint32_t)lpo),
			 .cdw13 = riser_le32_of((uint32_t)(lpo >> 32)) },
		.data = buf,
		.len = len,
	};

	return nvme_admin(n, "get log page", &cmd);
}

static void print_text(const void *what)
{
	const struct args *a = what;

	printf("log-id:%#x data-len:%u\n", a->lid, a->len);
	print_hex(a->buf, a->len);
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;

	json_u64(j, "log_id", a->lid);
	json_u64(j, "offset", a->lpo);
	json_bytes(j, "data", a->buf, a->len);
}

/* In pieces that every controller transfers. */
static int get(struct nvme_dev *n, const struct args *a)
{
	int rc = 0;

	for (uint32_t at = 0; at < a->len && !rc;) {
		uint32_t piece = a->len - at < 4 * KiB ? a->len - at : (uint32_t)(4 * KiB);

		rc = get_page(n, a, at, a->buf + at, piece);
		at += piece;
	}
	return rc;
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	int rc;

	a->buf = calloc(1, a->len);
	if (!a->buf)
		return cli_fail(n->c, CLI_FAILED, "no memory");
	rc = get(n, a);
	if (!rc)
		rc = nvme_show(n->c, &view, a, a->buf, a->len);
	free(a->buf);
	return rc;
}

static int check_args(struct cli *c, void *args)
{
	const struct args *a = args;

	if (a->lid > 0xff)
		return cli_fail(c, CLI_USAGE, "missing or wrong --log-id: 0 to 0xff");
	if (!a->len || a->len % 4 || a->len > LOG_MAX)
		return cli_fail(c, CLI_USAGE,
				"missing or wrong --log-len: a multiple of 4, at most 64M");
	if (a->lpo % 4)
		return cli_fail(c, CLI_USAGE, "--lpo wants a multiple of 4");
	if (a->binary)
		c->format = FORMAT_BINARY;
	return 0;
}

static int run(struct cli *c)
{
	struct args a = { .nsid = RISER_NVME_NSID_ALL, .lid = UINT32_MAX };

	return nvme_run(c, &a, 0, check_args, act);
}

static const struct opt opts[] = {
	OPT_NSID("default: the controller"),
	{ "log-id", 'i', OPT_IS_NUM32(struct args, lid), "NUM", "which log (required)" },
	{ "log-len", 'l', OPT_IS_NUM32(struct args, len), "NUM", "how many bytes (required)" },
	{ "lpo", 'o', OPT_IS_NUM(struct args, lpo), "NUM", "offset in the log, bytes" },
	{ "lsp", 's', OPT_IS_NUM32(struct args, lsp), "NUM", "log specific field" },
	{ "lsi", 'S', OPT_IS_NUM32(struct args, lsi), "NUM", "log specific identifier" },
	{ "rae", 'r', OPT_IS_BOOL(struct args, rae), NULL, "retain the asynchronous event" },
	OPT_RAW_BYTES,
	{ 0 },
};

const struct cmd cmd_nvme_get_log = {
	.name = "get-log",
	.args = "URI",
	.summary = "any log page, as a hex dump",
	.example = "riser nvme get-log model:nvme --log-id=2 --log-len=512",
	.opts = opts,
	.flags = CMD_FORMAT,
	.run = run,
};
