/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The polled debug port: UDP on a queue of a network port that has nothing else to rest on. It
 * works from a signal handler while the rest of the process stands still, on a card that the system
 * has no interface for. On it: a gdb stub for this process once it crashed, and a log as
 * netconsole's.
 *
 * It is a debugger's door: who may talk to it reads the process's memory, keys included, and
 * nothing of what is said is secret. So only loopback and private addresses (RFC 1918, link-local)
 * may, unless that is asked for in so many words. See riser-debug(7).
 *
 * Addresses are numbers, the first byte highest: 10.0.2.2 is 0x0a000202.
 */
#ifndef RISER_DEBUG_H
#define RISER_DEBUG_H

#include <riser/net.h>

#ifdef __cplusplus
extern "C" {
#endif

struct riser_debug;
struct riser_gdb;
struct riser_netconsole;

#define RISER_DEBUG_ANYWHERE (1u << 0) /* addresses need not be private */
#define RISER_DEBUG_PUMP     (1u << 1) /* the device is one that this process has to run */
#define RISER_DEBUG_PAYLOAD  1472u     /* the most bytes of a datagram */

/**
 * struct riser_debug_opts - how a debug port is opened
 * @size: sizeof(struct riser_debug_opts)
 * @flags: RISER_DEBUG_…; PUMP is for a model without a thread of its own and for QEMU through
 *	qtest, which do nothing unless they are stepped: with it nothing is promised inside of a
 *	signal handler
 * @queue: of the port, opened by nobody else: the debug port's alone
 * @address: of this end
 * @udp_port: of this end
 * @peers: with @peers_mask, the network that may talk to it; 0: every private one
 * @peers_mask: such as 0xffffff00; 0 with @peers: that one address
 */
struct riser_debug_opts {
	size_t size;
	uint32_t flags;
	unsigned queue;
	uint32_t address;
	uint16_t udp_port;
	uint32_t peers, peers_mask;
};

/**
 * struct riser_debug_peer - the other end
 * @address: IPv4
 * @udp_port: UDP
 * @mac: of it, or of the router on the way to it; all ones reach everybody on the link
 */
struct riser_debug_peer {
	uint32_t address;
	uint16_t udp_port;
	uint8_t mac[6];
};

/**
 * riser_debug_open - have a debug port on a queue of a network port
 * @p: the port, which may be in use on its other queues
 * @opts: how
 * @out: the debug port; riser_debug_close() it before @p is closed
 * @err: filled on failure; may be NULL
 *
 * Everything that it will ever use is taken here.
 *
 * Return: 0; -EINVAL for an address that is not private; what riser_port_queue_open() said.
 */
RISER_API int riser_debug_open(struct riser_port *p, const struct riser_debug_opts *opts,
			       struct riser_debug **out, struct riser_err *err);
RISER_API void riser_debug_close(struct riser_debug *d);

/**
 * riser_debug_send - send a datagram
 * @d: the debug port
 * @to: whom
 * @data: bytes
 * @len: at most RISER_DEBUG_PAYLOAD, and what the port's MTU lets through
 *
 * This and riser_debug_recv() may be called anywhere, signal handlers included: they allocate
 * nothing, take no lock, wait for nothing and leave errno alone. One call at a time.
 *
 * Return: 0; -EAGAIN: no room now; -EBUSY: another call is under way; -EMSGSIZE; -EACCES: @to is
 * not among the peers; -ENODEV: the device is gone.
 */
RISER_API int riser_debug_send(struct riser_debug *d, const struct riser_debug_peer *to,
			       const void *data, size_t len);

/**
 * riser_debug_recv - answer ARP, and receive a datagram
 * @d: the debug port
 * @from: filled: who sent it
 * @data: receives its bytes
 * @len: of @data; what is longer is cut
 *
 * What is damaged, not for this end, or from somebody who may not is dropped, and so are copies
 * that the network made of a datagram.
 *
 * Return: bytes; -EAGAIN: nothing there; -EBUSY; -ENODEV.
 */
RISER_API int riser_debug_recv(struct riser_debug *d, struct riser_debug_peer *from, void *data,
			       size_t len);

#ifdef __cplusplus
}
#endif

#endif
