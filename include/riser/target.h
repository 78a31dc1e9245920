/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Device-mapper targets: what a target is made of, for those in the library and for those that are
 * loaded from a shared object (riser_dm_plugin_load()).
 *
 * A line of a table, "<start> <len> <name> <args>", makes an instance: struct riser_target. Its
 * constructor reads the arguments, opens the devices below and sets the counts; its map is called
 * for each I/O, with io->sector counted from the start of the instance.
 *
 * A target is HOME unless it says RISER_TARGET_PARALLEL: all of an instance's functions then run in
 * one thread at a time, so that it may keep its state without locks. A PARALLEL target's map runs
 * in many threads at once, beside its message and status; a constructor whose arguments make that
 * impossible sets riser_target.home.
 *
 * Sectors are 512 bytes.
 */
#ifndef RISER_TARGET_H
#define RISER_TARGET_H

#include <riser/blk.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RISER_TARGET_ABI 1

struct riser_target;

/**
 * struct riser_text - text that grows
 * @text: NUL-terminated, or NULL while empty; free() it
 * @len: bytes, without the NUL
 * @size: of the memory
 * @failed: no memory: what was added since is lost
 */
struct riser_text {
	char *text;
	size_t len, size;
	bool failed;
};

/**
 * riser_text_add - add to a text
 * @t: the text
 * @fmt: printf format
 */
RISER_API void riser_text_add(struct riser_text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * struct riser_args - the arguments of a table line or a message
 * @argc: how many
 * @argv: the words
 * @at: the next; the one before it is blamed for an error
 */
struct riser_args {
	unsigned argc;
	char **argv;
	unsigned at;
};

/**
 * riser_args_word - the next argument
 * @a: the arguments
 * @what: its name, for the error
 * @err: filled where there is none
 *
 * Return: the word, or NULL (err: -EINVAL).
 */
RISER_API const char *riser_args_word(struct riser_args *a, const char *what,
				      struct riser_err *err);

/**
 * riser_args_u64 - the next argument as a number
 * @a: the arguments
 * @what: its name, for the error
 * @min: the smallest that is accepted
 * @max: the largest
 * @out: the number
 * @err: filled on failure
 *
 * Return: 0 or -EINVAL.
 */
RISER_API int riser_args_u64(struct riser_args *a, const char *what, uint64_t min, uint64_t max,
			     uint64_t *out, struct riser_err *err);

/**
 * riser_args_end - no argument may be left
 * @a: the arguments
 * @err: filled on failure
 *
 * Return: 0 or -EINVAL.
 */
RISER_API int riser_args_end(struct riser_args *a, struct riser_err *err);

/**
 * riser_args_dev - the next argument as a device
 * @a: the arguments
 * @t: the target
 * @dev: its index, for riser_target_remap(); the table keeps it open
 * @err: filled on failure
 *
 * The same URI in one context is the same device.
 *
 * Return: 0, or what opening it said.
 */
RISER_API int riser_args_dev(struct riser_args *a, struct riser_target *t, unsigned *dev,
			     struct riser_err *err);

/**
 * riser_args_range - the next two arguments as a device and a first sector on it
 * @a: the arguments
 * @t: the target
 * @len: sectors from there on that have to be on the device
 * @dev: its index
 * @start: the sector
 * @err: filled on failure
 *
 * Return: 0; -EINVAL where the range is not on the device or not aligned to its logical blocks; or
 * what opening it said.
 */
RISER_API int riser_args_range(struct riser_args *a, struct riser_target *t, uint64_t len,
			       unsigned *dev, uint64_t *start, struct riser_err *err);

/**
 * enum riser_target_verdict - what map did with an I/O
 * @RISER_TARGET_REMAPPED: riser_target_remap() was called: it goes on below
 * @RISER_TARGET_SUBMITTED: the target keeps it, and will call riser_target_go() or
 *	riser_target_end(), from map, end_io or poll of the same instance
 * @RISER_TARGET_DONE: finished, io->status (enum riser_blk_status) says how
 */
enum riser_target_verdict {
	RISER_TARGET_REMAPPED,
	RISER_TARGET_SUBMITTED,
	RISER_TARGET_DONE,
};

/**
 * enum riser_target_kind - shapes that the core maps by itself
 * @RISER_TARGET_OPAQUE: none: map is called
 * @RISER_TARGET_LINEAR: one device, from a sector on
 * @RISER_TARGET_STRIPED: chunks of several devices in turn
 * @RISER_TARGET_ZERO: reads zeroes, drops writes
 * @RISER_TARGET_ERROR: fails
 */
enum riser_target_kind {
	RISER_TARGET_OPAQUE,
	RISER_TARGET_LINEAR,
	RISER_TARGET_STRIPED,
	RISER_TARGET_ZERO,
	RISER_TARGET_ERROR,
};

/**
 * struct riser_target_leg - a device from a sector on
 */
struct riser_target_leg {
	unsigned dev;
	uint64_t start;
};

/**
 * struct riser_target_shape - an instance that is a pure function of the sector
 * @kind: which
 * @nlegs: LINEAR: 1; STRIPED: how many; OPAQUE: 1 where whatever it lets through lands linearly on
 *	one device, which is told to who asks, and nothing more
 * @chunk: STRIPED: sectors
 * @legs: the instance's, which keeps them
 */
struct riser_target_shape {
	enum riser_target_kind kind;
	unsigned nlegs;
	uint32_t chunk;
	const struct riser_target_leg *legs;
};

/**
 * enum riser_status_type - which status
 * @RISER_STATUS_INFO: how it is
 * @RISER_STATUS_TABLE: the arguments that make it again
 */
enum riser_status_type { RISER_STATUS_INFO, RISER_STATUS_TABLE };

/* struct riser_target_ops.flags, as the kernel's features of the same names. */
#define RISER_TARGET_PARALLEL  (1u << 0) /* not HOME */
#define RISER_TARGET_SINGLETON (1u << 1) /* alone in its table */
#define RISER_TARGET_IMMUTABLE (1u << 2) /* a table with it is replaced by its like alone */
#define RISER_TARGET_WILDCARD  (1u << 3) /* may replace and be replaced by an immutable one */
#define RISER_TARGET_CUT_ALL   (1u << 4) /* max_io cuts discards and write-zeroes too */

/**
 * struct riser_target_ops - a kind of target
 * @abi: RISER_TARGET_ABI
 * @size: sizeof(struct riser_target_ops)
 * @name: the word in the table, at most 15 characters
 * @version: as dmsetup targets prints it
 * @flags: RISER_TARGET_PARALLEL, …
 * @syntax: of the arguments, such as "<dev> <offset>"
 * @summary: one line
 * @ctr: read the arguments, set t->priv and the counts
 * @dtr: the reverse; called with what a failed @ctr left too. NULL: free(t->priv)
 * @map: an I/O; see enum riser_target_verdict. NULL where @shape says it all. It may put other
 *	memory in io->iov, iovcnt and iov_off, such as riser_mem_alloc() gave the constructor, where
 *	@end_io puts back what was there
 * @end_io: an I/O that was remapped ended with io->status, which may be changed; io->sector is what
 *	map got, @data what riser_target_data() stored. Return true to keep it, for
 *	riser_target_go() again or riser_target_end(). NULL: nothing
 * @shape: NULL: opaque
 * @status: what stands behind "<start> <len> <name> ". NULL: nothing
 * @message: argv[0] is the verb; an answer goes to @out. NULL: every message is -EINVAL
 * @presuspend: the device is about to be suspended: let go of what is held back. NULL: nothing
 * @resume: the table is live. NULL: nothing
 * @poll: called at every poll of the instance's executor once map kept an I/O; return how many
 *	things were done. NULL: nothing
 * @next_deadline: when @poll has something to do, in nanoseconds of riser_now(). NULL: never
 * @limits: change what the table would say by its devices. NULL: nothing
 */
struct riser_target_ops {
	uint32_t abi;
	uint32_t size;
	const char *name;
	unsigned version[3];
	uint32_t flags;
	const char *syntax;
	const char *summary;
	int (*ctr)(struct riser_target *t, struct riser_args *a, struct riser_err *err);
	void (*dtr)(struct riser_target *t);
	enum riser_target_verdict (*map)(struct riser_target *t, struct riser_blk_io *io);
	bool (*end_io)(struct riser_target *t, struct riser_blk_io *io, uint64_t data);
	void (*shape)(const struct riser_target *t, struct riser_target_shape *shape);
	void (*status)(struct riser_target *t, enum riser_status_type type, struct riser_text *out);
	int (*message)(struct riser_target *t, unsigned argc, char **argv, struct riser_text *out,
		       struct riser_err *err);
	void (*presuspend)(struct riser_target *t);
	void (*resume)(struct riser_target *t);
	int (*poll)(struct riser_target *t);
	uint64_t (*next_deadline)(struct riser_target *t);
	void (*limits)(struct riser_target *t, struct riser_blk_info *info);
};

/**
 * struct riser_target - a line of a table
 * @ops: its kind
 * @r: the context
 * @begin: first sector of the device
 * @len: sectors
 * @priv: the target's
 * @max_io: reads and writes are cut at its multiples, in sectors; 0: nowhere but at the edges
 * @num_flush: how many copies of a flush it gets; a constructor finds 0
 * @num_discard: of a discard; 0: not supported
 * @num_zeroes: of a write-zeroes; 0: not supported
 * @home: this instance is HOME, although its kind is RISER_TARGET_PARALLEL
 * @core: the library's
 */
struct riser_target {
	const struct riser_target_ops *ops;
	struct riser *r;
	uint64_t begin;
	uint64_t len;
	void *priv;
	uint32_t max_io;
	uint16_t num_flush;
	uint16_t num_discard;
	uint16_t num_zeroes;
	bool home;
	void *core;
};

/**
 * riser_target_remap - in map: send the I/O on
 * @t: the target
 * @io: the I/O
 * @dev: index of a device
 * @sector: on it
 *
 * Return: RISER_TARGET_REMAPPED.
 */
RISER_API enum riser_target_verdict
riser_target_remap(struct riser_target *t, struct riser_blk_io *io, unsigned dev, uint64_t sector);

/**
 * riser_target_done - in map: finish the I/O
 * @io: the I/O
 * @status: how it ended
 *
 * Return: RISER_TARGET_DONE.
 */
RISER_API enum riser_target_verdict riser_target_done(struct riser_blk_io *io,
						      enum riser_blk_status status);

/**
 * riser_target_keep - in map: the target keeps the I/O
 * @t: the target
 * @io: the I/O; see riser_target_next()
 *
 * Return: RISER_TARGET_SUBMITTED.
 */
RISER_API enum riser_target_verdict riser_target_keep(struct riser_target *t,
						      struct riser_blk_io *io);

/**
 * riser_target_next - a word of a kept I/O that the target may use, to link it
 * @io: an I/O that map or end_io kept
 *
 * Return: where the word is.
 */
RISER_API struct riser_blk_io **riser_target_next(struct riser_blk_io *io);

/**
 * riser_target_data - a number of the I/O that end_io gets back
 * @io: the I/O, in map or while it is kept
 *
 * Return: where it is; 0 at first.
 */
RISER_API uint64_t *riser_target_data(struct riser_blk_io *io);

/**
 * riser_target_copy - which copy of a flush, discard or write-zeroes this is
 * @io: the I/O, in map
 *
 * Return: from 0 to num_flush (num_discard, num_zeroes) - 1.
 */
RISER_API unsigned riser_target_copy(struct riser_blk_io *io);

/**
 * riser_target_go - send a kept I/O on
 * @t: the target
 * @io: the I/O
 * @dev: index of a device
 * @sector: on it
 */
RISER_API void riser_target_go(struct riser_target *t, struct riser_blk_io *io, unsigned dev,
			       uint64_t sector);

/**
 * riser_target_end - finish a kept I/O
 * @io: the I/O
 * @status: how it ended
 */
RISER_API void riser_target_end(struct riser_blk_io *io, enum riser_blk_status status);

/**
 * riser_target_io_new - an I/O of the target's own
 * @t: the target; HOME
 *
 * The target fills in op, flags, sector, count, iov* and done, and may use it again and again.
 *
 * Return: the I/O, or NULL where there is no memory.
 */
RISER_API struct riser_blk_io *riser_target_io_new(struct riser_target *t);

/**
 * riser_target_io_free - free one
 * @io: the I/O, or NULL; not in flight
 */
RISER_API void riser_target_io_free(struct riser_blk_io *io);

/**
 * riser_target_io_submit - start an I/O of the target's own
 * @io: filled in
 * @dev: index of a device
 *
 * From any of the target's functions but ctr, dtr and status. io->done is called later, from a poll
 * of the instance's executor, and may start the I/O again, or keep or end others. What is in flight
 * belongs to the device's own I/O: a suspend waits for it, and so does closing. So that nothing is
 * started behind a suspend, the target starts from @poll only what serves an I/O that it keeps, and
 * between @presuspend and @resume it goes on only where it has something in flight.
 *
 * Return: 0; -ENODEV while nobody has a channel on the mapped device: there is no way down.
 */
RISER_API int riser_target_io_submit(struct riser_blk_io *io, unsigned dev);

/**
 * riser_target_event - raise the device's event number
 * @t: the target
 *
 * Any thread may call this.
 */
RISER_API void riser_target_event(struct riser_target *t);

/**
 * riser_target_dev_uri - the name of a device, as tables print it
 * @t: the target
 * @dev: its index
 *
 * Return: a string that lives as long as the target.
 */
RISER_API const char *riser_target_dev_uri(const struct riser_target *t, unsigned dev);

/**
 * riser_target_dev_info - what a device is
 * @t: the target
 * @dev: its index
 * @info: filled
 */
RISER_API void riser_target_dev_info(const struct riser_target *t, unsigned dev,
				     struct riser_blk_info *info);

/**
 * riser_target_copy_out - what a read returns, from memory
 * @io: the I/O
 * @from: as many bytes as it reads, or NULL for zeroes
 */
RISER_API void riser_target_copy_out(const struct riser_blk_io *io, const void *from);

/**
 * riser_target_copy_in - what a write carries, to memory
 * @io: the I/O
 * @to: room for as many bytes as it writes
 */
RISER_API void riser_target_copy_in(const struct riser_blk_io *io, void *to);

/**
 * struct riser_plugin - what a shared object with targets exports as riser_plugin
 * @abi: RISER_TARGET_ABI
 * @size: sizeof(struct riser_plugin)
 * @targets: ends in NULL
 */
struct riser_plugin {
	uint32_t abi;
	uint32_t size;
	const struct riser_target_ops *const *targets;
};

#ifdef __cplusplus
}
#endif

#endif
