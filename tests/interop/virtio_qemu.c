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

/* --- QEMU's monitor --- */

static char qmp_path[64];
static int qmp;

static void begin_with_monitor(const struct way *w, const char *more)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char args[256];

	snprintf(qmp_path, sizeof(qmp_path), "/tmp/riser-qmp-%d", (int)getpid());
	unlink(qmp_path);
	snprintf(args, sizeof(args), "&args=-qmp unix:%s,server=on,wait=off%s", qmp_path, more);
	SUB(begin_way(w, args));
	strcpy(sa.sun_path, qmp_path);
	qmp = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(connect(qmp, (struct sockaddr *)&sa, sizeof(sa)), 0);
}

static void end_with_monitor(void)
{
	close(qmp);
	SUB(end());
	unlink(qmp_path);
}

/* Execute something, and wait for "return". */
static void monitor(const char *command)
{
	char text[4096];
	size_t have = 0;

	CHECK_EQ(write(qmp, command, strlen(command)), strlen(command));
	for (;;) {
		ssize_t n = read(qmp, text + have, sizeof(text) - 1 - have);

		CHECK(n > 0);
		have += (size_t)n;
		text[have] = 0;
		CHECK(!strstr(text, "\"error\""));
		if (strstr(text, "\"return\""))
			return;
	}
}

static void set_link(bool up)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"riser1\",\"up\":%s}}",
		 up ? "true" : "false");
	monitor(text);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Pumped as an owner does whose poll found nothing. */
static void wait_event(int fd)
{
	for (unsigned i = 0; i < ANSWER_MS; i++) {
		uint64_t next;

		CHECK(d->t->pump(d, &next) >= 0);
		if (event_ack(fd))
			return;
		nap();
	}
	FAIL("no event");
}

static void check_link(bool up)
{
	riser_le16 status;

	CHECK_EQ(d->t->config_read(d, offsetof(struct riser_virtio_net_config, status), &status, 2),
		 0);
	CHECK_EQ(le16(status), up ? RISER_VIRTIO_NET_S_LINK_UP : 0);
}

static void link_goes_and_comes(int fd)
{
	SUB(set_link(false));
	SUB(wait_event(fd));
	CHECK_EQ(virtio_check(d), 0);
	SUB(check_link(false));
	SUB(set_link(true));
	SUB(wait_event(fd));
	SUB(check_link(true));
	SUB(check_mac());
}

static void change_of_configuration(const struct way *w, unsigned events, const char *more)
{
	int fd = event_new();

	SUB(begin_with_monitor(w, more));
	SUB(monitor("{\"execute\":\"qmp_capabilities\"}"));
	CHECK_EQ(d->events, events);
	SUB(agree(WANTED));
	CHECK_EQ(d->t->irq_config(d, fd), 0);
	SUB(check_mac());
	CHECK_EQ(virtio_start(d, &err), 0);
	SUB(link_goes_and_comes(fd));
	/* It stays through a reset. */
	CHECK_EQ(virtio_reset(d, &err), 0);
	SUB(check_mac());
	SUB(agree(WANTED));
	CHECK_EQ(virtio_start(d, &err), 0);
	event_ack(fd);
	SUB(link_goes_and_comes(fd));
	/* And nobody is told any more. */
	CHECK_EQ(d->t->irq_config(d, -1), 0);
	SUB(set_link(false));
	SUB(check_link(false));
	CHECK(!event_ack(fd));
	SUB(end_with_monitor());
	close(fd);
}

TEST(an_interrupt_of_the_configuration)
{
	NEED_QEMU();
	for (unsigned i = 0; i < array_len(ways); i++)
		SUB(change_of_configuration(&ways[i], 3, ""));
}

/* Without MSI-X the ISR tells, and the legacy configuration is four bytes nearer. */
TEST(a_change_without_vectors)
{
	static const struct way without[] = {
		{ "legacy, no MSI-X", "virtio-net-pci,disable-modern=on,vectors=0", "",
		  "virtio-pci legacy", 0x1000 },
		{ "modern, no MSI-X", "virtio-net-pci,vectors=0", "", "virtio-pci modern", 0x1000 },
	};

	NEED_QEMU();
	for (unsigned i = 0; i < array_len(without); i++)
		SUB(change_of_configuration(&without[i], 0, ""));
}

/* --- A queue by hand: one control command --- */

static struct dma_mem ring, data;
static struct virtio_layout layout;
static struct virtio_notify notify;
static uint16_t used;

static void start_queue(int event_fd)
{
	unsigned n = d->t->queue_max(d, QUEUE);
	uint64_t avail = n * sizeof(struct riser_virtq_desc);

	CHECK_EQ(n, 64); /* QEMU's */
	CHECK_EQ(d->t->queue_max(d, QUEUE + 1), 0);
	if (!ring.va) {
		CHECK_EQ(dma_alloc(d->dma, 8192, 4096, &ring, &err), 0);
		CHECK_EQ(dma_alloc(d->dma, 4096, 4096, &data, &err), 0);
	}
	memset(ring.va, 0, ring.len);
	used = 0;
	layout = (struct virtio_layout){ .size = n,
					 .desc = ring.iova,
					 .driver = ring.iova + avail,
					 .device = ring.iova + 4096,
					 .event_fd = event_fd };
	CHECK_EQ(d->t->queue_start(d, QUEUE, &layout, &notify), 0);
	CHECK_EQ(notify.fd, -1);
	CHECK(!notify.at);
	CHECK_EQ(notify.value, QUEUE);
}

static void stop_memory(void)
{
	dma_free(d->dma, &ring);
	dma_free(d->dma, &data);
}

/* Promiscuous mode on: two bytes of command, one of data, one of answer. */
static void command(void)
{
	struct riser_virtq_desc *desc = ring.va;
	struct riser_virtq_avail *avail = (void *)((char *)ring.va + layout.driver - layout.desc);
	const struct riser_virtq_used *u = (void *)((char *)ring.va + 4096);
	static const uint16_t lens[] = { 2, 1, 1 };
	uint8_t *bytes = data.va;

	memcpy(bytes,
	       (uint8_t[]){ RISER_VIRTIO_NET_CTRL_RX, RISER_VIRTIO_NET_CTRL_RX_PROMISC, 1, 0xee },
	       4);
	for (unsigned i = 0, at = 0; i < 3; at += lens[i++])
		desc[i] = (struct riser_virtq_desc){
			.addr = to_le64(data.iova + at),
			.len = to_le32(lens[i]),
			.flags =
				to_le16(i < 2 ? RISER_VIRTQ_DESC_F_NEXT : RISER_VIRTQ_DESC_F_WRITE),
			.next = to_le16((uint16_t)(i + 1)),
		};
	avail->ring[used % layout.size] = to_le16(0);
	store_release(&avail->idx.raw, to_le16(++used).raw);
	mmio_wmb(); /* pairs with the device's reading of the ring */
	d->t->notify(d, QUEUE, notify.value);
	for (unsigned i = 0; i < ANSWER_MS; i++) {
		riser_le16 idx = { load_acquire(&u->idx.raw) };
		uint64_t next;

		if (le16(idx) == used) {
			CHECK_EQ(bytes[3], RISER_VIRTIO_NET_OK);
			return;
		}
		CHECK(d->t->pump(d, &next) >= 0);
		nap();
	}
	FAIL("no answer");
}

TEST(a_queue_and_its_event)
{
	NEED_QEMU();
	for (unsigned i = 0; i < array_len(ways); i++) {
		int fd = event_new();

		SUB(begin_way(&ways[i], ""));
		for (unsigned round = 0; round < 3; round++) {
			/* With an event, without, and with it again. */
			SUB(agree(WANTED));
			SUB(start_queue(round == 1 ? -1 : fd));
			CHECK_EQ(virtio_start(d, &err), 0);
			SUB(command());
			if (round != 1)
				SUB(wait_event(fd));
			CHECK(!event_ack(fd));
			CHECK_EQ(virtio_reset(d, &err), 0);
			CHECK_EQ(d->t->status_get(d), 3);
			CHECK_EQ(d->features, 0);
		}
		stop_memory();
		SUB(end());
		close(fd);
	}
}

TEST(one_queue_is_reset)
{
	int fd = event_new();

	NEED_QEMU();
	SUB(begin_way(&ways[2], ""));
	SUB(agree(WANTED));
	CHECK_EQ(d->t->queue_stop(d, QUEUE), -EOPNOTSUPP);
	CHECK_EQ(virtio_reset(d, &err), 0);
	SUB(agree(WANTED | ANY(RING_RESET)));
	CHECK(virtio_has(d, RISER_VIRTIO_F_RING_RESET));
	SUB(start_queue(fd));
	CHECK_EQ(virtio_start(d, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		SUB(command());
		SUB(wait_event(fd));
		CHECK_EQ(d->t->queue_stop(d, QUEUE), 0);
		SUB(start_queue(fd));
	}
	SUB(command());
	CHECK_EQ(virtio_reset(d, &err), 0);
	stop_memory();
	SUB(end());
	close(fd);
}

/* --- What is refused, and said --- */

TEST(refusals)
{
	static const struct {
		const char *uri, *word;
		unsigned id;
		int rc;
	} cases[] = {
		{ "qtest:spawn?device=virtio-net-pci&netdev=user", "type 1, and 2 is wanted",
		  RISER_VIRTIO_ID_BLK, -ENODEV },
		{ "qtest:spawn?device=nvme", "1b36:0010 is no virtio device", RISER_VIRTIO_ID_NET,
		  -ENODEV },
		{ "qtest:spawn?device=virtio-net-pci-non-transitional&netdev=user&transport=legacy",
		  "no legacy interface", RISER_VIRTIO_ID_NET, -ENOTSUP },
		{ "qtest:spawn?device=virtio-net-pci,disable-modern=on&netdev=user&transport=modern",
		  "no usable capability for its common configuration", RISER_VIRTIO_ID_NET,
		  -ENOTSUP },
		{ "qtest:spawn?device=virtio-net-pci&netdev=user&transport=older",
		  "transport= is modern or legacy, not 'older'", RISER_VIRTIO_ID_NET, -EINVAL },
	};

	NEED_QEMU();
	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	for (unsigned i = 0; i < array_len(cases); i++) {
		CHECK_EQ(open_uri(cases[i].uri, cases[i].id), cases[i].rc);
		CHECK_HAS(err.text, cases[i].word);
	}
	riser_free(r);
}

static const struct riser_virtio_feature *row(const struct riser_virtio_feature *rows, unsigned n,
					      const char *name)
{
	static const struct riser_virtio_feature none = { .why = "no such row" };

	for (unsigned i = 0; i < n; i++)
		if (rows[i].name && !strcmp(rows[i].name, name))
			return &rows[i];
	return &none;
}

TEST(explained)
{
	struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX];
	unsigned n;

	NEED_QEMU();
	SUB(begin_way(&ways[2], ""));
	SUB(agree(NET(MAC) | NET(CTRL_RX) | NET(GUEST_TSO4) | NET(STATUS)));
	n = virtio_explain(d, rows);
	CHECK(row(rows, n, "MAC")->accepted);
	CHECK_STR(row(rows, n, "MAC")->why, "");
	CHECK_STR(row(rows, n, "CTRL_RX")->why, "needs CTRL_VQ, not wanted");
	CHECK_STR(row(rows, n, "GUEST_TSO4")->why, "not offered"); /* user has no header */
	CHECK_STR(row(rows, n, "MRG_RXBUF")->why, "not wanted");
	CHECK(row(rows, n, "VERSION_1")->accepted);
	SUB(end());
}

TEST(death_is_removal)
{
	NEED_QEMU();
	for (unsigned i = 0; i < array_len(ways); i++) {
		uint64_t next;
		uint8_t mac[6];

		SUB(begin_way(&ways[i], ""));
		SUB(agree(WANTED));
		SUB(start_queue(-1));
		CHECK_EQ(virtio_start(d, &err), 0);
		CHECK(qemu_child() > 0);
		CHECK_EQ(kill(qemu_child(), SIGKILL), 0);
		while (d->t->pump(d, &next) >= 0)
			nap();
		CHECK_EQ(virtio_check(d), -ENODEV);
		CHECK_STR(d->broken, "the device is gone");
		CHECK_EQ(d->t->config_read(d, 0, mac, sizeof(mac)), -ENODEV);
		CHECK_EQ(virtio_reset(d, &err), -ENODEV);
		CHECK_EQ(virtio_start(d, &err), -ENODEV);
		stop_memory();
		SUB(end());
	}
}

TEST_MAIN(CASE(each_way_in), CASE(an_interrupt_of_the_configuration),
	  CASE(a_change_without_vectors), CASE(a_queue_and_its_event), CASE(one_queue_is_reset),
	  CASE(refusals), CASE(explained), CASE(death_is_removal))
