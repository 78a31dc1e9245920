/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#include "model/virtio_net.h"
#include "publish/vhost_user.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG          4
#define MESSAGES_A_ROUND 64

static void show_out(struct vhost_back *b, const char *why)
{
	if (why)
		base_log(b->r, RISER_LOG_WARN, "vhost-user client of %s shown out: it %s",
			 b->at.path, why);
	if (why)
		b->stats.errors++;
	vhost_back_forget(b);
	riser_exec_unwatch(b->x, &b->client);
	close(b->client.fd);
	b->client.fd = -1;
	b->stats.active = 0;
}

static void hear(struct riser_watch *w, uint32_t events)
{
	struct vhost_back *b = container_of(w, struct vhost_back, client);

	(void)events;
	for (unsigned i = 0; i < MESSAGES_A_ROUND; i++) {
		int rc = vhost_user_recv(w->fd, &b->rx);

		if (!rc)
			return;
		if (rc == 1) {
			b->stats.requests++;
			rc = vhost_back_message(b);
		}
		if (rc) {
			show_out(b, rc == -EPROTO ? b->rx.wrong : NULL);
			return;
		}
		vhost_user_rx_done(&b->rx);
	}
}

/* The client may be gone, and its end of the socket unheard as yet. */
static void look_for_end(struct vhost_back *b)
{
	char byte;

	if (b->client.fd >= 0 && !recv(b->client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT))
		show_out(b, NULL);
}

static void welcome(struct riser_watch *w, uint32_t events)
{
	struct vhost_back *b = container_of(w, struct vhost_back, listener);
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	look_for_end(b);
	if (b->client.fd >= 0) {
		base_log(b->r, RISER_LOG_WARN, "%s has a client already: another one was refused",
			 b->at.path);
		b->stats.errors++;
		close(fd);
		return;
	}
	b->client = (struct riser_watch){ .fd = fd, .ready = hear };
	if (riser_exec_watch(b->x, &b->client, RISER_WATCH_IN)) {
		close(fd);
		b->client.fd = -1;
		return;
	}
	b->stats.connections++;
	b->stats.active = 1;
}

static int step(struct poller *p)
{
	struct vhost_back *b = container_of(p, struct vhost_back, poller);
	unsigned done = vdev_step(b->v, &b->next);

	/* A device that waits for a reset got something that it should not have. */
	if (b->client.fd >= 0 && b->v->status & RISER_VIRTIO_STATUS_NEEDS_RESET)
		show_out(b, b->v->counters.violation ? "breaks the rules of its rings"
						     : "has a device that failed");
	return (int)done;
}

static uint64_t deadline(struct poller *p)
{
	return container_of(p, struct vhost_back, poller)->next;
}

static void stop(struct riser_publish *p)
{
	struct vhost_back *b = container_of(p, struct vhost_back, publish);

	if (b->client.fd >= 0)
		show_out(b, NULL);
	if (b->listener.fd >= 0) {
		riser_exec_unwatch(b->x, &b->listener);
		close(b->listener.fd);
	}
	unix_unlink(&b->at);
	if (b->poller.poll)
		exec_remove(b->x, &b->poller);
	if (b->v)
		b->v->type->free(b->v);
	free(b->rings);
	free(b);
}

static const char *uri_of(const struct riser_publish *p)
{
	return ((const struct vhost_back *)(const void *)p)->uri; /* its first member */
}

static void stats_of(struct riser_publish *p, struct riser_publish_stats *stats)
{
	const struct vhost_back *b = container_of(p, struct vhost_back, publish);

	*stats = b->stats;
	stats->bytes_read = b->v->counters.rx_bytes;
	stats->bytes_written = b->v->counters.tx_bytes;
}

static const struct publish_ops ops = {
	.size = sizeof(ops),
	.name = "vhost-user",
	.stop = stop,
	.uri = uri_of,
	.stats = stats_of,
};

/* The device of "model:@u", for the one kind that there is. */
static int make_device(struct vhost_back *b, const struct uri *u, struct riser_err *err)
{
	struct vnet_config cfg;
	struct vnet *n;
	int rc;

	if (strcmp(u->rest, "virtio-net"))
		return err_set(err, -EINVAL,
			       "there is no model '%s' to serve over vhost-user: it is virtio-net",
			       u->rest);
	rc = vnet_configure(u, &cfg, err);
	if (!rc)
		rc = vnet_new(b->r, &cfg, &b->host, &n, err);
	if (rc)
		return rc;
	b->v = &n->dev;
	b->rings = calloc(b->v->nqueues, sizeof(*b->rings));
	if (!b->rings)
		return err_set(err, -ENOMEM, "no memory for rings");
	for (unsigned i = 0; i < b->v->nqueues; i++)
		vhost_back_ring_init(b, &b->rings[i]);
	return 0;
}

static int begin_listening(struct vhost_back *b, const char *path, struct riser_err *err)
{
	int rc;

	b->listener.fd = unix_bind(&b->at, path, err);
	if (b->listener.fd < 0)
		return b->listener.fd;
	b->listener.ready = welcome;
	rc = listen(b->listener.fd, BACKLOG) ? -errno : 0;
	if (!rc)
		rc = riser_exec_watch(b->x, &b->listener, RISER_WATCH_IN);
	if (!rc)
		return 0;
	close(b->listener.fd);
	b->listener.fd = -1;
	return err_set(err, rc, "cannot listen on %s: %s", path, strerror(-rc));
}

static int begin(struct vhost_back *b, const char *model, const char *path, struct riser_err *err)
{
	char text[512];
	struct uri u;
	int rc;

	if ((size_t)snprintf(text, sizeof(text), "model:%s", model) >= sizeof(text))
		return err_set(err, -ENAMETOOLONG, "a model's description is too long");
	rc = uri_parse(text, &u, err);
	if (rc)
		return rc;
	rc = make_device(b, &u, err);
	uri_free(&u);
	if (!rc)
		rc = begin_listening(b, path, err);
	if (rc)
		return rc;
	snprintf(b->uri, sizeof(b->uri), "vhost-user:%s", path);
	b->poller = (struct poller){ .poll = step, .next_deadline = deadline };
	exec_add(b->x, &b->poller);
	return 0;
}

int riser_publish_model(struct riser_exec *x, const char *model, const char *socket,
			struct riser_publish **out, struct riser_err *err)
{
	struct vhost_back *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_set(err, -ENOMEM, "no memory for a publisher");
	b->publish.ops = &ops;
	b->r = x->r;
	b->x = x;
	b->next = TIME_NEVER;
	b->listener.fd = b->client.fd = b->requests = -1;
	b->host = (struct vdev_host){ .mem = { .at = vhost_back_at, .ctx = b },
				      .call = vhost_back_call,
				      .config = vhost_back_config };
	rc = begin(b, model, socket, err);
	if (rc)
		stop(&b->publish);
	else
		*out = &b->publish;
	return rc;
}
