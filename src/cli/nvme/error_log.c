/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include <stdlib.h>

struct args {
	uint32_t entries;
	const char *uri;
	struct riser_nvme_error_entry *e;
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

static void print_text(const void *what)
{
	const struct args *a = what;

	printf("Error Log Entries for device:%s entries:%u\n", a->uri, a->entries);
	for (unsigned i = 0; i < a->entries; i++) {
		/* Bit 0 is the phase, the status is above. */
		uint32_t status = le16(a->e[i].status) >> 1;

		printf(".................\n Entry[%2u]\n.................\n", i);
		fields_print(fields, &a->e[i], 20);
		printf("%-20s: %s\n", "status", riser_nvme_status_text(status));
	}
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;

	json_array(j, "errors");
	for (unsigned i = 0; i < a->entries; i++) {
		json_object(j, NULL);
		fields_json(j, fields, &a->e[i]);
		json_end(j);
	}
	json_end(j);
}

static int check_args(struct cli *c, void *args)
{
	const struct args *a = args;

	return a->entries ? 0 : cli_fail(c, CLI_USAGE, "--log-entries wants 1 or more");
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	uint32_t most = riser_nvme_id(n->ctrl)->elpe + 1u;
	struct args *a = args;
	size_t len;
	int rc;

	a->uri = n->uri;
	if (a->entries > most)
		a->entries = most;
	len = a->entries * sizeof(*a->e);
	a->e = calloc(1, len);
	if (!a->e)
		return cli_fail(n->c, CLI_FAILED, "no memory");
	rc = nvme_get_log(n, RISER_NVME_LOG_ERROR, RISER_NVME_NSID_ALL, a->e, len);
	if (!rc)
		rc = nvme_show(n->c, &view, a, a->e, len);
	free(a->e);
	return rc;
}

static int run(struct cli *c)
{
	struct args a = { .entries = 64 };

	return nvme_run(c, &a, 0, check_args, act);
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
