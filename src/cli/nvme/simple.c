/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/simple.h"
#include <string.h>

static int send(struct nvme_dev *n, const char *name, const struct riser_nvme_sqe *sqe,
		const void *data, size_t len)
{
	int64_t status;
	struct json j;
	int rc;

	if (len) {
		rc = nvme_alloc(n, len);
		if (rc)
			return rc;
		memcpy(n->buf, data, len);
	}
	status = nvme_io(n, sqe, n->buf, len, NULL);
	if (status)
		return nvme_fail(n, name, status);
	if (n->c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "command", name);
		json_u64(&j, "nsid", n->nsi.nsid);
		json_end(&j);
	}
	return 0;
}

int simple_run(struct cli *c, unsigned flags, uint32_t nsid, const char *name,
	       struct riser_nvme_sqe *sqe, const void *data, size_t len)
{
	struct nvme_dev n = { 0 };
	int rc = nvme_open(c, &n, flags);

	if (!rc)
		rc = nvme_open_ns(&n, nsid);
	if (!rc)
		rc = nvme_open_queue(&n);
	if (!rc) {
		sqe->nsid = riser_le32_of(n.nsi.nsid);
		rc = send(&n, name, sqe, data, len);
	}
	nvme_close(&n);
	return rc;
}
