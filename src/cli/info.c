/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dev.h"
#include "cli/json.h"
#include <inttypes.h>
#include <riser/nvme.h>
#include <riser/util.h>
#include <string.h>

/* The controller that a namespace is on: open already, so that this only shares it. */
static bool open_controller(struct cli *c, const struct dev *d, struct riser_nvme **out)
{
	size_t len = strcspn(d->uri, ":");
	const char *scheme;

	for (unsigned i = 0; (scheme = riser_schemes(c->r, RISER_URI_NVME, i)); i++)
		if (strlen(scheme) == len && !strncmp(scheme, d->uri, len))
			return !riser_nvme_open(c->r, d->uri, NULL, out, NULL);
	return false;
}

static void controller_json(struct json *j, const struct riser_nvme_info *i)
{
	json_object(j, "controller");
	json_u64(j, "cap", i->cap);
	json_u64(j, "version", i->vs);
	json_u64(j, "page_size", i->page_size);
	json_u64(j, "max_transfer", i->max_transfer);
	json_u64(j, "queue_pairs", i->qpairs);
	json_u64(j, "max_queue_pairs", i->max_qpairs);
	json_u64(j, "max_queue_entries", i->queue_entries);
	json_u64(j, "vectors", i->vectors);
	json_u64(j, "generation", i->generation);
	json_u64(j, "aborts", i->aborts);
	json_u64(j, "retries", i->retries);
	json_u64(j, "timeouts", i->timeouts);
	json_u64(j, "stray", i->stray);
	json_u64(j, "aers", i->aers);
	json_end(j);
}

static void controller_text(const struct riser_nvme_info *i)
{
	char most[24];

	riser_format_size(i->max_transfer, most, sizeof(most));
	printf("  controller       NVMe %u.%u.%u, memory pages of %u bytes, transfers of up to %s\n",
	       i->vs >> 16, i->vs >> 8 & 0xff, i->vs & 0xff, i->page_size, most);
	printf("  queues           %u of %u in use, up to %u entries, %u interrupt vectors\n",
	       i->qpairs, i->max_qpairs, i->queue_entries, i->vectors);
	printf("  trouble          %" PRIu64 " timeouts, %" PRIu64 " aborts, %" PRIu64
	       " retries, %u resets, %" PRIu64 " stray completions\n",
	       i->timeouts, i->aborts, i->retries, i->generation, i->stray);
}

static void print_json(const struct dev *d, const struct riser_nvme_info *ctrl)
{
	const struct riser_blk_info *i = &d->info;
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "uri", d->uri);
	json_str(&j, "description", i->description);
	json_u64(&j, "size", d->bytes);
	json_u64(&j, "logical_block", i->logical_block);
	json_u64(&j, "physical_block", i->physical_block);
	json_u64(&j, "max_io", (uint64_t)i->max_sectors << RISER_SECTOR_SHIFT);
	json_u64(&j, "max_discard", (uint64_t)i->max_discard_sectors << RISER_SECTOR_SHIFT);
	json_u64(&j, "max_write_zeroes", (uint64_t)i->max_zeroes_sectors << RISER_SECTOR_SHIFT);
	json_u64(&j, "buffer_alignment", i->buf_align);
	json_bool(&j, "write_cache", i->write_cache);
	json_bool(&j, "fua", i->fua);
	json_bool(&j, "discard", i->discard);
	json_bool(&j, "write_zeroes", i->write_zeroes);
	json_bool(&j, "compare", i->compare);
	json_bool(&j, "needs_yes_destroy_data", !riser_blk_is_safe_to_destroy(d->b));
	json_bool(&j, "vanishes", dev_vanishes(d->uri));
	if (ctrl)
		controller_json(&j, ctrl);
	json_end(&j);
}

static void print_text(const struct dev *d, const struct riser_nvme_info *ctrl)
{
	const struct riser_blk_info *i = &d->info;
	char size[24], max[24];

	riser_format_size(d->bytes, size, sizeof(size));
	riser_format_size((uint64_t)i->max_sectors << RISER_SECTOR_SHIFT, max, sizeof(max));
	printf("%s\n", d->uri);
	printf("  description      %s\n", i->description);
	printf("  size             %" PRIu64 " bytes (%s)\n", d->bytes, size);
	printf("  blocks           %u bytes, physical %u\n", i->logical_block, i->physical_block);
	printf("  largest I/O      %s\n", max);
	if (i->buf_align > 1)
		printf("  buffers          aligned to %u bytes, others are copied\n", i->buf_align);
	else
		printf("  buffers          at any address\n");
	printf("  write cache      %s\n",
	       i->write_cache ? "volatile; flush means something" : "none");
	printf("  can also do      %s%s%s%s%s\n", i->discard ? "trim " : "",
	       i->write_zeroes ? "zero " : "", i->compare ? "compare " : "", i->fua ? "fua" : "",
	       i->discard || i->write_zeroes || i->compare || i->fua ? "" : "nothing else");
	printf("  destroying       %s\n", riser_blk_is_safe_to_destroy(d->b)
						  ? "goes without --yes-destroy-data"
						  : "wants --yes-destroy-data");
	if (dev_vanishes(d->uri))
		printf("  data             in memory: it vanishes with this process (no backing=FILE)\n");
	if (ctrl)
		controller_text(ctrl);
}

static int run(struct cli *c)
{
	struct riser_nvme *ctrl = NULL;
	struct riser_nvme_info info;
	struct dev d = { 0 };
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = dev_open(c, &d, c->arg[0], 0, 0);
	if (rc)
		goto out;
	if (open_controller(c, &d, &ctrl))
		riser_nvme_get_info(ctrl, &info);
	if (c->format == FORMAT_JSON)
		print_json(&d, ctrl ? &info : NULL);
	else
		print_text(&d, ctrl ? &info : NULL);
out:
	riser_nvme_close(ctrl);
	dev_close(&d);
	return rc;
}

const struct cmd cmd_info = {
	.name = "info",
	.args = "URI",
	.summary = "tell what a device is and where it stands",
	.example = "riser info model:nvme",
	.run = run,
};
