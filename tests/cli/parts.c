/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The command's own parts that know no device: the histogram and the JSON writer. */
#include "../tap.h"
#include "cli/hist.h"
#include "cli/json.h"

/* Percentiles are exact below 64 and off by 1/32 at the most above. */
TEST(percentiles)
{
	struct hist h = { .total = 0 };

	CHECK_EQ(hist_percentile(&h, 0.5), 0);
	for (uint64_t i = 1; i <= 1000; i++)
		hist_add(&h, i * 1000);
	CHECK_EQ(h.min, 1000);
	CHECK_EQ(h.max, 1000000);
	CHECK_EQ(h.sum / h.total, 500500);
	for (unsigned p = 1; p < 100; p++) {
		uint64_t want = p * 10000ull, got = hist_percentile(&h, p / 100.0);

		CHECK(got >= want && got <= want + want / 32 + 1000);
	}
	CHECK_EQ(hist_percentile(&h, 1), 1000000);
}

TEST(small_and_huge_values)
{
	struct hist h = { .total = 0 };

	for (uint64_t i = 0; i < 64; i++)
		hist_add(&h, i);
	CHECK_EQ(hist_percentile(&h, 0), 0);
	CHECK_EQ(hist_percentile(&h, 0.5), 32);
	CHECK_EQ(hist_percentile(&h, 1), 63);
	hist_add(&h, UINT64_MAX);
	CHECK_EQ(hist_percentile(&h, 1), UINT64_MAX);
	CHECK_EQ(h.max, UINT64_MAX);
}

static char *text;
static size_t len;
static FILE *out;

static void begin(struct json *j)
{
	out = open_memstream(&text, &len);
	json_init(j, out);
}

static const char *end(void)
{
	fclose(out);
	return text;
}

TEST(json_nests)
{
	struct json j;

	begin(&j);
	json_object(&j, NULL);
	json_u64(&j, "most", UINT64_MAX);
	json_i64(&j, "least", INT64_MIN);
	json_digits(&j, "long", "340282366920938463463374607431768211455");
	json_array(&j, "list");
	json_bool(&j, NULL, true);
	json_str(&j, NULL, NULL);
	json_end(&j);
	json_array(&j, "none");
	json_end(&j);
	json_f64(&j, "half", 0.5);
	json_f64(&j, "nan", __builtin_nan(""));
	json_end(&j);
	CHECK_STR(end(), "{\n  \"most\": 18446744073709551615,\n"
			 "  \"least\": -9223372036854775808,\n"
			 "  \"long\": 340282366920938463463374607431768211455,\n"
			 "  \"list\": [\n    true,\n    null\n  ],\n  \"none\": [],\n"
			 "  \"half\": 0.5,\n  \"nan\": null\n}\n");
	free(text);
}

/* What is UTF-8 stays; what isn't is Latin-1; control characters and quotes are escaped. */
TEST(json_escapes)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\x1f\x7f", "\"\\u000a\\u001f\\u007f\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xe9t\xe9", "\"\\u00e9t\\u00e9\"" },
		{ "\xc0\xaf", "\"\\u00c0\\u00af\"" },            /* overlong */
		{ "\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"" }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"" },
		{ "\xe2\x82", "\"\\u00e2\\u0082\"" }, /* cut off */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json j;

		begin(&j);
		json_str(&j, NULL, cases[i].in);
		CHECK_STR(end(), cases[i].want);
		free(text);
	}
}

TEST_MAIN(CASE(percentiles), CASE(small_and_huge_values), CASE(json_nests), CASE(json_escapes))
