/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/machine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kind {
	enum riser_uri_kind kind;
	const char *key, *title;
};

static const struct kind kinds[] = {
	{ RISER_URI_BLOCK, "block", "block devices" },
	{ RISER_URI_NVME, "nvme", "NVMe controllers" },
	{ RISER_URI_PORT, "net", "network ports" },
	{ RISER_URI_PUBLISH, "publish", "publishers" },
};

/* What a scheme can be without any device: URIs that work as they stand. */
static const char *const models[] = { "model:nvme" };

static void json_function(struct json *j, struct riser_host *h, const struct riser_host_pci *p)
{
	struct riser_host_pci member[MACHINE_MEMBERS];
	struct riser_host_use use[MACHINE_USES];
	char text[512];
	unsigned n;

	json_object(j, NULL);
	json_str(j, "address", p->bdf);
	json_str(j, "kind", p->kind);
	json_u64(j, "vendor", p->vendor);
	json_u64(j, "device", p->device);
	json_str(j, "driver", *p->driver ? p->driver : NULL);
	json_str(j, "driver_override", *p->driver_override ? p->driver_override : NULL);
	snprintf(text, sizeof(text), "%d", p->iommu_group);
	json_str(j, "iommu_group", p->iommu_group < 0 ? NULL : text);
	json_array(j, "group_members");
	n = p->iommu_group < 0 ? 0
			       : riser_host_group_list(h, p->iommu_group, member, MACHINE_MEMBERS);
	for (unsigned i = 0; i < n && i < MACHINE_MEMBERS; i++) {
		json_object(j, NULL);
		json_str(j, "address", member[i].bdf);
		json_str(j, "driver", *member[i].driver ? member[i].driver : NULL);
		json_end(j);
	}
	json_end(j);
	json_i64(j, "numa_node", p->numa_node);
	riser_host_disks(h, p->bdf, text, sizeof(text));
	json_array(j, "disks");
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		json_str(j, NULL, word);
	json_end(j);
	json_array(j, "uses");
	n = riser_host_uses(h, p->bdf, use, MACHINE_USES);
	for (unsigned i = 0; i < n && i < MACHINE_USES; i++)
		json_str(j, NULL, riser_host_use_text(&use[i], text, sizeof(text)));
	json_end(j);
	json_end(j);
}

static void print_json(struct cli *c, struct riser_host *h, const struct riser_host_pci *dev,
		       unsigned n)
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
	for (unsigned i = 0; i < n; i++)
		json_function(&j, h, &dev[i]);
	json_end(&j);
	json_end(&j);
}

/* The other members of a function's group, as "ADDRESS (DRIVER)". */
static unsigned others(struct riser_host *h, const struct riser_host_pci *p, char *buf, size_t len)
{
	struct riser_host_pci member[MACHINE_MEMBERS];
	unsigned n, found = 0;
	size_t at = 0;

	*buf = 0;
	n = p->iommu_group < 0 ? 0
			       : riser_host_group_list(h, p->iommu_group, member, MACHINE_MEMBERS);
	for (unsigned i = 0; i < n && i < MACHINE_MEMBERS && at < len; i++) {
		if (!strcmp(member[i].bdf, p->bdf))
			continue;
		at += (size_t)snprintf(buf + at, len - at, "%s%s (%s)", at ? ", " : "",
				       member[i].bdf,
				       *member[i].driver ? member[i].driver : "no driver");
		found++;
	}
	return found;
}

static void print_function(struct riser_host *h, const struct riser_host_pci *p)
{
	struct riser_host_use use[MACHINE_USES];
	char text[512], disks[256], group[16] = "-";
	unsigned n;

	if (p->iommu_group >= 0)
		snprintf(group, sizeof(group), "%d", p->iommu_group);
	riser_host_disks(h, p->bdf, disks, sizeof(disks));
	printf("  %-13s %-11s %04x:%04x  driver %-10s IOMMU group %-*s%s%s", p->bdf, p->kind,
	       p->vendor, p->device, *p->driver ? p->driver : "-", *disks ? 4 : 0, group,
	       *disks ? " " : "", disks);
	if (p->numa_node >= 0)
		printf(" (NUMA node %d)", p->numa_node);
	printf("\n");
	if (others(h, p, text, sizeof(text)))
		printf("  %14sits group has also %s\n", "", text);
	if (*p->driver_override && strcmp(p->driver_override, p->driver))
		printf("  %14sits driver_override says %s\n", "", p->driver_override);
	n = riser_host_uses(h, p->bdf, use, MACHINE_USES);
	for (unsigned i = 0; i < n && i < MACHINE_USES; i++)
		printf("  %14s%s\n", "", riser_host_use_text(&use[i], text, sizeof(text)));
}

static void print_text(struct cli *c, struct riser_host *h, const struct riser_host_pci *dev,
		       unsigned n)
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
		print_function(h, &dev[i]);
	if (!n)
		printf("  none of NVMe or virtio; model:nvme needs none\n");
}

static int run(struct cli *c)
{
	struct riser_host_pci *dev;
	struct riser_host *h;
	int rc = cli_parse(c, NULL);
	unsigned n;

	if (!rc)
		rc = cli_context(c);
	if (!rc)
		rc = machine_open(c, &h);
	if (rc)
		return rc;
	dev = calloc(MACHINE_FUNCTIONS, sizeof(*dev));
	n = dev ? riser_host_pci_list(h, 0, dev, MACHINE_FUNCTIONS) : 0;
	n = n < MACHINE_FUNCTIONS ? n : MACHINE_FUNCTIONS;
	if (c->format == FORMAT_JSON)
		print_json(c, h, dev, n);
	else
		print_text(c, h, dev, n);
	free(dev);
	riser_host_free(h);
	return CLI_OK;
}

const struct cmd cmd_list = {
	.name = "list",
	.args = "",
	.summary = "list the schemes of URIs and this machine's NVMe and virtio functions",
	.example = "riser list",
	.run = run,
};
