/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/sysfs.h"

#define DEVICES_MAX 64

struct kind {
	enum riser_uri_kind kind;
	const char *key, *title;
};

static const struct kind kinds[] = {
	{ RISER_URI_BLOCK, "block", "block devices" },
	{ RISER_URI_NVME, "nvme", "NVMe controllers" },
	{ RISER_URI_PUBLISH, "publish", "publishers" },
};

/* What a scheme can be without any device: URIs that work as they stand. */
static const char *const models[] = { "model:nvme" };

static void print_json(struct cli *c, const struct sysfs_pci *dev, unsigned n)
{
	const char *name;
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_object(&j, "schemes");
	for (size_t k = 0; k < array_len(kinds); k++) {
		json_array(&j, kinds[k].key);
		for (unsigned i = 0; (name = riser_schemes(c->r, kinds[k].kind, i)); i++)
			json_str(&j, NULL, name);
		json_end(&j);
	}
	json_end(&j);
	json_array(&j, "models");
	for (size_t i = 0; i < array_len(models); i++)
		json_str(&j, NULL, models[i]);
	json_end(&j);
	json_array(&j, "pci");
	for (unsigned i = 0; i < n; i++) {
		json_object(&j, NULL);
		json_str(&j, "address", dev[i].bdf);
		json_str(&j, "kind", dev[i].kind);
		json_u64(&j, "vendor", dev[i].vendor);
		json_u64(&j, "device", dev[i].device);
		json_str(&j, "driver", *dev[i].driver ? dev[i].driver : NULL);
		json_str(&j, "iommu_group", *dev[i].iommu_group ? dev[i].iommu_group : NULL);
		json_i64(&j, "numa_node", dev[i].numa_node);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static void print_text(struct cli *c, const struct sysfs_pci *dev, unsigned n)
{
	const char *name;

	printf("schemes of URIs\n");
	for (size_t k = 0; k < array_len(kinds); k++) {
		printf("  %-17s", kinds[k].title);
		for (unsigned i = 0; (name = riser_schemes(c->r, kinds[k].kind, i)); i++)
			printf(" %s:", name);
		printf("\n");
	}
	printf("\nmodels, which need no device\n");
	for (size_t i = 0; i < array_len(models); i++)
		printf("  %s\n", models[i]);
	printf("\nPCI functions of this machine\n");
	for (unsigned i = 0; i < n; i++)
		printf("  %-13s %-11s %04x:%04x  driver %-10s IOMMU group %s\n", dev[i].bdf,
		       dev[i].kind, dev[i].vendor, dev[i].device,
		       *dev[i].driver ? dev[i].driver : "-",
		       *dev[i].iommu_group ? dev[i].iommu_group : "-");
	if (!n)
		printf("  none of NVMe or virtio; model:nvme needs none\n");
}

static int run(struct cli *c)
{
	struct sysfs_pci dev[DEVICES_MAX];
	int rc = cli_parse(c, NULL);
	unsigned n;

	if (!rc)
		rc = cli_context(c);
	if (rc)
		return rc;
	n = sysfs_pci_scan(dev, DEVICES_MAX);
	n = n < DEVICES_MAX ? n : DEVICES_MAX;
	if (c->format == FORMAT_JSON)
		print_json(c, dev, n);
	else
		print_text(c, dev, n);
	return CLI_OK;
}

const struct cmd cmd_list = {
	.name = "list",
	.args = "",
	.summary = "list the schemes of URIs and this machine's NVMe and virtio functions",
	.example = "riser list",
	.run = run,
};
