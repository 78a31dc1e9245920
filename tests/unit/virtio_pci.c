/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The PCI transports and the negotiation on a function of the test's own, on virtual time: in which
 * order what is written, by which widths, and what becomes of a device with bad habits.
 */
#include "virtio_pci_fake.h"

#define NET(f) VIRTIO_BIT(RISER_VIRTIO_NET_F_##f)
#define ANY(f) VIRTIO_BIT(RISER_VIRTIO_F_##f)

static struct riser *r;
static struct riser_err err;
static struct virtio_dev *d;

static int open_as(const char *text, unsigned id)
{
	struct uri u;
	int rc = uri_parse(text, &u, &err);

	if (rc)
		return rc;
	err.text[0] = 0;
	pthread_mutex_lock(&r->open_lock);
	rc = virtio_open(r, &u, id, &d, &err);
	pthread_mutex_unlock(&r->open_lock);
	uri_free(&u);
	return rc;
}

static void begin(void)
{
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };

	d = NULL;
	CHECK_EQ(base_new(&opts, &fake_registry, &r, &err), 0);
}

static void end(void)
{
	pthread_mutex_lock(&r->open_lock);
	virtio_close(d);
	pthread_mutex_unlock(&r->open_lock);
	riser_free(r);
	CHECK_EQ(fake.wrong, 0);
}

/* Open it with what the test has prepared. */
static void open_ok(const char *text)
{
	SUB(begin());
	if (open_as(text, RISER_VIRTIO_ID_NET))
		FAIL("%s: %s", text, err.text);
	CHECK_EQ(fake.wrong, 0);
}

/* It does not open: with this code, and a word of the sentence. */
static void open_fails(const char *text, int code, const char *word)
{
	SUB(begin());
	CHECK_EQ(open_as(text, RISER_VIRTIO_ID_NET), code);
	CHECK_HAS(err.text, word);
	riser_free(r);
}

static void agree(uint64_t wanted)
{
	if (virtio_negotiate(d, virtio_net_features, wanted, 0, &err))
		FAIL("%s", err.text);
}

static const struct virtio_layout layout = { .size = FAKE_SIZE,
					     .desc = 0x123456789000,
					     .driver = 0x123456789100,
					     .device = 0x12345678a000,
					     .event_fd = -1 };

/* A PFN has 32 bits. */
static const struct virtio_layout low = { .size = FAKE_SIZE,
					  .desc = 0x23456789000,
					  .driver = 0x23456789100,
					  .device = 0x2345678a000,
					  .event_fd = -1 };

static int start_queue(unsigned index, int fd, struct virtio_notify *notify)
{
	struct virtio_layout l = d->t->legacy_rings ? low : layout;

	l.event_fd = fd;
	return d->t->queue_start(d, index, &l, notify);
}

/* --- In order --- */

TEST(the_modern_order)
{
	struct virtio_notify notify;

	fake_init();
	SUB(open_ok("fake:"));
	CHECK_STR(d->t->name, "virtio-pci modern");
	CHECK_EQ(d->offered, fake.offered);
	CHECK_EQ(start_queue(1, -1, &notify), -EINVAL); /* features come first */
	SUB(agree(NET(MAC) | NET(STATUS) | NET(MQ)));
	CHECK_EQ(d->features, NET(MAC) | NET(STATUS) | ANY(VERSION_1));
	CHECK_EQ(fake.accepted, d->features);
	CHECK_EQ(start_queue(1, -1, &notify), 0);
	CHECK_EQ(virtio_start(d, &err), 0);
	CHECK_STR(fake.log, "S0 S1 S3 F S11 Q1 S15 ");
	CHECK_EQ(fake.queues[1].desc, layout.desc);
	CHECK_EQ(fake.queues[1].driver, layout.driver);
	CHECK_EQ(fake.queues[1].device, layout.device);
	CHECK_EQ(fake.queues[1].enabled, 1);
	CHECK_EQ(fake.queues[1].vector, RISER_VIRTIO_MSI_NO_VECTOR);
	CHECK_EQ(notify.value, 1);
	CHECK(!notify.wide);
	d->t->notify(d, 1, notify.value);
	CHECK_EQ(fake.queues[1].rung, 1);
	/* Enabled already. */
	CHECK_EQ(start_queue(1, -1, &notify), -EIO);
	CHECK_EQ(d->t->queue_max(d, 0), FAKE_SIZE);
	CHECK_EQ(d->t->queue_max(d, FAKE_QUEUES), 0);
	/* And again, with others. */
	fake.log[0] = 0;
	CHECK_EQ(virtio_reset(d, &err), 0);
	CHECK_EQ(d->features, 0);
	SUB(agree(NET(MAC)));
	CHECK_EQ(fake.accepted, NET(MAC) | ANY(VERSION_1));
	CHECK_STR(fake.log, "S0 S1 S3 F S11 ");
	fake.log[0] = 0;
	SUB(end());
	CHECK_STR(fake.log, "S0 ");
}

TEST(the_legacy_order)
{
	struct virtio_notify notify;
	struct virtio_layout odd = low;

	fake_init();
	SUB(open_ok("fake:?transport=legacy"));
	CHECK(d->t->legacy_rings);
	CHECK_EQ(d->offered, NET(MAC) | NET(STATUS));
	CHECK_EQ(start_queue(2, -1, &notify), -EINVAL);
	SUB(agree(NET(MAC) | NET(STATUS) | ANY(RING_PACKED)));
	CHECK_EQ(d->features, NET(MAC) | NET(STATUS));
	CHECK_EQ(start_queue(2, -1, &notify), 0);
	CHECK_EQ(fake.queues[2].pfn, 0x23456789);
	CHECK_EQ(virtio_start(d, &err), 0);
	CHECK_STR(fake.log, "S0 S1 S3 F Q2 S7 ");
	d->t->notify(d, 2, notify.value);
	CHECK_EQ(fake.queues[2].rung, 2);
	CHECK_EQ(start_queue(2, -1, &notify), -EIO);
	CHECK_EQ(d->t->queue_stop(d, 2), -EOPNOTSUPP);
	/* Not as the device says, not in one piece, beyond what a page number reaches. */
	odd.size = FAKE_SIZE / 2;
	CHECK_EQ(d->t->queue_start(d, 0, &odd, &notify), -EINVAL);
	odd = low;
	odd.device += 4096;
	CHECK_EQ(d->t->queue_start(d, 0, &odd, &notify), -EINVAL);
	CHECK_EQ(d->t->queue_start(d, 0, &layout, &notify), -EINVAL);
	SUB(end());
}

/* --- What is agreed --- */

TEST(needs_are_closed_over)
{
	uint64_t all = NET(CSUM) | NET(GUEST_CSUM) | NET(CTRL_VQ) | NET(HOST_TSO4) | NET(HOST_ECN) |
		       NET(GUEST_TSO6) | NET(GUEST_ECN) | NET(GUEST_UFO) | NET(MQ) |
		       NET(GUEST_ANNOUNCE) | NET(STATUS) | NET(RSS) | NET(HASH_TUNNEL);
	const struct virtio_want *w = virtio_net_features;

	CHECK_EQ(virtio_close_needs(w, all), all);
	/* ECN through either. */
	CHECK_EQ(virtio_close_needs(w, all & ~NET(HOST_TSO4)),
		 all & ~(NET(HOST_TSO4) | NET(HOST_ECN)));
	/* Two steps down. */
	CHECK_EQ(virtio_close_needs(w, all & ~NET(CSUM)),
		 all & ~(NET(CSUM) | NET(HOST_TSO4) | NET(HOST_ECN)));
	CHECK_EQ(virtio_close_needs(w, all & ~NET(GUEST_CSUM)),
		 all & ~(NET(GUEST_CSUM) | NET(GUEST_TSO6) | NET(GUEST_ECN) | NET(GUEST_UFO)));
	CHECK_EQ(virtio_close_needs(w, all & ~NET(CTRL_VQ)),
		 all & ~(NET(CTRL_VQ) | NET(MQ) | NET(GUEST_ANNOUNCE) | NET(RSS) |
			 NET(HASH_TUNNEL)));
	/* What comes later in the order of bits as well. */
	CHECK_EQ(virtio_close_needs(w, NET(HASH_TUNNEL) | NET(HASH_REPORT) | NET(CTRL_VQ)),
		 NET(CTRL_VQ));
	/* What is of every device is known without the driver's rows. */
	CHECK_EQ(virtio_close_needs(NULL, ANY(RING_PACKED) | ANY(EVENT_IDX)), ANY(EVENT_IDX));
	CHECK_EQ(virtio_close_needs(virtio_blk_features, ANY(RING_PACKED) | ANY(VERSION_1)),
		 ANY(RING_PACKED) | ANY(VERSION_1));
}

static const struct riser_virtio_feature *row(const char *name)
{
	static struct riser_virtio_feature rows[RISER_VIRTIO_FEATURES_MAX];
	static const struct riser_virtio_feature none = { .why = "no such row" };
	unsigned n = virtio_explain(d, rows);

	for (unsigned i = 0; i < n; i++)
		if (name ? rows[i].name && !strcmp(rows[i].name, name) : !rows[i].name)
			return &rows[i];
	return &none;
}

TEST(each_row_says_why)
{
	fake_init();
	fake.offered |= NET(HOST_TSO4) | NET(HOST_ECN) | NET(CTRL_RX) | NET(MRG_RXBUF) |
			NET(CTRL_VQ) | VIRTIO_BIT(49);
	fake_cap(0x50, 0x60, RISER_VIRTIO_PCI_CAP_COMMON, 4, 0, 56);
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC) | NET(CSUM) | NET(HOST_TSO4) | NET(HOST_ECN) | NET(CTRL_RX) |
		  ANY(RING_RESET)));
	CHECK(row("MAC")->offered && row("MAC")->wanted && row("MAC")->accepted);
	CHECK_STR(row("MAC")->why, "");
	CHECK_STR(row("CSUM")->why, "not offered");
	CHECK(row("CSUM")->wanted);
	CHECK_STR(row("MRG_RXBUF")->why, "not wanted");
	CHECK(row("MRG_RXBUF")->offered);
	CHECK_STR(row("HOST_TSO4")->why, "needs CSUM, not offered");
	CHECK_STR(row("HOST_ECN")->why, "needs HOST_TSO4 or HOST_TSO6, not accepted");
	CHECK_STR(row("CTRL_RX")->why, "needs CTRL_VQ, not wanted");
	CHECK_STR(row("RING_RESET")->why, "cut by virtio-pci modern");
	CHECK_STR(row("MTU")->why, "not offered");
	CHECK(!row("MTU")->wanted);
	/* A bit without a name. */
	CHECK_EQ(row(NULL)->bit, 49);
	CHECK_STR(row(NULL)->why, "not wanted");
	CHECK(row("VERSION_1")->accepted);
	SUB(end());
}

TEST(what_is_missing_is_named)
{
	fake_init();
	SUB(open_ok("fake:"));
	CHECK_EQ(virtio_negotiate(d, virtio_net_features, NET(MAC), NET(CTRL_VQ) | NET(MRG_RXBUF),
				  &err),
		 -ENOTSUP);
	CHECK_HAS(err.text, "lacks MRG_RXBUF, CTRL_VQ");
	CHECK_EQ(fake.status, 3 | RISER_VIRTIO_STATUS_FAILED);
	SUB(end());
	/* Through its modern interface it has to be modern. */
	fake_init();
	fake.offered &= ~ANY(VERSION_1);
	SUB(open_ok("fake:"));
	CHECK_EQ(virtio_negotiate(d, virtio_net_features, NET(MAC), 0, &err), -ENOTSUP);
	CHECK_HAS(err.text, "lacks VERSION_1");
	SUB(end());
}

/* Behind an IOMMU, one that takes physical addresses would write to somebody else's memory. */
TEST(nobody_goes_past_the_iommu)
{
	fake_init();
	fake.is_real = true;
	SUB(open_ok("fake:"));
	CHECK_EQ(virtio_negotiate(d, virtio_net_features, NET(MAC), 0, &err), -ENOTSUP);
	CHECK_HAS(err.text, "would go past the IOMMU");
	SUB(end());
	fake.offered |= ANY(ACCESS_PLATFORM);
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	CHECK(virtio_has(d, RISER_VIRTIO_F_ACCESS_PLATFORM));
	SUB(end());
	SUB(open_ok("fake:?transport=legacy"));
	CHECK_EQ(virtio_negotiate(d, virtio_net_features, NET(MAC), 0, &err), -ENOTSUP);
	SUB(end());
}

TEST(features_are_refused)
{
	fake_init();
	fake.refuses = true;
	SUB(open_ok("fake:"));
	CHECK_EQ(virtio_negotiate(d, virtio_net_features, NET(MAC), 0, &err), -ENOTSUP);
	CHECK_HAS(err.text, "FEATURES_OK");
	CHECK_EQ(d->features, 0);
	CHECK_EQ(fake.status, 3 | RISER_VIRTIO_STATUS_FAILED);
	SUB(end());
}

TEST(it_wants_to_be_reset)
{
	fake_init();
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	CHECK_EQ(virtio_start(d, &err), 0);
	CHECK_EQ(virtio_check(d), 0);
	fake.status |= RISER_VIRTIO_STATUS_NEEDS_RESET;
	CHECK_EQ(virtio_check(d), -EIO);
	CHECK_HAS(d->broken, "wants to be reset");
	virtio_break(d, "something else");
	CHECK_HAS(d->broken, "wants to be reset");
	CHECK_EQ(virtio_reset(d, &err), 0);
	CHECK(!d->broken);
	SUB(agree(NET(MAC)));
	/* At once again. */
	fake.status |= RISER_VIRTIO_STATUS_NEEDS_RESET;
	CHECK_EQ(virtio_start(d, &err), -EIO);
	SUB(end());
}

/* --- Reset --- */

TEST(a_reset_takes_its_time)
{
	fake_init();
	fake.slow_ns = 3 * NS_PER_S;
	SUB(open_ok("fake:"));
	CHECK(clock_now(r) >= 3 * NS_PER_S);
	CHECK_EQ(fake.function_resets, 0);
	SUB(agree(NET(MAC)));
	SUB(end());
}

TEST(a_reset_never_ends)
{
	uint32_t command;

	/* The function's helps. */
	fake_init();
	fake.stuck = 1;
	SUB(open_ok("fake:"));
	CHECK_EQ(fake.function_resets, 1);
	SUB(agree(NET(MAC)));
	CHECK_EQ(virtio_reset(d, &err), 0);
	SUB(end());
	/* It does not; and there is none. */
	for (unsigned stuck = 2; stuck < 4; stuck++) {
		fake_init();
		fake.stuck = stuck;
		SUB(open_fails("fake:", -ETIMEDOUT, "its status never becomes 0"));
		CHECK_EQ(fake.function_resets, stuck == 2);
		/* It writes nowhere any more. */
		CHECK_EQ(fake_cfg_read(&fake.pci, PCI_CFG_COMMAND, 2, &command), 0);
		CHECK_EQ(command & PCI_COMMAND_MASTER, 0);
	}
	/* Later, and then it is sane again. */
	fake_init();
	fake_put(PCI_CFG_COMMAND, 2, PCI_COMMAND_MASTER);
	SUB(open_ok("fake:"));
	fake.stuck = 2;
	CHECK_EQ(virtio_reset(d, &err), -ETIMEDOUT);
	CHECK_EQ(fake.cfg[PCI_CFG_COMMAND] & PCI_COMMAND_MASTER, 0);
	fake.stuck = 0;
	CHECK_EQ(virtio_reset(d, &err), 0);
	CHECK_EQ(fake.cfg[PCI_CFG_COMMAND] & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER);
	SUB(end());
}

TEST(one_queue_is_reset)
{
	struct virtio_notify notify;
	int fd = event_new();

	fake_init();
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	CHECK_EQ(d->t->queue_stop(d, 1), -EOPNOTSUPP);
	CHECK_EQ(virtio_reset(d, &err), 0);
	SUB(agree(NET(MAC) | ANY(RING_RESET)));
	CHECK_EQ(start_queue(1, fd, &notify), 0);
	CHECK_EQ(fake.fds[1], fd);
	CHECK_EQ(d->t->queue_stop(d, 1), 0);
	CHECK_EQ(fake.queues[1].resets, 1);
	CHECK_EQ(fake.fds[1], -1);
	CHECK_EQ(start_queue(1, fd, &notify), 0);
	fake.ring_stuck = true;
	/* UINT16_MAX is what a device says that is gone; 1 is one that is at it. */
	CHECK_EQ(d->t->queue_stop(d, 1), -ETIMEDOUT);
	SUB(end());
	close(fd);
}

/* --- Interrupts --- */

TEST(vectors)
{
	struct virtio_notify notify;
	int a = event_new(), b = event_new(), c = event_new(), config = event_new();

	fake_init();
	SUB(open_ok("fake:"));
	CHECK(fake.msix);
	CHECK_EQ(d->events, FAKE_VECTORS - 1);
	SUB(agree(NET(MAC)));
	CHECK_EQ(d->t->irq_config(d, config), 0);
	CHECK_EQ(fake.config_vector, 0);
	CHECK_EQ(fake.fds[0], config);
	CHECK_EQ(start_queue(0, a, &notify), 0);
	CHECK_EQ(start_queue(1, a, &notify), 0);
	CHECK_EQ(start_queue(2, b, &notify), 0);
	CHECK_EQ(fake.queues[0].vector, 1);
	CHECK_EQ(fake.queues[1].vector, 1);
	CHECK_EQ(fake.queues[2].vector, 2);
	CHECK_EQ(fake.fds[1], a);
	CHECK_EQ(fake.fds[2], b);
	fake_change();
	CHECK(event_ack(config));
	/* A reset takes the queues' vectors, and the configuration keeps its own. */
	CHECK_EQ(virtio_reset(d, &err), 0);
	CHECK_EQ(fake.fds[1], -1);
	CHECK_EQ(fake.fds[2], -1);
	CHECK_EQ(fake.config_vector, 0);
	CHECK_EQ(fake.fds[0], config);
	SUB(agree(NET(MAC)));
	CHECK_EQ(start_queue(0, c, &notify), 0);
	CHECK_EQ(fake.queues[0].vector, 1);
	CHECK_EQ(d->t->irq_config(d, -1), 0);
	CHECK_EQ(fake.config_vector, RISER_VIRTIO_MSI_NO_VECTOR);
	SUB(end());
	CHECK(!fake.msix);
	close(a);
	close(b);
	close(c);
	close(config);
}

TEST(vectors_are_refused)
{
	int a = event_new(), b = event_new();
	struct virtio_notify notify;

	/* By the device: NO_VECTOR is read back. */
	fake_init();
	fake.unvectored = 1;
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	CHECK_EQ(d->t->irq_config(d, b), 0);
	CHECK_EQ(start_queue(0, a, &notify), -ENOSPC);
	CHECK_EQ(fake.queues[0].enabled, 0);
	CHECK_EQ(fake.fds[1], -1);
	CHECK_EQ(start_queue(0, -1, &notify), 0);
	SUB(end());
	fake.unvectored = 0;
	SUB(open_ok("fake:"));
	CHECK_EQ(d->t->irq_config(d, a), -ENOSPC);
	SUB(end());
	/* There are no more of them. */
	fake_init();
	fake.vectors = 2;
	SUB(open_ok("fake:"));
	CHECK_EQ(d->events, 1);
	SUB(agree(NET(MAC)));
	CHECK_EQ(start_queue(0, a, &notify), 0);
	CHECK_EQ(start_queue(1, b, &notify), -ENOSPC);
	CHECK_EQ(start_queue(1, a, &notify), 0);
	SUB(end());
	close(a);
	close(b);
}

/* Let virtual time pass until then. */
static void sleep_until(uint64_t next)
{
	struct sync_wait w;

	sync_wait_begin(&w, r, NULL);
	while (clock_now(r) < next) {
		sync_wait_look(&w);
		sync_wait_idle(&w, next);
	}
	sync_wait_end(&w);
}

/* One who listens without vectors hears of the configuration, whatever else the ISR says. */
static void listen_without(const char *uri)
{
	int fd = event_new();
	uint64_t next;

	fake_init();
	fake.vectors = 0;
	SUB(open_ok(uri));
	CHECK_EQ(d->events, 0);
	SUB(agree(NET(MAC)));
	CHECK_EQ(d->t->pump(d, &next), 0);
	CHECK_EQ(next, TIME_NEVER);
	CHECK_EQ(d->t->irq_config(d, fd), 0);
	for (unsigned isr = 0; isr < 4; isr++) {
		fake.isr = (uint8_t)isr;
		for (unsigned i = 0; i < 2; i++) {
			CHECK(d->t->pump(d, &next) >= 0);
			CHECK(next != TIME_NEVER);
			sleep_until(next);
		}
		CHECK_EQ(event_ack(fd), isr >> 1);
		CHECK_EQ(fake.isr, 0);
	}
	CHECK_EQ(d->t->irq_config(d, -1), 0);
	CHECK_EQ(d->t->pump(d, &next), 0);
	CHECK_EQ(next, TIME_NEVER);
	SUB(end());
	close(fd);
}

TEST(a_change_without_vectors)
{
	SUB(listen_without("fake:"));
	SUB(listen_without("fake:?transport=legacy"));
}

/* --- The configuration --- */

TEST(fields_by_their_widths)
{
	uint8_t bytes[6], eight[8];
	riser_le16 two;
	riser_le32 four;

	fake_init();
	SUB(open_ok("fake:"));
	fake.log[0] = 0;
	CHECK_EQ(d->t->config_read(d, 0, bytes, 6), 0);
	CHECK_STR(fake.log, "r1 r1 r1 r1 r1 r1 ");
	CHECK(!memcmp(bytes, fake.config, 6));
	fake.log[0] = 0;
	CHECK_EQ(d->t->config_read(d, 6, &two, 2), 0);
	CHECK_EQ(d->t->config_read(d, 12, &four, 4), 0);
	CHECK_EQ(d->t->config_read(d, 16, eight, 8), 0);
	CHECK_STR(fake.log, "r2 r4 r4 r4 ");
	CHECK_EQ(le16(two), 0x1716);
	CHECK_EQ(le32(four), 0x1f1e1d1c);
	CHECK(!memcmp(eight, fake.config + 16, 8));
	CHECK_EQ(d->t->config_write(d, 10, &(riser_le16){ to_le16(0xabcd).raw }, 2), 0);
	CHECK_EQ(fake.config[10], 0xcd);
	CHECK_EQ(fake.config[11], 0xab);
	/* Beyond the capability. */
	CHECK_EQ(d->t->config_read(d, FAKE_CONFIG - 1, &two, 2), -ERANGE);
	CHECK_EQ(d->t->config_read(d, SIZE_MAX, &two, 2), -ERANGE);
	CHECK_EQ(d->t->config_write(d, FAKE_CONFIG, &two, 2), -ERANGE);
	/* It never stands still. */
	fake.restless = true;
	CHECK_EQ(d->t->config_read(d, 6, &two, 2), -EIO);
	SUB(end());
}

TEST(the_legacy_configuration_moves)
{
	riser_le32 four;

	fake_init();
	SUB(open_ok("fake:?transport=legacy"));
	CHECK(fake.msix);
	CHECK_EQ(d->t->config_read(d, 4, &four, 4), 0);
	CHECK_EQ(le32(four), 0x17161514);
	/* Whoever it was that switched MSI-X. */
	fake_msix(false);
	CHECK_EQ(d->t->config_read(d, 4, &four, 4), 0);
	CHECK_EQ(le32(four), 0x17161514);
	four = to_le32(0xa1a2a3a4);
	CHECK_EQ(d->t->config_write(d, 4, &four, 4), 0);
	CHECK_EQ(fake.config[4], 0xa4);
	fake_msix(true);
	CHECK_EQ(d->t->config_write(d, 8, &four, 4), 0);
	CHECK_EQ(fake.config[8], 0xa4);
	CHECK_EQ(fake.config[12], 0x1c);
	CHECK_EQ(d->t->config_read(d, 4, &four, 4), 0);
	CHECK_EQ(le32(four), 0xa1a2a3a4);
	CHECK_EQ(d->t->config_read(d, 250, &four, 4), -ERANGE);
	SUB(end());
}

/* --- Bad capabilities --- */

static void fake_modern_only(void)
{
	fake_init();
	fake_put(PCI_CFG_DEVICE, 2, RISER_VIRTIO_PCI_MODERN + RISER_VIRTIO_ID_NET);
	fake_put(0x08, 1, 1); /* its revision */
}

TEST(capabilities_of_nonsense)
{
	static const struct {
		unsigned type, bar;
		uint32_t off, len;
		const char *word;
	} bad[] = {
		{ RISER_VIRTIO_PCI_CAP_COMMON, 6, 0, 0x1000, "common configuration" },
		{ RISER_VIRTIO_PCI_CAP_COMMON, 4, 2, 0x1000, "common configuration" },
		{ RISER_VIRTIO_PCI_CAP_COMMON, 4, 0, 55, "common configuration" },
		{ RISER_VIRTIO_PCI_CAP_COMMON, 4, 0xfffff000, 0x1000, "common configuration" },
		{ RISER_VIRTIO_PCI_CAP_ISR, 4, 0x1000, 0, "interrupt status" },
		{ RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY, 1, "notifications" },
		{ RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY + 1, 16, "notifications" },
	};
	static const unsigned at[] = { [RISER_VIRTIO_PCI_CAP_COMMON] = 0x50,
				       [RISER_VIRTIO_PCI_CAP_ISR] = 0x60,
				       [RISER_VIRTIO_PCI_CAP_NOTIFY] = 0x80 };

	for (unsigned i = 0; i < array_len(bad); i++) {
		unsigned where = at[bad[i].type];

		fake_modern_only();
		fake_cap(where, where == 0x80 ? 0 : where + 0x10, bad[i].type, bad[i].bar,
			 bad[i].off, bad[i].len);
		SUB(open_fails("fake:", -ENOTSUP, bad[i].word));
		/* Who has the other interface is driven through that. */
		fake_init();
		fake_cap(where, where == 0x80 ? 0 : where + 0x10, bad[i].type, bad[i].bar,
			 bad[i].off, bad[i].len);
		SUB(open_fails("fake:?transport=modern", -ENOTSUP, bad[i].word));
		SUB(open_ok("fake:"));
		CHECK(d->t->legacy_rings);
		SUB(end());
	}
}

TEST(the_first_that_is_usable)
{
	riser_le16 two;

	/* One in a BAR that is none, and one that is too short, before the right one. */
	fake_modern_only();
	fake_put(PCI_CFG_CAP, 1, 0xa0);
	fake_cap(0xa0, 0xb0, RISER_VIRTIO_PCI_CAP_COMMON, 7, 0, 0x1000);
	fake_cap(0xb0, 0xc0, RISER_VIRTIO_PCI_CAP_COMMON, 4, 0, 8);
	fake_cap(0xc0, 0x40, 0x77, 4, 0, 8); /* and of no known type */
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	SUB(end());
	/* A circle: what is in it is found, and the walk ends. */
	fake_modern_only();
	fake_cap(0x80, 0x40, RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY, 0x1000);
	SUB(open_ok("fake:"));
	SUB(end());
	/* No configuration of its own is no harm. */
	fake_modern_only();
	fake_put(0x73, 1, 0x77);
	SUB(open_ok("fake:"));
	CHECK_EQ(d->t->config_read(d, 0, &two, 2), -ERANGE);
	SUB(end());
	/* A chain that leads out of the configuration space. */
	fake_modern_only();
	fake_cap(0x80, 0xfc, RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY, 0x1000);
	fake_put(0xfc, 4, 16u << 16 | 0x09);
	SUB(open_ok("fake:"));
	SUB(end());
	fake_modern_only();
	fake_put(0x06, 2, 0);
	SUB(open_fails("fake:", -ENOTSUP, "no usable capability"));
}

TEST(a_bell_outside_of_its_capability)
{
	struct virtio_notify notify;

	fake_modern_only();
	fake_cap(0x80, 0, RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY, 2 * FAKE_MULT);
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	CHECK_EQ(start_queue(1, -1, &notify), 0);
	CHECK_EQ(start_queue(2, -1, &notify), -EIO);
	CHECK_EQ(fake.queues[2].enabled, 0);
	SUB(end());
	/* Four bytes are wanted, and two are there. */
	fake_modern_only();
	fake.offered |= ANY(NOTIFICATION_DATA);
	fake_cap(0x80, 0, RISER_VIRTIO_PCI_CAP_NOTIFY, 4, FAKE_NOTIFY, FAKE_MULT + 2);
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC) | ANY(NOTIFICATION_DATA)));
	CHECK_EQ(start_queue(0, -1, &notify), 0);
	CHECK(notify.wide);
	d->t->notify(d, 0, 0x80050000);
	CHECK_EQ(fake.queues[0].rung, 0x80050000);
	CHECK_EQ(start_queue(1, -1, &notify), -EIO);
	SUB(end());
}

TEST(which_function_it_is)
{
	fake_modern_only();
	SUB(open_ok("fake:"));
	SUB(end());
	SUB(open_fails("fake:?transport=legacy", -ENOTSUP, "no legacy interface"));
	/* What the subsystem says is the type of a transitional one only. */
	fake_modern_only();
	fake_put(0x2e, 2, 0x1100);
	SUB(open_ok("fake:"));
	SUB(end());
	fake_init();
	fake_put(0x2e, 2, RISER_VIRTIO_ID_BLK);
	SUB(open_fails("fake:", -ENODEV, "type 2, and 1 is wanted"));
	fake_init();
	fake_put(PCI_CFG_DEVICE, 2, 0x1110);
	SUB(open_fails("fake:", -ENODEV, "1af4:1110 is no virtio device"));
	/* A legacy function has revision 0. */
	fake_init();
	fake_put(0x08, 1, 1);
	SUB(open_fails("fake:?transport=legacy", -ENOTSUP, "revision 1"));
	SUB(open_ok("fake:"));
	SUB(end());
}

TEST(it_vanishes)
{
	struct virtio_notify notify;
	riser_le16 two;

	for (unsigned i = 0; i < 2; i++) {
		fake_init();
		SUB(open_ok(i ? "fake:?transport=legacy" : "fake:"));
		SUB(agree(NET(MAC)));
		fake.gone = true;
		CHECK_EQ(virtio_check(d), -ENODEV);
		CHECK_STR(d->broken, "the device is gone");
		CHECK_EQ(d->t->config_read(d, 6, &two, 2), -ENODEV);
		CHECK_EQ(d->t->queue_max(d, 0), 0);
		CHECK(start_queue(0, -1, &notify) < 0);
		CHECK_EQ(virtio_start(d, &err), -ENODEV);
		CHECK_EQ(virtio_reset(d, &err), -ENODEV);
		CHECK_HAS(err.text, "the device is gone");
		SUB(end());
	}
	/* Where its place reads as zeros. */
	fake_init();
	SUB(open_ok("fake:"));
	SUB(agree(NET(MAC)));
	CHECK_EQ(virtio_check(d), 0);
	fake.zeros = true;
	CHECK_EQ(virtio_check(d), -EIO);
	CHECK_HAS(d->broken, "lost its status");
	CHECK_EQ(virtio_start(d, &err), -ENODEV);
	CHECK_EQ(virtio_reset(d, &err), -ENODEV);
	SUB(end());
	/* Behind its configuration space. */
	fake_init();
	SUB(begin());
	CHECK_EQ(open_as("fake:", RISER_VIRTIO_ID_BLK), -ENODEV);
	riser_free(r);
}

TEST_MAIN(CASE(the_modern_order), CASE(the_legacy_order), CASE(needs_are_closed_over),
	  CASE(each_row_says_why), CASE(what_is_missing_is_named), CASE(nobody_goes_past_the_iommu),
	  CASE(features_are_refused), CASE(it_wants_to_be_reset), CASE(a_reset_takes_its_time),
	  CASE(a_reset_never_ends), CASE(one_queue_is_reset), CASE(vectors),
	  CASE(vectors_are_refused), CASE(a_change_without_vectors), CASE(fields_by_their_widths),
	  CASE(the_legacy_configuration_moves), CASE(capabilities_of_nonsense),
	  CASE(the_first_that_is_usable), CASE(a_bell_outside_of_its_capability),
	  CASE(which_function_it_is), CASE(it_vanishes))
