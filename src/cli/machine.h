/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The machine as the verbs see it that look at it or change its drivers.
 *
 * Tests of the command put a tree of their own in the place of /sys, /proc, /dev, /run, /etc and
 * /var, by RISER_HOST_ROOT in the environment, and hurry by RISER_HOST_TIMEOUT_MS.
 */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "cli/cli.h"
#include <riser/host.h>

#define MACHINE_FUNCTIONS 256
#define MACHINE_MEMBERS   64
#define MACHINE_USES      16

/* "" but in tests. */
const char *machine_root(void);
/* Return: 0 or an exit code. */
int machine_open(struct cli *c, struct riser_host **out);

/* What ends a use, such as "umount /home"; "" where nothing should. */
void machine_remedy(const struct riser_host_use *use, char *buf, size_t len);

/*
 * Show a plan and run it, unless it is only to be shown, and say where each function stands
 * afterwards. Frees the plan.
 */
int machine_run(struct cli *c, struct riser_host *h, struct riser_host_plan *p, bool dry_run);

#endif
