/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct answer {
	const char *uri;
	struct riser_nvme_fw_slot log;
};

#define F_AS(text, member, how) FIELD_AS(text, riser_nvme_fw_slot, member, how)

static const struct field fields[] = {
	F_AS("afi", afi, HEX),      F_AS("frs1", frs[0], TEXT), F_AS("frs2", frs[1], TEXT),
	F_AS("frs3", frs[2], TEXT), F_AS("frs4", frs[3], TEXT), F_AS("frs5", frs[4], TEXT),
	F_AS("frs6", frs[5], TEXT), F_AS("frs7", frs[6], TEXT), { 0 },
};

static void print_text(const void *what)
{
	const struct answer *a = what;

	printf("Firmware Log for device:%s\n", a->uri);
	fields_print(fields, &a->log, 5);
}

static void print_json(struct json *j, const void *what)
{
	const struct answer *a = what;

	fields_json(j, fields, &a->log);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct answer a = { .uri = n->uri };
	int rc =
		nvme_get_log(n, RISER_NVME_LOG_FW_SLOT, RISER_NVME_NSID_ALL, &a.log, sizeof(a.log));

	return rc ? rc : nvme_show(n->c, &view, &a, &a.log, sizeof(a.log));
}

static int run(struct cli *c)
{
	return nvme_run(c, NULL, 0, NULL, act);
}

const struct cmd cmd_nvme_fw_log = {
	.name = "fw-log",
	.args = "URI",
	.summary = "the firmware slots",
	.example = "riser nvme fw-log model:nvme",
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
