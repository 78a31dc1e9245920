/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include <inttypes.h>

struct args {
	uint32_t nsid;
	struct riser_nvme_id_ns id;
};

#define F(member, how) FIELD(riser_nvme_id_ns, member, how)

static const struct field fields[] = {
	F(nsze, HEX),   F(ncap, HEX),     F(nuse, HEX),   F(nsfeat, HEX),  F(nlbaf, DEC),
	F(flbas, HEX),  F(mc, HEX),       F(dpc, HEX),    F(dps, HEX),     F(nmic, HEX),
	F(rescap, HEX), F(fpi, HEX),      F(dlfeat, DEC), F(nawun, DEC),   F(nawupf, DEC),
	F(nacwu, DEC),  F(nabsn, DEC),    F(nabo, DEC),   F(nabspf, DEC),  F(noiob, DEC),
	F(nvmcap, DEC), F(npwg, DEC),     F(npwa, DEC),   F(npdg, DEC),    F(npda, DEC),
	F(nows, DEC),   F(mssrl, DEC),    F(mcl, DEC),    F(msrc, DEC),    F(anagrpid, DEC),
	F(nsattr, DEC), F(nvmsetid, DEC), F(endgid, DEC), F(nguid, BYTES), F(eui64, BYTES),
	{ 0 },
};

static const struct field lbaf_fields[] = {
	FIELD(riser_nvme_lbaf, ms, DEC),
	FIELD_AS("ds", riser_nvme_lbaf, lbads, DEC),
	FIELD(riser_nvme_lbaf, rp, DEC),
	{ 0 },
};

static unsigned formats_of(const struct riser_nvme_id_ns *id)
{
	unsigned n = id->nlbaf + 1u;

	return n < array_len(id->lbaf) ? n : array_len(id->lbaf);
}

static void print_text(const void *what)
{
	const struct args *a = what;
	const struct riser_nvme_id_ns *id = &a->id;

	printf("NVME Identify Namespace %u:\n", a->nsid);
	fields_print(fields, id, 8);
	for (unsigned i = 0; i < formats_of(id); i++)
		printf("lbaf %2u : ms:%-3u lbads:%-2u rp:%#x%s\n", i, le16(id->lbaf[i].ms),
		       id->lbaf[i].lbads, id->lbaf[i].rp & 3u,
		       i == RISER_NVME_FLBAS_INDEX(id->flbas) ? " (in use)" : "");
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;
	const struct riser_nvme_id_ns *id = &a->id;

	json_u64(j, "nsid", a->nsid);
	fields_json(j, fields, id);
	json_array(j, "lbafs");
	for (unsigned i = 0; i < formats_of(id); i++) {
		json_object(j, NULL);
		fields_json(j, lbaf_fields, &id->lbaf[i]);
		json_bool(j, "in_use", i == RISER_NVME_FLBAS_INDEX(id->flbas));
		json_end(j);
	}
	json_end(j);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	int rc = 0;

	a->nsid = nvme_nsid(n, a->nsid);
	if (!a->nsid) {
		rc = nvme_open_ns(n, 0);
		a->nsid = n->nsi.nsid;
	}
	if (!rc)
		rc = nvme_identify_ns(n, a->nsid, &a->id);
	return rc ? rc : nvme_show(n->c, &view, a, &a->id, sizeof(a->id));
}

static int run(struct cli *c)
{
	struct args a = { 0 };

	return nvme_run(c, &a, 0, NULL, act);
}

static const struct opt opts[] = {
	OPT_NSID_ONE,
	{ 0 },
};

const struct cmd cmd_nvme_id_ns = {
	.name = "id-ns",
	.args = "URI",
	.summary = "Identify Namespace",
	.example = "riser nvme id-ns model:nvme -n 1",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
