/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* NBD on top of the NVMe driver: no byte is copied, and what goes wrong below is told. */
#include "../unit/nbd_client.h"

static struct bench t;
static uint8_t out[4 * MiB], in[4 * MiB];

static void start(const char *fault)
{
	char uri[256];

	snprintf(uri, sizeof(uri), "model:nvme?size=64M%s", fault);
	SUB(bench_context(&t, uri));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
}

TEST(nothing_is_copied_on_the_way_to_the_device)
{
	static const uint32_t lens[] = { 512, 4096, 16384, 65536, 1 * MiB + 512, 4 * MiB };
	int fd;

	SUB(start(""));
	fd = attach(&t);
	for (unsigned round = 0; round < 20; round++)
		for (size_t i = 0; i < array_len(lens); i++) {
			uint64_t offset = 512 * (round + i);

			fill(out, lens[i], round);
			CHECK_EQ(run_write(&t, fd, offset, lens[i], out), 0);
			CHECK_EQ(run_read(&t, fd, offset, lens[i], in), 0);
			CHECK(!memcmp(in, out, lens[i]));
		}
	CHECK_EQ(stats_of(&t).bounces, 0);
	close(fd);
	bench_end(&t);
}

TEST(a_bad_sector_fails_the_reads_that_touch_it)
{
	int fd;

	SUB(start("&fault=status=0x281,opcode=read,lba=1000-1000,dnr"));
	fd = attach(&t);
	fill(out, 4 * MiB, 9);
	CHECK_EQ(run_write(&t, fd, 0, 4 * MiB, out), 0);
	CHECK_EQ(run_read(&t, fd, 999 * 512, 512, in), 0);
	CHECK_EQ(run_read(&t, fd, 1000 * 512, 512, in), NBD_EIO);
	CHECK_EQ(run_read(&t, fd, 0, 4 * MiB, in), NBD_EIO);
	CHECK_EQ(run_read(&t, fd, 1001 * 512, 1 * MiB, in), 0);
	CHECK(!memcmp(in, out + 1001 * 512, 1 * MiB));
	CHECK_EQ(stats_of(&t).errors, 2);
	close(fd);
	bench_end(&t);
}

TEST(a_structured_error_says_where)
{
	struct command m = { NBD_CMD_READ, 0, 5, 0, 4 * MiB };
	struct shape s;
	int fd;

	SUB(start("&fault=status=0x281,opcode=read,lba=1600-1600,dnr"
		  ";status=0x281,opcode=read,lba=3000-3000,dnr"));
	fd = attach_structured(&t, false);
	CHECK(run_structured(&t, fd, m, in, &s));
	CHECK_EQ(s.errors, 1);
	CHECK_EQ(s.error, NBD_EIO);
	CHECK_STR(s.text, "MEDIUM");
	/* Of the two, the first; to the piece that it was read in. */
	CHECK(s.failed_at <= 1600 * 512);
	CHECK(s.failed_at > 1600 * 512 - 256 * KiB);
	CHECK_EQ(s.datas, 0);
	close(fd);
	bench_end(&t);
}

TEST(a_write_that_fails_in_the_middle)
{
	int fd;

	SUB(start("&fault=status=0x280,opcode=write,lba=4000-4000,dnr"));
	fd = attach(&t);
	fill(out, 4 * MiB, 4);
	CHECK_EQ(run_write(&t, fd, 0, 4 * MiB, out), NBD_EIO);
	CHECK_EQ(run_write(&t, fd, 0, 1 * MiB, out), 0);
	CHECK_EQ(run_read(&t, fd, 0, 1 * MiB, in), 0);
	CHECK(!memcmp(in, out, 1 * MiB));
	close(fd);
	bench_end(&t);
}

TEST(a_full_device_says_so)
{
	int fd;

	SUB(start("&fault=status=0x081,opcode=write,dnr"));
	fd = attach(&t);
	CHECK_EQ(run_write(&t, fd, 0, 4096, out), NBD_ENOSPC);
	CHECK_EQ(run_read(&t, fd, 0, 4096, in), 0);
	close(fd);
	bench_end(&t);
}

/* The write in flight may have happened or not; what follows finds no device. */
TEST(a_device_that_vanishes)
{
	int fd;

	SUB(start("&fault=gone,opcode=write,nth=3"));
	fd = attach(&t);
	CHECK_EQ(run_write(&t, fd, 0, 4096, out), 0);
	CHECK_EQ(run_write(&t, fd, 0, 4096, out), 0);
	CHECK_EQ(run_write(&t, fd, 0, 4096, out), NBD_EIO);
	CHECK_EQ(run_read(&t, fd, 0, 4096, in), NBD_ESHUTDOWN);
	CHECK_EQ(run_write(&t, fd, 0, 4096, out), NBD_ESHUTDOWN);
	close(fd);
	bench_end(&t);
}

TEST_MAIN(CASE(nothing_is_copied_on_the_way_to_the_device),
	  CASE(a_bad_sector_fails_the_reads_that_touch_it), CASE(a_structured_error_says_where),
	  CASE(a_write_that_fails_in_the_middle), CASE(a_full_device_says_so),
	  CASE(a_device_that_vanishes))
