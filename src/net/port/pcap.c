/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * pcap:FILE?in=FILE - what is sent is written to a pcapng file, and what another one holds is
 * received: as fast as it is taken, or by its own times. When that one ends, so does the port.
 */
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "net/pcapng.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER    (256 * KiB)
#define FRAME_MAX (64 * KiB + 256)

struct pcap_port {
	struct riser_port p;
	int in, out; /* -1: none */
	bool timed;
	struct pcap_reader reader;
	char description[64];
};

struct pcap_queue {
	struct riser_port_queue q;
	uint8_t *buf; /* what is to be written */
	size_t used;
	int broken;
	bool held, ended; /* @next was read, and is to come */
	struct pcap_packet next;
	uint64_t began, first; /* of the clock, of the file */
};

static int open_in(struct pcap_port *p, const char *path, struct riser_err *err)
{
	int rc;

	p->in = open(path, O_RDONLY | O_CLOEXEC);
	if (p->in < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	rc = pcap_begin(&p->reader, p->in);
	if (rc == -EINVAL)
		return err_set(err, -EBADMSG, "%s is no pcapng file", path);
	return rc ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

static int open_out(struct pcap_port *p, const char *path, struct riser_err *err)
{
	uint8_t head[PCAP_HEAD_MAX];
	uint32_t len = pcap_put_head(head, "riser");

	p->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (p->out < 0)
		return err_set(err, -errno, "cannot make %s: %s", path, strerror(errno));
	if (write(p->out, head, len) != (ssize_t)len)
		return err_set(err, -EIO, "%s cannot be written", path);
	return 0;
}

static int open_files(struct pcap_port *p, const struct uri *u, struct riser_err *err)
{
	static const char *const keys[] = { "in", "mtu", "timed", NULL };
	const char *in = uri_get(u, "in");
	uint64_t mtu = 1500;
	int rc = uri_check_keys(u, keys, err);

	if (!rc)
		rc = uri_get_bool(u, "timed", &p->timed, err);
	if (!rc)
		rc = uri_get_size(u, "mtu", &mtu, err);
	if (rc)
		return rc;
	if (mtu < 68 || mtu > 65535)
		return err_set(err, -EINVAL, "pcap: mtu= is 68 to 65535");
	if (!*u->rest && !in)
		return err_set(err, -EINVAL, "pcap:FILE: to write to, or pcap:?in=FILE to read");
	p->p.info.mtu = (uint32_t)mtu;
	if (in)
		rc = open_in(p, in, err);
	if (!rc && *u->rest)
		rc = open_out(p, u->rest, err);
	return rc;
}

static void pcap_close(struct riser_port *port)
{
	struct pcap_port *p = container_of(port, struct pcap_port, p);

	pcap_end(&p->reader);
	if (p->in >= 0)
		close(p->in);
	if (p->out >= 0)
		close(p->out);
	free(p);
}

static int pcap_open(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
		     struct riser_port **out, struct riser_err *err)
{
	struct pcap_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "no memory for pcap:%s", u->rest);
	p->in = p->out = -1;
	rc = opts->queues > 1 ? err_set(err, -EINVAL, "pcap: %u queues: it has 1", opts->queues)
			      : open_files(p, u, err);
	if (rc) {
		pcap_close(&p->p);
		return rc;
	}
	p->p.info.mac[0] = 2;
	p->p.info.queues = p->p.info.max_queues = 1;
	p->p.info.link = p->p.info.full_duplex = p->p.info.harmless = true;
	p->p.info.offloads = RISER_PORT_CSUM | RISER_PORT_TSO4 | RISER_PORT_TSO6 | RISER_PORT_USO |
			     RISER_PORT_ECN | RISER_PORT_RX_LARGE;
	snprintf(p->description, sizeof(p->description), "a capture file%s%s",
		 p->in >= 0 ? " that is read" : "", p->out >= 0 ? " that is written" : "");
	p->p.info.description = p->description;
	*out = &p->p;
	return 0;
}

static int pcap_queue_open(struct riser_port *port, unsigned index, struct riser_exec *x,
			   struct riser_pool *pool, struct riser_port_queue **out,
			   struct riser_err *err)
{
	struct pcap_queue *c = calloc(1, sizeof(*c));

	if (c)
		c->buf = malloc(BUFFER);
	if (!c || !c->buf) {
		free(c);
		return err_set(err, -ENOMEM, "no memory for a queue of %s", port->name);
	}
	*out = &c->q;
	return 0;
}

static void write_out(struct pcap_queue *c)
{
	const struct pcap_port *p = container_of(c->q.port, struct pcap_port, p);

	for (size_t done = 0; done < c->used && !c->broken;) {
		ssize_t n = write(p->out, c->buf + done, c->used - done);

		if (n < 0 && errno != EINTR)
			c->broken = -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	c->used = 0;
}

static void pcap_queue_close(struct riser_port_queue *q)
{
	struct pcap_queue *c = container_of(q, struct pcap_queue, q);

	write_out(c);
	if (c->broken)
		base_log(q->port->r, RISER_LOG_ERROR, "%s: %s", q->port->name,
			 strerror(-c->broken));
	free(c->buf);
	free(c);
}

/* Wall-clock time, as readers expect it; a virtual clock's own. */
static uint64_t stamp(struct riser *r)
{
	struct timespec t;

	if (r->clock.is_virtual)
		return clock_now(r);
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int pcap_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct pcap_queue *c = container_of(q, struct pcap_queue, q);
	const struct pcap_port *p = container_of(q->port, struct pcap_port, p);
	uint64_t now = stamp(q->port->r);

	if (c->broken)
		return c->broken;
	for (unsigned i = 0; i < n; i++) {
		if (p->out < 0) {
			q->stats.tx_dropped++;
		} else if (pkts[i]->total > FRAME_MAX) {
			q->stats.tx_errors++;
		} else {
			if (BUFFER - c->used < pkts[i]->total + PCAP_PACKET_MAX)
				write_out(c);
			c->used += pcap_put_packet(c->buf + c->used, pkts[i], now);
			q->stats.tx_packets++;
			q->stats.tx_bytes += pkts[i]->total;
		}
		pool_put_all(pkts[i]);
	}
	return (int)n;
}

/* Have the next packet in hand. Return: whether there is one, and it is due. */
static bool look(struct pcap_queue *c)
{
	struct pcap_port *p = container_of(c->q.port, struct pcap_port, p);
	int rc;

	if (c->held || c->ended)
		return c->held;
	rc = pcap_next(&p->reader, &c->next);
	if (rc < 0) {
		base_log(p->p.r, RISER_LOG_WARN, "%s is broken behind %llu packets", p->p.name,
			 (unsigned long long)c->q.stats.rx_packets);
		c->q.stats.rx_errors++;
	}
	c->ended = rc <= 0;
	c->held = rc > 0;
	if (c->held && !c->first) {
		c->first = c->next.ns;
		c->began = exec_now(c->q.x);
	}
	return c->held;
}

static uint64_t due(const struct pcap_queue *c)
{
	const struct pcap_port *p = container_of(c->q.port, struct pcap_port, p);

	return p->timed && c->next.ns > c->first ? c->began + (c->next.ns - c->first) : 0;
}

/* Return: NULL: there is no buffer. */
static struct riser_pkt *copy_out(struct riser_pool *pool, const struct pcap_packet *from)
{
	struct riser_pkt *first = NULL, **link = &first;

	for (uint32_t done = 0; done < from->len;) {
		struct riser_pkt *s = pool_get(pool);

		if (!s) {
			pool_put_all(first);
			return NULL;
		}
		*link = s;
		link = &s->next;
		s->len = min_of(from->len - done, pool->size);
		memcpy(s->data, from->data + done, s->len);
		done += s->len;
	}
	first->total = from->len;
	if (from->has_hdr) {
		first->flags = RISER_PKT_HDR;
		first->hdr = from->hdr;
	}
	return first;
}

static int pcap_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct pcap_queue *c = container_of(q, struct pcap_queue, q);
	const struct pcap_port *p = container_of(q->port, struct pcap_port, p);
	bool large = p->p.asked & RISER_PORT_RX_LARGE;
	unsigned i = 0;

	if (p->in < 0 || !q->pool)
		return 0;
	while (i < n && look(c) && due(c) <= (p->timed ? exec_now(q->x) : 0)) {
		const struct pcap_packet *next = &c->next;
		bool whole = next->len && next->len == next->original && next->len <= FRAME_MAX &&
			     (large || next->len <= q->pool->size);

		if (whole && !(pkts[i] = copy_out(q->pool, next)))
			break;
		c->held = false;
		if (!whole) {
			q->stats.rx_errors++;
			continue;
		}
		q->stats.rx_packets++;
		q->stats.rx_bytes += next->len;
		i++;
	}
	return i || !c->ended ? (int)i : -ENODEV;
}

static int pcap_pump(struct riser_port_queue *q, uint64_t *next)
{
	struct pcap_queue *c = container_of(q, struct pcap_queue, q);

	/* What was sent so far can be read when nothing more comes. */
	if (c->used)
		write_out(c);
	if (c->held)
		*next = due(c);
	return 0;
}

const struct port_ops port_pcap = {
	.size = sizeof(port_pcap),
	.scheme = "pcap",
	.example = "pcap:out.pcapng?in=in.pcapng",
	.open = pcap_open,
	.close = pcap_close,
	.queue_open = pcap_queue_open,
	.queue_close = pcap_queue_close,
	.rx = pcap_rx,
	.tx = pcap_tx,
	.pump = pcap_pump,
};
