/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A capture file, in whatever state.
 *
 * covers: src/net/pcapng.c
 *
 * Each packet that is read lies in the block, and is written and read again as it was.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "net/pcapng.h"
#include "base/util.h"
#include "fuzz.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && !lseek(fd, 0, SEEK_SET));
	return fd;
}

static void write_and_read(const struct pcap_packet *p)
{
	static uint8_t bytes[PCAP_BLOCK_MAX + 1024], copy[PCAP_BLOCK_MAX];
	struct riser_pkt pkt = { .data = copy, .len = p->len, .total = p->len };
	struct pcap_reader again;
	struct pcap_packet q;
	uint32_t len = pcap_put_head(bytes, "fuzz");
	int fd;

	if (p->len > PCAP_BLOCK_MAX - PCAP_PACKET_MAX)
		return;
	memcpy(copy, p->data, p->len);
	pkt.flags = p->has_hdr ? RISER_PKT_HDR : 0;
	pkt.hdr = p->hdr;
	len += pcap_put_packet(bytes + len, &pkt, p->ns);
	fd = file_of(bytes, len);
	FUZZ_CHECK(!pcap_begin(&again, fd));
	FUZZ_CHECK(pcap_next(&again, &q) == 1);
	FUZZ_CHECK(q.len == p->len && q.ns == p->ns && q.has_hdr == p->has_hdr);
	FUZZ_CHECK(!memcmp(q.data, copy, q.len));
	FUZZ_CHECK(!p->has_hdr || !memcmp(&q.hdr, &p->hdr, sizeof(q.hdr)));
	FUZZ_CHECK(pcap_next(&again, &q) == 0);
	pcap_end(&again);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = file_of(data, size);
	struct pcap_reader reader;
	struct pcap_packet p;

	if (!pcap_begin(&reader, fd)) {
		for (int n = 0; n < 64 && pcap_next(&reader, &p) == 1; n++) {
			FUZZ_CHECK(p.data >= reader.buf &&
				   p.data + p.len <= reader.buf + reader.len);
			write_and_read(&p);
		}
	}
	pcap_end(&reader);
	close(fd);
	return 0;
}
