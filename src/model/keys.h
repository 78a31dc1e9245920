/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Keys of a model's URI. One that is missing leaves *@out alone. */
#ifndef MODEL_KEYS_H
#define MODEL_KEYS_H

#include <riser/riser.h>

struct uri;

/* A number of @min … @max. */
int model_number(const struct uri *u, const char *key, uint64_t min, uint64_t max, unsigned *out,
		 struct riser_err *err);
/* One of two words; *@out is whether it is @yes. */
int model_choice(const struct uri *u, const char *key, const char *no, const char *yes, bool *out,
		 struct riser_err *err);

#endif
