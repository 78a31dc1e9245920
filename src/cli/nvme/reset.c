/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

static int run(struct cli *c)
{
	struct nvme_dev n = { 0 };
	int rc = cli_parse(c, NULL);
	struct json j;

	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (rc)
		goto out;
	rc = riser_nvme_reset(n.ctrl, c->x, &c->err);
	if (rc) {
		rc = cli_fail_err(c, rc);
	} else if (c->format == FORMAT_JSON) {
		riser_nvme_get_info(n.ctrl, &n.info);
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "command", "reset");
		json_u64(&j, "generation", n.info.generation);
		json_end(&j);
	}
out:
	nvme_close(&n);
	return rc;
}

const struct cmd cmd_nvme_reset = {
	.name = "reset",
	.args = "URI",
	.summary = "disable the controller and bring it up again",
	.example = "riser nvme reset model:nvme",
	.flags = CMD_FORMAT,
	.run = run,
};
