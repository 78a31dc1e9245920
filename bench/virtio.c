/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What a packet costs in a virtqueue: one descriptor added in a burst of 32, its share of the kick,
 * and taken again. Built with the library's objects, because virtqueues are not public; the device
 * is a loop in model_*() below, which uses everything in order and is not counted.
 *
 *	virtio				all figures, by callgrind
 *	virtio --json			the same, one JSON object a line
 *	virtio --run NAME --ios N	one loop alone
 */
#include "bench.h"
#include "callgrind.h"
#include "spec/vring.h"
#include "virtio/virtq.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING  256
#define BURST 32
#define BYTES 64

static const struct loop {
	const char *name;
	bool packed, rx;
} loops[] = {
	{ "virtio.split.tx", false, false },
	{ "virtio.split.rx", false, true },
	{ "virtio.packed.tx", true, false },
	{ "virtio.packed.rx", true, true },
};
#define LOOPS (sizeof(loops) / sizeof(loops[0]))

static struct virtio_layout layout;
static uint16_t model_next;
static bool model_wrap = true;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

static void *at(uint64_t iova)
{
	return (void *)(uintptr_t)iova;
}

__attribute__((noinline)) static void model_split(void)
{
	const struct riser_virtq_avail *avail = at(layout.driver);
	struct riser_virtq_used *used = at(layout.device);

	for (; model_next != le16(avail->idx); model_next++) {
		struct riser_virtq_used_elem *e = &used->ring[model_next % RING];

		e->id = to_le32(le16(avail->ring[model_next % RING]));
		e->len = to_le32(0);
	}
	store_release(&used->idx.raw, to_le16(model_next).raw);
	store_release(&vring_avail_event(used, RING)->raw, to_le16((uint16_t)(model_next - 1)).raw);
}

__attribute__((noinline)) static void model_packed(void)
{
	struct riser_virtq_packed_desc *ring = at(layout.desc);
	struct riser_virtq_packed_event *event = at(layout.device);

	event->flags = to_le16(RISER_VIRTQ_PACKED_EVENT_DISABLE);
	while (vring_packed_is_avail(le16(ring[model_next].flags), model_wrap)) {
		ring[model_next].len = to_le32(0);
		store_release(&ring[model_next].flags.raw,
			      to_le16(vring_packed_used(model_wrap)).raw);
		if (++model_next == RING) {
			model_next = 0;
			model_wrap = !model_wrap;
		}
	}
}

static unsigned queue_max(struct virtio_dev *d, unsigned index)
{
	(void)d;
	(void)index;
	return RING;
}

static int queue_start(struct virtio_dev *d, unsigned index, const struct virtio_layout *l,
		       struct virtio_notify *notify)
{
	(void)d;
	(void)index;
	(void)notify;
	layout = *l;
	return 0;
}

static void notify(struct virtio_dev *d, unsigned index, uint32_t value)
{
	(void)d;
	(void)index;
	(void)value;
}

static const struct virtio_transport transport = {
	.size = sizeof(transport),
	.name = "bench",
	.queue_max = queue_max,
	.queue_start = queue_start,
	.notify = notify,
};

static int map(struct riser_dma_space *s, const struct dma_region *region, struct riser_err *err)
{
	(void)err;
	return dma_space_enter(s, region->va, region->len, (uint64_t)(uintptr_t)region->va);
}

static void unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	(void)s;
	(void)region;
}

static const struct dma_space_ops dma = { .size = sizeof(dma), .map = map, .unmap = unmap };

/* What a port's packets are, is not counted either. */
__attribute__((noinline)) static void model_port(void *const *cookies, struct virtq_sg *sg)
{
	for (unsigned i = 0; i < BURST; i++)
		sg[i] = (struct virtq_sg){ (uintptr_t)cookies[i], BYTES };
}

/* As a port does: what was used is taken, and as much added. */
static void packets(struct virtq *q, const struct loop *l, uint64_t n)
{
	static char buffers[BURST][BYTES];
	struct virtq_sg sg[BURST];
	void *cookies[BURST];
	uint32_t lens[BURST];

	for (unsigned i = 0; i < BURST; i++)
		cookies[i] = buffers[i];
	for (uint64_t done = 0; done < n; done += BURST) {
		if (done && virtq_take_burst(q, cookies, lens, BURST) != BURST)
			die("the device uses less than it was given");
		model_port(cookies, sg);
		if (virtq_add_burst(q, sg, cookies, BURST, l->rx) != BURST)
			die("there is no room");
		virtq_kick(q);
		if (l->packed)
			model_packed();
		else
			model_split();
	}
}

static int run(const char *name, uint64_t ios)
{
	struct virtio_dev d = { .t = &transport, .name = (char *)(uintptr_t) "bench" };
	struct riser_dma_space space = { 0 };
	const struct loop *l = loops;
	struct virtq *q;

	while (l < loops + LOOPS && strcmp(l->name, name))
		l++;
	if (l == loops + LOOPS)
		die("there is no such loop");
	d.dma = &space;
	d.features = VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1) | VIRTIO_BIT(RISER_VIRTIO_F_EVENT_IDX);
	if (l->packed)
		d.features |= VIRTIO_BIT(RISER_VIRTIO_F_RING_PACKED);
	if (riser_new(NULL, &d.r, NULL) || dma_space_init(&space, d.r, &dma, 12, false, NULL) ||
	    virtq_new(&d, 0, RING, -1, &q, NULL))
		die("no queue");
	packets(q, l, ios);
	virtq_free(q);
	dma_space_destroy(&space);
	riser_free(d.r);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench bench = { .ios = 100000 };

	if (!bench_parse(&bench, argc, argv))
		return 2;
	if (bench.run)
		return run(bench.run, bench.ios);
	if (bench.only && strcmp(bench.only, "instructions"))
		return 2;
	for (unsigned i = 0; i < LOOPS; i++) {
		double n = callgrind_per_io(bench.self, loops[i].name, 32000, 96000,
					    CALLGRIND_NO_MODEL);

		if (n < 0)
			return 1;
		bench_print(&bench, loops[i].name, "instructions", n, "instructions per packet");
	}
	return 0;
}
