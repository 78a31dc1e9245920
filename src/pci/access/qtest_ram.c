/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/access/qtest_ram.h"
#include "base/err.h"
#include "base/util.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define RAM_PAGE   ((size_t)1 << QTEST_RAM_PAGE_SHIFT)
#define FIRST_PAGE (MiB >> QTEST_RAM_PAGE_SHIFT)
#define BELOW_4G   (2 * GiB) /* q35 and pc leave at least so much below the PCI hole */
#define MAP_ALIGN  (2 * MiB)

int qtest_ram_map(struct qtest_ram *ram, int fd, struct riser_err *err)
{
	struct stat st;
	uint8_t *room, *base;
	size_t len;

	if (fstat(fd, &st))
		return err_set(err, -errno, "qtest: QEMU's memory file: %s", strerror(errno));
	len = (size_t)align_down(min_of((uint64_t)st.st_size, (uint64_t)BELOW_4G), RAM_PAGE);
	if (len <= MiB)
		return err_set(err, -EINVAL,
			       "qtest: QEMU's memory file has %zu bytes, and more than 1 MiB is "
			       "needed",
			       len);
	ram->used = calloc(1, len >> QTEST_RAM_PAGE_SHIFT);
	/* Addresses and offsets are equally aligned, up to 2 MiB. */
	room = mmap(NULL, len + MAP_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!ram->used || room == MAP_FAILED)
		goto fail;
	base = room + (align_up((uintptr_t)room, MAP_ALIGN) - (uintptr_t)room);
	if (base != room)
		munmap(room, (size_t)(base - room));
	munmap(base + len, (size_t)(room + MAP_ALIGN - base));
	if (mmap(base, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(base, len);
		goto fail;
	}
	memset(ram->used, 1, FIRST_PAGE);
	ram->base = base;
	ram->len = len;
	return 0;
fail:
	free(ram->used);
	ram->used = NULL;
	return err_set(err, -ENOMEM, "qtest: cannot map QEMU's memory (%zu bytes)", len);
}

void qtest_ram_unmap(struct qtest_ram *ram)
{
	if (!ram->base)
		return;
	munmap(ram->base, ram->len);
	free(ram->used);
	memset(ram, 0, sizeof(*ram));
}

void *qtest_ram_alloc(struct qtest_ram *ram, size_t len, size_t align)
{
	size_t pages = ram->len >> QTEST_RAM_PAGE_SHIFT, want = len >> QTEST_RAM_PAGE_SHIFT;
	size_t step = max_of(align >> QTEST_RAM_PAGE_SHIFT, (size_t)1);
	size_t at = align_up(FIRST_PAGE, step);

	while (want && want <= pages && at <= pages - want) {
		size_t n = 0;

		while (n < want && !ram->used[at + n])
			n++;
		if (n == want) {
			uint8_t *va = ram->base + (at << QTEST_RAM_PAGE_SHIFT);

			memset(ram->used + at, 1, want);
			return memset(va, 0, len);
		}
		at = align_up(at + n + 1, step);
	}
	return NULL;
}

void qtest_ram_free(struct qtest_ram *ram, void *va, size_t len)
{
	memset(ram->used + (qtest_ram_address(ram, va) >> QTEST_RAM_PAGE_SHIFT), 0,
	       len >> QTEST_RAM_PAGE_SHIFT);
}

uint64_t qtest_ram_address(const struct qtest_ram *ram, const void *va)
{
	return (uint64_t)((const uint8_t *)va - ram->base);
}
