/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Identify (§5.17): every structure is built when it is asked for. */
#include "model/nvme.h"
#include <stdio.h>
#include <string.h>

#define PAGE_LEN    4096 /* of every Identify structure */

#define NS_LIST_MAX (PAGE_LEN / sizeof(riser_le32))

/* ASCII fields are padded with spaces (§1.4.2). */
static void model_pad(char *field, size_t len, const char *text)
{
	size_t n = strnlen(text, len);

	memset(field, ' ', len);
	memcpy(field, text, n);
}

/* The same serial number gives the same identifiers (FNV-1a). */
static uint64_t model_serial_hash(const struct model_nvme *m)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (const char *p = m->cfg.serial; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	return h;
}

static void model_identifier(const struct model_nvme *m, uint32_t nsid, uint8_t out[16])
{
	uint64_t h = model_serial_hash(m);

	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(h >> (56 - 8 * i));
	memset(out + 8, 0, 4);
	for (unsigned i = 0; i < 4; i++)
		out[12 + i] = (uint8_t)(nsid >> (24 - 8 * i));
}

static void model_id_ctrl(struct model_nvme *m, struct riser_nvme_id_ctrl *id)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < m->cfg.namespaces; i++)
		total += m->ns[i].bytes;
	id->vid = id->ssvid = to_le16(MODEL_PCI_VENDOR);
	model_pad(id->sn, sizeof(id->sn), m->cfg.serial);
	model_pad(id->mn, sizeof(id->mn), m->cfg.model);
	model_pad(id->fr, sizeof(id->fr), RISER_VERSION);
	id->mdts = (uint8_t)m->cfg.mdts;
	id->cntlid = to_le16(MODEL_CNTLID);
	id->ver = to_le32(MODEL_VERSION);
	id->rtd3r = id->rtd3e = to_le32(1000000);
	id->oaes = to_le32(RISER_NVME_OAES_NS_CHANGED);
	id->cntrltype = 1; /* I/O controller */
	id->oacs = to_le16(RISER_NVME_OACS_FORMAT);
	id->acl = MODEL_ACL - 1;
	id->aerl = MODEL_AERL - 1;
	id->frmw = 1 << 1 | 1;     /* one slot, read-only */
	id->lpa = 1 << 1 | 1 << 2; /* effects log; offsets and long lengths */
	id->elpe = MODEL_ERRORS - 1;
	id->wctemp = to_le16(MODEL_KELVIN + 43);
	id->cctemp = to_le16(MODEL_KELVIN + 58);
	id->tnvmcap[0] = to_le64(total);
	id->sqes = 6 << 4 | 6;
	id->cqes = 4 << 4 | 4;
	id->nn = to_le32(m->cfg.namespaces);
	id->oncs = to_le16(RISER_NVME_ONCS_COMPARE | RISER_NVME_ONCS_DSM |
			   RISER_NVME_ONCS_WRITE_ZEROES | RISER_NVME_ONCS_SAVE |
			   RISER_NVME_ONCS_TIMESTAMP | RISER_NVME_ONCS_VERIFY);
	id->vwc = 3 << 1 | model_has_cache(m); /* flush takes NSID 0xffffffff too */
	snprintf(id->subnqn, sizeof(id->subnqn),
		 "nqn.2014-08.org.nvmexpress:uuid:%08llx-0000-4000-8000-%012llx",
		 (unsigned long long)(model_serial_hash(m) >> 32),
		 (unsigned long long)(model_serial_hash(m) & 0xffffffff));
	id->psd[0].mp = to_le16(500); /* 5 W */
}

static void model_id_ctrl_nvm(const struct model_nvme *m, struct riser_nvme_id_ctrl_nvm *id)
{
	id->wzsl = (uint8_t)m->cfg.wzsl;
	id->dmrl = (uint8_t)m->cfg.dmrl;
	id->dmrsl = to_le32(m->cfg.dmrsl);
	id->dmsl = to_le64(m->cfg.dmsl);
}

static void model_id_ns(struct model_nvme *m, const struct model_ns *ns,
			struct riser_nvme_id_ns *id)
{
	id->nsze = id->ncap = id->nuse = to_le64(ns->blocks);
	id->nlbaf = MODEL_LBAFS - 1;
	id->flbas = (uint8_t)ns->lbaf;
	id->dlfeat = 1 | 1 << 3; /* deallocated blocks read as zeroes; write zeroes may do it */
	id->nvmcap[0] = to_le64(ns->bytes);
	model_identifier(m, ns->nsid, id->nguid);
	memcpy(id->eui64, id->nguid, 4);
	memcpy(id->eui64 + 4, id->nguid + 12, 4);
	id->lbaf[0].lbads = ns->min_lbaf > 0 ? 0 : 9;
	id->lbaf[1].lbads = 12;
	id->lbaf[0].rp = 1;
	id->nsattr = ns->read_only; /* write protected */
}

/* Numbers above @after: those of all namespaces, for each is attached. */
static void model_id_list(const struct model_nvme *m, uint32_t after, riser_le32 *list)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->cfg.namespaces; i++)
		if (m->ns[i].nsid > after && n < NS_LIST_MAX)
			list[n++] = to_le32(m->ns[i].nsid);
}

static uint8_t *model_id_desc(uint8_t *at, uint8_t type, const void *id, uint8_t len)
{
	struct riser_nvme_ns_desc desc = { .nidt = type, .nidl = len };

	memcpy(at, &desc, sizeof(desc));
	memcpy(at + sizeof(desc), id, len);
	return at + sizeof(desc) + len;
}

static void model_id_descs(struct model_nvme *m, const struct model_ns *ns, uint8_t *at)
{
	uint8_t nguid[16], eui64[8], csi = 0;

	model_identifier(m, ns->nsid, nguid);
	memcpy(eui64, nguid, 4);
	memcpy(eui64 + 4, nguid + 12, 4);
	at = model_id_desc(at, 1, eui64, sizeof(eui64));
	at = model_id_desc(at, 2, nguid, sizeof(nguid));
	model_id_desc(at, 4, &csi, 1);
}

/* Structures of one namespace. */
static uint32_t model_identify_ns(struct model_nvme *m, unsigned cns, uint32_t nsid, void *page)
{
	const struct model_ns *ns = model_ns_find(m, nsid);

	/* What all namespaces have in common (§5.17.2.1). */
	if (cns == RISER_NVME_CNS_NS && nsid == RISER_NVME_NSID_ALL) {
		struct riser_nvme_id_ns *id = page;

		id->nlbaf = MODEL_LBAFS - 1;
		id->lbaf[0].lbads = 9;
		id->lbaf[1].lbads = 12;
		id->lbaf[0].rp = 1;
		return 0;
	}
	if (!ns)
		return MODEL_DNR(RISER_NVME_ST_INVALID_NS);
	if (cns == RISER_NVME_CNS_NS_DESC)
		model_id_descs(m, ns, page);
	else if (cns != RISER_NVME_CNS_CSI_NS) /* the NVM command set adds nothing there */
		model_id_ns(m, ns, page);
	return 0;
}

static uint32_t model_identify_fill(struct model_nvme *m, struct model_cmd *cmd, void *page)
{
	unsigned cns = le32(cmd->sqe.cdw10) & 0xff, csi = le32(cmd->sqe.cdw11) >> 24;
	unsigned cntid = le32(cmd->sqe.cdw10) >> 16;
	uint32_t nsid = le32(cmd->sqe.nsid);
	riser_le16 *words = page;

	switch (cns) {
	case RISER_NVME_CNS_CSI_NS:
	case RISER_NVME_CNS_CSI_CTRL:
	case RISER_NVME_CNS_CSI_ACTIVE_NS:
		if (csi != 0)
			return MODEL_DNR(RISER_NVME_ST_INVALID_FIELD);
	}
	switch (cns) {
	case RISER_NVME_CNS_NS:
	case RISER_NVME_CNS_NS_DESC:
	case RISER_NVME_CNS_CSI_NS:
	case RISER_NVME_CNS_ALLOCATED_NS_DATA:
		return model_identify_ns(m, cns, nsid, page);
	case RISER_NVME_CNS_CTRL:
		model_id_ctrl(m, page);
		return 0;
	case RISER_NVME_CNS_CSI_CTRL:
		model_id_ctrl_nvm(m, page);
		return 0;
	case RISER_NVME_CNS_ACTIVE_NS:
	case RISER_NVME_CNS_CSI_ACTIVE_NS:
	case RISER_NVME_CNS_ALLOCATED_NS:
		if (nsid >= 0xfffffffe)
			return MODEL_DNR(RISER_NVME_ST_INVALID_NS);
		model_id_list(m, nsid, page);
		return 0;
	case RISER_NVME_CNS_NS_CTRLS:
		if (!model_ns_find(m, nsid))
			return MODEL_DNR(RISER_NVME_ST_INVALID_NS);
		__attribute__((fallthrough));
	case RISER_NVME_CNS_CTRLS:
		if (cntid <= MODEL_CNTLID) {
			words[0] = to_le16(1);
			words[1] = to_le16(MODEL_CNTLID);
		}
		return 0;
	case RISER_NVME_CNS_CSI_SETS:
		if (cntid != MODEL_CNTLID && cntid != 0xffff)
			return MODEL_DNR(RISER_NVME_ST_INVALID_FIELD);
		words[0] = to_le16(1); /* combination 0: the NVM command set */
		return 0;
	default:
		return MODEL_DNR(RISER_NVME_ST_INVALID_FIELD);
	}
}

uint32_t model_identify(struct model_nvme *m, struct model_cmd *cmd)
{
	_Alignas(8) uint8_t page[PAGE_LEN] = { 0 };
	uint32_t status = model_identify_fill(m, cmd, page);

	return status ? status : model_data_to_host(m, cmd, page, sizeof(page));
}
