/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

static void print_json(struct json *j, const void *what)
{
	const struct riser_nvme_info *info = what;

	json_str(j, "command", "reset");
	json_u64(j, "generation", info->generation);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { .json = print_json };
	int rc = riser_nvme_reset(n->ctrl, n->c->x, &n->c->err);

	if (rc)
		return cli_fail_err(n->c, rc);
	riser_nvme_get_info(n->ctrl, &n->info);
	return nvme_show(n->c, &view, &n->info, NULL, 0);
}

static int run(struct cli *c)
{
	return nvme_run(c, NULL, 0, NULL, act);
}

const struct cmd cmd_nvme_reset = {
	.name = "reset",
	.args = "URI",
	.summary = "disable the controller and bring it up again",
	.example = "riser nvme reset model:nvme",
	.flags = CMD_FORMAT,
	.run = run,
};
