/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What Linux tells about PCI functions. Nothing here writes.
 *
 * @root stands before each path: "" for the machine, a directory for a test.
 */
#ifndef PCI_SYSFS_INFO_H
#define PCI_SYSFS_INFO_H

#include <stdbool.h>
#include <stddef.h>

#define PCI_BDF_LEN  16
#define PCI_NAME_LEN 32 /* of a driver or a device node */

/* "01:00.0" or "0000:01:00.0" to the long form in lower case. Return: 0 or -EINVAL. */
int pci_bdf(const char *text, char out[static PCI_BDF_LEN]);

/* Is there such a function? */
bool pci_sysfs_there(const char *root, const char *bdf);

/* The driver that it is bound to, "" for none. */
void pci_sysfs_driver(const char *root, const char *bdf, char out[static PCI_NAME_LEN]);

/* Return: its IOMMU group, or -ENOENT. */
int pci_sysfs_group(const char *root, const char *bdf);

/* The node in /dev/vfio/devices, such as "vfio0". Return: whether it has one. */
bool pci_sysfs_vfio_node(const char *root, const char *bdf, char out[static PCI_NAME_LEN]);

/* The functions of an IOMMU group by address. Return: how many there are; at most @max filled. */
unsigned pci_sysfs_members(const char *root, int group, char (*out)[PCI_BDF_LEN], unsigned max);

/*
 * A process that has a file open, as far as /proc lets one see: root sees all, others their own.
 * Return: its pid, with its command in @comm, or 0.
 */
int pci_sysfs_holder(const char *root, const char *path, char comm[static PCI_NAME_LEN]);

#endif
