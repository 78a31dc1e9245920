/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The block core: devices, channels, frames, the gate. What drives a device is in source.h.
 *
 * A device has channels, each belonging to one owner (an executor). A channel holds a map, one
 * owner's way through the device: a leaf's driver state, or a layer's table with its lower
 * channels. An I/O walks down: at every level it is counted in, looks at the gate, and (at a layer)
 * pushes a frame from that level's channel; it ends from a poll of the owner, popping the frames
 * and counting itself out on the way up.
 *
 *	riser_blk_submit → c->submit → layer: frame, remap → lower->submit → … → leaf: ops->submit
 *	poll → blk_end: count out, pop, count out, pop, …, io->done
 *
 * The gate is the channel's map pointer, NULL while it is closed. Counting in comes before looking
 * at the gate; whoever closes stores NULL, makes every CPU pass a barrier (membarrier), then reads
 * the counts. Where the kernel has no membarrier, the submitter's count is a read-modify-write
 * that is a full fence: another submit function, chosen once. See gate.c.
 *
 * What waits at a level keeps its count there and goes on through the second, stable pointer
 * (c->map): the gate may be closed, and the drain waits for it. Lower levels never wait for upper
 * ones, so one frame and one child a level are enough for progress at any depth.
 */
#ifndef BLK_BLK_H
#define BLK_BLK_H

#include "base/barrier.h"
#include "base/exec.h"
#include "base/list.h"
#include "base/listen.h"
#include "base/util.h"
#include <pthread.h>
#include <riser/blk.h>

struct blk_claim;
struct blk_home;
struct blk_map;
struct blk_ops;
struct blk_watch;
struct bounce_pool;

/* What memory a leaf can use: any, what riser_mem_alloc() registered, or only its own. */
enum blk_reach { BLK_REACH_ANY, BLK_REACH_REGISTERED, BLK_REACH_OWN };

/**
 * struct blk_limits - what a device takes in one piece
 * @max_sectors: of reads, writes and compares; 0: no limit
 * @max_discard_sectors: 0: no limit
 * @max_zeroes_sectors: 0: no limit
 * @logical_block: bytes
 * @physical_block: bytes
 * @buf_align: bytes; start and length of every piece of memory
 * @seg_boundary: a piece of memory may not cross a multiple of it; 0: it may
 * @reach: what memory
 */
struct blk_limits {
	uint32_t max_sectors;
	uint32_t max_discard_sectors;
	uint32_t max_zeroes_sectors;
	uint32_t logical_block;
	uint32_t physical_block;
	uint32_t buf_align;
	uint64_t seg_boundary;
	enum blk_reach reach;
};

#define CHANNEL_ZEROES (64 * KiB) /* what a leaf without WRITE_ZEROES writes at a time */

enum blk_state { BLK_LIVE, BLK_CLOSING, BLK_SUSPENDED };

struct riser_blk {
	const struct blk_ops *ops;
	struct riser *r;
	void *priv;  /* the driver's */
	void *table; /* what new maps are made of; a layer's */
	uint64_t sectors;
	struct blk_limits limits;
	bool read_only, write_cache, fua, discard, write_zeroes, compare, harmless;
	bool zeroes_maybe; /* a leaf's write_zeroes may prove wrong: see blk_zeroes() */
	bool stacked;      /* blk_stack_limits() was called */
	bool turned;       /* it was found read-only, or gone, later than at opening */
	bool gone;         /* I/O ends in OFFLINE */
	/* BLOCK_STATUS comes here. A layer says so itself: one that changes data must not pass on
	 * what is below. Where it is not set, all is data. */
	bool block_status;
	char description[160];
	char *identity;          /* what other openers of the same share; NULL: there are none */
	int lock_fd;             /* of a file, for its lock; -1: none. The driver's */
	struct blk_claim *claim; /* while it is open for writing */
	uint32_t refs;           /* atomic */
	uint32_t opens;          /* by riser_blk_open(), not closed; under the context's lock */

	/*
	 * Below: under @lock, which is never held across waiting. Lock order: an upper device's,
	 * then a lower one's; the context's comes last.
	 */
	pthread_mutex_t lock;
	struct list channels;
	enum blk_state state;
	bool controlled;            /* somebody suspends or changes it */
	bool changing;              /* the next two hold: between preparing and installing */
	void *next_table;           /* what comes */
	struct blk_home *next_home; /* and its home, where it wants one */
	struct blk_home *home;      /* of @table: one executor's channel, others pass I/O there */
	unsigned building; /* maps being made, without the lock: the tables stay meanwhile */

	struct list listeners;   /* upper layers, publishers */
	struct listener handler; /* and who opened it */
	void (*on_event)(struct riser_blk *b, enum riser_blk_event event, void *user);
	void *on_event_user;
	struct riser_work look; /* blk_look() posted it to @looker */
	struct riser_exec *looker;
	bool looking;    /* from there until it found nothing new */
	uint32_t asked;  /* to look, so many times; read without the lock */
	uint32_t looked; /* at so many of them */
};

/* Pushed by a layer's channel, popped on the way up. A free one has end_io NULL. */
struct blk_frame {
	struct blk_frame *up;
	struct riser_blk_channel *channel; /* whose it is; never changes */
	uint64_t sector, start, data;      /* the layer's own */
	/* Return true when it took the I/O over: the frame is still pushed then. */
	bool (*end_io)(struct blk_frame *f, struct riser_blk_io *io);
};

/* The library's part of an I/O. An I/O is on one list at the most, and the leaf that has it may
 * use both words of @leaf. */
struct io_priv {
	struct riser_blk_channel *channel; /* whose pool it is from */
	union {
		struct riser_blk_channel *cur; /* the level that it is at */
		struct riser_blk_io *batch;    /* between two executors: the next on the way */
	};
	uint64_t sector;         /* as the caller gave it */
	struct blk_frame *frame; /* top of its stack */
	union {
		struct {
			struct riser_blk_io *next;
			/*
			 * A cut parent: sectors (or flushes) handed to children. In a layer's map:
			 * which of the copies this is, see blk_ops.span.
			 */
			union {
				struct {
					uint32_t cursor;
					uint16_t pending; /* children in flight */
					uint16_t copy;    /* next, of the piece at the cursor */
				};
				uint64_t since; /* when it began to wait, for watch.c */
			};
		};
		struct riser_work hop; /* the first of a batch: see struct blk_batch */
		void *leaf[2];
	};
};
_Static_assert(sizeof(struct io_priv) == sizeof(((struct riser_blk_io *)0)->priv), "io_priv");
_Static_assert(sizeof(struct riser_blk_io) == 128, "an I/O is two cache lines");

static inline struct io_priv *io_priv(struct riser_blk_io *io)
{
	return (struct io_priv *)(void *)io->priv;
}

static inline struct riser_blk_io *io_of_hop(struct riser_work *w)
{
	return container_of(container_of(w, struct io_priv, hop), struct riser_blk_io, priv);
}

/* A first-in, first-out list of I/Os. */
struct io_queue {
	struct riser_blk_io *head, *tail;
};

static inline void io_push(struct io_queue *q, struct riser_blk_io *io)
{
	io_priv(io)->next = NULL;
	if (q->head)
		io_priv(q->tail)->next = io;
	else
		q->head = io;
	q->tail = io;
}

static inline struct riser_blk_io *io_pop(struct io_queue *q)
{
	struct riser_blk_io *io = q->head;

	if (io)
		q->head = io_priv(io)->next;
	return io;
}

/*
 * I/O that an owner has for another one. It gathers while the owner polls, and goes into the other
 * executor's inbox in one piece at the end of the poll, or before a sleep: see owner_send().
 */
struct blk_batch {
	struct riser_blk_io *first, *last;
	struct blk_batch *next; /* in blk_owner.unsent */
	struct riser_exec *to;
	void (*arrived)(struct riser_work *w);
};

/* A piece of an I/O that was cut. It ends in its own frame, so that nobody takes it for an I/O. */
struct blk_child {
	struct riser_blk_io io;
	struct blk_frame frame;
	struct riser_blk_io *parent;
	struct blk_child *next;
};

/**
 * struct blk_map - one owner's way through a device
 *
 * Embedded by drivers and targets. The fast fields describe one extent over the whole device; a
 * fast_max of 0 sends everything to @fast, which is blk_slow() unless a layer has a shorter way for
 * what is plain: a read or write without flags, within limits and device, and a frame is free.
 */
struct blk_map {
	void (*submit)(struct blk_map *m, struct riser_blk_io *io); /* a leaf's, or a hop's */
	struct blk_owner *owner;
	const struct blk_ops *ops;
	struct riser_blk *b;
	struct riser_blk_channel *c;
	uint32_t fast_max;
	uint64_t fast_base;
	struct riser_blk_channel *fast_lower;
	void (*fast)(struct blk_map *m, struct riser_blk_io *io);
	struct riser_blk_channel **lowers; /* some may be NULL */
	unsigned nlowers;
	unsigned nflush;         /* of a layer: into how many a flush fans out */
	bool mixed;              /* of a layer: some writes go where no flush goes */
	struct list active;      /* leaf: in blk_owner.leaves, once used */
	struct blk_watch *watch; /* or NULL: see watch.h */
	struct riser_work reap;  /* dropped by a swap, freed by its owner */
};

struct blk_channel_opts {
	unsigned ios, frames, children;
	bool is_home;
};

/* The first line is nearly all that a fast submit reads of a channel. */
struct riser_blk_channel {
	void (*submit)(struct riser_blk_channel *c, struct riser_blk_io *io);
	struct blk_map *gate; /* NULL: closed */
	struct blk_frame *frames;
	uint32_t inflight; /* written by the owner alone */
	uint32_t fast_max; /* sectors; the rest of fast_* hold only up to it */
	uint64_t fast_base;
	struct riser_blk_channel *fast_lower;
	uint64_t sectors; /* of the device, when the gate was opened */
	struct blk_owner *owner;

	uint32_t align_mask; /* in sectors: logical block - 1 */
	uint16_t fast_kinds; /* op | flags << 8 up to which an I/O is fast */
	bool started;
	struct riser_blk_io *pool;
	struct io_queue waiters;      /* for a frame */
	struct riser_blk_stats stats; /* this level's own; the rare ones read by any thread */

	struct blk_map *map;      /* stable: for what is counted in already */
	struct blk_map *next_map; /* being prepared */
	bool pinned;              /* while a swap makes @next_map: it may not go */
	bool leaf;
	struct io_queue deferred;   /* came while the gate was closed; not counted */
	struct io_queue again;      /* the leaf had no room */
	struct io_queue cuts;       /* half-cut parents that wait for a child */
	struct blk_child *children; /* free ones */
	struct riser_blk *b;
	struct blk_channel_opts opts;
	struct bounce_pool *bounce;
	void *zeroes;      /* a leaf that does not do WRITE_ZEROES */
	struct list link;  /* in riser_blk.channels */
	struct list retry; /* in blk_owner.retry while @again is not empty */
	struct list bufs;
	struct riser_work wake;
	uint32_t ndeferred; /* published by the owner */
	uint32_t waking;    /* @wake is posted */
	uint32_t reaping;   /* maps of this channel that wait for their owner */
	struct riser_work reap;
	void *memory; /* the I/Os, children and frames */
};

/* What a device is at the moment. */
struct blk_current {
	uint64_t sectors;
	bool read_only, gone;
};

#define BLK_CHANGE_OVER 100

/*
 * A change of what I/O goes through, by steps that do not wait: a caller who waits takes them in a
 * loop, and an owner in his polls. See gate.c.
 */
struct blk_change {
	struct riser_blk *b;
	enum {
		CHANGE_SUSPEND,
		CHANGE_RESUME,
		CHANGE_SWAP,
		CHANGE_MOVE,
		CHANGE_CALL,
		CHANGE_REFRESH
	} kind;
	void *table;           /* of a swap */
	struct blk_home *from; /* of a move */
	void (*fn)(void *arg); /* of a call */
	void *arg;
	struct riser_work work;
	uint32_t called;        /* atomic */
	struct blk_current now; /* of a refresh */
	unsigned events;        /* bits: what it found */
	uint64_t deadline;
	struct riser_err *err;
	struct riser_exec *x; /* of who takes the steps, or NULL */
	unsigned at;          /* the next step; BLK_CHANGE_OVER in the end */
	bool was_suspended;
	int rc;
};

/* The channel whose executor runs a HOME device. It is not in riser_blk.channels. */
struct blk_home {
	struct riser_blk_channel c;
	struct riser_work leave;
	struct list leaving; /* in blk_owner.leaving */
	bool leaves;         /* its executor has no other channel on the device */
	bool moving;         /* @change is on its way */
	bool lent;           /* a hop's own, see blk_map_hop() */
	bool busy;           /* nobody else is left, but the table's own I/O is in flight */
	uint64_t not_before; /* when the next try is due */
	struct blk_change change;
	struct riser_err err;
};

/* What an executor drives: one for all of its channels. */
struct blk_owner {
	/* Finished at submit: complete at the next poll. The last one's next is not set. */
	struct riser_blk_io *done, **done_tail;
	struct blk_batch *unsent;
	struct riser_exec *x;
	unsigned refs; /* channels; under the context's lock */
	bool registered;
	struct poller poller;
	struct list leaves;  /* struct blk_map.active: those with ops->poll */
	struct list retry;   /* channels whose leaf had no room */
	struct list leaving; /* struct blk_home: devices that are to go to another executor */
	struct riser_work reap;
};

/* owner.c */
int owner_get(struct riser_exec *x, struct blk_owner **out, struct riser_err *err);
/* @here: this is the owner's thread, or else may not be. */
void owner_put(struct blk_owner *o, bool here);
void owner_start(struct riser_blk_channel *c);
/* In the owner's thread: let the executor poll it. */
void owner_register(struct blk_owner *o);

/* channel.c */
int blk_channel_open(struct riser_blk *b, struct riser_exec *x, const struct blk_channel_opts *opts,
		     struct riser_blk_channel **out, struct riser_err *err);
/* Without a map, and not yet one of the device's; @size is that of what it is embedded in. */
int channel_new(struct riser_blk *b, struct riser_exec *x, const struct blk_channel_opts *opts,
		size_t size, struct riser_blk_channel **out, struct riser_err *err);
void channel_free(struct riser_blk_channel *c);
/* Its map is a hop, before anything was submitted: the leaf's part is done elsewhere. */
void channel_unleaf(struct riser_blk_channel *c);
/* A channel's way through a device whose table is @table; a hop where @home is somebody else. */
int channel_map_new(struct riser_blk_channel *c, void *table, struct blk_home *home,
		    struct blk_map **out, struct riser_err *err);
/* Return: false when it is left to the owner's next poll. */
bool blk_channel_close(struct riser_blk_channel *c);
void blk_map_free(struct blk_map *m);
/*
 * channel_map_new(), called under the device's lock, which is dropped meanwhile: a leaf may wait
 * for its device, a layer opens channels. The device's tables stay.
 */
int blk_map_build(struct riser_blk_channel *c, void *table, struct blk_home *home,
		  struct blk_map **out, struct riser_err *err);
/* Make @m what the channel's I/O goes through; the gate is closed, and stays so. */
void channel_set_map(struct riser_blk_channel *c, struct blk_map *m);

/* submit.c */
void channel_set_submit(struct riser_blk_channel *c);
/* For an I/O that is counted in at @c and passed every check: to the map, gate or no gate. */
void blk_go_on(struct riser_blk_channel *c, struct riser_blk_io *io);
/* What holds for every I/O at every level. Return: RISER_BLK_OK to go on. */
enum riser_blk_status blk_check(const struct riser_blk_channel *c, const struct riser_blk_io *io);
/* Give the top frame back to its level; the I/O is at that level then. */
void blk_pop(struct riser_blk_io *io);
/* A frame became free: whoever waits for it goes on. */
void blk_next_waiter(struct riser_blk_channel *c);
int blk_run_done(struct blk_owner *o);
int blk_run_again(struct riser_blk_channel *c);

/*
 * Called from a poll of the owner: an I/O that is at its leaf (or at the level where it was cut)
 * is finished. Its completion runs inside this call.
 */
void blk_end(struct riser_blk_io *io, enum riser_blk_status status);

/* Back from a home executor, their hops' frames still pushed: up from there. */
void blk_end_batch(struct riser_blk_io *first);

/* cut.c */
bool cut_wanted(const struct riser_blk_channel *c, const struct riser_blk_io *io);
void cut_start(struct riser_blk_channel *c, struct riser_blk_io *io);
/* A BLOCK_STATUS asks only about what is one piece here. Return: false when all of that is data. */
bool cut_status(const struct riser_blk_channel *c, struct riser_blk_io *io);

/* bounce.c: a counted pool of memory that a leaf reaches, where it does not reach all. */
/* The largest I/O that a buffer holds; UINT32_MAX where none is needed. */
uint32_t bounce_sectors(const struct riser_blk_channel *c);
int bounce_new(struct riser_blk_channel *c, struct riser_err *err);
void bounce_free(struct riser_blk_channel *c);

/* claim.c */
/* Claim a device that was opened for writing as @uri. Return: 0, -EBUSY, -ENOMEM. */
int blk_claim(struct riser_blk *b, const char *uri, const void *holder, struct riser_err *err);
void blk_claim_end(struct riser_blk *b);

/* event.c: under the device's lock: a look that was asked for has somebody to do it now. */
void event_look(struct riser_blk *b);

/* gate.c */
void gate_defer(struct riser_blk_channel *c, struct riser_blk_io *io);
void gate_run_deferred(struct riser_blk_channel *c);
void gate_close(struct riser_blk *b);
bool gate_drained(struct riser_blk *b);
void gate_open(struct riser_blk *b);
/* Where the I/O is that does not end: the lowest device with something in flight. */
void gate_parked(struct riser_blk *b, char *name, size_t len, uint64_t *count);

/* change.c */
int blk_change(struct blk_change *ch, uint64_t timeout_ns);
/* Take what steps can be taken now. Return: whether it is over, with @rc. */
bool change_step(struct blk_change *ch);

/* home.c: what is said to be under the lock is called under the device's. */
bool home_wanted(const struct riser_blk *b, void *table);
/*
 * Under the lock, which is dropped meanwhile: make *@slot the home of @table, if it wants one, on
 * the executor of @by.
 */
int home_get(struct riser_blk *b, void *table, struct blk_home **slot,
	     const struct riser_blk_channel *by, struct riser_err *err);
/* Under the lock: its table went live. */
void home_live(struct blk_home *h);
/* Its owner frees it. */
void home_retire(struct blk_home *h);
/* Under the lock: an owner may have lost its last channel on the device; then homes there leave. */
void home_check(struct riser_blk *b, struct blk_owner *o);
/* Under the lock: take the home of a device without channels, to be freed here and now. */
struct blk_home *home_take(struct riser_blk *b, const struct riser_blk_channel *last);
/* Under the lock: is it to leave, and is there somewhere to go? */
bool home_must_move(const struct blk_home *h);
/* In the owner's thread. */
void home_leave(struct blk_owner *o);
uint64_t home_next_deadline(const struct blk_owner *o);
int hop_map_new(struct riser_blk_channel *c, struct blk_home *home, struct blk_map **out,
		struct riser_err *err);
/* What the table made: the map itself, or that behind a hop. */
struct blk_map *home_map(struct blk_map *m);

static inline void owner_finish(struct blk_owner *o, struct riser_blk_io *io,
				enum riser_blk_status status)
{
	io->status = (uint8_t)status;
	*o->done_tail = io;
	o->done_tail = &io_priv(io)->next;
}

/* In @o's thread: @io goes with the others of @batch. */
static inline void owner_gather(struct blk_owner *o, struct blk_batch *batch,
				struct riser_blk_io *io)
{
	if (batch->first) {
		io_priv(batch->last)->batch = io;
	} else {
		batch->first = io;
		batch->next = o->unsent;
		o->unsent = batch;
	}
	batch->last = io;
}

static inline bool owner_has_done(const struct blk_owner *o)
{
	return o->done_tail != &o->done;
}

/*
 * Finish an I/O that was counted in at its level: it completes at the owner's next poll. From
 * inside submit, this is the only way.
 */
static inline void blk_done(struct riser_blk_io *io, enum riser_blk_status status)
{
	owner_finish(io_priv(io)->cur->owner, io, status);
}

/* The same for a leaf, which has its map at hand. */
static inline void blk_leaf_done(struct blk_map *m, struct riser_blk_io *io,
				 enum riser_blk_status status)
{
	owner_finish(m->owner, io, status);
}

/* A counter that other threads may read. */
static inline void stat_add(uint64_t *counter)
{
	store_relaxed(counter, load_relaxed(counter) + 1);
}

#endif
