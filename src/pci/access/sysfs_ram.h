/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Memory whose physical addresses are known and stay: huge pages. Ordinary ones the kernel moves
 * when it likes, locked or not. They are mapped in the order of their addresses, so that neighbours
 * make pieces larger than a page.
 */
#ifndef PCI_ACCESS_SYSFS_RAM_H
#define PCI_ACCESS_SYSFS_RAM_H

#include <riser/riser.h>

#define SYSFS_PAGE_SHIFT 12 /* what pieces are made of */

/**
 * struct sysfs_ram - huge pages
 * @base: where they are mapped
 * @len: bytes
 * @pa: the physical address of each huge page, rising
 * @used: one for each small page
 */
struct sysfs_ram {
	uint8_t *base;
	size_t len;
	uint64_t *pa;
	uint8_t *used;
};

/*
 * Take huge pages: @want bytes, or up to 64 MiB where it is 0. @root: as in pci/sysfs_info.h.
 * Return: 0 or a negative errno; on failure nothing is left.
 */
int sysfs_ram_take(struct sysfs_ram *ram, const char *root, uint64_t want, struct riser_err *err);
/* A zeroed @ram is left alone. */
void sysfs_ram_drop(struct sysfs_ram *ram);

/* Zeroed memory at consecutive physical addresses, or NULL. @len: of small pages. */
void *sysfs_ram_alloc(struct sysfs_ram *ram, size_t len, size_t align);
void sysfs_ram_free(struct sysfs_ram *ram, void *va, size_t len);
uint64_t sysfs_ram_address(const struct sysfs_ram *ram, const void *va);

#endif
