/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Physical Region Pages (§4.1.1): the first may start anywhere (at a dword), the rest are whole
 * pages. One page: PRP1. Two: PRP1 and PRP2. More: PRP2 points at the tracker's list, which is one
 * page, so that it never chains.
 */
#include "nvme/qpair.h"
#include <errno.h>

struct builder {
	struct riser_nvme_qpair *q;
	struct nvme_tracker *t;
	riser_le64 *list;
	unsigned n, max; /* entries in the list */
};

/* @n pages from @v on, in one 2 MiB whose table entry is @e. */
static int list_slot(struct builder *b, uint64_t e, uint64_t v, size_t n)
{
	const struct riser_dma_space *dma = &b->q->c->pci->dma;
	riser_le64 *out = b->list + b->n;
	uint32_t mps = b->q->mps;

	b->n += (unsigned)n;
	if (e & 1) {
		for (size_t i = 0; i < n; i++)
			out[i] = to_le64(v + (e - 1) + i * mps);
	} else if (dma->page_shift == b->q->c->mps_shift && e) {
		const uint64_t *leaf = (const uint64_t *)(uintptr_t)e;

		leaf += (v & (DMA_SLOT_SIZE - 1)) >> dma->page_shift;
		for (size_t i = 0; i < n; i++) {
			uint64_t iova = load_relaxed(&leaf[i]);

			if (unlikely(!iova))
				return -EFAULT;
			out[i] = to_le64(iova);
		}
	} else {
		for (size_t i = 0; i < n; i++) {
			uint64_t iova = e ? dma_leaf(dma, e, v + i * mps) : DMA_NONE;

			if (iova == DMA_NONE)
				return -EFAULT;
			out[i] = to_le64(iova);
		}
	}
	return 0;
}

/* @len bytes from page-aligned @v on, a page an entry; one table look-up for each 2 MiB. */
static int list_pages(struct builder *b, uint64_t v, size_t len)
{
	unsigned shift = b->q->c->mps_shift;
	size_t left = (len + b->q->page_mask) >> shift;
	int rc = 0;

	if (left > b->max - b->n)
		return -EINVAL;
	while (left && !rc) {
		uint64_t e = dma_slot(&b->q->c->pci->dma, (const void *)(uintptr_t)v);
		size_t n = (DMA_SLOT_SIZE - (v & (DMA_SLOT_SIZE - 1))) >> shift;

		n = min_of(n, left);
		rc = list_slot(b, e, v, n);
		v += n << shift;
		left -= n;
	}
	return rc;
}

static int add(struct builder *b, const char *data, size_t len, bool first)
{
	uint64_t v = (uint64_t)(uintptr_t)data;
	size_t head = b->q->mps - (v & b->q->page_mask);

	if (!first) {
		if (head != b->q->mps)
			return -EINVAL; /* a later element must start a page */
		return list_pages(b, v, len);
	}
	if (v & 3)
		return -EINVAL;
	b->t->prp1 = dma_translate(&b->q->c->pci->dma, data);
	if (b->t->prp1 == DMA_NONE)
		return -EFAULT;
	return len > head ? list_pages(b, v + head, len - head) : 0;
}

int nvme_prp_fill(struct riser_nvme_qpair *q, struct nvme_tracker *t, const struct iovec *iov,
		  unsigned iovcnt, size_t off, size_t len)
{
	struct builder b = { .q = q, .t = t, .max = q->mps / 8 };
	bool first = true;
	uint64_t list_iova;
	int rc;

	b.list = nvme_tracker_list(q, t, &list_iova);
	for (; iovcnt && off >= iov->iov_len; iov++, iovcnt--)
		off -= iov->iov_len;
	while (len) {
		const char *data;
		size_t n;

		if (!iovcnt)
			return -EINVAL;
		data = (const char *)iov->iov_base + off;
		n = min_of(len, iov->iov_len - off);
		if (n && n < len && ((uintptr_t)data + n) & q->page_mask)
			return -EINVAL; /* an element but the last must end a page */
		rc = n ? add(&b, data, n, first) : 0;
		if (rc)
			return rc;
		first &= !n;
		len -= n;
		off = 0;
		iov++;
		iovcnt--;
	}
	t->prp2 = b.n == 0 ? 0 : b.n == 1 ? le64(b.list[0]) : list_iova;
	return 0;
}
