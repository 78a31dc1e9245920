/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An opened PCI function, whatever the way to it. The way is an access (pci/access/ and
 * model/access.c): one file, one struct pci_access, one word in a meson list.
 *
 * A driver calls pci_open() with a URI and sees registers, configuration space, interrupts, reset
 * and a DMA space. Registers may be mapped (a load or store) or go through the access; the helpers
 * below hide which.
 */
#ifndef PCI_PCI_H
#define PCI_PCI_H

#include "base/mmio.h"
#include "dma/space.h"
#include <riser/riser.h>

struct uri;
struct pci_dev;

/* Keys of a URI that mean something to the driver, and do not tell one function from another. */
#define PCI_DRIVER_KEYS    "nsid", "timeout", "irq", "transport", "without"

#define PCI_CFG_VENDOR     0x00
#define PCI_CFG_DEVICE     0x02
#define PCI_CFG_COMMAND    0x04
#define PCI_CFG_CLASS      0x08 /* revision in the low byte, 24 bits of class above */
#define PCI_CFG_BAR0       0x10
#define PCI_CFG_CAP        0x34

#define PCI_COMMAND_IO     0x1
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4

#define PCI_CLASS_NVME     0x010802

/**
 * struct pci_access - a way to PCI functions
 * @size: sizeof(struct pci_access)
 * @scheme: of its URIs
 * @example: one URI, for help
 * @harmless: losing data behind it harms nobody (models, emulators)
 * @open: make a function ready: BARs assigned, their decoding and bus mastering on, the DMA
 *	space made with dma_space_init(). Fills @out with a structure that embeds struct pci_dev
 * @close: the reverse; everything the driver had mapped or set up is gone afterwards
 * @cfg_read: @len is 1, 2 or 4, @off a multiple of it. Return: 0 or a negative errno
 * @cfg_write: likewise
 * @bar_map: let loads and stores reach a range of a BAR; -EOPNOTSUPP: use bar_read and bar_write
 * @bar_read: of a BAR of memory or of ports; @width is 1, 2 or 4 and @off a multiple of it; or 8,
 *	of memory alone, which may become two accesses of 4, the low half first. All-ones when the
 *	function is gone, and where the BAR has no such register
 * @bar_write: likewise; may be posted
 * @irq_vectors: MSI-X or MSI vectors that irq_set can serve, 0 for none; NULL: 0
 * @irq_set: vectors 0…n-1 signal these eventfds, -1 for none; @n = 0 switches MSI-X off. Called
 *	with all vectors at -1 before the driver enables its device, again as vectors are taken; a
 *	number that another event got since was -1 in between. -ENOSPC: the system has not so many,
 *	and irq_vectors tells how many it has
 * @reset: start a function reset. Return: 0 or a negative errno (-EOPNOTSUPP: there is none)
 * @reset_poll: 1 when it is done and BARs and command register are restored, 0 not yet, or a
 *	negative errno. When 1 was returned the function does no DMA
 * @pump: called when a poll found nothing: steps a model that has no thread, drains posted
 *	writes, notices removal. Any thread may call it. Fills *@next with when it has something to
 *	do by itself, TIME_NEVER for never. Return: how much it did, or -ENODEV when the function is
 *	gone; NULL: nothing to do
 */
struct pci_access {
	size_t size;
	const char *scheme;
	const char *example;
	bool harmless;
	int (*open)(struct riser *r, const struct uri *u, struct pci_dev **out,
		    struct riser_err *err);
	void (*close)(struct pci_dev *d);
	int (*cfg_read)(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val);
	int (*cfg_write)(struct pci_dev *d, unsigned off, unsigned len, uint32_t val);
	int (*bar_map)(struct pci_dev *d, unsigned bar, size_t off, size_t len,
		       volatile void **out);
	uint64_t (*bar_read)(struct pci_dev *d, unsigned bar, size_t off, unsigned width);
	void (*bar_write)(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
			  uint64_t val);
	unsigned (*irq_vectors)(struct pci_dev *d);
	int (*irq_set)(struct pci_dev *d, const int *fds, unsigned n);
	int (*reset)(struct pci_dev *d);
	int (*reset_poll)(struct pci_dev *d);
	int (*pump)(struct pci_dev *d, uint64_t *next);
};

/**
 * struct pci_dev - an opened function; an access embeds it and fills all but @name
 * @access: its ops
 * @r: the context
 * @dma: the memory that the function reaches
 * @name: what to call it in sentences: its canonical URI
 * @link: in struct riser.functions
 * @parked: opened by pci_look(), and waits for whoever opens it
 * @id: as pci_look() found it once; it may not be there to be asked any more
 * @class: likewise, with the revision
 */
struct pci_dev {
	const struct pci_access *access;
	struct riser *r;
	struct riser_dma_space dma;
	char *name;
	struct list link;
	bool parked;
	uint32_t id, class;
};

/**
 * pci_access_find - the access for a scheme
 *
 * Return: the access, or NULL.
 */
const struct pci_access *pci_access_find(struct riser *r, const char *scheme);

/**
 * pci_open - open a function; as pci_close(), one at a time in a context: under its open_lock
 * @r: the context
 * @u: the URI; keys that are the driver's (PCI_DRIVER_KEYS) are ignored
 * @out: the function; close it with pci_close()
 * @err: filled on failure
 *
 * Return: 0 or a negative errno; -EINVAL with a suggestion for an unknown scheme.
 */
int pci_open(struct riser *r, const struct uri *u, struct pci_dev **out, struct riser_err *err);
void pci_close(struct pci_dev *d);

/**
 * pci_look - what a function is, for who is to choose its driver
 * @r: the context; takes its open_lock
 * @u: the URI
 * @id: the device's id above the vendor's, 16 bits each; 0: it does not say
 * @class: its class code
 * @err: filled on failure
 *
 * One that is not open is opened, and handed to the next pci_open() of that URI. Where there is
 * none, pci_leave() closes it.
 *
 * Return: as pci_open().
 */
int pci_look(struct riser *r, const struct uri *u, uint32_t *id, uint32_t *class,
	     struct riser_err *err);
void pci_leave(struct riser *r, const struct uri *u);

/* Return: the 24-bit class code, or a negative errno. */
int pci_class(struct pci_dev *d);

/* All-ones where the function does not answer. */
static inline uint8_t pci_read8(struct pci_dev *d, unsigned bar, size_t off)
{
	return (uint8_t)d->access->bar_read(d, bar, off, 1);
}

static inline uint16_t pci_read16(struct pci_dev *d, unsigned bar, size_t off)
{
	return (uint16_t)d->access->bar_read(d, bar, off, 2);
}

static inline uint32_t pci_read32(struct pci_dev *d, unsigned bar, size_t off)
{
	return (uint32_t)d->access->bar_read(d, bar, off, 4);
}

static inline uint64_t pci_read64(struct pci_dev *d, unsigned bar, size_t off)
{
	return d->access->bar_read(d, bar, off, 8);
}

static inline void pci_write8(struct pci_dev *d, unsigned bar, size_t off, uint8_t val)
{
	d->access->bar_write(d, bar, off, 1, val);
}

static inline void pci_write16(struct pci_dev *d, unsigned bar, size_t off, uint16_t val)
{
	d->access->bar_write(d, bar, off, 2, val);
}

static inline void pci_write32(struct pci_dev *d, unsigned bar, size_t off, uint32_t val)
{
	d->access->bar_write(d, bar, off, 4, val);
}

static inline void pci_write64(struct pci_dev *d, unsigned bar, size_t off, uint64_t val)
{
	d->access->bar_write(d, bar, off, 8, val);
}

/* Map a range of a BAR, or NULL where only pci_read32() and pci_write32() reach it. */
volatile void *pci_map(struct pci_dev *d, unsigned bar, size_t off, size_t len);

unsigned pci_irq_vectors(struct pci_dev *d);
int pci_irq_set(struct pci_dev *d, const int *fds, unsigned n);
int pci_reset(struct pci_dev *d);
int pci_reset_poll(struct pci_dev *d);

/* See struct pci_access.pump. *@next is TIME_NEVER where there is no pump. */
static inline int pci_pump(struct pci_dev *d, uint64_t *next)
{
	*next = TIME_NEVER;
	return d->access->pump ? d->access->pump(d, next) : 0;
}

#endif
