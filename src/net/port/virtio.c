/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A virtio network device: packets to virtqueues and back.
 *
 * A buffer goes to the device with the virtio header in front of where the data will lie, in the
 * packet's headroom: one descriptor a packet. The cookie of a descriptor is the packet.
 *
 * Nothing that the device wrote is used before it was looked at, once, in a copy: it may write
 * again. Offloads that it announces in a header are looked at by the core.
 */
#include "net/port/virtio.h"
#include "base/event.h"
#include "base/exec.h"
#include "base/riser.h"
#include <errno.h>
#include <string.h>

#define HDR_MAX    sizeof(struct riser_virtio_net_hdr_hash)
#define BURST      64u          /* packets that are moved at once */
#define SEGMENTS   32u          /* descriptors of one packet; more are copied together */
#define TOTAL_MAX  (65535 + 18) /* bytes: IP's largest, an Ethernet header and a VLAN tag */
#define ETH_HEADER 14
#define LOOK_NS    (100 * NS_PER_MS) /* between looks at the configuration, when polled */

/* Where memory lies for the device, in pieces. Return: how many, or 0: it does not reach it all. */
static cold
unsigned map_pieces(const struct vqueue *v, const uint8_t *va, uint32_t len, struct virtq_sg *sg,
		    unsigned max)
{
	const struct riser_dma_space *s = v->reach.space;
	uint64_t page = 1ull << s->page_shift;
	unsigned n = 0;

	while (len) {
		uint32_t part =
			(uint32_t)min_of(page - ((uintptr_t)va & (page - 1)), (uint64_t)len);
		uint64_t iova = dma_translate(s, va);

		if (iova == DMA_NONE)
			return 0;
		if (n && sg[n - 1].iova + sg[n - 1].len == iova) {
			sg[n - 1].len += part;
		} else if (n == max) {
			return 0;
		} else {
			sg[n++] = (struct virtq_sg){ iova, part };
		}
		va += part;
		len -= part;
	}
	return n;
}

/* The same where it is one piece, which it nearly always is. Return: false: it may be several. */
static inline bool map_one(const struct reach *reach, const struct riser_pool *pool,
			   const uint8_t *va, uint32_t len, struct virtq_sg *sg)
{
	uint64_t from = (uint64_t)(uintptr_t)va;

	sg->len = len;
	if (pool == reach->plain) {
		sg->iova = from + reach->delta;
		return true;
	}
	if (unlikely((from ^ (from + len - 1)) >> reach->space->page_shift))
		return false;
	sg->iova = dma_translate(reach->space, va);
	return likely(sg->iova != DMA_NONE);
}

/*
 * Receiving
 */

/* Give the device an empty buffer. Return: 0, or the pool's or the queue's want of room. */
static cold
int post(struct vqueue *v, struct riser_pkt *pkt)
{
	const struct virtio_net *n = v->n;
	uint32_t room = pool_room(pkt) + v->hdr_len;
	struct virtq_sg sg[SEGMENTS];
	unsigned pieces = 1;

	if (unlikely(n->header_apart && !v->mrg)) {
		pieces = map_pieces(v, pkt->data - v->hdr_len, v->hdr_len, sg, SEGMENTS);
		if (pieces == 1)
			pieces += map_pieces(v, pkt->data, room - v->hdr_len, sg + 1, SEGMENTS - 1);
		if (pieces < 2)
			return -EFAULT;
	} else if (unlikely(!map_one(&v->reach, pkt->pool, pkt->data - v->hdr_len, room, sg))) {
		pieces = map_pieces(v, pkt->data - v->hdr_len, room, sg, SEGMENTS);
		if (!pieces)
			return -EFAULT;
	}
	return virtq_add(v->own.rx, sg, 0, pieces, pkt);
}

/* Up to BURST buffers of one piece each. Return: how many; a next one may be in several pieces. */
static unsigned post_burst(struct vqueue *v, unsigned n)
{
	struct riser_pool *pool = v->q.pool;
	struct riser_pkt *pkts[BURST];
	struct virtq_sg sg[BURST];
	const struct reach reach = v->reach;
	uint32_t hdr_len = v->hdr_len, len = pool->size + hdr_len;
	unsigned i;

	for (i = 0; i < n; i++) {
		pkts[i] = pool_get(pool);
		if (unlikely(!pkts[i]))
			break;
		if (likely(map_one(&reach, pool, pkts[i]->data - hdr_len, len, &sg[i])))
			continue;
		pool_put(pkts[i]);
		break;
	}
	if (!i)
		return 0;
	n = virtq_add_burst(v->own.rx, sg, (void *const *)pkts, i, true);
	while (unlikely(i > n))
		pool_put(pkts[--i]);
	return n;
}

static unsigned post_next(struct vqueue *v)
{
	struct riser_pkt *pkt = pool_get(v->q.pool);

	if (!pkt)
		return 0;
	if (!post(v, pkt))
		return 1;
	pool_put(pkt);
	return 0;
}

static void refill(struct vqueue *v)
{
	bool apart = v->n->header_apart && !v->mrg;
	unsigned before = v->posted, done = 1;

	while (done && v->posted < v->post_max) {
		done = apart ? 0 : post_burst(v, min_of(v->post_max - v->posted, BURST));
		if (unlikely(!done))
			done = post_next(v);
		v->posted += done;
	}
	if (v->posted != before)
		virtq_kick(v->own.rx);
}

static inline bool want_refill(const struct vqueue *v)
{
	return v->post_max - v->posted >= v->refill_at;
}

static cold
void drop_partial(struct vqueue *v)
{
	if (v->head)
		pool_put_all(v->head);
	v->head = NULL;
	v->q.stats.rx_errors++;
}

/* A buffer of a packet that takes several: the first with @missing others behind it, or another. */
static cold
struct riser_pkt *gather(struct vqueue *v, struct riser_pkt *pkt, uint32_t len)
{
	struct riser_pkt *head = v->head;

	pkt->len = len;
	if (!head) {
		v->head = v->tail = pkt;
		pkt->total = len;
		v->bad = false;
		return NULL;
	}
	pkt->data -= v->hdr_len; /* no header in here */
	v->tail->next = pkt;
	v->tail = pkt;
	head->total += len;
	v->bad |= !len || head->total > TOTAL_MAX;
	if (--v->missing)
		return NULL;
	if (v->bad) {
		drop_partial(v);
		return NULL;
	}
	v->head = NULL;
	return head;
}

/* What stands in a header: offloads, hash, further buffers. Return: false: drop the packet. */
static cold
bool read_header(struct vqueue *v, struct riser_pkt *pkt, const uint8_t *at)
{
	bool csum = v->n->agreed & VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_CSUM);
	struct riser_virtio_net_hdr_hash h = { 0 };

	memcpy(&h, at, v->hdr_len);
	if (h.h.flags || h.h.gso_type) {
		pkt->hdr = h.h;
		pkt->hdr.num_buffers = to_le16(0);
		pkt->flags |= RISER_PKT_HDR;
		/* What was not agreed on is worth nothing; that it matters makes it an error. */
		if (!csum) {
			pkt->flags &= ~RISER_PKT_HDR;
			if (h.h.flags & RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM || h.h.gso_type)
				return false;
		}
	}
	if (v->hdr_len == sizeof(h) && le16(h.hash_report)) {
		pkt->hash = le32(h.hash_value);
		pkt->hash_type = le16(h.hash_report);
		pkt->flags |= RISER_PKT_HASH;
	}
	return true;
}

static cold
struct riser_pkt *dropped(struct vqueue *v, struct riser_pkt *pkt)
{
	pool_put(pkt);
	v->q.stats.rx_errors++;
	return NULL;
}

/* The first buffer of a packet that takes @buffers. */
static cold
struct riser_pkt *begin_gather(struct vqueue *v, struct riser_pkt *pkt, uint32_t len,
			       unsigned buffers)
{
	if (!buffers || buffers > v->post_max) {
		virtio_break(v->n->d, buffers ? "it put a packet into more buffers than it has"
					      : "it put a packet into no buffer");
		return dropped(v, pkt);
	}
	v->missing = buffers - 1;
	return gather(v, pkt, len);
}

/* A used buffer that is no plain packet by itself. Return: a packet that is complete, or NULL. */
static cold
struct riser_pkt *received(struct vqueue *v, struct riser_pkt *pkt, uint32_t len, uint16_t buffers)
{
	const uint8_t *at = pkt->data - v->hdr_len;

	if (v->missing)
		return gather(v, pkt, len);
	if (len < v->hdr_len + ETH_HEADER || !read_header(v, pkt, at))
		return dropped(v, pkt);
	len -= v->hdr_len;
	if (v->mrg && buffers != 1)
		return begin_gather(v, pkt, len, buffers);
	pkt->len = pkt->total = len;
	return pkt;
}

/*
 * The device was started anew, or a backend came back: what is in flight comes back to its pools.
 */

void vqueue_empty(struct vqueue *v, const struct virtio_net_queues *old)
{
	struct riser_pkt *pkt;

	if (v->missing)
		drop_partial(v);
	v->missing = 0;
	while (old->rx && (pkt = virtq_detach(old->rx)))
		pool_put(pkt);
	v->posted = 0;
	while (old->tx && (pkt = virtq_detach(old->tx))) {
		pool_put_all(pkt);
		v->q.stats.tx_dropped++;
	}
}

void vqueue_adopt(struct vqueue *v)
{
	unsigned room = virtq_room(v->own.rx);
	const struct riser_pool *pool = v->q.pool;

	v->armed = false;
	v->hdr_len = v->n->hdr_len;
	v->mrg = v->n->mrg;
	v->tx_max = min_of(virtq_room(v->own.tx), SEGMENTS);
	if (v->n->header_apart && !v->mrg)
		room /= 2;
	v->post_max = pool ? min_of(room, max_of(pool->count / 2, 1u)) : 0;
	v->refill_at = max_of(v->post_max / 4, 1u);
	if (pool)
		refill(v);
}

static cold
int renew(struct vqueue *v)
{
	struct virtio_net_queues old = v->own;
	int rc = virtio_net_take(v->n, v->q.index, &v->own);

	vqueue_empty(v, &old);
	virtq_free(old.rx);
	virtq_free(old.tx);
	if (rc) {
		v->own.rx = v->own.tx = NULL;
		return rc;
	}
	vqueue_adopt(v);
	return 0;
}

static cold
int revive(struct vqueue *v)
{
	struct riser_pkt *pkt;
	uint32_t len;
	int rc;

	while ((pkt = virtq_take(v->own.tx, &len)))
		pool_put_all(pkt);
	vqueue_empty(v, &v->own);
	rc = virtq_restart(v->own.rx);
	if (!rc)
		rc = virtq_restart(v->own.tx);
	if (!rc && v->q.pool)
		refill(v);
	return 0;
}

/* Are the queues those that the device knows? Return: 0, or -ENODEV: it is gone. */
static inline int check(struct vqueue *v)
{
	if (unlikely(load_acquire(v->gen) != v->own.gen || !v->own.rx))
		return renew(v);
	if (unlikely(virtq_stale(v->own.rx)))
		return revive(v);
	return 0;
}

/* Somebody polls again: interrupts would only disturb. */
static cold
void disarm(struct vqueue *v)
{
	v->armed = false;
	virtq_disarm(v->own.rx);
	virtq_disarm(v->own.tx);
}

/* What a burst of used buffers makes of packets. Return: how many, at the front of @pkts. */
static unsigned receive(struct vqueue *v, struct riser_pkt **pkts, const uint32_t *lens, unsigned n)
{
	uint32_t hdr_len = v->hdr_len, least = hdr_len + ETH_HEADER;
	/* A plain packet has no flags and no type, and is alone in its buffer. */
	bool plain = hdr_len != HDR_MAX, mrg = v->mrg;
	uint64_t bytes = 0;
	unsigned got = 0;

	v->posted -= n;
	for (unsigned i = 0; i < n; i++) {
		struct riser_pkt *pkt = pkts[i];
		const uint8_t *at = pkt->data - hdr_len;
		uint16_t offloads;
		riser_le16 buffers;

		memcpy(&offloads, at, sizeof(offloads));
		memcpy(&buffers, at + RISER_VIRTIO_NET_HDR_LEGACY, sizeof(buffers));
		if (likely(plain && !offloads && !v->missing && lens[i] >= least &&
			   (!mrg || le16(buffers) == 1))) {
			pkt->len = pkt->total = lens[i] - hdr_len;
		} else {
			pkt = received(v, pkt, lens[i], le16(buffers));
			if (!pkt)
				continue;
		}
		bytes += pkt->total;
		pkts[got++] = pkt;
	}
	v->q.stats.rx_packets += got;
	v->q.stats.rx_bytes += bytes;
	return got;
}

static int virtio_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct vqueue *v = vqueue_of(q);
	uint32_t lens[BURST];
	unsigned used, got;
	int rc = check(v);

	if (unlikely(rc))
		return rc;
	if (unlikely(v->armed))
		disarm(v);
	n = min_of(n, BURST);
	do {
		used = virtq_take_burst(v->own.rx, (void **)pkts, lens, n);
		got = receive(v, pkts, lens, used);
		if (want_refill(v))
			refill(v);
	} while (unlikely(used && !got)); /* parts of packets, or what was worth nothing */
	if (unlikely(!got && load_relaxed(&v->n->d->broken)))
		return -ENODEV;
	return (int)got;
}

/*
 * Transmitting
 */

static inline void reclaim(struct vqueue *v)
{
	struct riser_pkt *pkts[BURST];
	uint32_t lens[BURST];
	unsigned n;

	do {
		n = virtq_take_burst(v->own.tx, (void **)pkts, lens, BURST);
		for (unsigned i = 0; i < n; i++)
			pool_put_all(pkts[i]);
	} while (unlikely(n == BURST));
}

/*
 * Offloads. The length of the headers is the packet's own: behind csum_start, where TCP says how
 * long it is. Return: false: the caller's header is not true.
 */
static cold
bool put_offloads(const struct vqueue *v, const struct riser_pkt *pkt,
		  struct riser_virtio_net_hdr_hash *h)
{
	uint8_t gso = pkt->hdr.gso_type & (uint8_t)~RISER_VIRTIO_NET_GSO_ECN;
	uint32_t start = le16(pkt->hdr.csum_start);

	h->h = pkt->hdr;
	h->h.num_buffers = to_le16(0);
	h->h.flags &= RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM; /* the rest is for who receives */
	h->h.hdr_len = to_le16(0);
	if (h->h.flags && start + le16(pkt->hdr.csum_offset) + 2 > pkt->total)
		return false;
	if (gso == RISER_VIRTIO_NET_GSO_NONE)
		return true;
	if (!h->h.flags || !le16(pkt->hdr.gso_size))
		return false;
	if (gso == RISER_VIRTIO_NET_GSO_UDP_L4 || gso == RISER_VIRTIO_NET_GSO_UDP) {
		start += 8;
	} else if (start + 13 > pkt->len || pkt->data[start + 12] >> 4 < 5) {
		return false;
	} else {
		start += (pkt->data[start + 12] >> 4) * 4u;
	}
	if (start > pkt->total)
		return false;
	h->h.hdr_len = to_le16((uint16_t)start);
	return true;
}

/* What lies in front of a packet's data, when there is room for it. */
static inline bool has_headroom(const struct riser_pkt *pkt)
{
	return pkt->data - pool_start(pkt) >= (ptrdiff_t)HDR_MAX;
}

/* Descriptors of a packet with its header written. Return: how many, 0: not like this. */
static cold
unsigned map_packet(const struct vqueue *v, const struct riser_pkt *pkt, struct virtq_sg *sg)
{
	unsigned n = 0, more;

	if (!has_headroom(pkt))
		return 0;
	for (const struct riser_pkt *s = pkt; s; s = s->next) {
		const uint8_t *at = s->data;
		uint32_t len = s->len;

		if (s == pkt && v->n->header_apart) {
			n = map_pieces(v, at - v->hdr_len, v->hdr_len, sg, SEGMENTS);
			if (n != 1)
				return 0;
		} else if (s == pkt) {
			at -= v->hdr_len;
			len += v->hdr_len;
		}
		if (!len)
			continue;
		more = map_pieces(v, at, len, sg + n, SEGMENTS - n);
		if (!more)
			return 0;
		n += more;
	}
	return n;
}

/* Copy a packet into buffers that the device reaches: the queue's own. NULL: none is free. */
static cold
struct riser_pkt *copy(struct vqueue *v, const struct riser_pkt *pkt)
{
	struct riser_pkt *head = NULL, *to = NULL;

	for (const struct riser_pkt *s = pkt; s; s = s->next) {
		for (uint32_t done = 0, part; done < s->len; done += part) {
			if (!to || !pool_room(to) || to->len == pool_room(to)) {
				struct riser_pkt *more = v->q.pool ? pool_get(v->q.pool) : NULL;

				if (!more) {
					if (head)
						pool_put_all(head);
					return NULL;
				}
				if (to)
					to->next = more;
				else
					head = more;
				to = more;
			}
			part = min_of(s->len - done, pool_room(to) - to->len);
			memcpy(to->data + to->len, s->data + done, part);
			to->len += part;
		}
	}
	if (!head)
		return NULL;
	head->total = pkt->total;
	head->flags = pkt->flags;
	head->hdr = pkt->hdr;
	return head;
}

/* It will never go out. */
static cold
int refuse(struct vqueue *v, struct riser_pkt *pkt)
{
	v->q.stats.tx_errors++;
	pool_put_all(pkt);
	return 0;
}

/* Return: 0, the port has it; or -ENOSPC. */
static cold
int send_copy(struct vqueue *v, struct riser_pkt *pkt, const struct riser_virtio_net_hdr_hash *h)
{
	const struct riser_pool *pool = v->q.pool;
	struct virtq_sg sg[SEGMENTS];
	struct riser_pkt *out = copy(v, pkt);
	unsigned n = out ? map_packet(v, out, sg) : 0;

	/* What does not even fit when all is free is refused, or it would wait for ever. */
	if (!out)
		return pool && pool->nfree + v->posted < pool->count ? -ENOSPC : refuse(v, pkt);
	if (n && n <= v->tx_max) {
		memcpy(out->data - v->hdr_len, h, v->hdr_len);
		if (!virtq_add(v->own.tx, sg, n, 0, out)) {
			v->q.stats.tx_copied++;
			pool_put_all(pkt);
			return 0;
		}
	}
	pool_put_all(out);
	return n && n <= v->tx_max ? -ENOSPC : refuse(v, pkt);
}

/* Return: 0, the port has it; or -ENOSPC. */
static cold
int send_slowly(struct vqueue *v, struct riser_pkt *pkt)
{
	struct riser_virtio_net_hdr_hash h = { 0 };
	struct virtq_sg sg[SEGMENTS];
	unsigned n;

	if (pkt->total < ETH_HEADER || (pkt->flags & RISER_PKT_HDR && !put_offloads(v, pkt, &h)))
		return refuse(v, pkt);
	n = map_packet(v, pkt, sg);
	if (!n || n > v->tx_max)
		return send_copy(v, pkt, &h);
	memcpy(pkt->data - v->hdr_len, &h, v->hdr_len);
	return virtq_add(v->own.tx, sg, n, 0, pkt);
}

/* One piece, no offloads, and room for a header? */
static inline bool is_easy(const struct riser_pkt *pkt)
{
	return likely(!pkt->next && !(pkt->flags & RISER_PKT_HDR) && pkt->len >= ETH_HEADER &&
		      has_headroom(pkt));
}

/* As many of the first packets as are easy and have room. Return: how many were sent. */
static unsigned send_run(struct vqueue *v, struct riser_pkt **pkts, unsigned n, uint64_t *bytes)
{
	const struct reach reach = v->reach;
	uint32_t hdr_len = v->hdr_len;
	struct virtq_sg sg[BURST];
	uint64_t sum = 0;
	unsigned i;

	n = v->n->header_apart ? 0 : min_of(min_of(n, BURST), virtq_room(v->own.tx));
	for (i = 0; i < n; i++) {
		struct riser_pkt *pkt = pkts[i];
		uint8_t *data = pkt->data;
		uint32_t len = pkt->len;

		if (!is_easy(pkt) ||
		    !map_one(&reach, pkt->pool, data - hdr_len, len + hdr_len, &sg[i]))
			break;
		/* All zeroes, whatever the header's length is. */
		memset(data - HDR_MAX, 0, HDR_MAX);
		sum += len;
	}
	*bytes += sum;
	return i ? virtq_add_burst(v->own.tx, sg, (void *const *)pkts, i, false) : 0;
}

static int virtio_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct vqueue *v = vqueue_of(q);
	unsigned sent = 0, run;
	uint64_t bytes = 0;
	int rc = check(v);

	if (unlikely(rc))
		return rc;
	reclaim(v);
	while (sent < n) {
		uint32_t total;

		run = send_run(v, pkts + sent, n - sent, &bytes);
		sent += run;
		if (likely(sent == n))
			break;
		if (run)
			continue;
		total = pkts[sent]->total;
		if (send_slowly(v, pkts[sent]))
			break;
		bytes += total;
		sent++;
	}
	virtq_kick(v->own.tx);
	if (unlikely(!sent && load_relaxed(&v->n->d->broken)))
		return -ENODEV;
	q->stats.tx_packets += sent;
	q->stats.tx_bytes += bytes;
	return (int)sent;
}

/*
 * Waiting
 */

static cold
int look(struct vqueue *v, uint64_t now)
{
	v->look_at = now + LOOK_NS;
	/* Without an interrupt there is no telling. */
	if (v->n->interrupts && !event_ack(v->n->config_fd))
		return 0;
	return virtio_net_look(v->n);
}

static int virtio_pump(struct riser_port_queue *q, uint64_t *next)
{
	struct vqueue *v = vqueue_of(q);
	struct virtio_dev *d = v->n->d;
	uint64_t now = exec_now(q->x);
	int did = 0, rc = check(v);

	if (unlikely(rc))
		return rc;
	reclaim(v);
	if (d->t->pump)
		did = d->t->pump(d, next);
	if (unlikely(now >= v->look_at) && did >= 0)
		did += look(v, now);
	return did;
}

/* The device's own events wake its lead: the first watched queue, or another after that. */
static void be_lead(struct vqueue *v)
{
	struct vport *p = vport_of(v->q.port);
	struct vqueue *nobody = NULL;

	if (load_relaxed(&p->lead) ||
	    !__atomic_compare_exchange_n(&p->lead, &nobody, v, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	v->config = (struct riser_watch){ .fd = v->n->config_fd };
	v->wake = (struct riser_watch){ .fd = v->n->d->wake_fd };
	if (riser_exec_watch(v->q.x, &v->config, RISER_WATCH_IN))
		v->config.fd = -1;
	if (v->wake.fd >= 0 && riser_exec_watch(v->q.x, &v->wake, RISER_WATCH_IN))
		v->wake.fd = -1;
}

void vport_watched(struct riser_port_queue *q, bool on)
{
	struct vport *p = vport_of(q->port);
	struct vqueue *v = vqueue_of(q);

	if (on || load_relaxed(&p->lead) != v)
		return;
	if (v->config.fd >= 0)
		riser_exec_unwatch(q->x, &v->config);
	if (v->wake.fd >= 0)
		riser_exec_unwatch(q->x, &v->wake);
	store_release(&p->lead, NULL);
}

static int virtio_arm(struct riser_port_queue *q)
{
	struct vqueue *v = vqueue_of(q);
	const struct vport *p = vport_of(q->port);
	bool dry;

	be_lead(v);
	if (check(v))
		return -EOPNOTSUPP; /* it is gone: who looks at intervals will see */
	if (!v->n->pairs[q->index].interrupts)
		return -EOPNOTSUPP;
	q->stats.interrupts += event_ack(q->watch.fd);
	if (load_relaxed(&p->lead) == v && look(v, exec_now(q->x)))
		return 1;
	reclaim(v);
	if (q->pool && v->posted < v->post_max)
		refill(v);
	v->armed = true;
	/* Who waits for room, or for a packet to send, waits for what was sent to come back. */
	dry = q->full || (q->pool && !q->pool->nfree);
	if (virtq_arm(v->own.rx) || (dry && virtq_arm(v->own.tx)))
		return 1;
	/* Without a buffer at the device nothing comes that could wake us. */
	return q->pool && !v->posted ? -EOPNOTSUPP : 0;
}

const struct port_ops port_virtio = {
	.size = sizeof(struct port_ops),
	.example = "qtest:spawn?device=virtio-net-pci&netdev=user",
	.open = vport_open,
	.close = vport_close,
	.refresh = vport_refresh,
	.queue_open = vport_queue_open,
	.queue_close = vport_queue_close,
	.rx = virtio_rx,
	.tx = virtio_tx,
	.arm = virtio_arm,
	.pump = virtio_pump,
	.mem_alloc = vport_mem_alloc,
	.mem_free = vport_mem_free,
	.watched = vport_watched,
	.set = vport_set,
	.explain = vport_explain,
	.resize = vport_resize,
};
