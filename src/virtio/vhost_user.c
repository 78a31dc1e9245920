/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "virtio/vhost_user.h"
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/pci.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* Bits that mean something else on this bus. */
#define NOT_VIRTIO (VIRTIO_BIT(VHOST_USER_F_LOG_ALL) | VIRTIO_BIT(VHOST_USER_F_PROTOCOL))

/* Addresses that are not our own, and notifications that carry data, which an eventfd does not. */
#define UNUSABLE                                                                                   \
	(VIRTIO_BIT(RISER_VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_BIT(RISER_VIRTIO_F_SR_IOV) |          \
	 VIRTIO_BIT(RISER_VIRTIO_F_NOTIFICATION_DATA) |                                            \
	 VIRTIO_BIT(RISER_VIRTIO_F_NOTIF_CONFIG_DATA) | VIRTIO_BIT(RISER_VIRTIO_F_ADMIN_VQ))

/* Rings are stopped one by one with or without the backend's knowing of this feature. */
#define OURS VIRTIO_BIT(RISER_VIRTIO_F_RING_RESET)

/*
 * A network backend without a configuration leaves that to the frontend, and the control queue with
 * it. What hangs on either is withheld; an address and a link are added.
 */
#define NET_BY_FRONTEND                                                                            \
	(VIRTIO_BIT(RISER_VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(RISER_VIRTIO_NET_F_CTRL_RX) |         \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_CTRL_VLAN) | VIRTIO_BIT(RISER_VIRTIO_NET_F_CTRL_RX_EXTRA) | \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_CTRL_MAC_ADDR) |                                            \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |                                      \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_GUEST_ANNOUNCE) | VIRTIO_BIT(RISER_VIRTIO_NET_F_MQ) |       \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_RSS) | VIRTIO_BIT(RISER_VIRTIO_NET_F_HASH_REPORT) |         \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_NOTF_COAL) | VIRTIO_BIT(RISER_VIRTIO_NET_F_VQ_NOTF_COAL) |  \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_DEVICE_STATS) | VIRTIO_BIT(RISER_VIRTIO_NET_F_MTU) |        \
	 VIRTIO_BIT(RISER_VIRTIO_NET_F_SPEED_DUPLEX) | VIRTIO_BIT(RISER_VIRTIO_NET_F_STANDBY))
#define NET_OURS (VIRTIO_BIT(RISER_VIRTIO_NET_F_MAC) | VIRTIO_BIT(RISER_VIRTIO_NET_F_STATUS))

static bool net_is_ours(const struct vhost_user *v)
{
	return v->id == RISER_VIRTIO_ID_NET && !vhost_user_has(v, VHOST_USER_PROTOCOL_CONFIG);
}

static int features_get(struct virtio_dev *d, uint64_t *features)
{
	struct vhost_user *v = vhost_user_of(d);

	pthread_mutex_lock(&v->lock);
	*features = (v->features & ~NOT_VIRTIO) | OURS;
	d->withheld = UNUSABLE;
	if (net_is_ours(v)) {
		*features |= NET_OURS;
		d->withheld |= NET_BY_FRONTEND;
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int features_set(struct virtio_dev *d, uint64_t features)
{
	struct vhost_user *v = vhost_user_of(d);
	int rc;

	pthread_mutex_lock(&v->lock);
	v->accepted = features & v->features & ~NOT_VIRTIO;
	rc = vhost_user_agree(v);
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static int status_get(struct virtio_dev *d)
{
	return vhost_user_of(d)->status;
}

static void enable(struct vhost_user *v, unsigned index, bool on)
{
	struct vhost_user_msg msg = { .request = VHOST_USER_SET_VRING_ENABLE,
				      .size = sizeof(msg.state),
				      .state = { index, on } };

	/* Without protocol features rings are enabled as they start. */
	if (v->features & VIRTIO_BIT(VHOST_USER_F_PROTOCOL))
		(void)vhost_user_tell(v, &msg, NULL, 0);
}

static void stop(struct vhost_user *v, unsigned index)
{
	struct vhost_user_msg msg = { .request = VHOST_USER_GET_VRING_BASE,
				      .size = sizeof(msg.state),
				      .state = { index, 0 } };

	if (!v->rings[index].started)
		return;
	enable(v, index, false);
	/* Where it stopped is not for it to say: every start is from the beginning. */
	(void)vhost_user_ask(v, &msg, sizeof(msg.state));
	v->rings[index].started = false;
}

static void enable_all(struct vhost_user *v)
{
	for (unsigned i = 0; i < VHOST_USER_QUEUES_MAX; i++)
		if (v->rings[i].started)
			enable(v, i, true);
}

/* A backend that is away learns the status when it comes back. */
static int status_set(struct virtio_dev *d, uint8_t status)
{
	struct vhost_user *v = vhost_user_of(d);
	bool runs = status & RISER_VIRTIO_STATUS_DRIVER_OK;

	pthread_mutex_lock(&v->lock);
	for (unsigned i = 0; !status && i < VHOST_USER_QUEUES_MAX; i++)
		stop(v, i);
	if (vhost_user_has(v, VHOST_USER_PROTOCOL_STATUS))
		(void)vhost_user_tell_u64(v, VHOST_USER_SET_STATUS, status);
	if (runs && !(v->status & RISER_VIRTIO_STATUS_DRIVER_OK))
		enable_all(v);
	v->status = status;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/*
 * Some backends ignore the offset, so that everything is read from the beginning. Not every one has
 * as many fields as we know: what it lacks reads as 0, and no feature speaks of it.
 */
static int config_ask(struct vhost_user *v, size_t off, void *buf, size_t len)
{
	struct vhost_user_msg msg = { .request = VHOST_USER_GET_CONFIG };
	int rc;

	msg.config.size = (uint32_t)(off + len);
	msg.size = (uint32_t)(VHOST_USER_CONFIG_HEADER + off + len);
	rc = vhost_user_ask(v, &msg, msg.size);
	if (!rc)
		memcpy(buf, v->rx.msg.config.data + off, len);
	return rc;
}

static int config_read(struct virtio_dev *d, size_t off, void *buf, size_t len)
{
	struct vhost_user *v = vhost_user_of(d);
	size_t room = VHOST_USER_CONFIG_MAX;
	int rc = 0;

	if (net_is_ours(v))
		room = sizeof(v->net);
	if (off > room || len > room - off)
		return -ERANGE;
	pthread_mutex_lock(&v->lock);
	if (net_is_ours(v)) {
		v->net.status = to_le16((uint16_t)(v->sock >= 0 ? RISER_VIRTIO_NET_S_LINK_UP : 0));
		memcpy(buf, (const uint8_t *)&v->net + off, len);
	} else {
		rc = config_ask(v, off, buf, len);
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static int config_write(struct virtio_dev *d, size_t off, const void *buf, size_t len)
{
	struct vhost_user_msg msg = { .request = VHOST_USER_SET_CONFIG };
	struct vhost_user *v = vhost_user_of(d);
	int rc;

	if (net_is_ours(v) || off > VHOST_USER_CONFIG_MAX || len > VHOST_USER_CONFIG_MAX - off)
		return -ERANGE;
	msg.config.offset = (uint32_t)off;
	msg.config.size = (uint32_t)len;
	memcpy(msg.config.data, buf, len);
	msg.size = (uint32_t)(VHOST_USER_CONFIG_HEADER + len);
	pthread_mutex_lock(&v->lock);
	rc = vhost_user_tell(v, &msg, NULL, 0);
	pthread_mutex_unlock(&v->lock);
	return rc;
}

/* The protocol has no limit of its own but the specification's, and backends have none to tell. */
static unsigned queue_max(struct virtio_dev *d, unsigned index)
{
	return index < vhost_user_of(d)->queues ? 1024 : 0;
}

static int give_event(struct vhost_user *v, uint32_t request, unsigned index, int fd)
{
	struct vhost_user_msg msg = { .request = request, .size = sizeof(msg.u64), .u64 = index };

	return vhost_user_tell(v, &msg, &fd, 1);
}

static int set_state(struct vhost_user *v, uint32_t request, unsigned index, uint32_t num)
{
	struct vhost_user_msg msg = { .request = request,
				      .size = sizeof(msg.state),
				      .state = { index, num } };

	return vhost_user_tell(v, &msg, NULL, 0);
}

static int start(struct vhost_user *v, unsigned index, const struct virtio_layout *l)
{
	struct vhost_user_msg addr = {
		.request = VHOST_USER_SET_VRING_ADDR,
		.size = sizeof(addr.addr),
		.addr = { .index = index, .desc = l->desc, .avail = l->driver, .used = l->device }
	};
	uint32_t base = l->start;
	int rc;

	/* Of a packed ring the base is where it is available and, above, where it is used. */
	if (v->accepted & VIRTIO_BIT(RISER_VIRTIO_F_RING_PACKED))
		base |= base << 16;
	/* QEMU gives up a ring that has none to signal. */
	rc = give_event(v, VHOST_USER_SET_VRING_CALL, index,
			l->event_fd < 0 ? v->unheard : l->event_fd);
	if (!rc)
		rc = set_state(v, VHOST_USER_SET_VRING_NUM, index, l->size);
	if (!rc)
		rc = set_state(v, VHOST_USER_SET_VRING_BASE, index, base);
	if (!rc)
		rc = vhost_user_tell(v, &addr, NULL, 0);
	if (!rc)
		rc = give_event(v, VHOST_USER_SET_VRING_KICK, index, v->rings[index].kick);
	if (rc)
		return rc;
	v->rings[index].started = true;
	if (v->status & RISER_VIRTIO_STATUS_DRIVER_OK)
		enable(v, index, true);
	return 0;
}

static int queue_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
		       struct virtio_notify *notify)
{
	struct vhost_user *v = vhost_user_of(d);
	struct vhost_user_ring *ring = &v->rings[index];
	int rc = 0;

	if (index >= v->queues)
		return -EINVAL;
	pthread_mutex_lock(&v->lock);
	if (ring->kick < 0) {
		ring->kick = event_new();
		rc = min_of(ring->kick, 0);
	}
	if (!rc)
		rc = start(v, index, l);
	*notify = (struct virtio_notify){ .fd = ring->kick };
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static int queue_stop(struct virtio_dev *d, unsigned index)
{
	struct vhost_user *v = vhost_user_of(d);

	if (index >= v->queues)
		return -EINVAL;
	pthread_mutex_lock(&v->lock);
	stop(v, index);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int irq_config(struct virtio_dev *d, int fd)
{
	struct vhost_user *v = vhost_user_of(d);

	pthread_mutex_lock(&v->lock);
	v->irq = fd;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static void vhost_user_close(struct virtio_dev *d)
{
	struct vhost_user *v = vhost_user_of(d);

	pthread_mutex_lock(&v->lock);
	vhost_user_drop(v, "it is closed");
	pthread_mutex_unlock(&v->lock);
	vhost_user_memory_destroy(v);
	for (unsigned i = 0; i < VHOST_USER_QUEUES_MAX; i++)
		if (v->rings[i].kick >= 0)
			close(v->rings[i].kick);
	if (v->unheard >= 0)
		close(v->unheard);
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	pthread_mutex_destroy(&v->lock);
	free(d->name);
	free(v->path);
	free(v);
}

static const struct virtio_transport transport = {
	.size = sizeof(transport),
	.name = "vhost-user",
	.close = vhost_user_close,
	.status_get = status_get,
	.status_set = status_set,
	.features_get = features_get,
	.features_set = features_set,
	.config_read = config_read,
	.config_write = config_write,
	.queue_max = queue_max,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.irq_config = irq_config,
	.pump = vhost_user_pump,
};

/* The address by the key "mac", or a random one that nobody was given by a maker. */
static int choose_mac(struct vhost_user *v, const struct uri *u, struct riser_err *err)
{
	const char *text = uri_get(u, "mac");
	uint8_t *m = v->net.mac;
	uint64_t seed = clock_real() ^ (uint64_t)(uintptr_t)v ^ (uint64_t)getpid() << 32;
	char rest;

	if (text && sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &m[0], &m[1], &m[2],
			   &m[3], &m[4], &m[5], &rest) == 6)
		return 0;
	if (text)
		return err_set(err, -EINVAL, "mac=%s is no address such as 02:00:00:00:00:01",
			       text);
	seed *= 0x9e3779b97f4a7c15ull;
	for (unsigned i = 0; i < sizeof(v->net.mac); i++)
		m[i] = (uint8_t)(seed >> (8 * i + 16));
	m[0] = (uint8_t)((m[0] & ~1u) | 2);
	return 0;
}

static struct vhost_user *allocate(struct riser *r, const struct uri *u, unsigned id)
{
	struct vhost_user *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->dev.t = &transport;
	v->dev.r = r;
	v->dev.dma = &v->space;
	v->dev.id = id;
	v->dev.events = VHOST_USER_QUEUES_MAX;
	v->dev.wake_fd = waitset_new();
	v->dev.name = uri_canonical(u, NULL);
	v->path = strdup(u->rest);
	v->id = id;
	v->unheard = event_new();
	v->sock = v->requests = v->irq = -1;
	v->patience = VHOST_USER_PATIENCE;
	v->net.max_virtqueue_pairs = to_le16(1);
	list_init(&v->arenas);
	for (unsigned i = 0; i < VHOST_USER_QUEUES_MAX; i++)
		v->rings[i].kick = -1;
	pthread_mutex_init(&v->lock, NULL);
	return v;
}

static int set_up(struct vhost_user *v, const struct uri *u, struct riser_err *err)
{
	static const char *const keys[] = { "mac", PCI_DRIVER_KEYS, NULL };
	int rc = uri_check_keys(u, keys, err);

	if (!rc)
		rc = choose_mac(v, u, err);
	if (rc)
		return rc;
	if (v->dev.wake_fd < 0 || v->unheard < 0 || !v->path || !v->dev.name)
		return err_set(err, -ENOMEM, "no memory for %s", u->rest);
	if (strlen(v->path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(err, -ENAMETOOLONG, "%s is too long for a socket's path", v->path);
	rc = vhost_user_connect(v);
	if (rc)
		return err_set(err, rc, "%s", v->why.text);
	if (v->id != RISER_VIRTIO_ID_NET && !vhost_user_has(v, VHOST_USER_PROTOCOL_CONFIG))
		return err_set(err, -ENODEV,
			       "the vhost-user backend at %s has no configuration to read: a "
			       "network device, or one too old",
			       v->path);
	return vhost_user_memory_init(v, err);
}

int vhost_user_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		    struct riser_err *err)
{
	struct vhost_user *v = allocate(r, u, id);
	int rc;

	if (!v)
		return err_set(err, -ENOMEM, "no memory for %s", u->rest);
	rc = set_up(v, u, err);
	if (rc)
		vhost_user_close(&v->dev);
	else
		*out = &v->dev;
	return rc;
}
