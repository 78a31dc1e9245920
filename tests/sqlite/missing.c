/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What is built in place of powercut.c where SQLite is not there. */
#include "../tap.h"

TEST(powercut)
{
	MISSING("libsqlite3-dev");
}

TEST_MAIN(CASE(powercut))
