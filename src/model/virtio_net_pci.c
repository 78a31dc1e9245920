/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* model:virtio-net: the card as a PCI function, and what tests may do to it there. */
#include "base/err.h"
#include "model/virtio_net.h"
#include <errno.h>
#include <stdlib.h>

#define CLASS_ETHERNET 0x020000u

static void net_close(struct model *m)
{
	struct vpci *p = vpci_of(m);

	if (p->v)
		p->v->type->free(p->v);
	vpci_destroy(p);
	free(p);
}

static int net_open(struct riser *r, const struct uri *u, struct model_front *f, struct model **out,
		    struct riser_err *err)
{
	struct vpci *p = calloc(1, sizeof(*p));
	struct vnet_config cfg;
	struct vnet *n;
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "no memory for a model");
	vpci_host(p, f);
	rc = vnet_configure(u, &cfg, err);
	if (!rc)
		rc = model_iommu_init(&f->iommu, false, err);
	if (!rc)
		rc = vnet_new(r, &cfg, &p->host, &n, err);
	if (!rc) {
		p->model.ops = &model_virtio_net_ops;
		p->model.thread = cfg.thread;
		rc = vpci_init(p, &n->dev, CLASS_ETHERNET, cfg.transport, cfg.vectors);
		if (rc)
			err_set(err, rc, "no memory for a model's registers");
	}
	if (rc) {
		net_close(&p->model);
		return rc;
	}
	*out = &p->model;
	return 0;
}

const struct model_ops model_virtio_net_ops = {
	.size = sizeof(model_virtio_net_ops),
	.name = "virtio-net",
	.open = net_open,
	.close = net_close,
	.read = vpci_read,
	.write = vpci_write,
	.map = vpci_map,
	.step = vpci_step,
	.reset = vpci_reset,
	.msix = vpci_msix,
};

static struct vnet *vnet_lock(struct pci_dev *d)
{
	return vnet_of(vpci_of(model_lock(d))->v);
}

static void unlock(struct pci_dev *d)
{
	model_unlock(d);
	clock_bump(d->r);
}

void model_virtio_net_link(struct pci_dev *d, bool up)
{
	struct vnet *n = vnet_lock(d);

	n->cfg.link = up;
	vnet_show_status(n);
	unlock(d);
}

void model_virtio_net_announce(struct pci_dev *d)
{
	struct vnet *n = vnet_lock(d);

	n->announce = vdev_has(&n->dev, RISER_VIRTIO_NET_F_GUEST_ANNOUNCE);
	vnet_show_status(n);
	unlock(d);
}

void model_virtio_needs_reset(struct pci_dev *d)
{
	vdev_needs_reset(&vnet_lock(d)->dev);
	unlock(d);
}

int model_virtio_fault_add(struct pci_dev *d, const char *rules, struct riser_err *err)
{
	int rc = vdev_fault_parse(&vnet_lock(d)->dev, rules, err);

	unlock(d);
	return rc;
}

void model_virtio_fault_clear(struct pci_dev *d)
{
	vdev_fault_clear(&vnet_lock(d)->dev);
	unlock(d);
}

void model_virtio_get_counters(struct pci_dev *d, struct model_virtio_counters *counters)
{
	*counters = vpci_of(model_lock(d))->v->counters;
	model_refused(d, &counters->dma_refused, &counters->dma_refused_iova);
	model_unlock(d);
}
