/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model of a network card against the specification. */
#include "base/event.h"
#include "spec/vring.h"
#include "virtio_byhand.h"

#define HDR ((unsigned)sizeof(struct riser_virtio_net_hdr))

TEST(a_modern_function_has_its_structures)
{
	SUB(open_card("model:virtio-net?mac=02:00:00:00:00:07&mtu=9000"));
	CHECK_EQ(cfg(PCI_CFG_VENDOR, 2), 0x1af4);
	CHECK_EQ(cfg(PCI_CFG_DEVICE, 2), 0x1041);
	CHECK_EQ(pci_class(dev), 0x020000);
	CHECK_EQ(where.bar, 4);
	CHECK_EQ(where.notify, 0x3000);
	CHECK_EQ(get(COMMON(num_queues), 2), 3);
	CHECK_EQ(get(where.config, 1), 0x02);
	CHECK_EQ(get(where.config + 5, 1), 0x07);
	CHECK_EQ(get(where.config + 6, 2), RISER_VIRTIO_NET_S_LINK_UP);
	CHECK_EQ(get(where.config + 10, 2), 9000);
	CHECK(offered() & BIT(F_VERSION_1) && !(offered() & BIT(F_RING_PACKED)));
	CHECK(!(offered() & BIT(F_ANY_LAYOUT)));
	/* BAR 4 tells its length, and has room for an address of 64 bits. */
	dev->access->cfg_write(dev, PCI_CFG_BAR0 + 16, 4, UINT32_MAX);
	CHECK_EQ(cfg(PCI_CFG_BAR0 + 16, 4), 0xffffc004);
	CHECK_EQ(counted().violations, 0);
	close_card();
}

/* Frames of many lengths go out and come back, round the rings several times. */
static void loops(const char *uri, uint64_t wanted)
{
	unsigned id, len;

	SUB(open_card(uri));
	SUB(start_card(wanted));
	for (unsigned i = 0; i < 5 * SIZE; i++) {
		unsigned n = 14 + i * 17;

		offer(i % SIZE, SLOT);
		send_frame(SIZE, n, i);
		pump();
		CHECK(take(&tx, &id, &len));
		CHECK_EQ(len, 0);
		CHECK(take(&rx, &id, &len));
		CHECK_EQ(len, HDR + n);
		CHECK_EQ(memcmp(slot(i % SIZE) + HDR, slot(SIZE) + HDR, n), 0);
		CHECK(!take(&rx, &id, &len) && !take(&tx, &id, &len));
	}
	CHECK_EQ(counted().tx_packets, 5 * SIZE);
	CHECK_EQ(counted().rx_packets, 5 * SIZE);
	CHECK_EQ(counted().violations, 0);
	CHECK_EQ(counted().dma_refused, 0);
	close_card();
}

TEST(frames_loop_split)
{
	loops("model:virtio-net?loop=1", 0);
}

TEST(frames_loop_packed)
{
	loops("model:virtio-net?loop=1&features=+PACKED", BIT(F_RING_PACKED));
}

/* A frame takes as many buffers as it needs, and waits until there are so many. */
static void merges(uint64_t wanted)
{
	struct riser_virtio_net_hdr *h;
	unsigned id, len;

	SUB(open_card("model:virtio-net?loop=1&features=+PACKED"));
	SUB(start_card(wanted | BIT(NET_F_MRG_RXBUF)));
	offer(0, 512);
	offer(1, 512);
	send_frame(SIZE, 1400, 3);
	pump();
	CHECK(take(&tx, &id, &len));
	CHECK(!take(&rx, &id, &len));
	offer(2, 512);
	pump();
	for (unsigned i = 0; i < 3; i++) {
		CHECK(take(&rx, &id, &len));
		CHECK_EQ(len, i < 2 ? 512 : HDR + 1400 - 1024);
	}
	h = (void *)slot(0);
	CHECK_EQ(le16(h->num_buffers), 3);
	CHECK_EQ(memcmp(slot(0) + HDR, slot(SIZE) + HDR, 500), 0);
	CHECK_EQ(memcmp(slot(1), slot(SIZE) + HDR + 500, 512), 0);
	CHECK_EQ(memcmp(slot(2), slot(SIZE) + HDR + 1012, 388), 0);
	CHECK_EQ(counted().violations, 0);
	close_card();
}

TEST(buffers_merge_split)
{
	merges(0);
}

TEST(buffers_merge_packed)
{
	merges(BIT(F_RING_PACKED));
}

TEST(registers_have_one_width)
{
	SUB(open_card("model:virtio-net"));
	CHECK_EQ(get(COMMON(device_status), 4), UINT32_MAX);
	CHECK_EQ(get(COMMON(driver_feature), 2), 0xffff);
	CHECK_EQ(counted().violations, 2);
	close_card();
}

TEST(features_are_kept_only_where_they_fit)
{
	SUB(open_card("model:virtio-net?features=-CSUM&require=+VERSION_1"));
	SUB(accept_features(BIT(F_VERSION_1)));
	CHECK_EQ(status(), 11);
	SUB(accept_features(BIT(F_VERSION_1) | BIT(NET_F_CSUM)));
	CHECK_EQ(status(), 3);
	SUB(accept_features(0));
	CHECK_EQ(status(), 3);
	close_card();
}

/* Was it signalled since it was looked at last? */
static bool events(int fd)
{
	return event_ack(fd);
}

/* Each vector is its queue's, and the configuration has one of its own. */
TEST(interrupts_go_where_they_were_asked)
{
	int fds[4];

	SUB(open_card("model:virtio-net?loop=1"));
	for (unsigned i = 0; i < 4; i++)
		fds[i] = event_new();
	SUB(start_card(0));
	put(COMMON(config_msix_vector), 2, 3);
	CHECK_EQ(get(COMMON(config_msix_vector), 2), 3);
	put(COMMON(config_msix_vector), 2, 4); /* there are four */
	CHECK_EQ(get(COMMON(config_msix_vector), 2), RISER_VIRTIO_MSI_NO_VECTOR);
	put(COMMON(config_msix_vector), 2, 3);
	CHECK_EQ(pci_irq_set(dev, fds, 4), 0);
	offer(0, SLOT);
	send_frame(SIZE, 100, 1);
	pump();
	CHECK_EQ(events(fds[0]), 1);
	CHECK_EQ(events(fds[1]), 1);
	CHECK_EQ(events(fds[2]) + events(fds[3]), 0);
	CHECK_EQ(get(where.isr, 1), RISER_VIRTIO_ISR_QUEUE);
	CHECK_EQ(get(where.isr, 1), 0); /* reading cleared it */
	model_virtio_net_link(dev, false);
	CHECK_EQ(events(fds[3]), 1);
	CHECK_EQ(get(where.isr, 1), RISER_VIRTIO_ISR_CONFIG);
	CHECK_EQ(get(where.config + 6, 2), 0);
	/* Who does not want any has none. */
	((struct riser_virtq_avail *)tx.driver)->flags = to_le16(RISER_VIRTQ_AVAIL_F_NO_INTERRUPT);
	send_frame(SIZE, 100, 1);
	pump();
	CHECK_EQ(events(fds[1]), 0);
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
	close_card();
}

/* EVENT_IDX: told once the index passes what was named, and not before. */
TEST(events_come_where_they_were_named)
{
	unsigned id, len;

	SUB(open_card("model:virtio-net"));
	SUB(start_card(BIT(F_EVENT_IDX)));
	((struct riser_virtq_avail *)tx.driver)->ring[SIZE] = to_le16(2);
	for (unsigned i = 0; i < 5; i++) {
		send_frame(SIZE, 100, 1);
		pump();
		CHECK(take(&tx, &id, &len));
		CHECK_EQ(counted().calls, i >= 2);
	}
	/* And the device has named the next one. */
	CHECK_EQ(le16(*vring_avail_event(tx.device, SIZE)), 5);
	close_card();
}

static uint8_t control(unsigned class_code, unsigned command, const void *payload, unsigned len)
{
	unsigned id, used;

	slot(100)[0] = (char)class_code;
	slot(100)[1] = (char)command;
	memcpy(slot(101), payload, len);
	slot(102)[0] = 0x55;
	add(&ctl, (struct piece[]){ { 100, 2, false }, { 101, len, false }, { 102, 16, true } }, 3);
	kick(&ctl);
	pump();
	return take(&ctl, &id, &used) ? (uint8_t)slot(102)[0] : 0xff;
}

/* Interrupts wait for others, or for their time. */
TEST(interrupts_are_put_off)
{
	const uint32_t all[2] = { to_le32(3).raw, to_le32(500).raw };
	const uint32_t one[3] = { to_le32(1).raw, to_le32(2).raw, to_le32(50).raw };

	SUB(open_card("model:virtio-net?features=+NOTF_COAL,+VQ_NOTF_COAL"));
	SUB(accept_features(BIT(F_VERSION_1) | BIT(NET_F_CTRL_VQ) | BIT(NET_F_NOTF_COAL) |
			    BIT(NET_F_VQ_NOTF_COAL)));
	SUB(start_queue(&rx, 0, SIZE));
	SUB(start_queue(&tx, 1, SIZE));
	SUB(start_queue(&ctl, 2, SIZE));
	put(COMMON(device_status), 1, 15);
	CHECK_EQ(control(RISER_VIRTIO_NET_CTRL_NOTF_COAL, RISER_VIRTIO_NET_CTRL_NOTF_COAL_TX_SET,
			 all, 8),
		 0);
	CHECK_EQ(counted().calls, 1);
	send_frame(SIZE, 100, 1);
	pump();
	send_frame(SIZE, 100, 1);
	pump();
	CHECK_EQ(counted().calls, 1);
	send_frame(SIZE, 100, 1);
	pump();
	CHECK_EQ(counted().calls, 2);
	send_frame(SIZE, 100, 1);
	pass(499 * NS_PER_US);
	CHECK_EQ(counted().calls, 2);
	pass(NS_PER_US);
	CHECK_EQ(counted().calls, 3);
	/* Of one queue; and it is told again what it was told. */
	CHECK_EQ(control(RISER_VIRTIO_NET_CTRL_NOTF_COAL, RISER_VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET,
			 one, 12),
		 0);
	CHECK_EQ(control(RISER_VIRTIO_NET_CTRL_NOTF_COAL, RISER_VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET,
			 one, 4),
		 0);
	CHECK_EQ(slot(102)[1], 2);
	CHECK_EQ(slot(102)[5], 50);
	/* What there is no such of is refused. */
	CHECK_EQ(control(RISER_VIRTIO_NET_CTRL_NOTF_COAL, 9, all, 8), 1);
	CHECK_EQ(control(RISER_VIRTIO_NET_CTRL_RX, 0, all, 1), 1); /* no CTRL_RX */
	CHECK_EQ(control(77, 0, all, 1), 1);
	CHECK_EQ(counted().commands_refused, 3);
	CHECK_EQ(counted().violations, 0);
	close_card();
}

/* With IN_ORDER one used entry stands for all before it, at the first one's place. */
TEST(order_saves_used_entries)
{
	struct riser_virtq_used *used;

	SUB(open_card("model:virtio-net?features=+IN_ORDER"));
	SUB(start_card(BIT(F_IN_ORDER)));
	used = tx.device;
	for (unsigned i = 0; i < 3; i++) {
		frame(SIZE, 100, 1);
		add(&tx, &(struct piece){ SIZE, 112, false }, 1);
		used->ring[i].id = to_le32(99);
	}
	kick(&tx);
	pump();
	CHECK_EQ(le16(used->idx), 3);
	CHECK_EQ(le32(used->ring[0].id), 2);
	CHECK_EQ(le32(used->ring[1].id), 99);
	CHECK_EQ(le32(used->ring[2].id), 99);
	close_card();
}

/* An announcement with data says how far the driver is. */
TEST(announcements_carry_data)
{
	SUB(open_card("model:virtio-net?features=+NOTIFICATION_DATA"));
	SUB(start_card(BIT(F_NOTIFICATION_DATA)));
	frame(SIZE, 100, 1);
	add(&tx, &(struct piece){ SIZE, 112, false }, 1);
	put(where.notify + where.multiply, 4, 1 << 16 | 1);
	pump();
	CHECK_EQ(counted().tx_packets, 1);
	CHECK_EQ(counted().violations, 0);
	put(where.notify + where.multiply, 4, 900u << 16 | 1);
	CHECK_EQ(counted().violations, 1);
	close_card();
}

/* RING_RESET: one queue forgets what it had, and is set up again beside the others. */
TEST(a_queue_is_reset_alone)
{
	unsigned id, len;

	SUB(open_card("model:virtio-net?loop=1"));
	SUB(start_card(BIT(F_RING_RESET)));
	offer(0, SLOT);
	pump();
	put(COMMON(queue_select), 2, 0);
	put(COMMON(queue_reset), 2, 1);
	CHECK_EQ(get(COMMON(queue_reset), 2), 0);
	CHECK_EQ(get(COMMON(queue_enable), 2), 0);
	send_frame(SIZE, 100, 1);
	pump();
	CHECK(take(&tx, &id, &len));
	CHECK_EQ(*(uint64_t *)rx.device, 0); /* nothing was written into what it had */
	SUB(start_queue(&rx, 0, 8));
	offer(3, SLOT);
	pump();
	CHECK(take(&rx, &id, &len));
	CHECK_EQ(memcmp(slot(3) + HDR, slot(SIZE) + HDR, 100), 0);
	CHECK_EQ(counted().violations, 0);
	close_card();
}

/* What drivers got wrong before: each is told. */
TEST(old_mistakes_are_told)
{
	SUB(open_card("model:virtio-net"));
	put(COMMON(device_status), 1, 0);
	put(COMMON(device_status), 1, 3);
	SUB(start_queue(&tx, 1, SIZE));
	CHECK_HAS(counted().violation, "a queue was set up before the features");
	put(COMMON(driver_feature), 4, 0);
	CHECK_HAS(counted().violation, "features were written behind the queues");
	put(COMMON(device_status), 1, 7);
	CHECK_HAS(counted().violation, "DRIVER_OK without FEATURES_OK");
	put(COMMON(device_status), 1, 3);
	CHECK_HAS(counted().violation, "cleared without a reset");
	put(COMMON(queue_select), 2, 1);
	put(COMMON(queue_size), 2, 8);
	CHECK_HAS(counted().violation, "a queue was written that is enabled");
	put(where.config, 1, 7); /* the address: no CTRL_MAC_ADDR was accepted */
	CHECK_EQ(get(where.config, 1), 7);
	put(where.config + 6, 1, 0);
	CHECK_HAS(counted().violation, "where it is read-only");
	close_card();
}

/* The device's configuration moves by 4 while MSI-X is on: what ended the first of such drivers. */
TEST(legacy_configuration_moves)
{
	SUB(open_card("model:virtio-net?function=legacy"));
	CHECK_EQ(cfg(PCI_CFG_DEVICE, 2), 0x1000);
	CHECK_EQ(cfg(PCI_CFG_BAR0, 4) & 1, 1);
	where.bar = 0;
	CHECK_EQ(get(20, 1), 0x02);
	CHECK_EQ(get(26, 2), RISER_VIRTIO_NET_S_LINK_UP);
	CHECK_EQ(pci_irq_set(dev, (int[]){ -1, -1 }, 2), 0);
	CHECK_EQ(get(20, 2), RISER_VIRTIO_MSI_NO_VECTOR);
	CHECK_EQ(get(24, 1), 0x02);
	CHECK_EQ(get(30, 2), RISER_VIRTIO_NET_S_LINK_UP);
	CHECK_EQ(pci_irq_set(dev, NULL, 0), 0);
	CHECK_EQ(get(20, 1), 0x02);
	CHECK_EQ(get(0, 4) & 1u << RISER_VIRTIO_F_ANY_LAYOUT, 1u << RISER_VIRTIO_F_ANY_LAYOUT);
	CHECK_EQ(counted().violations, 0);
	close_card();
}

/* A function reset takes its time, and everything with it. */
TEST(a_function_reset_forgets)
{
	SUB(open_card("model:virtio-net?loop=1"));
	SUB(start_card(0));
	CHECK_EQ(pci_reset(dev), 0);
	CHECK_EQ(pci_reset_poll(dev), 0);
	pass(100 * NS_PER_MS);
	CHECK_EQ(pci_reset_poll(dev), 1);
	CHECK_EQ(status(), 0);
	put(COMMON(queue_select), 2, 0);
	CHECK_EQ(get(COMMON(queue_enable), 2), 0);
	CHECK_EQ(counted().function_resets, 1);
	SUB(start_card(0));
	close_card();
}

TEST(bad_uris_say_what_is_wrong)
{
	static const struct {
		const char *uri, *said;
	} bad[] = {
		{ "model:virtio-ned", "did you mean 'virtio-net'?" },
		{ "model:virtio-net?prot=wire:a", "unknown key 'prot'; did you mean 'port'?" },
		{ "model:virtio-net?features=+PAKED", "did you mean 'PACKED'?" },
		{ "model:virtio-net?features=PACKED", "+NAME,-NAME" },
		{ "model:virtio-net?mac=1:2:3", "six bytes" },
		{ "model:virtio-net?size=100", "a power of two" },
		{ "model:virtio-net?function=old", "modern, transitional or legacy" },
		{ "model:virtio-net?loop=1&port=wire:a", "two things behind one card" },
		{ "model:virtio-net?port=wirre:a", "wirre" },
	};

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct uri u;

		CHECK_EQ(uri_parse(bad[i].uri, &u, &err), 0);
		CHECK(pci_open(r, &u, &dev, &err) < 0);
		CHECK_HAS(err.text, bad[i].said);
		uri_free(&u);
	}
	riser_free(r);
}

TEST_MAIN(CASE(a_modern_function_has_its_structures), CASE(frames_loop_split),
	  CASE(frames_loop_packed), CASE(buffers_merge_split), CASE(buffers_merge_packed),
	  CASE(registers_have_one_width), CASE(features_are_kept_only_where_they_fit),
	  CASE(interrupts_go_where_they_were_asked), CASE(events_come_where_they_were_named),
	  CASE(interrupts_are_put_off), CASE(order_saves_used_entries),
	  CASE(announcements_carry_data), CASE(a_queue_is_reset_alone), CASE(old_mistakes_are_told),
	  CASE(legacy_configuration_moves), CASE(a_function_reset_forgets),
	  CASE(bad_uris_say_what_is_wrong))
