/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/nvme.h"
#include "base/err.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAP_CQR       (1ull << 16) /* queues must be contiguous */
#define CAP_NSSRS     (1ull << 36)
#define CAP_CSS_NVM   (1ull << 37)
#define CAP_CSS_IOSET (1ull << 43)
#define MPS_MAX       4u          /* 64 KiB */
#define NSSR_MAGIC    0x4e564d65u /* "NVMe" */
#define AQA_MASK      0x0fff0fffu

static uint64_t model_now(struct model_nvme *m)
{
	return clock_now_of(&m->r->clock);
}

static bool model_is_enabled(const struct model_nvme *m)
{
	return m->cc & RISER_NVME_CC_EN;
}

/* Page size, command sets, entry sizes and the admin queue (§3.5.1); nothing else is looked at. */
static bool model_config_is_valid(const struct model_nvme *m)
{
	unsigned mps = m->cc >> RISER_NVME_CC_MPS_SHIFT & 0xf, css = m->cc >> 4 & 7;
	unsigned ams = m->cc >> RISER_NVME_CC_AMS_SHIFT & 7;
	unsigned iosqes = m->cc >> RISER_NVME_CC_IOSQES_SHIFT & 0xf;
	unsigned iocqes = m->cc >> RISER_NVME_CC_IOCQES_SHIFT & 0xf;
	uint64_t mask = (0x1000ull << mps) - 1;

	return mps <= MPS_MAX && ams == 0 && (css == 0 || css == RISER_NVME_CC_CSS_ALL) &&
	       (iosqes == 0 || iosqes == 6) && (iocqes == 0 || iocqes == 4) && (m->aqa & 0xfff) &&
	       (m->aqa >> 16 & 0xfff) && m->asq && m->acq && !((m->asq | m->acq) & mask);
}

/* CC.EN is 1 and its delay has passed. */
static void model_start(struct model_nvme *m)
{
	m->rdy_at = TIME_NEVER;
	/* An owner who has not heard of the reset may ring meanwhile. */
	for (size_t i = 0; i < m->doorbells_len / sizeof(*m->doorbells); i++)
		store_relaxed(&m->doorbells[i], 0);
	model_queue_open_cq(m, 0, m->acq, (m->aqa >> 16 & 0xfff) + 1, 0, true);
	if (model_queue_open_sq(m, 0, m->asq, (m->aqa & 0xfff) + 1, 0)) {
		model_nvme_fatal(m);
		return;
	}
	m->running = true;
	m->csts |= RISER_NVME_CSTS_RDY;
}

static void model_settle_shutdown(struct model_nvme *m)
{
	if ((m->csts & RISER_NVME_CSTS_SHST_MASK) != RISER_NVME_CSTS_SHST_OCCURING || m->nbacked)
		return;
	m->csts = (m->csts & ~RISER_NVME_CSTS_SHST_MASK) | RISER_NVME_CSTS_SHST_COMPLETE;
	m->activity++;
	clock_bump_of(&m->r->clock);
}

/* Time passed, or the backing gave something back: does RDY follow EN now? */
static void model_settle(struct model_nvme *m)
{
	model_settle_shutdown(m);
	if (m->rdy_at == TIME_NEVER || m->rdy_at > model_now(m))
		return;
	if (model_is_enabled(m)) {
		model_start(m);
	} else {
		/* RDY=0 promises that there is no DMA any more. */
		if (m->nbacked)
			return;
		m->rdy_at = TIME_NEVER;
		m->csts &= ~RISER_NVME_CSTS_RDY;
	}
	m->activity++;
	clock_bump_of(&m->r->clock);
}

static void model_forget_events(struct model_nvme *m)
{
	m->naer = 0;
	m->nevents = 0;
	m->masked = 0;
}

/* What every controller level reset does (§3.7.2), whoever asked for it. */
static void model_halt(struct model_nvme *m)
{
	model_queue_close_all(m);
	model_forget_events(m);
	model_features_reset(m);
	for (unsigned i = 0; i < m->cfg.namespaces; i++)
		m->ns[i].formatting = false;
	m->running = false;
	m->granted = m->grants;
	m->csts &= ~(RISER_NVME_CSTS_CFS | RISER_NVME_CSTS_SHST_MASK);
	m->rdy_at = TIME_NEVER;
	if (m->csts & RISER_NVME_CSTS_RDY)
		m->rdy_at = model_now(m) + m->cfg.rdy_delay_ns;
}

void model_nvme_fatal(struct model_nvme *m)
{
	m->csts |= RISER_NVME_CSTS_CFS;
	m->running = false;
	m->activity++;
	clock_bump_of(&m->r->clock);
}

void model_nvme_vanish(struct model_nvme *m)
{
	/* Pairs with the pump of a threaded model: nothing of the host's is touched any more. */
	store_release(&m->model.gone, true);
	m->running = false;
	m->activity++;
	clock_bump_of(&m->r->clock);
}

static void model_enable(struct model_nvme *m)
{
	if (m->stuck_off)
		return;
	m->csts &= ~RISER_NVME_CSTS_SHST_MASK;
	m->page_shift = 12 + (m->cc >> RISER_NVME_CC_MPS_SHIFT & 0xf);
	m->rdy_at = TIME_NEVER;
	if (model_fault_stuck(m, true))
		return;
	/* Enabling before RDY is 0 again is undefined (§3.1.3.5): the worst is made of it. */
	if (!model_config_is_valid(m) || m->csts & RISER_NVME_CSTS_RDY || m->nbacked)
		model_nvme_fatal(m);
	else
		m->rdy_at = model_now(m) + m->cfg.rdy_delay_ns;
}

static void model_disable(struct model_nvme *m)
{
	if (model_fault_stuck(m, false)) {
		m->stuck_off = true;
		return;
	}
	m->counters.resets++;
	model_halt(m);
}

/*
 * Shutdown (§3.6): every namespace is flushed. Commands of nobody's queue stand for the flushes;
 * it is complete when the backing has nothing of ours left.
 */
static void model_shutdown(struct model_nvme *m)
{
	m->csts = (m->csts & ~RISER_NVME_CSTS_SHST_MASK) | RISER_NVME_CSTS_SHST_OCCURING;
	m->running = false;
	for (unsigned i = 0; i < m->cfg.namespaces; i++) {
		struct model_cmd *cmd = model_cmd_get(m);

		if (!cmd)
			break;
		cmd->sq = NULL;
		if (model_backing_do(&m->ns[i], cmd, MODEL_BACKING_FLUSH, 0, 0, 0) != MODEL_PENDING)
			model_cmd_put(m, cmd);
	}
}

/* NSSR (§3.1.3.7): as a controller reset from outside; CC and the queue addresses are lost. */
static void model_subsystem_reset(struct model_nvme *m)
{
	m->stuck_off = false;
	m->cc = m->aqa = m->intm = 0;
	m->asq = m->acq = 0;
	model_halt(m);
	m->csts |= RISER_NVME_CSTS_NSSRO;
	model_settle(m);
}

static void model_write_cc(struct model_nvme *m, uint32_t val)
{
	uint32_t was = m->cc;

	m->cc = val;
	if (!(was & RISER_NVME_CC_EN) && val & RISER_NVME_CC_EN)
		model_enable(m);
	else if (was & RISER_NVME_CC_EN && !(val & RISER_NVME_CC_EN))
		model_disable(m);
	if (!(was & RISER_NVME_CC_SHN_MASK) && val & RISER_NVME_CC_SHN_MASK)
		model_shutdown(m);
	model_settle(m);
}

static uint32_t model_read32(struct model_nvme *m, size_t off)
{
	switch (off) {
	case RISER_NVME_REG_CAP:
		return (uint32_t)m->cap;
	case RISER_NVME_REG_CAP + 4:
		return (uint32_t)(m->cap >> 32);
	case RISER_NVME_REG_VS:
		return MODEL_VERSION;
	case RISER_NVME_REG_INTMS:
	case RISER_NVME_REG_INTMC:
		return m->intm;
	case RISER_NVME_REG_CC:
		return m->cc;
	case RISER_NVME_REG_CSTS:
		model_settle(m);
		return m->csts;
	case RISER_NVME_REG_AQA:
		return m->aqa;
	case RISER_NVME_REG_ASQ:
		return (uint32_t)m->asq;
	case RISER_NVME_REG_ASQ + 4:
		return (uint32_t)(m->asq >> 32);
	case RISER_NVME_REG_ACQ:
		return (uint32_t)m->acq;
	case RISER_NVME_REG_ACQ + 4:
		return (uint32_t)(m->acq >> 32);
	default:
		return 0; /* reserved, write-only, or a feature that is not there */
	}
}

/* The low 12 bits of a queue's address are reserved: they read as 0. */
static void model_write_base(uint64_t *reg, bool high, uint32_t val)
{
	if (high)
		*reg = (uint32_t)*reg | (uint64_t)val << 32;
	else
		*reg = (*reg & ~0xffffffffull) | (val & ~0xfffu);
}

static void model_write32(struct model_nvme *m, size_t off, uint32_t val)
{
	switch (off) {
	case RISER_NVME_REG_INTMS:
		m->intm |= val;
		break;
	case RISER_NVME_REG_INTMC:
		m->intm &= ~val;
		break;
	case RISER_NVME_REG_CC:
		model_write_cc(m, val);
		break;
	case RISER_NVME_REG_CSTS:
		m->csts &= ~(val & RISER_NVME_CSTS_NSSRO); /* write 1 to clear */
		break;
	case RISER_NVME_REG_NSSR:
		if (val == NSSR_MAGIC)
			model_subsystem_reset(m);
		break;
	case RISER_NVME_REG_AQA:
		if (!model_is_enabled(m))
			m->aqa = val & AQA_MASK;
		break;
	case RISER_NVME_REG_ASQ:
	case RISER_NVME_REG_ASQ + 4:
		if (!model_is_enabled(m))
			model_write_base(&m->asq, off & 4, val);
		break;
	case RISER_NVME_REG_ACQ:
	case RISER_NVME_REG_ACQ + 4:
		if (!model_is_enabled(m))
			model_write_base(&m->acq, off & 4, val);
		break;
	default:
		break; /* read-only or reserved */
	}
}

uint64_t model_nvme_reg_read(struct model_nvme *m, size_t off, unsigned width)
{
	if (width == 8)
		return model_read32(m, off) | (uint64_t)model_read32(m, off + 4) << 32;
	return model_read32(m, off);
}

void model_nvme_reg_write(struct model_nvme *m, size_t off, unsigned width, uint64_t val)
{
	model_write32(m, off, (uint32_t)val);
	if (width == 8)
		model_write32(m, off + 4, (uint32_t)(val >> 32));
}

void model_nvme_doorbell(struct model_nvme *m, size_t off, uint32_t val)
{
	/* Pairs with the acquire of model_doorbell_look(). */
	store_release(&m->doorbells[off / sizeof(uint32_t)], val);
	clock_bump_of(&m->r->clock);
}

void model_nvme_function_reset(struct model_nvme *m)
{
	m->counters.function_resets++;
	m->stuck_off = false;
	m->cc = m->aqa = m->intm = 0;
	m->asq = m->acq = 0;
	model_halt(m);
	m->csts = 0;
	m->rdy_at = TIME_NEVER;
	clock_bump_of(&m->r->clock);
}

static void model_step_ended(struct model_nvme *m)
{
	while (!list_empty(&m->ended)) {
		struct model_cmd *cmd = list_first(&m->ended, struct model_cmd, timer);

		list_del(&cmd->timer);
		model_cmd_resume(m, cmd);
	}
}

/* What is due by the clock, and what the backing gave back. */
static void model_step_timers(struct model_nvme *m, uint64_t *next)
{
	uint64_t now;

	model_step_ended(m);
	model_settle(m);
	if (m->rdy_at != TIME_NEVER && !m->nbacked)
		*next = m->rdy_at;
	if (list_empty(&m->delayed) || !m->running)
		return;
	now = model_now(m);
	while (!list_empty(&m->delayed) && m->budget) {
		struct model_cmd *cmd = list_first(&m->delayed, struct model_cmd, timer);

		if (cmd->due > now) {
			*next = min_of(*next, cmd->due);
			break;
		}
		list_del(&cmd->timer);
		m->activity++;
		if (cmd->status)
			model_cmd_finish(m, cmd, cmd->status);
		else
			model_cmd_start(m, cmd);
		if (!m->running)
			break;
	}
}

unsigned model_nvme_step(struct model_nvme *m, uint64_t *next)
{
	*next = TIME_NEVER;
	m->activity = 0;
	m->budget = m->cfg.batch;
	model_backing_poll(m);
	pthread_mutex_lock(&m->iommu->lock);
	model_step_timers(m, next);
	if (m->running)
		model_queue_run(m);
	pthread_mutex_unlock(&m->iommu->lock);
	if (m->activity) {
		model_queue_notify(m);
		clock_bump_of(&m->r->clock);
	}
	/* What the backing has may come back at any time: virtual time must not pass meanwhile. */
	if (m->nbacked)
		*next = min_of(*next, model_now(m));
	return m->activity;
}

uint64_t model_nvme_inflight(const struct model_nvme *m)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < m->nlive; i++)
		n += m->live[i]->nheld;
	return n - m->naer;
}

static int model_open_namespaces(struct model_nvme *m, struct riser_err *err)
{
	for (unsigned i = 0; i < m->cfg.namespaces; i++) {
		struct model_ns *ns = &m->ns[i];
		int rc;

		ns->m = m;
		ns->nsid = i + 1;
		rc = model_backing_open(ns, m->cfg.ns[i].backing, m->cfg.ns[i].size, err);
		if (rc)
			return rc;
		if (m->cfg.ns[i].lbaf == MODEL_LBAFS)
			m->cfg.ns[i].lbaf = ns->min_lbaf;
		if (m->cfg.ns[i].lbaf < ns->min_lbaf)
			return err_set(err, -EINVAL,
				       "namespace %u cannot have blocks of 512 bytes: what is "
				       "behind it has larger ones",
				       ns->nsid);
		model_ns_set_format(ns, m->cfg.ns[i].lbaf);
	}
	return 0;
}

int model_nvme_new(struct riser *r, const struct model_nvme_config *cfg, struct model_front *front,
		   struct model_nvme **out, struct riser_err *err)
{
	struct model_nvme *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(err, -ENOMEM, "no memory for a model of an NVMe controller");
	m->r = r;
	m->cfg = *cfg;
	m->front = front;
	m->iommu = &front->iommu;
	m->cap = cfg->mqes | CAP_CQR | (uint64_t)cfg->to << 24 | CAP_NSSRS | CAP_CSS_NVM |
		 CAP_CSS_IOSET | (uint64_t)MPS_MAX << 52;
	m->page_shift = 12;
	m->rdy_at = TIME_NEVER;
	m->granted = m->grants = cfg->queues;
	m->powered_at = clock_now(r);
	list_init(&m->ended);
	list_init(&m->starved);
	list_init(&m->delayed);
	list_init(&m->faults);
	m->doorbells_len =
		align_up((cfg->queues + 1) * 2 * sizeof(uint32_t), (size_t)sysconf(_SC_PAGESIZE));
	m->doorbells = mmap(NULL, m->doorbells_len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->doorbells == MAP_FAILED)
		m->doorbells = NULL;
	if (!m->doorbells || model_pool_init(m)) {
		rc = err_set(err, -ENOMEM, "no memory for a model of an NVMe controller");
		goto fail;
	}
	model_features_init(m);
	rc = model_open_namespaces(m, err);
	if (!rc && cfg->fault)
		rc = model_fault_parse(m, cfg->fault, err);
	m->slow = cfg->delay_ns || !list_empty(&m->faults);
	m->cfg.fault = NULL; /* pointed into the URI */
	if (rc)
		goto fail;
	*out = m;
	return 0;
fail:
	model_nvme_free(m);
	return rc;
}

void model_nvme_free(struct model_nvme *m)
{
	if (!m)
		return;
	if (m->sqs)
		model_queue_close_all(m);
	while (m->nbacked) {
		model_backing_wait(m);
		model_step_ended(m);
	}
	for (unsigned i = 0; i < m->cfg.namespaces; i++)
		model_backing_close(&m->ns[i]);
	riser_exec_free(m->exec);
	model_fault_clear(m);
	model_pool_free(m);
	if (m->doorbells)
		munmap(m->doorbells, m->doorbells_len);
	free(m);
}
