/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The keys of model:virtio-net. */
#include "base/err.h"
#include "base/parse.h"
#include "base/uri.h"
#include "model/keys.h"
#include "model/virtio_net.h"
#include <errno.h>
#include <string.h>

#define NET(name)                                                                                  \
	{                                                                                          \
#name, RISER_VIRTIO_NET_F_##name                                                   \
	}
#define COMMON(name)                                                                               \
	{                                                                                          \
#name, RISER_VIRTIO_F_##name                                                       \
	}

static const struct feature {
	char name[20];
	uint8_t bit;
} features[] = {
	NET(CSUM),
	NET(GUEST_CSUM),
	NET(CTRL_GUEST_OFFLOADS),
	NET(MTU),
	NET(MAC),
	NET(GSO),
	NET(GUEST_TSO4),
	NET(GUEST_TSO6),
	NET(GUEST_ECN),
	NET(GUEST_UFO),
	NET(HOST_TSO4),
	NET(HOST_TSO6),
	NET(HOST_ECN),
	NET(HOST_UFO),
	NET(MRG_RXBUF),
	NET(STATUS),
	NET(CTRL_VQ),
	NET(CTRL_RX),
	NET(CTRL_VLAN),
	NET(CTRL_RX_EXTRA),
	NET(GUEST_ANNOUNCE),
	NET(MQ),
	NET(CTRL_MAC_ADDR),
	NET(VQ_NOTF_COAL),
	NET(NOTF_COAL),
	NET(GUEST_USO4),
	NET(GUEST_USO6),
	NET(HOST_USO),
	NET(HASH_REPORT),
	NET(GUEST_HDRLEN),
	NET(RSS),
	NET(STANDBY),
	NET(SPEED_DUPLEX),
	COMMON(NOTIFY_ON_EMPTY),
	COMMON(ANY_LAYOUT),
	COMMON(INDIRECT_DESC),
	COMMON(EVENT_IDX),
	COMMON(VERSION_1),
	COMMON(ACCESS_PLATFORM),
	COMMON(IN_ORDER),
	COMMON(ORDER_PLATFORM),
	COMMON(NOTIFICATION_DATA),
	COMMON(RING_RESET),
	{ "PACKED", RISER_VIRTIO_F_RING_PACKED },
};

#define BIT(name)        (1ull << RISER_VIRTIO_NET_F_##name)
#define COMMON_BIT(name) (1ull << RISER_VIRTIO_F_##name)

/* What is offered where the keys say nothing: what QEMU offers, and what costs nobody anything. */
#define DEFAULT_FEATURES                                                                           \
	(BIT(CSUM) | BIT(GUEST_CSUM) | BIT(MTU) | BIT(MAC) | BIT(GSO) | BIT(GUEST_TSO4) |          \
	 BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) |      \
	 BIT(MRG_RXBUF) | BIT(STATUS) | BIT(SPEED_DUPLEX) | BIT(CTRL_VQ) | BIT(CTRL_RX) |          \
	 BIT(CTRL_VLAN) | BIT(CTRL_RX_EXTRA) | BIT(CTRL_MAC_ADDR) | BIT(CTRL_GUEST_OFFLOADS) |     \
	 BIT(GUEST_ANNOUNCE) | COMMON_BIT(NOTIFY_ON_EMPTY) | COMMON_BIT(ANY_LAYOUT) |              \
	 COMMON_BIT(INDIRECT_DESC) | COMMON_BIT(EVENT_IDX) | COMMON_BIT(VERSION_1) |               \
	 COMMON_BIT(ACCESS_PLATFORM) | COMMON_BIT(RING_RESET))

static const char *const keys[] = { "port",     "loop",          "features", "offer", "require",
				    "pairs",    "size",          "mac",      "mtu",   "speed",
				    "duplex",   "link",          "vectors",  "fault", "mode",
				    "function", PCI_DRIVER_KEYS, NULL };

static int find_feature(const char *name, uint64_t *mask, struct riser_err *err)
{
	const char *names[array_len(features) + 1] = { NULL }, *near;

	for (size_t i = 0; i < array_len(features); i++) {
		names[i] = features[i].name;
		if (strcmp(features[i].name, name))
			continue;
		*mask = 1ull << features[i].bit;
		return 0;
	}
	near = parse_nearest(name, names);
	return err_set(err, -EINVAL, "model: there is no feature '%s'%s%s%s", name,
		       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* +NAME,-NAME…, upon what is in *@mask; ALL is every feature that the model has. */
static int parse_features(const char *text, uint64_t *mask, struct riser_err *err)
{
	uint64_t all = 0, bits = 0;

	for (size_t i = 0; i < array_len(features); i++)
		all |= 1ull << features[i].bit;
	while (text && *text) {
		size_t len = strcspn(text, ",");
		char word[24] = "";
		int rc = 0;

		if (len < 2 || len > sizeof(word) || !strchr("+-", *text))
			return err_set(err, -EINVAL,
				       "model: features are +NAME,-NAME… and not '%s'", text);
		memcpy(word, text + 1, len - 1);
		if (strcmp(word, "ALL"))
			rc = find_feature(word, &bits, err);
		else
			bits = all;
		if (rc)
			return rc;
		*mask = *text == '+' ? *mask | bits : *mask & ~bits;
		text += len + (text[len] == ',');
	}
	return 0;
}

static int model_features(const struct uri *u, struct vnet_config *cfg, struct riser_err *err)
{
	const char *offer = uri_get(u, "offer");
	int rc;

	if (offer && parse_u64(offer, &cfg->offered))
		return err_set(err, -EINVAL, "model: key 'offer' wants a mask such as 0x100000001");
	if (cfg->transport == VPCI_LEGACY && !offer)
		cfg->offered &= UINT32_MAX;
	rc = parse_features(uri_get(u, "features"), &cfg->offered, err);
	if (!rc)
		rc = parse_features(uri_get(u, "require"), &cfg->required, err);
	return rc;
}

static int model_mac(const char *text, uint8_t *mac, struct riser_err *err)
{
	for (unsigned i = 0; text && i < 6; i++, text += 3) {
		char byte[5] = { '0', 'x' };
		uint64_t v;

		memcpy(byte + 2, text, strnlen(text, 2));
		if (strlen(byte) != 4 || text[2] != (i < 5 ? ':' : 0) || parse_u64(byte, &v))
			return err_set(
				err, -EINVAL,
				"model: key 'mac' wants six bytes such as 02:00:00:00:00:01");
		mac[i] = (uint8_t)v;
	}
	return 0;
}

static int model_transport(const char *text, enum vpci_transport *out, struct riser_err *err)
{
	static const char *const words[] = { "modern", "transitional", "legacy" };

	if (!text)
		return 0;
	for (unsigned i = 0; i < array_len(words); i++) {
		if (strcmp(words[i], text))
			continue;
		*out = (enum vpci_transport)i;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "model: key 'function' wants modern, transitional or legacy, not '%s'",
		       text);
}

/* A queue is a power of two; with packed ones any number would do. */
static int model_queue_size(const struct uri *u, struct vnet_config *cfg, struct riser_err *err)
{
	int rc = model_number(u, "size", 2, RISER_VIRTQ_SIZE_MAX, &cfg->size, err);

	if (rc || is_power_of_two(cfg->size))
		return rc;
	return err_set(err, -EINVAL, "model: key 'size' wants a power of two, not %u", cfg->size);
}

static int model_behind(const struct uri *u, struct vnet_config *cfg, struct riser_err *err)
{
	int rc = uri_get_bool(u, "loop", &cfg->loop, err);

	cfg->port = uri_get(u, "port");
	cfg->fault = uri_get(u, "fault");
	if (!rc && cfg->port && cfg->loop)
		return err_set(err, -EINVAL,
			       "model: 'port' and 'loop' are two things behind one card");
	return rc;
}

int vnet_configure(const struct uri *u, struct vnet_config *cfg, struct riser_err *err)
{
	bool down = false;
	int rc;

	*cfg = (struct vnet_config){ .pairs = 1,
				     .size = 256,
				     .offered = DEFAULT_FEATURES,
				     .mac = { 0x02, 'r', 'i', 's', 'e', 'r' },
				     .mtu = 1500,
				     .speed = 10000 };
	rc = uri_check_keys(u, keys, err);
	if (!rc)
		rc = model_transport(uri_get(u, "function"), &cfg->transport, err);
	if (!rc)
		rc = model_behind(u, cfg, err);
	if (!rc)
		rc = model_number(u, "pairs", 1, VNET_PAIRS_MAX, &cfg->pairs, err);
	if (cfg->pairs > 1)
		cfg->offered |= BIT(MQ);
	cfg->vectors = 2 * cfg->pairs + 2;
	if (!rc)
		rc = model_features(u, cfg, err);
	if (!rc)
		rc = model_queue_size(u, cfg, err);
	if (!rc)
		rc = model_mac(uri_get(u, "mac"), cfg->mac, err);
	if (!rc)
		rc = model_number(u, "mtu", 68, 65535, &cfg->mtu, err);
	if (!rc)
		rc = model_number(u, "speed", 0, INT32_MAX, &cfg->speed, err);
	if (!rc)
		rc = model_choice(u, "duplex", "full", "half", &cfg->half_duplex, err);
	if (!rc)
		rc = model_choice(u, "link", "up", "down", &down, err);
	if (!rc)
		rc = model_number(u, "vectors", 0, 128, &cfg->vectors, err);
	if (!rc)
		rc = model_choice(u, "mode", "inline", "thread", &cfg->thread, err);
	cfg->link = !down;
	return rc;
}
