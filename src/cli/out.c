/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/out.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool out_is_stdout(const char *path)
{
	return !path || !strcmp(path, "-");
}

static int fail(struct out *o, int err)
{
	return cli_fail(o->c, cli_exit_of(-err), "%s cannot be written: %s", o->path,
			strerror(err));
}

/* The folder of @path, with its "/", or "" where it has none. */
static int folder_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (int)(slash - path) + 1 : 0;
}

/* A hidden name beside the target. */
static char *name_beside(const char *target, const char *tail)
{
	int n = folder_len(target);
	char *name;

	return asprintf(&name, "%.*s.%s.%s", n, target, target + n, tail) < 0 ? NULL : name;
}

static mode_t default_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* A file without a name, which a death of ours takes along; where there is none, a hidden one. */
static int open_hidden(struct out *o)
{
	int n = folder_len(o->target);
	char *folder;

	if (asprintf(&folder, "%.*s", n ? n : 1, n ? o->target : ".") < 0)
		return fail(o, ENOMEM);
	o->fd = access("/proc/self/fd", X_OK)
			? -1
			: open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
	free(folder);
	if (o->fd >= 0)
		return 0;
	o->temp = name_beside(o->target, "XXXXXX");
	if (!o->temp)
		return fail(o, ENOMEM);
	o->fd = mkostemp(o->temp, O_CLOEXEC);
	if (o->fd >= 0)
		return 0;
	free(o->temp);
	o->temp = NULL;
	return fail(o, errno);
}

static int open_regular(struct out *o, const struct stat *st)
{
	o->mode = st ? st->st_mode & 07777 : default_mode();
	o->target = st ? realpath(o->path, NULL) : strdup(o->path);
	if (!o->target)
		return fail(o, errno);
	/* To take a file's place wants the folder's permission only; but the file's counts too. */
	if (st && access(o->path, W_OK))
		return fail(o, errno);
	return open_hidden(o);
}

int out_open(struct cli *c, struct out *o, const char *path)
{
	struct stat st;

	*o = (struct out){ .c = c, .path = path, .fd = -1 };
	if (out_is_stdout(path)) {
		o->path = "standard output";
		return 0;
	}
	if (stat(path, &st)) {
		if (errno != ENOENT)
			return fail(o, errno);
		if (!lstat(path, &st))
			return cli_fail(c, CLI_MISSING, "%s is a link that leads nowhere", path);
		return open_regular(o, NULL);
	}
	if (S_ISREG(st.st_mode))
		return open_regular(o, &st);
	if (S_ISDIR(st.st_mode))
		return fail(o, EISDIR);
	if (S_ISBLK(st.st_mode))
		return cli_fail(c, CLI_USAGE, "%s is a block device: riser copy writes to those",
				path);
	o->fd = open(path, O_WRONLY | O_CLOEXEC);
	return o->fd < 0 ? fail(o, errno) : 0;
}

int out_write(struct out *o, const void *buf, size_t len)
{
	const char *p = buf;

	if (o->fd < 0) {
		/* What goes wrong there is cli_finish()'s to say, and reason enough to stop. */
		if (fwrite(buf, 1, len, stdout) != len)
			return CLI_FAILED;
		o->written += len;
		return 0;
	}
	while (len) {
		ssize_t n = write(o->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(o, errno);
		p += n;
		len -= (size_t)n;
		o->written += (size_t)n;
	}
	return 0;
}

/* Give what has no name one. */
static int name_it(struct out *o)
{
	char in_proc[32], tail[16];
	char *name;

	snprintf(tail, sizeof(tail), "%d", (int)getpid());
	snprintf(in_proc, sizeof(in_proc), "/proc/self/fd/%d", o->fd);
	name = name_beside(o->target, tail);
	if (!name)
		return -ENOMEM;
	if (linkat(AT_FDCWD, in_proc, AT_FDCWD, name, AT_SYMLINK_FOLLOW)) {
		int rc = -errno;

		free(name);
		return rc;
	}
	o->temp = name;
	return 0;
}

int out_finish(struct out *o)
{
	int rc = 0;

	if (!o->target)
		return 0;
	if (fchmod(o->fd, o->mode) || fsync(o->fd))
		rc = -errno;
	if (!rc && !o->temp)
		rc = name_it(o);
	if (!rc && rename(o->temp, o->target))
		rc = -errno;
	if (rc)
		return fail(o, -rc);
	free(o->temp);
	o->temp = NULL;
	return 0;
}

void out_close(struct out *o)
{
	if (o->fd >= 0)
		close(o->fd);
	if (o->temp)
		unlink(o->temp);
	free(o->temp);
	free(o->target);
	*o = (struct out){ .fd = -1 };
}
