/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * One queue pair for an executor and a controller, shared by all who want one there, and a second
 * one where some want interrupts and others don't.
 *
 * Any thread may make it, and may give it back as long as it did not use it. The owner adopts it
 * before the first use; from then on the owner alone closes it. No lock is held across waiting: who
 * comes second for the same owner waits for the first to have made it by looking again.
 */
#ifndef NVME_SHARED_H
#define NVME_SHARED_H

#include "nvme/ctrl.h"

enum nvme_shared_state { SHARED_MAKING, SHARED_READY, SHARED_FAILED, SHARED_CLOSING };

/* An owner's queue pair. Under the controller's lock, but for what is constant. */
struct nvme_shared {
	struct list link; /* in nvme_ctrl.shared */
	struct riser_exec *x;
	struct riser_nvme *h;
	struct riser_nvme_qpair *q; /* constant once it is ready */
	bool irq;
	unsigned refs;
	enum nvme_shared_state state;
	bool adopted;
	bool posted; /* @close */
	struct riser_work close;
};

/*
 * @any: with interrupts or without. Return: 0; -EBUSY when the controller has none left; or what
 * riser_nvme_qpair_open() says.
 */
int nvme_shared_get(struct riser_nvme *h, struct riser_exec *x, bool irq, bool any,
		    struct nvme_shared **out, struct riser_err *err);

/*
 * @here: this is the owner's thread, or else may not be. Then what the owner adopted, and gave up
 * while another thread had it too but never used it, is closed by the owner at its next poll.
 */
void nvme_shared_put(struct nvme_shared *n, bool here);

/* In the owner's thread, before the first use; again harms nobody. */
void nvme_shared_adopt(struct nvme_shared *n);

/*
 * One of @x, of the kind that was not asked for, or else the least shared, got as by
 * nvme_shared_get(). NULL: nobody has any.
 */
struct nvme_shared *nvme_shared_least(struct riser_nvme *h, const struct riser_exec *x);

#endif
