/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* nvme read, write and compare: blocks of a namespace against a file. */
#ifndef CLI_NVME_RW_H
#define CLI_NVME_RW_H

#include "cli/nvme/nvme.h"

extern const struct opt rw_opts[];
/* Those, and the reader's own words for them. */
extern const struct opt rw_read_opts[];

/* @name: the command in sentences. */
int rw_run(struct cli *c, uint8_t opcode, const char *name);

#endif
