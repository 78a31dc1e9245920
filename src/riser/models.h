/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Between the library and the shared object that has the models; see models.c. */
#ifndef RISER_MODELS_H
#define RISER_MODELS_H

#include <riser/publish.h>

struct pci_access;

#define MODELS_OBJECT "libriser-model.so.0"

/**
 * struct riser_models - what the object is, under the name riser_models
 * @version: RISER_VERSION, first and for ever
 * @access: model:
 * @publish: riser_publish_model()
 */
struct riser_models {
	const char *version;
	const struct pci_access *access;
	int (*publish)(struct riser_exec *x, const char *model, const char *socket,
		       struct riser_publish **out, struct riser_err *err);
};

#endif
