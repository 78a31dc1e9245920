/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * sysfs:0000:01:00.0: a PCI function without an IOMMU and without a driver, as root.
 *
 * Registers are a mapping of the file resourceN, ports are read from it and written to it, and
 * configuration space is the file config. The
 * function is told physical addresses, and nothing but its good will keeps it to them: so this way
 * is taken only where it is asked for by its name, where no driver has the function, and where no
 * IOMMU translates for it, since addresses would not be what they say then.
 *
 * The device reaches only memory of this file's, huge pages (see sysfs_ram.h); everything else is
 * bounced. There are no interrupts. One process has the function, by a lock on its config file.
 */
#include "pci/access/sysfs.h"
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/access/sysfs_ram.h"
#include "pci/sysfs_info.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BARS    6
#define LOOK_NS NS_PER_S /* how often to look whether it is still there */

/**
 * struct sysfs_dev - an opened function
 * @dir: its folder
 * @cfg: the file config
 * @bars: mapped, or @ports is the file to read and write; -1 for none
 * @ram: what it reaches
 * @looked: when it was last looked for
 */
struct sysfs_dev {
	struct pci_dev pci;
	char bdf[PCI_BDF_LEN];
	char dir[PATH_MAX / 2];
	int cfg;
	struct {
		uint8_t *addr;
		size_t len;
		int ports;
	} bars[BARS];
	struct sysfs_ram ram;
	uint64_t looked;
	bool gone;
};

extern const struct pci_access access_sysfs;

static struct sysfs_dev *sysfs_of(struct pci_dev *d)
{
	return container_of(d, struct sysfs_dev, pci);
}

/* --- Memory --- */

static int memory_alloc(struct riser_dma_space *s, size_t len, size_t align, void **out,
			struct riser_err *err)
{
	struct sysfs_dev *v = container_of(s, struct sysfs_dev, pci.dma);
	void *va = sysfs_ram_alloc(&v->ram, len, align);
	int rc;

	if (!va)
		return err_set(err, -ENOMEM,
			       "%s: no %zu bytes in one piece are left of %zu MiB of huge pages: "
			       "sysfs:%s?memory=SIZE takes more",
			       v->bdf, len, v->ram.len / MiB, v->bdf);
	/* Pieces do not cross from page to page but where these are neighbours. */
	rc = dma_space_enter(s, va, len, sysfs_ram_address(&v->ram, va));
	if (rc) {
		dma_space_clear(s, va, len);
		sysfs_ram_free(&v->ram, va, len);
		return err_set(err, rc, "%s: no memory for a translation table", v->bdf);
	}
	*out = va;
	return 0;
}

static void memory_free(struct riser_dma_space *s, void *va, size_t len)
{
	len = align_up(len, (size_t)1 << SYSFS_PAGE_SHIFT);
	dma_space_clear(s, va, len);
	sysfs_ram_free(&container_of(s, struct sysfs_dev, pci.dma)->ram, va, len);
}

static const struct dma_space_ops memory_ops = {
	.size = sizeof(memory_ops),
	.alloc = memory_alloc,
	.free = memory_free,
};

/* --- Registers and configuration space --- */

static int sysfs_cfg_read(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val)
{
	riser_le32 raw = { 0 };

	if (pread(sysfs_of(d)->cfg, &raw, len, off) != (ssize_t)len)
		return -ENODEV;
	*val = le32(raw);
	return 0;
}

static int sysfs_cfg_write(struct pci_dev *d, unsigned off, unsigned len, uint32_t val)
{
	riser_le32 raw = to_le32(val);

	return pwrite(sysfs_of(d)->cfg, &raw, len, off) == (ssize_t)len ? 0 : -ENODEV;
}

/* The place of a register, or NULL. */
static uint8_t *reach(struct sysfs_dev *v, unsigned bar, size_t off, size_t len)
{
	if (bar >= BARS || len > v->bars[bar].len || off > v->bars[bar].len - len)
		return NULL;
	return v->bars[bar].addr + off;
}

/* Ports: the kernel takes and gives what an in or out instruction does. Return: all-ones if not. */
static uint64_t port_read(const struct sysfs_dev *v, unsigned bar, size_t off, unsigned width)
{
	riser_le32 raw = { 0 };

	if (bar >= BARS || v->bars[bar].ports < 0 || width > 4 ||
	    pread(v->bars[bar].ports, &raw, width, (off_t)off) != (ssize_t)width)
		return UINT64_MAX;
	return le32(raw);
}

static void port_write(const struct sysfs_dev *v, unsigned bar, size_t off, unsigned width,
		       uint64_t val)
{
	riser_le32 raw = to_le32((uint32_t)val);

	/* One that fails has found nobody there, which reading tells. */
	if (bar < BARS && v->bars[bar].ports >= 0 && width <= 4 &&
	    pwrite(v->bars[bar].ports, &raw, width, (off_t)off) < 0)
		return;
}

static int sysfs_bar_map(struct pci_dev *d, unsigned bar, size_t off, size_t len,
			 volatile void **out)
{
	*out = reach(sysfs_of(d), bar, off, len);
	return *out ? 0 : -EINVAL;
}

static uint64_t sysfs_bar_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	struct sysfs_dev *v = sysfs_of(d);
	const uint8_t *p = reach(v, bar, off, width);

	if (load_relaxed(&v->gone))
		return UINT64_MAX;
	if (!p)
		return port_read(v, bar, off, width);
	switch (width) {
	case 1:
		return mmio_read8(p);
	case 2:
		return mmio_read16(p);
	case 4:
		return mmio_read32(p);
	default:
		return mmio_read64(p);
	}
}

static void sysfs_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
			    uint64_t val)
{
	struct sysfs_dev *v = sysfs_of(d);
	uint8_t *p = reach(v, bar, off, width);

	if (load_relaxed(&v->gone))
		return;
	if (!p)
		port_write(v, bar, off, width, val);
	else if (width == 1)
		mmio_write8(p, (uint8_t)val);
	else if (width == 2)
		mmio_write16(p, (uint16_t)val);
	else if (width == 4)
		mmio_write32(p, (uint32_t)val);
	else
		mmio_write64(p, val);
}

/* --- Reset and removal --- */

static int write_file(const struct sysfs_dev *v, const char *name, const char *value)
{
	char path[PATH_MAX];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int set_command(struct sysfs_dev *v, bool on)
{
	uint32_t val, bits = PCI_COMMAND_MASTER | (on ? PCI_COMMAND_MEMORY | PCI_COMMAND_IO : 0);
	int rc = sysfs_cfg_read(&v->pci, PCI_CFG_COMMAND, 2, &val);

	if (rc || val == UINT16_MAX)
		return -ENODEV;
	return sysfs_cfg_write(&v->pci, PCI_CFG_COMMAND, 2, on ? val | bits : val & ~bits);
}

/* The kernel saves and restores what a reset takes, and returns when it is over. */
static int sysfs_reset(struct pci_dev *d)
{
	int rc = write_file(sysfs_of(d), "reset", "1");

	return rc == -ENOENT ? -EOPNOTSUPP : rc;
}

static int sysfs_reset_poll(struct pci_dev *d)
{
	int rc = set_command(sysfs_of(d), true);

	return rc ? rc : 1;
}

static int sysfs_pump(struct pci_dev *d, uint64_t *next)
{
	struct sysfs_dev *v = sysfs_of(d);
	struct timespec ts;
	uint32_t val;
	uint64_t now;

	/* It stands still between two ticks and costs a few nanoseconds. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	*next = now + LOOK_NS;
	if (now - load_relaxed(&v->looked) >= LOOK_NS) {
		store_relaxed(&v->looked, now);
		if (sysfs_cfg_read(d, PCI_CFG_VENDOR, 2, &val) || val == UINT16_MAX)
			store_relaxed(&v->gone, true);
	}
	return load_relaxed(&v->gone) ? -ENODEV : 0;
}

/* --- Opening --- */

/* May this function be taken so? */
static int check(const char *root, const struct sysfs_dev *v, struct riser_err *err)
{
	char driver[PCI_NAME_LEN], path[PATH_MAX], type[16] = "";
	int group = pci_sysfs_group(root, v->bdf);
	FILE *f;

	if (!pci_sysfs_there(root, v->bdf))
		return err_set(err, -ENODEV, "there is no PCI function %s (riser list shows them)",
			       v->bdf);
	pci_sysfs_driver(root, v->bdf, driver);
	if (*driver)
		return err_set(err, -EBUSY, "%s has the driver %s: sudo riser unbind %s takes it",
			       v->bdf, driver, v->bdf);
	if (group < 0)
		return 0;
	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/type", root, group);
	f = fopen(path, "re");
	if (f && !fgets(type, sizeof(type), f))
		*type = 0;
	if (f)
		fclose(f);
	if (!strncmp(type, "identity", strlen("identity")))
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "%s is behind an IOMMU, so that it does not see physical addresses: sudo "
		       "riser bind %s, and pci:%s, which is safe",
		       v->bdf, v->bdf, v->bdf);
}

static int open_cfg(const char *root, struct sysfs_dev *v, struct riser_err *err)
{
	char path[PATH_MAX], real[PATH_MAX], comm[PCI_NAME_LEN] = "";
	int pid;

	snprintf(path, sizeof(path), "%s/config", v->dir);
	v->cfg = open(path, O_RDWR | O_CLOEXEC);
	if (v->cfg < 0)
		return err_set(err, -errno, "%s: %s%s", path, strerror(errno),
			       errno == EACCES || errno == EPERM ? ": sysfs: wants root" : "");
	if (!flock(v->cfg, LOCK_EX | LOCK_NB))
		return 0;
	pid = realpath(path, real) ? pci_sysfs_holder(root, real, comm) : 0;
	if (pid)
		return err_set(err, -EBUSY, "%s is in use by process %d (%s)", v->bdf, pid, comm);
	return err_set(err, -EBUSY, "%s is in use by this process or another", v->bdf);
}

/*
 * The file resourceN, whole: mapped, or left open where it is of ports, which mmap() refuses.
 * Return: 0, also where there is none, or a negative errno.
 */
static int map_bar(const char *path, uint8_t **addr, size_t *len, int *ports)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), rc = 0;
	struct stat st;
	void *p;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st)) {
		rc = -errno;
	} else if (st.st_size > 0) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED) {
			*addr = p;
			*len = (size_t)st.st_size;
		} else if (errno == ENODEV || errno == EINVAL) {
			*ports = fd;
			return 0;
		} else {
			rc = -errno;
		}
	}
	close(fd);
	return rc;
}

static int map_bars(struct sysfs_dev *v, struct riser_err *err)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < BARS; i++) {
		int rc;

		snprintf(path, sizeof(path), "%s/resource%u", v->dir, i);
		rc = map_bar(path, &v->bars[i].addr, &v->bars[i].len, &v->bars[i].ports);
		if (rc)
			return err_set(err, rc, "%s cannot be mapped: %s%s", path, strerror(-rc),
				       rc == -EPERM ? ": the kernel is locked down" : "");
	}
	return 0;
}

static int set_up(struct sysfs_dev *v, const char *root, uint64_t memory, struct riser_err *err)
{
	int rc = check(root, v, err);

	if (!rc)
		rc = open_cfg(root, v, err);
	if (!rc)
		rc = sysfs_ram_take(&v->ram, root, memory, err);
	if (rc)
		return rc;
	/* Powers it up. Older kernels do not let everybody, and then it may be up all the same. */
	write_file(v, "enable", "1");
	rc = map_bars(v, err);
	if (!rc)
		rc = dma_space_init(&v->pci.dma, v->pci.r, &memory_ops, SYSFS_PAGE_SHIFT, true,
				    err);
	if (rc)
		return rc;
	rc = set_command(v, true);
	if (rc)
		return err_set(err, rc, "%s does not answer", v->bdf);
	base_log(v->pci.r, RISER_LOG_NOTICE,
		 "WARNING: no IOMMU is between %s and this machine: the device can write to any "
		 "memory, whatever goes wrong in it, in riser or in its firmware",
		 v->bdf);
	return 0;
}

/* Bus mastering goes off before the memory goes that the function knows of. */
static void sysfs_close(struct pci_dev *d)
{
	struct sysfs_dev *v = sysfs_of(d);

	if (v->pci.dma.table) {
		set_command(v, false);
		write_file(v, "enable", "0");
	}
	for (unsigned i = 0; i < BARS; i++) {
		if (v->bars[i].addr)
			munmap(v->bars[i].addr, v->bars[i].len);
		if (v->bars[i].ports >= 0)
			close(v->bars[i].ports);
	}
	dma_space_destroy(&v->pci.dma);
	sysfs_ram_drop(&v->ram);
	if (v->cfg >= 0)
		close(v->cfg);
	free(v);
}

static int read_uri(struct sysfs_dev *v, const char *root, const struct uri *u, uint64_t *memory,
		    struct riser_err *err)
{
	static const char *const keys[] = { "memory", PCI_DRIVER_KEYS, NULL };
	int rc = uri_check_keys(u, keys, err) ?: uri_get_size(u, "memory", memory, err);

	if (rc)
		return rc;
	if (pci_bdf(u->rest, v->bdf))
		return err_set(err, -EINVAL,
			       "sysfs: '%s' is no address of a PCI function, such as 0000:01:00.0",
			       u->rest);
	snprintf(v->dir, sizeof(v->dir), "%s/sys/bus/pci/devices/%s", root, v->bdf);
	return 0;
}

int sysfs_open_on(const char *root, struct riser *r, const struct uri *u, struct pci_dev **out,
		  struct riser_err *err)
{
	struct sysfs_dev *v;
	uint64_t memory = 0;
	int rc;

	if (r->clock.is_virtual)
		return err_set(err, -EINVAL,
			       "sysfs: devices live in real time, and this context's time is "
			       "virtual");
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, -ENOMEM, "sysfs: no memory");
	v->pci.access = &access_sysfs;
	v->pci.r = r;
	v->cfg = -1;
	for (unsigned i = 0; i < BARS; i++)
		v->bars[i].ports = -1;
	rc = read_uri(v, root, u, &memory, err);
	if (!rc)
		rc = set_up(v, root, memory, err);
	if (rc) {
		sysfs_close(&v->pci);
		return rc;
	}
	*out = &v->pci;
	return 0;
}

static int sysfs_open(struct riser *r, const struct uri *u, struct pci_dev **out,
		      struct riser_err *err)
{
	return sysfs_open_on("", r, u, out, err);
}

const struct pci_access access_sysfs = {
	.size = sizeof(access_sysfs),
	.scheme = "sysfs",
	.example = "sysfs:0000:01:00.0",
	.open = sysfs_open,
	.close = sysfs_close,
	.cfg_read = sysfs_cfg_read,
	.cfg_write = sysfs_cfg_write,
	.bar_map = sysfs_bar_map,
	.bar_read = sysfs_bar_read,
	.bar_write = sysfs_bar_write,
	.reset = sysfs_reset,
	.reset_poll = sysfs_reset_poll,
	.pump = sysfs_pump,
};
