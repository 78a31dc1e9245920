/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The structures and numbers of the NVM Express Base Specification 2.0 and the NVM Command Set
 * Specification 1.0, as far as riser uses them. Section numbers are those of the Base
 * Specification 2.0c unless "NVM" precedes them.
 */
#ifndef RISER_NVME_SPEC_H
#define RISER_NVME_SPEC_H

#include <riser/endian.h>
#include <stddef.h>

#ifdef __cplusplus
#define RISER_NVME_ASSERT(what) static_assert(what, #what)
#else
#define RISER_NVME_ASSERT(what) _Static_assert(what, #what)
#endif

/* Controller registers (§3.1.3), offsets into BAR0. */
enum riser_nvme_reg {
	RISER_NVME_REG_CAP = 0x00,
	RISER_NVME_REG_VS = 0x08,
	RISER_NVME_REG_INTMS = 0x0c,
	RISER_NVME_REG_INTMC = 0x10,
	RISER_NVME_REG_CC = 0x14,
	RISER_NVME_REG_CSTS = 0x1c,
	RISER_NVME_REG_NSSR = 0x20,
	RISER_NVME_REG_AQA = 0x24,
	RISER_NVME_REG_ASQ = 0x28,
	RISER_NVME_REG_ACQ = 0x30,
	RISER_NVME_REG_CMBLOC = 0x38,
	RISER_NVME_REG_CMBSZ = 0x3c,
	RISER_NVME_REG_DBS = 0x1000,
};

/* CAP, Controller Capabilities (§3.1.3.1). */
#define RISER_NVME_CAP_MQES(cap)   ((unsigned)((cap)&0xffff)) /* zero-based */
#define RISER_NVME_CAP_CQR(cap)    ((unsigned)((cap) >> 16 & 1))
#define RISER_NVME_CAP_TO(cap)     ((unsigned)((cap) >> 24 & 0xff)) /* units of 500 ms */
#define RISER_NVME_CAP_DSTRD(cap)  ((unsigned)((cap) >> 32 & 0xf))  /* stride is 4 << DSTRD bytes */
#define RISER_NVME_CAP_NSSRS(cap)  ((unsigned)((cap) >> 36 & 1))
#define RISER_NVME_CAP_CSS(cap)    ((unsigned)((cap) >> 37 & 0xff)) /* bits: 0 NVM, 6 sets, 7 none */
#define RISER_NVME_CAP_MPSMIN(cap) ((unsigned)((cap) >> 48 & 0xf))  /* 4096 << n bytes */
#define RISER_NVME_CAP_MPSMAX(cap) ((unsigned)((cap) >> 52 & 0xf))

/* CC, Controller Configuration (§3.1.3.5). */
#define RISER_NVME_CC_EN           (1u << 0)
#define RISER_NVME_CC_CSS_SHIFT    4
#define RISER_NVME_CC_CSS_ALL      6u
#define RISER_NVME_CC_MPS_SHIFT    7
#define RISER_NVME_CC_AMS_SHIFT    11
#define RISER_NVME_CC_SHN_SHIFT    14
#define RISER_NVME_CC_SHN_MASK     (3u << 14)
#define RISER_NVME_CC_SHN_NORMAL   (1u << 14)
#define RISER_NVME_CC_SHN_ABRUPT   (2u << 14)
#define RISER_NVME_CC_IOSQES_SHIFT 16
#define RISER_NVME_CC_IOCQES_SHIFT 20

/* CSTS, Controller Status (§3.1.3.6). */
#define RISER_NVME_CSTS_RDY           (1u << 0)
#define RISER_NVME_CSTS_CFS           (1u << 1)
#define RISER_NVME_CSTS_SHST_MASK     (3u << 2)
#define RISER_NVME_CSTS_SHST_OCCURING (1u << 2)
#define RISER_NVME_CSTS_SHST_COMPLETE (2u << 2)
#define RISER_NVME_CSTS_NSSRO         (1u << 4)
#define RISER_NVME_CSTS_PP            (1u << 5)

/**
 * struct riser_nvme_sqe - submission queue entry (§3.3.3.1, figure 87)
 */
struct riser_nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* FUSE bits 1:0, PSDT bits 7:6 */
	riser_le16 cid;
	riser_le32 nsid;
	riser_le32 cdw2;
	riser_le32 cdw3;
	riser_le64 mptr;
	riser_le64 prp1;
	riser_le64 prp2;
	riser_le32 cdw10;
	riser_le32 cdw11;
	riser_le32 cdw12;
	riser_le32 cdw13;
	riser_le32 cdw14;
	riser_le32 cdw15;
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_sqe) == 64);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_sqe, prp1) == 24);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_sqe, cdw10) == 40);

/**
 * struct riser_nvme_cqe - completion queue entry (§3.3.3.2, figure 89)
 */
struct riser_nvme_cqe {
	riser_le32 dw0;
	riser_le32 dw1;
	riser_le16 sqhd;
	riser_le16 sqid;
	riser_le16 cid;
	riser_le16 status; /* bit 0 phase; 8:1 SC; 11:9 SCT; 13:12 CRD; 14 More; 15 DNR */
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_cqe) == 16);

/* Admin opcodes (§5). */
enum riser_nvme_admin_opcode {
	RISER_NVME_ADM_DELETE_SQ = 0x00,
	RISER_NVME_ADM_CREATE_SQ = 0x01,
	RISER_NVME_ADM_GET_LOG = 0x02,
	RISER_NVME_ADM_DELETE_CQ = 0x04,
	RISER_NVME_ADM_CREATE_CQ = 0x05,
	RISER_NVME_ADM_IDENTIFY = 0x06,
	RISER_NVME_ADM_ABORT = 0x08,
	RISER_NVME_ADM_SET_FEATURES = 0x09,
	RISER_NVME_ADM_GET_FEATURES = 0x0a,
	RISER_NVME_ADM_AER = 0x0c,
	RISER_NVME_ADM_NS_MGMT = 0x0d,
	RISER_NVME_ADM_FW_COMMIT = 0x10,
	RISER_NVME_ADM_FW_DOWNLOAD = 0x11,
	RISER_NVME_ADM_SELF_TEST = 0x14,
	RISER_NVME_ADM_NS_ATTACH = 0x15,
	RISER_NVME_ADM_KEEP_ALIVE = 0x18,
	RISER_NVME_ADM_DIRECTIVE_SEND = 0x19,
	RISER_NVME_ADM_DIRECTIVE_RECV = 0x1a,
	RISER_NVME_ADM_VIRT_MGMT = 0x1c,
	RISER_NVME_ADM_MI_SEND = 0x1d,
	RISER_NVME_ADM_MI_RECV = 0x1e,
	RISER_NVME_ADM_DBBUF = 0x7c,
	RISER_NVME_ADM_FORMAT = 0x80,
	RISER_NVME_ADM_SECURITY_SEND = 0x81,
	RISER_NVME_ADM_SECURITY_RECV = 0x82,
	RISER_NVME_ADM_SANITIZE = 0x84,
	RISER_NVME_ADM_GET_LBA_STATUS = 0x86,
};

/* I/O opcodes of the NVM command set (NVM §3). */
enum riser_nvme_io_opcode {
	RISER_NVME_IO_FLUSH = 0x00,
	RISER_NVME_IO_WRITE = 0x01,
	RISER_NVME_IO_READ = 0x02,
	RISER_NVME_IO_WRITE_UNCOR = 0x04,
	RISER_NVME_IO_COMPARE = 0x05,
	RISER_NVME_IO_WRITE_ZEROES = 0x08,
	RISER_NVME_IO_DSM = 0x09,
	RISER_NVME_IO_VERIFY = 0x0c,
	RISER_NVME_IO_RESV_REGISTER = 0x0d,
	RISER_NVME_IO_RESV_REPORT = 0x0e,
	RISER_NVME_IO_RESV_ACQUIRE = 0x11,
	RISER_NVME_IO_RESV_RELEASE = 0x15,
	RISER_NVME_IO_COPY = 0x19,
};

/* The two low bits of an opcode say which way data goes (§3.3.3.1). */
#define RISER_NVME_XFER(opcode)       ((opcode)&3)
#define RISER_NVME_XFER_NONE          0
#define RISER_NVME_XFER_TO_DEVICE     1
#define RISER_NVME_XFER_FROM_DEVICE   2
#define RISER_NVME_XFER_BIDIRECTIONAL 3

/* Command dword 12 of read, write, compare, write zeroes (NVM §3.2). */
#define RISER_NVME_RW_LR   (1u << 31)
#define RISER_NVME_RW_FUA  (1u << 30)
#define RISER_NVME_RW_DEAC (1u << 25)
/* Command dword 11 of dataset management (NVM §3.2.3). */
#define RISER_NVME_DSM_AD (1u << 2)

/* Status Code Type and Status Code, as SCT << 8 | SC (§3.3.3.2.1). */
#define RISER_NVME_SC(status)  ((status)&0xff)
#define RISER_NVME_SCT(status) ((status) >> 8 & 7)
#define RISER_NVME_ST_MASK     0x07ffu
#define RISER_NVME_ST_CRD      0x1800u /* command retry delay index */
#define RISER_NVME_ST_MORE     0x2000u
#define RISER_NVME_ST_DNR      0x4000u /* do not retry */
enum riser_nvme_status {
	RISER_NVME_ST_SUCCESS = 0x000,
	RISER_NVME_ST_INVALID_OPCODE = 0x001,
	RISER_NVME_ST_INVALID_FIELD = 0x002,
	RISER_NVME_ST_CID_CONFLICT = 0x003,
	RISER_NVME_ST_DATA_TRANSFER = 0x004,
	RISER_NVME_ST_POWER_LOSS = 0x005,
	RISER_NVME_ST_INTERNAL = 0x006,
	RISER_NVME_ST_ABORT_REQUESTED = 0x007,
	RISER_NVME_ST_ABORT_SQ_DELETED = 0x008,
	RISER_NVME_ST_INVALID_NS = 0x00b,
	RISER_NVME_ST_SEQUENCE = 0x00c,
	RISER_NVME_ST_PRP_OFFSET = 0x013,
	RISER_NVME_ST_SANITIZE_IN_PROGRESS = 0x01d,
	RISER_NVME_ST_WRITE_PROTECTED = 0x020,
	RISER_NVME_ST_INTERRUPTED = 0x021,
	RISER_NVME_ST_TRANSIENT = 0x022,
	RISER_NVME_ST_LBA_RANGE = 0x080,
	RISER_NVME_ST_CAPACITY = 0x081,
	RISER_NVME_ST_NS_NOT_READY = 0x082,
	RISER_NVME_ST_RESERVATION = 0x083,
	RISER_NVME_ST_FORMAT_IN_PROGRESS = 0x084,
	RISER_NVME_ST_CQ_INVALID = 0x100,
	RISER_NVME_ST_QID_INVALID = 0x101,
	RISER_NVME_ST_QSIZE_INVALID = 0x102,
	RISER_NVME_ST_ABORT_LIMIT = 0x103,
	RISER_NVME_ST_AER_LIMIT = 0x105,
	RISER_NVME_ST_INVALID_VECTOR = 0x108,
	RISER_NVME_ST_INVALID_LOG = 0x109,
	RISER_NVME_ST_INVALID_FORMAT = 0x10a,
	RISER_NVME_ST_QUEUE_DELETE = 0x10c,
	RISER_NVME_ST_FEATURE_NOT_SAVEABLE = 0x10d,
	RISER_NVME_ST_FEATURE_NOT_CHANGEABLE = 0x10e,
	RISER_NVME_ST_CONFLICTING_ATTRS = 0x180,
	RISER_NVME_ST_READ_ONLY_RANGE = 0x182,
	RISER_NVME_ST_SIZE_LIMIT = 0x183,
	RISER_NVME_ST_WRITE_FAULT = 0x280,
	RISER_NVME_ST_READ_ERROR = 0x281,
	RISER_NVME_ST_GUARD = 0x282,
	RISER_NVME_ST_APPTAG = 0x283,
	RISER_NVME_ST_REFTAG = 0x284,
	RISER_NVME_ST_COMPARE_FAILED = 0x285,
	RISER_NVME_ST_ACCESS_DENIED = 0x286,
	RISER_NVME_ST_UNWRITTEN = 0x287,
};

/* CNS values of Identify (§5.17.1). */
enum riser_nvme_cns {
	RISER_NVME_CNS_NS = 0x00,
	RISER_NVME_CNS_CTRL = 0x01,
	RISER_NVME_CNS_ACTIVE_NS = 0x02,
	RISER_NVME_CNS_NS_DESC = 0x03,
	RISER_NVME_CNS_CSI_NS = 0x05,
	RISER_NVME_CNS_CSI_CTRL = 0x06,
	RISER_NVME_CNS_CSI_ACTIVE_NS = 0x07,
	RISER_NVME_CNS_ALLOCATED_NS = 0x10,
	RISER_NVME_CNS_ALLOCATED_NS_DATA = 0x11,
	RISER_NVME_CNS_NS_CTRLS = 0x12,
	RISER_NVME_CNS_CTRLS = 0x13,
	RISER_NVME_CNS_CSI_SETS = 0x1c,
};

/* Feature identifiers (§5.27.1). */
enum riser_nvme_feature {
	RISER_NVME_FEAT_ARBITRATION = 0x01,
	RISER_NVME_FEAT_POWER = 0x02,
	RISER_NVME_FEAT_TEMP_THRESHOLD = 0x04,
	RISER_NVME_FEAT_ERROR_RECOVERY = 0x05,
	RISER_NVME_FEAT_VOLATILE_CACHE = 0x06,
	RISER_NVME_FEAT_QUEUES = 0x07,
	RISER_NVME_FEAT_IRQ_COALESCING = 0x08,
	RISER_NVME_FEAT_IRQ_VECTOR = 0x09,
	RISER_NVME_FEAT_WRITE_ATOMICITY = 0x0a,
	RISER_NVME_FEAT_AER = 0x0b,
	RISER_NVME_FEAT_TIMESTAMP = 0x0e,
	RISER_NVME_FEAT_HOST_ID = 0x81,
};
#define RISER_NVME_FEAT_SAVE (1u << 31) /* Set Features dword 10 */

/* Log page identifiers (§5.16.1). */
enum riser_nvme_log {
	RISER_NVME_LOG_SUPPORTED = 0x00,
	RISER_NVME_LOG_ERROR = 0x01,
	RISER_NVME_LOG_SMART = 0x02,
	RISER_NVME_LOG_FW_SLOT = 0x03,
	RISER_NVME_LOG_CHANGED_NS = 0x04,
	RISER_NVME_LOG_EFFECTS = 0x05,
	RISER_NVME_LOG_SELF_TEST = 0x06,
};

/* Asynchronous events (§5.2.1): type in bits 2:0, information in 15:8, log page in 23:16. */
enum riser_nvme_aer_type {
	RISER_NVME_AER_ERROR = 0,
	RISER_NVME_AER_SMART = 1,
	RISER_NVME_AER_NOTICE = 2,
	RISER_NVME_AER_IMMEDIATE = 3,
};
#define RISER_NVME_AER_ERROR_INVALID_DB       0x00
#define RISER_NVME_AER_ERROR_INVALID_DB_VALUE 0x01
#define RISER_NVME_AER_NOTICE_NS_CHANGED      0x00

#define RISER_NVME_NSID_ALL                   0xffffffffu

/**
 * struct riser_nvme_psd - power state descriptor (figure 277)
 */
struct riser_nvme_psd {
	riser_le16 mp;
	uint8_t rsvd2;
	uint8_t flags;
	riser_le32 enlat;
	riser_le32 exlat;
	uint8_t rrt;
	uint8_t rrl;
	uint8_t rwt;
	uint8_t rwl;
	riser_le16 idlp;
	uint8_t ips;
	uint8_t rsvd19;
	riser_le16 actp;
	uint8_t apws;
	uint8_t rsvd23[9];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_psd) == 32);

/**
 * struct riser_nvme_id_ctrl - Identify Controller data (figure 276)
 */
struct riser_nvme_id_ctrl {
	riser_le16 vid;
	riser_le16 ssvid;
	char sn[20];
	char mn[40];
	char fr[8];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts; /* maximum transfer is 2^mdts minimum pages; 0: none */
	riser_le16 cntlid;
	riser_le32 ver;
	riser_le32 rtd3r;
	riser_le32 rtd3e; /* microseconds; shutdown latency */
	riser_le32 oaes;
	riser_le32 ctratt;
	riser_le16 rrls;
	uint8_t rsvd102[9];
	uint8_t cntrltype;
	uint8_t fguid[16];
	riser_le16 crdt[3]; /* command retry delay, units of 100 ms */
	uint8_t rsvd134[119];
	uint8_t nvmsr;
	uint8_t vwci;
	uint8_t mec;
	riser_le16 oacs;
	uint8_t acl;  /* zero-based */
	uint8_t aerl; /* zero-based */
	uint8_t frmw;
	uint8_t lpa;
	uint8_t elpe; /* zero-based */
	uint8_t npss; /* zero-based */
	uint8_t avscc;
	uint8_t apsta;
	riser_le16 wctemp; /* kelvin */
	riser_le16 cctemp;
	riser_le16 mtfa;
	riser_le32 hmpre;
	riser_le32 hmmin;
	riser_le64 tnvmcap[2];
	riser_le64 unvmcap[2];
	riser_le32 rpmbs;
	riser_le16 edstt;
	uint8_t dsto;
	uint8_t fwug;
	riser_le16 kas;
	riser_le16 hctma;
	riser_le16 mntmt;
	riser_le16 mxtmt;
	riser_le32 sanicap;
	riser_le32 hmminds;
	riser_le16 hmmaxd;
	riser_le16 nsetidmax;
	riser_le16 endgidmax;
	uint8_t anatt;
	uint8_t anacap;
	riser_le32 anagrpmax;
	riser_le32 nanagrpid;
	riser_le32 pels;
	riser_le16 domainid;
	uint8_t rsvd358[10];
	riser_le64 megcap[2];
	uint8_t rsvd384[128];
	uint8_t sqes; /* low nibble minimum, high nibble maximum, powers of two */
	uint8_t cqes;
	riser_le16 maxcmd;
	riser_le32 nn;
	riser_le16 oncs;
	riser_le16 fuses;
	uint8_t fna;
	uint8_t vwc;
	riser_le16 awun;
	riser_le16 awupf;
	uint8_t icsvscc;
	uint8_t nwpc;
	riser_le16 acwu;
	riser_le16 cdfs;
	riser_le32 sgls;
	riser_le32 mnan;
	riser_le64 maxdna[2];
	riser_le32 maxcna;
	uint8_t rsvd564[204];
	char subnqn[256];
	uint8_t rsvd1024[768];
	uint8_t nvmeof[256];
	struct riser_nvme_psd psd[32];
	uint8_t vs[1024];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_id_ctrl) == 4096);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_id_ctrl, oacs) == 256);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_id_ctrl, sqes) == 512);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_id_ctrl, subnqn) == 768);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_id_ctrl, psd) == 2048);

/**
 * struct riser_nvme_id_ctrl_nvm - Identify Controller data of the NVM command set (NVM §4.1.5.4)
 *
 * Sizes are powers of two of the smallest page (CAP.MPSMIN); 0: no limit is reported.
 */
struct riser_nvme_id_ctrl_nvm {
	uint8_t vsl;      /* Verify */
	uint8_t wzsl;     /* Write Zeroes */
	uint8_t wusl;     /* Write Uncorrectable */
	uint8_t dmrl;     /* ranges of a Dataset Management */
	riser_le32 dmrsl; /* blocks of one range */
	riser_le64 dmsl;  /* blocks of all ranges */
	uint8_t rsvd16[4080];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_id_ctrl_nvm) == 4096);

/* OACS (figure 276). */
#define RISER_NVME_OACS_SECURITY  (1u << 0)
#define RISER_NVME_OACS_FORMAT    (1u << 1)
#define RISER_NVME_OACS_FIRMWARE  (1u << 2)
#define RISER_NVME_OACS_NS_MGMT   (1u << 3)
#define RISER_NVME_OACS_SELF_TEST (1u << 4)
#define RISER_NVME_OACS_DBBUF     (1u << 8)
/* ONCS. */
#define RISER_NVME_ONCS_COMPARE      (1u << 0)
#define RISER_NVME_ONCS_WRITE_UNCOR  (1u << 1)
#define RISER_NVME_ONCS_DSM          (1u << 2)
#define RISER_NVME_ONCS_WRITE_ZEROES (1u << 3)
#define RISER_NVME_ONCS_SAVE         (1u << 4)
#define RISER_NVME_ONCS_RESERVATIONS (1u << 5)
#define RISER_NVME_ONCS_TIMESTAMP    (1u << 6)
#define RISER_NVME_ONCS_VERIFY       (1u << 7)
#define RISER_NVME_ONCS_COPY         (1u << 8)
/* OAES and the Asynchronous Event Configuration feature. */
#define RISER_NVME_OAES_NS_CHANGED (1u << 8)

/**
 * struct riser_nvme_lbaf - LBA format (NVM figure 98)
 */
struct riser_nvme_lbaf {
	riser_le16 ms;
	uint8_t lbads; /* block size is 2^lbads bytes; 0: not available */
	uint8_t rp;
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_lbaf) == 4);

/**
 * struct riser_nvme_id_ns - Identify Namespace data (NVM figure 97)
 */
struct riser_nvme_id_ns {
	riser_le64 nsze;
	riser_le64 ncap;
	riser_le64 nuse;
	uint8_t nsfeat;
	uint8_t nlbaf; /* zero-based */
	uint8_t flbas;
	uint8_t mc;
	uint8_t dpc;
	uint8_t dps;
	uint8_t nmic;
	uint8_t rescap;
	uint8_t fpi;
	uint8_t dlfeat; /* bits 2:0 = 1: deallocated blocks read as zeroes */
	riser_le16 nawun;
	riser_le16 nawupf;
	riser_le16 nacwu;
	riser_le16 nabsn;
	riser_le16 nabo;
	riser_le16 nabspf;
	riser_le16 noiob;
	riser_le64 nvmcap[2];
	riser_le16 npwg;
	riser_le16 npwa;
	riser_le16 npdg;
	riser_le16 npda;
	riser_le16 nows;
	riser_le16 mssrl;
	riser_le32 mcl;
	uint8_t msrc;
	uint8_t rsvd81[11];
	riser_le32 anagrpid;
	uint8_t rsvd96[3];
	uint8_t nsattr;
	riser_le16 nvmsetid;
	riser_le16 endgid;
	uint8_t nguid[16];
	uint8_t eui64[8];
	struct riser_nvme_lbaf lbaf[64];
	uint8_t vs[3712];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_id_ns) == 4096);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_id_ns, nguid) == 104);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_id_ns, lbaf) == 128);

/* FLBAS: format index in bits 3:0, its high bits in 6:5, extended metadata in bit 4. */
#define RISER_NVME_FLBAS_INDEX(flbas) (((flbas)&0xf) | ((flbas) >> 1 & 0x30))

/**
 * struct riser_nvme_ns_desc - namespace identification descriptor header (§5.17.2.3)
 */
struct riser_nvme_ns_desc {
	uint8_t nidt; /* 1 EUI64, 2 NGUID, 3 UUID, 4 CSI */
	uint8_t nidl;
	uint8_t rsvd2[2];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_ns_desc) == 4);

/**
 * struct riser_nvme_smart - SMART / health information log (figure 207)
 */
struct riser_nvme_smart {
	uint8_t critical_warning;
	uint8_t temperature[2]; /* kelvin, little endian */
	uint8_t avail_spare;
	uint8_t spare_thresh;
	uint8_t percent_used;
	uint8_t endu_grp_summary;
	uint8_t rsvd7[25];
	riser_le64 data_units_read[2]; /* thousands of 512 bytes */
	riser_le64 data_units_written[2];
	riser_le64 host_reads[2];
	riser_le64 host_writes[2];
	riser_le64 ctrl_busy_time[2];
	riser_le64 power_cycles[2];
	riser_le64 power_on_hours[2];
	riser_le64 unsafe_shutdowns[2];
	riser_le64 media_errors[2];
	riser_le64 num_err_log_entries[2];
	riser_le32 warning_temp_time;
	riser_le32 critical_comp_time;
	riser_le16 temp_sensor[8];
	riser_le32 thm_temp1_trans_count;
	riser_le32 thm_temp2_trans_count;
	riser_le32 thm_temp1_total_time;
	riser_le32 thm_temp2_total_time;
	uint8_t rsvd232[280];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_smart) == 512);
RISER_NVME_ASSERT(offsetof(struct riser_nvme_smart, data_units_read) == 32);

/**
 * struct riser_nvme_error_entry - error information log entry (figure 206)
 */
struct riser_nvme_error_entry {
	riser_le64 error_count;
	riser_le16 sqid;
	riser_le16 cid;
	riser_le16 status; /* with the phase bit in bit 0 */
	riser_le16 param_error_location;
	riser_le64 lba;
	riser_le32 nsid;
	uint8_t vs;
	uint8_t trtype;
	uint8_t rsvd30[2];
	riser_le64 cs;
	riser_le16 trtype_spec_info;
	uint8_t rsvd42[22];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_error_entry) == 64);

/**
 * struct riser_nvme_fw_slot - firmware slot information log (figure 209)
 */
struct riser_nvme_fw_slot {
	uint8_t afi;
	uint8_t rsvd1[7];
	char frs[7][8];
	uint8_t rsvd64[448];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_fw_slot) == 512);

/**
 * struct riser_nvme_effects - commands supported and effects log (figure 211)
 */
struct riser_nvme_effects {
	riser_le32 acs[256];
	riser_le32 iocs[256];
	uint8_t rsvd2048[2048];
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_effects) == 4096);

/**
 * struct riser_nvme_dsm_range - dataset management range (NVM figure 45)
 */
struct riser_nvme_dsm_range {
	riser_le32 cattr;
	riser_le32 nlb;
	riser_le64 slba;
};
RISER_NVME_ASSERT(sizeof(struct riser_nvme_dsm_range) == 16);

#endif
