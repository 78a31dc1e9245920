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

/*
 * gdb, once this process has crashed. SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT are caught; the
 * thread that got one serves the debugger from inside of the signal handler:
 *
 *	gdb -ex 'target remote udp:10.0.2.15:6443'
 *
 * The debugger sees registers (x86-64; on aarch64 the general ones), memory, threads, and which
 * program it is. When it detaches, continues or kills, or nobody came, the signal goes where it
 * would have gone: most often the process dies of it, and dumps core.
 */

#define RISER_GDB_WRITE (1u << 0) /* the debugger may change memory */

/**
 * struct riser_gdb_opts - how a crash is served
 * @size: sizeof(struct riser_gdb_opts)
 * @flags: RISER_GDB_WRITE
 * @halt_signal: a signal that the program has no use for, such as SIGRTMIN: it halts the other
 *	threads (the first 63, but for those that block it) before the debugger looks, and shows it
 *	their registers. 0: they run on, and are not shown
 * @wait_s: how long to wait for a debugger's first request; 0: for ever
 * @crashed: called from inside of the signal handler before the waiting, so it may do only what
 *	may be done there; may be NULL
 * @ctx: first argument of @crashed
 */
struct riser_gdb_opts {
	size_t size;
	uint32_t flags;
	int halt_signal;
	uint32_t wait_s;
	void (*crashed)(void *ctx, int sig);
	void *ctx;
};

/**
 * riser_gdb_install - serve a debugger when this process crashes
 * @d: where; others may use it until then
 * @opts: how, or NULL
 * @out: give it to riser_gdb_remove() before @d is closed
 * @err: filled on failure; may be NULL
 *
 * The calling thread gets an alternate signal stack if it has none: one that overflowed its stack
 * has no other to run a handler on. Other threads have to see to that with sigaltstack(2). A child
 * made by fork(2) is not served.
 *
 * Return: 0; -EBUSY: installed already in this process; -EINVAL; -ENOTSUP: not on this system;
 * -ENOMEM.
 */
RISER_API int riser_gdb_install(struct riser_debug *d, const struct riser_gdb_opts *opts,
				struct riser_gdb **out, struct riser_err *err);
/* Put the signals' actions back. By the thread that installed it, whose stack goes too. */
RISER_API void riser_gdb_remove(struct riser_gdb *g);

/*
 * A log as the kernel's netconsole sends it, so that what listens to machines listens to this too.
 * Made first and attached later, because a context has its log from the beginning:
 *
 *	riser_netconsole_new(&nopts, &n, &err);
 *	opts.log = riser_netconsole_log;
 *	opts.log_ctx = n;
 *	riser_new(&opts, &r, &err);
 *	...
 *	riser_netconsole_attach(n, d, &to);
 */

#define RISER_NETCONSOLE_EXTENDED (1u << 0) /* as /dev/kmsg has it: "14,7,123456,-;text" */

/**
 * riser_netconsole_new - make a log's sink
 * @flags: RISER_NETCONSOLE_EXTENDED, or lines alone: "[   12.345678] text"
 * @out: the sink; riser_netconsole_free() it after the contexts that log to it
 * @err: filled on failure; may be NULL
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
RISER_API int riser_netconsole_new(uint32_t flags, struct riser_netconsole **out,
				   struct riser_err *err);
RISER_API void riser_netconsole_free(struct riser_netconsole *n);

/**
 * riser_netconsole_attach - say where lines go from now on
 * @n: the sink
 * @d: the debug port; NULL: nowhere, as in the beginning; by then nobody is inside of it any more
 * @to: whom to send to; netconsole's port is 6666
 */
RISER_API void riser_netconsole_attach(struct riser_netconsole *n, struct riser_debug *d,
				       const struct riser_debug_peer *to);

/* For struct riser_opts.log, with the sink as log_ctx. Any thread may call it, and a signal
 * handler; lines are lost where the debug port has no room or is in somebody else's hands. */
RISER_API void riser_netconsole_log(void *n, enum riser_log_level level, const char *line);

/* Return: how many lines were lost on this side. */
RISER_API uint64_t riser_netconsole_lost(const struct riser_netconsole *n);

#ifdef __cplusplus
}
#endif

#endif
