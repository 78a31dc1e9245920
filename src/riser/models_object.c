/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "riser/models.h"
#include <riser/riser.h>

extern const struct pci_access access_model;
extern const struct riser_models riser_models;

RISER_API const struct riser_models riser_models = { .version = RISER_VERSION,
						     .access = &access_model,
						     .publish = riser_publish_model };
