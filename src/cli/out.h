/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A file that a verb makes. A regular file appears under its name, or takes the place of the one
 * that was there, when it is complete: nobody ever finds half of it, and after a failure the old
 * one is still there. Standard output, pipes and character devices are written as it goes.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include "cli/cli.h"
#include <sys/types.h>

/**
 * struct out - a file on its way
 * @c: who makes it
 * @path: as the user named it; "standard output" for that
 * @target: the name that it gets, links followed; NULL where it is written as it goes
 * @temp: the name that it has until then; NULL where it has none
 * @fd: what is written to; -1 for standard output
 * @mode: the permissions that it gets
 * @written: bytes
 */
struct out {
	struct cli *c;
	const char *path;
	char *target, *temp;
	int fd;
	mode_t mode;
	uint64_t written;
};

/* Each returns 0 or an exit code after its sentence; out_close() takes what they left. */
/* @path: NULL or "-" for standard output. */
int out_open(struct cli *c, struct out *o, const char *path);
int out_write(struct out *o, const void *buf, size_t len);
/* It is complete: let it appear. */
int out_finish(struct out *o);
void out_close(struct out *o);

/* Is @path standard output? */
bool out_is_stdout(const char *path);

#endif
