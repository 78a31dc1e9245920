/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * dgram:PATH?remote=PATH - frames as datagrams between two sockets in the file system, one frame
 * each, as QEMU's "-netdev dgram" has them.
 *
 * The socket is not connected: the remote one may come, go and come again. So the kernel cannot say
 * when there is room for it, and whoever waits for that is time-sliced.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* recvmmsg, sendmmsg */
#endif
#include "base/err.h"
#include "base/uri.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BATCH    32u
#define PIECES   (4 * BATCH)
#define SNDBUF   (4 << 20)
#define ETHERNET 18 /* header and a VLAN tag */

struct dgram_port {
	struct riser_port p;
	int fd;
	bool bound;
	struct sockaddr_un local, remote;
	char description[256];
};

struct dgram_queue {
	struct riser_port_queue q;
	struct riser_pkt *lent[BATCH]; /* that the next frames are received into */
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_piece[BATCH], out_piece[PIECES];
};

static int set_path(struct sockaddr_un *a, const char *path, struct riser_err *err)
{
	a->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(a->sun_path))
		return err_set(err, -ENAMETOOLONG, "dgram: '%s' is too long for a socket's name",
			       path);
	strcpy(a->sun_path, path);
	return 0;
}

static int parse_mac(const char *text, uint8_t mac[6], struct riser_err *err)
{
	int end = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) != 6 ||
	    text[end] || mac[0] & 1)
		return err_set(err, -EINVAL, "dgram: mac=%s is not the address of one card", text);
	return 0;
}

static int read_keys(struct dgram_port *p, const struct uri *u, struct riser_err *err)
{
	static const char *const keys[] = { "mac", "mtu", "remote", NULL };
	const char *remote = uri_get(u, "remote"), *mac = uri_get(u, "mac");
	uint32_t own = (uint32_t)getpid();
	uint64_t mtu = 1500;
	int rc = uri_check_keys(u, keys, err);

	if (!rc)
		rc = uri_get_size(u, "mtu", &mtu, err);
	if (!rc && (mtu < 68 || mtu > 65535))
		rc = err_set(err, -EINVAL, "dgram: mtu= is 68 to 65535");
	if (!rc && !*u->rest)
		rc = err_set(err, -EINVAL, "dgram:PATH: the name of a socket is missing");
	if (!rc)
		rc = set_path(&p->local, u->rest, err);
	if (!rc && remote)
		rc = set_path(&p->remote, remote, err);
	p->p.info.mtu = (uint32_t)mtu;
	p->p.info.mac[0] = 2;
	memcpy(p->p.info.mac + 2, &own, sizeof(own));
	return !rc && mac ? parse_mac(mac, p->p.info.mac, err) : rc;
}

/* A socket that its owner left behind refuses; one that is in use does not. */
static bool is_stale(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) &&
		     errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int bind_local(struct dgram_port *p, struct riser_err *err)
{
	const struct sockaddr *a = (const struct sockaddr *)&p->local;
	int size = SNDBUF, rc;

	p->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return err_set(err, -errno, "dgram: no socket: %s", strerror(errno));
	rc = bind(p->fd, a, sizeof(p->local));
	if (rc && errno == EADDRINUSE && is_stale(&p->local) && !unlink(p->local.sun_path))
		rc = bind(p->fd, a, sizeof(p->local));
	if (rc)
		return err_set(err, -errno, "dgram: cannot make the socket %s: %s",
			       p->local.sun_path, strerror(errno));
	p->bound = true;
	setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* as much as it may have */
	return 0;
}

static void dgram_close(struct riser_port *port)
{
	struct dgram_port *p = container_of(port, struct dgram_port, p);

	if (p->fd >= 0)
		close(p->fd);
	if (p->bound)
		unlink(p->local.sun_path);
	free(p);
}

static int dgram_open(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
		      struct riser_port **out, struct riser_err *err)
{
	struct dgram_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "no memory for dgram:%s", u->rest);
	p->fd = -1;
	rc = read_keys(p, u, err);
	if (!rc && opts->queues > 1)
		rc = err_set(err, -EINVAL, "dgram: %u queues: it has 1", opts->queues);
	if (!rc)
		rc = bind_local(p, err);
	if (rc) {
		dgram_close(&p->p);
		return rc;
	}
	p->p.info.queues = p->p.info.max_queues = 1;
	p->p.info.link = p->p.info.full_duplex = true;
	snprintf(p->description, sizeof(p->description), "datagrams from %s to %s",
		 p->local.sun_path, *p->remote.sun_path ? p->remote.sun_path : "nobody");
	p->p.info.description = p->description;
	*out = &p->p;
	return 0;
}

static int dgram_queue_open(struct riser_port *port, unsigned index, struct riser_exec *x,
			    struct riser_pool *pool, struct riser_port_queue **out,
			    struct riser_err *err)
{
	struct dgram_port *p = container_of(port, struct dgram_port, p);
	struct dgram_queue *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(err, -ENOMEM, "no memory for a queue of %s", port->name);
	if (pool && pool->size < port->info.mtu + ETHERNET) {
		free(d);
		return err_set(err, -EINVAL, "%s: buffers of %u bytes are too small for its MTU",
			       port->name, pool->size);
	}
	for (unsigned i = 0; i < BATCH; i++) {
		d->in[i].msg_hdr = (struct msghdr){ .msg_iov = &d->in_piece[i], .msg_iovlen = 1 };
		d->out[i].msg_hdr =
			(struct msghdr){ .msg_name = &p->remote, .msg_namelen = sizeof(p->remote) };
	}
	d->q.watch.fd = p->fd;
	d->q.tells = pool ? RISER_WATCH_IN : 0;
	*out = &d->q;
	return 0;
}

static void dgram_queue_close(struct riser_port_queue *q)
{
	struct dgram_queue *d = container_of(q, struct dgram_queue, q);

	for (unsigned i = 0; i < BATCH; i++)
		if (d->lent[i])
			pool_put(d->lent[i]);
	free(d);
}

/* Have buffers for @n frames. Return: for how many there are. */
static unsigned lend(struct dgram_queue *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (d->lent[i])
			continue;
		d->lent[i] = d->q.pool ? pool_get(d->q.pool) : NULL;
		if (!d->lent[i])
			return i;
		d->in_piece[i].iov_base = d->lent[i]->data;
		d->in_piece[i].iov_len = pool_room(d->lent[i]);
	}
	return n;
}

static int dgram_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct dgram_queue *d = container_of(q, struct dgram_queue, q);
	int got, taken = 0;

	n = lend(d, min_of(n, BATCH));
	got = n ? recvmmsg(q->watch.fd, d->in, n, MSG_DONTWAIT, NULL) : 0;
	for (int i = 0; i < got; i++) {
		struct riser_pkt *pkt = d->lent[i];

		if (d->in[i].msg_hdr.msg_flags & MSG_TRUNC || !d->in[i].msg_len) {
			q->stats.rx_errors++;
			continue;
		}
		pkt->len = pkt->total = d->in[i].msg_len;
		q->stats.rx_packets++;
		q->stats.rx_bytes += pkt->len;
		pkts[taken++] = pkt;
		d->lent[i] = NULL;
	}
	return taken;
}

/* Return: pieces of @pkt, at most @max + 1. */
static unsigned pieces_of(const struct riser_pkt *pkt, struct iovec *iov, unsigned max)
{
	unsigned n = 0;

	for (; pkt; pkt = pkt->next, n++) {
		if (n == max)
			return n + 1;
		iov[n] = (struct iovec){ .iov_base = pkt->data, .iov_len = pkt->len };
	}
	return n;
}

/* How many of the packets go with the next call; one of too many pieces is not among them. */
static unsigned prepare(struct dgram_queue *d, struct riser_pkt **pkts, unsigned n)
{
	unsigned used = 0, i;

	for (i = 0; i < n && i < BATCH; i++) {
		unsigned pieces = pieces_of(pkts[i], &d->out_piece[used], PIECES - used);

		if (pieces > PIECES - used)
			break;
		d->out[i].msg_hdr.msg_iov = &d->out_piece[used];
		d->out[i].msg_hdr.msg_iovlen = pieces;
		used += pieces;
	}
	return i;
}

/* Send some. Return: how many are done with, sent or not; 0: no room. */
static unsigned send_some(struct dgram_queue *d, struct riser_pkt **pkts, unsigned n)
{
	const struct dgram_port *p = container_of(d->q.port, struct dgram_port, p);
	int sent;

	n = prepare(d, pkts, n);
	if (!n) {
		d->q.stats.tx_errors++;
		return 1;
	}
	if (!*p->remote.sun_path) {
		d->q.stats.tx_dropped += n;
		return n;
	}
	sent = sendmmsg(p->fd, d->out, n, MSG_DONTWAIT);
	if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
		return 0;
	if (sent <= 0) { /* the first did not go: too long, or nobody is there */
		d->q.stats.tx_errors += errno == EMSGSIZE;
		d->q.stats.tx_dropped += errno != EMSGSIZE;
		return 1;
	}
	for (int i = 0; i < sent; i++)
		d->q.stats.tx_bytes += pkts[i]->total;
	d->q.stats.tx_packets += (unsigned)sent;
	return (unsigned)sent;
}

static int dgram_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct dgram_queue *d = container_of(q, struct dgram_queue, q);
	unsigned done = 0, now;

	while (done < n && (now = send_some(d, pkts + done, n - done)))
		for (unsigned i = 0; i < now; i++)
			pool_put_all(pkts[done++]);
	return (int)done;
}

static int dgram_arm(struct riser_port_queue *q)
{
	return q->full ? -EOPNOTSUPP : 0;
}

const struct port_ops port_dgram = {
	.size = sizeof(port_dgram),
	.scheme = "dgram",
	.example = "dgram:/run/a.sock?remote=/run/b.sock",
	.open = dgram_open,
	.close = dgram_close,
	.queue_open = dgram_queue_open,
	.queue_close = dgram_queue_close,
	.rx = dgram_rx,
	.tx = dgram_tx,
	.arm = dgram_arm,
};
