/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include <inttypes.h>
#include <stdlib.h>

struct args {
	uint32_t entries;
};

#define F(member, how)          FIELD(riser_nvme_error_entry, member, how)
#define F_AS(text, member, how) FIELD_AS(text, riser_nvme_error_entry, member, how)

static const struct field fields[] = {
	F(error_count, DEC),
	F(sqid, DEC),
	F_AS("cmdid", cid, HEX),
	F_AS("status_field", status, HEX),
	F_AS("parm_error_location", param_error_location, HEX),
	F(lba, HEX),
	F(nsid, HEX),
	F(vs, DEC),
	F(trtype, DEC),
	F(cs, HEX),
	F_AS("trtype_spec_info", trtype_spec_info, HEX),
	{ 0 },
};

static void print_text(const char *uri, const struct riser_nvme_error_entry *e, unsigned n)
{
	printf("Error Log Entries for device:%s entries:%u\n", uri, n);
	for (unsigned i = 0; i < n; i++) {
		/* Bit 0 is the phase, the status is above. */
		uint32_t status = le16(e[i].status) >> 1;

		printf(".................\n Entry[%2u]\n.................\n", i);
		fields_print(fields, &e[i], 20);
		printf("%-20s: %s\n", "status", riser_nvme_status_text(status));
	}
}

static void print_json(const struct riser_nvme_error_entry *e, unsigned n)
{
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "errors");
	for (unsigned i = 0; i < n; i++) {
		json_object(&j, NULL);
		fields_json(&j, fields, &e[i]);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static int show(struct nvme_dev *n, const struct args *a)
{
	uint32_t most = riser_nvme_id(n->ctrl)->elpe + 1u;
	uint32_t count = a->entries < most ? a->entries : most;
	uint32_t len = count * (uint32_t)sizeof(struct riser_nvme_error_entry);
	struct riser_nvme_error_entry *e = calloc(count, sizeof(*e));
	int rc;

	if (!e)
		return cli_fail(n->c, CLI_FAILED, "no memory");
	rc = riser_nvme_get_log(n->ctrl, n->c->x, RISER_NVME_LOG_ERROR, RISER_NVME_NSID_ALL, 0, e,
				len);
	if (rc)
		rc = nvme_fail(n, "get log page", rc);
	else if (n->c->format == FORMAT_BINARY)
		print_binary(e, len);
	else if (n->c->format == FORMAT_JSON)
		print_json(e, count);
	else
		print_text(n->uri, e, count);
	free(e);
	return rc;
}

static int run(struct cli *c)
{
	struct args a = { .entries = 64 };
	struct nvme_dev n = { 0 };
	int rc = cli_parse(c, &a);

	if (!rc && !a.entries)
		rc = cli_fail(c, CLI_USAGE, "--log-entries wants 1 or more");
	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (!rc)
		rc = show(&n, &a);
	nvme_close(&n);
	return rc;
}

static const struct opt opts[] = {
	{ "log-entries", 'e', OPT_IS_NUM32(struct args, entries), "NUM",
	  "at most so many; default 64" },
	{ 0 },
};

const struct cmd cmd_nvme_error_log = {
	.name = "error-log",
	.args = "URI",
	.summary = "the controller's last errors",
	.example = "riser nvme error-log model:nvme",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
