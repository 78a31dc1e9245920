/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * pci:0000:01:00.0: a PCI function bound to vfio-pci, without root.
 *
 * Registers are read and written by the kernel for us (a microsecond; none is on a data path), and
 * only what a driver asks for by bar_map, doorbells, is mapped. So a function that is gone, or
 * whose memory decoding is off, is an error of pread() that reads as all-ones, and never a fault.
 * A store to a mapping whose function vanished goes nowhere. It could raise SIGBUS only while the
 * function's memory decoding is off, which the kernel does not do by itself (through a reset it
 * holds the store up until the end) and which cfg_write does not let anybody do.
 *
 * A function that is to be unbound or pulled out is asked back by an event. What poll finds
 * nothing looks there now and then: bus mastering goes off, so that no command that is ended now
 * is still under way, and then the function is gone, until its closing lets the kernel go on.
 */
#include "pci/access/vfio.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include "base/uri.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* How often a busy owner, and one that sleeps, look whether it is asked back. */
#define LOOK_NS  (50 * NS_PER_MS)
#define SLEEP_NS NS_PER_S

extern const struct pci_access access_pci;

static struct vfio_dev *vfio_of(struct pci_dev *d)
{
	return container_of(d, struct vfio_dev, pci);
}

/* --- The kernel --- */

static int sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void sys_close(int fd)
{
	close(fd);
}

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

static void *sys_mmap(size_t len, int fd, uint64_t off)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);

	return p == MAP_FAILED ? NULL : p;
}

static void sys_munmap(void *addr, size_t len)
{
	munmap(addr, len);
}

static ssize_t sys_pread(int fd, void *buf, size_t len, uint64_t off)
{
	return pread(fd, buf, len, (off_t)off);
}

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
	return pwrite(fd, buf, len, (off_t)off);
}

static const struct vfio_sys vfio_linux = {
	.root = "",
	.open = sys_open,
	.close = sys_close,
	.ioctl = sys_ioctl,
	.mmap = sys_mmap,
	.munmap = sys_munmap,
	.pread = sys_pread,
	.pwrite = sys_pwrite,
};

/* --- Registers and configuration space --- */

/* Is [@off, @off + @len) in the region? */
static bool is_inside(const struct vfio_region *g, uint64_t off, uint64_t len)
{
	return len <= g->size && off <= g->size - len;
}

static int get(struct vfio_dev *v, const struct vfio_region *g, uint64_t off, unsigned len,
	       uint32_t *val)
{
	riser_le32 raw = { 0 };

	if (!is_inside(g, off, len) ||
	    v->sys->pread(v->fd, &raw, len, g->offset + off) != (ssize_t)len)
		return -ENODEV;
	*val = le32(raw);
	return 0;
}

static int put(struct vfio_dev *v, const struct vfio_region *g, uint64_t off, unsigned len,
	       uint32_t val)
{
	riser_le32 raw = to_le32(val);

	if (!is_inside(g, off, len) ||
	    v->sys->pwrite(v->fd, &raw, len, g->offset + off) != (ssize_t)len)
		return -ENODEV;
	return 0;
}

static int vfio_cfg_read(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val)
{
	struct vfio_dev *v = vfio_of(d);

	return get(v, &v->cfg, off, len, val);
}

static int vfio_cfg_write(struct pci_dev *d, unsigned off, unsigned len, uint32_t val)
{
	struct vfio_dev *v = vfio_of(d);

	if (off == PCI_CFG_COMMAND)
		val |= PCI_COMMAND_MEMORY; /* see above */
	return put(v, &v->cfg, off, len, val);
}

static uint64_t vfio_bar_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	struct vfio_dev *v = vfio_of(d);
	uint32_t low, high = 0;

	/* Wide ones as two halves, low first, as base/mmio.h has it. */
	if (bar >= VFIO_BARS || load_acquire(&v->gone) ||
	    get(v, &v->bars[bar], off, min_of(width, 4u), &low) ||
	    (width == 8 && get(v, &v->bars[bar], off + 4, 4, &high)))
		return UINT64_MAX;
	return low | (uint64_t)high << 32;
}

static void vfio_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
			   uint64_t val)
{
	struct vfio_dev *v = vfio_of(d);

	if (bar >= VFIO_BARS || load_acquire(&v->gone))
		return;
	put(v, &v->bars[bar], off, min_of(width, 4u), (uint32_t)val);
	if (width == 8)
		put(v, &v->bars[bar], off + 4, 4, (uint32_t)(val >> 32));
}

/* Does the kernel let this part of a BAR be mapped? Some have holes. */
static bool is_mappable(struct vfio_dev *v, unsigned bar, uint64_t off, uint64_t end)
{
	struct vfio_region_info head = { .argsz = sizeof(head), .index = bar };
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_sparse_mmap_area area;
	const char *cap = NULL;
	bool found = false;
	size_t len, room;
	void *info;

	if (vfio_ask(v->sys, v->fd, VFIO_DEVICE_GET_REGION_INFO, &head, sizeof(head), &info, &len))
		return false;
	memcpy(&head, info, sizeof(head));
	if (head.flags & VFIO_REGION_INFO_FLAG_CAPS)
		cap = vfio_cap(info, len, head.cap_offset, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
			       sizeof(sparse));
	if (cap) {
		memcpy(&sparse, cap, sizeof(sparse));
		room = len - (size_t)(cap - (char *)info) - sizeof(sparse);
		for (unsigned i = 0; i < min_of(sparse.nr_areas, room / sizeof(area)); i++) {
			memcpy(&area, cap + sizeof(sparse) + i * sizeof(area), sizeof(area));
			found |= off >= area.offset && area.size >= end - off &&
				 off - area.offset <= area.size - (end - off);
		}
	}
	free(info);
	return head.flags & VFIO_REGION_INFO_FLAG_MMAP && (found || !cap);
}

static int vfio_bar_map(struct pci_dev *d, unsigned bar, size_t off, size_t len,
			volatile void **out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = align_down(off, page);
	uint64_t end = align_up(off + len, page);
	struct vfio_dev *v = vfio_of(d);
	unsigned i = 0;

	if (bar >= VFIO_BARS || !len || !is_inside(&v->bars[bar], off, len))
		return -EINVAL;
	if (!is_mappable(v, bar, start, end))
		return -EOPNOTSUPP;
	while (i < VFIO_WINDOWS && v->windows[i].addr)
		i++;
	if (i == VFIO_WINDOWS)
		return -EOPNOTSUPP;
	v->windows[i].len = end - start;
	v->windows[i].addr = v->sys->mmap(end - start, v->fd, v->bars[bar].offset + start);
	if (!v->windows[i].addr)
		return -EOPNOTSUPP;
	*out = (char *)v->windows[i].addr + (off - start);
	return 0;
}

/* --- Reset and removal --- */

static int set_command(struct vfio_dev *v, bool master)
{
	uint32_t val, want = master ? PCI_COMMAND_MASTER : 0;
	int rc = get(v, &v->cfg, PCI_CFG_COMMAND, 2, &val);

	if (!rc)
		rc = put(v, &v->cfg, PCI_CFG_COMMAND, 2,
			 (val & ~(uint32_t)PCI_COMMAND_MASTER) | PCI_COMMAND_MEMORY | want);
	if (!rc)
		rc = get(v, &v->cfg, PCI_CFG_COMMAND, 2, &val);
	if (rc || val == UINT16_MAX)
		return -ENODEV;
	return (val & PCI_COMMAND_MASTER) == want ? 0 : -EIO;
}

/* The kernel saves and restores what a reset takes, MSI-X too, and returns when it is over. */
static void try_reset(struct vfio_dev *v)
{
	v->reset = v->sys->ioctl(v->fd, VFIO_DEVICE_RESET, NULL);
}

static int vfio_reset(struct pci_dev *d)
{
	struct vfio_dev *v = vfio_of(d);
	int rc;

	if (!v->resets)
		return -EOPNOTSUPP;
	if (load_acquire(&v->gone))
		return -ENODEV;
	pthread_mutex_lock(&v->lock);
	try_reset(v);
	rc = v->reset == -EAGAIN ? 0 : v->reset;
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static int vfio_reset_poll(struct pci_dev *d)
{
	struct vfio_dev *v = vfio_of(d);
	int rc;

	pthread_mutex_lock(&v->lock);
	if (v->reset == -EAGAIN) /* somebody else was at it */
		try_reset(v);
	rc = v->reset == -EAGAIN ? 0 : v->reset;
	if (!v->reset)
		rc = set_command(v, true);
	if (!v->reset && !rc)
		rc = 1;
	pthread_mutex_unlock(&v->lock);
	return rc;
}

/* Whoever looks first stops it; nobody waits for him. */
static cold
void give_up(struct vfio_dev *v)
{
	if (pthread_mutex_trylock(&v->lock))
		return;
	if (!v->gone && event_ack(v->req_fd)) {
		base_log(v->pci.r, RISER_LOG_WARN,
			 "%s: the system wants it back: it is being unbound or removed", v->bdf);
		if (set_command(v, false) == -EIO)
			base_log(v->pci.r, RISER_LOG_ERROR,
				 "%s: bus mastering cannot be switched off", v->bdf);
		store_release(&v->gone, true);
	}
	pthread_mutex_unlock(&v->lock);
}

static int vfio_pump(struct pci_dev *d, uint64_t *next)
{
	struct vfio_dev *v = vfio_of(d);
	struct timespec ts;
	uint64_t now;

	*next = TIME_NEVER;
	if (unlikely(load_acquire(&v->gone)))
		return -ENODEV;
	if (v->req_fd < 0)
		return 0;
	/* It stands still between two ticks and costs a few nanoseconds. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	*next = now + SLEEP_NS;
	if (likely(now - load_relaxed(&v->looked) < LOOK_NS))
		return 0;
	store_relaxed(&v->looked, now);
	give_up(v);
	return load_acquire(&v->gone) ? -ENODEV : 0;
}

/* --- Opening --- */

static int look_at_regions(struct vfio_dev *v, struct riser_err *err)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int rc = v->sys->ioctl(v->fd, VFIO_DEVICE_GET_INFO, &info);

	for (unsigned i = 0; !rc && i <= VFIO_PCI_CONFIG_REGION_INDEX; i++) {
		struct vfio_region_info g = { .argsz = sizeof(g), .index = i };
		struct vfio_region *to = i < VFIO_BARS ? &v->bars[i] : &v->cfg;

		if (i == VFIO_PCI_ROM_REGION_INDEX)
			continue;
		rc = v->sys->ioctl(v->fd, VFIO_DEVICE_GET_REGION_INFO, &g);
		*to = (struct vfio_region){ .size = g.size, .offset = g.offset, .flags = g.flags };
	}
	v->resets = info.flags & VFIO_DEVICE_FLAGS_RESET;
	return rc ? err_set(err, rc, "%s: VFIO does not tell its regions: %s", v->bdf,
			    strerror(-rc))
		  : 0;
}

static int set_up(struct vfio_dev *v, uint64_t base, struct riser_err *err)
{
	int rc = vfio_space_join(v, base, err);

	if (!rc)
		rc = look_at_regions(v, err);
	if (!rc)
		rc = vfio_irq_init(v, err);
	if (!rc && v->space->page_shift > DMA_SLOT_SHIFT)
		rc = err_set(err, -ENOTSUP, "%s: the IOMMU's pages are larger than 2 MiB", v->bdf);
	if (!rc)
		rc = dma_space_init(&v->pci.dma, v->pci.r, &vfio_space_ops, v->space->page_shift,
				    false, err);
	if (rc)
		return rc;
	rc = set_command(v, true);
	return rc ? err_set(err, rc, "%s: bus mastering cannot be switched on", v->bdf) : 0;
}

static void vfio_close(struct pci_dev *d)
{
	struct vfio_dev *v = vfio_of(d);

	if (v->fd >= 0)
		set_command(v, false);
	for (unsigned i = 0; i < VFIO_WINDOWS; i++)
		if (v->windows[i].addr)
			v->sys->munmap(v->windows[i].addr, v->windows[i].len);
	dma_space_destroy(&v->pci.dma);
	if (v->fd >= 0)
		v->sys->close(v->fd);
	vfio_irq_end(v);
	vfio_space_leave(v);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static int read_uri(struct vfio_dev *v, const struct uri *u, uint64_t *base, struct riser_err *err)
{
	static const char *const keys[] = { "iova-base", PCI_DRIVER_KEYS, NULL };
	int rc = uri_check_keys(u, keys, err) ?: uri_get_size(u, "iova-base", base, err);

	if (!rc && pci_bdf(u->rest, v->bdf))
		rc = err_set(err, -EINVAL,
			     "pci: '%s' is no address of a PCI function, such as 0000:01:00.0",
			     u->rest);
	return rc;
}

int vfio_open_on(const struct vfio_sys *sys, struct riser *r, const struct uri *u,
		 struct pci_dev **out, struct riser_err *err)
{
	struct vfio_dev *v;
	uint64_t base = 0;
	int rc;

	if (r->clock.is_virtual)
		return err_set(
			err, -EINVAL,
			"pci: devices live in real time, and this context's time is virtual");
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, -ENOMEM, "pci: no memory");
	v->pci.access = &access_pci;
	v->pci.r = r;
	v->sys = sys;
	v->fd = v->req_fd = -1;
	pthread_mutex_init(&v->lock, NULL);
	rc = read_uri(v, u, &base, err);
	if (!rc)
		rc = set_up(v, base, err);
	if (rc) {
		vfio_close(&v->pci);
		return rc;
	}
	*out = &v->pci;
	return 0;
}

static int vfio_open(struct riser *r, const struct uri *u, struct pci_dev **out,
		     struct riser_err *err)
{
	return vfio_open_on(&vfio_linux, r, u, out, err);
}

const struct pci_access access_pci = {
	.size = sizeof(access_pci),
	.scheme = "pci",
	.example = "pci:0000:01:00.0",
	.open = vfio_open,
	.close = vfio_close,
	.cfg_read = vfio_cfg_read,
	.cfg_write = vfio_cfg_write,
	.bar_map = vfio_bar_map,
	.bar_read = vfio_bar_read,
	.bar_write = vfio_bar_write,
	.irq_vectors = vfio_irq_vectors,
	.irq_set = vfio_irq_set,
	.reset = vfio_reset,
	.reset_poll = vfio_reset_poll,
	.pump = vfio_pump,
};
