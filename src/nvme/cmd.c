/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Admin commands by name, and which commands are harmless. */
#include "base/util.h"
#include "nvme/ctrl.h"
#include <errno.h>

bool nvme_admin_harmless(uint8_t opcode)
{
	switch (opcode) {
	case RISER_NVME_ADM_GET_LOG:
	case RISER_NVME_ADM_IDENTIFY:
	case RISER_NVME_ADM_GET_FEATURES:
	case RISER_NVME_ADM_KEEP_ALIVE:
	case RISER_NVME_ADM_DIRECTIVE_RECV:
	case RISER_NVME_ADM_GET_LBA_STATUS:
		return true;
	default:
		return false;
	}
}

bool nvme_io_harmless(uint8_t opcode)
{
	switch (opcode) {
	case RISER_NVME_IO_FLUSH:
	case RISER_NVME_IO_READ:
	case RISER_NVME_IO_COMPARE:
	case RISER_NVME_IO_VERIFY:
	case RISER_NVME_IO_RESV_REPORT:
		return true;
	default:
		return false;
	}
}

static bool listed(const uint8_t *bits, uint8_t opcode)
{
	return bits[opcode / 8] >> (opcode % 8) & 1;
}

static bool allowed(const struct riser_nvme *h, const uint8_t *list, uint8_t opcode, bool harmless)
{
	if (h->flags & RISER_NVME_LISTED)
		return listed(list, opcode);
	return h->flags & RISER_NVME_RDWR || harmless || listed(list, opcode);
}

bool nvme_admin_allowed(const struct riser_nvme *h, uint8_t opcode)
{
	return allowed(h, h->admin_allow, opcode, nvme_admin_harmless(opcode));
}

bool nvme_io_allowed(const struct riser_nvme *h, uint8_t opcode)
{
	return allowed(h, h->io_allow, opcode, nvme_io_harmless(opcode));
}

/* What the driver does itself and nobody may do beside it. */
static bool is_drivers(const struct riser_nvme_sqe *sqe)
{
	switch (sqe->opcode) {
	case RISER_NVME_ADM_DELETE_SQ:
	case RISER_NVME_ADM_CREATE_SQ:
	case RISER_NVME_ADM_DELETE_CQ:
	case RISER_NVME_ADM_CREATE_CQ:
	case RISER_NVME_ADM_ABORT:
	case RISER_NVME_ADM_AER:
	case RISER_NVME_ADM_DBBUF:
		return true;
	case RISER_NVME_ADM_SET_FEATURES:
		return (le32(sqe->cdw10) & 0xff) == RISER_NVME_FEAT_QUEUES;
	default:
		return false;
	}
}

int riser_nvme_admin(struct riser_nvme *h, struct riser_exec *x, struct riser_nvme_admin *cmd)
{
	if (!nvme_admin_allowed(h, cmd->sqe.opcode))
		return RISER_NVME_HOST_GUARDED;
	if (is_drivers(&cmd->sqe))
		return RISER_NVME_HOST_INVALID;
	return nvme_admin_sync(h->ctrl, x, cmd);
}

int riser_nvme_identify(struct riser_nvme *h, struct riser_exec *x, uint8_t cns, uint32_t nsid,
			uint16_t cntid, uint8_t csi, void *out)
{
	struct riser_nvme_admin cmd = { .data = out, .len = 4096 };

	cmd.sqe.opcode = RISER_NVME_ADM_IDENTIFY;
	cmd.sqe.nsid = to_le32(nsid);
	cmd.sqe.cdw10 = to_le32((uint32_t)cntid << 16 | cns);
	cmd.sqe.cdw11 = to_le32((uint32_t)csi << 24);
	return riser_nvme_admin(h, x, &cmd);
}

int riser_nvme_get_log(struct riser_nvme *h, struct riser_exec *x, uint8_t lid, uint32_t nsid,
		       uint64_t offset, void *out, uint32_t len)
{
	if (!len || len % 4 || offset % 4)
		return -EINVAL;
	for (uint32_t done = 0; done < len;) {
		uint32_t piece = min_of(len - done, 4096u), dwords = piece / 4 - 1;
		struct riser_nvme_admin cmd = { .data = (char *)out + done, .len = piece };
		uint64_t at = offset + done;
		int rc;

		cmd.sqe.opcode = RISER_NVME_ADM_GET_LOG;
		cmd.sqe.nsid = to_le32(nsid);
		/* All pieces but the last retain the event that the page would clear. */
		cmd.sqe.cdw10 = to_le32(dwords << 16 | lid | (done + piece < len ? 1u << 15 : 0));
		cmd.sqe.cdw12 = to_le32((uint32_t)at);
		cmd.sqe.cdw13 = to_le32((uint32_t)(at >> 32));
		rc = riser_nvme_admin(h, x, &cmd);
		if (rc)
			return rc;
		done += piece;
	}
	return 0;
}

int riser_nvme_get_feature(struct riser_nvme *h, struct riser_exec *x, uint8_t fid, uint8_t sel,
			   uint32_t nsid, uint32_t *value)
{
	struct riser_nvme_admin cmd = { 0 };
	int rc;

	cmd.sqe.opcode = RISER_NVME_ADM_GET_FEATURES;
	cmd.sqe.nsid = to_le32(nsid);
	cmd.sqe.cdw10 = to_le32((uint32_t)(sel & 7) << 8 | fid);
	rc = riser_nvme_admin(h, x, &cmd);
	*value = cmd.result;
	return rc;
}

int riser_nvme_set_feature(struct riser_nvme *h, struct riser_exec *x, uint8_t fid, bool save,
			   uint32_t nsid, uint32_t value)
{
	struct riser_nvme_admin cmd = { 0 };

	cmd.sqe.opcode = RISER_NVME_ADM_SET_FEATURES;
	cmd.sqe.nsid = to_le32(nsid);
	cmd.sqe.cdw10 = to_le32(fid | (save ? RISER_NVME_FEAT_SAVE : 0));
	cmd.sqe.cdw11 = to_le32(value);
	return riser_nvme_admin(h, x, &cmd);
}
