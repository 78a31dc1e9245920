/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * NVMe controllers: opening, admin commands, namespaces, I/O queue pairs.
 *
 * A controller opens guarded: commands that change media or the device are refused at submit
 * with RISER_NVME_HOST_GUARDED unless RISER_NVME_RDWR was given.
 */
#ifndef RISER_NVME_H
#define RISER_NVME_H

#include <riser/nvme_spec.h>
#include <riser/riser.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct riser_nvme;
struct riser_nvme_ns;
struct riser_nvme_qpair;

/*
 * How a command ended: the controller's own status, SCT << 8 | SC with the bits
 * RISER_NVME_ST_DNR and RISER_NVME_ST_MORE, or one of these, which the driver gives.
 */
#define RISER_NVME_HOST             0x10000u /* set in every status that is the driver's */
#define RISER_NVME_HOST_UNKNOWN     0x10001u /* a write was in flight at an abort, reset or removal */
#define RISER_NVME_HOST_OFFLINE     0x10002u /* the controller is gone */
#define RISER_NVME_HOST_TIMEOUT     0x10003u /* not done in time, retries included */
#define RISER_NVME_HOST_GUARDED     0x10004u /* refused by guarded opening; never sent */
#define RISER_NVME_HOST_INTERRUPTED 0x10005u /* an admin command was cut off by a reset */
#define RISER_NVME_HOST_NOMEM       0x10006u /* no request or buffer slot */
#define RISER_NVME_HOST_UNMAPPED    0x10007u /* the buffer is not memory that the device may reach */
#define RISER_NVME_HOST_INVALID     0x10008u /* range or size that the driver refuses; never sent */

/**
 * riser_nvme_status_text - a status in words
 * @status: as completions give it
 *
 * Return: a static string such as "Unrecovered Read Error".
 */
RISER_API const char *riser_nvme_status_text(uint32_t status);

/* Flags of struct riser_nvme_opts. */
#define RISER_NVME_RDWR   (1u << 0) /* allow commands that change media or the device */
#define RISER_NVME_LISTED (1u << 1) /* allow what the two lists name and nothing else */

/**
 * struct riser_nvme_opts - how a controller is opened
 * @size: sizeof(struct riser_nvme_opts)
 * @flags: RISER_NVME_RDWR, RISER_NVME_LISTED
 * @io_timeout_ms: deadline of an I/O command; 0: 30,000
 * @admin_timeout_ms: deadline of an admin command; 0: 30,000 (format: ten times that)
 * @max_retries: how often an idempotent command is sent again after resets; 0: 4
 * @max_resets: function resets without reaching a live controller before it is given up; 0: 2
 * @admin_allow: bit n set: admin opcode n is allowed whatever the guard says; NULL: none
 * @io_allow: the same for I/O opcodes
 *
 * A controller that is open already is shared: its first opener's options hold, but for the flags
 * and the lists, which are each opener's own (they are kept per struct riser_nvme). What the driver
 * sends by itself, to bring a controller up or to recover it, needs nobody's leave.
 */
struct riser_nvme_opts {
	size_t size;
	uint32_t flags;
	uint32_t io_timeout_ms;
	uint32_t admin_timeout_ms;
	uint32_t max_retries;
	uint32_t max_resets;
	const uint8_t *admin_allow;
	const uint8_t *io_allow;
};

/**
 * riser_nvme_open - open a controller and bring it up (§3.5.1)
 * @r: the context
 * @uri: a PCI access: "model:nvme", "qtest:spawn?device=nvme", …; the keys "nsid" and "irq" are
 *	ignored, "timeout" is io_timeout_ms where @opts leaves that 0
 * @opts: options, or NULL for the defaults
 * @out: the controller; close it with riser_nvme_close()
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -EINVAL for the URI; -ENODEV when the function is no NVMe controller, is gone, or did
 * not become ready within CAP.TO, function resets included: the sentence says which.
 */
RISER_API int riser_nvme_open(struct riser *r, const char *uri, const struct riser_nvme_opts *opts,
			      struct riser_nvme **out, struct riser_err *err);

/**
 * riser_nvme_close - close a controller
 * @c: the controller, or NULL; its namespaces and queue pairs must have been closed
 *
 * The last opener's close shuts the controller down (CC.SHN, §3.6) and disables it.
 */
RISER_API void riser_nvme_close(struct riser_nvme *c);

/**
 * struct riser_nvme_info - what a controller is and how it fares
 * @cap: register CAP
 * @vs: register VS
 * @page_size: CC.MPS in bytes
 * @max_transfer: bytes of one command
 * @max_qpairs: I/O queue pairs that the controller granted
 * @qpairs: of them in use
 * @queue_entries: the largest I/O queue (CAP.MQES + 1)
 * @vectors: MSI-X vectors, 0 when interrupts are not to be had
 * @volatile_write_cache: Identify Controller VWC bit 0
 * @generation: how many times the controller was brought up, minus one
 * @aborts: Abort commands sent
 * @retries: commands sent again
 * @timeouts: deadlines passed
 * @stray: completions that named no command in flight
 * @aers: asynchronous events received
 * @gone: the controller was removed or given up
 * @uri: the canonical URI
 */
struct riser_nvme_info {
	uint64_t cap;
	uint32_t vs;
	uint32_t page_size;
	uint32_t max_transfer;
	uint32_t max_qpairs;
	uint32_t qpairs;
	uint32_t queue_entries;
	uint32_t vectors;
	bool volatile_write_cache;
	uint32_t generation;
	uint64_t aborts;
	uint64_t retries;
	uint64_t timeouts;
	uint64_t stray;
	uint64_t aers;
	bool gone;
	const char *uri;
};

/**
 * riser_nvme_get_info - what a controller is and how it fares
 * @c: the controller
 * @info: filled
 */
RISER_API void riser_nvme_get_info(struct riser_nvme *c, struct riser_nvme_info *info);

/**
 * riser_nvme_id - Identify Controller data, as read when the controller was brought up
 * @c: the controller
 *
 * Return: the data, valid while @c is open.
 */
RISER_API const struct riser_nvme_id_ctrl *riser_nvme_id(struct riser_nvme *c);

/**
 * struct riser_nvme_admin - one admin command
 * @sqe: the command; cid, PRPs and PSDT are the driver's
 * @data: the data, any memory, or NULL
 * @len: bytes of @data, at most 256 KiB; the direction is the opcode's low two bits
 * @result: dword 0 of the completion, out
 * @timeout_ms: 0 for the controller's
 */
struct riser_nvme_admin {
	struct riser_nvme_sqe sqe;
	void *data;
	uint32_t len;
	uint32_t result;
	uint32_t timeout_ms;
};

/**
 * riser_nvme_admin - send an admin command and wait for it
 * @c: the controller
 * @x: the executor that the calling thread runs, or NULL if it runs none
 * @cmd: the command
 *
 * Any thread may call this. No completion of anybody is lost meanwhile, and a recovery that is
 * under way goes on.
 *
 * Return: the status (0: success; see RISER_NVME_HOST), or a negative errno: -EDEADLK from
 * inside a completion, -EINVAL, -E2BIG.
 */
RISER_API int riser_nvme_admin(struct riser_nvme *c, struct riser_exec *x,
			       struct riser_nvme_admin *cmd);

/**
 * riser_nvme_identify - Identify (§5.17)
 * @c: the controller
 * @x: the calling thread's executor, or NULL
 * @cns: enum riser_nvme_cns
 * @nsid: namespace, or 0
 * @cntid: controller, or 0
 * @csi: command set, or 0
 * @out: 4096 bytes
 *
 * Return: as riser_nvme_admin().
 */
RISER_API int riser_nvme_identify(struct riser_nvme *c, struct riser_exec *x, uint8_t cns,
				  uint32_t nsid, uint16_t cntid, uint8_t csi, void *out);

/**
 * riser_nvme_get_log - Get Log Page (§5.16)
 * @c: the controller
 * @x: the calling thread's executor, or NULL
 * @lid: enum riser_nvme_log
 * @nsid: namespace, or RISER_NVME_NSID_ALL
 * @offset: bytes, a multiple of 4
 * @out: the data
 * @len: bytes, a multiple of 4; read in pieces where needed
 *
 * Return: as riser_nvme_admin().
 */
RISER_API int riser_nvme_get_log(struct riser_nvme *c, struct riser_exec *x, uint8_t lid,
				 uint32_t nsid, uint64_t offset, void *out, uint32_t len);

/**
 * riser_nvme_get_feature - Get Features (§5.15)
 * @c: the controller
 * @x: the calling thread's executor, or NULL
 * @fid: enum riser_nvme_feature
 * @sel: 0 current, 1 default, 2 saved, 3 capabilities
 * @nsid: namespace, or 0
 * @value: dword 0 of the completion
 *
 * Return: as riser_nvme_admin().
 */
RISER_API int riser_nvme_get_feature(struct riser_nvme *c, struct riser_exec *x, uint8_t fid,
				     uint8_t sel, uint32_t nsid, uint32_t *value);

/**
 * riser_nvme_set_feature - Set Features (§5.27)
 * @c: the controller, opened with RISER_NVME_RDWR
 * @x: the calling thread's executor, or NULL
 * @fid: enum riser_nvme_feature
 * @save: keep it over a power cycle
 * @nsid: namespace, or 0
 * @value: command dword 11
 *
 * Return: as riser_nvme_admin().
 */
RISER_API int riser_nvme_set_feature(struct riser_nvme *c, struct riser_exec *x, uint8_t fid,
				     bool save, uint32_t nsid, uint32_t value);

/**
 * riser_nvme_reset - disable the controller and bring it up again
 * @c: the controller
 * @x: the calling thread's executor, or NULL
 * @err: filled on failure; may be NULL
 *
 * What is in flight is sent again where it is idempotent; a write ends in
 * RISER_NVME_HOST_UNKNOWN.
 *
 * Return: 0 when live again, -ENODEV when it is gone, -EDEADLK from inside a completion.
 */
RISER_API int riser_nvme_reset(struct riser_nvme *c, struct riser_exec *x, struct riser_err *err);

/**
 * riser_nvme_set_aer_handler - hear of asynchronous events (§5.2)
 * @c: the controller
 * @fn: called with dword 0 of the event, from a queue pair's poll or a synchronous call, in
 *	whatever thread that is; NULL: none
 * @ctx: first argument of @fn
 *
 * The event is re-armed by the driver; @fn may not wait. A call that is under way in another
 * thread may end after this returned: @ctx has to live until that thread's poll is over.
 */
RISER_API void riser_nvme_set_aer_handler(struct riser_nvme *c,
					  void (*fn)(void *ctx, uint32_t event), void *ctx);

/**
 * riser_nvme_ns_open - a namespace of a controller
 * @c: the controller
 * @x: the calling thread's executor, or NULL
 * @nsid: its number, or 0 for the only one
 * @out: the namespace; close it with riser_nvme_ns_close()
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -ENODEV when it is not there (the sentence lists those that are) or, for 0, when
 * there is not exactly one; -ENOTSUP where blocks carry metadata; -EIO.
 */
RISER_API int riser_nvme_ns_open(struct riser_nvme *c, struct riser_exec *x, uint32_t nsid,
				 struct riser_nvme_ns **out, struct riser_err *err);

/**
 * riser_nvme_ns_close - close a namespace
 * @ns: the namespace, or NULL; no I/O may be in flight
 */
RISER_API void riser_nvme_ns_close(struct riser_nvme_ns *ns);

/**
 * struct riser_nvme_ns_info - what a namespace is
 * @nsid: its number
 * @blocks: size in logical blocks
 * @block_size: bytes
 * @max_blocks: the largest read or write
 * @max_zeroes: the largest Write Zeroes, in blocks
 * @max_ranges: ranges of a Deallocate
 * @max_range: blocks of each
 * @max_deallocate: blocks of all
 * @id: Identify Namespace data, valid while the namespace is open
 */
struct riser_nvme_ns_info {
	uint32_t nsid;
	uint64_t blocks;
	uint32_t block_size;
	uint32_t max_blocks;
	uint32_t max_zeroes;
	uint32_t max_ranges;
	uint32_t max_range;
	uint64_t max_deallocate;
	const struct riser_nvme_id_ns *id;
};

/**
 * riser_nvme_ns_get_info - what a namespace is
 * @ns: the namespace
 * @info: filled
 */
RISER_API void riser_nvme_ns_get_info(struct riser_nvme_ns *ns, struct riser_nvme_ns_info *info);

/**
 * riser_nvme_ns_set_window - allow reads and writes in a range only
 * @ns: the namespace; no I/O may be in flight
 * @lba: first block allowed
 * @blocks: how many
 *
 * Return: 0, or -EINVAL when the range leaves the namespace or is empty.
 */
RISER_API int riser_nvme_ns_set_window(struct riser_nvme_ns *ns, uint64_t lba, uint64_t blocks);

/* Flags of struct riser_nvme_qpair_opts. */
#define RISER_NVME_QPAIR_IRQ (1u << 0) /* completions raise an MSI-X event of the executor */

/**
 * struct riser_nvme_qpair_opts - how a queue pair is made
 * @size: sizeof(struct riser_nvme_qpair_opts)
 * @flags: RISER_NVME_QPAIR_IRQ
 * @entries: queue entries, a power of two; entries - 1 commands can be in flight; 0: 256 or
 *	what the controller allows
 */
struct riser_nvme_qpair_opts {
	size_t size;
	uint32_t flags;
	uint32_t entries;
};

/**
 * riser_nvme_qpair_open - create an I/O submission and completion queue (§5.4, §5.5)
 * @c: the controller
 * @x: the owner, whose thread calls this (a block channel may be opened by any thread)
 * @opts: options, or NULL for the defaults
 * @out: the queue pair; close it with riser_nvme_qpair_close()
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -EBUSY when the controller has no queue left; -ENOTSUP for interrupts that are
 * not to be had; -ENOMEM; -EIO.
 */
RISER_API int riser_nvme_qpair_open(struct riser_nvme *c, struct riser_exec *x,
				    const struct riser_nvme_qpair_opts *opts,
				    struct riser_nvme_qpair **out, struct riser_err *err);

/**
 * riser_nvme_qpair_close - delete the queues
 * @q: the queue pair, or NULL; called by its owner, not inside a completion
 *
 * Commands still in flight end first, with the status of an abort by queue deletion or, for
 * writes, RISER_NVME_HOST_UNKNOWN; their completions run inside this call.
 */
RISER_API void riser_nvme_qpair_close(struct riser_nvme_qpair *q);

/**
 * struct riser_nvme_req - the caller's end of a command
 * @done: called once, from a poll of the queue pair's owner; may submit, must not wait
 * @user: the caller's
 *
 * It stays the caller's and must live until @done. @status is 0 or see RISER_NVME_HOST;
 * @result holds dwords 0 and 1 of the completion.
 */
struct riser_nvme_req {
	void (*done)(struct riser_nvme_req *req, uint32_t status, uint64_t result);
	void *user;
};

/* May be or-ed to the block count of reads and writes. */
#define RISER_NVME_FUA (1u << 30)
#define RISER_NVME_LR  (1u << 31)

/**
 * riser_nvme_read - read blocks (NVM §3.2.4)
 * @q: the queue pair; called by its owner
 * @ns: the namespace
 * @req: the caller's end
 * @buf: memory that the device reaches (riser_mem_alloc(), riser_nvme_buf_alloc()), dword
 *	aligned
 * @lba: first block
 * @count: blocks (1…65,536), or-ed with RISER_NVME_FUA, RISER_NVME_LR
 *
 * The doorbell is rung at the next poll, or by riser_nvme_qpair_kick().
 *
 * Return: 0; -EAGAIN when all trackers are taken or the queue is being rebuilt (poll and try
 * again); -ENODEV when the controller is gone or the queue could not be made again; -EINVAL for
 * range, size or alignment; -EFAULT for memory that is not mapped.
 */
RISER_API int riser_nvme_read(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
			      struct riser_nvme_req *req, void *buf, uint64_t lba, uint32_t count);

/**
 * riser_nvme_write - write blocks (NVM §3.2.6)
 * @q: the queue pair; called by its owner
 * @ns: the namespace, of a controller opened with RISER_NVME_RDWR
 * @req: the caller's end
 * @buf: as for riser_nvme_read()
 * @lba: first block
 * @count: blocks, or-ed with RISER_NVME_FUA, RISER_NVME_LR
 *
 * Return: as riser_nvme_read(), and -EPERM for a guarded controller.
 */
RISER_API int riser_nvme_write(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
			       struct riser_nvme_req *req, void *buf, uint64_t lba, uint32_t count);

/**
 * riser_nvme_rwv - read, write or compare with scattered memory
 * @q: the queue pair; called by its owner
 * @ns: the namespace
 * @req: the caller's end
 * @opcode: RISER_NVME_IO_READ, _WRITE or _COMPARE
 * @iov: elements; every one but the first must start, and every one but the last must end, at a
 *	multiple of the controller's page size
 * @iovcnt: how many elements
 * @iov_off: bytes of @iov to skip
 * @lba: first block
 * @count: blocks, or-ed with RISER_NVME_FUA, RISER_NVME_LR
 *
 * Return: as riser_nvme_write().
 */
RISER_API int riser_nvme_rwv(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
			     struct riser_nvme_req *req, uint8_t opcode, const struct iovec *iov,
			     unsigned iovcnt, size_t iov_off, uint64_t lba, uint32_t count);

/**
 * riser_nvme_flush - make written data durable (NVM base §7.1)
 * @q: the queue pair; called by its owner
 * @ns: the namespace
 * @req: the caller's end
 *
 * Return: 0, -EAGAIN or -ENODEV, as riser_nvme_read(); -EPERM where @ns was opened for a list
 * without it.
 */
RISER_API int riser_nvme_flush(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
			       struct riser_nvme_req *req);

/**
 * riser_nvme_write_zeroes - write zeroes without data (NVM §3.2.8)
 * @q: the queue pair; called by its owner
 * @ns: the namespace
 * @req: the caller's end
 * @lba: first block
 * @count: blocks, or-ed with RISER_NVME_FUA
 * @deallocate: the blocks may be deallocated
 *
 * Return: as riser_nvme_write().
 */
RISER_API int riser_nvme_write_zeroes(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
				      struct riser_nvme_req *req, uint64_t lba, uint32_t count,
				      bool deallocate);

/**
 * riser_nvme_deallocate - tell the controller that ranges are unused (NVM §3.2.3)
 * @q: the queue pair; called by its owner
 * @ns: the namespace
 * @req: the caller's end
 * @ranges: copied before this returns
 * @n: how many, from 1; struct riser_nvme_ns_info tells the limits
 *
 * Return: as riser_nvme_write().
 */
RISER_API int riser_nvme_deallocate(struct riser_nvme_qpair *q, struct riser_nvme_ns *ns,
				    struct riser_nvme_req *req,
				    const struct riser_nvme_dsm_range *ranges, unsigned n);

/**
 * riser_nvme_io - any I/O command
 * @q: the queue pair; called by its owner
 * @req: the caller's end
 * @sqe: the command, copied; cid, PRPs and PSDT are the driver's
 * @buf: as for riser_nvme_read(); NULL for a command that transfers nothing
 * @len: bytes of @buf: as many as the command transfers, which the driver cannot know
 *
 * The guard holds for it: opcodes that are not known to be harmless need RISER_NVME_RDWR. The
 * window of riser_nvme_ns_set_window() does not: it belongs to a struct riser_nvme_ns.
 *
 * Return: as riser_nvme_write(); -EINVAL also where the opcode transfers data and @len is 0.
 */
RISER_API int riser_nvme_io(struct riser_nvme_qpair *q, struct riser_nvme_req *req,
			    const struct riser_nvme_sqe *sqe, void *buf, size_t len);

/**
 * riser_nvme_qpair_kick - ring the doorbell for what was submitted since the last poll
 * @q: the queue pair; called by its owner
 */
RISER_API void riser_nvme_qpair_kick(struct riser_nvme_qpair *q);

/**
 * riser_nvme_qpair_poll - ring the doorbell and reap completions
 * @q: the queue pair; called by its owner
 * @max: at most so many completions; 0: no limit but the queue's length
 *
 * riser_exec_poll() of the owner does this too; a loop with nothing but one queue pair may call
 * this alone.
 *
 * Return: how many things were done: completions, and now and then a step of the controller's
 * service; -EDEADLK from inside a completion.
 */
RISER_API int riser_nvme_qpair_poll(struct riser_nvme_qpair *q, unsigned max);

/**
 * struct riser_nvme_qpair_info - where a queue pair stands
 * @qid: its number
 * @entries: queue entries
 * @vector: MSI-X vector, or -1 when polled
 * @inflight: commands in flight
 * @free: trackers on the free list
 * @live: commands can be submitted
 * @submitted: commands since it was opened
 * @completed: of them ended
 * @doorbells: doorbell writes
 * @stray: completions that named no command in flight
 * @retries: commands sent again
 */
struct riser_nvme_qpair_info {
	uint16_t qid;
	uint32_t entries;
	int vector;
	uint32_t inflight;
	uint32_t free;
	bool live;
	uint64_t submitted;
	uint64_t completed;
	uint64_t doorbells;
	uint64_t stray;
	uint64_t retries;
};

/**
 * riser_nvme_qpair_get_info - where a queue pair stands
 * @q: the queue pair; called by its owner
 * @info: filled
 */
RISER_API void riser_nvme_qpair_get_info(struct riser_nvme_qpair *q,
					 struct riser_nvme_qpair_info *info);

/**
 * riser_nvme_buf_alloc - memory that this controller reaches, whatever the way to it
 * @c: the controller
 * @len: bytes
 * @out: zeroed, page aligned; free it with riser_nvme_buf_free()
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or -ENOMEM.
 */
RISER_API int riser_nvme_buf_alloc(struct riser_nvme *c, size_t len, void **out,
				   struct riser_err *err);

/**
 * riser_nvme_buf_free - free memory of riser_nvme_buf_alloc()
 * @c: the controller
 * @buf: the memory, or NULL; no I/O on it may be in flight
 * @len: as it was asked for
 */
RISER_API void riser_nvme_buf_free(struct riser_nvme *c, void *buf, size_t len);

#ifdef __cplusplus
}
#endif

#endif
