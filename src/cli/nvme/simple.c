/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/simple.h"
#include <string.h>

static int send(struct nvme_dev *n, const char *name, const struct riser_nvme_sqe *sqe,
		const void *data, size_t len)
{
	void *buf = NULL;
	int64_t status;
	struct json j;
	int rc = 0;

	if (len) {
		rc = riser_nvme_buf_alloc(n->ctrl, len, &buf, &n->c->err);
		if (rc)
			return cli_fail_err(n->c, rc);
		memcpy(buf, data, len);
	}
	status = nvme_io(n, sqe, buf, len, NULL);
	if (status)
		rc = nvme_fail(n, name, status);
	else if (n->c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "command", name);
		json_u64(&j, "nsid", n->nsi.nsid);
		json_end(&j);
	}
	riser_nvme_buf_free(n->ctrl, buf, len);
	return rc;
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
