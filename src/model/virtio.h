/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio device, whoever serves it: as a PCI function (virtio_pci.c), or over a socket
 * (publish/vhost_user.c). Who serves it is its host: he reaches the driver's memory, says what the
 * driver did, steps the device, and is called when the driver is to be interrupted. He calls under
 * one mutex of his own; nothing here has a lock or a thread.
 *
 *	virtio.c	status, features, queues
 *	vring.c, vring_packed.c
 *			the rings
 *	virtio_net.c	the network card: packets between queues and a port
 *	virtio_ctrl.c	its control queue
 *	virtio_hash.c	who receives a packet: hashes, filters
 *	virtio_config.c	the keys of a URI
 *	virtio_fault.c	scripted faults
 *	virtio_pci.c	registers
 */
#ifndef MODEL_VIRTIO_H
#define MODEL_VIRTIO_H

#include "base/riser.h"
#include "model/model.h"
#include "model/vring.h"

struct vdev;

#define VDEV_CONFIG 64u /* bytes of configuration at the most */

/**
 * struct vdev_host - who serves a device
 * @mem: the driver's memory
 * @call: the driver wants to be told that @queue has used something
 * @config: ... that the configuration changed
 * @gone: as if it was pulled out: nothing of it answers any more; NULL: it only stands still
 */
struct vdev_host {
	struct vring_mem mem;
	void (*call)(struct vdev_host *h, unsigned queue);
	void (*config)(struct vdev_host *h);
	void (*gone)(struct vdev_host *h);
};

enum vdev_queue_kind { VDEV_OTHER, VDEV_RX, VDEV_TX, VDEV_CTRL };

/**
 * struct vdev_type - what kind of device
 * @id: RISER_VIRTIO_ID_…
 * @run: look at the queues; returns how much was done, and lowers *@next to when there is more
 * @reset: forget what the driver set
 * @start: DRIVER_OK; NULL: nothing
 * @config_write: the driver writes to v->config; NULL: it may not
 * @legacy_only: features that only the legacy interface tells of
 * @queue_kind: of a queue of that number
 * @free: the reverse of making it
 */
struct vdev_type {
	unsigned id;
	uint64_t legacy_only;
	unsigned (*run)(struct vdev *v, uint64_t *next);
	void (*reset)(struct vdev *v);
	void (*start)(struct vdev *v);
	void (*config_write)(struct vdev *v, size_t off, const void *buf, size_t len);
	enum vdev_queue_kind (*queue_kind)(struct vdev *v, unsigned queue);
	void (*free)(struct vdev *v);
};

/**
 * struct vdev_queue - a queue, as the driver sets it up
 * @max: entries at the most
 * @size: as the driver wants it
 * @enabled: it runs once the device does
 * @kicked: there is something to look at
 * @paused: a fault: nothing is looked at before that time
 * @coal_packets: the driver is not told before he has got so many,
 * @coal_ns: or so much time went by; 0: at once
 * @owed: he is to be told of so many, at @owed_at
 */
struct vdev_queue {
	unsigned max, size;
	uint64_t desc, driver, device;
	uint32_t start;
	bool enabled, kicked;
	uint64_t paused;
	uint32_t coal_packets, owed;
	uint64_t coal_ns, owed_at;
	struct vring ring;
};

/**
 * struct vdev - a device
 * @offered: its features
 * @features: those that were accepted
 * @required: without these FEATURES_OK is not kept
 * @legacy: the driver came by the legacy interface: there is no FEATURES_OK
 * @running: DRIVER_OK, and nothing went wrong
 * @generation: of @config
 * @now: of the step under way
 * @counters: see model.h
 */
struct vdev {
	struct riser *r;
	const struct vdev_type *type;
	struct vdev_host *host;
	uint64_t offered, features, required;
	uint8_t status;
	bool legacy, running;
	unsigned nqueues;
	struct vdev_queue *queues;
	uint8_t config[VDEV_CONFIG];
	size_t config_len;
	uint8_t generation;
	uint64_t now;
	bool owes; /* some queue does */
	struct list faults;
	struct model_virtio_counters counters;
};

static inline bool vdev_has(const struct vdev *v, unsigned feature)
{
	return v->features >> feature & 1;
}

/* For a type's constructor: @v is zeroed. Return: 0 or -ENOMEM. */
int vdev_init(struct vdev *v, struct riser *r, const struct vdev_type *type, struct vdev_host *host,
	      unsigned nqueues, unsigned size);
void vdev_free(struct vdev *v);

/* What the driver does; each harmless at any time. */
void vdev_status(struct vdev *v, uint8_t status); /* writes the status; 0 resets */
void vdev_accept(struct vdev *v, uint64_t features);
void vdev_reset(struct vdev *v);
void vdev_enable(struct vdev *v, unsigned queue);
/* Stop one queue. Return: where it would go on, as struct vring_setup.start. */
uint32_t vdev_disable(struct vdev *v, unsigned queue);
void vdev_kick(struct vdev *v, unsigned queue);
void vdev_config_write(struct vdev *v, size_t off, const void *buf, size_t len);

/* Return: how much was done; *@next is when there will be more. */
unsigned vdev_step(struct vdev *v, uint64_t *next);

/* For types: the configuration changed; the device cannot go on; the driver broke a rule. */
void vdev_config_changed(struct vdev *v);
void vdev_needs_reset(struct vdev *v);
void vdev_blame(struct vdev *v, const char *what);

/* May this queue be looked at now? If not, *@next says when, or it will be announced. */
bool vdev_may_run(struct vdev *v, unsigned queue, uint64_t *next);
/* A chain was used, and @len bytes were written into it; it is published later. */
void vdev_use(struct vdev *v, unsigned queue, const struct vring_chain *c, uint32_t len);
/* What was used goes out to the driver, who is told if he wants to be. */
void vdev_publish(struct vdev *v, unsigned queue);

/* virtio_fault.c: those up to GONE are asked when a chain is used. */
enum vdev_fault_kind {
	VFAULT_LOST,
	VFAULT_DELAY,
	VFAULT_ID,
	VFAULT_LEN,
	VFAULT_TWICE,
	VFAULT_AHEAD,
	VFAULT_NEEDS_RESET,
	VFAULT_GONE,
	VFAULT_NO_INTERRUPT,
	VFAULT_NUM_BUFFERS,
	VFAULT_HEADER,
	VFAULT_ACK,
	VFAULT_STUCK,
	VFAULT_FEATURES,
	VFAULT_GENERATION,
};

/**
 * struct vdev_used - what is about to be said of a chain
 * @more: how often again
 */
struct vdev_used {
	uint16_t id;
	uint32_t len;
	unsigned more;
};

int vdev_fault_parse(struct vdev *v, const char *rules, struct riser_err *err);
void vdev_fault_clear(struct vdev *v);
/* Does a rule of that kind fire? *@value is the rule's, where it has one. */
bool vdev_fault(struct vdev *v, enum vdev_fault_kind kind, unsigned queue, uint64_t *value);
/* Return: whether anything is said of the chain. */
bool vdev_fault_used(struct vdev *v, unsigned queue, struct vdev_used *u);

#endif
