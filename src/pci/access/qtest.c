/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * qtest: a device of QEMU, with no operating system in between. riser is its firmware (it assigns
 * the BARs) and its host; QEMU's guest memory is the only memory that the device reaches.
 *
 *	qtest:spawn?device=nvme				starts a QEMU for this device
 *	qtest:/run/q.sock?addr=04.0&ram=FILE		joins one that runs
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/access/qtest_qemu.h"
#include "pci/access/qtest_ram.h"
#include "pci/pci.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NBARS              6
#define BAR_SPACE          0xe0000000 /* q35 and pc have a hole for PCI here */
#define BAR_SPACE_END      0xfec00000
#define PORT_SPACE         0xc000 /* above what a machine has ports for */
#define PORT_SPACE_END     0x10000
#define BAR_IO             0x1
#define BAR_IO_FLAGS       0x3
#define BAR_64BIT          0x4
#define BAR_FLAGS          0xf

#define COMMAND_ON         (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

#define STATUS             0x06
#define STATUS_CAPS        0x10
#define CAP_PM             0x01
#define CAP_PCIE           0x10
#define CAP_MSIX           0x11
#define CAPS_MAX           48

#define PM_CTRL            4
#define PM_STATE_MASK      0x3
#define PM_STATE_D3        0x3
#define PCIE_DEVCAP        4
#define PCIE_DEVCAP_FLR    (1u << 28)
#define PCIE_DEVCTL        8
#define PCIE_DEVCTL_FLR    (1u << 15)
#define MSIX_CTRL          2
#define MSIX_CTRL_SIZE     0x07ff
#define MSIX_CTRL_ENABLE   0x8000
#define MSIX_TABLE         4
#define MSIX_TABLE_BAR     0x7
#define MSIX_ENTRY         16
#define MSIX_ENTRY_DATA    8
#define MSIX_ENTRY_CONTROL 12
#define MSIX_MASKED        1

/* A function has 100 ms for a reset, and D3hot to D0 takes 10 of them (PCIe 6.6.2, 5.9). */
#define RESET_NS (100 * NS_PER_MS)

extern const struct pci_access access_qtest;

struct bar {
	uint64_t base, size; /* size 0: not there */
	bool ports;
};

struct qtest {
	struct pci_dev pci;
	struct qtest_link link;
	struct qtest_ram ram;
	struct qtest_qemu qemu;
	unsigned bdf;
	struct bar bars[NBARS];
	uint64_t bar_next, port_next;
	uint8_t cap_pm, cap_pcie, cap_msix; /* 0: not there */
	unsigned vectors;
	uint64_t msix_table;   /* guest-physical */
	pthread_mutex_t setup; /* what follows; before link.lock */
	bool irq_on;
	uint16_t *peers; /* of each vector at the doorbell, 0 for none */
	uint64_t reset_done;
};

static struct qtest *qtest_of(struct pci_dev *d)
{
	return container_of(d, struct qtest, pci);
}

static uint32_t cfg_get(struct qtest *q, unsigned off, unsigned len)
{
	return qtest_link_cfg_read(&q->link, q->bdf, off, len);
}

static void cfg_set(struct qtest *q, unsigned off, unsigned len, uint32_t val)
{
	qtest_link_cfg_write(&q->link, q->bdf, off, len, val);
}

static int qtest_cfg_read(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val)
{
	struct qtest *q = qtest_of(d);

	*val = cfg_get(q, off, len);
	return qtest_link_gone(&q->link) ? -ENODEV : 0;
}

static int qtest_cfg_write(struct pci_dev *d, unsigned off, unsigned len, uint32_t val)
{
	struct qtest *q = qtest_of(d);

	cfg_set(q, off, len, val);
	return qtest_link_gone(&q->link) ? -ENODEV : 0;
}

/* Where a register is, or DMA_NONE when the BAR has no such bytes. */
static uint64_t bar_address(const struct qtest *q, unsigned bar, size_t off, unsigned width)
{
	if (bar >= NBARS || off + width < off || off + width > q->bars[bar].size)
		return DMA_NONE;
	return q->bars[bar].base + off;
}

static uint64_t qtest_bar_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	struct qtest *q = qtest_of(d);
	uint64_t addr = bar_address(q, bar, off, width);

	if (addr == DMA_NONE)
		return UINT64_MAX;
	if (q->bars[bar].ports)
		return width > 4 ? UINT64_MAX : qtest_link_in(&q->link, (unsigned)addr, width);
	return qtest_link_read(&q->link, addr, width);
}

static void qtest_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
			    uint64_t val)
{
	struct qtest *q = qtest_of(d);
	uint64_t addr = bar_address(q, bar, off, width);

	if (addr == DMA_NONE)
		return;
	if (!q->bars[bar].ports)
		qtest_link_write(&q->link, addr, width, val);
	else if (width <= 4)
		qtest_link_out(&q->link, (unsigned)addr, width, (uint32_t)val);
}

/* --- Interrupts --- */

static unsigned qtest_irq_vectors(struct pci_dev *d)
{
	return qtest_of(d)->qemu.doorbell.present ? qtest_of(d)->vectors : 0;
}

/* Aim a vector at its peer; without one it rings peer 0, QEMU itself, which does not listen. */
static void aim_vector(struct qtest *q, unsigned i)
{
	uint64_t entry = q->msix_table + i * MSIX_ENTRY;

	qtest_link_write(&q->link, entry, 8, q->qemu.doorbell.address);
	qtest_link_write(&q->link, entry + MSIX_ENTRY_DATA, 4, qtest_doorbell_data(q->peers[i]));
	qtest_link_write(&q->link, entry + MSIX_ENTRY_CONTROL, 4, 0);
}

static void switch_msix(struct qtest *q, bool on)
{
	uint16_t ctrl = (uint16_t)cfg_get(q, q->cap_msix + MSIX_CTRL, 2);

	ctrl = (uint16_t)(on ? ctrl | MSIX_CTRL_ENABLE : ctrl & ~MSIX_CTRL_ENABLE);
	cfg_set(q, q->cap_msix + MSIX_CTRL, 2, ctrl);
}

/*
 * Every vector gets a new peer, even where the descriptor's number is the old one: it may be
 * another event by now. A vector in use loses no interrupt, since its old peer leaves last.
 */
static int set_vectors(struct qtest *q, const int *fds, unsigned n)
{
	struct qtest_doorbell *bell = &q->qemu.doorbell;
	uint16_t *old = q->peers, *fresh = calloc(q->vectors, sizeof(*fresh));
	int rc = 0;

	if (!fresh)
		return -ENOMEM;
	for (unsigned i = 0; !rc && i < n; i++) {
		int peer = fds[i] >= 0 ? qtest_doorbell_connect(bell, fds[i]) : 0;

		if (peer < 0)
			rc = peer;
		else
			fresh[i] = (uint16_t)peer;
	}
	if (!rc)
		rc = qtest_doorbell_sync(bell, &q->link);
	if (!rc) {
		q->peers = fresh;
		for (unsigned i = 0; i < q->vectors; i++)
			if (!q->irq_on || old[i] || fresh[i])
				aim_vector(q, i);
		cfg_get(q, PCI_CFG_COMMAND, 2); /* the writes before this one have arrived */
		fresh = old;
	}
	for (unsigned i = 0; i < q->vectors; i++)
		if (fresh[i])
			qtest_doorbell_disconnect(bell, fresh[i]);
	free(fresh);
	return rc;
}

static int qtest_irq_set(struct pci_dev *d, const int *fds, unsigned n)
{
	struct qtest *q = qtest_of(d);
	int rc;

	if (n > qtest_irq_vectors(d))
		return -EINVAL;
	if (!q->vectors)
		return 0;
	pthread_mutex_lock(&q->setup);
	if (!n)
		switch_msix(q, false);
	rc = set_vectors(q, fds, n);
	if (n && !rc)
		switch_msix(q, true);
	q->irq_on = n && (!rc || q->irq_on);
	pthread_mutex_unlock(&q->setup);
	return rc;
}

/* --- Set-up and reset --- */

static void write_bars(struct qtest *q)
{
	for (unsigned i = 0; i < NBARS; i++) {
		if (!q->bars[i].size)
			continue;
		cfg_set(q, PCI_CFG_BAR0 + 4 * i, 4, (uint32_t)q->bars[i].base);
		if (cfg_get(q, PCI_CFG_BAR0 + 4 * i, 4) & BAR_64BIT)
			cfg_set(q, PCI_CFG_BAR0 + 4 * i + 4, 4, 0);
	}
}

/* How large a BAR is, and whether it takes two places. Return: its size, 0 for none. */
static uint64_t size_bar(struct qtest *q, unsigned bdf, unsigned i, bool *wide, bool *ports)
{
	unsigned off = PCI_CFG_BAR0 + 4 * i;
	uint64_t mask;
	uint32_t low;

	qtest_link_cfg_write(&q->link, bdf, off, 4, UINT32_MAX);
	low = qtest_link_cfg_read(&q->link, bdf, off, 4);
	*ports = low & BAR_IO;
	*wide = !*ports && low & BAR_64BIT && i + 1 < NBARS;
	mask = low & ~(*ports ? BAR_IO_FLAGS : BAR_FLAGS);
	if (*wide) {
		qtest_link_cfg_write(&q->link, bdf, off + 4, 4, UINT32_MAX);
		mask |= (uint64_t)qtest_link_cfg_read(&q->link, bdf, off + 4, 4) << 32;
	} else {
		mask |= 0xffffffffull << 32;
	}
	/* Some have no upper half, since no more than 64 KiB of ports are anywhere. */
	if (*ports)
		mask |= 0xffff0000;
	return low ? ~mask + 1 : 0;
}

static int assign_bar(struct qtest *q, unsigned bdf, unsigned i, struct bar *bar, bool *wide,
		      struct riser_err *err)
{
	bool ports;
	uint64_t size = size_bar(q, bdf, i, wide, &ports), base;
	uint64_t end = ports ? PORT_SPACE_END : BAR_SPACE_END;
	uint64_t *next = ports ? &q->port_next : &q->bar_next;

	*bar = (struct bar){ 0 };
	if (!size)
		return 0;
	/* The mask is the device's word: anything but a power of two is nonsense. */
	base = is_power_of_two(size) ? align_up(*next, size) : end;
	if (base >= end || size > end - base)
		return err_set(err, -ENOSPC, "qtest: no place for BAR %u (%llu bytes)", i,
			       (unsigned long long)size);
	*bar = (struct bar){ .base = base, .size = size, .ports = ports };
	*next = base + size;
	qtest_link_cfg_write(&q->link, bdf, PCI_CFG_BAR0 + 4 * i, 4, (uint32_t)base);
	if (*wide)
		qtest_link_cfg_write(&q->link, bdf, PCI_CFG_BAR0 + 4 * i + 4, 4, 0);
	return 0;
}

static void find_caps(struct qtest *q)
{
	unsigned off = 0;

	if (cfg_get(q, STATUS, 2) & STATUS_CAPS)
		off = cfg_get(q, PCI_CFG_CAP, 1) & 0xfc;
	for (unsigned i = 0; off >= 0x40 && i < CAPS_MAX; i++) {
		uint32_t head = cfg_get(q, off, 4);

		if ((head & 0xff) == CAP_PM)
			q->cap_pm = (uint8_t)off;
		else if ((head & 0xff) == CAP_PCIE)
			q->cap_pcie = (uint8_t)off;
		else if ((head & 0xff) == CAP_MSIX)
			q->cap_msix = (uint8_t)off;
		off = head >> 8 & 0xfc;
	}
	if (q->cap_pcie && !(cfg_get(q, q->cap_pcie + PCIE_DEVCAP, 4) & PCIE_DEVCAP_FLR))
		q->cap_pcie = 0;
}

static int set_up_irqs(struct qtest *q, struct riser_err *err)
{
	unsigned doorbell = QTEST_DOORBELL_DEVICE << 3;
	uint32_t table;
	struct bar bar;
	bool wide;
	int rc;

	if (!q->cap_msix || !q->qemu.doorbell.present)
		return 0;
	q->vectors = (cfg_get(q, q->cap_msix + MSIX_CTRL, 2) & MSIX_CTRL_SIZE) + 1;
	table = cfg_get(q, q->cap_msix + MSIX_TABLE, 4);
	q->msix_table = bar_address(q, table & MSIX_TABLE_BAR, table & ~(uint32_t)MSIX_TABLE_BAR,
				    q->vectors * MSIX_ENTRY);
	if (q->msix_table == DMA_NONE || q->bars[table & MSIX_TABLE_BAR].ports)
		return err_set(err, -EIO, "qtest: the device's MSI-X table is in no BAR");
	q->peers = calloc(q->vectors, sizeof(*q->peers));
	if (!q->peers)
		return err_set(err, -ENOMEM, "qtest: no memory");
	rc = assign_bar(q, doorbell, 0, &bar, &wide, err);
	if (rc)
		return rc;
	/* Its register 3. */
	q->qemu.doorbell.address = bar.base + 0xc;
	qtest_link_cfg_write(&q->link, doorbell, PCI_CFG_COMMAND, 2, PCI_COMMAND_MEMORY);
	return 0;
}

static int set_up_function(struct qtest *q, struct riser_err *err)
{
	bool wide;

	if ((uint16_t)cfg_get(q, PCI_CFG_VENDOR, 2) == UINT16_MAX)
		return err_set(err, -ENODEV, "qtest: there is no PCI function at %02x.%x",
			       q->bdf >> 3, q->bdf & 7);
	cfg_set(q, PCI_CFG_COMMAND, 2, 0);
	q->bar_next = BAR_SPACE;
	q->port_next = PORT_SPACE;
	for (unsigned i = 0; i < NBARS; i += wide ? 2 : 1) {
		int rc = assign_bar(q, q->bdf, i, &q->bars[i], &wide, err);

		if (rc)
			return rc;
	}
	find_caps(q);
	cfg_set(q, PCI_CFG_COMMAND, 2, COMMAND_ON);
	return set_up_irqs(q, err);
}

static int qtest_reset(struct pci_dev *d)
{
	struct qtest *q = qtest_of(d);
	int rc = 0;

	pthread_mutex_lock(&q->setup);
	if (q->cap_pcie) {
		uint32_t ctl = cfg_get(q, q->cap_pcie + PCIE_DEVCTL, 2);

		cfg_set(q, q->cap_pcie + PCIE_DEVCTL, 2, ctl | PCIE_DEVCTL_FLR);
	} else if (q->cap_pm) {
		uint32_t ctl = cfg_get(q, q->cap_pm + PM_CTRL, 2) & ~PM_STATE_MASK;

		cfg_set(q, q->cap_pm + PM_CTRL, 2, ctl | PM_STATE_D3);
		cfg_set(q, q->cap_pm + PM_CTRL, 2, ctl);
	} else {
		rc = -EOPNOTSUPP;
	}
	if (qtest_link_gone(&q->link))
		rc = -ENODEV;
	/* QEMU lives in real time, whatever the context's clock is. */
	q->reset_done = clock_real() + RESET_NS;
	pthread_mutex_unlock(&q->setup);
	return rc;
}

static int qtest_reset_poll(struct pci_dev *d)
{
	struct qtest *q = qtest_of(d);
	int rc = 0;

	pthread_mutex_lock(&q->setup);
	if (qtest_link_drain(&q->link) < 0) {
		rc = -ENODEV;
	} else if (clock_real() >= q->reset_done) {
		write_bars(q);
		cfg_set(q, PCI_CFG_COMMAND, 2, COMMAND_ON);
		for (unsigned i = 0; q->irq_on && i < q->vectors; i++)
			aim_vector(q, i);
		if (q->irq_on)
			switch_msix(q, true);
		rc = qtest_link_gone(&q->link) ? -ENODEV : 1;
	}
	pthread_mutex_unlock(&q->setup);
	return rc;
}

static int qtest_pump(struct pci_dev *d, uint64_t *next)
{
	*next = TIME_NEVER;
	return qtest_link_drain(&qtest_of(d)->link);
}

/* --- Memory --- */

static int memory_alloc(struct riser_dma_space *s, size_t len, size_t align, void **out,
			struct riser_err *err)
{
	struct qtest *q = container_of(s, struct qtest, pci.dma);
	void *va = qtest_ram_alloc(&q->ram, len, align);
	int rc;

	if (!va)
		return err_set(err, -ENOMEM,
			       "qtest: no %zu bytes are left of QEMU's memory (%zu MiB): give it "
			       "more with ram=SIZE",
			       len, q->ram.len / MiB);
	rc = dma_space_enter(s, va, len, qtest_ram_address(&q->ram, va));
	if (rc) {
		dma_space_clear(s, va, len);
		qtest_ram_free(&q->ram, va, len);
		return err_set(err, rc, "qtest: cannot enter memory at %p: %s", va, strerror(-rc));
	}
	*out = va;
	return 0;
}

static void memory_free(struct riser_dma_space *s, void *va, size_t len)
{
	dma_space_clear(s, va, len);
	qtest_ram_free(&container_of(s, struct qtest, pci.dma)->ram, va, len);
}

static const struct dma_space_ops memory_ops = {
	.size = sizeof(memory_ops),
	.alloc = memory_alloc,
	.free = memory_free,
};

/* --- Opening --- */

/* "04.0", "4.0" or "4": device and function on bus 0. */
static int parse_addr(const char *text, unsigned *bdf, struct riser_err *err)
{
	char *end;
	unsigned long device = strtoul(text, &end, 16), function = 0;

	if (end != text && *end == '.' && end[1] >= '0' && end[1] <= '7') {
		function = (unsigned long)(end[1] - '0');
		end += 2;
	}
	if (end == text || *end || device > 31)
		return err_set(err, -EINVAL, "qtest: '%s' is no address on PCI bus 0, such as 04.0",
			       text);
	*bdf = (unsigned)(device << 3 | function);
	return 0;
}

static int open_spawned(struct qtest *q, const struct uri *u, struct riser_err *err)
{
	static const char *const keys[] = { QTEST_QEMU_KEYS, PCI_DRIVER_KEYS, NULL };
	int rc = uri_check_keys(u, keys, err) ?: qtest_qemu_start(u, &q->qemu, err);

	if (rc)
		return rc;
	qtest_link_init(&q->link, q->qemu.link);
	q->qemu.link = -1;
	rc = parse_addr(q->qemu.addr, &q->bdf, err) ?: qtest_ram_map(&q->ram, q->qemu.ram, err);
	if (rc)
		return rc;
	/* The first answer says that QEMU is up. */
	qtest_link_cfg_read(&q->link, 0, PCI_CFG_VENDOR, 4);
	return qtest_link_gone(&q->link) ? qtest_qemu_refused(&q->qemu, err) : 0;
}

static int open_joined(struct qtest *q, const struct uri *u, struct riser_err *err)
{
	static const char *const keys[] = { "addr", "ram", PCI_DRIVER_KEYS, NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *addr = uri_get(u, "addr"), *ram = uri_get(u, "ram");
	int fd, rc = uri_check_keys(u, keys, err);

	if (rc)
		return rc;
	if (!addr || !ram)
		return err_set(err, -EINVAL,
			       "qtest: a QEMU that runs is joined with its socket, the device's "
			       "address and the memory file: qtest:/run/q.sock?addr=04.0&ram=FILE");
	if (strlen(u->rest) >= sizeof(sa.sun_path))
		return err_set(err, -EINVAL, "qtest: '%s' is too long for a socket", u->rest);
	strcpy(sa.sun_path, u->rest);
	rc = parse_addr(addr, &q->bdf, err);
	if (rc)
		return rc;
	fd = open(ram, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "qtest: memory file '%s': %s", ram, strerror(errno));
	rc = qtest_ram_map(&q->ram, fd, err);
	close(fd);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "qtest: no socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		rc = -errno;
		close(fd);
		return err_set(err, rc, "qtest: nobody answers at '%s': %s", u->rest,
			       strerror(-rc));
	}
	qtest_link_init(&q->link, fd);
	return 0;
}

static void qtest_close(struct pci_dev *d)
{
	struct qtest *q = qtest_of(d);

	/* A joined QEMU stays: its device must not write to memory that is somebody else's then. */
	if (q->link.open) {
		if (q->irq_on)
			switch_msix(q, false);
		cfg_set(q, PCI_CFG_COMMAND, 2, 0);
		cfg_get(q, PCI_CFG_COMMAND, 2);
	}
	qtest_qemu_end(&q->qemu, q->link.open ? &q->link : NULL);
	qtest_link_destroy(&q->link);
	dma_space_destroy(&q->pci.dma);
	qtest_ram_unmap(&q->ram);
	pthread_mutex_destroy(&q->setup);
	free(q->peers);
	free(q);
}

static int qtest_open(struct riser *r, const struct uri *u, struct pci_dev **out,
		      struct riser_err *err)
{
	struct qtest *q;
	int rc;

	if (r->clock.is_virtual)
		return err_set(
			err, -EINVAL,
			"qtest: QEMU lives in real time, and this context's time is virtual");
	q = calloc(1, sizeof(*q));
	if (!q)
		return err_set(err, -ENOMEM, "qtest: no memory");
	q->pci.access = &access_qtest;
	q->pci.r = r;
	q->qemu = QTEST_QEMU_NONE;
	pthread_mutex_init(&q->setup, NULL);
	rc = strcmp(u->rest, "spawn") ? open_joined(q, u, err) : open_spawned(q, u, err);
	if (!rc)
		rc = set_up_function(q, err);
	if (!rc && qtest_link_gone(&q->link))
		rc = err_set(err, -ENODEV, "qtest: QEMU went away");
	if (!rc)
		rc = dma_space_init(&q->pci.dma, r, &memory_ops, QTEST_RAM_PAGE_SHIFT, true, err);
	if (rc) {
		qtest_close(&q->pci);
		return rc;
	}
	*out = &q->pci;
	return 0;
}

const struct pci_access access_qtest = {
	.size = sizeof(access_qtest),
	.scheme = "qtest",
	.example = "qtest:spawn?device=nvme",
	.harmless = true,
	.open = qtest_open,
	.close = qtest_close,
	.cfg_read = qtest_cfg_read,
	.cfg_write = qtest_cfg_write,
	.bar_read = qtest_bar_read,
	.bar_write = qtest_bar_write,
	.irq_vectors = qtest_irq_vectors,
	.irq_set = qtest_irq_set,
	.reset = qtest_reset,
	.reset_poll = qtest_reset_poll,
	.pump = qtest_pump,
};
