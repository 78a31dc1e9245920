/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "base/util.h"
#include "publish/nbd.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 128

/* Append @text to the URI, escaping what would end a component there. */
static void uri_add(struct nbd_listener *l, const char *text, const char *plain)
{
	size_t at = strlen(l->uri);

	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;

		if (isalnum(ch) || strchr(plain, ch))
			l->uri[at++] = (char)ch;
		else
			at += (size_t)snprintf(l->uri + at, 4, "%%%02X", ch);
	}
	l->uri[at] = 0;
}

static void uri_unix(struct nbd_listener *l, const char *path, const char *name)
{
	strcpy(l->uri, "nbd+unix:///");
	uri_add(l, name, "-._~/");
	strcat(l->uri, "?socket=");
	uri_add(l, path, "-._~/");
}

static int uri_tcp(struct nbd_listener *l, const char *name)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(l->watch.fd, (struct sockaddr *)&at, &len))
		return -errno;
	if (getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return -EADDRNOTAVAIL;
	strcpy(l->uri, at.ss_family == AF_INET6 ? "nbd://[" : "nbd://");
	uri_add(l, host, ".:%");
	strcat(l->uri, at.ss_family == AF_INET6 ? "]:" : ":");
	strcat(l->uri, port);
	strcat(l->uri, "/");
	uri_add(l, name, "-._~/");
	return 0;
}

static int socket_option(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? 0 : value;
}

/* A socket that somebody else made; it is not unlinked. */
static int adopt(struct nbd_listener *l, int fd, const char *name, struct riser_err *err)
{
	struct sockaddr_un at = { 0 };
	socklen_t len = sizeof(at) - 1; /* a path may come without its 0 */
	int flags = fcntl(fd, F_GETFL), rc;

	if (flags < 0 || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
	    !socket_option(fd, SO_ACCEPTCONN))
		return err_set(err, -EINVAL, "descriptor %d is no stream socket that listens", fd);
	l->watch.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (l->watch.fd < 0 || fcntl(l->watch.fd, F_SETFL, flags | O_NONBLOCK))
		return err_set(err, -errno, "cannot take over descriptor %d: %s", fd,
			       strerror(errno));
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX)
		rc = uri_tcp(l, name);
	else
		rc = getsockname(fd, (struct sockaddr *)&at, &len) ? -errno : 0;
	if (rc)
		return err_set(err, rc, "descriptor %d has no address: %s", fd, strerror(-rc));
	if (socket_option(fd, SO_DOMAIN) == AF_UNIX)
		uri_unix(l, at.sun_path, name);
	return 0;
}

static int open_socket(struct nbd_listener *l, int family, struct riser_err *err)
{
	l->watch.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->watch.fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	return 0;
}

static int listen_unix(struct nbd_listener *l, const char *path, const char *name,
		       struct riser_err *err)
{
	l->watch.fd = unix_bind(&l->at, path, err);
	if (l->watch.fd < 0)
		return l->watch.fd;
	uri_unix(l, path, name);
	return 0;
}

static int bind_tcp(struct nbd_listener *l, const struct addrinfo *to, const char *where,
		    struct riser_err *err)
{
	int one = 1, rc = open_socket(l, to->ai_family, err);

	if (rc)
		return rc;
	setsockopt(l->watch.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(l->watch.fd, to->ai_addr, to->ai_addrlen))
		return 0;
	rc = -errno;
	if (rc == -EADDRINUSE)
		return err_set(err, rc, "a server listens on %s already: choose another port",
			       where);
	return err_set(err, rc, "cannot bind a socket to %s: %s", where, strerror(-rc));
}

static int listen_tcp(struct nbd_listener *l, const char *host, int port, const char *name,
		      struct riser_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *to;
	char number[16], where[NI_MAXHOST + 32];
	int rc;

	snprintf(number, sizeof(number), "%d", port);
	snprintf(where, sizeof(where), "%.*s port %d", NI_MAXHOST, host, port);
	rc = getaddrinfo(host, number, &hints, &to);
	if (rc)
		return err_set(err, -EINVAL, "cannot resolve '%s': %s", host, gai_strerror(rc));
	rc = bind_tcp(l, to, where, err);
	freeaddrinfo(to);
	if (rc)
		return rc;
	rc = uri_tcp(l, name);
	return rc ? err_set(err, rc, "%s: %s", where, strerror(-rc)) : 0;
}

int nbd_listen(struct nbd_listener *l, const struct riser_publish_opts *opts, const char *name,
	       struct riser_err *err)
{
	int rc;

	l->watch.fd = -1;
	if (opts->port > 65535)
		return err_set(err, -EINVAL, "a TCP port is at most 65535, not %d", opts->port);
	if (opts->socket && (opts->host || opts->port > 0))
		return err_set(err, -EINVAL, "a unix socket and a TCP address: choose one");
	if (opts->listen_fd && (opts->socket || opts->host))
		return err_set(err, -EINVAL, "a socket that listens and an address: choose one");
	if (opts->listen_fd)
		rc = adopt(l, opts->listen_fd, name, err);
	else if (opts->socket)
		rc = listen_unix(l, opts->socket, name, err);
	else
		rc = listen_tcp(l, opts->host ? opts->host : "127.0.0.1",
				opts->port < 0 ? NBD_PORT : opts->port, name, err);
	if (!rc && !opts->listen_fd && listen(l->watch.fd, BACKLOG))
		rc = err_set(err, -errno, "cannot listen on %s: %s", l->uri, strerror(errno));
	if (rc)
		nbd_unlisten(l);
	return rc;
}

void nbd_unlisten(struct nbd_listener *l)
{
	if (l->watch.fd >= 0)
		close(l->watch.fd);
	l->watch.fd = -1;
	unix_unlink(&l->at);
}
