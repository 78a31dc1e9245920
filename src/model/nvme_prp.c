/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Data pointers (§4.1.1). PRP1 may start anywhere at a dword; everything behind it starts a page
 * of CC.MPS. What one page does not hold is found in PRP2: the second page, or a list of pages,
 * whose last entry points to the next list if there are more pages than entries.
 *
 * Every address is looked up in the IOMMU, whose pages may be smaller than the controller's.
 */
#include "model/nvme.h"
#include <string.h>

#define BAD_OFFSET MODEL_DNR(RISER_NVME_ST_PRP_OFFSET)

static uint32_t model_prp_refused(struct model_nvme *m, uint64_t iova)
{
	model_iommu_refuse(m->iommu, iova);
	return RISER_NVME_ST_DATA_TRANSFER;
}

static uint32_t model_prp_add(struct model_nvme *m, struct model_cmd *cmd, uint64_t iova,
			      size_t len)
{
	while (len) {
		size_t room = MODEL_PAGE - (iova & (MODEL_PAGE - 1)), n = min_of(len, room);
		char *va = model_iommu_at(m->iommu, iova);
		struct iovec *last = cmd->iov + cmd->niov;

		if (unlikely(!va))
			return model_prp_refused(m, iova);
		if (cmd->niov && (char *)last[-1].iov_base + last[-1].iov_len == va) {
			last[-1].iov_len += n;
		} else {
			last->iov_base = va;
			last->iov_len = n;
			cmd->niov++;
		}
		iova += n;
		len -= n;
	}
	return 0;
}

static uint32_t model_prp_list(struct model_nvme *m, struct model_cmd *cmd, uint64_t list,
			       size_t len)
{
	size_t page = (size_t)1 << m->page_shift;

	if (list & 7)
		return BAD_OFFSET;
	while (len) {
		const riser_le64 *at = model_iommu_at(m->iommu, list);
		uint64_t entry;
		uint32_t status;

		if (unlikely(!at))
			return model_prp_refused(m, list);
		entry = le64(*at);
		if (entry & (page - 1))
			return BAD_OFFSET;
		list += sizeof(*at);
		if (!(list & (page - 1)) && len > page) {
			list = entry; /* it was the list's last: a pointer to the next one */
			continue;
		}
		status = model_prp_add(m, cmd, entry, min_of(len, page));
		if (status)
			return status;
		len -= min_of(len, page);
	}
	return 0;
}

uint32_t model_prp_map(struct model_nvme *m, struct model_cmd *cmd, size_t len)
{
	uint64_t prp1 = le64(cmd->sqe.prp1), prp2 = le64(cmd->sqe.prp2);
	size_t page = (size_t)1 << m->page_shift;
	size_t first = min_of(len, page - (prp1 & (page - 1)));
	uint32_t status;

	cmd->niov = 0;
	if (prp1 & 3)
		return BAD_OFFSET;
	status = model_prp_add(m, cmd, prp1, first);
	len -= first;
	if (status || !len)
		return status;
	if (len > page)
		return model_prp_list(m, cmd, prp2, len);
	return prp2 & (page - 1) ? BAD_OFFSET : model_prp_add(m, cmd, prp2, len);
}

uint32_t model_data_to_host(struct model_nvme *m, struct model_cmd *cmd, const void *buf,
			    size_t len)
{
	uint32_t status = model_prp_map(m, cmd, len);
	const char *from = buf;

	for (unsigned i = 0; !status && i < cmd->niov; i++) {
		memcpy(cmd->iov[i].iov_base, from, cmd->iov[i].iov_len);
		from += cmd->iov[i].iov_len;
	}
	return status;
}

uint32_t model_data_from_host(struct model_nvme *m, struct model_cmd *cmd, void *buf, size_t len)
{
	uint32_t status = model_prp_map(m, cmd, len);
	char *to = buf;

	for (unsigned i = 0; !status && i < cmd->niov; i++) {
		memcpy(to, cmd->iov[i].iov_base, cmd->iov[i].iov_len);
		to += cmd->iov[i].iov_len;
	}
	return status;
}
