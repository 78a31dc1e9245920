/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * QEMU's guest memory, mapped: the only memory that its devices reach. Guest-physical address =
 * offset in the file = IOVA. The first MiB is left alone (the legacy holes, the ROM's copy), and
 * so is what QEMU moves above 4 GiB.
 */
#ifndef PCI_ACCESS_QTEST_RAM_H
#define PCI_ACCESS_QTEST_RAM_H

#include <riser/riser.h>

#define QTEST_RAM_PAGE_SHIFT 12

struct qtest_ram {
	uint8_t *base;
	size_t len;
	uint8_t *used; /* one byte a page */
};

/* Map a file; the descriptor stays the caller's. Return: 0 or a negative errno. */
int qtest_ram_map(struct qtest_ram *ram, int fd, struct riser_err *err);
/* Partial-safe: a zeroed structure is left alone. */
void qtest_ram_unmap(struct qtest_ram *ram);

/*
 * Zeroed memory; @len is a multiple of the page size, @align a power of two of at most 2 MiB, of
 * address and offset alike. Return: NULL when there is no such gap.
 */
void *qtest_ram_alloc(struct qtest_ram *ram, size_t len, size_t align);
void qtest_ram_free(struct qtest_ram *ram, void *va, size_t len);

/* The guest-physical address of @va. */
uint64_t qtest_ram_address(const struct qtest_ram *ram, const void *va);

#endif
