/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A model of an NVMe controller, register by register.
 *
 * The front end (model/access.c) reads and writes registers, steps the model and gives it an IOMMU
 * and a way to raise interrupts. One mutex of the front end's is held around every call
 * into this file but for writes to doorbells: these are plain memory, which a step looks at.
 *
 * A command is fetched into a struct model_cmd of a pool. Most complete at once; one that waits
 * (for its delay, its backing, or for ever because a fault swallowed it) is "held": it stands in
 * its queue's list, so that Abort, Delete Queue and a reset find it.
 *
 *	nvme_pci.c	what the front end calls
 *	nvme.c		registers, enable, reset, shutdown; the step
 *	nvme_config.c	the URI's keys
 *	nvme_queue.c	doorbells, fetching, completing
 *	nvme_prp.c	data pointers, DMA
 *	nvme_admin.c	queues, abort, format
 *	nvme_identify.c, nvme_feature.c, nvme_log.c
 *	nvme_event.c	asynchronous events, the error log
 *	nvme_io.c	the NVM command set
 *	nvme_fault.c	scripted faults
 *	backing.c	where the data lies
 */
#ifndef MODEL_NVME_H
#define MODEL_NVME_H

#include "base/riser.h"
#include "model/front.h"
#include "model/iommu.h"
#include "model/model.h"
#include <riser/nvme_spec.h>
#include <sys/uio.h>

struct uri;
struct riser_blk_channel;

#define MODEL_NS_MAX      64u
#define MODEL_QUEUES_MAX  4095u
#define MODEL_LBAFS       2u  /* 512 and 4096 bytes */
#define MODEL_AERL        4u  /* Asynchronous Event Requests at a time */
#define MODEL_ACL         8u  /* Aborts at a time, as Identify says; none ever waits */
#define MODEL_ERRORS      64u /* entries of the Error Information log */
#define MODEL_EVENTS      32u /* events waiting for a request */
#define MODEL_VECTORS_MAX 2048u
#define MODEL_KELVIN      300 /* the composite temperature, always */
#define MODEL_CNTLID      0
#define MODEL_VERSION     0x00020000u /* 2.0 */
#define MODEL_PCI_VENDOR  0x1234      /* nobody's: used by emulated devices */
#define MODEL_PCI_DEVICE  0x5273

/* A command's status besides SCT << 8 | SC | DNR: it is held, its completion comes later. */
#define MODEL_PENDING     UINT32_MAX

#define MODEL_DNR(status) ((uint32_t)(status) | RISER_NVME_ST_DNR)

/**
 * struct model_nvme_config - the URI's keys
 * @fault: rules, or NULL; points into the URI
 */
struct model_nvme_config {
	unsigned namespaces;
	struct {
		uint64_t size;       /* 0: the backing's */
		unsigned lbaf;       /* MODEL_LBAFS: what the backing can do */
		const char *backing; /* NULL: sparse memory; points into the URI */
	} ns[MODEL_NS_MAX];
	char serial[21];
	char model[41];
	const char *fault;
	unsigned mdts, mqes, queues, vectors, to, batch;
	unsigned wzsl, dmrl, dmrsl, dmsl; /* as Identify tells them; 0: no limit */
	uint64_t delay_ns, rdy_delay_ns;
	bool huge; /* iommu-page=2M */
	bool thread;
};

/**
 * struct model_ns - a namespace
 * @mem: its data where no block device backs it
 * @blk: the block device, of which @channel is used
 * @compares: it compares by itself
 * @min_lbaf: the first format that the device below can do
 * @lbaf: current format, index into 512 and 4096
 * @shift: log2 of the block size
 * @formatting: a format is under way
 * @changed: stands in the Changed Namespace List
 */
struct model_ns {
	struct model_nvme *m;
	uint32_t nsid;
	uint64_t bytes;
	uint64_t blocks;
	unsigned lbaf, shift;
	bool formatting, changed;
	bool read_only, write_cache, compares;
	unsigned min_lbaf;
	char *mem;
	struct riser_blk *blk;
	struct riser_blk_channel *channel;
};

struct model_cmd;

/**
 * struct model_cq - a completion queue
 * @waiting: commands that are done but found no room (or no budget) for their entry
 */
struct model_cq {
	bool live, ien, phase, notify;
	uint16_t vector;
	uint32_t size, head, tail;
	uint64_t base;
	unsigned nsqs;
	struct list waiting;
};

/**
 * struct model_sq - a submission queue
 * @held: commands that did not complete at once
 * @nheld: how many
 * @cids: a bit for each command identifier in use by them
 * @deleter: the Delete command that waits for @nheld to reach 0
 */
struct model_sq {
	bool live;
	struct model_cq *cq;
	uint32_t size, head, tail;
	uint64_t base;
	unsigned nheld;
	struct list held;
	uint64_t *cids;
	struct model_cmd *deleter;
};

enum model_cmd_state {
	MODEL_CMD_FREE,
	MODEL_CMD_RUNNING, /* inside a step */
	MODEL_CMD_DELAYED, /* until @due, then it runs */
	MODEL_CMD_LOST,    /* by a fault: only Abort, Delete Queue or a reset end it */
	MODEL_CMD_BACKED,  /* the backing has it */
	MODEL_CMD_PARKED,  /* an AER, or a Delete that waits */
	MODEL_CMD_WAITING, /* done, no room in the completion queue */
};

/**
 * struct model_cmd - a command from its fetching to its completion
 * @link: in struct model_sq.held, or the pool
 * @timer: in struct model_cq.waiting, or in one of struct model_nvme's delayed, ended, starved
 * @sq: where it came from; NULL when a reset took its queue away, or it never had one
 * @held: counted in @sq->nheld
 * @iov: its data, as far as model_prp_map() filled it
 * @resume: goes on when the backing ended a piece; NULL: that was all
 * @pos: for commands of several pieces: how far they are
 * @end: and where they end
 * @buf: memory of their own; freed with the command
 */
struct model_cmd {
	struct riser_nvme_sqe sqe;
	struct list link, timer;
	struct model_sq *sq;
	enum model_cmd_state state;
	bool held;
	uint64_t due;
	uint32_t dw0, status;
	unsigned niov;
	struct iovec *iov;
	struct model_ns *ns;
	uint32_t (*resume)(struct model_nvme *m, struct model_cmd *cmd, uint32_t status);
	uint64_t pos, end;
	void *buf;

	/* What the backing has to do, and how far it is (backing.c). */
	uint8_t op;
	uint32_t flags;
	uint64_t off, left, piece;
};

struct model_chunk {
	struct list link;
	struct model_cmd cmds[];
};

/* An asynchronous event, as dword 0 of its completion tells it. */
struct model_event {
	uint8_t type, info, lid;
};

struct model_nvme {
	struct model model; /* as the front end knows it */
	struct riser *r;
	struct model_front *front;
	struct model_iommu *iommu; /* the front end's */
	struct model_nvme_config cfg;

	/* Registers (§3.1.3). */
	uint64_t cap, asq, acq;
	uint32_t intm, cc, csts, aqa;
	unsigned page_shift; /* of CC.MPS */

	uint32_t *doorbells; /* tail of queue n at [2n], head at [2n + 1] */
	size_t doorbells_len;

	/* The state machine. */
	uint64_t rdy_at;   /* when CSTS.RDY follows CC.EN; TIME_NEVER: it has, or never will */
	bool running;      /* commands are fetched and completed */
	bool stuck_off;    /* a fault: CC.EN was cleared and the controller carries on */
	unsigned nbacked;  /* commands that the backing has: RDY=0 waits for them */
	struct list ended; /* those of them that came back since the last step */

	/* Queues: sqs[0] and cqs[0] are the admin queue's. */
	struct model_sq *sqs;
	struct model_cq *cqs;
	struct model_sq **live; /* those to look at */
	unsigned nlive, turn;
	unsigned granted;  /* I/O queues, by Number of Queues */
	unsigned grants;   /* at most so many */
	unsigned budget;   /* completions that this step may still post */
	unsigned activity; /* things done in this step */

	struct list pool;   /* free commands */
	struct list chunks; /* what they were cut from */
	unsigned max_iov;
	struct list delayed; /* by due time */

	/* Asynchronous events. */
	struct model_cmd *aer[MODEL_AERL];
	unsigned naer;
	struct model_event events[MODEL_EVENTS];
	unsigned nevents;
	uint64_t masked; /* log pages whose events wait until the page is read */

	uint32_t features[3][256];                        /* current, default, saved */
	uint64_t irq_uncoalesced[MODEL_VECTORS_MAX / 64]; /* Interrupt Vector Configuration */
	uint64_t timestamp, timestamp_at;
	bool timestamp_set;
	struct riser_nvme_error_entry errors[MODEL_ERRORS];
	uint64_t nerrors;
	uint64_t read_units, written_units; /* 512-byte units */
	uint64_t reads, writes, media_errors;
	uint64_t powered_at;

	struct riser_exec *exec; /* of the namespaces' block devices; NULL where there are none */
	struct list starved;     /* commands that wait for an I/O of their channel */

	struct list faults; /* struct model_fault */
	bool slow;          /* every command is looked at by model_fault_start() first */

	struct model_ns ns[MODEL_NS_MAX];
	struct model_nvme_counters counters;
};

/* nvme_pci.c */
extern const struct model_ops model_nvme_ops;

/* nvme_config.c */
int model_nvme_configure(const struct uri *u, struct model_nvme_config *cfg, struct riser_err *err);

/* nvme.c: what nvme_pci.c calls. */
int model_nvme_new(struct riser *r, const struct model_nvme_config *cfg, struct model_front *front,
		   struct model_nvme **out, struct riser_err *err);
void model_nvme_free(struct model_nvme *m);
uint64_t model_nvme_reg_read(struct model_nvme *m, size_t off, unsigned width);
void model_nvme_reg_write(struct model_nvme *m, size_t off, unsigned width, uint64_t val);
/* Any thread, without the front end's mutex. */
void model_nvme_doorbell(struct model_nvme *m, size_t off, uint32_t val);
/* Return: how much was done; *@next is when there will be more to do. */
unsigned model_nvme_step(struct model_nvme *m, uint64_t *next);
/* A function reset: everything is as after power on, but what the backing still has. */
void model_nvme_function_reset(struct model_nvme *m);
/* Commands fetched and not completed, AER left out. */
uint64_t model_nvme_inflight(const struct model_nvme *m);
/* CSTS.CFS: nothing moves any more until a reset. */
void model_nvme_fatal(struct model_nvme *m);
/* As if pulled out: all-ones from now on. */
void model_nvme_vanish(struct model_nvme *m);

/* nvme_queue.c */
int model_pool_init(struct model_nvme *m);
void model_pool_free(struct model_nvme *m);
struct model_cmd *model_cmd_get(struct model_nvme *m);
void model_cmd_put(struct model_nvme *m, struct model_cmd *cmd);
void model_cmd_hold(struct model_cmd *cmd, enum model_cmd_state state);
/* End a command: post its entry, or let it wait for room. @cmd is gone afterwards. */
void model_cmd_finish(struct model_nvme *m, struct model_cmd *cmd, uint32_t status);
/* Fetched: do it. */
void model_cmd_start(struct model_nvme *m, struct model_cmd *cmd);
/* The backing has it; and is done with it (the next step goes on). */
uint32_t model_cmd_back(struct model_nvme *m, struct model_cmd *cmd);
void model_cmd_backed(struct model_nvme *m, struct model_cmd *cmd, uint32_t status);
void model_cmd_resume(struct model_nvme *m, struct model_cmd *cmd);
/* It starts at @due; or ends then, where @status is not 0. */
void model_cmd_delay(struct model_nvme *m, struct model_cmd *cmd, uint64_t due, uint32_t status);
/* End a delayed or lost command early. Return: false when the backing has it. */
bool model_cmd_abort(struct model_nvme *m, struct model_cmd *cmd, uint32_t status);
void model_queue_open_cq(struct model_nvme *m, unsigned qid, uint64_t base, uint32_t size,
			 unsigned vector, bool ien);
int model_queue_open_sq(struct model_nvme *m, unsigned qid, uint64_t base, uint32_t size,
			unsigned cqid);
void model_queue_close_sq(struct model_nvme *m, unsigned qid);
void model_queue_close_cq(struct model_nvme *m, unsigned qid);
/* Return: whether it may be closed at once; else the last command that ends does it. */
bool model_queue_stop_sq(struct model_nvme *m, struct model_sq *sq);
/* All queues vanish, and every command that the backing does not have. */
void model_queue_close_all(struct model_nvme *m);
void model_queue_run(struct model_nvme *m);
void model_queue_notify(struct model_nvme *m);
static inline unsigned model_sq_id(const struct model_nvme *m, const struct model_sq *sq)
{
	return (unsigned)(sq - m->sqs);
}

/* nvme_prp.c: 0 or a status; @len is not 0 and at most what MDTS allows. */
uint32_t model_prp_map(struct model_nvme *m, struct model_cmd *cmd, size_t len);
uint32_t model_data_to_host(struct model_nvme *m, struct model_cmd *cmd, const void *buf,
			    size_t len);
uint32_t model_data_from_host(struct model_nvme *m, struct model_cmd *cmd, void *buf, size_t len);

/* nvme_fault.c: what the rules and the configured delay make of a command that was fetched. */
void model_fault_start(struct model_nvme *m, struct model_cmd *cmd);
bool model_fault_stuck(struct model_nvme *m, bool enable);
int model_fault_parse(struct model_nvme *m, const char *rules, struct riser_err *err);
void model_fault_clear(struct model_nvme *m);
/* Does a rule say so of the Abort command under way? */
bool model_fault_abort_refused(struct model_nvme *m);
bool model_fault_abort_lies(struct model_nvme *m);

/* nvme_event.c */
void model_event_raise(struct model_nvme *m, unsigned type, unsigned info, unsigned lid);
uint32_t model_event_request(struct model_nvme *m, struct model_cmd *cmd);
/* Log page @lid was read: its events may come again. */
void model_event_unmask(struct model_nvme *m, unsigned lid);
/* An Asynchronous Event Request is aborted. Return: whether it was one. */
bool model_event_withdraw(struct model_nvme *m, struct model_cmd *cmd);
/* Log of a command that failed (§5.16.1.2). */
void model_error_log(struct model_nvme *m, const struct model_cmd *cmd, uint32_t status);

/* The commands: a status, or MODEL_PENDING. */
uint32_t model_admin(struct model_nvme *m, struct model_cmd *cmd);
/* nvme_feature.c */
void model_features_init(struct model_nvme *m);
void model_features_reset(struct model_nvme *m);
uint32_t model_get_features(struct model_nvme *m, struct model_cmd *cmd);
uint32_t model_set_features(struct model_nvme *m, struct model_cmd *cmd);
/* The temperature lies beyond a threshold. */
bool model_is_too_hot(const struct model_nvme *m);
/* Some namespace has a volatile write cache. */
bool model_has_cache(const struct model_nvme *m);
uint32_t model_get_log(struct model_nvme *m, struct model_cmd *cmd);
uint32_t model_identify(struct model_nvme *m, struct model_cmd *cmd);
uint32_t model_io(struct model_nvme *m, struct model_cmd *cmd);
struct model_ns *model_ns_find(struct model_nvme *m, uint32_t nsid);
/* Its Identify data changed: tell the host, where it wants to hear it. */
void model_ns_changed(struct model_ns *ns);
void model_ns_set_format(struct model_ns *ns, unsigned lbaf);

/* backing.c: @off and @len in bytes; data is cmd->iov. Return: a status, or MODEL_PENDING. */
enum model_backing_op {
	MODEL_BACKING_READ,
	MODEL_BACKING_WRITE,
	MODEL_BACKING_COMPARE,
	MODEL_BACKING_FLUSH,
	MODEL_BACKING_ZERO,   /* and deallocate, where that reads as zeroes */
	MODEL_BACKING_VERIFY, /* that it can be read */
};
#define MODEL_BACKING_FUA     (1u << 0)
#define MODEL_BACKING_NOUNMAP (1u << 1) /* ZERO does not deallocate */
int model_backing_open(struct model_ns *ns, const char *uri, uint64_t size, struct riser_err *err);
void model_backing_close(struct model_ns *ns);
/* Let what the namespaces' block devices ended come back through model_cmd_backed(). */
void model_backing_poll(struct model_nvme *m);
void model_backing_wait(struct model_nvme *m);
uint32_t model_backing_do(struct model_ns *ns, struct model_cmd *cmd, enum model_backing_op op,
			  uint64_t off, uint64_t len, uint32_t flags);

#endif
