/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Asynchronous events (§5.2) and the error log. An event that was told masks further ones of its
 * log page until the host has read that page.
 */
#include "model/nvme.h"
#include <string.h>

static void model_event_deliver(struct model_nvme *m)
{
	for (unsigned i = 0; i < m->nevents && m->naer;) {
		struct model_event e = m->events[i];
		struct model_cmd *cmd;

		if (m->masked & 1ull << e.lid % 64) {
			i++;
			continue;
		}
		m->nevents--;
		memmove(&m->events[i], &m->events[i + 1], (m->nevents - i) * sizeof(e));
		m->masked |= 1ull << e.lid % 64;
		cmd = m->aer[--m->naer];
		cmd->dw0 = e.type | (uint32_t)e.info << 8 | (uint32_t)e.lid << 16;
		model_cmd_finish(m, cmd, 0);
	}
}

void model_event_raise(struct model_nvme *m, unsigned type, unsigned info, unsigned lid)
{
	struct model_event e = { (uint8_t)type, (uint8_t)info, (uint8_t)lid };

	/* The same event does not wait twice. */
	for (unsigned i = 0; i < m->nevents; i++)
		if (!memcmp(&m->events[i], &e, sizeof(e)))
			return;
	if (m->nevents == MODEL_EVENTS)
		return;
	m->events[m->nevents++] = e;
	model_event_deliver(m);
}

uint32_t model_event_request(struct model_nvme *m, struct model_cmd *cmd)
{
	if (m->naer == MODEL_AERL)
		return MODEL_DNR(RISER_NVME_ST_AER_LIMIT);
	model_cmd_hold(cmd, MODEL_CMD_PARKED);
	m->aer[m->naer++] = cmd;
	model_event_deliver(m);
	return MODEL_PENDING;
}

void model_event_unmask(struct model_nvme *m, unsigned lid)
{
	m->masked &= ~(1ull << lid % 64);
	model_event_deliver(m);
}

bool model_event_withdraw(struct model_nvme *m, struct model_cmd *cmd)
{
	for (unsigned i = 0; i < m->naer; i++) {
		if (m->aer[i] != cmd)
			continue;
		m->aer[i] = m->aer[--m->naer];
		return true;
	}
	return false;
}

void model_error_log(struct model_nvme *m, const struct model_cmd *cmd, uint32_t status)
{
	struct riser_nvme_error_entry *e = &m->errors[m->nerrors++ % MODEL_ERRORS];
	bool io = cmd->sq != m->sqs;

	if (RISER_NVME_SCT(status) == 2)
		m->media_errors++;
	memset(e, 0, sizeof(*e));
	e->error_count = to_le64(m->nerrors);
	e->sqid = to_le16((uint16_t)model_sq_id(m, cmd->sq));
	e->cid = cmd->sqe.cid;
	e->status = to_le16((uint16_t)(status << 1));
	e->param_error_location = to_le16(0xffff);
	e->lba = to_le64(io ? le32(cmd->sqe.cdw10) | (uint64_t)le32(cmd->sqe.cdw11) << 32 : 0);
	e->nsid = cmd->sqe.nsid;
}
