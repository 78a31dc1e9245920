/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Models in the shared library. Who drives devices does not carry models of them about: these are
 * in a shared object of their own, riser-model, that lies beside the library and is loaded when one
 * is opened. It is of the same version or is refused. From then on the access is the object's.
 *
 * The static library, and the tests, have the models in them, and not this file.
 */
#include "riser/models.h"
#include "base/err.h"
#include "pci/pci.h"
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static int load(const struct riser_models **out, struct riser_err *err)
{
	const struct riser_models *models;
	const char *why;
	void *object;

	/* It stays: what is opened through it may live as long as the process. */
	object = dlopen(MODELS_OBJECT, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!object) {
		why = dlerror();
		return err_set(err, -ENOENT, "the models are not installed: %s",
			       why ? why : MODELS_OBJECT);
	}
	models = dlsym(object, "riser_models");
	if (!models || strcmp(models->version, RISER_VERSION))
		return err_set(err, -EINVAL,
			       "%s is of riser %s, and the library of %s: install both anew",
			       MODELS_OBJECT, models ? models->version : "?", RISER_VERSION);
	*out = models;
	return 0;
}

static int model_open(struct riser *r, const struct uri *u, struct pci_dev **out,
		      struct riser_err *err)
{
	const struct riser_models *models = NULL;
	int rc = load(&models, err);

	return rc ? rc : models->access->open(r, u, out, err);
}

int riser_publish_model(struct riser_exec *x, const char *model, const char *socket,
			struct riser_publish **out, struct riser_err *err)
{
	const struct riser_models *models = NULL;
	int rc = load(&models, err);

	return rc ? rc : models->publish(x, model, socket, out, err);
}

const struct pci_access access_model = {
	.size = sizeof(access_model),
	.scheme = "model",
	.example = "model:nvme",
	.harmless = true,
	.open = model_open,
};
