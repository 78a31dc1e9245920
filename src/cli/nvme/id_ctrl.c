/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

#define F(member, how)          FIELD(riser_nvme_id_ctrl, member, how)
#define F_AS(text, member, how) FIELD_AS(text, riser_nvme_id_ctrl, member, how)

static const struct field fields[] = {
	F(vid, HEX),
	F(ssvid, HEX),
	F(sn, TEXT),
	F(mn, TEXT),
	F(fr, TEXT),
	F(rab, DEC),
	F(ieee, OUI),
	F(cmic, HEX),
	F(mdts, DEC),
	F(cntlid, HEX),
	F(ver, HEX),
	F(rtd3r, HEX),
	F(rtd3e, HEX),
	F(oaes, HEX),
	F(ctratt, HEX),
	F(rrls, HEX),
	F(cntrltype, DEC),
	F(fguid, UUID),
	F_AS("crdt1", crdt[0], DEC),
	F_AS("crdt2", crdt[1], DEC),
	F_AS("crdt3", crdt[2], DEC),
	F(nvmsr, DEC),
	F(vwci, DEC),
	F(mec, DEC),
	F(oacs, HEX),
	F(acl, DEC),
	F(aerl, DEC),
	F(frmw, HEX),
	F(lpa, HEX),
	F(elpe, DEC),
	F(npss, DEC),
	F(avscc, HEX),
	F(apsta, HEX),
	F(wctemp, DEC),
	F(cctemp, DEC),
	F(mtfa, DEC),
	F(hmpre, DEC),
	F(hmmin, DEC),
	F(tnvmcap, DEC),
	F(unvmcap, DEC),
	F(rpmbs, HEX),
	F(edstt, DEC),
	F(dsto, DEC),
	F(fwug, DEC),
	F(kas, DEC),
	F(hctma, HEX),
	F(mntmt, DEC),
	F(mxtmt, DEC),
	F(sanicap, HEX),
	F(hmminds, DEC),
	F(hmmaxd, DEC),
	F(nsetidmax, DEC),
	F(endgidmax, DEC),
	F(anatt, DEC),
	F(anacap, DEC),
	F(anagrpmax, DEC),
	F(nanagrpid, DEC),
	F(pels, DEC),
	F(domainid, DEC),
	F(megcap, DEC),
	F(sqes, HEX),
	F(cqes, HEX),
	F(maxcmd, DEC),
	F(nn, DEC),
	F(oncs, HEX),
	F(fuses, HEX),
	F(fna, HEX),
	F(vwc, HEX),
	F(awun, DEC),
	F(awupf, DEC),
	F(icsvscc, DEC),
	F(nwpc, DEC),
	F(acwu, DEC),
	F_AS("ocfs", cdfs, HEX),
	F(sgls, HEX),
	F(mnan, DEC),
	F(maxdna, DEC),
	F(maxcna, DEC),
	F(subnqn, TEXT),
	{ 0 },
};

static const struct field psd_fields[] = {
	FIELD_AS("max_power", riser_nvme_psd, mp, DEC),
	FIELD_AS("flags", riser_nvme_psd, flags, DEC),
	FIELD_AS("entry_lat", riser_nvme_psd, enlat, DEC),
	FIELD_AS("exit_lat", riser_nvme_psd, exlat, DEC),
	FIELD_AS("read_tput", riser_nvme_psd, rrt, DEC),
	FIELD_AS("read_lat", riser_nvme_psd, rrl, DEC),
	FIELD_AS("write_tput", riser_nvme_psd, rwt, DEC),
	FIELD_AS("write_lat", riser_nvme_psd, rwl, DEC),
	FIELD_AS("idle_power", riser_nvme_psd, idlp, DEC),
	FIELD_AS("idle_scale", riser_nvme_psd, ips, DEC),
	FIELD_AS("active_power", riser_nvme_psd, actp, DEC),
	FIELD_AS("active_power_work", riser_nvme_psd, apws, DEC),
	{ 0 },
};

static unsigned power_states(const struct riser_nvme_id_ctrl *id)
{
	unsigned n = id->npss + 1u;

	return n < array_len(id->psd) ? n : array_len(id->psd);
}

static void print_text(const void *what)
{
	const struct riser_nvme_id_ctrl *id = what;

	printf("NVME Identify Controller:\n");
	fields_print(fields, id, 10);
	for (unsigned i = 0; i < power_states(id); i++) {
		const struct riser_nvme_psd *p = &id->psd[i];
		/* Bit 0 of the flags chooses the unit: 0.0001 W, else 0.01 W. */
		double watts = le16(p->mp) * (p->flags & 1 ? 0.0001 : 0.01);

		printf("ps %4u : mp:%.2fW %soperational enlat:%u exlat:%u rrt:%u rrl:%u rwt:%u "
		       "rwl:%u\n",
		       i, watts, p->flags & 2 ? "non-" : "", le32(p->enlat), le32(p->exlat), p->rrt,
		       p->rrl, p->rwt, p->rwl);
	}
}

static void print_json(struct json *j, const void *what)
{
	const struct riser_nvme_id_ctrl *id = what;

	fields_json(j, fields, id);
	json_array(j, "psds");
	for (unsigned i = 0; i < power_states(id); i++) {
		json_object(j, NULL);
		fields_json(j, psd_fields, &id->psd[i]);
		json_end(j);
	}
	json_end(j);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	const struct riser_nvme_id_ctrl *id = riser_nvme_id(n->ctrl);

	return nvme_show(n->c, &view, id, id, sizeof(*id));
}

static int run(struct cli *c)
{
	return nvme_run(c, NULL, 0, NULL, act);
}

const struct cmd cmd_nvme_id_ctrl = {
	.name = "id-ctrl",
	.args = "URI",
	.summary = "Identify Controller",
	.example = "riser nvme id-ctrl model:nvme",
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
