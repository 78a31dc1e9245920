/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "host/host.h"
#include "base/err.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 10000
#define STEP_MS    20

int riser_host_new(const struct riser_host_opts *opts, struct riser_host **out,
		   struct riser_err *err)
{
	struct riser_host *h;

	if (opts && opts->root && strlen(opts->root) >= sizeof(h->root))
		return err_set(err, -ENAMETOOLONG, "the machine's root is longer than %zu bytes",
			       sizeof(h->root) - 1);
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_set(err, -ENOMEM, "no memory for looking at the machine");
	h->timeout_ms = opts && opts->timeout_ms ? opts->timeout_ms : TIMEOUT_MS;
	if (opts && opts->root)
		snprintf(h->root, sizeof(h->root), "%s", opts->root);
	*out = h;
	return 0;
}

void riser_host_free(struct riser_host *h)
{
	free(h);
}

static __attribute__((format(printf, 3, 0))) char *path_of(const struct riser_host *h, char *buf,
							   const char *fmt, va_list ap)
{
	size_t n = strlen(h->root);

	memcpy(buf, h->root, n);
	vsnprintf(buf + n, PATH_MAX - n, fmt, ap);
	return buf;
}

char *host_path(const struct riser_host *h, char *buf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	path_of(h, buf, fmt, ap);
	va_end(ap);
	return buf;
}

bool host_line(const struct riser_host *h, char *buf, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	bool ok;
	FILE *f;

	va_start(ap, fmt);
	f = fopen(path_of(h, path, fmt, ap), "re");
	va_end(ap);
	*buf = 0;
	if (!f)
		return false;
	ok = fgets(buf, (int)len, f) != NULL;
	fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return ok;
}

bool host_exists(const struct riser_host *h, const char *path)
{
	char full[PATH_MAX];

	return !access(host_path(h, full, "%s", path), F_OK);
}

int host_write(const struct riser_host *h, const char *path, const char *value)
{
	char full[PATH_MAX];
	int fd = open(host_path(h, full, "%s", path), O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t n;
	int rc;

	if (fd < 0)
		return -errno;
	/* sysfs takes a value in one write or not at all. An empty one is an empty line. */
	n = *value ? write(fd, value, strlen(value)) : write(fd, "\n", 1);
	rc = n < 0 ? -errno : 0;
	close(fd);
	return rc;
}

bool host_wait(const struct riser_host *h, uint32_t *waited_ms)
{
	if (*waited_ms >= h->timeout_ms)
		return false;
	nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * (long)NS_PER_MS }, NULL);
	*waited_ms += STEP_MS;
	return true;
}
