/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio-blk device (§5.2), whatever the transport: what is shared by its queues, and a queue,
 * which belongs to one owner.
 *
 *	blk.c		submit, poll
 *	blk_open.c	opening, sharing, configuration, who has which queue
 *	blk_recover.c	deadlines, reset, making queues anew
 *
 * virtio has no abort: what stops a request is a reset of the whole device, all queues at once.
 * Owners learn of it from three numbers that only grow, as with NVMe (nvme/ctrl.h): a recovery
 * begins by raising gen; stopped reaches gen when the device was reset, so that it does no DMA;
 * live reaches it when the device runs again, with new virtqueues. Whoever makes those leaves
 * them in vblk_queue.fresh, and their owners fetch them in their next polls, after they ended what
 * was in the old ones, which nobody else touches. So absent owners hold up nobody, and an owner
 * needs no lock to use his queue.
 *
 * A vhost-user backend that went and came back is another case: nothing was reset, the queue is
 * only unknown to it (virtio_dev.epoch). Then its owner starts the same virtqueue anew, and sends
 * all that was in flight again, writes too, in the order in which it came: what is dead writes
 * nothing any more.
 */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "base/exec.h"
#include "base/listen.h"
#include "virtio/virtq.h"
#include <pthread.h>
#include <sys/uio.h>

#define VBLK_QUEUES  32  /* that are used of a device */
#define VBLK_ENTRIES 256 /* of a queue */
#define VBLK_SLOTS   128 /* requests of a queue */
#define VBLK_TABLE   8   /* pieces up to which a request takes one entry, with INDIRECT_DESC */
#define VBLK_SEGS    254 /* pieces of memory of one request */

struct uri;

/* How a request ended: the device's status byte, or one of these. */
enum vblk_status {
	VBLK_UNKNOWN = 0x100, /* a write was in flight at a reset */
	VBLK_OFFLINE,         /* the device is gone */
	VBLK_TIMEOUT,         /* resets did not help */
	VBLK_SHORT,           /* "OK", but less data than was asked for */
};

/* What vblk.watchers hear. */
enum vblk_event { VBLK_EVENT_RESIZED, VBLK_EVENT_GONE };

struct vblk_req {
	void (*done)(struct vblk_req *req, unsigned status);
};

/* What a request is besides its data, in memory that the device reaches. */
struct vblk_wire {
	struct riser_virtio_blk_req head;
	struct riser_virtio_blk_range range;
	uint8_t status;
	uint8_t pad[31];
};
_Static_assert(sizeof(struct vblk_wire) == 64, "one cache line");

/**
 * struct vblk_slot - a request in flight; one cache line
 * @req: the caller's end; NULL: free
 * @next: of the free ones, or of those to be sent again
 * @iov: the caller's, which stays until the end
 * @bytes: of data
 * @stamp: when a scan first saw it, in ms; 0: none did yet
 * @type: RISER_VIRTIO_BLK_T_…
 * @tries: how often it was sent again
 */
struct vblk_slot {
	struct vblk_req *req;
	struct vblk_slot *next;
	const struct iovec *iov;
	size_t iov_off;
	uint64_t sector;
	uint32_t iovcnt;
	uint32_t bytes;
	uint32_t stamp;
	uint8_t type;
	uint8_t tries;
	uint8_t pad[10];
};
_Static_assert(sizeof(struct vblk_slot) == 64, "a slot is one cache line");

enum vblk_queue_state {
	VBLK_DRAIN, /* not live: to end what is in flight, then to get a virtqueue that is known */
	VBLK_LIVE,
	VBLK_DEAD,
};

struct vblk_queue {
	/* Submit. */
	struct vblk_slot *free; /* none while it is not live */
	struct vblk_slot *slots;
	struct virtq *vq;
	struct vblk_wire *wires;
	uint64_t wires_iova;
	const struct riser_dma_space *dma;
	uint32_t size_max, seg_max;
	uint32_t inflight;
	bool added; /* since the last kick */

	/* Poll. */
	bool armed;
	struct vblk *d;
	struct riser_exec *x;
	uint32_t gen;       /* of the device when @vq was made; 0 while not live */
	uint32_t made;      /* the same, always */
	uint32_t epoch;     /* of the device when @vq was started */
	uint64_t next_tick; /* when to look at deadlines and the device */
	uint64_t pump_next;
	enum vblk_queue_state state;

	/* Rarely. */
	struct poller poller;
	int event;                     /* of @vq; -1: none */
	struct riser_watch watches[3]; /* of the queue, the configuration, the transport */
	bool watched;                  /* they wake the owner */
	struct dma_mem mem;
	unsigned index, nslots;
	struct vblk_slot *stash;                  /* free ones while it is not live */
	struct vblk_slot *waiting, **waiting_end; /* to be sent again once it is */
	uint64_t retries;

	/* Under the device's lock. */
	struct virtq *fresh;
	unsigned refs;
	bool adopted;
	bool posted;  /* @close */
	bool closing; /* it is being released, then it is free */
	struct riser_work close;
};

/* What the device says of itself. */
struct vblk_info {
	uint64_t sectors;
	uint32_t block, physical; /* bytes */
	uint32_t size_max, seg_max;
	uint32_t max_discard, max_zeroes; /* sectors; 0: no limit */
	bool read_only, write_cache, discard, write_zeroes, unmap;
	char serial[RISER_VIRTIO_BLK_ID_LEN + 1];
};

struct vblk {
	/* Read by every owner at every poll; written under the lock. */
	uint32_t gen, stopped, live;
	bool dead;

	struct riser *r;
	struct virtio_dev *dev;
	struct list link; /* in struct riser.disks */
	unsigned refs;    /* atomic; the last one goes under open_lock */
	uint64_t timeout; /* of a request, ns */
	uint64_t wanted, required;
	bool irq;
	int config_event; /* -1: none */
	struct vblk_info info;
	unsigned nqueues;

	/* Never taken on a data path. */
	pthread_mutex_t lock;
	struct vblk_queue queues[VBLK_QUEUES];
	uint64_t retry_at;    /* a reset that failed is tried again */
	unsigned failures;    /* to bring it up, one after the other */
	uint64_t sectors;     /* as last seen */
	unsigned events;      /* to be told once the lock is dropped: bits of enum vblk_event */
	struct list watchers; /* struct listener */
	uint32_t nwatchers;   /* atomic */
	uint64_t resets;
	bool lied; /* before the last reset it had broken the rules */
};

/**
 * vblk_open - a device, shared by all who open the same URI
 * @r: the context
 * @u: as virtio_open() takes it; the driver's keys are "irq" and "timeout"
 * @out: the device; close it with vblk_close()
 * @err: filled on failure
 *
 * Return: 0 or a negative errno.
 */
int vblk_open(struct riser *r, const struct uri *u, struct vblk **out, struct riser_err *err);
void vblk_close(struct vblk *d);

/**
 * vblk_new - the same of a device that is open already, and goes with it
 * @dev: at the status DRIVER; on failure it stays the caller's
 * @irq: sleep until the device interrupts
 * @timeout: ns
 * @out: the device, one reference held, in no list
 * @err: filled on failure
 *
 * Return: 0 or a negative errno.
 */
int vblk_new(struct virtio_dev *dev, bool irq, uint64_t timeout, struct vblk **out,
	     struct riser_err *err);

/*
 * The queue of @x, or one that nobody has. Any thread, which may give it back as long as it was not
 * used. Return: 0, or -EBUSY when all have owners.
 */
int vblk_queue_get(struct vblk *d, struct riser_exec *x, struct vblk_queue **out,
		   struct riser_err *err);
/* Of those that have owners, the least shared; got as by vblk_queue_get(). NULL: none. */
struct vblk_queue *vblk_queue_least(struct vblk *d);
/* @here: this is the owner's thread, or else may not be. */
void vblk_queue_put(struct vblk_queue *q, bool here);
/* In the owner's thread, before the first use; again harms nobody. */
void vblk_queue_adopt(struct vblk_queue *q);

void vblk_watch(struct vblk *d, struct listener *l);
void vblk_unwatch(struct vblk *d, struct listener *l);

/*
 * Look at the configuration. Return: 0 with *@sectors, or -ENODEV.
 */
int vblk_look(struct vblk *d, uint64_t *sectors, struct riser_err *err);

/**
 * vblk_rw - read or write
 * @q: the queue
 * @req: the caller's; its done() is called from a poll
 * @type: RISER_VIRTIO_BLK_T_IN or RISER_VIRTIO_BLK_T_OUT
 * @sector: first sector
 * @iov: the data, until done
 * @iovcnt: elements of @iov
 * @off: bytes of @iov to skip
 * @bytes: how many
 *
 * Return: 0; -EAGAIN: no room; -EFAULT: memory that the device does not reach, or -EINVAL: in more
 * pieces than it takes; -ENODEV.
 */
int vblk_rw(struct vblk_queue *q, struct vblk_req *req, uint8_t type, uint64_t sector,
	    const struct iovec *iov, unsigned iovcnt, size_t off, uint32_t bytes);
int vblk_flush(struct vblk_queue *q, struct vblk_req *req);
/* RISER_VIRTIO_BLK_T_DISCARD or RISER_VIRTIO_BLK_T_WRITE_ZEROES. */
int vblk_range(struct vblk_queue *q, struct vblk_req *req, uint8_t type, uint64_t sector,
	       uint32_t count, bool unmap);

/* blk.c */
int vblk_poller(struct poller *p);
/* Put a slot's request into the virtqueue. Return: as vblk_rw(). */
int vblk_send(struct vblk_queue *q, struct vblk_slot *s);
/* Reap what is there. Return: how many. */
unsigned vblk_reap(struct vblk_queue *q);
void vblk_end(struct vblk_queue *q, struct vblk_slot *s, unsigned status);

/* Let the transport go on. Return: how much it did; a vanished device starts the end. */
int vblk_vanished(struct vblk *d);
static inline int vblk_pump(struct vblk_queue *q)
{
	const struct virtio_transport *t = q->d->dev->t;
	int did = t->pump ? t->pump(q->d->dev, &q->pump_next) : 0;

	return likely(did >= 0) ? did : vblk_vanished(q->d);
}

/* blk_recover.c */
/* Deadlines, the device's status and its size; from a poll. Return: things done. */
int vblk_tick(struct vblk_queue *q);
/* The poll of a queue that is not live. */
int vblk_rebuild(struct vblk_queue *q);
uint64_t vblk_next(struct poller *p);
int vblk_arm(struct poller *p);
/* Under the lock: features, virtqueues, DRIVER_OK. */
int vblk_bring_up(struct vblk *d, struct riser_err *err);
/* Drop the lock, then tell what is to be told. */
void vblk_unlock(struct vblk *d);

#endif
