/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* read_async [URI]: 32 reads of a block each, all in flight at once on one NVMe queue pair. */
#include <riser/nvme.h>
#include <stdio.h>
static unsigned in_flight, failed;

static void done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	in_flight--, failed += status != 0;
}

int main(int argc, char **argv)
{
	struct riser_nvme_req req[32] = { [0 ... 31] = { .done = done } };
	struct riser_nvme_qpair *q;
	struct riser_nvme_ns *ns;
	struct riser_nvme *c;
	struct riser_exec *x;
	struct riser_err err;
	struct riser *r;
	void *buf; /* of 4096 bytes for each, whatever the block size */

	if (riser_new(NULL, &r, &err) || riser_exec_new(r, &x, &err) ||
	    riser_nvme_open(r, argc > 1 ? argv[1] : "model:nvme", NULL, &c, &err) ||
	    riser_nvme_ns_open(c, x, 1, &ns, &err) || riser_nvme_qpair_open(c, x, NULL, &q, &err) ||
	    riser_nvme_buf_alloc(c, 32 * 4096, &buf, &err))
		return fprintf(stderr, "read_async: %s\n", err.text), 1;
	for (unsigned i = 0; i < 32; i++)
		in_flight += !riser_nvme_read(q, ns, &req[i], (char *)buf + 4096 * i, i, 1);
	while (in_flight)
		riser_exec_wait(x, UINT64_MAX); /* or sleep on riser_exec_fd() in your own loop */
	riser_nvme_buf_free(c, buf, 32 * 4096);
	riser_nvme_qpair_close(q);
	riser_nvme_ns_close(ns);
	riser_nvme_close(c);
	riser_exec_free(x);
	riser_free(r);
	return printf("32 reads, %u failed\n", failed) < 0 || failed;
}
