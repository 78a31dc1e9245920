/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What every test against QEMU needs: whether it is there, and which process it is. */
#ifndef TESTS_INTEROP_QEMU_H
#define TESTS_INTEROP_QEMU_H

#include "../tap.h"
#include <fcntl.h>
#include <signal.h>

#define QEMU "qemu-system-x86_64"

static inline bool qemu_is_there(void)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
		snprintf(file, sizeof(file), "%.*s/" QEMU, (int)strcspn(path, ":"), path);
		if (!access(file, X_OK))
			return true;
	}
	return false;
}

#define NEED_QEMU()                                                                                \
	do {                                                                                       \
		if (!qemu_is_there())                                                              \
			MISSING(QEMU " (Debian package qemu-system-x86)");                         \
	} while (0)

/* The process that this one started last. Return: its id, or 0 when there is none. */
static inline pid_t qemu_child(void)
{
	char path[64], ids[256] = "", *p = ids;
	long last = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (read(fd, ids, sizeof(ids) - 1) < 0)
		ids[0] = 0;
	close(fd);
	while (*p) {
		char *end;
		long id = strtol(p, &end, 10);

		if (end == p)
			break;
		last = id;
		p = end;
	}
	return (pid_t)last;
}

#endif
