/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio-blk device: a PCI function, whatever the way to it, or vhost-user:SOCKET.
 *
 * An owner has one queue, which all of its channels share. Where the device has none left, a
 * channel passes its I/O to the owner whose queue has the fewest channels.
 */
#include "blk/dev/virtio.h"
#include "base/err.h"
#include "base/riser.h"
#include "blk/source.h"
#include "virtio/blk.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SECTORS 2048 /* 1 MiB, where the device takes more */

struct virtio_disk {
	struct vblk *d;
	struct riser_blk *b;
	struct listener watch; /* of the device, from the first who listens on */
	bool watches;          /* under @b's lock */
};

struct virtio_map {
	struct blk_map map;
	struct vblk_queue *q;
};

_Static_assert(sizeof(struct vblk_req) <= sizeof(((struct io_priv *)0)->leaf),
	       "a request lies in the I/O");

static cold
enum riser_blk_status failed(struct riser_blk_io *io, unsigned status)
{
	switch (status) {
	case VBLK_UNKNOWN:
		return RISER_BLK_UNKNOWN_OUTCOME;
	case VBLK_OFFLINE:
		return RISER_BLK_OFFLINE;
	case VBLK_TIMEOUT:
		return RISER_BLK_TIMEOUT;
	case VBLK_SHORT:
		return RISER_BLK_TARGET;
	}
	io->raw_status = status;
	if (status == RISER_VIRTIO_BLK_S_UNSUPP)
		return RISER_BLK_NOTSUPP;
	return status == RISER_VIRTIO_BLK_S_IOERR ? RISER_BLK_IOERR : RISER_BLK_TARGET;
}

static void on_done(struct vblk_req *req, unsigned status)
{
	struct io_priv *p = container_of((void **)(void *)req, struct io_priv, leaf[0]);
	struct riser_blk_io *io = container_of((void **)(void *)p, struct riser_blk_io, priv[0]);

	if (unlikely(status == RISER_VIRTIO_BLK_S_UNSUPP && io->op == RISER_BLK_WRITE_ZEROES))
		blk_zeroes(io_priv(io)->cur->map, io);
	else
		blk_end(io, likely(!status) ? RISER_BLK_OK : failed(io, status));
}

/* The driver did not take it. */
static cold
void refused(struct virtio_map *m, struct riser_blk_io *io, int rc)
{
	bool data = io->op == RISER_BLK_READ || io->op == RISER_BLK_WRITE;

	if (rc == -EAGAIN)
		blk_again(&m->map, io);
	else if (rc == -ENODEV)
		blk_done(io, RISER_BLK_OFFLINE);
	else if (data)
		blk_bounce(&m->map, io);
	else
		blk_done(io, RISER_BLK_INVALID);
}

static cold
int submit_other(struct virtio_map *m, struct riser_blk_io *io, struct vblk_req *req)
{
	bool unmap = m->q->d->info.unmap && !(io->flags & RISER_BLK_NOUNMAP);

	if (io->op == RISER_BLK_FLUSH)
		return vblk_flush(m->q, req);
	if (io->op == RISER_BLK_DISCARD)
		return vblk_range(m->q, req, RISER_VIRTIO_BLK_T_DISCARD, io->sector, io->count,
				  false);
	return vblk_range(m->q, req, RISER_VIRTIO_BLK_T_WRITE_ZEROES, io->sector, io->count, unmap);
}

static void virtio_submit(struct blk_map *map, struct riser_blk_io *io)
{
	struct virtio_map *m = container_of(map, struct virtio_map, map);
	struct vblk_req *req = (struct vblk_req *)(void *)io_priv(io)->leaf;
	int rc;

	req->done = on_done;
	if (unlikely(map->c->again.head)) /* who came before goes first */
		rc = -EAGAIN;
	else if (likely(io->op <= RISER_BLK_WRITE))
		rc = vblk_rw(m->q, req,
			     io->op == RISER_BLK_READ ? RISER_VIRTIO_BLK_T_IN
						      : RISER_VIRTIO_BLK_T_OUT,
			     io->sector, io->iov, io->iovcnt, io->iov_off, (uint32_t)blk_bytes(io));
	else
		rc = submit_other(m, io, req);
	if (unlikely(rc))
		refused(m, io, rc);
}

/* No queue is left, which @err says: through another owner's. */
static int share(struct riser_blk_channel *c, struct vblk *d, struct blk_map **out,
		 struct riser_err *err)
{
	struct vblk_queue *q = vblk_queue_least(d);
	int rc;

	if (!q)
		return -EBUSY;
	rc = blk_map_hop(c, q->x, out, err);
	vblk_queue_put(q, false);
	return rc;
}

static int virtio_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			  struct blk_map **out, struct riser_err *err)
{
	struct vblk *d = ((struct virtio_disk *)b->priv)->d;
	struct virtio_map *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	blk_map_init(&m->map, b, c);
	rc = vblk_queue_get(d, c->owner->x, &m->q, err);
	if (rc) {
		blk_map_free(&m->map);
		return rc == -EBUSY && !c->opts.is_home ? share(c, d, out, err) : rc;
	}
	*out = &m->map;
	return 0;
}

static void virtio_map_free(struct blk_map *map)
{
	struct virtio_map *m = container_of(map, struct virtio_map, map);

	if (m->q)
		vblk_queue_put(m->q, map->c->started);
	free(m);
}

static void virtio_start_map(struct blk_map *map)
{
	vblk_queue_adopt(container_of(map, struct virtio_map, map)->q);
}

static void virtio_stats(struct blk_map *map, struct riser_blk_stats *stats)
{
	stats->retries += container_of(map, struct virtio_map, map)->q->retries;
}

static int virtio_buf_alloc(struct riser_blk *b, size_t len, void **out, struct riser_err *err)
{
	struct riser_dma_space *dma = ((struct virtio_disk *)b->priv)->d->dev->dma;
	struct dma_mem m;
	int rc;

	if (!dma->own)
		return riser_mem_alloc(b->r, len, out, err);
	rc = dma_alloc(dma, max_of(len, (size_t)1), 4096, &m, err);
	if (!rc)
		*out = m.va;
	return rc;
}

static void virtio_buf_free(struct riser_blk *b, void *buf, size_t len)
{
	struct riser_dma_space *dma = ((struct virtio_disk *)b->priv)->d->dev->dma;
	struct dma_mem m = { .va = buf, .len = max_of(len, (size_t)1) };

	if (buf && dma->own)
		dma_free(dma, &m);
	else if (buf)
		riser_mem_free(b->r, buf);
}

static void virtio_disk_close(struct riser_blk *b)
{
	struct virtio_disk *v = b->priv;

	if (v->watches)
		vblk_unwatch(v->d, &v->watch);
	vblk_close(v->d);
	free(v);
}

static void on_event(struct listener *l, unsigned event)
{
	struct virtio_disk *v = container_of(l, struct virtio_disk, watch);

	if (event == VBLK_EVENT_GONE)
		blk_notify(v->b, RISER_BLK_EVENT_GONE);
	else
		blk_look(v->b);
}

static void virtio_listen(struct riser_blk *b)
{
	struct virtio_disk *v = b->priv;

	if (v->watches)
		return;
	v->watches = true;
	v->b = b;
	v->watch.fn = on_event;
	vblk_watch(v->d, &v->watch);
}

static int virtio_refresh(struct riser_blk *b, struct riser_exec *x, struct blk_current *now,
			  struct riser_err *err)
{
	struct vblk *d = ((struct virtio_disk *)b->priv)->d;
	uint64_t sectors;
	int rc = vblk_look(d, &sectors, err);

	if (!rc)
		now->sectors = align_down(sectors, d->info.block >> RISER_SECTOR_SHIFT);
	return rc;
}

static const struct blk_ops virtio_ops = {
	.size = sizeof(virtio_ops),
	.close = virtio_disk_close,
	.map_new = virtio_map_new,
	.map_free = virtio_map_free,
	.submit = virtio_submit,
	.listen = virtio_listen,
	.refresh = virtio_refresh,
	.start = virtio_start_map,
	.buf_alloc = virtio_buf_alloc,
	.buf_free = virtio_buf_free,
	.stats = virtio_stats,
};

/* What surely fits into one request, however its memory is cut into the IOMMU's pages. */
static uint32_t max_sectors(const struct vblk *d)
{
	const struct vblk_info *i = &d->info;
	uint64_t page = 1ull << d->dev->dma->page_shift,
		 piece = min_of((uint64_t)i->size_max, page);
	uint64_t bytes = piece * (i->seg_max > 1 ? i->seg_max - 1 : 1);

	bytes = align_down(min_of(bytes, (uint64_t)MAX_SECTORS << RISER_SECTOR_SHIFT), i->block);
	return (uint32_t)(max_of(bytes, (uint64_t)i->block) >> RISER_SECTOR_SHIFT);
}

static void describe(struct riser_blk *b, const struct vblk *d)
{
	const struct vblk_info *i = &d->info;

	b->sectors = i->sectors;
	b->limits.logical_block = i->block;
	b->limits.physical_block = i->physical;
	b->limits.max_sectors = max_sectors(d);
	b->limits.max_discard_sectors = i->max_discard;
	b->limits.max_zeroes_sectors = i->max_zeroes;
	if (i->seg_max == 1) /* one piece is within a page then */
		b->limits.seg_boundary = 1ull << d->dev->dma->page_shift;
	b->limits.reach = d->dev->dma->own ? BLK_REACH_OWN : BLK_REACH_REGISTERED;
	b->read_only = i->read_only;
	b->write_cache = i->write_cache;
	b->discard = i->discard;
	b->write_zeroes = b->zeroes_maybe = i->write_zeroes;
	snprintf(b->description, sizeof(b->description), "virtio disk%s%s by %s, %u queue%s",
		 i->serial[0] ? " " : "", i->serial, d->dev->t->name, d->nqueues,
		 d->nqueues == 1 ? "" : "s");
}

int blk_virtio_new(struct vblk *d, struct riser_blk **out, struct riser_err *err)
{
	struct virtio_disk *v = calloc(1, sizeof(*v));
	struct riser_blk *b;
	int rc = v ? blk_new(d->r, &virtio_ops, v, &b, err)
		   : err_set(err, -ENOMEM, "no memory for a disk");

	if (rc) {
		vblk_close(d);
		free(v);
		return rc;
	}
	v->d = d;
	describe(b, d);
	/* Who opens the same URI, whatever its keys' order, shares the device. */
	if (asprintf(&b->identity, "%s", d->dev->name) < 0) {
		b->identity = NULL;
		blk_put(b);
		return err_set(err, -ENOMEM, "no memory for a disk");
	}
	*out = b;
	return 0;
}

static int virtio_disk_open(struct riser *r, const struct uri *u, uint32_t flags,
			    struct riser_blk **out, struct riser_err *err)
{
	struct vblk *d;
	int rc = vblk_open(r, u, &d, err);

	return rc ? rc : blk_virtio_new(d, out, err);
}

/* A transitional function, or a modern one. */
static bool virtio_drives(uint32_t id, uint32_t class)
{
	return id == (0x1001u << 16 | RISER_VIRTIO_PCI_VENDOR) ||
	       id == ((RISER_VIRTIO_PCI_MODERN + RISER_VIRTIO_ID_BLK) << 16 |
		      RISER_VIRTIO_PCI_VENDOR);
}

const struct blk_source source_virtio = {
	.size = sizeof(source_virtio),
	.scheme = "vhost-user",
	.example = "vhost-user:/run/disk.sock",
	.drives = virtio_drives,
	.open = virtio_disk_open,
};
