/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/simple.h"
#include <riser/util.h>
#include <string.h>

#define RANGES_MAX 256

struct args {
	uint32_t nsid, cdw11;
	const char *attrs, *blocks, *slbas;
	bool ad, idw, idr;
};

/* Comma separated numbers. Return: how many, or -1. */
static int numbers(const char *list, uint64_t *out)
{
	int n = 0;

	while (list && *list && n < RANGES_MAX) {
		size_t len = strcspn(list, ",");
		char word[24];

		if (len >= sizeof(word))
			return -1;
		memcpy(word, list, len);
		word[len] = 0;
		if (riser_parse_u64(word, &out[n++]))
			return -1;
		list += len;
		if (*list == ',' && !*++list)
			return -1;
	}
	return list && *list ? -1 : n;
}

static int ranges(struct cli *c, const struct args *a, struct riser_nvme_dsm_range *r)
{
	uint64_t attr[RANGES_MAX] = { 0 }, nlb[RANGES_MAX], slba[RANGES_MAX];
	int na = numbers(a->attrs, attr), nb = numbers(a->blocks, nlb),
	    ns = numbers(a->slbas, slba);

	if (na < 0 || nb <= 0 || ns != nb || (na && na != nb)) {
		cli_fail(
			c, CLI_USAGE,
			"--blocks and --slbs (and --ctx-attrs) want lists of equally many numbers, "
			"1 to %d",
			RANGES_MAX);
		return -1;
	}
	for (int i = 0; i < nb; i++) {
		if (nlb[i] > UINT32_MAX || attr[i] > UINT32_MAX) {
			cli_fail(c, CLI_USAGE, "--blocks and --ctx-attrs want 32-bit numbers");
			return -1;
		}
		r[i] = (struct riser_nvme_dsm_range){
			.cattr = riser_le32_of((uint32_t)attr[i]),
			.nlb = riser_le32_of((uint32_t)nlb[i]),
			.slba = riser_le64_of(slba[i]),
		};
	}
	return nb;
}

static int run(struct cli *c)
{
	struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_IO_DSM };
	struct riser_nvme_dsm_range r[RANGES_MAX];
	struct args a = { 0 };
	int rc = cli_parse(c, &a), n;

	if (rc)
		return rc;
	n = ranges(c, &a, r);
	if (n < 0)
		return CLI_USAGE;
	if (!a.cdw11)
		a.cdw11 = (a.ad ? RISER_NVME_DSM_AD : 0) | (a.idw ? 2u : 0) | (a.idr ? 1u : 0);
	sqe.cdw10 = riser_le32_of((uint32_t)n - 1);
	sqe.cdw11 = riser_le32_of(a.cdw11);
	return simple_run(c, NVME_WRITE, a.nsid, "dsm", &sqe, r, (size_t)n * sizeof(*r));
}

static const struct opt opts[] = {
	OPT_NSID_ONE,
	{ "ctx-attrs", 'a', OPT_IS_TEXT(struct args, attrs), "LIST", "attributes of each range" },
	{ "blocks", 'b', OPT_IS_TEXT(struct args, blocks), "LIST", "blocks of each range" },
	{ "slbs", 's', OPT_IS_TEXT(struct args, slbas), "LIST", "first block of each range" },
	{ "ad", 'd', OPT_IS_BOOL(struct args, ad), NULL, "deallocate" },
	{ "idw", 'w', OPT_IS_BOOL(struct args, idw), NULL, "to be written as a whole" },
	{ "idr", 'r', OPT_IS_BOOL(struct args, idr), NULL, "to be read as a whole" },
	{ "cdw11", 'c', OPT_IS_NUM32(struct args, cdw11), "NUM", "all attributes as a number" },
	{ 0 },
};

const struct cmd cmd_nvme_dsm = {
	.name = "dsm",
	.args = "URI",
	.summary = "Dataset Management: deallocate ranges",
	.example = "riser nvme dsm model:nvme --ad --slbs=0,4096 --blocks=8,64",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_DESTROYS,
	.run = run,
};
