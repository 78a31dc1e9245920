/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/json.h"
#include "cli/net/net.h"

static void print_json(const struct riser_virtio_feature *f, unsigned n)
{
	struct json j;

	json_init(&j, stdout);
	json_array(&j, NULL);
	for (; n; n--, f++) {
		json_object(&j, NULL);
		json_u64(&j, "bit", f->bit);
		json_str(&j, "name", f->name);
		json_bool(&j, "offered", f->offered);
		json_bool(&j, "wanted", f->wanted);
		json_bool(&j, "accepted", f->accepted);
		json_str(&j, "why", *f->why ? f->why : NULL);
		json_end(&j);
	}
	json_end(&j);
}

static void print_text(const struct riser_virtio_feature *f, unsigned n)
{
	printf("bit  %-20s offered  wanted  accepted\n", "feature");
	for (; n; n--, f++)
		printf("%3u  %-20s %-7s  %-6s  %s%s%s\n", f->bit, f->name ? f->name : "?",
		       f->offered ? "yes" : "no", f->wanted ? "yes" : "no",
		       f->accepted ? "yes" : "no", *f->why ? ": " : "", f->why);
}

static int run(struct cli *c)
{
	struct riser_port_opts opts = { .size = sizeof(opts), .offloads = NET_OFFLOADS };
	struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX];
	struct riser_port *p;
	int rc = cli_parse(c, NULL);
	unsigned n;

	if (!rc)
		rc = cli_context(c);
	if (rc)
		return rc;
	rc = riser_port_open(c->r, c->arg[0], &opts, &p, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	n = riser_port_explain(p, rows);
	if (!n)
		rc = cli_fail(c, CLI_USAGE, "%s: no virtio device, nothing was negotiated",
			      c->arg[0]);
	else if (c->format == FORMAT_JSON)
		print_json(rows, n);
	else
		print_text(rows, n);
	riser_port_close(p);
	return rc;
}

const struct cmd cmd_net_explain = {
	.name = "explain",
	.args = "URI",
	.summary = "what was negotiated with a virtio card, and why the rest was not",
	.example = "riser net explain 'qtest:spawn?device=virtio-net-pci&netdev=user'",
	.run = run,
};
