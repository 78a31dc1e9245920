/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "model/nvme.h"
#include <errno.h>

void model_fault_start(struct model_nvme *m, struct model_cmd *cmd)
{
	if (m->cfg.delay_ns && cmd->sqe.opcode != RISER_NVME_ADM_AER)
		model_cmd_delay(m, cmd, clock_now(m->r) + m->cfg.delay_ns);
	else
		model_cmd_start(m, cmd);
}

bool model_fault_stuck(struct model_nvme *m, bool enable)
{
	return false;
}

int model_fault_parse(struct model_nvme *m, const char *rules, struct riser_err *err)
{
	return err_set(err, -EINVAL, "model: faults are not understood yet");
}

void model_fault_clear(struct model_nvme *m)
{
}

bool model_fault_abort_refused(struct model_nvme *m, const struct model_cmd *cmd)
{
	return false;
}

bool model_fault_abort_lies(struct model_nvme *m, const struct model_cmd *cmd)
{
	return false;
}
