/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What zero and trim share: an operation without data over a range, in pieces, with progress. */
#ifndef CLI_WALK_H
#define CLI_WALK_H

#include "cli/dev.h"

extern const struct opt walk_opts[];

int walk_run(struct cli *c, enum riser_blk_op op);

#endif
