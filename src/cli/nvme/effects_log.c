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

static void print_text(const void *what)
{
	const struct riser_nvme_effects *log = what;

	print_half("Admin Commands", "ACS", log->acs);
	print_half("NVM Commands", "IOCS", log->iocs);
}

static void print_json(struct json *j, const void *what)
{
	const struct riser_nvme_effects *log = what;

	json_half(j, "admin_cmd_set", log->acs);
	json_half(j, "io_cmd_set", log->iocs);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct riser_nvme_effects log;
	int rc = nvme_get_log(n, RISER_NVME_LOG_EFFECTS, RISER_NVME_NSID_ALL, &log, sizeof(log));

	return rc ? rc : nvme_show(n->c, &view, &log, &log, sizeof(log));
}

static int run(struct cli *c)
{
	return nvme_run(c, NULL, 0, NULL, act);
}

const struct cmd cmd_nvme_effects_log = {
	.name = "effects-log",
	.args = "URI",
	.summary = "which commands are supported, and what they change",
	.example = "riser nvme effects-log model:nvme",
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
