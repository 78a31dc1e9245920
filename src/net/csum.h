/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The Internet's checksum (RFC 1071). Sums are of words as they lie in memory, so that a folded sum
 * is stored as it is, and does not depend on this machine's byte order.
 */
#ifndef NET_CSUM_H
#define NET_CSUM_H

#include <stddef.h>
#include <stdint.h>

/* Add @len bytes that begin at an even offset of what is summed. */
uint64_t csum_add(uint64_t sum, const void *bytes, size_t len);

/* The sum in 16 bits, not complemented. */
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A sum of bytes that were counted as if their first offset was even, and it is odd. */
static inline uint64_t csum_odd(uint64_t sum)
{
	return __builtin_bswap16(csum_fold(sum));
}

#endif
