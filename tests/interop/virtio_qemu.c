/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The PCI transports against QEMU's network card, with no driver above them: what is offered and
 * agreed, the configuration, interrupts of the configuration, reset and renegotiation; each through
 * the legacy interface, through the modern one of a transitional function, and of one that has no
 * other.
 */
#include "base/event.h"
#include "base/riser.h"
#include "base/uri.h"
#include "pci/pci.h"
#include "qemu.h"
#include "virtio/pci.h"
#include "virtio/virtio.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define ANSWER_MS 20000
#define MAC       "52:54:00:12:34:56"
#define QUEUE     2 /* the control queue: nothing happens on it by itself */

#define NET(f)    VIRTIO_BIT(RISER_VIRTIO_NET_F_##f)
#define ANY(f)    VIRTIO_BIT(RISER_VIRTIO_F_##f)
#define WANTED    (NET(MAC) | NET(STATUS) | NET(CTRL_VQ) | NET(MRG_RXBUF) | NET(CTRL_RX))

static struct riser *r;
static struct riser_err err;
static struct virtio_dev *d;

static int open_uri(const char *text, unsigned id)
{
	struct uri u;
	int rc = uri_parse(text, &u, &err);

	if (rc)
		return rc;
	pthread_mutex_lock(&r->open_lock);
	rc = virtio_open(r, &u, id, &d, &err);
	pthread_mutex_unlock(&r->open_lock);
	uri_free(&u);
	return rc;
}

static void begin(const char *uri)
{
	d = NULL;
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	if (open_uri(uri, RISER_VIRTIO_ID_NET))
		FAIL("%s: %s", uri, err.text);
}

static void end(void)
{
	pthread_mutex_lock(&r->open_lock);
	virtio_close(d);
	pthread_mutex_unlock(&r->open_lock);
	riser_free(r);
	/* QEMU is not only dead but reaped. */
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

struct way {
	const char *name, *device, *key, *transport;
	unsigned id;
};

static const struct way ways[] = {
	{ "legacy", "virtio-net-pci,disable-modern=on", "", "virtio-pci legacy", 0x1000 },
	{ "transitional, as legacy", "virtio-net-pci-transitional", "&transport=legacy",
	  "virtio-pci legacy", 0x1000 },
	{ "transitional", "virtio-net-pci", "", "virtio-pci modern", 0x1000 },
	{ "modern alone", "virtio-net-pci,disable-legacy=on", "", "virtio-pci modern", 0x1041 },
};

static void begin_way(const struct way *w, const char *more)
{
	char uri[512];

	snprintf(uri, sizeof(uri), "qtest:spawn?device=%s,mac=" MAC "&netdev=user%s%s", w->device,
		 w->key, more);
	printf("# %s\n", w->name);
	begin(uri);
}

static void check_mac(void)
{
	static const uint8_t want[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
	riser_le16 status;
	uint8_t mac[6];

	CHECK_EQ(d->t->config_read(d, 0, mac, sizeof(mac)), 0);
	CHECK(!memcmp(mac, want, sizeof(mac)));
	CHECK_EQ(d->t->config_read(d, offsetof(struct riser_virtio_net_config, status), &status, 2),
		 0);
	CHECK_EQ(le16(status), RISER_VIRTIO_NET_S_LINK_UP);
}

static void agree(uint64_t wanted)
{
	if (virtio_negotiate(d, virtio_net_features, wanted, NET(MAC), &err))
		FAIL("%s", err.text);
}

TEST(each_way_in)
{
	NEED_QEMU();
	for (unsigned i = 0; i < array_len(ways); i++) {
		struct virtio_pci *p;
		uint32_t id;

		SUB(begin_way(&ways[i], ""));
		p = virtio_pci_of(d);
		CHECK_STR(d->t->name, ways[i].transport);
		CHECK_EQ(p->pci->access->cfg_read(p->pci, PCI_CFG_DEVICE, 2, &id), 0);
		CHECK_EQ(id, ways[i].id);
		CHECK_EQ(d->t->status_get(d), 3);
		CHECK(d->offered & NET(MAC));
		CHECK_EQ(!!(d->offered & ANY(VERSION_1)), !d->t->legacy_rings);
		SUB(agree(WANTED));
		CHECK_EQ(d->features & ~ANY(VERSION_1), WANTED);
		CHECK_EQ(d->t->status_get(d), d->t->legacy_rings ? 3 : 11);
		SUB(check_mac());
		CHECK_EQ(virtio_start(d, &err), 0);
		CHECK_EQ(d->t->status_get(d), d->t->legacy_rings ? 7 : 15);
		CHECK_EQ(virtio_check(d), 0);
		SUB(end());
	}
}

TEST_MAIN(CASE(each_way_in))
