/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What can be set on a network device, as commands of its control queue (§5.1.6.5). */
#include "base/err.h"
#include "virtio/net.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A feature, and a command that it brings. */
#define COMMAND(feat, class, cmd)                                                                  \
	.feature = RISER_VIRTIO_NET_F_##feat, .name = #feat,                                       \
	.class_code = RISER_VIRTIO_NET_CTRL_##class,                                               \
	.command = RISER_VIRTIO_NET_CTRL_##class##_##cmd

int virtio_net_set_mac(struct virtio_net *n, const uint8_t mac[6], struct riser_err *err)
{
	const struct virtio_net_command c = { COMMAND(CTRL_MAC_ADDR, MAC, ADDR_SET), .data = mac,
					      .len = 6, .keep = true };
	bool legacy = !virtio_net_has(n, RISER_VIRTIO_F_VERSION_1) &&
		      virtio_net_has(n, RISER_VIRTIO_NET_F_MAC);
	int rc;

	/* Old devices have it in their configuration, which a driver may write. */
	if (!virtio_net_has(n, c.feature) && legacy)
		return n->d->t->config_write(n->d, offsetof(struct riser_virtio_net_config, mac),
					     mac, 6);
	rc = virtio_net_command(n, &c, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&n->lock);
	memcpy(n->mac, mac, sizeof(n->mac));
	n->own_mac = true;
	pthread_mutex_unlock(&n->lock);
	return 0;
}

int virtio_net_set_rx_mode(struct virtio_net *n, uint32_t mode, struct riser_err *err)
{
	/* Bit i of @mode is command i; the first two come with CTRL_RX. */
	bool extra = virtio_net_has(n, RISER_VIRTIO_NET_F_CTRL_RX_EXTRA) || mode >> 2;
	int rc = 0;

	for (uint8_t i = 0; !rc && i < (extra ? 6 : 2); i++) {
		uint8_t on = mode >> i & 1;
		const struct virtio_net_command c = {
			.feature = i < 2 ? RISER_VIRTIO_NET_F_CTRL_RX
					 : RISER_VIRTIO_NET_F_CTRL_RX_EXTRA,
			.name = i < 2 ? "CTRL_RX" : "CTRL_RX_EXTRA",
			.class_code = RISER_VIRTIO_NET_CTRL_RX,
			.command = i,
			.data = &on,
			.len = 1,
			.keep = true,
		};

		rc = virtio_net_command(n, &c, err);
	}
	return rc;
}

/* Those of a list that are multicast, or those that are not. Return: where it ends. */
static uint8_t *put_macs(uint8_t *to, const uint8_t (*macs)[6], unsigned count, bool multicast)
{
	uint8_t *at = to + sizeof(struct riser_virtio_net_ctrl_mac);
	riser_le32 entries;

	for (unsigned i = 0; i < count; i++) {
		if ((macs[i][0] & 1) != multicast)
			continue;
		memcpy(at, macs[i], 6);
		at += 6;
	}
	entries = to_le32((uint32_t)(at - to) / 6);
	memcpy(to, &entries, sizeof(entries));
	return at;
}

int virtio_net_set_filter(struct virtio_net *n, const uint8_t (*macs)[6], unsigned count,
			  struct riser_err *err)
{
	uint8_t *data = malloc(2 * sizeof(struct riser_virtio_net_ctrl_mac) + count * 6ul), *end;
	struct virtio_net_command c = { COMMAND(CTRL_RX, MAC, TABLE_SET), .keep = true };
	int rc;

	if (!data)
		return err_set(err, -ENOMEM, "no memory for %u addresses", count);
	end = put_macs(put_macs(data, macs, count, false), macs, count, true);
	c.data = data;
	c.len = (size_t)(end - data);
	rc = virtio_net_command(n, &c, err);
	free(data);
	return rc;
}

int virtio_net_set_vlan(struct virtio_net *n, uint16_t id, bool on, struct riser_err *err)
{
	static const uint8_t add = RISER_VIRTIO_NET_CTRL_VLAN_ADD;
	riser_le16 data = to_le16(id);
	struct virtio_net_command c = { COMMAND(CTRL_VLAN, VLAN, ADD), .data = &data, .len = 2,
					.key = id, .keep = true };

	if (!on) {
		c.command = RISER_VIRTIO_NET_CTRL_VLAN_DEL;
		c.keep = false;
		c.undoes = &add;
	}
	return virtio_net_command(n, &c, err);
}

int virtio_net_announced(struct virtio_net *n, struct riser_err *err)
{
	const struct virtio_net_command c = { COMMAND(GUEST_ANNOUNCE, ANNOUNCE, ACK) };

	return virtio_net_command(n, &c, err);
}

int virtio_net_set_pairs(struct virtio_net *n, unsigned pairs, struct riser_err *err)
{
	riser_le16 data = to_le16((uint16_t)pairs);
	const struct virtio_net_command c = { COMMAND(MQ, MQ, PAIRS_SET), .data = &data, .len = 2,
					      .keep = true };

	return virtio_net_command(n, &c, err);
}

int virtio_net_set_offloads(struct virtio_net *n, uint64_t features, struct riser_err *err)
{
	riser_le64 data = to_le64(features);
	const struct virtio_net_command c = { COMMAND(CTRL_GUEST_OFFLOADS, GUEST_OFFLOADS, SET),
					      .data = &data, .len = 8, .keep = true };

	return virtio_net_command(n, &c, err);
}

/* What the device says that it can hash. */
static int hash_limits(struct virtio_net *n, struct virtio_net_hash_limits *l)
{
	const struct virtio_transport *t = n->d->t;
	riser_le16 table;
	riser_le32 types;
	int rc = t->config_read(n->d, offsetof(struct riser_virtio_net_config, rss_max_key_size),
				&l->key, 1);

	if (!rc)
		rc = t->config_read(
			n->d,
			offsetof(struct riser_virtio_net_config, rss_max_indirection_table_length),
			&table, sizeof(table));
	if (!rc)
		rc = t->config_read(n->d,
				    offsetof(struct riser_virtio_net_config, supported_hash_types),
				    &types, sizeof(types));
	if (rc)
		return rc;
	l->table = le16(table);
	l->types = le32(types);
	return 0;
}

static int check_hash(struct virtio_net *n, const struct virtio_net_hash *h, struct riser_err *err)
{
	struct virtio_net_hash_limits l;
	int rc = hash_limits(n, &l);

	if (rc)
		return err_set(err, rc, "%s: its hash limits cannot be read", n->d->name);
	if (h->types & ~l.types)
		return err_set(err, -EOPNOTSUPP, "%s: hash types %#x: the device has %#x",
			       n->d->name, h->types, l.types);
	if (h->key_len > l.key)
		return err_set(err, -EINVAL, "%s: a key of %u bytes: at the most %u", n->d->name,
			       h->key_len, l.key);
	if (h->entries > l.table)
		return err_set(err, -EINVAL, "%s: a table of %u queues: at the most %u", n->d->name,
			       h->entries, l.table);
	return 0;
}

static int set_rss(struct virtio_net *n, const struct virtio_net_hash *h, struct riser_err *err)
{
	size_t table = h->entries * sizeof(riser_le16);
	size_t len = sizeof(struct riser_virtio_net_rss) + table + 3 + h->key_len;
	struct virtio_net_command c = { COMMAND(RSS, MQ, RSS_CONFIG), .len = len, .keep = true };
	uint8_t *data = malloc(len), *at = data;
	int rc;

	if (!data)
		return err_set(err, -ENOMEM, "no memory for a table of %u queues", h->entries);
	*(struct riser_virtio_net_rss *)at = (struct riser_virtio_net_rss){
		.hash_types = to_le32(h->types),
		.indirection_table_mask = to_le16((uint16_t)(h->entries - 1)),
		.unclassified_queue = to_le16(h->unclassified),
	};
	at += sizeof(struct riser_virtio_net_rss);
	for (unsigned i = 0; i < h->entries; i++) /* pairs are numbered, not queues */
		*(riser_le16 *)(at + i * sizeof(riser_le16)) = to_le16(h->queues[i]);
	at += table;
	at[0] = (uint8_t)n->npairs;
	at[1] = (uint8_t)(n->npairs >> 8);
	at[2] = h->key_len;
	if (h->key_len)
		memcpy(at + 3, h->key, h->key_len);
	c.data = data;
	rc = virtio_net_command(n, &c, err);
	free(data);
	return rc;
}

static int set_hash(struct virtio_net *n, const struct virtio_net_hash *h, struct riser_err *err)
{
	uint8_t data[13 + UINT8_MAX] = { 0 };
	const struct virtio_net_command c = { COMMAND(HASH_REPORT, MQ, HASH_CONFIG), .data = data,
					      .len = 13u + h->key_len, .keep = true };
	riser_le32 types = to_le32(h->types);

	memcpy(data, &types, sizeof(types));
	data[12] = h->key_len;
	if (h->key_len)
		memcpy(data + 13, h->key, h->key_len);
	return virtio_net_command(n, &c, err);
}

int virtio_net_set_hash(struct virtio_net *n, const struct virtio_net_hash *h,
			struct riser_err *err)
{
	int rc;

	if (!virtio_net_has(n,
			    h->entries ? RISER_VIRTIO_NET_F_RSS : RISER_VIRTIO_NET_F_HASH_REPORT))
		return err_set(err, -EOPNOTSUPP, "%s: the device has not %s", n->d->name,
			       h->entries ? "RSS" : "HASH_REPORT");
	rc = check_hash(n, h, err);
	if (rc)
		return rc;
	return h->entries ? set_rss(n, h, err) : set_hash(n, h, err);
}

int virtio_net_set_coalesce(struct virtio_net *n, bool tx, int pair, uint32_t packets,
			    uint32_t usecs, struct riser_err *err)
{
	struct riser_virtio_net_coal_vq data = {
		.vqn = to_le16((uint16_t)(2 * pair + tx)),
		.coal = { to_le32(packets), to_le32(usecs) },
	};
	struct virtio_net_command c = { COMMAND(VQ_NOTF_COAL, NOTF_COAL, VQ_SET), .data = &data,
					.len = sizeof(data), .key = (uint16_t)(2 * pair + tx),
					.keep = true };

	if (pair < 0) {
		c.feature = RISER_VIRTIO_NET_F_NOTF_COAL;
		c.name = "NOTF_COAL";
		c.command = tx ? RISER_VIRTIO_NET_CTRL_NOTF_COAL_TX_SET
			       : RISER_VIRTIO_NET_CTRL_NOTF_COAL_RX_SET;
		c.data = &data.coal;
		c.len = sizeof(data.coal);
		c.key = 0;
	}
	return virtio_net_command(n, &c, err);
}
