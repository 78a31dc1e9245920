/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "base/parse.h"
#include "base/uri.h"
#include "model/keys.h"
#include "model/nvme.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "size2": the key of one namespace. */
struct model_key {
	char name[24];
};

static const char *const model_keys[] = {
	"mode",  "backing", "namespaces", "size",  "block",  "serial",       "model", "iommu-page",
	"batch", "delay",   "mdts",       "mqes",  "queues", "vectors",      "to",    "rdy-delay",
	"fault", "wzsl",    "dmrl",       "dmrsl", "dmsl",   PCI_DRIVER_KEYS
};
static const char *const model_ns_keys[] = { "size", "block", "backing" };

static struct model_key model_key(const char *name, unsigned nsid)
{
	struct model_key k;

	snprintf(k.name, sizeof(k.name), "%s%u", name, nsid);
	return k;
}

/* Refuse keys that no namespace and no controller has. */
static int model_check_keys(const struct uri *u, unsigned namespaces, struct riser_err *err)
{
	size_t n = array_len(model_keys), each = array_len(model_ns_keys);
	struct model_key *names = calloc(namespaces * each, sizeof(*names));
	const char **allowed = calloc(n + namespaces * each + 1, sizeof(*allowed));
	int rc = -ENOMEM;

	if (!names || !allowed) {
		err_set(err, rc, "no memory for a model's keys");
		goto out;
	}
	memcpy(allowed, model_keys, sizeof(model_keys));
	for (unsigned i = 0; i < namespaces * each; i++) {
		names[i] = model_key(model_ns_keys[i % each], i / (unsigned)each + 1);
		allowed[n + i] = names[i].name;
	}
	rc = uri_check_keys(u, allowed, err);
out:
	free(names);
	free(allowed);
	return rc;
}

static int model_text(const struct uri *u, const char *key, char *out, size_t size,
		      struct riser_err *err)
{
	const char *v = uri_get(u, key);

	if (!v)
		return 0;
	for (const char *p = v; *p; p++)
		if (*p < ' ' || *p > '~')
			return err_set(err, -EINVAL, "model: key '%s' wants printable ASCII", key);
	if (strlen(v) >= size)
		return err_set(err, -EINVAL, "model: key '%s' wants at most %zu characters", key,
			       size - 1);
	strcpy(out, v);
	return 0;
}

static int model_block(const struct uri *u, const char *key, unsigned *lbaf, struct riser_err *err)
{
	const char *v = uri_get(u, key);

	if (!v)
		return 0;
	if (!strcmp(v, "512"))
		*lbaf = 0;
	else if (!strcmp(v, "4096") || !strcmp(v, "4K") || !strcmp(v, "4k"))
		*lbaf = 1;
	else
		return err_set(err, -EINVAL, "model: key '%s' wants 512 or 4096, not '%s'", key, v);
	return 0;
}

static int model_size(const struct uri *u, const char *key, uint64_t *size, struct riser_err *err)
{
	int rc = uri_get_size(u, key, size, err);

	if (rc || !uri_get(u, key))
		return rc;
	if (!*size || *size % 4096 || *size > 1ull << 46)
		return err_set(err, -EINVAL,
			       "model: key '%s' wants a multiple of 4096 up to 64T, not '%s'", key,
			       uri_get(u, key));
	return 0;
}

static int model_namespaces(const struct uri *u, struct model_nvme_config *cfg,
			    struct riser_err *err)
{
	uint64_t size = 0;
	unsigned lbaf = MODEL_LBAFS;
	int rc = model_size(u, "size", &size, err);

	if (!rc)
		rc = model_block(u, "block", &lbaf, err);
	for (unsigned i = 0; !rc && i < cfg->namespaces; i++) {
		struct model_key key = model_key("size", i + 1);

		cfg->ns[i].size = size;
		cfg->ns[i].lbaf = lbaf;
		rc = model_size(u, key.name, &cfg->ns[i].size, err);
		key = model_key("block", i + 1);
		if (!rc)
			rc = model_block(u, key.name, &cfg->ns[i].lbaf, err);
		key = model_key("backing", i + 1);
		cfg->ns[i].backing = uri_get(u, key.name);
	}
	if (!rc && uri_get(u, "backing")) {
		if (cfg->ns[0].backing)
			return err_set(err, -EINVAL,
				       "model: 'backing' and 'backing1' are the same namespace's");
		cfg->ns[0].backing = uri_get(u, "backing");
	}
	return rc;
}

int model_nvme_configure(const struct uri *u, struct model_nvme_config *cfg, struct riser_err *err)
{
	unsigned delay_us = 0, rdy_delay_ms = 0;
	int rc;

	*cfg = (struct model_nvme_config){ .namespaces = 1,
					   .serial = "R0001",
					   .model = "RISER MODEL",
					   .mdts = 7,
					   .mqes = 1023,
					   .queues = 64,
					   .vectors = 65,
					   .to = 20,
					   .batch = UINT32_MAX };
	rc = model_number(u, "namespaces", 1, MODEL_NS_MAX, &cfg->namespaces, err);
	if (!rc)
		rc = model_check_keys(u, cfg->namespaces, err);
	if (!rc)
		rc = model_namespaces(u, cfg, err);
	if (!rc)
		rc = model_text(u, "serial", cfg->serial, sizeof(cfg->serial), err);
	if (!rc)
		rc = model_text(u, "model", cfg->model, sizeof(cfg->model), err);
	if (!rc)
		rc = model_choice(u, "mode", "inline", "thread", &cfg->thread, err);
	if (!rc)
		rc = model_choice(u, "iommu-page", "4K", "2M", &cfg->huge, err);
	if (!rc)
		rc = model_number(u, "mdts", 1, 10, &cfg->mdts, err);
	if (!rc)
		rc = model_number(u, "wzsl", 0, 40, &cfg->wzsl, err);
	if (!rc)
		rc = model_number(u, "dmrl", 0, 255, &cfg->dmrl, err);
	if (!rc)
		rc = model_number(u, "dmrsl", 0, UINT32_MAX, &cfg->dmrsl, err);
	if (!rc)
		rc = model_number(u, "dmsl", 0, UINT32_MAX, &cfg->dmsl, err);
	if (!rc)
		rc = model_number(u, "mqes", 1, 65535, &cfg->mqes, err);
	if (!rc)
		rc = model_number(u, "queues", 1, MODEL_QUEUES_MAX, &cfg->queues, err);
	if (!rc)
		rc = model_number(u, "vectors", 0, MODEL_VECTORS_MAX, &cfg->vectors, err);
	if (!rc)
		rc = model_number(u, "to", 1, 255, &cfg->to, err);
	if (!rc)
		rc = model_number(u, "batch", 1, UINT32_MAX, &cfg->batch, err);
	if (!rc)
		rc = model_number(u, "delay", 0, 3600 * 1000000u, &delay_us, err);
	if (!rc)
		rc = model_number(u, "rdy-delay", 0, 3600 * 1000u, &rdy_delay_ms, err);
	cfg->delay_ns = delay_us * NS_PER_US;
	cfg->rdy_delay_ns = rdy_delay_ms * NS_PER_MS;
	cfg->fault = uri_get(u, "fault");
	return rc;
}
