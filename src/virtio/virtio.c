/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The life of a device in the order of §3.1.1, whatever the way to it. */
#include "virtio/virtio.h"
#include "base/err.h"
#include "base/riser.h"
#include "base/uri.h"
#ifdef __linux__
#include "virtio/vhost_user.h"
#endif
#include <errno.h>
#include <string.h>

#define S(status)   RISER_VIRTIO_STATUS_##status
#define F(feature)  VIRTIO_BIT(RISER_VIRTIO_F_##feature)
#define STATUS_GONE 0xff

#define NAMES_MAX   128

/*
 * Add to the status. Return: what the device says then, or -ENODEV, also where it does not keep
 * what it is told: behind some bridges nobody answers by zeros. It may refuse features.
 */
static int add_status(struct virtio_dev *d, unsigned bits)
{
	int status = d->t->status_get(d), rc;

	if (status < 0 || status == STATUS_GONE)
		return -ENODEV;
	rc = d->t->status_set(d, (uint8_t)((unsigned)status | bits));
	if (rc)
		return rc;
	status = d->t->status_get(d);
	if (status == STATUS_GONE || bits & ~(unsigned)status & ~S(FEATURES_OK))
		return -ENODEV;
	return status;
}

/* Reset, and on to the status DRIVER. */
static int begin(struct virtio_dev *d, struct riser_err *err)
{
	int rc = d->t->status_set(d, 0);

	if (rc == -ETIMEDOUT)
		return err_set(err, rc, "%s: the device does not reset: its status never becomes 0",
			       d->name);
	d->features = d->wanted = d->withheld = 0;
	d->agreed = false;
	if (!rc)
		store_release(&d->broken, NULL);
	if (!rc)
		rc = add_status(d, S(ACKNOWLEDGE));
	if (rc >= 0)
		rc = add_status(d, S(DRIVER));
	if (rc >= 0)
		rc = d->t->features_get(d, &d->offered);
	return rc < 0 ? err_set(err, rc, "%s: the device is gone: %s", d->name, strerror(-rc)) : 0;
}

static int open_way(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		    struct riser_err *err)
{
#ifdef __linux__
	if (!strcmp(u->scheme, "vhost-user"))
		return vhost_user_open(r, u, id, out, err);
#endif
	return virtio_pci_open(r, u, id, out, err);
}

/* What the user can do without, by the key "without". */
static int leave_out(struct virtio_dev *d, const struct uri *u, struct riser_err *err)
{
	const char *name = uri_get(u, "without");

	while (name && *name) {
		size_t len = strcspn(name, ",");
		int bit = virtio_feature_bit(d->id, name, len);

		if (bit < 0)
			return err_set(err, -EINVAL,
				       "without=%.*s: no feature of that name, such as EVENT_IDX",
				       (int)min_of(len, 40ul), name);
		d->unwanted |= VIRTIO_BIT(bit);
		name += len;
		name += *name == ',';
	}
	return 0;
}

int virtio_open(struct riser *r, const struct uri *u, unsigned id, struct virtio_dev **out,
		struct riser_err *err)
{
	struct virtio_dev *d;
	int rc = open_way(r, u, id, &d, err);

	if (rc)
		return rc;
	rc = leave_out(d, u, err);
	if (!rc)
		rc = begin(d, err);
	if (rc)
		d->t->close(d);
	else
		*out = d;
	return rc;
}

void virtio_close(struct virtio_dev *d)
{
	if (!d)
		return;
	/* Where it does not reset, the transport has cut it off. */
	d->t->status_set(d, 0);
	d->t->close(d);
}

static int lacks(struct virtio_dev *d, uint64_t missing, struct riser_err *err)
{
	char names[NAMES_MAX];

	add_status(d, S(FAILED));
	if (missing & d->required & F(ACCESS_PLATFORM))
		return err_set(err, -ENOTSUP,
			       "%s: without ACCESS_PLATFORM the device's addresses would go past "
			       "the IOMMU (QEMU has iommu_platform=on)",
			       d->name);
	return err_set(err, -ENOTSUP, "%s: the device lacks %s", d->name,
		       virtio_feature_names(d->wants, missing, names, sizeof(names)));
}

int virtio_negotiate(struct virtio_dev *d, const struct virtio_want *wants, uint64_t wanted,
		     uint64_t required, struct riser_err *err)
{
	uint64_t features;
	int rc;

	required |= d->required;
	d->wants = wants;
	d->wanted = wanted | F(VERSION_1) | F(ACCESS_PLATFORM) | F(ORDER_PLATFORM);
	d->wanted = (d->wanted & ~d->unwanted) | required;
	features = virtio_close_needs(wants, d->offered & d->wanted & ~d->withheld);
	if (required & ~features)
		return lacks(d, required & ~features, err);
	rc = d->t->features_set(d, features);
	if (rc)
		return err_set(err, rc, "%s: features cannot be written: %s", d->name,
			       strerror(-rc));
	d->features = features;
	/* Who has no VERSION_1 has no such status bit either. */
	if (virtio_has(d, RISER_VIRTIO_F_VERSION_1))
		rc = add_status(d, S(FEATURES_OK));
	else
		rc = S(FEATURES_OK);
	if (rc < 0)
		return err_set(err, rc, "%s: the device is gone", d->name);
	d->agreed = rc & S(FEATURES_OK);
	if (d->agreed)
		return 0;
	d->features = 0;
	add_status(d, S(FAILED));
	return err_set(err, -ENOTSUP,
		       "%s: the device refuses these of its own features: %#llx (FEATURES_OK)",
		       d->name, (unsigned long long)features);
}

int virtio_start(struct virtio_dev *d, struct riser_err *err)
{
	int rc = add_status(d, S(DRIVER_OK));

	if (rc >= 0 && rc & S(NEEDS_RESET))
		return err_set(err, -EIO, "%s: the device wants to be reset instead of being used",
			       d->name);
	return rc < 0 ? err_set(err, rc, "%s: the device is gone", d->name) : 0;
}

int virtio_reset(struct virtio_dev *d, struct riser_err *err)
{
	return begin(d, err);
}

int virtio_check(struct virtio_dev *d)
{
	int status = d->t->status_get(d);

	if (status < 0 || status == STATUS_GONE) {
		virtio_break(d, "the device is gone");
		return -ENODEV;
	}
	if (d->agreed && !(status & S(DRIVER)))
		virtio_break(d, "the device lost its status: it is gone, or somebody reset it");
	if (status & S(NEEDS_RESET))
		virtio_break(d, "the device had an error and wants to be reset");
	return load_acquire(&d->broken) ? -EIO : 0;
}

void virtio_break(struct virtio_dev *d, const char *what)
{
	const char *none = NULL;

	if (__atomic_compare_exchange_n(&d->broken, &none, what, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED))
		base_log(d->r, RISER_LOG_ERROR, "%s: %s", d->name, what);
}
