/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Bringing a controller up (§3.5.1), the first time and after every failure.
 *
 *	start ─► SETTLE ─► DISABLE ─► ENABLE ─► SETUP ─► LIVE
 *	             │         │         │        │
 *	             └─────────┴─ late ──┴────────┴─► RESET (function) ─► ENABLE
 *	                                                │ too many, failed
 *	                                                ▼
 *	all-ones anywhere ──────────────────────────► DEAD
 *
 * Nothing here waits: each step looks once and returns. Everything is under the lock.
 */
#include "base/err.h"
#include "base/riser.h"
#include "nvme/ctrl.h"
#include <errno.h>
#include <string.h>

#define PATIENCE      (2 * NS_PER_S)  /* of a person who waits, without a word */
#define RESET_TIMEOUT (30 * NS_PER_S) /* of a function reset, which has no deadline of its own */
#define GONE          0xffffffffu     /* what a vanished function answers */

static void enter(struct nvme_ctrl *c, enum nvme_recover_state state, uint64_t timeout)
{
	c->recover.state = state;
	c->recover.since = clock_now(c->r);
	c->recover.deadline = c->recover.since + timeout;
	clock_bump(c->r);
}

void nvme_tell_wait(struct nvme_ctrl *c, bool *told, uint64_t since, uint64_t deadline,
		    uint64_t now, const char *what)
{
	bool long_wait = now >= since + PATIENCE;

	if (long_wait && !*told && deadline >= now + NS_PER_S)
		base_log(c->r, RISER_LOG_NOTICE, "waiting for %s to %s, next step in %llu s",
			 c->pci->name, what, (unsigned long long)((deadline - now) / NS_PER_S));
	*told = long_wait;
}

/* The device does no DMA any more: owners may end what was in flight. */
static void proved_stopped(struct nvme_ctrl *c)
{
	nvme_admin_restart(c);
	/* Pairs with the owner's acquire: what the device posted is visible to its last reap. */
	store_release(&c->stopped, c->gen);
	clock_bump(c->r);
}

bool nvme_master_off(struct nvme_ctrl *c)
{
	const struct pci_access *a = c->pci->access;
	uint32_t v;

	if (a->cfg_read(c->pci, PCI_CFG_COMMAND, 2, &v))
		return false;
	if (v == (GONE & 0xffff))
		return true; /* what is not there writes nowhere */
	if (a->cfg_write(c->pci, PCI_CFG_COMMAND, 2, v & ~(uint32_t)PCI_COMMAND_MASTER))
		return false;
	return !a->cfg_read(c->pci, PCI_CFG_COMMAND, 2, &v) && !(v & PCI_COMMAND_MASTER);
}

void nvme_recover_die(struct nvme_ctrl *c, bool proved, const char *why)
{
	struct nvme_recover *rec = &c->recover;

	if (rec->state == RECOVER_DEAD)
		return;
	if (rec->state == RECOVER_LIVE)
		store_release(&c->gen, c->gen + 1);
	if (!proved && !nvme_master_off(c))
		base_log(c->r, RISER_LOG_ERROR,
			 "%s: bus mastering cannot be switched off; the device may still write to "
			 "memory",
			 c->pci->name);
	base_log(c->r, RISER_LOG_ERROR, "%s: given up: %s", c->pci->name, why);
	err_set(&rec->why, -ENODEV, "%s: %s", c->pci->name, why);
	rec->state = RECOVER_DEAD;
	nvme_areq_put(c, rec->req);
	rec->req = NULL;
	nvme_admin_reap(c);
	nvme_admin_end_all(c, RISER_NVME_HOST_OFFLINE);
	/* dead before stopped: an owner that sees stopped also sees that it ends here. */
	store_release(&c->dead, true);
	store_release(&c->stopped, c->gen);
	clock_bump(c->r);
}

static void start_reset(struct nvme_ctrl *c, const char *why)
{
	struct nvme_recover *rec = &c->recover;
	int rc;

	err_set(&rec->why, -ETIMEDOUT, "%s: %s", c->pci->name, why);
	c->admin.open = false;
	nvme_areq_put(c, rec->req);
	rec->req = NULL;
	/* While we were not live, gen was raised already and nobody has live queues. */
	if (rec->resets++ >= c->max_resets) {
		nvme_recover_die(c, false, why);
		return;
	}
	base_log(c->r, RISER_LOG_WARN, "%s: %s; resetting the function", c->pci->name, why);
	rc = pci_reset(c->pci);
	if (rc)
		nvme_recover_die(c, false, why);
	else
		enter(c, RECOVER_RESET, RESET_TIMEOUT);
}

static void disable(struct nvme_ctrl *c, uint32_t cc)
{
	nvme_reg32(c, RISER_NVME_REG_CSTS); /* posted writes before this one have arrived */
	pci_write32(c->pci, 0, RISER_NVME_REG_CC,
		    cc & ~(RISER_NVME_CC_EN | RISER_NVME_CC_SHN_MASK));
	enter(c, RECOVER_DISABLE, c->ready_timeout);
}

void nvme_recover_start(struct nvme_ctrl *c, const char *why)
{
	uint32_t cc, csts;

	if (c->recover.state == RECOVER_DEAD)
		return;
	if (c->recover.state != RECOVER_LIVE) {
		start_reset(c, why); /* bringing it up failed: the next, stronger step */
		return;
	}
	if (c->gen)
		base_log(c->r, RISER_LOG_WARN, "%s: %s; resetting the controller", c->pci->name,
			 why);
	/* Pairs with the owners' acquire in every poll. */
	store_release(&c->gen, c->gen + 1);
	c->admin.open = false;
	csts = nvme_reg32(c, RISER_NVME_REG_CSTS);
	cc = nvme_reg32(c, RISER_NVME_REG_CC);
	if (csts == GONE)
		nvme_recover_die(c, true, "the function is gone (registers read all-ones)");
	else if (cc & RISER_NVME_CC_EN && !(csts & (RISER_NVME_CSTS_RDY | RISER_NVME_CSTS_CFS)))
		enter(c, RECOVER_SETTLE, c->ready_timeout);
	else
		disable(c, cc);
}

static void enable(struct nvme_ctrl *c)
{
	struct nvme_admin *a = &c->admin;
	uint32_t depth = NVME_ADMIN_DEPTH - 1;
	uint32_t css = RISER_NVME_CAP_CSS(c->cap) & 1u << 6 ? RISER_NVME_CC_CSS_ALL : 0;

	if (c->nvectors)
		pci_irq_set(c->pci, c->vectors, c->nvectors);
	pci_write32(c->pci, 0, RISER_NVME_REG_AQA, depth << 16 | depth);
	pci_write64(c->pci, 0, RISER_NVME_REG_ASQ, a->sq.iova);
	pci_write64(c->pci, 0, RISER_NVME_REG_ACQ, a->cq.iova);
	/* 64-byte submission, 16-byte completion entries; round robin. */
	pci_write32(c->pci, 0, RISER_NVME_REG_CC,
		    RISER_NVME_CC_EN | css << RISER_NVME_CC_CSS_SHIFT |
			    (c->mps_shift - 12) << RISER_NVME_CC_MPS_SHIFT |
			    6u << RISER_NVME_CC_IOSQES_SHIFT | 4u << RISER_NVME_CC_IOCQES_SHIFT);
	enter(c, RECOVER_ENABLE, c->ready_timeout);
}

/* Send one command of the set-up. */
static void setup_send(struct nvme_ctrl *c)
{
	struct nvme_recover *rec = &c->recover;
	struct nvme_areq *q = nvme_areq_get_own(c);

	rec->req = q;
	switch (rec->step) {
	case 0:
		q->sqe.opcode = RISER_NVME_ADM_IDENTIFY;
		q->sqe.cdw10 = to_le32(RISER_NVME_CNS_CTRL);
		q->sqe.prp1 = to_le64(q->page_iova);
		break;
	case 1: /* as many queue pairs as it gives, zero-based */
		q->sqe.opcode = RISER_NVME_ADM_SET_FEATURES;
		q->sqe.cdw10 = to_le32(RISER_NVME_FEAT_QUEUES);
		q->sqe.cdw11 = to_le32(0x00fe00fe);
		break;
	default: /* critical warnings and, where it has it, changed namespaces */
		q->sqe.opcode = RISER_NVME_ADM_SET_FEATURES;
		q->sqe.cdw10 = to_le32(RISER_NVME_FEAT_AER);
		q->sqe.cdw11 = to_le32(0x1f | (le32(c->id->oaes) & RISER_NVME_OAES_NS_CHANGED));
		break;
	}
	nvme_areq_send(c, q);
}

/* Without MDTS a command is as large as one page of PRP entries allows. */
static uint32_t max_transfer_of(const struct nvme_ctrl *c)
{
	uint64_t page = 1ull << c->mps_shift, most = min_of(page / 8 * page, 1ull << 31);
	unsigned mpsmin = 12 + RISER_NVME_CAP_MPSMIN(c->cap), mdts = c->id->mdts;

	if (mdts && mdts + mpsmin < 40)
		most = min_of(most, 1ull << (mdts + mpsmin));
	return (uint32_t)most;
}

static void setup_done(struct nvme_ctrl *c, const struct nvme_areq *q)
{
	struct nvme_recover *rec = &c->recover;
	unsigned sqs, cqs;

	switch (rec->step) {
	case 0:
		/* Read without the lock by whoever asks: written only where it is news. */
		if (memcmp(c->id, q->page, sizeof(*c->id))) {
			memcpy(c->id, q->page, sizeof(*c->id));
			c->max_transfer = max_transfer_of(c);
		}
		c->admin.aers = min_of((unsigned)c->id->aerl + 1, (unsigned)NVME_AERS);
		break;
	case 1:
		sqs = (q->result & 0xffff) + 1;
		cqs = (q->result >> 16) + 1;
		c->granted = q->status ? 0 : min_of(min_of(sqs, cqs), 255u);
		break;
	default:
		nvme_admin_arm_aers(c);
		rec->resets = 0;
		rec->state = RECOVER_LIVE;
		nvme_admin_live(c);
		/* Pairs with the owners' acquire: they create their queues now. */
		store_release(&c->live, c->gen);
		clock_bump(c->r);
		break;
	}
	rec->step++;
}

static int step_setup(struct nvme_ctrl *c)
{
	struct nvme_recover *rec = &c->recover;
	struct nvme_areq *q = rec->req;

	if (!q) {
		setup_send(c);
		return 1;
	}
	if (q->state != AREQ_DONE)
		return 0; /* its deadline is nvme_admin_scan()'s */
	rec->req = NULL;
	if (q->status && rec->step == 0) {
		start_reset(c, "the controller refused Identify Controller");
		nvme_areq_put(c, q);
		return 1;
	}
	setup_done(c, q);
	nvme_areq_put(c, q);
	return 1;
}

/* What every waiting state does when its deadline passed or the status is fatal. */
static int check(struct nvme_ctrl *c, uint32_t csts, uint64_t now, const char *late)
{
	if (csts == GONE) {
		nvme_recover_die(c, true, "the function is gone (registers read all-ones)");
		return 1;
	}
	if (now < c->recover.deadline) {
		nvme_tell_wait(c, &c->recover.told, c->recover.since, c->recover.deadline, now,
			       c->recover.state == RECOVER_DISABLE ? "stop" : "get ready");
		return 0;
	}
	c->timeouts++;
	start_reset(c, late);
	return 1;
}

static int step_enable(struct nvme_ctrl *c, uint32_t csts, uint64_t now)
{
	if (csts != GONE && csts & RISER_NVME_CSTS_CFS) {
		start_reset(c, "fatal controller status (CSTS.CFS) while it was being enabled");
		return 1;
	}
	if (csts == GONE || !(csts & RISER_NVME_CSTS_RDY))
		return check(c, csts, now, "not ready (CSTS.RDY) within CAP.TO of being enabled");
	c->recover.step = 0;
	enter(c, RECOVER_SETUP, TIME_NEVER / 2);
	c->admin.open = true;
	return 1;
}

static int step_reset(struct nvme_ctrl *c, uint64_t now)
{
	int rc = pci_reset_poll(c->pci);

	if (rc == 0 && now < c->recover.deadline)
		return 0;
	if (rc <= 0) {
		nvme_recover_die(c, false,
				 rc ? "the function reset failed"
				    : "the function reset never ended");
		return 1;
	}
	proved_stopped(c);
	enable(c);
	return 1;
}

int nvme_recover_step(struct nvme_ctrl *c, uint64_t now)
{
	uint32_t csts;

	switch (c->recover.state) {
	case RECOVER_LIVE:
	case RECOVER_DEAD:
		return 0;
	case RECOVER_RESET:
		return step_reset(c, now);
	case RECOVER_SETUP:
		return step_setup(c);
	default:
		break;
	}
	csts = nvme_reg32(c, RISER_NVME_REG_CSTS);
	if (c->recover.state == RECOVER_ENABLE)
		return step_enable(c, csts, now);
	if (c->recover.state == RECOVER_SETTLE) {
		if (csts == GONE || !(csts & (RISER_NVME_CSTS_RDY | RISER_NVME_CSTS_CFS)))
			return check(c, csts, now,
				     "still being enabled by its last user and never ready");
		disable(c, nvme_reg32(c, RISER_NVME_REG_CC));
		return 1;
	}
	if (csts == GONE || csts & RISER_NVME_CSTS_RDY)
		return check(c, csts, now, "still ready (CSTS.RDY) CAP.TO after being disabled");
	proved_stopped(c);
	enable(c);
	return 1;
}
