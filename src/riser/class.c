/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a URI may begin with, and what drives a PCI function where a block device or a network port
 * is wanted.
 */
#include "riser/class.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include "blk/source.h"
#include "net/port.h"
#include "pci/pci.h"
#include "publish/publish.h"
#include <errno.h>
#include <riser/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMES_MAX 64

static const char *block_scheme(struct riser *r, unsigned index)
{
	const struct blk_source *const *s = r->registry->sources;
	const struct pci_access *const *a = r->registry->accesses;

	for (; *s; s++)
		if ((*s)->scheme && index-- == 0)
			return (*s)->scheme;
	for (; *a; a++)
		if (index-- == 0)
			return (*a)->scheme;
	return NULL;
}

static const char *access_scheme(struct riser *r, unsigned index)
{
	const struct pci_access *const *a = r->registry->accesses;

	for (; *a; a++)
		if (index-- == 0)
			return (*a)->scheme;
	return NULL;
}

static const char *port_scheme(struct riser *r, unsigned index)
{
	const struct port_ops *const *p = r->registry->ports;
	bool virtio = false;

	for (; *p; p++) {
		virtio |= !(*p)->scheme;
		if ((*p)->scheme && index-- == 0)
			return (*p)->scheme;
	}
	return virtio ? access_scheme(r, index) : NULL;
}

static const char *publisher(struct riser *r, unsigned index)
{
	const struct publish_ops *const *p = r->registry->publishers;

	for (; *p; p++)
		if (index-- == 0)
			return (*p)->name;
	return NULL;
}

const char *riser_schemes(struct riser *r, enum riser_uri_kind kind, unsigned index)
{
	switch (kind) {
	case RISER_URI_BLOCK:
		return block_scheme(r, index);
	case RISER_URI_NVME:
		return access_scheme(r, index);
	case RISER_URI_PUBLISH:
		return publisher(r, index);
	case RISER_URI_PORT:
		return port_scheme(r, index);
	}
	return NULL;
}

static int unknown_scheme(struct riser *r, enum riser_uri_kind kind, const char *scheme,
			  struct riser_err *err)
{
	const char *words[SCHEMES_MAX] = { NULL }, *near;
	char list[128] = "";
	size_t len = 0;

	for (unsigned i = 0; i < SCHEMES_MAX - 1; i++) {
		words[i] = riser_schemes(r, kind, i);
		if (!words[i])
			break;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, " %s:", words[i]);
	}
	near = parse_nearest(scheme, words);
	if (near)
		return err_set(err, -EINVAL, "unknown scheme '%s'; did you mean '%s:'?", scheme,
			       near);
	return err_set(err, -EINVAL, "unknown scheme '%s'; there is:%s", scheme, list);
}

/* May the device lose its data? The way to it says, and what a model's data lies on. */
static int judge(struct riser *r, const struct uri *u, struct riser_blk *b, struct riser_err *err)
{
	char *text = uri_canonical(u, NULL);
	int rc = text ? riser_uri_is_harmless(r, text, &b->harmless, err)
		      : err_set(err, -ENOMEM, "no memory for a URI");

	free(text);
	if (rc)
		blk_put(b);
	return rc;
}

/* Who drives the function; where nobody does, the first, who says why not. NULL: none can be. */
static const struct blk_source *driver_of(struct riser *r, uint32_t id, uint32_t class)
{
	const struct blk_source *first = NULL;

	for (const struct blk_source *const *s = r->registry->sources; *s; s++) {
		if ((*s)->drives && (*s)->drives(id, class))
			return *s;
		if ((*s)->drives && !first)
			first = *s;
	}
	return first;
}

int class_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
	       struct riser_err *err)
{
	const struct blk_source *s;
	uint32_t id, class;
	int rc;

	if (!pci_access_find(r, u->scheme))
		return unknown_scheme(r, RISER_URI_BLOCK, u->scheme, err);
	rc = pci_look(r, u, &id, &class, err);
	if (rc)
		return rc;
	s = driver_of(r, id, class);
	if (s)
		rc = s->open(r, u, flags, out, err);
	else
		rc = err_set(err, -ENODEV, "%s: this build has no block driver for PCI functions",
			     u->scheme);
	pci_leave(r, u);
	return rc ? rc : judge(r, u, *out, err);
}

const struct port_ops *class_port(struct riser *r, const struct uri *u, struct riser_err *err)
{
	const struct port_ops *const *p = r->registry->ports, *virtio = NULL;

	for (; *p; p++) {
		if (!(*p)->scheme)
			virtio = *p;
		else if (!strcmp((*p)->scheme, u->scheme))
			return *p;
	}
	if (virtio && (pci_access_find(r, u->scheme) || !strcmp(u->scheme, "vhost-user")))
		return virtio;
	unknown_scheme(r, RISER_URI_PORT, u->scheme, err);
	return NULL;
}
