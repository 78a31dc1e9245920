/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/sysfs_info.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTION "%s/sys/bus/pci/devices/%s"

int pci_bdf(const char *text, char out[static PCI_BDF_LEN])
{
	const char *shape = "xxxx:xx:xx.o";
	char *o = out;

	if (strlen(text) == strlen("xx:xx.o"))
		o = stpcpy(out, "0000:");
	for (const char *q = shape + (o - out); *q; q++, text++) {
		bool right = *q == 'x'   ? isxdigit((unsigned char)*text)
			     : *q == 'o' ? *text >= '0' && *text <= '7'
					 : *text == *q;

		if (!right)
			return -EINVAL;
		*o++ = (char)tolower((unsigned char)*text);
	}
	*o = 0;
	return *text ? -EINVAL : 0;
}

/* The last component of where a link points; "" where there is none. */
static __attribute__((format(printf, 3, 4))) void link_name(char *out, size_t len, const char *fmt,
							    ...)
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *slash;
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	n = readlink(path, to, sizeof(to) - 1);
	to[n < 0 ? 0 : n] = 0;
	slash = strrchr(to, '/');
	snprintf(out, len, "%.*s", (int)len - 1, slash ? slash + 1 : to);
}

bool pci_sysfs_there(const char *root, const char *bdf)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), FUNCTION, root, bdf);
	return !access(path, F_OK);
}

void pci_sysfs_driver(const char *root, const char *bdf, char out[static PCI_NAME_LEN])
{
	link_name(out, PCI_NAME_LEN, FUNCTION "/driver", root, bdf);
}

int pci_sysfs_group(const char *root, const char *bdf)
{
	char name[PCI_NAME_LEN];

	link_name(name, sizeof(name), FUNCTION "/iommu_group", root, bdf);
	return isdigit((unsigned char)*name) ? atoi(name) : -ENOENT;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/*
 * The names in a directory that begin with a digit or with @prefix, sorted. Return: how many there
 * are; at most @max are filled, each @len long.
 */
static unsigned names(const char *path, const char *prefix, char *out, size_t len, unsigned max)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir))) {
		if (prefix ? strncmp(e->d_name, prefix, strlen(prefix)) != 0
			   : !isxdigit((unsigned char)*e->d_name))
			continue;
		if (n < max)
			snprintf(out + n * len, len, "%.*s", (int)len - 1, e->d_name);
		n++;
	}
	if (dir)
		closedir(dir);
	if (n > 1)
		qsort(out, n < max ? n : max, len, by_name);
	return n;
}

bool pci_sysfs_vfio_node(const char *root, const char *bdf, char out[static PCI_NAME_LEN])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), FUNCTION "/vfio-dev", root, bdf);
	return names(path, "vfio", out, PCI_NAME_LEN, 1) > 0;
}

unsigned pci_sysfs_members(const char *root, int group, char (*out)[PCI_BDF_LEN], unsigned max)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/devices", root, group);
	return names(path, NULL, *out, PCI_BDF_LEN, max);
}

/* Does a process have @path open? @dir is its /proc/PID/fd. */
static bool holds(const char *dir, const char *path)
{
	DIR *fds = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (fds && !found && (e = readdir(fds))) {
		char name[PATH_MAX + 256], to[PATH_MAX];
		ssize_t n;

		snprintf(name, sizeof(name), "%s/%s", dir, e->d_name);
		n = readlink(name, to, sizeof(to) - 1);
		to[n < 0 ? 0 : n] = 0;
		found = !strcmp(to, path);
	}
	if (fds)
		closedir(fds);
	return found;
}

int pci_sysfs_holder(const char *root, const char *path, char comm[static PCI_NAME_LEN])
{
	char name[PATH_MAX];
	struct dirent *e;
	DIR *proc;
	FILE *f;
	int pid = 0;

	snprintf(name, sizeof(name), "%s/proc", root);
	proc = opendir(name);
	while (proc && !pid && (e = readdir(proc))) {
		if (!isdigit((unsigned char)*e->d_name))
			continue;
		snprintf(name, sizeof(name), "%s/proc/%.16s/fd", root, e->d_name);
		if (holds(name, path))
			pid = atoi(e->d_name);
	}
	if (proc)
		closedir(proc);
	*comm = 0;
	snprintf(name, sizeof(name), "%s/proc/%d/comm", root, pid);
	f = pid ? fopen(name, "re") : NULL;
	if (f && !fgets(comm, PCI_NAME_LEN, f))
		*comm = 0;
	if (f)
		fclose(f);
	comm[strcspn(comm, "\n")] = 0;
	return pid;
}
