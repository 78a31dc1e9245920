/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Lines of a log, as the kernel's netconsole sends them (Documentation/networking/netconsole.rst):
 * plain, or with the header of /dev/kmsg, where a line that is longer than a packet may be comes in
 * several, each saying which of its bytes it has: "14,7,123456,-,ncfrag=0/1200;…".
 */
#include "base/barrier.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/debug/debug.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK    1000 /* bytes of a packet, as the kernel has it */
#define LINE_MAX 1024
#define USER     (1u << 3) /* the facility of who is no kernel */
#define TRIES    200       /* where somebody else is sending */
#define TRY_NS   10000

struct riser_netconsole {
	uint32_t flags;
	struct riser_debug *d; /* atomic */
	struct riser_debug_peer to;
	uint64_t seq, lost; /* atomic */
};

struct text {
	size_t len;
	char at[4 * LINE_MAX + 8]; /* each byte as \xNN */
};

static void put_char(struct text *t, char c)
{
	if (t->len < sizeof(t->at))
		t->at[t->len++] = c;
}

static void put_text(struct text *t, const char *text)
{
	while (*text)
		put_char(t, *text++);
}

/* At least @width digits, of which those in front are @pad. */
static void put_number(struct text *t, uint64_t v, unsigned width, char pad)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	for (; width > n; width--)
		put_char(t, pad);
	while (n)
		put_char(t, digits[--n]);
}

static void put_escaped(struct text *t, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= ' ' && c < 127 && c != '\\') {
		put_char(t, (char)c);
		return;
	}
	put_text(t, "\\x");
	put_char(t, hex[c >> 4]);
	put_char(t, hex[c & 15]);
}

/* Return: false: it is lost. */
static bool send_chunk(struct riser_netconsole *n, struct riser_debug *d, const void *data,
		       size_t len)
{
	int *error = &errno, before = *error, rc;

	for (unsigned i = 0;; i++) {
		rc = riser_debug_send(d, &n->to, data, len);
		if (rc != -EBUSY || i == TRIES)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
	}
	*error = before;
	return !rc;
}

static bool send_plain(struct riser_netconsole *n, struct riser_debug *d, uint64_t us,
		       const char *line, size_t len)
{
	struct text t = { 0 };
	size_t chunk = min_of((size_t)CHUNK, d->payload);

	put_char(&t, '[');
	put_number(&t, us / 1000000, 5, ' ');
	put_char(&t, '.');
	put_number(&t, us % 1000000, 6, '0');
	put_text(&t, "] ");
	for (size_t i = 0; i < len; i++)
		put_char(&t, line[i]);
	put_char(&t, '\n');
	for (size_t at = 0; at < t.len; at += chunk)
		if (!send_chunk(n, d, t.at + at, min_of(t.len - at, chunk)))
			return false;
	return true;
}

static bool send_extended(struct riser_netconsole *n, struct riser_debug *d, uint64_t us,
			  enum riser_log_level level, const char *line, size_t len)
{
	size_t chunk = min_of((size_t)CHUNK, d->payload), head;
	struct text t = { 0 }, body = { 0 };

	put_number(&t, USER | ((unsigned)level + 3), 0, 0);
	put_char(&t, ',');
	put_number(&t, __atomic_fetch_add(&n->seq, 1, __ATOMIC_RELAXED), 0, 0);
	put_char(&t, ',');
	put_number(&t, us, 0, 0);
	put_text(&t, ",-");
	for (size_t i = 0; i < len; i++)
		put_escaped(&body, (uint8_t)line[i]);
	put_char(&body, '\n');
	if (t.len + 1 + body.len <= chunk) {
		put_char(&t, ';');
		memcpy(t.at + t.len, body.at, body.len);
		return send_chunk(n, d, t.at, t.len + body.len);
	}
	head = t.len;
	for (size_t at = 0, now; at < body.len; at += now) {
		t.len = head;
		put_text(&t, ",ncfrag=");
		put_number(&t, at, 0, 0);
		put_char(&t, '/');
		put_number(&t, body.len, 0, 0);
		put_char(&t, ';');
		now = min_of(body.len - at, chunk - t.len);
		memcpy(t.at + t.len, body.at + at, now);
		if (!send_chunk(n, d, t.at, t.len + now))
			return false;
	}
	return true;
}

void riser_netconsole_log(void *ctx, enum riser_log_level level, const char *line)
{
	struct riser_netconsole *n = ctx;
	struct riser_debug *d = load_acquire(&n->d); /* pairs with riser_netconsole_attach() */
	size_t len = strnlen(line, LINE_MAX);
	uint64_t us;
	bool sent;

	if (!d)
		return;
	us = clock_now(d->p->r) / NS_PER_US;
	sent = n->flags & RISER_NETCONSOLE_EXTENDED ? send_extended(n, d, us, level, line, len)
						    : send_plain(n, d, us, line, len);
	if (!sent)
		__atomic_fetch_add(&n->lost, 1, __ATOMIC_RELAXED);
}

int riser_netconsole_new(uint32_t flags, struct riser_netconsole **out, struct riser_err *err)
{
	struct riser_netconsole *n;

	if (flags & ~RISER_NETCONSOLE_EXTENDED)
		return err_set(err, -EINVAL, "unknown flags %#x of a netconsole", flags);
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(err, -ENOMEM, "no memory for a netconsole");
	n->flags = flags;
	*out = n;
	return 0;
}

void riser_netconsole_free(struct riser_netconsole *n)
{
	free(n);
}

void riser_netconsole_attach(struct riser_netconsole *n, struct riser_debug *d,
			     const struct riser_debug_peer *to)
{
	if (d)
		n->to = *to;
	store_release(&n->d, d);
}

uint64_t riser_netconsole_lost(const struct riser_netconsole *n)
{
	return load_relaxed(&n->lost);
}
