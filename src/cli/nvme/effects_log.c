/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

#define EFFECT_SUPPORTED (1u << 0)

/* Bits of an entry (figure 210), in nvme-cli's letters. */
static const char *const effects[] = { "CSUPP", "LBCC", "NCC", "NIC", "CCC" };

static void print_half(const char *title, const char *prefix, const riser_le32 *e)
{
	printf("%s\n", title);
	for (unsigned op = 0; op < 256; op++) {
		if (!(le32(e[op]) & EFFECT_SUPPORTED))
			continue;
		printf("%s%-6u [%02x] %08x", prefix, op, op, le32(e[op]));
		for (unsigned bit = 0; bit < array_len(effects); bit++)
			if (le32(e[op]) & 1u << bit)
				printf(" %s", effects[bit]);
		printf("\n");
	}
}

static void json_half(struct json *j, const char *key, const riser_le32 *e)
{
	json_object(j, key);
	for (unsigned op = 0; op < 256; op++) {
		char name[8];

		snprintf(name, sizeof(name), "%u", op);
		if (le32(e[op]) & EFFECT_SUPPORTED)
			json_u64(j, name, le32(e[op]));
	}
	json_end(j);
}

static void show(struct cli *c, const struct riser_nvme_effects *log)
{
	struct json j;

	if (c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_half(&j, "admin_cmd_set", log->acs);
		json_half(&j, "io_cmd_set", log->iocs);
		json_end(&j);
		return;
	}
	print_half("Admin Commands", "ACS", log->acs);
	print_half("NVM Commands", "IOCS", log->iocs);
}

static int run(struct cli *c)
{
	struct nvme_dev n = { 0 };
	struct riser_nvme_effects log;
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (rc)
		goto out;
	rc = riser_nvme_get_log(n.ctrl, c->x, RISER_NVME_LOG_EFFECTS, RISER_NVME_NSID_ALL, 0, &log,
				sizeof(log));
	if (rc)
		rc = nvme_fail(&n, "get log page", rc);
	else if (c->format == FORMAT_BINARY)
		print_binary(&log, sizeof(log));
	else
		show(c, &log);
out:
	nvme_close(&n);
	return rc;
}

const struct cmd cmd_nvme_effects_log = {
	.name = "effects-log",
	.args = "URI",
	.summary = "which commands are supported, and what they change",
	.example = "riser nvme effects-log model:nvme",
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
