/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef RISER_CLASS_H
#define RISER_CLASS_H

#include <riser/blk.h>

struct port_ops;
struct uri;

/* struct registry.open_by_class */
int class_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
	       struct riser_err *err);

/* struct registry.port_of */
const struct port_ops *class_port(struct riser *r, const struct uri *u, struct riser_err *err);

#endif
