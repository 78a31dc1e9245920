/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A namespace of an NVMe controller.
 *
 * An owner has one queue pair a controller, which all of its channels share: nvme/shared.h. Where
 * the controller has none left, a channel passes its I/O to the owner whose queue pair has the
 * fewest channels, and that one keeps it as long.
 *
 * An I/O costs no memory here: the driver's request lies in the I/O's own words.
 */
#include "base/err.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include "blk/source.h"
#include "nvme/ctrl.h"
#include "nvme/shared.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nvme_dev {
	struct riser_nvme *h;
	struct riser_nvme_ns *ns;
	bool irq;
	struct riser_blk *b;
	struct listener watch; /* of the controller, from the first who listens on */
	bool watches;          /* under @b's lock */
	struct riser_nvme_id_ns found;
};

struct nvme_map {
	struct blk_map map;
	struct riser_nvme_qpair *q;
	struct riser_nvme_ns *ns;
	unsigned shift; /* sectors a block, log2 */
	struct nvme_shared *queue;
};

_Static_assert(sizeof(struct riser_nvme_req) <= sizeof(((struct io_priv *)0)->leaf),
	       "a request lies in the I/O");

static enum riser_blk_status generic_status(unsigned sc)
{
	switch (sc) {
	case 0x01: /* Invalid Command Opcode */
		return RISER_BLK_NOTSUPP;
	case 0x22: /* Transient Transport Error */
		return RISER_BLK_TRANSPORT;
	case 0x81: /* Capacity Exceeded */
		return RISER_BLK_NOSPC;
	case 0x82: /* Namespace Not Ready */
	case 0x84: /* Format In Progress */
		return RISER_BLK_RESOURCE;
	case 0x83: /* Reservation Conflict */
		return RISER_BLK_RESERVED;
	default:
		return RISER_BLK_TARGET;
	}
}

static enum riser_blk_status media_status(unsigned sc)
{
	switch (sc) {
	case 0x82: /* End-to-end Guard, Application Tag and Reference Tag Check Error */
	case 0x83:
	case 0x84:
	case 0x85: /* Compare Failure */
		return RISER_BLK_PROTECTION;
	case 0x86: /* Access Denied */
		return RISER_BLK_TARGET;
	default:
		return RISER_BLK_MEDIUM;
	}
}

static enum riser_blk_status host_status(uint32_t status)
{
	switch (status) {
	case RISER_NVME_HOST_UNKNOWN:
		return RISER_BLK_UNKNOWN_OUTCOME;
	case RISER_NVME_HOST_OFFLINE:
		return RISER_BLK_OFFLINE;
	case RISER_NVME_HOST_TIMEOUT:
		return RISER_BLK_TIMEOUT;
	case RISER_NVME_HOST_NOMEM:
		return RISER_BLK_RESOURCE;
	case RISER_NVME_HOST_GUARDED:
	case RISER_NVME_HOST_INVALID:
		return RISER_BLK_INVALID;
	default:
		return RISER_BLK_IOERR;
	}
}

static cold
enum riser_blk_status failed(struct riser_blk_io *io, uint32_t status)
{
	if (status & RISER_NVME_HOST)
		return host_status(status);
	io->raw_status = status & 0x7ff; /* without DNR and MORE */
	switch (status >> 8 & 7) {
	case 0:
		return generic_status(status & 0xff);
	case 2:
		return media_status(status & 0xff);
	case 3:
		return RISER_BLK_TRANSPORT;
	default:
		return RISER_BLK_TARGET;
	}
}

static void on_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct io_priv *p = container_of((void **)(void *)req, struct io_priv, leaf[0]);
	struct riser_blk_io *io = container_of((void **)(void *)p, struct riser_blk_io, priv[0]);

	blk_end(io, likely(!status) ? RISER_BLK_OK : failed(io, status));
}

/* The driver did not take it. */
static cold
void refused(struct nvme_map *m, struct riser_blk_io *io, int rc)
{
	bool data = io->op == RISER_BLK_READ || io->op == RISER_BLK_WRITE ||
		    io->op == RISER_BLK_COMPARE;

	if (rc == -EAGAIN)
		blk_again(&m->map, io);
	else if ((rc == -EFAULT || rc == -EINVAL) && data)
		blk_bounce(&m->map, io);
	else if (rc == -ENODEV)
		blk_done(io, RISER_BLK_OFFLINE);
	else
		blk_done(io, RISER_BLK_INVALID);
}

static cold
int submit_other(struct nvme_map *m, struct riser_blk_io *io, struct riser_nvme_req *req)
{
	static const uint8_t opcodes[] = { [RISER_BLK_READ] = RISER_NVME_IO_READ,
					   [RISER_BLK_WRITE] = RISER_NVME_IO_WRITE,
					   [RISER_BLK_COMPARE] = RISER_NVME_IO_COMPARE };
	uint32_t fua = io->flags & RISER_BLK_FUA ? RISER_NVME_FUA : 0;
	uint32_t count = io->count >> m->shift;
	uint64_t lba = io->sector >> m->shift;
	struct riser_nvme_dsm_range range = { .slba = to_le64(lba), .nlb = to_le32(count) };

	switch (io->op) {
	case RISER_BLK_FLUSH:
		return riser_nvme_flush(m->q, m->ns, req);
	case RISER_BLK_DISCARD:
		return riser_nvme_deallocate(m->q, m->ns, req, &range, 1);
	case RISER_BLK_WRITE_ZEROES:
		return riser_nvme_write_zeroes(m->q, m->ns, req, lba, count | fua,
					       !(io->flags & RISER_BLK_NOUNMAP));
	default:
		return riser_nvme_rwv(m->q, m->ns, req, opcodes[io->op], io->iov, io->iovcnt,
				      io->iov_off, lba, count | fua);
	}
}

static void nvme_submit(struct blk_map *map, struct riser_blk_io *io)
{
	struct nvme_map *m = container_of(map, struct nvme_map, map);
	struct riser_nvme_req *req = (struct riser_nvme_req *)(void *)io_priv(io)->leaf;
	int rc;

	req->done = on_done;
	if (unlikely((io->op | io->flags << 8) > RISER_BLK_WRITE || io->iovcnt != 1)) {
		rc = submit_other(m, io, req);
	} else {
		char *buf = (char *)io->iov->iov_base + io->iov_off;
		uint64_t lba = io->sector >> m->shift;
		uint32_t count = io->count >> m->shift;

		if (io->op == RISER_BLK_READ)
			rc = riser_nvme_read(m->q, m->ns, req, buf, lba, count);
		else
			rc = riser_nvme_write(m->q, m->ns, req, buf, lba, count);
	}
	if (unlikely(rc))
		refused(m, io, rc);
}

/* No queue pair is left, which @err says: through another owner's. */
static int share(struct riser_blk_channel *c, struct nvme_dev *d, struct blk_map **out,
		 struct riser_err *err)
{
	struct nvme_shared *n = nvme_shared_least(d->h, c->owner->x);
	int rc;

	if (!n)
		return -EBUSY;
	rc = blk_map_hop(c, n->x, out, err);
	nvme_shared_put(n, false);
	return rc;
}

static int nvme_map_new(struct riser_blk *b, void *table, struct riser_blk_channel *c,
			struct blk_map **out, struct riser_err *err)
{
	struct nvme_map *m = calloc(1, sizeof(*m));
	struct riser_nvme_ns_info info;
	struct nvme_dev *d = b->priv;
	int rc;

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a channel");
	blk_map_init(&m->map, b, c);
	rc = nvme_shared_get(d->h, c->owner->x, d->irq, c->opts.is_home, &m->queue, err);
	if (rc) {
		blk_map_free(&m->map);
		return rc == -EBUSY && !c->opts.is_home ? share(c, d, out, err) : rc;
	}
	riser_nvme_ns_get_info(d->ns, &info);
	m->q = m->queue->q;
	m->ns = d->ns;
	m->shift = (unsigned)__builtin_ctz(info.block_size) - RISER_SECTOR_SHIFT;
	*out = &m->map;
	return 0;
}

static void nvme_map_free(struct blk_map *map)
{
	struct nvme_map *m = container_of(map, struct nvme_map, map);

	if (m->queue)
		nvme_shared_put(m->queue, map->c->started);
	free(m);
}

static void nvme_start(struct blk_map *map)
{
	nvme_shared_adopt(container_of(map, struct nvme_map, map)->queue);
}

static void nvme_stats(struct blk_map *map, struct riser_blk_stats *stats)
{
	struct riser_nvme_qpair_info info;

	riser_nvme_qpair_get_info(container_of(map, struct nvme_map, map)->q, &info);
	stats->retries += info.retries;
}

static int nvme_buf_alloc(struct riser_blk *b, size_t len, void **out, struct riser_err *err)
{
	return riser_nvme_buf_alloc(((struct nvme_dev *)b->priv)->h, len, out, err);
}

static void nvme_buf_free(struct riser_blk *b, void *buf, size_t len)
{
	riser_nvme_buf_free(((struct nvme_dev *)b->priv)->h, buf, len);
}

static void nvme_close(struct riser_blk *b)
{
	struct nvme_dev *d = b->priv;

	if (d->watches)
		nvme_unwatch(d->h->ctrl, &d->watch);
	riser_nvme_ns_close(d->ns);
	riser_nvme_close(d->h);
	free(d);
}

static void on_event(struct listener *l, unsigned event)
{
	struct nvme_dev *d = container_of(l, struct nvme_dev, watch);

	if (event == NVME_EVENT_GONE)
		blk_notify(d->b, RISER_BLK_EVENT_GONE);
	else if ((event & 7) == RISER_NVME_AER_NOTICE &&
		 (event >> 8 & 0xff) == RISER_NVME_AER_NOTICE_NS_CHANGED)
		blk_look(d->b);
}

static void nvme_listen(struct riser_blk *b)
{
	struct nvme_dev *d = b->priv;

	if (d->watches)
		return;
	d->watches = true;
	d->b = b;
	d->watch.fn = on_event;
	nvme_watch(d->h->ctrl, &d->watch);
}

static int nvme_refresh(struct riser_blk *b, struct riser_exec *x, struct blk_current *now,
			struct riser_err *err)
{
	struct nvme_dev *d = b->priv;
	int rc = nvme_ns_look(d->ns, x, &d->found, err);

	if (rc)
		return rc;
	now->sectors = le64(d->found.nsze) << (d->ns->shift - RISER_SECTOR_SHIFT);
	now->read_only |= d->found.nsattr & 1;
	return 0;
}

static void nvme_refreshed(struct riser_blk *b)
{
	struct nvme_dev *d = b->priv;

	nvme_ns_resize(d->ns, &d->found);
}

static const struct blk_ops nvme_ops = {
	.size = sizeof(nvme_ops),
	.close = nvme_close,
	.map_new = nvme_map_new,
	.map_free = nvme_map_free,
	.submit = nvme_submit,
	.listen = nvme_listen,
	.refresh = nvme_refresh,
	.refreshed = nvme_refreshed,
	.start = nvme_start,
	.buf_alloc = nvme_buf_alloc,
	.buf_free = nvme_buf_free,
	.stats = nvme_stats,
};

/* Identify data is padded with spaces (§5.17.2). Return: @out. */
static char *trimmed(char *out, const char *text, size_t len)
{
	while (len && (text[len - 1] == ' ' || !text[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++)
		out[i] = text[i] >= ' ' && text[i] < 0x7f ? text[i] : '?';
	out[len] = 0;
	return out;
}

static void describe(struct riser_blk *b)
{
	struct nvme_dev *d = b->priv;
	const struct riser_nvme_id_ctrl *id = riser_nvme_id(d->h);
	char model[sizeof(id->mn) + 1], serial[sizeof(id->sn) + 1];
	struct riser_nvme_ns_info ns;
	struct riser_nvme_info info;
	unsigned shift;

	riser_nvme_ns_get_info(d->ns, &ns);
	riser_nvme_get_info(d->h, &info);
	shift = (unsigned)__builtin_ctz(ns.block_size) - RISER_SECTOR_SHIFT;
	b->sectors = ns.blocks << shift;
	b->limits.logical_block = b->limits.physical_block = ns.block_size;
	b->limits.max_sectors = ns.max_blocks << shift;
	b->limits.max_zeroes_sectors = ns.max_zeroes << shift;
	/* An I/O is not longer than UINT32_MAX sectors: that is no limit. */
	b->limits.max_discard_sectors =
		(uint32_t)min_of((uint64_t)ns.max_range << shift, UINT32_MAX);
	b->limits.buf_align = 4;
	b->limits.reach = d->h->ctrl->pci->dma.own ? BLK_REACH_OWN : BLK_REACH_REGISTERED;
	b->read_only = ns.id->nsattr & 1; /* write protected (§8.12) */
	b->write_cache = info.volatile_write_cache;
	b->fua = true;
	b->compare = le16(id->oncs) & 1;
	b->discard = le16(id->oncs) >> 2 & 1;
	b->write_zeroes = le16(id->oncs) >> 3 & 1;
	snprintf(b->description, sizeof(b->description), "NVMe namespace %u of %s (serial %s)",
		 ns.nsid, trimmed(model, id->mn, sizeof(id->mn)),
		 trimmed(serial, id->sn, sizeof(id->sn)));
}

/* Who opens the same URI, whatever its keys' order, shares the controller. */
static int identify(struct riser_blk *b)
{
	struct nvme_dev *d = b->priv;
	struct riser_nvme_ns_info ns;

	riser_nvme_ns_get_info(d->ns, &ns);
	if (asprintf(&b->identity, "%s namespace %u", d->h->ctrl->pci->name, ns.nsid) >= 0)
		return 0;
	b->identity = NULL;
	return -ENOMEM;
}

static int open_namespace(struct riser *r, const struct uri *u, uint32_t flags, struct nvme_dev *d,
			  struct riser_err *err)
{
	struct riser_nvme_opts opts = { .size = sizeof(opts),
					.flags = flags & RISER_BLK_RDWR ? RISER_NVME_RDWR : 0 };
	static const char *const without[] = { "nsid", NULL };
	const char *nsid = uri_get(u, "nsid"), *irq = uri_get(u, "irq");
	uint64_t n = 0;
	char *uri;
	int rc;

	if (nsid && (parse_u64(nsid, &n) || !n || n >= RISER_NVME_NSID_ALL))
		return err_set(err, -EINVAL, "%s: nsid= wants a number from 1, not '%s'", u->scheme,
			       nsid);
	if (irq && strcmp(irq, "0") && strcmp(irq, "1"))
		return err_set(err, -EINVAL, "%s: irq= wants 0 or 1, not '%s'", u->scheme, irq);
	d->irq = irq && *irq == '1';
	uri = uri_canonical(u, without);
	if (!uri)
		return err_set(err, -ENOMEM, "no memory for a URI");
	rc = riser_nvme_open(r, uri, &opts, &d->h, err);
	free(uri);
	return rc ? rc : riser_nvme_ns_open(d->h, NULL, (uint32_t)n, &d->ns, err);
}

static int nvme_open(struct riser *r, const struct uri *u, uint32_t flags, struct riser_blk **out,
		     struct riser_err *err)
{
	struct nvme_dev *d = calloc(1, sizeof(*d));
	struct riser_blk *b;
	int rc;

	if (!d)
		return err_set(err, -ENOMEM, "no memory for a namespace");
	rc = blk_new(r, &nvme_ops, d, &b, err);
	if (rc) {
		free(d);
		return rc;
	}
	rc = open_namespace(r, u, flags, d, err);
	if (rc) {
		blk_put(b);
		return rc;
	}
	describe(b);
	rc = identify(b);
	if (rc) {
		blk_put(b);
		return err_set(err, rc, "no memory for a namespace");
	}
	*out = b;
	return 0;
}

static bool nvme_drives(uint32_t id, uint32_t class)
{
	return class == PCI_CLASS_NVME;
}

const struct blk_source source_nvme = {
	.size = sizeof(source_nvme),
	.drives = nvme_drives,
	.open = nvme_open,
};
