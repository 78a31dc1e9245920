/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * model:NAME?…: a device model of this process as a PCI function.
 *
 * The front end owns what is PCI: configuration space, interrupts, function reset, and who steps
 * the model. Inline, whoever pumps does; a pump that finds another at it does nothing. With
 * mode=thread a thread of the model's own does. Either way one mutex is held around the model.
 *
 * Doorbells are plain memory that the driver maps and the model watches, but for a threaded model
 * on virtual time: there a doorbell must tell the clock, so it goes through bar_write.
 */
#include "base/barrier.h"
#include "base/err.h"
#include "base/event.h"
#include "base/exec.h"
#include "base/uri.h"
#include "model/nvme.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define RESET_NS       (100 * NS_PER_MS) /* a function reset may take so long (PCIe §6.6.2) */

#define CFG_LEN        256
#define CFG_STATUS     0x06
#define CFG_SUBSYSTEM  0x2c
#define STATUS_CAPS    0x10
#define CAP_MSIX       0x40
#define CAP_EXPRESS    0x50
#define CAP_ID_MSIX    0x11
#define CAP_ID_EXPRESS 0x10
#define EXPRESS_FLR    (1u << 28) /* device capabilities: function level reset */
#define EXPRESS_START  (1u << 15) /* device control: do it */

/**
 * struct model_pci - an opened model
 * @lock: around the model and everything here; order: this, then the IOMMU's. Never taken under
 *	the context's lock
 * @waiting: how many wait for @lock, so that a busy thread lets them in
 * @next: when the model has something to do by itself, as the last step said
 * @fds: an eventfd for each vector, or -1
 * @pending: vectors that were raised while they had none
 * @reset_at: when the function reset under way ends; 0: there is none
 */
struct model_pci {
	struct pci_dev dev;
	struct model_iommu iommu;
	struct model_nvme *nvme;
	pthread_mutex_t lock;
	unsigned waiting;
	uint64_t next;
	uint8_t cfg[CFG_LEN];
	size_t bar_len;
	int *fds;
	bool *pending;
	unsigned nvectors;
	uint64_t reset_at;

	bool threaded, stop;
	pthread_t thread;
	struct sync_wait wait; /* the thread's */
};

static struct model_pci *model_of(struct pci_dev *d)
{
	return container_of(d, struct model_pci, dev);
}

static void model_lock(struct model_pci *p)
{
	__atomic_fetch_add(&p->waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&p->lock);
	__atomic_fetch_sub(&p->waiting, 1, __ATOMIC_RELAXED);
}

static void model_unlock(struct model_pci *p)
{
	pthread_mutex_unlock(&p->lock);
}

static struct model_iommu *model_iommu_of(struct riser_dma_space *s)
{
	return &container_of(s, struct model_pci, dev.dma)->iommu;
}

static int model_dma_map(struct riser_dma_space *s, const struct dma_region *region,
			 struct riser_err *err)
{
	return model_iommu_map(model_iommu_of(s), s, region, err);
}

static void model_dma_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	model_iommu_unmap(model_iommu_of(s), region);
}

static const struct dma_space_ops model_dma_ops = {
	.size = sizeof(model_dma_ops),
	.map = model_dma_map,
	.unmap = model_dma_unmap,
};

/* Without masking: a vector that has no descriptor yet is delivered when it gets one. */
static void model_irq(void *ctx, unsigned vector)
{
	struct model_pci *p = ctx;

	if (vector >= p->nvectors)
		return;
	if (p->fds[vector] >= 0)
		event_signal(p->fds[vector]);
	else
		p->pending[vector] = true;
}

static uint32_t model_cfg_get(const struct model_pci *p, unsigned off, unsigned len)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < len; i++)
		v |= (uint32_t)p->cfg[off + i] << 8 * i;
	return v;
}

static void model_cfg_set(struct model_pci *p, unsigned off, unsigned len, uint32_t v)
{
	for (unsigned i = 0; i < len; i++)
		p->cfg[off + i] = (uint8_t)(v >> 8 * i);
}

static size_t model_bar_len(const struct model_nvme *m, unsigned vectors)
{
	size_t len = RISER_NVME_REG_DBS + m->doorbells_len + align_up(vectors * 16, 4096) + 4096;

	while (!is_power_of_two(len))
		len += len & -len;
	return len;
}

static void model_cfg_init(struct model_pci *p)
{
	unsigned table = (unsigned)(RISER_NVME_REG_DBS + p->nvme->doorbells_len);

	p->bar_len = model_bar_len(p->nvme, p->nvectors);
	model_cfg_set(p, PCI_CFG_VENDOR, 2, MODEL_PCI_VENDOR);
	model_cfg_set(p, PCI_CFG_DEVICE, 2, MODEL_PCI_DEVICE);
	model_cfg_set(p, PCI_CFG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	model_cfg_set(p, CFG_STATUS, 2, STATUS_CAPS);
	model_cfg_set(p, PCI_CFG_CLASS, 4, PCI_CLASS_NVME << 8);
	model_cfg_set(p, PCI_CFG_BAR0, 4, 4); /* memory, 64 bits */
	model_cfg_set(p, CFG_SUBSYSTEM, 4, MODEL_PCI_DEVICE << 16 | MODEL_PCI_VENDOR);
	model_cfg_set(p, PCI_CFG_CAP, 1, p->nvectors ? CAP_MSIX : CAP_EXPRESS);
	model_cfg_set(p, CAP_MSIX, 2, CAP_EXPRESS << 8 | CAP_ID_MSIX);
	model_cfg_set(p, CAP_MSIX + 2, 2, p->nvectors - 1);
	model_cfg_set(p, CAP_MSIX + 4, 4, table);
	model_cfg_set(p, CAP_MSIX + 8, 4, table + (uint32_t)align_up(p->nvectors * 16, 4096));
	model_cfg_set(p, CAP_EXPRESS, 4, 2u << 16 | CAP_ID_EXPRESS);
	model_cfg_set(p, CAP_EXPRESS + 4, 4, EXPRESS_FLR);
}

static int model_cfg_read(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val)
{
	struct model_pci *p = model_of(d);

	if (off >= CFG_LEN) {
		*val = 0;
		return 0;
	}
	model_lock(p);
	*val = p->nvme->gone ? UINT32_MAX >> (32 - 8 * len) : model_cfg_get(p, off, len);
	model_unlock(p);
	return 0;
}

static void model_reset_start(struct model_pci *p)
{
	model_cfg_set(p, PCI_CFG_COMMAND, 2, 0);
	model_iommu_master(&p->iommu, false);
	model_nvme_function_reset(p->nvme);
	p->reset_at = clock_now(p->dev.r) + RESET_NS;
	store_relaxed(&p->next, p->reset_at);
}

static int model_cfg_write(struct pci_dev *d, unsigned off, unsigned len, uint32_t val)
{
	struct model_pci *p = model_of(d);

	model_lock(p);
	if (p->nvme->gone || p->reset_at) {
		/* nobody there */
	} else if (off == PCI_CFG_COMMAND) {
		model_cfg_set(p, off, 2, val & 0x0407);
		model_iommu_master(&p->iommu, val & PCI_COMMAND_MASTER);
	} else if (off == PCI_CFG_BAR0 && len == 4) {
		model_cfg_set(p, off, 4, (val & ~((uint32_t)p->bar_len - 1)) | 4);
	} else if (off == PCI_CFG_BAR0 + 4 && len == 4) {
		model_cfg_set(p, off, 4, val);
	} else if (off == CAP_MSIX + 2) {
		model_cfg_set(p, off, 2, (p->nvectors - 1) | (val & 0xc000));
	} else if (off == CAP_EXPRESS + 8 && val & EXPRESS_START) {
		model_reset_start(p);
	}
	model_unlock(p);
	return 0;
}

static int model_bar_map(struct pci_dev *d, unsigned bar, size_t off, size_t len,
			 volatile void **out)
{
	struct model_pci *p = model_of(d);
	size_t end = RISER_NVME_REG_DBS + p->nvme->doorbells_len;

	if (bar != 0 || off >= p->bar_len || len > p->bar_len - off)
		return -EINVAL;
	if (off < RISER_NVME_REG_DBS || off + len > end)
		return -EOPNOTSUPP;
	if (p->threaded && d->r->clock.is_virtual)
		return -EOPNOTSUPP;
	*out = (char *)p->nvme->doorbells + (off - RISER_NVME_REG_DBS);
	return 0;
}

static uint64_t model_bar_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	struct model_pci *p = model_of(d);
	uint64_t v = 0;

	if (bar != 0 || off % width)
		return UINT64_MAX;
	model_lock(p);
	if (off < RISER_NVME_REG_DBS || p->nvme->gone)
		v = model_nvme_reg_read(p->nvme, off, width);
	model_unlock(p);
	return v;
}

static void model_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
			    uint64_t val)
{
	struct model_pci *p = model_of(d);

	if (bar != 0 || off % width)
		return;
	if (off >= RISER_NVME_REG_DBS) {
		if (off + width <= RISER_NVME_REG_DBS + p->nvme->doorbells_len && width == 4)
			model_nvme_doorbell(p->nvme, off - RISER_NVME_REG_DBS, (uint32_t)val);
		return;
	}
	model_lock(p);
	if (!p->reset_at)
		model_nvme_reg_write(p->nvme, off, width, val);
	model_unlock(p);
	clock_bump(d->r);
}

static unsigned model_irq_vectors(struct pci_dev *d)
{
	return model_of(d)->nvectors;
}

static int model_irq_set(struct pci_dev *d, const int *fds, unsigned n)
{
	struct model_pci *p = model_of(d);

	if (n > p->nvectors)
		return -EINVAL;
	model_lock(p);
	for (unsigned v = 0; v < p->nvectors; v++) {
		p->fds[v] = v < n ? fds[v] : -1;
		if (!n)
			p->pending[v] = false;
		if (!p->pending[v] || p->fds[v] < 0)
			continue;
		p->pending[v] = false;
		event_signal(p->fds[v]);
	}
	model_unlock(p);
	return 0;
}

static int model_reset(struct pci_dev *d)
{
	struct model_pci *p = model_of(d);
	bool gone;

	model_lock(p);
	gone = p->nvme->gone;
	if (!gone)
		model_reset_start(p);
	model_unlock(p);
	clock_bump(d->r);
	return gone ? -ENODEV : 0;
}

/* The caller holds the lock. */
static unsigned model_step(struct model_pci *p)
{
	uint64_t next;
	unsigned n = model_nvme_step(p->nvme, &next);

	if (p->reset_at)
		next = min_of(next, p->reset_at);
	store_relaxed(&p->next, next);
	return n;
}

static int model_reset_poll(struct pci_dev *d)
{
	struct model_pci *p = model_of(d);
	int rc = 0;

	model_lock(p);
	if (!p->threaded)
		model_step(p); /* what the backing has must come back first */
	if (p->nvme->gone) {
		rc = -ENODEV;
	} else if (!p->reset_at) {
		rc = 1;
	} else if (p->reset_at <= clock_now(d->r) && !p->nvme->nbacked) {
		p->reset_at = 0;
		model_cfg_set(p, PCI_CFG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		model_iommu_master(&p->iommu, true);
		rc = 1;
	}
	model_unlock(p);
	return rc;
}

static int model_pump(struct pci_dev *d, uint64_t *next)
{
	struct model_pci *p = model_of(d);
	int n = 0;

	if (p->threaded) {
		*next = TIME_NEVER; /* its thread knows */
		/* Pairs with model_nvme_vanish(). */
		return load_acquire(&p->nvme->gone) ? -ENODEV : 0;
	}
	if (pthread_mutex_trylock(&p->lock)) {
		/*
		 * Whoever has it may be past our doorbell already, so the model's next event is
		 * not known. Virtual time must not pass until we have looked.
		 */
		*next = d->r->clock.is_virtual ? clock_now(d->r) : load_relaxed(&p->next);
		return 0;
	}
	n = (int)model_step(p);
	if (unlikely(p->nvme->gone))
		n = -ENODEV;
	*next = load_relaxed(&p->next);
	model_unlock(p);
	return n;
}

static void *model_thread(void *arg)
{
	struct model_pci *p = arg;

	while (!load_acquire(&p->stop)) {
		unsigned n;

		while (load_relaxed(&p->waiting))
			sched_yield();
		sync_wait_look(&p->wait);
		pthread_mutex_lock(&p->lock);
		n = model_step(p);
		pthread_mutex_unlock(&p->lock);
		if (n)
			p->wait.idle = 0;
		else
			sync_wait_idle(&p->wait, load_relaxed(&p->next));
	}
	sync_wait_end(&p->wait);
	return NULL;
}

static int model_thread_start(struct model_pci *p, struct riser_err *err)
{
	sigset_t all, before;
	int rc;

	/* Joined before anybody can wait for it: else the clock would jump without it. */
	sync_wait_begin(&p->wait, p->dev.r, NULL);
	/* Signals are for the program's own threads, which may wait for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&p->thread, NULL, model_thread, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		sync_wait_end(&p->wait);
		return err_set(err, -rc, "cannot start a model's thread: %s", strerror(rc));
	}
	p->threaded = true;
	return 0;
}

static void model_close(struct pci_dev *d)
{
	struct model_pci *p = model_of(d);

	if (p->threaded) {
		store_release(&p->stop, true);
		clock_bump(d->r);
		pthread_join(p->thread, NULL);
	}
	model_nvme_free(p->nvme);
	dma_space_destroy(&p->dev.dma);
	model_iommu_destroy(&p->iommu);
	pthread_mutex_destroy(&p->lock);
	free(p->fds);
	free(p->pending);
	free(p);
}

extern const struct pci_access access_model;

static int model_open(struct riser *r, const struct uri *u, struct pci_dev **out,
		      struct riser_err *err)
{
	struct model_nvme_config *cfg;
	struct model_pci *p;
	int rc;

	if (strcmp(u->rest, "nvme"))
		return err_set(err, -EINVAL, "model: there is no model '%s'; there is: nvme",
			       u->rest);
	p = calloc(1, sizeof(*p));
	cfg = calloc(1, sizeof(*cfg));
	if (!p || !cfg || pthread_mutex_init(&p->lock, NULL)) {
		free(cfg);
		free(p);
		return err_set(err, -ENOMEM, "no memory for a model");
	}
	p->dev.access = &access_model;
	p->dev.r = r;
	p->next = TIME_NEVER;
	rc = model_nvme_configure(u, cfg, err);
	if (!rc)
		rc = model_iommu_init(&p->iommu, cfg->huge, err);
	if (!rc)
		rc = model_nvme_new(r, cfg, &p->iommu, model_irq, p, &p->nvme, err);
	if (rc)
		goto fail;
	p->nvectors = cfg->vectors;
	p->fds = calloc(p->nvectors + 1, sizeof(*p->fds));
	p->pending = calloc(p->nvectors + 1, sizeof(*p->pending));
	if (!p->fds || !p->pending) {
		rc = err_set(err, -ENOMEM, "no memory for a model's interrupts");
		goto fail;
	}
	for (unsigned v = 0; v < p->nvectors; v++)
		p->fds[v] = -1;
	model_cfg_init(p);
	rc = dma_space_init(&p->dev.dma, r, &model_dma_ops, MODEL_PAGE_SHIFT, false, err);
	if (!rc && cfg->thread)
		rc = model_thread_start(p, err);
	if (rc)
		goto fail;
	free(cfg);
	*out = &p->dev;
	return 0;
fail:
	free(cfg);
	model_close(&p->dev);
	return rc;
}

void model_nvme_get_counters(struct pci_dev *d, struct model_nvme_counters *counters)
{
	struct model_pci *p = model_of(d);

	model_lock(p);
	*counters = p->nvme->counters;
	counters->inflight = model_nvme_inflight(p->nvme);
	pthread_mutex_lock(&p->iommu.lock);
	counters->dma_refused = p->iommu.refused;
	counters->dma_refused_iova = p->iommu.refused_iova;
	pthread_mutex_unlock(&p->iommu.lock);
	model_unlock(p);
}

int model_nvme_fault_add(struct pci_dev *d, const char *rules, struct riser_err *err)
{
	struct model_pci *p = model_of(d);
	int rc;

	model_lock(p);
	rc = model_fault_parse(p->nvme, rules, err);
	model_unlock(p);
	return rc;
}

void model_nvme_fault_clear(struct pci_dev *d)
{
	struct model_pci *p = model_of(d);

	model_lock(p);
	model_fault_clear(p->nvme);
	model_unlock(p);
}

void model_nvme_limit_queues(struct pci_dev *d, unsigned n)
{
	struct model_pci *p = model_of(d);

	model_lock(p);
	p->nvme->grants = min_of(n, p->nvme->cfg.queues);
	model_unlock(p);
}

const struct pci_access access_model = {
	.size = sizeof(access_model),
	.scheme = "model",
	.example = "model:nvme",
	.harmless = true,
	.open = model_open,
	.close = model_close,
	.cfg_read = model_cfg_read,
	.cfg_write = model_cfg_write,
	.bar_map = model_bar_map,
	.bar_read = model_bar_read,
	.bar_write = model_bar_write,
	.irq_vectors = model_irq_vectors,
	.irq_set = model_irq_set,
	.reset = model_reset,
	.reset_poll = model_reset_poll,
	.pump = model_pump,
};
