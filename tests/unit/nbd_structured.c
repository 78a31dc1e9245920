/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* NBD by hand: structured replies, holes, and the commands that came with them. */
#include "blk/blk.h"
#include "nbd_client.h"

#define HOLE (NBD_STATE_HOLE | NBD_STATE_ZERO)

static struct bench t;
static uint8_t out[4 * MiB], in[4 * MiB];
static struct option_reply reply;
static struct shape shape;

/* On memory, whose holes are known to the page. */
static void start(void)
{
	SUB(bench_context(&t, "mem:64M"));
	memset(out, 0, sizeof(out)); /* as the device is */
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .name = "disk" }), 0);
}

static bool all_zero(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i])
			return false;
	return true;
}

static struct command command(uint16_t type, uint16_t flags, uint64_t offset, uint32_t len)
{
	return (struct command){ type, flags, 0, offset, len };
}

static void write_at(int fd, uint64_t offset, uint32_t len)
{
	fill(out + offset, len, (uint32_t)offset);
	CHECK(run_structured(&t, fd, command(NBD_CMD_WRITE, 0, offset, len), out + offset, &shape));
	CHECK_EQ(shape.none, 1);
	CHECK_EQ(shape.errors, 0);
}

TEST(structured_replies_are_negotiated)
{
	struct nbd_info_export export;
	int fd;

	SUB(start());
	fd = negotiate(&t);
	CHECK(put_option(&t, fd, NBD_OPT_STRUCTURED_REPLY, "x", 1));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_STRUCTURED_REPLY, &reply), NBD_REP_ERR_INVALID);
	CHECK(put_info(&t, fd, NBD_OPT_INFO, ""));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_INFO, &reply), NBD_REP_INFO);
	memcpy(&export, reply.data, sizeof(export));
	CHECK(!(be16(export.flags) & NBD_FLAG_SEND_DF));
	while (get_reply(&t, fd, NBD_OPT_INFO, &reply) == NBD_REP_INFO)
		;
	CHECK(put_option(&t, fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_STRUCTURED_REPLY, &reply), NBD_REP_ACK);
	CHECK_EQ(reply.len, 0);
	CHECK(put_info(&t, fd, NBD_OPT_GO, ""));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_INFO);
	memcpy(&export, reply.data, sizeof(export));
	CHECK(be16(export.flags) & NBD_FLAG_SEND_DF);
	close(fd);
	bench_end(&t);
}

/* Return: how many contexts were told before the ACK; -1 when something else came. */
static int contexts(int fd, uint32_t option, const char *name, const char *one, const char *two)
{
	uint32_t type;
	int n = 0;

	if (!put_meta(&t, fd, option, name, one, two))
		return -1;
	while ((type = get_reply(&t, fd, option, &reply)) == NBD_REP_META_CONTEXT) {
		if (reply.len != 4 + strlen(NBD_BASE_ALLOCATION) ||
		    memcmp(reply.data + 4, NBD_BASE_ALLOCATION, reply.len - 4))
			return -1;
		n++;
	}
	return type == NBD_REP_ACK ? n : -1;
}

static int structured(void)
{
	int fd = negotiate(&t);

	put_option(&t, fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	get_reply(&t, fd, NBD_OPT_STRUCTURED_REPLY, &reply);
	return fd;
}

TEST(metadata_contexts_are_listed_and_set)
{
	enum { LIST = NBD_OPT_LIST_META_CONTEXT, SET = NBD_OPT_SET_META_CONTEXT };
	int fd;

	SUB(start());
	fd = negotiate(&t);
	CHECK(put_meta(&t, fd, SET, "", NBD_BASE_ALLOCATION, NULL));
	CHECK_EQ(get_reply(&t, fd, SET, &reply), NBD_REP_ERR_INVALID);
	close(fd);
	fd = structured();
	CHECK_EQ(contexts(fd, LIST, "", NULL, NULL), 1);
	CHECK_EQ(contexts(fd, LIST, "disk", "base:", NULL), 1);
	CHECK_EQ(contexts(fd, LIST, "disk", "qemu:", NBD_BASE_ALLOCATION), 1);
	CHECK_EQ(contexts(fd, LIST, "disk", "base:allocatio", "base"), 0);
	CHECK_EQ(contexts(fd, SET, "disk", NULL, NULL), 0);
	CHECK_EQ(contexts(fd, SET, "disk", "base:", "x-foo:bar"), 0);
	CHECK_EQ(contexts(fd, SET, "disk", "qemu:dirty-bitmap:x", NBD_BASE_ALLOCATION), 1);
	CHECK_EQ(contexts(fd, SET, "disk", NBD_BASE_ALLOCATION, NBD_BASE_ALLOCATION), 1);
	CHECK(put_meta(&t, fd, SET, "dusk", NBD_BASE_ALLOCATION, NULL));
	CHECK_EQ(get_reply(&t, fd, SET, &reply), NBD_REP_ERR_UNKNOWN);
	/* That failed, and so nothing is selected any more. */
	CHECK(put_info(&t, fd, NBD_OPT_GO, "disk"));
	while (get_reply(&t, fd, NBD_OPT_GO, &reply) == NBD_REP_INFO)
		;
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, 0, 512), NULL, &shape));
	CHECK_EQ(shape.error, NBD_EINVAL);
	close(fd);
	bench_end(&t);
}

TEST(metadata_lengths_that_do_not_add_up)
{
	static const struct {
		uint32_t len;
		uint8_t data[24];
	} wrong[] = {
		{ 0, { 0 } },
		{ 3, { 0 } },
		{ 4, { 0 } }, /* no count */
		{ 8, { 0, 0, 0, 1 } },
		{ 8, { 0xff, 0xff, 0xff, 0xff } },
		{ 8, { 0, 0, 0, 0, 0, 0, 0, 1 } }, /* one query, but none is there */
		{ 8, { 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff } },
		{ 12, { 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1 } },
		{ 12, { 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfc } },
		{ 9, { 0 } }, /* a byte too many */
		{ 13, { 0, 0, 0, 0, 0, 0, 0, 1 } },
	};
	int fd;

	SUB(start());
	fd = structured();
	for (size_t i = 0; i < array_len(wrong); i++) {
		CHECK(put_option(&t, fd, NBD_OPT_SET_META_CONTEXT, wrong[i].data, wrong[i].len));
		CHECK_EQ(get_reply(&t, fd, NBD_OPT_SET_META_CONTEXT, &reply), NBD_REP_ERR_INVALID);
	}
	CHECK_EQ(contexts(fd, NBD_OPT_SET_META_CONTEXT, "", NBD_BASE_ALLOCATION, NULL), 1);
	close(fd);
	bench_end(&t);
}

TEST(a_read_is_one_chunk_and_the_rest_is_none)
{
	int fd;

	SUB(start());
	fd = attach_structured(&t, false);
	SUB(write_at(fd, 0, 1 * MiB));
	for (uint32_t len = 512; len <= 1 * MiB; len *= 2) {
		memset(in, 0xee, len);
		CHECK(run_structured(&t, fd, command(NBD_CMD_READ, 0, 0, len), in, &shape));
		CHECK_EQ(shape.datas, 1);
		CHECK_EQ(shape.holes + shape.none + shape.errors, 0);
		CHECK_EQ(shape.covered, len);
		CHECK(!memcmp(in, out, len));
	}
	CHECK(run_structured(&t, fd, command(NBD_CMD_FLUSH, 0, 0, 0), NULL, &shape));
	CHECK_EQ(shape.none, 1);
	CHECK(run_structured(&t, fd, command(NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 0, 512), NULL,
			     &shape));
	CHECK_EQ(shape.none, 1);
	CHECK_EQ(shape.errors, 0);
	close(fd);
	bench_end(&t);
}

TEST(errors_come_with_a_sentence)
{
	static const struct {
		struct command m;
		uint32_t error;
		const char *text;
	} wrong[] = {
		{ { NBD_CMD_READ, 0, 0, DISK_SIZE, 512 }, NBD_EINVAL, "beyond" },
		{ { NBD_CMD_READ, 0, 0, 1, 512 }, NBD_EINVAL, "aligned" },
		{ { NBD_CMD_READ, 0, 0, 0, 0 }, NBD_EINVAL, "length is 0" },
		{ { NBD_CMD_READ, NBD_CMD_FLAG_REQ_ONE, 0, 0, 512 }, NBD_EINVAL, "flag" },
		{ { NBD_CMD_READ, 0, 0, 0, NBD_REQUEST_MAX + 512 }, NBD_EINVAL, "longer" },
		{ { NBD_CMD_WRITE, 0, 0, DISK_SIZE - 512, 1024 }, NBD_ENOSPC, "beyond" },
		{ { NBD_CMD_WRITE, NBD_CMD_FLAG_DF, 0, 0, 512 }, NBD_EINVAL, "flag" },
		{ { NBD_CMD_BLOCK_STATUS, 0, 0, 0, 512 }, NBD_EINVAL, "negotiated" },
		{ { NBD_CMD_CACHE, 0, 0, DISK_SIZE - 512, 1024 }, NBD_EINVAL, "beyond" },
		{ { 8, 0, 0, 0, 512 }, NBD_EINVAL, "unknown" },
		{ { NBD_CMD_FLUSH, 0, 0, 0, 512 }, NBD_EINVAL, "range" },
	};
	int fd;

	SUB(start());
	fd = attach_structured(&t, false);
	for (size_t i = 0; i < array_len(wrong); i++) {
		CHECK(run_structured(&t, fd, wrong[i].m, out, &shape));
		CHECK_EQ(shape.errors, 1);
		CHECK_EQ(shape.error, wrong[i].error);
		CHECK_EQ(shape.failed_at, UINT64_MAX);
		CHECK_HAS(shape.text, wrong[i].text);
	}
	CHECK_EQ(stats_of(&t).errors, array_len(wrong));
	close(fd);
	bench_end(&t);
}

TEST(holes_are_sent_as_such)
{
	int fd;

	SUB(start());
	fd = attach_structured(&t, false);
	SUB(write_at(fd, 128 * KiB, 64 * KiB));
	SUB(write_at(fd, 512 * KiB, 300 * KiB));
	memset(in, 0xee, 4 * MiB);
	CHECK(run_structured(&t, fd, command(NBD_CMD_READ, 0, 0, 4 * MiB), in, &shape));
	CHECK_EQ(shape.datas, 2);
	CHECK_EQ(shape.holes, 3);
	CHECK_EQ(shape.covered, 4 * MiB);
	CHECK(!memcmp(in, out, 4 * MiB));
	/* From the middle of a page to the middle of another. */
	memset(in, 0xee, 4 * MiB);
	CHECK(run_structured(&t, fd, command(NBD_CMD_READ, 0, 600 * KiB + 512, 1 * MiB), in,
			     &shape));
	CHECK_EQ(shape.datas, 1);
	CHECK_EQ(shape.holes, 1);
	CHECK(!memcmp(in, out + 600 * KiB + 512, 1 * MiB));
	CHECK(run_structured(&t, fd, command(NBD_CMD_READ, 0, 2 * MiB, 1 * MiB), in, &shape));
	CHECK_EQ(shape.datas, 0);
	CHECK_EQ(shape.holes, 1);
	CHECK(all_zero(in, 1 * MiB));
	/* Whoever does not want fragments gets the zeroes. */
	memset(in, 0xee, 4 * MiB);
	CHECK(run_structured(&t, fd, command(NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 4 * MiB), in,
			     &shape));
	CHECK_EQ(shape.datas, 1);
	CHECK_EQ(shape.holes, 0);
	CHECK(!memcmp(in, out, 4 * MiB));
	close(fd);
	bench_end(&t);
}

/* A page of data, a page of hole, and so on. */
static void write_comb(int fd, unsigned teeth)
{
	for (unsigned i = 0; i < teeth; i++)
		SUB(write_at(fd, i * 8192, 4096));
}

TEST(more_runs_than_an_answer_holds)
{
	int fd;

	SUB(start());
	fd = attach_structured(&t, true);
	SUB(write_comb(fd, 64));
	memset(in, 0xee, 1 * MiB);
	CHECK(run_structured(&t, fd, command(NBD_CMD_READ, 0, 0, 1 * MiB), in, &shape));
	CHECK(shape.holes >= 4);
	CHECK(shape.holes + shape.datas <= 16);
	CHECK_EQ(shape.covered, 1 * MiB);
	CHECK(!memcmp(in, out, 1 * MiB));
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, 0, 1 * MiB), NULL, &shape));
	CHECK_EQ(shape.ndescriptors, 16);
	for (unsigned i = 0; i < 16; i++) {
		CHECK_EQ(be32(shape.descriptors[i].len), 4096);
		CHECK_EQ(be32(shape.descriptors[i].state), i % 2 ? HOLE : 0);
	}
	close(fd);
	bench_end(&t);
}

static void expect_run(unsigned i, uint32_t len, uint32_t state)
{
	CHECK(i < shape.ndescriptors);
	CHECK_EQ(be32(shape.descriptors[i].len), len);
	CHECK_EQ(be32(shape.descriptors[i].state), state);
}

TEST(block_status_tells_the_runs)
{
	struct command all = command(NBD_CMD_BLOCK_STATUS, 0, 0, DISK_SIZE);
	int fd;

	SUB(start());
	fd = attach_structured(&t, true);
	SUB(write_at(fd, 64 * KiB, 8 * KiB));
	CHECK(run_structured(&t, fd, all, NULL, &shape));
	CHECK_EQ(shape.ndescriptors, 3);
	CHECK(shape.context != 0);
	SUB(expect_run(0, 64 * KiB, HOLE));
	SUB(expect_run(1, 8 * KiB, 0));
	SUB(expect_run(2, DISK_SIZE - 72 * KiB, HOLE));
	all.flags = NBD_CMD_FLAG_REQ_ONE;
	CHECK(run_structured(&t, fd, all, NULL, &shape));
	CHECK_EQ(shape.ndescriptors, 1);
	SUB(expect_run(0, 64 * KiB, HOLE));
	/* Not beyond what was asked about. */
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, 512, 512), NULL, &shape));
	CHECK_EQ(shape.ndescriptors, 1);
	SUB(expect_run(0, 512, HOLE));
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, 0, 100), NULL, &shape));
	CHECK_EQ(shape.error, NBD_EINVAL);
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, DISK_SIZE, 512), NULL,
			     &shape));
	CHECK_EQ(shape.error, NBD_EINVAL);
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, 0, 0), NULL, &shape));
	CHECK_EQ(shape.error, NBD_EINVAL);
	close(fd);
	bench_end(&t);
}

TEST(a_device_that_knows_no_holes_is_data)
{
	struct shape s;
	int fd;

	SUB(bench_context(&t, "null:64M"));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	fd = attach_structured(&t, true);
	CHECK(run_structured(&t, fd, command(NBD_CMD_BLOCK_STATUS, 0, 0, DISK_SIZE), NULL, &s));
	CHECK_EQ(s.ndescriptors, 1);
	CHECK_EQ(be32(s.descriptors[0].len), DISK_SIZE);
	CHECK_EQ(be32(s.descriptors[0].state), 0);
	CHECK(run_structured(&t, fd, command(NBD_CMD_READ, 0, 0, 1 * MiB), in, &s));
	CHECK_EQ(s.datas, 1);
	CHECK_EQ(s.holes, 0);
	close(fd);
	bench_end(&t);
}

TEST(fast_zeroes_are_fast_or_refused)
{
	struct command zero = command(NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 0, 64 * KiB);
	int fd;

	SUB(start());
	fd = attach(&t);
	fill(out, 64 * KiB, 1);
	CHECK_EQ(run_write(&t, fd, 0, 64 * KiB, out), 0);
	CHECK_EQ(run(&t, fd, zero, NULL), 0);
	CHECK_EQ(run_read(&t, fd, 0, 64 * KiB, in), 0);
	CHECK(all_zero(in, 64 * KiB));
	bench_end(&t);
	close(fd);
	/* On a device that would write them. */
	SUB(bench_context(&t, "mem:64M"));
	t.b->write_zeroes = false;
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	fd = attach(&t);
	CHECK_EQ(run_write(&t, fd, 0, 64 * KiB, out), 0);
	CHECK_EQ(run(&t, fd, zero, NULL), NBD_ENOTSUP);
	CHECK_EQ(run_read(&t, fd, 0, 64 * KiB, in), 0);
	CHECK(!memcmp(in, out, 64 * KiB));
	zero.flags = 0;
	CHECK_EQ(run(&t, fd, zero, NULL), 0);
	CHECK_EQ(run_read(&t, fd, 0, 64 * KiB, in), 0);
	CHECK(all_zero(in, 64 * KiB));
	close(fd);
	bench_end(&t);
}

TEST(cache_is_a_read_without_data)
{
	struct riser_publish_stats stats;
	int fd;

	SUB(start());
	fd = attach(&t);
	CHECK_EQ(run(&t, fd, command(NBD_CMD_CACHE, 0, 0, 512), NULL), 0);
	CHECK_EQ(run(&t, fd, command(NBD_CMD_CACHE, NBD_CMD_FLAG_FUA, 0, NBD_REQUEST_MAX), NULL),
		 0);
	CHECK_EQ(run(&t, fd, command(NBD_CMD_CACHE, 0, 0, NBD_REQUEST_MAX + 512), NULL),
		 NBD_EINVAL);
	stats = stats_of(&t);
	CHECK_EQ(stats.bytes_read, 0);
	CHECK_EQ(stats.requests, 3);
	/* Its buffers are back: a READ wants all of them. */
	CHECK_EQ(run_read(&t, fd, 0, 4 * MiB, in), 0);
	close(fd);
	bench_end(&t);
}

/*
 * Many answers of every shape at a time to a client that reads in odd pieces: whatever the socket
 * takes of an answer, the next attempt goes on there.
 */
TEST(answers_that_the_socket_takes_in_parts)
{
	enum { N = 60 };
	struct command m[N];
	int fd, small = 1;

	SUB(start());
	fd = attach_structured(&t, true);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	SUB(write_comb(fd, 20));
	SUB(write_at(fd, 1 * MiB + 512, 100 * KiB));
	for (unsigned i = 0; i < N; i++) {
		uint64_t offset = i * 512;

		m[i] = command(NBD_CMD_READ, 0, offset, (i + 1) * 32 * KiB);
		if (i % 4 == 1)
			m[i] = command(NBD_CMD_BLOCK_STATUS, 0, offset, 1 * MiB);
		else if (i % 4 == 2)
			m[i] = command(NBD_CMD_READ, NBD_CMD_FLAG_DF, offset, (i + 1) * 512);
		else if (i % 4 == 3)
			m[i] = command(NBD_CMD_TRIM, NBD_CMD_FLAG_NO_HOLE, 0, 512); /* refused */
		m[i].cookie = 1000 + i;
		CHECK(put_command(&t, fd, m[i]));
	}
	/* In any order, each once: they are told apart by peeking at the cookie. */
	for (unsigned n = 0; n < N; n++) {
		struct nbd_chunk c;
		uint64_t i;

		for (ssize_t got = 0; got < (ssize_t)sizeof(c); riser_exec_poll(t.x))
			got = recv(fd, &c, sizeof(c), MSG_PEEK | MSG_DONTWAIT);
		i = be64(c.cookie) - 1000;
		CHECK(i < N && m[i].cookie);
		memset(in, 0xee, sizeof(in));
		CHECK(get_chunks(&t, fd, m[i], in, &shape));
		CHECK_EQ(shape.errors, i % 4 == 3);
		CHECK_EQ(shape.ndescriptors > 0, i % 4 == 1);
		if (m[i].type == NBD_CMD_READ) {
			CHECK_EQ(shape.covered, m[i].len);
			CHECK(!memcmp(in, out + m[i].offset, m[i].len));
		}
		m[i].cookie = 0;
	}
	close(fd);
	bench_end(&t);
}

TEST_MAIN(CASE(structured_replies_are_negotiated), CASE(metadata_contexts_are_listed_and_set),
	  CASE(metadata_lengths_that_do_not_add_up), CASE(a_read_is_one_chunk_and_the_rest_is_none),
	  CASE(errors_come_with_a_sentence), CASE(holes_are_sent_as_such),
	  CASE(more_runs_than_an_answer_holds), CASE(block_status_tells_the_runs),
	  CASE(a_device_that_knows_no_holes_is_data), CASE(fast_zeroes_are_fast_or_refused),
	  CASE(cache_is_a_read_without_data), CASE(answers_that_the_socket_takes_in_parts))
