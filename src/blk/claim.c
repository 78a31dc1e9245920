/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Exclusive claims: a device that is open for writing is claimed in the context, by what it is
 * (riser_blk.identity) and not by what it was called. One user has it, or any number of openers
 * with one holder: the tables of mapped devices, which may lie on one device together. Who only
 * reads claims nothing and is never refused.
 *
 * A file is claimed among processes too, by a lock on one byte of it that belongs to the open
 * file description and ends with it. The byte is one that QEMU, which locks from 100 and from 200
 * on, leaves alone. Locks are advisory: programs that do not look for this one are not kept out.
 */
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_BYTE 300

/**
 * struct blk_claim - what somebody writes to; under struct riser.claim_lock
 * @identity: of the device
 * @uri: as its first opener called it
 * @holder: NULL: a user, who shares with nobody
 * @fd: keeps the lock of a file, whichever of the sharers closes first; -1: none
 */
struct blk_claim {
	struct list link; /* in struct riser.claims */
	char *identity, *uri;
	const void *holder;
	unsigned refs;
	int fd;
};

#ifdef F_OFD_SETLK
/* Return: 0; -EBUSY; 0 too where the file system has no locks. */
static int lock_file(int fd, const char *uri, struct riser_err *err)
{
	struct flock l = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1
	};

	if (!fcntl(fd, F_OFD_SETLK, &l) || (errno != EAGAIN && errno != EACCES))
		return 0;
	if (!fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK && l.l_pid > 0)
		return err_set(
			err, -EBUSY,
			"%s is held by pid %ld, which may write to it: end that one first, or "
			"open it read-only",
			uri, (long)l.l_pid);
	return err_set(err, -EBUSY,
		       "%s is held by another riser process, which may write to it: end that one "
		       "first, or open it read-only",
		       uri);
}
#else
static int lock_file(int fd, const char *uri, struct riser_err *err)
{
	return 0;
}
#endif

static void claim_free(struct blk_claim *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->identity);
	free(c->uri);
	free(c);
}

static int claim_new(const struct riser_blk *b, const char *uri, const void *holder,
		     struct blk_claim **out, struct riser_err *err)
{
	struct blk_claim *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return err_set(err, -ENOMEM, "no memory for a claim");
	c->fd = -1;
	c->refs = 1;
	c->holder = holder;
	c->identity = strdup(b->identity);
	c->uri = strdup(uri);
	if (!c->identity || !c->uri)
		rc = err_set(err, -ENOMEM, "no memory for a claim");
	if (!rc && b->lock_fd >= 0) {
		rc = lock_file(b->lock_fd, uri, err);
		if (!rc)
			c->fd = fcntl(b->lock_fd, F_DUPFD_CLOEXEC, 0);
		if (!rc && c->fd < 0)
			rc = err_set(err, -errno, "no descriptor for the lock of %s", uri);
	}
	if (rc)
		claim_free(c);
	else
		*out = c;
	return rc;
}

static struct blk_claim *find(struct riser *r, const char *identity)
{
	list_for_each (c, &r->claims, struct blk_claim, link)
		if (!strcmp(c->identity, identity))
			return c;
	return NULL;
}

int blk_claim(struct riser_blk *b, const char *uri, const void *holder, struct riser_err *err)
{
	struct riser *r = b->r;
	struct blk_claim *c;
	int rc = 0;

	if (!b->identity)
		return 0;
	pthread_mutex_lock(&r->claim_lock);
	c = find(r, b->identity);
	if (!c) {
		rc = claim_new(b, uri, holder, &c, err);
		if (!rc)
			list_add(&r->claims, &c->link);
	} else if (holder && c->holder == holder) {
		c->refs++;
	} else {
		rc = err_set(err, -EBUSY,
			     "%s is open for writing already, by %s that opened %s: close that "
			     "first, or open one of the two read-only",
			     uri, c->holder ? "a mapped device" : "somebody in this process",
			     c->uri);
	}
	if (!rc)
		b->claim = c;
	pthread_mutex_unlock(&r->claim_lock);
	return rc;
}

void blk_claim_end(struct riser_blk *b)
{
	struct blk_claim *c = b->claim;

	if (!c)
		return;
	pthread_mutex_lock(&b->r->claim_lock);
	if (!--c->refs) {
		list_del(&c->link);
		claim_free(c);
	}
	pthread_mutex_unlock(&b->r->claim_lock);
}
