/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model of an NVMe controller as a PCI function, and what tests may do to it there. */
#include "base/err.h"
#include "model/front.h"
#include "model/nvme.h"
#include <errno.h>
#include <stdlib.h>

static struct model_nvme *nvme_of(struct model *m)
{
	return container_of(m, struct model_nvme, model);
}

/* BAR 0: the registers, the doorbells, and what MSI-X wants. */
static void nvme_function(struct model_nvme *m)
{
	struct model_function *fn = &m->model.function;
	size_t table = RISER_NVME_REG_DBS + m->doorbells_len;
	size_t pba = table + align_up(m->cfg.vectors * 16, 4096), len = pba + 4096;

	while (!is_power_of_two(len))
		len += len & -len;
	*fn = (struct model_function){ .vendor = MODEL_PCI_VENDOR,
				       .device = MODEL_PCI_DEVICE,
				       .subvendor = MODEL_PCI_VENDOR,
				       .subdevice = MODEL_PCI_DEVICE,
				       .class = PCI_CLASS_NVME << 8,
				       .bars[0] = { (uint32_t)len, MODEL_BAR_MEMORY64 },
				       .vectors = m->cfg.vectors,
				       .msix_table = (uint32_t)table,
				       .msix_pba = (uint32_t)pba };
}

static int nvme_open(struct riser *r, const struct uri *u, struct model_front *f,
		     struct model **out, struct riser_err *err)
{
	struct model_nvme_config *cfg = calloc(1, sizeof(*cfg));
	struct model_nvme *m;
	int rc;

	if (!cfg)
		return err_set(err, -ENOMEM, "no memory for a model");
	rc = model_nvme_configure(u, cfg, err);
	if (!rc)
		rc = model_iommu_init(&f->iommu, cfg->huge, err);
	if (!rc)
		rc = model_nvme_new(r, cfg, f, &m, err);
	if (!rc) {
		m->model.ops = &model_nvme_ops;
		m->model.thread = cfg->thread;
		nvme_function(m);
		*out = &m->model;
	}
	free(cfg);
	return rc;
}

static void nvme_close(struct model *m)
{
	model_nvme_free(nvme_of(m));
}

static uint64_t nvme_read(struct model *m, unsigned bar, size_t off, unsigned width)
{
	if (off >= RISER_NVME_REG_DBS)
		return 0;
	if (width < 4)
		return model_nvme_reg_read(nvme_of(m), off & ~3ul, 4) >> 8 * (off & 3) &
		       UINT32_MAX >> (32 - 8 * width);
	return model_nvme_reg_read(nvme_of(m), off, width);
}

/* Registers are written by 4 or 8 bytes (§3.1.2). */
static void nvme_write(struct model *m, unsigned bar, size_t off, unsigned width, uint64_t val)
{
	if (width >= 4)
		model_nvme_reg_write(nvme_of(m), off, width, val);
}

static bool nvme_post(struct model *m, unsigned bar, size_t off, unsigned width, uint64_t val)
{
	size_t at = off - RISER_NVME_REG_DBS;

	if (off < RISER_NVME_REG_DBS)
		return false;
	if (at + width <= nvme_of(m)->doorbells_len && width == 4)
		model_nvme_doorbell(nvme_of(m), at, (uint32_t)val);
	return true;
}

static volatile void *nvme_map(struct model *m, unsigned bar, size_t off, size_t len)
{
	size_t at = off - RISER_NVME_REG_DBS;

	if (off < RISER_NVME_REG_DBS || at + len > nvme_of(m)->doorbells_len)
		return NULL;
	return (char *)nvme_of(m)->doorbells + at;
}

static unsigned nvme_step(struct model *m, uint64_t *next)
{
	return model_nvme_step(nvme_of(m), next);
}

static void nvme_reset(struct model *m)
{
	model_nvme_function_reset(nvme_of(m));
}

/* What the backing has must come back first. */
static bool nvme_quiet(struct model *m)
{
	return !nvme_of(m)->nbacked;
}

const struct model_ops model_nvme_ops = {
	.size = sizeof(model_nvme_ops),
	.name = "nvme",
	.open = nvme_open,
	.close = nvme_close,
	.read = nvme_read,
	.write = nvme_write,
	.post = nvme_post,
	.map = nvme_map,
	.step = nvme_step,
	.reset = nvme_reset,
	.quiet = nvme_quiet,
};

void model_nvme_get_counters(struct pci_dev *d, struct model_nvme_counters *counters)
{
	struct model_nvme *m = nvme_of(model_lock(d));

	*counters = m->counters;
	counters->inflight = model_nvme_inflight(m);
	model_refused(d, &counters->dma_refused, &counters->dma_refused_iova);
	model_unlock(d);
}

int model_nvme_fault_add(struct pci_dev *d, const char *rules, struct riser_err *err)
{
	int rc = model_fault_parse(nvme_of(model_lock(d)), rules, err);

	model_unlock(d);
	return rc;
}

void model_nvme_fault_clear(struct pci_dev *d)
{
	model_fault_clear(nvme_of(model_lock(d)));
	model_unlock(d);
}

void model_nvme_limit_queues(struct pci_dev *d, unsigned n)
{
	struct model_nvme *m = nvme_of(model_lock(d));

	m->grants = min_of(n, m->cfg.queues);
	model_unlock(d);
}
