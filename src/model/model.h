/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What tests may do to a device model, and see of it, beyond what the driver can. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "pci/pci.h"

/**
 * struct model_nvme_counters - what a model of an NVMe controller has seen
 * @admin: admin commands fetched, by opcode
 * @io: I/O commands fetched, by opcode
 * @completions: completion queue entries posted
 * @doorbells: changes of doorbells seen
 * @interrupts: MSI-X messages sent
 * @dma_refused: DMA to addresses that its IOMMU does not map
 * @dma_refused_iova: the last of them
 * @inflight: commands fetched and not completed now, without AER
 * @resets: controller resets (CC.EN cleared)
 * @function_resets: function resets
 */
struct model_nvme_counters {
	uint64_t admin[256];
	uint64_t io[256];
	uint64_t completions;
	uint64_t doorbells;
	uint64_t interrupts;
	uint64_t dma_refused;
	uint64_t dma_refused_iova;
	uint64_t inflight;
	uint64_t resets;
	uint64_t function_resets;
};

/* Any thread may call these; @d was opened with the scheme "model". */
void model_nvme_get_counters(struct pci_dev *d, struct model_nvme_counters *counters);

/* Add rules, in the grammar of the key "fault". Return: 0 or -EINVAL with a sentence. */
int model_nvme_fault_add(struct pci_dev *d, const char *rules, struct riser_err *err);
/* Forget all rules; what they did already stays. */
void model_nvme_fault_clear(struct pci_dev *d);

/* From its next reset on the controller grants at most @n I/O queues. */
void model_nvme_limit_queues(struct pci_dev *d, unsigned n);

/**
 * struct model_virtio_counters - what a model of a virtio device has seen
 * @kicks: announcements of queues
 * @used: chains given back
 * @calls: interrupts of queues
 * @rx_packets: packets given to the driver, @tx_packets taken from it
 * @dropped: packets that nobody got
 * @commands: of the control queue; and those that were answered with an error
 * @violations: what the driver may not do, and did; @violation is the last of it, or NULL
 * @resets: status 0 written
 */
struct model_virtio_counters {
	uint64_t kicks, used, calls;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, dropped;
	uint64_t commands, commands_refused;
	uint64_t violations;
	const char *violation;
	uint64_t resets, function_resets;
	uint64_t dma_refused, dma_refused_iova;
};

/* As those above, of "model:virtio-net". */
void model_virtio_get_counters(struct pci_dev *d, struct model_virtio_counters *counters);

/* Add rules, in the grammar of the key "fault". Return: 0 or -EINVAL with a sentence. */
int model_virtio_fault_add(struct pci_dev *d, const char *rules, struct riser_err *err);
void model_virtio_fault_clear(struct pci_dev *d);

/* The cable is plugged in or pulled out. */
void model_virtio_net_link(struct pci_dev *d, bool up);
/* The driver is to announce itself (GUEST_ANNOUNCE). */
void model_virtio_net_announce(struct pci_dev *d);
/* DEVICE_NEEDS_RESET. */
void model_virtio_needs_reset(struct pci_dev *d);

#endif
