/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The handshake. One option is looked at when it is there whole, and only when the answer to the
 * one before has left, so that a peer that asks and never reads costs NBD_OUT_SIZE bytes.
 */
#include "base/util.h"
#include "publish/nbd.h"
#include <string.h>

/* Longer options are skipped and refused; beyond the second bound, the connection is closed. */
#define OPTION_MAX      (32 * KiB)
#define OPTION_SKIP_MAX (1 * MiB)
static_assert(OPTION_MAX + sizeof(struct nbd_option) <= NBD_RX_SIZE, "an option fits");

static void put(struct nbd_conn *c, const void *data, size_t len)
{
	memcpy(c->out + c->out_end, data, len);
	c->out_end += (uint32_t)len;
}

static void put_reply(struct nbd_conn *c, uint32_t option, uint32_t type, size_t len)
{
	struct nbd_option_reply r = {
		.magic = to_be64(NBD_OPTION_REPLY_MAGIC),
		.option = to_be32(option),
		.type = to_be32(type),
		.len = to_be32((uint32_t)len),
	};

	put(c, &r, sizeof(r));
}

static void put_error(struct nbd_conn *c, uint32_t option, uint32_t type, const char *why)
{
	put_reply(c, option, type, strlen(why));
	put(c, why, strlen(why));
}

static void put_string_info(struct nbd_conn *c, uint32_t option, enum nbd_info_type info,
			    const char *text)
{
	riser_be16 type = to_be16((uint16_t)info);

	put_reply(c, option, NBD_REP_INFO, sizeof(type) + strlen(text));
	put(c, &type, sizeof(type));
	put(c, text, strlen(text));
}

void nbd_greet(struct nbd_conn *c)
{
	struct nbd_greeting g = {
		.magic = to_be64(NBD_MAGIC),
		.option_magic = to_be64(NBD_OPTION_MAGIC),
		.flags = to_be16(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
	};

	put(c, &g, sizeof(g));
}

/* "" asks for the default export, and there is one only. */
static bool is_ours(const struct nbd_server *s, const uint8_t *name, size_t len)
{
	return !len || (len == strlen(s->name) && !memcmp(name, s->name, len));
}

/* The transmission flags, which depend on what was negotiated. */
static uint16_t flags_for(const struct nbd_conn *c)
{
	return (uint16_t)(c->server->flags | (c->structured ? NBD_FLAG_SEND_DF : 0));
}

static void start_serving(struct nbd_conn *c)
{
	c->phase = NBD_SERVING;
	c->server->impatient = c->server->x->now; /* reckon anew: a timer costs each sleep */
	/* The usual buffers now, not at the first command. If there are none, that one is told. */
	nbd_pool_reserve(&c->small, NBD_PIECES);
}

static enum nbd_step export_name(struct nbd_conn *c, const uint8_t *name, uint32_t len)
{
	static const uint8_t zeroes[NBD_EXPORT_ZEROES];
	struct nbd_export_reply r = {
		.size = to_be64(c->server->bytes),
		.flags = to_be16(flags_for(c)),
	};

	if (len > NBD_STRING_MAX || !is_ours(c->server, name, len))
		return NBD_BROKEN; /* this option knows no answer that says no */
	put(c, &r, sizeof(r));
	if (!c->no_zeroes)
		put(c, zeroes, sizeof(zeroes));
	start_serving(c);
	return NBD_MORE;
}

static void list(struct nbd_conn *c, uint32_t len)
{
	const struct nbd_server *s = c->server;
	size_t name = strlen(s->name), description = strlen(s->description);
	riser_be32 name_len = to_be32((uint32_t)name);

	if (len) {
		put_error(c, NBD_OPT_LIST, NBD_REP_ERR_INVALID, "LIST carries no data");
		return;
	}
	put_reply(c, NBD_OPT_LIST, NBD_REP_SERVER, sizeof(name_len) + name + description);
	put(c, &name_len, sizeof(name_len));
	put(c, s->name, name);
	put(c, s->description, description);
	put_reply(c, NBD_OPT_LIST, NBD_REP_ACK, 0);
}

/* What INFO and GO carry: an export's name, then which facts about it are wanted. */
struct info_request {
	const uint8_t *name;
	uint32_t name_len;
	bool wants_name, wants_description;
};

static bool parse_info(const uint8_t *data, uint32_t len, struct info_request *out)
{
	riser_be32 name_len;
	riser_be16 count, type;

	if (len < sizeof(name_len) + sizeof(count))
		return false;
	memcpy(&name_len, data, sizeof(name_len));
	data += sizeof(name_len);
	len -= (uint32_t)(sizeof(name_len) + sizeof(count));
	out->name = data;
	out->name_len = be32(name_len);
	if (out->name_len > len || out->name_len > NBD_STRING_MAX)
		return false;
	data += out->name_len;
	len -= out->name_len;
	memcpy(&count, data, sizeof(count));
	data += sizeof(count);
	if (len != be16(count) * sizeof(type))
		return false;
	for (; len; data += sizeof(type), len -= (uint32_t)sizeof(type)) {
		memcpy(&type, data, sizeof(type));
		out->wants_name |= be16(type) == NBD_INFO_NAME;
		out->wants_description |= be16(type) == NBD_INFO_DESCRIPTION;
	}
	return true;
}

static void info_or_go(struct nbd_conn *c, uint32_t option, const uint8_t *data, uint32_t len)
{
	const struct nbd_server *s = c->server;
	struct info_request want = { 0 };
	struct nbd_info_export export = {
		.type = to_be16(NBD_INFO_EXPORT),
		.size = to_be64(s->bytes),
		.flags = to_be16(flags_for(c)),
	};
	struct nbd_info_block_size sizes = {
		.type = to_be16(NBD_INFO_BLOCK_SIZE),
		.minimum = to_be32(s->info.logical_block),
		.preferred = to_be32(max_of(s->info.physical_block, s->info.logical_block)),
		.maximum = to_be32(NBD_REQUEST_MAX),
	};

	if (!parse_info(data, len, &want)) {
		put_error(c, option, NBD_REP_ERR_INVALID, "lengths do not add up");
		return;
	}
	if (!is_ours(s, want.name, want.name_len)) {
		put_error(c, option, NBD_REP_ERR_UNKNOWN, "no export of that name");
		return;
	}
	put_reply(c, option, NBD_REP_INFO, sizeof(export));
	put(c, &export, sizeof(export));
	/* Unasked too: it binds those who did not ask as well. */
	put_reply(c, option, NBD_REP_INFO, sizeof(sizes));
	put(c, &sizes, sizeof(sizes));
	if (want.wants_name)
		put_string_info(c, option, NBD_INFO_NAME, s->name);
	if (want.wants_description)
		put_string_info(c, option, NBD_INFO_DESCRIPTION, s->description);
	put_reply(c, option, NBD_REP_ACK, 0);
	if (option == NBD_OPT_GO)
		start_serving(c);
}

static void structured_reply(struct nbd_conn *c, uint32_t len)
{
	if (len) {
		put_error(c, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID,
			  "STRUCTURED_REPLY carries no data");
		return;
	}
	c->structured = true;
	put_reply(c, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, 0);
}

/* A length and as many bytes from what is left at @*data. Return: NULL when it is too short. */
static const uint8_t *take_string(const uint8_t **data, uint32_t *left, uint32_t *len)
{
	const uint8_t *at;
	riser_be32 raw;

	if (*left < sizeof(raw))
		return NULL;
	memcpy(&raw, *data, sizeof(raw));
	*len = be32(raw);
	*left -= (uint32_t)sizeof(raw);
	if (*len > *left)
		return NULL;
	at = *data + sizeof(raw);
	*data = at + *len;
	*left -= *len;
	return at;
}

static bool is_text(const uint8_t *at, uint32_t len, const char *text)
{
	return len == strlen(text) && !memcmp(at, text, len);
}

/* What LIST_ and SET_META_CONTEXT carry: an export's name, then queries. */
struct meta_request {
	const uint8_t *name;
	uint32_t name_len;
	uint32_t queries;
	bool exact, wildcard; /* "base:allocation" is among them; "base:" is */
};

static bool parse_meta(const uint8_t *data, uint32_t len, struct meta_request *out)
{
	riser_be32 count;

	out->name = take_string(&data, &len, &out->name_len);
	if (!out->name || out->name_len > NBD_STRING_MAX || len < sizeof(count))
		return false;
	memcpy(&count, data, sizeof(count));
	data += sizeof(count);
	len -= (uint32_t)sizeof(count);
	out->queries = be32(count);
	for (uint32_t i = 0; i < out->queries; i++) {
		uint32_t n;
		const uint8_t *query = take_string(&data, &len, &n);

		if (!query || n > NBD_STRING_MAX)
			return false;
		out->exact |= is_text(query, n, NBD_BASE_ALLOCATION);
		out->wildcard |= is_text(query, n, "base:");
	}
	return !len;
}

static void meta_context(struct nbd_conn *c, uint32_t option, const uint8_t *data, uint32_t len)
{
	static const char name[] = NBD_BASE_ALLOCATION;
	bool set = option == NBD_OPT_SET_META_CONTEXT;
	riser_be32 id = to_be32(set ? NBD_ALLOCATION_ID : 0);
	struct meta_request want = { 0 };

	/* What was selected before is not any more, whatever comes of this. */
	if (set)
		c->allocation = false;
	if (!c->structured) {
		put_error(c, option, NBD_REP_ERR_INVALID, "needs structured replies");
		return;
	}
	if (!parse_meta(data, len, &want)) {
		put_error(c, option, NBD_REP_ERR_INVALID, "lengths do not add up");
		return;
	}
	if (!is_ours(c->server, want.name, want.name_len)) {
		put_error(c, option, NBD_REP_ERR_UNKNOWN, "no export of that name");
		return;
	}
	if (want.exact || (!set && (want.wildcard || !want.queries))) {
		put_reply(c, option, NBD_REP_META_CONTEXT, sizeof(id) + strlen(name));
		put(c, &id, sizeof(id));
		put(c, name, strlen(name));
		c->allocation |= set;
	}
	put_reply(c, option, NBD_REP_ACK, 0);
}

static enum nbd_step act(struct nbd_conn *c, uint32_t option, const uint8_t *data, uint32_t len)
{
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return export_name(c, data, len);
	case NBD_OPT_ABORT:
		put_reply(c, option, NBD_REP_ACK, 0);
		return NBD_END;
	case NBD_OPT_LIST:
		list(c, len);
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		info_or_go(c, option, data, len);
		break;
	case NBD_OPT_STRUCTURED_REPLY:
		structured_reply(c, len);
		break;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		meta_context(c, option, data, len);
		break;
	default:
		put_error(c, option, NBD_REP_ERR_UNSUP, "not done here");
		break;
	}
	return NBD_MORE;
}

static enum nbd_step client_flags(struct nbd_conn *c)
{
	riser_be32 raw;
	uint32_t flags;

	if (nbd_have(c) < sizeof(raw))
		return NBD_INPUT;
	memcpy(&raw, c->rx + c->rx_at, sizeof(raw));
	c->rx_at += (uint32_t)sizeof(raw);
	flags = be32(raw);
	if (flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
		return NBD_BROKEN;
	c->fixed = flags & NBD_FLAG_FIXED_NEWSTYLE;
	c->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
	c->phase = NBD_OPTIONS;
	return NBD_MORE;
}

static enum nbd_step next_option(struct nbd_conn *c)
{
	struct nbd_option o;
	uint32_t type, len;

	if (nbd_have(c) < sizeof(o))
		return NBD_INPUT;
	memcpy(&o, c->rx + c->rx_at, sizeof(o));
	type = be32(o.type);
	len = be32(o.len);
	if (be64(o.magic) != NBD_OPTION_MAGIC || len > OPTION_SKIP_MAX)
		return NBD_BROKEN;
	/* A client that is not "fixed" understands no refusal. */
	if (!c->fixed && type != NBD_OPT_EXPORT_NAME)
		return NBD_BROKEN;
	if (len <= OPTION_MAX && nbd_have(c) < sizeof(o) + len)
		return NBD_INPUT;
	if (++c->options > NBD_OPTIONS_MAX)
		return NBD_BROKEN;
	c->rx_at += (uint32_t)sizeof(o);
	if (len > OPTION_MAX) {
		if (type == NBD_OPT_EXPORT_NAME)
			return NBD_BROKEN;
		c->skip = len;
		put_error(c, type, NBD_REP_ERR_TOO_BIG, "too long");
		return NBD_MORE;
	}
	c->rx_at += len;
	return act(c, type, c->rx + c->rx_at - len, len);
}

enum nbd_step nbd_handshake(struct nbd_conn *c)
{
	if (c->out_at != c->out_end)
		return NBD_STALL;
	return c->phase == NBD_HELLO ? client_flags(c) : next_option(c);
}
