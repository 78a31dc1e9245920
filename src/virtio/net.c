/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Opening a network device, and starting it anew; see net.h. */
#include "virtio/net.h"
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DEFAULT_SIZE 256
#define LEAST_MTU    68
#define USUAL_MTU    1500
#define PAIRS_MAX    0x8000
#define RESTARTS_MAX 4
#define RESTART_SPAN (10 * NS_PER_S)

#define F(name)      VIRTIO_BIT(RISER_VIRTIO_NET_F_##name)
#define G(name)      VIRTIO_BIT(RISER_VIRTIO_F_##name)

/* Of every device: virtio_negotiate() knows what they need. */
#define COMMON                                                                                     \
	(G(ANY_LAYOUT) | G(INDIRECT_DESC) | G(EVENT_IDX) | G(RING_PACKED) | G(IN_ORDER) |          \
	 G(NOTIFICATION_DATA) | G(RING_RESET))

#define ALWAYS                                                                                     \
	(F(MTU) | F(MAC) | F(MRG_RXBUF) | F(STATUS) | F(SPEED_DUPLEX) | F(STANDBY) | F(CSUM) |     \
	 F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) | F(HOST_USO) | F(CTRL_VQ) | F(CTRL_RX) |       \
	 F(CTRL_RX_EXTRA) | F(CTRL_VLAN) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE) | F(NOTF_COAL) |   \
	 F(VQ_NOTF_COAL))

static uint64_t wanted(const struct virtio_net *n)
{
	const struct virtio_net_opts *o = &n->opts;
	uint64_t w = COMMON | ALWAYS;

	if (o->rx_csum)
		w |= F(GUEST_CSUM) | F(CTRL_GUEST_OFFLOADS);
	/* A large packet takes several buffers. */
	if (o->rx_csum && o->rx_large && n->d->offered & F(MRG_RXBUF))
		w |= F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | F(GUEST_USO4) | F(GUEST_USO6);
	if (o->rx_hash)
		w |= F(HASH_REPORT);
	if (n->opts.pairs > 1 && n->max_pairs > 1)
		w |= F(MQ) | F(RSS);
	return w;
}

/* Pairs behind the first may be there only once MQ was agreed on. */
static void limit_pairs(struct virtio_net *n)
{
	const struct virtio_transport *t = n->d->t;
	bool many = n->d->features & (F(MQ) | F(RSS));

	while (n->npairs > 1 && (!many || !t->queue_max(n->d, 2 * n->npairs - 2) ||
				 !t->queue_max(n->d, 2 * n->npairs - 1)))
		close(n->pairs[--n->npairs].event_fd);
}

static int negotiate(struct virtio_net *n, struct riser_err *err)
{
	const struct virtio_dev *d = n->d;
	int rc = virtio_negotiate(n->d, virtio_net_features, wanted(n), 0, err);

	if (rc)
		return rc;
	if (n->agreed && n->agreed != d->features)
		return err_set(err, -ENOTSUP, "%s: it offers other features since it was reset",
			       d->name);
	if (n->agreed)
		return 0;
	limit_pairs(n);
	/* Owners read the rest without a lock: it is written once. */
	n->agreed = d->features;
	n->mrg = virtio_has(d, RISER_VIRTIO_NET_F_MRG_RXBUF);
	n->hdr_len = RISER_VIRTIO_NET_HDR_LEGACY;
	if (n->mrg || virtio_has(d, RISER_VIRTIO_F_VERSION_1))
		n->hdr_len = sizeof(struct riser_virtio_net_hdr);
	if (virtio_has(d, RISER_VIRTIO_NET_F_HASH_REPORT))
		n->hdr_len = sizeof(struct riser_virtio_net_hdr_hash);
	n->header_apart = !virtio_has(d, RISER_VIRTIO_F_VERSION_1) &&
			  !virtio_has(d, RISER_VIRTIO_F_ANY_LAYOUT);
	return 0;
}

static int new_queue(struct virtio_net *n, unsigned i, bool tx, struct virtq **out,
		     struct riser_err *err)
{
	struct virtio_net_pair *p = &n->pairs[i];
	int rc = -ENOSPC;

	if (p->interrupts)
		rc = virtq_new(n->d, 2 * i + tx, p->size, p->event_fd, out, err);
	if (rc != -ENOSPC)
		return rc;
	p->interrupts = false;
	return virtq_new(n->d, 2 * i + tx, p->size, -1, out, err);
}

static int new_pair(struct virtio_net *n, unsigned i, struct riser_err *err)
{
	struct virtio_net_pair *p = &n->pairs[i];
	int rc;

	p->interrupts = i < n->d->events;
	rc = new_queue(n, i, false, &p->now.rx, err);
	return rc ? rc : new_queue(n, i, true, &p->now.tx, err);
}

/* The device does not know them any more. Queues that an owner has are left to him, who is told. */
static void forget_pair(struct virtio_net_pair *p)
{
	if (!p->taken) {
		virtq_free(p->now.rx);
		virtq_free(p->now.tx);
	}
	p->taken = false;
	p->now = (struct virtio_net_queues){ .gen = p->now.gen + 1 };
	store_release(&p->gen, p->now.gen);
}

static void forget_pairs(struct virtio_net *n)
{
	for (unsigned i = 0; n->pairs && i < n->npairs; i++)
		forget_pair(&n->pairs[i]);
}

/* From the status DRIVER to a device that runs. */
static int bring_up(struct virtio_net *n, struct riser_err *err)
{
	int rc = negotiate(n, err);

	for (unsigned i = 0; !rc && i < n->npairs; i++)
		rc = new_pair(n, i, err);
	if (!rc)
		rc = virtio_net_ctrl_open(n, err);
	if (!rc)
		rc = virtio_start(n->d, err);
	if (!rc)
		virtio_net_ctrl_replay(n);
	if (n->ctrl_silent)
		rc = err_set(err, -ETIMEDOUT, "%s: its control queue is silent", n->d->name);
	return rc;
}

static int restart_locked(struct virtio_net *n, const char *why, struct riser_err *err)
{
	int rc;

	base_log(n->d->r, RISER_LOG_WARN, "%s: reset: %s", n->d->name, why);
	store_relaxed(&n->dead, true);
	rc = virtio_reset(n->d, err);
	forget_pairs(n);
	virtio_net_ctrl_close(n);
	if (!rc)
		rc = bring_up(n, err);
	if (rc)
		n->why = err ? *err : (struct riser_err){ .code = rc };
	store_relaxed(&n->dead, rc != 0);
	return rc;
}

int virtio_net_restart(struct virtio_net *n, const char *why, struct riser_err *err)
{
	struct riser_err local = { 0 };
	int rc;

	pthread_mutex_lock(&n->lock);
	rc = restart_locked(n, why, err ? err : &local);
	pthread_mutex_unlock(&n->lock);
	clock_bump(n->d->r);
	return rc;
}

int virtio_net_take(struct virtio_net *n, unsigned pair, struct virtio_net_queues *out)
{
	struct virtio_net_pair *p = &n->pairs[pair];
	int rc = 0;

	pthread_mutex_lock(&n->lock);
	*out = p->now;
	if (n->dead || !p->now.rx || !p->now.tx) {
		out->rx = out->tx = NULL;
		rc = -ENODEV;
	} else {
		p->taken = p->open = true;
	}
	pthread_mutex_unlock(&n->lock);
	return rc;
}

/* A pair alone gets new queues. Return: -EOPNOTSUPP: that takes a restart. */
static int renew_pair(struct virtio_net *n, unsigned i, struct riser_err *err)
{
	const struct virtio_transport *t = n->d->t;
	int rc;

	if (!virtio_has(n->d, RISER_VIRTIO_F_RING_RESET) || n->dead)
		return -EOPNOTSUPP;
	rc = t->queue_stop(n->d, 2 * i);
	if (!rc)
		rc = t->queue_stop(n->d, 2 * i + 1);
	if (rc)
		return -EOPNOTSUPP;
	forget_pair(&n->pairs[i]);
	return new_pair(n, i, err);
}

static int renew(struct virtio_net *n, unsigned i, const char *why, struct riser_err *err)
{
	int rc = renew_pair(n, i, err);

	return rc ? restart_locked(n, why, err) : 0;
}

void virtio_net_drop(struct virtio_net *n, unsigned pair)
{
	struct riser_err err = { 0 };

	pthread_mutex_lock(&n->lock);
	n->pairs[pair].open = false;
	if (n->pairs[pair].taken)
		renew(n, pair, "a queue was closed", &err);
	pthread_mutex_unlock(&n->lock);
}

int virtio_net_resize(struct virtio_net *n, unsigned pair, unsigned size, struct riser_err *err)
{
	struct riser_err local = { 0 };
	int rc;

	pthread_mutex_lock(&n->lock);
	n->pairs[pair].size = size;
	rc = renew(n, pair, "a queue gets another size", err ? err : &local);
	pthread_mutex_unlock(&n->lock);
	return rc;
}

static int read_le16(struct virtio_net *n, size_t off, uint16_t *out)
{
	riser_le16 v;
	int rc = n->d->t->config_read(n->d, off, &v, sizeof(v));

	*out = rc ? 0 : le16(v);
	return rc;
}

static int read_speed(struct virtio_net *n, struct virtio_net_status *s)
{
	riser_le32 speed;
	uint8_t duplex = 0xff;
	int rc = n->d->t->config_read(n->d, offsetof(struct riser_virtio_net_config, speed), &speed,
				      sizeof(speed));

	if (!rc)
		rc = n->d->t->config_read(n->d, offsetof(struct riser_virtio_net_config, duplex),
					  &duplex, 1);
	if (rc)
		return rc;
	/* §5.1.4: anything above INT_MAX is as good as unknown. */
	s->speed = le32(speed) > INT32_MAX ? 0 : le32(speed);
	s->full_duplex = duplex == 1;
	return 0;
}

static int read_status(struct virtio_net *n, struct virtio_net_status *s)
{
	const struct virtio_dev *d = n->d;
	uint16_t v;
	int rc = d->t->status_get(n->d);

	if (rc == 0xff)
		return -ENODEV;
	s->needs_reset = rc & RISER_VIRTIO_STATUS_NEEDS_RESET;
	s->link = true;
	s->mtu = USUAL_MTU;
	rc = 0;
	memcpy(s->mac, n->mac, sizeof(s->mac));
	if (!n->own_mac)
		rc = d->t->config_read(n->d, offsetof(struct riser_virtio_net_config, mac), s->mac,
				       sizeof(s->mac));
	if (!rc && virtio_has(d, RISER_VIRTIO_NET_F_STATUS)) {
		rc = read_le16(n, offsetof(struct riser_virtio_net_config, status), &v);
		s->link = v & RISER_VIRTIO_NET_S_LINK_UP;
		s->announce = v & RISER_VIRTIO_NET_S_ANNOUNCE;
	}
	if (!rc && virtio_has(d, RISER_VIRTIO_NET_F_MTU)) {
		rc = read_le16(n, offsetof(struct riser_virtio_net_config, mtu), &v);
		s->mtu = v >= LEAST_MTU ? v : USUAL_MTU;
	}
	if (!rc && virtio_has(d, RISER_VIRTIO_NET_F_SPEED_DUPLEX))
		rc = read_speed(n, s);
	return rc;
}

int virtio_net_status(struct virtio_net *n, struct virtio_net_status *s)
{
	int rc;

	memset(s, 0, sizeof(*s));
	pthread_mutex_lock(&n->lock);
	rc = n->dead ? -ENODEV : read_status(n, s);
	pthread_mutex_unlock(&n->lock);
	return rc;
}

/* Its wish for a reset is granted, but not for ever. Locked. */
static void grant_reset(struct virtio_net *n)
{
	uint64_t now = clock_now(n->d->r);
	struct riser_err err = { 0 };

	n->restarts = now - n->restarted < RESTART_SPAN ? n->restarts + 1 : 0;
	n->restarted = now;
	if (n->restarts < RESTARTS_MAX) {
		restart_locked(n, "it asked for it", &err);
		return;
	}
	err_set(&n->why, -EIO, "%s: it was reset %u times and still wants to be", n->d->name,
		n->restarts);
	store_relaxed(&n->dead, true);
	virtio_reset(n->d, NULL); /* it lets go of the buffers all the same */
	forget_pairs(n);
	virtio_net_ctrl_close(n);
}

bool virtio_net_look(struct virtio_net *n)
{
	bool did = false;

	if (pthread_mutex_trylock(&n->lock))
		return false;
	if (!n->dead && virtio_check(n->d) == -EIO) {
		int status = n->d->t->status_get(n->d);

		did = status != 0xff && status & RISER_VIRTIO_STATUS_NEEDS_RESET;
		if (did)
			grant_reset(n);
	}
	pthread_mutex_unlock(&n->lock);
	return did;
}

void virtio_net_spread(struct virtio_net *n)
{
	struct riser_err err;
	unsigned pairs = 0;

	if (!virtio_net_has(n, RISER_VIRTIO_NET_F_MQ))
		return;
	pthread_mutex_lock(&n->lock);
	while (pairs < n->npairs && n->pairs[pairs].open)
		pairs++;
	pthread_mutex_unlock(&n->lock);
	pairs = max_of(pairs, 1u);
	if (pairs == n->spread)
		return;
	n->spread = pairs;
	if (virtio_net_set_pairs(n, pairs, &err))
		base_log(n->d->r, RISER_LOG_WARN, "%s", err.text);
}

/* An address of our own for a device that has none. */
static int make_mac(struct virtio_net *n, struct riser_err *err)
{
	if (virtio_has(n->d, RISER_VIRTIO_NET_F_MAC))
		return 0;
	if (getrandom(n->mac, sizeof(n->mac), 0) != sizeof(n->mac))
		return err_set(err, -EIO, "%s: no random numbers for an address", n->d->name);
	n->mac[0] = (n->mac[0] & 0xfc) | 2; /* locally administered, of one station */
	n->own_mac = true;
	return virtio_has(n->d, RISER_VIRTIO_NET_F_CTRL_MAC_ADDR)
		       ? virtio_net_set_mac(n, n->mac, err)
		       : 0;
}

/* How many pairs there are to choose from. It is read before features are agreed on. */
static int count_pairs(struct virtio_net *n, struct riser_err *err)
{
	struct virtio_dev *d = n->d;
	uint16_t max = 1;

	if (d->offered & (F(MQ) | F(RSS)) &&
	    read_le16(n, offsetof(struct riser_virtio_net_config, max_virtqueue_pairs), &max))
		max = 1;
	n->max_pairs = max && max <= PAIRS_MAX ? max : 1;
	if (!d->t->queue_max(d, 0) || !d->t->queue_max(d, 1))
		return err_set(err, -ENODEV, "%s: a network device without queues", d->name);
	n->npairs = min_of(n->opts.pairs, n->max_pairs);
	n->pairs = calloc(n->npairs, sizeof(*n->pairs));
	if (!n->pairs)
		return err_set(err, -ENOMEM, "no memory for queues");
	for (unsigned i = 0; i < n->npairs; i++) {
		n->pairs[i].event_fd = -1;
		n->pairs[i].size = n->opts.size ? n->opts.size : DEFAULT_SIZE;
	}
	for (unsigned i = 0; i < n->npairs; i++) {
		n->pairs[i].event_fd = event_new();
		if (n->pairs[i].event_fd < 0)
			return err_set(err, n->pairs[i].event_fd, "no descriptor for a queue");
	}
	return 0;
}

void virtio_net_close(struct virtio_net *n)
{
	if (!n)
		return;
	if (n->d) {
		struct riser *r = n->d->r;

		virtio_reset(n->d, NULL);
		forget_pairs(n);
		virtio_net_ctrl_close(n);
		virtio_net_ctrl_forget(n);
		pthread_mutex_lock(&r->open_lock);
		virtio_close(n->d);
		pthread_mutex_unlock(&r->open_lock);
	}
	for (unsigned i = 0; n->pairs && i < n->npairs; i++)
		if (n->pairs[i].event_fd >= 0)
			close(n->pairs[i].event_fd);
	if (n->config_fd >= 0)
		close(n->config_fd);
	pthread_mutex_destroy(&n->lock);
	free(n->pairs);
	free(n);
}

int virtio_net_open(struct riser *r, const struct uri *u, const struct virtio_net_opts *opts,
		    struct virtio_net **out, struct riser_err *err)
{
	struct virtio_net *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return err_set(err, -ENOMEM, "no memory for a network device");
	n->opts = *opts;
	n->spread = 1;
	list_init(&n->saved);
	pthread_mutex_init(&n->lock, NULL);
	n->config_fd = event_new();
	rc = n->config_fd < 0 ? err_set(err, n->config_fd, "no descriptor for a network device")
			      : 0;
	if (!rc) {
		pthread_mutex_lock(&r->open_lock);
		rc = virtio_open(r, u, RISER_VIRTIO_ID_NET, &n->d, err);
		pthread_mutex_unlock(&r->open_lock);
	}
	if (!rc)
		rc = count_pairs(n, err);
	if (!rc)
		rc = bring_up(n, err);
	/* Where there is none, link changes are seen when somebody looks. */
	if (!rc)
		n->interrupts = !n->d->t->irq_config(n->d, n->config_fd);
	if (!rc)
		rc = make_mac(n, err);
	if (rc)
		virtio_net_close(n);
	else
		*out = n;
	return rc;
}
