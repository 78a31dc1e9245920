/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An opened virtio device, whatever the way to it. The way is a transport: modern PCI, legacy PCI
 * (a transitional function is driven as modern) or vhost-user. A driver (net.c, blk.c) opens the
 * device, says which features it wants, sets up virtqueues and starts it, in that order, which is
 * the specification's (§3.1.1):
 *
 *	virtio_open()		reset, ACKNOWLEDGE, DRIVER; the device's features are known
 *	virtio_negotiate()	features written, FEATURES_OK read back
 *	virtq_new() …		queues
 *	virtio_start()		DRIVER_OK
 *	virtio_reset()		back to where virtio_open() left it; virtqueues are freed after it
 *
 * A device without VERSION_1 is driven by the legacy rules, and no driver has to know where they
 * differ but for the length of its own headers.
 */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include "base/util.h"
#include "dma/space.h"
#include <riser/riser.h>
#include <riser/virtio.h>
#include <riser/virtio_spec.h>

struct uri;
struct virtio_dev;
struct virtio_want;

#define VIRTIO_BIT(f)      (1ull << (f))
#define VIRTIO_VECTOR_NONE (-1)

/**
 * struct virtio_layout - where a virtqueue's parts lie, as the device sees them
 * @size: entries; a power of two for split ones
 * @desc: split: descriptor table; packed: descriptor ring
 * @driver: split: available ring; packed: driver event suppression
 * @device: split: used ring; packed: device event suppression
 * @start: split: first index of the available ring; packed: offset and wrap counter (bit 15)
 * @event_fd: signalled by the device when something was used, -1 for polling alone. Queues that
 *	are given the same one share it; see virtio_dev.events
 */
struct virtio_layout {
	unsigned size;
	uint64_t desc, driver, device;
	uint16_t start;
	int event_fd;
};

/**
 * struct virtio_notify - how to tell the device that a queue has something
 * @at: where to store, or NULL
 * @wide: 32 bits, by NOTIFICATION_DATA
 * @fd: an eventfd to signal, where @at is NULL; or -1: virtio_transport.notify is to be called
 * @value: what to store without NOTIFICATION_DATA
 */
struct virtio_notify {
	volatile void *at;
	bool wide;
	int fd;
	uint16_t value;
};

/**
 * struct virtio_transport - a way to virtio devices
 * @size: sizeof(struct virtio_transport)
 * @name: for sentences and "explain": "virtio-pci modern", "virtio-pci legacy", "vhost-user"
 * @legacy_rings: a queue has queue_max() entries, no fewer, and its three parts lie in one piece
 *	below 2^44, the last at the next multiple of RISER_VIRTIO_LEGACY_ALIGN
 * @close: the reverse of opening; the device was reset
 * @status_get: device status; 0xff when the device is gone
 * @status_set: written, and for 0 read back until the device says 0; where it never does, the
 *	device reaches no memory any more when this returns -ETIMEDOUT
 * @features_get: what the device offers, all 64 bits
 * @features_set: what the driver accepted; the transport may have bits of its own to set
 * @config_read: of the device's own configuration, little-endian whatever the device's age: one
 *	field, by its width, where @len is 2, 4 or 8, and an array of bytes else; what is read is of
 *	one generation. -ERANGE: the device has no such field; -EIO: it never settles
 * @config_write: likewise
 * @queue_max: the most entries that queue @index may have, 32768 at the most; 0: there is no such
 *	queue
 * @queue_start: the queue is there from now on, and @notify is filled. -ENOSPC: it cannot have an
 *	event_fd, and can be started without. -EINVAL: features were not agreed on before
 * @queue_stop: RING_RESET: this queue only, -EOPNOTSUPP without it
 * @notify: told by a call; @value as the specification builds it
 * @irq_config: signal this eventfd when the configuration changes, or the device's status does, see
 *	virtio_check(); -1 for never. It stays through resets
 * @pump: as struct pci_access.pump: called when a poll found nothing. -ENODEV: the device is gone
 *
 * Any thread may call them, of different queues also at once; opening, resetting and closing are
 * one thread's.
 */
struct virtio_transport {
	size_t size;
	const char *name;
	bool legacy_rings;
	void (*close)(struct virtio_dev *d);
	int (*status_get)(struct virtio_dev *d);
	int (*status_set)(struct virtio_dev *d, uint8_t status);
	int (*features_get)(struct virtio_dev *d, uint64_t *features);
	int (*features_set)(struct virtio_dev *d, uint64_t features);
	int (*config_read)(struct virtio_dev *d, size_t off, void *buf, size_t len);
	int (*config_write)(struct virtio_dev *d, size_t off, const void *buf, size_t len);
	unsigned (*queue_max)(struct virtio_dev *d, unsigned index);
	int (*queue_start)(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
			   struct virtio_notify *notify);
	int (*queue_stop)(struct virtio_dev *d, unsigned index);
	void (*notify)(struct virtio_dev *d, unsigned index, uint32_t value);
	int (*irq_config)(struct virtio_dev *d, int fd);
	int (*pump)(struct virtio_dev *d, uint64_t *next);
};

/**
 * struct virtio_dev - an opened device; a transport embeds it
 * @t: its transport
 * @r: the context
 * @dma: the memory that the device reaches
 * @name: what to call it in sentences: its canonical URI
 * @id: RISER_VIRTIO_ID_…
 * @events: how many different event_fds its queues can have; 0: they are polled
 * @required: features without which this transport cannot go on
 * @offered: features that the device has
 * @withheld: of these, what the transport cannot use
 * @unwanted: those that the URI's key "without" names
 * @wants: of virtio_negotiate()
 * @wanted: likewise
 * @features: those that were accepted; valid from virtio_negotiate() on
 * @agreed: the device took them; before that it has no queues
 * @broken: what the device did wrong, NULL while nothing; it does nothing more until a reset.
 *	Atomic
 * @epoch: atomic; counts how often a vhost-user backend went away and came back. A queue that was
 *	started in another epoch is not known to the new backend: its owner takes what was used,
 *	detaches the rest, starts it anew (virtq_restart()) and adds again what it wants to repeat
 * @wake_fd: readable when @t->pump has something to do (a backend went, its configuration changed);
 *	-1: never
 */
struct virtio_dev {
	const struct virtio_transport *t;
	struct riser *r;
	struct riser_dma_space *dma;
	char *name;
	unsigned id;
	unsigned events;
	uint64_t required, offered, withheld, unwanted;
	const struct virtio_want *wants;
	uint64_t wanted, features;
	bool agreed;
	const char *broken;
	uint32_t epoch;
	int wake_fd;
};

static inline bool virtio_has(const struct virtio_dev *d, unsigned feature)
{
	return d->features >> feature & 1;
}

/**
 * virtio_open - open a device and bring it to the status DRIVER
 * @r: the context; under its open_lock, as pci_open()
 * @u: a PCI access's URI or vhost-user:PATH; keys that are the driver's are ignored, but for
 *	transport=modern or legacy: this one, where a PCI function has both (else modern)
 * @id: the device type that is wanted: RISER_VIRTIO_ID_…
 * @out: the device; close it with virtio_close()
 * @err: filled on failure
 *
 * Return: 0 or a negative errno; -ENODEV with a sentence for something else than a virtio device of
 * that type.
 */
int virtio_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		struct riser_err *err);
/* Reset it, and close it. Queues are freed between virtio_reset() and this. */
void virtio_close(struct virtio_dev *d);

/*
 * The way in through PCI, for virtio_open() alone, as vhost_user_open(): virtio_dev is filled but
 * for what comes of features, and nothing was written to the device yet. -ENODEV: it is no such
 * device.
 */
int virtio_pci_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		    struct riser_err *err);

/**
 * struct virtio_want - one row of what a driver knows of a feature
 * @bit: the feature
 * @needs: others without which it may not be accepted (§5.1.3.1 and its like): their bits + 1
 * @any: one of these is needed, where there are any
 * @name: as the specification has it, such as "MRG_RXBUF"
 */
struct virtio_want {
	uint8_t bit, needs[2], any[2];
	char name[20];
};

/* The rows of every bit that the specification gives to these devices, for @wants below. */
extern const struct virtio_want virtio_net_features[], virtio_blk_features[];

/**
 * virtio_close_needs - leave out what lacks what it needs, until nothing changes
 * @wants: rows of the driver's, ended by one without a name; those of every device are known
 * @features: offered and wanted
 *
 * Return: what is left.
 */
uint64_t virtio_close_needs(const struct virtio_want *wants, uint64_t features);

/**
 * virtio_negotiate - write features and have the device agree
 * @d: the device, opened or reset
 * @wants: as above; lives as long as the device
 * @wanted: what the driver can use, of both its own bits and every device's. VERSION_1,
 *	ACCESS_PLATFORM and ORDER_PLATFORM always are
 * @required: without these it cannot go on
 * @err: filled on failure, by the names of what is missing
 *
 * Return: 0, -ENOTSUP for a required bit that is not offered or FEATURES_OK that did not stick,
 * -ENODEV.
 */
int virtio_negotiate(struct virtio_dev *d, const struct virtio_want *wants, uint64_t wanted,
		     uint64_t required, struct riser_err *err);
int virtio_start(struct virtio_dev *d, struct riser_err *err);
int virtio_reset(struct virtio_dev *d, struct riser_err *err);

/*
 * Is the device still there, and well? For who was told by irq_config, or doubts. What it finds it
 * notes as virtio_break() does. Return: 0, -ENODEV: it is gone; -EIO: it is broken, and perhaps
 * wants to be reset (DEVICE_NEEDS_RESET).
 */
int virtio_check(struct virtio_dev *d);

/**
 * virtio_explain - what became of each feature
 * @d: the device, negotiated
 * @rows: filled in the order of bits, with those that are offered or wanted, or have a name
 *
 * Return: how many.
 */
unsigned virtio_explain(const struct virtio_dev *d,
			struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX]);

/* Names of feature bits, with commas, as far as they fit. Return: @out. */
/* Return: the bit of a feature of devices of this type, or -1. */
int virtio_feature_bit(unsigned id, const char *name, size_t len);
const char *virtio_feature_names(const struct virtio_want *wants, uint64_t bits, char *out,
				 size_t size);

/* The device broke the rules: note the first way, log it, and let nobody use it on. */
void virtio_break(struct virtio_dev *d, const char *what);

#endif
