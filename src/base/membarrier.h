/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An asymmetric fence: the rare side pays for a full barrier on every CPU that runs a thread of
 * this process, so that the frequent side needs none but the compiler's.
 */
#ifndef BASE_MEMBARRIER_H
#define BASE_MEMBARRIER_H

#include <stdbool.h>

/* Return: whether the kernel has PRIVATE_EXPEDITED; must come before membarrier_all(). */
bool membarrier_register(void);
void membarrier_all(void);

#endif
