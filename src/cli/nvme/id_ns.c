/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include <inttypes.h>

struct args {
	uint32_t nsid;
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

static void print_text(uint32_t nsid, const struct riser_nvme_id_ns *id)
{
	printf("NVME Identify Namespace %u:\n", nsid);
	fields_print(fields, id, 8);
	for (unsigned i = 0; i < formats_of(id); i++)
		printf("lbaf %2u : ms:%-3u lbads:%-2u rp:%#x%s\n", i, le16(id->lbaf[i].ms),
		       id->lbaf[i].lbads, id->lbaf[i].rp & 3u,
		       i == RISER_NVME_FLBAS_INDEX(id->flbas) ? " (in use)" : "");
}

static void print_json(uint32_t nsid, const struct riser_nvme_id_ns *id)
{
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "nsid", nsid);
	fields_json(&j, fields, id);
	json_array(&j, "lbafs");
	for (unsigned i = 0; i < formats_of(id); i++) {
		json_object(&j, NULL);
		fields_json(&j, lbaf_fields, &id->lbaf[i]);
		json_bool(&j, "in_use", i == RISER_NVME_FLBAS_INDEX(id->flbas));
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static int show(struct nvme_dev *n, const struct args *a)
{
	struct riser_nvme_id_ns id;
	uint32_t nsid = nvme_nsid(n, a->nsid);
	int rc = 0;

	if (!nsid) {
		rc = nvme_open_ns(n, 0);
		if (rc)
			return rc;
		nsid = n->nsi.nsid;
	}
	rc = nvme_identify_ns(n, nsid, &id);
	if (rc)
		return rc;
	if (n->c->format == FORMAT_BINARY)
		print_binary(&id, sizeof(id));
	else if (n->c->format == FORMAT_JSON)
		print_json(nsid, &id);
	else
		print_text(nsid, &id);
	return 0;
}

static int run(struct cli *c)
{
	struct args a = { 0 };
	struct nvme_dev n = { 0 };
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = nvme_open(c, &n, 0);
	if (!rc)
		rc = show(&n, &a);
	nvme_close(&n);
	return rc;
}

static const struct opt opts[] = {
	{ "namespace-id", 'n', OPT_IS_NUM32(struct args, nsid), "NUM",
	  "default: the URI's nsid=, or the only one" },
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
