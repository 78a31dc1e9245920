/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dev.h"
#include "cli/json.h"
#include <inttypes.h>
#include <riser/util.h>

static void print_json(const struct dev *d)
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
	json_end(&j);
}

static void print_text(const struct dev *d)
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
	printf("  buffers          aligned to %u bytes, others are copied\n", i->buf_align);
	printf("  write cache      %s\n",
	       i->write_cache ? "volatile; flush means something" : "none");
	printf("  can also do      %s%s%s%s%s\n", i->discard ? "trim " : "",
	       i->write_zeroes ? "zero " : "", i->compare ? "compare " : "", i->fua ? "fua" : "",
	       i->discard || i->write_zeroes || i->compare || i->fua ? "" : "nothing else");
	printf("  destroying       %s\n",
	       riser_blk_is_safe_to_destroy(d->b) ? "harms nobody" : "wants --yes-destroy-data");
}

static int run(struct cli *c)
{
	struct dev d = { 0 };
	int rc = cli_parse(c, NULL);

	if (!rc)
		rc = dev_open(c, &d, c->arg[0], 0, 0);
	if (!rc && c->format == FORMAT_JSON)
		print_json(&d);
	else if (!rc)
		print_text(&d);
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
