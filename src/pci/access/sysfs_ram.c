/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/access/sysfs_ram.h"
#include "base/err.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE        (2 * MiB)
#define HUGE_DIR    "%s/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define SMALL       ((size_t)1 << SYSFS_PAGE_SHIFT)
#define PER_HUGE    (HUGE / SMALL)
#define MOST        (64 * MiB) /* unless told */
#define PM_PRESENT  (1ull << 63)
#define PM_PFN_MASK ((1ull << 55) - 1)

/* A huge page: its place in the file, and in the machine. */
struct place {
	uint64_t pa;
	size_t at;
};

static uint64_t free_pages(const char *root)
{
	unsigned long long n = 0;
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), HUGE_DIR, root);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

static int by_address(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->pa > y->pa) - (x->pa < y->pa);
}

/* Where each page of the mapping lies in the machine. */
static int find_places(const char *root, const uint8_t *va, size_t n, struct place *places,
		       struct riser_err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/proc/self/pagemap", root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "sysfs: %s: %s", path, strerror(errno));
	for (size_t i = 0; i < n; i++) {
		uint64_t entry = 0, v = (uint64_t)(uintptr_t)va + i * HUGE;
		ssize_t got = pread(fd, &entry, sizeof(entry), (off_t)(v / page * sizeof(entry)));

		places[i] = (struct place){ (entry & PM_PFN_MASK) * page, i * HUGE };
		if (got == sizeof(entry) && entry & PM_PRESENT && places[i].pa &&
		    places[i].pa % HUGE == 0)
			continue;
		close(fd);
		return err_set(err, -EACCES,
			       "sysfs: the kernel does not tell where memory lies: only root is "
			       "told, with CAP_SYS_ADMIN");
	}
	close(fd);
	qsort(places, n, sizeof(*places), by_address);
	return 0;
}

/* The file's pages again, in the order of their addresses, at a multiple of their size. */
static int map_in_order(struct sysfs_ram *ram, int fd, const struct place *places, size_t n)
{
	uint8_t *room = mmap(NULL, ram->len + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *base;

	if (room == MAP_FAILED)
		return -ENOMEM;
	base = room + (align_up((uintptr_t)room, HUGE) - (uintptr_t)room);
	if (base != room)
		munmap(room, (size_t)(base - room));
	munmap(base + ram->len, (size_t)(room + HUGE - base));
	ram->base = base;
	for (size_t i = 0; i < n; i++) {
		if (mmap(base + i * HUGE, HUGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
			 (off_t)places[i].at) == MAP_FAILED)
			return -ENOMEM;
		ram->pa[i] = places[i].pa;
	}
	return mlock(base, ram->len) ? -errno : 0;
}

static int take(struct sysfs_ram *ram, const char *root, int fd, struct riser_err *err)
{
	size_t n = ram->len / HUGE;
	struct place *places = calloc(n, sizeof(*places));
	void *all = MAP_FAILED;
	int rc;

	ram->pa = calloc(n, sizeof(*ram->pa));
	ram->used = calloc(ram->len / SMALL, 1);
	if (!places || !ram->pa || !ram->used) {
		rc = err_set(err, -ENOMEM, "sysfs: no memory");
	} else if (ftruncate(fd, (off_t)ram->len) ||
		   (all = mmap(NULL, ram->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			       fd, 0)) == MAP_FAILED) {
		rc = err_set(err, -ENOMEM, "sysfs: huge pages (%zu of 2 MiB) cannot be mapped: %s",
			     n, strerror(errno));
	} else {
		rc = find_places(root, all, n, places, err);
		if (!rc && (rc = map_in_order(ram, fd, places, n)))
			err_set(err, rc, "sysfs: huge pages cannot be locked: %s", strerror(-rc));
	}
	if (all != MAP_FAILED)
		munmap(all, ram->len);
	free(places);
	return rc;
}

int sysfs_ram_take(struct sysfs_ram *ram, const char *root, uint64_t want, struct riser_err *err)
{
	uint64_t have = free_pages(root) * HUGE;
	uint64_t len = align_up(want ? want : min_of(have, (uint64_t)MOST), HUGE);
	int fd, rc;

	memset(ram, 0, sizeof(*ram));
	if (!len || len > have)
		return err_set(
			err, -ENOMEM,
			"sysfs: %llu huge pages of 2 MiB are free, and %llu are wanted: sudo "
			"riser hugepages %llu",
			(unsigned long long)(have / HUGE),
			(unsigned long long)(max_of(len, (uint64_t)HUGE) / HUGE),
			(unsigned long long)(max_of(len, (uint64_t)MOST) / HUGE));
	fd = memfd_create("riser", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	if (fd < 0)
		return err_set(err, -errno, "sysfs: no huge pages: %s", strerror(errno));
	ram->len = len;
	rc = take(ram, root, fd, err);
	close(fd); /* the mapping keeps it */
	if (rc)
		sysfs_ram_drop(ram);
	return rc;
}

void sysfs_ram_drop(struct sysfs_ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->len);
	free(ram->pa);
	free(ram->used);
	memset(ram, 0, sizeof(*ram));
}

/* Does a small page follow the one before it in the machine too? */
static bool follows(const struct sysfs_ram *ram, size_t at)
{
	size_t huge = at / PER_HUGE;

	return at % PER_HUGE || ram->pa[huge] == ram->pa[huge - 1] + HUGE;
}

void *sysfs_ram_alloc(struct sysfs_ram *ram, size_t len, size_t align)
{
	size_t pages = ram->len / SMALL, want = len / SMALL;
	size_t step = max_of(align / SMALL, (size_t)1), at = 0;

	while (want && want <= pages && at <= pages - want) {
		size_t n = 0;

		while (n < want && !ram->used[at + n] && (!n || follows(ram, at + n)))
			n++;
		if (n == want) {
			memset(ram->used + at, 1, want);
			return memset(ram->base + at * SMALL, 0, len);
		}
		at = align_up(at + max_of(n, (size_t)1), step);
	}
	return NULL;
}

void sysfs_ram_free(struct sysfs_ram *ram, void *va, size_t len)
{
	size_t at = (size_t)((uint8_t *)va - ram->base) / SMALL;

	memset(ram->used + at, 0, align_up(len, SMALL) / SMALL);
}

uint64_t sysfs_ram_address(const struct sysfs_ram *ram, const void *va)
{
	size_t off = (size_t)((const uint8_t *)va - ram->base);

	return ram->pa[off / HUGE] + off % HUGE;
}
