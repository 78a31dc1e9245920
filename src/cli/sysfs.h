/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Reading what the kernel tells about the machine. Nothing here writes. */
#ifndef CLI_SYSFS_H
#define CLI_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first line of a small file, without newline. Return: false when it can't be read. */
bool sysfs_line(char *buf, size_t len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A number there, decimal or 0x…. */
bool sysfs_number(uint64_t *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last component of where a link points, "" where there is none. */
void sysfs_link_name(char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * struct sysfs_pci - a PCI function that riser has a driver for, or could
 * @bdf: its address, such as 0000:01:00.0
 * @kind: "nvme", "virtio-net", "virtio-blk"
 * @vendor: PCI vendor id
 * @device: PCI device id
 * @driver: the kernel's driver that holds it, or ""
 * @iommu_group: its group, or ""
 * @numa_node: -1 where the machine has none
 */
struct sysfs_pci {
	char bdf[16];
	const char *kind;
	unsigned vendor, device;
	char driver[32];
	char iommu_group[16];
	int numa_node;
};

/* Where a block device behind a function is mounted: the first such place. Return: there is one. */
bool sysfs_pci_mounted(const char *bdf, char *where, size_t len);

/* Return: how many functions of interest there are; the first @max are filled, by address. */
unsigned sysfs_pci_scan(struct sysfs_pci *out, unsigned max);

#endif
