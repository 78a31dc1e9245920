/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

#define F_AS(text, member, how) FIELD_AS(text, riser_nvme_fw_slot, member, how)

static const struct field fields[] = {
	F_AS("afi", afi, HEX),      F_AS("frs1", frs[0], TEXT), F_AS("frs2", frs[1], TEXT),
	F_AS("frs3", frs[2], TEXT), F_AS("frs4", frs[3], TEXT), F_AS("frs5", frs[4], TEXT),
	F_AS("frs6", frs[5], TEXT), F_AS("frs7", frs[6], TEXT), { 0 },
};

static void show(struct cli *c, const char *uri, const struct riser_nvme_fw_slot *log)
{
	struct json j;

	if (c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		fields_json(&j, fields, log);
		json_end(&j);
		return;
	}
	printf("Firmware Log for device:%s\n", uri);
	fields_print(fields, log, 5);
}

static int run(struct cli *c)
{
	struct nvme_dev n = { 0 };
	struct riser_nvme_fw_slot log;
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (rc)
		goto out;
	rc = riser_nvme_get_log(n.ctrl, c->x, RISER_NVME_LOG_FW_SLOT, RISER_NVME_NSID_ALL, 0, &log,
				sizeof(log));
	if (rc)
		rc = nvme_fail(&n, "get log page", rc);
	else if (c->format == FORMAT_BINARY)
		print_binary(&log, sizeof(log));
	else
		show(c, n.uri, &log);
out:
	nvme_close(&n);
	return rc;
}

const struct cmd cmd_nvme_fw_log = {
	.name = "fw-log",
	.args = "URI",
	.summary = "the firmware slots",
	.example = "riser nvme fw-log model:nvme",
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
