/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A connection: the socket's side of it.
 *
 * A round reads once, lets the parser go as far as it gets, and sends once, whatever came and
 * went since the last round. So many small commands cost one recvmsg, their answers with all
 * their data one sendmsg, and a connection that floods waits for its turn after each of them.
 *
 * Payload goes from the socket straight into the buffer that the device reads. Headers are read
 * ahead into @rx, but not behind a WRITE: the next bytes probably are another one's payload
 * (nbd_ahead.c).
 */
#include "base/util.h"
#include "publish/nbd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool is_reading(const struct nbd_conn *c)
{
	return c->phase < NBD_CLOSING;
}

static bool has_output(const struct nbd_conn *c)
{
	return c->out_at != c->out_end || !list_empty(&c->replies);
}

void nbd_conn_end(struct nbd_conn *c)
{
	if (!is_reading(c))
		return;
	nbd_abandon(c);
	c->phase = NBD_CLOSING;
	c->server->busy = true;
}

void nbd_conn_kill(struct nbd_conn *c)
{
	nbd_abandon(c);
	c->phase = NBD_DEAD;
	c->out_at = c->out_end = 0;
	list_for_each_safe (req, &c->replies, struct nbd_request, link)
		nbd_request_free(req);
	shutdown(c->watch.fd, SHUT_RDWR);
	c->server->busy = true;
}

/* Events of 0 are no watch at all: a closed peer would wake us for ever. */
static void set_watch(struct nbd_conn *c, uint32_t events)
{
	struct riser_exec *x = c->server->x;
	int rc = 0;

	if (events == c->watched)
		return;
	if (!events)
		riser_exec_unwatch(x, &c->watch);
	else if (!c->watched)
		rc = riser_exec_watch(x, &c->watch, events);
	else
		rc = riser_exec_watch_mod(x, &c->watch, events);
	c->watched = rc ? 0 : events;
	if (rc)
		nbd_conn_kill(c);
}

static void ready(struct riser_watch *w, uint32_t events)
{
	struct nbd_conn *c = container_of(w, struct nbd_conn, watch);

	if (events & RISER_WATCH_OUT)
		c->blocked = false;
	if (events & RISER_WATCH_IN)
		c->readable = true;
	if (c->stalled)
		set_watch(c, c->watched & ~RISER_WATCH_IN);
	c->server->busy = true;
}

/* Where the next bytes go: the buffer that is being filled, then WRITEs to come, or @rx. */
struct landing {
	struct iovec iov[2 + 2 * NBD_AHEAD];
	unsigned n;
	size_t len, rest; /* of all; of the buffer's part */
	bool ahead;
};

static void land(struct landing *l, void *at, size_t len)
{
	l->iov[l->n++] = (struct iovec){ at, len };
	l->len += len;
}

static void choose_landing(struct nbd_conn *c, struct landing *l)
{
	uint32_t have = nbd_have(c), room = NBD_RX_SIZE;
	unsigned n;

	memmove(c->rx, c->rx + c->rx_at, have);
	c->rx_at = 0;
	c->rx_end = have;
	if (c->piece) {
		l->rest = c->piece->len - c->filled;
		land(l, c->piece->buf + c->filled, l->rest);
		if (c->taken + c->piece->len < c->cur->len)
			return; /* the payload goes on in the next buffer */
	}
	n = have || c->skip ? 0 : nbd_ahead_prepare(c, l->iov + l->n);
	l->ahead = n;
	for (; n; n--)
		l->len += l->iov[l->n++].iov_len;
	if (l->ahead)
		return;
	if (c->after_write && !c->skip)
		room = (uint32_t)sizeof(struct nbd_command_header);
	land(l, c->rx + have, room - have);
}

/* Return: false when nothing came. */
static bool receive(struct nbd_conn *c)
{
	struct landing l;
	struct msghdr msg = { .msg_iov = l.iov };
	size_t got, rest;
	ssize_t n;

	l.n = 0;
	l.len = l.rest = 0;
	l.ahead = false;
	choose_landing(c, &l);
	msg.msg_iovlen = l.n;
	n = recvmsg(c->watch.fd, &msg, MSG_DONTWAIT);
	c->readable = n == (ssize_t)l.len || (n < 0 && errno == EINTR);
	got = n > 0 ? (size_t)n : 0;
	rest = min_of(l.rest, got);
	c->filled += (uint32_t)rest;
	if (l.ahead)
		nbd_ahead_received(c, got - rest);
	else
		c->rx_end += (uint32_t)(got - rest);
	if (n == 0)
		nbd_conn_end(c);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		nbd_conn_kill(c);
	return n > 0;
}

static enum nbd_step advance(struct nbd_conn *c)
{
	enum nbd_step step;

	do {
		uint32_t n = min_of(c->skip, nbd_have(c));

		c->skip -= n;
		c->rx_at += n;
		if (c->skip)
			return NBD_INPUT;
		step = c->phase == NBD_SERVING ? nbd_serve(c) : nbd_handshake(c);
	} while (step == NBD_MORE);
	return step;
}

static int input(struct nbd_conn *c)
{
	enum nbd_step step = advance(c);
	int done = 0;

	if (step == NBD_INPUT && c->readable) {
		done = receive(c);
		if (!is_reading(c))
			return 1;
		step = advance(c);
	} else if (step == NBD_INPUT && c->quit) {
		step = NBD_END;
	}
	c->stalled = step == NBD_STALL;
	if (step == NBD_END)
		nbd_conn_end(c);
	else if (step == NBD_BROKEN)
		nbd_conn_kill(c);
	return done + (step >= NBD_END);
}

static void was_sent(struct nbd_conn *c, size_t n)
{
	size_t out = min_of(n, (size_t)(c->out_end - c->out_at));

	c->out_at += (uint32_t)out;
	if (c->out_at == c->out_end)
		c->out_at = c->out_end = 0;
	c->sent += n - out;
	list_for_each_safe (req, &c->replies, struct nbd_request, link) {
		if (c->sent < req->answer_len)
			break;
		c->sent -= req->answer_len;
		nbd_request_free(req);
	}
}

static int output(struct nbd_conn *c)
{
	struct nbd_gathering g;
	struct msghdr msg = { .msg_iov = g.iov };
	ssize_t n;

	g.n = 0;
	g.full = false;
	g.len = g.skip = g.used = 0;
	nbd_gather(&g, c->out + c->out_at, c->out_end - c->out_at);
	g.skip = c->sent;
	list_for_each (req, &c->replies, struct nbd_request, link) {
		if (g.full)
			break;
		nbd_reply_gather(&g, req);
	}
	msg.msg_iovlen = g.n;
	n = sendmsg(c->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		n = 0;
	if (n < 0) {
		nbd_conn_kill(c);
		return 1;
	}
	c->blocked = (size_t)n < g.len;
	was_sent(c, (size_t)n);
	return n > 0;
}

static void conn_free(struct nbd_conn *c)
{
	struct nbd_server *s = c->server;

	set_watch(c, 0);
	close(c->watch.fd);
	nbd_pool_destroy(&c->small);
	nbd_pool_destroy(&c->large);
	list_del(&c->link);
	s->nconns--;
	s->busy = true;
	free(c->rx);
	free(c->out);
	free(c);
}

int nbd_conn_round(struct nbd_conn *c)
{
	uint32_t events = 0;
	int done = 0;

	if (is_reading(c) && (c->readable || c->stalled || c->quit))
		done += input(c);
	if (has_output(c) && !c->blocked) {
		int sent = output(c);

		done += sent;
		/* What was sent made room for who waited. */
		c->server->busy |= sent && (c->stalled || has_output(c));
	}
	if (!is_reading(c) && !has_output(c) && !c->active) {
		conn_free(c);
		return done + 1;
	}
	c->server->busy |= is_reading(c) && c->readable && !c->stalled;
	if (c->blocked)
		events |= RISER_WATCH_OUT;
	if (is_reading(c))
		events |= c->stalled ? c->watched & RISER_WATCH_IN : RISER_WATCH_IN;
	set_watch(c, events);
	return done;
}

int nbd_conn_new(struct nbd_server *s, int fd)
{
	struct nbd_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->server = s;
	c->watch.fd = fd;
	c->watch.ready = ready;
	c->rx = malloc(NBD_RX_SIZE);
	c->out = malloc(NBD_OUT_SIZE);
	list_init(&c->free);
	list_init(&c->replies);
	nbd_pool_init(&c->small, s->ch, NBD_SMALL);
	nbd_pool_init(&c->large, s->ch, NBD_LARGE);
	for (unsigned i = 0; i < NBD_SLOTS; i++) {
		c->reqs[i].conn = c;
		list_add_tail(&c->free, &c->reqs[i].link);
	}
	list_add_tail(&s->conns, &c->link);
	s->nconns++;
	s->busy = true;
	if (!c->rx || !c->out) {
		conn_free(c);
		return -ENOMEM;
	}
	c->readable = true;
	c->patience = s->x->now + NBD_PATIENCE;
	s->impatient = min_of(s->impatient, c->patience);
	nbd_greet(c);
	return 0;
}
