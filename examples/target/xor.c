/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A device-mapper target outside of riser's tree: every byte is XORed with a key on its way.
 *
 *	cc -shared -fPIC xor.c -o xor.so $(pkg-config --cflags --libs riser)
 *	riser write --target-plugin ./xor.so 'table:0 2048 xor disk.img 0 0x55' <data
 *
 * An instance has no state that changes, so it is PARALLEL: any thread may be in it.
 */
#include <errno.h>
#include <riser/target.h>
#include <stdint.h>
#include <stdlib.h>

struct xor {
	unsigned dev;
	uint64_t start, key;
};

/* A write on its way: the caller's memory stays as it is, other data goes down in its place. */
struct detour {
	struct iovec mine, *iov;
	uint32_t iovcnt;
	size_t iov_off;
	unsigned char data[];
};

static struct detour *detour_new(const struct xor *x, const struct riser_blk_io *io)
{
	size_t len = (size_t)io->count * RISER_SECTOR_SIZE;
	struct detour *d = malloc(sizeof(*d) + len);

	if (!d)
		return NULL;
	riser_target_copy_in(io, d->data);
	for (size_t i = 0; i < len; i++)
		d->data[i] ^= (unsigned char)x->key;
	d->mine = (struct iovec){ d->data, len };
	d->iov = io->iov;
	d->iovcnt = io->iovcnt;
	d->iov_off = io->iov_off;
	return d;
}

static enum riser_target_verdict xor_map(struct riser_target *t, struct riser_blk_io *io)
{
	const struct xor *x = t->priv;

	if (io->op == RISER_BLK_WRITE) {
		struct detour *d = detour_new(x, io);

		if (!d)
			return riser_target_done(io, RISER_BLK_RESOURCE);
		io->iov = &d->mine;
		io->iovcnt = 1;
		io->iov_off = 0;
		*riser_target_data(io) = (uintptr_t)d;
	}
	return riser_target_remap(t, io, x->dev, x->start + io->sector);
}

static bool xor_end_io(struct riser_target *t, struct riser_blk_io *io, uint64_t data)
{
	struct detour *d = (struct detour *)(uintptr_t)data;

	if (io->op == RISER_BLK_READ && !io->status) {
		d = detour_new(t->priv, io);
		if (d)
			riser_target_copy_out(io, d->data);
		else
			io->status = RISER_BLK_RESOURCE;
	} else if (d) {
		io->iov = d->iov;
		io->iovcnt = d->iovcnt;
		io->iov_off = d->iov_off;
	}
	free(d);
	return false;
}

static int xor_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	struct xor *x = calloc(1, sizeof(*x));
	int rc;

	if (!x)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = x;
	t->num_flush = t->num_discard = 1; /* zeroes would not be zeroes below */
	rc = riser_args_range(a, t, t->len, &x->dev, &x->start, err);
	return rc ? rc : riser_args_u64(a, "the key", 0, 255, &x->key, err);
}

static void xor_status(struct riser_target *t, enum riser_status_type type, struct riser_text *out)
{
	const struct xor *x = t->priv;

	if (type == RISER_STATUS_TABLE)
		riser_text_add(out, "%s %llu %llu", riser_target_dev_uri(t, x->dev),
			       (unsigned long long)x->start, (unsigned long long)x->key);
}

static void xor_limits(struct riser_target *t, struct riser_blk_info *info)
{
	(void)t;
	info->compare = info->write_zeroes = false;
}

static const struct riser_target_ops xor_ops = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(xor_ops),
	.name = "xor",
	.version = { 1, 0, 0 },
	.flags = RISER_TARGET_PARALLEL,
	.syntax = "<dev> <offset> <key>",
	.summary = "one device, each byte XORed with a key",
	.ctr = xor_ctr,
	.map = xor_map,
	.end_io = xor_end_io,
	.status = xor_status,
	.limits = xor_limits,
};

static const struct riser_target_ops *const targets[] = { &xor_ops, NULL };

RISER_API extern const struct riser_plugin riser_plugin;
const struct riser_plugin riser_plugin = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(riser_plugin),
	.targets = targets,
};
