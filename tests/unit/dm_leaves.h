/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The leaves of blk_fixture.h by URI, so that tables can name them: "leaf:0" is leaves[0]. */
#ifndef TESTS_DM_LEAVES_H
#define TESTS_DM_LEAVES_H

#include "base/uri.h"
#include "blk_fixture.h"
#include "dm/dm.h"

static struct riser_blk *leaves[8];
static struct registry registry; /* the library's, with these as sources */

static int leaf_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		     struct riser_err *e)
{
	*out = blk_get(leaves[atoi(u->rest)]);
	return 0;
}

static const struct blk_source source_leaf = {
	.size = sizeof(source_leaf), .scheme = "leaf", .harmless = true, .open = leaf_open
};
extern const struct blk_source source_dm, source_table;

static int registry_up(void)
{
	static const struct blk_source *const sources[] = { &source_leaf, &source_dm, &source_table,
							    NULL };
	struct riser *r;
	int rc = riser_new(NULL, &r, NULL);

	if (rc)
		return rc;
	registry = *r->registry;
	registry.sources = sources;
	riser_free(r);
	return 0;
}

static bool has_target(const char *name)
{
	for (const struct riser_target_ops *const *t = registry.targets; *t; t++)
		if (!strcmp((*t)->name, name))
			return true;
	return false;
}

/* Another table for a device, at once. Return: what load or resume said. */
static int leaves_table(struct riser_dm *d, struct riser_exec *x, const char *table,
			struct riser_err *e)
{
	int rc = riser_dm_load(d, x, table, NULL, e);

	return rc ? rc : riser_dm_resume(d, x, 60 * NS_PER_S, e);
}

#endif
