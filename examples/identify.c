/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* identify [URI]: who an NVMe controller says it is. */
#include <riser/nvme.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : "model:nvme";
	const struct riser_nvme_id_ctrl *id;
	struct riser_nvme *c = NULL;
	struct riser_nvme_info info;
	struct riser *r = NULL;
	struct riser_err err;

	if (riser_new(NULL, &r, &err) || riser_nvme_open(r, uri, NULL, &c, &err)) {
		fprintf(stderr, "identify: %s\n", err.text);
		riser_free(r);
		return 1;
	}
	riser_nvme_get_info(c, &info);
	id = riser_nvme_id(c);
	printf("model     %.*s\n", (int)sizeof(id->mn), id->mn);
	printf("serial    %.*s\n", (int)sizeof(id->sn), id->sn);
	printf("firmware  %.*s\n", (int)sizeof(id->fr), id->fr);
	printf("version   %u.%u.%u\n", info.vs >> 16, info.vs >> 8 & 0xff, info.vs & 0xff);
	printf("transfer  %u bytes at most\n", info.max_transfer);
	printf("queues    %u of %u entries\n", info.max_qpairs, info.queue_entries);
	riser_nvme_close(c);
	riser_free(r);
	return 0;
}
