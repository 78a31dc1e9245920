/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/sysfs.h"
#include "cli/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <riser/util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __attribute__((format(printf, 2, 0))) const char *path_of(char *path, const char *fmt,
								 va_list ap)
{
	size_t n;

	snprintf(path, PATH_MAX / 2, "%s", machine_root());
	n = strlen(path);
	vsnprintf(path + n, PATH_MAX / 2, fmt, ap);
	return path;
}

static bool line_at(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	bool ok;

	*buf = 0;
	if (!f)
		return false;
	ok = fgets(buf, (int)len, f) != NULL;
	fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return ok;
}

bool sysfs_line(char *buf, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = line_at(path_of(path, fmt, ap), buf, len);
	va_end(ap);
	return ok;
}

bool sysfs_number(uint64_t *out, const char *fmt, ...)
{
	char path[PATH_MAX], text[64];
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = line_at(path_of(path, fmt, ap), text, sizeof(text));
	va_end(ap);
	return ok && !riser_parse_u64(text, out);
}

bool sysfs_exists(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = !access(path_of(path, fmt, ap), F_OK);
	va_end(ap);
	return ok;
}

bool sysfs_has(const char *file, const char *words)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	bool has = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", machine_root(), file);
	f = fopen(path, "re");
	while (f && !has && getline(&line, &room, f) > 0)
		has = strstr(line, words);
	free(line);
	if (f)
		fclose(f);
	return has;
}

int sysfs_write(const char *file, const char *value)
{
	char path[PATH_MAX];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s%s", machine_root(), file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}
