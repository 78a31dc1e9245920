/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef PCI_ACCESS_SYSFS_H
#define PCI_ACCESS_SYSFS_H

#include "pci/pci.h"

/* On a tree of a test's, see pci/sysfs_info.h. */
int sysfs_open_on(const char *root, struct riser *r, const struct uri *u, struct pci_dev **out,
		  struct riser_err *err);

#endif
