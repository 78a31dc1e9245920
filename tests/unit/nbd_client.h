/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * An NBD client by hand, in the thread of the server that it talks to: while it waits, it polls
 * the server's executor. Nothing here checks what the server sends but for magics.
 */
#ifndef TESTS_UNIT_NBD_CLIENT_H
#define TESTS_UNIT_NBD_CLIENT_H

#include "../tap.h"
#include "base/riser.h"
#include "base/util.h"
#include "spec/nbd.h"
#include <errno.h>
#include <fcntl.h>
#include <riser/publish.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DISK_SIZE (64 * MiB)

struct bench {
	struct riser *r;
	struct riser_exec *x;
	struct riser_blk *b;
	struct riser_publish *p;
	struct riser_err err;
	char path[64];
};

static void bench_context_with(struct bench *t, const char *uri, uint32_t flags)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = flags };
	static unsigned number;

	memset(t, 0, sizeof(*t));
	snprintf(t->path, sizeof(t->path), "/tmp/riser-nbd-test-%d-%u", getpid(), number++);
	CHECK_EQ(riser_new(&opts, &t->r, &t->err), 0);
	CHECK_EQ(riser_exec_new(t->r, &t->x, &t->err), 0);
	CHECK_EQ(riser_blk_open(t->r, uri, RISER_BLK_RDWR, &t->b, &t->err), 0);
}

static void bench_context(struct bench *t, const char *uri)
{
	bench_context_with(t, uri, 0);
}

static int bench_publish(struct bench *t, struct riser_publish_opts opts)
{
	opts.size = sizeof(opts);
	if (!opts.socket && !opts.port) {
		opts.socket = t->path;
		opts.port = -1;
	}
	return riser_publish(t->b, t->x, "nbd", &opts, &t->p, &t->err);
}

static void bench_start(struct bench *t, struct riser_publish_opts opts)
{
	const char *uri = getenv("RISER_TEST_URI"); /* 64 MiB of another kind */

	bench_context(t, uri ? uri : "mem:64M");
	if (!tap_failed)
		CHECK_EQ(bench_publish(t, opts), 0);
}

static void bench_end(struct bench *t)
{
	riser_publish_stop(t->p);
	riser_blk_close(t->b);
	riser_exec_free(t->x);
	riser_free(t->r);
}

static struct riser_publish_stats stats_of(struct bench *t)
{
	struct riser_publish_stats stats;

	riser_publish_get_stats(t->p, &stats);
	return stats;
}

/* Poll until the server has nothing more to do by itself. */
static void settle(struct bench *t)
{
	for (int idle = 0; idle < 3;)
		idle = riser_exec_poll(t->x) > 0 ? 0 : idle + 1;
}

static int dial(struct bench *t)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, t->path);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Return: false when the server closed the connection. */
static bool put(struct bench *t, int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		riser_exec_poll(t->x);
	}
	return true;
}

static bool get(struct bench *t, int fd, void *data, size_t len)
{
	uint8_t *at = data;

	while (len) {
		ssize_t n = recv(fd, at, len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		riser_exec_poll(t->x);
	}
	return true;
}

/* Did the server hang up, with nothing more to say? */
static bool closed(struct bench *t, int fd)
{
	uint8_t byte;

	return !get(t, fd, &byte, 1);
}

static bool put_option(struct bench *t, int fd, uint32_t type, const void *data, uint32_t len)
{
	struct nbd_option o = { to_be64(NBD_OPTION_MAGIC), to_be32(type), to_be32(len) };

	return put(t, fd, &o, sizeof(o)) && put(t, fd, data, len);
}

/* GO or INFO for @name, asking for the name and the description. */
static bool put_info(struct bench *t, int fd, uint32_t type, const char *name)
{
	uint8_t data[4 + 5000 + 6];
	uint32_t len = (uint32_t)strlen(name);
	riser_be32 name_len = to_be32(len);
	riser_be16 wants[] = { to_be16(2), to_be16(NBD_INFO_NAME), to_be16(NBD_INFO_DESCRIPTION) };

	memcpy(data, &name_len, 4);
	memcpy(data + 4, name, len);
	memcpy(data + 4 + len, wants, sizeof(wants));
	return put_option(t, fd, type, data, 4 + len + (uint32_t)sizeof(wants));
}

struct option_reply {
	uint32_t type, len;
	uint8_t data[9000];
};

/* Return: the reply's type, 0 when the connection is closed or the reply is none of ours. */
static uint32_t get_reply(struct bench *t, int fd, uint32_t option, struct option_reply *out)
{
	struct nbd_option_reply r;

	memset(out, 0, sizeof(*out));
	if (!get(t, fd, &r, sizeof(r)) || be64(r.magic) != NBD_OPTION_REPLY_MAGIC ||
	    be32(r.option) != option || be32(r.len) >= sizeof(out->data))
		return 0;
	out->len = be32(r.len);
	out->type = be32(r.type);
	return get(t, fd, out->data, out->len) ? out->type : 0;
}

/* The greeting and the client's flags. */
static bool hello(struct bench *t, int fd, uint32_t flags)
{
	struct nbd_greeting g;
	riser_be32 mine = to_be32(flags);

	return get(t, fd, &g, sizeof(g)) && be64(g.magic) == NBD_MAGIC &&
	       be64(g.option_magic) == NBD_OPTION_MAGIC &&
	       be16(g.flags) == (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES) &&
	       put(t, fd, &mine, sizeof(mine));
}

/* Return: a connection with options to come, or -1. */
static int negotiate(struct bench *t)
{
	int fd = dial(t);

	if (fd >= 0 && !hello(t, fd, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Return: a connection with commands to come, or -1. */
static int attach(struct bench *t)
{
	struct option_reply r;
	int fd = negotiate(t);

	if (fd < 0)
		return -1;
	if (put_info(t, fd, NBD_OPT_GO, ""))
		while (get_reply(t, fd, NBD_OPT_GO, &r) == NBD_REP_INFO)
			;
	if (r.type == NBD_REP_ACK)
		return fd;
	close(fd);
	return -1;
}

/* LIST_ or SET_META_CONTEXT with up to two queries. */
static bool put_meta(struct bench *t, int fd, uint32_t option, const char *name, const char *one,
		     const char *two)
{
	const char *texts[] = { name, one, two };
	uint8_t data[9000];
	uint32_t len = 0;

	for (unsigned i = 0; i < array_len(texts); i++) {
		uint32_t n = texts[i] ? (uint32_t)strlen(texts[i]) : 0;
		riser_be32 raw = to_be32(n), count = to_be32(!!one + !!two);

		if (i == 1) {
			memcpy(data + len, &count, sizeof(count));
			len += (uint32_t)sizeof(count);
		}
		if (!texts[i])
			continue;
		memcpy(data + len, &raw, sizeof(raw));
		memcpy(data + len + 4, texts[i], n);
		len += 4 + n;
	}
	return put_option(t, fd, option, data, len);
}

/* Return: a connection with structured replies, and with base:allocation if @meta, or -1. */
static int attach_structured(struct bench *t, bool meta)
{
	struct option_reply r = { 0 };
	int fd = negotiate(t);

	if (fd < 0)
		return -1;
	put_option(t, fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	get_reply(t, fd, NBD_OPT_STRUCTURED_REPLY, &r);
	if (meta && r.type == NBD_REP_ACK) {
		put_meta(t, fd, NBD_OPT_SET_META_CONTEXT, "", NBD_BASE_ALLOCATION, NULL);
		while (get_reply(t, fd, NBD_OPT_SET_META_CONTEXT, &r) == NBD_REP_META_CONTEXT)
			;
	}
	if (r.type == NBD_REP_ACK && put_info(t, fd, NBD_OPT_GO, ""))
		while (get_reply(t, fd, NBD_OPT_GO, &r) == NBD_REP_INFO)
			;
	if (r.type == NBD_REP_ACK)
		return fd;
	close(fd);
	return -1;
}

struct command {
	uint16_t type, flags;
	uint64_t cookie, offset;
	uint32_t len;
};

static struct nbd_command_header header_of(struct command m)
{
	struct nbd_command_header h = {
		.magic = to_be32(NBD_REQUEST_MAGIC),
		.flags = to_be16(m.flags),
		.type = to_be16(m.type),
		.cookie = to_be64(m.cookie),
		.offset = to_be64(m.offset),
		.len = to_be32(m.len),
	};

	return h;
}

static bool put_command(struct bench *t, int fd, struct command m)
{
	struct nbd_command_header h = header_of(m);

	return put(t, fd, &h, sizeof(h));
}

#define NO_ANSWER 0xffffffffu

/* Return: the error of the answer to @cookie, or NO_ANSWER. */
static uint32_t get_answer(struct bench *t, int fd, uint64_t cookie)
{
	struct nbd_simple_reply r;

	if (!get(t, fd, &r, sizeof(r)) || be32(r.magic) != NBD_SIMPLE_REPLY_MAGIC ||
	    be64(r.cookie) != cookie)
		return NO_ANSWER;
	return be32(r.error);
}

/* One command, its payload and its answer. Return: the error, or NO_ANSWER. */
static uint32_t run(struct bench *t, int fd, struct command m, void *data)
{
	static uint64_t cookies = 0x1122334455667788;
	uint32_t error;

	m.cookie = cookies++;
	if (!put_command(t, fd, m) || (m.type == NBD_CMD_WRITE && !put(t, fd, data, m.len)))
		return NO_ANSWER;
	error = get_answer(t, fd, m.cookie);
	if (m.type == NBD_CMD_READ && !error && !get(t, fd, data, m.len))
		return NO_ANSWER;
	return error;
}

/* A chunk of a structured reply to @cookie. Return: false when it is none. */
static bool get_chunk(struct bench *t, int fd, uint64_t cookie, struct nbd_chunk *c)
{
	return get(t, fd, c, sizeof(*c)) && be32(c->magic) == NBD_CHUNK_MAGIC &&
	       be64(c->cookie) == cookie;
}

/* What a structured reply consisted of. */
struct shape {
	unsigned datas, holes, none, errors;
	uint32_t error;     /* the last */
	uint64_t failed_at; /* of the last ERROR_OFFSET, else UINT64_MAX */
	char text[200];
	uint64_t covered; /* bytes of data and holes */
	unsigned ndescriptors;
	uint32_t context;
	struct nbd_descriptor descriptors[64];
};

static bool get_error_chunk(struct bench *t, int fd, const struct nbd_chunk *c, struct shape *s)
{
	uint8_t data[300];
	riser_be64 offset;
	uint32_t len = be32(c->len), text;
	riser_be32 error;
	riser_be16 raw;

	if (len < 6 || len > sizeof(data) || !get(t, fd, data, len))
		return false;
	memcpy(&error, data, sizeof(error));
	memcpy(&raw, data + 4, sizeof(raw));
	text = be16(raw);
	s->errors++;
	s->error = be32(error);
	if (len != 6 + text + (be16(c->type) == NBD_CHUNK_ERROR_OFFSET ? 8 : 0) ||
	    text >= sizeof(s->text))
		return false;
	memcpy(s->text, data + 6, text);
	s->text[text] = 0;
	memcpy(&offset, data + 6 + text, sizeof(offset));
	if (be16(c->type) == NBD_CHUNK_ERROR_OFFSET)
		s->failed_at = be64(offset);
	return true;
}

/* A content chunk of the READ of [@offset, +@len) into @data. */
static bool get_content(struct bench *t, int fd, const struct nbd_chunk *c, struct shape *s,
			uint64_t offset, uint64_t len, uint8_t *data)
{
	bool hole = be16(c->type) == NBD_CHUNK_OFFSET_HOLE;
	uint64_t at, n = be32(c->len) - 8;
	riser_be64 raw;
	riser_be32 size;

	if (be32(c->len) <= 8 || !get(t, fd, &raw, sizeof(raw)))
		return false;
	at = be64(raw) - offset;
	if (hole) {
		if (n != 4 || !get(t, fd, &size, sizeof(size)))
			return false;
		n = be32(size);
	}
	if (!n || at > len || n > len - at)
		return false;
	s->holes += hole;
	s->datas += !hole;
	s->covered += n;
	if (!hole)
		return get(t, fd, data + at, n);
	memset(data + at, 0, n);
	return true;
}

static bool get_status_chunk(struct bench *t, int fd, const struct nbd_chunk *c, struct shape *s)
{
	uint32_t len = be32(c->len);
	riser_be32 context;

	if (len < 12 || (len - 4) % 8 || len - 4 > sizeof(s->descriptors) || s->ndescriptors ||
	    !get(t, fd, &context, sizeof(context)))
		return false;
	s->context = be32(context);
	s->ndescriptors = (len - 4) / 8;
	return get(t, fd, s->descriptors, len - 4);
}

/* The structured reply to @m, all of it. Return: false when it is not one. */
static bool get_chunks(struct bench *t, int fd, struct command m, void *data, struct shape *s)
{
	struct nbd_chunk c;
	bool good = true;

	memset(s, 0, sizeof(*s));
	s->failed_at = UINT64_MAX;
	do {
		if (!get_chunk(t, fd, m.cookie, &c) || be16(c.flags) & ~NBD_CHUNK_FLAG_DONE)
			return false;
		switch (be16(c.type)) {
		case NBD_CHUNK_NONE:
			s->none++;
			good = !be32(c.len) && be16(c.flags) & NBD_CHUNK_FLAG_DONE;
			break;
		case NBD_CHUNK_OFFSET_DATA:
		case NBD_CHUNK_OFFSET_HOLE:
			good = m.type == NBD_CMD_READ &&
			       get_content(t, fd, &c, s, m.offset, m.len, data);
			break;
		case NBD_CHUNK_BLOCK_STATUS:
			good = m.type == NBD_CMD_BLOCK_STATUS && get_status_chunk(t, fd, &c, s);
			break;
		case NBD_CHUNK_ERROR:
		case NBD_CHUNK_ERROR_OFFSET:
			good = get_error_chunk(t, fd, &c, s);
			break;
		default:
			return false;
		}
	} while (good && !(be16(c.flags) & NBD_CHUNK_FLAG_DONE));
	return good;
}

/* One command on a connection with structured replies. */
static bool run_structured(struct bench *t, int fd, struct command m, void *data, struct shape *s)
{
	static uint64_t cookies = 0x8877665544332211;

	m.cookie = cookies++;
	return put_command(t, fd, m) && (m.type != NBD_CMD_WRITE || put(t, fd, data, m.len)) &&
	       get_chunks(t, fd, m, data, s);
}

static uint32_t run_read(struct bench *t, int fd, uint64_t offset, uint32_t len, void *data)
{
	return run(t, fd, (struct command){ NBD_CMD_READ, .offset = offset, .len = len }, data);
}

static uint32_t run_write(struct bench *t, int fd, uint64_t offset, uint32_t len, void *data)
{
	return run(t, fd, (struct command){ NBD_CMD_WRITE, .offset = offset, .len = len }, data);
}

/* Bytes that tell where they belong. */
static void fill(uint8_t *data, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 24);
	}
}

#endif
