/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The NBD server's insides.
 *
 *	nbd.c		the publisher: start, the poll round, stop
 *	nbd_listen.c	sockets that clients connect to, and their URI
 *	nbd_conn.c	a connection's life, what it reads, whom it wakes
 *	nbd_options.c	the handshake
 *	nbd_command.c	commands ↔ block I/O
 *	nbd_check.c	what is wrong with a command
 *	nbd_status.c	where the holes are
 *	nbd_reply.c	what answers look like
 *	nbd_ahead.c	many small WRITEs received at a time
 *	nbd_pool.c	a connection's buffers
 *
 * Everything belongs to one executor and uses one channel. To the device all connections are one
 * user: what was answered on any of them completed on that channel, and a flush, or FUA, that comes
 * in on another one goes down the same way behind it. This holds for every source and every layer,
 * whatever it keeps per channel, and it is why CAN_MULTI_CONN is said always. Reads are coherent
 * for the same reason.
 *
 * Everything that a peer can hold on to (request slots, buffers, bytes not yet sent) is its
 * connection's own and bounded, so that a bad peer stops nobody but itself. What connections
 * share, the channel's I/Os, comes back without any peer's help.
 */
#ifndef PUBLISH_NBD_H
#define PUBLISH_NBD_H

#include "base/exec.h"
#include "base/list.h"
#include "publish/publish.h"
#include "publish/unix.h"
#include "spec/nbd.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NBD_CONNS_MAX     64              /* more wait in the listening socket's backlog */
#define NBD_PATIENCE      (10 * NS_PER_S) /* with a handshake */
#define NBD_SLOTS         128             /* commands in hand per connection */
#define NBD_IOS           512             /* block I/Os in flight per publisher */
#define NBD_OPTIONS_MAX   256             /* in one handshake */
#define NBD_RX_SIZE       (128 * KiB)
#define NBD_AHEAD         31 /* WRITEs that one recvmsg puts in place: 4 KiB ones fill NBD_RX_SIZE */
#define NBD_OUT_SIZE      (12 * KiB) /* holds the longest answer to one option */
#define NBD_EXTENTS       16         /* that one answer tells of */
#define NBD_SPARSE_MIN    (64 * KiB) /* a READ of that many bytes is worth looking for holes */
#define NBD_GATHER_IOVS   256
#define NBD_NOWHERE       UINT64_MAX

#define NBD_ALLOCATION_ID 1 /* by which an answer refers to base:allocation */

/* Buffers come in two sizes; a connection's pools grow by slabs up to one largest command. */
#define NBD_SMALL  (16 * KiB)
#define NBD_LARGE  (256 * KiB)
#define NBD_SLAB   (2 * MiB)
#define NBD_SLABS  (NBD_REQUEST_MAX / NBD_SLAB)
#define NBD_PIECES 128 /* per pool */
static_assert(NBD_SLAB / NBD_SMALL == NBD_PIECES, "the small pool is one slab");
static_assert(NBD_REQUEST_MAX / NBD_LARGE == NBD_PIECES, "the large pool holds one command");

struct nbd_server;
struct nbd_conn;
struct nbd_request;

/* A buffer and the part of a command that it carries; each is one block I/O. */
struct nbd_piece {
	struct nbd_piece *next; /* in its pool, or in its request */
	struct nbd_pool *pool;
	struct nbd_request *req;
	uint8_t *buf;
	uint64_t offset; /* on the device, bytes */
	uint32_t len;
};

struct nbd_pool {
	struct riser_blk_channel *ch;
	struct nbd_piece *free;
	uint32_t size; /* of a buffer */
	unsigned nfree, nslabs, max_slabs;
	void *slabs[NBD_SLABS];
	struct nbd_piece pieces[NBD_PIECES];
};

void nbd_pool_init(struct nbd_pool *p, struct riser_blk_channel *ch, uint32_t size);
void nbd_pool_destroy(struct nbd_pool *p);
/* Have @n buffers free, growing where needed. */
bool nbd_pool_reserve(struct nbd_pool *p, unsigned n);
/* Are all buffers that there are free? Then waiting for one is in vain. */
bool nbd_pool_is_idle(const struct nbd_pool *p);
/* After nbd_pool_reserve(). */
struct nbd_piece *nbd_pool_take(struct nbd_pool *p);
void nbd_pool_give(struct nbd_piece *piece);

/* A run of bytes in one state: of NBD_STATE_… for BLOCK_STATUS, of a READ: not 0 reads as zeroes.
 */
struct nbd_extent {
	uint32_t len, state;
};

/* A command from its header to its answer on the socket. */
struct nbd_request {
	struct list link; /* conn->free or conn->replies */
	struct nbd_conn *conn;
	struct nbd_piece *first; /* READ: all of its pieces, in order */
	struct nbd_piece *todo;  /* READ: the first that is not submitted */
	uint64_t offset;
	uint32_t len;
	uint32_t pending; /* block I/Os in flight */
	uint16_t type, flags;
	uint8_t status;  /* enum riser_blk_status, of what failed first on the device */
	bool open;       /* the parser is not done with it: conn->cur */
	bool dropped;    /* nobody waits for an answer */
	bool flush_last; /* FUA by a flush behind it */
	bool sparse;     /* READ: holes are to be looked for */
	bool asking;     /* for its extents */
	uint8_t nextents;
	uint16_t asks;      /* block I/Os that asked */
	uint32_t asked;     /* bytes that extents[] covers */
	uint64_t failed_at; /* on the device, bytes; or NBD_NOWHERE */

	riser_be64 cookie;
	uint32_t error;  /* of the wire, once it is answered */
	const char *why; /* for it */
	uint64_t answer_len;
	struct nbd_extent extents[NBD_EXTENTS];
};

/* An answer, or several, as sendmsg takes them. */
struct nbd_gathering {
	struct iovec iov[NBD_GATHER_IOVS];
	unsigned n;
	bool full;
	size_t skip, len; /* bytes to leave out in front; bytes gathered */
	size_t used;      /* of @heads */
	uint8_t heads[8 * KiB];
};

/* A buffer shall carry @req from its byte @at on. */
static inline void nbd_piece_set(struct nbd_piece *piece, struct nbd_request *req, uint32_t at)
{
	piece->req = req;
	piece->offset = req->offset + at;
	piece->len = min_of(req->len - at, piece->pool->size);
}

/* WRITEs that are expected; see nbd_ahead.c. */
struct nbd_ahead_item {
	struct nbd_command_header h;
	struct nbd_piece *piece;
};

struct nbd_ahead {
	uint32_t len; /* of each payload */
	unsigned run; /* commands in a row that were WRITEs of @len */
	unsigned at, n;
	size_t have; /* bytes from item @at on */
	size_t used; /* items of the last bet */
	struct nbd_ahead_item items[NBD_AHEAD];
};

enum nbd_phase {
	NBD_HELLO,   /* waiting for the client's flags */
	NBD_OPTIONS, /* waiting for options */
	NBD_SERVING,
	NBD_CLOSING, /* reads no more; what was asked for is done and answered */
	NBD_DEAD,    /* nobody listens; what is in flight ends */
};

/* How far the bytes at hand brought the parser. */
enum nbd_step {
	NBD_MORE,  /* something was done: look again */
	NBD_INPUT, /* it wants more of them */
	NBD_STALL, /* it waits for an I/O, a slot, a buffer or the socket */
	NBD_END,   /* the conversation is over, answers still go out */
	NBD_BROKEN /* the peer broke the protocol */
};

struct nbd_conn {
	struct list link;
	struct nbd_server *server;
	struct riser_watch watch;
	uint32_t watched; /* events that @watch waits for; 0: not watched */
	enum nbd_phase phase;
	bool readable, blocked, stalled;
	uint64_t patience; /* when a handshake that is not over is given up */
	bool quit;         /* the publisher stops: end when nothing more is there to read */

	bool fixed, no_zeroes;
	bool structured, allocation; /* what was negotiated: replies, base:allocation */
	unsigned options;

	uint8_t *rx;
	uint32_t rx_at, rx_end;
	uint32_t skip;    /* payload to throw away */
	bool after_write; /* the next payload shall not land in @rx */

	uint8_t *out; /* answers to options */
	uint32_t out_at, out_end;

	struct nbd_request *cur;
	struct nbd_piece *piece; /* of a WRITE, being filled */
	uint32_t filled;         /* of @piece */
	uint32_t taken;          /* payload of @cur in earlier pieces */
	struct nbd_ahead ahead;

	struct list free, replies;
	unsigned active; /* requests that are not free */
	size_t sent;     /* of the first of @replies */
	struct nbd_pool small, large;
	struct nbd_request reqs[NBD_SLOTS];
};

static inline uint32_t nbd_have(const struct nbd_conn *c)
{
	return c->rx_end - c->rx_at;
}

/* A socket that listens. */
struct nbd_listener {
	struct riser_watch watch;
	struct nbd_server *server;
	bool watched;
	char uri[3 * (sizeof(((struct sockaddr_un *)0)->sun_path) + NBD_STRING_MAX) + 64];
	struct unix_socket at;
};

int nbd_listen(struct nbd_listener *l, const struct riser_publish_opts *opts, const char *name,
	       struct riser_err *err);
/* Closes, and unlinks the socket if it is still the one that nbd_listen() made. */
void nbd_unlisten(struct nbd_listener *l);

struct nbd_server {
	struct riser_publish publish;
	struct riser *r;
	struct riser_exec *x;
	struct riser_blk_channel *ch;
	struct riser_blk_info info;
	struct poller poller;
	struct nbd_listener listener;
	uint64_t accept_at; /* when to listen again after a lack of descriptors; 0: not waiting */
	uint64_t impatient; /* when the first handshake is given up, at the earliest */
	struct list conns;
	unsigned nconns;
	bool busy;    /* some connection may have something to do */
	unsigned ios; /* in flight */
	uint64_t bytes;
	uint16_t flags; /* NBD_FLAG_… of transmission */
	char name[NBD_STRING_MAX + 1], description[NBD_STRING_MAX + 1];
	struct riser_publish_stats stats;
};

/* nbd_conn.c. Takes @fd over. Return: 0 or -errno; then @fd is closed. */
int nbd_conn_new(struct nbd_server *s, int fd);
/* One round: read, act, answer. Return: how many things were done; may free @c. */
int nbd_conn_round(struct nbd_conn *c);
/* Read no more. What was asked for whole is done and answered, then a round frees @c. */
void nbd_conn_end(struct nbd_conn *c);
/* Read and answer nothing any more. The next round frees @c when its I/O has ended. */
void nbd_conn_kill(struct nbd_conn *c);

/* nbd_options.c: act on the client's flags and options in @rx. */
enum nbd_step nbd_handshake(struct nbd_conn *c);
void nbd_greet(struct nbd_conn *c);

/* nbd_ahead.c. A command's header was seen. */
void nbd_ahead_saw(struct nbd_conn *c, uint16_t type, uint32_t len);
/* Where to receive what follows the bytes at hand. Return: elements of @iov, 0 for no bet. */
unsigned nbd_ahead_prepare(struct nbd_conn *c, struct iovec *iov);
/* @n bytes were received there. */
void nbd_ahead_received(struct nbd_conn *c, size_t n);
/* Is @h, the next header, that of an expected WRITE? If not, the bytes ahead are in @rx. */
bool nbd_ahead_next(struct nbd_conn *c, struct nbd_command_header *h);
/* It was parsed: conn->cur gets its payload, as far as it came. */
void nbd_ahead_take(struct nbd_conn *c);

/* nbd_command.c: act on what is in @rx. */
enum nbd_step nbd_serve(struct nbd_conn *c);
/* The command that the parser works on gets no further. */
void nbd_abandon(struct nbd_conn *c);
void nbd_request_free(struct nbd_request *req);
/* Submit an I/O without data on @len bytes of @req from its byte @at on; 0 bytes: a flush. */
void nbd_start_plain(struct nbd_request *req, struct riser_blk_io *io, enum riser_blk_op op,
		     uint32_t flags, uint32_t at, uint32_t len);
/* An I/O of @req is over, and with the last one the command is. */
void nbd_one_done(struct nbd_request *req, struct riser_blk_io *io);

/* nbd_check.c. Return: what is wrong with a command, and @error of the wire; or NULL. */
const char *nbd_refusal(const struct nbd_request *req, uint32_t *error);

/* nbd_status.c: fill req->extents[], by @io. */
void nbd_ask(struct nbd_request *req, struct riser_blk_io *io);
/* It was completed. */
void nbd_asked(struct nbd_request *req, struct riser_blk_io *io);
/* Is all of @piece zeroes, by what is known of its request? */
bool nbd_is_hole(const struct nbd_request *req, const struct nbd_piece *piece);

/* nbd_reply.c: decide on the answer, by req->status or otherwise. */
void nbd_reply_set(struct nbd_request *req);
void nbd_reply_refuse(struct nbd_request *req, uint32_t error, const char *why);
void nbd_reply_gather(struct nbd_gathering *g, const struct nbd_request *req);
void nbd_gather(struct nbd_gathering *g, void *data, size_t len);

#endif
