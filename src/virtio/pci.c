/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "virtio/pci.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/event.h"
#include "base/exec.h"
#include "base/riser.h"
#include "base/uri.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CFG_STATUS           0x06
#define CFG_STATUS_CAPS      0x10
#define CFG_SUBSYSTEM        0x2e
#define CFG_LEN              256
#define CAPS_MAX             48
#define COMMAND_INTX_DISABLE 0x400

#define MODERN_LAST          0x107f
#define VECTORS_MAX          257u /* one of them is the configuration's */
#define STATUS_GONE          0xff
#define WAIT_NS              (10 * NS_PER_S) /* the specification names no time */
#define LOOK_NS              (20 * NS_PER_MS)

unsigned virtio_pci_cap(struct pci_dev *pci, unsigned at, unsigned id)
{
	uint32_t v;

	if (!at && (pci->access->cfg_read(pci, CFG_STATUS, 2, &v) || !(v & CFG_STATUS_CAPS)))
		return 0;
	/* The chain may be a circle: it has no more links than there is room for. */
	for (unsigned i = 0; i < CAPS_MAX; i++) {
		if (pci->access->cfg_read(pci, at ? at + 1 : PCI_CFG_CAP, 1, &v))
			return 0;
		at = v & 0xfc;
		if (at < 0x40 || pci->access->cfg_read(pci, at, 1, &v))
			return 0;
		if (v == id)
			return at;
	}
	return 0;
}

/* --- Waiting, status, reset --- */

int virtio_pci_wait(struct virtio_pci *p, int (*is_done)(struct virtio_pci *p, unsigned arg),
		    unsigned arg)
{
	struct riser *r = p->dev.r;
	uint64_t deadline = clock_now(r) + WAIT_NS;
	struct sync_wait w;
	int done;

	sync_wait_begin_here(&w, r);
	for (;;) {
		uint64_t next;

		sync_wait_look(&w);
		done = is_done(p, arg);
		if (done)
			break;
		if (clock_now(r) >= deadline) {
			done = -ETIMEDOUT;
			break;
		}
		if (pci_pump(p->pci, &next) > 0)
			w.idle = 0;
		else
			sync_wait_idle(&w, min_of(next, deadline));
	}
	sync_wait_end(&w);
	return min_of(done, 0);
}

int virtio_pci_status_get(struct virtio_dev *d)
{
	struct virtio_pci *p = virtio_pci_of(d);

	return pci_read8(p->pci, p->status.bar, p->status.off);
}

static int is_reset(struct virtio_pci *p, unsigned arg)
{
	int status = virtio_pci_status_get(&p->dev);

	return status == STATUS_GONE ? -ENODEV : !status;
}

static int is_function_reset(struct virtio_pci *p, unsigned arg)
{
	return pci_reset_poll(p->pci);
}

static int set_master(struct virtio_pci *p, bool on)
{
	struct pci_dev *pci = p->pci;
	uint32_t v;
	int rc = pci->access->cfg_read(pci, PCI_CFG_COMMAND, 2, &v);

	v = on ? v | PCI_COMMAND_MASTER : v & ~(uint32_t)PCI_COMMAND_MASTER;
	return rc ?: pci->access->cfg_write(pci, PCI_CFG_COMMAND, 2, v);
}

/* Interrupts through MSI-X alone, even where the pin is connected. */
static int set_intx_off(struct pci_dev *pci)
{
	uint32_t v;
	int rc = pci->access->cfg_read(pci, PCI_CFG_COMMAND, 2, &v);

	return rc ?: pci->access->cfg_write(pci, PCI_CFG_COMMAND, 2, v | COMMAND_INTX_DISABLE);
}

/* Return: 0 or -ENOSPC: the device has no room for that. */
static int set_config_vector(struct virtio_pci *p, uint16_t vector)
{
	pci_write16(p->pci, p->config_vector.bar, p->config_vector.off, vector);
	/* Read back: a device that cannot says NO_VECTOR (§4.1.5.1.2). */
	return pci_read16(p->pci, p->config_vector.bar, p->config_vector.off) == vector ? 0
											: -ENOSPC;
}

/* Queues are gone with a reset, and so is who wanted their vectors. */
static int forget_queues(struct virtio_pci *p)
{
	bool any = false;

	for (unsigned i = 0; i < p->nqueues; i++)
		p->queues[i].vector = RISER_VIRTIO_MSI_NO_VECTOR;
	for (unsigned v = 1; v < p->nvectors; v++) {
		any |= p->fds[v] >= 0;
		p->fds[v] = -1;
	}
	return any ? pci_irq_set(p->pci, p->fds, p->nvectors) : 0;
}

static int reset(struct virtio_pci *p)
{
	int rc;

	pci_write8(p->pci, p->status.bar, p->status.off, 0);
	rc = virtio_pci_wait(p, is_reset, 0);
	if (rc == -ETIMEDOUT && !pci_reset(p->pci)) {
		base_log(p->dev.r, RISER_LOG_WARN,
			 "%s: the device does not reset; the whole function is reset", p->dev.name);
		rc = virtio_pci_wait(p, is_function_reset, 0);
		if (!rc)
			rc = set_intx_off(p->pci);
		if (!rc)
			rc = is_reset(p, 0) == 1 ? 0 : -ETIMEDOUT;
	}
	/* What it was told of memory it may still believe. */
	if (rc)
		p->cut_off = true;
	if (p->cut_off && !set_master(p, !rc) && !rc)
		p->cut_off = false;
	return rc;
}

int virtio_pci_status_set(struct virtio_dev *d, uint8_t status)
{
	struct virtio_pci *p = virtio_pci_of(d);
	int rc;

	if (status) {
		pci_write8(p->pci, p->status.bar, p->status.off, status);
		return 0;
	}
	rc = reset(p);
	pthread_mutex_lock(&p->lock);
	forget_queues(p);
	if (!rc && p->config_fd >= 0 && !p->watch && set_config_vector(p, 0))
		base_log(d->r, RISER_LOG_WARN,
			 "%s: behind a reset, changes of the configuration have no vector any more",
			 d->name);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

unsigned virtio_pci_queue_max(struct virtio_dev *d, unsigned index)
{
	struct virtio_pci *p = virtio_pci_of(d);
	unsigned size;

	if (index >= p->nqueues)
		return 0;
	pthread_mutex_lock(&p->lock);
	pci_write16(p->pci, p->queue_select.bar, p->queue_select.off, (uint16_t)index);
	size = pci_read16(p->pci, p->queue_size.bar, p->queue_size.off);
	pthread_mutex_unlock(&p->lock);
	return size <= RISER_VIRTQ_SIZE_MAX ? size : 0;
}

/* --- Interrupts --- */

/* The vector of an event, or one for it. Return: its number, 0 for none left, or a negative errno.
 */
static int find_vector(struct virtio_pci *p, int fd)
{
	unsigned empty = 0;
	int rc;

	for (unsigned v = p->nvectors; v-- > 1;) {
		if (p->fds[v] == fd)
			return (int)v;
		if (p->fds[v] < 0)
			empty = v;
	}
	if (!empty)
		return 0;
	p->fds[empty] = fd;
	rc = pci_irq_set(p->pci, p->fds, p->nvectors);
	if (!rc)
		return (int)empty;
	p->fds[empty] = -1;
	return rc;
}

int virtio_pci_vector_take(struct virtio_pci *p, unsigned index, int fd)
{
	struct virtio_pci_queue *q = &p->queues[index];
	int vector = fd < 0 ? 0 : find_vector(p, fd);

	if (vector < 0 || (fd >= 0 && !vector))
		return min_of(vector, 0) ?: -ENOSPC;
	/* The register is there only while MSI-X is on. */
	if (!p->nvectors)
		return 0;
	q->vector = vector ? (uint16_t)vector : RISER_VIRTIO_MSI_NO_VECTOR;
	pci_write16(p->pci, p->queue_vector.bar, p->queue_vector.off, q->vector);
	if (pci_read16(p->pci, p->queue_vector.bar, p->queue_vector.off) == q->vector)
		return 0;
	virtio_pci_vector_drop(p, index);
	return -ENOSPC;
}

void virtio_pci_vector_drop(struct virtio_pci *p, unsigned index)
{
	uint16_t vector = p->queues[index].vector;

	p->queues[index].vector = RISER_VIRTIO_MSI_NO_VECTOR;
	if (vector == RISER_VIRTIO_MSI_NO_VECTOR)
		return;
	for (unsigned i = 0; i < p->nqueues; i++)
		if (p->queues[i].vector == vector)
			return;
	p->fds[vector] = -1;
	pci_irq_set(p->pci, p->fds, p->nvectors);
}

int virtio_pci_irq_config(struct virtio_dev *d, int fd)
{
	struct virtio_pci *p = virtio_pci_of(d);
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (p->nvectors) {
		p->fds[0] = fd;
		rc = pci_irq_set(p->pci, p->fds, p->nvectors);
		if (!rc)
			rc = set_config_vector(p, fd < 0 ? RISER_VIRTIO_MSI_NO_VECTOR : 0);
	}
	store_relaxed(&p->watch, fd >= 0 && !p->nvectors);
	store_release(&p->config_fd, rc ? -1 : fd);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/*
 * Without MSI-X: has the configuration changed? Reading the ISR clears it, so that whatever it says
 * of the configuration is passed on here, whether or not it says something of queues as well.
 */
static int look_at_isr(struct virtio_pci *p, uint64_t *next)
{
	uint64_t now = clock_now(p->dev.r), looked = load_relaxed(&p->looked);
	int fd = load_acquire(&p->config_fd);
	unsigned isr;

	if (fd < 0)
		return 0;
	if (now - looked < LOOK_NS) {
		*next = min_of(*next, looked + LOOK_NS);
		return 0;
	}
	store_relaxed(&p->looked, now);
	*next = min_of(*next, now + LOOK_NS);
	isr = pci_read8(p->pci, p->isr.bar, p->isr.off);
	if (isr == UINT8_MAX)
		return -ENODEV;
	if (!(isr & RISER_VIRTIO_ISR_CONFIG))
		return 0;
	event_signal(fd);
	return 1;
}

int virtio_pci_pump(struct virtio_dev *d, uint64_t *next)
{
	struct virtio_pci *p = virtio_pci_of(d);
	int did = pci_pump(p->pci, next), more;

	if (did < 0 || likely(!load_relaxed(&p->watch)))
		return did;
	more = look_at_isr(p, next);
	return more < 0 ? more : did + more;
}

/* All vectors without events, and MSI-X on, before the device is told of any. */
static int init_vectors(struct virtio_pci *p, struct riser_err *err)
{
	unsigned n = min_of(pci_irq_vectors(p->pci), min_of(p->nqueues + 1, VECTORS_MAX));
	int rc = 0;

	p->fds = malloc((n + 1) * sizeof(*p->fds));
	if (!p->fds)
		return err_set(err, -ENOMEM, "%s: no memory", p->pci->name);
	memset(p->fds, 0xff, (n + 1) * sizeof(*p->fds));
	while (n && (rc = pci_irq_set(p->pci, p->fds, n)))
		n = rc == -ENOSPC ? min_of(n - 1, pci_irq_vectors(p->pci)) : 0;
	p->nvectors = n;
	p->dev.events = n ? n - 1 : 0;
	return 0;
}

/* --- Opening --- */

void virtio_pci_close(struct virtio_dev *d)
{
	struct virtio_pci *p = virtio_pci_of(d);

	if (p->nvectors)
		pci_irq_set(p->pci, NULL, 0);
	pci_close(p->pci);
	pthread_mutex_destroy(&p->lock);
	free(p->queues);
	free(p->fds);
	free(p);
}

/* Which device type is it? Return: a negative errno for none. */
static int read_id(struct pci_dev *pci, bool *transitional, struct riser_err *err)
{
	uint32_t vendor, device, subsystem;
	int rc = pci->access->cfg_read(pci, PCI_CFG_VENDOR, 2, &vendor)
			 ?: pci->access->cfg_read(pci, PCI_CFG_DEVICE, 2, &device)
			 ?: pci->access->cfg_read(pci, CFG_SUBSYSTEM, 2, &subsystem);

	if (rc)
		return err_set(err, rc, "%s: the function does not answer", pci->name);
	*transitional = device < RISER_VIRTIO_PCI_MODERN;
	if (vendor != RISER_VIRTIO_PCI_VENDOR || device < RISER_VIRTIO_PCI_TRANSITIONAL ||
	    device > MODERN_LAST)
		return err_set(err, -ENODEV, "%s: %04x:%04x is no virtio device", pci->name, vendor,
			       device);
	return (int)(*transitional ? subsystem : device - RISER_VIRTIO_PCI_MODERN);
}

static int open_transport(struct pci_dev *pci, const struct uri *u, bool transitional,
			  struct virtio_pci **out, struct riser_err *err)
{
	const char *which = uri_get(u, "transport") ?: "";
	int rc;

	if (*which && strcmp(which, "modern") != 0 && strcmp(which, "legacy") != 0)
		return err_set(err, -EINVAL, "transport= is modern or legacy, not '%s'", which);
	if (!strcmp(which, "legacy") && !transitional)
		return err_set(err, -ENOTSUP, "%s: the device has no legacy interface", pci->name);
	if (!strcmp(which, "legacy"))
		return virtio_legacy_open(pci, out, err);
	rc = virtio_modern_open(pci, out, err);
	/* One whose capabilities make no sense is like one that has none. */
	if (rc == -ENOTSUP && transitional && !*which)
		rc = virtio_legacy_open(pci, out, err);
	return rc;
}

int virtio_pci_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		    struct riser_err *err)
{
	bool transitional = false;
	struct virtio_pci *p;
	struct pci_dev *pci;
	int rc = pci_open(r, u, &pci, err), is;

	if (rc)
		return rc;
	rc = is = read_id(pci, &transitional, err);
	if (rc >= 0)
		rc = is == (int)id ? 0
				   : err_set(err, -ENODEV,
					     "%s: virtio device of type %d, and %u is wanted",
					     pci->name, is, id);
	if (!rc)
		rc = open_transport(pci, u, transitional, &p, err);
	if (rc) {
		pci_close(pci);
		return rc;
	}
	p->pci = pci;
	p->dev.r = r;
	p->dev.dma = &pci->dma;
	p->dev.name = pci->name;
	p->dev.id = id;
	p->dev.wake_fd = p->config_fd = -1;
	/* Only real functions are behind an IOMMU that some of them go past. */
	if (!pci->dma.own && !pci->access->harmless)
		p->dev.required |= VIRTIO_BIT(RISER_VIRTIO_F_ACCESS_PLATFORM);
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned i = 0; i < p->nqueues; i++)
		p->queues[i].vector = RISER_VIRTIO_MSI_NO_VECTOR;
	rc = set_intx_off(pci) ? err_set(err, -ENODEV, "%s: the function is gone", pci->name)
			       : init_vectors(p, err);
	if (!rc && virtio_pci_status_get(&p->dev) == STATUS_GONE)
		rc = err_set(err, -ENODEV, "%s: registers read all-ones: the function is gone",
			     pci->name);
	if (rc)
		virtio_pci_close(&p->dev);
	else
		*out = &p->dev;
	return rc;
}
