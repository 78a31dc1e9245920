/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The seam of the publishers: one file publish/NAME.c with a struct publish_ops publish_NAME. */
#ifndef PUBLISH_PUBLISH_H
#define PUBLISH_PUBLISH_H

#include <riser/publish.h>

/**
 * struct publish_ops - a way to hand a block device on
 * @size: sizeof(struct publish_ops)
 * @name: the word by which it is asked for, such as "nbd"
 * @start: see riser_publish(); @opts is complete and never NULL
 * @stop: see riser_publish_stop(); @p is never NULL
 * @uri: see riser_publish_uri()
 * @stats: see riser_publish_get_stats(); @stats comes zeroed
 */
struct publish_ops {
	size_t size;
	const char *name;
	int (*start)(struct riser_blk *b, struct riser_exec *x,
		     const struct riser_publish_opts *opts, struct riser_publish **out,
		     struct riser_err *err);
	void (*stop)(struct riser_publish *p);
	const char *(*uri)(const struct riser_publish *p);
	void (*stats)(struct riser_publish *p, struct riser_publish_stats *stats);
};

/* The first member of every publisher's own structure. */
struct riser_publish {
	const struct publish_ops *ops;
};

#endif
