/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The NBD publisher. See publish/nbd.h for who does what. */
#include "publish/nbd.h"
#include "base/err.h"
#include "base/riser.h"
#include "base/util.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCEPTS_A_ROUND 16
#define ACCEPT_PAUSE    (100 * NS_PER_MS)
#define STOP_GRACE      (2 * NS_PER_S) /* for peers that do not read what they asked for */

static void set_listening(struct nbd_server *s, bool on)
{
	struct nbd_listener *l = &s->listener;

	if (l->watched == on)
		return;
	if (!on)
		riser_exec_unwatch(s->x, &l->watch);
	else if (riser_exec_watch(s->x, &l->watch, RISER_WATCH_IN))
		return; /* the next round tries again */
	l->watched = on;
}

/* Out of descriptors or memory: let the backlog wait a while, rather than spin on it. */
static void pause_accepting(struct nbd_server *s)
{
	base_log(s->r, RISER_LOG_WARN, "%s: cannot accept a client: %s", s->listener.uri,
		 strerror(errno));
	s->accept_at = clock_now(s->r) + ACCEPT_PAUSE;
	set_listening(s, false);
}

static void accept_clients(struct riser_watch *w, uint32_t events)
{
	struct nbd_listener *l = container_of(w, struct nbd_listener, watch);
	struct nbd_server *s = container_of(l, struct nbd_server, listener);
	int one = 1;

	for (int i = 0; i < ACCEPTS_A_ROUND && s->nconns < NBD_CONNS_MAX; i++) {
		int fd = accept4(l->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				pause_accepting(s);
			return;
		}
		if (!*l->at.path)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!nbd_conn_new(s, fd))
			s->stats.connections++;
	}
	if (s->nconns == NBD_CONNS_MAX)
		set_listening(s, false);
}

/* A client that only connects must not keep a place that others wait for. */
static cold
void give_up_handshakes(struct nbd_server *s)
{
	s->impatient = TIME_NEVER;
	list_for_each (c, &s->conns, struct nbd_conn, link) {
		if (c->phase >= NBD_SERVING)
			continue;
		if (s->x->now >= c->patience)
			nbd_conn_kill(c);
		else
			s->impatient = min_of(s->impatient, c->patience);
	}
}

static int server_poll(struct poller *p)
{
	struct nbd_server *s = container_of(p, struct nbd_server, poller);
	struct nbd_conn *first;
	int n = 0;

	if (s->accept_at && s->x->now >= s->accept_at) {
		s->accept_at = 0;
		s->busy = true;
	}
	if (s->x->now >= s->impatient)
		give_up_handshakes(s);
	if (!s->busy)
		return 0;
	s->busy = false;
	list_for_each_safe (c, &s->conns, struct nbd_conn, link)
		n += nbd_conn_round(c);
	/* Whoever came first comes last: all get a share of the channel's I/Os. */
	first = list_first(&s->conns, struct nbd_conn, link);
	if (first) {
		list_del(&first->link);
		list_add_tail(&s->conns, &first->link);
	}
	if (s->nconns < NBD_CONNS_MAX && !s->accept_at && s->listener.watch.fd >= 0)
		set_listening(s, true);
	return n;
}

static int server_arm(struct poller *p)
{
	return container_of(p, struct nbd_server, poller)->busy;
}

static uint64_t server_next(struct poller *p)
{
	const struct nbd_server *s = container_of(p, struct nbd_server, poller);

	return min_of(s->accept_at ? s->accept_at : TIME_NEVER, s->impatient);
}

static int set_text(struct nbd_server *s, const struct riser_publish_opts *opts,
		    struct riser_err *err)
{
	const char *name = opts->name ? opts->name : "";
	const char *description = opts->description ? opts->description : s->info.description;

	if (strlen(name) > NBD_STRING_MAX || strlen(description) > NBD_STRING_MAX)
		return err_set(err, -EINVAL,
			       "an export's name and description have at most %u bytes each",
			       NBD_STRING_MAX);
	strcpy(s->name, name);
	strcpy(s->description, description);
	return 0;
}

static uint16_t flags_of(const struct riser_blk_info *info, bool read_only)
{
	unsigned flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN |
			 NBD_FLAG_SEND_CACHE;

	if (read_only || info->read_only)
		return (uint16_t)(flags | NBD_FLAG_READ_ONLY);
	/* What a device lacks of FUA and WRITE_ZEROES, the block core makes of writes and flushes.
	 */
	flags |= NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
	if (info->discard)
		flags |= NBD_FLAG_SEND_TRIM;
	return (uint16_t)flags;
}

static void server_free(struct nbd_server *s)
{
	nbd_unlisten(&s->listener);
	riser_blk_channel_close(s->ch);
	free(s);
}

static int nbd_start(struct riser_blk *b, struct riser_exec *x,
		     const struct riser_publish_opts *opts, struct riser_publish **out,
		     struct riser_err *err)
{
	struct nbd_server *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(err, -ENOMEM, "no memory for an NBD server");
	s->r = x->r;
	s->x = x;
	s->poller = (struct poller){ .poll = server_poll,
				     .arm = server_arm,
				     .next_deadline = server_next };
	s->listener.watch = (struct riser_watch){ .fd = -1, .ready = accept_clients };
	list_init(&s->conns);
	s->impatient = TIME_NEVER;
	riser_blk_get_info(b, &s->info);
	s->bytes = s->info.sectors << RISER_SECTOR_SHIFT;
	s->flags = flags_of(&s->info, opts->read_only);
	rc = set_text(s, opts, err);
	if (!rc)
		rc = riser_blk_channel_open(b, x, NBD_IOS, &s->ch, err);
	if (!rc)
		rc = nbd_listen(&s->listener, opts, s->name, err);
	if (rc) {
		server_free(s);
		return rc;
	}
	exec_add(x, &s->poller);
	s->busy = true;
	*out = &s->publish;
	return 0;
}

/*
 * Let what was asked for end and be answered. Whoever goes on asking is cut off after STOP_GRACE,
 * and so is who does not read when all I/O has ended.
 */
static void drain(struct nbd_server *s)
{
	uint64_t now = clock_now(s->r), last_word = now + STOP_GRACE, until = last_word;

	list_for_each (c, &s->conns, struct nbd_conn, link)
		c->quit = c->readable = true;
	s->busy = true;
	for (; !list_empty(&s->conns); now = clock_now(s->r)) {
		if (s->ios)
			until = now + STOP_GRACE;
		list_for_each (c, &s->conns, struct nbd_conn, link) {
			if (now >= last_word)
				nbd_conn_end(c);
			if (now >= until)
				nbd_conn_kill(c);
		}
		if (riser_exec_poll(s->x) == 0)
			riser_exec_wait(s->x, until - min_of(now, until));
	}
}

static void nbd_stop(struct riser_publish *p)
{
	struct nbd_server *s = container_of(p, struct nbd_server, publish);
	int rc = 0;

	set_listening(s, false);
	nbd_unlisten(&s->listener);
	drain(s);
	if (!(s->flags & NBD_FLAG_READ_ONLY))
		rc = riser_blk_rw(s->ch, RISER_BLK_FLUSH, 0, 0, NULL, 0);
	if (rc)
		base_log(s->r, RISER_LOG_ERROR, "%s: the last flush failed: %s", s->listener.uri,
			 rc > 0 ? riser_blk_status_name(rc) : strerror(-rc));
	exec_remove(s->x, &s->poller);
	server_free(s);
}

static const char *nbd_uri(const struct riser_publish *p)
{
	return ((const struct nbd_server *)p)->listener.uri;
}

static void nbd_stats(struct riser_publish *p, struct riser_publish_stats *stats)
{
	struct nbd_server *s = container_of(p, struct nbd_server, publish);
	struct riser_blk_stats below;

	*stats = s->stats;
	stats->active = s->nconns;
	riser_blk_channel_stats(s->ch, &below);
	stats->bounces = below.bounces;
}

const struct publish_ops publish_nbd = {
	.size = sizeof(struct publish_ops),
	.name = "nbd",
	.start = nbd_start,
	.stop = nbd_stop,
	.uri = nbd_uri,
	.stats = nbd_stats,
};
