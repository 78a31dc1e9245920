/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The context, errors and executors: what every other header of riser rests on.
 *
 * Functions return 0 or a negative errno; objects come back through an out-parameter.
 * Set-up functions also fill a struct riser_err (which may be NULL) with one sentence: what
 * failed, where, and what to do about it. The library never prints, never exits and never
 * assigns errno.
 */
#ifndef RISER_RISER_H
#define RISER_RISER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RISER_API      __attribute__((visibility("default")))

#define RISER_ERR_TEXT 512

/**
 * struct riser_err - why a set-up function failed
 * @code: the negative errno that the function returned
 * @text: one sentence without a trailing newline; empty when nothing failed
 */
struct riser_err {
	int code;
	char text[RISER_ERR_TEXT];
};

/* Flags of struct riser_opts. */
#define RISER_VIRTUAL_TIME  (1u << 0) /* the clock stands still and jumps when all are idle */
#define RISER_NO_MEMBARRIER (1u << 1) /* act as on a kernel without membarrier(2) */
#define RISER_NO_IO_URING   (1u << 2) /* act as on a kernel where io_uring is disabled */

/**
 * enum riser_log_level - whom a line is for
 * @RISER_LOG_ERROR: something is lost
 * @RISER_LOG_WARN: something went wrong, and is being put right
 * @RISER_LOG_NOTICE: for a person who waits: what for, and for how long at the most
 * @RISER_LOG_INFO: what was done
 * @RISER_LOG_DEBUG: how
 */
enum riser_log_level {
	RISER_LOG_ERROR,
	RISER_LOG_WARN,
	RISER_LOG_NOTICE,
	RISER_LOG_INFO,
	RISER_LOG_DEBUG,
};

/**
 * struct riser_opts - how a context is made
 * @size: sizeof(struct riser_opts), so that later fields default to 0
 * @flags: RISER_VIRTUAL_TIME, RISER_NO_MEMBARRIER, RISER_NO_IO_URING
 * @log: receives one line without newline, from any thread; NULL: lines are dropped
 * @log_ctx: first argument of @log
 */
struct riser_opts {
	size_t size;
	uint32_t flags;
	void (*log)(void *ctx, enum riser_log_level level, const char *line);
	void *log_ctx;
};

struct riser;

/**
 * riser_new - make a context
 * @opts: options, or NULL for the defaults
 * @out: the context; free it with riser_free()
 * @err: filled on failure; may be NULL
 *
 * Every open takes a context. It holds the registries, the open controllers, the memory that
 * devices may reach, the clock and the log. Any number of contexts may live in one process.
 *
 * Return: 0, -ENOMEM, or -EINVAL for an unknown flag.
 */
RISER_API int riser_new(const struct riser_opts *opts, struct riser **out, struct riser_err *err);

/**
 * riser_free - free a context
 * @r: the context, or NULL; everything opened in it must have been closed
 */
RISER_API void riser_free(struct riser *r);

/**
 * riser_version - the library's version, such as "0.1.0"
 *
 * Return: a static string.
 */
RISER_API const char *riser_version(void);

/**
 * riser_features - what was built in, separated by spaces, such as "io_uring model qtest nbd"
 *
 * Return: a static string.
 */
RISER_API const char *riser_features(void);

/**
 * riser_now - the context's clock
 * @r: the context
 *
 * Return: nanoseconds, monotonic; virtual where the context was made so.
 */
RISER_API uint64_t riser_now(struct riser *r);

/**
 * riser_err_set - fill an error (for plug-ins and callbacks)
 * @err: the error, or NULL
 * @code: a negative errno
 * @fmt: printf format of one sentence
 *
 * Return: @code, so that a caller can "return riser_err_set(...)".
 */
RISER_API int riser_err_set(struct riser_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * enum riser_uri_kind - which list of schemes riser_schemes() walks
 */
enum riser_uri_kind { RISER_URI_BLOCK, RISER_URI_NVME, RISER_URI_PUBLISH, RISER_URI_PORT };

/**
 * riser_schemes - walk the URI schemes that this build knows
 * @r: the context
 * @kind: block devices, NVMe controllers, publishers or network ports
 * @index: 0, 1, …
 *
 * Return: a static name such as "model", or NULL behind the last one.
 */
RISER_API const char *riser_schemes(struct riser *r, enum riser_uri_kind kind, unsigned index);

/*
 * Executors. A queue pair, a block channel and a publisher each belong to one executor, and an
 * executor is driven by one thread at a time: the library starts no threads. A loop is
 *
 *	while (busy)
 *		if (riser_exec_poll(x) == 0)
 *			riser_exec_wait(x, UINT64_MAX);
 *
 * or, in somebody else's loop: riser_exec_arm(), riser_exec_poll() once, then sleep on
 * riser_exec_fd() until riser_exec_next_deadline().
 */
struct riser_exec;

/**
 * struct riser_work - a piece of work for riser_exec_post()
 * @next: the library's
 * @fn: called once from riser_exec_poll() of the executor posted to
 */
struct riser_work {
	struct riser_work *next;
	void (*fn)(struct riser_work *work);
};

/**
 * riser_exec_new - make an executor
 * @r: the context
 * @out: the executor; free it with riser_exec_free()
 * @err: filled on failure; may be NULL
 *
 * Return: 0, -ENOMEM, or what the kernel said when a descriptor was made.
 */
RISER_API int riser_exec_new(struct riser *r, struct riser_exec **out, struct riser_err *err);

/**
 * riser_exec_free - free an executor
 * @x: the executor, or NULL; everything that belongs to it must have been closed
 *
 * Work that was posted to it and has not run yet runs here. Where other executors' channels share
 * a queue pair of its, this polls until they are closed; where it runs a device for them, until
 * another one does.
 */
RISER_API void riser_exec_free(struct riser_exec *x);

/**
 * riser_exec_poll - do what is ready, without waiting
 * @x: the executor
 *
 * Reaps completions and runs their callbacks, runs posted work, steps recovery, rings the
 * doorbells of what was submitted. All of the owner's queues are driven, not one of them.
 *
 * Return: how many things were done, or -EDEADLK from inside a completion.
 */
RISER_API int riser_exec_poll(struct riser_exec *x);

/**
 * riser_exec_wait - wait until something may be ready
 * @x: the executor
 * @timeout_ns: at the most this long
 *
 * Spins for a bounded, adaptive time, then sleeps. On virtual time the clock jumps when every
 * participant waits.
 *
 * Return: 1 when there may be work, 0 at the timeout, -EDEADLK from inside a completion.
 */
RISER_API int riser_exec_wait(struct riser_exec *x, uint64_t timeout_ns);

/**
 * riser_exec_leave - this executor's thread will not run it for a while
 * @x: the executor
 *
 * Only virtual time cares: the clock no longer waits for this executor. The next
 * riser_exec_wait() joins again.
 */
RISER_API void riser_exec_leave(struct riser_exec *x);

/**
 * riser_exec_post - have another executor's thread run something
 * @x: the executor; woken if it sleeps
 * @work: stays the caller's, untouched until @work->fn was called
 *
 * Any thread may call this.
 */
RISER_API void riser_exec_post(struct riser_exec *x, struct riser_work *work);

#define RISER_WATCH_IN  1u
#define RISER_WATCH_OUT 2u

/**
 * struct riser_watch - a descriptor that an executor looks at
 * @fd: the descriptor; stays the caller's
 * @ready: called from riser_exec_poll() and riser_exec_wait(), as often as it is ready;
 *	@events is RISER_WATCH_IN, RISER_WATCH_OUT or both, and both on an error or hang-up. It may
 *	unwatch this and others. NULL: the descriptor only ends a sleep
 */
struct riser_watch {
	int fd;
	void (*ready)(struct riser_watch *w, uint32_t events);
};

/**
 * riser_exec_watch - have an executor look at a descriptor of the caller's
 * @x: the executor, by the thread that runs it
 * @w: must live until riser_exec_unwatch(); no other watch of @x has its descriptor
 * @events: RISER_WATCH_IN, RISER_WATCH_OUT or both
 *
 * Return: 0, or what the kernel said as a negative errno.
 */
RISER_API int riser_exec_watch(struct riser_exec *x, struct riser_watch *w, uint32_t events);

/**
 * riser_exec_watch_mod - look for something else from now on
 * @x: the executor
 * @w: a watch that is being looked at
 * @events: as in riser_exec_watch(); 0 for errors alone
 *
 * Return: 0, or what the kernel said as a negative errno.
 */
RISER_API int riser_exec_watch_mod(struct riser_exec *x, struct riser_watch *w, uint32_t events);

/**
 * riser_exec_unwatch - look at a descriptor no more
 * @x: the executor
 * @w: not touched any more when this returns; unwatch before you close its descriptor
 */
RISER_API void riser_exec_unwatch(struct riser_exec *x, struct riser_watch *w);

/**
 * riser_exec_fd - a descriptor that becomes readable when riser_exec_poll() has work
 * @x: the executor; the descriptor stays its own
 *
 * Return: the descriptor.
 */
RISER_API int riser_exec_fd(struct riser_exec *x);

/**
 * riser_exec_arm - prepare to sleep on riser_exec_fd()
 * @x: the executor
 *
 * Return: > 0 when work is already there (poll, do not sleep); 0 when armed; -EOPNOTSUPP when
 * a device below cannot interrupt, so that the caller must poll at intervals.
 */
RISER_API int riser_exec_arm(struct riser_exec *x);

/**
 * riser_exec_next_deadline - until when a sleeper may sleep
 * @x: the executor
 *
 * Return: nanoseconds of riser_now(), UINT64_MAX for never.
 */
RISER_API uint64_t riser_exec_next_deadline(struct riser_exec *x);

/*
 * Memory that devices may reach. Buffers of riser_mem_alloc() are backed by a descriptor, so
 * that a device model in another process can map them too. Ordinary memory can be registered.
 */

/**
 * riser_mem_alloc - allocate memory that every device of the context may reach
 * @r: the context
 * @len: bytes; rounded up to the page size
 * @out: zeroed memory, page aligned; free it with riser_mem_free()
 * @err: filled on failure; may be NULL
 *
 * A device that reaches only its own memory (QEMU through qtest) cannot use it without a copy;
 * riser_blk_buf_alloc() and riser_nvme_buf_alloc() give what a particular device can reach.
 *
 * Return: 0, -ENOMEM, or what mapping it for an open device said.
 */
RISER_API int riser_mem_alloc(struct riser *r, size_t len, void **out, struct riser_err *err);

/**
 * riser_mem_free - free memory of riser_mem_alloc()
 * @r: the context
 * @va: the memory, or NULL; no I/O on it may be in flight
 */
RISER_API void riser_mem_free(struct riser *r, void *va);

/**
 * riser_mem_register - let every device of the context reach memory that the caller has
 * @r: the context
 * @va: start; a multiple of the page size
 * @len: bytes; a multiple of the page size
 * @fd: a descriptor that the memory maps, or -1
 * @offset: of @va in @fd
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -EINVAL for alignment; -EEXIST where it overlaps a registered region; -ENOMEM;
 * or what a device's IOMMU said.
 */
RISER_API int riser_mem_register(struct riser *r, void *va, size_t len, int fd, uint64_t offset,
				 struct riser_err *err);

/**
 * riser_mem_unregister - take a region of riser_mem_register() back
 * @r: the context
 * @va: its start; no I/O on it may be in flight
 *
 * Return: 0, or -ENOENT when no region starts there.
 */
RISER_API int riser_mem_unregister(struct riser *r, void *va);

#ifdef __cplusplus
}
#endif

#endif
