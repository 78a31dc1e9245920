/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A block device as a verb has it: opened by URI, with one channel on the command's executor. */
#ifndef CLI_DEV_H
#define CLI_DEV_H

#include "cli/cli.h"
#include <riser/blk.h>

struct dev {
	const char *uri;
	struct riser_blk *b;
	struct riser_blk_channel *ch;
	struct riser_blk_info info;
	uint64_t bytes;
};

/*
 * Open @uri, with a context first where there is none. DEV_WRITE opens for writing, which wants
 * --yes-destroy-data unless losing the data harms nobody. @depth: as riser_blk_channel_open().
 * Return: 0 or an exit code; then
 * dev_close() is still allowed and needed.
 */
#define DEV_WRITE   (1u << 0)
#define DEV_OR_READ (1u << 1) /* the verb has --readonly */
int dev_open(struct cli *c, struct dev *d, const char *uri, unsigned flags, unsigned depth);
/* @d is zeroed or was opened. */
void dev_close(struct dev *d);

/*
 * Check a range of bytes against blocks and size; *@length UINT64_MAX means to the end.
 * Return: 0 or an exit code.
 */
int dev_check_range(struct cli *c, const struct dev *d, uint64_t offset, uint64_t *length);

/* Say how an I/O failed. Return: the exit code. */
int dev_fail_io(struct cli *c, const struct dev *d, enum riser_blk_op op, uint64_t offset,
		int status, uint32_t raw);

/* Make what was written durable. Return: 0 or an exit code. */
int dev_flush(struct cli *c, struct dev *d);

/* With --json: what a verb moved since @began (riser_now()). */
void dev_report(struct cli *c, const struct dev *d, uint64_t bytes, uint64_t began);

/* A model without a backing: its data lives as long as this process. */
bool dev_vanishes(const char *uri);
/* Tell who writes to one. */
void dev_note_vanishing(struct cli *c, const char *uri);

#endif
