/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/err.h"
#include "base/riser.h"
#include "virtio/vhost_user.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A region that allocations are cut out of. */
struct arena {
	struct list link;
	struct dma_region region;
	size_t page;
	bool used[]; /* by page */
};

#define ARENA_SIZE (16 * MiB) /* takes memory where it is used only */

static struct vhost_user *of_space(struct riser_dma_space *s)
{
	return container_of(s, struct vhost_user, space);
}

/* Whether nobody can make the memory behind @region shorter: with ours, see to it. */
static bool is_sealed(const struct dma_region *region)
{
	int seals;

	if (region->allocated)
		(void)fcntl(region->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	seals = fcntl(region->fd, F_GET_SEALS);
	return seals >= 0 && seals & F_SEAL_SHRINK;
}

static int send_table(struct vhost_user *v)
{
	struct vhost_user_msg msg = { .request = VHOST_USER_SET_MEM_TABLE,
				      .memory = { .nregions = v->nslots } };
	int fds[VHOST_USER_FDS_MAX];

	for (unsigned i = 0; i < v->nslots; i++) {
		msg.memory.regions[i] = v->slots[i].region;
		fds[i] = v->slots[i].fd;
	}
	msg.size = (uint32_t)(offsetof(struct vhost_user_memory, regions) +
			      v->nslots * sizeof(v->slots[0].region));
	return vhost_user_tell(v, &msg, fds, v->nslots);
}

static int send_slot(struct vhost_user *v, const struct vhost_user_slot *slot, uint32_t request)
{
	struct vhost_user_msg msg = { .request = request, .size = sizeof(msg.mem_reg) };

	msg.mem_reg.region = slot->region;
	return vhost_user_tell(v, &msg, &slot->fd, request == VHOST_USER_ADD_MEM_REG);
}

/* A backend either takes single regions, or the whole table each time. */
static int send_change(struct vhost_user *v, const struct vhost_user_slot *slot, uint32_t request)
{
	if (!v->negotiated || v->sock < 0)
		return 0; /* it is told when it is there */
	if (vhost_user_has(v, VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS))
		return send_slot(v, slot, request);
	return send_table(v);
}

int vhost_user_memory_send(struct vhost_user *v)
{
	int rc = 0;

	if (v->nslots > v->max_slots) {
		vhost_user_drop(v, "it takes %u regions of memory, and there are %u", v->max_slots,
				v->nslots);
		return -ENODEV;
	}
	if (!vhost_user_has(v, VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS))
		return v->nslots ? send_table(v) : 0;
	for (unsigned i = 0; i < v->nslots && !rc; i++)
		rc = send_slot(v, &v->slots[i], VHOST_USER_ADD_MEM_REG);
	return rc;
}

/* Return: 0, -ENOSPC, or -EINVAL: the backend does not want it. One that is away will be told. */
static int share(struct vhost_user *v, const struct dma_region *region)
{
	uint64_t va = (uint64_t)(uintptr_t)region->va;
	struct vhost_user_slot *slot;
	int rc;

	pthread_mutex_lock(&v->lock);
	slot = &v->slots[v->nslots];
	rc = v->nslots < v->max_slots ? 0 : -ENOSPC;
	if (!rc) {
		v->nslots++;
		slot->fd = region->fd;
		slot->region = (struct vhost_user_region){
			.guest = va, .size = region->len, .user = va, .offset = region->offset
		};
		rc = send_change(v, slot, VHOST_USER_ADD_MEM_REG);
		if (rc == -EINVAL)
			v->nslots--;
		else
			rc = 0;
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static void take_back(struct vhost_user *v, const struct dma_region *region)
{
	pthread_mutex_lock(&v->lock);
	for (unsigned i = 0; i < v->nslots; i++) {
		struct vhost_user_slot slot = v->slots[i];

		if (slot.region.user != (uint64_t)(uintptr_t)region->va)
			continue;
		v->slots[i] = v->slots[--v->nslots];
		/* A backend that will not let go has a view of its own: it outlives ours. */
		(void)send_change(v, &slot, VHOST_USER_REM_MEM_REG);
		break;
	}
	pthread_mutex_unlock(&v->lock);
}

/* What cannot be shared is left unmapped; one slot is left for the arena. */
static int space_map(struct riser_dma_space *s, const struct dma_region *region,
		     struct riser_err *err)
{
	struct vhost_user *v = of_space(s);
	int rc;

	if (region->fd < 0 || !is_sealed(region))
		return 0;
	if (list_empty(&v->arenas) && v->nslots + 1 >= v->max_slots)
		return 0;
	if (share(v, region))
		return 0;
	rc = dma_space_enter(s, region->va, region->len, (uint64_t)(uintptr_t)region->va);
	if (!rc)
		return 0;
	take_back(v, region);
	return err_set(err, rc, "memory at %p cannot be entered into a translation table",
		       region->va);
}

static void space_unmap(struct riser_dma_space *s, const struct dma_region *region)
{
	take_back(of_space(s), region);
}

/* Return: the first page of @n free ones at a multiple of @align, or arena's end. */
static size_t find_pages(const struct arena *a, size_t n, size_t align)
{
	size_t pages = a->region.len / a->page, run = 0;

	for (size_t i = 0; i < pages; i++) {
		if (!run && ((uintptr_t)a->region.va + i * a->page) & (align - 1))
			continue;
		run = a->used[i] ? 0 : run + 1;
		if (run == n)
			return i + 1 - n;
	}
	return pages;
}

static void *cut(struct arena *a, size_t len, size_t align)
{
	size_t n = len / a->page, first = find_pages(a, n, align);
	void *va = (char *)a->region.va + first * a->page;

	if (first == a->region.len / a->page)
		return NULL;
	memset(a->used + first, true, n);
	return memset(va, 0, len);
}

static struct arena *arena_new(struct vhost_user *v, size_t len, struct riser_err *err)
{
	size_t page = (size_t)1 << v->space.page_shift, size = max_of(len, ARENA_SIZE);
	struct arena *a = calloc(1, sizeof(*a) + size / page);
	int rc;

	if (!a || dma_memory(size, DMA_SLOT_SIZE, &a->region)) {
		free(a);
		err_set(err, -ENOMEM, "no memory for DMA (%zu bytes)", size);
		return NULL;
	}
	a->page = page;
	rc = a->region.fd < 0 || !is_sealed(&a->region) ? -ENOTSUP : share(v, &a->region);
	if (!rc)
		rc = dma_space_enter(&v->space, a->region.va, size,
				     (uint64_t)(uintptr_t)a->region.va);
	if (!rc) {
		list_add(&v->arenas, &a->link);
		return a;
	}
	err_set(err, -ENOMEM, "%s does not take the memory for its queues: %s", v->path,
		rc == -ENOSPC ? "too many regions" : "no reason given");
	take_back(v, &a->region);
	dma_space_clear(&v->space, a->region.va, size);
	dma_memory_free(&a->region);
	free(a);
	return NULL;
}

static int space_alloc(struct riser_dma_space *s, size_t len, size_t align, void **out,
		       struct riser_err *err)
{
	struct vhost_user *v = of_space(s);
	struct arena *fresh;

	list_for_each (a, &v->arenas, struct arena, link) {
		*out = cut(a, len, align);
		if (*out)
			return 0;
	}
	fresh = arena_new(v, len, err);
	if (!fresh)
		return -ENOMEM;
	*out = cut(fresh, len, align);
	return 0;
}

static void space_free(struct riser_dma_space *s, void *va, size_t len)
{
	list_for_each (a, &of_space(s)->arenas, struct arena, link) {
		size_t offset = (size_t)((char *)va - (char *)a->region.va);

		if ((char *)va >= (char *)a->region.va && offset < a->region.len)
			memset(a->used + offset / a->page, false, len / a->page);
	}
}

static const struct dma_space_ops space_ops = {
	.size = sizeof(space_ops),
	.map = space_map,
	.unmap = space_unmap,
	.alloc = space_alloc,
	.free = space_free,
};

int vhost_user_memory_init(struct vhost_user *v, struct riser_err *err)
{
	unsigned shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));

	return dma_space_init(&v->space, v->dev.r, &space_ops, shift, false, err);
}

void vhost_user_memory_destroy(struct vhost_user *v)
{
	dma_space_destroy(&v->space);
	list_for_each_safe (a, &v->arenas, struct arena, link) {
		dma_memory_free(&a->region);
		free(a);
	}
}
