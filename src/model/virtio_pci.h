/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A virtio device of the model's as a PCI function: modern, legacy, or both (transitional). */
#ifndef MODEL_VIRTIO_PCI_H
#define MODEL_VIRTIO_PCI_H

#include "model/front.h"
#include "model/virtio.h"

enum vpci_transport { VPCI_MODERN, VPCI_TRANSITIONAL, VPCI_LEGACY };

/**
 * struct vpci - the function
 * @notify: what the driver stores to announce a queue, NOTIFY_IDLE where it was seen
 * @irqs: vectors; [queues] is the configuration's
 */
struct vpci {
	struct model model;
	struct model_front *front;
	struct vdev_host host;
	struct vdev *v;
	enum vpci_transport transport;
	uint32_t *notify;
	uint16_t *irqs;
	uint32_t device_select, driver_select;
	uint64_t accepted;
	uint16_t queue_select;
	uint8_t isr;
	bool msix;
};

/**
 * vpci_init - make a function of a device
 * @p: zeroed, but for @front and what vpci_host() filled
 * @v: the device, whose host is &p->host
 * @class: PCI class code
 *
 * Return: 0 or -ENOMEM.
 */
int vpci_init(struct vpci *p, struct vdev *v, uint32_t class, enum vpci_transport transport,
	      unsigned vectors);
void vpci_host(struct vpci *p, struct model_front *f);
/* Partial-safe; the device is its type's to free. */
void vpci_destroy(struct vpci *p);

/* Ops of the front end's (model/front.h). */
uint64_t vpci_read(struct model *m, unsigned bar, size_t off, unsigned width);
void vpci_write(struct model *m, unsigned bar, size_t off, unsigned width, uint64_t val);
volatile void *vpci_map(struct model *m, unsigned bar, size_t off, size_t len);
unsigned vpci_step(struct model *m, uint64_t *next);
void vpci_reset(struct model *m);
void vpci_msix(struct model *m, bool on);

static inline struct vpci *vpci_of(struct model *m)
{
	return container_of(m, struct vpci, model);
}

#endif
