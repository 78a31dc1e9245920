/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct args {
	uint32_t nsid, lbaf, ses, pi, pil, ms, timeout;
	uint64_t block_size;
	bool reset, force;
};

/* The format of a namespace with --block-size bytes and no metadata. */
static int find_format(struct nvme_dev *n, struct args *a)
{
	struct riser_nvme_id_ns id;
	uint32_t nsid = a->nsid == RISER_NVME_NSID_ALL ? 1 : a->nsid;
	int rc = nvme_identify_ns(n, nsid, &id);

	if (rc)
		return rc;
	for (uint32_t i = 0; i <= id.nlbaf && i < array_len(id.lbaf); i++)
		if (id.lbaf[i].lbads >= 9 && id.lbaf[i].lbads < 32 && !le16(id.lbaf[i].ms) &&
		    1ull << id.lbaf[i].lbads == a->block_size) {
			a->lbaf = i;
			return 0;
		}
	return cli_fail(n->c, CLI_FAILED, "%s has no format with blocks of %llu bytes", n->uri,
			(unsigned long long)a->block_size);
}

/* The namespace that is meant, where there is a format to be kept. */
static int only_namespace(struct nvme_dev *n, uint32_t *nsid)
{
	riser_le32 list[1024];
	int rc;

	if (*nsid != RISER_NVME_NSID_ALL)
		return 0;
	rc = riser_nvme_identify(n->ctrl, n->c->x, RISER_NVME_CNS_ACTIVE_NS, 0, 0, 0, list);
	if (rc)
		return nvme_fail(n, "identify namespace list", rc);
	if (le32(list[1]))
		return cli_fail(n->c, CLI_USAGE,
				"%s has several namespaces, each with a format to keep: choose one "
				"with --namespace-id, or a format for all",
				n->uri);
	*nsid = le32(list[0]) ? le32(list[0]) : 1;
	return 0;
}

/* FLBAS also says whether metadata extends the data (§5.17.2.1). */
static int keep_format(struct nvme_dev *n, struct args *a)
{
	uint32_t nsid = a->nsid;
	struct riser_nvme_id_ns id;
	int rc = only_namespace(n, &nsid);

	if (!rc)
		rc = nvme_identify_ns(n, nsid, &id);
	if (rc)
		return rc;
	a->lbaf = RISER_NVME_FLBAS_INDEX(id.flbas);
	a->ms |= id.flbas >> 4 & 1;
	return 0;
}

static void print_text(const void *what)
{
	const struct args *a = what;

	printf("Success formatting namespace:%x\n", a->nsid);
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;

	json_str(j, "command", "format");
	json_u64(j, "nsid", a->nsid);
	json_u64(j, "lbaf", a->lbaf);
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	struct riser_nvme_admin cmd = { .sqe = { .opcode = RISER_NVME_ADM_FORMAT },
					.timeout_ms = a->timeout };
	uint32_t from_uri = nvme_nsid(n, a->nsid);
	int rc = 0;

	a->nsid = from_uri ? from_uri : RISER_NVME_NSID_ALL;
	if (a->block_size)
		rc = find_format(n, a);
	else if (a->lbaf == UINT32_MAX)
		rc = keep_format(n, a);
	if (rc)
		return rc;
	cmd.sqe.nsid = riser_le32_of(a->nsid);
	cmd.sqe.cdw10 = riser_le32_of((a->lbaf & 0xf) | a->ms << 4 | a->pi << 5 | a->pil << 8 |
				      a->ses << 9 | (a->lbaf >> 4 & 3) << 12);
	rc = nvme_admin(n, "format", &cmd);
	if (rc)
		return rc;
	if (a->reset) {
		rc = riser_nvme_reset(n->ctrl, n->c->x, &n->c->err);
		if (rc)
			return cli_fail_err(n->c, rc);
	}
	return nvme_show(n->c, &view, a, NULL, 0);
}

static int check_args(struct cli *c, void *args)
{
	const struct args *a = args;

	if (a->lbaf != UINT32_MAX && a->block_size)
		return cli_fail(c, CLI_USAGE, "--lbaf and --block-size exclude each other");
	if (a->lbaf != UINT32_MAX && a->lbaf > 63)
		return cli_fail(c, CLI_USAGE, "--lbaf wants 0 to 63");
	if (a->ses > 2 || a->pi > 3 || a->pil > 1 || a->ms > 1)
		return cli_fail(c, CLI_USAGE,
				"--ses wants 0 to 2, --pi 0 to 3, --pil and --ms 0 or 1");
	return 0;
}

static int run(struct cli *c)
{
	struct args a = { .lbaf = UINT32_MAX };

	return nvme_run(c, &a, NVME_WRITE, check_args, act);
}

static const struct opt opts[] = {
	OPT_NSID("default: the URI's nsid=, or all"),
	{ "lbaf", 'l', OPT_IS_NUM32(struct args, lbaf), "NUM",
	  "which format, as id-ns lists them; default the present one" },
	{ "block-size", 'b', OPT_IS_BYTES(struct args, block_size), "SIZE",
	  "or the one with such blocks" },
	{ "ses", 's', OPT_IS_NUM32(struct args, ses), "NUM",
	  "secure erase: 0 none, 1 user data, 2 cryptographic" },
	{ "pi", 'i', OPT_IS_NUM32(struct args, pi), "NUM", "protection information, 0 to 3" },
	{ "pil", 'p', OPT_IS_NUM32(struct args, pil), "NUM", "its place, 0 last, 1 first" },
	{ "ms", 'm', OPT_IS_NUM32(struct args, ms), "NUM", "1: extended metadata" },
	{ "timeout", 't', OPT_IS_NUM32(struct args, timeout), "MS", "deadline of the command" },
	{ "reset", 'r', OPT_IS_BOOL(struct args, reset), NULL, "reset the controller afterwards" },
	{ "force", 0, OPT_IS_BOOL(struct args, force), NULL,
	  "nvme-cli's; here --yes-destroy-data is what counts" },
	{ 0 },
};

const struct cmd cmd_nvme_format = {
	.name = "format",
	.args = "URI",
	.summary = "Format NVM: erase a namespace, choose its block size",
	.example = "riser nvme format model:nvme --namespace-id=1 --block-size=4096",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
