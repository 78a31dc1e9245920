/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The NVM command set (NVM §3). */
#include "model/nvme.h"
#include <stdlib.h>
#include <string.h>

#define INVALID_FIELD MODEL_DNR(RISER_NVME_ST_INVALID_FIELD)

#define DTYPE_MASK    (0xfu << 20) /* directives: there are none */
#define DSM_RANGES    256u

static const unsigned model_shifts[MODEL_LBAFS] = { 9, 12 };

struct model_ns *model_ns_find(struct model_nvme *m, uint32_t nsid)
{
	return nsid - 1 < m->cfg.namespaces ? &m->ns[nsid - 1] : NULL;
}

void model_ns_set_format(struct model_ns *ns, unsigned lbaf)
{
	ns->lbaf = lbaf;
	ns->shift = model_shifts[lbaf];
	ns->blocks = ns->bytes >> ns->shift;
}

void model_ns_changed(struct model_ns *ns)
{
	struct model_nvme *m = ns->m;

	ns->changed = true;
	if (m->features[0][RISER_NVME_FEAT_AER] & RISER_NVME_OAES_NS_CHANGED)
		model_event_raise(m, RISER_NVME_AER_NOTICE, RISER_NVME_AER_NOTICE_NS_CHANGED,
				  RISER_NVME_LOG_CHANGED_NS);
}

bool model_has_cache(const struct model_nvme *m)
{
	for (unsigned i = 0; i < m->cfg.namespaces; i++)
		if (m->ns[i].write_cache)
			return true;
	return false;
}

static uint64_t model_slba(const struct model_cmd *cmd)
{
	return le32(cmd->sqe.cdw10) | (uint64_t)le32(cmd->sqe.cdw11) << 32;
}

static uint64_t model_nlb(const struct model_cmd *cmd)
{
	return (le32(cmd->sqe.cdw12) & 0xffff) + 1;
}

/* Start and length of the command's blocks in bytes, if they lie in the namespace. */
static uint32_t model_range(const struct model_cmd *cmd, uint64_t *off, uint64_t *len)
{
	const struct model_ns *ns = cmd->ns;
	uint64_t slba = model_slba(cmd), nlb = model_nlb(cmd);

	if (unlikely(slba >= ns->blocks || nlb > ns->blocks - slba))
		return MODEL_DNR(RISER_NVME_ST_LBA_RANGE);
	*off = slba << ns->shift;
	*len = nlb << ns->shift;
	return 0;
}

/* The same with data. */
static uint32_t model_range_data(struct model_nvme *m, struct model_cmd *cmd, uint64_t *off,
				 uint64_t *len)
{
	uint32_t status = model_range(cmd, off, len);

	if (unlikely(status))
		return status;
	if (unlikely(*len > MODEL_PAGE << m->cfg.mdts))
		return INVALID_FIELD;
	return model_prp_map(m, cmd, *len);
}

/* With the volatile cache switched off every write is as one with FUA. */
static uint32_t model_fua(const struct model_nvme *m, const struct model_cmd *cmd)
{
	return le32(cmd->sqe.cdw12) & RISER_NVME_RW_FUA ||
			       !(m->features[0][RISER_NVME_FEAT_VOLATILE_CACHE] & 1)
		       ? MODEL_BACKING_FUA
		       : 0;
}

static uint32_t model_read(struct model_nvme *m, struct model_cmd *cmd)
{
	uint64_t off, len;
	uint32_t status = model_range_data(m, cmd, &off, &len);

	if (unlikely(status))
		return status;
	m->reads++;
	m->read_units += len >> 9;
	return model_backing_do(cmd->ns, cmd, MODEL_BACKING_READ, off, len, 0);
}

static uint32_t model_write(struct model_nvme *m, struct model_cmd *cmd)
{
	uint64_t off, len;
	uint32_t status;

	if (le32(cmd->sqe.cdw12) & DTYPE_MASK)
		return INVALID_FIELD;
	status = model_range_data(m, cmd, &off, &len);
	if (unlikely(status))
		return status;
	m->writes++;
	m->written_units += len >> 9;
	return model_backing_do(cmd->ns, cmd, MODEL_BACKING_WRITE, off, len, model_fua(m, cmd));
}

static uint32_t model_compare(struct model_nvme *m, struct model_cmd *cmd)
{
	uint64_t off, len;
	uint32_t status = model_range_data(m, cmd, &off, &len);

	if (status)
		return status;
	m->reads++;
	m->read_units += len >> 9;
	return model_backing_do(cmd->ns, cmd, MODEL_BACKING_COMPARE, off, len, 0);
}

/* No data moves; that the backing can be read is what is verified. */
static uint32_t model_verify(struct model_nvme *m, struct model_cmd *cmd)
{
	uint64_t off, len;
	uint32_t status = model_range(cmd, &off, &len);

	return status ? status : model_backing_do(cmd->ns, cmd, MODEL_BACKING_VERIFY, off, len, 0);
}

static uint32_t model_write_zeroes(struct model_nvme *m, struct model_cmd *cmd)
{
	bool deallocate = le32(cmd->sqe.cdw12) & RISER_NVME_RW_DEAC;
	uint64_t off, len;
	uint32_t status = model_range(cmd, &off, &len);

	if (status)
		return status;
	if (m->cfg.wzsl && len > MODEL_PAGE << m->cfg.wzsl)
		return INVALID_FIELD;
	m->writes++;
	m->written_units += len >> 9;
	return model_backing_do(cmd->ns, cmd, MODEL_BACKING_ZERO, off, len,
				model_fua(m, cmd) | (deallocate ? 0 : MODEL_BACKING_NOUNMAP));
}

/* The ranges in turn: cmd->pos is the next one. Deallocated blocks read as zeroes (DLFEAT). */
static uint32_t model_dsm_next(struct model_nvme *m, struct model_cmd *cmd, uint32_t status)
{
	const struct riser_nvme_dsm_range *ranges = cmd->buf;

	while (!status && cmd->pos < cmd->end) {
		const struct riser_nvme_dsm_range *r = &ranges[cmd->pos++];
		uint64_t nlb = le32(r->nlb);

		if (nlb)
			status = model_backing_do(cmd->ns, cmd, MODEL_BACKING_ZERO,
						  le64(r->slba) << cmd->ns->shift,
						  nlb << cmd->ns->shift, 0);
	}
	return status;
}

/* Are @n ranges more than Identify says? */
static bool model_dsm_is_large(const struct model_nvme *m, const struct riser_nvme_dsm_range *r,
			       unsigned n)
{
	const struct model_nvme_config *cfg = &m->cfg;
	bool large = cfg->dmrl && n > cfg->dmrl;
	uint64_t all = 0;

	for (unsigned i = 0; i < n; i++) {
		all += le32(r[i].nlb);
		large |= cfg->dmrsl && le32(r[i].nlb) > cfg->dmrsl;
	}
	return large || (cfg->dmsl && all > cfg->dmsl);
}

static uint32_t model_dsm(struct model_nvme *m, struct model_cmd *cmd)
{
	unsigned n = (le32(cmd->sqe.cdw10) & 0xff) + 1;
	const struct riser_nvme_dsm_range *r;
	uint32_t status;

	cmd->buf = calloc(DSM_RANGES, sizeof(*r));
	if (!cmd->buf)
		return RISER_NVME_ST_INTERNAL;
	r = cmd->buf;
	status = model_data_from_host(m, cmd, cmd->buf, n * sizeof(*r));
	if (status)
		return status;
	for (unsigned i = 0; i < n; i++)
		if (le64(r[i].slba) > cmd->ns->blocks ||
		    le32(r[i].nlb) > cmd->ns->blocks - le64(r[i].slba))
			return MODEL_DNR(RISER_NVME_ST_LBA_RANGE);
	if (model_dsm_is_large(m, r, n))
		return MODEL_DNR(RISER_NVME_ST_SIZE_LIMIT);
	if (!(le32(cmd->sqe.cdw11) & RISER_NVME_DSM_AD))
		return 0; /* hints that change nothing here */
	cmd->pos = 0;
	cmd->end = n;
	cmd->resume = model_dsm_next;
	return model_dsm_next(m, cmd, 0);
}

/* One namespace, or all in turn: cmd->pos is the next one's index. */
static uint32_t model_flush_next(struct model_nvme *m, struct model_cmd *cmd, uint32_t status)
{
	while (!status && cmd->pos < cmd->end)
		status = model_backing_do(&m->ns[cmd->pos++], cmd, MODEL_BACKING_FLUSH, 0, 0, 0);
	return status;
}

static uint32_t model_flush(struct model_nvme *m, struct model_cmd *cmd)
{
	uint32_t nsid = le32(cmd->sqe.nsid);

	if (nsid == RISER_NVME_NSID_ALL) {
		cmd->pos = 0;
		cmd->end = m->cfg.namespaces;
	} else if (model_ns_find(m, nsid)) {
		cmd->pos = nsid - 1;
		cmd->end = nsid;
	} else {
		return MODEL_DNR(RISER_NVME_ST_INVALID_NS);
	}
	cmd->resume = model_flush_next;
	return model_flush_next(m, cmd, 0);
}

static bool model_is_writing(uint8_t opcode)
{
	return opcode == RISER_NVME_IO_WRITE || opcode == RISER_NVME_IO_WRITE_ZEROES ||
	       opcode == RISER_NVME_IO_DSM;
}

static uint32_t (*const model_io_commands[256])(struct model_nvme *m, struct model_cmd *cmd) = {
	[RISER_NVME_IO_FLUSH] = model_flush,
	[RISER_NVME_IO_WRITE] = model_write,
	[RISER_NVME_IO_READ] = model_read,
	[RISER_NVME_IO_COMPARE] = model_compare,
	[RISER_NVME_IO_WRITE_ZEROES] = model_write_zeroes,
	[RISER_NVME_IO_DSM] = model_dsm,
	[RISER_NVME_IO_VERIFY] = model_verify,
};

uint32_t model_io(struct model_nvme *m, struct model_cmd *cmd)
{
	uint8_t opcode = cmd->sqe.opcode;

	if (unlikely(!model_io_commands[opcode]))
		return MODEL_DNR(RISER_NVME_ST_INVALID_OPCODE);
	/* Neither fused commands nor SGLs: FUSES and SGLS of Identify Controller are 0. */
	if (unlikely(cmd->sqe.flags))
		return INVALID_FIELD;
	if (opcode != RISER_NVME_IO_FLUSH) {
		cmd->ns = model_ns_find(m, le32(cmd->sqe.nsid));
		if (unlikely(!cmd->ns))
			return MODEL_DNR(RISER_NVME_ST_INVALID_NS);
		if (unlikely(cmd->ns->formatting))
			return RISER_NVME_ST_FORMAT_IN_PROGRESS;
		if (unlikely(cmd->ns->read_only && model_is_writing(opcode)))
			return MODEL_DNR(RISER_NVME_ST_WRITE_PROTECTED);
	}
	return model_io_commands[opcode](m, cmd);
}
