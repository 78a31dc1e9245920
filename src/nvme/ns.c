/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "base/util.h"
#include "nvme/ctrl.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BLOCKS 65536ull /* of a command with a 16 bit count */
#define MOST_RANGES 256u     /* of a page of them */
#define VERSION_1_2 0x10200u

static int not_identified(struct riser_nvme *h, const char *what, int rc, struct riser_err *err)
{
	const char *why = rc < 0 ? strerror(-rc) : riser_nvme_status_text((uint32_t)rc);

	return err_set(err, rc < 0 ? rc : -EIO, "%s: Identify %s: %s", h->ctrl->pci->name, what,
		       why);
}

/* The active namespaces (§5.17.2.2) as words, for sentences. Return: how many; *@only the first. */
static int list_active(struct riser_nvme *h, struct riser_exec *x, char *text, size_t len,
		       uint32_t *only)
{
	riser_le32 list[1024];
	size_t at = 0;
	int rc, n;

	*only = 0;
	text[0] = 0;
	rc = riser_nvme_identify(h, x, RISER_NVME_CNS_ACTIVE_NS, 0, 0, 0, list);
	if (rc)
		return rc < 0 ? rc : -EIO;
	*only = le32(list[0]);
	for (n = 0; n < 1024 && le32(list[n]); n++)
		if (at < len)
			at += (size_t)snprintf(text + at, len - at, "%s%u", n ? ", " : "",
					       le32(list[n]));
	return n;
}

static int choose(struct riser_nvme *h, struct riser_exec *x, uint32_t *nsid, struct riser_err *err)
{
	const char *name = h->ctrl->pci->name;
	char text[128];
	uint32_t only;
	int n;

	n = list_active(h, x, text, sizeof(text), &only);
	if (n < 0)
		return err_set(err, n, "%s: the list of namespaces cannot be read", name);
	if (*nsid)
		return err_set(err, -ENODEV, "%s: no namespace %u; there %s %s", name, *nsid,
			       n == 1 ? "is" : "are", n ? text : "none");
	if (n != 1)
		return err_set(err, -ENODEV, "%s: %d namespaces (%s): choose one with nsid=", name,
			       n, n ? text : "none");
	*nsid = only;
	return 0;
}

/* What each opcode may transfer, and whether this opener may send it. */
static void set_limits(struct riser_nvme_ns *ns)
{
	struct nvme_ctrl *c = ns->h->ctrl;
	uint64_t transfer = min_of((uint64_t)c->max_transfer >> ns->shift, MOST_BLOCKS);

	for (unsigned op = 0; op < NVME_NS_OPCODES; op++) {
		uint64_t most = MOST_BLOCKS;

		if (op == RISER_NVME_IO_WRITE_ZEROES)
			most = ns->max_zeroes;
		else if (RISER_NVME_XFER(op) != RISER_NVME_XFER_NONE)
			most = transfer;
		ns->dw01[op] = op | (uint64_t)ns->nsid << 32;
		ns->max_blocks[op] = nvme_io_allowed(ns->h, (uint8_t)op)
					     ? (uint32_t)min_of(most, ns->blocks)
					     : 0;
	}
}

static int understand(struct riser_nvme_ns *ns, struct riser_err *err)
{
	const char *name = ns->h->ctrl->pci->name;
	const struct riser_nvme_lbaf *f = &ns->id.lbaf[RISER_NVME_FLBAS_INDEX(ns->id.flbas)];
	unsigned ms = le16(f->ms);

	ns->shift = f->lbads;
	ns->nsze = ns->blocks = le64(ns->id.nsze);
	ns->first = 0;
	if (ns->shift < 9 || ns->shift > 16 || !ns->nsze || ns->nsze > UINT64_MAX >> ns->shift)
		return err_set(err, -EIO,
			       "%s: namespace %u has %llu blocks of 2^%u bytes, which is not "
			       "possible",
			       name, ns->nsid, (unsigned long long)ns->nsze, ns->shift);
	/* Beside the blocks it would want a pointer of its own in every command; ours is 0. */
	if (ms)
		return err_set(err, -ENOTSUP,
			       "%s: namespace %u carries %u bytes of metadata %s each block: "
			       "format it without",
			       name, ns->nsid, ms, ns->id.flbas & 0x10 ? "inside" : "beside");
	ns->block_size = 1u << ns->shift;
	return 0;
}

/* Where the controller names a limit it is no 0. */
static uint64_t limit(uint64_t named, uint64_t most)
{
	return named ? min_of(named, most) : most;
}

/*
 * What bounds commands that transfer no blocks. Controllers from before NVMe 2.0 may know that
 * page or refuse it; before 1.2 they may take its number for another one's.
 */
static int ask_limits(struct riser_nvme_ns *ns, struct riser_exec *x, struct riser_err *err)
{
	struct nvme_ctrl *c = ns->h->ctrl;
	unsigned mpsmin = 12 + RISER_NVME_CAP_MPSMIN(c->cap);
	struct riser_nvme_id_ctrl_nvm id = { 0 };
	uint64_t zeroes = 0;
	int rc = 0;

	if (c->vs >= VERSION_1_2)
		rc = riser_nvme_identify(ns->h, x, RISER_NVME_CNS_CSI_CTRL, 0, 0, 0, &id);
	if (rc < 0 || rc & RISER_NVME_HOST)
		return not_identified(ns->h, "Controller", rc, err);
	if (id.wzsl && id.wzsl + mpsmin < 64)
		zeroes = max_of(1ull << (id.wzsl + mpsmin) >> ns->shift, 1ull);
	ns->max_zeroes = (uint32_t)limit(zeroes, MOST_BLOCKS);
	ns->max_ranges = (uint32_t)limit(id.dmrl, MOST_RANGES);
	ns->max_deallocate = limit(le64(id.dmsl), UINT64_MAX);
	ns->max_range = (uint32_t)limit(le32(id.dmrsl), min_of(ns->max_deallocate, UINT32_MAX));
	set_limits(ns);
	return 0;
}

int riser_nvme_ns_open(struct riser_nvme *h, struct riser_exec *x, uint32_t nsid,
		       struct riser_nvme_ns **out, struct riser_err *err)
{
	struct riser_nvme_ns *ns;
	int rc = nsid ? 0 : choose(h, x, &nsid, err);

	if (rc)
		return rc;
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return err_set(err, -ENOMEM, "no memory for a namespace");
	ns->h = h;
	ns->nsid = nsid;
	rc = riser_nvme_identify(h, x, RISER_NVME_CNS_NS, nsid, 0, 0, &ns->id);
	if (rc < 0 || rc & RISER_NVME_HOST)
		rc = not_identified(h, "Namespace", rc, err);
	else if (rc || !le64(ns->id.nsze)) /* an inactive namespace is all zeroes (§5.17.2.1) */
		rc = choose(h, x, &nsid, err);
	else
		rc = understand(ns, err) ?: ask_limits(ns, x, err);
	if (rc) {
		free(ns);
		return rc;
	}
	*out = ns;
	return 0;
}

int nvme_ns_look(const struct riser_nvme_ns *ns, struct riser_exec *x, struct riser_nvme_id_ns *now,
		 struct riser_err *err)
{
	riser_le32 changed[1024];
	const struct riser_nvme_lbaf *f;
	int rc;

	/* First: what changes behind it is told anew. Where there is no such log, nothing is told.
	 */
	riser_nvme_get_log(ns->h, x, RISER_NVME_LOG_CHANGED_NS, RISER_NVME_NSID_ALL, 0, changed,
			   sizeof(changed));
	rc = riser_nvme_identify(ns->h, x, RISER_NVME_CNS_NS, ns->nsid, 0, 0, now);
	if (rc < 0 || rc & RISER_NVME_HOST)
		return not_identified(ns->h, "Namespace", rc, err);
	f = &now->lbaf[RISER_NVME_FLBAS_INDEX(now->flbas)];
	if (!rc && le64(now->nsze) && le64(now->nsze) <= UINT64_MAX >> ns->shift &&
	    f->lbads == ns->shift && !le16(f->ms))
		return 0;
	return err_set(err, -ENODEV, "%s: namespace %u was deleted or formatted anew",
		       ns->h->ctrl->pci->name, ns->nsid);
}

void nvme_ns_resize(struct riser_nvme_ns *ns, const struct riser_nvme_id_ns *now)
{
	ns->id = *now;
	ns->nsze = ns->blocks = le64(now->nsze);
	ns->first = 0;
	set_limits(ns);
}

void riser_nvme_ns_close(struct riser_nvme_ns *ns)
{
	free(ns);
}

void riser_nvme_ns_get_info(struct riser_nvme_ns *ns, struct riser_nvme_ns_info *info)
{
	*info = (struct riser_nvme_ns_info){
		.nsid = ns->nsid,
		.blocks = ns->nsze,
		.block_size = ns->block_size,
		.max_blocks = ns->max_blocks[RISER_NVME_IO_READ],
		.max_zeroes = ns->max_zeroes,
		.max_ranges = ns->max_ranges,
		.max_range = ns->max_range,
		.max_deallocate = ns->max_deallocate,
		.id = &ns->id,
	};
}

int riser_nvme_ns_set_window(struct riser_nvme_ns *ns, uint64_t lba, uint64_t blocks)
{
	if (!blocks || lba > ns->nsze || blocks > ns->nsze - lba)
		return -EINVAL;
	ns->first = lba;
	ns->blocks = blocks;
	set_limits(ns);
	return 0;
}
