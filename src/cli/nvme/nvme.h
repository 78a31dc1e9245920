/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the verbs under "nvme" share. Most are nvme_run() of an action that sends its command and
 * hands the answer to nvme_show().
 */
#ifndef CLI_NVME_NVME_H
#define CLI_NVME_NVME_H

#include "cli/cli.h"
#include "cli/json.h"
#include <riser/nvme.h>

#define le16(v) riser_le16_get(v)
#define le32(v) riser_le32_get(v)
#define le64(v) riser_le64_get(v)

/* ---- options ---- */

/* Rows that several verbs have, each for the member of its struct args. */
#define OPT_ROW(name, letter, kind, member, arg, help)                                             \
	{                                                                                          \
		name, letter, OPT_IS_##kind(struct args, member), arg, help                        \
	}
#define OPT_NSID(help)  OPT_ROW("namespace-id", 'n', NUM32, nsid, "NUM", help)
#define OPT_NSID_ONE    OPT_NSID("default: the URI's nsid=, or the only one")
#define OPT_START_BLOCK OPT_ROW("start-block", 's', NUM, start, "NUM", "first block; default 0")
#define OPT_BLOCK_COUNT                                                                            \
	OPT_ROW("block-count", 'c', NUM32, count, "NUM", "how many blocks less one; default 0")
#define OPT_FUA                                                                                    \
	OPT_ROW("force-unit-access", 'f', BOOL, fua, NULL, "durable when the command completes")
#define OPT_LIMITED_RETRY                                                                          \
	OPT_ROW("limited-retry", 'l', BOOL, lr, NULL, "the controller shall not try long")
#define OPT_FEATURE_ID OPT_ROW("feature-id", 'f', NUM32, fid, "NUM", "which feature (required)")
#define OPT_DATA_LEN                                                                               \
	OPT_ROW("data-len", 'l', NUM32, data_len, "NUM", "bytes of data beside the value")
#define OPT_RAW_BYTES OPT_ROW("raw-binary", 'b', BOOL, binary, NULL, "print the bytes")

/* --pci BDF: a function of this machine by its address, where a verb takes a URI. */
struct nvme_pci {
	const char *bdf;
	uint64_t iova_base;
	char uri[64];
};

#define NVME_IOVA_BASE 0x100000000u
#define OPT_PCI_ROWS                                                                               \
	OPT_ROW("pci", 0, TEXT, pci.bdf, "BDF", "a PCI function, such as 0000:01:00.0, for URI"),  \
		OPT_ROW("iova-base", 0, NUM, pci.iova_base, "ADDRESS",                             \
			"with --pci: where the device sees memory from; default 0x100000000")

/* Make what --pci says the URI that the command line names. Return: 0 or an exit code. */
int nvme_take_pci(struct cli *c, struct nvme_pci *p);

/* ---- an open controller ---- */

struct nvme_dev {
	struct cli *c;
	const char *uri;
	bool may_write;
	struct riser_nvme *ctrl;
	struct riser_nvme_info info;
	struct riser_nvme_ns *ns;
	struct riser_nvme_ns_info nsi;
	struct riser_nvme_qpair *q;
	void *buf;
	size_t buf_len;
};

/* Flags of nvme_open(). */
#define NVME_WRITE     (1u << 0) /* wants --yes-destroy-data where that counts */
#define NVME_MAY_WRITE (1u << 1) /* for writing where that is allowed, else guarded */
#define NVME_READER    (1u << 2) /* Identify and Read can be sent, and nothing else */

/* Each returns 0 or an exit code after its sentence; nvme_close() takes what they left. */
int nvme_open(struct cli *c, struct nvme_dev *n, unsigned flags);
/* The same, with a deadline for commands; 0: the URI's or the driver's. */
int nvme_open_timed(struct cli *c, struct nvme_dev *n, unsigned flags, uint32_t timeout_ms);
/* @nsid 0: the URI's nsid=, or the only namespace. */
int nvme_open_ns(struct nvme_dev *n, uint32_t nsid);
int nvme_open_queue(struct nvme_dev *n);
/* A buffer in n->buf for the one command of a verb. */
int nvme_alloc(struct nvme_dev *n, size_t len);
void nvme_close(struct nvme_dev *n);

/*
 * All of a verb's run: read the options into @args, @check them (where not NULL), open the
 * controller with @flags, @act, close. @args: NULL, or what the verb keeps, its options with it.
 * Return: an exit code, as @check and @act do.
 */
int nvme_run(struct cli *c, void *args, unsigned flags, int (*check)(struct cli *c, void *args),
	     int (*act)(struct nvme_dev *n, void *args));

/* The namespace that @nsid or else the URI names; 0 when neither does. */
uint32_t nvme_nsid(const struct nvme_dev *n, uint32_t nsid);

/* Say how @what failed: a status of the controller or driver, or a negative errno. */
int nvme_fail(struct nvme_dev *n, const char *what, int64_t status);

/* Send one I/O command and wait for it. Return: its status, or a negative errno. */
int64_t nvme_io(struct nvme_dev *n, const struct riser_nvme_sqe *sqe, void *buf, size_t len,
		uint64_t *result);

/* Send an admin command, read a log page. Return: 0 or an exit code. */
int nvme_admin(struct nvme_dev *n, const char *what, struct riser_nvme_admin *cmd);
int nvme_get_log(struct nvme_dev *n, uint8_t lid, uint32_t nsid, void *buf, size_t len);

/* Identify Namespace data of one namespace. Return: 0 or an exit code. */
int nvme_identify_ns(struct nvme_dev *n, uint32_t nsid, struct riser_nvme_id_ns *out);

/* ---- printing ---- */

/**
 * struct view - how a verb's answer reads
 * @text: for people; NULL says nothing
 * @json: members of an object that is open
 */
struct view {
	void (*text)(const void *what);
	void (*json)(struct json *j, const void *what);
};

/* Print @what by @v as the format wants; for -o binary, @len bytes of @data. Return: 0. */
int nvme_show(const struct cli *c, const struct view *v, const void *what, const void *data,
	      size_t len);

enum field_kind {
	FIELD_DEC,
	FIELD_HEX,
	FIELD_TEXT,
	FIELD_BYTES,
	FIELD_UUID,
	FIELD_OUI,
	FIELD_KELVIN
};

/**
 * struct field - a member of a structure that a controller gave
 * @name: as nvme-cli spells it; NULL ends a table
 * @at: offset
 * @len: bytes
 * @kind: how it is printed; in JSON numbers are plain
 */
struct field {
	const char *name;
	uint16_t at, len;
	enum field_kind kind;
};

#define FIELD(type, member, how)                                                                   \
	{                                                                                          \
#member, offsetof(struct type, member), sizeof(((struct type *)0)->member),        \
			FIELD_##how                                                                \
	}
#define FIELD_AS(text, type, member, how)                                                          \
	{                                                                                          \
		text, offsetof(struct type, member), sizeof(((struct type *)0)->member),           \
			FIELD_##how                                                                \
	}

/* Lines "name : value", names padded to @width. */
void fields_print(const struct field *f, const void *data, int width);
void fields_json(struct json *j, const struct field *f, const void *data);

/* The whole of a structure to stdout, for -o binary. */
void print_binary(const void *data, size_t len);
void print_hex(const void *data, size_t len);
/* {"data": [0, 1, …]} members of an open object. */
void json_bytes(struct json *j, const char *key, const void *data, size_t len);

/* ---- files ---- */

/* Fill @buf from @path (NULL: stdin), which must hold that much. Return: 0 or an exit code. */
int read_input(struct cli *c, const char *path, void *buf, size_t len);
/* Write @buf to @path (NULL: stdout), all of it or nothing. */
int write_output(struct cli *c, const char *path, const void *buf, size_t len);

/* ---- features ---- */

const char *feature_name(uint32_t fid);
/* Bytes of data that a feature has beside its dword; 0 for most. */
uint32_t feature_data_len(uint32_t fid);

#endif
