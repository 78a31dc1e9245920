/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Publishers: a block device handed on to other programs. */
#ifndef RISER_PUBLISH_H
#define RISER_PUBLISH_H

#include <riser/blk.h>

#ifdef __cplusplus
extern "C" {
#endif

struct riser_publish;

/**
 * struct riser_publish_opts - how a device is published
 * @size: sizeof(struct riser_publish_opts)
 * @socket: path of a unix socket, or NULL for TCP; then @host is NULL and @port at most 0
 * @host: address to listen on with @port; NULL: 127.0.0.1
 * @port: TCP port; 0 picks a free one, -1 is the protocol's own (NBD: 10809)
 * @name: export name; NULL: ""
 * @description: shown to clients that list exports; NULL: the device's
 * @read_only: refuse writes
 * @listen_fd: a stream socket that listens already, as a service manager passes it; then @socket
 *	and @host are NULL. It stays the caller's. 0: none
 */
struct riser_publish_opts {
	size_t size;
	const char *socket;
	const char *host;
	int port;
	const char *name;
	const char *description;
	bool read_only;
	int listen_fd;
};

/**
 * riser_publish - hand a block device on
 * @b: the device; must stay open until riser_publish_stop()
 * @x: the executor that serves it
 * @kind: "nbd"
 * @opts: options
 * @out: the publisher
 * @err: filled on failure; may be NULL
 *
 * Clients are served from riser_exec_poll() of @x. A stale unix socket is replaced; one that a
 * server listens on is -EADDRINUSE.
 *
 * Return: 0 or a negative errno.
 */
RISER_API int riser_publish(struct riser_blk *b, struct riser_exec *x, const char *kind,
			    const struct riser_publish_opts *opts, struct riser_publish **out,
			    struct riser_err *err);

/**
 * riser_publish_model - hand a device model on over vhost-user
 * @x: the executor that serves it
 * @model: what stands behind "model:", such as "virtio-net?port=tap:riser0"
 * @socket: path of a unix socket
 * @out: the publisher; its "bytes read" are those that its clients received
 * @err: filled on failure; may be NULL
 *
 * One client at a time: another one is refused as long as there is one, and finds the device as new
 * when that has gone.
 *
 * Return: 0 or a negative errno.
 */
RISER_API int riser_publish_model(struct riser_exec *x, const char *model, const char *socket,
				  struct riser_publish **out, struct riser_err *err);

/**
 * riser_publish_uri - where clients find it
 * @p: the publisher
 *
 * Return: such as "nbd+unix:///?socket=/run/x.sock", valid until riser_publish_stop().
 */
RISER_API const char *riser_publish_uri(const struct riser_publish *p);

/**
 * struct riser_publish_stats - what a publisher did
 * @connections: clients accepted
 * @active: of them connected now
 * @requests: commands served
 * @errors: of them answered with an error
 * @bytes_read: payload sent
 * @bytes_written: payload received
 * @bounces: requests whose data was copied on its way to the device
 */
struct riser_publish_stats {
	uint64_t connections;
	uint64_t active;
	uint64_t requests;
	uint64_t errors;
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t bounces;
};

/**
 * riser_publish_get_stats - what a publisher did
 * @p: the publisher; call from its executor's thread
 * @stats: filled
 */
RISER_API void riser_publish_get_stats(struct riser_publish *p, struct riser_publish_stats *stats);

/**
 * riser_publish_stop - close the sockets, finish what is in flight, free
 * @p: the publisher, or NULL; called by its executor's thread, not from a completion
 *
 * What clients asked for so far is finished and answered, not dropped; a flush of the device comes
 * last. A client that goes on asking, or does not read its answers, has two seconds for that.
 */
RISER_API void riser_publish_stop(struct riser_publish *p);

#ifdef __cplusplus
}
#endif

#endif
