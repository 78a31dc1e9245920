/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model of a network card against the specification. */
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
	  CASE(bad_uris_say_what_is_wrong))
