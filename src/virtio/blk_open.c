/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Opening a virtio-blk device, what it says of itself, and who has which of its queues. */
#include "base/err.h"
#include "base/event.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/pci.h"
#include "virtio/blk.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 30000
#define ID_TIMEOUT         (5 * NS_PER_S)
#define BLOCK_MAX          (64 * KiB)
#define SECTORS_MAX        (1ull << 54) /* bytes fit 63 bits */

/* Those of every device that virtqueues know. */
#define QUEUE_FEATURES                                                                             \
	(VIRTIO_BIT(RISER_VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(RISER_VIRTIO_F_EVENT_IDX) |         \
	 VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1) | VIRTIO_BIT(RISER_VIRTIO_F_ACCESS_PLATFORM) |       \
	 VIRTIO_BIT(RISER_VIRTIO_F_RING_PACKED) | VIRTIO_BIT(RISER_VIRTIO_F_ORDER_PLATFORM) |      \
	 VIRTIO_BIT(RISER_VIRTIO_F_NOTIFICATION_DATA))
#define BLK_FEATURES                                                                               \
	(VIRTIO_BIT(RISER_VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_SEG_MAX) |        \
	 VIRTIO_BIT(RISER_VIRTIO_BLK_F_RO) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_BLK_SIZE) |             \
	 VIRTIO_BIT(RISER_VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_TOPOLOGY) |          \
	 VIRTIO_BIT(RISER_VIRTIO_BLK_F_MQ) | VIRTIO_BIT(RISER_VIRTIO_BLK_F_DISCARD) |              \
	 VIRTIO_BIT(RISER_VIRTIO_BLK_F_WRITE_ZEROES))

static const char *const not_ours[] = { PCI_DRIVER_KEYS, NULL };

/* --- Configuration --- */

static bool has(const struct vblk *d, unsigned feature)
{
	return d->wanted & d->dev->offered & VIRTIO_BIT(feature);
}

/* Field by field, and only those that a feature says are there. */
static int read_config(struct vblk *d, struct riser_virtio_blk_config *c, struct riser_err *err)
{
#define FIELD(feature, name)                                                                       \
	{                                                                                          \
		RISER_VIRTIO_BLK_F_##feature, offsetof(struct riser_virtio_blk_config, name),      \
			sizeof(c->name)                                                            \
	}
	static const struct {
		unsigned feature;
		uint8_t off, len;
	} fields[] = {
		FIELD(SIZE_MAX, size_max),
		FIELD(SEG_MAX, seg_max),
		FIELD(BLK_SIZE, blk_size),
		FIELD(TOPOLOGY, physical_block_exp),
		FIELD(MQ, num_queues),
		FIELD(DISCARD, max_discard_sectors),
		FIELD(WRITE_ZEROES, max_write_zeroes_sectors),
		FIELD(WRITE_ZEROES, write_zeroes_may_unmap),
	};
#undef FIELD
	int (*get)(struct virtio_dev * dev, size_t off, void *buf, size_t len) =
		d->dev->t->config_read;
	int rc;

	memset(c, 0, sizeof(*c));
	rc = get(d->dev, 0, &c->capacity, sizeof(c->capacity));
	for (unsigned i = 0; !rc && i < array_len(fields); i++)
		if (has(d, fields[i].feature))
			rc = get(d->dev, fields[i].off, (char *)c + fields[i].off, fields[i].len);
	return rc ? err_set(err, rc, "%s: its configuration cannot be read: %s", d->dev->name,
			    strerror(-rc))
		  : 0;
}

static uint32_t or_all(uint32_t v)
{
	return v ? v : UINT32_MAX;
}

/* Before features are negotiated: how many queues there are has to be known by then. */
static int describe(struct vblk *d, struct riser_err *err)
{
	struct vblk_info *i = &d->info;
	struct riser_virtio_blk_config c;
	unsigned exp, queues = 1;
	int rc = read_config(d, &c, err);

	if (rc)
		return rc;
	i->sectors = le64(c.capacity);
	i->block = has(d, RISER_VIRTIO_BLK_F_BLK_SIZE) ? le32(c.blk_size) : 512;
	if (!is_power_of_two(i->block) || i->block < 512 || i->block > BLOCK_MAX)
		return err_set(err, -EIO, "%s: a block size of %u bytes makes no sense",
			       d->dev->name, i->block);
	if (!i->sectors || i->sectors > SECTORS_MAX || i->sectors % (i->block / 512))
		return err_set(err, -EIO,
			       "%s: a capacity of %llu sectors makes no sense with blocks of %u "
			       "bytes",
			       d->dev->name, (unsigned long long)i->sectors, i->block);
	exp = has(d, RISER_VIRTIO_BLK_F_TOPOLOGY) ? c.physical_block_exp : 0;
	i->physical = exp < 16 ? i->block << exp : i->block;
	/* §5.2.5: without the feature one piece, and as long as one likes. */
	i->size_max = has(d, RISER_VIRTIO_BLK_F_SIZE_MAX) ? or_all(le32(c.size_max)) : UINT32_MAX;
	i->seg_max = has(d, RISER_VIRTIO_BLK_F_SEG_MAX) ? max_of(le32(c.seg_max), 1u) : 1;
	/* Header and status go with them (§2.7.5.3.1: not more than the queue has entries). */
	i->seg_max = min_of(i->seg_max, (uint32_t)VBLK_SEGS);
	i->seg_max = min_of(i->seg_max, max_of(d->dev->t->queue_max(d->dev, 0), 3u) - 2);
	i->read_only = has(d, RISER_VIRTIO_BLK_F_RO);
	/*
	 * §5.2.6.2: without FLUSH every write is through. CONFIG_WCE might say so of a device with
	 * FLUSH; but qemu-storage-daemon says it of a cache that is there, and a flush too many
	 * costs less than one too few. So the feature is not wanted.
	 */
	i->write_cache = has(d, RISER_VIRTIO_BLK_F_FLUSH);
	i->discard = has(d, RISER_VIRTIO_BLK_F_DISCARD);
	i->max_discard = le32(c.max_discard_sectors);
	i->write_zeroes = has(d, RISER_VIRTIO_BLK_F_WRITE_ZEROES);
	i->max_zeroes = le32(c.max_write_zeroes_sectors);
	i->unmap = c.write_zeroes_may_unmap;
	if (has(d, RISER_VIRTIO_BLK_F_MQ))
		queues = le16(c.num_queues);
	d->nqueues = max_of(min_of(queues, (unsigned)VBLK_QUEUES), 1u);
	d->sectors = i->sectors;
	return 0;
}

/* --- The serial number: the one request that is made here, on the first queue --- */

static bool wait_used(struct vblk *d, struct virtq *vq, uint32_t *len)
{
	uint64_t deadline = clock_now(d->r) + ID_TIMEOUT, next = TIME_NEVER;
	struct sync_wait w;
	bool used = false;

	sync_wait_begin_here(&w, d->r);
	for (;;) {
		int did;

		sync_wait_look(&w);
		used = virtq_take(vq, len);
		if (used || d->dev->broken || clock_now(d->r) >= deadline)
			break;
		did = d->dev->t->pump ? d->dev->t->pump(d->dev, &next) : 0;
		if (did < 0)
			break;
		if (did)
			w.idle = 0;
		else
			sync_wait_idle(&w, min_of(next, deadline));
	}
	sync_wait_end(&w);
	return used;
}

static int get_id(struct vblk *d, struct riser_err *err)
{
	struct vblk_queue *q = &d->queues[0];
	struct vblk_wire *w = q->wires; /* and the next one, for the data */
	char *id = (char *)(w + 1);
	struct virtq_sg sg[3] = {
		{ q->wires_iova, sizeof(w->head) },
		{ q->wires_iova + sizeof(*w), RISER_VIRTIO_BLK_ID_LEN },
		{ q->wires_iova + offsetof(struct vblk_wire, status), 1 },
	};
	uint32_t len;
	int rc;

	*w = (struct vblk_wire){ .head.type = to_le32(RISER_VIRTIO_BLK_T_GET_ID),
				 .status = UINT8_MAX };
	rc = virtq_add(q->fresh, sg, 1, 2, w);
	if (rc)
		return err_set(err, rc, "%s: a queue is too small", d->dev->name);
	virtq_kick(q->fresh);
	if (!wait_used(d, q->fresh, &len))
		return err_set(err, -ETIMEDOUT, "%s: the device does not answer its first request",
			       d->dev->name);
	for (unsigned i = 0; !w->status && i < RISER_VIRTIO_BLK_ID_LEN && id[i]; i++)
		d->info.serial[i] = (char)(id[i] >= ' ' && id[i] < 0x7f ? id[i] : '?');
	memset(id, 0, RISER_VIRTIO_BLK_ID_LEN);
	return 0;
}

/* --- Making and opening --- */

static void free_queue(struct vblk *d, struct vblk_queue *q)
{
	virtq_free(q->vq);
	virtq_free(q->fresh);
	dma_free(d->dev->dma, &q->mem);
	free(q->slots);
	if (q->event >= 0)
		close(q->event);
}

/* The device was reset: it reaches none of this any more. */
static void destroy(struct vblk *d)
{
	for (unsigned i = 0; i < VBLK_QUEUES; i++)
		free_queue(d, &d->queues[i]);
	if (d->config_event >= 0)
		close(d->config_event);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void close_posted(struct riser_work *w);

static int make_queue(struct vblk *d, unsigned index, struct riser_err *err)
{
	struct vblk_queue *q = &d->queues[index];
	int rc = dma_alloc(d->dev->dma, VBLK_SLOTS * sizeof(*q->wires), sizeof(*q->wires), &q->mem,
			   err);

	if (rc)
		return rc;
	q->slots = aligned_alloc(sizeof(*q->slots), VBLK_SLOTS * sizeof(*q->slots));
	if (!q->slots)
		return err_set(err, -ENOMEM, "no memory for a queue");
	memset(q->slots, 0, VBLK_SLOTS * sizeof(*q->slots));
	for (unsigned i = VBLK_SLOTS; i--;) {
		q->slots[i].next = q->stash;
		q->stash = &q->slots[i];
	}
	q->wires = q->mem.va;
	q->wires_iova = q->mem.iova;
	q->d = d;
	q->index = index;
	q->nslots = VBLK_SLOTS;
	q->dma = d->dev->dma;
	q->size_max = d->info.size_max;
	q->seg_max = d->info.seg_max;
	q->pump_next = TIME_NEVER;
	q->poller =
		(struct poller){ .poll = vblk_poller, .arm = vblk_arm, .next_deadline = vblk_next };
	q->close.fn = close_posted;
	list_init(&q->poller.link);
	q->waiting_end = &q->waiting;
	if (d->irq) {
		q->event = rc = event_new();
		q->watches[0].fd = rc;
		q->watches[1].fd = d->config_event;
		q->watches[2].fd = d->dev->wake_fd;
	}
	return rc < 0 ? err_set(err, rc, "no event for a queue: %s", strerror(-rc)) : 0;
}

/* An event of each queue's; and one of the configuration, without which a tick looks. */
static int want_events(struct vblk *d, struct riser_err *err)
{
	int fd = d->dev->t->irq_config ? event_new() : -1;

	if (!d->dev->events) {
		if (fd >= 0)
			close(fd);
		return err_set(err, -EOPNOTSUPP, "%s: the device cannot interrupt: leave out irq=1",
			       d->dev->name);
	}
	d->nqueues = min_of(d->nqueues, d->dev->events);
	if (fd >= 0 && d->dev->t->irq_config(d->dev, fd)) {
		close(fd);
		fd = -1;
	}
	d->config_event = fd;
	return 0;
}

int vblk_new(struct virtio_dev *dev, bool irq, uint64_t timeout, struct vblk **out,
	     struct riser_err *err)
{
	struct vblk *d = aligned_alloc(64, align_up(sizeof(*d), 64));
	struct riser_err ignored;
	int rc;

	if (!d)
		return err_set(err, -ENOMEM, "no memory for a disk");
	memset(d, 0, sizeof(*d));
	d->r = dev->r;
	d->dev = dev;
	d->irq = irq;
	d->timeout = timeout;
	d->refs = 1;
	d->gen = 1;
	d->wanted = QUEUE_FEATURES | BLK_FEATURES;
	list_init(&d->link);
	list_init(&d->watchers);
	pthread_mutex_init(&d->lock, NULL);
	d->config_event = -1;
	for (unsigned i = 0; i < VBLK_QUEUES; i++)
		d->queues[i].event = -1;
	rc = describe(d, err);
	if (!rc && irq)
		rc = want_events(d, err);
	for (unsigned i = 0; !rc && i < d->nqueues; i++)
		rc = make_queue(d, i, err);
	if (!rc)
		rc = vblk_bring_up(d, err);
	if (!rc)
		rc = get_id(d, err);
	if (rc) {
		virtio_reset(dev, &ignored);
		if (d->config_event >= 0)
			dev->t->irq_config(dev, -1);
		destroy(d);
		return rc;
	}
	/* What a reset finds has to be what was found now. */
	d->wanted = d->required = dev->features;
	d->stopped = d->live = d->gen;
	*out = d;
	return 0;
}

static int create(struct riser *r, const struct uri *u, struct vblk **out, struct riser_err *err)
{
	const char *text = uri_get(u, "timeout");
	uint64_t ms = DEFAULT_TIMEOUT_MS;
	struct virtio_dev *dev;
	bool irq = false;
	int rc = uri_get_bool(u, "irq", &irq, err);

	if (rc)
		return rc;
	if (text && (parse_u64(text, &ms) || !ms || ms > UINT32_MAX))
		return err_set(err, -EINVAL, "timeout= wants milliseconds, not '%s'", text);
	rc = virtio_open(r, u, RISER_VIRTIO_ID_BLK, &dev, err);
	if (rc)
		return rc;
	rc = vblk_new(dev, irq, ms * NS_PER_MS, out, err);
	if (rc)
		virtio_close(dev);
	return rc;
}

static struct vblk *find(struct riser *r, const char *name)
{
	list_for_each (d, &r->disks, struct vblk, link)
		if (!strcmp(d->dev->name, name) && !load_relaxed(&d->dead))
			return d;
	return NULL;
}

static struct vblk *share(struct vblk *d)
{
	__atomic_fetch_add(&d->refs, 1, __ATOMIC_RELAXED);
	return d;
}

int vblk_open(struct riser *r, const struct uri *u, struct vblk **out, struct riser_err *err)
{
	char *name = uri_canonical(u, not_ours);
	struct vblk *d;
	int rc = 0;

	if (!name)
		return err_set(err, -ENOMEM, "no memory for a name");
	pthread_mutex_lock(&r->open_lock);
	d = find(r, name);
	if (d) {
		*out = share(d);
	} else {
		rc = create(r, u, out, err);
		if (!rc)
			list_add(&r->disks, &(*out)->link);
	}
	pthread_mutex_unlock(&r->open_lock);
	free(name);
	return rc;
}

/* Give a reference back unless it is the last one. */
static bool put_one_of_many(struct vblk *d)
{
	unsigned refs = load_relaxed(&d->refs);

	while (refs > 1)
		if (__atomic_compare_exchange_n(&d->refs, &refs, refs - 1, true, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

void vblk_close(struct vblk *d)
{
	struct riser_err why = { .text = "" };
	struct virtio_dev *dev;
	struct riser *r;

	if (!d || put_one_of_many(d))
		return;
	r = d->r;
	dev = d->dev;
	pthread_mutex_lock(&r->open_lock);
	/* Another opener may have come before us. */
	if (__atomic_fetch_sub(&d->refs, 1, __ATOMIC_ACQ_REL) == 1) {
		list_del(&d->link);
		if (!d->dead && virtio_reset(dev, &why) && why.text[0])
			base_log(r, RISER_LOG_WARN, "%s: %s", dev->name, why.text);
		if (d->config_event >= 0)
			dev->t->irq_config(dev, -1);
		destroy(d);
		virtio_close(dev);
	}
	pthread_mutex_unlock(&r->open_lock);
}

void vblk_watch(struct vblk *d, struct listener *l)
{
	pthread_mutex_lock(&d->lock);
	listener_add(&d->watchers, l);
	store_relaxed(&d->nwatchers, d->nwatchers + 1);
	pthread_mutex_unlock(&d->lock);
}

void vblk_unwatch(struct vblk *d, struct listener *l)
{
	listener_remove(l, d->r, &d->lock);
	pthread_mutex_lock(&d->lock);
	store_relaxed(&d->nwatchers, d->nwatchers - 1);
	pthread_mutex_unlock(&d->lock);
}

/* --- Who has which queue --- */

int vblk_queue_get(struct vblk *d, struct riser_exec *x, struct vblk_queue **out,
		   struct riser_err *err)
{
	struct vblk_queue *mine = NULL;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->nqueues; i++) {
		struct vblk_queue *q = &d->queues[i];
		bool taken = q->refs || q->posted;

		if (q->closing)
			continue;
		if (taken ? q->x == x : !mine)
			mine = q;
		if (taken && q->x == x)
			break;
	}
	if (mine) {
		if (!mine->refs && !mine->posted)
			share(d); /* as long as the queue has an owner */
		mine->refs++;
		mine->x = x;
	}
	pthread_mutex_unlock(&d->lock);
	*out = mine;
	return mine ? 0
		    : err_set(err, -EBUSY, "%s: its %u queues are all taken", d->dev->name,
			      d->nqueues);
}

struct vblk_queue *vblk_queue_least(struct vblk *d)
{
	struct vblk_queue *least = NULL;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->nqueues; i++) {
		struct vblk_queue *q = &d->queues[i];

		if (q->refs && (!least || q->refs < least->refs))
			least = q;
	}
	if (least)
		least->refs++;
	pthread_mutex_unlock(&d->lock);
	return least;
}

static void unwatch(struct vblk_queue *q, unsigned n)
{
	while (n--)
		if (q->watches[n].fd >= 0)
			riser_exec_unwatch(q->x, &q->watches[n]);
}

/* In the owner's thread, or where it was never adopted: nothing is in flight. */
static void release(struct vblk_queue *q)
{
	struct vblk *d = q->d;

	if (q->adopted) {
		exec_remove(q->x, &q->poller);
		if (q->watched)
			unwatch(q, array_len(q->watches));
	}
	pthread_mutex_lock(&d->lock);
	q->adopted = q->watched = q->closing = false;
	q->x = NULL;
	pthread_mutex_unlock(&d->lock);
	vblk_close(d);
}

/* In the owner's thread, later; it may have come to use again meanwhile. */
static void close_posted(struct riser_work *w)
{
	struct vblk_queue *q = container_of(w, struct vblk_queue, close);
	bool unused;

	pthread_mutex_lock(&q->d->lock);
	unused = !q->refs;
	q->posted = false;
	q->closing = unused;
	pthread_mutex_unlock(&q->d->lock);
	if (unused)
		release(q);
}

void vblk_queue_put(struct vblk_queue *q, bool here)
{
	bool now = false, post = false;

	pthread_mutex_lock(&q->d->lock);
	if (!--q->refs && !q->posted) {
		now = here || !q->adopted;
		post = !now;
		q->posted = post;
		q->closing = now;
	}
	pthread_mutex_unlock(&q->d->lock);
	if (now)
		release(q);
	else if (post)
		riser_exec_post(q->x, &q->close);
}

static void watch(struct vblk_queue *q)
{
	unsigned n = 0;
	int rc = 0;

	for (; n < array_len(q->watches); n++) {
		rc = q->watches[n].fd < 0 ? 0
					  : riser_exec_watch(q->x, &q->watches[n], RISER_WATCH_IN);
		if (rc)
			break;
	}
	q->watched = !rc;
	if (!rc)
		return;
	unwatch(q, n);
	base_log(q->d->r, RISER_LOG_WARN, "%s: an event cannot be watched: %s", q->d->dev->name,
		 strerror(-rc));
}

void vblk_queue_adopt(struct vblk_queue *q)
{
	if (q->adopted) /* by this thread: nobody else writes it */
		return;
	exec_add(q->x, &q->poller);
	if (q->event >= 0)
		watch(q);
	pthread_mutex_lock(&q->d->lock);
	q->adopted = true;
	pthread_mutex_unlock(&q->d->lock);
	if (q->state != VBLK_LIVE)
		vblk_rebuild(q); /* its virtqueue is there: the first I/O need not wait */
}
