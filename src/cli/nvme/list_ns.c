/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct args {
	uint32_t after;
	bool all;
	riser_le32 list[1024];
};

static void print_text(const void *what)
{
	const struct args *a = what;

	for (unsigned i = 0; i < array_len(a->list) && le32(a->list[i]); i++)
		printf("[%4u]:%#x\n", i, le32(a->list[i]));
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;

	json_array(j, "nsid_list");
	for (unsigned i = 0; i < array_len(a->list) && le32(a->list[i]); i++) {
		json_object(j, NULL);
		json_u64(j, "nsid", le32(a->list[i]));
		json_end(j);
	}
	json_end(j);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	int rc = riser_nvme_identify(
		n->ctrl, n->c->x, a->all ? RISER_NVME_CNS_ALLOCATED_NS : RISER_NVME_CNS_ACTIVE_NS,
		a->after, 0, 0, a->list);

	if (rc)
		return nvme_fail(n, "identify namespace list", rc);
	return nvme_show(n->c, &view, a, a->list, sizeof(a->list));
}

static int run(struct cli *c)
{
	struct args a = { 0 };

	return nvme_run(c, &a, 0, NULL, act);
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
