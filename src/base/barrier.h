/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The only place that orders memory. Each use names the line that it pairs with.
 *
 * Between CPUs the C11 forms are enough (and ThreadSanitizer follows them): load_acquire() pairs
 * with store_release(). Towards a device that reads and writes memory by DMA:
 *
 *	dma_rmb()	after seeing that the device gave something, before reading the rest
 *	dma_wmb()	after filling what the device will read, before the store that gives it
 *	mmio_wmb()	the same before a store to a register (a doorbell)
 *
 * On x86 all three only keep the compiler from reordering. On arm64 they are the barriers that
 * Linux uses for the same purpose.
 */
#ifndef BASE_BARRIER_H
#define BASE_BARRIER_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#define dma_rmb()   __asm__ volatile("" ::: "memory")
#define dma_wmb()   __asm__ volatile("" ::: "memory")
#define mmio_wmb()  __asm__ volatile("" ::: "memory")
#define cpu_relax() __asm__ volatile("pause" ::: "memory")
#elif defined(__aarch64__)
#define dma_rmb()   __asm__ volatile("dmb oshld" ::: "memory")
#define dma_wmb()   __asm__ volatile("dmb oshst" ::: "memory")
#define mmio_wmb()  __asm__ volatile("dsb st" ::: "memory")
#define cpu_relax() __asm__ volatile("yield" ::: "memory")
#else
#define dma_rmb()   __atomic_thread_fence(__ATOMIC_ACQ_REL)
#define dma_wmb()   __atomic_thread_fence(__ATOMIC_ACQ_REL)
#define mmio_wmb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define cpu_relax() ((void)0)
#endif

#define load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define load_seq_cst(p)     __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_seq_cst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

#if defined(__SANITIZE_THREAD__)
#define BARRIER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BARRIER_TSAN 1
#endif
#endif

/*
 * A count that one thread writes and others read. Counting up orders nothing but the compiler: the
 * reader makes up for it with membarrier_all(), or the writer uses owner_inc_fence(). Counting
 * down is a release. On x86 each is one instruction without a bus lock, which C11 cannot say.
 */
static inline void owner_inc(uint32_t *count)
{
#if defined(__x86_64__) && !defined(BARRIER_TSAN)
	__asm__ volatile("addl $1, %0" : "+m"(*count) : : "memory", "cc");
#else
	store_relaxed(count, load_relaxed(count) + 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void owner_dec_release(uint32_t *count)
{
#if defined(__x86_64__) && !defined(BARRIER_TSAN)
	__asm__ volatile("subl $1, %0" : "+m"(*count) : : "memory", "cc");
#else
	store_release(count, load_relaxed(count) - 1);
#endif
}

/* The full fence is in a read-modify-write, which ThreadSanitizer follows; it knows no fences. */
static inline void owner_inc_fence(uint32_t *count)
{
	__atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
}

#endif
