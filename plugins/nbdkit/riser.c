/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * nbdkit riser URI: any block device of riser served by nbdkit, with its TLS and its filters.
 *
 * nbdkit calls from many threads at a time, and each call waits for its I/O. All of them share one
 * executor with one channel, and take turns at driving it: a call posts its request there, and then
 * either leads, which is to drive the executor until its own request is done, or sleeps until the
 * leader has done its request, or has done its own and leaves the lead to it. So one thread polls
 * and the device sees all requests in one queue; it need not have a queue for each thread.
 *
 * The device is opened where threads may be made, after nbdkit's fork. What is wrong with it would
 * not be seen there any more, so it is opened and closed once before.
 *
 * nbdkit has one plugin in a process and gives most calls nothing to hang state from; hence the one
 * static structure.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <riser/blk.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define DEPTH        128         /* requests that the device has at a time; more wait */
#define REQUEST_MAX  (32u << 20) /* bytes; what every client of NBD keeps to */
#define PREFERRED    4096u       /* bytes; at least, as NBD has it */
#define ASK_MAX      (1u << 31)  /* bytes of one BLOCK_STATUS */
#define RUNS_MAX     1024        /* of one answer */

/**
 * struct request - one call of nbdkit
 * @op: enum riser_blk_op
 * @flags: RISER_BLK_FUA, …
 * @count: bytes; what BLOCK_STATUS answers with it, too
 * @offset: bytes
 * @buf: the data, or NULL for operations without
 * @work: brings it to the executor
 * @link: among those that are not done; under the lock, as is what follows
 * @turn: to its thread: it is done, or nobody leads
 * @done: it is done
 * @status: enum riser_blk_status
 * @raw: the device's own status, or what BLOCK_STATUS found
 */
struct request {
	enum riser_blk_op op;
	unsigned flags;
	uint32_t count;
	uint64_t offset;
	void *buf;

	struct riser_work work;
	TAILQ_ENTRY(request) link;
	pthread_cond_t turn;
	bool done;
	int status;
	uint32_t raw;
};

static struct plugin {
	const char *uri;
	int read_only;    /* readonly=true */
	int destroy_data; /* yes-destroy-data=true */
	int cwd;          /* where nbdkit was started: relative paths in @uri begin there */

	struct riser *r;
	struct riser_blk *b;
	struct riser_blk_info info;
	struct riser_exec *x;
	struct riser_blk_channel *c;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t room;  /* fewer than DEPTH are pending */
	TAILQ_HEAD(, request) pending;
	unsigned npending;
	bool led; /* somebody drives @x */
} plugin = {
	.cwd = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.room = PTHREAD_COND_INITIALIZER,
	.pending = TAILQ_HEAD_INITIALIZER(plugin.pending),
};

static void log_line(void *ctx, enum riser_log_level level, const char *line)
{
	if (level <= RISER_LOG_WARN)
		nbdkit_error("%s", line);
	else
		nbdkit_debug("%s", line);
}

/* Configuration. */

static int config_bool(const char *value, int *out)
{
	int b = nbdkit_parse_bool(value);

	*out = b == 1;
	return b < 0 ? -1 : 0;
}

static int plugin_config(const char *key, const char *value)
{
	if (!strcmp(key, "device")) {
		if (plugin.uri) {
			nbdkit_error("one device is wanted, not both %s and %s", plugin.uri, value);
			return -1;
		}
		plugin.uri = value;
		return 0;
	}
	if (!strcmp(key, "readonly"))
		return config_bool(value, &plugin.read_only);
	if (!strcmp(key, "yes-destroy-data"))
		return config_bool(value, &plugin.destroy_data);
	nbdkit_error("unknown parameter '%s': there are device, readonly and yes-destroy-data",
		     key);
	return -1;
}

static int plugin_config_complete(void)
{
	if (!plugin.uri) {
		nbdkit_error("no device: give a URI, such as disk.img or model:nvme");
		return -1;
	}
	plugin.cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

#define CONFIG_HELP                                                                                \
	"[device=]<URI>            (required) Block device, such as model:nvme or disk.img.\n"     \
	"readonly=<BOOL>           Open it for reading only.\n"                                    \
	"yes-destroy-data=<BOOL>   Let clients write to it, whatever it is."

static void plugin_dump(void)
{
	printf("riser_version=%s\n", riser_version());
	printf("riser_features=%s\n", riser_features());
}

/* The device. */

static void device_close(void)
{
	riser_blk_channel_close(plugin.c);
	riser_blk_close(plugin.b);
	riser_exec_free(plugin.x);
	riser_free(plugin.r);
	plugin.c = NULL;
	plugin.b = NULL;
	plugin.x = NULL;
	plugin.r = NULL;
}

static int device_open(void)
{
	const struct riser_opts opts = { .size = sizeof(opts), .log = log_line };
	uint32_t flags = plugin.read_only ? 0 : RISER_BLK_RDWR;
	struct riser_err err;

	if (riser_new(&opts, &plugin.r, &err) || riser_exec_new(plugin.r, &plugin.x, &err) ||
	    riser_blk_open(plugin.r, plugin.uri, flags, &plugin.b, &err) ||
	    riser_blk_channel_open(plugin.b, plugin.x, DEPTH, &plugin.c, &err)) {
		nbdkit_error("%s%s", err.text,
			     err.code == -EACCES || err.code == -EROFS
				     ? " (readonly=true opens it for reading only)"
				     : "");
		goto fail;
	}
	riser_blk_get_info(plugin.b, &plugin.info);
	if (!plugin.info.read_only && !plugin.destroy_data &&
	    !riser_blk_is_safe_to_destroy(plugin.b)) {
		nbdkit_error("%s may hold data that somebody wants: give yes-destroy-data=true to "
			     "let clients overwrite it, or readonly=true",
			     plugin.uri);
		goto fail;
	}
	return 0;
fail:
	device_close();
	return -1;
}

static int plugin_get_ready(void)
{
	if (device_open())
		return -1;
	device_close();
	return 0;
}

/* nbdkit has gone to / meanwhile. */
static int plugin_after_fork(void)
{
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (plugin.cwd >= 0 && fchdir(plugin.cwd))
		nbdkit_debug("relative paths begin at /: %m");
	rc = device_open();
	if (here >= 0) {
		if (fchdir(here))
			nbdkit_debug("the folder of nbdkit is gone: %m");
		close(here);
	}
	if (plugin.cwd >= 0)
		close(plugin.cwd);
	return rc;
}

/* What the export is. Every connection sees the same, so none needs a handle of its own. */

static void *plugin_open(int readonly)
{
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t plugin_get_size(void *handle)
{
	return (int64_t)(plugin.info.sectors << RISER_SECTOR_SHIFT);
}

static const char *plugin_export_description(void *handle)
{
	return plugin.info.description;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			     uint32_t *maximum)
{
	*minimum = plugin.info.logical_block;
	*preferred =
		plugin.info.physical_block > PREFERRED ? plugin.info.physical_block : PREFERRED;
	*maximum = REQUEST_MAX;
	return 0;
}

static int plugin_can_write(void *handle)
{
	return !plugin.info.read_only;
}

static int plugin_can_trim(void *handle)
{
	return plugin.info.discard;
}

static int plugin_can_fua(void *handle)
{
	return plugin.info.fua ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_EMULATE;
}

static int yes(void *handle)
{
	return 1;
}

static int no(void *handle)
{
	return 0;
}

/* I/O. */

/* What NBD has a code for; nbdkit would call the rest EINVAL. */
static int wire_errno(int status)
{
	int error = -riser_blk_status_errno((enum riser_blk_status)status);

	switch (error) {
	case EINVAL:
	case ENOMEM:
	case ENOSPC:
	case EOPNOTSUPP:
		return error;
	case ENODEV:
		return ESHUTDOWN;
	default:
		return EIO;
	}
}

static int fail(const struct request *q)
{
	static const char *const ops[] = {
		[RISER_BLK_READ] = "read",
		[RISER_BLK_WRITE] = "write",
		[RISER_BLK_FLUSH] = "flush",
		[RISER_BLK_DISCARD] = "trim",
		[RISER_BLK_WRITE_ZEROES] = "write of zeroes",
		[RISER_BLK_BLOCK_STATUS] = "block status",
	};
	char text[128];

	nbdkit_set_error(wire_errno(q->status));
	/* Writing is what the client does instead, and had in mind. */
	if (q->flags & RISER_BLK_FAST && q->status == RISER_BLK_NOTSUPP)
		return -1;
	nbdkit_error("%s of %" PRIu32 " bytes at byte %" PRIu64 " failed: %s", ops[q->op], q->count,
		     q->offset, riser_blk_status_text(q->status, q->raw, text, sizeof(text)));
	return -1;
}

static void on_done(struct riser_blk_io *io)
{
	struct request *q = io->user;

	q->status = io->status;
	q->raw = io->raw_status;
	if (q->op == RISER_BLK_BLOCK_STATUS && q->status == RISER_BLK_OK)
		q->count = io->count << RISER_SECTOR_SHIFT;
	riser_blk_io_put(io);
	pthread_mutex_lock(&plugin.lock);
	q->done = true;
	TAILQ_REMOVE(&plugin.pending, q, link);
	if (plugin.npending-- == DEPTH)
		pthread_cond_signal(&plugin.room);
	pthread_cond_signal(&q->turn);
	pthread_mutex_unlock(&plugin.lock);
}

static void submit(struct riser_work *work)
{
	struct request *q = (struct request *)((char *)work - offsetof(struct request, work));
	struct riser_blk_io *io = riser_blk_io_get(plugin.c); /* there is one: see DEPTH */

	io->op = (uint8_t)q->op;
	io->flags = (uint8_t)q->flags;
	io->sector = q->offset >> RISER_SECTOR_SHIFT;
	io->count = q->count >> RISER_SECTOR_SHIFT;
	io->one = (struct iovec){ q->buf, q->count };
	io->iov = &io->one;
	io->iovcnt = q->buf ? 1 : 0;
	io->iov_off = 0;
	io->done = on_done;
	io->user = q;
	riser_blk_submit(io);
}

/* With the lock held, which is dropped meanwhile. */
static void lead(const struct request *q)
{
	plugin.led = true;
	pthread_mutex_unlock(&plugin.lock);
	while (!q->done) /* set by this thread, in on_done() */
		riser_exec_wait(plugin.x, UINT64_MAX);
	pthread_mutex_lock(&plugin.lock);
	plugin.led = false;
}

static int run(struct request *q)
{
	struct request *next;

	/* Its sectors would be others than its bytes. The device checks the rest. */
	if ((q->offset | q->count) & (RISER_SECTOR_SIZE - 1)) {
		q->status = RISER_BLK_INVALID;
		return fail(q);
	}
	q->work.fn = submit;
	pthread_cond_init(&q->turn, NULL);
	pthread_mutex_lock(&plugin.lock);
	while (plugin.npending == DEPTH)
		pthread_cond_wait(&plugin.room, &plugin.lock);
	plugin.npending++;
	TAILQ_INSERT_TAIL(&plugin.pending, q, link);
	riser_exec_post(plugin.x, &q->work);
	while (!q->done) {
		if (plugin.led)
			pthread_cond_wait(&q->turn, &plugin.lock);
		else
			lead(q);
	}
	next = TAILQ_FIRST(&plugin.pending);
	if (next && !plugin.led)
		pthread_cond_signal(&next->turn);
	pthread_mutex_unlock(&plugin.lock);
	pthread_cond_destroy(&q->turn);
	return q->status ? fail(q) : 0;
}

static unsigned fua(uint32_t flags)
{
	return flags & NBDKIT_FLAG_FUA ? RISER_BLK_FUA : 0;
}

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	return run(&(struct request){
		.op = RISER_BLK_READ, .count = count, .offset = offset, .buf = buf });
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			 uint32_t flags)
{
	return run(&(struct request){ .op = RISER_BLK_WRITE,
				      .flags = fua(flags),
				      .count = count,
				      .offset = offset,
				      .buf = (void *)(uintptr_t)buf });
}

static int plugin_flush(void *handle, uint32_t flags)
{
	return run(&(struct request){ .op = RISER_BLK_FLUSH });
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	int rc =
		run(&(struct request){ .op = RISER_BLK_DISCARD, .count = count, .offset = offset });

	/* A discard knows no FUA. */
	return rc || !(flags & NBDKIT_FLAG_FUA) ? rc : plugin_flush(handle, 0);
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	unsigned keep = flags & NBDKIT_FLAG_MAY_TRIM ? 0 : RISER_BLK_NOUNMAP;
	unsigned fast = flags & NBDKIT_FLAG_FAST_ZERO ? RISER_BLK_FAST : 0;

	return run(&(struct request){ .op = RISER_BLK_WRITE_ZEROES,
				      .flags = keep | fast | fua(flags),
				      .count = count,
				      .offset = offset });
}

static int plugin_can_extents(void *handle)
{
	return plugin.info.block_status;
}

/*
 * Run by run, but no longer than a client may like to wait: it asks again behind the last. The
 * device is asked about whole blocks; nbdkit cuts off what lies before @offset.
 */
static int plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
			  struct nbdkit_extents *extents)
{
	uint64_t mask = plugin.info.logical_block - 1;
	uint64_t at = offset & ~mask, end = (offset + count + mask) & ~mask;
	unsigned runs = flags & NBDKIT_FLAG_REQ_ONE ? 1 : RUNS_MAX;

	while (at < end && runs--) {
		struct request q = { .op = RISER_BLK_BLOCK_STATUS,
				     .count = end - at < ASK_MAX ? (uint32_t)(end - at) : ASK_MAX,
				     .offset = at };
		uint32_t type;

		if (run(&q))
			return -1;
		type = (q.raw & RISER_BLK_ST_HOLE ? NBDKIT_EXTENT_HOLE : 0) |
		       (q.raw & RISER_BLK_ST_ZERO ? NBDKIT_EXTENT_ZERO : 0);
		if (nbdkit_add_extent(extents, at, q.count, type))
			return -1;
		at += q.count;
	}
	return 0;
}

static struct nbdkit_plugin ops = {
	.name = "riser",
	.longname = "riser block devices",
	.version = RISER_VERSION,
	.description = "Serves any block device that riser opens: NVMe controllers, files, tables",
	.magic_config_key = "device",
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = CONFIG_HELP,
	.dump_plugin = plugin_dump,
	.get_ready = plugin_get_ready,
	.after_fork = plugin_after_fork,
	.cleanup = device_close,
	.open = plugin_open,
	.get_size = plugin_get_size,
	.export_description = plugin_export_description,
	.block_size = plugin_block_size,
	.can_write = plugin_can_write,
	.can_flush = yes,
	.can_trim = plugin_can_trim,
	.can_zero = yes, /* where the device cannot, riser writes them, from one small buffer */
	.can_fast_zero = yes,
	.can_fua = plugin_can_fua,
	.can_multi_conn = yes,
	.is_rotational = no,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.trim = plugin_trim,
	.can_extents = plugin_can_extents,
	.extents = plugin_extents,
	.zero = plugin_zero,
};

struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(ops)
