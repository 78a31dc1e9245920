/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The registers of virtio over PCI (§4.1). Where BARs lie is QEMU's choice too: 0 is the legacy
 * interface's, of ports; 1 has the tables of MSI-X; 4 has the structures that capabilities name.
 *
 * A register is accessed with its own width or not at all: other widths are blamed on the driver
 * (model_virtio_counters.violation), read as all-ones, and write nothing.
 *
 * Announcements are stores to memory that the driver maps and a step looks at; each queue has a
 * word of its own. Whoever looks takes the word out of it, so that the same value is seen again.
 */
#include "model/virtio_pci.h"
#include "base/barrier.h"
#include "base/err.h"
#include "spec/vring.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BAR_LEGACY      0u
#define BAR_MSIX        1u
#define BAR_MODERN      4u
#define LEGACY_LEN      64u
#define AT_COMMON       0u
#define AT_ISR          0x1000u
#define AT_DEVICE       0x2000u
#define AT_NOTIFY       0x3000u
#define MODERN_LEN      0x4000u
#define AREA            0x1000u
#define NOTIFY_MULTIPLY 4u
#define NOTIFY_IDLE     UINT32_MAX
#define MSIX_PBA        0x800u

#define CAP_ID_VENDOR   0x09

/* Features that only drivers by the legacy interface are told of. */
#define LEGACY_ONLY   (1ull << RISER_VIRTIO_F_NOTIFY_ON_EMPTY | 1ull << RISER_VIRTIO_F_ANY_LAYOUT)

#define COMMON(field) offsetof(struct riser_virtio_pci_common, field)

static void *mem_at(void *ctx, uint64_t addr, size_t *len)
{
	struct model_iommu *u = ctx;
	void *p = model_iommu_at(u, addr);

	*len = min_of(*len, (size_t)(MODEL_PAGE - (addr & (MODEL_PAGE - 1))));
	if (!p)
		model_iommu_refuse(u, addr);
	return p;
}

static void interrupt(struct vpci *p, unsigned irq, uint8_t isr)
{
	p->isr |= isr;
	if (p->msix && p->irqs[irq] != RISER_VIRTIO_MSI_NO_VECTOR)
		p->front->irq(p->front, p->irqs[irq]);
}

static void host_call(struct vdev_host *h, unsigned queue)
{
	interrupt(container_of(h, struct vpci, host), queue, RISER_VIRTIO_ISR_QUEUE);
}

static void host_config(struct vdev_host *h)
{
	struct vpci *p = container_of(h, struct vpci, host);

	interrupt(p, p->v->nqueues, RISER_VIRTIO_ISR_CONFIG);
}

static void host_gone(struct vdev_host *h)
{
	struct vpci *p = container_of(h, struct vpci, host);

	/* Pairs with the pump of a threaded model: nothing of the driver's is touched any more. */
	store_release(&p->model.gone, true);
}

void vpci_host(struct vpci *p, struct model_front *f)
{
	p->front = f;
	p->host.mem = (struct vring_mem){ .at = mem_at, .ctx = &f->iommu };
	p->host.call = host_call;
	p->host.config = host_config;
	p->host.gone = host_gone;
}

static void add_cap(struct vpci *p, uint8_t type, uint32_t off, uint32_t len)
{
	struct model_function *fn = &p->model.function;
	struct riser_virtio_pci_cap cap = { .cap_vndr = CAP_ID_VENDOR,
					    .cap_len = sizeof(cap),
					    .cfg_type = type,
					    .bar = BAR_MODERN,
					    .offset = to_le32(off),
					    .length = to_le32(len) };
	riser_le32 multiply = to_le32(NOTIFY_MULTIPLY);

	if (type == RISER_VIRTIO_PCI_CAP_NOTIFY)
		cap.cap_len += sizeof(multiply);
	memcpy(fn->caps[fn->ncaps], &cap, sizeof(cap));
	memcpy(fn->caps[fn->ncaps++] + sizeof(cap), &multiply, sizeof(multiply));
}

static void describe(struct vpci *p, uint32_t class, unsigned vectors)
{
	struct model_function *fn = &p->model.function;
	bool modern = p->transport == VPCI_MODERN;

	fn->vendor = fn->subvendor = RISER_VIRTIO_PCI_VENDOR;
	fn->device = modern ? (uint16_t)(RISER_VIRTIO_PCI_MODERN + p->v->type->id)
			    : (uint16_t)(RISER_VIRTIO_PCI_TRANSITIONAL + p->v->type->id - 1);
	fn->subdevice = modern ? 0x1100 : (uint16_t)p->v->type->id;
	fn->class = class << 8 | modern;
	fn->vectors = vectors;
	fn->bars[BAR_MSIX].len = vectors ? AREA : 0;
	fn->msix_bar = BAR_MSIX;
	fn->msix_pba = MSIX_PBA;
	if (!modern) {
		fn->bars[BAR_LEGACY].len = LEGACY_LEN;
		fn->bars[BAR_LEGACY].kind = MODEL_BAR_IO;
	}
	if (p->transport == VPCI_LEGACY)
		return;
	fn->bars[BAR_MODERN].len = MODERN_LEN;
	fn->bars[BAR_MODERN].kind = MODEL_BAR_MEMORY64;
	add_cap(p, RISER_VIRTIO_PCI_CAP_COMMON, AT_COMMON, sizeof(struct riser_virtio_pci_common));
	add_cap(p, RISER_VIRTIO_PCI_CAP_NOTIFY, AT_NOTIFY, AREA);
	add_cap(p, RISER_VIRTIO_PCI_CAP_ISR, AT_ISR, AREA);
	add_cap(p, RISER_VIRTIO_PCI_CAP_DEVICE, AT_DEVICE, (uint32_t)p->v->config_len);
}

/* What the function has beside the device; as after power on. */
static void forget(struct vpci *p)
{
	for (unsigned i = 0; i <= p->v->nqueues; i++)
		p->irqs[i] = RISER_VIRTIO_MSI_NO_VECTOR;
	for (unsigned i = 0; i < p->v->nqueues; i++)
		store_relaxed(&p->notify[i], NOTIFY_IDLE);
	p->device_select = p->driver_select = 0;
	p->accepted = 0;
	p->queue_select = 0;
	p->isr = 0;
}

int vpci_init(struct vpci *p, struct vdev *v, uint32_t class, enum vpci_transport transport,
	      unsigned vectors)
{
	p->v = v;
	p->transport = transport;
	p->irqs = calloc(v->nqueues + 1, sizeof(*p->irqs));
	p->notify = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->notify == MAP_FAILED)
		p->notify = NULL;
	if (!p->irqs || !p->notify)
		return -ENOMEM;
	describe(p, class, vectors);
	forget(p);
	return 0;
}

void vpci_destroy(struct vpci *p)
{
	if (p->notify)
		munmap(p->notify, AREA);
	free(p->irqs);
}

void vpci_reset(struct model *m)
{
	struct vpci *p = vpci_of(m);

	p->v->counters.function_resets++;
	vdev_reset(p->v);
	forget(p);
}

void vpci_msix(struct model *m, bool on)
{
	vpci_of(m)->msix = on;
}

static struct vdev_queue *selected(struct vpci *p)
{
	return p->queue_select < p->v->nqueues ? &p->v->queues[p->queue_select] : NULL;
}

static void write_status(struct vpci *p, uint8_t status)
{
	vdev_status(p->v, status);
	if (!p->v->status)
		forget(p);
}

/* NOTIFICATION_DATA tells how far the driver is (§4.1.5.2); it may be further by now, and so may
 * we. */
static void check_data(struct vpci *p, const struct vring *q, unsigned data)
{
	if (!q->set.size)
		return;
	if (q->packed ? (data & 0x7fff) >= q->set.size
		      : (uint16_t)(data - q->avail + q->set.size) > 2 * q->set.size)
		vdev_blame(p->v, "an announcement tells of what a queue cannot have");
}

/* @value begins with the queue's number; NOTIFICATION_DATA has more above. */
static void kick(struct vpci *p, unsigned queue, uint32_t value)
{
	if ((value & 0xffff) != queue)
		vdev_blame(p->v, "a queue was announced by another's number");
	vdev_kick(p->v, queue);
	if (queue < p->v->nqueues && vdev_has(p->v, RISER_VIRTIO_F_NOTIFICATION_DATA))
		check_data(p, &p->v->queues[queue].ring, value >> 16);
}

static void kick_mapped(struct vpci *p)
{
	for (unsigned i = 0; i < p->v->nqueues; i++)
		if (load_relaxed(&p->notify[i]) != NOTIFY_IDLE)
			/* The acquire pairs with the driver's store: the ring is read behind it. */
			kick(p, i,
			     __atomic_exchange_n(&p->notify[i], NOTIFY_IDLE, __ATOMIC_ACQ_REL));
}

unsigned vpci_step(struct model *m, uint64_t *next)
{
	struct vpci *p = vpci_of(m);
	unsigned done;

	kick_mapped(p);
	pthread_mutex_lock(&p->front->iommu.lock);
	done = vdev_step(p->v, next);
	pthread_mutex_unlock(&p->front->iommu.lock);
	return done;
}

volatile void *vpci_map(struct model *m, unsigned bar, size_t off, size_t len)
{
	if (bar != BAR_MODERN || off < AT_NOTIFY)
		return NULL;
	return (char *)vpci_of(m)->notify + (off - AT_NOTIFY);
}

/* The registers' widths; 0: none begins there. */
static unsigned common_width(size_t off)
{
	switch (off) {
	case COMMON(device_status):
	case COMMON(config_generation):
		return 1;
	case COMMON(device_feature_select):
	case COMMON(device_feature):
	case COMMON(driver_feature_select):
	case COMMON(driver_feature):
		return 4;
	default:
		if (off >= COMMON(queue_desc) && off < COMMON(queue_notif_config_data))
			return 4;
		return 2;
	}
}

static uint64_t *queue_base(struct vdev_queue *q, size_t off)
{
	switch (off & ~7ul) {
	case COMMON(queue_desc):
		return &q->desc;
	case COMMON(queue_driver):
		return &q->driver;
	default:
		return &q->device;
	}
}

static uint32_t read_queue(struct vpci *p, size_t off)
{
	struct vdev_queue *q = selected(p);

	if (!q)
		return 0;
	switch (off) {
	case COMMON(queue_size):
		return q->size;
	case COMMON(queue_msix_vector):
		return p->irqs[p->queue_select];
	case COMMON(queue_enable):
		return q->enabled;
	case COMMON(queue_notify_off):
	case COMMON(queue_notif_config_data):
		return p->queue_select;
	case COMMON(queue_reset):
	case COMMON(admin_queue_index):
	case COMMON(admin_queue_num):
		return 0; /* a reset is over at once */
	default:
		return (uint32_t)(*queue_base(q, off) >> 8 * (off & 4));
	}
}

static uint32_t modern_features(struct vpci *p)
{
	uint64_t features = p->v->offered & ~(LEGACY_ONLY | p->v->type->legacy_only);

	return (uint32_t)(features >> 32 * p->device_select);
}

static uint32_t read_common(struct vpci *p, size_t off)
{
	struct vdev *v = p->v;
	uint64_t value;

	switch (off) {
	case COMMON(device_feature_select):
		return p->device_select;
	case COMMON(device_feature):
		return p->device_select > 1 ? 0 : modern_features(p);
	case COMMON(driver_feature_select):
		return p->driver_select;
	case COMMON(driver_feature):
		return p->driver_select > 1 ? 0 : (uint32_t)(p->accepted >> 32 * p->driver_select);
	case COMMON(config_msix_vector):
		return p->irqs[v->nqueues];
	case COMMON(num_queues):
		return v->nqueues;
	case COMMON(device_status):
		return v->status;
	case COMMON(config_generation):
		v->generation =
			(uint8_t)(v->generation + vdev_fault(v, VFAULT_GENERATION, 0, &value));
		return v->generation;
	case COMMON(queue_select):
		return p->queue_select;
	default:
		return read_queue(p, off);
	}
}

/* A vector that is not there reads back as none (§4.1.5.1.2). */
static uint16_t vector_of(const struct vpci *p, uint32_t val)
{
	return val < p->model.function.vectors ? (uint16_t)val : RISER_VIRTIO_MSI_NO_VECTOR;
}

static void set_half(uint64_t *reg, bool high, uint32_t val)
{
	if (high)
		*reg = (uint32_t)*reg | (uint64_t)val << 32;
	else
		*reg = (*reg & ~(uint64_t)UINT32_MAX) | val;
}

/* With what was announced of it and not seen yet. */
static void reset_queue(struct vpci *p)
{
	vdev_disable(p->v, p->queue_select);
	store_relaxed(&p->notify[p->queue_select], NOTIFY_IDLE);
}

static void write_queue_size(struct vpci *p, struct vdev_queue *q, uint32_t val)
{
	if (!val || val > q->max)
		vdev_blame(p->v, "a queue got a size that it cannot have");
	else
		q->size = val;
}

static void write_queue(struct vpci *p, size_t off, uint32_t val)
{
	struct vdev_queue *q = selected(p);

	if (!q || (q->enabled && off != COMMON(queue_reset))) {
		vdev_blame(p->v, "a queue was written that is enabled, or not there");
		return;
	}
	switch (off) {
	case COMMON(queue_size):
		write_queue_size(p, q, val);
		break;
	case COMMON(queue_msix_vector):
		p->irqs[p->queue_select] = vector_of(p, val);
		break;
	case COMMON(queue_enable):
		q->start = p->v->features >> RISER_VIRTIO_F_RING_PACKED & 1 ? VRING_START_PACKED
									    : VRING_START_SPLIT;
		if (val == 1)
			vdev_enable(p->v, p->queue_select);
		else
			vdev_blame(p->v, "a queue was enabled by something else than 1");
		break;
	case COMMON(queue_reset):
		if (val == 1 && vdev_has(p->v, RISER_VIRTIO_F_RING_RESET))
			reset_queue(p);
		else
			vdev_blame(p->v, "a queue was reset without RING_RESET");
		break;
	default:
		if (off < COMMON(queue_desc) || off >= COMMON(queue_notif_config_data))
			break; /* read-only */
		set_half(queue_base(q, off), off & 4, val);
		break;
	}
}

static void write_common(struct vpci *p, size_t off, uint32_t val)
{
	switch (off) {
	case COMMON(device_feature_select):
		p->device_select = val;
		break;
	case COMMON(driver_feature_select):
		p->driver_select = val;
		break;
	case COMMON(driver_feature):
		if (p->driver_select > 1)
			break;
		set_half(&p->accepted, p->driver_select, val);
		vdev_accept(p->v, p->accepted);
		break;
	case COMMON(config_msix_vector):
		p->irqs[p->v->nqueues] = vector_of(p, val);
		break;
	case COMMON(device_status):
		write_status(p, (uint8_t)val);
		break;
	case COMMON(queue_select):
		p->queue_select = (uint16_t)val;
		break;
	default:
		if (off >= COMMON(queue_size))
			write_queue(p, off, val);
		break;
	}
}

static uint64_t read_config(struct vpci *p, size_t off, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width && off + i < p->v->config_len; i++)
		v |= (uint64_t)p->v->config[off + i] << 8 * i;
	return v;
}

static void write_config(struct vpci *p, size_t off, unsigned width, uint64_t val)
{
	riser_le64 bytes = to_le64(val);

	vdev_config_write(p->v, off, &bytes, width);
}

static uint32_t read_isr(struct vpci *p)
{
	uint8_t isr = p->isr;

	p->isr = 0;
	return isr;
}

static uint64_t read_modern(struct vpci *p, size_t off, unsigned width)
{
	if (off >= AT_NOTIFY)
		return 0;
	if (off >= AT_DEVICE)
		return read_config(p, off - AT_DEVICE, width);
	if (off >= AT_ISR)
		return off == AT_ISR ? read_isr(p) : 0;
	if (off >= sizeof(struct riser_virtio_pci_common))
		return 0;
	if (width != common_width(off)) {
		vdev_blame(p->v, "a register was read by another width than its own");
		return UINT64_MAX >> (64 - 8 * width);
	}
	return read_common(p, off);
}

static void write_modern(struct vpci *p, size_t off, unsigned width, uint64_t val)
{
	if (off >= AT_NOTIFY)
		kick(p, (unsigned)(off - AT_NOTIFY) / NOTIFY_MULTIPLY, (uint32_t)val);
	else if (off >= AT_DEVICE)
		write_config(p, off - AT_DEVICE, width, val);
	else if (off >= sizeof(struct riser_virtio_pci_common))
		return;
	else if (width != common_width(off))
		vdev_blame(p->v, "a register was written by another width than its own");
	else
		write_common(p, off, (uint32_t)val);
}

/* Behind the registers of every device, which are two more while MSI-X is on: the legacy trap. */
static size_t legacy_config(const struct vpci *p)
{
	return p->msix ? RISER_VIRTIO_LEGACY_CONFIG_MSIX : RISER_VIRTIO_LEGACY_CONFIG;
}

static unsigned legacy_width(size_t off)
{
	if (off < RISER_VIRTIO_LEGACY_QUEUE_SIZE)
		return 4;
	return off == RISER_VIRTIO_LEGACY_STATUS || off == RISER_VIRTIO_LEGACY_ISR ? 1 : 2;
}

static uint32_t read_legacy(struct vpci *p, size_t off)
{
	struct vdev_queue *q = selected(p);

	switch (off) {
	case RISER_VIRTIO_LEGACY_DEVICE_FEATURES:
		return (uint32_t)p->v->offered;
	case RISER_VIRTIO_LEGACY_DRIVER_FEATURES:
		return (uint32_t)p->accepted;
	case RISER_VIRTIO_LEGACY_QUEUE_PFN:
		return q ? (uint32_t)(q->desc / RISER_VIRTIO_LEGACY_ALIGN) : 0;
	case RISER_VIRTIO_LEGACY_QUEUE_SIZE:
		return q ? q->max : 0;
	case RISER_VIRTIO_LEGACY_QUEUE_SELECT:
		return p->queue_select;
	case RISER_VIRTIO_LEGACY_STATUS:
		return p->v->status;
	case RISER_VIRTIO_LEGACY_ISR:
		return read_isr(p);
	case RISER_VIRTIO_LEGACY_CONFIG_VECTOR:
		return p->irqs[p->v->nqueues];
	case RISER_VIRTIO_LEGACY_QUEUE_VECTOR:
		return q ? p->irqs[p->queue_select] : RISER_VIRTIO_MSI_NO_VECTOR;
	default:
		return 0;
	}
}

/* A page number is all that the driver says of a queue (§2.7.2); 0 takes it away. */
static void write_pfn(struct vpci *p, uint32_t pfn)
{
	struct vdev_queue *q = selected(p);
	struct vring_layout l;

	if (!q)
		return;
	if (q->enabled)
		vdev_disable(p->v, p->queue_select);
	if (!pfn)
		return;
	q->desc = (uint64_t)pfn * RISER_VIRTIO_LEGACY_ALIGN;
	l = vring_split_layout(q->max, RISER_VIRTIO_LEGACY_ALIGN);
	q->driver = q->desc + l.driver;
	q->device = q->desc + l.device;
	vdev_enable(p->v, p->queue_select);
}

static void write_legacy(struct vpci *p, size_t off, uint32_t val)
{
	p->v->legacy = true;
	switch (off) {
	case RISER_VIRTIO_LEGACY_DRIVER_FEATURES:
		p->accepted = val;
		vdev_accept(p->v, val);
		break;
	case RISER_VIRTIO_LEGACY_QUEUE_PFN:
		write_pfn(p, val);
		break;
	case RISER_VIRTIO_LEGACY_QUEUE_SELECT:
		p->queue_select = (uint16_t)val;
		break;
	case RISER_VIRTIO_LEGACY_QUEUE_NOTIFY:
		kick(p, val, val);
		break;
	case RISER_VIRTIO_LEGACY_STATUS:
		write_status(p, (uint8_t)val);
		break;
	case RISER_VIRTIO_LEGACY_CONFIG_VECTOR:
		p->irqs[p->v->nqueues] = vector_of(p, val);
		break;
	case RISER_VIRTIO_LEGACY_QUEUE_VECTOR:
		if (selected(p))
			p->irqs[p->queue_select] = vector_of(p, val);
		break;
	default:
		break; /* read-only */
	}
}

uint64_t vpci_read(struct model *m, unsigned bar, size_t off, unsigned width)
{
	struct vpci *p = vpci_of(m);

	if (bar == BAR_MODERN)
		return read_modern(p, off, width);
	if (bar != BAR_LEGACY)
		return 0;
	if (off >= legacy_config(p))
		return read_config(p, off - legacy_config(p), width);
	if (width != legacy_width(off)) {
		vdev_blame(p->v, "a register was read by another width than its own");
		return UINT64_MAX >> (64 - 8 * width);
	}
	return read_legacy(p, off);
}

void vpci_write(struct model *m, unsigned bar, size_t off, unsigned width, uint64_t val)
{
	struct vpci *p = vpci_of(m);

	if (bar == BAR_MODERN)
		write_modern(p, off, width, val);
	else if (bar == BAR_LEGACY && off >= legacy_config(p))
		write_config(p, off - legacy_config(p), width, val);
	else if (bar == BAR_LEGACY && width != legacy_width(off))
		vdev_blame(p->v, "a register was written by another width than its own");
	else if (bar == BAR_LEGACY)
		write_legacy(p, off, (uint32_t)val);
}
