/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "reads.h"
#include <stddef.h>

static uint64_t ended;

static void on_done(struct riser_blk_io *io)
{
	ended++;
	riser_blk_io_put(io);
}

void reads(struct riser_blk_channel *c, struct riser_exec *x, struct riser_exec *home, uint64_t ios)
{
	static char buf[4096];
	uint64_t left = ios;
	struct riser_blk_io *io;

	for (ended = 0; ended < ios;) {
		while (left && (io = riser_blk_io_get(c))) {
			io->op = RISER_BLK_READ;
			io->sector = left * 8 & 0xfffff;
			io->count = 8;
			io->one.iov_base = buf;
			io->one.iov_len = sizeof(buf);
			io->iov = &io->one;
			io->iovcnt = 1;
			io->done = on_done;
			riser_blk_submit(io);
			left--;
		}
		riser_exec_poll(x);
		if (home) { /* there and back */
			riser_exec_poll(home);
			riser_exec_poll(x);
		}
	}
}
