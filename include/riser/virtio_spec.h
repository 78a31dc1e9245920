/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The structures and numbers of the Virtual I/O Device (VIRTIO) Specification, version 1.3, as far
 * as riser uses them. Section numbers are that version's.
 */
#ifndef RISER_VIRTIO_SPEC_H
#define RISER_VIRTIO_SPEC_H

#include <riser/endian.h>
#include <stddef.h>

#ifdef __cplusplus
#define RISER_VIRTIO_ASSERT(what) static_assert(what, #what)
#else
#define RISER_VIRTIO_ASSERT(what) _Static_assert(what, #what)
#endif

/* Device types (§5). */
#define RISER_VIRTIO_ID_NET 1
#define RISER_VIRTIO_ID_BLK 2

/* Device status (§2.1). */
#define RISER_VIRTIO_STATUS_ACKNOWLEDGE 1u
#define RISER_VIRTIO_STATUS_DRIVER      2u
#define RISER_VIRTIO_STATUS_DRIVER_OK   4u
#define RISER_VIRTIO_STATUS_FEATURES_OK 8u
#define RISER_VIRTIO_STATUS_NEEDS_RESET 64u
#define RISER_VIRTIO_STATUS_FAILED      128u

/* Feature bits of every device (§6), and those of the legacy interface. */
#define RISER_VIRTIO_F_NOTIFY_ON_EMPTY   24
#define RISER_VIRTIO_F_ANY_LAYOUT        27
#define RISER_VIRTIO_F_INDIRECT_DESC     28
#define RISER_VIRTIO_F_EVENT_IDX         29
#define RISER_VIRTIO_F_VERSION_1         32
#define RISER_VIRTIO_F_ACCESS_PLATFORM   33
#define RISER_VIRTIO_F_RING_PACKED       34
#define RISER_VIRTIO_F_IN_ORDER          35
#define RISER_VIRTIO_F_ORDER_PLATFORM    36
#define RISER_VIRTIO_F_SR_IOV            37
#define RISER_VIRTIO_F_NOTIFICATION_DATA 38
#define RISER_VIRTIO_F_NOTIF_CONFIG_DATA 39
#define RISER_VIRTIO_F_RING_RESET        40
#define RISER_VIRTIO_F_ADMIN_VQ          41

/* PCI (§4.1). */
#define RISER_VIRTIO_PCI_VENDOR       0x1af4
#define RISER_VIRTIO_PCI_TRANSITIONAL 0x1000 /* up to 0x103f; the subsystem id is the type */
#define RISER_VIRTIO_PCI_MODERN       0x1040 /* plus the type */

/* Vendor capabilities (§4.1.4). */
#define RISER_VIRTIO_PCI_CAP_COMMON 1
#define RISER_VIRTIO_PCI_CAP_NOTIFY 2
#define RISER_VIRTIO_PCI_CAP_ISR    3
#define RISER_VIRTIO_PCI_CAP_DEVICE 4
#define RISER_VIRTIO_PCI_CAP_PCI    5
#define RISER_VIRTIO_PCI_CAP_SHM    8

struct riser_virtio_pci_cap {
	uint8_t cap_vndr; /* PCI_CAP_ID_VNDR, 0x09 */
	uint8_t cap_next;
	uint8_t cap_len;
	uint8_t cfg_type;
	uint8_t bar;
	uint8_t id;
	uint8_t padding[2];
	riser_le32 offset;
	riser_le32 length;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_pci_cap) == 16);

/* Common configuration (§4.1.4.3). Each field is accessed with its own width. */
struct riser_virtio_pci_common {
	riser_le32 device_feature_select;
	riser_le32 device_feature;
	riser_le32 driver_feature_select;
	riser_le32 driver_feature;
	riser_le16 config_msix_vector;
	riser_le16 num_queues;
	uint8_t device_status;
	uint8_t config_generation;
	riser_le16 queue_select;
	riser_le16 queue_size;
	riser_le16 queue_msix_vector;
	riser_le16 queue_enable;
	riser_le16 queue_notify_off;
	riser_le64 queue_desc;
	riser_le64 queue_driver;
	riser_le64 queue_device;
	riser_le16 queue_notif_config_data;
	riser_le16 queue_reset;
	riser_le16 admin_queue_index;
	riser_le16 admin_queue_num;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_pci_common) == 64);
RISER_VIRTIO_ASSERT(offsetof(struct riser_virtio_pci_common, queue_desc) == 32);

#define RISER_VIRTIO_MSI_NO_VECTOR 0xffff
#define RISER_VIRTIO_ISR_QUEUE     1u
#define RISER_VIRTIO_ISR_CONFIG    2u

/* The legacy interface's registers in BAR 0, in the guest's endianness (§4.1.4.10). */
enum riser_virtio_legacy_reg {
	RISER_VIRTIO_LEGACY_DEVICE_FEATURES = 0,
	RISER_VIRTIO_LEGACY_DRIVER_FEATURES = 4,
	RISER_VIRTIO_LEGACY_QUEUE_PFN = 8, /* the queue's address / 4096 */
	RISER_VIRTIO_LEGACY_QUEUE_SIZE = 12,
	RISER_VIRTIO_LEGACY_QUEUE_SELECT = 14,
	RISER_VIRTIO_LEGACY_QUEUE_NOTIFY = 16,
	RISER_VIRTIO_LEGACY_STATUS = 18,
	RISER_VIRTIO_LEGACY_ISR = 19,
	RISER_VIRTIO_LEGACY_CONFIG_VECTOR = 20, /* these two only while MSI-X is enabled, */
	RISER_VIRTIO_LEGACY_QUEUE_VECTOR = 22,
	RISER_VIRTIO_LEGACY_CONFIG = 20, /* and then the device's own begins at 24 */
	RISER_VIRTIO_LEGACY_CONFIG_MSIX = 24,
};
#define RISER_VIRTIO_LEGACY_ALIGN 4096u /* of the used ring, and a PFN's unit */

/* Split virtqueues (§2.7). */
#define RISER_VIRTQ_DESC_F_NEXT          1u
#define RISER_VIRTQ_DESC_F_WRITE         2u /* the device writes */
#define RISER_VIRTQ_DESC_F_INDIRECT      4u
#define RISER_VIRTQ_AVAIL_F_NO_INTERRUPT 1u
#define RISER_VIRTQ_USED_F_NO_NOTIFY     1u
#define RISER_VIRTQ_SIZE_MAX             32768u

struct riser_virtq_desc {
	riser_le64 addr;
	riser_le32 len;
	riser_le16 flags;
	riser_le16 next;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtq_desc) == 16);

struct riser_virtq_avail {
	riser_le16 flags;
	riser_le16 idx;
#ifndef __cplusplus        /* which has no arrays without a length */
	riser_le16 ring[]; /* behind the last: used_event */
#endif
};

struct riser_virtq_used_elem {
	riser_le32 id;
	riser_le32 len;
};

struct riser_virtq_used {
	riser_le16 flags;
	riser_le16 idx;
#ifndef __cplusplus
	struct riser_virtq_used_elem ring[]; /* behind the last: riser_le16 avail_event */
#endif
};

/* Packed virtqueues (§2.8). */
#define RISER_VIRTQ_PACKED_F_AVAIL       (1u << 7)
#define RISER_VIRTQ_PACKED_F_USED        (1u << 15)
#define RISER_VIRTQ_PACKED_EVENT_ENABLE  0u
#define RISER_VIRTQ_PACKED_EVENT_DISABLE 1u
#define RISER_VIRTQ_PACKED_EVENT_DESC    2u
#define RISER_VIRTQ_PACKED_EVENT_WRAP    (1u << 15) /* in off_wrap */

struct riser_virtq_packed_desc {
	riser_le64 addr;
	riser_le32 len;
	riser_le16 id;
	riser_le16 flags;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtq_packed_desc) == 16);

struct riser_virtq_packed_event {
	riser_le16 off_wrap;
	riser_le16 flags;
};

/* Network device (§5.1): feature bits. */
#define RISER_VIRTIO_NET_F_CSUM                0
#define RISER_VIRTIO_NET_F_GUEST_CSUM          1
#define RISER_VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define RISER_VIRTIO_NET_F_MTU                 3
#define RISER_VIRTIO_NET_F_MAC                 5
#define RISER_VIRTIO_NET_F_GSO                 6 /* legacy */
#define RISER_VIRTIO_NET_F_GUEST_TSO4          7
#define RISER_VIRTIO_NET_F_GUEST_TSO6          8
#define RISER_VIRTIO_NET_F_GUEST_ECN           9
#define RISER_VIRTIO_NET_F_GUEST_UFO           10
#define RISER_VIRTIO_NET_F_HOST_TSO4           11
#define RISER_VIRTIO_NET_F_HOST_TSO6           12
#define RISER_VIRTIO_NET_F_HOST_ECN            13
#define RISER_VIRTIO_NET_F_HOST_UFO            14
#define RISER_VIRTIO_NET_F_MRG_RXBUF           15
#define RISER_VIRTIO_NET_F_STATUS              16
#define RISER_VIRTIO_NET_F_CTRL_VQ             17
#define RISER_VIRTIO_NET_F_CTRL_RX             18
#define RISER_VIRTIO_NET_F_CTRL_VLAN           19
#define RISER_VIRTIO_NET_F_CTRL_RX_EXTRA       20
#define RISER_VIRTIO_NET_F_GUEST_ANNOUNCE      21
#define RISER_VIRTIO_NET_F_MQ                  22
#define RISER_VIRTIO_NET_F_CTRL_MAC_ADDR       23
#define RISER_VIRTIO_NET_F_DEVICE_STATS        50
#define RISER_VIRTIO_NET_F_HASH_TUNNEL         51
#define RISER_VIRTIO_NET_F_VQ_NOTF_COAL        52
#define RISER_VIRTIO_NET_F_NOTF_COAL           53
#define RISER_VIRTIO_NET_F_GUEST_USO4          54
#define RISER_VIRTIO_NET_F_GUEST_USO6          55
#define RISER_VIRTIO_NET_F_HOST_USO            56
#define RISER_VIRTIO_NET_F_HASH_REPORT         57
#define RISER_VIRTIO_NET_F_GUEST_HDRLEN        59
#define RISER_VIRTIO_NET_F_RSS                 60
#define RISER_VIRTIO_NET_F_RSC_EXT             61
#define RISER_VIRTIO_NET_F_STANDBY             62
#define RISER_VIRTIO_NET_F_SPEED_DUPLEX        63

/* Its configuration (§5.1.4). */
struct riser_virtio_net_config {
	uint8_t mac[6];
	riser_le16 status;              /* with STATUS */
	riser_le16 max_virtqueue_pairs; /* with MQ or RSS */
	riser_le16 mtu;                 /* with MTU */
	riser_le32 speed;               /* with SPEED_DUPLEX: Mbit/s, all-ones: unknown */
	uint8_t duplex;                 /* 0 half, 1 full, 0xff unknown */
	uint8_t rss_max_key_size;       /* with RSS or HASH_REPORT */
	riser_le16 rss_max_indirection_table_length;
	riser_le32 supported_hash_types;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_net_config) == 24);

#define RISER_VIRTIO_NET_S_LINK_UP  1u
#define RISER_VIRTIO_NET_S_ANNOUNCE 2u

/* What precedes each packet (§5.1.6). */
#define RISER_VIRTIO_NET_HDR_F_NEEDS_CSUM 1u
#define RISER_VIRTIO_NET_HDR_F_DATA_VALID 2u
#define RISER_VIRTIO_NET_HDR_F_RSC_INFO   4u
#define RISER_VIRTIO_NET_GSO_NONE         0u
#define RISER_VIRTIO_NET_GSO_TCPV4        1u
#define RISER_VIRTIO_NET_GSO_UDP          3u
#define RISER_VIRTIO_NET_GSO_TCPV6        4u
#define RISER_VIRTIO_NET_GSO_UDP_L4       5u
#define RISER_VIRTIO_NET_GSO_ECN          0x80u

struct riser_virtio_net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	riser_le16 hdr_len;
	riser_le16 gso_size;
	riser_le16 csum_start;
	riser_le16 csum_offset;
	riser_le16 num_buffers; /* not there on a legacy device without MRG_RXBUF */
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_net_hdr) == 12);
#define RISER_VIRTIO_NET_HDR_LEGACY 10u

/* With HASH_REPORT. */
struct riser_virtio_net_hdr_hash {
	struct riser_virtio_net_hdr h;
	riser_le32 hash_value;
	riser_le16 hash_report;
	riser_le16 padding;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_net_hdr_hash) == 20);

/* Control virtqueue (§5.1.6.5): struct riser_virtio_net_ctrl, the command's data, one byte ack. */
struct riser_virtio_net_ctrl {
	uint8_t class_code;
	uint8_t command;
};
#define RISER_VIRTIO_NET_OK                      0
#define RISER_VIRTIO_NET_ERR                     1
#define RISER_VIRTIO_NET_CTRL_RX                 0
#define RISER_VIRTIO_NET_CTRL_RX_PROMISC         0
#define RISER_VIRTIO_NET_CTRL_RX_ALLMULTI        1
#define RISER_VIRTIO_NET_CTRL_RX_ALLUNI          2
#define RISER_VIRTIO_NET_CTRL_RX_NOMULTI         3
#define RISER_VIRTIO_NET_CTRL_RX_NOUNI           4
#define RISER_VIRTIO_NET_CTRL_RX_NOBCAST         5
#define RISER_VIRTIO_NET_CTRL_MAC                1
#define RISER_VIRTIO_NET_CTRL_MAC_TABLE_SET      0
#define RISER_VIRTIO_NET_CTRL_MAC_ADDR_SET       1
#define RISER_VIRTIO_NET_CTRL_VLAN               2
#define RISER_VIRTIO_NET_CTRL_VLAN_ADD           0
#define RISER_VIRTIO_NET_CTRL_VLAN_DEL           1
#define RISER_VIRTIO_NET_CTRL_ANNOUNCE           3
#define RISER_VIRTIO_NET_CTRL_ANNOUNCE_ACK       0
#define RISER_VIRTIO_NET_CTRL_MQ                 4
#define RISER_VIRTIO_NET_CTRL_MQ_PAIRS_SET       0
#define RISER_VIRTIO_NET_CTRL_MQ_RSS_CONFIG      1
#define RISER_VIRTIO_NET_CTRL_MQ_HASH_CONFIG     2
#define RISER_VIRTIO_NET_CTRL_GUEST_OFFLOADS     5
#define RISER_VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET 0
#define RISER_VIRTIO_NET_CTRL_NOTF_COAL          6
#define RISER_VIRTIO_NET_CTRL_NOTF_COAL_TX_SET   0
#define RISER_VIRTIO_NET_CTRL_NOTF_COAL_RX_SET   1
#define RISER_VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET   2
#define RISER_VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET   3

/* MAC_TABLE_SET has two of these, unicast first; behind each stand its addresses. */
struct riser_virtio_net_ctrl_mac {
	riser_le32 entries;
};

/* MQ_RSS_CONFIG (§5.1.6.5.7): this, the indirection table, then the tail, then the key. */
struct riser_virtio_net_rss {
	riser_le32 hash_types;
	riser_le16 indirection_table_mask;
	riser_le16 unclassified_queue;
};
struct riser_virtio_net_rss_tail {
	riser_le16 max_tx_vq;
	uint8_t hash_key_length;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_net_rss) == 8);

/* MQ_HASH_CONFIG (§5.1.6.5.6.4), with the key behind it. */
struct riser_virtio_net_hash {
	riser_le32 hash_types;
	riser_le16 reserved[4];
	uint8_t hash_key_length;
};
RISER_VIRTIO_ASSERT(offsetof(struct riser_virtio_net_hash, hash_key_length) == 12);

/* NOTF_COAL (§5.1.6.5.8): of all queues, and of one. */
struct riser_virtio_net_coal {
	riser_le32 max_packets;
	riser_le32 max_usecs;
};
struct riser_virtio_net_coal_vq {
	riser_le16 vqn;
	riser_le16 reserved;
	struct riser_virtio_net_coal coal;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_net_coal_vq) == 12);

/* Block device (§5.2): feature bits. */
#define RISER_VIRTIO_BLK_F_SIZE_MAX     1
#define RISER_VIRTIO_BLK_F_SEG_MAX      2
#define RISER_VIRTIO_BLK_F_GEOMETRY     4
#define RISER_VIRTIO_BLK_F_RO           5
#define RISER_VIRTIO_BLK_F_BLK_SIZE     6
#define RISER_VIRTIO_BLK_F_FLUSH        9
#define RISER_VIRTIO_BLK_F_TOPOLOGY     10
#define RISER_VIRTIO_BLK_F_CONFIG_WCE   11
#define RISER_VIRTIO_BLK_F_MQ           12
#define RISER_VIRTIO_BLK_F_DISCARD      13
#define RISER_VIRTIO_BLK_F_WRITE_ZEROES 14
#define RISER_VIRTIO_BLK_F_LIFETIME     15
#define RISER_VIRTIO_BLK_F_SECURE_ERASE 16
#define RISER_VIRTIO_BLK_F_ZONED        17

/* Its configuration (§5.2.4), as far as it is used. */
struct riser_virtio_blk_config {
	riser_le64 capacity; /* sectors of 512 bytes */
	riser_le32 size_max;
	riser_le32 seg_max;
	riser_le16 cylinders;
	uint8_t heads;
	uint8_t sectors;
	riser_le32 blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	riser_le16 min_io_size;
	riser_le32 opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	riser_le16 num_queues;
	riser_le32 max_discard_sectors;
	riser_le32 max_discard_seg;
	riser_le32 discard_sector_alignment;
	riser_le32 max_write_zeroes_sectors;
	riser_le32 max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
RISER_VIRTIO_ASSERT(offsetof(struct riser_virtio_blk_config, write_zeroes_may_unmap) == 56);
RISER_VIRTIO_ASSERT(offsetof(struct riser_virtio_blk_config, num_queues) == 34);

/* A request (§5.2.6): this, the data, one byte of status. */
struct riser_virtio_blk_req {
	riser_le32 type;
	riser_le32 reserved;
	riser_le64 sector;
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_blk_req) == 16);
#define RISER_VIRTIO_BLK_T_IN           0
#define RISER_VIRTIO_BLK_T_OUT          1
#define RISER_VIRTIO_BLK_T_FLUSH        4
#define RISER_VIRTIO_BLK_T_GET_ID       8
#define RISER_VIRTIO_BLK_T_DISCARD      11
#define RISER_VIRTIO_BLK_T_WRITE_ZEROES 13
#define RISER_VIRTIO_BLK_S_OK           0
#define RISER_VIRTIO_BLK_S_IOERR        1
#define RISER_VIRTIO_BLK_S_UNSUPP       2
#define RISER_VIRTIO_BLK_ID_LEN         20

/* The data of DISCARD and WRITE_ZEROES. */
struct riser_virtio_blk_range {
	riser_le64 sector;
	riser_le32 num_sectors;
	riser_le32 flags; /* bit 0: unmap, of WRITE_ZEROES */
};
RISER_VIRTIO_ASSERT(sizeof(struct riser_virtio_blk_range) == 16);

#endif
