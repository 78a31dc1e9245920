/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/cli.h"
#include "cli/json.h"
#include <string.h>

static int run(struct cli *c)
{
	const char *f = riser_features();
	int rc = cli_parse(c, NULL);
	struct json j;

	if (rc)
		return rc;
	if (c->format != FORMAT_JSON) {
		printf("riser %s\nbuilt with: %s\n", riser_version(), f);
		return CLI_OK;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "version", riser_version());
	json_array(&j, "features");
	while (*f) {
		size_t n = strcspn(f, " ");

		json_strn(&j, NULL, f, n);
		f += n + strspn(f + n, " ");
	}
	json_end(&j);
	json_end(&j);
	return CLI_OK;
}

const struct cmd cmd_version = {
	.name = "version",
	.args = "",
	.summary = "print the version and what was built in",
	.example = "riser version",
	.run = run,
};
