/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Questions and answers are synchronous: they belong to opening, to a change of memory, to a reset,
 * and to coming back, which is the only one that happens in a poll; a backend that takes the
 * connection and then says nothing may cost that poll PATIENCE_BACK each BACKOFF_MAX.
 *
 * These waits are for another process, whose time is real whatever the context's is; when to try
 * again is the context's.
 */
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include "virtio/vhost_user.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_BACK (500 * NS_PER_MS)
#define BACKOFF_MIN   (10 * NS_PER_MS)
#define BACKOFF_MAX   (5 * NS_PER_S)
#define LOOK_EVERY    NS_PER_MS

/* What is used of the protocol where the backend has it. */
#define PROTOCOL_WANTED                                                                            \
	(1ull << VHOST_USER_PROTOCOL_MQ | 1ull << VHOST_USER_PROTOCOL_REPLY_ACK |                  \
	 1ull << VHOST_USER_PROTOCOL_BACKEND_REQ | 1ull << VHOST_USER_PROTOCOL_CONFIG |            \
	 1ull << VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS | 1ull << VHOST_USER_PROTOCOL_STATUS)

static void close_requests(struct vhost_user *v)
{
	if (v->requests < 0)
		return;
	waitset_del(v->dev.wake_fd, v->requests);
	close(v->requests);
	v->requests = -1;
	vhost_user_rx_done(&v->asked);
}

void vhost_user_drop(struct vhost_user *v, const char *fmt, ...)
{
	char what[sizeof(v->why.text)];
	va_list ap;

	if (v->sock < 0)
		return;
	va_start(ap, fmt);
	err_vformat(what, sizeof(what), fmt, ap);
	va_end(ap);
	err_set(&v->why, -ENODEV, "the vhost-user backend at %s is not to be used: %s", v->path,
		what);
	close_requests(v);
	waitset_del(v->dev.wake_fd, v->sock);
	close(v->sock);
	v->sock = -1;
	vhost_user_rx_done(&v->rx);
	for (unsigned i = 0; i < VHOST_USER_QUEUES_MAX; i++)
		v->rings[i].started = false;
	v->backoff = BACKOFF_MIN;
	v->retry_at = clock_now(v->dev.r) + v->backoff;
}

/* Return: whether there is something on the connection before @deadline. */
static bool wait_for(const struct vhost_user *v, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = v->sock, .events = events };
	uint64_t now = clock_real(), left = deadline > now ? deadline - now : 0;
	struct timespec ts = { .tv_sec = (time_t)(left / NS_PER_S),
			       .tv_nsec = (long)(left % NS_PER_S) };

	return ppoll(&p, 1, &ts, NULL) > 0 || left;
}

static int send_msg(struct vhost_user *v, struct vhost_user_msg *msg, const int *fds, unsigned n,
		    uint64_t deadline)
{
	int rc;

	if (v->sock < 0)
		return -ENODEV;
	do {
		rc = vhost_user_send(v->sock, msg, fds, n);
	} while (rc == -EAGAIN && wait_for(v, POLLOUT, deadline));
	if (rc)
		vhost_user_drop(v,
				rc == -EAGAIN ? "it does not read what it is sent" : "it is gone");
	return rc ? -ENODEV : 0;
}

static int receive(struct vhost_user *v, uint32_t request, uint64_t deadline)
{
	int rc;

	do {
		rc = vhost_user_recv(v->sock, &v->rx);
	} while (!rc && wait_for(v, POLLIN, deadline));
	if (rc == 1)
		return 0;
	if (!rc)
		vhost_user_drop(v, "it does not answer request %u", request);
	else
		vhost_user_drop(v, "it %s", rc == -EPROTO ? v->rx.wrong : "is gone");
	return -ENODEV;
}

static int exchange(struct vhost_user *v, struct vhost_user_msg *msg, const int *fds, unsigned n,
		    size_t reply)
{
	uint64_t deadline = clock_real() + v->patience;
	const struct vhost_user_msg *got = &v->rx.msg;
	int rc;

	vhost_user_rx_done(&v->rx);
	rc = send_msg(v, msg, fds, n, deadline);
	if (!rc)
		rc = receive(v, msg->request, deadline);
	if (rc)
		return rc;
	if (v->rx.nfds)
		vhost_user_drop(v, "it sent a descriptor that nobody asked for");
	else if (!(got->flags & VHOST_USER_REPLY) || got->request != msg->request)
		vhost_user_drop(v, "it answered request %u where %u was asked", got->request,
				msg->request);
	else if (got->size != reply)
		vhost_user_drop(v, "its answer to request %u has %u bytes, not %zu", msg->request,
				got->size, reply);
	return v->sock < 0 ? -ENODEV : 0;
}

int vhost_user_ask(struct vhost_user *v, struct vhost_user_msg *msg, size_t reply)
{
	return exchange(v, msg, NULL, 0, reply);
}

static int ask_u64(struct vhost_user *v, uint32_t request, uint64_t *out)
{
	struct vhost_user_msg msg = { .request = request };
	int rc = vhost_user_ask(v, &msg, sizeof(*out));

	*out = rc ? 0 : v->rx.msg.u64;
	return rc;
}

int vhost_user_tell(struct vhost_user *v, struct vhost_user_msg *msg, const int *fds, unsigned n)
{
	uint64_t features;
	int rc;

	if (vhost_user_has(v, VHOST_USER_PROTOCOL_REPLY_ACK)) {
		msg->flags = VHOST_USER_NEED_REPLY;
		rc = exchange(v, msg, fds, n, sizeof(uint64_t));
		return rc ? rc : v->rx.msg.u64 ? -EINVAL : 0;
	}
	rc = send_msg(v, msg, fds, n, clock_real() + v->patience);
	/* Messages are dealt with in order: what is answered later was done before. */
	return rc ? rc : ask_u64(v, VHOST_USER_GET_FEATURES, &features);
}

int vhost_user_tell_u64(struct vhost_user *v, uint32_t request, uint64_t value)
{
	struct vhost_user_msg msg = { .request = request, .size = sizeof(value), .u64 = value };

	return vhost_user_tell(v, &msg, NULL, 0);
}

/* Without waiting, for what comes before there are acknowledgements. */
static int say(struct vhost_user *v, uint32_t request, const uint64_t *value)
{
	struct vhost_user_msg msg = { .request = request };

	if (value) {
		msg.size = sizeof(*value);
		msg.u64 = *value;
	}
	return send_msg(v, &msg, NULL, 0, clock_real() + v->patience);
}

static int dial(struct vhost_user *v)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int rc = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(&v->why, -errno, "no socket for %s: %s", v->path, strerror(errno));
	strcpy(at.sun_path, v->path); /* its length was checked when the device was opened */
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)))
		rc = err_set(&v->why, -errno, "nobody serves vhost-user at %s: %s", v->path,
			     errno == EAGAIN ? "its queue of connections is full"
					     : strerror(errno));
	if (!rc)
		rc = waitset_add(v->dev.wake_fd, fd, RISER_WATCH_IN, &v->sock);
	if (rc)
		close(fd);
	else
		v->sock = fd;
	return rc;
}

/* A socket on which the backend can say that its configuration changed. */
static int give_requests(struct vhost_user *v)
{
	struct vhost_user_msg msg = { .request = VHOST_USER_SET_BACKEND_REQ_FD };
	int pair[2], rc;

	if (!vhost_user_has(v, VHOST_USER_PROTOCOL_BACKEND_REQ) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return 0;
	rc = vhost_user_tell(v, &msg, &pair[1], 1);
	close(pair[1]);
	if (rc || waitset_add(v->dev.wake_fd, pair[0], RISER_WATCH_IN, &v->requests)) {
		close(pair[0]);
		return rc == -ENODEV ? rc : 0;
	}
	v->requests = pair[0];
	return 0;
}

/* Learn the protocol's features, and say which are used. */
static int agree_protocol(struct vhost_user *v)
{
	uint64_t n;
	int rc;

	v->protocol = 0;
	v->queues = v->id == RISER_VIRTIO_ID_NET ? 2 : 1;
	v->max_slots = VHOST_USER_FDS_MAX;
	if (!(v->features & VIRTIO_BIT(VHOST_USER_F_PROTOCOL)))
		return 0;
	rc = ask_u64(v, VHOST_USER_GET_PROTOCOL_FEATURES, &n);
	n &= PROTOCOL_WANTED;
	if (!rc)
		rc = say(v, VHOST_USER_SET_PROTOCOL_FEATURES, &n);
	if (rc)
		return rc;
	v->protocol = n;
	if (vhost_user_has(v, VHOST_USER_PROTOCOL_MQ)) {
		rc = ask_u64(v, VHOST_USER_GET_QUEUE_NUM, &n);
		/* Of a network device these are pairs, and its control queue comes behind them. */
		if (v->id == RISER_VIRTIO_ID_NET)
			n = 2 * min_of(n, VHOST_USER_QUEUES_MAX / 2ull) +
			    vhost_user_has(v, VHOST_USER_PROTOCOL_CONFIG);
		v->queues = (unsigned)min_of(n, (uint64_t)VHOST_USER_QUEUES_MAX);
	}
	if (!rc && vhost_user_has(v, VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS)) {
		rc = ask_u64(v, VHOST_USER_GET_MAX_MEM_SLOTS, &n);
		v->max_slots = (unsigned)min_of(n, (uint64_t)VHOST_USER_SLOTS_MAX);
	}
	return rc ? rc : give_requests(v);
}

int vhost_user_connect(struct vhost_user *v)
{
	int rc = dial(v);

	if (rc)
		return rc;
	rc = ask_u64(v, VHOST_USER_GET_FEATURES, &v->features);
	if (!rc)
		rc = say(v, VHOST_USER_SET_OWNER, NULL);
	return rc ? rc : agree_protocol(v);
}

int vhost_user_agree(struct vhost_user *v)
{
	uint64_t accepted = v->accepted | (v->features & VIRTIO_BIT(VHOST_USER_F_PROTOCOL));
	int rc = vhost_user_tell_u64(v, VHOST_USER_SET_FEATURES, accepted);

	if (!rc && !v->negotiated)
		rc = vhost_user_memory_send(v);
	v->negotiated = !rc;
	return rc;
}

/* The handshake again: whoever is there now must be able to do what was agreed with the other. */
static int come_back(struct vhost_user *v)
{
	uint64_t had = v->protocol & 1ull << VHOST_USER_PROTOCOL_CONFIG;
	unsigned queues = v->queues;
	int rc;

	v->patience = PATIENCE_BACK;
	v->negotiated = false;
	rc = vhost_user_connect(v);
	if (!rc && (v->accepted & ~v->features || had & ~v->protocol || queues > v->queues))
		vhost_user_drop(v, "it has not all of the features, or not as many queues, as the "
				   "one that was there before");
	if (!rc && v->sock >= 0)
		rc = vhost_user_agree(v);
	if (!rc && vhost_user_has(v, VHOST_USER_PROTOCOL_STATUS))
		rc = vhost_user_tell_u64(v, VHOST_USER_SET_STATUS, v->status);
	if (rc == -EINVAL)
		vhost_user_drop(v, "it refuses what was agreed with the one that was there before");
	v->queues = queues;
	v->patience = VHOST_USER_PATIENCE;
	return v->sock < 0 ? -ENODEV : 0;
}

static void changed(const struct vhost_user *v)
{
	if (v->irq >= 0)
		event_signal(v->irq);
}

static int retry(struct vhost_user *v, uint64_t now, uint64_t *next)
{
	uint64_t backoff = v->backoff;

	if (now < v->retry_at) {
		*next = v->retry_at;
		return 0;
	}
	if (!come_back(v)) {
		__atomic_store_n(&v->dev.epoch, v->dev.epoch + 1, __ATOMIC_RELEASE);
		changed(v);
		return 1;
	}
	v->backoff = min_of(2 * backoff, (uint64_t)BACKOFF_MAX);
	v->retry_at = now + v->backoff;
	*next = v->retry_at;
	return 0;
}

/* Answer what the backend asks by itself. */
static int serve_requests(struct vhost_user *v)
{
	struct vhost_user_msg reply = { 0 };
	int rc = v->requests < 0 ? 0 : vhost_user_recv(v->requests, &v->asked);

	if (!rc)
		return 0;
	if (rc < 0) {
		close_requests(v); /* its loss: it cannot ask any more */
		return 0;
	}
	reply.request = v->asked.msg.request;
	reply.flags = VHOST_USER_REPLY;
	reply.size = sizeof(reply.u64);
	reply.u64 = reply.request != VHOST_USER_BACKEND_CONFIG_CHANGE;
	if (!reply.u64)
		changed(v);
	if (v->asked.msg.flags & VHOST_USER_NEED_REPLY)
		(void)vhost_user_send(v->requests, &reply, NULL, 0);
	vhost_user_rx_done(&v->asked);
	return 1;
}

/* Between answers the connection is silent: what can be read is its end, or against the rules. */
static int look(struct vhost_user *v)
{
	char byte;
	ssize_t n = recv(v->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return serve_requests(v);
	vhost_user_drop(v, n > 0 ? "it said something that nobody asked" : "it is gone");
	changed(v);
	return 1;
}

static int step(struct vhost_user *v, uint64_t now, uint64_t *next)
{
	int n;

	if (v->sock >= 0) {
		n = look(v);
		__atomic_store_n(&v->look_at, now + LOOK_EVERY, __ATOMIC_RELAXED);
	} else {
		n = retry(v, now, next);
	}
	if (v->sock < 0)
		*next = v->retry_at;
	return n;
}

int vhost_user_pump(struct virtio_dev *d, uint64_t *next)
{
	struct vhost_user *v = vhost_user_of(d);
	uint64_t now = clock_now(d->r);
	struct riser_err why;
	bool away, news;
	int n;

	*next = TIME_NEVER;
	/* Who polls for ever does not ask the kernel each time; who sleeps is woken by wake_fd. */
	if (!d->r->clock.is_virtual && now < __atomic_load_n(&v->look_at, __ATOMIC_RELAXED))
		return 0;
	if (pthread_mutex_trylock(&v->lock))
		return 0;
	n = step(v, now, next);
	away = v->sock < 0;
	news = away != v->told;
	v->told = away;
	why = v->why;
	pthread_mutex_unlock(&v->lock);
	if (news && away)
		base_log(d->r, RISER_LOG_WARN, "%s; trying again", why.text);
	else if (news)
		base_log(d->r, RISER_LOG_INFO, "the vhost-user backend at %s is back", v->path);
	return n;
}
