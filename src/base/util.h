/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Words that every floor uses. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <riser/endian.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define cold                            __attribute__((cold, noinline))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define array_len(a)                    (sizeof(a) / sizeof((a)[0]))

#define KiB                             ((size_t)1 << 10)
#define MiB                             ((size_t)1 << 20)
#define GiB                             ((size_t)1 << 30)

#define NS_PER_US                       1000ull
#define NS_PER_MS                       1000000ull
#define NS_PER_S                        1000000000ull
#define TIME_NEVER                      UINT64_MAX

/* Each use has names of its own, so that they nest. */
#define UNIQUE_(a, b) a##b
#define UNIQUE(a, b)  UNIQUE_(a, b)
#define min_of(a, b)  COMPARE_OF(a, b, <, UNIQUE(a_, __COUNTER__), UNIQUE(b_, __COUNTER__))
#define max_of(a, b)  COMPARE_OF(a, b, >, UNIQUE(a_, __COUNTER__), UNIQUE(b_, __COUNTER__))
#define COMPARE_OF(a, b, op, x, y)                                                                 \
	({                                                                                         \
		__typeof__(a) x = (a);                                                             \
		__typeof__(b) y = (b);                                                             \
		x op y ? x : y;                                                                    \
	})

/* @align is a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline int is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* Short names of the public converters, for code that reads wire structures all day. */
#define le16(v)    riser_le16_get(v)
#define le32(v)    riser_le32_get(v)
#define le64(v)    riser_le64_get(v)
#define be16(v)    riser_be16_get(v)
#define be32(v)    riser_be32_get(v)
#define be64(v)    riser_be64_get(v)
#define to_le16(v) riser_le16_of(v)
#define to_le32(v) riser_le32_of(v)
#define to_le64(v) riser_le64_of(v)
#define to_be16(v) riser_be16_of(v)
#define to_be32(v) riser_be32_of(v)
#define to_be64(v) riser_be64_of(v)

#endif
