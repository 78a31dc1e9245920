/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Block devices: opening by URI, channels, asynchronous and synchronous I/O, buffers.
 *
 * Sectors are 512 bytes everywhere, whatever the device's logical block size is; I/O must be
 * aligned to the logical block (struct riser_blk_info).
 *
 * A channel belongs to one executor. An I/O is taken from the channel's pool, filled in,
 * submitted, and completes exactly once, from riser_exec_poll() of that executor, never inside
 * riser_blk_submit().
 */
#ifndef RISER_BLK_H
#define RISER_BLK_H

#include <riser/riser.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RISER_SECTOR_SHIFT 9
#define RISER_SECTOR_SIZE  512

/**
 * enum riser_blk_status - how an I/O ended
 * @RISER_BLK_OK: done
 * @RISER_BLK_NOTSUPP: the device does not do this operation
 * @RISER_BLK_MEDIUM: the medium failed there
 * @RISER_BLK_TARGET: the device refused or failed the command
 * @RISER_BLK_TRANSPORT: the way to the device failed
 * @RISER_BLK_TIMEOUT: not done in time, retries included
 * @RISER_BLK_PROTECTION: end-to-end protection information did not match, or a comparison failed
 * @RISER_BLK_NOSPC: no space below
 * @RISER_BLK_RESERVED: a reservation conflict
 * @RISER_BLK_OFFLINE: the device is gone
 * @RISER_BLK_RESOURCE: no memory or slot; the same I/O may succeed later
 * @RISER_BLK_UNKNOWN_OUTCOME: a write was in flight at an abort, reset or removal: the medium
 *	holds the old or the new data of each block, and which is unknown
 * @RISER_BLK_IOERR: anything else
 * @RISER_BLK_INVALID: the I/O breaks a rule (range, alignment, read-only device)
 */
enum riser_blk_status {
	RISER_BLK_OK,
	RISER_BLK_NOTSUPP,
	RISER_BLK_MEDIUM,
	RISER_BLK_TARGET,
	RISER_BLK_TRANSPORT,
	RISER_BLK_TIMEOUT,
	RISER_BLK_PROTECTION,
	RISER_BLK_NOSPC,
	RISER_BLK_RESERVED,
	RISER_BLK_OFFLINE,
	RISER_BLK_RESOURCE,
	RISER_BLK_UNKNOWN_OUTCOME,
	RISER_BLK_IOERR,
	RISER_BLK_INVALID,
};

/**
 * enum riser_blk_op - what an I/O does
 * @RISER_BLK_READ: read
 * @RISER_BLK_WRITE: write
 * @RISER_BLK_FLUSH: what writes completed before is on stable storage; has no range
 * @RISER_BLK_DISCARD: the data is not needed any more; what is read there afterwards is unspecified
 * @RISER_BLK_WRITE_ZEROES: zeroes are read there afterwards
 * @RISER_BLK_COMPARE: is the data equal to that in memory? PROTECTION if not
 * @RISER_BLK_BLOCK_STATUS: what is there? On completion count is cut down to the first run in one
 *	state (at least one logical block), and raw_status says which: RISER_BLK_ST_HOLE,
 *	RISER_BLK_ST_ZERO, 0 for data. The run may be shorter than it could be; ask again behind it.
 *	Every device answers: one that knows nothing says that all of it is data
 */
enum riser_blk_op {
	RISER_BLK_READ,
	RISER_BLK_WRITE,
	RISER_BLK_FLUSH,
	RISER_BLK_DISCARD,
	RISER_BLK_WRITE_ZEROES,
	RISER_BLK_COMPARE,
	RISER_BLK_BLOCK_STATUS,
};

/* Flags of an I/O. */
#define RISER_BLK_FUA      (1u << 0) /* the data is on stable storage when this write completes */
#define RISER_BLK_PREFLUSH (1u << 1) /* flush the cache before this write */
#define RISER_BLK_NOUNMAP  (1u << 2) /* WRITE_ZEROES must not deallocate */
#define RISER_BLK_FAST     (1u << 3) /* WRITE_ZEROES fails with NOTSUPP where it would be writing */

/* What BLOCK_STATUS answers. */
#define RISER_BLK_ST_HOLE (1u << 0) /* nothing is allocated there */
#define RISER_BLK_ST_ZERO (1u << 1) /* zeroes are read there */

struct riser_blk;
struct riser_blk_channel;

/**
 * struct riser_blk_io - one I/O
 * @sector: first 512-byte sector
 * @count: how many sectors; the answer of BLOCK_STATUS
 * @op: enum riser_blk_op
 * @flags: RISER_BLK_FUA, …
 * @status: enum riser_blk_status, valid in @done
 * @iov: the data; must stay valid until @done (READ, WRITE, COMPARE)
 * @iovcnt: elements of @iov
 * @iov_off: bytes of @iov to skip
 * @meta: metadata, or NULL
 * @done: called once from riser_exec_poll(); may submit further I/O, must not wait
 * @user: the caller's
 * @raw_status: the device's own status where it has one (NVMe: SCT<<8|SC), else 0; of a
 *	BLOCK_STATUS that ended well, RISER_BLK_ST_…
 * @one: room for a single element, so that "io->iov = &io->one" needs no other memory
 * @priv: the library's
 */
struct riser_blk_io {
	uint64_t sector;
	uint32_t count;
	uint8_t op;
	uint8_t flags;
	uint8_t status;
	uint8_t priv_state;
	struct iovec *iov;
	uint32_t iovcnt;
	uint32_t raw_status;
	size_t iov_off;
	void (*done)(struct riser_blk_io *io);
	void *user;
	struct iovec one;
	void *meta;
	void *priv[6];
};

/**
 * struct riser_blk_info - what a device is
 * @sectors: size in 512-byte sectors
 * @logical_block: bytes; the smallest addressable unit
 * @physical_block: bytes; what is written without read-modify-write
 * @max_sectors: the largest I/O that is not split
 * @max_discard_sectors: 0 when DISCARD does nothing here
 * @max_zeroes_sectors: 0 when WRITE_ZEROES is emulated or not done
 * @buf_align: bytes; buffers of another alignment are copied
 * @read_only: writes are refused
 * @write_cache: a volatile cache is there, FLUSH means something
 * @fua: FUA is native
 * @discard: DISCARD is done
 * @write_zeroes: WRITE_ZEROES is done without a data transfer
 * @compare: COMPARE is done
 * @block_status: BLOCK_STATUS tells holes from data
 * @description: one line such as "NVMe namespace 1 of RISER MODEL (serial R0001)"
 */
struct riser_blk_info {
	uint64_t sectors;
	uint32_t logical_block;
	uint32_t physical_block;
	uint32_t max_sectors;
	uint32_t max_discard_sectors;
	uint32_t max_zeroes_sectors;
	uint32_t buf_align;
	bool read_only;
	bool write_cache;
	bool fua;
	bool discard;
	bool write_zeroes;
	bool compare;
	bool block_status;
	char description[160];
};

/**
 * struct riser_blk_stats - counters of a channel, for tests and "info"
 * @ios: I/Os completed
 * @errors: of them not OK
 * @bounces: leaf I/Os whose data was copied through a bounce buffer
 * @splits: children made because of limits
 * @retries: commands sent again by the driver below
 * @hops: of the channel and those below it, how many pass their I/O to another executor: a device
 *	wants one that runs it, or a controller has no queue pair left
 */
struct riser_blk_stats {
	uint64_t ios;
	uint64_t errors;
	uint64_t bounces;
	uint64_t splits;
	uint64_t retries;
	uint64_t hops;
};

/* Flags of riser_blk_open(). */
#define RISER_BLK_RDWR (1u << 0) /* open for writing; without it writes are refused */

/**
 * riser_blk_open - open a block device by URI
 * @r: the context
 * @uri: "mem:1G", "file:disk.img", a bare path, "model:nvme?backing=disk.img", "null:1T", …
 * @flags: RISER_BLK_RDWR
 * @out: the device; close it with riser_blk_close()
 * @err: filled on failure; may be NULL
 *
 * What is open for writing is not opened for writing again, in this context or (a file) in another
 * process of riser's: that is -EBUSY, and @err names who has it. Reading is always allowed.
 *
 * Return: 0; -EINVAL for a URI that cannot be understood (unknown scheme or key); -EBADMSG for one
 * with a table that is wrong; -ENOENT, -ENODEV, -EBUSY, -EACCES; -EDEADLK from inside a completion;
 * or what the device said.
 */
RISER_API int riser_blk_open(struct riser *r, const char *uri, uint32_t flags,
			     struct riser_blk **out, struct riser_err *err);

/**
 * riser_blk_close - close a device
 * @b: the device, or NULL; its channels must have been closed
 */
RISER_API void riser_blk_close(struct riser_blk *b);

/**
 * enum riser_blk_event - what happens to a device
 * @RISER_BLK_EVENT_RESIZED: it has another size, riser_blk_get_info() says which
 * @RISER_BLK_EVENT_READ_ONLY: it refuses writes from now on
 * @RISER_BLK_EVENT_GONE: it is gone, or another than was opened; I/O fails
 */
enum riser_blk_event {
	RISER_BLK_EVENT_RESIZED,
	RISER_BLK_EVENT_READ_ONLY,
	RISER_BLK_EVENT_GONE,
};

/**
 * riser_blk_on_event - hear of what happens to a device
 * @b: the device
 * @fn: called by any thread, from inside a poll or a synchronous call; may neither wait nor call
 *	this function; NULL: nobody
 * @user: last argument of @fn
 *
 * There is one @fn at a time. What the device tells by itself (a namespace) is looked into by the
 * owner of a channel, in his polls; what does not (a file), when riser_blk_refresh() asks it.
 * Returns when no call of the former @fn is under way any more.
 */
RISER_API void riser_blk_on_event(struct riser_blk *b,
				  void (*fn)(struct riser_blk *b, enum riser_blk_event event,
					     void *user),
				  void *user);

/**
 * riser_blk_refresh - look whether a device has another size, or refuses writes
 * @b: the device
 * @x: the calling thread's executor, driven meanwhile; or NULL
 * @err: filled on failure; may be NULL
 *
 * I/O waits while it takes effect. A device with channels that became smaller keeps its size: I/O
 * behind the new end fails, as a medium does.
 *
 * Return: 0; -EBUSY when it became smaller and has channels; -ETIMEDOUT when I/O in flight does not
 * end; -ENODEV when it is gone; -EDEADLK from inside a completion; or what looking at it said.
 */
RISER_API int riser_blk_refresh(struct riser_blk *b, struct riser_exec *x, struct riser_err *err);

/**
 * riser_blk_get_info - what a device is
 * @b: the device
 * @info: filled
 */
RISER_API void riser_blk_get_info(struct riser_blk *b, struct riser_blk_info *info);

/**
 * riser_blk_is_safe_to_destroy - whether losing the device's data harms nobody
 * @b: the device
 *
 * A device is judged by its leaves: models, mem:, null:, qtest: and regular files are safe.
 *
 * Return: true when a command needs no --yes-destroy-data to write to it.
 */
RISER_API bool riser_blk_is_safe_to_destroy(struct riser_blk *b);

/**
 * riser_blk_channel_open - a way for one executor to do I/O on a device
 * @b: the device
 * @x: the owner
 * @depth: I/Os that can be taken at a time; 0 for the default of 128
 * @out: the channel; close it with riser_blk_channel_close()
 * @err: filled on failure; may be NULL
 *
 * Any thread may open a channel, whether or not another runs @x meanwhile.
 *
 * A controller that has no I/O queue pair left for @x is shared: the I/O is passed to an executor
 * that has one (struct riser_blk_stats.hops). So an executor that has a channel on a controller is
 * to be polled until all channels on that controller are closed; riser_exec_free() polls it until
 * then.
 *
 * Return: 0, -ENOMEM, -EINVAL, -EDEADLK from inside a completion, or what the device said.
 */
RISER_API int riser_blk_channel_open(struct riser_blk *b, struct riser_exec *x, unsigned depth,
				     struct riser_blk_channel **out, struct riser_err *err);

/**
 * riser_blk_channel_close - close a channel
 * @c: the channel, or NULL; every I/O must have been put back
 *
 * Called by its owner; by any thread where nothing was ever submitted to the channel. What only
 * the owner may free goes at the owner's next poll then, or when its executor is freed.
 *
 * Where the owner runs the device for others and this was his last channel on it, another one takes
 * over: this waits for their I/O that is in flight, a few seconds at most. What is left then, or
 * inside a completion, goes in the owner's later polls, or when its executor is freed.
 */
RISER_API void riser_blk_channel_close(struct riser_blk_channel *c);

/**
 * riser_blk_channel_stats - a channel's counters, its leaves' included
 * @c: the channel; call from its owner
 * @stats: filled
 */
RISER_API void riser_blk_channel_stats(struct riser_blk_channel *c, struct riser_blk_stats *stats);

/**
 * riser_blk_io_get - take an I/O from the channel's pool
 * @c: the channel
 *
 * Return: an I/O whose op, flags, sector, count, iov* and done are the caller's to fill, or
 * NULL when all are taken: poll, then try again.
 */
RISER_API struct riser_blk_io *riser_blk_io_get(struct riser_blk_channel *c);

/**
 * riser_blk_io_put - give an I/O back
 * @io: the I/O; not in flight
 */
RISER_API void riser_blk_io_put(struct riser_blk_io *io);

/**
 * riser_blk_submit - start an I/O
 * @io: filled in by the caller, its channel's owner
 *
 * Every refusal too is reported through @io->done, at the owner's next poll.
 */
RISER_API void riser_blk_submit(struct riser_blk_io *io);

/**
 * riser_blk_buf_alloc - memory that the whole stack below the channel uses without a copy
 * @c: the channel
 * @len: bytes
 * @out: page-aligned memory; free it with riser_blk_buf_free()
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or -ENOMEM.
 */
RISER_API int riser_blk_buf_alloc(struct riser_blk_channel *c, size_t len, void **out,
				  struct riser_err *err);

/**
 * riser_blk_buf_free - free memory of riser_blk_buf_alloc()
 * @c: the channel it came from
 * @buf: the memory, or NULL
 * @len: as it was asked for
 */
RISER_API void riser_blk_buf_free(struct riser_blk_channel *c, void *buf, size_t len);

/**
 * riser_blk_rw - one I/O, and wait for it
 * @c: the channel; its owner's other completions run meanwhile
 * @op: enum riser_blk_op, but not BLOCK_STATUS, whose answer would be lost
 * @sector: first sector
 * @count: sectors; any number, split as needed
 * @buf: the data, or NULL for operations without
 * @flags: RISER_BLK_FUA, …
 *
 * Return: enum riser_blk_status (>= 0), or -EDEADLK from inside a completion.
 */
RISER_API int riser_blk_rw(struct riser_blk_channel *c, enum riser_blk_op op, uint64_t sector,
			   uint32_t count, void *buf, uint32_t flags);

/**
 * riser_blk_status_errno - the one translation from a status to errno
 * @status: enum riser_blk_status
 *
 * Return: 0 or a negative errno.
 */
RISER_API int riser_blk_status_errno(enum riser_blk_status status);

/**
 * riser_blk_status_name - a status in words
 * @status: enum riser_blk_status
 *
 * Return: a static string such as "MEDIUM".
 */
RISER_API const char *riser_blk_status_name(enum riser_blk_status status);

/**
 * riser_blk_status_text - how an I/O ended, for people
 * @status: enum riser_blk_status, or the negative errno of riser_blk_rw()
 * @raw: the I/O's raw_status, or 0
 * @buf: receives the text
 * @len: of @buf; 128 is enough
 *
 * Return: @buf, such as "MEDIUM (0x281, Unrecovered Read Error)".
 */
RISER_API char *riser_blk_status_text(int status, uint32_t raw, char *buf, size_t len);

#ifdef __cplusplus
}
#endif

#endif
