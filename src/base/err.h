/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <riser/riser.h>
#include <stdarg.h>

#define err_set riser_err_set

/* A sentence, printable; where it does not fit, it ends in "…". */
void err_vformat(char *out, size_t size, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* Put "what: " before the sentence that is there. Return: err's code, or @code without @err. */
int err_prefix(struct riser_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
