/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* file: through a ring of the channel's own: what waits goes to the kernel in one system call. */
#include "base/riser.h"
#include "blk/dev/file.h"
#include <fcntl.h>
#include <sys/uio.h>

#define RING 128

bool file_ring_is_full(const struct file_map *m)
{
	return m->inflight == RING;
}

static void prepare(struct file_map *m, struct io_uring_sqe *sqe, struct riser_blk_io *io,
		    unsigned niovs)
{
	struct file *f = m->map.b->priv;
	uint64_t at = (uint64_t)file_offset(io) + *file_progress(io);

	if (io->op == RISER_BLK_READ)
		io_uring_prep_readv(sqe, f->fd, &m->iovs[m->niovs], niovs, at);
	else if (io->op == RISER_BLK_WRITE)
		io_uring_prep_writev2(sqe, f->fd, &m->iovs[m->niovs], niovs, at,
				      io->flags & RISER_BLK_FUA ? RWF_DSYNC : 0);
	else if (file_wants_sync(io))
		io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fallocate(sqe, f->fd, file_fallocate_mode(io), file_offset(io),
					(off_t)blk_bytes(io));
	io_uring_sqe_set_data(sqe, io);
	m->niovs += niovs;
	m->inflight++;
}

/* Hand over what waits, as far as the ring has room. The kernel copies the iovecs at submit. */
static void hand_over(struct file_map *m)
{
	while (m->todo.head && !file_ring_is_full(m)) {
		struct riser_blk_io *io = m->todo.head;
		bool data = io->op == RISER_BLK_READ || io->op == RISER_BLK_WRITE;
		unsigned niovs = data ? file_fill_iovs(m, io) : 0;

		/* Half an array is no reason to cut an I/O: a fresh one comes with the next round.
		 */
		if (data && m->niovs && m->niovs + niovs == FILE_IOVS)
			break;
		prepare(m, io_uring_get_sqe(&m->ring), io_pop(&m->todo), niovs);
	}
	if (!io_uring_sq_ready(&m->ring))
		return;
	io_uring_submit(&m->ring); /* what it did not take stays in the ring */
	if (!io_uring_sq_ready(&m->ring))
		m->niovs = 0;
}

int file_ring_poll(struct file_map *m)
{
	struct io_uring_cqe *cqe;
	int n = 0;

	do
		hand_over(m);
	while (m->todo.head && !m->niovs && !file_ring_is_full(m));
	while (!io_uring_peek_cqe(&m->ring, &cqe)) {
		struct riser_blk_io *io = io_uring_cqe_get_data(cqe);
		enum riser_blk_status status;
		int rc = cqe->res;

		io_uring_cqe_seen(&m->ring, cqe);
		m->inflight--;
		n++;
		if (file_stepped(m->map.b->priv, io, rc, &status))
			file_finish(&m->map, io, status);
		else
			io_push(&m->todo, io);
	}
	return n;
}

void file_start(struct blk_map *map)
{
	struct file_map *m = container_of(map, struct file_map, map);

	m->watch.fd = m->ring.ring_fd;
	m->watched = m->uring && !riser_exec_watch(map->owner->x, &m->watch, RISER_WATCH_IN);
}

void file_ring_new(struct file_map *m, struct riser *r)
{
	/* Virtual time would jump to some deadline while the kernel works on real time. */
	if (r->flags & RISER_NO_IO_URING || r->clock.is_virtual ||
	    io_uring_queue_init(RING, &m->ring, 0))
		return;
	m->uring = m->ring.features & IORING_FEAT_SUBMIT_STABLE;
	if (!m->uring)
		io_uring_queue_exit(&m->ring);
}

void file_ring_free(struct file_map *m)
{
	if (m->watched)
		riser_exec_unwatch(m->map.owner->x, &m->watch);
	if (m->uring)
		io_uring_queue_exit(&m->ring);
}

bool file_uses_ring(const struct file_map *m)
{
	return m->uring;
}

bool file_ring_has_work(struct file_map *m)
{
	return io_uring_sq_ready(&m->ring) || io_uring_cq_ready(&m->ring);
}
