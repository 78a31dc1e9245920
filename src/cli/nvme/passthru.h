/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Any command, as nvme-cli's admin-passthru and io-passthru send it. */
#ifndef CLI_NVME_PASSTHRU_H
#define CLI_NVME_PASSTHRU_H

#include "cli/nvme/nvme.h"

extern const struct opt passthru_opts[];

int passthru_run(struct cli *c, bool admin);

#endif
