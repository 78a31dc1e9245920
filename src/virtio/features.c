/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Feature bits: their names, what each needs (§5.1.3.1, §6), and what became of them. */
#include "base/err.h"
#include "virtio/virtio.h"
#include <stdio.h>
#include <string.h>

/* clang-format off */
#define BIT(f)                 (RISER_VIRTIO_##f + 1)
#define COMMON(f, needs)       { RISER_VIRTIO_F_##f, { needs }, { 0 }, #f }
#define BLK(f)                 { RISER_VIRTIO_BLK_F_##f, { 0 }, { 0 }, #f }
#define NET(f, needs)          { RISER_VIRTIO_NET_F_##f, { needs }, { 0 }, #f }
#define NET_BOTH(f, a, b)      { RISER_VIRTIO_NET_F_##f, { a, b }, { 0 }, #f }
#define NET_ANY(f, needs, a, b) { RISER_VIRTIO_NET_F_##f, { needs }, { a, b }, #f }
/* clang-format on */

/* What is above bit 31 does not exist for a driver of the legacy interface. */
static const struct virtio_want common[] = {
	COMMON(NOTIFY_ON_EMPTY, 0),
	COMMON(ANY_LAYOUT, 0),
	COMMON(INDIRECT_DESC, 0),
	COMMON(EVENT_IDX, 0),
	COMMON(VERSION_1, 0),
	COMMON(ACCESS_PLATFORM, BIT(F_VERSION_1)),
	COMMON(RING_PACKED, BIT(F_VERSION_1)),
	COMMON(IN_ORDER, BIT(F_VERSION_1)),
	COMMON(ORDER_PLATFORM, BIT(F_VERSION_1)),
	COMMON(SR_IOV, BIT(F_VERSION_1)),
	COMMON(NOTIFICATION_DATA, BIT(F_VERSION_1)),
	COMMON(NOTIF_CONFIG_DATA, BIT(F_VERSION_1)),
	COMMON(RING_RESET, BIT(F_VERSION_1)),
	COMMON(ADMIN_VQ, BIT(F_VERSION_1)),
	{ 0 },
};

const struct virtio_want virtio_net_features[] = {
	NET(CSUM, 0),
	NET(GUEST_CSUM, 0),
	NET(CTRL_GUEST_OFFLOADS, BIT(NET_F_CTRL_VQ)),
	NET(MTU, 0),
	NET(MAC, 0),
	NET(GSO, BIT(NET_F_CSUM)),
	NET(GUEST_TSO4, BIT(NET_F_GUEST_CSUM)),
	NET(GUEST_TSO6, BIT(NET_F_GUEST_CSUM)),
	NET_ANY(GUEST_ECN, 0, BIT(NET_F_GUEST_TSO4), BIT(NET_F_GUEST_TSO6)),
	NET(GUEST_UFO, BIT(NET_F_GUEST_CSUM)),
	NET(HOST_TSO4, BIT(NET_F_CSUM)),
	NET(HOST_TSO6, BIT(NET_F_CSUM)),
	NET_ANY(HOST_ECN, 0, BIT(NET_F_HOST_TSO4), BIT(NET_F_HOST_TSO6)),
	NET(HOST_UFO, BIT(NET_F_CSUM)),
	NET(MRG_RXBUF, 0),
	NET(STATUS, 0),
	NET(CTRL_VQ, 0),
	NET(CTRL_RX, BIT(NET_F_CTRL_VQ)),
	NET(CTRL_VLAN, BIT(NET_F_CTRL_VQ)),
	NET(CTRL_RX_EXTRA, BIT(NET_F_CTRL_VQ)),
	NET_BOTH(GUEST_ANNOUNCE, BIT(NET_F_CTRL_VQ), BIT(NET_F_STATUS)),
	NET(MQ, BIT(NET_F_CTRL_VQ)),
	NET(CTRL_MAC_ADDR, BIT(NET_F_CTRL_VQ)),
	NET(DEVICE_STATS, BIT(NET_F_CTRL_VQ)),
	NET_ANY(HASH_TUNNEL, BIT(NET_F_CTRL_VQ), BIT(NET_F_RSS), BIT(NET_F_HASH_REPORT)),
	NET(VQ_NOTF_COAL, BIT(NET_F_CTRL_VQ)),
	NET(NOTF_COAL, BIT(NET_F_CTRL_VQ)),
	NET(GUEST_USO4, BIT(NET_F_GUEST_CSUM)),
	NET(GUEST_USO6, BIT(NET_F_GUEST_CSUM)),
	NET(HOST_USO, BIT(NET_F_CSUM)),
	NET_BOTH(HASH_REPORT, BIT(NET_F_CTRL_VQ), BIT(F_VERSION_1)),
	NET(GUEST_HDRLEN, 0),
	NET(RSS, BIT(NET_F_CTRL_VQ)),
	NET_ANY(RSC_EXT, 0, BIT(NET_F_GUEST_TSO4), BIT(NET_F_GUEST_TSO6)),
	NET(STANDBY, 0),
	NET(SPEED_DUPLEX, 0),
	{ 0 },
};

const struct virtio_want virtio_blk_features[] = {
	BLK(SIZE_MAX),     BLK(SEG_MAX),  BLK(GEOMETRY),     BLK(RO),    BLK(BLK_SIZE),
	BLK(FLUSH),        BLK(TOPOLOGY), BLK(CONFIG_WCE),   BLK(MQ),    BLK(DISCARD),
	BLK(WRITE_ZEROES), BLK(LIFETIME), BLK(SECURE_ERASE), BLK(ZONED), { 0 },
};

static uint64_t bits_of(const uint8_t list[2])
{
	return (list[0] ? VIRTIO_BIT(list[0] - 1) : 0) | (list[1] ? VIRTIO_BIT(list[1] - 1) : 0);
}

static const struct virtio_want *find(const struct virtio_want *wants, unsigned bit)
{
	for (; wants && *wants->name; wants++)
		if (wants->bit == bit)
			return wants;
	return NULL;
}

static const struct virtio_want *row_of(const struct virtio_want *wants, unsigned bit)
{
	return find(wants, bit) ?: find(common, bit);
}

static bool is_fit(const struct virtio_want *w, uint64_t features)
{
	uint64_t any = bits_of(w->any);

	return !(bits_of(w->needs) & ~features) && (!any || any & features);
}

uint64_t virtio_close_needs(const struct virtio_want *wants, uint64_t features)
{
	uint64_t before;

	do {
		before = features;
		for (unsigned bit = 0; bit < 64; bit++) {
			const struct virtio_want *w = row_of(wants, bit);

			if (w && !is_fit(w, features))
				features &= ~VIRTIO_BIT(bit);
		}
	} while (features != before);
	return features;
}

/* The names of these bits, with what stands between two. Return: @out. */
static const char *names_of(const struct virtio_want *wants, uint64_t bits, const char *between,
			    char *out, size_t size)
{
	size_t len = 0;

	*out = 0;
	for (unsigned bit = 0; bit < 64 && len < size; bit++) {
		const struct virtio_want *w = row_of(wants, bit);

		if (!(bits >> bit & 1))
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s", len ? between : "");
		if (len < size && w)
			len += (size_t)snprintf(out + len, size - len, "%s", w->name);
		else if (len < size)
			len += (size_t)snprintf(out + len, size - len, "bit %u", bit);
	}
	return out;
}

const char *virtio_feature_names(const struct virtio_want *wants, uint64_t bits, char *out,
				 size_t size)
{
	return names_of(wants, bits, ", ", out, size);
}

static int bit_of(const struct virtio_want *wants, const char *name, size_t len)
{
	for (; *wants->name; wants++)
		if (strlen(wants->name) == len && !memcmp(wants->name, name, len))
			return wants->bit;
	return -1;
}

int virtio_feature_bit(unsigned id, const char *name, size_t len)
{
	int bit = bit_of(common, name, len);

	return bit >= 0 ? bit
			: bit_of(id == RISER_VIRTIO_ID_NET ? virtio_net_features
							   : virtio_blk_features,
				 name, len);
}

/* Why one that is offered, wanted and not withheld was left out: it lacks something. */
static void say_needs(const struct virtio_dev *d, const struct virtio_want *w, char *why)
{
	uint64_t lack = bits_of(w->needs) & ~d->features, bits = lack ?: bits_of(w->any);
	char names[RISER_VIRTIO_WHY_MAX / 2];
	const char *state = !(bits & d->offered)  ? "not offered"
			    : !(bits & d->wanted) ? "not wanted"
						  : "not accepted";

	names_of(d->wants, bits, lack ? " and " : " or ", names, sizeof(names));
	snprintf(why, RISER_VIRTIO_WHY_MAX, "needs %s, %s", names, state);
}

static void say_why(const struct virtio_dev *d, struct riser_virtio_feature *f)
{
	const struct virtio_want *w = row_of(d->wants, f->bit);

	if (!f->offered)
		strcpy(f->why, "not offered");
	else if (!f->wanted)
		strcpy(f->why, "not wanted");
	else if (d->withheld >> f->bit & 1)
		snprintf(f->why, sizeof(f->why), "cut by %s", d->t->name);
	else if (w && !is_fit(w, d->features))
		say_needs(d, w, f->why);
	else
		strcpy(f->why, "not negotiated");
}

unsigned virtio_explain(const struct virtio_dev *d,
			struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX])
{
	unsigned n = 0;

	for (unsigned bit = 0; bit < 64; bit++) {
		const struct virtio_want *w = row_of(d->wants, bit);
		struct riser_virtio_feature *f = &rows[n];

		*f = (struct riser_virtio_feature){
			.bit = bit,
			.name = w ? w->name : NULL,
			.offered = d->offered >> bit & 1,
			.wanted = d->wanted >> bit & 1,
			.accepted = d->features >> bit & 1,
		};
		if (!f->name && !f->offered && !f->wanted)
			continue;
		if (!f->accepted)
			say_why(d, f);
		n++;
	}
	return n;
}
