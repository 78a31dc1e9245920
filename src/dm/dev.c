/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The devices that tables name: the same URI is the same device, in whatever table of the context
 * it stands, so that a new table finds what the old one had. "dm:NAME" is the mapped device itself.
 */
#include "base/err.h"
#include "dm/dm.h"
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	const struct dm_dev *x = a, *y = b;
	int rc = strcmp(x->uri, y->uri);

	return rc ? rc : x->rdwr - y->rdwr;
}

/* The caller holds the context's lock. */
static struct dm_dev *find(struct riser *r, const char *uri, bool rdwr)
{
	struct dm_dev key = { .uri = (char *)(uintptr_t)uri, .rdwr = rdwr };
	struct dm_dev **v = tfind(&key, &r->dm.devs, compare);

	return v ? *v : NULL;
}

static int open_dev(struct riser *r, struct dm_dev *v, struct riser_err *err)
{
	if (strncmp(v->uri, "dm:", 3)) {
		int rc = blk_open_held(r, v->uri, v->rdwr ? RISER_BLK_RDWR : 0, &r->dm, &v->b, err);

		v->dm = rc ? NULL : dm_of(v->b); /* table: */
		return rc;
	}
	v->dm = dm_open(r, v->uri + 3);
	if (!v->dm)
		return err_set(err, -ENODEV, "no mapped device '%s' in this process", v->uri + 3);
	v->b = v->dm->b;
	pthread_mutex_lock(&r->lock);
	v->b->opens++;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

int dm_dev_get(struct riser *r, const char *uri, bool rdwr, struct dm_dev **out,
	       struct riser_err *err)
{
	struct dm_dev *v;
	int rc;

	pthread_mutex_lock(&r->lock);
	v = find(r, uri, rdwr);
	if (!v && !rdwr)
		v = find(r, uri, true); /* it can be read as well */
	if (v)
		v->refs++;
	pthread_mutex_unlock(&r->lock);
	*out = v;
	if (v)
		return 0;
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, -ENOMEM, "no memory for a device");
	v->refs = 1;
	v->rdwr = rdwr;
	v->uri = strdup(uri);
	rc = v->uri ? open_dev(r, v, err) : err_set(err, -ENOMEM, "no memory for a device");
	if (rc)
		goto fail;
	/* Nobody else opens meanwhile: control is ours. */
	pthread_mutex_lock(&r->lock);
	rc = tsearch(v, &r->dm.devs, compare) ? 0 : -ENOMEM;
	pthread_mutex_unlock(&r->lock);
	if (rc) {
		riser_blk_close(v->b);
		err_set(err, rc, "no memory for a device");
		goto fail;
	}
	*out = v;
	return 0;
fail:
	free(v->uri);
	free(v);
	return rc;
}

void dm_dev_put(struct riser *r, struct dm_dev *v)
{
	bool last;

	pthread_mutex_lock(&r->lock);
	last = --v->refs == 0;
	if (last)
		tdelete(v, &r->dm.devs, compare);
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	riser_blk_close(v->b);
	free(v->uri);
	free(v);
}
