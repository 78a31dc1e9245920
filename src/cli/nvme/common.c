/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"
#include "cli/out.h"
#include <errno.h>
#include <inttypes.h>
#include <riser/util.h>
#include <stdio.h>
#include <string.h>

/* Of a list of opcodes that are allowed: the byte that holds one. */
#define BIT_OF(opcode) [(opcode) / 8] = 1u << (opcode) % 8

int nvme_take_pci(struct cli *c, struct nvme_pci *p)
{
	unsigned domain = 0, bus, device, function;
	int end = 0, n;

	if (!p->bdf && p->iova_base != UINT64_MAX)
		return cli_fail(
			c, CLI_USAGE,
			"--iova-base goes with --pci; a URI takes it as pci:BDF?iova-base=…");
	if (!p->bdf)
		return c->arg[0] ? 0
				 : cli_fail(c, CLI_USAGE,
					    "missing argument URI, or --pci BDF (riser %s URI)",
					    c->verb);
	if (c->arg[0])
		return cli_fail(c, CLI_USAGE, "--pci %s and %s: one of them", p->bdf, c->arg[0]);
	n = sscanf(p->bdf, "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &end);
	if (n != 4) {
		domain = 0;
		n = 1 + sscanf(p->bdf, "%2x:%2x.%1x%n", &bus, &device, &function, &end);
	}
	if (n != 4 || p->bdf[end] || p->bdf[strspn(p->bdf, "0123456789abcdefABCDEF:.")] ||
	    device > 0x1f || function > 7)
		return cli_fail(c, CLI_USAGE,
				"--pci wants the address of a PCI function, such as 0000:01:00.0, "
				"not '%s'",
				p->bdf);
	snprintf(p->uri, sizeof(p->uri), "pci:%04x:%02x:%02x.%x?iova-base=%#" PRIx64, domain, bus,
		 device, function, p->iova_base == UINT64_MAX ? NVME_IOVA_BASE : p->iova_base);
	c->arg[0] = p->uri;
	return 0;
}

int nvme_open_timed(struct cli *c, struct nvme_dev *n, unsigned flags, uint32_t timeout_ms)
{
	static const uint8_t identify[32] = { BIT_OF(RISER_NVME_ADM_IDENTIFY) };
	static const uint8_t read[32] = { BIT_OF(RISER_NVME_IO_READ) };
	struct riser_nvme_opts o = { .size = sizeof(o), .io_timeout_ms = timeout_ms };
	bool harmless;
	int rc;

	*n = (struct nvme_dev){ .c = c, .uri = c->arg[0] };
	rc = cli_context(c);
	if (rc)
		return rc;
	rc = riser_uri_is_harmless(c->r, n->uri, &harmless, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	n->may_write = flags & (NVME_WRITE | NVME_MAY_WRITE) && (harmless || c->common.yes);
	if ((flags & NVME_WRITE) && !n->may_write)
		return cli_fail(c, CLI_USAGE,
				"%s may hold data that somebody wants: give --yes-destroy-data to "
				"do this to it",
				n->uri);
	o.flags = n->may_write ? RISER_NVME_RDWR : 0;
	if (flags & NVME_READER) {
		o.flags = RISER_NVME_LISTED;
		o.admin_allow = identify;
		o.io_allow = read;
	}
	rc = riser_nvme_open(c->r, n->uri, &o, &n->ctrl, &c->err);
	if (rc)
		return cli_fail_err(c, rc);
	riser_nvme_get_info(n->ctrl, &n->info);
	return 0;
}

int nvme_open(struct cli *c, struct nvme_dev *n, unsigned flags)
{
	return nvme_open_timed(c, n, flags, 0);
}

uint32_t nvme_nsid(const struct nvme_dev *n, uint32_t nsid)
{
	char text[16];
	uint64_t v;

	if (nsid || riser_uri_get(n->uri, "nsid", text, sizeof(text)) ||
	    riser_parse_u64(text, &v) || v > UINT32_MAX)
		return nsid;
	return (uint32_t)v;
}

int nvme_open_ns(struct nvme_dev *n, uint32_t nsid)
{
	int rc = riser_nvme_ns_open(n->ctrl, n->c->x, nvme_nsid(n, nsid), &n->ns, &n->c->err);

	if (rc)
		return cli_fail_err(n->c, rc);
	riser_nvme_ns_get_info(n->ns, &n->nsi);
	return 0;
}

int nvme_open_queue(struct nvme_dev *n)
{
	int rc = riser_nvme_qpair_open(n->ctrl, n->c->x, NULL, &n->q, &n->c->err);

	return rc ? cli_fail_err(n->c, rc) : 0;
}

int nvme_alloc(struct nvme_dev *n, size_t len)
{
	int rc = riser_nvme_buf_alloc(n->ctrl, len, &n->buf, &n->c->err);

	n->buf_len = len;
	return rc ? cli_fail_err(n->c, rc) : 0;
}

void nvme_close(struct nvme_dev *n)
{
	if (n->buf)
		riser_nvme_buf_free(n->ctrl, n->buf, n->buf_len);
	riser_nvme_qpair_close(n->q);
	riser_nvme_ns_close(n->ns);
	riser_nvme_close(n->ctrl);
}

int nvme_run(struct cli *c, void *args, unsigned flags, int (*check)(struct cli *c, void *args),
	     int (*act)(struct nvme_dev *n, void *args))
{
	struct nvme_dev n = { 0 };
	int rc = cli_parse(c, args);

	if (!rc && check)
		rc = check(c, args);
	if (!rc)
		rc = nvme_open(c, &n, flags);
	if (!rc)
		rc = act(&n, args);
	nvme_close(&n);
	return rc;
}

static int exit_of_status(int64_t status)
{
	if (status < 0)
		return status == -EINVAL ? CLI_FAILED : cli_exit_of((int)status);
	if (status & RISER_NVME_HOST)
		return status == RISER_NVME_HOST_OFFLINE ? CLI_MISSING : CLI_FAILED;
	switch (status & RISER_NVME_ST_MASK) {
	case RISER_NVME_ST_INVALID_NS:
		return CLI_MISSING;
	case RISER_NVME_ST_COMPARE_FAILED:
		return CLI_MISMATCH;
	case RISER_NVME_ST_WRITE_PROTECTED:
	case RISER_NVME_ST_READ_ONLY_RANGE:
	case RISER_NVME_ST_ACCESS_DENIED:
		return CLI_PERMISSION;
	default:
		return CLI_FAILED;
	}
}

int nvme_fail(struct nvme_dev *n, const char *what, int64_t status)
{
	int code = exit_of_status(status);

	/* The guard answers -EPERM where the command was not even queued. */
	if (status == RISER_NVME_HOST_GUARDED || (status == -EPERM && !n->may_write))
		return cli_fail(n->c, CLI_USAGE, "%s may change %s: give --yes-destroy-data", what,
				n->uri);
	if (status < 0)
		return cli_fail(n->c, code, "%s on %s was not sent: %s", what, n->uri,
				strerror((int)-status));
	return cli_fail(n->c, code, "%s on %s failed: %s (%#x)", what, n->uri,
			riser_nvme_status_text((uint32_t)status), (unsigned)status);
}

struct wait {
	struct riser_nvme_req req;
	bool done;
	uint32_t status;
	uint64_t result;
};

static void io_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct wait *w = req->user;

	w->done = true;
	w->status = status;
	w->result = result;
}

int64_t nvme_io(struct nvme_dev *n, const struct riser_nvme_sqe *sqe, void *buf, size_t len,
		uint64_t *result)
{
	struct wait w = { .req = { .done = io_done, .user = &w } };
	struct riser_exec *x = n->c->x;
	int rc;

	while ((rc = riser_nvme_io(n->q, &w.req, sqe, buf, len)) == -EAGAIN)
		if (riser_exec_poll(x) == 0)
			riser_exec_wait(x, UINT64_MAX);
	if (rc)
		return rc;
	while (!w.done)
		if (riser_exec_poll(x) == 0)
			riser_exec_wait(x, UINT64_MAX);
	if (result)
		*result = w.result;
	return w.status;
}

int nvme_admin(struct nvme_dev *n, const char *what, struct riser_nvme_admin *cmd)
{
	int rc = riser_nvme_admin(n->ctrl, n->c->x, cmd);

	return rc ? nvme_fail(n, what, rc) : 0;
}

int nvme_get_log(struct nvme_dev *n, uint8_t lid, uint32_t nsid, void *buf, size_t len)
{
	int rc = riser_nvme_get_log(n->ctrl, n->c->x, lid, nsid, 0, buf, (uint32_t)len);

	return rc ? nvme_fail(n, "get log page", rc) : 0;
}

int nvme_identify_ns(struct nvme_dev *n, uint32_t nsid, struct riser_nvme_id_ns *out)
{
	int rc = riser_nvme_identify(n->ctrl, n->c->x, RISER_NVME_CNS_NS, nsid, 0, 0, out);

	if (rc)
		return nvme_fail(n, "identify namespace", rc);
	/* A namespace that is not active is all zeroes (§5.17.2.1). */
	if (!le64(out->nsze))
		return cli_fail(n->c, CLI_MISSING, "%s has no active namespace %u", n->uri, nsid);
	return 0;
}

int nvme_show(const struct cli *c, const struct view *v, const void *what, const void *data,
	      size_t len)
{
	struct json j;

	switch (c->format) {
	case FORMAT_NORMAL:
		if (v->text)
			v->text(what);
		break;
	case FORMAT_JSON:
		json_init(&j, stdout);
		json_object(&j, NULL);
		v->json(&j, what);
		json_end(&j);
		break;
	case FORMAT_BINARY:
		if (len)
			print_binary(data, len);
		break;
	}
	return 0;
}

int read_input(struct cli *c, const char *path, void *buf, size_t len)
{
	FILE *f = path ? fopen(path, "re") : stdin;
	const char *name = path ? path : "standard input";
	size_t got;
	int err;

	if (!f)
		return cli_fail(c, cli_exit_of(-errno), "%s cannot be read: %s", path,
				strerror(errno));
	got = fread(buf, 1, len, f);
	err = ferror(f) ? errno : 0;
	if (path)
		fclose(f);
	if (err)
		return cli_fail(c, CLI_FAILED, "%s cannot be read: %s", name, strerror(err));
	if (got < len)
		return cli_fail(c, CLI_FAILED, "%s ends after %zu of %zu bytes", name, got, len);
	return 0;
}

int write_output(struct cli *c, const char *path, const void *buf, size_t len)
{
	struct out o;
	int rc = out_open(c, &o, path);

	if (!rc)
		rc = out_write(&o, buf, len);
	if (!rc)
		rc = out_finish(&o);
	out_close(&o);
	return rc;
}
