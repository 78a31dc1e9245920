/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What file: and its ring share: file.c has the steps of an I/O, file_ring.c hands them over. */
#ifndef BLK_DEV_FILE_H
#define BLK_DEV_FILE_H

#include "blk/source.h"
#include <sys/types.h>

#ifdef RISER_HAVE_IO_URING
#include <liburing.h>
#endif

#define FILE_IOVS 256

struct file {
	int fd;
	bool direct;
	uint64_t size;  /* bytes that are there; grows to the rounded size with the last block */
	uint64_t found; /* by a refresh */
};

struct file_map {
	struct blk_map map;
	struct io_queue todo;
	struct iovec iovs[FILE_IOVS]; /* of what the kernel did not yet take */
	unsigned niovs;
#ifdef RISER_HAVE_IO_URING
	struct io_uring ring;
	struct riser_watch watch; /* the ring is readable while it holds completions */
	unsigned inflight;
	bool uring, watched;
#endif
};

/* How far an I/O came: bytes of a read or write, 1 when WRITE_ZEROES only lacks its sync. */
static inline uint32_t *file_progress(struct riser_blk_io *io)
{
	return &io_priv(io)->cursor;
}

static inline off_t file_offset(const struct riser_blk_io *io)
{
	return (off_t)(io->sector << RISER_SECTOR_SHIFT);
}

/* file.c */
bool file_wants_sync(struct riser_blk_io *io);
int file_fallocate_mode(const struct riser_blk_io *io);
/* The rest of an I/O's memory, in @m->iovs. Return: how many elements. */
unsigned file_fill_iovs(struct file_map *m, struct riser_blk_io *io);
/*
 * What the kernel said to one step of an I/O. Return: true when the I/O is over; false when its
 * next step is to be taken.
 */
bool file_stepped(struct file *f, struct riser_blk_io *io, ssize_t rc,
		  enum riser_blk_status *status);
void file_finish(struct blk_map *map, struct riser_blk_io *io, enum riser_blk_status status);

#ifdef RISER_HAVE_IO_URING
/* file_ring.c */
void file_ring_new(struct file_map *m, struct riser *r);
void file_ring_free(struct file_map *m);
void file_start(struct blk_map *map);
int file_ring_poll(struct file_map *m);
bool file_uses_ring(const struct file_map *m);
bool file_ring_is_full(const struct file_map *m);
bool file_ring_has_work(struct file_map *m);
#else
static inline int file_ring_poll(struct file_map *m)
{
	return 0;
}

static inline void file_start(struct blk_map *map)
{
}

static inline void file_ring_new(struct file_map *m, struct riser *r)
{
}

static inline void file_ring_free(struct file_map *m)
{
}

static inline bool file_uses_ring(const struct file_map *m)
{
	return false;
}

static inline bool file_ring_has_work(struct file_map *m)
{
	return false;
}

static inline bool file_ring_is_full(const struct file_map *m)
{
	return false;
}
#endif

#endif
