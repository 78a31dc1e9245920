/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A transitional virtio function made by a test: configuration space, the legacy registers in ports
 * of BAR 0, the modern ones in BAR 4. It counts each access that has not its register's own width,
 * notes what is written in which order, and has as many bad habits as a test wants.
 */
#ifndef TESTS_UNIT_VIRTIO_PCI_FAKE_H
#define TESTS_UNIT_VIRTIO_PCI_FAKE_H

#include "../tap.h"
#include "base/clock.h"
#include "base/event.h"
#include "base/exec.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/pci.h"
#include "virtio/virtio.h"
#include <errno.h>
#include <pthread.h>

#define FAKE_QUEUES  3
#define FAKE_SIZE    16 /* entries of each */
#define FAKE_VECTORS 4
#define FAKE_CONFIG  24 /* bytes of the device's own configuration */

#define FAKE_NOTIFY  0x3000
#define FAKE_MULT    4

struct fake_queue {
	uint16_t size, vector, enabled, resets;
	uint32_t pfn;
	uint64_t desc, driver, device;
	uint32_t rung; /* what was written last to its bell */
};

/**
 * struct fake - the function; tests fill what is above @d before they open it
 * @stuck: its status never becomes 0: not by writing it, and with 2 not by a function reset either
 * @slow_ns: how long a reset takes
 * @refuses: FEATURES_OK is not taken
 * @restless: the configuration is of another generation at each look
 * @unvectored: vectors from this one on read back NO_VECTOR
 * @ring_stuck: a queue's reset never ends
 * @common_len: as the capability says
 */
static struct fake {
	uint8_t cfg[256];
	uint64_t offered;
	unsigned stuck;
	uint64_t slow_ns;
	bool refuses, restless, ring_stuck;
	unsigned unvectored;
	unsigned vectors;
	uint8_t config[FAKE_CONFIG];
	bool is_real; /* behind an IOMMU */

	struct pci_dev pci;
	uint64_t accepted;
	uint32_t select, driver_select;
	uint16_t queue, config_vector;
	uint8_t status, generation, isr;
	uint64_t reset_at, function_reset_at;
	struct fake_queue queues[FAKE_QUEUES];
	bool msix, gone, zeros; /* it is gone: all-ones or zeros are read */
	int fds[FAKE_VECTORS];
	unsigned wrong; /* widths, places */
	unsigned function_resets;
	char log[256]; /* what was written */
} fake;

static inline void fake_note(const char *fmt, unsigned v)
{
	size_t len = strlen(fake.log);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(fake.log + len, sizeof(fake.log) - len, fmt, v);
#pragma GCC diagnostic pop
}

static inline void fake_put(unsigned off, unsigned len, uint32_t v)
{
	for (unsigned i = 0; i < len; i++)
		fake.cfg[off + i] = (uint8_t)(v >> 8 * i);
}

/* A vendor capability, and the next at @next. */
static inline void fake_cap(unsigned at, unsigned next, unsigned type, unsigned bar, uint32_t off,
			    uint32_t len)
{
	fake_put(at, 4,
		 type << 24 | (type == RISER_VIRTIO_PCI_CAP_NOTIFY ? 20u : 16u) << 16 | next << 8 |
			 0x09);
	fake_put(at + 4, 4, bar);
	fake_put(at + 8, 4, off);
	fake_put(at + 12, 4, len);
	if (type == RISER_VIRTIO_PCI_CAP_NOTIFY)
		fake_put(at + 16, 4, FAKE_MULT);
}

/* A network card without bad habits. */
static inline void fake_init(void)
{
	memset(&fake, 0, sizeof(fake));
	fake_put(PCI_CFG_VENDOR, 4, 0x1000u << 16 | RISER_VIRTIO_PCI_VENDOR);
	fake_put(0x06, 2, 0x10);
	fake_put(0x2e, 2, RISER_VIRTIO_ID_NET);
	fake_put(PCI_CFG_CAP, 1, 0x40);
	fake_put(0x40, 4, 0x50 << 8 | 0x11 | (FAKE_VECTORS - 1) << 16);
	fake_cap(0x50, 0x60, RISER_VIRTIO_PCI_CAP_COMMON, 4, 0, 0x1000);
	fake_cap(0x60, 0x70, RISER_VIRTIO_PCI_CAP_ISR, 4, 0x1000, 0x1000);
	fake_cap(0x70, 0x80, RISER_VIRTIO_PCI_CAP_DEVICE, 4, 0x2000, FAKE_CONFIG);
	fake_cap(0x80, 0, RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY, 0x1000);
	fake.vectors = FAKE_VECTORS;
	fake.unvectored = UINT32_MAX;
	fake.offered = VIRTIO_BIT(RISER_VIRTIO_NET_F_MAC) | VIRTIO_BIT(RISER_VIRTIO_NET_F_STATUS) |
		       VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1) | VIRTIO_BIT(RISER_VIRTIO_F_RING_RESET);
	for (unsigned i = 0; i < FAKE_CONFIG; i++)
		fake.config[i] = (uint8_t)(0x10 + i);
}

static inline void fake_device_reset(void)
{
	fake.status = 0;
	fake.accepted = 0;
	fake.config_vector = RISER_VIRTIO_MSI_NO_VECTOR;
	memset(fake.queues, 0, sizeof(fake.queues));
	for (unsigned i = 0; i < FAKE_QUEUES; i++) {
		fake.queues[i].size = FAKE_SIZE;
		fake.queues[i].vector = RISER_VIRTIO_MSI_NO_VECTOR;
	}
}

static inline void fake_set_status(uint8_t v)
{
	fake_note("S%u ", v);
	if (!v && fake.stuck)
		return;
	if (!v) {
		fake.reset_at = clock_now(fake.pci.r) + fake.slow_ns;
		if (!fake.slow_ns)
			fake_device_reset();
		return;
	}
	if (fake.refuses)
		v &= (uint8_t)~RISER_VIRTIO_STATUS_FEATURES_OK;
	fake.status = v;
}

static inline uint8_t fake_status(void)
{
	if (fake.reset_at && clock_now(fake.pci.r) >= fake.reset_at) {
		fake.reset_at = 0;
		fake_device_reset();
	}
	return fake.status;
}

static inline uint16_t fake_vector(uint16_t v)
{
	return v < fake.unvectored ? v : RISER_VIRTIO_MSI_NO_VECTOR;
}

/* The device says that its configuration changed. */
static inline void fake_change(void)
{
	fake.generation++;
	fake.isr |= RISER_VIRTIO_ISR_CONFIG;
	if (fake.msix && fake.config_vector < FAKE_VECTORS && fake.fds[fake.config_vector] >= 0)
		event_signal(fake.fds[fake.config_vector]);
}

/* A register, of one of the two interfaces: the place of its value, and its width; or NULL. */
static inline void *fake_field(bool modern, size_t off, unsigned *width)
{
	static uint16_t nothing;
	struct fake_queue *q = fake.queue < FAKE_QUEUES ? &fake.queues[fake.queue] : NULL;
	size_t base = fake.msix ? 24 : 20;

#define FIELD(w, p) (*width = (w), (void *)(p))
	if (modern) {
		switch (off) {
		case 0:
			return FIELD(4, &fake.select);
		case 8:
			return FIELD(4, &fake.driver_select);
		case 16:
			return FIELD(2, &fake.config_vector);
		case 22:
			return FIELD(2, &fake.queue);
		case 24:
			return FIELD(2, q ? &q->size : &nothing);
		case 26:
			return FIELD(2, q ? &q->vector : &nothing);
		case 28:
			return FIELD(2, q ? &q->enabled : &nothing);
		case 32:
		case 36:
			return FIELD(4, q ? (char *)&q->desc + off % 8 : NULL);
		case 40:
		case 44:
			return FIELD(4, q ? (char *)&q->driver + off % 8 : NULL);
		case 48:
		case 52:
			return FIELD(4, q ? (char *)&q->device + off % 8 : NULL);
		}
		return NULL;
	}
	if (off >= base && off < base + FAKE_CONFIG)
		return FIELD(1, fake.config + (off - base));
	switch (off) {
	case RISER_VIRTIO_LEGACY_QUEUE_PFN:
		return FIELD(4, q ? &q->pfn : NULL);
	case RISER_VIRTIO_LEGACY_QUEUE_SIZE:
		return FIELD(2, q ? &q->size : &nothing);
	case RISER_VIRTIO_LEGACY_QUEUE_SELECT:
		return FIELD(2, &fake.queue);
	case RISER_VIRTIO_LEGACY_CONFIG_VECTOR:
		return FIELD(2, &fake.config_vector);
	case RISER_VIRTIO_LEGACY_QUEUE_VECTOR:
		return FIELD(2, q ? &q->vector : &nothing);
	}
#undef FIELD
	return NULL;
}

static inline uint64_t fake_read_special(bool modern, size_t off, unsigned *width)
{
	if (off == (modern ? 20 : RISER_VIRTIO_LEGACY_STATUS))
		return *width = 1, fake_status();
	if (off == (modern ? 0x1000 : RISER_VIRTIO_LEGACY_ISR)) {
		uint8_t isr = fake.isr;

		fake.isr = 0; /* reading clears it */
		return *width = 1, isr;
	}
	if (!modern && off == RISER_VIRTIO_LEGACY_DEVICE_FEATURES)
		return *width = 4, (uint32_t)fake.offered;
	if (modern && off == 4)
		return *width = 4,
		       fake.select < 2 ? (uint32_t)(fake.offered >> 32 * fake.select) : 0;
	if (modern && off == 18)
		return *width = 2, FAKE_QUEUES;
	if (modern && off == 21)
		return *width = 1, fake.restless ? fake.generation++ : fake.generation;
	if (modern && off == 30)
		return *width = 2, fake.queue; /* its bell */
	if (modern && off == 58)
		return *width = 2,
		       fake.queue < FAKE_QUEUES && fake.queues[fake.queue].resets == UINT16_MAX;
	*width = 0;
	return 0;
}

static inline uint64_t fake_bar_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	bool modern = bar == 4;
	unsigned own = 0;
	uint64_t v = 0;
	void *p;

	if (fake.zeros)
		return 0;
	if (fake.gone || (bar != 0 && bar != 4))
		return UINT64_MAX;
	/* The device's own configuration has fields of every width. */
	if (modern && off >= 0x2000 && off + width <= 0x2000 + FAKE_CONFIG) {
		memcpy(&v, fake.config + (off - 0x2000), width);
		fake.wrong += off % width != 0;
		fake_note("r%u ", width);
		return v;
	}
	v = fake_read_special(modern, off, &own);
	if (!own) {
		p = fake_field(modern, off, &own);
		if (p)
			memcpy(&v, p, own);
		else
			fake.wrong++;
	}
	fake.wrong += own && own != width;
	return v;
}

static inline void fake_ring(unsigned index, uint64_t val)
{
	if (index < FAKE_QUEUES)
		fake.queues[index].rung = (uint32_t)val;
	else
		fake.wrong++;
}

static inline void fake_written(bool modern, size_t off, uint64_t val)
{
	struct fake_queue *q = fake.queue < FAKE_QUEUES ? &fake.queues[fake.queue] : NULL;

	if (q && (off == (modern ? 26 : RISER_VIRTIO_LEGACY_QUEUE_VECTOR)))
		q->vector = fake_vector((uint16_t)val);
	if (off == (modern ? 16 : RISER_VIRTIO_LEGACY_CONFIG_VECTOR) && (modern || fake.msix))
		fake.config_vector = fake_vector((uint16_t)val);
	if (off == (modern ? 28 : RISER_VIRTIO_LEGACY_QUEUE_PFN))
		fake_note("Q%u ", fake.queue);
}

static inline void fake_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
				  uint64_t val)
{
	bool modern = bar == 4;
	unsigned own = 0;
	void *p;

	if (fake.gone || fake.zeros || (bar != 0 && bar != 4))
		return;
	if (modern && off >= 0x2000 && off + width <= 0x2000 + FAKE_CONFIG) {
		memcpy(fake.config + (off - 0x2000), &val, width);
		fake.wrong += off % width != 0;
	} else if (modern && off >= FAKE_NOTIFY) {
		fake_ring((unsigned)(off - FAKE_NOTIFY) / FAKE_MULT, val);
	} else if (!modern && off == RISER_VIRTIO_LEGACY_QUEUE_NOTIFY) {
		fake_ring((unsigned)val, val);
		fake.wrong += width != 2;
	} else if (off == (modern ? 20 : RISER_VIRTIO_LEGACY_STATUS)) {
		fake.wrong += width != 1;
		fake_set_status((uint8_t)val);
	} else if (off == (modern ? 12 : RISER_VIRTIO_LEGACY_DRIVER_FEATURES)) {
		unsigned shift = modern ? 32 * fake.driver_select : 0;

		fake.wrong += width != 4;
		fake.accepted &= ~(0xffffffffull << shift);
		fake.accepted |= val << shift;
		fake_note(shift ? "" : "F ", 0);
	} else if (modern && off == 58 && fake.queue < FAKE_QUEUES) {
		fake.wrong += width != 2 || val != 1;
		fake.queues[fake.queue].enabled = 0;
		fake.queues[fake.queue].resets = fake.ring_stuck ? UINT16_MAX : 1;
	} else {
		p = fake_field(modern, off, &own);
		if (p)
			memcpy(p, &val, own);
		fake.wrong += !p || own != width;
		fake_written(modern, off, val);
	}
}

static inline int fake_cfg_read(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val)
{
	*val = 0;
	if (fake.gone || off + len > sizeof(fake.cfg))
		return -ENODEV;
	for (unsigned i = 0; i < len; i++)
		*val |= (uint32_t)fake.cfg[off + i] << 8 * i;
	return 0;
}

static inline int fake_cfg_write(struct pci_dev *d, unsigned off, unsigned len, uint32_t val)
{
	if (fake.gone)
		return -ENODEV;
	fake_put(off, len, val);
	return 0;
}

static inline void fake_msix(bool on)
{
	fake.msix = on;
	fake_put(0x42, 2, (FAKE_VECTORS - 1) | (on ? 0x8000u : 0));
}

static inline unsigned fake_irq_vectors(struct pci_dev *d)
{
	return fake.vectors;
}

static inline int fake_irq_set(struct pci_dev *d, const int *fds, unsigned n)
{
	if (n > fake.vectors)
		return -EINVAL;
	for (unsigned i = 0; i < FAKE_VECTORS; i++)
		fake.fds[i] = i < n ? fds[i] : -1;
	fake_msix(n > 0);
	return 0;
}

static inline int fake_reset(struct pci_dev *d)
{
	if (fake.stuck > 2)
		return -EOPNOTSUPP;
	fake.function_resets++;
	fake.function_reset_at = clock_now(d->r) + 100 * NS_PER_MS;
	return 0;
}

static inline int fake_reset_poll(struct pci_dev *d)
{
	if (clock_now(d->r) < fake.function_reset_at)
		return 0;
	if (fake.stuck < 2)
		fake_device_reset();
	return 1;
}

static inline int fake_dma_map(struct riser_dma_space *s, const struct dma_region *region,
			       struct riser_err *err)
{
	return dma_space_enter(s, region->va, region->len, (uint64_t)(uintptr_t)region->va);
}

static inline void fake_dma_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
}

static const struct dma_space_ops fake_dma = {
	.size = sizeof(fake_dma),
	.map = fake_dma_map,
	.unmap = fake_dma_unmap,
};

static const struct pci_access access_fake, access_real;

static inline int fake_open(struct riser *r, const struct uri *u, struct pci_dev **out,
			    struct riser_err *err)
{
	fake.pci = (struct pci_dev){ .access = fake.is_real ? &access_real : &access_fake, .r = r };
	fake_device_reset();
	fake.status = 7; /* somebody had it before */
	for (unsigned i = 0; i < FAKE_VECTORS; i++)
		fake.fds[i] = -1;
	*out = &fake.pci;
	return dma_space_init(&fake.pci.dma, r, &fake_dma, 12, false, err);
}

static inline void fake_close(struct pci_dev *d)
{
	dma_space_destroy(&d->dma);
}

#define FAKE_OPS                                                                                   \
	.size = sizeof(struct pci_access), .scheme = "fake", .open = fake_open,                    \
	.close = fake_close, .cfg_read = fake_cfg_read, .cfg_write = fake_cfg_write,               \
	.bar_read = fake_bar_read, .bar_write = fake_bar_write, .irq_vectors = fake_irq_vectors,   \
	.irq_set = fake_irq_set, .reset = fake_reset, .reset_poll = fake_reset_poll

static const struct pci_access access_fake = { FAKE_OPS, .harmless = true };
static const struct pci_access access_real = { FAKE_OPS };

static const struct pci_access *const fake_accesses[] = { &access_fake, NULL };
static const struct registry fake_registry = { .accesses = fake_accesses };

#endif
