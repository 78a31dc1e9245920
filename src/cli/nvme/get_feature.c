/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct args {
	uint32_t fid, nsid, sel, cdw11, data_len;
	bool binary;
	riser_le32 value;
	uint8_t data[4096];
};

static void print_text(const void *what)
{
	static const char *const which[] = { "Current", "Default", "Saved", "Supported" };
	const struct args *a = what;

	printf("get-feature:0x%02x (%s), %s value:0x%08x\n", a->fid, feature_name(a->fid),
	       which[a->sel], le32(a->value));
	print_hex(a->data, a->data_len);
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;

	json_u64(j, "feature", a->fid);
	json_str(j, "name", feature_name(a->fid));
	json_u64(j, "select", a->sel);
	json_u64(j, "value", le32(a->value));
	if (a->data_len)
		json_bytes(j, "data", a->data, a->data_len);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	struct riser_nvme_admin cmd = {
		.sqe = { .opcode = RISER_NVME_ADM_GET_FEATURES,
			 .nsid = riser_le32_of(nvme_nsid(n, a->nsid)),
			 .cdw10 = riser_le32_of(a->sel << 8 | a->fid),
			 .cdw11 = riser_le32_of(a->cdw11) },
		.data = a->data_len ? a->data : NULL,
		.len = a->data_len,
	};
	int rc = nvme_admin(n, "get features", &cmd);

	if (rc)
		return rc;
	a->value = riser_le32_of(cmd.result);
	if (a->data_len)
		return nvme_show(n->c, &view, a, a->data, a->data_len);
	return nvme_show(n->c, &view, a, &a->value, sizeof(a->value));
}

static int check_args(struct cli *c, void *args)
{
	struct args *a = args;

	if (!a->fid || a->fid > 0xff)
		return cli_fail(c, CLI_USAGE, "missing or wrong --feature-id: 1 to 0xff");
	if (a->sel > 3)
		return cli_fail(c, CLI_USAGE, "--sel wants 0 to 3");
	if (a->data_len > sizeof(a->data))
		return cli_fail(c, CLI_USAGE, "--data-len wants at most %zu", sizeof(a->data));
	/* Supported capabilities (3) come without data. */
	if (!a->data_len && a->sel != 3)
		a->data_len = feature_data_len(a->fid);
	if (a->binary)
		c->format = FORMAT_BINARY;
	return 0;
}

static int run(struct cli *c)
{
	struct args a = { 0 };

	return nvme_run(c, &a, 0, check_args, act);
}

static const struct opt opts[] = {
	OPT_FEATURE_ID,
	OPT_NSID("where it is a namespace's"),
	{ "sel", 's', OPT_IS_NUM32(struct args, sel), "NUM",
	  "0 current, 1 default, 2 saved, 3 supported" },
	OPT_DATA_LEN,
	{ "cdw11", 'c', OPT_IS_NUM32(struct args, cdw11), "NUM", "what the feature wants there" },
	OPT_RAW_BYTES,
	{ 0 },
};

const struct cmd cmd_nvme_get_feature = {
	.name = "get-feature",
	.args = "URI",
	.summary = "Get Features",
	.example = "riser nvme get-feature model:nvme --feature-id=11",
	.opts = opts,
	.flags = CMD_FORMAT,
	.run = run,
};
