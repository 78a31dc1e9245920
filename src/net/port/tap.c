/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * tap:NAME - an interface of the kernel's. Each packet goes with its virtio header, as a card's
 * would, so that checksums and segments are passed on and a large packet is one system call.
 */
#include "base/err.h"
#include "base/uri.h"
#include "net/pool.h"
#include "net/port.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define QUEUES   16
#define PIECES   65 /* the header and segments of a packet */
#define LARGE    (64 * KiB + 64)
#define ETHERNET 18 /* header and a VLAN tag */
#ifndef TUN_F_USO4  /* since Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap_port {
	struct riser_port p;
	int fds[QUEUES];
	unsigned nfds;
	int control; /* a socket, to ask about the interface; -1: none */
	char name[IFNAMSIZ];
	char description[64];
};

struct tap_queue {
	struct riser_port_queue q;
	struct riser_pkt *lent; /* that the next packet is received into */
	uint32_t room;          /* of its segments */
};

static int why(const char *what, const char *name, struct riser_err *err)
{
	int rc = -errno;

	if (rc == -EPERM)
		return err_set(err, rc,
			       "tap:%s: %s: it wants CAP_NET_ADMIN, or an interface made for this "
			       "user: ip tuntap add dev NAME mode tap user USER vnet_hdr",
			       name, what);
	if (rc == -ENOENT || rc == -ENODEV)
		return err_set(err, rc, "tap:%s: %s: there is no /dev/net/tun (modprobe tun)", name,
			       what);
	if (rc == -EBUSY)
		return err_set(err, rc, "tap:%s: somebody else has the interface", name);
	if (rc == -EINVAL)
		return err_set(err, -EEXIST,
			       "tap:%s: there is an interface of that name, of another kind or "
			       "with other queues",
			       name);
	return err_set(err, rc, "tap:%s: %s: %s", name, what, strerror(-rc));
}

/* One queue of the interface. */
static int attach(struct tap_port *p, const char *name, bool multi, struct riser_err *err)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						  (multi ? IFF_MULTI_QUEUE : 0)) };
	int size = sizeof(struct riser_virtio_net_hdr);
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return why("/dev/net/tun", name, err);
	p->fds[p->nfds++] = fd;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr))
		return why("TUNSETIFF", name, err);
	if (ioctl(fd, TUNSETVNETHDRSZ, &size))
		return why("TUNSETVNETHDRSZ", name, err);
	memcpy(p->name, ifr.ifr_name, sizeof(p->name));
	return 0;
}

/* What the kernel may leave to us; and find out what it does for us. */
static int agree(struct tap_port *p, uint32_t asked, struct riser_err *err)
{
	uint32_t can = RISER_PORT_CSUM | RISER_PORT_TSO4 | RISER_PORT_TSO6 | RISER_PORT_ECN;
	unsigned flags = 0, uso = TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6;

	if (asked & RISER_PORT_RX_CSUM)
		flags = TUN_F_CSUM;
	if (flags && asked & RISER_PORT_RX_LARGE)
		flags |= TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	can |= ioctl(p->fds[0], TUNSETOFFLOAD, uso) ? 0 : RISER_PORT_USO;
	for (unsigned i = 0; i < p->nfds; i++) {
		bool large = flags & TUN_F_TSO4 && can & RISER_PORT_USO;

		if (ioctl(p->fds[i], TUNSETOFFLOAD, flags | (large ? uso : 0)))
			return why("TUNSETOFFLOAD", p->name, err);
	}
	can |= flags & TUN_F_CSUM ? RISER_PORT_RX_CSUM : 0;
	can |= flags & TUN_F_TSO4 ? RISER_PORT_RX_LARGE : 0;
	p->p.info.offloads = can;
	return 0;
}

static bool ask(const struct tap_port *p, unsigned long what, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, p->name, sizeof(ifr->ifr_name));
	return p->control >= 0 && !ioctl(p->control, what, ifr);
}

/* The port's address is the other side of the interface's, and has to differ from it. */
static void tap_refresh(struct riser_port *port)
{
	struct tap_port *p = container_of(port, struct tap_port, p);
	struct ifreq ifr;

	port->info.link = ask(p, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_UP;
	if (ask(p, SIOCGIFMTU, &ifr))
		port->info.mtu = (uint32_t)ifr.ifr_mtu;
	if (ask(p, SIOCGIFHWADDR, &ifr)) {
		memcpy(port->info.mac, ifr.ifr_hwaddr.sa_data, sizeof(port->info.mac));
		port->info.mac[5] ^= 1;
	}
}

static void tap_close(struct riser_port *port)
{
	struct tap_port *p = container_of(port, struct tap_port, p);

	for (unsigned i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	if (p->control >= 0)
		close(p->control);
	free(p);
}

static int tap_open(struct riser *r, const struct uri *u, const struct riser_port_opts *opts,
		    struct riser_port **out, struct riser_err *err)
{
	static const char *const keys[] = { NULL };
	struct tap_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "no memory for tap:%s", u->rest);
	p->control = -1;
	rc = uri_check_keys(u, keys, err);
	if (!rc && opts->queues > QUEUES)
		rc = err_set(err, -EINVAL, "tap: %u queues: it has %u", opts->queues, QUEUES);
	if (!rc && strlen(u->rest) >= IFNAMSIZ)
		rc = err_set(err, -EINVAL, "tap:%s: a name of more than %d letters", u->rest,
			     IFNAMSIZ - 1);
	for (unsigned i = 0; !rc && i < opts->queues; i++)
		rc = attach(p, i ? p->name : u->rest, opts->queues > 1, err);
	if (!rc)
		rc = agree(p, opts->offloads, err);
	if (rc) {
		tap_close(&p->p);
		return rc;
	}
	p->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	p->p.info.mtu = 1500;
	p->p.info.mac[0] = 2;
	tap_refresh(&p->p);
	p->p.info.queues = opts->queues;
	p->p.info.max_queues = QUEUES;
	p->p.info.full_duplex = true;
	snprintf(p->description, sizeof(p->description), "the interface %s of the kernel", p->name);
	p->p.info.description = p->description;
	*out = &p->p;
	return 0;
}

static int tap_queue_open(struct riser_port *port, unsigned index, struct riser_exec *x,
			  struct riser_pool *pool, struct riser_port_queue **out,
			  struct riser_err *err)
{
	struct tap_port *p = container_of(port, struct tap_port, p);
	struct tap_queue *t;

	if (pool && pool->size < port->info.mtu + ETHERNET)
		return err_set(err, -EINVAL, "%s: buffers of %u bytes are too small for its MTU",
			       port->name, pool->size);
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, -ENOMEM, "no memory for a queue of %s", port->name);
	t->q.watch.fd = p->fds[index];
	t->q.tells = RISER_WATCH_OUT | (pool ? RISER_WATCH_IN : 0);
	*out = &t->q;
	return 0;
}

static void tap_queue_close(struct riser_port_queue *q)
{
	struct tap_queue *t = container_of(q, struct tap_queue, q);

	pool_put_all(t->lent);
	free(t);
}

/* Have buffers for the largest packet that may come. Return: whether there are. */
static bool lend(struct tap_queue *t)
{
	bool large = t->q.port->info.offloads & RISER_PORT_RX_LARGE;
	uint32_t want = large ? LARGE : t->q.port->info.mtu + ETHERNET;

	while (t->room < want) {
		struct riser_pkt *s = pool_get(t->q.pool);

		if (!s)
			break;
		s->next = t->lent;
		t->lent = s;
		t->room += t->q.pool->size;
	}
	return t->room >= want;
}

/* Take as many segments as @len bytes fill. */
static struct riser_pkt *take(struct tap_queue *t, uint32_t len)
{
	struct riser_pkt *first = t->lent, *s = first;

	first->total = len;
	for (;; s = s->next) {
		s->len = min_of(len, t->q.pool->size);
		len -= s->len;
		t->room -= t->q.pool->size;
		if (!len)
			break;
	}
	t->lent = s->next;
	s->next = NULL;
	return first;
}

/* Return: a packet, or NULL: none. */
static struct riser_pkt *receive(struct tap_queue *t, int *rc)
{
	struct riser_virtio_net_hdr hdr;
	struct iovec iov[PIECES] = { { .iov_base = &hdr, .iov_len = sizeof(hdr) } };
	struct riser_pkt *pkt;
	int pieces = 1;
	ssize_t n;

	for (pkt = t->lent; pkt && pieces < PIECES; pkt = pkt->next)
		iov[pieces++] = (struct iovec){ .iov_base = pkt->data, .iov_len = t->q.pool->size };
	n = readv(t->q.watch.fd, iov, pieces);
	if (n < 0)
		*rc = errno == EAGAIN || errno == EINTR ? 0 : -ENODEV;
	if (n <= (ssize_t)sizeof(hdr))
		return NULL;
	pkt = take(t, (uint32_t)n - (uint32_t)sizeof(hdr));
	if (hdr.flags || hdr.gso_type) {
		pkt->flags = RISER_PKT_HDR;
		pkt->hdr = hdr;
	}
	return pkt;
}

static int tap_rx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct tap_queue *t = container_of(q, struct tap_queue, q);
	unsigned i = 0;
	int rc = 0;

	while (i < n && q->pool && lend(t) && (pkts[i] = receive(t, &rc))) {
		q->stats.rx_packets++;
		q->stats.rx_bytes += pkts[i++]->total;
	}
	return i ? (int)i : rc;
}

/* Return: false: no room. */
static bool send_one(struct tap_queue *t, const struct riser_pkt *pkt, int *rc)
{
	struct riser_virtio_net_hdr hdr = { 0 };
	struct iovec iov[PIECES] = { { .iov_base = &hdr, .iov_len = sizeof(hdr) } };
	uint32_t total = pkt->total;
	int pieces = 1;

	if (pkt->flags & RISER_PKT_HDR)
		hdr = pkt->hdr;
	for (; pkt && pieces < PIECES; pkt = pkt->next)
		iov[pieces++] = (struct iovec){ .iov_base = pkt->data, .iov_len = pkt->len };
	if (!pkt && writev(t->q.watch.fd, iov, pieces) >= 0) {
		t->q.stats.tx_packets++;
		t->q.stats.tx_bytes += total;
		return true;
	}
	if (!pkt && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
		return false;
	if (!pkt && errno == EBADFD) { /* the interface was removed */
		*rc = -ENODEV;
		return false;
	}
	t->q.stats.tx_dropped += !pkt && errno == EIO; /* it is down */
	t->q.stats.tx_errors += pkt || errno != EIO;
	return true;
}

static int tap_tx(struct riser_port_queue *q, struct riser_pkt **pkts, unsigned n)
{
	struct tap_queue *t = container_of(q, struct tap_queue, q);
	unsigned i = 0;
	int rc = 0;

	while (i < n && send_one(t, pkts[i], &rc))
		pool_put_all(pkts[i++]);
	return i ? (int)i : rc;
}

const struct port_ops port_tap = {
	.size = sizeof(port_tap),
	.scheme = "tap",
	.example = "tap:riser0",
	.open = tap_open,
	.close = tap_close,
	.refresh = tap_refresh,
	.queue_open = tap_queue_open,
	.queue_close = tap_queue_close,
	.rx = tap_rx,
	.tx = tap_tx,
};
