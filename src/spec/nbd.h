/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The NBD protocol, fixed newstyle: numbers and wire structures.
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 *
 * Everything is big-endian. Structures have no padding on the wire, so they are packed; a peer's
 * bytes are copied into one of these before they are looked at.
 */
#ifndef SPEC_NBD_H
#define SPEC_NBD_H

#include <assert.h>
#include <riser/endian.h>
#include <stddef.h>
#include <stdint.h>

#define NBD_PORT               10809
#define NBD_STRING_MAX         4096u       /* export names, descriptions */
#define NBD_REQUEST_MAX        (32u << 20) /* bytes of a READ or WRITE */
#define NBD_EXPORT_ZEROES      124         /* behind struct nbd_export_reply without NO_ZEROES */

#define NBD_MAGIC              0x4e42444d41474943ull /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC       0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_OPTION_REPLY_MAGIC 0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC      0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_CHUNK_MAGIC        0x668e33efu /* of a structured reply */

/* Handshake flags, the server's and the client's. */
#define NBD_FLAG_FIXED_NEWSTYLE (1u << 0)
#define NBD_FLAG_NO_ZEROES      (1u << 1)

/* Transmission flags. */
#define NBD_FLAG_HAS_FLAGS         (1u << 0)
#define NBD_FLAG_READ_ONLY         (1u << 1)
#define NBD_FLAG_SEND_FLUSH        (1u << 2)
#define NBD_FLAG_SEND_FUA          (1u << 3)
#define NBD_FLAG_SEND_TRIM         (1u << 5)
#define NBD_FLAG_SEND_WRITE_ZEROES (1u << 6)
#define NBD_FLAG_SEND_DF           (1u << 7)
#define NBD_FLAG_CAN_MULTI_CONN    (1u << 8)
#define NBD_FLAG_SEND_CACHE        (1u << 10)
#define NBD_FLAG_SEND_FAST_ZERO    (1u << 11)

enum nbd_option_type {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_LIST_META_CONTEXT = 9,
	NBD_OPT_SET_META_CONTEXT = 10,
};

enum nbd_option_reply_type {
	NBD_REP_ACK = 1,
	NBD_REP_SERVER = 2,
	NBD_REP_INFO = 3,
	NBD_REP_META_CONTEXT = 4,
};

#define NBD_REP_ERROR       (1u << 31)
#define NBD_REP_ERR_UNSUP   (NBD_REP_ERROR | 1)
#define NBD_REP_ERR_INVALID (NBD_REP_ERROR | 3)
#define NBD_REP_ERR_UNKNOWN (NBD_REP_ERROR | 6)
#define NBD_REP_ERR_TOO_BIG (NBD_REP_ERROR | 9)

enum nbd_info_type {
	NBD_INFO_EXPORT = 0,
	NBD_INFO_NAME = 1,
	NBD_INFO_DESCRIPTION = 2,
	NBD_INFO_BLOCK_SIZE = 3,
};

enum nbd_command {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_CACHE = 5,
	NBD_CMD_WRITE_ZEROES = 6,
	NBD_CMD_BLOCK_STATUS = 7,
};

#define NBD_CMD_FLAG_FUA       (1u << 0)
#define NBD_CMD_FLAG_NO_HOLE   (1u << 1)
#define NBD_CMD_FLAG_DF        (1u << 2) /* don't fragment: one chunk of content at most */
#define NBD_CMD_FLAG_REQ_ONE   (1u << 3)
#define NBD_CMD_FLAG_FAST_ZERO (1u << 4)

/* The one metadata context that the protocol itself defines, and its states. */
#define NBD_BASE_ALLOCATION "base:allocation"
#define NBD_STATE_HOLE      (1u << 0)
#define NBD_STATE_ZERO      (1u << 1)

enum nbd_chunk_type {
	NBD_CHUNK_NONE = 0,
	NBD_CHUNK_OFFSET_DATA = 1,
	NBD_CHUNK_OFFSET_HOLE = 2,
	NBD_CHUNK_BLOCK_STATUS = 5,
	NBD_CHUNK_ERROR = 1 << 15 | 1,
	NBD_CHUNK_ERROR_OFFSET = 1 << 15 | 2,
};

#define NBD_CHUNK_FLAG_DONE (1u << 0)

/* The errors of the wire, which are not everywhere the host's. */
enum nbd_errno {
	NBD_EPERM = 1,
	NBD_EIO = 5,
	NBD_ENOMEM = 12,
	NBD_EINVAL = 22,
	NBD_ENOSPC = 28,
	NBD_EOVERFLOW = 75,
	NBD_ENOTSUP = 95,
	NBD_ESHUTDOWN = 108,
};

#define NBD_WIRE __attribute__((packed))

/* Server → client, first of all; the client answers with its 32 bits of flags. */
struct nbd_greeting {
	riser_be64 magic, option_magic;
	riser_be16 flags;
} NBD_WIRE;
static_assert(sizeof(struct nbd_greeting) == 18, "on the wire");

/* Client → server, followed by @len bytes. */
struct nbd_option {
	riser_be64 magic;
	riser_be32 type, len;
} NBD_WIRE;
static_assert(sizeof(struct nbd_option) == 16, "on the wire");

/* Server → client, followed by @len bytes. */
struct nbd_option_reply {
	riser_be64 magic;
	riser_be32 option, type, len;
} NBD_WIRE;
static_assert(sizeof(struct nbd_option_reply) == 20, "on the wire");
static_assert(offsetof(struct nbd_option_reply, type) == 12, "on the wire");

/* The answer to NBD_OPT_EXPORT_NAME. */
struct nbd_export_reply {
	riser_be64 size;
	riser_be16 flags;
} NBD_WIRE;
static_assert(sizeof(struct nbd_export_reply) == 10, "on the wire");

struct nbd_info_export {
	riser_be16 type;
	riser_be64 size;
	riser_be16 flags;
} NBD_WIRE;
static_assert(sizeof(struct nbd_info_export) == 12, "on the wire");

struct nbd_info_block_size {
	riser_be16 type;
	riser_be32 minimum, preferred, maximum;
} NBD_WIRE;
static_assert(sizeof(struct nbd_info_block_size) == 14, "on the wire");

/* Client → server; a WRITE is followed by @len bytes. */
struct nbd_command_header {
	riser_be32 magic;
	riser_be16 flags, type;
	riser_be64 cookie, offset;
	riser_be32 len;
} NBD_WIRE;
static_assert(sizeof(struct nbd_command_header) == 28, "on the wire");
static_assert(offsetof(struct nbd_command_header, offset) == 16, "on the wire");

/* Server → client; that of a READ without error is followed by its data. */
struct nbd_simple_reply {
	riser_be32 magic, error;
	riser_be64 cookie;
} NBD_WIRE;
static_assert(sizeof(struct nbd_simple_reply) == 16, "on the wire");

/* Server → client: a chunk of a structured reply, followed by @len bytes. */
struct nbd_chunk {
	riser_be32 magic;
	riser_be16 flags, type;
	riser_be64 cookie;
	riser_be32 len;
} NBD_WIRE;
static_assert(sizeof(struct nbd_chunk) == 20, "on the wire");
static_assert(offsetof(struct nbd_chunk, cookie) == 8, "on the wire");

/* Followed by the data. */
struct nbd_chunk_data {
	struct nbd_chunk h;
	riser_be64 offset;
} NBD_WIRE;
static_assert(sizeof(struct nbd_chunk_data) == 28, "on the wire");

struct nbd_chunk_hole {
	struct nbd_chunk h;
	riser_be64 offset;
	riser_be32 size;
} NBD_WIRE;
static_assert(sizeof(struct nbd_chunk_hole) == 32, "on the wire");

/* Followed by @text_len bytes of text, and by 64 bits of offset in an ERROR_OFFSET. */
struct nbd_chunk_error {
	struct nbd_chunk h;
	riser_be32 error;
	riser_be16 text_len;
} NBD_WIRE;
static_assert(sizeof(struct nbd_chunk_error) == 26, "on the wire");

struct nbd_descriptor {
	riser_be32 len, state;
} NBD_WIRE;
static_assert(sizeof(struct nbd_descriptor) == 8, "on the wire");

/* Followed by one or more descriptors. */
struct nbd_chunk_status {
	struct nbd_chunk h;
	riser_be32 context;
} NBD_WIRE;
static_assert(sizeof(struct nbd_chunk_status) == 24, "on the wire");

#endif
