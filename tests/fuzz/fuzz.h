/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A fuzz target is tests/fuzz/NAME.c with LLVMFuzzerTestOneInput(), a word in tests/meson.build,
 * and a folder tests/fuzz/corpus/NAME of inputs that are worth replaying. It names the files whose
 * bytes' eaters it is after in a line "covers: FILE…", which tests/fuzz/run measures.
 *
 * With clang and -Dfuzzer=true libFuzzer drives it; otherwise replay.c does, which replays files
 * and tries a few mutations of them. So every build of the tests runs every target.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Called again and again; starts from nothing each time, so that an input tells the whole story. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define FUZZ_CHECK(cond)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
