/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The only place that sees every plug-in. */
#include "base/err.h"
#include "base/riser.h"
#include "dm/dm.h"
#include "plugins.h"
#include "riser/class.h"
#include <errno.h>

#define DECLARE_ACCESS(name)    extern const struct pci_access access_##name;
#define DECLARE_SOURCE(name)    extern const struct blk_source source_##name;
#define DECLARE_PORT(name)      extern const struct port_ops port_##name;
#define DECLARE_PUBLISHER(name) extern const struct publish_ops publish_##name;
#define DECLARE_TARGET(name)    extern const struct riser_target_ops target_##name;
RISER_PCI_ACCESSES(DECLARE_ACCESS)
RISER_BLK_SOURCES(DECLARE_SOURCE)
RISER_PORTS(DECLARE_PORT)
RISER_PUBLISHERS(DECLARE_PUBLISHER)
RISER_TARGETS(DECLARE_TARGET)

#define ADDRESS_ACCESS(name)    &access_##name,
#define ADDRESS_SOURCE(name)    &source_##name,
#define ADDRESS_PORT(name)      &port_##name,
#define ADDRESS_PUBLISHER(name) &publish_##name,
#define ADDRESS_TARGET(name)    &target_##name,
static const struct pci_access *const accesses[] = { RISER_PCI_ACCESSES(ADDRESS_ACCESS) NULL };
static const struct blk_source *const sources[] = { RISER_BLK_SOURCES(ADDRESS_SOURCE) NULL };
static const struct port_ops *const ports[] = { RISER_PORTS(ADDRESS_PORT) NULL };
static const struct publish_ops *const publishers[] = { RISER_PUBLISHERS(ADDRESS_PUBLISHER) NULL };

static const struct riser_target_ops *const targets[] = { RISER_TARGETS(ADDRESS_TARGET) NULL };

static const struct registry registry = {
	.accesses = accesses,
	.sources = sources,
	.ports = ports,
	.publishers = publishers,
	.targets = targets,
	.close = dm_free_plugins,
	.open_by_class = class_open,
	.port_of = class_port,
};

int riser_new(const struct riser_opts *opts, struct riser **out, struct riser_err *err)
{
	return base_new(opts, &registry, out, err);
}

const char *riser_version(void)
{
	return RISER_VERSION;
}

const char *riser_features(void)
{
	return RISER_FEATURES;
}
