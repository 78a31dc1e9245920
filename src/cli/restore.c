/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/machine.h"

struct args {
	bool dry_run;
};

static int run(struct cli *c)
{
	struct args a = { 0 };
	struct riser_host_plan *p;
	struct riser_host *h;
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = machine_open(c, &h);
	if (rc)
		return rc;
	rc = riser_host_plan_restore(h, c->arg, c->nargs, &p, &c->err);
	rc = rc ? cli_fail_err(c, rc) : machine_run(c, h, p, a.dry_run);
	riser_host_free(h);
	return rc;
}

static const struct opt opts[] = {
	{ "dry-run", 'n', OPT_IS_BOOL(struct args, dry_run), NULL, "show the plan only" },
	{ 0 },
};

const struct cmd cmd_restore = {
	.name = "restore",
	.args = "BDF…",
	.summary = "give PCI functions back to the kernel's drivers that they had",
	.example = "sudo riser restore 0000:01:00.0",
	.opts = opts,
	.run = run,
};
