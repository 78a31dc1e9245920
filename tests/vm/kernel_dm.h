/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The kernel's device mapper by its ioctls, as dmsetup calls them but without a process for each.
 * Tables and status are text of riser's form: "start len target arguments" a line.
 */
#ifndef TESTS_VM_KERNEL_DM_H
#define TESTS_VM_KERNEL_DM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define KDM_TEXT 65536

/* An ioctl's argument: the header and what follows it. */
union kdm_call {
	struct dm_ioctl head;
	char bytes[KDM_TEXT];
};

struct kdm {
	int control;
	union kdm_call call;
};

static inline char *kdm_data(struct kdm *k)
{
	return k->call.bytes + sizeof(k->call.head);
}

static inline void kdm_begin(struct kdm *k, const char *name)
{
	memset(&k->call, 0, sizeof(k->call));
	k->call.head.version[0] = DM_VERSION_MAJOR;
	k->call.head.data_size = sizeof(k->call);
	k->call.head.data_start = sizeof(k->call.head);
	snprintf(k->call.head.name, sizeof(k->call.head.name), "%s", name);
}

static inline int kdm_do(struct kdm *k, unsigned long command)
{
	return ioctl(k->control, command, &k->call) ? -errno : 0;
}

static inline int kdm_open(struct kdm *k)
{
	k->control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	return k->control < 0 ? -errno : 0;
}

/* One line of a table behind those that the call has already. */
static inline int kdm_line(struct kdm *k, const char *line, size_t *used)
{
	struct dm_target_spec spec = { 0 };
	unsigned long long start, len;
	int args = 0;
	size_t room;

	if (sscanf(line, "%llu %llu %15s %n", &start, &len, spec.target_type, &args) != 3)
		return -EINVAL;
	line += args;
	room = sizeof(spec) + strlen(line) + 1;
	room = (room + 7) & ~(size_t)7;
	if (*used + room > sizeof(k->call) - sizeof(k->call.head))
		return -E2BIG;
	spec.sector_start = start;
	spec.length = len;
	spec.next = (uint32_t)room;
	memcpy(kdm_data(k) + *used, &spec, sizeof(spec));
	strcpy(kdm_data(k) + *used + sizeof(spec), line);
	*used += room;
	k->call.head.target_count++;
	return 0;
}

static inline int kdm_remove(struct kdm *k, const char *name)
{
	int rc = -EBUSY;

	for (int i = 0; i < 100 && rc == -EBUSY; i++) {
		kdm_begin(k, name);
		rc = kdm_do(k, DM_DEV_REMOVE);
		if (rc == -EBUSY)
			usleep(10000);
	}
	return rc;
}

static inline int kdm_load(struct kdm *k, const char *name, const char *table)
{
	char text[KDM_TEXT], *next = text;
	size_t used = 0;
	int rc = 0;

	snprintf(text, sizeof(text), "%s", table);
	kdm_begin(k, name);
	while (!rc && next && *next) {
		char *line = strsep(&next, "\n");

		rc = kdm_line(k, line, &used);
	}
	return rc ? rc : kdm_do(k, DM_TABLE_LOAD);
}

/* A device with a live table; @out is its number. */
static inline int kdm_create(struct kdm *k, const char *name, const char *table, dev_t *out)
{
	int rc;

	kdm_begin(k, name);
	rc = kdm_do(k, DM_DEV_CREATE);
	if (rc)
		return rc;
	*out = makedev((unsigned)(k->call.head.dev >> 8 & 0xfff),
		       (unsigned)((k->call.head.dev & 0xff) | (k->call.head.dev >> 12 & 0xfff00)));
	rc = kdm_load(k, name, table);
	if (!rc) {
		kdm_begin(k, name);
		rc = kdm_do(k, DM_DEV_SUSPEND); /* without its flag: resume */
	}
	if (rc)
		kdm_remove(k, name);
	return rc;
}

/* The lines of the live table, or of its status. */
static inline int kdm_status(struct kdm *k, const char *name, bool table, char *out, size_t len)
{
	size_t at = 0, used = 0;
	int rc;

	kdm_begin(k, name);
	k->call.head.flags = table ? DM_STATUS_TABLE_FLAG : 0;
	rc = kdm_do(k, DM_TABLE_STATUS);
	*out = '\0';
	for (uint32_t i = 0; !rc && i < k->call.head.target_count; i++) {
		const char *line = k->call.bytes + k->call.head.data_start + at;
		struct dm_target_spec spec;

		memcpy(&spec, line, sizeof(spec));
		used += (size_t)snprintf(out + used, len - used, "%llu %llu %s %s\n",
					 (unsigned long long)spec.sector_start,
					 (unsigned long long)spec.length, spec.target_type,
					 line + sizeof(spec));
		if (used >= len)
			return -E2BIG;
		at = spec.next;
	}
	return rc;
}

static inline int kdm_message(struct kdm *k, const char *name, uint64_t sector, const char *text)
{
	struct dm_target_msg msg = { .sector = sector };

	kdm_begin(k, name);
	memcpy(kdm_data(k), &msg, sizeof(msg));
	snprintf(kdm_data(k) + sizeof(msg), 4096, "%s", text);
	return kdm_do(k, DM_TARGET_MSG);
}

/* The version of a kind of target, as major * 100 + minor; 0 where the kernel has none. */
static inline unsigned kdm_version(struct kdm *k, const char *kind)
{
	struct dm_target_versions v = { 0 };

	kdm_begin(k, kind);
	if (kdm_do(k, DM_GET_TARGET_VERSION))
		return 0;
	memcpy(&v, k->call.bytes + k->call.head.data_start, sizeof(v));
	return v.version[0] * 100 + v.version[1];
}

#endif
