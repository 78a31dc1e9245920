/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* I/O commands without data of their own file: send one, report it. */
#ifndef CLI_NVME_SIMPLE_H
#define CLI_NVME_SIMPLE_H

#include "cli/nvme/nvme.h"

/*
 * Open the namespace and a queue, fill sqe->nsid, send @sqe with a copy of @len bytes of @data.
 * @flags: of nvme_open().
 */
int simple_run(struct cli *c, unsigned flags, uint32_t nsid, const char *name,
	       struct riser_nvme_sqe *sqe, const void *data, size_t len);

#endif
