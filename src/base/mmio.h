/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Registers that are mapped: each access is one load or store of the register's width. */
#ifndef BASE_MMIO_H
#define BASE_MMIO_H

#include "base/util.h"

static inline uint8_t mmio_read8(const volatile void *p)
{
	return *(const volatile uint8_t *)p;
}

static inline void mmio_write8(volatile void *p, uint8_t v)
{
	__atomic_store_n((volatile uint8_t *)p, v, __ATOMIC_RELEASE);
}

static inline uint16_t mmio_read16(const volatile void *p)
{
	riser_le16 v = { *(const volatile uint16_t *)p };

	return le16(v);
}

static inline void mmio_write16(volatile void *p, uint16_t v)
{
	__atomic_store_n((volatile uint16_t *)p, to_le16(v).raw, __ATOMIC_RELEASE);
}

static inline uint32_t mmio_read32(const volatile void *p)
{
	riser_le32 v = { *(const volatile uint32_t *)p };

	return le32(v);
}

static inline void mmio_write32(volatile void *p, uint32_t v)
{
	/* Atomic so that ThreadSanitizer knows a model's thread on the other side of memory. */
	__atomic_store_n((volatile uint32_t *)p, to_le32(v).raw, __ATOMIC_RELEASE);
}

/* As two halves, low first: NVMe allows it everywhere, and some controllers take nothing else. */
static inline uint64_t mmio_read64(const volatile void *p)
{
	uint64_t lo = mmio_read32(p);

	return lo | (uint64_t)mmio_read32((const volatile char *)p + 4) << 32;
}

static inline void mmio_write64(volatile void *p, uint64_t v)
{
	mmio_write32(p, (uint32_t)v);
	mmio_write32((volatile char *)p + 4, (uint32_t)(v >> 32));
}

#endif
