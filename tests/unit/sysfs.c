/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * sysfs: on a tree of the test's own: what it refuses and why; and its memory, whose pages are
 * neighbours or not. The way through to a controller is shown in a virtual machine without IOMMU.
 */
#include "pci/access/sysfs.h"
#include "../tap.h"
#include "base/uri.h"
#include "base/util.h"
#include "pci/access/sysfs_ram.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HUGE (2 * MiB)
#define BDF  "0000:05:00.0"
#define DIR  "/sys/bus/pci/devices/" BDF

static char root[] = "/tmp/riser-sysfs-XXXXXX";
static struct riser_err err;

static void put(const char *file, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, file);
	for (char *c = strchr(path + 1, '/'); c; c = strchr(c + 1, '/')) {
		*c = 0;
		mkdir(path, 0755);
		*c = '/';
	}
	f = fopen(path, "w");
	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
}

static void point(const char *file, const char *to)
{
	char path[512];

	snprintf(path, sizeof(path), "%s%s", root, file);
	unlink(path);
	if (to && symlink(to, path))
		abort();
}

static int try_open(const char *text)
{
	struct riser *r;
	struct pci_dev *d;
	struct uri u;
	int rc;

	if (riser_new(NULL, &r, NULL) || uri_parse(text, &u, NULL))
		abort();
	err.text[0] = 0;
	rc = sysfs_open_on(root, r, &u, &d, &err);
	if (!rc) {
		d->name = NULL;
		list_init(&d->link);
		pci_close(d);
	}
	uri_free(&u);
	riser_free(r);
	return rc;
}

TEST(refusals)
{
	CHECK_EQ(try_open("sysfs:nonsense"), -EINVAL);
	CHECK_HAS(err.text, "'nonsense' is no address of a PCI function");
	CHECK_EQ(try_open("sysfs:0000:06:00.0"), -ENODEV);
	CHECK_HAS(err.text, "there is no PCI function 0000:06:00.0");
	CHECK_EQ(try_open("sysfs:" BDF "?memroy=1M"), -EINVAL);
	CHECK_HAS(err.text, "memory");
	put(DIR "/vendor", "0x1b36\n");
	point(DIR "/driver", "../../../../bus/pci/drivers/nvme");
	CHECK_EQ(try_open("sysfs:05:00.0"), -EBUSY);
	CHECK_STR(err.text, BDF " has the driver nvme: sudo riser unbind " BDF " takes it");
	point(DIR "/driver", NULL);
}

TEST(iommu)
{
	put("/sys/kernel/iommu_groups/7/type", "DMA-FQ\n");
	point(DIR "/iommu_group", "../../../../kernel/iommu_groups/7");
	CHECK_EQ(try_open("sysfs:" BDF), -EOPNOTSUPP);
	CHECK_HAS(err.text, "sudo riser bind " BDF ", and pci:" BDF ", which is safe");
	/* One that passes everything on leaves addresses as they are. */
	put("/sys/kernel/iommu_groups/7/type", "identity\n");
	CHECK_EQ(try_open("sysfs:" BDF), -ENOENT);
	CHECK_HAS(err.text, "/config: No such file or directory");
	point(DIR "/iommu_group", NULL);
}

TEST(one_process)
{
	char path[512];
	int fd;

	put(DIR "/config", "");
	snprintf(path, sizeof(path), "%s" DIR "/config", root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	CHECK_EQ(try_open("sysfs:" BDF), -EBUSY);
	CHECK_HAS(err.text, BDF " is in use");
	close(fd);
}

TEST(huge_pages)
{
	CHECK_EQ(try_open("sysfs:" BDF), -ENOMEM);
	CHECK_HAS(err.text, "0 huge pages of 2 MiB are free, and 1 are wanted: sudo riser "
			    "hugepages 32");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n");
	CHECK_EQ(try_open("sysfs:" BDF "?memory=100M"), -ENOMEM);
	CHECK_HAS(err.text, "3 huge pages of 2 MiB are free, and 50 are wanted: sudo riser "
			    "hugepages 50");
	/* Either the machine has none, or the tree tells nothing of where they lie. */
	CHECK(try_open("sysfs:" BDF "?memory=2M") < 0);
	CHECK(strstr(err.text, "cannot be mapped") || strstr(err.text, "no huge pages") ||
	      strstr(err.text, "/proc/self/pagemap"));
}

TEST(virtual_time)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	struct pci_dev *d;
	struct riser *r;
	struct uri u;

	CHECK_EQ(riser_new(&opts, &r, NULL), 0);
	CHECK_EQ(uri_parse("sysfs:" BDF, &u, NULL), 0);
	CHECK_EQ(sysfs_open_on(root, r, &u, &d, &err), -EINVAL);
	uri_free(&u);
	riser_free(r);
}

/* Three huge pages, of which the first two are neighbours. */
static struct sysfs_ram three_pages(void)
{
	struct sysfs_ram ram = { .len = 3 * HUGE };

	ram.base = mmap(NULL, ram.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ram.pa = calloc(3, sizeof(*ram.pa));
	ram.used = calloc(ram.len >> SYSFS_PAGE_SHIFT, 1);
	if (ram.base == MAP_FAILED || !ram.pa || !ram.used)
		abort();
	ram.pa[0] = 64 * MiB;
	ram.pa[1] = ram.pa[0] + HUGE;
	ram.pa[2] = ram.pa[1] + 2 * HUGE;
	return ram;
}

TEST(pieces)
{
	struct sysfs_ram ram = three_pages();
	uint8_t *a, *b, *c;

	/* Larger than a page: only across the two neighbours. */
	a = sysfs_ram_alloc(&ram, 3 * MiB, 4096);
	CHECK(a == ram.base);
	CHECK_EQ(sysfs_ram_address(&ram, a + 3 * MiB - 1), ram.pa[0] + 3 * MiB - 1);
	/* What is left of them does not reach into the third. */
	b = sysfs_ram_alloc(&ram, HUGE, 4096);
	CHECK(b == ram.base + 2 * HUGE);
	CHECK_EQ(sysfs_ram_address(&ram, b), ram.pa[2]);
	c = sysfs_ram_alloc(&ram, MiB, 4096);
	CHECK(c == ram.base + 3 * MiB);
	CHECK(!sysfs_ram_alloc(&ram, 4096, 4096));
	memset(b, 0xa5, HUGE);
	sysfs_ram_free(&ram, b, HUGE);
	b = sysfs_ram_alloc(&ram, 8192, 4096);
	CHECK(b == ram.base + 2 * HUGE);
	CHECK_EQ(b[0] | b[8191], 0);
	sysfs_ram_free(&ram, a, 3 * MiB);
	CHECK(!sysfs_ram_alloc(&ram, 4 * MiB, 4096));
	sysfs_ram_drop(&ram);
	CHECK(!ram.base);
}

/* Across a gap no piece goes, and the search goes on behind it. */
TEST(gap)
{
	struct sysfs_ram ram = three_pages();
	uint8_t *a = sysfs_ram_alloc(&ram, HUGE + 4096, 4096), *b;

	CHECK(a == ram.base);
	b = sysfs_ram_alloc(&ram, HUGE - 4096, 65536);
	CHECK(b == ram.base + 2 * HUGE);
	sysfs_ram_drop(&ram);
}

/* Real ones, where this machine has some and says where they lie. */
TEST(taken)
{
	struct sysfs_ram ram;
	int rc = sysfs_ram_take(&ram, "", 0, &err);
	uint8_t *a;

	if (rc)
		SKIP("no huge pages, or no right to see where they lie");
	CHECK_EQ(ram.len % HUGE, 0);
	for (size_t i = 0; i < ram.len / HUGE; i++)
		CHECK(ram.pa[i] && ram.pa[i] % HUGE == 0 && (!i || ram.pa[i] > ram.pa[i - 1]));
	a = sysfs_ram_alloc(&ram, HUGE, 4096);
	CHECK(a != NULL);
	memset(a, 0x5a, HUGE);
	sysfs_ram_free(&ram, a, HUGE);
	sysfs_ram_drop(&ram);
}

static int remove_tree(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		CASE(refusals),     CASE(iommu),  CASE(one_process), CASE(huge_pages),
		CASE(virtual_time), CASE(pieces), CASE(gap),         CASE(taken),
	};
	int rc;

	if (!mkdtemp(root))
		return 1;
	rc = tap_run(cases, array_len(cases), argc, argv);
	return remove_tree() ? 1 : rc;
}
