/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Get and Set Features (§5.15, §5.27): each has a current, a default and a saved value. */
#include "model/nvme.h"
#include <string.h>

#define INVALID_FIELD MODEL_DNR(RISER_NVME_ST_INVALID_FIELD)

enum { CURRENT, DEFAULT, SAVED, CAPABILITIES };

#define CAP_SAVEABLE   (1u << 0)
#define CAP_CHANGEABLE (1u << 2)

/* The under-temperature threshold: an identifier that is reserved, for the array's sake. */
#define FEAT_UNDER_TEMP 0xfe
#define TEMP_UNDER      (1u << 20) /* dword 11: which threshold is meant */
#define TEMP_SENSOR     0xfu       /* its bits 19:16; 0 is the composite temperature */

/**
 * struct model_feature - what may be set
 * @mask: bits of dword 11 that may be set
 */
struct model_feature {
	uint8_t fid;
	bool saveable;
	uint32_t dflt, mask;
};

static const struct model_feature model_features[] = {
	{ RISER_NVME_FEAT_ARBITRATION, true, 0, 0xffffff07 },
	{ RISER_NVME_FEAT_POWER, true, 0, 0 },
	{ RISER_NVME_FEAT_TEMP_THRESHOLD, true, MODEL_KELVIN + 43, 0x3fffff },
	{ FEAT_UNDER_TEMP, true, 0, 0 },
	{ RISER_NVME_FEAT_ERROR_RECOVERY, true, 0, 0xffff },
	{ RISER_NVME_FEAT_VOLATILE_CACHE, true, 1, 1 },
	{ RISER_NVME_FEAT_QUEUES, false, 0, 0xffffffff },
	{ RISER_NVME_FEAT_IRQ_COALESCING, true, 0, 0xffff },
	{ RISER_NVME_FEAT_IRQ_VECTOR, true, 0, 0x1ffff },
	{ RISER_NVME_FEAT_WRITE_ATOMICITY, true, 0, 1 },
	{ RISER_NVME_FEAT_AER, true, 0, 0xff | RISER_NVME_OAES_NS_CHANGED },
	{ RISER_NVME_FEAT_TIMESTAMP, false, 0, 0 },
};

static const struct model_feature *model_feature_find(const struct model_nvme *m, unsigned fid)
{
	if (fid == FEAT_UNDER_TEMP)
		return NULL;
	if (fid == RISER_NVME_FEAT_VOLATILE_CACHE && !model_has_cache(m))
		return NULL;
	for (size_t i = 0; i < array_len(model_features); i++)
		if (model_features[i].fid == fid)
			return &model_features[i];
	return NULL;
}

void model_features_init(struct model_nvme *m)
{
	for (size_t i = 0; i < array_len(model_features); i++) {
		const struct model_feature *f = &model_features[i];

		for (unsigned sel = CURRENT; sel <= SAVED; sel++)
			m->features[sel][f->fid] = f->dflt;
	}
}

void model_features_reset(struct model_nvme *m)
{
	memcpy(m->features[CURRENT], m->features[SAVED], sizeof(m->features[SAVED]));
	memset(m->irq_uncoalesced, 0, sizeof(m->irq_uncoalesced));
}

/* Milliseconds of the host's epoch, going on since they were set (§5.27.1.15). */
static uint64_t model_timestamp(struct model_nvme *m)
{
	uint64_t since = m->timestamp_set ? m->timestamp_at : m->powered_at;

	return (m->timestamp + (clock_now(m->r) - since) / NS_PER_MS) & ((1ull << 48) - 1);
}

static uint32_t model_get_timestamp(struct model_nvme *m, struct model_cmd *cmd)
{
	/* Attributes: bits 51:49 tell whether the value was set or counts from power on. */
	riser_le64 val = to_le64(model_timestamp(m) | (m->timestamp_set ? 1ull << 49 : 0));

	return model_data_to_host(m, cmd, &val, sizeof(val));
}

static uint32_t model_set_timestamp(struct model_nvme *m, struct model_cmd *cmd)
{
	riser_le64 val;
	uint32_t status = model_data_from_host(m, cmd, &val, sizeof(val));

	if (status)
		return status;
	m->timestamp = le64(val) & ((1ull << 48) - 1);
	m->timestamp_at = clock_now(m->r);
	m->timestamp_set = true;
	return 0;
}

static uint32_t model_queues_value(const struct model_nvme *m)
{
	return (m->granted - 1) << 16 | (m->granted - 1);
}

uint32_t model_get_features(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned fid = le32(cmd->sqe.cdw10) & 0xff, sel = le32(cmd->sqe.cdw10) >> 8 & 7;
	const struct model_feature *f = model_feature_find(m, fid);
	uint32_t arg = le32(cmd->sqe.cdw11);

	if (!f || sel > CAPABILITIES)
		return INVALID_FIELD;
	if (sel == CAPABILITIES) {
		cmd->dw0 = CAP_CHANGEABLE | (f->saveable ? CAP_SAVEABLE : 0);
		return 0;
	}
	cmd->dw0 = m->features[sel][fid];
	switch (fid) {
	case RISER_NVME_FEAT_TIMESTAMP:
		return model_get_timestamp(m, cmd);
	case RISER_NVME_FEAT_QUEUES:
		cmd->dw0 = model_queues_value(m);
		return 0;
	case RISER_NVME_FEAT_TEMP_THRESHOLD:
		if (arg >> 16 & TEMP_SENSOR)
			return INVALID_FIELD;
		if (arg & TEMP_UNDER)
			cmd->dw0 = m->features[sel][FEAT_UNDER_TEMP];
		return 0;
	case RISER_NVME_FEAT_IRQ_VECTOR:
		arg &= 0xffff;
		if (arg >= max_of(m->cfg.vectors, 1u))
			return INVALID_FIELD;
		cmd->dw0 = arg;
		if (sel == CURRENT && m->irq_uncoalesced[arg / 64] >> arg % 64 & 1)
			cmd->dw0 |= 1u << 16;
		return 0;
	default:
		return 0;
	}
}

bool model_is_too_hot(const struct model_nvme *m)
{
	const uint32_t *now = m->features[CURRENT];

	return MODEL_KELVIN >= (now[RISER_NVME_FEAT_TEMP_THRESHOLD] & 0xffff) ||
	       MODEL_KELVIN <= (now[FEAT_UNDER_TEMP] & 0xffff);
}

#define SMART_TEMPERATURE (1u << 1) /* critical warning, and its bit of the AER configuration */

static void model_check_temperature(struct model_nvme *m)
{
	if (model_is_too_hot(m) && m->features[CURRENT][RISER_NVME_FEAT_AER] & SMART_TEMPERATURE)
		model_event_raise(m, RISER_NVME_AER_SMART, 1, RISER_NVME_LOG_SMART);
}

static uint32_t model_set_queues(struct model_nvme *m, struct model_cmd *cmd, uint32_t val)
{
	unsigned asked = max_of(val & 0xffff, val >> 16) + 1;

	if ((val & 0xffff) == 0xffff || val >> 16 == 0xffff)
		return INVALID_FIELD;
	for (unsigned qid = 1; qid <= m->cfg.queues; qid++)
		if (m->sqs[qid].live || m->cqs[qid].live)
			return MODEL_DNR(RISER_NVME_ST_SEQUENCE);
	m->granted = min_of(asked, m->grants);
	cmd->dw0 = model_queues_value(m);
	return 0;
}

static uint32_t model_set_temperature(struct model_nvme *m, uint32_t val, bool save)
{
	unsigned sensor = val >> 16 & TEMP_SENSOR, kind = val >> 20 & 3;
	unsigned fid = kind ? FEAT_UNDER_TEMP : RISER_NVME_FEAT_TEMP_THRESHOLD;

	if ((sensor && sensor != TEMP_SENSOR) || kind > 1)
		return INVALID_FIELD;
	m->features[CURRENT][fid] = val & 0xffff;
	if (save)
		m->features[SAVED][fid] = val & 0xffff;
	return 0;
}

static uint32_t model_set_vector(struct model_nvme *m, uint32_t val)
{
	unsigned vector = val & 0xffff;

	if (vector >= max_of(m->cfg.vectors, 1u))
		return INVALID_FIELD;
	m->irq_uncoalesced[vector / 64] &= ~(1ull << vector % 64);
	m->irq_uncoalesced[vector / 64] |= (uint64_t)(val >> 16 & 1) << vector % 64;
	return 0;
}

uint32_t model_set_features(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned fid = le32(cmd->sqe.cdw10) & 0xff;
	bool save = le32(cmd->sqe.cdw10) & RISER_NVME_FEAT_SAVE;
	const struct model_feature *f = model_feature_find(m, fid);
	uint32_t val = le32(cmd->sqe.cdw11), status = 0;

	if (!f)
		return INVALID_FIELD;
	if (save && !f->saveable)
		return MODEL_DNR(RISER_NVME_ST_FEATURE_NOT_SAVEABLE);
	if (val & ~f->mask && fid != RISER_NVME_FEAT_TIMESTAMP)
		return INVALID_FIELD;
	switch (fid) {
	case RISER_NVME_FEAT_TIMESTAMP:
		return model_set_timestamp(m, cmd);
	case RISER_NVME_FEAT_QUEUES:
		return model_set_queues(m, cmd, val);
	case RISER_NVME_FEAT_TEMP_THRESHOLD:
		status = model_set_temperature(m, val, save);
		break;
	case RISER_NVME_FEAT_IRQ_VECTOR:
		return model_set_vector(m, val);
	default:
		m->features[CURRENT][fid] = val;
		if (save)
			m->features[SAVED][fid] = val;
		break;
	}
	model_check_temperature(m);
	return status;
}
