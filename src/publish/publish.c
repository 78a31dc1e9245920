/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "publish/publish.h"
#include "base/err.h"
#include "base/exec.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/util.h"
#include <errno.h>
#include <string.h>

#define KINDS_MAX 16 /* that a sentence suggests from */

static const struct publish_ops *find(struct riser *r, const char *kind)
{
	for (const struct publish_ops *const *p = r->registry->publishers; *p; p++)
		if (!strcmp((*p)->name, kind))
			return *p;
	return NULL;
}

static int refuse(struct riser *r, const char *kind, struct riser_err *err)
{
	const char *names[KINDS_MAX + 1] = { NULL }, *near;

	for (unsigned i = 0; i < KINDS_MAX && r->registry->publishers[i]; i++)
		names[i] = r->registry->publishers[i]->name;
	near = parse_nearest(kind, names);
	return err_set(err, -EINVAL, "unknown publisher '%s'%s%s%s", kind,
		       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int riser_publish(struct riser_blk *b, struct riser_exec *x, const char *kind,
		  const struct riser_publish_opts *opts, struct riser_publish **out,
		  struct riser_err *err)
{
	const struct publish_ops *ops = find(x->r, kind);
	struct riser_publish_opts all = { .port = -1 };
	int rc;

	if (!ops)
		return refuse(x->r, kind, err);
	if (opts && !opts->size)
		return err_set(err, -EINVAL, "the publisher's options do not say their size");
	if (opts)
		memcpy(&all, opts, min_of(opts->size, sizeof(all)));
	all.size = sizeof(all);
	rc = ops->start(b, x, &all, out, err);
	if (!rc)
		(*out)->ops = ops;
	return rc;
}

const char *riser_publish_uri(const struct riser_publish *p)
{
	return p->ops->uri(p);
}

void riser_publish_get_stats(struct riser_publish *p, struct riser_publish_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	p->ops->stats(p, stats);
}

void riser_publish_stop(struct riser_publish *p)
{
	if (p)
		p->ops->stop(p);
}
