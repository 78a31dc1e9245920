/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "publish/unix.h"
#include "base/err.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Something is at @path. Make room if it is a socket that nobody listens on any more. */
static int replace_stale(const struct sockaddr_un *at, struct riser_err *err)
{
	const char *path = at->sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "%s is there and is not a socket: choose another path",
			       path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)at, sizeof(*at)) ? -errno : 0;
	close(fd);
	if (rc == -EACCES || rc == -EPERM)
		return err_set(err, rc, "%s is somebody else's socket: choose another path", path);
	if (rc != -ECONNREFUSED)
		return err_set(err, -EADDRINUSE,
			       "a server listens on %s already: stop it, or choose another path",
			       path);
	if (unlink(path) && errno != ENOENT)
		return err_set(err, -errno, "cannot remove the stale socket %s: %s", path,
			       strerror(errno));
	return 0;
}

static int bind_at(int fd, const struct sockaddr_un *at, struct riser_err *err)
{
	const struct sockaddr *addr = (const struct sockaddr *)at;
	int rc = bind(fd, addr, sizeof(*at)) ? -errno : 0;

	if (rc == -EADDRINUSE) {
		rc = replace_stale(at, err);
		if (rc)
			return rc;
		rc = bind(fd, addr, sizeof(*at)) ? -errno : 0;
	}
	if (rc)
		return err_set(err, rc, "cannot bind a socket to %s: %s", at->sun_path,
			       strerror(-rc));
	return 0;
}

int unix_bind(struct unix_socket *s, const char *path, struct riser_err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, rc;

	if (!*path || strlen(path) >= sizeof(at.sun_path))
		return err_set(err, *path ? -ENAMETOOLONG : -EINVAL,
			       "the path of a unix socket has 1 to %zu bytes, not %zu",
			       sizeof(at.sun_path) - 1, strlen(path));
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	rc = bind_at(fd, &at, err);
	if (rc) {
		close(fd);
		return rc;
	}
	strcpy(s->path, path);
	if (!lstat(path, &st)) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	return fd;
}

void unix_unlink(struct unix_socket *s)
{
	struct stat st;

	if (*s->path && !lstat(s->path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	*s->path = 0;
}
