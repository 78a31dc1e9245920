/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* How far a long verb is: a bar on a terminal, "N/100" lines with --progress=FD, else nothing. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
	int fd;     /* of --progress, or -1 */
	bool bar;   /* draw on stderr */
	bool drawn; /* there is a bar to wipe */
	int last;   /* percentage last shown */
	uint64_t total;
	uint64_t began, shown; /* nanoseconds */
};

/* @total is 0 when it isn't known: nothing is shown then. */
void progress_begin(struct cli *c, struct progress *p, uint64_t total);
void progress_show(struct cli *c, struct progress *p, uint64_t done);
/* Wipe the bar, so that a sentence or a prompt starts at the line's beginning. */
void progress_end(struct progress *p);

#endif
