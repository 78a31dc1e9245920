/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What stands between a user and a function, in one sentence that ends with the remedy. */
#include "base/err.h"
#include "pci/access/vfio.h"
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN    64
#define NAME_ROOM   4096
#define MEMBERS_MAX 8 /* of a group, named in a sentence */

static void user_name(uid_t uid, char out[static NAME_LEN])
{
	char room[NAME_ROOM];
	struct passwd pw, *found = NULL;

	if (getpwuid_r(uid, &pw, room, sizeof(room), &found) || !found)
		snprintf(out, NAME_LEN, "%u", uid);
	else
		snprintf(out, NAME_LEN, "%.*s", NAME_LEN - 1, pw.pw_name);
}

static void group_name(gid_t gid, char out[static NAME_LEN])
{
	char room[NAME_ROOM];
	struct group gr, *found = NULL;

	if (getgrgid_r(gid, &gr, room, sizeof(room), &found) || !found)
		snprintf(out, NAME_LEN, "%u", gid);
	else
		snprintf(out, NAME_LEN, "%.*s", NAME_LEN - 1, gr.gr_name);
}

int vfio_why_not(const struct vfio_sys *sys, const char *bdf, int *group, struct riser_err *err)
{
	char driver[PCI_NAME_LEN];

	if (!pci_sysfs_there(sys->root, bdf))
		return err_set(err, -ENODEV, "there is no PCI function %s: 'riser list' shows them",
			       bdf);
	*group = pci_sysfs_group(sys->root, bdf);
	if (*group < 0)
		return err_set(
			err, -ENODEV,
			"%s is in no IOMMU group, and without an IOMMU nothing keeps a device "
			"from other memory: switch it on in the firmware (VT-d, AMD-Vi), and "
			"on Intel's machines with intel_iommu=on on the kernel's command line",
			bdf);
	pci_sysfs_driver(sys->root, bdf, driver);
	/* vfio-pci, or one of its relatives, such as mlx5_vfio_pci. */
	if (!strstr(driver, "vfio"))
		return err_set(err, -EBUSY,
			       "%s is bound to %s, not to vfio-pci: as root, riser bind %s", bdf,
			       *driver ? driver : "no driver", bdf);
	return 0;
}

static int no_permission(const struct vfio_dev *v, const char *node, int rc, struct riser_err *err)
{
	char path[PATH_MAX], me[NAME_LEN], owner[NAME_LEN], group[NAME_LEN];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", v->sys->root, node);
	user_name(geteuid(), me);
	if (stat(path, &st))
		memset(&st, 0, sizeof(st));
	user_name(st.st_uid, owner);
	group_name(st.st_gid, group);
	return err_set(
		err, rc,
		"%s is %s:%s's with mode %04o, and %s may not open it%s: as root, riser bind %s "
		"--user %s",
		node, owner, group, st.st_mode & 07777, me,
		rc == -EPERM ? " (in a container, it has to be passed in)" : "", v->bdf, me);
}

static int is_busy(const struct vfio_dev *v, const char *node, struct riser_err *err)
{
	char comm[PCI_NAME_LEN];
	int pid = pci_sysfs_holder(v->sys->root, node, comm);

	if (!pid)
		return err_set(err, -EBUSY,
			       "%s is in use: %s is held by a process that only root can see",
			       v->bdf, node);
	return err_set(err, -EBUSY, "%s is in use: %s is held by %s%s, pid %d", v->bdf, node,
		       pid == getpid() ? "another context of this process, " : "", comm, pid);
}

int vfio_why_node(const struct vfio_dev *v, const char *node, int rc, struct riser_err *err)
{
	switch (rc) {
	case -EACCES:
	case -EPERM:
		return no_permission(v, node, rc, err);
	case -EBUSY:
		return is_busy(v, node, err);
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return err_set(err, -ENODEV,
			       "%s: there is no %s: as root, modprobe vfio-pci and riser bind %s",
			       v->bdf, node, v->bdf);
	default:
		return err_set(err, rc, "%s: %s: %s", v->bdf, node, strerror(-rc));
	}
}

int vfio_why_viable(const struct vfio_dev *v, int group, struct riser_err *err)
{
	char members[MEMBERS_MAX][PCI_BDF_LEN], driver[PCI_NAME_LEN], list[RISER_ERR_TEXT / 2];
	unsigned n = pci_sysfs_members(v->sys->root, group, members, MEMBERS_MAX);
	size_t len = 0;

	*list = 0;
	for (unsigned i = 0; i < n && i < MEMBERS_MAX && len < sizeof(list); i++) {
		pci_sysfs_driver(v->sys->root, members[i], driver);
		len += (size_t)snprintf(list + len, sizeof(list) - len, " %s (%s)", members[i],
					*driver ? driver : "no driver");
	}
	return err_set(
		err, -EBUSY,
		"%s: IOMMU group %d can only be had as a whole, and a kernel driver has some of "
		"it:%s%s: as root, riser bind them all",
		v->bdf, group, list, n > MEMBERS_MAX ? " ..." : "");
}

/* What to allow, so that the next buffer is no surprise again: twice what is needed, 64 MiB. */
static uint64_t generous(uint64_t all)
{
	uint64_t allow = 64 * MiB;

	while (allow < 2 * all)
		allow *= 2;
	return allow;
}

int vfio_why_map(const struct vfio_dev *v, size_t len, uint64_t all, int rc, struct riser_err *err)
{
	struct rlimit limit = { 0 };
	char me[NAME_LEN];
	uint64_t allow = generous(all);

	if (rc == -ENOSPC)
		return err_set(err, rc,
			       "%s: no mapping is left for %zu bytes: register fewer and larger "
			       "regions, or raise vfio_iommu_type1's parameter dma_entry_limit",
			       v->bdf, len);
	if (rc != -ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur >= all)
		return err_set(err, rc, "%s: %zu bytes cannot be mapped for it: %s", v->bdf, len,
			       strerror(-rc));
	user_name(geteuid(), me);
	return err_set(
		err, rc,
		"%s: %llu KiB have to be locked in memory, and the limit (RLIMIT_MEMLOCK) is "
		"%llu KiB: as root, write the line '%s - memlock %llu' into "
		"/etc/security/limits.d/riser.conf, and log in anew (in a service, "
		"LimitMEMLOCK=%lluM)",
		v->bdf, (unsigned long long)(all / KiB), (unsigned long long)(limit.rlim_cur / KiB),
		me, (unsigned long long)(allow / KiB), (unsigned long long)(allow / MiB));
}
