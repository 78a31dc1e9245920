/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Between the PCI front end (access.c) and the models that it serves. A model is one struct
 * model_ops and one word in access.c's list; it embeds struct model.
 */
#ifndef MODEL_FRONT_H
#define MODEL_FRONT_H

#include "model/iommu.h"
#include "pci/pci.h"

struct model;

#define MODEL_BARS         6u
#define MODEL_BAR_IO       1u
#define MODEL_BAR_MEMORY   0u
#define MODEL_BAR_MEMORY64 4u /* takes the next one's register too */
#define MODEL_CAP_MAX      20u

/**
 * struct model_function - what configuration space says of a model
 * @class: 24 bits of class code above the revision
 * @bars: the registers' lengths, powers of two, 0: there is none; and kinds
 * @msix_bar: where the tables lie that nobody reads
 * @caps: capabilities of the model's own, in chain order; [0] is the identifier, [2] the length
 */
struct model_function {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class;
	struct {
		uint32_t len, kind;
	} bars[MODEL_BARS];
	unsigned vectors, msix_bar;
	uint32_t msix_table, msix_pba;
	unsigned ncaps;
	uint8_t caps[6][MODEL_CAP_MAX];
};

/**
 * struct model_front - what a model is given
 * @irq: raise a vector; called in @step and in register accesses
 */
struct model_front {
	struct model_iommu iommu;
	void (*irq)(struct model_front *f, unsigned vector);
};

/**
 * struct model_ops - a model
 * @size: sizeof(struct model_ops)
 * @name: in model:NAME
 * @open: make it, with @f->iommu, which is still to be made by model_iommu_init(); fill its struct
 *	model. On failure everything but the IOMMU is gone
 * @close: the reverse
 * @read: a register; @off is a multiple of @width, within the BAR
 * @write: likewise
 * @post: a register that is written without the front end's lock, by any thread; NULL: none is.
 *	Return: whether this is one
 * @map: memory behind a range of a BAR, or NULL where it is registers
 * @step: do what is to be done. Return: how much; *@next is when there will be more
 * @reset: a function reset: as after power on, but for what is not @quiet yet
 * @quiet: nothing of what was there before the reset does DMA any more; NULL: true
 * @msix: interrupts by MSI-X were switched on or off; NULL: no matter
 */
struct model_ops {
	size_t size;
	const char *name;
	int (*open)(struct riser *r, const struct uri *u, struct model_front *f, struct model **out,
		    struct riser_err *err);
	void (*close)(struct model *m);
	uint64_t (*read)(struct model *m, unsigned bar, size_t off, unsigned width);
	void (*write)(struct model *m, unsigned bar, size_t off, unsigned width, uint64_t val);
	bool (*post)(struct model *m, unsigned bar, size_t off, unsigned width, uint64_t val);
	volatile void *(*map)(struct model *m, unsigned bar, size_t off, size_t len);
	unsigned (*step)(struct model *m, uint64_t *next);
	void (*reset)(struct model *m);
	bool (*quiet)(struct model *m);
	void (*msix)(struct model *m, bool on);
};

/**
 * struct model - an opened model
 * @thread: it wants a thread of its own
 * @gone: as if pulled out: all-ones from now on. Stored with release, the last thing that the
 *	model does to the host
 */
struct model {
	const struct model_ops *ops;
	struct model_function function;
	bool thread, gone;
};

/* The model behind a function that was opened with the scheme "model", locked until
 * model_unlock(). */
struct model *model_lock(struct pci_dev *d);
void model_unlock(struct pci_dev *d);
/* Of the same function: its IOMMU's count. */
void model_refused(struct pci_dev *d, uint64_t *count, uint64_t *iova);

#endif
