/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * file:PATH: a regular file or a block device of the system.
 *
 * A file whose size is not a multiple of the block size is shown rounded up: what lies behind its
 * end reads as zeroes, and writing the last block makes the file that much longer. A file that
 * others cut short while it is open fails with MEDIUM where it ended; one that grew is larger once
 * riser_blk_refresh() looked.
 *
 * I/O is queued at submit and goes to the kernel at the owner's next poll, all of it in one system
 * call: through a ring of the channel's own. Where io_uring is disabled, the poll does the
 * system calls itself, one after the other, on the owner's thread.
 */
#include "blk/dev/file.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include "blk/iov.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/fs.h>
#endif

#define MAX_SECTORS 2048 /* 1 MiB; the system takes more, in pieces of its own */

/*
 * Where the run that begins at @at ends, and its state. A file system that knows of no holes, and a
 * block device, call all of it data.
 */
static off_t run_of(struct file *f, off_t at, off_t end, uint32_t *state)
{
	off_t data = lseek(f->fd, at, SEEK_DATA), size;

	*state = 0;
	if (data == at) {
		off_t hole = lseek(f->fd, at, SEEK_HOLE);

		return hole > at ? hole : end;
	}
	if (data < 0 && errno != ENXIO)
		return end;
	*state = RISER_BLK_ST_HOLE | RISER_BLK_ST_ZERO;
	if (data > at)
		return data;
	/* No data up to its end; what somebody cut off behind that is no hole, but lost. */
	size = lseek(f->fd, 0, SEEK_END);
	if (size >= (off_t)load_relaxed(&f->size))
		return end;
	if (size <= at)
		*state = 0;
	return size <= at ? end : size;
}

/* One or two system calls. A block that is partly a hole is data. */
static void block_status(struct blk_map *map, struct riser_blk_io *io)
{
	uint64_t block = map->b->limits.logical_block;
	off_t at = file_offset(io), end = at + (off_t)blk_bytes(io);
	uint32_t state;
	uint64_t len = (uint64_t)(run_of(map->b->priv, at, end, &state) - at);

	if (state && len < block)
		state = 0;
	len = state ? align_down(len, block) : align_up(len, block);
	io->count = (uint32_t)(min_of(len, (uint64_t)blk_bytes(io)) >> RISER_SECTOR_SHIFT);
	io->raw_status = state;
	blk_leaf_done(map, io, RISER_BLK_OK);
}

static void file_submit(struct blk_map *map, struct riser_blk_io *io)
{
	struct file_map *m = container_of(map, struct file_map, map);
	struct file *f = map->b->priv;

	if (f->direct && io->op <= RISER_BLK_WRITE && !blk_memory_ok(&map->b->limits, io)) {
		blk_bounce(map, io);
		return;
	}
	if (io->op == RISER_BLK_BLOCK_STATUS) {
		block_status(map, io);
		return;
	}
	*file_progress(io) = 0;
	io_push(&m->todo, io);
}

/* Behind the end of the file, in its last block. */
static void zero_rest(struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, *file_progress(io));
	struct iovec v;

	while (iov_next(&w, &v))
		memset(v.iov_base, 0, v.iov_len);
}

/* @got bytes came or went, or a negative errno. Return: true when the I/O is over. */
static bool moved(struct file *f, struct riser_blk_io *io, ssize_t got,
		  enum riser_blk_status *status)
{
	uint64_t end = io->sector << RISER_SECTOR_SHIFT;

	*status = RISER_BLK_OK;
	if (got == -EINTR || got == -EAGAIN)
		return false;
	if (got < 0) {
		*status = blk_status_of((int)got);
		return true;
	}
	*file_progress(io) += (uint32_t)got;
	end += *file_progress(io);
	if (io->op == RISER_BLK_WRITE && end > load_relaxed(&f->size))
		store_relaxed(&f->size, end);
	if (*file_progress(io) == blk_bytes(io))
		return true;
	if (got)
		return false;
	/* Nothing more is there: the end that we know of, or somebody cut the file short. */
	if (io->op == RISER_BLK_READ && end >= load_relaxed(&f->size))
		zero_rest(io);
	else
		*status = io->op == RISER_BLK_READ ? RISER_BLK_MEDIUM : RISER_BLK_NOSPC;
	return true;
}

bool file_stepped(struct file *f, struct riser_blk_io *io, ssize_t rc,
		  enum riser_blk_status *status)
{
	if (io->op == RISER_BLK_READ || io->op == RISER_BLK_WRITE)
		return moved(f, io, rc, status);
	if (rc == -EINTR)
		return false;
	*status = blk_status_of((int)rc);
	if (rc || io->op != RISER_BLK_WRITE_ZEROES || !(io->flags & RISER_BLK_FUA) ||
	    *file_progress(io))
		return true;
	*file_progress(io) = 1;
	return false;
}

void file_finish(struct blk_map *map, struct riser_blk_io *io, enum riser_blk_status status)
{
	if (io->op == RISER_BLK_WRITE_ZEROES && status == RISER_BLK_NOTSUPP)
		blk_zeroes(map, io);
	else
		blk_end(io, status);
}

bool file_wants_sync(struct riser_blk_io *io)
{
	return io->op == RISER_BLK_FLUSH ||
	       (io->op == RISER_BLK_WRITE_ZEROES && *file_progress(io));
}

int file_fallocate_mode(const struct riser_blk_io *io)
{
	if (io->op == RISER_BLK_WRITE_ZEROES && io->flags & RISER_BLK_NOUNMAP)
		return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
}

unsigned file_fill_iovs(struct file_map *m, struct riser_blk_io *io)
{
	struct iov_walk w = iov_walk_from(io, *file_progress(io));
	unsigned n = 0;

	while (m->niovs + n < FILE_IOVS && iov_next(&w, &m->iovs[m->niovs + n]))
		n++;
	return n;
}

/* One step on the owner's thread. */
static ssize_t step(struct file_map *m, struct riser_blk_io *io)
{
	struct file *f = m->map.b->priv;
	off_t at = file_offset(io) + *file_progress(io);
	ssize_t rc;

	if (io->op == RISER_BLK_READ)
		rc = preadv(f->fd, m->iovs, (int)file_fill_iovs(m, io), at);
	else if (io->op == RISER_BLK_WRITE)
		rc = pwritev2(f->fd, m->iovs, (int)file_fill_iovs(m, io), at,
			      io->flags & RISER_BLK_FUA ? RWF_DSYNC : 0);
	else if (file_wants_sync(io))
		rc = fdatasync(f->fd);
	else
		rc = fallocate(f->fd, file_fallocate_mode(io), file_offset(io),
			       (off_t)blk_bytes(io));
	return rc < 0 ? -errno : rc;
}

static int poll_calls(struct file_map *m)
{
	struct io_queue q = m->todo;
	enum riser_blk_status status;
	struct riser_blk_io *io;
	int n = 0;

	for (m->todo.head = NULL; (io = io_pop(&q)); n++) {
		while (!file_stepped(m->map.b->priv, io, step(m, io), &status))
			;
		file_finish(&m->map, io, status);
	}
	return n;
}

static int file_poll(struct blk_map *map)
{
	struct file_map *m = container_of(map, struct file_map, map);

	return file_uses_ring(m) ? file_ring_poll(m) : poll_calls(m);
}

static int file_arm(struct blk_map *map)
{
	struct file_map *m = container_of(map, struct file_map, map);

	if (m->todo.head && !(file_uses_ring(m) && file_ring_is_full(m)))
		return 1;
	return file_uses_ring(m) && file_ring_has_work(m);
}

static int file_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			struct blk_map **out, struct riser_err *err)
{
	struct file_map *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	blk_map_init(&m->map, b, c);
	file_ring_new(m, b->r);
	*out = &m->map;
	return 0;
}

static void file_map_free(struct blk_map *map)
{
	struct file_map *m = container_of(map, struct file_map, map);

	file_ring_free(m);
	free(m);
}

static void file_close(struct riser_blk *b)
{
	struct file *f = b->priv;

	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

/* Bytes, and whether writes would be refused; of what is a block device, st_size says nothing. */
static int look_at(int fd, uint64_t *size, bool *read_only)
{
	struct stat st;
	int locked;

	if (fstat(fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	if (!S_ISBLK(st.st_mode))
		return 0;
	/* Linux opens such a device for writing, and fails the writes. */
	if (!ioctl(fd, BLKROGET, &locked) && locked)
		*read_only = true;
	return ioctl(fd, BLKGETSIZE64, size) ? -errno : 0;
}

static int file_refresh(struct riser_blk *b, struct riser_exec *x, struct blk_current *now,
			struct riser_err *err)
{
	struct file *f = b->priv;
	int rc = look_at(f->fd, &f->found, &now->read_only);

	if (rc)
		return err_set(err, rc == -ENXIO ? -ENODEV : rc, "cannot get the size of %s: %s",
			       b->description, strerror(-rc));
	now->sectors = align_up(f->found, b->limits.logical_block) >> RISER_SECTOR_SHIFT;
	return 0;
}

static void file_refreshed(struct riser_blk *b)
{
	struct file *f = b->priv;

	store_relaxed(&f->size, f->found);
}

static const struct blk_ops file_ops = {
	.size = sizeof(file_ops),
	.close = file_close,
	.map_new = file_map_new,
	.map_free = file_map_free,
	.submit = file_submit,
	.refresh = file_refresh,
	.refreshed = file_refreshed,
	.start = file_start,
	.poll = file_poll,
	.arm = file_arm,
};

/* Return: a descriptor; -EEXIST without a sentence; or another negative errno with one. */
static int create_file(const char *path, int mode, uint64_t size, struct riser_err *err)
{
	int fd = open(path, mode | O_CREAT | O_EXCL, 0666), rc = -errno;

	if (fd < 0 && rc == -EEXIST)
		return rc;
	if (fd < 0)
		return err_set(err, rc, "cannot make %s: %s", path, strerror(-rc));
	if (!ftruncate(fd, (off_t)size))
		return fd;
	rc = -errno;
	close(fd);
	unlink(path);
	return err_set(err, rc, "cannot make %s that long: %s", path, strerror(-rc));
}

static int open_path(const struct uri *u, uint32_t flags, bool direct, struct riser_err *err)
{
	int mode = (flags & RISER_BLK_RDWR ? O_RDWR : O_RDONLY) | (direct ? O_DIRECT : 0), fd, rc;
	uint64_t create = 0;

	if (!*u->rest)
		return err_set(err, -EINVAL, "file: wants a path, as in file:disk.img");
	mode |= O_CLOEXEC | O_NOCTTY;
	rc = uri_get_size(u, "create", &create, err);
	if (rc)
		return rc;
	if (create && !(flags & RISER_BLK_RDWR))
		return err_set(err, -EINVAL,
			       "file:%s: create= needs a device that is opened for writing",
			       u->rest);
	if (create) {
		fd = create_file(u->rest, mode, create, err);
		if (fd != -EEXIST)
			return fd;
	}
	/* A pipe would wait for its other end; I/O on what we take must wait, and does then. */
	fd = open(u->rest, mode | O_NONBLOCK);
	rc = -errno;
	if (fd >= 0 && fcntl(fd, F_SETFL, mode & O_DIRECT) == 0)
		return fd;
	if (fd >= 0) {
		rc = -errno;
		close(fd);
	}
	if (rc == -EINVAL && direct)
		return err_set(err, rc, "cannot open %s: its file system has no direct I/O",
			       u->rest);
	return err_set(err, rc, "cannot open %s: %s", u->rest, strerror(-rc));
}

/* One file has many names. */
static int identify(struct riser_blk *b, const struct stat *st)
{
	int n;

	if (S_ISBLK(st->st_mode))
		n = asprintf(&b->identity, "block %llx", (unsigned long long)st->st_rdev);
	else
		n = asprintf(&b->identity, "file %llx:%llx", (unsigned long long)st->st_dev,
			     (unsigned long long)st->st_ino);
	if (n < 0) {
		b->identity = NULL;
		return -ENOMEM;
	}
	b->lock_fd = ((struct file *)b->priv)->fd;
	return 0;
}

/* Size and block size of what was opened. */
static int measure(struct riser_blk *b, const struct uri *u, struct riser_err *err)
{
	struct file *f = b->priv;
	unsigned logical = RISER_SECTOR_SIZE, physical = RISER_SECTOR_SIZE;
	struct stat st;
	uint64_t block;
	int rc;

	if (fstat(f->fd, &st))
		return err_set(err, -errno, "cannot stat %s", u->rest);
	rc = identify(b, &st);
	if (rc)
		return err_set(err, rc, "no memory for a file");
	b->harmless = S_ISREG(st.st_mode);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "%s is neither a regular file nor a block device",
			       u->rest);
	if (S_ISBLK(st.st_mode)) {
		ioctl(f->fd, BLKSSZGET, &logical);
		ioctl(f->fd, BLKPBSZGET, &physical);
	}
	rc = look_at(f->fd, &f->size, &b->read_only);
	if (rc)
		return err_set(err, rc, "cannot get the size of %s", u->rest);
	if (!f->size)
		return err_set(err, -EINVAL,
			       "%s is empty: make it as large as the device is to be, "
			       "or say create=SIZE",
			       u->rest);
	block = logical;
	rc = uri_get_size(u, "block", &block, err);
	if (rc)
		return rc;
	if (block < logical)
		return err_set(err, -EINVAL, "%s: block=%llu is less than the device's %u", u->rest,
			       (unsigned long long)block, logical);
	rc = blk_set_geometry(b, u, align_up(f->size, is_power_of_two(block) ? block : 1), err);
	if (rc)
		return rc;
	b->limits.logical_block = (uint32_t)block;
	b->limits.physical_block = max_of((uint32_t)block, physical);
	b->limits.buf_align = f->direct ? max_of(logical, 512u) : 1;
	return 0;
}

static int file_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		     struct riser_err *err)
{
	static const char *const keys[] = { "direct", "readonly", "create", "block", NULL };
	struct riser_blk *b = NULL;
	bool readonly = false;
	struct file *f;
	char text[32];
	int rc = uri_check_keys(u, keys, err);

	if (rc)
		return rc;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(err, -ENOMEM, "no memory for a file");
	f->fd = -1;
	rc = blk_new(r, &file_ops, f, &b, err);
	if (rc) {
		free(f);
		return rc;
	}
	rc = uri_get_bool(u, "direct", &f->direct, err);
	if (!rc)
		rc = uri_get_bool(u, "readonly", &readonly, err);
	if (rc)
		goto fail;
	rc = open_path(u, readonly ? 0 : flags, f->direct, err);
	if (rc < 0)
		goto fail;
	f->fd = rc;
	rc = measure(b, u, err);
	if (rc)
		goto fail;
	b->read_only |= readonly;
	b->limits.max_sectors = MAX_SECTORS;
	b->write_cache = b->fua = b->discard = b->write_zeroes = b->zeroes_maybe = true;
	b->block_status = true;
	snprintf(b->description, sizeof(b->description), "%s %s, %s",
		 b->harmless ? "file" : "block device", u->rest,
		 format_size(f->size, text, sizeof(text)));
	*out = b;
	return 0;
fail:
	blk_put(b);
	return rc;
}

const struct blk_source source_file = {
	.size = sizeof(source_file),
	.scheme = "file",
	.example = "file:disk.img",
	.open = file_open,
};
