/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The interface of VIRTIO 1 (§4.1.4): vendor capabilities say in which BAR, where and how long each
 * structure is. They are the device's word: the first usable one of each type is taken, and nothing
 * is accessed outside of what it says.
 */
#include "base/err.h"
#include "virtio/pci.h"
#include <errno.h>
#include <stdlib.h>

#define QUEUES_LEAST  256u
#define CAP_ID_VENDOR 0x09
#define CAP_LEN       16
#define CAPS_MAX      48
#define CFG_LEN       256
#define BARS          6
#define STATUS_GONE   0xff
#define CONFIG_TRIES  64 /* reads until the configuration stands still */

#define COMMON(field) offsetof(struct riser_virtio_pci_common, field)
#define COMMON_LEAST  COMMON(queue_notif_config_data)
#define COMMON_RESET  (COMMON(queue_reset) + 2)

struct cap {
	unsigned at; /* in configuration space; 0: not there */
	unsigned bar;
	uint32_t off, len;
};

/**
 * struct modern - an opened function
 * @common: …@device: its structures
 * @multiplier: of queue_notify_off
 * @bells: @notify mapped, or NULL
 */
struct modern {
	struct virtio_pci p;
	struct cap common, notify, isr, device;
	uint32_t multiplier;
	volatile uint8_t *bells;
};

static struct modern *modern_of(struct virtio_dev *d)
{
	return container_of(d, struct modern, p.dev);
}

static uint32_t get(struct modern *m, size_t field, unsigned width)
{
	struct pci_dev *pci = m->p.pci;
	uint64_t v = pci->access->bar_read(pci, m->common.bar, m->common.off + field, width);

	return (uint32_t)v & UINT32_MAX >> (32 - 8 * width);
}

static void set(struct modern *m, size_t field, unsigned width, uint32_t val)
{
	struct pci_dev *pci = m->p.pci;

	pci->access->bar_write(pci, m->common.bar, m->common.off + field, width, val);
}

/* 64 bits are two registers of 32. */
static void set64(struct modern *m, size_t field, uint64_t val)
{
	set(m, field, 4, (uint32_t)val);
	set(m, field + 4, 4, (uint32_t)(val >> 32));
}

static int modern_features_get(struct virtio_dev *d, uint64_t *features)
{
	struct modern *m = modern_of(d);

	*features = 0;
	for (unsigned i = 0; i < 2; i++) {
		set(m, COMMON(device_feature_select), 4, i);
		*features |= (uint64_t)get(m, COMMON(device_feature), 4) << 32 * i;
	}
	if (m->common.len < COMMON_RESET)
		d->withheld = VIRTIO_BIT(RISER_VIRTIO_F_RING_RESET);
	return get(m, COMMON(device_status), 1) == STATUS_GONE ? -ENODEV : 0;
}

static int modern_features_set(struct virtio_dev *d, uint64_t features)
{
	struct modern *m = modern_of(d);

	for (unsigned i = 0; i < 2; i++) {
		set(m, COMMON(driver_feature_select), 4, i);
		set(m, COMMON(driver_feature), 4, (uint32_t)(features >> 32 * i));
	}
	return 0;
}

/* --- The device's own configuration --- */

/* By which width is it accessed? */
static unsigned width_of(size_t off, size_t len)
{
	return off % 4 == 0 && (len == 4 || len == 8) ? 4 : off % 2 == 0 && len == 2 ? 2 : 1;
}

static int modern_config_read(struct virtio_dev *d, size_t off, void *buf, size_t len)
{
	struct modern *m = modern_of(d);
	unsigned width = width_of(off, len);
	struct pci_dev *pci = m->p.pci;
	uint8_t *to = buf;

	if (off > m->device.len || len > m->device.len - off)
		return -ERANGE;
	for (unsigned try = 0; try < CONFIG_TRIES; try++) {
		uint32_t before = get(m, COMMON(config_generation), 1);
		uint64_t v = 0;

		for (size_t i = 0; i < len; i++) {
			if (i % width == 0)
				v = pci->access->bar_read(pci, m->device.bar,
							  m->device.off + off + i, width);
			to[i] = (uint8_t)(v >> 8 * (i % width));
		}
		if (get(m, COMMON(config_generation), 1) == before)
			return get(m, COMMON(device_status), 1) == STATUS_GONE ? -ENODEV : 0;
	}
	return -EIO;
}

static int modern_config_write(struct virtio_dev *d, size_t off, const void *buf, size_t len)
{
	struct modern *m = modern_of(d);
	unsigned width = width_of(off, len);
	struct pci_dev *pci = m->p.pci;
	const uint8_t *from = buf;

	if (off > m->device.len || len > m->device.len - off)
		return -ERANGE;
	for (size_t i = 0; i < len; i += width) {
		uint64_t v = 0;

		for (unsigned k = 0; k < width; k++)
			v |= (uint64_t)from[i + k] << 8 * k;
		pci->access->bar_write(pci, m->device.bar, m->device.off + off + i, width, v);
	}
	return 0;
}

/* --- Queues --- */

/* Where the queue is notified. Return: 0, or -EIO for a place outside of the capability. */
static int find_bell(struct modern *m, unsigned index)
{
	bool wide = virtio_has(&m->p.dev, RISER_VIRTIO_F_NOTIFICATION_DATA);
	uint64_t off = (uint64_t)get(m, COMMON(queue_notify_off), 2) * m->multiplier;
	unsigned width = wide ? 4 : 2;

	if (off % width || m->notify.len < width || off > m->notify.len - width)
		return -EIO;
	m->p.queues[index].bell.bar = m->notify.bar;
	m->p.queues[index].bell.off = m->notify.off + off;
	return 0;
}

static int modern_queue_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
			      struct virtio_notify *notify)
{
	struct modern *m = modern_of(d);
	int rc;

	if (index >= m->p.nqueues || !d->agreed)
		return -EINVAL;
	pthread_mutex_lock(&m->p.lock);
	set(m, COMMON(queue_select), 2, index);
	/* Enabled already, behind a reset: it is not to be believed in anything. */
	rc = get(m, COMMON(queue_enable), 2) ? -EIO : find_bell(m, index);
	if (!rc)
		rc = virtio_pci_vector_take(&m->p, index, l->event_fd);
	if (!rc) {
		set(m, COMMON(queue_size), 2, l->size);
		set64(m, COMMON(queue_desc), l->desc);
		set64(m, COMMON(queue_driver), l->driver);
		set64(m, COMMON(queue_device), l->device);
		set(m, COMMON(queue_enable), 2, 1);
	}
	pthread_mutex_unlock(&m->p.lock);
	if (rc)
		return rc;
	*notify = (struct virtio_notify){
		.wide = virtio_has(d, RISER_VIRTIO_F_NOTIFICATION_DATA),
		.fd = -1,
		.value = (uint16_t)index,
	};
	if (m->bells)
		notify->at = m->bells + (m->p.queues[index].bell.off - m->notify.off);
	return 0;
}

static int is_queue_reset(struct virtio_pci *p, unsigned index)
{
	struct modern *m = container_of(p, struct modern, p);
	unsigned busy, enabled;

	pthread_mutex_lock(&p->lock);
	set(m, COMMON(queue_select), 2, index);
	busy = get(m, COMMON(queue_reset), 2);
	enabled = get(m, COMMON(queue_enable), 2);
	pthread_mutex_unlock(&p->lock);
	return busy == UINT16_MAX ? -ENODEV : !busy && !enabled;
}

static int modern_queue_stop(struct virtio_dev *d, unsigned index)
{
	struct modern *m = modern_of(d);
	int rc;

	if (!virtio_has(d, RISER_VIRTIO_F_RING_RESET))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&m->p.lock);
	set(m, COMMON(queue_select), 2, index);
	set(m, COMMON(queue_reset), 2, 1);
	pthread_mutex_unlock(&m->p.lock);
	rc = virtio_pci_wait(&m->p, is_queue_reset, index);
	if (rc)
		return rc;
	pthread_mutex_lock(&m->p.lock);
	virtio_pci_vector_drop(&m->p, index);
	pthread_mutex_unlock(&m->p.lock);
	return 0;
}

static void modern_notify(struct virtio_dev *d, unsigned index, uint32_t value)
{
	const struct virtio_pci_reg *bell = &modern_of(d)->p.queues[index].bell;
	bool wide = virtio_has(d, RISER_VIRTIO_F_NOTIFICATION_DATA);
	struct pci_dev *pci = modern_of(d)->p.pci;

	pci->access->bar_write(pci, bell->bar, bell->off, wide ? 4 : 2, value);
}

static const struct virtio_transport modern_transport = {
	.size = sizeof(modern_transport),
	.name = "virtio-pci modern",
	.close = virtio_pci_close,
	.status_get = virtio_pci_status_get,
	.status_set = virtio_pci_status_set,
	.features_get = modern_features_get,
	.features_set = modern_features_set,
	.config_read = modern_config_read,
	.config_write = modern_config_write,
	.queue_max = virtio_pci_queue_max,
	.queue_start = modern_queue_start,
	.queue_stop = modern_queue_stop,
	.notify = modern_notify,
	.irq_config = virtio_pci_irq_config,
	.pump = virtio_pci_pump,
};

/* --- Opening --- */

/* Read a capability. Return: its type, or 0 when it is not usable. */
static unsigned read_cap(struct pci_dev *pci, unsigned at, struct cap *cap)
{
	uint32_t head, bar;

	if (at + CAP_LEN > CFG_LEN || pci->access->cfg_read(pci, at, 4, &head) ||
	    pci->access->cfg_read(pci, at + 4, 1, &bar) ||
	    pci->access->cfg_read(pci, at + 8, 4, &cap->off) ||
	    pci->access->cfg_read(pci, at + 12, 4, &cap->len))
		return 0;
	cap->at = at;
	cap->bar = bar;
	if ((head >> 16 & 0xff) < CAP_LEN || bar >= BARS ||
	    (uint64_t)cap->off + cap->len > UINT32_MAX)
		return 0;
	return head >> 24;
}

/* The first of each type that is long enough, and lies as the specification wants it (§4.1.4). */
static void walk(struct modern *m, struct pci_dev *pci)
{
	const struct {
		struct cap *to;
		uint32_t least, align;
	} types[] = {
		[RISER_VIRTIO_PCI_CAP_COMMON] = { &m->common, COMMON_LEAST, 4 },
		[RISER_VIRTIO_PCI_CAP_NOTIFY] = { &m->notify, 2, 2 },
		[RISER_VIRTIO_PCI_CAP_ISR] = { &m->isr, 1, 1 },
		[RISER_VIRTIO_PCI_CAP_DEVICE] = { &m->device, 1, 4 },
	};
	unsigned at = virtio_pci_cap(pci, 0, CAP_ID_VENDOR);

	for (unsigned i = 0; at && i < CAPS_MAX; i++, at = virtio_pci_cap(pci, at, CAP_ID_VENDOR)) {
		struct cap cap;
		unsigned type = read_cap(pci, at, &cap);

		if (type && type < array_len(types) && !types[type].to->at &&
		    cap.len >= types[type].least && cap.off % types[type].align == 0)
			*types[type].to = cap;
	}
	/* One word more than the others have. */
	if (m->notify.at && (m->notify.at + CAP_LEN + 4 > CFG_LEN ||
			     pci->access->cfg_read(pci, m->notify.at + CAP_LEN, 4, &m->multiplier)))
		m->notify.at = 0;
}

static void place(struct modern *m)
{
	const struct {
		struct virtio_pci_reg *reg;
		size_t field;
	} regs[] = {
		{ &m->p.status, COMMON(device_status) },
		{ &m->p.config_vector, COMMON(config_msix_vector) },
		{ &m->p.queue_select, COMMON(queue_select) },
		{ &m->p.queue_size, COMMON(queue_size) },
		{ &m->p.queue_vector, COMMON(queue_msix_vector) },
	};

	for (unsigned i = 0; i < array_len(regs); i++)
		*regs[i].reg =
			(struct virtio_pci_reg){ m->common.bar, m->common.off + regs[i].field };
	m->p.isr = (struct virtio_pci_reg){ m->isr.bar, m->isr.off };
}

int virtio_modern_open(struct pci_dev *pci, struct virtio_pci **out, struct riser_err *err)
{
	struct modern *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(err, -ENOMEM, "%s: no memory", pci->name);
	walk(m, pci);
	if (!m->common.at || !m->notify.at || !m->isr.at) {
		rc = err_set(err, -ENOTSUP, "%s: the device has no usable capability for its %s",
			     pci->name,
			     !m->common.at   ? "common configuration"
			     : !m->notify.at ? "notifications"
					     : "interrupt status");
		free(m);
		return rc;
	}
	m->p.dev.t = &modern_transport;
	m->p.dev.required = VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1);
	m->p.pci = pci;
	place(m);
	/* There may be more once MQ was agreed on: an absent one has no entries. */
	m->p.nqueues = max_of(get(m, COMMON(num_queues), 2), QUEUES_LEAST);
	m->p.queues = calloc(m->p.nqueues + 1, sizeof(*m->p.queues));
	if (!m->p.queues) {
		free(m);
		return err_set(err, -ENOMEM, "%s: no memory", pci->name);
	}
	m->bells = pci_map(pci, m->notify.bar, m->notify.off, m->notify.len);
	*out = &m->p;
	return 0;
}
