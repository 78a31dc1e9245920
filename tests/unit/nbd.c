/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* NBD's commands by hand: what they do, what is refused, and peers that misbehave. */
#include "nbd_client.h"

static struct bench t;
static uint8_t out[4 * MiB], in[4 * MiB];

static struct command read_of(uint64_t cookie, uint64_t offset, uint32_t len)
{
	return (struct command){ NBD_CMD_READ, 0, cookie, offset, len };
}

static bool all_are(const uint8_t *data, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != value)
			return false;
	return true;
}

TEST(what_is_written_is_read)
{
	static const uint32_t lens[] = {
		512, 4096, 16 * KiB, 16 * KiB + 512, 64 * KiB, 256 * KiB + 512, 1 * MiB, 4 * MiB
	};
	uint64_t offset = 512;
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	for (size_t i = 0; i < array_len(lens); i++) {
		fill(out, lens[i], (uint32_t)i);
		CHECK_EQ(run_write(&t, fd, offset, lens[i], out), 0);
		CHECK_EQ(run_read(&t, fd, offset, lens[i], in), 0);
		CHECK(!memcmp(in, out, lens[i]));
		offset += lens[i];
	}
	CHECK_EQ(run_read(&t, fd, offset, 512, in), 0);
	CHECK(all_are(in, 512, 0));
	close(fd);
	CHECK_EQ(stats_of(&t).bounces, 0);
	CHECK_EQ(stats_of(&t).errors, 0);
	CHECK_EQ(stats_of(&t).requests, 2 * array_len(lens) + 1);
	CHECK_EQ(stats_of(&t).bytes_written, offset - 512);
	CHECK_EQ(stats_of(&t).bytes_read, offset);
	bench_end(&t);
}

TEST(the_largest_command)
{
	uint8_t *big = malloc(NBD_REQUEST_MAX), *back = malloc(NBD_REQUEST_MAX);
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	fill(big, NBD_REQUEST_MAX, 1);
	CHECK_EQ(run_write(&t, fd, 4096, NBD_REQUEST_MAX, big), 0);
	CHECK_EQ(run_read(&t, fd, 4096, NBD_REQUEST_MAX, back), 0);
	CHECK(!memcmp(big, back, NBD_REQUEST_MAX));
	/* One after the other, with small ones between: each waits for room and gets it. */
	for (unsigned i = 0; i < 3; i++) {
		CHECK(put_command(&t, fd, read_of(2 * i, 4096, NBD_REQUEST_MAX)));
		CHECK(put_command(&t, fd, read_of(2 * i + 1, 4096, 512)));
	}
	for (unsigned i = 0; i < 6; i++) {
		struct nbd_simple_reply r;
		uint32_t len;

		CHECK(get(&t, fd, &r, sizeof(r)));
		CHECK_EQ(be32(r.error), 0);
		len = be64(r.cookie) % 2 ? 512 : NBD_REQUEST_MAX;
		CHECK(get(&t, fd, back, len));
		CHECK(!memcmp(big, back, len));
	}
	close(fd);
	bench_end(&t);
	free(big);
	free(back);
}

TEST(flush_fua_trim_and_zeroes)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	fill(out, 64 * KiB, 7);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, .len = 64 * KiB },
		     out),
		 0);
	CHECK_EQ(run(&t, fd, (struct command){ .type = NBD_CMD_FLUSH }, NULL), 0);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE_ZEROES, 0, 0, 4096, 4096 }, NULL), 0);
	CHECK_EQ(run(&t, fd,
		     (struct command){ NBD_CMD_WRITE_ZEROES,
				       NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE, 0, 12288, 512 },
		     NULL),
		 0);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_TRIM, 0, 0, 32768, 8192 }, NULL), 0);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 0, 61440, 4096 },
		     NULL),
		 0);
	CHECK_EQ(run_read(&t, fd, 0, 64 * KiB, in), 0);
	CHECK(!memcmp(in, out, 4096));
	CHECK(all_are(in + 4096, 4096, 0));
	CHECK(!memcmp(in + 8192, out + 8192, 4096));
	CHECK(all_are(in + 12288, 512, 0));
	CHECK(!memcmp(in + 12800, out + 12800, 32768 - 12800));
	CHECK(!memcmp(in + 40960, out + 40960, 61440 - 40960));
	/* All of the device, more than a READ may ask for. */
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE_ZEROES, .len = DISK_SIZE }, NULL), 0);
	CHECK_EQ(run_read(&t, fd, 0, 64 * KiB, in), 0);
	CHECK(all_are(in, 64 * KiB, 0));
	close(fd);
	bench_end(&t);
}

TEST(commands_that_are_wrong)
{
	static const struct {
		struct command m;
		uint32_t error;
	} wrong[] = {
		{ { NBD_CMD_READ, 0, 0, DISK_SIZE, 512 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 0, 0, DISK_SIZE - 512, 1024 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 0, 0, UINT64_MAX - 511, 1024 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 0, 0, 1, 512 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 0, 0, 0, 511 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 0, 0, 0, 0 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 0, 0, 0, NBD_REQUEST_MAX + 512 }, NBD_EINVAL },
		{ { NBD_CMD_READ, NBD_CMD_FLAG_NO_HOLE, 0, 0, 512 }, NBD_EINVAL },
		{ { NBD_CMD_READ, 1 << 2, 0, 0, 512 }, NBD_EINVAL }, /* DF */
		{ { NBD_CMD_WRITE, 0, 0, DISK_SIZE, 512 }, NBD_ENOSPC },
		{ { NBD_CMD_WRITE, 0, 0, DISK_SIZE - 512, 1024 }, NBD_ENOSPC },
		{ { NBD_CMD_WRITE, 0, 0, UINT64_MAX - 511, 1024 }, NBD_ENOSPC },
		{ { NBD_CMD_WRITE, 0, 0, 1, 512 }, NBD_EINVAL },
		{ { NBD_CMD_WRITE, 0, 0, 0, 100000 }, NBD_EINVAL },
		{ { NBD_CMD_WRITE, 0, 0, 0, 0 }, NBD_EINVAL },
		{ { NBD_CMD_WRITE, 1 << 15, 0, 0, 512 }, NBD_EINVAL },
		{ { NBD_CMD_TRIM, 0, 0, DISK_SIZE, 512 }, NBD_EINVAL },
		{ { NBD_CMD_WRITE_ZEROES, 0, 0, 512, DISK_SIZE }, NBD_ENOSPC },
		{ { NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_DF, 0, 0, 512 }, NBD_EINVAL },
		{ { NBD_CMD_FLUSH, 0, 0, 512, 512 }, NBD_EINVAL },
		{ { NBD_CMD_CACHE, NBD_CMD_FLAG_NO_HOLE, 0, 0, 512 }, NBD_EINVAL },
		{ { NBD_CMD_CACHE, 0, 0, DISK_SIZE, 512 }, NBD_EINVAL },
		{ { NBD_CMD_BLOCK_STATUS, 0, 0, 0, 512 }, NBD_EINVAL }, /* not negotiated */
		{ { 0xffff, 0xffff, 0, UINT64_MAX, UINT32_MAX }, NBD_EINVAL },
	};
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	for (size_t i = 0; i < array_len(wrong); i++) {
		CHECK_EQ(run(&t, fd, wrong[i].m, out), wrong[i].error);
		CHECK_EQ(run_read(&t, fd, DISK_SIZE - 512, 512, in), 0); /* still in step */
	}
	CHECK_EQ(stats_of(&t).errors, array_len(wrong));
	close(fd);
	bench_end(&t);
}

TEST(a_write_that_is_too_large_is_skipped)
{
	uint8_t *big = calloc(1, NBD_REQUEST_MAX + 512);
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	memset(big, 0xff, NBD_REQUEST_MAX + 512);
	CHECK_EQ(run_write(&t, fd, 0, NBD_REQUEST_MAX + 512, big), NBD_EINVAL);
	CHECK_EQ(run_read(&t, fd, 0, 4096, in), 0);
	CHECK(all_are(in, 4096, 0));
	close(fd);
	bench_end(&t);
	free(big);
}

TEST(read_only_refuses_and_stays_in_step)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ .read_only = true }));
	fd = attach(&t);
	memset(out, 0xff, 1 * MiB);
	CHECK_EQ(run_write(&t, fd, 0, 1 * MiB, out), NBD_EPERM);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_TRIM, .len = 512 }, NULL), NBD_EPERM);
	CHECK_EQ(run(&t, fd, (struct command){ NBD_CMD_WRITE_ZEROES, .len = 512 }, NULL),
		 NBD_EPERM);
	CHECK_EQ(run(&t, fd, (struct command){ .type = NBD_CMD_FLUSH }, NULL), 0);
	CHECK_EQ(run_read(&t, fd, 0, 1 * MiB, in), 0);
	CHECK(all_are(in, 1 * MiB, 0));
	close(fd);
	bench_end(&t);
}

TEST(a_device_opened_for_reading_is_read_only)
{
	struct option_reply r;
	int fd;

	SUB(bench_context(&t, "mem:64M"));
	riser_blk_close(t.b);
	CHECK_EQ(riser_blk_open(t.r, "mem:64M", 0, &t.b, &t.err), 0);
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	fd = negotiate(&t);
	CHECK(put_info(&t, fd, NBD_OPT_GO, ""));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &r), NBD_REP_INFO);
	CHECK(r.data[11] & NBD_FLAG_READ_ONLY);
	while (get_reply(&t, fd, NBD_OPT_GO, &r) == NBD_REP_INFO)
		;
	CHECK_EQ(run_write(&t, fd, 0, 512, out), NBD_EPERM);
	close(fd);
	bench_end(&t);
}

enum { PIPELINE = 500 };

static size_t build_pipeline(uint8_t *bytes)
{
	size_t len = 0;

	for (unsigned i = 0; i < PIPELINE; i++) {
		struct command m = { i % 2 ? NBD_CMD_READ : NBD_CMD_WRITE, 0, i, i / 2 * 512, 512 };
		struct nbd_command_header h = header_of(m);

		memcpy(bytes + len, &h, sizeof(h));
		len += sizeof(h);
		if (m.type == NBD_CMD_WRITE) {
			fill(bytes + len, 512, i);
			len += 512;
		}
	}
	return len;
}

/* Send all of it in pieces of @step bytes, taking answers as they come. Return: their bytes. */
static size_t exchange(int fd, const uint8_t *bytes, size_t len, size_t step, size_t wanted)
{
	size_t sent = 0, got = 0;

	while (got < wanted) {
		ssize_t n = send(fd, bytes + sent, min_of(step, len - sent), MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		riser_exec_poll(t.x);
		n = recv(fd, in + got, wanted - got, MSG_DONTWAIT);
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	return got;
}

/* More commands than there are slots, whatever pieces they come in. */
static void pipeline(size_t step)
{
	static uint8_t bytes[PIPELINE * (sizeof(struct nbd_command_header) + 512)];
	size_t wanted = PIPELINE * sizeof(struct nbd_simple_reply) + PIPELINE / 2 * 512, at = 0;
	bool seen[PIPELINE] = { false };
	int fd = attach(&t);

	CHECK_EQ(exchange(fd, bytes, build_pipeline(bytes), step, wanted), wanted);
	while (at < wanted) {
		struct nbd_simple_reply r;
		uint64_t cookie;

		memcpy(&r, in + at, sizeof(r));
		cookie = be64(r.cookie);
		CHECK_EQ(be32(r.magic), NBD_SIMPLE_REPLY_MAGIC);
		CHECK_EQ(be32(r.error), 0);
		CHECK(cookie < PIPELINE && !seen[cookie]);
		seen[cookie] = true;
		at += sizeof(r) + (cookie % 2 ? 512 : 0);
	}
	for (unsigned i = 0; i < PIPELINE / 2; i++) {
		fill(out, 512, 2 * i);
		CHECK_EQ(run_read(&t, fd, i * 512, 512, in), 0);
		CHECK(!memcmp(in, out, 512));
	}
	close(fd);
}

TEST(pipelines_in_pieces_of_any_size)
{
	static const size_t steps[] = { 1, 13, 28, 540, 541, 4096, 1 * MiB };

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	for (size_t i = 0; i < array_len(steps); i++)
		SUB(pipeline(steps[i]));
	bench_end(&t);
}

/*
 * A stream of commands that mostly are WRITEs of one size, as the server bets, and sometimes not.
 * Each WRITE has a place of its own, so that the order does not matter.
 */
struct stream {
	uint8_t *bytes;
	size_t len, wanted; /* of commands; of answers */
	uint8_t *disk;      /* what it shall be */
	size_t at;
	unsigned refused;
	uint32_t seed;
};

static uint32_t roll(struct stream *s, uint32_t n)
{
	s->seed = s->seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)s->seed * n) >> 32);
}

static void add(struct stream *s, struct command m, bool good)
{
	struct nbd_command_header h = header_of(m);

	memcpy(s->bytes + s->len, &h, sizeof(h));
	s->len += sizeof(h);
	s->wanted += sizeof(struct nbd_simple_reply);
	s->refused += !good;
	if (m.type == NBD_CMD_READ && good)
		s->wanted += m.len;
	if (m.type != NBD_CMD_WRITE)
		return;
	fill(s->bytes + s->len, m.len, s->seed);
	if (good) {
		memcpy(s->disk + s->at, s->bytes + s->len, m.len);
		s->at += m.len;
	}
	s->len += m.len;
}

static void build_stream(struct stream *s, uint32_t usual)
{
	for (unsigned i = 0; i < 1000 && s->at < 3 * MiB; i++) {
		struct command write = { NBD_CMD_WRITE, 0, i, s->at, usual };

		switch (roll(s, 40)) {
		case 0:
			add(s, (struct command){ NBD_CMD_READ, 0, i, DISK_SIZE / 2, 512 }, true);
			break;
		case 1:
			write.len = 512 * (1 + roll(s, 64));
			add(s, write, true);
			break;
		case 2:
			add(s, (struct command){ NBD_CMD_FLUSH, 0, i, 0, 0 }, true);
			break;
		case 3:
			write.offset = DISK_SIZE;
			add(s, write, false);
			break;
		case 4:
			add(s, (struct command){ 99, 0, i, 0, usual }, false);
			break;
		default:
			add(s, write, true);
			break;
		}
	}
}

static void streams(uint32_t usual)
{
	static const size_t steps[] = { 1000, 4124, 5000, 50000, 4 * MiB };
	struct stream s = { .bytes = malloc(8 * MiB), .disk = calloc(1, 4 * MiB), .seed = usual };
	uint64_t before = stats_of(&t).errors;
	int fd = attach(&t);

	for (size_t i = 0; i < array_len(steps); i++) {
		s.len = s.wanted = s.at = 0;
		build_stream(&s, usual);
		CHECK_EQ(exchange(fd, s.bytes, s.len, steps[i], s.wanted), s.wanted);
		CHECK_EQ(run_read(&t, fd, 0, (uint32_t)s.at, in), 0);
		CHECK(!memcmp(in, s.disk, s.at));
	}
	CHECK_EQ(stats_of(&t).errors - before, s.refused);
	CHECK(s.refused > 5);
	close(fd);
	free(s.bytes);
	free(s.disk);
}

TEST(streams_of_writes)
{
	static const uint32_t usual[] = { 512, 4096, 16384, 32768 };

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	for (size_t i = 0; i < array_len(usual); i++)
		SUB(streams(usual[i]));
	bench_end(&t);
}

TEST(a_wrong_magic_costs_the_connection_only)
{
	struct nbd_command_header h = header_of(read_of(1, 0, 512));
	int good, bad;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	good = attach(&t);
	bad = attach(&t);
	for (unsigned i = 0; i < 64; i++) /* in flight when it happens */
		CHECK(put_command(&t, bad, read_of(i, 0, 1 * MiB)));
	h.magic = to_be32(NBD_REQUEST_MAGIC ^ 1);
	CHECK(put(&t, bad, &h, sizeof(h)));
	while (get(&t, bad, in, 4096)) /* until it is hung up on */
		;
	settle(&t);
	CHECK_EQ(stats_of(&t).active, 1);
	CHECK_EQ(run_read(&t, good, 0, 512, in), 0);
	close(bad);
	close(good);
	bench_end(&t);
}

TEST(leaving_in_the_middle_of_a_command)
{
	struct command big = { NBD_CMD_WRITE, .len = 1 * MiB };
	int good, fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	good = attach(&t);
	fill(out, 1 * MiB, 3);
	for (size_t sent = 0; sent < 1 * MiB; sent += 100000) {
		fd = attach(&t);
		CHECK(put_command(&t, fd, big));
		CHECK(put(&t, fd, out, sent));
		close(fd);
		settle(&t);
		CHECK_EQ(stats_of(&t).active, 1);
		CHECK_EQ(run_read(&t, good, 0, 512, in), 0);
	}
	fd = attach(&t);
	CHECK(put(&t, fd, "%`\225", 3)); /* in a header */
	close(fd);
	fd = attach(&t);
	for (unsigned i = 0; i < 100; i++) /* with answers under way */
		CHECK(put_command(&t, fd, read_of(i, 0, 64 * KiB)));
	close(fd);
	settle(&t);
	CHECK_EQ(stats_of(&t).active, 1);
	CHECK_EQ(run_read(&t, good, 0, 512, in), 0);
	close(good);
	bench_end(&t);
}

TEST(a_client_that_only_stops_sending_gets_its_answers)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	for (unsigned i = 0; i < 10; i++)
		CHECK(put_command(&t, fd, read_of(77, 0, 64 * KiB)));
	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(get_answer(&t, fd, 77), 0);
		CHECK(get(&t, fd, in, 64 * KiB));
	}
	CHECK(closed(&t, fd));
	close(fd);
	bench_end(&t);
}

TEST(disc_finishes_what_was_asked_for)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	CHECK(put_command(&t, fd, read_of(77, 0, 4 * MiB)));
	CHECK(put_command(&t, fd, (struct command){ .type = NBD_CMD_DISC }));
	CHECK_EQ(get_answer(&t, fd, 77), 0);
	CHECK(get(&t, fd, in, 4 * MiB));
	CHECK(closed(&t, fd));
	close(fd);
	bench_end(&t);
}

TEST(who_does_not_read_stops_nobody_else)
{
	struct nbd_command_header h = header_of(read_of(1, 0, 1 * MiB));
	unsigned sent = 0;
	int deaf, good;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	deaf = attach(&t);
	good = attach(&t);
	while (sent < 100000 && send(deaf, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
		sent++;
		riser_exec_poll(t.x);
	}
	CHECK(sent < 100000); /* it is held up, not buffered without end */
	settle(&t);
	CHECK_EQ(stats_of(&t).active, 2);
	for (unsigned i = 0; i < 100; i++) {
		fill(out, 1 * MiB, i);
		CHECK_EQ(run_write(&t, good, 0, 1 * MiB, out), 0);
		CHECK_EQ(run_read(&t, good, 0, 1 * MiB, in), 0);
		CHECK(!memcmp(in, out, 1 * MiB));
	}
	/* When it reads again, it gets everything. */
	for (unsigned i = 0; i < sent; i++) {
		CHECK_EQ(get_answer(&t, deaf, 1), 0);
		CHECK(get(&t, deaf, in, 1 * MiB));
	}
	close(deaf);
	close(good);
	bench_end(&t);
}

TEST(more_clients_than_are_served_at_a_time)
{
	enum { N = 80, SERVED = 64 };
	int fd[N];

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	for (unsigned i = 0; i < SERVED; i++)
		CHECK((fd[i] = attach(&t)) >= 0);
	for (unsigned i = SERVED; i < N; i++)
		CHECK((fd[i] = dial(&t)) >= 0); /* waits in the backlog */
	settle(&t);
	CHECK_EQ(stats_of(&t).active, SERVED);
	for (unsigned i = 0; i < SERVED; i++) {
		fill(out, 4096, i);
		CHECK_EQ(run_write(&t, fd[i], i * 4096, 4096, out), 0);
	}
	for (unsigned i = 0; i < SERVED; i++) {
		fill(out, 4096, SERVED - 1 - i);
		CHECK_EQ(run_read(&t, fd[i], (SERVED - 1 - i) * 4096, 4096, in), 0);
		CHECK(!memcmp(in, out, 4096));
		close(fd[i]);
	}
	for (unsigned i = SERVED; i < N; i++) {
		CHECK(hello(&t, fd[i], NBD_FLAG_FIXED_NEWSTYLE));
		close(fd[i]);
	}
	settle(&t);
	CHECK_EQ(stats_of(&t).connections, N);
	CHECK_EQ(stats_of(&t).active, 0);
	bench_end(&t);
}

TEST_MAIN(CASE(what_is_written_is_read), CASE(the_largest_command), CASE(flush_fua_trim_and_zeroes),
	  CASE(commands_that_are_wrong), CASE(a_write_that_is_too_large_is_skipped),
	  CASE(read_only_refuses_and_stays_in_step), CASE(a_device_opened_for_reading_is_read_only),
	  CASE(pipelines_in_pieces_of_any_size), CASE(streams_of_writes),
	  CASE(a_wrong_magic_costs_the_connection_only), CASE(leaving_in_the_middle_of_a_command),
	  CASE(a_client_that_only_stops_sending_gets_its_answers),
	  CASE(disc_finishes_what_was_asked_for), CASE(who_does_not_read_stops_nobody_else),
	  CASE(more_clients_than_are_served_at_a_time))
