/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Where signals and memory were not looked at closely enough for a debugger. */
#include "base/err.h"
#include <errno.h>
#include <riser/debug.h>

int riser_gdb_install(struct riser_debug *d, const struct riser_gdb_opts *opts,
		      struct riser_gdb **out, struct riser_err *err)
{
	return err_set(err, -ENOTSUP, "a debugger's stub is for Linux alone");
}

void riser_gdb_remove(struct riser_gdb *g)
{
}
