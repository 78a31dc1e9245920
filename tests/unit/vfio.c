/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The access to PCI functions through VFIO, on a kernel of the test's own, in both ways. */
#include "vfio_kernel.h"

static struct riser *r;
static struct riser_err err;
static char logged[1024]; /* the last line */
static unsigned logs;

static void keep_log(void *ctx, enum riser_log_level level, const char *line)
{
	logs++;
	snprintf(logged, sizeof(logged), "%s", line);
}

static void begin(void)
{
	struct riser_opts opts = { .size = sizeof(opts), .log = keep_log };

	kernel_boot();
	*logged = 0;
	logs = 0;
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
}

/* The newer way: functions have nodes of their own, groups have none. */
static void begin_iommufd(void)
{
	char p[PATH_MAX];

	SUB(begin());
	kernel_link("x", "/sys/bus/pci/devices/" A "/vfio-dev", "vfio0");
	kernel_link("x", "/sys/bus/pci/devices/" B "/vfio-dev", "vfio1");
	kernel_path(p, "/dev/vfio/7");
	CHECK_EQ(unlink(p), 0);
}

static void end(void)
{
	CHECK_EQ(k.open_fds, 0);
	CHECK_EQ(k.nmaps, 0);
	CHECK(list_empty(&r->vfio));
	CHECK(list_empty(&r->spaces));
	riser_free(r);
	kernel_halt();
}

static int try_open(const char *uri, struct pci_dev **d)
{
	struct uri u;
	int rc = uri_parse(uri, &u, &err);

	if (rc)
		return rc;
	rc = vfio_open_on(&kernel, r, &u, d, &err);
	if (!rc) {
		(*d)->name = uri_canonical(&u, NULL);
		list_add(&r->functions, &(*d)->link); /* as pci_open() does */
	}
	uri_free(&u);
	return rc;
}

static struct pci_dev *opened(const char *uri)
{
	struct pci_dev *d = NULL;

	if (try_open(uri, &d))
		printf("# %s\n", err.text);
	return d;
}

static void refused(const char *uri, int code, const char *part)
{
	struct pci_dev *d;

	CHECK_EQ(try_open(uri, &d), code);
	CHECK_HAS(err.text, part);
	CHECK_EQ(k.open_fds, 0);
	CHECK(list_empty(&r->vfio));
}

static uint32_t command(void)
{
	return k.cfg[PCI_CFG_COMMAND] | (uint32_t)k.cfg[PCI_CFG_COMMAND + 1] << 8;
}

static void opens_and_lets_go(void)
{
	struct pci_dev *d = opened("pci:01:00.0");
	struct dma_mem m;
	uint32_t v;

	CHECK(d);
	CHECK_EQ(command(), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQ(d->access->cfg_read(d, PCI_CFG_VENDOR, 4, &v), 0);
	CHECK_EQ(v, 0x00101b36);
	CHECK_EQ(d->access->cfg_read(d, 256, 4, &v), -ENODEV);
	CHECK_EQ(dma_alloc(&d->dma, 8192, 8192, &m, &err), 0);
	CHECK_EQ(k.nmaps, 1);
	CHECK_EQ(k.maps[0].iova, m.iova);
	CHECK_EQ(k.maps[0].va, (uintptr_t)m.va);
	CHECK_EQ(m.iova, 4 * (uint64_t)GiB);
	dma_free(&d->dma, &m);
	CHECK_EQ(k.nmaps, 0);
	pci_close(d);
	CHECK_EQ(command() & PCI_COMMAND_MASTER, 0);
	CHECK(k.unmapped_last < k.device_closed);
	CHECK(k.device_closed < k.container_closed);
}

TEST(group_opens_and_lets_go)
{
	SUB(begin());
	SUB(opens_and_lets_go());
	CHECK(k.device_closed < k.group_closed && k.group_closed < k.container_closed);
	SUB(end());
}

TEST(iommufd_opens_and_lets_go)
{
	SUB(begin_iommufd());
	SUB(opens_and_lets_go());
	CHECK_EQ(k.containers, 0);
	SUB(end());
}

TEST(what_is_no_function)
{
	SUB(begin());
	SUB(refused("pci:1f.7", -EINVAL, "'1f.7' is no address of a PCI function"));
	SUB(refused("pci:" A "?iova-bse=1", -EINVAL, "did you mean 'iova-base'?"));
	SUB(refused("pci:09:00.0", -ENODEV, "there is no PCI function 0000:09:00.0"));
	kernel_function("0000:09:00.0", "nvme", -1);
	SUB(refused("pci:09:00.0", -ENODEV, "0000:09:00.0 is in no IOMMU group"));
	CHECK_HAS(err.text, "intel_iommu=on");
	kernel_function("0000:0a:00.0", "nvme", 9);
	SUB(refused("pci:0A:00.0", -EBUSY,
		    "0000:0a:00.0 is bound to nvme, not to vfio-pci: as root, riser bind "
		    "0000:0a:00.0"));
	kernel_function("0000:0b:00.0", NULL, 9);
	SUB(refused("pci:0b:00.0", -EBUSY, "is bound to no driver, not to vfio-pci"));
	SUB(end());
}

TEST(virtual_time_is_refused)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	kernel_boot();
	CHECK_EQ(riser_new(&opts, &r, &err), 0);
	SUB(refused("pci:" A, -EINVAL, "virtual"));
	SUB(end());
}

TEST(what_the_kernel_lacks)
{
	SUB(begin());
	k.open_container = -ENOENT;
	SUB(refused("pci:" A, -ENODEV, "there is no /dev/vfio/vfio: as root, modprobe vfio-pci"));
	k.open_container = 0;
	k.no_type1 = true;
	SUB(refused("pci:" A, -ENODEV, "modprobe vfio_iommu_type1"));
	k.no_type1 = false;
	k.set_iommu = -ENODEV;
	SUB(refused("pci:" A, -ENODEV, "modprobe vfio_iommu_type1"));
	k.set_iommu = -EPERM;
	SUB(refused("pci:" A, -EPERM, "allow_unsafe_interrupts=1"));
	k.set_iommu = 0;
	k.set_container = -EINVAL;
	SUB(refused("pci:" A, -EINVAL, "/dev/vfio/7"));
	k.set_container = 0;
	k.device = -ENODEV;
	SUB(refused("pci:" A, -ENODEV, "IOMMU group 7 does not give it out"));
	k.device = 0;
	k.stuck_master = false;
	SUB(end());
}

TEST(who_may_not_open_is_told_whose_it_is)
{
	SUB(begin());
	k.open_group = -EACCES;
	SUB(refused("pci:" A, -EACCES, "/dev/vfio/7 is "));
	CHECK_HAS(err.text, "'s with mode 0600, and ");
	CHECK_HAS(err.text, " may not open it: as root, riser bind " A " --user ");
	k.open_group = -EPERM;
	SUB(refused("pci:" A, -EPERM, "(in a container, it has to be passed in)"));
	SUB(end());
}

TEST(a_group_that_is_not_whole_names_its_members)
{
	SUB(begin());
	kernel_function(B, "snd_hda_intel", 7);
	kernel_function("0000:01:00.2", NULL, 7);
	k.not_viable = true;
	SUB(refused("pci:" A, -EBUSY,
		    A " (vfio-pci) " B " (snd_hda_intel) 0000:01:00.2 (no driver): as root, riser "
		      "bind them all"));
	SUB(end());
}

TEST(who_has_it_is_named)
{
	char seen[PATH_MAX], own[PATH_MAX];

	SUB(begin());
	k.open_group = -EBUSY;
	SUB(refused("pci:" A, -EBUSY, "held by a process that only root can see"));
	kernel_link("/dev/null", "/proc/812/fd", "3");
	kernel_link("/dev/vfio/7", "/proc/4242/fd", "11");
	kernel_file("/proc/4242/comm", "qemu-system-x86\n", 0644);
	SUB(refused("pci:" A, -EBUSY, "/dev/vfio/7 is held by qemu-system-x86, pid 4242"));
	kernel_path(seen, "/proc/4242");
	kernel_path(own, "/proc/%d", getpid());
	CHECK_EQ(rename(seen, own), 0);
	SUB(refused("pci:" A, -EBUSY, "another context of this process, "));
	SUB(end());
}

/* --- Memory --- */

TEST(memory_keeps_out_of_what_is_reserved)
{
	uint64_t hole = 0xfee00000;
	struct pci_dev *d;
	void *va[12];

	SUB(begin());
	k.ranges[1].last = hole + 64 * MiB; /* narrow: it has to go below as well */
	d = opened("pci:" A);
	CHECK(d);
	for (unsigned i = 0; i < 12; i++) {
		CHECK_EQ(riser_mem_alloc(r, 16 * MiB, &va[i], &err), 0);
		CHECK((dma_slot(&d->dma, va[i]) & 1) != 0);
	}
	for (unsigned i = 0; i < k.nmaps; i++) {
		CHECK(k.maps[i].iova >= 4096);
		CHECK(k.maps[i].iova + k.maps[i].len <= hole || k.maps[i].iova > hole + 0xfffff);
		CHECK_EQ((k.maps[i].va - k.maps[i].iova) % DMA_SLOT_SIZE, 0);
	}
	CHECK_EQ(k.nmaps, 12);
	for (unsigned i = 0; i < 12; i++)
		riser_mem_free(r, va[i]);
	pci_close(d);
	SUB(end());
}

TEST(addresses_come_again_only_at_the_end)
{
	struct pci_dev *d;
	uint64_t first;
	void *va;

	SUB(begin());
	k.ranges[0] = (struct vfio_range){ 0, 64 * KiB - 1 };
	k.nranges = 1;
	d = opened("pci:" A);
	CHECK(d);
	for (unsigned i = 0; i < 40; i++) {
		CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
		first = dma_translate(&d->dma, va);
		CHECK_EQ(first % (64 * KiB), 4096 * (1 + i % 15));
		riser_mem_free(r, va);
	}
	pci_close(d);
	SUB(end());
}

TEST(no_address_is_left)
{
	struct pci_dev *d;
	void *va, *more;

	SUB(begin());
	k.ranges[0] = (struct vfio_range){ 0, 64 * KiB - 1 };
	k.nranges = 1;
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(riser_mem_alloc(r, 32 * KiB, &va, &err), 0);
	CHECK_EQ(riser_mem_alloc(r, 32 * KiB, &more, &err), -ENOSPC);
	CHECK_HAS(err.text, "no 32768 bytes of IOVA are left");
	riser_mem_free(r, va);
	pci_close(d);
	SUB(end());
}

TEST(iova_base_steers)
{
	struct pci_dev *d;
	void *va;

	SUB(begin());
	d = opened("pci:" A "?iova-base=0x200000000");
	CHECK(d);
	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
	CHECK_EQ(k.maps[0].iova, 0x200000000);
	riser_mem_free(r, va);
	pci_close(d);
	SUB(refused("pci:" A "?iova-base=0xfee00000", -EINVAL,
		    "iova-base=0xfee00000 is no address of the IOMMU's pages (4096 bytes) between "
		    "0 and 0x7fffffffff, or is reserved"));
	SUB(refused("pci:" A "?iova-base=0x8000000000", -EINVAL, "iova-base"));
	SUB(refused("pci:" A "?iova-base=100", -EINVAL, "iova-base"));
	SUB(refused("pci:" A "?iova-base=lots", -EINVAL, "iova-base"));
	SUB(end());
}

TEST(an_old_kernel_tells_no_ranges)
{
	struct pci_dev *d;
	void *va;

	SUB(begin());
	k.no_caps = true;
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
	CHECK_EQ(k.maps[0].iova, 4 * (uint64_t)GiB);
	riser_mem_free(r, va);
	pci_close(d);
	SUB(end());
}

TEST(a_chain_that_lies_is_not_followed_out)
{
	struct pci_dev *d;

	SUB(begin());
	k.bad_caps = true; /* more ranges than there is room for */
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(container_of(d, struct vfio_dev, pci)->space->nranges, 2);
	pci_close(d);
	SUB(end());
}

TEST(locked_memory_names_line_and_file)
{
	struct rlimit old, low;
	struct pci_dev *d;
	void *va, *more;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(riser_mem_alloc(r, 4 * MiB, &va, &err), 0);
	CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &old), 0);
	low = (struct rlimit){ .rlim_cur = 8 * MiB, .rlim_max = old.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &low), 0);
	k.map = -ENOMEM;
	CHECK_EQ(riser_mem_alloc(r, 60 * MiB, &more, &err), -ENOMEM);
	CHECK_HAS(err.text, A ": 65536 KiB have to be locked in memory, and the limit "
			      "(RLIMIT_MEMLOCK) is 8192 KiB: as root, write the line '");
	CHECK_HAS(err.text, " - memlock 131072' into /etc/security/limits.d/riser.conf");
	CHECK_HAS(err.text, "LimitMEMLOCK=128M");
	CHECK_EQ(riser_mem_alloc(r, 2 * MiB, &more, &err), -ENOMEM); /* not the limit's doing */
	CHECK_HAS(err.text, "2097152 bytes cannot be mapped for it");
	k.map = -ENOSPC;
	CHECK_EQ(riser_mem_alloc(r, 4096, &more, &err), -ENOSPC);
	CHECK_HAS(err.text, "dma_entry_limit");
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &old), 0);
	riser_mem_free(r, va);
	pci_close(d);
	SUB(end());
}

TEST(large_pages_of_the_iommu)
{
	struct pci_dev *d;
	void *va;

	SUB(begin());
	k.pages = 64 * KiB;
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(d->dma.page_shift, 16);
	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), -EINVAL);
	CHECK_HAS(err.text, "is not made of the IOMMU's pages (65536 bytes)");
	pci_close(d);
	k.pages = 1ull << 30;
	SUB(refused("pci:" A, -ENOTSUP, "larger than 2 MiB"));
	SUB(end());
}

static void unmapping_is_verified(void)
{
	struct pci_dev *d;
	void *va, *more;

	k.ranges[0] = (struct vfio_range){ 0, 12 * KiB - 1 }; /* but 0 is no address */
	k.nranges = 1;
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
	CHECK_EQ(dma_translate(&d->dma, va), 4096);
	k.short_unmap = true;
	riser_mem_free(r, va);
	CHECK_HAS(logged, "the device may still reach that memory");
	k.short_unmap = false;
	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
	CHECK_EQ(dma_translate(&d->dma, va), 8192);
	CHECK_EQ(riser_mem_alloc(r, 4096, &more, &err), -ENOSPC); /* not where that was */
	riser_mem_free(r, va);
	pci_close(d);
	CHECK_EQ(k.nmaps, 1);
	k.nmaps = 0;
}

TEST(group_unmapping_is_verified)
{
	SUB(begin());
	SUB(unmapping_is_verified());
	SUB(end());
}

TEST(iommufd_unmapping_is_verified)
{
	SUB(begin_iommufd());
	SUB(unmapping_is_verified());
	SUB(end());
}

/* --- Several functions --- */

static void group_shares(void)
{
	struct pci_dev *a, *b, *twice;
	void *va, *late;

	CHECK_EQ(riser_mem_alloc(r, 4096, &va, &err), 0);
	a = opened("pci:" A);
	b = opened("pci:" B);
	CHECK(a && b);
	CHECK_EQ(k.nmaps, 1);
	CHECK_EQ(dma_translate(&a->dma, va), dma_translate(&b->dma, va));
	CHECK_EQ(try_open("pci:" A "?iova-base=4G", &twice), -EBUSY);
	CHECK_HAS(err.text, A " is open already, as pci:" A);
	pci_close(a);
	CHECK_EQ(k.nmaps, 1);
	CHECK_EQ(riser_mem_alloc(r, 4096, &late, &err), 0);
	CHECK_EQ(k.mapped, 2);
	CHECK_EQ(try_open("pci:" A "?iova-base=8G", &twice), -EBUSY);
	CHECK_HAS(err.text, "no other iova-base can be had");
	a = opened("pci:" A);
	CHECK(a);
	CHECK_EQ(k.mapped, 2);
	riser_mem_free(r, late);
	CHECK_EQ(k.nmaps, 1);
	pci_close(b);
	CHECK_EQ(k.nmaps, 1);
	pci_close(a);
	CHECK_EQ(k.nmaps, 0);
	riser_mem_free(r, va);
}

TEST(functions_of_a_group_share_a_container)
{
	SUB(begin());
	SUB(group_shares());
	CHECK_EQ(k.containers, 1);
	SUB(end());
}

TEST(functions_of_a_group_share_an_ioas)
{
	SUB(begin_iommufd());
	SUB(group_shares());
	SUB(end());
}

TEST(groups_have_containers_of_their_own)
{
	struct pci_dev *a, *c;

	SUB(begin());
	a = opened("pci:" A);
	c = opened("pci:" C);
	CHECK(a && c);
	CHECK_EQ(k.containers, 2);
	pci_close(a);
	pci_close(c);
	SUB(end());
}

/* --- Registers --- */

TEST(registers_go_through_the_kernel)
{
	struct pci_dev *d;
	uint32_t v;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	pci_write32(d, 0, 0x14, 0x11223344);
	CHECK_EQ(k.bar[0x14], 0x44);
	pci_write64(d, 0, 0x28, 0x1122334455667788);
	CHECK_EQ(pci_read64(d, 0, 0x28), 0x1122334455667788);
	CHECK_EQ(pci_read32(d, 0, 0x2c), 0x11223344);
	CHECK_EQ(pci_read32(d, 0, BAR_LEN), UINT32_MAX);
	CHECK_EQ(pci_read64(d, 0, BAR_LEN - 4), UINT64_MAX);
	CHECK_EQ(pci_read32(d, 1, 0), UINT32_MAX);
	CHECK_EQ(pci_read32(d, 6, 0), UINT32_MAX);
	/* Memory decoding stays on, whatever a driver writes. */
	CHECK_EQ(d->access->cfg_write(d, PCI_CFG_COMMAND, 2, 0), 0);
	CHECK_EQ(d->access->cfg_read(d, PCI_CFG_COMMAND, 2, &v), 0);
	CHECK_EQ(v, PCI_COMMAND_MEMORY);
	pci_close(d);
	SUB(end());
}

TEST(what_may_be_mapped_of_a_bar)
{
	struct pci_dev *d;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	CHECK(pci_map(d, 0, 0x1008, 64) == k.bar + 0x1008);
	CHECK(!pci_map(d, 0, BAR_LEN - 64, 65));
	CHECK(!pci_map(d, 1, 0, 1));
	k.sparse = true;
	CHECK(pci_map(d, 0, 0x1000, 4096) == k.bar + 0x1000);
	CHECK(!pci_map(d, 0, 0x1000, 4097));
	CHECK(!pci_map(d, 0, 0xffc, 8));
	k.sparse = false;
	k.no_mmap = true;
	CHECK(!pci_map(d, 0, 0x1000, 64));
	pci_close(d);
	SUB(end());
}

/* --- Interrupts --- */

TEST(fixed_vectors_are_taken_at_once)
{
	int fds[VECTORS];
	struct pci_dev *d;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(pci_irq_vectors(d), VECTORS);
	memset(fds, 0xff, sizeof(fds));
	CHECK_EQ(pci_irq_set(d, fds, VECTORS + 1), -EINVAL);
	CHECK_EQ(pci_irq_set(d, fds, 8), 0);
	CHECK_EQ(k.enabled, 8);
	CHECK_EQ(k.irq_calls, 1);
	CHECK_EQ(k.irq_index, VFIO_PCI_MSIX_IRQ_INDEX);
	fds[3] = 33;
	CHECK_EQ(pci_irq_set(d, fds, 8), 0);
	CHECK_EQ(pci_irq_set(d, fds, 8), 0); /* nothing is new */
	CHECK_EQ(k.irq_calls, 2);
	CHECK_EQ(k.fds[3], 33);
	CHECK_EQ(k.fds[2], -1);
	fds[3] = -1;
	fds[0] = 30;
	CHECK_EQ(pci_irq_set(d, fds, 8), 0);
	CHECK_EQ(k.irq_calls, 4);
	CHECK_EQ(k.fds[3], -1);
	CHECK_EQ(pci_irq_set(d, fds, 12), 0); /* more: off and on again */
	CHECK_EQ(k.enabled, 12);
	CHECK_EQ(k.fds[0], 30);
	CHECK_EQ(pci_irq_set(d, NULL, 0), 0);
	CHECK_EQ(k.enabled, 0);
	CHECK_EQ(pci_irq_set(d, fds, 2), 0);
	CHECK_EQ(k.fds[0], 30);
	pci_close(d);
	SUB(end());
}

TEST(a_system_with_few_vectors_says_how_many)
{
	int fds[VECTORS];
	struct pci_dev *d;

	SUB(begin());
	k.few_vectors = 5;
	memset(fds, 0xff, sizeof(fds));
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(pci_irq_set(d, fds, VECTORS), -ENOSPC);
	CHECK_EQ(pci_irq_vectors(d), 5);
	CHECK_EQ(pci_irq_set(d, fds, 5), 0);
	CHECK_EQ(k.enabled, 5);
	pci_close(d);
	SUB(end());
}

TEST(dynamic_vectors_are_taken_as_wanted)
{
	int fds[VECTORS];
	struct pci_dev *d;

	SUB(begin());
	k.dynamic = true;
	k.few_vectors = 1;
	memset(fds, 0xff, sizeof(fds));
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(pci_irq_set(d, fds, VECTORS), 0);
	CHECK_EQ(k.enabled, 1);
	fds[9] = 39;
	CHECK_EQ(pci_irq_set(d, fds, VECTORS), 0);
	CHECK_EQ(k.fds[9], 39);
	CHECK_EQ(k.irq_calls, 2);
	pci_close(d);
	SUB(end());
}

TEST(msi_where_there_is_no_msix)
{
	int fds[4] = { -1, 31, -1, -1 };
	struct pci_dev *d;

	SUB(begin());
	k.no_msix = true;
	k.dynamic = true; /* which MSI never is */
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(pci_irq_vectors(d), 4);
	CHECK_EQ(pci_irq_set(d, fds, 4), 0);
	CHECK_EQ(k.irq_index, VFIO_PCI_MSI_IRQ_INDEX);
	CHECK_EQ(k.enabled, 4);
	CHECK_EQ(k.fds[1], 31);
	pci_close(d);
	SUB(end());
}

/* --- Reset and removal --- */

TEST(reset_restores_the_command)
{
	struct pci_dev *d;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(pci_reset(d), 0);
	CHECK_EQ(command(), 0);
	CHECK_EQ(pci_reset_poll(d), 1);
	CHECK_EQ(command(), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	k.resets_busy = 2;
	CHECK_EQ(pci_reset(d), 0);
	CHECK_EQ(pci_reset_poll(d), 0);
	CHECK_EQ(k.resets, 1);
	CHECK_EQ(pci_reset_poll(d), 1);
	CHECK_EQ(k.resets, 2);
	k.reset = -EIO;
	CHECK_EQ(pci_reset(d), -EIO);
	pci_close(d);
	k.no_reset = true;
	d = opened("pci:" A);
	CHECK(d);
	CHECK_EQ(pci_reset(d), -EOPNOTSUPP);
	pci_close(d);
	SUB(end());
}

/* Until it says that the function is gone; it looks now and then. */
static int pump(struct pci_dev *d)
{
	uint64_t next;
	int rc = 0;

	for (unsigned i = 0; !rc && i < 20000; i++) {
		rc = pci_pump(d, &next);
		usleep(rc ? 0 : 1000);
	}
	return rc;
}

TEST(asked_back_it_stops_and_is_gone)
{
	struct pci_dev *d;
	uint64_t next;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	CHECK(k.req_fd >= 0);
	CHECK_EQ(pci_pump(d, &next), 0);
	CHECK_EQ(pci_read32(d, 0, 0), 0);
	event_signal(k.req_fd);
	CHECK_EQ(pump(d), -ENODEV);
	CHECK_EQ(command(), PCI_COMMAND_MEMORY);
	CHECK_HAS(logged, "the system wants it back");
	CHECK_EQ(pci_pump(d, &next), -ENODEV);
	CHECK_EQ(pci_read32(d, 0, 0), UINT32_MAX);
	CHECK_EQ(pci_reset(d), -ENODEV);
	pci_close(d);
	SUB(end());
}

static void *pump_in_a_thread(void *d)
{
	return (void *)(intptr_t)pump(d);
}

/* Every owner pumps; one of them stops it, and all learn of it. */
TEST(asked_back_under_many_eyes)
{
	struct pci_dev *d;
	pthread_t t[4];
	void *rc;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, pump_in_a_thread, d), 0);
	usleep(10000);
	event_signal(k.req_fd);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(pthread_join(t[i], &rc), 0);
		CHECK_EQ((intptr_t)rc, -ENODEV);
	}
	CHECK_EQ(command(), PCI_COMMAND_MEMORY);
	CHECK_EQ(logs, 1);
	pci_close(d);
	SUB(end());
}

TEST(a_function_that_does_not_stop_is_told_of)
{
	struct pci_dev *d;

	SUB(begin());
	d = opened("pci:" A);
	CHECK(d);
	k.stuck_master = true;
	event_signal(k.req_fd);
	CHECK_EQ(pump(d), -ENODEV);
	CHECK_HAS(logged, "bus mastering cannot be switched off");
	pci_close(d);
	SUB(end());
}

/* --- The newer way's own refusals --- */

TEST(iommufd_refusals)
{
	SUB(begin_iommufd());
	k.open_iommu = -ENOENT;
	SUB(refused("pci:" A, -ENODEV, "there is no /dev/iommu"));
	k.open_iommu = 0;
	k.open_node = -EACCES;
	SUB(refused("pci:" A, -EACCES, "/dev/vfio/devices/vfio0 is "));
	k.open_node = 0;
	k.bind = -EBUSY;
	kernel_link("/dev/vfio/devices/vfio0", "/proc/99/fd", "4");
	kernel_file("/proc/99/comm", "vmm\n", 0644);
	SUB(refused("pci:" A, -EBUSY, "/dev/vfio/devices/vfio0 is held by vmm, pid 99"));
	k.bind = 0;
	SUB(end());
}

TEST_MAIN(CASE(group_opens_and_lets_go), CASE(iommufd_opens_and_lets_go), CASE(what_is_no_function),
	  CASE(virtual_time_is_refused), CASE(what_the_kernel_lacks),
	  CASE(who_may_not_open_is_told_whose_it_is),
	  CASE(a_group_that_is_not_whole_names_its_members), CASE(who_has_it_is_named),
	  CASE(memory_keeps_out_of_what_is_reserved), CASE(addresses_come_again_only_at_the_end),
	  CASE(no_address_is_left), CASE(iova_base_steers), CASE(an_old_kernel_tells_no_ranges),
	  CASE(a_chain_that_lies_is_not_followed_out), CASE(locked_memory_names_line_and_file),
	  CASE(large_pages_of_the_iommu), CASE(group_unmapping_is_verified),
	  CASE(iommufd_unmapping_is_verified), CASE(functions_of_a_group_share_a_container),
	  CASE(functions_of_a_group_share_an_ioas), CASE(groups_have_containers_of_their_own),
	  CASE(registers_go_through_the_kernel), CASE(what_may_be_mapped_of_a_bar),
	  CASE(fixed_vectors_are_taken_at_once), CASE(a_system_with_few_vectors_says_how_many),
	  CASE(dynamic_vectors_are_taken_as_wanted), CASE(msi_where_there_is_no_msix),
	  CASE(reset_restores_the_command), CASE(asked_back_it_stops_and_is_gone),
	  CASE(asked_back_under_many_eyes), CASE(a_function_that_does_not_stop_is_told_of),
	  CASE(iommufd_refusals))
