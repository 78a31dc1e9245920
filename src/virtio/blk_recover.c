/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * When a virtio-blk device does not answer, breaks the rules or asks for it (NEEDS_RESET), it is
 * reset and brought up again, by whoever sees that, under the lock, in one go: a dozen register
 * accesses. What its owners do then is in blk.h.
 *
 * A request without an answer ends only once the device was reset: until then it may still write to
 * the request's memory. A device that takes no reset is kept from all memory by its transport, and
 * given up, as one that is gone.
 */
#include "base/err.h"
#include "base/event.h"
#include "base/riser.h"
#include "virtio/blk.h"
#include <errno.h>
#include <string.h>

#define TICK         (100 * NS_PER_MS) /* between looks at deadlines and the device */
#define AGAIN        NS_PER_S          /* between tries to bring it up */
#define FAILURES_MAX 5                 /* to bring it up again, then it is given up */
#define RETRIES      4                 /* of a request that changes nothing */

/* Milliseconds, never 0; differences survive the wrap after 49 days. */
static uint32_t stamp(uint64_t now)
{
	return (uint32_t)(now / NS_PER_MS) | 1;
}

/* --- The device, under its lock --- */

static void free_fresh(struct vblk *d)
{
	for (unsigned i = 0; i < d->nqueues; i++) {
		virtq_free(d->queues[i].fresh);
		d->queues[i].fresh = NULL;
	}
}

int vblk_bring_up(struct vblk *d, struct riser_err *err)
{
	int rc = virtio_negotiate(d->dev, virtio_blk_features, d->wanted, d->required, err);

	for (unsigned i = 0; !rc && i < d->nqueues; i++) {
		struct vblk_queue *q = &d->queues[i];

		rc = virtq_new(d->dev, i, VBLK_ENTRIES, q->event, &q->fresh, err);
		if (!rc)
			rc = virtq_tables(q->fresh, VBLK_TABLE, err);
	}
	return rc ? rc : virtio_start(d->dev, err);
}

static void die(struct vblk *d, const char *why)
{
	base_log(d->r, RISER_LOG_ERROR, "%s: %s", d->dev->name, why);
	store_relaxed(&d->dead, true);
	d->events |= 1u << VBLK_EVENT_GONE;
	store_release(&d->gen, d->gen + 1);
	store_release(&d->stopped, d->gen);
	clock_bump(d->r);
}

static void restart(struct vblk *d)
{
	struct riser_err why = { .text = "" };
	int rc;

	d->lied = d->lied || load_relaxed(&d->dev->broken);
	rc = virtio_reset(d->dev, &why);
	if (rc) {
		die(d, why.text);
		return;
	}
	store_relaxed(&d->retry_at, clock_now(d->r) + AGAIN);
	free_fresh(d);
	/* What the device had written is there; pairs with vblk_rebuild(). */
	store_release(&d->stopped, d->gen);
	rc = vblk_bring_up(d, &why);
	if (!rc) {
		d->failures = 0;
		store_release(&d->live, d->gen);
	} else if (rc == -ENODEV || ++d->failures == FAILURES_MAX) {
		die(d, why.text);
	} else {
		base_log(d->r, RISER_LOG_ERROR, "%s: %s", d->dev->name, why.text);
	}
	clock_bump(d->r);
}

static void recover(struct vblk *d, const char *why)
{
	d->lied = false;
	base_log(d->r, RISER_LOG_WARN, "%s: %s: resetting it", d->dev->name, why);
	d->resets++;
	store_release(&d->gen, d->gen + 1);
	restart(d);
}

int vblk_vanished(struct vblk *d)
{
	int n = 0;

	pthread_mutex_lock(&d->lock);
	if (!d->dead) {
		die(d, "the device is gone");
		n = 1;
	}
	vblk_unlock(d);
	return n;
}

void vblk_unlock(struct vblk *d)
{
	unsigned events = d->events;

	d->events = 0;
	pthread_mutex_unlock(&d->lock);
	for (unsigned e = 0; events; e++, events >>= 1)
		if (events & 1)
			listeners_tell(&d->watchers, &d->lock, e);
}

int vblk_look(struct vblk *d, uint64_t *sectors, struct riser_err *err)
{
	riser_le64 capacity;
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = d->dead ? -ENODEV : d->dev->t->config_read(d->dev, 0, &capacity, sizeof(capacity));
	pthread_mutex_unlock(&d->lock);
	if (rc)
		return err_set(err, rc, "%s: %s", d->dev->name,
			       rc == -ENODEV ? "the device is gone" : strerror(-rc));
	*sectors = le64(capacity);
	return 0;
}

/* Has it another size? Who listens refreshes his device then. */
static void look(struct vblk *d)
{
	riser_le64 capacity;

	if (!load_relaxed(&d->nwatchers) ||
	    d->dev->t->config_read(d->dev, 0, &capacity, sizeof(capacity)) ||
	    le64(capacity) == d->sectors)
		return;
	d->sectors = le64(capacity);
	d->events |= 1u << VBLK_EVENT_RESIZED;
}

/* --- A queue, by its owner --- */

/* Is there a request that is overdue? Requests are seen, and stamped, at the first look. */
static bool scan(struct vblk_queue *q, uint64_t now)
{
	uint32_t ms = stamp(now);

	for (unsigned i = 0; q->inflight && i < q->nslots; i++) {
		struct vblk_slot *s = &q->slots[i];

		if (!s->req)
			continue;
		if (!s->stamp)
			s->stamp = ms;
		else if ((uint64_t)(ms - s->stamp) * NS_PER_MS >= q->d->timeout)
			return true;
	}
	return false;
}

int vblk_tick(struct vblk_queue *q)
{
	uint64_t now = q->x->now;
	struct vblk *d = q->d;
	const char *why = NULL;
	int rc;

	if (pthread_mutex_trylock(&d->lock))
		return 0; /* the next poll looks again */
	if (d->gen != q->gen) {
		vblk_unlock(d);
		return 0;
	}
	rc = virtio_check(d->dev);
	if (rc == -ENODEV)
		die(d, "the device is gone");
	else if (rc)
		why = load_relaxed(&d->dev->broken);
	else if (scan(q, now))
		why = "a request was not answered in time";
	else
		look(d);
	if (why)
		recover(d, why);
	q->next_tick = now + min_of(TICK, d->timeout / 8 + 1);
	vblk_unlock(d);
	return why != NULL;
}

/* To be sent again, behind the others. */
static void wait_live(struct vblk_queue *q, struct vblk_slot *s)
{
	s->next = NULL;
	*q->waiting_end = s;
	q->waiting_end = &s->next;
}

/* The device was reset: it does nothing for this request any more. */
static void interrupted(struct vblk_queue *q, struct vblk_slot *s)
{
	bool harmless = s->type == RISER_VIRTIO_BLK_T_IN || s->type == RISER_VIRTIO_BLK_T_FLUSH;

	if (!harmless)
		vblk_end(q, s, VBLK_UNKNOWN);
	else if (load_relaxed(&q->d->dead))
		vblk_end(q, s, VBLK_OFFLINE);
	else if (s->tries++ == RETRIES)
		vblk_end(q, s, VBLK_TIMEOUT);
	else
		wait_live(q, s);
}

/*
 * What the device had completed before it was stopped has its own end, unless it had broken the
 * rules: then what it had written is not looked at again.
 */
static void drain(struct vblk_queue *q, bool lied)
{
	struct vblk_slot *s;

	if (!q->vq)
		return;
	q->x->in_cb++;
	if (!lied)
		vblk_reap(q);
	while ((s = virtq_detach(q->vq)))
		interrupted(q, s);
	q->x->in_cb--;
	virtq_free(q->vq);
	q->vq = NULL;
}

/* The backend may be another one. Return: whether it knows the queue now. */
static bool replay(struct vblk_queue *q)
{
	struct vblk_slot *s;

	q->epoch = load_acquire(&q->d->dev->epoch);
	if (!virtq_stale(q->vq))
		return true;
	q->x->in_cb++;
	vblk_reap(q);
	q->x->in_cb--;
	while ((s = virtq_detach(q->vq)))
		wait_live(q, s);
	return !virtq_restart(q->vq);
}

static void end_waiting(struct vblk_queue *q)
{
	struct vblk_slot *next = q->waiting, *s;

	q->waiting = NULL;
	q->waiting_end = &q->waiting;
	q->x->in_cb++;
	while ((s = next)) {
		next = s->next;
		vblk_end(q, s, VBLK_OFFLINE);
	}
	q->x->in_cb--;
}

/* What finds no room, in a device that is broken again, waits for the next reset. */
static void send_waiting(struct vblk_queue *q)
{
	struct vblk_slot *next = q->waiting, *s;

	q->waiting = NULL;
	q->waiting_end = &q->waiting;
	while ((s = next)) {
		next = s->next;
		q->retries++;
		if (vblk_send(q, s))
			wait_live(q, s);
	}
}

static void go_live(struct vblk_queue *q, uint32_t gen)
{
	q->gen = gen;
	q->armed = false;
	q->state = VBLK_LIVE;
	q->free = q->stash;
	q->stash = NULL;
	q->next_tick = q->x->now;
	send_waiting(q);
}

/* Nothing enters the queue from here on. */
static void leave_live(struct vblk_queue *q)
{
	q->state = VBLK_DRAIN;
	q->stash = q->free;
	q->free = NULL;
	q->gen = 0;
}

int vblk_rebuild(struct vblk_queue *q)
{
	struct vblk *d = q->d;
	bool stopped, live, dead, lied, fresh;
	struct virtq *vq = NULL;
	uint32_t gen;

	if (q->state == VBLK_DEAD)
		return 0;
	if (q->state == VBLK_LIVE)
		leave_live(q);
	if (pthread_mutex_trylock(&d->lock))
		return 0;
	if (!d->dead && d->live != d->gen && q->x->now >= d->retry_at)
		restart(d);
	gen = d->gen;
	dead = d->dead;
	lied = d->lied;
	stopped = d->stopped == gen;
	live = !dead && d->live == gen;
	fresh = live && gen != q->made;
	if (fresh) {
		vq = q->fresh;
		q->fresh = NULL;
	}
	vblk_unlock(d);
	if (stopped && (fresh || !live))
		drain(q, lied);
	if (fresh) {
		q->vq = vq;
		q->made = gen;
	}
	if (live && replay(q)) {
		go_live(q, gen);
		return 1;
	}
	if (dead) {
		end_waiting(q);
		q->state = VBLK_DEAD;
		return 1;
	}
	return vblk_pump(q);
}

/* --- Sleeping --- */

static bool is_idle(const struct vblk_queue *q)
{
	return q->state == VBLK_DEAD || (q->state == VBLK_LIVE && !q->inflight);
}

uint64_t vblk_next(struct poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);

	if (q->state == VBLK_DEAD)
		return TIME_NEVER;
	if (q->state == VBLK_DRAIN) /* whoever recovers bumps the clock */
		return load_relaxed(&q->d->live) == load_relaxed(&q->d->gen)
			       ? q->x->now
			       : load_relaxed(&q->d->retry_at);
	if (is_idle(q) && (q->watched || !load_relaxed(&q->d->nwatchers)))
		return q->pump_next;
	return min_of(q->pump_next, q->next_tick);
}

int vblk_arm(struct poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);

	if (!q->watched || q->state != VBLK_LIVE)
		return is_idle(q) ? 0 : -EOPNOTSUPP;
	if (q->d->config_event >= 0 && event_ack(q->d->config_event))
		q->next_tick = 0;
	if (!q->next_tick)
		return 1;
	/* The device puts it there, then signals: what comes after the look signals again. */
	event_ack(q->event);
	q->armed = true;
	return virtq_arm(q->vq);
}
