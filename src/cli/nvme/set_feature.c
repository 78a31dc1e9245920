/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct args {
	uint32_t fid, nsid, cdw12, data_len;
	uint64_t value;
	const char *file;
	bool save;
	uint32_t result;
	uint8_t data[4096];
};

static void print_text(const void *what)
{
	const struct args *a = what;

	printf("set-feature:0x%02x (%s), value:0x%08x, save:%d\n", a->fid, feature_name(a->fid),
	       (uint32_t)a->value, a->save);
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;

	json_u64(j, "feature", a->fid);
	json_str(j, "name", feature_name(a->fid));
	json_u64(j, "value", a->value);
	json_bool(j, "saved", a->save);
	json_u64(j, "result", a->result);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	struct riser_nvme_admin cmd = {
		.sqe = { .opcode = RISER_NVME_ADM_SET_FEATURES,
			 .nsid = riser_le32_of(nvme_nsid(n, a->nsid)),
			 .cdw10 = riser_le32_of((a->save ? RISER_NVME_FEAT_SAVE : 0) | a->fid),
			 .cdw11 = riser_le32_of((uint32_t)a->value),
			 .cdw12 = riser_le32_of(a->cdw12) },
		.data = a->data_len ? a->data : NULL,
		.len = a->data_len,
	};
	int rc = a->data_len ? read_input(n->c, a->file, a->data, a->data_len) : 0;

	if (!rc)
		rc = nvme_admin(n, "set features", &cmd);
	a->result = cmd.result;
	return rc ? rc : nvme_show(n->c, &view, a, NULL, 0);
}

static int check_args(struct cli *c, void *args)
{
	struct args *a = args;

	if (!a->fid || a->fid > 0xff)
		return cli_fail(c, CLI_USAGE, "missing or wrong --feature-id: 1 to 0xff");
	if (!a->data_len)
		a->data_len = feature_data_len(a->fid);
	if (a->value == UINT64_MAX && a->data_len)
		a->value = 0;
	if (a->value > UINT32_MAX)
		return cli_fail(c, CLI_USAGE, "missing or wrong --value: 32 bits");
	if (a->data_len > sizeof(a->data))
		return cli_fail(c, CLI_USAGE, "--data-len wants at most %zu", sizeof(a->data));
	return 0;
}

static int run(struct cli *c)
{
	struct args a = { .value = UINT64_MAX };

	return nvme_run(c, &a, NVME_WRITE, check_args, act);
}

static const struct opt opts[] = {
	OPT_FEATURE_ID,
	{ "value", 'v', OPT_IS_NUM(struct args, value), "NUM", "new value (required)" },
	OPT_NSID("where it is a namespace's"),
	{ "cdw12", 'c', OPT_IS_NUM32(struct args, cdw12), "NUM", "what the feature wants there" },
	OPT_DATA_LEN,
	{ "data", 'd', OPT_IS_TEXT(struct args, file), "FILE", "the data; default standard input" },
	{ "save", 's', OPT_IS_BOOL(struct args, save), NULL, "keep it over a power cycle" },
	{ 0 },
};

const struct cmd cmd_nvme_set_feature = {
	.name = "set-feature",
	.args = "URI",
	.summary = "Set Features",
	.example = "riser nvme set-feature model:nvme --feature-id=11 --value=0",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
