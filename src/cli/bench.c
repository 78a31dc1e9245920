/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* How fast is it? */
#include "cli/json.h"
#include "cli/load.h"
#include <inttypes.h>
#include <stdlib.h>

struct args {
	bool verify, histogram;
};

struct percentile {
	const char *name;
	double fraction;
};

static const struct percentile percentiles[] = {
	{ "p50", 0.5 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "max", 1 }
};

static void print_json(const struct load *l, const struct riser_blk_stats *st)
{
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	load_json(l, &j);
	json_u64(&j, "iops", (uint64_t)((double)l->ended / l->seconds));
	json_u64(&j, "bytes_per_second", (uint64_t)((double)(l->ended * l->a.bs) / l->seconds));
	json_object(&j, "latency_ns");
	json_u64(&j, "min", l->hist.min);
	json_u64(&j, "mean", l->hist.sum / l->hist.total);
	for (size_t i = 0; i < array_len(percentiles); i++)
		json_u64(&j, percentiles[i].name,
			 hist_percentile(&l->hist, percentiles[i].fraction));
	json_end(&j);
	json_u64(&j, "bounces", st->bounces);
	json_u64(&j, "retries", st->retries);
	json_bool(&j, "verified", l->verify);
	json_end(&j);
}

static void print_text(const struct load *l, bool histogram)
{
	load_print(l);
	printf("  %.0f IOPS, %.1f MB/s\n  latency", (double)l->ended / l->seconds,
	       (double)(l->ended * l->a.bs) / l->seconds / 1e6);
	for (size_t i = 0; i < array_len(percentiles); i++)
		printf("%s %s %.1f us", i ? "," : "", percentiles[i].name,
		       (double)hist_percentile(&l->hist, percentiles[i].fraction) / 1e3);
	printf("\n");
	if (histogram)
		hist_print(&l->hist);
}

static int measure(struct load *l, bool histogram)
{
	struct riser_blk_stats stats;
	int rc = load_run(l);

	if (rc)
		return rc;
	riser_blk_channel_stats(l->d.ch, &stats);
	rc = l->verify ? load_verify(l) : 0;
	if (rc)
		return rc;
	if (l->c->format == FORMAT_JSON)
		print_json(l, &stats);
	else
		print_text(l, histogram);
	return 0;
}

static int run(struct cli *c)
{
	struct load *l = calloc(1, sizeof(*l));
	struct args a = { 0 };
	int rc;

	if (!l)
		return cli_fail(c, CLI_FAILED, "no memory");
	c->common.load = (struct cli_load)LOAD_DEFAULTS;
	rc = cli_parse(c, &a);
	if (!rc)
		rc = load_check(c);
	if (!rc && a.verify && !load_writes(c))
		rc = cli_fail(c, CLI_USAGE,
			      "--verify reads back what was written: it wants --rw=write or "
			      "--rw=randwrite");
	l->verify = a.verify;
	if (!rc)
		rc = load_open(l, c, c->arg[0], c->arg[0]);
	if (!rc)
		rc = measure(l, a.histogram);
	load_close(l);
	free(l);
	return rc;
}

static const struct opt opts[] = {
	{ "verify", 0, OPT_IS_BOOL(struct args, verify), NULL,
	  "read back and compare what was written" },
	{ "histogram", 0, OPT_IS_BOOL(struct args, histogram), NULL, "print one of the latencies" },
	{ 0 },
};

const struct cmd cmd_bench = {
	.name = "bench",
	.args = "URI",
	.summary = "measure a device: I/Os a second, throughput, latencies",
	.example = "riser bench model:nvme --rw=randread --iodepth=32",
	.opts = opts,
	.flags = CMD_LOAD | CMD_DESTROYS,
	.run = run,
};
