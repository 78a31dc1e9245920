/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/flow.h"
#include "cli/json.h"
#include <inttypes.h>

static int report(struct cli *c, const struct flow *f, uint64_t shorter, bool sizes_differ)
{
	bool equal = f->differs == UINT64_MAX && !sizes_differ;
	struct json j;

	if (c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "verb", c->verb);
		json_bool(&j, "equal", equal);
		json_u64(&j, "bytes", f->done);
		if (!equal)
			json_u64(&j, "first_difference",
				 f->differs != UINT64_MAX ? f->differs : shorter);
		json_end(&j);
	} else if (equal) {
		printf("equal: %" PRIu64 " bytes\n", f->done);
	}
	if (f->differs != UINT64_MAX)
		return cli_fail(c, CLI_MISMATCH, "%s and %s differ, first at byte %" PRIu64,
				f->from->uri, f->with->uri, f->differs);
	if (sizes_differ)
		return cli_fail(c, CLI_MISMATCH,
				"%s and %s differ in size (%" PRIu64 " and %" PRIu64
				" bytes), and are equal until byte %" PRIu64,
				f->from->uri, f->with->uri, f->from->bytes, f->with->bytes,
				shorter);
	return CLI_OK;
}

static int run(struct cli *c)
{
	struct dev a = { 0 }, b = { 0 };
	struct flow f = { .from = &a, .with = &b, .out = -1 };
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = dev_open(c, &a, c->arg[0], 0, 0);
	if (!rc)
		rc = dev_open(c, &b, c->arg[1], 0, 0);
	if (rc)
		goto out;
	f.length = a.bytes < b.bytes ? a.bytes : b.bytes;
	rc = flow_run(c, &f);
	if (!rc)
		rc = report(c, &f, f.length, a.bytes != b.bytes);
out:
	dev_close(&b);
	dev_close(&a);
	return rc;
}

const struct cmd cmd_verify = {
	.name = "verify",
	.args = "A B",
	.summary = "compare two devices; exit code 5 and the first difference where they differ",
	.example = "riser verify mem:1M mem:1M",
	.flags = CMD_PROGRESS,
	.run = run,
};
