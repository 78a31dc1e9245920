/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A device that writes what it likes into the rings of a virtqueue.
 *
 * covers: src/virtio/virtq.c src/virtio/virtq_split.c src/virtio/virtq_packed.c
 *
 * The first byte chooses features and the ring's size. Then come steps of two bytes, what and how:
 * the driver's adding and taking, and the device's using, in good faith or not, and scribbling.
 * Whatever happens, the driver gets back only what it added, once, with a length that it had room
 * for; and when the device is broken or reset, all the rest, the oldest first.
 */
#include "../unit/virtq_fake.h"
#include "fuzz.h"

#define FLIGHTS   64 /* more than fit */
#define STEPS_MAX 4096

static const uint64_t features[] = {
	V1,
	V1 | EVENT | INDIRECT,
	V1 | IN_ORDER,
	DATA,
	V1 | PACKED,
	V1 | PACKED | EVENT | INDIRECT,
	V1 | PACKED | IN_ORDER,
	V1 | PACKED | IN_ORDER | INDIRECT | DATA,
};
static const unsigned sizes[] = { 8, 16, 2, 5 };

struct flight {
	bool there;
	uint32_t room;
	uint64_t serial;
};

struct fuzz {
	struct fake f;
	struct virtq *q;
	struct flight flights[FLIGHTS];
	uint64_t serial;
	uint32_t doorbell;
	const uint8_t *data;
	size_t left;
};

static uint8_t next(struct fuzz *z)
{
	if (!z->left)
		return 0;
	z->left--;
	return *z->data++;
}

static struct flight *depart(struct fuzz *z, uint32_t room)
{
	for (struct flight *l = z->flights;; l++) {
		FUZZ_CHECK(l < z->flights + FLIGHTS);
		if (!l->there) {
			*l = (struct flight){ true, room, z->serial++ };
			return l;
		}
	}
}

static struct flight *arrived(struct fuzz *z, void *cookie)
{
	unsigned i = 0;

	while (i < FLIGHTS && cookie != &z->flights[i])
		i++;
	FUZZ_CHECK(i < FLIGHTS && z->flights[i].there);
	z->flights[i].there = false;
	return &z->flights[i];
}

static void add(struct fuzz *z, uint8_t how)
{
	unsigned n = 1 + how % 5, nout = how / 5u % (n + 1), room = virtq_room(z->q);
	struct virtq_sg sg[5];
	struct flight *l;
	int rc;

	for (unsigned i = 0; i < n; i++)
		sg[i] = (struct virtq_sg){ 0x1000, 10 };
	l = depart(z, (n - nout) * 10);
	rc = virtq_add(z->q, sg, nout, n - nout, l);
	l->there = !rc;
	FUZZ_CHECK(!rc || rc == -ENOSPC);
	FUZZ_CHECK(rc || virtq_room(z->q) < room);
}

static void add_burst(struct fuzz *z, uint8_t how)
{
	unsigned n = 1 + how % 16, got, room = virtq_room(z->q);
	bool in = how & 0x80;
	struct virtq_sg sg[16];
	void *these[16];

	for (unsigned i = 0; i < n; i++) {
		sg[i] = (struct virtq_sg){ 0x1000, 10 };
		these[i] = depart(z, in ? 10 : 0);
	}
	got = virtq_add_burst(z->q, sg, these, n, in);
	FUZZ_CHECK(got == min_of(n, room));
	for (unsigned i = got; i < n; i++)
		arrived(z, these[i]);
}

static void take(struct fuzz *z, uint8_t how)
{
	bool broken = z->f.dev.broken;
	unsigned n = 1 + how % 16, got;
	void *these[16];
	uint32_t lens[16];

	got = virtq_take_burst(z->q, these, lens, n);
	FUZZ_CHECK(got <= n && (!got || !broken));
	for (unsigned i = 0; i < got; i++)
		FUZZ_CHECK(lens[i] <= arrived(z, these[i])->room);
	FUZZ_CHECK(virtq_room(z->q) <= z->f.l.size);
}

/* The rest comes back, in order; then it may start again. */
static void detach(struct fuzz *z)
{
	struct flight *l, *before = NULL;

	while ((l = virtq_detach(z->q))) {
		arrived(z, l);
		FUZZ_CHECK(!before || before->serial < l->serial);
		before = l;
	}
	for (unsigned i = 0; i < FLIGHTS; i++)
		FUZZ_CHECK(!z->flights[i].there);
}

static void restart(struct fuzz *z)
{
	detach(z);
	z->f.dev.broken = NULL;
	z->f.dev.epoch++;
	FUZZ_CHECK(virtq_stale(z->q));
	FUZZ_CHECK(!virtq_restart(z->q) && !virtq_stale(z->q));
	FUZZ_CHECK(virtq_room(z->q) == z->f.l.size);
}

/* The device uses @n chains by the last one's id: in good faith, but for what was scribbled. */
static void use(struct fuzz *z, unsigned n, uint32_t len)
{
	struct fake *f = &z->f;
	unsigned descs = 0;
	uint16_t id = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!f->packed) {
			id = le16(f->avail->ring[f->next++ % f->l.size]);
			continue;
		}
		for (unsigned more = 1; more && descs < f->l.size; descs++) {
			id = le16(f->ring[f->next].id);
			more = le16(f->ring[f->next].flags) & RISER_VIRTQ_DESC_F_NEXT;
			f->next = (uint16_t)((f->next + 1u) % f->l.size);
		}
	}
	fake_push(f, id, len, descs, n);
}

static void lie(struct fuzz *z, uint8_t how)
{
	uint8_t len = next(z);

	/* Both ends of what there is. */
	fake_push(&z->f, (uint16_t)(int8_t)how, (uint32_t)(int8_t)len, 1, 1);
}

static void scribble(struct fuzz *z, uint8_t how)
{
	struct vring_layout l = z->f.packed ? vring_packed_layout(z->f.l.size, 64)
					    : vring_split_layout(z->f.l.size, 64);
	size_t at = (how | (size_t)next(z) << 8) % l.len;

	((uint8_t *)fake_va(z->f.l.desc))[at] = next(z);
}

static void want(struct fuzz *z, uint8_t how)
{
	if (how & 1)
		fake_arm(&z->f);
	else
		fake_disarm(&z->f);
}

static void sleep_or_not(struct fuzz *z, uint8_t how)
{
	if (how & 1)
		virtq_arm(z->q);
	else
		virtq_disarm(z->q);
}

static void step(struct fuzz *z)
{
	uint8_t what = next(z), how = next(z);

	switch (what % 12) {
	case 0:
		add(z, how);
		break;
	case 1:
		add_burst(z, how);
		break;
	case 2:
		virtq_kick(z->q);
		break;
	case 3:
	case 4:
		take(z, how);
		break;
	case 5:
		use(z, 1, how % 11);
		break;
	case 6:
		use(z, 1 + how % 4, how / 4u % 11);
		break;
	case 7:
		lie(z, how);
		break;
	case 8:
		scribble(z, how);
		break;
	case 9:
		want(z, how);
		break;
	case 10:
		sleep_or_not(z, how);
		break;
	default:
		restart(z);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;
	uint8_t kind;

	z = (struct fuzz){ .data = data, .left = size };
	kind = next(&z);
	FUZZ_CHECK(!fake_new(&z.f, features[kind % 8], 256));
	if (kind & 0x40)
		z.f.notify =
			(struct virtio_notify){ .at = &z.doorbell, .fd = -1, .wide = kind & 0x80 };
	FUZZ_CHECK(!virtq_new(&z.f.dev, 0, sizes[kind / 8 % 4], -1, &z.q, NULL));
	if (kind & 0x20)
		FUZZ_CHECK(!virtq_tables(z.q, 4, NULL));
	for (unsigned i = 0; z.left && i < STEPS_MAX; i++)
		step(&z);
	detach(&z);
	virtq_free(z.q);
	fake_free(&z.f);
	return 0;
}
