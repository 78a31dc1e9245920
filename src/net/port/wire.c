/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * wire:NAME - a cable between two ports of one context, opened by the same name.
 *
 * Each direction of each queue is a tube: a ring of bytes with one writer and one reader, who may
 * be in different threads. A frame is copied in from the sender's buffer and out into the
 * receiver's, so that no pool meets a second owner. What a bad cable does (loss, corruption, delay)
 * is decided by the sender's seed, frame by frame, and so is the same every time.
 */
#include "base/barrier.h"
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUES    16
#define TUBE_SIZE ((uint64_t)1 << 20)
#define FRAME_MAX (64 * KiB + 256)
#define MILLION   1000000u
#define SKIP      UINT32_MAX /* frame.len: go on at the tube's beginning */

/* In front of each frame in a tube; 32 bytes, which every frame's room is a multiple of. */
struct frame {
	uint64_t due; /* when it comes out */
	uint32_t len;
	uint32_t flags;
	struct riser_virtio_net_hdr hdr;
	uint32_t unused;
};
_Static_assert(sizeof(struct frame) == 32, "frames stay aligned");

/* An index, and how its owner sleeps until the other one moves. */
struct tube_end {
	uint64_t at;     /* atomic: bytes ever written, or read */
	uint32_t sleeps; /* atomic */
	int event;
} __attribute__((aligned(64)));

struct tube {
	struct tube_end head, tail; /* the writer's, the reader's */
	uint8_t *bytes;
	uint32_t has_reader; /* atomic */
};

/* Both ends' name; in the context's list, under its lock. */
struct wire {
	struct list link;
	char *name;
	bool open[2];
	struct tube *tubes[QUEUES][2]; /* which an end writes to */
};

struct wire_port {
	struct riser_port p;
	struct wire *wire;
	unsigned side;
	uint64_t loss, corrupt; /* in a million */
	uint64_t delay;         /* nanoseconds */
	uint64_t seed;
	char description[64];
};

struct wire_queue {
	struct riser_port_queue q;
	struct tube *out, *in;
	uint64_t read_of_out;        /* what its reader had read when last there was no room */
	struct riser_watch wakes[2]; /* there is room in @out; there is something in @in */
	uint64_t random;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool happens(struct wire_queue *w, uint64_t in_a_million)
{
	return in_a_million && next_random(&w->random) % MILLION < in_a_million;
}

/* Under the context's lock. */
static struct wire *find(struct riser *r, const char *name)
{
	list_for_each (w, &r->wires, struct wire, link)
		if (!strcmp(w->name, name))
			return w;
	return NULL;
}

static struct wire *wire_new(struct riser *r, const char *name)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->name = strdup(name);
	if (!w->name) {
		free(w);
		return NULL;
	}
	list_add(&r->wires, &w->link);
	return w;
}

static void tube_free(struct tube *t)
{
	if (!t)
		return;
	if (t->head.event >= 0)
		close(t->head.event);
	if (t->tail.event >= 0)
		close(t->tail.event);
	free(t->bytes);
	free(t);
}

static void wire_free(struct wire *w)
{
	for (unsigned i = 0; i < QUEUES; i++)
		for (unsigned side = 0; side < 2; side++)
			tube_free(w->tubes[i][side]);
	list_del(&w->link);
	free(w->name);
	free(w);
}

static int plug_in(struct riser *r, const char *name, struct wire_port *p, struct riser_err *err)
{
	struct wire *w;
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	w = find(r, name);
	if (!w)
		w = wire_new(r, name);
	if (!w) {
		rc = err_set(err, -ENOMEM, "no memory for wire:%s", name);
	} else if (w->open[0] && w->open[1]) {
		rc = err_set(err, -EBUSY, "wire:%s: both of its ends are open already", name);
	} else {
		p->wire = w;
		p->side = w->open[0];
		w->open[p->side] = true;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int read_keys(struct wire_port *p, const struct uri *u, struct riser_err *err)
{
	static const char *const keys[] = { "loss", "corrupt",  "delay", "seed",
					    "mtu",  "offloads", NULL };
	uint64_t mtu = 1500, delay = 0;
	bool offloads = false;
	int rc = uri_check_keys(u, keys, err);

	if (!rc)
		rc = uri_get_size(u, "loss", &p->loss, err);
	if (!rc)
		rc = uri_get_size(u, "corrupt", &p->corrupt, err);
	if (!rc)
		rc = uri_get_size(u, "delay", &delay, err);
	if (!rc)
		rc = uri_get_size(u, "seed", &p->seed, err);
	if (!rc)
		rc = uri_get_size(u, "mtu", &mtu, err);
	if (!rc)
		rc = uri_get_bool(u, "offloads", &offloads, err);
	if (rc)
		return rc;
	if (p->loss > MILLION || p->corrupt > MILLION)
		return err_set(err, -EINVAL, "wire: loss= and corrupt= count frames in a million");
	if (mtu < 68 || mtu > 65535 || delay > 3600ull * MILLION)
		return err_set(err, -EINVAL,
			       "wire: mtu= is 68 to 65535, delay= is at most 3600000000 us");
	p->delay = delay * NS_PER_US;
	p->p.info.mtu = (uint32_t)mtu;
	if (offloads)
		p->p.info.offloads = RISER_PORT_CSUM | RISER_PORT_TSO4 | RISER_PORT_TSO6 |
				     RISER_PORT_USO | RISER_PORT_ECN | RISER_PORT_RX_CSUM |
				     RISER_PORT_RX_LARGE;
	return 0;
}

/* Locally administered, the same for the same name and side. */
static void make_mac(uint8_t mac[6], const char *name, unsigned side)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	mac[0] = 2;
	memcpy(mac + 1, &h, sizeof(h));
	mac[5] = (uint8_t)side;
}

static int wire_open(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
		     struct riser_port **out, struct riser_err *err)
{
	struct wire_port *p;
	int rc;

	if (!*u->rest)
		return err_set(err, -EINVAL, "wire:NAME: a name is missing");
	if (opts->queues > QUEUES)
		return err_set(err, -EINVAL, "wire: %u queues: it has %u", opts->queues, QUEUES);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "no memory for wire:%s", u->rest);
	rc = read_keys(p, u, err);
	if (!rc)
		rc = plug_in(r, u->rest, p, err);
	if (rc) {
		free(p);
		return rc;
	}
	make_mac(p->p.info.mac, u->rest, p->side);
	p->p.info.queues = opts->queues;
	p->p.info.max_queues = QUEUES;
	p->p.info.full_duplex = p->p.info.harmless = true;
	snprintf(p->description, sizeof(p->description), "end %u of a wire in this process",
		 p->side + 1);
	p->p.info.description = p->description;
	*out = &p->p;
	return 0;
}

static void wire_close(struct riser_port *port)
{
	struct wire_port *p = container_of(port, struct wire_port, p);
	struct riser *r = port->r;

	pthread_mutex_lock(&r->lock);
	p->wire->open[p->side] = false;
	if (!p->wire->open[0] && !p->wire->open[1])
		wire_free(p->wire);
	pthread_mutex_unlock(&r->lock);
	free(p);
}

static void wire_refresh(struct riser_port *port)
{
	struct wire_port *p = container_of(port, struct wire_port, p);

	pthread_mutex_lock(&port->r->lock);
	port->info.link = p->wire->open[0] && p->wire->open[1];
	pthread_mutex_unlock(&port->r->lock);
}

/* Under the context's lock. They stay until the wire goes, and so do their descriptors. */
static struct tube *get_tube(struct wire *w, unsigned index, unsigned side)
{
	struct tube *t = w->tubes[index][side];

	if (t)
		return t;
	t = aligned_alloc(64, sizeof(*t));
	if (!t)
		return NULL;
	*t = (struct tube){ .bytes = malloc(TUBE_SIZE),
			    .head.event = event_new(),
			    .tail.event = event_new() };
	if (!t->bytes || t->head.event < 0 || t->tail.event < 0) {
		tube_free(t);
		return NULL;
	}
	w->tubes[index][side] = t;
	return t;
}

static int connect_tubes(struct wire_port *p, struct wire_queue *w, unsigned index, bool reads)
{
	struct riser *r = p->p.r;
	int rc = -ENOMEM;

	pthread_mutex_lock(&r->lock);
	w->out = get_tube(p->wire, index, p->side);
	w->in = get_tube(p->wire, index, !p->side);
	if (w->out && w->in) {
		/* What was sent before is not for us. */
		store_relaxed(&w->in->tail.at, load_acquire(&w->in->head.at));
		store_release(&w->in->has_reader, reads);
		rc = 0;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int wire_queue_open(struct riser_port *port, unsigned index, struct riser_exec *x,
			   struct riser_pool *pool, struct riser_port_queue **out,
			   struct riser_err *err)
{
	struct wire_port *p = container_of(port, struct wire_port, p);
	struct wire_queue *w = calloc(1, sizeof(*w));
	int rc = -ENOMEM;

	if (w)
		rc = connect_tubes(p, w, index, pool);
	if (rc)
		goto fail;
	w->random = p->seed * 2 * QUEUES + index * 2 + p->side;
	w->wakes[0].fd = w->out->head.event;
	w->wakes[1].fd = w->in->tail.event;
	rc = riser_exec_watch(x, &w->wakes[0], RISER_WATCH_IN);
	if (rc)
		goto fail;
	rc = riser_exec_watch(x, &w->wakes[1], RISER_WATCH_IN);
	if (!rc) {
		*out = &w->q;
		return 0;
	}
	riser_exec_unwatch(x, &w->wakes[0]);
fail:
	free(w);
	return err_set(err, rc, "a queue of %s: %s", port->name, strerror(-rc));
}

static void wire_queue_close(struct riser_port_queue *q)
{
	struct wire_queue *w = container_of(q, struct wire_queue, q);

	store_release(&w->in->has_reader, 0);
	event_signal(w->in->head.event); /* what it waits to send goes nowhere now */
	clock_bump(q->port->r);
	riser_exec_unwatch(q->x, &w->wakes[0]);
	riser_exec_unwatch(q->x, &w->wakes[1]);
	free(w);
}

/* The owner moved @mine: wake who sleeps for that at the other end. */
static void moved(struct riser *r, struct tube_end *mine, struct tube_end *other, uint64_t at)
{
	/* Pairs with wire_arm(): it says that it sleeps, then looks. */
	store_seq_cst(&mine->at, at);
	clock_bump(r);
	if (load_seq_cst(&other->sleeps)) {
		store_relaxed(&other->sleeps, 0);
		event_signal(other->event);
	}
}

static struct frame *frame_at(struct tube *t, uint64_t at)
{
	return (struct frame *)(t->bytes + (at & (TUBE_SIZE - 1)));
}

/* Room for @len bytes in one piece, from *@head on, which is moved over a rest that is too short.
 * NULL: none now. */
static struct frame *make_room(struct wire_queue *w, uint64_t *head, uint32_t len)
{
	struct tube *t = w->out;
	uint64_t need = align_up(sizeof(struct frame) + len, sizeof(struct frame));
	uint64_t left = TUBE_SIZE - (*head & (TUBE_SIZE - 1));
	uint64_t want = need > left ? left + need : need;

	w->read_of_out = load_acquire(&t->tail.at);
	if (*head + want - w->read_of_out > TUBE_SIZE)
		return NULL;
	if (need > left) {
		frame_at(t, *head)->len = SKIP;
		frame_at(t, *head)->due = 0;
		*head += left;
	}
	return frame_at(t, *head);
}

static void copy_in(struct wire_queue *w, struct frame *f, const struct riser_pkt *pkt)
{
	const struct wire_port *p = container_of(w->q.port, struct wire_port, p);
	uint8_t *to = (uint8_t *)(f + 1);

	f->due = p->delay ? exec_now(w->q.x) + p->delay : 0;
	f->len = pkt->total;
	f->flags = pkt->flags & RISER_PKT_HDR;
	f->hdr = pkt->hdr;
	for (; pkt; pkt = pkt->next) {
		memcpy(to, pkt->data, pkt->len);
		to += pkt->len;
	}
	if (happens(w, p->corrupt)) {
		uint64_t bit = next_random(&w->random) % (f->len * 8ull);

		((uint8_t *)(f + 1))[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* Return: false: no room. */
static bool send_one(struct wire_queue *w, uint64_t *head, const struct riser_pkt *pkt)
{
	const struct wire_port *p = container_of(w->q.port, struct wire_port, p);
	struct frame *f;

	if (!pkt->total || pkt->total > FRAME_MAX) {
		w->q.stats.tx_errors++;
		return true;
	}
	if (!load_acquire(&w->out->has_reader)) {
		w->q.stats.tx_dropped++;
		return true;
	}
	f = make_room(w, head, pkt->total);
	if (!f)
		return false;
	w->q.stats.tx_packets++;
	w->q.stats.tx_bytes += pkt->total;
	if (happens(w, p->loss))
		return true;
	copy_in(w, f, pkt);
	*head += align_up(sizeof(*f) + f->len, sizeof(*f));
	return true;
}

static int wire_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct wire_queue *w = container_of(q, struct wire_queue, q);
	uint64_t head = w->out->head.at, before = head;
	unsigned i;

	for (i = 0; i < n && send_one(w, &head, pkts[i]); i++)
		pool_put_all(pkts[i]);
	if (head != before)
		moved(q->port->r, &w->out->head, &w->out->tail, head);
	return (int)i;
}

/* The frame that comes out next, or NULL: none, or not yet. */
static struct frame *peek(struct wire_queue *w, uint64_t *tail, uint64_t *due)
{
	struct frame *f;

	for (;;) {
		if (*tail == load_acquire(&w->in->head.at))
			return NULL;
		f = frame_at(w->in, *tail);
		if (f->len != SKIP)
			break;
		*tail += TUBE_SIZE - (*tail & (TUBE_SIZE - 1));
	}
	if (f->due > (f->due ? exec_now(w->q.x) : 0)) {
		*due = f->due;
		return NULL;
	}
	return f;
}

/* Return: a packet, or NULL: the pool has nothing. */
static struct riser_pkt *copy_out(struct riser_pool *pool, const struct frame *f)
{
	const uint8_t *from = (const uint8_t *)(f + 1);
	struct riser_pkt *first = NULL, **link = &first;

	for (uint32_t left = f->len; left;) {
		struct riser_pkt *s = pool_get(pool);

		if (!s) {
			pool_put_all(first);
			return NULL;
		}
		*link = s;
		link = &s->next;
		s->len = min_of(left, pool->size);
		memcpy(s->data, from, s->len);
		from += s->len;
		left -= s->len;
	}
	first->total = f->len;
	first->flags = f->flags;
	first->hdr = f->hdr;
	return first;
}

static int wire_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct wire_queue *w = container_of(q, struct wire_queue, q);
	uint64_t tail = w->in->tail.at, before = tail, due;
	const struct frame *f;
	unsigned i = 0;

	while (i < n && (f = peek(w, &tail, &due))) {
		bool fits = f->len <= q->pool->size || q->port->asked & RISER_PORT_RX_LARGE;

		if (fits && !(pkts[i] = copy_out(q->pool, f)))
			break;
		if (fits) {
			i++;
			q->stats.rx_packets++;
			q->stats.rx_bytes += f->len;
		} else {
			q->stats.rx_errors++;
		}
		tail += align_up(sizeof(*f) + f->len, sizeof(*f));
	}
	if (tail != before)
		moved(q->port->r, &w->in->tail, &w->in->head, tail);
	return (int)i;
}

static int wire_pump(struct riser_port_queue *q, uint64_t *next)
{
	struct wire_queue *w = container_of(q, struct wire_queue, q);
	uint64_t tail = w->in->tail.at;

	/* What is due has been taken, but for want of buffers. */
	if (q->pool)
		peek(w, &tail, next);
	return 0;
}

static int wire_arm(struct riser_port_queue *q)
{
	struct wire_queue *w = container_of(q, struct wire_queue, q);
	uint64_t tail = w->in->tail.at, due;

	event_ack(w->out->head.event);
	event_ack(w->in->tail.event);
	/* Pairs with moved(). */
	store_seq_cst(&w->in->tail.sleeps, q->pool != NULL);
	store_seq_cst(&w->out->head.sleeps, q->full);
	if (q->pool && load_seq_cst(&w->in->head.at) != tail && peek(w, &tail, &due) &&
	    q->pool->nfree)
		return 1;
	return q->full && (load_seq_cst(&w->out->tail.at) != w->read_of_out ||
			   !load_acquire(&w->out->has_reader));
}

const struct port_ops port_wire = {
	.size = sizeof(port_wire),
	.scheme = "wire",
	.example = "wire:a",
	.open = wire_open,
	.close = wire_close,
	.refresh = wire_refresh,
	.queue_open = wire_queue_open,
	.queue_close = wire_queue_close,
	.rx = wire_rx,
	.tx = wire_tx,
	.arm = wire_arm,
	.pump = wire_pump,
};
