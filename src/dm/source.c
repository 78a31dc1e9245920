/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The URIs of mapped devices.
 *
 *	dm:NAME		one that riser_dm_create() made in this context
 *	table:TEXT	one without a name, made of the table
 *	table:@FILE	the same, the table read from a file
 */
#include "base/err.h"
#include "base/uri.h"
#include "dm/dm.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX (1u << 30)
#define DEPTH_MAX 100 /* of tables in tables; each level costs stack */

/* A table that a thread is opening, and with it those that it names. */
struct opening {
	struct list link; /* in struct riser.dm.opening */
	pthread_t thread;
	const char *rest;
};

/* A file with a table may name itself. */
static int enter(struct riser *r, struct opening *o, struct riser_err *err)
{
	unsigned depth = 0;
	bool loops = false;

	o->thread = pthread_self();
	pthread_mutex_lock(&r->lock);
	list_for_each (other, &r->dm.opening, struct opening, link) {
		if (!pthread_equal(other->thread, o->thread))
			continue;
		depth++;
		loops |= !strcmp(other->rest, o->rest);
	}
	if (!loops && depth < DEPTH_MAX)
		list_add_tail(&r->dm.opening, &o->link);
	pthread_mutex_unlock(&r->lock);
	if (loops)
		return err_set(err, -ELOOP, "table:%s would contain itself", o->rest);
	if (depth == DEPTH_MAX)
		return err_set(err, -ELOOP, "more than %d tables in tables", DEPTH_MAX);
	return 0;
}

static void leave(struct riser *r, struct opening *o)
{
	pthread_mutex_lock(&r->lock);
	list_del(&o->link);
	pthread_mutex_unlock(&r->lock);
}

/* A device without a name, with a live table. */
static int open_table(struct riser *r, const char *text, uint32_t flags, struct riser_blk **out,
		      struct riser_err *err)
{
	struct riser_dm_where where;
	struct riser_dm *d;
	int rc = dm_new(r, NULL, NULL, flags & RISER_BLK_RDWR ? 0 : RISER_DM_READONLY, &d, err);

	if (rc)
		return rc;
	rc = riser_dm_load(d, NULL, text, &where, err);
	if (rc == -EINVAL)
		rc = -EBADMSG; /* the URI was understood */
	if (rc && where.line)
		err_prefix(err, rc, "table: line %u, column %u", where.line, where.column);
	if (!rc)
		rc = riser_dm_resume(d, NULL, TIME_NEVER, err);
	if (rc) {
		blk_put(d->b);
		return rc;
	}
	*out = d->b;
	return 0;
}

static int read_file(const char *path, char **out, struct riser_err *err)
{
	struct riser_text t = { 0 };
	FILE *f = fopen(path, "r");
	char buf[4096];
	size_t n;
	int rc = 0;

	if (!f)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	while (!rc && (n = fread(buf, 1, sizeof(buf), f))) {
		riser_text_add(&t, "%.*s", (int)n, buf);
		if (memchr(buf, 0, n))
			rc = err_set(err, -EBADMSG, "%s is not readable text", path);
		else if (t.failed || t.len > TABLE_MAX)
			rc = err_set(err, t.failed ? -ENOMEM : -EFBIG, "%s is too large", path);
	}
	if (!rc && ferror(f))
		rc = err_set(err, -EIO, "%s cannot be read", path);
	fclose(f);
	if (!rc && !t.text)
		rc = err_set(err, -EBADMSG, "%s is empty", path);
	if (rc)
		free(t.text);
	else
		*out = t.text;
	return rc;
}

static int table_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		      struct riser_err *err)
{
	static const char *const none[] = { NULL };
	struct opening o = { .rest = u->rest };
	char *text = NULL;
	int rc = uri_check_keys(u, none, err);

	if (!rc)
		rc = enter(r, &o, err);
	if (rc)
		return rc;
	if (u->rest[0] == '@')
		rc = read_file(u->rest + 1, &text, err);
	if (!rc)
		rc = open_table(r, text ? text : u->rest, flags, out, err);
	free(text);
	leave(r, &o);
	return rc;
}

const struct blk_source source_table = {
	.size = sizeof(source_table),
	.scheme = "table",
	.example = "table:@FILE",
	.open = table_open,
};

static int name_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		     struct riser_err *err)
{
	static const char *const none[] = { NULL };
	struct riser_dm *d;
	char line[64 + RISER_DM_NAME_MAX];
	int rc = uri_check_keys(u, none, err);

	if (rc)
		return rc;
	d = dm_open(r, u->rest);
	if (!d)
		return err_set(err, -ENODEV, "no mapped device '%s' in this process", u->rest);
	if (flags & RISER_BLK_RDWR && d->b->read_only) {
		blk_put(d->b);
		return err_set(err, -EACCES, "mapped device '%s' is read-only", u->rest);
	}
	if (flags & RISER_BLK_RDWR || d->b->read_only) {
		*out = d->b;
		return 0;
	}
	/* A device of the reader's own, so that the shared one stays writable. */
	snprintf(line, sizeof(line), "0 %llu linear dm:%s 0", (unsigned long long)d->b->sectors,
		 u->rest);
	rc = open_table(r, line, flags, out, err);
	blk_put(d->b);
	return rc;
}

const struct blk_source source_dm = {
	.size = sizeof(source_dm),
	.scheme = "dm",
	.example = "dm:NAME",
	.open = name_open,
};
