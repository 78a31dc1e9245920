/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct args {
	uint32_t after;
	bool all;
};

static void show(struct cli *c, const riser_le32 *list, unsigned max)
{
	struct json j;

	if (c->format == FORMAT_BINARY) {
		print_binary(list, max * sizeof(*list));
		return;
	}
	if (c->format != FORMAT_JSON) {
		for (unsigned i = 0; i < max && le32(list[i]); i++)
			printf("[%4u]:%#x\n", i, le32(list[i]));
		return;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "nsid_list");
	for (unsigned i = 0; i < max && le32(list[i]); i++) {
		json_object(&j, NULL);
		json_u64(&j, "nsid", le32(list[i]));
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static int run(struct cli *c)
{
	struct args a = { 0 };
	struct nvme_dev n = { 0 };
	riser_le32 list[1024];
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (rc)
		goto out;
	rc = riser_nvme_identify(n.ctrl, c->x,
				 a.all ? RISER_NVME_CNS_ALLOCATED_NS : RISER_NVME_CNS_ACTIVE_NS,
				 a.after, 0, 0, list);
	if (rc)
		rc = nvme_fail(&n, "identify namespace list", rc);
	else
		show(c, list, array_len(list));
out:
	nvme_close(&n);
	return rc;
}

static const struct opt opts[] = {
	{ "namespace-id", 'n', OPT_IS_NUM32(struct args, after), "NUM",
	  "only those above; default 0" },
	{ "all", 'a', OPT_IS_BOOL(struct args, all), NULL, "the allocated ones, attached or not" },
	{ 0 },
};

const struct cmd cmd_nvme_list_ns = {
	.name = "list-ns",
	.args = "URI",
	.summary = "list the namespaces",
	.example = "riser nvme list-ns model:nvme",
	.opts = opts,
	.flags = CMD_FORMAT,
	.run = run,
};
