/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A driver that breaks the rules, by malice or by mistake: the model tells what it did, wants to be
 * reset, touches no memory but what it was given, and works again after a reset.
 */
#include "virtio_byhand.h"

#define HDR      ((unsigned)sizeof(struct riser_virtio_net_hdr))
#define NEXT     RISER_VIRTQ_DESC_F_NEXT
#define WRITE    RISER_VIRTQ_DESC_F_WRITE
#define INDIRECT RISER_VIRTQ_DESC_F_INDIRECT
#define NOWHERE  0x123456000ull /* no IOVA of ours */
#define ALL_OF   (BIT(F_INDIRECT_DESC) | BIT(F_EVENT_IDX) | BIT(NET_F_MRG_RXBUF))

/* A descriptor of the transmit queue, or of the table at slot 0. */
struct desc {
	uint64_t addr;
	uint32_t len;
	unsigned flags, next;
};

static void write_split(void *at, const struct desc *d, unsigned n)
{
	struct riser_virtq_desc *to = at;

	for (unsigned i = 0; i < n; i++)
		to[i] = (struct riser_virtq_desc){ to_le64(d[i].addr), to_le32(d[i].len),
						   to_le16((uint16_t)d[i].flags),
						   to_le16((uint16_t)d[i].next) };
}

static void write_packed(void *at, const struct desc *d, unsigned n)
{
	struct riser_virtq_packed_desc *to = at;

	for (unsigned i = 0; i < n; i++)
		to[i] = (struct riser_virtq_packed_desc){
			to_le64(d[i].addr), to_le32(d[i].len), to_le16((uint16_t)i),
			to_le16((uint16_t)(d[i].flags | RISER_VIRTQ_PACKED_F_AVAIL))
		};
}

/* It was noticed, in a sentence that has @said; and a reset makes it good. */
static void check_blamed(const char *said, uint64_t wanted)
{
	unsigned id, len;

	pump();
	CHECK_EQ(status() & RISER_VIRTIO_STATUS_NEEDS_RESET, RISER_VIRTIO_STATUS_NEEDS_RESET);
	CHECK(counted().violation != NULL);
	CHECK_HAS(counted().violation, said);
	SUB(start_card(wanted));
	offer(2, SLOT);
	send_frame(SIZE, 100, 1);
	pump();
	CHECK(take(&rx, &id, &len));
	CHECK_EQ(len, HDR + 100);
}

TEST(split_rings_that_lie)
{
	static const struct {
		unsigned ahead, head; /* of the available ring */
		unsigned n;
		bool table; /* the descriptors are those of an indirect table */
		struct desc d[3];
		const char *said;
	} bad[] = {
		{ SIZE + 1, 0, 0, false, { { 0 } }, "the available index is ahead" },
		{ 1, SIZE, 0, false, { { 0 } }, "outside of its table" },
		{ 1, 0xffff, 0, false, { { 0 } }, "outside of its table" },
		{ 1, 0, 1, false, { { 0, 20, NEXT, 0 } }, "goes round" },
		{ 1, 0, 2, false, { { 0, 20, NEXT, 1 }, { 0, 20, NEXT, 0 } }, "goes round" },
		{ 1, 0, 1, false, { { 0, 20, NEXT, 77 } }, "outside of its table" },
		{ 1, 0, 1, false, { { NOWHERE, 200, 0, 0 } }, "does not reach" },
		{ 1,
		  0,
		  2,
		  false,
		  { { 0, 20, NEXT | WRITE, 1 }, { 0, 20, 0, 0 } },
		  "something to read behind" },
		{ 1, 0, 1, false, { { NOWHERE, 32, INDIRECT, 0 } }, "does not reach" },
		{ 1, 0, 1, false, { { 0, 17, INDIRECT, 0 } }, "an indirect table" },
		{ 1, 0, 1, false, { { 0, 0, INDIRECT, 0 } }, "an indirect table" },
		{ 1, 0, 1, false, { { 0, 16 * (SIZE + 1), INDIRECT, 0 } }, "an indirect table" },
		{ 1, 0, 1, false, { { 0, 32, INDIRECT | NEXT, 1 } }, "an indirect table" },
		{ 1, 0, 1, true, { { 0, 32, INDIRECT, 0 } }, "an indirect table" },
		{ 1, 0, 1, true, { { 0, 20, NEXT, 0 } }, "goes round" },
		{ 1, 0, 1, true, { { 0, 20, NEXT, 3 } }, "outside of its table" },
	};

	SUB(open_card("model:virtio-net?loop=1"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct riser_virtq_avail *avail;
		struct desc table = { 0, 32, INDIRECT, 0 }, d[3];

		SUB(start_card(ALL_OF));
		memcpy(d, bad[i].d, sizeof(d));
		for (unsigned k = 0; k < bad[i].n; k++)
			d[k].addr += d[k].addr == NOWHERE ? 0 : data.iova;
		table.addr = data.iova;
		write_split(bad[i].table ? data.va : tx.desc, d, bad[i].n);
		if (bad[i].table)
			write_split(tx.desc, &table, 1);
		avail = tx.driver;
		avail->ring[0] = to_le16((uint16_t)bad[i].head);
		avail->idx = to_le16((uint16_t)bad[i].ahead);
		kick(&tx);
		SUB(check_blamed(bad[i].said, ALL_OF));
	}
	close_card();
}

TEST(packed_rings_that_lie)
{
	static const struct {
		unsigned n;
		bool table;
		struct desc d[2];
		const char *said;
	} bad[] = {
		{ SIZE, false, { { 0, 20, NEXT, 0 } }, "goes round" },
		{ 1, false, { { 0, 20, NEXT, 0 } }, "goes on in what is not available" },
		{ 1, false, { { NOWHERE, 200, 0, 0 } }, "does not reach" },
		{ 1, false, { { 0, 32, INDIRECT | NEXT, 0 } }, "an indirect table" },
		{ 1, false, { { 0, 16 * (SIZE + 1), INDIRECT, 0 } }, "an indirect table" },
		{ 1, false, { { 0, 8, INDIRECT, 0 } }, "an indirect table" },
		{ 2, false, { { 0, 20, NEXT, 0 }, { 0, 32, INDIRECT, 0 } }, "an indirect table" },
		{ 2, true, { { 0, 20, WRITE, 0 }, { 0, 20, 0, 0 } }, "something to read behind" },
	};

	SUB(open_card("model:virtio-net?loop=1&features=+PACKED"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct desc d[SIZE], table = { 0, 32, INDIRECT, 0 };

		SUB(start_card(ALL_OF | BIT(F_RING_PACKED)));
		for (unsigned k = 0; k < bad[i].n; k++) {
			d[k] = bad[i].d[k < 2 && bad[i].n <= 2 ? k : 0];
			d[k].addr += d[k].addr == NOWHERE ? 0 : data.iova;
		}
		table.addr = data.iova;
		write_packed(bad[i].table ? data.va : tx.desc, d, bad[i].n);
		if (bad[i].table)
			write_packed(tx.desc, &table, 1);
		kick(&tx);
		SUB(check_blamed(bad[i].said, ALL_OF | BIT(F_RING_PACKED)));
	}
	close_card();
}

TEST(rings_that_lie_nowhere)
{
	static const uint64_t at[] = { NOWHERE, UINT64_MAX - 15, 8, 0 };

	SUB(open_card("model:virtio-net?loop=1&features=+PACKED"));
	for (unsigned packed = 0; packed < 2; packed++)
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
			uint64_t wanted = BIT(F_VERSION_1) | (packed ? BIT(F_RING_PACKED) : 0);

			SUB(accept_features(wanted));
			SUB(start_queue(&rx, 0, SIZE));
			put(COMMON(queue_select), 2, 1);
			for (unsigned part = 0; part < 3; part++) {
				put(COMMON(queue_desc) + 8 * part, 4, (uint32_t)at[i]);
				put(COMMON(queue_desc) + 8 * part + 4, 4, at[i] >> 32);
			}
			put(COMMON(queue_enable), 2, 1);
			put(COMMON(device_status), 1, 15);
			tx.id = 1;
			if (!(at[i] & 15)) /* else it does not even start */
				kick(&tx);
			SUB(check_blamed(at[i] & 15 ? "not aligned" : "does not reach", wanted));
		}
	close_card();
}

/* These cost the driver his packet, and are told, and stop nothing. */
TEST(packets_that_are_none)
{
	static const struct {
		unsigned len;
		bool in;
		uint8_t hdr[12];
		const char *said;
	} bad[] = {
		{ 4, false, { 0 }, "an impossible length" },
		{ 200, true, { 0 }, "an impossible length" },
		{ 200000, false, { 0 }, "an impossible length" },
		{ 200, false, { 1, 0, 0, 0, 0, 0, 250, 0, 0, 0 }, "was not negotiated" },
		{ 200, false, { 1, 1, 54, 0, 0, 0, 34, 0, 16, 0 }, "was not negotiated" },
		{ 200, false, { 1, 0x33, 54, 0, 9, 0, 34, 0, 16, 0 }, "was not negotiated" },
		{ 200, false, { 1, 4, 54, 0, 9, 0, 34, 0, 16, 0 }, "was not negotiated" },
	};
	uint64_t wanted = BIT(NET_F_CSUM) | BIT(NET_F_HOST_TSO4);
	unsigned id, len;

	SUB(open_card("model:virtio-net?loop=1"));
	SUB(start_card(wanted));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		frame(SIZE, 150, 1);
		memcpy(slot(SIZE), bad[i].hdr, 12);
		add(&tx, &(struct piece){ SIZE, bad[i].len, bad[i].in }, 1);
		kick(&tx);
		pump();
		CHECK(take(&tx, &id, &len));
		CHECK_EQ(counted().violations, i + 1);
		CHECK_HAS(counted().violation, bad[i].said);
	}
	CHECK_EQ(counted().tx_packets, 0);
	CHECK_EQ(status(), 15);
	/* A queue that is not there, or announced by another's number. */
	put(where.notify + where.multiply * 900, 2, 900);
	put(where.notify + where.multiply, 2, 0);
	CHECK_EQ(status(), 15);
	close_card();
}

static uint64_t seed;

static uint64_t any(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 33;
}

/* Rings and tables full of noise: whatever it says, nothing but our own memory is touched. */
TEST(noise_is_survived)
{
	SUB(open_card("model:virtio-net?loop=1&features=+ALL&pairs=1"));
	for (unsigned round = 0; round < 3000; round++) {
		uint64_t wanted = any() & 1 ? BIT(F_RING_PACKED) : 0;
		struct queue *queues[] = { &rx, &tx, &ctl };

		if (any() & 1)
			wanted |= ALL_OF;
		if (any() & 1)
			wanted |= BIT(F_IN_ORDER);
		SUB(accept_features(wanted | BIT(NET_F_CTRL_VQ) | BIT(F_VERSION_1)));
		for (unsigned i = 0; i < 3; i++)
			SUB(start_queue(queues[i], i, SIZE));
		for (unsigned i = 0; i < 3; i++) {
			struct riser_virtq_avail *avail = queues[i]->driver;
			struct desc d[SIZE];

			for (unsigned k = 0; k < SIZE; k++)
				d[k] = (struct desc){ any() % 9 ? data.iova + any() % 65536 : any(),
						      (uint32_t)(any() % 7 ? any() % 512 : any()),
						      (unsigned)any() & (any() & 3 ? 3 : 0xff7f),
						      (unsigned)any() % (SIZE + 1) };
			if (wanted & BIT(F_RING_PACKED))
				write_packed(queues[i]->desc, d, SIZE);
			else
				write_split(queues[i]->desc, d, SIZE);
			for (unsigned k = 0; k < SIZE; k++)
				avail->ring[k] = to_le16((uint16_t)(any() % (SIZE + 1)));
			if (!(wanted & BIT(F_RING_PACKED)))
				avail->idx = to_le16((uint16_t)(any() % (SIZE + 2)));
		}
		for (unsigned i = 0; i < 65536 / 8; i += 2)
			((uint64_t *)data.va)[i] = any();
		put(COMMON(device_status), 1, 15);
		for (unsigned i = 0; i < 3; i++)
			kick(queues[i]);
		pump();
		pump();
	}
	CHECK(counted().violations > 1000);
	SUB(start_card(0));
	close_card();
}

TEST_MAIN(CASE(split_rings_that_lie), CASE(packed_rings_that_lie), CASE(rings_that_lie_nowhere),
	  CASE(packets_that_are_none), CASE(noise_is_survived))
