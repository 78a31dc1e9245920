/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What mapped devices are called: names and uuids, each one device's in a context. */
#include "base/err.h"
#include "dm/dm.h"
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct riser_dm *)a)->name, ((const struct riser_dm *)b)->name);
}

static int by_uuid(const void *a, const void *b)
{
	return strcmp(((const struct riser_dm *)a)->uuid, ((const struct riser_dm *)b)->uuid);
}

/* The caller holds the context's lock. */
static struct riser_dm *find(struct riser *r, const char *name)
{
	struct riser_dm key;
	struct riser_dm **d;

	if (strlen(name) > RISER_DM_NAME_MAX)
		return NULL;
	strcpy(key.name, name);
	d = tfind(&key, &r->dm.names, by_name);
	return d ? *d : NULL;
}

struct riser_dm *riser_dm_find(struct riser *r, const char *name)
{
	struct riser_dm *d;

	pthread_mutex_lock(&r->lock);
	d = find(r, name);
	pthread_mutex_unlock(&r->lock);
	return d;
}

struct riser_dm *riser_dm_of(struct riser_blk *b)
{
	return dm_of(b);
}

struct riser_dm *dm_open(struct riser *r, const char *name)
{
	struct riser_dm *d;

	pthread_mutex_lock(&r->lock);
	d = find(r, name);
	if (d)
		blk_get(d->b);
	pthread_mutex_unlock(&r->lock);
	return d;
}

int dm_check_name(const char *what, const char *s, size_t max, struct riser_err *err)
{
	if (!*s || strlen(s) > max || strchr(s, '/') || strchr(s, ' '))
		return err_set(err, -EINVAL, "'%s': a %s has 1 to %zu bytes, no '/' and no blank",
			       s, what, max);
	return 0;
}

/*
 * The caller holds the context's lock. The new word is entered before the old one goes, so that a
 * device whose new one cannot be had keeps the old one. Return: 0, -EBUSY or -ENOMEM.
 */
static int enter(struct riser_dm *d, void **tree, int (*by)(const void *a, const void *b),
		 char *field, const char *word)
{
	struct riser_dm key, **node;

	strcpy((char *)&key + (field - (char *)d), word);
	node = tsearch(&key, tree, by);
	if (!node)
		return -ENOMEM;
	if (*node != &key)
		return -EBUSY;
	if (*field)
		tdelete(d, tree, by);
	strcpy(field, word);
	node = tfind(d, tree, by); /* deleting moves nodes */
	*node = d;
	return 0;
}

void dm_leave_names(struct riser_dm *d)
{
	if (*d->name)
		tdelete(d, &d->r->dm.names, by_name);
	if (*d->uuid)
		tdelete(d, &d->r->dm.uuids, by_uuid);
	*d->name = *d->uuid = 0;
}

int dm_set_names(struct riser_dm *d, const char *name, const char *uuid, struct riser_err *err)
{
	struct riser *r = d->r;
	const char *what = "uuid", *word = uuid;
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (uuid && *uuid)
		rc = enter(d, &r->dm.uuids, by_uuid, d->uuid, uuid);
	if (!rc && name) {
		what = "name";
		word = name;
		rc = enter(d, &r->dm.names, by_name, d->name, name);
		if (rc && uuid && *uuid) {
			tdelete(d, &r->dm.uuids, by_uuid);
			*d->uuid = 0;
		}
	}
	snprintf(d->uri, sizeof(d->uri), "dm:%s", d->name);
	pthread_mutex_unlock(&r->lock);
	if (rc == -EBUSY)
		return err_set(err, rc, "there is a mapped device with the %s '%s' already", what,
			       word);
	if (rc)
		return err_set(err, rc, "no memory for a %s", what);
	pthread_mutex_lock(&d->b->lock);
	snprintf(d->b->description, sizeof(d->b->description), "mapped device %s",
		 *d->name ? d->name : "without a name");
	pthread_mutex_unlock(&d->b->lock);
	return 0;
}

int riser_dm_rename(struct riser_dm *d, struct riser_exec *x, const char *name, const char *uuid,
		    struct riser_err *err)
{
	int rc = name ? dm_check_name("name", name, RISER_DM_NAME_MAX, err) : 0;

	if (!rc && uuid)
		rc = dm_check_name("uuid", uuid, RISER_DM_UUID_MAX, err);
	if (!rc)
		rc = dm_control_begin(d->r, x, TIME_NEVER, err);
	if (rc)
		return rc;
	if (uuid && *d->uuid)
		rc = err_set(err, -EINVAL, "'%s' has a uuid, %s, and keeps it", d->name, d->uuid);
	else
		rc = dm_set_names(d, name, uuid, err);
	dm_control_end(d->r);
	if (!rc)
		dm_event(d);
	return rc;
}
