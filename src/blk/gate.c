/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/riser.h"
#include "blk/source.h"

/*
 * The gate is closed: the I/O gives its count back and waits with its owner. The number of those
 * that wait is published before the gate is read again, and gate_open() stores the gate before it
 * reads that number: one of the two sees the other.
 */
cold
void gate_defer(struct riser_blk_channel *c, struct riser_blk_io *io)
{
	io_push(&c->deferred, io);
	store_seq_cst(&c->ndeferred, c->ndeferred + 1);
	owner_dec_release(&c->inflight);
	clock_bump(c->b->r);
	if (load_seq_cst(&c->gate))
		gate_run_deferred(c);
}

/* In the owner's thread. What is deferred again keeps its order, behind what was there. */
void gate_run_deferred(struct riser_blk_channel *c)
{
	struct io_queue q = c->deferred;
	struct riser_blk_io *io;

	c->deferred.head = NULL;
	store_seq_cst(&c->ndeferred, 0);
	while ((io = io_pop(&q)))
		c->submit(c, io);
}
