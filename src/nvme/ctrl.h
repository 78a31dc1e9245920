/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An NVMe controller: what is shared by its queue pairs. Three parts, one lock:
 *
 *	admin.c		the admin queue: requests that live in the controller, each with its own DMA
 *			page, so that no caller's memory is ever a DMA target
 *	recover.c	one state machine that brings the controller up, for the first time and
 *after every failure ctrl.c		opening, sharing, shutdown
 *
 * Queue pairs (qpair.h) belong to their owners; nobody else touches them. They learn of a reset
 * from three numbers that only grow: a recovery starts by raising gen; stopped reaches gen when
 * the device is proved to do no DMA (RDY=0 read, function reset returned, bus mastering off, or
 * gone); live reaches gen when admin commands work again. An owner drains when gen moved, ends
 * what was in flight when stopped has caught up, and creates its queues anew when live has.
 * Absent owners hold up nobody.
 *
 * Whoever sees a failure starts a recovery; every poll of a queue that is not live and every
 * synchronous wait steps it, under trylock. So the one who started it may go away.
 */
#ifndef NVME_CTRL_H
#define NVME_CTRL_H

#include "base/clock.h"
#include "base/exec.h"
#include "base/list.h"
#include "base/listen.h"
#include "pci/pci.h"
#include <pthread.h>
#include <riser/nvme.h>

#define NVME_ADMIN_DEPTH 64
#define NVME_ADMIN_REQS  32 /* request slots; the rest of the queue is for events */
#define NVME_ADMIN_OWN   0  /* the slot that recovery keeps for itself */
#define NVME_AERS        4
#define NVME_EVENT_GONE  UINT32_MAX /* beside what controllers tell */
#define NVME_VECTORS     64
#define NVME_EVENTS      32 /* events waiting for delivery */
#define NVME_ADMIN_BIG   (256 * KiB)

enum nvme_areq_state {
	AREQ_FREE,
	AREQ_QUEUED, /* waits for the admin queue to open */
	AREQ_SENT,
	AREQ_DONE,
};

/**
 * struct nvme_areq - one admin command
 * @sqe: the command, without cid and PRPs
 * @status: as riser_nvme_admin() returns it, when done
 * @result: dword 0 of the completion
 * @cid: of the last time it was sent; the slot's number in the low byte, a generation above
 * @stamp: when a scan first saw it sent; 0: none did yet
 * @timeout: ns
 * @retry: send it again after a reset (it changes nothing)
 * @tries: how often it was
 * @told: that it takes long
 * @abandoned: nobody waits: free it when done
 * @page: its own page: the data, or the PRP list of the big buffer
 */
struct nvme_areq {
	enum nvme_areq_state state;
	struct riser_nvme_sqe sqe;
	uint32_t status;
	uint32_t result;
	uint32_t len;
	uint16_t cid;
	uint64_t stamp;
	uint64_t timeout;
	bool retry;
	uint8_t tries;
	bool told;
	bool abandoned;
	bool big;
	void *page;
	uint64_t page_iova;
};

struct nvme_admin {
	struct dma_mem sq, cq, pages, big;
	bool open; /* the controller takes commands; before it is live, recovery's only */
	bool big_taken;
	uint16_t tail, head;
	bool phase;
	uint8_t gens[NVME_ADMIN_DEPTH];
	struct nvme_areq reqs[NVME_ADMIN_REQS];
	bool aer_armed[NVME_AERS];
	unsigned aers; /* how many the controller takes at a time */
	uint32_t events[NVME_EVENTS];
	unsigned nevents;
};

enum nvme_recover_state {
	RECOVER_LIVE,
	RECOVER_SETTLE,  /* EN=1 and RDY=0 seen: EN may be cleared only once RDY=1 */
	RECOVER_DISABLE, /* waiting for RDY=0 */
	RECOVER_RESET,   /* waiting for the function reset */
	RECOVER_ENABLE,  /* waiting for RDY=1 */
	RECOVER_SETUP,   /* admin commands under way */
	RECOVER_DEAD,
};

struct nvme_recover {
	enum nvme_recover_state state;
	uint64_t since, deadline; /* of @state */
	bool told;                /* that it takes long */
	unsigned resets;          /* function resets since it was last live */
	unsigned step;            /* of RECOVER_SETUP */
	struct nvme_areq *req;
	struct riser_err why; /* of the last failure, for the opener */
};

struct nvme_ctrl {
	/* Read by every owner at every poll; written under the lock. */
	uint32_t gen, stopped, live;
	bool dead;

	struct riser *r;
	struct pci_dev *pci;
	volatile void *db; /* the doorbells, or NULL where they go through the access */
	struct list link;  /* in struct riser.controllers */
	unsigned refs;     /* atomic; the last one goes under open_lock */

	/* Constant once open. */
	uint64_t cap;
	uint32_t vs;
	unsigned mps_shift;
	unsigned db_shift; /* a doorbell's stride is 1 << db_shift bytes */
	uint32_t max_transfer;
	uint64_t io_timeout, admin_timeout; /* ns */
	uint64_t ready_timeout;             /* ns, from CAP.TO */
	unsigned max_retries, max_resets;
	struct riser_nvme_id_ctrl *id;

	/* Never taken on a data path, never held while waiting. Order: see struct riser. */
	pthread_mutex_t lock;
	struct nvme_admin admin;
	struct nvme_recover recover;
	unsigned granted;          /* I/O queue pairs */
	uint64_t qids[4];          /* bit n: queue n is taken; 0 is the admin queue's */
	int vectors[NVME_VECTORS]; /* eventfds, -1 where none */
	unsigned nvectors;
	void (*aer_fn)(void *ctx, uint32_t event);
	void *aer_ctx;
	struct list shared; /* struct nvme_shared, see shared.h */
	/* struct listener: of dword 0 of each event, and once of NVME_EVENT_GONE */
	struct list watchers;
	uint32_t nwatchers; /* atomic */
	bool death_told;
	/* Statistics. Owners count the last two without the lock. */
	uint64_t aborts, timeouts, aers, retries, stray;
};

/* What riser_nvme_open() gives: one opener's rights on a shared controller. */
struct riser_nvme {
	struct nvme_ctrl *ctrl;
	uint32_t flags;
	uint8_t admin_allow[32], io_allow[32];
};

/*
 * A guarded handle more on the controller of @h, dead or not. Takes no lock, and giving back all
 * but the last takes none either, so that no owner waits while somebody opens a slow controller.
 */
int nvme_share(const struct riser_nvme *h, struct riser_nvme **out, struct riser_err *err);

#define NVME_NS_OPCODES 16 /* Flush to Verify */

struct riser_nvme_ns {
	uint64_t first;  /* of the window */
	uint64_t blocks; /* of the window */
	uint32_t block_size;
	unsigned shift; /* log2 of the block size */
	uint32_t nsid;
	/* The largest command in blocks, by opcode, at most @blocks; 0 where the guard refuses it.
	 */
	uint32_t max_blocks[NVME_NS_OPCODES];
	uint64_t dw01[NVME_NS_OPCODES]; /* opcode and namespace, dwords 0 and 1 */
	/* Blocks of a Write Zeroes; ranges of a Deallocate, blocks of one of them, of all. */
	uint32_t max_zeroes, max_ranges, max_range;
	uint64_t max_deallocate;
	struct riser_nvme *h;
	uint64_t nsze;
	struct riser_nvme_id_ns id;
};

static inline uint32_t nvme_reg32(struct nvme_ctrl *c, unsigned reg)
{
	return pci_read32(c->pci, 0, reg);
}

/* admin.c; all under the lock but where said. */
int nvme_admin_init(struct nvme_ctrl *c, struct riser_err *err);
void nvme_admin_destroy(struct nvme_ctrl *c);
/* Forget what the device knew; it is proved stopped. Requests that may be sent again wait. */
void nvme_admin_restart(struct nvme_ctrl *c);
/* End every request with @status: the controller is dead. */
void nvme_admin_end_all(struct nvme_ctrl *c, uint32_t status);
/* Return: a slot, or NULL when all are taken. */
struct nvme_areq *nvme_areq_get(struct nvme_ctrl *c);
/* Recovery's own, whoever holds the others: one at a time, with the admin queue open. */
struct nvme_areq *nvme_areq_get_own(struct nvme_ctrl *c);
/* May another Abort be sent? */
bool nvme_admin_may_abort(const struct nvme_ctrl *c);
/* Gives it back now, or when it completes if it is under way. NULL is left alone. */
void nvme_areq_put(struct nvme_ctrl *c, struct nvme_areq *a);
/* Sent now, or when the controller is live. */
void nvme_areq_submit(struct nvme_ctrl *c, struct nvme_areq *a);
/* Sent now: recovery's. */
void nvme_areq_send(struct nvme_ctrl *c, struct nvme_areq *a);
/* The controller is live: send what waits. */
void nvme_admin_live(struct nvme_ctrl *c);
void nvme_admin_arm_aers(struct nvme_ctrl *c);
/* Reap the admin queue. Return: completions. */
int nvme_admin_reap(struct nvme_ctrl *c);
/* Start a recovery for an admin command that overran. Return: 1 when it did. */
int nvme_admin_scan(struct nvme_ctrl *c, uint64_t now);
/* When nvme_admin_scan() has something to do next. */
uint64_t nvme_admin_next(struct nvme_ctrl *c);

/*
 * Serve the controller under trylock: reap, scan, step the recovery, then deliver events with the
 * lock dropped. Any thread, with its executor or NULL. Return: how much was done.
 */
int nvme_serve(struct nvme_ctrl *c, struct riser_exec *x);
/* The two halves for a caller that has more to do under the lock. */
int nvme_serve_locked(struct nvme_ctrl *c, uint64_t now);
void nvme_unlock(struct nvme_ctrl *c, struct riser_exec *x);
/* When the controller has something to do by itself; under the lock. */
uint64_t nvme_next(struct nvme_ctrl *c);
/* The access says that the function is gone. Return: 1 when that was news. */
int nvme_vanished(struct nvme_ctrl *c);

/* Pump the access. Return: how much it did; a vanished function starts the end. */
static inline int nvme_pump(struct nvme_ctrl *c, uint64_t *next)
{
	int n = pci_pump(c->pci, next);

	return likely(n >= 0) ? n : nvme_vanished(c);
}

/* Does anybody want events, so that an idle queue has to look for them? Any thread. */
static inline bool nvme_is_watched(struct nvme_ctrl *c)
{
	return load_relaxed(&c->aer_fn) || load_relaxed(&c->nwatchers);
}

/* @l->fn is called as riser_nvme_set_aer_handler() says. */
void nvme_watch(struct nvme_ctrl *c, struct listener *l);
void nvme_unwatch(struct nvme_ctrl *c, struct listener *l);

/* ns.c */
/*
 * Look what a namespace is now, without changing @ns: by identifying it, after reading the log that
 * keeps the controller from telling more. Return: 0; -ENODEV when it is another than was opened.
 */
int nvme_ns_look(const struct riser_nvme_ns *ns, struct riser_exec *x, struct riser_nvme_id_ns *now,
		 struct riser_err *err);
/* Of another size; nobody uses it. */
void nvme_ns_resize(struct riser_nvme_ns *ns, const struct riser_nvme_id_ns *now);

/* A synchronous admin command: any thread, no lock held. See riser_nvme_admin(). */
int nvme_admin_sync(struct nvme_ctrl *c, struct riser_exec *x, struct riser_nvme_admin *cmd);

/* recover.c; under the lock. */
void nvme_recover_start(struct nvme_ctrl *c, const char *why);
/*
 * Something is awaited since @since, and at @deadline something else will be done: say so to a
 * person, once that takes long. @told remembers it for the one wait.
 */
void nvme_tell_wait(struct nvme_ctrl *c, bool *told, uint64_t since, uint64_t deadline,
		    uint64_t now, const char *what);
int nvme_recover_step(struct nvme_ctrl *c, uint64_t now);
/* The function is gone (all-ones) or given up. */
void nvme_recover_die(struct nvme_ctrl *c, bool proved_stopped, const char *why);

/* The last resort. Return: whether the function is proved to do no DMA any more. */
bool nvme_master_off(struct nvme_ctrl *c);

/* Is a command harmless, so that repeating it or sending it to a guarded controller is? */
bool nvme_admin_harmless(uint8_t opcode);
bool nvme_io_harmless(uint8_t opcode);
/* May this opener send it? */
bool nvme_admin_allowed(const struct riser_nvme *h, uint8_t opcode);
bool nvme_io_allowed(const struct riser_nvme *h, uint8_t opcode);

#endif
