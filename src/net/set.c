/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Settings of a port: looked at here, made by the port. */
#include "base/err.h"
#include "base/exec.h"
#include "base/util.h"
#include "net/port.h"
#include <errno.h>
#include <string.h>

#define RX_OFFLOADS (RISER_PORT_RX_CSUM | RISER_PORT_RX_LARGE | RISER_PORT_RX_HASH)
#define RX_MODES    0x3fu
#define FILTER_MAX  4096u
#define VLAN_MAX    4094u
#define KEY_MAX     255u

static int set(struct riser_port *p, enum port_setting what, const void *arg, struct riser_err *err)
{
	if (exec_completing(p->r))
		return err_set(err, -EDEADLK, "%s: a setting may wait, which a completion may not",
			       p->name);
	if (!p->ops->set)
		return err_set(err, -EOPNOTSUPP, "%s: it has no such setting", p->name);
	return p->ops->set(p, what, arg, err);
}

int riser_port_set_rx_mode(struct riser_port *p, uint32_t mode, struct riser_err *err)
{
	if (mode & ~RX_MODES)
		return err_set(err, -EINVAL, "%s: unknown receive modes %#x", p->name, mode);
	return set(p, PORT_SET_RX_MODE, &mode, err);
}

int riser_port_set_mac(struct riser_port *p, const uint8_t mac[6], struct riser_err *err)
{
	if (mac[0] & 1)
		return err_set(err, -EINVAL, "%s: a multicast address is no card's", p->name);
	return set(p, PORT_SET_MAC, mac, err);
}

int riser_port_set_filter(struct riser_port *p, const uint8_t (*macs)[6], unsigned count,
			  struct riser_err *err)
{
	const struct port_filter filter = { macs, count };

	if (count > FILTER_MAX)
		return err_set(err, -EINVAL, "%s: %u addresses: at the most %u", p->name, count,
			       FILTER_MAX);
	return set(p, PORT_SET_FILTER, &filter, err);
}

int riser_port_set_vlan(struct riser_port *p, uint16_t id, bool on, struct riser_err *err)
{
	const struct port_vlan vlan = { id, on };

	if (id > VLAN_MAX)
		return err_set(err, -EINVAL, "%s: VLAN %u: at the most %u", p->name, id, VLAN_MAX);
	return set(p, PORT_SET_VLAN, &vlan, err);
}

int riser_port_set_offloads(struct riser_port *p, uint32_t offloads, struct riser_err *err)
{
	if (offloads & ~(p->asked & RX_OFFLOADS))
		return err_set(err, -EINVAL, "%s: offloads %#x: it was opened with %#x", p->name,
			       offloads, p->asked);
	return set(p, PORT_SET_OFFLOADS, &offloads, err);
}

int riser_port_announced(struct riser_port *p, struct riser_err *err)
{
	return set(p, PORT_SET_ANNOUNCED, NULL, err);
}

int riser_port_set_hash(struct riser_port *p, const struct riser_port_hash *hash,
			struct riser_err *err)
{
	struct riser_port_hash h = { 0 };

	memcpy(&h, hash, min_of(hash->size, sizeof(h)));
	if (h.key_len > KEY_MAX || (h.key_len && !h.key))
		return err_set(err, -EINVAL, "%s: a key of %u bytes", p->name, h.key_len);
	if (!h.queues)
		h.entries = 0;
	else if (!is_power_of_two(h.entries) || h.entries > UINT16_MAX)
		return err_set(err, -EINVAL, "%s: a table of %u queues, which is no power of two",
			       p->name, h.entries);
	for (unsigned i = 0; i < h.entries; i++)
		if (h.queues[i] >= p->info.queues)
			return err_set(err, -EINVAL, "%s: queue %u: it was opened with %u", p->name,
				       h.queues[i], p->info.queues);
	if (h.entries && h.unclassified >= p->info.queues)
		return err_set(err, -EINVAL, "%s: queue %u: it was opened with %u", p->name,
			       h.unclassified, p->info.queues);
	return set(p, PORT_SET_HASH, &h, err);
}

int riser_port_set_coalesce(struct riser_port *p, const struct riser_port_coalesce *c,
			    struct riser_err *err)
{
	struct riser_port_coalesce copy = { .queue = -1 };

	memcpy(&copy, c, min_of(c->size, sizeof(copy)));
	if (copy.queue >= (int)p->info.queues)
		return err_set(err, -EINVAL, "%s: queue %d: it was opened with %u", p->name,
			       copy.queue, p->info.queues);
	return set(p, PORT_SET_COALESCE, &copy, err);
}

unsigned riser_port_explain(struct riser_port *p,
			    struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX])
{
	return p->ops->explain ? p->ops->explain(p, rows) : 0;
}

int riser_port_reset(struct riser_port *p, struct riser_err *err)
{
	return set(p, PORT_SET_RESET, NULL, err);
}

int riser_port_queue_resize(struct riser_port_queue *q, unsigned descriptors, struct riser_err *err)
{
	struct riser_port *p = q->port;

	if (exec_completing(p->r))
		return err_set(err, -EDEADLK, "%s: a queue waits when it is resized", p->name);
	if (!descriptors)
		return err_set(err, -EINVAL, "%s: a queue of no descriptors", p->name);
	if (!p->ops->resize)
		return err_set(err, -EOPNOTSUPP, "%s: its queues keep their size", p->name);
	return p->ops->resize(q, descriptors, err);
}
