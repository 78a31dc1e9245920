/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A virtio network device as a port: opening, queues, settings. */
#include "base/err.h"
#include "base/exec.h"
#include "base/riser.h"
#include "net/port/virtio.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is all of a pool's memory as far from its IOVAs? */
static void look_at_pool(struct reach *reach, const struct riser_pool *pool)
{
	const struct riser_dma_space *s = reach->space;
	const uint8_t *va = pool->mem;
	uint64_t first = dma_translate(s, va), page = 1ull << s->page_shift;
	bool plain = first != DMA_NONE;

	for (size_t off = 0; plain && off < pool->mem_len; off += page)
		plain = dma_translate(s, va + off) == first + off;
	reach->delta = first - (uintptr_t)va;
	reach->plain = plain ? pool : NULL;
}

int vport_queue_open(struct riser_port *p, unsigned index, struct riser_exec *x,
		     struct riser_pool *pool, struct riser_port_queue **out, struct riser_err *err)
{
	struct virtio_net *n = vport_of(p)->n;
	struct vqueue *v = aligned_alloc(64, align_up(sizeof(*v), 64));
	int rc;

	if (!v)
		return err_set(err, -ENOMEM, "no memory for a queue");
	memset(v, 0, sizeof(*v));
	v->n = n;
	v->gen = &n->pairs[index].gen;
	v->q.pool = pool;
	v->q.index = index;
	v->q.tells = RISER_WATCH_IN;
	v->q.watch.fd = n->pairs[index].event_fd;
	v->reach.space = n->d->dma;
	if (pool)
		look_at_pool(&v->reach, pool);
	rc = virtio_net_take(n, index, &v->own);
	if (rc) {
		free(v);
		return err_set(err, rc, "%s", n->why.text);
	}
	vqueue_adopt(v);
	virtio_net_spread(n);
	*out = &v->q;
	return 0;
}

void vport_queue_close(struct riser_port_queue *q)
{
	struct vqueue *v = vqueue_of(q);

	v->n->pairs[q->index].open = false;
	virtio_net_spread(v->n);
	virtio_net_drop(v->n, q->index);
	vqueue_empty(v, &v->own);
	virtq_free(v->own.rx);
	virtq_free(v->own.tx);
	free(v);
}

void vport_refresh(struct riser_port *p)
{
	struct virtio_net_status s;

	if (virtio_net_status(vport_of(p)->n, &s)) {
		p->info.link = false;
		return;
	}
	p->info.link = s.link;
	p->info.mtu = s.mtu;
	p->info.speed = s.speed;
	p->info.announce = s.announce;
	p->info.full_duplex = s.full_duplex;
	memcpy(p->info.mac, s.mac, sizeof(p->info.mac));
}

static uint32_t offloads_of(const struct virtio_dev *d)
{
	static const struct {
		unsigned feature;
		uint32_t offload;
	} map[] = {
		{ RISER_VIRTIO_NET_F_CSUM, RISER_PORT_CSUM },
		{ RISER_VIRTIO_NET_F_HOST_TSO4, RISER_PORT_TSO4 },
		{ RISER_VIRTIO_NET_F_HOST_TSO6, RISER_PORT_TSO6 },
		{ RISER_VIRTIO_NET_F_HOST_USO, RISER_PORT_USO },
		{ RISER_VIRTIO_NET_F_HOST_ECN, RISER_PORT_ECN },
		{ RISER_VIRTIO_NET_F_GUEST_CSUM, RISER_PORT_RX_CSUM },
		{ RISER_VIRTIO_NET_F_GUEST_TSO4, RISER_PORT_RX_LARGE },
		{ RISER_VIRTIO_NET_F_GUEST_TSO6, RISER_PORT_RX_LARGE },
		{ RISER_VIRTIO_NET_F_HASH_REPORT, RISER_PORT_RX_HASH },
	};
	uint32_t offloads = 0;

	for (size_t i = 0; i < array_len(map); i++)
		offloads |= virtio_has(d, map[i].feature) ? map[i].offload : 0;
	return offloads;
}

int vport_open(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
	       struct riser_port **out, struct riser_err *err)
{
	struct virtio_net_opts o = { .pairs = opts->queues,
				     .size = opts->descriptors,
				     .rx_csum = opts->offloads & RISER_PORT_RX_CSUM,
				     .rx_large = opts->offloads & RISER_PORT_RX_LARGE,
				     .rx_hash = opts->offloads & RISER_PORT_RX_HASH };
	struct vport *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "no memory for a port");
	rc = virtio_net_open(r, u, &o, &p->n, err);
	if (rc) {
		free(p);
		return rc;
	}
	p->port.info.queues = p->n->npairs;
	p->port.info.max_queues = p->n->max_pairs;
	p->port.info.offloads = offloads_of(p->n->d);
	p->port.info.standby = virtio_has(p->n->d, RISER_VIRTIO_NET_F_STANDBY);
	p->port.info.description = p->description;
	snprintf(p->description, sizeof(p->description), "virtio network device, %s",
		 p->n->d->t->name);
	vport_refresh(&p->port);
	*out = &p->port;
	return 0;
}

void vport_close(struct riser_port *p)
{
	struct vport *v = vport_of(p);

	virtio_net_close(v->n);
	free(v);
}

int vport_mem_alloc(struct riser_port *p, size_t len, void **out, struct riser_err *err)
{
	struct virtio_dev *d = vport_of(p)->n->d;
	struct dma_mem mem;
	int rc;

	if (!d->dma->own)
		return riser_mem_alloc(d->r, len, out, err);
	rc = dma_alloc(d->dma, len, 1ull << d->dma->page_shift, &mem, err);
	*out = rc ? NULL : mem.va;
	return rc;
}

void vport_mem_free(struct riser_port *p, void *va, size_t len)
{
	struct virtio_dev *d = vport_of(p)->n->d;
	struct dma_mem mem = { .va = va, .len = len };

	if (d->dma->own)
		dma_free(d->dma, &mem);
	else
		riser_mem_free(d->r, va);
}

static int set_offloads(struct virtio_net *n, uint32_t offloads, struct riser_err *err)
{
	static const struct {
		uint32_t offload;
		uint64_t features;
	} map[] = {
		{ RISER_PORT_RX_CSUM, VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_CSUM) },
		{ RISER_PORT_RX_LARGE, VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_TSO4) |
					       VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_TSO6) |
					       VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_ECN) |
					       VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_USO4) |
					       VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_USO6) },
	};
	uint64_t features = 0;

	for (size_t i = 0; i < array_len(map); i++)
		if (offloads & map[i].offload)
			features |= map[i].features & n->agreed;
	return virtio_net_set_offloads(n, features, err);
}

static int set_hash(struct virtio_net *n, const struct riser_port_hash *h, struct riser_err *err)
{
	const struct virtio_net_hash hash = {
		.types = h->types,
		.key = h->key,
		.key_len = (uint8_t)h->key_len,
		.queues = h->queues,
		.entries = h->entries,
		.unclassified = h->unclassified,
	};

	return virtio_net_set_hash(n, &hash, err);
}

int vport_set(struct riser_port *p, enum port_setting what, const void *arg, struct riser_err *err)
{
	struct virtio_net *n = vport_of(p)->n;
	const struct riser_port_coalesce *c = arg;
	const struct port_filter *filter = arg;
	const struct port_vlan *vlan = arg;

	switch (what) {
	case PORT_SET_RX_MODE:
		return virtio_net_set_rx_mode(n, *(const uint32_t *)arg, err);
	case PORT_SET_MAC:
		return virtio_net_set_mac(n, arg, err);
	case PORT_SET_FILTER:
		return virtio_net_set_filter(n, filter->macs, filter->count, err);
	case PORT_SET_VLAN:
		return virtio_net_set_vlan(n, vlan->id, vlan->on, err);
	case PORT_SET_OFFLOADS:
		return set_offloads(n, *(const uint32_t *)arg, err);
	case PORT_SET_ANNOUNCED:
		return virtio_net_announced(n, err);
	case PORT_SET_HASH:
		return set_hash(n, arg, err);
	case PORT_SET_COALESCE:
		return virtio_net_set_coalesce(n, c->transmit, c->queue, c->packets, c->usecs, err);
	case PORT_SET_RESET:
		return virtio_net_restart(n, "it was asked for", err);
	}
	return err_set(err, -EOPNOTSUPP, "%s: unknown setting", n->d->name);
}

unsigned vport_explain(struct riser_port *p, struct riser_virtio_feature *rows)
{
	return virtio_explain(vport_of(p)->n->d, rows);
}

int vport_resize(struct riser_port_queue *q, unsigned descriptors, struct riser_err *err)
{
	struct vqueue *v = vqueue_of(q);

	return virtio_net_resize(v->n, q->index, descriptors, err);
}
