/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/dev.h"
#include "cli/json.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int dev_open(struct cli *c, struct dev *d, const char *uri, unsigned flags, unsigned depth)
{
	int rc;

	*d = (struct dev){ .uri = uri };
	rc = cli_context(c);
	if (rc)
		return rc;
	rc = riser_blk_open(c->r, uri, flags & DEV_WRITE ? RISER_BLK_RDWR : 0, &d->b, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	riser_blk_get_info(d->b, &d->info);
	d->bytes = d->info.sectors << RISER_SECTOR_SHIFT;
	if ((flags & DEV_WRITE) && d->info.read_only)
		return cli_fail(c, CLI_PERMISSION, "%s is read-only", uri);
	if ((flags & DEV_WRITE) && !c->common.yes && !riser_blk_is_safe_to_destroy(d->b))
		return cli_fail(c, CLI_USAGE,
				"%s may hold data that somebody wants: give --yes-destroy-data to "
				"overwrite it%s",
				uri, flags & DEV_OR_READ ? ", or --readonly" : "");
	rc = riser_blk_channel_open(d->b, c->x, depth, &d->ch, &c->err);
	return rc ? cli_fail_err(c, rc) : 0;
}

void dev_close(struct dev *d)
{
	riser_blk_channel_close(d->ch);
	riser_blk_close(d->b);
	*d = (struct dev){ 0 };
}

int dev_check_range(struct cli *c, const struct dev *d, uint64_t offset, uint64_t *length)
{
	uint32_t block = d->info.logical_block;

	if (offset > d->bytes)
		return cli_fail(c, CLI_FAILED,
				"offset %" PRIu64 " is beyond the end of %s (%" PRIu64 " bytes)",
				offset, d->uri, d->bytes);
	if (*length == UINT64_MAX)
		*length = d->bytes - offset;
	if (offset % block || *length % block)
		return cli_fail(c, CLI_FAILED,
				"%s %" PRIu64 " is not a multiple of the %u-byte blocks of %s",
				offset % block ? "offset" : "length",
				offset % block ? offset : *length, block, d->uri);
	if (*length > d->bytes - offset)
		return cli_fail(c, CLI_FAILED,
				"%" PRIu64 " bytes from offset %" PRIu64
				" reach beyond the end of %s (%" PRIu64 " bytes)",
				*length, offset, d->uri, d->bytes);
	return 0;
}

int dev_fail_io(struct cli *c, const struct dev *d, enum riser_blk_op op, uint64_t offset,
		int status, uint32_t raw)
{
	static const char *const ops[] = {
		[RISER_BLK_READ] = "read",
		[RISER_BLK_WRITE] = "write",
		[RISER_BLK_FLUSH] = "flush",
		[RISER_BLK_DISCARD] = "trim",
		[RISER_BLK_WRITE_ZEROES] = "write of zeroes",
		[RISER_BLK_COMPARE] = "compare",
		[RISER_BLK_BLOCK_STATUS] = "status",
	};
	int rc = status < 0 ? status : riser_blk_status_errno((enum riser_blk_status)status);
	/* An I/O that breaks a rule is a failure, not bad usage of the command line. */
	int code = rc == -EINVAL ? CLI_FAILED : cli_exit_of(rc);
	char text[128];

	return cli_fail(c, code, "%s of %s at byte %" PRIu64 " failed: %s", ops[op], d->uri, offset,
			riser_blk_status_text(status, raw, text, sizeof(text)));
}

int dev_flush(struct cli *c, struct dev *d)
{
	int rc = riser_blk_rw(d->ch, RISER_BLK_FLUSH, 0, 0, NULL, 0);

	/* A device that has no cache has nothing to flush. */
	if (rc == RISER_BLK_OK || rc == RISER_BLK_NOTSUPP)
		return 0;
	return dev_fail_io(c, d, RISER_BLK_FLUSH, 0, rc, 0);
}

void dev_report(struct cli *c, const struct dev *d, uint64_t bytes, uint64_t began)
{
	struct json j;

	if (c->format != FORMAT_JSON)
		return;
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_str(&j, "verb", c->verb);
	json_str(&j, "uri", d->uri);
	json_u64(&j, "bytes", bytes);
	json_f64(&j, "seconds", (double)(riser_now(c->r) - began) / 1e9);
	json_end(&j);
}

bool dev_vanishes(const char *uri)
{
	return !strncmp(uri, "model:", strlen("model:")) && !strstr(uri, "backing");
}

void dev_note_vanishing(struct cli *c, const char *uri)
{
	if (dev_vanishes(uri))
		fprintf(stderr,
			"riser %s: %s has no backing=FILE: its data vanishes with this process\n",
			c->verb, uri);
}
