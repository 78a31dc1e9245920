/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The legacy interface, virtio 0.9 (§4.1.4.10): registers in BAR 0, which is of ports as a rule, in
 * this machine's byte order. A queue has the size that the device says, and its address is told as
 * a page number.
 *
 * The device's own configuration lies behind two registers that are there only while MSI-X is
 * enabled: it moves by four bytes. Whether it is enabled is read each time, from the function
 * itself: whoever remembers it reads "no link" from a card one day.
 */
#include "base/err.h"
#include "virtio/pci.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAP_ID_MSIX      0x11
#define MSIX_CTRL        2
#define MSIX_CTRL_ENABLE 0x8000
#define CFG_REVISION     0x08
#define BAR0_LEN         256 /* no legacy device has more registers */
#define QUEUES_MAX       256 /* nobody says how many there are */
#define CONFIG_TRIES     64  /* there is no generation: until it reads the same twice */
#define PFN_SHIFT        12

#define REG(r)           RISER_VIRTIO_LEGACY_##r

static int legacy_features_get(struct virtio_dev *d, uint64_t *features)
{
	*features = pci_read32(virtio_pci_of(d)->pci, 0, REG(DEVICE_FEATURES));
	return 0;
}

static int legacy_features_set(struct virtio_dev *d, uint64_t features)
{
	pci_write32(virtio_pci_of(d)->pci, 0, REG(DRIVER_FEATURES), (uint32_t)features);
	return 0;
}

/* --- The device's own configuration --- */

/* Where it begins now. Return: a negative errno when the function does not answer. */
static int config_base(struct virtio_pci *p)
{
	unsigned cap = virtio_pci_cap(p->pci, 0, CAP_ID_MSIX);
	uint32_t ctrl = 0;
	int rc = cap ? p->pci->access->cfg_read(p->pci, cap + MSIX_CTRL, 2, &ctrl) : 0;

	if (rc)
		return rc;
	return ctrl & MSIX_CTRL_ENABLE ? REG(CONFIG_MSIX) : REG(CONFIG);
}

/* A field in this machine's byte order to one in little-endian, or back. */
static void swap_field(uint8_t *field, size_t len)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	if (len == 2 || len == 4 || len == 8)
		for (size_t i = 0; i < len / 2; i++) {
			uint8_t byte = field[i];

			field[i] = field[len - 1 - i];
			field[len - 1 - i] = byte;
		}
#else
	(void)field;
	(void)len;
#endif
}

static int read_once(struct virtio_pci *p, size_t off, uint8_t *to, size_t len)
{
	int base = config_base(p);

	for (size_t i = 0; base >= 0 && i < len; i++)
		to[i] = pci_read8(p->pci, 0, (size_t)base + off + i);
	return min_of(base, 0);
}

static int legacy_config_read(struct virtio_dev *d, size_t off, void *buf, size_t len)
{
	struct virtio_pci *p = virtio_pci_of(d);
	uint8_t again[BAR0_LEN];
	int rc;

	if (off > BAR0_LEN - REG(CONFIG_MSIX) || len > BAR0_LEN - REG(CONFIG_MSIX) - off)
		return -ERANGE;
	rc = read_once(p, off, buf, len);
	for (unsigned try = 0; !rc && try < CONFIG_TRIES; try++) {
		rc = read_once(p, off, again, len);
		if (!rc && !memcmp(buf, again, len)) {
			swap_field(buf, len);
			return virtio_pci_status_get(d) == UINT8_MAX ? -ENODEV : 0;
		}
		memcpy(buf, again, len);
	}
	return rc ?: -EIO;
}

static int legacy_config_write(struct virtio_dev *d, size_t off, const void *buf, size_t len)
{
	struct virtio_pci *p = virtio_pci_of(d);
	int base = config_base(p);
	uint8_t field[BAR0_LEN];

	if (off > BAR0_LEN - REG(CONFIG_MSIX) || len > BAR0_LEN - REG(CONFIG_MSIX) - off)
		return -ERANGE;
	memcpy(field, buf, len);
	swap_field(field, len);
	for (size_t i = 0; base >= 0 && i < len; i++)
		pci_write8(p->pci, 0, (size_t)base + off + i, field[i]);
	return min_of(base, 0);
}

/* --- Queues --- */

/* One piece, the used ring at the next page: what a page number can say (§2.7.2). */
static bool is_in_one_piece(const struct virtio_layout *l)
{
	uint64_t avail = l->desc + l->size * sizeof(struct riser_virtq_desc);
	uint64_t end =
		avail + sizeof(struct riser_virtq_avail) + (l->size + 1) * sizeof(riser_le16);

	return l->desc % RISER_VIRTIO_LEGACY_ALIGN == 0 && l->desc >> PFN_SHIFT <= UINT32_MAX &&
	       l->driver == avail && l->device == align_up(end, RISER_VIRTIO_LEGACY_ALIGN);
}

static int legacy_queue_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
			      struct virtio_notify *notify)
{
	struct virtio_pci *p = virtio_pci_of(d);
	int rc = 0;

	if (index >= p->nqueues || !d->agreed || !is_in_one_piece(l))
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	pci_write16(p->pci, 0, REG(QUEUE_SELECT), (uint16_t)index);
	if (pci_read16(p->pci, 0, REG(QUEUE_SIZE)) != l->size)
		rc = -EINVAL;
	else if (pci_read32(p->pci, 0, REG(QUEUE_PFN)))
		rc = -EIO; /* in use, behind a reset */
	if (!rc)
		rc = virtio_pci_vector_take(p, index, l->event_fd);
	if (!rc)
		pci_write32(p->pci, 0, REG(QUEUE_PFN), (uint32_t)(l->desc >> PFN_SHIFT));
	pthread_mutex_unlock(&p->lock);
	*notify = (struct virtio_notify){ .fd = -1, .value = (uint16_t)index };
	return rc;
}

static int legacy_queue_stop(struct virtio_dev *d, unsigned index)
{
	return -EOPNOTSUPP;
}

static void legacy_notify(struct virtio_dev *d, unsigned index, uint32_t value)
{
	pci_write16(virtio_pci_of(d)->pci, 0, REG(QUEUE_NOTIFY), (uint16_t)value);
}

static const struct virtio_transport legacy_transport = {
	.size = sizeof(legacy_transport),
	.name = "virtio-pci legacy",
	.legacy_rings = true,
	.close = virtio_pci_close,
	.status_get = virtio_pci_status_get,
	.status_set = virtio_pci_status_set,
	.features_get = legacy_features_get,
	.features_set = legacy_features_set,
	.config_read = legacy_config_read,
	.config_write = legacy_config_write,
	.queue_max = virtio_pci_queue_max,
	.queue_start = legacy_queue_start,
	.queue_stop = legacy_queue_stop,
	.notify = legacy_notify,
	.irq_config = virtio_pci_irq_config,
	.pump = virtio_pci_pump,
};

int virtio_legacy_open(struct pci_dev *pci, struct virtio_pci **out, struct riser_err *err)
{
	struct virtio_pci *p;
	uint32_t revision = 0;

	if (pci->access->cfg_read(pci, CFG_REVISION, 1, &revision) || revision)
		return err_set(err, -ENOTSUP,
			       "%s: revision %u of the device has no legacy interface", pci->name,
			       revision);
	p = calloc(1, sizeof(*p));
	if (p)
		p->queues = calloc(QUEUES_MAX, sizeof(*p->queues));
	if (!p || !p->queues) {
		free(p);
		return err_set(err, -ENOMEM, "%s: no memory", pci->name);
	}
	p->dev.t = &legacy_transport;
	p->nqueues = QUEUES_MAX;
	p->status.off = REG(STATUS);
	p->isr.off = REG(ISR);
	p->config_vector.off = REG(CONFIG_VECTOR);
	p->queue_select.off = REG(QUEUE_SELECT);
	p->queue_size.off = REG(QUEUE_SIZE);
	p->queue_vector.off = REG(QUEUE_VECTOR);
	*out = p;
	return 0;
}
