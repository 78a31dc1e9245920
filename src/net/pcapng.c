/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "net/pcapng.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HDR_FORMAT "virtio flags=%u gso_type=%u hdr_len=%u gso_size=%u csum_start=%u csum_offset=%u"
#define NS         9 /* decimal places of a second, as we write it */

static uint16_t get16(const struct pcap_reader *p, uint32_t at)
{
	uint16_t v;

	memcpy(&v, p->buf + at, sizeof(v));
	return p->swapped ? __builtin_bswap16(v) : v;
}

static uint32_t get32(const struct pcap_reader *p, uint32_t at)
{
	uint32_t v;

	memcpy(&v, p->buf + at, sizeof(v));
	return p->swapped ? __builtin_bswap32(v) : v;
}

/* Return: 1, 0: the end, or a negative errno; -EINVAL for an end in the midst. */
static int read_all(struct pcap_reader *p, uint32_t at, uint32_t len)
{
	for (uint32_t done = 0; done < len;) {
		ssize_t n = read(p->fd, p->buf + at + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return done ? -EINVAL : 0;
		done += n > 0 ? (uint32_t)n : 0;
	}
	return 1;
}

/* A section header tells in which order its own length is. */
static int read_order(struct pcap_reader *p)
{
	uint32_t magic;
	int rc = read_all(p, 8, 4);

	if (rc <= 0)
		return rc ? rc : -EINVAL;
	memcpy(&magic, p->buf + 8, sizeof(magic));
	if (magic != PCAP_ORDER && __builtin_bswap32(magic) != PCAP_ORDER)
		return -EINVAL;
	p->swapped = magic != PCAP_ORDER;
	p->nifaces = 0;
	return 0;
}

/* The next block, whole. Return: 1, 0 at the end, or a negative errno. */
static int read_block(struct pcap_reader *p)
{
	uint32_t have = 8;
	int rc = read_all(p, 0, have);

	if (rc <= 0)
		return rc;
	if (get32(p, 0) == PCAP_SHB) { /* the same in either order */
		rc = read_order(p);
		if (rc)
			return rc;
		have = 12;
	}
	p->len = get32(p, 4);
	if (p->len % 4 || p->len < have + 4 || p->len > PCAP_BLOCK_MAX)
		return -EINVAL;
	rc = read_all(p, have, p->len - have);
	if (rc <= 0 || get32(p, p->len - 4) != p->len)
		return rc < 0 ? rc : -EINVAL;
	return 1;
}

/* Walk options from *@at on, before @end. Return: the code of one whose *@len bytes lie at *@at,
 * PCAP_OPT_END: no more. *@next is where to go on. */
static uint16_t option(const struct pcap_reader *p, uint32_t *at, uint32_t end, uint16_t *len)
{
	uint16_t code;

	if (*at > end || end - *at < 4)
		return PCAP_OPT_END;
	code = get16(p, *at);
	*len = get16(p, *at + 2);
	*at += 4;
	return *len <= end - *at ? code : PCAP_OPT_END;
}

static uint64_t units_of(uint8_t resolution)
{
	uint64_t units = 1;

	if (resolution & 0x80)
		return (resolution & 0x7f) < 64 ? 1ull << (resolution & 0x7f) : 0;
	for (; resolution && units <= UINT64_MAX / 10; resolution--)
		units *= 10;
	return resolution ? 0 : units;
}

static int read_iface(struct pcap_reader *p)
{
	struct pcap_iface *i = &p->ifaces[p->nifaces];
	uint32_t at = 16, end = p->len - 4;
	uint16_t code, len;

	if (p->len < 20 || p->nifaces == PCAP_IFACES)
		return -EINVAL;
	*i = (struct pcap_iface){ .ethernet = get16(p, 8) == PCAP_ETHERNET,
				  .snaplen = get32(p, 12),
				  .units = 1000000 };
	for (; (code = option(p, &at, end, &len)); at += (uint32_t)align_up(len, 4))
		if (code == PCAP_OPT_TSRESOL && len == 1)
			i->units = units_of(p->buf[at]);
	p->nifaces++;
	return i->units ? 0 : -EINVAL;
}

static bool parse_hdr(const uint8_t *text, uint16_t len, struct riser_virtio_net_hdr *h)
{
	unsigned v[6];
	char s[128], again[128];

	if (len >= sizeof(s))
		return false;
	memcpy(s, text, len);
	s[len] = 0;
	if (sscanf(s, HDR_FORMAT, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) != 6)
		return false;
	snprintf(again, sizeof(again), HDR_FORMAT, v[0], v[1], v[2], v[3], v[4], v[5]);
	if (strcmp(s, again) || (v[0] | v[1]) > UINT8_MAX ||
	    (v[2] | v[3] | v[4] | v[5]) > UINT16_MAX)
		return false;
	*h = (struct riser_virtio_net_hdr){ .flags = (uint8_t)v[0],
					    .gso_type = (uint8_t)v[1],
					    .hdr_len = to_le16((uint16_t)v[2]),
					    .gso_size = to_le16((uint16_t)v[3]),
					    .csum_start = to_le16((uint16_t)v[4]),
					    .csum_offset = to_le16((uint16_t)v[5]) };
	return true;
}

/* Return: 1; 0: not of Ethernet; -EINVAL. */
static int read_enhanced(struct pcap_reader *p, struct pcap_packet *out)
{
	uint32_t at = 28, end = p->len - 4;
	const struct pcap_iface *i;
	unsigned __int128 ns;
	uint16_t code, len;

	if (p->len < 32 || get32(p, 8) >= p->nifaces)
		return -EINVAL;
	i = &p->ifaces[get32(p, 8)];
	*out = (struct pcap_packet){ .data = p->buf + at,
				     .len = get32(p, 20),
				     .original = get32(p, 24) };
	if (out->len > end - at)
		return -EINVAL;
	ns = (unsigned __int128)((uint64_t)get32(p, 12) << 32 | get32(p, 16)) * NS_PER_S / i->units;
	out->ns = ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
	at += (uint32_t)align_up(out->len, 4);
	for (; (code = option(p, &at, end, &len)); at += (uint32_t)align_up(len, 4))
		if (code == PCAP_OPT_COMMENT)
			out->has_hdr |= parse_hdr(p->buf + at, len, &out->hdr);
	return i->ethernet;
}

static int read_simple(struct pcap_reader *p, struct pcap_packet *out)
{
	uint32_t original, room, snaplen;

	if (p->len < 16 || !p->nifaces)
		return -EINVAL;
	original = get32(p, 8);
	room = p->len - 16;
	snaplen = p->ifaces[0].snaplen;
	*out = (struct pcap_packet){ .data = p->buf + 12, .len = original, .original = original };
	if (snaplen && out->len > snaplen)
		out->len = snaplen;
	return out->len > room ? -EINVAL : p->ifaces[0].ethernet;
}

int pcap_next(struct pcap_reader *p, struct pcap_packet *out)
{
	for (;;) {
		int rc = read_block(p);

		if (rc <= 0)
			return rc;
		rc = 0;
		switch (get32(p, 0)) {
		case PCAP_IDB:
			rc = read_iface(p);
			break;
		case PCAP_EPB:
			rc = read_enhanced(p, out);
			break;
		case PCAP_SPB:
			rc = read_simple(p, out);
			break;
		}
		if (rc)
			return rc;
	}
}

int pcap_begin(struct pcap_reader *p, int fd)
{
	int rc;

	*p = (struct pcap_reader){ .fd = fd, .buf = malloc(PCAP_BLOCK_MAX) };
	if (!p->buf)
		return -ENOMEM;
	memset(p->buf, 0, 8);
	rc = read_block(p);
	if (rc < 0)
		return rc;
	return rc && get32(p, 0) == PCAP_SHB ? 0 : -EINVAL;
}

void pcap_end(struct pcap_reader *p)
{
	free(p->buf);
	p->buf = NULL;
}

static uint8_t *put16(uint8_t *to, uint16_t v)
{
	memcpy(to, &v, sizeof(v));
	return to + sizeof(v);
}

static uint8_t *put32(uint8_t *to, uint32_t v)
{
	memcpy(to, &v, sizeof(v));
	return to + sizeof(v);
}

static uint8_t *put_option(uint8_t *to, uint16_t code, const void *value, uint16_t len)
{
	uint32_t padded = (uint32_t)align_up(len, 4);

	to = put16(to, code);
	to = put16(to, len);
	memset(to, 0, padded);
	memcpy(to, value, len);
	return to + padded;
}

/* Its length, at both ends. Return: it. */
static uint32_t close_block(uint8_t *from, uint8_t *to)
{
	uint32_t len = (uint32_t)(to - from) + 4;

	put32(from + 4, len);
	put32(to, len);
	return len;
}

uint32_t pcap_put_head(uint8_t *start, const char *name)
{
	static const uint8_t ns = NS;
	uint8_t *to = put32(start, PCAP_SHB) + 4;
	uint32_t len;

	to = put32(to, PCAP_ORDER);
	to = put16(put16(to, 1), 0); /* the format's version */
	to = put32(put32(to, UINT32_MAX), UINT32_MAX);
	len = close_block(start, to);
	start += len;
	to = put32(start, PCAP_IDB) + 4;
	to = put16(put16(to, PCAP_ETHERNET), 0);
	to = put32(to, 0); /* packets are whole */
	to = put_option(to, 2 /* if_name */, name, (uint16_t)min_of(strlen(name), (size_t)32));
	to = put_option(to, PCAP_OPT_TSRESOL, &ns, sizeof(ns));
	to = put_option(to, PCAP_OPT_END, "", 0);
	return len + close_block(start, to);
}

uint32_t pcap_put_packet(uint8_t *start, const struct riser_pkt *pkt, uint64_t ns)
{
	const struct riser_virtio_net_hdr *h = &pkt->hdr;
	uint8_t *to = put32(start, PCAP_EPB) + 4, *data;
	char text[128];
	int n;

	to = put32(to, 0);
	to = put32(put32(to, (uint32_t)(ns >> 32)), (uint32_t)ns);
	to = put32(put32(to, pkt->total), pkt->total);
	data = to;
	for (const struct riser_pkt *s = pkt; s; s = s->next) {
		memcpy(to, s->data, s->len);
		to += s->len;
	}
	while ((to - data) % 4)
		*to++ = 0;
	if (pkt->flags & RISER_PKT_HDR) {
		n = snprintf(text, sizeof(text), HDR_FORMAT, h->flags, h->gso_type,
			     le16(h->hdr_len), le16(h->gso_size), le16(h->csum_start),
			     le16(h->csum_offset));
		to = put_option(to, PCAP_OPT_COMMENT, text, (uint16_t)n);
		to = put_option(to, PCAP_OPT_END, "", 0);
	}
	return close_block(start, to);
}
