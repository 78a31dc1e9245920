/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Get Log Page (§5.16). */
#include "model/nvme.h"
#include <stdlib.h>
#include <string.h>

#define INVALID_FIELD MODEL_DNR(RISER_NVME_ST_INVALID_FIELD)

#define LOG_MAX       4096 /* bytes of the longest log here */
#define LOG_RAE       (1u << 15)

/* Commands Supported and Effects (figure 211). */
#define EFFECT_SUPPORTED (1u << 0)
#define EFFECT_DATA      (1u << 1)
#define EFFECT_NS        (1u << 2)
#define EFFECT_ALONE     (1u << 16) /* with no other command to the namespace */

static size_t model_log_supported(struct model_nvme *m, void *page)
{
	riser_le32 *lids = page;

	for (unsigned lid = RISER_NVME_LOG_SUPPORTED; lid <= RISER_NVME_LOG_EFFECTS; lid++)
		lids[lid] = to_le32(1);
	return 256 * sizeof(*lids);
}

static size_t model_log_error(struct model_nvme *m, void *page)
{
	struct riser_nvme_error_entry *out = page;
	unsigned n = (unsigned)min_of(m->nerrors, (uint64_t)MODEL_ERRORS);

	for (unsigned i = 0; i < n; i++) /* newest first */
		out[i] = m->errors[(m->nerrors - 1 - i) % MODEL_ERRORS];
	return MODEL_ERRORS * sizeof(*out);
}

static size_t model_log_smart(struct model_nvme *m, void *page)
{
	struct riser_nvme_smart *s = page;
	uint64_t on = clock_now(m->r) - m->powered_at;

	s->critical_warning = model_is_too_hot(m) ? 1 << 1 : 0;
	s->temperature[0] = MODEL_KELVIN & 0xff;
	s->temperature[1] = MODEL_KELVIN >> 8;
	s->avail_spare = 100;
	s->spare_thresh = 10;
	s->data_units_read[0] = to_le64((m->read_units + 999) / 1000);
	s->data_units_written[0] = to_le64((m->written_units + 999) / 1000);
	s->host_reads[0] = to_le64(m->reads);
	s->host_writes[0] = to_le64(m->writes);
	s->power_cycles[0] = to_le64(1);
	s->power_on_hours[0] = to_le64(on / (3600 * NS_PER_S));
	s->media_errors[0] = to_le64(m->media_errors);
	s->num_err_log_entries[0] = to_le64(m->nerrors);
	return sizeof(*s);
}

static size_t model_log_fw_slot(struct model_nvme *m, void *page)
{
	struct riser_nvme_fw_slot *slot = page;
	size_t n = min_of(strlen(RISER_VERSION), sizeof(slot->frs[0]));

	slot->afi = 1;
	memset(slot->frs[0], ' ', sizeof(slot->frs[0]));
	memcpy(slot->frs[0], RISER_VERSION, n);
	return sizeof(*slot);
}

static size_t model_log_changed_ns(struct model_nvme *m, void *page)
{
	riser_le32 *list = page;

	for (unsigned i = 0; i < m->cfg.namespaces; i++)
		if (m->ns[i].changed)
			*list++ = to_le32(m->ns[i].nsid);
	return LOG_MAX;
}

static size_t model_log_effects(struct model_nvme *m, void *page)
{
	static const uint8_t admin[] = {
		RISER_NVME_ADM_DELETE_SQ, RISER_NVME_ADM_CREATE_SQ,    RISER_NVME_ADM_GET_LOG,
		RISER_NVME_ADM_DELETE_CQ, RISER_NVME_ADM_CREATE_CQ,    RISER_NVME_ADM_IDENTIFY,
		RISER_NVME_ADM_ABORT,     RISER_NVME_ADM_SET_FEATURES, RISER_NVME_ADM_GET_FEATURES,
		RISER_NVME_ADM_AER,
	};
	static const uint8_t harmless[] = { RISER_NVME_IO_FLUSH, RISER_NVME_IO_READ,
					    RISER_NVME_IO_COMPARE, RISER_NVME_IO_VERIFY };
	static const uint8_t writing[] = { RISER_NVME_IO_WRITE, RISER_NVME_IO_WRITE_ZEROES,
					   RISER_NVME_IO_DSM };
	struct riser_nvme_effects *e = page;

	for (size_t i = 0; i < array_len(admin); i++)
		e->acs[admin[i]] = to_le32(EFFECT_SUPPORTED);
	e->acs[RISER_NVME_ADM_FORMAT] =
		to_le32(EFFECT_SUPPORTED | EFFECT_DATA | EFFECT_NS | EFFECT_ALONE);
	for (size_t i = 0; i < array_len(harmless); i++)
		e->iocs[harmless[i]] = to_le32(EFFECT_SUPPORTED);
	for (size_t i = 0; i < array_len(writing); i++)
		e->iocs[writing[i]] = to_le32(EFFECT_SUPPORTED | EFFECT_DATA);
	return sizeof(*e);
}

/* By log page identifier. Return: the length of what was filled into LOG_MAX zeroed bytes. */
static size_t (*const model_logs[])(struct model_nvme *m, void *page) = {
	[RISER_NVME_LOG_SUPPORTED] = model_log_supported,
	[RISER_NVME_LOG_ERROR] = model_log_error,
	[RISER_NVME_LOG_SMART] = model_log_smart,
	[RISER_NVME_LOG_FW_SLOT] = model_log_fw_slot,
	[RISER_NVME_LOG_CHANGED_NS] = model_log_changed_ns,
	[RISER_NVME_LOG_EFFECTS] = model_log_effects,
};

/* The host has it: forget what it was told, and let its events come again. */
static void model_log_was_read(struct model_nvme *m, unsigned lid)
{
	if (lid == RISER_NVME_LOG_CHANGED_NS)
		for (unsigned i = 0; i < m->cfg.namespaces; i++)
			m->ns[i].changed = false;
	model_event_unmask(m, lid);
}

uint32_t model_get_log(struct model_nvme *m, struct model_cmd *cmd)
{
	_Alignas(8) char page[LOG_MAX] = { 0 };
	uint32_t cdw10 = le32(cmd->sqe.cdw10), cdw11 = le32(cmd->sqe.cdw11), status;
	uint32_t nsid = le32(cmd->sqe.nsid);
	uint64_t len = ((uint64_t)(cdw10 >> 16 | (cdw11 & 0xffff) << 16) + 1) * 4;
	uint64_t off = le32(cmd->sqe.cdw12) | (uint64_t)le32(cmd->sqe.cdw13) << 32;
	unsigned lid = cdw10 & 0xff;
	size_t have;

	if (lid >= array_len(model_logs))
		return MODEL_DNR(RISER_NVME_ST_INVALID_LOG);
	if (nsid && nsid != RISER_NVME_NSID_ALL) /* LPA: no log is a namespace's own */
		return INVALID_FIELD;
	if (len > MODEL_PAGE << m->cfg.mdts || off & 3)
		return INVALID_FIELD;
	have = model_logs[lid](m, page);
	if (off > have)
		return INVALID_FIELD;
	cmd->buf = calloc(1, len);
	if (!cmd->buf)
		return RISER_NVME_ST_INTERNAL;
	memcpy(cmd->buf, page + off, min_of(len, have - off));
	status = model_data_to_host(m, cmd, cmd->buf, len);
	if (!status && !(cdw10 & LOG_RAE))
		model_log_was_read(m, lid);
	return status;
}
