/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* NBD's handshake by hand: what is asked for, and what no client should send. */
#include "nbd_client.h"

#define FLAGS_RW                                                                                   \
	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |       \
	 NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE |              \
	 NBD_FLAG_SEND_FAST_ZERO)

static struct bench t;
static struct option_reply reply;

/* The INFO replies to GO or INFO, in the order that the server sends them. */
static void check_infos(int fd, uint32_t option, const char *name, const char *description,
			uint16_t flags)
{
	struct nbd_info_export export;
	struct nbd_info_block_size sizes;
	struct riser_blk_info info;

	riser_blk_get_info(t.b, &info);
	CHECK_EQ(get_reply(&t, fd, option, &reply), NBD_REP_INFO);
	CHECK_EQ(reply.len, sizeof(export));
	memcpy(&export, reply.data, sizeof(export));
	CHECK_EQ(be16(export.type), NBD_INFO_EXPORT);
	CHECK_EQ(be64(export.size), DISK_SIZE);
	CHECK_EQ(be16(export.flags), flags);
	CHECK_EQ(get_reply(&t, fd, option, &reply), NBD_REP_INFO);
	CHECK_EQ(reply.len, sizeof(sizes));
	memcpy(&sizes, reply.data, sizeof(sizes));
	CHECK_EQ(be16(sizes.type), NBD_INFO_BLOCK_SIZE);
	CHECK_EQ(be32(sizes.minimum), info.logical_block);
	CHECK_EQ(be32(sizes.preferred), max_of(info.physical_block, info.logical_block));
	CHECK_EQ(be32(sizes.maximum), 32 << 20);
	CHECK_EQ(get_reply(&t, fd, option, &reply), NBD_REP_INFO);
	CHECK_EQ(reply.data[1], NBD_INFO_NAME);
	CHECK_STR((char *)reply.data + 2, name);
	CHECK_EQ(get_reply(&t, fd, option, &reply), NBD_REP_INFO);
	CHECK_EQ(reply.data[1], NBD_INFO_DESCRIPTION);
	CHECK_STR((char *)reply.data + 2, description);
	CHECK_EQ(get_reply(&t, fd, option, &reply), NBD_REP_ACK);
}

TEST(info_then_go_then_commands)
{
	uint8_t block[512];
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ .name = "disk", .description = "mine" }));
	fd = negotiate(&t);
	CHECK(put_info(&t, fd, NBD_OPT_INFO, "disk"));
	SUB(check_infos(fd, NBD_OPT_INFO, "disk", "mine", FLAGS_RW));
	CHECK(put_info(&t, fd, NBD_OPT_GO, ""));
	SUB(check_infos(fd, NBD_OPT_GO, "disk", "mine", FLAGS_RW));
	CHECK_EQ(run_read(&t, fd, 0, 512, block), 0);
	close(fd);
	bench_end(&t);
}

TEST(read_only_is_announced)
{
	struct riser_blk_info info;
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ .read_only = true }));
	riser_blk_get_info(t.b, &info);
	fd = negotiate(&t);
	CHECK(put_info(&t, fd, NBD_OPT_GO, ""));
	SUB(check_infos(fd, NBD_OPT_GO, "", info.description,
			NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH |
				NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE));
	close(fd);
	bench_end(&t);
}

static void export_name(uint32_t client_flags, size_t zeroes)
{
	struct nbd_export_reply r;
	uint8_t rest[NBD_EXPORT_ZEROES], block[512];
	int fd = dial(&t);

	CHECK(hello(&t, fd, client_flags));
	CHECK(put_option(&t, fd, NBD_OPT_EXPORT_NAME, "disk", 4));
	CHECK(get(&t, fd, &r, sizeof(r)));
	CHECK_EQ(be64(r.size), DISK_SIZE);
	CHECK_EQ(be16(r.flags), FLAGS_RW);
	CHECK(get(&t, fd, rest, zeroes));
	for (size_t i = 0; i < zeroes; i++)
		CHECK_EQ(rest[i], 0);
	CHECK_EQ(run_read(&t, fd, 0, 512, block), 0);
	close(fd);
}

TEST(export_name_with_and_without_zeroes)
{
	SUB(bench_start(&t, (struct riser_publish_opts){ .name = "disk" }));
	SUB(export_name(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES, 0));
	SUB(export_name(NBD_FLAG_FIXED_NEWSTYLE, NBD_EXPORT_ZEROES));
	SUB(export_name(0, NBD_EXPORT_ZEROES));
	bench_end(&t);
}

TEST(list_names_the_export)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ .name = "disk", .description = "mine" }));
	fd = negotiate(&t);
	CHECK(put_option(&t, fd, NBD_OPT_LIST, NULL, 0));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_LIST, &reply), NBD_REP_SERVER);
	CHECK_EQ(reply.len, 4 + 8);
	CHECK_EQ(reply.data[3], 4);
	CHECK_STR((char *)reply.data + 4, "diskmine");
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_LIST, &reply), NBD_REP_ACK);
	CHECK(put_option(&t, fd, NBD_OPT_LIST, "x", 1));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_LIST, &reply), NBD_REP_ERR_INVALID);
	close(fd);
	bench_end(&t);
}

TEST(the_longest_texts_fit)
{
	static char name[NBD_STRING_MAX + 2];
	int fd;

	memset(name, 'n', NBD_STRING_MAX + 1);
	SUB(bench_context(&t, "mem:64M"));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .name = name }), -EINVAL);
	CHECK_HAS(t.err.text, "4096");
	name[NBD_STRING_MAX] = 0;
	CHECK_EQ(
		bench_publish(&t, (struct riser_publish_opts){ .name = name, .description = name }),
		0);
	fd = negotiate(&t);
	CHECK(put_info(&t, fd, NBD_OPT_GO, name));
	SUB(check_infos(fd, NBD_OPT_GO, name, name, FLAGS_RW));
	close(fd);
	bench_end(&t);
}

TEST(options_that_are_not_done_are_refused)
{
	static const uint32_t options[] = { NBD_OPT_STARTTLS, 11, 0, 4, 0xffffffff };
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = negotiate(&t);
	for (size_t i = 0; i < array_len(options); i++) {
		CHECK(put_option(&t, fd, options[i], "payload", 7));
		CHECK_EQ(get_reply(&t, fd, options[i], &reply), NBD_REP_ERR_UNSUP);
	}
	CHECK(put_info(&t, fd, NBD_OPT_GO, ""));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_INFO);
	close(fd);
	bench_end(&t);
}

TEST(unknown_exports)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ .name = "disk" }));
	fd = negotiate(&t);
	CHECK(put_info(&t, fd, NBD_OPT_GO, "dis"));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_ERR_UNKNOWN);
	CHECK(put_info(&t, fd, NBD_OPT_INFO, "diskdisk"));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_INFO, &reply), NBD_REP_ERR_UNKNOWN);
	CHECK(put_option(&t, fd, NBD_OPT_EXPORT_NAME, "other", 5));
	CHECK(closed(&t, fd));
	close(fd);
	bench_end(&t);
}

TEST(lengths_that_do_not_add_up)
{
	/* name length, name, count, types: each too short, too long, or lying about another */
	static const struct {
		const char *data;
		uint32_t len;
	} bad[] = {
		{ "", 0 },
		{ "\0\0\0\0\0", 5 },
		{ "\0\0\0\1\0\0", 6 },
		{ "\377\377\377\377\0\0", 6 },
		{ "\377\377\377\372\0\0", 6 },
		{ "\0\0\0\0\0\1", 6 },
		{ "\0\0\0\0\0\1\0", 7 },
		{ "\0\0\0\0\0\0\0\0", 8 },
		{ "\0\0\0\0\377\377\0\0", 8 },
	};
	static char name[NBD_STRING_MAX + 2];
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = negotiate(&t);
	for (size_t i = 0; i < array_len(bad); i++) {
		CHECK(put_option(&t, fd, NBD_OPT_GO, bad[i].data, bad[i].len));
		CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_ERR_INVALID);
	}
	memset(name, 'n', NBD_STRING_MAX + 1);
	CHECK(put_info(&t, fd, NBD_OPT_GO, name));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_ERR_INVALID);
	CHECK(put_option(&t, fd, NBD_OPT_EXPORT_NAME, name, NBD_STRING_MAX + 1));
	CHECK(closed(&t, fd));
	close(fd);
	bench_end(&t);
}

TEST(long_options_are_skipped_and_endless_ones_end_it)
{
	static uint8_t junk[1 * MiB];
	struct nbd_option endless = { to_be64(NBD_OPTION_MAGIC), to_be32(NBD_OPT_GO),
				      to_be32(0xffffffff) };
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = negotiate(&t);
	CHECK(put_option(&t, fd, NBD_OPT_GO, junk, sizeof(junk)));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_ERR_TOO_BIG);
	CHECK(put_option(&t, fd, NBD_OPT_GO, junk, 32 * KiB));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_GO, &reply), NBD_REP_ERR_INVALID);
	CHECK(put(&t, fd, &endless, sizeof(endless)));
	CHECK(closed(&t, fd));
	close(fd);
	fd = negotiate(&t);
	put_option(&t, fd, NBD_OPT_EXPORT_NAME, junk, 64 * KiB);
	CHECK(closed(&t, fd));
	close(fd);
	bench_end(&t);
}

TEST(what_is_no_nbd_is_hung_up_on)
{
	static const uint8_t http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct nbd_option o = { to_be64(NBD_OPTION_MAGIC + 1), to_be32(NBD_OPT_LIST), to_be32(0) };
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = dial(&t);
	CHECK(hello(&t, fd, 4)); /* a flag that nobody knows */
	CHECK(closed(&t, fd));
	close(fd);
	fd = negotiate(&t);
	CHECK(put(&t, fd, &o, sizeof(o)));
	CHECK(closed(&t, fd));
	close(fd);
	fd = dial(&t);
	CHECK(put(&t, fd, http, sizeof(http)));
	CHECK(get(&t, fd, &reply, sizeof(struct nbd_greeting)));
	CHECK(closed(&t, fd));
	close(fd);
	fd = dial(&t); /* knows no refusals, so it may ask for an export only */
	CHECK(hello(&t, fd, 0));
	CHECK(put_option(&t, fd, NBD_OPT_LIST, NULL, 0));
	CHECK(closed(&t, fd));
	close(fd);
	CHECK_EQ(stats_of(&t).connections, 4);
	CHECK_EQ(stats_of(&t).active, 0);
	bench_end(&t);
}

TEST(a_flood_of_options_ends)
{
	unsigned answers = 0;
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = negotiate(&t);
	for (int i = 0; i < 300; i++)
		put_option(&t, fd, NBD_OPT_LIST, NULL, 0);
	settle(&t);
	while (get_reply(&t, fd, NBD_OPT_LIST, &reply) == NBD_REP_SERVER &&
	       get_reply(&t, fd, NBD_OPT_LIST, &reply) == NBD_REP_ACK)
		answers++;
	CHECK_EQ(answers, 256);
	CHECK_EQ(stats_of(&t).active, 0);
	close(fd);
	bench_end(&t);
}

TEST(whoever_asks_and_never_reads_waits)
{
	static char description[NBD_STRING_MAX + 1];
	struct nbd_option o = { to_be64(NBD_OPTION_MAGIC), to_be32(NBD_OPT_LIST), to_be32(0) };
	unsigned sent = 0;
	int fd, small = 4096;

	memset(description, 'd', NBD_STRING_MAX);
	SUB(bench_start(&t, (struct riser_publish_opts){ .description = description }));
	fd = negotiate(&t);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (sent < 200 && send(fd, &o, sizeof(o), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
		sent++;
		riser_exec_poll(t.x);
	}
	settle(&t);
	CHECK_EQ(stats_of(&t).active, 1);
	for (unsigned i = 0; i < sent; i++) {
		CHECK_EQ(get_reply(&t, fd, NBD_OPT_LIST, &reply), NBD_REP_SERVER);
		CHECK_EQ(get_reply(&t, fd, NBD_OPT_LIST, &reply), NBD_REP_ACK);
	}
	close(fd);
	bench_end(&t);
}

TEST(abort_is_acknowledged)
{
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = negotiate(&t);
	CHECK(put_option(&t, fd, NBD_OPT_ABORT, NULL, 0));
	CHECK_EQ(get_reply(&t, fd, NBD_OPT_ABORT, &reply), NBD_REP_ACK);
	CHECK(closed(&t, fd));
	close(fd);
	bench_end(&t);
}

TEST(clients_that_leave_in_the_middle)
{
	uint8_t half[8] = "IHAVEOPT";
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	close(dial(&t));
	fd = negotiate(&t);
	CHECK(put(&t, fd, half, sizeof(half)));
	close(fd);
	fd = negotiate(&t);
	CHECK(put_info(&t, fd, NBD_OPT_GO, ""));
	close(fd); /* unread answers: a reset rather than an end */
	settle(&t);
	CHECK_EQ(stats_of(&t).connections, 3);
	CHECK_EQ(stats_of(&t).active, 0);
	bench_end(&t);
}

TEST_MAIN(CASE(info_then_go_then_commands), CASE(read_only_is_announced),
	  CASE(export_name_with_and_without_zeroes), CASE(list_names_the_export),
	  CASE(the_longest_texts_fit), CASE(options_that_are_not_done_are_refused),
	  CASE(unknown_exports), CASE(lengths_that_do_not_add_up),
	  CASE(long_options_are_skipped_and_endless_ones_end_it),
	  CASE(what_is_no_nbd_is_hung_up_on), CASE(a_flood_of_options_ends),
	  CASE(whoever_asks_and_never_reads_waits), CASE(abort_is_acknowledged),
	  CASE(clients_that_leave_in_the_middle))
