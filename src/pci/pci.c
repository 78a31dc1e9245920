/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/pci.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMES_MAX 32 /* that a sentence suggests from */

static const char *const driver_keys[] = { PCI_DRIVER_KEYS, NULL };

const struct pci_access *pci_access_find(struct riser *r, const char *scheme)
{
	for (const struct pci_access *const *a = r->registry->accesses; *a; a++)
		if (!strcmp((*a)->scheme, scheme))
			return *a;
	return NULL;
}

static int unknown_scheme(struct riser *r, const char *scheme, struct riser_err *err)
{
	const char *words[SCHEMES_MAX] = { NULL }, *near;
	char list[128] = "";
	size_t len = 0;

	for (unsigned i = 0; i < SCHEMES_MAX - 1 && r->registry->accesses[i]; i++) {
		words[i] = r->registry->accesses[i]->scheme;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, " %s:", words[i]);
	}
	near = parse_nearest(scheme, words);
	if (near)
		return err_set(err, -EINVAL,
			       "'%s:' is no way to a PCI function; did you mean '%s:'?", scheme,
			       near);
	return err_set(err, -EINVAL, "'%s:' is no way to a PCI function; there is:%s", scheme,
		       list);
}

static struct pci_dev *find(struct riser *r, const char *name, bool parked)
{
	list_for_each (d, &r->functions, struct pci_dev, link)
		if (d->parked == parked && !strcmp(d->name, name))
			return d;
	return NULL;
}

int pci_open(struct riser *r, const struct uri *u, struct pci_dev **out, struct riser_err *err)
{
	const struct pci_access *access = pci_access_find(r, u->scheme);
	char *name;
	int rc;

	if (!access)
		return unknown_scheme(r, u->scheme, err);
	name = uri_canonical(u, driver_keys);
	if (!name)
		return err_set(err, -ENOMEM, "no memory for a name");
	*out = find(r, name, true);
	if (*out) {
		(*out)->parked = false;
		free(name);
		return 0;
	}
	rc = access->open(r, u, out, err);
	if (rc) {
		free(name);
		return rc;
	}
	(*out)->name = name;
	(*out)->parked = false;
	(*out)->id = 0;
	list_add(&r->functions, &(*out)->link);
	return 0;
}

void pci_close(struct pci_dev *d)
{
	char *name;

	if (!d)
		return;
	name = d->name;
	if (d->link.next) /* not of what an access alone opened */
		list_del(&d->link);
	d->access->close(d);
	free(name);
}

int pci_look(struct riser *r, const struct uri *u, uint32_t *id, uint32_t *class,
	     struct riser_err *err)
{
	char *name = uri_canonical(u, driver_keys);
	struct pci_dev *d;
	int rc = 0;

	if (!name)
		return err_set(err, -ENOMEM, "no memory for a name");
	pthread_mutex_lock(&r->open_lock);
	d = find(r, name, false);
	if (!d) {
		rc = pci_open(r, u, &d, err);
		if (!rc)
			d->parked = true;
	}
	if (!rc && !d->id &&
	    (d->access->cfg_read(d, PCI_CFG_VENDOR, 4, &d->id) ||
	     d->access->cfg_read(d, PCI_CFG_CLASS, 4, &d->class)))
		d->id = 0;
	if (!rc) {
		*id = d->id;
		*class = d->class >> 8;
	}
	pthread_mutex_unlock(&r->open_lock);
	free(name);
	return rc;
}

void pci_leave(struct riser *r, const struct uri *u)
{
	char *name = uri_canonical(u, driver_keys);

	pthread_mutex_lock(&r->open_lock);
	if (name)
		pci_close(find(r, name, true));
	pthread_mutex_unlock(&r->open_lock);
	free(name);
}

int pci_class(struct pci_dev *d)
{
	uint32_t v;
	int rc = d->access->cfg_read(d, PCI_CFG_CLASS, 4, &v);

	return rc ? rc : (int)(v >> 8);
}

volatile void *pci_map(struct pci_dev *d, unsigned bar, size_t off, size_t len)
{
	volatile void *p;

	if (!d->access->bar_map || d->access->bar_map(d, bar, off, len, &p))
		return NULL;
	return p;
}

unsigned pci_irq_vectors(struct pci_dev *d)
{
	return d->access->irq_vectors ? d->access->irq_vectors(d) : 0;
}

int pci_irq_set(struct pci_dev *d, const int *fds, unsigned n)
{
	return d->access->irq_set ? d->access->irq_set(d, fds, n) : -EOPNOTSUPP;
}

int pci_reset(struct pci_dev *d)
{
	return d->access->reset ? d->access->reset(d) : -EOPNOTSUPP;
}

int pci_reset_poll(struct pci_dev *d)
{
	return d->access->reset_poll ? d->access->reset_poll(d) : -EOPNOTSUPP;
}
