/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The device mapper: block devices made of tables, in the text that dmsetup takes.
 *
 *	0 2048 linear file:a.img 0
 *	2048 4096 striped 2 16 file:b.img 0 file:c.img 0
 *
 * A mapped device has a live and an inactive table. riser_dm_load() builds the inactive one beside
 * the live one, riser_dm_resume() puts it in its place, under I/O. As a block device it is opened
 * as "dm:NAME" in the same context; "table:TEXT" opens one without a name.
 *
 * Each function that may wait takes the calling thread's executor, which is driven meanwhile, or
 * NULL where the thread runs none. From inside a completion the answer is -EDEADLK.
 */
#ifndef RISER_DM_H
#define RISER_DM_H

#include <riser/target.h>

#ifdef __cplusplus
extern "C" {
#endif

struct riser_dm;

#define RISER_DM_NAME_MAX 127
#define RISER_DM_UUID_MAX 128

/* Flags of riser_dm_create(). */
#define RISER_DM_READONLY (1u << 0) /* tables open their devices for reading */
#define RISER_DM_OPAQUE   (1u << 1) /* tables above do not pass it by, see riser_dm_info.skips */

/**
 * struct riser_dm_where - the place of an error in a table
 * @line: from 1; 0: nowhere in particular
 * @column: from 1, in bytes
 * @len: bytes of the word
 */
struct riser_dm_where {
	unsigned line;
	unsigned column;
	unsigned len;
};

/**
 * riser_dm_create - make a mapped device, with no table yet
 * @r: the context
 * @name: at most 127 bytes, without '/' and blanks; NULL: none, and "dm:" does not reach it
 * @uuid: at most 128 bytes; NULL or "": none
 * @flags: RISER_DM_READONLY, RISER_DM_OPAQUE
 * @out: the device; take it away with riser_dm_remove()
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -EBUSY when the name or uuid is taken; -EINVAL; -ENOMEM.
 */
RISER_API int riser_dm_create(struct riser *r, const char *name, const char *uuid, uint32_t flags,
			      struct riser_dm **out, struct riser_err *err);

/**
 * riser_dm_remove - take a mapped device away
 * @d: the device, or NULL
 * @x: the thread's executor, or NULL; it frees what earlier tables left
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -EBUSY while it is open, or in a table; -EDEADLK.
 */
RISER_API int riser_dm_remove(struct riser_dm *d, struct riser_exec *x, struct riser_err *err);

/**
 * riser_dm_find - a device by its name
 * @r: the context
 * @name: its name
 *
 * Return: the device, or NULL.
 */
RISER_API struct riser_dm *riser_dm_find(struct riser *r, const char *name);

/**
 * riser_dm_of - the mapped device behind a block device
 * @b: a block device, such as riser_blk_open() gives for "table:…" or "dm:NAME"
 *
 * Return: the device, which lives as long as @b is open; NULL where it is none.
 */
RISER_API struct riser_dm *riser_dm_of(struct riser_blk *b);

/**
 * riser_dm_load - build the inactive table
 * @d: the device
 * @x: the thread's executor, or NULL
 * @table: the text
 * @where: filled on failure: which word is to blame; may be NULL
 * @err: filled on failure; may be NULL
 *
 * The devices of the table are opened. An inactive table that is there already is dropped. The live
 * one stays as it is.
 *
 * Return: 0; -EINVAL for a table that is wrong; -ELOOP where it would contain itself; what opening
 * a device said; -ENOMEM.
 */
RISER_API int riser_dm_load(struct riser_dm *d, struct riser_exec *x, const char *table,
			    struct riser_dm_where *where, struct riser_err *err);

/**
 * riser_dm_clear - drop the inactive table
 * @d: the device
 * @x: the thread's executor, or NULL
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or -EDEADLK.
 */
RISER_API int riser_dm_clear(struct riser_dm *d, struct riser_exec *x, struct riser_err *err);

/**
 * riser_dm_suspend - let no more I/O in, and wait until what is in flight has ended
 * @d: the device
 * @x: the thread's executor, or NULL
 * @timeout_ns: then everything is as before
 * @err: filled on failure; may be NULL
 *
 * I/O that comes meanwhile waits, and is done after riser_dm_resume().
 *
 * Devices above that passed it by (riser_dm_info.skips) are compiled anew, and are drained for that
 * without being suspended: what their own targets hold back, such as a delay's, ends when it would
 * have ended, and counts against the timeout.
 *
 * Return: 0, also when it is suspended; -ETIMEDOUT (err says where I/O is parked); -EDEADLK.
 */
RISER_API int riser_dm_suspend(struct riser_dm *d, struct riser_exec *x, uint64_t timeout_ns,
			       struct riser_err *err);

/**
 * riser_dm_resume - make the inactive table live, where there is one, and let I/O in
 * @d: the device
 * @x: the thread's executor, or NULL
 * @timeout_ns: for what is in flight to end
 * @err: filled on failure; may be NULL
 *
 * A device that is not suspended is suspended meanwhile; no I/O fails because of it.
 *
 * Return: 0; -EINVAL when the size or a kind of target forbids it; -ETIMEDOUT; -EDEADLK; -ENOMEM.
 * On failure the old table is live and the new one inactive still.
 */
RISER_API int riser_dm_resume(struct riser_dm *d, struct riser_exec *x, uint64_t timeout_ns,
			      struct riser_err *err);

/**
 * riser_dm_status - the lines of a table
 * @d: the device
 * @x: the thread's executor, or NULL
 * @type: RISER_STATUS_INFO or RISER_STATUS_TABLE
 * @inactive: of the inactive table
 * @out: "start len target …" a line; free() it
 * @err: filled on failure; may be NULL
 *
 * Return: 0, -ENOMEM or -EDEADLK.
 */
RISER_API int riser_dm_status(struct riser_dm *d, struct riser_exec *x, enum riser_status_type type,
			      bool inactive, char **out, struct riser_err *err);

/**
 * riser_dm_message - say something to a target, or to the device
 * @d: the device
 * @x: the thread's executor, or NULL
 * @sector: the target that has it
 * @text: words; what begins with '@' is for the device itself
 * @out: an answer to free(), or NULL where there is none
 * @err: filled on failure; may be NULL
 *
 * The device's own messages are those of statistics, as dm-stats has them: "@stats_create - /10",
 * "@stats_print 0", …, and "@histogram on", "@histogram print" (see riser-stats(1)). What begins or
 * ends something to count waits for I/O in flight, as a new table does: -ETIMEDOUT after 10 s.
 *
 * Return: 0; -EINVAL for what the target does not know; -ENOENT without a live table; -EDEADLK.
 */
RISER_API int riser_dm_message(struct riser_dm *d, struct riser_exec *x, uint64_t sector,
			       const char *text, char **out, struct riser_err *err);

/**
 * struct riser_dm_info - how a mapped device is
 * @name: "" for none
 * @uuid: "" for none
 * @live: a table is live
 * @inactive: a table is inactive
 * @suspended: I/O waits
 * @read_only: as it was made
 * @open_count: how often it is opened, tables included
 * @event_nr: how many events there were
 * @targets: lines of the live table
 * @extents: pieces that the live table was compiled to
 * @skips: mapped devices below that its I/O does not pass through
 * @home: one executor runs it
 */
struct riser_dm_info {
	char name[RISER_DM_NAME_MAX + 1];
	char uuid[RISER_DM_UUID_MAX + 1];
	bool live, inactive, suspended, read_only;
	uint32_t open_count;
	uint32_t event_nr;
	unsigned targets;
	unsigned extents;
	unsigned skips;
	bool home;
};

/**
 * riser_dm_get_info - how a mapped device is
 * @d: the device
 * @info: filled
 */
RISER_API void riser_dm_get_info(struct riser_dm *d, struct riser_dm_info *info);

/**
 * riser_dm_rename - give it another name, or a uuid where it has none
 * @d: the device
 * @x: the thread's executor, or NULL
 * @name: the new name, or NULL
 * @uuid: the uuid, or NULL
 * @err: filled on failure; may be NULL
 *
 * Tables that name the device stay with it, and print its new name. Raises an event.
 *
 * Return: 0; -EBUSY when one of them is taken; -EINVAL for a bad name, or when it has a uuid
 * already; -ENOMEM; -EDEADLK. On failure it is called as before.
 */
RISER_API int riser_dm_rename(struct riser_dm *d, struct riser_exec *x, const char *name,
			      const char *uuid, struct riser_err *err);

/**
 * riser_dm_wait - wait for an event
 * @d: the device
 * @x: the thread's executor, or NULL
 * @event_nr: as riser_dm_get_info() said: returns when it is another
 * @timeout_ns: at the most this long
 *
 * Return: 0, -ETIMEDOUT or -EDEADLK.
 */
RISER_API int riser_dm_wait(struct riser_dm *d, struct riser_exec *x, uint32_t event_nr,
			    uint64_t timeout_ns);

/**
 * riser_dm_check - look for mistakes in a table
 * @r: the context
 * @table: the text; its devices are opened for reading
 * @found: called for each finding, in one sentence
 * @ctx: first argument of @found
 * @err: filled on failure; may be NULL
 *
 * Beyond what riser_dm_load() refuses (of which there is one finding, the first): sectors of a
 * device that two lines map, flushes that do not reach a cache, discards that one device denies to
 * all, and what is not aligned to physical blocks.
 *
 * Return: how many findings, or -ENOMEM.
 */
RISER_API int riser_dm_check(struct riser *r, const char *table,
			     void (*found)(void *ctx, const struct riser_dm_where *where,
					   const char *what),
			     void *ctx, struct riser_err *err);

/**
 * struct riser_dm_step - a part of an I/O at one level
 * @depth: 0: the table itself; 1: the table of a mapped device in it, …
 * @sector: of that level's device
 * @count: sectors; 0 for a flush
 * @target: of the line
 * @uri: the device that it goes to next, NULL where it ends here (zero, error)
 * @at: sector there
 * @leaf: @uri is no mapped device: the way ends there
 * @known: false where the target decides when it gets the I/O; @uri is one of its devices then
 */
struct riser_dm_step {
	unsigned depth;
	uint64_t sector;
	uint64_t count;
	const char *target;
	const char *uri;
	uint64_t at;
	bool leaf;
	bool known;
};

/**
 * riser_dm_explain - which way an I/O takes
 * @d: a device with a live table
 * @op: what it does
 * @sector: first sector
 * @count: sectors; at most 2^31
 * @step: called for each part, level by level down
 * @ctx: first argument of @step
 * @err: filled on failure; may be NULL
 *
 * As the tables say it: the parts that one level makes of what it gets. Where I/O passes by a
 * mapped device because its lines were compiled, the parts at the leaves are the same.
 *
 * Return: 0; -EINVAL for a range beyond the end; -ENOENT without a live table; -ENOMEM; -EDEADLK.
 */
RISER_API int riser_dm_explain(struct riser_dm *d, enum riser_blk_op op, uint64_t sector,
			       uint64_t count,
			       void (*step)(void *ctx, const struct riser_dm_step *step), void *ctx,
			       struct riser_err *err);

/**
 * riser_dm_targets - walk the kinds of targets
 * @r: the context
 * @index: 0, 1, …
 *
 * Return: the kind, or NULL behind the last one.
 */
RISER_API const struct riser_target_ops *riser_dm_targets(struct riser *r, unsigned index);

/**
 * riser_dm_plugin_load - take targets from a shared object
 * @r: the context; the object stays loaded until riser_free()
 * @path: a file that exports a struct riser_plugin (riser/target.h) as riser_plugin
 * @err: filled on failure; may be NULL
 *
 * Before tables that name them are loaded, and while no other thread walks the targets.
 *
 * Return: 0; -ENOENT, -EACCES; -EINVAL for what is no plugin, or one of another ABI; -EEXIST where
 * there is a target of that name; -ENOMEM.
 */
RISER_API int riser_dm_plugin_load(struct riser *r, const char *path, struct riser_err *err);

#ifdef __cplusplus
}
#endif

#endif
