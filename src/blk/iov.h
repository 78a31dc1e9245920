/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Walking an I/O's memory, piece by piece. */
#ifndef BLK_IOV_H
#define BLK_IOV_H

#include "base/util.h"
#include <riser/blk.h>

struct iov_walk {
	const struct iovec *v;
	size_t off;  /* in @v */
	size_t left; /* bytes of the I/O */
};

static inline struct iov_walk iov_walk_from(const struct riser_blk_io *io, size_t done)
{
	return (struct iov_walk){ .v = io->iov,
				  .off = io->iov_off + done,
				  .left = ((size_t)io->count << RISER_SECTOR_SHIFT) - done };
}

/* The next piece, which is not empty. Return: false behind the last. */
static inline bool iov_next(struct iov_walk *w, struct iovec *out)
{
	size_t here;

	if (!w->left)
		return false;
	while (w->off >= w->v->iov_len) {
		w->off -= w->v->iov_len;
		w->v++;
	}
	here = w->v->iov_len - w->off;
	here = min_of(here, w->left);
	*out = (struct iovec){ (char *)w->v->iov_base + w->off, here };
	w->off += here;
	w->left -= here;
	return true;
}

#endif
