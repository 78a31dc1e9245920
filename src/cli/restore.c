/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/note.h"
#include <stdio.h>

struct args {
	bool dry_run;
};

/* Without arguments: what supervisors that died were to give back. */
static int take_left(struct cli *c, struct note *notes)
{
	unsigned n = note_list(notes, CLI_ARGS_MAX);

	for (unsigned i = 0; i < n; i++)
		if (!notes[i].alive)
			c->arg[c->nargs++] = notes[i].bdf;
	return c->nargs ? 0
			: cli_fail(c, CLI_USAGE,
				   "missing argument BDF…: no riser run that was killed left a "
				   "function behind");
}

/* A supervisor gives its functions back by itself. */
static int check_supervised(struct cli *c, struct riser_host *h, bool *left)
{
	struct riser_host_pci f;
	struct note n;

	for (unsigned i = 0; i < c->nargs; i++) {
		if (riser_host_pci_get(h, c->arg[i], &f, NULL) || !note_read(f.bdf, &n))
			continue;
		if (n.alive)
			return cli_fail(
				c, CLI_MISSING,
				"%s is supervised by riser run, pid %d (%s), which gives it "
				"back at its end: kill %d",
				f.bdf, n.pid, n.command, n.pid);
		left[i] = true;
	}
	return 0;
}

/* What a supervisor would have done before. */
static void quiesce(struct cli *c, struct riser_host *h, const bool *left)
{
	struct riser_host_pci f;

	for (unsigned i = 0; i < c->nargs; i++)
		if (left[i] && !riser_host_pci_get(h, c->arg[i], &f, NULL) &&
		    note_quiesce(&f, &c->err))
			fprintf(stderr, "riser %s: %s was not shut down in order: %s\n", c->verb,
				f.bdf, c->err.text);
}

static void forget(struct cli *c, struct riser_host *h)
{
	struct riser_host_pci f;

	for (unsigned i = 0; i < c->nargs; i++)
		if (!riser_host_pci_get(h, c->arg[i], &f, NULL))
			note_remove(f.bdf);
}

static int restore(struct cli *c, struct riser_host *h, bool dry_run)
{
	bool left[CLI_ARGS_MAX] = { false };
	struct note notes[CLI_ARGS_MAX];
	struct riser_host_plan *p;
	int rc = c->nargs ? 0 : take_left(c, notes);

	if (!rc)
		rc = check_supervised(c, h, left);
	if (rc)
		return rc;
	rc = riser_host_plan_restore(h, c->arg, c->nargs, &p, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	if (!dry_run)
		quiesce(c, h, left);
	rc = machine_run(c, h, p, dry_run);
	if (!rc && !dry_run)
		forget(c, h);
	return rc;
}

static int run(struct cli *c)
{
	struct args a = { 0 };
	struct riser_host *h;
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = machine_open(c, &h);
	if (rc)
		return rc;
	rc = restore(c, h, a.dry_run);
	riser_host_free(h);
	return rc;
}

static const struct opt opts[] = {
	{ "dry-run", 'n', OPT_IS_BOOL(struct args, dry_run), NULL, "show the plan only" },
	{ 0 },
};

const struct cmd cmd_restore = {
	.name = "restore",
	.args = "[BDF…]",
	.summary = "give PCI functions back to the kernel's drivers that they had",
	.example = "sudo riser restore 0000:01:00.0",
	.opts = opts,
	.run = run,
};
