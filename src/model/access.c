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
 *
 * What a model is, the front end knows by its struct model_ops alone.
 */
#include "base/barrier.h"
#include "base/err.h"
#include "base/event.h"
#include "base/exec.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include "model/front.h"
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
#define CAP_OWN        0x90 /* the model's own, behind each other */
#define MSIX_ENABLE    0x8000u
#define EXPRESS_FLR    (1u << 28) /* device capabilities: function level reset */
#define COMMAND_ON     (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)
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
	struct model_front front;
	struct model *m;
	pthread_mutex_t lock;
	unsigned waiting;
	uint64_t next;
	uint8_t cfg[CFG_LEN];
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

static void front_lock(struct model_pci *p)
{
	__atomic_fetch_add(&p->waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&p->lock);
	__atomic_fetch_sub(&p->waiting, 1, __ATOMIC_RELAXED);
}

static void front_unlock(struct model_pci *p)
{
	pthread_mutex_unlock(&p->lock);
}

struct model *model_lock(struct pci_dev *d)
{
	front_lock(model_of(d));
	return model_of(d)->m;
}

void model_unlock(struct pci_dev *d)
{
	front_unlock(model_of(d));
}

void model_refused(struct pci_dev *d, uint64_t *count, uint64_t *iova)
{
	struct model_iommu *u = &model_of(d)->front.iommu;

	pthread_mutex_lock(&u->lock);
	*count = u->refused;
	*iova = u->refused_iova;
	pthread_mutex_unlock(&u->lock);
}

static struct model_iommu *model_iommu_of(struct riser_dma_space *s)
{
	return &container_of(s, struct model_pci, dev.dma)->front.iommu;
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
static void model_irq(struct model_front *f, unsigned vector)
{
	struct model_pci *p = container_of(f, struct model_pci, front);

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

/* The chain: MSI-X where there are vectors, PCI Express, the model's own. */
static void model_cfg_caps(struct model_pci *p)
{
	const struct model_function *fn = &p->m->function;
	unsigned at = CAP_OWN, link = CAP_EXPRESS + 1;

	model_cfg_set(p, PCI_CFG_CAP, 1, p->nvectors ? CAP_MSIX : CAP_EXPRESS);
	model_cfg_set(p, CAP_MSIX, 2, CAP_EXPRESS << 8 | CAP_ID_MSIX);
	model_cfg_set(p, CAP_MSIX + 2, 2, p->nvectors - 1);
	model_cfg_set(p, CAP_MSIX + 4, 4, fn->msix_table | fn->msix_bar);
	model_cfg_set(p, CAP_MSIX + 8, 4, fn->msix_pba | fn->msix_bar);
	model_cfg_set(p, CAP_EXPRESS, 4, 2u << 16 | CAP_ID_EXPRESS);
	model_cfg_set(p, CAP_EXPRESS + 4, 4, EXPRESS_FLR);
	for (unsigned i = 0; i < fn->ncaps; i++) {
		memcpy(&p->cfg[at], fn->caps[i], fn->caps[i][2]);
		p->cfg[at + 1] = 0;
		p->cfg[link] = (uint8_t)at;
		link = at + 1;
		at += (unsigned)align_up(fn->caps[i][2], 4);
	}
}

static void model_cfg_init(struct model_pci *p)
{
	const struct model_function *fn = &p->m->function;

	model_cfg_set(p, PCI_CFG_VENDOR, 2, fn->vendor);
	model_cfg_set(p, PCI_CFG_DEVICE, 2, fn->device);
	model_cfg_set(p, PCI_CFG_COMMAND, 2, COMMAND_ON);
	model_cfg_set(p, CFG_STATUS, 2, STATUS_CAPS);
	model_cfg_set(p, PCI_CFG_CLASS, 4, fn->class);
	for (unsigned i = 0; i < MODEL_BARS; i++)
		if (fn->bars[i].len)
			model_cfg_set(p, PCI_CFG_BAR0 + 4 * i, 4, fn->bars[i].kind);
	model_cfg_set(p, CFG_SUBSYSTEM, 4, (uint32_t)fn->subdevice << 16 | fn->subvendor);
	model_cfg_caps(p);
}

static int model_cfg_read(struct pci_dev *d, unsigned off, unsigned len, uint32_t *val)
{
	struct model_pci *p = model_of(d);

	if (off >= CFG_LEN) {
		*val = 0;
		return 0;
	}
	front_lock(p);
	*val = p->m->gone ? UINT32_MAX >> (32 - 8 * len) : model_cfg_get(p, off, len);
	front_unlock(p);
	return 0;
}

static void model_reset_start(struct model_pci *p)
{
	model_cfg_set(p, PCI_CFG_COMMAND, 2, 0);
	model_iommu_master(&p->front.iommu, false);
	p->m->ops->reset(p->m);
	p->reset_at = clock_now(p->dev.r) + RESET_NS;
	store_relaxed(&p->next, p->reset_at);
}

/* Only addresses that the BAR's length leaves open are kept: so its length is found out. */
static void model_cfg_bar(struct model_pci *p, unsigned bar, uint32_t val)
{
	const struct model_function *fn = &p->m->function;

	if (fn->bars[bar].len)
		val = (val & ~(fn->bars[bar].len - 1)) | fn->bars[bar].kind;
	else if (!bar || fn->bars[bar - 1].kind != MODEL_BAR_MEMORY64)
		val = 0;
	model_cfg_set(p, PCI_CFG_BAR0 + 4 * bar, 4, val);
}

static void model_cfg_msix(struct model_pci *p, uint32_t control)
{
	model_cfg_set(p, CAP_MSIX + 2, 2, (p->nvectors - 1) | (control & 0xc000));
	if (p->m->ops->msix)
		p->m->ops->msix(p->m, control & MSIX_ENABLE);
}

static int model_cfg_write(struct pci_dev *d, unsigned off, unsigned len, uint32_t val)
{
	struct model_pci *p = model_of(d);

	front_lock(p);
	if (p->m->gone || p->reset_at) {
		/* nobody there */
	} else if (off == PCI_CFG_COMMAND) {
		model_cfg_set(p, off, 2, val & 0x0407);
		model_iommu_master(&p->front.iommu, val & PCI_COMMAND_MASTER);
	} else if (off >= PCI_CFG_BAR0 && off < PCI_CFG_BAR0 + 4 * MODEL_BARS && len == 4) {
		model_cfg_bar(p, (off - PCI_CFG_BAR0) / 4, val);
	} else if (off == CAP_MSIX + 2 && p->nvectors) {
		model_cfg_msix(p, val);
	} else if (off == CAP_EXPRESS + 8 && val & EXPRESS_START) {
		model_reset_start(p);
	}
	front_unlock(p);
	return 0;
}

/* The BAR has @len bytes there. */
static bool model_bar_has(const struct model_pci *p, unsigned bar, size_t off, size_t len)
{
	size_t end = bar < MODEL_BARS ? p->m->function.bars[bar].len : 0;

	return off < end && len <= end - off;
}

static int model_bar_map(struct pci_dev *d, unsigned bar, size_t off, size_t len,
			 volatile void **out)
{
	struct model_pci *p = model_of(d);

	if (!model_bar_has(p, bar, off, len))
		return -EINVAL;
	if (p->threaded && d->r->clock.is_virtual)
		return -EOPNOTSUPP;
	*out = p->m->ops->map(p->m, bar, off, len);
	return *out ? 0 : -EOPNOTSUPP;
}

static uint64_t model_bar_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	struct model_pci *p = model_of(d);
	uint64_t v = UINT64_MAX >> (64 - 8 * width);

	if (off % width || !model_bar_has(p, bar, off, width))
		return UINT64_MAX;
	front_lock(p);
	if (!p->m->gone)
		v = p->m->ops->read(p->m, bar, off, width);
	front_unlock(p);
	return v;
}

static void model_bar_write(struct pci_dev *d, unsigned bar, size_t off, unsigned width,
			    uint64_t val)
{
	struct model_pci *p = model_of(d);

	if (off % width || !model_bar_has(p, bar, off, width))
		return;
	if (p->m->ops->post && p->m->ops->post(p->m, bar, off, width, val))
		return;
	front_lock(p);
	if (!p->reset_at && !p->m->gone)
		p->m->ops->write(p->m, bar, off, width, val);
	front_unlock(p);
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
	front_lock(p);
	if (p->nvectors)
		model_cfg_msix(p, n ? MSIX_ENABLE : 0);
	for (unsigned v = 0; v < p->nvectors; v++) {
		p->fds[v] = v < n ? fds[v] : -1;
		if (!n)
			p->pending[v] = false;
		if (!p->pending[v] || p->fds[v] < 0)
			continue;
		p->pending[v] = false;
		event_signal(p->fds[v]);
	}
	front_unlock(p);
	return 0;
}

static int model_reset(struct pci_dev *d)
{
	struct model_pci *p = model_of(d);
	bool gone;

	front_lock(p);
	gone = p->m->gone;
	if (!gone)
		model_reset_start(p);
	front_unlock(p);
	clock_bump(d->r);
	return gone ? -ENODEV : 0;
}

/* The caller holds the lock. */
static unsigned model_step(struct model_pci *p)
{
	uint64_t next;
	unsigned n = p->m->ops->step(p->m, &next);

	if (p->reset_at)
		next = min_of(next, p->reset_at);
	store_relaxed(&p->next, next);
	return n;
}

static int model_reset_poll(struct pci_dev *d)
{
	struct model_pci *p = model_of(d);
	int rc = 0;

	front_lock(p);
	if (!p->threaded)
		model_step(p); /* what the backing has must come back first */
	if (p->m->gone) {
		rc = -ENODEV;
	} else if (!p->reset_at) {
		rc = 1;
	} else if (p->reset_at <= clock_now(d->r) &&
		   (!p->m->ops->quiet || p->m->ops->quiet(p->m))) {
		p->reset_at = 0;
		model_cfg_set(p, PCI_CFG_COMMAND, 2, COMMAND_ON);
		model_iommu_master(&p->front.iommu, true);
		rc = 1;
	}
	front_unlock(p);
	return rc;
}

static int model_pump(struct pci_dev *d, uint64_t *next)
{
	struct model_pci *p = model_of(d);
	int n = 0;

	if (p->threaded) {
		*next = TIME_NEVER; /* its thread knows */
		/* Pairs with the store of the model that vanishes. */
		return load_acquire(&p->m->gone) ? -ENODEV : 0;
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
	if (unlikely(p->m->gone))
		n = -ENODEV;
	*next = load_relaxed(&p->next);
	front_unlock(p);
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
	if (p->m)
		p->m->ops->close(p->m);
	dma_space_destroy(&p->dev.dma);
	model_iommu_destroy(&p->front.iommu);
	pthread_mutex_destroy(&p->lock);
	free(p->fds);
	free(p->pending);
	free(p);
}

extern const struct pci_access access_model;
extern const struct model_ops model_nvme_ops, model_virtio_net_ops;

static const struct model_ops *const models[] = { &model_nvme_ops, &model_virtio_net_ops };

static const struct model_ops *model_find(const char *name, struct riser_err *err)
{
	const char *names[array_len(models) + 1] = { NULL }, *near;

	for (size_t i = 0; i < array_len(models); i++) {
		if (!strcmp(models[i]->name, name))
			return models[i];
		names[i] = models[i]->name;
	}
	near = parse_nearest(name, names);
	err_set(err, -EINVAL, "model: there is no model '%s'; %s '%s'%s", name,
		near ? "did you mean" : "there is", near ? near : names[0], near ? "?" : "");
	return NULL;
}

/* What depends on what the model turned out to be. */
static int model_front_init(struct model_pci *p, struct riser_err *err)
{
	int rc;

	p->nvectors = p->m->function.vectors;
	p->fds = calloc(p->nvectors + 1, sizeof(*p->fds));
	p->pending = calloc(p->nvectors + 1, sizeof(*p->pending));
	if (!p->fds || !p->pending)
		return err_set(err, -ENOMEM, "no memory for a model's interrupts");
	for (unsigned v = 0; v < p->nvectors; v++)
		p->fds[v] = -1;
	model_cfg_init(p);
	rc = dma_space_init(&p->dev.dma, p->dev.r, &model_dma_ops, MODEL_PAGE_SHIFT, false, err);
	return !rc && p->m->thread ? model_thread_start(p, err) : rc;
}

static int model_open(struct riser *r, const struct uri *u, struct pci_dev **out,
		      struct riser_err *err)
{
	const struct model_ops *ops = model_find(u->rest, err);
	struct model_pci *p;
	int rc;

	if (!ops)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p || pthread_mutex_init(&p->lock, NULL)) {
		free(p);
		return err_set(err, -ENOMEM, "no memory for a model");
	}
	p->dev.access = &access_model;
	p->dev.r = r;
	p->next = TIME_NEVER;
	p->front.irq = model_irq;
	rc = ops->open(r, u, &p->front, &p->m, err);
	if (!rc)
		rc = model_front_init(p, err);
	if (rc) {
		model_close(&p->dev);
		return rc;
	}
	*out = &p->dev;
	return 0;
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
