/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/virtio.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_DRIVER (RISER_VIRTIO_STATUS_ACKNOWLEDGE | RISER_VIRTIO_STATUS_DRIVER)

int vdev_init(struct vdev *v, struct riser *r, const struct vdev_type *type, struct vdev_host *host,
	      unsigned nqueues, unsigned size)
{
	v->r = r;
	v->type = type;
	v->host = host;
	list_init(&v->faults);
	v->queues = calloc(nqueues, sizeof(*v->queues));
	if (!v->queues)
		return -ENOMEM;
	v->nqueues = nqueues;
	for (unsigned i = 0; i < nqueues; i++)
		v->queues[i].max = v->queues[i].size = size;
	return 0;
}

void vdev_free(struct vdev *v)
{
	for (unsigned i = 0; i < v->nqueues; i++)
		vring_stop(&v->queues[i].ring);
	if (v->queues)
		vdev_fault_clear(v);
	free(v->queues);
}

void vdev_blame(struct vdev *v, const char *what)
{
	v->counters.violations++;
	v->counters.violation = what;
}

void vdev_config_changed(struct vdev *v)
{
	v->generation++;
	if (v->status & RISER_VIRTIO_STATUS_DRIVER_OK || v->legacy)
		v->host->config(v->host);
}

void vdev_needs_reset(struct vdev *v)
{
	v->running = false;
	v->status |= RISER_VIRTIO_STATUS_NEEDS_RESET;
	v->host->config(v->host);
}

static struct vdev_queue *queue_of(struct vdev *v, unsigned i)
{
	return i < v->nqueues ? &v->queues[i] : NULL;
}

static void queue_forget(struct vdev_queue *q)
{
	unsigned max = q->max;

	vring_stop(&q->ring);
	*q = (struct vdev_queue){ .max = max, .size = max };
}

void vdev_reset(struct vdev *v)
{
	v->counters.resets++;
	for (unsigned i = 0; i < v->nqueues; i++)
		queue_forget(&v->queues[i]);
	v->status = 0;
	v->features = 0;
	v->legacy = v->running = false;
	v->type->reset(v);
}

void vdev_accept(struct vdev *v, uint64_t features)
{
	if (v->status & RISER_VIRTIO_STATUS_FEATURES_OK) {
		vdev_blame(v, "features were written behind FEATURES_OK");
		return;
	}
	for (unsigned i = 0; i < v->nqueues; i++)
		if (v->queues[i].enabled)
			vdev_blame(v, "features were written behind the queues");
	if (features & ~v->offered)
		vdev_blame(v, "a feature was accepted that is not offered");
	v->features = features;
}

static bool queue_start(struct vdev *v, struct vdev_queue *q)
{
	struct vring_setup set = { .mem = &v->host->mem,
				   .size = q->size,
				   .desc = q->desc,
				   .driver = q->driver,
				   .device = q->device,
				   .features = v->features,
				   .start = q->start };

	if (!vring_start(&q->ring, &set)) {
		q->kicked = true;
		return true;
	}
	vdev_blame(v, q->ring.wrong ? q->ring.wrong : "no memory for a queue");
	vring_stop(&q->ring);
	q->enabled = false;
	vdev_needs_reset(v);
	return false;
}

static void driver_ok(struct vdev *v)
{
	if (!v->legacy && !(v->status & RISER_VIRTIO_STATUS_FEATURES_OK))
		vdev_blame(v, "DRIVER_OK without FEATURES_OK");
	v->running = true;
	for (unsigned i = 0; i < v->nqueues && v->running; i++)
		if (v->queues[i].enabled)
			queue_start(v, &v->queues[i]);
	if (v->running && v->type->start)
		v->type->start(v);
}

/* Are the features a set that this device can work with (§2.2)? */
static bool features_fit(const struct vdev *v)
{
	return !(v->features & ~v->offered) && !(v->required & ~v->features);
}

void vdev_status(struct vdev *v, uint8_t status)
{
	uint8_t set = (uint8_t)(status & ~v->status);
	uint64_t value;

	if (!status) {
		if (!v->status || !vdev_fault(v, VFAULT_STUCK, 0, &value))
			vdev_reset(v);
		return;
	}
	if (v->status & ~status & ~RISER_VIRTIO_STATUS_NEEDS_RESET)
		vdev_blame(v, "a status bit was cleared without a reset");
	if (set & RISER_VIRTIO_STATUS_FEATURES_OK) {
		if (!features_fit(v) || vdev_fault(v, VFAULT_FEATURES, 0, &value))
			status &= (uint8_t)~RISER_VIRTIO_STATUS_FEATURES_OK;
		if (~v->status & ~status & STATUS_DRIVER)
			vdev_blame(v, "FEATURES_OK without ACKNOWLEDGE and DRIVER");
	}
	v->status = status | (v->status & RISER_VIRTIO_STATUS_NEEDS_RESET);
	if (set & status & RISER_VIRTIO_STATUS_DRIVER_OK)
		driver_ok(v);
}

void vdev_enable(struct vdev *v, unsigned queue)
{
	struct vdev_queue *q = queue_of(v, queue);

	if (!q || q->enabled)
		return;
	if (!v->legacy && !(v->status & RISER_VIRTIO_STATUS_FEATURES_OK))
		vdev_blame(v, "a queue was set up before the features");
	q->enabled = true;
	if (v->running)
		queue_start(v, q);
}

uint32_t vdev_disable(struct vdev *v, unsigned queue)
{
	struct vdev_queue *q = queue_of(v, queue);
	uint32_t start;

	if (!q)
		return 0;
	start = q->ring.set.size ? vring_stop(&q->ring) : q->start;
	queue_forget(q);
	return start;
}

void vdev_kick(struct vdev *v, unsigned queue)
{
	struct vdev_queue *q = queue_of(v, queue);

	v->counters.kicks++;
	if (!q || !q->ring.set.size) {
		vdev_blame(v, "a queue was announced that does not run");
		return;
	}
	q->kicked = true;
}

void vdev_config_write(struct vdev *v, size_t off, const void *buf, size_t len)
{
	if (!v->type->config_write || off >= v->config_len || len > v->config_len - off)
		return;
	v->type->config_write(v, off, buf, len);
}

void vdev_use(struct vdev *v, unsigned queue, const struct vring_chain *c, uint32_t len)
{
	struct vring *q = &v->queues[queue].ring;
	struct vdev_used u = { .id = c->id, .len = len };

	v->counters.used++;
	if (!list_empty(&v->faults) && !vdev_fault_used(v, queue, &u))
		return;
	vring_put(q, u.id, c->slots, u.len);
	for (; u.more; u.more--)
		vring_put(q, u.id, 1, u.len);
}

bool vdev_may_run(struct vdev *v, unsigned queue, uint64_t *next)
{
	struct vdev_queue *q = &v->queues[queue];

	if (!q->ring.set.size)
		return false;
	if (q->paused) {
		if (q->paused > v->now) {
			*next = min_of(*next, q->paused);
			return false;
		}
		q->paused = 0;
		vdev_publish(v, queue);
		clock_bump(v->r);
	}
	return q->kicked;
}

static void call(struct vdev *v, unsigned queue)
{
	v->queues[queue].owed = 0;
	v->counters.calls++;
	v->host->call(v->host, queue);
}

void vdev_publish(struct vdev *v, unsigned queue)
{
	struct vdev_queue *q = &v->queues[queue];
	uint32_t n = q->ring.nput + q->ring.batch.n;
	uint64_t value;

	if (q->paused || !vring_publish(&q->ring) ||
	    vdev_fault(v, VFAULT_NO_INTERRUPT, queue, &value))
		return;
	if (!q->owed)
		q->owed_at = v->now + q->coal_ns;
	q->owed += n;
	if (!q->coal_ns || (q->coal_packets && q->owed >= q->coal_packets))
		call(v, queue);
	else
		v->owes = true;
}

/* What was put off by NOTF_COAL, and is due. */
static void call_owed(struct vdev *v, uint64_t *next)
{
	if (!v->owes)
		return;
	v->owes = false;
	for (unsigned i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (!q->owed)
			continue;
		if (q->owed_at <= v->now) {
			call(v, i);
			continue;
		}
		v->owes = true;
		*next = min_of(*next, q->owed_at);
	}
}

/* A queue whose driver broke the rules stops the device (§2.1.2). */
static void look_for_wrongs(struct vdev *v)
{
	for (unsigned i = 0; i < v->nqueues && v->running; i++) {
		if (!v->queues[i].ring.wrong)
			continue;
		vdev_blame(v, v->queues[i].ring.wrong);
		vdev_needs_reset(v);
	}
}

unsigned vdev_step(struct vdev *v, uint64_t *next)
{
	unsigned done;

	*next = TIME_NEVER;
	if (!v->running)
		return 0;
	v->now = clock_now(v->r);
	done = v->type->run(v, next);
	call_owed(v, next);
	look_for_wrongs(v);
	if (done)
		clock_bump(v->r);
	return done;
}
