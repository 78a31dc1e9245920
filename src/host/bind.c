/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Functions handed out and given back.
 *
 * Only driver_override leads a function to vfio-pci: new_id would take every other card of the
 * same kind along. The order is unbind, override, probe: what is bound keeps its driver however
 * the override reads, and between the steps no driver can come in on its own.
 *
 * /run/riser/bind/BDF holds the name of the former driver, until the function is given back; a
 * second copy in /var/lib lasts as long as the service that repeats a persistent binding, and names
 * it. Neither is needed: without, the kernel is asked to choose.
 */
#include "base/err.h"
#include "base/util.h"
#include "host/plan.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_DIR  "/run/riser/bind"
#define LIB_DIR  "/var/lib/riser/bind"
#define UNIT_DIR "/etc/systemd/system"
#define WANTS    UNIT_DIR "/multi-user.target.wants"
#define TYPE1    "vfio_iommu_type1"
#define USES_MAX 8

struct record {
	char driver[32];
	char unit[64]; /* the service that repeats it, or "" */
};

static void read_record(const struct riser_host *h, const char *bdf, struct record *r)
{
	char line[HOST_LINE];

	memset(r, 0, sizeof(*r));
	if (host_line(h, line, sizeof(line), LIB_DIR "/%s", bdf))
		sscanf(line, "%31s %63s", r->driver, r->unit);
	if (host_line(h, line, sizeof(line), RUN_DIR "/%s", bdf))
		sscanf(line, "%31s", r->driver);
	/* The name becomes part of paths. */
	if (strchr(r->driver, '/') || strchr(r->unit, '/'))
		memset(r, 0, sizeof(*r));
}

int plan_check_unused(struct riser_host *h, const char *bdf, struct riser_err *err)
{
	struct riser_host_use use[USES_MAX];
	char text[HOST_LINE], more[32] = "";
	unsigned n = riser_host_uses(h, bdf, use, USES_MAX);

	if (!n)
		return 0;
	if (n > 1)
		snprintf(more, sizeof(more), ", and %u use%s more", n - 1, n > 2 ? "s" : "");
	return err_set(err, -EBUSY, "%s is in use: %s%s", bdf,
		       riser_host_use_text(&use[0], text, sizeof(text)), more);
}

static bool is_taken_along(const struct riser_host_plan *p, const char *bdf)
{
	for (unsigned i = 0; i < p->n; i++)
		if (!strcmp(p->was[i].bdf, bdf))
			return true;
	return false;
}

/* A group goes to user space as a whole or not at all. */
static int check_group(const struct riser_host_plan *p, const struct riser_host_pci *f,
		       struct riser_err *err)
{
	struct riser_host_pci member[HOST_MEMBERS];
	char others[HOST_LINE] = "", along[HOST_LINE] = "";
	size_t len = 0, alen = 0;
	unsigned n;

	if (f->iommu_group < 0)
		return err_set(err, -EOPNOTSUPP,
			       "%s is behind no IOMMU, so that vfio-pci cannot have it: riser "
			       "doctor says how to switch one on; without, 'riser unbind %s' and "
			       "sysfs:%s is a way that protects nothing",
			       f->bdf, f->bdf, f->bdf);
	n = riser_host_group_list(p->h, f->iommu_group, member, HOST_MEMBERS);
	for (unsigned i = 0; i < n && i < HOST_MEMBERS; i++) {
		const struct riser_host_pci *m = &member[i];

		if (!riser_host_is_in_the_way(m) || is_taken_along(p, m->bdf) ||
		    len >= sizeof(others) || alen >= sizeof(along))
			continue;
		len += (size_t)snprintf(others + len, sizeof(others) - len, "%s%s (%s)",
					len ? ", " : "", m->bdf, m->driver);
		alen += (size_t)snprintf(along + alen, sizeof(along) - alen, " %s", m->bdf);
	}
	if (!len)
		return 0;
	return err_set(err, -EBUSY,
		       "%s shares IOMMU group %d with %s, which drivers of the kernel have: bind "
		       "them together (riser bind %s%s), or take those away (riser unbind%s)",
		       f->bdf, f->iommu_group, others, f->bdf, along, along);
}

static void add_leave(struct riser_host_plan *p, unsigned dev, const char *driver)
{
	const char *bdf = p->was[dev].bdf;

	if (!*driver)
		return;
	/* Again: since the plan was made, it may have been mounted, or opened. */
	plan_add(p, STEP_UNUSED, dev, "", "%s", bdf);
	plan_add(p, STEP_WRITE, dev, bdf, HOST_DRIVERS "/%s/unbind", driver);
	plan_add(p, STEP_EXPECT, dev, "", "%s", bdf);
}

/* What is there and is no more than leaving vfio-pci is not worth recording. */
static void add_record(struct riser_host_plan *p, unsigned dev, const char *unit)
{
	const struct riser_host_pci *f = &p->was[dev];
	struct record r;
	char line[HOST_LINE];

	read_record(p->h, f->bdf, &r);
	if (*f->driver && strncmp(f->driver, "vfio", 4))
		snprintf(r.driver, sizeof(r.driver), "%s", f->driver);
	if (!*r.driver && !unit)
		return;
	snprintf(line, sizeof(line), "%s\n", *r.driver ? r.driver : "-");
	plan_add(p, STEP_RECORD, dev, line, RUN_DIR "/%s", f->bdf);
	if (!unit)
		return;
	snprintf(line, sizeof(line), "%s %s\n", *r.driver ? r.driver : "-", unit);
	plan_add(p, STEP_RECORD, dev, line, LIB_DIR "/%s", f->bdf);
}

/* A service, not a rule of udev's: it comes after the mounts, so that what they need is refused. */
static void add_unit(struct riser_host_plan *p, const char *unit, const char *command)
{
	static const char head[] = "# Written by riser bind --persist; riser restore removes it.\n"
				   "[Unit]\n"
				   "Description=Hand %s to vfio-pci\n\n"
				   "[Service]\n"
				   "Type=oneshot\n"
				   "RemainAfterExit=yes\n";
	size_t room = sizeof(head) + 200 + p->n * 120 + strlen(command), len;
	char *text = malloc(room), target[96];

	if (!text) {
		p->lost = true;
		return;
	}
	len = (size_t)snprintf(text, room, head, p->was[0].bdf);
	/* Addresses move when cards do. */
	for (unsigned i = 0; i < p->n; i++)
		len += (size_t)snprintf(text + len, room - len,
					"ExecCondition=grep -qx PCI_ID=%04X:%04X " HOST_PCI
					"/%s/uevent\n",
					p->was[i].vendor, p->was[i].device, p->was[i].bdf);
	snprintf(text + len, room - len, "ExecStart=%s\n\n[Install]\nWantedBy=multi-user.target\n",
		 command);
	plan_add(p, STEP_CREATE, 0, text, UNIT_DIR "/%s", unit);
	snprintf(target, sizeof(target), "../%s", unit);
	plan_add(p, STEP_LINK, 0, target, WANTS "/%s", unit);
	free(text);
}

static void add_bind(struct riser_host_plan *p, unsigned dev, const char *unit)
{
	const struct riser_host_pci *f = &p->was[dev];

	add_record(p, dev, unit);
	if (!strcmp(f->driver, HOST_VFIO))
		return;
	add_leave(p, dev, f->driver);
	plan_add(p, STEP_WRITE, dev, HOST_VFIO, HOST_PCI "/%s/driver_override", f->bdf);
	plan_add(p, STEP_WRITE, dev, f->bdf, HOST_PROBE);
	plan_add(p, STEP_EXPECT, dev, HOST_VFIO, "%s", f->bdf);
}

static void add_owner(struct riser_host_plan *p, const struct riser_host_bind *o)
{
	char value[64], user[16] = "", group[16] = "";

	p->uid = o->uid;
	p->gid = o->gid;
	if (o->uid != UINT32_MAX)
		snprintf(user, sizeof(user), "%u", o->uid);
	if (o->gid != UINT32_MAX)
		snprintf(group, sizeof(group), "%u", o->gid);
	snprintf(value, sizeof(value), "%s:%s", user, group);
	for (unsigned i = 0; i < p->n; i++) {
		bool again = false;

		for (unsigned k = 0; k < i; k++)
			again |= p->was[k].iommu_group == p->was[i].iommu_group;
		if (!again)
			plan_add(p, STEP_OWN, i, value, "/dev/vfio/%d", p->was[i].iommu_group);
	}
}

static int check_persist(const struct riser_host *h, struct riser_err *err)
{
	if (host_exists(h, "/run/systemd/system"))
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "--persist writes a service for systemd, which does not run here: put the "
		       "same line without it into a script that runs at the start");
}

int riser_host_plan_bind(struct riser_host *h, const char *const *bdf, unsigned n,
			 const struct riser_host_bind *o, struct riser_host_plan **out,
			 struct riser_err *err)
{
	const char *persist = o ? o->persist : NULL;
	struct riser_host_plan *p;
	char unit[64];
	int rc = plan_new(h, bdf, n, &p, err);

	if (rc)
		return rc;
	p->takes_back = true;
	for (unsigned i = 0; !rc && i < n; i++) {
		if (strcmp(p->was[i].driver, HOST_VFIO))
			rc = plan_check_unused(h, p->was[i].bdf, err);
		if (!rc)
			rc = check_group(p, &p->was[i], err);
	}
	if (!rc && persist)
		rc = check_persist(h, err);
	if (rc) {
		riser_host_plan_free(p);
		return rc;
	}
	snprintf(unit, sizeof(unit), "riser-bind-%s.service", p->was[0].bdf);
	plan_add(p, STEP_LOAD, 0, "", HOST_VFIO);
	plan_add(p, STEP_LOAD, 0, "", TYPE1);
	for (unsigned i = 0; i < n; i++)
		add_bind(p, i, persist ? unit : NULL);
	if (o && o->set_owner)
		add_owner(p, o);
	if (persist)
		add_unit(p, unit, persist);
	*out = p;
	return 0;
}

int riser_host_plan_unbind(struct riser_host *h, const char *const *bdf, unsigned n,
			   struct riser_host_plan **out, struct riser_err *err)
{
	struct riser_host_plan *p;
	int rc = plan_new(h, bdf, n, &p, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < n; i++) {
		const struct riser_host_pci *f = &p->was[i];

		rc = plan_check_unused(h, f->bdf, err);
		if (rc) {
			riser_host_plan_free(p);
			return rc;
		}
		if (*f->driver)
			add_record(p, i, NULL);
		add_leave(p, i, f->driver);
		if (*f->driver_override)
			plan_add(p, STEP_WRITE, i, "", HOST_PCI "/%s/driver_override", f->bdf);
	}
	p->takes_back = true;
	*out = p;
	return 0;
}

/* Stop what a program may have left running on a function that it had to itself. */
static void add_reset(struct riser_host_plan *p, unsigned dev)
{
	char path[64];
	struct step *s;

	snprintf(path, sizeof(path), HOST_PCI "/%s/reset", p->was[dev].bdf);
	if (!host_exists(p->h, path))
		return;
	s = plan_add(p, STEP_RESET, dev, "1", "%s", path);
	if (s)
		s->optional = true;
}

/* The driver may have been unloaded since. */
static void add_driver(struct riser_host_plan *p, unsigned dev, const char *driver)
{
	char alias[HOST_LINE];
	struct step *s;

	if (driver)
		s = plan_add(p, STEP_LOAD, dev, "", "%s", driver);
	else if (host_line(p->h, alias, sizeof(alias), HOST_PCI "/%s/modalias", p->was[dev].bdf))
		s = plan_add(p, STEP_LOAD, dev, "", "%s", alias);
	else
		return;
	if (s)
		s->optional = true;
}

void plan_add_return(struct riser_host_plan *p, unsigned dev, const char *driver,
		     const char *override)
{
	const struct riser_host_pci *f = &p->was[dev];
	bool ours = !strncmp(f->driver, "vfio", 4);
	bool settled = driver ? !strcmp(f->driver, driver) : *f->driver && !ours;

	if (!settled)
		add_leave(p, dev, f->driver);
	if (strcmp(f->driver_override, override))
		plan_add(p, STEP_WRITE, dev, override, HOST_PCI "/%s/driver_override", f->bdf);
	if (settled || (driver && !*driver))
		return;
	if (ours || !*f->driver)
		add_reset(p, dev);
	add_driver(p, dev, driver);
	plan_add(p, STEP_WRITE, dev, f->bdf, HOST_PROBE);
	plan_add(p, STEP_EXPECT, dev, driver ? driver : PLAN_ANY, "%s", f->bdf);
}

static void add_forget(struct riser_host_plan *p, unsigned dev, const char *unit)
{
	static const char *const dirs[] = { RUN_DIR, LIB_DIR };
	char path[128];

	if (*unit) {
		plan_add(p, STEP_REMOVE, dev, "", WANTS "/%s", unit);
		plan_add(p, STEP_REMOVE, dev, "", UNIT_DIR "/%s", unit);
	}
	for (size_t i = 0; i < array_len(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], p->was[dev].bdf);
		if (host_exists(p->h, path))
			plan_add(p, STEP_REMOVE, dev, "", "%s", path);
	}
}

int riser_host_plan_restore(struct riser_host *h, const char *const *bdf, unsigned n,
			    struct riser_host_plan **out, struct riser_err *err)
{
	struct riser_host_plan *p;
	int rc = plan_new(h, bdf, n, &p, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < n; i++) {
		const struct riser_host_pci *f = &p->was[i];
		bool ours = !*f->driver || !strncmp(f->driver, "vfio", 4);
		struct record r;

		if (ours)
			rc = plan_check_unused(h, f->bdf, err);
		if (rc) {
			riser_host_plan_free(p);
			return rc;
		}
		read_record(h, f->bdf, &r);
		if (!strcmp(r.driver, "-"))
			*r.driver = 0;
		plan_add_return(p, i, ours && *r.driver ? r.driver : NULL, "");
		if (ours && *f->kind && strcmp(f->kind, "virtio-net"))
			plan_add(p, STEP_WAIT, i, "", "%s", f->bdf);
		add_forget(p, i, r.unit);
	}
	*out = p;
	return 0;
}

int riser_host_restore(struct riser_host *h, const char *bdf, struct riser_err *err)
{
	struct riser_host_plan *p;
	int rc = riser_host_plan_restore(h, &bdf, 1, &p, err);

	if (rc)
		return rc;
	rc = riser_host_plan_run(p, err);
	riser_host_plan_free(p);
	return rc;
}
