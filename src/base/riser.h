/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * struct riser, the context. Floors above hang what they register here as opaque pointers;
 * src/riser/ fills the registries.
 */
#ifndef BASE_RISER_H
#define BASE_RISER_H

#include "base/clock.h"
#include "base/list.h"
#include <pthread.h>
#include <riser/riser.h>

struct blk_source;
struct pci_access;
struct port_ops;
struct publish_ops;
struct riser_target_ops;
struct uri;
struct riser_blk;

/* What this build has, each list ending in NULL. Filled by src/riser/, constant afterwards. */
struct registry {
	const struct pci_access *const *accesses;
	const struct blk_source *const *sources;
	const struct port_ops *const *ports;
	const struct publish_ops *const *publishers;
	const struct riser_target_ops *const *targets;
	/* Let go of what the floors above hung into a context that ends. */
	void (*close)(struct riser *r);
	/* Open what stands behind a PCI access by its class code, as a block device. */
	int (*open_by_class)(struct riser *r, const struct uri *u, uint32_t flags,
			     struct riser_blk **out, struct riser_err *err);
	/* What opens @u as a network port. Return: NULL, with a sentence. */
	const struct port_ops *(*port_of)(struct riser *r, const struct uri *u,
					  struct riser_err *err);
};

struct riser {
	const struct registry *registry;
	struct clock clock;
	uint32_t flags;
	bool membarrier; /* membarrier(PRIVATE_EXPEDITED) works; chosen once */
	void (*log)(void *ctx, enum riser_log_level level, const char *line);
	void *log_ctx;

	/*
	 * Serialises opening and closing of controllers, so that two openers share one.
	 * Recursive: what a model stands on is opened while the model is.
	 * Lock order: open_lock, a controller's, lock, the clock's.
	 */
	pthread_mutex_t open_lock;
	struct list controllers; /* struct nvme_ctrl, by canonical URI; under open_lock */
	struct list disks;       /* struct vblk, likewise */
	struct list functions;   /* struct pci_dev, likewise */
	struct list
		vfio; /* struct vfio_space; changed under open_lock and lock, read under either */

	pthread_mutex_t claim_lock; /* none of the others is taken under it */
	struct list claims; /* what is open for writing, see blk/claim.c; under claim_lock */

	pthread_mutex_t lock; /* protects the lists below; never held across I/O or waiting */
	struct list regions;  /* struct dma_region, see dma/mem.c */
	struct list spaces;   /* struct riser_dma_space, see dma/space.c */
	struct list execs;    /* struct riser_exec */
	struct list wires;    /* struct wire, see net/port/wire.c */

	/* The device mapper's. */
	struct {
		void *devs;            /* tree of struct dm_dev, see dm/dev.c */
		void *names, *uuids;   /* trees of struct riser_dm, see dm/names.c */
		struct list plugins;   /* struct dm_plugin, see dm/plugin.c */
		struct list suspended; /* struct riser_dm */
		struct list opening;   /* tables, see dm/source.c */
		uint64_t walks;        /* down through tables; see dm/table.c */
		pthread_t holder;      /* whose control operation is under way */
		unsigned held;         /* how often, it may nest; 0: nobody's */
	} dm;
};

/* Make the base of a context; src/riser/ wraps it as riser_new(). */
int base_new(const struct riser_opts *opts, const struct registry *registry, struct riser **out,
	     struct riser_err *err);

void base_log(struct riser *r, enum riser_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
