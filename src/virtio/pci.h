/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What both PCI transports are made of. They have the same registers in other places; what each
 * does by itself is features, configuration and the start of a queue.
 *
 * Interrupts are MSI-X alone. Vector 0 is the configuration's; each other one belongs to an event,
 * and queues with one event share it. Where there are none, queues are polled, and whether the
 * configuration changed is read from the ISR now and then: a pin would want a handler in the
 * kernel.
 */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include "pci/pci.h"
#include "virtio/virtio.h"
#include <pthread.h>

/* A register. */
struct virtio_pci_reg {
	unsigned bar;
	size_t off;
};

/**
 * struct virtio_pci_queue - what is known of a queue
 * @vector: of MSI-X, or RISER_VIRTIO_MSI_NO_VECTOR
 * @bell: where it is notified
 */
struct virtio_pci_queue {
	uint16_t vector;
	struct virtio_pci_reg bell;
};

/**
 * struct virtio_pci - an opened function; a transport embeds it
 * @status: …@queue_vector: registers, which the transport places
 * @queues: @nqueues of them; the transport makes them
 * @lock: around the registers behind queue_select, and what follows
 * @fds: the event of each vector, -1 for none
 * @nvectors: there are; 0: MSI-X is off
 * @config_fd: atomic; to signal when the configuration changes, -1 for none
 * @watch: the ISR is read instead
 * @looked: when that was done last; atomic
 * @cut_off: bus mastering was switched off, since it did not reset
 */
struct virtio_pci {
	struct virtio_dev dev;
	struct pci_dev *pci;
	struct virtio_pci_reg status, isr, config_vector;
	struct virtio_pci_reg queue_select, queue_size, queue_vector;
	struct virtio_pci_queue *queues;
	unsigned nqueues;

	pthread_mutex_t lock;
	int *fds;
	unsigned nvectors;
	int config_fd;
	bool watch;
	uint64_t looked;
	bool cut_off;
};

static inline struct virtio_pci *virtio_pci_of(struct virtio_dev *d)
{
	return container_of(d, struct virtio_pci, dev);
}

/*
 * Make a transport of an opened function, which is the transport's from then on, if it succeeds.
 * Return: 0, -ENOTSUP with a sentence where the function does not have it, or a negative errno.
 */
int virtio_modern_open(struct pci_dev *pci, struct virtio_pci **out, struct riser_err *err);
int virtio_legacy_open(struct pci_dev *pci, struct virtio_pci **out, struct riser_err *err);

/* A vendor capability and the like; bounded. Return: the next after @at (0: the first), or 0. */
unsigned virtio_pci_cap(struct pci_dev *pci, unsigned at, unsigned id);

/* Those of struct virtio_transport that are the same for both. */
void virtio_pci_close(struct virtio_dev *d);
int virtio_pci_status_get(struct virtio_dev *d);
int virtio_pci_status_set(struct virtio_dev *d, uint8_t status);
unsigned virtio_pci_queue_max(struct virtio_dev *d, unsigned index);
int virtio_pci_irq_config(struct virtio_dev *d, int fd);
int virtio_pci_pump(struct virtio_dev *d, uint64_t *next);

/* Look until @is_done says so. Return: 0, -ETIMEDOUT, or what it says below 0. */
int virtio_pci_wait(struct virtio_pci *p, int (*is_done)(struct virtio_pci *p, unsigned arg),
		    unsigned arg);

/* Under the lock, with the queue selected: give it a vector, or take it away. */
int virtio_pci_vector_take(struct virtio_pci *p, unsigned index, int fd);
void virtio_pci_vector_drop(struct virtio_pci *p, unsigned index);

#endif
