/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A publisher's socket in the file system. */
#ifndef PUBLISH_UNIX_H
#define PUBLISH_UNIX_H

#include <riser/riser.h>
#include <sys/types.h>
#include <sys/un.h>

struct unix_socket {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* to unlink, or "" */
	dev_t dev;
	ino_t ino;
};

/*
 * Make a socket at @path, in the place of one that nobody listens on any more. Return: its
 * descriptor, non-blocking, or a negative errno with a sentence.
 */
int unix_bind(struct unix_socket *s, const char *path, struct riser_err *err);

/* Unlink it, if it is still the one that was made. */
void unix_unlink(struct unix_socket *s);

#endif
