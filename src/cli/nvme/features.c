/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct feature {
	uint32_t fid;
	uint32_t data;
	const char *name;
};

static const struct feature features[] = {
	{ RISER_NVME_FEAT_ARBITRATION, 0, "Arbitration" },
	{ RISER_NVME_FEAT_POWER, 0, "Power Management" },
	{ RISER_NVME_FEAT_TEMP_THRESHOLD, 0, "Temperature Threshold" },
	{ RISER_NVME_FEAT_ERROR_RECOVERY, 0, "Error Recovery" },
	{ RISER_NVME_FEAT_VOLATILE_CACHE, 0, "Volatile Write Cache" },
	{ RISER_NVME_FEAT_QUEUES, 0, "Number of Queues" },
	{ RISER_NVME_FEAT_IRQ_COALESCING, 0, "Interrupt Coalescing" },
	{ RISER_NVME_FEAT_IRQ_VECTOR, 0, "Interrupt Vector Configuration" },
	{ RISER_NVME_FEAT_WRITE_ATOMICITY, 0, "Write Atomicity Normal" },
	{ RISER_NVME_FEAT_AER, 0, "Async Event Configuration" },
	{ RISER_NVME_FEAT_TIMESTAMP, 8, "Timestamp" },
	{ RISER_NVME_FEAT_HOST_ID, 16, "Host Identifier" },
};

static const struct feature *find(uint32_t fid)
{
	for (size_t i = 0; i < array_len(features); i++)
		if (features[i].fid == fid)
			return &features[i];
	return NULL;
}

const char *feature_name(uint32_t fid)
{
	const struct feature *f = find(fid);

	return f ? f->name : "Unknown";
}

uint32_t feature_data_len(uint32_t fid)
{
	const struct feature *f = find(fid);

	return f ? f->data : 0;
}
