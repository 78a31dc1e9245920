/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "net/pool.h"
#include "base/err.h"
#include "net/port.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE       64
#define COUNT_MAX  (1u << 24)
#define BUFFER_MAX (1u << 24)

/* How buffers of a pool lie in its memory. */
struct layout {
	size_t buf;      /* bytes of one, headroom included */
	size_t group;    /* bytes that begin with a new page */
	size_t in_group; /* buffers in those */
	size_t slack;    /* what they leave over */
};

static struct layout lay_out(unsigned size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct layout l = { .buf = align_up(RISER_PKT_HEADROOM + (size_t)size, LINE) };

	l.group = align_up(l.buf, page);
	l.in_group = l.group / l.buf;
	l.slack = l.group - l.in_group * l.buf;
	return l;
}

static void fill(struct riser_pool *p, const struct layout *l)
{
	for (unsigned i = p->count; i--;) {
		size_t group = i / l->in_group, colour = group * LINE % (l->slack + LINE);

		p->bufs[i] =
			(uint8_t *)p->mem + group * l->group + colour + i % l->in_group * l->buf;
		p->pkts[i].pool = p;
		pool_put(&p->pkts[i]);
	}
}

static int pool_memory(struct riser_pool *p, struct riser_err *err)
{
	const struct port_ops *ops = p->near ? p->near->ops : NULL;

	if (ops && ops->mem_alloc)
		return ops->mem_alloc(p->near, p->mem_len, &p->mem, err);
	return riser_mem_alloc(p->r, p->mem_len, &p->mem, err);
}

int riser_pool_new(struct riser *r, struct riser_port *near, unsigned count, unsigned size,
		   struct riser_pool **out, struct riser_err *err)
{
	struct layout l;
	struct riser_pool *p;
	int rc;

	if (!count || count > COUNT_MAX || !size || size > BUFFER_MAX)
		return err_set(err, -EINVAL, "a pool of %u buffers of %u bytes: 1 to %u of 1 to %u",
			       count, size, COUNT_MAX, BUFFER_MAX);
	l = lay_out(size);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "no memory for a pool");
	p->r = r;
	p->near = near;
	p->count = count;
	p->size = (uint32_t)(l.buf - RISER_PKT_HEADROOM);
	p->mem_len = (count + l.in_group - 1) / l.in_group * l.group;
	p->bufs = calloc(count, sizeof(*p->bufs));
	p->pkts = aligned_alloc(LINE, align_up(count * sizeof(*p->pkts), LINE));
	rc = p->bufs && p->pkts ? pool_memory(p, err)
				: err_set(err, -ENOMEM, "no memory for %u packets", count);
	if (rc) {
		riser_pool_free(p);
		return rc;
	}
	memset(p->pkts, 0, count * sizeof(*p->pkts));
	fill(p, &l);
	*out = p;
	return 0;
}

void riser_pool_free(struct riser_pool *p)
{
	if (!p)
		return;
	if (p->mem && p->near && p->near->ops->mem_alloc)
		p->near->ops->mem_free(p->near, p->mem, p->mem_len);
	else if (p->mem)
		riser_mem_free(p->r, p->mem);
	free(p->pkts);
	free(p->bufs);
	free(p);
}

struct riser_pkt *riser_pkt_get(struct riser_pool *pool)
{
	return pool_get(pool);
}

void riser_pkt_put(struct riser_pkt *pkt)
{
	pool_put_all(pkt);
}
