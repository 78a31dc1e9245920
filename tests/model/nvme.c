/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The driver against whatever RISER_TEST_URI names: riser's model by default, on virtual time;
 * QEMU's device by "qtest:spawn?device=nvme"; hardware by tests/hardware/run. One binary for all.
 *
 * With RISER_TEST_READONLY the controller is opened guarded, by every case: nothing that changes
 * the device gets past the library, and what wants that is skipped.
 */
#include "nvme_rig.h"

static const char *test_uri(void)
{
	const char *uri = getenv("RISER_TEST_URI");

	return uri ? uri : "model:nvme?size=64M";
}

static bool on_model(void)
{
	return !strncmp(test_uri(), "model:", 6);
}

static bool read_only(void)
{
	return getenv("RISER_TEST_READONLY");
}

/* For cases that write, or that would if what they test were broken. */
#define WRITES()                                                                                   \
	do {                                                                                       \
		if (read_only())                                                                   \
			SKIP("nothing may be written to this device");                             \
	} while (0)

static void begin_with(uint32_t flags, uint32_t qpair_flags)
{
	struct riser_nvme_opts nopts = { .size = sizeof(nopts), .flags = read_only() ? 0 : flags };
	struct riser_nvme_qpair_opts qopts = { .size = sizeof(qopts), .flags = qpair_flags };

	SUB(open_context(on_model() ? RISER_VIRTUAL_TIME : 0));
	SUB(open_controller(test_uri(), &nopts, &qopts));
}

static void begin(void)
{
	begin_with(RISER_NVME_RDWR, 0);
}

static void finish(void)
{
	struct riser_nvme_info info;

	riser_nvme_get_info(c, &info);
	printf("# retries %llu, aborts %llu, timeouts %llu\n", (unsigned long long)info.retries,
	       (unsigned long long)info.aborts, (unsigned long long)info.timeouts);
	close_all();
	CHECK_EQ(info.retries, 0);
	CHECK_EQ(info.stray, 0);
}

/* Wait for one; negative when the submission failed. */
static int64_t wait_io(struct io *io, int rc)
{
	if (rc)
		return rc;
	while (!io->dones)
		riser_exec_wait(x, UINT64_MAX);
	io->dones = 0;
	return io->status;
}

TEST(identify)
{
	const struct riser_nvme_id_ctrl *id;
	struct riser_nvme_id_ctrl again;

	SUB(begin());
	id = riser_nvme_id(c);
	CHECK_EQ(riser_nvme_identify(c, x, RISER_NVME_CNS_CTRL, 0, 0, 0, &again), 0);
	CHECK_EQ(memcmp(id, &again, sizeof(again)), 0);
	CHECK(id->sqes == 0x66 && id->cqes == 0x44);
	CHECK(nsi.blocks > 0 && nsi.block_size >= 512);
	printf("# %.20s %.40s, %llu blocks of %u\n", id->sn, id->mn, (unsigned long long)nsi.blocks,
	       nsi.block_size);
	SUB(finish());
}

/* Every length and offset that takes another way through the PRPs. */
static const struct {
	size_t off, len;
} shapes[] = { { 0, 4096 },      { 512, 4096 }, { 4, 4096 },     { 0, 8192 },
	       { 4092, 8192 },   { 0, 12288 },  { 2048, 65536 }, { 0, 131072 },
	       { 1024, 131072 }, { 0, 262144 }, { 0, 524288 } };

TEST(write_and_read_back)
{
	struct io io = { .req.done = io_done };
	uint8_t *wr, *rd;

	SUB(WRITES());
	SUB(begin());
	CHECK_EQ(riser_nvme_buf_alloc(c, 1 << 20, (void **)&wr, &err), 0);
	CHECK_EQ(riser_nvme_buf_alloc(c, 1 << 20, (void **)&rd, &err), 0);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		size_t off = shapes[i].off, len = shapes[i].len;
		uint32_t n = (uint32_t)(len / nsi.block_size);

		if (n > nsi.max_blocks)
			continue;
		fill(wr + off, len, (uint32_t)i);
		memset(rd, 0xee, 1 << 20);
		CHECK_EQ(wait_io(&io, riser_nvme_write(q, ns, &io.req, wr + off, 64 * i, n)), 0);
		CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, rd + off, 64 * i, n)), 0);
		CHECK_EQ(memcmp(wr + off, rd + off, len), 0);
		CHECK(rd[off + len] == 0xee);
		CHECK(off == 0 || rd[off - 1] == 0xee);
	}
	riser_nvme_buf_free(c, rd, 1 << 20);
	riser_nvme_buf_free(c, wr, 1 << 20);
	SUB(finish());
}

/* What is there reads the same, block by block and in every other way. */
TEST(reads_agree)
{
	struct io io = { .req.done = io_done };
	uint8_t *one, *rd;

	SUB(begin());
	CHECK_EQ(riser_nvme_buf_alloc(c, 1 << 20, (void **)&one, &err), 0);
	CHECK_EQ(riser_nvme_buf_alloc(c, 1 << 20, (void **)&rd, &err), 0);
	for (uint64_t b = 0; b < (512 << 10) / nsi.block_size; b++)
		CHECK_EQ(wait_io(&io,
				 riser_nvme_read(q, ns, &io.req, one + b * nsi.block_size, b, 1)),
			 0);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		size_t off = shapes[i].off, len = shapes[i].len;
		uint32_t n = (uint32_t)(len / nsi.block_size);

		if (n > nsi.max_blocks)
			continue;
		memset(rd, 0xee, 1 << 20);
		CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, rd + off, 0, n)), 0);
		CHECK_EQ(memcmp(one, rd + off, len), 0);
		CHECK(rd[off + len] == 0xee);
		CHECK(off == 0 || rd[off - 1] == 0xee);
	}
	riser_nvme_buf_free(c, rd, 1 << 20);
	riser_nvme_buf_free(c, one, 1 << 20);
	SUB(finish());
}

#define DEPTH  48
#define ROUNDS 20

struct slot {
	struct riser_nvme_req req;
	uint8_t *buf;
	uint64_t lba;
	unsigned *left, *bad;
	bool writing;
};

/* What the first ROUNDS * DEPTH pieces of IO_BYTES hold. */
static uint8_t expected[ROUNDS * DEPTH * IO_BYTES];

static void slot_done(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct slot *s = (struct slot *)req;

	*s->bad += status != 0;
	if (!s->writing)
		*s->bad += memcmp(expected + s->lba * nsi.block_size, s->buf, IO_BYTES) != 0;
	--*s->left;
}

static void storm(bool writing, struct slot *slots)
{
	uint32_t n = IO_BYTES / nsi.block_size;
	unsigned left = 0, bad = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < DEPTH; i++) {
			struct slot *s = &slots[i];
			int rc;

			s->lba = (uint64_t)(round * DEPTH + i) * n;
			s->left = &left;
			s->bad = &bad;
			s->writing = writing;
			s->req.done = slot_done;
			if (writing)
				memcpy(s->buf, expected + s->lba * nsi.block_size, IO_BYTES);
			rc = writing ? riser_nvme_write(q, ns, &s->req, s->buf, s->lba, n)
				     : riser_nvme_read(q, ns, &s->req, s->buf, s->lba, n);
			CHECK_EQ(rc, 0);
			left++;
		}
		while (left)
			riser_exec_wait(x, UINT64_MAX);
	}
	CHECK_EQ(bad, 0);
}

/* Take what is there for what should be there. */
static void expect_what_is_there(uint8_t *buf, size_t len)
{
	struct io io = { .req.done = io_done };
	uint64_t blocks = sizeof(expected) / nsi.block_size, n;

	for (uint64_t b = 0; b < blocks; b += n) {
		n = len / nsi.block_size;
		n = n > nsi.max_blocks ? nsi.max_blocks : n;
		n = n > blocks - b ? blocks - b : n;
		CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, buf, b, (uint32_t)n)), 0);
		memcpy(expected + b * nsi.block_size, buf, n * nsi.block_size);
	}
}

static void deep(uint32_t qpair_flags)
{
	struct riser_nvme_qpair_info info;
	struct slot slots[DEPTH];
	uint8_t *mem;

	SUB(begin_with(RISER_NVME_RDWR, qpair_flags));
	riser_nvme_qpair_get_info(q, &info);
	CHECK_EQ(info.vector >= 0, qpair_flags == RISER_NVME_QPAIR_IRQ);
	CHECK_EQ(riser_nvme_buf_alloc(c, DEPTH * IO_BYTES, (void **)&mem, &err), 0);
	for (unsigned i = 0; i < DEPTH; i++)
		slots[i].buf = mem + i * IO_BYTES;
	if (read_only()) {
		SUB(expect_what_is_there(mem, DEPTH * IO_BYTES));
	} else {
		fill(expected, sizeof(expected), qpair_flags);
		SUB(storm(true, slots));
	}
	SUB(storm(false, slots));
	riser_nvme_qpair_get_info(q, &info);
	CHECK_EQ(info.free, info.entries - 1);
	CHECK_EQ(info.inflight, 0);
	CHECK(info.doorbells < info.completed * 2); /* rung once a poll, not once a command */
	riser_nvme_buf_free(c, mem, DEPTH * IO_BYTES);
	SUB(finish());
}

TEST(many_in_flight)
{
	deep(0);
}

TEST(many_in_flight_by_interrupt)
{
	deep(RISER_NVME_QPAIR_IRQ);
}

TEST(other_commands)
{
	struct io io = { .req.done = io_done };
	struct riser_nvme_dsm_range range = { .nlb = riser_le32_of(8), .slba = riser_le64_of(16) };
	struct iovec iov;
	uint32_t n;
	uint8_t *buf;

	SUB(WRITES());
	SUB(begin());
	n = 32768 / nsi.block_size;
	CHECK_EQ(riser_nvme_buf_alloc(c, 32768, (void **)&buf, &err), 0);
	fill(buf, 32768, 1);
	CHECK_EQ(wait_io(&io, riser_nvme_write(q, ns, &io.req, buf, 0, n)), 0);
	CHECK_EQ(wait_io(&io, riser_nvme_flush(q, ns, &io.req)), 0);
	iov = (struct iovec){ buf, 32768 };
	CHECK_EQ(wait_io(&io,
			 riser_nvme_rwv(q, ns, &io.req, RISER_NVME_IO_COMPARE, &iov, 1, 0, 0, n)),
		 0);
	buf[100] ^= 1;
	CHECK_EQ(wait_io(&io,
			 riser_nvme_rwv(q, ns, &io.req, RISER_NVME_IO_COMPARE, &iov, 1, 0, 0, n)) &
			 RISER_NVME_ST_MASK,
		 RISER_NVME_ST_COMPARE_FAILED);
	CHECK_EQ(wait_io(&io, riser_nvme_write_zeroes(q, ns, &io.req, 2, 4, false)), 0);
	CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, buf, 2, 4)), 0);
	for (size_t i = 0; i < 4 * nsi.block_size; i++)
		CHECK_EQ(buf[i], 0);
	CHECK_EQ(wait_io(&io, riser_nvme_deallocate(q, ns, &io.req, &range, 1)), 0);
	riser_nvme_buf_free(c, buf, 32768);
	SUB(finish());
}

/* Known data in the first 4096 bytes and in @buf: @seed's, or what is there. */
static void known_data(uint8_t *buf, uint32_t seed)
{
	struct io io = { .req.done = io_done };

	fill(buf, 4096, seed);
	CHECK_EQ(wait_io(&io, read_only() ? riser_nvme_read(q, ns, &io.req, buf, 0, io_blocks())
					  : riser_nvme_write(q, ns, &io.req, buf, 0, io_blocks())),
		 0);
}

/* A raw command leaves odd dwords in its slot: the commands behind it must not see them. */
TEST(raw_commands_leave_no_trace)
{
	struct io io = { .req.done = io_done };
	struct riser_nvme_qpair_info info;
	struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_IO_READ };
	uint8_t *buf;

	SUB(begin());
	riser_nvme_qpair_get_info(q, &info);
	CHECK_EQ(riser_nvme_buf_alloc(c, 8192, (void **)&buf, &err), 0);
	SUB(known_data(buf, 7));
	sqe.nsid = riser_le32_of(nsi.nsid);
	sqe.cdw12 = riser_le32_of(4096 / nsi.block_size - 1);
	sqe.cdw13 = riser_le32_of(0x1); /* a dataset management hint */
	CHECK_EQ(wait_io(&io, riser_nvme_io(q, &io.req, &sqe, buf + 4096, 4096)), 0);
	CHECK_EQ(memcmp(buf, buf + 4096, 4096), 0);
	CHECK_EQ(riser_nvme_io(q, &io.req, &sqe, NULL, 0), -EINVAL); /* data, but no buffer */
	for (unsigned i = 0; i < 2 * info.entries; i++) {
		memset(buf + 4096, 0, 4096);
		CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, buf + 4096, 0,
						      4096 / nsi.block_size)),
			 0);
		CHECK_EQ(memcmp(buf, buf + 4096, 4096), 0);
	}
	riser_nvme_buf_free(c, buf, 8192);
	SUB(finish());
}

TEST(guarded_opening_refuses_changes)
{
	struct io io = { .req.done = io_done };
	struct riser_nvme_admin format = { .sqe.opcode = RISER_NVME_ADM_FORMAT };
	struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_IO_WRITE_UNCOR };
	uint8_t *buf;

	SUB(WRITES());
	SUB(begin_with(0, 0));
	CHECK_EQ(riser_nvme_buf_alloc(c, 4096, (void **)&buf, &err), 0);
	CHECK_EQ(riser_nvme_write(q, ns, &io.req, buf, 0, 1), -EPERM);
	CHECK_EQ(riser_nvme_write_zeroes(q, ns, &io.req, 0, 1, false), -EPERM);
	CHECK_EQ(riser_nvme_io(q, &io.req, &sqe, NULL, 0), -EPERM);
	CHECK_EQ(riser_nvme_admin(c, x, &format), RISER_NVME_HOST_GUARDED);
	CHECK_EQ(riser_nvme_set_feature(c, x, RISER_NVME_FEAT_ARBITRATION, false, 0, 0),
		 RISER_NVME_HOST_GUARDED);
	CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, buf, 0, 1)), 0);
	CHECK_EQ(wait_io(&io, riser_nvme_flush(q, ns, &io.req)), 0);
	riser_nvme_buf_free(c, buf, 4096);
	SUB(finish());
}

/* As a reader opens it, even one that asked for writing. */
TEST(a_list_can_be_all_that_is_allowed)
{
	static const uint8_t identify[32] = { [0] = 1u << RISER_NVME_ADM_IDENTIFY };
	static const uint8_t read[32] = { [0] = 1u << RISER_NVME_IO_READ };
	struct riser_nvme_opts nopts = {
		.size = sizeof(nopts),
		.flags = RISER_NVME_LISTED | RISER_NVME_RDWR,
		.admin_allow = identify,
		.io_allow = read,
	};
	struct io io = { .req.done = io_done };
	struct riser_nvme_sqe sqe = { .opcode = RISER_NVME_IO_FLUSH };
	struct riser_nvme_id_ctrl id;
	struct riser_nvme_fw_slot fw;
	uint32_t value;
	uint8_t *buf;

	SUB(WRITES());
	SUB(open_context(on_model() ? RISER_VIRTUAL_TIME : 0));
	SUB(open_controller(test_uri(), &nopts, NULL));
	CHECK_EQ(riser_nvme_buf_alloc(c, 4096, (void **)&buf, &err), 0);
	CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, buf, 0, 1)), 0);
	CHECK_EQ(riser_nvme_identify(c, x, RISER_NVME_CNS_CTRL, 0, 0, 0, &id), 0);
	CHECK_EQ(riser_nvme_write(q, ns, &io.req, buf, 0, 1), -EPERM);
	CHECK_EQ(riser_nvme_flush(q, ns, &io.req), -EPERM);
	sqe.nsid = riser_le32_of(nsi.nsid);
	CHECK_EQ(riser_nvme_io(q, &io.req, &sqe, NULL, 0), -EPERM);
	CHECK_EQ(riser_nvme_get_log(c, x, RISER_NVME_LOG_FW_SLOT, 0, 0, &fw, sizeof(fw)),
		 RISER_NVME_HOST_GUARDED);
	CHECK_EQ(riser_nvme_get_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, 0, 0, &value),
		 RISER_NVME_HOST_GUARDED);
	riser_nvme_buf_free(c, buf, 4096);
	SUB(finish());
}

TEST(bad_arguments_never_reach_the_device)
{
	static uint8_t unmapped[8192] __attribute__((aligned(4096)));
	static const struct riser_nvme_dsm_range ranges[257];
	int refused = read_only() ? -EPERM : -EINVAL;
	struct io io = { .req.done = io_done };
	uint8_t *buf;

	SUB(begin());
	CHECK_EQ(riser_nvme_buf_alloc(c, 4096, (void **)&buf, &err), 0);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, nsi.blocks, 1), -EINVAL);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, nsi.blocks - 1, 2), -EINVAL);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, UINT64_MAX, 1), -EINVAL);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, 0, 0), -EINVAL);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, 0, nsi.max_blocks + 1), -EINVAL);
	/* A count that is nothing but flags in its upper bits. */
	for (uint32_t bit = 1u << 17; bit < RISER_NVME_FUA; bit <<= 1)
		CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, 0, bit | 1), -EINVAL);
	CHECK_EQ(riser_nvme_write_zeroes(q, ns, &io.req, 0, 1u << 25 | 1, false), refused);
	CHECK_EQ(riser_nvme_write_zeroes(q, ns, &io.req, 0, nsi.max_zeroes + 1, false), refused);
	CHECK_EQ(riser_nvme_deallocate(q, ns, &io.req, ranges, 0), refused);
	CHECK_EQ(riser_nvme_deallocate(q, ns, &io.req, ranges, nsi.max_ranges + 1), refused);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf + 2, 0, 1), -EINVAL);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, unmapped, 0, 1), -EFAULT);
	CHECK_EQ(riser_nvme_ns_set_window(ns, 8, 8), 0);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, 7, 1), -EINVAL);
	CHECK_EQ(riser_nvme_read(q, ns, &io.req, buf, 16, 1), -EINVAL);
	CHECK_EQ(wait_io(&io, riser_nvme_read(q, ns, &io.req, buf, 15, 1)), 0);
	riser_nvme_buf_free(c, buf, 4096);
	SUB(finish());
}

static void set_threshold(uint32_t kelvin)
{
	uint32_t value;

	CHECK_EQ(riser_nvme_set_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, false, 0, kelvin), 0);
	CHECK_EQ(riser_nvme_get_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, 0, 0, &value), 0);
	CHECK_EQ(value & 0xffff, kelvin);
}

TEST(features_and_logs)
{
	struct riser_nvme_smart smart;
	struct riser_nvme_fw_slot fw;
	uint32_t value;

	SUB(begin());
	CHECK_EQ(riser_nvme_get_feature(c, x, RISER_NVME_FEAT_TEMP_THRESHOLD, 0, 0, &value), 0);
	if (!read_only()) {
		SUB(set_threshold(350));
		SUB(set_threshold(value & 0xffff)); /* as it was */
	}
	/* Eight bytes come with this one, wanted or not. */
	CHECK_EQ(riser_nvme_get_feature(c, x, RISER_NVME_FEAT_TIMESTAMP, 0, 0, &value), 0);
	CHECK_EQ(riser_nvme_get_log(c, x, RISER_NVME_LOG_SMART, RISER_NVME_NSID_ALL, 0, &smart,
				    sizeof(smart)),
		 0);
	CHECK(smart.temperature[0] || smart.temperature[1]);
	CHECK_EQ(riser_nvme_get_log(c, x, RISER_NVME_LOG_FW_SLOT, 0, 0, &fw, sizeof(fw)), 0);
	CHECK_EQ(riser_nvme_set_feature(c, x, RISER_NVME_FEAT_QUEUES, false, 0, 0),
		 read_only() ? RISER_NVME_HOST_GUARDED : RISER_NVME_HOST_INVALID);
	SUB(finish());
}

TEST(reset_and_go_on)
{
	struct io io = { .req.done = io_done };
	uint8_t *buf;

	SUB(begin());
	CHECK_EQ(riser_nvme_buf_alloc(c, 8192, (void **)&buf, &err), 0);
	SUB(known_data(buf, 3));
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(riser_nvme_reset(c, x, &err), 0);
		memset(buf + 4096, 0, 4096);
		/* The owner learns of it at its next poll. */
		riser_exec_wait(x, UINT64_MAX);
		for (;;) {
			int rc = riser_nvme_read(q, ns, &io.req, buf + 4096, 0,
						 4096 / nsi.block_size);

			if (rc != -EAGAIN) {
				CHECK_EQ(wait_io(&io, rc), 0);
				break;
			}
			riser_exec_wait(x, UINT64_MAX);
		}
		CHECK_EQ(memcmp(buf, buf + 4096, 4096), 0);
	}
	riser_nvme_buf_free(c, buf, 8192);
	SUB(finish());
}

TEST(controllers_are_shared)
{
	struct riser_nvme *second;
	struct riser_nvme_info a, b;

	SUB(begin());
	CHECK_EQ(riser_nvme_open(r, test_uri(), NULL, &second, &err), 0);
	riser_nvme_get_info(c, &a);
	riser_nvme_get_info(second, &b);
	CHECK_EQ(a.qpairs, b.qpairs);
	CHECK(a.uri == b.uri);
	CHECK_EQ(riser_nvme_id(c) == riser_nvme_id(second), 1);
	riser_nvme_close(second);
	SUB(finish());
}

TEST_MAIN(CASE(identify), CASE(write_and_read_back), CASE(reads_agree), CASE(many_in_flight),
	  CASE(many_in_flight_by_interrupt), CASE(other_commands),
	  CASE(raw_commands_leave_no_trace), CASE(guarded_opening_refuses_changes),
	  CASE(a_list_can_be_all_that_is_allowed), CASE(bad_arguments_never_reach_the_device),
	  CASE(features_and_logs), CASE(reset_and_go_on), CASE(controllers_are_shared))
