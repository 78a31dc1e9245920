/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A test program: functions in a table, TAP on stdout, 0 when all passed.
 *
 *	TEST(adds) { CHECK_EQ(1 + 1, 2); }
 *	TEST_MAIN(CASE(adds))
 *
 * A failed CHECK ends the function. Arguments on the command line choose cases by name. Each case
 * has an alarm, so that a hang is a failure with a name.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAP_ALARM_S 300

struct tap_case {
	const char *name;
	void (*fn)(void);
};

static bool tap_failed;
static const char *tap_skipped;

#define TEST(name) static void name(void)
#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

#define FAIL(...)                                                                                  \
	do {                                                                                       \
		printf("# %s:%d: ", __FILE__, __LINE__);                                           \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		tap_failed = true;                                                                 \
		return;                                                                            \
	} while (0)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			FAIL("not true: %s", #cond);                                               \
	} while (0)

#define CHECK_EQ(got, want)                                                                        \
	do {                                                                                       \
		int64_t tap_got = (int64_t)(got), tap_want = (int64_t)(want);                      \
		if (tap_got != tap_want)                                                           \
			FAIL("%s is %" PRId64 " (%#" PRIx64 "), not %" PRId64 " (%#" PRIx64 ")",   \
			     #got, tap_got, (uint64_t)tap_got, tap_want, (uint64_t)tap_want);      \
	} while (0)

#define CHECK_STR(got, want)                                                                       \
	do {                                                                                       \
		const char *tap_got = (got), *tap_want = (want);                                   \
		if (strcmp(tap_got, tap_want))                                                     \
			FAIL("%s is \"%s\", not \"%s\"", #got, tap_got, tap_want);                 \
	} while (0)

/* @text contains @part. */
#define CHECK_HAS(text, part)                                                                      \
	do {                                                                                       \
		const char *tap_text = (text), *tap_part = (part);                                 \
		if (!strstr(tap_text, tap_part))                                                   \
			FAIL("%s is \"%s\", without \"%s\"", #text, tap_text, tap_part);           \
	} while (0)

/* Call a function that may fail or skip: the caller stops too. */
#define SUB(call)                                                                                  \
	do {                                                                                       \
		call;                                                                              \
		if (tap_failed || tap_skipped)                                                     \
			return;                                                                    \
	} while (0)

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		tap_skipped = (why);                                                               \
		return;                                                                            \
	} while (0)

/* A tool or header is missing: a skip at a user's place, a failure in CI. */
#define MISSING(what)                                                                              \
	do {                                                                                       \
		if (getenv("CI") || getenv("RISER_REQUIRE_TOOLS"))                                 \
			FAIL("%s is missing", what);                                               \
		SKIP(what " is missing");                                                          \
	} while (0)

static inline int tap_run(const struct tap_case *cases, size_t n, int argc, char **argv)
{
	unsigned number = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < n; i++) {
		bool chosen = argc <= 1;

		for (int a = 1; a < argc; a++)
			chosen |= !strcmp(argv[a], cases[i].name);
		if (!chosen)
			continue;
		tap_failed = false;
		tap_skipped = NULL;
		alarm(TAP_ALARM_S);
		cases[i].fn();
		alarm(0);
		failed += tap_failed;
		printf("%sok %u - %s%s%s\n", tap_failed ? "not " : "", ++number, cases[i].name,
		       tap_skipped && !tap_failed ? " # SKIP " : "",
		       tap_skipped && !tap_failed ? tap_skipped : "");
	}
	printf("1..%u\n", number);
	if (!number)
		printf("Bail out! no case of that name\n");
	return failed || !number ? 1 : 0;
}

#define TEST_MAIN(...)                                                                             \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct tap_case cases[] = { __VA_ARGS__ };                            \
                                                                                                   \
		return tap_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);               \
	}

#endif
