/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng). A packet's virtio header stands in a comment,
 * which is what every tool shows and copies: there is no link type for it, and an option of our own
 * would need a number of our own.
 */
#ifndef NET_PCAPNG_H
#define NET_PCAPNG_H

#include "base/util.h"
#include <riser/net.h>

#define PCAP_SHB         0x0a0d0d0au /* section header */
#define PCAP_IDB         1u          /* interface description */
#define PCAP_SPB         3u          /* simple packet */
#define PCAP_EPB         6u          /* enhanced packet */
#define PCAP_ORDER       0x1a2b3c4du /* of a section header: its byte order */
#define PCAP_ETHERNET    1u          /* link type */
#define PCAP_BLOCK_MAX   (1u << 20)
#define PCAP_IFACES      16

#define PCAP_OPT_END     0
#define PCAP_OPT_COMMENT 1
#define PCAP_OPT_TSRESOL 9 /* of an interface */
#define PCAP_OPT_FLAGS   2 /* of a packet */

/* An interface of the section that is read. */
struct pcap_iface {
	bool ethernet;
	uint32_t snaplen;
	uint64_t units; /* of time in a second */
};

/**
 * struct pcap_reader - a file that is read, a block at a time
 * @buf: the block at hand; @len: its length
 * @swapped: the section is of the other byte order
 */
struct pcap_reader {
	int fd;
	uint8_t *buf;
	uint32_t len;
	bool swapped;
	struct pcap_iface ifaces[PCAP_IFACES];
	unsigned nifaces;
};

/* What a block holds; @data lies in the reader's buffer. */
struct pcap_packet {
	const uint8_t *data;
	uint32_t len, original;
	uint64_t ns; /* when, 0: unknown */
	bool has_hdr;
	struct riser_virtio_net_hdr hdr;
};

/* The first section header. Return: 0, -EINVAL: it is no pcapng file, -ENOMEM, or what read() said.
 * pcap_end() takes what it leaves. */
int pcap_begin(struct pcap_reader *p, int fd);
void pcap_end(struct pcap_reader *p);

/*
 * The next packet of an Ethernet interface. Return: 1, 0 at the end, -EINVAL: the file is broken
 * here.
 */
int pcap_next(struct pcap_reader *p, struct pcap_packet *out);

/* Return: bytes of a section header and an interface description, put at @to. */
#define PCAP_HEAD_MAX 128
uint32_t pcap_put_head(uint8_t *to, const char *name);

/* What a packet takes besides its bytes, at the most. */
#define PCAP_PACKET_MAX 192
/* Return: the whole block's length, put at @to: its data is the packet's. */
uint32_t pcap_put_packet(uint8_t *to, const struct riser_pkt *pkt, uint64_t ns);

#endif
