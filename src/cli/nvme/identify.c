/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What a controller and its namespaces are, in a few lines; id-ctrl and id-ns give every field. */
#include "cli/nvme/nvme.h"
#include <inttypes.h>
#include <riser/util.h>
#include <stdio.h>
#include <stdlib.h>

struct args {
	uint32_t nsid;
	struct nvme_pci pci;
	const struct nvme_dev *n;
	const struct riser_nvme_id_ctrl *id;
	riser_le32 list[1024]; /* ends in 0 where it is shorter; who has more shows these */
	struct riser_nvme_id_ns *spaces;
};

#define F_AS(text, member, how) FIELD_AS(text, riser_nvme_id_ctrl, member, how)

static const struct field fields[] = {
	F_AS("vendor", vid, HEX),
	F_AS("model", mn, TEXT),
	F_AS("serial", sn, TEXT),
	F_AS("firmware", fr, TEXT),
	{ 0 },
};

#define WIDTH 13

static unsigned found(const struct args *a)
{
	unsigned n = 0;

	while (n < array_len(a->list) && le32(a->list[n]))
		n++;
	return n;
}

static const struct riser_nvme_lbaf *format_of(const struct riser_nvme_id_ns *id)
{
	return &id->lbaf[RISER_NVME_FLBAS_INDEX(id->flbas)];
}

/* Of a block; 0 for what is not possible. */
static uint64_t block_size(const struct riser_nvme_id_ns *id)
{
	return format_of(id)->lbads < 32 ? 1ull << format_of(id)->lbads : 0;
}

static void version_text(uint32_t vs, char *out, size_t len)
{
	int n = snprintf(out, len, "%u.%u", vs >> 16, vs >> 8 & 0xff);

	if (vs & 0xff)
		snprintf(out + n, len - (size_t)n, ".%u", vs & 0xff);
}

static void print_space(uint32_t nsid, const struct riser_nvme_id_ns *id)
{
	uint64_t bytes;
	char name[24], size[16];

	snprintf(name, sizeof(name), "namespace %u", nsid);
	printf("%-*s: %" PRIu64 " blocks of %" PRIu64 " bytes", WIDTH, name, le64(id->nsze),
	       block_size(id));
	if (!__builtin_mul_overflow(le64(id->nsze), block_size(id), &bytes))
		printf(", %s", riser_format_size(bytes, size, sizeof(size)));
	if (le16(format_of(id)->ms))
		printf(", each with %u of metadata", le16(format_of(id)->ms));
	printf("%s\n", id->nsattr & 1 ? ", write protected" : "");
}

static void print_text(const void *what)
{
	const struct args *a = what;
	char text[16];

	printf("%-*s: %s\n", WIDTH, "controller", a->n->uri);
	fields_print(fields, a->id, WIDTH);
	version_text(a->n->info.vs, text, sizeof(text));
	printf("%-*s: %s\n", WIDTH, "NVMe", text);
	printf("%-*s: %s\n", WIDTH, "one command",
	       riser_format_size(a->n->info.max_transfer, text, sizeof(text)));
	printf("%-*s: %u\n", WIDTH, "queue pairs", a->n->info.max_qpairs);
	for (unsigned i = 0; i < found(a); i++)
		print_space(le32(a->list[i]), &a->spaces[i]);
}

static void print_json(struct json *j, const void *what)
{
	const struct args *a = what;
	char text[16];

	json_str(j, "controller", a->n->uri);
	fields_json(j, fields, a->id);
	version_text(a->n->info.vs, text, sizeof(text));
	json_str(j, "nvme", text);
	json_u64(j, "max_transfer", a->n->info.max_transfer);
	json_u64(j, "queue_pairs", a->n->info.max_qpairs);
	json_array(j, "namespaces");
	for (unsigned i = 0; i < found(a); i++) {
		const struct riser_nvme_id_ns *id = &a->spaces[i];

		json_object(j, NULL);
		json_u64(j, "nsid", le32(a->list[i]));
		json_u64(j, "blocks", le64(id->nsze));
		json_u64(j, "block_size", block_size(id));
		json_u64(j, "metadata", le16(format_of(id)->ms));
		json_bool(j, "write_protected", id->nsattr & 1);
		json_end(j);
	}
	json_end(j);
}

/* The namespaces that are active, or the one that was asked for. */
static int list(struct nvme_dev *n, struct args *a)
{
	uint32_t one = nvme_nsid(n, a->nsid);
	int rc;

	if (one) {
		a->list[0] = riser_le32_of(one);
		return 0;
	}
	rc = riser_nvme_identify(n->ctrl, n->c->x, RISER_NVME_CNS_ACTIVE_NS, 0, 0, 0, a->list);
	return rc ? nvme_fail(n, "identify namespace list", rc) : 0;
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	int rc = list(n, a);

	if (rc)
		return rc;
	a->n = n;
	a->id = riser_nvme_id(n->ctrl);
	a->spaces = calloc(found(a) + 1, sizeof(*a->spaces));
	if (!a->spaces)
		return cli_fail(n->c, CLI_FAILED, "no memory for %u namespaces", found(a));
	for (unsigned i = 0; !rc && i < found(a); i++)
		rc = nvme_identify_ns(n, le32(a->list[i]), &a->spaces[i]);
	return rc ? rc : nvme_show(n->c, &view, a, a->id, sizeof(*a->id));
}

static int check_args(struct cli *c, void *args)
{
	return nvme_take_pci(c, &((struct args *)args)->pci);
}

static int run(struct cli *c)
{
	struct args a = { .pci.iova_base = UINT64_MAX };
	int rc = nvme_run(c, &a, NVME_READER, check_args, act);

	free(a.spaces);
	return rc;
}

static const struct opt opts[] = {
	OPT_ROW("nsid", 'n', NUM32, nsid, "NUM", "only this namespace; default all of them"),
	OPT_PCI_ROWS,
	{ 0 },
};

const struct cmd cmd_nvme_identify = {
	.name = "identify",
	.args = "[URI]",
	.summary = "what a controller and its namespaces are, in a few lines",
	.example = "riser nvme identify model:nvme",
	.opts = opts,
	.flags = CMD_FORMAT,
	.run = run,
};
