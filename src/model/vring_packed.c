/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The packed layout (§2.8): one ring, in which the device writes its answers over what it has
 * taken. Which of the two a descriptor is, its AVAIL and USED bits tell, against a counter that
 * turns each time round.
 */
#include "base/barrier.h"
#include "model/vring.h"
#include "spec/vring.h"

static uint64_t desc_at(const struct vring *q, unsigned i)
{
	return q->set.desc + 16ull * i;
}

/* Step a position by @n, turning its counter where it passes the end. */
static uint16_t step(const struct vring *q, uint16_t at, unsigned n, bool *wrap)
{
	unsigned to = at + n;

	if (to >= q->set.size) {
		to -= q->set.size;
		*wrap = !*wrap;
	}
	return (uint16_t)to;
}

struct packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

/*
 * Flags first, with acquire: the rest is what they announce, and the driver's until they do, where
 * that is asked (@wrap, of the ring's).
 */
static bool load_desc(struct vring *q, uint64_t at, const bool *wrap, struct packed_desc *d)
{
	uint16_t *flags = vring_word(q, at + 14, 2), *id;
	uint32_t *len;
	uint64_t *addr;

	if (!flags)
		return false;
	/* Pairs with the driver's release of the flags. */
	d->flags = le16((riser_le16){ load_acquire(flags) });
	if (wrap && !vring_packed_is_avail(d->flags, *wrap))
		return true;
	addr = vring_word(q, at, 8);
	len = vring_word(q, at + 8, 4);
	id = vring_word(q, at + 12, 2);
	if (!addr || !len || !id)
		return false;
	d->addr = le64((riser_le64){ load_relaxed(addr) });
	d->len = le32((riser_le32){ load_relaxed(len) });
	d->id = le16((riser_le16){ load_relaxed(id) });
	return true;
}

/* All of a table, whose descriptors have no NEXT (§2.8.7). */
static bool add_table(struct vring *q, struct vring_chain *c, const struct packed_desc *table)
{
	unsigned n = table->len / 16;
	struct packed_desc d;

	if (!q->indirect || table->flags & RISER_VIRTQ_DESC_F_NEXT || !n || table->len % 16 ||
	    n > q->set.size || c->slots)
		return vring_wrong(q, "an indirect table that is not allowed");
	for (unsigned i = 0; i < n; i++)
		if (!load_desc(q, table->addr + 16ull * i, NULL, &d) ||
		    !vring_add(q, c, d.addr, d.len, d.flags))
			return false;
	return true;
}

bool vring_packed_get(struct vring *q, struct vring_chain *c)
{
	bool wrap = q->avail_wrap;
	uint16_t at = q->avail;
	struct packed_desc d;

	c->slots = 0;
	do {
		if (c->slots == q->set.size)
			return vring_wrong(q, "a chain of descriptors goes round");
		if (!load_desc(q, desc_at(q, at), &wrap, &d))
			return false;
		if (!vring_packed_is_avail(d.flags, wrap)) {
			/* Its first one is made available last: here there is no way back. */
			if (c->slots)
				vring_wrong(q, "a chain goes on in what is not available");
			return false;
		}
		if (d.flags & RISER_VIRTQ_DESC_F_INDIRECT
			    ? !add_table(q, c, &d)
			    : !vring_add(q, c, d.addr, d.len, d.flags))
			return false;
		at = step(q, at, 1, &wrap);
		c->slots++;
	} while (d.flags & RISER_VIRTQ_DESC_F_NEXT);
	c->id = d.id;
	q->avail = at;
	q->avail_wrap = wrap;
	return true;
}

static void store_flags(struct vring *q, unsigned at, bool wrap, uint16_t flags)
{
	uint16_t *p = vring_word(q, desc_at(q, at) + 14, 2);

	/* Pairs with the driver's acquire; and with its own store before it looks at this one. */
	if (p)
		store_seq_cst(p, to_le16(flags | vring_packed_used(wrap)).raw);
}

void vring_packed_put(struct vring *q, uint16_t id, uint16_t slots, uint32_t len)
{
	uint64_t at = desc_at(q, q->used);
	uint16_t *idp = vring_word(q, at + 12, 2);
	uint32_t *lenp = vring_word(q, at + 8, 4);
	uint16_t flags = len ? RISER_VIRTQ_DESC_F_WRITE : 0;

	if (idp && lenp) {
		store_relaxed(idp, to_le16(id).raw);
		store_relaxed(lenp, to_le32(len).raw);
	}
	/* The driver sees those behind it only past the first one's flags. */
	if (q->nput) {
		store_flags(q, q->used, q->used_wrap, flags);
	} else {
		q->first = q->used;
		q->first_wrap = q->used_wrap;
		q->first_flags = flags;
	}
	q->used = step(q, q->used, slots, &q->used_wrap);
	q->nput += slots;
}

bool vring_packed_publish(struct vring *q)
{
	unsigned n = q->nput;
	uint16_t *off, *flags, how;

	q->nput = 0;
	if (!n)
		return false;
	store_flags(q, q->first, q->first_wrap, q->first_flags);
	flags = vring_word(q, q->set.driver + 2, 2);
	off = vring_word(q, q->set.driver, 2);
	if (!flags || !off)
		return false;
	/* The flags first: what they make valid is read behind them. */
	how = le16((riser_le16){ load_seq_cst(flags) });
	return vring_packed_need_event(le16((riser_le16){ load_relaxed(off) }), how, q->set.size,
				       q->used, q->used_wrap, n);
}

static void set_event(struct vring *q, uint16_t off_wrap, uint16_t flags)
{
	uint16_t *p = vring_word(q, q->set.device, 2);

	if (p)
		store_relaxed(p, to_le16(off_wrap).raw);
	p = vring_word(q, q->set.device + 2, 2);
	if (p)
		store_seq_cst(p, to_le16(flags).raw);
}

bool vring_packed_arm(struct vring *q)
{
	uint16_t *flags;

	if (q->event_idx)
		set_event(q, vring_off_wrap(q->avail, q->avail_wrap),
			  RISER_VIRTQ_PACKED_EVENT_DESC);
	else
		set_event(q, 0, RISER_VIRTQ_PACKED_EVENT_ENABLE);
	flags = vring_word(q, desc_at(q, q->avail) + 14, 2);
	return flags &&
	       vring_packed_is_avail(le16((riser_le16){ load_seq_cst(flags) }), q->avail_wrap);
}

void vring_packed_disarm(struct vring *q)
{
	set_event(q, 0, RISER_VIRTQ_PACKED_EVENT_DISABLE);
}
