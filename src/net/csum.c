/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "net/csum.h"
#include <string.h>

/* 32 bits at a time: the carries gather in the upper half, which 16 GiB would have to fill. */
uint64_t csum_add(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint16_t last = 0;
	uint32_t w[4];

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		sum += (uint64_t)w[0] + w[1] + w[2] + w[3];
	}
	for (; len >= 2; p += 2, len -= 2) {
		memcpy(&last, p, 2);
		sum += last;
	}
	last = 0;
	memcpy(&last, p, len);
	return sum + last;
}
