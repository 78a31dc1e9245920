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

/* @len bytes from page-aligned @v on, a page an entry; one table look-up for each 2 MiB. */
static int list_pages(struct builder *b, uint64_t v, size_t len)
{
	const struct riser_dma_space *dma = &b->q->c->pci->dma;
	uint32_t mps = b->q->mps;
	uint64_t end = v + len;

	if ((len + mps - 1) / mps > b->max - b->n)
		return -EINVAL;
	while (v < end) {
		uint64_t e = dma_slot(dma, (const void *)(uintptr_t)v);
		uint64_t stop = min_of(end, align_down(v, DMA_SLOT_SIZE) + DMA_SLOT_SIZE);

		if (e & 1) {
			for (; v < stop; v += mps)
				b->list[b->n++] = to_le64(v + (e - 1));
			continue;
		}
		for (; v < stop; v += mps) {
			uint64_t iova = e ? dma_leaf(dma, e, v) : DMA_NONE;

			if (unlikely(iova == DMA_NONE))
				return -EFAULT;
			b->list[b->n++] = to_le64(iova);
		}
	}
	return 0;
}

static int add(struct builder *b, const char *data, size_t len, bool first)
{
	uint64_t v = (uint64_t)(uintptr_t)data;
	size_t head = b->q->mps - (v & (b->q->mps - 1));

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
		if (n && n < len && ((uintptr_t)data + n) & (q->mps - 1))
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
