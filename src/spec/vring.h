/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What both sides of a virtqueue agree on: where the parts of a ring lie, which descriptors are
 * whose, and when the other side wants to be told (VIRTIO 1.3, §2.7 and §2.8).
 */
#ifndef SPEC_VRING_H
#define SPEC_VRING_H

#include <riser/virtio_spec.h>
#include <stdbool.h>

/* The parts of a virtqueue, as offsets in one area. */
struct vring_layout {
	size_t driver; /* split: available ring; packed: driver event suppression */
	size_t device; /* split: used ring; packed: device event suppression */
	size_t len;    /* of all; the descriptors stand at 0 */
};

/*
 * @align: of the used ring: RISER_VIRTIO_LEGACY_ALIGN on a legacy device, else anything from 4. The
 * rings have their event fields whether EVENT_IDX is negotiated or not.
 */
static inline struct vring_layout vring_split_layout(unsigned size, size_t align)
{
	struct vring_layout l;

	l.driver = size * sizeof(struct riser_virtq_desc);
	l.device = l.driver + sizeof(struct riser_virtq_avail) + (size + 1) * sizeof(riser_le16);
	l.device = (l.device + align - 1) & ~(align - 1);
	l.len = l.device + sizeof(struct riser_virtq_used) +
		size * sizeof(struct riser_virtq_used_elem) + sizeof(riser_le16);
	return l;
}

/* @align: of the event suppression structures, each of which one side writes alone; from 4. */
static inline struct vring_layout vring_packed_layout(unsigned size, size_t align)
{
	struct vring_layout l;

	l.driver = size * sizeof(struct riser_virtq_packed_desc);
	l.driver = (l.driver + align - 1) & ~(align - 1);
	l.device = l.driver + align;
	l.len = l.device + sizeof(struct riser_virtq_packed_event);
	return l;
}

/* Where EVENT_IDX has its fields: behind the rings' last elements. */
static inline riser_le16 *vring_used_event(struct riser_virtq_avail *avail, unsigned size)
{
	return &avail->ring[size];
}

static inline riser_le16 *vring_avail_event(struct riser_virtq_used *used, unsigned size)
{
	return (riser_le16 *)(void *)&used->ring[size];
}

/* Did an index that went from @old to @now pass @event? Then the other side wants to be told. */
static inline bool vring_need_event(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

#define VRING_PACKED_BITS (RISER_VIRTQ_PACKED_F_AVAIL | RISER_VIRTQ_PACKED_F_USED)

/* Both bits of a packed descriptor, made available or used, in a lap with this wrap counter. */
static inline uint16_t vring_packed_avail(bool wrap)
{
	return wrap ? RISER_VIRTQ_PACKED_F_AVAIL : RISER_VIRTQ_PACKED_F_USED;
}

static inline uint16_t vring_packed_used(bool wrap)
{
	return wrap ? VRING_PACKED_BITS : 0;
}

static inline bool vring_packed_is_avail(uint16_t flags, bool wrap)
{
	return (flags & VRING_PACKED_BITS) == vring_packed_avail(wrap);
}

static inline bool vring_packed_is_used(uint16_t flags, bool wrap)
{
	return (flags & VRING_PACKED_BITS) == vring_packed_used(wrap);
}

/* A position in a packed ring and its wrap counter, as off_wrap and virtio_layout.start have it. */
static inline uint16_t vring_off_wrap(unsigned pos, bool wrap)
{
	return (uint16_t)(pos | (wrap ? RISER_VIRTQ_PACKED_EVENT_WRAP : 0));
}

/*
 * Does the other side, whose event suppression says @off_wrap and @flags, want to be told that
 * @count descriptors up to @pos, in a lap with wrap counter @wrap, were made available (or used)?
 */
static inline bool vring_packed_need_event(uint16_t off_wrap, uint16_t flags, unsigned size,
					   unsigned pos, bool wrap, unsigned count)
{
	uint16_t event = off_wrap & (RISER_VIRTQ_PACKED_EVENT_WRAP - 1);

	if ((flags & 3) != RISER_VIRTQ_PACKED_EVENT_DESC)
		return (flags & 3) != RISER_VIRTQ_PACKED_EVENT_DISABLE;
	if (!(off_wrap & RISER_VIRTQ_PACKED_EVENT_WRAP) == wrap)
		event = (uint16_t)(event - size);
	return vring_need_event(event, (uint16_t)pos, (uint16_t)(pos - count));
}

#endif
