/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/parse.h"
#include "../tap.h"
#include "base/err.h"
#include <errno.h>
#include <riser/util.h>

TEST(numbers)
{
	uint64_t v = 7;

	CHECK_EQ(parse_u64("0", &v), 0);
	CHECK_EQ(v, 0);
	CHECK_EQ(parse_u64("0xFf", &v), 0);
	CHECK_EQ(v, 255);
	CHECK_EQ(parse_u64("18446744073709551615", &v), 0);
	CHECK_EQ(v, -1);
	CHECK_EQ(parse_u64("18446744073709551616", &v), -ERANGE);
	CHECK_EQ(parse_u64("0x10000000000000000", &v), -ERANGE);
	CHECK_EQ(v, -1); /* a refusal leaves it alone */
	CHECK_EQ(parse_u64("", &v), -EINVAL);
	CHECK_EQ(parse_u64("0x", &v), -EINVAL);
	CHECK_EQ(parse_u64("-1", &v), -EINVAL);
	CHECK_EQ(parse_u64("1 ", &v), -EINVAL);
	CHECK_EQ(parse_u64("1K", &v), -EINVAL);
}

static void size_is(const char *text, uint64_t want)
{
	uint64_t v = 7;

	CHECK_EQ(parse_size(text, &v), 0);
	CHECK_EQ(v, want);
}

TEST(sizes)
{
	uint64_t v;

	SUB(size_is("512", 512));
	SUB(size_is("512B", 512));
	SUB(size_is("4k", 4096));
	SUB(size_is("4KiB", 4096));
	SUB(size_is("1M", 1 << 20));
	SUB(size_is("3GB", 3ull << 30));
	SUB(size_is("0x10K", 16384));
	SUB(size_is("16383P", 16383ull << 50));
	SUB(size_is("1.5G", 3ull << 29));
	SUB(size_is("0.50KiB", 512));
	SUB(size_is("2.0", 2));
	SUB(size_is("16383.9990234375P", (16384ull << 50) - (1ull << 40)));
	CHECK_EQ(parse_size("16384P", &v), -ERANGE);
	CHECK_EQ(parse_size("0.1K", &v), -EINVAL); /* no whole number of bytes */
	CHECK_EQ(parse_size("1.5", &v), -EINVAL);
	CHECK_EQ(parse_size("1.K", &v), -EINVAL);
	CHECK_EQ(parse_size(".5K", &v), -EINVAL);
	CHECK_EQ(parse_size("0x1.8K", &v), -EINVAL);
	CHECK_EQ(parse_size("1.5.5K", &v), -EINVAL);
	CHECK_EQ(parse_size("0.0000000000000001P", &v), -EINVAL);
	CHECK_EQ(parse_size("1Q", &v), -EINVAL);
	CHECK_EQ(parse_size("1KK", &v), -EINVAL);
	CHECK_EQ(parse_size("K", &v), -EINVAL);
}

TEST(sizes_for_people)
{
	char buf[32];

	CHECK_STR(format_size(0, buf, sizeof(buf)), "0 B");
	CHECK_STR(format_size(1023, buf, sizeof(buf)), "1023 B");
	CHECK_STR(format_size(4096, buf, sizeof(buf)), "4 KiB");
	CHECK_STR(format_size(1536 << 10, buf, sizeof(buf)), "1.5 MiB");
	CHECK_STR(format_size(1ull << 40, buf, sizeof(buf)), "1 TiB");
	CHECK_STR(format_size(UINT64_MAX, buf, sizeof(buf)), "16384.0 PiB");
}

TEST(yes_and_no)
{
	bool v = false;

	CHECK_EQ(parse_bool("", &v), 0);
	CHECK(v);
	CHECK_EQ(parse_bool("Off", &v), 0);
	CHECK(!v);
	CHECK_EQ(parse_bool("maybe", &v), -EINVAL);
}

TEST(the_nearest_word)
{
	static const char *const words[] = { "read", "write", "verify", "version", NULL };

	CHECK_EQ(parse_distance("kitten", "sitting"), 3);
	CHECK_EQ(parse_distance("", "abc"), 3);
	CHECK_STR(parse_nearest("raed", words), "read");
	CHECK_STR(parse_nearest("verfy", words), "verify");
	CHECK(parse_nearest("zzzzzz", words) == NULL);
	CHECK(parse_nearest("bets", words) == NULL);
	CHECK(parse_nearest("", words) == NULL);
}

static void printable_is(const char *text, size_t len, const char *want)
{
	char out[64];

	CHECK_EQ(riser_printable(text, len, out, sizeof(out)), len);
	CHECK_STR(out, want);
}

TEST(what_does_nothing_to_a_terminal)
{
	char out[8];

	SUB(printable_is("a\x1b[2Jb\r\n\t\x7f", 10, "a\\x1b[2Jb\\x0d\\x0a\\x09\\x7f"));
	SUB(printable_is("gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x90\x9f", 13, "grüß€🐟"));
	SUB(printable_is("\xc2\x9b"
			 "2J",
			 4, "\\xc2\\x9b2J"));
	SUB(printable_is("\xc0\x80 \xff \xed\xa0\x80 \xe2\x82", 11,
			 "\\xc0\\x80 \\xff \\xed\\xa0\\x80 \\xe2\\x82"));
	SUB(printable_is("a\0b", 3, "a\\x00b"));
	CHECK_EQ(riser_printable("abcde€", 8, out, sizeof(out)), 5); /* whole or not at all */
	CHECK_STR(out, "abcde");
}

TEST(a_sentence_is_printable_and_says_where_it_was_cut)
{
	char big[2000];
	struct riser_err e;

	CHECK_EQ(riser_err_set(&e, -EINVAL, "'%s'", "\x1b[31m"), -EINVAL);
	CHECK_STR(e.text, "'\\x1b[31m'");
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = "€"[i % 3];
	big[sizeof(big) - 1] = 0;
	err_set(&e, -EINVAL, "%s", big);
	CHECK(strlen(e.text) > RISER_ERR_TEXT - 8);
	CHECK(!strcmp(e.text + strlen(e.text) - 6, "€…"));
	CHECK_EQ(strspn(e.text, "€…"), strlen(e.text));
	memset(big, 1, sizeof(big) - 1);
	err_set(&e, -EINVAL, "%s", big);
	CHECK(!strcmp(e.text + strlen(e.text) - 7, "\\x01…"));
}

TEST(prefixes_leave_the_reason)
{
	struct riser_err e;
	char first[80], big[600];

	err_set(&e, -EINVAL, "unknown target 'x': did you mean 'y'?");
	for (int i = 100; i > 0; i--)
		CHECK_EQ(err_prefix(&e, -EINVAL, "table: line %d, column 3", i), -EINVAL);
	CHECK(!strncmp(e.text,
		       "table: line 1, column 3: …: ", strlen("table: line 1, column 3: …: ")));
	CHECK(!strstr(e.text, "…: …"));
	CHECK(strlen(e.text) > RISER_ERR_TEXT - 64);
	snprintf(first, sizeof(first),
		 "table: line 100, column 3: unknown target 'x': did you "
		 "mean 'y'?");
	CHECK(!strcmp(e.text + strlen(e.text) - strlen(first), first));
	err_set(&e, -EINVAL, "why");
	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = 0;
	err_prefix(&e, -EINVAL, "%s", big);
	CHECK(!strcmp(e.text + strlen(e.text) - strlen("a…: why"), "a…: why"));
	err_set(&e, -EINVAL, "%s", big);
	err_prefix(&e, -EINVAL, "there");
	CHECK(!strncmp(e.text, "there: aaaa", strlen("there: aaaa")));
}

TEST_MAIN(CASE(what_does_nothing_to_a_terminal),
	  CASE(a_sentence_is_printable_and_says_where_it_was_cut), CASE(prefixes_leave_the_reason),
	  CASE(numbers), CASE(sizes), CASE(sizes_for_people), CASE(yes_and_no),
	  CASE(the_nearest_word))
