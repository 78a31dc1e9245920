/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/util.h"
#include "publish/nbd.h"

void nbd_pool_init(struct nbd_pool *p, struct riser_blk_channel *ch, uint32_t size)
{
	p->ch = ch;
	p->size = size;
	p->max_slabs = (unsigned)(NBD_PIECES / (NBD_SLAB / size));
}

void nbd_pool_destroy(struct nbd_pool *p)
{
	for (unsigned i = 0; i < p->nslabs; i++)
		riser_blk_buf_free(p->ch, p->slabs[i], NBD_SLAB);
	p->nslabs = p->nfree = 0;
	p->free = NULL;
}

static cold
bool grow(struct nbd_pool *p)
{
	unsigned per_slab = (unsigned)(NBD_SLAB / p->size);
	void *slab;

	if (p->nslabs == p->max_slabs || riser_blk_buf_alloc(p->ch, NBD_SLAB, &slab, NULL))
		return false;
	for (unsigned i = 0; i < per_slab; i++) {
		struct nbd_piece *piece = &p->pieces[p->nslabs * per_slab + i];

		piece->pool = p;
		piece->buf = (uint8_t *)slab + (size_t)i * p->size;
		nbd_pool_give(piece);
	}
	p->slabs[p->nslabs++] = slab;
	return true;
}

bool nbd_pool_reserve(struct nbd_pool *p, unsigned n)
{
	while (p->nfree < n)
		if (!grow(p))
			return false;
	return true;
}

bool nbd_pool_is_idle(const struct nbd_pool *p)
{
	return p->nfree == p->nslabs * (NBD_SLAB / p->size);
}

struct nbd_piece *nbd_pool_take(struct nbd_pool *p)
{
	struct nbd_piece *piece = p->free;

	p->free = piece->next;
	p->nfree--;
	piece->next = NULL;
	return piece;
}

void nbd_pool_give(struct nbd_piece *piece)
{
	struct nbd_pool *p = piece->pool;

	piece->next = p->free;
	p->free = piece;
	p->nfree++;
}
