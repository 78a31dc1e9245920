/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Little- and big-endian fields as types of their own, so that none is used unconverted. */
#ifndef RISER_ENDIAN_H
#define RISER_ENDIAN_H

#include <stdint.h>

typedef struct {
	uint16_t raw;
} riser_le16;
typedef struct {
	uint32_t raw;
} riser_le32;
typedef struct {
	uint64_t raw;
} riser_le64;
typedef struct {
	uint16_t raw;
} riser_be16;
typedef struct {
	uint32_t raw;
} riser_be32;
typedef struct {
	uint64_t raw;
} riser_be64;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define RISER_SWAP_LE(bits, v) (v)
#define RISER_SWAP_BE(bits, v) __builtin_bswap##bits(v)
#else
#define RISER_SWAP_LE(bits, v) __builtin_bswap##bits(v)
#define RISER_SWAP_BE(bits, v) (v)
#endif

#define RISER_ENDIAN_TYPE(end, END, bits)                                                          \
	static inline uint##bits##_t riser_##end##bits##_get(riser_##end##bits v)                  \
	{                                                                                          \
		return RISER_SWAP_##END(bits, v.raw);                                              \
	}                                                                                          \
	static inline riser_##end##bits riser_##end##bits##_of(uint##bits##_t v)                   \
	{                                                                                          \
		riser_##end##bits out;                                                             \
		out.raw = RISER_SWAP_##END(bits, v);                                               \
		return out;                                                                        \
	}

RISER_ENDIAN_TYPE(le, LE, 16)
RISER_ENDIAN_TYPE(le, LE, 32)
RISER_ENDIAN_TYPE(le, LE, 64)
RISER_ENDIAN_TYPE(be, BE, 16)
RISER_ENDIAN_TYPE(be, BE, 32)
RISER_ENDIAN_TYPE(be, BE, 64)

#undef RISER_ENDIAN_TYPE

#endif
