/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/nvme.h"

#define INVALID_FIELD MODEL_DNR(RISER_NVME_ST_INVALID_FIELD)

#define QUEUE_PC      (1u << 0) /* physically contiguous */
#define QUEUE_IEN     (1u << 1)

/* What Create Submission Queue and Create Completion Queue have in common. */
static uint32_t model_check_create(const struct model_nvme *m, const struct model_cmd *cmd,
				   bool live, unsigned entry_size)
{
	unsigned qid = le32(cmd->sqe.cdw10) & 0xffff, qsize = le32(cmd->sqe.cdw10) >> 16;

	if (!qid || qid > m->granted || live)
		return MODEL_DNR(RISER_NVME_ST_QID_INVALID);
	if (!qsize || qsize > m->cfg.mqes || !entry_size)
		return MODEL_DNR(RISER_NVME_ST_QSIZE_INVALID);
	if (!(le32(cmd->sqe.cdw11) & QUEUE_PC))
		return INVALID_FIELD; /* CAP.CQR */
	if (le64(cmd->sqe.prp1) & ((1ull << m->page_shift) - 1))
		return MODEL_DNR(RISER_NVME_ST_PRP_OFFSET);
	return 0;
}

static uint32_t model_create_cq(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned qid = le32(cmd->sqe.cdw10) & 0xffff, qsize = le32(cmd->sqe.cdw10) >> 16;
	unsigned vector = le32(cmd->sqe.cdw11) >> 16;
	bool live = qid <= m->cfg.queues && m->cqs[qid].live;
	uint32_t status =
		model_check_create(m, cmd, live, m->cc >> RISER_NVME_CC_IOCQES_SHIFT & 0xf);

	if (status)
		return status;
	if (vector >= max_of(m->cfg.vectors, 1u))
		return MODEL_DNR(RISER_NVME_ST_INVALID_VECTOR);
	model_queue_open_cq(m, qid, le64(cmd->sqe.prp1), qsize + 1, vector,
			    le32(cmd->sqe.cdw11) & QUEUE_IEN);
	return 0;
}

static uint32_t model_create_sq(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned qid = le32(cmd->sqe.cdw10) & 0xffff, qsize = le32(cmd->sqe.cdw10) >> 16;
	unsigned cqid = le32(cmd->sqe.cdw11) >> 16;
	bool live = qid <= m->cfg.queues && m->sqs[qid].live;
	uint32_t status =
		model_check_create(m, cmd, live, m->cc >> RISER_NVME_CC_IOSQES_SHIFT & 0xf);

	if (status)
		return status;
	if (!cqid || cqid > m->granted)
		return MODEL_DNR(RISER_NVME_ST_QID_INVALID);
	if (!m->cqs[cqid].live)
		return MODEL_DNR(RISER_NVME_ST_CQ_INVALID);
	if (model_queue_open_sq(m, qid, le64(cmd->sqe.prp1), qsize + 1, cqid))
		return RISER_NVME_ST_INTERNAL;
	return 0;
}

static uint32_t model_delete_sq(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned qid = le32(cmd->sqe.cdw10) & 0xffff;

	if (!qid || qid > m->cfg.queues || !m->sqs[qid].live || m->sqs[qid].deleter)
		return MODEL_DNR(RISER_NVME_ST_QID_INVALID);
	if (!model_queue_stop_sq(m, &m->sqs[qid])) {
		m->sqs[qid].deleter = cmd;
		model_cmd_hold(cmd, MODEL_CMD_PARKED);
		return MODEL_PENDING;
	}
	model_queue_close_sq(m, qid);
	return 0;
}

static uint32_t model_delete_cq(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned qid = le32(cmd->sqe.cdw10) & 0xffff;

	if (!qid || qid > m->cfg.queues || !m->cqs[qid].live)
		return MODEL_DNR(RISER_NVME_ST_QID_INVALID);
	if (m->cqs[qid].nsqs)
		return MODEL_DNR(RISER_NVME_ST_QUEUE_DELETE);
	model_queue_close_cq(m, qid);
	return 0;
}

/* Abort (§5.1). Dword 0 bit 0 of the completion: the command was not aborted. */
static uint32_t model_abort(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned sqid = le32(cmd->sqe.cdw10) & 0xffff, cid = le32(cmd->sqe.cdw10) >> 16;

	cmd->dw0 = 1;
	if (sqid > m->cfg.queues || !m->sqs[sqid].live || model_fault_abort_refused(m))
		return 0;
	if (model_fault_abort_lies(m)) {
		cmd->dw0 = 0;
		return 0;
	}
	list_for_each_safe (victim, &m->sqs[sqid].held, struct model_cmd, link) {
		if (le16(victim->sqe.cid) != cid)
			continue;
		if (model_event_withdraw(m, victim)) {
			model_cmd_finish(m, victim, RISER_NVME_ST_ABORT_REQUESTED);
			cmd->dw0 = 0;
		} else if (model_cmd_abort(m, victim, RISER_NVME_ST_ABORT_REQUESTED)) {
			cmd->dw0 = 0;
		}
		break;
	}
	return 0;
}

/*
 * Format NVM (§5.14): the namespaces in turn, each wiped through its backing. cmd->ns is the one
 * under way, cmd->pos whether it was wiped, cmd->end one behind the last namespace's index.
 */
static uint32_t model_format_next(struct model_nvme *m, struct model_cmd *cmd, uint32_t status)
{
	while (!status) {
		struct model_ns *ns = cmd->ns;

		if (!cmd->pos) {
			cmd->pos = 1;
			status = model_backing_do(ns, cmd, MODEL_BACKING_ZERO, 0, ns->bytes, 0);
			continue;
		}
		ns->formatting = false;
		model_ns_set_format(ns, le32(cmd->sqe.cdw10) & 0xf);
		model_ns_changed(ns);
		if ((uint64_t)(ns - m->ns) + 1 == cmd->end)
			return 0;
		cmd->ns++;
		cmd->pos = 0;
	}
	if (status != MODEL_PENDING)
		for (struct model_ns *ns = cmd->ns; ns < m->ns + cmd->end; ns++)
			ns->formatting = false;
	return status;
}

static uint32_t model_format(struct model_nvme *m, struct model_cmd *cmd)
{
	uint32_t nsid = le32(cmd->sqe.nsid), how = le32(cmd->sqe.cdw10);
	unsigned lbaf = (how & 0xf) | (how >> 12 & 3) << 4, ses = how >> 9 & 7;
	bool all = nsid == RISER_NVME_NSID_ALL;

	if (!all && !model_ns_find(m, nsid))
		return MODEL_DNR(RISER_NVME_ST_INVALID_NS);
	/* No metadata, hence no protection information either. */
	if (lbaf >= MODEL_LBAFS || how >> 4 & 0x1f)
		return MODEL_DNR(RISER_NVME_ST_INVALID_FORMAT);
	if (ses > 1)
		return INVALID_FIELD; /* FNA: no cryptographic erase */
	cmd->ns = all ? m->ns : model_ns_find(m, nsid);
	cmd->end = all ? m->cfg.namespaces : (uint64_t)(cmd->ns - m->ns) + 1;
	for (struct model_ns *ns = cmd->ns; ns < m->ns + cmd->end; ns++) {
		if (ns->formatting)
			return RISER_NVME_ST_FORMAT_IN_PROGRESS;
		if (ns->read_only)
			return MODEL_DNR(RISER_NVME_ST_WRITE_PROTECTED);
		if (lbaf < ns->min_lbaf)
			return MODEL_DNR(RISER_NVME_ST_INVALID_FORMAT);
	}
	for (struct model_ns *ns = cmd->ns; ns < m->ns + cmd->end; ns++)
		ns->formatting = true;
	cmd->pos = 0;
	cmd->resume = model_format_next;
	return model_format_next(m, cmd, 0);
}

uint32_t model_admin(struct model_nvme *m, struct model_cmd *cmd)
{
	/* Neither fused commands nor SGLs: FUSES and SGLS of Identify Controller are 0. */
	if (cmd->sqe.flags)
		return INVALID_FIELD;
	switch (cmd->sqe.opcode) {
	case RISER_NVME_ADM_DELETE_SQ:
		return model_delete_sq(m, cmd);
	case RISER_NVME_ADM_CREATE_SQ:
		return model_create_sq(m, cmd);
	case RISER_NVME_ADM_GET_LOG:
		return model_get_log(m, cmd);
	case RISER_NVME_ADM_DELETE_CQ:
		return model_delete_cq(m, cmd);
	case RISER_NVME_ADM_CREATE_CQ:
		return model_create_cq(m, cmd);
	case RISER_NVME_ADM_IDENTIFY:
		return model_identify(m, cmd);
	case RISER_NVME_ADM_ABORT:
		return model_abort(m, cmd);
	case RISER_NVME_ADM_SET_FEATURES:
		return model_set_features(m, cmd);
	case RISER_NVME_ADM_GET_FEATURES:
		return model_get_features(m, cmd);
	case RISER_NVME_ADM_AER:
		return model_event_request(m, cmd);
	case RISER_NVME_ADM_FORMAT:
		return model_format(m, cmd);
	default:
		return MODEL_DNR(RISER_NVME_ST_INVALID_OPCODE);
	}
}
