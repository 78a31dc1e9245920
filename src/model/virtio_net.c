/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/virtio_net.h"
#include "base/err.h"
#include "net/offload.h"
#include "net/port.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define BURST     32u
#define BUDGET    256u /* packets of one queue in a step */
#define BUFFER    2048u
#define FRAME_MAX (64 * KiB + 64)
#define FRAME_MIN 14u /* an Ethernet header */

/* How long a port is left alone that cannot say when it has something. */
#define PORT_NS (50 * NS_PER_US)

static struct vdev_queue *rx_of(struct vnet *n, unsigned pair)
{
	return &n->dev.queues[2 * pair];
}

static struct vdev_queue *tx_of(struct vnet *n, unsigned pair)
{
	return &n->dev.queues[2 * pair + 1];
}

/* Of each packet's header (§5.1.6.1). */
static unsigned header_of(const struct vdev *v)
{
	if (vdev_has(v, RISER_VIRTIO_NET_F_HASH_REPORT))
		return sizeof(struct riser_virtio_net_hdr_hash);
	if (vdev_has(v, RISER_VIRTIO_F_VERSION_1) || vdev_has(v, RISER_VIRTIO_NET_F_MRG_RXBUF))
		return sizeof(struct riser_virtio_net_hdr);
	return RISER_VIRTIO_NET_HDR_LEGACY;
}

static void drop(struct vnet *n, struct riser_pkt *pkt)
{
	n->dev.counters.dropped++;
	riser_pkt_put(pkt);
}

/* It waits for its pair's driver. */
static void steer(struct vnet *n, struct riser_pkt *pkt)
{
	struct vnet_pair *p = &n->pairs[vnet_pair_of(n, pkt)];

	if (!n->cfg.link || p->nwaiting == VNET_WAITING || !vnet_wants(n, pkt)) {
		drop(n, pkt);
		return;
	}
	p->waiting[(p->head + p->nwaiting++) % VNET_WAITING] = pkt;
}

/* The GUEST_… features without which a driver may not be given such a packet (§5.1.6.4). */
static uint64_t guest_needs(const struct riser_virtio_net_hdr *h)
{
	uint64_t need = 0;

	if (h->flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM)
		need |= 1ull << RISER_VIRTIO_NET_F_GUEST_CSUM;
	if (h->gso_type & RISER_VIRTIO_NET_GSO_ECN)
		need |= 1ull << RISER_VIRTIO_NET_F_GUEST_ECN;
	switch (h->gso_type & ~RISER_VIRTIO_NET_GSO_ECN) {
	case RISER_VIRTIO_NET_GSO_NONE:
		return need;
	case RISER_VIRTIO_NET_GSO_TCPV4:
		return need | 1ull << RISER_VIRTIO_NET_F_GUEST_TSO4;
	case RISER_VIRTIO_NET_GSO_TCPV6:
		return need | 1ull << RISER_VIRTIO_NET_F_GUEST_TSO6;
	case RISER_VIRTIO_NET_GSO_UDP:
		return need | 1ull << RISER_VIRTIO_NET_F_GUEST_UFO;
	default:
		return need | 1ull << RISER_VIRTIO_NET_F_GUEST_USO4 |
		       1ull << RISER_VIRTIO_NET_F_GUEST_USO6;
	}
}

/* A packet that is not to be cut. */
static void admit_one(struct vnet *n, struct riser_pkt *pkt)
{
	if (pkt->flags & RISER_PKT_HDR && guest_needs(&pkt->hdr) & ~n->guest) {
		if (!offload_is_sane(pkt)) {
			drop(n, pkt);
			return;
		}
		offload_csum(pkt);
		pkt->flags &= ~RISER_PKT_HDR;
	}
	steer(n, pkt);
}

/* What the driver did not say it can deal with is done for it. */
static void admit(struct vnet *n, struct riser_pkt *pkt)
{
	struct offload_cut cut = { 0 };
	struct riser_pkt *piece;

	if (!(pkt->flags & RISER_PKT_HDR) || !pkt->hdr.gso_type ||
	    !(guest_needs(&pkt->hdr) & ~n->guest)) {
		admit_one(n, pkt);
		return;
	}
	if (offload_cut_begin(&cut, pkt, BUFFER)) {
		drop(n, pkt);
		return;
	}
	while ((piece = offload_cut_next(&cut, n->pool)))
		admit_one(n, piece);
	if (cut.pkt)
		drop(n, cut.pkt);
}

/* A legacy device without ANY_LAYOUT has its header in a descriptor of its own (§5.1.6.6). */
static bool layout_fits(struct vnet *n, const struct vring_piece *first, bool writes)
{
	const struct vdev *v = &n->dev;

	if (vdev_has(v, RISER_VIRTIO_F_VERSION_1) || vdev_has(v, RISER_VIRTIO_F_ANY_LAYOUT) ||
	    (writes && vdev_has(v, RISER_VIRTIO_NET_F_MRG_RXBUF)) || first->len == n->header)
		return true;
	vdev_blame(&n->dev, "a header shares its descriptor, without ANY_LAYOUT");
	return false;
}

/* Into as many buffers as it takes. Return: NULL where there are not so many. */
static struct riser_pkt *gather(struct vnet *n, struct vring *q, struct vring_cursor *at,
				uint32_t total)
{
	struct riser_pkt *first = riser_pkt_get(n->pool), *last = first;

	for (uint32_t done = 0; first && done < total;) {
		uint32_t part = min_of(total - done, BUFFER);

		if (done) {
			last->next = riser_pkt_get(n->pool);
			last = last->next;
		}
		if (!last || vring_read(q, at, last->data, part) != part) {
			riser_pkt_put(first);
			return NULL;
		}
		last->len = part;
		done += part;
	}
	if (first)
		first->total = total;
	return first;
}

/* Does the header ask only for what was negotiated, within the packet? */
static bool header_fits(const struct vdev *v, const struct riser_virtio_net_hdr *h, uint32_t total)
{
	unsigned gso = h->gso_type & ~RISER_VIRTIO_NET_GSO_ECN, need;

	if (h->flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!vdev_has(v, RISER_VIRTIO_NET_F_CSUM) ||
		    le16(h->csum_start) + le16(h->csum_offset) + 2u > total)
			return false;
	}
	switch (gso) {
	case RISER_VIRTIO_NET_GSO_NONE:
		return !h->gso_type;
	case RISER_VIRTIO_NET_GSO_TCPV4:
		need = RISER_VIRTIO_NET_F_HOST_TSO4;
		break;
	case RISER_VIRTIO_NET_GSO_TCPV6:
		need = RISER_VIRTIO_NET_F_HOST_TSO6;
		break;
	case RISER_VIRTIO_NET_GSO_UDP:
		need = RISER_VIRTIO_NET_F_HOST_UFO;
		break;
	case RISER_VIRTIO_NET_GSO_UDP_L4:
		need = RISER_VIRTIO_NET_F_HOST_USO;
		break;
	default:
		return false;
	}
	if (h->gso_type & RISER_VIRTIO_NET_GSO_ECN && !vdev_has(v, RISER_VIRTIO_NET_F_HOST_ECN))
		return false;
	return vdev_has(v, need) && le16(h->gso_size) && le16(h->hdr_len) <= total &&
	       h->flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

/* What the driver transmits in @c, or NULL: it was dropped. */
static struct riser_pkt *take(struct vnet *n, struct vring *q, const struct vring_chain *c)
{
	struct vring_cursor at = vring_out(c);
	struct riser_virtio_net_hdr_hash h = { 0 };
	struct riser_pkt *pkt;
	uint32_t total;

	if (c->nin || c->out < n->header + FRAME_MIN || c->out > n->header + FRAME_MAX) {
		vdev_blame(&n->dev, "a packet to transmit has an impossible length");
		return NULL;
	}
	if (!layout_fits(n, c->piece, false))
		return NULL;
	total = (uint32_t)c->out - n->header;
	if (vring_read(q, &at, &h, n->header) != n->header)
		return NULL;
	if (!header_fits(&n->dev, &h.h, total)) {
		vdev_blame(&n->dev, "a packet's header asks for what was not negotiated");
		return NULL;
	}
	pkt = gather(n, q, &at, total);
	n->dev.counters.dropped += !pkt;
	if (pkt && (h.h.flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM || h.h.gso_type)) {
		pkt->flags |= RISER_PKT_HDR;
		pkt->hdr = h.h;
	}
	return pkt;
}

static void transmit(struct vnet *n, struct vnet_pair *p, struct riser_pkt *pkt)
{
	int sent;

	n->dev.counters.tx_packets++;
	n->dev.counters.tx_bytes += pkt->total;
	if (n->cfg.loop && n->cfg.link) {
		admit(n, pkt);
		return;
	}
	if (!n->q || !n->cfg.link) {
		drop(n, pkt);
		return;
	}
	sent = riser_port_tx(n->q, &pkt, 1);
	if (sent < 0)
		drop(n, pkt);
	else if (!sent)
		p->unsent = pkt;
}

/* Return: whether the port has room again. */
static bool retry(struct vnet *n, struct vnet_pair *p, uint64_t *next)
{
	int sent;

	if (!p->unsent)
		return true;
	sent = riser_port_tx(n->q, &p->unsent, 1);
	if (sent < 0)
		drop(n, p->unsent);
	if (sent) {
		p->unsent = NULL;
		return true;
	}
	*next = min_of(*next, n->dev.now + PORT_NS);
	return false;
}

static unsigned run_tx(struct vnet *n, unsigned pair, uint64_t *next)
{
	struct vdev_queue *q = tx_of(n, pair);
	struct vnet_pair *p = &n->pairs[pair];
	struct vring_chain c;
	unsigned done = 0;

	if (!vdev_may_run(&n->dev, 2 * pair + 1, next) || !retry(n, p, next))
		return 0;
	vring_disarm(&q->ring);
	while (done < BUDGET && !p->unsent && !q->paused && n->dev.running) {
		struct riser_pkt *pkt;

		if (!vring_get(&q->ring, &c)) {
			q->kicked = vring_arm(&q->ring);
			if (!q->kicked)
				break;
			continue;
		}
		pkt = take(n, &q->ring, &c);
		vdev_use(&n->dev, 2 * pair + 1, &c, 0);
		if (pkt)
			transmit(n, p, pkt);
		done++;
	}
	vdev_publish(&n->dev, 2 * pair + 1);
	if (p->unsent)
		*next = min_of(*next, n->dev.now + PORT_NS);
	return done;
}

#define NEVER_FITS UINT_MAX

/* How many chains @len bytes take, and what they have room for. */
static unsigned count_chains(struct vnet *n, struct vring *q, uint64_t len, uint64_t *room)
{
	bool mergeable = vdev_has(&n->dev, RISER_VIRTIO_NET_F_MRG_RXBUF);
	struct vring_chain c;
	unsigned count = 0;

	for (*room = 0; *room < len && (!count || mergeable) && vring_get(q, &c); count++) {
		*room += c.in;
		if (c.nout || c.in < n->header)
			vring_wrong(q, "a buffer to receive into has no room for a header");
		else if (!layout_fits(n, c.piece, true))
			vring_wrong(q, "a buffer to receive into is laid out as it may not be");
	}
	return q->wrong ? 0 : count;
}

/*
 * Return: how many of the driver's buffers @len bytes take; NEVER_FITS; or 0: there are too few,
 * and the driver will announce more of them.
 */
static unsigned chains_for(struct vnet *n, struct vring *q, uint64_t len)
{
	bool mergeable = vdev_has(&n->dev, RISER_VIRTIO_NET_F_MRG_RXBUF), more;
	struct vring_mark mark = vring_mark(q);
	unsigned count;
	uint64_t room;

	do {
		count = count_chains(n, q, len, &room);
		more = room < len && (!count || mergeable) && vring_arm(q);
		vring_rewind(q, mark);
	} while (more);
	if (room >= len)
		return count;
	return count && !mergeable ? NEVER_FITS : 0;
}

/* Faults: offloads that the packet cannot have had, another way each time. */
static void spoil_header(struct vnet *n, unsigned pair, struct riser_virtio_net_hdr *h)
{
	static const struct riser_virtio_net_hdr wild[] = {
		{ .flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .csum_start = { 0xffff },
		  .csum_offset = { 0xffff } },
		{ .gso_type = 0x7f },
		{ .flags = RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .gso_type = RISER_VIRTIO_NET_GSO_TCPV4,
		  .hdr_len = { 0xffff } },
		{ .flags = 0xff, .gso_type = RISER_VIRTIO_NET_GSO_TCPV6, .gso_size = { 0xffff } },
	};
	uint64_t value = 0;

	if (vdev_fault(&n->dev, VFAULT_HEADER, 2 * pair, &value))
		*h = wild[n->dev.counters.rx_packets % array_len(wild)];
}

/* What the driver is told of a packet. */
static void fill_header(struct vnet *n, unsigned pair, const struct riser_pkt *pkt,
			uint64_t buffers, struct riser_virtio_net_hdr_hash *h)
{
	*h = (struct riser_virtio_net_hdr_hash){ 0 };
	if (pkt->flags & RISER_PKT_HDR)
		h->h = pkt->hdr;
	spoil_header(n, pair, &h->h);
	vdev_fault(&n->dev, VFAULT_NUM_BUFFERS, 2 * pair, &buffers);
	h->h.num_buffers = to_le16((uint16_t)buffers);
	if (vdev_has(&n->dev, RISER_VIRTIO_NET_F_HASH_REPORT)) {
		uint32_t hash;

		h->hash_report = to_le16((uint16_t)vnet_hash(n, pkt, &hash));
		h->hash_value = to_le32(hash);
	}
}

/* Bytes of a packet, on and on. */
struct pkt_cursor {
	const struct riser_pkt *seg;
	uint32_t off;
};

static uint32_t write_chain(struct vring *q, struct vring_cursor *at, uint64_t room,
			    struct pkt_cursor *from)
{
	uint64_t done = 0;

	while (done < room && from->seg) {
		size_t part = (size_t)min_of(room - done, (uint64_t)(from->seg->len - from->off));

		if (vring_write(q, at, from->seg->data + from->off, part) != part)
			break;
		done += part;
		from->off += (uint32_t)part;
		if (from->off == from->seg->len)
			*from = (struct pkt_cursor){ .seg = from->seg->next };
	}
	return (uint32_t)done;
}

/* Return: whether the packet is gone. */
static bool deliver(struct vnet *n, unsigned pair, struct riser_pkt *pkt)
{
	struct vring *q = &rx_of(n, pair)->ring;
	unsigned count = chains_for(n, q, n->header + pkt->total);
	struct pkt_cursor from = { .seg = pkt };
	struct riser_virtio_net_hdr_hash h;

	if (!count)
		return false;
	if (count == NEVER_FITS) {
		drop(n, pkt);
		return true;
	}
	fill_header(n, pair, pkt, count, &h);
	for (unsigned i = 0; i < count && !q->wrong; i++) {
		unsigned header = i ? 0 : n->header;
		struct vring_cursor at;
		struct vring_chain c;

		if (!vring_get(q, &c))
			break;
		at = vring_in(&c);
		if (vring_write(q, &at, &h, header) == header)
			vdev_use(&n->dev, 2 * pair, &c,
				 header + write_chain(q, &at, c.in - header, &from));
	}
	n->dev.counters.rx_packets++;
	n->dev.counters.rx_bytes += pkt->total;
	riser_pkt_put(pkt);
	return true;
}

/* The driver kicks a receive queue only while it is known to be short of buffers. */
static unsigned run_rx(struct vnet *n, unsigned pair, uint64_t *next)
{
	struct vdev_queue *q = rx_of(n, pair);
	struct vnet_pair *p = &n->pairs[pair];
	unsigned done = 0;

	if (!vdev_may_run(&n->dev, 2 * pair, next))
		return 0;
	while (p->nwaiting && done < BUDGET && !q->paused && n->dev.running) {
		q->kicked = deliver(n, pair, p->waiting[p->head]);
		if (!q->kicked)
			break;
		p->head = (p->head + 1) % VNET_WAITING;
		p->nwaiting--;
		done++;
	}
	if (done && q->kicked)
		vring_disarm(&q->ring);
	vdev_publish(&n->dev, 2 * pair);
	return done;
}

/* What comes from the port, as far as there is room for it. */
static void poll_port(struct vnet *n, uint64_t *next)
{
	struct riser_pkt *pkts[BURST];
	unsigned room = 0;
	int got;

	for (unsigned i = 0; i < n->active; i++)
		room = max_of(room, VNET_WAITING - n->pairs[i].nwaiting);
	got = riser_port_rx(n->q, pkts, min_of(room, BURST));
	for (int i = 0; i < got; i++)
		admit(n, pkts[i]);
	if (got < 0)
		n->gone = true;
	/* Virtual time passes to what the port says; else who sleeps looks again soon. */
	if (got <= 0 && room)
		*next = min_of(*next,
			       n->dev.r->clock.is_virtual ? n->q->next : n->dev.now + PORT_NS);
}

static unsigned net_run(struct vdev *v, uint64_t *next)
{
	struct vnet *n = vnet_of(v);
	unsigned done = 0;

	unsigned pairs = min_of(vnet_ctrl_queue(n) / 2, n->cfg.pairs);

	if (vdev_has(v, RISER_VIRTIO_NET_F_CTRL_VQ))
		done += vnet_ctrl_run(n, next);
	for (unsigned i = 0; i < pairs && v->running; i++)
		done += run_tx(n, i, next);
	if (n->q && !n->gone && v->running)
		poll_port(n, next);
	for (unsigned i = 0; i < pairs && v->running; i++)
		done += run_rx(n, i, next);
	return done;
}

static void net_forget(struct vnet *n)
{
	for (unsigned i = 0; i < n->cfg.pairs; i++) {
		struct vnet_pair *p = &n->pairs[i];

		for (; p->nwaiting; p->nwaiting--) {
			riser_pkt_put(p->waiting[p->head]);
			p->head = (p->head + 1) % VNET_WAITING;
		}
		if (p->unsent)
			riser_pkt_put(p->unsent);
		p->unsent = NULL;
	}
}

static void net_reset(struct vdev *v)
{
	struct vnet *n = vnet_of(v);

	net_forget(n);
	vnet_hash_reset(n);
	n->active = 1;
	n->announce = false;
	memcpy(v->config, n->cfg.mac, sizeof(n->cfg.mac));
}

static void net_start(struct vdev *v)
{
	struct vnet *n = vnet_of(v);

	n->header = header_of(v);
	n->guest = v->features & VNET_GUEST;
}

void vnet_show_status(struct vnet *n)
{
	n->dev.config[offsetof(struct riser_virtio_net_config, status)] =
		(n->cfg.link ? RISER_VIRTIO_NET_S_LINK_UP : 0) |
		(n->announce ? RISER_VIRTIO_NET_S_ANNOUNCE : 0);
	vdev_config_changed(&n->dev);
}

/* The address is all that may be written, where no command does it (§5.1.4.2). */
static void net_config_write(struct vdev *v, size_t off, const void *buf, size_t len)
{
	if (vdev_has(v, RISER_VIRTIO_NET_F_CTRL_MAC_ADDR) ||
	    off + len > sizeof(((struct riser_virtio_net_config *)NULL)->mac))
		vdev_blame(v, "the configuration was written where it is read-only");
	else
		memcpy(v->config + off, buf, len);
}

static enum vdev_queue_kind net_queue_kind(struct vdev *v, unsigned queue)
{
	if (queue == vnet_ctrl_queue(vnet_of(v)))
		return VDEV_CTRL;
	return queue & 1 ? VDEV_TX : VDEV_RX;
}

static void net_free(struct vdev *v)
{
	vnet_free(vnet_of(v));
}

static const struct vdev_type net_type = {
	.id = RISER_VIRTIO_ID_NET,
	.legacy_only = 1ull << RISER_VIRTIO_NET_F_GSO,
	.run = net_run,
	.reset = net_reset,
	.start = net_start,
	.config_write = net_config_write,
	.queue_kind = net_queue_kind,
	.free = net_free,
};

static int open_port(struct vnet *n, struct riser_err *err)
{
	struct riser_port_opts opts = { .size = sizeof(opts),
					.offloads = RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE };
	int rc = riser_exec_new(n->dev.r, &n->x, err);

	if (!rc)
		rc = riser_port_open(n->dev.r, n->cfg.port, &opts, &n->port, err);
	if (rc)
		return rc;
	rc = riser_pool_new(n->dev.r, n->port, n->cfg.pairs * VNET_WAITING + 2 * FRAME_MAX / BUFFER,
			    BUFFER, &n->pool, err);
	return rc ? rc : riser_port_queue_open(n->port, 0, n->x, n->pool, &n->q, err);
}

static void fill_config(struct vnet *n)
{
	const struct vnet_config *cfg = &n->cfg;
	struct riser_virtio_net_config c = {
		.status = to_le16(cfg->link ? RISER_VIRTIO_NET_S_LINK_UP : 0),
		.max_virtqueue_pairs = to_le16((uint16_t)cfg->pairs),
		.mtu = to_le16((uint16_t)cfg->mtu),
		.speed = to_le32(cfg->speed ? cfg->speed : UINT32_MAX),
		.duplex = !cfg->half_duplex,
		.rss_max_key_size = VNET_KEY_MAX,
		.rss_max_indirection_table_length = to_le16(VNET_TABLE_MAX),
		.supported_hash_types = to_le32(VNET_HASH_TYPES),
	};

	memcpy(c.mac, cfg->mac, sizeof(c.mac));
	memcpy(n->dev.config, &c, sizeof(c));
	n->dev.config_len = sizeof(c);
}

int vnet_new(struct riser *r, const struct vnet_config *cfg, struct vdev_host *host,
	     struct vnet **out, struct riser_err *err)
{
	bool ctrl = cfg->offered >> RISER_VIRTIO_NET_F_CTRL_VQ & 1;
	struct vnet *n = calloc(1, sizeof(*n));
	int rc = -ENOMEM;

	if (!n)
		return err_set(err, rc, "no memory for a model of a network card");
	n->cfg = *cfg;
	n->pairs = calloc(cfg->pairs, sizeof(*n->pairs));
	if (n->pairs)
		rc = vdev_init(&n->dev, r, &net_type, host, 2 * cfg->pairs + ctrl, cfg->size);
	if (rc)
		err_set(err, rc, "no memory for a model of a network card");
	n->dev.offered = cfg->offered;
	n->dev.required = cfg->required;
	if (!rc)
		rc = cfg->port ? open_port(n, err)
			       : riser_pool_new(r, NULL, VNET_WAITING * cfg->pairs + 64, BUFFER,
						&n->pool, err);
	if (!rc && cfg->fault)
		rc = vdev_fault_parse(&n->dev, cfg->fault, err);
	n->cfg.port = n->cfg.fault = NULL; /* pointed into the URI */
	if (rc) {
		vnet_free(n);
		return rc;
	}
	fill_config(n);
	net_reset(&n->dev);
	*out = n;
	return 0;
}

void vnet_free(struct vnet *n)
{
	if (!n)
		return;
	if (n->pairs)
		net_forget(n);
	riser_port_queue_close(n->q);
	riser_pool_free(n->pool);
	riser_port_close(n->port);
	riser_exec_free(n->x);
	vdev_free(&n->dev);
	free(n->pairs);
	free(n);
}
