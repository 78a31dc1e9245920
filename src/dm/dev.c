/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The devices that tables name: the same URI is the same device, in whatever table of the context
 * it stands, so that a new table finds what the old one had. "dm:NAME" is the mapped device itself,
 * whatever it is called later.
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
	int rc;

	if (x->uri && y->uri)
		rc = strcmp(x->uri, y->uri);
	else if (x->uri || y->uri)
		rc = x->uri ? 1 : -1;
	else
		rc = ((uintptr_t)x->b > (uintptr_t)y->b) - ((uintptr_t)x->b < (uintptr_t)y->b);
	return rc ? rc : x->rdwr - y->rdwr;
}

/* The one that is there already, with a reference. */
static struct dm_dev *find(struct riser *r, struct dm_dev *key)
{
	struct dm_dev **v, *found;

	pthread_mutex_lock(&r->lock);
	v = tfind(key, &r->dm.devs, compare);
	if (!v && !key->rdwr) {
		key->rdwr = true; /* it can be read as well */
		v = tfind(key, &r->dm.devs, compare);
		key->rdwr = false;
	}
	found = v ? *v : NULL; /* the tree's node may go as soon as the lock is */
	if (found)
		found->refs++;
	pthread_mutex_unlock(&r->lock);
	return found;
}

/* What @key says, opened; of a mapped device by name it has the reference already. */
static int open_dev(struct riser *r, const struct dm_dev *key, struct dm_dev *v,
		    struct riser_err *err)
{
	int rc;

	*v = *key;
	v->refs = 1;
	if (v->dm) {
		pthread_mutex_lock(&r->lock);
		v->b->opens++;
		pthread_mutex_unlock(&r->lock);
		return 0;
	}
	v->uri = strdup(key->uri);
	if (!v->uri)
		return err_set(err, -ENOMEM, "no memory for a device");
	rc = blk_open_held(r, v->uri, v->rdwr ? RISER_BLK_RDWR : 0, &r->dm, &v->b, err);
	v->dm = rc ? NULL : dm_of(v->b); /* table: */
	return rc;
}

static int dev_new(struct riser *r, const struct dm_dev *key, struct dm_dev **out,
		   struct riser_err *err)
{
	struct dm_dev *v = calloc(1, sizeof(*v));
	int rc;

	if (!v) {
		blk_put(key->b);
		return err_set(err, -ENOMEM, "no memory for a device");
	}
	rc = open_dev(r, key, v, err);
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

int dm_dev_get(struct riser *r, const char *uri, bool rdwr, struct dm_dev **out,
	       struct riser_err *err)
{
	struct dm_dev key = { .rdwr = rdwr };

	if (strncmp(uri, "dm:", 3)) {
		key.uri = (char *)(uintptr_t)uri;
	} else {
		key.dm = dm_open(r, uri + 3);
		if (!key.dm)
			return err_set(err, -ENODEV, "no mapped device '%s' in this process",
				       uri + 3);
		key.b = key.dm->b;
	}
	*out = find(r, &key);
	if (!*out)
		return dev_new(r, &key, out, err);
	blk_put(key.b);
	return 0;
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
