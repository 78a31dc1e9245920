/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The card's control queue (§5.1.6.5). */
#include "model/virtio_net.h"
#include <string.h>

#define DATA_MAX 8192u

/* A command's data, taken from the front. */
struct data {
	const uint8_t *at;
	size_t left;
};

static const uint8_t *take(struct data *d, size_t len)
{
	const uint8_t *p = d->at;

	if (len > d->left)
		return NULL;
	d->at += len;
	d->left -= len;
	return p;
}

/* Numbers; what is not there is 0 and leaves d->at at NULL. */
static uint64_t number(struct data *d, unsigned len)
{
	const uint8_t *p = take(d, len);
	uint64_t v = 0;

	if (!p) {
		*d = (struct data){ 0 };
		return 0;
	}
	for (unsigned i = 0; i < len; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* All of it was there, and nothing more. */
static bool ended(const struct data *d)
{
	return d->at && !d->left;
}

static bool ctrl_rx(struct vnet *n, unsigned command, struct data *d)
{
	unsigned need = command < RISER_VIRTIO_NET_CTRL_RX_ALLUNI
				? RISER_VIRTIO_NET_F_CTRL_RX
				: RISER_VIRTIO_NET_F_CTRL_RX_EXTRA;
	uint64_t on = number(d, 1);

	if (!vdev_has(&n->dev, need) || command >= VNET_MODES || !ended(d))
		return false;
	n->filter.mode[command] = on;
	return true;
}

/* Two lists, of unicast and of multicast addresses; what does not fit means all. */
static bool set_table(struct vnet *n, struct data *d)
{
	struct vnet_filter f = n->filter;

	f.nmacs = 0;
	f.many = false;
	for (unsigned list = 0; list < 2; list++) {
		uint64_t count = number(d, 4);

		if (!d->at || count > DATA_MAX / 6)
			return false;
		for (; count; count--) {
			const uint8_t *mac = take(d, 6);

			if (!mac)
				return false;
			if (f.nmacs == VNET_MACS)
				f.many = true;
			else
				memcpy(f.macs[f.nmacs++], mac, 6);
		}
	}
	if (!ended(d))
		return false;
	n->filter = f;
	return true;
}

static bool ctrl_mac(struct vnet *n, unsigned command, struct data *d)
{
	const uint8_t *mac;

	if (command == RISER_VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return vdev_has(&n->dev, RISER_VIRTIO_NET_F_CTRL_RX) && set_table(n, d);
	mac = take(d, 6);
	if (command != RISER_VIRTIO_NET_CTRL_MAC_ADDR_SET || !mac || !ended(d) ||
	    !vdev_has(&n->dev, RISER_VIRTIO_NET_F_CTRL_MAC_ADDR))
		return false;
	memcpy(n->dev.config, mac, 6);
	return true;
}

static bool ctrl_vlan(struct vnet *n, unsigned command, struct data *d)
{
	uint64_t id = number(d, 2);
	uint8_t *byte = &n->filter.vlans[id / 8 % sizeof(n->filter.vlans)], bit;

	if (!vdev_has(&n->dev, RISER_VIRTIO_NET_F_CTRL_VLAN) || !ended(d) || id > 4095 ||
	    command > RISER_VIRTIO_NET_CTRL_VLAN_DEL)
		return false;
	bit = (uint8_t)(1u << id % 8);
	*byte = command == RISER_VIRTIO_NET_CTRL_VLAN_ADD ? *byte | bit : *byte & (uint8_t)~bit;
	return true;
}

static bool ctrl_announce(struct vnet *n, unsigned command)
{
	if (!vdev_has(&n->dev, RISER_VIRTIO_NET_F_GUEST_ANNOUNCE) ||
	    command != RISER_VIRTIO_NET_CTRL_ANNOUNCE_ACK)
		return false;
	n->announce = false;
	vnet_show_status(n);
	return true;
}

static bool set_pairs(struct vnet *n, uint64_t pairs)
{
	if (!pairs || pairs > n->cfg.pairs)
		return false;
	n->active = (unsigned)pairs;
	return true;
}

/* The key is the end of the command. */
static bool set_key(struct vnet_hash *h, struct data *d)
{
	uint64_t len = number(d, 1);
	const uint8_t *key = take(d, len);

	if (!d->at || !key || d->left || len > VNET_KEY_MAX)
		return false;
	if (len) {
		memset(h->key, 0, sizeof(h->key));
		memcpy(h->key, key, len);
		h->key_len = (unsigned)len;
	}
	return !(h->types & ~VNET_HASH_TYPES);
}

static bool set_rss(struct vnet *n, struct data *d)
{
	struct vnet_hash h = { .rss = true };
	uint64_t pairs;

	h.types = (uint32_t)number(d, 4);
	h.mask = (uint16_t)number(d, 2);
	h.unclassified = (uint16_t)number(d, 2);
	if (h.mask >= VNET_TABLE_MAX || !is_power_of_two(h.mask + 1u) ||
	    h.unclassified >= n->cfg.pairs)
		return false;
	for (unsigned i = 0; i <= h.mask; i++) {
		h.table[i] = (uint16_t)number(d, 2);
		if (h.table[i] >= n->cfg.pairs)
			return false;
	}
	pairs = number(d, 2);
	if (!set_key(&h, d) || !set_pairs(n, pairs))
		return false;
	n->hash = h;
	return true;
}

static bool set_hash(struct vnet *n, struct data *d)
{
	struct vnet_hash h = n->hash;

	h.types = (uint32_t)number(d, 4);
	number(d, 8);
	if (!set_key(&h, d))
		return false;
	n->hash = h;
	return true;
}

static bool ctrl_mq(struct vnet *n, unsigned command, struct data *d)
{
	uint64_t pairs;

	switch (command) {
	case RISER_VIRTIO_NET_CTRL_MQ_PAIRS_SET:
		pairs = number(d, 2);
		if (!vdev_has(&n->dev, RISER_VIRTIO_NET_F_MQ) || !ended(d) || !set_pairs(n, pairs))
			return false;
		n->hash.rss = false;
		return true;
	case RISER_VIRTIO_NET_CTRL_MQ_RSS_CONFIG:
		return vdev_has(&n->dev, RISER_VIRTIO_NET_F_RSS) && set_rss(n, d);
	case RISER_VIRTIO_NET_CTRL_MQ_HASH_CONFIG:
		return vdev_has(&n->dev, RISER_VIRTIO_NET_F_HASH_REPORT) && set_hash(n, d);
	default:
		return false;
	}
}

static bool ctrl_offloads(struct vnet *n, unsigned command, struct data *d)
{
	uint64_t offloads = number(d, 8);

	if (!vdev_has(&n->dev, RISER_VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || !ended(d) ||
	    command != RISER_VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    offloads & ~(n->dev.features & VNET_GUEST))
		return false;
	n->guest = offloads;
	return true;
}

static void coalesce(struct vdev_queue *q, uint64_t packets, uint64_t usecs)
{
	q->coal_packets = (uint32_t)packets;
	q->coal_ns = usecs * NS_PER_US;
}

/* What @q has goes into @result, behind the answer. */
static bool coal_vq(struct vnet *n, unsigned command, struct data *d, struct data *result)
{
	uint64_t i = number(d, 2);
	struct vdev_queue *q;

	number(d, 2);
	if (!vdev_has(&n->dev, RISER_VIRTIO_NET_F_VQ_NOTF_COAL) || !d->at || i >= 2 * n->cfg.pairs)
		return false;
	q = &n->dev.queues[i];
	if (command == RISER_VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET) {
		uint64_t packets = number(d, 4), usecs = number(d, 4);

		if (ended(d))
			coalesce(q, packets, usecs);
		return ended(d);
	}
	n->answer[0] = to_le32(q->coal_packets);
	n->answer[1] = to_le32((uint32_t)(q->coal_ns / NS_PER_US));
	*result = (struct data){ (const uint8_t *)n->answer, sizeof(n->answer) };
	return true;
}

static bool ctrl_coal(struct vnet *n, unsigned command, struct data *d, struct data *result)
{
	bool tx = command == RISER_VIRTIO_NET_CTRL_NOTF_COAL_TX_SET;
	uint64_t packets, usecs;

	if (command > RISER_VIRTIO_NET_CTRL_NOTF_COAL_RX_SET)
		return command <= RISER_VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET &&
		       coal_vq(n, command, d, result);
	packets = number(d, 4);
	usecs = number(d, 4);
	if (!vdev_has(&n->dev, RISER_VIRTIO_NET_F_NOTF_COAL) || !ended(d))
		return false;
	for (unsigned i = 0; i < n->cfg.pairs; i++)
		coalesce(&n->dev.queues[2 * i + tx], packets, usecs);
	return true;
}

static bool command(struct vnet *n, const struct riser_virtio_net_ctrl *c, struct data *d,
		    struct data *result)
{
	switch (c->class_code) {
	case RISER_VIRTIO_NET_CTRL_RX:
		return ctrl_rx(n, c->command, d);
	case RISER_VIRTIO_NET_CTRL_MAC:
		return ctrl_mac(n, c->command, d);
	case RISER_VIRTIO_NET_CTRL_VLAN:
		return ctrl_vlan(n, c->command, d);
	case RISER_VIRTIO_NET_CTRL_ANNOUNCE:
		return ctrl_announce(n, c->command);
	case RISER_VIRTIO_NET_CTRL_MQ:
		return ctrl_mq(n, c->command, d);
	case RISER_VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return ctrl_offloads(n, c->command, d);
	case RISER_VIRTIO_NET_CTRL_NOTF_COAL:
		return ctrl_coal(n, c->command, d, result);
	default:
		return false;
	}
}

/* Return: bytes written into the chain. */
static uint32_t answer(struct vnet *n, struct vring *q, const struct vring_chain *c)
{
	struct vring_cursor from = vring_out(c), to = vring_in(c);
	struct riser_virtio_net_ctrl head;
	struct data result = { 0 };
	uint64_t wrong;
	uint8_t buf[DATA_MAX], ack = RISER_VIRTIO_NET_ERR;
	size_t len;

	if (!c->in || vring_read(q, &from, &head, sizeof(head)) != sizeof(head)) {
		vdev_blame(&n->dev, "a control command without a head, or room for the answer");
		return 0;
	}
	len = vring_read(q, &from, buf, sizeof(buf));
	if (c->out <= sizeof(head) + sizeof(buf) &&
	    command(n, &head, &(struct data){ buf, len }, &result))
		ack = RISER_VIRTIO_NET_OK;
	n->dev.counters.commands++;
	n->dev.counters.commands_refused += ack;
	if (vdev_fault(&n->dev, VFAULT_ACK, 0, &wrong))
		ack = (uint8_t)wrong;
	len = vring_write(q, &to, &ack, 1);
	return (uint32_t)(len + vring_write(q, &to, result.at, result.left));
}

unsigned vnet_ctrl_run(struct vnet *n, uint64_t *next)
{
	unsigned index = vnet_ctrl_queue(n), done = 0;
	struct vdev_queue *q = &n->dev.queues[index];
	struct vring_chain c;

	if (index >= n->dev.nqueues || !vdev_may_run(&n->dev, index, next))
		return 0;
	do {
		while (vring_get(&q->ring, &c)) {
			vdev_use(&n->dev, index, &c, answer(n, &q->ring, &c));
			done++;
		}
	} while (vring_arm(&q->ring));
	q->kicked = false;
	vdev_publish(&n->dev, index);
	return done;
}
