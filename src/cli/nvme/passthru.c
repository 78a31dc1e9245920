/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/passthru.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DATA_MAX (64 * MiB)

struct args {
	uint32_t opcode, flags, prefill, rsvd, nsid, len, timeout;
	uint32_t cdw2, cdw3, cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
	const char *file;
	bool binary, show, dry_run, read, write, latency;
};

#define DWORD(n, letter)                                                                           \
	{                                                                                          \
		"cdw" #n, letter, OPT_IS_NUM32(struct args, cdw##n), "NUM", "command dword " #n    \
	}

const struct opt passthru_opts[] = {
	{ "opcode", 'o', OPT_IS_NUM32(struct args, opcode), "NUM", "the opcode (required)" },
	{ "flags", 'f', OPT_IS_NUM32(struct args, flags), "NUM", "command flags" },
	{ "prefill", 'p', OPT_IS_NUM32(struct args, prefill), "NUM",
	  "fill the buffer with a byte" },
	{ "rsvd", 'R', OPT_IS_NUM32(struct args, rsvd), "NUM", "nvme-cli's; must be 0" },
	OPT_NSID("default 0"),
	{ "data-len", 'l', OPT_IS_NUM32(struct args, len), "NUM", "bytes of data" },
	{ "timeout", 't', OPT_IS_NUM32(struct args, timeout), "MS", "deadline of the command" },
	DWORD(2, '2'),
	DWORD(3, '3'),
	DWORD(10, '4'),
	DWORD(11, '5'),
	DWORD(12, '6'),
	DWORD(13, '7'),
	DWORD(14, '8'),
	DWORD(15, '9'),
	{ "input-file", 'i', OPT_IS_TEXT(struct args, file), "FILE",
	  "data to send, or where received data goes" },
	OPT_RAW_BYTES,
	{ "show-command", 's', OPT_IS_BOOL(struct args, show), NULL, "print the command first" },
	{ "dry-run", 'd', OPT_IS_BOOL(struct args, dry_run), NULL, "print it and send nothing" },
	{ "read", 'r', OPT_IS_BOOL(struct args, read), NULL, "data comes from the controller" },
	{ "write", 'w', OPT_IS_BOOL(struct args, write), NULL, "data goes to the controller" },
	{ "latency", 'T', OPT_IS_BOOL(struct args, latency), NULL, "print how long it took" },
	{ 0 },
};

struct pass {
	struct nvme_dev n;
	struct args a;
	bool admin, received;
	uint64_t result, ns;
};

static int check_args(struct cli *c, const struct args *a)
{
	unsigned xfer = RISER_NVME_XFER(a->opcode);

	if (a->opcode > 0xff)
		return cli_fail(c, CLI_USAGE, "missing or wrong --opcode: 0 to 0xff");
	if (a->flags > 0xff || a->prefill > 0xff)
		return cli_fail(c, CLI_USAGE, "--flags and --prefill want 0 to 0xff");
	if (a->rsvd)
		return cli_fail(c, CLI_USAGE, "--rsvd wants 0");
	if (a->len % 4 || a->len > DATA_MAX)
		return cli_fail(c, CLI_USAGE, "--data-len wants a multiple of 4, at most 64M");
	if (a->read && a->write)
		return cli_fail(c, CLI_USAGE, "--read and --write exclude each other");
	if ((a->read && !(xfer & RISER_NVME_XFER_FROM_DEVICE)) ||
	    (a->write && !(xfer & RISER_NVME_XFER_TO_DEVICE)))
		return cli_fail(c, CLI_USAGE,
				"opcode %#x does not transfer data that way: its low two bits say",
				a->opcode);
	return 0;
}

static struct riser_nvme_sqe sqe_of(const struct args *a)
{
	return (struct riser_nvme_sqe){
		.opcode = (uint8_t)a->opcode,
		.flags = (uint8_t)a->flags,
		.nsid = riser_le32_of(a->nsid),
		.cdw2 = riser_le32_of(a->cdw2),
		.cdw3 = riser_le32_of(a->cdw3),
		.cdw10 = riser_le32_of(a->cdw10),
		.cdw11 = riser_le32_of(a->cdw11),
		.cdw12 = riser_le32_of(a->cdw12),
		.cdw13 = riser_le32_of(a->cdw13),
		.cdw14 = riser_le32_of(a->cdw14),
		.cdw15 = riser_le32_of(a->cdw15),
	};
}

static void show_command(const struct args *a)
{
	printf("opcode       : %02x\nflags        : %02x\nnsid         : %08x\n", a->opcode,
	       a->flags, a->nsid);
	printf("cdw2         : %08x\ncdw3         : %08x\ndata_len     : %08x\n", a->cdw2, a->cdw3,
	       a->len);
	printf("cdw10        : %08x\ncdw11        : %08x\ncdw12        : %08x\n", a->cdw10,
	       a->cdw11, a->cdw12);
	printf("cdw13        : %08x\ncdw14        : %08x\ncdw15        : %08x\n", a->cdw13,
	       a->cdw14, a->cdw15);
	printf("timeout_ms   : %08x\n", a->timeout);
}

static int64_t send(struct pass *p)
{
	struct riser_nvme_admin cmd = {
		.sqe = sqe_of(&p->a), .data = p->n.buf, .len = p->a.len, .timeout_ms = p->a.timeout
	};
	int64_t status;

	if (!p->admin)
		return nvme_io(&p->n, &cmd.sqe, p->n.buf, p->a.len, &p->result);
	status = riser_nvme_admin(p->n.ctrl, p->n.c->x, &cmd);
	p->result = cmd.result;
	return status;
}

static void print_text(const void *what)
{
	const struct pass *p = what;

	printf("%s command 0x%02x succeeded, result: 0x%08x\n", p->admin ? "Admin" : "IO",
	       p->a.opcode, (unsigned)p->result);
	if (p->a.latency)
		printf(" latency: %" PRIu64 " us\n", p->ns / 1000);
	if (p->received)
		print_hex(p->n.buf, p->a.len);
}

static void print_json(struct json *j, const void *what)
{
	const struct pass *p = what;

	json_u64(j, "opcode", p->a.opcode);
	json_u64(j, "result", p->result);
	json_u64(j, "latency_ns", p->ns);
	if (p->received)
		json_bytes(j, "data", p->n.buf, p->a.len);
}

static int show_result(struct pass *p)
{
	static const struct view view = { print_text, print_json };

	p->received = p->n.buf && RISER_NVME_XFER(p->a.opcode) & RISER_NVME_XFER_FROM_DEVICE;
	if (p->received && p->a.file) {
		int rc = write_output(p->n.c, p->a.file, p->n.buf, p->a.len);

		if (rc)
			return rc;
		p->received = false;
	}
	return nvme_show(p->n.c, &view, p, p->n.buf, p->received ? p->a.len : 0);
}

static int alloc(struct pass *p)
{
	int rc;

	if (!p->a.len)
		return 0;
	rc = nvme_alloc(&p->n, p->a.len);
	if (rc)
		return rc;
	memset(p->n.buf, (int)p->a.prefill, p->a.len);
	if (RISER_NVME_XFER(p->a.opcode) & RISER_NVME_XFER_TO_DEVICE)
		return read_input(p->n.c, p->a.file, p->n.buf, p->a.len);
	return 0;
}

static int pass(struct pass *p)
{
	uint64_t began;
	int64_t status;
	int rc = p->admin ? 0 : nvme_open_queue(&p->n);

	if (!rc)
		rc = alloc(p);
	if (rc)
		return rc;
	began = riser_now(p->n.c->r);
	status = send(p);
	if (status)
		return nvme_fail(&p->n, p->admin ? "admin command" : "I/O command", status);
	p->ns = riser_now(p->n.c->r) - began;
	return show_result(p);
}

int passthru_run(struct cli *c, bool admin)
{
	struct pass p = { .a.opcode = UINT32_MAX, .admin = admin };
	int rc = cli_parse(c, &p.a);

	if (!rc)
		rc = check_args(c, &p.a);
	if (rc)
		return rc;
	if (p.a.show || p.a.dry_run)
		show_command(&p.a);
	if (p.a.dry_run)
		return CLI_OK;
	if (p.a.binary)
		c->format = FORMAT_BINARY;
	rc = nvme_open_timed(c, &p.n, NVME_MAY_WRITE, p.a.timeout);
	if (!rc)
		rc = pass(&p);
	nvme_close(&p.n);
	return rc;
}
