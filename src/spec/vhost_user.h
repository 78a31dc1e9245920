/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The vhost-user protocol, both ends of it: numbers, wire structures, and how a message is sent and
 * received. https://www.qemu.org/docs/master/interop/vhost-user.html
 *
 * The frontend is who has the driver, the backend who has the device. They are on one machine, so
 * everything is in its own byte order. Descriptors travel beside a message's first byte.
 */
#ifndef SPEC_VHOST_USER_H
#define SPEC_VHOST_USER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_VERSION      1u
#define VHOST_USER_VERSION_MASK 3u
#define VHOST_USER_REPLY        (1u << 2)
#define VHOST_USER_NEED_REPLY   (1u << 3)

#define VHOST_USER_FDS_MAX      8u
#define VHOST_USER_CONFIG_MAX   256u
#define VHOST_USER_QUEUES_MAX   256u /* an index has 8 bits */

/* Among the device's features: there are protocol features. Never the driver's to see. */
#define VHOST_USER_F_LOG_ALL  26
#define VHOST_USER_F_PROTOCOL 30

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_MQ = 0,
	VHOST_USER_PROTOCOL_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_CONFIG = 9,
	VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_STATUS = 16,
};

/* What the frontend asks for. */
enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
};

/* What the backend asks for, on a socket of its own (SET_BACKEND_REQ_FD). */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE = 2,
};

#define VHOST_USER_VRING_INDEX 0xffu     /* of the payload of SET_VRING_KICK, _CALL and _ERR */
#define VHOST_USER_VRING_NO_FD (1u << 8) /* no descriptor: poll */

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc; /* these are user addresses, of struct vhost_user_region */
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_user_region {
	uint64_t guest; /* the address that descriptors have */
	uint64_t size;
	uint64_t user; /* the address that vhost_user_vring_addr has */
	uint64_t offset;
};

struct vhost_user_memory {
	uint32_t nregions;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_FDS_MAX];
};

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_MAX];
};
#define VHOST_USER_CONFIG_HEADER offsetof(struct vhost_user_config, data)
static_assert(VHOST_USER_CONFIG_HEADER == 12, "configuration");

/* A message; the payload begins behind 12 bytes, unaligned. */
struct vhost_user_msg {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_memory memory;
		struct vhost_user_mem_reg mem_reg;
		struct vhost_user_config config;
	};
} __attribute__((packed));
#define VHOST_USER_HEADER 12u
static_assert(offsetof(struct vhost_user_msg, u64) == VHOST_USER_HEADER, "message");
static_assert(sizeof(struct vhost_user_vring_addr) == 40, "ring address");
static_assert(sizeof(struct vhost_user_memory) == 8 + 8 * 32, "memory table");

/**
 * struct vhost_user_rx - a message on its way in
 * @msg: the message, once it is whole
 * @got: bytes of it that are there
 * @fds: descriptors that came along; whoever uses one puts -1 in its place
 * @nfds: how many came
 * @wrong: what the peer did wrong, after -EPROTO
 */
struct vhost_user_rx {
	struct vhost_user_msg msg;
	size_t got;
	int fds[VHOST_USER_FDS_MAX];
	unsigned nfds;
	const char *wrong;
};

/**
 * vhost_user_recv - receive what is there of one message, without waiting
 * @sock: the socket
 * @rx: zeroed, or as it was left by the last call that returned 0
 *
 * The header was checked when it returns 1, not what it means; the payload has at most the size of
 * the union, and what the peer did not send of that is 0.
 *
 * Return: 1 for a whole message; 0: come back when the socket is readable; -ECONNRESET: the peer is
 * gone; -EPROTO: it broke the rules. After 1 or an error call vhost_user_rx_done().
 */
int vhost_user_recv(int sock, struct vhost_user_rx *rx);

/* Close what was not used, and make ready for the next message. */
void vhost_user_rx_done(struct vhost_user_rx *rx);

/**
 * vhost_user_send - send a message
 * @sock: the socket
 * @msg: with request, flags and size; the version is added
 * @fds: descriptors to send along
 * @nfds: at most VHOST_USER_FDS_MAX
 *
 * Return: 0; -ECONNRESET: the peer is gone; -EAGAIN: it does not read: a socket's buffer holds many
 * messages, so there is nothing to wait for.
 */
int vhost_user_send(int sock, struct vhost_user_msg *msg, const int *fds, unsigned nfds);

#endif
