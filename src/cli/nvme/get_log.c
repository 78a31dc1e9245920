/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include <stdlib.h>

#define LOG_MAX (64 * MiB)

struct args {
	uint32_t nsid, lid, len, lsp, lsi;
	uint64_t lpo;
	bool rae, binary;
};

/* Get Log Page with the fields that riser_nvme_get_log() does not offer (§5.16). */
static int64_t get_page(struct nvme_dev *n, const struct args *a, uint64_t at, void *buf,
			uint32_t len)
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

	return riser_nvme_admin(n->ctrl, n->c->x, &cmd);
}

static void show(struct cli *c, const struct args *a, const void *buf)
{
	struct json j;

	if (c->format == FORMAT_BINARY || a->binary) {
		print_binary(buf, a->len);
	} else if (c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_u64(&j, "log_id", a->lid);
		json_u64(&j, "offset", a->lpo);
		json_bytes(&j, "data", buf, a->len);
		json_end(&j);
	} else {
		printf("log-id:%#x data-len:%u\n", a->lid, a->len);
		print_hex(buf, a->len);
	}
}

/* In pieces that every controller transfers. */
static int get(struct nvme_dev *n, const struct args *a)
{
	char *buf = calloc(1, a->len);
	int64_t status = 0;
	int rc = 0;

	if (!buf)
		return cli_fail(n->c, CLI_FAILED, "no memory");
	for (uint32_t at = 0; at < a->len && !status;) {
		uint32_t piece = a->len - at < 4 * KiB ? a->len - at : (uint32_t)(4 * KiB);

		status = get_page(n, a, at, buf + at, piece);
		at += piece;
	}
	if (status)
		rc = nvme_fail(n, "get log page", status);
	else
		show(n->c, a, buf);
	free(buf);
	return rc;
}

static int check_args(struct cli *c, const struct args *a)
{
	if (a->lid > 0xff)
		return cli_fail(c, CLI_USAGE, "missing or wrong --log-id: 0 to 0xff");
	if (!a->len || a->len % 4 || a->len > LOG_MAX)
		return cli_fail(c, CLI_USAGE,
				"missing or wrong --log-len: a multiple of 4, at most 64M");
	if (a->lpo % 4)
		return cli_fail(c, CLI_USAGE, "--lpo wants a multiple of 4");
	return 0;
}

static int run(struct cli *c)
{
	struct args a = { .nsid = RISER_NVME_NSID_ALL, .lid = UINT32_MAX };
	struct nvme_dev n = { 0 };
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = check_args(c, &a);
	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (!rc)
		rc = get(&n, &a);
	nvme_close(&n);
	return rc;
}

static const struct opt opts[] = {
	{ "namespace-id", 'n', OPT_IS_NUM32(struct args, nsid), "NUM", "default: the controller" },
	{ "log-id", 'i', OPT_IS_NUM32(struct args, lid), "NUM", "which log (required)" },
	{ "log-len", 'l', OPT_IS_NUM32(struct args, len), "NUM", "how many bytes (required)" },
	{ "lpo", 'o', OPT_IS_NUM(struct args, lpo), "NUM", "offset in the log, bytes" },
	{ "lsp", 's', OPT_IS_NUM32(struct args, lsp), "NUM", "log specific field" },
	{ "lsi", 'S', OPT_IS_NUM32(struct args, lsi), "NUM", "log specific identifier" },
	{ "rae", 'r', OPT_IS_BOOL(struct args, rae), NULL, "retain the asynchronous event" },
	{ "raw-binary", 'b', OPT_IS_BOOL(struct args, binary), NULL, "print the bytes" },
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
