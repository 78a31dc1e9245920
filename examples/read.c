/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* read URI [SECTOR [COUNT]]: sectors of 512 bytes of any block device, to stdout. */
#include <riser/blk.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	uint64_t sector = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	uint32_t count = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 0) : 8;
	size_t len = (size_t)count * RISER_SECTOR_SIZE;
	struct riser_blk_channel *c = NULL;
	struct riser_exec *x = NULL;
	struct riser_blk *b = NULL;
	struct riser *r = NULL;
	struct riser_err err;
	void *buf = NULL;
	int status = -1;

	if (riser_new(NULL, &r, &err) || riser_exec_new(r, &x, &err) ||
	    riser_blk_open(r, argc > 1 ? argv[1] : "model:nvme", 0, &b, &err) ||
	    riser_blk_channel_open(b, x, 0, &c, &err) || riser_blk_buf_alloc(c, len, &buf, &err))
		fprintf(stderr, "read: %s\n", err.text);
	else
		status = riser_blk_rw(c, RISER_BLK_READ, sector, count, buf, 0);
	if (status > RISER_BLK_OK)
		fprintf(stderr, "read: %s\n", riser_blk_status_name(status));
	else if (status == RISER_BLK_OK && fwrite(buf, 1, len, stdout) != len)
		perror("read: stdout");
	if (buf)
		riser_blk_buf_free(c, buf, len);
	riser_blk_channel_close(c);
	riser_blk_close(b);
	riser_exec_free(x);
	riser_free(r);
	return status ? 1 : 0;
}
