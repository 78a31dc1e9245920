/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <riser/riser.h>

#define err_set riser_err_set

/* Put "what: " before the sentence that is there. Return: err's code, or @code without @err. */
int err_prefix(struct riser_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
