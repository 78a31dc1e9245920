/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What the files of this floor share: the machine's small files, below a root that tests replace.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include <limits.h>
#include <riser/host.h>

#define HOST_VFIO       "vfio-pci"
#define HOST_PCI        "/sys/bus/pci/devices"
#define HOST_DRIVERS    "/sys/bus/pci/drivers"
#define HOST_PROBE      "/sys/bus/pci/drivers_probe"
#define HOST_LINE       256
#define HOST_MEMBERS    64     /* of an IOMMU group that are looked at */
#define HOST_PCI_BRIDGE 0x0604 /* its class: forwards, and may keep its driver */

struct riser_host {
	char root[256];
	uint32_t timeout_ms;
};

/* Put a path below the root into @buf of PATH_MAX bytes. Return: @buf. */
char *host_path(const struct riser_host *h, char *buf, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The first line of a small file, without newline. Return: false when it can't be read. */
bool host_line(const struct riser_host *h, char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool host_exists(const struct riser_host *h, const char *path);
/* Write a whole value. Return: 0 or a negative errno. */
int host_write(const struct riser_host *h, const char *path, const char *value);
/* Sleep a little. Return: false when @*waited_ms passed the machine's timeout. */
bool host_wait(const struct riser_host *h, uint32_t *waited_ms);

/* pci.c */
int host_bdf(const char *text, char *bdf, struct riser_err *err);
void host_look(const struct riser_host *h, const char *bdf, struct riser_host_pci *p);

#endif
