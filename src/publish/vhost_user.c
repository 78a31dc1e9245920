/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "publish/vhost_user.h"
#include "base/event.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROTOCOL                                                                                   \
	(1ull << VHOST_USER_PROTOCOL_MQ | 1ull << VHOST_USER_PROTOCOL_REPLY_ACK |                  \
	 1ull << VHOST_USER_PROTOCOL_BACKEND_REQ | 1ull << VHOST_USER_PROTOCOL_CONFIG |            \
	 1ull << VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS)

/* Addresses are the client's own, and notifications carry no data. */
#define WITHHELD (1ull << RISER_VIRTIO_F_ACCESS_PLATFORM | 1ull << RISER_VIRTIO_F_NOTIFICATION_DATA)

#define STATUS_AGREED                                                                              \
	(RISER_VIRTIO_STATUS_ACKNOWLEDGE | RISER_VIRTIO_STATUS_DRIVER |                            \
	 RISER_VIRTIO_STATUS_FEATURES_OK)

#define F_PROTOCOL (1ull << VHOST_USER_F_PROTOCOL)

/* A refusal that the client hears of by NEED_REPLY, and may survive. */
#define REFUSED 1

static int wrong(struct vhost_back *b, const char *what)
{
	b->rx.wrong = what;
	return -EPROTO;
}

/* Memory. */

void *vhost_back_at(void *ctx, uint64_t addr, size_t *len)
{
	const struct vhost_back *b = ctx;

	for (unsigned i = 0; i < b->nregions; i++) {
		const struct vhost_user_region *at = &b->regions[i].at;

		if (addr - at->guest >= at->size)
			continue;
		*len = min_of(*len, (size_t)(at->size - (addr - at->guest)));
		return b->regions[i].map + at->offset + (addr - at->guest);
	}
	return NULL;
}

/* Return: the device's address for one of the client's own. */
static bool to_guest(const struct vhost_back *b, uint64_t user, uint64_t *guest)
{
	for (unsigned i = 0; i < b->nregions; i++) {
		const struct vhost_user_region *at = &b->regions[i].at;

		if (user - at->user >= at->size)
			continue;
		*guest = user - at->user + at->guest;
		return true;
	}
	return false;
}

static void unmap(struct vhost_back *b, unsigned i)
{
	munmap(b->regions[i].map, b->regions[i].len);
	b->regions[i] = b->regions[--b->nregions];
}

static bool region_fits(const struct vhost_back *b, const struct vhost_user_region *at)
{
	if (!at->size || at->guest + at->size < at->guest || at->user + at->size < at->user ||
	    at->offset + at->size < at->offset)
		return false;
	for (unsigned i = 0; i < b->nregions; i++) {
		const struct vhost_user_region *other = &b->regions[i].at;

		if (at->guest < other->guest + other->size && other->guest < at->guest + at->size)
			return false;
	}
	return true;
}

static int map(struct vhost_back *b, const struct vhost_user_region *at, int fd)
{
	struct vhost_back_region *region = &b->regions[b->nregions];
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (b->nregions == VHOST_BACK_REGIONS)
		return wrong(b, "has more regions of memory than there is room for");
	if (!region_fits(b, at))
		return wrong(b, "has a region of memory that overlaps another, or the end of all");
	/* Sealed, the size that we see here is the least that it will ever have. */
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return wrong(b, "shares memory that it could shorten under our feet: it is to be "
				"a memfd sealed by F_SEAL_SHRINK (QEMU: memory-backend-memfd)");
	if (fstat(fd, &st) || at->offset + at->size > (uint64_t)st.st_size)
		return wrong(b, "shares memory that ends before its region does");
	region->at = *at;
	region->len = (size_t)(at->offset + at->size);
	region->map = mmap(NULL, region->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (region->map == MAP_FAILED)
		return wrong(b, "shares memory that cannot be mapped");
	b->nregions++;
	return 0;
}

static int set_mem_table(struct vhost_back *b)
{
	unsigned n = b->rx.msg.memory.nregions;
	int rc = 0;

	if (n > VHOST_USER_FDS_MAX || n != b->rx.nfds ||
	    b->rx.msg.size < offsetof(struct vhost_user_memory, regions) +
				     n * sizeof(struct vhost_user_region))
		return wrong(b, "has other regions of memory than it says");
	while (b->nregions)
		unmap(b, 0);
	for (unsigned i = 0; i < n && !rc; i++) {
		struct vhost_user_region at = b->rx.msg.memory.regions[i];

		rc = map(b, &at, b->rx.fds[i]);
	}
	return rc;
}

static int add_mem_reg(struct vhost_back *b)
{
	struct vhost_user_region at = b->rx.msg.mem_reg.region;

	return map(b, &at, b->rx.fds[0]);
}

static int rem_mem_reg(struct vhost_back *b)
{
	struct vhost_user_region at = b->rx.msg.mem_reg.region;

	for (unsigned i = 0; i < b->nregions; i++) {
		const struct vhost_user_region *had = &b->regions[i].at;

		if (had->guest != at.guest || had->user != at.user || had->size != at.size)
			continue;
		unmap(b, i);
		return 0;
	}
	return REFUSED;
}

/* Rings. */

static void stop_ring(struct vhost_back *b, struct vhost_back_ring *ring)
{
	if (ring->runs)
		ring->base = vdev_disable(b->v, (unsigned)(ring - b->rings));
	ring->runs = false;
}

/* Once all is said. */
static int start_ring(struct vhost_back *b, struct vhost_back_ring *ring)
{
	unsigned index = (unsigned)(ring - b->rings);
	struct vdev_queue *q = &b->v->queues[index];
	bool enabled = ring->enabled || !b->f_protocol;

	if (ring->runs && !enabled)
		stop_ring(b, ring);
	if (ring->runs || !enabled || !ring->ready || !b->agreed)
		return 0;
	if (!ring->num || ring->num > q->max)
		return wrong(b, "starts a ring without saying its size, or with an impossible one");
	if (!to_guest(b, ring->addr.desc, &q->desc) || !to_guest(b, ring->addr.avail, &q->driver) ||
	    !to_guest(b, ring->addr.used, &q->device))
		return wrong(b, "has a ring where it shares no memory");
	q->size = ring->num;
	q->start = ring->base;
	vdev_enable(b->v, index);
	if (!b->v->running)
		vdev_status(b->v, STATUS_AGREED | RISER_VIRTIO_STATUS_DRIVER_OK);
	ring->runs = true;
	return 0;
}

static void kicked(struct riser_watch *w, uint32_t events)
{
	struct vhost_back_ring *ring = container_of(w, struct vhost_back_ring, kick);

	(void)events;
	event_ack(w->fd);
	if (ring->runs)
		vdev_kick(ring->b->v, (unsigned)(ring - ring->b->rings));
}

static void close_kick(struct vhost_back *b, struct vhost_back_ring *ring)
{
	if (ring->kick.fd >= 0) {
		riser_exec_unwatch(b->x, &ring->kick);
		close(ring->kick.fd);
	}
	ring->kick.fd = -1;
	ring->ready = false;
}

static void close_call(struct vhost_back_ring *ring)
{
	if (ring->call >= 0)
		close(ring->call);
	ring->call = -1;
}

void vhost_back_call(struct vdev_host *h, unsigned queue)
{
	struct vhost_back *b = container_of(h, struct vhost_back, host);

	if (b->rings[queue].call >= 0)
		event_signal(b->rings[queue].call);
}

void vhost_back_config(struct vdev_host *h)
{
	struct vhost_back *b = container_of(h, struct vhost_back, host);
	struct vhost_user_msg msg = { .request = VHOST_USER_BACKEND_CONFIG_CHANGE };

	if (b->requests >= 0)
		(void)vhost_user_send(b->requests, &msg, NULL, 0);
}

static struct vhost_back_ring *ring_of(struct vhost_back *b, uint64_t index)
{
	return index < b->v->nqueues ? &b->rings[index] : NULL;
}

/* Take the descriptor of SET_VRING_KICK and its like; -1 where it says that there is none. */
static int take_event(struct vhost_back *b, int *fd)
{
	bool none = b->rx.msg.u64 & VHOST_USER_VRING_NO_FD;
	char link[64], what[64];
	ssize_t n;

	*fd = -1;
	if (none != !b->rx.nfds)
		return wrong(b, "sent an event without a descriptor, or none with one");
	if (none)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", b->rx.fds[0]);
	n = readlink(link, what, sizeof(what) - 1);
	what[max_of(n, (ssize_t)0)] = 0;
	if (strcmp(what, "anon_inode:[eventfd]"))
		return wrong(b, "sent an event that is no eventfd");
	*fd = b->rx.fds[0];
	b->rx.fds[0] = -1;
	return 0;
}

static int set_event(struct vhost_back *b, struct vhost_back_ring *ring)
{
	int fd, rc = take_event(b, &fd);

	if (rc)
		return rc;
	switch (b->rx.msg.request) {
	case VHOST_USER_SET_VRING_KICK:
		close_kick(b, ring);
		ring->kick.fd = fd;
		ring->kick.ready = kicked;
		if (fd >= 0 && riser_exec_watch(b->x, &ring->kick, RISER_WATCH_IN)) {
			close(fd);
			ring->kick.fd = -1;
			return wrong(b, "sent an event that cannot be waited for");
		}
		ring->ready = true;
		return start_ring(b, ring);
	case VHOST_USER_SET_VRING_CALL:
		close_call(ring);
		ring->call = fd;
		return 0;
	default: /* errors: whoever makes one is shown out, which is hard to miss */
		if (fd >= 0)
			close(fd);
		return 0;
	}
}

static int set_ring(struct vhost_back *b, struct vhost_back_ring *ring)
{
	uint32_t num = b->rx.msg.state.num;

	if (b->rx.msg.request == VHOST_USER_SET_VRING_ENABLE) {
		ring->enabled = num;
		return start_ring(b, ring);
	}
	if (ring->runs)
		return wrong(b, "changes a ring that runs");
	switch (b->rx.msg.request) {
	case VHOST_USER_SET_VRING_NUM:
		ring->num = num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		ring->base = num;
		break;
	default:
		ring->addr = b->rx.msg.addr;
	}
	return 0;
}

static int ring_message(struct vhost_back *b)
{
	bool event = b->rx.msg.size == sizeof(uint64_t) &&
		     (b->rx.msg.request == VHOST_USER_SET_VRING_KICK ||
		      b->rx.msg.request == VHOST_USER_SET_VRING_CALL ||
		      b->rx.msg.request == VHOST_USER_SET_VRING_ERR);
	struct vhost_back_ring *ring =
		ring_of(b, event ? b->rx.msg.u64 & VHOST_USER_VRING_INDEX : b->rx.msg.state.index);

	if (!ring)
		return wrong(b, "speaks of a ring that the device does not have");
	if (event)
		return set_event(b, ring);
	if (b->rx.msg.request != VHOST_USER_GET_VRING_BASE)
		return set_ring(b, ring);
	stop_ring(b, ring);
	close_kick(b, ring);
	close_call(ring);
	b->rx.msg.state.num = ring->base;
	return 0;
}

/* The device as a whole. */

static int set_features(struct vhost_back *b)
{
	uint64_t features = b->rx.msg.u64 & ~F_PROTOCOL;
	struct vdev *v = b->v;

	if (features & ~v->offered || features & WITHHELD)
		return wrong(b, "accepts a feature that was not offered");
	if (b->agreed && features == v->features)
		return 0;
	for (unsigned i = 0; i < v->nqueues; i++)
		if (b->rings[i].runs)
			return wrong(b, "changes features while rings run");
	vdev_status(v, 0);
	vdev_status(v, RISER_VIRTIO_STATUS_ACKNOWLEDGE | RISER_VIRTIO_STATUS_DRIVER);
	vdev_accept(v, features);
	vdev_status(v, STATUS_AGREED);
	b->f_protocol = b->rx.msg.u64 & F_PROTOCOL;
	b->agreed = v->status & RISER_VIRTIO_STATUS_FEATURES_OK;
	return b->agreed ? 0 : wrong(b, "lacks a feature that the device cannot do without");
}

static int config(struct vhost_back *b)
{
	struct vhost_user_msg *m = &b->rx.msg;
	size_t off = m->config.offset, len = m->config.size;
	struct vdev *v = b->v;

	if (off > VHOST_USER_CONFIG_MAX || len > VHOST_USER_CONFIG_MAX - off ||
	    m->size != VHOST_USER_CONFIG_HEADER + len)
		return wrong(b, "asks for configuration beyond its end");
	if (m->request == VHOST_USER_SET_CONFIG) {
		vdev_config_write(v, off, m->config.data, len);
		return 0;
	}
	memset(m->config.data, 0, len);
	if (off < v->config_len)
		memcpy(m->config.data, v->config + off, min_of(len, v->config_len - off));
	return 0;
}

static int set_requests(struct vhost_back *b)
{
	if (b->requests >= 0)
		close(b->requests);
	b->requests = b->rx.fds[0];
	b->rx.fds[0] = -1;
	return 0;
}

static uint64_t queue_num(const struct vdev *v)
{
	return v->type->id == RISER_VIRTIO_ID_NET ? v->nqueues / 2 : v->nqueues;
}

/* What is asked for by a number and no more. */
static int get_u64(struct vhost_back *b)
{
	struct vhost_user_msg *m = &b->rx.msg;

	switch (m->request) {
	case VHOST_USER_GET_FEATURES:
		m->u64 = (b->v->offered & ~WITHHELD) | F_PROTOCOL;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		m->u64 = PROTOCOL;
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		m->u64 = queue_num(b->v);
		break;
	default:
		m->u64 = VHOST_BACK_REGIONS;
	}
	m->size = sizeof(m->u64);
	return 0;
}

static int nothing(struct vhost_back *b)
{
	(void)b;
	return 0;
}

static int set_protocol(struct vhost_back *b)
{
	b->protocol = b->rx.msg.u64;
	return b->protocol & ~PROTOCOL ? wrong(b, "accepts what the protocol was not to have") : 0;
}

#define ANY_SIZE UINT32_MAX
#define U64      sizeof(uint64_t)
#define STATE    sizeof(struct vhost_user_vring_state)

/* What there is to say: how long it is, how many descriptors come with it, and who deals with it.
 */
static const struct shape {
	uint32_t request, size;
	unsigned fds_min, fds_max;
	bool answers; /* with the message as it was left */
	int (*fn)(struct vhost_back *b);
} shapes[] = {
	{ VHOST_USER_GET_FEATURES, 0, 0, 0, true, get_u64 },
	{ VHOST_USER_SET_FEATURES, U64, 0, 0, false, set_features },
	{ VHOST_USER_SET_OWNER, 0, 0, 0, false, nothing },
	{ VHOST_USER_RESET_OWNER, 0, 0, 0, false, nothing },
	{ VHOST_USER_SET_MEM_TABLE, ANY_SIZE, 0, VHOST_USER_FDS_MAX, false, set_mem_table },
	{ VHOST_USER_SET_VRING_NUM, STATE, 0, 0, false, ring_message },
	{ VHOST_USER_SET_VRING_ADDR, sizeof(struct vhost_user_vring_addr), 0, 0, false,
	  ring_message },
	{ VHOST_USER_SET_VRING_BASE, STATE, 0, 0, false, ring_message },
	{ VHOST_USER_GET_VRING_BASE, STATE, 0, 0, true, ring_message },
	{ VHOST_USER_SET_VRING_KICK, U64, 0, 1, false, ring_message },
	{ VHOST_USER_SET_VRING_CALL, U64, 0, 1, false, ring_message },
	{ VHOST_USER_SET_VRING_ERR, U64, 0, 1, false, ring_message },
	{ VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0, 0, true, get_u64 },
	{ VHOST_USER_SET_PROTOCOL_FEATURES, U64, 0, 0, false, set_protocol },
	{ VHOST_USER_GET_QUEUE_NUM, 0, 0, 0, true, get_u64 },
	{ VHOST_USER_SET_VRING_ENABLE, STATE, 0, 0, false, ring_message },
	{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 1, 1, false, set_requests },
	{ VHOST_USER_GET_CONFIG, ANY_SIZE, 0, 0, true, config },
	{ VHOST_USER_SET_CONFIG, ANY_SIZE, 0, 0, false, config },
	{ VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0, 0, true, get_u64 },
	{ VHOST_USER_ADD_MEM_REG, sizeof(struct vhost_user_mem_reg), 1, 1, false, add_mem_reg },
	{ VHOST_USER_REM_MEM_REG, sizeof(struct vhost_user_mem_reg), 0, 1, false, rem_mem_reg },
};

static const struct shape *shape_of(uint32_t request)
{
	for (size_t i = 0; i < array_len(shapes); i++)
		if (shapes[i].request == request)
			return &shapes[i];
	return NULL;
}

int vhost_back_message(struct vhost_back *b)
{
	struct vhost_user_msg *m = &b->rx.msg;
	const struct shape *s = shape_of(m->request);
	bool ack = b->protocol >> VHOST_USER_PROTOCOL_REPLY_ACK & 1 &&
		   m->flags & VHOST_USER_NEED_REPLY;
	int rc = REFUSED;

	if (s && ((s->size != ANY_SIZE && s->size != m->size) || b->rx.nfds < s->fds_min ||
		  b->rx.nfds > s->fds_max))
		return wrong(b, "sent a message of another size, or with other descriptors, than "
				"the protocol has");
	if (s)
		rc = s->fn(b);
	else if (!ack)
		return wrong(b, "asks what this device does not know");
	if (rc < 0)
		return rc;
	if (!s || !s->answers) {
		if (!ack)
			return 0;
		m->size = sizeof(m->u64);
		m->u64 = rc == REFUSED;
	}
	m->flags = VHOST_USER_REPLY;
	rc = vhost_user_send(b->client.fd, m, NULL, 0);
	return rc == -EAGAIN ? wrong(b, "does not read its answers") : rc;
}

void vhost_back_ring_init(struct vhost_back *b, struct vhost_back_ring *ring)
{
	*ring = (struct vhost_back_ring){ .b = b, .kick.fd = -1, .call = -1 };
}

void vhost_back_forget(struct vhost_back *b)
{
	for (unsigned i = 0; i < b->v->nqueues; i++) {
		struct vhost_back_ring *ring = &b->rings[i];

		close_kick(b, ring);
		close_call(ring);
		vhost_back_ring_init(b, ring);
	}
	vdev_status(b->v, 0);
	while (b->nregions)
		unmap(b, 0);
	if (b->requests >= 0)
		close(b->requests);
	b->requests = -1;
	b->protocol = 0;
	b->agreed = b->f_protocol = false;
	vhost_user_rx_done(&b->rx);
}
